//! Asking providers what happened, where nobody tells it: for connections whose plan has no webhooks.
//!
//! What comes of it goes the way of a webhook, so repeats are known, and a look may begin a little before the last one ended.
//! One instance does it for all; it is part of the housekeeping. Connections are asked beside each other, the numbers of one in
//! turn: a connection that is slow, throttled or refused rests by itself, and says so where its numbers are shown.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};

use super::{directory::Directory, ingest::Ingestor};
use crate::{
    clock,
    domain::{
        account::{Connection, Hold, Sender},
        ids::{ConnectionKey, SenderKey},
        time::UnixMillis,
        words::ago,
    },
    net::exchange::Exchange,
    providers::{
        self, Provider,
        polls::{PollFailure, PollMemory, Polled},
    },
    store::{
        Store, StoreError,
        polls::{PollTrouble, Polling},
    },
    telemetry,
};

/// After a failure that does not say how long to wait.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// Connections that are asked at the same time.
const CONNECTIONS_AT_ONCE: usize = 8;
/// Looking who is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// That something could not be seen is shown for so long.
const MISSED_SHOWN_FOR: Duration = Duration::from_secs(24 * 60 * 60);

pub struct Poller {
    pub store: Store,
    pub directory: Arc<Directory>,
    pub exchange: Exchange,
    pub ingestor: Arc<Ingestor>,
}

/// What is wrong with asking a number, when it is asked at all.
pub fn trouble_of(sender: &Sender, polling: Option<Polling>) -> Option<PollTrouble> {
    let provider = providers::find(&sender.connection.provider)?;
    provider.poll_every(&sender.connection)?;
    polling?.trouble
}

/// For people.
pub fn told(trouble: &PollTrouble, now: UnixMillis) -> String {
    let (since, text) = (ago(trouble.since, now), &trouble.text);
    match trouble.again_at {
        Some(again_at) if again_at > now => {
            let again = ago(now, again_at);
            format!("for {since} nobody could ask what happened at it: {text}; it is asked again in {again}")
        }
        Some(_) => format!("for {since} nobody could ask what happened at it: {text}; it is asked again now"),
        None => format!("asked what happened, {since} ago: {text}"),
    }
}

/// When whom to ask next, and what is remembered of each.
#[derive(Default)]
struct Plan {
    numbers: HashMap<SenderKey, Instant>,
    rests: HashMap<ConnectionKey, Rest>,
    asked_now: BTreeSet<ConnectionKey>,
    memories: HashMap<SenderKey, PollMemory>,
}

/// A connection is left alone.
#[derive(Clone, Copy)]
struct Rest {
    until: Instant,
    /// Its credentials were refused: when it is released, somebody has mended them.
    refused: bool,
}

/// A connection's turn: those of its numbers that are due.
struct Turn {
    connection: Arc<Connection>,
    numbers: Vec<Number>,
    rest: Option<Rest>,
}

struct Number {
    sender: Arc<Sender>,
    provider: &'static dyn Provider,
    memory: PollMemory,
}

impl Plan {
    fn is_due(&self, sender: &Sender, now: Instant) -> bool {
        let rests = |rest: &Rest| now < rest.until && !(rest.refused && sender.connection.hold.is_none());
        self.numbers.get(&sender.key).is_none_or(|at| *at <= now)
            && !self.asked_now.contains(&sender.connection.key)
            && !self.rests.get(&sender.connection.key).is_some_and(rests)
    }

    /// Whose turn it is.
    fn next(&mut self, directory: &Directory) -> Vec<Turn> {
        let now = Instant::now();
        let snapshot = directory.snapshot();
        let mut turns: BTreeMap<ConnectionKey, Turn> = BTreeMap::new();
        let free = CONNECTIONS_AT_ONCE.saturating_sub(self.asked_now.len());
        for sender in snapshot.senders() {
            let (key, connection) = (sender.connection.key, &sender.connection);
            let Some(provider) = providers::find(&connection.provider) else { continue };
            let Some(every) = provider.poll_every(connection) else { continue };
            if !self.is_due(sender, now) || (turns.len() >= free && !turns.contains_key(&key)) {
                continue;
            }
            self.numbers.insert(sender.key, now + every);
            let memory = self.memories.remove(&sender.key).unwrap_or_default();
            let turn = turns.entry(key).or_insert_with(|| Turn {
                connection: connection.clone(),
                numbers: vec![],
                rest: None,
            });
            turn.numbers.push(Number { sender: sender.clone(), provider, memory });
        }
        self.asked_now.extend(turns.keys());
        turns.into_values().collect()
    }

    fn note(&mut self, turn: Turn) {
        self.asked_now.remove(&turn.connection.key);
        self.memories.extend(turn.numbers.into_iter().map(|number| (number.sender.key, number.memory)));
        match turn.rest {
            Some(rest) => drop(self.rests.insert(turn.connection.key, rest)),
            None => drop(self.rests.remove(&turn.connection.key)),
        }
    }
}

impl Poller {
    /// Asks whoever is due, until it may not go on.
    pub async fn run(&self, may_go: &(dyn Fn() -> bool + Sync)) {
        let mut plan = Plan::default();
        let mut turns = FuturesUnordered::new();
        while may_go() {
            turns.extend(plan.next(&self.directory).into_iter().map(|turn| self.ask(turn, may_go)));
            tokio::select! {
                Some(turn) = turns.next() => plan.note(turn),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn ask(&self, mut turn: Turn, may_go: &(dyn Fn() -> bool + Sync)) -> Turn {
        for number in &mut turn.numbers {
            if turn.rest.is_some() || !may_go() {
                break;
            }
            match self.ask_number(number).await {
                Ok(rest) => turn.rest = rest,
                Err(error) => {
                    // What was given to nobody is given again.
                    number.memory = PollMemory::default();
                    tracing::error!(error = %telemetry::Chain(&error), "could not store what a poll showed");
                }
            }
        }
        turn
    }

    async fn ask_number(&self, number: &mut Number) -> Result<Option<Rest>, StoreError> {
        let Number { sender, provider, memory } = number;
        let Some(before) = self.store.polling_of(sender.key).await? else {
            // What was said before the bridge was there is nobody's news.
            let polling = Polling { since: clock::now(), trouble: None };
            return self.store.keep_polling(sender.key, &polling).await.map(|()| None);
        };
        let polled = provider.poll(&self.exchange, sender, before.since, memory).await;
        let Polled { parsed, until, missed, failure } = polled;
        if let Err(error) = self.ingestor.ingest(&sender.connection, parsed).await {
            *memory = PollMemory::default();
            tracing::error!(error = %telemetry::Chain(&error), "could not store what a poll showed");
            return Ok(None);
        }
        if let Some(failure) = failure {
            return self.note_failure(sender, &failure).await.map(Some);
        }
        let now = clock::now();
        let missed = missed.map(|text| PollTrouble { text, since: now, again_at: None });
        if let Some(missed) = &missed {
            let number = sender.number.as_e164();
            tracing::warn!(connection.id = sender.connection.id, "asked what happened at {number}: {}", missed.text);
        }
        let is_shown =
            |trouble: &PollTrouble| trouble.again_at.is_none() && now.since(trouble.since) < MISSED_SHOWN_FOR;
        let trouble = missed.or_else(|| before.trouble.clone().filter(is_shown));
        let polling = Polling { since: until, trouble };
        if polling != before {
            self.store.keep_polling(sender.key, &polling).await?;
        }
        Ok(None)
    }

    /// The connection rests, and whoever looks at its numbers sees why; refused credentials put it on hold.
    async fn note_failure(&self, sender: &Sender, failure: &PollFailure) -> Result<Rest, StoreError> {
        let connection = &sender.connection;
        let (wait, now) = (failure.wait.unwrap_or(RETRY_AFTER), clock::now());
        let rest = Rest { until: Instant::now() + wait, refused: failure.refused };
        tracing::warn!(
            connection.id = connection.id,
            "could not ask what happened at {}: {failure}; again in {} s",
            sender.number.as_e164(),
            wait.as_secs()
        );
        let trouble = PollTrouble { text: failure.text.clone(), since: now, again_at: Some(now.plus(wait)) };
        self.store.note_poll_failure(connection.key, &trouble).await?;
        if failure.refused && connection.hold.is_none() {
            tracing::error!(
                connection.id = connection.id,
                "connection {0}, with all its numbers, is on hold: {failure}; mend it, then run `wabridge release {0}`",
                connection.id
            );
            self.store.hold_connection(connection.key, &Hold::by_answer(now, failure.text.clone())).await?;
            self.directory.refresh().await?;
        }
        Ok(rest)
    }
}
