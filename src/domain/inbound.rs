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
    /// The name of the person's profile, where it came with the message. Read again from the log it is not known.
    pub from_name: Option<String>,
    pub occurred_at: UnixMillis,
    /// The provider's id of the message that this one replies to.
    pub replies_to: Option<String>,
    pub content: InboundContent,
}

impl InboundMessage {
    /// Whether it says that its sender deleted the message that it is about.
    pub fn is_deletion(&self) -> bool {
        matches!(&self.content, InboundContent::Other { kind } if kind == REVOKED)
    }

    /// Whether the person wrote it: who deletes a message, or of whom WhatsApp says that the number changed, writes none.
    pub fn is_written(&self) -> bool {
        !self.is_deletion() && !matches!(self.content, InboundContent::NumberChanged { .. })
    }

    /// Whether it is a tap on a quick-reply button: the only click that WhatsApp reports.
    pub fn is_tap(&self) -> bool {
        matches!(self.content, InboundContent::Button { .. })
    }

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

/// The kind of [`InboundContent::Other`] that says that its sender deleted a message: the one that it is about.
pub const REVOKED: &str = "revoke";

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

/// The words for kinds of content, as [`InboundContent::kind`] gives them.
pub const KINDS: [&str; 17] = [
    "text",
    "button",
    "list_reply",
    "flow_reply",
    "location",
    "image",
    "video",
    "audio",
    "voice",
    "document",
    "sticker",
    "contacts",
    "reaction",
    "order",
    "number_changed",
    "unsupported",
    "other",
];

impl InboundContent {
    /// One of [`KINDS`].
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Button { .. } => "button",
            Self::ListReply { .. } => "list_reply",
            Self::FlowReply { .. } => "flow_reply",
            Self::Location { .. } => "location",
            Self::Media(media) => media.kind.as_str(),
            Self::Contacts { .. } => "contacts",
            Self::Reaction { .. } => "reaction",
            Self::Order { .. } => "order",
            Self::NumberChanged { .. } => "number_changed",
            Self::Unsupported { .. } => "unsupported",
            Self::Other { .. } => "other",
        }
    }

    /// What a person reads in the chat, line by line; nothing for a file without words.
    pub fn words(&self) -> Vec<String> {
        match self {
            Self::Text { body } => vec![body.clone()],
            Self::Button { text, .. } => vec![text.clone()],
            Self::ListReply { title, description, .. } => {
                std::iter::once(title).chain(description).filter(|line| !line.is_empty()).cloned().collect()
            }
            Self::FlowReply { body, response, .. } => body.iter().cloned().chain(filled_in(response)).collect(),
            Self::Location { location, .. } => {
                let Location { latitude, longitude, name, address } = location;
                let named = name.iter().chain(address).filter(|line| !line.is_empty()).cloned();
                named.chain([format!("{latitude}, {longitude}")]).collect()
            }
            Self::Media(media) => media.caption.iter().chain(&media.filename).cloned().collect(),
            Self::Contacts { contacts } => contacts.iter().map(InboundContact::line).collect(),
            Self::Reaction { emoji, .. } => emoji.iter().cloned().collect(),
            Self::Order { text, items, .. } => items.iter().map(OrderItem::line).chain(text.clone()).collect(),
            Self::NumberChanged { text, .. } => vec![text.clone()],
            Self::Unsupported { reason, .. } => vec![reason.clone()],
            Self::Other { .. } => vec![],
        }
    }
}

impl InboundContact {
    fn line(&self) -> String {
        let parts = [&self.name].into_iter().chain(&self.phones).chain(&self.emails);
        parts.filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

impl OrderItem {
    fn line(&self) -> String {
        let currency = self.currency.as_deref().unwrap_or_default();
        let price = self.price.as_deref().map(|price| format!(" at {price} {currency}")).unwrap_or_default();
        format!("{} × {}{}", self.quantity, self.product, price.trim_end())
    }
}

/// A form's answers as `name: value`; what is no JSON object stays as it came. The token by which a form knows its own start
/// is nobody's answer.
fn filled_in(response: &str) -> Vec<String> {
    match serde_json::from_str(response) {
        Ok(serde_json::Value::Object(answers)) => {
            let told = answers.iter().filter(|(name, _)| *name != "flow_token");
            let plain = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            told.map(|(name, value)| format!("{name}: {}", plain(value))).collect()
        }
        Ok(_) | Err(_) => vec![response.to_owned()],
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_word_and_what_was_said_can_be_read() {
        let order = InboundContent::Order {
            catalog_id: None,
            text: Some("please wrap it".to_owned()),
            items: vec![OrderItem {
                product: "SKU-1".to_owned(),
                quantity: "2".to_owned(),
                price: Some("10.50".to_owned()),
                currency: Some("INR".to_owned()),
            }],
        };
        let form = InboundContent::FlowReply {
            name: None,
            body: None,
            response: r#"{"flow_token":"t","size":"M","age":7}"#.to_owned(),
        };
        let sticker = InboundContent::Media(InboundMedia {
            kind: InboundMediaKind::Sticker,
            provider_media_id: None,
            mime_type: None,
            caption: None,
            filename: None,
            failure: None,
        });

        assert_eq!(order.words(), ["2 × SKU-1 at 10.50 INR", "please wrap it"]);
        let mut answers = form.words();
        answers.sort();
        assert_eq!(answers, ["age: 7", "size: M"]);
        assert!(sticker.words().is_empty());
        for content in [order, form, sticker] {
            assert!(KINDS.contains(&content.kind()), "{}", content.kind());
        }
    }
}
