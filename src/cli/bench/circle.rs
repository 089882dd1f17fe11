//! The whole circle: a message is accepted and sent, three statuses come back, each as a signed webhook of its
//! own, and all three are relayed to the callback URL. The clock runs from the first request of the load
//! until the callback receiver has the last `read`.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::Value;

use super::{load::LoadFigures, scene::Scene};

/// Callers of the circle.
pub(super) const CONNECTIONS: usize = 64;
/// Sent through the circle before anything is measured: connections, statements and the template list are warm then.
pub(super) const WARM_UP_MESSAGES: u64 = 300;
/// How often the bar moves; the end itself is told by the simulator at once.
const LOOK_EVERY_MS: u64 = 500;
/// When nothing arrives for so long, nothing will.
const STANDSTILL_MAX: Duration = Duration::from_secs(60);
/// The last status of a message.
const LAST_STATUS: &str = "clevertap/messages/read";

/// What the bridge and the simulator had used at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counters {
    pub(super) rows_written: f64,
    pub(super) statements: f64,
    pub(super) commits: f64,
    pub(super) bridge_cpu: Option<Duration>,
    pub(super) simulator_cpu: Option<Duration>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct CircleFigures {
    pub(super) messages: u64,
    pub(super) seconds: f64,
    pub(super) messages_per_second: f64,
    pub(super) row_writes_per_message: f64,
    pub(super) statements_per_message: f64,
    pub(super) commits: u64,
    pub(super) bridge_cpu_ms_per_message: Option<f64>,
    pub(super) simulator_cpu_ms_per_message: Option<f64>,
    pub(super) memory_peak_bytes: Option<u64>,
    pub(super) webhooks: u64,
    /// Webhooks that the bridge was too busy to take, and that came again.
    pub(super) webhooks_refused: u64,
    pub(super) callback_requests: u64,
    /// Nothing of this may happen.
    pub(super) sent_twice: u64,
    pub(super) statuses_out_of_order: u64,
    pub(super) callbacks_misshapen: u64,
    pub(super) accepts: LoadFigures,
}

/// Waits until `messages` messages have come round.
pub(super) async fn come_round(scene: &Scene, messages: u64, bar: &ProgressBar) -> anyhow::Result<Value> {
    let path = format!("/control/stats?wait_for={LAST_STATUS}&at_least={messages}&timeout_ms={LOOK_EVERY_MS}");
    let (mut count, mut counted_at) = (0, Instant::now());
    loop {
        let (reached, stats) = scene.control("GET", &path, "").await?;
        let now = number(&stats, LAST_STATUS);
        bar.set_position(now);
        if reached {
            return Ok(stats);
        }
        if now > count {
            (count, counted_at) = (now, Instant::now());
        } else if counted_at.elapsed() > STANDSTILL_MAX {
            bail!("only {now} of {messages} messages came round; the simulator counted {stats}");
        }
    }
}

/// Puts the figures together.
pub(super) fn figures(
    accepts: LoadFigures,
    ended_at: SystemTime,
    stats: &Value,
    before: &Counters,
    after: &Counters,
    memory_peak_bytes: Option<u64>,
) -> anyhow::Result<CircleFigures> {
    let ended_at = ended_at.duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    let seconds = ended_at.saturating_sub(Duration::from_micros(accepts.first_request_unix_us)).as_secs_f64();
    let messages = number(stats, LAST_STATUS);
    let each = |amount: f64| amount / (messages.max(1) as f64);
    let cpu = |before: Option<Duration>, after: Option<Duration>| {
        Some(each(after?.saturating_sub(before?).as_secs_f64() * 1000.0))
    };
    Ok(CircleFigures {
        messages,
        seconds,
        messages_per_second: messages as f64 / seconds.max(1e-6),
        row_writes_per_message: each(after.rows_written - before.rows_written),
        statements_per_message: each(after.statements - before.statements),
        commits: (after.commits - before.commits) as u64,
        bridge_cpu_ms_per_message: cpu(before.bridge_cpu, after.bridge_cpu),
        simulator_cpu_ms_per_message: cpu(before.simulator_cpu, after.simulator_cpu),
        memory_peak_bytes,
        webhooks: number(stats, "webhooks_taken"),
        webhooks_refused: number(stats, "webhooks_refused"),
        callback_requests: number(stats, "clevertap/requests"),
        sent_twice: number(stats, "sends_accepted_twice"),
        statuses_out_of_order: number(stats, "clevertap/out_of_order"),
        callbacks_misshapen: number(stats, "clevertap/violations"),
        accepts,
    })
}

fn number(stats: &Value, counter: &str) -> u64 {
    stats.pointer(&format!("/{counter}")).and_then(Value::as_u64).unwrap_or(0)
}
