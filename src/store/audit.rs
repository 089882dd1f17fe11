//! What people and programs changed: written in the transaction of the change, read by the page.

use std::time::Duration;

use sea_orm::{DbErr, QueryResult, Value};

use super::{
    DatabaseTransaction, Doing, Store, StoreError, exchanges::containing, execute, outbound::odd_value, query,
};
use crate::domain::{
    operator::{Actor, Via},
    time::UnixMillis,
};

/// Something that somebody is about to change.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    actor: String,
    via: Via,
    address: Option<String>,
    action: &'static str,
    subject: String,
    before: Option<serde_json::Value>,
    after: Option<serde_json::Value>,
}

impl AuditEntry {
    /// `action` is a verb and its object, such as `change role`; `subject` names the one.
    pub fn new(actor: &Actor, action: &'static str, subject: impl Into<String>) -> Self {
        let address = actor.address.map(|address| address.to_string());
        Self {
            actor: actor.name.clone(),
            via: actor.via,
            address,
            action,
            subject: subject.into(),
            before: None,
            after: None,
        }
    }

    /// Of what came from several addresses at once, or a whole network.
    #[must_use]
    pub(super) fn with_address(self, address: Option<String>) -> Self {
        Self { address, ..self }
    }

    #[must_use]
    pub fn before(self, before: serde_json::Value) -> Self {
        Self { before: Some(before), ..self }
    }

    #[must_use]
    pub fn after(self, after: serde_json::Value) -> Self {
        Self { after: Some(after), ..self }
    }
}

/// A line of the log.
#[derive(Clone, Debug)]
pub struct AuditLine {
    /// Grows with time; for paging.
    pub key: i64,
    pub at: UnixMillis,
    pub actor: String,
    pub via: Via,
    pub address: Option<String>,
    pub action: String,
    pub subject: String,
    /// JSON.
    pub before: Option<String>,
    pub after: Option<String>,
}

/// Which lines are wanted: all of what is said must agree.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Part of who did it, in small or large letters; so are the next two.
    pub actor: Option<String>,
    /// … of what was done: its name, and what was changed by it, with the names of settings.
    pub action: Option<String>,
    /// … of whom or what it was done to.
    pub subject: Option<String>,
    pub since: Option<UnixMillis>,
    pub until: Option<UnixMillis>,
    /// The last line of the page before.
    pub before: Option<i64>,
}

impl Store {
    /// Lines, the newest first; `before` is the last one of the page before.
    pub async fn audit_lines(&self, before: Option<i64>, limit: usize) -> Result<Vec<AuditLine>, StoreError> {
        self.audit_lines_of(&AuditFilter { before, ..AuditFilter::default() }, limit).await
    }

    /// Those that agree with a filter. What agrees rarely is looked for in the whole log, which its retention keeps small.
    pub async fn audit_lines_of(&self, filter: &AuditFilter, limit: usize) -> Result<Vec<AuditLine>, StoreError> {
        let before = filter.before.unwrap_or(i64::from(i32::MAX)).min(i64::from(i32::MAX));
        let mut values: Vec<Value> = vec![before.into()];
        let mut only = String::new();
        let mut also = |condition: &str, value: Option<Value>| {
            if let Some(value) = value {
                values.push(value);
                only.push_str(&format!(" AND {}", condition.replace('?', &format!("${}", values.len()))));
            }
        };
        let part = |text: &Option<String>| text.as_deref().map(|text| containing(text).into());
        also("LOWER(actor) LIKE ? ESCAPE '\\'", part(&filter.actor));
        let in_any = ["action", "before", "after"].map(|column| format!("LOWER({column}) LIKE ? ESCAPE '\\'"));
        also(&format!("({})", in_any.join(" OR ")), part(&filter.action));
        also("LOWER(subject) LIKE ? ESCAPE '\\'", part(&filter.subject));
        also("at >= ?", filter.since.map(|since| since.0.into()));
        also("at < ?", filter.until.map(|until| until.0.into()));
        let sql = format!(
            "SELECT key, at, actor, via, address, action, subject, before, after FROM audit_log \
             WHERE key < $1{only} ORDER BY key DESC LIMIT {limit}"
        );
        let rows = query(self.reader(), sql, values).await;
        let read = |row: &QueryResult| -> Result<AuditLine, DbErr> {
            Ok(AuditLine {
                key: i64::from(row.try_get::<i32>("", "key")?),
                at: UnixMillis(row.try_get("", "at")?),
                actor: row.try_get("", "actor")?,
                via: Via::from_code(row.try_get("", "via")?).ok_or_else(|| odd_value("via"))?,
                address: row.try_get("", "address")?,
                action: row.try_get("", "action")?,
                subject: row.try_get("", "subject")?,
                before: row.try_get("", "before")?,
                after: row.try_get("", "after")?,
            })
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read the audit log")
    }

    /// Writes down what changes nothing of ours, or has been done elsewhere.
    pub async fn note_in_audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let doing = "write to the audit log";
        let transaction = self.begin().await.doing(doing)?;
        append(&transaction, entry, self.now()).await.doing(doing)?;
        transaction.commit().await.doing(doing)
    }

    /// Forgets lines, and what opens no door any more: links, sessions and windows of tries. Tokens that ended stay as long as the
    /// lines that tell of them.
    pub async fn forget_operators_past(
        &self,
        now: UnixMillis,
        session_max: Duration,
        tries_window: Duration,
        kept: Duration,
    ) -> Result<(), StoreError> {
        let doing = "forget old sessions, tokens and lines of the audit log";
        let transaction = self.begin().await.doing(doing)?;
        for (sql, before) in [
            ("DELETE FROM operator_links WHERE expires_at < $1", now),
            ("DELETE FROM operator_sessions WHERE created_at < $1", now.minus(session_max)),
            ("UPDATE operator_sessions SET shown = NULL, shown_until = NULL WHERE shown_until < $1", now),
            ("DELETE FROM sign_in_tries WHERE started_at < $1", now.minus(tries_window)),
            ("DELETE FROM api_tokens WHERE expires_at < $1 OR revoked_at < $1", now.minus(kept)),
            ("DELETE FROM audit_log WHERE at < $1", now.minus(kept)),
        ] {
            execute(&transaction, sql, vec![before.0.into()]).await.doing(doing)?;
        }
        transaction.commit().await.doing(doing)
    }
}

/// Adds a line to the log.
pub(super) async fn append(
    transaction: &DatabaseTransaction,
    entry: &AuditEntry,
    now: UnixMillis,
) -> Result<(), DbErr> {
    let json = |value: &Option<serde_json::Value>| value.as_ref().map(ToString::to_string);
    let values: Vec<Value> = vec![
        now.0.into(),
        entry.actor.as_str().into(),
        entry.via.code().into(),
        entry.address.clone().into(),
        entry.action.into(),
        entry.subject.as_str().into(),
        json(&entry.before).into(),
        json(&entry.after).into(),
    ];
    let sql = "INSERT INTO audit_log (at, actor, via, address, action, subject, before, after) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    execute(transaction, sql, values).await.map(drop)
}
