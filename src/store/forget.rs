//! Erasing what is stored about one person, in steps of one short transaction each.
//!
//! A message and its statuses are deleted once everybody was told of them. As long as a callback URL is owed a
//! status, the message stays as an empty shell: its platform's id, template and outcome, and nobody's number or words. What
//! is reported of a shell after that is told, and the provider's own entry is not kept.

use sea_orm::{DbErr, QueryResult, Value};

use super::{
    DatabaseTransaction, Doing, Store, StoreError, execute, execute_rows,
    outbound::{id_hash, id_list, provider_id_hash},
    person::InboundEntry,
    query,
    retain::earlier_hashes,
    story::StoredMessage,
};
use crate::domain::{
    ids::{AccountKey, MessageId, SenderKey},
    outbound::SendState,
    progress::Finding,
};

/// What became of messages that were to be erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErasedMessages {
    pub deleted: usize,
    /// Emptied; deleted when their time is over.
    pub emptied: usize,
    /// Being sent at this moment: their outcome must find them.
    pub busy: usize,
}

/// In the place of a number that was erased.
pub(super) const NOBODY: &str = "+00000";
/// In the place of a provider's id, which may spell the number.
pub(super) const NO_PROVIDER_ID: &str = "erased";

/// Tables whose rows are one document about one person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    RefusedRequest,
    /// A part of a webhook.
    KeptPart,
}

impl Store {
    /// Takes back what is queued of these messages, and closes those whose outcome nobody knows; both are reported as
    /// failed. Says which.
    pub async fn close_messages(&self, messages: &[StoredMessage], reason: &str) -> Result<Vec<MessageId>, StoreError> {
        let finding = |message: &StoredMessage| {
            let finding = match message.state {
                SendState::Queued => Finding::Cancelled { reason: reason.to_owned() },
                SendState::Unknown if message.due_at.is_some() => Finding::NoEvidence,
                SendState::Sending
                | SendState::Submitted
                | SendState::Rejected
                | SendState::Unknown
                | SendState::Expired
                | SendState::Cancelled => return None,
            };
            Some((message.id, finding))
        };
        let findings: Vec<(MessageId, Finding)> = messages.iter().filter_map(finding).collect();
        let closed = findings.iter().map(|(message, _)| *message).collect();
        if !findings.is_empty() {
            self.settle_at_once(findings).await?;
        }
        Ok(closed)
    }

    /// Whether somebody has yet to be told of any of these messages.
    pub async fn is_owed(&self, messages: &[MessageId]) -> Result<bool, StoreError> {
        let list = id_list(messages);
        let sql = format!("SELECT m.id FROM outbound_messages AS m WHERE m.id IN ({list}) AND {} LIMIT 1", owed_sql());
        Ok(!query(self.reader(), sql, vec![]).await.doing("look who is to be told")?.is_empty())
    }

    /// Erases messages with all that hangs on them.
    pub async fn erase_messages(&self, messages: &[MessageId]) -> Result<ErasedMessages, StoreError> {
        let doing = "erase messages";
        let transaction = self.begin().await.doing(doing)?;
        let erased = erase_messages(&transaction, messages).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(erased)
    }

    /// Erases inbound messages, whether they were told or not.
    pub async fn erase_inbound(&self, entries: &[InboundEntry]) -> Result<u64, StoreError> {
        let doing = "erase inbound messages";
        let key = |entry: &InboundEntry| [provider_id_hash(entry.sender, &entry.provider_message_id).into()];
        let keys: Vec<[Value; 1]> = entries.iter().map(key).collect();
        let places: Vec<[Value; 2]> =
            entries.iter().map(|entry| [entry.account.0.into(), entry.place.0.into()]).collect();
        let transaction = self.begin().await.doing(doing)?;
        forget_told(&transaction, places.clone()).await.doing(doing)?;
        execute_rows(&transaction, "DELETE FROM inbound_keys WHERE hash IN (", keys, ")").await.doing(doing)?;
        let gone = execute_rows(&transaction, "DELETE FROM events WHERE (account, place) IN (", places, ")").await;
        let gone = gone.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(gone)
    }

    /// Erases whole rows.
    pub async fn erase_documents(&self, what: Document, ids: &[MessageId]) -> Result<u64, StoreError> {
        let doing = "erase what was kept of webhooks and requests";
        let table = match what {
            Document::RefusedRequest => "refused_requests",
            Document::KeptPart => "unrecognized",
        };
        let rows: Vec<[Value; 1]> = ids.iter().map(|id| [id.0.into()]).collect();
        let transaction = self.begin().await.doing(doing)?;
        let gone = execute_rows(&transaction, &format!("DELETE FROM {table} WHERE id IN ("), rows, ")").await;
        let gone = gone.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(gone)
    }
}

/// Forgets what was told of these events, each an account and a place, and what webhooks answered to it: some quote what they got.
pub(super) async fn forget_told(transaction: &DatabaseTransaction, places: Vec<[Value; 2]>) -> Result<(), DbErr> {
    let head = "UPDATE callback_attempts SET note = CASE WHEN excerpt IS NULL THEN note ELSE '' END, excerpt = NULL, \
                payload_bytes = NULL, payload_hash = NULL, payload = NULL WHERE id IN (SELECT a.id FROM (";
    let tail = ") AS v CROSS JOIN subscriptions AS s CROSS JOIN callback_attempts AS a WHERE s.account = v.column1 \
                AND a.subscription = s.key AND a.last_place = v.column2 \
                AND (a.excerpt IS NOT NULL OR a.payload_hash IS NOT NULL))";
    execute_rows(transaction, head, places, tail).await.map(drop)
}

/// Accounts and places of events, as [`forget_told`] takes them.
pub(super) async fn places_of(
    transaction: &DatabaseTransaction,
    events: &str,
    values: Vec<Value>,
) -> Result<Vec<[Value; 2]>, DbErr> {
    let rows = query(transaction, format!("SELECT account, place FROM events WHERE {events}"), values).await?;
    let place =
        |row: &QueryResult| Ok([row.try_get::<i32>("", "account")?.into(), row.try_get::<i64>("", "place")?.into()]);
    rows.iter().map(place).collect()
}

/// Whether a status of message `m` lies beyond the cursor of a subscription that wants it.
fn owed_sql() -> String {
    format!(
        "EXISTS (SELECT 1 FROM events AS e WHERE e.message = m.id AND e.kind = 1 AND e.place > (SELECT COALESCE(MIN(cursor), {}) \
         FROM subscriptions AS s WHERE s.account = m.account AND s.kind = 1 AND s.webhook IS NULL AND s.enabled))",
        i64::MAX
    )
}

async fn erase_messages(transaction: &DatabaseTransaction, asked: &[MessageId]) -> Result<ErasedMessages, DbErr> {
    if asked.is_empty() {
        return Ok(ErasedMessages::default());
    }
    let sql = format!(
        "SELECT m.id, m.account, m.sender, m.platform_message_id, m.provider_message_id, {} AS owed \
         FROM outbound_messages AS m WHERE m.id IN ({}) AND m.state NOT IN (0, 1) AND m.due_at IS NULL",
        owed_sql(),
        id_list(asked)
    );
    let rows = query(transaction, sql, vec![]).await?;
    let (mut told, mut owed) = (Vec::new(), Vec::new());
    let mut keys: Vec<[Value; 3]> = Vec::new();
    let mut hashes: Vec<[Value; 1]> = Vec::new();
    for row in &rows {
        let id = MessageId(row.try_get("", "id")?);
        if row.try_get("", "owed")? {
            owed.push(id)
        } else {
            told.push(id)
        }
        let platform_id: String = row.try_get("", "platform_message_id")?;
        let account = AccountKey(row.try_get("", "account")?);
        keys.push([account.0.into(), id_hash(&platform_id).into(), id.0.into()]);
        if let Some(provider_id) = row.try_get::<Option<String>>("", "provider_message_id")? {
            hashes.push([provider_id_hash(SenderKey(row.try_get("", "sender")?), &provider_id).into()]);
        }
    }
    let all: Vec<MessageId> = told.iter().chain(&owed).copied().collect();
    if !all.is_empty() {
        let places = places_of(transaction, &format!("message IN ({})", id_list(&all)), vec![]).await?;
        forget_told(transaction, places).await?;
        hashes.extend(earlier_hashes(transaction, &id_list(&all)).await?);
        execute_rows(transaction, "DELETE FROM message_keys WHERE (account, id_hash, message) IN (", keys, ")").await?;
        execute_rows(transaction, "DELETE FROM provider_ids WHERE hash IN (", hashes, ")").await?;
        for table in [
            "send_attempts",
            "operator_notes",
            "unheard_messages",
            "earlier_sends",
            "other_provider_ids",
            "send_exchanges",
        ] {
            let sql = format!("DELETE FROM {table} WHERE message IN ({})", id_list(&all));
            execute(transaction, sql, vec![]).await?;
        }
    }
    if !told.is_empty() {
        let list = id_list(&told);
        execute(transaction, format!("DELETE FROM events WHERE message IN ({list}) AND kind IN (1, 4)"), vec![])
            .await?;
        execute(transaction, format!("DELETE FROM outbound_messages WHERE id IN ({list})"), vec![]).await?;
    }
    if !owed.is_empty() {
        let list = id_list(&owed);
        let sql = format!("UPDATE events SET entry = NULL WHERE message IN ({list}) AND kind = 1");
        execute(transaction, sql, vec![]).await?;
        let sql = format!(
            "UPDATE outbound_messages SET recipient = '{NOBODY}', request = '', request_hash = NULL, answer = NULL, \
             provider_message_id = CASE WHEN state = 2 THEN '{NO_PROVIDER_ID}' END WHERE id IN ({list})"
        );
        execute(transaction, sql, vec![]).await?;
    }
    Ok(ErasedMessages { deleted: told.len(), emptied: owed.len(), busy: asked.len() - all.len() })
}
