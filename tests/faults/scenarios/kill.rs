//! `kill -9` at random moments under load.
//!
//! Nothing accepted is lost, nothing is sent twice, every webhook that was answered with 200 is relayed; what was in flight
//! may become unknown, and what had been told and not noted may be told again.

use std::time::Duration;

use rand::rngs::StdRng;

use crate::{
    Course, Wish,
    checker::Verdict,
    scenarios::{A_CRASH, BOTH, REPLIES, Scenario, under_load_and_then, until_some_moment},
    stage::Stage,
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "kill",
    about: "kill -9 at random moments under load",
    databases: BOTH,
    rounds: 3,
    run: |course| Box::pin(run(course)),
};

const FIRST_SEND_WITHIN: Duration = Duration::from_secs(5);

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let wish = Wish { messages_per_second: 100, load_per_second: 80, replies: REPLIES, ..Wish::default() };
    let kill = async |stage: &mut Stage, dice: &mut StdRng| {
        until_some_moment(dice, 300..2_000).await;
        stage.kill(0).await?;
        stage.start(0).await
    };
    under_load_and_then(course, wish, A_CRASH, kill, async |stage| {
        stage.settle().await?;
        stage.note_first_sends(FIRST_SEND_WITHIN);
        Ok(())
    })
    .await
}
