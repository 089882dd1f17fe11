//! Cursors, the exchanges that moved them, and the events that need care of their own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use sea_orm::{ConnectionTrait, DbErr, Value};

use super::{
    DatabaseTransaction, Doing, Store, StoreError,
    exchanges::steps,
    execute, execute_rows, query,
    replays::{self, ReplayMove},
};
use crate::domain::{
    account::Hold,
    attempt::Attempt,
    callback::Subscription,
    failure::FAILURE_TEXT_CHARS_MAX,
    ids::{AccountKey, MessageIds, Place, SubscriptionKey},
    outbound::stored,
    sent_payload::SentPayload,
    time::UnixMillis,
};

/// Moves a subscription's cursor; nothing happens to it under a lease that has changed hands.
#[derive(Debug)]
pub struct CursorMove {
    pub subscription: SubscriptionKey,
    pub account: AccountKey,
    pub epoch: i64,
    /// Everything up to here is done or has a row of its own.
    pub cursor: Place,
    pub attempts: Vec<CallbackAttempt>,
    pub callbacks: Vec<CareOfEvents>,
    /// Events that waited for another try, and were taken.
    pub settled: Vec<Place>,
    pub trouble: Trouble,
    /// A portion of a replay, done beside.
    pub replay: Option<ReplayMove>,
}

/// Whether the callback URL works, after this.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trouble {
    /// Exchanges that failed as a whole, one after the other.
    pub failures: i32,
    pub failing_since: Option<UnixMillis>,
    /// Not before.
    pub due_at: Option<UnixMillis>,
    pub hold: Option<Hold>,
}

/// One exchange with a callback URL.
#[derive(Debug)]
pub struct CallbackAttempt {
    pub first: Place,
    pub last: Place,
    pub events: usize,
    /// Exactly those that it carried; what lies between was not told by it.
    pub places: BTreeSet<Place>,
    /// The replay that it was for.
    pub replay: Option<i32>,
    pub attempt: Attempt,
    /// Where it carried one event.
    pub payload: Option<SentPayload>,
}

/// A range of events that the cursor leaves behind undelivered.
#[derive(Debug)]
pub struct CareOfEvents {
    pub first: Place,
    pub last: Place,
    pub state: CallbackState,
    pub reason: String,
    /// Of one event that waits.
    pub waits: Option<Waits>,
}

/// When an event of a webhook is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// How often it was tried; not at all when it waits behind another.
    pub tries: i32,
    pub due_at: UnixMillis,
    /// Events of one lane stay in order.
    pub lane: i64,
}

/// An event of a webhook that waits for another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub place: Place,
    pub waits: Waits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackState {
    /// They refused it, or it grew too old while they could not be reached.
    Dead,
    /// We have no words for it in their dialect.
    NotRelayed,
    /// A webhook's, which goes on meanwhile: it is tried again.
    Waiting,
}

stored!(CallbackState { Dead = 1 "dead", NotRelayed = 2 "not_relayed", Waiting = 3 "waiting" });

/// How far a subscription has come.
#[derive(Clone, Debug)]
pub struct CursorState {
    pub cursor: Place,
    pub trouble: Trouble,
}

/// From a cursor to the end of its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Distance {
    pub events: i64,
    /// When the first of them was written to the log.
    pub oldest: Option<UnixMillis>,
}

pub(super) async fn move_cursors(
    transaction: &DatabaseTransaction,
    moves: &[&CursorMove],
    ids: &Arc<MessageIds>,
    now: UnixMillis,
) -> Result<(), DbErr> {
    // What an owner that has lost its lease would leave behind is the next one's to tell.
    let mut by_owners = Vec::with_capacity(moves.len());
    for moved in moves {
        let trouble = &moved.trouble;
        let values: Vec<Value> = vec![
            moved.subscription.0.into(),
            moved.cursor.0.into(),
            moved.epoch.into(),
            trouble.failures.into(),
            trouble.failing_since.map(|at| at.0).into(),
            trouble.due_at.map(|at| at.0).into(),
            trouble.hold.as_ref().map(|hold| hold.since.0).into(),
            trouble.hold.as_ref().map(|hold| hold.reason.clone()).into(),
        ];
        // A cursor never moves back, and only its owner moves it.
        let sql = "UPDATE subscriptions SET cursor = $2, failures = $4, failing_since = $5, due_at = $6, \
                   held_since = $7, held_reason = $8 WHERE key = $1 AND cursor <= $2 AND EXISTS \
                   (SELECT 1 FROM leases WHERE kind = 2 AND item = $1 AND epoch = $3 AND owner IS NOT NULL)";
        if execute(transaction, sql, values).await? > 0 {
            by_owners.push(moved);
        }
    }
    let attempts =
        moves.iter().flat_map(|moved| moved.attempts.iter().map(|attempt| attempt_row(moved, attempt, ids, now)));
    execute_rows(
        transaction,
        "INSERT INTO callback_attempts \
         (id, subscription, replay, first_place, last_place, events, started_at, took_ms, outcome, http_status, note, excerpt, \
          steps, payload_bytes, payload_hash, payload)",
        attempts.collect(),
        "",
    )
    .await?;
    for moved in moves {
        if let Some(replay) = &moved.replay {
            replays::advance(transaction, moved.subscription, moved.epoch, replay, now).await?;
        }
    }
    let care = by_owners.iter().flat_map(|moved| moved.callbacks.iter().map(|care| care_row(moved, care, now)));
    execute_rows(
        transaction,
        "INSERT INTO callbacks (subscription, first_place, last_place, account, state, reason, created_at, tries, due_at, lane)",
        care.collect(),
        " ON CONFLICT (subscription, first_place) DO UPDATE SET last_place = excluded.last_place, \
         state = excluded.state, reason = excluded.reason, tries = excluded.tries, due_at = excluded.due_at, \
         lane = excluded.lane",
    )
    .await?;
    for moved in &by_owners {
        for place in &moved.settled {
            let sql = "DELETE FROM callbacks WHERE subscription = $1 AND first_place = $2 AND state = 3";
            execute(transaction, sql, vec![moved.subscription.0.into(), place.0.into()]).await?;
        }
    }
    Ok(())
}

fn attempt_row(moved: &CursorMove, done: &CallbackAttempt, ids: &Arc<MessageIds>, now: UnixMillis) -> [Value; 16] {
    let (attempt, payload) = (&done.attempt, done.payload.as_ref());
    [
        ids.next(now).0.into(),
        moved.subscription.0.into(),
        done.replay.into(),
        done.first.0.into(),
        done.last.0.into(),
        i32::try_from(done.events).unwrap_or(i32::MAX).into(),
        attempt.started_at.0.into(),
        i32::try_from(attempt.took.as_millis()).unwrap_or(i32::MAX).into(),
        attempt.outcome.code().into(),
        attempt.http_status.and_then(|status| i16::try_from(status).ok()).into(),
        cut(&attempt.note).into(),
        attempt.excerpt.as_ref().map(ToString::to_string).into(),
        steps(&done.places).into(),
        payload.map(|payload| i32::try_from(payload.bytes).unwrap_or(i32::MAX)).into(),
        payload.map(|payload| payload.sha256.to_vec()).into(),
        payload.and_then(|payload| payload.text.clone()).into(),
    ]
}

fn care_row(moved: &CursorMove, care: &CareOfEvents, now: UnixMillis) -> [Value; 10] {
    [
        moved.subscription.0.into(),
        care.first.0.into(),
        care.last.0.into(),
        moved.account.0.into(),
        care.state.code().into(),
        cut(&care.reason).into(),
        now.0.into(),
        care.waits.map(|waits| waits.tries).into(),
        care.waits.map(|waits| waits.due_at.0).into(),
        care.waits.map(|waits| waits.lane).into(),
    ]
}

/// The events of a kind that a subscription hears of, by their number. As in the relay, an account's subscription leaves out
/// the numbers that have one of their own.
pub(super) fn whose_events(subscription: &Subscription) -> String {
    match subscription.sender {
        Some(sender) => format!("sender = {}", sender.0),
        // It filters by itself.
        None if subscription.webhook.is_some() => "sender IS NOT NULL".to_owned(),
        None => format!(
            "sender NOT IN (SELECT sender FROM subscriptions \
             WHERE account = {} AND kind = {} AND sender IS NOT NULL AND enabled)",
            subscription.account.0,
            subscription.kind.code()
        ),
    }
}

/// How far a cursor is from a place, which may be beyond the end of its log, counted up to `limit` events.
pub(super) async fn distance(
    connection: &impl ConnectionTrait,
    subscription: &Subscription,
    (after, last): (Place, Place),
    limit: u64,
) -> Result<Distance, DbErr> {
    let (kind, whose) = (subscription.kind.code(), whose_events(subscription));
    // The kind is not bound: inbound events have an index of their own, and between them may lie a million statuses.
    let sql = format!(
        "SELECT COUNT(*) AS owed, MIN(recorded_at) AS oldest FROM (SELECT recorded_at FROM events \
         WHERE account = $1 AND place > $2 AND kind = {kind} AND place <= $3 AND {whose} ORDER BY place LIMIT {limit}) AS e"
    );
    let values = vec![subscription.account.0.into(), after.0.into(), last.0.into()];
    let rows = query(connection, sql, values).await?;
    let Some(row) = rows.first() else { return Ok(Distance::default()) };
    let oldest: Option<i64> = row.try_get("", "oldest")?;
    Ok(Distance { events: row.try_get("", "owed")?, oldest: oldest.map(UnixMillis) })
}

/// Beyond every log.
pub(super) const END: Place = Place(i64::MAX);

fn cut(text: &str) -> String {
    text.chars().take(FAILURE_TEXT_CHARS_MAX).collect()
}

const STATE_COLUMNS: &str = "cursor, failures, failing_since, due_at, held_since, held_reason";

fn state(row: &sea_orm::QueryResult) -> Result<CursorState, DbErr> {
    let millis = |column| row.try_get::<Option<i64>>("", column).map(|at| at.map(UnixMillis));
    let reason: Option<String> = row.try_get("", "held_reason")?;
    Ok(CursorState {
        cursor: Place(row.try_get("", "cursor")?),
        trouble: Trouble {
            failures: row.try_get("", "failures")?,
            failing_since: millis("failing_since")?,
            due_at: millis("due_at")?,
            hold: millis("held_since")?.zip(reason).map(|(since, reason)| Hold::by_answer(since, reason)),
        },
    })
}

impl Store {
    /// Where a subscription's cursor stands, and whether its URL works.
    pub async fn cursor_state(&self, subscription: SubscriptionKey) -> Result<Option<CursorState>, StoreError> {
        let sql = format!("SELECT {STATE_COLUMNS} FROM subscriptions WHERE key = $1");
        let rows = query(&self.prompt_reader(), sql, vec![subscription.0.into()]).await.doing("read a cursor")?;
        rows.first().map(state).transpose().doing("read a cursor")
    }

    /// Where every subscription stands; also those of webhooks that are off.
    pub async fn cursor_states(&self) -> Result<BTreeMap<SubscriptionKey, CursorState>, StoreError> {
        let sql = format!("SELECT key, {STATE_COLUMNS} FROM subscriptions WHERE enabled OR webhook IS NOT NULL");
        let rows = query(self.reader(), sql, vec![]).await;
        let read = |row: &sea_orm::QueryResult| Ok((SubscriptionKey(row.try_get("", "key")?), state(row)?));
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read cursors")
    }

    /// Events of a webhook's subscription that are due to be tried again, the earliest in the log first; only the first of
    /// each lane, where order must be kept.
    pub async fn waiting(
        &self,
        subscription: SubscriptionKey,
        in_order: bool,
        limit: usize,
    ) -> Result<Vec<Waiting>, StoreError> {
        let first = if in_order {
            "AND NOT EXISTS (SELECT 1 FROM callbacks AS b WHERE b.subscription = c.subscription AND b.state = 3 \
             AND b.lane = c.lane AND b.first_place < c.first_place)"
        } else {
            ""
        };
        let sql = format!(
            "SELECT c.first_place, c.tries, c.due_at, c.lane FROM callbacks AS c WHERE c.subscription = $1 AND c.state = 3 \
             AND c.due_at <= {} {first} ORDER BY c.due_at, c.first_place LIMIT {limit}",
            self.now().0
        );
        let rows = query(&self.prompt_reader(), sql, vec![subscription.0.into()]).await;
        let read = |row: &sea_orm::QueryResult| {
            Ok(Waiting {
                place: Place(row.try_get("", "first_place")?),
                waits: Waits {
                    tries: row.try_get::<Option<i32>>("", "tries")?.unwrap_or_default(),
                    due_at: UnixMillis(row.try_get("", "due_at")?),
                    lane: row.try_get::<Option<i64>>("", "lane")?.unwrap_or_default(),
                },
            })
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read which events wait for another try")
    }

    /// The lanes of a webhook's subscription in which an event waits, one for each event: as many as wait, up to `limit`.
    pub async fn waiting_lanes(&self, subscription: SubscriptionKey, limit: usize) -> Result<Vec<i64>, StoreError> {
        let sql = format!("SELECT lane FROM callbacks WHERE subscription = $1 AND state = 3 LIMIT {limit}");
        let rows = query(&self.prompt_reader(), sql, vec![subscription.0.into()]).await;
        let read = |row: &sea_orm::QueryResult| Ok(row.try_get::<Option<i64>>("", "lane")?.unwrap_or_default());
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("count the events that wait for another try")
    }

    /// How many events a subscription has yet to deliver, counted up to `limit`.
    pub async fn owed(&self, subscription: &Subscription, after: Place, limit: u64) -> Result<i64, StoreError> {
        self.distance(subscription, after, limit).await.map(|distance| distance.events)
    }

    /// How far a cursor is from the end of its log, counted up to `limit` events.
    pub async fn distance(
        &self,
        subscription: &Subscription,
        after: Place,
        limit: u64,
    ) -> Result<Distance, StoreError> {
        distance(self.reader(), subscription, (after, END), limit).await.doing("count what is owed")
    }

    /// How many events up to a place a subscription has yet to deliver, counted up to `limit`.
    pub async fn owed_until(
        &self,
        subscription: &Subscription,
        (cursor, last): (Place, Place),
        limit: u64,
    ) -> Result<i64, StoreError> {
        let doing = "count what is owed up to a place";
        let beyond = distance(self.reader(), subscription, (cursor, last), limit).await.doing(doing)?.events;
        let sql = "SELECT COUNT(*) AS events FROM callbacks WHERE subscription = $1 AND state = 3 AND last_place <= $2";
        let rows = query(self.reader(), sql, vec![subscription.key.0.into(), last.0.into()]).await.doing(doing)?;
        let waiting: i64 = rows.first().map_or(Ok(0), |row| row.try_get("", "events")).doing(doing)?;
        Ok(beyond + waiting)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::attempt::AttemptOutcome;
    use crate::store::{
        leases::{LeaseKind, OfOthers},
        testing::on_each_database,
    };

    const SUBSCRIPTION: SubscriptionKey = SubscriptionKey(1);

    fn moved(epoch: i64, cursor: i64) -> CursorMove {
        let dead = |place| CareOfEvents {
            first: Place(place),
            last: Place(place),
            state: CallbackState::Dead,
            reason: "HTTP 400".to_owned(),
            waits: None,
        };
        CursorMove {
            subscription: SUBSCRIPTION,
            account: AccountKey(1),
            epoch,
            cursor: Place(cursor),
            attempts: vec![],
            callbacks: vec![dead(cursor)],
            settled: vec![],
            trouble: Trouble::default(),
            replay: None,
        }
    }

    async fn commit(store: &Store, moved: &CursorMove) {
        let transaction = store.begin().await.expect("a transaction");
        let ids = Arc::new(MessageIds::new(0));
        move_cursors(&transaction, &[moved], &ids, store.now()).await.expect("it can be written");
        transaction.commit().await.expect("a commit");
    }

    /// An account and its URL; gives back the epoch of the URL's owner.
    async fn owned(store: &Store) -> i64 {
        for sql in [
            "INSERT INTO accounts (key, id, name, platform, enabled, policy, credentials, created_at, updated_at) \
             VALUES (1, 'acme', 'Acme', 'clevertap', TRUE, '{}', $1, 0, 0)",
            "INSERT INTO subscriptions (key, account, kind, dialect, url, url_hint, enabled, created_at, updated_at) \
             VALUES (1, 1, 1, 'clevertap', $1, 'example.com', TRUE, 0, 0)",
        ] {
            let transaction = store.begin().await.expect("a transaction");
            execute(&transaction, sql, vec![vec![0_u8].into()]).await.expect("written");
            transaction.commit().await.expect("a commit");
        }
        let lasts = Duration::from_secs(60);
        let taken = store.take_leases("one", LeaseKind::Subscription, &[SUBSCRIPTION.0], lasts, OfOthers::RunOut).await;
        taken.expect("readable").first().expect("nobody has it").epoch
    }

    #[tokio::test]
    async fn an_owner_that_lost_its_lease_leaves_no_event_behind() {
        on_each_database(|store| async move {
            let epoch = owned(&store).await;

            commit(&store, &moved(epoch, 5)).await;
            commit(&store, &moved(epoch - 1, 7)).await;

            let state = store.cursor_state(SUBSCRIPTION).await.expect("readable").expect("it is there");
            assert_eq!(state.cursor, Place(5));
            let rows = query(store.reader(), "SELECT first_place FROM callbacks", vec![]).await.expect("readable");
            let places: Vec<i64> = rows.iter().map(|row| row.try_get("", "first_place").expect("a place")).collect();
            assert_eq!(places, [5]);
        })
        .await;
    }

    fn carrying(places: &[i64], took_ms: u64) -> CallbackAttempt {
        let places: BTreeSet<Place> = places.iter().copied().map(Place).collect();
        let attempt = Attempt {
            started_at: UnixMillis(1_000),
            took: Duration::from_millis(took_ms),
            outcome: AttemptOutcome::Succeeded,
            http_status: Some(200),
            note: String::new(),
            excerpt: None,
        };
        let (first, last) = (*places.first().expect("some"), *places.last().expect("some"));
        CallbackAttempt { first, last, events: places.len(), places, replay: None, attempt, payload: None }
    }

    #[tokio::test]
    async fn of_requests_that_left_beside_each_other_each_is_told_with_what_it_carried() {
        on_each_database(|store| async move {
            let epoch = owned(&store).await;
            let attempts = vec![carrying(&[1, 3, 4, 9], 1), carrying(&[2, 5, 8], 2), carrying(&[6, 7], 3)];

            commit(&store, &CursorMove { attempts, ..moved(epoch, 9) }).await;

            let by = async |place| {
                let tries = store.callback_tries(SUBSCRIPTION.0, Place(place)).await.expect("readable");
                tries.iter().map(|tried| tried.took_ms).collect::<Vec<i32>>()
            };
            for (took_ms, places) in [(1, [1, 3, 4, 9].as_slice()), (2, &[2, 5, 8]), (3, &[6, 7])] {
                for place in places {
                    assert_eq!(by(*place).await, [took_ms], "the event at {place}");
                }
            }
            let about = store.exchanges_about(SUBSCRIPTION, (Place(5), Place(5))).await.expect("readable");
            let carried = about.iter().filter(|one| one.carried(Place(5))).map(|one| one.took_ms);
            assert_eq!(carried.collect::<Vec<i32>>(), [2]);
        })
        .await;
    }
}
