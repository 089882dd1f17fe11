//! The faults, one to a file: what harm is done, and what it may cost.

pub(crate) mod clock;
pub(crate) mod database_gone;
pub(crate) mod database_wire;
pub(crate) mod disk_full;
pub(crate) mod failover;
pub(crate) mod kill;
pub(crate) mod moves;
pub(crate) mod pace;
pub(crate) mod pause;
pub(crate) mod peers;
pub(crate) mod repeats;
pub(crate) mod spread;
pub(crate) mod sqlite_locked;
pub(crate) mod statuses;
pub(crate) mod upgrade;
pub(crate) mod wire;
pub(crate) mod writers;

use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;
use rand::{RngExt as _, rngs::StdRng};

use crate::{
    Course, DatabaseKind, Wish,
    checker::{Allowed, Verdict},
    say,
    stage::{IN_FLIGHT_MAX, Stage},
};

/// One kind of harm.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) databases: &'static [DatabaseKind],
    /// How often in a short run.
    pub(crate) rounds: u32,
    pub(crate) run: for<'a> fn(&'a Course<'a>) -> LocalBoxFuture<'a, anyhow::Result<Verdict>>,
}

pub(crate) const SCENARIOS: [&Scenario; 18] = [
    &kill::SCENARIO,
    &database_gone::SCENARIO,
    &database_wire::SCENARIO,
    &failover::SCENARIO,
    &writers::SCENARIO,
    &disk_full::SCENARIO,
    &sqlite_locked::SCENARIO,
    &pause::SCENARIO,
    &moves::SCENARIO,
    &spread::SCENARIO,
    &peers::SCENARIO,
    &wire::SCENARIO,
    &pace::SCENARIO,
    &statuses::SCENARIO,
    &repeats::SCENARIO,
    &clock::SCENARIO,
    &clock::WITH_RESTARTS,
    &upgrade::SCENARIO,
];

const BOTH: &[DatabaseKind] = &[DatabaseKind::Sqlite, DatabaseKind::Postgres];

/// Callbacks in flight at a time, and statuses in each: what may be told again after one crash.
const TOLD_AND_NOT_NOTED_MAX: usize = 800;

/// What one round may cost when something dies, or cannot write, at any moment: what was in flight may become unknown, and
/// what had been told and not noted may be told again.
const A_CRASH: Allowed = Allowed {
    messages_per_second: 0,
    unknown: IN_FLIGHT_MAX,
    sent_twice: 0,
    told_twice: TOLD_AND_NOT_NOTED_MAX,
    judges_times: false,
};

/// Of those who read, so many write: enough for some to be on their way at each fault.
const REPLIES: f64 = 0.1;
/// Who calls is answered within this, whatever the database does.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
/// For what an instance says of itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// Most scenarios: a stage under load, harm done to it in rounds, of which each may cost so much, and the verdict when all has come to rest.
async fn under_load(
    course: &Course<'_>,
    wish: Wish,
    cost_of_a_round: Allowed,
    harm: impl AsyncFnMut(&mut Stage, &mut StdRng) -> anyhow::Result<()>,
) -> anyhow::Result<Verdict> {
    under_load_and_then(course, wish, cost_of_a_round, harm, async |_| Ok(())).await
}

/// The same, with one more look at the instances before they end.
async fn under_load_and_then(
    course: &Course<'_>,
    wish: Wish,
    cost_of_a_round: Allowed,
    mut harm: impl AsyncFnMut(&mut Stage, &mut StdRng) -> anyhow::Result<()>,
    look: impl AsyncFnOnce(&mut Stage) -> anyhow::Result<()>,
) -> anyhow::Result<Verdict> {
    let allowed = cost_of_a_round.times(course.rounds, wish.messages_per_second);
    let load_per_second = wish.load_per_second;
    let mut stage = course.stage(wish).await?;
    let mut dice = course.dice();
    let load = stage.load(load_per_second);
    for _ in 0..course.rounds {
        harm(&mut stage, &mut dice).await?;
    }
    until_some_moment(&mut dice, 300..600).await;
    load.stop().await;
    look(&mut stage).await?;
    say(&format!("  the slowest answer took {} ms", stage.journal.slowest().as_millis()));
    course.end(stage, allowed).await
}

/// Lets the load run on until a moment that the dice choose.
async fn until_some_moment(dice: &mut StdRng, milliseconds: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(dice.random_range(milliseconds))).await;
}

/// Waits until an instance that cannot write says so at `/readyz` and in its log.
async fn until_it_says_that_nothing_is_taken(stage: &Stage) -> anyhow::Result<()> {
    let red = |ready: bool, told: &serde_json::Value| {
        !ready && told["writes"] == false && told["advice"].as_str().is_some_and(|advice| advice.contains("disk"))
    };
    until_readiness(stage, "is red because nothing can be written", red).await?;
    let since = Instant::now();
    while !stage.has_logged(0, NOT_WRITTEN) {
        anyhow::ensure!(since.elapsed() < PATIENCE, "the log does not say that nothing can be written");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Waits until the instance is ready again.
async fn until_ready(stage: &Stage) -> anyhow::Result<()> {
    until_readiness(stage, "is green again", |ready, _| ready).await
}

async fn until_readiness(
    stage: &Stage,
    what: &str,
    wanted: impl Fn(bool, &serde_json::Value) -> bool,
) -> anyhow::Result<()> {
    let since = Instant::now();
    loop {
        let (ready, told) = stage.readiness(0).await?;
        if wanted(ready, &told) {
            say(&format!("  /readyz {what} after {} ms", since.elapsed().as_millis()));
            return Ok(());
        }
        anyhow::ensure!(since.elapsed() < PATIENCE, "waited in vain until /readyz {what}: {told}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(50);
/// In the log, of each commit that fails.
const NOT_WRITTEN: &str = "could not write to the database";

/// How callers are answered in the meantime.
async fn tell_answers<T>(when: &str, stage: &Stage, meantime: impl Future<Output = T>) -> T {
    stage.journal.forget_slowest();
    let (accepted, refusals) = (stage.journal.accepted(), stage.journal.refusals());
    let result = meantime.await;
    let (accepted, refusals) = (stage.journal.accepted() - accepted, stage.journal.refusals() - refusals);
    let slowest = stage.journal.slowest();
    say(&format!(
        "  {when}: {accepted} accepted, {refusals} refusals, the slowest answer in {} ms",
        slowest.as_millis()
    ));
    stage.note_time("the answer to a message", slowest, ANSWERED_WITHIN);
    result
}
