//! Requests that we did not accept: the first thing operators ask about.

use std::sync::Arc;

use sea_orm::{DbErr, Value};

use super::{DatabaseTransaction, execute_rows};
use crate::domain::{
    ids::{AccountKey, MessageIds},
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
