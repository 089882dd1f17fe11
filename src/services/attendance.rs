//! Ending conversations whose time is over, and noting those that nobody attends to. Works under the lease of the housekeeping.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::directory::Directory;
use crate::{
    clock,
    store::{Store, StoreError},
};

/// Looks at conversations now and then.
pub struct ConversationKeeper {
    store: Store,
    directory: Arc<Directory>,
    next_look: Instant,
}

/// Times here are told in minutes.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Conversations in one transaction.
const STEP: usize = 200;
/// Between two steps, for everybody else.
const PAUSE: Duration = Duration::from_millis(10);

impl ConversationKeeper {
    pub fn new(store: Store, directory: Arc<Directory>) -> Self {
        Self { store, directory, next_look: Instant::now() }
    }

    /// One look, when it is time for one. `may_go` says whether to go on.
    pub async fn round(&mut self, may_go: &impl Fn() -> bool) -> Result<(), StoreError> {
        let now = Instant::now();
        if now < self.next_look {
            return Ok(());
        }
        self.next_look = now + LOOK_EVERY;
        while may_go() && self.store.expire_conversations(clock::now(), STEP).await? >= STEP {
            tokio::time::sleep(PAUSE).await;
        }
        let snapshot = self.directory.snapshot();
        for account in snapshot.accounts().filter(|account| account.policy.unattended_after_minutes > 0) {
            let minutes = Duration::from_secs(60 * u64::from(account.policy.unattended_after_minutes));
            let before = clock::now().minus(minutes);
            while may_go() && self.store.leave_conversations(account.key, before, STEP).await? >= STEP {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }
}
