//! Builds everything once, runs it, and stops it in the right order.

mod lock;
mod opening;
mod serving;
mod traces;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use actix_web::{dev::ServerHandle, web::Data};
use anyhow::Context as _;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{sync::oneshot, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use self::serving::{serve, serve_console, serve_metrics};
pub use self::{
    lock::lock_database,
    traces::{collector, trace_identities},
};
pub use opening::{
    open_existing_store, open_store, open_store_to_configure, open_store_whose_key_is_lost, open_store_with_its_key,
};

use crate::{
    clock,
    domain::{ids::MessageIds, phone::PhoneNumber, retry::Schedule},
    http::{Parts, body::BodyRoom, tls::Certificate},
    net::exchange::{Exchange, ExchangeLimits},
    pulse::Health,
    services::{
        accept::Acceptor,
        accounts::Accounts,
        activity::Activity,
        alarms::AlarmWays,
        campaigns::Campaigns,
        channels::Channels,
        configure::Configuring,
        connections::Connections,
        directory::Directory,
        dispatch::{Dispatcher, Taping},
        endpoints::Endpoints,
        ingest::Ingestor,
        lookup::TemplateLookup,
        media::{Copier, Shelf, links::MediaLinks},
        messaging_limit::MessagingLimits,
        operators::Operators,
        person::requests::PersonRequests,
        polling::Poller,
        relay::Relay,
        statistics::Statistics,
        subscribe_sync::SubscribeSync,
        suppressions::Suppressions,
        templates::TemplateSyncs,
        test_bench::TestBench,
        traces::Traces,
        webhook_door::WebhookDoor,
        webhooks::{Allowed, Webhooks},
    },
    settings::Settings,
    store::{
        Store,
        batch::{BatchLimits, Committer},
        files::Files,
        wakeups::Wakeups,
    },
    worker::{pauses::Pauses, runner::Runner, sender::SenderParts, subscription::SubscriptionParts, watch::Watch},
};

/// A running bridge.
pub struct App {
    pub address: SocketAddr,
    /// Where the metrics are, when they have an address of their own.
    pub metrics_address: Option<SocketAddr>,
    /// Where the console is, when it has an address of its own.
    pub console_address: Option<SocketAddr>,
    /// Who may sign in.
    pub operators: Arc<Operators>,
    pub store: Store,
    pub directory: Arc<Directory>,
    pub messaging_limits: Arc<MessagingLimits>,
    server: ServerHandle,
    serving: JoinHandle<std::io::Result<()>>,
    metrics_server: Option<JoinHandle<std::io::Result<()>>>,
    console_server: Option<(ServerHandle, JoinHandle<std::io::Result<()>>)>,
    runner: JoinHandle<()>,
    tending: JoinHandle<()>,
    taking_up: JoinHandle<()>,
    writer: oneshot::Receiver<()>,
    traces: traces::TraceExport,
    stop: CancellationToken,
    replaced: CancellationToken,
    shutdown_timeout: Duration,
    /// Keeps a second bridge away from an SQLite file.
    _lock: Option<std::fs::File>,
}

impl App {
    /// Opens the database, binds the address and starts to work.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let settings = Arc::new(settings);
        PhoneNumber::unpack_plans();
        let lock = lock_database(&settings.database.url)?;
        let store = open_store(&settings).await?;
        let instance = settings.instance_id();
        let registration = store.register_instance(&instance).await?;
        let replaced = CancellationToken::new();
        let ids = Arc::new(MessageIds::new(registration.node).after(store.newest_message(clock::now()).await?));
        let wakeups = Arc::new(Wakeups::default());
        let limits = BatchLimits {
            rows_max: settings.limits.commit_batch_rows,
            queued_rows_max: settings.limits.commit_queue_rows,
            repeat_window: settings.repeats.window,
        };
        let health = Arc::new(Health::default());
        let (committer, writing) =
            Committer::new(store.clone(), ids.clone(), wakeups.clone(), limits, health.clone()).await;
        let writer = on_its_own_thread("committer", writing).context("could not start the thread that writes")?;
        let directory = Arc::new(Directory::load(store.clone()).await?);
        let (traces, export) = traces::start(&settings, &store).await?;
        let exchange = provider_exchange(&settings)?;
        let lookup = Arc::new(TemplateLookup::new(
            store.clone(),
            directory.clone(),
            exchange.clone(),
            settings.send.template_lookup,
        ));
        let channels = Arc::new(Channels::new(store.clone(), directory.clone(), exchange.clone()));
        let in_memory = settings.limits.suppressions_in_memory;
        let suppressions = Arc::new(Suppressions::load(store.clone(), in_memory).await?);
        let activity = Arc::new(Activity::default());
        let statistics = Arc::new(Statistics::default());
        let messaging_limits = Arc::new(MessagingLimits::load(store.clone(), directory.clone(), ids).await?);
        let watch = Watch::new(
            store.clone(),
            directory.clone(),
            settings.clone(),
            activity.clone(),
            AlarmWays::new(&settings, platform_exchange(&settings)?)?,
        );
        let files = open_files(&settings)?;
        let links = Arc::new(MediaLinks::load(&store, &settings.public_url(), settings.retention.media).await?);
        let ingestor = Arc::new(Ingestor::new(
            store.clone(),
            directory.clone(),
            committer.clone(),
            lookup.clone(),
            channels.clone(),
            (activity.clone(), messaging_limits.clone()),
            settings.limits.webhook_wait,
        ));
        let runner = Arc::new(Runner {
            instance,
            run: registration.run,
            replaced: replaced.clone(),
            store: store.clone(),
            directory: directory.clone(),
            lookup: lookup.clone(),
            channels: channels.clone(),
            suppressions: suppressions.clone(),
            messaging_limits: messaging_limits.clone(),
            statistics: statistics.clone(),
            subscribe_sync: Arc::new(SubscribeSync {
                store: store.clone(),
                directory: directory.clone(),
                exchange: platform_exchange(&settings)?,
                retries: Schedule(settings.relay.retry_waits.clone()),
            }),
            wakeups,
            senders: sender_parts(
                &settings,
                &store,
                &committer,
                &directory,
                &exchange,
                (&lookup, &suppressions, &activity, &messaging_limits),
                &traces,
            ),
            subscriptions: subscription_parts(
                &settings,
                &store,
                &committer,
                &directory,
                (&links, &statistics),
                &traces,
            )?,
            copier: Arc::new(Copier {
                store: store.clone(),
                directory: directory.clone(),
                exchange: exchange.clone(),
                files: files.clone(),
                settings: settings.media.clone(),
            }),
            watch: Arc::new(watch),
            poller: Poller {
                store: store.clone(),
                directory: directory.clone(),
                exchange: exchange.clone(),
                ingestor: ingestor.clone(),
            },
            health: health.clone(),
            settings: settings.clone(),
        });

        let operators = Arc::new(Operators::new(store.clone(), &settings));
        let configuring = Arc::new(Configuring::load(store.clone(), &settings).await?);
        let metrics = crate::telemetry::metrics_handle()?;
        let parts = Data::new(Parts {
            store: store.clone(),
            directory: directory.clone(),
            acceptor: Acceptor::new(
                store.clone(),
                directory.clone(),
                committer.clone(),
                lookup.clone(),
                (suppressions, statistics.clone()),
                (settings.limits.clone(), settings.repeats.window),
            ),
            ingestor,
            media: Shelf {
                store: store.clone(),
                files: files.clone(),
                links,
                waiting: tokio::sync::Semaphore::new(settings.media.waiting_max),
            },
            traces,
            operators: operators.clone(),
            campaigns: Campaigns::new(store.clone(), directory.clone()),
            statistics: statistics.clone(),
            connections: Connections::new(
                store.clone(),
                directory.clone(),
                settings.clone(),
                exchange,
                messaging_limits.clone(),
            ),
            accounts: Accounts::new(store.clone(), configuring.clone(), platform_exchange(&settings)?),
            configuring,
            persons: PersonRequests::new(store.clone(), directory.clone(), files.clone(), settings.media.timeout),
            alarm_ways: AlarmWays::new(&settings, platform_exchange(&settings)?)?,
            template_syncs: TemplateSyncs::default(),
            test_bench: TestBench::default(),
            webhooks: Webhooks::new(
                store.clone(),
                directory.clone(),
                WebhookDoor::new(platform_exchange(&settings)?),
                Allowed::by(&settings),
            ),
            health,
            metrics: metrics.clone(),
            webhook_room: BodyRoom::new(settings.limits.webhooks_waiting_bytes),
            webhook_places: tokio::sync::Semaphore::new(settings.limits.webhooks_waiting),
            settings: settings.clone(),
        });
        let certificate = match (&settings.server.tls_certificate, &settings.server.tls_key) {
            (Some(chain), Some(key)) => Some(Certificate::load(chain, key)?),
            (None, _) | (_, None) => None,
        };
        let (metrics_address, metrics_server) = serve_metrics(&settings, &parts)?.unzip();
        let (console_address, console_server) = serve_console(&settings, &parts, certificate.as_ref())?.unzip();
        let stop = CancellationToken::new();
        let taking_up = tokio::spawn(take_up(parts.clone(), stop.clone()));
        let (address, server) = serve(&settings, parts, certificate.as_ref())?;
        let handle = server.handle();
        Ok(Self {
            address,
            metrics_address,
            console_address,
            operators,
            metrics_server: metrics_server.map(tokio::spawn),
            console_server: console_server.map(|server| (server.handle(), tokio::spawn(server))),
            store: store.clone(),
            directory,
            messaging_limits,
            server: handle,
            serving: tokio::spawn(server),
            runner: tokio::spawn(runner.run(stop.clone())),
            taking_up,
            tending: tokio::spawn(tend(store, metrics, certificate, stop.clone())),
            writer,
            traces: export,
            stop,
            replaced,
            shutdown_timeout: settings.server.shutdown_timeout,
            _lock: lock,
        })
    }

    /// Waits until another process has been started with this one's `instance.id`. All the work is that one's then,
    /// and this one should be stopped.
    pub async fn replaced(&self) {
        self.replaced.cancelled().await;
    }

    /// Finishes what is in flight: first the doors close, then the workers stop, then the last batch is written.
    pub async fn stop(self) {
        self.server.stop(true).await;
        if let Ok(Err(error)) = self.serving.await {
            tracing::error!("the HTTP server ended badly: {error}");
        }
        if let Some(metrics_server) = self.metrics_server {
            metrics_server.abort();
        }
        if let Some((handle, serving)) = self.console_server {
            handle.stop(true).await;
            drop(serving.await);
        }
        self.stop.cancel();
        let finished = async {
            drop(self.runner.await);
            drop(self.tending.await);
            drop(self.taking_up.await);
            drop(self.writer.await);
            if let Err(error) = self.store.checkpoint_all().await {
                tracing::debug!(error = %crate::telemetry::Chain(&error), "the write-ahead log stays beside the database");
            }
            self.traces.close().await;
        };
        if tokio::time::timeout(self.shutdown_timeout, finished).await.is_err() {
            tracing::warn!(
                "stopped before everything in flight was finished; the next start settles the rest by evidence"
            );
        }
    }
}

/// Lets `work` run on a thread that does nothing else, so that it never stands behind other tasks in a queue. What is given back tells when
/// it is over; an error, that it broke.
fn on_its_own_thread(
    name: &str,
    work: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<oneshot::Receiver<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (over, end) = oneshot::channel();
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        runtime.block_on(work);
        over.send(()).ok();
    })?;
    Ok(end)
}

/// Between two looks whether somebody's work was left by a process that died.
const TAKE_UP_EVERY: Duration = Duration::from_secs(2);

/// Goes on with work that people began and a dead process left, wherever that ran.
async fn take_up(parts: Data<Parts>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let taken_up = tokio::try_join!(parts.persons.take_up(), parts.campaigns.take_up());
        if let Err(error) = taken_up {
            tracing::warn!(error = %crate::telemetry::Chain(&error), "could not look for work that was left");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(TAKE_UP_EVERY) => {}
        }
    }
}

/// Between two rounds of [`tend`].
const TEND_EVERY: Duration = Duration::from_secs(1);

/// Small things that must be done now and then, away from everybody's way.
async fn tend(store: Store, metrics: PrometheusHandle, certificate: Option<Arc<Certificate>>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        metrics.run_upkeep();
        if let Some(certificate) = &certificate {
            certificate.refresh();
        }
        if let Err(error) = store.checkpoint().await {
            tracing::warn!(error = %crate::telemetry::Chain(&error), "could not shorten the write-ahead log");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(TEND_EVERY) => {}
        }
    }
}

/// Opens the store of files that people sent.
pub fn open_files(settings: &Settings) -> anyhow::Result<Files> {
    Ok(Files::open(&settings.media, settings.security.allow_private_networks)?)
}

/// The door to providers.
pub fn provider_exchange(settings: &Settings) -> anyhow::Result<Exchange> {
    exchange(settings, settings.send.connect_timeout, settings.send.timeout)
}

/// The webhooks, for a command beside the server.
pub async fn webhooks(settings: &Settings, store: Store) -> anyhow::Result<Webhooks> {
    let directory = Arc::new(Directory::load(store.clone()).await?);
    let door = WebhookDoor::new(platform_exchange(settings)?);
    Ok(Webhooks::new(store, directory, door, Allowed::by(settings)))
}

/// The door to platforms, and to operators.
pub fn platform_exchange(settings: &Settings) -> anyhow::Result<Exchange> {
    exchange(settings, settings.relay.connect_timeout, settings.relay.timeout)
}

fn exchange(settings: &Settings, connect_timeout: Duration, request_timeout: Duration) -> anyhow::Result<Exchange> {
    let proxy = Some(settings.security.https_proxy.to_string()).filter(|proxy| !proxy.is_empty());
    Ok(Exchange::new(ExchangeLimits {
        connect_timeout,
        request_timeout,
        answer_bytes_max: settings.limits.answer_bytes,
        allow_private_networks: settings.security.allow_private_networks,
        proxy,
        connections_idle_per_host_max: settings.send.in_flight_per_number,
    })?)
}

fn sender_parts(
    settings: &Settings,
    store: &Store,
    committer: &Committer,
    directory: &Arc<Directory>,
    exchange: &Exchange,
    (lookup, suppressions, activity, limits): (
        &Arc<TemplateLookup>,
        &Arc<Suppressions>,
        &Arc<Activity>,
        &Arc<MessagingLimits>,
    ),
    traces: &Traces,
) -> Arc<SenderParts> {
    let dispatcher = Dispatcher {
        store: store.clone(),
        directory: directory.clone(),
        exchange: exchange.clone(),
        lookup: lookup.clone(),
        suppressions: suppressions.clone(),
        retries: Schedule(settings.send.retry_waits.clone()),
        unknown_grace: settings.send.unknown_grace,
        endpoints: Endpoints::default(),
        activity: activity.clone(),
        traces: traces.clone(),
        taping: Taping::default(),
    };
    Arc::new(SenderParts {
        store: store.clone(),
        committer: committer.clone(),
        dispatcher: Arc::new(dispatcher),
        pauses: Arc::new(Pauses::default()),
        limits: limits.clone(),
        send: settings.send.clone(),
        read_ahead: settings.limits.read_ahead_messages,
    })
}

fn subscription_parts(
    settings: &Settings,
    store: &Store,
    committer: &Committer,
    directory: &Arc<Directory>,
    (links, statistics): (&Arc<MediaLinks>, &Arc<Statistics>),
    traces: &Traces,
) -> anyhow::Result<Arc<SubscriptionParts>> {
    let relay = Relay {
        directory: directory.clone(),
        links: links.clone(),
        exchange: platform_exchange(settings)?,
        timeout: settings.relay.timeout,
        in_flight_max: settings.relay.in_flight_per_subscription,
        traces: traces.clone(),
        statistics: statistics.clone(),
        store: store.clone(),
        door: WebhookDoor::new(platform_exchange(settings)?),
    };
    Ok(Arc::new(SubscriptionParts {
        store: store.clone(),
        committer: committer.clone(),
        relay: Arc::new(relay),
        settings: settings.relay.clone(),
        retries: Schedule(settings.relay.retry_waits.clone()),
    }))
}
