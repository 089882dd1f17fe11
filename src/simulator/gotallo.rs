//! GoTallo: its one webhook, which is a message, whole, whenever one comes, goes out or changes; and, because it documents no way
//! to send, a private endpoint such as a customer might have built.
//!
//! Whoever sends there gives the message in Meta's words, and data of his own, which come back with every report. Nothing is signed:
//! the URL that webhooks go to must hold what nobody can guess. Where a failure's reason and a place stand is documented nowhere,
//! and guessed here.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    SimulatedSender,
    checks::SendBody,
    codes,
    dialect::Wire,
    gallabox::own_id,
    graph::{self, Permission, refusal, unknown_object},
    knobs::Knobs,
    payloads::{Message, Update},
    rules::Refusal,
    script::Reported,
    sends::{self, Carried},
    state::World,
};

pub(super) fn routes(app: &mut web::ServiceConfig) {
    app.route("/gotallo/{platform}/messages", web::post().to(send));
}

/// What the private endpoint takes.
#[derive(Deserialize)]
struct PrivateSend {
    /// As Meta's Cloud API has it.
    message: Map<String, Value>,
    #[serde(default)]
    custom_data: CustomData,
}

#[derive(Default, Deserialize)]
struct CustomData {
    reference: Option<String>,
}

async fn send(world: web::Data<World>, request: HttpRequest, platform: web::Path<String>, body: Bytes) -> HttpResponse {
    world.count(|stats| stats.sends_received += 1);
    let outcome = match read(&world, &request, &platform, &body) {
        Ok((sender, parsed)) => sends::carry(&world, sender, &parsed, false, &body).await,
        Err(refusal) => Err(refusal),
    };
    match outcome {
        Ok(Carried::Accepted { message, .. }) => {
            HttpResponse::Ok().json(json!({"id": own_id(&message.wamid), "status": "PREPARED"}))
        }
        Ok(Carried::Unanswered) => sends::close_without_answer(),
        Err(refusal) => {
            sends::count_refusal(&world, &refusal);
            graph::refuse(&refusal)
        }
    }
}

fn read(
    world: &World,
    request: &HttpRequest,
    platform: &str,
    body: &[u8],
) -> Result<(std::sync::Arc<SimulatedSender>, SendBody), Refusal> {
    graph::authorize(world, request, Permission::Messaging)?;
    let sender = world.sender(platform).ok_or_else(|| unknown_object(platform))?;
    let given: PrivateSend =
        serde_json::from_slice(body).map_err(|error| refusal(100, format!("The body is not a message: {error}")))?;
    let mut message = given.message;
    message.insert("biz_opaque_callback_data".into(), json!(given.custom_data.reference));
    let parsed = serde_json::from_value(Value::Object(message)).map_err(|error| refusal(100, error.to_string()))?;
    Ok((sender, parsed))
}

/// The webhook of one update; `None` for what GoTallo does not tell.
pub(super) fn write(update: &Update, knobs: &Knobs) -> Option<Wire> {
    let message = match update {
        Update::Status { message, status, at } => report(message, *status, *at, knobs),
        Update::Inbound { sender, contact, message } => received(sender, contact.as_ref(), message),
        Update::Change { .. } => return None,
    };
    let headers = vec![("Content-Type", "application/json".to_owned())];
    Some(Wire { body: message.to_string().into(), headers })
}

/// What became of a message that was sent by the endpoint.
fn report(message: &Message, status: Reported, at: Duration, knobs: &Knobs) -> Value {
    let mut told = whole(&message.sender, &message.wamid, message.recipient.key(), at.as_millis() as i64);
    told["type"] = if message.category == "service" { "TEXT" } else { "HSM" }.into();
    told["outbound"] = true.into();
    told["status"] = match status {
        Reported::Sent => "SENT",
        Reported::Delivered => "DELIVERED",
        Reported::Read | Reported::Played => "READ",
        Reported::Failed(_) => "FAILED",
    }
    .into();
    if let Some(reference) = message.callback_data.as_ref().filter(|_| knobs.echo_callback_data) {
        told["custom_data"] = json!({"reference": reference});
    }
    if let Reported::Failed(code) = status {
        told["metadata"] = json!({"error_code": code.to_string(), "error_message": codes::describe(code).1});
    }
    told
}

/// What a person wrote, from Meta's message.
fn received(sender: &SimulatedSender, contact: Option<&Value>, message: &Value) -> Value {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let from = text(&message["from"]);
    let mut told = whole(sender, &text(&message["id"]), &from, written_at_ms(&message["timestamp"]));
    told["status"] = "RECEIVED".into();
    told["count_as_inbound"] = true.into();
    told["chat_user"]["first_name"] = contact.map(|contact| contact["profile"]["name"].clone()).unwrap_or_default();
    if let Some(quoted) = message["context"]["id"].as_str() {
        told["quote"] = whole(sender, quoted, &from, written_at_ms(&message["timestamp"]));
        told["quote"]["outbound"] = true.into();
    }
    let kind = text(&message["type"]);
    let content = &message[kind.as_str()];
    let voice = content["voice"] == true;
    let (own_kind, words, aside) = match kind.as_str() {
        "text" => ("TEXT", &content["body"], Value::Null),
        "button" => ("BUTTON", &content["text"], json!({"payload": content["payload"]})),
        "interactive" => {
            let reply = &content[content["type"].as_str().unwrap_or_default()];
            let words = if reply["title"].is_null() { &reply["body"] } else { &reply["title"] };
            ("WA_INTERACTIVE", words, json!({"id": reply["id"]}))
        }
        "image" => ("IMAGE", &content["caption"], Value::Null),
        "video" => ("VIDEO", &content["caption"], Value::Null),
        "audio" if voice => ("VOICE", &Value::Null, Value::Null),
        "audio" => ("AUDIO", &Value::Null, Value::Null),
        "document" => ("FILE", &content["caption"], Value::Null),
        "sticker" => ("STICKER", &Value::Null, Value::Null),
        "location" => ("LOCATION", &Value::Null, content.clone()),
        "contacts" => ("CONTACT", &Value::Null, json!({"contacts": content})),
        _ => ("EVENT", &Value::Null, content.clone()),
    };
    told["type"] = own_kind.into();
    told["text"] = words.clone();
    if aside.is_object() {
        told["auxiliary_data"] = aside;
    }
    if let Some(url) = content["url"].as_str() {
        told["file"] = json!({"secure_url": url});
        told["mime_type"] = content["mime_type"].clone();
        told["media_title"] = content["filename"].clone();
        told["file_type"] = kind.into();
    }
    told
}

/// Everything that GoTallo documents of a message; of what the simulator does not know, what GoTallo has for nothing.
fn whole(sender: &SimulatedSender, wamid: &str, person: &str, at_ms: i64) -> Value {
    let at = DateTime::from_timestamp_millis(at_ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true);
    let tenant = &sender.waba_id;
    json!({
        "id": own_id(wamid), "ext_identifier": wamid, "conversation_id": own_id(&format!("conversation with {person}")),
        "tenant_id": tenant, "agent_id": null, "agent": null, "timestamp": at, "modified_timestamp": at, "type": "TEXT",
        "status": "READ", "outbound": false, "text": null, "file": null, "file_type": null, "mime_type": null,
        "media_title": null, "auxiliary_data": {}, "custom_data": {}, "metadata": {}, "transcribe_enabled": false,
        "transcribe_in_progress": false, "count_as_inbound": false, "quote": null, "template": null,
        "platform": "WHATSAPP", "platform_id": sender.phone_number_id, "conversation_state": "OPEN",
        "tenant": {"id": tenant, "name": "Acme", "org_id": "simulated"},
        "chat_user": {"id": own_id(person), "username": null, "first_name": null, "last_name": null,
            "phone_number": format!("+{person}"), "gender": null, "profile_picture": null},
    })
}

/// Seconds or milliseconds, as text or number, as a knob has them written.
fn written_at_ms(written: &Value) -> i64 {
    /// As seconds this would be the year 33658.
    const MILLISECONDS_FROM: i64 = 1_000_000_000_000;
    let number = written.as_str().and_then(|text| text.parse().ok()).or_else(|| written.as_i64()).unwrap_or_default();
    if number >= MILLISECONDS_FROM { number } else { number.saturating_mul(1_000) }
}
