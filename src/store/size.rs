//! How large the database is, what its own housekeeping left, and when ours was last done.

use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use super::{Doing, Store, StoreError, execute, query};
use crate::domain::time::UnixMillis;

/// The whole database.
#[derive(Clone, Debug, Default)]
pub struct DatabaseSize {
    pub bytes: i64,
    /// Of these SQLite uses none.
    pub free_bytes: Option<i64>,
    /// PostgreSQL's largest tables, by its own estimates.
    pub tables: Vec<TableSize>,
}

/// One table.
#[derive(Clone, Debug)]
pub struct TableSize {
    pub name: String,
    pub rows: i64,
    pub dead_rows: i64,
    /// With its indexes.
    pub bytes: i64,
}

/// More are not told.
const TABLES_MAX: usize = 8;

/// When old data was last forgotten.
pub const HOUSEKEEPING: &str = "housekeeping";
/// When `wabridge backup` last made a sound copy.
pub const BACKUP: &str = "backup";

impl Store {
    /// As the database says it; nothing is counted for it.
    pub async fn size(&self) -> Result<DatabaseSize, StoreError> {
        let doing = "ask the database for its size";
        if self.is_sqlite() { self.sqlite_size().await.doing(doing) } else { self.postgres_size().await.doing(doing) }
    }

    async fn sqlite_size(&self) -> Result<DatabaseSize, DbErr> {
        let sql = "SELECT page_count * page_size AS bytes, freelist_count * page_size AS free \
                   FROM pragma_page_count(), pragma_page_size(), pragma_freelist_count()";
        let rows = query(self.reader(), sql, vec![]).await?;
        let read = |row: &QueryResult| -> Result<DatabaseSize, DbErr> {
            Ok(DatabaseSize {
                bytes: row.try_get("", "bytes")?,
                free_bytes: Some(row.try_get("", "free")?),
                tables: vec![],
            })
        };
        rows.first().map_or(Ok(DatabaseSize::default()), read)
    }

    async fn postgres_size(&self) -> Result<DatabaseSize, DbErr> {
        let rows = query(self.reader(), "SELECT pg_database_size(current_database()) AS bytes", vec![]).await?;
        let bytes = rows.first().map_or(Ok(0), |row| row.try_get("", "bytes"))?;
        let sql = format!(
            "SELECT CAST(relname AS TEXT) AS name, n_live_tup AS rows, n_dead_tup AS dead, pg_total_relation_size(relid) AS bytes \
             FROM pg_stat_user_tables WHERE schemaname = current_schema() ORDER BY bytes DESC, relname LIMIT {TABLES_MAX}"
        );
        let rows = query(self.reader(), sql, vec![]).await?;
        let read = |row: &QueryResult| -> Result<TableSize, DbErr> {
            Ok(TableSize {
                name: row.try_get("", "name")?,
                rows: row.try_get("", "rows")?,
                dead_rows: row.try_get("", "dead")?,
                bytes: row.try_get("", "bytes")?,
            })
        };
        let tables = rows.iter().map(read).collect::<Result<_, _>>()?;
        Ok(DatabaseSize { bytes, free_bytes: None, tables })
    }

    /// When something was last done, by its name.
    pub async fn last_done(&self, what: &str) -> Result<Option<UnixMillis>, StoreError> {
        let rows = query(self.reader(), "SELECT value FROM marks WHERE name = $1", vec![done(what).into()]).await;
        let at = rows.and_then(|rows| rows.first().map(|row| row.try_get("", "value")).transpose());
        Ok(at.doing("read when something was last done")?.map(UnixMillis))
    }

    /// It is done now.
    pub async fn note_done(&self, what: &str) -> Result<(), StoreError> {
        let doing = "note that something is done";
        let transaction = self.begin().await.doing(doing)?;
        mark_done(&transaction, what, self.now()).await.doing(doing)?;
        transaction.commit().await.doing(doing)
    }
}

pub(super) async fn mark_done(connection: &impl ConnectionTrait, what: &str, now: UnixMillis) -> Result<(), DbErr> {
    let sql = "INSERT INTO marks (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    execute(connection, sql, vec![done(what).into(), now.0.into()]).await.map(drop)
}

fn done(what: &str) -> String {
    format!("done:{what}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::on_each_database;

    #[tokio::test]
    async fn a_database_knows_how_large_it_is_and_what_was_done() {
        on_each_database(async |store| {
            let size = store.size().await.expect("readable");
            assert!(size.bytes > 10_000, "{size:?}");
            assert_eq!((size.tables.is_empty(), size.free_bytes.is_some()), (store.is_sqlite(), store.is_sqlite()));

            assert_eq!(store.last_done(BACKUP).await.expect("readable"), None);
            store.note_done(BACKUP).await.expect("written");
            store.note_done(BACKUP).await.expect("written again");
            assert!(store.last_done(BACKUP).await.expect("readable").is_some());
            assert_eq!(store.last_done(HOUSEKEEPING).await.expect("readable"), None);
        })
        .await;
    }
}
