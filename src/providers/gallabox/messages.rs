//! What people sent, in Gallabox's shape: the object `whatsapp` is nearly Meta's message, so it is turned into one and read
//! by whoever reads those. Files have an address in place of an id.

use serde_json::{Map, Value, json};

use super::webhook::{text, time_ms};
use crate::{domain::inbound::InboundMessage, providers::cloud_api::webhook};

/// Kinds of files, with the kind that Meta calls them by.
const FILES: [(&str, &str); 6] = [
    ("image", "image"),
    ("video", "video"),
    ("audio", "audio"),
    ("voice", "audio"),
    ("document", "document"),
    ("sticker", "sticker"),
];
/// Where a file's address may stand; of an id alone nobody knows what to do with it.
const FILE_KEYS: [&str; 4] = ["path", "link", "url", "id"];

/// Reads a whole event.
pub(super) fn read_message(entry: &str) -> Result<InboundMessage, String> {
    let event: Value = serde_json::from_str(entry).map_err(|error| error.to_string())?;
    let message = as_metas(&event)?;
    webhook::parse_inbound(&Value::Object(message).to_string()).map_err(|unreadable| unreadable.0)
}

/// The same message as Meta would write it.
fn as_metas(event: &Value) -> Result<Map<String, Value>, String> {
    let said = event["whatsapp"].as_object().ok_or("whatsapp is missing")?;
    let mut message = said.clone();
    let id = text(&event["whatsapp"], &["id"]).or_else(|| text(event, &["id", "_id"])).ok_or("id is missing")?;
    message.insert("id".into(), json!(id));
    let at = time_ms(&event["whatsapp"]).or_else(|| time_ms(event)).ok_or("its time is missing")?;
    message.insert("timestamp".into(), json!(at.0.to_string()));
    let from = text(&event["whatsapp"], &["from"]).or_else(|| phone_of(&event["contact"]));
    message.insert("from".into(), json!(from.ok_or("it does not say from whom it came")?));
    // Only Meta's own keys name people otherwise, and Gallabox does not pass them on.
    message.remove("from_user_id");
    let kind = kind_of(said).ok_or("whatsapp.type is missing")?;
    if let Some((_, metas)) = FILES.iter().find(|(own, _)| *own == kind) {
        let object = message.remove(&kind).or_else(|| message.remove(*metas)).unwrap_or_default();
        message.insert((*metas).to_owned(), file(object, kind == "voice"));
        message.insert("type".into(), json!(metas));
    } else {
        message.insert("type".into(), json!(kind));
    }
    if let Some(flow) = message.get_mut("interactive").and_then(|interactive| interactive.get_mut("nfm_reply"))
        && flow.get("response_json").is_none_or(Value::is_null)
    {
        // All that was filled in, as far as anybody knows.
        flow["response_json"] = json!(flow.to_string());
    }
    Ok(message)
}

fn file(object: Value, voice: bool) -> Value {
    let address = FILE_KEYS.iter().find_map(|key| text(&object, &[key]));
    let mut file = json!({"id": address});
    for (key, from) in [
        ("caption", &["caption"][..]),
        ("mime_type", &["mime_type", "mimeType"]),
        ("filename", &["filename", "fileName", "name"]),
    ] {
        if let Some(value) = text(&object, from) {
            file[key] = json!(value);
        }
    }
    if voice || object["voice"] == true {
        file["voice"] = json!(true);
    }
    file
}

/// As it is named; else by the one part that there is.
fn kind_of(said: &Map<String, Value>) -> Option<String> {
    const PARTS: [&str; 13] = [
        "text",
        "button",
        "interactive",
        "image",
        "video",
        "audio",
        "voice",
        "document",
        "sticker",
        "location",
        "contacts",
        "reaction",
        "order",
    ];
    let named = said.get("type").and_then(Value::as_str).filter(|kind| !kind.is_empty());
    named.or_else(|| PARTS.into_iter().find(|part| said.contains_key(*part))).map(str::to_ascii_lowercase)
}

/// One number, or the first of several.
fn phone_of(contact: &Value) -> Option<String> {
    let phone = &contact["phone"];
    phone.as_str().or_else(|| phone[0].as_str()).filter(|phone| !phone.is_empty()).map(str::to_owned)
}
