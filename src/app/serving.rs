//! The addresses at which the bridge listens, and what is found at each.

use std::{net::SocketAddr, sync::Arc};

use actix_web::{App as ActixApp, HttpServer, web::Data};
use anyhow::Context as _;

use crate::{
    http::{Parts, console_routes, metrics_routes, routes, tls::Certificate},
    settings::Settings,
};

/// Connections that may arrive at one moment. A caller that finds no room tries again after a second, which is all the
/// time that it has.
const CONNECTIONS_ARRIVING_MAX: u32 = 4096;

pub(super) fn serve(
    settings: &Settings,
    parts: Data<Parts>,
    certificate: Option<&Arc<Certificate>>,
) -> anyhow::Result<(SocketAddr, actix_web::dev::Server)> {
    let workers = match settings.server.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    let with_metrics = settings.server.metrics_bind.is_none();
    let with_console = settings.console.enabled && settings.console.bind.is_none();
    let server = HttpServer::new(move || {
        ActixApp::new().app_data(parts.clone()).configure(|config| routes(config, with_metrics, with_console))
    })
    .workers(workers)
    .max_connections((settings.server.connections_max / workers).max(1))
    .keep_alive(settings.server.keep_alive)
    .shutdown_timeout(settings.server.shutdown_timeout.as_secs())
    .disable_signals()
    .backlog(CONNECTIONS_ARRIVING_MAX);
    let bind = settings.server.bind;
    let bound = match certificate {
        Some(certificate) => server.bind_rustls_0_23(bind, certificate.server_config()?),
        None => server.bind(bind),
    };
    let server =
        bound.with_context(|| format!("could not listen on server.bind = {bind}; is another program there?"))?;
    let address = *server.addrs().first().context("a server that is bound has an address")?;
    Ok((address, server.run()))
}

/// Metrics at an address of their own, when that is wished.
pub(super) fn serve_metrics(
    settings: &Settings,
    parts: &Data<Parts>,
) -> anyhow::Result<Option<(SocketAddr, actix_web::dev::Server)>> {
    let Some(bind) = settings.server.metrics_bind else { return Ok(None) };
    let parts = parts.clone();
    let server = HttpServer::new(move || ActixApp::new().app_data(parts.clone()).configure(metrics_routes))
        .workers(1)
        .disable_signals()
        .bind(bind)
        .with_context(|| format!("could not listen on server.metrics_bind = {bind}; is another program there?"))?;
    let address = *server.addrs().first().context("a server that is bound has an address")?;
    Ok(Some((address, server.run())))
}

/// The console at an address of its own, when that is wished.
pub(super) fn serve_console(
    settings: &Settings,
    parts: &Data<Parts>,
    certificate: Option<&Arc<Certificate>>,
) -> anyhow::Result<Option<(SocketAddr, actix_web::dev::Server)>> {
    let Some(bind) = settings.console.bind.filter(|_| settings.console.enabled) else { return Ok(None) };
    let parts = parts.clone();
    let server = HttpServer::new(move || ActixApp::new().app_data(parts.clone()).configure(console_routes))
        .workers(1)
        .shutdown_timeout(settings.server.shutdown_timeout.as_secs())
        .disable_signals();
    let bound = match certificate {
        Some(certificate) => server.bind_rustls_0_23(bind, certificate.server_config()?),
        None => server.bind(bind),
    };
    let server =
        bound.with_context(|| format!("could not listen on console.bind = {bind}; is another program there?"))?;
    let address = *server.addrs().first().context("a server that is bound has an address")?;
    Ok(Some((address, server.run())))
}
