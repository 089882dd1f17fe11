//! Messages for which the messaging limit has no place: they are set aside, and try again when places become free.
//!
//! What is chosen takes a place, if it needs one ([`MessagingLimits`](crate::services::messaging_limit::MessagingLimits)).
//! What finds none is set aside in the table until just before it expires, so it costs one write, is out of the way of those
//! that may go, and is not read again. When places are free, about so many of them are put back into the queue, those that
//! expire first before others; whoever finds the place taken is set aside once more.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::Owner;
use crate::{
    clock,
    domain::{messaging_limit::aside_until, progress::Finding},
    store::{
        StoreError,
        outbound::{QueuedMessage, Settlement},
    },
    telemetry,
};

/// Messages put back by one commit.
const BACK_AT_ONCE_MAX: u64 = 500;
/// So many are put back however many are here, unless those wait for the end of quiet hours.
const SOME: u64 = 10;
/// An earlier owner may have set something aside at its very end.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What an owner knows of those that were set aside.
pub(super) struct Aside {
    /// There may be some.
    any: bool,
    looked_at: Instant,
    /// Grows whenever some are.
    times: u64,
    /// On their way back into the queue.
    back: Option<JoinHandle<Back>>,
}

/// What came of putting messages back.
struct Back {
    asked: u64,
    /// [`Aside::times`] when it began.
    times: u64,
    result: Result<u64, StoreError>,
}

impl Aside {
    pub(super) fn new() -> Self {
        Self { any: true, looked_at: Instant::now(), times: 0, back: None }
    }

    /// Waits for what is on its way back; for ever when nothing is.
    pub(super) async fn returned(&mut self) -> Returned {
        match &mut self.back {
            Some(back) => {
                let back_now = back.await.ok();
                self.back = None;
                Returned(back_now)
            }
            None => std::future::pending().await,
        }
    }
}

/// That messages are back in the queue, or why not.
pub(super) struct Returned(Option<Back>);

impl Owner {
    /// Sets messages aside that were chosen and found no place.
    pub(super) fn set_aside(&mut self, messages: Vec<QueuedMessage>) {
        if messages.is_empty() {
            return;
        }
        self.aside.any = true;
        self.aside.times += 1;
        let epoch = self.lease.epoch;
        let postponed = |message: QueuedMessage| {
            let finding = Finding::Postponed { due_at: aside_until(message.expires_at) };
            Settlement { message: message.id, epoch, finding, attempt: None }
        };
        self.leave(messages.into_iter().map(postponed).collect());
    }

    /// Lets as many try again as there are free places, less those that are here already and may take them; but some always,
    /// because those that are here may need none.
    pub(super) fn start_trying_places(&mut self) {
        if self.aside.looked_at.elapsed() >= LOOK_EVERY {
            self.aside.any = true;
        }
        if !self.aside.any || self.aside.back.is_some() || !self.leaving.is_empty() || self.is_silent() {
            return;
        }
        let free = self.parts.limits.free_places(self.sender.key, clock::now());
        let here = self.lanes.iter().map(|lane| lane.len() as u64).sum();
        let some = if self.quiet.is_empty() { SOME } else { 0 };
        let asked = free.min(BACK_AT_ONCE_MAX).saturating_sub(here).max(free.min(some));
        if asked == 0 {
            return;
        }
        self.aside.looked_at = Instant::now();
        let (store, key, times) = (self.parts.store.clone(), self.sender.key, self.aside.times);
        self.aside.back = Some(tokio::spawn(async move {
            Back { asked, times, result: store.try_places(key, clock::now(), asked).await }
        }));
    }

    pub(super) fn take_returned(&mut self, Returned(back): Returned) {
        let Some(Back { asked, times, result }) = back else { return };
        match result {
            Ok(0) => self.aside.any = times != self.aside.times,
            Ok(returned) => {
                self.more = [true; 3];
                self.aside.any = returned == asked || times != self.aside.times;
            }
            Err(error) => {
                tracing::error!(
                    error = %telemetry::Chain(&error),
                    "could not put messages of {} back that waited for a place", self.sender.number
                );
            }
        }
    }
}
