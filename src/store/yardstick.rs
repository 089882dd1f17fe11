//! The least that a durable handler does: one table, one row for each body, group commit. Nothing of the bridge uses it;
//! `wabridge bench` measures accepts against it, on the same database and with the same options.

use bytes::Bytes;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbErr, TransactionTrait as _};
use tokio::sync::{mpsc, oneshot};

use super::{Doing as _, StoreError, WRITER_CACHE_KIB, execute, execute_rows, postgres_options, sqlite_options};
use crate::settings;

/// Most rows of one transaction; the bridge's own default.
const COMMIT_ROWS_MAX: usize = 2000;
const BODIES_WAITING_MAX: usize = 50_000;

/// Keeps bodies. Cheap to clone.
#[derive(Clone)]
pub struct Yardstick(mpsc::Sender<Body>);

struct Body {
    bytes: Bytes,
    kept: oneshot::Sender<()>,
}

impl Yardstick {
    /// Makes the table where there is none, and starts the one task that writes.
    pub async fn start(settings: &settings::Database) -> Result<Self, StoreError> {
        let sqlite = settings.url.starts_with("sqlite:");
        let options = if sqlite { sqlite_options(settings, 1, WRITER_CACHE_KIB) } else { postgres_options(settings) };
        let database = sea_orm::Database::connect(options).await.doing("open the database")?;
        let bytes = if sqlite { "BLOB" } else { "BYTEA" };
        let table = format!("CREATE TABLE IF NOT EXISTS yardstick (id BIGINT PRIMARY KEY, body {bytes} NOT NULL)");
        database.execute_unprepared(&table).await.doing("make a table")?;
        execute(&database, "DELETE FROM yardstick", vec![]).await.doing("empty the table")?;
        let (bodies, waiting) = mpsc::channel(BODIES_WAITING_MAX);
        tokio::spawn(write(database, waiting));
        Ok(Self(bodies))
    }

    /// `true` when the body is committed.
    pub async fn keep(&self, bytes: Bytes) -> bool {
        let (kept, answer) = oneshot::channel();
        self.0.send(Body { bytes, kept }).await.is_ok() && answer.await.is_ok()
    }
}

async fn write(database: DatabaseConnection, mut waiting: mpsc::Receiver<Body>) {
    let (mut bodies, mut last_id) = (Vec::with_capacity(COMMIT_ROWS_MAX), 0);
    while waiting.recv_many(&mut bodies, COMMIT_ROWS_MAX).await > 0 {
        let first_id = last_id + 1;
        last_id += bodies.len() as i64;
        match commit(&database, first_id, &bodies).await {
            // Whoever does not wait any more need not be told.
            Ok(()) => bodies.drain(..).for_each(|body| body.kept.send(()).unwrap_or_default()),
            // Whoever waits is told by the end of its channel.
            Err(error) => {
                tracing::error!("could not keep {} bodies: {error}", bodies.len());
                bodies.clear();
            }
        }
    }
}

async fn commit(database: &DatabaseConnection, first_id: i64, bodies: &[Body]) -> Result<(), DbErr> {
    let rows = (first_id..).zip(bodies).map(|(id, body)| [id.into(), body.bytes.to_vec().into()]).collect();
    let transaction = database.begin().await?;
    execute_rows::<2>(&transaction, "INSERT INTO yardstick (id, body)", rows, "").await?;
    transaction.commit().await
}
