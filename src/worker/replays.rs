//! Working off a replay: the owner of a subscription does it, beside what is new, so that pace, attempts and order are those
//! of every other callback.
//!
//! After each stretch of news one portion of the oldest replay is told; what is new never waits for more than that. A
//! URL that fails does not fail the cursor: the replay waits by itself, and ends when the URL keeps failing.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    dead::warn_of_dead,
    subscription::{LOOK_EVERY, SubscriptionParts},
};
use crate::{
    domain::{
        attempt::AttemptOutcome,
        callback::{Event, Subscription},
        ids::Place,
        replay::{ReplayOf, ranges_of},
    },
    services::relay::{Relayed, WholeFailure},
    store::{
        callbacks::{CallbackAttempt, CallbackState, CareOfEvents},
        replays::{Replay, ReplayMove},
    },
    telemetry,
};

/// While there is news to tell, a portion fills one request of theirs.
const EVENTS_BESIDE_NEWS_MAX: usize = 100;
/// A replay ends when the URL has failed so often in a row.
const TRIES_MAX: usize = 6;

/// What an owner remembers of the replay that it works on.
#[derive(Debug)]
pub(super) struct Replaying {
    id: Option<i32>,
    /// Beyond what is written down, and done with.
    told: BTreeSet<Place>,
    failures: usize,
    not_before: Instant,
    looked_at: Option<Instant>,
}

/// What a portion leaves to be written.
pub(super) struct Replayed {
    pub(super) attempts: Vec<CallbackAttempt>,
    pub(super) care: Vec<CareOfEvents>,
    pub(super) moved: ReplayMove,
}

impl Replaying {
    pub(super) fn new() -> Self {
        Self { id: None, told: BTreeSet::new(), failures: 0, not_before: Instant::now(), looked_at: None }
    }

    /// How long nothing will happen here.
    pub(super) fn rests_for(&self) -> Duration {
        match self.id {
            Some(_) => self.not_before.saturating_duration_since(Instant::now()).min(LOOK_EVERY),
            None => LOOK_EVERY,
        }
    }

    /// Tells one portion, when a replay waits and its time has come.
    pub(super) async fn tell_some(
        &mut self,
        parts: &Arc<SubscriptionParts>,
        subscription: &Subscription,
        beside_news: bool,
        may_go: &(dyn Fn() -> bool + Sync),
    ) -> Option<Replayed> {
        let replay = self.next(parts, subscription).await?;
        let limit = self.portion(parts, &replay, beside_news);
        let started = Instant::now();
        let portion = match parts.store.replay_portion(subscription, &replay.selection, limit).await {
            Ok(portion) => portion,
            Err(error) => {
                tracing::error!(error = %telemetry::Chain(&error), "could not read what is to be told again");
                self.not_before = Instant::now() + LOOK_EVERY;
                return None;
            }
        };
        let events = parts.relay.read(portion.events);
        let open: Vec<Event> = events.iter().filter(|event| !self.told.contains(&event.place)).cloned().collect();
        let told = parts.relay.relay(subscription, &open, may_go).await;
        if let Some(per_second) = replay.per_second {
            let paced = Duration::from_secs_f64(open.len() as f64 / f64::from(per_second.max(1)));
            self.not_before = started + paced;
        }
        let replayed = self.conclude(parts, &replay, &events, portion.next, told);
        warn_of_dead(&parts.relay, subscription, &events, &replayed.care);
        Some(replayed)
    }

    /// The replay to work on, read anew each time: somebody may have stopped it.
    async fn next(&mut self, parts: &SubscriptionParts, subscription: &Subscription) -> Option<Replay> {
        let now = Instant::now();
        let looked_lately = self.looked_at.is_some_and(|at| now.duration_since(at) < LOOK_EVERY);
        if (self.id.is_none() && looked_lately) || now < self.not_before {
            return None;
        }
        self.looked_at = Some(now);
        let replay = match parts.store.open_replay(subscription.key).await {
            Ok(replay) => replay,
            Err(error) => {
                tracing::error!(error = %telemetry::Chain(&error), "could not look for replays");
                None
            }
        };
        let id = replay.as_ref().map(|replay| replay.id);
        if id != self.id {
            *self = Self { id, looked_at: self.looked_at, ..Self::new() };
        }
        replay
    }

    fn portion(&self, parts: &SubscriptionParts, replay: &Replay, beside_news: bool) -> usize {
        let paced = replay.per_second.map_or(usize::MAX, |rate| usize::try_from(rate).unwrap_or(1).max(1));
        let most = parts.settings.events_per_read;
        // What was told beyond a failure is read again with the rest.
        let fair = if beside_news { most.min(EVENTS_BESIDE_NEWS_MAX) } else { most };
        paced.min(fair).saturating_add(self.told.len()).min(most.max(self.told.len() + 1))
    }

    fn conclude(
        &mut self,
        parts: &SubscriptionParts,
        replay: &Replay,
        events: &[Event],
        next: Place,
        mut told: Relayed,
    ) -> Replayed {
        let taken = told.attempts.iter().filter(|done| done.attempt.outcome == AttemptOutcome::Succeeded);
        let taken: usize = taken.map(|done| done.events).sum();
        let refused = told.care.iter().filter(|care| care.state == CallbackState::Dead).count();
        let passed = told.done.len().saturating_sub(taken + refused);
        let done = told.done.clone();
        self.told.append(&mut told.done);
        let first_open = events.iter().map(|event| event.place).find(|place| !self.told.contains(place));
        let next = first_open.unwrap_or(next);
        self.told = self.told.split_off(&next);
        let mut moved = ReplayMove {
            id: replay.id,
            done,
            next,
            told: taken as i64,
            refused: refused as i64,
            passed: passed as i64,
            note: None,
            finished: next > replay.selection.last,
        };
        match told.failure {
            None => self.failures = 0,
            Some(failure) => self.fail(parts, replay, events, &failure, &mut moved, &mut told.care),
        }
        let of_it = |attempt| CallbackAttempt { replay: Some(replay.id), ..attempt };
        Replayed { attempts: told.attempts.into_iter().map(of_it).collect(), care: told.care, moved }
    }

    /// The URL failed, which says nothing about any event: later again, unless that was so too often.
    fn fail(
        &mut self,
        parts: &SubscriptionParts,
        replay: &Replay,
        events: &[Event],
        failure: &WholeFailure,
        moved: &mut ReplayMove,
        care: &mut Vec<CareOfEvents>,
    ) {
        self.failures += 1;
        if self.failures < TRIES_MAX {
            let wait = parts.retries.wait_repeating(self.failures, failure.retry_after, rand::random());
            self.not_before = Instant::now() + wait;
            moved.note = Some(format!("waits after a failure: {}", failure.note));
            return;
        }
        moved.finished = true;
        moved.note = Some(format!("gave up after {TRIES_MAX} failures in a row: {}", failure.note));
        // Those that were dead stay dead, for this reason now. What had been delivered stays delivered.
        if replay.selection.of == ReplayOf::Dead {
            let open: BTreeSet<Place> = events
                .iter()
                .map(|event| event.place)
                .filter(|place| *place >= moved.next && !self.told.contains(place))
                .collect();
            moved.refused += open.len() as i64;
            care.extend(ranges_of(&open).into_iter().map(|(first, last)| CareOfEvents {
                first,
                last,
                state: CallbackState::Dead,
                reason: format!("told again in vain: {}", failure.note),
                waits: None,
            }));
            moved.done.extend(open);
        }
    }
}
