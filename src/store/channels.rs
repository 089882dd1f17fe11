//! How providers see our numbers, as they last said.

use std::collections::BTreeMap;

use sea_orm::{DbErr, QueryResult};

use super::{Doing, Store, StoreError, execute, query};
use crate::domain::{channel::NumberState, ids::SenderKey, time::UnixMillis};

/// What is known of one number.
#[derive(Clone, Debug, Default)]
pub struct Channel {
    pub state: Option<(UnixMillis, NumberState)>,
    /// Why the last reading failed, when it did.
    pub failure: Option<(UnixMillis, String)>,
}

impl Store {
    pub async fn channels(&self) -> Result<BTreeMap<SenderKey, Channel>, StoreError> {
        let sql = "SELECT sender, state, read_at, failed_at, failure FROM channels";
        let rows = query(self.reader(), sql, vec![]).await;
        let read = |row: &QueryResult| -> Result<_, DbErr> {
            let state: Option<String> = row.try_get("", "state")?;
            let read_at: Option<i64> = row.try_get("", "read_at")?;
            let failed_at: Option<i64> = row.try_get("", "failed_at")?;
            let failure: Option<String> = row.try_get("", "failure")?;
            // A row of a newer version is written again by the next reading.
            let state = state.and_then(|state| serde_json::from_str(&state).ok());
            let channel =
                Channel { state: read_at.map(UnixMillis).zip(state), failure: failed_at.map(UnixMillis).zip(failure) };
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
        let sql = "INSERT INTO channels (sender, state, read_at) VALUES ($1, $2, $3) ON CONFLICT (sender) DO UPDATE SET \
                   state = excluded.state, read_at = excluded.read_at, failed_at = NULL, failure = NULL";
        let state = serde_json::to_string(state).expect("texts and numbers can be written as JSON");
        self.write_channel(sql, vec![sender.0.into(), state.into(), now.0.into()]).await
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
