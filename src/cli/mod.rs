//! The commands, one file each.

pub(crate) mod alarm;
pub(crate) mod apply;
pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod demo;
pub(crate) mod export;
pub(crate) mod forget;
pub(crate) mod hold;
mod json;
pub(crate) mod message;
pub(crate) mod person;
mod progress;
pub(crate) mod queue;
pub(crate) mod replay;
mod report;
pub(crate) mod restore;
pub(crate) mod rotate_key;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod suppress;
pub(crate) mod sync;
pub(crate) mod unrecognized;
mod when;

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::Context as _;

/// How commands end, for scripts. clap ends with 2 when the command line is wrong.
pub(crate) mod exit {
    /// What was asked for does not exist, or nothing matched.
    pub(crate) const NOTHING_FOUND: u8 = 3;
    /// It was looked at, and something needs a person.
    pub(crate) const NEEDS_ATTENTION: u8 = 4;
}

/// What was asked for with `--json`, as one document on standard output.
pub(crate) fn answer_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value).context("could not write the answer as JSON")?;
    text.push('\n');
    answer(&text)
}

/// What was asked for goes to standard output, everything else to standard error.
pub(crate) fn answer(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("could not write the answer")
}

/// Asks on the terminal whether to go on; only a yes is one. Without a terminal nobody can say so.
pub(crate) fn confirm(question: &str) -> anyhow::Result<bool> {
    anyhow::ensure!(std::io::stdin().is_terminal(), "nobody is there to confirm it: say so with --yes");
    eprint!("{question} [y/N] ");
    std::io::stderr().flush().context("could not ask")?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("could not read the answer")?;
    Ok(matches!(line.trim().to_lowercase().as_str(), "y" | "yes"))
}
