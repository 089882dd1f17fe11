//! A clock that jumps: the program's, and the database's.
//!
//! What is shipped is what is looked at, so the program knows nothing of it. A few lines of C stand between it (with SQLite
//! in it) and the system's clock; PostgreSQL gets a function of its own in the place of `clock_timestamp`.

use std::{
    ffi::OsString,
    fs::File,
    os::unix::fs::FileExt as _,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
};

use sea_orm::ConnectionTrait as _;
use tempfile::TempDir;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/skewed_clock.c");

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct SkewedClock {
    folder: Arc<TempDir>,
    seconds: Arc<File>,
}

impl SkewedClock {
    /// `None` where there is no C compiler, or no system whose programs can be lent a clock like this.
    pub(crate) fn make() -> anyhow::Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(folder.path().join("clock.so")).arg(SOURCE);
        let made = compiler.stderr(Stdio::null()).status().is_ok_and(|ended| ended.success());
        if !made || !cfg!(target_os = "linux") {
            return Ok(None);
        }
        let seconds = File::options().create_new(true).write(true).open(folder.path().join("seconds"))?;
        seconds.write_all_at(&0_i64.to_ne_bytes(), 0)?;
        Ok(Some(Self { folder: Arc::new(folder), seconds: Arc::new(seconds) }))
    }

    /// What a program needs to go by this clock.
    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 2] {
        let path = |name: &str| self.folder.path().join(OsString::from(name));
        [("LD_PRELOAD", path("clock.so")), ("SKEWED_CLOCK", path("seconds"))]
    }

    /// Before anybody has opened that database.
    pub(crate) async fn replace_postgres_clock(&self, url: &str) -> anyhow::Result<()> {
        const STATEMENTS: [&str; 4] = [
            "CREATE TABLE clock_skew (seconds BIGINT NOT NULL)",
            "INSERT INTO clock_skew VALUES (0)",
            "CREATE FUNCTION public.clock_timestamp() RETURNS TIMESTAMPTZ LANGUAGE sql VOLATILE AS \
             'SELECT pg_catalog.clock_timestamp() + (SELECT seconds FROM public.clock_skew) * INTERVAL ''1 second'''",
            "DO 'BEGIN EXECUTE ''ALTER DATABASE '' || current_database() || '' SET search_path = public, pg_catalog''; END'",
        ];
        let database = sea_orm::Database::connect(url).await?;
        for statement in STATEMENTS {
            database.execute_unprepared(statement).await?;
        }
        Ok(database.close().await?)
    }

    /// Sets all of them. SQLite has none of its own.
    pub(crate) async fn set(&self, database_url: &str, seconds: i64) -> anyhow::Result<()> {
        self.seconds.write_all_at(&seconds.to_ne_bytes(), 0)?;
        if database_url.starts_with("postgres") {
            let database = sea_orm::Database::connect(database_url).await?;
            database.execute_unprepared(&format!("UPDATE clock_skew SET seconds = {seconds}")).await?;
            database.close().await?;
        }
        Ok(())
    }
}
