//! `wabridge sync`: templates, and how numbers are seen, now.

use std::{fmt::Write as _, process::ExitCode, sync::Arc, time::Duration};

use clap::Args;
use serde::Serialize;
use wabridge::{
    app::{open_existing_store, provider_exchange},
    domain::account::Sender,
    services::{
        channels::Channels,
        directory::{Directory, Snapshot},
        lookup::TemplateLookup,
    },
    settings::Settings,
    store::Store,
};

use super::{counted, exit, report};

/// Fetch the templates of every number now, and how the provider sees it
///
/// The bridge does so by itself at the start, every few minutes, and when a provider says that one changed. A
/// running server takes over what this fetches within seconds.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wabridge sync            a template was approved just now: fetch it, and do not wait for the next round
  wabridge sync --json     the same for scripts

First a line for each business account at WhatsApp (WABA): how many templates it has in any state. Then one for each number:
its quality and its limit, which `wabridge status` shows from then on.
Exit codes: 0 all is fetched; 1 some could not be, and what was known stays in use; 3 there is no number yet.
--json prints: done; lists, of each: waba, connection, templates, failure; numbers, of each: number, quality, messaging_limit,
failure.")]
pub(crate) struct SyncArguments {
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    /// All is fetched.
    done: bool,
    lists: Vec<ListReport>,
    numbers: Vec<NumberReport>,
}

#[derive(Serialize)]
struct ListReport {
    waba: String,
    connection: String,
    /// As they are known now, also when they could not be fetched.
    templates: usize,
    failure: Option<String>,
}

#[derive(Serialize)]
struct NumberReport {
    number: String,
    /// As it is known now, also when it could not be read.
    quality: &'static str,
    messaging_limit: Option<String>,
    failure: Option<String>,
}

pub(crate) async fn sync(settings: &Settings, arguments: &SyncArguments) -> anyhow::Result<ExitCode> {
    let store = open_existing_store(settings).await?;
    let directory = Arc::new(Directory::load(store.clone()).await?);
    let exchange = provider_exchange(settings)?;
    let wait_max = settings.send.template_lookup;
    let channels = Channels::new(store.clone(), directory.clone(), exchange.clone());
    let lookup = Arc::new(TemplateLookup::new(store.clone(), directory.clone(), exchange, wait_max));
    lookup.sync_outdated(Duration::ZERO).await;
    channels.read_outdated(Duration::ZERO).await;

    let lists = store.load_templates().await?;
    let snapshot = directory.snapshot();
    let of = |(owner, sync): (_, wabridge::store::templates::TemplateSync)| {
        let owner: wabridge::store::templates::TemplateOwner = owner;
        let connection = snapshot.connections().find(|connection| connection.key == owner.connection);
        ListReport {
            connection: connection.map_or("?", |connection| connection.id.as_str()).to_owned(),
            templates: lists.get(&owner).map_or(0, Vec::len),
            failure: sync.failure.map(|(_, why)| why),
            waba: owner.provider_account_id,
        }
    };
    let lists: Vec<ListReport> = store.template_syncs().await?.into_iter().map(of).collect();
    let numbers = numbers(&store, &snapshot).await?;
    let read = |failure: &Option<String>| failure.is_none();
    let well = lists.iter().all(|list| read(&list.failure)) && numbers.iter().all(|number| read(&number.failure));
    let told = Report { done: well && !lists.is_empty(), lists, numbers };
    report(arguments.json, &text(&told)?, &told)?;
    Ok(match (told.lists.len(), well) {
        (0, _) => ExitCode::from(exit::NOTHING_FOUND),
        (_, true) => ExitCode::SUCCESS,
        (_, false) => ExitCode::FAILURE,
    })
}

async fn numbers(store: &Store, snapshot: &Snapshot) -> anyhow::Result<Vec<NumberReport>> {
    let mut channels = store.channels().await?;
    let of = |sender: &Arc<Sender>| {
        let channel = channels.remove(&sender.key).unwrap_or_default();
        let state = channel.state.map(|(_, state)| state).unwrap_or_default();
        NumberReport {
            number: sender.number.as_e164().to_owned(),
            quality: state.quality.as_str(),
            messaging_limit: state.messaging_limit.as_ref().map(ToString::to_string),
            failure: channel.failure.map(|(_, why)| why),
        }
    };
    Ok(snapshot.senders().map(of).collect())
}

fn text(told: &Report) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for ListReport { waba, connection, templates, failure } in &told.lists {
        match failure {
            Some(why) => writeln!(text, "{waba} through {connection}: failed: {why}")?,
            None => writeln!(text, "{waba} through {connection}: {}", counted(*templates, "template", "templates"))?,
        }
    }
    if told.lists.is_empty() {
        text.push_str("there is no number yet whose templates could be fetched; see `wabridge apply --help`\n");
    }
    for NumberReport { number, quality, messaging_limit, failure } in &told.numbers {
        let limit = messaging_limit.as_ref().map_or_else(String::new, |limit| format!(", {limit}"));
        match failure {
            Some(why) => writeln!(text, "{number}: failed: {why}")?,
            None => writeln!(text, "{number}: quality {quality}{limit}")?,
        }
    }
    if !told.done && !told.lists.is_empty() {
        writeln!(text, "what could not be fetched stays as it was known. `wabridge check` says more")?;
    }
    Ok(text)
}
