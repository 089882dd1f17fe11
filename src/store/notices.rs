//! Notices of providers: into the logs, and out again for people.

use std::sync::Arc;

use sea_orm::QueryResult;
use sha2::{Digest, Sha256};

use super::{Doing, Store, StoreError, events::NewEvent, outbound::odd_value, query};
use crate::domain::{
    callback::EventKind,
    ids::{AccountKey, SenderKey},
    notice::Notice,
    time::UnixMillis,
};

/// A notice, with an account that it concerns and one of its numbers.
#[derive(Clone, Debug)]
pub struct ReceivedNotice {
    pub account: AccountKey,
    pub sender: SenderKey,
    pub notice: Arc<Notice>,
}

/// A notice as an account's log has it.
#[derive(Clone, Debug)]
pub struct LoggedNotice {
    pub account: AccountKey,
    pub recorded_at: UnixMillis,
    pub notice: Notice,
}

impl ReceivedNotice {
    /// By what a repeat is recognised: providers tell again what was not answered in time, and tell it to every app. One
    /// without a time of its own is new again on another day.
    pub(super) fn identity(&self, now: UnixMillis) -> String {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        let when = self.notice.occurred_at.map_or_else(|| now.0.div_euclid(DAY_MS), |at| at.0);
        let mut hash = Sha256::new();
        let parts = [self.account.0.to_string(), when.to_string(), self.notice.entry.clone()];
        // Some providers name an event beside its body only, and of one contact tell several in the same words.
        let name = self.notice.event_name().map(str::to_owned);
        for part in parts.into_iter().chain(name) {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.finalize().iter().take(IDENTITY_BYTES).map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn event(&self, now: UnixMillis) -> NewEvent {
        let notice = serde_json::to_string(&*self.notice).expect("a notice holds JSON and texts");
        NewEvent {
            account: self.account,
            sender: self.sender,
            kind: EventKind::Notice,
            message: None,
            status: None,
            occurred_at: self.notice.occurred_at.unwrap_or(now),
            failure: None,
            provider_message_id: Some(self.identity(now)),
            person: None,
            tapped: None,
            entry: Some(notice),
        }
    }
}

const IDENTITY_BYTES: usize = 16;

impl Store {
    /// The newest notices recorded since a moment, the newest first; without what providers relay of their own.
    pub async fn notices_since(&self, since: UnixMillis, limit: usize) -> Result<Vec<LoggedNotice>, StoreError> {
        let sql = format!(
            "SELECT account, recorded_at, entry FROM events WHERE kind = 3 AND recorded_at >= $1 \
             AND entry NOT LIKE '%\"kind\":\"provider_event\"%' \
             ORDER BY recorded_at DESC, place DESC LIMIT {limit}"
        );
        let rows = query(self.reader(), sql, vec![since.0.into()]).await;
        let read = |row: &QueryResult| {
            let entry: String = row.try_get("", "entry")?;
            Ok(LoggedNotice {
                account: AccountKey(row.try_get("", "account")?),
                recorded_at: UnixMillis(row.try_get("", "recorded_at")?),
                notice: serde_json::from_str(&entry).map_err(|_| odd_value("notice"))?,
            })
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read notices")
    }
}
