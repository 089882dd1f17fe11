//! The owner of one number: the only one who sends from it, so its pace is exact.
//!
//! **The way of a message.** Read ahead from the queue into a lane for each class (nothing is written) →
//! set aside if an operator paused it, else chosen, highest class first, one at a time for each person → marked as being sent, a few at a time,
//! for what will leave within [`MARK_AHEAD`] → released when the pace allows → one exchange, in a task
//! of its own, whose outcome is committed before the person is free again.
//!
//! **What a crash costs.** Marked messages, at most: everything else is still queued. The next owner
//! finds the marked ones and waits for evidence.
//!
//! **What keeps the pace.** The loop waits for no database: reads, and the writing down of what becomes of waiting messages, are
//! tasks of their own that hand over what they found. So much is marked ahead that it lasts while the next marks are committed.
//!
//! **Quiet hours.** Messages of a class that waits lie in their lane as on hold: read, expiring, not chosen. Nothing
//! is written for it, and the other classes go on.
//!
//! **The messaging limit.** What is chosen takes a place for its person; what finds none is set aside ([`places`]).
//!
//! **Limits.** Lanes, marked and flying messages are all counted; the tasks of those that fly are bounded by
//! `in_flight_max`.

mod flight;
mod landing;
mod lateness;
mod places;
mod ready;
mod rules;
mod supply;
mod waiting;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use self::{
    flight::{Landed, fly},
    lateness::Lateness,
    places::Aside,
    ready::Ready,
    supply::{Due, Head},
};
use super::{Lease, pace::Pace, pairs::Pairs, pauses::Pauses};
use crate::{
    clock,
    domain::{
        account::Sender,
        ids::{MessageId, SenderKey},
        outbound::Class,
        phone::PhoneNumber,
        progress::Finding,
        queue::QueueRules,
    },
    pulse::Pulse,
    services::{directory::number_label, dispatch::Dispatcher, messaging_limit::MessagingLimits},
    settings,
    store::{
        Store,
        batch::{CommitError, Committer},
        outbound::{Mark, QueuedMessage, Settlement},
        wakeups::QueueBell,
    },
};

/// What all owners of numbers share.
pub struct SenderParts {
    pub store: Store,
    pub committer: Committer,
    pub dispatcher: Arc<Dispatcher>,
    pub pauses: Arc<Pauses>,
    pub limits: Arc<MessagingLimits>,
    pub send: settings::Send,
    pub read_ahead: usize,
}

/// So much of the future is marked at once, beside what leaves while marks are being committed.
const MARK_AHEAD: Duration = Duration::from_millis(50);
/// However long commits take, no more than this is marked: a crash makes it unknown.
const MARK_AHEAD_MAX: Duration = Duration::from_secs(1);
/// How often due retries, unknown outcomes and the pace's recovery are seen to.
const TICK: Duration = Duration::from_millis(500);
/// Marked messages that must wait for longer than this are queued again.
const GIVE_BACK_AFTER: Duration = Duration::from_secs(2);
/// What could not be marked is tried again sooner than this. When it is not, it was withdrawn, and nothing is wrong any more.
const MARK_FAILURE_COUNTS: Duration = Duration::from_secs(5);
/// Before an outcome that could not be written is tried again.
const SETTLE_RETRY: Duration = Duration::from_millis(500);
/// After another instance had the number: its last messages may still be counted.
const TAKE_OVER_WAIT: Duration = Duration::from_secs(1);

/// Runs until `stop`, or until the lease is lost. What is in flight is finished in either case.
pub async fn own_sender(
    parts: Arc<SenderParts>,
    key: SenderKey,
    lease: Lease,
    bell: Arc<QueueBell>,
    (stop, pulse): (CancellationToken, Pulse),
) {
    let Some(sender) = parts.dispatcher.directory.snapshot().sender_at_work(key).cloned() else { return pulse.end() };
    tracing::debug!(sender.number = %sender.number, epoch = lease.epoch, "owning {}", sender.number);
    Owner::new(parts, sender, lease).run(bell, stop, pulse).await;
}

struct Owner {
    parts: Arc<SenderParts>,
    sender: Arc<Sender>,
    lease: Lease,
    pace: Pace,
    pairs: Pairs,
    lanes: [VecDeque<QueuedMessage>; 3],
    /// Everything in lanes, marked or flying: what the queue shows and we have already.
    held: HashSet<MessageId>,
    /// People with a message that is marked or flying.
    busy: HashSet<PhoneNumber>,
    marking: Option<JoinHandle<Marked>>,
    /// How long the commit of marks takes lately.
    marking_takes: Duration,
    /// Heads of the queue on their way from the database.
    reading: Option<JoinHandle<Vec<Head>>>,
    /// What is due again, on its way.
    looking: Option<JoinHandle<Due>>,
    /// No longer held, although what is on its way may show them as they were.
    left: HashSet<MessageId>,
    ready: Ready,
    flying: JoinSet<Landed>,
    /// What operators say about parts of the queue.
    rules: Arc<QueueRules>,
    /// Messages that go without having been sent: until that is committed the queue still shows them.
    leaving: JoinSet<Vec<MessageId>>,
    /// Which lanes may have more behind them in the queue.
    more: [bool; 3],
    held_templates: HashMap<(String, String), Instant>,
    /// Classes whose messages wait for the end of quiet hours. They are read and expire, but are not chosen.
    quiet: Vec<Class>,
    /// Messages that wait for a place within the messaging limit.
    aside: Aside,
    looked_at: Instant,
    /// `None` before the first tick.
    ticked_at: Option<Instant>,
    /// What an earlier owner had marked is seen to.
    adopted: bool,
    lateness: Lateness,
    /// The queue could be read when that was last tried.
    reads: bool,
    /// When messages could not be marked; `None` since they could.
    mark_failed_at: Option<Instant>,
}

struct Marked {
    asked: Vec<QueuedMessage>,
    took: Duration,
    result: Result<Vec<MessageId>, CommitError>,
}

impl Owner {
    fn new(parts: Arc<SenderParts>, sender: Arc<Sender>, lease: Lease) -> Self {
        let now = Instant::now();
        let from = if lease.epoch > 1 { now + TAKE_OVER_WAIT } else { now };
        let send = &parts.send;
        Self {
            pace: Pace::new(sender.pace, send.pace_share, from),
            pairs: Pairs::new(send.pair_burst, send.pair_refill),
            rules: parts.dispatcher.directory.queue_rules(),
            leaving: JoinSet::new(),
            lateness: Lateness::new(number_label(&parts.dispatcher.directory.snapshot(), &sender)),
            reads: true,
            mark_failed_at: None,
            parts,
            sender,
            lease,
            lanes: Default::default(),
            held: HashSet::new(),
            busy: HashSet::new(),
            marking: None,
            marking_takes: Duration::ZERO,
            reading: None,
            looking: None,
            left: HashSet::new(),
            ready: Ready::default(),
            flying: JoinSet::new(),
            more: [true; 3],
            held_templates: HashMap::new(),
            quiet: vec![],
            aside: Aside::new(),
            looked_at: now,
            ticked_at: None,
            adopted: false,
        }
    }

    async fn run(mut self, bell: Arc<QueueBell>, stop: CancellationToken, pulse: Pulse) {
        // What came while nobody owned the number here is over.
        self.parts.dispatcher.activity.take_received(self.sender.key);
        while !stop.is_cancelled() && self.lease.holds(Instant::now()) {
            // A loop that turns and gets nothing done is no sign of life.
            if self.reads && self.mark_failed_at.is_none_or(|at| at.elapsed() > MARK_FAILURE_COUNTS) {
                pulse.beat();
            }
            // Asked to be woken before looking: what is accepted in between rings the bell.
            let woken = bell.rung();
            tokio::pin!(woken);
            woken.as_mut().enable();
            self.see_changes();
            self.start_reading();
            self.tick_if_due().await;
            self.start_marking();
            let release_at = self.release_at();
            tokio::select! {
                () = stop.cancelled() => {}
                marked = join(&mut self.marking), if self.marking.is_some() => self.take_marked(marked).await,
                () = sleep_until(release_at), if release_at.is_some() => self.release(),
                Some(landed) = self.flying.join_next(), if !self.flying.is_empty() => self.land(landed.ok()).await,
                heads = join(&mut self.reading), if self.reading.is_some() => self.take_heads(heads),
                due = join(&mut self.looking), if self.looking.is_some() => self.take_due(due),
                Some(gone) = self.leaving.join_next(), if !self.leaving.is_empty() => self.forget(&gone.unwrap_or_default()),
                back = self.aside.returned() => self.take_returned(back),
                () = woken => bell.take().for_each(|class| self.more[class as usize] = true),
                () = tokio::time::sleep(TICK) => {}
            }
        }
        // What it still waits for has limits of its own.
        pulse.rest();
        self.finish().await;
        pulse.end();
    }

    /// Follows a configuration that was changed beside the running server.
    fn see_changes(&mut self) {
        let snapshot = self.parts.dispatcher.directory.snapshot();
        if let Some(sender) = snapshot.sender_at_work(self.sender.key)
            && !Arc::ptr_eq(sender, &self.sender)
        {
            if sender.pace != self.sender.pace {
                let share = self.parts.send.pace_share;
                self.pace.change(Pace::new(sender.pace, share, Instant::now()));
            }
            self.sender = sender.clone();
        }
        self.see_rules();
    }

    fn on_hold(&self) -> bool {
        self.sender.hold.is_some() || self.sender.connection.hold.is_some()
    }

    async fn tick_if_due(&mut self) {
        if self.ticked_at.is_some_and(|at| at.elapsed() < TICK) {
            return;
        }
        let now = Instant::now();
        self.ticked_at = Some(now);
        self.pace.recover(now);
        self.held_templates.retain(|_, until| *until > now);
        self.quiet = self.parts.dispatcher.quiet_classes(&self.sender);
        self.start_looking();
        self.expire();
        self.postpone();
        self.start_trying_places();
        self.watch_pace(now);
        // Nothing would leave meanwhile, so this may be waited for.
        if self.is_silent() || self.pace.ready_at() > now + GIVE_BACK_AFTER {
            self.give_back_ready().await;
        }
    }

    /// Notes what keeps messages back beside the pace, and shows how far the number is behind it.
    fn watch_pace(&mut self, now: Instant) {
        let silent = self.is_silent();
        for class in Class::ALL {
            if silent || self.quiet.contains(&class) {
                self.lateness.keep_back(class);
            }
        }
        let behind = self.lateness.show(self.ready.first(), self.pace.ready_at(), now);
        self.parts.dispatcher.activity.behind(self.sender.key, behind);
    }

    /// Marked messages that will not leave soon are queued again: a crash must not make them unknown.
    async fn give_back_ready(&mut self) {
        let marked = self.ready.take_all();
        for message in &marked {
            self.let_go(message);
        }
        self.return_marked(marked.iter().map(|message| message.id).collect()).await;
    }

    /// Takes marks back, until it is certain that they are.
    async fn return_marked(&mut self, messages: Vec<MessageId>) {
        let epoch = self.lease.epoch;
        let finding = Finding::Returned;
        let settlements: Vec<Settlement> = messages
            .into_iter()
            .map(|message| Settlement { message, epoch, finding: finding.clone(), attempt: None })
            .collect();
        self.more = [true; 3];
        while !settlements.is_empty() && self.lease.holds(Instant::now()) {
            match self.parts.committer.settle(settlements.clone()).await {
                Ok(()) | Err(CommitError::Stopping) => return,
                Err(error) => {
                    tracing::warn!("could not take back marks of {}: {error}", self.sender.number);
                    tokio::time::sleep(SETTLE_RETRY).await;
                }
            }
        }
    }

    /// On hold, or told to pause.
    fn is_silent(&self) -> bool {
        self.on_hold() || !self.parts.pauses.left(&self.sender, Instant::now()).is_zero()
    }

    /// How many messages may be marked and not yet flying.
    fn window(&self) -> usize {
        // One commit's worth leaves while marks are committed, and as much must be left when they are.
        let ahead = (MARK_AHEAD + 2 * self.marking_takes).min(MARK_AHEAD_MAX);
        self.pace.within(ahead).min(self.parts.send.in_flight_per_number)
    }

    fn start_marking(&mut self) {
        if self.marking.is_some() || self.is_silent() {
            return;
        }
        let flying = self.flying.len() + self.ready.len();
        let room = self.parts.send.in_flight_per_number.saturating_sub(flying);
        let wanted = self.window().saturating_sub(self.ready.len()).min(room);
        let asked = self.choose(wanted);
        if asked.is_empty() {
            return;
        }
        let mark = Mark {
            sender: self.sender.key,
            epoch: self.lease.epoch,
            messages: asked.iter().map(|message| message.id).collect(),
        };
        let committer = self.parts.committer.clone();
        self.marking = Some(tokio::spawn(async move {
            let started = Instant::now();
            let result = committer.mark_sending(mark).await;
            Marked { asked, took: started.elapsed(), result }
        }));
    }

    /// The next messages that may go: by class, in order of acceptance, one for each person.
    fn choose(&mut self, wanted: usize) -> Vec<QueuedMessage> {
        let (now, wall) = (Instant::now(), clock::now());
        let mut chosen = Vec::new();
        let (limits, limited) = (&self.parts.limits, self.parts.limits.applies_to(self.sender.key));
        let mut without_place = Vec::new();
        for (lane, class) in self.lanes.iter_mut().zip(Class::ALL) {
            if self.quiet.contains(&class) {
                continue;
            }
            let mut place = 0;
            while chosen.len() < wanted && place < lane.len() {
                let message = &mut lane[place];
                let template_held =
                    message.template.as_ref().is_some_and(|name| self.held_templates.contains_key(name));
                let may_go = message.expires_at > wall
                    && !self.busy.contains(&message.recipient)
                    && !template_held
                    && self.pairs.wait(&message.recipient, now).is_zero();
                if may_go && limited && !limits.admit(self.sender.key, message, wall) {
                    without_place.extend(lane.remove(place));
                } else if may_go {
                    self.busy.insert(message.recipient.clone());
                    chosen.extend(lane.remove(place));
                } else {
                    message.due_since = wall;
                    place += 1;
                }
            }
        }
        self.set_aside(without_place);
        chosen
    }

    async fn take_marked(&mut self, marked: Option<Marked>) {
        let Some(Marked { asked, took, result }) = marked else { return };
        // A slow commit counts at once, and is forgotten little by little.
        self.marking_takes = took.max((3 * self.marking_takes + took) / 4);
        match result {
            Ok(ids) => {
                self.mark_failed_at = None;
                let ids: HashSet<MessageId> = ids.into_iter().collect();
                for message in asked {
                    if ids.contains(&message.id) {
                        self.ready.push(message);
                    } else {
                        // It was withdrawn, or settled by evidence.
                        self.let_go(&message);
                    }
                }
            }
            Err(error) => {
                self.mark_failed_at = Some(Instant::now());
                // Whether they are marked is not known.
                tracing::warn!("could not mark messages of {}: {error}", self.sender.number);
                for message in &asked {
                    self.let_go(message);
                }
                self.return_marked(asked.iter().map(|message| message.id).collect()).await;
            }
        }
    }

    fn let_go(&mut self, message: &QueuedMessage) {
        self.no_longer_hold(message.id);
        self.busy.remove(&message.recipient);
        self.parts.limits.let_go(self.sender.key, message.id);
    }

    fn release_at(&self) -> Option<Instant> {
        let free = !self.ready.is_empty() && self.flying.len() < self.parts.send.in_flight_per_number;
        free.then(|| self.pace.ready_at())
    }

    /// Lets the next marked message go, and any further whose time has come.
    fn release(&mut self) {
        let mut now = Instant::now();
        // Read here, where it decides: what people wrote a moment ago counts already.
        let received = self.parts.dispatcher.activity.take_received(self.sender.key);
        self.pace.give_way(now, received);
        while self.pace.ready_at() <= now
            && self.lease.holds(now)
            && self.flying.len() < self.parts.send.in_flight_per_number
            && let Some(message) = self.ready.pop()
        {
            let due_for = self.lateness.note_departure(&message, self.pace.ready_at(), now);
            let lost = self.pace.depart(now, due_for);
            self.lateness.note_lost(lost);
            self.pairs.depart(&message.recipient, now);
            let (parts, sender) = (self.parts.clone(), self.sender.clone());
            let lease = self.lease.clone();
            self.flying.spawn(async move { fly(&parts, &sender, &lease, message, now).await });
            now = Instant::now();
        }
    }

    /// Gives marked messages back that have not left, and waits for those that have.
    async fn finish(mut self) {
        if let Some(marking) = self.marking.take()
            && let Ok(marked) = marking.await
        {
            self.take_marked(Some(marked)).await;
        }
        self.give_back_ready().await;
        while let Some(landed) = self.flying.join_next().await {
            landed.iter().for_each(|landed| self.let_go(&landed.message));
        }
        while self.leaving.join_next().await.is_some() {}
        join(&mut self.looking).await;
    }
}

/// What a task came to; `None` when there is none, or it broke.
async fn join<T>(task: &mut Option<JoinHandle<T>>) -> Option<T> {
    let done = task.as_mut()?.await;
    *task = None;
    done.ok()
}

async fn sleep_until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at.into()).await;
    }
}
