//! When a person last wrote to a number: what WhatsApp's customer service window goes by.

use std::time::Duration;

use sea_orm::{DbErr, QueryResult, Value};

use super::{Doing, Store, StoreError, query, walk::Slices};
use crate::domain::{account::Sender, phone::PhoneNumber, time::UnixMillis};

/// Events that one slice looks at.
const SLICE_EVENTS_MAX: usize = 20_000;
/// Entries of one slice that hold the number's digits somewhere. Most are the person's.
const ENTRIES_MAX: usize = 20;

/// Something that people wrote, and that has the digits of a number in it.
#[derive(Clone, Debug)]
pub struct Written {
    pub at: UnixMillis,
    /// The person's number, where the entry does not tell it.
    pub person: Option<String>,
    /// The provider's own entry.
    pub entry: String,
}

/// What a walk through the log found.
#[derive(Clone, Debug, Default)]
pub struct WrittenLately {
    /// The newest first.
    pub written: Vec<Written>,
    /// How far back the walk came, when it did not come to its end.
    pub stopped_at: Option<UnixMillis>,
}

impl Store {
    /// Inbound messages to a number, within a time before now, that may be from a person; ends at the first slice with any.
    pub async fn written_lately(
        &self,
        sender: &Sender,
        person: &PhoneNumber,
        within: Duration,
    ) -> Result<WrittenLately, StoreError> {
        let since = self.now().minus(within);
        let mut before = i64::MAX;
        let mut slices = Slices::up_to(SLICE_EVENTS_MAX);
        loop {
            let slice = self.slice_of_written(sender, person, before, slices.rows()).await;
            let Slice { written, oldest } = slice.doing("look when a person wrote")?;
            let Some((place, recorded_at)) =
                oldest.filter(|(_, recorded_at)| *recorded_at >= since && written.is_empty())
            else {
                let written = written.into_iter().filter(|written| written.at >= since).collect();
                return Ok(WrittenLately { written, stopped_at: None });
            };
            if slices.time_is_up() {
                return Ok(WrittenLately { written: vec![], stopped_at: Some(recorded_at) });
            }
            before = place;
            slices.next();
        }
    }

    async fn slice_of_written(
        &self,
        sender: &Sender,
        person: &PhoneNumber,
        before: i64,
        events_max: usize,
    ) -> Result<Slice, DbErr> {
        let slice = |columns: &str| {
            format!(
                "SELECT {columns} FROM events WHERE account = $1 AND place < $2 ORDER BY place DESC LIMIT {events_max}"
            )
        };
        let sql = format!(
            "SELECT occurred_at, person, entry FROM ({}) AS slice WHERE kind = 2 AND sender = $3 \
             AND (person = $4 OR entry LIKE $5) ORDER BY place DESC LIMIT {ENTRIES_MAX}",
            slice("place, kind, sender, occurred_at, person, entry")
        );
        let values: Vec<Value> = vec![
            sender.account.0.into(),
            before.into(),
            sender.key.0.into(),
            person.as_e164().into(),
            format!("%{}%", person.digits()).into(),
        ];
        let rows = query(self.reader(), sql, values).await?;
        let written = |row: &QueryResult| -> Result<Written, DbErr> {
            Ok(Written {
                at: UnixMillis(row.try_get("", "occurred_at")?),
                person: row.try_get("", "person")?,
                entry: row.try_get::<Option<String>>("", "entry")?.unwrap_or_default(),
            })
        };
        let written = rows.iter().map(written).collect::<Result<_, _>>()?;
        let sql = format!(
            "SELECT MIN(place) AS place, MIN(recorded_at) AS recorded_at FROM ({}) AS slice",
            slice("place, recorded_at")
        );
        let rows = query(self.reader(), sql, vec![sender.account.0.into(), before.into()]).await?;
        let oldest = |row: &QueryResult| -> Result<Option<(i64, UnixMillis)>, DbErr> {
            let place: Option<i64> = row.try_get("", "place")?;
            Ok(place.zip(row.try_get::<Option<i64>>("", "recorded_at")?.map(UnixMillis)))
        };
        Ok(Slice { written, oldest: rows.first().map_or(Ok(None), oldest)? })
    }
}

struct Slice {
    written: Vec<Written>,
    /// Where it ended; `None` at the end of the log.
    oldest: Option<(i64, UnixMillis)>,
}
