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

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use super::*;
    use crate::domain::time::UnixMillis;
    use crate::domain::{
        account::{Connection, SenderPolicy},
        ids::{AccountKey, SenderKey},
        phone::PhoneNumber,
    };

    const WAIT: Duration = Duration::from_secs(120);

    fn sender(connection: i32, business_account: &str) -> Sender {
        let connection = Connection {
            key: ConnectionKey(connection),
            id: format!("connection-{connection}"),
            provider: "meta".to_owned(),
            settings: BTreeMap::new(),
            secrets: BTreeMap::new(),
            hold: None,
            changed_at: UnixMillis(0),
        };
        Sender {
            key: SenderKey(1),
            account: AccountKey(1),
            connection: Arc::new(connection),
            number: PhoneNumber::from_international("+918880110022").expect("a number"),
            provider_number_id: "1".to_owned(),
            provider_account_id: business_account.to_owned(),
            messages_per_second: 80,
            pace: 80,
            policy: SenderPolicy::default(),
            hold: None,
        }
    }

    #[test]
    fn what_is_named_is_silent_until_its_time_is_over_and_nothing_else_is() {
        let (pauses, now) = (Pauses::default(), Instant::now());
        let (named, same_connection, other) = (sender(1, "w1"), sender(1, "w2"), sender(2, "w1"));
        let left = |now| [&named, &same_connection, &other].map(|sender| pauses.left(sender, now));

        pauses.pause_provider_account(&named, now + WAIT);
        assert_eq!(left(now), [WAIT, Duration::ZERO, Duration::ZERO]);
        assert_eq!(left(now + WAIT), [Duration::ZERO; 3], "it recovers by itself");
        pauses.pause_connection(&same_connection, now + 2 * WAIT);
        assert_eq!(left(now + WAIT), [WAIT, WAIT, Duration::ZERO]);
        assert_eq!(left(now + 2 * WAIT), [Duration::ZERO; 3]);
    }

    #[test]
    fn a_shorter_silence_does_not_cut_a_longer_one_short() {
        let (pauses, now) = (Pauses::default(), Instant::now());
        let named = sender(1, "w1");

        pauses.pause_connection(&named, now + 2 * WAIT);
        pauses.pause_connection(&named, now + WAIT);
        pauses.pause_provider_account(&named, now + WAIT);

        assert_eq!(pauses.left(&named, now), 2 * WAIT);
    }
}
