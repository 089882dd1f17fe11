//! What CommBox answers: an envelope with a status of its own, often as text, and for a send one entry for each recipient,
//! whose status alone counts.

use serde_json::Value;

use crate::{
    domain::failure::{Failure, FailureClass, FailureReason, Scope, SendFailure, Submitted},
    net::redact,
    providers::words::reason_of,
};

/// What became of the message to the one recipient.
pub(super) fn read_answer(status: u16, body: &[u8], recipient: &str) -> Result<Submitted, SendFailure> {
    let envelope: Value = serde_json::from_slice(body).unwrap_or_default();
    let entries = envelope["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_ours = |entry: &&Value| digits(&text(&entry["recipient"])) == recipient;
    let entry = entries.iter().find(is_ours).or(if entries.len() == 1 { entries.first() } else { None });
    let Some(entry) = entry else { return Err(by_status(effective(status, &envelope), &envelope)) };
    let own = number(&entry["status"]).unwrap_or(status);
    if (200..300).contains(&own) {
        let id = text(&entry["id"]);
        return match id.is_empty() {
            false => Ok(Submitted { provider_message_id: id }),
            true => Err(unknown("CommBox took the message and gave no id for it")),
        };
    }
    let said = text(&entry["failed"]);
    let words = if said.is_empty() { text(&envelope["description"]) } else { said };
    if matches!(own, 429 | 500..) {
        return Err(by_status(own, &envelope));
    }
    let reason = reason_of(None, &words);
    Err(refusal(FailureClass::GiveUp, Scope::Message, reason, &format!("CommBox: {}", redact::text(&words))))
}

/// What became of a text in a conversation: there is one, so the envelope alone says it.
pub(super) fn read_child(status: u16, body: &[u8]) -> Result<Submitted, SendFailure> {
    let envelope: Value = serde_json::from_slice(body).unwrap_or_default();
    let status = effective(status, &envelope);
    if status == 404 {
        let text =
            format!("CommBox does not know the conversation any more (HTTP 404{}): send a template", said(&envelope));
        return Err(refusal(FailureClass::GiveUp, Scope::Message, FailureReason::OutsideWindow, &text));
    }
    if !(200..300).contains(&status) {
        return Err(by_status(status, &envelope));
    }
    let data = &envelope["data"];
    let id = [&data["id"], &data[0]["id"], &data["Id"]].into_iter().map(text).find(|id| !id.is_empty());
    id.map(|id| Submitted { provider_message_id: id })
        .ok_or_else(|| unknown("CommBox took the message and gave no id for it"))
}

/// The sentence for people when an answer is not a success.
pub(super) fn failed(status: u16, body: &[u8]) -> Option<String> {
    let envelope: Value = serde_json::from_slice(body).unwrap_or_default();
    let effective = effective(status, &envelope);
    (!(200..300).contains(&effective)).then(|| format!("HTTP {effective}{}", said(&envelope)))
}

/// The envelope's own status, where the HTTP status says that all is well.
fn effective(status: u16, envelope: &Value) -> u16 {
    match number(&envelope["status"]) {
        Some(own) if (200..300).contains(&status) && (200..600).contains(&own) => own,
        Some(_) | None => status,
    }
}

fn by_status(status: u16, envelope: &Value) -> SendFailure {
    use {FailureClass as Class, FailureReason as Reason};
    let (class, scope, reason) = match status {
        200..300 => return unknown("CommBox answered without an entry for the recipient"),
        401 | 403 => (Class::Hold, Scope::Connection, Reason::Credentials),
        // The channel's id, or the address.
        404 => (Class::Hold, Scope::Number, Reason::Credentials),
        300..=399 => (Class::Hold, Scope::Connection, Reason::Other),
        429 => (Class::Slow, Scope::Number, Reason::TooManyToNumber),
        408 | 500.. => return unknown(&format!("CommBox answered with HTTP {status}{}", said(envelope))),
        _ => (Class::GiveUp, Scope::Message, reason_of(None, &text(&envelope["description"]))),
    };
    refusal(class, scope, reason, &format!("CommBox answered with HTTP {status}{}", said(envelope)))
}

fn said(envelope: &Value) -> String {
    match text(&envelope["description"]).as_str() {
        "" => String::new(),
        words => format!(": {}", redact::text(words)),
    }
}

fn refusal(class: FailureClass, scope: Scope, reason: FailureReason, text: &str) -> SendFailure {
    SendFailure { class, scope, wait: None, tries_max: None, failure: Failure::new(reason, None, text) }
}

fn unknown(text: &str) -> SendFailure {
    refusal(FailureClass::Unknown, Scope::Message, FailureReason::UnknownOutcome, text)
}

/// A scalar, which may be a text or a number.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

fn number(value: &Value) -> Option<u16> {
    text(value).parse().ok()
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}
