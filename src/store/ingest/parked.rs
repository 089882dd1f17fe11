//! What is kept beside the logs: reports whose message nobody knows (yet), and parts of webhooks that nobody could read.

use std::{collections::BTreeMap, sync::Arc};

use sea_orm::{DbErr, QueryResult, Value};
use serde::{Deserialize, Serialize};

use super::Ingest;
use crate::{
    domain::{
        failure::{Failure, FailureReason},
        ids::{ConnectionKey, MessageId, MessageIds, SenderKey},
        price::Price,
        status::{DeliveryStatus, StatusUpdate},
        time::UnixMillis,
    },
    store::{
        DatabaseTransaction, Doing as _, Store, StoreError, execute, execute_rows,
        outbound::{id_list, provider_id_hash},
        query, query_rows,
    },
    telemetry,
};

/// Why a status is kept without its message.
const PARKED: &str = "no message with this id is known (yet)";

pub(super) async fn keep_parked(
    transaction: &DatabaseTransaction,
    parked: &[(ConnectionKey, SenderKey, &StatusUpdate)],
    ids: &Arc<MessageIds>,
    now: UnixMillis,
) -> Result<(), DbErr> {
    metrics::counter!(telemetry::PARKED).increment(parked.len() as u64);
    let rows = parked
        .iter()
        .map(|(connection, sender, update)| {
            let hash = provider_id_hash(*sender, &update.provider_message_id);
            let pointer = parked_pointer(*sender, update);
            unrecognized_row(ids.next(now), *connection, 2, Some(hash), pointer, PARKED, &update.entry)
        })
        .collect();
    insert_unrecognized(transaction, rows).await
}

pub(super) async fn keep_skipped(
    transaction: &DatabaseTransaction,
    ingests: &[&Ingest],
    ids: &Arc<MessageIds>,
    now: UnixMillis,
) -> Result<(), DbErr> {
    let mut rows = Vec::new();
    for ingest in ingests {
        for part in &ingest.skipped {
            let pointer = part.pointer.clone();
            rows.push(unrecognized_row(ids.next(now), ingest.connection, 1, None, pointer, &part.reason, &part.entry));
        }
    }
    metrics::counter!(telemetry::UNRECOGNIZED).increment(rows.len() as u64);
    insert_unrecognized(transaction, rows).await
}

pub(in crate::store) fn unrecognized_row(
    id: MessageId,
    connection: ConnectionKey,
    kind: i16,
    hash: Option<Vec<u8>>,
    pointer: String,
    reason: &str,
    entry: &str,
) -> [Value; 7] {
    [id.0.into(), connection.0.into(), kind.into(), hash.into(), pointer.into(), reason.into(), entry.into()]
}

pub(in crate::store) async fn insert_unrecognized(
    transaction: &DatabaseTransaction,
    rows: Vec<[Value; 7]>,
) -> Result<(), DbErr> {
    let head = "INSERT INTO unrecognized (id, connection, kind, match_hash, pointer, reason, entry)";
    execute_rows(transaction, head, rows, "").await.map(drop)
}

/// A report in our words, beside the provider's own entry: it will be read by code that does not know
/// which provider it came from.
#[derive(Serialize, Deserialize)]
struct ParkedStatus {
    sender: i32,
    provider_message_id: String,
    status: i16,
    occurred_at: UnixMillis,
    failure: Option<(i16, Option<i64>, String)>,
    #[serde(default)]
    price: Option<i16>,
}

fn parked_pointer(sender: SenderKey, update: &StatusUpdate) -> String {
    let parked = ParkedStatus {
        sender: sender.0,
        provider_message_id: update.provider_message_id.clone(),
        status: update.status.code(),
        occurred_at: update.occurred_at,
        failure: update.failure.as_ref().map(|failure| (failure.reason.code(), failure.code, failure.text.clone())),
        price: update.price.map(Price::code),
    };
    serde_json::to_string(&parked).expect("numbers and texts can be written as JSON")
}

fn read_parked_pointer(pointer: &str, entry: String) -> Option<(SenderKey, StatusUpdate)> {
    let parked: ParkedStatus = serde_json::from_str(pointer).ok()?;
    let failure = parked.failure.map(|(reason, code, text)| Failure {
        reason: FailureReason::from_code(reason).unwrap_or(FailureReason::Other),
        code,
        text,
    });
    let update = StatusUpdate {
        provider_message_id: parked.provider_message_id,
        message: None,
        provider_number_id: String::new(),
        status: DeliveryStatus::from_code(parked.status)?,
        occurred_at: parked.occurred_at,
        failure,
        price: parked.price.and_then(Price::from_code),
        entry,
    };
    Some((SenderKey(parked.sender), update))
}

/// Takes out the parked reports of messages whose providers' ids have just become known.
pub(super) async fn take_parked(
    transaction: &DatabaseTransaction,
    learned: &[(SenderKey, String, MessageId)],
) -> Result<Vec<(SenderKey, StatusUpdate)>, DbErr> {
    let by_hash: BTreeMap<Vec<u8>, MessageId> =
        learned.iter().map(|(sender, id, message)| (provider_id_hash(*sender, id), *message)).collect();
    let rows: Vec<[Value; 1]> = by_hash.keys().map(|hash| [hash.clone().into()]).collect();
    let found = query_rows(
        transaction,
        "SELECT u.id, u.match_hash, u.pointer, u.entry FROM (",
        rows,
        ") AS v CROSS JOIN unrecognized AS u WHERE u.match_hash = v.column1 ORDER BY u.id",
    )
    .await?;
    let mut taken = Vec::with_capacity(found.len());
    let mut updates = Vec::with_capacity(found.len());
    for row in &found {
        let hash: Vec<u8> = row.try_get("", "match_hash")?;
        let pointer: String = row.try_get("", "pointer")?;
        taken.push(MessageId(row.try_get("", "id")?));
        if let Some((sender, mut update)) = read_parked_pointer(&pointer, row.try_get("", "entry")?) {
            update.message = by_hash.get(&hash).copied();
            updates.push((sender, update));
        }
    }
    if !taken.is_empty() {
        execute(transaction, format!("DELETE FROM unrecognized WHERE id IN ({})", id_list(&taken)), vec![]).await?;
    }
    Ok(updates)
}

/// A parked status whose message is known by now.
#[derive(Debug)]
pub struct MatchedStatus {
    /// Its place among what lies aside.
    pub row: MessageId,
    pub connection: ConnectionKey,
    /// `None` when our reading of it cannot be read any more.
    pub status: Option<(SenderKey, StatusUpdate)>,
}

impl Store {
    /// The last of the next parts that lie aside, so many at most; `None` when there are no more.
    pub async fn last_parked_of_slice(&self, after: MessageId, slice: usize) -> Result<Option<MessageId>, StoreError> {
        let sql = format!(
            "SELECT MAX(id) AS last FROM (SELECT id FROM unrecognized WHERE id > $1 ORDER BY id LIMIT {slice}) AS slice"
        );
        let last = query(self.reader(), sql, vec![after.0.into()]).await;
        let read = |row: &QueryResult| row.try_get::<Option<i64>>("", "last");
        let last = last.and_then(|rows| rows.first().map(read).transpose()).doing("look at what lies aside")?;
        Ok(last.flatten().map(MessageId))
    }

    /// Parked statuses between the two, the first not included, whose messages are known.
    pub async fn matched_parked(&self, after: MessageId, last: MessageId) -> Result<Vec<MatchedStatus>, StoreError> {
        let sql = "SELECT u.id, u.connection, u.pointer, u.entry, p.message FROM unrecognized AS u \
                   JOIN provider_ids AS p ON p.hash = u.match_hash WHERE u.id > $1 AND u.id <= $2 ORDER BY u.id";
        let rows = query(self.reader(), sql, vec![after.0.into(), last.0.into()]).await;
        let read = |row: &QueryResult| -> Result<_, DbErr> {
            let message = MessageId(row.try_get("", "message")?);
            let pointer: String = row.try_get("", "pointer")?;
            let status = read_parked_pointer(&pointer, row.try_get("", "entry")?);
            Ok(MatchedStatus {
                row: MessageId(row.try_get("", "id")?),
                connection: ConnectionKey(row.try_get("", "connection")?),
                status: status.map(|(sender, update)| (sender, StatusUpdate { message: Some(message), ..update })),
            })
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("look for the messages of parked statuses")
    }

    /// They were reported.
    pub async fn drop_parked(&self, rows: &[MessageId]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let sql = format!("DELETE FROM unrecognized WHERE id IN ({})", id_list(rows));
        execute(&self.writer, sql, vec![]).await.map(drop).doing("drop parked statuses that were reported")
    }
}
