//! Another process takes SQLite's file for itself, and gives it back.

use sea_orm::ConnectionTrait as _;

use crate::{
    Course, DatabaseKind, Wish,
    checker::Verdict,
    scenarios::{A_CRASH, Scenario, tell_answers, under_load, until_some_moment},
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "sqlite-locked",
    about: "another process holds the lock of SQLite's file for seconds",
    databases: &[DatabaseKind::Sqlite],
    rounds: 1,
    run: |course| Box::pin(run(course)),
};

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let wish = Wish { messages_per_second: 100, load_per_second: 80, ..Wish::default() };
    under_load(course, wish, A_CRASH, async |stage, dice| {
        until_some_moment(dice, 300..2_000).await;
        let other = sea_orm::Database::connect(stage.settings.database.url.to_string()).await?;
        // A pool may have several connections; a transaction of it has one.
        let lock = sea_orm::TransactionTrait::begin(&other).await?;
        lock.execute_unprepared("UPDATE instances SET seen_at = seen_at").await?;
        tell_answers("while the file was locked", stage, until_some_moment(dice, 2_000..8_000)).await;
        lock.rollback().await?;
        Ok(other.close().await?)
    })
    .await
}
