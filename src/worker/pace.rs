//! How fast a number may go. Arithmetic only: the clock is an argument, and one owner asks.
//!
//! A number has an allowance of messages a second, and the provider counts arrivals in any second it
//! likes. So departures are spaced evenly, at a share of the allowance. What people write to the number comes out
//! of the same allowance, so departures give way to it.
//!
//! A message that was due and left late, because the machine had other things to do, has not used its share up: the next ones follow
//! more closely. What holds then is the allowance itself: no more in any second. Nothing is saved up while nothing was due.
//!
//! A second of departures is not a second of arrivals: what is held up on its way arrives closer to what leaves after it. When an
//! answer takes longer than usual, its message may have arrived so much later, and keeps its place in the allowance for so much
//! longer. As a provider may also think for longer, this has a limit.
//!
//! When the provider throttles all the same, once may be a crowded moment: the pace gives way a little. When it throttles
//! again soon, the allowance is smaller than we were told: the pace drops by a third, comes back quickly to a little below where it
//! was throttled, and slowly from there, so that it is found and kept to with few refusals.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Spacing of departures at one number.
#[derive(Debug)]
pub struct Pace {
    /// Between two departures at full pace.
    interval: Duration,
    /// So many may leave and come in within any second.
    allowance: usize,
    /// Each is taken to have been held up on its way for this long at least.
    held_up_min: Duration,
    /// The last of them, the oldest first; no more than the allowance.
    recent: VecDeque<Passed>,
    /// The quickest answer to one of them: what took longer may have been held up.
    quickest: Duration,
    /// When the next departure would be due if all that were due had been on time.
    next: Instant,
    /// 1.0 at full pace.
    factor: f64,
    /// A little below where it was throttled last: from here on the pace rises slowly.
    careful_from: f64,
    slowed_at: Option<Instant>,
    /// When it was slowed down or sped up.
    changed: Instant,
}

/// A message that was counted.
#[derive(Debug)]
struct Passed {
    at: Instant,
    how: Passage,
}

#[derive(Debug, PartialEq, Eq)]
enum Passage {
    /// It came in.
    In,
    /// It left, and is not answered yet.
    Out,
    /// It left, and was answered after this time.
    Answered(Duration),
}

/// In which the provider counts.
const SECOND: Duration = Duration::from_secs(1);
/// Slower than this share of the allowance we never go.
const FACTOR_MIN: f64 = 0.05;
/// A throttled answer within this time of the last one is about the same crowd.
const SLOW_DOWN_EVERY: Duration = Duration::from_secs(1);
/// Throttled again within this time, it is more than a crowded moment.
const CROWDED_FOR: Duration = Duration::from_secs(10);
/// What is left of the pace then.
const SLOWER: f64 = 0.7;
/// Without being throttled the pace rises this often, by one of these shares of the allowance.
const SPEED_UP_EVERY: Duration = Duration::from_secs(1);
const SPEED_UP_QUICKLY_BY: f64 = 0.1;
const SPEED_UP_SLOWLY_BY: f64 = 0.02;
/// So much of a pace that was throttled is believed to be allowed.
const BELIEVED_SHARE: f64 = 0.9;
/// People who write a lot cannot silence a number for longer than this.
const GIVE_WAY_MAX: Duration = Duration::from_secs(1);

/// So much holds up any message unseen, where the share of the allowance leaves room for it.
const HELD_UP_MIN: Duration = Duration::from_millis(20);
/// No more is believed, with what a late answer tells of: a number gets 95 % of its allowance though every answer be late.
const HELD_UP_MAX: Duration = Duration::from_millis(50);
/// Lateness is made up for as far as answers tell what it did to those on their way.
const CATCH_UP_MAX: Duration = HELD_UP_MAX;
/// Only so far when the machine stood still for longer: what was on its way was held up for longer than answers are believed, and would
/// be bunched with all that leaves at once.
const CATCH_UP_MAX_AFTER_LONG: Duration = Duration::from_millis(25);

impl Pace {
    /// `share` of the allowance is used, above 0 and at most 1. `from` is when the first message may leave.
    pub fn new(messages_per_second: u32, share: f64, from: Instant) -> Self {
        let per_second = (f64::from(messages_per_second) * share).max(f64::MIN_POSITIVE);
        // The even pace must be slower than the allowance in a window, or lateness could never be made up for.
        let spare = SECOND.mul_f64((1.0 / share - 1.0).clamp(0.0, 1.0)) * 2 / 3;
        Self {
            interval: Duration::from_secs_f64((1.0 / per_second).min(3600.0)),
            allowance: usize::try_from(messages_per_second).unwrap_or(usize::MAX).max(1),
            held_up_min: spare.min(HELD_UP_MIN),
            recent: VecDeque::new(),
            quickest: Duration::MAX,
            next: from,
            factor: 1.0,
            careful_from: 1.0,
            slowed_at: None,
            changed: from,
        }
    }

    /// The earliest moment at which a message may leave.
    pub fn ready_at(&self) -> Instant {
        let crowded_until = self.recent.front().filter(|_| self.recent.len() >= self.allowance);
        crowded_until.map_or(self.next, |oldest| self.next.max(oldest.at + self.held_up(oldest) + SECOND))
    }

    /// By how much later than usual it may have arrived.
    fn held_up(&self, passed: &Passed) -> Duration {
        let longer = match passed.how {
            Passage::In => Duration::ZERO,
            Passage::Out => HELD_UP_MAX,
            Passage::Answered(after) => after.saturating_sub(self.quickest),
        };
        (self.held_up_min + longer).min(HELD_UP_MAX)
    }

    /// Goes on at another allowance. A silence that was asked for stays.
    pub fn change(&mut self, other: Self) {
        self.interval = other.interval;
        self.allowance = other.allowance;
        self.held_up_min = other.held_up_min;
        while self.recent.len() > self.allowance {
            self.forget_oldest();
        }
    }

    /// A message leaves now that has been due for so long. Gives back how much of the pace is lost by its lateness.
    pub fn depart(&mut self, now: Instant, due_for: Duration) -> Duration {
        let due_since = now.checked_sub(due_for).unwrap_or(now);
        let late = now.saturating_duration_since(self.next.max(due_since));
        let stood_still = now.saturating_duration_since(self.ready_at().max(due_since));
        let made_up = late.min(if stood_still <= CATCH_UP_MAX { CATCH_UP_MAX } else { CATCH_UP_MAX_AFTER_LONG });
        let lost = late - made_up;
        self.next = self.next.max(now.checked_sub(made_up).unwrap_or(now)) + self.interval_now();
        self.note(now, Passage::Out);
        lost
    }

    /// What left at `departed` was answered.
    pub fn answered(&mut self, departed: Instant, after: Duration) {
        let place = self.recent.partition_point(|passed| passed.at < departed);
        let mut left_then = self.recent.iter_mut().skip(place).take_while(|passed| passed.at == departed);
        if let Some(passed) = left_then.find(|passed| passed.how == Passage::Out) {
            passed.how = Passage::Answered(after);
            self.quickest = self.quickest.min(after);
        }
    }

    /// So many messages came in, which the provider counts as well.
    pub fn give_way(&mut self, now: Instant, messages: u32) {
        if messages > 0 {
            let next = self.next.max(now) + self.interval_now().saturating_mul(messages);
            self.next = next.min(now + GIVE_WAY_MAX).max(self.next);
            let counted = usize::try_from(messages).unwrap_or(usize::MAX).min(self.allowance);
            (0..counted).for_each(|_| self.note(now, Passage::In));
        }
    }

    fn note(&mut self, at: Instant, how: Passage) {
        if self.recent.len() >= self.allowance {
            self.forget_oldest();
        }
        self.recent.push_back(Passed { at, how });
    }

    fn forget_oldest(&mut self) {
        let oldest = self.recent.pop_front();
        if oldest.is_some_and(|oldest| oldest.how == Passage::Answered(self.quickest)) {
            let answers = self.recent.iter().filter_map(|passed| match passed.how {
                Passage::Answered(after) => Some(after),
                Passage::In | Passage::Out => None,
            });
            self.quickest = answers.min().unwrap_or(Duration::MAX);
        }
    }

    /// How many messages leave in `window` at most.
    pub fn within(&self, window: Duration) -> usize {
        let messages = window.as_secs_f64() / self.interval_now().as_secs_f64().max(1e-9);
        (messages.ceil().min(1e6) as usize).max(1)
    }

    /// The provider says: too fast. `wait` is how long it asks for silence.
    pub fn slow_down(&mut self, now: Instant, wait: Duration) {
        let since = self.slowed_at.map(|at| now.duration_since(at));
        if since.is_none_or(|since| since >= SLOW_DOWN_EVERY) {
            self.careful_from = self.factor * BELIEVED_SHARE;
            let again = since.is_some_and(|since| since < CROWDED_FOR);
            let slower = if again { self.factor * SLOWER } else { self.careful_from };
            self.factor = slower.max(FACTOR_MIN);
            self.slowed_at = Some(now);
            self.changed = now;
        }
        self.next = self.next.max(now + wait);
    }

    /// To be called now and then: the pace comes back.
    pub fn recover(&mut self, now: Instant) {
        if self.factor < 1.0 && now.duration_since(self.changed) >= SPEED_UP_EVERY {
            let quickly = (self.factor + SPEED_UP_QUICKLY_BY).min(self.careful_from);
            self.factor = quickly.max(self.factor + SPEED_UP_SLOWLY_BY).min(1.0);
            self.changed = now;
        }
    }

    fn interval_now(&self) -> Duration {
        self.interval.div_f64(self.factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sends whenever it may, and notices that so long after it might have; gives back the times.
    fn departures(pace: &mut Pace, start: Instant, noticed_after_us: &[u64]) -> Vec<Instant> {
        let mut now = start;
        let mut times = Vec::new();
        for noticed_after in noticed_after_us {
            let ready_at = pace.ready_at();
            now = now.max(ready_at + Duration::from_micros(*noticed_after));
            pace.depart(now, now - start);
            pace.answered(now, Duration::ZERO);
            times.push(now);
        }
        times
    }

    fn most_in_a_second(times: &[Instant]) -> usize {
        let (mut first, mut most) = (0, 0);
        for (place, time) in times.iter().enumerate() {
            while times[first] + Duration::from_secs(1) <= *time {
                first += 1;
            }
            most = most.max(place + 1 - first);
        }
        most
    }

    /// What a number gets of its allowance when something is always due.
    fn share_of_80(noticed_after_us: impl Fn(usize) -> u64) -> f64 {
        let (start, delays) = (Instant::now(), (0..8_000).map(noticed_after_us).collect::<Vec<_>>());
        let times = departures(&mut Pace::new(80, 0.97, start), start, &delays);
        8_000.0 / times[7_999].duration_since(start).as_secs_f64() / 80.0
    }

    #[test]
    fn a_number_that_always_has_something_due_gets_nearly_its_whole_allowance() {
        assert!(share_of_80(|_| 0) > 0.969);
        assert!(share_of_80(|_| 20_000) > 0.96, "though each is noticed later than the next is due");
        let often = |place| if place % 40 == 0 { 30_000 } else { 2_000 };
        assert!(share_of_80(often) > 0.95, "though the machine stops for a moment twice a second");
    }

    #[test]
    fn a_provider_that_thinks_for_longer_now_and_then_costs_little() {
        let start = Instant::now();
        let mut pace = Pace::new(80, 0.97, start);
        let mut now = start;
        for message in 0..8_000_u64 {
            now = pace.ready_at();
            pace.depart(now, now - start);
            pace.answered(now, Duration::from_millis(100 + message * 7 % 400));
        }

        let share = 8_000.0 / now.duration_since(start).as_secs_f64() / 80.0;
        assert!(share > 0.95, "{share}");
    }

    #[test]
    fn a_quick_answer_from_before_the_allowance_shrank_makes_nothing_count_as_held_up() {
        let start = Instant::now();
        let mut pace = Pace::new(80, 0.97, start);
        let mut now = start;
        let mut leave = |pace: &mut Pace, answered_after| {
            now = pace.ready_at();
            pace.depart(now, now - start);
            pace.answered(now, Duration::from_millis(answered_after));
            now
        };
        leave(&mut pace, 1);
        for _ in 0..79 {
            leave(&mut pace, 100);
        }

        pace.change(Pace::new(40, 0.97, start));

        let first = leave(&mut pace, 100);
        let last = (0..400).map(|_| leave(&mut pace, 100)).last().expect("there are some");
        assert!(400.0 / last.duration_since(first).as_secs_f64() / 40.0 > 0.969);
    }

    #[test]
    fn lateness_is_lost_only_beyond_what_can_be_made_up_for() {
        let start = Instant::now();
        let mut pace = Pace::new(80, 0.97, start);
        let (soon, later) = (start + CATCH_UP_MAX, start + Duration::from_secs(10));

        assert_eq!(pace.depart(soon, Duration::from_secs(60)), Duration::ZERO);
        assert_eq!(
            pace.depart(later, Duration::from_secs(1)),
            Duration::from_secs(1) - CATCH_UP_MAX_AFTER_LONG,
            "due for a second"
        );
    }

    #[test]
    fn nothing_is_saved_up_while_nothing_is_due() {
        let start = Instant::now();
        let mut pace = Pace::new(80, 0.97, start);
        let later = start + Duration::from_secs(60);

        pace.depart(later, Duration::ZERO);

        assert_eq!(pace.ready_at(), later + pace.interval_now());
    }

    #[test]
    fn a_long_standstill_is_not_made_up_for_at_once() {
        let start = Instant::now();
        let mut pace = Pace::new(1_000, 0.97, start);
        let later = start + Duration::from_secs(60);
        let at_once = |pace: &mut Pace| {
            let leave = || (pace.ready_at() <= later).then(|| pace.depart(later, later - start));
            std::iter::from_fn(leave).count()
        };

        assert_eq!(at_once(&mut pace), 25, "so many milliseconds' worth");
    }

    proptest! {
        #[test]
        fn no_sliding_second_holds_more_than_the_allowance_with_what_people_write(
            gaps_ms in proptest::collection::vec(20u64..200, 100),
            per_second in 80u32..300,
        ) {
            let start = Instant::now();
            let mut pace = Pace::new(per_second, 0.97, start);
            let (mut now, mut times) = (start, Vec::new());
            for gap in gaps_ms {
                let written = now + Duration::from_millis(gap);
                while pace.ready_at() < written {
                    now = pace.ready_at().max(now);
                    pace.depart(now, Duration::ZERO);
                    times.push(now);
                }
                pace.give_way(written, 1);
                times.push(written);
                now = written;
            }
            // One that came in may be told of after a departure has taken its place.
            prop_assert!(most_in_a_second(&times) <= per_second as usize + 1);
        }

        #[test]
        fn no_sliding_second_of_arrivals_holds_more_than_the_allowance_though_the_network_holds_some_up(
            held_up_us in proptest::collection::vec(prop_oneof![4 => 0u64..1_000, 1 => 0u64..30_000], 900),
            per_second in 20u32..300,
        ) {
            let start = Instant::now();
            let mut pace = Pace::new(per_second, 0.97, start);
            let (mut flying, mut arrivals) = (VecDeque::new(), Vec::new());
            for held_up_us in held_up_us {
                // An answer waits for those before it, as on one connection.
                while let Some((departed, answered_at)) = flying.front().copied().filter(|(_, at)| *at <= pace.ready_at()) {
                    pace.answered(departed, answered_at - departed);
                    flying.pop_front();
                }
                let now = pace.ready_at();
                pace.depart(now, Duration::ZERO);
                let arrives = now + Duration::from_millis(20) + Duration::from_micros(held_up_us);
                flying.push_back((now, arrives + Duration::from_millis(30)));
                arrivals.push(arrives);
            }
            arrivals.sort_unstable();
            prop_assert!(most_in_a_second(&arrivals) <= per_second as usize);
        }

        #[test]
        fn no_sliding_second_holds_more_than_the_allowance_however_late_departures_are(
            noticed_after_us in proptest::collection::vec(prop_oneof![9 => 0u64..60_000, 1 => 0u64..2_000_000], 600),
            per_second in 1u32..300,
            share in 0.5f64..=1.0,
        ) {
            let start = Instant::now();
            let mut pace = Pace::new(per_second, share, start);
            let times = departures(&mut pace, start, &noticed_after_us);
            prop_assert!(most_in_a_second(&times) <= per_second as usize);
        }
    }

    fn per_second(pace: &Pace) -> u32 {
        (1.0 / pace.interval_now().as_secs_f64()).round() as u32
    }

    #[test]
    fn a_crowded_moment_costs_little() {
        let start = Instant::now();
        let mut pace = Pace::new(100, 1.0, start);
        let wait = Duration::from_millis(200);

        pace.slow_down(start, wait);

        assert_eq!(pace.ready_at(), start + wait);
        let paces = (0..=6).map(|second| {
            pace.recover(start + Duration::from_secs(second));
            per_second(&pace)
        });
        assert_eq!(paces.collect::<Vec<_>>(), [90, 92, 94, 96, 98, 100, 100]);
    }

    #[test]
    fn a_number_that_is_throttled_again_and_again_goes_much_slower_and_comes_back() {
        let start = Instant::now();
        let mut pace = Pace::new(100, 1.0, start);
        pace.slow_down(start, Duration::ZERO);

        let again = start + Duration::from_secs(2);
        pace.slow_down(again, Duration::from_secs(3));

        assert_eq!(pace.ready_at(), again + Duration::from_secs(3), "what the provider asks for is kept");
        let paces = (0..=11).map(|second| {
            pace.recover(again + Duration::from_secs(second));
            per_second(&pace)
        });
        assert_eq!(paces.collect::<Vec<_>>(), [63, 73, 81, 83, 85, 87, 89, 91, 93, 95, 97, 99]);
    }

    #[test]
    fn an_allowance_that_is_smaller_than_we_were_told_is_found_with_few_refusals() {
        let start = Instant::now();
        let mut pace = Pace::new(100, 1.0, start);
        let (mut now, mut taken, mut refused) = (start, VecDeque::from([]), 0);
        let mut times = Vec::new();
        while now < start + Duration::from_secs(300) {
            now = pace.ready_at().max(now);
            pace.recover(now);
            pace.depart(now, Duration::ZERO);
            while taken.front().is_some_and(|at| *at + Duration::from_secs(1) <= now) {
                taken.pop_front();
            }
            if taken.len() < 40 {
                taken.push_back(now);
                times.push(now);
            } else {
                refused += 1;
                pace.slow_down(now, Duration::from_millis(200));
            }
        }

        assert!(times.len() > 300 * 40 * 3 / 4, "{} of the {} that were allowed", times.len(), 300 * 40);
        assert!(refused * 50 < times.len(), "{refused} refusals beside {}", times.len());
    }

    #[test]
    fn what_people_write_comes_out_of_the_allowance_and_never_silences_a_number() {
        let start = Instant::now();
        let mut pace = Pace::new(100, 1.0, start);

        pace.give_way(start, 5);
        assert_eq!(pace.ready_at(), start + Duration::from_millis(50));

        pace.give_way(start, 1_000_000);
        assert_eq!(pace.ready_at(), start + GIVE_WAY_MAX);
    }
}
