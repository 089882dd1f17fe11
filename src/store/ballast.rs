//! Messages by the million, made of one that is there: what was done before, and what waits. Nothing of the bridge uses it;
//! `wabridge bench` measures whether the bridge carries them without noticing.
//!
//! A copy has all that its original has: row, key, provider's id, event. Only what must differ does. Ids are older than those
//! of the bench, as those of a history are; hashes are spread evenly over all there can be, so that what comes later falls
//! between them everywhere. They also grow with the ids, and that is why a million is loaded in a minute.
//!
//! Nobody else may use the database meanwhile: the cursors are moved beyond the copies, and an owner of a subscription that
//! runs would tell them all.

use std::time::Duration;

use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbErr, TransactionTrait as _, Value};

use super::{Doing as _, StoreError, execute, postgres_options, query, sqlite_options, statistics::LOG_MARK};
use crate::{
    domain::{ids::MessageId, outbound::SendState, status::DeliveryStatus},
    settings,
};

/// Copies of one transaction: with their keys, ids and events some 50 MB.
pub const SLICE_ROWS: u64 = 20_000;
/// Nothing else runs.
const CACHE_KIB: u32 = 256_000;
/// A vacuum after ten million rows takes minutes.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(6 * 3600);
/// Into so many parts the room of all hashes is divided at least; fewer would be wider than a number can say.
const HASH_PARTS_MIN: u64 = 4;

/// How far back the history goes. Shorter than anything is kept, so that nothing of it is forgotten meanwhile.
const HISTORY: Duration = Duration::from_secs(6 * 24 * 3600);
/// Between the history and what the bench itself did.
const BACKLOG: Duration = Duration::from_secs(2 * 3600);
/// What waits may wait for so long, from the acceptance of the original on.
const BACKLOG_LASTS: Duration = Duration::from_secs(30 * 24 * 3600);

/// A database that is being loaded.
pub struct Ballast {
    database: DatabaseConnection,
    sqlite: bool,
    original: Original,
}

/// The message that is copied.
struct Original {
    message: i64,
    account: i32,
    event_place: i64,
    number: String,
}

/// Copies of one kind, of which some are made.
pub struct Pile {
    kind: Kind,
    copies: u64,
    done: u64,
    first_id: i64,
    id_step: i64,
    hash_step: i64,
}

enum Kind {
    /// Sent and delivered, and told.
    History,
    /// Queued at this number.
    Backlog { number: String },
}

impl Ballast {
    /// Copies the first message that a person has read, sent by `number`.
    pub async fn open(settings: &settings::Database, number: &str) -> Result<Self, StoreError> {
        let sqlite = settings.url.starts_with("sqlite:");
        let settings = settings::Database { statement_timeout: STATEMENT_TIMEOUT, ..settings.clone() };
        let options = if sqlite { sqlite_options(&settings, 1, CACHE_KIB) } else { postgres_options(&settings) };
        let database = sea_orm::Database::connect(options).await.doing("open the database")?;
        let original = Original::find(&database, number).await.doing("find a message to copy")?;
        Ok(Self { database, sqlite, original })
    }

    pub fn history(&self, copies: u64) -> Pile {
        Pile::new(Kind::History, copies, self.before(HISTORY), self.before(BACKLOG))
    }

    /// Queued at `number`.
    pub fn backlog(&self, copies: u64, number: &str) -> Pile {
        let kind = Kind::Backlog { number: number.to_owned() };
        Pile::new(kind, copies, self.before(BACKLOG), self.original.message)
    }

    fn before(&self, time: Duration) -> i64 {
        MessageId::first_at(MessageId(self.original.message).made_at().minus(time)).0
    }

    /// Makes some more copies, and says how many; none when all are made.
    pub async fn load_slice(&self, pile: &mut Pile) -> Result<u64, StoreError> {
        let copies = SLICE_ROWS.min(pile.copies - pile.done);
        if copies == 0 {
            return Ok(0);
        }
        self.copy(pile, copies).await.doing("copy messages")?;
        pile.done += copies;
        Ok(copies)
    }

    async fn copy(&self, pile: &Pile, copies: u64) -> Result<(), DbErr> {
        let Original { message, account, event_place, .. } = &self.original;
        let transaction = self.database.begin().await?;
        let rows =
            query(&transaction, "SELECT last_place FROM logs WHERE account = $1", vec![(*account).into()]).await?;
        let last_place: i64 = rows.first().map_or(Ok(0), |row| row.try_get("", "last_place"))?;
        let numbers = pile.numbers(copies, last_place + 1);
        let hash = if self.sqlite {
            "unhex(printf('%016x%016x', n.hash, n.id))"
        } else {
            "int8send(n.hash) || int8send(n.id)"
        };

        execute(&transaction, self.messages(pile, &numbers), vec![(*message).into()]).await?;
        let keys = format!(
            "{numbers} INSERT INTO message_keys (account, id_hash, content_hash, message) \
             SELECT {account}, n.hash, {hash}, n.id FROM n"
        );
        execute(&transaction, keys, vec![]).await?;
        match pile.kind {
            Kind::History => {
                let ids = format!("{numbers} INSERT INTO provider_ids (hash, message) SELECT {hash}, n.id FROM n");
                execute(&transaction, ids, vec![]).await?;
                let events = format!(
                    "{numbers} INSERT INTO events (account, place, kind, sender, message, status, occurred_at, recorded_at, \
                     entry) SELECT e.account, n.place, e.kind, e.sender, n.id, e.status, e.occurred_at, e.recorded_at, \
                     e.entry FROM n CROSS JOIN events AS e WHERE e.account = {account} AND e.place = {event_place}"
                );
                execute(&transaction, events, vec![]).await?;
                let last_place = last_place + i64::try_from(copies).unwrap_or(i64::MAX);
                let values = || -> Vec<Value> { vec![last_place.into(), (*account).into()] };
                execute(&transaction, "UPDATE logs SET last_place = $1 WHERE account = $2", values()).await?;
                execute(&transaction, "UPDATE subscriptions SET cursor = $1 WHERE account = $2", values()).await?;
            }
            Kind::Backlog { .. } => {}
        }
        transaction.commit().await
    }

    fn messages(&self, pile: &Pile, numbers: &str) -> String {
        let Original { message, number, .. } = &self.original;
        let differing = match &pile.kind {
            Kind::History => format!(
                "m.sender, {}, {}, m.request, m.expires_at, m.attempts, m.sent_at, m.took_ms, \
                 m.provider_message_id || '-' || n.id",
                SendState::Submitted.code(),
                DeliveryStatus::Delivered.code()
            ),
            Kind::Backlog { number: waits_at } => format!(
                "(SELECT key FROM senders WHERE number = '{waits_at}'), {}, NULL, replace(m.request, '{number}', '{waits_at}'), \
                 {}, 0, NULL, NULL, NULL",
                SendState::Queued.code(),
                MessageId(*message).made_at().plus(BACKLOG_LASTS).0
            ),
        };
        format!(
            "{numbers} INSERT INTO outbound_messages (id, account, class, category, platform_message_id, campaign, recipient, \
             template_name, template_language, sender, state, delivery, request, expires_at, attempts, sent_at, took_ms, \
             provider_message_id) SELECT n.id, m.account, m.class, m.category, m.platform_message_id || '-' || n.id, m.campaign, \
             m.recipient, m.template_name, m.template_language, {differing} \
             FROM n CROSS JOIN outbound_messages AS m WHERE m.id = $1"
        )
    }

    /// Brings the database to rest: what was loaded in bulk is written back, and PostgreSQL has looked after it as it
    /// does by itself now and then with tables that grow.
    pub async fn settle(self) -> Result<(), StoreError> {
        // A history that was lived has been counted long ago; this one would be counted while somebody measures.
        let counted = format!(
            "INSERT INTO marks (name, value) SELECT '{LOG_MARK}' || account, last_place FROM logs WHERE true \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        );
        self.database.execute_unprepared(&counted).await.doing("mark the history as counted")?;
        let sql = if self.sqlite { "PRAGMA wal_checkpoint(TRUNCATE)" } else { "VACUUM (ANALYZE)" };
        self.database.execute_unprepared(sql).await.doing("bring the database to rest")?;
        if !self.sqlite {
            // Not everybody may ask for one; it comes by itself then, while somebody measures.
            let _ = self.database.execute_unprepared("CHECKPOINT").await;
        }
        self.database.close().await.doing("close the database")
    }

    /// How large the database is.
    pub async fn bytes(&self) -> Result<u64, StoreError> {
        let sql = if self.sqlite {
            "SELECT page_count * page_size AS bytes FROM pragma_page_count(), pragma_page_size()"
        } else {
            "SELECT pg_database_size(current_database()) AS bytes"
        };
        let rows = query(&self.database, sql, vec![]).await;
        let bytes: i64 =
            rows.and_then(|rows| rows.first().map_or(Ok(0), |row| row.try_get("", "bytes"))).doing("measure it")?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }
}

impl Original {
    async fn find(database: &DatabaseConnection, number: &str) -> Result<Self, DbErr> {
        let sql = "SELECT m.id, m.account, (SELECT MIN(e.place) FROM events AS e WHERE e.message = m.id) AS place \
                   FROM outbound_messages AS m JOIN senders AS s ON s.key = m.sender \
                   WHERE s.number = $1 AND m.state = $2 AND m.delivery = $3 ORDER BY m.id LIMIT 1";
        let values = vec![number.into(), SendState::Submitted.code().into(), DeliveryStatus::Read.code().into()];
        let rows = query(database, sql, values).await?;
        let row = rows.first().ok_or_else(|| DbErr::Custom(format!("{number} has sent nothing that was read")))?;
        Ok(Self {
            message: row.try_get("", "id")?,
            account: row.try_get("", "account")?,
            event_place: row.try_get("", "place")?,
            number: number.to_owned(),
        })
    }
}

impl Pile {
    /// Of which the ids lie from `first_id` up to, and without, `end_id`.
    fn new(kind: Kind, copies: u64, first_id: i64, end_id: i64) -> Self {
        let step = |room: u64, parts: u64| i64::try_from(room / parts.max(1)).unwrap_or(i64::MAX).max(1);
        Self {
            kind,
            copies,
            done: 0,
            first_id,
            id_step: step(end_id.abs_diff(first_id), copies),
            hash_step: step(u64::MAX, copies.max(HASH_PARTS_MIN)),
        }
    }

    /// The numbers of the next copies, as a table `n` of a statement.
    fn numbers(&self, copies: u64, place: i64) -> String {
        let Self { id_step, hash_step, .. } = self;
        let done = i64::try_from(self.done).unwrap_or(i64::MAX);
        let id = self.first_id + done * id_step;
        // From the least hash on; together they are no wider than all hashes.
        let hash = i64::MIN.wrapping_add(done.wrapping_mul(*hash_step));
        format!(
            "WITH RECURSIVE n (i, id, place, hash) AS (\
             SELECT 1, CAST({id} AS BIGINT), CAST({place} AS BIGINT), CAST({hash} AS BIGINT) \
             UNION ALL SELECT i + 1, id + {id_step}, place + 1, hash + {hash_step} FROM n WHERE i < {copies})"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_share_the_room_of_ids_and_hashes_evenly() {
        let pile = |copies, done| Pile { done, ..Pile::new(Kind::History, copies, 1_000, 2_000) };

        assert!(
            pile(10, 0)
                .numbers(5, 7)
                .contains("CAST(1000 AS BIGINT), CAST(7 AS BIGINT), CAST(-9223372036854775808 AS BIGINT)")
        );
        let last = pile(10, 9).numbers(1, 16);
        assert!(
            last.contains("CAST(1900 AS BIGINT)") && last.contains("CAST(7378697629483820641 AS BIGINT)"),
            "{last}"
        );
        assert_eq!(pile(1, 0).hash_step, i64::MAX / 2, "a quarter of all");
    }
}
