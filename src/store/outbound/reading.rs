//! What waits at a number, as its owner reads it: the heads of its queues, retries, and what nobody knows the end of.

use sea_orm::{DbErr, QueryResult};

use super::odd_value;
use crate::{
    domain::{
        ids::{MessageId, SenderKey},
        outbound::{Category, Class},
        phone::PhoneNumber,
        time::UnixMillis,
    },
    store::{Doing, Store, StoreError, execute, query},
};

/// A message as its number's owner reads it.
#[derive(Clone, Debug)]
pub struct QueuedMessage {
    pub id: MessageId,
    pub category: Category,
    pub campaign: Option<String>,
    pub recipient: PhoneNumber,
    pub template: Option<(String, String)>,
    pub request: String,
    pub expires_at: UnixMillis,
    /// Tries that ended, since it was accepted or an operator sent it again.
    pub attempts: i16,
    /// Since when it might have left: its acceptance, or the time of its retry. Its owner knows better when something else
    /// kept it.
    pub due_since: UnixMillis,
}

const QUEUED_COLUMNS: &str = "id, category, campaign, recipient, template_name, template_language, request, expires_at, due_at, \
     attempts - attempts_before AS attempts";

impl Store {
    /// The next messages of one class at a number, in order of acceptance.
    pub async fn queue_head(
        &self,
        sender: SenderKey,
        class: Class,
        limit: usize,
    ) -> Result<Vec<QueuedMessage>, StoreError> {
        let sql = format!(
            "SELECT {QUEUED_COLUMNS} FROM outbound_messages \
             WHERE sender = $1 AND class = $2 AND state = 0 AND due_at IS NULL ORDER BY id + 0 LIMIT $3"
        );
        // The limit is different each time; in the text it would make a new statement of it.
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = query(&self.prompt_reader(), sql, vec![sender.0.into(), class.code().into(), limit.into()]).await;
        rows.and_then(|rows| rows.iter().map(queued_message).collect()).doing("read a number's queue")
    }

    /// Messages of a number whose retry is due, or nearly; those of classes that are `quiet` only when they are too late.
    pub async fn due_retries(
        &self,
        sender: SenderKey,
        until: UnixMillis,
        quiet: &[Class],
        limit: usize,
    ) -> Result<Vec<QueuedMessage>, StoreError> {
        let quiet: String =
            quiet.iter().map(|class| format!(" AND (class <> {} OR expires_at <= $2)", class.code())).collect();
        let sql = format!(
            "SELECT {QUEUED_COLUMNS} FROM outbound_messages \
             WHERE sender = $1 AND due_at IS NOT NULL AND due_at <= $2 AND state = 0{quiet} ORDER BY due_at LIMIT {limit}"
        );
        let rows = query(&self.prompt_reader(), sql, vec![sender.0.into(), until.0.into()]).await;
        rows.and_then(|rows| rows.iter().map(queued_message).collect()).doing("read a number's retries")
    }

    /// Messages of a number of which nobody knows whether they went out, and whose time of grace is over.
    pub async fn unknown_due(
        &self,
        sender: SenderKey,
        now: UnixMillis,
        limit: usize,
    ) -> Result<Vec<MessageId>, StoreError> {
        let sql = format!(
            "SELECT id FROM outbound_messages \
             WHERE sender = $1 AND due_at IS NOT NULL AND due_at <= $2 AND state = 4 ORDER BY due_at LIMIT {limit}"
        );
        let rows = query(&self.prompt_reader(), sql, vec![sender.0.into(), now.0.into()]).await;
        rows.and_then(|rows| rows.iter().map(|row| row.try_get("", "id").map(MessageId)).collect())
            .doing("read a number's unknown messages")
    }

    /// What an earlier owner of the number had marked as being sent, and nobody settled: nobody knows
    /// whether it went out.
    pub async fn adopt_sending(&self, sender: SenderKey, epoch: i64, settle_at: UnixMillis) -> Result<u64, StoreError> {
        let sql = "UPDATE outbound_messages SET state = 4, epoch = NULL, due_at = $1, \
                   failure_reason = 12, failure_text = 'the bridge stopped while this was being sent' \
                   WHERE sender = $2 AND state = 1 AND epoch < $3";
        let transaction = self.begin_promptly().await.doing("begin")?;
        let adopted = execute(&transaction, sql, vec![settle_at.0.into(), sender.0.into(), epoch.into()])
            .await
            .doing("adopt messages in flight")?;
        transaction.commit().await.doing("adopt messages in flight")?;
        Ok(adopted)
    }
}

fn queued_message(row: &QueryResult) -> Result<QueuedMessage, DbErr> {
    let recipient: String = row.try_get("", "recipient")?;
    let category: i16 = row.try_get("", "category")?;
    let name: Option<String> = row.try_get("", "template_name")?;
    let language: Option<String> = row.try_get("", "template_language")?;
    let id = MessageId(row.try_get("", "id")?);
    let due_at: Option<i64> = row.try_get("", "due_at")?;
    Ok(QueuedMessage {
        id,
        category: Category::from_code(category).ok_or_else(|| odd_value("category"))?,
        campaign: row.try_get("", "campaign")?,
        recipient: PhoneNumber::from_international(&recipient).ok_or_else(|| odd_value("recipient"))?,
        template: name.zip(language),
        request: row.try_get("", "request")?,
        expires_at: UnixMillis(row.try_get("", "expires_at")?),
        attempts: row.try_get("", "attempts")?,
        due_since: due_at.map_or_else(|| id.made_at(), UnixMillis),
    })
}
