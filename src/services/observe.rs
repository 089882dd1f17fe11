//! How everything stands, at one moment: what alarms are judged by, and what the gauges of `/metrics` show.
//!
//! Read on a schedule and never for each scrape. All of it lies in small tables, but for the queues and what is owed, which
//! are counted by their index; whoever asks rests in proportion to how long that took.

use std::{collections::BTreeMap, time::Duration};

use super::{directory::Directory, disk};
use crate::{
    domain::{
        account::Sender,
        ids::{AccountKey, SenderKey, SubscriptionKey},
        template::TemplateStatus,
        time::UnixMillis,
    },
    settings::Settings,
    store::{
        Store, StoreError,
        activity::Tally,
        callbacks::CursorState,
        channels::Channel,
        overview::QueueOverview,
        suppression_syncs::SyncOverview,
        templates::{TemplateOwner, TemplateSync},
    },
    telemetry,
};

/// How everything stands.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub at: UnixMillis,
    pub queues: BTreeMap<SenderKey, QueueOverview>,
    pub cursors: BTreeMap<SubscriptionKey, CursorState>,
    pub owed: BTreeMap<SubscriptionKey, i64>,
    /// Dead callbacks, and those without words.
    pub callbacks: BTreeMap<i32, (i64, i64)>,
    pub channels: BTreeMap<SenderKey, Channel>,
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
}

/// A number's pace is judged over this.
pub const PACE_WINDOW: Duration = Duration::from_secs(5 * 60);
/// About what was sent within it, webhooks may still be on their way.
pub const WEBHOOKS_TAKE: Duration = Duration::from_secs(2 * 60);
/// Counting what is owed stops here: more is "many".
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
            owed.insert(subscription.key, store.owed(subscription, state.cursor, OWED_COUNTED_MAX).await?);
        }
    }
    let mut informed = BTreeMap::new();
    for account in directory.snapshot().accounts().filter(|account| account.policy.subscribe_sync.enabled) {
        informed.insert(account.key, store.sync_overview(account.key).await?);
    }
    Ok(Observed {
        at: now,
        queues: store.queues().await?,
        cursors,
        owed,
        callbacks: store.count_callbacks().await?,
        channels: store.channels().await?,
        informed,
        syncs: store.template_syncs().await?,
        lately: store.activity_since(now.minus(settings.alarms.webhooks_silent_for)).await?,
        at_pace: store.activity_since(now.minus(PACE_WINDOW)).await?,
        just_now: store.activity_since(now.minus(WEBHOOKS_TAKE)).await?,
        disks: disk::directories(settings).iter().filter_map(|directory| disk::space(directory).ok()).collect(),
    })
}

/// The gauges, and which of them were ever set: one whose subject is gone falls to zero.
#[derive(Default)]
pub struct Gauges {
    set: BTreeMap<(&'static str, &'static str, String), f64>,
}

impl Gauges {
    pub fn show(&mut self, observed: &Observed, directory: &Directory, alarms: &[(&'static str, usize)]) {
        for value in self.set.values_mut() {
            *value = 0.0;
        }
        let snapshot = directory.snapshot();
        for connection in snapshot.connections() {
            self.set(telemetry::HELD, "what", format!("connection {}", connection.id), flag(connection.hold.is_some()));
        }
        for sender in snapshot.senders() {
            self.show_number(observed, sender);
            let stopped = directory.templates(sender).iter().filter(|template| is_stopped(&template.status)).count();
            self.set(
                telemetry::TEMPLATES_STOPPED,
                "business_account",
                sender.provider_account_id.clone(),
                stopped as f64,
            );
        }
        for subscription in &snapshot.subscriptions {
            let key = subscription.key.to_string();
            let state = observed.cursors.get(&subscription.key);
            let (dead, _) = observed.callbacks.get(&subscription.key.0).copied().unwrap_or_default();
            let owed = observed.owed.get(&subscription.key).copied().unwrap_or_default();
            let failing = state.and_then(|state| state.trouble.failing_since).map(|since| observed.at.since(since));
            self.set(telemetry::CALLBACKS_OWED, "subscription", key.clone(), owed as f64);
            self.set(telemetry::CALLBACKS_DEAD, "subscription", key.clone(), dead as f64);
            self.set(telemetry::CALLBACKS_FAILING, "subscription", key.clone(), seconds(failing));
            let held = state.is_some_and(|state| state.trouble.hold.is_some());
            self.set(telemetry::HELD, "what", format!("subscription {key}"), flag(held));
        }
        for disk in &observed.disks {
            self.set(telemetry::DISK_FREE, "directory", disk.directory.display().to_string(), disk.free_bytes as f64);
        }
        for (kind, active) in alarms {
            self.set(telemetry::ALARMS, "kind", (*kind).to_owned(), *active as f64);
        }
        for ((name, label, value), number) in &self.set {
            metrics::gauge!(*name, *label => value.clone()).set(*number);
        }
    }

    fn show_number(&mut self, observed: &Observed, sender: &Sender) {
        let number = sender.number.as_e164().to_owned();
        let queue = observed.queues.get(&sender.key).cloned().unwrap_or_default();
        let waits = queue.oldest_queued.map(|since| observed.at.since(since));
        self.set(telemetry::HELD, "what", format!("number {number}"), flag(sender.hold.is_some()));
        self.set(telemetry::QUEUED, "number", number.clone(), queue.queued as f64);
        self.set(telemetry::RETRYING, "number", number.clone(), queue.waiting_for_retry as f64);
        self.set(telemetry::UNKNOWN_OUTCOME, "number", number.clone(), queue.unknown as f64);
        self.set(telemetry::OLDEST_QUEUED, "number", number, seconds(waits));
    }

    fn set(&mut self, name: &'static str, label: &'static str, value: String, number: f64) {
        self.set.insert((name, label, value), number);
    }
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

fn flag(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

fn seconds(time: Option<Duration>) -> f64 {
    time.unwrap_or_default().as_secs_f64()
}
