//! What a number at 1,000 messages a second has to tell: three statuses of each message and a reply to every third or so, each as
//! a webhook of its own, while the messages are accepted and sent. WhatsApp counts how long an answer takes, and so does this.

use std::time::{Duration, Instant};

use anyhow::bail;
use serde::Serialize;
use serde_json::Value;

use super::{
    circle::{self, number},
    load::LoadFigures,
    load_figures_within, phase,
    scene::{FAST_NUMBER, Scene},
    start_load,
};

const MESSAGES_PER_SECOND: f64 = 1000.0;
const REPLY_SHARE: f64 = 0.3;
const CONNECTIONS: usize = 64;
const STATUSES: [&str; 3] = ["sent", "delivered", "read"];
/// When nothing arrives for so long, nothing will.
const STANDSTILL_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Default, Serialize)]
pub(super) struct WebhookFigures {
    pub(super) webhooks: u64,
    pub(super) webhooks_per_second: f64,
    /// Of answers with 200.
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
    /// Answered otherwise; they came again.
    pub(super) refused: u64,
    /// Statuses and replies that the callback URL never heard of.
    pub(super) lost: u64,
    pub(super) accepts: LoadFigures,
}

pub(super) async fn measure(scene: &Scene, time: Duration) -> anyhow::Result<WebhookFigures> {
    scene.set_knobs(&format!(r#"{{"reply_text_share":{REPLY_SHARE}}}"#)).await?;
    scene.control("POST", "/control/reset", "").await?;
    let bar = phase("webhooks, 3,300 a second", time.as_secs());
    let load = start_load(&scene.launcher, scene.bridge_address, FAST_NUMBER, "webhooks", CONNECTIONS, |load| {
        load.extend(["--seconds".to_owned(), time.as_secs_f64().to_string()]);
        load.extend(["--rate".to_owned(), MESSAGES_PER_SECOND.to_string()]);
    })?;
    let accepts = load_figures_within(load, time, &bar).await?;
    let accepted = accepts.answers - accepts.not_successful;
    circle::come_round(scene, accepted, &phase("the last ones", accepted)).await?;
    let stats = replies_relayed(scene).await?;
    bar.finish_and_clear();
    scene.set_knobs(r#"{"reply_text_share":0}"#).await?;

    let relayed: u64 = STATUSES.iter().map(|status| number(&stats, &format!("clevertap/messages/{status}"))).sum();
    let replies_lost = number(&stats, "inbound_taken").saturating_sub(replies(&stats));
    let answers = |name: &str| stats["webhook_answers"][name].as_f64().unwrap_or(0.0);
    let webhooks = number(&stats, "webhooks_taken");
    Ok(WebhookFigures {
        webhooks,
        webhooks_per_second: webhooks as f64 / time.as_secs_f64(),
        p50_ms: answers("p50_ms"),
        p99_ms: answers("p99_ms"),
        max_ms: answers("max_ms"),
        refused: number(&stats, "webhooks_refused"),
        lost: (STATUSES.len() as u64 * accepted).saturating_sub(relayed)
            + replies_lost
            + number(&stats, "updates_dropped"),
        accepts,
    })
}

/// Waits until nothing is to be told any more, and what was told has been relayed.
async fn replies_relayed(scene: &Scene) -> anyhow::Result<Value> {
    let (mut most, mut grew_at) = (0, Instant::now());
    loop {
        let (_, stats) = scene.control("GET", "/control/stats", "").await?;
        let relayed = replies(&stats);
        if number(&stats, "updates_waiting") == 0 && relayed >= number(&stats, "inbound_taken") {
            return Ok(stats);
        }
        if relayed > most {
            (most, grew_at) = (relayed, Instant::now());
        } else if grew_at.elapsed() > STANDSTILL_MAX {
            bail!("replies stopped being relayed; the simulator counted {stats}");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn replies(stats: &Value) -> u64 {
    let kinds = stats["clevertap"]["inbound"].as_object();
    kinds.into_iter().flat_map(|kinds| kinds.values()).filter_map(Value::as_u64).sum()
}
