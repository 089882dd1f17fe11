//! What the database says of itself: for `wabridge check`. Reads only, whatever schema it finds.

use sea_orm::{DbErr, QueryResult};

use super::{Doing, Store, StoreError, query, schema::SchemaSteps};
use crate::domain::{
    ids::{AccountKey, SenderKey},
    time::UnixMillis,
};

/// A database as it is in force, whatever was asked for.
#[derive(Clone, Debug)]
pub struct DatabaseFacts {
    /// `SQLite 3.50.4`.
    pub version: String,
    /// What decides whether a commit survives a power cut, by the database's own names.
    pub durability: Vec<(&'static str, String)>,
    /// PostgreSQL: what decides whether a commit survives the loss of the server.
    pub failover: Option<FailoverFacts>,
    pub steps: SchemaSteps,
    pub now: UnixMillis,
}

/// How PostgreSQL stands to its standbys.
#[derive(Clone, Debug, Default)]
pub struct FailoverFacts {
    /// `synchronous_standby_names`; empty: a commit waits for none.
    pub standbys: String,
    /// `synchronous_commit` for us.
    pub commit: String,
    /// It takes no writes: it is a standby itself.
    pub read_only: bool,
}

/// A number's events at the end of its account's log that are looked at for the provider's last word.
const PLACES_LOOKED_AT: i64 = 1_000;

impl Store {
    pub async fn facts(&self) -> Result<DatabaseFacts, StoreError> {
        let doing = "ask the database about itself";
        let (version, names): (_, &[&'static str]) = if self.is_sqlite() {
            ("SELECT 'SQLite ' || sqlite_version() AS value", &["journal_mode", "synchronous"])
        } else {
            let version = "SELECT 'PostgreSQL ' || current_setting('server_version') AS value";
            (version, &["fsync", "synchronous_commit", "full_page_writes"])
        };
        let mut durability = Vec::new();
        for name in names {
            durability.push((*name, self.setting(name).await.doing(doing)?));
        }
        let steps = self.schema_steps().await.doing(doing)?;
        let now = query(&self.writer, format!("SELECT {} AS value", self.now_sql()), vec![]).await;
        let now = now.and_then(|rows| rows.first().map_or(Ok(0), |row| row.try_get("", "value"))).doing(doing)?;
        let version = self.one_text(version).await.doing(doing)?;
        let failover = self.failover_facts().await.doing(doing)?;
        Ok(DatabaseFacts { version, durability, failover, steps, now: UnixMillis(now) })
    }

    async fn failover_facts(&self) -> Result<Option<FailoverFacts>, DbErr> {
        if self.is_sqlite() {
            return Ok(None);
        }
        Ok(Some(FailoverFacts {
            standbys: self.setting("synchronous_standby_names").await?,
            commit: self.setting("synchronous_commit").await?,
            read_only: self.setting("transaction_read_only").await? == "on",
        }))
    }

    /// On the connection that commits: SQLite has these for each.
    async fn setting(&self, name: &str) -> Result<String, DbErr> {
        if !self.is_sqlite() {
            return self.one_text(&format!("SELECT current_setting('{name}') AS value")).await;
        }
        // The pragma's value comes as a column of its own name, sometimes as a number.
        let rows = query(&self.writer, format!("PRAGMA {name}"), vec![]).await?;
        let Some(row) = rows.first() else { return Ok(String::new()) };
        match row.try_get::<String>("", name) {
            Ok(text) => Ok(text),
            Err(_) => row.try_get::<i32>("", name).map(|number| number.to_string()),
        }
    }

    async fn one_text(&self, sql: &str) -> Result<String, DbErr> {
        let rows = query(&self.writer, sql, vec![]).await?;
        rows.first().map_or_else(|| Ok(String::new()), |row| row.try_get("", "value"))
    }

    /// When the provider last told anything of one of an account's numbers, if that is among the newest events of the log.
    pub async fn last_heard(&self, account: AccountKey, sender: SenderKey) -> Result<Option<UnixMillis>, StoreError> {
        // Entries of these kinds are the provider's own; what we concluded ourselves has none.
        let sql = format!(
            "SELECT MAX(recorded_at) AS heard_at FROM events WHERE account = $1 AND sender = $2 AND kind IN (1, 2) AND entry IS NOT NULL \
             AND place > (SELECT COALESCE(MAX(last_place), 0) FROM logs WHERE account = $1) - {PLACES_LOOKED_AT}"
        );
        let rows = query(self.reader(), sql, vec![account.0.into(), sender.0.into()]).await;
        let read = |row: &QueryResult| row.try_get::<Option<i64>>("", "heard_at").map(|at| at.map(UnixMillis));
        rows.and_then(|rows| rows.first().map_or(Ok(None), read)).doing("look for the last webhook")
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        clock,
        domain::ids::{AccountKey, SenderKey},
        store::testing::on_each_database,
    };

    #[tokio::test]
    async fn a_database_tells_how_durable_it_is_and_which_steps_it_has() {
        on_each_database(async |store| {
            let facts = store.facts().await.expect("it answers");

            let expected: &[(&str, &str)] = if store.is_sqlite() {
                &[("journal_mode", "wal"), ("synchronous", "2")]
            } else {
                &[("fsync", "on"), ("synchronous_commit", "on"), ("full_page_writes", "on")]
            };
            let names = |pairs: &[(&'static str, String)]| pairs.iter().map(|(name, _)| *name).collect::<Vec<_>>();
            assert_eq!(names(&facts.durability), expected.iter().map(|(name, _)| *name).collect::<Vec<_>>());
            if store.is_sqlite() {
                assert!(facts.durability.iter().zip(expected).all(|((_, is), (_, wanted))| is == wanted), "{facts:?}");
            }
            assert!(facts.failover.as_ref().is_none_or(|failover| !failover.read_only && failover.standbys.is_empty()));
            assert!(facts.steps.pending.is_empty() && facts.steps.unknown.is_empty(), "{facts:?}");
            assert!(facts.version.starts_with(if store.is_sqlite() { "SQLite 3" } else { "PostgreSQL 1" }));
            assert!(facts.now.0.abs_diff(clock::now().0) < 60_000);
            assert_eq!(store.last_heard(AccountKey(1), SenderKey(1)).await.expect("it can be asked"), None);
        })
        .await;
    }
}
