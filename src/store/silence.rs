//! Going through messages by their age, each stretch once: looking for those that fell silent.
//!
//! Ids carry time, so a stretch of ids is a stretch of time and one range of the table's own key. A mark for each walk says how
//! far it has come. No index is kept for this: it would cost every message two writes, to find a few.

use std::collections::HashMap;

use sea_orm::{DbErr, QueryResult};

use super::{Doing, Store, StoreError, execute, outbound::odd_value, query};
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

/// Events looked at, from the end of an account's log, to see whether its numbers are heard of.
const EVENTS_LOOKED_AT: usize = 1_000;

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

    /// When the provider last reported something of each number of an account, among the latest events.
    pub async fn heard_of(&self, account: AccountKey) -> Result<HashMap<SenderKey, UnixMillis>, StoreError> {
        let sql = format!(
            "SELECT sender, MAX(recorded_at) AS heard_at FROM \
             (SELECT sender, recorded_at, entry FROM events WHERE account = $1 ORDER BY place DESC LIMIT {EVENTS_LOOKED_AT}) \
             AS latest WHERE entry IS NOT NULL GROUP BY sender"
        );
        let rows = query(self.reader(), sql, vec![account.0.into()]).await;
        let read = |row: &QueryResult| -> Result<_, DbErr> {
            Ok((SenderKey(row.try_get("", "sender")?), UnixMillis(row.try_get("", "heard_at")?)))
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read when numbers were heard of")
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

            store.leave_silent(restored_at).await.expect("writable");

            for walk in [600, 30] {
                assert_eq!(store.silence_mark(walk).await.expect("readable"), MessageId::first_at(restored_at));
            }
            let later = MessageId(MessageId::first_at(restored_at).0 + 1);
            store.set_silence_mark(600, later).await.expect("writable");
            assert_eq!(store.silence_mark(600).await.expect("readable"), later, "from there on it walks");
        })
        .await;
    }
}
