//! What is stored, said as a file would say it: read again, it is the same. Pure.
//!
//! Whoever changes one thing by itself begins with what this says of it, puts other values into it, and has it read by the
//! file's own reader. So a form knows no rule that a file does not know. Secrets are in it as they are: it is never shown.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use toml::{Table, Value};

use super::{
    ApplyFile,
    difference::{as_the_file_spells, table},
    senders::URL_KEYS,
};
use crate::{
    domain::{
        account::{Account, Connection, Credentials, Sender},
        callback::EventKind,
        ids::{AccountKey, SenderKey},
        phone::PhoneNumber,
        time::UnixMillis,
    },
    store::configuration::{AccountRecord, Configuration, ConnectionRecord, SenderRecord},
};

/// One thing that is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Connection(String),
    Account(String),
    Sender(PhoneNumber),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(id) => write!(f, "connection {id}"),
            Self::Account(id) => write!(f, "account {id}"),
            Self::Sender(number) => write!(f, "number {}", number.as_e164()),
        }
    }
}

/// What is stored of it; `None` when there is no such thing. A number's table names its account under `account`.
pub fn stated(stored: &Configuration, subject: &Subject) -> Option<Table> {
    match subject {
        Subject::Connection(id) => stored.connection(id).map(|connection| connection_table(&record_of(connection))),
        Subject::Account(id) => {
            let account = stored.account(id)?;
            let urls = stored_urls(stored, account.key, None);
            Some(account_table(&record_of_account(account), urls))
        }
        Subject::Sender(number) => {
            let sender = stored.sender(number)?;
            let account = stored.accounts.iter().find(|account| account.key == sender.account)?;
            let urls = stored_urls(stored, account.key, Some(sender.key));
            Some(sender_table(&record_of_sender(sender, account), urls))
        }
    }
}

/// The same of what a file says, defaults filled in.
pub fn stated_in(file: &ApplyFile, subject: &Subject) -> Option<Table> {
    match subject {
        Subject::Connection(id) => {
            let connection = file.connections.iter().find(|stated| stated.what.id == *id)?;
            Some(connection_table(&connection.what))
        }
        Subject::Account(id) => {
            let account = file.accounts.iter().find(|stated| stated.what.id == *id)?;
            Some(account_table(&account.what, urls_in(file, id, None)))
        }
        Subject::Sender(number) => {
            let sender = file.senders.iter().find(|stated| stated.what.number == *number)?;
            Some(sender_table(&sender.what, urls_in(file, &sender.what.account, Some(number))))
        }
    }
}

/// Callback URLs, in the order of [`URL_KEYS`].
type Urls = [Option<SecretString>; 2];

fn stored_urls(stored: &Configuration, account: AccountKey, sender: Option<SenderKey>) -> Urls {
    URL_KEYS.map(|(kind, _)| {
        let mut own = stored.subscriptions.iter();
        let found = own.find(|one| one.account == account && one.sender == sender && one.kind == kind);
        found.map(|one| one.url.clone())
    })
}

fn urls_in(file: &ApplyFile, account: &str, sender: Option<&PhoneNumber>) -> Urls {
    let url = |(kind, _): (EventKind, &str)| {
        let mut stated = file.subscriptions.iter().map(|stated| &stated.what);
        let found =
            stated.find(|what| what.account == account && what.sender.as_ref() == sender && what.kind == kind)?;
        found.url.clone()
    };
    URL_KEYS.map(url)
}

fn record_of(connection: &Connection) -> ConnectionRecord {
    ConnectionRecord {
        id: connection.id.clone(),
        provider: connection.provider.clone(),
        settings: connection.settings.clone(),
        secrets: connection.secrets.clone(),
    }
}

fn record_of_account(account: &Account) -> AccountRecord {
    AccountRecord {
        id: account.id.clone(),
        name: account.name.clone(),
        platform: account.platform.clone(),
        enabled: account.enabled,
        policy: account.policy.clone(),
        credentials: account.credentials.clone(),
    }
}

fn record_of_sender(sender: &Sender, account: &Account) -> SenderRecord {
    SenderRecord {
        account: account.id.clone(),
        connection: sender.connection.id.clone(),
        number: sender.number.clone(),
        provider_number_id: sender.provider_number_id.clone(),
        provider_account_id: sender.provider_account_id.clone(),
        messages_per_second: sender.messages_per_second,
        policy: sender.policy.clone(),
    }
}

fn connection_table(record: &ConnectionRecord) -> Table {
    let mut fields = Table::new();
    put(&mut fields, "id", &record.id);
    put(&mut fields, "provider", &record.provider);
    for (name, value) in &record.settings {
        put(&mut fields, name, value);
    }
    for (name, values) in &record.secrets {
        put_secrets(&mut fields, name, values);
    }
    fields
}

fn account_table(record: &AccountRecord, urls: Urls) -> Table {
    let mut fields = Table::new();
    put(&mut fields, "id", &record.id);
    put(&mut fields, "name", &record.name);
    put(&mut fields, "platform", &record.platform);
    fields.insert("enabled".to_owned(), record.enabled.into());
    // An empty name of the account is none.
    let spelt = as_the_file_spells(&record.policy, &record.platform).into_iter();
    fields.extend(spelt.filter(|(_, value)| value.as_str() != Some("")));
    put_credentials(&mut fields, &record.platform, &record.credentials);
    put_urls(&mut fields, urls);
    fields
}

fn put_credentials(fields: &mut Table, platform: &str, credentials: &Credentials) {
    put_secrets(fields, &format!("{platform}_passcode"), &credentials.passcodes);
    if let Some(old) = &credentials.old_passcodes {
        put_secrets(fields, &format!("{platform}_old_passcode"), &old.passcodes);
        put(fields, &format!("{platform}_old_passcode_until"), &old.until.to_string());
    }
    if let Some((username, password)) = &credentials.basic {
        put(fields, "basic_username", username);
        put(fields, "basic_password", password.expose_secret());
    }
    for (key, secret) in [
        ("bearer_token".to_owned(), &credentials.bearer_token),
        ("url_token".to_owned(), &credentials.url_token),
        (format!("{platform}_api_passcode"), &credentials.api_passcode),
    ] {
        if let Some(secret) = secret {
            put(fields, &key, secret.expose_secret());
        }
    }
    let text = |value: &SecretString| Value::from(value.expose_secret());
    let headers: Table = credentials.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    if !headers.is_empty() {
        fields.insert("headers".to_owned(), headers.into());
    }
}

fn sender_table(record: &SenderRecord, urls: Urls) -> Table {
    let mut fields = Table::new();
    put(&mut fields, "account", &record.account);
    put(&mut fields, "number", record.number.as_e164());
    put(&mut fields, "connection", &record.connection);
    put(&mut fields, "phone_number_id", &record.provider_number_id);
    put(&mut fields, "waba_id", &record.provider_account_id);
    fields.insert("messages_per_second".to_owned(), i64::from(record.messages_per_second).into());
    fields.extend(table(&record.policy));
    put_urls(&mut fields, urls);
    fields
}

fn put_urls(fields: &mut Table, urls: Urls) {
    for ((_, key), url) in URL_KEYS.into_iter().zip(urls) {
        if let Some(url) = url {
            put(fields, key, url.expose_secret());
        }
    }
}

fn put(fields: &mut Table, key: &str, value: &str) {
    fields.insert(key.to_owned(), value.into());
}

/// One by itself, several as a list.
fn put_secrets(fields: &mut Table, key: &str, secrets: &[SecretString]) {
    match secrets {
        [] => {}
        [one] => put(fields, key, one.expose_secret()),
        [_, _, ..] => {
            let texts: Vec<Value> = secrets.iter().map(|secret| secret.expose_secret().into()).collect();
            fields.insert(key.to_owned(), texts.into());
        }
    }
}

/// Takes out passcodes that open nothing any more.
pub fn forget_old_passcodes(fields: &mut Table, now: UnixMillis) {
    let platform = fields.get("platform").and_then(Value::as_str).unwrap_or_default().to_owned();
    let key = format!("{platform}_old_passcode");
    let until_key = format!("{key}_until");
    let until = fields.get(&until_key).and_then(Value::as_str);
    let until = until.and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok());
    if until.is_some_and(|until| until.timestamp_millis() <= now.0) {
        fields.remove(&key);
        fields.remove(&until_key);
    }
}
