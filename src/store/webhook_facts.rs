//! What a line of the log does not say, and a webhook tells: the message that it is about, and the provider's own entry.
//!
//! Read for a whole stretch of events at once, by primary keys, and only where a webhook listens.

use std::collections::HashMap;

use sea_orm::QueryResult;

use super::{
    Doing, Store, StoreError,
    events::{LoggedEvent, logged_columns, logged_event},
    query,
    story::{MESSAGE_COLUMNS, StoredMessage, stored_message},
};
use crate::domain::ids::{AccountKey, MessageId, Place};

/// Ids in one statement.
const AT_ONCE: usize = 200;

impl Store {
    /// The messages with these ids.
    pub async fn messages_with(&self, ids: &[MessageId]) -> Result<HashMap<MessageId, StoredMessage>, StoreError> {
        let doing = "read the messages that events are about";
        let mut found = HashMap::with_capacity(ids.len());
        for ids in ids.chunks(AT_ONCE) {
            let list = joined(ids.iter().map(|id| id.0));
            let sql = format!("SELECT {MESSAGE_COLUMNS} FROM outbound_messages WHERE id IN ({list})");
            for row in &query(&self.prompt_reader(), sql, vec![]).await.doing(doing)? {
                let message = stored_message(row).doing(doing)?;
                found.insert(message.id, message);
            }
        }
        Ok(found)
    }

    /// The provider's entries of events of one account's log, as far as they have some.
    pub async fn entries_at(
        &self,
        account: AccountKey,
        places: &[Place],
    ) -> Result<HashMap<Place, String>, StoreError> {
        let doing = "read the provider's entries";
        let mut found = HashMap::with_capacity(places.len());
        for places in places.chunks(AT_ONCE) {
            let list = joined(places.iter().map(|place| place.0));
            let sql = format!(
                "SELECT place, entry FROM events WHERE account = $1 AND place IN ({list}) AND entry IS NOT NULL"
            );
            let read = |row: &QueryResult| Ok((Place(row.try_get("", "place")?), row.try_get("", "entry")?));
            for row in &query(&self.prompt_reader(), sql, vec![account.0.into()]).await.doing(doing)? {
                let (place, entry) = read(row).doing(doing)?;
                found.insert(place, entry);
            }
        }
        Ok(found)
    }

    /// Events of one account's log by their places, in order; those that are forgotten are not among them.
    pub async fn events_at(&self, account: AccountKey, places: &[Place]) -> Result<Vec<LoggedEvent>, StoreError> {
        let doing = "read events again";
        let mut found = Vec::with_capacity(places.len());
        for places in places.chunks(AT_ONCE) {
            let list = joined(places.iter().map(|place| place.0));
            let sql = format!(
                "SELECT {} FROM events AS e LEFT JOIN outbound_messages AS m ON m.id = e.message \
                 WHERE e.account = $1 AND e.place IN ({list}) ORDER BY e.place",
                logged_columns()
            );
            let rows = query(&self.prompt_reader(), sql, vec![account.0.into()]).await;
            found.extend(
                rows.and_then(|rows| rows.iter().map(logged_event).collect::<Result<Vec<_>, _>>()).doing(doing)?,
            );
        }
        found.sort_by_key(|event| event.place);
        Ok(found)
    }
}

fn joined(numbers: impl Iterator<Item = i64>) -> String {
    numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(",")
}
