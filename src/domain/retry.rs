//! When to try again. Arithmetic only: the clock and the dice are arguments.

use std::time::Duration;

/// Waits between attempts, in order. When they are used up, we stop.
#[derive(Clone, Debug)]
pub struct Schedule(pub Vec<Duration>);

impl Schedule {
    /// How long to wait after attempt number `attempt` (the first is 1), or `None` to give up.
    ///
    /// `hint` is the other side's `Retry-After`. It may make us wait longer than planned, up to
    /// twice; it can neither hurry us nor park our work for a day.
    /// `jitter` in 0.0..1.0 spreads a crowd that failed together over the next fifth of the wait.
    pub fn wait(&self, attempt: usize, hint: Option<Duration>, jitter: f32) -> Option<Duration> {
        let planned = *self.0.get(attempt.checked_sub(1)?)?;
        Some(stretch(planned, hint, jitter))
    }

    /// As [`Self::wait`], but the last wait is repeated for ever: for work that ends by a horizon in
    /// time and not by a count. An empty schedule waits a minute.
    pub fn wait_repeating(&self, attempt: usize, hint: Option<Duration>, jitter: f32) -> Duration {
        let planned = self.0.get(attempt.saturating_sub(1)).or(self.0.last());
        stretch(planned.copied().unwrap_or(Duration::from_secs(60)), hint, jitter)
    }
}

/// The base of what follows a refusal towards one person; see [`after_pair_refusals`].
const PAIR_WAIT_BASE_S: u64 = 4;
/// After so many refusals in a row the wait does not grow any more: 4,096 seconds, a bit over an hour.
const PAIR_WAIT_EXPONENT_MAX: u32 = 6;

/// How long one person is left alone when WhatsApp has said "too many to this person" once more, after `before`
/// refusals in a row: 4^X seconds, as Meta asks for.
pub fn after_pair_refusals(before: u32) -> Duration {
    Duration::from_secs(PAIR_WAIT_BASE_S.pow(before.min(PAIR_WAIT_EXPONENT_MAX)))
}

fn stretch(planned: Duration, hint: Option<Duration>, jitter: f32) -> Duration {
    let wait = hint.map_or(planned, |asked| asked.clamp(planned, planned * 2));
    wait + wait.mul_f32(jitter.clamp(0.0, 1.0) * 0.2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn schedule() -> Schedule {
        Schedule([1, 5, 30, 300].map(Duration::from_secs).to_vec())
    }

    #[test]
    fn a_used_up_schedule_gives_up_or_repeats_its_last_wait() {
        assert_eq!(schedule().wait(5, None, 0.0), None);
        assert_eq!(schedule().wait_repeating(500, None, 0.0), Duration::from_secs(300));
    }

    #[test]
    fn a_person_is_left_alone_four_times_as_long_after_each_refusal() {
        let waits = [0, 1, 2, 3, 6, 60].map(|before| after_pair_refusals(before).as_secs());

        assert_eq!(waits, [1, 4, 16, 64, 4_096, 4_096]);
    }

    proptest! {
        #[test]
        fn waits_grow_and_stay_in_bounds(attempt in 1usize..4, hint in proptest::option::of(0u64..1_000_000), jitter in 0.0f32..1.0) {
            let hint = hint.map(Duration::from_secs);
            let wait = schedule().wait(attempt, hint, jitter).expect("within the schedule");
            let planned = schedule().0[attempt - 1];
            prop_assert!(wait >= planned);
            prop_assert!(wait <= planned.mul_f32(2.41));
            prop_assert!(schedule().wait(attempt + 1, None, 0.0).expect("within the schedule") > planned);
        }
    }
}
