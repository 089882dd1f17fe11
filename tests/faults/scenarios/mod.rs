//! The faults, one to a file: what harm is done, and what it may cost.

pub(crate) mod database_gone;
pub(crate) mod disk_full;
pub(crate) mod kill;
pub(crate) mod moves;
pub(crate) mod pause;
pub(crate) mod peers;
pub(crate) mod repeats;
pub(crate) mod sqlite_locked;
pub(crate) mod statuses;

use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use rand::{RngExt as _, rngs::StdRng};

use crate::{Course, DatabaseKind, checker::Verdict};

/// One kind of harm.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) databases: &'static [DatabaseKind],
    /// How often in a short run.
    pub(crate) rounds: u32,
    pub(crate) run: for<'a> fn(&'a Course<'a>) -> LocalBoxFuture<'a, anyhow::Result<Verdict>>,
}

pub(crate) const SCENARIOS: [&Scenario; 9] = [
    &kill::SCENARIO,
    &database_gone::SCENARIO,
    &disk_full::SCENARIO,
    &sqlite_locked::SCENARIO,
    &pause::SCENARIO,
    &moves::SCENARIO,
    &peers::SCENARIO,
    &statuses::SCENARIO,
    &repeats::SCENARIO,
];

const BOTH: &[DatabaseKind] = &[DatabaseKind::Sqlite, DatabaseKind::Postgres];

/// Lets the load run on until a moment that the dice choose.
async fn until_some_moment(dice: &mut StdRng, milliseconds: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(dice.random_range(milliseconds))).await;
}
