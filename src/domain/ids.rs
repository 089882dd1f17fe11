//! Who is who. Integers inside, where every byte of an index counts; prefixed text outside, where a
//! person must see at a glance what an id names.

use std::{fmt, str::FromStr, sync::Mutex};

use serde::{Deserialize, Serialize};

use super::time::UnixMillis;

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub i32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

key!(
    /// An account's row. Outside it is known by its slug.
    AccountKey
);
key!(
    /// A connection's row. Outside it is known by its slug.
    ConnectionKey
);
key!(
    /// A sender number's row. Outside it is known by its number.
    SenderKey
);
key!(
    /// A subscription's row.
    SubscriptionKey
);
key!(
    /// A webhook's row. Outside it is known by its name.
    WebhookKey
);

/// An event's place in its account's log: 1, 2, 3, … without gaps, in the order of commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place(pub i64);

/// An outbound message. The upper 41 bits are milliseconds since 2025, the next 10 the instance that
/// made it, the last 12 a counter: a range of ids is a range of time, and a table clustered by id is
/// clustered by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId(pub i64);

/// 2025-01-01 00:00 UTC.
const EPOCH_MS: i64 = 1_735_689_600_000;
const NODE_BITS: u32 = 10;
const COUNTER_BITS: u32 = 12;
/// How many instances can make ids at the same time.
pub const NODES_MAX: i32 = 1 << NODE_BITS;
const PREFIX: &str = "msg_";
/// Crockford's alphabet: no letter that looks like a digit.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const DIGITS: usize = 13;

impl MessageId {
    /// The smallest id that could be made at this moment: the start of a time range.
    pub fn first_at(moment: UnixMillis) -> Self {
        Self(moment.0.saturating_sub(EPOCH_MS).max(0).saturating_mul(1 << (NODE_BITS + COUNTER_BITS)))
    }

    /// When the id was made, which is when the message was accepted.
    pub fn made_at(self) -> UnixMillis {
        UnixMillis((self.0 >> (NODE_BITS + COUNTER_BITS)) + EPOCH_MS)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; DIGITS];
        let mut rest = self.0.cast_unsigned();
        for digit in text.iter_mut().rev() {
            *digit = ALPHABET[(rest & 31) as usize];
            rest >>= 5;
        }
        f.write_str(PREFIX)?;
        f.write_str(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

/// The text is not one of our message ids.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a message id is {PREFIX} and {DIGITS} characters of 0-9 a-z")]
pub struct NotAnId;

impl FromStr for MessageId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let digits = text.strip_prefix(PREFIX).ok_or(NotAnId)?;
        if digits.len() != DIGITS {
            return Err(NotAnId);
        }
        let mut value: u128 = 0;
        for byte in digits.bytes() {
            let digit = ALPHABET.iter().position(|letter| *letter == byte).ok_or(NotAnId)?;
            value = value << 5 | digit as u128;
        }
        i64::try_from(value).map(Self).map_err(|_| NotAnId)
    }
}

/// Makes message ids for one instance: growing, and never the same twice, also when the clock is
/// set back or a millisecond is used up (the next one is then borrowed).
pub struct MessageIds {
    node: i64,
    last: Mutex<i64>,
}

impl MessageIds {
    /// `node` is this instance's number, 0 to [`NODES_MAX`] - 1; no two running instances share one.
    pub fn new(node: i32) -> Self {
        assert!((0..NODES_MAX).contains(&node), "an instance's number has {NODE_BITS} bits");
        Self { node: i64::from(node), last: Mutex::new(0) }
    }

    /// Goes on behind this one, which was made before a restart: the clock may have been set back meanwhile.
    #[must_use]
    pub fn after(self, newest: Option<MessageId>) -> Self {
        if let Some(newest) = newest {
            // Other instances count for themselves within the same millisecond, so all of it is left out.
            let next_millisecond = (newest.0 >> (NODE_BITS + COUNTER_BITS)) + 1;
            *self.last.lock().expect("no holder of this lock can panic") = (next_millisecond << COUNTER_BITS) - 1;
        }
        self
    }

    pub fn next(&self, now: UnixMillis) -> MessageId {
        // One number holds time and counter, so that a full counter carries over into the time.
        let tick = (now.0 - EPOCH_MS).max(0) << COUNTER_BITS;
        let mut last = self.last.lock().expect("no holder of this lock can panic");
        *last = tick.max(*last + 1);
        let (time, counter) = (*last >> COUNTER_BITS, *last & ((1 << COUNTER_BITS) - 1));
        MessageId(time << (NODE_BITS + COUNTER_BITS) | self.node << COUNTER_BITS | counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    #[test]
    fn an_id_survives_its_text() {
        let id = MessageIds::new(7).next(NOW);

        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.made_at(), NOW);
    }

    #[test]
    fn an_instance_that_starts_again_with_its_clock_set_back_makes_no_id_again() {
        let before = MessageIds::new(7);
        let newest = (0..5_000).map(|_| before.next(NOW)).last();
        let after = MessageIds::new(7).after(newest);

        let first = after.next(NOW.minus(std::time::Duration::from_secs(3600)));

        assert!(Some(first) > newest, "{first} is not behind {newest:?}");
        assert_eq!(after.next(NOW.plus(std::time::Duration::from_secs(60))).made_at().since(NOW).as_secs(), 60);
    }

    #[test]
    fn ids_grow_even_when_the_clock_is_set_back() {
        let ids = MessageIds::new(0);
        let mut last = ids.next(NOW);
        for step in 0..10_000 {
            let next = ids.next(UnixMillis(NOW.0 - step));
            assert!(next > last);
            last = next;
        }
    }

    #[test]
    fn other_texts_are_not_ids() {
        for text in ["", "msg_", "msg_0", "msg_zzzzzzzzzzzzz", "wamid.abc", "msg_00000000000!0"] {
            assert_eq!(text.parse::<MessageId>(), Err(NotAnId), "{text}");
        }
    }
}
