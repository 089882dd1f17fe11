//! Copies of an SQLite database, and what must be known of one before it is put in use.
//!
//! A copy is made by SQLite itself beside whoever writes; it is a state that the database had at one moment. What was
//! waiting to be sent at that moment may have been sent since: see [`Store::hold_back_unsent`].

use std::{collections::BTreeSet, path::Path};

use migrations::{Migrator, MigratorTrait};
use sea_orm::{ConnectOptions, Database, DatabaseConnection, DbErr};

use super::{
    Doing, READER_CACHE_KIB, Store, StoreError, execute, query,
    size::{BACKUP, mark_done},
    sqlite_options,
};
use crate::{
    domain::{failure::FailureReason, time::UnixMillis},
    settings,
};

/// What a file turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inspected {
    /// A sound database of ours.
    Sound,
    /// SQLite's own findings.
    Damaged(String),
    /// A database of something else.
    NotOurs,
    /// Steps of the schema that this version does not know.
    Newer(Vec<String>),
}

/// A connection for one copy.
pub struct Copying {
    connection: DatabaseConnection,
}

impl Copying {
    /// Opens a database as it is: nothing in it is brought up to date.
    pub async fn open(settings: &settings::Database) -> Result<Self, StoreError> {
        let connection =
            Database::connect(sqlite_options(settings, 1, READER_CACHE_KIB)).await.doing("open the SQLite database")?;
        Ok(Self { connection })
    }

    /// About how many bytes there are to copy.
    pub async fn size(&self) -> Result<u64, StoreError> {
        let pages = self.pragma("page_count").await?.saturating_sub(self.pragma("freelist_count").await?);
        Ok(pages.unsigned_abs() * self.pragma("page_size").await?.unsigned_abs())
    }

    /// Copies into `file`, which must be empty or not exist.
    pub async fn copy_to(&self, file: &Path) -> Result<(), StoreError> {
        let doing = "copy the database";
        let file = file.to_str().ok_or_else(|| DbErr::Custom("the file's name is not text".to_owned())).doing(doing)?;
        execute(&self.connection, "VACUUM INTO $1", vec![file.into()]).await.map(drop).doing(doing)
    }

    pub async fn close(self) -> Result<(), StoreError> {
        self.connection.close().await.doing("close the database")
    }

    /// Writes down that a copy was made, for those who look at the system.
    pub async fn note(self, now: UnixMillis) -> Result<(), StoreError> {
        mark_done(&self.connection, BACKUP, now).await.doing("note that a copy was made")?;
        self.close().await
    }

    async fn pragma(&self, name: &str) -> Result<i64, StoreError> {
        let rows = query(&self.connection, format!("PRAGMA {name}"), vec![]).await;
        rows.and_then(|rows| rows.first().map_or(Ok(0), |row| row.try_get("", name))).doing("measure the database")
    }
}

/// Looks into an SQLite file that nobody else has open.
pub async fn inspect(file: &Path) -> Result<Inspected, StoreError> {
    let mut options = ConnectOptions::new(format!("sqlite://{}?mode=rw", file.display()));
    options.max_connections(1).sqlx_logging(false);
    let connection = match Database::connect(options).await {
        Ok(connection) => connection,
        Err(error) => return Ok(Inspected::Damaged(error.to_string())),
    };
    let found = look_into(&connection).await;
    connection.close().await.doing("close the file")?;
    // A file that is no database fails at the first question.
    Ok(found.unwrap_or_else(|error| Inspected::Damaged(error.to_string())))
}

/// So much of what SQLite complains about is told.
const FINDINGS_MAX: usize = 5;

async fn look_into(connection: &DatabaseConnection) -> Result<Inspected, DbErr> {
    let rows = query(connection, format!("PRAGMA integrity_check({FINDINGS_MAX})"), vec![]).await?;
    let findings: Vec<String> = rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?;
    if findings != ["ok"] {
        return Ok(Inspected::Damaged(findings.join("; ")));
    }
    let sql =
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ('seaql_migrations', 'outbound_messages')";
    if query(connection, sql, vec![]).await?.len() < 2 {
        return Ok(Inspected::NotOurs);
    }
    let known: BTreeSet<String> = Migrator::migrations().iter().map(|step| step.name().to_owned()).collect();
    let rows = query(connection, "SELECT version FROM seaql_migrations ORDER BY version", vec![]).await?;
    let steps: Vec<String> = rows.iter().map(|row| row.try_get("", "version")).collect::<Result<_, _>>()?;
    let unknown: Vec<String> = steps.into_iter().filter(|step| !known.contains(step)).collect();
    Ok(if unknown.is_empty() { Inspected::Sound } else { Inspected::Newer(unknown) })
}

impl Store {
    /// For a database that was just put back: messages that waited, or were under way, when the copy was made may have been
    /// sent since. They become messages of which nobody knows, and are never sent again, whatever the account's policy:
    /// their time is over. A report of the provider's settles them; those without one are reported as failed at
    /// `settle_at`. Says how many there are.
    pub async fn hold_back_unsent(&self, settle_at: UnixMillis) -> Result<u64, StoreError> {
        let doing = "hold back what was queued";
        let transaction = self.begin().await.doing(doing)?;
        let sql = "UPDATE outbound_messages SET state = 4, epoch = NULL, due_at = $1, \
                   expires_at = CASE WHEN expires_at < $2 THEN expires_at ELSE $2 END, failure_reason = $3, failure_code = NULL, \
                   failure_text = 'it waited when the backup was made that was put back, and may have been sent since' \
                   WHERE state IN (0, 1) OR (state = 4 AND due_at IS NOT NULL)";
        let reason = FailureReason::UnknownOutcome.code();
        let values = vec![settle_at.0.into(), self.now().0.into(), reason.into()];
        let held = execute(&transaction, sql, values).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(held)
    }

    /// For a database that was just put back: replays of another time shall not go on by themselves.
    pub async fn end_replays(&self, note: &str) -> Result<u64, StoreError> {
        let transaction = self.begin().await.doing("end replays")?;
        let sql = "UPDATE replays SET finished_at = $1, note = $2 WHERE finished_at IS NULL";
        let ended = execute(&transaction, sql, vec![self.now().0.into(), note.into()]).await.doing("end replays")?;
        transaction.commit().await.doing("end replays")?;
        Ok(ended)
    }
}
