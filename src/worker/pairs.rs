//! How many messages one person may be sent from one number: a bucket that refills slowly, beside the number's own pace.
//! Arithmetic only: the clock is an argument, and one owner asks. Only people written to lately are remembered.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::domain::{phone::PhoneNumber, retry::after_pair_refusals};

/// What each person may still be sent.
#[derive(Debug)]
pub struct Pairs {
    burst: f64,
    refill: Duration,
    people: HashMap<PhoneNumber, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
    blocked_until: Instant,
    /// How often in a row the provider has said "too many to this person".
    refusals: u32,
}

/// When more people than this are remembered, those whose buckets are full again are forgotten.
const PEOPLE_BEFORE_PRUNING: usize = 50_000;

impl Pairs {
    /// `burst` messages at once, then one in each `refill`.
    pub fn new(burst: u32, refill: Duration) -> Self {
        Self { burst: f64::from(burst.max(1)), refill: refill.max(Duration::from_millis(1)), people: HashMap::new() }
    }

    /// How long until this person may be sent the next message; zero when now.
    pub fn wait(&self, person: &PhoneNumber, now: Instant) -> Duration {
        let Some(bucket) = self.people.get(person) else { return Duration::ZERO };
        let blocked = bucket.blocked_until.saturating_duration_since(now);
        let tokens = self.tokens(bucket, now);
        let empty = if tokens >= 1.0 { Duration::ZERO } else { self.refill.mul_f64(1.0 - tokens) };
        blocked.max(empty)
    }

    /// A message to this person leaves now.
    pub fn depart(&mut self, person: &PhoneNumber, now: Instant) {
        if self.people.len() > PEOPLE_BEFORE_PRUNING {
            let (burst, refill) = (self.burst, self.refill);
            self.people.retain(|_, bucket| bucket.blocked_until > now || tokens_of(bucket, burst, refill, now) < burst);
        }
        let burst = self.burst;
        let tokens = self.people.get(person).map_or(burst, |bucket| self.tokens(bucket, now));
        let bucket =
            self.people.entry(person.clone()).or_insert(Bucket { tokens, at: now, blocked_until: now, refusals: 0 });
        bucket.tokens = (tokens - 1.0).max(0.0);
        bucket.at = now;
    }

    /// The provider says: too many to this person. Nobody else waits; this one waits four times as long after each
    /// refusal in a row. That there was still something in the bucket was our mistake, or somebody else uses the same
    /// number: when the wait is over one message may go, and then one in each refill.
    pub fn refuse(&mut self, person: &PhoneNumber, now: Instant, at_least: Duration) {
        let bucket = self.bucket(person, now);
        let until = bucket.blocked_until.max(now + after_pair_refusals(bucket.refusals).max(at_least));
        *bucket = Bucket { tokens: 1.0, at: until, blocked_until: until, refusals: bucket.refusals.saturating_add(1) };
    }

    /// The provider took a message to this person.
    pub fn take(&mut self, person: &PhoneNumber) {
        if let Some(bucket) = self.people.get_mut(person) {
            bucket.refusals = 0;
        }
    }

    /// Nothing to this person for a while, for another reason than too many messages.
    pub fn block(&mut self, person: &PhoneNumber, now: Instant, until: Instant) {
        let bucket = self.bucket(person, now);
        bucket.blocked_until = bucket.blocked_until.max(until);
    }

    fn bucket(&mut self, person: &PhoneNumber, now: Instant) -> &mut Bucket {
        let full = Bucket { tokens: self.burst, at: now, blocked_until: now, refusals: 0 };
        self.people.entry(person.clone()).or_insert(full)
    }

    fn tokens(&self, bucket: &Bucket, now: Instant) -> f64 {
        tokens_of(bucket, self.burst, self.refill, now)
    }
}

fn tokens_of(bucket: &Bucket, burst: f64, refill: Duration, now: Instant) -> f64 {
    let refilled = now.saturating_duration_since(bucket.at).as_secs_f64() / refill.as_secs_f64();
    (bucket.tokens + refilled).min(burst)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_person_gets_a_burst_and_then_one_at_a_time() {
        let person = number("919876500001");
        let start = Instant::now();
        let mut pairs = Pairs::new(3, Duration::from_secs(6));

        for _ in 0..3 {
            assert_eq!(pairs.wait(&person, start), Duration::ZERO);
            pairs.depart(&person, start);
        }

        assert_eq!(pairs.wait(&person, start).as_secs_f64().round(), 6.0);
        assert_eq!(pairs.wait(&person, start + Duration::from_secs(7)), Duration::ZERO);
    }

    #[test]
    fn a_refused_person_waits_longer_each_time_and_nobody_else_does() {
        let (person, other) = (number("919876500001"), number("919876500002"));
        let mut now = Instant::now();
        let mut pairs = Pairs::new(40, Duration::from_secs(6));

        for wait_s in [1, 4, 16, 64] {
            pairs.depart(&person, now);
            pairs.refuse(&person, now, Duration::ZERO);
            assert_eq!(pairs.wait(&person, now), Duration::from_secs(wait_s));
            assert_eq!(pairs.wait(&other, now), Duration::ZERO);
            now += Duration::from_secs(wait_s);
        }
        pairs.depart(&person, now);
        pairs.take(&person);

        assert_eq!(pairs.wait(&person, now).as_secs_f64().round(), 6.0, "what was in the bucket is not believed");
        pairs.refuse(&person, now, Duration::ZERO);
        assert_eq!(pairs.wait(&person, now), Duration::from_secs(1), "the count begins anew after a success");
    }

    #[test]
    fn a_longer_wait_that_the_provider_names_is_kept() {
        let person = number("919876500001");
        let now = Instant::now();
        let mut pairs = Pairs::new(40, Duration::from_secs(6));

        pairs.refuse(&person, now, Duration::from_secs(30));

        assert_eq!(pairs.wait(&person, now), Duration::from_secs(30));
    }

    fn number(digits: &str) -> PhoneNumber {
        PhoneNumber::from_international(digits).expect("a number")
    }

    /// WhatsApp's own bucket for one number and one person.
    struct WhatsApp {
        tokens: f64,
        at: Instant,
    }

    impl WhatsApp {
        fn takes(&mut self, now: Instant) -> bool {
            self.tokens = (self.tokens + now.duration_since(self.at).as_secs_f64() / 6.0).min(45.0);
            self.at = now;
            let takes = self.tokens >= 1.0;
            self.tokens -= f64::from(takes);
            takes
        }
    }

    proptest! {
        /// However long the gaps: whoever keeps to our bucket is never refused by WhatsApp's, which is 45 deep and gets one in 6 s.
        #[test]
        fn a_person_is_never_sent_more_than_whatsapp_takes(gaps_ms in proptest::collection::vec(0u64..20_000, 400)) {
            let person = number("919876500001");
            let mut now = Instant::now();
            let mut theirs = WhatsApp { tokens: 45.0, at: now };
            let mut pairs = Pairs::new(40, Duration::from_secs(6));
            for gap in gaps_ms {
                now += Duration::from_millis(gap);
                now += pairs.wait(&person, now);
                pairs.depart(&person, now);
                prop_assert!(theirs.takes(now));
            }
        }
    }
}
