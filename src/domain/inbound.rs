//! A message from a person to one of our numbers.

use super::{outbound::Location, phone::PhoneNumber, time::UnixMillis};

#[derive(Clone, Debug, PartialEq)]
pub struct InboundMessage {
    /// The provider's id; unique per number, so a repeat is recognised by it.
    pub provider_message_id: String,
    /// The person's number, when the provider tells it. Since 2026 people may hide it.
    pub from: Option<PhoneNumber>,
    /// The provider's id of the person, when it has one.
    pub from_user_id: Option<String>,
    pub occurred_at: UnixMillis,
    /// The provider's id of the message that this one replies to.
    pub replies_to: Option<String>,
    pub content: InboundContent,
}

#[derive(Clone, Debug, PartialEq)]
pub enum InboundContent {
    Text {
        body: String,
    },
    /// A quick-reply button was tapped.
    Button {
        payload: String,
        text: String,
    },
    Location {
        location: Location,
        url: Option<String>,
    },
    /// A kind that is kept and shown, but cannot be relayed by this version: the provider's word for it.
    Other {
        kind: String,
    },
}
