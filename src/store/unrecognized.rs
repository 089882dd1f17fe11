//! What was kept because it could not be read or matched, for people to look at.

use sea_orm::{DbErr, QueryResult, Value};

use super::{Doing, Store, StoreError, query};
use crate::domain::{
    ids::{ConnectionKey, MessageId},
    time::UnixMillis,
};

/// Why a part of a webhook lies aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptKind {
    /// It could not be read, or is about something that is not ours.
    Unread,
    /// A status whose message is not known, or not yet.
    Parked,
}

impl KeptKind {
    fn from_code(code: i16) -> Self {
        if code == 1 { Self::Unread } else { Self::Parked }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unread => "unread",
            Self::Parked => "parked",
        }
    }
}

/// One part.
#[derive(Clone, Debug)]
pub struct KeptPart {
    /// Grows with time; for paging.
    pub id: i64,
    pub at: UnixMillis,
    pub kind: KeptKind,
    pub connection: ConnectionKey,
    pub pointer: String,
    pub reason: String,
    pub entry: String,
}

/// Parts of one kind that lie aside for one reason.
#[derive(Clone, Debug)]
pub struct KeptGroup {
    pub kind: KeptKind,
    pub connection: ConnectionKey,
    pub reason: String,
    pub parts: i64,
    pub oldest: UnixMillis,
    pub newest: UnixMillis,
    /// A short form of where in its webhook the newest stands.
    pub example_pointer: String,
}

/// Which parts.
#[derive(Clone, Debug, Default)]
pub struct KeptFilter {
    pub since: Option<UnixMillis>,
    pub connection: Option<ConnectionKey>,
    /// Only reasons in which this stands, whatever the case.
    pub reason: Option<String>,
    /// Only older ones than this part: the next page.
    pub before: Option<i64>,
}

impl KeptFilter {
    fn condition(&self) -> (String, Vec<Value>) {
        let mut conditions = vec!["true".to_owned()];
        let mut values: Vec<Value> = Vec::new();
        let mut add = |condition: &str, value: Value| {
            values.push(value);
            conditions.push(format!("{condition} ${}", values.len()));
        };
        if let Some(since) = self.since {
            add("id >=", MessageId::first_at(since).0.into());
        }
        if let Some(connection) = self.connection {
            add("connection =", connection.0.into());
        }
        if let Some(before) = self.before {
            add("id <", before.into());
        }
        if let Some(reason) = &self.reason {
            let escaped = reason.to_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
            add("LOWER(reason) LIKE", format!("%{escaped}%").into());
            if let Some(last) = conditions.last_mut() {
                last.push_str(" ESCAPE '\\'");
            }
        }
        (conditions.join(" AND "), values)
    }
}

impl Store {
    /// Parts, the newest first.
    pub async fn kept_parts(&self, filter: &KeptFilter, limit: usize) -> Result<Vec<KeptPart>, StoreError> {
        let (condition, values) = filter.condition();
        let sql = format!(
            "SELECT id, kind, connection, pointer, reason, entry FROM unrecognized \
             WHERE {condition} ORDER BY id DESC LIMIT {limit}"
        );
        let rows = query(self.reader(), sql, values).await;
        let read = |row: &QueryResult| -> Result<_, DbErr> {
            let id: i64 = row.try_get("", "id")?;
            Ok(KeptPart {
                id,
                at: MessageId(id).made_at(),
                kind: KeptKind::from_code(row.try_get("", "kind")?),
                connection: ConnectionKey(row.try_get("", "connection")?),
                pointer: row.try_get("", "pointer")?,
                reason: row.try_get("", "reason")?,
                entry: row.try_get("", "entry")?,
            })
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read what was kept aside")
    }

    /// The same by reason: the most frequent first.
    pub async fn kept_groups(&self, filter: &KeptFilter, limit: usize) -> Result<Vec<KeptGroup>, StoreError> {
        let (condition, values) = filter.condition();
        let sql = format!(
            "SELECT g.kind, g.connection, g.reason, g.parts, g.oldest, g.newest, u.pointer FROM \
             (SELECT kind, connection, reason, COUNT(*) AS parts, MIN(id) AS oldest, MAX(id) AS newest \
             FROM unrecognized WHERE {condition} GROUP BY kind, connection, reason) AS g \
             CROSS JOIN unrecognized AS u WHERE u.id = g.newest ORDER BY g.parts DESC, g.newest DESC LIMIT {limit}"
        );
        let rows = query(self.reader(), sql, values).await;
        let read = |row: &QueryResult| -> Result<_, DbErr> {
            let at = |column| row.try_get::<i64>("", column).map(|id| MessageId(id).made_at());
            Ok(KeptGroup {
                kind: KeptKind::from_code(row.try_get("", "kind")?),
                connection: ConnectionKey(row.try_get("", "connection")?),
                reason: row.try_get("", "reason")?,
                parts: row.try_get("", "parts")?,
                oldest: at("oldest")?,
                newest: at("newest")?,
                example_pointer: row.try_get("", "pointer")?,
            })
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("count what was kept aside")
    }
}
