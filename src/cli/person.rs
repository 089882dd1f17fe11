//! `wabridge person`: what is stored about one person.

use std::{
    io::{BufWriter, Stdout, Write as _},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};
use wabridge::{
    app::open_existing_store,
    domain::{account::Account, phone::PhoneNumber, suppression::Suppression},
    services::{
        directory::{Directory, Snapshot},
        person::{Person, as_json},
    },
    settings::Settings,
    store::{
        Store,
        events::LoggedEvent,
        media::MediaRow,
        people::PersonLinkRow,
        person::{InboundEntry, KeptPart, RefusedEntry, WalkedTable},
        story::StoredMessage,
    },
};

use super::{exit, json::JsonWriter, misused, not_found, progress};

/// Hand over what is stored about one person: messages, statuses, replies, files, suppressions, refused requests
///
/// Goes through all tables, so it takes a while on a large database; the server need not stop. Without --json it
/// prints a line for everything that it found; with it all of it, contents included, as one document.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wabridge person +919876500001
  wabridge person +919876500001 --json > asha.json

Exit codes: 0 something is stored; 2 it is no telephone number; 3 nothing is stored, or there is no such account.
--json prints: phone, suppressions, ids, files, inbound, messages (with request and events), refused_requests,
webhook_parts.")]
pub(crate) struct PersonArguments {
    /// The telephone number, like +919876500001
    phone: String,
    /// Only what belongs to this account
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Everything, as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn person(settings: &Settings, arguments: &PersonArguments) -> anyhow::Result<ExitCode> {
    let store = open_existing_store(settings).await?;
    let person = find(store, &arguments.phone, arguments.account.as_deref()).await?;
    let out = BufWriter::new(std::io::stdout());
    let mut report = match arguments.json {
        true => Report::Json(JsonWriter::new(out)),
        false => Report::Text(out),
    };
    let found = tell(&person, &mut report).await?;
    report.finish()?;
    if found == 0 {
        eprintln!("nothing is stored about {}", person.phone.as_e164());
        return Ok(ExitCode::from(exit::NOTHING_FOUND));
    }
    Ok(ExitCode::SUCCESS)
}

/// The person, at one account or all of them.
pub(super) async fn find(store: Store, phone: &str, account: Option<&str>) -> anyhow::Result<Person> {
    let snapshot: Arc<Snapshot> = Directory::load(store.clone()).await?.snapshot();
    let accounts: Vec<Arc<Account>> = match account {
        None => snapshot.accounts().cloned().collect(),
        Some(id) => {
            let missing = || not_found(format!("there is no account {id}; `wabridge status` lists them"));
            vec![snapshot.account(id).cloned().ok_or_else(missing)?]
        }
    };
    let country = accounts.iter().find_map(|account| account.policy.default_country.as_deref());
    let Ok(phone) = PhoneNumber::parse(phone, country) else {
        return Err(misused(format!("{phone} is not a telephone number; write it with + and country code")));
    };
    Ok(Person::find(store, snapshot, phone, accounts).await?)
}

/// Where what was found goes.
enum Report {
    Json(JsonWriter<BufWriter<Stdout>>),
    Text(BufWriter<Stdout>),
}

impl Report {
    fn begin(&mut self, phone: &PhoneNumber) -> anyhow::Result<()> {
        match self {
            Self::Text(out) => line(out, phone.as_e164()),
            Self::Json(document) => {
                document.begin_object()?;
                document.field("phone", &phone.as_e164())
            }
        }
    }

    fn begin_list(&mut self, name: &str) -> anyhow::Result<()> {
        match self {
            Self::Text(_) => Ok(()),
            Self::Json(document) => document.begin_list(Some(name)),
        }
    }

    fn end_list(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Text(_) => Ok(()),
            Self::Json(document) => document.end_list(),
        }
    }

    fn item(&mut self, text: impl FnOnce() -> String, json: impl FnOnce() -> Value) -> anyhow::Result<()> {
        match self {
            Self::Text(out) => line(out, &format!("  {}", text())),
            Self::Json(document) => document.item(&json()),
        }
    }

    fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Text(mut out) => out.flush().context("could not write the answer"),
            Self::Json(mut document) => {
                document.end_object()?;
                document.finish()
            }
        }
    }
}

fn line(out: &mut BufWriter<Stdout>, text: &str) -> anyhow::Result<()> {
    writeln!(out, "{text}").context("could not write the answer")
}

/// Says how much was found.
async fn tell(person: &Person, report: &mut Report) -> anyhow::Result<usize> {
    let mut found = 0;
    let names = Names { snapshot: &person.snapshot };
    report.begin(&person.phone)?;
    report.begin_list("suppressions")?;
    for entry in person.suppressions().await? {
        found += 1;
        report.item(|| names.suppression_text(&entry), || names.suppression_json(&entry))?;
    }
    report.end_list()?;
    report.begin_list("ids")?;
    for link in &person.links {
        found += 1;
        report.item(|| names.link_text(link), || names.link_json(link))?;
    }
    report.end_list()?;
    report.begin_list("files")?;
    for file in person.files().await? {
        found += 1;
        report.item(|| names.file_text(&file), || names.file_json(&file))?;
    }
    report.end_list()?;

    let bar = progress::bar(1000, "looking");
    let (mut refused, mut parts) = (Vec::new(), Vec::new());
    report.begin_list("inbound")?;
    let tables = person.tables();
    let (logs, others) = tables.split_at(person.accounts.len());
    for table in logs {
        let mut walk = person.store.walk(*table).await?;
        while let Some(entries) = person.next_inbound(&mut walk).await? {
            for entry in &entries {
                found += 1;
                report.item(|| names.inbound_text(entry), || names.inbound_json(entry))?;
            }
            bar.set_position((walk.share() * 1000.0) as u64);
        }
    }
    report.end_list()?;
    report.begin_list("messages")?;
    for table in others {
        let mut walk = person.store.walk(*table).await?;
        match table {
            WalkedTable::Messages => {
                while let Some(messages) = person.next_messages(&mut walk).await? {
                    for message in &messages {
                        found += 1;
                        let events = person.store.events_of(message).await?;
                        report
                            .item(|| names.message_text(message, &events), || names.message_json(message, &events))?;
                    }
                    bar.set_position((walk.share() * 1000.0) as u64);
                }
            }
            WalkedTable::RefusedRequests => {
                while let Some(entries) = person.next_refused(&mut walk).await? {
                    refused.extend(entries);
                }
            }
            WalkedTable::Unrecognized => {
                while let Some(entries) = person.next_kept_parts(&mut walk).await? {
                    parts.extend(entries);
                }
            }
            WalkedTable::Events(_) => {}
        }
    }
    report.end_list()?;
    bar.finish_and_clear();
    report.begin_list("refused_requests")?;
    for entry in &refused {
        report.item(|| names.refused_text(entry), || names.refused_json(entry))?;
    }
    report.end_list()?;
    report.begin_list("webhook_parts")?;
    for part in &parts {
        report.item(|| format!("{} part of a webhook: {}", part.id.made_at(), part.reason), || part_json(part))?;
    }
    report.end_list()?;
    Ok(found + refused.len() + parts.len())
}

/// Puts what was found into words.
struct Names<'a> {
    snapshot: &'a Snapshot,
}

impl Names<'_> {
    fn account(&self, key: wabridge::domain::ids::AccountKey) -> &str {
        self.snapshot.account_by_key(key).map_or("?", |account| account.id.as_str())
    }

    fn number(&self, key: wabridge::domain::ids::SenderKey) -> &str {
        self.snapshot.sender(key).map_or("?", |sender| sender.number.as_e164())
    }

    fn suppression_text(&self, entry: &Suppression) -> String {
        let Suppression { occurred_at, scope, source, reason, .. } = entry;
        let now = if entry.lifted { "was suppressed" } else { "suppressed" };
        let (account, scope, source) = (self.account(entry.account), scope.as_str(), source.as_str());
        format!("{occurred_at} {now} at {account} ({scope}, by {source}): {reason}")
    }

    fn suppression_json(&self, entry: &Suppression) -> Value {
        json!({
            "account": self.account(entry.account), "scope": entry.scope.as_str(), "source": entry.source.as_str(),
            "lifted": entry.lifted, "user_id": entry.user_id, "reason": entry.reason,
            "occurred_at": entry.occurred_at.to_string(),
        })
    }

    fn link_text(&self, link: &PersonLinkRow) -> String {
        format!("{} last seen as {} at {}", link.seen_at, link.user_id, self.account(link.account))
    }

    fn link_json(&self, link: &PersonLinkRow) -> Value {
        json!({"account": self.account(link.account), "user_id": link.user_id, "seen_at": link.seen_at.to_string()})
    }

    fn file_text(&self, file: &MediaRow) -> String {
        let kind = file.mime_type.as_deref().unwrap_or(file.kind.as_str());
        let size = file.size_bytes.map_or_else(String::new, |bytes| format!(", {bytes} bytes"));
        let (number, state) = (self.number(file.sender), file.state.as_str());
        format!("{} sent a file to {number} ({kind}{size}): {state}", file.id.made_at())
    }

    fn file_json(&self, file: &MediaRow) -> Value {
        json!({
            "account": self.account(file.account), "number": self.number(file.sender),
            "received_at": file.id.made_at().to_string(), "kind": file.kind.as_str(), "mime_type": file.mime_type,
            "filename": file.filename, "size_bytes": file.size_bytes, "state": file.state.as_str(),
            "reason": file.reason,
        })
    }

    fn inbound_text(&self, entry: &InboundEntry) -> String {
        let kind = as_json(&entry.entry)["type"].as_str().unwrap_or("message").to_owned();
        format!("{} wrote to {} ({kind})", entry.occurred_at, self.number(entry.sender))
    }

    fn inbound_json(&self, entry: &InboundEntry) -> Value {
        json!({
            "account": self.account(entry.account), "number": self.number(entry.sender),
            "occurred_at": entry.occurred_at.to_string(), "provider_message_id": entry.provider_message_id,
            "person": entry.person, "entry": as_json(&entry.entry),
        })
    }

    fn message_text(&self, message: &StoredMessage, events: &[LoggedEvent]) -> String {
        let what = message.template.as_ref().map_or(message.category.as_str(), |(name, _)| name.as_str());
        let told = message.delivery.map_or_else(String::new, |delivery| format!(", {}", delivery.as_str()));
        format!(
            "{} {} {what} from {}: {}{told} ({} events)",
            message.id.made_at(),
            message.id,
            self.number(message.sender),
            message.state.as_str(),
            events.len()
        )
    }

    fn message_json(&self, message: &StoredMessage, events: &[LoggedEvent]) -> Value {
        let event = |event: &LoggedEvent| {
            json!({
                "status": event.status.map(|status| status.as_str()), "occurred_at": event.occurred_at.to_string(),
                "failure": event.failure.as_ref().map(|failure| failure.text.as_str()),
                "entry": event.entry.as_deref().map(as_json),
            })
        };
        json!({
            "id": message.id.to_string(), "account": self.account(message.account), "number": self.number(message.sender),
            "platform_message_id": message.platform_message_id, "provider_message_id": message.provider_message_id,
            "accepted_at": message.id.made_at().to_string(), "category": message.category.as_str(),
            "template": message.template.as_ref().map(|(name, _)| name.as_str()),
            "language": message.template.as_ref().map(|(_, language)| language.as_str()),
            "state": message.state.as_str(), "delivery": message.delivery.map(|delivery| delivery.as_str()),
            "failure": message.failure.as_ref().map(|failure| failure.text.as_str()),
            "request": as_json(&message.request), "events": events.iter().map(event).collect::<Vec<_>>(),
        })
    }

    fn refused_text(&self, entry: &RefusedEntry) -> String {
        format!("{} refused at {}: {}", entry.id.made_at(), self.account(entry.account), entry.answer)
    }

    fn refused_json(&self, entry: &RefusedEntry) -> Value {
        json!({
            "account": self.account(entry.account), "at": entry.id.made_at().to_string(), "kind": entry.kind,
            "answer": entry.answer, "request": as_json(&String::from_utf8_lossy(&entry.request)),
        })
    }
}

fn part_json(part: &KeptPart) -> Value {
    json!({"at": part.id.made_at().to_string(), "reason": part.reason, "entry": as_json(&part.entry)})
}
