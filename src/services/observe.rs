//! How everything stands, at one moment: what alarms are judged by, and what the [`gauges`](super::gauges) of `/metrics` show.
//!
//! Read on a schedule and never for each scrape. All of it lies in small tables, but for the queues and what is owed, which
//! are counted by their index; whoever asks rests in proportion to how long that took.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    directory::Directory,
    disk,
    messaging_limit::{LimitUse, limit_use},
};
use crate::{
    domain::{
        ids::{AccountKey, SenderKey, SubscriptionKey},
        template::TemplateStatus,
        time::UnixMillis,
    },
    settings::Settings,
    store::{
        Store, StoreError,
        activity::Tally,
        callbacks::{CursorState, Distance},
        channels::Channel,
        exchanges::StoredExchange,
        overview::{LeaseOverview, QueueOverview, Upkeep},
        suppression_syncs::SyncOverview,
        templates::{TemplateOwner, TemplateSync},
    },
};

/// How everything stands.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub at: UnixMillis,
    pub queues: BTreeMap<SenderKey, QueueOverview>,
    pub cursors: BTreeMap<SubscriptionKey, CursorState>,
    pub owed: BTreeMap<SubscriptionKey, Distance>,
    /// The last exchange with each callback URL.
    pub told_last: BTreeMap<SubscriptionKey, StoredExchange>,
    /// Dead callbacks, and those without words.
    pub callbacks: BTreeMap<i32, (i64, i64)>,
    pub channels: BTreeMap<SenderKey, Channel>,
    /// How numbers stand whose messaging limit is counted.
    pub limits: BTreeMap<SenderKey, LimitUse>,
    /// How platforms are kept informed of opt-outs, of accounts that want it.
    pub informed: BTreeMap<AccountKey, SyncOverview>,
    pub syncs: BTreeMap<TemplateOwner, TemplateSync>,
    /// What numbers did within `alarms.webhooks_silent_for`, …
    pub lately: BTreeMap<SenderKey, Tally>,
    /// … within [`PACE_WINDOW`], …
    pub at_pace: BTreeMap<SenderKey, Tally>,
    /// … and within [`WEBHOOKS_TAKE`].
    pub just_now: BTreeMap<SenderKey, Tally>,
    pub disks: Vec<disk::DiskSpace>,
    /// Statuses that wait for their message.
    pub parked: i64,
    pub leases: Vec<LeaseOverview>,
    /// Of PostgreSQL.
    pub upkeep: Option<Upkeep>,
}

/// A number's pace is judged over this.
pub const PACE_WINDOW: Duration = Duration::from_secs(5 * 60);
/// About what was sent within it, webhooks may still be on their way.
pub const WEBHOOKS_TAKE: Duration = Duration::from_secs(2 * 60);
/// Counting what is owed, or parked, stops here: more is "many".
const OWED_COUNTED_MAX: u64 = 100_000;

/// Looks at everything.
pub async fn observe(
    store: &Store,
    directory: &Directory,
    settings: &Settings,
    now: UnixMillis,
) -> Result<Observed, StoreError> {
    let cursors = store.cursor_states().await?;
    let mut owed = BTreeMap::new();
    for subscription in &directory.snapshot().subscriptions {
        if let Some(state) = cursors.get(&subscription.key) {
            owed.insert(subscription.key, store.distance(subscription, state.cursor, OWED_COUNTED_MAX).await?);
        }
    }
    let mut informed = BTreeMap::new();
    for account in directory.snapshot().accounts().filter(|account| account.policy.subscribe_sync.enabled) {
        informed.insert(account.key, store.sync_overview(account.key).await?);
    }
    let channels = store.channels().await?;
    let snapshot = directory.snapshot();
    let keys: Vec<SubscriptionKey> = cursors.keys().copied().collect();
    Ok(Observed {
        at: now,
        told_last: store.newest_exchanges(&keys).await?,
        limits: limit_use(store, snapshot.senders().map(Arc::as_ref), &channels, now).await?,
        queues: store.queues().await?,
        cursors,
        owed,
        callbacks: store.count_callbacks().await?,
        channels,
        informed,
        syncs: store.template_syncs().await?,
        lately: store.activity_since(now.minus(settings.alarms.webhooks_silent_for)).await?,
        at_pace: store.activity_since(now.minus(PACE_WINDOW)).await?,
        just_now: store.activity_since(now.minus(WEBHOOKS_TAKE)).await?,
        disks: disk::directories(settings).iter().filter_map(|directory| disk::space(directory).ok()).collect(),
        parked: store.count_parked(OWED_COUNTED_MAX).await?,
        leases: store.leases().await?,
        upkeep: store.upkeep().await?,
    })
}

/// Whether WhatsApp has stopped a template that it had approved.
pub fn is_stopped(status: &TemplateStatus) -> bool {
    match status {
        TemplateStatus::Paused | TemplateStatus::Disabled => true,
        TemplateStatus::Approved | TemplateStatus::Pending | TemplateStatus::Rejected | TemplateStatus::Other(_) => {
            false
        }
    }
}
