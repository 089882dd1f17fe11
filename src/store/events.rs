//! The log: what happened, for each account in the order of commits.

use std::collections::BTreeMap;

use sea_orm::{DbErr, QueryResult, Value};

use super::{
    DatabaseTransaction, Doing, Store, StoreError, execute_rows,
    ingest::{failure, failure_values},
    outbound::odd_value,
    query, query_rows,
};
use crate::domain::{
    callback::EventKind,
    failure::Failure,
    ids::{AccountKey, MessageId, Place, SenderKey},
    phone::PhoneNumber,
    status::DeliveryStatus,
    time::UnixMillis,
};

/// An event that has no place yet.
#[derive(Debug)]
pub(crate) struct NewEvent {
    pub(crate) account: AccountKey,
    pub(crate) sender: SenderKey,
    pub(crate) kind: EventKind,
    pub(crate) message: Option<MessageId>,
    pub(crate) status: Option<DeliveryStatus>,
    pub(crate) occurred_at: UnixMillis,
    pub(crate) failure: Option<Failure>,
    pub(crate) provider_message_id: Option<String>,
    /// Inbound: the person's number, when the entry does not tell it and it is known.
    pub(crate) person: Option<PhoneNumber>,
    /// Inbound: whether it is a tap on a quick-reply button.
    pub(crate) tapped: Option<bool>,
    pub(crate) entry: Option<String>,
}

/// An event as the log keeps it.
#[derive(Clone, Debug)]
pub struct LoggedEvent {
    pub place: Place,
    pub kind: EventKind,
    pub sender: SenderKey,
    pub message: Option<MessageId>,
    pub platform_message_id: Option<String>,
    pub status: Option<DeliveryStatus>,
    /// The log has this status of the message already, of a send before an operator's.
    pub told_before: bool,
    pub occurred_at: UnixMillis,
    pub recorded_at: UnixMillis,
    pub failure: Option<Failure>,
    /// Inbound: the person's number, when the entry does not tell it and it is known.
    pub person: Option<PhoneNumber>,
    /// The provider's own entry; not read for statuses.
    pub entry: Option<String>,
}

/// Gives each event its place and appends them all.
///
/// The accounts' rows in `logs` stay locked until the commit: nobody can commit a smaller place
/// later, so a reader that has seen a place has seen all before it.
pub(super) async fn append(
    transaction: &DatabaseTransaction,
    events: Vec<NewEvent>,
    now: UnixMillis,
) -> Result<(), DbErr> {
    if events.is_empty() {
        return Ok(());
    }
    let mut counts: BTreeMap<AccountKey, i64> = BTreeMap::new();
    for event in &events {
        *counts.entry(event.account).or_default() += 1;
    }
    let rows = counts.iter().map(|(account, count)| [account.0.into(), (*count).into()]).collect::<Vec<[Value; 2]>>();
    let ends = query_rows(
        transaction,
        "INSERT INTO logs (account, last_place)",
        rows,
        " ON CONFLICT (account) DO UPDATE SET last_place = logs.last_place + excluded.last_place \
         RETURNING account, last_place",
    )
    .await?;
    let mut next: BTreeMap<AccountKey, i64> = BTreeMap::new();
    for row in &ends {
        let account = AccountKey(row.try_get("", "account")?);
        let last: i64 = row.try_get("", "last_place")?;
        next.insert(account, last - counts.get(&account).copied().unwrap_or(0) + 1);
    }
    let rows = events
        .into_iter()
        .map(|event| {
            let place = next.get_mut(&event.account).expect("each account's end was just read");
            let row = row_of(*place, event, now);
            *place += 1;
            row
        })
        .collect();
    execute_rows(
        transaction,
        "INSERT INTO events (account, place, kind, sender, message, status, occurred_at, recorded_at, \
         failure_reason, failure_code, failure_text, provider_message_id, person, tapped, entry)",
        rows,
        "",
    )
    .await
    .map(drop)
}

fn row_of(place: i64, event: NewEvent, now: UnixMillis) -> [Value; 15] {
    let (reason, code, text) = failure_values(event.failure.as_ref());
    [
        event.account.0.into(),
        place.into(),
        event.kind.code().into(),
        event.sender.0.into(),
        event.message.map(|message| message.0).into(),
        event.status.map(DeliveryStatus::code).into(),
        event.occurred_at.0.into(),
        now.0.into(),
        reason,
        code,
        text,
        event.provider_message_id.into(),
        event.person.map(|phone| phone.as_e164().to_owned()).into(),
        event.tapped.map(i16::from).into(),
        event.entry.into(),
    ]
}

/// Whether a status `e` of message `m` stands in the log already. Only that of a message which an operator sent again can;
/// each failure is news of its own.
pub(super) const TOLD_BEFORE: &str = "CASE WHEN m.resent_after IS NOT NULL AND e.kind = 1 AND e.status <> 2 AND EXISTS (\
     SELECT 1 FROM events AS b WHERE b.message = e.message AND b.kind = 1 AND b.status = e.status AND b.place < e.place) \
     THEN TRUE ELSE FALSE END AS told_before";

/// What [`logged_event`] reads, of events `e` and their messages `m`.
pub(super) fn logged_columns() -> String {
    format!(
        "e.place, e.kind, e.sender, e.message, e.status, e.occurred_at, e.recorded_at, e.failure_reason, e.failure_code, \
         e.failure_text, e.person, CASE WHEN e.kind <> 1 THEN e.entry END AS entry, m.platform_message_id, {TOLD_BEFORE}"
    )
}

impl Store {
    /// Events of one kind after a place, in order, and the end of the log as it was before they were
    /// read: when fewer than `limit` come back, nothing of this kind lies between the last of them and that end.
    pub async fn events_after(
        &self,
        account: AccountKey,
        kind: EventKind,
        after: Place,
        limit: usize,
    ) -> Result<(Vec<LoggedEvent>, Place), StoreError> {
        let end = self.log_end(account).await?;
        if end <= after {
            return Ok((vec![], end));
        }
        let sql = format!(
            "SELECT {} FROM events AS e LEFT JOIN outbound_messages AS m ON m.id = e.message \
             WHERE e.account = $1 AND e.place > $2 AND e.place <= $3 AND e.kind = $4 ORDER BY e.place LIMIT {limit}",
            logged_columns()
        );
        let values = vec![account.0.into(), after.0.into(), end.0.into(), kind.code().into()];
        let rows = query(&self.prompt_reader(), sql, values).await;
        let events = rows.and_then(|rows| rows.iter().map(logged_event).collect()).doing("read an account's log")?;
        Ok((events, end))
    }

    /// The last place of an account's log; zero when nothing has happened.
    pub async fn log_end(&self, account: AccountKey) -> Result<Place, StoreError> {
        let rows =
            query(&self.prompt_reader(), "SELECT last_place FROM logs WHERE account = $1", vec![account.0.into()])
                .await;
        let end = rows.and_then(|rows| rows.first().map(|row| row.try_get("", "last_place")).transpose());
        Ok(Place(end.doing("read the end of a log")?.unwrap_or(0)))
    }
}

pub(crate) fn logged_event(row: &QueryResult) -> Result<LoggedEvent, DbErr> {
    let kind: i16 = row.try_get("", "kind")?;
    let status: Option<i16> = row.try_get("", "status")?;
    let message: Option<i64> = row.try_get("", "message")?;
    let person: Option<String> = row.try_get("", "person")?;
    Ok(LoggedEvent {
        place: Place(row.try_get("", "place")?),
        kind: EventKind::from_code(kind).ok_or_else(|| odd_value("kind"))?,
        sender: SenderKey(row.try_get("", "sender")?),
        message: message.map(MessageId),
        platform_message_id: row.try_get("", "platform_message_id")?,
        status: status.and_then(DeliveryStatus::from_code),
        told_before: row.try_get("", "told_before")?,
        occurred_at: UnixMillis(row.try_get("", "occurred_at")?),
        recorded_at: UnixMillis(row.try_get("", "recorded_at")?),
        failure: failure(row)?,
        person: person.as_deref().and_then(PhoneNumber::from_international),
        entry: row.try_get("", "entry")?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::testing::on_each_database;

    const ACCOUNT: AccountKey = AccountKey(1);
    /// For as long as this a later writer may try to be first.
    const TRIES_FOR: Duration = Duration::from_millis(300);

    fn said(id: &str) -> NewEvent {
        NewEvent {
            account: ACCOUNT,
            sender: SenderKey(1),
            kind: EventKind::Inbound,
            message: None,
            status: None,
            occurred_at: UnixMillis(0),
            failure: None,
            provider_message_id: Some(id.to_owned()),
            person: None,
            tapped: None,
            entry: Some("{}".to_owned()),
        }
    }

    async fn places(store: &Store) -> (Vec<i64>, i64) {
        let (events, end) = store.events_after(ACCOUNT, EventKind::Inbound, Place(0), 10).await.expect("readable");
        (events.iter().map(|event| event.place.0).collect(), end.0)
    }

    #[tokio::test]
    async fn nobody_reads_past_a_place_whose_commit_is_still_to_come() {
        on_each_database(|store| async move {
            let first = store.begin().await.expect("a transaction");
            append(&first, vec![said("first")], store.now()).await.expect("written");
            let later = {
                let store = store.clone();
                async move {
                    let later = store.begin().await?;
                    append(&later, vec![said("later")], store.now()).await?;
                    later.commit().await
                }
            };
            let mut later = tokio::spawn(later);
            // It has to wait for the first. Were it to be done, this is when its place would be seen.
            drop(tokio::time::timeout(TRIES_FOR, &mut later).await);

            assert_eq!(places(&store).await, (vec![], 0), "a cursor would pass the first event");

            first.commit().await.expect("a commit");
            later.await.expect("it does not panic").expect("a commit");
            assert_eq!(places(&store).await, (vec![1, 2], 2));
        })
        .await;
    }
}
