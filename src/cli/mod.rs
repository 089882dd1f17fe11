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
pub(crate) mod token;
pub(crate) mod unrecognized;
pub(crate) mod user;
pub(crate) mod webhook;
mod webhook_log;
mod when;

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::Context as _;
pub(crate) use wabridge::domain::words::counted;
use wabridge::{
    domain::{
        account::{Account, Sender},
        operator::Actor,
        phone::PhoneNumber,
    },
    store::configuration::Configuration,
};

/// How commands end, for scripts.
pub(crate) mod exit {
    /// The command line is wrong: what clap ends with, too.
    pub(crate) const USAGE: u8 = 2;
    /// What was asked for does not exist, or nothing matched.
    pub(crate) const NOTHING_FOUND: u8 = 3;
    /// It was looked at, and something needs a person.
    pub(crate) const NEEDS_ATTENTION: u8 = 4;
}

/// An error that scripts can tell from others by how the command ends.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Refusal {
    pub(crate) code: u8,
    text: String,
}

/// Somebody named what does not exist.
pub(crate) fn not_found(text: impl Into<String>) -> anyhow::Error {
    Refusal { code: exit::NOTHING_FOUND, text: text.into() }.into()
}

/// What must be said was left out, or cannot be meant.
pub(crate) fn misused(text: impl Into<String>) -> anyhow::Error {
    Refusal { code: exit::USAGE, text: text.into() }.into()
}

/// An account by the id that somebody gave.
pub(crate) fn known_account<'a>(configuration: &'a Configuration, id: &str) -> anyhow::Result<&'a Account> {
    let account = configuration.account(id);
    account.ok_or_else(|| not_found(format!("there is no account {id}; `wabridge status` lists them")))
}

/// A business number as somebody gave it.
pub(crate) fn known_number<'a>(configuration: &'a Configuration, text: &str) -> anyhow::Result<&'a Sender> {
    let number = PhoneNumber::from_international(text);
    let sender = number.and_then(|number| configuration.sender(&number));
    sender.ok_or_else(|| not_found(format!("there is no number {text}; `wabridge status` lists them")))
}

/// Who types, for the audit log.
pub(crate) fn this_user() -> Actor {
    let user = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER"));
    Actor::of_command_line(user.as_deref().unwrap_or("unknown"))
}

/// What a command did or found: a sentence for people, or one document for programs.
pub(crate) fn report(json: bool, text: &str, value: &impl serde::Serialize) -> anyhow::Result<()> {
    if json { answer_json(value) } else { answer(text) }
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
