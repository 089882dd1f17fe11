//! Another process takes SQLite's file for itself, and gives it back.

use sea_orm::ConnectionTrait as _;

use crate::{
    Course, DatabaseKind, Wish,
    checker::{Allowed, Verdict},
    say,
    scenarios::{Scenario, kill::TOLD_AND_NOT_NOTED_MAX, until_some_moment},
    stage::IN_FLIGHT_MAX,
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "sqlite-locked",
    about: "another process holds the lock of SQLite's file for seconds",
    databases: &[DatabaseKind::Sqlite],
    rounds: 1,
    run: |course| Box::pin(run(course)),
};

const PER_SECOND: u32 = 100;

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let stage = course.stage(Wish { messages_per_second: PER_SECOND, ..Wish::default() }).await?;
    let mut dice = course.dice();
    let other = sea_orm::Database::connect(stage.settings.database.url.to_string()).await?;
    let load = stage.load(80);
    for _ in 0..course.rounds {
        until_some_moment(&mut dice, 300..2_000).await;
        // A pool may have several connections; a transaction of it has one.
        let lock = sea_orm::TransactionTrait::begin(&other).await?;
        lock.execute_unprepared("UPDATE instances SET seen_at = seen_at").await?;
        let refusals = stage.journal.refusals();
        until_some_moment(&mut dice, 2_000..8_000).await;
        lock.rollback().await?;
        say(&format!("  while the file was locked: {} refusals", stage.journal.refusals() - refusals));
    }
    until_some_moment(&mut dice, 300..600).await;
    load.stop().await;
    other.close().await?;
    let locks = course.rounds as usize;
    let allowed = Allowed {
        messages_per_second: u64::from(PER_SECOND),
        unknown: locks * IN_FLIGHT_MAX,
        told_twice: locks * TOLD_AND_NOT_NOTED_MAX,
        ..Allowed::default()
    };
    course.end(stage, allowed).await
}
