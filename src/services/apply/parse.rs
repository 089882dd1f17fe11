//! The apply file as a whole: its sections, and what may stand in it once only. Pure.
//!
//! A mistake in one place hides none in another: whatever can be known is told in one round.

use std::collections::HashMap;

use toml::de::DeTable;

use super::{
    ApplyFile, ApplyProblem,
    accounts::parse_account,
    connections::parse_connection,
    reading::{Reading, Section},
    webhooks::parse_webhook,
};
use crate::{
    platforms,
    providers::{self, SettingField},
    services::webhooks::Allowed,
    settings::Retention,
};

/// What the meaning of a file depends on.
pub struct Surroundings<'a> {
    /// The value of an environment variable.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    pub allowed: Allowed,
    /// For how long the server keeps what an account may have forgotten sooner.
    pub ages: &'a Retention,
    /// The providers that there are, and the settings of a connection to each.
    pub providers: Vec<(&'static str, &'static [SettingField])>,
    pub platforms: Vec<&'static str>,
}

impl<'a> Surroundings<'a> {
    /// With the providers and platforms of this build.
    pub fn new(environment: &'a dyn Fn(&str) -> Option<String>, allowed: Allowed, ages: &'a Retention) -> Self {
        Self {
            environment,
            allowed,
            ages,
            providers: providers::ALL.iter().map(|provider| (provider.slug(), provider.settings())).collect(),
            platforms: platforms::ALL.iter().map(|platform| platform.slug()).collect(),
        }
    }
}

/// Understands a file, or says everything that is wrong with it. `file_name` stands in the problems.
pub fn parse(text: &str, file_name: &str, surroundings: &Surroundings<'_>) -> Result<ApplyFile, Vec<ApplyProblem>> {
    let (file, problems) = read(text, file_name, surroundings);
    if problems.is_empty() { Ok(file) } else { Err(problems) }
}

/// What could be understood of a file, and everything that is wrong with it.
pub fn read(text: &str, file_name: &str, surroundings: &Surroundings<'_>) -> (ApplyFile, Vec<ApplyProblem>) {
    let reading = Reading::new(text, file_name, surroundings.environment);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let offset = error.span().map_or(0, |span| span.start);
        reading.problem(offset, String::new(), format!("this is not TOML: {}", error.message()));
    }
    // Half a document would only make us complain of what is missing from it.
    let mut file = ApplyFile { file_name: file_name.to_owned(), ..ApplyFile::default() };
    if errors.is_empty() {
        parse_root(Section::new(&reading, String::new(), document.get_ref(), 0), surroundings, &mut file);
        check_repetitions(&file, &reading);
    }
    (file, reading.into_problems())
}

fn parse_root(mut root: Section<'_>, surroundings: &Surroundings<'_>, file: &mut ApplyFile) {
    for section in root.tables("connections") {
        parse_connection(section, surroundings, file);
    }
    for section in root.tables("accounts") {
        parse_account(section, surroundings, file);
    }
    for (name, section) in root.table("webhook").map(|mut all| all.named_tables()).unwrap_or_default() {
        parse_webhook(&name, section, surroundings, file);
    }
    root.finish();
}

/// The one that there is, when there is no choice.
pub(super) fn only<T>(all: &[T]) -> Option<&T> {
    match all {
        [one] => Some(one),
        [] | [_, _, ..] => None,
    }
}

/// The same thing stated twice: nobody can know which of them is meant.
fn check_repetitions(file: &ApplyFile, reading: &Reading<'_>) {
    let connections = file.connections.iter().map(|stated| (stated.line, stated.what.id.clone()));
    report_repetitions(reading, "connections.id", "this connection", connections);
    let accounts = file.accounts.iter().map(|stated| (stated.line, stated.what.id.clone()));
    report_repetitions(reading, "accounts.id", "this account", accounts);
    let numbers = file.senders.iter().map(|stated| (stated.line, stated.what.number.clone()));
    report_repetitions(reading, "accounts.senders.number", "this number", numbers);
    let provider_ids = file
        .senders
        .iter()
        .map(|stated| (stated.line, (stated.what.connection.clone(), stated.what.provider_number_id.clone())));
    report_repetitions(reading, "accounts.senders.phone_number_id", "this id of the same connection", provider_ids);
}

fn report_repetitions<K: std::hash::Hash + Eq>(
    reading: &Reading<'_>,
    field: &str,
    what: &str,
    stated: impl Iterator<Item = (usize, K)>,
) {
    let mut seen = HashMap::new();
    for (line, key) in stated {
        if let Some(first) = seen.get(&key) {
            let message = format!("{what} stands on line {first} already: remove one of them");
            reading.problem_on_line(line, field.to_owned(), message);
        } else {
            seen.insert(key, line);
        }
    }
}
