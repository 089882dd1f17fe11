//! What Gallabox's answers mean. Only the success is documented: 202, with a status that says ACCEPTED and an id. Of errors
//! no list exists, so the HTTP status decides, then words that are plain enough; a code of Meta's own table, where one comes
//! along, says more than either.

use std::time::Duration;

use serde_json::Value;

use crate::{
    domain::failure::{Failure, FailureClass, FailureReason, Scope, SendFailure, Submitted},
    net::redact,
    providers::{cloud_api::errors, words::reason_of},
};

/// Who was told that it asks too often leaves Gallabox alone for so long.
pub(super) const THROTTLED_WAIT: Duration = Duration::from_secs(60);

/// What an answer to a send means. What can be read neither as a yes nor as a no may have sent the message.
pub(super) fn read_send(status: u16, body: &[u8]) -> Result<Submitted, SendFailure> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    if !(200..300).contains(&status) {
        return Err(refusal(status, &answer, body));
    }
    let word = answer["status"].as_str().map(str::trim);
    let id = answer["id"].as_str().or_else(|| answer["_id"].as_str()).filter(|id| !id.is_empty());
    match (word, id) {
        (Some(word), Some(id)) if word.eq_ignore_ascii_case("ACCEPTED") => {
            Ok(Submitted { provider_message_id: id.to_owned() })
        }
        (Some(word), _) if !word.eq_ignore_ascii_case("ACCEPTED") && !word.is_empty() => {
            let said = said(&answer).unwrap_or_else(|| "no reason".to_owned());
            let text = format!("HTTP {status} with the status {word}: {said}");
            let reason = reason_of(None, &said);
            Err(failure(FailureClass::GiveUp, Scope::Message, reason, &text))
        }
        (Some(_) | None, _) => Err(unknown(&format!("HTTP {status} without a status and an id"))),
    }
}

/// An answer of the other calls, for people.
pub(super) fn describe(status: u16, body: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    match said(&answer) {
        Some(text) => format!("HTTP {status}: {text}"),
        None => format!("HTTP {status} with a body that is not Gallabox's; is the connection's base_url right?"),
    }
}

fn refusal(status: u16, answer: &Value, body: &[u8]) -> SendFailure {
    // WhatsApp's own refusal, passed on.
    let code = answer.pointer("/error/code").and_then(number);
    if code.is_some_and(|code| errors::row(code).is_some()) {
        return errors::read_refusal(status, body);
    }
    let said = said(answer);
    let text = describe(status, body);
    let (class, scope, reason) = match (status, &said) {
        (502 | 504, _) | (500.., None) => return unknown(&text),
        (500.., Some(_)) => (FailureClass::Retry, Scope::Message, FailureReason::Other),
        (401 | 403, _) => (FailureClass::Hold, Scope::Connection, FailureReason::Credentials),
        (402, _) => (FailureClass::Hold, Scope::ProviderAccount, FailureReason::BlockedByProvider),
        (429, _) => (FailureClass::Slow, Scope::Connection, FailureReason::TooManyToNumber),
        (408, _) => (FailureClass::Retry, Scope::Message, FailureReason::Other),
        // Not a word of the API: the address is wrong, for every message alike.
        (300..=399, _) | (404 | 405, None) => (FailureClass::Hold, Scope::Connection, FailureReason::Other),
        (_, said) => {
            let (scope, reason) = by_words(said.as_deref().unwrap_or_default());
            let class = if scope == Scope::Number { FailureClass::Hold } else { FailureClass::GiveUp };
            (class, scope, reason)
        }
    };
    let wait = (status == 429).then_some(THROTTLED_WAIT);
    SendFailure { wait, ..failure(class, scope, reason, &text) }
}

/// What is meant by a sentence, where it is plain.
fn by_words(said: &str) -> (Scope, FailureReason) {
    let said = said.to_ascii_lowercase();
    let any = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if any(&["channel not found", "invalid channel", "channel does not exist", "channelid"]) {
        return (Scope::Number, FailureReason::Credentials);
    }
    (Scope::Message, reason_of(None, &said))
}

/// `message`, or `error` as a text or an object with one.
fn said(answer: &Value) -> Option<String> {
    let texts = ["/message", "/error/message", "/error", "/errors/0/message", "/errors/0/title"];
    let mut said = texts.iter().filter_map(|place| answer.pointer(place)?.as_str()).filter(|text| !text.is_empty());
    said.next().map(redact::text)
}

fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn failure(class: FailureClass, scope: Scope, reason: FailureReason, text: &str) -> SendFailure {
    SendFailure { class, scope, wait: None, tries_max: None, failure: Failure::new(reason, None, text) }
}

/// It may have been sent: only evidence or the account's policy can tell.
fn unknown(text: &str) -> SendFailure {
    failure(FailureClass::Unknown, Scope::Message, FailureReason::UnknownOutcome, text)
}
