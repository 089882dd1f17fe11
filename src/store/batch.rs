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

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sea_orm::{DatabaseTransaction, DbErr};
use tokio::sync::{mpsc, oneshot};

use super::{
    Store, StoreError,
    callbacks::CursorMove,
    ingest::{Ingest, Ingested},
    outbound::{Acceptance, Fresh, Mark, NewMessage, Settlement},
    refused::RefusedRequest,
    wakeups::Wakeups,
};
use crate::{
    domain::{
        ids::{AccountKey, MessageId, MessageIds, SenderKey},
        time::UnixMillis,
    },
    pulse::Pulse,
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
    /// Starts the one task that writes. It ends, having written everything, when the last clone of the
    /// committer is dropped.
    pub fn start(
        store: Store,
        ids: Arc<MessageIds>,
        wakeups: Arc<Wakeups>,
        limits: BatchLimits,
        pulse: Pulse,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (jobs, queue) = mpsc::unbounded_channel();
        let load = Arc::new(Load::default());
        let writer = Writer { store, ids: ids.clone(), wakeups, limits, load: load.clone() };
        (Self { jobs, load, ids, limits }, tokio::spawn(writer.run(queue, pulse)))
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
            return Ok(Acceptance { message: id, repeat: false, odd: false, fresh: None });
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
    pub(crate) senders: BTreeSet<SenderKey>,
    pub(crate) logs: BTreeSet<AccountKey>,
    /// Findings that were not too late.
    pub(crate) settled: usize,
    /// A file came, to be copied.
    pub(crate) media: bool,
    /// The suppression list changed.
    pub(crate) suppressions: bool,
}

/// The task behind a [`Committer`].
struct Writer {
    store: Store,
    ids: Arc<MessageIds>,
    wakeups: Arc<Wakeups>,
    limits: BatchLimits,
    load: Arc<Load>,
}

impl Writer {
    async fn run(self, mut queue: mpsc::UnboundedReceiver<Job>, pulse: Pulse) {
        // Not in the middle of a transaction: reading the key for the first time may write it.
        if let Err(error) = self.store.person_hasher().await {
            tracing::error!(error = %telemetry::Chain(&error), "could not read the key for people's hashes");
        }
        // Accepted by a commit that took too long for whoever waited: to be cancelled first of all.
        let mut withdrawn = Vec::new();
        pulse.rest();
        while let Some(job) = queue.recv().await {
            pulse.beat();
            let mut rows = job.write.rows();
            let mut jobs = vec![job];
            while rows < self.limits.rows_max {
                let Ok(next) = queue.try_recv() else { break };
                rows += next.write.rows();
                jobs.push(next);
            }
            if breaks(Sabotage::AnswersBeforeCommit) {
                // As those do who write what they have every now and then.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            self.write(jobs, &mut withdrawn).await;
            self.load.queued_rows.fetch_sub(rows, Ordering::Relaxed);
            // Nobody else may come to withdraw them, so an idle moment must not leave them behind.
            while !withdrawn.is_empty() && queue.is_empty() {
                self.write(vec![], &mut withdrawn).await;
                if !withdrawn.is_empty() {
                    tokio::time::sleep(WITHDRAW_RETRY).await;
                }
            }
            pulse.rest();
        }
        pulse.end();
    }

    async fn write(&self, jobs: Vec<Job>, withdrawn: &mut Vec<Fresh>) {
        let started = Instant::now();
        let together = self.commit(&jobs.iter().map(|job| &job.write).collect::<Vec<_>>(), withdrawn).await;
        let took = started.elapsed();
        self.note_duration(took, jobs.len());
        if together.is_err() {
            metrics::counter!(telemetry::COMMIT_FAILURES).increment(1);
        }
        match together {
            Ok(answers) => {
                withdrawn.clear();
                answer_all(jobs, answers, withdrawn);
            }
            Err(error) if jobs.len() <= 1 => {
                withdrawn.extend(&error.fresh);
                let error = failed(error);
                jobs.into_iter().for_each(|job| drop(job.reply.send(Err(error.clone()))));
            }
            Err(error) => {
                withdrawn.extend(&error.fresh);
                tracing::warn!(error = %telemetry::Chain(&error), jobs = jobs.len(), "a batch failed; trying its jobs one by one");
                self.write_singly(jobs, withdrawn).await;
            }
        }
    }

    /// One bad job must not fail its neighbours. When several fail in a row the database itself is in
    /// trouble, and the rest is not made to wait for that.
    async fn write_singly(&self, jobs: Vec<Job>, withdrawn: &mut Vec<Fresh>) {
        let mut failed_in_a_row = 0;
        for job in jobs {
            let result = match failed_in_a_row {
                SINGLE_FAILURES_MAX.. => Err(CommitError::TooSlow),
                _ => self.commit(&[&job.write], withdrawn).await.map_err(|error| {
                    withdrawn.extend(&error.fresh);
                    failed(error)
                }),
            };
            match result {
                Ok(answers) => {
                    failed_in_a_row = 0;
                    withdrawn.clear();
                    answer_all(vec![job], answers, withdrawn);
                }
                Err(error) => {
                    failed_in_a_row += 1;
                    drop(job.reply.send(Err(error)));
                }
            }
        }
    }

    async fn commit(&self, writes: &[&Write], withdrawn: &[Fresh]) -> Result<Vec<Answer>, BatchFailed> {
        let not_written = |source| BatchFailed { doing: "could not write a batch", fresh: vec![], source };
        let transaction = self.store.begin().await.map_err(not_written)?;
        let (answers, effects) = match self.apply(&transaction, writes, withdrawn).await {
            Ok(applied) => applied,
            Err(error) => {
                drop(transaction.rollback().await);
                return Err(not_written(error));
            }
        };
        let committed = transaction.commit().await;
        // The database may have committed it all the same: the connection broke while it did. Then we are
        // about to say "not accepted" of messages that are in the table.
        committed.map_err(|source| BatchFailed {
            doing: "could not commit a batch",
            fresh: answers.iter().filter_map(fresh_message).collect(),
            source,
        })?;
        effects.senders.into_iter().for_each(|sender| self.wakeups.ring_sender(sender));
        effects.logs.into_iter().for_each(|account| self.wakeups.ring_log(account));
        if effects.media {
            self.wakeups.ring_media();
        }
        if effects.suppressions {
            self.wakeups.ring_suppressions();
        }
        Ok(answers)
    }

    async fn apply(
        &self,
        transaction: &DatabaseTransaction,
        writes: &[&Write],
        withdrawn: &[Fresh],
    ) -> Result<(Vec<Answer>, Effects), DbErr> {
        let now = self.store.now();
        let mut effects = Effects::default();
        let mut sorted = Sorted::default();
        for (index, write) in writes.iter().enumerate() {
            match write {
                Write::Accept(message, waiting) => sorted.accepts.push((index, message, waiting)),
                Write::Refuse(refused) => sorted.refused.push(refused),
                Write::Mark(mark) => sorted.marks.push((index, mark)),
                Write::Settle(settlements) => sorted.settlements.extend(settlements),
                Write::Ingest(ingest) => sorted.ingests.push((index, ingest)),
                Write::MoveCursor(moved) => sorted.cursor_moves.push(moved),
            }
        }

        // The order is the same in every instance, so that two of them cannot wait for each other.
        super::outbound::withdraw(transaction, withdrawn).await?;
        let accepted = super::outbound::accept(
            transaction,
            &sorted.accepts.iter().map(|(_, message, waiting)| (*message, *waiting)).collect::<Vec<_>>(),
            self.limits.repeat_window,
            now,
            &mut effects,
        )
        .await?;
        let marked = super::outbound::mark_sending(
            transaction,
            &sorted.marks.iter().map(|(_, mark)| *mark).collect::<Vec<_>>(),
            now,
        )
        .await?;
        let ingested = super::ingest::apply(
            transaction,
            &sorted.settlements,
            &sorted.ingests.iter().map(|(_, ingest)| *ingest).collect::<Vec<_>>(),
            || self.store.person_hasher_read().cloned(),
            (&self.ids, now),
            &mut effects,
        )
        .await?;
        super::callbacks::move_cursors(transaction, &sorted.cursor_moves, &self.ids, now).await?;
        super::refused::keep(transaction, &sorted.refused, &self.ids, now).await?;

        let mut answers: HashMap<usize, Answer> = HashMap::new();
        answers.extend(sorted.accepts.iter().zip(accepted).map(|(job, answer)| (job.0, Answer::Accepted(answer))));
        answers.extend(sorted.marks.iter().zip(marked).map(|(job, answer)| (job.0, Answer::Marked(answer))));
        answers.extend(sorted.ingests.iter().zip(ingested).map(|(job, answer)| (job.0, Answer::Ingested(answer))));
        let answers = (0..writes.len()).map(|index| answers.remove(&index).unwrap_or(Answer::Done)).collect();
        Ok((answers, effects))
    }

    fn note_duration(&self, took: Duration, jobs: usize) {
        metrics::histogram!(telemetry::COMMIT_SECONDS).record(took.as_secs_f64());
        metrics::histogram!(telemetry::COMMIT_JOBS).record(jobs as f64);
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let smoothed = self.load.commit_us.load(Ordering::Relaxed);
        self.load.commit_us.store(smoothed - smoothed / 4 + took_us / 4, Ordering::Relaxed);
    }
}

/// The committer works on one batch for no longer than this, or it hangs.
pub const BATCH_TAKES_MAX: Duration = Duration::from_secs(60);

/// When this many jobs have failed alone, one after the other, it is not them.
const SINGLE_FAILURES_MAX: usize = 3;

/// How long to wait before trying again to cancel what nobody waits for any more.
const WITHDRAW_RETRY: Duration = Duration::from_millis(200);

#[derive(Default)]
struct Sorted<'a> {
    accepts: Vec<(usize, &'a NewMessage, &'a Waiting)>,
    refused: Vec<&'a RefusedRequest>,
    marks: Vec<(usize, &'a Mark)>,
    settlements: Vec<&'a Settlement>,
    ingests: Vec<(usize, &'a Ingest)>,
    cursor_moves: Vec<&'a CursorMove>,
}

/// A transaction that did not end with a yes.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
struct BatchFailed {
    doing: &'static str,
    /// Messages that may be there to be sent although the commit failed.
    fresh: Vec<Fresh>,
    #[source]
    source: DbErr,
}

fn failed(error: BatchFailed) -> CommitError {
    tracing::error!(error = %telemetry::Chain(&error), "could not write to the database");
    CommitError::Failed(Arc::new(StoreError { doing: error.doing.to_owned(), source: error.source }))
}

/// Tells everybody who waits. A message that nobody who still waits was told of is noted for withdrawal.
fn answer_all(jobs: Vec<Job>, answers: Vec<Answer>, withdrawn: &mut Vec<Fresh>) {
    let mut told = HashSet::new();
    for (job, answer) in jobs.into_iter().zip(answers) {
        if let (Write::Accept(_, waiting), Answer::Accepted(acceptance)) = (&job.write, &answer) {
            if waiting.answer() {
                told.insert(acceptance.message);
            } else {
                withdrawn.extend(fresh_message(&answer));
            }
        }
        drop(job.reply.send(Ok(answer)));
    }
    withdrawn.retain(|fresh| !told.contains(&fresh.message));
}

/// The message that is to be sent because of this answer's batch.
fn fresh_message(answer: &Answer) -> Option<Fresh> {
    match answer {
        Answer::Accepted(acceptance) => acceptance.fresh,
        Answer::Marked(_) | Answer::Ingested(_) | Answer::Done => None,
    }
}
