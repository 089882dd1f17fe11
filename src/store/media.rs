//! Files that people sent: a row for each, beside the event that tells of it and in the same commit.
//!
//! The row comes before its file and goes after it. To delete one, the row is first marked and emptied of everything
//! that is the person's; it stays as long as a copying that began before may still write the file, then the file is
//! deleted, then the row. So no crash leaves a file that nobody knows of.

use sea_orm::{DbErr, QueryResult, Value};

use super::{
    DatabaseTransaction, Doing, Store, StoreError, execute, execute_rows,
    outbound::{id_list, odd_value, provider_id_hash},
    query,
};
use crate::domain::{
    ids::{AccountKey, MessageId, Place, SenderKey},
    inbound::{InboundMediaKind, InboundMessage},
    outbound::stored,
    phone::PhoneNumber,
    time::UnixMillis,
};

/// The hash of a number and a provider's message id: which file is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MediaKey(pub [u8; 16]);

impl MediaKey {
    pub fn of(sender: SenderKey, provider_message_id: &str) -> Self {
        Self(provider_id_hash(sender, provider_message_id).try_into().expect("the hash has 16 bytes"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaState {
    /// Being copied, or waiting for another try.
    Pending,
    Stored,
    /// Given up, with the reason.
    Failed,
    /// To be deleted; as good as gone.
    Deleting,
}

stored!(MediaState { Pending = 0 "pending", Stored = 1 "stored", Failed = 2 "failed", Deleting = 3 "deleted" });

/// A file as its row has it.
#[derive(Clone, Debug)]
pub struct MediaRow {
    /// Carries the time of receipt.
    pub id: MessageId,
    pub key: MediaKey,
    pub account: AccountKey,
    pub sender: SenderKey,
    pub provider_media_id: Option<String>,
    pub kind: InboundMediaKind,
    pub mime_type: Option<String>,
    pub filename: Option<String>,
    pub state: MediaState,
    pub size_bytes: Option<i64>,
    /// Tries that failed.
    pub attempts: i16,
    pub due_at: Option<UnixMillis>,
    /// Why the last try failed.
    pub reason: Option<String>,
    pub stored_at: Option<UnixMillis>,
}

/// What became of one try to copy.
#[derive(Clone, Debug)]
pub enum CopyOutcome {
    Stored { size_bytes: u64, mime_type: Option<String> },
    Again { due_at: UnixMillis, reason: String },
    Failed { reason: String },
}

/// How many files there are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MediaOverview {
    pub pending: i64,
    pub stored: i64,
    pub failed: i64,
    /// Of those that are stored.
    pub stored_bytes: i64,
}

/// Whose files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaOwner<'a> {
    Number(&'a PhoneNumber),
    /// A person who hides the number.
    UserId(&'a str),
}

const COLUMNS: &str = "id, hash, account, sender, provider_media_id, kind, mime_type, filename, state, size_bytes, attempts, \
     due_at, reason, stored_at";

/// Marks files for deletion and empties them of everything that says whose they are, or what; `$1` is when no copying of them can run
/// any more, `$2` is now.
pub(super) const MARK: &str = "UPDATE media SET due_at = CASE WHEN state = 0 THEN $1 ELSE $2 END, state = 3, \
     person = NULL, person_user_id = NULL, provider_message_id = NULL, provider_media_id = NULL, mime_type = NULL, \
     filename = NULL, reason = NULL, stored_at = NULL";

/// The row of a new inbound message, when a file came with it.
pub(super) fn row_of(
    id: MessageId,
    account: AccountKey,
    sender: SenderKey,
    person: Option<&PhoneNumber>,
    message: &InboundMessage,
    now: UnixMillis,
) -> Option<[Value; 13]> {
    let (media, provider_media_id) = message.file()?;
    Some([
        id.0.into(),
        MediaKey::of(sender, &message.provider_message_id).0.to_vec().into(),
        account.0.into(),
        sender.0.into(),
        person.map(|number| number.as_e164().to_owned()).into(),
        message.from_user_id.clone().into(),
        message.provider_message_id.clone().into(),
        provider_media_id.to_owned().into(),
        media.kind.code().into(),
        media.mime_type.clone().into(),
        media.filename.clone().into(),
        MediaState::Pending.code().into(),
        now.0.into(),
    ])
}

pub(super) async fn keep(transaction: &DatabaseTransaction, rows: Vec<[Value; 13]>) -> Result<(), DbErr> {
    let head = "INSERT INTO media (id, hash, account, sender, person, person_user_id, provider_message_id, provider_media_id, \
                kind, mime_type, filename, state, due_at)";
    execute_rows(transaction, head, rows, " ON CONFLICT (hash) DO NOTHING").await.map(drop)
}

impl Store {
    /// Files that may be tried now: of each number at most `per_number`, those that wait longest, and each number's first before
    /// any number's second.
    pub async fn media_due(
        &self,
        now: UnixMillis,
        per_number: usize,
        limit: usize,
    ) -> Result<Vec<MediaRow>, StoreError> {
        // From number to number by the index, and of each only what is wanted: a number may have a hundred thousand waiting.
        let of_number = format!(
            "SELECT id FROM media WHERE state = 0 AND sender = n.sender AND due_at <= $1 ORDER BY due_at, id LIMIT {per_number}"
        );
        let firsts = if self.is_sqlite() {
            format!("numbers AS n CROSS JOIN media AS m WHERE m.id IN ({of_number})")
        } else {
            format!("numbers AS n CROSS JOIN LATERAL ({of_number}) AS f CROSS JOIN media AS m WHERE m.id = f.id")
        };
        let sql = format!(
            "WITH RECURSIVE numbers (sender) AS (\
               SELECT MIN(sender) FROM media WHERE state = 0 AND due_at IS NOT NULL \
               UNION ALL SELECT (SELECT MIN(sender) FROM media WHERE state = 0 AND due_at IS NOT NULL AND sender > n.sender) \
               FROM numbers AS n WHERE n.sender IS NOT NULL) \
             SELECT {COLUMNS} FROM (SELECT m.*, ROW_NUMBER() OVER (PARTITION BY m.sender ORDER BY m.due_at, m.id) AS turn \
             FROM {firsts}) AS waiting ORDER BY turn, due_at, id LIMIT {limit}"
        );
        self.media(sql, vec![now.0.into()], "look for files to copy").await
    }

    /// The file that a link names.
    pub async fn media_named(&self, account: AccountKey, key: MediaKey) -> Result<Option<MediaRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM media WHERE hash = $1 AND account = $2 AND state <> 3");
        let found = self.media(sql, vec![key.0.to_vec().into(), account.0.into()], "look up a file").await?;
        Ok(found.into_iter().next())
    }

    /// The file that came with an inbound message of the log.
    pub async fn media_of_event(&self, account: AccountKey, place: Place) -> Result<Option<MediaRow>, StoreError> {
        let sql = "SELECT sender, provider_message_id FROM events WHERE account = $1 AND place = $2 AND kind = 2";
        let rows = query(self.reader(), sql, vec![account.0.into(), place.0.into()]).await;
        let read = |row: &QueryResult| -> Result<MediaKey, DbErr> {
            let id: String = row.try_get("", "provider_message_id")?;
            Ok(MediaKey::of(SenderKey(row.try_get("", "sender")?), &id))
        };
        let key = rows.and_then(|rows| rows.first().map(read).transpose()).doing("look up an event")?;
        match key {
            Some(key) => self.media_named(account, key).await,
            None => Ok(None),
        }
    }

    /// Files by what links name, those that are to be deleted left out.
    pub async fn media_with(&self, keys: &[MediaKey]) -> Result<Vec<MediaRow>, StoreError> {
        if keys.is_empty() {
            return Ok(vec![]);
        }
        let values: Vec<Value> = keys.iter().map(|key| key.0.to_vec().into()).collect();
        let places = (1..=values.len()).map(|place| format!("${place}")).collect::<Vec<_>>().join(",");
        let sql = format!("SELECT {COLUMNS} FROM media WHERE hash IN ({places}) AND state <> 3");
        self.media(sql, values, "look up files").await
    }

    /// All files of one person that are not yet marked for deletion, the newest first.
    pub async fn media_from(
        &self,
        account: Option<AccountKey>,
        owner: MediaOwner<'_>,
        limit: usize,
    ) -> Result<Vec<MediaRow>, StoreError> {
        let (which, value) = belonging_to(account, owner, "$1");
        let sql = format!("SELECT {COLUMNS} FROM media WHERE {which} AND state <> 3 ORDER BY id DESC LIMIT {limit}");
        self.media(sql, vec![value], "look up a person's files").await
    }

    /// Writes down what became of a try. `false` when the file is no longer wanted: it was deleted meanwhile, or copied by
    /// another instance.
    pub async fn settle_media(&self, id: MessageId, outcome: &CopyOutcome) -> Result<bool, StoreError> {
        let id: Value = id.0.into();
        let (sql, values): (_, Vec<Value>) = match outcome {
            CopyOutcome::Stored { size_bytes, mime_type } => (
                "UPDATE media SET state = 1, size_bytes = $2, mime_type = COALESCE($3, mime_type), stored_at = $4, \
                 due_at = NULL, reason = NULL WHERE id = $1 AND state = 0",
                vec![
                    id,
                    i64::try_from(*size_bytes).unwrap_or(i64::MAX).into(),
                    mime_type.clone().into(),
                    self.now().0.into(),
                ],
            ),
            CopyOutcome::Again { due_at, reason } => (
                "UPDATE media SET attempts = attempts + 1, due_at = $2, reason = $3 WHERE id = $1 AND state = 0",
                vec![id, due_at.0.into(), reason.clone().into()],
            ),
            CopyOutcome::Failed { reason } => (
                "UPDATE media SET state = 2, attempts = attempts + 1, due_at = NULL, reason = $2 WHERE id = $1 AND state = 0",
                vec![id, reason.clone().into()],
            ),
        };
        Ok(self.change_media(sql, values, "write down what became of a file").await? > 0)
    }

    /// A stored file is not where it should be: it is to be copied again.
    pub async fn miss_media(&self, id: MessageId, reason: &str) -> Result<bool, StoreError> {
        let sql = "UPDATE media SET state = 0, stored_at = NULL, size_bytes = NULL, due_at = $2, reason = $3 \
                   WHERE id = $1 AND state = 1 AND provider_media_id IS NOT NULL";
        let values = vec![id.0.into(), self.now().0.into(), reason.into()];
        Ok(self.change_media(sql, values, "note that a file is missing").await? > 0)
    }

    /// Marks files that came before `before` for deletion, at most `limit`; `copying_until` is when no copying of them can run any more.
    pub async fn mark_old_media(
        &self,
        before: UnixMillis,
        copying_until: UnixMillis,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let sql =
            format!("{MARK} WHERE id IN (SELECT id FROM media WHERE id < $3 AND state <> 3 ORDER BY id LIMIT {limit})");
        let values = vec![copying_until.0.into(), self.now().0.into(), MessageId::first_at(before).0.into()];
        self.change_media(&sql, values, "mark old files for deletion").await
    }

    /// Marks all files of one person for deletion; says how many.
    pub async fn mark_media_from(
        &self,
        account: Option<AccountKey>,
        owner: MediaOwner<'_>,
        copying_until: UnixMillis,
    ) -> Result<usize, StoreError> {
        let (which, value) = belonging_to(account, owner, "$3");
        let sql = format!("{MARK} WHERE {which} AND state <> 3");
        let values = vec![copying_until.0.into(), self.now().0.into(), value];
        self.change_media(&sql, values, "mark a person's files for deletion").await
    }

    /// Files that are marked for deletion, and whose time has come.
    pub async fn media_to_delete(&self, now: UnixMillis, limit: usize) -> Result<Vec<MediaRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM media WHERE state = 3 AND due_at <= $1 ORDER BY sender, due_at LIMIT {limit}"
        );
        self.media(sql, vec![now.0.into()], "look for files to delete").await
    }

    /// Deletes rows whose files are gone.
    pub async fn drop_media(&self, ids: &[MessageId]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let sql = format!("DELETE FROM media WHERE state = 3 AND id IN ({})", id_list(ids));
        self.change_media(&sql, vec![], "forget deleted files").await.map(drop)
    }

    pub async fn count_media(&self) -> Result<MediaOverview, StoreError> {
        let sql = "SELECT state, COUNT(*) AS files, CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) AS bytes \
                   FROM media GROUP BY state";
        let mut overview = MediaOverview::default();
        for row in query(self.reader(), sql, vec![]).await.doing("count files")? {
            let read = |row: &QueryResult| -> Result<(i16, i64, i64), DbErr> {
                Ok((row.try_get("", "state")?, row.try_get("", "files")?, row.try_get("", "bytes")?))
            };
            let (state, files, bytes) = read(&row).doing("count files")?;
            match MediaState::from_code(state) {
                Some(MediaState::Pending) => overview.pending = files,
                Some(MediaState::Stored) => (overview.stored, overview.stored_bytes) = (files, bytes),
                Some(MediaState::Failed) => overview.failed = files,
                Some(MediaState::Deleting) | None => {}
            }
        }
        Ok(overview)
    }

    /// The files that were given up last, the newest first.
    pub async fn failed_media(&self, limit: usize) -> Result<Vec<MediaRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM media WHERE state = 2 ORDER BY id DESC LIMIT {limit}");
        self.media(sql, vec![], "list failed files").await
    }

    async fn media(&self, sql: String, values: Vec<Value>, doing: &str) -> Result<Vec<MediaRow>, StoreError> {
        let rows = query(self.reader(), sql, values).await;
        rows.and_then(|rows| rows.iter().map(media_row).collect()).doing(doing)
    }

    async fn change_media(&self, sql: &str, values: Vec<Value>, doing: &str) -> Result<usize, StoreError> {
        let transaction = self.begin().await.doing("begin")?;
        let changed = execute(&transaction, sql, values).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }
}

/// The condition for a person's files, with the value that stands in it at `place`.
fn belonging_to(account: Option<AccountKey>, owner: MediaOwner<'_>, place: &str) -> (String, Value) {
    let (column, value): (_, Value) = match owner {
        MediaOwner::Number(number) => ("person", number.as_e164().into()),
        MediaOwner::UserId(id) => ("person_user_id", id.into()),
    };
    let only = account.map(|account| format!(" AND account = {}", account.0)).unwrap_or_default();
    (format!("{column} = {place}{only}"), value)
}

fn media_row(row: &QueryResult) -> Result<MediaRow, DbErr> {
    let hash: Vec<u8> = row.try_get("", "hash")?;
    let kind: i16 = row.try_get("", "kind")?;
    let state: i16 = row.try_get("", "state")?;
    let millis = |column| row.try_get::<Option<i64>>("", column).map(|at| at.map(UnixMillis));
    Ok(MediaRow {
        id: MessageId(row.try_get("", "id")?),
        key: MediaKey(hash.try_into().map_err(|_| odd_value("hash"))?),
        account: AccountKey(row.try_get("", "account")?),
        sender: SenderKey(row.try_get("", "sender")?),
        provider_media_id: row.try_get("", "provider_media_id")?,
        kind: InboundMediaKind::from_code(kind).ok_or_else(|| odd_value("kind"))?,
        mime_type: row.try_get("", "mime_type")?,
        filename: row.try_get("", "filename")?,
        state: MediaState::from_code(state).ok_or_else(|| odd_value("state"))?,
        size_bytes: row.try_get("", "size_bytes")?,
        attempts: row.try_get("", "attempts")?,
        due_at: millis("due_at")?,
        reason: row.try_get("", "reason")?,
        stored_at: millis("stored_at")?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        domain::inbound::{InboundContent, InboundMedia},
        store::testing::on_each_database,
    };

    const NOW: UnixMillis = UnixMillis::from_seconds(1_790_000_000);

    /// A file of the number that came so many seconds before now.
    fn new_file(id: i64, number: i32, seconds_ago: u64) -> [Value; 13] {
        let message = InboundMessage {
            provider_message_id: format!("wamid.{id}"),
            from: None,
            from_user_id: Some("IN.1349".to_owned()),
            from_name: None,
            occurred_at: NOW,
            replies_to: None,
            content: InboundContent::Media(InboundMedia {
                kind: InboundMediaKind::Image,
                provider_media_id: Some(id.to_string()),
                mime_type: None,
                caption: None,
                filename: Some("me.jpg".to_owned()),
                failure: None,
            }),
        };
        let came_at = NOW.minus(Duration::from_secs(seconds_ago));
        let id = MessageId(MessageId::first_at(came_at).0 + id);
        row_of(id, AccountKey(1), SenderKey(number), None, &message, came_at).expect("it has a file")
    }

    async fn with_files(store: &Store, files: Vec<[Value; 13]>) {
        let transaction = store.begin().await.expect("a transaction");
        keep(&transaction, files).await.expect("files can be kept");
        transaction.commit().await.expect("a commit");
    }

    #[tokio::test]
    async fn a_number_with_many_files_delays_no_other() {
        on_each_database(|store| async move {
            let mut files: Vec<_> = (1..=20).map(|id| new_file(id, 1, 100 - id.cast_unsigned())).collect();
            files.push(new_file(21, 2, 5));
            files.push(files[0].clone());
            with_files(&store, files).await;

            let due = store.media_due(NOW, 3, 3).await.expect("readable");

            let order: Vec<(i32, Option<&str>)> =
                due.iter().map(|row| (row.sender.0, row.provider_media_id.as_deref())).collect();
            assert_eq!(order, [(1, Some("1")), (2, Some("21")), (1, Some("2"))]);
            let all = store.media_due(NOW, 100, 100).await.expect("readable");
            assert_eq!(all.len(), 21, "a repeat is no second file");
        })
        .await;
    }

    #[tokio::test]
    async fn a_file_that_is_marked_keeps_nothing_of_the_person_and_waits_for_its_copying() {
        on_each_database(|store| async move {
            with_files(&store, vec![new_file(1, 1, 10), new_file(2, 1, 10)]).await;
            let due = store.media_due(NOW, 9, 9).await.expect("readable");
            let stored = CopyOutcome::Stored { size_bytes: 5, mime_type: Some("image/png".to_owned()) };
            assert!(store.settle_media(due[0].id, &stored).await.expect("writable"));
            let later = store.now().plus(Duration::from_secs(3600));

            let marked = store.mark_media_from(Some(AccountKey(1)), MediaOwner::UserId("IN.1349"), later).await;

            assert_eq!(marked.expect("writable"), 2);
            assert!(!store.settle_media(due[1].id, &stored).await.expect("writable"), "nobody wants it any more");
            let now = store.media_to_delete(store.now(), 9).await.expect("readable");
            assert_eq!(now.iter().map(|row| row.id).collect::<Vec<_>>(), [due[0].id], "the other may still be written");
            assert_eq!((&now[0].filename, &now[0].mime_type, &now[0].provider_media_id), (&None, &None, &None));
            assert_eq!(store.media_to_delete(later, 9).await.expect("readable").len(), 2);
            store.drop_media(&[due[0].id, due[1].id]).await.expect("writable");
            assert!(store.media_to_delete(later, 9).await.expect("readable").is_empty());
        })
        .await;
    }
}
