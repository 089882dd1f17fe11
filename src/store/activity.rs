//! What numbers did, minute by minute: sent, expired, heard of. Counted in memory by those who do it and added up here,
//! so that "how many in the last quarter of an hour?" never goes through messages.

use std::collections::BTreeMap;

use sea_orm::{DbErr, QueryResult, Value};

use super::{Doing, Store, StoreError, execute, execute_rows, query};
use crate::domain::{ids::SenderKey, time::UnixMillis};

/// What a number did in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages that the provider took.
    pub sent: u64,
    /// Messages that grew too old in the queue.
    pub expired: u64,
    /// Statuses that came for it.
    pub heard: u64,
    /// When the last of them was written down.
    pub heard_at: Option<UnixMillis>,
    /// How far it was behind its pace, at most.
    pub behind_ms: u64,
}

const MINUTE_MS: i64 = 60_000;

impl Store {
    /// Adds to the minute that is now.
    pub async fn add_activity(&self, tallies: &BTreeMap<SenderKey, Tally>, now: UnixMillis) -> Result<(), StoreError> {
        let doing = "write down what numbers did";
        let minute = now.0.div_euclid(MINUTE_MS);
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let rows: Vec<[Value; 7]> = tallies
            .iter()
            .map(|(sender, tally)| {
                [
                    minute.into(),
                    sender.0.into(),
                    count(tally.sent).into(),
                    count(tally.expired).into(),
                    count(tally.heard).into(),
                    tally.heard_at.map(|at| at.0).into(),
                    count(tally.behind_ms).into(),
                ]
            })
            .collect();
        let transaction = self.begin().await.doing("begin")?;
        let head = "INSERT INTO activity (minute, sender, sent, expired, heard, heard_at, behind_ms)";
        let tail = " ON CONFLICT (minute, sender) DO UPDATE SET sent = activity.sent + excluded.sent, \
                    expired = activity.expired + excluded.expired, heard = activity.heard + excluded.heard, \
                    heard_at = CASE WHEN activity.heard_at > excluded.heard_at OR excluded.heard_at IS NULL \
                    THEN activity.heard_at ELSE excluded.heard_at END, \
                    behind_ms = CASE WHEN activity.behind_ms > excluded.behind_ms THEN activity.behind_ms \
                    ELSE excluded.behind_ms END";
        execute_rows(&transaction, head, rows, tail).await.doing(doing)?;
        transaction.commit().await.doing(doing)
    }

    /// What each number did since then, whole minutes.
    pub async fn activity_since(&self, since: UnixMillis) -> Result<BTreeMap<SenderKey, Tally>, StoreError> {
        let sql = "SELECT sender, CAST(SUM(sent) AS BIGINT) AS sent, CAST(SUM(expired) AS BIGINT) AS expired, \
                   CAST(SUM(heard) AS BIGINT) AS heard, MAX(heard_at) AS heard_at, \
                   MAX(behind_ms) AS behind_ms FROM activity WHERE minute > $1 GROUP BY sender";
        let rows = query(self.reader(), sql, vec![since.0.div_euclid(MINUTE_MS).into()]).await;
        let read = |row: &QueryResult| -> Result<(SenderKey, Tally), DbErr> {
            let count = |column| row.try_get::<i64>("", column).map(|count| u64::try_from(count).unwrap_or(0));
            let heard_at = row.try_get::<Option<i64>>("", "heard_at")?.map(UnixMillis);
            let (sent, expired, heard) = (count("sent")?, count("expired")?, count("heard")?);
            let tally = Tally { sent, expired, heard, heard_at, behind_ms: count("behind_ms")? };
            Ok((SenderKey(row.try_get("", "sender")?), tally))
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read what numbers did")
    }

    /// When each number was last heard of, of what was heard until then. Of each minute only the last moment is known.
    pub async fn heard_until(&self, until: UnixMillis) -> Result<BTreeMap<SenderKey, UnixMillis>, StoreError> {
        let sql = "SELECT sender, MAX(heard_at) AS heard_at FROM activity WHERE heard_at <= $1 GROUP BY sender";
        let rows = query(self.reader(), sql, vec![until.0.into()]).await;
        let read = |row: &QueryResult| -> Result<(SenderKey, UnixMillis), DbErr> {
            Ok((SenderKey(row.try_get("", "sender")?), UnixMillis(row.try_get("", "heard_at")?)))
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read when numbers were heard of")
    }

    pub async fn forget_activity(&self, before: UnixMillis) -> Result<(), StoreError> {
        let sql = "DELETE FROM activity WHERE minute < $1";
        let transaction = self.begin().await.doing("begin")?;
        execute(&transaction, sql, vec![before.0.div_euclid(MINUTE_MS).into()])
            .await
            .doing("forget what numbers did")?;
        transaction.commit().await.doing("forget what numbers did")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::on_each_database;

    #[tokio::test]
    async fn what_instances_count_adds_up_and_is_forgotten() {
        on_each_database(async |store| {
            let at = |minute: i64| UnixMillis(minute * MINUTE_MS + 5_000);
            let tally = |sent, heard| {
                BTreeMap::from([(
                    SenderKey(1),
                    Tally { sent, heard, expired: 1, heard_at: None, behind_ms: sent * 10 },
                )])
            };

            for (counted, minute) in [(tally(10, 0), 100), (tally(5, 2), 100), (tally(1, 0), 103)] {
                store.add_activity(&counted, at(minute)).await.expect("it is added");
            }

            let since = async |minute| store.activity_since(at(minute)).await.expect("it can be read");
            assert_eq!(
                since(99).await[&SenderKey(1)],
                Tally { sent: 16, heard: 2, expired: 3, heard_at: None, behind_ms: 100 }
            );
            assert_eq!(
                since(100).await[&SenderKey(1)],
                Tally { sent: 1, heard: 0, expired: 1, heard_at: None, behind_ms: 10 }
            );
            store.forget_activity(at(104)).await.expect("it is forgotten");
            assert!(since(0).await.is_empty());
        })
        .await;
    }

    #[tokio::test]
    async fn when_a_quiet_number_was_heard_of_is_known_beside_busy_ones() {
        on_each_database(async |store| {
            let at = |minute: i64, ms: i64| UnixMillis(minute * MINUTE_MS + ms);
            let heard = |sender, heard_at| {
                BTreeMap::from([(SenderKey(sender), Tally { heard: 1, heard_at: Some(heard_at), ..Tally::default() })])
            };
            store.add_activity(&heard(1, at(10, 500)), at(10, 900)).await.expect("it is added");
            // Another instance writes down later what it heard before.
            store.add_activity(&heard(1, at(10, 100)), at(10, 950)).await.expect("it is added");
            let sent = BTreeMap::from([(SenderKey(1), Tally { sent: 9, ..Tally::default() })]);
            store.add_activity(&sent, at(10, 990)).await.expect("it is added");
            for minute in 11..200 {
                let many = Tally { heard: 5_000, heard_at: Some(at(minute, 0)), ..Tally::default() };
                store.add_activity(&BTreeMap::from([(SenderKey(2), many)]), at(minute, 1)).await.expect("it is added");
            }

            let until = async |moment| store.heard_until(moment).await.expect("it can be read");
            let expected = BTreeMap::from([(SenderKey(1), at(10, 500)), (SenderKey(2), at(150, 0))]);
            assert_eq!(until(at(150, 30_000)).await, expected);
            assert_eq!(until(at(10, 499)).await, BTreeMap::new());
        })
        .await;
    }
}
