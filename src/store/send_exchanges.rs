//! What was said between us and a provider about messages: word for word of tests and of tries that were not taken; of what was taken
//! the answer, and what is needed to know the request again.

use sea_orm::{DbErr, QueryResult, Value};
use sha2::{Digest, Sha256};

use super::{DatabaseTransaction, Doing, Store, StoreError, execute_rows, query};
use crate::domain::{ids::MessageId, time::UnixMillis};

/// A request about a message, and what came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendExchange {
    /// The try that it belongs to; `None` before it is stored.
    pub attempt: Option<i16>,
    pub started_at: UnixMillis,
    pub took_ms: i32,
    /// Scheme and host alone.
    pub url: String,
    /// JSON, as a rule; a long one is cut.
    pub request: String,
    /// `None`: no answer came.
    pub http_status: Option<i16>,
    /// As it came, a long one cut; without an answer, why there is none.
    pub answer: String,
}

/// What is kept of a try.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// When the provider took the message.
    pub taken: Option<Taken>,
    /// Word for word, where that is kept.
    pub exchanges: Vec<SendExchange>,
}

/// What is kept of every try that ended with the provider taking the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub request_hash: i64,
    /// As it came, a long one cut.
    pub answer: String,
}

/// By which a request that is built again is known to be what was sent.
pub fn request_hash(body: &[u8]) -> i64 {
    let digest = Sha256::digest(body);
    let (first, _) = digest.split_first_chunk::<8>().expect("a digest has 32 bytes");
    i64::from_be_bytes(*first)
}

/// Requests of one message that are shown; each try makes one or two.
const SHOWN_MAX: usize = 40;

const COLUMNS: usize = 8;

pub(super) fn row(message: MessageId, attempt: i16, exchange: &SendExchange) -> [Value; COLUMNS] {
    [
        message.0.into(),
        exchange.started_at.0.into(),
        exchange.took_ms.into(),
        exchange.url.as_str().into(),
        exchange.request.as_str().into(),
        exchange.http_status.into(),
        exchange.answer.as_str().into(),
        attempt.into(),
    ]
}

pub(super) async fn insert(transaction: &DatabaseTransaction, rows: Vec<[Value; COLUMNS]>) -> Result<(), DbErr> {
    let head = "INSERT INTO send_exchanges (message, started_at, took_ms, url, request, http_status, answer, attempt)";
    execute_rows(transaction, head, rows, " ON CONFLICT (message, started_at) DO NOTHING").await.map(drop)
}

impl Store {
    /// What was said about a message and is kept word for word, in order.
    pub async fn send_exchanges(&self, message: MessageId) -> Result<Vec<SendExchange>, StoreError> {
        let sql = format!(
            "SELECT attempt, started_at, took_ms, url, request, http_status, answer FROM send_exchanges \
             WHERE message = $1 ORDER BY started_at LIMIT {SHOWN_MAX}"
        );
        let rows = query(self.reader(), sql, vec![message.0.into()]).await;
        let read = |row: &QueryResult| -> Result<SendExchange, DbErr> {
            Ok(SendExchange {
                attempt: row.try_get("", "attempt")?,
                started_at: UnixMillis(row.try_get("", "started_at")?),
                took_ms: row.try_get("", "took_ms")?,
                url: row.try_get("", "url")?,
                request: row.try_get("", "request")?,
                http_status: row.try_get("", "http_status")?,
                answer: row.try_get("", "answer")?,
            })
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read what was said about a message")
    }

    /// What is kept of the try with which a provider took the message; `None` when none did, and of messages that an earlier version sent.
    pub async fn taken(&self, message: MessageId) -> Result<Option<Taken>, StoreError> {
        let sql = "SELECT request_hash, answer FROM outbound_messages WHERE id = $1";
        let rows = query(self.reader(), sql, vec![message.0.into()]).await;
        let taken = rows.and_then(|rows| rows.first().map(taken).transpose());
        taken.map(Option::flatten).doing("read what a provider said to a message")
    }
}

pub(super) fn taken(row: &QueryResult) -> Result<Option<Taken>, DbErr> {
    let request_hash: Option<i64> = row.try_get("", "request_hash")?;
    let answer: Option<String> = row.try_get("", "answer")?;
    Ok(request_hash.zip(answer).map(|(request_hash, answer)| Taken { request_hash, answer }))
}
