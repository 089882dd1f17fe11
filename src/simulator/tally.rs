//! What is counted, and how often each number, pair and person may be served.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::Value;

use super::{clevertap::CallbackStats, state::unix_now};

/// Beyond this many messages repeats are no longer noticed.
const MESSAGES_REMEMBERED_MAX: usize = 2_000_000;
/// Open 24 hour windows, and pairs of a number and a person whose rate is watched.
const PAIRS_MAX: usize = 1_000_000;
const WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
const PAIR_BURST: f64 = 45.0;
const PAIR_REFILL_PER_S: f64 = 1.0 / 6.0;
const ONE_SECOND: Duration = Duration::from_secs(1);
const ANSWER_US_MAX: u64 = 600_000_000;
const ONE_HOUR: Duration = Duration::from_secs(60 * 60);

/// What happened so far. Every number counts since the start or the last reset.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Requests to a send endpoint, whatever became of them.
    pub sends_received: u64,
    pub sends_accepted: u64,
    /// By Meta's code, or `http_503` where the answer carried none.
    pub sends_refused: BTreeMap<String, u64>,
    /// Messages accepted again with a `biz_opaque_callback_data` that was accepted before: somebody was sent to twice.
    pub sends_accepted_twice: u64,
    /// Accepted, with the connection closed instead of an answer.
    pub answers_lost: u64,
    /// Closed without accepting.
    pub connections_dropped: u64,
    /// Sends whose `to` had no `+`: Meta may take these for numbers of the sender's own country.
    pub sends_without_plus: u64,
    /// Different people who were messaged outside of a window while the messaging limit was enforced, within 24 hours.
    pub people_messaged_first: u64,
    pub messages_marked_read: u64,
    /// Most sends of each phone number id in any sliding second, refused ones included.
    pub peak_sends_per_second: BTreeMap<String, u64>,
    /// Most sends to one person that waited for an answer at a time. A thread answers one after the other: without an
    /// `answer_delay_ms` those that were sent together may not be seen together.
    pub peak_in_flight_per_recipient: u64,
    pub template_pages: u64,
    /// Requests for Gallabox's conversations and messages.
    pub lists_asked: u64,
    /// Numbers and business accounts that were asked for their fields.
    pub node_reads: u64,
    /// Verification calls to override URLs.
    pub handshakes: u64,
    pub media_uploads: u64,
    /// Media ids that were asked for their URL.
    pub media_lookups: u64,
    pub media_downloads: u64,
    /// Downloads with a URL that had ended, or was never given.
    pub media_downloads_refused: u64,
    /// Webhooks answered with 200.
    pub webhooks_taken: u64,
    /// Webhooks answered otherwise or not at all; each is posted again.
    pub webhooks_refused: u64,
    /// How long the bridge took to answer webhooks with 200.
    pub webhook_answers: AnswerTimes,
    /// Most updates in one webhook.
    pub peak_webhook_batch: u64,
    /// Statuses that the bridge has taken, by status.
    pub statuses_taken: BTreeMap<String, u64>,
    /// Inbound messages that the bridge has taken.
    pub inbound_taken: u64,
    /// Updates that are due later, in flight, or to be posted again.
    pub updates_waiting: u64,
    /// Updates given up: no webhook URL, too many tries, or too many waiting.
    pub updates_dropped: u64,
    /// What came to the CleverTap side.
    pub clevertap: CallbackStats,
}

/// How long answers took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct AnswerTimes {
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

/// An accepted or refused send, as it came.
#[derive(Clone, Debug, Serialize)]
pub struct RecordedSend {
    pub phone_number_id: String,
    /// Digits.
    pub recipient: String,
    /// `None` when it was refused.
    pub wamid: Option<String>,
    /// When it was there.
    pub received_at_unix_ms: u64,
    pub body: Value,
}

/// The same, not yet read.
struct KeptSend {
    phone_number_id: String,
    recipient: String,
    wamid: Option<String>,
    received_at_unix_ms: u64,
    body: Bytes,
}

#[derive(Default)]
pub(super) struct Tally {
    pub(super) stats: Stats,
    traffic: HashMap<String, Traffic>,
    in_flight: HashMap<String, u64>,
    callback_data_seen: HashSet<u64>,
    windows: HashMap<u64, Instant>,
    pairs: HashMap<u64, (f64, Instant)>,
    sends: VecDeque<KeptSend>,
    sends_kept_max: usize,
    /// Who wrote what the bridge has taken.
    heard: VecDeque<String>,
    /// Rates that were raised.
    rates: HashMap<String, u32>,
    maintained_until: HashMap<String, Instant>,
    /// People who stopped marketing.
    stopped: HashSet<u64>,
    /// People who were messaged outside of a window, and when last.
    addressed: HashMap<u64, Instant>,
    management_calls: VecDeque<Instant>,
    /// In microseconds.
    webhook_answers: WebhookAnswers,
}

/// Two digits, and as long as anybody waits: a few kilobytes.
struct WebhookAnswers(Histogram<u64>);

impl Default for WebhookAnswers {
    fn default() -> Self {
        Self(Histogram::new_with_max(ANSWER_US_MAX, 2).expect("two digits up to ten minutes"))
    }
}

/// The last second of one number.
#[derive(Default)]
struct Traffic {
    arrivals: VecDeque<Instant>,
    passed: VecDeque<Instant>,
    peak_per_second: u64,
}

impl Tally {
    pub(super) fn new(sends_kept_max: usize) -> Self {
        Self { sends_kept_max, ..Self::default() }
    }

    /// The bridge took what this person wrote.
    pub(super) fn hear(&mut self, person: &str) {
        if self.sends_kept_max > 0 {
            if self.heard.len() >= self.sends_kept_max {
                self.heard.pop_front();
            }
            self.heard.push_back(person.to_owned());
        }
    }

    pub(super) fn heard(&self) -> Vec<String> {
        self.heard.iter().cloned().collect()
    }

    /// The bridge took a webhook.
    pub(super) fn time_webhook(&mut self, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(ANSWER_US_MAX);
        self.webhook_answers.0.saturating_record(took_us);
    }

    pub(super) fn webhook_answers(&self) -> AnswerTimes {
        let times = &self.webhook_answers.0;
        let ms = |us: u64| us as f64 / 1000.0;
        AnswerTimes {
            p50_ms: ms(times.value_at_quantile(0.5)),
            p99_ms: ms(times.value_at_quantile(0.99)),
            max_ms: ms(times.max()),
        }
    }

    /// Most sends of each number in any second.
    pub(super) fn peaks(&self) -> BTreeMap<String, u64> {
        self.traffic.iter().map(|(number, traffic)| (number.clone(), traffic.peak_per_second)).collect()
    }

    /// A send is here: counts it into its number's last second and its recipient's load.
    pub(super) fn arrive(&mut self, phone_number_id: &str, recipient: &str, now: Instant) {
        let traffic = self.traffic.entry(phone_number_id.to_owned()).or_default();
        forget_before_last_second(&mut traffic.arrivals, now);
        traffic.arrivals.push_back(now);
        traffic.peak_per_second = traffic.peak_per_second.max(traffic.arrivals.len() as u64);
        let load = self.in_flight.entry(recipient.to_owned()).or_default();
        *load += 1;
        self.stats.peak_in_flight_per_recipient = self.stats.peak_in_flight_per_recipient.max(*load);
    }

    /// Its answer is on the way.
    pub(super) fn leave(&mut self, recipient: &str) {
        if let Some(load) = self.in_flight.get_mut(recipient) {
            *load -= 1;
            if *load == 0 {
                self.in_flight.remove(recipient);
            }
        }
    }

    /// Is there room for one more in this number's last second? Refused sends do not count, so a number that slows
    /// down recovers at once.
    pub(super) fn take_rate(&mut self, phone_number_id: &str, per_second: u32, now: Instant) -> bool {
        let traffic = self.traffic.entry(phone_number_id.to_owned()).or_default();
        forget_before_last_second(&mut traffic.passed, now);
        if per_second > 0 && traffic.passed.len() >= per_second as usize {
            return false;
        }
        traffic.passed.push_back(now);
        true
    }

    /// What people write takes from the same allowance.
    pub(super) fn count_inbound(&mut self, phone_number_id: &str, now: Instant) {
        let traffic = self.traffic.entry(phone_number_id.to_owned()).or_default();
        forget_before_last_second(&mut traffic.passed, now);
        traffic.passed.push_back(now);
    }

    /// The same for one person: a bucket of 45 that gets one more every 6 seconds.
    pub(super) fn take_pair(&mut self, pair: u64, now: Instant) -> bool {
        if self.pairs.len() >= PAIRS_MAX {
            self.pairs.clear();
        }
        let (left, since) = self.pairs.entry(pair).or_insert((PAIR_BURST, now));
        let refill = now.duration_since(*since).as_secs_f64() * PAIR_REFILL_PER_S;
        *left = PAIR_BURST.min(*left + refill);
        *since = now;
        if *left < 1.0 {
            return false;
        }
        *left -= 1.0;
        true
    }

    /// The number gets another rate, and nothing goes through until then.
    pub(super) fn upgrade(&mut self, phone_number_id: &str, per_second: u32, until: Instant) {
        self.rates.insert(phone_number_id.to_owned(), per_second);
        self.maintained_until.insert(phone_number_id.to_owned(), until);
    }

    pub(super) fn upgraded_rate(&self, phone_number_id: &str) -> Option<u32> {
        self.rates.get(phone_number_id).copied()
    }

    pub(super) fn is_maintained(&self, phone_number_id: &str, now: Instant) -> bool {
        self.maintained_until.get(phone_number_id).is_some_and(|until| now < *until)
    }

    /// The person stops marketing messages of a number, or resumes them.
    pub(super) fn prefer(&mut self, pair: u64, stop: bool) {
        if !stop {
            self.stopped.remove(&pair);
        } else if self.stopped.len() < PAIRS_MAX {
            self.stopped.insert(pair);
        }
    }

    pub(super) fn has_stopped(&self, pair: u64) -> bool {
        self.stopped.contains(&pair)
    }

    /// May one more person be messaged, when so many different ones may within 24 hours?
    pub(super) fn take_person(&mut self, person: u64, people_max: usize, now: Instant) -> bool {
        if !self.addressed.contains_key(&person) && self.addressed.len() >= people_max.min(PAIRS_MAX) {
            self.addressed.retain(|_, last| now.saturating_duration_since(*last) < WINDOW);
            if self.addressed.len() >= people_max.min(PAIRS_MAX) {
                return false;
            }
        }
        self.addressed.insert(person, now);
        self.stats.people_messaged_first = self.addressed.len() as u64;
        true
    }

    /// One more call of management within an hour; 0 is no limit.
    pub(super) fn take_management_call(&mut self, per_hour: u32, now: Instant) -> bool {
        if per_hour == 0 {
            return true;
        }
        let calls = &mut self.management_calls;
        while calls.front().is_some_and(|call| now.saturating_duration_since(*call) >= ONE_HOUR) {
            calls.pop_front();
        }
        if calls.len() >= per_hour as usize {
            return false;
        }
        calls.push_back(now);
        true
    }

    /// The person wrote: the window is open.
    pub(super) fn open_window(&mut self, pair: u64, now: Instant) {
        if self.windows.len() >= PAIRS_MAX {
            self.windows.retain(|_, opened| now.duration_since(*opened) < WINDOW / 2);
        }
        self.windows.insert(pair, now);
    }

    pub(super) fn window_is_open(&self, pair: u64, now: Instant) -> bool {
        self.windows.get(&pair).is_some_and(|opened| now.duration_since(*opened) < WINDOW)
    }

    /// Counts an accepted message.
    pub(super) fn accept(&mut self, callback_data: Option<u64>) {
        self.stats.sends_accepted += 1;
        let Some(hash) = callback_data else { return };
        if self.callback_data_seen.contains(&hash) {
            self.stats.sends_accepted_twice += 1;
        } else if self.callback_data_seen.len() < MESSAGES_REMEMBERED_MAX {
            self.callback_data_seen.insert(hash);
        }
    }

    pub(super) fn record(&mut self, phone_number_id: &str, recipient: &str, wamid: Option<String>, body: Bytes) {
        if self.sends_kept_max == 0 {
            return;
        }
        if self.sends.len() >= self.sends_kept_max {
            self.sends.pop_front();
        }
        self.sends.push_back(KeptSend {
            phone_number_id: phone_number_id.to_owned(),
            recipient: recipient.to_owned(),
            wamid,
            received_at_unix_ms: unix_now().as_millis() as u64,
            body,
        });
    }

    /// The newest sends to `recipient` (digits), or to everybody, oldest first.
    pub(super) fn sends(&self, recipient: Option<&str>) -> Vec<RecordedSend> {
        let fitting = self.sends.iter().filter(|send| recipient.is_none_or(|wanted| wanted == send.recipient));
        fitting
            .map(|send| RecordedSend {
                phone_number_id: send.phone_number_id.clone(),
                recipient: send.recipient.clone(),
                wamid: send.wamid.clone(),
                received_at_unix_ms: send.received_at_unix_ms,
                body: serde_json::from_slice(&send.body).unwrap_or_default(),
            })
            .collect()
    }

    pub(super) fn reset(&mut self) {
        self.stats = Stats::default();
        self.webhook_answers.0.reset();
        self.callback_data_seen.clear();
        self.sends.clear();
        self.heard.clear();
        self.traffic.values_mut().for_each(|traffic| traffic.peak_per_second = 0);
    }
}

fn forget_before_last_second(times: &mut VecDeque<Instant>, now: Instant) {
    while times.front().is_some_and(|time| now.saturating_duration_since(*time) >= ONE_SECOND) {
        times.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_slides() {
        let start = Instant::now();
        let mut tally = Tally::default();
        let at = |ms| start + Duration::from_millis(ms);

        assert!(tally.take_rate("1001", 2, at(0)) && tally.take_rate("1001", 2, at(600)));
        assert!(!tally.take_rate("1001", 2, at(999)), "a third send within one second");
        assert!(tally.take_rate("1001", 2, at(1000)), "the first one is a second old");
        assert!(!tally.take_rate("1001", 2, at(1500)), "the calendar second does not matter");
        assert!(tally.take_rate("1002", 2, at(1500)), "another number");
    }

    #[test]
    fn the_peak_counts_refused_sends_too() {
        let start = Instant::now();
        let mut tally = Tally::default();
        for ms in [0, 100, 200, 1_150, 3_000] {
            tally.arrive("1001", "919876512345", start + Duration::from_millis(ms));
            tally.leave("919876512345");
        }
        assert_eq!(tally.traffic["1001"].peak_per_second, 3);
        assert_eq!(tally.stats.peak_in_flight_per_recipient, 1);
        assert!(tally.in_flight.is_empty());
    }

    #[test]
    fn one_person_gets_45_at_once_and_then_one_in_six_seconds() {
        let start = Instant::now();
        let mut tally = Tally::default();
        assert_eq!((0..60).filter(|_| tally.take_pair(1, start)).count(), 45);
        assert!(!tally.take_pair(1, start + Duration::from_secs(5)));
        assert!(tally.take_pair(1, start + Duration::from_secs(7)));
    }

    #[test]
    fn a_messaging_limit_counts_people_and_not_messages() {
        let start = Instant::now();
        let mut tally = Tally::default();
        assert!([1, 1, 2, 1].iter().all(|person| tally.take_person(*person, 2, start)));
        assert!(!tally.take_person(3, 2, start));
        assert!(tally.take_person(3, 2, start + WINDOW), "the others were messaged a day ago");
    }
}
