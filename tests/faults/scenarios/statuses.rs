//! Statuses the wrong way round, three times each, before the answer to the send, of messages that nobody knows, and with broken
//! entries between them.
//!
//! Of some messages nothing is heard but in webhooks of a thousand entries each: their three statuses, three times, shuffled
//! among those of strangers and one that is no status. What is said of them must be told all the same.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use rand::{rngs::StdRng, seq::SliceRandom as _};
use serde_json::{Value, json};
use wabridge::simulator::{Effect, Rule};

use crate::{
    Course, Wish,
    checker::{Allowed, Verdict},
    scenarios::{BOTH, Scenario, under_load, until_some_moment},
    stage::Stage,
};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "statuses",
    about: "statuses shuffled, repeated, early, unknown, and broken entries between them",
    databases: BOTH,
    rounds: 1,
    run: |course| Box::pin(run(course)),
};

/// Entries of a webhook, one of which is broken.
const BATCH: usize = 1_000;
/// Messages that are ours in each, with three statuses three times.
const OWN: usize = 100;
const TIMES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

async fn run(course: &Course<'_>) -> anyhow::Result<Verdict> {
    let wish = Wish { messages_per_second: 200, load_per_second: 60, undisturbed: true, ..Wish::default() };
    // Nothing is killed, so nothing may be unknown or told again.
    under_load(course, wish, Allowed::default(), async |stage, dice| {
        stage.simulator.set_rules(disorder());
        until_some_moment(dice, 1_500..3_000).await;
        let silent_from = stage.simulator.sends(None).len();
        stage.simulator.set_rules(vec![Rule::everybody(script("none"))]);
        until_some_moment(dice, 1_000..2_000).await;
        stage.simulator.set_rules(disorder());
        wait_until_taken(stage).await?;
        // At the edges of that time some are reported anyway, and once more by us.
        let sends = stage.simulator.sends(None);
        let silent: Vec<String> = sends.into_iter().skip(silent_from).filter_map(|send| send.wamid).collect();
        anyhow::ensure!(!silent.is_empty(), "nothing was sent in a second");
        for own in silent.chunks(OWN) {
            let status = post(stage, batch(own, dice)).await?;
            anyhow::ensure!(status == 200, "a batch with one broken entry was answered with {status}");
        }
        Ok(())
    })
    .await
}

/// What cannot be stored in time on a busy machine comes again, as it would from the provider.
async fn post(stage: &Stage, webhook: String) -> anyhow::Result<u16> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = stage.post_webhook(webhook.clone()).await?;
        if status != 503 || Instant::now() >= deadline {
            return Ok(status);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Until WhatsApp has all messages that are accepted now: those that it took in silence are among them.
async fn wait_until_taken(stage: &Stage) -> anyhow::Result<()> {
    let accepted = stage.journal.accepted_at(&stage.lines[0]);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let taken: BTreeSet<String> = stage.evidence().taken.into_iter().collect();
        if accepted.values().all(|recipient| taken.contains(recipient)) {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "accepted messages are not sent");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn script(text: &str) -> Effect {
    Effect::Statuses(text.parse().expect("the scripts here are well formed"))
}

fn disorder() -> Vec<Rule> {
    let of = |share, effect| Rule { share, ..Rule::everybody(effect) };
    vec![
        of(0.3, Effect::StatusesFirst),
        of(0.4, script("read@5x3,delivered@30x3,sent@60x3")),
        of(0.5, script("sent@40,read@20,delivered@60x2")),
    ]
}

/// All that is said of these messages, among statuses of messages that we never sent, and one that is no status at all.
fn batch(own: &[String], dice: &mut StdRng) -> String {
    let each = own.iter().flat_map(|id| ["sent", "delivered", "read"].map(|word| status(id, word)));
    let mut statuses: Vec<Value> = each.flat_map(|status| vec![status; TIMES]).collect();
    statuses.extend((statuses.len()..BATCH - 1).map(stranger).collect::<Vec<_>>());
    statuses.push(broken());
    statuses.shuffle(dice);
    webhook(&statuses)
}

/// Statuses of messages that we never sent, one of many of them no status at all.
pub(super) fn strangers(statuses: usize) -> String {
    let statuses = (0..statuses).map(|number| if number == 500 { broken() } else { stranger(number) });
    webhook(&statuses.collect::<Vec<_>>())
}

fn status(id: &str, word: &str) -> Value {
    json!({"id": id, "status": word, "timestamp": "1790000123", "recipient_id": "919876500001"})
}

fn stranger(number: usize) -> Value {
    status(&format!("wamid.stranger-{number}"), "delivered")
}

fn broken() -> Value {
    json!({"id": 17, "status": ["sent"], "timestamp": {"at": "noon"}})
}

fn webhook(statuses: &[Value]) -> String {
    let metadata = json!({"display_phone_number": "918880110000", "phone_number_id": "100000000000000"});
    let value = json!({"messaging_product": "whatsapp", "metadata": metadata, "statuses": statuses});
    let entry = json!({"id": "200000000000001", "changes": [{"field": "messages", "value": value}]});
    json!({"object": "whatsapp_business_account", "entry": [entry]}).to_string()
}
