//! One message as Gallabox wants it: values by the names of the template's own variables, a file in the header by its
//! address, buttons by their index. What Gallabox documents nowhere is refused, unless the connection says otherwise.

use serde_json::{Map, Value, json};

use super::settings::{first_button, media_key};
use crate::domain::{
    account::{Connection, Sender},
    failure::{Failure, FailureClass, FailureReason, Scope, SendFailure},
    outbound::{Freeform, Location, MediaKind, OutboundMessage, SendBody},
    template::{FilledButton, FilledComponent, FilledHeader, FilledTemplate, FilledText},
};

/// The body of a send. Our id travels as `localMessageId` and comes back with what Gallabox reports.
pub(super) fn build(from: &Sender, message: &OutboundMessage) -> Result<String, SendFailure> {
    let whatsapp = match &message.body {
        SendBody::Template(filled) => json!({"type": "template", "template": template(&from.connection, filled)?}),
        SendBody::Freeform(freeform) => content(&from.connection, freeform)?,
    };
    let phone = message.to.digits();
    let body = json!({
        "channelId": from.provider_number_id,
        "channelType": "whatsapp",
        "localMessageId": message.id.to_string(),
        // Nobody has told us the person's name, and some name is wanted.
        "recipient": {"name": phone, "phone": phone},
        "whatsapp": whatsapp,
    });
    Ok(body.to_string())
}

fn template(connection: &Connection, filled: &FilledTemplate) -> Result<Value, SendFailure> {
    let mut template = json!({"templateName": filled.name, "languageCode": filled.language});
    let mut buttons = Vec::new();
    for component in &filled.components {
        match component {
            FilledComponent::Body(texts) if texts.is_empty() => {}
            FilledComponent::Body(texts) => template["bodyValues"] = named(texts),
            FilledComponent::Header(header) => template["headerValues"] = header_values(connection, header)?,
            FilledComponent::Button { position, value } => {
                buttons.push(button(first_button(connection) + position, value));
            }
            FilledComponent::LimitedTimeOffer { .. } => return Err(refused("a template with an offer that ends")),
            FilledComponent::Carousel(_) => return Err(refused("a carousel")),
        }
    }
    if !buttons.is_empty() {
        template["buttonValues"] = buttons.into();
    }
    Ok(template)
}

/// By the variables' own names; those of a template that only numbers them are their numbers.
fn named(texts: &[FilledText]) -> Value {
    let name = |(place, text): (usize, &FilledText)| text.name.clone().unwrap_or_else(|| (place + 1).to_string());
    let values = texts.iter().enumerate().map(|(place, text)| (name((place, text)), Value::from(text.text.as_str())));
    Value::Object(values.collect::<Map<_, _>>())
}

fn header_values(connection: &Connection, header: &FilledHeader) -> Result<Value, SendFailure> {
    Ok(match header {
        FilledHeader::Text(text) => named(std::slice::from_ref(text)),
        FilledHeader::Media { url, filename, .. } => {
            let mut values = json!({"mediaUrl": url});
            let name = filename.as_deref().or_else(|| file_name(url));
            if let Some(name) = name {
                values["mediaName"] = name.into();
            }
            values
        }
        FilledHeader::Location(place) if media_key(connection).is_some() => location(place),
        FilledHeader::Location(_) => return Err(refused("a location in a template's header")),
    })
}

/// The last part of an address.
fn file_name(url: &str) -> Option<&str> {
    let path = url.split(['?', '#']).next()?.split_once("://")?.1;
    path.rsplit_once('/').map(|(_, name)| name).filter(|name| !name.is_empty())
}

fn button(index: usize, value: &FilledButton) -> Value {
    let (sub_type, parameters) = match value {
        FilledButton::UrlSuffix(text) => ("url", json!({"type": "text", "text": text})),
        FilledButton::QuickReplyPayload(payload) => ("quick_reply", json!({"type": "payload", "payload": payload})),
        FilledButton::CouponCode(code) => ("copy_code", json!({"type": "text", "text": code})),
    };
    json!({"index": index, "sub_type": sub_type, "parameters": parameters})
}

fn content(connection: &Connection, freeform: &Freeform) -> Result<Value, SendFailure> {
    let key = media_key(connection);
    Ok(match (freeform, key) {
        (Freeform::Text { body }, _) => json!({"type": "text", "text": {"body": body}}),
        (Freeform::Location(place), Some(_)) => json!({"type": "location", "location": location(place)}),
        (Freeform::Media { kind, url, caption, filename }, Some(key)) => {
            let word = word(*kind);
            let mut media = json!({});
            media[key] = url.as_str().into();
            let captioned = caption.as_ref().filter(|_| *kind != MediaKind::Audio);
            let named = filename.as_ref().filter(|_| *kind == MediaKind::Document);
            for (name, text) in [("caption", captioned), ("filename", named)] {
                if let Some(text) = text {
                    media[name] = text.as_str().into();
                }
            }
            let mut content = json!({"type": word});
            content[word] = media;
            content
        }
        (Freeform::Location(_), None) => return Err(refused("a location in a conversation")),
        (Freeform::Media { kind, .. }, None) => return Err(refused(&format!("a message of type {}", word(*kind)))),
    })
}

fn word(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "image",
        MediaKind::Video => "video",
        MediaKind::Audio => "audio",
        MediaKind::Document => "document",
    }
}

fn location(place: &Location) -> Value {
    let mut location = json!({"latitude": place.latitude, "longitude": place.longitude});
    for (key, text) in [("name", &place.name), ("address", &place.address)] {
        if let Some(text) = text {
            location[key] = text.as_str().into();
        }
    }
    location
}

/// Nothing leaves, because nobody knows how it would have to be written.
fn refused(what: &str) -> SendFailure {
    let text = format!(
        "Gallabox documents no form for {what}, so it is not sent; send a text or another template, or see the connection's \
         undocumented_kinds"
    );
    SendFailure {
        class: FailureClass::GiveUp,
        scope: Scope::Message,
        wait: None,
        tries_max: None,
        failure: Failure::new(FailureReason::Template, None, &text),
    }
}
