//! Exchanges with callback URLs, the newest first.
//!
//! There is one row for each, whatever URL it was with, and no index that leads from a URL to its newest: that would cost each
//! exchange a write. The table is clustered by time, so it is walked backwards in slices, for a limited time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

use sea_orm::{DbErr, QueryResult, Value};

use super::{
    Doing, Store, StoreError, execute,
    outbound::odd_value,
    query,
    walk::{SLICE_ROWS, Slices},
};
use crate::domain::{
    attempt::{AnswerExcerpt, Attempt, AttemptOutcome},
    callback::EventKind,
    ids::{AccountKey, MessageId, Place, SubscriptionKey},
    time::UnixMillis,
};

/// One exchange.
#[derive(Clone, Debug)]
pub struct StoredExchange {
    /// Grows with time; for paging.
    pub id: i64,
    pub subscription: SubscriptionKey,
    pub replay: Option<i32>,
    pub first: Place,
    pub last: Place,
    pub events: i32,
    pub started_at: UnixMillis,
    pub took_ms: i32,
    pub outcome: AttemptOutcome,
    pub http_status: Option<i16>,
    pub note: String,
    /// Of a webhook, where it answered.
    pub excerpt: Option<AnswerExcerpt>,
    /// From each event that it carried to the next; none where they are neighbours.
    pub steps: Option<String>,
}

impl StoredExchange {
    /// Whether the event at this place was in it.
    pub fn carried(&self, place: Place) -> bool {
        (self.first..=self.last).contains(&place) && is_reached(self.first, self.steps.as_deref(), place)
    }

    /// Somebody tried the URL out: no event was told.
    pub fn is_test(&self) -> bool {
        self.events == 0
    }
}

/// Which exchanges; what is not named fits everything.
#[derive(Clone, Debug, Default)]
pub struct ExchangeFilter {
    /// One of these; none: whatever came of it.
    pub outcomes: &'static [AttemptOutcome],
    /// Without those that somebody tried a URL out with.
    pub without_tests: bool,
    pub http_status: Option<i16>,
    /// Stands in the note or the excerpt, whatever the case.
    pub text: Option<String>,
    pub replay: Option<i32>,
    /// Ended from here on …
    pub since: Option<UnixMillis>,
    /// … and before this.
    pub until: Option<UnixMillis>,
    /// Only older ones than this: the next page.
    pub before: Option<i64>,
}

/// Whose exchanges; what is not named fits everything.
#[derive(Clone, Debug, Default)]
pub struct UrlsOf {
    pub account: Option<AccountKey>,
    /// Those of webhooks, or those of the platform.
    pub webhooks: Option<bool>,
    pub kind: Option<EventKind>,
    pub url: Option<SubscriptionKey>,
}

/// A page, and where the next begins.
#[derive(Clone, Debug, Default)]
pub struct FoundExchanges {
    pub exchanges: Vec<StoredExchange>,
    /// `before` of the next page; `None` after the oldest.
    pub next: Option<i64>,
}

/// A slice has at most so many exchanges.
const SLICE_EXCHANGES_MAX: usize = 32_000;

/// Exchanges that are looked through for those about the events of one page.
const EXCHANGES_ABOUT_MAX: usize = 5_000;

const COLUMNS: &str = "id, subscription, replay, first_place, last_place, events, started_at, took_ms, outcome, http_status, note, excerpt, \
     steps";

impl Store {
    /// Keeps what a URL said to a test, for those who look at its exchanges. It says nothing of how the URL stands.
    pub async fn keep_test_exchange(&self, subscription: SubscriptionKey, attempt: &Attempt) -> Result<(), StoreError> {
        let doing = "keep what a callback URL said to a test";
        let (from, until) = (attempt.started_at, attempt.started_at.plus(Duration::from_millis(1)));
        // Tests are few: one of two in the same millisecond that chose the same id is not missed.
        let id = rand::random_range(MessageId::first_at(from).0..MessageId::first_at(until).0);
        let sql = "INSERT INTO callback_attempts (id, subscription, first_place, last_place, events, started_at, took_ms, \
                   outcome, http_status, note) VALUES ($1, $2, 0, 0, 0, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
        let values: Vec<Value> = vec![
            id.into(),
            subscription.0.into(),
            attempt.started_at.0.into(),
            i32::try_from(attempt.took.as_millis()).unwrap_or(i32::MAX).into(),
            attempt.outcome.code().into(),
            attempt.http_status.map(|status| i16::try_from(status).unwrap_or(i16::MAX)).into(),
            attempt.note.as_str().into(),
        ];
        let transaction = self.begin().await.doing(doing)?;
        execute(&transaction, sql, values).await.doing(doing)?;
        transaction.commit().await.doing(doing)
    }

    /// Exchanges of one URL, the newest first.
    pub async fn exchanges(
        &self,
        subscription: SubscriptionKey,
        filter: &ExchangeFilter,
        limit: usize,
    ) -> Result<FoundExchanges, StoreError> {
        self.exchanges_with(&[subscription], filter, limit).await
    }

    /// Exchanges of some URLs together, the newest first.
    pub async fn exchanges_with(
        &self,
        subscriptions: &[SubscriptionKey],
        filter: &ExchangeFilter,
        limit: usize,
    ) -> Result<FoundExchanges, StoreError> {
        if subscriptions.is_empty() {
            return Ok(FoundExchanges::default());
        }
        let keys = subscriptions.iter().map(|key| key.0.to_string()).collect::<Vec<_>>().join(", ");
        self.exchanges_of(&keys, filter, limit).await
    }

    /// Exchanges with every URL that fits, also with those that are configured no more.
    pub async fn exchanges_of_urls(
        &self,
        urls: &UrlsOf,
        filter: &ExchangeFilter,
        limit: usize,
    ) -> Result<FoundExchanges, StoreError> {
        let of = |webhooks| if webhooks { "webhook IS NOT NULL" } else { "webhook IS NULL" }.to_owned();
        let parts = [
            urls.webhooks.map(of),
            urls.account.map(|account| format!("account = {}", account.0)),
            urls.kind.map(|kind| format!("kind = {}", kind.code())),
            urls.url.map(|url| format!("key = {}", url.0)),
        ];
        let only: String = parts.into_iter().flatten().map(|part| format!(" AND {part}")).collect();
        self.exchanges_of(&format!("SELECT key FROM subscriptions WHERE TRUE{only}"), filter, limit).await
    }

    /// `keys`: of which subscriptions, in SQL.
    async fn exchanges_of(
        &self,
        keys: &str,
        filter: &ExchangeFilter,
        limit: usize,
    ) -> Result<FoundExchanges, StoreError> {
        let doing = "list exchanges with a callback URL";
        let first = filter.since.map_or(0, |since| MessageId::first_at(since).0);
        let until = filter.until.map_or(i64::MAX, |until| MessageId::first_at(until).0);
        let mut before = filter.before.map_or(until, |before| until.min(before));
        let mut found = FoundExchanges::default();
        let mut slices = Slices::up_to(SLICE_EXCHANGES_MAX);
        loop {
            let bottom = self.slice_bottom((first, before), slices.rows()).await.doing(doing)?;
            let wanted = limit - found.exchanges.len();
            let slice = (bottom.unwrap_or(first), before);
            let mut rows = self.exchanges_between(keys, filter, slice, wanted + 1).await.doing(doing)?;
            let is_full = rows.len() > wanted;
            rows.truncate(wanted);
            found.exchanges.append(&mut rows);
            if is_full {
                let next = found.exchanges.last().map(|last| last.id);
                return Ok(FoundExchanges { next, ..found });
            }
            let Some(bottom) = bottom else { return Ok(found) };
            if slices.time_is_up() || found.exchanges.len() >= limit {
                return Ok(FoundExchanges { next: Some(bottom), ..found });
            }
            before = bottom;
            slices.next();
        }
    }

    /// The id down to which a slice of so many rows reaches; `None` when there are no more than that.
    async fn slice_bottom(&self, (first, before): (i64, i64), rows: usize) -> Result<Option<i64>, DbErr> {
        let sql = format!(
            "SELECT id FROM callback_attempts WHERE id >= $1 AND id < $2 ORDER BY id DESC LIMIT 1 OFFSET {}",
            rows - 1
        );
        let rows = query(self.reader(), sql, vec![first.into(), before.into()]).await?;
        rows.first().map(|row| row.try_get("", "id")).transpose()
    }

    async fn exchanges_between(
        &self,
        keys: &str,
        filter: &ExchangeFilter,
        (from, before): (i64, i64),
        limit: usize,
    ) -> Result<Vec<StoredExchange>, DbErr> {
        let mut values: Vec<Value> = vec![from.into(), before.into()];
        let mut only = if filter.without_tests { " AND events > 0" } else { "" }.to_owned();
        if !filter.outcomes.is_empty() {
            let codes = filter.outcomes.iter().map(|outcome| outcome.code().to_string()).collect::<Vec<_>>();
            only.push_str(&format!(" AND outcome IN ({})", codes.join(", ")));
        }
        let mut also = |condition: &str, value: Option<Value>, end: &str| {
            if let Some(value) = value {
                values.push(value);
                only.push_str(&format!(" AND {condition} ${}{end}", values.len()));
            }
        };
        also("http_status =", filter.http_status.map(Into::into), "");
        also("replay =", filter.replay.map(Into::into), "");
        also(
            "LOWER(note || COALESCE(excerpt, '')) LIKE",
            filter.text.as_deref().map(|text| containing(text).into()),
            " ESCAPE '\\'",
        );
        // Walked by the table's own order: by another index a few rows of a quiet URL could cost all of a busy one's.
        let sql = format!(
            "SELECT {COLUMNS} FROM callback_attempts WHERE id >= $1 AND id < $2 AND (subscription + 0) IN ({keys}){only} \
             ORDER BY id DESC LIMIT {limit}"
        );
        query(self.reader(), sql, values).await?.iter().map(read_exchange).collect()
    }

    /// Exchanges of a URL whose stretch meets that between two places, in order; of very many the first.
    pub async fn exchanges_about(
        &self,
        subscription: SubscriptionKey,
        (oldest, newest): (Place, Place),
    ) -> Result<Vec<StoredExchange>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM (SELECT {COLUMNS} FROM callback_attempts WHERE subscription = $1 AND last_place >= $2 \
             ORDER BY last_place LIMIT {EXCHANGES_ABOUT_MAX}) AS near WHERE first_place <= $3 ORDER BY started_at, id"
        );
        let rows = query(self.reader(), sql, vec![subscription.0.into(), oldest.0.into(), newest.0.into()]).await;
        rows.and_then(|rows| rows.iter().map(read_exchange).collect()).doing("read the exchanges about some events")
    }

    /// The last exchange with each URL.
    pub async fn newest_exchanges(
        &self,
        subscriptions: &[SubscriptionKey],
    ) -> Result<BTreeMap<SubscriptionKey, StoredExchange>, StoreError> {
        let doing = "read the last exchanges with callback URLs";
        let sql = format!(
            "SELECT {COLUMNS} FROM callback_attempts WHERE id IN (SELECT MAX(id) FROM (SELECT id, subscription \
             FROM (SELECT id, subscription, events FROM callback_attempts ORDER BY id DESC LIMIT {SLICE_ROWS}) AS all_newest \
             WHERE events > 0) AS newest GROUP BY subscription)"
        );
        let rows = query(self.reader(), sql, vec![]).await.doing(doing)?;
        let mut newest = BTreeMap::new();
        for row in &rows {
            let exchange = read_exchange(row).doing(doing)?;
            newest.insert(exchange.subscription, exchange);
        }
        // One that was quiet for long: the last that brought it further.
        let sql = format!(
            "SELECT {COLUMNS} FROM callback_attempts WHERE subscription = $1 AND last_place > 0 ORDER BY last_place DESC, id DESC LIMIT 1"
        );
        for key in subscriptions {
            if newest.contains_key(key) {
                continue;
            }
            let rows = query(self.reader(), &sql, vec![key.0.into()]).await.doing(doing)?;
            if let Some(exchange) = rows.first().map(read_exchange).transpose().doing(doing)? {
                newest.insert(*key, exchange);
            }
        }
        Ok(newest)
    }
}

/// How to go from each of the places to the next; `None` where they are neighbours.
pub(super) fn steps(places: &BTreeSet<Place>) -> Option<String> {
    let (first, last) = places.first().zip(places.last())?;
    if usize::try_from(last.0 - first.0) == Ok(places.len() - 1) {
        return None;
    }
    let mut steps = String::with_capacity(2 * places.len());
    for (from, to) in places.iter().zip(places.iter().skip(1)) {
        let between = if steps.is_empty() { "" } else { " " };
        write!(steps, "{between}{}", to.0 - from.0).expect("writing to a String cannot fail");
    }
    Some(steps)
}

/// Whether steps from the first place on come by another; without any, all places are come by.
pub(super) fn is_reached(first: Place, steps: Option<&str>, place: Place) -> bool {
    let Some(steps) = steps else { return true };
    let mut at = first.0;
    at == place.0
        || steps.split(' ').filter_map(|step| step.parse::<i64>().ok()).any(|step| {
            at += step;
            at == place.0
        })
}

/// A pattern for `LOWER(…) LIKE … ESCAPE '\'`.
pub(super) fn containing(text: &str) -> String {
    let escaped = text.to_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}

pub(super) fn excerpt(row: &QueryResult) -> Result<Option<AnswerExcerpt>, DbErr> {
    Ok(row.try_get::<Option<String>>("", "excerpt")?.as_deref().map(AnswerExcerpt::read))
}

fn read_exchange(row: &QueryResult) -> Result<StoredExchange, DbErr> {
    Ok(StoredExchange {
        id: row.try_get("", "id")?,
        subscription: SubscriptionKey(row.try_get("", "subscription")?),
        replay: row.try_get("", "replay")?,
        first: Place(row.try_get("", "first_place")?),
        last: Place(row.try_get("", "last_place")?),
        events: row.try_get("", "events")?,
        started_at: UnixMillis(row.try_get("", "started_at")?),
        took_ms: row.try_get("", "took_ms")?,
        outcome: AttemptOutcome::from_code(row.try_get("", "outcome")?).ok_or_else(|| odd_value("outcome"))?,
        http_status: row.try_get("", "http_status")?,
        note: row.try_get("", "note")?,
        excerpt: excerpt(row)?,
        steps: row.try_get("", "steps")?,
    })
}
