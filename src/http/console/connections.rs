//! Connections and numbers: how each stands, stopping one, and letting it go on.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Form, Path},
};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, Trouble, Visitor,
    asked::NoQuery,
    channel_check::CheckPart,
    frame::{long_time, plain_times, sentence},
    messages::Status,
    page, see_other,
};
use crate::{
    clock,
    domain::{
        account::Hold,
        channel::Quality,
        operator::{Actor, Permission},
        time::UnixMillis,
        words::{ago, counted, thousands},
    },
    http::Parts,
    providers::{self, WebhookForm},
    services::{
        connections::{ConnectionStanding, NumberStanding, TokenState},
        masking,
    },
    store::alarms::AlarmRecord,
};

pub(super) const PATH: &str = "/console/connections";
pub(super) const TITLE: &str = "Connections and numbers";

#[derive(Template)]
#[template(path = "console/connections.html")]
struct ListPage {
    frame: Frame,
    connections: Vec<ConnectionRow>,
    numbers: Vec<NumberRow>,
    may_configure: bool,
}

struct ConnectionRow {
    id: String,
    provider: &'static str,
    state: Status,
    reason: Option<String>,
    token: Status,
    token_seen: String,
    heard: String,
    numbers: usize,
}

/// A number in a list.
pub(super) struct NumberRow {
    pub(super) number: String,
    pub(super) digits: String,
    pub(super) account: String,
    pub(super) connection: String,
    pub(super) state: Status,
    pub(super) reason: Option<String>,
    pub(super) quality: Status,
    pub(super) pace: u32,
    pub(super) limit: String,
    pub(super) queued: String,
    /// What waits for another try, or until it expires; none where nothing does.
    pub(super) later: Option<String>,
    pub(super) oldest: String,
}

#[derive(Template)]
#[template(path = "console/connection.html")]
struct Page {
    frame: Frame,
    id: String,
    provider: String,
    form: WebhookForm,
    state: Status,
    hold: Option<HoldPart>,
    alarms: Vec<AlarmPart>,
    token: Status,
    token_seen: String,
    heard: String,
    settings: Vec<(&'static str, String)>,
    secrets: Vec<(&'static str, String)>,
    webhook_url: String,
    /// What the provider must be told besides the URL, by name.
    word: Option<&'static str>,
    check: CheckPart,
    numbers: Vec<NumberRow>,
    path: String,
    may_manage: bool,
    may_configure: bool,
}

/// Who holds something, since when, why, and what ends that.
pub(super) struct HoldPart {
    pub(super) by: String,
    pub(super) since: String,
    pub(super) ago: String,
    pub(super) reason: String,
    pub(super) ended_by: String,
}

impl HoldPart {
    pub(super) fn of(actor: &Actor, hold: Option<&Hold>) -> Option<Self> {
        hold.map(|hold| Self {
            by: hold.by_whom(),
            since: long_time(hold.since),
            ago: ago(hold.since, clock::now()),
            reason: masking::text(actor, &hold.reason),
            ended_by: sentence(hold.ended_by()),
        })
    }
}

/// Something that is wrong now.
pub(super) struct AlarmPart {
    pub(super) text: String,
    pub(super) ago: String,
}

#[derive(Deserialize)]
pub(super) struct HoldForm {
    pub(super) reason: String,
}

/// `GET /console/connections`
pub(super) async fn list(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    _: NoQuery,
) -> Result<HttpResponse, Trouble> {
    let actor = &visitor.actor;
    let standing = parts.connections.list(actor).await?;
    let numbers = standing.iter().flat_map(|connection| &connection.numbers);
    let mut numbers: Vec<NumberRow> = numbers.map(|number| number_row(actor, number)).collect();
    numbers.sort_by(|one, other| one.number.cmp(&other.number));
    page(&ListPage {
        frame: Frame::new(&request, &visitor, TITLE, PATH),
        connections: standing.iter().map(|connection| connection_row(actor, connection)).collect(),
        numbers,
        may_configure: actor.may(Permission::ManageConfiguration),
    })
}

/// `GET /console/connections/{id}`
pub(super) async fn show(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    page(&connection_page(&request, &parts, &visitor, &id).await?)
}

/// `POST /console/connections/{id}/hold`
pub(super) async fn hold(
    parts: Data<Parts>,
    visitor: Visitor,
    id: Path<String>,
    form: Form<HoldForm>,
) -> Result<HttpResponse, Trouble> {
    parts.connections.hold_connection(&visitor.actor, &id, &form.reason).await?;
    Ok(see_other(&format!("{PATH}/{}?done=held", *id)))
}

/// `POST /console/connections/{id}/release`
pub(super) async fn release(parts: Data<Parts>, visitor: Visitor, id: Path<String>) -> Result<HttpResponse, Trouble> {
    parts.connections.release_connection(&visitor.actor, &id).await?;
    Ok(see_other(&format!("{PATH}/{}?done=going", *id)))
}

async fn connection_page(request: &HttpRequest, parts: &Parts, visitor: &Visitor, id: &str) -> Result<Page, Trouble> {
    let actor = &visitor.actor;
    let standing = parts.connections.one(actor, id).await?;
    let connection = &standing.connection;
    let provider = providers::find(&connection.provider);
    let fields = provider.map_or(&[][..], |provider| provider.settings());
    let (token, token_seen) = token_status(&standing);
    let settings = fields.iter().filter(|field| !field.secret);
    let secrets = fields.iter().filter(|field| field.secret);
    let path = format!("{PATH}/{id}");
    Ok(Page {
        frame: Frame::new(request, visitor, id, PATH),
        id: connection.id.clone(),
        provider: connection.provider.clone(),
        form: provider.map_or_else(WebhookForm::default, |provider| provider.webhook_form()),
        state: connection_status(&standing),
        hold: HoldPart::of(actor, connection.hold.as_ref()),
        alarms: alarm_parts(actor, &standing.alarms),
        token,
        token_seen,
        heard: heard(standing.heard_at),
        settings: settings.map(|field| (field.label, connection.setting(field.name).to_owned())).collect(),
        secrets: secrets.map(|field| (field.label, kept(connection.secrets(field.name).len()))).collect(),
        webhook_url: standing.webhook_url.clone(),
        word: fields.iter().find(|field| field.chosen_here).map(|field| field.label),
        check: CheckPart::before(actor, &visitor.csrf, path.clone()),
        numbers: standing.numbers.iter().map(|number| number_row(actor, number)).collect(),
        may_manage: actor.may(Permission::ManageQueues),
        may_configure: actor.may(Permission::ManageConfiguration),
        path,
    })
}

/// What is said of a secret.
fn kept(values: usize) -> String {
    match values {
        0 => "none".to_owned(),
        1 => "set, never shown".to_owned(),
        values => format!("{values} valid at once, never shown"),
    }
}

fn connection_row(actor: &Actor, standing: &ConnectionStanding) -> ConnectionRow {
    let connection = &standing.connection;
    let (token, token_seen) = token_status(standing);
    ConnectionRow {
        id: connection.id.clone(),
        provider: providers::find(&connection.provider).map_or("not known here", |provider| provider.slug()),
        state: connection_status(standing),
        reason: connection.hold.as_ref().map(|hold| hold_words(actor, hold)),
        token,
        token_seen,
        heard: heard(standing.heard_at),
        numbers: standing.numbers.len(),
    }
}

pub(super) fn number_row(actor: &Actor, standing: &NumberStanding) -> NumberRow {
    let NumberStanding { sender, account, channel, limit, queue, .. } = standing;
    let state = channel.state.as_ref().map(|(_, state)| state);
    let hold = sender.hold.as_ref().or(sender.connection.hold.as_ref());
    NumberRow {
        number: sender.number.as_e164().to_owned(),
        digits: sender.number.digits().to_owned(),
        account: account.as_ref().map_or_else(|| "?".to_owned(), |account| account.id.clone()),
        connection: sender.connection.id.clone(),
        state: number_status(standing),
        reason: hold.map(|hold| hold_words(actor, hold)),
        quality: quality_status(state.map(|state| state.quality)),
        pace: sender.pace,
        limit: match (limit, state.and_then(|state| state.messaging_limit.as_ref())) {
            (Some(limit), _) => format!("{} of {}", limit.people, limit.people_max),
            (None, Some(limit)) => limit.to_string(),
            (None, None) => "not known".to_owned(),
        },
        queued: thousands(queue.queued),
        later: (queue.waiting_for_retry > 0).then(|| thousands(queue.waiting_for_retry)),
        oldest: queue.oldest_queued.map(|at| ago(at, clock::now())).unwrap_or_default(),
    }
}

pub(super) fn alarm_parts(actor: &Actor, alarms: &[AlarmRecord]) -> Vec<AlarmPart> {
    let part = |alarm: &AlarmRecord| AlarmPart {
        text: sentence(&plain_times(&masking::text(actor, &alarm.text))),
        ago: ago(alarm.raised_at, clock::now()),
    };
    alarms.iter().map(part).collect()
}

/// `by asha: quality is yellow`
pub(super) fn hold_words(actor: &Actor, hold: &Hold) -> String {
    format!("{}: {}", hold.by_whom(), masking::text(actor, &hold.reason))
}

fn connection_status(standing: &ConnectionStanding) -> Status {
    state_status(standing.connection.hold.as_ref(), &standing.token, heard_since_change(standing))
}

fn heard_since_change(standing: &ConnectionStanding) -> bool {
    standing.numbers.iter().any(NumberStanding::heard_since_change)
}

pub(super) fn number_status(standing: &NumberStanding) -> Status {
    let sender = &standing.sender;
    let hold = sender.hold.as_ref().or(sender.connection.hold.as_ref());
    state_status(hold, &standing.token, standing.heard_since_change())
}

/// Where nobody takes the token nothing is sent, held or not. Some providers have nothing to ask for with it: of those, what was
/// `heard` since it was entered shows that it is taken.
fn state_status(hold: Option<&Hold>, token: &TokenState, heard: bool) -> Status {
    match (hold, token) {
        (Some(_), _) => Status { name: "on hold", tone: "bad" },
        (None, TokenState::Refused(..)) => Status { name: "token refused", tone: "bad" },
        (None, TokenState::Unknown) if !heard => Status { name: "not tried yet", tone: "" },
        (None, TokenState::Unknown | TokenState::Taken(_)) => Status { name: "works", tone: "good" },
    }
}

pub(super) fn quality_status(quality: Option<Quality>) -> Status {
    let (name, tone) = match quality {
        Some(Quality::Green) => ("green", "good"),
        Some(Quality::Yellow) => ("yellow", "warn"),
        Some(Quality::Red) => ("red", "bad"),
        Some(Quality::Unknown) => ("not rated", ""),
        None => ("not known", ""),
    };
    Status { name, tone }
}

/// What was `heard` since it was entered shows that it is taken, too.
fn token_status(standing: &ConnectionStanding) -> (Status, String) {
    let now = clock::now();
    match &standing.token {
        TokenState::Unknown if heard_since_change(standing) => (Status { name: "taken", tone: "good" }, String::new()),
        TokenState::Unknown => (Status { name: "not tried yet", tone: "" }, String::new()),
        TokenState::Taken(at) => (Status { name: "taken", tone: "good" }, format!("{} ago", ago(*at, now))),
        TokenState::Refused(at, _) => (Status { name: "refused", tone: "bad" }, format!("{} ago", ago(*at, now))),
    }
}

pub(super) fn heard(at: Option<UnixMillis>) -> String {
    at.map_or_else(|| "none within a day".to_owned(), |at| format!("{} ago", ago(at, clock::now())))
}

/// `12 templates`, of which some can be sent.
pub(super) fn templates(standing: &NumberStanding) -> String {
    let (sendable, known) = standing.templates;
    match known {
        0 => "none known".to_owned(),
        known => format!("{sendable} of {} can be sent", counted(known as u64, "template", "templates")),
    }
}
