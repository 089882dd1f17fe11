//! What is written with times that are still to come, because this machine's clock was set back since, or because that of
//! the instance that wrote it was ahead.

use std::time::Duration;

use super::{Doing, Store, StoreError, execute, query};
use crate::domain::{
    ids::{MessageId, SenderKey},
    time::UnixMillis,
};

/// Clocks of instances may be so far apart.
const NOTICED_FROM: Duration = Duration::from_secs(60);
/// More than that is a mistake of years, and waiting for the clock to catch up would be one more.
const SET_BACK_MAX: Duration = Duration::from_secs(25 * 3600);

impl Store {
    /// The newest message of those whose ids a clock that was set back could make again.
    pub async fn newest_message(&self, now: UnixMillis) -> Result<Option<MessageId>, StoreError> {
        let sql = "SELECT MAX(id) AS newest FROM outbound_messages WHERE id < $1";
        let end = MessageId::first_at(now.plus(SET_BACK_MAX));
        let rows = query(self.reader(), sql, vec![end.0.into()]).await;
        rows.and_then(|rows| rows.first().map_or(Ok(None), |row| row.try_get("", "newest")))
            .map(|newest: Option<i64>| newest.map(MessageId))
            .doing("look for the newest message")
    }

    /// Brings what is to be tried again as near as it was when it was put off, and what is to be settled as near as the time
    /// of `grace`. It would wait for as long as the clock was set back.
    pub async fn bring_nearer(&self, sender: SenderKey, now: UnixMillis, grace: Duration) -> Result<u64, StoreError> {
        let (doing, noticed_from) = ("bring nearer what was put off", now.plus(NOTICED_FROM));
        let newest = self.newest_message(now).await?;
        if newest.is_none_or(|newest| newest.made_at() <= noticed_from) {
            return Ok(0);
        }
        let transaction = self.begin().await.doing(doing)?;
        // What waits for nothing but its expiry stays aside.
        let sql = "UPDATE outbound_messages SET due_at = due_at - (sent_at - $1) WHERE sender = $2 AND due_at > $1 \
                   AND state = 0 AND sent_at > $3 AND due_at <> expires_at";
        let values = vec![now.0.into(), sender.0.into(), noticed_from.0.into()];
        let retries = execute(&transaction, sql, values).await.doing(doing)?;
        let sql = "UPDATE outbound_messages SET due_at = $1 WHERE sender = $2 AND due_at > $1 AND state = 4";
        let unknown = execute(&transaction, sql, vec![now.plus(grace).0.into(), sender.0.into()]).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(retries + unknown)
    }
}
