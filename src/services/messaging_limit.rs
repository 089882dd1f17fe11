//! Keeping to the messaging limit: to how many people the numbers of one portfolio may write first within 24 hours.
//!
//! The provider says how large the limit is ([`Channels`](super::channels)), and nobody says how much of it is used, so every
//! instance counts for itself, in memory. What it noted it writes down a moment later, many people in one row
//! ([`recent_people`](crate::store::recent_people)); from there it is read after a restart, and by other instances.
//! What is not known costs nothing: numbers without a limit, or with one that is not known, are not counted.
//!
//! **How exact.** A crash forgets what was noted within the last [`WRITE_EVERY`]. Instances that share a portfolio hear of each
//! other after [`FOLLOW_EVERY`]; at the very end of a limit they may together write to as many too many as leave meanwhile.
//! Then the provider has the last word. People stay counted whom a message did not reach: it errs on the safe side.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use super::directory::Directory;
use crate::{
    clock,
    domain::{
        account::Sender,
        channel::MessagingLimit,
        ids::{MessageId, MessageIds, SenderKey},
        messaging_limit::{Contact, CountedPeople, DAY, OpenWindows, PEOPLE_COUNTED_MAX, Sharing},
        outbound::Category,
        phone::PhoneNumber,
        suppression::PersonHasher,
        time::UnixMillis,
    },
    pulse::Pulse,
    store::{Store, StoreError, channels::Channel, outbound::QueuedMessage, recent_people::RecentPeople},
    telemetry,
};

/// How often what was noted is written down.
const WRITE_EVERY: Duration = Duration::from_millis(250);
/// How often to look what other instances noted, and whether limits have changed.
const FOLLOW_EVERY: Duration = Duration::from_secs(2);
/// Rows of other instances appear in the order of their commits and not of their ids, and clocks differ.
const FOLLOW_OVERLAP: Duration = Duration::from_secs(30);
/// Rows read at once.
const PAGE: usize = 2_000;
/// People in one row.
const ROW_PEOPLE_MAX: usize = 4_096;
/// People noted and not written down, while the database does not answer. Beyond it they are counted in memory only.
const UNWRITTEN_MAX: usize = 200_000;

/// A portfolio's name, and how many people its numbers may write to first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Limit {
    portfolio: Arc<str>,
    people_max: u64,
}

type Limits = HashMap<SenderKey, Limit>;

pub struct MessagingLimits {
    store: Store,
    directory: Arc<Directory>,
    ids: Arc<MessageIds>,
    hasher: PersonHasher,
    /// Of numbers that have one.
    limits: ArcSwap<Limits>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    portfolios: HashMap<Arc<str>, CountedPeople>,
    windows: OpenWindows,
    unwritten: BTreeMap<(SenderKey, Contact), Vec<u64>>,
    /// How many people are in it.
    unwritten_count: usize,
}

impl MessagingLimits {
    /// Reads what the limits are and who was written to within the last day.
    pub async fn load(store: Store, directory: Arc<Directory>, ids: Arc<MessageIds>) -> Result<Self, StoreError> {
        let limits = Self {
            hasher: store.person_hasher().await?.clone(),
            store,
            directory,
            ids,
            limits: ArcSwap::default(),
            held: Mutex::default(),
        };
        limits.refresh(clock::now()).await?;
        Ok(limits)
    }

    /// Whether people are counted to whom this number writes.
    pub fn applies_to(&self, sender: SenderKey) -> bool {
        self.limits.load().contains_key(&sender)
    }

    /// How many people the number may write to first within a day, together with others of its portfolio.
    pub fn people_max(&self, sender: SenderKey) -> Option<u64> {
        self.limits.load().get(&sender).map(|limit| limit.people_max)
    }

    /// How a number stands, by what this instance counted; `waiting` are its messages that wait for a place.
    pub fn standing(&self, sender: SenderKey, waiting: i64, now: UnixMillis) -> Option<LimitUse> {
        let limits = self.limits.load();
        let Limit { people_max, portfolio } = limits.get(&sender)?;
        let mut held = self.held();
        let counted = held.portfolios.entry(portfolio.clone()).or_default();
        let next_free_at = counted.next_free(*people_max, now);
        Some(LimitUse { people_max: *people_max, people: counted.taken(), next_free_at, waiting })
    }

    /// Whether the message may go now. If it needs a place it has one from now on, until it is [let go](Self::let_go).
    pub fn admit(&self, sender: SenderKey, message: &QueuedMessage, now: UnixMillis) -> bool {
        let limits = self.limits.load();
        let Some(limit) = limits.get(&sender).filter(|_| begins_a_conversation(message.category)) else { return true };
        let person = self.hasher.of_phone(&message.recipient).half();
        let mut held = self.held();
        if held.windows.is_open(sender, person, now) {
            return true;
        }
        let counted = held.portfolios.entry(limit.portfolio.clone()).or_default();
        counted.reserve(person, message.id, limit.people_max, now)
    }

    /// The provider took the message, or may have.
    pub fn sent(&self, sender: SenderKey, message: &QueuedMessage, now: UnixMillis) {
        let limits = self.limits.load();
        let Some(limit) = limits.get(&sender).filter(|_| begins_a_conversation(message.category)) else { return };
        let person = self.hasher.of_phone(&message.recipient).half();
        let mut held = self.held();
        if held.windows.is_open(sender, person, now) {
            return;
        }
        if held.portfolios.entry(limit.portfolio.clone()).or_default().note(person, now) {
            held.write_down(sender, Contact::Business, person);
        }
    }

    /// The message is not on its way any more, whatever became of it.
    pub fn let_go(&self, sender: SenderKey, message: MessageId) {
        let limits = self.limits.load();
        let Some(limit) = limits.get(&sender) else { return };
        if let Some(counted) = self.held().portfolios.get_mut(&limit.portfolio) {
            counted.let_go(message);
        }
    }

    /// The person wrote to the number: for a day answers cost no place.
    pub fn person_wrote(&self, sender: SenderKey, person: &PhoneNumber, now: UnixMillis) {
        let person = self.hasher.of_phone(person).half();
        let mut held = self.held();
        if held.windows.open(sender, person, now) {
            held.write_down(sender, Contact::Person, person);
        }
    }

    /// How many more people the number may write to first now; `u64::MAX` when nobody counts.
    pub fn free_places(&self, sender: SenderKey, now: UnixMillis) -> u64 {
        let limits = self.limits.load();
        let Some(limit) = limits.get(&sender) else { return u64::MAX };
        let mut held = self.held();
        held.portfolios.get_mut(&limit.portfolio).map_or(limit.people_max, |it| it.free(limit.people_max, now))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what is noted, and follows others, until `stop`.
    pub async fn follow(&self, stop: &CancellationToken, pulse: Pulse) {
        let mut followed_at = Instant::now();
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(WRITE_EVERY) => {}
            }
            let mut done = self.write().await;
            if followed_at.elapsed() >= FOLLOW_EVERY {
                followed_at = Instant::now();
                done = done.and(self.refresh(clock::now()).await);
            }
            match done {
                Ok(()) => pulse.beat(),
                Err(error) => {
                    tracing::error!(error = %telemetry::Chain(&error), "could not keep count of the messaging limit");
                }
            }
        }
        pulse.end();
    }

    /// Writes down what is noted. Also called when all else has stopped.
    pub async fn write(&self) -> Result<(), StoreError> {
        let noted = {
            let mut held = self.held();
            held.unwritten_count = 0;
            std::mem::take(&mut held.unwritten)
        };
        if noted.is_empty() {
            return Ok(());
        }
        let now = clock::now();
        let rows: Vec<RecentPeople> = noted
            .iter()
            .flat_map(|((sender, contact), people)| {
                people.chunks(ROW_PEOPLE_MAX).map(|people| RecentPeople {
                    id: self.ids.next(now),
                    sender: *sender,
                    contact: *contact,
                    people: people.to_vec(),
                })
            })
            .collect();
        let written = self.store.add_recent_people(&rows).await;
        if written.is_err() {
            let mut held = self.held();
            for ((sender, contact), people) in noted {
                people.into_iter().for_each(|person| held.write_down(sender, contact, person));
            }
        }
        written
    }

    /// Reads the limits anew, and what others noted.
    pub async fn refresh(&self, now: UnixMillis) -> Result<(), StoreError> {
        let channels = self.store.channels().await?;
        let snapshot = self.directory.snapshot();
        let limits = limits_of(snapshot.senders().map(Arc::as_ref), &channels);
        let began = self.take_over(limits);
        if began {
            self.learn(now.minus(DAY), now).await
        } else if self.limits.load().is_empty() || self.store.is_sqlite() {
            Ok(()) // Nobody else writes.
        } else {
            self.learn(now.minus(FOLLOW_OVERLAP), now).await
        }
    }

    /// Whether something is counted now that was not before. What is not any more is forgotten.
    fn take_over(&self, limits: Limits) -> bool {
        let before = self.limits.load();
        if **before == limits {
            return false;
        }
        let mut held = self.held();
        let portfolios: BTreeMap<Arc<str>, u64> =
            limits.values().map(|limit| (limit.portfolio.clone(), limit.people_max)).collect();
        held.portfolios.retain(|portfolio, _| portfolios.contains_key(portfolio));
        let mut began = limits.keys().any(|sender| !before.contains_key(sender));
        for (portfolio, people_max) in portfolios {
            if let Entry::Vacant(vacant) = held.portfolios.entry(portfolio) {
                began = true;
                tracing::info!(
                    "the messaging limit of {} is {people_max} people a day; they are counted",
                    vacant.key()
                );
                vacant.insert(CountedPeople::default());
            }
        }
        drop(held);
        self.limits.store(Arc::new(limits));
        began
    }

    async fn learn(&self, since: UnixMillis, now: UnixMillis) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = self.store.recent_people(since, after, PAGE).await?;
            after = page.last().map(|row| row.id);
            let limits = self.limits.load_full();
            let mut held = self.held();
            for row in &page {
                held.learn(row, &limits, now);
            }
            drop(held);
            if page.len() < PAGE {
                return Ok(());
            }
        }
    }
}

impl Held {
    fn write_down(&mut self, sender: SenderKey, contact: Contact, person: u64) {
        if self.unwritten_count < UNWRITTEN_MAX {
            self.unwritten_count += 1;
            self.unwritten.entry((sender, contact)).or_default().push(person);
        }
    }

    fn learn(&mut self, row: &RecentPeople, limits: &Limits, now: UnixMillis) {
        let Some(limit) = limits.get(&row.sender) else { return };
        // Another instance's clock may be ahead.
        let at = row.id.made_at().min(now);
        match row.contact {
            Contact::Business => {
                let counted = self.portfolios.entry(limit.portfolio.clone()).or_default();
                row.people.iter().for_each(|person| {
                    counted.note(*person, at);
                });
            }
            Contact::Person => row.people.iter().for_each(|person| {
                self.windows.open(row.sender, *person, at);
            }),
        }
    }
}

/// Freeform messages only go to people with an open window, and one whose template is looked up first does not go yet.
fn begins_a_conversation(category: Category) -> bool {
    match category {
        Category::Freeform | Category::NotKnownYet => false,
        Category::Authentication | Category::Utility | Category::Marketing => true,
    }
}

/// What the provider allows each number of those that are counted, as it last said of any number of the same portfolio.
fn limits_of<'a>(senders: impl Iterator<Item = &'a Sender>, channels: &BTreeMap<SenderKey, Channel>) -> Limits {
    let mut portfolios: HashMap<Arc<str>, (UnixMillis, &MessagingLimit)> = HashMap::new();
    let mut members = Vec::new();
    for sender in senders {
        let Some(portfolio) = portfolio_of(sender) else { continue };
        members.push((sender.key, portfolio.clone()));
        let Some((read_at, state)) = channels.get(&sender.key).and_then(|channel| channel.state.as_ref()) else {
            continue;
        };
        // A word that this version does not know says nothing.
        if let Some(limit @ (MessagingLimit::People(_) | MessagingLimit::Unlimited)) = &state.messaging_limit {
            let newest = portfolios.entry(portfolio).or_insert((*read_at, limit));
            if newest.0 < *read_at {
                *newest = (*read_at, limit);
            }
        }
    }
    let counted = |(sender, portfolio): (SenderKey, Arc<str>)| match portfolios.get(&portfolio)?.1 {
        MessagingLimit::People(people_max) if *people_max <= PEOPLE_COUNTED_MAX => {
            Some((sender, Limit { people_max: *people_max, portfolio }))
        }
        MessagingLimit::People(_) | MessagingLimit::Unlimited | MessagingLimit::Other(_) => None,
    };
    members.into_iter().filter_map(counted).collect()
}

fn portfolio_of(sender: &Sender) -> Option<Arc<str>> {
    let connection = &sender.connection;
    match Sharing::parse(connection.setting(Sharing::SETTING)).unwrap_or(Sharing::BusinessAccount) {
        Sharing::BusinessAccount => {
            Some(format!("business account {} at {}", sender.provider_account_id, connection.provider).into())
        }
        Sharing::Connection => Some(format!("connection {}", connection.id).into()),
        Sharing::Off => None,
    }
}

/// How a number stands with its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitUse {
    /// How many people may be written to first within a day.
    pub people_max: u64,
    /// How many were, by all numbers of the portfolio.
    pub people: u64,
    /// When the next place becomes free; `None` when one is.
    pub next_free_at: Option<UnixMillis>,
    /// Messages of this number that wait for a place.
    pub waiting: i64,
}

impl LimitUse {
    /// Whether messages wait because of it.
    pub fn holds_back(&self) -> bool {
        self.waiting > 0 && self.next_free_at.is_some()
    }

    /// How the number stands, in words.
    pub fn told(&self) -> String {
        let Self { people_max, people, next_free_at, waiting } = self;
        let Some(next) = next_free_at else {
            return format!("{people} of {people_max} people were written to first within 24 hours");
        };
        let waiting = match waiting {
            0 => "none waits".to_owned(),
            1 => "1 message waits".to_owned(),
            waiting => format!("{waiting} messages wait"),
        };
        let next = UnixMillis::from_seconds(next.as_seconds()).to_string().replace(".000Z", "Z");
        format!(
            "the messaging limit of {people_max} new people within 24 hours is reached ({people} were written to): {waiting}, the \
             next place is free at {next}"
        )
    }
}

/// How the numbers stand whose limit is counted, by what is written down.
pub async fn limit_use<'a>(
    store: &Store,
    senders: impl Iterator<Item = &'a Sender>,
    channels: &BTreeMap<SenderKey, Channel>,
    now: UnixMillis,
) -> Result<BTreeMap<SenderKey, LimitUse>, StoreError> {
    let limits = limits_of(senders, channels);
    if limits.is_empty() {
        return Ok(BTreeMap::new());
    }
    let waiting = store.waiting_for_place().await?;
    let mut held = Held::default();
    let mut after = None;
    loop {
        let page = store.recent_people(now.minus(DAY), after, PAGE).await?;
        after = page.last().map(|row| row.id);
        page.iter().filter(|row| row.contact == Contact::Business).for_each(|row| held.learn(row, &limits, now));
        if page.len() < PAGE {
            break;
        }
    }
    let used = |(sender, Limit { portfolio, people_max }): (SenderKey, Limit)| {
        let counted = held.portfolios.entry(portfolio).or_default();
        let next_free_at = counted.next_free(people_max, now);
        let waiting = waiting.get(&sender).copied().unwrap_or(0);
        (sender, LimitUse { people_max, people: counted.taken(), next_free_at, waiting })
    };
    Ok(limits.into_iter().map(used).collect())
}

#[cfg(test)]
mod tests;
