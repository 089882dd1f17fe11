//! Somebody decides that one message is sent again: `domain::resend` says whether that is wise, the store begins it anew, and the
//! message's story and the audit log say who wanted it.

use serde_json::json;

use crate::{
    clock,
    domain::{
        operator::Actor,
        resend::{Resend, may_resend},
        time::UnixMillis,
    },
    net::redact,
    store::{Store, StoreError, audit::AuditEntry, configuration::Configuration, story::StoredMessage},
};

/// Reasons are kept with the message; longer ones are cut.
pub const REASON_CHARS_MAX: usize = 200;

/// Why it is not sent again.
#[derive(Debug, thiserror::Error)]
pub enum NotResent {
    #[error("{0}")]
    Never(&'static str),
    /// Somebody must say that it is meant.
    #[error("{0}")]
    Risky(&'static str),
    #[error("its account or its number was removed")]
    Removed,
    #[error("it has moved in this moment")]
    Moved,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether a message may be sent again as it stands.
pub fn judge(message: &StoredMessage) -> Resend {
    may_resend(message.state, message.delivery, message.failure.as_ref(), message.due_at.is_some())
}

/// Puts it into its number's queue once more; says until when it is tried. `force`: also when the person may get it twice.
pub async fn resend(
    store: &Store,
    configuration: &Configuration,
    actor: &Actor,
    message: &StoredMessage,
    (reason, force): (&str, bool),
) -> Result<UnixMillis, NotResent> {
    match judge(message) {
        Resend::Never(why) => return Err(NotResent::Never(why)),
        Resend::Risky(why) if !force => return Err(NotResent::Risky(why)),
        Resend::Risky(_) | Resend::Fine => {}
    }
    let account = configuration.accounts.iter().find(|account| account.key == message.account);
    let number = configuration.senders.iter().find(|sender| sender.key == message.sender);
    let (account, _) = account.zip(number).ok_or(NotResent::Removed)?;
    let expires_at = clock::now().plus(account.policy.expire_after.of(message.category));
    let reason: String = match reason.trim() {
        "" => "no reason was given".to_owned(),
        reason => reason.chars().take(REASON_CHARS_MAX).collect(),
    };
    let stood = standing(message);
    let note = format!("sent again by {} ({reason}); it was {stood}", actor.name);
    let entry = AuditEntry::new(actor, "resend message", message.id.to_string())
        .before(json!({"state": redact::text(&stood)}))
        .after(json!({"reason": reason, "expires_at": expires_at.to_string()}));
    match store.send_again(message, expires_at, &note, &entry).await? {
        true => Ok(expires_at),
        false => Err(NotResent::Moved),
    }
}

/// How it stood, in words.
fn standing(message: &StoredMessage) -> String {
    let delivery = message.delivery.map_or_else(String::new, |delivery| format!(", {}", delivery.as_str()));
    let failure = message.failure.as_ref().map_or_else(String::new, |failure| format!(": {}", failure.text));
    format!("{}{delivery}{failure}", message.state.as_str())
}
