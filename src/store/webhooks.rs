//! Webhooks: their rows, and the rows of `subscriptions` that follow from them.
//!
//! For each account that a webhook covers, and each kind of event that it wants, there is one row with a cursor. Whatever changes
//! webhooks or accounts lets [`align`] make these rows what they should be, in the same transaction: so a new account is covered
//! from its first event on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};
use serde::{Deserialize, Serialize};

use super::{
    DatabaseTransaction, Doing, Store, StoreError,
    audit::{self, AuditEntry},
    configuration::open,
    execute,
    holds::{CONFIGURATION, bump},
    outbound::odd_value,
    query, query_rows,
    vault::Vault,
};
use crate::domain::{
    account::Hold,
    callback::{EventKind, Subscription},
    ids::{AccountKey, Place, SubscriptionKey, WebhookKey},
    time::UnixMillis,
    webhook::{OldSigningSecret, Webhook},
    webhook_settings::WebhookSettings,
};

/// A webhook that shall be stored. What exists under the same name is overwritten; its cursors stay where they are.
#[derive(Clone, Debug)]
pub struct WebhookRecord {
    pub name: String,
    pub enabled: bool,
    pub paused: bool,
    /// Of a new one: it begins with what happened since then, as far as that is kept.
    pub since: Option<UnixMillis>,
    pub settings: WebhookSettings,
    pub old_signing_secrets: Vec<OldSigningSecret>,
}

/// Those of these accounts of which a webhook wants to hear events of this kind.
pub(super) async fn listening(
    transaction: &DatabaseTransaction,
    kind: EventKind,
    accounts: impl Iterator<Item = AccountKey>,
) -> Result<BTreeSet<AccountKey>, DbErr> {
    let accounts: BTreeSet<AccountKey> = accounts.collect();
    let rows: Vec<[Value; 1]> = accounts.into_iter().map(|account| [account.0.into()]).collect();
    let tail = format!(
        ") AS v CROSS JOIN subscriptions AS s WHERE s.account = v.column1 AND s.kind = {} AND s.enabled \
         AND s.webhook IS NOT NULL",
        kind.code()
    );
    let found = query_rows(transaction, "SELECT DISTINCT s.account AS account FROM (", rows, &tail).await?;
    found.iter().map(|row| row.try_get("", "account").map(AccountKey)).collect()
}

/// As it is sealed: all of it, because a filter may name people, too.
#[derive(Serialize, Deserialize)]
struct Sealed {
    settings: WebhookSettings,
    #[serde(default)]
    old_signing_secrets: Vec<OldSigningSecret>,
}

/// Its settings are bound to this.
pub(super) fn place_of_webhook(name: &str) -> String {
    format!("webhooks/{name}")
}

/// All webhooks, by name. Without a vault those that there are, with empty settings.
pub(super) async fn load(connection: &impl ConnectionTrait, vault: Option<&Vault>) -> Result<Vec<Arc<Webhook>>, DbErr> {
    let sql = "SELECT key, name, enabled, paused, settings, switched_off_at, switched_off, created_at, updated_at FROM webhooks \
               ORDER BY name";
    query(connection, sql, vec![]).await?.iter().map(|row| read(row, vault).map(Arc::new)).collect()
}

fn read(row: &QueryResult, vault: Option<&Vault>) -> Result<Webhook, DbErr> {
    let name: String = row.try_get("", "name")?;
    let sealed = match vault {
        Some(vault) => {
            let json = open(vault, &place_of_webhook(&name), row, "settings")?;
            // Where it broke would quote a part of it, which may be a secret.
            let odd = |_| DbErr::Custom(format!("webhook {name} cannot be read by this version of wabridge"));
            serde_json::from_slice(&json).map_err(odd)?
        }
        None => Sealed { settings: WebhookSettings::default(), old_signing_secrets: vec![] },
    };
    let since: Option<i64> = row.try_get("", "switched_off_at")?;
    let reason: Option<String> = row.try_get("", "switched_off")?;
    Ok(Webhook {
        key: WebhookKey(row.try_get("", "key")?),
        enabled: row.try_get("", "enabled")?,
        paused: row.try_get("", "paused")?,
        settings: sealed.settings,
        old_signing_secrets: sealed.old_signing_secrets,
        switched_off: since.zip(reason).map(|(since, reason)| Hold::by_answer(UnixMillis(since), reason)),
        created_at: UnixMillis(row.try_get("", "created_at")?),
        updated_at: UnixMillis(row.try_get("", "updated_at")?),
        name,
    })
}

/// Whoever saves one has decided that it may be on: what the bridge had switched off counts no more. That it fails was told, and is
/// no news when only its settings change.
pub(super) async fn save(
    transaction: &DatabaseTransaction,
    vault: &Vault,
    record: &WebhookRecord,
    now: UnixMillis,
) -> Result<(), DbErr> {
    let sealed = Sealed { settings: record.settings.clone(), old_signing_secrets: record.old_signing_secrets.clone() };
    let json = serde_json::to_string(&sealed).expect("plain data with text keys is always JSON");
    let values: Vec<Value> = vec![
        record.name.as_str().into(),
        record.enabled.into(),
        record.paused.into(),
        vault.seal(&place_of_webhook(&record.name), json.as_bytes()).into(),
        now.0.into(),
    ];
    // No key is used twice: cursors of one that was deleted still have their history. An update is always later than the last,
    // because running owners compare it.
    let sql = "INSERT INTO webhooks (key, name, enabled, paused, settings, created_at, updated_at) VALUES \
               (1 + COALESCE((SELECT MAX(key) FROM (SELECT key FROM webhooks UNION ALL SELECT webhook AS key FROM subscriptions) \
               AS used), 0), $1, $2, $3, $4, $5, $5) \
               ON CONFLICT (name) DO UPDATE SET enabled = excluded.enabled, paused = excluded.paused, \
               settings = excluded.settings, switched_off_at = NULL, switched_off = NULL, \
               failing_since = CASE WHEN webhooks.enabled THEN webhooks.failing_since END, \
               updated_at = CASE WHEN webhooks.updated_at < excluded.updated_at THEN excluded.updated_at \
               ELSE webhooks.updated_at + 1 END";
    execute(transaction, sql, values).await?;
    // What the old URL answered says nothing about the new one.
    let sql = "UPDATE subscriptions SET failing_since = NULL, failures = 0, due_at = NULL, held_since = NULL, \
               held_reason = NULL WHERE webhook = (SELECT key FROM webhooks WHERE name = $1)";
    execute(transaction, sql, vec![record.name.as_str().into()]).await.map(drop)
}

/// Makes the rows with the cursors what webhooks and accounts want them to be. A new one begins at the end of its log.
pub(super) async fn align(transaction: &DatabaseTransaction, vault: &Vault, now: UnixMillis) -> Result<(), DbErr> {
    let sql = "SELECT key, account, kind, webhook, dialect FROM subscriptions WHERE webhook IS NOT NULL AND enabled";
    let mut surplus: BTreeMap<(i32, i32, i16, String), i32> = BTreeMap::new();
    for row in &query(transaction, sql, vec![]).await? {
        let which = (
            row.try_get("", "webhook")?,
            row.try_get("", "account")?,
            row.try_get("", "kind")?,
            row.try_get("", "dialect")?,
        );
        surplus.insert(which, row.try_get("", "key")?);
    }
    let webhooks = load(transaction, Some(vault)).await?;
    if webhooks.is_empty() && surplus.is_empty() {
        return Ok(());
    }
    let accounts = query(transaction, "SELECT key, id FROM accounts WHERE enabled", vec![]).await?;
    let mut missing = BTreeSet::new();
    // Also by one that is off: that it was switched off is what is told.
    let alerted: BTreeSet<&str> =
        webhooks.iter().filter_map(|webhook| webhook.settings.alerts.webhook.as_deref()).collect();
    for webhook in webhooks.iter().filter(|webhook| webhook.enabled) {
        for account in &accounts {
            let (key, id): (i32, String) = (account.try_get("", "key")?, account.try_get("", "id")?);
            let covered = webhook.settings.covers(&id);
            let mut kinds = if covered { webhook.settings.kinds() } else { vec![] };
            // It hears of another webhook's failure, wherever that shows.
            if alerted.contains(webhook.name.as_str()) && !kinds.contains(&EventKind::Notice) {
                kinds.push(EventKind::Notice);
            }
            for kind in kinds {
                let which = (webhook.key.0, key, kind.code(), webhook.settings.profile.clone());
                if surplus.remove(&which).is_none() {
                    missing.insert(which);
                }
            }
        }
    }
    for key in surplus.values() {
        execute(transaction, "UPDATE subscriptions SET enabled = FALSE WHERE key = $1", vec![(*key).into()]).await?;
    }
    for (webhook, account, kind, dialect) in missing {
        add(transaction, (webhook, account, kind, dialect), now).await?;
    }
    Ok(())
}

async fn add(
    transaction: &DatabaseTransaction,
    (webhook, account, kind, dialect): (i32, i32, i16, String),
    now: UnixMillis,
) -> Result<(), DbErr> {
    let nothing: Vec<u8> = vec![];
    let values: Vec<Value> =
        vec![account.into(), kind.into(), webhook.into(), dialect.into(), nothing.into(), now.0.into()];
    // One whose profile changes goes on where it stands: it was switched off a moment ago, by this very change.
    let sql = "INSERT INTO subscriptions (account, kind, sender, webhook, dialect, url, url_hint, enabled, cursor, created_at, \
               updated_at) VALUES ($1, $2, NULL, $3, $4, $5, '', TRUE, \
               COALESCE((SELECT last_place FROM logs WHERE account = $1), 0), $6, $6) \
               ON CONFLICT (account, kind, COALESCE(sender, 0), COALESCE(webhook, 0)) DO UPDATE SET enabled = TRUE, \
               cursor = CASE WHEN subscriptions.dialect <> excluded.dialect THEN subscriptions.cursor ELSE excluded.cursor END, \
               dialect = excluded.dialect, failing_since = NULL, failures = 0, due_at = NULL, held_since = NULL, \
               held_reason = NULL, updated_at = excluded.updated_at";
    execute(transaction, sql, values).await.map(drop)
}

/// Lets the cursors of a webhook that was just made begin with what was recorded since a moment.
pub(super) async fn begin_at(transaction: &DatabaseTransaction, webhook: &str, since: UnixMillis) -> Result<(), DbErr> {
    let sql = "SELECT DISTINCT s.account, w.key FROM subscriptions AS s JOIN webhooks AS w ON w.key = s.webhook \
               WHERE w.name = $1 AND s.enabled";
    for row in &query(transaction, sql, vec![webhook.into()]).await? {
        let (account, key): (i32, i32) = (row.try_get("", "account")?, row.try_get("", "key")?);
        let before = last_place_before(transaction, account, since).await?;
        let sql =
            "UPDATE subscriptions SET cursor = $3 WHERE webhook = $1 AND account = $2 AND enabled AND cursor > $3";
        execute(transaction, sql, vec![key.into(), account.into(), before.into()]).await?;
    }
    Ok(())
}

/// The place before the first event that was recorded since then. Times grow with places, so it is found by halving: a log may be
/// long, and has no index by time.
async fn last_place_before(transaction: &DatabaseTransaction, account: i32, since: UnixMillis) -> Result<i64, DbErr> {
    let sql = "SELECT last_place FROM logs WHERE account = $1";
    let rows = query(transaction, sql, vec![account.into()]).await?;
    let (mut before, mut end): (i64, i64) = (0, rows.first().map_or(Ok(0), |row| row.try_get("", "last_place"))?);
    while before < end {
        let middle = before + (end - before + 1) / 2;
        let sql = "SELECT recorded_at FROM events WHERE account = $1 AND place <= $2 ORDER BY place DESC LIMIT 1";
        let rows = query(transaction, sql, vec![account.into(), middle.into()]).await?;
        // Where nothing is kept any more, it was before.
        let recorded_at: Option<i64> = rows.first().map(|row| row.try_get("", "recorded_at")).transpose()?;
        if recorded_at.is_none_or(|at| at < since.0) {
            before = middle;
        } else {
            end = middle - 1;
        }
    }
    Ok(before)
}

/// One cursor of a webhook, also of one that is off: what it was told is still there.
#[derive(Clone, Debug)]
pub struct WebhookLog {
    pub subscription: Subscription,
    pub cursor: Place,
}

/// What came of deleting a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeletedWebhook {
    Gone,
    NoneOfThisName,
    /// These tell it of their failures.
    IsNamedBy(Vec<String>),
}

impl Store {
    /// All cursors that a webhook has, or had.
    pub async fn webhook_logs(&self, webhook: &Arc<Webhook>) -> Result<Vec<WebhookLog>, StoreError> {
        let sql =
            "SELECT key, account, kind, dialect, cursor, enabled FROM subscriptions WHERE webhook = $1 ORDER BY key";
        let rows = query(self.reader(), sql, vec![webhook.key.0.into()]).await;
        let read = |row: &QueryResult| -> Result<WebhookLog, DbErr> {
            let subscription = Subscription {
                key: SubscriptionKey(row.try_get("", "key")?),
                account: AccountKey(row.try_get("", "account")?),
                kind: EventKind::from_code(row.try_get("", "kind")?).ok_or_else(|| odd_value("kind"))?,
                sender: None,
                webhook: Some(webhook.clone()),
                dialect: row.try_get("", "dialect")?,
                url: webhook.settings.url.expose().into(),
                hold: None,
                is_on: row.try_get("", "enabled")?,
            };
            Ok(WebhookLog { subscription, cursor: Place(row.try_get("", "cursor")?) })
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read the cursors of a webhook")
    }

    /// Forgets a webhook, unless another's alerts would go nowhere then. What it was told stays until it is too old.
    pub async fn delete_webhook(&self, name: &str, entry: &AuditEntry) -> Result<DeletedWebhook, StoreError> {
        let doing = "delete a webhook";
        let transaction = self.begin().await.doing(doing)?;
        bump(&transaction, CONFIGURATION).await.doing(doing)?;
        let webhooks = load(&transaction, Some(self.vault())).await.doing(doing)?;
        let names_it = |one: &&Arc<Webhook>| one.name != name && one.settings.alerts.webhook.as_deref() == Some(name);
        let naming: Vec<String> = webhooks.iter().filter(names_it).map(|one| one.name.clone()).collect();
        if !naming.is_empty() {
            return Ok(DeletedWebhook::IsNamedBy(naming));
        }
        let sql = "DELETE FROM webhooks WHERE name = $1";
        let gone = execute(&transaction, sql, vec![name.into()]).await.doing(doing)? > 0;
        align(&transaction, self.vault(), self.now()).await.doing(doing)?;
        if gone {
            audit::append(&transaction, entry, self.now()).await.doing(doing)?;
        }
        transaction.commit().await.doing(doing)?;
        Ok(if gone { DeletedWebhook::Gone } else { DeletedWebhook::NoneOfThisName })
    }
}
