//! `wabridge person`: what is stored about one person.

use std::{
    io::{BufWriter, Stdout, Write as _},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context as _;
use clap::Args;
use wabridge::{
    app::open_existing_store,
    domain::{account::Account, phone::PhoneNumber, suppression::Suppression},
    services::{
        directory::{Directory, Snapshot},
        person::{
            Person, as_json,
            export::{Document, Export, Item, Names},
        },
    },
    settings::Settings,
    store::Store,
};

use super::{exit, misused, not_found, progress};

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
    let phone = person.phone.as_e164().to_owned();
    let mut out = BufWriter::new(std::io::stdout());
    let found = if arguments.json { tell_all(person, &mut out).await? } else { tell(person, &mut out).await? };
    out.flush().context("could not write the answer")?;
    if found == 0 {
        eprintln!("nothing is stored about {phone}");
        return Ok(ExitCode::from(exit::NOTHING_FOUND));
    }
    Ok(ExitCode::SUCCESS)
}

/// The person, at one account or all of them.
pub(super) async fn find(store: Store, phone: &str, account: Option<&str>) -> anyhow::Result<Person> {
    let snapshot: Arc<Snapshot> = Directory::load(store.clone()).await?.snapshot();
    let accounts: Vec<Arc<Account>> = match account {
        None => snapshot.accounts_ever().cloned().collect(),
        Some(id) => snapshot.accounts_ever().filter(|account| account.id == id).cloned().collect(),
    };
    if let Some(id) = account.filter(|_| accounts.is_empty()) {
        return Err(not_found(format!("there is no account {id}; `wabridge status` lists them")));
    }
    let country = accounts.iter().find_map(|account| account.policy.default_country.as_deref());
    let Ok(phone) = PhoneNumber::parse(phone, country) else {
        return Err(misused(format!("{phone} is not a telephone number; write it with + and country code")));
    };
    Ok(Person::find(store, snapshot, phone, accounts).await?)
}

/// Everything, as JSON; says how much was found.
async fn tell_all(person: Person, out: &mut BufWriter<Stdout>) -> anyhow::Result<usize> {
    let bar = progress::bar(1000, "looking");
    let mut document = Document::new(person);
    while let Some(text) = document.next().await? {
        out.write_all(text.as_bytes()).context("could not write the answer")?;
        bar.set_position((document.share() * 1000.0) as u64);
    }
    bar.finish_and_clear();
    Ok(document.found())
}

/// A line for everything; says how much was found.
async fn tell(person: Person, out: &mut BufWriter<Stdout>) -> anyhow::Result<usize> {
    let bar = progress::bar(1000, "looking");
    let mut found = 0;
    line(out, person.phone.as_e164())?;
    let mut export = Export::new(person);
    while let Some((_, items)) = export.next().await? {
        found += items.len();
        for item in &items {
            line(out, &format!("  {}", text(&Names(&export.person().snapshot), item)))?;
        }
        bar.set_position((export.share() * 1000.0) as u64);
    }
    bar.finish_and_clear();
    Ok(found)
}

fn line(out: &mut BufWriter<Stdout>, text: &str) -> anyhow::Result<()> {
    writeln!(out, "{text}").context("could not write the answer")
}

/// One thing in one line.
fn text(names: &Names<'_>, item: &Item) -> String {
    match item {
        Item::Suppression(Suppression { account, occurred_at, scope, source, reason, lifted, .. }) => {
            let now = if *lifted { "was suppressed" } else { "suppressed" };
            let (account, scope, source) = (names.account(*account), scope.as_str(), source.as_str());
            format!("{occurred_at} {now} at {account} ({scope}, by {source}): {reason}")
        }
        Item::Id(link) => {
            format!("{} last seen as {} at {}", link.seen_at, link.user_id, names.account(link.account))
        }
        Item::File(file) => {
            let kind = file.mime_type.as_deref().unwrap_or(file.kind.as_str());
            let size = file.size_bytes.map_or_else(String::new, |bytes| format!(", {bytes} bytes"));
            let (number, state) = (names.number(file.sender), file.state.as_str());
            format!("{} sent a file to {number} ({kind}{size}): {state}", file.id.made_at())
        }
        Item::Contact(contact, conversations) => {
            let (account, count) = (names.account(contact.account), conversations.len());
            format!("{} contact {} of {account} ({count} conversations)", contact.last_seen, contact.id)
        }
        Item::Inbound(entry) => {
            let kind = as_json(&entry.entry)["type"].as_str().unwrap_or("message").to_owned();
            format!("{} wrote to {} ({kind})", entry.occurred_at, names.number(entry.sender))
        }
        Item::Message(message, events) => {
            let what = message.template.as_ref().map_or(message.category.as_str(), |(name, _)| name.as_str());
            let told = message.delivery.map_or_else(String::new, |delivery| format!(", {}", delivery.as_str()));
            format!(
                "{} {} {what} from {}: {}{told} ({} events)",
                message.id.made_at(),
                message.id,
                names.number(message.sender),
                message.state.as_str(),
                events.len()
            )
        }
        Item::Refused(entry) => {
            format!("{} refused at {}: {}", entry.id.made_at(), names.account(entry.account), entry.answer)
        }
        Item::KeptPart(part) => format!("{} part of a webhook: {}", part.id.made_at(), part.reason),
    }
}
