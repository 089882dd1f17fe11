//! `kill -9` at random moments under load.
//!
//! Nothing accepted is lost, nothing is sent twice, every webhook that was answered with 200 is relayed; what was in flight
//! may become unknown, and what had been told and not noted may be told again.

use crate::{
    Course, Wish,
    checker::Verdict,
    scenarios::{A_CRASH, BOTH, Scenario, under_load, until_some_moment},
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "kill",
    about: "kill -9 at random moments under load",
    databases: BOTH,
    rounds: 3,
    run: |course| Box::pin(run(course)),
};

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let wish = Wish { messages_per_second: 100, load_per_second: 80, ..Wish::default() };
    under_load(course, wish, A_CRASH, async |stage, dice| {
        until_some_moment(dice, 300..2_000).await;
        stage.kill(0).await?;
        stage.start(0).await
    })
    .await
}
