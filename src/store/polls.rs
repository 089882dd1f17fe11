//! What is needed of providers that say less than others: from when on their numbers are asked what happened, and to which
//! number a status belongs that names none.

use std::collections::{BTreeMap, HashMap, HashSet};

use sea_orm::{DbErr, QueryResult, Value};

use super::{Doing, Store, StoreError, execute, outbound::provider_id_hash, query, query_rows};
use crate::domain::{
    ids::{ConnectionKey, MessageId, SenderKey},
    time::UnixMillis,
};

/// How a number stands that is asked what happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Polling {
    /// From when on it must be asked.
    pub since: UnixMillis,
    pub trouble: Option<PollTrouble>,
}

/// Why a number cannot be asked, or what could not be seen.
#[derive(Clone, Debug, PartialEq)]
pub struct PollTrouble {
    pub text: String,
    pub since: UnixMillis,
    /// Not before; none: it was asked, and not everything could be seen.
    pub again_at: Option<UnixMillis>,
}

impl Store {
    /// All numbers that were asked.
    pub async fn pollings(&self) -> Result<BTreeMap<SenderKey, Polling>, StoreError> {
        self.read_pollings("", vec![]).await
    }

    /// One of them; `None` when it never was.
    pub async fn polling_of(&self, sender: SenderKey) -> Result<Option<Polling>, StoreError> {
        Ok(self.read_pollings(" WHERE sender = $1", vec![sender.0.into()]).await?.remove(&sender))
    }

    async fn read_pollings(&self, which: &str, values: Vec<Value>) -> Result<BTreeMap<SenderKey, Polling>, StoreError> {
        let sql = format!("SELECT sender, since, trouble, trouble_since, again_at FROM polls{which}");
        let rows = query(self.reader(), sql, values).await;
        let read = |row: &QueryResult| -> Result<_, DbErr> {
            let millis = |column| row.try_get::<Option<i64>>("", column).map(|at| at.map(UnixMillis));
            let (text, since): (Option<String>, _) = (row.try_get("", "trouble")?, millis("trouble_since")?);
            let again_at = millis("again_at")?;
            let trouble = text.zip(since).map(|(text, since)| PollTrouble { text, since, again_at });
            let since = UnixMillis(row.try_get("", "since")?);
            Ok((SenderKey(row.try_get("", "sender")?), Polling { since, trouble }))
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read how far numbers were polled")
    }

    pub async fn keep_polling(&self, sender: SenderKey, polling: &Polling) -> Result<(), StoreError> {
        let trouble = polling.trouble.as_ref();
        let values: Vec<Value> = vec![
            sender.0.into(),
            polling.since.0.into(),
            trouble.map(|trouble| trouble.text.clone()).into(),
            trouble.map(|trouble| trouble.since.0).into(),
            trouble.and_then(|trouble| trouble.again_at).map(|at| at.0).into(),
        ];
        let sql = "INSERT INTO polls (sender, since, trouble, trouble_since, again_at) VALUES ($1, $2, $3, $4, $5) \
                   ON CONFLICT (sender) DO UPDATE SET since = excluded.since, trouble = excluded.trouble, \
                   trouble_since = excluded.trouble_since, again_at = excluded.again_at";
        self.write_polling(sql, values).await
    }

    /// No number of this connection is asked before that. Whoever had the same trouble has it since then.
    pub async fn note_poll_failure(&self, connection: ConnectionKey, trouble: &PollTrouble) -> Result<(), StoreError> {
        let sql = "UPDATE polls SET trouble = $2, again_at = $4, trouble_since = CASE WHEN again_at IS NULL THEN $3 \
                   ELSE COALESCE(trouble_since, $3) END WHERE sender IN (SELECT key FROM senders WHERE connection = $1)";
        let again_at = trouble.again_at.map(|at| at.0);
        let values = vec![connection.0.into(), trouble.text.clone().into(), trouble.since.0.into(), again_at.into()];
        self.write_polling(sql, values).await
    }

    async fn write_polling(&self, sql: &str, values: Vec<Value>) -> Result<(), StoreError> {
        let doing = "keep how far a number was polled";
        let transaction = self.begin().await.doing(doing)?;
        execute(&transaction, sql, values).await.doing(doing)?;
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
