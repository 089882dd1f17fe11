//! WhatsApp templates: what is approved, what a request brings, and which of the one is meant by the other.
//!
//! A request names a template and a language, both typed by a person into a platform's form; WhatsApp
//! wants its own spelling, and only an approved translation can be sent. [`resolve`] finds it. Whether
//! the request then brings what the template needs is the business of [`fill`](super::fill).

mod content;
mod resolve;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::{
    content::{
        ButtonContent, ButtonContentKind, CardContent, FilledButton, FilledComponent, FilledHeader, FilledTemplate,
        FilledText, HeaderContent, TemplateContent,
    },
    resolve::{Resolved, Unresolved, resolve},
};
use super::{
    outbound::{Category, MediaKind},
    words::counted,
};

/// One approved (or not) translation of a template, as its provider lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Template {
    /// The provider's id.
    pub provider_id: String,
    pub name: String,
    /// The provider's own code, for example `en_US`.
    pub language: String,
    pub status: TemplateStatus,
    pub category: TemplateCategory,
    pub components: TemplateComponents,
    /// For how long WhatsApp tries to deliver it, in seconds, as listed: -1 is the longest; `None` is the category's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_live_s: Option<i64>,
}

impl Template {
    /// Are its variables named? Platforms know positions only.
    pub fn has_names(&self) -> bool {
        let components = &self.components;
        let cards = components.carousel.as_deref().unwrap_or_default();
        let headers = components.header.iter().chain(cards.iter().filter_map(|card| card.header.as_ref()));
        let bodies = std::iter::once(&components.body).chain(cards.iter().map(|card| &card.body));
        let texts = headers.filter_map(TemplateHeader::text).chain(bodies);
        texts.flat_map(|text| &text.variables).any(|variable| matches!(variable, Variable::Name(_)))
    }
}

impl TemplateComponents {
    /// What a request must bring for them, in words: two templates with the same words can be filled by the same requests.
    pub fn shape(&self) -> String {
        let header = match &self.header {
            None => "no header".to_owned(),
            Some(TemplateHeader::Text(text)) => format!("a text header with {}", variables(text)),
            Some(TemplateHeader::Media(MediaKind::Image)) => "an image header".to_owned(),
            Some(TemplateHeader::Media(MediaKind::Video)) => "a video header".to_owned(),
            Some(TemplateHeader::Media(MediaKind::Audio)) => "an audio header".to_owned(),
            Some(TemplateHeader::Media(MediaKind::Document)) => "a document header".to_owned(),
            Some(TemplateHeader::Location) => "a location header".to_owned(),
            Some(TemplateHeader::Other(word)) => format!("a header of kind {word}"),
        };
        let buttons: Vec<&str> = self.buttons.iter().map(|button| button.kind.word()).collect();
        let buttons =
            if buttons.is_empty() { "no buttons".to_owned() } else { format!("buttons {}", buttons.join(", ")) };
        let mut shape = format!("{header}, {} in the body, {buttons}", variables(&self.body));
        for card in self.carousel.as_deref().unwrap_or_default() {
            let card = Self {
                header: card.header.clone(),
                body: card.body.clone(),
                buttons: card.buttons.clone(),
                ..Self::default()
            };
            shape = format!("{shape}; a card with {}", card.shape());
        }
        if self.limited_time_offer.is_some() { format!("{shape}; an offer that ends") } else { shape }
    }
}

fn variables(text: &TemplateText) -> String {
    counted(text.variables.len() as u64, "variable", "variables")
}

impl TemplateButtonKind {
    fn word(&self) -> &str {
        match self {
            Self::DynamicUrl { .. } => "URL with a variable",
            Self::StaticUrl { .. } => "URL",
            Self::CallPhone { .. } => "call",
            Self::QuickReply => "quick reply",
            Self::CopyCode => "copy code",
            Self::OneTimePassword => "one-time password",
            Self::Other { word } => word,
        }
    }
}

/// A template, and its provider's own entry in the listing, which says more than sending needs.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedTemplate {
    pub template: Template,
    /// JSON, as it came.
    pub listing: String,
}

/// What a listing says to people, beyond what sending needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TemplateListing {
    /// How people take it, in the provider's word; `None` when nobody can tell yet.
    pub quality: Option<String>,
    pub rejected_reason: Option<String>,
    /// The values that it was approved with; empty ones where the listing has none.
    pub examples: TemplateContent,
}

/// An open set: what we do not know is kept as it is written, and cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TemplateStatus {
    Approved,
    Paused,
    Disabled,
    Pending,
    Rejected,
    #[serde(untagged)]
    Other(String),
}

impl fmt::Display for TemplateStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Approved => "approved",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
            Self::Pending => "pending",
            Self::Rejected => "rejected",
            Self::Other(word) => word,
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TemplateCategory {
    Authentication,
    Utility,
    Marketing,
    #[serde(untagged)]
    Other(String),
}

impl TemplateStatus {
    /// The provider's word.
    pub fn word(&self) -> &str {
        match self {
            Self::Approved => "APPROVED",
            Self::Paused => "PAUSED",
            Self::Disabled => "DISABLED",
            Self::Pending => "PENDING",
            Self::Rejected => "REJECTED",
            Self::Other(word) => word,
        }
    }
}

impl TemplateCategory {
    /// The provider's word.
    pub fn word(&self) -> &str {
        match self {
            Self::Authentication => "AUTHENTICATION",
            Self::Utility => "UTILITY",
            Self::Marketing => "MARKETING",
            Self::Other(word) => word,
        }
    }

    /// A category that we do not know is treated with the least haste.
    pub fn category(&self) -> Category {
        match self {
            Self::Authentication => Category::Authentication,
            Self::Utility => Category::Utility,
            Self::Marketing | Self::Other(_) => Category::Marketing,
        }
    }
}

/// What must be given to send a template. Derived from the provider's listing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TemplateComponents {
    pub header: Option<TemplateHeader>,
    pub body: TemplateText,
    pub footer: Option<String>,
    /// In the template's order, those without anything to fill too: they count in the index.
    pub buttons: Vec<TemplateButton>,
    /// The offer's text.
    pub limited_time_offer: Option<String>,
    /// One entry a card.
    pub carousel: Option<Vec<TemplateCard>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TemplateCard {
    pub header: Option<TemplateHeader>,
    pub body: TemplateText,
    pub buttons: Vec<TemplateButton>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateHeader {
    Text(TemplateText),
    Media(MediaKind),
    Location,
    /// A format that we cannot fill, in the provider's word.
    Other(String),
}

impl TemplateHeader {
    fn text(&self) -> Option<&TemplateText> {
        match self {
            Self::Text(text) => Some(text),
            Self::Media(_) | Self::Location | Self::Other(_) => None,
        }
    }
}

/// A text and the variables in it, in order of appearance, each once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TemplateText {
    pub text: String,
    pub variables: Vec<Variable>,
}

impl TemplateText {
    /// Finds the variables of a text. Whatever stands in double braces and is neither a number nor a
    /// name is text.
    pub fn parse(text: String) -> Self {
        let mut variables = Vec::new();
        for variable in placeholders(&text).filter_map(Variable::parse) {
            if !variables.contains(&variable) {
                variables.push(variable);
            }
        }
        Self { text, variables }
    }

    /// Which of the values a variable is replaced by, from 0: by its number, or, when it has a name, in order of appearance.
    pub fn place_of(&self, variable: &Variable) -> Option<usize> {
        let lower =
            |other: &&Variable| matches!((other, variable), (Variable::Position(a), Variable::Position(b)) if a < b);
        let appears = self.variables.iter().position(|other| other == variable)?;
        Some(match variable {
            Variable::Position(_) => self.variables.iter().filter(lower).count(),
            Variable::Name(_) => appears,
        })
    }
}

/// A part of a text: what always stands there, or what a variable is replaced by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TextPiece<'a> {
    Fixed(&'a str),
    Variable(Variable),
}

/// A text, taken apart at its variables.
pub(super) fn pieces(text: &str) -> Vec<TextPiece<'_>> {
    let mut pieces = Vec::new();
    let mut fixed_from = 0;
    for (at, _) in text.match_indices("{{") {
        let inside = &text[at + 2..];
        let variable = inside.split_once("}}").and_then(|(inside, _)| Some((inside.len(), Variable::parse(inside)?)));
        if let Some((length, variable)) = variable {
            pieces.push(TextPiece::Fixed(&text[fixed_from..at]));
            pieces.push(TextPiece::Variable(variable));
            fixed_from = at + 2 + length + 2;
        }
    }
    pieces.push(TextPiece::Fixed(&text[fixed_from..]));
    pieces
}

/// Does something that ought to have been replaced still stand in double braces?
pub(super) fn holds_placeholder(text: &str) -> bool {
    placeholders(text).any(|inside| Variable::parse(inside).is_some())
}

/// What stands between `{{` and the next `}}`, in order of appearance.
fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(inside, _)| inside)
}

/// `{{1}}` or `{{first_name}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variable {
    Position(u16),
    Name(String),
}

impl Variable {
    fn parse(inside: &str) -> Option<Self> {
        let word = inside.trim();
        if let Ok(position) = word.parse() {
            return Some(Self::Position(position));
        }
        let is_name = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        is_name.then(|| Self::Name(word.to_owned()))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TemplateButton {
    pub kind: TemplateButtonKind,
    /// The label.
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateButtonKind {
    /// The fixed part of the URL, before its one variable.
    DynamicUrl {
        prefix: String,
    },
    StaticUrl {
        url: String,
    },
    CallPhone {
        number: String,
    },
    QuickReply,
    CopyCode,
    /// An authentication template's button: wants the code once more.
    OneTimePassword,
    /// Nothing to fill, or nothing that we could fill: the provider's word.
    Other {
        word: String,
    },
}

#[cfg(test)]
mod tests;
