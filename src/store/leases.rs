//! Who works on what. The pace of a number is a promise to its provider, and callbacks about one
//! message go out in order: so one instance at a time owns a number or a subscription.
//!
//! A lease has an owner, a time at which it ends unless renewed, and an epoch that grows whenever it
//! changes hands. Everything an owner writes names its epoch, so one who wakes up late changes nothing.
//! Times are the database's own: instances need not agree on theirs.

use std::time::Duration;

use sea_orm::{DbErr, QueryResult};

use super::{DatabaseTransaction, Doing, Store, StoreError, execute, query, query_rows};
use crate::{
    domain::{ids::NODES_MAX, outbound::stored, time::UnixMillis},
    settings::checks::LEASE_MAX,
};

/// What can be owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeaseKind {
    Sender,
    Subscription,
    Housekeeping,
    /// The copying of files that people sent.
    Media,
}

stored!(LeaseKind {
    Sender = 1 "sender",
    Subscription = 2 "subscription",
    Housekeeping = 3 "housekeeping",
    Media = 4 "media",
});

/// A lease that is ours now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldLease {
    pub kind: LeaseKind,
    pub item: i32,
    pub epoch: i64,
}

/// What a renewal shows.
#[derive(Clone, Debug)]
pub struct Renewal {
    pub held: Vec<HeldLease>,
    /// By the database's clock.
    pub at: UnixMillis,
}

/// Which leases of others may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfOthers {
    /// Only what its owner gave back: the database's clock has just been set, and says nothing of who lives.
    GivenBack,
    /// And what was not renewed in time.
    RunOut,
    /// And what would run out later than any lease lasts: the clock was set back, and who lives has renewed since.
    OrNeverEnding,
}

/// How everybody's leases stand at one moment, for whoever wants to share them fairly.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Other instances that were seen lately and are not stopping.
    pub others: Vec<OtherInstance>,
    pub leases: Vec<StandingLease>,
}

#[derive(Clone, Debug)]
pub struct OtherInstance {
    pub id: String,
    /// By the database's clock; without end when that was set back since.
    pub runs_for: Duration,
}

#[derive(Clone, Debug)]
pub struct StandingLease {
    pub lease: HeldLease,
    pub owner: Option<String>,
    /// Whoever asked may take it.
    pub free: bool,
}

/// An instance that has been started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// A number that no other instance has.
    pub node: i32,
    /// Another one at each start. Only the latest run of an instance keeps its leases.
    pub run: i64,
}

/// As instances tell each other.
const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Store {
    /// Registers a start of this instance. It gets its old number when it had one, and fences out its earlier runs.
    pub async fn register_instance(&self, instance: &str) -> Result<Registration, StoreError> {
        let run = rand::random();
        let transaction = self.begin_promptly().await.doing("begin")?;
        let node = self.node_of(&transaction, instance, run).await.doing("register this instance")?;
        transaction.commit().await.doing("register this instance")?;
        Ok(Registration { node, run })
    }

    async fn node_of(&self, transaction: &DatabaseTransaction, instance: &str, run: i64) -> Result<i32, DbErr> {
        let now = self.now_sql();
        if !self.is_sqlite() {
            execute(transaction, "LOCK TABLE instances IN EXCLUSIVE MODE", vec![]).await?;
        }
        // Instances that were replaced long ago give their numbers back.
        let day_ms = 24 * 3600 * 1000;
        let sql = format!("DELETE FROM instances WHERE id <> $1 AND seen_at < {now} - {day_ms}");
        execute(transaction, sql, vec![instance.into()]).await?;
        let rows = query(transaction, "SELECT id, node FROM instances", vec![]).await?;
        let mut taken = std::collections::BTreeSet::new();
        for row in &rows {
            let node: i32 = row.try_get("", "node")?;
            if row.try_get::<String>("", "id")? == instance {
                let sql = format!(
                    "UPDATE instances SET run = $2, version = $3, started_at = {now}, seen_at = {now}, stopping = 0 WHERE id = $1"
                );
                execute(transaction, sql, vec![instance.into(), run.into(), VERSION.into()]).await?;
                return Ok(node);
            }
            taken.insert(node);
        }
        let node = (0..NODES_MAX)
            .find(|node| !taken.contains(node))
            .ok_or_else(|| DbErr::Custom("all instance numbers are taken".to_owned()))?;
        let sql = format!(
            "INSERT INTO instances (id, node, run, version, started_at, seen_at) VALUES ($1, $2, $3, $4, {now}, {now})"
        );
        execute(transaction, sql, vec![instance.into(), node.into(), run.into(), VERSION.into()]).await?;
        Ok(node)
    }

    /// Renews every lease of this instance and says which they are. Whoever asks must have noted the
    /// time before: the leases last from then on. `None`: a later run of this instance has started, and all is its own.
    ///
    /// What has run out and was taken by nobody is renewed too. By the database's clock it may have run out because that was set.
    pub async fn renew_leases(&self, instance: &str, run: i64, lasts: Duration) -> Result<Option<Renewal>, StoreError> {
        let now = self.now_sql();
        let transaction = self.begin_promptly().await.doing("begin")?;
        let sql = format!("UPDATE instances SET seen_at = {now} WHERE id = $1 AND run = $2 RETURNING seen_at");
        let seen = query(&transaction, sql, vec![instance.into(), run.into()]).await.doing("renew leases")?;
        let Some(seen) = seen.first() else { return Ok(None) };
        let at = seen.try_get("", "seen_at").map(UnixMillis).doing("renew leases")?;
        let sql = format!(
            "UPDATE leases SET expires_at = {now} + {} WHERE owner = $1 RETURNING kind, item, epoch",
            lasts.as_millis()
        );
        let rows = query(&transaction, sql, vec![instance.into()]).await.doing("renew leases")?;
        transaction.commit().await.doing("renew leases")?;
        let held = rows.iter().filter_map(|row| held_lease(row).transpose()).collect::<Result<_, _>>();
        held.map(|held| Some(Renewal { held, at })).doing("renew leases")
    }

    /// Takes leases of `items` that nobody holds: never owned, given back, held by this instance before it was restarted, or
    /// as far as `of_others` goes.
    pub async fn take_leases(
        &self,
        instance: &str,
        kind: LeaseKind,
        items: &[i32],
        lasts: Duration,
        of_others: OfOthers,
    ) -> Result<Vec<HeldLease>, StoreError> {
        if items.is_empty() {
            return Ok(vec![]);
        }
        let now = self.now_sql();
        let lasts_ms = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX);
        let free = self.free_sql(of_others);
        let mut items = items.to_vec();
        items.sort_unstable();
        let rows = items.into_iter().map(|item| [kind.code().into(), item.into(), instance.into()]).collect();
        let transaction = self.begin_promptly().await.doing("begin")?;
        let taken = query_rows::<3>(
            &transaction,
            &format!(
                "INSERT INTO leases (kind, item, owner, expires_at, epoch) \
                 SELECT v.column1, v.column2, v.column3, {now} + {lasts_ms}, 1 FROM ("
            ),
            rows,
            &format!(
                ") AS v WHERE v.column1 IS NOT NULL ON CONFLICT (kind, item) DO UPDATE SET owner = excluded.owner, \
                 expires_at = excluded.expires_at, epoch = leases.epoch + 1 \
                 WHERE leases.owner = excluded.owner OR {free} RETURNING kind, item, epoch"
            ),
        )
        .await
        .doing("take leases")?;
        transaction.commit().await.doing("take leases")?;
        taken.iter().filter_map(|row| held_lease(row).transpose()).collect::<Result<_, _>>().doing("take leases")
    }

    /// What a lease is that may be taken, beside those that whoever asks has himself.
    fn free_sql(&self, of_others: OfOthers) -> String {
        let now = self.now_sql();
        match of_others {
            OfOthers::GivenBack => "leases.owner IS NULL".to_owned(),
            OfOthers::RunOut => format!("leases.owner IS NULL OR leases.expires_at <= {now}"),
            OfOthers::OrNeverEnding => {
                let longest = LEASE_MAX.as_millis();
                format!("leases.owner IS NULL OR leases.expires_at <= {now} OR leases.expires_at > {now} + {longest}")
            }
        }
    }

    /// How everybody's leases stand, as this instance sees it. Who was not seen within this time is not counted. `None`: a later
    /// run of this instance has started.
    pub async fn standing(
        &self,
        (instance, run): (&str, i64),
        seen_within: Duration,
        of_others: OfOthers,
    ) -> Result<Option<Standing>, StoreError> {
        let (now, within, free) = (self.now_sql(), seen_within.as_millis(), self.free_sql(of_others));
        let sql = format!(
            "SELECT id, run, {now} - started_at AS runs_for FROM instances WHERE id = $1 OR (stopping = 0 \
             AND seen_at > {now} - {within} AND seen_at < {now} + {within}) ORDER BY id"
        );
        let reader = self.prompt_reader();
        let rows = query(&reader, sql, vec![instance.into()]).await.doing("see who runs")?;
        let other = |row: &QueryResult| -> Result<(OtherInstance, i64), DbErr> {
            let runs_for =
                u64::try_from(row.try_get::<i64>("", "runs_for")?).map_or(Duration::MAX, Duration::from_millis);
            Ok((OtherInstance { id: row.try_get("", "id")?, runs_for }, row.try_get("", "run")?))
        };
        let all: Vec<_> = rows.iter().map(other).collect::<Result<_, _>>().doing("see who runs")?;
        let (this, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(other, _)| other.id == instance);
        if this.iter().all(|(_, latest)| *latest != run) {
            return Ok(None);
        }
        let others = others.into_iter().map(|(other, _)| other).collect();
        let sql = format!(
            "SELECT kind, item, epoch, owner, CAST(CASE WHEN owner = $1 OR {free} THEN 1 ELSE 0 END AS INTEGER) AS free \
             FROM leases"
        );
        let rows = query(&reader, sql, vec![instance.into()]).await.doing("see who owns what")?;
        let lease = |row: &QueryResult| -> Result<Option<StandingLease>, DbErr> {
            let Some(lease) = held_lease(row)? else { return Ok(None) };
            Ok(Some(StandingLease {
                lease,
                owner: row.try_get("", "owner")?,
                free: row.try_get::<i32>("", "free")? == 1,
            }))
        };
        let leases = rows.iter().filter_map(|row| lease(row).transpose()).collect::<Result<_, _>>();
        Ok(Some(Standing { others, leases: leases.doing("see who owns what")? }))
    }

    /// Gives leases back, so that others need not wait for them to run out.
    pub async fn give_back_leases(&self, instance: &str, leases: &[HeldLease]) -> Result<(), StoreError> {
        let transaction = self.begin_promptly().await.doing("begin")?;
        for lease in leases {
            let sql = "UPDATE leases SET owner = NULL, expires_at = NULL \
                       WHERE owner = $1 AND kind = $2 AND item = $3 AND epoch = $4";
            let values = vec![instance.into(), lease.kind.code().into(), lease.item.into(), lease.epoch.into()];
            execute(&transaction, sql, values).await.doing("give back a lease")?;
        }
        transaction.commit().await.doing("give back leases")
    }

    /// Says that this instance begins to stop: others need leave it nothing of what it gives back.
    pub async fn begin_to_stop(&self, instance: &str, run: i64) -> Result<(), StoreError> {
        let transaction = self.begin_promptly().await.doing("begin")?;
        let sql = "UPDATE instances SET stopping = 1 WHERE id = $1 AND run = $2";
        execute(&transaction, sql, vec![instance.into(), run.into()]).await.doing("say that this instance stops")?;
        transaction.commit().await.doing("say that this instance stops")
    }

    /// Says that this instance has stopped, so that the others need not wait for it to be missed.
    pub async fn sign_off(&self, instance: &str, run: i64) -> Result<(), StoreError> {
        let transaction = self.begin_promptly().await.doing("begin")?;
        let sql = "UPDATE instances SET seen_at = 0 WHERE id = $1 AND run = $2";
        execute(&transaction, sql, vec![instance.into(), run.into()]).await.doing("sign off")?;
        transaction.commit().await.doing("sign off")
    }

    /// How many instances have been seen within this time. Who was last seen in the future stopped before the clock was set back.
    pub async fn instances_running(&self, within: Duration) -> Result<i64, StoreError> {
        let (now, within) = (self.now_sql(), within.as_millis());
        let sql = format!(
            "SELECT COUNT(*) AS running FROM instances WHERE seen_at > {now} - {within} AND seen_at < {now} + {within}"
        );
        let rows = query(&self.prompt_reader(), sql, vec![]).await;
        rows.and_then(|rows| rows.first().map_or(Ok(1), |row| row.try_get("", "running")))
            .doing("count running instances")
    }

    /// The database's own time, in milliseconds since the epoch.
    pub(crate) fn now_sql(&self) -> &'static str {
        if self.is_sqlite() {
            "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
        } else {
            "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
        }
    }
}

fn held_lease(row: &QueryResult) -> Result<Option<HeldLease>, DbErr> {
    let Some(kind) = LeaseKind::from_code(row.try_get("", "kind")?) else { return Ok(None) };
    Ok(Some(HeldLease { kind, item: row.try_get("", "item")?, epoch: row.try_get("", "epoch")? }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::on_each_database;

    const LASTS: Duration = Duration::from_secs(60);

    /// What the second of two instances sees: the others, and each lease of a number with whether it may be taken.
    async fn seen(store: &Store, (instance, run): (&str, i64)) -> Option<(Vec<String>, Vec<(i32, bool)>)> {
        let standing = store.standing((instance, run), LASTS, OfOthers::RunOut).await.expect("readable")?;
        let mut leases: Vec<(i32, bool)> = standing.leases.iter().map(|it| (it.lease.item, it.free)).collect();
        leases.sort_unstable();
        Some((standing.others.into_iter().map(|other| other.id).collect(), leases))
    }

    #[tokio::test]
    async fn everybody_sees_who_runs_and_what_is_free() {
        on_each_database(|store| async move {
            let one = store.register_instance("one").await.expect("written").run;
            let two = store.register_instance("two").await.expect("written").run;
            let take = async |instance, items: &[i32]| {
                let taken = store.take_leases(instance, LeaseKind::Sender, items, LASTS, OfOthers::RunOut).await;
                taken.expect("written")
            };
            let of_one = take("one", &[1, 2, 3]).await;
            take("two", &[4]).await;

            let all = vec![(1, false), (2, false), (3, false), (4, true)];
            assert_eq!(
                seen(&store, ("two", two)).await,
                Some((vec!["one".to_owned()], all)),
                "its own may be taken anew"
            );
            store.give_back_leases("one", &of_one[..1]).await.expect("written");
            let sql = "UPDATE leases SET expires_at = 1 WHERE item = 2";
            query(&store.writer, sql, vec![]).await.expect("written");
            store.begin_to_stop("one", one).await.expect("written");
            let left = vec![(1, true), (2, true), (3, false), (4, true)];
            assert_eq!(seen(&store, ("two", two)).await, Some((vec![], left)), "nothing is left to one that stops");
            store.register_instance("one").await.expect("written");
            assert_eq!(seen(&store, ("two", two)).await.map(|(others, _)| others.len()), Some(1), "it is back");
            assert_eq!(seen(&store, ("one", one)).await, None, "by another run");
        })
        .await;
    }
}
