//! How the bridge itself is: its database, its instances, its disks, what it is set to. For those who keep it running.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    directory::Snapshot,
    disk::{self, DiskSpace},
    operators::{Refusal, require},
};
use crate::{
    clock,
    domain::{
        ids::{SenderKey, SubscriptionKey},
        operator::{Actor, Permission},
        time::UnixMillis,
    },
    pulse::Health,
    settings::{Difference, Settings},
    store::{
        Store,
        inspect::DatabaseFacts,
        leases::LeaseKind,
        media::MediaOverview,
        overview::{LeaseOverview, QueueOverview},
        size::{BACKUP, DatabaseSize, HOUSEKEEPING},
    },
};

/// How it is.
#[derive(Clone, Debug)]
pub struct System {
    pub at: UnixMillis,
    /// Of the instance that answers.
    pub instance: String,
    pub version: &'static str,
    pub database: DatabaseFacts,
    pub is_sqlite: bool,
    pub size: DatabaseSize,
    /// PostgreSQL: since when the oldest transaction runs. No row that is dead since then can be removed.
    pub oldest_transaction: Option<Duration>,
    /// Of all numbers together.
    pub queue: QueueOverview,
    pub instances: Vec<Instance>,
    /// Numbers and callback URLs on which nobody works.
    pub unowned: Vec<String>,
    /// Parts of this instance that are silent for too long, each in a sentence.
    pub stopped: Vec<String>,
    /// Of the instance that answers.
    pub disks: Vec<DiskSpace>,
    pub files: MediaOverview,
    /// When old data was last forgotten.
    pub housekeeping_at: Option<UnixMillis>,
    /// When `wabridge backup` last made a sound copy; PostgreSQL's tools tell us nothing.
    pub backup_at: Option<UnixMillis>,
    /// What is kept how long, with the setting.
    pub retention: Vec<(&'static str, &'static str, Duration)>,
    /// Ids of accounts some of whose data is forgotten sooner, and what of it after how long.
    pub keep_less: Vec<(String, Vec<(&'static str, Duration)>)>,
    /// Settings of the instance that answers that are not the defaults; secrets blanked.
    pub settings: Vec<Difference>,
}

/// A running instance.
#[derive(Clone, Debug)]
pub struct Instance {
    pub id: String,
    /// Empty: one of a version before it said so.
    pub version: String,
    pub since: UnixMillis,
    pub stopping: bool,
    /// Business numbers that it sends for.
    pub numbers: Vec<String>,
    pub callback_urls: usize,
    pub housekeeping: bool,
    pub media: bool,
}

/// Looks at all of it.
pub async fn system(
    store: &Store,
    snapshot: &Snapshot,
    (settings, health): (&Settings, &Health),
    actor: &Actor,
) -> Result<System, Refusal> {
    require(actor, Permission::ReadSystem)?;
    let leases = store.leases().await?;
    let instances = store.instances(settings.instance.lease).await?;
    let instances = instances.into_iter().map(|instance| Instance {
        numbers: numbers_of(snapshot, &leases, &instance.id),
        callback_urls: owned(&leases, &instance.id, LeaseKind::Subscription).count(),
        housekeeping: owned(&leases, &instance.id, LeaseKind::Housekeeping).count() > 0,
        media: owned(&leases, &instance.id, LeaseKind::Media).count() > 0,
        id: instance.id,
        version: instance.version,
        since: instance.started_at,
        stopping: instance.stopping,
    });
    Ok(System {
        at: clock::now(),
        instance: settings.instance_id(),
        version: env!("CARGO_PKG_VERSION"),
        database: store.facts().await?,
        is_sqlite: store.is_sqlite(),
        size: store.size().await?,
        oldest_transaction: store.upkeep().await?.map(|upkeep| upkeep.oldest_transaction),
        queue: together(store.queues().await?),
        instances: instances.collect(),
        unowned: unowned(snapshot, &leases),
        stopped: health.stopped(Instant::now()).into_iter().map(|stopped| stopped.to_string()).collect(),
        disks: disk::directories(settings).iter().filter_map(|directory| disk::space(directory).ok()).collect(),
        files: store.count_media().await?,
        housekeeping_at: store.last_done(HOUSEKEEPING).await?,
        backup_at: store.last_done(BACKUP).await?,
        retention: retention(settings),
        keep_less: keep_less(snapshot),
        settings: settings.differences(),
    })
}

fn owned<'a>(leases: &'a [LeaseOverview], instance: &'a str, kind: LeaseKind) -> impl Iterator<Item = i32> + 'a {
    let of_kind = leases.iter().filter(move |lease| lease.kind == kind.code());
    of_kind.filter(move |lease| lease.owner.as_deref() == Some(instance)).map(|lease| lease.item)
}

fn numbers_of(snapshot: &Snapshot, leases: &[LeaseOverview], instance: &str) -> Vec<String> {
    let senders = owned(leases, instance, LeaseKind::Sender).filter_map(|item| snapshot.sender(SenderKey(item)));
    let mut numbers: Vec<String> = senders.map(|sender| sender.number.as_e164().to_owned()).collect();
    numbers.sort();
    numbers
}

fn unowned(snapshot: &Snapshot, leases: &[LeaseOverview]) -> Vec<String> {
    let has_owner = |kind: LeaseKind, item: i32| {
        let mut of_it = leases.iter().filter(|lease| lease.kind == kind.code() && lease.item == item);
        of_it.any(|lease| lease.owner.is_some())
    };
    let numbers = snapshot.senders().filter(|sender| !has_owner(LeaseKind::Sender, sender.key.0));
    let numbers = numbers.map(|sender| format!("number {}", sender.number.as_e164()));
    let urls = snapshot.subscriptions.iter().map(|subscription| subscription.key);
    let urls = urls.filter(|SubscriptionKey(key)| !has_owner(LeaseKind::Subscription, *key));
    let mut unowned: Vec<String> = numbers.chain(urls.map(|key| format!("callback URL {key}"))).collect();
    unowned.sort();
    unowned
}

fn together(queues: BTreeMap<SenderKey, QueueOverview>) -> QueueOverview {
    queues.into_values().fold(QueueOverview::default(), |all, queue| QueueOverview {
        queued: all.queued + queue.queued,
        oldest_queued: all.oldest_queued.into_iter().chain(queue.oldest_queued).min(),
        waiting_for_retry: all.waiting_for_retry + queue.waiting_for_retry,
        next_retry: all.next_retry.into_iter().chain(queue.next_retry).min(),
        sending: all.sending + queue.sending,
        unknown: all.unknown + queue.unknown,
    })
}

/// The same for every account.
fn keep_less(snapshot: &Snapshot) -> Vec<(String, Vec<(&'static str, Duration)>)> {
    let own = snapshot.accounts().map(|account| (account.id.clone(), account.policy.own_ages()));
    let mut own: Vec<_> = own.filter(|(_, ages)| !ages.is_empty()).collect();
    own.sort();
    own
}

fn retention(settings: &Settings) -> Vec<(&'static str, &'static str, Duration)> {
    let ages = &settings.retention;
    vec![
        ("Messages, with what they said", "retention.messages", ages.messages),
        ("Statuses, and what people wrote", "retention.events", ages.events),
        ("Files that people sent", "retention.media", ages.media),
        ("Requests that were refused", "retention.refused", ages.refused),
        ("Exchanges with callback URLs, and replays", "retention.attempts", ages.attempts),
        ("Parts of webhooks that could not be read", "retention.unrecognized", ages.unrecognized),
        ("Statuses of messages that are not known here", "retention.parked_statuses", ages.parked_statuses),
        ("By which id WhatsApp knows a number", "retention.person_links", ages.person_links),
        ("Audit log, letters of alarms, erasures", "retention.audit", ages.audit),
        ("Figures by the hour, of nobody", "retention.statistics", ages.statistics),
        ("By what repeats are recognised", "repeats.window", settings.repeats.window),
    ]
}
