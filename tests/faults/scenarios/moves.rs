//! Three instances on one PostgreSQL, one of them killed every few seconds and started again.

use std::time::Duration;

use rand::RngExt as _;

use crate::{
    Course, DatabaseKind, Wish,
    checker::{Allowed, Verdict},
    scenarios::{Scenario, kill::TOLD_AND_NOT_NOTED_MAX, until_some_moment},
    stage::IN_FLIGHT_MAX,
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "moves",
    about: "three instances on one PostgreSQL, killed one after the other",
    databases: &[DatabaseKind::Postgres],
    rounds: 2,
    run: |course| Box::pin(run(course)),
};

const INSTANCES: usize = 3;
const NUMBERS: usize = 4;
const PER_SECOND: u32 = 40;

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let wish = Wish { instances: INSTANCES, numbers: NUMBERS, messages_per_second: PER_SECOND, ..Wish::default() };
    let mut stage = course.stage(wish).await?;
    let mut dice = course.dice();
    let load = stage.load(60);
    let lease = stage.settings.instance.lease;
    for _ in 0..course.rounds {
        until_some_moment(&mut dice, 500..2_500).await;
        let victim = dice.random_range(0..INSTANCES);
        stage.kill(victim).await?;
        // Half of the time it comes back to what is still its own, half of the time others have taken that.
        if dice.random() {
            tokio::time::sleep(lease + Duration::from_secs(1)).await;
        }
        stage.start(victim).await?;
    }
    load.stop().await;
    let kills = course.rounds as usize;
    let allowed = Allowed {
        messages_per_second: u64::from(PER_SECOND),
        unknown: kills * NUMBERS * IN_FLIGHT_MAX,
        told_twice: kills * TOLD_AND_NOT_NOTED_MAX,
        ..Allowed::default()
    };
    course.end(stage, allowed).await
}
