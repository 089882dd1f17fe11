//! What traces are made of: the collector, the key, and the task between the queue and the collector.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    net::{collector::Collector, exchange::ExchangeLimits},
    services::traces::{KEY_PURPOSE, Traces, identity::Identities},
    settings::Settings,
    store::Store,
};

/// The place for traces, when there is one.
pub fn collector(settings: &Settings) -> anyhow::Result<Option<Collector>> {
    let Some(url) = settings.traces.url() else { return Ok(None) };
    // One that speaks plain HTTP is near by.
    let proxy = Some(settings.security.https_proxy.to_string()).filter(|_| url.starts_with("https:"));
    let limits = ExchangeLimits {
        connect_timeout: settings.traces.timeout,
        request_timeout: settings.traces.timeout,
        answer_bytes_max: settings.limits.answer_bytes,
        allow_private_networks: true,
        proxy: proxy.filter(|proxy| !proxy.is_empty()),
        connections_idle_per_host_max: 1,
    };
    let headers = settings.traces.headers().unwrap_or_default();
    Ok(Some(Collector::new(url, &headers, limits)?))
}

/// Which trace each message has.
pub async fn trace_identities(settings: &Settings, store: &Store) -> anyhow::Result<Identities> {
    let key = store.derived_key(KEY_PURPOSE).await?;
    Ok(Identities::new(&key, settings.traces.sample_ratio))
}

/// A stop waits so long for the collector, and no longer.
const CLOSING_TAKES_MAX: Duration = Duration::from_secs(3);

/// The task that brings spans away.
pub(super) struct TraceExport {
    closing: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl TraceExport {
    /// Nothing comes any more.
    pub(super) async fn close(self) {
        self.closing.cancel();
        if let Some(task) = self.task {
            drop(tokio::time::timeout(CLOSING_TAKES_MAX, task).await);
        }
    }
}

pub(super) async fn start(settings: &Settings, store: &Store) -> anyhow::Result<(Traces, TraceExport)> {
    let closing = CancellationToken::new();
    let Some(collector) = collector(settings)? else { return Ok((Traces::off(), TraceExport { closing, task: None })) };
    let identities = trace_identities(settings, store).await?;
    let instance = settings.instance_id();
    let (traces, task) = Traces::start(identities, collector, settings.traces.queue_spans, &instance, closing.clone());
    Ok((traces, TraceExport { closing, task: Some(task) }))
}
