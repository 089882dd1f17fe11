//! Replays: what an operator wants to be told again, how far that has come, and taking out of the dead what was told.
//!
//! A replay is one row, however many events it is about; the subscription's owner works it off in portions. Everything
//! that a portion changes is committed together, under the owner's lease.

pub(super) mod selection;

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{DbErr, QueryResult, Value};

use self::selection::{Text, end_of_read, selected};
use super::{
    DatabaseTransaction, Doing, Store, StoreError,
    audit::{self, AuditEntry},
    events::{LoggedEvent, logged_columns, logged_event},
    execute, execute_rows,
    outbound::odd_value,
    query, query_rows,
};
use crate::domain::{
    callback::Subscription,
    ids::{AccountKey, MessageId, Place, SubscriptionKey},
    replay::{Because, ReplayOf, ReplaySelection, without},
    time::UnixMillis,
};

/// Replays of one subscription that may wait at the same time.
pub const REPLAYS_OPEN_MAX: i64 = 100;
/// Why a replay ends that nobody would work off any more.
const URL_IS_GONE: &str = "ended: its callback URL was taken out of the configuration";

/// A replay to be stored.
#[derive(Clone, Debug)]
pub struct NewReplay {
    pub subscription: SubscriptionKey,
    pub account: AccountKey,
    pub selection: ReplaySelection,
    /// Events a second; `None`: as fast as they are taken.
    pub per_second: Option<i32>,
    /// How many events it is about now.
    pub wanted: i64,
}

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedReplay {
    /// Under this number.
    Waits(i32),
    /// Too many do already.
    TooMany,
    /// It was taken out of the configuration.
    NoSuchUrl,
}

/// A replay as it stands.
#[derive(Clone, Debug)]
pub struct Replay {
    pub id: i32,
    pub subscription: SubscriptionKey,
    pub account: AccountKey,
    /// What is left of it.
    pub selection: ReplaySelection,
    pub per_second: Option<i32>,
    pub wanted: i64,
    pub told: i64,
    pub refused: i64,
    /// Neither told nor refused: the platform's own tests, and what its dialect has no words for.
    pub passed: i64,
    /// The trouble that it is in, or in which it ended.
    pub note: Option<String>,
    pub created_at: UnixMillis,
    pub finished_at: Option<UnixMillis>,
}

/// How far a portion brought a replay.
#[derive(Clone, Debug, Default)]
pub struct ReplayMove {
    pub id: i32,
    /// Events that need no care any more, or that get care anew in the same commit.
    pub done: BTreeSet<Place>,
    pub next: Place,
    pub told: i64,
    pub refused: i64,
    pub passed: i64,
    pub note: Option<String>,
    pub finished: bool,
}

/// Events of a replay, in order.
#[derive(Clone, Debug)]
pub struct Portion {
    pub events: Vec<LoggedEvent>,
    /// Where to look on when all of them are done.
    pub next: Place,
}

/// Ends replays to callback URLs that were taken out: they have no owner who would go on with them.
pub(super) async fn end_abandoned(transaction: &DatabaseTransaction, now: UnixMillis) -> Result<(), DbErr> {
    let sql = "UPDATE replays SET finished_at = $1, note = $2 WHERE finished_at IS NULL AND NOT EXISTS \
               (SELECT 1 FROM subscriptions AS s WHERE s.key = replays.subscription AND s.enabled)";
    execute(transaction, sql, vec![now.0.into(), URL_IS_GONE.into()]).await.map(drop)
}

/// Writes down a portion: its events leave the ranges of what was left behind, and the replay moves on.
pub(super) async fn advance(
    transaction: &DatabaseTransaction,
    subscription: SubscriptionKey,
    epoch: i64,
    moved: &ReplayMove,
    now: UnixMillis,
) -> Result<(), DbErr> {
    let sql = "SELECT 1 FROM leases WHERE kind = 2 AND item = $1 AND epoch = $2 AND owner IS NOT NULL";
    if query(transaction, sql, vec![subscription.0.into(), epoch.into()]).await?.is_empty() {
        return Ok(());
    }
    take_out(transaction, subscription, &moved.done).await?;
    let sql = "UPDATE replays SET next_place = $2, told = told + $3, refused = refused + $4, passed = passed + $5, \
               note = $6, finished_at = $7 WHERE id = $1 AND finished_at IS NULL";
    let values = vec![
        moved.id.into(),
        moved.next.0.into(),
        moved.told.into(),
        moved.refused.into(),
        moved.passed.into(),
        moved.note.clone().into(),
        moved.finished.then_some(now.0).into(),
    ];
    execute(transaction, sql, values).await.map(drop)
}

/// Takes places out of the ranges that a subscription left behind; what remains of a range keeps its reason.
async fn take_out(
    transaction: &DatabaseTransaction,
    subscription: SubscriptionKey,
    places: &BTreeSet<Place>,
) -> Result<(), DbErr> {
    let wanted: Vec<[Value; 2]> = places.iter().map(|place| [subscription.0.into(), place.0.into()]).collect();
    // Ranges do not overlap, so only the last one that begins before a place can hold it.
    let held = query_rows(
        transaction,
        "SELECT c.first_place, c.last_place, c.account, c.state, c.reason, c.created_at FROM (",
        wanted,
        ") AS v CROSS JOIN callbacks AS c WHERE c.subscription = v.column1 AND c.last_place >= v.column2 \
         AND c.first_place = (SELECT MAX(h.first_place) FROM callbacks AS h \
         WHERE h.subscription = v.column1 AND h.first_place <= v.column2)",
    )
    .await?;
    let mut ranges: BTreeMap<i64, &QueryResult> = BTreeMap::new();
    for row in &held {
        ranges.insert(row.try_get("", "first_place")?, row);
    }
    let keys = ranges.keys().map(|first| [subscription.0.into(), (*first).into()]).collect::<Vec<[Value; 2]>>();
    execute_rows(transaction, "DELETE FROM callbacks WHERE (subscription, first_place) IN (", keys, ")").await?;
    let mut rest: Vec<[Value; 7]> = Vec::new();
    for (first, row) in ranges {
        let last: i64 = row.try_get("", "last_place")?;
        for (first, last) in without(&[(Place(first), Place(last))], places) {
            rest.push([
                subscription.0.into(),
                first.0.into(),
                last.0.into(),
                row.try_get::<i32>("", "account")?.into(),
                row.try_get::<i16>("", "state")?.into(),
                row.try_get::<String>("", "reason")?.into(),
                row.try_get::<i64>("", "created_at")?.into(),
            ]);
        }
    }
    let head = "INSERT INTO callbacks (subscription, first_place, last_place, account, state, reason, created_at)";
    execute_rows(transaction, head, rest, "").await.map(drop)
}

impl Store {
    /// How many events a selection is about.
    pub async fn count_replayable(
        &self,
        subscription: &Subscription,
        selection: &ReplaySelection,
    ) -> Result<i64, StoreError> {
        let doing = "count what would be told again";
        let mut from = selection.first.max(self.log_start(subscription.account).await?);
        let mut count = 0;
        while from <= selection.last {
            let end = end_of_read(selection, from);
            let mut text = Text::default();
            text.push("SELECT COUNT(*) AS events");
            selected(&mut text, subscription, selection, (from, end));
            let rows = query(self.reader(), text.sql, text.values).await.doing(doing)?;
            let counted: i64 = rows.first().map_or(Ok(0), |row| row.try_get("", "events")).doing(doing)?;
            count += counted;
            from = Place(end.0.saturating_add(1));
        }
        Ok(count)
    }

    /// The next events of a replay from a place on, at most `limit`.
    pub async fn replay_portion(
        &self,
        subscription: &Subscription,
        selection: &ReplaySelection,
        limit: usize,
    ) -> Result<Portion, StoreError> {
        let doing = "read what is to be told again";
        let mut from = selection.first.max(self.log_start(subscription.account).await?);
        loop {
            let end = end_of_read(selection, from);
            let after = Place(end.0.saturating_add(1));
            if from > selection.last {
                return Ok(Portion { events: vec![], next: after.max(from) });
            }
            let mut text = Text::default();
            text.push("SELECT ").push(&logged_columns());
            let order = selected(&mut text, subscription, selection, (from, end));
            text.push(" ORDER BY ").push(order).push(" LIMIT ").bind(i64::try_from(limit).unwrap_or(i64::MAX));
            let rows = query(self.reader(), text.sql, text.values).await.doing(doing)?;
            if rows.is_empty() && end < selection.last {
                from = after;
                continue;
            }
            let events = rows.iter().map(logged_event).collect::<Result<Vec<_>, _>>().doing(doing)?;
            let full = events.last().filter(|_| events.len() >= limit).map(|event| Place(event.place.0 + 1));
            return Ok(Portion { next: full.unwrap_or(after), events });
        }
    }

    /// The first place of an account's log that has not been forgotten; the one after its end when there is none.
    pub(super) async fn log_start(&self, account: AccountKey) -> Result<Place, StoreError> {
        let sql = "SELECT MIN(place) AS place FROM events WHERE account = $1";
        let rows = query(self.reader(), sql, vec![account.0.into()]).await;
        let read = rows.and_then(|rows| rows.first().map_or(Ok(None), |row| row.try_get::<Option<i64>>("", "place")));
        match read.doing("read the start of a log")? {
            Some(place) => Ok(Place(place)),
            None => Ok(Place(self.log_end(account).await?.0 + 1)),
        }
    }

    /// The first place whose event was heard at a time or later; the one after the end when there is none. Exact to the
    /// difference between the clocks of instances.
    pub async fn place_at(&self, account: AccountKey, moment: UnixMillis) -> Result<Place, StoreError> {
        let sql = "SELECT place, recorded_at FROM events WHERE account = $1 AND place >= $2 ORDER BY place LIMIT 1";
        let (mut low, mut high) = (1, self.log_end(account).await?.0 + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let rows = query(self.reader(), sql, vec![account.0.into(), middle.into()]).await;
            let read = |row: &QueryResult| -> Result<(i64, i64), DbErr> {
                Ok((row.try_get("", "place")?, row.try_get("", "recorded_at")?))
            };
            match rows.and_then(|rows| rows.first().map(read).transpose()).doing("search a log by time")? {
                Some((place, recorded_at)) if recorded_at < moment.0 => low = place + 1,
                Some(_) | None => high = middle,
            }
        }
        Ok(Place(low))
    }

    /// Asks the owner of the subscription to tell events again.
    pub async fn ask_for_replay(&self, replay: &NewReplay, entry: &AuditEntry) -> Result<AskedReplay, StoreError> {
        let doing = "ask for a replay";
        let transaction = self.begin().await.doing(doing)?;
        // The row is locked by this: whoever takes the URL out comes before, or ends what is asked for here.
        let sql = "UPDATE subscriptions SET updated_at = updated_at WHERE key = $1 AND enabled";
        if execute(&transaction, sql, vec![replay.subscription.0.into()]).await.doing(doing)? == 0 {
            return Ok(AskedReplay::NoSuchUrl);
        }
        let sql = "SELECT COUNT(*) AS waiting FROM replays WHERE subscription = $1 AND finished_at IS NULL";
        let rows = query(&transaction, sql, vec![replay.subscription.0.into()]).await.doing(doing)?;
        let waiting: i64 = rows.first().map_or(Ok(0), |row| row.try_get("", "waiting")).doing(doing)?;
        if waiting >= REPLAYS_OPEN_MAX {
            return Ok(AskedReplay::TooMany);
        }
        let selection = &replay.selection;
        let sql = "INSERT INTO replays (subscription, account, selection, message, next_place, last_place, recorded_from, \
                   recorded_until, per_second, wanted, created_at, answered, reason) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING id";
        let values: Vec<Value> = vec![
            replay.subscription.0.into(),
            replay.account.0.into(),
            selection.of.code().into(),
            selection.message.map(|message| message.0).into(),
            selection.first.0.into(),
            selection.last.0.into(),
            selection.since.map(|since| since.0).into(),
            selection.until.map(|until| until.0).into(),
            replay.per_second.into(),
            replay.wanted.into(),
            self.now().0.into(),
            selection.because.answered.into(),
            selection.because.text.clone().into(),
        ];
        let rows = query(&transaction, sql, values).await.doing(doing)?;
        let id = rows.first().ok_or_else(|| odd_value("id")).and_then(|row| row.try_get("", "id")).doing(doing)?;
        audit::append(&transaction, entry, self.now()).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(AskedReplay::Waits(id))
    }

    /// The replay that the owner of a subscription works on: the oldest that is not finished.
    pub async fn open_replay(&self, subscription: SubscriptionKey) -> Result<Option<Replay>, StoreError> {
        let which = "subscription = $1 AND finished_at IS NULL";
        Ok(self.read_replays(which, "id LIMIT 1", vec![subscription.0.into()]).await?.pop())
    }

    /// Replays by their numbers, as they stand.
    pub async fn replays(&self, ids: &[i32]) -> Result<Vec<Replay>, StoreError> {
        if ids.is_empty() {
            return Ok(vec![]);
        }
        let list = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        self.read_replays(&format!("id IN ({list})"), "id", vec![]).await
    }

    /// Replays that are under way, or that came to an end since `since`; the newest first.
    pub async fn replays_since(&self, since: UnixMillis, limit: usize) -> Result<Vec<Replay>, StoreError> {
        let which = "finished_at IS NULL OR finished_at >= $1";
        self.read_replays(which, &format!("id DESC LIMIT {limit}"), vec![since.0.into()]).await
    }

    /// Replays of one subscription: those under way, and the newest of those that ended; the newest first.
    pub async fn replays_of(&self, subscription: SubscriptionKey, limit: usize) -> Result<Vec<Replay>, StoreError> {
        let order = format!("CASE WHEN finished_at IS NULL THEN 0 ELSE 1 END, id DESC LIMIT {limit}");
        self.read_replays("subscription = $1", &order, vec![subscription.0.into()]).await
    }

    /// Ends a replay early; `false` when it had ended, or never was. A portion under way is still finished.
    pub async fn stop_replay(&self, id: i32, note: &str, entry: &AuditEntry) -> Result<bool, StoreError> {
        let transaction = self.begin().await.doing("stop a replay")?;
        let sql = "UPDATE replays SET finished_at = $2, note = $3 WHERE id = $1 AND finished_at IS NULL";
        let values = vec![id.into(), self.now().0.into(), note.into()];
        let stopped = execute(&transaction, sql, values).await.doing("stop a replay")?;
        if stopped > 0 {
            audit::append(&transaction, entry, self.now()).await.doing("stop a replay")?;
        }
        transaction.commit().await.doing("stop a replay")?;
        Ok(stopped > 0)
    }

    async fn read_replays(&self, which: &str, order: &str, values: Vec<Value>) -> Result<Vec<Replay>, StoreError> {
        let sql = format!(
            "SELECT id, subscription, account, selection, message, next_place, last_place, recorded_from, \
             recorded_until, per_second, wanted, told, refused, passed, note, created_at, finished_at, answered, reason FROM replays \
             WHERE {which} ORDER BY {order}"
        );
        let rows = query(self.reader(), sql, values).await;
        rows.and_then(|rows| rows.iter().map(read_replay).collect()).doing("read replays")
    }
}

fn read_replay(row: &QueryResult) -> Result<Replay, DbErr> {
    let millis = |column| row.try_get::<Option<i64>>("", column).map(|at| at.map(UnixMillis));
    let selection: i16 = row.try_get("", "selection")?;
    Ok(Replay {
        id: row.try_get("", "id")?,
        subscription: SubscriptionKey(row.try_get("", "subscription")?),
        account: AccountKey(row.try_get("", "account")?),
        selection: ReplaySelection {
            of: ReplayOf::from_code(selection).ok_or_else(|| odd_value("selection"))?,
            message: row.try_get::<Option<i64>>("", "message")?.map(MessageId),
            because: Because { answered: row.try_get("", "answered")?, text: row.try_get("", "reason")? },
            first: Place(row.try_get("", "next_place")?),
            last: Place(row.try_get("", "last_place")?),
            since: millis("recorded_from")?,
            until: millis("recorded_until")?,
        },
        per_second: row.try_get("", "per_second")?,
        wanted: row.try_get("", "wanted")?,
        told: row.try_get("", "told")?,
        refused: row.try_get("", "refused")?,
        passed: row.try_get("", "passed")?,
        note: row.try_get("", "note")?,
        created_at: UnixMillis(row.try_get("", "created_at")?),
        finished_at: millis("finished_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{callback::EventKind, ids::SenderKey, phone::PhoneNumber},
        store::{events::NewEvent, testing::on_each_database},
    };

    #[tokio::test]
    async fn what_is_told_again_knows_as_much_as_what_is_told_first() {
        on_each_database(|store| async move {
            let (account, kind) = (AccountKey(1), EventKind::Inbound);
            let phone = PhoneNumber::from_international("+919876500001").expect("a number");
            let event = NewEvent {
                account,
                sender: SenderKey(1),
                kind,
                message: None,
                status: None,
                occurred_at: UnixMillis(1),
                failure: None,
                provider_message_id: Some("wamid.1".to_owned()),
                // Known by a link: the provider's entry names the person's id only.
                person: Some(phone.clone()),
                tapped: None,
                entry: Some("{}".to_owned()),
            };
            let transaction = store.begin().await.expect("a transaction");
            crate::store::events::append(&transaction, vec![event], UnixMillis(2)).await.expect("written");
            transaction.commit().await.expect("a commit");
            let subscription = Subscription {
                key: SubscriptionKey(1),
                account,
                kind,
                sender: None,
                webhook: None,
                dialect: "clevertap".to_owned(),
                url: "https://example.com/".into(),
                hold: None,
                is_on: true,
            };
            let (of, first, last) = (ReplayOf::All, Place(1), Place(1));
            let because = Because::default();
            let selection = ReplaySelection { of, message: None, because, first, last, since: None, until: None };

            let portion = store.replay_portion(&subscription, &selection, 10).await.expect("readable");

            let told: Vec<_> = portion.events.iter().map(|event| (&event.person, event.entry.as_deref())).collect();
            assert_eq!(told, [(&Some(phone), Some("{}"))]);
        })
        .await;
    }
}
