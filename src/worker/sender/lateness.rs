//! How far a number falls behind its allowed pace: not how long messages wait, but how long one waits that is due, while the pace
//! would let it go.
//!
//! A message is *due* from its acceptance or the time of its retry, but not before the queue last showed nothing new, nor
//! before whatever else kept it (its person, its template, a hold, quiet hours) let go of it. What lies between the later of
//! that and of the pace's leave, and the departure, is made up for, up to a limit; what is more is lost.

use std::time::{Duration, Instant};

use metrics::{Counter, Gauge};

use crate::{
    clock,
    domain::{outbound::Class, time::UnixMillis},
    store::outbound::QueuedMessage,
    telemetry,
};

pub(super) struct Lateness {
    late: Counter,
    behind: Gauge,
    /// Less than a millisecond, not counted yet.
    rest: Duration,
    /// When each class was last kept back as a whole.
    kept_back_at: [UnixMillis; 3],
    /// When the queue of each class was last read to its end: what shows up after it was not there before.
    read_to_end_at: [UnixMillis; 3],
    /// Of departures since the last look.
    latest: Duration,
}

impl Lateness {
    pub(super) fn new(number: String) -> Self {
        let behind = metrics::gauge!(telemetry::PACE_BEHIND, "number" => number.clone());
        behind.set(0.0);
        let now = clock::now();
        Self {
            late: metrics::counter!(telemetry::PACE_LATE, "number" => number),
            behind,
            rest: Duration::ZERO,
            kept_back_at: [now; 3],
            read_to_end_at: [now; 3],
            latest: Duration::ZERO,
        }
    }

    /// Nothing of this class may leave now, whatever the pace.
    pub(super) fn keep_back(&mut self, class: Class) {
        self.kept_back_at[class as usize] = clock::now();
    }

    /// The queue of a class was read; when it `ended`, that was all as of `asked_at`.
    pub(super) fn see_read(&mut self, class: Class, new: &mut [QueuedMessage], (asked_at, ended): (UnixMillis, bool)) {
        let read_to_end_at = &mut self.read_to_end_at[class as usize];
        for message in new {
            message.due_since = message.due_since.max(*read_to_end_at);
        }
        if ended {
            *read_to_end_at = asked_at;
        }
    }

    /// A message leaves that the pace allowed to leave at `ready_at`. Gives back for how long it was due.
    pub(super) fn note_departure(&mut self, message: &QueuedMessage, ready_at: Instant, now: Instant) -> Duration {
        let due_for = self.due_for(message);
        self.latest = self.latest.max(now.saturating_duration_since(ready_at).min(due_for));
        due_for
    }

    /// For how long nothing but the pace has kept a message.
    fn due_for(&self, message: &QueuedMessage) -> Duration {
        clock::now().since(message.due_since.max(self.kept_back_at[message.category.class() as usize]))
    }

    /// So much of the pace is lost.
    pub(super) fn note_lost(&mut self, lost: Duration) {
        self.rest += lost;
        let whole = u64::try_from(self.rest.as_millis()).unwrap_or(u64::MAX);
        self.late.increment(whole);
        self.rest -= Duration::from_millis(whole);
    }

    /// Shows how late the latest departure was, or the `next` that should have left, and gives it back.
    pub(super) fn show(&mut self, next: Option<&QueuedMessage>, ready_at: Instant, now: Instant) -> Duration {
        let waiting = next.map_or(Duration::ZERO, |message| self.lateness(message, ready_at, now));
        let behind = waiting.max(std::mem::take(&mut self.latest));
        self.behind.set(behind.as_secs_f64());
        behind
    }

    fn lateness(&self, message: &QueuedMessage, ready_at: Instant, now: Instant) -> Duration {
        now.saturating_duration_since(ready_at).min(self.due_for(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::outbound::Category, worker::sender::ready};

    fn message(due_since: UnixMillis) -> QueuedMessage {
        QueuedMessage { due_since, ..ready::tests::message(1, Category::Marketing) }
    }

    fn seconds(late: Duration) -> u64 {
        late.as_secs_f64().round() as u64
    }

    #[test]
    fn late_is_what_was_due_and_allowed_and_no_longer_than_either() {
        let (now, ready_5_s_ago) = (Instant::now(), Instant::now() - Duration::from_secs(5));
        let mut lateness = Lateness::new("a number".to_owned());
        lateness.kept_back_at = [UnixMillis(0); 3];
        let due = |ago_s| message(clock::now().minus(Duration::from_secs(ago_s)));

        assert_eq!(seconds(lateness.lateness(&due(60), ready_5_s_ago, now)), 5, "the pace held it for the rest");
        assert_eq!(seconds(lateness.lateness(&due(2), ready_5_s_ago, now)), 2, "it came later than the pace's leave");
        assert_eq!(seconds(lateness.lateness(&due(60), now + Duration::from_secs(1), now)), 0, "the pace holds it");
        lateness.keep_back(Category::Marketing.class());
        assert_eq!(seconds(lateness.lateness(&due(60), ready_5_s_ago, now)), 0, "until now it was quiet");
    }

    #[test]
    fn what_the_queue_did_not_show_before_was_not_due_before() {
        let mut lateness = Lateness::new("a number".to_owned());
        let class = Category::Marketing.class();
        let long_ago = clock::now().minus(Duration::from_secs(3600));
        let mut new = [message(long_ago)];

        lateness.see_read(class, &mut [], (clock::now(), true));
        lateness.see_read(class, &mut new, (clock::now(), true));

        assert!(clock::now().since(new[0].due_since) < Duration::from_secs(60), "it was paused until a moment ago");
    }
}
