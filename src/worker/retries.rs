//! Events that a webhook did not take: each waits by itself and is tried again, while the cursor goes on.
//!
//! An event that fails gets a row at once, with the time of its next try; those of its lane behind it wait, too, where the webhook
//! wants order. When its tries are used up it is dead, which a replay can change. So one bad event stops nobody else, and a dead
//! receiver costs one row an event, no more than [`WAITING_MAX`]: then nothing new is read.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    clock,
    domain::{callback::Event, ids::Place, time::UnixMillis, webhook::Webhook},
    services::{
        relay::{FailedEvent, Relayed},
        webhook_relay::lane_of,
    },
    store::callbacks::{CallbackState, CareOfEvents, Waiting, Waits},
};

/// Events of one subscription that wait for another try.
pub(super) const WAITING_MAX: usize = 5_000;
/// Of these, so many are tried in one go.
pub(super) const TRIED_AT_ONCE: usize = 100;

/// What is to be written of events that were told for the first time.
pub(super) fn set_aside(webhook: &Webhook, events: &[Event], held_back: &[Event], told: &Relayed) -> Vec<CareOfEvents> {
    let now = clock::now();
    let failed: BTreeMap<Place, &FailedEvent> = told.failed.iter().map(|failed| (failed.place, failed)).collect();
    let mut care = Vec::new();
    let mut stopped = BTreeSet::new();
    for event in events {
        if let Some(failed) = failed.get(&event.place) {
            stopped.insert(lane_of(event));
            care.push(after_try(webhook, failed, lane_of(event), 1, now));
        } else if !told.done.contains(&event.place) && webhook.settings.in_order && stopped.contains(&lane_of(event)) {
            care.push(behind(event, now));
        }
    }
    care.extend(held_back.iter().map(|event| behind(event, now)));
    care
}

/// It was tried so often, and not taken.
pub(super) fn after_try(
    webhook: &Webhook,
    failed: &FailedEvent,
    lane: i64,
    tries: u32,
    now: UnixMillis,
) -> CareOfEvents {
    let care = |state, reason, waits| CareOfEvents { first: failed.place, last: failed.place, state, reason, waits };
    match webhook.settings.retries.wait_after(tries) {
        Some(wait) => {
            // They may ask for more patience, within reason, and not for less.
            let wait = failed.retry_after.map_or(wait, |asked| asked.min(wait.saturating_mul(2)).max(wait));
            let tries = i32::try_from(tries).unwrap_or(i32::MAX);
            let waits = Waits { tries, due_at: now.plus(wait), lane };
            care(CallbackState::Waiting, failed.note.clone(), Some(waits))
        }
        None => {
            let times = if tries == 1 { "once".to_owned() } else { format!("{tries} times") };
            care(CallbackState::Dead, format!("tried {times}: {}", failed.note), None)
        }
    }
}

fn behind(event: &Event, now: UnixMillis) -> CareOfEvents {
    CareOfEvents {
        first: event.place,
        last: event.place,
        state: CallbackState::Waiting,
        reason: "waits for the event before it, which was not taken yet".to_owned(),
        waits: Some(Waits { tries: 0, due_at: now, lane: lane_of(event) }),
    }
}

/// What is to be written of events that were tried again: rows that change, and rows that go.
pub(super) fn after_trying_again(
    webhook: &Webhook,
    waiting: &[Waiting],
    found: &[Event],
    told: &Relayed,
) -> (Vec<CareOfEvents>, Vec<Place>) {
    let now = clock::now();
    let mut care = Vec::new();
    let mut settled = Vec::new();
    for one in waiting {
        let tries = one.waits.tries.unsigned_abs() + 1;
        if let Some(failed) = told.failed.iter().find(|failed| failed.place == one.place) {
            care.push(after_try(webhook, failed, one.waits.lane, tries, now));
        } else if found.iter().all(|event| event.place != one.place) {
            care.push(CareOfEvents {
                first: one.place,
                last: one.place,
                state: CallbackState::Dead,
                reason: "the event was forgotten before it was taken".to_owned(),
                waits: None,
            });
        } else if told.done.contains(&one.place) && told.care.iter().all(|care| care.first != one.place) {
            settled.push(one.place);
        }
    }
    (care, settled)
}
