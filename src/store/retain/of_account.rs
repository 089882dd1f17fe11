//! Forgetting what an account keeps for a shorter time than others do.
//!
//! What is old enough for it may lie among millions of rows of others, in tables that no index leads through by account. So each
//! such table is walked through once for each such account, with a mark for how far the walk has come.

use sea_orm::{DbErr, Value};

use super::{delete_messages, mark, set_mark};
use crate::{
    domain::{
        ids::{AccountKey, MessageId, SenderKey},
        time::UnixMillis,
    },
    store::{
        DatabaseTransaction, Doing, Store, StoreError, execute, execute_rows, media,
        outbound::{id_hash, provider_id_hash},
        query,
    },
};

/// The rows of one step: above `from`, up to `last`.
struct Step {
    from: i64,
    last: i64,
    looked_at: usize,
}

impl Store {
    /// Forgets an account's messages that were accepted before `before`. Goes on from where it was: gives back how many messages of
    /// any account were looked at.
    pub async fn forget_messages_of(
        &self,
        account: AccountKey,
        before: UnixMillis,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let doing = "forget an account's messages";
        let transaction = self.begin().await.doing("begin")?;
        let walk = format!("kept_for of account {}", account.0);
        let Some(step) = next_step(&transaction, &walk, "outbound_messages", before, limit).await.doing(doing)? else {
            return Ok(0);
        };
        forget_messages(&transaction, account, &step).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(step.looked_at)
    }

    /// The same of exchanges with its callback URLs and webhooks.
    pub async fn forget_exchanges_of(
        &self,
        account: AccountKey,
        before: UnixMillis,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let doing = "forget an account's exchanges";
        let transaction = self.begin().await.doing("begin")?;
        let walk = format!("kept_exchanges of account {}", account.0);
        let Some(step) = next_step(&transaction, &walk, "callback_attempts", before, limit).await.doing(doing)? else {
            return Ok(0);
        };
        // By the index on its URLs all of their exchanges would be read for each step.
        let sql = "DELETE FROM callback_attempts WHERE id > $1 AND id <= $2 \
                   AND (subscription + 0) IN (SELECT key FROM subscriptions WHERE account = $3)";
        let values = vec![step.from.into(), step.last.into(), account.0.into()];
        execute(&transaction, sql, values).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(step.looked_at)
    }

    /// Marks files that people sent to an account before `before` for deletion, as [`Store::mark_old_media`] does; goes on from where
    /// it was.
    pub async fn mark_old_media_of(
        &self,
        account: AccountKey,
        before: UnixMillis,
        copying_until: UnixMillis,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let doing = "mark an account's old files for deletion";
        let transaction = self.begin().await.doing("begin")?;
        let walk = format!("kept_media of account {}", account.0);
        let Some(step) = next_step(&transaction, &walk, "media", before, limit).await.doing(doing)? else {
            return Ok(0);
        };
        let sql = format!("{} WHERE id > $3 AND id <= $4 AND account = $5 AND state <> 3", media::MARK);
        let values: Vec<Value> =
            vec![copying_until.0.into(), self.now().0.into(), step.from.into(), step.last.into(), account.0.into()];
        execute(&transaction, sql, values).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(step.looked_at)
    }

    /// Forgets what was refused to an account before `before`.
    pub async fn forget_refused_of(
        &self,
        account: AccountKey,
        before: UnixMillis,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let sql = format!(
            "DELETE FROM refused_requests WHERE id IN (SELECT id FROM refused_requests WHERE account = $1 AND id < $2 \
             ORDER BY id LIMIT {limit})"
        );
        let values = vec![account.0.into(), MessageId::first_at(before).0.into()];
        let transaction = self.begin().await.doing("begin")?;
        let gone = execute(&transaction, sql, values).await.doing("forget an account's refused requests")?;
        transaction.commit().await.doing("forget an account's refused requests")?;
        Ok(usize::try_from(gone).unwrap_or(usize::MAX))
    }
}

/// The next step of a walk through a table; its mark goes on with the transaction. `None` at the end.
async fn next_step(
    transaction: &DatabaseTransaction,
    walk: &str,
    table: &str,
    before: UnixMillis,
    limit: usize,
) -> Result<Option<Step>, DbErr> {
    let from = mark(transaction, walk).await?;
    let sql = format!("SELECT id FROM {table} WHERE id > $1 AND id < $2 ORDER BY id LIMIT {limit}");
    let rows = query(transaction, sql, vec![from.into(), MessageId::first_at(before).0.into()]).await?;
    let Some(last) = rows.last() else { return Ok(None) };
    let last: i64 = last.try_get("", "id")?;
    set_mark(transaction, walk, last).await?;
    Ok(Some(Step { from, last, looked_at: rows.len() }))
}

async fn forget_messages(transaction: &DatabaseTransaction, account: AccountKey, step: &Step) -> Result<(), DbErr> {
    // What is still under way at such an age goes with those of all accounts.
    let sql = "SELECT id, sender, provider_message_id, platform_message_id FROM outbound_messages \
               WHERE id > $1 AND id <= $2 AND account = $3 AND state NOT IN (0, 1)";
    let rows = query(transaction, sql, vec![step.from.into(), step.last.into(), account.0.into()]).await?;
    let (mut messages, mut hashes, mut keys) = (Vec::new(), Vec::<[Value; 1]>::new(), Vec::<[Value; 3]>::new());
    for row in &rows {
        let (id, platform_id): (i64, String) = (row.try_get("", "id")?, row.try_get("", "platform_message_id")?);
        messages.push(MessageId(id));
        keys.push([account.0.into(), id_hash(&platform_id).into(), id.into()]);
        if let Some(provider_id) = row.try_get::<Option<String>>("", "provider_message_id")? {
            hashes.push([provider_id_hash(SenderKey(row.try_get("", "sender")?), &provider_id).into()]);
        }
    }
    execute_rows(transaction, "DELETE FROM message_keys WHERE (account, id_hash, message) IN (", keys, ")").await?;
    delete_messages(transaction, &messages, hashes).await
}
