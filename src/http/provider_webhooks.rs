//! What providers call: their question whether a URL is ours, and their webhooks.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header::ContentType},
    web::{Data, Path, Payload},
};

use super::{Parts, access::remote_address, error::answer};
use crate::{
    providers::{self, WebhookRequest},
    telemetry,
};

/// A request for a token names a client and its secret.
const TOKEN_REQUEST_BYTES_MAX: usize = 8 * 1024;

/// The provider asks whether this URL is ours, when it is entered at the provider.
#[utoipa::path(
    get, path = "/webhooks/{provider}/{connection}", tag = "provider", operation_id = "webhook_handshake",
    params(
        ("provider" = String, Path, description = "The provider's slug, for example meta"),
        ("connection" = String, Path, description = "The connection's id in the bridge"),
    ),
    responses(
        (status = 200, description = "The provider's challenge, as it came", body = String, content_type = "text/plain"),
        (status = 403, description = "The verify token is not the connection's", body = super::openapi::ErrorAnswer),
    )
)]
pub async fn handshake(request: HttpRequest, path: Path<(String, String)>, parts: Data<Parts>) -> HttpResponse {
    let (provider, connection) = path.into_inner();
    let snapshot = parts.directory.snapshot();
    let challenge = snapshot
        .connection(&connection)
        .filter(|connection| connection.provider == provider)
        .zip(providers::find(&provider))
        .and_then(|(connection, provider)| provider.answer_handshake(connection, request.query_string()));
    match challenge {
        Some(challenge) => HttpResponse::Ok().content_type(ContentType::plaintext()).body(challenge),
        None => answer(
            StatusCode::FORBIDDEN,
            "not verified: check the connection's id in the URL and that the verify token is the one configured here",
        ),
    }
}

/// Takes one webhook, and answers when what it says is stored.
#[utoipa::path(
    post, path = "/webhooks/{provider}/{connection}", tag = "provider", operation_id = "webhook_receive",
    params(
        ("provider" = String, Path, description = "The provider's slug, for example meta"),
        ("connection" = String, Path, description = "The connection's id in the bridge"),
    ),
    request_body(content = serde_json::Value, content_type = "application/json", description = "The provider's own shape"),
    responses(
        (status = 200, description = "Stored, also where parts of it could not be understood"),
        (status = 401, description = "Not signed by the connection's provider", body = super::openapi::ErrorAnswer),
        (status = 413, description = "Larger than is accepted here", body = super::openapi::ErrorAnswer),
        (status = 503, description = "Could not be stored: send it again", body = super::openapi::ErrorAnswer),
    )
)]
pub async fn receive(
    request: HttpRequest,
    path: Path<(String, String)>,
    payload: Payload,
    parts: Data<Parts>,
) -> HttpResponse {
    let (provider, connection) = path.into_inner();
    take(&request, (&provider, &connection, None), payload, &parts).await
}

/// Takes one webhook of a provider that signs nothing: a secret part of the URL shows that it is the provider's.
#[utoipa::path(
    post, path = "/webhooks/{provider}/{connection}/{url_token}", tag = "provider",
    operation_id = "webhook_receive_by_url",
    params(
        ("provider" = String, Path, description = "The provider's slug"),
        ("connection" = String, Path, description = "The connection's id in the bridge"),
        ("url_token" = String, Path, description = "The connection's secret part of the URL"),
    ),
    request_body(content = serde_json::Value, content_type = "application/json", description = "The provider's own shape"),
    responses(
        (status = 200, description = "Stored, also where parts of it could not be understood"),
        (status = 401, description = "Not from the connection's provider", body = super::openapi::ErrorAnswer),
        (status = 413, description = "Larger than is accepted here", body = super::openapi::ErrorAnswer),
        (status = 503, description = "Could not be stored: send it again", body = super::openapi::ErrorAnswer),
    )
)]
pub async fn receive_by_url(
    request: HttpRequest,
    path: Path<(String, String, String)>,
    payload: Payload,
    parts: Data<Parts>,
) -> HttpResponse {
    let (provider, connection, url_token) = path.into_inner();
    take(&request, (&provider, &connection, Some(&url_token)), payload, &parts).await
}

/// A token for a provider that fetches one before it calls: by client credentials or by user and password.
#[utoipa::path(
    post, path = "/webhooks/{provider}/{connection}/token", tag = "provider", operation_id = "webhook_token",
    params(
        ("provider" = String, Path, description = "The provider's slug, for example commbox"),
        ("connection" = String, Path, description = "The connection's id in the bridge"),
    ),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "As OAuth2 has it"),
    responses(
        (status = 200, description = "A token and how long it is taken, as OAuth2 has it", body = serde_json::Value),
        (status = 401, description = "Not the connection's client", body = super::openapi::ErrorAnswer),
        (status = 413, description = "Larger than is accepted here", body = super::openapi::ErrorAnswer),
    )
)]
pub async fn token(
    request: HttpRequest,
    path: Path<(String, String)>,
    payload: Payload,
    parts: Data<Parts>,
) -> HttpResponse {
    let (provider, connection) = path.into_inner();
    let snapshot = parts.directory.snapshot();
    let known = snapshot
        .connection(&connection)
        .filter(|connection| connection.provider == provider)
        .zip(providers::find(&provider));
    let Some((connection, provider)) = known else { return unsigned(&request, &parts, &connection) };
    let body = match parts.webhook_room.read(payload, TOKEN_REQUEST_BYTES_MAX).await {
        Ok(body) => body,
        Err(problem) => return counted("unread", answer(problem.status(), &problem.message())),
    };
    let header = |name: &str| request.headers().get(name)?.to_str().ok();
    let caller = remote_address(&request, &parts.settings.server.trusted_proxies);
    let asked = WebhookRequest { header: &header, url_token: None, caller, body: &body.bytes };
    match provider.issue_token(connection, &asked) {
        Some(token) => HttpResponse::Ok()
            .insert_header(("Cache-Control", "no-store"))
            .content_type(ContentType::json())
            .body(token),
        None => unsigned(&request, &parts, &connection.id),
    }
}

async fn take(
    request: &HttpRequest,
    (provider, connection, url_token): (&str, &str, Option<&str>),
    payload: Payload,
    parts: &Parts,
) -> HttpResponse {
    let snapshot = parts.directory.snapshot();
    let known = snapshot
        .connection(connection)
        .filter(|connection| connection.provider == provider)
        .zip(providers::find(provider));
    // An unknown connection and a wrong signature look the same from outside.
    let Some((connection, provider)) = known else { return unsigned(request, parts, connection) };
    let body = match parts.webhook_room.read(payload, parts.settings.limits.webhook_body_bytes).await {
        Ok(body) => body,
        Err(problem) => return counted("unread", answer(problem.status(), &problem.message())),
    };
    let header = |name: &str| request.headers().get(name)?.to_str().ok();
    let caller = remote_address(request, &parts.settings.server.trusted_proxies);
    let webhook = WebhookRequest { header: &header, url_token, caller, body: &body.bytes };
    if provider.verify_webhook(connection, &webhook).is_err() {
        return unsigned(request, parts, &connection.id);
    }
    let Ok(_place) = parts.webhook_places.try_acquire() else {
        return counted("shed", answer(StatusCode::SERVICE_UNAVAILABLE, "too many webhooks at once; send it again"));
    };
    let parsed = provider.parse_webhook(connection, &webhook);
    let traced = parts.traces.of_webhook(&parsed);
    let response = match parts.ingestor.ingest(connection, parsed).await {
        Ok(()) => counted("stored", HttpResponse::Ok().finish()),
        Err(error) => {
            tracing::error!(connection.id = connection.id, "could not store a webhook of {}: {error}", connection.id);
            counted("failed", answer(StatusCode::SERVICE_UNAVAILABLE, "could not be stored; send it again"))
        }
    };
    traced.answered(&connection.id, response.status().as_u16());
    response
}

fn unsigned(request: &HttpRequest, parts: &Parts, connection: &str) -> HttpResponse {
    let caller = remote_address(request, &parts.settings.server.trusted_proxies);
    tracing::warn!(
        caller = ?caller, connection.id = connection,
        "a webhook for {connection:?} was not signed by its provider; check the connection's id and the secret of its webhooks (Meta: the app secret)"
    );
    counted("unsigned", answer(StatusCode::UNAUTHORIZED, "not signed by a known provider"))
}

fn counted(result: &'static str, response: HttpResponse) -> HttpResponse {
    metrics::counter!(telemetry::WEBHOOKS, "result" => result).increment(1);
    response
}
