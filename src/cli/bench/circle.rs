//! The whole circle: a message is accepted and sent, three statuses come back, each as a signed webhook of its
//! own, and all three are relayed to the callback URL. The clock runs from the first request of the load
//! until the callback receiver has the last `read`.

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail, ensure};
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::Value;

use super::{
    load::LoadFigures,
    load_figures, median, phase,
    scene::{FAST_NUMBER, Scene},
    start_load,
};

/// Of the messages of a rival: it knows none of the round before.
const SERIES: &str = "circle";
/// Callers, where only one number of them is looked at.
pub(super) const CONNECTIONS: usize = 64;
/// The bridge's and its rivals' turns, one after another: a machine is never the same for long.
const ROUNDS: usize = 3;
/// Sent through the circle before anything is measured: connections, statements and the template list are warm then.
const WARM_UP_MESSAGES: u64 = 300;
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
    /// Of PostgreSQL's processes on this machine; nothing with SQLite, which works within the bridge.
    pub(super) database_cpu: Option<Duration>,
}

/// What a bridge in memory did.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct RivalFigures {
    pub(super) messages_per_second: f64,
    /// Messages of which the callback URL heard something before what came earlier.
    pub(super) statuses_out_of_order: u64,
    pub(super) cpu_ms_per_message: Option<f64>,
    pub(super) memory_peak_bytes: Option<u64>,
}

/// The bridge beside its rivals, with as many callers.
#[derive(Debug, Default, Serialize)]
pub(super) struct CircleComparison {
    pub(super) connections: usize,
    pub(super) rounds: Vec<CircleRound>,
}

/// One after another, within a few seconds.
#[derive(Debug, Default, Serialize)]
pub(super) struct CircleRound {
    pub(super) rival: RivalFigures,
    /// Somebody else's bridge in memory, when one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) other_rival: Option<RivalFigures>,
    pub(super) bridge: CircleFigures,
}

impl CircleComparison {
    pub(super) fn ratio(&self) -> f64 {
        median(self.rounds.iter().map(CircleRound::ratio))
    }

    /// Nothing where no other was named.
    pub(super) fn other_rival_by_ours(&self) -> Option<f64> {
        let by = |round: &CircleRound| Some(round.other_rival.as_ref()?.messages_per_second / positive(&round.rival));
        self.rounds.iter().map(by).collect::<Option<Vec<f64>>>().map(|all| median(all.into_iter()))
    }

    /// The figures of one round belong together: that of the median rate.
    pub(super) fn typical(&self) -> Option<&CircleFigures> {
        middle(self.rounds.iter().map(|round| (round.bridge.messages_per_second, &round.bridge)))
    }

    pub(super) fn typical_rival(&self) -> Option<&RivalFigures> {
        middle(self.rounds.iter().map(|round| (round.rival.messages_per_second, &round.rival)))
    }
}

impl CircleRound {
    pub(super) fn ratio(&self) -> f64 {
        self.bridge.messages_per_second / positive(&self.rival)
    }
}

fn positive(rival: &RivalFigures) -> f64 {
    rival.messages_per_second.max(1e-6)
}

fn middle<'a, T>(rated: impl Iterator<Item = (f64, &'a T)>) -> Option<&'a T> {
    let mut rated: Vec<_> = rated.collect();
    rated.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    rated.get(rated.len() / 2).map(|(_, it)| *it)
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
    pub(super) database_cpu_ms_per_message: Option<f64>,
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

/// The bridge beside the bridge in memory, and beside `other`, a program like it, when one is given.
pub(super) async fn compare(
    scene: &Scene,
    other: Option<&Path>,
    connections: usize,
    messages: u64,
) -> anyhow::Result<CircleComparison> {
    let mut rounds = Vec::with_capacity(ROUNDS);
    for round in 1..=ROUNDS {
        let rival = measure_rival(scene, None, connections, messages).await?;
        let other_rival = match other {
            Some(program) => Some(measure_rival(scene, Some(program), connections, messages).await?),
            None => None,
        };
        let bridge = measure(scene, connections, messages, &format!("{SERIES}-{connections}-{round}")).await?;
        rounds.push(CircleRound { rival, other_rival, bridge });
    }
    Ok(CircleComparison { connections, rounds })
}

/// The bridge's circle. No two may share a series.
pub(super) async fn measure(
    scene: &Scene,
    connections: usize,
    messages: u64,
    series: &str,
) -> anyhow::Result<CircleFigures> {
    warm_up(scene, scene.bridge_address, series).await?;
    let before = scene.counters().await?;
    let round = go_round(scene, scene.bridge_address, ("wabridge", series), connections, messages).await?;
    let after = scene.counters().await?;
    Ok(figures(round, &before, &after, scene.bridge.memory_peak_bytes()))
}

/// A rival's circle. It has gone when this is over, and webhooks come to the bridge again.
async fn measure_rival(
    scene: &Scene,
    program: Option<&Path>,
    connections: usize,
    messages: u64,
) -> anyhow::Result<RivalFigures> {
    let peers = scene.simulator_address.to_string();
    let (name, mut rival) = match program {
        None => {
            ("the bridge in memory", scene.launcher.start("bridge in memory", &["bench", "rival", "--peers", &peers])?)
        }
        Some(program) => {
            ("the other bridge", scene.launcher.start_other(program, "other bridge", &["--peers", &peers])?)
        }
    };
    let address = rival.address().await?;
    scene.send_webhooks_to(&format!("http://{address}/webhook")).await?;
    warm_up(scene, address, SERIES).await?;
    let cpu_before = rival.cpu_time();
    let round = go_round(scene, address, (name, SERIES), connections, messages).await?;
    let cpu = rival.cpu_time().zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
    let messages = number(&round.stats, LAST_STATUS);
    let figures = RivalFigures {
        messages_per_second: messages as f64 / round.seconds,
        statuses_out_of_order: number(&round.stats, "clevertap/out_of_order"),
        cpu_ms_per_message: cpu.map(|cpu| cpu.as_secs_f64() * 1000.0 / (messages.max(1) as f64)),
        memory_peak_bytes: rival.memory_peak_bytes(),
    };
    rival.end().await?;
    scene.send_webhooks_to_bridge().await?;
    Ok(figures)
}

/// What was seen of one circle.
struct Round {
    accepts: LoadFigures,
    seconds: f64,
    stats: Value,
}

async fn warm_up(scene: &Scene, address: SocketAddr, series: &str) -> anyhow::Result<()> {
    let bar = phase("warming up", WARM_UP_MESSAGES);
    let load = start_load(&scene.launcher, address, FAST_NUMBER, &format!("{series}-warm-up"), CONNECTIONS, |load| {
        load.extend(["--messages".to_owned(), WARM_UP_MESSAGES.to_string()]);
    })?;
    let warm = load_figures(load).await?;
    ensure!(warm.not_successful == 0, "the first messages were refused: {}", warm.failure.unwrap_or_default());
    come_round(scene, WARM_UP_MESSAGES, &bar).await?;
    bar.finish_and_clear();
    scene.control("POST", "/control/reset", "").await?;
    Ok(())
}

async fn go_round(
    scene: &Scene,
    address: SocketAddr,
    (who, series): (&str, &str),
    connections: usize,
    messages: u64,
) -> anyhow::Result<Round> {
    let bar = phase(&format!("the whole circle, {who}, {connections} connections, {messages} messages"), messages);
    let load = start_load(&scene.launcher, address, FAST_NUMBER, series, connections, |load| {
        load.extend(["--messages".to_owned(), messages.to_string()]);
    })?;
    let accepts = load_figures(load).await?;
    let stats = come_round(scene, accepts.answers - accepts.not_successful, &bar).await?;
    let ended_at = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    bar.finish_and_clear();
    scene.control("POST", "/control/reset", "").await?;
    let seconds = ended_at.saturating_sub(Duration::from_micros(accepts.first_request_unix_us)).as_secs_f64();
    Ok(Round { accepts, seconds: seconds.max(1e-6), stats })
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
fn figures(round: Round, before: &Counters, after: &Counters, memory_peak_bytes: Option<u64>) -> CircleFigures {
    let Round { accepts, seconds, stats } = round;
    let stats = &stats;
    let messages = number(stats, LAST_STATUS);
    let each = |amount: f64| amount / (messages.max(1) as f64);
    let cpu = |before: Option<Duration>, after: Option<Duration>| {
        Some(each(after?.saturating_sub(before?).as_secs_f64() * 1000.0))
    };
    CircleFigures {
        messages,
        seconds,
        messages_per_second: messages as f64 / seconds,
        row_writes_per_message: each(after.rows_written - before.rows_written),
        statements_per_message: each(after.statements - before.statements),
        commits: (after.commits - before.commits) as u64,
        bridge_cpu_ms_per_message: cpu(before.bridge_cpu, after.bridge_cpu),
        simulator_cpu_ms_per_message: cpu(before.simulator_cpu, after.simulator_cpu),
        database_cpu_ms_per_message: cpu(before.database_cpu, after.database_cpu),
        memory_peak_bytes,
        webhooks: number(stats, "webhooks_taken"),
        webhooks_refused: number(stats, "webhooks_refused"),
        callback_requests: number(stats, "clevertap/requests"),
        sent_twice: number(stats, "sends_accepted_twice"),
        statuses_out_of_order: number(stats, "clevertap/out_of_order"),
        callbacks_misshapen: number(stats, "clevertap/violations"),
        accepts,
    }
}

pub(super) fn number(stats: &Value, counter: &str) -> u64 {
    stats.pointer(&format!("/{counter}")).and_then(Value::as_u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_compared_with_its_own_rival() {
        let round = |bridge, rival, other: f64| CircleRound {
            bridge: CircleFigures { messages_per_second: bridge, ..CircleFigures::default() },
            rival: RivalFigures { messages_per_second: rival, ..RivalFigures::default() },
            other_rival: Some(RivalFigures { messages_per_second: other, ..RivalFigures::default() }),
        };
        let rounds =
            vec![round(1_000.0, 2_000.0, 2_000.0), round(3_000.0, 3_000.0, 2_700.0), round(900.0, 1_000.0, 500.0)];
        let compared = CircleComparison { connections: 64, rounds };

        assert_eq!((compared.ratio(), compared.other_rival_by_ours()), (0.9, Some(0.9)));
        assert_eq!(compared.typical().map(|circle| circle.messages_per_second), Some(1_000.0));
        assert_eq!(CircleComparison::default().ratio(), 0.0);
    }
}
