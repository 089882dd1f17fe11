//! What a file would change. Pure: the stored configuration and the file in, records to write and words
//! for people out. Values of secrets are compared and never shown.

use std::{collections::BTreeMap, fmt};

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use toml::{Table, Value};

use super::{ApplyFile, ApplyProblem, Reference, Stated};
use crate::{
    domain::{
        account::{Account, AccountPolicy, Connection, Credentials, OldPasscodes, Sender},
        callback::{EventKind, Subscription},
        phone::PhoneNumber,
        webhook::Webhook,
        webhook_settings::WebhookSettings,
    },
    providers,
    services::webhooks::{Known, check_names},
    store::{
        configuration::{
            AccountRecord, Configuration, ConfigurationRecords, ConnectionRecord, SenderRecord, SubscriptionRecord,
        },
        webhooks::WebhookRecord,
    },
};

/// What has to be written, and the same in words.
#[derive(Debug, Default)]
pub struct Difference {
    pub records: ConfigurationRecords,
    pub changes: Vec<Change>,
}

/// One thing that is new, different, or no longer wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub kind: ChangeKind,
    /// For example `account acme`.
    pub subject: String,
    /// For example `time_zone "UTC" -> "Asia/Kolkata"`.
    pub details: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Added,
    Changed,
    Removed,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.kind {
            ChangeKind::Added => '+',
            ChangeKind::Changed => '~',
            ChangeKind::Removed => '-',
        };
        write!(f, "{sign} {}", self.subject)?;
        if !self.details.is_empty() {
            write!(f, ": {}", self.details.join(", "))?;
        }
        Ok(())
    }
}

/// Compares; the problems are about what the file cannot know: what else is stored.
pub fn difference(stored: &Configuration, file: &ApplyFile) -> Result<Difference, Vec<ApplyProblem>> {
    let problems = conflicts(stored, file);
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut difference = Difference::default();
    for Stated { what, .. } in &file.connections {
        if difference.note(format!("connection {}", what.id), connection_details(stored.connection(&what.id), what)) {
            difference.records.connections.push(what.clone());
        }
    }
    for Stated { what, .. } in &file.accounts {
        if difference.note(format!("account {}", what.id), account_details(stored.account(&what.id), what)) {
            difference.records.accounts.push(what.clone());
        }
    }
    for Stated { what, .. } in &file.senders {
        let subject = format!("sender {}", what.number.as_e164());
        if difference.note(subject, sender_details(stored.sender(&what.number), what)) {
            difference.records.senders.push(what.clone());
        }
    }
    for Stated { what, .. } in &file.subscriptions {
        if let Some(change) = subscription_change(stored, what) {
            difference.changes.push(change);
            difference.records.subscriptions.push(what.clone());
        }
    }
    for Stated { what, .. } in &file.webhooks {
        let before = stored.webhook(&what.name);
        if difference.note(format!("webhook {}", what.name), before.map(|before| webhook_details(before, what))) {
            // Somebody may have rotated the secret: the one before it goes on signing for its time.
            let old_signing_secrets = before.map(|before| before.old_signing_secrets.clone()).unwrap_or_default();
            difference.records.webhooks.push(WebhookRecord {
                // A webhook that exists goes on where it stands.
                since: what.since.filter(|_| before.is_none()),
                old_signing_secrets,
                ..what.clone()
            });
        }
    }
    Ok(difference)
}

/// The names of what differs; values may be secrets.
fn webhook_details(stored: &Webhook, wanted: &WebhookRecord) -> Vec<String> {
    let mut details = Vec::new();
    for (name, old, new) in [("enabled", stored.enabled, wanted.enabled), ("paused", stored.paused, wanted.paused)] {
        if old != new {
            details.push(format!("{name}: {old} → {new}"));
        }
    }
    if stored.settings != wanted.settings {
        let fields = |settings: &WebhookSettings| serde_json::to_value(settings).unwrap_or_default();
        let (old, new) = (fields(&stored.settings), fields(&wanted.settings));
        let changed = new.as_object().into_iter().flatten().filter(|(name, value)| old.get(name) != Some(value));
        details.extend(changed.map(|(name, _)| format!("{name} changed")));
    }
    details
}

impl Difference {
    /// `None`: the subject is new. No details: it is as it was.
    fn note(&mut self, subject: String, details: Option<Vec<String>>) -> bool {
        let change = match details {
            None => Change { kind: ChangeKind::Added, subject, details: Vec::new() },
            Some(details) if details.is_empty() => return false,
            Some(details) => Change { kind: ChangeKind::Changed, subject, details },
        };
        self.changes.push(change);
        true
    }
}

fn connection_details(stored: Option<&Connection>, wanted: &ConnectionRecord) -> Option<Vec<String>> {
    let stored = stored?;
    let mut details =
        map_details(&stored.settings, &wanted.settings, |old, new| old == new, |value| format!("{value:?}"));
    details.extend(map_details(
        &stored.secrets,
        &wanted.secrets,
        |old, new| same_secrets(old, new),
        |_| "…".to_owned(),
    ));
    if let Some(hold) = stored.hold.as_ref().filter(|_| !details.is_empty()) {
        details.push(format!(
            "still on hold {} ({}), release it when it should work again",
            hold.by_whom(),
            hold.reason
        ));
    }
    Some(details)
}

fn account_details(stored: Option<&Account>, wanted: &AccountRecord) -> Option<Vec<String>> {
    let stored = stored?;
    let mut details = Vec::new();
    push_detail(&mut details, "name", &stored.name, &wanted.name);
    push_detail(&mut details, "enabled", &stored.enabled, &wanted.enabled);
    let spelt = |policy| as_the_file_spells(policy, &wanted.platform);
    push_table_details(&mut details, "", &spelt(&stored.policy), &spelt(&wanted.policy));
    details.extend(credential_details(&stored.credentials, wanted));
    Some(details)
}

/// A policy under the names that it has in the file, without what is off.
pub(super) fn as_the_file_spells(policy: &AccountPolicy, platform: &str) -> Table {
    let mut fields = table(policy);
    for name in ["account_id", "region"] {
        if let Some(value) = fields.remove(&format!("platform_{name}")) {
            fields.insert(format!("{platform}_{name}"), value);
        }
    }
    if let Some(sync) = fields.get_mut("subscribe_sync").and_then(Value::as_table_mut) {
        sync.remove("enabled");
    }
    if !policy.subscribe_sync.enabled {
        fields.remove("subscribe_sync");
    }
    fields
}

pub(super) fn table(policy: &impl Serialize) -> Table {
    Table::try_from(policy).expect("a policy is plain data")
}

fn credential_details(stored: &Credentials, record: &AccountRecord) -> Vec<String> {
    let (wanted, platform) = (&record.credentials, &record.platform);
    let basic_name = |credentials: &Credentials| credentials.basic.as_ref().map(|(name, _)| name.clone());
    let basic_password = |credentials: &Credentials| credentials.basic.as_ref().map(|(_, password)| password.clone());
    let mut details = Vec::new();
    for (name, same) in [
        (format!("{platform}_passcode"), same_secrets(&stored.passcodes, &wanted.passcodes)),
        (
            format!("{platform}_old_passcode"),
            same_old_passcodes(stored.old_passcodes.as_ref(), wanted.old_passcodes.as_ref()),
        ),
        ("basic_username".to_owned(), basic_name(stored) == basic_name(wanted)),
        ("basic_password".to_owned(), same_secret(basic_password(stored).as_ref(), basic_password(wanted).as_ref())),
        ("bearer_token".to_owned(), same_secret(stored.bearer_token.as_ref(), wanted.bearer_token.as_ref())),
        (format!("{platform}_api_passcode"), same_secret(stored.api_passcode.as_ref(), wanted.api_passcode.as_ref())),
        ("url_token".to_owned(), same_secret(stored.url_token.as_ref(), wanted.url_token.as_ref())),
    ] {
        if !same {
            details.push(format!("{name} changed"));
        }
    }
    let same = |old: &SecretString, new: &SecretString| same_secret(Some(old), Some(new));
    details.extend(map_details(&stored.headers, &wanted.headers, same, |_| "…".to_owned()));
    details
}

fn sender_details(stored: Option<&Sender>, wanted: &SenderRecord) -> Option<Vec<String>> {
    let stored = stored?;
    let mut details = Vec::new();
    push_detail(&mut details, "connection", &stored.connection.id, &wanted.connection);
    push_detail(&mut details, "phone_number_id", &stored.provider_number_id, &wanted.provider_number_id);
    push_detail(&mut details, "waba_id", &stored.provider_account_id, &wanted.provider_account_id);
    push_detail(&mut details, "messages_per_second", &stored.messages_per_second, &wanted.messages_per_second);
    push_table_details(&mut details, "", &table(&stored.policy), &table(&wanted.policy));
    Some(details)
}

fn subscription_change(stored: &Configuration, wanted: &SubscriptionRecord) -> Option<Change> {
    let subject = callbacks_name(wanted.kind, &wanted.account, wanted.sender.as_ref());
    match (find_subscription(stored, wanted), &wanted.url) {
        (None, None) => None,
        (None, Some(_)) => Some(Change { kind: ChangeKind::Added, subject, details: Vec::new() }),
        (Some(_), None) => Some(Change { kind: ChangeKind::Removed, subject, details: Vec::new() }),
        (Some(stored), Some(url)) if same_secret(Some(&stored.url), Some(url)) => None,
        (Some(_), Some(_)) => {
            Some(Change { kind: ChangeKind::Changed, subject, details: vec!["URL changed".to_owned()] })
        }
    }
}

pub(super) fn callbacks_name(kind: EventKind, account: &str, number: Option<&PhoneNumber>) -> String {
    let what = match kind {
        EventKind::Status => "delivery reports",
        EventKind::Inbound => "inbound messages",
        EventKind::Notice => "notices",
        EventKind::Outgoing => "messages going out",
        EventKind::Person => "contacts and conversations",
    };
    match number {
        Some(number) => format!("callbacks with {what} of {} of account {account}", number.as_e164()),
        None => format!("callbacks with {what} of account {account}"),
    }
}

fn find_subscription<'a>(stored: &'a Configuration, wanted: &SubscriptionRecord) -> Option<&'a Subscription> {
    let account = stored.account(&wanted.account)?.key;
    let sender = match &wanted.sender {
        Some(number) => Some(stored.sender(number)?.key),
        None => None,
    };
    let mut subscriptions = stored.subscriptions.iter();
    subscriptions.find(|one| one.account == account && one.kind == wanted.kind && one.sender == sender)
}

/// What the file says that what is stored forbids.
pub(super) fn conflicts(stored: &Configuration, file: &ApplyFile) -> Vec<ApplyProblem> {
    let mut problems = Vec::new();
    let mut problem = |line: usize, field: &str, message: String| {
        problems.push(ApplyProblem { file: file.file_name.clone(), line, field: field.to_owned(), message });
    };
    for Stated { line, what } in &file.connections {
        if let Some(connection) = stored.connection(&what.id).filter(|connection| connection.provider != what.provider)
        {
            let message = format!("cannot change from {}: give the new connection another id", connection.provider);
            problem(*line, "connections.provider", message);
        }
    }
    for Stated { line, what } in &file.accounts {
        if let Some(account) = stored.account(&what.id).filter(|account| account.platform != what.platform) {
            let message = format!("cannot change from {}: give the new account another id", account.platform);
            problem(*line, "accounts.platform", message);
        }
    }
    for Stated { line, what } in &file.senders {
        if let Some((field, message)) = sender_conflict(stored, file, what) {
            problem(*line, field, message);
        }
    }
    let in_file = file.senders.iter().map(|stated| stated.what.number.as_e164());
    let numbers: Vec<&str> = stored.senders.iter().map(|sender| sender.number.as_e164()).chain(in_file).collect();
    let known = Known {
        accounts: &|id| stored.account(id).is_some() || file.accounts.iter().any(|stated| stated.what.id == id),
        numbers: &numbers,
        webhooks: &|name| stored.webhook(name).is_some() || file.webhooks.iter().any(|stated| stated.what.name == name),
    };
    for Stated { line, what } in &file.webhooks {
        for wrong in check_names(&what.name, &what.settings, &known) {
            let field = format!("webhook.{}.{}", what.name, wrong.field);
            problem(file.places.get(&field).copied().unwrap_or(*line), &field, wrong.message);
        }
    }
    for Reference { connection, ids } in &file.references {
        let in_file = file.providers.get(&connection.what).map(Option::as_deref);
        let in_database = || stored.connection(&connection.what).map(|connection| Some(connection.provider.as_str()));
        let Some(provider) = in_file.or_else(in_database) else {
            let message = format!("there is no connection {}: add it first", connection.what);
            problem(connection.line, "accounts.senders.connection", message);
            continue;
        };
        let Some(provider) = provider.and_then(providers::find) else { continue };
        for (key, id) in ids {
            if let Err(message) = provider.check_id(&id.what) {
                problem(id.line, &format!("accounts.senders.{key}"), message);
            }
        }
    }
    problems
}

fn sender_conflict(stored: &Configuration, file: &ApplyFile, wanted: &SenderRecord) -> Option<(&'static str, String)> {
    // One pacer and one log for a number; replies could not be told apart either.
    let elsewhere =
        |sender: &&Sender| stored.account(&wanted.account).is_none_or(|account| account.key != sender.account);
    if let Some(sender) = stored.sender(&wanted.number).filter(elsewhere) {
        let mut accounts = stored.accounts.iter();
        let owner =
            accounts.find(|account| account.key == sender.account).map_or("another", |account| account.id.as_str());
        let message =
            format!("belongs to account {owner}, and a number can belong to one account only: remove it here");
        return Some(("accounts.senders.number", message));
    }
    let restated = |sender: &Sender| file.senders.iter().any(|stated| stated.what.number == sender.number);
    let mut others = stored.senders.iter().filter(|sender| sender.number != wanted.number && !restated(sender));
    let same = others.find(|sender| {
        sender.connection.id == wanted.connection && sender.provider_number_id == wanted.provider_number_id
    })?;
    let message = format!("is that of {} already: check which number it belongs to", same.number.as_e164());
    Some(("accounts.senders.phone_number_id", message))
}

fn push_detail<T: PartialEq + fmt::Display>(details: &mut Vec<String>, name: &str, old: &T, new: &T) {
    if old != new {
        details.push(format!("{name} {old} -> {new}"));
    }
}

/// Field by field, tables within tables too.
fn push_table_details(details: &mut Vec<String>, path: &str, old: &Table, new: &Table) {
    let gone = old.keys().filter(|key| !new.contains_key(*key));
    for key in new.keys().chain(gone) {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (old.get(key), new.get(key)) {
            (Some(Value::Table(old)), Some(Value::Table(new))) => push_table_details(details, &path, old, new),
            (old, new) if old == new => {}
            (old, new) => details.push(format!("{path} {} -> {}", shown(old), shown(new))),
        }
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "none".to_owned(), ToString::to_string)
}

fn map_details<T>(
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
    same: impl Fn(&T, &T) -> bool,
    show: impl Fn(&T) -> String,
) -> Vec<String> {
    let mut details = Vec::new();
    for (name, new_value) in new {
        match old.get(name) {
            None => details.push(format!("{name} added")),
            Some(old_value) if same(old_value, new_value) => {}
            Some(old_value) => match (show(old_value), show(new_value)) {
                // What must not be shown looks alike.
                (old_text, new_text) if old_text == new_text => details.push(format!("{name} changed")),
                (old_text, new_text) => details.push(format!("{name} {old_text} -> {new_text}")),
            },
        }
    }
    details.extend(old.keys().filter(|name| !new.contains_key(*name)).map(|name| format!("{name} removed")));
    details
}

fn same_old_passcodes(old: Option<&OldPasscodes>, new: Option<&OldPasscodes>) -> bool {
    match (old, new) {
        (None, None) => true,
        (Some(old), Some(new)) => old.until == new.until && same_secrets(&old.passcodes, &new.passcodes),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

fn same_secrets(old: &[SecretString], new: &[SecretString]) -> bool {
    old.len() == new.len() && old.iter().zip(new).all(|(old, new)| same_secret(Some(old), Some(new)))
}

/// The operator has both; nobody else measures how long this takes.
fn same_secret(old: Option<&SecretString>, new: Option<&SecretString>) -> bool {
    old.map(ExposeSecret::expose_secret) == new.map(ExposeSecret::expose_secret)
}
