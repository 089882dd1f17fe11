//! What was said between us and a provider about tests, word for word.

use sea_orm::{DbErr, QueryResult, Value};

use super::{Doing, Store, StoreError, execute_rows, query};
use crate::domain::{ids::MessageId, time::UnixMillis};

/// A request about a test, and what came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestExchange {
    pub started_at: UnixMillis,
    pub took_ms: i32,
    pub url: String,
    /// JSON.
    pub request: String,
    /// `None`: no answer came.
    pub http_status: Option<i16>,
    /// As it came; without an answer, why there is none.
    pub answer: String,
}

/// Requests of one test that are shown; each try makes one or two.
const SHOWN_MAX: usize = 20;

impl Store {
    pub async fn keep_test_exchanges(&self, message: MessageId, exchanges: &[TestExchange]) -> Result<(), StoreError> {
        let doing = "keep what was said about a test";
        let row = |exchange: &TestExchange| -> [Value; 7] {
            [
                message.0.into(),
                exchange.started_at.0.into(),
                exchange.took_ms.into(),
                exchange.url.as_str().into(),
                exchange.request.as_str().into(),
                exchange.http_status.into(),
                exchange.answer.as_str().into(),
            ]
        };
        let rows = exchanges.iter().map(row).collect();
        let transaction = self.begin().await.doing(doing)?;
        let head = "INSERT INTO test_exchanges (message, started_at, took_ms, url, request, http_status, answer)";
        execute_rows(&transaction, head, rows, " ON CONFLICT (message, started_at) DO NOTHING").await.doing(doing)?;
        transaction.commit().await.doing(doing)
    }

    /// What was said about a message, in order; nothing when it was no test.
    pub async fn test_exchanges(&self, message: MessageId) -> Result<Vec<TestExchange>, StoreError> {
        let sql = format!(
            "SELECT started_at, took_ms, url, request, http_status, answer FROM test_exchanges \
             WHERE message = $1 ORDER BY started_at LIMIT {SHOWN_MAX}"
        );
        let rows = query(self.reader(), sql, vec![message.0.into()]).await;
        let read = |row: &QueryResult| -> Result<TestExchange, DbErr> {
            Ok(TestExchange {
                started_at: UnixMillis(row.try_get("", "started_at")?),
                took_ms: row.try_get("", "took_ms")?,
                url: row.try_get("", "url")?,
                request: row.try_get("", "request")?,
                http_status: row.try_get("", "http_status")?,
                answer: row.try_get("", "answer")?,
            })
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read what was said about a test")
    }
}
