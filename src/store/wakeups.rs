//! Who must look at the database again. Hints only: whoever waits also looks from time to time, so a
//! lost wake-up costs a moment and nothing else.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
};

use tokio::sync::{Notify, futures::Notified};

use crate::domain::{
    callback::EventKind,
    ids::{AccountKey, SenderKey},
    outbound::Class,
};

/// One for each, by its key.
type BellsOfSubscriptions = HashMap<i32, Arc<Notify>>;

/// One bell for each number (something to send) and each subscription (something of its kind in its account's log), one for files
/// to copy, and one for the suppression list.
#[derive(Default)]
pub struct Wakeups {
    senders: Mutex<HashMap<SenderKey, Arc<QueueBell>>>,
    logs: Mutex<HashMap<(AccountKey, EventKind), BellsOfSubscriptions>>,
    media: Arc<Notify>,
    suppressions: Notify,
}

/// Rings when a number has something to send, and tells of which classes, so that nobody reads the other ones' queues.
#[derive(Default)]
pub struct QueueBell {
    bell: Notify,
    /// One bit for each class.
    classes: AtomicU8,
}

impl QueueBell {
    /// Without a class for all of them.
    fn ring(&self, class: Option<Class>) {
        let classes = class.map_or(u8::MAX, |class| 1 << class as u8);
        self.classes.fetch_or(classes, Ordering::Release);
        self.bell.notify_one();
    }

    pub fn rung(&self) -> Notified<'_> {
        self.bell.notified()
    }

    /// For which classes it was rung since this was last asked.
    pub fn take(&self) -> impl Iterator<Item = Class> + use<> {
        let classes = self.classes.swap(0, Ordering::Acquire);
        Class::ALL.into_iter().filter(move |class| classes & (1 << *class as u8) != 0)
    }
}

impl Wakeups {
    /// The bell of a number. Only one task may wait for it.
    pub fn of_sender(&self, sender: SenderKey) -> Arc<QueueBell> {
        self.senders.lock().expect("no holder can panic").entry(sender).or_default().clone()
    }

    /// A bell of an account's log, one for each waiting subscription; it rings for events of this kind.
    pub fn of_log(&self, account: AccountKey, subscription: i32, kind: EventKind) -> Arc<Notify> {
        let mut logs = self.logs.lock().expect("no holder can panic");
        logs.entry((account, kind)).or_default().entry(subscription).or_default().clone()
    }

    /// The bell of files to copy. Only one task may wait for it.
    pub fn of_media(&self) -> Arc<Notify> {
        self.media.clone()
    }

    pub(crate) fn ring_media(&self) {
        self.media.notify_one();
    }

    /// The bell of the suppression list. Only one task may wait for it.
    pub fn of_suppressions(&self) -> &Notify {
        &self.suppressions
    }

    pub(crate) fn ring_suppressions(&self) {
        self.suppressions.notify_one();
    }

    /// Without a class for all of them.
    pub(crate) fn ring_sender(&self, sender: SenderKey, class: Option<Class>) {
        if let Some(bell) = self.senders.lock().expect("no holder can panic").get(&sender) {
            bell.ring(class);
        }
    }

    pub(crate) fn ring_log(&self, account: AccountKey, news: EventKind) {
        if let Some(bells) = self.logs.lock().expect("no holder can panic").get(&(account, news)) {
            bells.values().for_each(|bell| bell.notify_one());
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const SENDER: SenderKey = SenderKey(1);
    const ACCOUNT: AccountKey = AccountKey(1);

    #[test]
    fn a_queues_bell_tells_for_which_classes_it_was_rung() {
        let wakeups = Wakeups::default();
        let bell = wakeups.of_sender(SENDER);
        assert!(bell.rung().now_or_never().is_none(), "nobody has rung it");

        wakeups.ring_sender(SENDER, Some(Class::Marketing));
        wakeups.ring_sender(SENDER, Some(Class::Prompt));
        wakeups.ring_sender(SenderKey(2), None);

        assert!(bell.rung().now_or_never().is_some());
        assert_eq!(bell.take().collect::<Vec<_>>(), [Class::Prompt, Class::Marketing]);
        assert_eq!(bell.take().count(), 0);

        wakeups.ring_sender(SENDER, None);
        assert_eq!(bell.take().collect::<Vec<_>>(), Class::ALL);
    }

    #[test]
    fn who_waits_for_one_kind_of_event_is_not_woken_by_another() {
        let wakeups = Wakeups::default();
        let statuses = wakeups.of_log(ACCOUNT, 1, EventKind::Status);
        let inbound = wakeups.of_log(ACCOUNT, 2, EventKind::Inbound);

        wakeups.ring_log(ACCOUNT, EventKind::Status);

        assert!(statuses.notified().now_or_never().is_some());
        assert!(inbound.notified().now_or_never().is_none());
    }
}
