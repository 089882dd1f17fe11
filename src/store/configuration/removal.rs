//! Removing connections, accounts and numbers.
//!
//! A removed row stays while history may refer to its key, so that messages, events and figures have a name. It gives up at once
//! what makes it something: its own name, which another may then have, its secrets, its callback URLs. [`super::load`] keeps
//! it apart from what is configured, so nobody works with it; [`Store::forget_removed`] deletes it in the end.
//!
//! **Nothing that was accepted is lost.** Whoever removes a number looks whether something waits at it while no batch that
//! accepts is open, and each such batch looks in its turn whether one of its numbers was removed (`outbound::accept`). So
//! either the waiting message is seen here, or the removal is seen there, however old the configuration of an instance is.

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait as _, DbBackend, DbErr, QueryResult, RuntimeErr, Value};

use super::{
    Configuration, load,
    sealing::{StoredCredentials, place_of_account, place_of_connection, to_json},
};
use crate::{
    domain::{
        callback::Subscription,
        ids::{AccountKey, ConnectionKey, Place, SenderKey, SubscriptionKey},
        time::UnixMillis,
    },
    store::{
        DatabaseTransaction, Doing, Store, StoreError,
        audit::{self, AuditEntry},
        callbacks::{END, distance},
        execute,
        holds::{CONFIGURATION, bump},
        query,
        queue_rules::QUEUE_RULES,
        replays::end_abandoned,
        rotate::empty_urls,
        vault::Vault,
    },
};

/// What is removed together.
#[derive(Debug, Default)]
pub struct Removal {
    pub connection: Option<ConnectionKey>,
    pub account: Option<AccountKey>,
    pub senders: Vec<SenderKey>,
    /// What the audit log is told of it, in the same transaction.
    pub audit: Vec<AuditEntry>,
}

/// What became of it.
#[derive(Debug)]
pub enum Removed {
    Done,
    /// Nothing is removed, because this is still to be done.
    HasWork(RemovalWork),
    /// Nothing is removed, because somebody works on all messages.
    Busy,
}

/// What is still to be done for what shall be removed; each count goes up to [`COUNTED_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemovalWork {
    /// Messages that wait, also those that are paused or tried again later.
    pub queued: i64,
    pub sending: i64,
    /// Messages of which nobody knows yet whether they were sent.
    pub unknown: i64,
    /// Files from people that are not copied yet.
    pub files: i64,
    /// Events that are still to be told.
    pub owed: Vec<(SubscriptionKey, i64)>,
}

impl RemovalWork {
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Who removes something wants to know whether there is work, not how much of a million.
pub const COUNTED_MAX: u64 = 10_000;
/// So long the acceptance of messages may have to wait on PostgreSQL.
const LOCK_WAIT_MAX_MS: u32 = 500;
/// Rows of each kind that are deleted in one step.
const FORGOTTEN_AT_ONCE: usize = 100;

impl Store {
    /// Removes what `decide` says, which sees what is stored; nobody else changes the configuration meanwhile.
    pub async fn remove<E>(
        &self,
        decide: impl FnOnce(&Configuration) -> Result<Removal, E>,
    ) -> Result<Result<Removed, E>, StoreError> {
        let doing = "remove a part of the configuration";
        let transaction = self.begin().await.doing(doing)?;
        // Before all other locks: who accepts messages may wait for this, and must not be waited for with one of theirs.
        if let Err(error) = keep_acceptance_out(&transaction).await {
            drop(transaction.rollback().await);
            return if is_lock_timeout(&error) { Ok(Ok(Removed::Busy)) } else { Err(error).doing(doing) };
        }
        bump(&transaction, CONFIGURATION).await.doing(doing)?;
        let stored = load(&transaction, Some(self.vault())).await.doing(doing)?;
        let removal = match decide(&stored) {
            Ok(removal) => removal,
            Err(refusal) => {
                transaction.rollback().await.doing(doing)?;
                return Ok(Err(refusal));
            }
        };
        let work = work_of(&transaction, &stored, &removal).await.doing(doing)?;
        if !work.is_none() {
            transaction.rollback().await.doing(doing)?;
            return Ok(Ok(Removed::HasWork(work)));
        }
        remove(&transaction, self.vault(), &removal, self.now()).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(Ok(Removed::Done))
    }

    /// What would have to be done first, as far as one can tell without keeping anybody out.
    pub async fn removal_work(&self, stored: &Configuration, removal: &Removal) -> Result<RemovalWork, StoreError> {
        work_of(self.reader(), stored, removal).await.doing("look what is still to be done")
    }

    /// Deletes what was removed before `before`: all that could refer to it is older than it may become. Says how much went.
    pub async fn forget_removed(&self, before: UnixMillis) -> Result<usize, StoreError> {
        let doing = "forget what was removed";
        let transaction = self.begin().await.doing(doing)?;
        let gone = forget(&transaction, before).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(gone)
    }

    /// Deletes the suppression lists of accounts that were removed before `before`, at most `limit` entries.
    pub async fn forget_lists_of_removed(&self, before: UnixMillis, limit: usize) -> Result<usize, StoreError> {
        let sql = format!(
            "DELETE FROM suppressions WHERE (account, person, source) IN (SELECT s.account, s.person, s.source \
             FROM accounts AS a CROSS JOIN suppressions AS s WHERE a.removed_at < $1 AND s.account = a.key LIMIT {limit})"
        );
        self.forget(&sql, before).await
    }
}

/// From here on no batch is open that accepts messages or marks them, until the transaction ends. On SQLite that is so anyway.
async fn keep_acceptance_out(transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    if transaction.get_database_backend() == DbBackend::Sqlite {
        return Ok(());
    }
    execute(transaction, format!("SET LOCAL lock_timeout = {LOCK_WAIT_MAX_MS}"), vec![]).await?;
    execute(transaction, "LOCK TABLE outbound_messages IN SHARE MODE", vec![]).await?;
    execute(transaction, "SET LOCAL lock_timeout TO DEFAULT", vec![]).await.map(drop)
}

fn is_lock_timeout(error: &DbErr) -> bool {
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error else {
        return false;
    };
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == LOCK_NOT_AVAILABLE)
}

async fn work_of(
    connection: &impl sea_orm::ConnectionTrait,
    stored: &Configuration,
    removal: &Removal,
) -> Result<RemovalWork, DbErr> {
    let mut work = RemovalWork::default();
    // Each is answered by an index of open work.
    let count = |of: &str| format!("(SELECT COUNT(*) FROM (SELECT 1 FROM {of} LIMIT {COUNTED_MAX}) AS counted)");
    let sql = format!(
        "SELECT {} AS ready, {} AS later, {} AS sending, {} AS unknown, {} AS files",
        count("outbound_messages WHERE sender = $1 AND state = 0 AND due_at IS NULL"),
        count("outbound_messages WHERE sender = $1 AND state = 0 AND due_at IS NOT NULL"),
        count("outbound_messages WHERE sender = $1 AND state = 1"),
        count("outbound_messages WHERE sender = $1 AND state = 4 AND due_at IS NOT NULL"),
        count("media WHERE sender = $1 AND state = 0 AND due_at IS NOT NULL"),
    );
    for sender in &removal.senders {
        for row in &query(connection, sql.as_str(), vec![sender.0.into()]).await? {
            let counted = |column: &str| row.try_get::<i64>("", column);
            work.queued += counted("ready")? + counted("later")?;
            work.sending += counted("sending")?;
            work.unknown += counted("unknown")?;
            work.files += counted("files")?;
        }
    }
    let is_removed = |subscription: &&Subscription| {
        removal.account == Some(subscription.account)
            || subscription.sender.is_some_and(|sender| removal.senders.contains(&sender))
    };
    for subscription in stored.all_subscriptions().filter(is_removed) {
        let owed = owed(connection, subscription).await?;
        work.owed.extend((owed > 0).then_some((subscription.key, owed)));
    }
    Ok(work)
}

/// What lies beyond the cursor, and what waits for another try.
async fn owed(connection: &impl sea_orm::ConnectionTrait, subscription: &Subscription) -> Result<i64, DbErr> {
    let sql = format!(
        "SELECT cursor, (SELECT COUNT(*) FROM (SELECT 1 FROM callbacks WHERE subscription = $1 AND state = 3 \
         LIMIT {COUNTED_MAX}) AS counted) AS waiting FROM subscriptions WHERE key = $1"
    );
    let rows = query(connection, sql, vec![subscription.key.0.into()]).await?;
    let Some(row) = rows.first() else { return Ok(0) };
    let (cursor, waiting): (i64, i64) = (row.try_get("", "cursor")?, row.try_get("", "waiting")?);
    Ok(waiting + distance(connection, subscription, (Place(cursor), END), COUNTED_MAX).await?.events)
}

async fn remove(
    transaction: &DatabaseTransaction,
    vault: &Vault,
    removal: &Removal,
    now: UnixMillis,
) -> Result<(), DbErr> {
    const NOT_HELD: &str = "held_since = NULL, held_reason = NULL, held_by = NULL, updated_at = $2, removed_at = $2";
    for key in &removal.senders {
        // A number that nobody has, but one: earlier versions read it as such, too.
        let sql = format!(
            "UPDATE senders SET removed_number = number, removed_provider_number_id = provider_number_id, number = $3, \
             provider_number_id = $4, {NOT_HELD} WHERE key = $1"
        );
        let values: Vec<Value> = vec![key.0.into(), now.0.into(), format!("+{key:015}").into(), no_name(key.0).into()];
        execute(transaction, sql, values).await?;
    }
    if let Some(AccountKey(key)) = removal.account {
        let sql = "UPDATE accounts SET removed_id = id, id = $3, enabled = FALSE, updated_at = $2, removed_at = $2 WHERE key = $1";
        execute(transaction, sql, vec![key.into(), now.0.into(), no_name(key).into()]).await?;
    }
    if let Some(ConnectionKey(key)) = removal.connection {
        let sql = format!("UPDATE connections SET removed_id = id, id = $3, {NOT_HELD} WHERE key = $1");
        execute(transaction, sql, vec![key.into(), now.0.into(), no_name(key).into()]).await?;
    }
    seal_removed(transaction, vault).await?;
    end_telling(transaction, vault, now).await?;
    end_rules(transaction, now).await?;
    for entry in &removal.audit {
        audit::append(transaction, entry, now).await?;
    }
    Ok(())
}

/// No id that can be entered has a space in it.
fn no_name(key: i32) -> String {
    format!("removed {key}")
}

/// Puts nothing in the place of every secret of what was removed, sealed, so that whoever opens all of them can.
pub(in crate::store) async fn seal_removed(transaction: &DatabaseTransaction, vault: &Vault) -> Result<(), DbErr> {
    let no_credentials = to_json(&StoredCredentials::default());
    let kinds = [("connections", "secrets", "{}"), ("accounts", "credentials", no_credentials.as_str())];
    for (table, column, nothing) in kinds {
        let place_of = if table == "accounts" { place_of_account } else { place_of_connection };
        let removed = format!("SELECT id FROM {table} WHERE removed_at IS NOT NULL");
        for row in &query(transaction, removed, vec![]).await? {
            let id: String = row.try_get("", "id")?;
            let sealed = vault.seal(&place_of(&id), nothing.as_bytes());
            let sql = format!("UPDATE {table} SET {column} = $2 WHERE id = $1");
            execute(transaction, sql, vec![id.into(), sealed.into()]).await?;
        }
    }
    Ok(())
}

/// Of subscriptions, as of nothing else, the rows stay without a name of their own.
const OF_REMOVED: &str = "(account IN (SELECT key FROM accounts WHERE removed_at IS NOT NULL) \
     OR sender IN (SELECT key FROM senders WHERE removed_at IS NOT NULL))";

/// Nobody is told of it any more, and the URLs are forgotten.
async fn end_telling(transaction: &DatabaseTransaction, vault: &Vault, now: UnixMillis) -> Result<(), DbErr> {
    let sql = format!(
        "UPDATE subscriptions SET enabled = FALSE, url_hint = '', failing_since = NULL, failures = 0, due_at = NULL, \
         held_since = NULL, held_reason = NULL, updated_at = $1 WHERE {OF_REMOVED} RETURNING key"
    );
    let rows = query(transaction, sql, vec![now.0.into()]).await?;
    let ended: BTreeSet<i32> = rows.iter().map(|row| row.try_get("", "key")).collect::<Result<_, _>>()?;
    empty_urls(transaction, vault, |key| ended.contains(&key)).await?;
    end_abandoned(transaction, now).await
}

/// Nothing waits there that a rule could keep back.
async fn end_rules(transaction: &DatabaseTransaction, now: UnixMillis) -> Result<(), DbErr> {
    let sql = format!(
        "UPDATE queue_rules SET released_at = COALESCE(released_at, $1), done_at = $1 WHERE done_at IS NULL AND {OF_REMOVED}"
    );
    if execute(transaction, sql, vec![now.0.into()]).await? > 0 {
        bump(transaction, QUEUE_RULES).await?;
    }
    Ok(())
}

async fn forget(transaction: &DatabaseTransaction, before: UnixMillis) -> Result<usize, DbErr> {
    let mut gone = 0;
    // A conversation stays as long as its contact, who may write to other numbers.
    let of_nobody = "NOT EXISTS (SELECT 1 FROM conversations AS c WHERE c.sender = removed.key)";
    for sender in keys(transaction, "senders", before, of_nobody).await? {
        gone += 1;
        forget_subscriptions(transaction, "sender", sender).await?;
        delete(transaction, sender, "queue_rules WHERE sender = $1").await?;
        delete(transaction, sender, "leases WHERE kind = 1 AND item = $1").await?;
        delete(transaction, sender, "channels WHERE sender = $1").await?;
        delete(transaction, sender, "polls WHERE sender = $1").await?;
        delete(transaction, sender, "senders WHERE key = $1").await?;
    }
    let of_nobody = "NOT EXISTS (SELECT 1 FROM senders AS n WHERE n.account = removed.key) \
                     AND NOT EXISTS (SELECT 1 FROM suppressions AS s WHERE s.account = removed.key)";
    for account in keys(transaction, "accounts", before, of_nobody).await? {
        gone += 1;
        forget_subscriptions(transaction, "account", account).await?;
        delete(transaction, account, "queue_rules WHERE account = $1").await?;
        delete(transaction, account, "suppression_syncs WHERE account = $1").await?;
        delete(transaction, account, "logs WHERE account = $1").await?;
        delete(transaction, account, "accounts WHERE key = $1").await?;
    }
    let of_nobody = "NOT EXISTS (SELECT 1 FROM senders AS n WHERE n.connection = removed.key)";
    for connection in keys(transaction, "connections", before, of_nobody).await? {
        gone += 1;
        delete(transaction, connection, "templates WHERE connection = $1").await?;
        delete(transaction, connection, "template_syncs WHERE connection = $1").await?;
        delete(transaction, connection, "connections WHERE key = $1").await?;
    }
    Ok(gone)
}

async fn keys(
    transaction: &DatabaseTransaction,
    table: &str,
    before: UnixMillis,
    of_nobody: &str,
) -> Result<Vec<i32>, DbErr> {
    let sql = format!(
        "SELECT key FROM {table} AS removed WHERE removed_at < $1 AND {of_nobody} ORDER BY key LIMIT {FORGOTTEN_AT_ONCE}"
    );
    let key = |row: &QueryResult| row.try_get("", "key");
    query(transaction, sql, vec![before.0.into()]).await?.iter().map(key).collect()
}

async fn forget_subscriptions(transaction: &DatabaseTransaction, column: &str, key: i32) -> Result<(), DbErr> {
    let of_them = format!("leases WHERE kind = 2 AND item IN (SELECT key FROM subscriptions WHERE {column} = $1)");
    delete(transaction, key, &of_them).await?;
    delete(transaction, key, &format!("subscriptions WHERE {column} = $1")).await
}

async fn delete(transaction: &DatabaseTransaction, key: i32, from: &str) -> Result<(), DbErr> {
    execute(transaction, format!("DELETE FROM {from}"), vec![key.into()]).await.map(drop)
}
