//! A rolling upgrade: a newer program changes the schema while an older one works on it.
//!
//! There is one program here, so the step that it does not know is done by hand, and is what steps may do: tables, columns
//! and indexes more. The older instance goes on, is killed and starts again beside the newer schema; a newer one comes, and
//! the older one ends. With a step that takes something away no older program starts, and those that run go on.

use anyhow::Context as _;
use sea_orm::ConnectionTrait as _;

use crate::{
    Course, DatabaseKind, Wish,
    checker::Verdict,
    scenarios::{A_CRASH, Scenario, under_load, until_some_moment},
    stage::Stage,
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "upgrade",
    about: "a newer program changes the schema while older ones run, and takes over",
    databases: &[DatabaseKind::Postgres],
    rounds: 1,
    run: |course| Box::pin(run(course)),
};

/// What a later release may do, on the tables that are in use at this moment.
const A_LATER_STEP: [&str; 8] = [
    "CREATE TABLE colours (id BIGINT PRIMARY KEY, name TEXT NOT NULL)",
    "ALTER TABLE outbound_messages ADD COLUMN colour BIGINT",
    "ALTER TABLE events ADD COLUMN colour TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE leases ADD COLUMN colour TEXT",
    "ALTER TABLE instances ADD COLUMN colour TEXT",
    "ALTER TABLE subscriptions ADD COLUMN colour BIGINT NOT NULL DEFAULT 0",
    "CREATE INDEX outbound_messages_colour ON outbound_messages (colour) WHERE colour IS NOT NULL",
    "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29990101_000001_colours', 0)",
];
const A_BREAKING_STEP: &str =
    "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29990101_000002_breaking_words', 0)";
const TRIES_MAX: u32 = 50;

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    // The instances that changed hands are gone for good, so there is one round.
    let wish = Wish { messages_per_second: 100, load_per_second: 80, ..Wish::default() };
    let once = Course { rounds: 1, ..*course };
    under_load(&once, wish, A_CRASH, async |stage, dice| {
        until_some_moment(dice, 500..1_500).await;
        change_schema(stage).await?;
        until_some_moment(dice, 500..1_500).await;
        stage.kill(0).await?;
        stage.start(0).await.context("the older program starts beside a schema with more in it")?;
        until_some_moment(dice, 500..1_500).await;
        let newer = stage.start_instance().await?;
        until_some_moment(dice, 1_000..2_000).await;
        stage.stop(0).await?;
        until_some_moment(dice, 500..1_500).await;
        refuse_what_is_unknown(stage).await?;
        anyhow::ensure!(stage.owner_of_a_number().await? == newer, "the newer instance owns the number");
        Ok(())
    })
    .await
}

/// As a migration does: all of it in one transaction, and rather not at all than in everybody's way.
async fn change_schema(stage: &Stage) -> anyhow::Result<()> {
    let database = sea_orm::Database::connect(stage.settings.database.url.to_string()).await?;
    let mut tries = 0;
    loop {
        let step = sea_orm::TransactionTrait::begin(&database).await?;
        let mut done = step.execute_unprepared("SET LOCAL lock_timeout = '1s'").await;
        for statement in A_LATER_STEP {
            if done.is_ok() {
                done = step.execute_unprepared(statement).await;
            }
        }
        tries += 1;
        match done {
            Ok(_) => {
                step.commit().await?;
                return Ok(database.close().await?);
            }
            Err(error) if tries == TRIES_MAX => return Err(error.into()),
            Err(_) => step.rollback().await?,
        }
    }
}

async fn refuse_what_is_unknown(stage: &mut Stage) -> anyhow::Result<()> {
    let database = sea_orm::Database::connect(stage.settings.database.url.to_string()).await?;
    database.execute_unprepared(A_BREAKING_STEP).await?;
    let refused = stage.start_instance().await.err().context("a program started on a schema that it cannot know")?;
    let said = format!("{refused:#}");
    anyhow::ensure!(said.contains("m29990101_000002_breaking_words"), "it does not say why it ends: {said}");
    database.execute_unprepared("DELETE FROM seaql_migrations WHERE version LIKE '%breaking%'").await?;
    Ok(database.close().await?)
}
