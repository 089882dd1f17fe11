//! Lines of the log about messages of ours before anything is reported of them: accepted, and taken by the provider.
//!
//! Webhooks alone hear of them. Where none of an account wants to, there are no such lines: the ordinary path of a message pays one
//! small reading for each batch that accepts, and no row.

use std::collections::BTreeSet;

use sea_orm::DbErr;

use super::{DatabaseTransaction, events::NewEvent, query};
use crate::domain::{
    callback::{EventKind, OutgoingStep},
    ids::{AccountKey, MessageId, SenderKey},
    time::UnixMillis,
};

/// Whether a webhook wants to hear such lines of message `m`; it is asked while that is read anyway.
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

pub(super) async fn known(transaction: &DatabaseTransaction) -> Result<Known, DbErr> {
    let sql = "SELECT account AS key, TRUE AS listens FROM subscriptions WHERE kind = 4 AND enabled \
               UNION ALL SELECT key, FALSE AS listens FROM senders WHERE removed_at IS NOT NULL";
    let mut known = Known::default();
    for row in &query(transaction, sql, vec![]).await? {
        let key: i32 = row.try_get("", "key")?;
        match row.try_get("", "listens")? {
            true => drop(known.listening.insert(AccountKey(key))),
            false => drop(known.removed.insert(SenderKey(key))),
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
        entry: Some(step.as_str().to_owned()),
    }
}
