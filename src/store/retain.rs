//! Forgetting, in small steps: each is a short transaction, so that nobody waits for it.

mod of_account;

use sea_orm::{DbErr, QueryResult, Value};

use super::{
    DatabaseTransaction, Doing, Store, StoreError, execute, execute_rows,
    outbound::{id_hash, id_list, provider_id_hash},
    query,
};
use crate::domain::{
    ids::{AccountKey, MessageId, SenderKey},
    time::UnixMillis,
};

/// Tables whose rows carry their age in their id and depend on nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aging {
    RefusedRequests,
    CallbackAttempts,
    UnreadParts,
    ParkedStatuses,
    RecentPeople,
}

impl Aging {
    fn table(self) -> (&'static str, &'static str) {
        match self {
            Self::RefusedRequests => ("refused_requests", "true"),
            Self::CallbackAttempts => ("callback_attempts", "true"),
            Self::UnreadParts => ("unrecognized", "kind = 1"),
            Self::ParkedStatuses => ("unrecognized", "kind = 2"),
            Self::RecentPeople => ("recent_people", "true"),
        }
    }
}

/// Free pages of an SQLite file that are not worth moving others for.
const FREE_PAGES_KEPT_MIN: i64 = 256;
/// One page in so many may be free: what is deleted each day makes room for what comes each day.
const FREE_SHARE_KEPT: i64 = 10;
/// Pages that one step gives back, while nobody else can write.
const PAGES_GIVEN_BACK: i64 = 500;

/// How far the forgetting of message keys has come.
const KEYS_MARK: &str = "message_keys";

impl Store {
    /// Deletes rows that were made before `before`, at most `limit`; says how many.
    pub async fn forget_aged(&self, what: Aging, before: UnixMillis, limit: usize) -> Result<usize, StoreError> {
        let (table, only) = what.table();
        let before = MessageId::first_at(before).0;
        let sql = format!(
            "DELETE FROM {table} WHERE id IN \
             (SELECT id FROM {table} WHERE id < {before} AND {only} ORDER BY id LIMIT {limit})"
        );
        let transaction = self.begin().await.doing("begin")?;
        let gone = execute(&transaction, sql, vec![]).await.doing("forget old rows")?;
        transaction.commit().await.doing("forget old rows")?;
        Ok(usize::try_from(gone).unwrap_or(usize::MAX))
    }

    /// Forgets by what repeats of messages accepted before `before` would be recognised.
    pub async fn forget_message_keys(&self, before: UnixMillis, limit: usize) -> Result<usize, StoreError> {
        let transaction = self.begin().await.doing("begin")?;
        let gone = forget_keys(&transaction, before, limit).await.doing("forget message keys")?;
        transaction.commit().await.doing("forget message keys")?;
        Ok(gone)
    }

    /// Forgets messages accepted before `before`, with everything that hangs on them but their events.
    pub async fn forget_messages(&self, before: UnixMillis, limit: usize) -> Result<usize, StoreError> {
        let transaction = self.begin().await.doing("begin")?;
        let gone = forget_messages(&transaction, before, limit).await.doing("forget messages")?;
        transaction.commit().await.doing("forget messages")?;
        Ok(gone)
    }

    /// Forgets events recorded before `before` that every subscription of the account has passed.
    pub async fn forget_events(
        &self,
        account: AccountKey,
        before: UnixMillis,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let transaction = self.begin().await.doing("begin")?;
        let gone = forget_events(&transaction, account, before, limit).await.doing("forget events")?;
        transaction.commit().await.doing("forget events")?;
        Ok(gone)
    }

    /// Forgets that callbacks were left behind before `before`: their events are older, and gone.
    pub async fn forget_callbacks(&self, before: UnixMillis, limit: usize) -> Result<usize, StoreError> {
        let sql = format!(
            "DELETE FROM callbacks WHERE (subscription, first_place) IN (SELECT subscription, first_place FROM callbacks \
             WHERE created_at < $1 ORDER BY created_at LIMIT {limit})"
        );
        self.forget(&sql, before).await
    }

    /// Forgets replays that were asked for before `before`.
    pub async fn forget_replays(&self, before: UnixMillis, limit: usize) -> Result<usize, StoreError> {
        let sql = format!(
            "DELETE FROM replays WHERE id IN (SELECT id FROM replays WHERE created_at < $1 ORDER BY id LIMIT {limit})"
        );
        self.forget(&sql, before).await
    }

    pub(super) async fn forget(&self, sql: &str, before: UnixMillis) -> Result<usize, StoreError> {
        let transaction = self.begin().await.doing("begin")?;
        let gone = execute(&transaction, sql, vec![before.0.into()]).await.doing("forget old rows")?;
        transaction.commit().await.doing("forget old rows")?;
        Ok(usize::try_from(gone).unwrap_or(usize::MAX))
    }

    /// SQLite: gives some freed pages back to the file system. `false` when what is free will be needed again soon.
    /// PostgreSQL does this by itself.
    pub async fn give_back_space(&self) -> Result<bool, StoreError> {
        if !self.is_sqlite() {
            return Ok(false);
        }
        let (free, pages) = (self.pages("freelist_count").await?, self.pages("page_count").await?);
        if free < FREE_PAGES_KEPT_MIN || free < pages / FREE_SHARE_KEPT {
            return Ok(false);
        }
        let sql = format!("PRAGMA incremental_vacuum({PAGES_GIVEN_BACK})");
        query(&self.writer, sql, vec![]).await.doing("give back freed pages")?;
        Ok(true)
    }

    async fn pages(&self, which: &str) -> Result<i64, StoreError> {
        let rows = query(self.reader(), format!("PRAGMA {which}"), vec![]).await;
        rows.and_then(|rows| rows.first().map_or(Ok(0), |row| row.try_get("", which))).doing("count pages")
    }
}

async fn forget_keys(transaction: &DatabaseTransaction, before: UnixMillis, limit: usize) -> Result<usize, DbErr> {
    let from = mark(transaction, KEYS_MARK).await?;
    let sql = format!(
        "SELECT id, account, platform_message_id FROM outbound_messages \
         WHERE id > $1 AND id < $2 ORDER BY id LIMIT {limit}"
    );
    let rows = query(transaction, sql, vec![from.into(), MessageId::first_at(before).0.into()]).await?;
    let Some(last) = rows.last() else { return Ok(0) };
    let last: i64 = last.try_get("", "id")?;
    let mut keys: Vec<[Value; 3]> = Vec::with_capacity(rows.len());
    for row in &rows {
        let platform_id: String = row.try_get("", "platform_message_id")?;
        let account: i32 = row.try_get("", "account")?;
        let message: i64 = row.try_get("", "id")?;
        keys.push([account.into(), id_hash(&platform_id).into(), message.into()]);
    }
    // A key that was claimed anew since then names a younger message, and stays.
    execute_rows(transaction, "DELETE FROM message_keys WHERE (account, id_hash, message) IN (", keys, ")").await?;
    set_mark(transaction, KEYS_MARK, last).await?;
    Ok(rows.len())
}

/// How far a walk through a table has come.
async fn mark(transaction: &DatabaseTransaction, name: &str) -> Result<i64, DbErr> {
    let marks = query(transaction, "SELECT value FROM marks WHERE name = $1", vec![name.into()]).await?;
    marks.first().map_or(Ok(0), |row| row.try_get("", "value"))
}

async fn set_mark(transaction: &DatabaseTransaction, name: &str, value: i64) -> Result<(), DbErr> {
    let sql = "INSERT INTO marks (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    execute(transaction, sql, vec![name.into(), value.into()]).await.map(drop)
}

async fn forget_messages(transaction: &DatabaseTransaction, before: UnixMillis, limit: usize) -> Result<usize, DbErr> {
    // What waits or is under way is younger than this by far; should it not be, it stays.
    let sql = format!(
        "SELECT id, sender, provider_message_id FROM outbound_messages \
         WHERE id < $1 AND state NOT IN (0, 1) ORDER BY id LIMIT {limit}"
    );
    let rows = query(transaction, sql, vec![MessageId::first_at(before).0.into()]).await?;
    let mut messages = Vec::with_capacity(rows.len());
    let mut hashes: Vec<[Value; 1]> = Vec::new();
    for row in &rows {
        messages.push(MessageId(row.try_get("", "id")?));
        if let Some(provider_id) = row.try_get::<Option<String>>("", "provider_message_id")? {
            hashes.push([provider_id_hash(SenderKey(row.try_get("", "sender")?), &provider_id).into()]);
        }
    }
    delete_messages(transaction, &messages, hashes).await?;
    Ok(messages.len())
}

/// Deletes messages with everything that hangs on them but their events; `hashes` are those of their provider's ids.
async fn delete_messages(
    transaction: &DatabaseTransaction,
    messages: &[MessageId],
    mut hashes: Vec<[Value; 1]>,
) -> Result<(), DbErr> {
    if messages.is_empty() {
        return Ok(());
    }
    let list = id_list(messages);
    hashes.extend(earlier_hashes(transaction, &list).await?);
    execute_rows(transaction, "DELETE FROM provider_ids WHERE hash IN (", hashes, ")").await?;
    execute(transaction, format!("DELETE FROM send_attempts WHERE message IN ({list})"), vec![]).await?;
    execute(transaction, format!("DELETE FROM operator_notes WHERE message IN ({list})"), vec![]).await?;
    execute(transaction, format!("DELETE FROM unheard_messages WHERE message IN ({list})"), vec![]).await?;
    execute(transaction, format!("DELETE FROM earlier_sends WHERE message IN ({list})"), vec![]).await?;
    execute(transaction, format!("DELETE FROM other_provider_ids WHERE message IN ({list})"), vec![]).await?;
    execute(transaction, format!("DELETE FROM send_exchanges WHERE message IN ({list})"), vec![]).await?;
    execute(transaction, format!("DELETE FROM outbound_messages WHERE id IN ({list})"), vec![]).await?;
    Ok(())
}

/// Under which earlier sends of these messages are found, and under which other ids.
pub(super) async fn earlier_hashes(transaction: &DatabaseTransaction, list: &str) -> Result<Vec<[Value; 1]>, DbErr> {
    let sql = format!(
        "SELECT m.sender, s.provider_message_id FROM earlier_sends AS s JOIN outbound_messages AS m ON m.id = s.message \
         WHERE s.message IN ({list}) AND s.provider_message_id IS NOT NULL"
    );
    let hash = |row: &QueryResult| -> Result<[Value; 1], DbErr> {
        let provider_id: String = row.try_get("", "provider_message_id")?;
        Ok([provider_id_hash(SenderKey(row.try_get("", "sender")?), &provider_id).into()])
    };
    let mut hashes: Vec<[Value; 1]> =
        query(transaction, sql, vec![]).await?.iter().map(hash).collect::<Result<_, DbErr>>()?;
    let others = format!("SELECT hash FROM other_provider_ids WHERE message IN ({list})");
    for row in &query(transaction, others, vec![]).await? {
        let hash: Vec<u8> = row.try_get("", "hash")?;
        hashes.push([hash.into()]);
    }
    Ok(hashes)
}

async fn forget_events(
    transaction: &DatabaseTransaction,
    account: AccountKey,
    before: UnixMillis,
    limit: usize,
) -> Result<usize, DbErr> {
    // The log is in the order of time, so only its beginning is looked at: as a condition of the whole, the age would be asked
    // of millions that are younger, while nobody else can write.
    let sql = format!(
        "SELECT place, sender, provider_message_id FROM (SELECT place, sender, provider_message_id, recorded_at FROM events \
         WHERE account = $1 AND place <= (SELECT COALESCE(MIN(cursor), {}) FROM subscriptions WHERE account = $1 AND enabled) \
         ORDER BY place LIMIT {limit}) AS oldest WHERE recorded_at < $2 ORDER BY place",
        i64::MAX
    );
    let rows = query(transaction, sql, vec![account.0.into(), before.0.into()]).await?;
    let Some(last) = rows.last() else { return Ok(0) };
    let last: i64 = last.try_get("", "place")?;
    let mut hashes: Vec<[Value; 1]> = Vec::new();
    for row in &rows {
        if let Some(provider_id) = row.try_get::<Option<String>>("", "provider_message_id")? {
            hashes.push([provider_id_hash(SenderKey(row.try_get("", "sender")?), &provider_id).into()]);
        }
    }
    execute_rows(transaction, "DELETE FROM inbound_keys WHERE hash IN (", hashes, ")").await?;
    let values = vec![account.0.into(), last.into(), before.0.into()];
    let sql = "DELETE FROM events WHERE account = $1 AND place <= $2 AND recorded_at < $3";
    execute(transaction, sql, values.clone()).await?;
    let sql = "DELETE FROM callbacks WHERE account = $1 AND last_place <= $2 AND created_at < $3";
    execute(transaction, sql, values).await?;
    Ok(rows.len())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store::testing::on_each_database;

    /// Tables that lose their rows by age, and the setting that says when.
    const AGING: [(&str, &str); 38] = [
        ("outbound_messages", "retention.messages"),
        ("send_attempts", "retention.messages"),
        ("operator_notes", "retention.messages"),
        ("unheard_messages", "retention.messages"),
        ("earlier_sends", "retention.messages"),
        ("send_exchanges", "retention.messages"),
        ("provider_ids", "retention.messages"),
        ("other_provider_ids", "retention.messages"),
        ("message_keys", "repeats.window"),
        ("events", "retention.events"),
        ("inbound_keys", "retention.events"),
        ("suppressions", "retention.events, once they are lifted"),
        ("person_links", "retention.person_links"),
        ("contacts", "retention.person_links"),
        ("conversations", "with their contacts"),
        ("media", "retention.media"),
        ("callbacks", "retention.events"),
        ("callback_attempts", "retention.attempts"),
        ("replays", "retention.attempts"),
        ("unrecognized", "retention.unrecognized, retention.parked_statuses"),
        ("refused_requests", "retention.refused"),
        ("queue_rules", "a week after an operator or their time has ended them; at most QUEUE_RULES_MAX are in force"),
        ("activity", "a day"),
        ("statistics", "retention.statistics"),
        ("provider_conversations", "a day, and what the housekeeping takes to come round"),
        ("recent_people", "a day, and what the housekeeping takes to come round"),
        ("alarms", "alarms.every after they were over"),
        ("alarm_letters", "retention.audit"),
        ("webhook_letters", "when they were sent, or a day after"),
        ("erasures", "retention.audit"),
        ("campaign_cancels", "retention.audit"),
        ("operator_links", "when they expire"),
        ("operator_sessions", "console.session_max"),
        ("sign_in_tries", "console.sign_in_window"),
        ("api_tokens", "retention.audit after they ended; at most TOKENS_MAX"),
        ("audit_log", "retention.audit"),
        ("instances", "a day after they were last seen"),
        ("seaql_migrations", "never: one row for each step of the schema"),
    ];
    /// Tables that are as long as what is configured.
    const CONFIGURED: [&str; 16] = [
        "polls",
        "connections",
        "accounts",
        "senders",
        "operators",
        "channels",
        "subscriptions",
        "webhooks",
        "suppression_syncs",
        "versions",
        "logs",
        "templates",
        "template_syncs",
        "leases",
        "marks",
        "secrets",
    ];

    #[tokio::test]
    async fn no_table_grows_for_ever() {
        on_each_database(|store| async move {
            let sql = if store.is_sqlite() {
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            } else {
                "SELECT CAST(table_name AS TEXT) AS name FROM information_schema.tables \
                 WHERE table_schema = current_schema()"
            };
            let rows = query(store.reader(), sql, vec![]).await.expect("the schema can be read");
            let tables: BTreeSet<String> = rows.iter().map(|row| row.try_get("", "name").expect("a name")).collect();
            assert!(tables.contains("outbound_messages"));
            for table in &tables {
                let known = AGING.iter().any(|(aging, _)| aging == table) || CONFIGURED.contains(&table.as_str());
                assert!(
                    known,
                    "when are rows of {table} deleted? Say so here, in the README, and in services/retain.rs"
                );
            }
        })
        .await;
    }

    #[tokio::test]
    async fn callbacks_left_behind_and_replays_are_forgotten_by_their_age() {
        on_each_database(|store| async move {
            for (place, at) in [(1, 1_000), (2, 2_000), (3, 3_000)] {
                let sql = "INSERT INTO callbacks (subscription, first_place, last_place, account, state, reason, created_at) \
                           VALUES (1, $1, $1, 1, 1, 'HTTP 400', $2)";
                execute(&store.writer, sql, vec![i64::into(place), i64::into(at)]).await.expect("written");
                let sql = "INSERT INTO replays (subscription, account, selection, next_place, last_place, wanted, created_at) \
                           VALUES (1, 1, 1, $1, $1, 1, $2)";
                execute(&store.writer, sql, vec![i64::into(place), i64::into(at)]).await.expect("written");
            }

            let before = UnixMillis(3_000);
            while store.forget_callbacks(before, 1).await.expect("written") > 0 {}
            while store.forget_replays(before, 1).await.expect("written") > 0 {}

            for table in ["callbacks", "replays"] {
                let sql = format!("SELECT MIN(created_at) AS oldest, COUNT(*) AS left_over FROM {table}");
                let row = query(store.reader(), sql, vec![]).await.expect("readable").remove(0);
                let left: (i64, i64) = (row.try_get("", "oldest").expect("one"), row.try_get("", "left_over").expect("one"));
                assert_eq!(left, (3_000, 1), "{table}");
            }
        })
        .await;
    }

    #[tokio::test]
    async fn the_space_of_what_is_forgotten_is_given_back() {
        on_each_database(|store| async move {
            if !store.is_sqlite() {
                assert!(!store.give_back_space().await.expect("nothing to do"), "PostgreSQL does it by itself");
                return;
            }
            for id in 0..2_000_i64 {
                let sql =
                    "INSERT INTO refused_requests (id, account, kind, request, answer) VALUES ($1, 1, 'other', $2, '')";
                execute(&store.writer, sql, vec![id.into(), vec![7u8; 4_000].into()]).await.expect("written");
            }
            let full = store.pages("page_count").await.expect("countable");
            store.forget_aged(Aging::RefusedRequests, crate::clock::now(), 10_000).await.expect("written");

            let mut steps = 0;
            while store.give_back_space().await.expect("possible") {
                steps += 1;
                assert!(steps < 100, "it comes to an end");
            }

            let left = store.pages("page_count").await.expect("countable");
            assert!(full > 2_000 && left < full / 4, "of {full} pages {left} are left");
        })
        .await;
    }
}
