//! All SQL. Concrete functions on [`Store`]; nothing else in the bridge speaks to the database.
//!
//! Two databases, one code path: SQLite when nothing is set up, PostgreSQL for more than one machine.
//! Both take numbered parameters (`$1`), multi-row `VALUES`, `ON CONFLICT` and `RETURNING`; where a
//! statement must differ the variants stand side by side in one function.
//!
//! What happens for each message is written by one task, many messages to a transaction: see
//! [`batch`]. Everything else (configuration, leases, retention) writes for itself and seldom.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DbBackend, DbErr, QueryResult, RuntimeErr, SqliteTransactionMode,
    Statement, Value, sqlx::Connection as _,
};

use tokio::sync::OnceCell;

use crate::{
    domain::{suppression::PersonHasher, time::UnixMillis},
    settings,
    store::vault::Vault,
};

use self::link::{Link, Patience};
pub(crate) use self::{
    link::DatabaseTransaction,
    rows::{execute_rows, query_rows},
};

pub mod activity;
pub mod alarm_letters;
pub mod alarm_recipients;
pub mod alarms;
pub mod audit;
pub mod backup;
pub mod ballast;
pub mod batch;
pub mod callbacks;
pub mod campaign_cancels;
pub mod campaigns;
pub mod channels;
pub mod configuration;
pub mod contacts;
pub mod conversations;
pub mod erasures;
pub mod events;
pub mod exchanges;
pub mod export;
pub mod failed_sign_ins;
pub mod files;
pub mod forget;
pub mod holds;
pub mod inbound;
pub mod ingest;
pub mod inspect;
pub mod leases;
mod link;
pub mod media;
mod moved_people;
pub mod notices;
pub mod operators;
pub mod outbound;
mod outgoing;
pub mod overview;
pub mod past;
pub mod people;
mod people_news;
pub mod person;
pub mod polls;
pub mod preferences;
pub mod provider_conversations;
pub mod queue;
pub mod queue_rules;
pub mod recent_people;
pub mod refused;
pub mod replace;
pub mod replays;
pub mod retain;
pub mod rotate;
mod rows;
pub mod schema;
pub mod search;
pub mod secrets;
pub mod send_exchanges;
pub mod sessions;
pub mod set_back;
mod shown;
pub mod silence;
pub mod size;
pub mod statistics;
pub mod story;
pub mod suppression_syncs;
pub mod suppressions;
pub mod templates;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod tokens;
pub mod told;
pub mod told_together;
pub mod unrecognized;
pub mod vault;
pub mod wakeups;
mod walk;
pub mod webhook_facts;
pub mod webhook_trouble;
pub mod webhooks;
pub mod windows;
pub mod yardstick;

/// The database, whichever it is. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    /// SQLite: the one connection that writes. PostgreSQL: a pool.
    writer: Link,
    /// SQLite: a few connections that only read. PostgreSQL: the same pool.
    reader: Link,
    /// SQLite: the writer's. PostgreSQL: connections that only the committer uses, made when it first wants one: they
    /// belong to the runtime in which they are made, and that is its own.
    batches: Link,
    vault: std::sync::Arc<Vault>,
    /// Read when it is first asked for.
    hasher: std::sync::Arc<OnceCell<PersonHasher>>,
}

/// The database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
pub struct StoreError {
    doing: String,
    #[source]
    source: DatabaseSaid,
}

/// The database's own words, without those of the layers between it and us.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct DatabaseSaid(String);

impl From<DbErr> for DatabaseSaid {
    fn from(error: DbErr) -> Self {
        if let DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) = &error
        {
            let words = error.as_database_error().map(|error| error.message().to_owned());
            return Self(words.unwrap_or_else(|| error.to_string()));
        }
        if let DbErr::Custom(words) = error { Self(words) } else { Self(error.to_string()) }
    }
}

/// Says what was tried when the database failed.
trait Doing<T> {
    fn doing(self, what: &str) -> Result<T, StoreError>;
}

impl<T> Doing<T> for Result<T, DbErr> {
    fn doing(self, what: &str) -> Result<T, StoreError> {
        self.map_err(|error| StoreError { doing: format!("could not {what}"), source: error.into() })
    }
}

impl Store {
    /// Opens the database, creating an SQLite file (and its folder) when there is none, and brings the schema up to date.
    pub async fn open(settings: &settings::Database, vault: Vault) -> Result<Self, StoreError> {
        let store = Self::connect(settings, vault).await?;
        store.bring_up_to_date().await?;
        Ok(store)
    }

    /// Opens the database with whatever schema it has.
    pub async fn connect(settings: &settings::Database, vault: Vault) -> Result<Self, StoreError> {
        let url: &str = &settings.url;
        let (writer, reader, batches) = if url.starts_with("sqlite:") {
            if let Some(file) = sqlite_path(url) {
                // When they cannot be made, opening the file fails and says so.
                drop(file.parent().map(create_private_folder));
                drop(create_private_file(&file));
            }
            let writer = Database::connect(sqlite_options(settings, 1, WRITER_CACHE_KIB))
                .await
                .doing("open the SQLite database")?;
            let reader = Database::connect(sqlite_options(settings, settings.read_connections, READER_CACHE_KIB))
                .await
                .doing("open the SQLite database for reading")?;
            let writer = Link::local(writer);
            (writer.clone(), Link::local(reader), writer.promptly())
        } else {
            reach_postgres(settings).await?;
            let connect =
                async |options| Link::remote(options, patience(settings)).await.doing("connect to PostgreSQL");
            let link = connect(postgres_options(settings)).await?;
            let mut of_batches = postgres_options(settings);
            of_batches.max_connections(BATCH_CONNECTIONS).min_connections(0).connect_lazy(true);
            (link.clone(), link, connect(of_batches).await?.promptly())
        };
        Ok(Self { writer, reader, batches, vault: std::sync::Arc::new(vault), hasher: std::sync::Arc::default() })
    }

    /// For statements that change nothing.
    pub(crate) fn reader(&self) -> &Link {
        &self.reader
    }

    /// The same, for what others wait for: it must be heard soon that nothing is to be heard.
    pub(crate) fn prompt_reader(&self) -> Link {
        self.reader.promptly()
    }

    pub(crate) fn vault(&self) -> &Vault {
        &self.vault
    }

    /// The same database, its secrets under another key.
    #[must_use]
    pub fn with_vault(self, vault: Vault) -> Self {
        Self { vault: std::sync::Arc::new(vault), ..self }
    }

    /// Ends all connections. An SQLite database is then one file, without a write-ahead log.
    pub async fn close(self) -> Result<(), StoreError> {
        let doing = "close the database";
        // On either of them two of the three are the same.
        let beside = if self.is_sqlite() { self.reader } else { self.batches };
        beside.close().await.doing(doing)?;
        self.writer.close().await.doing(doing)
    }

    pub fn is_sqlite(&self) -> bool {
        self.writer.get_database_backend() == DbBackend::Sqlite
    }

    /// A transaction that may write. On SQLite it has the writer's lock from its first statement, so
    /// that it cannot fail half-way because somebody else wrote first.
    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        self.writer.begin(self.transaction_mode()).await
    }

    /// The same, for what others wait for.
    pub(crate) async fn begin_promptly(&self) -> Result<DatabaseTransaction, DbErr> {
        self.writer.promptly().begin(self.transaction_mode()).await
    }

    /// The committer's.
    pub(crate) async fn begin_batch(&self) -> Result<DatabaseTransaction, DbErr> {
        self.batches.begin(self.transaction_mode()).await
    }

    fn transaction_mode(&self) -> Option<SqliteTransactionMode> {
        self.is_sqlite().then_some(SqliteTransactionMode::Immediate)
    }

    /// The time by which this process works.
    pub(crate) fn now(&self) -> UnixMillis {
        crate::clock::now()
    }

    /// SQLite: moves what was committed into the database file, beside the writer.
    pub(crate) async fn checkpoint(&self) -> Result<(), StoreError> {
        if self.is_sqlite() {
            query(&self.reader, "PRAGMA wal_checkpoint(PASSIVE)", vec![]).await.doing("checkpoint")?;
        }
        Ok(())
    }

    /// SQLite: moves everything into the database file when the work is done, so that it is whole without its log.
    pub(crate) async fn checkpoint_all(&self) -> Result<(), StoreError> {
        if self.is_sqlite() {
            query(&self.writer, "PRAGMA wal_checkpoint(TRUNCATE)", vec![]).await.doing("checkpoint")?;
        }
        Ok(())
    }

    /// Answers whether the database can be reached and read.
    pub async fn ping(&self) -> Result<(), StoreError> {
        query(&self.prompt_reader(), "SELECT 1", vec![]).await.map(drop).doing("read from the database")
    }
}

/// Prepared statements that a connection keeps: each of ours that writes rows exists in as many sizes as there are
/// powers of two up to [`rows::STATEMENT_ROWS_MAX`].
const STATEMENTS_KEPT: usize = 250;
/// Rows that SQLite's thread may read ahead of whoever asked for them.
const ROWS_HANDED_OVER_MAX: usize = 1000;

/// Pages that a connection of SQLite keeps. The writer meets the same ones again and again; a reader seldom does, and what it
/// misses the system has.
const WRITER_CACHE_KIB: u32 = 8_000;
const READER_CACHE_KIB: u32 = 2_000;

/// Everything that makes SQLite both durable and fast beside readers.
fn sqlite_options(settings: &settings::Database, connections: u32, cache_kib: u32) -> ConnectOptions {
    let busy_timeout = settings.busy_timeout;
    let mut options = ConnectOptions::new(settings.url.to_string());
    options.max_connections(connections).min_connections(1).sqlx_logging(false).acquire_timeout(busy_timeout);
    // The writer's connection is never recycled: its prepared statements are worth keeping.
    options.max_lifetime(None::<Duration>).idle_timeout(None::<Duration>).test_before_acquire(false);
    options.map_sqlx_sqlite_opts(move |options| {
        options
            .create_if_missing(true)
            .busy_timeout(busy_timeout)
            .foreign_keys(true)
            // Must come before the first table, or it has no effect.
            .pragma("auto_vacuum", "INCREMENTAL")
            .pragma("journal_mode", "WAL")
            // NORMAL would lose the last commits when the power fails, after we said "accepted".
            .pragma("synchronous", "FULL")
            // Usually nothing is left to do here: a checkpoint runs beside the writer each second.
            .pragma("wal_autocheckpoint", "16000")
            .pragma("cache_size", format!("-{cache_kib}"))
            .pragma("temp_store", "MEMORY")
            // What was deleted, or moved to another page, is overwritten: whom we erased stays in no free part of the file.
            .pragma("secure_delete", "ON")
            // The rows of a batch are handed over at once, not in portions for each of which two threads wake each other.
            .row_buffer_size(ROWS_HANDED_OVER_MAX)
            .statement_cache_capacity(STATEMENTS_KEPT)
    });
    // A commit that fails on a full disk is rolled back by SQLite itself, and the driver goes on counting an open
    // transaction: whatever came after would be a part of that, seen by nobody and gone with the process.
    options.map_sqlx_sqlite_pool_opts(|pool| {
        pool.before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
    });
    options
}

/// Every statement of ours finds its rows by an index. PostgreSQL keeps the plan of a prepared statement, and one that it
/// made while a table was small would go on reading all of it. Compiling a plan never pays for statements so short; nor does
/// planning them anew for each time's values, which for the reading of a log took longer than the reading.
const PLANS_BY_INDEX: [(&str, &str); 5] = [
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
    ("plan_cache_mode", "force_generic_plan"),
];

/// An instance that is stopped between two statements holds locks on its rows, and others would wait for as long as it sleeps.
/// A batch's statements follow each other within milliseconds.
const IDLE_IN_TRANSACTION_MAX: &str = "5s";

/// And one that has vanished without a word: in so many seconds the server ends its session, with whatever that holds.
const VANISHED_CLIENT: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "25s"),
];

/// By when the server has given a statement up and said so.
const STATEMENT_MARGIN: Duration = Duration::from_secs(1);

fn patience(settings: &settings::Database) -> Patience {
    Patience {
        prompt: settings.answer_timeout,
        usual: settings.busy_timeout + settings.statement_timeout + STATEMENT_MARGIN,
        silence: settings.busy_timeout,
    }
}

fn postgres_options(settings: &settings::Database) -> ConnectOptions {
    let mut options = ConnectOptions::new(settings.url.to_string());
    options
        .max_connections(settings.read_connections + 2)
        .min_connections(1)
        .sqlx_logging(false)
        .connect_timeout(settings.busy_timeout)
        .acquire_timeout(settings.busy_timeout)
        .statement_timeout(settings.statement_timeout)
        .set_application_name("wabridge")
        .map_sqlx_postgres_opts(|options| {
            let options =
                options.statement_cache_capacity(STATEMENTS_KEPT).options(PLANS_BY_INDEX).options(VANISHED_CLIENT);
            options.options([("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_MAX)])
        });
    // Each question would ask twice otherwise: is somebody there, and what it wants to know.
    options.test_before_acquire(false).map_sqlx_postgres_pool_opts(|pool| {
        pool.before_acquire(|connection, used| {
            Box::pin(async move { Ok(used.idle_for < TRUSTED_FOR || connection.ping().await.is_ok()) })
        })
    });
    options
}

/// A connection that answered so short a time ago is taken to be alive. Where it is not, one question fails that was asked
/// while the server went away.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// One writes; where it falls silent in the middle of a batch, the next batch finds another at once.
const BATCH_CONNECTIONS: u32 = 2;

/// Knocks first: of a server that is not there the pool would only say that it waited.
async fn reach_postgres(settings: &settings::Database) -> Result<(), StoreError> {
    const PORT: u16 = 5432;
    let Ok(url) = url::Url::parse(&settings.url) else { return Ok(()) };
    // A socket of the file system is named in the query.
    let Some(host) = url.host_str().filter(|_| !url.query_pairs().any(|(name, _)| name == "host")) else {
        return Ok(());
    };
    let port = url.port().unwrap_or(PORT);
    let knock = tokio::net::TcpStream::connect((host, port));
    let why = match tokio::time::timeout(settings.busy_timeout, knock).await {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer".to_owned(),
    };
    Err(DbErr::Custom(why))
        .doing(&format!("reach PostgreSQL at {host}:{port}; is it running, and is database.url right?"))
}

/// Whether a PostgreSQL database has no tables where ours would go.
pub async fn postgres_is_empty(settings: &settings::Database) -> Result<bool, StoreError> {
    let sql = "SELECT COUNT(*) AS tables FROM information_schema.tables WHERE table_schema = current_schema()";
    let pool = Database::connect(postgres_options(settings)).await.doing("connect to PostgreSQL")?;
    let rows = query(&pool, sql, vec![]).await.doing("look what the database holds")?;
    let tables: i64 = rows.first().map_or(Ok(0), |row| row.try_get("", "tables")).doing("count tables")?;
    pool.close().await.doing("close the connection to PostgreSQL")?;
    Ok(tables == 0)
}

/// The file behind an `sqlite:` URL; `None` for another database, and for one in memory.
pub fn sqlite_path(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    let path = path.split('?').next().unwrap_or(path);
    (!path.contains(":memory:")).then(|| PathBuf::from(path))
}

/// Messages and secrets live in it, so nobody but the owner may look in. One that exists is left as it is.
pub fn create_private_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// The same for a file. SQLite gives its write-ahead log and index the mode of the database.
fn create_private_file(file: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)
}

/// Runs a query and gives back its rows.
pub(crate) async fn query(
    connection: &impl ConnectionTrait,
    sql: impl Into<String>,
    values: Vec<Value>,
) -> Result<Vec<QueryResult>, DbErr> {
    let sql = sql.into();
    let values = without_zeros(values);
    #[cfg(test)]
    testing::hear(&sql, &values);
    counters::statement();
    let writes = sql.starts_with("INSERT") || sql.starts_with("UPDATE");
    let rows = connection
        .query_all_raw(Statement::from_sql_and_values(connection.get_database_backend(), sql, values))
        .await?;
    if writes {
        counters::rows(rows.len() as u64);
    }
    Ok(rows)
}

/// Runs a statement and gives back how many rows it changed.
pub(crate) async fn execute(
    connection: &impl ConnectionTrait,
    sql: impl Into<String>,
    values: Vec<Value>,
) -> Result<u64, DbErr> {
    let sql = sql.into();
    let values = without_zeros(values);
    #[cfg(test)]
    testing::hear(&sql, &values);
    counters::statement();
    let done = connection
        .execute_raw(Statement::from_sql_and_values(connection.get_database_backend(), sql, values))
        .await?
        .rows_affected();
    counters::rows(done);
    Ok(done)
}

/// JSON may hold a zero character, and so may what others say; PostgreSQL's text may not.
fn without_zeros(mut values: Vec<Value>) -> Vec<Value> {
    for value in &mut values {
        if let Value::String(Some(text)) = value
            && text.contains('\0')
        {
            *text = text.replace('\0', "\u{fffd}");
        }
    }
    values
}

/// What the database is asked to do: shown per message by `wabridge bench`, kept within a budget by a test.
mod counters {
    use crate::telemetry::{STORE_ROWS_WRITTEN, STORE_STATEMENTS};

    pub(super) fn statement() {
        metrics::counter!(STORE_STATEMENTS).increment(1);
    }

    pub(super) fn rows(written: u64) {
        metrics::counter!(STORE_ROWS_WRITTEN).increment(written);
    }
}
