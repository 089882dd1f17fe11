//! What operators were told, letter by letter: by which ways, and why a way failed.

use sea_orm::{DbErr, QueryResult};
use serde::{Deserialize, Serialize};

use super::{Doing, Store, StoreError, execute, outbound::odd_value, query};
use crate::domain::time::UnixMillis;

/// A letter that was sent, or could not be.
#[derive(Clone, Debug, PartialEq)]
pub struct SentLetter {
    pub at: UnixMillis,
    pub instance: String,
    pub subject: String,
    pub text: String,
    /// None of them: no way was set up, and only the log has it.
    pub ways: Vec<SentWay>,
}

/// What came of one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentWay {
    pub way: String,
    /// Why it did not take the letter.
    pub failure: Option<String>,
}

impl Store {
    pub async fn keep_letter(&self, letter: &SentLetter) -> Result<(), StoreError> {
        let doing = "write down an alarm's letter";
        let ways = serde_json::to_string(&letter.ways).expect("texts can be written as JSON");
        let sql = "INSERT INTO alarm_letters (at, instance, subject, text, ways) VALUES ($1, $2, $3, $4, $5)";
        let values = vec![
            letter.at.0.into(),
            letter.instance.as_str().into(),
            letter.subject.as_str().into(),
            letter.text.as_str().into(),
            ways.into(),
        ];
        let transaction = self.begin().await.doing(doing)?;
        execute(&transaction, sql, values).await.doing(doing)?;
        transaction.commit().await.doing(doing)
    }

    /// Letters with their keys, the newest first; `before` is the last one of the page before.
    pub async fn letters(&self, before: Option<i32>, limit: usize) -> Result<Vec<(i32, SentLetter)>, StoreError> {
        let sql = format!(
            "SELECT key, at, instance, subject, text, ways FROM alarm_letters WHERE key < $1 ORDER BY key DESC LIMIT {limit}"
        );
        let rows = query(self.reader(), sql, vec![before.unwrap_or(i32::MAX).into()]).await;
        let read = |row: &QueryResult| -> Result<(i32, SentLetter), DbErr> {
            let ways: String = row.try_get("", "ways")?;
            let letter = SentLetter {
                at: UnixMillis(row.try_get("", "at")?),
                instance: row.try_get("", "instance")?,
                subject: row.try_get("", "subject")?,
                text: row.try_get("", "text")?,
                ways: serde_json::from_str(&ways).map_err(|_| odd_value("ways"))?,
            };
            Ok((row.try_get("", "key")?, letter))
        };
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read what operators were told")
    }

    /// Forgets letters that were sent before `before`.
    pub async fn forget_letters(&self, before: UnixMillis, limit: usize) -> Result<usize, StoreError> {
        let sql = format!(
            "DELETE FROM alarm_letters WHERE key IN (SELECT key FROM alarm_letters WHERE at < $1 ORDER BY at LIMIT {limit})"
        );
        self.forget(&sql, before).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::on_each_database;

    #[tokio::test]
    async fn letters_are_told_from_the_newest_on_and_forgotten_by_their_age() {
        on_each_database(async |store| {
            let letter = |at| SentLetter {
                at: UnixMillis(at),
                instance: "one".to_owned(),
                subject: format!("letter {at}"),
                text: "connection meta-main: on hold".to_owned(),
                ways: vec![SentWay { way: "webhook".to_owned(), failure: Some("HTTP 500".to_owned()) }],
            };
            for at in [1_000, 2_000, 3_000] {
                store.keep_letter(&letter(at)).await.expect("written");
            }

            let newest = store.letters(None, 2).await.expect("readable");
            let older = store.letters(newest.last().map(|(key, _)| *key), 2).await.expect("readable");
            assert_eq!(newest.iter().map(|(_, letter)| letter.at.0).collect::<Vec<_>>(), [3_000, 2_000]);
            assert_eq!(older.into_iter().map(|(_, letter)| letter).collect::<Vec<_>>(), [letter(1_000)]);
            while store.forget_letters(UnixMillis(3_000), 1).await.expect("written") > 0 {}
            assert_eq!(store.letters(None, 9).await.expect("readable").len(), 1);
        })
        .await;
    }
}
