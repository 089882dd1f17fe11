//! Whether the bridge lives, whether it works, and its numbers.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
    web::Data,
};
use serde::Serialize;
use utoipa::ToSchema;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::Parts;
use crate::telemetry;

/// The process answers.
#[utoipa::path(
    get, path = "/healthz", tag = "operation", operation_id = "alive",
    responses((status = 200, description = "Alive", body = String, content_type = "text/plain", example = "alive\n"))
)]
pub async fn alive() -> HttpResponse {
    HttpResponse::Ok().body("alive\n")
}

/// What `/readyz` found.
#[derive(Serialize, ToSchema)]
pub struct Readiness {
    ready: bool,
    /// The database can be read.
    database: bool,
    /// The newest of what was to be written is in the database.
    writes: bool,
    /// Numbers and subscriptions are being worked on, and no worker has stopped.
    workers: bool,
    /// The newest configuration is in use.
    configuration: bool,
    /// This instance, as leases have it.
    instance: String,
    /// How many numbers (`sender`) and callback URLs (`subscription`) this instance works on, and whether it does the housekeeping
    /// and copies files. `wabridge status` says which ones.
    owns: BTreeMap<&'static str, usize>,
    /// What to do, when not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
    /// Workers that have stopped, the first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stopped: Vec<String>,
}

/// A database that is slower than this accepts nothing in time.
const DATABASE_ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// More are not named.
const STOPPED_NAMED_MAX: usize = 20;

/// The database takes what is written and can be read, the configuration can be read, and the work behind the doors goes on.
#[utoipa::path(
    get, path = "/readyz", tag = "operation", operation_id = "ready",
    responses(
        (status = 200, description = "Ready", body = Readiness),
        (status = 503, description = "Not ready", body = Readiness),
    )
)]
pub async fn ready(parts: Data<Parts>) -> HttpResponse {
    let database =
        tokio::time::timeout(DATABASE_ANSWERS_WITHIN, parts.store.ping()).await.is_ok_and(|ping| ping.is_ok());
    let writes = parts.health.can_write();
    let leases = parts.health.since_leases_kept().is_some_and(|since| since < parts.settings.instance.lease);
    let stopped = parts.health.stopped(Instant::now());
    let workers = leases && stopped.is_empty();
    let configuration = parts.health.reads_configuration();
    let advice = match (database, writes, configuration, leases, stopped.first()) {
        (true, true, true, true, None) => None,
        (false, ..) => Some("the database cannot be read: check database.url and the disk".to_owned()),
        (true, false, ..) => Some(
            "the database did not take what was written last: is its disk full, or does another process hold its lock? See \
             the log for its own words"
                .to_owned(),
        ),
        (true, true, false, ..) => Some(
            "the configuration cannot be read: was it applied with another master key, or by a newer version? See the log"
                .to_owned(),
        ),
        (true, true, true, false, _) => Some("leases are not being renewed: see the log".to_owned()),
        (true, true, true, true, Some(first)) => Some(format!(
            "{} has stopped although requests are accepted: look for its errors in the log and mend what they name; \
             restart this instance when there are none",
            first.stream
        )),
    };
    let stopped = stopped.iter().take(STOPPED_NAMED_MAX).map(ToString::to_string).collect();
    let ready = database && writes && workers && configuration;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    HttpResponse::build(status).json(Readiness {
        ready,
        database,
        writes,
        workers,
        configuration,
        instance: parts.settings.instance_id(),
        owns: parts.health.owned(),
        advice,
        stopped,
    })
}

/// Counters and histograms in Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", tag = "operation", operation_id = "metrics",
    responses((status = 200, description = "Prometheus' text format", body = String, content_type = "text/plain"))
)]
pub async fn metrics(parts: Data<Parts>) -> HttpResponse {
    metrics::gauge!(telemetry::STREAMS_STOPPED).set(parts.health.stopped(Instant::now()).len() as f64);
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .body(parts.metrics.render())
}
