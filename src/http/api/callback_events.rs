//! What callback URLs are to hear of, what became of it, and one event with its payload and every try.

use actix_web::web::{Data, Json, Path};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Caller,
    callbacks::ReceivedAnswer,
    messages::{time, word},
    page_size,
    problem::Problem,
    query::Query,
};
use crate::{
    domain::{
        callback::{Event, EventDetail, EventKind, Subscription},
        ids::Place,
        operator::{Actor, Permission},
        replay::Because,
    },
    http::Parts,
    services::{
        callbacks::{self, Callback, Payload, UrlStanding},
        contacts,
        directory::Snapshot,
        masking,
        operators::require,
        relay::readable,
        webhook_view::DeliveryState,
    },
    store::{
        story::CallbackTry,
        told::{CallbackFilter, FoundCallback, Judged, Standing, WantedStanding},
    },
};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    /// owed, retrying (of what is owed, what was not taken), delivered, dead, not_relayed or passed_over.
    state: Option<String>,
    /// About this message: an id of ours, of CleverTap or of WhatsApp.
    message: Option<String>,
    /// The code of the last answer, of what was not taken.
    #[param(example = 500)]
    answered: Option<i16>,
    /// Stands in the reason why it was not taken; with `personal:read`.
    reason: Option<String>,
    /// Heard at this time or later, in RFC 3339.
    #[param(example = "2026-11-21T09:30:00Z")]
    since: Option<String>,
    /// Heard before this time.
    until: Option<String>,
    /// `next` of the page before.
    before: Option<i64>,
    /// Events on a page, 1 to 200; 50 unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// A page of events, the newest first.
#[derive(Serialize, ToSchema)]
pub struct EventList {
    events: Vec<CallbackEvent>,
    /// `before` of the next page; none after the last. A page may be short, or empty, and yet have a next one.
    next: Option<i64>,
}

/// An event and what became of it at a callback URL.
#[derive(Serialize, ToSchema)]
pub struct CallbackEvent {
    /// The URL's number.
    #[schema(example = 3)]
    callback_url: i32,
    /// In the account's log.
    #[schema(example = 1234)]
    place: i64,
    /// owed, delivered, dead, not_relayed or passed_over: a webhook was not told of it, and is not, because it does not want it, was off, or was not there yet. Where it
    /// happened longer ago than exchanges are kept, that is among delivered.
    #[schema(example = "dead")]
    state: String,
    /// retrying: it is owed, was not taken, and waits for another try. Of a webhook also pending (not sent yet), paused or set_aside (it is off) of what is owed; else delivered, dead, not_relayed or passed_over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "retrying")]
    delivery: Option<&'static str>,
    /// Why it was left behind.
    #[schema(example = "HTTP 400: unknown message")]
    reason: Option<String>,
    /// status, inbound or notice.
    #[schema(example = "status")]
    kind: String,
    /// sent, delivered, read or failed.
    #[schema(example = "delivered")]
    status: Option<String>,
    heard_at: String,
    happened_at: String,
    /// Our id of the message that it is about.
    #[schema(example = "msg_06xtcv2j80000")]
    message: Option<String>,
    #[schema(example = "7|1790000000|20261120|7|0")]
    platform_message_id: Option<String>,
    /// Who wrote; masked without `personal:read`.
    #[schema(example = "+919876500001")]
    person: Option<String>,
    #[schema(example = "+918880110022")]
    number: Option<String>,
}

/// An event with its payload and every try.
#[derive(Serialize, ToSchema)]
pub struct CallbackStory {
    #[serde(flatten)]
    event: CallbackEvent,
    /// What is told, as it would be written now; with `personal:read`.
    payload: Option<String>,
    /// Why there is nothing to tell.
    untold: Option<String>,
    /// Not before.
    next_try_at: Option<String>,
    /// Exchanges whose stretch covers it, in order.
    tries: Vec<Try>,
}

#[derive(Serialize, ToSchema)]
pub struct Try {
    #[schema(example = "2026-11-21T09:30:00.000Z")]
    at: String,
    #[schema(example = 84)]
    took_ms: i32,
    #[schema(example = 503)]
    http_status: Option<i16>,
    note: String,
    /// Of a webhook, where it answered.
    answer: Option<ReceivedAnswer>,
    #[schema(example = 100)]
    events: i32,
    replay: Option<i32>,
    /// Where the request carried this event alone.
    payload: Option<TriedPayload>,
}

/// What left with one request.
#[derive(Serialize, ToSchema)]
pub struct TriedPayload {
    #[schema(example = 1204)]
    bytes: usize,
    /// Of its bytes, in hex; with `personal:read`.
    sha256: Option<String>,
    /// It is the event's `payload`, which is written now. Otherwise settings, or what is known of the message or the person, have
    /// changed since.
    as_now: bool,
    /// Its first 16 KiB, where it was not taken; with `personal:read`.
    text: Option<String>,
    /// There was more of it than `text`.
    is_cut: bool,
}

/// What a callback URL is to hear of, and what became of it.
#[utoipa::path(
    get, path = "/api/v1/callback-urls/{id}/events", tag = "callbacks", operation_id = "list_callback_events",
    params(("id" = i32, Path, description = "The URL's number", example = 3), EventQuery), security(("token" = [])),
    responses(
        (status = 200, description = "A page of events, the newest first", body = EventList),
        (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope messages:read; for `reason` also personal:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such callback URL", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    parts: Data<Parts>,
    caller: Caller,
    id: Path<i32>,
    query: Query<EventQuery>,
) -> Result<Json<EventList>, Problem> {
    let (actor, query) = (&caller.0, query.into_inner());
    let snapshot = parts.directory.snapshot();
    let url = callbacks::url(&parts.store, &snapshot, actor, *id).await?;
    let limit = page_size(query.limit)?;
    let wanted = word("state", query.state.as_deref(), &WantedStanding::ALL, WantedStanding::as_str)?;
    let because = because(actor, (query.answered, query.reason), wanted)?;
    let configuration = parts.store.load_configuration().await?;
    let message = query.message.as_deref().unwrap_or_default();
    let message = callbacks::messages_meant(&parts.store, &configuration, message).await?;
    let filter = CallbackFilter {
        wanted,
        because,
        message: message.and_then(|found| found.first().map(|(_, message)| *message)),
        since: time("since", query.since.as_deref())?,
        until: time("until", query.until.as_deref())?,
        before: query.before.map(Place),
        exchanges_since: callbacks::exchanges_since(&parts.settings.retention, &snapshot, url.subscription.account),
        fails: callbacks::said_last(&url.trouble, url.last.as_ref()),
        ..CallbackFilter::default()
    };
    let found = parts.store.callbacks_of(&url.subscription, url.cursor, &filter, limit).await?;
    let next = found.next.map(|next| next.0);
    let subscription = &*url.subscription;
    let events =
        found.callbacks.into_iter().map(|found| listed(&parts, &snapshot, actor, subscription, found)).collect();
    Ok(Json(EventList { events, next }))
}

/// One event at a callback URL, with its payload and every try.
#[utoipa::path(
    get, path = "/api/v1/callback-urls/{id}/events/{place}", tag = "callbacks", operation_id = "show_callback_event",
    params(
        ("id" = i32, Path, description = "The URL's number", example = 3),
        ("place" = i64, Path, description = "The event's place in the account's log", example = 1234),
    ),
    security(("token" = [])),
    responses(
        (status = 200, description = "The event", body = CallbackStory),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such callback URL, or it hears of no such event", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn show(parts: Data<Parts>, caller: Caller, path: Path<(i32, i64)>) -> Result<Json<CallbackStory>, Problem> {
    let ((id, place), actor) = (path.into_inner(), &caller.0);
    let snapshot = parts.directory.snapshot();
    let url = callbacks::url(&parts.store, &snapshot, actor, id).await?;
    let place = (Place(place), &parts.settings.retention);
    let callback = callbacks::one(&parts.store, &snapshot, &parts.media.links, &url, place).await?;
    Ok(Json(story(actor, &url, callback)))
}

pub(super) fn listed(
    parts: &Parts,
    snapshot: &Snapshot,
    actor: &Actor,
    subscription: &Subscription,
    found: FoundCallback,
) -> CallbackEvent {
    let kind = found.event.kind;
    let event = readable(snapshot, &parts.media.links, found.event);
    callback_event(actor, &event, kind, found.judged, subscription)
}

/// Why events were left behind.
pub(super) fn because(
    actor: &Actor,
    (answered, text): (Option<i16>, Option<String>),
    wanted: Option<WantedStanding>,
) -> Result<Because, Problem> {
    if text.is_some() {
        // By trying reasons out, a number in one could be found.
        require(actor, Permission::ReadPersonal)?;
    }
    let field = if text.is_some() { "reason" } else { "answered" };
    let because = Because { answered, text };
    if !because.is_any() && wanted.is_some_and(|wanted| !wanted.has_reason()) {
        return Err(Problem::of_field(field, "only what was not taken has one: say another state"));
    }
    Ok(because)
}

fn callback_event(
    actor: &Actor,
    event: &Event,
    kind: EventKind,
    judged: Judged,
    subscription: &Subscription,
) -> CallbackEvent {
    let (status, person) = match &event.detail {
        EventDetail::Status { status, .. } => (Some(status.as_str().to_owned()), None),
        EventDetail::Inbound(message) => (None, message.from.as_ref().map(|from| masking::number(actor, from))),
        EventDetail::Outgoing(step) => (Some(step.as_str().to_owned()), None),
        EventDetail::Person(news) => (None, contacts::person(actor, news)),
        EventDetail::Notice(_) | EventDetail::Unreadable { .. } => (None, None),
    };
    CallbackEvent {
        callback_url: subscription.key.0,
        place: event.place.0,
        state: judged.standing.as_str().to_owned(),
        delivery: DeliveryState::more_closely(subscription, &judged).map(DeliveryState::as_str),
        reason: judged.reason.map(|reason| masking::text(actor, &reason)),
        kind: kind.as_str().to_owned(),
        status,
        heard_at: event.recorded_at.to_string(),
        happened_at: event.occurred_at.to_string(),
        message: event.message.map(|message| message.to_string()),
        platform_message_id: event.platform_message_id.clone(),
        person,
        number: event.sender_number.as_ref().map(|number| number.as_e164().to_owned()),
    }
}

fn story(actor: &Actor, url: &UrlStanding, callback: Callback) -> CallbackStory {
    let whole = actor.may(Permission::ReadPersonal);
    let tries = callback.tries.iter().map(|tried| one_try(actor, tried, &callback.payload)).collect();
    let (payload, untold) = match callback.payload {
        Payload::Body(body) => (Some(body).filter(|_| whole), None),
        Payload::Silent => (None, Some("it is the platform's own test, or was told before".to_owned())),
        Payload::Unspeakable(why) => (None, Some(masking::text(actor, &why))),
    };
    let owed = callback.judged.standing == Standing::Owed;
    CallbackStory {
        payload,
        untold,
        next_try_at: url.trouble.due_at.filter(|_| owed).map(|at| at.to_string()),
        tries,
        event: callback_event(actor, &callback.event, callback.kind, callback.judged, &url.subscription),
    }
}

fn one_try(actor: &Actor, tried: &CallbackTry, now: &Payload) -> Try {
    let whole = actor.may(Permission::ReadPersonal);
    Try {
        at: tried.started_at.to_string(),
        took_ms: tried.took_ms,
        http_status: tried.http_status,
        note: masking::text(actor, &tried.note),
        answer: ReceivedAnswer::of(actor, tried.excerpt.as_ref()),
        events: tried.events,
        replay: tried.replay,
        payload: tried.payload.as_ref().map(|sent| TriedPayload {
            bytes: sent.bytes,
            sha256: whole.then(|| sent.sha256_in_hex()),
            as_now: now.was(sent),
            text: sent.text.clone().filter(|_| whole),
            is_cut: sent.is_cut(),
        }),
    }
}
