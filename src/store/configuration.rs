//! Connections, accounts, sender numbers and subscriptions: read whole, changed seldom and in one transaction.
//!
//! Tokens, passcodes and callback URLs are sealed before they are written and opened once when they are
//! read, never for each message. Every change raises a version; a running instance compares it each
//! second and reads everything again when it has grown.

mod removal;
mod saving;
mod sealing;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use sea_orm::{ConnectionTrait, DbErr, QueryResult};
use secrecy::SecretString;

pub use self::removal::{COUNTED_MAX, Removal, RemovalWork, Removed};
use self::sealing::{StoredCredentials, from_json, open_json};
pub(super) use self::{
    removal::seal_removed,
    saving::save,
    sealing::{open, place_of_account, place_of_connection, place_of_subscription},
};
use super::{
    Doing, Store, StoreError,
    audit::AuditEntry,
    holds::{CONFIGURATION, bump},
    query,
    replays::end_abandoned,
    vault::Vault,
    webhooks::{self, WebhookRecord},
};
use crate::domain::{
    account::{Account, AccountPolicy, Connection, Credentials, Hold, Sender, SenderPolicy, pace_of},
    callback::{EventKind, Subscription},
    ids::{AccountKey, ConnectionKey, SenderKey, SubscriptionKey, WebhookKey},
    phone::PhoneNumber,
    time::UnixMillis,
    webhook::Webhook,
};

/// Everything that is configured, secrets opened. Disabled accounts are part of it (their last messages
/// still have statuses); disabled subscriptions are not, but for those of webhooks.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    pub connections: Vec<Arc<Connection>>,
    pub accounts: Vec<Account>,
    pub senders: Vec<Sender>,
    /// Of the accounts' platforms.
    pub subscriptions: Vec<Subscription>,
    pub webhooks: Vec<Arc<Webhook>>,
    pub webhook_subscriptions: Vec<Subscription>,
    /// Of webhooks that are off, or want such events no more: nobody works on them.
    pub off_subscriptions: Vec<Subscription>,
    pub past: Past,
}

/// What was removed and is still part of somebody's history, without its secrets. Nothing is done for it any more: only what
/// looks at the past may ask for it.
#[derive(Clone, Debug, Default)]
pub struct Past {
    pub connections: Vec<Arc<Connection>>,
    pub accounts: Vec<Account>,
    pub senders: Vec<Sender>,
}

impl Configuration {
    /// Whose account something was, also when that was removed.
    pub fn account_by_key(&self, key: AccountKey) -> Option<&Account> {
        self.accounts.iter().chain(&self.past.accounts).find(|account| account.key == key)
    }

    /// Whose number something was, also when that was removed.
    pub fn sender_by_key(&self, key: SenderKey) -> Option<&Sender> {
        self.senders.iter().chain(&self.past.senders).find(|sender| sender.key == key)
    }

    /// Through which connection something came, also when that was removed.
    pub fn connection_by_key(&self, key: ConnectionKey) -> Option<&Arc<Connection>> {
        self.connections.iter().chain(&self.past.connections).find(|connection| connection.key == key)
    }

    /// Those of platforms, and those of webhooks.
    pub fn all_subscriptions(&self) -> impl Iterator<Item = &Subscription> {
        self.subscriptions.iter().chain(&self.webhook_subscriptions)
    }

    /// Also those that are off: for whoever looks at what became of events.
    pub fn subscriptions_ever(&self) -> impl Iterator<Item = &Subscription> {
        self.all_subscriptions().chain(&self.off_subscriptions)
    }

    pub fn webhook(&self, name: &str) -> Option<&Arc<Webhook>> {
        self.webhooks.iter().find(|webhook| webhook.name == name)
    }

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
    pub webhooks: Vec<WebhookRecord>,
    /// What the audit log is told of it, in the same transaction.
    pub audit: Vec<AuditEntry>,
}

impl ConfigurationRecords {
    fn is_empty(&self) -> bool {
        self.connections.is_empty()
            && self.accounts.is_empty()
            && self.senders.is_empty()
            && self.subscriptions.is_empty()
            && self.webhooks.is_empty()
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
                end_abandoned(&transaction, self.now()).await.doing(doing)?;
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
    let sql = "SELECT key, account, kind, sender, webhook, dialect, url, held_since, held_reason, NULL AS held_by, enabled FROM subscriptions \
               WHERE enabled OR webhook IS NOT NULL ORDER BY key";
    let subscriptions = query(connection, sql, vec![]).await?;
    let sql = "SELECT key, account, connection, COALESCE(removed_number, number) AS number, \
               COALESCE(removed_provider_number_id, provider_number_id) AS provider_number_id, provider_account_id, \
               messages_per_second, policy, held_since, held_reason, held_by, removed_at FROM senders ORDER BY key";
    let senders = query(connection, sql, vec![]).await?;
    let sql = "SELECT key, COALESCE(removed_id, id) AS id, name, platform, enabled, policy, credentials, removed_at \
               FROM accounts ORDER BY key";
    let accounts = query(connection, sql, vec![]).await?;
    let sql = "SELECT key, COALESCE(removed_id, id) AS id, provider, settings, secrets, updated_at, held_since, held_reason, held_by, \
               removed_at FROM connections ORDER BY key";
    let connections = query(connection, sql, vec![]).await?;

    let webhooks = webhooks::load(connection, vault).await?;

    let (connections, removed_connections) =
        read_apart(&connections, vault, |row, vault| read_connection(row, vault).map(Arc::new))?;
    let by_key: HashMap<_, _> =
        connections.iter().chain(&removed_connections).map(|connection| (connection.key, connection)).collect();
    let (mut senders, removed_senders) = read_apart(&senders, vault, |row, _| read_sender(row, &by_key))?;
    let (accounts, removed_accounts) = read_apart(&accounts, vault, read_account)?;
    share_paces(&accounts, &mut senders);
    let owners = Owners {
        accounts: accounts.iter().map(|account| (account.key, account.id.as_str())).collect(),
        senders: senders.iter().map(|sender| (sender.key, &sender.number)).collect(),
    };
    let subscriptions = read_all(&subscriptions, |row| read_subscription(row, &owners, &webhooks, vault))?;
    let (on, off): (Vec<_>, _) = subscriptions.into_iter().flatten().partition(|subscription| subscription.is_on);
    let (of_webhooks, of_platforms) = on.into_iter().partition(|subscription| subscription.webhook.is_some());
    Ok(Configuration {
        connections,
        accounts,
        senders,
        subscriptions: of_platforms,
        webhooks,
        webhook_subscriptions: of_webhooks,
        off_subscriptions: off,
        past: Past { connections: removed_connections, accounts: removed_accounts, senders: removed_senders },
    })
}

fn share_paces(accounts: &[Account], senders: &mut [Sender]) {
    for account in accounts.iter().filter(|account| account.policy.messages_per_second.is_some()) {
        let own = senders.iter().filter(|sender| sender.account == account.key);
        let all = own.map(|sender| u64::from(sender.messages_per_second)).sum();
        for sender in senders.iter_mut().filter(|sender| sender.account == account.key) {
            sender.pace = pace_of(sender.messages_per_second, all, account.policy.messages_per_second);
        }
    }
}

fn read_all<T>(rows: &[QueryResult], read: impl Fn(&QueryResult) -> Result<T, DbErr>) -> Result<Vec<T>, DbErr> {
    rows.iter().map(read).collect()
}

/// What is there, and what was removed: that has no secrets to be opened.
fn read_apart<T>(
    rows: &[QueryResult],
    vault: Option<&Vault>,
    read: impl Fn(&QueryResult, Option<&Vault>) -> Result<T, DbErr>,
) -> Result<(Vec<T>, Vec<T>), DbErr> {
    let (mut there, mut removed) = (Vec::new(), Vec::new());
    for row in rows {
        match row.try_get::<Option<i64>>("", "removed_at")? {
            None => there.push(read(row, vault)?),
            Some(_) => removed.push(read(row, None)?),
        }
    }
    Ok((there, removed))
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
        changed_at: UnixMillis(row.try_get("", "updated_at")?),
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
    let messages_per_second = messages_per_second.unsigned_abs();
    let policy: String = row.try_get("", "policy")?;
    Ok(Sender {
        key: SenderKey(row.try_get("", "key")?),
        account: AccountKey(row.try_get("", "account")?),
        connection: Arc::clone(connection.ok_or_else(|| odd("a sender's connection does not exist"))?),
        number: PhoneNumber::from_international(&number).ok_or_else(|| odd("a sender's number is not one"))?,
        provider_number_id: row.try_get("", "provider_number_id")?,
        provider_account_id: row.try_get("", "provider_account_id")?,
        messages_per_second,
        pace: messages_per_second,
        policy: from_json(policy.as_bytes(), "a number's policy")?,
        hold: read_hold(row)?,
    })
}

/// The names of those that a subscription belongs to.
struct Owners<'a> {
    accounts: HashMap<AccountKey, &'a str>,
    senders: HashMap<SenderKey, &'a PhoneNumber>,
}

/// `None`: its webhook is gone in this moment, or its account or number was removed in it.
fn read_subscription(
    row: &QueryResult,
    owners: &Owners<'_>,
    webhooks: &[Arc<Webhook>],
    vault: Option<&Vault>,
) -> Result<Option<Subscription>, DbErr> {
    let account = AccountKey(row.try_get("", "account")?);
    let kind = EventKind::from_code(row.try_get("", "kind")?).ok_or_else(|| odd("a subscription's kind is unknown"))?;
    let sender = row.try_get::<Option<i32>>("", "sender")?.map(SenderKey);
    let Some(account_id) = owners.accounts.get(&account) else { return Ok(None) };
    let number = match &sender {
        Some(key) => match owners.senders.get(key) {
            Some(number) => Some(*number),
            None => return Ok(None),
        },
        None => None,
    };
    let webhook = match row.try_get::<Option<i32>>("", "webhook")?.map(WebhookKey) {
        Some(key) => match webhooks.iter().find(|webhook| webhook.key == key) {
            Some(webhook) => Some(webhook.clone()),
            None => return Ok(None),
        },
        None => None,
    };
    let url = match vault {
        Some(_) if let Some(webhook) = &webhook => webhook.settings.url.expose().as_bytes().to_vec(),
        Some(vault) => open(vault, &place_of_subscription(account_id, kind, number), row, "url")?,
        None => Vec::new(),
    };
    Ok(Some(Subscription {
        key: SubscriptionKey(row.try_get("", "key")?),
        account,
        kind,
        sender,
        webhook,
        dialect: row.try_get("", "dialect")?,
        url: String::from_utf8(url).map_err(|_| odd("a callback URL is not text"))?.into(),
        hold: read_hold(row)?,
        is_on: row.try_get("", "enabled")?,
    }))
}

fn read_hold(row: &QueryResult) -> Result<Option<Hold>, DbErr> {
    let since: Option<i64> = row.try_get("", "held_since")?;
    let reason: Option<String> = row.try_get("", "held_reason")?;
    let by: Option<String> = row.try_get("", "held_by")?;
    Ok(since.zip(reason).map(|(since, reason)| Hold { since: UnixMillis(since), reason, by }))
}

fn odd(what: &str) -> DbErr {
    DbErr::Custom(what.to_owned())
}
