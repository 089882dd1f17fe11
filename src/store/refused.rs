//! Requests that we did not accept: the first thing operators ask about.

use std::sync::Arc;

use sea_orm::{DbErr, QueryResult, Value};

use super::{DatabaseTransaction, Doing, Store, StoreError, execute_rows, query, story::Refused};
use crate::domain::{
    ids::{AccountKey, MessageId, MessageIds},
    time::UnixMillis,
};

/// A request and our answer to it.
#[derive(Debug)]
pub struct RefusedRequest {
    pub account: AccountKey,
    /// Why, as one word.
    pub kind: &'static str,
    pub platform_message_id: Option<String>,
    /// As it came.
    pub request: Vec<u8>,
    pub answer: String,
}

pub(super) async fn keep(
    transaction: &DatabaseTransaction,
    refused: &[&RefusedRequest],
    ids: &Arc<MessageIds>,
    now: UnixMillis,
) -> Result<(), DbErr> {
    let rows: Vec<[Value; 6]> = refused
        .iter()
        .map(|refused| {
            [
                ids.next(now).0.into(),
                refused.account.0.into(),
                refused.kind.into(),
                refused.platform_message_id.clone().into(),
                refused.request.clone().into(),
                refused.answer.clone().into(),
            ]
        })
        .collect();
    let head = "INSERT INTO refused_requests (id, account, kind, platform_message_id, request, answer)";
    execute_rows(transaction, head, rows, "").await.map(drop)
}

/// The newest refusals of any kind that are gone through for those of a template.
const LOOKED_AT_MAX: usize = 2_000;
/// A longer request is no template that somebody wants to mend.
const REQUEST_BYTES_MAX: usize = 64 * 1024;

impl Store {
    /// Requests of these accounts that were refused for their template, the newest first: `limit` at most, among the newest of all.
    pub async fn refused_for_templates(
        &self,
        accounts: &[AccountKey],
        limit: usize,
    ) -> Result<Vec<Refused>, StoreError> {
        if accounts.is_empty() {
            return Ok(vec![]);
        }
        let accounts = accounts.iter().map(|account| account.0.to_string()).collect::<Vec<_>>().join(",");
        let sql = format!(
            "SELECT r.id, r.account, r.kind, r.answer, r.request FROM (SELECT id FROM (SELECT id, account, kind \
             FROM refused_requests ORDER BY id DESC LIMIT {LOOKED_AT_MAX}) AS newest \
             WHERE kind = 'template' AND account IN ({accounts}) ORDER BY id DESC LIMIT {limit}) AS page \
             JOIN refused_requests AS r ON r.id = page.id WHERE length(r.request) <= {REQUEST_BYTES_MAX} ORDER BY r.id DESC"
        );
        let rows = query(self.reader(), sql, vec![]).await;
        rows.and_then(|rows| rows.iter().map(refused).collect()).doing("look through refused requests")
    }
}

/// Reads a row of `id, account, kind, answer, request`.
pub(super) fn refused(row: &QueryResult) -> Result<Refused, DbErr> {
    let request: Vec<u8> = row.try_get("", "request")?;
    Ok(Refused {
        at: MessageId(row.try_get("", "id")?).made_at(),
        account: AccountKey(row.try_get("", "account")?),
        kind: row.try_get("", "kind")?,
        answer: row.try_get("", "answer")?,
        request: String::from_utf8_lossy(&request).into_owned(),
    })
}
