//! `kill -9` at random moments under load.
//!
//! Nothing accepted is lost, nothing is sent twice, every webhook that was answered with 200 is relayed; what was in flight
//! may become unknown, and what had been told and not noted may be told again.

use crate::{
    Course, Wish,
    checker::{Allowed, Verdict},
    scenarios::{BOTH, Scenario, until_some_moment},
    stage::IN_FLIGHT_MAX,
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "kill",
    about: "kill -9 at random moments under load",
    databases: BOTH,
    rounds: 3,
    run: |course| Box::pin(run(course)),
};

const PER_SECOND: u32 = 100;
/// Callbacks in flight at a time, and statuses in each: what may be told again after one kill.
pub(crate) const TOLD_AND_NOT_NOTED_MAX: usize = 800;

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let mut stage = course.stage(Wish { messages_per_second: PER_SECOND, ..Wish::default() }).await?;
    let mut dice = course.dice();
    let load = stage.load(80);
    for _ in 0..course.rounds {
        until_some_moment(&mut dice, 300..2_000).await;
        stage.kill(0).await?;
        stage.start(0).await?;
    }
    until_some_moment(&mut dice, 300..600).await;
    load.stop().await;
    let kills = course.rounds as usize;
    let allowed = Allowed {
        messages_per_second: u64::from(PER_SECOND),
        unknown: kills * IN_FLIGHT_MAX,
        told_twice: kills * TOLD_AND_NOT_NOTED_MAX,
        ..Allowed::default()
    };
    course.end(stage, allowed).await
}
