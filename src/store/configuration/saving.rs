//! Writing the configuration: what exists under the same id or number is overwritten, and nothing is deleted.

use std::collections::{BTreeMap, HashMap};

use sea_orm::{DbErr, Value};
use secrecy::ExposeSecret as _;
use url::Url;

use super::{
    AccountRecord, ConfigurationRecords, ConnectionRecord, SenderRecord, SubscriptionRecord, odd,
    sealing::{
        StoredCredentials, exposed, open, place_of_account, place_of_connection, place_of_subscription, to_json,
    },
};
use crate::{
    domain::{callback::EventKind, time::UnixMillis},
    store::{DatabaseTransaction, audit, execute, query, vault::Vault, webhooks},
};

pub(in crate::store) async fn save(
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
    for record in &records.webhooks {
        webhooks::save(transaction, vault, record, now).await?;
    }
    webhooks::align(transaction, vault, now).await?;
    for (name, since) in records.webhooks.iter().filter_map(|record| Some((&record.name, record.since?))) {
        webhooks::begin_at(transaction, name, since).await?;
    }
    for entry in &records.audit {
        audit::append(transaction, entry, now).await?;
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
    let (settings, secrets) = (to_json(&record.settings), to_json(&secrets));
    let same_since = same_since(transaction, vault, record, (&settings, &secrets)).await?;
    let values: Vec<Value> = vec![
        record.id.as_str().into(),
        record.provider.as_str().into(),
        settings.into(),
        vault.seal(&place_of_connection(&record.id), secrets.as_bytes()).into(),
        same_since.unwrap_or(now).0.into(),
    ];
    let sql = "INSERT INTO connections (id, provider, settings, secrets, created_at, updated_at) \
               VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (id) DO UPDATE SET provider = excluded.provider, \
               settings = excluded.settings, secrets = excluded.secrets, updated_at = excluded.updated_at";
    execute(transaction, sql, values).await.map(drop)
}

/// When these settings and secrets were saved first, if they are what is stored: what was seen of the provider since counts on.
async fn same_since(
    transaction: &DatabaseTransaction,
    vault: &Vault,
    record: &ConnectionRecord,
    (settings, secrets): (&str, &str),
) -> Result<Option<UnixMillis>, DbErr> {
    let sql = "SELECT settings, secrets, updated_at FROM connections WHERE id = $1 AND provider = $2";
    let values = vec![record.id.as_str().into(), record.provider.as_str().into()];
    let Some(row) = query(transaction, sql, values).await?.into_iter().next() else { return Ok(None) };
    // With another master key they are entered anew.
    let stored = open(vault, &place_of_connection(&record.id), &row, "secrets").ok();
    let same = row.try_get::<String>("", "settings")? == settings && stored.as_deref() == Some(secrets.as_bytes());
    Ok(same.then_some(UnixMillis(row.try_get("", "updated_at")?)))
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
                   WHERE account = $1 AND kind = $2 AND COALESCE(sender, 0) = $3 AND webhook IS NULL";
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
               ON CONFLICT (account, kind, COALESCE(sender, 0), COALESCE(webhook, 0)) DO UPDATE SET dialect = excluded.dialect, \
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
        let sql = "SELECT cursor FROM subscriptions WHERE account = $1 AND kind = $2 AND sender IS NULL AND webhook IS NULL AND enabled";
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

/// Enough of a callback URL to recognise it, not enough to use it.
fn url_hint(url: &str) -> String {
    Url::parse(url).map_or_else(|_| String::new(), |url| url.origin().ascii_serialization())
}
