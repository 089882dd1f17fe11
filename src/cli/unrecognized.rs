//! `wabridge unrecognized`: what was kept because it could not be read or matched.

use std::{fmt::Write as _, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use wabridge::{
    app::open_existing_store,
    clock,
    net::redact,
    settings::Settings,
    store::{
        configuration::Configuration,
        unrecognized::{KeptFilter, KeptGroup, KeptKind, KeptPart},
    },
};

use super::{answer, answer_json, exit, not_found};

const EXAMPLES: &str = "\
Examples:
  wabridge unrecognized                          one line for each reason, with a count
  wabridge unrecognized --since 1d --each        the parts of the last day, one by one
  wabridge unrecognized --reason hologram --full what such a part looks like, as it came
  wabridge unrecognized --each --before 7301…    the next page

A webhook is always answered with 200 when it is stored, also when parts of it mean nothing to this version: those lie here
until retention.unrecognized is over. A parked status belongs to a message that another system sent from the same
number, or that became known a moment later. Ends with 3 when nothing is there.";

/// Show parts of webhooks that could not be read, and statuses whose message is not known
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UnrecognizedArguments {
    /// Only what came within this time, such as 6h or 7d
    #[arg(long, value_parser = humantime_serde::re::humantime::parse_duration)]
    since: Option<Duration>,
    /// Only of this connection
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    /// Only where the reason contains this
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// One by one, the newest first, instead of one line for each reason
    #[arg(long)]
    each: bool,
    /// One by one with the part itself, and with telephone numbers
    #[arg(long)]
    full: bool,
    /// Only parts older than this one, as the last line of a page says
    #[arg(long, value_name = "PART")]
    before: Option<i64>,
    /// At most so many lines
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=LINES_MAX))]
    limit: u64,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

/// More do not fit into a person's day; a script takes pages.
const LINES_MAX: u64 = 10_000;

#[derive(Serialize)]
struct GroupLine {
    kind: &'static str,
    connection: String,
    reason: String,
    parts: i64,
    oldest: String,
    newest: String,
    example_pointer: String,
}

#[derive(Serialize)]
struct PartLine {
    part: i64,
    at: String,
    kind: &'static str,
    connection: String,
    pointer: String,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<String>,
}

pub(crate) async fn unrecognized(settings: &Settings, arguments: &UnrecognizedArguments) -> anyhow::Result<ExitCode> {
    let store = open_existing_store(settings).await?;
    let configuration = store.load_configuration().await?;
    let filter = filter(&configuration, arguments)?;
    let limit = usize::try_from(arguments.limit).context("the limit is small")?;
    let each = arguments.each || arguments.full || arguments.before.is_some();
    let found = if each {
        let parts = store.kept_parts(&filter, limit).await?;
        let lines: Vec<_> = parts.iter().map(|part| part_line(&configuration, part, arguments.full)).collect();
        if arguments.json {
            answer_json(&lines)?
        } else {
            answer(&parts_text(&lines, limit)?)?
        }
        lines.len()
    } else {
        let groups = store.kept_groups(&filter, limit).await?;
        let lines: Vec<_> = groups.iter().map(|group| group_line(&configuration, group)).collect();
        if arguments.json {
            answer_json(&lines)?
        } else {
            answer(&groups_text(&lines)?)?
        }
        lines.len()
    };
    Ok(if found == 0 { ExitCode::from(exit::NOTHING_FOUND) } else { ExitCode::SUCCESS })
}

fn filter(configuration: &Configuration, arguments: &UnrecognizedArguments) -> anyhow::Result<KeptFilter> {
    let named = |id: &String| {
        let connection = configuration.connections.iter().find(|connection| connection.id == *id);
        connection
            .map(|connection| connection.key)
            .ok_or_else(|| not_found(format!("there is no connection {id}; `wabridge status` lists them")))
    };
    Ok(KeptFilter {
        since: arguments.since.map(|age| clock::now().minus(age)),
        connection: arguments.connection.as_ref().map(named).transpose()?,
        reason: arguments.reason.clone(),
        before: arguments.before,
    })
}

fn group_line(configuration: &Configuration, group: &KeptGroup) -> GroupLine {
    GroupLine {
        kind: group.kind.as_str(),
        connection: connection_name(configuration, group.connection),
        reason: redact::text(&group.reason),
        parts: group.parts,
        oldest: group.oldest.to_string(),
        newest: group.newest.to_string(),
        example_pointer: pointer(group.kind, &group.example_pointer, false),
    }
}

fn part_line(configuration: &Configuration, part: &KeptPart, full: bool) -> PartLine {
    PartLine {
        part: part.id,
        at: part.at.to_string(),
        kind: part.kind.as_str(),
        connection: connection_name(configuration, part.connection),
        pointer: pointer(part.kind, &part.pointer, full),
        reason: if full { part.reason.clone() } else { redact::text(&part.reason) },
        entry: full.then(|| part.entry.clone()),
    }
}

/// Where in its webhook a part stood. Of a parked status our own reading lies in that place, with the provider's id.
fn pointer(kind: KeptKind, pointer: &str, full: bool) -> String {
    match kind {
        KeptKind::Parked if !full => "a status".to_owned(),
        KeptKind::Parked | KeptKind::Unread if pointer.is_empty() => "the whole body".to_owned(),
        KeptKind::Parked | KeptKind::Unread => pointer.to_owned(),
    }
}

fn connection_name(configuration: &Configuration, key: wabridge::domain::ids::ConnectionKey) -> String {
    let connection = configuration.connection_by_key(key);
    connection.map_or_else(|| "?".to_owned(), |connection| connection.id.clone())
}

fn groups_text(lines: &[GroupLine]) -> anyhow::Result<String> {
    let mut text = String::new();
    for line in lines {
        writeln!(text, "{:>8}  {} through {}: {}", line.parts, line.kind, line.connection, line.reason)?;
        writeln!(text, "          {} to {}, for example {}", line.oldest, line.newest, line.example_pointer)?;
    }
    if lines.is_empty() {
        text.push_str("nothing lies aside\n");
    }
    Ok(text)
}

fn parts_text(lines: &[PartLine], limit: usize) -> anyhow::Result<String> {
    let mut text = String::new();
    for line in lines {
        writeln!(text, "{}  {}  {} through {}: {}", line.part, line.at, line.kind, line.connection, line.reason)?;
        writeln!(text, "    at {}", line.pointer)?;
        if let Some(entry) = &line.entry {
            writeln!(text, "    {entry}")?;
        }
    }
    match lines.last() {
        None => text.push_str("nothing lies aside\n"),
        Some(last) if lines.len() == limit => writeln!(text, "there may be more: --before {}", last.part)?,
        Some(_) => {}
    }
    Ok(text)
}
