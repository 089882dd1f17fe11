//! Group commit: durable and fast at once.
//!
//! A commit for each request would cap the bridge at the disk's rate of fsyncs. So whatever must be
//! written for messages goes through one task: jobs that arrive while a commit runs are written by
//! the next one, in multi-row statements, and each is answered after *its* commit. Nothing waits to
//! fill a batch, so an idle bridge commits at once; under load a commit carries hundreds of rows.
//!
//! **A bad job harms no other.** When a batch fails, each of its jobs is tried alone, and only those
//! that fail alone are told so.
//!
//! **A refused request is never sent later.** Who waits for an acceptance may stop waiting. If that
//! happens before the commit, the row is cancelled in the very commit; if it happens while the commit
//! runs, the row is cancelled before anything else that this task writes, and this task also writes
//! the permission to send ([`Mark`]). With several instances on one PostgreSQL a commit that takes
//! longer than the rest of the second leaves another instance a moment to mark it first.

mod writer;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

use self::writer::{BATCH_TAKES_MAX, Writer};
use super::{
    Store, StoreError,
    callbacks::CursorMove,
    ingest::{Ingest, Ingested},
    outbound::{Acceptance, Mark, NewMessage, Settlement},
    refused::RefusedRequest,
    wakeups::Wakeups,
};
use crate::{
    domain::{
        callback::EventKind,
        ids::{AccountKey, MessageId, MessageIds, SenderKey},
        outbound::Class,
        time::UnixMillis,
    },
    pulse::Health,
    sabotage::{Sabotage, breaks},
    telemetry,
};

/// How the committer is bounded.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// A transaction takes no further job once it has this many rows.
    pub rows_max: usize,
    /// Jobs for more rows than this are turned away.
    pub queued_rows_max: usize,
    /// How long a repeat of a message is recognised.
    pub repeat_window: Duration,
}

/// Something to write, and whom to tell.
pub(crate) struct Job {
    pub(crate) write: Write,
    reply: oneshot::Sender<Result<Answer, CommitError>>,
}

pub(crate) enum Write {
    Accept(Box<NewMessage>, Arc<Waiting>),
    Refuse(Box<RefusedRequest>),
    Mark(Mark),
    Settle(Vec<Settlement>),
    Ingest(Box<Ingest>),
    MoveCursor(Box<CursorMove>),
}

impl Write {
    fn rows(&self) -> usize {
        match self {
            Self::Accept(..) => 2,
            Self::Refuse(_) => 1,
            Self::Mark(mark) => mark.messages.len(),
            Self::Settle(settlements) => 2 * settlements.len(),
            Self::Ingest(ingest) => ingest.rows(),
            Self::MoveCursor(moved) => {
                let replayed = moved.replay.as_ref().map_or(0, |replay| 1 + replay.done.len());
                1 + moved.attempts.len() + moved.callbacks.len() + replayed
            }
        }
    }
}

pub(crate) enum Answer {
    Accepted(Acceptance),
    Marked(Vec<MessageId>),
    Ingested(Ingested),
    Done,
}

/// Why something was not written.
#[derive(Debug, thiserror::Error, Clone)]
pub enum CommitError {
    /// Too much waits already.
    #[error("the queue to the database is full")]
    Full,
    /// It would take, or took, too long.
    #[error("the database is too slow to answer in time")]
    TooSlow,
    #[error("its number was removed a moment ago")]
    Removed,
    #[error("the database did not take it")]
    Failed(#[source] Arc<StoreError>),
    /// The process is stopping.
    #[error("the bridge is stopping")]
    Stopping,
}

/// Whether somebody still waits for an acceptance.
#[derive(Default)]
pub(crate) struct Waiting(AtomicU8);

const WAITS: u8 = 0;
const LEFT: u8 = 1;
const ANSWERED: u8 = 2;

impl Waiting {
    /// Stops waiting. `false` when the answer was there first.
    fn leave(&self) -> bool {
        self.0.compare_exchange(WAITS, LEFT, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    pub(crate) fn has_left(&self) -> bool {
        self.0.load(Ordering::Acquire) == LEFT
    }

    /// Claims the answer. `false` when nobody waits any more.
    fn answer(&self) -> bool {
        self.0.compare_exchange(WAITS, ANSWERED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// The way to the committer. Cheap to clone.
#[derive(Clone)]
pub struct Committer {
    jobs: mpsc::UnboundedSender<Job>,
    load: Arc<Load>,
    ids: Arc<MessageIds>,
    limits: BatchLimits,
}

/// How much waits, and how fast it goes.
#[derive(Default)]
struct Load {
    queued_rows: AtomicUsize,
    /// Of the last commits, smoothed, in microseconds.
    commit_us: AtomicU64,
}

impl Committer {
    /// The way to it, and the one task that writes, which the caller lets run; best on a thread that does nothing else, because
    /// everybody waits for it. It ends, having written everything, when the last clone of the committer is
    /// dropped. Its answers are given by the runtime in which this was called.
    pub async fn new(
        store: Store,
        ids: Arc<MessageIds>,
        wakeups: Arc<Wakeups>,
        limits: BatchLimits,
        health: Arc<Health>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        // Not in the middle of a transaction: reading the key for the first time may write it.
        if let Err(error) = store.person_hasher().await {
            tracing::error!(error = %telemetry::Chain(&error), "could not read the key for people's hashes");
        }
        let (jobs, queue) = mpsc::unbounded_channel();
        let load = Arc::new(Load::default());
        let pulse = health.start("the writing of the database", BATCH_TAKES_MAX);
        let answers = Handle::current();
        let writer = Writer { store, ids: ids.clone(), wakeups, limits, load: load.clone(), health, answers };
        (Self { jobs, load, ids, limits }, writer.run(queue, pulse))
    }

    /// A new message id.
    pub fn next_id(&self, now: UnixMillis) -> MessageId {
        self.ids.next(now)
    }

    /// How long a job that comes now would wait, as far as one can tell. Nothing, when nothing waits: one
    /// slow commit must not turn everybody away for ever, so somebody has to try.
    pub fn expected_wait(&self) -> Duration {
        let queued = self.load.queued_rows.load(Ordering::Relaxed);
        if queued == 0 {
            return Duration::ZERO;
        }
        let batches = queued / self.limits.rows_max.max(1) + 1;
        Duration::from_micros(self.load.commit_us.load(Ordering::Relaxed).saturating_mul(batches as u64))
    }

    /// Stores a message, or recognises it. Whoever gets an error may say "not accepted": the message
    /// will not be sent.
    pub async fn accept(&self, message: NewMessage, wait_max: Duration) -> Result<Acceptance, CommitError> {
        let waiting = Arc::new(Waiting::default());
        let id = message.id;
        let answer = self.submit(Write::Accept(Box::new(message), waiting.clone()))?;
        if breaks(Sabotage::AnswersBeforeCommit) {
            return Ok(Acceptance { message: id, repeat: false, odd: false, too_late: false, fresh: None });
        }
        if wait_max.is_zero() && waiting.leave() {
            // The time was up before it came here. It is stored as cancelled, for a repeat to revive.
            return Err(CommitError::TooSlow);
        }
        tokio::pin!(answer);
        let answer = match tokio::time::timeout(wait_max, &mut answer).await {
            Ok(answer) => answer,
            Err(_) if waiting.leave() => return Err(CommitError::TooSlow),
            // The answer came in this very moment.
            Err(_) => answer.await,
        };
        match received(answer)? {
            Answer::Accepted(acceptance) if acceptance.too_late => Err(CommitError::Removed),
            Answer::Accepted(acceptance) => Ok(acceptance),
            Answer::Marked(_) | Answer::Ingested(_) | Answer::Done => unreachable!("each write has one kind of answer"),
        }
    }

    /// Keeps a refused request. Nobody waits for it.
    pub fn keep_refused(&self, refused: RefusedRequest) {
        drop(self.submit(Write::Refuse(Box::new(refused))));
    }

    /// Marks messages as being sent, those of them that may be. Must be committed before their bytes leave.
    pub async fn mark_sending(&self, mark: Mark) -> Result<Vec<MessageId>, CommitError> {
        match received(self.submit(Write::Mark(mark))?.await)? {
            Answer::Marked(messages) => Ok(messages),
            Answer::Accepted(_) | Answer::Ingested(_) | Answer::Done => {
                unreachable!("each write has one kind of answer")
            }
        }
    }

    /// Writes down what became of messages.
    pub async fn settle(&self, settlements: Vec<Settlement>) -> Result<(), CommitError> {
        received(self.submit_always(Write::Settle(settlements)).await).map(drop)
    }

    /// Takes in what a webhook said.
    pub async fn ingest(&self, ingest: Ingest) -> Result<Ingested, CommitError> {
        match received(self.submit(Write::Ingest(Box::new(ingest)))?.await)? {
            Answer::Ingested(summary) => Ok(summary),
            Answer::Accepted(_) | Answer::Marked(_) | Answer::Done => unreachable!("each write has one kind of answer"),
        }
    }

    /// Moves a subscription's cursor and writes down how it got there.
    pub async fn move_cursor(&self, moved: CursorMove) -> Result<(), CommitError> {
        received(self.submit_always(Write::MoveCursor(Box::new(moved))).await).map(drop)
    }

    fn submit(&self, write: Write) -> Result<oneshot::Receiver<Result<Answer, CommitError>>, CommitError> {
        if self.load.queued_rows.load(Ordering::Relaxed) + write.rows() > self.limits.queued_rows_max {
            return Err(CommitError::Full);
        }
        Ok(self.submit_always(write))
    }

    /// For what must be written down whatever the load: its makers bound it themselves, by waiting.
    fn submit_always(&self, write: Write) -> oneshot::Receiver<Result<Answer, CommitError>> {
        let (reply, answer) = oneshot::channel();
        self.load.queued_rows.fetch_add(write.rows(), Ordering::Relaxed);
        // When the writer is gone the reply is dropped with the job, which `received` understands.
        drop(self.jobs.send(Job { write, reply }));
        answer
    }
}

fn received(answer: Result<Result<Answer, CommitError>, oneshot::error::RecvError>) -> Result<Answer, CommitError> {
    answer.unwrap_or(Err(CommitError::Stopping))
}

/// What a committed batch means for others.
#[derive(Default)]
pub(crate) struct Effects {
    /// Without a class where it may be any.
    pub(crate) senders: BTreeSet<(SenderKey, Option<Class>)>,
    pub(crate) logs: BTreeSet<(AccountKey, EventKind)>,
    /// Findings that were not too late.
    pub(crate) settled: usize,
    /// A file came, to be copied.
    pub(crate) media: bool,
    /// The suppression list changed.
    pub(crate) suppressions: bool,
}
