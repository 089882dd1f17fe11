//! A file that states every secret anew, because the master key is lost and those that are stored cannot be read.

use std::time::Duration;

use secrecy::ExposeSecret;

use super::{
    ApplyError, ApplyFile, Change,
    difference::{self, callbacks_name},
};
use crate::{
    domain::callback::Subscription,
    store::{
        Store,
        configuration::{Configuration, ConfigurationRecords},
        replace::Replaced,
    },
};

/// What was replaced.
#[derive(Debug)]
pub struct Replacement {
    pub changes: Vec<Change>,
    /// How many secrets there are now.
    pub secrets: usize,
    /// Entries of the suppression list that are lost.
    pub forgotten: u64,
}

/// Writes everything that the file says under the store's master key, in the place of secrets that it does not open.
pub async fn replace(store: &Store, file: &ApplyFile, seen_within: Duration) -> Result<Replacement, ApplyError> {
    match store.replace_secrets(seen_within, |stored| decide(stored, file)).await? {
        Replaced::Done { also: changes, secrets, forgotten } => Ok(Replacement { changes, secrets, forgotten }),
        Replaced::Refused(refusal) => Err(refusal),
        Replaced::StillRunning(instances) => Err(ApplyError::StillRunning(instances)),
    }
}

/// Says what [`replace`] would change.
pub async fn preview_replacement(store: &Store, file: &ApplyFile) -> Result<Vec<Change>, ApplyError> {
    decide(&store.load_configuration_without_secrets().await?, file).map(|(_, changes)| changes)
}

fn decide(stored: &Configuration, file: &ApplyFile) -> Result<(ConfigurationRecords, Vec<Change>), ApplyError> {
    let difference = difference::difference(stored, file).map_err(ApplyError::Problems)?;
    let left_out = left_out(stored, file);
    if !left_out.is_empty() {
        return Err(ApplyError::LeftOut(left_out));
    }
    let records = ConfigurationRecords {
        connections: file.connections.iter().map(|stated| stated.what.clone()).collect(),
        accounts: file.accounts.iter().map(|stated| stated.what.clone()).collect(),
        senders: file.senders.iter().map(|stated| stated.what.clone()).collect(),
        subscriptions: file.subscriptions.iter().map(|stated| stated.what.clone()).collect(),
        webhooks: file.webhooks.iter().map(|stated| stated.what.clone()).collect(),
        audit: vec![],
    };
    Ok((records, difference.changes))
}

/// What is stored with a secret, and has none in the file.
fn left_out(stored: &Configuration, file: &ApplyFile) -> Vec<String> {
    let connections = stored.connections.iter().map(|connection| connection.id.as_str());
    let connections = connections.filter(|id| file.connections.iter().all(|stated| stated.what.id != *id));
    let accounts = stored.accounts.iter().map(|account| account.id.as_str());
    let accounts = accounts.filter(|id| file.accounts.iter().all(|stated| stated.what.id != *id));
    let callbacks = stored.subscriptions.iter().filter_map(|subscription| silent(stored, file, subscription));
    let webhooks = stored.webhooks.iter().map(|webhook| webhook.name.as_str());
    let webhooks = webhooks.filter(|name| file.webhooks.iter().all(|stated| stated.what.name != *name));
    connections
        .map(|id| format!("connection {id}"))
        .chain(accounts.map(|id| format!("account {id}")))
        .chain(callbacks.map(|name| format!("the URL of {name}")))
        .chain(webhooks.map(|name| format!("webhook {name}")))
        .collect()
}

/// The name of a subscription whose URL the file does not state.
fn silent(stored: &Configuration, file: &ApplyFile, subscription: &Subscription) -> Option<String> {
    let account = stored.accounts.iter().find(|account| account.key == subscription.account)?;
    let sender = subscription.sender.and_then(|key| stored.senders.iter().find(|sender| sender.key == key));
    let number = sender.map(|sender| &sender.number);
    let stated = file.subscriptions.iter().map(|stated| &stated.what).any(|what| {
        what.account == account.id
            && what.kind == subscription.kind
            && what.sender.as_ref() == number
            && what.url.as_ref().is_some_and(|url| !url.expose_secret().is_empty())
    });
    (!stated).then(|| callbacks_name(subscription.kind, &account.id, number))
}
