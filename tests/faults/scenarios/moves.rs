//! Three instances on one PostgreSQL, one of them killed every few seconds and started again. Then it is quiet, and who has fewest
//! must be handed work by those who have most, without any cost.

use std::time::Duration;

use rand::{RngExt as _, rngs::StdRng};

use crate::{
    Course, DatabaseKind, Wish,
    checker::{Allowed, Verdict},
    say,
    scenarios::{A_CRASH, REPLIES, Scenario, under_load_and_then, until_some_moment},
    stage::{IN_FLIGHT_MAX, Stage, unix_now},
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
/// With the lease that everybody has.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(20);
/// What a process wrote to a socket before it was killed.
const LEFT_BEHIND_ARRIVES_WITHIN: Duration = Duration::from_millis(200);

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let wish = Wish {
        instances: INSTANCES,
        numbers: NUMBERS,
        messages_per_second: 40,
        load_per_second: 60,
        replies: REPLIES,
        ..Wish::default()
    };
    let cost = Allowed { unknown: NUMBERS * IN_FLIGHT_MAX, ..A_CRASH };
    let harm = async |stage: &mut Stage, dice: &mut StdRng| {
        until_some_moment(dice, 500..2_500).await;
        let victim = dice.random_range(0..INSTANCES);
        let numbers = stage.numbers_of(victim).await?;
        stage.kill(victim).await?;
        // Half of the time it comes back to what is still its own, half of the time others have taken that.
        if dice.random() {
            let killed_at = unix_now() + LEFT_BEHIND_ARRIVES_WITHIN;
            let took = stage.until_sent_from(&numbers, killed_at).await? + LEFT_BEHIND_ARRIVES_WITHIN;
            say(&format!(
                "  of {} numbers that a dead instance had the last went on after {} ms",
                numbers.len(),
                took.as_millis()
            ));
            stage.note_time("the work of a dead instance", took, TAKEN_OVER_WITHIN);
        }
        stage.start(victim).await
    };
    under_load_and_then(course, wish, cost, harm, async |stage| {
        let took = stage.until_even().await?;
        say(&format!("  numbers and callback URLs were spread evenly after {} s", took.as_secs()));
        Ok(())
    })
    .await
}
