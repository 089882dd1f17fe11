//! What WhatsApp's reasons are called where a carrier passes on words and no code, so that a reason means the same
//! whoever carries it.
//!
//! Only who has no code asks here: Meta changes its titles from month to month, and its codes stay. Carriers have words
//! of their own for some reasons, which stand beside Meta's.

use super::cloud_api::errors;
use crate::domain::failure::FailureReason as Reason;

/// The first line with a phrase that is in the text counts, so what is special stands before what is general.
const PHRASES: &[(Reason, &[&str])] = &[
    (Reason::Other, &["maintenance mode", "business-scoped"]),
    (Reason::Unreachable, &["allowed list", "allow list", "undeliverable", "not in whatsapp", "on whatsapp"]),
    (Reason::Credentials, &["number not registered", "certificate", "permission", "access denied", "access token"]),
    (Reason::OptedOut, &["opted out", "opted-out", "opt-out", "unsubscribed", "stopped marketing"]),
    (Reason::Blocklisted, &["recipient is blocked"]),
    (Reason::OutsideWindow, &["24 hour", "24-hour", "24hour", "session", "service window", "care window", "re-engag"]),
    (
        Reason::BlockedByProvider,
        &[
            "blocked",
            "account has been locked",
            "daily limit",
            "display name",
            "ecosystem",
            "experiment",
            "frequency limit",
            "limit exceeded",
            "misclassification",
            "payment issue",
            "restricted",
            "spam",
            "template is disabled",
            "template is paused",
        ],
    ),
    (Reason::TooManyToNumber, &["rate limit", "request limit", "too many requests", "too many messages"]),
    (
        Reason::Template,
        &["template", "parameter", "component", "language", "variable", "values", "message type", "media"],
    ),
    (Reason::InvalidNumber, &["phone", "recipient", "invalid number"]),
];

/// Why a message failed, by a code of Meta's where one came along, else by the words.
pub fn reason_of(code: Option<i64>, said: &str) -> Reason {
    match code.and_then(errors::row) {
        Some(row) => row.reason,
        None => reason_in(said).unwrap_or(Reason::Other),
    }
}

/// A code of Meta's in the text, as `(#131030)`, says more than the words.
fn reason_in(said: &str) -> Option<Reason> {
    let said = said.to_ascii_lowercase();
    if let Some(row) = code_in(&said).and_then(errors::row) {
        return Some(row.reason);
    }
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| said.contains(phrase));
    PHRASES.iter().find(|(_, phrases)| says(phrases)).map(|(reason, _)| *reason)
}

fn code_in(said: &str) -> Option<i64> {
    let (_, rest) = said.split_once("(#")?;
    rest.split_once(')')?.0.parse().ok()
}
