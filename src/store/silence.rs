//! Going through messages by their age, each stretch once: looking for those that fell silent.
//!
//! Ids carry time, so a stretch of ids is a stretch of time and one range of the table's own key. A mark for each walk says how
//! far it has come. No index is kept for this: it would cost every message two writes, to find a few.
//!
//! What a walk cannot judge yet gets a row of its own: none as long as webhooks arrive and numbers are busy. So does what an
//! operator sends again, which the walks have passed.

use sea_orm::{DbErr, QueryResult, Value};

use super::{
    DatabaseTransaction, Doing, Store, StoreError, execute, execute_rows,
    outbound::{id_list, odd_value},
    query,
};
use crate::domain::{
    ids::{AccountKey, MessageId, SenderKey},
    outbound::{Category, SendState},
    status::DeliveryStatus,
    time::UnixMillis,
};

/// A message, as far as its silence goes.
#[derive(Clone, Debug)]
pub struct AgedMessage {
    pub id: MessageId,
    pub account: AccountKey,
    pub sender: SenderKey,
    pub category: Category,
    pub state: SendState,
    pub delivery: Option<DeliveryStatus>,
    pub template: Option<(String, String)>,
    pub sent_at: Option<UnixMillis>,
}

/// A message whose silence proves nothing, before its number is heard of after its time is over; or one that is sent again,
/// of which that time is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unheard {
    pub message: MessageId,
    pub sender: SenderKey,
    /// The end of its time to live; of one that is still to be sent, when it is to be looked at next.
    pub over_at: UnixMillis,
}

/// One that was noted.
#[derive(Clone, Debug)]
pub struct NotedMessage {
    pub id: MessageId,
    /// `None`: it was deleted since.
    pub message: Option<AgedMessage>,
}

/// The mark that no walk begins before.
const EVERY_WALK: &str = "silence";

fn mark_name(time_to_live_s: u64) -> String {
    format!("silence:{time_to_live_s}")
}

impl Store {
    /// The next messages in the order of their age, between two ids.
    pub async fn messages_between(
        &self,
        after: MessageId,
        before: MessageId,
        limit: usize,
    ) -> Result<Vec<AgedMessage>, StoreError> {
        let sql = format!(
            "SELECT id, account, sender, category, state, delivery, template_name, template_language, sent_at \
             FROM outbound_messages WHERE id > $1 AND id < $2 ORDER BY id LIMIT {limit}"
        );
        let rows = query(self.reader(), sql, vec![after.0.into(), before.0.into()]).await;
        rows.and_then(|rows| rows.iter().map(aged_message).collect()).doing("read messages by their age")
    }

    /// Notes messages whose silence proves nothing yet; one that was noted before gets its new time.
    pub async fn note_unheard(&self, unheard: &[Unheard]) -> Result<(), StoreError> {
        if unheard.is_empty() {
            return Ok(());
        }
        let doing = "note messages whose numbers were not heard of";
        let transaction = self.begin().await.doing(doing)?;
        note_unheard(&transaction, unheard).await.doing(doing)?;
        transaction.commit().await.doing(doing)
    }

    /// What was noted of a number, of messages whose time was over by `until`.
    pub async fn unheard_until(
        &self,
        sender: SenderKey,
        until: UnixMillis,
        limit: usize,
    ) -> Result<Vec<NotedMessage>, StoreError> {
        let sql = format!(
            "SELECT u.message, m.id, m.account, m.sender, m.category, m.state, m.delivery, m.template_name, \
             m.template_language, m.sent_at FROM unheard_messages AS u LEFT JOIN outbound_messages AS m ON m.id = u.message \
             WHERE u.sender = $1 AND u.over_at <= $2 ORDER BY u.over_at LIMIT {limit}"
        );
        let rows = query(self.reader(), sql, vec![sender.0.into(), until.0.into()]).await;
        let read = |row: &QueryResult| -> Result<NotedMessage, DbErr> {
            let id = MessageId(row.try_get("", "message")?);
            let is_there = row.try_get::<Option<i64>>("", "id")?.is_some();
            Ok(NotedMessage { id, message: is_there.then(|| aged_message(row)).transpose()? })
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read what was noted of a number")
    }

    /// Their silence proves something by now, or they are no longer silent.
    pub async fn forget_unheard(&self, messages: &[MessageId]) -> Result<(), StoreError> {
        if messages.is_empty() {
            return Ok(());
        }
        let doing = "forget notes of silent messages";
        let sql = format!("DELETE FROM unheard_messages WHERE message IN ({})", id_list(messages));
        let transaction = self.begin().await.doing(doing)?;
        execute(&transaction, sql, vec![]).await.doing(doing)?;
        transaction.commit().await.doing(doing)
    }

    /// How far the walk for this time to live has come.
    pub async fn silence_mark(&self, time_to_live_s: u64) -> Result<MessageId, StoreError> {
        let sql = "SELECT COALESCE(MAX(value), 0) AS value FROM marks WHERE name IN ($1, $2)";
        let rows = query(self.reader(), sql, vec![mark_name(time_to_live_s).into(), EVERY_WALK.into()]).await;
        let value = rows.and_then(|rows| rows.first().map_or(Ok(0), |row| row.try_get("", "value")));
        value.map(MessageId).doing("read a mark")
    }

    pub async fn set_silence_mark(&self, time_to_live_s: u64, message: MessageId) -> Result<(), StoreError> {
        self.set_mark(mark_name(time_to_live_s), message).await
    }

    /// For a database that was just put back: what was sent before `until` may have been reported to the one that is gone, and
    /// its silence in this one says nothing.
    pub async fn leave_silent(&self, until: UnixMillis) -> Result<(), StoreError> {
        let doing = "forget notes of silent messages";
        let transaction = self.begin().await.doing(doing)?;
        execute(&transaction, "DELETE FROM unheard_messages", vec![]).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        self.set_mark(EVERY_WALK.to_owned(), MessageId::first_at(until)).await
    }

    async fn set_mark(&self, name: String, message: MessageId) -> Result<(), StoreError> {
        let sql = "INSERT INTO marks (name, value) VALUES ($1, $2) \
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        let transaction = self.begin().await.doing("begin")?;
        execute(&transaction, sql, vec![name.into(), message.0.into()]).await.doing("set a mark")?;
        transaction.commit().await.doing("set a mark")
    }
}

pub(super) async fn note_unheard(transaction: &DatabaseTransaction, unheard: &[Unheard]) -> Result<(), DbErr> {
    let row = |one: &Unheard| [one.message.0.into(), one.sender.0.into(), one.over_at.0.into()];
    let rows: Vec<[Value; 3]> = unheard.iter().map(row).collect();
    let head = "INSERT INTO unheard_messages (message, sender, over_at)";
    let tail = " ON CONFLICT (message) DO UPDATE SET sender = excluded.sender, over_at = excluded.over_at";
    execute_rows(transaction, head, rows, tail).await.map(drop)
}

fn aged_message(row: &QueryResult) -> Result<AgedMessage, DbErr> {
    let category: i16 = row.try_get("", "category")?;
    let state: i16 = row.try_get("", "state")?;
    let delivery: Option<i16> = row.try_get("", "delivery")?;
    let name: Option<String> = row.try_get("", "template_name")?;
    let language: Option<String> = row.try_get("", "template_language")?;
    Ok(AgedMessage {
        id: MessageId(row.try_get("", "id")?),
        account: AccountKey(row.try_get("", "account")?),
        sender: SenderKey(row.try_get("", "sender")?),
        category: Category::from_code(category).ok_or_else(|| odd_value("category"))?,
        state: SendState::from_code(state).ok_or_else(|| odd_value("state"))?,
        delivery: delivery.and_then(DeliveryStatus::from_code),
        template: name.zip(language),
        sent_at: row.try_get::<Option<i64>>("", "sent_at")?.map(UnixMillis),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::on_each_database;

    #[tokio::test]
    async fn after_a_restore_no_walk_goes_back_to_what_was_sent_before() {
        on_each_database(|store| async move {
            let (before, restored_at) =
                (UnixMillis::from_seconds(1_790_000_000), UnixMillis::from_seconds(1_790_100_000));
            store.set_silence_mark(600, MessageId::first_at(before)).await.expect("writable");
            assert_eq!(store.silence_mark(30).await.expect("readable"), MessageId(0), "a walk that is new");

            let noted = Unheard { message: MessageId(1), sender: SenderKey(1), over_at: before };
            store.note_unheard(&[noted]).await.expect("writable");
            store.leave_silent(restored_at).await.expect("writable");

            let noted = store.unheard_until(SenderKey(1), restored_at, 9).await.expect("readable");
            assert!(noted.is_empty(), "{noted:?}");
            for walk in [600, 30] {
                assert_eq!(store.silence_mark(walk).await.expect("readable"), MessageId::first_at(restored_at));
            }
            let later = MessageId(MessageId::first_at(restored_at).0 + 1);
            store.set_silence_mark(600, later).await.expect("writable");
            assert_eq!(store.silence_mark(600).await.expect("readable"), later, "from there on it walks");
        })
        .await;
    }

    #[tokio::test]
    async fn what_was_noted_is_found_by_its_number_once_its_time_is_over() {
        on_each_database(|store| async move {
            let note =
                |message, sender, over_at| Unheard { message: MessageId(message), sender: SenderKey(sender), over_at };
            let at = UnixMillis::from_seconds;
            let notes = [note(1, 1, at(30)), note(2, 1, at(10)), note(3, 1, at(20)), note(4, 2, at(10))];
            store.note_unheard(&notes).await.expect("writable");
            let found = async |sender, until: UnixMillis, limit| -> Vec<i64> {
                let noted = store.unheard_until(SenderKey(sender), until, limit).await.expect("readable");
                assert!(noted.iter().all(|noted| noted.message.is_none()), "there are no such messages");
                noted.into_iter().map(|noted| noted.id.0).collect()
            };

            assert_eq!(found(1, at(20), 9).await, [2, 3], "by the end of their time");
            assert_eq!(found(1, at(99), 1).await, [2]);
            store.note_unheard(&[note(2, 1, at(40))]).await.expect("writable");
            assert_eq!(found(1, at(20), 9).await, [3], "it was sent again");
            store.forget_unheard(&[MessageId(3), MessageId(1)]).await.expect("writable");
            assert_eq!(found(1, at(99), 9).await, [2]);
            assert_eq!(found(2, at(99), 9).await, [4]);
        })
        .await;
    }
}
