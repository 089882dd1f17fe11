//! Who must look at the database again. Hints only: whoever waits also looks from time to time, so a
//! lost wake-up costs a moment and nothing else.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::sync::Notify;

use crate::domain::ids::{AccountKey, SenderKey};

/// One bell for each number (something to send) and each account (something in its log), one for files to copy, and one
/// for the suppression list.
#[derive(Default)]
pub struct Wakeups {
    senders: Mutex<HashMap<SenderKey, Arc<Notify>>>,
    accounts: Mutex<HashMap<AccountKey, HashMap<i32, Arc<Notify>>>>,
    media: Arc<Notify>,
    suppressions: Notify,
}

impl Wakeups {
    /// The bell of a number. Only one task may wait for it.
    pub fn of_sender(&self, sender: SenderKey) -> Arc<Notify> {
        self.senders.lock().expect("no holder can panic").entry(sender).or_default().clone()
    }

    /// A bell of an account's log, one for each waiting subscription.
    pub fn of_log(&self, account: AccountKey, subscription: i32) -> Arc<Notify> {
        let mut accounts = self.accounts.lock().expect("no holder can panic");
        accounts.entry(account).or_default().entry(subscription).or_default().clone()
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

    pub(crate) fn ring_sender(&self, sender: SenderKey) {
        if let Some(bell) = self.senders.lock().expect("no holder can panic").get(&sender) {
            bell.notify_one();
        }
    }

    pub(crate) fn ring_log(&self, account: AccountKey) {
        if let Some(bells) = self.accounts.lock().expect("no holder can panic").get(&account) {
            bells.values().for_each(|bell| bell.notify_one());
        }
    }
}
