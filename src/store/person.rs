//! What is stored about one person: found by going through tables, because no index of the hot ones names people.
//!
//! It is asked for seldom and may take its time, so each table is walked in slices: short statements, between which
//! others get their turn, and after each of which somebody can be told how far it is.

use sea_orm::{DbErr, QueryResult, Value};

use super::{
    Doing, Store, StoreError, execute,
    forget::{forget_told, places_of},
    query,
    story::{MESSAGE_COLUMNS, StoredMessage, stored_message},
};
use crate::domain::{
    ids::{AccountKey, ConnectionKey, MessageId, Place, SenderKey},
    phone::PhoneNumber,
    time::UnixMillis,
};

/// A way through a table, in the order of its key.
#[derive(Clone, Debug)]
pub struct Walk {
    table: WalkedTable,
    first: i64,
    last: i64,
    reached: i64,
}

/// What can be walked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkedTable {
    Messages,
    /// The log of one account.
    Events(AccountKey),
    RefusedRequests,
    Unrecognized,
}

impl WalkedTable {
    fn table(self) -> &'static str {
        match self {
            Self::Messages => "outbound_messages",
            Self::Events(_) => "events",
            Self::RefusedRequests => "refused_requests",
            Self::Unrecognized => "unrecognized",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Events(_) => "place",
            Self::Messages | Self::RefusedRequests | Self::Unrecognized => "id",
        }
    }

    fn only(self) -> String {
        match self {
            Self::Events(account) => format!("account = {}", account.0),
            Self::Messages | Self::RefusedRequests | Self::Unrecognized => "TRUE".to_owned(),
        }
    }

    /// Rows in one slice: those that are read whole are few.
    fn slice_rows(self) -> usize {
        match self {
            Self::Messages | Self::Events(_) => 20_000,
            Self::RefusedRequests => 200,
            Self::Unrecognized => 1_000,
        }
    }
}

impl Walk {
    /// Begins behind this key, which an earlier walk has reached.
    #[must_use]
    pub fn from(self, reached: i64) -> Self {
        Self { reached: reached.max(self.first - 1), ..self }
    }

    /// The last key that was looked at.
    pub fn reached(&self) -> i64 {
        self.reached
    }

    /// How much of the way is behind, from 0 to 1.
    pub fn share(&self) -> f64 {
        let (done, all) = (self.reached - self.first, self.last - self.first);
        if all <= 0 { 1.0 } else { (done as f64 / all as f64).clamp(0.0, 1.0) }
    }
}

/// An inbound message as the log keeps it.
#[derive(Clone, Debug)]
pub struct InboundEntry {
    pub account: AccountKey,
    pub place: Place,
    pub sender: SenderKey,
    pub provider_message_id: String,
    pub occurred_at: UnixMillis,
    /// Whose it is, when the entry does not name the number and it was known.
    pub person: Option<String>,
    pub entry: String,
}

/// A refused request, read whole.
#[derive(Clone, Debug)]
pub struct RefusedEntry {
    pub id: MessageId,
    pub account: AccountKey,
    pub kind: String,
    pub answer: String,
    pub request: Vec<u8>,
}

/// A part of a webhook that was kept aside.
#[derive(Clone, Debug)]
pub struct KeptPart {
    pub id: MessageId,
    pub connection: ConnectionKey,
    pub reason: String,
    pub entry: String,
}

impl Store {
    /// Starts a walk. What is written later is beyond its end.
    pub async fn walk(&self, table: WalkedTable) -> Result<Walk, StoreError> {
        let (name, key, only) = (table.table(), table.key(), table.only());
        // Two questions: each is one step in the index, both together would be a way through all of it.
        let sql = format!(
            "SELECT (SELECT MIN({key}) FROM {name} WHERE {only}) AS first, (SELECT MAX({key}) FROM {name} WHERE {only}) AS last"
        );
        let rows = query(self.reader(), sql, vec![]).await.doing("measure a table")?;
        let read = |column| rows.first().map_or(Ok(None), |row| row.try_get::<Option<i64>>("", column));
        let first = read("first").doing("measure a table")?.unwrap_or(0);
        let last = read("last").doing("measure a table")?.unwrap_or(first - 1);
        Ok(Walk { table, first, last, reached: first - 1 })
    }

    /// The next slice: after the first key, up to the second. `None` at the end.
    async fn next_slice(&self, walk: &mut Walk) -> Result<Option<(i64, i64)>, StoreError> {
        if walk.reached >= walk.last {
            return Ok(None);
        }
        let (name, key, only) = (walk.table.table(), walk.table.key(), walk.table.only());
        let sql = format!(
            "SELECT MAX(k) AS reached FROM (SELECT {key} AS k FROM {name} WHERE {only} AND {key} > $1 AND {key} <= $2 \
             ORDER BY {key} LIMIT {}) AS slice",
            walk.table.slice_rows()
        );
        let rows =
            query(self.reader(), sql, vec![walk.reached.into(), walk.last.into()]).await.doing("walk a table")?;
        let reached: Option<i64> =
            rows.first().map_or(Ok(None), |row| row.try_get("", "reached")).doing("walk a table")?;
        let from = walk.reached;
        walk.reached = reached.unwrap_or(walk.last);
        Ok(Some((from, walk.reached)))
    }

    /// The messages to a person in the next slice; `None` at the end.
    pub async fn next_messages_to(
        &self,
        walk: &mut Walk,
        recipient: &PhoneNumber,
    ) -> Result<Option<Vec<StoredMessage>>, StoreError> {
        let Some((from, to)) = self.next_slice(walk).await? else { return Ok(None) };
        let sql = format!(
            "SELECT {MESSAGE_COLUMNS} FROM outbound_messages WHERE id > $1 AND id <= $2 AND recipient = $3 ORDER BY id"
        );
        let rows = query(self.reader(), sql, vec![from.into(), to.into(), recipient.as_e164().into()]).await;
        rows.and_then(|rows| rows.iter().map(stored_message).collect()).doing("read a person's messages").map(Some)
    }

    /// Inbound messages in the next slice that are known to be from this number, or whose entries contain one of the
    /// texts; `None` at the end.
    pub async fn next_inbound_with(
        &self,
        walk: &mut Walk,
        phone: &PhoneNumber,
        texts: &[String],
    ) -> Result<Option<Vec<InboundEntry>>, StoreError> {
        let Some((from, to)) = self.next_slice(walk).await? else { return Ok(None) };
        let sql = format!(
            "SELECT account, place, sender, provider_message_id, occurred_at, person, entry FROM events \
             WHERE {} AND place > $1 AND place <= $2 AND kind IN (2, 3) AND ({} OR person = ${}) ORDER BY place",
            walk.table.only(),
            contains_any("entry", texts.len(), 3),
            texts.len() + 3
        );
        let mut values = slice_values(from, to, texts);
        values.push(phone.as_e164().into());
        let rows = query(self.reader(), sql, values).await;
        let read = |row: &QueryResult| -> Result<InboundEntry, DbErr> {
            Ok(InboundEntry {
                account: AccountKey(row.try_get("", "account")?),
                place: Place(row.try_get("", "place")?),
                sender: SenderKey(row.try_get("", "sender")?),
                provider_message_id: row.try_get("", "provider_message_id")?,
                occurred_at: UnixMillis(row.try_get("", "occurred_at")?),
                person: row.try_get("", "person")?,
                entry: row.try_get::<Option<String>>("", "entry")?.unwrap_or_default(),
            })
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read a person's inbound messages").map(Some)
    }

    /// Erases what an account's log says about a person as a contact, after the first place and up to the second. What is told
    /// is written by ourselves, so the number stands there as it is searched for.
    pub async fn erase_news(
        &self,
        account: AccountKey,
        (from, to): (i64, i64),
        phone: &PhoneNumber,
        user_ids: &[String],
    ) -> Result<u64, StoreError> {
        let doing = "erase news of a person";
        let quoted = |text: &str| serde_json::to_string(text).expect("a text is JSON");
        let phone = format!("\"phone\":{}", quoted(phone.as_e164()));
        let ids = user_ids.iter().map(|id| format!("\"user_id\":{}", quoted(id)));
        let texts: Vec<String> = std::iter::once(phone).chain(ids).collect();
        let events = format!(
            "account = {} AND place > $1 AND place <= $2 AND kind = 5 AND ({})",
            account.0,
            contains_any("entry", texts.len(), 3)
        );
        let transaction = self.begin().await.doing(doing)?;
        let places = places_of(&transaction, &events, slice_values(from, to, &texts)).await.doing(doing)?;
        forget_told(&transaction, places).await.doing(doing)?;
        let gone = execute(&transaction, format!("DELETE FROM events WHERE {events}"), slice_values(from, to, &texts));
        let gone = gone.await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(gone)
    }

    /// All refused requests of the next slice: only their platform's dialect can say whom they were for. `None` at
    /// the end.
    pub async fn next_refused(&self, walk: &mut Walk) -> Result<Option<Vec<RefusedEntry>>, StoreError> {
        let Some((from, to)) = self.next_slice(walk).await? else { return Ok(None) };
        let sql =
            "SELECT id, account, kind, answer, request FROM refused_requests WHERE id > $1 AND id <= $2 ORDER BY id";
        let rows = query(self.reader(), sql, vec![from.into(), to.into()]).await;
        let read = |row: &QueryResult| -> Result<RefusedEntry, DbErr> {
            Ok(RefusedEntry {
                id: MessageId(row.try_get("", "id")?),
                account: AccountKey(row.try_get("", "account")?),
                kind: row.try_get("", "kind")?,
                answer: row.try_get("", "answer")?,
                request: row.try_get("", "request")?,
            })
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read refused requests").map(Some)
    }

    /// Parts of webhooks in the next slice that contain one of the texts; `None` at the end.
    pub async fn next_kept_parts_with(
        &self,
        walk: &mut Walk,
        texts: &[String],
    ) -> Result<Option<Vec<KeptPart>>, StoreError> {
        let Some((from, to)) = self.next_slice(walk).await? else { return Ok(None) };
        let sql = format!(
            "SELECT id, connection, reason, entry FROM unrecognized WHERE id > $1 AND id <= $2 AND ({}) ORDER BY id",
            contains_any("entry", texts.len(), 3)
        );
        let rows = query(self.reader(), sql, slice_values(from, to, texts)).await;
        let read = |row: &QueryResult| -> Result<KeptPart, DbErr> {
            Ok(KeptPart {
                id: MessageId(row.try_get("", "id")?),
                connection: ConnectionKey(row.try_get("", "connection")?),
                reason: row.try_get("", "reason")?,
                entry: row.try_get("", "entry")?,
            })
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read parts of webhooks").map(Some)
    }
}

/// `entry LIKE $3 OR entry LIKE $4 …`: it may find too much, never too little.
fn contains_any(column: &str, texts: usize, first: usize) -> String {
    let tests: Vec<String> = (first..first + texts).map(|place| format!("{column} LIKE ${place}")).collect();
    if tests.is_empty() { "FALSE".to_owned() } else { tests.join(" OR ") }
}

fn slice_values(from: i64, to: i64, texts: &[String]) -> Vec<Value> {
    let patterns = texts.iter().map(|text| Value::from(format!("%{text}%")));
    [from.into(), to.into()].into_iter().chain(patterns).collect()
}
