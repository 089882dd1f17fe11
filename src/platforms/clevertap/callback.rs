//! Events into CleverTap's words: delivery reports, many in one request, and inbound messages, one in each.

use serde::Serialize;

use super::{inbound, is_test_id};
use crate::domain::{
    account::AccountPolicy,
    callback::{Event, EventDetail, EventKind, Rendered, Renderings},
    failure::{Failure, FailureReason},
    ids::{Place, SenderKey},
    inbound::{InboundContent, InboundMessage},
    phone::PhoneNumber,
    status::DeliveryStatus,
    time::UnixMillis,
};

/// CleverTap names no limit; this many are refused or taken together.
pub const STATUSES_PER_CALLBACK_MAX: usize = 100;
/// Larger requests are refused by gateways that nobody told of us.
pub const CALLBACK_BODY_BYTES_MAX: usize = 256 * 1024;

pub(super) fn render(policy: &AccountPolicy, events: &[Event]) -> Renderings {
    let mut renderings = Renderings::default();
    let mut report = Report::default();
    for (index, event) in events.iter().enumerate() {
        match speak(policy, event) {
            Words::Status(status) => {
                if !report.has_room_for(&status) {
                    report.finish(&mut renderings);
                }
                report.add(index, &status);
            }
            Words::Inbound(body) => {
                // What was said before it must also be sent before it.
                report.finish(&mut renderings);
                renderings.requests.push(Rendered { events: vec![index], body });
            }
            Words::None(reason) => renderings.unspeakable.push((index, reason)),
            Words::Silence => renderings.silent.push(index),
        }
    }
    report.finish(&mut renderings);
    renderings
}

/// What CleverTap is told of one event.
pub(super) enum Words {
    /// One element of `statuses`.
    Status(String),
    /// A request of its own.
    Inbound(String),
    /// It has no words for this, because …
    None(String),
    Silence,
}

fn speak(policy: &AccountPolicy, event: &Event) -> Words {
    match &event.detail {
        EventDetail::Status { status, failure } => speak_status(event, *status, failure.as_ref()),
        EventDetail::Inbound(message) => inbound::speak(policy, event, message),
        EventDetail::Notice(_) => Words::None("CleverTap has no words for what WhatsApp tells the business".to_owned()),
        EventDetail::Outgoing(_) => Words::None("CleverTap knows what it sent".to_owned()),
        EventDetail::Person(_) => Words::None("CleverTap keeps its own profiles".to_owned()),
        EventDetail::Unreadable { why } => Words::None(format!("the stored event cannot be read: {why}")),
    }
}

/// Statuses on their way into one request.
#[derive(Default)]
struct Report {
    events: Vec<usize>,
    statuses: String,
}

impl Report {
    const HEAD: &'static str = r#"{"payloadVersion":"0.1","statuses":["#;
    const TAIL: &'static str = "]}";

    fn has_room_for(&self, status: &str) -> bool {
        let bytes = Self::HEAD.len() + self.statuses.len() + 1 + status.len() + Self::TAIL.len();
        self.events.is_empty() || (self.events.len() < STATUSES_PER_CALLBACK_MAX && bytes <= CALLBACK_BODY_BYTES_MAX)
    }

    fn add(&mut self, index: usize, status: &str) {
        if !self.statuses.is_empty() {
            self.statuses.push(',');
        }
        self.statuses.push_str(status);
        self.events.push(index);
    }

    /// Moves what was gathered into a request and starts anew.
    fn finish(&mut self, renderings: &mut Renderings) {
        if self.events.is_empty() {
            return;
        }
        let Self { events, statuses } = std::mem::take(self);
        renderings.requests.push(Rendered { events, body: [Self::HEAD, &statuses, Self::TAIL].concat() });
    }
}

fn speak_status(event: &Event, status: DeliveryStatus, failure: Option<&Failure>) -> Words {
    let Some(msg_id) = event.platform_message_id.as_deref() else {
        return Words::None("the message is unknown to CleverTap: it was not sent for it".to_owned());
    };
    // CleverTap hears each status of a message once; a failure of a second send is another one.
    if is_test_id(msg_id) || event.told_before {
        return Words::Silence;
    }
    let error = (status == DeliveryStatus::Failed).then(|| CallbackError::from(failure));
    Words::Status(json(&Status { msg_id, status: word(status), timestamp: seconds(event.occurred_at), error }))
}

/// Whoever writes it is nobody: a number that exists only in CleverTap's own checks.
const NOBODY: &str = "+919870369294";
/// Our own words stand in brackets.
const TEST_WORDS: &str = "[test] wabridge tries this callback URL; nobody wrote this.";

/// Of no message: ids of CleverTap's have bars between their parts. Nothing is ever reported under its own tests' zeros.
const TEST_ID: &str = "wabridge-test";

/// A report on a message that does not exist, or a message that nobody wrote.
pub(super) fn render_test(
    policy: &AccountPolicy,
    kind: EventKind,
    number: &PhoneNumber,
    now: UnixMillis,
) -> Result<String, String> {
    match kind {
        EventKind::Status => {
            let (status, timestamp) = (word(DeliveryStatus::Delivered), seconds(now));
            let status = json(&Status { msg_id: TEST_ID, status, timestamp, error: None });
            Ok([Report::HEAD, &status, Report::TAIL].concat())
        }
        EventKind::Inbound => {
            let message = InboundMessage {
                provider_message_id: String::new(),
                from: PhoneNumber::from_international(NOBODY),
                from_user_id: None,
                from_name: None,
                occurred_at: now,
                replies_to: None,
                content: InboundContent::Text { body: TEST_WORDS.to_owned() },
            };
            let event = Event {
                place: Place(0),
                sender: SenderKey(0),
                sender_number: Some(number.clone()),
                occurred_at: now,
                recorded_at: now,
                message: None,
                platform_message_id: None,
                told_before: false,
                media_url: None,
                detail: EventDetail::Inbound(Box::new(message.clone())),
            };
            match inbound::speak(policy, &event, &message) {
                Words::Inbound(body) | Words::Status(body) => Ok(body),
                Words::None(why) => Err(why),
                Words::Silence => Err("CleverTap is told nothing of it".to_owned()),
            }
        }
        EventKind::Notice => Err("CleverTap hears of no notices".to_owned()),
        EventKind::Outgoing => Err("CleverTap knows what it sent".to_owned()),
        EventKind::Person => Err("CleverTap keeps its own profiles".to_owned()),
    }
}

fn word(status: DeliveryStatus) -> &'static str {
    match status {
        DeliveryStatus::Sent => "sent",
        DeliveryStatus::Failed => "failed",
        DeliveryStatus::Delivered => "delivered",
        DeliveryStatus::Read => "read",
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    msg_id: &'a str,
    status: &'static str,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<CallbackError>,
}

#[derive(Serialize)]
struct CallbackError {
    code: u16,
    title: String,
}

impl From<Option<&Failure>> for CallbackError {
    fn from(failure: Option<&Failure>) -> Self {
        let reason = failure.map_or(FailureReason::Other, |failure| failure.reason);
        Self { code: code_of(reason), title: title(failure) }
    }
}

/// What the provider said, because ten codes cannot.
fn title(failure: Option<&Failure>) -> String {
    match failure {
        Some(Failure { code: Some(theirs), text, .. }) => format!("{theirs}: {text}"),
        Some(Failure { code: None, text, .. }) if !text.is_empty() => text.clone(),
        Some(_) | None => "no reason was given".to_owned(),
    }
}

pub(super) fn code_of(reason: FailureReason) -> u16 {
    match reason {
        FailureReason::Credentials => 1000,
        FailureReason::Template => 1001,
        FailureReason::InvalidNumber => 1002,
        FailureReason::NumberInactive => 1003,
        FailureReason::TooManyToNumber => 1004,
        FailureReason::Unreachable => 1005,
        FailureReason::Blocklisted | FailureReason::OptedOut => 1006,
        FailureReason::DeviceIncapable => 1007,
        FailureReason::OutsideWindow => 1008,
        FailureReason::Expired | FailureReason::UnknownOutcome | FailureReason::Other | FailureReason::Cancelled => {
            1009
        }
        FailureReason::BlockedByProvider => 1010,
    }
}

/// Seconds since the epoch, as a string.
pub(super) fn seconds(moment: UnixMillis) -> String {
    moment.as_seconds().to_string()
}

pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts and numbers always become JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(text: &str) -> Event {
        Event {
            place: Place(1),
            sender: SenderKey(1),
            sender_number: PhoneNumber::from_international("+918888001122"),
            occurred_at: UnixMillis(1_790_000_123_999),
            recorded_at: UnixMillis(1_790_000_124_000),
            message: None,
            platform_message_id: Some("7|1790000000|20261120|7|0".to_owned()),
            told_before: false,
            media_url: None,
            detail: EventDetail::Status {
                status: DeliveryStatus::Failed,
                failure: Some(Failure::new(FailureReason::Other, None, text)),
            },
        }
    }

    fn requests(events: &[Event]) -> Vec<Rendered> {
        render(&AccountPolicy::default(), events).requests
    }

    #[test]
    fn a_report_carries_at_most_a_hundred_statuses() {
        let requests = requests(&vec![failed("no"); 2 * STATUSES_PER_CALLBACK_MAX + 1]);

        let sizes: Vec<usize> = requests.iter().map(|request| request.events.len()).collect();
        assert_eq!(sizes, [STATUSES_PER_CALLBACK_MAX, STATUSES_PER_CALLBACK_MAX, 1]);
        let in_order: Vec<usize> = requests.into_iter().flat_map(|request| request.events).collect();
        assert!(in_order.is_sorted());
    }

    #[test]
    fn a_report_keeps_its_size_however_much_its_texts_grow_in_json() {
        let requests = requests(&vec![failed(&"\u{1}".repeat(500)); STATUSES_PER_CALLBACK_MAX]);

        assert_eq!(requests.len(), 2);
        for request in requests {
            assert!(request.body.len() <= CALLBACK_BODY_BYTES_MAX);
            serde_json::from_str::<serde_json::Value>(&request.body).expect("a report is JSON");
        }
    }

    #[test]
    fn a_test_is_of_no_message_and_from_nobody() {
        let number = PhoneNumber::from_international("+918888001122").expect("a number");
        let policy = AccountPolicy::default();
        let test = |kind| render_test(&policy, kind, &number, UnixMillis(1_790_000_123_999));

        assert_eq!(
            test(EventKind::Status).as_deref(),
            Ok(
                r#"{"payloadVersion":"0.1","statuses":[{"msgId":"wabridge-test","status":"delivered","timestamp":"1790000123"}]}"#
            )
        );
        let inbound = test(EventKind::Inbound).expect("CleverTap has words for a text");
        assert!(inbound.contains(r#""from":"919870369294","wabaNumber":"918888001122""#), "{inbound}");
        assert!(inbound.contains(r#""body":"[test] "#), "{inbound}");
        assert!(test(EventKind::Notice).is_err());
    }

    #[test]
    fn a_failure_without_words_still_has_a_title() {
        let body = &requests(&[failed("")])[0].body;
        assert!(body.contains(r#""error":{"code":1009,"title":"no reason was given"}"#), "{body}");
    }
}
