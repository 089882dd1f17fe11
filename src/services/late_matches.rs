//! Finding the messages of parked statuses once more.
//!
//! A status is parked when no message has its provider's id, and taken out by whoever writes down that id. Two instances
//! can do both in the same moment, each before the other has committed: then nobody takes it out. So the house looks again
//! at what was parked lately, and after a start, or a change of the instance that keeps the house, at all of it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    clock,
    domain::ids::{ConnectionKey, MessageId},
    store::{
        Store, StoreError,
        batch::Committer,
        ingest::{Ingest, MatchedStatus},
    },
};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Longer than two transactions can overlap, and clocks of instances differ.
const LOOK_BACK: Duration = Duration::from_secs(5 * 60);
/// Parked statuses that are looked at in one step.
const SLICE_STATUSES: usize = 2_000;
/// Between two steps.
const SLICE_PAUSE: Duration = Duration::from_millis(10);

/// Works under the lease of the housekeeping.
pub struct LateMatcher {
    store: Store,
    committer: Committer,
    /// What was parked before this was looked at, for good.
    after: MessageId,
    next_look: Instant,
}

impl LateMatcher {
    pub fn new(store: Store, committer: Committer) -> Self {
        Self { store, committer, after: MessageId(0), next_look: Instant::now() }
    }

    /// One look, when it is time for one. `may_go` says whether to go on.
    pub async fn round(&mut self, may_go: &impl Fn() -> bool) -> Result<(), StoreError> {
        if Instant::now() < self.next_look {
            return Ok(());
        }
        self.next_look = Instant::now() + LOOK_EVERY;
        let settled = MessageId::first_at(clock::now().minus(LOOK_BACK));
        let mut after = self.after;
        while let Some(last) = self.store.last_parked_of_slice(after, SLICE_STATUSES).await? {
            if !may_go() {
                return Ok(());
            }
            let found = self.store.matched_parked(after, last).await?;
            if !self.take(found).await? {
                return Ok(());
            }
            after = last;
            self.after = self.after.max(after.min(settled));
            tokio::time::sleep(SLICE_PAUSE).await;
        }
        Ok(())
    }

    /// Reports them as if they had come now. `false` when this could not be written down: the next look finds them again.
    async fn take(&self, found: Vec<MatchedStatus>) -> Result<bool, StoreError> {
        let mut rows = Vec::with_capacity(found.len());
        let mut ingests: BTreeMap<ConnectionKey, Ingest> = BTreeMap::new();
        for MatchedStatus { row, connection, status } in found {
            // What cannot be read stays where people see it.
            let Some(status) = status else { continue };
            rows.push(row);
            ingests.entry(connection).or_insert_with(|| Ingest::of(connection)).statuses.push(status);
        }
        for (connection, ingest) in ingests {
            let statuses = ingest.statuses.len();
            if let Err(error) = self.committer.ingest(ingest).await {
                tracing::warn!("could not report what was parked: {error}");
                return Ok(false);
            }
            tracing::info!(connection.key = connection.0, statuses, "{statuses} parked statuses found their messages");
        }
        // A status that is told twice changes nothing, one that is dropped first is lost.
        self.store.drop_parked(&rows).await?;
        Ok(true)
    }
}
