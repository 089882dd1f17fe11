//! Who is told of alarms besides those whom the settings name: one sealed text, because whoever knows a webhook's URL may post to it.

use sea_orm::{ConnectionTrait, DbErr};

use super::{
    Doing, Store, StoreError,
    audit::{self, AuditEntry},
    execute,
    holds::{CONFIGURATION, bump},
    query,
    secrets::place_of_secret,
};
use crate::domain::{alarm_recipients::AlarmRecipients, time::UnixMillis};

/// It lies among the secrets, under this name.
const NAME: &str = "alarm-recipients";

/// As they are stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredRecipients {
    pub recipients: AlarmRecipients,
    /// When they were last changed; `None`: they never were.
    pub changed_at: Option<UnixMillis>,
}

impl Store {
    pub async fn alarm_recipients(&self) -> Result<StoredRecipients, StoreError> {
        self.read_recipients(self.reader()).await.doing("read who is told of alarms")
    }

    /// Writes what `decide` makes of what is stored, with its line in the audit log; nothing when it decides so.
    pub async fn change_alarm_recipients<E>(
        &self,
        decide: impl FnOnce(&StoredRecipients) -> Result<Option<(AlarmRecipients, AuditEntry)>, E>,
    ) -> Result<Result<(), E>, StoreError> {
        let doing = "change who is told of alarms";
        let transaction = self.begin().await.doing(doing)?;
        // Holds off whoever changes it at the same moment.
        bump(&transaction, CONFIGURATION).await.doing(doing)?;
        let (recipients, entry) = match decide(&self.read_recipients(&transaction).await.doing(doing)?) {
            Ok(Some(decided)) => decided,
            Ok(None) => return Ok(Ok(())),
            Err(refusal) => return Ok(Err(refusal)),
        };
        let json = serde_json::to_vec(&recipients).expect("texts can be written as JSON");
        let sealed = self.vault().seal(&place_of_secret(NAME), &json);
        let sql = "INSERT INTO secrets (name, value, created_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value, created_at = excluded.created_at";
        let values = vec![NAME.into(), sealed.into(), self.now().0.into()];
        execute(&transaction, sql, values).await.doing(doing)?;
        audit::append(&transaction, &entry, self.now()).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(Ok(()))
    }

    async fn read_recipients(&self, from: &impl ConnectionTrait) -> Result<StoredRecipients, DbErr> {
        let rows = query(from, "SELECT value, created_at FROM secrets WHERE name = $1", vec![NAME.into()]).await?;
        let Some(row) = rows.first() else { return Ok(StoredRecipients::default()) };
        let sealed: Vec<u8> = row.try_get("", "value")?;
        let json = self.vault().open_sealed(&place_of_secret(NAME), &sealed);
        let json = json.map_err(|error| DbErr::Custom(error.to_string()))?;
        // Where it broke would quote a part of it, which may be a secret.
        let odd = |_| DbErr::Custom("who is told of alarms cannot be read by this version of wabridge".to_owned());
        let recipients = serde_json::from_slice(&json).map_err(odd)?;
        Ok(StoredRecipients { recipients, changed_at: Some(UnixMillis(row.try_get("", "created_at")?)) })
    }
}
