//! One business number: how it stands, what the provider says of it, and who may be sent a freeform message.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Form, Path},
};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, Trouble, Visitor,
    asked::Query,
    channel_check::CheckPart,
    connections::{self, AlarmPart, HoldForm, HoldPart},
    frame::{long_time, sentence},
    messages::Status,
    page, see_other,
};
use crate::{
    clock,
    domain::{
        account::{Sender, SenderPolicy},
        operator::{Actor, Permission},
        phone::PhoneNumber,
        words::{ago, thousands},
    },
    http::Parts,
    providers,
    services::{
        connections::NumberStanding,
        masking, polling,
        window::{Window, window},
    },
    store::polls::PollTrouble,
};

pub(super) const PATH: &str = "/console/numbers";

/// The page of a number in E.164.
pub(super) fn path_of(number: &str) -> String {
    format!("{PATH}/{}", number.trim_start_matches('+'))
}

#[derive(Template)]
#[template(path = "console/number.html")]
struct Page {
    frame: Frame,
    number: String,
    account: String,
    connection: String,
    state: Status,
    hold: Option<HoldPart>,
    /// The connection is, which stops its numbers as well.
    connection_hold: Option<HoldPart>,
    alarms: Vec<AlarmPart>,
    poll_trouble: Option<String>,
    check: CheckPart,
    seen: Seen,
    queue: QueuePart,
    ids: Vec<(&'static str, String)>,
    place: String,
    phone: String,
    window: Option<WindowPart>,
    path: String,
    may_manage: bool,
    may_configure: bool,
}

fn poll_trouble(actor: &Actor, trouble: &PollTrouble) -> String {
    sentence(&masking::text(actor, &polling::told(trouble, clock::now())))
}

/// The number as the provider saw it last.
struct Seen {
    read: String,
    failure: Option<String>,
    warnings: Vec<String>,
    advice: Option<String>,
    quality: Status,
    facts: Vec<(&'static str, String)>,
}

struct QueuePart {
    facts: Vec<(&'static str, String)>,
}

struct WindowPart {
    state: Status,
    text: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WindowQuery {
    phone: String,
}

/// `GET /console/numbers/{digits}`
pub(super) async fn show(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    digits: Path<String>,
    query: Query<WindowQuery>,
) -> Result<HttpResponse, Trouble> {
    let actor = &visitor.actor;
    let standing = parts.connections.number(actor, &digits).await?;
    let sender = &standing.sender;
    let number = sender.number.as_e164();
    let path = format!("{PATH}/{}", sender.number.digits());
    let SenderPolicy { location_name, location_address } = &sender.policy;
    let place: Vec<&str> = [location_name, location_address].into_iter().flatten().map(String::as_str).collect();
    let phone = query.phone.trim().to_owned();
    page(&Page {
        frame: Frame::new(&request, &visitor, number, connections::PATH),
        number: number.to_owned(),
        account: standing.account.as_ref().map_or_else(|| "?".to_owned(), |account| account.id.clone()),
        connection: sender.connection.id.clone(),
        state: connections::number_status(&standing),
        hold: HoldPart::of(actor, sender.hold.as_ref()),
        connection_hold: HoldPart::of(actor, sender.connection.hold.as_ref()),
        alarms: connections::alarm_parts(actor, &standing.alarms),
        poll_trouble: standing.poll_trouble.as_ref().map(|trouble| poll_trouble(actor, trouble)),
        check: CheckPart::before(actor, &visitor.csrf, path.clone()),
        seen: seen(actor, &standing),
        queue: QueuePart { facts: queue_facts(&standing) },
        ids: vec![
            ("Phone number id", sender.provider_number_id.clone()),
            ("WhatsApp business account id", sender.provider_account_id.clone()),
        ],
        place: if place.is_empty() { "none".to_owned() } else { place.join(", ") },
        window: window_part(&parts, actor, &standing, &phone).await?,
        phone,
        may_manage: actor.may(Permission::ManageQueues),
        may_configure: actor.may(Permission::ManageConfiguration),
        path,
    })
}

/// `POST /console/numbers/{digits}/hold`
pub(super) async fn hold(
    parts: Data<Parts>,
    visitor: Visitor,
    digits: Path<String>,
    form: Form<HoldForm>,
) -> Result<HttpResponse, Trouble> {
    parts.connections.hold_number(&visitor.actor, &digits, &form.reason).await?;
    Ok(see_other(&format!("{PATH}/{}?done=held", *digits)))
}

/// `POST /console/numbers/{digits}/release`
pub(super) async fn release(
    parts: Data<Parts>,
    visitor: Visitor,
    digits: Path<String>,
) -> Result<HttpResponse, Trouble> {
    parts.connections.release_number(&visitor.actor, &digits).await?;
    Ok(see_other(&format!("{PATH}/{}?done=going", *digits)))
}

fn seen(actor: &Actor, standing: &NumberStanding) -> Seen {
    let (sender, channel) = (&standing.sender, &standing.channel);
    let now = clock::now();
    let state = channel.state.as_ref().map(|(_, state)| state.clone());
    let read = channel.state.as_ref().map(|(at, _)| format!("read {} ago", ago(*at, now)));
    let known = state.clone().unwrap_or_default();
    let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "not known".to_owned());
    let throughput = known.throughput_per_second.map(|rate| format!("{rate} messages a second"));
    let limit = known.messaging_limit.as_ref().map(ToString::to_string);
    Seen {
        read: read.unwrap_or_else(|| "not read yet".to_owned()),
        failure: channel
            .failure
            .as_ref()
            .map(|(at, why)| format!("{} ago: {}", ago(*at, now), masking::text(actor, why))),
        warnings: known.warnings().iter().map(|warning| sentence(&masking::text(actor, warning))).collect(),
        advice: known
            .advice_on_pace(sender.messages_per_second)
            .or_else(|| providers::beyond_the_fastest(sender))
            .as_deref()
            .map(sentence),
        quality: connections::quality_status(state.map(|state| state.quality)),
        facts: vec![
            ("Name that people see", or_unknown(known.name)),
            ("Status", or_unknown(known.status.map(|status| status.to_lowercase()))),
            ("Throughput level", or_unknown(throughput.or(known.throughput))),
            ("Messaging limit", or_unknown(limit)),
            (
                "Of it used",
                standing.limit.as_ref().map_or_else(|| "not counted".to_owned(), |limit| sentence(&limit.told())),
            ),
            ("Templates", connections::templates(standing)),
        ],
    }
}

fn pace(sender: &Sender) -> String {
    let own = sender.messages_per_second;
    match sender.pace {
        pace if pace == own => format!("{own} messages a second"),
        pace => format!("{pace} messages a second, its part of what the account may; the number itself may {own}"),
    }
}

fn queue_facts(standing: &NumberStanding) -> Vec<(&'static str, String)> {
    let (queue, lately) = (&standing.queue, &standing.lately);
    let now = clock::now();
    let oldest = queue.oldest_queued.map_or_else(|| "–".to_owned(), |at| format!("waits for {}", ago(at, now)));
    let count = |count: u64| thousands(i64::try_from(count).unwrap_or(i64::MAX));
    vec![
        ("Pace", pace(&standing.sender)),
        ("In the queue", thousands(queue.queued)),
        ("The oldest", oldest),
        ("Waiting for later", thousands(queue.waiting_for_retry)),
        ("Being sent", thousands(queue.sending)),
        ("Outcome unknown", thousands(queue.unknown)),
        ("Sent within a day", count(lately.sent)),
        ("Expired within a day", count(lately.expired)),
        ("Newest status", connections::heard(lately.heard_at)),
        ("Sent by instance", standing.owner.clone().unwrap_or_else(|| "none now".to_owned())),
    ]
}

async fn window_part(
    parts: &Parts,
    actor: &Actor,
    standing: &NumberStanding,
    phone: &str,
) -> Result<Option<WindowPart>, Trouble> {
    if phone.is_empty() {
        return Ok(None);
    }
    let Ok(person) = PhoneNumber::parse(phone, standing.default_country()) else {
        let text = "This is no telephone number: give it with + and its country code, like +919876500001.";
        return Ok(Some(WindowPart { state: Status { name: "not a number", tone: "bad" }, text: text.to_owned() }));
    };
    let part = match window(&parts.store, actor, &standing.sender, &person).await? {
        Window::Open { wrote_at, until } => WindowPart {
            state: Status { name: "open", tone: "good" },
            text: format!(
                "They wrote {} ago. A freeform message is delivered until {} UTC.",
                ago(wrote_at, clock::now()),
                long_time(until)
            ),
        },
        Window::Closed => WindowPart {
            state: Status { name: "closed", tone: "bad" },
            text: format!(
                "Nothing came from this phone within 24 hours. Write to {} from it first, then test; a template needs no window.",
                standing.sender.number.as_e164()
            ),
        },
        Window::NothingSince(at) => WindowPart {
            state: Status { name: "not known", tone: "warn" },
            text: format!(
                "Nothing came from this phone since {} UTC; there is too much in the log to look further back. To be sure write to \
                 {} from it.",
                long_time(at),
                standing.sender.number.as_e164()
            ),
        },
    };
    Ok(Some(part))
}
