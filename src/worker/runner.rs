//! Keeps this instance's leases, and starts and stops the owners that go with them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use rand::seq::SliceRandom as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    Lease,
    database_clock::DatabaseClock,
    media::own_media,
    sender::{SenderParts, own_sender},
    subscription::{SubscriptionParts, own_subscription},
    watch::Watch,
};
use crate::{
    domain::{
        callback::Subscription,
        ids::{SenderKey, SubscriptionKey},
    },
    pulse::{Health, Pulse},
    services::{
        channels::Channels,
        directory::Directory,
        lookup::TemplateLookup,
        media::{Copier, deletion::Deletion},
        messaging_limit::MessagingLimits,
        queue::QueueKeeper,
        retain::forget_old,
        silence::SilenceKeeper,
        subscribe_sync::SubscribeSync,
        suppressions::Suppressions,
    },
    settings::Settings,
    store::{
        Store, StoreError,
        leases::{HeldLease, LeaseKind},
        media::MediaOverview,
        wakeups::Wakeups,
    },
    telemetry,
};

pub struct Runner {
    pub instance: String,
    /// Which start of the instance this is.
    pub run: i64,
    /// Set when a later start of the same instance has taken everything over.
    pub replaced: CancellationToken,
    pub settings: Arc<Settings>,
    pub store: Store,
    pub directory: Arc<Directory>,
    pub lookup: Arc<TemplateLookup>,
    pub channels: Arc<Channels>,
    pub suppressions: Arc<Suppressions>,
    pub messaging_limits: Arc<MessagingLimits>,
    pub subscribe_sync: Arc<SubscribeSync>,
    pub wakeups: Arc<Wakeups>,
    pub senders: Arc<SenderParts>,
    pub subscriptions: Arc<SubscriptionParts>,
    pub copier: Arc<Copier>,
    pub watch: Arc<Watch>,
    pub health: Arc<Health>,
}

/// Looking whether the configuration has changed.
const VERSIONS_EVERY: Duration = Duration::from_secs(1);
/// An owner stops acting this long before its lease ends: clocks and schedulers are not exact.
const LEASE_MARGIN: Duration = Duration::from_secs(1);
/// Looking what there is to tidy up.
const HOUSE_EVERY: Duration = Duration::from_secs(2);
/// The housekeeping is one item.
const HOUSEKEEPING_ITEM: i32 = 0;
/// And so is the copying of files.
const MEDIA_ITEM: i32 = 0;

/// What a worker may take that fetches lists from providers, deletes what is old, or counts queues: each of it may take minutes.
const SLOW_WORK_TAKES_MAX: Duration = Duration::from_secs(30 * 60);

type LeaseItem = (LeaseKind, i32);

/// What became of this instance's leases.
enum Leases {
    Kept,
    /// By a later start of an instance with the same name.
    TakenOver,
}

struct Running {
    lease: Lease,
    held: HeldLease,
    stop: CancellationToken,
    task: JoinHandle<()>,
    /// Its name for [`Health`].
    stream: String,
    /// What a subscription's owner was started with: a changed one is started anew.
    subscription: Option<Arc<Subscription>>,
}

impl Runner {
    /// Runs until `stop`; then lets every owner finish and gives the leases back.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let watching = {
            let pulse = self.health.start("the look at everything", SLOW_WORK_TAKES_MAX);
            tokio::spawn(self.watch.clone().run(stop.clone(), pulse))
        };
        // Webhooks arrive at any instance, so each fetches what it heard of.
        let following = {
            let pulse = self.health.start("the reading of what notices are about", SLOW_WORK_TAKES_MAX);
            tokio::spawn(self.clone().follow_notices(stop.clone(), pulse))
        };
        let suppressing = {
            let (runner, stop) = (self.clone(), stop.clone());
            let pulse = self.health.start("the suppression list's memory", self.settings.instance.worker_silence_max);
            tokio::spawn(async move { runner.suppressions.follow(&runner.wakeups, &stop, pulse).await })
        };
        let counting = {
            let (limits, stop) = (self.messaging_limits.clone(), stop.clone());
            let pulse =
                self.health.start("the counting of messaging limits", self.settings.instance.worker_silence_max);
            tokio::spawn(async move { limits.follow(&stop, pulse).await })
        };
        let mut running: BTreeMap<LeaseItem, Running> = BTreeMap::new();
        let mut first = true;
        let mut renewed_at = Instant::now();
        let mut clock = DatabaseClock::new(Instant::now());
        while !stop.is_cancelled() {
            let ended = running.values().any(|owner| owner.task.is_finished());
            let due = first || ended || renewed_at.elapsed() >= self.settings.instance.lease_renewal;
            let refreshed = self.directory.refresh().await;
            self.health.configuration(refreshed.is_ok());
            let changed = match refreshed {
                Ok(changed) => changed,
                Err(error) => {
                    tracing::error!(error = %telemetry::Chain(&error), "could not look for changes of the configuration");
                    false
                }
            };
            if due || changed {
                renewed_at = Instant::now();
                match self.keep_leases(&mut running, &mut clock, first, &stop).await {
                    Ok(Leases::Kept) => {
                        first = false;
                        self.health.keep_leases();
                    }
                    Ok(Leases::TakenOver) => {
                        self.replaced.cancel();
                        break;
                    }
                    Err(error) => tracing::error!(error = %telemetry::Chain(&error), "could not renew leases"),
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(VERSIONS_EVERY) => {}
            }
        }
        self.stop_all(running).await;
        // What was sent last is counted at the next start, too.
        drop(counting.await);
        if let Err(error) = self.messaging_limits.write().await {
            tracing::warn!(error = %telemetry::Chain(&error), "who was written to last will not be counted");
        }
        // It may be waiting for a provider; what it would have fetched is fetched at the next start.
        following.abort();
        suppressing.abort();
        watching.abort();
    }

    async fn follow_notices(self: Arc<Self>, stop: CancellationToken, pulse: Pulse) {
        while !stop.is_cancelled() {
            pulse.beat();
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(self.settings.templates.webhook_delay) => {
                    tokio::join!(self.lookup.sync_changed(), self.channels.read_changed());
                }
            }
        }
        pulse.end();
    }

    async fn keep_leases(
        self: &Arc<Self>,
        running: &mut BTreeMap<LeaseItem, Running>,
        clock: &mut DatabaseClock,
        first: bool,
        stop: &CancellationToken,
    ) -> Result<Leases, StoreError> {
        let lasts = self.settings.instance.lease;
        // Noted before the database is asked: the lease lasts at least from now on.
        let asked_at = Instant::now();
        let valid_until = asked_at + lasts.saturating_sub(LEASE_MARGIN);
        let Some(renewal) = self.store.renew_leases(&self.instance, self.run, lasts).await? else {
            return Ok(Leases::TakenOver);
        };
        let of_others = clock.look(renewal.at, asked_at, lasts);
        let renewed: BTreeMap<LeaseItem, i64> =
            renewal.held.into_iter().map(|lease| ((lease.kind, lease.item), lease.epoch)).collect();
        for (item, owner) in running.iter() {
            if renewed.get(item) == Some(&owner.lease.epoch) {
                owner.lease.extend(valid_until);
            } else {
                owner.lease.end();
            }
        }
        self.stop_unwanted(running);
        self.drop_finished(running).await?;

        let wanted = self.wanted();
        let free: Vec<LeaseItem> = wanted.iter().filter(|item| !running.contains_key(item)).copied().collect();
        let share = self.share(wanted.len()).await?;
        let mut room = share.saturating_sub(running.len());
        for kind in [LeaseKind::Sender, LeaseKind::Subscription, LeaseKind::Housekeeping, LeaseKind::Media] {
            let mut items: Vec<i32> = free.iter().filter(|item| item.0 == kind).map(|item| item.1).collect();
            // In any order, or two instances would ask for the same ones for ever.
            items.shuffle(&mut rand::rng());
            items.truncate(room);
            let valid_until = Instant::now() + lasts.saturating_sub(LEASE_MARGIN);
            // What this instance is recorded to own and does not run is its own from before a restart,
            // or of an owner that has just ended.
            let taken = self.store.take_leases(&self.instance, kind, &items, lasts, of_others).await?;
            room = room.saturating_sub(taken.len());
            for held in taken {
                if let Some(owner) = self.start(held, Lease::new(held.epoch, valid_until), stop) {
                    running.insert((held.kind, held.item), owner);
                }
            }
        }
        // What this instance owned before a restart and has no room for now is for others.
        let idle: Vec<HeldLease> = renewed
            .iter()
            .filter(|(item, _)| !running.contains_key(item))
            .map(|(&(kind, item), &epoch)| HeldLease { kind, item, epoch })
            .collect();
        if !idle.is_empty() {
            self.store.give_back_leases(&self.instance, &idle).await?;
        }
        if first {
            tracing::info!(
                instance.id = self.instance,
                owned = running.len(),
                "{} works on {} items",
                self.instance,
                running.len()
            );
        }
        Ok(Leases::Kept)
    }

    /// Everything that somebody must own.
    fn wanted(&self) -> BTreeSet<LeaseItem> {
        let snapshot = self.directory.snapshot();
        let senders = snapshot.senders().map(|sender| (LeaseKind::Sender, sender.key.0));
        let subscriptions =
            snapshot.subscriptions.iter().map(|subscription| (LeaseKind::Subscription, subscription.key.0));
        senders
            .chain(subscriptions)
            .chain([(LeaseKind::Housekeeping, HOUSEKEEPING_ITEM), (LeaseKind::Media, MEDIA_ITEM)])
            .collect()
    }

    /// How many items this instance takes at most, so that others get theirs.
    async fn share(&self, items: usize) -> Result<usize, StoreError> {
        let instances =
            usize::try_from(self.store.instances_running(self.settings.instance.lease).await?).unwrap_or(1).max(1);
        Ok(items.div_ceil(instances))
    }

    /// Forgets owners that have ended, and gives back what they had.
    async fn drop_finished(&self, running: &mut BTreeMap<LeaseItem, Running>) -> Result<(), StoreError> {
        let mut ended = Vec::new();
        running.retain(|(kind, item), owner| {
            let finished = owner.task.is_finished();
            if finished {
                ended.push(owner.held);
                self.health.forget(&owner.stream);
                if owner.lease.holds(Instant::now()) && !owner.stop.is_cancelled() {
                    tracing::warn!("the owner of {} {item} ended and will be started again", kind.as_str());
                }
            }
            !finished
        });
        if ended.is_empty() { Ok(()) } else { self.store.give_back_leases(&self.instance, &ended).await }
    }

    /// Asks owners to stop of what was taken out of the configuration, or changed. They finish an
    /// exchange first, and nobody waits for them meanwhile.
    fn stop_unwanted(&self, running: &BTreeMap<LeaseItem, Running>) {
        let wanted = self.wanted();
        let snapshot = self.directory.snapshot();
        let current = |key: i32| snapshot.subscriptions.iter().find(|subscription| subscription.key.0 == key);
        for (item, owner) in running {
            let changed = owner
                .subscription
                .as_ref()
                .is_some_and(|started_with| current(item.1).is_some_and(|now| !started_with.tells_like(now)));
            if changed || !wanted.contains(item) {
                owner.stop.cancel();
            }
        }
    }

    fn start(self: &Arc<Self>, held: HeldLease, lease: Lease, stop: &CancellationToken) -> Option<Running> {
        let stop = stop.child_token();
        let mut started_with = None;
        let silent_max = self.settings.instance.worker_silence_max;
        let stream = self.stream_name((held.kind, held.item));
        let pulse = || self.health.start(&stream, silent_max);
        let task = match held.kind {
            LeaseKind::Sender => {
                let key = SenderKey(held.item);
                let bell = self.wakeups.of_sender(key);
                tokio::spawn(own_sender(self.senders.clone(), key, lease.clone(), bell, (stop.clone(), pulse())))
            }
            LeaseKind::Subscription => {
                let key = SubscriptionKey(held.item);
                let snapshot = self.directory.snapshot();
                let subscription = snapshot.subscriptions.iter().find(|subscription| subscription.key == key)?.clone();
                started_with = Some(subscription.clone());
                let bell = self.wakeups.of_log(subscription.account, key.0);
                let parts = self.subscriptions.clone();
                tokio::spawn(own_subscription(parts, subscription, lease.clone(), bell, (stop.clone(), pulse())))
            }
            LeaseKind::Housekeeping => {
                let pulses = ["ages and lists", "queues", "opt-outs told"].map(|part| {
                    // Its parts go at their own pace; each shows a pulse.
                    let silent_max = if part == "queues" { silent_max } else { SLOW_WORK_TAKES_MAX };
                    self.health.start(&format!("{stream} ({part})"), silent_max)
                });
                tokio::spawn(self.clone().keep_house(lease.clone(), stop.clone(), pulses))
            }
            LeaseKind::Media => {
                let bell = self.wakeups.of_media();
                tokio::spawn(own_media(self.copier.clone(), lease.clone(), bell, stop.clone(), pulse()))
            }
        };
        Some(Running { lease, held, stop, task, stream, subscription: started_with })
    }

    /// What a stream is called where people read it.
    fn stream_name(&self, (kind, item): LeaseItem) -> String {
        let snapshot = self.directory.snapshot();
        match kind {
            LeaseKind::Sender => {
                let number = snapshot.sender(SenderKey(item)).map(|sender| sender.number.as_e164().to_owned());
                format!("the sending from number {}", number.unwrap_or_else(|| item.to_string()))
            }
            LeaseKind::Subscription => {
                let found = snapshot.subscriptions.iter().find(|subscription| subscription.key.0 == item);
                let account = found.and_then(|subscription| snapshot.account_by_key(subscription.account));
                format!("the telling of callback URL {item} of {}", account.map_or("?", |account| account.id.as_str()))
            }
            LeaseKind::Housekeeping => "the housekeeping".to_owned(),
            LeaseKind::Media => "the copying of files".to_owned(),
        }
    }

    /// Lets every owner finish, and gives its lease to others as soon as it has.
    async fn stop_all(&self, running: BTreeMap<LeaseItem, Running>) {
        for owner in running.values() {
            owner.stop.cancel();
        }
        let ending = running.into_values().map(|owner| async move {
            drop(owner.task.await);
            self.store.give_back_leases(&self.instance, &[owner.held]).await
        });
        let given_back = futures_util::future::join_all(ending).await;
        let signed_off = self.store.sign_off(&self.instance, self.run).await;
        if let Err(error) = given_back.into_iter().chain([signed_off]).collect::<Result<(), _>>() {
            tracing::warn!(error = %telemetry::Chain(&error), "could not give back leases; they run out by themselves");
        }
    }

    /// What one instance does for all. Each task at its own pace: a list of templates may take a minute to fetch.
    async fn keep_house(self: Arc<Self>, lease: Lease, stop: CancellationToken, pulses: [Pulse; 3]) {
        self.watch.keep_house(lease.clone());
        let [ages, queues, told] = &pulses;
        let goes_on = || {
            told.beat();
            lease.holds(Instant::now())
        };
        tokio::join!(
            self.keep_lists_and_ages(&lease, &stop, ages),
            self.keep_queues(&lease, &stop, queues),
            self.subscribe_sync.run(&stop, goes_on),
        );
        pulses.into_iter().for_each(Pulse::end);
    }

    /// Ends rules of queues, and closes messages that fell silent.
    async fn keep_queues(&self, lease: &Lease, stop: &CancellationToken, pulse: &Pulse) {
        let may_go = || {
            pulse.beat();
            !stop.is_cancelled() && lease.holds(Instant::now())
        };
        let mut queues = QueueKeeper {
            store: self.store.clone(),
            directory: self.directory.clone(),
            wakeups: self.wakeups.clone(),
            released: HashMap::new(),
        };
        let mut silence = SilenceKeeper::new(
            self.store.clone(),
            self.directory.clone(),
            self.senders.committer.clone(),
            self.settings.send.silence_buffer,
        );
        while may_go() {
            if let Err(error) = queues.round(&may_go).await {
                tracing::error!(error = %telemetry::Chain(&error), "could not put back what was paused");
            }
            if let Err(error) = silence.round(&may_go).await {
                tracing::error!(error = %telemetry::Chain(&error), "could not look for messages that fell silent");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(HOUSE_EVERY) => {}
            }
        }
    }

    /// Syncs templates, reads how numbers stand, and forgets what is old.
    async fn keep_lists_and_ages(&self, lease: &Lease, stop: &CancellationToken, pulse: &Pulse) {
        let mut forgot_at = Instant::now();
        if let Err(error) = self.count_media().await {
            tracing::error!(error = %telemetry::Chain(&error), "could not count files");
        }
        while !stop.is_cancelled() && lease.holds(Instant::now()) {
            pulse.beat();
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.lookup.sync_outdated(self.settings.templates.sync_every) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.channels.read_outdated(self.settings.channels.read_every) => {}
            }
            if forgot_at.elapsed() >= self.settings.retention.every {
                forgot_at = Instant::now();
                let ages = &self.settings.retention;
                let window = self.settings.repeats.window;
                if let Err(error) = forget_old(&self.store, &self.directory, ages, window).await {
                    tracing::error!(error = %telemetry::Chain(&error), "could not forget old data");
                }
                if let Err(error) = self.keep_media().await {
                    tracing::error!(error = %telemetry::Chain(&error), "could not delete old files");
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(HOUSE_EVERY) => {}
            }
        }
    }

    /// Deletes files whose time is over, and counts what is left.
    async fn keep_media(&self) -> Result<(), StoreError> {
        let ages = &self.settings.retention;
        let deletion = Deletion {
            store: &self.store,
            files: &self.copier.files,
            copy_timeout: self.settings.media.timeout,
            step: ages.rows_per_step,
        };
        deletion.delete_old(ages.media).await?;
        self.count_media().await
    }

    async fn count_media(&self) -> Result<(), StoreError> {
        let MediaOverview { pending, stored, failed, stored_bytes } = self.store.count_media().await?;
        for (state, files) in [("pending", pending), ("stored", stored), ("failed", failed)] {
            metrics::gauge!(telemetry::MEDIA_FILES, "state" => state).set(files as f64);
        }
        metrics::gauge!(telemetry::MEDIA_STORED_BYTES).set(stored_bytes as f64);
        Ok(())
    }
}
