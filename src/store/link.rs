//! The way to the database, and what happens when nothing comes back on it.
//!
//! A connection that breaks says so, and the pool opens another. One that is *half open* says nothing: a firewall has
//! forgotten it, or the machine behind it is gone, and whoever waits for an answer waits until the system gives up,
//! a quarter of an hour later or never. The driver puts no limit on a statement, nor on the look at a connection that comes back to its pool;
//! so a few of those and the pool has none left to give.
//!
//! Here everything that is asked has a limit: [`Link::promptly`] what others wait for, the rest a little more than the
//! server itself takes before it gives a statement up. And a pool that has answered nobody for a while is left behind, with all that hangs
//! in it, for a new one. SQLite is in this process and has none of that.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait as _,
};

/// Connections to one database. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Link {
    pools: Arc<Pools>,
    prompt: bool,
}

/// How long to wait for PostgreSQL.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For what others wait for. Shorter than the server's own limit, at which it would end a commit's wait for its standby
    /// and call that a success.
    pub(super) prompt: Duration,
    /// For everything else; longer than the server takes itself.
    pub(super) usual: Duration,
    /// A pool that answered nobody for so long is replaced when it fails somebody.
    pub(super) silence: Duration,
}

struct Pools {
    current: RwLock<Pool>,
    /// How to make another, and when: PostgreSQL only.
    renewal: Option<(ConnectOptions, Patience)>,
}

#[derive(Clone)]
struct Pool {
    connection: DatabaseConnection,
    heard_at: Arc<Mutex<Instant>>,
}

impl Pool {
    fn new(connection: DatabaseConnection) -> Self {
        Self { connection, heard_at: Arc::new(Mutex::new(Instant::now())) }
    }

    fn heard(&self) {
        *self.heard_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn silent_for(&self) -> Duration {
        self.heard_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

impl Link {
    /// To SQLite, which always answers.
    pub(super) fn local(connection: DatabaseConnection) -> Self {
        Self { pools: Arc::new(Pools { current: RwLock::new(Pool::new(connection)), renewal: None }), prompt: false }
    }

    /// To a server, which may fall silent.
    pub(super) async fn remote(options: ConnectOptions, patience: Patience) -> Result<Self, DbErr> {
        let pool = Pool::new(Database::connect(options.clone()).await?);
        let pools = Pools { current: RwLock::new(pool), renewal: Some((options, patience)) };
        Ok(Self { pools: Arc::new(pools), prompt: false })
    }

    /// The same connections, for what others wait for: owners of leases, and whoever writes for all.
    pub(crate) fn promptly(&self) -> Self {
        Self { pools: self.pools.clone(), prompt: true }
    }

    /// The pool itself, for who sees to the time alone.
    pub(super) fn connection(&self) -> DatabaseConnection {
        self.pool().connection
    }

    pub(super) async fn close(self) -> Result<(), DbErr> {
        self.connection().close().await
    }

    pub(super) async fn begin(&self, mode: Option<SqliteTransactionMode>) -> Result<DatabaseTransaction, DbErr> {
        let pool = self.pool();
        let options = TransactionOptions { sqlite_transaction_mode: mode, ..Default::default() };
        let begun = self.answered(&pool, pool.connection.begin_with_options(options)).await?;
        Ok(DatabaseTransaction { begun, pool, link: self.clone() })
    }

    fn pool(&self) -> Pool {
        self.pools.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for an answer, for as long as this link is patient.
    async fn answered<T>(&self, pool: &Pool, answer: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        let Some((_, patience)) = &self.pools.renewal else { return answer.await };
        let limit = if self.prompt { patience.prompt } else { patience.usual };
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok(answer)) => {
                pool.heard();
                Ok(answer)
            }
            Ok(Err(error)) => {
                if matches!(error, DbErr::ConnectionAcquire(_)) {
                    self.leave_if_silent(pool).await;
                }
                Err(error)
            }
            Err(_) => {
                self.leave_if_silent(pool).await;
                let seconds = limit.as_secs();
                Err(DbErr::Custom(format!(
                    "no answer for {seconds} s; is PostgreSQL running, and is its network sound?"
                )))
            }
        }
    }

    /// A pool that answers others is busy, and another would only add to that.
    async fn leave_if_silent(&self, silent: &Pool) {
        let Some((options, patience)) = &self.pools.renewal else { return };
        if silent.silent_for() < patience.silence {
            return;
        }
        let mut options = options.clone();
        // Nothing can fail, and nobody waits: each connection is made when it is wanted.
        options.connect_lazy(true);
        // Boxed, because this hardly ever happens and every question to the database would be as large.
        let Ok(connection) = Box::pin(Database::connect(options)).await else { return };
        let mut current = self.pools.current.write().unwrap_or_else(PoisonError::into_inner);
        // Only the first of many who waited for the same pool replaces it.
        if Arc::ptr_eq(&current.heard_at, &silent.heard_at) {
            tracing::warn!(
                "the database has answered nobody for {} s; its connections are given up for new ones",
                silent.silent_for().as_secs()
            );
            *current = Pool::new(connection);
        }
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Link {
    fn get_database_backend(&self) -> DbBackend {
        if self.pools.renewal.is_some() { DbBackend::Postgres } else { DbBackend::Sqlite }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let pool = self.pool();
        self.answered(&pool, pool.connection.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let pool = self.pool();
        self.answered(&pool, pool.connection.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let pool = self.pool();
        self.answered(&pool, pool.connection.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let pool = self.pool();
        self.answered(&pool, pool.connection.query_all_raw(statement)).await
    }
}

/// A transaction whose every statement has a limit. Dropped, it is rolled back.
pub(crate) struct DatabaseTransaction {
    begun: sea_orm::DatabaseTransaction,
    pool: Pool,
    link: Link,
}

impl DatabaseTransaction {
    /// After a failure nobody knows whether it was committed.
    pub(crate) async fn commit(self) -> Result<(), DbErr> {
        self.link.answered(&self.pool, self.begun.commit()).await
    }

    pub(crate) async fn rollback(self) -> Result<(), DbErr> {
        self.link.answered(&self.pool, self.begun.rollback()).await
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for DatabaseTransaction {
    fn get_database_backend(&self) -> DbBackend {
        self.begun.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.link.answered(&self.pool, self.begun.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.link.answered(&self.pool, self.begun.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.link.answered(&self.pool, self.begun.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.link.answered(&self.pool, self.begun.query_all_raw(statement)).await
    }
}
