//! What was measured, against what is wanted, for people and for machines.

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;

use super::{
    ballast::BallastFigures,
    circle::{CircleComparison, CircleFigures},
    load::LoadFigures,
    soak::SoakFigures,
    webhooks::WebhookFigures,
};

/// Accepts, as a share of what the bare handler takes.
const ACCEPT_SHARE_OF_BARE_MIN: f64 = 0.15;
/// Accepts at the most connections, as a share of what the durable handler takes.
const ACCEPT_SHARE_MIN: f64 = 0.5;
/// Their 99th percentile, as a multiple of the durable handler's.
const ACCEPT_P99_RATIO_MAX: f64 = 1.2;
const OPEN_LOOP_P99_MS_MAX: f64 = 100.0;
const OPEN_LOOP_P999_MS_MAX: f64 = 500.0;
/// Messages a second through the whole circle, as a multiple of the bridge in memory's.
const CIRCLE_RATIO_MIN: f64 = 1.0;
const WEBHOOK_P50_MS_MAX: f64 = 50.0;
const WEBHOOK_P99_MS_MAX: f64 = 250.0;
/// Of the bridge and its database.
const CPU_MS_PER_MESSAGE_MAX: f64 = 0.4;
/// Rows for a message with three statuses.
const ROW_WRITES_PER_MESSAGE_MAX: f64 = 12.0;
const MEMORY_MB_MAX: f64 = 150.0;

/// What the others do, for those who compare.
const CAST: &str = "\
Bare handler: actix-web, reads the same body into typed structs, checks and stores nothing.
Durable handler: the same, and answers when the body is committed (group commit, one row, one table).
Bridge in memory: sends while its caller waits, relays each status alone; no store, no order, no retries.
Load: kept connections, each sends its next message when the last one is answered; in the open loop, when its time has come.
";

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    /// `sqlite` or `postgres`.
    pub(super) database: &'static str,
    #[serde(flatten)]
    pub(super) figures: Figures,
    pub(super) targets: Vec<Target>,
}

#[derive(Debug, Serialize)]
pub(super) struct Machine {
    pub(super) cores: usize,
    pub(super) processor: Option<String>,
    /// Writing 4 KiB to the end of a file in the bench's folder, and waiting for the disk.
    pub(super) fsync_ms: Option<f64>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Figures {
    pub(super) circles: Vec<CircleComparison>,
    pub(super) accepts: Vec<AcceptFigures>,
    pub(super) open_loop: OpenLoopFigures,
    pub(super) webhooks: WebhookFigures,
    /// When it was asked for.
    pub(super) soak: Option<SoakFigures>,
    /// Of the bridge, when all was done.
    pub(super) memory_peak_bytes: Option<u64>,
    /// With a history and a backlog, when they were asked for.
    pub(super) ballast: Option<BallastFigures>,
}

/// Accepts at one number of connections.
#[derive(Debug, Serialize)]
pub(super) struct AcceptFigures {
    pub(super) connections: usize,
    pub(super) bare: LoadFigures,
    pub(super) durable: LoadFigures,
    pub(super) bridge: LoadFigures,
    /// Requests a second, the bridge's by the handlers'.
    pub(super) share_of_bare: f64,
    pub(super) share_of_durable: f64,
    /// 99th percentiles, the bridge's by the durable handler's.
    pub(super) p99_of_durable: f64,
    pub(super) bridge_cpu_us_per_answer: Option<f64>,
}

impl AcceptFigures {
    pub(super) fn new(
        connections: usize,
        bare: LoadFigures,
        durable: LoadFigures,
        bridge: LoadFigures,
        cpu: Option<Duration>,
    ) -> Self {
        let by = |bridge: f64, handler: f64| bridge / handler.max(1e-6);
        Self {
            connections,
            share_of_bare: by(bridge.requests_per_second, bare.requests_per_second),
            share_of_durable: by(bridge.requests_per_second, durable.requests_per_second),
            p99_of_durable: by(bridge.p99_ms, durable.p99_ms),
            bridge_cpu_us_per_answer: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / (bridge.answers.max(1) as f64)),
            bare,
            durable,
            bridge,
        }
    }
}

/// Accepts from callers who do not wait for each other.
#[derive(Debug, Default, Serialize)]
pub(super) struct OpenLoopFigures {
    pub(super) wanted_per_second: f64,
    pub(super) load: LoadFigures,
}

/// One thing that is wanted.
#[derive(Debug, Serialize)]
pub(super) struct Target {
    pub(super) what: String,
    pub(super) wanted: f64,
    pub(super) measured: f64,
    pub(super) met: bool,
    /// By how much it was missed.
    pub(super) missed_by: f64,
}

impl Target {
    pub(super) fn at_least(what: impl Into<String>, wanted: f64, measured: f64) -> Self {
        let missed_by = (wanted - measured).max(0.0);
        Self { what: what.into(), wanted, measured, met: measured >= wanted, missed_by }
    }

    pub(super) fn at_most(what: impl Into<String>, wanted: f64, measured: f64) -> Self {
        let missed_by = (measured - wanted).max(0.0);
        Self { what: what.into(), wanted, measured, met: measured <= wanted, missed_by }
    }

    pub(super) fn write(&self, text: &mut String) -> std::fmt::Result {
        let verdict = if self.met { "met".to_owned() } else { format!("MISSED by {}", short(self.missed_by)) };
        let (measured, wanted) = (short(self.measured), short(self.wanted));
        writeln!(text, "  {verdict:<16} {}: {measured} (wanted: {wanted})", self.what)
    }
}

impl Report {
    pub(super) fn new(machine: Machine, database: &'static str, figures: Figures) -> Self {
        let targets = figures.targets();
        Self { machine, database, figures, targets }
    }

    pub(super) fn all_met(&self) -> bool {
        self.targets.iter().all(|target| target.met)
    }

    pub(super) fn for_people(&self) -> String {
        let mut text = String::new();
        self.write_all(&mut text).expect("writing to a String cannot fail");
        text
    }

    fn write_all(&self, text: &mut String) -> std::fmt::Result {
        self.write_machine(text)?;
        self.write_accepts(text)?;
        for circle in &self.figures.circles {
            write_circle(text, circle)?;
        }
        self.write_webhooks(text)?;
        if let Some(soak) = &self.figures.soak {
            soak.write(text)?;
        }
        writeln!(text, "\nMemory of the bridge at its peak: {}", megabytes(self.figures.memory_peak_bytes))?;
        if let Some(ballast) = &self.figures.ballast {
            ballast.write(text)?;
        }
        self.write_mistakes(text)?;
        writeln!(text, "\nTargets")?;
        for target in &self.targets {
            target.write(text)?;
        }
        Ok(())
    }

    fn write_machine(&self, text: &mut String) -> std::fmt::Result {
        let Machine { cores, processor, fsync_ms } = &self.machine;
        let processor = processor.as_deref().unwrap_or("an unknown processor");
        writeln!(
            text,
            "Measured on {cores} cores of {processor}, shared by load, peers and database ({}).",
            self.database
        )?;
        if let Some(fsync_ms) = fsync_ms {
            writeln!(text, "One fsync takes {fsync_ms:.2} ms in the folder of the database.")?;
        }
        write!(text, "{CAST}")
    }

    fn write_accepts(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "\n{:<34}{:>11}{:>8}{:>9}{:>9}{:>9}{:>9}{:>8}{:>8}",
            "Accepts", "requests/s", "durable", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "failed", "over 1s"
        )?;
        for accepts in &self.figures.accepts {
            let name = |of: &str| format!("{of}, {} connections", accepts.connections);
            write_load(text, &name("bare handler"), &accepts.bare, None)?;
            write_load(text, &name("durable handler"), &accepts.durable, None)?;
            write_load(text, &name("wabridge"), &accepts.bridge, Some(accepts.share_of_durable))?;
            let cpu_us = accepts.bridge_cpu_us_per_answer;
            let cpu = cpu_us.map(|us| format!("; {us:.0} \u{b5}s of processor time for each")).unwrap_or_default();
            writeln!(text, "    {:.2} of the bare handler{cpu}", accepts.share_of_bare)?;
        }
        let OpenLoopFigures { wanted_per_second, load } = &self.figures.open_loop;
        write_load(text, &format!("wabridge, open loop at {wanted_per_second:.0}/s"), load, None)
    }

    fn write_webhooks(&self, text: &mut String) -> std::fmt::Result {
        let webhooks = &self.figures.webhooks;
        writeln!(
            text,
            "\nWebhooks: {} at {:.0}/s while {} messages were accepted and sent; answered in {:.1} ms (p50), {:.1} ms (p99), \
             {:.0} ms (max)",
            webhooks.webhooks,
            webhooks.webhooks_per_second,
            webhooks.accepts.answers,
            webhooks.p50_ms,
            webhooks.p99_ms,
            webhooks.max_ms
        )
    }

    /// Nothing, when all went well.
    fn write_mistakes(&self, text: &mut String) -> std::fmt::Result {
        let webhooks = &self.figures.webhooks;
        let sum = |count: fn(&CircleFigures) -> u64| -> u64 { self.figures.rounds().map(count).sum() };
        for (count, what) in [
            (
                sum(|circle| circle.accepts.not_successful) + webhooks.accepts.not_successful,
                "messages were not accepted",
            ),
            (sum(|circle| circle.webhooks_refused) + webhooks.refused, "webhooks were refused at first and came again"),
            (sum(|circle| circle.sent_twice), "MESSAGES WERE SENT TWICE"),
            (sum(|circle| circle.statuses_out_of_order), "STATUSES WERE RELAYED OUT OF ORDER"),
            (sum(|circle| circle.callbacks_misshapen), "CALLBACKS HAD A WRONG SHAPE"),
            (webhooks.lost, "STATUSES OR REPLIES WERE LOST"),
        ] {
            if count > 0 {
                writeln!(text, "  {count} {what}")?;
            }
        }
        if let Some(failure) = self.figures.loads().find_map(|load| load.failure.as_deref()) {
            writeln!(text, "  a request that failed: {failure}")?;
        }
        Ok(())
    }
}

impl Figures {
    /// All that was asked of the bridge.
    fn loads(&self) -> impl Iterator<Item = &LoadFigures> {
        let accepts = self.accepts.iter().map(|accepts| &accepts.bridge);
        let soak = self.soak.iter().map(|soak| &soak.load);
        let circles = self.rounds().map(|circle| &circle.accepts);
        accepts.chain([&self.open_loop.load, &self.webhooks.accepts]).chain(circles).chain(soak)
    }

    /// The bridge's turns in the whole circle.
    fn rounds(&self) -> impl Iterator<Item = &CircleFigures> {
        self.circles.iter().flat_map(|circle| &circle.rounds).map(|round| &round.bridge)
    }

    fn targets(&self) -> Vec<Target> {
        let of_bare = |accepts: &AcceptFigures| {
            let what =
                format!("accepts at {} connections, as a share of the bare handler\u{2019}s", accepts.connections);
            Target::at_least(what, ACCEPT_SHARE_OF_BARE_MIN, accepts.share_of_bare)
        };
        let mut targets: Vec<Target> = self.accepts.iter().map(of_bare).collect();
        if let Some(accepts) = self.accepts.iter().max_by_key(|accepts| accepts.connections) {
            let of = format!("at {} connections, as a multiple of the durable handler\u{2019}s", accepts.connections);
            targets.extend([
                Target::at_least(format!("accepts {of}"), ACCEPT_SHARE_MIN, accepts.share_of_durable),
                Target::at_most(format!("p99 of accepts {of}"), ACCEPT_P99_RATIO_MAX, accepts.p99_of_durable),
            ]);
        }
        let open_loop = &self.open_loop.load;
        let slow: u64 = self.loads().map(|load| load.over_one_second).sum();
        let failed: u64 = self.loads().map(|load| load.not_successful).sum();
        let mistake =
            |circle: &CircleFigures| circle.sent_twice + circle.statuses_out_of_order + circle.callbacks_misshapen;
        let mistakes: u64 = self.rounds().map(mistake).sum();
        targets.extend([
            Target::at_most("answers after more than a second", 0.0, slow as f64),
            Target::at_most("requests not accepted", 0.0, failed as f64),
            Target::at_most("open loop, p99 in ms", OPEN_LOOP_P99_MS_MAX, open_loop.p99_ms),
            Target::at_most("open loop, p99.9 in ms", OPEN_LOOP_P999_MS_MAX, open_loop.p999_ms),
            Target::at_most("sent twice, relayed out of order or misshapen", 0.0, mistakes as f64),
            Target::at_most("answers to webhooks, p50 in ms", WEBHOOK_P50_MS_MAX, self.webhooks.p50_ms),
            Target::at_most("answers to webhooks, p99 in ms", WEBHOOK_P99_MS_MAX, self.webhooks.p99_ms),
            Target::at_most("statuses and replies lost", 0.0, self.webhooks.lost as f64),
        ]);
        targets.extend(self.circles.iter().flat_map(circle_targets));
        targets.extend(self.soak.iter().flat_map(SoakFigures::targets));
        targets.extend(self.ballast.iter().flat_map(BallastFigures::targets));
        let with_ballast = self.ballast.as_ref().and_then(BallastFigures::memory_peak_bytes);
        let memory_mb = self.memory_peak_bytes.max(with_ballast).map(|bytes| bytes as f64 / 1e6);
        targets.extend(memory_mb.map(|mb| Target::at_most("resident memory of the bridge, in MB", MEMORY_MB_MAX, mb)));
        targets
    }
}

fn circle_targets(compared: &CircleComparison) -> Vec<Target> {
    let at = format!("at {} connections", compared.connections);
    let what = format!("whole circle {at}, as a multiple of the bridge in memory\u{2019}s");
    let mut targets = vec![Target::at_least(what, CIRCLE_RATIO_MIN, compared.ratio())];
    let Some(circle) = compared.typical() else { return targets };
    let what = format!("row writes a message {at}");
    targets.push(Target::at_most(what, ROW_WRITES_PER_MESSAGE_MAX, circle.row_writes_per_message));
    let cpu_ms = circle.bridge_cpu_ms_per_message.map(|bridge| {
        // SQLite works within the bridge.
        bridge + circle.database_cpu_ms_per_message.unwrap_or(0.0)
    });
    let what = format!("processor time a message {at}, of bridge and database, in ms");
    targets.extend(cpu_ms.map(|ms| Target::at_most(what, CPU_MS_PER_MESSAGE_MAX, ms)));
    targets
}

fn write_circle(text: &mut String, compared: &CircleComparison) -> std::fmt::Result {
    let (Some(circle), Some(rival)) = (compared.typical(), compared.typical_rival()) else { return Ok(()) };
    writeln!(
        text,
        "\nThe whole circle at {} connections: {} messages in {:.1} s, {:.0} messages/s (accepted, sent, three status webhooks each, \
         relayed; the median of {} rounds)",
        compared.connections,
        circle.messages,
        circle.seconds,
        circle.messages_per_second,
        compared.rounds.len()
    )?;
    writeln!(
        text,
        "  {:.1} row writes and {:.2} SQL statements a message; {} commits, {} webhooks, {} callback requests",
        circle.row_writes_per_message,
        circle.statements_per_message,
        circle.commits,
        circle.webhooks,
        circle.callback_requests
    )?;
    if let Some(bridge) = circle.bridge_cpu_ms_per_message {
        let simulator = circle.simulator_cpu_ms_per_message.unwrap_or_default();
        let database = circle.database_cpu_ms_per_message;
        let database = database.map(|ms| format!(", {ms:.2} ms in PostgreSQL")).unwrap_or_default();
        writeln!(
            text,
            "  {bridge:.2} ms of processor time a message in the bridge{database} (for comparison, {simulator:.2} ms in the \
             simulator); memory {}",
            megabytes(circle.memory_peak_bytes)
        )?;
    }
    writeln!(
        text,
        "  the bridge in memory: {:.0} messages/s, {} statuses out of order, {:.2} ms of processor time a message, {}",
        rival.messages_per_second,
        rival.statuses_out_of_order,
        rival.cpu_ms_per_message.unwrap_or_default(),
        megabytes(rival.memory_peak_bytes)
    )?;
    let ratios: Vec<String> = compared.rounds.iter().map(|round| format!("{:.2}", round.ratio())).collect();
    writeln!(text, "  {} of it in the rounds", ratios.join(", "))?;
    match compared.other_rival_by_ours() {
        Some(ratio) => writeln!(text, "  the other bridge: {ratio:.2} of the bridge in memory"),
        None => Ok(()),
    }
}

fn write_load(text: &mut String, name: &str, load: &LoadFigures, ratio: Option<f64>) -> std::fmt::Result {
    let ratio = ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
    writeln!(
        text,
        "  {name:<32}{:>11.0}{ratio:>8}{:>9.2}{:>9.1}{:>9.1}{:>9.1}{:>8}{:>8}",
        load.requests_per_second,
        load.p50_ms,
        load.p99_ms,
        load.p999_ms,
        load.max_ms,
        load.not_successful,
        load.over_one_second
    )
}

pub(super) fn megabytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "unknown".to_owned(), |bytes| format!("{} MB", bytes / 1_000_000))
}

/// Two digits after the point where they matter.
fn short(number: f64) -> String {
    if number.fract() == 0.0 || number >= 100.0 { format!("{number:.0}") } else { format!("{number:.2}") }
}

#[cfg(test)]
mod tests {
    use super::{
        super::circle::{CircleRound, RivalFigures},
        *,
    };

    fn load(requests_per_second: f64, over_one_second: u64) -> LoadFigures {
        LoadFigures { requests_per_second, over_one_second, p99_ms: 10.0, ..LoadFigures::default() }
    }

    fn report(accepted_per_second: f64, circle_per_second: f64, row_writes: f64) -> Report {
        let accepts = AcceptFigures::new(64, load(90_000.0, 0), load(20_000.0, 0), load(accepted_per_second, 2), None);
        let round = CircleRound {
            rival: RivalFigures { messages_per_second: 1_000.0, ..RivalFigures::default() },
            bridge: CircleFigures {
                messages_per_second: circle_per_second,
                row_writes_per_message: row_writes,
                ..CircleFigures::default()
            },
            other_rival: None,
        };
        let figures = Figures {
            circles: vec![CircleComparison { connections: 64, rounds: vec![round] }],
            accepts: vec![accepts],
            ..Figures::default()
        };
        let machine = Machine { cores: 2, processor: None, fsync_ms: Some(0.06) };
        Report::new(machine, "sqlite", figures)
    }

    #[test]
    fn each_target_has_a_verdict_that_says_by_how_much_it_was_missed() {
        let report = report(9_000.0, 1_200.0, 12.5);

        let text = report.for_people();

        let verdict = |part: &str| text.lines().rfind(|line| line.contains(part)).unwrap_or_default().to_owned();
        assert!(verdict("  accepts at 64 connections, as a multiple").contains("MISSED by 0.05"), "{text}");
        assert!(verdict("share of the bare").contains("MISSED by 0.05"), "{text}");
        assert!(verdict("more than a second").contains("MISSED by 2"), "{text}");
        assert!(verdict("whole circle at 64 connections, as a multiple").trim_start().starts_with("met"), "{text}");
        assert!(verdict("row writes a message at 64 connections:").contains("MISSED by 0.50"), "{text}");
        assert!(!report.all_met());
    }

    #[test]
    fn what_is_reached_exactly_is_met() {
        let report = report(13_500.0, 1_000.0, 12.0);
        assert_eq!(report.targets.iter().filter(|target| !target.met).count(), 1, "only the slow answers");
    }
}
