//! How the provider sees each number: read at the start, on a schedule, and after a notice that it may have changed.
//!
//! What is learned is kept and shown. It changes nothing by itself: how fast a number sends is the operator's promise.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;

use super::directory::Directory;
use crate::{
    clock,
    domain::{account::Sender, channel::NumberState, ids::SenderKey, time::UnixMillis},
    net::exchange::Exchange,
    providers,
    store::{Store, StoreError},
    telemetry,
};

pub struct Channels {
    store: Store,
    directory: Arc<Directory>,
    exchange: Exchange,
    /// Numbers of which a notice spoke.
    changed: Mutex<BTreeSet<SenderKey>>,
    /// When each was last asked for, and how.
    read: Mutex<HashMap<SenderKey, Read>>,
}

/// One reading of a number.
#[derive(Clone)]
struct Read {
    at: Instant,
    answered: bool,
    /// Under which id it was asked for, and since when its connection was as it was then.
    by: (String, UnixMillis),
}

impl Read {
    fn by(sender: &Sender) -> (String, UnixMillis) {
        (sender.provider_number_id.clone(), sender.connection.changed_at)
    }
}

/// Numbers asked for at once.
const AT_ONCE_MAX: usize = 4;
/// One that could not be read is tried again after this.
const RETRY: Duration = Duration::from_secs(5 * 60);

impl Channels {
    pub fn new(store: Store, directory: Arc<Directory>, exchange: Exchange) -> Self {
        Self { store, directory, exchange, changed: Mutex::default(), read: Mutex::default() }
    }

    /// Notes that a number may be in another state; [`Self::read_changed`] looks.
    pub fn note_changed(&self, sender: SenderKey) {
        self.changed.lock().expect("no holder can panic").insert(sender);
    }

    /// Reads the numbers that were noted.
    pub async fn read_changed(&self) {
        let changed = std::mem::take(&mut *self.changed.lock().expect("no holder can panic"));
        if !changed.is_empty() {
            self.read_all(|sender| changed.contains(&sender.key)).await;
        }
    }

    /// Reads every number that was not read within `age_max`, or is reached in another way since.
    pub async fn read_outdated(&self, age_max: Duration) {
        let read = self.read.lock().expect("no holder can panic").clone();
        let good_for = |answered: bool| if answered { age_max } else { RETRY.min(age_max) };
        let is_old =
            |sender: &Sender, read: &Read| read.by != Read::by(sender) || read.at.elapsed() >= good_for(read.answered);
        let outdated = |sender: &Sender| read.get(&sender.key).is_none_or(|read| is_old(sender, read));
        self.read_all(outdated).await;
    }

    async fn read_all(&self, wanted: impl Fn(&Sender) -> bool) {
        let snapshot = self.directory.snapshot();
        let senders: Vec<Arc<Sender>> = snapshot.senders().filter(|sender| wanted(sender)).cloned().collect();
        futures_util::stream::iter(senders)
            .for_each_concurrent(AT_ONCE_MAX, |sender| async move { self.read_one(&sender).await })
            .await;
    }

    async fn read_one(&self, sender: &Sender) {
        let Some(provider) = providers::find(&sender.connection.provider) else { return };
        let fetched = provider.fetch_number(&self.exchange, sender).await;
        self.read
            .lock()
            .expect("no holder can panic")
            .insert(sender.key, Read { at: Instant::now(), answered: fetched.is_ok(), by: Read::by(sender) });
        let kept = match &fetched {
            Ok(state) => self.keep(sender, state).await,
            Err(failure) => {
                tracing::warn!(
                    sender.number = sender.number.as_e164(),
                    "could not read how the provider sees {}: {failure}",
                    sender.number.as_e164()
                );
                self.store.note_channel_failure(sender.key, &failure.0, clock::now()).await
            }
        };
        if let Err(error) = kept {
            tracing::error!(error = %telemetry::Chain(&error), "could not keep the state of a number");
        }
    }

    async fn keep(&self, sender: &Sender, state: &NumberState) -> Result<(), StoreError> {
        let number = sender.number.as_e164();
        for warning in state.warnings() {
            tracing::warn!(sender.number = number, "{number}: {warning}");
        }
        self.store.keep_channel(sender.key, state, clock::now()).await
    }
}
