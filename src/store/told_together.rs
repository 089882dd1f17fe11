//! The events that several callback URLs are to hear of, in one list, the newest first.
//!
//! Each URL's events are walked by themselves, in the order of their log, and merged by the time when they were heard. Where a page
//! ends is said by a place for each URL, so the next page begins there whatever happens meanwhile: none is missed, none is told
//! twice, and the clocks of instances may differ. A walk that was put off for lack of time holds back what is older than
//! where it stopped, or it would be told before what that walk is still to find.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    fmt,
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Doing, Store, StoreError, query,
    told::{CallbackFilter, FoundCallback},
};
use crate::domain::{
    callback::Subscription,
    ids::{AccountKey, Place, SubscriptionKey},
    time::UnixMillis,
};

/// URLs that one list is made of.
pub const URLS_TOGETHER_MAX: usize = 40;
/// No walk goes on after this, though each makes a beginning.
const WALKS_TAKE_MAX: Duration = Duration::from_millis(150);

/// A URL whose events are looked through, and which of them are wanted.
#[derive(Clone, Debug)]
pub struct Listener {
    pub subscription: Arc<Subscription>,
    pub cursor: Place,
    pub filter: CallbackFilter,
}

/// How far a list over several URLs has come: only what is older than at these places is still to be listed. A URL that is not
/// among them was not there when the list was begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions(BTreeMap<SubscriptionKey, Place>);

/// As a page's address has it.
impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (key, place)) in self.0.iter().enumerate() {
            write!(f, "{}{key}-{}", if number == 0 { "" } else { "." }, place.0)?;
        }
        Ok(())
    }
}

impl FromStr for Positions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let odd = || format!("{text} is no place in a list: take `next` of the page before");
        let one = |part: &str| {
            let (key, place) = part.split_once('-')?;
            Some((SubscriptionKey(key.parse().ok()?), Place(place.parse().ok().filter(|place: &i64| *place >= 0)?)))
        };
        let positions: Option<BTreeMap<_, _>> = text.split('.').map(one).collect();
        positions.filter(|all| all.len() <= URLS_TOGETHER_MAX).map(Self).ok_or_else(odd)
    }
}

/// A page, and where the next begins.
#[derive(Clone, Debug, Default)]
pub struct FoundTogether {
    pub callbacks: Vec<(Arc<Subscription>, FoundCallback)>,
    /// `None` after the oldest.
    pub next: Option<Positions>,
    /// The page may be short: so far back all URLs were looked through.
    pub back_to: Option<UnixMillis>,
}

/// What was found at one URL, and is not in the list yet.
struct Walk<'a> {
    listener: &'a Listener,
    found: VecDeque<FoundCallback>,
    /// Everything from here on is in the list.
    at: Place,
    /// Where it goes on after what was found.
    next: Option<(Place, UnixMillis)>,
}

impl Walk<'_> {
    /// What is still to be found is no younger than this.
    fn horizon(&self) -> Option<UnixMillis> {
        self.next.filter(|_| self.found.is_empty()).map(|(_, heard_at)| heard_at)
    }

    fn head(&self) -> Option<(UnixMillis, Reverse<SubscriptionKey>)> {
        self.found.front().map(|one| (one.event.recorded_at, Reverse(self.listener.subscription.key)))
    }

    /// Takes the newest into the list.
    fn take(&mut self) -> Option<FoundCallback> {
        let one = self.found.pop_front()?;
        self.at = match (self.found.is_empty(), self.next) {
            (false, _) => one.event.place,
            (true, next) => next.map_or(Place(0), |(place, _)| place),
        };
        Some(one)
    }
}

impl Store {
    /// What became of the events of several URLs; each listener's filter says which.
    pub async fn callbacks_together(
        &self,
        listeners: &[Listener],
        from: Option<&Positions>,
        limit: usize,
    ) -> Result<FoundTogether, StoreError> {
        self.walk_together(listeners, from, (Instant::now() + WALKS_TAKE_MAX, limit)).await
    }

    async fn walk_together(
        &self,
        listeners: &[Listener],
        from: Option<&Positions>,
        (ends, limit): (Instant, usize),
    ) -> Result<FoundTogether, StoreError> {
        let mut spans = BTreeMap::new();
        let mut walks = Vec::with_capacity(listeners.len());
        for listener in listeners.iter().take(URLS_TOGETHER_MAX) {
            let before = match from {
                None => None,
                Some(from) => match from.0.get(&listener.subscription.key) {
                    Some(before) if before.0 > 1 => Some(*before),
                    Some(_) | None => continue,
                },
            };
            walks.push(self.walk_of(listener, before, &mut spans, (ends, limit)).await?);
        }
        Ok(merged(walks, limit))
    }

    async fn walk_of<'a>(
        &self,
        listener: &'a Listener,
        before: Option<Place>,
        spans: &mut BTreeMap<AccountKey, (Place, Place)>,
        (ends, limit): (Instant, usize),
    ) -> Result<Walk<'a>, StoreError> {
        let Listener { subscription, cursor, filter } = listener;
        let places = match (filter.places, filter.since.is_some() || filter.until.is_some()) {
            (None, true) => Some(self.span_of(subscription, filter, spans).await?),
            (places, _) => places,
        };
        let filter = CallbackFilter { before, places, ends: Some(ends), ..filter.clone() };
        let found = self.callbacks_of(subscription, *cursor, &filter, limit).await?;
        let next = match found.next {
            Some(next) => self.heard_before(subscription.account, next).await?.map(|heard_at| (next, heard_at)),
            None => None,
        };
        let found = VecDeque::from(found.callbacks);
        let at = match (found.front(), next) {
            (Some(newest), _) => Place(newest.event.place.0.saturating_add(1)),
            (None, next) => next.map_or(Place(0), |(place, _)| place),
        };
        Ok(Walk { listener, found, at, next })
    }

    /// The places of a time, which is the same for all URLs of an account: looked up once.
    async fn span_of(
        &self,
        subscription: &Subscription,
        filter: &CallbackFilter,
        spans: &mut BTreeMap<AccountKey, (Place, Place)>,
    ) -> Result<(Place, Place), StoreError> {
        if let Some(span) = spans.get(&subscription.account) {
            return Ok(*span);
        }
        let first = match filter.since {
            Some(since) => self.place_near(subscription, since, -1).await?,
            None => Place(1),
        };
        let last = match filter.until {
            Some(until) => self.place_near(subscription, until, 1).await?,
            None => Place(i64::MAX),
        };
        spans.insert(subscription.account, (first, last));
        Ok((first, last))
    }

    /// When the newest event before a place was heard.
    async fn heard_before(&self, account: AccountKey, before: Place) -> Result<Option<UnixMillis>, StoreError> {
        let sql = "SELECT recorded_at FROM events WHERE account = $1 AND place < $2 ORDER BY place DESC LIMIT 1";
        let rows = query(self.reader(), sql, vec![account.0.into(), before.0.into()]).await;
        let read =
            rows.and_then(|rows| rows.first().map(|row| row.try_get("", "recorded_at").map(UnixMillis)).transpose());
        read.doing("read how far back a log was looked through")
    }
}

fn merged(mut walks: Vec<Walk<'_>>, limit: usize) -> FoundTogether {
    let mut callbacks = Vec::new();
    let mut back_to = None;
    while callbacks.len() < limit {
        back_to = walks.iter().filter_map(Walk::horizon).max();
        let newest = walks.iter_mut().filter(|walk| walk.head().is_some()).max_by_key(|walk| walk.head());
        let Some(walk) = newest else { break };
        if walk.head().zip(back_to).is_some_and(|((heard_at, _), back_to)| heard_at < back_to) {
            break;
        }
        let subscription = walk.listener.subscription.clone();
        callbacks.extend(walk.take().map(|one| (subscription, one)));
    }
    let goes_on = walks.iter().any(|walk| walk.at.0 > 1);
    let positions = walks.iter().map(|walk| (walk.listener.subscription.key, walk.at)).collect();
    let is_short = callbacks.len() < limit;
    FoundTogether { callbacks, next: goes_on.then_some(Positions(positions)), back_to: back_to.filter(|_| is_short) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{callback::EventKind, ids::SenderKey},
        store::{
            events::{NewEvent, append},
            testing::on_each_database,
            told::WantedStanding,
        },
    };

    const ACCOUNT: AccountKey = AccountKey(1);

    async fn happen(store: &Store, kind: EventKind, count: usize, heard_at: i64) {
        let event = |number| NewEvent {
            account: ACCOUNT,
            sender: SenderKey(1),
            kind,
            message: None,
            status: None,
            occurred_at: UnixMillis(1),
            failure: None,
            provider_message_id: (kind == EventKind::Inbound).then(|| format!("wamid.{number}")),
            person: None,
            entry: Some("{}".to_owned()),
            tapped: None,
        };
        let transaction = store.begin().await.expect("a transaction");
        let events = (0..count).map(event).collect();
        append(&transaction, events, UnixMillis(heard_at)).await.expect("written");
        transaction.commit().await.expect("a commit");
    }

    fn listener(key: i32, kind: EventKind, wanted: WantedStanding) -> Listener {
        let subscription = Subscription {
            key: SubscriptionKey(key),
            account: ACCOUNT,
            kind,
            sender: None,
            webhook: None,
            dialect: "clevertap".to_owned(),
            url: "https://example.com/".into(),
            hold: None,
            is_on: true,
        };
        let filter = CallbackFilter { wanted: Some(wanted), ..CallbackFilter::default() };
        Listener { subscription: Arc::new(subscription), cursor: Place(1_000_000), filter }
    }

    #[tokio::test]
    async fn what_is_older_than_where_a_walk_stopped_for_lack_of_time_comes_when_that_is_done() {
        on_each_database(|store| async move {
            happen(&store, EventKind::Inbound, 10, 1_000).await;
            happen(&store, EventKind::Outgoing, 300, 2_000).await;
            // Of a platform's URL nothing is ever passed over, so that walk finds nothing, and has no time.
            let listeners = [
                listener(1, EventKind::Outgoing, WantedStanding::PassedOver),
                listener(2, EventKind::Inbound, WantedStanding::Delivered),
            ];
            let (mut from, mut pages): (Option<Positions>, Vec<Vec<i64>>) = (None, vec![]);

            loop {
                let limit = (Instant::now(), 100);
                let found = store.walk_together(&listeners, from.as_ref(), limit).await.expect("readable");
                assert!(found.next.is_none() || found.back_to.is_some(), "a short page says how far it looked");
                pages.push(found.callbacks.iter().map(|(_, one)| one.event.place.0).collect());
                from = found.next;
                if from.is_none() {
                    break;
                }
            }

            let (last, before) = pages.split_last().expect("a page");
            assert_eq!(last, &(1..=10).rev().collect::<Vec<i64>>(), "each once, the newest first");
            assert!(before.len() >= 2 && before.iter().all(Vec::is_empty), "held back until then: {before:?}");
        })
        .await;
    }

    #[test]
    fn a_position_is_read_as_it_is_written() {
        let positions = Positions([(3, 120), (14, 0)].map(|(key, place)| (SubscriptionKey(key), Place(place))).into());
        assert_eq!(positions.to_string(), "3-120.14-0");
        assert_eq!("3-120.14-0".parse(), Ok(positions));
        for odd in ["", "3", "3-x", "3--1", "3-1.", "x-1"] {
            assert!(odd.parse::<Positions>().is_err(), "{odd}");
        }
    }
}
