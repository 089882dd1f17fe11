//! What a carrier's answer to a send means. WhatsApp's own errors come through as Meta wrote them; a carrier's own
//! have shapes of their own, and are judged by their HTTP status.

use serde_json::Value;

use crate::{
    domain::failure::{Failure, FailureClass, FailureReason, Scope, SendFailure, Submitted},
    net::redact,
    providers::{
        cloud_api::{errors, send::read_send},
        words::reason_of,
    },
};

pub(super) fn read_answer(status: u16, body: &[u8]) -> Result<Submitted, SendFailure> {
    if (200..300).contains(&status) {
        return read_send(status, body);
    }
    let (code, _) = errors::describe(status, body);
    let failure = match code {
        Some(_) => errors::read_refusal(status, body),
        None => by_status(status, body),
    };
    Err(without_another_endpoint(failure))
}

/// There is one endpoint: what would have to go by Meta's other one cannot be sent here.
fn without_another_endpoint(failure: SendFailure) -> SendFailure {
    match failure.class {
        FailureClass::Swap => SendFailure { class: FailureClass::GiveUp, ..failure },
        FailureClass::Retry
        | FailureClass::Slow
        | FailureClass::Hold
        | FailureClass::GiveUp
        | FailureClass::Unknown => failure,
    }
}

fn by_status(status: u16, body: &[u8]) -> SendFailure {
    use {FailureClass as Class, FailureReason as Reason};
    let said = said(body);
    let (class, scope, reason) = match status {
        401 | 403 => (Class::Hold, Scope::Connection, Reason::Credentials),
        // Not a word about the message: the address or the path style is wrong, for every message alike.
        300..=399 | 404 | 405 => (Class::Hold, Scope::Connection, Reason::Other),
        408 | 500.. => (Class::Unknown, Scope::Message, Reason::UnknownOutcome),
        429 => (Class::Slow, Scope::Number, Reason::TooManyToNumber),
        _ => (Class::GiveUp, Scope::Message, reason_of(None, &said)),
    };
    let text = format!("the carrier answered with HTTP {status}{said}");
    SendFailure { class, scope, wait: None, tries_max: None, failure: Failure::new(reason, None, &text) }
}

/// The carrier's words, where they are found: carriers have no common shape for them.
pub(super) fn said(body: &[u8]) -> String {
    const PLACES: [&str; 9] = [
        "/error/message",
        "/meta/developer_message",
        "/errors/0/details",
        "/errors/0/message",
        "/errors/0/title",
        "/message",
        "/detail",
        "/error",
        "/description",
    ];
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return String::new() };
    let words = PLACES.iter().find_map(|place| value.pointer(place)?.as_str()).filter(|words| !words.is_empty());
    words.map_or(String::new(), |words| format!(": {}", redact::text(words)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, body: &str) -> SendFailure {
        read_answer(status, body.as_bytes()).expect_err("it is a refusal")
    }

    #[test]
    fn whatsapps_own_codes_come_through() {
        let failure = refused(400, r#"{"error":{"message":"(#131047) Re-engagement message","code":131047}}"#);
        assert_eq!((failure.class, failure.failure.reason), (FailureClass::GiveUp, FailureReason::OutsideWindow));
    }

    #[test]
    fn a_carriers_own_errors_are_judged_by_their_status() {
        use FailureClass::*;
        let own = r#"{"meta":{"success":false,"http_code":401,"developer_message":"Invalid api key"}}"#;
        for (status, class, scope) in [
            (400, GiveUp, Scope::Message),
            (401, Hold, Scope::Connection),
            (403, Hold, Scope::Connection),
            (404, Hold, Scope::Connection),
            (429, Slow, Scope::Number),
            (500, Unknown, Scope::Message),
            (502, Unknown, Scope::Message),
        ] {
            let failure = refused(status, own);
            assert_eq!((failure.class, failure.scope), (class, scope), "{status}");
            assert!(failure.failure.text.ends_with(": Invalid api key"), "{}", failure.failure.text);
        }
    }

    #[test]
    fn what_needs_another_endpoint_is_given_up() {
        let failure = refused(400, r#"{"error":{"message":"not here","code":131055}}"#);
        assert_eq!(failure.class, FailureClass::GiveUp);
    }
}
