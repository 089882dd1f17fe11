//! What platforms call: the one endpoint for their messages.

use std::time::Instant;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{ALLOW, ContentType, HeaderValue},
    },
    web::{Data, Path, Payload},
};

use super::{
    Parts,
    access::account_of_caller,
    body::read_body,
    error::{self, not_found},
};
use crate::{
    domain::failure::{Refusal, RefusalKind},
    platforms::{self, Accepted, Platform, Reply},
    services::{
        accept::STRANGER_BODY_BYTES_MAX,
        traces::{AcceptedRequest, Caller},
    },
    telemetry,
};

/// Takes one message of an account, template or freeform, and answers when it is stored: within the
/// second that the platform waits.
#[utoipa::path(
    post, path = "/clevertap/{account}/messages", tag = "platform",
    operation_id = "send_message",
    params(("account" = String, Path, description = "The account's id in the bridge")),
    request_body(
        content = serde_json::Value, content_type = "application/json",
        description = "CleverTap's message; its shape is theirs and described in openapi/external/clevertap.yaml"
    ),
    responses(
        (status = 200, description = "Stored, or refused with a code that the platform knows", body = super::openapi::SendAnswer),
        (status = 500, description = "Could not be stored; it will not be sent", body = super::openapi::SendAnswer),
    )
)]
pub async fn send(request: HttpRequest, path: Path<String>, payload: Payload, parts: Data<Parts>) -> HttpResponse {
    receive(&request, &path, None, payload, &parts).await
}

/// As `/clevertap/{account}/messages`, for accounts that prove who they are by a URL that nobody can guess.
#[utoipa::path(
    post, path = "/clevertap/{account}/{url_token}/messages", tag = "platform",
    operation_id = "send_message_by_url",
    params(
        ("account" = String, Path, description = "The account's id in the bridge"),
        ("url_token" = String, Path, description = "The account's secret part of the URL"),
    ),
    request_body(content = serde_json::Value, content_type = "application/json"),
    responses(
        (status = 200, description = "Stored, or refused with a code that the platform knows", body = super::openapi::SendAnswer),
        (status = 500, description = "Could not be stored; it will not be sent", body = super::openapi::SendAnswer),
    )
)]
pub async fn send_by_url(
    request: HttpRequest,
    path: Path<(String, String)>,
    payload: Payload,
    parts: Data<Parts>,
) -> HttpResponse {
    receive(&request, &path.0, Some(&path.1), payload, &parts).await
}

/// Whoever opens the endpoint in a browser learns that it is the right one.
pub async fn post_only() -> HttpResponse {
    let mut answer = error::answer(StatusCode::METHOD_NOT_ALLOWED, "post messages here: this endpoint takes POST only");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    answer
}

async fn receive(
    request: &HttpRequest,
    account_id: &str,
    url_token: Option<&str>,
    payload: Payload,
    parts: &Parts,
) -> HttpResponse {
    let arrived = Instant::now();
    let slug = request.path().split('/').nth(1).unwrap_or_default();
    // The router has decoded the path, so the slug may be spelled in a way that we do not serve.
    let Some(platform) = platforms::find(slug) else { return not_found().await };
    let outcome = accept(request, platform, account_id, url_token, payload, parts, arrived).await;
    let took = arrived.elapsed();
    metrics::histogram!(telemetry::ACCEPT_SECONDS).record(took.as_secs_f64());
    // How fast whoever has not proved who it is was answered says nothing; those that are kept are counted there.
    let refused = outcome.as_ref().err().map(|refusal| refusal.kind);
    if refused != Some(RefusalKind::Credentials)
        && let Some(account) = parts.directory.snapshot().account(account_id)
    {
        parts.statistics.answered(account.key, took, refused.is_some());
    }
    let reply = platform.reply(outcome.as_ref());
    if let Ok(Accepted { message: Some(message), repeat }) = outcome
        && let Some(traced) = parts.traces.of(message)
    {
        let header = request.headers().get("traceparent").and_then(|header| header.to_str().ok());
        traced.accepted(AcceptedRequest {
            account: account_id,
            route: request.match_pattern().unwrap_or_default(),
            http_status: reply.http_status,
            repeat,
            caller: header.and_then(Caller::parse),
            took,
        });
    }
    answer(reply)
}

/// An answer in a platform's own words.
pub(super) fn answer(reply: Reply) -> HttpResponse {
    let status = StatusCode::from_u16(reply.http_status).expect("dialects answer with statuses that exist");
    HttpResponse::build(status).content_type(ContentType::json()).body(reply.body)
}

async fn accept(
    request: &HttpRequest,
    platform: &dyn Platform,
    account_id: &str,
    url_token: Option<&str>,
    payload: Payload,
    parts: &Parts,
    arrived: Instant,
) -> Result<Accepted, Refusal> {
    let snapshot = parts.directory.snapshot();
    match account_of_caller(request, platform, &snapshot, account_id, url_token, &parts.settings.server.trusted_proxies)
    {
        Ok(account) => {
            let body = read_body(payload, parts.settings.limits.send_body_bytes).await;
            let body = body.map_err(|problem| Refusal::new(RefusalKind::Other, problem.message()))?;
            parts.acceptor.accept(platform, account, &body, arrived).await
        }
        Err(stranger) => {
            // Who has not proved who it is may not fill our memory.
            let body = read_body(payload, STRANGER_BODY_BYTES_MAX).await.unwrap_or_default();
            Err(parts.acceptor.refuse_caller(&stranger, &body, platform.message_id_within(&body)))
        }
    }
}
