//! `wabridge forget`: erasing what is stored about one person.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use wabridge::{
    app::{open_existing_store, open_files},
    services::person::{Erased, Person},
    settings::Settings,
    store::audit::AuditEntry,
};

use super::{answer, answer_json, confirm, counted, exit, person, progress, this_user};

/// Erase what is stored about one person, in small steps beside a running server
///
/// Messages with their contents and statuses, what the person wrote and the files that came with it, refused requests, parts of
/// webhooks, and the ids by which WhatsApp names the person. What is
/// queued is taken back first and reported as failed. Whoever has opted out stays on the suppression list, by a hash
/// that only this bridge can make. A message whose report a callback URL is still owed stays as an empty shell until its
/// time is over. There is no way back; `wabridge person` hands everything over before.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wabridge forget +919876500001
  wabridge forget +919876500001 --yes --suppress     and send this person nothing any more

Exit codes: 0 erased; 1 not confirmed; 2 it is no telephone number; 3 nothing was stored, or there is no such account; 4 a
message was being sent at that moment: try again in a minute.
--json prints: done, and counts of what was erased: cancelled, messages_deleted, messages_emptied, messages_being_sent, inbound,
refused_requests, webhook_parts, files, ids, suppressions.")]
pub(crate) struct ForgetArguments {
    /// The telephone number, like +919876500001
    phone: String,
    /// Only what belongs to this account
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Send the person nothing from now on, remembered by a hash alone
    #[arg(long)]
    suppress: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print what was erased as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn forget(settings: &Settings, arguments: &ForgetArguments) -> anyhow::Result<ExitCode> {
    let store = open_existing_store(settings).await?;
    let files = open_files(settings)?;
    let person = person::find(store.clone(), &arguments.phone, arguments.account.as_deref()).await?;
    if !arguments.yes && !confirm(&question(&person))? {
        answer("nothing was erased\n")?;
        return Ok(ExitCode::FAILURE);
    }
    let bar = progress::bar(1000, "erasing");
    let erased = person
        .erase((&files, settings.media.timeout), arguments.suppress, Erased::default(), |share, _| {
            bar.set_position((share * 1000.0) as u64);
        })
        .await?;
    bar.finish_and_clear();
    let entry =
        AuditEntry::new(&this_user(), "person erased", format!("person {}", person.phone)).after(erased.to_json());
    store.note_in_audit(&entry).await?;
    if arguments.json {
        answer_json(&as_json(&erased))?;
    } else {
        answer(&summary(&erased))?;
    }
    Ok(match erased {
        Erased { messages, .. } if messages.busy > 0 => ExitCode::from(exit::NEEDS_ATTENTION),
        Erased { suppressions, .. } if suppressions == 0 && erased.is_nothing() => ExitCode::from(exit::NOTHING_FOUND),
        Erased { .. } => ExitCode::SUCCESS,
    })
}

fn question(person: &Person) -> String {
    let accounts = person.accounts.iter().map(|account| account.id.as_str()).collect::<Vec<_>>().join(", ");
    format!("Erase all that is stored about {} at {accounts}? There is no way back.", person.phone.as_e164())
}

fn as_json(erased: &Erased) -> serde_json::Value {
    let mut told = erased.to_json();
    told["done"] = json!(!erased.is_nothing() || erased.suppressions > 0);
    told
}

fn summary(erased: &Erased) -> String {
    let Erased { cancelled, messages, inbound, refused, kept_parts, files, contacts, links, suppressions } = erased;
    if erased.is_nothing() && *suppressions == 0 && messages.busy == 0 {
        return "nothing was stored\n".to_owned();
    }
    let mut text = format!(
        "erased {} ({cancelled} taken back from the queue), {}, {}, {}, {}, {}, {}; {} now, or gone\n",
        counted(messages.deleted + messages.emptied, "message", "messages"),
        counted(*inbound, "inbound message", "inbound messages"),
        counted(*files, "file", "files"),
        counted(*refused, "refused request", "refused requests"),
        counted(*kept_parts, "part of webhooks", "parts of webhooks"),
        counted(*contacts, "contact", "contacts"),
        counted(*links, "id", "ids"),
        counted(*suppressions, "entry of the suppression list is a hash", "entries of the suppression list are hashes"),
    );
    if messages.emptied > 0 {
        let emptied = counted(messages.emptied, "message stays as an empty shell", "messages stay as empty shells");
        text.push_str(&format!("{emptied}: a callback URL is still owed the reports\n"));
    }
    if messages.busy > 0 {
        let busy = counted(messages.busy, "message is", "messages are");
        text.push_str(&format!("{busy} being sent at this moment: try again in a minute\n"));
    }
    text
}
