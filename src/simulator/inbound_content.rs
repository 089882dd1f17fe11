//! What people can send, and Meta's shape of each.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    inbound::Inbound,
    knobs::Knobs,
    media::{self, Asset},
    people::{self, Person},
    sample_files::{self, FILE_BYTES_MAX},
    state::{World, digits},
};

const MEDIA_BYTES_DEFAULT: usize = 2_000;

/// What a message says. In JSON and TOML it is an object with one key: `{"text": {"body": "hello"}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum InboundContent {
    Text {
        body: String,
    },
    /// A tap on a template's quick reply button.
    Button {
        text: String,
        payload: String,
    },
    /// A tap on a button of an interactive message.
    ButtonReply {
        id: String,
        title: String,
    },
    /// A choice from a list.
    ListReply {
        id: String,
        title: String,
        #[serde(default)]
        description: Option<String>,
    },
    /// A form that was filled in; the response travels as JSON in a string.
    FlowReply {
        response: Value,
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        body: Option<String>,
    },
    Location {
        latitude: f64,
        longitude: f64,
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        address: Option<String>,
    },
    Image(InboundMedia),
    Video(InboundMedia),
    /// A music file; see also `voice`.
    Audio(InboundMedia),
    /// A recording.
    Voice(InboundMedia),
    Document(InboundMedia),
    Sticker(InboundMedia),
    Contacts(Vec<ContactCard>),
    /// To a message; without an emoji the reaction is taken back. In a reply, the message may be left out.
    Reaction {
        #[serde(default)]
        message_id: String,
        #[serde(default)]
        emoji: Option<String>,
    },
    Order {
        catalog_id: String,
        #[serde(default)]
        text: Option<String>,
        items: Vec<OrderItem>,
    },
    /// The person has another number now; the message comes from the old one.
    NumberChange {
        to: String,
    },
    /// Something that the API does not hand over: a poll, for example.
    Unsupported {
        #[serde(default)]
        kind: Option<String>,
    },
    /// A message was changed (numbers that are also used in the phone's app).
    Edit {
        original_message_id: String,
        body: String,
    },
    /// A message was taken back (numbers that are also used in the phone's app).
    Revoke {
        original_message_id: String,
    },
    /// Any other kind: Meta's word for it, and its object as it shall arrive.
    Other {
        kind: String,
        object: Value,
    },
    /// An element of `messages` as it shall arrive; what it leaves out (id, from, timestamp, type) is filled in, and a
    /// null takes a key away.
    Raw {
        message: Map<String, Value>,
    },
}

/// A file that somebody sends. Without anything said it is a small, valid file of the usual type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InboundMedia {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// About so large; at most 101 MB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// Only documents have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// A file that is there already, instead of a new one; see `Handle::add_media`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_id: Option<String>,
    /// There is no id and no URL, but an error 131052: WhatsApp could not fetch it.
    pub missing: bool,
}

/// Somebody whose card is shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContactCard {
    pub name: String,
    pub phone: String,
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderItem {
    pub product_retailer_id: String,
    pub quantity: u32,
    pub item_price: f64,
    pub currency: String,
}

impl InboundContent {
    /// The same, about this message where it names none.
    pub(super) fn about(&self, wamid: &str) -> Self {
        let mut content = self.clone();
        if let Self::Reaction { message_id, .. } = &mut content
            && message_id.is_empty()
        {
            wamid.clone_into(message_id);
        }
        content
    }
}

/// The kind, and what stands in the message beside the common keys.
pub(super) struct MessageBody {
    pub(super) kind: String,
    pub(super) fields: Map<String, Value>,
}

impl MessageBody {
    fn new(kind: &str, object: Value) -> Self {
        Self { kind: kind.to_owned(), fields: Map::from_iter([(kind.to_owned(), object)]) }
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.fields.insert(key.to_owned(), value);
        self
    }
}

pub(super) fn render(
    world: &World,
    knobs: &Knobs,
    inbound: &Inbound,
    phone_number_id: &str,
) -> Result<MessageBody, String> {
    let file = |kind, usual, media| render_media(world, knobs, phone_number_id, kind, usual, media);
    Ok(match &inbound.content {
        InboundContent::Text { body } => MessageBody::new("text", json!({"body": body})),
        InboundContent::Button { text, payload } => {
            MessageBody::new("button", json!({"payload": payload, "text": text}))
        }
        InboundContent::ButtonReply { id, title } => {
            interactive("button_reply", without_nulls(json!({"id": id, "title": title})))
        }
        InboundContent::ListReply { id, title, description } => {
            interactive("list_reply", without_nulls(json!({"id": id, "title": title, "description": description})))
        }
        InboundContent::FlowReply { response, name, body } => {
            let (name, body) = (name.as_deref().unwrap_or("flow"), body.as_deref().unwrap_or("Sent"));
            interactive("nfm_reply", json!({"response_json": response.to_string(), "body": body, "name": name}))
        }
        InboundContent::Location { latitude, longitude, name, address } => MessageBody::new(
            "location",
            without_nulls(json!({"latitude": latitude, "longitude": longitude, "name": name, "address": address})),
        ),
        InboundContent::Image(media) => file("image", "image/jpeg", media)?,
        InboundContent::Video(media) => file("video", "video/mp4", media)?,
        InboundContent::Audio(media) => file("audio", "audio/mpeg", media)?,
        InboundContent::Voice(media) => file("voice", "audio/ogg; codecs=opus", media)?,
        InboundContent::Document(media) => file("document", "application/pdf", media)?,
        InboundContent::Sticker(media) => file("sticker", "image/webp", media)?,
        InboundContent::Contacts(cards) => MessageBody::new("contacts", cards.iter().map(render_card).collect()),
        InboundContent::Reaction { message_id, emoji } => {
            MessageBody::new("reaction", without_nulls(json!({"message_id": message_id, "emoji": emoji})))
        }
        InboundContent::Order { catalog_id, text, items } => MessageBody::new(
            "order",
            without_nulls(json!({"catalog_id": catalog_id, "text": text, "product_items": items})),
        ),
        InboundContent::NumberChange { to } => render_number_change(knobs, &inbound.from, to),
        InboundContent::Unsupported { kind } => MessageBody::new("unsupported", json!({"type": kind}))
            .with("errors", error(131051, "Message type unknown", "Message type is currently not supported.")),
        InboundContent::Edit { original_message_id, body } => MessageBody::new(
            "edit",
            json!({"original_message_id": original_message_id, "message": {"type": "text", "text": {"body": body}}}),
        ),
        InboundContent::Revoke { original_message_id } => {
            MessageBody::new("revoke", json!({"original_message_id": original_message_id}))
        }
        InboundContent::Other { kind, object } => MessageBody::new(kind, object.clone()),
        InboundContent::Raw { message } => {
            let kind = message.get("type").and_then(Value::as_str).unwrap_or("text").to_owned();
            MessageBody { kind, fields: message.clone() }
        }
    })
}

fn interactive(kind: &str, reply: Value) -> MessageBody {
    MessageBody::new("interactive", json!({"type": kind, kind: reply}))
}

fn render_media(
    world: &World,
    knobs: &Knobs,
    phone_number_id: &str,
    kind: &str,
    usual_type: &str,
    media: &InboundMedia,
) -> Result<MessageBody, String> {
    let mut object = Map::new();
    let mime_type = media.mime_type.as_deref().unwrap_or(usual_type);
    object.insert("mime_type".into(), json!(mime_type));
    object.extend(media.caption.as_ref().map(|caption| ("caption".into(), json!(caption))));
    match kind {
        "document" => {
            let usual = || format!("document.{}", sample_files::extension(mime_type));
            object.insert("filename".into(), json!(media.filename.clone().unwrap_or_else(usual)));
        }
        "audio" | "voice" => drop(object.insert("voice".into(), json!(kind == "voice"))),
        "sticker" => drop(object.insert("animated".into(), json!(false))),
        _ => {}
    }
    // A recording is an audio file that says so.
    let kind = if kind == "voice" { "audio" } else { kind };
    if media.missing {
        let problem = error(131052, "Media download error", "The media could not be downloaded.");
        return Ok(MessageBody::new(kind, Value::Object(object)).with("errors", problem));
    }
    let asset = asset(world, phone_number_id, mime_type, media)?;
    object.insert("mime_type".into(), json!(asset.mime_type));
    object.insert("sha256".into(), json!(asset.sha256_base64()));
    object.insert("id".into(), json!(asset.id));
    if knobs.inbound_media_url {
        object.insert("url".into(), json!(media::url(world, knobs, &asset, None)));
    }
    Ok(MessageBody::new(kind, Value::Object(object)))
}

fn asset(world: &World, phone_number_id: &str, mime_type: &str, media: &InboundMedia) -> Result<Arc<Asset>, String> {
    let size_bytes = media.size_bytes.unwrap_or(MEDIA_BYTES_DEFAULT);
    match &media.media_id {
        Some(id) => world.media().find(id).ok_or_else(|| format!("there is no media file {id}")),
        None if size_bytes > FILE_BYTES_MAX => Err(format!("size_bytes: at most {FILE_BYTES_MAX}")),
        None => Ok(media::receive(world, phone_number_id, mime_type, size_bytes)),
    }
}

fn render_card(card: &ContactCard) -> Value {
    let (first, last) = card.name.split_once(' ').unwrap_or((&card.name, ""));
    let mut name = json!({"formatted_name": card.name, "first_name": first});
    if !last.is_empty() {
        name["last_name"] = json!(last);
    }
    json!({"name": name, "phones": [{"phone": card.phone, "wa_id": digits(&card.phone), "type": "CELL"}]})
}

fn render_number_change(knobs: &Knobs, from: &str, to: &str) -> MessageBody {
    let (old, new) = (Person::read(from), Person::read(to));
    let mut system = json!({
        "body": format!("User {} changed from {} to {}", people::user_id(new.key()), old.key(), new.key()),
        "type": "user_changed_number",
        "wa_id": new.key(),
    });
    if knobs.person_ids != people::PersonIds::Phone {
        system["user_id"] = json!(people::user_id(new.key()));
    }
    MessageBody::new("system", system)
}

fn error(code: u32, title: &str, details: &str) -> Value {
    json!([{"code": code, "title": title, "message": title, "error_data": {"details": details}}])
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(fields.into_iter().filter(|(_, value)| !value.is_null()).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => value,
    }
}
