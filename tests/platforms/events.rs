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
//! {"from": "+919876500001", "at": 1790000200, "media_url": "…", "content": {"media": {"kind": "image"}}}
//! {"at": 1790000200, "unreadable": "why"}
//! ```
//!
//! Kinds without a key of their own stand under `content`, as [`NotedContent`] has them. `at` is in seconds; a `from` that is missing is a person who hides the number; with `"number_removed": true`
//! the business number is no longer configured.

use serde::Deserialize;
use serde_json::Value;
use wabridge::domain::{
    callback::{Event, EventDetail},
    failure::{Failure, FailureReason},
    ids::{Place, SenderKey},
    inbound::{InboundContact, InboundContent, InboundMedia, InboundMediaKind, InboundMessage, OrderItem},
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
    content: Option<NotedContent>,
    media_url: Option<String>,
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
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum NotedContent {
    ListReply { id: String, title: String, description: Option<String> },
    FlowReply { name: Option<String>, body: Option<String>, response: String },
    Media(NotedMedia),
    Contacts(Vec<NotedContact>),
    Reaction { emoji: Option<String> },
    Order { text: Option<String>, items: Vec<NotedItem> },
    NumberChanged { to: Option<String>, text: String },
    Unsupported { kind: Option<String> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NotedMedia {
    kind: InboundMediaKind,
    mime_type: Option<String>,
    caption: Option<String>,
    filename: Option<String>,
    failure: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NotedContact {
    name: String,
    phones: Vec<String>,
    emails: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NotedItem {
    product: String,
    quantity: String,
    price: Option<String>,
    currency: Option<String>,
}

impl NotedContent {
    fn into_content(self) -> InboundContent {
        match self {
            Self::ListReply { id, title, description } => InboundContent::ListReply { id, title, description },
            Self::FlowReply { name, body, response } => InboundContent::FlowReply { name, body, response },
            Self::Media(NotedMedia { kind, mime_type, caption, filename, failure }) => {
                let provider_media_id = failure.is_none().then(|| "900".to_owned());
                InboundContent::Media(InboundMedia { kind, provider_media_id, mime_type, caption, filename, failure })
            }
            Self::Contacts(contacts) => {
                let contact = |NotedContact { name, phones, emails }| InboundContact { name, phones, emails };
                InboundContent::Contacts { contacts: contacts.into_iter().map(contact).collect() }
            }
            Self::Reaction { emoji } => InboundContent::Reaction { to: "wamid.0".to_owned(), emoji },
            Self::Order { text, items } => {
                let item =
                    |NotedItem { product, quantity, price, currency }| OrderItem { product, quantity, price, currency };
                InboundContent::Order { catalog_id: None, text, items: items.into_iter().map(item).collect() }
            }
            Self::NumberChanged { to, text } => {
                InboundContent::NumberChanged { to: to.as_deref().and_then(PhoneNumber::from_international), text }
            }
            Self::Unsupported { kind } => InboundContent::Unsupported { kind, reason: "131051".to_owned() },
        }
    }
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
            told_before: false,
            media_url: self.media_url.clone(),
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
            from_name: None,
            occurred_at,
            replies_to: None,
            content: match (self.text, self.button, self.location, self.other, self.content) {
                (Some(body), None, None, None, None) => InboundContent::Text { body },
                (None, Some(NotedButton { payload, text }), None, None, None) => {
                    InboundContent::Button { payload, text }
                }
                (None, None, Some(location), None, None) => location.into_content(),
                (None, None, None, Some(kind), None) => InboundContent::Other { kind },
                (None, None, None, None, Some(content)) => content.into_content(),
                _ => panic!("an event has one of status, text, button, location, other, content and unreadable"),
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
