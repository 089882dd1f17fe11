//! Three instances write to the log of one account, and readers read at its end.
//!
//! Messages and their statuses arrive at all three, so all three commit events at the same time. The callbacks' cursor must
//! pass none of them, and neither may a reader that does nothing but ask for what is new.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::{
    Course, DatabaseKind, Wish,
    checker::{Allowed, Verdict},
    say,
    scenarios::{Scenario, under_load, until_some_moment},
    wire::Wire,
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "writers",
    about: "three instances write to one account's log at once, while cursors read it",
    databases: &[DatabaseKind::Postgres],
    rounds: 1,
    run: |course| Box::pin(run(course)),
};

const INSTANCES: usize = 3;
const NUMBERS: usize = 6;

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let wish = Wish {
        instances: INSTANCES,
        numbers: NUMBERS,
        messages_per_second: 100,
        load_per_second: 150,
        undisturbed: true,
        ..Wish::default()
    };
    // Nothing is killed, so nothing may be unknown or told again.
    under_load(course, wish, Allowed::default(), async |stage, dice| {
        let everywhere = Wire::to(stage.addresses()?).await?;
        stage.send_webhooks_to(everywhere.address);
        let over = AtomicBool::new(false);
        let meantime = async {
            until_some_moment(dice, 3_000..4_000).await;
            over.store(true, Ordering::Relaxed);
        };
        let (seen, ()) = tokio::join!(stage.follow_log(|| over.load(Ordering::Relaxed)), meantime);
        let seen = seen?;
        anyhow::ensure!(!seen.is_empty(), "nothing happened");
        let mut all = stage.follow_log(|| true).await?;
        all.truncate(seen.len());
        say(&format!("  {} events, each seen by who read at the log's end", seen.len()));
        let missed = all.iter().filter(|place| !seen.contains(place)).count();
        anyhow::ensure!(seen == all, "who read at the log's end missed {missed} of {} events", all.len());
        // What was on its way to everywhere comes again.
        stage.send_webhooks_to(stage.addresses()?[0]);
        Ok(())
    })
    .await
}
