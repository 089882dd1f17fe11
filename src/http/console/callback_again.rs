//! Telling again over several callback URLs at once: what it would be, the yes, and how far it has come at each.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Form},
};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, Trouble, Visitor,
    asked::{self, Query, Wrong},
    callback_choice::{ChosenUrls, account_of, url_name},
    callback_replay::{ReplayForm, ReplayPart, begin_planned, events_of, part},
    callbacks, page, see_other,
};
use crate::{
    domain::{
        operator::{Actor, Permission},
        words::thousands,
    },
    http::Parts,
    services::{
        directory::Snapshot,
        operators::{Refusal, require},
        replay::{Planned, Wish, plan},
    },
    store::told_together::URLS_TOGETHER_MAX,
};

pub(super) const PATH: &str = "/console/callbacks/again";
const PROGRESS_PATH: &str = "/console/callbacks/replays";

/// As an address has it, and, with the token, the form.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct AgainForm {
    account: String,
    of: String,
    url: String,
    kind: String,
    /// Which events are told again.
    replay: String,
    message: String,
    code: String,
    reason: String,
    since: String,
    until: String,
    /// Events a second to each URL.
    rate: String,
}

#[derive(Template)]
#[template(path = "console/callback_again.html")]
struct Page {
    frame: Frame,
    form: AgainForm,
    wrong: Option<String>,
    what: &'static str,
    count: i64,
    events: String,
    /// Each with the events that would be told to it again.
    urls: Vec<(String, String, String)>,
    back: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProgressForm {
    /// Their numbers, with a point between them.
    ids: String,
}

#[derive(Template)]
#[template(path = "console/callback_replays.html")]
struct ProgressPage {
    frame: Frame,
    replays: Vec<UrlReplay>,
}

struct UrlReplay {
    name: String,
    account: String,
    part: ReplayPart,
}

/// `GET /console/callbacks/again`
pub(super) async fn look(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    form: Query<AgainForm>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ReplayCallbacks)?;
    let form = form.into_inner();
    let snapshot = parts.directory.snapshot();
    let planned = form.planned(&parts, &snapshot, &visitor.actor).await;
    let urls = planned.as_deref().unwrap_or_default().iter().map(|part| {
        let subscription = &part.subscription;
        (account_of(&snapshot, subscription), url_name(&snapshot, subscription), thousands(part.events))
    });
    let urls = urls.collect();
    let (count, wrong) = events_of(planned)?;
    page(&Page {
        frame: Frame::new(&request, &visitor, "Tell again", callbacks::PATH),
        what: form.replay_form().what(),
        back: form.back(),
        form,
        wrong,
        count,
        events: thousands(count),
        urls,
    })
}

/// `POST /console/callbacks/again`
pub(super) async fn begin(
    parts: Data<Parts>,
    visitor: Visitor,
    form: Form<AgainForm>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ReplayCallbacks)?;
    let rate = form.replay_form().rate()?;
    let planned = form.planned(&parts, &parts.directory.snapshot(), &visitor.actor).await?;
    let begun = begin_planned(&parts, &visitor, &planned, rate).await?;
    let ids = begun.iter().map(|replay| replay.id.to_string()).collect::<Vec<_>>().join(".");
    Ok(see_other(&format!("{PROGRESS_PATH}?ids={ids}&done=replay")))
}

/// `GET /console/callbacks/replays`: each goes on by itself, as on the page of its URL.
pub(super) async fn progress(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    form: Query<ProgressForm>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ReadMessages)?;
    let ids: Result<Vec<i32>, _> = form.ids.split('.').map(str::parse).collect();
    let ids = ids.ok().filter(|ids| ids.len() <= REPLAYS_SHOWN_MAX);
    let ids = ids.ok_or_else(|| Wrong::of("ids", "numbers of replays with a point between them, such as 12.13"))?;
    let snapshot = parts.directory.snapshot();
    let replays = parts.store.replays(&ids).await?;
    let shown = replays.iter().map(|replay| {
        let url = snapshot.subscriptions_ever().find(|one| one.key == replay.subscription);
        UrlReplay {
            name: url.map_or_else(|| "a URL that was taken out".to_owned(), |url| url_name(&snapshot, url)),
            account: url.map(|url| account_of(&snapshot, url)).unwrap_or_default(),
            part: part(&visitor, replay),
        }
    });
    page(&ProgressPage {
        frame: Frame::new(&request, &visitor, "Told again", callbacks::PATH),
        replays: shown.collect(),
    })
}

/// One for each URL; of a message that several have the id of, one for each of them.
const REPLAYS_SHOWN_MAX: usize = 4 * URLS_TOGETHER_MAX;

impl AgainForm {
    fn urls(&self) -> ChosenUrls<'_> {
        ChosenUrls { account: &self.account, of: &self.of, url: &self.url, kind: &self.kind }
    }

    fn replay_form(&self) -> ReplayForm {
        ReplayForm {
            of: self.replay.clone(),
            message: self.message.clone(),
            code: self.code.clone(),
            reason: self.reason.clone(),
            since: self.since.clone(),
            until: self.until.clone(),
            rate: self.rate.clone(),
            ..ReplayForm::default()
        }
    }

    /// What it means now, over all URLs that fit.
    async fn planned(&self, parts: &Parts, snapshot: &Snapshot, actor: &Actor) -> Result<Vec<Planned>, Refusal> {
        let chosen = self.urls().read(snapshot)?;
        let configuration = parts.store.load_configuration().await?;
        let wish = self.replay_form().wish(parts, actor, &configuration).await?;
        let mut planned = Vec::new();
        let mut urls = 0;
        for subscription in chosen.subscriptions(snapshot) {
            let wish = Wish { subscription: Some(subscription.key), ..wish.clone() };
            let of_it = plan(&parts.store, &configuration, &wish).await?;
            urls += usize::from(!of_it.is_empty());
            planned.extend(of_it);
        }
        if urls > URLS_TOGETHER_MAX {
            let text = format!(
                "these are events of {urls} URLs, and {URLS_TOGETHER_MAX} are told again at once: choose an account, or one URL"
            );
            return Err(Refusal::Invalid { field: "url", text });
        }
        Ok(planned)
    }

    /// The list that it came from.
    fn back(&self) -> String {
        let state = if self.replay == "all" { "" } else { &self.replay };
        let others = [
            ("state", state),
            ("message", &self.message),
            ("code", &self.code),
            ("reason", &self.reason),
            ("since", &self.since),
            ("until", &self.until),
        ];
        asked::address(callbacks::EVENTS_PATH, self.urls().fields().into_iter().chain(others))
    }
}
