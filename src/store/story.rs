//! One message's whole story: what was asked, what we did, what WhatsApp said, who was told.

use sea_orm::{DbErr, QueryResult, Value};

use super::{
    Doing, Store, StoreError,
    events::{LoggedEvent, TOLD_BEFORE, logged_event},
    exchanges::{excerpt, is_reached},
    ingest::failure,
    outbound::{id_hash, odd_value, provider_id_hash},
    query,
    refused::refused,
    send_exchanges::{Taken, taken},
};
use crate::domain::{
    attempt::AnswerExcerpt,
    failure::Failure,
    ids::{AccountKey, MessageId, Place, SenderKey},
    outbound::{Category, SendState},
    phone::PhoneNumber,
    price::Price,
    sent_payload::SentPayload,
    status::DeliveryStatus,
    time::UnixMillis,
};

/// Of an event's exchanges so many are told.
const TRIES_MAX: usize = 20;
/// Requests that left beside each other have parts of the same stretch of the log: so many are looked at.
const COVERING_MAX: usize = 500;

/// A message as it stands.
#[derive(Clone, Debug)]
pub struct StoredMessage {
    pub id: MessageId,
    pub account: AccountKey,
    pub sender: SenderKey,
    pub category: Category,
    pub state: SendState,
    pub delivery: Option<DeliveryStatus>,
    pub platform_message_id: String,
    pub recipient: PhoneNumber,
    pub template: Option<(String, String)>,
    pub request: String,
    pub expires_at: UnixMillis,
    pub due_at: Option<UnixMillis>,
    pub attempts: i16,
    /// When the last try began, whatever came of it.
    pub tried_at: Option<UnixMillis>,
    pub took_ms: Option<i32>,
    pub provider_message_id: Option<String>,
    pub failure: Option<Failure>,
    pub price: Option<Price>,
    /// An operator sent it again when the log was so long: what stands above is of that send.
    pub resent_after: Option<Place>,
}

/// How a message stood when an operator sent it again.
#[derive(Clone, Debug)]
pub struct EarlierSend {
    pub ended_at: UnixMillis,
    pub state: SendState,
    pub delivery: Option<DeliveryStatus>,
    /// Tries up to then.
    pub attempts: i16,
    /// When the last of them began, whatever came of it.
    pub tried_at: Option<UnixMillis>,
    pub took_ms: Option<i32>,
    pub provider_message_id: Option<String>,
    pub failure: Option<Failure>,
    /// What the provider said when it took it.
    pub taken: Option<Taken>,
}

impl StoredMessage {
    /// When it was handed to the provider, if that is known.
    pub fn sent_at(&self) -> Option<UnixMillis> {
        self.tried_at.filter(|_| self.state == SendState::Submitted)
    }
}

impl EarlierSend {
    /// When it was handed to the provider, if that is known.
    pub fn sent_at(&self) -> Option<UnixMillis> {
        self.tried_at.filter(|_| self.state == SendState::Submitted)
    }
}

/// A try that did not end with the provider taking the message.
#[derive(Clone, Debug)]
pub struct FailedTry {
    pub attempt: i16,
    pub started_at: UnixMillis,
    pub took_ms: i32,
    pub failure: Failure,
}

/// An exchange that carried a certain event.
#[derive(Clone, Debug)]
pub struct CallbackTry {
    pub subscription: i32,
    pub events: i32,
    pub started_at: UnixMillis,
    pub took_ms: i32,
    pub http_status: Option<i16>,
    pub note: String,
    /// The replay that it was for.
    pub replay: Option<i32>,
    /// Of a webhook, where it answered.
    pub excerpt: Option<AnswerExcerpt>,
    /// Where it carried this event alone.
    pub payload: Option<SentPayload>,
}

/// What became of an event that a subscription's cursor passed without delivering it.
#[derive(Clone, Debug)]
pub struct Care {
    /// The code of a `CallbackState`.
    pub state: i16,
    pub reason: String,
    /// Of one that waits for another try.
    pub due_at: Option<UnixMillis>,
}

/// A refused request.
#[derive(Clone, Debug)]
pub struct Refused {
    pub id: MessageId,
    pub at: UnixMillis,
    pub account: AccountKey,
    pub kind: String,
    pub platform_message_id: Option<String>,
    pub answer: String,
    pub request: String,
}

pub(super) const MESSAGE_COLUMNS: &str = "id, account, sender, category, state, delivery, platform_message_id, recipient, \
     template_name, template_language, request, expires_at, due_at, attempts, sent_at, took_ms, provider_message_id, \
     failure_reason, failure_code, failure_text, price, resent_after";

/// At most this many messages are found under one id.
const FOUND_MAX: usize = 20;

impl Store {
    pub async fn message(&self, id: MessageId) -> Result<Option<StoredMessage>, StoreError> {
        Ok(self.messages("id = $1", vec![id.0.into()]).await?.into_iter().next())
    }

    /// Messages by the platform's id, of any account, the newest first.
    ///
    /// Within the window in which repeats are recognised this is a look-up; older messages, and tests,
    /// whose ids are not their own, are searched for one by one.
    pub async fn messages_by_platform_id(
        &self,
        accounts: &[AccountKey],
        platform_message_id: &str,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        let found = self.recent_by_platform_id(accounts, platform_message_id).await?;
        if found.is_empty() {
            return self.messages("platform_message_id = $1", vec![platform_message_id.into()]).await;
        }
        Ok(found)
    }

    /// The same, of those alone that the index of repeats knows.
    pub async fn recent_by_platform_id(
        &self,
        accounts: &[AccountKey],
        platform_message_id: &str,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        if accounts.is_empty() {
            return Ok(vec![]);
        }
        let accounts = accounts.iter().map(|account| account.0.to_string()).collect::<Vec<_>>().join(",");
        let which = format!(
            "id IN (SELECT message FROM message_keys WHERE account IN ({accounts}) AND id_hash = $1) \
             AND platform_message_id = $2"
        );
        self.messages(&which, vec![id_hash(platform_message_id).into(), platform_message_id.into()]).await
    }

    /// Messages by the provider's id.
    pub async fn messages_by_provider_id(
        &self,
        senders: &[SenderKey],
        provider_message_id: &str,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        let hashes: Vec<Value> =
            senders.iter().map(|sender| provider_id_hash(*sender, provider_message_id).into()).collect();
        let places = (1..=hashes.len()).map(|place| format!("${place}")).collect::<Vec<_>>().join(",");
        self.messages(&format!("id IN (SELECT message FROM provider_ids WHERE hash IN ({places}))"), hashes).await
    }

    async fn messages(&self, which: &str, values: Vec<Value>) -> Result<Vec<StoredMessage>, StoreError> {
        let sql =
            format!("SELECT {MESSAGE_COLUMNS} FROM outbound_messages WHERE {which} ORDER BY id DESC LIMIT {FOUND_MAX}");
        let rows = query(self.reader(), sql, values).await;
        rows.and_then(|rows| rows.iter().map(stored_message).collect()).doing("look up a message")
    }

    /// How many messages of its number go before one that waits for nothing else: those of higher classes, and older ones
    /// of its own.
    pub async fn ahead_in_queue(&self, message: &StoredMessage) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(*) AS ahead FROM outbound_messages WHERE sender = $1 AND state = 0 AND due_at IS NULL \
                   AND (class < $2 OR (class = $2 AND id < $3))";
        let class = message.category.class().code();
        let rows = query(self.reader(), sql, vec![message.sender.0.into(), class.into(), message.id.0.into()]).await;
        rows.and_then(|rows| rows.first().map_or(Ok(0), |row| row.try_get("", "ahead"))).doing("count what goes before")
    }

    pub async fn failed_tries(&self, id: MessageId) -> Result<Vec<FailedTry>, StoreError> {
        let sql = "SELECT attempt, started_at, took_ms, failure_reason, failure_code, failure_text \
                   FROM send_attempts WHERE message = $1 ORDER BY attempt";
        let rows = query(self.reader(), sql, vec![id.0.into()]).await;
        let read = |row: &QueryResult| -> Result<FailedTry, DbErr> {
            Ok(FailedTry {
                attempt: row.try_get("", "attempt")?,
                started_at: UnixMillis(row.try_get("", "started_at")?),
                took_ms: row.try_get("", "took_ms")?,
                failure: failure(row)?.ok_or_else(|| odd_value("failure_reason"))?,
            })
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read a message's attempts")
    }

    /// The sends of a message before the last one, in order.
    pub async fn earlier_sends(&self, id: MessageId) -> Result<Vec<EarlierSend>, StoreError> {
        let sql = "SELECT ended_at, state, delivery, attempts, sent_at, took_ms, provider_message_id, failure_reason, \
                   failure_code, failure_text, request_hash, answer FROM earlier_sends WHERE message = $1 ORDER BY ended_at";
        let rows = query(self.reader(), sql, vec![id.0.into()]).await;
        let read = |row: &QueryResult| -> Result<EarlierSend, DbErr> {
            let delivery: Option<i16> = row.try_get("", "delivery")?;
            let sent_at: Option<i64> = row.try_get("", "sent_at")?;
            Ok(EarlierSend {
                ended_at: UnixMillis(row.try_get("", "ended_at")?),
                state: SendState::from_code(row.try_get("", "state")?).ok_or_else(|| odd_value("state"))?,
                delivery: delivery.and_then(DeliveryStatus::from_code),
                attempts: row.try_get("", "attempts")?,
                tried_at: sent_at.map(UnixMillis),
                took_ms: row.try_get("", "took_ms")?,
                provider_message_id: row.try_get("", "provider_message_id")?,
                failure: failure(row)?,
                taken: taken(row)?,
            })
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read a message's earlier sends")
    }

    /// Everything in the log that is about this message: its statuses, and replies that quote it.
    pub async fn events_of(&self, message: &StoredMessage) -> Result<Vec<LoggedEvent>, StoreError> {
        let sql = format!(
            "SELECT e.place, e.kind, e.sender, e.message, e.status, e.occurred_at, e.recorded_at, e.failure_reason, \
             e.failure_code, e.failure_text, e.person, e.entry, NULL AS platform_message_id, {TOLD_BEFORE} \
             FROM events AS e JOIN outbound_messages AS m ON m.id = e.message WHERE e.message = $1 \
             ORDER BY e.place LIMIT 200"
        );
        let rows = query(self.reader(), sql, vec![message.id.0.into()]).await;
        rows.and_then(|rows| rows.iter().map(logged_event).collect()).doing("read a message's events")
    }

    /// Exchanges of a subscription that carried the event at a place, in order; of very many the first.
    pub async fn callback_tries(&self, subscription: i32, place: Place) -> Result<Vec<CallbackTry>, StoreError> {
        let sql = format!(
            "SELECT subscription, events, started_at, took_ms, http_status, note, replay, excerpt, first_place, steps, \
             payload_bytes, payload_hash, payload \
             FROM callback_attempts WHERE subscription = $1 AND last_place >= $2 AND first_place <= $2 \
             ORDER BY started_at, id LIMIT {COVERING_MAX}"
        );
        let rows = query(self.reader(), sql, vec![subscription.into(), place.0.into()]).await;
        let carried = |row: &QueryResult| -> Result<bool, DbErr> {
            let steps: Option<String> = row.try_get("", "steps")?;
            Ok(is_reached(Place(row.try_get("", "first_place")?), steps.as_deref(), place))
        };
        let read = |row: &QueryResult| -> Result<CallbackTry, DbErr> {
            Ok(CallbackTry {
                subscription: row.try_get("", "subscription")?,
                events: row.try_get("", "events")?,
                started_at: UnixMillis(row.try_get("", "started_at")?),
                took_ms: row.try_get("", "took_ms")?,
                http_status: row.try_get("", "http_status")?,
                note: row.try_get("", "note")?,
                replay: row.try_get("", "replay")?,
                excerpt: excerpt(row)?,
                payload: sent_payload(row)?,
            })
        };
        let tries = |rows: Vec<QueryResult>| -> Result<Vec<CallbackTry>, DbErr> {
            let mut tries = Vec::new();
            for row in &rows {
                if carried(row)? {
                    tries.push(read(row)?);
                }
            }
            tries.truncate(TRIES_MAX);
            Ok(tries)
        };
        rows.and_then(tries).doing("read callback attempts")
    }

    /// Why a subscription's cursor passed a place without delivering it, if it did.
    pub async fn care_of(&self, subscription: i32, place: Place) -> Result<Option<Care>, StoreError> {
        let sql = "SELECT state, reason, due_at FROM callbacks WHERE subscription = $1 AND first_place <= $2 \
                   AND last_place >= $2";
        let rows = query(self.reader(), sql, vec![subscription.into(), place.0.into()]).await;
        let read = |row: &QueryResult| {
            let due_at = row.try_get::<Option<i64>>("", "due_at")?.map(UnixMillis);
            Ok(Care { state: row.try_get("", "state")?, reason: row.try_get("", "reason")?, due_at })
        };
        rows.and_then(|rows| rows.first().map(read).transpose()).doing("read the care of an event")
    }

    /// Requests with this platform id that were refused, the newest first.
    pub async fn refused_with(&self, platform_message_id: &str) -> Result<Vec<Refused>, StoreError> {
        let sql = format!(
            "SELECT id, account, kind, platform_message_id, answer, request FROM refused_requests \
             WHERE platform_message_id = $1 ORDER BY id DESC LIMIT {FOUND_MAX}"
        );
        let rows = query(self.reader(), sql, vec![platform_message_id.into()]).await;
        rows.and_then(|rows| rows.iter().map(refused).collect()).doing("look up refused requests")
    }
}

fn sent_payload(row: &QueryResult) -> Result<Option<SentPayload>, DbErr> {
    let (bytes, hash): (Option<i32>, Option<Vec<u8>>) =
        (row.try_get("", "payload_bytes")?, row.try_get("", "payload_hash")?);
    let Some((bytes, hash)) = bytes.zip(hash) else { return Ok(None) };
    Ok(Some(SentPayload {
        bytes: usize::try_from(bytes).map_err(|_| odd_value("payload_bytes"))?,
        sha256: hash.try_into().map_err(|_| odd_value("payload_hash"))?,
        text: row.try_get("", "payload")?,
    }))
}

pub(super) fn stored_message(row: &QueryResult) -> Result<StoredMessage, DbErr> {
    let category: i16 = row.try_get("", "category")?;
    let state: i16 = row.try_get("", "state")?;
    let delivery: Option<i16> = row.try_get("", "delivery")?;
    let recipient: String = row.try_get("", "recipient")?;
    let name: Option<String> = row.try_get("", "template_name")?;
    let language: Option<String> = row.try_get("", "template_language")?;
    let millis = |column| row.try_get::<Option<i64>>("", column).map(|at| at.map(UnixMillis));
    Ok(StoredMessage {
        id: MessageId(row.try_get("", "id")?),
        account: AccountKey(row.try_get("", "account")?),
        sender: SenderKey(row.try_get("", "sender")?),
        category: Category::from_code(category).ok_or_else(|| odd_value("category"))?,
        state: SendState::from_code(state).ok_or_else(|| odd_value("state"))?,
        delivery: delivery.and_then(DeliveryStatus::from_code),
        platform_message_id: row.try_get("", "platform_message_id")?,
        recipient: PhoneNumber::from_international(&recipient).ok_or_else(|| odd_value("recipient"))?,
        template: name.zip(language),
        request: row.try_get("", "request")?,
        expires_at: UnixMillis(row.try_get("", "expires_at")?),
        due_at: millis("due_at")?,
        attempts: row.try_get("", "attempts")?,
        tried_at: millis("sent_at")?,
        took_ms: row.try_get("", "took_ms")?,
        provider_message_id: row.try_get("", "provider_message_id")?,
        failure: failure(row)?,
        price: row.try_get::<Option<i16>>("", "price")?.and_then(Price::from_code),
        resent_after: row.try_get::<Option<i64>>("", "resent_after")?.map(Place),
    })
}
