//! The events that a callback URL is to hear of, and what became of each.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path},
};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, LINES_PER_PAGE, Trouble, Visitor,
    asked::{self, Query, Wrong, some},
    callback_choice::{because, trying_href},
    callback_exchanges::Next,
    callback_url::{Head, head, standing_status, title},
    callbacks::{Choice, PATH},
    frame::{long_time, seconds, sentence, short_time, wants_part},
    messages::Status,
    page,
    webhook_log::delivery_status,
};
use crate::{
    domain::{
        callback::{Event, EventDetail, EventKind, Subscription},
        event_name::EventName,
        ids::Place,
        operator::{Actor, Permission},
        webhook::Webhook,
    },
    http::Parts,
    services::{
        callbacks, contacts, directory::Snapshot, masking, operators::Refusal, relay::readable,
        webhook_view::DeliveryState,
    },
    store::told::{CallbackFilter, FoundCallback, FoundCallbacks, Judged, Standing, WantedStanding},
};

#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct EventForm {
    state: String,
    /// An id of ours, the platform's or the provider's.
    message: String,
    /// The code of the last answer.
    code: String,
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
    results: Results,
}

/// What was found, or why nothing was looked for.
#[derive(Template)]
#[template(path = "console/callback_events_results.html")]
pub(super) struct Results {
    pub(super) wrong: Option<String>,
    /// What is to be known of the list.
    pub(super) note: Option<String>,
    pub(super) is_filtered: bool,
    pub(super) rows: Vec<Row>,
    pub(super) next: Option<Next>,
    /// What can be done with all that match: what it is called, and its page.
    pub(super) act: Option<(&'static str, String)>,
}

impl Results {
    pub(super) fn wrong(said: String) -> Self {
        Self { wrong: Some(said), note: None, is_filtered: true, rows: vec![], next: None, act: None }
    }
}

pub(super) struct Row {
    href: String,
    /// Among those of other URLs: which it is, and whose.
    pub(super) url: Option<(String, String)>,
    at: String,
    /// Beyond the minute, which has no place on a phone.
    seconds: String,
    at_iso: String,
    what: String,
    about: String,
    state: Status,
    why: String,
}

/// Of an event that a webhook passes over.
pub(super) const NOT_WANTED: Status = Status { name: "not wanted", tone: "plain" };

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
    let results = match form.filter(actor) {
        Err(odd) => Results::wrong(odd.said()),
        Ok(filter) => match form.about_message(&parts, filter).await {
            Ok(filter) => {
                let account = url.subscription.account;
                let exchanges_since = callbacks::exchanges_since(&parts.settings.retention, &snapshot, account);
                let fails = callbacks::said_last(&url.trouble, url.last.as_ref());
                let filter = CallbackFilter { exchanges_since, fails, ..filter };
                let found = parts.store.callbacks_of(&url.subscription, url.cursor, &filter, LINES_PER_PAGE).await?;
                results(&parts, &snapshot, actor, &form, &url.subscription, found)
            }
            Err(Refusal::Invalid { text, .. }) => Results::wrong(sentence(&text)),
            Err(refusal) => return Err(refusal.into()),
        },
    };
    if wants_part(&request) {
        return page(&results);
    }
    page(&Page {
        frame: Frame::new(&request, &visitor, title(&url), PATH),
        head: head(&url, "events"),
        states: state_choices(),
        may_search_text: actor.may(Permission::ReadPersonal),
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
    let rows: Vec<Row> =
        found.callbacks.into_iter().map(|found| row(parts, snapshot, actor, subscription, found)).collect();
    let act = form.act(key).filter(|_| actor.may(Permission::ReplayCallbacks) && !rows.is_empty());
    Results { wrong: None, note: form.note(), is_filtered: form.is_filtered(), rows, next, act }
}

pub(super) fn state_choices() -> Vec<Choice> {
    let name = |wanted| match wanted {
        WantedStanding::Retrying => delivery_status(DeliveryState::Retrying).name,
        WantedStanding::Owed
        | WantedStanding::Delivered
        | WantedStanding::Dead
        | WantedStanding::NotRelayed
        | WantedStanding::PassedOver => standing_status(wanted.standing()).name,
    };
    WantedStanding::ALL.map(|wanted| Choice { value: wanted.as_str(), name: name(wanted) }).into()
}

pub(super) fn row(
    parts: &Parts,
    snapshot: &Snapshot,
    actor: &Actor,
    subscription: &Subscription,
    found: FoundCallback,
) -> Row {
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
        url: None,
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
    fn fields(&self) -> [(&'static str, &str); 8] {
        [
            ("state", &self.state),
            ("message", &self.message),
            ("code", &self.code),
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

    fn wanted(&self) -> Result<Option<WantedStanding>, Wrong> {
        asked::one_of("state", &self.state, &WantedStanding::ALL, WantedStanding::as_str)
    }

    /// What is looked for, whatever message it is about; `Err` says what to change.
    fn filter(&self, actor: &Actor) -> Result<CallbackFilter, Wrong> {
        let place =
            |name: &str, text: &str| Ok(asked::read(name, text, "a place in the log, which is a number")?.map(Place));
        let (since, until) = asked::span(&self.since, &self.until)?;
        let wanted = self.wanted()?;
        Ok(CallbackFilter {
            wanted,
            because: because(actor, (&self.code, &self.reason), wanted)?,
            since,
            until,
            before: place("before", &self.before)?,
            places: place("from_place", &self.from_place)?.zip(place("to_place", &self.to_place)?),
            ..CallbackFilter::default()
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

    /// Where those that match are told again, or tried now; `None` when that cannot be asked for like this.
    fn act(&self, key: i32) -> Option<(&'static str, String)> {
        if !self.from_place.is_empty() {
            return None;
        }
        let key_text = key.to_string();
        match self.wanted().ok()? {
            Some(WantedStanding::Owed | WantedStanding::Retrying) => {
                Some((TRY_ALL, trying_href([("url", &*key_text)])))
            }
            wanted => {
                let of = replay_of(wanted, !self.code.is_empty() || !self.reason.is_empty())?;
                let fields = [
                    ("of", of),
                    ("message", &*self.message),
                    ("code", &self.code),
                    ("reason", &self.reason),
                    ("since", &self.since),
                    ("until", &self.until),
                ];
                Some((TELL_ALL, asked::address(&format!("{PATH}/{key}/replay"), fields)))
            }
        }
    }

    /// That the list is a part only, which none of its fields says.
    fn note(&self) -> Option<String> {
        let (from, to) = (some(&self.from_place)?, some(&self.to_place)?);
        Some(match from == to {
            true => format!("Only the event at place {from} of the log, which one request carried."),
            false => format!(
                "Only events between the places {from} and {to} of the log: what one request carried lies there."
            ),
        })
    }
}

/// What is done with all that match.
pub(super) const TELL_ALL: &str = "Tell all that match again…";
pub(super) const TRY_ALL: &str = "Try all that match now…";

/// What a replay would be of; `None` where there is nothing to tell again, or no reason to choose by.
pub(super) fn replay_of(wanted: Option<WantedStanding>, by_reason: bool) -> Option<&'static str> {
    match wanted {
        Some(WantedStanding::Owed | WantedStanding::Retrying | WantedStanding::PassedOver) => None,
        Some(WantedStanding::Dead | WantedStanding::NotRelayed) => wanted.map(WantedStanding::as_str),
        Some(WantedStanding::Delivered) => Some("delivered").filter(|_| !by_reason),
        None => Some("all").filter(|_| !by_reason),
    }
}

/// What happened.
pub(super) fn what(event: &Event, kind: EventKind, webhook: Option<&Webhook>) -> String {
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
pub(super) fn state_of(subscription: &Subscription, judged: &Judged) -> Status {
    DeliveryState::more_closely(subscription, judged).map_or_else(|| standing_status(judged.standing), delivery_status)
}
