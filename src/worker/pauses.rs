//! What must not be sent for a while, shared by the owners of one instance: a provider that throttles an
//! app or a business account means all its numbers.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::domain::{account::Sender, ids::ConnectionKey};

/// A connection, or one business account of it.
type PausedScope = (ConnectionKey, Option<String>);

#[derive(Default)]
pub struct Pauses(Mutex<HashMap<PausedScope, Instant>>);

impl Pauses {
    pub fn pause_connection(&self, sender: &Sender, until: Instant) {
        self.pause((sender.connection.key, None), until);
    }

    pub fn pause_provider_account(&self, sender: &Sender, until: Instant) {
        self.pause((sender.connection.key, Some(sender.provider_account_id.clone())), until);
    }

    fn pause(&self, scope: PausedScope, until: Instant) {
        let mut pauses = self.0.lock().expect("no holder can panic");
        let pause = pauses.entry(scope).or_insert(until);
        *pause = until.max(*pause);
    }

    /// How long this number must still be silent.
    pub fn left(&self, sender: &Sender, now: Instant) -> Duration {
        let pauses = self.0.lock().expect("no holder can panic");
        if pauses.is_empty() {
            return Duration::ZERO;
        }
        let scopes = [(sender.connection.key, None), (sender.connection.key, Some(sender.provider_account_id.clone()))];
        let until = scopes.iter().filter_map(|scope| pauses.get(scope)).max();
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }
}
