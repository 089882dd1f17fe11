//! Looking through the queues of numbers, and moving parts of them, slice by slice.
//!
//! A message that waits is in one of two indexes: in the *queue*, in the order of acceptance, or *aside*, by the time at
//! which it is due. A retry is aside until its time; what an operator paused is aside until it expires, and so costs
//! nothing until then. A slice is a short transaction, so nobody waits for somebody who looks through a million messages.

use sea_orm::{DbErr, QueryResult};

use super::{
    DatabaseTransaction, Doing, Store, StoreError,
    audit::{AuditEntry, append},
    batch::Effects,
    execute, ingest,
    outbound::{Settlement, id_list, odd_value},
    query,
    silence::{Unheard, note_unheard},
    story::StoredMessage,
};
use crate::domain::{
    ids::{AccountKey, MessageId, MessageIds, SenderKey},
    outbound::Class,
    progress::Finding,
    queue::Waiting,
    status::DeliveryStatus,
    time::UnixMillis,
};

/// A message that waits, as far as rules look at it.
#[derive(Clone, Debug)]
pub struct WaitingMessage {
    pub id: MessageId,
    pub account: AccountKey,
    pub sender: SenderKey,
    pub class: Class,
    pub campaign: Option<String>,
    pub template: Option<(String, String)>,
    /// A retry, or set aside; `None` when it is in the queue.
    pub due_at: Option<UnixMillis>,
    pub expires_at: UnixMillis,
}

impl WaitingMessage {
    pub fn facts(&self) -> Waiting<'_> {
        Waiting {
            account: self.account,
            sender: self.sender,
            campaign: self.campaign.as_deref(),
            template: self.template.as_ref().map(|(name, language)| (name.as_str(), language.as_str())),
        }
    }

    /// Whether it waits for nothing but its expiry.
    pub fn is_aside(&self) -> bool {
        self.due_at == Some(self.expires_at)
    }
}

/// How far a walk through a number's waiting messages has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueuePlace {
    /// In the queue of a class, after this message.
    Queue(Class, MessageId),
    /// Aside, after this time and message.
    Aside(UnixMillis, MessageId),
}

impl QueuePlace {
    /// Where a walk through everything begins.
    pub const START: Self = Self::Queue(Class::Prompt, MessageId(i64::MIN));
    /// Where a walk through what is aside begins.
    pub const ASIDE: Self = Self::Aside(UnixMillis(i64::MIN), MessageId(i64::MIN));

    /// Where the walk goes on when a part is at its end.
    fn next_part(self) -> Option<Self> {
        match self {
            Self::Queue(Class::Prompt, _) => Some(Self::Queue(Class::Utility, MessageId(i64::MIN))),
            Self::Queue(Class::Utility, _) => Some(Self::Queue(Class::Marketing, MessageId(i64::MIN))),
            Self::Queue(Class::Marketing, _) => Some(Self::ASIDE),
            Self::Aside(..) => None,
        }
    }
}

const WAITING_COLUMNS: &str =
    "id, account, sender, class, campaign, template_name, template_language, due_at, expires_at";

/// Which rows of a part a slice takes, and in which order. Each is a range of one index.
fn range(place: QueuePlace) -> (String, &'static str) {
    match place {
        QueuePlace::Queue(class, after) => (
            format!(
                "sender = $1 AND class = {} AND state = 0 AND due_at IS NULL AND id + 0 > {}",
                class.code(),
                after.0
            ),
            "id + 0",
        ),
        // By time first, so that the index is entered at its place.
        QueuePlace::Aside(at, after) => (
            format!(
                "sender = $1 AND due_at IS NOT NULL AND due_at >= {0} AND (due_at > {0} OR id > {1}) AND state = 0",
                at.0, after.0
            ),
            "due_at, id",
        ),
    }
}

impl Store {
    /// The next messages of a number that wait, from a place on; and where to go on, `None` at the end.
    pub async fn waiting_slice(
        &self,
        sender: SenderKey,
        place: QueuePlace,
        limit: usize,
    ) -> Result<(Vec<WaitingMessage>, Option<QueuePlace>), StoreError> {
        let (range, order) = range(place);
        let sql =
            format!("SELECT {WAITING_COLUMNS} FROM outbound_messages WHERE {range} ORDER BY {order} LIMIT {limit}");
        let rows = query(self.reader(), sql, vec![sender.0.into()]).await;
        let messages: Vec<WaitingMessage> =
            rows.and_then(|rows| rows.iter().map(waiting_message).collect()).doing("read what waits at a number")?;
        let next = match messages.last() {
            Some(last) if messages.len() == limit => Some(match place {
                QueuePlace::Queue(class, _) => QueuePlace::Queue(class, last.id),
                QueuePlace::Aside(at, _) => QueuePlace::Aside(last.due_at.unwrap_or(at), last.id),
            }),
            Some(_) | None => place.next_part(),
        };
        Ok((messages, next))
    }

    /// Puts messages that are aside until they expire into the queue again. Others are left as they are.
    pub async fn put_back(&self, messages: &[MessageId]) -> Result<u64, StoreError> {
        if messages.is_empty() {
            return Ok(0);
        }
        let sql = format!(
            "UPDATE outbound_messages SET due_at = NULL WHERE id IN ({}) AND state = 0 AND due_at = expires_at",
            id_list(messages)
        );
        let transaction = self.begin().await.doing("begin")?;
        let done = execute(&transaction, sql, vec![]).await.doing("put messages back into their queue")?;
        transaction.commit().await.doing("put messages back into their queue")?;
        Ok(done)
    }

    /// Cancels messages that wait, and writes that into the log; says how many. Those that somebody marked as being sent
    /// meanwhile are left alone, and those that are cancelled nobody can mark.
    pub async fn cancel_waiting(&self, messages: &[MessageId], reason: &str) -> Result<usize, StoreError> {
        let finding = |message: &MessageId| (*message, Finding::Cancelled { reason: reason.to_owned() });
        self.settle_at_once(messages.iter().map(finding).collect()).await
    }

    /// Applies an operator's findings to messages, beside the committers of running instances; says how many were not
    /// too late.
    pub(super) async fn settle_at_once(&self, findings: Vec<(MessageId, Finding)>) -> Result<usize, StoreError> {
        let doing = "write down an operator's decision";
        let transaction = self.begin().await.doing(doing)?;
        let settled = self.settle(&transaction, findings).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(settled)
    }

    async fn settle(
        &self,
        transaction: &DatabaseTransaction,
        findings: Vec<(MessageId, Finding)>,
    ) -> Result<usize, DbErr> {
        let settlement = |(message, finding)| Settlement { message, epoch: 0, finding, attempt: None };
        let settlements: Vec<Settlement> = findings.into_iter().map(settlement).collect();
        let settlements: Vec<&Settlement> = settlements.iter().collect();
        let mut effects = Effects::default();
        // Only what comes from webhooks needs ids of its own, or is about people.
        let no_ids = std::sync::Arc::new(MessageIds::new(0));
        let hasher = || self.person_hasher_read().cloned();
        ingest::apply(transaction, &settlements, &[], vec![], hasher, (&no_ids, self.now()), &mut effects).await?;
        Ok(effects.settled)
    }

    /// Puts a message whose way is at its end into the queue once more, keeps how it stood, and notes who wanted that.
    /// `false` when it has moved since it was `seen`.
    pub async fn send_again(
        &self,
        seen: &StoredMessage,
        expires_at: UnixMillis,
        note: &str,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let doing = "send a message again";
        let transaction = self.begin().await.doing("begin")?;
        let again = self.begin_anew(&transaction, seen, expires_at).await.doing(doing)?;
        if !again {
            transaction.rollback().await.doing(doing)?;
            return Ok(false);
        }
        let settled = self.settle(&transaction, vec![(seen.id, Finding::SentAgain)]).await.doing(doing)?;
        let sql = "INSERT INTO operator_notes (message, at, note) VALUES ($1, $2, $3) \
                   ON CONFLICT (message, at) DO UPDATE SET note = excluded.note";
        execute(&transaction, sql, vec![seen.id.0.into(), self.now().0.into(), note.into()]).await.doing(doing)?;
        append(&transaction, entry, self.now()).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(settled == 1)
    }

    /// Keeps how the message stands, and marks where its new send begins.
    async fn begin_anew(
        &self,
        transaction: &DatabaseTransaction,
        seen: &StoredMessage,
        expires_at: UnixMillis,
    ) -> Result<bool, DbErr> {
        // What the operator was shown must still be so. The row is locked by this, before the log's length is read:
        // whoever reports on the message needs the row too.
        let sql = "UPDATE outbound_messages SET expires_at = $1 WHERE id = $2 AND state = $3 AND COALESCE(delivery, 0) = $4 \
                   AND sender NOT IN (SELECT key FROM senders WHERE removed_at IS NOT NULL)";
        let delivery = seen.delivery.map_or(0, DeliveryStatus::code);
        let values = vec![expires_at.0.into(), seen.id.0.into(), seen.state.code().into(), delivery.into()];
        if execute(transaction, sql, values).await? == 0 {
            return Ok(false);
        }
        let sql = "INSERT INTO earlier_sends (message, ended_at, state, delivery, attempts, sent_at, took_ms, \
                   provider_message_id, failure_reason, failure_code, failure_text, request_hash, answer) \
                   SELECT id, CAST($1 AS BIGINT), state, delivery, attempts, sent_at, took_ms, provider_message_id, \
                   failure_reason, failure_code, failure_text, request_hash, answer FROM outbound_messages WHERE id = $2";
        execute(transaction, sql, vec![self.now().0.into(), seen.id.0.into()]).await?;
        let sql = "UPDATE outbound_messages SET sent_at = NULL, request_hash = NULL, answer = NULL, attempts_before = attempts, resent_after = \
                   COALESCE((SELECT last_place FROM logs WHERE account = $1), 0) WHERE id = $2";
        execute(transaction, sql, vec![seen.account.0.into(), seen.id.0.into()]).await?;
        // The walks that look for silence have passed it, or pass it while it waits.
        let noted = Unheard { message: seen.id, sender: seen.sender, over_at: self.now() };
        note_unheard(transaction, &[noted]).await?;
        Ok(true)
    }

    /// What operators decided about a message, in order.
    pub async fn operator_notes(&self, message: MessageId) -> Result<Vec<(UnixMillis, String)>, StoreError> {
        let sql = "SELECT at, note FROM operator_notes WHERE message = $1 ORDER BY at";
        let rows = query(self.reader(), sql, vec![message.0.into()]).await;
        let read = |row: &QueryResult| Ok((UnixMillis(row.try_get("", "at")?), row.try_get("", "note")?));
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read what operators decided")
    }
}

fn waiting_message(row: &QueryResult) -> Result<WaitingMessage, DbErr> {
    let due_at: Option<i64> = row.try_get("", "due_at")?;
    Ok(WaitingMessage {
        id: MessageId(row.try_get("", "id")?),
        account: AccountKey(row.try_get("", "account")?),
        sender: SenderKey(row.try_get("", "sender")?),
        class: Class::from_code(row.try_get("", "class")?).ok_or_else(|| odd_value("class"))?,
        campaign: row.try_get("", "campaign")?,
        template: template(row)?,
        due_at: due_at.map(UnixMillis),
        expires_at: UnixMillis(row.try_get("", "expires_at")?),
    })
}

fn template(row: &QueryResult) -> Result<Option<(String, String)>, DbErr> {
    let name: Option<String> = row.try_get("", "template_name")?;
    let language: Option<String> = row.try_get("", "template_language")?;
    Ok(name.zip(language))
}
