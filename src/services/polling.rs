//! Asking providers what happened, where nobody tells it: for connections whose plan has no webhooks.
//!
//! What comes of it goes the way of a webhook, so repeats are known, and a look may begin a little before the last one ended.
//! One instance does it for all; it is part of the housekeeping.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{directory::Directory, ingest::Ingestor};
use crate::{
    clock,
    domain::{
        account::Sender,
        ids::{ConnectionKey, SenderKey},
    },
    net::exchange::Exchange,
    providers,
    store::{Store, StoreError},
    telemetry,
};

/// After a failure that does not say how long to wait.
const RETRY_AFTER: Duration = Duration::from_secs(10);

pub struct Poller {
    pub store: Store,
    pub directory: Arc<Directory>,
    pub exchange: Exchange,
    pub ingestor: Arc<Ingestor>,
}

/// When whom to ask next.
#[derive(Default)]
pub struct PollTimes {
    numbers: HashMap<SenderKey, Instant>,
    connections: HashMap<ConnectionKey, Instant>,
}

impl PollTimes {
    fn is_due(&self, sender: &Sender, now: Instant) -> bool {
        let passed = |at: Option<&Instant>| at.is_none_or(|at| *at <= now);
        passed(self.numbers.get(&sender.key)) && passed(self.connections.get(&sender.connection.key))
    }
}

impl Poller {
    /// Asks all that are due, one after the other.
    pub async fn round(&self, times: &mut PollTimes, may_go: &impl Fn() -> bool) -> Result<(), StoreError> {
        let snapshot = self.directory.snapshot();
        for sender in snapshot.senders() {
            let provider = providers::find(&sender.connection.provider);
            let Some((provider, every)) =
                provider.and_then(|provider| Some((provider, provider.poll_every(&sender.connection)?)))
            else {
                continue;
            };
            if !times.is_due(sender, Instant::now()) {
                continue;
            }
            if !may_go() {
                return Ok(());
            }
            times.numbers.insert(sender.key, Instant::now() + every);
            let Some(since) = self.store.polled_until(sender.key).await? else {
                // What was said before the bridge was there is nobody's news.
                self.store.keep_polled_until(sender.key, clock::now()).await?;
                continue;
            };
            match provider.poll(&self.exchange, sender, since).await {
                Ok(polled) => {
                    if let Err(error) = self.ingestor.ingest(&sender.connection, polled.parsed).await {
                        tracing::error!(error = %telemetry::Chain(&error), "could not store what a poll showed");
                        continue;
                    }
                    if polled.until > since {
                        self.store.keep_polled_until(sender.key, polled.until).await?;
                    }
                }
                Err(failure) => {
                    let wait = failure.wait.unwrap_or(RETRY_AFTER);
                    tracing::warn!(
                        connection.id = sender.connection.id,
                        "could not ask what happened at {}: {failure}; again in {} s",
                        sender.number.as_e164(),
                        wait.as_secs()
                    );
                    times.connections.insert(sender.connection.key, Instant::now() + wait);
                }
            }
        }
        Ok(())
    }
}
