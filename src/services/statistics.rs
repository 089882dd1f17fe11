//! Figures by the hour. What tables hold is counted from them, by the instance that keeps the house; what no table holds (how fast
//! answers were, what callback URLs took) is counted in memory, and written down every few seconds.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    clock,
    domain::{
        ids::AccountKey,
        statistics::{AnswerTimes, Figure},
        time::UnixMillis,
    },
    net::redact,
    pulse::Pulse,
    store::{
        Store, StoreError,
        statistics::{Amount, FigureKey, Figures, hour_of},
    },
    telemetry,
};

/// What this instance has counted and not written down yet.
#[derive(Default)]
pub struct Statistics {
    counted: Mutex<Figures>,
}

/// A process that dies loses what it counted in this time.
const WRITE_EVERY: Duration = Duration::from_secs(5);
/// Messages are counted when they are as old as this: until then one may still be written whose id is older than another's. Events wait
/// for as long, or more would have been sent than was accepted.
const SETTLED_AFTER: Duration = Duration::from_secs(10);
/// Messages, or events, that one step counts.
const COUNTED_AT_ONCE: usize = 20_000;

impl Statistics {
    /// A request of the account's platform was answered.
    pub fn answered(&self, account: AccountKey, took: Duration, refused: bool) {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.add(account, Figure::Answered, AnswerTimes::place_of(took_ms), 1);
        if refused {
            self.refused(account);
        }
    }

    /// A request was refused. Of calls that did not prove to speak for the account those that are kept: how fast they were
    /// answered is nobody's, and anybody can make them.
    pub fn refused(&self, account: AccountKey) {
        self.add(account, Figure::Refused, 0, 1);
    }

    /// A callback URL was told; it took so many events, or the request failed.
    pub fn told(&self, account: AccountKey, taken: Option<usize>) {
        match taken {
            Some(events) => self.add(account, Figure::Told, 0, events as u64),
            None => self.add(account, Figure::NotTold, 0, 1),
        }
    }

    /// Writes down what was counted, every few seconds.
    pub async fn follow(&self, store: &Store, stop: &CancellationToken, pulse: Pulse) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(WRITE_EVERY) => {}
            }
            match self.write(store).await {
                Ok(()) => pulse.beat(),
                Err(error) => {
                    tracing::error!(error = %telemetry::Chain(&error), "could not write down figures");
                }
            }
        }
        pulse.end();
    }

    /// Writes down what was counted. Also called when all else has stopped.
    pub async fn write(&self, store: &Store) -> Result<(), StoreError> {
        let counted = std::mem::take(&mut *self.held());
        if counted.is_empty() {
            return Ok(());
        }
        let written = store.add_figures(&counted).await;
        if written.is_err() {
            let mut held = self.held();
            for (key, amount) in counted {
                held.entry(key).or_default().amount += amount.amount;
            }
        }
        written
    }

    fn add(&self, account: AccountKey, figure: Figure, detail: i16, amount: u64) {
        let key = FigureKey { hour: hour_of(clock::now()), account, figure, detail, code: None };
        self.held().entry(key).or_default().amount += amount;
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Figures> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts what has come to the tables since it was last counted.
pub async fn count_up(store: &Store, may_go: &impl Fn() -> bool) -> Result<(), StoreError> {
    let settled = clock::now().minus(SETTLED_AFTER);
    while may_go() && store.count_accepted(settled, COUNTED_AT_ONCE).await? {}
    while may_go() && count_logs(store, settled).await? {}
    Ok(())
}

/// Of each log a portion, in one commit. `false` when everything is counted.
async fn count_logs(store: &Store, settled: UnixMillis) -> Result<bool, StoreError> {
    let events_max = i64::try_from(COUNTED_AT_ONCE).unwrap_or(i64::MAX);
    let mut counted = Vec::new();
    for account in store.uncounted_logs().await? {
        let Some(mut log) = store.uncounted_events(account, settled, events_max).await? else { continue };
        for Amount { said, .. } in log.figures.values_mut() {
            // Figures outlive the people that they are about.
            *said = said.as_deref().map(redact::text);
        }
        counted.push(log);
    }
    if counted.is_empty() {
        return Ok(false);
    }
    store.count_events(&counted).await?;
    Ok(true)
}
