//! Stopping a connection or a number, and letting it go on: the same for the console, the API and the command line.
//!
//! Whoever asks holds it, also where a provider’s answer did before. A hold writes nothing to messages. Those of a held number stay in its queue, are still accepted, and expire in their time.

use serde_json::json;

use super::{
    operators::{Refusal, require},
    queue::REASON_CHARS_MAX,
};
use crate::{
    clock,
    domain::{
        account::{Connection, Hold, Sender},
        operator::{Actor, Permission},
    },
    store::{Store, audit::AuditEntry, holds::Holdable},
};

/// What is to be stopped or released.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    Connection(&'a Connection),
    Number(&'a Sender),
}

impl Target<'_> {
    /// As the audit log names it.
    pub fn subject(self) -> String {
        match self {
            Self::Connection(connection) => format!("connection {}", connection.id),
            Self::Number(sender) => format!("number {}", sender.number.as_e164()),
        }
    }

    pub fn hold(&self) -> Option<&Hold> {
        match self {
            Self::Connection(connection) => connection.hold.as_ref(),
            Self::Number(sender) => sender.hold.as_ref(),
        }
    }

    fn holdable(self) -> Holdable {
        match self {
            Self::Connection(connection) => Holdable::Connection(connection.key),
            Self::Number(sender) => Holdable::Number(sender.key),
        }
    }
}

/// Stops it. `false`: a person held it for this reason already.
pub async fn hold(store: &Store, actor: &Actor, target: Target<'_>, reason: &str) -> Result<bool, Refusal> {
    require(actor, Permission::ManageQueues)?;
    let reason = checked_reason(reason)?;
    let action = match target {
        Target::Connection(_) => "hold connection",
        Target::Number(_) => "hold number",
    };
    let entry = AuditEntry::new(actor, action, target.subject())
        .before(json!({"on_hold": target.hold().map(|hold| &hold.reason)}))
        .after(json!({"on_hold": reason}));
    let hold = Hold { since: clock::now(), reason: reason.to_owned(), by: Some(actor.name.clone()) };
    Ok(store.hold(target.holdable(), &hold, &entry).await?)
}

/// Lets it go on, a connection with all its numbers. `false`: nothing held it.
pub async fn release(store: &Store, actor: &Actor, target: Target<'_>) -> Result<bool, Refusal> {
    require(actor, Permission::ManageQueues)?;
    let action = match target {
        Target::Connection(_) => "release connection",
        Target::Number(_) => "release number",
    };
    let entry = AuditEntry::new(actor, action, target.subject())
        .before(json!({"on_hold": target.hold().map(|hold| &hold.reason)}))
        .after(json!({"on_hold": null}));
    Ok(store.release(target.holdable(), &entry).await? > 0)
}

fn checked_reason(reason: &str) -> Result<&str, Refusal> {
    let reason = reason.trim();
    let length = reason.chars().count();
    if (1..=REASON_CHARS_MAX).contains(&length) && !reason.contains(char::is_control) {
        return Ok(reason);
    }
    let text = format!("say why, in 1 to {REASON_CHARS_MAX} characters of one line, for those who look at it later");
    Err(Refusal::Invalid { field: "reason", text })
}
