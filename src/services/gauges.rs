//! What was observed, as the gauges of `/metrics`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use metrics::Label;

use super::{
    directory::{Directory, Snapshot, number_label},
    observe::{Observed, is_stopped},
};
use crate::{
    domain::{
        account::Sender,
        callback::Subscription,
        ids::{SenderKey, SubscriptionKey},
    },
    store::{leases::LeaseKind, overview::LeaseOverview},
    telemetry::{self, OTHERS, SUBJECTS_SHOWN_MAX},
};

type Labels = Vec<(&'static str, String)>;

/// The gauges of one instance, and which of them were ever set: one whose subject is gone falls to zero.
pub struct Gauges {
    instance: String,
    set: BTreeMap<(&'static str, Labels), f64>,
}

impl Gauges {
    pub fn new(instance: String) -> Self {
        Self { instance, set: BTreeMap::new() }
    }

    pub fn show(&mut self, observed: &Observed, directory: &Directory, alarms: &[(&'static str, usize)]) {
        for value in self.set.values_mut() {
            *value = 0.0;
        }
        let snapshot = directory.snapshot();
        self.show_connections(&snapshot, directory);
        for sender in snapshot.senders() {
            self.show_number(observed, &snapshot, sender);
        }
        for (index, subscription) in snapshot.subscriptions.iter().enumerate() {
            self.show_subscription(observed, &snapshot, subscription, index < SUBJECTS_SHOWN_MAX);
        }
        self.show_leases(&observed.leases, &snapshot);
        self.show_storage(observed);
        for (kind, active) in alarms {
            self.add(telemetry::ALARMS, vec![("kind", (*kind).to_owned())], *active as f64);
        }
        for ((name, labels), number) in &self.set {
            let labels: Vec<Label> = labels.iter().map(|(label, value)| Label::new(*label, value.clone())).collect();
            metrics::gauge!(*name, labels).set(*number);
        }
    }

    fn show_connections(&mut self, snapshot: &Snapshot, directory: &Directory) {
        let connections: BTreeMap<&str, bool> =
            snapshot.connections().map(|connection| (connection.id.as_str(), connection.hold.is_some())).collect();
        for (index, (id, held)) in connections.into_iter().enumerate() {
            let shown = index < SUBJECTS_SHOWN_MAX;
            let what = format!("connection {}", if shown { id } else { OTHERS });
            self.add(telemetry::HELD, vec![("what", what)], flag(held));
        }
        let stopped_of = |sender: &Sender| {
            let templates = directory.templates(sender);
            let stopped = templates.iter().filter(|template| is_stopped(&template.status)).count();
            (sender.provider_account_id.clone(), stopped)
        };
        let stopped: BTreeMap<String, usize> = snapshot.senders().map(|sender| stopped_of(sender)).collect();
        for (index, (business_account, stopped)) in stopped.into_iter().enumerate() {
            let label = if index < SUBJECTS_SHOWN_MAX { business_account } else { OTHERS.to_owned() };
            self.add(telemetry::TEMPLATES_STOPPED, vec![("business_account", label)], stopped as f64);
        }
    }

    fn show_number(&mut self, observed: &Observed, snapshot: &Snapshot, sender: &Sender) {
        let number = number_label(snapshot, sender);
        let queue = observed.queues.get(&sender.key).cloned().unwrap_or_default();
        let due_retry = queue.next_retry.filter(|due_at| *due_at <= observed.at);
        let due = queue.oldest_queued.into_iter().chain(due_retry).min().map(|since| observed.at.since(since));
        let quality = observed.channels.get(&sender.key).and_then(|channel| channel.state.as_ref());
        let labels = || vec![("number", number.clone())];
        self.add(telemetry::HELD, vec![("what", format!("number {number}"))], flag(sender.hold.is_some()));
        self.add(telemetry::QUEUED, labels(), queue.queued as f64);
        self.add(telemetry::RETRYING, labels(), queue.waiting_for_retry as f64);
        self.add(telemetry::UNKNOWN_OUTCOME, labels(), queue.unknown as f64);
        self.at_least(telemetry::OLDEST_DUE, labels(), seconds(due));
        let limit = observed.limits.get(&sender.key);
        self.add(telemetry::LIMIT_WAITING, labels(), limit.map_or(0.0, |limit| limit.waiting as f64));
        self.at_least(telemetry::LIMIT_PEOPLE, labels(), limit.map_or(0.0, |limit| limit.people as f64));
        self.at_least(telemetry::LIMIT_PEOPLE_MAX, labels(), limit.map_or(0.0, |limit| limit.people_max as f64));
        if number != OTHERS {
            let score = quality.map_or(0.0, |(_, state)| f64::from(state.quality.score()));
            self.add(telemetry::NUMBER_QUALITY, labels(), score);
        }
    }

    fn show_subscription(
        &mut self,
        observed: &Observed,
        snapshot: &Snapshot,
        subscription: &Subscription,
        shown: bool,
    ) {
        let account = snapshot.account_by_key(subscription.account).map_or("?", |account| account.id.as_str());
        let (account, key) = if shown {
            (account.to_owned(), subscription.key.to_string())
        } else {
            (OTHERS.to_owned(), OTHERS.to_owned())
        };
        let labels = || {
            let kind = subscription.kind.as_str().to_owned();
            vec![("account", account.clone()), ("kind", kind), ("subscription", key.clone())]
        };
        let state = observed.cursors.get(&subscription.key);
        let (dead, _) = observed.callbacks.get(&subscription.key.0).copied().unwrap_or_default();
        let distance = observed.owed.get(&subscription.key).copied().unwrap_or_default();
        let failing = state.and_then(|state| state.trouble.failing_since).map(|since| observed.at.since(since));
        let held = state.is_some_and(|state| state.trouble.hold.is_some());
        self.add(telemetry::CURSOR_EVENTS, labels(), distance.events as f64);
        self.at_least(
            telemetry::CURSOR_SECONDS,
            labels(),
            seconds(distance.oldest.map(|oldest| observed.at.since(oldest))),
        );
        self.add(telemetry::CALLBACKS_DEAD, labels(), dead as f64);
        self.at_least(telemetry::CALLBACKS_FAILING, labels(), seconds(failing));
        self.add(telemetry::HELD, vec![("what", format!("subscription {key}"))], flag(held));
    }

    /// How many each owner has, and what of it is ours.
    fn show_leases(&mut self, leases: &[LeaseOverview], snapshot: &Snapshot) {
        let owners: BTreeSet<&String> = leases.iter().filter_map(|lease| lease.owner.as_ref()).collect();
        let shown: BTreeSet<&String> = owners.into_iter().take(SUBJECTS_SHOWN_MAX).collect();
        for lease in leases {
            let Some(kind) = LeaseKind::from_code(lease.kind) else { continue };
            let Some(what) = owned(kind, lease.item, snapshot) else { continue };
            let owner = match &lease.owner {
                None => "nobody".to_owned(),
                Some(owner) if shown.contains(owner) => owner.clone(),
                Some(_) => OTHERS.to_owned(),
            };
            let ours = lease.owner.as_ref() == Some(&self.instance);
            self.add(telemetry::LEASES, vec![("kind", kind.as_str().to_owned()), ("owner", owner)], 1.0);
            self.add(telemetry::OWNS, vec![("what", what)], flag(ours));
        }
    }

    fn show_storage(&mut self, observed: &Observed) {
        self.add(telemetry::PARKED_NOW, vec![], observed.parked as f64);
        for disk in &observed.disks {
            let directory = disk.directory.display().to_string();
            self.at_least(telemetry::DISK_FREE, vec![("directory", directory)], disk.free_bytes as f64);
        }
        let Some(upkeep) = &observed.upkeep else { return };
        self.add(telemetry::OLDEST_TRANSACTION, vec![], upkeep.oldest_transaction.as_secs_f64());
        for (table, dead) in &upkeep.dead_rows {
            self.add(telemetry::DEAD_ROWS, vec![("table", table.clone())], *dead as f64);
        }
    }

    fn add(&mut self, name: &'static str, labels: Labels, number: f64) {
        *self.set.entry((name, labels)).or_default() += number;
    }

    /// For ages: of several with the same labels the largest is shown.
    fn at_least(&mut self, name: &'static str, labels: Labels, number: f64) {
        let shown = self.set.entry((name, labels)).or_default();
        *shown = shown.max(number);
    }
}

/// What a lease is of; `None` when that is not configured any more.
fn owned(kind: LeaseKind, item: i32, snapshot: &Snapshot) -> Option<String> {
    match kind {
        LeaseKind::Sender => {
            snapshot.sender_at_work(SenderKey(item)).map(|sender| format!("number {}", number_label(snapshot, sender)))
        }
        LeaseKind::Subscription => {
            let place = snapshot.subscriptions.iter().position(|it| it.key == SubscriptionKey(item))?;
            let shown = place < SUBJECTS_SHOWN_MAX;
            Some(if shown { format!("subscription {item}") } else { format!("subscription {OTHERS}") })
        }
        LeaseKind::Housekeeping | LeaseKind::Media => Some(kind.as_str().to_owned()),
    }
}

fn flag(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

fn seconds(time: Option<Duration>) -> f64 {
    time.unwrap_or_default().as_secs_f64()
}
