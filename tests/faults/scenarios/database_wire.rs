//! The connection to PostgreSQL is cut, half open, and slow, one after the other.
//!
//! Meanwhile callers and providers are answered, and truly; afterwards everything goes on by itself, also over connections that
//! never say again that they are dead.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use rand::RngExt as _;

use crate::{
    Course, DatabaseKind, Wish,
    checker::Verdict,
    say,
    scenarios::{
        A_CRASH, ANSWERED_WITHIN, PATIENCE, REPLIES, Scenario, statuses, tell_answers, under_load, until_some_moment,
    },
    stage::Stage,
    wire::{Condition, Wire},
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "database-wire",
    about: "the connection to PostgreSQL is cut, half open, and slow, in turn",
    databases: &[DatabaseKind::Postgres],
    rounds: 4,
    run: |course| Box::pin(run(course)),
};

/// Between two webhooks that are posted to see how they are answered.
const WEBHOOK_EVERY: Duration = Duration::from_millis(200);

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let postgres = course.postgres().await?;
    let wire = Wire::to(vec![postgres.address()]).await?;
    let database_url = Some(postgres.database_at(wire.address).await?);
    let wish =
        Wish { messages_per_second: 100, load_per_second: 80, replies: REPLIES, database_url, ..Wish::default() };
    let mut round = 0;
    under_load(course, wish, A_CRASH, async |stage, dice| {
        until_some_moment(dice, 300..2_000).await;
        let slow = Condition::Slow(Duration::from_millis(dice.random_range(200..2_000)));
        let condition = [Condition::HalfOpenAtCommit, slow, Condition::Cut, Condition::HalfOpen][round % 4];
        round += 1;
        let unanswered = stage.journal.unanswered();
        wire.set(condition);
        let meantime = until_some_moment(dice, 2_500..4_000);
        tell_answers(&format!("{condition:?}"), stage, post_webhooks(stage, meantime)).await?;
        wire.set(Condition::Sound);
        let unanswered = stage.journal.unanswered() - unanswered;
        anyhow::ensure!(unanswered == 0, "{condition:?}: {unanswered} requests had no answer at all");
        let recovering = Instant::now();
        stage.until_accepted_again().await?;
        say(&format!("  {condition:?}: accepts again after {} ms", recovering.elapsed().as_millis()));
        Ok(())
    })
    .await
}

/// Each is answered: that it is stored, or that it is to come again.
async fn post_webhooks(stage: &Stage, meantime: impl Future<Output = ()>) -> anyhow::Result<()> {
    let (stored, refused, mut slowest) = (Cell::new(0), Cell::new(0), Duration::ZERO);
    let posting = async {
        loop {
            let asked = Instant::now();
            let answer = stage.post_webhook(statuses::strangers(3)).await;
            slowest = slowest.max(asked.elapsed());
            match answer {
                Ok(200) => stored.set(stored.get() + 1),
                Ok(503) => refused.set(refused.get() + 1),
                other => return anyhow::anyhow!("a webhook was answered with {other:?}"),
            }
            tokio::time::sleep(WEBHOOK_EVERY).await;
        }
    };
    let answered = async {
        meantime.await;
        // The machine may have stood still for all that time.
        while stored.get() + refused.get() == 0 {
            tokio::time::sleep(WEBHOOK_EVERY).await;
        }
    };
    tokio::select! {
        problem = posting => return Err(problem),
        in_time = tokio::time::timeout(PATIENCE, answered) => {
            anyhow::ensure!(in_time.is_ok(), "no webhook was answered");
        }
    }
    let (stored, refused) = (stored.get(), refused.get());
    stage.note_time("the answer to a webhook", slowest, ANSWERED_WITHIN);
    say(&format!("  webhooks: {stored} stored, {refused} refused, the slowest in {} ms", slowest.as_millis()));
    Ok(())
}
