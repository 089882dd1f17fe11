//! Who is signed in, and how often somebody tried to.

use std::time::Duration;

use sea_orm::{DbErr, QueryResult, Value};

use super::{
    Doing, Store, StoreError,
    audit::{AuditEntry, append},
    execute,
    operators::{Operator, sign_out},
    query,
};
use crate::domain::time::UnixMillis;

/// The oldest session of a person ends when there would be more.
const SESSIONS_PER_OPERATOR_MAX: usize = 20;

/// Between two notes that a session, or a token, is in use.
const SEEN_EVERY: Duration = Duration::from_secs(60);

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub struct Session {
    pub hash: Vec<u8>,
    pub operator: i32,
    pub created_at: UnixMillis,
    pub seen_at: UnixMillis,
    pub address: String,
    pub agent: String,
}

impl Store {
    /// Counts a try of each subject, a name or an address, before it is looked at: the largest count within the window.
    ///
    /// Counted first, or whoever tries many at the same moment would have all of them.
    pub async fn count_sign_in_try(&self, subjects: &[String], window: Duration) -> Result<Vec<i32>, StoreError> {
        let doing = "count a try to sign in";
        let now = self.now();
        let transaction = self.begin().await.doing(doing)?;
        let mut counts = Vec::with_capacity(subjects.len());
        for subject in subjects {
            let sql = "INSERT INTO sign_in_tries (subject, tries, started_at) VALUES ($1, 1, $2) \
                       ON CONFLICT (subject) DO UPDATE SET \
                       tries = CASE WHEN sign_in_tries.started_at < $3 THEN 1 ELSE sign_in_tries.tries + 1 END, \
                       started_at = CASE WHEN sign_in_tries.started_at < $3 THEN $2 ELSE sign_in_tries.started_at END \
                       RETURNING tries";
            let values = vec![subject.as_str().into(), now.0.into(), now.minus(window).0.into()];
            let rows = query(&transaction, sql, values).await.doing(doing)?;
            counts.push(rows.first().map_or(Ok(0), |row| row.try_get("", "tries")).doing(doing)?);
        }
        transaction.commit().await.doing(doing)?;
        Ok(counts)
    }

    /// Begins a session of somebody whose password was right: their name's tries are forgotten.
    pub async fn begin_session(&self, session: &Session, subject: &str, entry: &AuditEntry) -> Result<(), StoreError> {
        let doing = "begin a session";
        let now = self.now();
        let transaction = self.begin().await.doing(doing)?;
        execute(&transaction, "DELETE FROM sign_in_tries WHERE subject = $1", vec![subject.into()])
            .await
            .doing(doing)?;
        let crowded = format!(
            "DELETE FROM operator_sessions WHERE hash IN (SELECT hash FROM operator_sessions WHERE operator = $1 \
             ORDER BY created_at DESC LIMIT 1000 OFFSET {})",
            SESSIONS_PER_OPERATOR_MAX - 1
        );
        execute(&transaction, crowded, vec![session.operator.into()]).await.doing(doing)?;
        let sql = "INSERT INTO operator_sessions (hash, operator, created_at, seen_at, address, agent) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        let values: Vec<Value> = vec![
            session.hash.clone().into(),
            session.operator.into(),
            session.created_at.0.into(),
            session.seen_at.0.into(),
            session.address.as_str().into(),
            session.agent.as_str().into(),
        ];
        execute(&transaction, sql, values).await.doing(doing)?;
        let sql = "UPDATE operators SET signed_in_at = $2 WHERE key = $1";
        execute(&transaction, sql, vec![session.operator.into(), now.0.into()]).await.doing(doing)?;
        append(&transaction, entry, now).await.doing(doing)?;
        transaction.commit().await.doing(doing)
    }

    /// Whose session it is, if it has begun and been seen lately enough, and they may still sign in. `in_use`: it is seen by that.
    pub async fn session(
        &self,
        hash: &[u8],
        (begun_after, seen_after): (UnixMillis, UnixMillis),
        in_use: bool,
    ) -> Result<Option<(Session, Operator)>, StoreError> {
        let doing = "look up a session";
        let sql = "SELECT hash, operator, created_at, seen_at, address, agent FROM operator_sessions \
                   WHERE hash = $1 AND created_at > $2 AND seen_at > $3";
        let values = vec![hash.into(), begun_after.0.into(), seen_after.0.into()];
        let rows = query(&self.prompt_reader(), sql, values).await.doing(doing)?;
        let Some(session) = rows.first().map(read_session).transpose().doing(doing)? else { return Ok(None) };
        let operator = self.operator_by_key(session.operator).await.doing(doing)?;
        let operator = operator.filter(|operator| operator.disabled_at.is_none());
        if in_use && operator.is_some() && self.now().since(session.seen_at) >= SEEN_EVERY {
            let sql = "UPDATE operator_sessions SET seen_at = $2 WHERE hash = $1";
            self.note_use(sql, hash.into()).await.doing(doing)?;
        }
        Ok(operator.map(|operator| (session, operator)))
    }

    pub(super) async fn note_use(&self, sql: &str, which: Value) -> Result<(), DbErr> {
        let transaction = self.begin().await?;
        execute(&transaction, sql, vec![which, self.now().0.into()]).await?;
        transaction.commit().await
    }

    /// A person's sessions, the newest first.
    pub async fn sessions_of(&self, operator: i32) -> Result<Vec<Session>, StoreError> {
        let sql = "SELECT hash, operator, created_at, seen_at, address, agent FROM operator_sessions \
                   WHERE operator = $1 ORDER BY seen_at DESC";
        let rows = query(self.reader(), sql, vec![operator.into()]).await;
        rows.and_then(|rows| rows.iter().map(read_session).collect()).doing("read a person's sessions")
    }

    pub async fn end_session(&self, hash: &[u8], entry: &AuditEntry) -> Result<(), StoreError> {
        let doing = "end a session";
        let transaction = self.begin().await.doing(doing)?;
        execute(&transaction, "DELETE FROM operator_sessions WHERE hash = $1", vec![hash.into()]).await.doing(doing)?;
        append(&transaction, entry, self.now()).await.doing(doing)?;
        transaction.commit().await.doing(doing)
    }

    /// Ends all sessions of a person; says how many there were.
    pub async fn end_sessions_of(&self, operator: i32, entry: &AuditEntry) -> Result<u64, StoreError> {
        let doing = "end all sessions of a person";
        let transaction = self.begin().await.doing(doing)?;
        let ended = sign_out(&transaction, operator).await.doing(doing)?;
        append(&transaction, entry, self.now()).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(ended)
    }
}

/// Whether its use is to be noted.
pub(super) fn used_long_ago(used_at: Option<UnixMillis>, now: UnixMillis) -> bool {
    used_at.is_none_or(|used_at| now.since(used_at) >= SEEN_EVERY)
}

fn read_session(row: &QueryResult) -> Result<Session, DbErr> {
    Ok(Session {
        hash: row.try_get("", "hash")?,
        operator: row.try_get("", "operator")?,
        created_at: UnixMillis(row.try_get("", "created_at")?),
        seen_at: UnixMillis(row.try_get("", "seen_at")?),
        address: row.try_get("", "address")?,
        agent: row.try_get("", "agent")?,
    })
}
