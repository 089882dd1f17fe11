//! Bringing the schema up to date, while other instances work on the database.
//!
//! A rolling upgrade has instances of two releases on one database. The newer one starts first and changes the schema; the
//! older ones go on, and one of them may have to start again meanwhile. Steps only add things, so it may: it leaves steps
//! that it does not know as they are. A step that takes something away says so in its name, and then an older
//! program refuses to start, before it has written anything.

use migrations::{Migrator, MigratorTrait};
use sea_orm::{DbErr, TransactionTrait as _};

use super::{Doing, Store, StoreError, execute, query};

/// How the database's schema and this program's differ.
#[derive(Clone, Debug, Default)]
pub struct SchemaSteps {
    /// Steps that this version knows and the database does not have.
    pub pending: Vec<String>,
    /// The other way round: a newer version was here.
    pub unknown: Vec<String>,
}

/// Two instances that start at once take turns; nobody else uses this number.
const STEPS_LOCK: i64 = 0x7761_6272_6964_6765;
/// A step that waits for a table keeps everybody else from it, so it rather fails.
const TABLE_WAIT_MAX: &str = "5s";

impl SchemaSteps {
    /// Why this version must not work with the database, if it must not.
    pub fn refusal(&self) -> Option<String> {
        let own: Vec<String> = Migrator::migrations().iter().map(|step| step.name().to_owned()).collect();
        let last = own.iter().max()?;
        if let Some(step) = self.unknown.iter().find(|step| !migrations::earlier_versions_go_on(step)) {
            return Some(format!(
                "a newer wabridge has changed the schema so that this version cannot work with it (step {step}); start the \
                 newer version, or restore a backup from before it"
            ));
        }
        if let Some(step) = self.unknown.iter().find(|step| *step < last || !self.pending.is_empty()) {
            return Some(format!(
                "the schema has a step that this version does not know ({step}) and that does not follow its own; it is of \
                 another line of development: start the program that made it"
            ));
        }
        None
    }
}

impl Store {
    /// Applies what is missing. Fails without having written when the schema is of a version that this one cannot work with.
    pub(super) async fn bring_up_to_date(&self) -> Result<(), StoreError> {
        let doing = "bring the database schema up to date";
        let steps = self.schema_steps().await.doing(doing)?;
        if let Some(refusal) = steps.refusal() {
            return Err(DbErr::Custom(refusal)).doing("use this database");
        }
        if !steps.unknown.is_empty() {
            tracing::warn!(
                "a newer wabridge has added to the schema ({}); this version works beside it. Finish the upgrade",
                steps.unknown.join(", ")
            );
        }
        if steps.pending.is_empty() {
            return Ok(());
        }
        if self.is_sqlite() {
            return Migrator::up(&self.writer.connection(), None).await.doing(doing);
        }
        // Not one with a limit for each statement.
        let transaction = self.writer.connection().begin().await.doing(doing)?;
        // An index over millions of rows takes its time.
        execute(&transaction, "SET LOCAL statement_timeout = 0", vec![]).await.doing(doing)?;
        query(&transaction, format!("SELECT pg_advisory_xact_lock({STEPS_LOCK})"), vec![]).await.doing(doing)?;
        execute(&transaction, format!("SET LOCAL lock_timeout = '{TABLE_WAIT_MAX}'"), vec![]).await.doing(doing)?;
        // Under the lock it looks again what is missing.
        Migrator::up(&transaction, None).await.doing(doing)?;
        transaction.commit().await.doing(doing)
    }

    pub(super) async fn schema_steps(&self) -> Result<SchemaSteps, DbErr> {
        let known: Vec<String> = Migrator::migrations().iter().map(|step| step.name().to_owned()).collect();
        if !self.has_table("seaql_migrations").await? {
            return Ok(SchemaSteps { pending: known, unknown: vec![] });
        }
        let rows = query(&self.writer, "SELECT version FROM seaql_migrations ORDER BY version", vec![]).await?;
        let done = rows.iter().map(|row| row.try_get("", "version")).collect::<Result<Vec<String>, _>>()?;
        let unknown = done.iter().filter(|step| !known.contains(step)).cloned().collect();
        let pending = known.into_iter().filter(|step| !done.contains(step)).collect();
        Ok(SchemaSteps { pending, unknown })
    }

    async fn has_table(&self, name: &str) -> Result<bool, DbErr> {
        let sql = if self.is_sqlite() {
            "SELECT 1 AS one FROM sqlite_master WHERE type = 'table' AND name = $1"
        } else {
            "SELECT 1 AS one FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = $1"
        };
        Ok(!query(&self.writer, sql, vec![name.into()]).await?.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::on_each_database;

    #[tokio::test]
    async fn a_database_opens_beside_later_steps_and_not_beside_breaking_ones() {
        on_each_database(|store| async move {
            let add = async |step: &str| {
                let sql = format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ('{step}', 0)");
                query(&store.writer, sql, vec![]).await.expect("written");
            };

            add("m29990101_000001_colours").await;
            store.bring_up_to_date().await.expect("a step that only adds");

            add("m29990101_000002_breaking_words").await;
            let refused = store.bring_up_to_date().await.expect_err("a step that takes away");
            let said = crate::telemetry::Chain(&refused).to_string();
            assert!(said.contains("m29990101_000002_breaking_words") && said.contains("start the"), "{said}");
        })
        .await;
    }

    fn refusal(pending: &[&str], unknown: &[&str]) -> Option<String> {
        let texts = |steps: &[&str]| steps.iter().map(|step| (*step).to_owned()).collect();
        SchemaSteps { pending: texts(pending), unknown: texts(unknown) }.refusal()
    }

    #[test]
    fn a_version_works_beside_a_newer_one_that_only_added_to_the_schema() {
        assert_eq!(refusal(&[], &[]), None);
        assert_eq!(refusal(&["m20261121_000009_replay"], &[]), None);
        assert_eq!(refusal(&[], &["m29990101_000001_colours"]), None);
    }

    #[test]
    fn a_version_refuses_a_schema_from_which_a_newer_one_took_something() {
        let refused = refusal(&[], &["m29990101_000001_colours", "m29990101_000002_breaking_columns"]);

        assert!(refused.expect("it is refused").contains("m29990101_000002_breaking_columns"));
    }

    #[test]
    fn a_version_refuses_steps_that_do_not_follow_its_own() {
        assert!(refusal(&[], &["m20250101_000001_fork"]).is_some());
        assert!(refusal(&[], &["somebody_elses"]).is_some());
        assert!(refusal(&["m20261121_000009_replay"], &["m29990101_000001_colours"]).is_some());
    }
}
