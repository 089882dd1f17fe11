//! What a request brings for a template, and the template that was filled with it.

use serde::Serialize;

use crate::domain::outbound::{Category, Location, MediaKind};

/// What a request brings for a template.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TemplateContent {
    pub name: String,
    /// The name that the platform sent, when the account has another template stand for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_for: Option<String>,
    /// As asked for, in the platform's spelling.
    pub language: String,
    pub header: Option<HeaderContent>,
    pub body: Vec<String>,
    /// The text as the platform rendered it.
    pub body_text: Option<String>,
    pub buttons: Vec<ButtonContent>,
    /// Milliseconds since the epoch.
    pub offer_expires_at_ms: Option<i64>,
    pub carousel: Option<Vec<CardContent>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CardContent {
    pub header: Option<HeaderContent>,
    pub body: Vec<String>,
    pub buttons: Vec<ButtonContent>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum HeaderContent {
    Text { parameters: Vec<String> },
    Media { kind: MediaKind, url: String, filename: Option<String> },
    Location(Location),
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ButtonContent {
    pub kind: ButtonContentKind,
    /// Not reliable: 0-based here, 1-based there, repeated elsewhere.
    pub index: Option<i64>,
    pub text: Option<String>,
    pub value: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum ButtonContentKind {
    DynamicUrl,
    StaticUrl,
    CallPhone,
    QuickReply,
    CopyCode,
    Other(String),
}

/// A template with everything that its provider wants to be given.
#[derive(Clone, Debug, PartialEq)]
pub struct FilledTemplate {
    pub name: String,
    pub language: String,
    pub category: Category,
    pub components: Vec<FilledComponent>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum FilledComponent {
    Header(FilledHeader),
    Body(Vec<FilledText>),
    Button { position: usize, value: FilledButton },
    LimitedTimeOffer { expires_at_ms: i64 },
    Carousel(Vec<Vec<FilledComponent>>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum FilledHeader {
    Text(FilledText),
    Media { kind: MediaKind, url: String, filename: Option<String> },
    Location(Location),
}

/// One parameter; `name` only where the template names its variables.
#[derive(Clone, Debug, PartialEq)]
pub struct FilledText {
    pub name: Option<String>,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum FilledButton {
    /// What stands in place of the URL's variable; also an authentication template's code.
    UrlSuffix(String),
    QuickReplyPayload(String),
    CouponCode(String),
}
