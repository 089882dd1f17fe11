//! The Cloud API: sends, receipts and the list of templates.
//!
//! Who asks, and for which number, is found out here; what becomes of a send is decided in `sends`.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde_json::json;

use super::{
    SimulatedSender,
    checks::SendBody,
    graph::{self, Permission, refusal, unknown_object},
    people,
    rules::Refusal,
    sends::{self, Carried},
    state::{World, unix_now},
    templates::ListQuery,
};

pub(super) fn routes(app: &mut web::ServiceConfig) {
    const NUMBER: &str = r"/{version:v\d+\.\d+}/{id}";
    app.route(&format!("{NUMBER}/messages"), web::post().to(send_message))
        .route(&format!("{NUMBER}/marketing_messages"), web::post().to(send_marketing_message))
        .route(&format!("{NUMBER}/message_templates"), web::get().to(list_templates));
}

async fn send_message(world: web::Data<World>, request: HttpRequest, body: Bytes) -> HttpResponse {
    send(&world, &request, request.match_info().get("id").unwrap_or_default(), body, false).await
}

async fn send_marketing_message(world: web::Data<World>, request: HttpRequest, body: Bytes) -> HttpResponse {
    send(&world, &request, request.match_info().get("id").unwrap_or_default(), body, true).await
}

/// A send by the number with this id, and its answer.
pub(super) async fn send(
    world: &World,
    request: &HttpRequest,
    phone_number_id: &str,
    body: Bytes,
    marketing: bool,
) -> HttpResponse {
    world.count(|stats| stats.sends_received += 1);
    take(world, request, phone_number_id, &body, marketing).await.unwrap_or_else(|refusal| {
        sends::count_refusal(world, &refusal);
        graph::refuse(&refusal)
    })
}

async fn take(
    world: &World,
    request: &HttpRequest,
    phone_number_id: &str,
    body: &Bytes,
    marketing: bool,
) -> Result<HttpResponse, Refusal> {
    let (sender, parsed) = read(world, request, phone_number_id, body)?;
    if parsed.status.as_deref() == Some("read") {
        return mark_read(world, &parsed);
    }
    Ok(match sends::carry(world, sender, &parsed, marketing, body).await? {
        Carried::Accepted { message, held } => answer(&parsed, &message.wamid, message.recipient.key(), held),
        Carried::Unanswered => sends::close_without_answer(),
    })
}

/// Who asks, for which number, and is it a document at all?
fn read(
    world: &World,
    request: &HttpRequest,
    phone_number_id: &str,
    body: &[u8],
) -> Result<(Arc<SimulatedSender>, SendBody), Refusal> {
    graph::authorize(world, request, Permission::Messaging)?;
    let sender = world.sender(phone_number_id).ok_or_else(|| unknown_object(phone_number_id))?;
    let parsed: SendBody =
        serde_json::from_slice(body).map_err(|error| refusal(100, format!("The body is not a message: {error}")))?;
    Ok((sender, parsed))
}

fn mark_read(world: &World, parsed: &SendBody) -> Result<HttpResponse, Refusal> {
    if !parsed.message_id.as_deref().is_some_and(|id| id.starts_with("wamid.")) {
        return Err(refusal(131009, "message_id is not the id of a message."));
    }
    world.count(|stats| stats.messages_marked_read += 1);
    Ok(HttpResponse::Ok().json(json!({"success": true})))
}

fn answer(parsed: &SendBody, wamid: &str, recipient: &str, held: bool) -> HttpResponse {
    let mut message = json!({"id": wamid});
    if parsed.template.is_some() {
        message["message_status"] = if held { "held_for_quality_assessment" } else { "accepted" }.into();
    }
    let contact = if people::is_user_id(recipient) {
        json!({"input": recipient, "user_id": recipient})
    } else {
        json!({"input": parsed.to, "wa_id": recipient})
    };
    HttpResponse::Ok().json(json!({
        "messaging_product": "whatsapp",
        "contacts": [contact],
        "messages": [message],
    }))
}

async fn list_templates(world: web::Data<World>, request: HttpRequest, query: web::Query<ListQuery>) -> HttpResponse {
    graph::answer(graph::authorize(&world, &request, Permission::Management).and_then(|()| {
        world.count(|stats| stats.template_pages += 1);
        let own_url = format!("http://{}{}", request.connection_info().host(), request.path());
        let now_ms = unix_now().as_millis() as u64;
        let page = world.templates().page(&query, &own_url, world.knobs().cursor_ms, now_ms);
        let page = page.ok_or_else(|| Refusal::code(131059))?;
        Ok(HttpResponse::Ok().json(page))
    }))
}
