//! Gallabox, as far as it is known: its developer API for sends, templates and conversations, and its webhooks.
//!
//! A send is put into Meta's words and goes the common way. The template's variables have names here that are not WhatsApp's,
//! so that whoever sends positions is refused. What Gallabox does not document is made as its users have seen it: an
//! answer has Gallabox's own id, while statuses have WhatsApp's and echo the caller's (or, when the knob says that
//! nothing is echoed, Gallabox's own).

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    SimulatedSender,
    checks::SendBody,
    dialect::Wire,
    gallabox_lists::{conversation_with, list_conversations, list_messages},
    graph::{self, refusal},
    knobs::Knobs,
    payloads::{self, Message, Update},
    rules::{Refusal, RefusalBody},
    script::Reported,
    sends::{self, Carried},
    state::{World, digits},
    templates::{HeaderForm, TemplateForm},
};

pub(super) fn routes(app: &mut web::ServiceConfig) {
    app.route("/devapi/messages/whatsapp", web::post().to(send))
        .route("/devapi/me", web::get().to(me))
        .route("/devapi/accounts/{account}/whatsappTemplates", web::get().to(list_templates))
        .route("/devapi/accounts/{account}/conversations", web::get().to(list_conversations))
        .route("/devapi/accounts/{account}/messages", web::get().to(list_messages));
}

/// The key is the access token, its secret the app secret.
pub(super) fn is_authorized(world: &World, request: &HttpRequest) -> bool {
    let knobs = world.knobs();
    let given = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    given("apiKey") == Some(&knobs.access_token) && given("apiSecret") == Some(&knobs.app_secret)
}

pub(super) fn authorize(world: &World, request: &HttpRequest) -> Result<(), Refusal> {
    if !is_authorized(world, request) {
        return Err(Refusal { http_status: Some(401), ..refusal(190, "Invalid API key or secret") });
    }
    if world.knobs().app_throttled {
        return Err(Refusal::code(4));
    }
    Ok(())
}

async fn send(world: web::Data<World>, request: HttpRequest, body: Bytes) -> HttpResponse {
    world.count(|stats| stats.sends_received += 1);
    let outcome = match read(&world, &request, &body) {
        Ok((sender, parsed)) => sends::carry(&world, sender, &parsed, false, &body).await,
        Err(refusal) => Err(refusal),
    };
    match outcome {
        Ok(Carried::Accepted { message, .. }) => HttpResponse::Accepted().json(json!({
            "id": own_id(&message.wamid), "status": "ACCEPTED", "message": "The message was accepted", "warnings": [],
        })),
        Ok(Carried::Unanswered) => sends::close_without_answer(),
        Err(refusal) => {
            sends::count_refusal(&world, &refusal);
            refuse(&refusal)
        }
    }
}

/// Its refusals have words and no codes.
fn unknown_channel() -> Refusal {
    Refusal { http_status: Some(404), ..refusal(100, "Channel not found") }
}

pub(super) fn refuse(refusal: &Refusal) -> HttpResponse {
    match refusal.body {
        RefusalBody::Json => {}
        RefusalBody::Html | RefusalBody::Empty => return graph::refuse(refusal),
    }
    let status = match refusal.code {
        4 | 80007 | 130429 | 131048 | 131056 => StatusCode::TOO_MANY_REQUESTS,
        _ => graph::http_status(refusal),
    };
    let (_, title) = super::codes::describe(refusal.code);
    let mut answer = HttpResponse::build(status);
    if let Some(seconds) = refusal.retry_after_s {
        answer.insert_header(("Retry-After", seconds.to_string()));
    }
    answer.json(json!({"message": refusal.details.as_deref().unwrap_or(title)}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GallaboxSend {
    channel_id: String,
    local_message_id: Option<String>,
    recipient: Recipient,
    whatsapp: Map<String, Value>,
}

#[derive(Deserialize)]
struct Recipient {
    phone: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GallaboxTemplate {
    template_name: String,
    language_code: Option<String>,
    #[serde(default)]
    body_values: Map<String, Value>,
    #[serde(default)]
    header_values: Map<String, Value>,
    #[serde(default)]
    button_values: Vec<GallaboxButton>,
}

#[derive(Deserialize)]
struct GallaboxButton {
    index: u64,
    sub_type: String,
    parameters: Value,
}

fn read(world: &World, request: &HttpRequest, body: &[u8]) -> Result<(Arc<SimulatedSender>, SendBody), Refusal> {
    authorize(world, request)?;
    let given: GallaboxSend =
        serde_json::from_slice(body).map_err(|error| refusal(100, format!("The body is not a message: {error}")))?;
    let sender = world.sender(&given.channel_id).ok_or_else(unknown_channel)?;
    let mut metas = in_metas_words(world, given.whatsapp)?;
    metas.insert("messaging_product".into(), json!("whatsapp"));
    // Digits only is right here, and wrong at Meta.
    metas.insert("to".into(), json!(format!("+{}", digits(&given.recipient.phone))));
    metas.insert("biz_opaque_callback_data".into(), json!(given.local_message_id));
    let parsed = serde_json::from_value(Value::Object(metas)).map_err(|error| refusal(100, error.to_string()))?;
    Ok((sender, parsed))
}

fn in_metas_words(world: &World, mut whatsapp: Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
    if whatsapp.get("type").and_then(Value::as_str) == Some("template") {
        let template = whatsapp.remove("template").unwrap_or_default();
        let template: GallaboxTemplate =
            serde_json::from_value(template).map_err(|error| refusal(100, format!("template: {error}")))?;
        whatsapp.insert("template".into(), template_in_metas_words(world, &template)?);
        return Ok(whatsapp);
    }
    for kind in ["image", "video", "audio", "document", "sticker"] {
        if let Some(media) = whatsapp.get_mut(kind).and_then(Value::as_object_mut)
            && let Some(path) = media.remove("path")
        {
            media.insert("link".into(), path);
        }
    }
    Ok(whatsapp)
}

fn template_in_metas_words(world: &World, given: &GallaboxTemplate) -> Result<Value, Refusal> {
    let templates = world.templates();
    let same_name = |entry: &&Value| entry["name"] == given.template_name.as_str();
    let first = || templates.entries().iter().find(same_name).and_then(|entry| entry["language"].as_str());
    let language = given.language_code.as_deref().or_else(first).unwrap_or_default();
    let mut components = Vec::new();
    if let Some(form) = templates.find(&given.template_name, language) {
        components.extend(header(&form, &given.header_values)?);
        let names = own_names(&form.parts.body.variables);
        let values = values(&names, &given.body_values)?;
        if !values.is_empty() {
            let named = form.parts.body.variables.iter().zip(values);
            let parameters: Vec<Value> =
                named.map(|(name, text)| parameter(&text, form.named.then_some(name.as_str()))).collect();
            components.push(json!({"type": "body", "parameters": parameters}));
        }
    }
    components.extend(given.button_values.iter().map(button));
    Ok(json!({"name": given.template_name, "language": {"code": language}, "components": components}))
}

fn parameter(text: &str, name: Option<&str>) -> Value {
    let mut parameter = json!({"type": "text", "text": text});
    if let Some(name) = name {
        parameter["parameter_name"] = json!(name);
    }
    parameter
}

fn header(form: &TemplateForm, given: &Map<String, Value>) -> Result<Option<Value>, Refusal> {
    let parameter = match &form.parts.header {
        HeaderForm::Fixed => return Ok(None),
        HeaderForm::Text(text) => {
            let text_values = values(&text.variables, given)?;
            let Some((name, text)) = text.variables.first().zip(text_values.first()) else { return Ok(None) };
            parameter(text, form.named.then_some(name.as_str()))
        }
        HeaderForm::Given(kind) if kind == "location" => json!({"type": "location", "location": given}),
        HeaderForm::Given(kind) => {
            let mut parameter = json!({"type": kind});
            parameter[kind.as_str()] = json!({"link": given.get("mediaUrl")});
            parameter
        }
    };
    Ok(Some(json!({"type": "header", "parameters": [parameter]})))
}

/// One value for each name, and none beside them.
fn values(names: &[String], given: &Map<String, Value>) -> Result<Vec<String>, Refusal> {
    if names.len() != given.len() {
        let (expected, received) = (names.len(), given.len());
        return Err(refusal(132000, format!("The template takes {expected} values, and {received} were given")));
    }
    let value = |name: &String| {
        let text = given.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or_else(|| refusal(132000, format!("The template variable {name} has no value")))
    };
    names.iter().map(value).collect()
}

fn button(given: &GallaboxButton) -> Value {
    let parameter = match (given.sub_type.as_str(), given.parameters["text"].as_str()) {
        ("copy_code", Some(code)) => json!({"type": "coupon_code", "coupon_code": code}),
        (_, _) => given.parameters.clone(),
    };
    json!({"type": "button", "sub_type": given.sub_type, "index": given.index, "parameters": [parameter]})
}

/// Gallabox's names for a body's variables: numbers get one.
fn own_names(variables: &[String]) -> Vec<String> {
    let is_number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    let name = |name: &String| if is_number(name) { format!("value_{name}") } else { name.clone() };
    variables.iter().map(name).collect()
}

/// An id in the form of Gallabox's, always the same from the same.
pub(super) fn own_id(of: &str) -> String {
    const ID_BYTES: usize = 12;
    hex::encode(&Sha256::digest(of.as_bytes())[..ID_BYTES])
}

async fn me(world: web::Data<World>, request: HttpRequest) -> HttpResponse {
    match authorize(&world, &request) {
        Ok(()) => HttpResponse::Ok().json(json!({"id": own_id("me"), "name": "The simulator"})),
        Err(refusal) => refuse(&refusal),
    }
}

async fn list_templates(world: web::Data<World>, request: HttpRequest, account: web::Path<String>) -> HttpResponse {
    if let Err(refusal) = authorize(&world, &request) {
        return refuse(&refusal);
    }
    world.count(|stats| stats.template_pages += 1);
    let templates = world.templates();
    let listed = templates.entries().iter().map(|entry| {
        let mut listed = entry.clone();
        let form =
            templates.find(entry["name"].as_str().unwrap_or_default(), entry["language"].as_str().unwrap_or_default());
        listed["_id"] = entry["id"].clone();
        listed["accountId"] = json!(*account);
        listed["status"] = json!(entry["status"].as_str().unwrap_or_default().to_ascii_lowercase());
        listed["variables"] = json!(form.map(|form| own_names(&form.parts.body.variables)).unwrap_or_default());
        if let Some(fields) = listed.as_object_mut() {
            fields.remove("id");
        }
        listed
    });
    HttpResponse::Ok().json(listed.collect::<Vec<_>>())
}

/// The webhook of one update; `None` for what Gallabox has no event for.
pub(super) fn write(update: &Update, knobs: &Knobs) -> Option<Wire> {
    let (name, event) = match update {
        Update::Status { message, status, at } => {
            let name = match status {
                Reported::Failed(_) => "Message.WA.Status.Failed",
                Reported::Sent | Reported::Delivered | Reported::Read | Reported::Played => {
                    "Message.WA.Status.Received"
                }
            };
            (name, status_event(message, *status, &knobs.timestamps.write(*at), knobs))
        }
        Update::Inbound { sender, contact, message } => {
            ("Message.Received", message_event(sender, contact.as_ref(), message))
        }
        Update::Change { waba_id, field, value } if field == "message_template_status_update" => {
            let language = value["message_template_language"].as_str().unwrap_or_default().replace('-', "_");
            let status = value["event"].as_str().unwrap_or_default().to_ascii_lowercase();
            let event = json!({"accountId": waba_id, "name": value["message_template_name"], "language": language,
                "status": status, "rejected_reason": value["reason"]});
            ("Template.Status", event)
        }
        Update::Change { .. } => return None,
    };
    let body = event.to_string();
    let signature = payloads::signature(&knobs.app_secret, body.as_bytes());
    let signature = hex::decode(signature.trim_start_matches("sha256=")).expect("it is hexadecimal");
    let headers = vec![
        ("Content-Type", "application/json".to_owned()),
        ("x-event-name", name.to_owned()),
        ("x-gallabox-signature", STANDARD.encode(signature)),
    ];
    Some(Wire { body: Bytes::from(body), headers })
}

fn status_event(message: &Message, status: Reported, timestamp: &Value, knobs: &Knobs) -> Value {
    let echoed = message.callback_data.as_ref().filter(|_| knobs.echo_callback_data);
    let id = if echoed.is_some() { message.wamid.clone() } else { own_id(&message.wamid) };
    let recipient = message.recipient.key();
    let mut event = json!({"id": id, "status": status.word(), "timestamp": timestamp, "recipient_id": recipient,
        "message": {"recipient_id": recipient}});
    if let Some(local) = echoed {
        event["localMessageId"] = json!(local);
    }
    if let Some(errors) = errors_of(status) {
        event["errors"] = errors;
    }
    event
}

pub(super) fn errors_of(status: Reported) -> Option<Value> {
    let Reported::Failed(code) = status else { return None };
    let (_, title) = super::codes::describe(code);
    Some(json!([{"code": code, "title": title, "message": title}]))
}

/// From Meta's message.
pub(super) fn message_event(sender: &SimulatedSender, contact: Option<&Value>, message: &Value) -> Value {
    let from = message["from"].as_str().unwrap_or_default();
    let wamid = message["id"].as_str().unwrap_or_default();
    let person = own_id(from);
    let mut whatsapp = message.clone();
    whatsapp["time"] = message["timestamp"].clone();
    whatsapp["status"] = json!("received");
    let kind = message["type"].as_str().unwrap_or_default();
    if ["image", "video", "audio", "document", "sticker"].contains(&kind)
        && let Some(media) = whatsapp[kind].as_object_mut()
    {
        media.remove("id");
        if let Some(url) = media.remove("url") {
            media.insert("path".into(), url);
        }
    }
    if let Some(fields) = whatsapp.as_object_mut() {
        fields.remove("timestamp");
    }
    let name = contact.map(|contact| contact["profile"]["name"].clone()).unwrap_or_default();
    let written = &message["timestamp"];
    let written = written.as_str().and_then(|text| text.parse().ok()).or_else(|| written.as_i64()).unwrap_or(0);
    let created_at = chrono::DateTime::from_timestamp(written, 0).map(|at| at.to_rfc3339()).unwrap_or_default();
    json!({
        "id": own_id(wamid), "conversationId": conversation_with(from),
        "accountId": sender.waba_id, "channelId": sender.phone_number_id, "channelType": "whatsapp",
        "localMessageId": null, "contactId": person, "sender": person, "senderType": "contact", "createdAt": created_at,
        "contact": {"id": person, "name": name, "phone": [from]},
        "whatsapp": whatsapp,
    })
}
