//! SIGSTOP of the owner of a number beyond its lease, then SIGCONT.
//!
//! Another instance takes the number over. After the first wakes, no send starts without a fresh look at its lease: the
//! policy here is to send again what nobody knows of, so every message that it had marked and sends all the same is one too
//! many. The one exception is a request in the middle of being written when the process is stopped: nobody can look
//! at a lease between two instructions.

use std::time::Duration;

use crate::{
    Course, DatabaseKind, Wish,
    checker::{Allowed, Verdict},
    scenarios::{A_CRASH, Scenario, under_load, until_some_moment},
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "pause",
    about: "SIGSTOP of a number's owner beyond its lease, then SIGCONT",
    databases: &[DatabaseKind::Postgres],
    rounds: 1,
    run: |course| Box::pin(run(course)),
};

const PER_SECOND: u32 = 60;
const WRITING_WHEN_STOPPED_MAX: usize = 1;
/// Statuses on their way to the callback URL, at this pace. What happens during one sleep is many times as much.
const TOLD_WHEN_STOPPED_MAX: usize = 300;

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let wish = Wish {
        instances: 2,
        messages_per_second: PER_SECOND,
        // More than the number may send, so that both have something to send.
        load_per_second: 2 * PER_SECOND as usize,
        account: "unknown_outcome = \"resend\"",
        ..Wish::default()
    };
    let cost = Allowed { sent_twice: WRITING_WHEN_STOPPED_MAX, told_twice: TOLD_WHEN_STOPPED_MAX, ..A_CRASH };
    under_load(course, wish, cost, async |stage, dice| {
        until_some_moment(dice, 1_000..3_000).await;
        let owner = stage.owner_of_a_number().await?;
        stage.put_to_sleep(owner).await?;
        // The other takes over, waits for evidence in vain, and sends again.
        let (lease, grace) = (stage.settings.instance.lease, stage.settings.send.unknown_grace);
        tokio::time::sleep(lease + grace + Duration::from_secs(4)).await;
        stage.wake(owner).await?;
        until_some_moment(dice, 2_000..3_000).await;
        Ok(())
    })
    .await
}
