//! Which leases this instance has: it renews its own, takes what is free, and hands over what it has too many of.
//!
//! **Renewing** is done every `instance.lease_renewal`. **Looking** at everybody's leases is done then, too, and every second
//! while there are other instances: what one gives back, another soon takes.
//!
//! **Handing over** is stopping, of one owner: it chooses nothing more, what is in flight comes to its outcome, all of it is
//! committed, and only then the lease is given back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use rand::seq::{IteratorRandom as _, SliceRandom as _};
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{HOUSEKEEPING_ITEM, MEDIA_ITEM, Runner};
use crate::{
    domain::{callback::Subscription, words::counted},
    store::{
        StoreError,
        leases::{HeldLease, LeaseKind, OfOthers, Standing},
    },
    worker::{
        Lease,
        database_clock::DatabaseClock,
        shares::{LeaseItem, Memory, Other, Shares},
    },
};

/// An owner stops acting this long before its lease ends: clocks and schedulers are not exact.
const LEASE_MARGIN: Duration = Duration::from_secs(1);
/// Who has not renewed this often in a row is perhaps dead: nothing is left to it.
const RENEWALS_MISSED_MAX: u32 = 3;
/// When another instance was quicker, what is still free is looked at again, so often at once.
const TAKE_TRIES_MAX: u32 = 3;

/// What is shared out evenly. Of the other kinds there is one each, and it stays where it is.
const SHARED: [(LeaseKind, &str, &str); 2] =
    [(LeaseKind::Sender, "number", "numbers"), (LeaseKind::Subscription, "callback URL", "callback URLs")];

/// The leases of this instance, and what it knows of those of others.
pub(super) struct Leases {
    pub(super) running: BTreeMap<LeaseItem, Running>,
    /// Rung when an owner has ended that was asked to.
    pub(super) ended: Arc<Notify>,
    clock: DatabaseClock,
    of_others: OfOthers,
    renewed_at: Option<Instant>,
    memory: Memory,
    /// There are other instances, or somebody else owns something.
    shared: bool,
}

/// An owner at work.
pub(super) struct Running {
    pub(super) lease: Lease,
    pub(super) held: HeldLease,
    /// Ends it now.
    pub(super) stop: CancellationToken,
    /// Ends it when it has done what it is at. Set with `stop`, too.
    pub(super) soon: CancellationToken,
    pub(super) task: JoinHandle<()>,
    /// Its name for [`Health`](crate::pulse::Health).
    pub(super) stream: String,
    /// What a subscription's owner was started with: a changed one is started anew.
    pub(super) subscription: Option<Arc<Subscription>>,
    /// Since when it is being handed over.
    pub(super) leaves_since: Option<Instant>,
}

/// What became of this instance's leases.
pub(super) enum Kept {
    Kept,
    /// By a later start of an instance with the same name.
    TakenOver,
}

impl Leases {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            running: BTreeMap::new(),
            ended: Arc::default(),
            clock: DatabaseClock::new(now),
            of_others: OfOthers::GivenBack,
            renewed_at: None,
            memory: Memory::default(),
            shared: false,
        }
    }

    fn of_kind(&self, kind: LeaseKind) -> impl Iterator<Item = (&LeaseItem, &Running)> {
        self.running.iter().filter(move |((of, _), _)| *of == kind)
    }

    /// How this instance sees the shares of one kind.
    fn shares<'a>(&self, kind: LeaseKind, instance: &'a str, standing: &'a Standing, settled: Duration) -> Shares<'a> {
        let owned = |name: &str| {
            let leases = standing.leases.iter().filter(|it| it.lease.kind == kind && !it.free);
            leases.filter(|it| it.owner.as_deref() == Some(name)).count()
        };
        let others = standing.others.iter().map(|other| Other {
            instance: &other.id,
            items: owned(&other.id),
            settled: other.runs_for >= settled,
        });
        let mine = self.of_kind(kind).filter(|(_, owner)| owner.leaves_since.is_none()).count();
        Shares { instance, mine, others: others.collect() }
    }
}

impl Runner {
    /// Renews when that is due, or something has `changed`; looks when there is somebody to share with.
    pub(super) async fn keep_leases(
        self: &Arc<Self>,
        leases: &mut Leases,
        changed: bool,
        stop: &CancellationToken,
    ) -> Result<Kept, StoreError> {
        let first = leases.renewed_at.is_none();
        let ended = leases.running.values().any(|owner| owner.task.is_finished());
        let due = leases.renewed_at.is_none_or(|at| at.elapsed() >= self.settings.instance.lease_renewal);
        if due || changed {
            if let Kept::TakenOver = self.renew(leases).await? {
                return Ok(Kept::TakenOver);
            }
            self.stop_unwanted(leases);
        }
        if due || changed || ended || leases.shared {
            self.drop_finished(leases).await?;
            let Some(standing) = self.take_free(leases, stop).await? else { return Ok(Kept::TakenOver) };
            self.give_back_unused(leases, &standing).await?;
            if due {
                self.hand_over(leases, &standing);
            }
            self.health.own(LeaseKind::ALL.map(|kind| (kind.as_str(), leases.of_kind(kind).count())));
        }
        if first {
            let owned = leases.running.len();
            tracing::info!(instance.id = self.instance, owned, "{} works on {owned} items", self.instance);
        }
        if due || changed {
            self.health.keep_leases();
        }
        Ok(Kept::Kept)
    }

    async fn renew(&self, leases: &mut Leases) -> Result<Kept, StoreError> {
        let lasts = self.settings.instance.lease;
        // Noted before the database is asked: the lease lasts at least from now on.
        let asked_at = Instant::now();
        let valid_until = asked_at + lasts.saturating_sub(LEASE_MARGIN);
        let renewal = self.store.renew_leases(&self.instance, self.run, lasts).await;
        self.health.written(renewal.is_ok());
        let Some(renewal) = renewal? else {
            return Ok(Kept::TakenOver);
        };
        leases.of_others = leases.clock.look(renewal.at, asked_at, lasts);
        leases.renewed_at = Some(asked_at);
        let renewed: BTreeMap<LeaseItem, i64> =
            renewal.held.into_iter().map(|lease| ((lease.kind, lease.item), lease.epoch)).collect();
        for (item, owner) in &leases.running {
            if renewed.get(item) == Some(&owner.lease.epoch) {
                owner.lease.extend(valid_until);
            } else {
                owner.lease.end();
            }
        }
        Ok(Kept::Kept)
    }

    /// Takes as much of what is free as is this instance's share, and starts owners for it. Gives back how everything stood before;
    /// `None` when a later run of this instance has started.
    async fn take_free(
        self: &Arc<Self>,
        leases: &mut Leases,
        stop: &CancellationToken,
    ) -> Result<Option<Standing>, StoreError> {
        let lasts = self.settings.instance.lease;
        let seen_within = RENEWALS_MISSED_MAX * self.settings.instance.lease_renewal;
        let mut tries = 0;
        loop {
            tries += 1;
            let this = (self.instance.as_str(), self.run);
            let Some(standing) = self.store.standing(this, seen_within, leases.of_others).await? else {
                return Ok(None);
            };
            let owned: BTreeSet<LeaseItem> =
                standing.leases.iter().filter(|it| !it.free).map(|it| (it.lease.kind, it.lease.item)).collect();
            let mut free = self.wanted();
            free.retain(|item| !leases.running.contains_key(item));
            // Also when who owns the rest has not been seen for a while: it is taken as soon as its leases run out.
            leases.shared = !standing.others.is_empty() || !free.is_empty();
            free.retain(|item| !owned.contains(item));
            let lying = leases.memory.see_free(&free, Instant::now(), lasts);
            if !lying.is_empty() {
                tracing::warn!(
                    "{} lay for too long, and no other instance took any of it",
                    counted(lying.len(), "item", "items")
                );
            }
            let mut others_were_quicker = false;
            for kind in LeaseKind::ALL {
                let items = self.choose(kind, &free, &lying, &leases.shares(kind, &self.instance, &standing, lasts));
                let valid_until = Instant::now() + lasts.saturating_sub(LEASE_MARGIN);
                // What this instance is recorded to own and does not run is its own from before a restart,
                // or of an owner that has just ended.
                let taken = self.store.take_leases(&self.instance, kind, &items, lasts, leases.of_others).await?;
                others_were_quicker |= taken.len() < items.len();
                for held in taken {
                    let lease = Lease::new(held.epoch, valid_until);
                    if let Some(owner) = self.start(held, lease, stop, &leases.ended) {
                        leases.running.insert((held.kind, held.item), owner);
                    }
                }
            }
            if !others_were_quicker || tries == TAKE_TRIES_MAX {
                return Ok(Some(standing));
            }
        }
    }

    /// Which items of one kind to take.
    fn choose(
        &self,
        kind: LeaseKind,
        free: &BTreeSet<LeaseItem>,
        lying: &BTreeSet<LeaseItem>,
        shares: &Shares,
    ) -> Vec<i32> {
        let mut items: Vec<LeaseItem> = free.iter().filter(|item| item.0 == kind).copied().collect();
        let room = shares.room(items.len());
        // In any order, or two instances would ask for the same ones for ever.
        items.shuffle(&mut rand::rng());
        items.sort_by_key(|item| !lying.contains(item));
        let lying = items.iter().filter(|item| lying.contains(item)).count();
        items.truncate(room.max(lying));
        items.into_iter().map(|item| item.1).collect()
    }

    /// What this instance owned before a restart and has no room for now is for others.
    async fn give_back_unused(&self, leases: &Leases, standing: &Standing) -> Result<(), StoreError> {
        let ours = standing.leases.iter().filter(|it| it.owner.as_deref() == Some(&self.instance)).map(|it| it.lease);
        let unused: Vec<HeldLease> =
            ours.filter(|lease| !leases.running.contains_key(&(lease.kind, lease.item))).collect();
        if unused.is_empty() { Ok(()) } else { self.store.give_back_leases(&self.instance, &unused).await }
    }

    /// Asks owners to finish when this instance has too many and another has room. Which ones is left to chance: those without
    /// a queue would cost least, and would leave all the work where it is.
    fn hand_over(&self, leases: &mut Leases, standing: &Standing) {
        let (now, lasts) = (Instant::now(), self.settings.instance.lease);
        for owner in leases.running.values() {
            // It has had its time.
            if owner.leaves_since.is_some_and(|since| now.duration_since(since) >= lasts) {
                owner.stop.cancel();
            }
        }
        let leaving = leases.running.values().any(|owner| owner.leaves_since.is_some());
        if leaving || !leases.memory.may_hand_over(now) {
            return;
        }
        for (kind, one, many) in SHARED {
            let wanted = leases.shares(kind, &self.instance, standing, lasts).hand_over();
            if wanted == 0 {
                continue;
            }
            let staying = leases.of_kind(kind).filter(|(_, owner)| !owner.soon.is_cancelled());
            let chosen: Vec<LeaseItem> = staying.map(|(item, _)| *item).sample(&mut rand::rng(), wanted);
            tracing::info!(
                instance.id = self.instance,
                "hands {} over to other instances, which have fewer",
                counted(chosen.len(), one, many)
            );
            for item in chosen {
                if let Some(owner) = leases.running.get_mut(&item) {
                    owner.leaves_since = Some(now);
                    owner.soon.cancel();
                }
            }
        }
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

    /// Forgets owners that have ended, and gives back what they had.
    async fn drop_finished(&self, leases: &mut Leases) -> Result<(), StoreError> {
        let finished: Vec<LeaseItem> =
            leases.running.iter().filter(|(_, owner)| owner.task.is_finished()).map(|(item, _)| *item).collect();
        let ended: Vec<Running> = finished.iter().filter_map(|item| leases.running.remove(item)).collect();
        for owner in &ended {
            self.health.forget(&owner.stream);
            if owner.lease.holds(Instant::now()) && !owner.soon.is_cancelled() {
                tracing::warn!(
                    "the owner of {} {} ended and will be started again",
                    owner.held.kind.as_str(),
                    owner.held.item
                );
            }
        }
        if ended.is_empty() {
            return Ok(());
        }
        let held: Vec<HeldLease> = ended.iter().map(|owner| owner.held).collect();
        self.store.give_back_leases(&self.instance, &held).await?;
        for owner in ended.iter().filter(|owner| owner.leaves_since.is_some()) {
            leases.memory.note_handed_over((owner.held.kind, owner.held.item), Instant::now());
        }
        Ok(())
    }

    /// Asks owners to stop of what was taken out of the configuration, or changed. They finish an
    /// exchange first, and nobody waits for them meanwhile.
    fn stop_unwanted(&self, leases: &Leases) {
        let wanted = self.wanted();
        let snapshot = self.directory.snapshot();
        let current = |key: i32| snapshot.subscriptions.iter().find(|subscription| subscription.key.0 == key);
        for (item, owner) in &leases.running {
            let changed = owner
                .subscription
                .as_ref()
                .is_some_and(|started_with| current(item.1).is_some_and(|now| !started_with.tells_like(now)));
            if changed || !wanted.contains(item) {
                owner.stop.cancel();
            }
        }
    }
}
