//! What is needed of providers that say less than others: from when on their numbers are asked what happened, and to which
//! number a status belongs that names none.

use sea_orm::Value;

use super::{Doing, Store, StoreError, execute, outbound::provider_id_hash, query};
use crate::domain::{
    ids::{MessageId, SenderKey},
    time::UnixMillis,
};

impl Store {
    /// From when on a number must be asked; `None` when it never was.
    pub async fn polled_until(&self, sender: SenderKey) -> Result<Option<UnixMillis>, StoreError> {
        let sql = "SELECT since FROM polls WHERE sender = $1";
        let rows = query(self.reader(), sql, vec![sender.0.into()]).await;
        rows.and_then(|rows| rows.first().map(|row| row.try_get("", "since").map(UnixMillis)).transpose())
            .doing("read how far a number was polled")
    }

    pub async fn keep_polled_until(&self, sender: SenderKey, since: UnixMillis) -> Result<(), StoreError> {
        let doing = "keep how far a number was polled";
        let sql = "INSERT INTO polls (sender, since) VALUES ($1, $2) ON CONFLICT (sender) DO UPDATE SET since = excluded.since";
        let transaction = self.begin().await.doing(doing)?;
        execute(&transaction, sql, vec![sender.0.into(), since.0.into()]).await.doing(doing)?;
        transaction.commit().await.doing(doing)
    }

    /// From which of these numbers a message was sent: by our id, else by its provider's.
    pub async fn number_of_message(
        &self,
        message: Option<MessageId>,
        provider_message_id: &str,
        among: &[SenderKey],
    ) -> Result<Option<SenderKey>, StoreError> {
        let doing = "find the number of a message";
        if let Some(message) = message {
            let sql = "SELECT sender FROM outbound_messages WHERE id = $1";
            let rows = query(self.reader(), sql, vec![message.0.into()]).await.doing(doing)?;
            let Some(row) = rows.first() else { return Ok(None) };
            let sender = SenderKey(row.try_get("", "sender").doing(doing)?);
            return Ok(Some(sender).filter(|sender| among.contains(sender)));
        }
        if among.is_empty() {
            return Ok(None);
        }
        let hashes: Vec<Vec<u8>> = among.iter().map(|sender| provider_id_hash(*sender, provider_message_id)).collect();
        let places: Vec<String> = (1..=hashes.len()).map(|place| format!("${place}")).collect();
        let sql = format!("SELECT hash FROM provider_ids WHERE hash IN ({})", places.join(", "));
        let values: Vec<Value> = hashes.iter().cloned().map(Value::from).collect();
        let rows = query(self.reader(), sql, values).await.doing(doing)?;
        let Some(row) = rows.first() else { return Ok(None) };
        let found: Vec<u8> = row.try_get("", "hash").doing(doing)?;
        Ok(hashes.iter().position(|hash| *hash == found).map(|place| among[place]))
    }
}
