//! What a message says, in the words of the native profile: a `type`, and beside it what that type has.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    inbound::{InboundContent, InboundMedia, InboundMediaKind},
    outbound::{self, Freeform, MediaKind},
};

/// What a person sent, or was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = WebhookContent)]
pub enum Content {
    Text {
        text: String,
    },
    /// A button was tapped.
    Button {
        payload: String,
        text: String,
    },
    /// An entry of a list was chosen.
    ListReply {
        id: String,
        title: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
    /// A form was filled in.
    FlowReply {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<String>,
        /// The form's own answers.
        #[schema(value_type = Object)]
        response: Value,
    },
    /// Degrees as decimal text.
    Location {
        latitude: String,
        longitude: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<String>,
    },
    Image(Media),
    Video(Media),
    Audio(Media),
    /// Recorded in the chat.
    Voice(Media),
    Document(Media),
    Sticker(Media),
    Contacts {
        contacts: Vec<Card>,
    },
    /// An emoji on a message; without an emoji it was taken back.
    Reaction {
        /// The provider's id of the message.
        to: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        emoji: Option<String>,
    },
    /// A cart.
    Order {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        catalog_id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        items: Vec<Item>,
    },
    /// WhatsApp says that the person has another number now.
    NumberChanged {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        text: String,
    },
    /// WhatsApp could not pass it on.
    Unsupported {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kind: Option<String>,
        reason: String,
    },
    /// A kind that this version has no words for: the provider's word for it.
    Other {
        kind: String,
    },
}

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookMedia)]
pub struct Media {
    /// Where a copy can be fetched; left out when the provider had no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// The provider's id of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_media_id: Option<String>,
    /// Why there is no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A contact that was shared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookCard)]
pub struct Card {
    pub name: String,
    pub phones: Vec<String>,
    pub emails: Vec<String>,
}

/// Numbers as decimal text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookItem)]
pub struct Item {
    pub product: String,
    pub quantity: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
}

/// A form's answers; what is no object stays a text under `text`.
fn answers(response: String) -> Value {
    match serde_json::from_str(&response) {
        Ok(Value::Object(answers)) => Value::Object(answers),
        Ok(_) | Err(_) => serde_json::json!({ "text": response }),
    }
}

impl Content {
    /// What a message of ours says; of a template the text as the platform showed it to its people, when it did.
    pub fn of_ours(content: &outbound::Content) -> Option<Self> {
        Some(match content {
            outbound::Content::Template(template) => Self::Text { text: template.body_text.clone()? },
            outbound::Content::Freeform(Freeform::Text { body }) => Self::Text { text: body.clone() },
            outbound::Content::Freeform(Freeform::Location(location)) => Self::Location {
                latitude: location.latitude.clone(),
                longitude: location.longitude.clone(),
                name: location.name.clone(),
                address: location.address.clone(),
                url: None,
            },
            outbound::Content::Freeform(Freeform::Media { kind, url, caption, filename }) => {
                let media = Media {
                    url: Some(url.clone()),
                    caption: caption.clone(),
                    filename: filename.clone(),
                    ..Media::default()
                };
                match kind {
                    MediaKind::Image => Self::Image(media),
                    MediaKind::Video => Self::Video(media),
                    MediaKind::Audio => Self::Audio(media),
                    MediaKind::Document => Self::Document(media),
                }
            }
        })
    }

    /// What came in, with the link to our copy of its file.
    pub fn of(content: &InboundContent, media_url: Option<&str>, size_bytes: Option<u64>) -> Self {
        match content.clone() {
            InboundContent::Text { body } => Self::Text { text: body },
            InboundContent::Button { payload, text } => Self::Button { payload, text },
            InboundContent::ListReply { id, title, description } => Self::ListReply { id, title, description },
            InboundContent::FlowReply { name, body, response } => {
                let response = answers(response);
                Self::FlowReply { name, body, response }
            }
            InboundContent::Location { location, url } => Self::Location {
                latitude: location.latitude,
                longitude: location.longitude,
                name: location.name,
                address: location.address,
                url,
            },
            InboundContent::Media(media) => Self::of_media(media, media_url, size_bytes),
            InboundContent::Contacts { contacts } => {
                let contacts = contacts.into_iter();
                let cards =
                    contacts.map(|shared| Card { name: shared.name, phones: shared.phones, emails: shared.emails });
                Self::Contacts { contacts: cards.collect() }
            }
            InboundContent::Reaction { to, emoji } => Self::Reaction { to, emoji },
            InboundContent::Order { catalog_id, text, items } => {
                let item = |item: super::inbound::OrderItem| Item {
                    product: item.product,
                    quantity: item.quantity,
                    price: item.price,
                    currency: item.currency,
                };
                Self::Order { catalog_id, text, items: items.into_iter().map(item).collect() }
            }
            InboundContent::NumberChanged { to, text } => {
                Self::NumberChanged { to: to.map(|number| number.as_e164().to_owned()), text }
            }
            InboundContent::Unsupported { kind, reason } => Self::Unsupported { kind, reason },
            InboundContent::Other { kind } => Self::Other { kind },
        }
    }

    fn of_media(came: InboundMedia, url: Option<&str>, size_bytes: Option<u64>) -> Self {
        let media = Media {
            url: url.map(str::to_owned),
            mime_type: came.mime_type,
            size_bytes,
            caption: came.caption,
            filename: came.filename,
            provider_media_id: came.provider_media_id,
            problem: came.failure,
        };
        match came.kind {
            InboundMediaKind::Image => Self::Image(media),
            InboundMediaKind::Video => Self::Video(media),
            InboundMediaKind::Audio => Self::Audio(media),
            InboundMediaKind::Voice => Self::Voice(media),
            InboundMediaKind::Document => Self::Document(media),
            InboundMediaKind::Sticker => Self::Sticker(media),
        }
    }

    /// The word that stands in `type`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Button { .. } => "button",
            Self::ListReply { .. } => "list_reply",
            Self::FlowReply { .. } => "flow_reply",
            Self::Location { .. } => "location",
            Self::Image(_) => "image",
            Self::Video(_) => "video",
            Self::Audio(_) => "audio",
            Self::Voice(_) => "voice",
            Self::Document(_) => "document",
            Self::Sticker(_) => "sticker",
            Self::Contacts { .. } => "contacts",
            Self::Reaction { .. } => "reaction",
            Self::Order { .. } => "order",
            Self::NumberChanged { .. } => "number_changed",
            Self::Unsupported { .. } => "unsupported",
            Self::Other { .. } => "other",
        }
    }

    /// The file, where it is one.
    pub const fn media(&self) -> Option<&Media> {
        match self {
            Self::Image(media)
            | Self::Video(media)
            | Self::Audio(media)
            | Self::Voice(media)
            | Self::Document(media)
            | Self::Sticker(media) => Some(media),
            Self::Text { .. }
            | Self::Button { .. }
            | Self::ListReply { .. }
            | Self::FlowReply { .. }
            | Self::Location { .. }
            | Self::Contacts { .. }
            | Self::Reaction { .. }
            | Self::Order { .. }
            | Self::NumberChanged { .. }
            | Self::Unsupported { .. }
            | Self::Other { .. } => None,
        }
    }

    /// What a person reads of it, on one line or several; nothing for a file without words.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Text { text } | Self::Button { text, .. } | Self::NumberChanged { text, .. } => Some(text.clone()),
            Self::ListReply { title, .. } => Some(title.clone()),
            Self::FlowReply { body, .. } => body.clone(),
            Self::Location { latitude, longitude, name, .. } => {
                Some(name.clone().unwrap_or_else(|| format!("{latitude}, {longitude}")))
            }
            Self::Contacts { contacts } => {
                Some(contacts.iter().map(|card| card.name.as_str()).collect::<Vec<_>>().join(", "))
            }
            Self::Reaction { emoji, .. } => emoji.clone(),
            Self::Order { text, .. } => text.clone(),
            Self::Unsupported { reason, .. } => Some(reason.clone()),
            Self::Image(_)
            | Self::Video(_)
            | Self::Audio(_)
            | Self::Voice(_)
            | Self::Document(_)
            | Self::Sticker(_)
            | Self::Other { .. } => self.media().and_then(|media| media.caption.clone()),
        }
    }
}
