//! A webhook that fails, or was switched off for that: a line in the log of the account whose events it did not take, for other
//! webhooks, and a letter for people. Both are written in the transaction that decides that it is news, so that neither is lost and
//! neither is told twice, whichever of the webhook's many cursors found out first.

use std::time::Duration;

use sea_orm::{QueryResult, Value};

use super::{
    DatabaseTransaction, Doing, Store, StoreError, events, execute,
    holds::{CONFIGURATION, bump},
    notices::ReceivedNotice,
    query,
    webhooks::align,
};
use crate::domain::{
    ids::{AccountKey, SenderKey, WebhookKey},
    notice::{Notice, WebhookTrouble},
    time::UnixMillis,
    webhook::Webhook,
};

/// A letter that is still to be sent.
#[derive(Clone, Debug)]
pub struct WebhookLetter {
    pub id: i32,
    /// The webhook's name.
    pub webhook: String,
    pub subject: String,
    pub body: String,
    pub created_at: UnixMillis,
}

/// More are not read at once.
const LETTERS_AT_ONCE: usize = 50;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// A letter that no server took for so long is given up.
pub const LETTER_LIVES: Duration = Duration::from_secs(24 * 60 * 60);

impl Store {
    /// The webhook takes nothing. `true` when that is news, and was told; beyond the day's number it is written down in silence.
    pub async fn note_webhook_failing(
        &self,
        webhook: &Webhook,
        account: AccountKey,
        trouble: &WebhookTrouble,
    ) -> Result<bool, StoreError> {
        let doing = "note that a webhook fails";
        let now = self.now();
        let transaction = self.begin().await.doing(doing)?;
        let sql = "UPDATE webhooks SET failing_since = $2, alerts_told = CASE WHEN alerts_day = $3 THEN alerts_told + 1 ELSE 1 END, \
                   alerts_day = $3 WHERE key = $1 AND enabled AND failing_since IS NULL RETURNING alerts_told";
        let values: Vec<Value> =
            vec![webhook.key.0.into(), trouble.failing_since.0.into(), now.0.div_euclid(DAY_MS).into()];
        let rows = query(&transaction, sql, values).await.doing(doing)?;
        let told = rows.first().map(|row: &QueryResult| row.try_get::<i32>("", "alerts_told")).transpose();
        let told = told.doing(doing)?;
        let is_news = told.is_some_and(|told| told.unsigned_abs() <= webhook.settings.alerts.per_day);
        if is_news {
            self.tell(&transaction, webhook, account, Notice::of_webhook(trouble.clone(), false, now)).await?;
        }
        transaction.commit().await.doing(doing)?;
        Ok(is_news)
    }

    /// Something got through: the next failure is news again.
    pub async fn note_webhook_well(&self, webhook: WebhookKey) -> Result<(), StoreError> {
        let doing = "note that a webhook is well";
        let sql = "UPDATE webhooks SET failing_since = NULL WHERE key = $1 AND failing_since IS NOT NULL";
        let transaction = self.begin().await.doing(doing)?;
        execute(&transaction, sql, vec![webhook.0.into()]).await.doing(doing)?;
        transaction.commit().await.doing(doing)
    }

    /// Nothing gets through: nobody tries any more, until somebody switches it on again. `false` when it was off already.
    pub async fn switch_off_webhook(
        &self,
        webhook: &Webhook,
        account: AccountKey,
        (trouble, reason): (&WebhookTrouble, &str),
    ) -> Result<bool, StoreError> {
        let doing = "switch off a webhook";
        let now = self.now();
        let transaction = self.begin().await.doing(doing)?;
        bump(&transaction, CONFIGURATION).await.doing(doing)?;
        let sql = "UPDATE webhooks SET enabled = FALSE, switched_off_at = $2, switched_off = $3, updated_at = updated_at + 1 \
                   WHERE key = $1 AND enabled";
        let values = vec![webhook.key.0.into(), now.0.into(), reason.into()];
        let off = execute(&transaction, sql, values).await.doing(doing)? > 0;
        align(&transaction, self.vault(), now).await.doing(doing)?;
        if off {
            self.tell(&transaction, webhook, account, Notice::of_webhook(trouble.clone(), true, now)).await?;
        }
        transaction.commit().await.doing(doing)?;
        Ok(off)
    }

    async fn tell(
        &self,
        transaction: &DatabaseTransaction,
        webhook: &Webhook,
        account: AccountKey,
        notice: Notice,
    ) -> Result<(), StoreError> {
        let doing = "tell that a webhook fails";
        let now = self.now();
        if !webhook.settings.alerts.emails.is_empty() {
            let sql = "INSERT INTO webhook_letters (webhook, subject, body, created_at) VALUES ($1, $2, $3, $4)";
            let subject = format!("wabridge: webhook {}: {}", webhook.name, notice.kind.as_str().replace('_', " "));
            let values = vec![webhook.name.as_str().into(), subject.into(), notice.text.as_str().into(), now.0.into()];
            execute(transaction, sql, values).await.doing(doing)?;
        }
        // Each line of a log is of one of the account's numbers.
        let sql = "SELECT MIN(key) AS key FROM senders WHERE account = $1 AND removed_at IS NULL";
        let rows = query(transaction, sql, vec![account.0.into()]).await.doing(doing)?;
        let sender = rows.first().map(|row| row.try_get::<Option<i32>>("", "key")).transpose().doing(doing)?.flatten();
        let Some(sender) = sender else { return Ok(()) };
        let received = ReceivedNotice { account, sender: SenderKey(sender), notice: notice.into() };
        events::append(transaction, vec![received.event(now)], now).await.doing(doing)
    }

    /// Letters that are still to be sent, the oldest first.
    pub async fn webhook_letters(&self) -> Result<Vec<WebhookLetter>, StoreError> {
        let sql = format!(
            "SELECT id, webhook, subject, body, created_at FROM webhook_letters ORDER BY id LIMIT {LETTERS_AT_ONCE}"
        );
        let read = |row: &QueryResult| {
            Ok(WebhookLetter {
                id: row.try_get("", "id")?,
                webhook: row.try_get("", "webhook")?,
                subject: row.try_get("", "subject")?,
                body: row.try_get("", "body")?,
                created_at: UnixMillis(row.try_get("", "created_at")?),
            })
        };
        let rows = query(self.reader(), sql, vec![]).await;
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read letters about webhooks")
    }

    /// A letter was sent, or is given up.
    pub async fn forget_webhook_letter(&self, id: i32) -> Result<(), StoreError> {
        let doing = "forget a letter about a webhook";
        let transaction = self.begin().await.doing(doing)?;
        execute(&transaction, "DELETE FROM webhook_letters WHERE id = $1", vec![id.into()]).await.doing(doing)?;
        transaction.commit().await.doing(doing)
    }
}
