//! One event at a callback URL, with its payload and every try, and trying it now.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path},
};
use askama::Template;

use super::{
    Frame, Trouble, Visitor,
    callback_events::{NOT_WANTED, about, state_of, what},
    callback_url::{Head, head, title},
    callbacks::PATH,
    frame::{long_time, sentence},
    message::pretty,
    messages::Status,
    page, see_other,
};
use crate::{
    clock,
    domain::{
        attempt::AnswerExcerpt,
        ids::Place,
        operator::{Actor, Permission},
        sent_payload::{SentPayload, TEXT_BYTES_MAX},
        time::UnixMillis,
        webhook_event::id_of,
        words::{ago, counted, moment, thousands},
    },
    http::Parts,
    services::{
        callback_tries::{self, TryingNow},
        callbacks::{self, Callback, Payload, UrlStanding},
        masking,
    },
    store::{
        story::CallbackTry,
        told::{InLane, Standing},
    },
};

#[derive(Template)]
#[template(path = "console/callback_event.html")]
struct OnePage {
    frame: Frame,
    head: Head,
    place: i64,
    what: String,
    state: Status,
    /// What the next field explains: that it was left behind, or is still to be told.
    why_head: &'static str,
    why: Option<String>,
    /// When it is told, as far as one can say.
    next: Option<String>,
    /// The event that it waits for.
    ahead: Option<i64>,
    heard: String,
    heard_iso: String,
    happened: String,
    message: Option<String>,
    about: String,
    number: String,
    tries: Vec<Try>,
    payload: Option<String>,
    no_payload: Option<String>,
    may_replay: bool,
    /// What trying it now does, for those who may.
    try_now: Option<String>,
    /// Of a webhook: the event's id, as its receiver knows it.
    id: Option<String>,
    /// Of a webhook: method and headers.
    request_head: Vec<(String, String)>,
    whom: &'static str,
    is_webhook: bool,
}

struct Try {
    tone: &'static str,
    at: String,
    what: String,
    below: Vec<String>,
    /// Of a webhook, where it answered.
    excerpt: Option<AnswerExcerpt>,
    /// What it carried, where that is kept and is not what the page shows anyway.
    carried: Option<String>,
}

/// `GET /console/callbacks/{url}/events/{place}`
pub(super) async fn show(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    path: Path<(i32, i64)>,
) -> Result<HttpResponse, Trouble> {
    let ((key, place), actor) = (path.into_inner(), &visitor.actor);
    let snapshot = parts.directory.snapshot();
    let url = callbacks::url(&parts.store, &snapshot, actor, key).await?;
    let place = (Place(place), &parts.settings.retention);
    let callback = callbacks::one(&parts.store, &snapshot, &parts.media.links, &url, place).await?;
    let trying = match actor.may(Permission::ReplayCallbacks) && callback.judged.standing == Standing::Owed {
        true => callback_tries::trying_now(&parts.store, &url, callback.event.place).await?,
        false => None,
    };
    let frame = Frame::new(&request, &visitor, title(&url), PATH);
    page(&OnePage { try_now: trying.map(|what| trying_words(&url, what)), ..one_page(frame, actor, &url, callback) })
}

/// `POST /console/callbacks/{url}/events/{place}/try`
pub(super) async fn try_now(
    parts: Data<Parts>,
    visitor: Visitor,
    path: Path<(i32, i64)>,
) -> Result<HttpResponse, Trouble> {
    let (key, place) = path.into_inner();
    let snapshot = parts.directory.snapshot();
    callback_tries::try_event(&parts.store, &snapshot, &visitor.actor, (key, Place(place))).await?;
    Ok(see_other(&format!("{PATH}/{key}/events/{place}?done=tried")))
}

/// What goes with it, because order is kept.
fn trying_words(url: &UrlStanding, what: TryingNow) -> String {
    let counts = "It counts as one of its tries.";
    match what {
        TryingNow::WholeUrl { owed: ..=1 } => "Its URL is tried at once; nothing else waits there.".to_owned(),
        TryingNow::WholeUrl { .. } => format!(
            "Its URL is tried at once, with all {} events that it is owed: they are told in order, so this one does not go alone.",
            super::callbacks::owed(url)
        ),
        TryingNow::Alone => format!("Only this event is sent again, at once. {counts}"),
        TryingNow::WithThoseBehind { behind: 1 } => {
            format!("It is sent again at once, and when it is taken, the event that waits behind it. {counts}")
        }
        TryingNow::WithThoseBehind { behind } => format!(
            "It is sent again at once, and when it is taken, the {} events that wait behind it. {counts}",
            thousands(behind)
        ),
        TryingNow::AfterAnother { tried } => format!(
            "The event that it waits for, at place {}, is sent again at once; when that is taken, this one follows.",
            tried.0
        ),
    }
}

fn one_page(frame: Frame, actor: &Actor, url: &UrlStanding, callback: Callback) -> OnePage {
    let Callback { event, kind, judged, in_lane, tries, payload, head: request_head } = callback;
    let standing = judged.standing;
    let webhook = url.subscription.webhook.as_deref();
    let whom = if webhook.is_some() { "receiver" } else { "platform" };
    let is_unwanted = webhook.is_some()
        && payload == Payload::Silent
        && matches!(standing, Standing::Delivered | Standing::PassedOver);
    let tries = tries.iter().map(|tried| one_try(actor, tried, &payload)).collect();
    let (payload, no_payload) = match payload {
        Payload::Body(body) if actor.may(Permission::ReadPersonal) => (Some(pretty(&body)), None),
        Payload::Body(_) => (None, Some("Your role sees telephone numbers and contents masked.".to_owned())),
        Payload::Silent if webhook.is_some() => {
            (None, Some("It is not told: it is none of the webhook’s events, its filter lets it not pass, or it was told before.".to_owned()))
        }
        Payload::Silent => {
            (None, Some("The platform is not told of it: it is its own test, or it has heard it before.".to_owned()))
        }
        Payload::Unspeakable(why) => {
            (None, Some(sentence(&format!("there are no words for it: {}", masking::text(actor, &why)))))
        }
    };
    OnePage {
        frame,
        head: head(url, "events"),
        place: event.place.0,
        what: what(&event, kind, webhook),
        state: if is_unwanted { NOT_WANTED } else { state_of(&url.subscription, &judged) },
        id: webhook.map(|_| id_of(url.subscription.account, event.place)),
        request_head: if actor.may(Permission::ReadPersonal) { request_head } else { vec![] },
        whom,
        is_webhook: webhook.is_some(),
        why_head: match standing {
            Standing::Owed if judged.tried => "Not taken yet.",
            Standing::Owed => "Not sent yet.",
            Standing::Dead | Standing::NotRelayed | Standing::PassedOver | Standing::Delivered => "Left behind.",
        },
        why: judged.reason.map(|reason| sentence(masking::text(actor, &reason).trim_end_matches([':', ' ']))),
        next: (standing == Standing::Owed).then(|| next_try(url, event.place, in_lane, clock::now())),
        ahead: in_lane.map(|lane| lane.tried).filter(|tried| *tried != event.place).map(|tried| tried.0),
        heard: long_time(event.recorded_at),
        heard_iso: event.recorded_at.to_string(),
        happened: long_time(event.occurred_at),
        message: event.message.map(|message| message.to_string()),
        about: about(actor, &event),
        number: event.sender_number.map_or_else(|| "?".to_owned(), |number| number.as_e164().to_owned()),
        tries,
        payload,
        no_payload,
        // What is owed is told anyway.
        may_replay: actor.may(Permission::ReplayCallbacks) && standing != Standing::Owed,
        try_now: None,
    }
}

fn next_try(url: &UrlStanding, place: Place, in_lane: Option<InLane>, now: UnixMillis) -> String {
    if !url.subscription.is_on {
        return "The webhook is off: it is told when somebody switches it on.".to_owned();
    }
    if url.subscription.webhook.as_ref().is_some_and(|webhook| webhook.paused) {
        return "The webhook is paused: it is told when somebody resumes it.".to_owned();
    }
    if let Some(lane) = in_lane {
        return in_its_lane(url, place, lane, now);
    }
    match url.trouble.due_at {
        Some(due_at) if due_at > now => format!("The URL fails; the next try is in {}.", ago(now, due_at)),
        Some(_) => "The URL failed; it is tried again now.".to_owned(),
        None => "Its turn comes within seconds.".to_owned(),
    }
}

/// Of a webhook's event that was not taken, or waits for one before it.
fn in_its_lane(url: &UrlStanding, place: Place, lane: InLane, now: UnixMillis) -> String {
    // A webhook that fails for long is asked once in a while only.
    let due_at = url.trouble.due_at.map_or(lane.due_at, |rests_until| rests_until.max(lane.due_at));
    let again = match due_at > now {
        true => format!("tried again at {}, in {}", moment(due_at), ago(now, due_at)),
        false => "tried again now".to_owned(),
    };
    let who = match lane.tried == place {
        true => "It is".to_owned(),
        false => format!("It waits for the event at place {}, which is", lane.tried.0),
    };
    let behind = match lane.behind {
        0 => String::new(),
        1 => " Another event waits behind it, so that they stay in order.".to_owned(),
        more => format!(" {more} events wait behind it, so that they stay in order."),
    };
    format!("{who} {again}.{behind}")
}

fn one_try(actor: &Actor, tried: &CallbackTry, now: &Payload) -> Try {
    let answer = tried.http_status.map_or_else(|| "no answer".to_owned(), |status| format!("HTTP {status}"));
    let taken = tried.http_status.is_some_and(|status| (200..300).contains(&status));
    let mut below = vec![format!("a request with {}", counted(i64::from(tried.events), "event", "events"))];
    below.extend(tried.replay.map(|replay| format!("told again, replay {replay}")));
    let note = tried.note.strip_prefix(&answer).unwrap_or(&tried.note).trim_start_matches(':').trim();
    below.extend(Some(masking::text(actor, note)).filter(|note| !note.is_empty()));
    let sent = tried.payload.as_ref();
    let (is_as_now, whole) = (sent.is_some_and(|sent| now.was(sent)), actor.may(Permission::ReadPersonal));
    below.extend(sent.map(|sent| carried(sent, is_as_now, whole)));
    let text = sent.and_then(|sent| sent.text.as_deref()).filter(|_| whole && !is_as_now);
    Try {
        tone: if taken { "good" } else { "bad" },
        at: tried.started_at.to_string().replace('T', " ").replace('Z', ""),
        what: format!("{answer} after {} ms", tried.took_ms),
        below,
        excerpt: tried.excerpt.as_ref().map(|excerpt| masking::excerpt(actor, excerpt)),
        carried: text.map(pretty),
    }
}

/// What a request carried, in a line.
fn carried(sent: &SentPayload, is_as_now: bool, whole: bool) -> String {
    if is_as_now {
        return format!("{} bytes, as shown under “What it is told”", sent.bytes);
    }
    let kept = match sent.text {
        Some(_) if sent.is_cut() => format!(", of which the first {TEXT_BYTES_MAX} are kept"),
        Some(_) => String::new(),
        None if whole => format!(" (SHA-256 {}), of what was taken no text is kept", sent.sha256_in_hex()),
        None => ", of what was taken no text is kept".to_owned(),
    };
    format!(
        "{} bytes{kept}: not what is shown under “What it is told”; settings, or what is known of the message or the person, \
         have changed since",
        sent.bytes
    )
}
