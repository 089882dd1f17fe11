//! `wabridge export`: messages and campaigns, for spreadsheets and other programs.

pub(super) mod table;

use std::{
    fs::OpenOptions,
    io::{BufWriter, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use wabridge::{
    app::open_existing_store,
    domain::{ids::MessageId, outbound::SendState, status::DeliveryStatus, time::UnixMillis},
    services::export::{self, CAMPAIGN_COLUMNS, ExportError, MESSAGE_COLUMNS, Wanted},
    settings::Settings,
    store::{Store, configuration::Configuration, export::MessageFilter},
};

use self::table::Table;
use super::{answer, counted, exit, known_account, known_number, when};

/// Write messages or campaigns as CSV or JSON lines
///
/// Read page by page beside a running server, whatever their number. Times are UTC. In CSV a text that a spreadsheet would
/// take for a formula (it begins with = + - @, a tab or a line break) gets an apostrophe in front; --json changes nothing.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wabridge export messages --since 7d --account acme > week.csv
  wabridge export messages --campaign 1790000000 --state failed --full --output failed.csv
  wabridge export campaigns --since 30d --json | jq .

Exit codes: 0 written; 1 failed; 3 nothing matched (the header is written all the same), or there is no such account or number.
The columns are in the help of each: `wabridge export messages --help`.")]
pub(crate) struct ExportArguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// One row for each accepted message, in order of acceptance
    #[command(after_help = columns(&MESSAGE_COLUMNS))]
    Messages(Filters),
    /// One row for each run of a campaign: how far its messages came
    #[command(after_help = columns(&CAMPAIGN_COLUMNS))]
    Campaigns(Filters),
}

#[derive(Args)]
struct Filters {
    /// Only of this account
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Only from this business number
    #[arg(long, value_name = "NUMBER")]
    number: Option<String>,
    /// Only of this campaign: the second part of CleverTap’s msgId
    #[arg(long, value_name = "ID")]
    campaign: Option<String>,
    /// Only of this template, as WhatsApp spells its name
    #[arg(long, value_name = "NAME")]
    template: Option<String>,
    /// Only those that stand so: queued, sending, submitted, rejected, unknown, expired, cancelled; or by WhatsApp’s best
    /// news: sent, failed, delivered, read
    #[arg(long, value_parser = standing)]
    state: Option<Standing>,
    /// Accepted from this time on: 2026-11-20, 2026-11-20T10:00:00Z, or how long ago: 90m, 6h, 7d
    #[arg(long, value_name = "TIME", value_parser = when::moment)]
    since: Option<UnixMillis>,
    /// Accepted before this time, written as for --since
    #[arg(long, value_name = "TIME", value_parser = when::moment)]
    until: Option<UnixMillis>,
    /// Recipients as whole numbers
    #[arg(long)]
    full: bool,
    /// Write to this file, which must not exist, and show how far it is [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// One JSON document a line instead of CSV
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy)]
enum Standing {
    State(SendState),
    Delivery(DeliveryStatus),
}

fn standing(text: &str) -> Result<Standing, String> {
    const CODES: std::ops::Range<i16> = 0..32;
    let state = CODES.filter_map(SendState::from_code).find(|state| state.as_str() == text).map(Standing::State);
    let delivery = || CODES.filter_map(DeliveryStatus::from_code).find(|status| status.as_str() == text);
    state.or_else(|| delivery().map(Standing::Delivery)).ok_or_else(|| {
        "choose one of queued, sending, submitted, rejected, unknown, expired, cancelled, sent, failed, delivered, read"
            .to_owned()
    })
}

fn columns(columns: &[(&str, &str)]) -> String {
    let width = columns.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: String = columns.iter().map(|(name, what)| format!("  {name:width$}  {what}\n")).collect();
    format!("Columns:\n{lines}")
}

pub(crate) async fn export(settings: &Settings, arguments: &ExportArguments) -> anyhow::Result<ExitCode> {
    let store = open_existing_store(settings).await?;
    let configuration = store.load_configuration().await?;
    let (filters, columns): (&Filters, &[(&str, &str)]) = match &arguments.what {
        What::Messages(filters) => (filters, &MESSAGE_COLUMNS),
        What::Campaigns(filters) => (filters, &CAMPAIGN_COLUMNS),
    };
    let wanted = wanted(&configuration, filters)?;
    let bar = bar(&store, filters).await?;
    let watch = |last: MessageId| bar.set_position(last.made_at().0.unsigned_abs());
    let mut table = Table::new(new_file_or_output(filters.output.as_deref())?, columns, filters.json);
    let written = match table.head() {
        Err(error) => Err(ExportError::Writing(error)),
        Ok(()) => match &arguments.what {
            What::Messages(_) => {
                export::messages(&store, &configuration, &wanted, &mut |row| table.row(&row), &watch).await
            }
            What::Campaigns(_) => {
                export::campaigns(&store, &configuration, &wanted, &mut |row| table.row(&row), &watch).await
            }
        },
    };
    let written = written.and_then(|count| table.finish().map(|()| count).map_err(ExportError::Writing));
    bar.finish_and_clear();
    let count = match written {
        // Whoever reads it has seen enough.
        Err(ExportError::Writing(error)) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
        written => written?,
    };
    if let Some(file) = &filters.output {
        let rows = counted(count, "row is", "rows are");
        answer(&format!("{rows} in {}\n", file.display()))?;
    }
    Ok(if count == 0 { ExitCode::from(exit::NOTHING_FOUND) } else { ExitCode::SUCCESS })
}

fn wanted(configuration: &Configuration, filters: &Filters) -> anyhow::Result<Wanted> {
    let account = match &filters.account {
        Some(id) => Some(known_account(configuration, id)?.key),
        None => None,
    };
    let sender = match &filters.number {
        Some(text) => Some(known_number(configuration, text)?.key),
        None => None,
    };
    let (state, delivery) = match filters.state {
        Some(Standing::State(state)) => (Some(state), None),
        Some(Standing::Delivery(delivery)) => (None, Some(delivery)),
        None => (None, None),
    };
    let filter = MessageFilter {
        account,
        sender,
        template: filters.template.clone(),
        state,
        delivery,
        since: filters.since,
        until: filters.until,
    };
    Ok(Wanted { filter, campaign: filters.campaign.clone(), full: filters.full })
}

/// How far it is, in time: ids are in order of acceptance.
async fn bar(store: &Store, filters: &Filters) -> anyhow::Result<ProgressBar> {
    let Some((first, last)) = store.message_span().await?.filter(|_| filters.output.is_some()) else {
        return Ok(ProgressBar::hidden());
    };
    let end = filters.until.map_or(last.made_at(), |until| until.min(last.made_at())).0.unsigned_abs();
    let start = filters.since.map_or(first.made_at(), |since| since.max(first.made_at())).0.unsigned_abs();
    let style = ProgressStyle::with_template("{bar:40} {percent} % {elapsed}");
    let bar = ProgressBar::new(end).with_position(start);
    bar.set_style(style.context("the template of the progress bar is wrong")?);
    Ok(bar)
}

/// A new file for its owner alone, or standard output.
pub(super) fn new_file_or_output(file: Option<&Path>) -> anyhow::Result<Box<dyn Write + Send>> {
    let Some(path) = file else { return Ok(Box::new(BufWriter::new(std::io::stdout()))) };
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => Ok(Box::new(BufWriter::new(file))),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} exists already: choose another name, or move it away", path.display())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("there is no folder for {}: make it, or name a file in another", path.display())
        }
        Err(error) => Err(error).with_context(|| format!("could not create {}", path.display())),
    }
}
