//! Campaigns: what they have come to, and stopping what waits of one.
//!
//! A count walks back through time in slices and is kept for a moment, so whoever asks again goes on from where the walk was, and
//! two people who look at the same page share it. No answer waits for its end: what is counted so far is told, with
//! how far back that is. Cancelling goes through everything that waits, so it is done behind the answer, as a job that another process
//! goes on with when this one dies.

mod counting;
mod stopping;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use self::counting::Walk;
pub use self::{
    counting::{Asked, Campaign, Counts, FailureCount, Period, WaitingMessages, span},
    stopping::{rules_naming, verdict, word_of},
};
use super::{
    directory::Directory,
    operators::{Refusal, require},
};
use crate::{
    clock,
    domain::operator::{Actor, Permission},
    store::Store,
};

/// A count that is at its end is told again for so long at most …
const COUNT_KEPT_FOR_MAX: Duration = Duration::from_secs(20);
/// … and at least, …
const COUNT_KEPT_FOR_MIN: Duration = Duration::from_secs(1);
/// … in between for so many times as long as the counting took: whoever looks on costs the database a part of its time, and no more.
const COUNT_KEPT_TIMES: u32 = 10;
/// After a pause or its end, while messages move from one place to the other, a larger part.
const COUNT_KEPT_TIMES_LATELY: u32 = 3;
/// So long that takes.
const CHANGE_TAKES_MAX: Duration = Duration::from_secs(15);
/// Nobody went on with it for so long: it is begun anew.
const COUNT_LEFT_AFTER: Duration = Duration::from_secs(120);
/// Counts that are kept at the same time.
const COUNTS_MAX: usize = 16;
/// Longer ids name nothing.
pub const CAMPAIGN_CHARS_MAX: usize = 256;

struct Kept {
    asked: Asked,
    walk: Arc<tokio::sync::Mutex<Walk>>,
    /// When it was begun, or gone on with.
    used_at: Instant,
    /// How long the counting took, when it is at its end.
    took: Option<Duration>,
}

impl Kept {
    fn is_fresh(&self, changed_lately: bool) -> bool {
        self.used_at.elapsed() < self.took.map_or(COUNT_LEFT_AFTER, |took| kept_for(took, changed_lately))
    }
}

/// How long a count is told again that took so long.
fn kept_for(took: Duration, changed_lately: bool) -> Duration {
    let times = if changed_lately { COUNT_KEPT_TIMES_LATELY } else { COUNT_KEPT_TIMES };
    took.saturating_mul(times).clamp(COUNT_KEPT_FOR_MIN, COUNT_KEPT_FOR_MAX)
}

/// The service.
pub struct Campaigns {
    store: Store,
    directory: Arc<Directory>,
    counts: Arc<Mutex<VecDeque<Kept>>>,
    /// When a campaign was last paused, resumed or cancelled here.
    changed_at: Mutex<Option<Instant>>,
}

impl Campaigns {
    pub fn new(store: Store, directory: Arc<Directory>) -> Self {
        Self { store, directory, counts: Arc::default(), changed_at: Mutex::default() }
    }

    /// Counts for at most so long, and tells what is counted so far. Ask again for more.
    pub async fn count(&self, actor: &Actor, asked: &Asked, takes_max: Duration) -> Result<Counts, Refusal> {
        require(actor, Permission::ReadMessages)?;
        if asked.campaign.as_ref().is_some_and(|campaign| campaign.chars().count() > CAMPAIGN_CHARS_MAX) {
            let text = format!("a campaign's id has at most {CAMPAIGN_CHARS_MAX} characters");
            return Err(Refusal::Invalid { field: "campaign", text });
        }
        let started = Instant::now();
        let walk = self.walk(asked);
        let mut walk = walk.lock().await;
        let waited = started.elapsed();
        let snapshot = self.directory.snapshot();
        while !walk.done {
            walk.go_on(&self.store, &snapshot).await?;
            if started.elapsed() >= takes_max {
                break;
            }
        }
        walk.took += started.elapsed().saturating_sub(waited);
        self.note(asked, walk.done.then_some(walk.took));
        Ok(walk.told())
    }

    /// What was counted is out of date.
    pub fn forget_counts(&self) {
        *self.changed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.kept().clear();
    }

    /// Whether a campaign was stopped or went on so lately that its messages are still on their way to where they wait.
    pub fn changed_lately(&self) -> bool {
        let changed_at = *self.changed_at.lock().unwrap_or_else(PoisonError::into_inner);
        changed_at.is_some_and(|at| at.elapsed() < CHANGE_TAKES_MAX)
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The walk that was begun for this, or a new one.
    fn walk(&self, asked: &Asked) -> Arc<tokio::sync::Mutex<Walk>> {
        let changed_lately = self.changed_lately();
        let mut kept = self.kept();
        kept.retain(|kept| kept.is_fresh(changed_lately));
        if let Some(known) = kept.iter().find(|kept| kept.asked == *asked) {
            return known.walk.clone();
        }
        if kept.len() >= COUNTS_MAX {
            kept.pop_front();
        }
        let walk = Arc::new(tokio::sync::Mutex::new(Walk::new(asked, clock::now())));
        kept.push_back(Kept { asked: asked.clone(), walk: walk.clone(), used_at: Instant::now(), took: None });
        walk
    }

    fn note(&self, asked: &Asked, took: Option<Duration>) {
        // What is at its end grows old from there, however often it is asked for.
        if let Some(kept) = self.kept().iter_mut().find(|kept| kept.asked == *asked && kept.took.is_none()) {
            kept.took = took;
            kept.used_at = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_fast_is_counted_anew_soon_and_a_long_count_costs_a_tenth_of_the_time() {
        let of_ms = |took_ms, lately| kept_for(Duration::from_millis(took_ms), lately).as_millis();
        assert_eq!([of_ms(5, false), of_ms(400, false), of_ms(5_000, false)], [1_000, 4_000, 20_000]);
        assert_eq!([of_ms(5, true), of_ms(400, true), of_ms(5_000, true)], [1_000, 1_200, 15_000], "after a pause");
    }
}
