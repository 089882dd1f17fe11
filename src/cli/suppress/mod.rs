//! `wabridge suppress`: who must not be sent to, by hand and by file.

mod lines;

use std::{
    io::{BufWriter, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use wabridge::{
    app::open_existing_store,
    clock,
    domain::{
        account::Account,
        phone::PhoneNumber,
        suppression::{PersonHash, REASON_CHARS_MAX, Scope, Source, Suppression},
    },
    settings::Settings,
    store::{Store, suppressions::Lift},
};

use self::lines::{BadLine, Lines, Listed};
use super::{answer, answer_json, exit, json::JsonWriter, progress};

/// Who must not be sent marketing messages, or any: add, remove, list, import, export
///
/// A request for a message to somebody on the list is refused with CleverTap's code 2003, and what was queued before
/// is reported as failed. A running server follows within seconds. People who stop marketing messages in
/// WhatsApp get onto the list by themselves, and off it when they resume them.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wabridge suppress add +919876500001 --reason 'asked by mail'
  wabridge suppress import optouts.csv --account acme
  mysql … | wabridge suppress import - --all-messages
  wabridge suppress list
  wabridge suppress export > list.csv

A file has one number a line, or is a CSV whose first column is the number; with a line of names at the top the columns
phone, scope (marketing or all) and reason are found by it. What `export` writes can be imported.

Ends with 3 when `remove` finds nobody, and with 4 when lines of a file could not be read.")]
pub(crate) struct SuppressArguments {
    #[command(subcommand)]
    what: What,
    /// The account's id; may be left out when there is only one
    #[arg(long, global = true, value_name = "ID")]
    account: Option<String>,
    /// Print the result as JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum What {
    /// Put people on the list
    Add {
        /// Telephone numbers, like +919876500001
        #[arg(required = true, value_name = "PHONE")]
        phones: Vec<String>,
        #[command(flatten)]
        entry: EntryArguments,
    },
    /// Take people off the list, whoever put them there
    Remove {
        /// Telephone numbers, like +919876500001
        #[arg(required = true, value_name = "PHONE")]
        phones: Vec<String>,
        /// Why, for those who look later
        #[arg(long, default_value = "removed by an operator")]
        reason: String,
    },
    /// Show who is on the list
    List {
        /// Show telephone numbers in full
        #[arg(long)]
        full: bool,
    },
    /// Put the people in a file on the list
    Import {
        /// The file; - reads standard input
        file: String,
        #[command(flatten)]
        entry: EntryArguments,
    },
    /// Print the list as CSV
    Export,
}

#[derive(Args)]
struct EntryArguments {
    /// Why, for those who are refused
    #[arg(long, default_value = "on the operator's list")]
    reason: String,
    /// Stop all messages, and not only marketing
    #[arg(long)]
    all_messages: bool,
}

/// People written in one transaction.
const PEOPLE_PER_STEP: usize = 1_000;
/// Lines that could not be read are counted beyond so many.
const BAD_LINES_SHOWN_MAX: usize = 100;

pub(crate) async fn suppress(settings: &Settings, arguments: &SuppressArguments) -> anyhow::Result<ExitCode> {
    let store = open_existing_store(settings).await?;
    let account = account(&store, arguments.account.as_deref()).await?;
    let list = List { store, account, json: arguments.json };
    match &arguments.what {
        What::Add { phones, entry } => list.add(phones, entry).await,
        What::Remove { phones, reason } => list.remove(phones, reason).await,
        What::List { full } => list.show(*full).await,
        What::Import { file, entry } => list.import(file, entry).await,
        What::Export => list.export().await,
    }
}

async fn account(store: &Store, wanted: Option<&str>) -> anyhow::Result<Account> {
    let mut accounts = store.load_configuration().await?.accounts;
    let known = accounts.iter().map(|account| account.id.as_str()).collect::<Vec<_>>().join(", ");
    match wanted {
        Some(id) => {
            let found = accounts.into_iter().find(|account| account.id == id);
            found.with_context(|| format!("there is no account {id}; there are: {known}"))
        }
        None if accounts.len() == 1 => Ok(accounts.remove(0)),
        None if accounts.is_empty() => bail!("there is no account yet; see `wabridge apply --help`"),
        None => bail!("say which account by --account: {known}"),
    }
}

/// The list of one account.
struct List {
    store: Store,
    account: Account,
    json: bool,
}

/// What an import, or an addition, came to.
#[derive(Default)]
struct Counts {
    read: u64,
    added: u64,
    bad: u64,
    bad_shown: Vec<BadLine>,
}

impl List {
    async fn add(&self, phones: &[String], entry: &EntryArguments) -> anyhow::Result<ExitCode> {
        let people: Vec<Listed> = self.phones(phones)?.into_iter().map(Listed::of).collect();
        let (read, added) = (people.len() as u64, self.write(people, entry).await?);
        self.conclude(Counts { read, added, ..Counts::default() })
    }

    async fn remove(&self, phones: &[String], reason: &str) -> anyhow::Result<ExitCode> {
        check_reason(reason)?;
        let hashes = self.store.person_hasher().await?;
        let people: Vec<PersonHash> = self.phones(phones)?.iter().map(|phone| hashes.of_phone(phone)).collect();
        let lift = Lift { account: self.account.key, people: &people, reason, at: clock::now() };
        let removed = self.store.lift_suppressions(lift).await?;
        if self.json {
            let given = phones.len();
            answer_json(&json!({"account": self.account.id, "given": given, "removed": removed}))?;
        } else {
            answer(&format!(
                "{removed} of {} taken off the list of {}; a running server follows within seconds\n",
                phones.len(),
                self.account.id
            ))?;
        }
        Ok(if removed == 0 { ExitCode::from(exit::NOTHING_FOUND) } else { ExitCode::SUCCESS })
    }

    async fn import(&self, file: &str, entry: &EntryArguments) -> anyhow::Result<ExitCode> {
        check_reason(&entry.reason)?;
        let mut lines = Lines::open(file, self.account.policy.default_country.as_deref())?;
        let bar = progress::bar(lines.bytes_total.unwrap_or(0), "importing");
        let mut counts = Counts::default();
        let mut people = Vec::with_capacity(PEOPLE_PER_STEP);
        loop {
            let line = lines.next_line().with_context(|| format!("could not read {file}"))?;
            let ended = line.is_none();
            match line {
                Some(Ok(listed)) => people.push(listed),
                Some(Err(bad)) => counts.note(bad),
                None => {}
            }
            if people.len() == PEOPLE_PER_STEP || ended {
                counts.read += people.len() as u64;
                counts.added += self.write(std::mem::take(&mut people), entry).await?;
                bar.set_position(lines.bytes_read);
            }
            if ended {
                break;
            }
        }
        bar.finish_and_clear();
        self.conclude(counts)
    }

    /// Says how many are new or different.
    async fn write(&self, people: Vec<Listed>, entry: &EntryArguments) -> anyhow::Result<u64> {
        check_reason(&entry.reason)?;
        let hashes = self.store.person_hasher().await?;
        let scope = if entry.all_messages { Scope::All } else { Scope::Marketing };
        let suppression = |listed: Listed| Suppression {
            account: self.account.key,
            person: hashes.of_phone(&listed.phone),
            source: Source::Operator,
            scope: listed.scope.map_or(scope, |told| told.max(scope)),
            lifted: false,
            phone: Some(listed.phone),
            user_id: None,
            reason: listed.reason.unwrap_or_else(|| entry.reason.clone()),
            occurred_at: clock::now(),
        };
        Ok(self.store.change_suppressions(people.into_iter().map(suppression).collect()).await?)
    }

    fn conclude(&self, counts: Counts) -> anyhow::Result<ExitCode> {
        let Counts { read, added, bad, bad_shown } = counts;
        let unchanged = read.saturating_sub(added);
        if self.json {
            let shown: Vec<Value> =
                bad_shown.iter().map(|bad| json!({"line": bad.line, "problem": bad.problem})).collect();
            answer_json(&json!({
                "account": self.account.id, "read": read, "added": added, "unchanged": unchanged,
                "bad_lines": bad, "bad_lines_shown": shown,
            }))?;
        } else {
            for bad in &bad_shown {
                eprintln!("line {}: {}", bad.line, bad.problem);
            }
            if bad > bad_shown.len() as u64 {
                eprintln!("… and {} more lines that could not be read", bad - bad_shown.len() as u64);
            }
            let left_out = if bad > 0 { format!("; {bad} lines could not be read") } else { String::new() };
            answer(&format!(
                "{added} put on the list of {}, {unchanged} were on it already{left_out}\n",
                self.account.id
            ))?;
        }
        Ok(if bad > 0 { ExitCode::from(exit::NEEDS_ATTENTION) } else { ExitCode::SUCCESS })
    }

    async fn show(&self, full: bool) -> anyhow::Result<ExitCode> {
        let out = BufWriter::new(std::io::stdout());
        let mut shown = 0_u64;
        if self.json {
            let mut document = JsonWriter::new(out);
            document.begin_list(None)?;
            self.each(|entry| {
                shown += 1;
                document.item(&json!({
                    "phone": entry.phone.as_ref().map(|phone| phone_text(phone, full)),
                    "user_id": entry.user_id, "scope": entry.scope.as_str(), "source": entry.source.as_str(),
                    "reason": entry.reason, "since": entry.occurred_at.to_string(),
                }))
            })
            .await?;
            document.end_list()?;
            document.finish()?;
        } else {
            let mut out = out;
            self.each(|entry| {
                shown += 1;
                let who = match (&entry.phone, &entry.user_id) {
                    (Some(phone), _) => phone_text(phone, full),
                    (None, Some(user)) => format!("user {user}"),
                    (None, None) => "(forgotten)".to_owned(),
                };
                let Suppression { scope, source, reason, occurred_at, .. } = &entry;
                let line = format!("{who:<18} {:<9} {:<10} {occurred_at} {reason}", scope.as_str(), source.as_str());
                writeln!(out, "{line}").context("could not write the answer")
            })
            .await?;
            out.flush().context("could not write the answer")?;
            eprintln!("{shown} entries in the list of {}", self.account.id);
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn export(&self) -> anyhow::Result<ExitCode> {
        ensure!(!self.json, "an export is CSV; `wabridge suppress list --full --json` prints JSON");
        let mut writer = csv::Writer::from_writer(BufWriter::new(std::io::stdout()));
        writer.write_record(["phone", "scope", "reason", "source", "since"])?;
        let mut nameless = 0_u64;
        self.each(|entry| {
            let Some(phone) = &entry.phone else {
                nameless += 1;
                return Ok(());
            };
            let since = entry.occurred_at.to_string();
            let record =
                [phone.as_e164(), entry.scope.as_str(), entry.reason.as_str(), entry.source.as_str(), since.as_str()];
            writer.write_record(record).context("could not write the answer")
        })
        .await?;
        writer.flush().context("could not write the answer")?;
        if nameless > 0 {
            eprintln!("{nameless} entries are not in it: their numbers are not known");
        }
        Ok(ExitCode::SUCCESS)
    }

    /// All entries that hold, page by page.
    async fn each(&self, mut show: impl FnMut(Suppression) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut after = None;
        loop {
            let page = self.store.suppressions_page(self.account.key, after, PEOPLE_PER_STEP).await?;
            let ended = page.len() < PEOPLE_PER_STEP;
            after = page.last().map(|last| (last.person, last.source));
            page.into_iter().try_for_each(&mut show)?;
            if ended {
                return Ok(());
            }
        }
    }

    fn phones(&self, texts: &[String]) -> anyhow::Result<Vec<PhoneNumber>> {
        let country = self.account.policy.default_country.as_deref();
        texts
            .iter()
            .map(|text| PhoneNumber::parse(text, country).with_context(|| format!("{text}: no number")))
            .collect()
    }
}

impl Counts {
    fn note(&mut self, bad: BadLine) {
        self.bad += 1;
        if self.bad_shown.len() < BAD_LINES_SHOWN_MAX {
            self.bad_shown.push(bad);
        }
    }
}

fn phone_text(phone: &PhoneNumber, full: bool) -> String {
    if full { phone.as_e164().to_owned() } else { phone.to_string() }
}

fn check_reason(reason: &str) -> anyhow::Result<()> {
    let fits = !reason.trim().is_empty() && reason.chars().count() <= REASON_CHARS_MAX;
    ensure!(fits, "--reason must have 1 to {REASON_CHARS_MAX} characters");
    Ok(())
}
