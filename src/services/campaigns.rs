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

/// A count that is at its end is told again for so long.
const COUNT_KEPT_FOR: Duration = Duration::from_secs(20);
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
    done: bool,
}

/// The service.
pub struct Campaigns {
    store: Store,
    directory: Arc<Directory>,
    counts: Arc<Mutex<VecDeque<Kept>>>,
}

impl Campaigns {
    pub fn new(store: Store, directory: Arc<Directory>) -> Self {
        Self { store, directory, counts: Arc::default() }
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
        let snapshot = self.directory.snapshot();
        while !walk.done {
            walk.go_on(&self.store, &snapshot).await?;
            if started.elapsed() >= takes_max {
                break;
            }
        }
        self.note(asked, walk.done);
        Ok(walk.told())
    }

    /// What was counted is out of date.
    pub fn forget_counts(&self) {
        self.kept().clear();
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The walk that was begun for this, or a new one.
    fn walk(&self, asked: &Asked) -> Arc<tokio::sync::Mutex<Walk>> {
        let mut kept = self.kept();
        kept.retain(|kept| kept.used_at.elapsed() < if kept.done { COUNT_KEPT_FOR } else { COUNT_LEFT_AFTER });
        if let Some(known) = kept.iter().find(|kept| kept.asked == *asked) {
            return known.walk.clone();
        }
        if kept.len() >= COUNTS_MAX {
            kept.pop_front();
        }
        let walk = Arc::new(tokio::sync::Mutex::new(Walk::new(asked, clock::now())));
        kept.push_back(Kept { asked: asked.clone(), walk: walk.clone(), used_at: Instant::now(), done: false });
        walk
    }

    fn note(&self, asked: &Asked, done: bool) {
        // What is at its end grows old from there, however often it is asked for.
        if let Some(kept) = self.kept().iter_mut().find(|kept| kept.asked == *asked && !kept.done) {
            kept.done = done;
            kept.used_at = Instant::now();
        }
    }
}
