//! The memory that the parts of the simulator share, and what it counts.
//!
//! Everything is bounded: what grows with the number of messages is a few bytes for each, up to a named limit; what
//! is kept whole is the newest part. Locks are held for moments and never across a wait.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::sync::Notify;

use super::{
    SimulatedSender, SimulatorSettings,
    clevertap::CallbackBook,
    gallabox_lists::Said,
    knobs::Knobs,
    media::MediaShelf,
    nodes::Nodes,
    rules::{Rule, RuleBook},
    tally::{Stats, Tally},
    templates::TemplateList,
    timeline::Playing,
    webhooks::Queue,
};

/// Numbers that appear without being configured.
const INVENTED_SENDERS_MAX: usize = 10_000;

pub(super) struct World {
    knobs: RwLock<Arc<Knobs>>,
    templates: RwLock<Arc<TemplateList>>,
    rules: Mutex<RuleBook>,
    tally: Mutex<Tally>,
    pub(super) queue: Queue,
    callbacks: Mutex<CallbackBook>,
    senders: HashMap<String, Arc<SimulatedSender>>,
    /// Numbers that were named, where none was configured.
    invented: Mutex<HashMap<String, Arc<SimulatedSender>>>,
    nodes: Mutex<Nodes>,
    media: Mutex<MediaShelf>,
    client: reqwest::Client,
    own_url: OnceLock<String>,
    playing: Mutex<Playing>,
    subscribe_calls: AtomicU64,
    /// What was said, for dialects that can be asked for it.
    said: Mutex<VecDeque<Said>>,
    /// Told after every change of a counter.
    changed: Notify,
    wamids: AtomicU64,
    run: u64,
    hasher: RandomState,
}

impl World {
    pub(super) fn new(
        settings: SimulatorSettings,
        templates: TemplateList,
        rules: Vec<Rule>,
        client: reqwest::Client,
    ) -> Self {
        let senders =
            settings.senders.into_iter().map(|sender| (sender.phone_number_id.clone(), Arc::new(sender))).collect();
        let run = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
        Self {
            knobs: RwLock::new(Arc::new(settings.knobs)),
            templates: RwLock::new(Arc::new(templates)),
            rules: Mutex::new(RuleBook::new(rules, settings.seed)),
            tally: Mutex::new(Tally::new(settings.sends_kept_max)),
            queue: Queue::default(),
            callbacks: Mutex::new(CallbackBook::new(settings.callbacks_kept_max, settings.seed)),
            senders,
            invented: Mutex::default(),
            nodes: Mutex::default(),
            media: Mutex::default(),
            client,
            own_url: OnceLock::new(),
            playing: Mutex::default(),
            subscribe_calls: AtomicU64::new(0),
            said: Mutex::default(),
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

    pub(super) fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().expect(UNPOISONED)
    }

    pub(super) fn media(&self) -> MutexGuard<'_, MediaShelf> {
        self.media.lock().expect(UNPOISONED)
    }

    /// What was said, the oldest first.
    pub(super) fn said(&self) -> MutexGuard<'_, VecDeque<Said>> {
        self.said.lock().expect(UNPOISONED)
    }

    /// The scenario.
    pub(super) fn playing(&self) -> MutexGuard<'_, Playing> {
        self.playing.lock().expect(UNPOISONED)
    }

    /// Calls of CleverTap's Subscribe API that wait for an answer.
    pub(super) fn subscribe_calls(&self) -> &AtomicU64 {
        &self.subscribe_calls
    }

    /// For webhooks and handshakes.
    pub(super) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    pub(super) fn set_own_url(&self, url: &str) {
        drop(self.own_url.set(url.to_owned()));
    }

    /// Where this simulator listens.
    pub(super) fn own_url(&self) -> &str {
        self.own_url.get().map_or("", String::as_str)
    }

    /// A number of this run.
    pub(super) fn run(&self) -> u64 {
        self.run
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
        // First: what waits no more is counted in what is read after it.
        let updates_waiting = self.queue.waiting();
        let mut stats = {
            let tally = self.tally();
            Stats {
                peak_sends_per_second: tally.peaks(),
                webhook_answers: tally.webhook_answers(),
                ..tally.stats.clone()
            }
        };
        stats.updates_waiting = updates_waiting;
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
        let mut invented = self.invented.lock().expect(UNPOISONED);
        if let Some(known) = invented.get(phone_number_id) {
            return Some(Arc::clone(known));
        }
        if invented.len() >= INVENTED_SENDERS_MAX || !is_an_id(phone_number_id) {
            return None;
        }
        let sender = Arc::new(SimulatedSender {
            phone_number_id: phone_number_id.to_owned(),
            display_number: phone_number_id.to_owned(),
            waba_id: INVENTED_WABA_ID.to_owned(),
            messages_per_second: None,
        });
        invented.insert(phone_number_id.to_owned(), Arc::clone(&sender));
        Some(sender)
    }

    /// The number with this id; of no id, the first that is known.
    pub(super) fn sender_or_first(&self, phone_number_id: &str) -> Option<Arc<SimulatedSender>> {
        if !phone_number_id.is_empty() {
            return self.sender(phone_number_id);
        }
        let invented = || self.invented.lock().expect(UNPOISONED).keys().min().cloned();
        let first = self.senders.keys().min().cloned().or_else(invented);
        self.sender(first.as_deref().unwrap_or(INVENTED_PHONE_NUMBER_ID))
    }

    /// The numbers of a business account that are known by now, in order of their ids.
    pub(super) fn senders_of(&self, waba_id: &str) -> Vec<Arc<SimulatedSender>> {
        let mut senders: Vec<_> = self.senders.values().cloned().collect();
        senders.extend(self.invented.lock().expect(UNPOISONED).values().cloned());
        senders.retain(|sender| sender.waba_id == waba_id);
        senders.sort_by(|left, right| left.phone_number_id.cmp(&right.phone_number_id));
        senders
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
        let number = self.new_number();
        format!("wamid.{}", STANDARD.encode(format!("{person}\u{15}{:x}\u{12}{number:x}", self.run)))
    }

    /// Every time another one.
    pub(super) fn new_number(&self) -> u64 {
        self.wamids.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn hash(&self, parts: impl std::hash::Hash) -> u64 {
        self.hasher.hash_one(parts)
    }
}

/// The number that is meant when nobody has named one.
const INVENTED_PHONE_NUMBER_ID: &str = "100000000000001";
/// The business account of numbers that were not configured.
pub(super) const INVENTED_WABA_ID: &str = "200000000000001";
const UNPOISONED: &str = "nobody panics while holding this lock";

fn is_an_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The digits of a number as somebody typed it.
pub(super) fn digits(number: &str) -> String {
    number.chars().filter(char::is_ascii_digit).collect()
}

pub(super) fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
