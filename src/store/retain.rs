//! Forgetting, in small steps: each is a short transaction, so that nobody waits for it.

use sea_orm::{DatabaseTransaction, DbErr, Value};

use super::{
    Doing, Store, StoreError, execute, execute_rows,
    outbound::{id_hash, id_list, provider_id_hash},
    query,
};
use crate::domain::{
    ids::{AccountKey, MessageId, SenderKey},
    time::UnixMillis,
};

/// Tables whose rows carry their age in their id and depend on nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aging {
    RefusedRequests,
    CallbackAttempts,
    UnreadParts,
    ParkedStatuses,
}

impl Aging {
    fn table(self) -> (&'static str, &'static str) {
        match self {
            Self::RefusedRequests => ("refused_requests", "true"),
            Self::CallbackAttempts => ("callback_attempts", "true"),
            Self::UnreadParts => ("unrecognized", "kind = 1"),
            Self::ParkedStatuses => ("unrecognized", "kind = 2"),
        }
    }
}

/// How far the forgetting of message keys has come.
const KEYS_MARK: &str = "message_keys";

impl Store {
    /// Deletes rows that were made before `before`, at most `limit`; says how many.
    pub async fn forget_aged(&self, what: Aging, before: UnixMillis, limit: usize) -> Result<usize, StoreError> {
        let (table, only) = what.table();
        let before = MessageId::first_at(before).0;
        let sql = format!(
            "DELETE FROM {table} WHERE id IN \
             (SELECT id FROM {table} WHERE id < {before} AND {only} ORDER BY id LIMIT {limit})"
        );
        let transaction = self.begin().await.doing("begin")?;
        let gone = execute(&transaction, sql, vec![]).await.doing("forget old rows")?;
        transaction.commit().await.doing("forget old rows")?;
        Ok(usize::try_from(gone).unwrap_or(usize::MAX))
    }

    /// Forgets by what repeats of messages accepted before `before` would be recognised.
    pub async fn forget_message_keys(&self, before: UnixMillis, limit: usize) -> Result<usize, StoreError> {
        let transaction = self.begin().await.doing("begin")?;
        let gone = forget_keys(&transaction, before, limit).await.doing("forget message keys")?;
        transaction.commit().await.doing("forget message keys")?;
        Ok(gone)
    }

    /// Forgets messages accepted before `before`, with everything that hangs on them but their events.
    pub async fn forget_messages(&self, before: UnixMillis, limit: usize) -> Result<usize, StoreError> {
        let transaction = self.begin().await.doing("begin")?;
        let gone = forget_messages(&transaction, before, limit).await.doing("forget messages")?;
        transaction.commit().await.doing("forget messages")?;
        Ok(gone)
    }

    /// Forgets events recorded before `before` that every subscription of the account has passed.
    pub async fn forget_events(
        &self,
        account: AccountKey,
        before: UnixMillis,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let transaction = self.begin().await.doing("begin")?;
        let gone = forget_events(&transaction, account, before, limit).await.doing("forget events")?;
        transaction.commit().await.doing("forget events")?;
        Ok(gone)
    }

    /// SQLite: gives freed pages back to the file system.
    pub async fn tidy(&self) -> Result<(), StoreError> {
        if self.is_sqlite() {
            query(&self.writer, "PRAGMA incremental_vacuum(1000)", vec![]).await.doing("give back freed pages")?;
        }
        Ok(())
    }
}

async fn forget_keys(transaction: &DatabaseTransaction, before: UnixMillis, limit: usize) -> Result<usize, DbErr> {
    let marks = query(transaction, "SELECT value FROM marks WHERE name = $1", vec![KEYS_MARK.into()]).await?;
    let from: i64 = marks.first().map_or(Ok(0), |row| row.try_get("", "value"))?;
    let sql = format!(
        "SELECT id, account, platform_message_id FROM outbound_messages \
         WHERE id > $1 AND id < $2 ORDER BY id LIMIT {limit}"
    );
    let rows = query(transaction, sql, vec![from.into(), MessageId::first_at(before).0.into()]).await?;
    let Some(last) = rows.last() else { return Ok(0) };
    let last: i64 = last.try_get("", "id")?;
    let mut keys: Vec<[Value; 3]> = Vec::with_capacity(rows.len());
    for row in &rows {
        let platform_id: String = row.try_get("", "platform_message_id")?;
        let account: i32 = row.try_get("", "account")?;
        let message: i64 = row.try_get("", "id")?;
        keys.push([account.into(), id_hash(&platform_id).into(), message.into()]);
    }
    // A key that was claimed anew since then names a younger message, and stays.
    execute_rows(transaction, "DELETE FROM message_keys WHERE (account, id_hash, message) IN (", keys, ")").await?;
    let sql = "INSERT INTO marks (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    execute(transaction, sql, vec![KEYS_MARK.into(), last.into()]).await?;
    Ok(rows.len())
}

async fn forget_messages(transaction: &DatabaseTransaction, before: UnixMillis, limit: usize) -> Result<usize, DbErr> {
    // What waits or is under way is younger than this by far; should it not be, it stays.
    let sql = format!(
        "SELECT id, sender, provider_message_id FROM outbound_messages \
         WHERE id < $1 AND state NOT IN (0, 1) ORDER BY id LIMIT {limit}"
    );
    let rows = query(transaction, sql, vec![MessageId::first_at(before).0.into()]).await?;
    let mut messages = Vec::with_capacity(rows.len());
    let mut hashes: Vec<[Value; 1]> = Vec::new();
    for row in &rows {
        messages.push(MessageId(row.try_get("", "id")?));
        if let Some(provider_id) = row.try_get::<Option<String>>("", "provider_message_id")? {
            hashes.push([provider_id_hash(SenderKey(row.try_get("", "sender")?), &provider_id).into()]);
        }
    }
    if messages.is_empty() {
        return Ok(0);
    }
    let list = id_list(&messages);
    execute_rows(transaction, "DELETE FROM provider_ids WHERE hash IN (", hashes, ")").await?;
    execute(transaction, format!("DELETE FROM send_attempts WHERE message IN ({list})"), vec![]).await?;
    execute(transaction, format!("DELETE FROM operator_notes WHERE message IN ({list})"), vec![]).await?;
    execute(transaction, format!("DELETE FROM outbound_messages WHERE id IN ({list})"), vec![]).await?;
    Ok(messages.len())
}

async fn forget_events(
    transaction: &DatabaseTransaction,
    account: AccountKey,
    before: UnixMillis,
    limit: usize,
) -> Result<usize, DbErr> {
    let sql = format!(
        "SELECT place, sender, provider_message_id FROM events WHERE account = $1 AND recorded_at < $2 AND place <= \
         (SELECT COALESCE(MIN(cursor), {}) FROM subscriptions WHERE account = $1 AND enabled) ORDER BY place LIMIT {limit}",
        i64::MAX
    );
    let rows = query(transaction, sql, vec![account.0.into(), before.0.into()]).await?;
    let Some(last) = rows.last() else { return Ok(0) };
    let last: i64 = last.try_get("", "place")?;
    let mut hashes: Vec<[Value; 1]> = Vec::new();
    for row in &rows {
        if let Some(provider_id) = row.try_get::<Option<String>>("", "provider_message_id")? {
            hashes.push([provider_id_hash(SenderKey(row.try_get("", "sender")?), &provider_id).into()]);
        }
    }
    execute_rows(transaction, "DELETE FROM inbound_keys WHERE hash IN (", hashes, ")").await?;
    let values = vec![account.0.into(), last.into(), before.0.into()];
    let sql = "DELETE FROM events WHERE account = $1 AND place <= $2 AND recorded_at < $3";
    execute(transaction, sql, values.clone()).await?;
    let sql = "DELETE FROM callbacks WHERE account = $1 AND last_place <= $2 AND created_at < $3";
    execute(transaction, sql, values).await?;
    Ok(rows.len())
}
