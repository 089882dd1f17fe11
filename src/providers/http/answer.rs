//! What a carrier's answer means, by the operator's own tables: where the message's id and the errors stand, and what follows
//! from which error.

use serde_json::Value;

use super::lines::{Line, check_lines, check_pointer, lines, text_at, value};
use crate::{
    domain::{
        account::Connection,
        failure::{Failure, FailureClass, FailureReason, Scope, SendFailure, Submitted},
    },
    net::redact,
    providers::words::reason_of,
};

pub const ANSWER: &str = "answer";
pub const SUCCESS_STATUS: &str = "success_status";
pub const ERROR_MEANINGS: &str = "error_meanings";

/// A longer id is none.
const ID_CHARS_MAX: usize = 256;
/// What is shown of an answer that says nothing at the places that are named.
const EXCERPT_CHARS: usize = 200;

/// What follows from an error, in the words of the setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    TryAgain,
    Throttled,
    ThrottledConnection,
    Hold,
    Credentials,
    /// It may have been sent.
    Unknown,
    GiveUp(FailureReason),
}

/// Reasons that a carrier's word may have; the others are our own.
const REASONS: [FailureReason; 10] = [
    FailureReason::Template,
    FailureReason::InvalidNumber,
    FailureReason::NumberInactive,
    FailureReason::Unreachable,
    FailureReason::Blocklisted,
    FailureReason::DeviceIncapable,
    FailureReason::OutsideWindow,
    FailureReason::BlockedByProvider,
    FailureReason::OptedOut,
    FailureReason::Other,
];

const CONSEQUENCES: [(&str, Meaning); 6] = [
    ("try_again", Meaning::TryAgain),
    ("throttled", Meaning::Throttled),
    ("throttled_connection", Meaning::ThrottledConnection),
    ("hold", Meaning::Hold),
    ("credentials", Meaning::Credentials),
    ("unknown", Meaning::Unknown),
];

impl Meaning {
    fn parse(word: &str) -> Result<Self, String> {
        let consequence = CONSEQUENCES.iter().find(|(known, _)| *known == word).map(|(_, meaning)| *meaning);
        let reason = || REASONS.into_iter().find(|reason| reason.as_str() == word).map(Self::GiveUp);
        consequence.or_else(reason).ok_or_else(|| {
            let consequences = CONSEQUENCES.iter().map(|(word, _)| *word);
            let known = consequences.chain(REASONS.iter().map(|reason| reason.as_str())).collect::<Vec<_>>().join(", ");
            format!("{word:?} is not known here: use one of {known}")
        })
    }

    /// What an HTTP status and the words say when the table says nothing. A server that broke down may have sent the message.
    fn of(status: u16, said: &str) -> Self {
        match status {
            401 | 403 => Self::Credentials,
            429 => Self::Throttled,
            503 => Self::TryAgain,
            300..=399 | 405 => Self::Hold,
            408 | 500.. => Self::Unknown,
            _ => Self::GiveUp(reason_of(None, said)),
        }
    }

    fn reason(self) -> FailureReason {
        match self {
            Self::GiveUp(reason) => reason,
            Self::TryAgain => FailureReason::Unreachable,
            Self::Throttled | Self::ThrottledConnection => FailureReason::TooManyToNumber,
            Self::Hold => FailureReason::Other,
            Self::Credentials => FailureReason::Credentials,
            Self::Unknown => FailureReason::UnknownOutcome,
        }
    }

    fn failure(self, code: Option<&str>, text: &str) -> SendFailure {
        let (class, scope) = match self {
            Self::TryAgain => (FailureClass::Retry, Scope::Message),
            Self::Throttled => (FailureClass::Slow, Scope::Number),
            Self::ThrottledConnection => (FailureClass::Slow, Scope::Connection),
            Self::Hold | Self::Credentials => (FailureClass::Hold, Scope::Connection),
            Self::Unknown => (FailureClass::Unknown, Scope::Message),
            Self::GiveUp(_) => (FailureClass::GiveUp, Scope::Message),
        };
        SendFailure { class, scope, wait: None, tries_max: None, failure: told(self.reason(), code, text) }
    }
}

fn told(reason: FailureReason, code: Option<&str>, text: &str) -> Failure {
    let number = code.and_then(|code| code.parse().ok());
    match code.filter(|_| number.is_none()) {
        Some(word) => Failure::new(reason, None, &redact::text(&format!("{word}: {text}"))),
        None => Failure::new(reason, number, &redact::text(text)),
    }
}

/// What an answer to a send means.
pub fn read(connection: &Connection, status: u16, body: &[u8]) -> Result<Submitted, SendFailure> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let fields = connection.setting(ANSWER);
    let at = |name: &str| value(fields, name).and_then(|pointer| text_at(&answer, pointer));
    let said_yes = value(fields, "success").is_none_or(|rule| holds(&answer, rule));
    if is_success(connection.setting(SUCCESS_STATUS), status) && said_yes {
        return match at("id").filter(|id| id.chars().count() <= ID_CHARS_MAX) {
            Some(provider_message_id) => Ok(Submitted { provider_message_id }),
            None => {
                let place = value(fields, "id").unwrap_or_default();
                let text = format!("HTTP {status} without a message id at {place:?}: {}", excerpt(body));
                Err(Meaning::Unknown.failure(None, &text))
            }
        };
    }
    let code = at("error.code");
    let text = at("error.text").unwrap_or_else(|| format!("HTTP {status}: {}", excerpt(body)));
    let meaning = meaning_of(connection, code.as_deref(), Some(status)).unwrap_or_else(|| Meaning::of(status, &text));
    Err(meaning.failure(code.as_deref(), &text))
}

/// Why a message failed, as a webhook says it.
pub fn reported(connection: &Connection, code: Option<&str>, text: Option<&str>) -> Failure {
    let text = text.unwrap_or("the provider reported a failure without a reason");
    let reason = meaning_of(connection, code, None).map_or_else(|| reason_of(None, text), Meaning::reason);
    told(reason, code, text)
}

fn meaning_of(connection: &Connection, code: Option<&str>, status: Option<u16>) -> Option<Meaning> {
    let table = connection.setting(ERROR_MEANINGS);
    let by_code = code.and_then(|code| lines(table).find(|line| line.name.eq_ignore_ascii_case(code)));
    let fits = |line: &Line<'_>| {
        let wanted = line.name.strip_prefix("http:");
        wanted.zip(status).is_some_and(|(wanted, status)| fits_status(wanted, status))
    };
    let line = by_code.or_else(|| lines(table).find(fits))?;
    Meaning::parse(line.value).ok()
}

/// A pointer to what must be there, or `/status = ok`.
fn holds(answer: &Value, rule: &str) -> bool {
    match rule.split_once('=') {
        Some((pointer, wanted)) => text_at(answer, pointer.trim()).as_deref() == Some(wanted.trim()),
        None => text_at(answer, rule).is_some(),
    }
}

fn is_success(statuses: &str, status: u16) -> bool {
    statuses.split([',', ' ']).any(|wanted| fits_status(wanted.trim(), status))
}

/// `202`, or `2xx` for all of them.
fn fits_status(wanted: &str, status: u16) -> bool {
    match wanted.to_ascii_lowercase().strip_suffix("xx") {
        Some(hundreds) => hundreds.parse() == Ok(status / 100),
        None => wanted.parse() == Ok(status),
    }
}

fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() { "an empty answer".to_owned() } else { words.chars().take(EXCERPT_CHARS).collect() }
}

pub fn check_answer(text: &str) -> Result<(), String> {
    check_lines(text, |line| match line.name {
        "id" | "error.code" | "error.text" => check_pointer(line.value),
        "success" => check_pointer(line.value.split_once('=').map_or(line.value, |(pointer, _)| pointer.trim())),
        other => Err(format!("{other} is not known here: use one of id, error.code, error.text, success")),
    })
}

pub fn check_success_status(text: &str) -> Result<(), String> {
    let one = |word: &str| {
        let word = word.to_ascii_lowercase();
        let hundreds = ["2xx", "3xx", "4xx", "5xx"].contains(&word.as_str());
        hundreds || word.parse().is_ok_and(|status: u16| (200..600).contains(&status))
    };
    match text.split([',', ' ']).filter(|word| !word.is_empty()).all(one) {
        true => Ok(()),
        false => Err("must be HTTP statuses, like 2xx, or 200, 202".to_owned()),
    }
}

pub fn check_meanings(text: &str) -> Result<(), String> {
    check_lines(text, |line| {
        if let Some(status) = line.name.strip_prefix("http:") {
            check_success_status(status)?;
        }
        Meaning::parse(line.value).map(drop)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_checked_word_by_word() {
        assert_eq!(check_meanings("1013 invalid_number\nhttp:5xx try_again\nno_credit hold"), Ok(()));
        assert!(check_meanings("1013 wrong_number").is_err_and(|why| why.starts_with("line 1: \"wrong_number\" is")));
        assert!(check_meanings("http:teapot hold").is_err());
        assert_eq!(check_answer("id /id\nsuccess /status = ok\nerror.code /code"), Ok(()));
        assert!(check_answer("ids /id").is_err() && check_answer("success status = ok").is_err());
        assert_eq!(check_success_status("200, 202 3xx"), Ok(()));
        assert!(check_success_status("OK").is_err());
    }

    #[test]
    fn every_word_is_read_as_what_it_says() {
        for (word, meaning) in CONSEQUENCES {
            assert_eq!(Meaning::parse(word), Ok(meaning));
        }
        for reason in REASONS {
            assert_eq!(Meaning::parse(reason.as_str()), Ok(Meaning::GiveUp(reason)));
        }
    }
}
