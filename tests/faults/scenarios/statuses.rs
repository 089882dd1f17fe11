//! Statuses the wrong way round, three times each, before the answer to the send, and of messages that nobody knows.

use serde_json::json;
use wabridge::simulator::{Effect, Rule};

use crate::{
    Course, Wish,
    checker::{Allowed, Verdict},
    scenarios::{BOTH, Scenario, until_some_moment},
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "statuses",
    about: "statuses shuffled, repeated, early, unknown, and broken entries between them",
    databases: BOTH,
    rounds: 1,
    run: |course| Box::pin(run(course)),
};

const PER_SECOND: u32 = 200;
/// Entries of the batch that has one broken entry.
const BATCH: usize = 1_000;

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let stage = course.stage(Wish { messages_per_second: PER_SECOND, ..Wish::default() }).await?;
    let mut dice = course.dice();
    let script = |text: &str| Effect::Statuses(text.parse().expect("the scripts here are well formed"));
    let of = |share, effect| Rule { share, ..Rule::everybody(effect) };
    stage.simulator.set_rules(vec![
        of(0.3, Effect::StatusesFirst),
        of(0.4, script("read@5x3,delivered@30x3,sent@60x3")),
        of(0.5, script("sent@40,read@20,delivered@60x2")),
    ]);
    let load = stage.load(60);
    for _ in 0..course.rounds {
        until_some_moment(&mut dice, 1_500..3_000).await;
        let status = stage.post_webhook(strangers()).await?;
        anyhow::ensure!(status == 200, "a batch with one broken entry was answered with {status}");
    }
    until_some_moment(&mut dice, 300..600).await;
    load.stop().await;
    // Nothing was killed, so nothing may be unknown or told again.
    let allowed = Allowed { messages_per_second: u64::from(PER_SECOND), ..Allowed::default() };
    course.end(stage, allowed).await
}

/// Statuses of messages that we never sent, one of them no status at all.
fn strangers() -> String {
    let statuses: Vec<_> = (0..BATCH)
        .map(|number| match number {
            500 => json!({"id": 17, "status": ["sent"], "timestamp": {"at": "noon"}}),
            _ => json!({
                "id": format!("wamid.stranger-{number}"), "status": "delivered", "timestamp": "1790000123",
                "recipient_id": "919876500001",
            }),
        })
        .collect();
    let metadata = json!({"display_phone_number": "918880110000", "phone_number_id": "100000000000000"});
    let value = json!({"messaging_product": "whatsapp", "metadata": metadata, "statuses": statuses});
    let entry = json!({"id": "200000000000001", "changes": [{"field": "messages", "value": value}]});
    json!({"object": "whatsapp_business_account", "entry": [entry]}).to_string()
}
