//! Who may call us, and where: the whole URL map. actix-web lives here and nowhere else.
//!
//! Handlers read a request, call one service, and answer. What cannot be answered in a caller's own
//! dialect (a path that is not ours, a body that never ends) is answered as [`error`] says.

pub mod access;
pub mod api;
mod audit;
pub mod body;
mod campaigns;
pub mod console;
mod csv_file;
pub mod error;
pub mod health;
pub mod media;
pub mod openapi;
mod openapi_webhooks;
mod persons;
pub mod platform_api;
pub mod provider_webhooks;
mod query;
pub mod template_import;
pub mod tls;

use std::sync::Arc;

use actix_web::web::{self, ServiceConfig};

use crate::{
    platforms,
    pulse::Health,
    services::{
        accept::Acceptor, accounts::Accounts, alarms::AlarmWays, campaigns::Campaigns, configure::Configuring,
        connections::Connections, directory::Directory, ingest::Ingestor, media::Shelf, operators::Operators,
        person::requests::PersonRequests, statistics::Statistics, templates::TemplateSyncs, test_bench::TestBench,
        traces::Traces, webhooks::Webhooks,
    },
    settings::Settings,
    store::Store,
};

/// What handlers need.
pub struct Parts {
    pub settings: Arc<Settings>,
    pub store: Store,
    pub directory: Arc<Directory>,
    pub acceptor: Acceptor,
    pub ingestor: Arc<Ingestor>,
    pub media: Shelf,
    pub traces: Traces,
    pub operators: Arc<Operators>,
    pub campaigns: Campaigns,
    pub statistics: Arc<Statistics>,
    pub connections: Connections,
    pub configuring: Arc<Configuring>,
    pub accounts: Accounts,
    pub persons: PersonRequests,
    pub alarm_ways: AlarmWays,
    pub template_syncs: TemplateSyncs,
    pub test_bench: TestBench,
    pub webhooks: Webhooks,
    pub health: Arc<Health>,
    pub metrics: metrics_exporter_prometheus::PrometheusHandle,
    /// Memory for webhooks that are being read.
    pub webhook_room: body::BodyRoom,
    /// Webhooks that may be in work at the same time, once it is known that they are genuine.
    pub webhook_places: tokio::sync::Semaphore,
}

/// The URL map, but for what has an address of its own: the numbers, the console.
pub fn routes(config: &mut ServiceConfig, with_metrics: bool, with_console: bool) {
    // What comes most often stands first, and each kind in a scope of its own: a pattern is compared only when what stands
    // before it fits.
    let handshake_and_events = web::resource("/{provider}/{connection}")
        .route(web::post().to(provider_webhooks::receive))
        .route(web::get().to(provider_webhooks::handshake));
    let token = web::resource("/{provider}/{connection}/token").route(web::post().to(provider_webhooks::token));
    let events_by_url =
        web::resource("/{provider}/{connection}/{url_token}").route(web::post().to(provider_webhooks::receive_by_url));
    config.service(web::scope("/webhooks").service(handshake_and_events).service(token).service(events_by_url));
    for platform in platforms::ALL {
        let messages = web::resource("/{account}/messages")
            .route(web::post().to(platform_api::send))
            .route(web::to(platform_api::post_only));
        let messages_by_url = web::resource("/{account}/{url_token}/messages")
            .route(web::post().to(platform_api::send_by_url))
            .route(web::to(platform_api::post_only));
        let scope = web::scope(&format!("/{}", platform.slug()))
            .service(messages)
            .service(messages_by_url)
            .route("/{account}/templates", web::get().to(template_import::list))
            .route("/{account}/{url_token}/templates", web::get().to(template_import::list_by_url));
        config.service(scope);
    }
    config
        .route("/media/{token}", web::get().to(media::serve))
        .route("/media/{token}", web::head().to(media::serve))
        .route("/healthz", web::get().to(health::alive))
        .route("/readyz", web::get().to(health::ready))
        .route("/openapi.json", web::get().to(openapi::document))
        .default_service(web::to(error::not_found));
    if with_metrics {
        config.route("/metrics", web::get().to(health::metrics));
    }
    if with_console {
        api::routes(config);
        console::routes(config);
    }
}

/// What stands at `console.bind`.
pub fn console_routes(config: &mut ServiceConfig) {
    api::routes(config);
    console::routes(config);
    config
        // Pages show what people sent.
        .route("/media/{token}", web::get().to(media::serve))
        .route("/media/{token}", web::head().to(media::serve))
        .route("/healthz", web::get().to(health::alive))
        .route("/openapi.json", web::get().to(openapi::document))
        .default_service(web::to(error::not_found));
}

/// What stands at `server.metrics_bind`.
pub fn metrics_routes(config: &mut ServiceConfig) {
    config
        .route("/healthz", web::get().to(health::alive))
        .route("/readyz", web::get().to(health::ready))
        .route("/metrics", web::get().to(health::metrics))
        .default_service(web::to(error::not_found));
}
