//! How things stand: queues, owners, what could not be read. For `wabridge status`.

use std::{collections::BTreeMap, time::Duration};

use sea_orm::{DbErr, QueryResult};

use super::{Doing, Store, StoreError, query};
use crate::domain::{
    ids::{MessageId, SenderKey, SubscriptionKey},
    outbound::{Class, SendState},
    time::UnixMillis,
};

/// A number's open work: what is finished is not counted.
#[derive(Clone, Debug, Default)]
pub struct QueueOverview {
    pub queued: i64,
    pub oldest_queued: Option<UnixMillis>,
    pub waiting_for_retry: i64,
    /// When the first of those is, or was, due.
    pub next_retry: Option<UnixMillis>,
    pub sending: i64,
    pub unknown: i64,
}

/// Events that a subscription left behind for one reason.
#[derive(Clone, Debug)]
pub struct DeadCallback {
    pub died_at: UnixMillis,
    /// Neighbours in the log.
    pub events: i64,
    /// That the last of them is about, with the platform's id of it.
    pub message: Option<MessageId>,
    pub platform_message_id: Option<String>,
    pub reason: String,
}

/// PostgreSQL's own housekeeping.
#[derive(Clone, Debug, Default)]
pub struct Upkeep {
    /// No row that is dead since it began can be removed.
    pub oldest_transaction: Duration,
    /// By table.
    pub dead_rows: BTreeMap<String, i64>,
}

/// Who owns a number or subscription.
#[derive(Clone, Debug)]
pub struct LeaseOverview {
    pub kind: i16,
    pub item: i32,
    pub owner: Option<String>,
    pub epoch: i64,
}

/// An instance that runs.
#[derive(Clone, Debug)]
pub struct InstanceOverview {
    pub id: String,
    /// By the database's clock.
    pub started_at: UnixMillis,
    pub stopping: bool,
    /// Empty: of one that did not say so.
    pub version: String,
}

impl Store {
    /// Instances that have been seen within this time.
    pub async fn instances(&self, within: Duration) -> Result<Vec<InstanceOverview>, StoreError> {
        let (now, within) = (self.now_sql(), within.as_millis());
        let sql = format!(
            "SELECT id, started_at, stopping, version FROM instances \
             WHERE seen_at > {now} - {within} AND seen_at < {now} + {within} ORDER BY id"
        );
        let read = |row: &QueryResult| -> Result<InstanceOverview, DbErr> {
            Ok(InstanceOverview {
                id: row.try_get("", "id")?,
                started_at: UnixMillis(row.try_get("", "started_at")?),
                stopping: row.try_get::<i16>("", "stopping")? != 0,
                version: row.try_get("", "version")?,
            })
        };
        let rows = query(self.reader(), sql, vec![]).await;
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("list running instances")
    }

    /// Open work by number.
    pub async fn queues(&self) -> Result<BTreeMap<SenderKey, QueueOverview>, StoreError> {
        // One statement, so that a message that moves meanwhile is counted once, and not never.
        // Each part is answered by an index alone: a million rows are not read to be counted.
        let heads: String = Class::ALL
            .into_iter()
            .map(|class| {
                format!(
                    " UNION ALL SELECT key, 2, 0, 0, (SELECT id FROM outbound_messages WHERE sender = senders.key \
                     AND class = {} AND state = 0 AND due_at IS NULL ORDER BY id + 0 LIMIT 1) FROM senders WHERE removed_at IS NULL",
                    class.code()
                )
            })
            .collect();
        let sql = format!(
            "SELECT sender, 0 AS part, 0 AS state, COUNT(*) AS messages, CAST(NULL AS BIGINT) AS oldest \
             FROM outbound_messages WHERE state = 0 AND due_at IS NULL GROUP BY sender \
             UNION ALL SELECT sender, 1, state, COUNT(*), MIN(due_at) FROM outbound_messages \
             WHERE due_at IS NOT NULL GROUP BY sender, state \
             UNION ALL SELECT sender, 0, 1, COUNT(*), NULL FROM outbound_messages WHERE state = 1 GROUP BY sender{heads}"
        );
        let mut queues: BTreeMap<SenderKey, QueueOverview> = BTreeMap::new();
        for row in query(self.reader(), sql, vec![]).await.doing("count what is under way")? {
            let read = |row: &QueryResult| -> Result<(i32, i32, i32, i64, Option<i64>), DbErr> {
                Ok((
                    row.try_get("", "sender")?,
                    row.try_get("", "part")?,
                    row.try_get("", "state")?,
                    row.try_get("", "messages")?,
                    row.try_get("", "oldest")?,
                ))
            };
            let (sender, part, state, messages, oldest) = read(&row).doing("count what is under way")?;
            if part == 2 && oldest.is_none() {
                continue;
            }
            let queue = queues.entry(SenderKey(sender)).or_default();
            match (i16::try_from(state).ok().and_then(SendState::from_code), part) {
                (Some(SendState::Queued), 0) => queue.queued = messages,
                (Some(SendState::Queued), 2) => {
                    let oldest = oldest.map(|id| MessageId(id).made_at());
                    queue.oldest_queued = queue.oldest_queued.into_iter().chain(oldest).min();
                }
                (Some(SendState::Queued), _) => {
                    queue.waiting_for_retry = messages;
                    queue.next_retry = oldest.map(UnixMillis);
                }
                (Some(SendState::Sending), _) => queue.sending = messages,
                (Some(SendState::Unknown), _) => queue.unknown = messages,
                (
                    Some(SendState::Submitted | SendState::Rejected | SendState::Expired | SendState::Cancelled) | None,
                    _,
                ) => {}
            }
        }
        Ok(queues)
    }

    pub async fn leases(&self) -> Result<Vec<LeaseOverview>, StoreError> {
        let sql = "SELECT kind, item, owner, epoch FROM leases ORDER BY kind, item";
        let rows = query(self.reader(), sql, vec![]).await;
        let read = |row: &QueryResult| -> Result<LeaseOverview, DbErr> {
            Ok(LeaseOverview {
                kind: row.try_get("", "kind")?,
                item: row.try_get("", "item")?,
                owner: row.try_get("", "owner")?,
                epoch: row.try_get("", "epoch")?,
            })
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read leases")
    }

    /// Parts of webhooks that could not be read, and parked statuses.
    pub async fn count_unrecognized(&self) -> Result<(i64, i64), StoreError> {
        let sql = "SELECT kind, COUNT(*) AS parts FROM unrecognized GROUP BY kind";
        let mut counts = (0, 0);
        for row in query(self.reader(), sql, vec![]).await.doing("count what could not be read")? {
            let kind: i16 = row.try_get("", "kind").doing("count what could not be read")?;
            let parts = row.try_get("", "parts").doing("count what could not be read")?;
            if kind == 1 { counts.0 = parts } else { counts.1 = parts }
        }
        Ok(counts)
    }

    /// Statuses that wait for their message, counted up to `limit`.
    pub async fn count_parked(&self, limit: u64) -> Result<i64, StoreError> {
        let sql = format!(
            "SELECT COUNT(*) AS parked FROM (SELECT match_hash FROM unrecognized WHERE match_hash IS NOT NULL LIMIT {limit}) AS p"
        );
        let rows = query(self.reader(), sql, vec![]).await;
        rows.and_then(|rows| rows.first().map_or(Ok(0), |row| row.try_get("", "parked"))).doing("count parked statuses")
    }

    /// What PostgreSQL says of its own upkeep; `None` for SQLite, which needs none.
    pub async fn upkeep(&self) -> Result<Option<Upkeep>, StoreError> {
        if self.is_sqlite() {
            return Ok(None);
        }
        let doing = "read how PostgreSQL keeps itself";
        // Of the transactions of other users only those with their permission are seen.
        let sql = "SELECT CAST(COALESCE(EXTRACT(EPOCH FROM MAX(clock_timestamp() - xact_start)), 0) AS DOUBLE PRECISION) \
                   AS seconds FROM pg_stat_activity WHERE datname = current_database()";
        let rows = query(self.reader(), sql, vec![]).await.doing(doing)?;
        let seconds: f64 = rows.first().map_or(Ok(0.0), |row| row.try_get("", "seconds")).doing(doing)?;
        let sql = "SELECT CAST(relname AS TEXT) AS name, n_dead_tup AS dead FROM pg_stat_user_tables \
                   WHERE schemaname = current_schema()";
        let rows = query(self.reader(), sql, vec![]).await;
        let read = |row: &QueryResult| Ok((row.try_get("", "name")?, row.try_get("", "dead")?));
        let dead_rows = rows.and_then(|rows| rows.iter().map(read).collect()).doing(doing)?;
        Ok(Some(Upkeep { oldest_transaction: Duration::try_from_secs_f64(seconds).unwrap_or_default(), dead_rows }))
    }

    /// The last that died for a subscription, the newest first.
    pub async fn newest_dead(
        &self,
        subscription: SubscriptionKey,
        limit: usize,
    ) -> Result<Vec<DeadCallback>, StoreError> {
        let sql = format!(
            "SELECT c.created_at, c.last_place - c.first_place + 1 AS events, c.reason, e.message, m.platform_message_id \
             FROM callbacks AS c LEFT JOIN events AS e ON e.account = c.account AND e.place = c.last_place \
             LEFT JOIN outbound_messages AS m ON m.id = e.message \
             WHERE c.subscription = $1 AND c.state = 1 ORDER BY c.first_place DESC LIMIT {limit}"
        );
        let rows = query(self.reader(), &sql, vec![subscription.0.into()]).await;
        let read = |row: &QueryResult| -> Result<DeadCallback, DbErr> {
            Ok(DeadCallback {
                died_at: UnixMillis(row.try_get("", "created_at")?),
                events: row.try_get("", "events")?,
                message: row.try_get::<Option<i64>>("", "message")?.map(MessageId),
                platform_message_id: row.try_get("", "platform_message_id")?,
                reason: row.try_get("", "reason")?,
            })
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("list dead callbacks")
    }

    /// Callbacks that are dead and those that could not be put into words, by subscription.
    pub async fn count_callbacks(&self) -> Result<BTreeMap<i32, (i64, i64)>, StoreError> {
        let sql = "SELECT subscription, state, CAST(SUM(last_place - first_place + 1) AS BIGINT) AS events \
                   FROM callbacks WHERE state <> 3 GROUP BY subscription, state";
        let mut counts: BTreeMap<i32, (i64, i64)> = BTreeMap::new();
        for row in query(self.reader(), sql, vec![]).await.doing("count dead callbacks")? {
            let read = |row: &QueryResult| -> Result<(i32, i16, i64), DbErr> {
                Ok((row.try_get("", "subscription")?, row.try_get("", "state")?, row.try_get("", "events")?))
            };
            let (subscription, state, events) = read(&row).doing("count dead callbacks")?;
            let count = counts.entry(subscription).or_default();
            if state == 1 { count.0 += events } else { count.1 += events }
        }
        Ok(counts)
    }

    /// Since when there are dead callbacks, by subscription.
    pub async fn dead_since(&self) -> Result<BTreeMap<SubscriptionKey, UnixMillis>, StoreError> {
        let sql = "SELECT subscription, MIN(created_at) AS since FROM callbacks WHERE state = 1 GROUP BY subscription";
        let rows = query(self.reader(), sql, vec![]).await;
        let read = |row: &QueryResult| {
            Ok((SubscriptionKey(row.try_get("", "subscription")?), UnixMillis(row.try_get("", "since")?)))
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read since when callbacks are dead")
    }

    /// Events of webhooks that wait for another try, by subscription.
    pub async fn count_waiting(&self) -> Result<BTreeMap<i32, i64>, StoreError> {
        let sql = "SELECT subscription, COUNT(*) AS events FROM callbacks WHERE state = 3 GROUP BY subscription";
        let rows = query(self.reader(), sql, vec![]).await;
        let read = |row: &QueryResult| Ok((row.try_get("", "subscription")?, row.try_get("", "events")?));
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("count callbacks that wait for another try")
    }
}
