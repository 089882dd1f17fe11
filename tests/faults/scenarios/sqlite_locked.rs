//! Another process takes SQLite's file for itself, and gives it back.

use sea_orm::ConnectionTrait as _;

use crate::{
    Course, DatabaseKind, Wish,
    checker::Verdict,
    scenarios::{
        A_CRASH, REPLIES, Scenario, tell_answers, under_load, until_it_says_that_nothing_is_taken, until_ready,
        until_some_moment,
    },
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "sqlite-locked",
    about: "another process holds the lock of SQLite's file for seconds",
    databases: &[DatabaseKind::Sqlite],
    rounds: 1,
    run: |course| Box::pin(run(course)),
};

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let wish = Wish { messages_per_second: 100, load_per_second: 80, replies: REPLIES, ..Wish::default() };
    under_load(course, wish, A_CRASH, async |stage, dice| {
        until_some_moment(dice, 300..2_000).await;
        let other = sea_orm::Database::connect(stage.settings.database.url.to_string()).await?;
        // A pool may have several connections; a transaction of it has one.
        let lock = sea_orm::TransactionTrait::begin(&other).await?;
        lock.execute_unprepared("UPDATE instances SET seen_at = seen_at").await?;
        let meantime = async {
            let told = until_it_says_that_nothing_is_taken(stage).await;
            until_some_moment(dice, 100..5_000).await;
            told
        };
        tell_answers("while the file was locked", stage, meantime).await?;
        lock.rollback().await?;
        other.close().await?;
        until_ready(stage).await
    })
    .await
}
