//! What was measured, against what is wanted, for people and for machines.

use std::fmt::Write as _;

use serde::Serialize;

use super::{circle::CircleFigures, load::LoadFigures};

/// Accepts as a share of what the bare handler takes.
const ACCEPT_SHARE_MIN: f64 = 0.15;
const CIRCLE_MESSAGES_PER_SECOND_MIN: f64 = 1000.0;
/// Rows for a message with three statuses.
const ROW_WRITES_PER_MESSAGE_MAX: f64 = 12.0;

/// What the bare handler does, for those who compare.
const BARE_HANDLER: &str = "actix-web, reads the same body into typed structs with serde, checks and stores nothing";

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    /// `sqlite` or `postgres`.
    pub(super) database: &'static str,
    pub(super) bare_handler: &'static str,
    pub(super) circle: CircleFigures,
    pub(super) accepts: Vec<AcceptFigures>,
    /// Of the bridge, when all was done.
    pub(super) memory_peak_bytes: Option<u64>,
    pub(super) targets: Vec<Target>,
}

#[derive(Debug, Serialize)]
pub(super) struct Machine {
    pub(super) cores: usize,
    pub(super) processor: Option<String>,
    /// Writing 4 KiB to the end of a file in the bench's folder, and waiting for the disk.
    pub(super) fsync_ms: Option<f64>,
}

/// Accepts at one number of connections.
#[derive(Debug, Serialize)]
pub(super) struct AcceptFigures {
    pub(super) connections: usize,
    pub(super) bare: LoadFigures,
    pub(super) bridge: LoadFigures,
    /// Requests a second, the bridge's by the bare handler's.
    pub(super) ratio: f64,
    pub(super) bridge_cpu_us_per_answer: Option<f64>,
}

impl AcceptFigures {
    pub(super) fn new(connections: usize, bare: LoadFigures, bridge: LoadFigures, cpu_us: Option<f64>) -> Self {
        let ratio = bridge.requests_per_second / bare.requests_per_second.max(1e-6);
        let bridge_cpu_us_per_answer = cpu_us.map(|cpu_us| cpu_us / (bridge.answers.max(1) as f64));
        Self { connections, bare, bridge, ratio, bridge_cpu_us_per_answer }
    }
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
    fn at_least(what: String, wanted: f64, measured: f64) -> Self {
        Self { what, wanted, measured, met: measured >= wanted, missed_by: (wanted - measured).max(0.0) }
    }

    fn at_most(what: String, wanted: f64, measured: f64) -> Self {
        Self { what, wanted, measured, met: measured <= wanted, missed_by: (measured - wanted).max(0.0) }
    }
}

impl Report {
    pub(super) fn new(
        machine: Machine,
        database: &'static str,
        circle: CircleFigures,
        accepts: Vec<AcceptFigures>,
        memory_peak_bytes: Option<u64>,
    ) -> Self {
        let targets = targets(&circle, &accepts);
        Self { machine, database, bare_handler: BARE_HANDLER, circle, accepts, memory_peak_bytes, targets }
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
        self.write_circle(text)?;
        writeln!(text, "\nTargets")?;
        for target in &self.targets {
            let verdict = if target.met { "met".to_owned() } else { format!("MISSED by {}", short(target.missed_by)) };
            writeln!(
                text,
                "  {verdict:<16} {}: {} (wanted: {})",
                target.what,
                short(target.measured),
                short(target.wanted)
            )?;
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
        writeln!(text, "Bare handler: {}.", self.bare_handler)?;
        writeln!(text, "Load: kept connections, each sends its next message when the last one is answered.")
    }

    fn write_accepts(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "\n{:<34}{:>11}{:>8}{:>9}{:>9}{:>9}{:>9}{:>8}{:>8}",
            "Accepts", "requests/s", "ratio", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "failed", "over 1s"
        )?;
        for accepts in &self.accepts {
            let name = |of: &str| format!("{of}, {} connections", accepts.connections);
            write_load(text, &name("bare handler"), &accepts.bare, None)?;
            write_load(text, &name("wabridge"), &accepts.bridge, Some(accepts.ratio))?;
            if let Some(cpu_us) = accepts.bridge_cpu_us_per_answer {
                writeln!(text, "  {cpu_us:.0} \u{b5}s of processor time for each")?;
            }
        }
        Ok(())
    }

    fn write_circle(&self, text: &mut String) -> std::fmt::Result {
        let circle = &self.circle;
        writeln!(
            text,
            "\nThe whole circle: {} messages in {:.1} s, {:.0} messages/s (accepted at {} connections, sent, three status \
             webhooks each, relayed)",
            circle.messages,
            circle.seconds,
            circle.messages_per_second,
            super::circle::CONNECTIONS
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
            writeln!(
                text,
                "  {bridge:.2} ms of processor time a message in the bridge (for comparison, {simulator:.2} ms in the simulator)"
            )?;
        }
        let megabytes = |bytes: Option<u64>| {
            bytes.map_or_else(|| "unknown".to_owned(), |bytes| format!("{} MB", bytes / 1_000_000))
        };
        writeln!(
            text,
            "  resident memory of the bridge at its peak: {}; after all phases {}",
            megabytes(circle.memory_peak_bytes),
            megabytes(self.memory_peak_bytes)
        )?;
        for (count, what) in [
            (circle.accepts.not_successful, "messages were not accepted"),
            (circle.webhooks_refused, "webhooks were refused at first and came again"),
            (circle.sent_twice, "MESSAGES WERE SENT TWICE"),
            (circle.statuses_out_of_order, "STATUSES WERE RELAYED OUT OF ORDER"),
            (circle.callbacks_misshapen, "CALLBACKS HAD A WRONG SHAPE"),
        ] {
            if count > 0 {
                writeln!(text, "  {count} {what}")?;
            }
        }
        let failure = self.accepts.iter().map(|accepts| &accepts.bridge).chain([&circle.accepts]);
        if let Some(failure) = failure.filter_map(|load| load.failure.as_deref()).next() {
            writeln!(text, "  a request that failed: {failure}")?;
        }
        Ok(())
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

fn targets(circle: &CircleFigures, accepts: &[AcceptFigures]) -> Vec<Target> {
    let mut targets: Vec<Target> = accepts
        .iter()
        .map(|accepts| {
            let what =
                format!("accepts at {} connections, as a share of the bare handler\u{2019}s", accepts.connections);
            Target::at_least(what, ACCEPT_SHARE_MIN, accepts.ratio)
        })
        .collect();
    let loads = || accepts.iter().map(|accepts| &accepts.bridge).chain([&circle.accepts]);
    let slow: u64 = loads().map(|load| load.over_one_second).sum();
    let failed: u64 = loads().map(|load| load.not_successful).sum();
    targets.extend([
        Target::at_most("answers after more than a second".to_owned(), 0.0, slow as f64),
        Target::at_most("requests not accepted".to_owned(), 0.0, failed as f64),
        Target::at_least(
            "whole circle, messages a second".to_owned(),
            CIRCLE_MESSAGES_PER_SECOND_MIN,
            circle.messages_per_second,
        ),
        Target::at_most("row writes a message".to_owned(), ROW_WRITES_PER_MESSAGE_MAX, circle.row_writes_per_message),
    ]);
    targets
}

/// Two digits after the point where they matter.
fn short(number: f64) -> String {
    if number.fract() == 0.0 || number >= 100.0 { format!("{number:.0}") } else { format!("{number:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(requests_per_second: f64, over_one_second: u64) -> LoadFigures {
        LoadFigures { requests_per_second, over_one_second, ..LoadFigures::default() }
    }

    fn report(accepted_per_second: f64, circle_per_second: f64, row_writes: f64) -> Report {
        let circle = CircleFigures {
            messages_per_second: circle_per_second,
            row_writes_per_message: row_writes,
            ..CircleFigures::default()
        };
        let accepts = vec![AcceptFigures::new(64, load(50_000.0, 0), load(accepted_per_second, 2), None)];
        let machine = Machine { cores: 2, processor: None, fsync_ms: Some(0.06) };
        Report::new(machine, "sqlite", circle, accepts, None)
    }

    #[test]
    fn each_target_has_a_verdict_that_says_by_how_much_it_was_missed() {
        let report = report(5_000.0, 1_200.0, 12.5);

        let text = report.for_people();

        let verdict = |part: &str| text.lines().rfind(|line| line.contains(part)).unwrap_or_default().to_owned();
        assert!(verdict("share of the bare").contains("MISSED by 0.05"), "{text}");
        assert!(verdict("more than a second").contains("MISSED by 2"), "{text}");
        assert!(verdict("messages a second").trim_start().starts_with("met"), "{text}");
        assert!(verdict("row writes a message:").contains("MISSED by 0.50"), "{text}");
        assert!(!report.all_met());
    }

    #[test]
    fn what_is_reached_exactly_is_met() {
        let report = report(7_500.0, 1_000.0, 12.0);
        assert_eq!(report.targets.iter().filter(|target| !target.met).count(), 1, "only the slow answers");
    }
}
