//! What people wrote, whatever the account, the newest first.
//!
//! An index has the inbound messages alone, in the order in which they were heard, so the statuses between them cost nothing. What
//! somebody looks for stands in the providers' entries, which only their dialects read: so the database sifts out what certainly does
//! not fit, and whoever asks judges the rest. The walk is a limited one, as all of them are.

use std::{fmt, str::FromStr};

use sea_orm::{DbErr, QueryResult, Value};

use super::{
    Doing, Store, StoreError,
    events::{LoggedEvent, logged_columns, logged_event},
    exchanges::containing,
    query,
    walk::Slices,
};
use crate::domain::{
    ids::{AccountKey, Place, SenderKey},
    time::UnixMillis,
};

/// Where in the order of all inbound messages: by the time at which it was heard, then by account and place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InboundPlace {
    pub heard_at: UnixMillis,
    pub account: AccountKey,
    pub place: Place,
}

/// As a page's address has it.
impl fmt::Display for InboundPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.heard_at.0, self.account, self.place.0)
    }
}

impl FromStr for InboundPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('-').map(str::parse::<i64>);
        let (Some(Ok(heard_at)), Some(Ok(account)), Some(Ok(place)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(format!("{text} is no place in a list: take `next` of the page before"));
        };
        let account = i32::try_from(account).map_err(|_| format!("{text} names no account"))?;
        Ok(Self { heard_at: UnixMillis(heard_at), account: AccountKey(account), place: Place(place) })
    }
}

/// Which inbound messages; what is not named fits everything.
#[derive(Clone, Debug, Default)]
pub struct InboundFilter {
    pub account: Option<AccountKey>,
    pub sender: Option<SenderKey>,
    /// Only what answers a message of ours.
    pub answers: bool,
    /// Only what answers a message of this campaign.
    pub campaign: Option<String>,
    /// One of these stands in the entry, or is the end of the person's number.
    pub person: Vec<String>,
    /// Stands in the entry, whatever the case.
    pub entry_contains: Option<String>,
    /// Heard from here on …
    pub since: Option<UnixMillis>,
    /// … and before this.
    pub until: Option<UnixMillis>,
    /// Only older ones than this: the next page.
    pub before: Option<InboundPlace>,
}

/// One line of a log, with whose log it is.
#[derive(Clone, Debug)]
pub struct LoggedInbound {
    pub account: AccountKey,
    pub event: LoggedEvent,
}

impl LoggedInbound {
    pub fn at(&self) -> InboundPlace {
        InboundPlace { heard_at: self.event.recorded_at, account: self.account, place: self.event.place }
    }
}

/// A page, and where the next begins.
#[derive(Clone, Debug)]
pub struct FoundInbound<T> {
    pub found: Vec<T>,
    /// `before` of the next page; `None` after the oldest.
    pub next: Option<InboundPlace>,
}

/// A slice has at most so many messages.
const SLICE_MESSAGES_MAX: usize = 32_000;
/// Entries are long, so not more of them are read at once.
const ENTRIES_AT_ONCE_MAX: usize = 200;

impl Store {
    /// At most `limit` messages that fit and that `judge` takes.
    pub async fn inbound<T>(
        &self,
        filter: &InboundFilter,
        limit: usize,
        mut judge: impl FnMut(LoggedInbound) -> Option<T>,
    ) -> Result<FoundInbound<T>, StoreError> {
        let doing = "list what people wrote";
        let since = filter.since.unwrap_or(UnixMillis(0));
        let mut before = start(filter);
        let mut found: Vec<(InboundPlace, T)> = Vec::new();
        let mut slices = Slices::up_to(SLICE_MESSAGES_MAX);
        loop {
            let bottom = self.bottom_of_inbound((since, before), slices.rows()).await.doing(doing)?;
            let rows = self.inbound_between(filter, (since, before), slices.rows()).await.doing(doing)?;
            let is_full = rows.len() >= ENTRIES_AT_ONCE_MAX;
            let reached = if is_full { rows.last().map(LoggedInbound::at) } else { bottom };
            found.extend(rows.into_iter().filter_map(|row| Some((row.at(), judge(row)?))));
            // One more than are wanted tells whether there is one more.
            if found.len() > limit {
                found.truncate(limit);
                return Ok(page(found, None));
            }
            let Some(reached) = reached else { return Ok(FoundInbound { next: None, ..page(found, None) }) };
            if slices.time_is_up() {
                return Ok(page(found, Some(reached)));
            }
            before = reached;
            if !is_full {
                slices.next();
            }
        }
    }

    /// One inbound message.
    pub async fn one_inbound(&self, account: AccountKey, place: Place) -> Result<Option<LoggedInbound>, StoreError> {
        let sql = format!(
            "SELECT {}, e.account FROM events AS e LEFT JOIN outbound_messages AS m ON m.id = e.message \
             WHERE e.account = $1 AND e.place = $2 AND e.kind = 2",
            logged_columns()
        );
        let rows = query(self.reader(), sql, vec![account.0.into(), place.0.into()]).await;
        rows.and_then(|rows| rows.first().map(logged_inbound).transpose()).doing("look up what a person wrote")
    }

    /// The place down to which a slice of so many messages reaches; `None` when there are no more than that.
    async fn bottom_of_inbound(
        &self,
        (since, before): (UnixMillis, InboundPlace),
        rows: usize,
    ) -> Result<Option<InboundPlace>, DbErr> {
        let sql = format!(
            "SELECT recorded_at, account, place FROM events WHERE {BETWEEN} \
             ORDER BY recorded_at DESC, account DESC, place DESC LIMIT 1 OFFSET {}",
            rows - 1
        );
        let rows = query(self.reader(), sql, between(since, before)).await?;
        let read = |row: &QueryResult| -> Result<InboundPlace, DbErr> {
            Ok(InboundPlace {
                heard_at: UnixMillis(row.try_get("", "recorded_at")?),
                account: AccountKey(row.try_get("", "account")?),
                place: Place(row.try_get("", "place")?),
            })
        };
        rows.first().map(read).transpose()
    }

    /// Those of a slice that may fit, the newest first; at most [`ENTRIES_AT_ONCE_MAX`].
    async fn inbound_between(
        &self,
        filter: &InboundFilter,
        (since, before): (UnixMillis, InboundPlace),
        rows: usize,
    ) -> Result<Vec<LoggedInbound>, DbErr> {
        let (only, more) = conditions(filter);
        let mut values = between(since, before);
        values.extend(more);
        let sql = format!(
            "SELECT {}, e.account FROM (SELECT account AS of_account, place AS at_place FROM events WHERE {BETWEEN} \
             ORDER BY recorded_at DESC, account DESC, place DESC LIMIT {rows}) AS slice CROSS JOIN events AS e \
             LEFT JOIN outbound_messages AS m ON m.id = e.message \
             WHERE e.account = of_account AND e.place = at_place{only} \
             ORDER BY e.recorded_at DESC, e.account DESC, e.place DESC LIMIT {ENTRIES_AT_ONCE_MAX}",
            logged_columns()
        );
        query(self.reader(), sql, values).await?.iter().map(logged_inbound).collect()
    }
}

/// Inbound messages from `$1` on and before the place `$2`, `$3`, `$4`. The first of these is said twice, because SQLite uses an index
/// for a row of values no further than for its first.
const BETWEEN: &str =
    "kind = 2 AND recorded_at >= $1 AND recorded_at <= $2 AND (recorded_at, account, place) < ($2, $3, $4)";

fn between(since: UnixMillis, before: InboundPlace) -> Vec<Value> {
    vec![since.0.into(), before.heard_at.0.into(), before.account.0.into(), before.place.0.into()]
}

/// What is asked of a message, from the fifth parameter on.
fn conditions(filter: &InboundFilter) -> (String, Vec<Value>) {
    let mut values: Vec<Value> = Vec::new();
    let mut only = String::new();
    let mut bind = |value: Value| {
        values.push(value);
        values.len() + 4
    };
    if let Some(account) = filter.account {
        only.push_str(&format!(" AND e.account = ${}", bind(account.0.into())));
    }
    if let Some(sender) = filter.sender {
        only.push_str(&format!(" AND e.sender = ${}", bind(sender.0.into())));
    }
    if filter.answers {
        only.push_str(" AND e.message IS NOT NULL");
    }
    if let Some(campaign) = &filter.campaign {
        only.push_str(&format!(" AND m.campaign = ${}", bind(campaign.as_str().into())));
    }
    if !filter.person.is_empty() {
        let tests = filter.person.iter().map(|text| {
            let (within, end) = (bind(containing(text).into()), bind(format!("%{text}").into()));
            format!("e.entry LIKE ${within} ESCAPE '\\' OR e.person LIKE ${end}")
        });
        only.push_str(&format!(" AND ({})", tests.collect::<Vec<_>>().join(" OR ")));
    }
    if let Some(text) = &filter.entry_contains {
        only.push_str(&format!(" AND LOWER(e.entry) LIKE ${} ESCAPE '\\'", bind(containing(text).into())));
    }
    (only, values)
}

fn start(filter: &InboundFilter) -> InboundPlace {
    let end = InboundPlace {
        heard_at: filter.until.map_or(UnixMillis(i64::MAX), |until| UnixMillis(until.0.saturating_sub(1))),
        account: AccountKey(i32::MAX),
        place: Place(i64::MAX),
    };
    filter.before.map_or(end, |before| end.min(before))
}

fn page<T>(found: Vec<(InboundPlace, T)>, reached: Option<InboundPlace>) -> FoundInbound<T> {
    let next = reached.or_else(|| found.last().map(|(at, _)| *at));
    FoundInbound { found: found.into_iter().map(|(_, found)| found).collect(), next }
}

fn logged_inbound(row: &QueryResult) -> Result<LoggedInbound, DbErr> {
    Ok(LoggedInbound { account: AccountKey(row.try_get("", "account")?), event: logged_event(row)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{execute, testing::on_each_database, walk::SLICE_ROWS};

    /// A log of two accounts in which every third event was written by somebody; three are heard at each moment.
    async fn fill(store: &Store, events: i64) {
        let transaction = store.begin().await.expect("it begins");
        for chunk in (0..events).collect::<Vec<_>>().chunks(500) {
            let rows = chunk.iter().map(|number| {
                let (account, heard_at) = (number % 2 + 1, 1_000 + number / 9);
                match number % 3 {
                    0 => format!(
                        "({account},{number}+1,2,7,NULL,NULL,0,{heard_at},'wamid.{number}','{{\"n\":\"nr{number}.\"}}')"
                    ),
                    _ => format!("({account},{number}+1,1,7,1,1,0,{heard_at},NULL,NULL)"),
                }
            });
            let sql = format!(
                "INSERT INTO events (account, place, kind, sender, message, status, occurred_at, recorded_at, \
                 provider_message_id, entry) VALUES {}",
                rows.collect::<Vec<_>>().join(",")
            );
            execute(&transaction, sql, vec![]).await.expect("they fit");
        }
        transaction.commit().await.expect("they are kept");
    }

    async fn all(store: &Store, filter: InboundFilter, limit: usize) -> Vec<InboundPlace> {
        let mut filter = filter;
        let mut places = Vec::new();
        for _ in 0..1_000 {
            let page = store.inbound(&filter, limit, |row| Some(row.at())).await.expect("readable");
            assert!(page.found.len() <= limit);
            places.extend(page.found);
            let Some(next) = page.next else { return places };
            assert!(filter.before.is_none_or(|before| next < before), "each page goes further back");
            filter.before = Some(next);
        }
        panic!("it has an end");
    }

    #[tokio::test]
    async fn all_that_was_written_is_found_once_and_the_newest_first() {
        on_each_database(async |store| {
            fill(&store, 3_000).await;

            let everything = all(&store, InboundFilter::default(), 7).await;

            assert_eq!(everything.len(), 1_000);
            assert!(everything.is_sorted_by(|newer, older| newer > older));
            let second = InboundFilter { account: Some(AccountKey(2)), ..InboundFilter::default() };
            assert_eq!(all(&store, second, 200).await.len(), 500);
            let other = InboundFilter { sender: Some(SenderKey(8)), ..InboundFilter::default() };
            assert!(all(&store, other, 200).await.is_empty());
            let answers = InboundFilter { answers: true, ..InboundFilter::default() };
            assert!(all(&store, answers.clone(), 200).await.is_empty());
            let transaction = store.begin().await.expect("it begins");
            let sql = "UPDATE events SET message = 1 WHERE account = 1 AND place = 1";
            execute(&transaction, sql, vec![]).await.expect("it is written");
            transaction.commit().await.expect("it is kept");
            assert_eq!(all(&store, answers, 200).await.iter().map(|at| at.place.0).collect::<Vec<_>>(), [1]);
            let (since, until) = (Some(UnixMillis(1_100)), Some(UnixMillis(1_101)));
            let moment = all(&store, InboundFilter { since, until, ..InboundFilter::default() }, 200).await;
            assert_eq!(moment.len(), 3);
            let only =
                all(&store, InboundFilter { entry_contains: Some("NR2997.".to_owned()), ..Default::default() }, 200)
                    .await;
            assert_eq!(only.iter().map(|at| at.place.0).collect::<Vec<_>>(), [2_998]);
            let found = store.one_inbound(AccountKey(2), Place(2_998)).await.expect("readable").expect("it is there");
            assert_eq!(
                (found.at(), store.one_inbound(AccountKey(1), Place(2_998)).await.expect("readable").is_none()),
                (only[0], true)
            );
        })
        .await;
    }

    #[tokio::test]
    async fn what_lies_slices_back_is_found_however_little_fits() {
        on_each_database(async |store| {
            let events = i64::try_from(SLICE_ROWS * 9).expect("it is small");
            fill(&store, events).await;
            let oldest = InboundFilter { entry_contains: Some("nr0.".to_owned()), ..InboundFilter::default() };
            assert_eq!(all(&store, oldest, 5).await.len(), 1);
            // Nothing that the database could sift by.
            let mut filter = InboundFilter::default();
            let (mut judged, mut found) = (0, 0);
            loop {
                let judge = |row: LoggedInbound| {
                    judged += 1;
                    (row.event.place == Place(1)).then_some(())
                };
                let page = store.inbound(&filter, 5, judge).await.expect("readable");
                found += page.found.len();
                let Some(next) = page.next else { break };
                filter.before = Some(next);
            }
            assert_eq!(found, 1);
            assert_eq!(judged, SLICE_ROWS * 3);
        })
        .await;
    }

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let at = InboundPlace { heard_at: UnixMillis(1_795_000_000_123), account: AccountKey(3), place: Place(77) };
        assert_eq!(at.to_string().parse(), Ok(at));
        for odd in ["", "1-2", "1-2-3-4", "1-x-3", "1-99999999999-3"] {
            assert!(odd.parse::<InboundPlace>().is_err(), "{odd}");
        }
    }
}
