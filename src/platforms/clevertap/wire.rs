//! The shapes of CleverTap's send payload, read tolerantly: a missing key, a `null` and an empty value are
//! the same, keys that we do not use are skipped, and a number or a truth value may be written as text and
//! the other way round.
//!
//! This runs for every message, so the bytes go straight into these types; words are recognised without
//! being copied. Each says by an example what it looks like, for those who sent something else.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    complaint::complaint,
    tolerant::{FromWord, list, pick, text, truth, whole_number, word},
};
use crate::domain::{
    failure::{Refusal, RefusalKind},
    outbound::Location,
    template::ButtonContentKind,
};

/// One message. `payloadVersion`, however it is spelled, has only ever been 0.1 and is not looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", expecting = "one JSON object with to, wabaNumber and msgId")]
pub(super) struct Envelope {
    /// The message itself, when it came wrapped.
    pub body: Option<Box<RawValue>>,
    #[serde(deserialize_with = "text")]
    pub to: String,
    #[serde(deserialize_with = "text")]
    pub waba_number: String,
    #[serde(deserialize_with = "truth")]
    pub is_template: Option<bool>,
    #[serde(deserialize_with = "text")]
    pub msg_id: String,
    #[serde(rename = "msg_id", deserialize_with = "text")]
    pub msg_id_in_snake_case: String,
    pub template: Option<TemplateName>,
    #[serde(deserialize_with = "list")]
    pub components: Vec<Component>,
    #[serde(rename = "type", deserialize_with = "word")]
    pub kind: FreeformKind,
    pub text: Option<FreeformText>,
    pub image: Option<Media>,
    pub video: Option<Media>,
    pub audio: Option<Media>,
    pub file: Option<Media>,
    /// Their callbacks have a file under this name in one sample.
    pub document: Option<Media>,
    /// Older pages call an audio so.
    pub voice: Option<Media>,
    pub location: Option<Place>,
    /// Among the components in the samples; beside them it is understood too.
    pub custom_props: Value,
}

impl Envelope {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let message = format!(
                "request: not UTF-8 from byte {} on; send JSON in UTF-8",
                error.valid_up_to().saturating_add(1)
            );
            Refusal::new(RefusalKind::Other, message)
        })?;
        let text = without_byte_order_mark(text);
        // The reader would take a list for the parts of a message in their order.
        if text.trim_start().starts_with('[') {
            let message = "request: a list; send each message in a request of its own, as one JSON object";
            return Err(Refusal::new(RefusalKind::Other, message));
        }
        serde_json::from_str(text)
            .map_err(|error| Refusal::new(RefusalKind::Other, format!("request: {}", complaint(text, &error))))
    }
}

impl Envelope {
    /// Nothing in it says to whom, from which number, or what.
    pub(super) fn says_nothing(&self) -> bool {
        let ids = [&self.to, &self.waba_number, &self.msg_id, &self.msg_id_in_snake_case];
        let media = [&self.image, &self.video, &self.audio, &self.file, &self.document, &self.voice];
        ids.iter().all(|part| part.is_empty())
            && media.iter().all(|part| part.is_none())
            && self.components.is_empty()
            && (self.template.is_none() && self.text.is_none() && self.location.is_none())
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(
    default,
    rename_all = "camelCase",
    expecting = r#"an object such as {"namespace":"order_update","languageCode":"en"}"#
)]
pub(super) struct TemplateName {
    #[serde(deserialize_with = "text")]
    pub namespace: String,
    #[serde(deserialize_with = "text")]
    pub language_code: String,
    /// Beside the template in the samples; inside of it is understood too.
    #[serde(deserialize_with = "list")]
    pub components: Vec<Component>,
}

/// An element of `components`. One type for all of them: which keys are filled depends on `type`, and
/// `customProps` comes without any.
#[derive(Debug, Default, Deserialize)]
#[serde(
    default,
    rename_all = "camelCase",
    expecting = r#"an object such as {"type":"body","body":{"parameters":[{"type":"text","text":"Asha"}]}}"#
)]
pub(super) struct Component {
    #[serde(rename = "type", deserialize_with = "word")]
    pub kind: ComponentKind,
    pub header: Option<Header>,
    pub body: Option<TextBlock>,
    /// A body's text and parameters stand in `body`; beside `type` they are understood too.
    #[serde(deserialize_with = "text")]
    pub text: String,
    #[serde(deserialize_with = "whole_number")]
    pub index: Option<i64>,
    #[serde(deserialize_with = "word")]
    pub sub_type: ButtonWord,
    #[serde(deserialize_with = "text")]
    pub button_text: String,
    #[serde(deserialize_with = "list")]
    pub parameters: Vec<Parameter>,
    #[serde(deserialize_with = "list")]
    pub cards: Vec<Card>,
    pub custom_props: Value,
}

/// Some editors put one in front of what they save.
fn without_byte_order_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// The pairs that a customer attached, whatever they hold: a list of `{"colour":"red"}` or of
/// `{"key":"colour","value":"red"}`, or one such object.
pub(super) fn custom_pairs(custom_props: &Value) -> Vec<(String, String)> {
    let pairs = custom_props.as_array().map_or(std::slice::from_ref(custom_props), Vec::as_slice);
    pairs
        .iter()
        .filter_map(Value::as_object)
        .flat_map(|pair| match (pair.get("key").and_then(Value::as_str), pair.get("value")) {
            (Some(key), Some(value)) => vec![(key.to_owned(), as_text(value))],
            _ => pair.iter().map(|(key, value)| (key.clone(), as_text(value))).collect(),
        })
        .collect()
}

fn as_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(
    default,
    expecting = r#"an object such as {"type":"text","text":{"parameters":[{"type":"text","text":"Asha"}]}}"#
)]
pub(super) struct Header {
    #[serde(rename = "type", deserialize_with = "word")]
    pub kind: HeaderKind,
    pub text: Option<TextBlock>,
    pub image: Option<Media>,
    pub video: Option<Media>,
    pub file: Option<Media>,
    pub document: Option<Media>,
    pub location: Option<Place>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = r#"an object such as {"text":"Hi Asha","parameters":[{"type":"text","text":"Asha"}]}"#)]
pub(super) struct TextBlock {
    /// As CleverTap rendered it.
    #[serde(deserialize_with = "text")]
    pub text: String,
    #[serde(deserialize_with = "list")]
    pub parameters: Vec<Parameter>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = r#"an object such as {"mediaURL":"https://example.com/file.png"}"#)]
pub(super) struct Media {
    #[serde(rename = "mediaURL", alias = "mediaUrl", deserialize_with = "text")]
    pub media_url: String,
    #[serde(deserialize_with = "text")]
    pub caption: String,
    #[serde(deserialize_with = "text")]
    pub filename: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = r#"an object such as {"latitude":"19.0760","longitude":"72.8777"}"#)]
pub(super) struct Place {
    #[serde(deserialize_with = "text")]
    latitude: String,
    #[serde(deserialize_with = "text")]
    longitude: String,
    #[serde(deserialize_with = "text")]
    name: String,
    #[serde(deserialize_with = "text")]
    address: String,
}

impl From<Place> for Location {
    fn from(place: Place) -> Self {
        let given = |text: String| (!text.is_empty()).then_some(text);
        Self {
            latitude: place.latitude,
            longitude: place.longitude,
            name: given(place.name),
            address: given(place.address),
        }
    }
}

/// One parameter of any component. Its `type` says which key holds the value; there is never more than one.
#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = r#"an object such as {"type":"text","text":"Asha"}"#)]
pub(super) struct Parameter {
    #[serde(deserialize_with = "text")]
    pub text: String,
    #[serde(deserialize_with = "text")]
    payload: String,
    #[serde(deserialize_with = "text")]
    coupon_code: String,
    pub limited_time_offer: Option<Offer>,
}

impl Parameter {
    /// What a button is given.
    pub(super) fn into_value(self) -> Option<String> {
        [self.text, self.payload, self.coupon_code].into_iter().find(|value| !value.is_empty())
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = r#"an object such as {"expiration_time_ms":1790000000000}"#)]
pub(super) struct Offer {
    #[serde(deserialize_with = "whole_number")]
    pub expiration_time_ms: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = r#"an object such as {"components":[{"type":"body","body":{"parameters":[]}}]}"#)]
pub(super) struct Card {
    #[serde(deserialize_with = "list")]
    pub components: Vec<Component>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = r#"an object such as {"body":"Hi Asha"}"#)]
pub(super) struct FreeformText {
    #[serde(deserialize_with = "text")]
    pub body: String,
}

#[derive(Clone, Debug, Default)]
pub(super) enum ComponentKind {
    Header,
    Body,
    Button,
    LimitedTimeOffer,
    Carousel,
    /// Footers, custom properties, and what may come.
    #[default]
    Other,
}

impl FromWord for ComponentKind {
    fn from_word(word: &str) -> Self {
        let known = [
            ("header", Self::Header),
            ("body", Self::Body),
            ("button", Self::Button),
            ("limitedtimeoffer", Self::LimitedTimeOffer),
            ("carousel", Self::Carousel),
        ];
        pick(word, known).unwrap_or(Self::Other)
    }
}

#[derive(Debug)]
pub(super) enum HeaderKind {
    Text,
    Image,
    Video,
    File,
    Location,
    Audio,
    Other(String),
}

impl FromWord for HeaderKind {
    fn from_word(word: &str) -> Self {
        let known = [
            ("text", Self::Text),
            ("image", Self::Image),
            ("video", Self::Video),
            ("file", Self::File),
            ("document", Self::File),
            ("location", Self::Location),
            ("audio", Self::Audio),
            ("voice", Self::Audio),
        ];
        pick(word, known).unwrap_or_else(|| Self::Other(word.to_owned()))
    }
}

impl Default for HeaderKind {
    fn default() -> Self {
        Self::from_word("")
    }
}

#[derive(Debug)]
pub(super) enum FreeformKind {
    Text,
    Image,
    Video,
    Audio,
    File,
    Location,
    Other(String),
}

impl FromWord for FreeformKind {
    fn from_word(word: &str) -> Self {
        let known = [
            ("text", Self::Text),
            ("image", Self::Image),
            ("video", Self::Video),
            ("audio", Self::Audio),
            ("voice", Self::Audio),
            ("file", Self::File),
            ("document", Self::File),
            ("location", Self::Location),
        ];
        pick(word, known).unwrap_or_else(|| Self::Other(word.to_owned()))
    }
}

impl Default for FreeformKind {
    fn default() -> Self {
        Self::from_word("")
    }
}

/// CleverTap's `subType`.
#[derive(Debug)]
pub(super) struct ButtonWord(pub ButtonContentKind);

impl FromWord for ButtonWord {
    fn from_word(word: &str) -> Self {
        let known = [
            ("dynamicurl", ButtonContentKind::DynamicUrl),
            ("staticurl", ButtonContentKind::StaticUrl),
            ("callphone", ButtonContentKind::CallPhone),
            ("quickreply", ButtonContentKind::QuickReply),
            ("copycode", ButtonContentKind::CopyCode),
        ];
        Self(pick(word, known).unwrap_or_else(|| ButtonContentKind::Other(word.to_owned())))
    }
}

impl Default for ButtonWord {
    fn default() -> Self {
        Self::from_word("")
    }
}
