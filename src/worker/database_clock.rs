//! Whether the clock by which leases run out can be believed.
//!
//! Leases end by the database's clock, because instances need not agree on theirs. When that clock is set on, all leases
//! have run out at once, of the living too; when it is set back, those of the dead last for an hour. So an instance that
//! sees the clock jump, measured by one that cannot be set, takes nothing from others for the length of a lease. The
//! living have renewed theirs by then, and what still looks wrong is of the dead.

use std::time::{Duration, Instant};

use crate::{domain::time::UnixMillis, store::leases::OfOthers};

/// The database's clock, as one instance sees it at each renewal.
pub(super) struct DatabaseClock {
    seen: Option<(UnixMillis, Instant)>,
    steady_since: Instant,
    jumped: bool,
}

impl DatabaseClock {
    pub(super) fn new(now: Instant) -> Self {
        Self { seen: None, steady_since: now, jumped: false }
    }

    /// The database said `theirs` when it was asked at `asked_at`; a lease lasts so long.
    pub(super) fn look(&mut self, theirs: UnixMillis, asked_at: Instant, lasts: Duration) -> OfOthers {
        if let Some((before, asked_before)) = self.seen.replace((theirs, asked_at)) {
            let expected = before.plus(asked_at.duration_since(asked_before));
            let apart = theirs.since(expected).max(expected.since(theirs));
            // Less than that keeps no lease from being renewed in time.
            if apart > lasts / 2 {
                tracing::warn!("the database's clock was set by {} s; nothing is taken over for now", apart.as_secs());
                (self.steady_since, self.jumped) = (asked_at, true);
            }
        }
        let steady = asked_at.duration_since(self.steady_since) >= lasts;
        match (steady, self.jumped) {
            (true, _) => OfOthers::OrNeverEnding,
            (false, false) => OfOthers::RunOut,
            (false, true) => OfOthers::GivenBack,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LASTS: Duration = Duration::from_secs(20);
    const HOUR_S: u64 = 3600;

    /// Looks at these seconds: of ours, and of the database.
    fn looks(times: &[(u64, u64)]) -> Vec<OfOthers> {
        let start = Instant::now();
        let mut clock = DatabaseClock::new(start);
        let look = |&(ours, theirs): &(u64, u64)| {
            clock.look(
                UnixMillis::from_seconds(1_790_000_000 + theirs.cast_signed()),
                start + Duration::from_secs(ours),
                LASTS,
            )
        };
        times.iter().map(look).collect()
    }

    #[test]
    fn what_ran_out_is_taken_at_once_and_what_never_ends_after_a_while() {
        use OfOthers::{OrNeverEnding, RunOut};

        assert_eq!(
            looks(&[(0, 0), (4, 4), (8, 9), (19, 19), (20, 20)]),
            [RunOut, RunOut, RunOut, RunOut, OrNeverEnding]
        );
    }

    #[test]
    fn nothing_is_taken_over_while_others_could_not_renew_after_a_jump() {
        use OfOthers::{GivenBack, OrNeverEnding};

        for jumped in [HOUR_S + 34, 40_000 - HOUR_S] {
            let base = if jumped > HOUR_S * 2 { 40_000 } else { 30 };
            let seen = looks(&[(30, base), (34, jumped), (38, jumped + 4), (53, jumped + 19), (54, jumped + 20)]);
            assert_eq!(seen, [OrNeverEnding, GivenBack, GivenBack, GivenBack, OrNeverEnding], "{jumped}");
        }
    }
}
