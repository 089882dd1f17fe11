//! Whom numbers with a messaging limit wrote to first, and who wrote to them, within a day; and the messages that wait for
//! a place among them.
//!
//! A row for each person would be one more for every message of a campaign. So what an instance noted within a moment is
//! one row of eight bytes a person: a few rows a second at most, however many are written to.

use std::collections::BTreeMap;

use sea_orm::{DbErr, QueryResult, Value};

use super::{Doing, Store, StoreError, execute, execute_rows, outbound::odd_value, query};
use crate::domain::{
    ids::{MessageId, SenderKey},
    messaging_limit::Contact,
    time::UnixMillis,
};

/// What one instance noted of one number within a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentPeople {
    /// Says when. Of no message.
    pub id: MessageId,
    pub sender: SenderKey,
    pub contact: Contact,
    /// By [`PersonHash::half`](crate::domain::suppression::PersonHash::half).
    pub people: Vec<u64>,
}

impl Store {
    pub async fn add_recent_people(&self, noted: &[RecentPeople]) -> Result<(), StoreError> {
        let doing = "write down whom numbers wrote to";
        let rows: Vec<[Value; 4]> = noted
            .iter()
            .map(|row| {
                let people: Vec<u8> = row.people.iter().flat_map(|person| person.to_le_bytes()).collect();
                [row.id.0.into(), row.sender.0.into(), row.contact.code().into(), people.into()]
            })
            .collect();
        let transaction = self.begin().await.doing(doing)?;
        let head = "INSERT INTO recent_people (id, sender, kind, people)";
        execute_rows(&transaction, head, rows, "").await.doing(doing)?;
        transaction.commit().await.doing(doing)
    }

    /// What was noted since then and after an id, the oldest first.
    pub async fn recent_people(
        &self,
        since: UnixMillis,
        after: Option<MessageId>,
        limit: usize,
    ) -> Result<Vec<RecentPeople>, StoreError> {
        let from = MessageId::first_at(since).0.max(after.map_or(0, |after| after.0 + 1));
        let sql =
            format!("SELECT id, sender, kind, people FROM recent_people WHERE id >= $1 ORDER BY id LIMIT {limit}");
        let rows = query(self.reader(), sql, vec![from.into()]).await;
        rows.and_then(|rows| rows.iter().map(recent_people).collect()).doing("read whom numbers wrote to")
    }

    /// How many messages of each number wait for a place.
    pub async fn waiting_for_place(&self) -> Result<BTreeMap<SenderKey, i64>, StoreError> {
        let sql = "SELECT sender, COUNT(*) AS messages FROM outbound_messages \
                   WHERE state = 0 AND due_at = expires_at - 1 GROUP BY sender";
        let rows = query(self.reader(), sql, vec![]).await;
        let read = |row: &QueryResult| Ok((SenderKey(row.try_get("", "sender")?), row.try_get("", "messages")?));
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("count what waits for a place")
    }

    /// Puts messages that wait for a place into their number's queue again, those that expire first before others; says
    /// how many, at most `limit`.
    pub async fn try_places(&self, sender: SenderKey, now: UnixMillis, limit: u64) -> Result<u64, StoreError> {
        let doing = "let messages try for a place";
        let sql = format!(
            "UPDATE outbound_messages SET due_at = NULL WHERE id IN (SELECT id FROM outbound_messages WHERE sender = $1 \
             AND state = 0 AND due_at = expires_at - 1 AND due_at > $2 ORDER BY due_at LIMIT {limit}) \
             AND state = 0 AND due_at = expires_at - 1"
        );
        // Nearly always nothing does, and then nobody needs the writer.
        let waits = "SELECT 1 AS waits FROM outbound_messages WHERE sender = $1 AND state = 0 AND due_at = expires_at - 1 LIMIT 1";
        let waiting = query(self.reader(), waits, vec![sender.0.into()]).await.doing(doing)?;
        if waiting.is_empty() {
            return Ok(0);
        }
        let transaction = self.begin().await.doing("begin")?;
        let tried = execute(&transaction, sql, vec![sender.0.into(), now.0.into()]).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(tried)
    }
}

fn recent_people(row: &QueryResult) -> Result<RecentPeople, DbErr> {
    let people: Vec<u8> = row.try_get("", "people")?;
    let (people, rest) = people.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(odd_value("people"));
    }
    Ok(RecentPeople {
        id: MessageId(row.try_get("", "id")?),
        sender: SenderKey(row.try_get("", "sender")?),
        contact: Contact::from_code(row.try_get("", "kind")?).ok_or_else(|| odd_value("kind"))?,
        people: people.iter().map(|person| u64::from_le_bytes(*person)).collect(),
    })
}
