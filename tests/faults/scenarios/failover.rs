//! The synchronous standby dies and comes back; then the primary dies with `kill -9`, the standby is promoted, and the
//! address leads there.
//!
//! A commit waits for the standby, so what was answered with success is there after the change.

use crate::{
    Course, DatabaseKind, Wish,
    checker::Verdict,
    postgres::Postgres,
    say,
    scenarios::{A_CRASH, REPLIES, Scenario, tell_answers, under_load, until_some_moment},
    wire::Wire,
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "failover",
    about: "kill -9 of a synchronous standby, then of its primary, and the promotion of the standby",
    databases: &[DatabaseKind::Postgres],
    rounds: 1,
    run: |course| Box::pin(run(course)),
};

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let mut primary = Postgres::start()?;
    let wire = Wire::to(vec![primary.address()]).await?;
    let database_url = Some(primary.database_at(wire.address).await?);
    let wish =
        Wish { messages_per_second: 100, load_per_second: 80, replies: REPLIES, database_url, ..Wish::default() };
    under_load(course, wish, A_CRASH, async |stage, dice| {
        let standby = primary.synchronous_standby().await?;
        until_some_moment(dice, 300..2_000).await;
        // Nothing is accepted that only one server would have.
        standby.kill()?;
        tell_answers("while there was no standby", stage, until_some_moment(dice, 1_000..3_000)).await;
        standby.start_after_kill()?;
        stage.until_accepted_again().await?;
        until_some_moment(dice, 300..1_000).await;
        primary.kill()?;
        tell_answers("while there was no primary", stage, until_some_moment(dice, 1_000..3_000)).await;
        standby.promote()?;
        wire.lead_to(vec![standby.address()]);
        primary = standby;
        stage.until_accepted_again().await?;
        say("  the standby was promoted and accepts");
        Ok(())
    })
    .await
}
