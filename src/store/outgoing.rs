//! Lines of the log about messages of ours before anything is reported of them: accepted, and taken by the provider.
//!
//! Webhooks alone hear of them. Where none of an account wants to, there are no such lines: the ordinary path of a message pays one
//! small reading for each batch that accepts, and no row.

use std::collections::BTreeSet;

use sea_orm::{DbErr, Value};

use super::{DatabaseTransaction, events::NewEvent, query_rows};
use crate::domain::{
    callback::{EventKind, OutgoingStep},
    ids::{AccountKey, MessageId, SenderKey},
    time::UnixMillis,
};

/// Whether a webhook wants to hear such lines of message `m`: one look into an index, while that is read anyway. What this instance
/// has in memory of webhooks is older, and a message that was accepted just after one was made would not be told of.
pub(super) const IS_HEARD: &str = "CASE WHEN EXISTS (SELECT 1 FROM subscriptions AS s WHERE s.account = m.account AND s.kind = 4 \
     AND s.enabled) THEN TRUE ELSE FALSE END";

/// What a batch that accepts must know of the configuration as it is in the database now.
#[derive(Default)]
pub(super) struct Known {
    /// Accounts of which a webhook wants to hear such lines.
    pub(super) listening: BTreeSet<AccountKey>,
    /// Numbers that were removed, perhaps a moment ago: this instance may not have heard of it yet.
    pub(super) removed: BTreeSet<SenderKey>,
}

/// Asked of the numbers of the batch alone, and their accounts.
pub(super) async fn known(
    transaction: &DatabaseTransaction,
    numbers: impl Iterator<Item = (SenderKey, AccountKey)>,
) -> Result<Known, DbErr> {
    const HEAD: &str = "SELECT v.column1 AS sender, v.column2 AS account, \
         CASE WHEN EXISTS (SELECT 1 FROM senders AS n WHERE n.key = v.column1 AND n.removed_at IS NOT NULL) \
         THEN TRUE ELSE FALSE END AS removed, \
         CASE WHEN EXISTS (SELECT 1 FROM subscriptions AS s WHERE s.account = v.column2 AND s.kind = 4 AND s.enabled) \
         THEN TRUE ELSE FALSE END AS listens FROM (";
    let numbers: BTreeSet<(SenderKey, AccountKey)> = numbers.collect();
    let rows: Vec<[Value; 2]> =
        numbers.into_iter().map(|(sender, account)| [sender.0.into(), account.0.into()]).collect();
    let mut known = Known::default();
    for row in &query_rows(transaction, HEAD, rows, ") AS v WHERE v.column1 IS NOT NULL").await? {
        if row.try_get("", "removed")? {
            known.removed.insert(SenderKey(row.try_get("", "sender")?));
        }
        if row.try_get("", "listens")? {
            known.listening.insert(AccountKey(row.try_get("", "account")?));
        }
    }
    Ok(known)
}

/// A line that says how far a message came.
pub(super) fn line(
    (account, sender, message): (AccountKey, SenderKey, MessageId),
    step: OutgoingStep,
    at: UnixMillis,
) -> NewEvent {
    NewEvent {
        account,
        sender,
        kind: EventKind::Outgoing,
        message: Some(message),
        status: None,
        occurred_at: at,
        failure: None,
        provider_message_id: None,
        person: None,
        tapped: None,
        entry: Some(step.as_str().to_owned()),
    }
}
