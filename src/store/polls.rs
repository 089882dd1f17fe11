//! What is needed of providers that say less than others: from when on their numbers are asked what happened, and to which
//! number a status belongs that names none.

use std::collections::{HashMap, HashSet};

use sea_orm::{DbErr, Value};

use super::{Doing, Store, StoreError, execute, outbound::provider_id_hash, query, query_rows};
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

    /// From which of these numbers each message was sent: by our id, where its provider gave that back, else by the provider's.
    pub async fn numbers_of_messages(
        &self,
        messages: &[(Option<MessageId>, &str)],
        among: &[SenderKey],
    ) -> Result<Vec<Option<SenderKey>>, StoreError> {
        let doing = "find the numbers of messages";
        let by_ours = self.numbers_by_our_ids(messages.iter().filter_map(|(ours, _)| *ours)).await.doing(doing)?;
        let hashes_of = |id: &str| among.iter().map(|sender| provider_id_hash(*sender, id)).collect::<Vec<_>>();
        let without_ours = messages.iter().filter(|(ours, _)| ours.is_none());
        let hashes = without_ours.flat_map(|(_, theirs)| hashes_of(theirs));
        let known = self.known_hashes(hashes).await.doing(doing)?;
        let number = |(ours, theirs): &(Option<MessageId>, &str)| match ours {
            Some(ours) => by_ours.get(ours).copied().filter(|sender| among.contains(sender)),
            None => hashes_of(theirs).iter().position(|hash| known.contains(hash)).map(|place| among[place]),
        };
        Ok(messages.iter().map(number).collect())
    }

    async fn numbers_by_our_ids(
        &self,
        messages: impl Iterator<Item = MessageId>,
    ) -> Result<HashMap<MessageId, SenderKey>, DbErr> {
        let ids: HashSet<MessageId> = messages.collect();
        let rows: Vec<[Value; 1]> = ids.into_iter().map(|id| [id.0.into()]).collect();
        let head = "SELECT m.id, m.sender FROM (";
        let tail = ") AS v CROSS JOIN outbound_messages AS m WHERE m.id = v.column1";
        let found = query_rows(self.reader(), head, rows, tail).await?;
        found.iter().map(|row| Ok((MessageId(row.try_get("", "id")?), SenderKey(row.try_get("", "sender")?)))).collect()
    }

    /// Those by which messages are known.
    async fn known_hashes(&self, hashes: impl Iterator<Item = Vec<u8>>) -> Result<HashSet<Vec<u8>>, DbErr> {
        let hashes: HashSet<Vec<u8>> = hashes.collect();
        let rows: Vec<[Value; 1]> = hashes.into_iter().map(|hash| [hash.into()]).collect();
        let head = "SELECT p.hash FROM (";
        let tail = ") AS v CROSS JOIN provider_ids AS p WHERE p.hash = v.column1";
        let found = query_rows(self.reader(), head, rows, tail).await?;
        found.iter().map(|row| row.try_get("", "hash")).collect()
    }
}
