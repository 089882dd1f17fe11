//! The clock of the machine and of the database jumps by an hour, on and back.
//!
//! Nobody is killed in [`SCENARIO`], so nothing may come of it: no lease changes hands, nothing becomes unknown or is told
//! again, no pace is doubled, and nothing stands still for an hour. In [`WITH_RESTARTS`] an instance dies beside it and starts
//! again by the new clock, with messages that wait for their next try by the old one.

use std::time::{Duration, Instant};

use wabridge::simulator::{Effect, Refusal, RefusalBody, Rule};

use crate::{
    Course, DatabaseKind, Wish,
    checker::{Allowed, Verdict},
    scenarios::{A_CRASH, BOTH, Scenario, under_load, until_some_moment},
    skewed_clock::SkewedClock,
    stage::{IN_FLIGHT_MAX, Stage},
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "clock",
    about: "the clocks jump by an hour, on and back (needs a C compiler)",
    databases: BOTH,
    rounds: 1,
    run: |course| Box::pin(run(course)),
};

pub(crate) const WITH_RESTARTS: Scenario = Scenario {
    name: "clock-restarts",
    about: "the same, while instances are killed and started again",
    databases: BOTH,
    rounds: 1,
    run: |course| Box::pin(run_with_restarts(course)),
};

const HOUR_S: i64 = 3600;
const PATIENCE: Duration = Duration::from_secs(60);
const NUMBERS: usize = 2;
const PER_SECOND: u32 = 60;

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let Some(wish) = wish(course)? else { return Ok(Verdict::skipped(NO_CLOCK)) };
    under_load(course, Wish { undisturbed: true, ..wish }, Allowed::default(), async |stage, dice| {
        // What is still handed over to the one that came later would look like a takeover.
        stage.until_even().await?;
        until_some_moment(dice, 500..1_500).await;
        let leases = stage.leases().await?;
        for seconds in [HOUR_S, 0, -HOUR_S, 0] {
            set(stage, seconds).await?;
            // Time for a renewal, and for others to look whether they can take anything.
            until_some_moment(dice, 1_200..2_000).await;
        }
        let now = stage.leases().await?;
        anyhow::ensure!(leases == now, "leases changed hands: first {leases:?}, then {now:?}");
        Ok(())
    })
    .await
}

async fn run_with_restarts(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let Some(mut wish) = wish(course)? else { return Ok(Verdict::skipped(NO_CLOCK)) };
    wish.load_per_second = PER_SECOND as usize;
    let alone = wish.instances == 1;
    // Two jumps and so two kills a round; and what was refused without a word is unknown too.
    let cost = Allowed { unknown: usize::MAX, told_twice: 2 * A_CRASH.told_twice, ..A_CRASH };
    under_load(course, wish, cost, async |stage, dice| {
        stage.simulator.set_rules(troubles());
        // At the end the clock is behind what was written last.
        for seconds in [HOUR_S, 0] {
            until_some_moment(dice, 500..1_500).await;
            let victim = stage.owner_of_a_number().await?;
            stage.kill(victim).await?;
            set(stage, seconds).await?;
            if !alone {
                // The other goes by another clock, and has to look for a while before it takes what the dead one had.
                wait_until_taken_over(stage, victim).await?;
            }
            stage.start(victim).await?;
        }
        until_some_moment(dice, 500..1_500).await;
        stage.simulator.set_rules(vec![]);
        Ok(())
    })
    .await
}

async fn wait_until_taken_over(stage: &Stage, victim: usize) -> anyhow::Result<()> {
    let victim = Some(format!("instance-{}", victim + 1));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let leases = stage.leases().await?;
        if leases.iter().all(|(.., owner, _)| *owner != victim) {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "nobody takes over all that a dead instance had: {leases:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

const NO_CLOCK: &str = "there is no C compiler for a clock that can be set";

/// `None` where no clock can be lent.
fn wish(course: &Course<'_>) -> anyhow::Result<Option<Wish>> {
    let Some(clock) = SkewedClock::make()? else { return Ok(None) };
    Ok(Some(Wish {
        instances: if course.database == DatabaseKind::Postgres { 2 } else { 1 },
        numbers: NUMBERS,
        messages_per_second: PER_SECOND,
        // A little more than may be sent, so that two owners of one number would both find something.
        load_per_second: NUMBERS * PER_SECOND as usize + IN_FLIGHT_MAX,
        clock: Some(clock),
        ..Wish::default()
    }))
}

async fn set(stage: &Stage, seconds: i64) -> anyhow::Result<()> {
    let url = &*stage.settings.database.url;
    stage.clock.as_ref().expect("the stage has the clock of the wish").set(url, seconds).await
}

/// So that at every moment some wait for their next try, and some for evidence.
fn troubles() -> Vec<Rule> {
    let of = |share, effect| Rule { share, ..Rule::everybody(effect) };
    let busy = Refusal { http_status: Some(503), body: RefusalBody::Json, ..Refusal::code(131_000) };
    vec![of(0.1, Effect::Refuse(busy)), of(0.05, Effect::DropConnection)]
}
