//! The one task that writes: it gathers jobs, commits them together, and tells everybody what came of it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use sea_orm::DbErr;
use tokio::{runtime::Handle, sync::mpsc};

use super::{Answer, BatchLimits, CommitError, Effects, Job, Load, Waiting, Write};
use crate::{
    domain::ids::MessageIds,
    pulse::{Health, Pulse},
    sabotage::{Sabotage, breaks},
    store::{
        DatabaseTransaction, Store, StoreError,
        callbacks::{self, CursorMove},
        conversations,
        ingest::{self, Ingest},
        outbound::{self, Fresh, Mark, NewMessage, Settlement},
        refused::{self, RefusedRequest},
        wakeups::Wakeups,
    },
    telemetry,
};

/// The task behind a [`Committer`].
pub(super) struct Writer {
    pub(super) store: Store,
    pub(super) ids: Arc<MessageIds>,
    pub(super) wakeups: Arc<Wakeups>,
    pub(super) limits: BatchLimits,
    pub(super) load: Arc<Load>,
    pub(super) health: Arc<Health>,
    /// Waking everybody takes time in which the next batch can be written.
    pub(super) answers: Handle,
}

impl Writer {
    pub(super) async fn run(self, mut queue: mpsc::UnboundedReceiver<Job>, pulse: Pulse) {
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
                tokio::time::sleep(Duration::from_millis(200)).await;
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
                self.answer_all(jobs, answers, withdrawn);
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
                    self.answer_all(vec![job], answers, withdrawn);
                }
                Err(error) => {
                    failed_in_a_row += 1;
                    drop(job.reply.send(Err(error)));
                }
            }
        }
    }

    async fn commit(&self, writes: &[&Write], withdrawn: &[Fresh]) -> Result<Vec<Answer>, BatchFailed> {
        let result = self.try_commit(writes, withdrawn).await;
        self.health.written(result.is_ok());
        result
    }

    async fn try_commit(&self, writes: &[&Write], withdrawn: &[Fresh]) -> Result<Vec<Answer>, BatchFailed> {
        let not_written = |source| BatchFailed { doing: "could not write a batch", fresh: vec![], source };
        let transaction = self.store.begin_batch().await.map_err(not_written)?;
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
        effects.senders.into_iter().for_each(|(sender, class)| self.wakeups.ring_sender(sender, class));
        effects.logs.into_iter().for_each(|(account, kind)| self.wakeups.ring_log(account, kind));
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
        outbound::withdraw(transaction, withdrawn).await?;
        let accepted = outbound::accept(
            transaction,
            &sorted.accepts.iter().map(|(_, message, waiting)| (*message, *waiting)).collect::<Vec<_>>(),
            self.limits.repeat_window,
            now,
            &mut effects,
        )
        .await?;
        let marked =
            outbound::mark_sending(transaction, &sorted.marks.iter().map(|(_, mark)| *mark).collect::<Vec<_>>(), now)
                .await?;
        let fresh = sorted.accepts.iter().zip(&accepted).filter(|(_, answer)| answer.fresh.is_some());
        let fresh: Vec<&NewMessage> = fresh.map(|((_, message, _), _)| *message).collect();
        let told =
            conversations::answered(transaction, &fresh, || self.store.person_hasher_read().cloned(), now).await?;
        let ingested = ingest::apply(
            transaction,
            &sorted.settlements,
            &sorted.ingests.iter().map(|(_, ingest)| *ingest).collect::<Vec<_>>(),
            told,
            || self.store.person_hasher_read().cloned(),
            (&self.ids, now),
            &mut effects,
        )
        .await?;
        callbacks::move_cursors(transaction, &sorted.cursor_moves, &self.ids, now).await?;
        refused::keep(transaction, &sorted.refused, &self.ids, now).await?;

        let mut answers: HashMap<usize, Answer> = HashMap::new();
        answers.extend(sorted.accepts.iter().zip(accepted).map(|(job, answer)| (job.0, Answer::Accepted(answer))));
        answers.extend(sorted.marks.iter().zip(marked).map(|(job, answer)| (job.0, Answer::Marked(answer))));
        answers.extend(sorted.ingests.iter().zip(ingested).map(|(job, answer)| (job.0, Answer::Ingested(answer))));
        let answers = (0..writes.len()).map(|index| answers.remove(&index).unwrap_or(Answer::Done)).collect();
        Ok((answers, effects))
    }

    /// Tells everybody who waits. A message that nobody who still waits is told of is noted for withdrawal.
    fn answer_all(&self, jobs: Vec<Job>, answers: Vec<Answer>, withdrawn: &mut Vec<Fresh>) {
        let mut told = HashSet::new();
        for (job, answer) in jobs.iter().zip(&answers) {
            if let (Write::Accept(_, waiting), Answer::Accepted(acceptance)) = (&job.write, answer) {
                if waiting.answer() {
                    told.insert(acceptance.message);
                } else {
                    withdrawn.extend(fresh_message(answer));
                }
            }
        }
        withdrawn.retain(|fresh| !told.contains(&fresh.message));
        // It waits for nothing, so there are never more of them than batches whose answers are being given.
        self.answers.spawn(async move {
            jobs.into_iter().zip(answers).for_each(|(job, answer)| drop(job.reply.send(Ok(answer))));
        });
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
pub(super) const BATCH_TAKES_MAX: Duration = Duration::from_secs(60);

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
    CommitError::Failed(Arc::new(StoreError { doing: error.doing.to_owned(), source: error.source.into() }))
}

/// The message that is to be sent because of this answer's batch.
fn fresh_message(answer: &Answer) -> Option<Fresh> {
    match answer {
        Answer::Accepted(acceptance) => acceptance.fresh,
        Answer::Marked(_) | Answer::Ingested(_) | Answer::Done => None,
    }
}
