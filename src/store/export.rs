//! Messages by the page, for exports of any size: each page is a few short reads, so that neither memory nor SQLite's
//! write-ahead log grows with what is exported.

use std::collections::HashMap;

use sea_orm::{DbErr, QueryResult, Value};

use super::{
    Doing, Store, StoreError,
    ingest::failure,
    query, query_rows,
    story::{MESSAGE_COLUMNS, StoredMessage, stored_message},
};
use crate::domain::{
    callback::EventKind,
    campaign::Replies,
    failure::Failure,
    ids::{AccountKey, MessageId, SenderKey},
    outbound::SendState,
    status::DeliveryStatus,
    time::UnixMillis,
};

/// Which messages are wanted.
#[derive(Clone, Debug, Default)]
pub struct MessageFilter {
    pub account: Option<AccountKey>,
    pub sender: Option<SenderKey>,
    pub template: Option<String>,
    pub state: Option<SendState>,
    /// The best news of it.
    pub delivery: Option<DeliveryStatus>,
    /// Accepted from here on …
    pub since: Option<UnixMillis>,
    /// … and before this.
    pub until: Option<UnixMillis>,
}

/// Some messages, and how to go on.
#[derive(Clone, Debug)]
pub struct MessagePage {
    /// Those that match, in order of acceptance.
    pub messages: Vec<StoredMessage>,
    /// Where the next page begins; `None` after the last one.
    pub after: Option<MessageId>,
}

/// What the log has about the last send of one message.
#[derive(Clone, Debug, Default)]
pub struct Reports {
    /// When each status happened, and why it failed.
    pub statuses: Vec<(DeliveryStatus, UnixMillis, Option<Failure>)>,
    /// Messages from people that name it.
    pub replies: Replies,
}

impl Store {
    /// The oldest and the newest id, to show how far an export is.
    pub async fn message_span(&self) -> Result<Option<(MessageId, MessageId)>, StoreError> {
        let doing = "find the first and the last message";
        let rows =
            query(self.reader(), "SELECT MIN(id) AS first, MAX(id) AS last FROM outbound_messages", vec![]).await;
        let read = |row: &QueryResult| -> Result<Option<(MessageId, MessageId)>, DbErr> {
            let (first, last): (Option<i64>, Option<i64>) = (row.try_get("", "first")?, row.try_get("", "last")?);
            Ok(first.zip(last).map(|(first, last)| (MessageId(first), MessageId(last))))
        };
        rows.and_then(|rows| rows.first().map_or(Ok(None), read)).doing(doing)
    }

    /// The next page of messages: `looked_at_max` are looked at, whether they match or not.
    pub async fn message_page(
        &self,
        filter: &MessageFilter,
        after: Option<MessageId>,
        looked_at_max: usize,
    ) -> Result<MessagePage, StoreError> {
        let doing = "read messages to export";
        let first = filter.since.map_or(0, |since| MessageId::first_at(since).0);
        // `after` itself was seen already.
        let from = after.map_or(first, |after| first.max(after.0 + 1));
        let until = filter.until.map_or(i64::MAX, |until| MessageId::first_at(until).0);
        let page = format!(
            "(SELECT * FROM outbound_messages WHERE id >= $1 AND id < $2 ORDER BY id LIMIT {looked_at_max}) AS page"
        );
        let span = format!("SELECT COUNT(*) AS messages, MAX(id) AS last FROM {page}");
        let rows = query(self.reader(), span, vec![from.into(), until.into()]).await.doing(doing)?;
        let read = |row: &QueryResult| -> Result<(i64, Option<i64>), DbErr> {
            Ok((row.try_get("", "messages")?, row.try_get("", "last")?))
        };
        let (looked_at, last) = rows.first().map_or(Ok((0, None)), read).doing(doing)?;
        let Some(last) = last else { return Ok(MessagePage { messages: vec![], after: None }) };

        let mut values: Vec<Value> = vec![from.into(), until.into(), last.into()];
        let mut only = String::new();
        let mut also = |column: &str, value: Option<Value>| {
            if let Some(value) = value {
                values.push(value);
                only.push_str(&format!(" AND {column} = ${}", values.len()));
            }
        };
        also("account", filter.account.map(|account| account.0.into()));
        also("sender", filter.sender.map(|sender| sender.0.into()));
        also("template_name", filter.template.clone().map(Into::into));
        also("state", filter.state.map(|state| state.code().into()));
        also("delivery", filter.delivery.map(|delivery| delivery.code().into()));
        let sql = format!("SELECT {MESSAGE_COLUMNS} FROM {page} WHERE id <= $3{only} ORDER BY id");
        let rows = query(self.reader(), sql, values).await;
        let messages = rows.and_then(|rows| rows.iter().map(stored_message).collect()).doing(doing)?;
        let more = usize::try_from(looked_at).unwrap_or(0) >= looked_at_max;
        Ok(MessagePage { messages, after: more.then_some(MessageId(last)) })
    }

    /// What the log has about these messages; of one that an operator sent again, about the last send.
    pub async fn reports_of(&self, messages: &[StoredMessage]) -> Result<HashMap<MessageId, Reports>, StoreError> {
        let doing = "read the statuses of messages to export";
        let ids: Vec<[Value; 1]> = messages.iter().map(|message| [message.id.0.into()]).collect();
        let rows = query_rows(
            self.reader(),
            "SELECT e.place, e.message, e.kind, e.status, e.tapped, e.occurred_at, e.failure_reason, e.failure_code, e.failure_text \
             FROM (",
            ids,
            ") AS v CROSS JOIN events AS e WHERE e.message = v.column1",
        )
        .await
        .doing(doing)?;
        let sent_again = messages.iter().filter_map(|message| Some((message.id, message.resent_after?.0)));
        let begins: HashMap<MessageId, i64> = sent_again.collect();
        let mut reports: HashMap<MessageId, Reports> = HashMap::with_capacity(messages.len());
        for row in &rows {
            let mut read = || -> Result<(), DbErr> {
                let message = MessageId(row.try_get("", "message")?);
                let place: i64 = row.try_get("", "place")?;
                let is_earlier = begins.get(&message).is_some_and(|begin| place <= *begin);
                let of = reports.entry(message).or_default();
                let status: Option<i16> = row.try_get("", "status")?;
                match EventKind::from_code(row.try_get("", "kind")?) {
                    Some(EventKind::Inbound) => {
                        of.replies.add_one(row.try_get::<Option<i16>>("", "tapped")?.map(|tapped| tapped != 0));
                    }
                    Some(EventKind::Status | EventKind::Notice | EventKind::Outgoing | EventKind::Person) | None => {
                        if let Some(status) = status.and_then(DeliveryStatus::from_code).filter(|_| !is_earlier) {
                            of.statuses.push((status, UnixMillis(row.try_get("", "occurred_at")?), failure(row)?));
                        }
                    }
                }
                Ok(())
            };
            read().doing(doing)?;
        }
        Ok(reports)
    }
}
