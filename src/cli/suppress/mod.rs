//! `wabridge suppress`: who must not be sent to, by hand and by file.

mod lines;

use std::{
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
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
    services::export::harmless,
    settings::Settings,
    store::{Store, audit::AuditEntry, suppressions::Lift},
};

use self::lines::{BadLine, Lines, Listed};
use super::{
    answer, answer_json, counted, exit, export::new_file_or_output, json::JsonWriter, known_account, misused,
    not_found, progress, report, this_user,
};

/// Who must not be sent marketing messages, or any: add, remove, list, import, export
///
/// A request for a message to somebody on the list is refused with CleverTap's code 2003, and what was queued before
/// is reported as failed. A running server follows within seconds. People who stop marketing messages in
/// WhatsApp get onto the list by themselves, and off it when they resume them.
///
/// An entry has a scope: marketing (order updates and one-time passwords still arrive) or all (nothing does). It has a source:
/// the person, the number's block list at WhatsApp, or an operator. Each source has an entry of its own, and a person is
/// suppressed for as long as one of them stands.
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

Exit codes: 0 done; 2 which account, or no telephone number; 3 `remove` found nobody, or there is no such account; 4 lines of
a file could not be read, the others are on the list.")]
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
    ///
    /// They get no marketing messages from now on, or with --all-messages none at all. Whom an operator put on it before keeps
    /// the first date and reason, unless --all-messages says more now.
    #[command(after_help = "\
Examples:
  wabridge suppress add +919876500001 --reason 'asked by mail'
  wabridge suppress add +919876500001 +919876500002 --all-messages --account acme

--json prints: done (somebody was added), account, read, added (new, or for more messages than before), unchanged (on it
already), bad_lines, bad_lines_shown.")]
    Add {
        /// Telephone numbers, like +919876500001
        #[arg(required = true, value_name = "PHONE")]
        phones: Vec<String>,
        #[command(flatten)]
        entry: EntryArguments,
    },
    /// Take people off the list, whoever put them there
    ///
    /// Also who asked for it in WhatsApp: do it only when the person wants messages again.
    #[command(after_help = "\
Example:
  wabridge suppress remove +919876500001 --reason 'wrote on 20 November that news is welcome'

Ends with 3 when nobody of them was on the list. --json prints: done, account, given, removed.")]
    Remove {
        /// Telephone numbers, like +919876500001
        #[arg(required = true, value_name = "PHONE")]
        phones: Vec<String>,
        /// Why, for those who look later
        #[arg(long, default_value = "removed by an operator")]
        reason: String,
    },
    /// Show who is on the list, the newest first
    #[command(after_help = "\
Examples:
  wabridge suppress list --account acme | head     who came onto it last
  wabridge suppress list --full --json             everything, for scripts

A line is: who, scope, source, since when, the reason. (forgotten) is a person whose data was erased, and of whom only a
hash was kept. --json prints a list, of each: phone, user_id, scope, source, reason, since.")]
    List {
        /// Show telephone numbers in full
        #[arg(long)]
        full: bool,
    },
    /// Put the people in a file on the list
    #[command(after_help = "\
Examples:
  wabridge suppress import optouts.csv --account acme
  mysql … | wabridge suppress import - --reason 'opted out in the shop'

Lines that name nobody are told with their number, and stop nothing: the command ends with 4 then.
--json prints: done (somebody was added), account, read, added (new, or for more messages than before), unchanged (on it
already), bad_lines, bad_lines_shown.")]
    Import {
        /// The file; - reads standard input
        file: String,
        #[command(flatten)]
        entry: EntryArguments,
    },
    /// Print the list as CSV, the newest first
    ///
    /// With whole telephone numbers. A reason that a spreadsheet would take for a formula gets an apostrophe in front.
    #[command(after_help = "\
Examples:
  wabridge suppress export --account acme > list.csv
  wabridge suppress export --output list.csv          a new file, for its owner alone

People whose number is not known are not in it; how many those are is said on standard error.
As JSON: `wabridge suppress list --full --json`.")]
    Export {
        /// Write to this file, which must not exist [default: standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
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
        What::Export { output } => list.export(output.as_deref()).await,
    }
}

/// The first of them, as they stand wherever they stand for long, and how many there are.
fn told(phones: &[PhoneNumber]) -> Value {
    const PEOPLE_TOLD_MAX: usize = 20;
    let masked: Vec<String> = phones.iter().take(PEOPLE_TOLD_MAX).map(PhoneNumber::to_string).collect();
    json!({"count": phones.len(), "numbers": masked})
}

async fn account(store: &Store, wanted: Option<&str>) -> anyhow::Result<Account> {
    let configuration = store.load_configuration().await?;
    match (wanted, configuration.accounts.as_slice()) {
        (Some(id), _) => known_account(&configuration, id).cloned(),
        (None, [only]) => Ok(only.clone()),
        (None, []) => Err(not_found("there is no account yet; see `wabridge apply --help`")),
        (None, accounts) => {
            let known = accounts.iter().map(|account| account.id.as_str()).collect::<Vec<_>>().join(", ");
            Err(misused(format!("say which account by --account: {known}")))
        }
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
        let phones = self.phones(phones)?;
        let audit = self.audit("suppress people").after(json!({
            "people": told(&phones), "all_messages": entry.all_messages, "reason": entry.reason,
        }));
        let people: Vec<Listed> = phones.into_iter().map(Listed::of).collect();
        let (read, added) = (people.len() as u64, self.write(people, entry, Some(&audit)).await?);
        self.conclude(Counts { read, added, ..Counts::default() })
    }

    async fn remove(&self, phones: &[String], reason: &str) -> anyhow::Result<ExitCode> {
        check_reason(reason)?;
        let hashes = self.store.person_hasher().await?;
        let people = self.phones(phones)?;
        let audit = self.audit("lift suppressions").after(json!({"people": told(&people), "reason": reason}));
        let people: Vec<PersonHash> = people.iter().map(|phone| hashes.of_phone(phone)).collect();
        let lift = Lift { account: self.account.key, people: &people, reason, at: clock::now() };
        let removed = self.store.lift_suppressions(lift, Some(&audit)).await?;
        let (account, given) = (&self.account.id, phones.len());
        let text = match removed {
            0 => format!("none of them is on the list of {account}: nothing is changed\n"),
            _ => {
                let entries = counted(removed, "entry is", "entries are");
                format!("{entries} taken off the list of {account}; a running server follows within seconds\n")
            }
        };
        let value = json!({"done": removed > 0, "account": account, "given": given, "removed": removed});
        report(self.json, &text, &value)?;
        Ok(if removed == 0 { ExitCode::from(exit::NOTHING_FOUND) } else { ExitCode::SUCCESS })
    }

    async fn import(&self, file: &str, entry: &EntryArguments) -> anyhow::Result<ExitCode> {
        check_reason(&entry.reason)?;
        let mut lines = Lines::open(file, self.account.policy.default_country.as_deref())?;
        let bar = progress::bar(lines.bytes_total.unwrap_or(0), "importing");
        let mut counts = Counts::default();
        let mut people = Vec::with_capacity(PEOPLE_PER_STEP);
        let asked = json!({"file": file, "all_messages": entry.all_messages, "reason": entry.reason});
        // With the first people who are new, and whatever becomes of the others.
        let mut begun = Some(self.audit("import suppressions").after(asked));
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
                counts.added += self.write(std::mem::take(&mut people), entry, begun.as_ref()).await?;
                begun = begun.filter(|_| counts.added == 0);
                bar.set_position(lines.bytes_read);
            }
            if ended {
                break;
            }
        }
        bar.finish_and_clear();
        if counts.added > 0 {
            let came_to = json!({"file": file, "read": counts.read, "added": counts.added, "bad_lines": counts.bad});
            self.store.note_in_audit(&self.audit("suppressions imported").after(came_to)).await?;
        }
        self.conclude(counts)
    }

    fn audit(&self, action: &'static str) -> AuditEntry {
        AuditEntry::new(&this_user(), action, format!("account {}", self.account.id))
    }

    /// Says how many are new or different.
    async fn write(
        &self,
        people: Vec<Listed>,
        entry: &EntryArguments,
        audit: Option<&AuditEntry>,
    ) -> anyhow::Result<u64> {
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
        Ok(self.store.change_suppressions(people.into_iter().map(suppression).collect(), audit).await?)
    }

    fn conclude(&self, counts: Counts) -> anyhow::Result<ExitCode> {
        let Counts { read, added, bad, bad_shown } = counts;
        let unchanged = read.saturating_sub(added);
        if self.json {
            let shown: Vec<Value> =
                bad_shown.iter().map(|bad| json!({"line": bad.line, "problem": bad.problem})).collect();
            answer_json(&json!({
                "done": added > 0, "account": self.account.id, "read": read, "added": added, "unchanged": unchanged,
                "bad_lines": bad, "bad_lines_shown": shown,
            }))?;
        } else {
            for bad in &bad_shown {
                eprintln!("line {}: {}", bad.line, bad.problem);
            }
            if bad > bad_shown.len() as u64 {
                let more = counted(bad - bad_shown.len() as u64, "more line", "more lines");
                eprintln!("… and {more} that could not be read");
            }
            let left_out =
                if bad > 0 { format!("; {} could not be read", counted(bad, "line", "lines")) } else { String::new() };
            let already = match unchanged {
                0 => String::new(),
                _ => format!("; {} on it already, unchanged", counted(unchanged, "was", "were")),
            };
            let (people, account) = (counted(added, "person is", "people are"), &self.account.id);
            let followed = if added > 0 { "; a running server follows within seconds" } else { "" };
            answer(&format!("{people} added to the list of {account}{already}{left_out}{followed}\n"))?;
        }
        Ok(if bad > 0 { ExitCode::from(exit::NEEDS_ATTENTION) } else { ExitCode::SUCCESS })
    }

    async fn show(&self, full: bool) -> anyhow::Result<ExitCode> {
        let out = BufWriter::new(std::io::stdout());
        let mut shown = 0_u64;
        if self.json {
            let mut document = JsonWriter::new(out);
            document.begin_list()?;
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
            eprintln!("{} on the list of {}, the newest first", counted(shown, "entry", "entries"), self.account.id);
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn export(&self, output: Option<&Path>) -> anyhow::Result<ExitCode> {
        if self.json {
            return Err(misused("an export is CSV; `wabridge suppress list --full --json` prints JSON"));
        }
        let mut written = 0_u64;
        let mut writer = csv::Writer::from_writer(new_file_or_output(output)?);
        writer.write_record(["phone", "scope", "reason", "source", "since"])?;
        let mut nameless = 0_u64;
        self.each(|entry| {
            let Some(phone) = &entry.phone else {
                nameless += 1;
                return Ok(());
            };
            written += 1;
            let (since, reason) = (entry.occurred_at.to_string(), harmless(&entry.reason));
            let record = [phone.as_e164(), entry.scope.as_str(), &reason, entry.source.as_str(), since.as_str()];
            writer.write_record(record).context("could not write the answer")
        })
        .await?;
        writer.flush().context("could not write the answer")?;
        let place = output.map_or_else(String::new, |file| format!(", in {}", file.display()));
        let entries = counted(written, "entry", "entries");
        eprintln!("{entries} of the list of {}, the newest first{place}", self.account.id);
        if nameless > 0 {
            let entries = counted(nameless, "entry is", "entries are");
            eprintln!("{entries} not in it: only hashes or ids of these people are known, not their numbers");
        }
        Ok(ExitCode::SUCCESS)
    }

    /// All entries that hold, page by page.
    async fn each(&self, mut show: impl FnMut(Suppression) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut after = None;
        loop {
            let page = self.store.suppressions_page(self.account.key, after, PEOPLE_PER_STEP).await?;
            let ended = page.len() < PEOPLE_PER_STEP;
            after = page.last().map(|last| (last.occurred_at, last.person, last.source));
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
            .map(|text| {
                let parsed = PhoneNumber::parse(text, country);
                parsed.map_err(|_| misused(format!("{text} is no telephone number; write it with + and country code")))
            })
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
    if fits { Ok(()) } else { Err(misused(format!("--reason must have 1 to {REASON_CHARS_MAX} characters"))) }
}
