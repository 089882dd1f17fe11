//! `wabridge check`: tests the configuration against the outside.

use std::{
    io::{IsTerminal as _, Write as _},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;
use wabridge::{
    app::{collector, provider_exchange},
    clock,
    domain::{
        finding::{Finding, Level, Repair},
        words::few,
    },
    services::check::{Checker, Progress, SERVER, Scope, check_machine, repairs},
    settings::Settings,
};

use super::{answer, answer_json, counted, exit, not_found, report};

/// Test the configuration against the outside, and say what to mend
///
/// Looks at the database and how durable it is, the master key, the disk and the clock; asks each provider about credentials,
/// numbers, templates and webhooks; asks our own webhook URL about itself, through server.public_url; asks the
/// servers of callback URLs for their front pages, and the collector of traces whether it takes any. It sends no message and no callback, and works with a running server and without one.
///
/// It is about what was set up. What happened to messages and callbacks since (dead callbacks, paused templates, notices) is the
/// matter of `wabridge status --exit-code`; check only says when there is something of that.
///
/// ✓ is right, ! is doubtful, ✗ is wrong, – could not be checked before something else is mended. Ends with 4 when something is wrong, else with 0.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wabridge check                        everything
  wabridge check --account acme         one account, with its numbers and their connections
  wabridge check --offline              only this machine and the database
  wabridge check --repair               offer to send webhooks here, then check again
  wabridge check --json | jq '.findings[] | select(.level == \"wrong\")'

Exit codes: 0 nothing is wrong; 3 there is no such account or connection; 4 something is wrong.
--json prints: wrong, doubtful (counts), findings (level, about, text, remedy; of a channel also topic and took_ms; repair with
the request that it would make), repaired (what, failure).")]
pub(crate) struct CheckArguments {
    /// Only this account, its numbers and their connections
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Only this connection and its numbers
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    /// Ask nobody outside
    #[arg(long)]
    offline: bool,
    /// Subscribe the app to business accounts, and bring webhooks that go elsewhere here. Shows what it will do and asks
    #[arg(long, conflicts_with = "offline")]
    repair: bool,
    /// Do not ask
    #[arg(long, requires = "repair")]
    yes: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    wrong: usize,
    doubtful: usize,
    findings: Vec<Finding>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    repaired: Vec<Repaired>,
}

#[derive(Serialize)]
struct Repaired {
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

/// Shows what is found as it is found.
struct Teller {
    bar: ProgressBar,
    silent: bool,
    findings: Vec<Finding>,
}

/// `file`: as the command line names it.
pub(crate) async fn check(
    (settings, file): (&Settings, Option<&Path>),
    arguments: &CheckArguments,
) -> anyhow::Result<ExitCode> {
    let mut teller = Teller::new(arguments.json);
    teller.tell(Progress::Found(Finding::fine(SETTINGS, sources(file))));
    let found = check_machine(settings, &mut |progress| teller.tell(progress)).await;
    let Some((store, configuration)) = found else { return teller.finish(vec![]) };
    ensure_known("account", arguments.account.as_deref(), configuration.accounts.iter().map(|account| &account.id))?;
    let connections = configuration.connections.iter().map(|connection| &connection.id);
    ensure_known("connection", arguments.connection.as_deref(), connections)?;
    let scope = Scope {
        account: arguments.account.clone(),
        connection: arguments.connection.clone(),
        number: None,
        offline: arguments.offline,
    };
    let exchange = provider_exchange(settings)?;
    let collector = collector(settings)?;
    let checker = Checker { settings, store: &store, exchange, collector, configuration, scope };
    checker.run(&mut |progress| teller.tell(progress)).await;

    let mut repaired = Vec::new();
    if arguments.repair {
        teller.rest();
        let repairs = repairs(&teller.findings);
        if repairs.is_empty() {
            teller.say("\nThere is nothing that could be repaired from here.\n")?;
        } else if arguments.yes || consent(&mut teller, &repairs)? {
            repaired = repair(&checker, &mut teller, &repairs).await?;
            teller.say("\nChecking again.\n")?;
            teller
                .findings
                .retain(|finding| [SETTINGS, "database", "master key", SERVER].contains(&finding.about.as_str()));
            checker.run(&mut |progress| teller.tell(progress)).await;
        }
    }
    if arguments.account.is_none() && arguments.connection.is_none() {
        let status = report::gather(&store, &checker.configuration, settings, clock::now()).await?;
        teller.tell(Progress::Found(of_status(&status.needs_attention)));
    }
    teller.finish(repaired)
}

const SETTINGS: &str = "settings";

/// Who reads the last line alone must not be fooled.
const NO_SERVER: &str = " No server was seen on this database: is it the one that your server uses?";

/// With what this command works, so that nobody takes it for what the server works with.
fn sources(file: Option<&Path>) -> String {
    let file = match Settings::file_read(file) {
        Some(path) => std::path::absolute(&path).unwrap_or(path).display().to_string(),
        None => {
            let here = std::env::current_dir().unwrap_or_default();
            format!("no file (there is no wabridge.toml in {})", here.display())
        }
    };
    let variables = Settings::variables_read();
    let variables = few(variables.iter().map(String::as_str)).unwrap_or_else(|| "none".to_owned());
    format!("from {file}; environment variables: {variables}; everything else by default")
}

/// Of what `wabridge status` would have a person look at.
const ATTENTION_SHOWN_MAX: usize = 3;

/// What the other command finds is told here, and judged there.
fn of_status(needs_attention: &[String]) -> Finding {
    match needs_attention {
        [] => Finding::fine("status", "nothing needs a person"),
        [_, ..] => {
            let things = counted(needs_attention.len(), "thing needs", "things need");
            let some = needs_attention.iter().take(ATTENTION_SHOWN_MAX).cloned().collect::<Vec<_>>().join("; ");
            let text = format!("{things} a person, such as: {some}");
            Finding::doubtful(
                "status",
                text,
                "look at `wabridge status`, which ends with 4 by --exit-code for as long as it is so",
            )
        }
    }
}

fn ensure_known<'a>(
    what: &str,
    wanted: Option<&str>,
    mut known: impl Iterator<Item = &'a String>,
) -> anyhow::Result<()> {
    let Some(wanted) = wanted else { return Ok(()) };
    let missing = || not_found(format!("there is no {what} {wanted}; `wabridge status` lists them"));
    if known.any(|id| id == wanted) { Ok(()) } else { Err(missing()) }
}

/// Asks on the terminal.
fn consent(teller: &mut Teller, repairs: &[Repair]) -> anyhow::Result<bool> {
    let shown =
        |repair: &Repair| format!("  - {}\n    {} {}\n", repair.what, repair.request.method, repair.request.url);
    let list: String = repairs.iter().map(shown).collect();
    let question = format!("\nThis would be done at the provider:\n{list}");
    if teller.silent || !std::io::stdin().is_terminal() {
        eprintln!("{question}Nobody can be asked here: run it again with --yes to do it.");
        return Ok(false);
    }
    eprint!("{question}Do it? [y/N] ");
    std::io::stderr().flush().context("could not ask")?;
    let mut said = String::new();
    std::io::stdin().read_line(&mut said).context("could not read the answer")?;
    Ok(["y", "yes"].contains(&said.trim().to_lowercase().as_str()))
}

async fn repair(checker: &Checker<'_>, teller: &mut Teller, repairs: &[Repair]) -> anyhow::Result<Vec<Repaired>> {
    let mut repaired = Vec::new();
    for repair in repairs {
        let failure = checker.repair(repair).await.err();
        match &failure {
            None => teller.say(&format!("✓ done: {}\n", repair.what))?,
            Some(why) => teller.say(&format!("✗ not done: {}\n    {why}\n", repair.what))?,
        }
        repaired.push(Repaired { what: repair.what.clone(), failure });
    }
    Ok(repaired)
}

impl Teller {
    fn new(silent: bool) -> Self {
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar, silent, findings: Vec::new() }
    }

    fn tell(&mut self, progress: Progress) {
        match progress {
            Progress::Looking(at) => self.bar.set_message(format!("looking at {at}")),
            Progress::Found(finding) => {
                let text = self.bar.suspend(|| if self.silent { Ok(()) } else { answer(&line(&finding)) });
                // Whoever closed the pipe wants no more of it; the exit code still counts.
                self.silent |= text.is_err();
                self.findings.push(finding);
            }
        }
    }

    fn say(&self, text: &str) -> anyhow::Result<()> {
        if self.silent { Ok(()) } else { self.bar.suspend(|| answer(text)) }
    }

    fn rest(&self) {
        self.bar.set_message("");
    }

    fn finish(self, repaired: Vec<Repaired>) -> anyhow::Result<ExitCode> {
        self.bar.finish_and_clear();
        let count = |level| self.findings.iter().filter(|finding| finding.level == level).count();
        let (wrong, doubtful) = (count(Level::Wrong), count(Level::Doubtful));
        if self.silent {
            answer_json(&Report { wrong, doubtful, findings: self.findings, repaired })?;
        } else {
            let unseen = self.findings.iter().any(|one| one.about == SERVER && one.level != Level::Fine);
            let doubt = if unseen { NO_SERVER } else { "" };
            answer(&format!("\n{}{doubt}\n", sum(wrong, doubtful)))?;
        }
        Ok(if wrong > 0 { ExitCode::from(exit::NEEDS_ATTENTION) } else { ExitCode::SUCCESS })
    }
}

fn line(finding: &Finding) -> String {
    let mark = match finding.level {
        Level::Fine => '✓',
        Level::Doubtful => '!',
        Level::Wrong => '✗',
        Level::NotChecked => '–',
    };
    let remedy = finding.remedy.as_ref().map_or_else(String::new, |remedy| format!("    → {remedy}\n"));
    format!("{mark} {}: {}\n{remedy}", finding.about, finding.text)
}

fn sum(wrong: usize, doubtful: usize) -> String {
    match (wrong, doubtful) {
        (0, 0) => "Everything is right.".to_owned(),
        (0, doubtful) => format!("Nothing is wrong; doubtful: {doubtful}."),
        (wrong, 0) => format!("Wrong: {wrong}."),
        (wrong, doubtful) => format!("Wrong: {wrong}; doubtful: {doubtful}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_so_and_what_to_do() {
        assert_eq!(line(&Finding::fine("clock", "right")), "✓ clock: right\n");
        assert_eq!(line(&Finding::wrong("clock", "late", "wind it")), "✗ clock: late\n    → wind it\n");
        assert_eq!(sum(2, 1), "Wrong: 2; doubtful: 1.");
        assert_eq!(sum(0, 0), "Everything is right.");
    }
}
