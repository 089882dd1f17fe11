//! A message as the examples write it.

use serde::Deserialize;
use wabridge::domain::{
    outbound::{Category, Freeform, Location, MediaKind, OutboundMessage, SendBody},
    phone::PhoneNumber,
    template::{FilledButton, FilledComponent, FilledHeader, FilledTemplate, FilledText},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExampleMessage {
    #[serde(default = "example_id")]
    id: String,
    #[serde(default = "example_recipient")]
    to: String,
    body: ExampleBody,
    conversation: Option<String>,
}

fn example_id() -> String {
    "msg_00000000000a1".to_owned()
}

fn example_recipient() -> String {
    "+919876500001".to_owned()
}

/// For examples in which the message does not matter.
impl Default for ExampleMessage {
    fn default() -> Self {
        Self {
            id: example_id(),
            to: example_recipient(),
            body: ExampleBody::Text("hello".to_owned()),
            conversation: None,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ExampleBody {
    Template(ExampleTemplate),
    Text(String),
    Media(ExampleMedia),
    Location(ExampleLocation),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExampleTemplate {
    name: String,
    language: String,
    category: String,
    #[serde(default)]
    components: Vec<ExampleComponent>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ExampleComponent {
    TextHeader(ExampleText),
    MediaHeader(ExampleMedia),
    LocationHeader(ExampleLocation),
    Body(Vec<ExampleText>),
    UrlButton(usize, String),
    QuickReplyButton(usize, String),
    CopyCodeButton(usize, String),
    OfferEndsAtMs(i64),
    Carousel(Vec<Vec<ExampleComponent>>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ExampleText {
    Positional(String),
    Named { name: String, text: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExampleMedia {
    kind: MediaKind,
    url: String,
    caption: Option<String>,
    filename: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExampleLocation {
    latitude: String,
    longitude: String,
    name: Option<String>,
    address: Option<String>,
}

impl ExampleMessage {
    pub(crate) fn into_message(self) -> OutboundMessage {
        OutboundMessage {
            id: self.id.parse().expect("the example's id is one of ours"),
            to: PhoneNumber::from_international(&self.to).expect("the example's recipient is a number"),
            conversation: self.conversation,
            body: match self.body {
                ExampleBody::Template(template) => SendBody::Template(template.filled()),
                ExampleBody::Text(body) => SendBody::Freeform(Freeform::Text { body }),
                ExampleBody::Location(location) => SendBody::Freeform(Freeform::Location(location.location())),
                ExampleBody::Media(ExampleMedia { kind, url, caption, filename }) => {
                    SendBody::Freeform(Freeform::Media { kind, url, caption, filename })
                }
            },
        }
    }
}

impl ExampleTemplate {
    fn filled(self) -> FilledTemplate {
        let categories = [Category::Authentication, Category::Utility, Category::Marketing];
        FilledTemplate {
            name: self.name,
            language: self.language,
            category: categories
                .into_iter()
                .find(|category| category.as_str() == self.category)
                .expect("the example's category is one that templates have"),
            components: self.components.into_iter().map(ExampleComponent::filled).collect(),
        }
    }
}

impl ExampleComponent {
    fn filled(self) -> FilledComponent {
        let button = |position, value| FilledComponent::Button { position, value };
        match self {
            Self::TextHeader(text) => FilledComponent::Header(FilledHeader::Text(text.filled())),
            Self::MediaHeader(ExampleMedia { kind, url, filename, .. }) => {
                FilledComponent::Header(FilledHeader::Media { kind, url, filename })
            }
            Self::LocationHeader(location) => FilledComponent::Header(FilledHeader::Location(location.location())),
            Self::Body(texts) => FilledComponent::Body(texts.into_iter().map(ExampleText::filled).collect()),
            Self::UrlButton(position, text) => button(position, FilledButton::UrlSuffix(text)),
            Self::QuickReplyButton(position, text) => button(position, FilledButton::QuickReplyPayload(text)),
            Self::CopyCodeButton(position, text) => button(position, FilledButton::CouponCode(text)),
            Self::OfferEndsAtMs(expires_at_ms) => FilledComponent::LimitedTimeOffer { expires_at_ms },
            Self::Carousel(cards) => {
                let card = |card: Vec<Self>| card.into_iter().map(Self::filled).collect();
                FilledComponent::Carousel(cards.into_iter().map(card).collect())
            }
        }
    }
}

impl ExampleText {
    fn filled(self) -> FilledText {
        match self {
            Self::Positional(text) => FilledText { name: None, text },
            Self::Named { name, text } => FilledText { name: Some(name), text },
        }
    }
}

impl ExampleLocation {
    fn location(self) -> Location {
        let Self { latitude, longitude, name, address } = self;
        Location { latitude, longitude, name, address }
    }
}
