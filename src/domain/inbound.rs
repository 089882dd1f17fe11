//! A message from a person to one of our numbers.

use serde::{Deserialize, Serialize};

use super::{
    outbound::{Location, stored},
    phone::PhoneNumber,
    time::UnixMillis,
};

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

impl InboundMessage {
    /// The provider's id of the message that this one is about: the one that it replies to, or reacts to.
    pub fn is_about(&self) -> Option<&str> {
        let reacts_to = match &self.content {
            InboundContent::Reaction { to, .. } => Some(to.as_str()),
            InboundContent::Text { .. }
            | InboundContent::Button { .. }
            | InboundContent::ListReply { .. }
            | InboundContent::FlowReply { .. }
            | InboundContent::Location { .. }
            | InboundContent::Media(_)
            | InboundContent::Contacts { .. }
            | InboundContent::Order { .. }
            | InboundContent::NumberChanged { .. }
            | InboundContent::Unsupported { .. }
            | InboundContent::Other { .. } => None,
        };
        self.replies_to.as_deref().or(reacts_to)
    }

    /// The file that came with it, when the provider has it.
    pub fn file(&self) -> Option<(&InboundMedia, &str)> {
        match &self.content {
            InboundContent::Media(media) => media.provider_media_id.as_deref().map(|id| (media, id)),
            InboundContent::Text { .. }
            | InboundContent::Button { .. }
            | InboundContent::ListReply { .. }
            | InboundContent::FlowReply { .. }
            | InboundContent::Location { .. }
            | InboundContent::Contacts { .. }
            | InboundContent::Reaction { .. }
            | InboundContent::Order { .. }
            | InboundContent::NumberChanged { .. }
            | InboundContent::Unsupported { .. }
            | InboundContent::Other { .. } => None,
        }
    }
}

/// What a person sent. A kind that WhatsApp has and nobody can read yet is [`Other`](Self::Other).
#[derive(Clone, Debug, PartialEq)]
pub enum InboundContent {
    Text {
        body: String,
    },
    /// A quick-reply button, of a template or of an interactive message, was tapped.
    Button {
        payload: String,
        text: String,
    },
    /// An entry of a list was chosen.
    ListReply {
        id: String,
        title: String,
        description: Option<String>,
    },
    /// A form (WhatsApp Flow) was filled in.
    FlowReply {
        name: Option<String>,
        body: Option<String>,
        /// What was filled in: the form's own JSON, as text.
        response: String,
    },
    Location {
        location: Location,
        url: Option<String>,
    },
    Media(InboundMedia),
    Contacts {
        contacts: Vec<InboundContact>,
    },
    /// An emoji on a message, by the provider's id of that message; no emoji: it was taken back.
    Reaction {
        to: String,
        emoji: Option<String>,
    },
    Order {
        catalog_id: Option<String>,
        text: Option<String>,
        items: Vec<OrderItem>,
    },
    /// The person says through WhatsApp that the number changed.
    NumberChanged {
        to: Option<PhoneNumber>,
        /// WhatsApp's own sentence about it.
        text: String,
    },
    /// WhatsApp could not pass it on: what it was, and the provider's reason.
    Unsupported {
        kind: Option<String>,
        reason: String,
    },
    /// A kind that is kept and shown, but that this version has no words for: the provider's word for it.
    Other {
        kind: String,
    },
}

/// A picture, video, voice note or file, not yet fetched.
#[derive(Clone, Debug, PartialEq)]
pub struct InboundMedia {
    pub kind: InboundMediaKind,
    /// The provider's id, by which it can be fetched for some days; none when the provider could not get it.
    pub provider_media_id: Option<String>,
    pub mime_type: Option<String>,
    pub caption: Option<String>,
    pub filename: Option<String>,
    /// Why the provider has no file, when it said so.
    pub failure: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InboundMediaKind {
    Image,
    Video,
    Audio,
    /// An audio recorded in the chat.
    Voice,
    Document,
    Sticker,
}

stored!(InboundMediaKind {
    Image = 1 "image",
    Video = 2 "video",
    Audio = 3 "audio",
    Voice = 4 "voice",
    Document = 5 "document",
    Sticker = 6 "sticker",
});

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundContact {
    pub name: String,
    pub phones: Vec<String>,
    pub emails: Vec<String>,
}

/// Numbers as decimal text, as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderItem {
    pub product: String,
    pub quantity: String,
    pub price: Option<String>,
    pub currency: Option<String>,
}
