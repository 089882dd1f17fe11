//! Lines of the log about messages of ours before anything is reported of them: accepted, and taken by the provider.
//!
//! Webhooks alone hear of them. Where none of an account wants to, there are no such lines: the ordinary path of a message pays one
//! small reading for each batch that accepts, and no row.

use super::events::NewEvent;
use crate::domain::{
    callback::{EventKind, OutgoingStep},
    ids::{AccountKey, MessageId, SenderKey},
    time::UnixMillis,
};

/// Whether a webhook wants to hear such lines of message `m`: one look into an index, while that is read anyway. What this instance
/// has in memory of webhooks is older, and a message that was accepted just after one was made would not be told of.
pub(super) const IS_HEARD: &str = "CASE WHEN EXISTS (SELECT 1 FROM subscriptions AS s WHERE s.account = m.account AND s.kind = 4 \
     AND s.enabled) THEN TRUE ELSE FALSE END";

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
