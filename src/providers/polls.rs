//! Asking a provider what happened, where nobody tells it: what a look shows, and what is remembered from one to the next.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use sha2::{Digest, Sha256};

use super::Parsed;
use crate::domain::time::UnixMillis;

/// What a look at a number showed.
#[derive(Debug)]
pub struct Polled {
    pub parsed: Parsed,
    /// From when on the next look must ask.
    pub until: UnixMillis,
    /// What was beyond the provider's limits, for people.
    pub missed: Option<String>,
    /// Why it ended early; what was found until then counts.
    pub failure: Option<PollFailure>,
}

/// A number could not be asked what happened.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct PollFailure {
    /// The whole connection is left alone for so long.
    pub wait: Option<Duration>,
    /// Our credentials are refused: nothing will go through this connection before somebody mends it.
    pub refused: bool,
    pub text: String,
}

/// What earlier looks at a number showed. Only this process knows it: after a start entries are given again, and whoever stores
/// them knows those that can be understood.
#[derive(Debug, Default)]
pub struct PollMemory {
    /// Entries that were given or gone through, as they were then.
    known: Hashes,
    /// What a look that ended early had gone through: the next one goes on behind it.
    done: Hashes,
}

impl PollMemory {
    /// Whether an entry was not given yet, in this form; from now on it was.
    pub fn is_new(&mut self, entry: &str) -> bool {
        self.known.insert(entry)
    }

    pub fn knows(&self, entry: &str) -> bool {
        self.known.contains(entry)
    }

    /// Whether the look that ended early had gone through this part.
    pub fn is_done(&self, part: &str) -> bool {
        self.done.contains(part)
    }

    pub fn note_done(&mut self, part: &str) {
        self.known.insert(part);
        self.done.insert(part);
    }

    /// The look came to its end.
    pub fn end_look(&mut self) {
        self.done = Hashes::default();
    }
}

/// So many are remembered; beyond that the oldest are forgotten.
const HASHES_MAX: usize = 10_000;

#[derive(Debug, Default)]
struct Hashes {
    all: HashSet<[u8; 32]>,
    in_order: VecDeque<[u8; 32]>,
}

impl Hashes {
    fn contains(&self, text: &str) -> bool {
        self.all.contains(&hash(text))
    }

    /// Whether it was not there.
    fn insert(&mut self, text: &str) -> bool {
        let hash = hash(text);
        if !self.all.insert(hash) {
            return false;
        }
        self.in_order.push_back(hash);
        if self.in_order.len() > HASHES_MAX
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.all.remove(&oldest);
        }
        true
    }
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_new_until_it_was_given_and_again_when_it_changes() {
        let mut memory = PollMemory::default();
        assert_eq!(["sent", "sent", "read", "sent"].map(|entry| memory.is_new(entry)), [true, false, true, false]);
        for number in 0..HASHES_MAX {
            memory.is_new(&number.to_string());
        }
        assert!(memory.is_new("sent"), "it has a limit");
        assert_eq!((memory.known.all.len(), memory.known.in_order.len()), (HASHES_MAX, HASHES_MAX));
    }
}
