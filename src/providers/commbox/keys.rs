//! Which of a connection's keys is used. CommBox changes keys by itself and takes the old one for a while: whichever is
//! refused makes room for the next, and one that is taken stays.

use std::{borrow::Cow, collections::BTreeMap, sync::Mutex};

use secrecy::{ExposeSecret as _, SecretString};

use super::settings::API_KEY;
use crate::{
    domain::{account::Connection, ids::ConnectionKey},
    providers::usable,
};

/// Beyond so many connections all begin with their first key again.
const REMEMBERED_MAX: usize = 10_000;

pub struct Keys(Mutex<BTreeMap<ConnectionKey, Turn>>);

#[derive(Clone, Copy, Default)]
struct Turn {
    /// Counts on; the key is this one modulo their number.
    place: usize,
    refused_in_a_row: usize,
}

impl Keys {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// The key whose turn it is, and which turn that is.
    pub(super) fn current(&self, connection: &Connection) -> Option<(usize, SecretString)> {
        let keys: Vec<&SecretString> = usable(connection.secrets(API_KEY)).collect();
        let place = self.turn(connection.key).place;
        let key = keys.get(place.checked_rem(keys.len())?)?;
        Some((place, (*key).clone()))
    }

    /// The key of this turn was refused. Whether there is another that was not refused since one was taken.
    pub(super) fn refused(&self, connection: &Connection, place: usize) -> bool {
        let count = usable(connection.secrets(API_KEY)).count();
        let mut turns = self.0.lock().expect("no holder can panic");
        if turns.len() >= REMEMBERED_MAX {
            turns.clear();
        }
        let turn = turns.entry(connection.key).or_default();
        // Of several requests that were under way with it, the first makes room.
        if turn.place == place {
            turn.place = place.wrapping_add(1);
            turn.refused_in_a_row += 1;
        }
        turn.refused_in_a_row < count
    }

    pub(super) fn taken(&self, connection: &Connection, place: usize) {
        let mut turns = self.0.lock().expect("no holder can panic");
        if let Some(turn) = turns.get_mut(&connection.key).filter(|turn| turn.place == place) {
            turn.refused_in_a_row = 0;
        }
    }

    fn turn(&self, connection: ConnectionKey) -> Turn {
        self.0.lock().expect("no holder can panic").get(&connection).copied().unwrap_or_default()
    }
}

pub(super) fn bearer(key: &SecretString) -> (Cow<'static, str>, SecretString) {
    ("authorization".into(), SecretString::from(format!("Bearer {}", key.expose_secret())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::UnixMillis;

    #[test]
    fn a_refused_key_makes_room_for_the_next_until_none_is_left() {
        let connection = Connection {
            key: ConnectionKey(1),
            id: "commbox".to_owned(),
            provider: "commbox".to_owned(),
            settings: BTreeMap::new(),
            secrets: BTreeMap::from([(API_KEY.to_owned(), vec!["old".into(), "next".into()])]),
            hold: None,
            changed_at: UnixMillis(0),
        };
        let keys = Keys::new();
        let current = || keys.current(&connection).map(|(turn, key)| (turn, key.expose_secret().to_owned()));

        assert_eq!(current(), Some((0, "old".to_owned())));
        assert!(keys.refused(&connection, 0), "the next may be taken");
        assert!(keys.refused(&connection, 0), "another request had been under way with the same key");
        assert_eq!(current(), Some((1, "next".to_owned())));
        keys.taken(&connection, 1);
        assert!(keys.refused(&connection, 1), "the first was refused long ago");
        assert!(!keys.refused(&connection, 2), "now both were refused");
    }
}
