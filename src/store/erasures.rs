//! Erasures of one person's data: who asked, how far it is, what came of it. Nobody's number stands in it but masked.
//!
//! What is erased is the work of `services/person`; a row here is for whoever looks at it meanwhile, at whichever instance, and
//! afterwards. While it is open it has the number, sealed, so that any instance goes on with what a dead one had begun.

use std::time::Duration;

use sea_orm::{DbErr, QueryResult, Value};

use super::{
    Doing, Store, StoreError,
    audit::{self, AuditEntry},
    execute,
    outbound::odd_value,
    query,
};
use crate::domain::{operator::Via, phone::PhoneNumber, time::UnixMillis};

/// An erasure that was asked for.
#[derive(Clone, Debug)]
pub struct Erasure {
    pub key: i32,
    /// Masked.
    pub person: String,
    /// The only account; `None`: all of them.
    pub account: Option<String>,
    pub actor: String,
    pub started_at: UnixMillis,
    /// How far it is, from 0 to 1.
    pub share: f64,
    pub end: Option<ErasureEnd>,
    /// Nobody works on it just now: it is taken up again within seconds, where any server runs.
    pub abandoned: bool,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq)]
pub enum ErasureEnd {
    /// Counts of what was erased.
    Done(serde_json::Value),
    /// Why it stopped.
    Stopped(String),
}

/// What is to be erased.
#[derive(Clone, Debug)]
pub struct ErasureJob {
    pub phone: PhoneNumber,
    /// The only account; `None`: all of them.
    pub account: Option<String>,
    /// Nothing more is sent to the person.
    pub suppress: bool,
    pub actor: String,
    pub via: Via,
}

/// One that was begun and left.
#[derive(Clone, Debug)]
pub struct LeftErasure {
    pub key: i32,
    pub job: ErasureJob,
    /// Counts of what is erased already.
    pub so_far: serde_json::Value,
}

/// What nobody moved on for so long was left by its process: it is noted every second.
pub(super) const ABANDONED_AFTER: Duration = Duration::from_secs(10);
const THOUSANDTHS: f64 = 1000.0;

const COLUMNS: &str = "key, person, account, actor, started_at, seen_at, share, ended_at, erased, failure";

impl Store {
    /// Writes down that somebody erases, and that in the audit log.
    pub async fn begin_erasure(&self, job: &ErasureJob, entry: &AuditEntry) -> Result<i32, StoreError> {
        let doing = "write down that a person's data is erased";
        let now = self.now();
        let sql = "INSERT INTO erasures (person, account, actor, via, suppress, started_at, seen_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $6) RETURNING key";
        let values: Vec<Value> = vec![
            job.phone.to_string().into(),
            job.account.clone().into(),
            job.actor.clone().into(),
            job.via.code().into(),
            i16::from(job.suppress).into(),
            now.0.into(),
        ];
        let transaction = self.begin().await.doing(doing)?;
        let rows = query(&transaction, sql, values).await.doing(doing)?;
        let key: Option<i32> = rows.first().map(|row| row.try_get("", "key")).transpose().doing(doing)?;
        let key = key.ok_or_else(|| odd_value("key")).doing(doing)?;
        let sealed = self.vault().seal(&place_of_erasure(key), job.phone.as_e164().as_bytes());
        let sql = "UPDATE erasures SET phone = $2 WHERE key = $1";
        execute(&transaction, sql, vec![key.into(), sealed.into()]).await.doing(doing)?;
        audit::append(&transaction, entry, now).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(key)
    }

    /// One that nobody works on any more; whoever gets it goes on with it.
    pub async fn take_up_erasure(&self) -> Result<Option<LeftErasure>, StoreError> {
        let doing = "look for an erasure that was left";
        let left = "ended_at IS NULL AND phone IS NOT NULL AND seen_at < $1";
        let before = self.now().minus(ABANDONED_AFTER);
        // Most of the time there is none, and nobody has to wait for a writer to be told so.
        let some = query(self.reader(), format!("SELECT 1 FROM erasures WHERE {left} LIMIT 1"), vec![before.0.into()]);
        if some.await.doing(doing)?.is_empty() {
            return Ok(None);
        }
        let sql = format!(
            "UPDATE erasures SET seen_at = $2 WHERE key = (SELECT key FROM erasures WHERE {left} ORDER BY key LIMIT 1) AND {left} \
             RETURNING key, account, actor, via, suppress, phone, so_far"
        );
        let transaction = self.begin().await.doing(doing)?;
        let rows = query(&transaction, sql, vec![before.0.into(), self.now().0.into()]).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        rows.first().map(|row| self.left_erasure(row)).transpose().doing(doing)
    }

    fn left_erasure(&self, row: &QueryResult) -> Result<LeftErasure, DbErr> {
        let key: i32 = row.try_get("", "key")?;
        let sealed: Vec<u8> = row.try_get("", "phone")?;
        let opened = self.vault().open_sealed(&place_of_erasure(key), &sealed);
        let opened = opened.map_err(|error| DbErr::Custom(error.to_string()))?;
        let phone = std::str::from_utf8(&opened).ok().and_then(PhoneNumber::from_international);
        let so_far: Option<String> = row.try_get("", "so_far")?;
        Ok(LeftErasure {
            key,
            job: ErasureJob {
                phone: phone.ok_or_else(|| odd_value("phone"))?,
                account: row.try_get("", "account")?,
                suppress: row.try_get::<i16>("", "suppress")? != 0,
                actor: row.try_get("", "actor")?,
                via: Via::from_code(row.try_get("", "via")?).ok_or_else(|| odd_value("via"))?,
            },
            so_far: so_far.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
        })
    }

    /// It goes on, is so far, and has erased so much.
    pub async fn move_erasure(&self, key: i32, share: f64, so_far: &serde_json::Value) -> Result<(), StoreError> {
        let sql = "UPDATE erasures SET share = $2, seen_at = $3, so_far = $4 WHERE key = $1 AND ended_at IS NULL";
        let share = (share.clamp(0.0, 1.0) * THOUSANDTHS) as i32;
        let values = vec![key.into(), share.into(), self.now().0.into(), so_far.to_string().into()];
        self.change_erasure(sql, values, None).await
    }

    /// It is at its end, which the audit log hears of, too; the number is forgotten.
    pub async fn end_erasure(&self, key: i32, end: &ErasureEnd, entry: &AuditEntry) -> Result<(), StoreError> {
        let sql = "UPDATE erasures SET share = CASE WHEN $2 IS NULL THEN share ELSE 1000 END, ended_at = $4, seen_at = $4, \
                   erased = $2, failure = $3, phone = NULL, so_far = NULL WHERE key = $1 AND ended_at IS NULL";
        let (erased, failure) = match end {
            ErasureEnd::Done(counts) => (Some(counts.to_string()), None),
            ErasureEnd::Stopped(why) => (None, Some(why.clone())),
        };
        self.change_erasure(sql, vec![key.into(), erased.into(), failure.into(), self.now().0.into()], Some(entry))
            .await
    }

    async fn change_erasure(
        &self,
        sql: &str,
        values: Vec<Value>,
        entry: Option<&AuditEntry>,
    ) -> Result<(), StoreError> {
        let doing = "write down how far an erasure is";
        let transaction = self.begin().await.doing(doing)?;
        execute(&transaction, sql, values).await.doing(doing)?;
        if let Some(entry) = entry {
            audit::append(&transaction, entry, self.now()).await.doing(doing)?;
        }
        transaction.commit().await.doing(doing)
    }

    /// Erasures, the newest first.
    pub async fn erasures(&self, limit: usize) -> Result<Vec<Erasure>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM erasures ORDER BY key DESC LIMIT {limit}");
        self.read_erasures(sql, vec![]).await
    }

    pub async fn erasure(&self, key: i32) -> Result<Option<Erasure>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM erasures WHERE key = $1");
        Ok(self.read_erasures(sql, vec![key.into()]).await?.pop())
    }

    async fn read_erasures(&self, sql: String, values: Vec<Value>) -> Result<Vec<Erasure>, StoreError> {
        let now = self.now();
        let read = |row: &QueryResult| -> Result<Erasure, DbErr> {
            let seen_at = UnixMillis(row.try_get("", "seen_at")?);
            let share: i32 = row.try_get("", "share")?;
            let (erased, failure): (Option<String>, Option<String>) =
                (row.try_get("", "erased")?, row.try_get("", "failure")?);
            let counts = erased.map(|counts| serde_json::from_str(&counts)).transpose();
            let counts = counts.map_err(|_| odd_value("erased"))?;
            let end = counts.map(ErasureEnd::Done).or(failure.map(ErasureEnd::Stopped));
            Ok(Erasure {
                key: row.try_get("", "key")?,
                person: row.try_get("", "person")?,
                account: row.try_get("", "account")?,
                actor: row.try_get("", "actor")?,
                started_at: UnixMillis(row.try_get("", "started_at")?),
                share: f64::from(share) / THOUSANDTHS,
                abandoned: end.is_none() && now.since(seen_at) > ABANDONED_AFTER,
                end,
            })
        };
        let rows = query(self.reader(), sql, values).await;
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read erasures")
    }

    /// Forgets erasures that began before `before`.
    pub async fn forget_erasures(&self, before: UnixMillis, limit: usize) -> Result<usize, StoreError> {
        let sql = format!(
            "DELETE FROM erasures WHERE key IN (SELECT key FROM erasures WHERE started_at < $1 ORDER BY started_at LIMIT {limit})"
        );
        self.forget(&sql, before).await
    }
}

/// What the number is bound to.
pub(super) fn place_of_erasure(key: i32) -> String {
    format!("erasure {key}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{domain::operator::Actor, store::testing::on_each_database};

    #[tokio::test]
    async fn an_erasure_is_followed_to_its_end_and_both_ends_are_in_the_audit_log() {
        on_each_database(async |store| {
            let actor = Actor::of_command_line("asha");
            let entry = |action| AuditEntry::new(&actor, action, "person +919******001");
            let job = ErasureJob {
                phone: PhoneNumber::from_international("919876500001").expect("a number"),
                account: None,
                suppress: true,
                actor: "asha".to_owned(),
                via: Via::Console,
            };
            let begin = async || store.begin_erasure(&job, &entry("erase person")).await;
            let (done, stopped) = (begin().await.expect("written"), begin().await.expect("written"));

            let so_far = json!({"messages_deleted": 2});
            store.move_erasure(done, 0.5, &so_far).await.expect("written");
            let seen = store.erasure(done).await.expect("readable").expect("it is there");
            assert!((seen.share - 0.5).abs() < 0.001 && seen.end.is_none() && !seen.abandoned, "{seen:?}");

            assert!(store.take_up_erasure().await.expect("readable").is_none(), "both were seen just now");
            let leave = |key: i32| format!("UPDATE erasures SET seen_at = 1 WHERE key = {key}");
            execute(&store.writer, leave(done), vec![]).await.expect("written");
            let left = store.take_up_erasure().await.expect("readable").expect("one was left");
            assert_eq!((left.key, left.job.phone.clone(), left.job.suppress), (done, job.phone.clone(), true));
            assert_eq!((left.so_far, left.job.actor.as_str()), (so_far, "asha"));
            assert!(store.take_up_erasure().await.expect("readable").is_none(), "only one goes on with it");

            let counts = ErasureEnd::Done(json!({"messages_deleted": 3}));
            store.end_erasure(done, &counts, &entry("erased person")).await.expect("written");
            let why = ErasureEnd::Stopped("the disk is full".to_owned());
            store.end_erasure(stopped, &why, &entry("did not erase person")).await.expect("written");
            store.move_erasure(done, 0.1, &json!({})).await.expect("it changes nothing");

            let all = store.erasures(10).await.expect("readable");
            assert_eq!(all.iter().map(|one| one.end.clone()).collect::<Vec<_>>(), [Some(why), Some(counts)]);
            assert!((all[1].share - 1.0).abs() < 0.001);
            execute(&store.writer, leave(done), vec![]).await.expect("written");
            assert!(store.take_up_erasure().await.expect("readable").is_none(), "it is over, and the number forgotten");
            let lines = store.audit_lines(None, 10).await.expect("readable");
            assert_eq!(lines.len(), 4);
            while store.forget_erasures(crate::clock::now().plus(Duration::from_secs(5)), 1).await.expect("written") > 0
            {
            }
            assert!(store.erasures(10).await.expect("readable").is_empty());
        })
        .await;
    }
}
