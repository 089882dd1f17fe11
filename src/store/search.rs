//! Messages by what people remember of them, the newest first.
//!
//! An id is looked up by an index. For everything else there is none, because each index would cost every message a write: the
//! table is clustered by time, so it is walked backwards in slices, for a limited time, and whoever asks is told how far that
//! went and goes on from there.

use std::time::{Duration, Instant};

use sea_orm::{DbErr, QueryResult, Value};

use super::{
    Doing, Store, StoreError,
    outbound::id_hash,
    query,
    story::{MESSAGE_COLUMNS, StoredMessage, stored_message},
};
use crate::domain::{
    ids::{AccountKey, MessageId, SenderKey},
    outbound::SendState,
    status::DeliveryStatus,
    time::UnixMillis,
};

/// What a message is to be like; what is not named fits everything.
#[derive(Clone, Debug, Default)]
pub struct MessageSearch {
    pub account: Option<AccountKey>,
    pub sender: Option<SenderKey>,
    /// A whole number with its `+`, or the end of one without.
    pub recipient: Option<String>,
    pub platform_message_id: Option<String>,
    pub campaign: Option<String>,
    pub template: Option<String>,
    pub state: Option<SendState>,
    pub delivery: Option<DeliveryStatus>,
    /// The provider's.
    pub failure_code: Option<i64>,
    /// Accepted from here on …
    pub since: Option<UnixMillis>,
    /// … and before this.
    pub until: Option<UnixMillis>,
    /// Only older ones than this: the next page.
    pub before: Option<MessageId>,
}

/// Some messages, and how to go on.
#[derive(Clone, Debug, Default)]
pub struct FoundMessages {
    /// The newest first.
    pub messages: Vec<StoredMessage>,
    /// Older ones may be found by going on before this one; `None` after the oldest.
    pub next: Option<MessageId>,
}

/// Messages that one statement looks at.
const SLICE_MESSAGES: usize = 2_000;
/// No slice is begun after this, so that a page is there in a tenth of a second.
const SEARCH_TAKES_MAX: Duration = Duration::from_millis(60);

impl Store {
    /// At most `limit` messages, looked for in as many slices as there is time for; one at least.
    pub async fn search_messages(&self, search: &MessageSearch, limit: usize) -> Result<FoundMessages, StoreError> {
        let doing = "search for messages";
        let started = Instant::now();
        let first = search.since.map_or(0, |since| MessageId::first_at(since).0);
        let until = search.until.map_or(i64::MAX, |until| MessageId::first_at(until).0);
        let mut before = search.before.map_or(until, |before| until.min(before.0));
        let mut found = FoundMessages::default();
        loop {
            let slice = self.slice(search, (first, before), limit - found.messages.len()).await.doing(doing)?;
            found.messages.extend(slice.messages);
            let Some(next) = slice.next else { return Ok(FoundMessages { next: None, ..found }) };
            if found.messages.len() >= limit || started.elapsed() >= SEARCH_TAKES_MAX {
                return Ok(FoundMessages { next: Some(next), ..found });
            }
            before = next.0;
        }
    }

    /// Messages with this id of the platform's that the index of repeats knows: those of the last days.
    pub async fn recent_by_platform_id(
        &self,
        accounts: &[AccountKey],
        platform_message_id: &str,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        let accounts = accounts.iter().map(|account| account.0.to_string()).collect::<Vec<_>>().join(",");
        if accounts.is_empty() {
            return Ok(vec![]);
        }
        let sql = format!(
            "SELECT {MESSAGE_COLUMNS} FROM outbound_messages WHERE id IN \
             (SELECT message FROM message_keys WHERE account IN ({accounts}) AND id_hash = $1) \
             AND platform_message_id = $2 ORDER BY id DESC LIMIT {FOUND_BY_ID_MAX}"
        );
        let rows =
            query(self.reader(), sql, vec![id_hash(platform_message_id).into(), platform_message_id.into()]).await;
        rows.and_then(|rows| rows.iter().map(stored_message).collect()).doing("look up a message")
    }

    async fn slice(
        &self,
        search: &MessageSearch,
        (first, before): (i64, i64),
        limit: usize,
    ) -> Result<FoundMessages, DbErr> {
        let page = format!(
            "(SELECT * FROM outbound_messages WHERE id >= $1 AND id < $2 ORDER BY id DESC LIMIT {SLICE_MESSAGES}) AS page"
        );
        let (only, mut more) = conditions(search);
        let mut values: Vec<Value> = vec![first.into(), before.into()];
        values.append(&mut more);
        // One more than are wanted tells whether there is one more.
        let sql = format!("SELECT {MESSAGE_COLUMNS} FROM {page} WHERE true{only} ORDER BY id DESC LIMIT {}", limit + 1);
        let rows = query(self.reader(), sql, values).await?;
        let mut messages: Vec<StoredMessage> = rows.iter().map(stored_message).collect::<Result<_, _>>()?;
        if messages.len() > limit {
            messages.truncate(limit);
            let next = messages.last().map(|last| last.id);
            return Ok(FoundMessages { messages, next });
        }
        // Where the slice ended, whether anything in it fitted or not.
        let sql = format!(
            "SELECT COUNT(*) AS messages, MIN(id) AS oldest FROM (SELECT id FROM outbound_messages \
             WHERE id >= $1 AND id < $2 ORDER BY id DESC LIMIT {SLICE_MESSAGES}) AS page"
        );
        let rows = query(self.reader(), sql, vec![first.into(), before.into()]).await?;
        let read = |row: &QueryResult| -> Result<(i64, Option<i64>), DbErr> {
            Ok((row.try_get("", "messages")?, row.try_get("", "oldest")?))
        };
        let (looked_at, oldest) = rows.first().map_or(Ok((0, None)), read)?;
        let is_whole = usize::try_from(looked_at).unwrap_or(0) >= SLICE_MESSAGES;
        Ok(FoundMessages { messages, next: oldest.filter(|_| is_whole).map(MessageId) })
    }
}

/// Of one id; the same id was used by several accounts, or tests.
const FOUND_BY_ID_MAX: usize = 20;

/// What is asked of a message, from the third parameter on.
fn conditions(search: &MessageSearch) -> (String, Vec<Value>) {
    let mut values: Vec<Value> = Vec::new();
    let mut only = String::new();
    let mut also = |condition: &str, value: Option<Value>| {
        if let Some(value) = value {
            values.push(value);
            only.push_str(&format!(" AND {condition} ${}", values.len() + 2));
        }
    };
    also("account =", search.account.map(|account| account.0.into()));
    also("sender =", search.sender.map(|sender| sender.0.into()));
    match search.recipient.as_deref() {
        Some(whole) if whole.starts_with('+') => also("recipient =", Some(whole.into())),
        // Digits only, so nothing in it means anything to LIKE.
        Some(end) => also("recipient LIKE", Some(format!("%{end}").into())),
        None => {}
    }
    also("platform_message_id =", search.platform_message_id.clone().map(Into::into));
    also("campaign =", search.campaign.clone().map(Into::into));
    also("template_name =", search.template.clone().map(Into::into));
    also("state =", search.state.map(|state| state.code().into()));
    also("delivery =", search.delivery.map(|delivery| delivery.code().into()));
    also("failure_code =", search.failure_code.map(Into::into));
    (only, values)
}
