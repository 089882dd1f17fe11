//! What an owner does otherwise when its subscription is a webhook's: events that were not taken wait by themselves, whoever fails
//! is asked less, and in the end switched off; and somebody may pause it.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{LOOK_EVERY, Owner, Stretch, left_behind};
use crate::{
    clock,
    domain::{
        attempt::AttemptOutcome, callback::Event, ids::Place, notice::WebhookTrouble, webhook::Webhook,
        words::not_taken,
    },
    services::{relay::Relayed, webhook_relay::lane_of},
    store::{
        StoreError,
        batch::CommitError,
        callbacks::{CursorMove, Trouble},
    },
    telemetry,
    worker::{
        dead::warn_of_dead,
        retries::{TRIED_AT_ONCE, WAITING_MAX, after_trying_again},
    },
};

/// A webhook that failed so often in a row is asked once in a while, and not for each event.
const FAILURES_BEFORE_REST: i32 = 10;
const REST: Duration = Duration::from_secs(60);
/// So long a paused webhook keeps what happens.
const PAUSE_KEEPS_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl Owner {
    /// The webhook that this is a cursor of.
    pub(super) fn webhook(&self) -> Option<&Webhook> {
        self.subscription.webhook.as_deref()
    }

    /// A webhook that is paused, or that somebody has changed: who goes on with it as it is now begins in a moment.
    pub(super) fn must_rest(&self) -> bool {
        self.webhook().is_some_and(|own| {
            let snapshot = self.parts.relay.directory.snapshot();
            let now = snapshot.webhooks.iter().find(|webhook| webhook.key == own.key);
            now.is_none_or(|now| now.paused || !now.enabled || now.updated_at != own.updated_at)
        })
    }

    /// A pause has an end, or its account's log would grow for ever: what is too old is dead. What is of other kinds is passed.
    pub(super) async fn keep_while_resting(&mut self, stretch: &Stretch) -> Result<(), CommitError> {
        if stretch.events.is_empty() {
            self.pass(stretch.end).await;
            return Ok(());
        }
        let before = clock::now().minus(PAUSE_KEEPS_MAX);
        let old = stretch.events.iter().take_while(|event| event.recorded_at < before).count();
        let Some(last) = stretch.events[..old].last() else { return Ok(()) };
        self.cursor = last.place;
        let care = left_behind(&stretch.events[..old], "the webhook was paused until the events were too old");
        self.write(Relayed { care, ..Relayed::default() }).await
    }

    /// How many events to read; `None`: too many wait for another try already.
    pub(super) fn events_wanted(&self) -> Option<usize> {
        let most = self.parts.settings.events_per_read;
        match self.webhook() {
            None => Some(most),
            Some(_) if self.waiting >= WAITING_MAX => None,
            // Who fails is asked with a few, until something gets through.
            Some(webhook) if self.trouble.failures > 0 => {
                Some(usize::try_from(webhook.settings.in_flight).unwrap_or(1))
            }
            Some(_) => Some(most),
        }
    }

    /// Parts those that wait behind an event of their lane which is tried again.
    pub(super) async fn behind_waiting(&mut self, open: Vec<Event>) -> Result<(Vec<Event>, Vec<Event>), CommitError> {
        let Some(webhook) = self.webhook() else { return Ok((open, vec![])) };
        let in_order = webhook.settings.in_order;
        let lanes = match self.parts.store.waiting_lanes(self.subscription.key, WAITING_MAX).await {
            Ok(lanes) => lanes,
            Err(error) => {
                tracing::error!(error = %telemetry::Chain(&error), "could not read which events wait for another try");
                return Ok((vec![], vec![]));
            }
        };
        self.waiting = lanes.len();
        let lanes: BTreeSet<i64> = lanes.into_iter().collect();
        Ok(open.into_iter().partition(|event| !in_order || !lanes.contains(&lane_of(event))))
    }

    /// Tries events of a webhook again whose time has come. `true` when something was done.
    pub(super) async fn try_again(&mut self, stop: &CancellationToken) -> Result<bool, CommitError> {
        let due = self.looked_for_waiting.is_none_or(|at| at.elapsed() >= LOOK_EVERY);
        let Some(webhook) = self.subscription.webhook.clone().filter(|_| due && self.wait_left().is_none()) else {
            return Ok(false);
        };
        let limit = if self.trouble.failures > 0 { webhook.settings.in_flight as usize } else { TRIED_AT_ONCE };
        let read = async {
            let store = &self.parts.store;
            let waiting = store.waiting(self.subscription.key, webhook.settings.in_order, limit).await?;
            let places: Vec<Place> = waiting.iter().map(|one| one.place).collect();
            let events = store.events_at(self.subscription.account, &places).await?;
            Ok::<_, StoreError>((waiting, self.parts.relay.read(events)))
        };
        let (waiting, events) = match read.await {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(error = %telemetry::Chain(&error), "could not read what is to be tried again");
                self.looked_for_waiting = Some(Instant::now());
                return Ok(false);
            }
        };
        if waiting.is_empty() {
            self.looked_for_waiting = Some(Instant::now());
            return Ok(false);
        }
        self.looked_for_waiting = None;
        let may_go = || {
            self.beat();
            !stop.is_cancelled() && self.lease.holds(Instant::now())
        };
        let told = self.parts.relay.relay(&self.subscription, &events, &may_go).await;
        let (care, settled) = after_trying_again(&webhook, &waiting, &events, &told);
        self.waiting = self.waiting.saturating_sub(settled.len());
        self.note_trouble(&told);
        self.tell_of_trouble(&told).await;
        warn_of_dead(&self.parts.relay, &self.subscription, &events, &care);
        let care = care.into_iter().chain(told.care).collect();
        let moved = CursorMove { settled, ..self.move_of(told.attempts, care) };
        self.commit(moved).await?;
        Ok(true)
    }

    /// Events that were not taken: how many since something was, and when to ask again.
    pub(super) fn note_failed(&mut self, relayed: &Relayed) {
        let now = clock::now();
        if relayed.attempts.iter().any(|done| done.attempt.outcome == AttemptOutcome::Succeeded) {
            // Others get through: it is these events, not the receiver.
            self.trouble = Trouble::default();
            return;
        }
        let more = i32::try_from(relayed.failed.len()).unwrap_or(i32::MAX);
        let failures = self.trouble.failures.saturating_add(more);
        let note = relayed.failed.last().map(|failed| failed.note.as_str()).unwrap_or_default();
        tracing::warn!(
            subscription.id = self.subscription.key.0,
            failures,
            "webhook {}: {}: {note}",
            self.webhook().map_or("?", |webhook| webhook.name.as_str()),
            not_taken(failures),
        );
        self.trouble = Trouble {
            failures,
            failing_since: self.trouble.failing_since.or(Some(now)),
            due_at: (failures >= FAILURES_BEFORE_REST).then(|| now.plus(REST)),
            hold: None,
        };
    }

    /// Tells whoever wants to hear that the webhook takes nothing, the first time since it was well. What cannot be written down
    /// is tried again with the next failure.
    pub(super) async fn tell_of_trouble(&mut self, relayed: &Relayed) {
        let Some(webhook) = self.subscription.webhook.clone() else { return };
        let store = &self.parts.store;
        let succeeded = || relayed.attempts.iter().any(|done| done.attempt.outcome == AttemptOutcome::Succeeded);
        let written = match (self.trouble.failures > 0, self.told_failing) {
            (true, Some(true)) | (false, Some(false)) => return,
            (true, _) => {
                if let Some(failed) = relayed.failed.last() {
                    failed.note.clone_into(&mut self.last_answer);
                }
                let trouble = self.trouble_of(&webhook);
                store.note_webhook_failing(&webhook, self.subscription.account, &trouble).await.map(drop)
            }
            (false, _) if succeeded() => store.note_webhook_well(webhook.key).await,
            (false, _) => return,
        };
        match written {
            Ok(()) => self.told_failing = Some(self.trouble.failures > 0),
            Err(error) => {
                tracing::error!(error = %telemetry::Chain(&error), "could not write down how a webhook fares");
            }
        }
    }

    fn trouble_of(&self, webhook: &Webhook) -> WebhookTrouble {
        WebhookTrouble {
            name: webhook.name.clone(),
            failures: self.trouble.failures.unsigned_abs(),
            failing_since: self.trouble.failing_since.unwrap_or_else(clock::now),
            answer: self.last_answer.clone(),
            alerts: webhook.settings.alerts.webhook.clone(),
        }
    }

    pub(super) fn is_to_be_switched_off(&self) -> bool {
        let Some((webhook, since)) = self.webhook().zip(self.trouble.failing_since) else { return false };
        webhook.settings.switch_off.is_due(self.trouble.failures, clock::now().since(since))
    }

    pub(super) async fn switch_off(&self) {
        let Some(webhook) = self.webhook() else { return };
        let reason = not_taken(self.trouble.failures);
        let trouble = self.trouble_of(webhook);
        let account = self.subscription.account;
        match self.parts.store.switch_off_webhook(webhook, account, (&trouble, &reason)).await {
            Ok(_) => tracing::error!(
                "webhook {} was switched off, because {reason}; mend its receiver and switch it on again",
                webhook.name
            ),
            Err(error) => tracing::error!(error = %telemetry::Chain(&error), "could not switch off a webhook"),
        }
    }
}
