//! How providers see our numbers, as they last said.

use std::collections::BTreeMap;

use sea_orm::{DbErr, QueryResult};

use super::{Doing, Store, StoreError, execute, query};
use crate::domain::{
    channel::{MessagingLimit, NumberState},
    ids::SenderKey,
    time::UnixMillis,
};

/// What is known of one number.
#[derive(Clone, Debug, Default)]
pub struct Channel {
    pub state: Option<(UnixMillis, NumberState)>,
    /// Why the last reading failed, when it did.
    pub failure: Option<(UnixMillis, String)>,
    /// The messaging limit before the present one, and when it was found changed.
    pub limit_before: Option<(UnixMillis, MessagingLimit)>,
}

impl Store {
    pub async fn channels(&self) -> Result<BTreeMap<SenderKey, Channel>, StoreError> {
        let sql = "SELECT sender, state, read_at, failed_at, failure, limit_before, limit_changed_at FROM channels";
        let rows = query(self.reader(), sql, vec![]).await;
        let read = |row: &QueryResult| -> Result<_, DbErr> {
            let state: Option<String> = row.try_get("", "state")?;
            let read_at: Option<i64> = row.try_get("", "read_at")?;
            let failed_at: Option<i64> = row.try_get("", "failed_at")?;
            let failure: Option<String> = row.try_get("", "failure")?;
            // A row of a newer version is written again by the next reading.
            let state = state.and_then(|state| serde_json::from_str(&state).ok());
            let changed_at: Option<i64> = row.try_get("", "limit_changed_at")?;
            let before: Option<String> = row.try_get("", "limit_before")?;
            let before = before.and_then(|before| serde_json::from_str(&before).ok());
            let channel = Channel {
                state: read_at.map(UnixMillis).zip(state),
                failure: failed_at.map(UnixMillis).zip(failure),
                limit_before: changed_at.map(UnixMillis).zip(before),
            };
            Ok((SenderKey(row.try_get("", "sender")?), channel))
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read the state of numbers")
    }

    pub async fn keep_channel(
        &self,
        sender: SenderKey,
        state: &NumberState,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let known = self.channels().await?.remove(&sender).and_then(|channel| channel.state);
        let before = known.and_then(|(_, known)| known.messaging_limit);
        // Limits that were not told are no change.
        let changed = before.filter(|before| state.messaging_limit.as_ref().is_some_and(|limit| limit != before));
        let sql = "INSERT INTO channels (sender, state, read_at) VALUES ($1, $2, $3) ON CONFLICT (sender) DO UPDATE SET \
                   state = excluded.state, read_at = excluded.read_at, failed_at = NULL, failure = NULL, \
                   limit_changed_at = CASE WHEN $4 IS NULL THEN channels.limit_changed_at ELSE $3 END, \
                   limit_before = COALESCE($4, channels.limit_before)";
        let values: Vec<sea_orm::Value> =
            vec![sender.0.into(), json(state).into(), now.0.into(), changed.as_ref().map(json).into()];
        self.write_channel(sql, values).await
    }

    pub async fn note_channel_failure(
        &self,
        sender: SenderKey,
        failure: &str,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO channels (sender, failed_at, failure) VALUES ($1, $2, $3) ON CONFLICT (sender) DO UPDATE \
                   SET failed_at = excluded.failed_at, failure = excluded.failure";
        self.write_channel(sql, vec![sender.0.into(), now.0.into(), failure.into()]).await
    }

    async fn write_channel(&self, sql: &str, values: Vec<sea_orm::Value>) -> Result<(), StoreError> {
        let transaction = self.begin().await.doing("begin")?;
        execute(&transaction, sql, values).await.doing("keep the state of a number")?;
        transaction.commit().await.doing("keep the state of a number")
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("texts and numbers can be written as JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::on_each_database;

    #[tokio::test]
    async fn a_messaging_limit_that_changed_is_remembered_with_the_one_before() {
        on_each_database(async |store| {
            let with = |people: Option<u64>| NumberState {
                messaging_limit: people.map(MessagingLimit::People),
                ..NumberState::default()
            };
            let mut before = Vec::new();
            for (at, people) in
                [(1, Some(250)), (2, Some(250)), (3, None), (4, Some(250)), (5, Some(1_000)), (6, Some(1_000))]
            {
                store.keep_channel(SenderKey(1), &with(people), UnixMillis(at)).await.expect("written");
                let channel = store.channels().await.expect("readable").remove(&SenderKey(1)).expect("it is kept");
                before.push(channel.limit_before);
            }
            let changed = Some((UnixMillis(5), MessagingLimit::People(250)));
            assert_eq!(before, [None, None, None, None, changed.clone(), changed]);
        })
        .await;
    }
}
