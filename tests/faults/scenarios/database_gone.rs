//! `kill -9` of PostgreSQL with all its processes, and its start some time later.
//!
//! While it is away nothing is answered with success, and afterwards everything goes on by itself: no instance is started
//! again here.

use crate::{
    Course, DatabaseKind, Wish,
    checker::{Allowed, Verdict},
    say,
    scenarios::{Scenario, kill::TOLD_AND_NOT_NOTED_MAX, until_some_moment},
    stage::IN_FLIGHT_MAX,
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "database-gone",
    about: "kill -9 of PostgreSQL, and its start some time later",
    databases: &[DatabaseKind::Postgres],
    rounds: 2,
    run: |course| Box::pin(run(course)),
};

const PER_SECOND: u32 = 100;

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let stage = course.stage(Wish { messages_per_second: PER_SECOND, ..Wish::default() }).await?;
    let mut dice = course.dice();
    let load = stage.load(80);
    for _ in 0..course.rounds {
        until_some_moment(&mut dice, 300..2_000).await;
        course.postgres().await?.kill()?;
        let (accepted, refusals) = (stage.journal.accepted(), stage.journal.refusals());
        until_some_moment(&mut dice, 1_000..3_000).await;
        // Answers that were on their way may still arrive, and no more than those.
        let successes = stage.journal.accepted() - accepted;
        let refusals = stage.journal.refusals() - refusals;
        say(&format!("  while PostgreSQL was away: {successes} successes still arrived, {refusals} refusals"));
        course.postgres().await?.start_after_kill()?;
    }
    until_some_moment(&mut dice, 300..600).await;
    load.stop().await;
    say(&format!("  the slowest answer took {} ms", stage.journal.slowest().as_millis()));
    let kills = course.rounds as usize;
    let allowed = Allowed {
        messages_per_second: u64::from(PER_SECOND),
        unknown: kills * IN_FLIGHT_MAX,
        told_twice: kills * TOLD_AND_NOT_NOTED_MAX,
        ..Allowed::default()
    };
    course.end(stage, allowed).await
}
