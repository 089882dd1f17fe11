//! Counting what numbers do, without a row for each message: in memory, and once a minute into the database.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use crate::{domain::ids::SenderKey, store::activity::Tally};

/// What this instance's numbers did since it was last written down.
#[derive(Default)]
pub struct Activity(Mutex<BTreeMap<SenderKey, Tally>>);

impl Activity {
    /// The provider took a message.
    pub fn sent(&self, sender: SenderKey) {
        self.add(sender, Tally { sent: 1, ..Tally::default() });
    }

    /// Messages grew too old before they could be sent.
    pub fn expired(&self, sender: SenderKey, messages: usize) {
        if messages > 0 {
            self.add(sender, Tally { expired: messages as u64, ..Tally::default() });
        }
    }

    /// The provider reported a status.
    pub fn heard(&self, sender: SenderKey) {
        self.add(sender, Tally { heard: 1, ..Tally::default() });
    }

    /// Takes what was counted; counting begins anew.
    pub fn take(&self) -> BTreeMap<SenderKey, Tally> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts back what could not be written down.
    pub fn put_back(&self, tallies: BTreeMap<SenderKey, Tally>) {
        for (sender, tally) in tallies {
            self.add(sender, tally);
        }
    }

    fn add(&self, sender: SenderKey, more: Tally) {
        let mut tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = tallies.entry(sender).or_default();
        tally.sent += more.sent;
        tally.expired += more.expired;
        tally.heard += more.heard;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_taken_once_and_can_be_put_back() {
        let activity = Activity::default();
        activity.sent(SenderKey(1));
        activity.heard(SenderKey(1));
        activity.expired(SenderKey(2), 0);

        let taken = activity.take();
        assert_eq!(taken, BTreeMap::from([(SenderKey(1), Tally { sent: 1, heard: 1, expired: 0 })]));
        assert!(activity.take().is_empty());

        activity.put_back(taken);
        activity.sent(SenderKey(1));
        assert_eq!(activity.take()[&SenderKey(1)].sent, 2);
    }
}
