//! CommBox: templates by its own envelope around Meta's, one entry in the answer for each recipient, and events with user
//! and password, statuses in JSON and what people write in XML.
//!
//! A channel's encrypted id is any text whose digits are a phone number id. How CommBox writes statuses, and where it lists
//! templates, is published nowhere: both are guesses here.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    SimulatedSender,
    checks::SendBody,
    codes,
    dialect::Wire,
    graph::{self, Permission, refusal, unknown_object},
    knobs::Knobs,
    payloads::Update,
    rules::Refusal,
    script::Reported,
    sends::{self, Carried},
    state::{World, digits},
};

/// Who shows the knob's `webhook_secret`.
const WEBHOOK_USER: &str = "wabridge";
const TEMPLATES_PER_PAGE: usize = 50;
const RECIPIENTS_MAX: usize = 20;

pub(super) fn routes(app: &mut web::ServiceConfig) {
    app.route("/v2/whatsapp/sendtemplatedmessage/{stream}", web::post().to(send))
        .route("/streams/{stream}/objects/{object}/child", web::post().to(answer))
        .route("/whatsapp/templates/{stream}", web::get().to(list_templates))
        .route("/whatsapp/validatecontact/{stream}/{phone}", web::get().to(validate))
        .route("/core/systemstatus", web::get().to(system_status));
}

fn envelope(status: StatusCode, description: &str, data: &Value) -> HttpResponse {
    HttpResponse::build(status).json(json!({
        // A text, as CommBox has it.
        "status": status.as_u16().to_string(),
        "description": description,
        "response_time": "2026-09-21T14:13:20Z",
        "data": data,
    }))
}

/// Its refusals have words and no codes.
fn refused(refusal: &Refusal, data: &Value) -> HttpResponse {
    let status = match refusal.code {
        190 => StatusCode::UNAUTHORIZED,
        130429 | 131056 | 4 | 80007 => StatusCode::TOO_MANY_REQUESTS,
        _ => graph::http_status(refusal),
    };
    envelope(status, &words(refusal), data)
}

fn words(refusal: &Refusal) -> String {
    refusal.details.clone().unwrap_or_else(|| codes::describe(refusal.code).1.to_owned())
}

async fn send(world: web::Data<World>, request: HttpRequest, stream: web::Path<String>, body: Bytes) -> HttpResponse {
    world.count(|stats| stats.sends_received += 1);
    take(&world, &request, &stream, &body).await.unwrap_or_else(|refusal| {
        sends::count_refusal(&world, &refusal);
        refused(&refusal, &json!([]))
    })
}

async fn take(world: &World, request: &HttpRequest, stream: &str, body: &Bytes) -> Result<HttpResponse, Refusal> {
    graph::authorize(world, request, Permission::Messaging)?;
    let id = digits(stream);
    let sender = world.sender(&id).ok_or_else(|| Refusal { http_status: Some(404), ..unknown_object(stream) })?;
    let parsed: Value = serde_json::from_slice(body).map_err(|error| refusal(100, error.to_string()))?;
    let entries = parsed["data"].as_array().filter(|entries| (1..=RECIPIENTS_MAX).contains(&entries.len()));
    let entries = entries.ok_or_else(|| refusal(100, "data must have 1 to 20 recipients."))?;
    let mut told = Vec::with_capacity(entries.len());
    for entry in entries {
        let Some(one) = take_one(world, &sender, &entry["template_data"], body).await else {
            return Ok(sends::close_without_answer());
        };
        told.push(one);
    }
    let failed = told.iter().filter(|entry| entry["status"] == 400).count();
    let status = match failed {
        0 => StatusCode::OK,
        all if all == told.len() => StatusCode::BAD_REQUEST,
        _ => StatusCode::PARTIAL_CONTENT,
    };
    Ok(envelope(status, "", &told.into()))
}

/// One recipient's entry of the answer; `None` when nobody is to hear.
async fn take_one(world: &World, sender: &std::sync::Arc<SimulatedSender>, data: &Value, raw: &Bytes) -> Option<Value> {
    let to = data["to"].as_str().unwrap_or_default();
    let as_meta = json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": format!("+{to}"),
        "type": "template", "template": data["template"]});
    let carried = match serde_json::from_value::<SendBody>(as_meta) {
        Ok(body) => sends::carry(world, sender.clone(), &body, false, raw).await,
        Err(error) => Err(refusal(100, error.to_string())),
    };
    match carried {
        Ok(Carried::Accepted { message, .. }) => Some(json!({"recipient": to, "id": message.wamid, "status": 200})),
        Ok(Carried::Unanswered) => None,
        Err(refusal) => {
            sends::count_refusal(world, &refusal);
            Some(json!({"recipient": to, "status": 400, "failed": words(&refusal)}))
        }
    }
}

/// A text into a conversation, which must be the person's.
async fn answer(
    world: web::Data<World>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    body: Bytes,
) -> HttpResponse {
    world.count(|stats| stats.sends_received += 1);
    let (stream, object) = path.into_inner();
    match take_answer(&world, &request, (&stream, &object), &body).await {
        Ok(Carried::Accepted { message, .. }) => envelope(StatusCode::OK, "", &json!({"id": message.wamid})),
        Ok(Carried::Unanswered) => sends::close_without_answer(),
        Err(refusal) => {
            sends::count_refusal(&world, &refusal);
            refused(&refusal, &Value::Null)
        }
    }
}

async fn take_answer(
    world: &World,
    request: &HttpRequest,
    (stream, object): (&str, &str),
    body: &Bytes,
) -> Result<Carried, Refusal> {
    graph::authorize(world, request, Permission::Messaging)?;
    let sender = world.sender(&digits(stream)).ok_or_else(|| unknown_object(stream))?;
    let parsed: Value = serde_json::from_slice(body).map_err(|error| refusal(100, error.to_string()))?;
    let said = &parsed["data"];
    let to = said["UserStreamProviderId"].as_str().unwrap_or_default();
    if object != conversation_with(to) {
        return Err(Refusal { http_status: Some(404), ..unknown_object(object) });
    }
    let as_meta = json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": format!("+{to}"),
        "type": "text", "text": {"body": said["Message"]}});
    let as_meta = serde_json::from_value(as_meta).map_err(|error| refusal(100, error.to_string()))?;
    sends::carry(world, sender, &as_meta, false, body).await
}

/// The id of a person's conversation.
fn conversation_with(person: &str) -> String {
    format!("5{person}")
}

#[derive(Deserialize)]
struct Page {
    limit: Option<usize>,
    /// Counts pages.
    #[serde(default)]
    offset: usize,
}

/// Approved ones only, without their status.
async fn list_templates(world: web::Data<World>, request: HttpRequest, page: web::Query<Page>) -> HttpResponse {
    if let Err(refusal) = graph::authorize(&world, &request, Permission::Management) {
        return refused(&refusal, &json!([]));
    }
    world.count(|stats| stats.template_pages += 1);
    let limit = page.limit.unwrap_or(TEMPLATES_PER_PAGE).clamp(1, 200);
    let templates = world.templates();
    let approved = templates.entries().iter().filter(|entry| entry["status"] == "APPROVED");
    let mut entries: Vec<Value> = approved.skip(page.offset.saturating_mul(limit)).take(limit).cloned().collect();
    for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
        entry.remove("status");
    }
    envelope(StatusCode::OK, "", &entries.into())
}

async fn validate(world: web::Data<World>, request: HttpRequest, path: web::Path<(String, String)>) -> HttpResponse {
    let known = graph::authorize(&world, &request, Permission::Management)
        .and_then(|()| world.sender(&digits(&path.0)).ok_or_else(|| unknown_object(&path.0)));
    match known {
        Ok(_) => envelope(StatusCode::OK, "", &json!({"valid": true})),
        Err(refusal) => refused(&refusal, &Value::Null),
    }
}

async fn system_status(world: web::Data<World>, request: HttpRequest) -> HttpResponse {
    match graph::authorize(&world, &request, Permission::Management) {
        Ok(()) => envelope(StatusCode::OK, "", &json!({"system": "up"})),
        Err(refusal) => refused(&refusal, &Value::Null),
    }
}

/// One event; `None` when CommBox has no words for it.
pub(super) fn write(updates: &[Update], knobs: &Knobs) -> Option<Wire> {
    let (content_type, body) = match updates.first()? {
        Update::Status { message, status, at } => {
            let (name, error) = match status {
                Reported::Sent => ("Sent", Value::Null),
                Reported::Delivered => ("Delivered", Value::Null),
                Reported::Read | Reported::Played => ("Read", Value::Null),
                Reported::Failed(code) => {
                    ("Failed", json!({"code": code.to_string(), "title": codes::describe(*code).1}))
                }
            };
            let event = json!({"Event": {"Subscription": "WhatsApp", "Name": "OnStatus", "Brand": "acme", "WhatsApp": {
                "StreamId": "77", "MessageId": message.wamid, "Recipient": message.recipient.key(),
                "Status": name.to_lowercase(), "Timestamp": at.as_secs().to_string(), "Error": error}}});
            ("application/json", event.to_string())
        }
        Update::Inbound { message, .. } => ("application/xml", inbound(message)),
        Update::Change { .. } => return None,
    };
    let credentials = STANDARD.encode(format!("{WEBHOOK_USER}:{}", knobs.webhook_secret));
    let headers = vec![("Content-Type", content_type.to_owned()), ("Authorization", format!("Basic {credentials}"))];
    Some(Wire { body: body.into(), headers })
}

fn inbound(message: &Value) -> String {
    let text = |value: &Value| escaped(value.as_str().unwrap_or_default());
    let words = message.pointer("/text/body").or_else(|| message.pointer("/button/text"));
    let (from, id, words) = (text(&message["from"]), text(&message["id"]), words.map(text).unwrap_or_default());
    let conversation = conversation_with(&from);
    let seconds = message["timestamp"].as_str().and_then(|seconds| seconds.parse().ok()).unwrap_or_default();
    let date = chrono::DateTime::from_timestamp(seconds, 0).unwrap_or_default().format("%d-%m-%Y %H:%M:%S");
    format!(
        r#"<?xml version="1.0" encoding="utf-8"?><Event Subscription="Object" Name="OnNewChild" Brand="acme">
<Object Id="{conversation}" StreamId="77" StreamProviderType="16" Type="4" StatusID="1"><Children><Child Id="9001" CreateDate="{date}"
 Type="0" StreamProviderId="{id}"><Message>{words}</Message><ManagerId>0</ManagerId><User Id="31"><Phone1>{from}</Phone1>
<Identity><StreamProviderId>{from}</StreamProviderId></Identity></User></Child></Children></Object></Event>"#
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
