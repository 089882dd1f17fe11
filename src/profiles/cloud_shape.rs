//! Contents and errors as the Cloud API writes them: what systems around WhatsApp imitate, each a little differently.

use serde_json::{Map, Value, json};

use crate::domain::{
    webhook_content::{Card, Content, Item, Media},
    webhook_event::FailureFacts,
};

/// The type of a message, and what stands under its name.
pub(super) fn part(content: &Content) -> (&'static str, Value) {
    match content {
        Content::Text { text } => ("text", json!({"body": text})),
        Content::Button { payload, text } => ("button", json!({"payload": payload, "text": text})),
        Content::ListReply { id, title, description } => {
            let reply = known([("id", Some(id)), ("title", Some(title)), ("description", description.as_ref())]);
            ("interactive", json!({"type": "list_reply", "list_reply": reply}))
        }
        Content::FlowReply { name, body, response } => {
            let response = response.as_str().map_or_else(|| response.to_string(), str::to_owned);
            let parts = [("name", name.as_ref()), ("body", body.as_ref()), ("response_json", Some(&response))];
            ("interactive", json!({"type": "nfm_reply", "nfm_reply": known(parts)}))
        }
        Content::Location { latitude, longitude, name, address, url } => {
            let mut place = known([("name", name.as_ref()), ("address", address.as_ref()), ("url", url.as_ref())]);
            place.extend(
                [("latitude", latitude), ("longitude", longitude)].map(|(key, value)| (key.to_owned(), number(value))),
            );
            ("location", place.into())
        }
        Content::Image(media) => ("image", file(media)),
        Content::Video(media) => ("video", file(media)),
        Content::Audio(media) => ("audio", file(media)),
        Content::Voice(media) => {
            let mut part = file(media);
            part["voice"] = true.into();
            ("audio", part)
        }
        Content::Document(media) => ("document", file(media)),
        Content::Sticker(media) => ("sticker", file(media)),
        Content::Contacts { contacts } => ("contacts", contacts.iter().map(card).collect()),
        Content::Reaction { to, emoji } => {
            ("reaction", known([("message_id", Some(to)), ("emoji", emoji.as_ref())]).into())
        }
        Content::Order { catalog_id, text, items } => {
            let mut order = known([("catalog_id", catalog_id.as_ref()), ("text", text.as_ref())]);
            order.insert("product_items".to_owned(), items.iter().map(item).collect());
            ("order", order.into())
        }
        Content::NumberChanged { to, text } => {
            let to = to.as_deref().map(super::words::digits);
            let mut system = known([("body", Some(text)), ("wa_id", to.as_ref())]);
            system.insert("type".to_owned(), "user_changed_number".into());
            ("system", system.into())
        }
        Content::Unsupported { kind, .. } => ("unsupported", known([("type", kind.as_ref())]).into()),
        Content::Other { kind } => ("unsupported", json!({"type": kind})),
    }
}

/// An element of `errors`.
pub(super) fn error(failure: &FailureFacts) -> Value {
    json!({
        "code": failure.provider_code,
        "title": failure.text,
        "message": failure.text,
        "error_data": {"details": failure.text},
    })
}

fn file(media: &Media) -> Value {
    known([
        ("id", media.provider_media_id.as_ref()),
        ("mime_type", media.mime_type.as_ref()),
        ("caption", media.caption.as_ref()),
        ("filename", media.filename.as_ref()),
        ("url", media.url.as_ref()),
    ])
    .into()
}

fn card(card: &Card) -> Value {
    json!({
        "name": {"formatted_name": card.name},
        "phones": card.phones.iter().map(|phone| json!({"phone": phone})).collect::<Vec<_>>(),
        "emails": card.emails.iter().map(|email| json!({"email": email})).collect::<Vec<_>>(),
    })
}

fn item(item: &Item) -> Value {
    let mut told = known([("product_retailer_id", Some(&item.product)), ("currency", item.currency.as_ref())]);
    told.insert("quantity".to_owned(), number(&item.quantity));
    told.extend(item.price.as_deref().map(|price| ("item_price".to_owned(), number(price))));
    told.into()
}

/// Decimal text as a JSON number, with the digits that it has; what is none stays a text.
fn number(text: &str) -> Value {
    match serde_json::from_str::<serde_json::Number>(text) {
        Ok(number) => Value::Number(number),
        Err(_) => Value::String(text.to_owned()),
    }
}

fn known<const N: usize>(parts: [(&str, Option<&String>); N]) -> Map<String, Value> {
    parts.into_iter().filter_map(|(key, value)| Some((key.to_owned(), Value::from(value?.as_str())))).collect()
}
