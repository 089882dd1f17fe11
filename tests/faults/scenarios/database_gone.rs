//! `kill -9` of PostgreSQL with all its processes, and its start some time later.
//!
//! While it is away nothing is answered with success, and afterwards everything goes on by itself: no instance is started
//! again here.

use crate::{
    Course, DatabaseKind, Wish,
    checker::Verdict,
    scenarios::{A_CRASH, REPLIES, Scenario, tell_answers, under_load, until_some_moment},
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "database-gone",
    about: "kill -9 of PostgreSQL, and its start some time later",
    databases: &[DatabaseKind::Postgres],
    rounds: 2,
    run: |course| Box::pin(run(course)),
};

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let wish = Wish { messages_per_second: 100, load_per_second: 80, replies: REPLIES, ..Wish::default() };
    let postgres = course.postgres().await?;
    under_load(course, wish, A_CRASH, async |stage, dice| {
        until_some_moment(dice, 300..2_000).await;
        postgres.kill()?;
        // Answers that were on their way may still arrive, and no more than those.
        tell_answers("while PostgreSQL was away", stage, until_some_moment(dice, 1_000..3_000)).await;
        postgres.start_after_kill()
    })
    .await
}
