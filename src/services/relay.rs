//! Telling a subscription what happened.
//!
//! 1. The next events after the cursor are put into lanes: all events about one message, or from one
//!    person, are in the same lane, in order. Lanes run side by side.
//! 2. Each lane is written in the platform's dialect, as many events to a request as it takes, and
//!    sent request by request.
//! 3. A request that is refused for what is in it is halved until the refused event stands alone: that
//!    one is left behind (dead, visible), the others go on.
//! 4. A request that fails as a whole stops its lane. What is done is remembered; the rest is tried again later.
//!
//! Callbacks are at least once: when the process dies between an exchange and its commit, they are sent again.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};

use super::{
    directory::{Directory, Snapshot},
    media::links::MediaLinks,
    statistics::Statistics,
    traces::Traces,
    webhook_door::WebhookDoor,
};
use crate::{
    domain::{
        account::Account,
        attempt::{Attempt, AttemptOutcome},
        callback::{Event, EventDetail, EventKind, OutgoingStep, Rendered, Subscription},
        ids::Place,
        inbound::InboundMessage,
        sent_payload::SentPayload,
    },
    net::{
        exchange::{Answer, Exchange, Exchanged, Method, OutgoingRequest},
        redact,
    },
    platforms::{self, Platform},
    providers,
    store::{
        Store,
        callbacks::{CallbackAttempt, CallbackState, CareOfEvents},
        events::LoggedEvent,
        media::MediaKey,
    },
    telemetry,
};

pub struct Relay {
    pub directory: Arc<Directory>,
    pub links: Arc<MediaLinks>,
    pub exchange: Exchange,
    pub timeout: Duration,
    pub in_flight_max: usize,
    pub traces: Traces,
    pub statistics: Arc<Statistics>,
    /// For webhooks: what the log does not say of its events.
    pub store: Store,
    pub door: WebhookDoor,
}

/// What became of a run of events.
#[derive(Debug, Default)]
pub struct Relayed {
    /// Events that are done with, one way or another.
    pub done: BTreeSet<Place>,
    pub attempts: Vec<CallbackAttempt>,
    pub care: Vec<CareOfEvents>,
    /// The last failure as a whole, when there was one.
    pub failure: Option<WholeFailure>,
    /// Events of a webhook that were not taken; what waits behind one of them is neither here nor among those done.
    pub failed: Vec<FailedEvent>,
}

/// An event that a webhook did not take.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedEvent {
    pub place: Place,
    pub retry_after: Option<Duration>,
    pub note: String,
}

/// The URL, not an event, is in trouble.
#[derive(Clone, Debug, PartialEq)]
pub struct WholeFailure {
    /// The URL refuses us or is gone: a person must look.
    pub hold: bool,
    pub retry_after: Option<Duration>,
    pub note: String,
}

/// A lane is worth opening for so many events.
const EVENTS_PER_LANE_MIN: usize = 100;

impl Relay {
    /// Reads logged events as what they tell; leaves out those that are for other subscriptions.
    pub fn events_for(&self, subscription: &Subscription, logged: Vec<LoggedEvent>) -> Vec<Event> {
        let snapshot = self.directory.snapshot();
        logged
            .into_iter()
            .filter(|event| is_for(&snapshot, subscription, event))
            .map(|event| readable(&snapshot, &self.links, event))
            .collect()
    }

    /// Reads logged events as what they tell, whoever they are for: what is told again was chosen before.
    pub fn read(&self, logged: Vec<LoggedEvent>) -> Vec<Event> {
        let snapshot = self.directory.snapshot();
        logged.into_iter().map(|event| readable(&snapshot, &self.links, event)).collect()
    }

    /// Tells as many of the events as possible. `may_go` is asked before each request; after a no the rest
    /// stays untold.
    pub async fn relay(
        &self,
        subscription: &Subscription,
        events: &[Event],
        may_go: &(dyn Fn() -> bool + Sync),
    ) -> Relayed {
        if let Some(webhook) = &subscription.webhook {
            return self.relay_to_webhook(subscription, webhook, events, may_go).await;
        }
        let account = self.directory.snapshot().account_by_key(subscription.account).cloned();
        let Some((platform, account)) = platforms::find(&subscription.dialect).zip(account) else {
            let note = format!("this version knows no platform {}, or not the account", subscription.dialect);
            let failure = Some(WholeFailure { hold: true, retry_after: None, note });
            return Relayed { failure, ..Relayed::default() };
        };
        let lanes = lanes(events, self.in_flight_max);
        let running =
            lanes.into_iter().map(|lane| self.run_lane((platform, &account), &subscription.url, lane, may_go));
        let mut all = Relayed::default();
        for mut lane in futures_util::future::join_all(running).await {
            all.done.append(&mut lane.done);
            all.attempts.append(&mut lane.attempts);
            all.care.append(&mut lane.care);
            all.failure = match (all.failure.take(), lane.failure) {
                (Some(known), Some(new)) => Some(if new.hold { new } else { known }),
                (known, new) => known.or(new),
            };
        }
        all
    }

    async fn run_lane(
        &self,
        (platform, account): (&dyn Platform, &Account),
        url: &SecretString,
        events: Vec<Event>,
        may_go: &(dyn Fn() -> bool + Sync),
    ) -> Relayed {
        let mut relayed = Relayed::default();
        // Runs still to be told, in order. A refused one comes back as two halves.
        let mut runs = VecDeque::from([events]);
        while let Some(run) = runs.pop_front() {
            let rendered = platform.render_callbacks(account, &run);
            for index in rendered.silent {
                relayed.done.insert(run[index].place);
            }
            for (index, reason) in rendered.unspeakable {
                relayed.leave(&run[index], CallbackState::NotRelayed, reason);
            }
            let mut requests = VecDeque::from(rendered.requests);
            while let Some(request) = requests.pop_front() {
                if !may_go() {
                    return relayed;
                }
                match self.tell((account, url), &run, &request, &mut relayed).await {
                    Told::Taken => relayed.done.extend(request.events.iter().map(|index| run[*index].place)),
                    Told::Refused(note) if request.events.len() == 1 => {
                        relayed.leave(&run[request.events[0]], CallbackState::Dead, note);
                    }
                    Told::Refused(_) => {
                        let (first, second) = request.events.split_at(request.events.len() / 2);
                        let rest = requests.iter().flat_map(|request| &request.events);
                        let pick = |indices: Vec<usize>| indices.into_iter().map(|index| run[index].clone()).collect();
                        let mut halves: Vec<Vec<Event>> =
                            vec![pick(first.to_vec()), pick(second.to_vec()), pick(rest.copied().collect())];
                        halves.retain(|half| !half.is_empty());
                        halves.into_iter().rev().for_each(|half| runs.push_front(half));
                        break;
                    }
                    Told::Failed(failure) => {
                        relayed.failure = Some(failure);
                        return relayed;
                    }
                }
            }
        }
        relayed
    }

    async fn tell(
        &self,
        (account, url): (&Account, &SecretString),
        run: &[Event],
        request: &Rendered,
        relayed: &mut Relayed,
    ) -> Told {
        let exchanged = self
            .exchange
            .send(OutgoingRequest {
                method: Method::Post,
                url: url.expose_secret(),
                headers: vec![],
                body: Some(request.body.clone().into()),
                timeout: self.timeout,
            })
            .await;
        metrics::histogram!(telemetry::CALLBACK_SECONDS).record(exchanged.took.as_secs_f64());
        let (told, attempt) = understand(exchanged);
        metrics::counter!(telemetry::CALLBACKS, "outcome" => attempt.outcome.as_str()).increment(1);
        let taken = matches!(told, Told::Taken).then_some(request.events.len());
        self.statistics.told(account.key, taken);
        self.traces.relayed(&account.id, url.expose_secret(), run, request, &attempt);
        let places: BTreeSet<Place> = request.events.iter().map(|index| run[*index].place).collect();
        relayed.attempts.push(CallbackAttempt {
            first: places.first().copied().unwrap_or_default(),
            last: places.last().copied().unwrap_or_default(),
            events: request.events.len(),
            places,
            replay: None,
            attempt,
            payload: (request.events.len() == 1).then(|| SentPayload::of(&request.body, taken.is_some())),
        });
        told
    }
}

impl Relayed {
    pub(super) fn leave(&mut self, event: &Event, state: CallbackState, reason: String) {
        self.done.insert(event.place);
        self.care.push(CareOfEvents { first: event.place, last: event.place, state, reason, waits: None });
    }
}

/// How one request was received.
enum Told {
    Taken,
    /// They do not want what is in it.
    Refused(String),
    /// It says nothing about what is in it.
    Failed(WholeFailure),
}

fn understand(exchanged: Exchanged) -> (Told, Attempt) {
    let Exchanged { started_at, took, result } = exchanged;
    let attempt = |outcome, http_status, note| Attempt { started_at, took, outcome, http_status, note, excerpt: None };
    match result {
        Ok(Answer { status: status @ 200..=299, .. }) => {
            (Told::Taken, attempt(AttemptOutcome::Succeeded, Some(status), String::new()))
        }
        Ok(answer) => {
            let Answer { status, retry_after, .. } = answer;
            let note = answer.in_words();
            let told = match status {
                400 | 413 | 422 => Told::Refused(note.clone()),
                _ => Told::Failed(WholeFailure {
                    hold: matches!(status, 401 | 404 | 410),
                    retry_after,
                    note: note.clone(),
                }),
            };
            (told, attempt(AttemptOutcome::Refused, Some(status), note))
        }
        Err(error) => {
            let note = redact::text(&error.to_string());
            let failure = WholeFailure { hold: false, retry_after: None, note: note.clone() };
            (Told::Failed(failure), attempt(AttemptOutcome::NoAnswer, None, note))
        }
    }
}

/// Splits events so that what must stay in order stays together.
fn lanes(events: &[Event], lanes_max: usize) -> Vec<Vec<Event>> {
    let count = events.len().div_ceil(EVENTS_PER_LANE_MIN).clamp(1, lanes_max.max(1));
    let mut lanes: BTreeMap<u64, Vec<Event>> = BTreeMap::new();
    for event in events {
        let mut hasher = DefaultHasher::new();
        match &event.detail {
            EventDetail::Inbound(message) => {
                (event.sender, &message.from, &message.from_user_id).hash(&mut hasher);
            }
            EventDetail::Notice(_) => event.sender.hash(&mut hasher),
            EventDetail::Person(news) => (&news.contact.phone, &news.contact.user_id).hash(&mut hasher),
            EventDetail::Status { .. } | EventDetail::Outgoing(_) | EventDetail::Unreadable { .. } => {
                event.message.hash(&mut hasher)
            }
        }
        lanes.entry(hasher.finish() % count as u64).or_default().push(event.clone());
    }
    lanes.into_values().collect()
}

/// A number with a subscription of its own for a kind is left out by the account's.
fn is_for(snapshot: &Snapshot, subscription: &Subscription, event: &LoggedEvent) -> bool {
    match subscription.sender {
        _ if subscription.webhook.is_some() => true,
        Some(sender) => sender == event.sender,
        None => !snapshot.subscriptions.iter().any(|other| {
            other.account == subscription.account
                && other.kind == subscription.kind
                && other.sender == Some(event.sender)
        }),
    }
}

/// A logged event as what it tells.
pub fn readable(snapshot: &Snapshot, links: &MediaLinks, logged: LoggedEvent) -> Event {
    let sender = snapshot.sender(logged.sender);
    let number = sender.map(|sender| sender.number.clone());
    let unreadable = |why: &str| EventDetail::Unreadable { why: why.to_owned() };
    let detail = match (logged.kind, sender) {
        // Who opted out did so at no number of ours.
        (EventKind::Person, _) => match serde_json::from_str(logged.entry.as_deref().unwrap_or_default()) {
            Ok(news) => EventDetail::Person(news),
            Err(error) => unreadable(&error.to_string()),
        },
        (_, None) => unreadable("the sender number does not exist any more"),
        (EventKind::Status, Some(_)) => match logged.status {
            Some(status) => EventDetail::Status { status, failure: logged.failure },
            None => unreadable("the status is not known to this version"),
        },
        (EventKind::Inbound, Some(sender)) => {
            let entry = logged.entry.unwrap_or_default();
            match providers::find(&sender.connection.provider)
                .map(|provider| provider.parse_inbound(&sender.connection, &entry))
            {
                Some(Ok(message)) => {
                    let from = message.from.clone().or(logged.person);
                    EventDetail::Inbound(Box::new(InboundMessage { from, ..message }))
                }
                Some(Err(error)) => unreadable(&error.to_string()),
                None => unreadable("the provider is not known to this version"),
            }
        }
        (EventKind::Notice, Some(_)) => match serde_json::from_str(logged.entry.as_deref().unwrap_or_default()) {
            Ok(notice) => EventDetail::Notice(notice),
            Err(error) => unreadable(&error.to_string()),
        },
        (EventKind::Outgoing, Some(_)) => match OutgoingStep::named(logged.entry.as_deref().unwrap_or_default()) {
            Some(step) => EventDetail::Outgoing(step),
            None => unreadable("the step is not known to this version"),
        },
    };
    Event {
        media_url: sender.zip(detail.file_of()).map(|(sender, provider_message_id)| {
            let own = snapshot.account_by_key(sender.account).and_then(|account| account.policy.keep_media_for);
            links.url(sender.account, own, MediaKey::of(sender.key, provider_message_id), logged.recorded_at)
        }),
        place: logged.place,
        sender: logged.sender,
        sender_number: number,
        occurred_at: logged.occurred_at,
        recorded_at: logged.recorded_at,
        message: logged.message,
        platform_message_id: logged.platform_message_id,
        told_before: logged.told_before,
        detail,
    }
}
