//! 360dialog: the Cloud API below paths without a version and a number, because the key says which number it is.
//!
//! The key is the access token, or the token, a colon and a phone number id; without an id the first number is meant. Webhooks
//! can be sent elsewhere, and be given a header, by the same requests as at 360dialog.

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    cloud_api,
    graph::{self, Permission, refusal, unknown_object},
    media::{self, MediaQuery},
    payloads::WEBHOOK_SECRET_HEADER,
    rules::Refusal,
    state::World,
};

/// The header of the key.
pub(super) const KEY_HEADER: &str = "D360-API-KEY";

const TEMPLATES_PER_PAGE: usize = 1_000;

pub(super) fn routes(app: &mut web::ServiceConfig) {
    app.route("/messages", web::post().to(send_message))
        .route("/v1/configs/templates", web::get().to(list_templates))
        .route("/v1/configs/webhook", web::get().to(get_webhook))
        .route("/v1/configs/webhook", web::post().to(set_webhook))
        .route("/health_status", web::get().to(health))
        .route(r"/{id:\d+}", web::get().to(look_up));
}

/// The number that a key belongs to; empty when it names none.
fn number_of(request: &HttpRequest) -> &str {
    let key = request.headers().get(KEY_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    key.split_once(':').map_or("", |(_, number)| number)
}

async fn send_message(world: web::Data<World>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let sender = world.sender_or_first(number_of(&request));
    let id = sender.map_or(String::new(), |sender| sender.phone_number_id.clone());
    cloud_api::send(&world, &request, &id, body, false).await
}

#[derive(Deserialize)]
struct Page {
    limit: Option<usize>,
    #[serde(default)]
    offset: usize,
}

/// Each entry as Meta has it, but for the letters of its status.
async fn list_templates(world: web::Data<World>, request: HttpRequest, page: web::Query<Page>) -> HttpResponse {
    graph::answer(graph::authorize(&world, &request, Permission::Management).map(|()| {
        world.count(|stats| stats.template_pages += 1);
        let templates = world.templates();
        let limit = page.limit.unwrap_or(TEMPLATES_PER_PAGE).min(TEMPLATES_PER_PAGE);
        let entries: Vec<Value> =
            templates.entries().iter().skip(page.offset).take(limit).cloned().map(in_small_letters).collect();
        HttpResponse::Ok().json(json!({
            "count": entries.len(),
            "filters": {},
            "limit": limit,
            "offset": page.offset,
            "sort": ["id"],
            "total": templates.entries().len(),
            "waba_templates": entries,
        }))
    }))
}

fn in_small_letters(mut entry: Value) -> Value {
    if let Some(status) = entry["status"].as_str().map(str::to_ascii_lowercase) {
        entry["status"] = status.into();
    }
    entry
}

async fn get_webhook(world: web::Data<World>, request: HttpRequest) -> HttpResponse {
    graph::answer(graph::authorize(&world, &request, Permission::Management).map(|()| {
        let knobs = world.knobs();
        let url = knobs.webhook_url.clone().unwrap_or_default();
        HttpResponse::Ok().json(json!({"url": url, "headers": {WEBHOOK_SECRET_HEADER: knobs.webhook_secret}}))
    }))
}

async fn set_webhook(world: web::Data<World>, request: HttpRequest, body: web::Json<Value>) -> HttpResponse {
    graph::answer(graph::authorize(&world, &request, Permission::Management).and_then(|()| change(&world, &body)))
}

fn change(world: &World, body: &Value) -> Result<HttpResponse, Refusal> {
    let url = body["url"].as_str().ok_or_else(|| refusal(100, "url is missing."))?;
    let secret = body["headers"].as_object().and_then(|headers| {
        headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(WEBHOOK_SECRET_HEADER))?.1.as_str()
    });
    let change = world.change_knobs(|knobs| {
        knobs.webhook_url = Some(url.to_owned());
        knobs.webhook_secret = secret.unwrap_or_default().to_owned();
    });
    change.map_err(|problem| refusal(100, problem))?;
    Ok(HttpResponse::Ok().json(body))
}

async fn health(world: web::Data<World>, request: HttpRequest) -> HttpResponse {
    graph::answer(graph::authorize(&world, &request, Permission::Management).and_then(|()| {
        let number = number_of(&request);
        let sender = world.sender_or_first(number).ok_or_else(|| unknown_object(number))?;
        let can_send = json!({"can_send_message": "AVAILABLE", "entities": [
            {"entity_type": "PHONE_NUMBER", "id": sender.phone_number_id, "can_send_message": "AVAILABLE"}]});
        Ok(HttpResponse::Ok().json(json!({"id": sender.phone_number_id, "health_status": can_send})))
    }))
}

async fn look_up(
    world: web::Data<World>,
    request: HttpRequest,
    id: web::Path<String>,
    query: web::Query<MediaQuery>,
) -> HttpResponse {
    let asset = world.media().find(&id);
    graph::answer(match asset {
        Some(asset) => media::look_up(&world, &request, &asset, &query),
        None => Err(unknown_object(&id)),
    })
}
