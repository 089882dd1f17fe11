//! Keeps this instance's leases, and starts and stops the owners that go with them.

mod leases;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::leases::{Kept, Leases, Running};
use super::{
    Lease,
    media::own_media,
    sender::{SenderParts, own_sender},
    shares::LeaseItem,
    subscription::{Stops, SubscriptionParts, own_subscription},
    watch::Watch,
};
use crate::{
    domain::{
        account::kept_for,
        ids::{SenderKey, SubscriptionKey},
    },
    pulse::{Health, Pulse},
    services::{
        attendance::ConversationKeeper,
        channels::Channels,
        directory::Directory,
        late_matches::LateMatcher,
        lookup::TemplateLookup,
        media::{Copier, deletion::Deletion},
        messaging_limit::MessagingLimits,
        polling::Poller,
        queue::QueueKeeper,
        retain::forget_old,
        silence::SilenceKeeper,
        statistics::{Statistics, count_up},
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
    pub statistics: Arc<Statistics>,
    pub subscribe_sync: Arc<SubscribeSync>,
    pub wakeups: Arc<Wakeups>,
    pub senders: Arc<SenderParts>,
    pub subscriptions: Arc<SubscriptionParts>,
    pub copier: Arc<Copier>,
    pub watch: Arc<Watch>,
    pub poller: Poller,
    pub health: Arc<Health>,
}

/// Looking whether the configuration has changed.
const VERSIONS_EVERY: Duration = Duration::from_secs(1);
/// Looking what there is to tidy up.
const HOUSE_EVERY: Duration = Duration::from_secs(2);
/// Counting what happened.
const FIGURES_EVERY: Duration = Duration::from_secs(5);
/// The housekeeping is one item.
const HOUSEKEEPING_ITEM: i32 = 0;
/// And so is the copying of files.
const MEDIA_ITEM: i32 = 0;

/// What a worker may take that fetches lists from providers, deletes what is old, or counts queues: each of it may take minutes.
const SLOW_WORK_TAKES_MAX: Duration = Duration::from_secs(30 * 60);

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
        let writing_figures = {
            let (statistics, store, stop) = (self.statistics.clone(), self.store.clone(), stop.clone());
            let pulse = self.health.start("the writing of figures", self.settings.instance.worker_silence_max);
            tokio::spawn(async move { statistics.follow(&store, &stop, pulse).await })
        };
        let mut leases = Leases::new();
        while !stop.is_cancelled() {
            let refreshed = self.directory.refresh().await;
            self.health.configuration(refreshed.is_ok());
            let changed = match refreshed {
                Ok(changed) => changed,
                Err(error) => {
                    tracing::error!(error = %telemetry::Chain(&error), "could not look for changes of the configuration");
                    false
                }
            };
            match self.keep_leases(&mut leases, changed, &stop).await {
                Ok(Kept::Kept) => {}
                Ok(Kept::TakenOver) => {
                    self.replaced.cancel();
                    break;
                }
                Err(error) => tracing::error!(error = %telemetry::Chain(&error), "could not renew leases"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = leases.ended.notified() => {}
                () = tokio::time::sleep(VERSIONS_EVERY) => {}
            }
        }
        self.stop_all(leases.running).await;
        // What was sent last is counted at the next start, too.
        drop(counting.await);
        if let Err(error) = self.messaging_limits.write().await {
            tracing::warn!(error = %telemetry::Chain(&error), "who was written to last will not be counted");
        }
        drop(writing_figures.await);
        if let Err(error) = self.statistics.write(&self.store).await {
            tracing::warn!(error = %telemetry::Chain(&error), "what was counted last is missing from the figures");
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

    fn start(
        self: &Arc<Self>,
        held: HeldLease,
        lease: Lease,
        stop: &CancellationToken,
        ended: &Arc<Notify>,
    ) -> Option<Running> {
        let stop = stop.child_token();
        let soon = stop.child_token();
        let mut started_with = None;
        let silent_max = self.settings.instance.worker_silence_max;
        let stream = self.stream_name((held.kind, held.item));
        let pulse = || self.health.start(&stream, silent_max);
        let work: BoxFuture<'static, ()> = match held.kind {
            LeaseKind::Sender => {
                let key = SenderKey(held.item);
                let bell = self.wakeups.of_sender(key);
                own_sender(self.senders.clone(), key, lease.clone(), bell, (soon.clone(), pulse())).boxed()
            }
            LeaseKind::Subscription => {
                let key = SubscriptionKey(held.item);
                let snapshot = self.directory.snapshot();
                let subscription = snapshot.subscriptions.iter().find(|subscription| subscription.key == key)?.clone();
                started_with = Some(subscription.clone());
                let bell = self.wakeups.of_log(subscription.account, key.0, subscription.kind);
                let parts = self.subscriptions.clone();
                let stops = Stops { soon: soon.clone(), now: stop.clone() };
                own_subscription(parts, subscription, lease.clone(), bell, (stops, pulse())).boxed()
            }
            LeaseKind::Housekeeping => {
                let pulses = ["ages and lists", "queues", "opt-outs told", "figures", "polls"].map(|part| {
                    // Its parts go at their own pace; each shows a pulse.
                    let silent_max = if part == "queues" { silent_max } else { SLOW_WORK_TAKES_MAX };
                    self.health.start(&format!("{stream} ({part})"), silent_max)
                });
                self.clone().keep_house(lease.clone(), stop.clone(), pulses).boxed()
            }
            LeaseKind::Media => {
                let bell = self.wakeups.of_media();
                own_media(self.copier.clone(), lease.clone(), bell, stop.clone(), pulse()).boxed()
            }
        };
        let (asked, ended) = (soon.clone(), ended.clone());
        let task = tokio::spawn(async move {
            work.await;
            // One that ends by itself is found soon enough; it may end again and again.
            if asked.is_cancelled() {
                ended.notify_one();
            }
        });
        Some(Running { lease, held, stop, soon, task, stream, subscription: started_with, leaves_since: None })
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
        // Or others would leave what is given back to this instance, which has fewest.
        let announced = self.store.begin_to_stop(&self.instance, self.run).await;
        let ending = running.into_values().map(|owner| async move {
            drop(owner.task.await);
            self.store.give_back_leases(&self.instance, &[owner.held]).await
        });
        let given_back = futures_util::future::join_all(ending).await;
        let signed_off = self.store.sign_off(&self.instance, self.run).await;
        if let Err(error) = given_back.into_iter().chain([announced, signed_off]).collect::<Result<(), _>>() {
            tracing::warn!(error = %telemetry::Chain(&error), "could not give back leases; they run out by themselves");
        }
    }

    /// What one instance does for all. Each task at its own pace: a list of templates may take a minute to fetch.
    async fn keep_house(self: Arc<Self>, lease: Lease, stop: CancellationToken, pulses: [Pulse; 5]) {
        self.watch.keep_house(lease.clone());
        let [ages, queues, told, figures, polls] = &pulses;
        let goes_on = || {
            told.beat();
            lease.holds(Instant::now())
        };
        tokio::join!(
            self.keep_lists_and_ages(&lease, &stop, ages),
            self.keep_queues(&lease, &stop, queues),
            self.subscribe_sync.run(&stop, goes_on),
            self.keep_figures(&lease, &stop, figures),
            self.keep_polling(&lease, &stop, polls),
        );
        pulses.into_iter().for_each(Pulse::end);
    }

    /// Asks providers what happened, where nobody tells it.
    async fn keep_polling(&self, lease: &Lease, stop: &CancellationToken, pulse: &Pulse) {
        let may_go = || {
            pulse.beat();
            !stop.is_cancelled() && lease.holds(Instant::now())
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.poller.run(&may_go) => {}
        }
    }

    /// Counts by the hour what has come to the tables.
    async fn keep_figures(&self, lease: &Lease, stop: &CancellationToken, pulse: &Pulse) {
        let may_go = || {
            pulse.beat();
            !stop.is_cancelled() && lease.holds(Instant::now())
        };
        while may_go() {
            if let Err(error) = count_up(&self.store, &may_go).await {
                tracing::error!(error = %telemetry::Chain(&error), "could not count what happened");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(FIGURES_EVERY) => {}
            }
        }
    }

    /// Ends rules of queues and conversations, closes messages that fell silent, and looks for those of parked statuses.
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
        let mut parked = LateMatcher::new(self.store.clone(), self.senders.committer.clone());
        let mut conversations = ConversationKeeper::new(self.store.clone(), self.directory.clone());
        while may_go() {
            if let Err(error) = queues.round(&may_go).await {
                tracing::error!(error = %telemetry::Chain(&error), "could not put back what was paused");
            }
            if let Err(error) = conversations.round(&may_go).await {
                tracing::error!(error = %telemetry::Chain(&error), "could not look after conversations");
            }
            if let Err(error) = silence.round(&may_go).await {
                tracing::error!(error = %telemetry::Chain(&error), "could not look for messages that fell silent");
            }
            if let Err(error) = parked.round(&may_go).await {
                tracing::error!(error = %telemetry::Chain(&error), "could not look for the messages of parked statuses");
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
                if let Err(error) = forget_old(&self.store, &self.directory, ages, window, &self.settings.console).await
                {
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
        for account in self.directory.snapshot().accounts_ever() {
            let age = kept_for(ages.media, account.policy.keep_media_for);
            if age < ages.media {
                deletion.mark_old_of(account.key, age).await?;
            }
        }
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
