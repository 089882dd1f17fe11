//! `wabridge forget`: erasing what is stored about one person.

use std::{
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::json;
use wabridge::{
    app::open_existing_store,
    services::person::{Erased, Person},
    settings::Settings,
};

use super::{answer, answer_json, exit, person, progress};

/// Erase what is stored about one person, in small steps beside a running server
///
/// Messages with their contents and statuses, what the person wrote, refused requests, and parts of webhooks. What is
/// queued is taken back first and reported as failed. Whoever has opted out stays on the suppression list, by a hash
/// that only this bridge can make. A message whose report a callback URL is still owed stays as an empty shell until its
/// time is over. There is no way back; `wabridge person` hands everything over before.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wabridge forget +919876500001
  wabridge forget +919876500001 --yes --suppress

Ends with 3 when nothing was stored, and with 4 when a message was being sent at that moment: try again in a
minute.")]
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
    let person = person::find(store, &arguments.phone, arguments.account.as_deref()).await?;
    if !arguments.yes && !confirmed(&person)? {
        answer("nothing was erased\n")?;
        return Ok(ExitCode::FAILURE);
    }
    let bar = progress::bar(1000, "erasing");
    let erased = person.erase(arguments.suppress, |share| bar.set_position((share * 1000.0) as u64)).await?;
    bar.finish_and_clear();
    if arguments.json {
        answer_json(&as_json(&erased))?;
    } else {
        answer(&summary(&erased))?;
    }
    Ok(match erased {
        Erased { messages, .. } if messages.busy > 0 => ExitCode::from(exit::NEEDS_ATTENTION),
        Erased { suppressions, .. } if suppressions == 0 && is_nothing(&erased) => ExitCode::from(exit::NOTHING_FOUND),
        Erased { .. } => ExitCode::SUCCESS,
    })
}

fn confirmed(person: &Person) -> anyhow::Result<bool> {
    ensure!(std::io::stdin().is_terminal(), "nobody is there to be asked: say --yes");
    let accounts = person.accounts.iter().map(|account| account.id.as_str()).collect::<Vec<_>>().join(", ");
    eprint!("Erase all that is stored about {} at {accounts}? There is no way back. [y/N] ", person.phone.as_e164());
    std::io::stderr().flush().context("could not ask")?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("could not read the answer")?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

fn is_nothing(erased: &Erased) -> bool {
    let Erased { cancelled, messages, inbound, refused, kept_parts, suppressions: _ } = erased;
    *cancelled == 0 && messages.deleted + messages.emptied == 0 && *inbound + *refused + *kept_parts == 0
}

fn as_json(erased: &Erased) -> serde_json::Value {
    let Erased { cancelled, messages, inbound, refused, kept_parts, suppressions } = erased;
    json!({
        "cancelled": cancelled, "messages_deleted": messages.deleted, "messages_emptied": messages.emptied,
        "messages_being_sent": messages.busy, "inbound": inbound, "refused_requests": refused,
        "webhook_parts": kept_parts, "suppressions": suppressions,
    })
}

fn summary(erased: &Erased) -> String {
    let Erased { cancelled, messages, inbound, refused, kept_parts, suppressions } = erased;
    let mut text = format!(
        "erased {} messages ({cancelled} of them taken back from the queue), {inbound} inbound messages, {refused} refused \
         requests, {kept_parts} parts of webhooks; {suppressions} entries of the suppression list are hashes now, or gone\n",
        messages.deleted + messages.emptied
    );
    if messages.emptied > 0 {
        let emptied = messages.emptied;
        text.push_str(&format!(
            "{emptied} messages stay as empty shells: a callback URL is still owed their reports\n"
        ));
    }
    if messages.busy > 0 {
        text.push_str(&format!("{} messages are being sent at this moment: try again in a minute\n", messages.busy));
    }
    text
}
