//! How fast a number may go. Arithmetic only: the clock is an argument, and one owner asks.
//!
//! A number has an allowance of messages a second, and the provider counts arrivals in any second it
//! likes. So departures are spaced evenly, at a share of the allowance. What people write to the number comes out
//! of the same allowance, so departures give way to it.
//!
//! A message that was due and left late, because the machine had other things to do, has not used its share up: the next ones follow
//! more closely. What holds then is the allowance itself: no more in any second, and a moment longer for what the
//! network bunches. Nothing is saved up while nothing was due.
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
    /// So many may leave and come in within any `window`.
    allowance: usize,
    window: Duration,
    /// When the last of them did, the oldest first; no more than the allowance.
    recent: VecDeque<Instant>,
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

/// By so much the network may bunch arrivals, where the share of the allowance leaves room for it.
const BUNCHED_BY: Duration = Duration::from_millis(20);
/// Lateness is made up for as far as this. What lies further back is lost: a machine that stands still for longer delays what is on
/// its way as well, and would bunch it with all that leaves at once.
const CATCH_UP_MAX: Duration = Duration::from_millis(25);

impl Pace {
    /// `share` of the allowance is used, above 0 and at most 1. `from` is when the first message may leave.
    pub fn new(messages_per_second: u32, share: f64, from: Instant) -> Self {
        let per_second = (f64::from(messages_per_second) * share).max(f64::MIN_POSITIVE);
        // The even pace must be slower than the allowance in a window, or lateness could never be made up for.
        let spare = Duration::from_secs(1).mul_f64((1.0 / share - 1.0).clamp(0.0, 1.0)) * 2 / 3;
        Self {
            interval: Duration::from_secs_f64((1.0 / per_second).min(3600.0)),
            allowance: usize::try_from(messages_per_second).unwrap_or(usize::MAX).max(1),
            window: Duration::from_secs(1) + spare.min(BUNCHED_BY),
            recent: VecDeque::new(),
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
        crowded_until.map_or(self.next, |oldest| self.next.max(*oldest + self.window))
    }

    /// Goes on at another allowance. A silence that was asked for stays.
    pub fn change(&mut self, other: Self) {
        self.interval = other.interval;
        self.allowance = other.allowance;
        self.window = other.window;
        self.recent.drain(..self.recent.len().saturating_sub(self.allowance));
    }

    /// A message leaves now that has been due for so long. Gives back how much of the pace is lost.
    pub fn depart(&mut self, now: Instant, due_for: Duration) -> Duration {
        let due_since = now.checked_sub(due_for).unwrap_or(now);
        let made_up_from = now.checked_sub(due_for.min(CATCH_UP_MAX)).unwrap_or(now);
        let lost = made_up_from.saturating_duration_since(self.next.max(due_since));
        self.next = self.next.max(made_up_from) + self.interval_now();
        self.note(now);
        lost
    }

    /// So many messages came in, which the provider counts as well.
    pub fn give_way(&mut self, now: Instant, messages: u32) {
        if messages > 0 {
            let next = self.next.max(now) + self.interval_now().saturating_mul(messages);
            self.next = next.min(now + GIVE_WAY_MAX).max(self.next);
            let counted = usize::try_from(messages).unwrap_or(usize::MAX).min(self.allowance);
            (0..counted).for_each(|_| self.note(now));
        }
    }

    fn note(&mut self, at: Instant) {
        if self.recent.len() >= self.allowance {
            self.recent.pop_front();
        }
        self.recent.push_back(at);
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
    fn lateness_is_lost_only_beyond_what_can_be_made_up_for() {
        let start = Instant::now();
        let mut pace = Pace::new(80, 0.97, start);
        let (soon, later) = (start + CATCH_UP_MAX, start + Duration::from_secs(10));

        assert_eq!(pace.depart(soon, Duration::from_secs(60)), Duration::ZERO);
        assert_eq!(
            pace.depart(later, Duration::from_secs(1)),
            Duration::from_secs(1) - CATCH_UP_MAX,
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
