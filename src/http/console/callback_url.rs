//! One callback URL: how it stands, what it left behind and why, what was said to it lately, and what a person can do.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path},
};
use askama::Template;

use super::{
    Frame, Trouble, Visitor,
    callback_exchanges::{ExchangeRow, exchange_row},
    callback_replay::{self, ReplayPart},
    callback_tries::waits,
    callbacks::{PATH, kind_name, name, owed, said, status_of, trouble},
    frame::long_time,
    messages::Status,
    page, see_other,
};
use crate::{
    clock,
    domain::{
        operator::{Actor, Permission},
        words::{ago, thousands},
    },
    http::Parts,
    services::{
        callback_tries,
        callbacks::{self, UrlStanding, UrlState},
        masking,
        operators::Refusal,
    },
    store::{
        callbacks::CallbackState,
        exchanges::ExchangeFilter,
        told::{LeftBehind, Standing},
    },
};

#[derive(Template)]
#[template(path = "console/callback_url.html")]
struct Page {
    frame: Frame,
    head: Head,
    standing: StandingPart,
    may_replay: bool,
}

/// What stands above all pages of one URL.
pub(super) struct Head {
    pub(super) key: i32,
    pub(super) name: String,
    pub(super) account: String,
    /// Whose cursor it is, and what it hears of.
    pub(super) webhook: Option<(String, &'static str)>,
    /// Which of them this is.
    pub(super) here: &'static str,
}

/// What changes while somebody looks.
#[derive(Template)]
#[template(path = "console/callback_standing.html")]
struct StandingPart {
    key: i32,
    state: Status,
    trouble: Option<String>,
    hold: Option<String>,
    /// Its last answer, when that is why it fails.
    said: Option<String>,
    url: String,
    kind: &'static str,
    owed: String,
    oldest: Option<String>,
    /// Of a webhook: events that were not taken, or are behind one that was not.
    waiting: Option<String>,
    dead: String,
    not_relayed: String,
    /// There is something to wait for.
    moves: bool,
    csrf: String,
    may_replay: bool,
    /// It waits for its next try, and could be tried now.
    waits: bool,
    /// Under way.
    replays: Vec<ReplayPart>,
    /// Those that came to an end.
    ended: Vec<ReplayPart>,
    reasons: Vec<ReasonRow>,
    exchanges: Vec<ExchangeRow>,
}

struct ReasonRow {
    state: Status,
    reason: String,
    events: String,
    newest: String,
    href: String,
}

/// Reasons that are listed one by one.
const REASONS_SHOWN_MAX: usize = 10;
const EXCHANGES_SHOWN_MAX: usize = 8;
const REPLAYS_SHOWN_MAX: usize = 8;

/// `GET /console/callbacks/{url}`
pub(super) async fn show(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    key: Path<i32>,
) -> Result<HttpResponse, Trouble> {
    let actor = &visitor.actor;
    let url = callbacks::url(&parts.store, &parts.directory.snapshot(), actor, *key).await?;
    page(&Page {
        frame: Frame::new(&request, &visitor, title(&url), PATH),
        head: head(&url, "overview"),
        standing: standing_part(&parts, &visitor, &url).await?,
        may_replay: actor.may(Permission::ReplayCallbacks),
    })
}

/// `GET /console/callbacks/{url}/standing`
pub(super) async fn standing(parts: Data<Parts>, visitor: Visitor, key: Path<i32>) -> Result<HttpResponse, Trouble> {
    let url = callbacks::url(&parts.store, &parts.directory.snapshot(), &visitor.actor, *key).await?;
    page(&standing_part(&parts, &visitor, &url).await?)
}

/// `POST /console/callbacks/{url}/release`
pub(super) async fn release(parts: Data<Parts>, visitor: Visitor, key: Path<i32>) -> Result<HttpResponse, Trouble> {
    let done = callback_tries::try_now(&parts.store, &parts.directory.snapshot(), &visitor.actor, *key).await?;
    if !done {
        let text = format!("callback URL {key} waits for nothing: what it refused before is told again under “Events”");
        return Err(Refusal::Conflict(text).into());
    }
    Ok(see_other(&format!("{PATH}/{key}?done=released")))
}

pub(super) fn title(url: &UrlStanding) -> String {
    format!("{} · {}", name(url), url.account)
}

pub(super) fn head(url: &UrlStanding, here: &'static str) -> Head {
    let webhook = url.subscription.webhook.as_ref();
    Head {
        key: url.subscription.key.0,
        name: name(url),
        account: url.account.clone(),
        webhook: webhook.map(|webhook| (webhook.name.clone(), kind_name(url.subscription.kind))),
        here,
    }
}

async fn standing_part(parts: &Parts, visitor: &Visitor, url: &UrlStanding) -> Result<StandingPart, Trouble> {
    let (now, actor, key) = (clock::now(), &visitor.actor, url.subscription.key);
    let reasons = parts.store.left_behind(&url.subscription, REASONS_SHOWN_MAX).await?;
    let found = parts.store.exchanges(key, &ExchangeFilter::default(), EXCHANGES_SHOWN_MAX).await?;
    let replays = parts.store.replays_of(key, REPLAYS_SHOWN_MAX).await?;
    let (open, ended): (Vec<_>, Vec<_>) = replays.iter().partition(|replay| replay.finished_at.is_none());
    let shown = |replays: Vec<_>| replays.into_iter().map(|replay| callback_replay::part(visitor, replay)).collect();
    Ok(StandingPart {
        key: url.subscription.key.0,
        state: status_of(url),
        trouble: trouble(url, now),
        hold: url.trouble.hold.as_ref().map(|hold| masking::text(actor, &hold.reason)),
        said: url.last.as_ref().filter(|_| url.state != UrlState::Works).map(|last| said(actor, last)),
        url: url.url.clone(),
        kind: kind_name(url.subscription.kind),
        owed: owed(url),
        oldest: url.owed.oldest.map(|oldest| format!("the oldest for {}", ago(oldest, now))),
        waiting: url.subscription.webhook.as_ref().map(|_| thousands(url.waiting)),
        dead: thousands(url.dead),
        not_relayed: thousands(url.not_relayed),
        moves: url.state != UrlState::Works || url.owed.events + url.waiting > 0 || url.replay.is_some(),
        csrf: visitor.csrf.clone(),
        may_replay: actor.may(Permission::ReplayCallbacks),
        waits: waits(url),
        replays: shown(open),
        ended: shown(ended),
        reasons: reasons.iter().map(|reason| reason_row(actor, key.0, reason)).collect(),
        exchanges: found.exchanges.iter().map(|exchange| exchange_row(actor, exchange)).collect(),
    })
}

fn reason_row(actor: &Actor, key: i32, reason: &LeftBehind) -> ReasonRow {
    let standing = match reason.state {
        CallbackState::Dead => Standing::Dead,
        CallbackState::NotRelayed => Standing::NotRelayed,
        CallbackState::Waiting => Standing::Owed,
    };
    ReasonRow {
        state: standing_status(standing),
        reason: masking::text(actor, &reason.reason),
        events: thousands(reason.events),
        newest: long_time(reason.newest),
        href: format!("{PATH}/{key}/events?state={}", standing.as_str()),
    }
}

/// What became of an event, in a word and a colour.
pub(super) fn standing_status(standing: Standing) -> Status {
    let (name, tone) = match standing {
        Standing::Owed => ("owed", "warn"),
        Standing::Delivered => ("delivered", "good"),
        Standing::Dead => ("dead", "bad"),
        Standing::NotRelayed => ("not relayed", "plain"),
        Standing::PassedOver => ("passed over", "plain"),
    };
    Status { name, tone }
}
