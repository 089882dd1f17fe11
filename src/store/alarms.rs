//! What operators were told of, so that neither a restart nor another instance tells it again.

use sea_orm::{DbErr, QueryResult, Value};

use super::{Doing, Store, StoreError, execute, outbound::odd_value, query};
use crate::domain::{alarm::AlarmKind, time::UnixMillis};

/// Something that is wrong, or was a while ago.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmRecord {
    pub kind: AlarmKind,
    pub subject: String,
    pub text: String,
    pub raised_at: UnixMillis,
    /// `None` while it lasts.
    pub over_at: Option<UnixMillis>,
    /// When it was last told, be it to the log alone.
    pub told_at: Option<UnixMillis>,
    /// The ways that took it then; empty when it was for none of them, and only the log has it.
    pub told_by: String,
    /// Whether they heard of it since it was last raised.
    pub told: bool,
}

impl Store {
    /// Everything that is wrong or was lately; a few rows.
    pub async fn alarms(&self) -> Result<Vec<AlarmRecord>, StoreError> {
        let sql = "SELECT kind, subject, text, raised_at, over_at, told_at, told_by, told FROM alarms \
                   ORDER BY raised_at, kind, subject";
        let rows = query(self.reader(), sql, vec![]).await;
        let read = |row: &QueryResult| -> Result<Option<AlarmRecord>, DbErr> {
            let kind: String = row.try_get("", "kind")?;
            // A kind of another version is that version's business.
            let Some(kind) = AlarmKind::parse(&kind) else { return Ok(None) };
            let millis = |column| row.try_get::<Option<i64>>("", column).map(|at| at.map(UnixMillis));
            Ok(Some(AlarmRecord {
                kind,
                subject: row.try_get("", "subject")?,
                text: row.try_get("", "text")?,
                raised_at: millis("raised_at")?.ok_or_else(|| odd_value("raised_at"))?,
                over_at: millis("over_at")?,
                told_at: millis("told_at")?,
                told_by: row.try_get("", "told_by")?,
                told: row.try_get("", "told")?,
            }))
        };
        rows.and_then(|rows| rows.iter().filter_map(|row| read(row).transpose()).collect()).doing("read alarms")
    }

    /// Writes down how these stand now, and forgets those.
    pub async fn change_alarms(&self, changed: &[AlarmRecord], gone: &[AlarmRecord]) -> Result<(), StoreError> {
        let doing = "write down alarms";
        let transaction = self.begin().await.doing("begin")?;
        for record in changed {
            let sql = "INSERT INTO alarms (kind, subject, text, raised_at, over_at, told_at, told_by, told) \
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (kind, subject) DO UPDATE SET \
                       text = excluded.text, raised_at = excluded.raised_at, over_at = excluded.over_at, \
                       told_at = excluded.told_at, told_by = excluded.told_by, told = excluded.told";
            let values: Vec<Value> = vec![
                record.kind.as_str().into(),
                record.subject.as_str().into(),
                record.text.as_str().into(),
                record.raised_at.0.into(),
                record.over_at.map(|at| at.0).into(),
                record.told_at.map(|at| at.0).into(),
                record.told_by.as_str().into(),
                record.told.into(),
            ];
            execute(&transaction, sql, values).await.doing(doing)?;
        }
        for record in gone {
            let sql = "DELETE FROM alarms WHERE kind = $1 AND subject = $2";
            let values = vec![record.kind.as_str().into(), record.subject.as_str().into()];
            execute(&transaction, sql, values).await.doing(doing)?;
        }
        transaction.commit().await.doing(doing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::on_each_database;

    #[tokio::test]
    async fn an_alarm_is_kept_changed_and_forgotten() {
        on_each_database(async |store| {
            let raised = AlarmRecord {
                kind: AlarmKind::NumberHeld,
                subject: "number +918880110022".to_owned(),
                text: "held".to_owned(),
                raised_at: UnixMillis(1_000),
                over_at: None,
                told_at: None,
                told_by: String::new(),
                told: false,
            };
            let (told_at, told_by) = (Some(UnixMillis(2_000)), "webhook".to_owned());
            let told = AlarmRecord { told_at, told_by, told: true, ..raised.clone() };

            store.change_alarms(&[raised], &[]).await.expect("it is new");
            store.change_alarms(std::slice::from_ref(&told), &[]).await.expect("it is changed");
            assert_eq!(store.alarms().await.expect("a row"), std::slice::from_ref(&told));

            store.change_alarms(&[], &[told]).await.expect("it is forgotten");
            assert!(store.alarms().await.expect("no row").is_empty());
        })
        .await;
    }
}
