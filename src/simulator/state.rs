//! The memory that the parts of the simulator share, and what it counts.
//!
//! Everything is bounded: what grows with the number of messages is a few bytes for each, up to a named limit; what
//! is kept whole is the newest part. Locks are held for moments and never across a wait.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Notify;

use super::{
    SimulatedSender, SimulatorSettings,
    clevertap::{CallbackBook, CallbackStats},
    knobs::{Knobs, Rule, RuleBook},
    templates::TemplateList,
    webhooks::Queue,
};

/// Beyond this many messages repeats are no longer noticed.
const MESSAGES_REMEMBERED_MAX: usize = 2_000_000;
/// Numbers that appear without being configured.
const INVENTED_SENDERS_MAX: usize = 10_000;
/// Open 24 hour windows, and pairs of a number and a person whose rate is watched.
const PAIRS_MAX: usize = 1_000_000;
const WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
const PAIR_BURST: f64 = 45.0;
const PAIR_REFILL_PER_S: f64 = 1.0 / 6.0;
const ONE_SECOND: Duration = Duration::from_secs(1);

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
    pub messages_marked_read: u64,
    /// Most sends of each phone number id in any sliding second, refused ones included.
    pub peak_sends_per_second: BTreeMap<String, u64>,
    /// Most sends to one person that waited for an answer at a time. A thread answers one after the other: without an
    /// `answer_delay_ms` those that were sent together may not be seen together.
    pub peak_in_flight_per_recipient: u64,
    pub template_pages: u64,
    /// Webhooks answered with 200.
    pub webhooks_taken: u64,
    /// Webhooks answered otherwise or not at all; each is posted again.
    pub webhooks_refused: u64,
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

/// An accepted or refused send, as it came.
#[derive(Clone, Debug, Serialize)]
pub struct RecordedSend {
    pub phone_number_id: String,
    /// Digits.
    pub recipient: String,
    /// `None` when it was refused.
    pub wamid: Option<String>,
    pub body: Value,
}

pub(super) struct World {
    knobs: RwLock<Arc<Knobs>>,
    templates: RwLock<Arc<TemplateList>>,
    rules: Mutex<RuleBook>,
    tally: Mutex<Tally>,
    pub(super) queue: Queue,
    callbacks: Mutex<CallbackBook>,
    senders: HashMap<String, Arc<SimulatedSender>>,
    /// Told after every change of a counter.
    changed: Notify,
    wamids: AtomicU64,
    run: u64,
    hasher: RandomState,
}

impl World {
    pub(super) fn new(settings: SimulatorSettings, templates: TemplateList, rules: Vec<Rule>) -> Self {
        let senders =
            settings.senders.into_iter().map(|sender| (sender.phone_number_id.clone(), Arc::new(sender))).collect();
        let run = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
        Self {
            knobs: RwLock::new(Arc::new(settings.knobs)),
            templates: RwLock::new(Arc::new(templates)),
            rules: Mutex::new(RuleBook::new(rules, settings.seed)),
            tally: Mutex::new(Tally { sends_kept_max: settings.sends_kept_max, ..Tally::default() }),
            queue: Queue::default(),
            callbacks: Mutex::new(CallbackBook::new(settings.callbacks_kept_max, settings.seed)),
            senders,
            changed: Notify::new(),
            wamids: AtomicU64::new(1),
            run,
            hasher: RandomState::new(),
        }
    }

    pub(super) fn knobs(&self) -> Arc<Knobs> {
        Arc::clone(&self.knobs.read().expect(UNPOISONED))
    }

    /// Changes the knobs, or nothing if the result cannot work.
    pub(super) fn change_knobs(&self, change: impl FnOnce(&mut Knobs)) -> Result<(), String> {
        {
            let mut current = self.knobs.write().expect(UNPOISONED);
            let mut knobs = Knobs::clone(&current);
            change(&mut knobs);
            knobs.validate()?;
            *current = Arc::new(knobs);
        }
        self.queue.wake();
        Ok(())
    }

    pub(super) fn templates(&self) -> Arc<TemplateList> {
        Arc::clone(&self.templates.read().expect(UNPOISONED))
    }

    pub(super) fn set_templates(&self, list: TemplateList) {
        *self.templates.write().expect(UNPOISONED) = Arc::new(list);
    }

    pub(super) fn rules(&self) -> MutexGuard<'_, RuleBook> {
        self.rules.lock().expect(UNPOISONED)
    }

    pub(super) fn callbacks(&self) -> MutexGuard<'_, CallbackBook> {
        self.callbacks.lock().expect(UNPOISONED)
    }

    /// The counters and their kin. Whoever changed something says so with [`Self::tell`].
    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().expect(UNPOISONED)
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.tally().stats);
        self.tell();
    }

    pub(super) fn tell(&self) {
        self.changed.notify_waiters();
    }

    pub(super) fn changed(&self) -> &Notify {
        &self.changed
    }

    pub(super) fn stats(&self) -> Stats {
        let mut stats = {
            let tally = self.tally();
            let peaks = tally.traffic.iter().map(|(number, traffic)| (number.clone(), traffic.peak_per_second));
            Stats { peak_sends_per_second: peaks.collect(), ..tally.stats.clone() }
        };
        stats.updates_waiting = self.queue.waiting();
        stats.clevertap = self.callbacks().stats();
        stats
    }

    /// Counts from zero again. Knobs, rules, templates and open windows stay; what waits is still posted.
    pub(super) fn reset(&self) {
        self.tally().reset();
        self.callbacks().reset();
        self.tell();
    }

    /// The number with this id. Where none was configured, every id is a number.
    pub(super) fn sender(&self, phone_number_id: &str) -> Option<Arc<SimulatedSender>> {
        if !self.senders.is_empty() {
            return self.senders.get(phone_number_id).cloned();
        }
        let mut tally = self.tally();
        if let Some(known) = tally.invented.get(phone_number_id) {
            return Some(Arc::clone(known));
        }
        if tally.invented.len() >= INVENTED_SENDERS_MAX || !phone_number_id.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let sender = Arc::new(SimulatedSender {
            phone_number_id: phone_number_id.to_owned(),
            display_number: phone_number_id.to_owned(),
            waba_id: INVENTED_WABA_ID.to_owned(),
            messages_per_second: None,
        });
        tally.invented.insert(phone_number_id.to_owned(), Arc::clone(&sender));
        Some(sender)
    }

    /// The business accounts of all known numbers.
    pub(super) fn waba_ids(&self) -> BTreeSet<String> {
        if self.senders.is_empty() {
            return BTreeSet::from([INVENTED_WABA_ID.to_owned()]);
        }
        self.senders.values().map(|sender| sender.waba_id.clone()).collect()
    }

    /// A new message id, as opaque as Meta's.
    pub(super) fn new_wamid(&self, person: &str) -> String {
        let number = self.wamids.fetch_add(1, Ordering::Relaxed);
        format!("wamid.{}", STANDARD.encode(format!("{person}\u{15}{:x}\u{12}{number:x}", self.run)))
    }

    pub(super) fn hash(&self, parts: impl std::hash::Hash) -> u64 {
        self.hasher.hash_one(parts)
    }
}

/// The business account of numbers that were not configured.
pub(super) const INVENTED_WABA_ID: &str = "200000000000001";
const UNPOISONED: &str = "nobody panics while holding this lock";

#[derive(Default)]
pub(super) struct Tally {
    pub(super) stats: Stats,
    traffic: HashMap<String, Traffic>,
    in_flight: HashMap<String, u64>,
    callback_data_seen: HashSet<u64>,
    windows: HashMap<u64, Instant>,
    pairs: HashMap<u64, (f64, Instant)>,
    invented: HashMap<String, Arc<SimulatedSender>>,
    sends: VecDeque<(String, String, Option<String>, Bytes)>,
    sends_kept_max: usize,
}

/// The last second of one number.
#[derive(Default)]
struct Traffic {
    arrivals: VecDeque<Instant>,
    passed: VecDeque<Instant>,
    peak_per_second: u64,
}

impl Tally {
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
        self.sends.push_back((phone_number_id.to_owned(), recipient.to_owned(), wamid, body));
    }

    /// The newest sends to `recipient` (digits), or to everybody, oldest first.
    pub(super) fn sends(&self, recipient: Option<&str>) -> Vec<RecordedSend> {
        let fitting = self.sends.iter().filter(|(_, person, ..)| recipient.is_none_or(|wanted| wanted == person));
        fitting
            .map(|(phone_number_id, recipient, wamid, body)| RecordedSend {
                phone_number_id: phone_number_id.clone(),
                recipient: recipient.clone(),
                wamid: wamid.clone(),
                body: serde_json::from_slice(body).unwrap_or_default(),
            })
            .collect()
    }

    fn reset(&mut self) {
        self.stats = Stats::default();
        self.callback_data_seen.clear();
        self.sends.clear();
        self.traffic.values_mut().for_each(|traffic| traffic.peak_per_second = 0);
    }
}

fn forget_before_last_second(times: &mut VecDeque<Instant>, now: Instant) {
    while times.front().is_some_and(|time| now.saturating_duration_since(*time) >= ONE_SECOND) {
        times.pop_front();
    }
}

/// The digits of a number as somebody typed it.
pub(super) fn digits(number: &str) -> String {
    number.chars().filter(char::is_ascii_digit).collect()
}

pub(super) fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
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
}
