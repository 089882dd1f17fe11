//! Waits until nothing is owed any more, and shows how far things are meanwhile.

use std::{
    future::Future,
    pin::pin,
    time::{Duration, Instant},
};

use super::{
    offer::{Answer, Answered},
    progress::{Counts, Progress},
    world::World,
};

/// Between two looks at the counters.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// When nothing at all moves for so long, what is missing will not come. Longer than any wait that the demo's own settings
/// contain.
const STANDSTILL_MAX: Duration = Duration::from_secs(45);

/// How the campaign went.
pub(super) struct Watched {
    pub(super) answers: Vec<Answered>,
    /// The last answer came.
    pub(super) answered_at: Instant,
    /// WhatsApp took the last message.
    pub(super) sent_at: Instant,
    /// Nothing was owed any more.
    pub(super) settled_at: Instant,
    /// What was still owed when nothing moved any more.
    pub(super) unsettled: Option<String>,
}

/// Runs `offering`, and waits for everything that follows from it.
pub(super) async fn watch(
    world: &World,
    offering: impl Future<Output = anyhow::Result<Vec<Answered>>>,
    progress: &mut Progress,
) -> anyhow::Result<Watched> {
    let mut offering = pin!(offering);
    let mut offered = None;
    let mut movement = Movement::new();
    loop {
        tokio::select! {
            outcome = &mut offering, if offered.is_none() => {
                let answers = outcome?;
                progress.expect(answers.iter().filter(|answered| answered.answer == Answer::Success).count() as u64);
                offered = Some((answers, Instant::now()));
            }
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let owed = Owed::look(world).await?;
        let counts = Counts::of(&world.simulator.handle().stats());
        progress.show(counts);
        movement.note(counts, owed);
        let over = owed == Owed::default() || movement.stands_still();
        if over && let Some((answers, answered_at)) = offered {
            let unsettled = (owed != Owed::default()).then(|| owed.complaint());
            let (sent_at, settled_at) = (movement.sent_at, Instant::now());
            return Ok(Watched { answers, answered_at, sent_at, settled_at, unsettled });
        }
    }
}

/// When something was last seen to happen.
struct Movement {
    last: (Counts, Owed),
    moved_at: Instant,
    sent_at: Instant,
}

impl Movement {
    fn new() -> Self {
        let now = Instant::now();
        Self { last: Default::default(), moved_at: now, sent_at: now }
    }

    fn note(&mut self, counts: Counts, owed: Owed) {
        let now = Instant::now();
        if counts.sent != self.last.0.sent {
            self.sent_at = now;
        }
        if (counts, owed) != self.last {
            self.last = (counts, owed);
            self.moved_at = now;
        }
    }

    fn stands_still(&self) -> bool {
        self.moved_at.elapsed() > STANDSTILL_MAX
    }
}

/// What somebody still has to do. Looked at in the order in which messages travel, so that nothing slips through between
/// two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Owed {
    /// Messages that the bridge has not brought to an end.
    open: i64,
    /// Reports and replies that WhatsApp has not told the bridge.
    by_whatsapp: u64,
    /// Reports and replies that the bridge has not told CleverTap.
    by_bridge: i64,
}

/// Nobody needs to know more exactly how much is owed.
const OWED_COUNTED_MAX: u64 = 1_000_000;

impl Owed {
    fn complaint(self) -> String {
        format!(
            "nothing moved for {} s, and the bridge still had {} messages open, WhatsApp {} reports to make, and CleverTap {} \
             to get",
            STANDSTILL_MAX.as_secs(),
            self.open,
            self.by_whatsapp,
            self.by_bridge
        )
    }

    async fn look(world: &World) -> anyhow::Result<Self> {
        let store = &world.app.store;
        let queues = store.queues().await?;
        let open = queues.values().map(|queue| queue.queued + queue.waiting_for_retry + queue.sending + queue.unknown);
        let open = open.sum();
        let by_whatsapp = world.simulator.handle().stats().updates_waiting;
        let mut by_bridge = 0;
        for subscription in &world.app.directory.snapshot().subscriptions {
            if let Some(state) = store.cursor_state(subscription.key).await? {
                by_bridge += store.owed(subscription, state.cursor, OWED_COUNTED_MAX).await?;
            }
        }
        Ok(Self { open, by_whatsapp, by_bridge })
    }
}
