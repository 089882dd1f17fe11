//! Counting what numbers do, without a row for each message: in memory, and once a minute into the database.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{
    domain::{ids::SenderKey, time::UnixMillis},
    store::activity::Tally,
};

/// Less than this is made up for at the next departures.
const BEHIND_MIN: Duration = Duration::from_millis(100);

/// What this instance's numbers did since it was last written down.
#[derive(Default)]
pub struct Activity {
    tallies: Mutex<BTreeMap<SenderKey, Tally>>,
    /// What people wrote and the number's owner has not taken into its pace yet.
    received: Mutex<BTreeMap<SenderKey, u32>>,
}

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

    /// The provider reported a status, and it is stored.
    pub fn heard(&self, sender: SenderKey, now: UnixMillis) {
        self.add(sender, Tally { heard: 1, heard_at: Some(now), ..Tally::default() });
    }

    /// The number is behind its pace by so much.
    pub fn behind(&self, sender: SenderKey, behind: Duration) {
        if behind >= BEHIND_MIN {
            let behind_ms = u64::try_from(behind.as_millis()).unwrap_or(u64::MAX);
            self.add(sender, Tally { behind_ms, ..Tally::default() });
        }
    }

    /// Somebody wrote to the number: WhatsApp takes that out of the same allowance as what is sent.
    pub fn received(&self, sender: SenderKey) {
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let messages = received.entry(sender).or_default();
        *messages = messages.saturating_add(1);
    }

    /// How many messages came to the number since this was last asked.
    pub fn take_received(&self, sender: SenderKey) -> u32 {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).remove(&sender).unwrap_or(0)
    }

    /// Takes what was counted; counting begins anew.
    pub fn take(&self) -> BTreeMap<SenderKey, Tally> {
        std::mem::take(&mut *self.tallies.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts back what could not be written down.
    pub fn put_back(&self, tallies: BTreeMap<SenderKey, Tally>) {
        for (sender, tally) in tallies {
            self.add(sender, tally);
        }
    }

    fn add(&self, sender: SenderKey, more: Tally) {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = tallies.entry(sender).or_default();
        tally.sent += more.sent;
        tally.expired += more.expired;
        tally.heard += more.heard;
        tally.heard_at = tally.heard_at.max(more.heard_at);
        tally.behind_ms = tally.behind_ms.max(more.behind_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_taken_once_and_can_be_put_back() {
        let activity = Activity::default();
        activity.sent(SenderKey(1));
        activity.heard(SenderKey(1), UnixMillis(7));
        activity.expired(SenderKey(2), 0);

        let taken = activity.take();
        assert_eq!(
            taken,
            BTreeMap::from([(
                SenderKey(1),
                Tally { sent: 1, heard: 1, heard_at: Some(UnixMillis(7)), ..Tally::default() }
            )])
        );
        assert!(activity.take().is_empty());

        activity.put_back(taken);
        activity.sent(SenderKey(1));
        assert_eq!(activity.take()[&SenderKey(1)].sent, 2);
    }

    #[test]
    fn what_came_to_a_number_is_asked_for_once() {
        let activity = Activity::default();
        activity.received(SenderKey(1));
        activity.received(SenderKey(1));

        assert_eq!(activity.take_received(SenderKey(2)), 0);
        assert_eq!(activity.take_received(SenderKey(1)), 2);
        assert_eq!(activity.take_received(SenderKey(1)), 0);
    }
}
