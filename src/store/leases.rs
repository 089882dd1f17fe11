//! Who works on what. The pace of a number is a promise to its provider, and callbacks about one
//! message go out in order: so one instance at a time owns a number or a subscription.
//!
//! A lease has an owner, a time at which it ends unless renewed, and an epoch that grows whenever it
//! changes hands. Everything an owner writes names its epoch, so one who wakes up late changes nothing.
//! Times are the database's own: instances need not agree on theirs.

use std::time::Duration;

use sea_orm::DbErr;

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

/// An instance that has been started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// A number that no other instance has.
    pub node: i32,
    /// Another one at each start. Only the latest run of an instance keeps its leases.
    pub run: i64,
}

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
                let sql = format!("UPDATE instances SET run = $2, started_at = {now}, seen_at = {now} WHERE id = $1");
                execute(transaction, sql, vec![instance.into(), run.into()]).await?;
                return Ok(node);
            }
            taken.insert(node);
        }
        let node = (0..NODES_MAX)
            .find(|node| !taken.contains(node))
            .ok_or_else(|| DbErr::Custom("all instance numbers are taken".to_owned()))?;
        let sql =
            format!("INSERT INTO instances (id, node, run, started_at, seen_at) VALUES ($1, $2, $3, {now}, {now})");
        execute(transaction, sql, vec![instance.into(), node.into(), run.into()]).await?;
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
        let of_others = match of_others {
            OfOthers::GivenBack => String::new(),
            OfOthers::RunOut => format!("OR leases.expires_at <= {now}"),
            OfOthers::OrNeverEnding => {
                format!("OR leases.expires_at <= {now} OR leases.expires_at > {now} + {}", LEASE_MAX.as_millis())
            }
        };
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
                 WHERE leases.owner IS NULL OR leases.owner = excluded.owner {of_others} RETURNING kind, item, epoch"
            ),
        )
        .await
        .doing("take leases")?;
        transaction.commit().await.doing("take leases")?;
        taken.iter().filter_map(|row| held_lease(row).transpose()).collect::<Result<_, _>>().doing("take leases")
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

    /// Says that this instance stops, so that the others need not wait for it to be missed.
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

fn held_lease(row: &sea_orm::QueryResult) -> Result<Option<HeldLease>, DbErr> {
    let Some(kind) = LeaseKind::from_code(row.try_get("", "kind")?) else { return Ok(None) };
    Ok(Some(HeldLease { kind, item: row.try_get("", "item")?, epoch: row.try_get("", "epoch")? }))
}
