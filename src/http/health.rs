//! Whether the bridge lives, whether it works, and its numbers.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
    web::Data,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::Parts;

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "operation", operation_id = "alive", responses((status = 200, description = "Alive")))]
pub async fn alive() -> HttpResponse {
    HttpResponse::Ok().body("alive\n")
}

/// What `/readyz` found.
#[derive(Serialize, ToSchema)]
pub struct Readiness {
    ready: bool,
    /// The database can be read.
    database: bool,
    /// Numbers and subscriptions are being worked on.
    workers: bool,
    /// The newest configuration is in use.
    configuration: bool,
    /// What to do, when not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'static str>,
}

/// The database and the configuration can be read, and the work behind the doors goes on.
#[utoipa::path(
    get, path = "/readyz", tag = "operation", operation_id = "ready",
    responses(
        (status = 200, description = "Ready", body = Readiness),
        (status = 503, description = "Not ready", body = Readiness),
    )
)]
pub async fn ready(parts: Data<Parts>) -> HttpResponse {
    let database = parts.store.ping().await.is_ok();
    let workers = parts.health.since_beat().is_some_and(|since| since < parts.settings.instance.lease);
    let configuration = parts.health.reads_configuration();
    let advice = match (database, workers, configuration) {
        (true, true, true) => None,
        (false, ..) => Some("the database cannot be read: check database.url and the disk"),
        (true, _, false) => Some(
            "the configuration cannot be read: was it applied with another master key, or by a newer version? See the log",
        ),
        (true, false, true) => Some("leases are not being renewed: see the log"),
    };
    let ready = database && workers && configuration;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    HttpResponse::build(status).json(Readiness { ready, database, workers, configuration, advice })
}

/// Counters and histograms in Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", tag = "operation", operation_id = "metrics",
    responses((status = 200, description = "Prometheus' text format", body = String, content_type = "text/plain"))
)]
pub async fn metrics(parts: Data<Parts>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .body(parts.metrics.render())
}
