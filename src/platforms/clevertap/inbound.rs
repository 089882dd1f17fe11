//! What people send, in CleverTap's words. The table for operators is `docs/inbound.md`; a test compares the two.
//!
//! CleverTap knows texts, taps, places and four kinds of file; WhatsApp knows more. Whatever has no type of its own
//! becomes the nearest one, by two rules. **What a person wrote stands alone and unchanged**, because opt-out
//! journeys compare texts letter by letter: a caption whose file is lost is still the text that it was. **Our own
//! words stand in brackets**, `[order] …`, so that no journey ever takes them for the person's.
//!
//! What is not an utterance at all (a reaction that was taken back, WhatsApp's notice of a changed number) is not
//! relayed: CleverTap would count it as a reply and answer it.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{
    callback::{Words, json, seconds},
    is_test_id,
};
use crate::domain::{
    account::AccountPolicy,
    callback::Event,
    callback_style::{AudioType, FileType, TapType},
    inbound::{InboundContact, InboundContent, InboundMedia, InboundMediaKind, InboundMessage, OrderItem},
    outbound::Location,
};

const PAYLOAD_VERSION: &str = "0.1";

/// As long as a text of WhatsApp's may be; what we put into words ourselves is cut there.
const OWN_WORDS_CHARS_MAX: usize = 4096;

pub(super) fn speak(policy: &AccountPolicy, event: &Event, message: &InboundMessage) -> Words {
    let Some(from) = &message.from else {
        return Words::None("the person hides the phone number, and CleverTap knows people by nothing else".to_owned());
    };
    let Some(waba_number) = &event.sender_number else {
        return Words::None("the business number that it was sent to is no longer configured".to_owned());
    };
    let Said { r#type, content } = match say(policy, event, &message.content) {
        Ok(said) => said,
        Err(reason) => return Words::None(reason),
    };
    // A reply to a test send is relayed, it may be an opt-out; but what it quotes is no id.
    let quoted = event.platform_message_id.as_deref().filter(|id| !is_test_id(id));
    Words::Inbound(json(&Inbound {
        payload_version: PAYLOAD_VERSION,
        from: from.digits(),
        waba_number: policy.callback_number.spell(waba_number),
        timestamp: seconds(message.occurred_at),
        context: quoted.map(|id| Context { id }),
        r#type,
        content,
    }))
}

/// One kind after the other; an error says why CleverTap is not told.
fn say<'a>(policy: &AccountPolicy, event: &'a Event, content: &'a InboundContent) -> Result<Said<'a>, String> {
    Ok(match content {
        InboundContent::Text { body } => text(body),
        InboundContent::Button { payload, text } => tap(policy.inbound_button_type, payload, text),
        InboundContent::ListReply { id, title, description: _ } => tap(policy.inbound_list_type, id, title),
        InboundContent::FlowReply { name, body: _, response } => text(form(name.as_deref(), response)),
        InboundContent::Location { location, url } => Said {
            r#type: "location",
            content: Content(&["location"], Part::Location(place(location, url.as_deref()))),
        },
        InboundContent::Media(media) => file(policy, event.media_url.as_deref(), media),
        InboundContent::Contacts { contacts } => text(cards(contacts)),
        InboundContent::Reaction { emoji, .. } => match emoji.as_deref().filter(|emoji| !emoji.is_empty()) {
            Some(emoji) => text(emoji),
            None => return Err("a reaction was taken back".to_owned()),
        },
        InboundContent::Order { text: note, items, catalog_id: _ } => text(order(items, note.as_deref())),
        InboundContent::NumberChanged { .. } => {
            return Err(
                "WhatsApp says that the person's number changed, which is no message of the person's".to_owned()
            );
        }
        InboundContent::Unsupported { kind, .. } => {
            text(bracketed(kind.as_deref().filter(|kind| !kind.is_empty()).unwrap_or("unsupported"), ""))
        }
        InboundContent::Other { kind } => {
            return Err(format!("inbound messages of kind {kind} cannot be relayed to CleverTap"));
        }
    })
}

fn text<'a>(body: impl Into<Cow<'a, str>>) -> Said<'a> {
    Said { r#type: "text", content: Content(&["text"], Part::Text { body: body.into() }) }
}

fn tap<'a>(r#type: TapType, payload: &'a str, shown: &'a str) -> Said<'a> {
    match r#type {
        TapType::Button => {
            Said { r#type: "button", content: Content(&["button"], Part::Button { payload, text: shown }) }
        }
        TapType::Text => text(shown),
    }
}

/// A link to the file; when there is no file, what the person wrote under it, or at least that there was one.
fn file<'a>(policy: &AccountPolicy, media_url: Option<&'a str>, media: &'a InboundMedia) -> Said<'a> {
    let caption = media.caption.as_deref().filter(|caption| !caption.is_empty());
    let Some(media_url) = media_url else {
        return caption.map_or_else(|| text(bracketed(media.kind.as_str(), "")), text);
    };
    let (r#type, keys): (_, &'static [&'static str]) = match media.kind {
        InboundMediaKind::Image | InboundMediaKind::Sticker => ("image", &["image"]),
        InboundMediaKind::Video => ("video", &["video"]),
        InboundMediaKind::Audio | InboundMediaKind::Voice => match policy.inbound_audio_type {
            AudioType::Audio => ("audio", &["audio"]),
            AudioType::Voice => ("voice", &["voice"]),
        },
        InboundMediaKind::Document => match policy.inbound_file_type {
            FileType::File => ("file", &["file"]),
            FileType::Document => ("document", &["document"]),
            FileType::Both => ("file", &["file", "document"]),
        },
    };
    let mime_type = media.mime_type.as_deref();
    Said { r#type, content: Content(keys, Part::Media(MediaPart { media_url, mime_type, caption })) }
}

/// What was filled in, as `name: value`. The token by which a flow knows its own start is nobody's answer.
fn form(name: Option<&str>, response: &str) -> String {
    const FLOW_TOKEN: &str = "flow_token";
    let answers = match serde_json::from_str::<Value>(response) {
        Ok(Value::Object(answers)) => {
            let told = answers.iter().filter(|(key, _)| *key != FLOW_TOKEN);
            told.map(|(key, value)| format!("{key}: {}", plain(value))).collect::<Vec<_>>().join("; ")
        }
        Ok(_) | Err(_) => response.to_owned(),
    };
    bracketed(name.filter(|name| !name.is_empty()).unwrap_or("form"), &answers)
}

/// A value as a person would write it.
fn plain(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Array(items) => Cow::Owned(items.iter().map(plain).collect::<Vec<_>>().join(", ")),
        Value::Null => Cow::Borrowed(""),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => Cow::Owned(value.to_string()),
    }
}

fn cards(contacts: &[InboundContact]) -> String {
    let card = |contact: &InboundContact| {
        let parts = [&contact.name].into_iter().chain(&contact.phones).chain(&contact.emails);
        parts.filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    bracketed("contact", &contacts.iter().map(card).collect::<Vec<_>>().join("; "))
}

fn order(items: &[OrderItem], note: Option<&str>) -> String {
    let line = |item: &OrderItem| {
        let price = item.price.as_deref().map(|price| format!(" at {price}")).unwrap_or_default();
        let currency = item.currency.as_deref().filter(|_| item.price.is_some());
        let currency = currency.map(|currency| format!(" {currency}")).unwrap_or_default();
        format!("{} x {}{price}{currency}", item.quantity, item.product)
    };
    let lines = items.iter().map(line).chain(note.filter(|note| !note.is_empty()).map(str::to_owned));
    bracketed("order", &lines.collect::<Vec<_>>().join("; "))
}

/// `[word] rest`: our words, and nobody's answer.
fn bracketed(word: &str, rest: &str) -> String {
    let separator = if rest.is_empty() { "" } else { " " };
    let whole = format!("[{word}]{separator}{rest}");
    match whole.char_indices().nth(OWN_WORDS_CHARS_MAX) {
        Some((end, _)) => whole[..end].to_owned(),
        None => whole,
    }
}

fn place<'a>(location: &'a Location, url: Option<&'a str>) -> Place<'a> {
    Place {
        latitude: &location.latitude,
        longitude: &location.longitude,
        name: location.name.as_deref(),
        address: location.address.as_deref(),
        url,
    }
}

/// A type, and the part that goes with it.
struct Said<'a> {
    r#type: &'static str,
    content: Content<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Inbound<'a> {
    payload_version: &'static str,
    from: &'a str,
    waba_number: &'a str,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Context<'a>>,
    r#type: &'static str,
    #[serde(flatten)]
    content: Content<'a>,
}

/// CleverTap's own id of the message that was replied to.
#[derive(Serialize)]
struct Context<'a> {
    id: &'a str,
}

/// A part under a key that is its `type`, or under each of several.
struct Content<'a>(&'static [&'static str], Part<'a>);

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(keys, part) = self;
        serializer.collect_map(keys.iter().map(|key| (key, part)))
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Part<'a> {
    Text { body: Cow<'a, str> },
    Button { payload: &'a str, text: &'a str },
    Location(Place<'a>),
    Media(MediaPart<'a>),
}

#[derive(Serialize)]
struct Place<'a> {
    latitude: &'a str,
    longitude: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
}

#[derive(Serialize)]
struct MediaPart<'a> {
    #[serde(rename = "mediaURL")]
    media_url: &'a str,
    #[serde(rename = "mimeType", skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caption: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_words_stand_in_brackets_and_have_an_end() {
        let long = form(Some("survey"), &format!(r#"{{"flow_token":"t","why":"{}"}}"#, "é".repeat(5000)));

        assert!(long.starts_with("[survey] why: é"), "{}", &long[..40]);
        assert_eq!(long.chars().count(), OWN_WORDS_CHARS_MAX);
    }

    #[test]
    fn a_form_that_cannot_be_read_is_told_as_it_came() {
        assert_eq!(form(None, "STOP"), "[form] STOP");
        assert_eq!(form(Some(""), r#"{"a":["x","y"],"b":true,"c":null}"#), "[form] a: x, y; b: true; c: ");
    }
}
