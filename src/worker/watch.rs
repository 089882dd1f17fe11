//! Looking how everything stands: for the gauges at every instance, for alarms at the one that keeps the house.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::Lease;
use crate::{
    clock,
    domain::{alarm::AlarmKind, ids::SenderKey, time::UnixMillis},
    pulse::Pulse,
    services::{
        activity::Activity,
        alarms::{
            AlarmWays,
            conditions::{Evidence, conditions, slow_numbers},
        },
        directory::Directory,
        gauges::Gauges,
        observe::{Observed, observe},
    },
    settings::{Settings, checks::ACTIVITY_KEPT},
    store::{Store, StoreError},
    telemetry,
};

/// One instance's look at everything.
pub struct Watch {
    store: Store,
    directory: Arc<Directory>,
    settings: Arc<Settings>,
    activity: Arc<Activity>,
    ways: AlarmWays,
    /// Of the housekeeping: while it holds, alarms are this instance's to tell.
    house: Mutex<Option<Lease>>,
    /// Since when numbers have been slow.
    slow_since: Mutex<BTreeMap<SenderKey, UnixMillis>>,
}

/// After a look nobody looks for this many times as long as it took: counting a queue of a million takes a while.
const REST_FACTOR: u32 = 50;
/// But not longer than this many times what the setting says.
const RESTS_MAX: u32 = 10;

impl Watch {
    pub fn new(
        store: Store,
        directory: Arc<Directory>,
        settings: Arc<Settings>,
        activity: Arc<Activity>,
        ways: AlarmWays,
    ) -> Self {
        Self { store, directory, settings, activity, ways, house: Mutex::default(), slow_since: Mutex::default() }
    }

    /// From now on, and while the lease holds, alarms are told here.
    pub fn keep_house(&self, lease: Lease) {
        *self.house.lock().expect("no holder can panic") = Some(lease);
    }

    fn keeps_house(&self) -> bool {
        self.house.lock().expect("no holder can panic").as_ref().is_some_and(|lease| lease.holds(Instant::now()))
    }

    /// Looks again and again until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken, pulse: Pulse) {
        let mut gauges = Gauges::new(self.settings.instance_id());
        while !stop.is_cancelled() {
            pulse.beat();
            let started = Instant::now();
            let looked = self.look().await;
            let every = self.settings.alarms.look_every;
            let rest = (started.elapsed() * REST_FACTOR).clamp(every, every * RESTS_MAX);
            let acted = match looked {
                Ok(observed) => self.act_on(&observed, &mut gauges).await,
                Err(error) => Err(error),
            };
            if let Err(error) = acted {
                tracing::error!(error = %telemetry::Chain(&error), "could not look how everything stands");
            }
            pulse.rest();
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
        if let Err(error) = self.write_activity().await {
            tracing::debug!(error = %telemetry::Chain(&error), "what numbers did last is not written down");
        }
        pulse.end();
    }

    async fn look(&self) -> Result<Observed, StoreError> {
        self.write_activity().await?;
        observe(&self.store, &self.directory, &self.settings, clock::now()).await
    }

    async fn act_on(&self, observed: &Observed, gauges: &mut Gauges) -> Result<(), StoreError> {
        let alarms = if self.keeps_house() { self.tell(observed).await? } else { BTreeMap::new() };
        let counts: Vec<_> =
            AlarmKind::ALL.iter().map(|kind| (kind.as_str(), alarms.get(kind).copied().unwrap_or_default())).collect();
        gauges.show(observed, &self.directory, &counts);
        Ok(())
    }

    async fn write_activity(&self) -> Result<(), StoreError> {
        let tallies = self.activity.take();
        if tallies.is_empty() {
            return Ok(());
        }
        let written = self.store.add_activity(&tallies, clock::now()).await;
        if written.is_err() {
            self.activity.put_back(tallies);
        }
        written
    }

    fn note_slow(&self, slow: BTreeSet<SenderKey>, now: UnixMillis) -> BTreeMap<SenderKey, UnixMillis> {
        let mut since = self.slow_since.lock().expect("no holder can panic");
        since.retain(|sender, _| slow.contains(sender));
        for sender in slow {
            since.entry(sender).or_insert(now);
        }
        since.clone()
    }

    /// Tells what is wrong; gives back how many of each kind there are.
    async fn tell(&self, observed: &Observed) -> Result<BTreeMap<AlarmKind, usize>, StoreError> {
        let before = self.store.alarms().await?;
        let snapshot = self.directory.snapshot();
        let slow_since = self.note_slow(slow_numbers(observed, &snapshot, &self.settings.alarms), observed.at);
        let wrong = conditions(&Evidence {
            observed,
            snapshot: &snapshot,
            slow_since: &slow_since,
            templates: &|sender| self.directory.templates(sender),
            before: &before,
            thresholds: &self.settings.alarms,
        });
        let raised = self.ways.round(&self.store, &wrong, observed.at).await?;
        self.ways.tell_of_webhooks(&self.store, &snapshot.webhooks, observed.at).await?;
        self.store.forget_activity(observed.at.minus(ACTIVITY_KEPT + Duration::from_secs(3600))).await?;
        let mut counts = BTreeMap::new();
        for record in raised {
            *counts.entry(record.kind).or_default() += 1;
        }
        Ok(counts)
    }
}
