//! What the body of a request can be made of: a message as a tree of named values.

use serde_json::{Map, Value, json};

use crate::{
    domain::{
        account::Sender,
        outbound::{Freeform, Location, OutboundMessage, SendBody},
        template::{FilledButton, FilledComponent, FilledHeader, FilledTemplate},
    },
    providers::cloud_api::send::build_send,
};

/// A kind of message, which has a body of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Template,
    Text,
    Media,
    Location,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Template, Self::Text, Self::Media, Self::Location];

    pub fn of(message: &OutboundMessage) -> Self {
        match &message.body {
            SendBody::Template(_) => Self::Template,
            SendBody::Freeform(Freeform::Text { .. }) => Self::Text,
            SendBody::Freeform(Freeform::Media { .. }) => Self::Media,
            SendBody::Freeform(Freeform::Location(_)) => Self::Location,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Template => "template",
            Self::Text => "text",
            Self::Media => "media",
            Self::Location => "location",
        }
    }

    /// The setting that has its body.
    pub const fn setting(self) -> &'static str {
        match self {
            Self::Template => "body_template",
            Self::Text => "body_text",
            Self::Media => "body_media",
            Self::Location => "body_location",
        }
    }

    /// Names that a body of this kind may use besides [`OF_ALL`]; `*` is whatever follows.
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Template => &[
                "template",
                "template.name",
                "template.language",
                "template.category",
                "template.values",
                "template.values.*",
                "template.variables",
                "template.variables.*",
                "template.header",
                "template.header.kind",
                "template.header.text",
                "template.header.url",
                "template.header.filename",
                "template.header.latitude",
                "template.header.longitude",
                "template.header.name",
                "template.header.address",
                "template.buttons",
                "template.buttons.*",
                "template.offer_expires_at_ms",
                "template.components",
            ],
            Self::Text => &["text"],
            Self::Media => &["media", "media.kind", "media.url", "media.caption", "media.filename"],
            Self::Location => {
                &["location", "location.latitude", "location.longitude", "location.name", "location.address"]
            }
        }
    }
}

/// Names that are there for every message.
pub const OF_ALL: &[&str] = &[
    "message_id",
    "to",
    "to_digits",
    "from",
    "from_digits",
    "number_id",
    "account_id",
    "kind",
    "whatsapp",
    "whatsapp.*",
];

/// Whether a body of this kind may use this name; for the path of the URL there is no kind.
pub fn check_name(kind: Option<Kind>, name: &str) -> Result<(), String> {
    let of_kind = kind.map_or(&[][..], Kind::names);
    let fits = |known: &&str| match known.strip_suffix('*') {
        Some(beginning) => name.len() > beginning.len() && name.starts_with(beginning),
        None => name == *known,
    };
    if OF_ALL.iter().chain(of_kind).any(fits) {
        return Ok(());
    }
    let known = OF_ALL.iter().chain(of_kind).copied().collect::<Vec<_>>().join(", ");
    Err(format!("{{{{{name}}}}} is not known here: use one of {known}"))
}

/// The message as named values.
pub fn fields(from: &Sender, message: &OutboundMessage) -> Value {
    let whatsapp: Value = serde_json::from_str(&build_send(message)).unwrap_or_default();
    let mut fields = json!({
        "message_id": message.id.to_string(),
        "to": message.to.as_e164(),
        "to_digits": message.to.digits(),
        "from": from.number.as_e164(),
        "from_digits": from.number.digits(),
        "number_id": from.provider_number_id,
        "account_id": from.provider_account_id,
        "kind": Kind::of(message).as_str(),
    });
    match &message.body {
        SendBody::Template(filled) => {
            let mut template = template(filled);
            template["components"] = whatsapp.pointer("/template/components").cloned().unwrap_or_else(|| json!([]));
            fields["template"] = template;
        }
        SendBody::Freeform(Freeform::Text { body }) => fields["text"] = body.as_str().into(),
        SendBody::Freeform(Freeform::Media { kind, url, caption, filename }) => {
            fields["media"] = json!({ "kind": kind, "url": url, "caption": caption, "filename": filename });
        }
        SendBody::Freeform(Freeform::Location(location)) => fields["location"] = place(location),
    }
    fields["whatsapp"] = whatsapp;
    fields
}

fn template(filled: &FilledTemplate) -> Value {
    let (mut values, mut variables, mut buttons) = (Vec::new(), Map::new(), Vec::new());
    let mut fields = json!({
        "name": filled.name,
        "language": filled.language,
        "category": filled.category.as_str(),
    });
    for component in &filled.components {
        match component {
            FilledComponent::Header(FilledHeader::Text(text)) => {
                fields["header"] = json!({ "kind": "text", "text": text.text });
            }
            FilledComponent::Header(FilledHeader::Media { kind, url, filename }) => {
                fields["header"] = json!({ "kind": kind, "url": url, "filename": filename });
            }
            FilledComponent::Header(FilledHeader::Location(location)) => {
                let mut header = place(location);
                header["kind"] = "location".into();
                fields["header"] = header;
            }
            FilledComponent::Body(texts) => {
                for (index, text) in texts.iter().enumerate() {
                    let name = text.name.clone().unwrap_or_else(|| (index + 1).to_string());
                    variables.insert(name, text.text.as_str().into());
                    values.push(Value::from(text.text.as_str()));
                }
            }
            FilledComponent::Button { position, value } => {
                let (kind, value) = match value {
                    FilledButton::UrlSuffix(text) => ("url", text),
                    FilledButton::QuickReplyPayload(text) => ("quick_reply", text),
                    FilledButton::CouponCode(text) => ("copy_code", text),
                };
                buttons.push(json!({ "position": position, "kind": kind, "value": value }));
            }
            FilledComponent::LimitedTimeOffer { expires_at_ms } => {
                fields["offer_expires_at_ms"] = (*expires_at_ms).into()
            }
            // Its cards are among the components.
            FilledComponent::Carousel(_) => {}
        }
    }
    fields["values"] = values.into();
    fields["variables"] = variables.into();
    fields["buttons"] = buttons.into();
    fields
}

fn place(location: &Location) -> Value {
    let Location { latitude, longitude, name, address } = location;
    json!({ "latitude": latitude, "longitude": longitude, "name": name, "address": address })
}
