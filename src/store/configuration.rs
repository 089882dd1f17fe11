//! Connections, accounts, sender numbers and subscriptions: read whole, changed seldom and in one transaction.
//!
//! Tokens, passcodes and callback URLs are sealed before they are written and opened once when they are
//! read, never for each message. Every change raises a version; a running instance compares it each
//! second and reads everything again when it has grown.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, QueryResult, Value};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use url::Url;

use super::{
    Doing, Store, StoreError, execute,
    holds::{CONFIGURATION, bump},
    query,
    vault::Vault,
};
use crate::domain::{
    account::{Account, AccountPolicy, Connection, Credentials, Hold, Sender, SenderPolicy},
    callback::{EventKind, Subscription},
    ids::{AccountKey, ConnectionKey, SenderKey, SubscriptionKey},
    phone::PhoneNumber,
    time::UnixMillis,
};

/// Everything that is configured, secrets opened. Disabled accounts are part of it (their last messages
/// still have statuses); disabled subscriptions are not.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    pub connections: Vec<Arc<Connection>>,
    pub accounts: Vec<Account>,
    pub senders: Vec<Sender>,
    pub subscriptions: Vec<Subscription>,
}

impl Configuration {
    pub fn connection(&self, id: &str) -> Option<&Connection> {
        self.connections.iter().find(|connection| connection.id == id).map(AsRef::as_ref)
    }

    pub fn account(&self, id: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.id == id)
    }

    pub fn sender(&self, number: &PhoneNumber) -> Option<&Sender> {
        self.senders.iter().find(|sender| sender.number == *number)
    }
}

/// What shall be stored. What exists under the same id or number is overwritten.
#[derive(Clone, Debug, Default)]
pub struct ConfigurationRecords {
    pub connections: Vec<ConnectionRecord>,
    pub accounts: Vec<AccountRecord>,
    pub senders: Vec<SenderRecord>,
    pub subscriptions: Vec<SubscriptionRecord>,
}

impl ConfigurationRecords {
    fn is_empty(&self) -> bool {
        self.connections.is_empty()
            && self.accounts.is_empty()
            && self.senders.is_empty()
            && self.subscriptions.is_empty()
    }
}

#[derive(Clone, Debug)]
pub struct ConnectionRecord {
    pub id: String,
    pub provider: String,
    pub settings: BTreeMap<String, String>,
    pub secrets: BTreeMap<String, Vec<SecretString>>,
}

#[derive(Clone, Debug)]
pub struct AccountRecord {
    pub id: String,
    pub name: String,
    pub platform: String,
    pub enabled: bool,
    pub policy: AccountPolicy,
    pub credentials: Credentials,
}

/// Account and connection by their ids.
#[derive(Clone, Debug)]
pub struct SenderRecord {
    pub account: String,
    pub connection: String,
    pub number: PhoneNumber,
    pub provider_number_id: String,
    pub provider_account_id: String,
    pub messages_per_second: u32,
    pub policy: SenderPolicy,
}

/// The callbacks of one kind for an account, or for one of its numbers.
#[derive(Clone, Debug)]
pub struct SubscriptionRecord {
    pub account: String,
    pub kind: EventKind,
    pub sender: Option<PhoneNumber>,
    pub dialect: String,
    /// `None`: no such callbacks are wanted. The row stays, without work.
    pub url: Option<SecretString>,
}

impl Store {
    /// Everything that is configured, secrets opened.
    pub async fn load_configuration(&self) -> Result<Configuration, StoreError> {
        load(self.reader(), Some(self.vault())).await.doing("read the configuration")
    }

    /// The same without its secrets, as if there were none: for when the master key is lost.
    pub async fn load_configuration_without_secrets(&self) -> Result<Configuration, StoreError> {
        load(self.reader(), None).await.doing("read the configuration")
    }

    /// Changes the configuration: `decide` sees what is stored and says what to write, and nobody else
    /// writes in between. What it gives besides is handed back. Nothing to write, or its refusal: nothing is touched.
    pub async fn change_configuration<T, E>(
        &self,
        decide: impl FnOnce(&Configuration) -> Result<(ConfigurationRecords, T), E>,
    ) -> Result<Result<T, E>, StoreError> {
        let doing = "change the configuration";
        let transaction = self.begin().await.doing(doing)?;
        // First of all, because this row is also the lock that keeps a second change out.
        bump(&transaction, CONFIGURATION).await.doing(doing)?;
        let stored = load(&transaction, Some(self.vault())).await.doing(doing)?;
        let decided = decide(&stored);
        match &decided {
            Ok((records, _)) if !records.is_empty() => {
                save(&transaction, self.vault(), records, self.now()).await.doing(doing)?;
                transaction.commit().await.doing(doing)?;
            }
            Ok(_) | Err(_) => transaction.rollback().await.doing(doing)?,
        }
        Ok(decided.map(|(_, also)| also))
    }
}

/// The rows that point before those that they point to: what is committed in between can only be too
/// much, never missing. Without a vault there are no secrets in it.
pub(super) async fn load(connection: &impl ConnectionTrait, vault: Option<&Vault>) -> Result<Configuration, DbErr> {
    let sql = "SELECT key, account, kind, sender, dialect, url, held_since, held_reason FROM subscriptions \
               WHERE enabled ORDER BY key";
    let subscriptions = query(connection, sql, vec![]).await?;
    let sql = "SELECT key, account, connection, number, provider_number_id, provider_account_id, messages_per_second, \
               policy, held_since, held_reason FROM senders ORDER BY key";
    let senders = query(connection, sql, vec![]).await?;
    let sql = "SELECT key, id, name, platform, enabled, policy, credentials FROM accounts ORDER BY key";
    let accounts = query(connection, sql, vec![]).await?;
    let sql = "SELECT key, id, provider, settings, secrets, held_since, held_reason FROM connections ORDER BY key";
    let connections = query(connection, sql, vec![]).await?;

    let connections: Vec<_> = read_all(&connections, |row| read_connection(row, vault).map(Arc::new))?;
    let by_key: HashMap<_, _> = connections.iter().map(|connection| (connection.key, connection)).collect();
    let senders: Vec<_> = read_all(&senders, |row| read_sender(row, &by_key))?;
    let accounts: Vec<_> = read_all(&accounts, |row| read_account(row, vault))?;
    let owners = Owners {
        accounts: accounts.iter().map(|account| (account.key, account.id.as_str())).collect(),
        senders: senders.iter().map(|sender| (sender.key, &sender.number)).collect(),
    };
    let subscriptions = read_all(&subscriptions, |row| read_subscription(row, &owners, vault))?;
    Ok(Configuration { connections, accounts, senders, subscriptions })
}

fn read_all<T>(rows: &[QueryResult], read: impl Fn(&QueryResult) -> Result<T, DbErr>) -> Result<Vec<T>, DbErr> {
    rows.iter().map(read).collect()
}

fn read_connection(row: &QueryResult, vault: Option<&Vault>) -> Result<Connection, DbErr> {
    let id: String = row.try_get("", "id")?;
    let settings: String = row.try_get("", "settings")?;
    Ok(Connection {
        key: ConnectionKey(row.try_get("", "key")?),
        provider: row.try_get("", "provider")?,
        settings: from_json(settings.as_bytes(), "a connection's settings")?,
        secrets: open_json(vault, &place_of_connection(&id), row, "secrets")?,
        hold: read_hold(row)?,
        id,
    })
}

fn read_account(row: &QueryResult, vault: Option<&Vault>) -> Result<Account, DbErr> {
    let id: String = row.try_get("", "id")?;
    let policy: String = row.try_get("", "policy")?;
    let credentials: StoredCredentials = open_json(vault, &place_of_account(&id), row, "credentials")?;
    Ok(Account {
        key: AccountKey(row.try_get("", "key")?),
        name: row.try_get("", "name")?,
        platform: row.try_get("", "platform")?,
        enabled: row.try_get("", "enabled")?,
        policy: from_json(policy.as_bytes(), "an account's policy")?,
        credentials: credentials.into(),
        id,
    })
}

fn read_sender(row: &QueryResult, connections: &HashMap<ConnectionKey, &Arc<Connection>>) -> Result<Sender, DbErr> {
    let number: String = row.try_get("", "number")?;
    let connection = connections.get(&ConnectionKey(row.try_get("", "connection")?));
    let messages_per_second: i32 = row.try_get("", "messages_per_second")?;
    let policy: String = row.try_get("", "policy")?;
    Ok(Sender {
        key: SenderKey(row.try_get("", "key")?),
        account: AccountKey(row.try_get("", "account")?),
        connection: Arc::clone(connection.ok_or_else(|| odd("a sender's connection does not exist"))?),
        number: PhoneNumber::from_international(&number).ok_or_else(|| odd("a sender's number is not one"))?,
        provider_number_id: row.try_get("", "provider_number_id")?,
        provider_account_id: row.try_get("", "provider_account_id")?,
        messages_per_second: messages_per_second.unsigned_abs(),
        policy: from_json(policy.as_bytes(), "a number's policy")?,
        hold: read_hold(row)?,
    })
}

/// The names of those that a subscription belongs to.
struct Owners<'a> {
    accounts: HashMap<AccountKey, &'a str>,
    senders: HashMap<SenderKey, &'a PhoneNumber>,
}

fn read_subscription(row: &QueryResult, owners: &Owners<'_>, vault: Option<&Vault>) -> Result<Subscription, DbErr> {
    let account = AccountKey(row.try_get("", "account")?);
    let kind = EventKind::from_code(row.try_get("", "kind")?).ok_or_else(|| odd("a subscription's kind is unknown"))?;
    let sender = row.try_get::<Option<i32>>("", "sender")?.map(SenderKey);
    let account_id = owners.accounts.get(&account).ok_or_else(|| odd("a subscription's account does not exist"))?;
    let number = match &sender {
        Some(key) => Some(*owners.senders.get(key).ok_or_else(|| odd("a subscription's number does not exist"))?),
        None => None,
    };
    let url = match vault {
        Some(vault) => open(vault, &place_of_subscription(account_id, kind, number), row, "url")?,
        None => Vec::new(),
    };
    Ok(Subscription {
        key: SubscriptionKey(row.try_get("", "key")?),
        account,
        kind,
        sender,
        dialect: row.try_get("", "dialect")?,
        url: String::from_utf8(url).map_err(|_| odd("a callback URL is not text"))?.into(),
        hold: read_hold(row)?,
    })
}

fn read_hold(row: &QueryResult) -> Result<Option<Hold>, DbErr> {
    let since: Option<i64> = row.try_get("", "held_since")?;
    let reason: Option<String> = row.try_get("", "held_reason")?;
    Ok(since.zip(reason).map(|(since, reason)| Hold { since: UnixMillis(since), reason }))
}

pub(super) async fn save(
    transaction: &DatabaseTransaction,
    vault: &Vault,
    records: &ConfigurationRecords,
    now: UnixMillis,
) -> Result<(), DbErr> {
    for record in &records.connections {
        save_connection(transaction, vault, record, now).await?;
    }
    for record in &records.accounts {
        save_account(transaction, vault, record, now).await?;
    }
    let accounts = keys(transaction, "SELECT key, id AS name FROM accounts").await?;
    let connections = keys(transaction, "SELECT key, id AS name FROM connections").await?;
    for record in &records.senders {
        let account = key_of(&accounts, &record.account)?;
        let connection = key_of(&connections, &record.connection)?;
        save_sender(transaction, account, connection, record, now).await?;
    }
    let senders = keys(transaction, "SELECT key, number AS name FROM senders").await?;
    // Those of whole accounts first: a number's own subscription goes on where its account's stands.
    for whole_account in [true, false] {
        for record in records.subscriptions.iter().filter(|record| record.sender.is_none() == whole_account) {
            let account = key_of(&accounts, &record.account)?;
            let sender = match &record.sender {
                Some(number) => Some(key_of(&senders, number.as_e164())?),
                None => None,
            };
            save_subscription(transaction, vault, (account, sender), record, now).await?;
        }
    }
    Ok(())
}

async fn save_connection(
    transaction: &DatabaseTransaction,
    vault: &Vault,
    record: &ConnectionRecord,
    now: UnixMillis,
) -> Result<(), DbErr> {
    let secrets: BTreeMap<&str, Vec<&str>> =
        record.secrets.iter().map(|(name, values)| (name.as_str(), exposed(values))).collect();
    let values: Vec<Value> = vec![
        record.id.as_str().into(),
        record.provider.as_str().into(),
        to_json(&record.settings).into(),
        vault.seal(&place_of_connection(&record.id), to_json(&secrets).as_bytes()).into(),
        now.0.into(),
    ];
    let sql = "INSERT INTO connections (id, provider, settings, secrets, created_at, updated_at) \
               VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (id) DO UPDATE SET provider = excluded.provider, \
               settings = excluded.settings, secrets = excluded.secrets, updated_at = excluded.updated_at";
    execute(transaction, sql, values).await.map(drop)
}

async fn save_account(
    transaction: &DatabaseTransaction,
    vault: &Vault,
    record: &AccountRecord,
    now: UnixMillis,
) -> Result<(), DbErr> {
    let credentials = to_json(&StoredCredentials::from(&record.credentials));
    let values: Vec<Value> = vec![
        record.id.as_str().into(),
        record.name.as_str().into(),
        record.platform.as_str().into(),
        record.enabled.into(),
        to_json(&record.policy).into(),
        vault.seal(&place_of_account(&record.id), credentials.as_bytes()).into(),
        now.0.into(),
    ];
    let sql = "INSERT INTO accounts (id, name, platform, enabled, policy, credentials, created_at, updated_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT (id) DO UPDATE SET name = excluded.name, \
               platform = excluded.platform, enabled = excluded.enabled, policy = excluded.policy, \
               credentials = excluded.credentials, updated_at = excluded.updated_at";
    execute(transaction, sql, values).await.map(drop)
}

async fn save_sender(
    transaction: &DatabaseTransaction,
    account: i32,
    connection: i32,
    record: &SenderRecord,
    now: UnixMillis,
) -> Result<(), DbErr> {
    let values: Vec<Value> = vec![
        account.into(),
        connection.into(),
        record.number.as_e164().into(),
        record.provider_number_id.as_str().into(),
        record.provider_account_id.as_str().into(),
        i32::try_from(record.messages_per_second).unwrap_or(i32::MAX).into(),
        to_json(&record.policy).into(),
        now.0.into(),
    ];
    // Never another account: its messages and its log would go with the number.
    let sql = "INSERT INTO senders (account, connection, number, provider_number_id, provider_account_id, \
               messages_per_second, policy, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) \
               ON CONFLICT (number) DO UPDATE SET connection = excluded.connection, \
               provider_number_id = excluded.provider_number_id, provider_account_id = excluded.provider_account_id, \
               messages_per_second = excluded.messages_per_second, policy = excluded.policy, \
               updated_at = excluded.updated_at \
               WHERE senders.account = excluded.account";
    match execute(transaction, sql, values).await? {
        0 => Err(odd("a sender number belongs to another account")),
        _ => Ok(()),
    }
}

async fn save_subscription(
    transaction: &DatabaseTransaction,
    vault: &Vault,
    (account, sender): (i32, Option<i32>),
    record: &SubscriptionRecord,
    now: UnixMillis,
) -> Result<(), DbErr> {
    let Some(url) = &record.url else {
        let sql = "UPDATE subscriptions SET enabled = FALSE, updated_at = $4 \
                   WHERE account = $1 AND kind = $2 AND COALESCE(sender, 0) = $3";
        let values = vec![account.into(), record.kind.code().into(), sender.unwrap_or(0).into(), now.0.into()];
        return execute(transaction, sql, values).await.map(drop);
    };
    let place = place_of_subscription(&record.account, record.kind, record.sender.as_ref());
    let values: Vec<Value> = vec![
        account.into(),
        record.kind.code().into(),
        sender.into(),
        record.dialect.as_str().into(),
        vault.seal(&place, url.expose_secret().as_bytes()).into(),
        url_hint(url.expose_secret()).into(),
        start_of(transaction, account, sender, record.kind).await?.into(),
        now.0.into(),
    ];
    // A new URL gets a fresh start: what the old one answered says nothing about it.
    let sql = "INSERT INTO subscriptions (account, kind, sender, dialect, url, url_hint, enabled, cursor, created_at, \
               updated_at) VALUES ($1, $2, $3, $4, $5, $6, TRUE, $7, $8, $8) \
               ON CONFLICT (account, kind, COALESCE(sender, 0)) DO UPDATE SET dialect = excluded.dialect, \
               url = excluded.url, url_hint = excluded.url_hint, enabled = TRUE, \
               cursor = CASE WHEN subscriptions.enabled THEN subscriptions.cursor ELSE excluded.cursor END, \
               failing_since = NULL, failures = 0, due_at = NULL, held_since = NULL, held_reason = NULL, \
               updated_at = excluded.updated_at";
    execute(transaction, sql, values).await.map(drop)
}

/// Where a subscription begins that is new, or wanted again: at the end of the log, because nobody wants to hear
/// what happened before. One for a single number takes over from that of its account, where there is one,
/// which from now on passes over the number's events.
async fn start_of(
    transaction: &DatabaseTransaction,
    account: i32,
    sender: Option<i32>,
    kind: EventKind,
) -> Result<i64, DbErr> {
    if sender.is_some() {
        let sql = "SELECT cursor FROM subscriptions WHERE account = $1 AND kind = $2 AND sender IS NULL AND enabled";
        let rows = query(transaction, sql, vec![account.into(), kind.code().into()]).await?;
        if let Some(row) = rows.first() {
            return row.try_get("", "cursor");
        }
    }
    let rows = query(transaction, "SELECT last_place FROM logs WHERE account = $1", vec![account.into()]).await?;
    rows.first().map_or(Ok(0), |row| row.try_get("", "last_place"))
}

async fn keys(transaction: &DatabaseTransaction, sql: &str) -> Result<HashMap<String, i32>, DbErr> {
    let rows = query(transaction, sql, vec![]).await?;
    rows.iter().map(|row| Ok((row.try_get("", "name")?, row.try_get("", "key")?))).collect()
}

fn key_of(keys: &HashMap<String, i32>, name: &str) -> Result<i32, DbErr> {
    keys.get(name).copied().ok_or_else(|| odd("a record refers to one that does not exist"))
}

/// A sealed secret is bound to these names.
pub(super) fn place_of_connection(id: &str) -> String {
    format!("connections/{id}")
}

pub(super) fn place_of_account(id: &str) -> String {
    format!("accounts/{id}")
}

pub(super) fn place_of_subscription(account: &str, kind: EventKind, sender: Option<&PhoneNumber>) -> String {
    format!("subscriptions/{account}/{}/{}", kind.as_str(), sender.map_or("*", PhoneNumber::as_e164))
}

/// Enough of a callback URL to recognise it, not enough to use it.
fn url_hint(url: &str) -> String {
    Url::parse(url).map_or_else(|_| String::new(), |url| url.origin().ascii_serialization())
}

/// Credentials as they are sealed.
#[derive(Default, Serialize, Deserialize)]
struct StoredCredentials {
    passcodes: Vec<String>,
    basic: Option<(String, String)>,
    bearer_token: Option<String>,
    url_token: Option<String>,
    headers: BTreeMap<String, String>,
    #[serde(default)]
    api_passcode: Option<String>,
}

impl From<&Credentials> for StoredCredentials {
    fn from(credentials: &Credentials) -> Self {
        let text = |secret: &SecretString| secret.expose_secret().to_owned();
        Self {
            passcodes: credentials.passcodes.iter().map(text).collect(),
            basic: credentials.basic.as_ref().map(|(name, password)| (name.clone(), text(password))),
            bearer_token: credentials.bearer_token.as_ref().map(text),
            url_token: credentials.url_token.as_ref().map(text),
            headers: credentials.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
            api_passcode: credentials.api_passcode.as_ref().map(text),
        }
    }
}

impl From<StoredCredentials> for Credentials {
    fn from(stored: StoredCredentials) -> Self {
        Self {
            passcodes: stored.passcodes.into_iter().map(Into::into).collect(),
            basic: stored.basic.map(|(name, password)| (name, password.into())),
            bearer_token: stored.bearer_token.map(Into::into),
            url_token: stored.url_token.map(Into::into),
            headers: stored.headers.into_iter().map(|(name, value)| (name, value.into())).collect(),
            api_passcode: stored.api_passcode.map(Into::into),
        }
    }
}

fn exposed(secrets: &[SecretString]) -> Vec<&str> {
    secrets.iter().map(ExposeSecret::expose_secret).collect()
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data with text keys is always JSON")
}

fn from_json<T: DeserializeOwned>(json: &[u8], what: &str) -> Result<T, DbErr> {
    // Where it broke would quote a part of it, which may be a secret.
    serde_json::from_slice(json).map_err(|_| odd(&format!("{what} cannot be read by this version of wabridge")))
}

fn open(vault: &Vault, place: &str, row: &QueryResult, column: &str) -> Result<Vec<u8>, DbErr> {
    let sealed: Vec<u8> = row.try_get("", column)?;
    vault.open_sealed(place, &sealed).map_err(|error| odd(&error.to_string()))
}

fn open_json<T: DeserializeOwned + Default>(
    vault: Option<&Vault>,
    place: &str,
    row: &QueryResult,
    column: &str,
) -> Result<T, DbErr> {
    vault.map_or_else(|| Ok(T::default()), |vault| from_json(&open(vault, place, row, column)?, place))
}

fn odd(what: &str) -> DbErr {
    DbErr::Custom(what.to_owned())
}
