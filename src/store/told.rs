//! The events that a callback URL is to hear of, the newest first, and what became of each.
//!
//! Only what needs care has a row: what lies beyond the cursor is owed, what lies in a range of those left behind is dead or was
//! not relayed, and the rest was delivered. So the log is walked backwards, in slices and for a limited time.
//!
//! A webhook's cursor also passes what it does not want, and what happened while it was off or before it was there. Each of its
//! exchanges carries one event, so that shows by there being none, as long as exchanges are kept.

use std::{collections::BTreeSet, time::Instant};

use sea_orm::{DbErr, QueryResult};

use super::{
    Doing, Store, StoreError,
    callbacks::CallbackState,
    events::{LoggedEvent, logged_columns, logged_event},
    outbound::odd_value,
    query,
    replays::selection::{Text, selected},
    walk::Slices,
};
use crate::domain::{
    callback::Subscription,
    ids::{MessageId, Place, SubscriptionKey},
    replay::{Because, ReplayOf, ReplaySelection},
    time::UnixMillis,
};

/// What became of an event at a callback URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Still to be told, for the first time or again after a failure.
    Owed,
    /// The platform took it; or it is a test, of which it is not told.
    Delivered,
    Dead,
    NotRelayed,
    /// Of a webhook: nobody told it, and nobody will. It does not want it, was off, or was not there yet.
    PassedOver,
}

impl Standing {
    pub const ALL: [Self; 5] = [Self::Owed, Self::Delivered, Self::Dead, Self::NotRelayed, Self::PassedOver];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owed => "owed",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::NotRelayed => "not_relayed",
            Self::PassedOver => "passed_over",
        }
    }
}

/// What somebody looks for: one standing, or of what is owed only what was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WantedStanding {
    Owed,
    /// Owed, and was not taken: it waits for another try, or its URL fails.
    Retrying,
    Delivered,
    Dead,
    NotRelayed,
    PassedOver,
}

impl WantedStanding {
    pub const ALL: [Self; 6] =
        [Self::Owed, Self::Retrying, Self::Delivered, Self::Dead, Self::NotRelayed, Self::PassedOver];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retrying => "retrying",
            Self::Owed | Self::Delivered | Self::Dead | Self::NotRelayed | Self::PassedOver => self.standing().as_str(),
        }
    }

    pub const fn standing(self) -> Standing {
        match self {
            Self::Owed | Self::Retrying => Standing::Owed,
            Self::Delivered => Standing::Delivered,
            Self::Dead => Standing::Dead,
            Self::NotRelayed => Standing::NotRelayed,
            Self::PassedOver => Standing::PassedOver,
        }
    }

    /// Whether such an event has a reason.
    pub const fn has_reason(self) -> bool {
        match self {
            Self::Owed | Self::Retrying | Self::Dead | Self::NotRelayed => true,
            Self::Delivered | Self::PassedOver => false,
        }
    }
}

/// Which events; what is not named fits everything.
#[derive(Clone, Debug, Default)]
pub struct CallbackFilter {
    pub wanted: Option<WantedStanding>,
    pub message: Option<MessageId>,
    /// Why it was left behind, or waits.
    pub because: Because,
    /// Heard from here on …
    pub since: Option<UnixMillis>,
    /// … and before this.
    pub until: Option<UnixMillis>,
    /// Only older ones than at this place: the next page.
    pub before: Option<Place>,
    /// Only those between these places, both included. Whoever names a time, too, says that it lies within them.
    pub places: Option<(Place, Place)>,
    /// All exchanges are kept since then: of an event that was heard later it is known whether a webhook was told.
    pub exchanges_since: Option<UnixMillis>,
    /// Of a platform’s URL that fails: what it said last. All that is owed waits for its next try.
    pub fails: Option<String>,
    /// When looking further is put off to the next page.
    pub ends: Option<Instant>,
}

impl CallbackFilter {
    fn standing(&self) -> Option<Standing> {
        self.wanted.map(WantedStanding::standing)
    }

    fn fits(&self, judged: &Judged) -> bool {
        self.standing().is_none_or(|standing| standing == judged.standing)
            && (self.wanted != Some(WantedStanding::Retrying) || judged.tried)
            && (self.because.is_any() || self.because.fits(judged.reason.as_deref()))
    }
}

/// An event and what became of it.
#[derive(Clone, Debug)]
pub struct FoundCallback {
    pub event: LoggedEvent,
    pub judged: Judged,
}

/// What became of an event.
#[derive(Clone, Debug)]
pub struct Judged {
    pub standing: Standing,
    /// Why it was left behind, or waits.
    pub reason: Option<String>,
    /// It is owed, was not taken, and waits for another try.
    pub tried: bool,
}

/// Where an event of a webhook stands that waits for another try, or behind one that does.
#[derive(Clone, Copy, Debug)]
pub struct InLane {
    /// The event that is tried: this one, or the one that it waits for.
    pub tried: Place,
    /// When.
    pub due_at: UnixMillis,
    /// Events that wait behind this one.
    pub behind: i64,
}

/// A page, and where the next begins.
#[derive(Clone, Debug, Default)]
pub struct FoundCallbacks {
    pub callbacks: Vec<FoundCallback>,
    /// `before` of the next page; `None` after the oldest.
    pub next: Option<Place>,
}

/// Events that a URL left behind for one reason.
#[derive(Clone, Debug)]
pub struct LeftBehind {
    pub state: CallbackState,
    pub reason: String,
    pub events: i64,
    pub newest: UnixMillis,
}

/// A slice has at most so many places.
const SLICE_PLACES_MAX: usize = 64_000;

/// A range that the cursor left behind.
struct Range {
    first: i64,
    last: i64,
    state: CallbackState,
    reason: String,
    tries: i32,
}

impl Store {
    /// What became of the events of a URL whose cursor stands there.
    pub async fn callbacks_of(
        &self,
        subscription: &Subscription,
        cursor: Place,
        filter: &CallbackFilter,
        limit: usize,
    ) -> Result<FoundCallbacks, StoreError> {
        let doing = "list the events of a callback URL";
        let Some((first, last)) = self.stretch(subscription, cursor, filter).await? else {
            return Ok(FoundCallbacks::default());
        };
        let mut found = FoundCallbacks::default();
        let (mut before, mut slices) =
            (last.0.saturating_add(1), Slices::up_to(SLICE_PLACES_MAX).and_no_later_than(filter.ends));
        while before > first.0 {
            before = self.skip_to_left_behind((subscription, cursor), filter, before).await.doing(doing)?;
            let bottom = match filter.message {
                Some(_) => first.0,
                None => first.0.max(before.saturating_sub_unsigned(slices.rows() as u64)),
            };
            let wanted = limit - found.callbacks.len();
            let mut events =
                self.events_between(subscription, filter, (bottom, before), wanted + 1).await.doing(doing)?;
            let is_full = events.len() > wanted;
            events.truncate(wanted);
            let last = events.last().map(|last| last.place.0);
            let judged = self.with_standing(subscription, cursor, filter, events).await.doing(doing)?;
            found.callbacks.extend(judged.into_iter().filter(|one| filter.fits(&one.judged)));
            before = last.filter(|_| is_full).unwrap_or(bottom);
            if before > first.0 && (slices.time_is_up() || found.callbacks.len() >= limit) {
                found.next = Some(Place(before));
                return Ok(found);
            }
            slices.next();
        }
        Ok(found)
    }

    /// The places between which events of the filter can lie; `None` when there are none.
    async fn stretch(
        &self,
        subscription: &Subscription,
        cursor: Place,
        filter: &CallbackFilter,
    ) -> Result<Option<(Place, Place)>, StoreError> {
        if filter.wanted == Some(WantedStanding::Retrying) && subscription.webhook.is_none() && filter.fails.is_none() {
            return Ok(None);
        }
        let (mut first, mut last) = match filter.standing() {
            // Of a webhook some wait behind the cursor, too.
            Some(Standing::Owed) if subscription.webhook.is_none() => {
                (Place(cursor.0 + 1), self.log_end(subscription.account).await?)
            }
            Some(Standing::PassedOver) if !subscription.is_on => {
                (self.log_start(subscription.account).await?, self.log_end(subscription.account).await?)
            }
            Some(Standing::Delivered | Standing::Dead | Standing::NotRelayed | Standing::PassedOver) => {
                (self.log_start(subscription.account).await?, cursor)
            }
            Some(Standing::Owed) | None => {
                (self.log_start(subscription.account).await?, self.log_end(subscription.account).await?)
            }
        };
        if let Some(since) = filter.since.filter(|_| filter.places.is_none()) {
            first = first.max(self.place_near(subscription, since, -1).await?);
        }
        if let Some(until) = filter.until.filter(|_| filter.places.is_none()) {
            last = last.min(self.place_near(subscription, until, 1).await?);
        }
        if let Some(before) = filter.before {
            last = last.min(Place(before.0.saturating_sub(1)));
        }
        if let Some((from, to)) = filter.places {
            first = first.max(from);
            last = last.min(to);
        }
        Ok((first <= last).then_some((first, last)))
    }

    /// Clocks of instances differ, so a log is searched a minute earlier and later than asked for.
    pub(super) async fn place_near(
        &self,
        subscription: &Subscription,
        moment: UnixMillis,
        minutes: i64,
    ) -> Result<Place, StoreError> {
        self.place_at(subscription.account, UnixMillis(moment.0.saturating_add(minutes * 60_000))).await
    }

    /// Where the newest range of the wanted kind ends: there may be few among very many events.
    async fn skip_to_left_behind(
        &self,
        (subscription, cursor): (&Subscription, Place),
        filter: &CallbackFilter,
        before: i64,
    ) -> Result<i64, DbErr> {
        let is_behind = before <= cursor.0.saturating_add(1);
        let only = match filter.wanted {
            Some(WantedStanding::Dead) => "AND state = 1",
            Some(WantedStanding::NotRelayed) => "AND state = 2",
            // Beyond a webhook's cursor everything is owed, and nothing was tried.
            Some(WantedStanding::Retrying) if subscription.webhook.is_some() => "AND state = 3 AND tries > 0",
            Some(WantedStanding::Owed) if subscription.webhook.is_some() && is_behind => "AND state = 3",
            // Nothing else has a reason.
            None if !filter.because.is_any() && is_behind => "",
            Some(
                WantedStanding::Owed
                | WantedStanding::Retrying
                | WantedStanding::Delivered
                | WantedStanding::PassedOver,
            )
            | None => return Ok(before),
        };
        let sql = format!(
            "SELECT last_place FROM callbacks WHERE subscription = $1 AND first_place < $2 {only} \
             ORDER BY first_place DESC LIMIT 1"
        );
        let values = vec![subscription.key.0.into(), before.into()];
        let rows = query(self.reader(), sql, values).await?;
        let last: Option<i64> = rows.first().map(|row| row.try_get("", "last_place")).transpose()?;
        Ok(last.map_or(0, |last| before.min(last.saturating_add(1))))
    }

    async fn events_between(
        &self,
        subscription: &Subscription,
        filter: &CallbackFilter,
        (from, before): (i64, i64),
        limit: usize,
    ) -> Result<Vec<LoggedEvent>, DbErr> {
        if from >= before {
            return Ok(vec![]);
        }
        let of = match filter.standing() {
            Some(Standing::Dead) => ReplayOf::Dead,
            Some(Standing::NotRelayed) => ReplayOf::NotRelayed,
            Some(Standing::Delivered | Standing::PassedOver) => ReplayOf::Delivered,
            Some(Standing::Owed) | None => ReplayOf::All,
        };
        let (first, last) = (Place(from), Place(before - 1));
        let (since, until) = (filter.since, filter.until);
        let because = filter.because.clone();
        let selection = ReplaySelection { of, message: filter.message, because, first, last, since, until };
        let mut text = Text::default();
        text.push("SELECT ").push(&logged_columns());
        selected(&mut text, subscription, &selection, (first, last));
        text.push(" ORDER BY e.place DESC LIMIT ").bind(i64::try_from(limit).unwrap_or(i64::MAX));
        query(self.reader(), text.sql, text.values).await?.iter().map(logged_event).collect()
    }

    async fn with_standing(
        &self,
        subscription: &Subscription,
        cursor: Place,
        filter: &CallbackFilter,
        events: Vec<LoggedEvent>,
    ) -> Result<Vec<FoundCallback>, DbErr> {
        let places: Vec<Place> = events.iter().map(|event| event.place).collect();
        let judged = self.judged(subscription, cursor, &places).await?;
        let mut found: Vec<FoundCallback> =
            events.into_iter().zip(judged).map(|(event, judged)| FoundCallback { event, judged }).collect();
        if let Some(said) = filter.fails.as_ref().filter(|_| subscription.webhook.is_none()) {
            for judged in found.iter_mut().map(|one| &mut one.judged).filter(|one| one.standing == Standing::Owed) {
                judged.tried = true;
                judged.reason.get_or_insert_with(|| said.clone());
            }
        }
        let Some(since) = filter.exchanges_since.filter(|_| subscription.webhook.is_some()) else { return Ok(found) };
        let told = self.told_to_webhook(subscription, &places).await?;
        let is_untold = |one: &FoundCallback| one.event.recorded_at >= since && !told.contains(&one.event.place);
        for one in found.iter_mut().filter(|one| one.judged.standing == Standing::Delivered) {
            if is_untold(one) {
                one.judged.standing = Standing::PassedOver;
            }
        }
        Ok(found)
    }

    /// Those of these places whose events a webhook was told of, or was to be told.
    async fn told_to_webhook(&self, subscription: &Subscription, places: &[Place]) -> Result<BTreeSet<Place>, DbErr> {
        if places.is_empty() {
            return Ok(BTreeSet::new());
        }
        let list = places.iter().map(|place| place.0.to_string()).collect::<Vec<_>>().join(",");
        let sql =
            format!("SELECT last_place FROM callback_attempts WHERE subscription = $1 AND last_place IN ({list})");
        let rows = query(self.reader(), sql, vec![subscription.key.0.into()]).await?;
        rows.iter().map(|row| row.try_get("", "last_place").map(Place)).collect()
    }

    /// What became of events that a URL is to hear of, in the order of the places.
    pub async fn standings(
        &self,
        subscription: &Subscription,
        cursor: Place,
        places: &[Place],
    ) -> Result<Vec<Judged>, StoreError> {
        self.judged(subscription, cursor, places).await.doing("read what became of events")
    }

    async fn judged(&self, subscription: &Subscription, cursor: Place, places: &[Place]) -> Result<Vec<Judged>, DbErr> {
        let (Some(newest), Some(oldest)) = (places.iter().max(), places.iter().min()) else { return Ok(vec![]) };
        let ranges = self.ranges_between(subscription, *oldest, *newest).await?;
        let judged = places.iter().map(|place| {
            let range = ranges.iter().find(|range| (range.first..=range.last).contains(&place.0));
            let standing = match range {
                Some(Range { state: CallbackState::Dead, .. }) => Standing::Dead,
                Some(Range { state: CallbackState::NotRelayed, .. }) => Standing::NotRelayed,
                Some(Range { state: CallbackState::Waiting, .. }) => Standing::Owed,
                None if *place > cursor && subscription.is_on => Standing::Owed,
                // Whoever switches it on begins at the end of the log.
                None if *place > cursor => Standing::PassedOver,
                None => Standing::Delivered,
            };
            Judged {
                standing,
                reason: range.map(|range| range.reason.clone()),
                tried: range.is_some_and(|range| range.tries > 0),
            }
        });
        Ok(judged.collect())
    }

    async fn ranges_between(
        &self,
        subscription: &Subscription,
        oldest: Place,
        newest: Place,
    ) -> Result<Vec<Range>, DbErr> {
        let sql = "SELECT first_place, last_place, state, reason, tries FROM callbacks WHERE subscription = $1 \
                   AND first_place <= $3 AND last_place >= $2 AND first_place >= COALESCE((SELECT MAX(h.first_place) \
                   FROM callbacks AS h WHERE h.subscription = $1 AND h.first_place <= $2), 0)";
        let rows = query(self.reader(), sql, vec![subscription.key.0.into(), oldest.0.into(), newest.0.into()]).await?;
        let read = |row: &QueryResult| -> Result<Range, DbErr> {
            Ok(Range {
                first: row.try_get("", "first_place")?,
                last: row.try_get("", "last_place")?,
                state: CallbackState::from_code(row.try_get("", "state")?).ok_or_else(|| odd_value("state"))?,
                reason: row.try_get("", "reason")?,
                tries: row.try_get::<Option<i32>>("", "tries")?.unwrap_or_default(),
            })
        };
        rows.iter().map(read).collect()
    }

    /// When an event of a webhook that was not taken is tried again, and what waits with it; `None` of any other event.
    pub async fn in_lane(
        &self,
        subscription: SubscriptionKey,
        in_order: bool,
        place: Place,
    ) -> Result<Option<InLane>, StoreError> {
        let with_it = if in_order { "lane" } else { "first_place" };
        let sql = format!(
            "SELECT c.first_place, c.due_at, (SELECT COUNT(*) FROM callbacks AS b WHERE b.subscription = $1 AND b.state = 3 \
             AND b.{with_it} = own.{with_it} AND b.first_place > $2) AS behind FROM callbacks AS own JOIN callbacks AS c \
             ON c.subscription = own.subscription AND c.state = 3 AND c.{with_it} = own.{with_it} \
             WHERE own.subscription = $1 AND own.first_place = $2 AND own.state = 3 ORDER BY c.first_place LIMIT 1"
        );
        let rows = query(self.reader(), sql, vec![subscription.0.into(), place.0.into()]).await;
        let read = |row: &QueryResult| -> Result<InLane, DbErr> {
            Ok(InLane {
                tried: Place(row.try_get("", "first_place")?),
                due_at: UnixMillis(row.try_get("", "due_at")?),
                behind: row.try_get("", "behind")?,
            })
        };
        rows.and_then(|rows| rows.first().map(read).transpose()).doing("read what an event waits for")
    }

    /// Why events of a URL were left behind: the most frequent reasons first.
    pub async fn left_behind(&self, subscription: &Subscription, limit: usize) -> Result<Vec<LeftBehind>, StoreError> {
        let sql = format!(
            "SELECT state, reason, CAST(SUM(last_place - first_place + 1) AS BIGINT) AS events, \
             MAX(created_at) AS newest FROM callbacks WHERE subscription = $1 AND state <> 3 GROUP BY state, reason \
             ORDER BY events DESC, newest DESC LIMIT {limit}"
        );
        let rows = query(self.reader(), sql, vec![subscription.key.0.into()]).await;
        let read = |row: &QueryResult| -> Result<LeftBehind, DbErr> {
            Ok(LeftBehind {
                state: CallbackState::from_code(row.try_get("", "state")?).ok_or_else(|| odd_value("state"))?,
                reason: row.try_get("", "reason")?,
                events: row.try_get("", "events")?,
                newest: UnixMillis(row.try_get("", "newest")?),
            })
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read why events were left behind")
    }
}
