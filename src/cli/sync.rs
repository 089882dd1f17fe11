//! `wabridge sync`: templates, now.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use anyhow::bail;
use wabridge::{
    app::{open_existing_store, provider_exchange},
    services::{directory::Directory, lookup::TemplateLookup},
    settings::Settings,
};

use super::answer;

pub(crate) async fn sync(settings: &Settings) -> anyhow::Result<()> {
    let store = open_existing_store(settings).await?;
    let directory = Arc::new(Directory::load(store.clone()).await?);
    let exchange = provider_exchange(settings)?;
    let wait_max = settings.send.template_lookup;
    let lookup = Arc::new(TemplateLookup::new(store.clone(), directory.clone(), exchange, wait_max));
    lookup.sync_outdated(Duration::ZERO).await;

    let lists = store.load_templates().await?;
    let mut text = String::new();
    let mut failed = 0;
    for (owner, sync) in store.template_syncs().await? {
        let snapshot = directory.snapshot();
        let connection = snapshot.connections().find(|connection| connection.key == owner.connection);
        let connection = connection.map_or("?", |connection| connection.id.as_str());
        let whose = format!("{} through {connection}", owner.provider_account_id);
        match sync.failure {
            Some((_, why)) => {
                failed += 1;
                writeln!(text, "{whose}: failed: {why}")?;
            }
            None => writeln!(text, "{whose}: {} templates", lists.get(&owner).map_or(0, Vec::len))?,
        }
    }
    if text.is_empty() {
        text.push_str("there is no number yet whose templates could be fetched; see `wabridge apply --help`\n");
    }
    answer(&text)?;
    if failed > 0 {
        bail!("{failed} lists could not be fetched; the old ones stay in use");
    }
    Ok(())
}
