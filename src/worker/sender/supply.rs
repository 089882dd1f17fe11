//! What an owner reads: the heads of its queue, what is due again, and what an earlier owner left behind.
//!
//! Each read is a task beside the owner's loop, so a slow database costs nothing of the pace as long as something is in the lanes.
//! What a task brings is as old as its beginning: a message that the owner let go since then is not believed to be
//! there, and is read again. Should one slip through all the same, the table refuses the mark.

use std::{sync::Arc, time::Instant};

use super::{Owner, SenderParts};
use crate::{
    clock,
    domain::{account::Sender, ids::MessageId, outbound::Class, progress::Finding, time::UnixMillis},
    store::{
        StoreError,
        outbound::{QueuedMessage, Settlement},
    },
    telemetry,
};
use std::time::Duration;

/// A lane with fewer messages than this is filled again.
const LANE_LOW: usize = 100;
/// How often to look without having been woken.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Retries are read only while fewer messages than this many times what is read ahead are held.
const HELD_READ_AHEADS_MAX: usize = 4;

/// The first messages of one class in the queue.
pub(super) struct Head {
    class: Class,
    limit: usize,
    asked_at: UnixMillis,
    messages: Result<Vec<QueuedMessage>, StoreError>,
}

/// Retries whose time has come.
#[derive(Default)]
pub(super) struct Due {
    messages: Vec<QueuedMessage>,
    /// There may be more.
    full: bool,
    /// What an earlier owner had marked is seen to.
    adopted: bool,
}

impl Owner {
    /// Fills the lanes that are nearly empty.
    pub(super) fn start_reading(&mut self) {
        // The queue still shows what is leaving at this moment; it would be read for nothing.
        if self.reading.is_some() || !self.leaving.is_empty() {
            return;
        }
        if self.looked_at.elapsed() >= LOOK_EVERY {
            self.more = [true; 3];
        }
        // The head of the queue shows what we hold already; ask for that many more.
        let held = self.parts.read_ahead + self.ready.len() + self.marking_count();
        let mut wanted = Vec::new();
        for (class, (lane, more)) in Class::ALL.into_iter().zip(self.lanes.iter().zip(&mut self.more)) {
            if *more && lane.len() < LANE_LOW {
                // Whoever rings from now on wants it read once more.
                *more = false;
                wanted.push((class, held + lane.len()));
            }
        }
        if wanted.is_empty() {
            return;
        }
        self.looked_at = Instant::now();
        let (store, key) = (self.parts.store.clone(), self.sender.key);
        self.reading = Some(tokio::spawn(async move {
            let mut heads = Vec::with_capacity(wanted.len());
            for (class, limit) in wanted {
                let asked_at = clock::now();
                heads.push(Head { class, limit, asked_at, messages: store.queue_head(key, class, limit).await });
            }
            heads
        }));
    }

    fn marking_count(&self) -> usize {
        // What is being marked may still show in the queue.
        if self.marking.is_some() { self.window() } else { 0 }
    }

    pub(super) fn take_heads(&mut self, heads: Option<Vec<Head>>) {
        for Head { class, limit, asked_at, messages } in heads.unwrap_or_default() {
            let lane = class as usize;
            match messages {
                Ok(messages) => {
                    self.reads = true;
                    let full = messages.len() == limit;
                    self.more[lane] |= full;
                    let mut new = self.new_among(messages);
                    self.lateness.see_read(class, &mut new, (asked_at, !full));
                    let free = self.sift(new);
                    self.lanes[lane].extend(free);
                }
                Err(error) => {
                    self.reads = false;
                    tracing::error!(error = %telemetry::Chain(&error), "could not read the queue of {}", self.sender.number);
                }
            }
        }
        self.forget_left();
    }

    /// Looks for what is due again, and for messages of which nobody knows whether they went out.
    pub(super) fn start_looking(&mut self) {
        if self.looking.is_some() {
            return;
        }
        let look = Look {
            parts: self.parts.clone(),
            sender: self.sender.clone(),
            epoch: self.lease.epoch,
            adopted: self.adopted,
            // Retries are read only when there is room, so that they cannot fill the memory.
            room: self.held.len() < HELD_READ_AHEADS_MAX * self.parts.read_ahead,
            quiet: self.quiet.clone(),
        };
        self.looking = Some(tokio::spawn(look.look()));
    }

    pub(super) fn take_due(&mut self, due: Option<Due>) {
        let Due { messages, full, adopted } = due.unwrap_or_default();
        self.adopted |= adopted;
        let new = self.new_among(messages);
        if full && !new.is_empty() {
            // A paused million expires within minutes: no pause before the next look.
            self.ticked_at = None;
        }
        // What has been due for longest goes first.
        for message in self.sift(new).into_iter().rev() {
            self.lanes[message.category.class() as usize].push_front(message);
        }
        self.forget_left();
    }

    /// Those that are not held yet, and are from now on.
    fn new_among(&mut self, messages: Vec<QueuedMessage>) -> Vec<QueuedMessage> {
        messages.into_iter().filter(|it| !self.left.contains(&it.id) && self.held.insert(it.id)).collect()
    }

    pub(super) fn no_longer_hold(&mut self, message: MessageId) {
        self.held.remove(&message);
        if self.reading.is_some() || self.looking.is_some() {
            self.left.insert(message);
        }
    }

    fn forget_left(&mut self) {
        if self.reading.is_none() && self.looking.is_none() {
            self.left.clear();
        }
    }
}

/// One look at what is due.
struct Look {
    parts: Arc<SenderParts>,
    sender: Arc<Sender>,
    epoch: i64,
    adopted: bool,
    room: bool,
    quiet: Vec<Class>,
}

impl Look {
    async fn look(self) -> Due {
        let adopted = self.adopted || self.adopt().await;
        let (messages, full) = match self.due().await {
            Ok(messages) => {
                let full = messages.len() == self.parts.read_ahead;
                (messages, full)
            }
            Err(error) => {
                tracing::error!(error = %telemetry::Chain(&error), "could not read what is due at {}", self.sender.number);
                (vec![], false)
            }
        };
        Due { messages, full, adopted }
    }

    /// What an earlier owner had marked: nobody knows whether it went out.
    async fn adopt(&self) -> bool {
        match self.parts.store.bring_nearer(self.sender.key, clock::now(), self.parts.send.unknown_grace).await {
            Ok(0) => {}
            Ok(nearer) => tracing::warn!(
                sender.number = %self.sender.number, messages = nearer,
                "this machine's clock is behind that of earlier work: what {nearer} messages of {} wait for is brought nearer", self.sender.number
            ),
            Err(error) => {
                tracing::error!(error = %telemetry::Chain(&error), "could not bring retries nearer");
                return false;
            }
        }
        let settle_at = clock::now().plus(self.parts.send.unknown_grace);
        match self.parts.store.adopt_sending(self.sender.key, self.epoch, settle_at).await {
            Ok(0) => true,
            Ok(adopted) => {
                tracing::warn!(
                    sender.number = %self.sender.number, messages = adopted,
                    "{adopted} messages of {} were being sent when their owner stopped; waiting for evidence", self.sender.number
                );
                true
            }
            Err(error) => {
                tracing::error!(error = %telemetry::Chain(&error), "could not adopt messages in flight");
                false
            }
        }
    }

    async fn due(&self) -> Result<Vec<QueuedMessage>, StoreError> {
        let (store, key, limit) = (&self.parts.store, self.sender.key, self.parts.read_ahead);
        let unknown = store.unknown_due(key, clock::now(), limit).await?;
        if !unknown.is_empty() {
            self.settle(unknown).await;
        }
        if !self.room {
            return Ok(vec![]);
        }
        store.due_retries(key, clock::now(), &self.quiet, limit).await
    }

    async fn settle(&self, unknown: Vec<MessageId>) {
        let finding: Finding = self.parts.dispatcher.unknown_finding(&self.sender);
        let settlement = |message| Settlement { message, epoch: self.epoch, finding: finding.clone(), attempt: None };
        if let Err(error) = self.parts.committer.settle(unknown.into_iter().map(settlement).collect()).await {
            // They are due again at the next look.
            tracing::error!("could not settle messages of {} without evidence: {error}", self.sender.number);
        }
    }
}
