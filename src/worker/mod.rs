//! Those who work: one owner for each number and each subscription that this instance holds a lease of.
//!
//! The [`Runner`] keeps the leases and starts and stops owners. An owner is one task with one loop. It
//! checks before everything that leaves that its lease still holds: a process that slept too long finds
//! out before it does harm.

mod database_clock;
mod dead;
pub mod media;
pub mod pace;
pub mod pairs;
pub mod pauses;
mod replays;
mod retries;
pub mod runner;
pub mod sender;
mod shares;
pub mod subscription;
pub mod watch;

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use crate::sabotage::{Sabotage, breaks};

/// A lease as its owner sees it.
#[derive(Clone, Debug)]
pub struct Lease {
    pub epoch: i64,
    /// By a clock that goes on while the process sleeps.
    valid_until: Arc<Mutex<Instant>>,
}

impl Lease {
    pub fn new(epoch: i64, valid_until: Instant) -> Self {
        Self { epoch, valid_until: Arc::new(Mutex::new(valid_until)) }
    }

    pub fn holds(&self, now: Instant) -> bool {
        breaks(Sabotage::NoFencing) || now < *self.valid_until.lock().expect("no holder can panic")
    }

    pub(crate) fn extend(&self, until: Instant) {
        *self.valid_until.lock().expect("no holder can panic") = until;
    }

    /// Another has it.
    pub(crate) fn end(&self) {
        self.extend(Instant::now());
    }
}
