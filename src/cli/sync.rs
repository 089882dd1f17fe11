//! `wabridge sync`: templates, now.

use std::{fmt::Write as _, process::ExitCode, sync::Arc, time::Duration};

use clap::Args;
use serde::Serialize;
use wabridge::{
    app::{open_existing_store, provider_exchange},
    services::{directory::Directory, lookup::TemplateLookup},
    settings::Settings,
};

use super::{counted, exit, report};

/// Fetch the templates of every number now
///
/// The bridge does so by itself at the start, every few minutes, and when a provider says that one changed. A
/// running server takes over what this fetches within seconds.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wabridge sync            a template was approved just now: fetch it, and do not wait for the next round
  wabridge sync --json     the same for scripts

Each line is a business account at WhatsApp (WABA), and how many templates it has in any state.
Exit codes: 0 all lists are fetched; 1 some could not be, and the old ones stay in use; 3 there is no number yet.
--json prints: done, and for each of the lists: waba, connection, templates, failure.")]
pub(crate) struct SyncArguments {
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    /// All lists are fetched.
    done: bool,
    lists: Vec<ListReport>,
}

#[derive(Serialize)]
struct ListReport {
    waba: String,
    connection: String,
    /// As they are known now, also when they could not be fetched.
    templates: usize,
    failure: Option<String>,
}

pub(crate) async fn sync(settings: &Settings, arguments: &SyncArguments) -> anyhow::Result<ExitCode> {
    let store = open_existing_store(settings).await?;
    let directory = Arc::new(Directory::load(store.clone()).await?);
    let exchange = provider_exchange(settings)?;
    let wait_max = settings.send.template_lookup;
    let lookup = Arc::new(TemplateLookup::new(store.clone(), directory.clone(), exchange, wait_max));
    lookup.sync_outdated(Duration::ZERO).await;

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
    let failed = lists.iter().filter(|list| list.failure.is_some()).count();
    let told = Report { done: failed == 0 && !lists.is_empty(), lists };
    report(arguments.json, &text(&told, failed)?, &told)?;
    Ok(match (told.lists.len(), failed) {
        (0, _) => ExitCode::from(exit::NOTHING_FOUND),
        (_, 0) => ExitCode::SUCCESS,
        (_, _) => ExitCode::FAILURE,
    })
}

fn text(told: &Report, failed: usize) -> Result<String, std::fmt::Error> {
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
    if failed > 0 {
        let lists = counted(failed, "list", "lists");
        writeln!(text, "{lists} could not be fetched; the old ones stay in use. `wabridge check` says more")?;
    }
    Ok(text)
}
