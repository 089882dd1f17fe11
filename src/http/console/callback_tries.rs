//! Trying now what callback URLs are owed, one or all that fit: which they are, the yes, and how far that has come.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Form},
};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, Trouble, Visitor,
    asked::{self, Query, Wrong},
    callback_choice::ChosenUrls,
    callbacks::{self, name, owed, status_of},
    frame::{long_time, wants_part},
    messages::Status,
    page, see_other,
};
use crate::{
    clock,
    domain::{
        ids::{Place, SubscriptionKey},
        operator::{Actor, Permission},
        time::UnixMillis,
        words::thousands,
    },
    http::Parts,
    services::{
        callback_tries::{progress as progress_of, try_now},
        callbacks::{UrlFilter, UrlStanding, UrlState, urls},
        directory::Snapshot,
        operators::{Refusal, require},
    },
    store::told_together::URLS_TOGETHER_MAX,
};

const PROGRESS_PATH: &str = "/console/callbacks/tried";

/// As an address has it, and, with the token, the form.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct TryForm {
    account: String,
    of: String,
    url: String,
    kind: String,
}

#[derive(Template)]
#[template(path = "console/callback_try.html")]
struct Page {
    frame: Frame,
    form: TryForm,
    wrong: Option<String>,
    urls: Vec<UrlRow>,
    back: String,
}

struct UrlRow {
    key: i32,
    name: String,
    account: String,
    state: Status,
    owed: String,
}

/// What was tried: since when, and of each URL how much it was owed, up to which place of the log.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProgressForm {
    since: i64,
    urls: String,
}

#[derive(Template)]
#[template(path = "console/callback_tried.html")]
struct ProgressPage {
    frame: Frame,
    progress: Progress,
}

#[derive(Template)]
#[template(path = "console/callback_tried_part.html")]
struct Progress {
    href: String,
    asked: String,
    /// There is something to wait for.
    open: bool,
    urls: Vec<UrlProgress>,
}

struct UrlProgress {
    key: i32,
    name: String,
    account: String,
    state: Status,
    done: i64,
    /// At least one, because a bar of nothing is full.
    wanted: i64,
    said: String,
    pace: String,
}

/// `GET /console/callbacks/try`
pub(super) async fn look(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    form: Query<TryForm>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ReplayCallbacks)?;
    let form = form.into_inner();
    let snapshot = parts.directory.snapshot();
    let (urls, wrong) = match form.waiting(&parts, &snapshot, &visitor.actor).await {
        Ok(urls) => (urls, None),
        Err(Refusal::Invalid { text, .. }) => (vec![], Some(text)),
        Err(refusal) => return Err(refusal.into()),
    };
    page(&Page {
        frame: Frame::new(&request, &visitor, "Try now", callbacks::PATH),
        back: asked::address(callbacks::EVENTS_PATH, form.urls().fields().into_iter().chain([("state", "retrying")])),
        form,
        wrong,
        urls: urls.iter().map(url_row).collect(),
    })
}

/// `POST /console/callbacks/try`
pub(super) async fn begin(parts: Data<Parts>, visitor: Visitor, form: Form<TryForm>) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ReplayCallbacks)?;
    let snapshot = parts.directory.snapshot();
    let waiting = form.waiting(&parts, &snapshot, &visitor.actor).await?;
    let since = clock::now();
    let mut tried = Vec::with_capacity(waiting.len());
    for url in &waiting {
        let last = parts.store.log_end(url.subscription.account).await?;
        if try_now(&parts.store, &snapshot, &visitor.actor, url.subscription.key.0).await? {
            tried.push(format!("{}-{}-{}", url.subscription.key, url.owed.events + url.waiting, last.0));
        }
    }
    if tried.is_empty() {
        // It was quicker by itself.
        return Ok(see_other(&format!("{}?done=nothing-waits", callbacks::PATH)));
    }
    Ok(see_other(&format!("{}&done=trying", progress_href(since.0, &tried.join(".")))))
}

/// `GET /console/callbacks/tried`
pub(super) async fn progress(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    form: Query<ProgressForm>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ReadMessages)?;
    let form = form.into_inner();
    let progress = form.progress(&parts, &visitor.actor).await?;
    if wants_part(&request) {
        return page(&progress);
    }
    page(&ProgressPage { frame: Frame::new(&request, &visitor, "Tried now", callbacks::PATH), progress })
}

fn progress_href(since: i64, urls: &str) -> String {
    asked::address(PROGRESS_PATH, [("since", &*since.to_string()), ("urls", urls)])
}

fn url_row(url: &UrlStanding) -> UrlRow {
    let waiting = match url.waiting {
        0 => String::new(),
        waiting => format!(", and {} that were set aside", thousands(waiting)),
    };
    UrlRow {
        key: url.subscription.key.0,
        name: name(url),
        account: url.account.clone(),
        state: status_of(url),
        owed: format!("{}{waiting}", owed(url)),
    }
}

impl TryForm {
    fn urls(&self) -> ChosenUrls<'_> {
        ChosenUrls { account: &self.account, of: &self.of, url: &self.url, kind: &self.kind }
    }

    /// Those that fit, and wait for their next try.
    async fn waiting(&self, parts: &Parts, snapshot: &Snapshot, actor: &Actor) -> Result<Vec<UrlStanding>, Refusal> {
        let chosen = self.urls().read(snapshot)?;
        let keys: Vec<SubscriptionKey> = chosen.subscriptions(snapshot).map(|one| one.key).collect();
        let mut waiting = urls(&parts.store, snapshot, actor, &UrlFilter::default()).await?;
        waiting.retain(|url| keys.contains(&url.subscription.key) && waits(url));
        if waiting.len() > URLS_TOGETHER_MAX {
            let text = format!(
                "{} URLs wait, and {URLS_TOGETHER_MAX} are tried at once: choose an account, or one URL",
                waiting.len()
            );
            return Err(Refusal::Invalid { field: "url", text });
        }
        Ok(waiting)
    }
}

/// Whether trying it now makes a difference.
pub(super) fn waits(url: &UrlStanding) -> bool {
    let is_paused = url.subscription.webhook.as_ref().is_some_and(|webhook| webhook.paused);
    let is_held = matches!(url.state, UrlState::Failing | UrlState::OnHold) && url.owed.events > 0;
    !is_paused && url.state != UrlState::Off && (is_held || url.waiting > 0)
}

impl ProgressForm {
    async fn progress(&self, parts: &Parts, actor: &Actor) -> Result<Progress, Trouble> {
        let asked_for = self.read()?;
        let snapshot = parts.directory.snapshot();
        let standings = urls(&parts.store, &snapshot, actor, &UrlFilter::default()).await?;
        let now = clock::now();
        let mut shown = Vec::with_capacity(asked_for.len());
        for (key, wanted, last) in asked_for {
            let Some(url) = standings.iter().find(|url| url.subscription.key == key) else { continue };
            let tried = progress_of(&parts.store, url, (wanted, last)).await?;
            let done = tried.wanted - tried.left;
            let seconds = now.since(UnixMillis(self.since)).as_secs_f64().max(1.0);
            shown.push(UrlProgress {
                key: key.0,
                name: name(url),
                account: url.account.clone(),
                state: status_of(url),
                done,
                wanted: wanted.max(1),
                said: match tried.left {
                    0 => format!("All {} are done with.", thousands(wanted)),
                    left => format!("{} of {} still wait.", thousands(left), thousands(wanted)),
                },
                pace: format!("{:.1} a second on average", done as f64 / seconds),
            });
        }
        Ok(Progress {
            href: progress_href(self.since, &self.urls),
            asked: long_time(UnixMillis(self.since)),
            open: shown.iter().any(|url| url.done < url.wanted),
            urls: shown,
        })
    }

    fn read(&self) -> Result<Vec<(SubscriptionKey, i64, Place)>, Wrong> {
        let one = |part: &str| {
            let mut numbers = part.split('-').map(str::parse::<i64>);
            match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
                (Some(Ok(key)), Some(Ok(wanted @ 0..)), Some(Ok(last)), None) => {
                    Some((SubscriptionKey(i32::try_from(key).ok()?), wanted, Place(last)))
                }
                _ => None,
            }
        };
        let read: Option<Vec<_>> = self.urls.split('.').map(one).collect();
        let odd = || Wrong::of("urls", "what the page that asked for it wrote there");
        read.filter(|urls| urls.len() <= URLS_TOGETHER_MAX).ok_or_else(odd)
    }
}
