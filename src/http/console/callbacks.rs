//! Every callback URL: whether it takes what it is told, and how far it has come. What belongs to one URL is in [`callback_url`], its
//! events in [`callback_events`] and [`callback_event`], what was said to it in [`callback_exchanges`], telling it again in
//! [`callback_replay`]. Over several URLs the same is done by [`all_events`], [`exchanges`], [`callback_again`] and [`callback_tries`].

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, ServiceConfig},
};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, Trouble, Visitor, all_events,
    asked::{self, Query, Wrong, some},
    callback_again, callback_event, callback_events, callback_exchanges, callback_replay, callback_tries, callback_url,
    exchanges,
    frame::wants_part,
    messages::Status,
    page,
    webhooks::state_status as webhook_status,
};
use crate::{
    clock,
    domain::{
        attempt::AttemptOutcome,
        callback::EventKind,
        operator::Actor,
        time::UnixMillis,
        words::{ago, thousands},
    },
    http::Parts,
    services::{
        callbacks::{self, OWED_COUNTED_MAX, UrlFilter, UrlStanding, UrlState},
        directory::Snapshot,
        masking,
        webhook_view::failing_state,
    },
    store::exchanges::StoredExchange,
};

pub(super) const PATH: &str = "/console/callbacks";
pub(super) const EVENTS_PATH: &str = "/console/callbacks/events";

/// Everything under `/console/callbacks`.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/callbacks", web::get().to(list))
        .route("/callbacks/badge", web::get().to(badge))
        .route("/callbacks/exchanges", web::get().to(exchanges::list))
        .route("/callbacks/events", web::get().to(all_events::list))
        .route("/callbacks/again", web::get().to(callback_again::look))
        .route("/callbacks/again", web::post().to(callback_again::begin))
        .route("/callbacks/replays", web::get().to(callback_again::progress))
        .route("/callbacks/try", web::get().to(callback_tries::look))
        .route("/callbacks/try", web::post().to(callback_tries::begin))
        .route("/callbacks/tried", web::get().to(callback_tries::progress))
        .route("/callbacks/{url}", web::get().to(callback_url::show))
        .route("/callbacks/{url}/standing", web::get().to(callback_url::standing))
        .route("/callbacks/{url}/release", web::post().to(callback_url::release))
        .route("/callbacks/{url}/events", web::get().to(callback_events::list))
        .route("/callbacks/{url}/events/{place}", web::get().to(callback_event::show))
        .route("/callbacks/{url}/events/{place}/try", web::post().to(callback_event::try_now))
        .route("/callbacks/{url}/exchanges", web::get().to(callback_exchanges::list))
        .route("/callbacks/{url}/replay", web::get().to(callback_replay::look))
        .route("/callbacks/{url}/replay", web::post().to(callback_replay::begin))
        .route("/callbacks/{url}/replays/{id}", web::get().to(callback_replay::progress))
        .route("/callbacks/{url}/replays/{id}/stop", web::post().to(callback_replay::stop));
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct UrlForm {
    account: String,
    kind: String,
    state: String,
    /// A webhook's name.
    webhook: String,
}

#[derive(Template)]
#[template(path = "console/callbacks.html")]
struct Page {
    frame: Frame,
    here: &'static str,
    form: UrlForm,
    accounts: Vec<String>,
    webhooks: Vec<String>,
    kinds: Vec<Choice>,
    states: Vec<Choice>,
    list: List,
}

/// What changes while somebody looks.
#[derive(Template)]
#[template(path = "console/callbacks_list.html")]
struct List {
    href: String,
    is_filtered: bool,
    /// There is something to wait for.
    moves: bool,
    accounts: Vec<AccountPart>,
}

#[derive(Template)]
#[template(path = "console/callbacks_badge.html")]
struct Badge {
    failing: usize,
}

struct AccountPart {
    id: String,
    failing: usize,
    urls: Vec<UrlRow>,
}

struct UrlRow {
    key: i32,
    name: String,
    url: String,
    state: Status,
    trouble: Option<String>,
    owed: String,
    waiting: Option<String>,
    dead: String,
    has_dead: bool,
    not_relayed: String,
    /// What it said last matters: it does not take what it is told.
    fails: bool,
    last: String,
}

/// An entry of a select.
pub(super) struct Choice {
    pub(super) value: &'static str,
    pub(super) name: &'static str,
}

/// `GET /console/callbacks`
pub(super) async fn list(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    form: Query<UrlForm>,
) -> Result<HttpResponse, Trouble> {
    let form = form.into_inner();
    let snapshot = parts.directory.snapshot();
    let filter = form.filter(&snapshot)?;
    let urls = callbacks::urls(&parts.store, &snapshot, &visitor.actor, &filter).await?;
    let list = List {
        href: form.href(),
        is_filtered: filter.account.is_some()
            || filter.kind.is_some()
            || filter.state.is_some()
            || filter.webhook.is_some(),
        moves: urls.iter().any(|url| url.state != UrlState::Works || url.owed.events > 0),
        accounts: by_account(&visitor.actor, &urls),
    };
    if wants_part(&request) {
        return page(&list);
    }
    let accounts = snapshot.account_ids();
    page(&Page {
        frame: Frame::new(&request, &visitor, "Callbacks", PATH),
        here: "urls",
        form,
        accounts,
        webhooks: snapshot.webhooks.iter().map(|webhook| webhook.name.clone()).collect(),
        kinds: ALL_KINDS.map(|kind| Choice { value: kind.as_str(), name: kind_name(kind) }).into(),
        states: UrlState::ALL.map(|state| Choice { value: state.as_str(), name: state_status(state).name }).into(),
        list,
    })
}

/// Of whose URLs; all without.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct BadgeForm {
    account: String,
}

/// `GET /console/callbacks/badge`: how many URLs of the list need somebody, for the navigation, or for what is an account's.
pub(super) async fn badge(
    parts: Data<Parts>,
    visitor: Visitor,
    form: Query<BadgeForm>,
) -> Result<HttpResponse, Trouble> {
    let snapshot = parts.directory.snapshot();
    let account = asked::account(&snapshot, &form.account)?;
    let failing = callbacks::failing(&parts.store, &snapshot, &visitor.actor, account).await?;
    page(&Badge { failing })
}

impl UrlForm {
    fn filter(&self, snapshot: &Snapshot) -> Result<UrlFilter, Wrong> {
        asked::account(snapshot, &self.account)?;
        let is_known = |name: &str| snapshot.webhooks.iter().any(|webhook| webhook.name == name);
        let webhook = some(&self.webhook);
        if let Some(name) = webhook.as_deref().filter(|name| !is_known(name)) {
            return Err(Wrong::of("webhook", format!("there is no webhook {name}: choose one of the list")));
        }
        Ok(UrlFilter {
            account: some(&self.account),
            kind: asked::one_of("kind", &self.kind, &ALL_KINDS, EventKind::as_str)?,
            state: asked::one_of("state", &self.state, &UrlState::ALL, UrlState::as_str)?,
            key: None,
            webhook,
            off: false,
        })
    }

    fn href(&self) -> String {
        let Self { account, kind, state, webhook } = self;
        asked::address(PATH, [("account", &**account), ("kind", kind), ("state", state), ("webhook", webhook)])
    }
}

fn by_account(actor: &Actor, urls: &[UrlStanding]) -> Vec<AccountPart> {
    let now = clock::now();
    let part = |urls: &[UrlStanding]| AccountPart {
        id: urls.first().map(|url| url.account.clone()).unwrap_or_default(),
        failing: urls.iter().filter(|url| url.state != UrlState::Works).count(),
        urls: urls.iter().map(|url| row(actor, url, now)).collect(),
    };
    urls.chunk_by(|one, next| one.account == next.account).map(part).collect()
}

fn row(actor: &Actor, url: &UrlStanding, now: UnixMillis) -> UrlRow {
    UrlRow {
        key: url.subscription.key.0,
        name: name(url),
        url: url.url.clone(),
        state: status_of(url),
        trouble: trouble(url, now),
        owed: owed(url),
        waiting: (url.waiting > 0).then(|| format!("{} set aside", thousands(url.waiting))),
        dead: thousands(url.dead),
        has_dead: url.dead > 0,
        not_relayed: thousands(url.not_relayed),
        fails: url.state != UrlState::Works,
        last: url.last.as_ref().map(|last| answer(actor, last, now)).unwrap_or_else(|| "none yet".to_owned()),
    }
}

/// What it hears of.
pub(super) fn name(url: &UrlStanding) -> String {
    let kind = kind_name(url.subscription.kind);
    if let Some(webhook) = &url.subscription.webhook {
        return format!("Webhook {}: {}", webhook.name, kind.to_lowercase());
    }
    url.number.as_ref().map_or_else(|| kind.to_owned(), |number| format!("{kind} of {number}"))
}

/// Those that a URL can be for.
pub(super) const KINDS: [EventKind; 2] = [EventKind::Status, EventKind::Inbound];

/// Those that a webhook can be for, too.
const ALL_KINDS: [EventKind; 3] = [EventKind::Status, EventKind::Inbound, EventKind::Notice];

pub(super) fn kind_name(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Status => "Delivery reports",
        EventKind::Inbound => "Inbound messages",
        EventKind::Notice => "Notices",
        EventKind::Outgoing => "Messages going out",
        EventKind::Person => "Contacts and conversations",
    }
}

/// A webhook's is called as the webhook is; nobody knows whether a URL works that was told nothing yet.
pub(super) fn status_of(url: &UrlStanding) -> Status {
    let is_webhook = url.subscription.webhook.is_some();
    match url.state {
        UrlState::Works if url.last.is_none() => Status { name: "not used yet", tone: "plain" },
        UrlState::Failing if is_webhook => webhook_status(failing_state(i64::from(url.trouble.failures))),
        state @ (UrlState::Works | UrlState::Refusing | UrlState::Failing | UrlState::OnHold | UrlState::Off) => {
            state_status(state)
        }
    }
}

fn state_status(state: UrlState) -> Status {
    let (name, tone) = match state {
        UrlState::Works => ("works", "good"),
        UrlState::Refusing => ("not taken", "bad"),
        UrlState::Failing => ("failing", "bad"),
        UrlState::OnHold => ("on hold", "bad"),
        UrlState::Off => ("off", "plain"),
    };
    Status { name, tone }
}

pub(super) fn owed(url: &UrlStanding) -> String {
    let more = u64::try_from(url.owed.events).is_ok_and(|events| events >= OWED_COUNTED_MAX);
    format!("{}{}", thousands(url.owed.events), if more { " or more" } else { "" })
}

/// For how long it fails, and what comes next.
pub(super) fn trouble(url: &UrlStanding, now: UnixMillis) -> Option<String> {
    let trouble = &url.trouble;
    if url.state == UrlState::Off {
        return Some("its webhook is off: what waited is set aside, and what happens now is not told".to_owned());
    }
    if url.state == UrlState::Refusing {
        let text = match url.owed.events + url.waiting {
            0 => {
                "nothing waits; what it was told last was not taken and is dead: see its answer, mend what it names, then tell that again"
            }
            _ => "what it was told last was not taken; what waits is told next",
        };
        return Some(text.to_owned());
    }
    let since = trouble.failing_since.or_else(|| trouble.hold.as_ref().map(|hold| hold.since))?;
    let times = match trouble.failures {
        ..=1 => String::new(),
        times => format!(", {} times in a row", thousands(i64::from(times))),
    };
    let next = match trouble.due_at {
        Some(due_at) if due_at > now => format!("; next try in {}", ago(now, due_at)),
        Some(_) => "; next try now".to_owned(),
        None => String::new(),
    };
    Some(format!("for {}{times}{next}", ago(since, now)))
}

/// What it answered: the status is enough when it took what it was told.
pub(super) fn said(actor: &Actor, exchange: &StoredExchange) -> String {
    match exchange.http_status {
        Some(status) if exchange.outcome == AttemptOutcome::Succeeded => format!("HTTP {status}"),
        Some(_) | None => masking::text(actor, &exchange.note),
    }
}

/// The last thing that it said.
fn answer(actor: &Actor, exchange: &StoredExchange, now: UnixMillis) -> String {
    format!("{}, {} ago", said(actor, exchange), ago(exchange.started_at, now))
}
