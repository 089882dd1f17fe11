//! A short notation for events, in the files of the examples: a list of objects such as
//!
//! ```json
//! {"message": "7|1790000000|20261120|7|0", "at": 1790000123, "status": "delivered"}
//! {"message": "…", "at": 1790000124, "status": "failed",
//!  "failure": {"reason": "unreachable", "code": 131026, "text": "…"}}
//! {"from": "+919876500001", "at": 1790000200, "quotes": "…", "text": "yes please"}
//! {"from": "+919876500001", "at": 1790000200, "button": {"payload": "yes", "text": "Yes"}}
//! {"from": "+919876500001", "at": 1790000200, "location": {"latitude": "19.0760", "longitude": "72.8777", "url": "…"}}
//! {"from": "+919876500001", "at": 1790000200, "other": "sticker"}
//! {"at": 1790000200, "unreadable": "why"}
//! ```
//!
//! `at` is in seconds; a `from` that is missing is a person who hides the number; with `"number_removed": true`
//! the business number is no longer configured.

use serde::Deserialize;
use serde_json::Value;
use wabridge::domain::{
    callback::{Event, EventDetail},
    failure::{Failure, FailureReason},
    ids::{Place, SenderKey},
    inbound::{InboundContent, InboundMessage},
    outbound::Location,
    phone::PhoneNumber,
    status::DeliveryStatus,
    time::UnixMillis,
};

pub(crate) fn read(file: &Value) -> Vec<Event> {
    let noted: Vec<Noted> = Deserialize::deserialize(file).expect("the events are in the notation");
    noted.into_iter().enumerate().map(|(index, event)| event.into_event(index)).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Noted {
    at: i64,
    message: Option<String>,
    status: Option<String>,
    failure: Option<NotedFailure>,
    from: Option<String>,
    quotes: Option<String>,
    text: Option<String>,
    button: Option<NotedButton>,
    location: Option<NotedLocation>,
    other: Option<String>,
    unreadable: Option<String>,
    #[serde(default)]
    number_removed: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NotedFailure {
    reason: String,
    code: Option<i64>,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NotedButton {
    payload: String,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NotedLocation {
    latitude: String,
    longitude: String,
    name: Option<String>,
    address: Option<String>,
    url: Option<String>,
}

impl Noted {
    fn into_event(self, index: usize) -> Event {
        let occurred_at = UnixMillis(self.at * 1000 + 999);
        let place = Place(i64::try_from(index).expect("a file has few events") + 1);
        Event {
            place,
            sender: SenderKey(1),
            sender_number: PhoneNumber::from_international("+918888001122").filter(|_| !self.number_removed),
            occurred_at,
            recorded_at: occurred_at,
            message: None,
            platform_message_id: self.message.clone().or(self.quotes.clone()),
            detail: self.into_detail(occurred_at),
        }
    }

    fn into_detail(self, occurred_at: UnixMillis) -> EventDetail {
        if let Some(why) = self.unreadable {
            return EventDetail::Unreadable { why };
        }
        if let Some(word) = &self.status {
            return EventDetail::Status { status: status(word), failure: self.failure.map(NotedFailure::into_failure) };
        }
        EventDetail::Inbound(Box::new(InboundMessage {
            provider_message_id: "wamid.1".to_owned(),
            from: self.from.as_deref().map(|text| PhoneNumber::from_international(text).expect("`from` is a number")),
            from_user_id: None,
            occurred_at,
            replies_to: None,
            content: match (self.text, self.button, self.location, self.other) {
                (Some(body), None, None, None) => InboundContent::Text { body },
                (None, Some(NotedButton { payload, text }), None, None) => InboundContent::Button { payload, text },
                (None, None, Some(location), None) => location.into_content(),
                (None, None, None, Some(kind)) => InboundContent::Other { kind },
                _ => panic!("an event has one of status, text, button, location, other and unreadable"),
            },
        }))
    }
}

impl NotedFailure {
    fn into_failure(self) -> Failure {
        Failure::new(reason(&self.reason), self.code, &self.text)
    }
}

impl NotedLocation {
    fn into_content(self) -> InboundContent {
        let Self { latitude, longitude, name, address, url } = self;
        InboundContent::Location { location: Location { latitude, longitude, name, address }, url }
    }
}

fn status(word: &str) -> DeliveryStatus {
    let all = (0..=i16::MAX).map_while(|code| DeliveryStatus::from_code(code + 1));
    all.into_iter().find(|status| status.as_str() == word).unwrap_or_else(|| panic!("{word} is no status"))
}

fn reason(word: &str) -> FailureReason {
    let mut all = (1..=i16::MAX).filter_map(FailureReason::from_code);
    all.find(|reason| reason.as_str() == word).unwrap_or_else(|| panic!("{word} is no reason"))
}
