//! The owner of the copying: one at a time among all instances, so that no file is fetched twice.
//!
//! It copies several files at once, of each number only so many: a number whose provider is slow, or has a thousand
//! files waiting, delays no other.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::Lease;
use crate::{
    clock,
    domain::ids::{MessageId, SenderKey},
    pulse::Pulse,
    services::media::Copier,
    store::{StoreError, media::MediaRow},
    telemetry,
};

/// How often to look without having been woken: retries become due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Works until asked to stop, or until the lease is lost.
pub async fn own_media(copier: Arc<Copier>, lease: Lease, bell: Arc<Notify>, stop: CancellationToken, pulse: Pulse) {
    let mut owner = Owner { copier, running: JoinSet::new(), in_flight: BTreeMap::new() };
    while !stop.is_cancelled() && lease.holds(Instant::now()) {
        match owner.start_due().await {
            Ok(()) => pulse.beat(),
            Err(error) => tracing::error!(error = %telemetry::Chain(&error), "could not look for files to copy"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = bell.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
            Some(ended) = owner.running.join_next() => owner.note_end(ended.ok()),
        }
    }
    // What is under way is dropped: nothing of it is lost but the work, and the next owner begins it anew.
    owner.running.shutdown().await;
    pulse.end();
}

struct Owner {
    copier: Arc<Copier>,
    running: JoinSet<MessageId>,
    in_flight: BTreeMap<MessageId, SenderKey>,
}

impl Owner {
    async fn start_due(&mut self) -> Result<(), StoreError> {
        let settings = &self.copier.settings;
        let (places, per_number) = (settings.copies_at_once, settings.copies_at_once_per_number);
        if self.in_flight.len() >= places {
            return Ok(());
        }
        // Those in flight are still due, so they are among the first of their numbers.
        let due = self.copier.store.media_due(clock::now(), per_number, places + self.in_flight.len()).await?;
        for row in due {
            let of_number = self.in_flight.values().filter(|sender| **sender == row.sender).count();
            let free = self.in_flight.len() < places && of_number < per_number;
            if free && !self.in_flight.contains_key(&row.id) {
                self.start(row);
            }
        }
        Ok(())
    }

    fn start(&mut self, row: MediaRow) {
        self.in_flight.insert(row.id, row.sender);
        let copier = self.copier.clone();
        self.running.spawn(async move {
            if let Err(error) = copier.copy(&row).await {
                tracing::error!(error = %telemetry::Chain(&error), media.id = row.id.0, "could not write down what became of a file");
            }
            row.id
        });
    }

    /// A task that panicked says not which it was: then nothing but what still runs can be believed.
    fn note_end(&mut self, ended: Option<MessageId>) {
        let Some(id) = ended else {
            tracing::error!("copying a file ended in a panic; this is a bug");
            if self.running.is_empty() {
                self.in_flight.clear();
            }
            return;
        };
        self.in_flight.remove(&id);
    }
}
