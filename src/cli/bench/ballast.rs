//! Does it matter how much was done before, and how much waits? The circle and accepts are measured, then the tables are
//! filled ([`wabridge::store::ballast`]), and both are measured again.
//!
//! The bridge is started anew before each of the two, so that they begin alike, and each is the median of some rounds, because
//! two rounds of one thing differ by more than what is looked for. The backlog waits at a number that sends one
//! message a second meanwhile, so that its owner reads from the long queue; those few come round among the circle's.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use serde::Serialize;
use wabridge::store::ballast::{Ballast, Pile};

use super::{
    ACCEPT_CONNECTIONS, accepts_at, circle, median, phase,
    report::{Target, megabytes},
    scene::{FAST_NUMBER, SLOW_NUMBER, Scene},
};

/// Of the rate without it.
const RATIO_MIN: f64 = 0.9;
/// Of which the median counts.
const ROUNDS: usize = 3;

/// How much is asked for.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Amounts {
    /// Finished messages.
    pub(super) history: u64,
    /// Queued ones.
    pub(super) backlog: u64,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct BallastFigures {
    amounts: Amounts,
    load_seconds: f64,
    database_bytes: u64,
    without: Pace,
    with: Pace,
}

/// Medians.
#[derive(Debug, Default, Serialize)]
struct Pace {
    accepts_per_second: f64,
    accepts_p99_ms: f64,
    /// Of the bridge.
    cpu_us_per_accept: Option<f64>,
    circle_per_second: f64,
    /// Of the bridge and its database, in the circle.
    cpu_ms_per_message: Option<f64>,
    /// Of the bridge, since its start before them.
    memory_peak_bytes: Option<u64>,
}

/// Nothing when nothing was asked for.
pub(super) async fn measure(
    scene: &mut Scene,
    amounts: Amounts,
    messages: u64,
    time: Duration,
) -> anyhow::Result<Option<BallastFigures>> {
    if amounts.history + amounts.backlog == 0 {
        return Ok(None);
    }
    scene.stop_bridge().await?;
    scene.start_bridge_again().await?;
    let without = Pace::measure(scene, "without ballast", messages, time).await?;

    let settings = scene.stop_bridge().await?;
    let started = Instant::now();
    let ballast = Ballast::open(&settings, FAST_NUMBER).await?;
    load(&ballast, ballast.history(amounts.history), "loading a history", amounts.history).await?;
    load(&ballast, ballast.backlog(amounts.backlog, SLOW_NUMBER), "loading a backlog", amounts.backlog).await?;
    let bar = phase("bringing the database to rest", 0);
    let database_bytes = ballast.bytes().await?;
    ballast.settle().await?;
    bar.finish_and_clear();
    let load_seconds = started.elapsed().as_secs_f64();

    scene.start_bridge_again().await?;
    let with = Pace::measure(scene, "with ballast", messages, time).await?;
    Ok(Some(BallastFigures { amounts, load_seconds, database_bytes, without, with }))
}

pub(super) async fn load(ballast: &Ballast, mut pile: Pile, what: &str, messages: u64) -> anyhow::Result<()> {
    if messages == 0 {
        return Ok(());
    }
    let bar = phase(&format!("{what} of {messages} messages"), messages);
    loop {
        let loaded = ballast.load_slice(&mut pile).await?;
        if loaded == 0 {
            bar.finish_and_clear();
            return Ok(());
        }
        bar.inc(loaded);
    }
}

impl Pace {
    async fn measure(scene: &Scene, what: &str, messages: u64, time: Duration) -> anyhow::Result<Self> {
        let connections = ACCEPT_CONNECTIONS.into_iter().max().unwrap_or_default();
        let (mut circles, mut accepts) = (Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS));
        let mut accept_cpu_us = Vec::with_capacity(ROUNDS);
        for round in 1..=ROUNDS {
            let series = format!("circle {what} {round}").replace(' ', "-");
            circles.push(circle::measure(scene, circle::CONNECTIONS, messages, &series).await?);
            let what = format!("wabridge {what} {round}");
            let cpu_before = scene.bridge.cpu_time();
            let load = accepts_at(scene, scene.bridge_address, &what, (connections, None), time).await?;
            let cpu = scene.bridge.cpu_time().zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
            accept_cpu_us.push(cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / (load.answers.max(1) as f64)));
            accepts.push(load);
        }
        let cpu_ms = |circle: &circle::CircleFigures| {
            Some(circle.bridge_cpu_ms_per_message? + circle.database_cpu_ms_per_message.unwrap_or(0.0))
        };
        Ok(Self {
            accepts_per_second: median(accepts.iter().map(|load| load.requests_per_second)),
            accepts_p99_ms: median(accepts.iter().map(|load| load.p99_ms)),
            circle_per_second: median(circles.iter().map(|circle| circle.messages_per_second)),
            cpu_us_per_accept: median_of_all(accept_cpu_us),
            cpu_ms_per_message: median_of_all(circles.iter().map(cpu_ms).collect()),
            memory_peak_bytes: scene.bridge.memory_peak_bytes(),
        })
    }
}

impl BallastFigures {
    pub(super) fn targets(&self) -> Vec<Target> {
        let by = |with: f64, without: f64| with / without.max(1e-6);
        let (with, without) = (&self.with, &self.without);
        let target = |what: &str, ratio| {
            Target::at_least(
                format!("{what} with history and backlog, as a multiple of those without"),
                RATIO_MIN,
                ratio,
            )
        };
        vec![
            target("accepts", by(with.accepts_per_second, without.accepts_per_second)),
            target("whole circles", by(with.circle_per_second, without.circle_per_second)),
        ]
    }

    pub(super) fn memory_peak_bytes(&self) -> Option<u64> {
        self.with.memory_peak_bytes
    }

    pub(super) fn write(&self, text: &mut String) -> std::fmt::Result {
        let Amounts { history, backlog } = self.amounts;
        writeln!(
            text,
            "\nA history of {history} and a backlog of {backlog} messages, loaded in {:.0} s; the database has {} then (medians \
             of {ROUNDS} rounds)",
            self.load_seconds,
            megabytes(Some(self.database_bytes))
        )?;
        let cpu = |cpu: Option<f64>, unit| cpu.map(|cpu| format!(", {cpu:.2} {unit} of processor time each"));
        for (name, pace) in [("without them", &self.without), ("with them", &self.with)] {
            writeln!(
                text,
                "  {name:<13} {:.0} accepts/s (p99 {:.0} ms{}), {:.0} messages/s through the whole circle{}, memory {}",
                pace.accepts_per_second,
                pace.accepts_p99_ms,
                cpu(pace.cpu_us_per_accept, "\u{b5}s").unwrap_or_default(),
                pace.circle_per_second,
                cpu(pace.cpu_ms_per_message, "ms").unwrap_or_default(),
                megabytes(pace.memory_peak_bytes)
            )?;
        }
        Ok(())
    }
}

/// Nothing where one is not known.
fn median_of_all(values: Vec<Option<f64>>) -> Option<f64> {
    values.into_iter().collect::<Option<Vec<f64>>>().map(|all| median(all.into_iter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_how_much_of_each_rate_is_left() {
        let pace =
            |accepts_per_second, circle_per_second| Pace { accepts_per_second, circle_per_second, ..Pace::default() };
        let figures = BallastFigures {
            without: pace(20_000.0, 2_000.0),
            with: pace(19_000.0, 1_500.0),
            ..BallastFigures::default()
        };

        let measured: Vec<(f64, bool)> = figures.targets().iter().map(|target| (target.measured, target.met)).collect();

        assert_eq!(measured, [(0.95, true), (0.75, false)]);
    }

    #[test]
    fn one_odd_round_does_not_count() {
        assert_eq!(median([3.0, 900.0, 2.0].into_iter()), 3.0);
        assert_eq!(median(std::iter::empty()), 0.0);
    }
}
