//! The events that a callback URL is to hear of, what became of each, and one of them with its payload and every try.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path},
};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, LINES_PER_PAGE, Trouble, Visitor,
    asked::{self, Query, Wrong, some},
    callback_exchanges::Next,
    callback_url::{Head, head, standing_status, title},
    callbacks::{Choice, PATH},
    frame::{long_time, seconds, sentence, short_time, wants_part},
    message::pretty,
    messages::Status,
    page,
    webhook_log::delivery_status,
};
use crate::{
    clock,
    domain::{
        attempt::AnswerExcerpt,
        callback::{Event, EventDetail, EventKind, Subscription},
        event_name::EventName,
        ids::Place,
        operator::{Actor, Permission},
        sent_payload::{SentPayload, TEXT_BYTES_MAX},
        time::UnixMillis,
        webhook::Webhook,
        webhook_event::id_of,
        words::{ago, counted, moment},
    },
    http::Parts,
    services::{
        callbacks::{self, Callback, Payload, UrlStanding},
        contacts,
        directory::Snapshot,
        masking,
        operators::Refusal,
        relay::readable,
        webhook_view::DeliveryState,
    },
    store::{
        story::CallbackTry,
        told::{CallbackFilter, FoundCallback, FoundCallbacks, InLane, Judged, Standing},
    },
};

#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct EventForm {
    state: String,
    /// An id of ours, the platform's or the provider's.
    message: String,
    reason: String,
    since: String,
    until: String,
    from_place: String,
    to_place: String,
    /// The last event of the page before.
    before: String,
}

#[derive(Template)]
#[template(path = "console/callback_events.html")]
struct Page {
    frame: Frame,
    head: Head,
    form: EventForm,
    states: Vec<Choice>,
    may_search_text: bool,
    /// Where those that match can be told again.
    replay: Option<String>,
    results: Results,
}

/// What was found, or why nothing was looked for.
#[derive(Template)]
#[template(path = "console/callback_events_results.html")]
struct Results {
    wrong: Option<String>,
    is_filtered: bool,
    rows: Vec<Row>,
    next: Option<Next>,
}

struct Row {
    href: String,
    at: String,
    /// Beyond the minute, which has no place on a phone.
    seconds: String,
    at_iso: String,
    what: String,
    about: String,
    state: Status,
    why: String,
}

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
    /// Of a webhook: the event's id, as its receiver knows it.
    id: Option<String>,
    /// Of a webhook: method and headers.
    request_head: Vec<(String, String)>,
    whom: &'static str,
    is_webhook: bool,
}

/// Of an event that a webhook passes over.
const NOT_WANTED: Status = Status { name: "not wanted", tone: "plain" };

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

/// `GET /console/callbacks/{url}/events`
pub(super) async fn list(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    key: Path<i32>,
    form: Query<EventForm>,
) -> Result<HttpResponse, Trouble> {
    let (actor, form) = (&visitor.actor, form.into_inner());
    let snapshot = parts.directory.snapshot();
    let url = callbacks::url(&parts.store, &snapshot, actor, *key).await?;
    let wrong = |said: String| Results { wrong: Some(said), is_filtered: true, rows: vec![], next: None };
    let results = match form.filter(actor) {
        Err(odd) => wrong(odd.said()),
        Ok(filter) => match form.about_message(&parts, filter).await {
            Ok(filter) => {
                let account = url.subscription.account;
                let exchanges_since = callbacks::exchanges_since(&parts.settings.retention, &snapshot, account);
                let filter = CallbackFilter { exchanges_since, ..filter };
                let found = parts.store.callbacks_of(&url.subscription, url.cursor, &filter, LINES_PER_PAGE).await?;
                results(&parts, &snapshot, actor, &form, &url.subscription, found)
            }
            Err(Refusal::Invalid { text, .. }) => wrong(sentence(&text)),
            Err(refusal) => return Err(refusal.into()),
        },
    };
    if wants_part(&request) {
        return page(&results);
    }
    page(&Page {
        frame: Frame::new(&request, &visitor, title(&url), PATH),
        head: head(&url, "events"),
        states: Standing::ALL
            .map(|standing| Choice { value: standing.as_str(), name: standing_status(standing).name })
            .into(),
        may_search_text: actor.may(Permission::ReadPersonal),
        replay: form.replay_href(*key).filter(|_| actor.may(Permission::ReplayCallbacks) && !results.rows.is_empty()),
        form,
        results,
    })
}

fn results(
    parts: &Parts,
    snapshot: &Snapshot,
    actor: &Actor,
    form: &EventForm,
    subscription: &Subscription,
    found: FoundCallbacks,
) -> Results {
    let key = subscription.key.0;
    let is_full = found.callbacks.len() >= LINES_PER_PAGE;
    let last = found.callbacks.last().map(|last| last.event.recorded_at);
    let next = found.next.map(|next| Next {
        href: form.at(key, next),
        back_to: (!is_full).then(|| last.map_or_else(|| format!("place {} of the log", next.0), long_time)),
    });
    let rows = found.callbacks.into_iter().map(|found| row(parts, snapshot, actor, subscription, found)).collect();
    Results { wrong: None, is_filtered: form.is_filtered(), rows, next }
}

fn row(parts: &Parts, snapshot: &Snapshot, actor: &Actor, subscription: &Subscription, found: FoundCallback) -> Row {
    let kind = found.event.kind;
    let event = readable(snapshot, &parts.media.links, found.event);
    let webhook = subscription.webhook.as_deref();
    let name = EventName::of(&event.detail).ok();
    let is_unwanted = webhook.zip(name).is_some_and(|(webhook, name)| !webhook.settings.wants(name));
    let state = match found.judged.standing {
        Standing::Delivered | Standing::Owed | Standing::PassedOver if is_unwanted => NOT_WANTED,
        Standing::Delivered | Standing::Owed | Standing::PassedOver | Standing::Dead | Standing::NotRelayed => {
            state_of(subscription, &found.judged)
        }
    };
    Row {
        href: format!("{PATH}/{}/events/{}", subscription.key.0, event.place.0),
        at: short_time(event.recorded_at),
        seconds: seconds(event.recorded_at),
        at_iso: event.recorded_at.to_string(),
        what: what(&event, kind, webhook),
        about: about(actor, &event),
        state,
        why: found.judged.reason.map(|reason| masking::text(actor, &reason)).unwrap_or_default(),
    }
}

impl EventForm {
    fn fields(&self) -> [(&'static str, &str); 7] {
        [
            ("state", &self.state),
            ("message", &self.message),
            ("reason", &self.reason),
            ("since", &self.since),
            ("until", &self.until),
            ("from_place", &self.from_place),
            ("to_place", &self.to_place),
        ]
    }

    fn is_filtered(&self) -> bool {
        self.fields().into_iter().any(|(_, text)| !text.is_empty())
    }

    fn standing(&self) -> Option<Standing> {
        Standing::ALL.into_iter().find(|standing| standing.as_str() == self.state)
    }

    /// What is looked for, whatever message it is about; `Err` says what to change.
    fn filter(&self, actor: &Actor) -> Result<CallbackFilter, Wrong> {
        let place =
            |name: &str, text: &str| Ok(asked::read(name, text, "a place in the log, which is a number")?.map(Place));
        let (since, until) = asked::span(&self.since, &self.until)?;
        Ok(CallbackFilter {
            standing: asked::one_of("state", &self.state, &Standing::ALL, Standing::as_str)?,
            message: None,
            // By trying reasons out, a number in one could be found.
            reason: some(&self.reason).filter(|_| actor.may(Permission::ReadPersonal)),
            since,
            until,
            before: place("before", &self.before)?,
            places: place("from_place", &self.from_place)?.zip(place("to_place", &self.to_place)?),
            exchanges_since: None,
        })
    }

    /// The same, with the message that is named.
    async fn about_message(&self, parts: &Parts, filter: CallbackFilter) -> Result<CallbackFilter, Refusal> {
        let configuration = parts.store.load_configuration().await?;
        let meant = callbacks::messages_meant(&parts.store, &configuration, &self.message).await?;
        // Of several with one id, which are tests, the newest.
        let message = meant.and_then(|found| found.first().map(|(_, message)| *message));
        Ok(CallbackFilter { message, ..filter })
    }

    fn at(&self, key: i32, before: Place) -> String {
        let (path, before) = (format!("{PATH}/{key}/events"), before.0.to_string());
        asked::address(&path, self.fields().into_iter().chain([("before", &*before)]))
    }

    /// Where those that match are told again; `None` when a replay cannot be asked for like this.
    fn replay_href(&self, key: i32) -> Option<String> {
        let of = match self.standing() {
            Some(Standing::Owed | Standing::PassedOver) => return None,
            Some(standing) => standing.as_str(),
            None => "all",
        };
        if !self.reason.is_empty() || !self.from_place.is_empty() {
            return None;
        }
        let fields = [("of", of), ("message", &self.message), ("since", &self.since), ("until", &self.until)];
        Some(asked::address(&format!("{PATH}/{key}/replay"), fields))
    }
}

/// What happened.
fn what(event: &Event, kind: EventKind, webhook: Option<&Webhook>) -> String {
    if let Some(name) = webhook.and_then(|_| EventName::of(&event.detail).ok()) {
        return name.as_str().to_owned();
    }
    match (&event.detail, kind) {
        (EventDetail::Status { status, .. }, _) => status.as_str().to_owned(),
        (EventDetail::Inbound(_), _) | (EventDetail::Unreadable { .. }, EventKind::Inbound) => {
            "inbound message".to_owned()
        }
        (EventDetail::Notice(_), _) | (EventDetail::Unreadable { .. }, EventKind::Notice) => "notice".to_owned(),
        (EventDetail::Outgoing(step), _) => step.as_str().to_owned(),
        (EventDetail::Unreadable { .. }, EventKind::Outgoing) => "message going out".to_owned(),
        (EventDetail::Unreadable { .. }, EventKind::Status) => "a status that cannot be read".to_owned(),
        (EventDetail::Person(news), _) => news.name.to_string(),
        (EventDetail::Unreadable { .. }, EventKind::Person) => "news of a contact that cannot be read".to_owned(),
    }
}

/// Which message, or who wrote.
pub(super) fn about(actor: &Actor, event: &Event) -> String {
    let person = match &event.detail {
        EventDetail::Inbound(message) => Some(
            message
                .from
                .as_ref()
                .map_or_else(|| "somebody".to_owned(), |from| format!("from {}", masking::number(actor, from))),
        ),
        EventDetail::Person(news) => contacts::person(actor, news),
        EventDetail::Status { .. }
        | EventDetail::Notice(_)
        | EventDetail::Outgoing(_)
        | EventDetail::Unreadable { .. } => None,
    };
    person.or_else(|| event.platform_message_id.clone()).unwrap_or_default()
}

/// What became of it, in a word and a colour; at a webhook more closely.
fn state_of(subscription: &Subscription, judged: &Judged) -> Status {
    DeliveryState::of(subscription, judged).map_or_else(|| standing_status(judged.standing), delivery_status)
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
    let at = (&*url.subscription, url.cursor);
    let callback =
        callbacks::one(&parts.store, &snapshot, &parts.media.links, at, (Place(place), &parts.settings.retention))
            .await?;
    let frame = Frame::new(&request, &visitor, title(&url), PATH);
    page(&one_page(frame, actor, &url, callback))
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
