//! What Meta's error codes mean for us: one table, for refusals at once and for failures reported later.
//!
//! The same codes come in the answer to a send and, minutes later, in a status webhook. For an answer all
//! of a row counts: class, scope and wait are the consequence. For a report only the reason does, because
//! a reported failure is final. Titles change from month to month, so nothing here reads them; they are
//! quoted to people.
//!
//! Source: Meta's pages on error codes (support/error-codes, groups, calling, block-users) and its
//! changelog, to June 2026; a few codes that those pages leave out are from other clients' sources.

use std::{borrow::Cow, time::Duration};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::text::Text;
use crate::{
    domain::failure::{FAILURE_TEXT_CHARS_MAX, Failure, FailureClass, FailureReason as Reason, Scope, SendFailure},
    net::redact,
};

/// What follows from a code, or from a range of them.
#[derive(Clone, Copy, Debug)]
pub struct CodeRow {
    pub first: i64,
    pub last: i64,
    pub class: FailureClass,
    pub scope: Scope,
    pub reason: Reason,
    /// At least this long before the next try.
    pub wait: Option<Duration>,
    /// Given up after so many tries.
    pub tries_max: Option<u8>,
}

/// Sorted, without overlaps: found by bisection.
pub static CODES: &[CodeRow] = &[
    hold(0, Scope::Connection, Reason::Credentials),
    // A wrong request as often as a fault of theirs.
    retry(1, Scope::Message, Reason::Other).at_most(4),
    retry(2, Scope::Connection, Reason::Other),
    hold(3, Scope::Connection, Reason::Credentials),
    // Counted per app, over minutes: trying at once only feeds the counter.
    slow(4, Scope::Connection).after_s(120),
    hold(10, Scope::Connection, Reason::Credentials),
    WRONG_NUMBER_ID,
    give_up(100, Reason::Template),
    hold(190, Scope::Connection, Reason::Credentials),
    hold(200, Scope::Connection, Reason::Credentials).to(299),
    hold(368, Scope::ProviderAccount, Reason::BlockedByProvider),
    slow(613, Scope::Connection).after_s(120),
    hold(1005, Scope::Number, Reason::Credentials),
    slow(80007, Scope::ProviderAccount).after_s(120),
    give_up(130403, Reason::Blocklisted),
    slow(130429, Scope::Number),
    give_up(130472, Reason::BlockedByProvider),
    give_up(130497, Reason::BlockedByProvider),
    retry(131000, Scope::Message, Reason::Other).at_most(6),
    hold(131005, Scope::Connection, Reason::Credentials),
    give_up(131008, Reason::Template).to(INVALID_VALUE),
    retry(131016, Scope::Connection, Reason::Other),
    give_up(131020, Reason::Other),
    give_up(131021, Reason::InvalidNumber),
    give_up(131026, Reason::Unreachable),
    give_up(131030, Reason::Unreachable),
    hold(131031, Scope::ProviderAccount, Reason::BlockedByProvider),
    hold(131037, Scope::Number, Reason::BlockedByProvider),
    give_up(131041, Reason::Other),
    hold(131042, Scope::ProviderAccount, Reason::BlockedByProvider),
    hold(131044, Scope::ProviderAccount, Reason::BlockedByProvider),
    hold(131045, Scope::Number, Reason::Credentials),
    give_up(131047, Reason::OutsideWindow),
    // People blocked or reported the number: it needs hours of rest and a person's judgement.
    hold(131048, Scope::Number, Reason::BlockedByProvider),
    // Since April 2026 trying this again is held against the whole business account.
    give_up(131049, Reason::BlockedByProvider),
    give_up(131050, Reason::OptedOut),
    give_up(131051, Reason::Template),
    give_up(131052, Reason::Other),
    // They could not fetch the file behind our link: a passing trouble of its host, or a wrong file for ever.
    retry(131053, Scope::Message, Reason::Template).at_most(3),
    swap(131055, Reason::Template),
    // How long that person is left alone grows with each refusal, so it is not said here.
    slow(131056, Scope::Pair),
    retry(131057, Scope::Number, Reason::Other).after_s(60),
    retry(CURSOR_EXPIRED, Scope::Message, Reason::Other),
    swap(131061, Reason::Template),
    give_up(131062, Reason::Other),
    swap(131063, Reason::Template),
    hold(131064, Scope::ProviderAccount, Reason::BlockedByProvider),
    give_up(131201, Reason::Other).to(131215),
    give_up(132000, Reason::Template).to(132012),
    // Paused or disabled. The message waits with the others of its template: a pause ends by itself.
    hold(132015, Scope::Template, Reason::BlockedByProvider).to(132016),
    give_up(132018, Reason::Template),
    hold(132068, Scope::Template, Reason::Template),
    // Ten messages an hour.
    retry(132069, Scope::Template, Reason::TooManyToNumber).after_s(360),
    hold(133000, Scope::Number, Reason::Credentials),
    retry(133004, Scope::Connection, Reason::Other),
    hold(133005, Scope::Number, Reason::Credentials).to(133010),
    retry(133015, Scope::Number, Reason::Credentials).after_s(300),
    hold(133016, Scope::Number, Reason::Credentials),
    hold(134011, Scope::ProviderAccount, Reason::Credentials),
    swap(134100, Reason::Template),
    // The marketing endpoint learns of new templates within ten minutes.
    retry(134101, Scope::Template, Reason::Template).after_s(600),
    hold(134102, Scope::Template, Reason::Template),
    give_up(135000, Reason::Template),
    // The person behind the number changed.
    give_up(137000, Reason::NumberInactive),
    give_up(138000, Reason::Other).to(138023),
    give_up(139000, Reason::Other).to(139004),
    give_up(139100, Reason::Other).to(139102),
    retry(139103, Scope::Message, Reason::Other),
    hold(139200, Scope::ProviderAccount, Reason::BlockedByProvider),
    give_up(147001, Reason::Other).to(147005),
    give_up(1752041, Reason::Other),
    give_up(2388000, Reason::Template).to(2388999),
    retry(2494100, Scope::Number, Reason::Other).after_s(120),
    give_up(2593107, Reason::Other).to(2593108),
];

/// A paging cursor is used up: start the listing again.
pub const CURSOR_EXPIRED: i64 = 131059;

/// A value is invalid, or the marketing endpoint does not know the template yet.
pub const INVALID_VALUE: i64 = 131009;

/// The path names no number that this token may use.
const WRONG_NUMBER_ID: CodeRow = hold(33, Scope::Number, Reason::Credentials);
/// Meta quotes the id in its own words, where it is masked as if it were somebody's number.
const WRONG_NUMBER_ID_TEXT: &str =
    "compare the number's phone_number_id with Meta's: this token reaches nothing by the one that is entered";

/// The row of a code.
pub fn row(code: i64) -> Option<&'static CodeRow> {
    let after = CODES.partition_point(|row| row.first <= code);
    CODES[..after].last().filter(|row| code <= row.last)
}

/// What follows from an answer that is not a success.
///
/// An error body that can be read proves that nothing was sent, whatever the HTTP status; a 5xx without one
/// proves nothing, and neither do a gateway's 502 and 504.
pub fn read_refusal(status: u16, body: &[u8]) -> SendFailure {
    let error = serde_json::from_slice::<RefusalBody<'_>>(body).ok().map(|body| body.error);
    match error {
        Some(error) if !matches!(status, 502 | 504) => {
            let CodeRow { class, scope, reason, wait, tries_max, .. } = consequence(status, &error);
            let failure = match error.is_no_such_object() {
                true => Failure::new(reason, error.code(), &format!("{WRONG_NUMBER_ID_TEXT}: {}", error.text())),
                false => error.failure(reason),
            };
            SendFailure { class, scope, wait, tries_max, failure }
        }
        Some(_) | None if status >= 500 => unknown(&format!("the provider answered with HTTP {status}")),
        Some(_) | None => {
            let CodeRow { class, scope, reason, wait, .. } = by_http_status(status, false);
            let text =
                format!("HTTP {status} with a body that is not the Cloud API's; is the connection's base_url right?");
            SendFailure { class, scope, wait, tries_max: None, failure: Failure::new(reason, None, &text) }
        }
    }
}

/// It may have been sent: only evidence or the account's policy can tell.
pub(super) fn unknown(text: &str) -> SendFailure {
    let failure = Failure::new(Reason::UnknownOutcome, None, text);
    SendFailure { class: FailureClass::Unknown, scope: Scope::Message, wait: None, tries_max: None, failure }
}

/// Why a message failed, from the `errors` of its status report.
pub fn read_report(errors: Option<&RawValue>) -> Failure {
    match errors.and_then(first_error) {
        Some(error) => error.failure(error.code().and_then(row).map_or(Reason::Other, |row| row.reason)),
        None => Failure::new(Reason::Other, None, "the provider reported a failure without a reason"),
    }
}

/// What the `errors` of anything in a webhook say: an array as documented, one object, or a bare text.
pub fn report_text(errors: &RawValue) -> String {
    let text = match first_error(errors) {
        Some(error) => match error.code() {
            Some(code) => format!("{} ({code})", error.text()),
            None => error.text(),
        },
        None => match serde_json::from_str::<Text<'_>>(errors.get()) {
            Ok(text) => redact::text(text.as_str()),
            Err(_) => "the provider gave no reason".to_owned(),
        },
    };
    text.chars().take(FAILURE_TEXT_CHARS_MAX).collect()
}

/// The code of the first of them.
pub fn report_code(errors: &RawValue) -> Option<i64> {
    first_error(errors)?.code()
}

fn first_error(errors: &RawValue) -> Option<WireError<'_>> {
    match serde_json::from_str::<Vec<WireError<'_>>>(errors.get()) {
        Ok(errors) => errors.into_iter().next(),
        Err(_) => serde_json::from_str(errors.get()).ok(),
    }
}

/// An error answer of the management calls, for people; and its code.
pub fn describe(status: u16, body: &[u8]) -> (Option<i64>, String) {
    match serde_json::from_slice::<RefusalBody<'_>>(body) {
        Ok(RefusalBody { error }) => (error.code(), format!("HTTP {status}: {}", error.text())),
        Err(_) => (None, format!("HTTP {status} with a body that is not the Cloud API's")),
    }
}

fn consequence(status: u16, error: &WireError<'_>) -> CodeRow {
    match error.code() {
        // Under its own code it would look like one message's wrong parameter, and fail a whole campaign one by one.
        _ if error.is_no_such_object() => WRONG_NUMBER_ID,
        Some(code) => row(code).copied().unwrap_or_else(|| by_http_status(status, error.is_transient())),
        None => by_http_status(status, error.is_transient()),
    }
}

/// For codes that no version of the table knew.
fn by_http_status(status: u16, transient: bool) -> CodeRow {
    match status {
        429 => slow(0, Scope::Number),
        500.. => retry(0, Scope::Message, Reason::Other),
        _ if transient => retry(0, Scope::Message, Reason::Other),
        401 => hold(0, Scope::Connection, Reason::Credentials),
        // Not a word of the API: the address is wrong, for every message alike.
        300..=399 => hold(0, Scope::Connection, Reason::Other),
        _ => give_up(0, Reason::Other),
    }
}

#[derive(Deserialize)]
struct RefusalBody<'a> {
    #[serde(borrow)]
    error: WireError<'a>,
}

/// The same object in answers and in webhooks. Everything may be missing.
#[derive(Deserialize)]
struct WireError<'a> {
    #[serde(borrow)]
    code: Option<Text<'a>>,
    error_subcode: Option<Text<'a>>,
    title: Option<Text<'a>>,
    message: Option<Text<'a>>,
    error_user_msg: Option<Text<'a>>,
    /// An object with `details`, or a bare string.
    error_data: Option<&'a RawValue>,
    is_transient: Option<&'a RawValue>,
}

impl WireError<'_> {
    fn code(&self) -> Option<i64> {
        number(self.code.as_ref())
    }

    /// Graph's way to say that an object is not there, or not for this token.
    fn is_no_such_object(&self) -> bool {
        const CODE: i64 = 100;
        const SUBCODE: i64 = 33;
        self.code() == Some(CODE) && number(self.error_subcode.as_ref()) == Some(SUBCODE)
    }

    fn is_transient(&self) -> bool {
        self.is_transient.is_some_and(|flag| flag.get() == "true")
    }

    fn failure(&self, reason: Reason) -> Failure {
        Failure::new(reason, self.code(), &self.text())
    }

    /// What they said, what it means in detail, and no secrets.
    fn text(&self) -> String {
        let said = [&self.title, &self.message].into_iter().flatten().map(Text::as_str).find(|text| !text.is_empty());
        let details = self.details().or(self.error_user_msg.as_ref().map(|text| text.as_str().into()));
        let text = match (said, details) {
            (Some(said), Some(details)) if !said.contains(&*details) => format!("{said}: {details}"),
            (Some(said), _) => said.to_owned(),
            (None, Some(details)) => details.into_owned(),
            (None, None) => "the provider gave no reason".to_owned(),
        };
        redact::text(&text)
    }

    fn details(&self) -> Option<Cow<'_, str>> {
        #[derive(Deserialize)]
        struct Details {
            details: Option<String>,
        }
        let raw = self.error_data?.get();
        let details = match serde_json::from_str::<String>(raw) {
            Ok(text) => Some(text),
            Err(_) => serde_json::from_str::<Details>(raw).ok()?.details,
        };
        details.filter(|text| !text.is_empty()).map(Cow::Owned)
    }
}

fn number(text: Option<&Text<'_>>) -> Option<i64> {
    text?.as_str().parse().ok()
}

const fn one(code: i64, class: FailureClass, scope: Scope, reason: Reason) -> CodeRow {
    CodeRow { first: code, last: code, class, scope, reason, wait: None, tries_max: None }
}

const fn retry(code: i64, scope: Scope, reason: Reason) -> CodeRow {
    one(code, FailureClass::Retry, scope, reason)
}

const fn slow(code: i64, scope: Scope) -> CodeRow {
    one(code, FailureClass::Slow, scope, Reason::TooManyToNumber)
}

const fn hold(code: i64, scope: Scope, reason: Reason) -> CodeRow {
    one(code, FailureClass::Hold, scope, reason)
}

const fn swap(code: i64, reason: Reason) -> CodeRow {
    one(code, FailureClass::Swap, Scope::Message, reason)
}

const fn give_up(code: i64, reason: Reason) -> CodeRow {
    one(code, FailureClass::GiveUp, Scope::Message, reason)
}

impl CodeRow {
    const fn to(mut self, last: i64) -> Self {
        self.last = last;
        self
    }

    const fn at_most(mut self, tries: u8) -> Self {
        self.tries_max = Some(tries);
        self
    }

    const fn after_s(mut self, seconds: u64) -> Self {
        self.wait = Some(Duration::from_secs(seconds));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rustfmt::skip]
    const PUBLISHED: &[i64] = &[
        0, 1, 2, 3, 4, 10, 33, 100, 190, 200, 250, 299, 368, 613, 1005, 80007, 130403, 130429, 130472, 130497, 131000,
        131005, 131008, 131009, 131016, 131020, 131021, 131026, 131030, 131031, 131037, 131041, 131042, 131044, 131045,
        131047, 131048, 131049, 131050, 131051, 131052, 131053, 131055, 131056, 131057, 131059, 131061, 131062, 131063,
        131064, 131201, 131202, 131203, 131204, 131205, 131206, 131207, 131208, 131209, 131210, 131211, 131212, 131213,
        131214, 131215, 132000, 132001, 132005, 132007, 132008, 132012, 132015, 132016, 132018, 132068, 132069, 133000,
        133004, 133005, 133006, 133008, 133009, 133010, 133015, 133016, 134011, 134100, 134101, 134102, 135000, 137000,
        138000, 138023, 139000, 139004, 139100, 139101, 139102, 139103, 139200, 147001, 147005, 1752041, 2388019,
        2388039, 2388040, 2388047, 2388072, 2388073, 2388293, 2388299, 2494100, 2593107, 2593108,
    ];

    #[test]
    fn every_published_code_has_a_row() {
        for code in PUBLISHED {
            assert!(row(*code).is_some(), "{code} is published and has no row");
        }
    }

    #[test]
    fn the_table_is_sorted_and_names_no_code_twice() {
        assert!(CODES.iter().all(|row| row.first <= row.last));
        for pair in CODES.windows(2) {
            assert!(pair[0].last < pair[1].first, "{} and {}", pair[0].first, pair[1].first);
        }
    }

    #[test]
    fn a_code_between_the_rows_has_none() {
        for code in [-1, 5, 300, 131010, 132014, 2_389_000, i64::MAX] {
            assert!(row(code).is_none(), "{code}");
        }
    }

    fn refused(status: u16, body: &str) -> (FailureClass, Scope, Option<i64>, String) {
        let refusal = read_refusal(status, body.as_bytes());
        (refusal.class, refusal.scope, refusal.failure.code, refusal.failure.text)
    }

    #[test]
    fn an_unknown_code_is_judged_by_the_http_status() {
        use FailureClass::*;
        let body = r#"{"error":{"message":"new","code":999999}}"#;
        let transient = r#"{"error":{"message":"new","code":999999,"is_transient":true}}"#;
        for (status, body, class, scope) in [
            (400, body, GiveUp, Scope::Message),
            (400, transient, Retry, Scope::Message),
            (401, body, Hold, Scope::Connection),
            (429, body, Slow, Scope::Number),
            (500, body, Retry, Scope::Message),
            (503, body, Retry, Scope::Message),
            (302, "", Hold, Scope::Connection),
            (429, "busy", Slow, Scope::Number),
            (404, "<html>", GiveUp, Scope::Message),
            (500, "<html>", Unknown, Scope::Message),
            (503, "", Unknown, Scope::Message),
            (502, body, Unknown, Scope::Message),
            (504, body, Unknown, Scope::Message),
        ] {
            let (got_class, got_scope, ..) = refused(status, body);
            assert_eq!((got_class, got_scope), (class, scope), "HTTP {status} with {body}");
        }
    }

    #[test]
    fn details_may_be_an_object_a_string_or_absent() {
        for (error_data, text) in [
            (r#","error_data":{"details":"why"}"#, "what: why"),
            (r#","error_data":"why""#, "what: why"),
            (r#","error_data":{"details":"what"}"#, "what"),
            (r#","error_data":{"messaging_product":"whatsapp"}"#, "what"),
            (r#","error_data":[1]"#, "what"),
            ("", "what"),
        ] {
            let body = format!(r#"{{"error":{{"message":"what","code":"100"{error_data}}}}}"#);

            assert_eq!(refused(400, &body), (FailureClass::GiveUp, Scope::Message, Some(100), text.to_owned()));
        }
    }

    #[test]
    fn secrets_in_the_providers_words_are_masked() {
        let body =
            r#"{"error":{"message":"token EAAGm0PX4ZCpsBAKZCZAfFkeLmZB is invalid for +919876500001","code":190}}"#;

        assert_eq!(refused(401, body).3, "token … is invalid for 91********01");
    }

    #[test]
    fn a_wrong_number_id_stops_the_number_and_not_message_after_message() {
        let body = r#"{"error":{"message":"Unsupported post request","code":100,"error_subcode":33}}"#;

        let (class, scope, _, text) = refused(400, body);

        assert_eq!((class, scope), (FailureClass::Hold, Scope::Number));
        assert_eq!(text, format!("{WRONG_NUMBER_ID_TEXT}: Unsupported post request"));
    }
}
