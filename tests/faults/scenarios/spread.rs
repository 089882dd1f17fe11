//! Instances come and go in good order under load, as in a rolling restart, and each time numbers and callback URLs must be
//! spread evenly before it goes on.
//!
//! What an instance hands over, or gives back when it stops, has come to its outcome: so nothing may become unknown here, and
//! nothing is sent twice.

use crate::{
    Course, DatabaseKind, Wish,
    checker::{Allowed, Verdict},
    say,
    scenarios::{Scenario, TOLD_AND_NOT_NOTED_MAX, under_load},
    stage::Stage,
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "spread",
    about: "instances join and leave one by one in good order, and share the numbers",
    databases: &[DatabaseKind::Postgres],
    rounds: 2,
    run: |course| Box::pin(run(course)),
};

const INSTANCES: usize = 3;
const NUMBERS: usize = 7;
/// So many that two owners of a number would be seen by them.
const PER_SECOND: u32 = 40;

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let wish = Wish {
        numbers: NUMBERS,
        messages_per_second: PER_SECOND,
        // Less than may be sent: a number that moves makes up for it.
        load_per_second: NUMBERS * PER_SECOND as usize / 4,
        ..Wish::default()
    };
    // Who stops does not wait until all is told that was read.
    let cost = Allowed { told_twice: TOLD_AND_NOT_NOTED_MAX, ..Allowed::default() };
    let mut victim = 0;
    under_load(course, wish, cost, async |stage, _| {
        while stage.started() < INSTANCES {
            stage.start_instance().await?;
        }
        spread(stage, "after all have joined").await?;
        stage.stop(victim).await?;
        spread(stage, "after one has left").await?;
        stage.start(victim).await?;
        victim = (victim + 1) % INSTANCES;
        spread(stage, "after it has come back").await
    })
    .await
}

async fn spread(stage: &Stage, when: &str) -> anyhow::Result<()> {
    let took = stage.until_even().await?;
    say(&format!("  {when} all is spread evenly in {:.1} s", took.as_secs_f64()));
    Ok(())
}
