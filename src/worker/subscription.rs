//! The owner of one subscription: reads the log after the cursor, tells what it finds, moves the cursor.
//!
//! When the URL fails as a whole, the cursor waits and the attempt is repeated with growing pauses;
//! what was told beyond the cursor is remembered, so that it is not told again. Events that grow older
//! than the horizon meanwhile are left behind, visible. A URL that refuses us altogether is on hold:
//! a person must look, and until then it is probed now and then. What is different for webhooks stands in [`webhook`].

mod webhook;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Lease, dead::warn_of_dead, replays::Replaying, retries::set_aside};
use crate::{
    clock,
    domain::{
        account::Hold,
        attempt::AttemptOutcome,
        callback::{Event, Subscription},
        ids::Place,
        retry::Schedule,
        time::UnixMillis,
        words::counted,
    },
    pulse::Pulse,
    services::relay::{Relay, Relayed},
    settings,
    store::{
        Store, StoreError,
        batch::{CommitError, Committer},
        callbacks::{CallbackAttempt, CallbackState, CareOfEvents, CursorMove, Trouble},
    },
    telemetry,
};

/// What all owners of subscriptions share.
pub struct SubscriptionParts {
    pub store: Store,
    pub committer: Committer,
    pub relay: Arc<Relay>,
    pub settings: settings::Relay,
    pub retries: Schedule,
}

/// How often to look without having been woken.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(2);
/// After the database could not be read or written.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// A cursor that passes only events of other kinds is written down this often.
const IDLE_CURSOR_EVERY: Duration = Duration::from_secs(15);

/// How an owner is asked to end.
pub struct Stops {
    /// When it has told what it has read, so that nobody tells any of it again. Set with `now`, too.
    pub soon: CancellationToken,
    /// After the exchanges that are under way.
    pub now: CancellationToken,
}

/// Runs until it is to stop, or until the lease is lost. An exchange under way is finished in any case.
pub async fn own_subscription(
    parts: Arc<SubscriptionParts>,
    subscription: Arc<Subscription>,
    lease: Lease,
    bell: Arc<Notify>,
    (stops, pulse): (Stops, Pulse),
) {
    let mut owner = Owner {
        parts,
        subscription,
        lease,
        cursor: Place::default(),
        trouble: Trouble::default(),
        told: BTreeSet::new(),
        cursor_written: Place::default(),
        cursor_written_at: Instant::now(),
        replaying: Replaying::new(),
        pulse,
        writes: true,
        waiting: 0,
        looked_for_waiting: None,
        told_failing: None,
        last_answer: String::new(),
    };
    while !stops.soon.is_cancelled() && owner.lease.holds(Instant::now()) {
        match owner.parts.store.cursor_state(owner.subscription.key).await {
            Ok(Some(state)) => {
                owner.cursor = state.cursor;
                owner.cursor_written = state.cursor;
                owner.trouble = state.trouble;
                if owner.trouble.failing_since.is_some_and(|since| since > clock::now()) {
                    // The clock was set back since, and would have us wait for as long as that.
                    owner.trouble.due_at = None;
                }
                owner.run(&bell, &stops).await;
            }
            Ok(None) => break,
            Err(error) => tracing::error!(error = %telemetry::Chain(&error), "could not read a cursor"),
        }
        if !stops.soon.is_cancelled() {
            tokio::time::sleep(STORE_RETRY).await;
        }
    }
    owner.pulse.end();
}

struct Owner {
    parts: Arc<SubscriptionParts>,
    subscription: Arc<Subscription>,
    lease: Lease,
    cursor: Place,
    trouble: Trouble,
    /// Beyond the cursor, and done with.
    told: BTreeSet<Place>,
    /// As it stands in the database.
    cursor_written: Place,
    cursor_written_at: Instant,
    replaying: Replaying,
    pulse: Pulse,
    /// What was last to be written down was.
    writes: bool,
    /// Of a webhook: events that wait for another try, as far as was seen.
    waiting: usize,
    looked_for_waiting: Option<Instant>,
    /// Of a webhook: how it fares, as it was last written down here; and what came of the last request that was not taken.
    told_failing: Option<bool>,
    last_answer: String,
}

/// A stretch of the log.
struct Stretch {
    events: Vec<Event>,
    /// Nothing of this subscription's kind lies between the events and here.
    end: Place,
}

/// Ranges of events that follow each other, as dead.
fn left_behind(events: &[Event], why: &str) -> Vec<CareOfEvents> {
    events
        .chunk_by(|before, after| after.place.0 == before.place.0 + 1)
        .filter_map(|range| {
            Some(CareOfEvents {
                first: range.first()?.place,
                last: range.last()?.place,
                state: CallbackState::Dead,
                reason: why.to_owned(),
                waits: None,
            })
        })
        .collect()
}

impl Owner {
    /// Returns when asked to stop, when the lease is lost, or to read the cursor again.
    async fn run(&mut self, bell: &Notify, stops: &Stops) {
        loop {
            let woken = bell.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            if stops.soon.is_cancelled() || !self.lease.holds(Instant::now()) {
                return;
            }
            if let Some(wait) = self.wait_left() {
                tokio::select! {
                    () = stops.soon.cancelled() => return,
                    () = tokio::time::sleep(wait.min(LOOK_EVERY)) => {}
                }
                // Somebody may have released it.
                match self.parts.store.cursor_state(self.subscription.key).await {
                    Ok(Some(state)) => {
                        self.pulse.beat();
                        self.trouble = state.trouble;
                    }
                    Ok(None) => return,
                    Err(_) => {}
                }
                continue;
            }
            let stretch = match self.read().await {
                Ok(stretch) => stretch,
                Err(error) => {
                    tracing::error!(error = %telemetry::Chain(&error), "could not read the log");
                    return;
                }
            };
            // Looked at after the reading, so that what happens after a pause is never told.
            if self.must_rest() {
                if let Err(error) = self.keep_while_resting(&stretch).await {
                    tracing::error!("could not move the cursor of a subscription: {error}");
                    return;
                }
                self.beat();
                tokio::select! {
                    () = stops.soon.cancelled() => return,
                    () = tokio::time::sleep(LOOK_EVERY) => continue,
                }
            }
            let news = !stretch.events.is_empty();
            if !news {
                self.pass(stretch.end).await;
            } else if let Err(error) = self.tell(stretch, &stops.now).await {
                tracing::error!("could not move the cursor of a subscription: {error}");
                return;
            }
            let replayed = match self.tell_again(news, &stops.soon).await {
                Ok(replayed) => replayed,
                Err(error) => {
                    tracing::error!("could not write down what was told again: {error}");
                    return;
                }
            };
            let retried = match self.try_again(&stops.soon).await {
                Ok(retried) => retried,
                Err(error) => {
                    tracing::error!("could not write down what was tried again: {error}");
                    return;
                }
            };
            if self.is_to_be_switched_off() {
                self.switch_off().await;
                return;
            }
            if !news && !replayed && !retried {
                self.beat();
                tokio::select! {
                    () = stops.soon.cancelled() => return,
                    () = woken => {}
                    () = tokio::time::sleep(self.replaying.rests_for()) => {}
                }
            }
        }
    }

    fn wait_left(&self) -> Option<Duration> {
        let wait = self.trouble.due_at?.since(clock::now());
        (!wait.is_zero()).then_some(wait)
    }

    async fn read(&self) -> Result<Stretch, StoreError> {
        let Some(limit) = self.events_wanted() else {
            return Ok(Stretch { events: vec![], end: self.cursor });
        };
        let (logged, end) = self
            .parts
            .store
            .events_after(self.subscription.account, self.subscription.kind, self.cursor, limit)
            .await?;
        let last = logged.last().map(|event| event.place);
        let end = if logged.len() < limit { end } else { last.unwrap_or(end) };
        Ok(Stretch { events: self.parts.relay.events_for(&self.subscription, logged), end })
    }

    /// Nothing for us up to here. Worth a write only now and then: whoever starts again reads past it.
    async fn pass(&mut self, end: Place) {
        self.cursor = self.cursor.max(end);
        // Also long after the last news: what a cursor has not passed is not forgotten.
        if self.cursor > self.cursor_written
            && self.cursor_written_at.elapsed() >= IDLE_CURSOR_EVERY
            && let Err(error) = self.write(Relayed::default()).await
        {
            tracing::warn!("could not move the cursor of a subscription: {error}");
        }
    }

    /// A portion of a replay, when there is one. `true` when something was done.
    async fn tell_again(&mut self, beside_news: bool, stop: &CancellationToken) -> Result<bool, CommitError> {
        if self.wait_left().is_some() || stop.is_cancelled() {
            return Ok(false);
        }
        let (parts, subscription) = (self.parts.clone(), self.subscription.clone());
        let (lease, pulse, writes) = (&self.lease, &self.pulse, self.writes);
        let may_go = || {
            if writes {
                pulse.beat();
            }
            !stop.is_cancelled() && lease.holds(Instant::now())
        };
        let told = self.replaying.tell_some(&parts, &subscription, beside_news, &may_go).await;
        let Some(mut told) = told else { return Ok(false) };
        if told.attempts.iter().any(|done| done.attempt.outcome == AttemptOutcome::Succeeded) {
            // It works again: nothing else may be owed to it that could show it.
            let taken = Relayed { attempts: told.attempts, ..Relayed::default() };
            self.note_trouble(&taken);
            self.tell_of_trouble(&taken).await;
            told.attempts = taken.attempts;
        }
        let moved = CursorMove { replay: Some(told.moved), ..self.move_of(told.attempts, told.care) };
        let written = self.commit(moved).await;
        if written.is_err() {
            // It goes on from what is written down, or the dead that were told would stay among the dead.
            self.replaying = Replaying::new();
        }
        written.map(|()| true)
    }

    async fn tell(&mut self, stretch: Stretch, stop: &CancellationToken) -> Result<(), CommitError> {
        let mut relayed = Relayed::default();
        let fresh_from = clock::now().minus(self.parts.settings.horizon);
        let (old, fresh) = self.split_by_age(&stretch, fresh_from);
        relayed.done.extend(old.iter().map(|event| event.place));
        relayed.care.extend(left_behind(&old, "the callback URL could not be reached until the events were too old"));
        let open: Vec<Event> = fresh.into_iter().filter(|event| !self.told.contains(&event.place)).collect();
        let (open, held_back) = self.behind_waiting(open).await?;
        let may_go = || {
            self.beat();
            !stop.is_cancelled() && self.lease.holds(Instant::now())
        };
        let mut told = self.parts.relay.relay(&self.subscription, &open, &may_go).await;
        if let Some(webhook) = self.webhook()
            && (told.failed.len() + held_back.len() > 0)
        {
            // They wait by themselves, and the cursor goes on.
            let care = set_aside(webhook, &open, &held_back, &told);
            told.done.extend(care.iter().map(|care| care.first));
            told.care.extend(care);
        }
        if !told.failed.is_empty() {
            told.failure = None;
        }
        relayed.done.extend(told.done);
        relayed.attempts.extend(told.attempts);
        relayed.care.extend(told.care);
        relayed.failed = told.failed;
        relayed.failure = told.failure;

        self.told.append(&mut relayed.done);
        self.cursor = self.finished_up_to(&stretch);
        self.told = self.told.split_off(&Place(self.cursor.0 + 1));
        self.note_trouble(&relayed);
        self.tell_of_trouble(&relayed).await;
        warn_of_dead(&self.parts.relay, &self.subscription, &stretch.events, &relayed.care);
        let left_behind: Vec<_> = relayed.care.iter().map(|care| care.first..=care.last).collect();
        let written = self.write(relayed).await;
        if written.is_err() {
            // Nobody would hear of what was left behind: it is judged again.
            self.told.retain(|place| !left_behind.iter().any(|range| range.contains(place)));
        }
        written
    }

    /// Events that the URL has failed to take for too long and that nobody was told of, and all that are younger.
    fn split_by_age(&self, stretch: &Stretch, fresh_from: UnixMillis) -> (Vec<Event>, Vec<Event>) {
        let failing = self.trouble.failures > 0;
        let old = stretch.events.iter().take_while(|event| failing && event.recorded_at < fresh_from).count();
        let (old, fresh) = stretch.events.split_at(old);
        (old.iter().filter(|event| !self.told.contains(&event.place)).cloned().collect(), fresh.to_vec())
    }

    /// The cursor goes over the finished prefix.
    fn finished_up_to(&self, stretch: &Stretch) -> Place {
        match stretch.events.iter().position(|event| !self.told.contains(&event.place)) {
            None => stretch.end,
            Some(0) => self.cursor,
            Some(first_open) => stretch.events[first_open - 1].place,
        }
    }

    fn note_trouble(&mut self, relayed: &Relayed) {
        if !relayed.failed.is_empty() {
            self.note_failed(relayed);
            return;
        }
        let Some(failure) = &relayed.failure else {
            self.trouble.due_at = None;
            let asked = relayed.attempts.iter().any(|done| done.attempt.outcome == AttemptOutcome::Succeeded);
            if asked && self.trouble != Trouble::default() {
                tracing::info!(
                    subscription.id = self.subscription.key.0,
                    "callback URL {} works again",
                    self.subscription.key
                );
                self.trouble = Trouble::default();
            }
            return;
        };
        let now = clock::now();
        let failures = self.trouble.failures.saturating_add(1);
        let tries = usize::try_from(failures).unwrap_or(1);
        let planned = self.parts.retries.wait_repeating(tries, failure.retry_after, rand::random());
        let wait = if failure.hold { planned.max(self.parts.settings.hold_probe) } else { planned };
        tracing::warn!(
            subscription.id = self.subscription.key.0,
            failures,
            hold = failure.hold,
            "callback URL {} failed {} in a row: {}",
            self.subscription.key,
            counted(failures, "time", "times"),
            failure.note
        );
        let hold = failure.hold.then(|| {
            let since = self.trouble.hold.as_ref().map_or(now, |hold| hold.since);
            Hold::by_answer(since, failure.note.clone())
        });
        self.trouble = Trouble {
            failures,
            failing_since: self.trouble.failing_since.or(Some(now)),
            due_at: Some(now.plus(wait)),
            hold,
        };
    }

    async fn write(&mut self, relayed: Relayed) -> Result<(), CommitError> {
        self.commit(self.move_of(relayed.attempts, relayed.care)).await
    }

    fn move_of(&self, attempts: Vec<CallbackAttempt>, callbacks: Vec<CareOfEvents>) -> CursorMove {
        CursorMove {
            subscription: self.subscription.key,
            account: self.subscription.account,
            epoch: self.lease.epoch,
            cursor: self.cursor,
            attempts,
            callbacks,
            settled: vec![],
            trouble: self.trouble.clone(),
            replay: None,
        }
    }

    async fn commit(&mut self, moved: CursorMove) -> Result<(), CommitError> {
        self.cursor_written_at = Instant::now();
        self.cursor_written = self.cursor;
        let written = self.parts.committer.move_cursor(moved).await;
        self.writes = written.is_ok();
        self.beat();
        written
    }

    /// It goes on. Who tells the same again and again, because it cannot be written down, does not.
    fn beat(&self) {
        if self.writes {
            self.pulse.beat();
        }
    }
}
