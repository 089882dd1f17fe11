//! Cancelling what waits of a campaign, as a job: who asked, how many messages, whether it is at its end. Any instance goes on
//! with what a dead one had begun.

use sea_orm::{DbErr, QueryResult, Value};

use super::{
    Doing, Store, StoreError,
    audit::{self, AuditEntry},
    erasures::ABANDONED_AFTER,
    execute,
    outbound::odd_value,
    query,
};
use crate::domain::{ids::AccountKey, operator::Via, time::UnixMillis};

/// What is to be cancelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelJob {
    pub account: AccountKey,
    pub campaign: String,
    pub reason: String,
    pub actor: String,
    pub via: Via,
}

/// How it goes, or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CampaignCancel {
    pub key: i32,
    pub job: CancelJob,
    pub cancelled: u64,
    pub is_over: bool,
}

const COLUMNS: &str = "key, account, campaign, reason, actor, via, cancelled, ended_at";

impl Store {
    /// Writes down that it begins; `None` when the campaign is being cancelled already.
    pub async fn begin_campaign_cancel(
        &self,
        job: &CancelJob,
        entry: Option<&AuditEntry>,
    ) -> Result<Option<i32>, StoreError> {
        let doing = "write down that a campaign is cancelled";
        let sql = "INSERT INTO campaign_cancels (account, campaign, reason, actor, via, started_at, seen_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT DO NOTHING RETURNING key";
        let CancelJob { account, campaign, reason, actor, via } = job.clone();
        let now = self.now();
        let values: Vec<Value> =
            vec![account.0.into(), campaign.into(), reason.into(), actor.into(), via.code().into(), now.0.into()];
        let transaction = self.begin().await.doing(doing)?;
        let rows = query(&transaction, sql, values).await.doing(doing)?;
        let key = rows.first().map(|row| row.try_get("", "key")).transpose().doing(doing)?;
        if let Some(entry) = entry.filter(|_| key.is_some()) {
            audit::append(&transaction, entry, now).await.doing(doing)?;
        }
        transaction.commit().await.doing(doing)?;
        Ok(key)
    }

    /// So many messages are cancelled, and somebody is still at it.
    pub async fn move_campaign_cancel(&self, key: i32, cancelled: u64) -> Result<(), StoreError> {
        let sql = "UPDATE campaign_cancels SET cancelled = $2, seen_at = $3 WHERE key = $1 AND ended_at IS NULL";
        self.change_campaign_cancel(sql, (key, cancelled), None).await
    }

    /// It is at its end.
    pub async fn end_campaign_cancel(&self, key: i32, cancelled: u64, entry: &AuditEntry) -> Result<(), StoreError> {
        let sql = "UPDATE campaign_cancels SET cancelled = $2, seen_at = $3, ended_at = $3 WHERE key = $1 AND ended_at IS NULL";
        self.change_campaign_cancel(sql, (key, cancelled), Some(entry)).await
    }

    async fn change_campaign_cancel(
        &self,
        sql: &str,
        (key, cancelled): (i32, u64),
        entry: Option<&AuditEntry>,
    ) -> Result<(), StoreError> {
        let doing = "write down how far cancelling a campaign is";
        let now = self.now();
        let cancelled = i64::try_from(cancelled).unwrap_or(i64::MAX);
        let transaction = self.begin().await.doing(doing)?;
        execute(&transaction, sql, vec![key.into(), cancelled.into(), now.0.into()]).await.doing(doing)?;
        if let Some(entry) = entry {
            audit::append(&transaction, entry, now).await.doing(doing)?;
        }
        transaction.commit().await.doing(doing)
    }

    /// One that nobody works on any more; whoever gets it goes on with it.
    pub async fn take_up_campaign_cancel(&self) -> Result<Option<CampaignCancel>, StoreError> {
        let doing = "look for a campaign whose cancelling was left";
        let left = "ended_at IS NULL AND seen_at < $1";
        let before = self.now().minus(ABANDONED_AFTER);
        let some = format!("SELECT 1 FROM campaign_cancels WHERE {left} LIMIT 1");
        if query(self.reader(), some, vec![before.0.into()]).await.doing(doing)?.is_empty() {
            return Ok(None);
        }
        let sql = format!(
            "UPDATE campaign_cancels SET seen_at = $2 WHERE key = (SELECT key FROM campaign_cancels WHERE {left} ORDER BY key LIMIT 1) \
             AND {left} RETURNING {COLUMNS}"
        );
        let transaction = self.begin().await.doing(doing)?;
        let rows = query(&transaction, sql, vec![before.0.into(), self.now().0.into()]).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        rows.first().map(cancel).transpose().doing(doing)
    }

    /// The last time that a campaign was cancelled.
    pub async fn campaign_cancel(
        &self,
        account: AccountKey,
        campaign: &str,
    ) -> Result<Option<CampaignCancel>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM campaign_cancels WHERE account = $1 AND campaign = $2 ORDER BY key DESC LIMIT 1"
        );
        let rows = query(self.reader(), sql, vec![account.0.into(), campaign.into()]).await;
        rows.and_then(|rows| rows.first().map(cancel).transpose()).doing("read how cancelling a campaign goes")
    }

    /// Campaigns that are being cancelled.
    pub async fn open_campaign_cancels(&self) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(*) AS campaigns FROM campaign_cancels WHERE ended_at IS NULL";
        let rows = query(self.reader(), sql, vec![]).await;
        rows.and_then(|rows| rows.first().map_or(Ok(0), |row| row.try_get("", "campaigns")))
            .doing("count the campaigns that are being cancelled")
    }

    /// Forgets those that began before `before`.
    pub async fn forget_campaign_cancels(&self, before: UnixMillis, limit: usize) -> Result<usize, StoreError> {
        let sql = format!(
            "DELETE FROM campaign_cancels WHERE key IN (SELECT key FROM campaign_cancels WHERE started_at < $1 \
             ORDER BY started_at LIMIT {limit})"
        );
        self.forget(&sql, before).await
    }
}

fn cancel(row: &QueryResult) -> Result<CampaignCancel, DbErr> {
    let cancelled: i64 = row.try_get("", "cancelled")?;
    Ok(CampaignCancel {
        key: row.try_get("", "key")?,
        job: CancelJob {
            account: AccountKey(row.try_get("", "account")?),
            campaign: row.try_get("", "campaign")?,
            reason: row.try_get("", "reason")?,
            actor: row.try_get("", "actor")?,
            via: Via::from_code(row.try_get("", "via")?).ok_or_else(|| odd_value("via"))?,
        },
        cancelled: u64::try_from(cancelled).unwrap_or(0),
        is_over: row.try_get::<Option<i64>>("", "ended_at")?.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::operator::Actor, store::testing::on_each_database};

    #[tokio::test]
    async fn a_campaign_is_cancelled_by_one_at_a_time_and_whoever_comes_after_a_dead_one_goes_on() {
        on_each_database(async |store| {
            let job = CancelJob {
                account: AccountKey(1),
                campaign: "1790000000".to_owned(),
                reason: "wrong price".to_owned(),
                actor: "asha".to_owned(),
                via: Via::Api,
            };
            let entry = AuditEntry::new(&Actor::of_command_line("asha"), "campaign is cancelled", "1790000000");
            let key = store.begin_campaign_cancel(&job, None).await.expect("written").expect("none is open");
            assert_eq!(store.begin_campaign_cancel(&job, None).await.expect("readable"), None, "it is under way");
            store.move_campaign_cancel(key, 500).await.expect("written");
            assert_eq!(store.take_up_campaign_cancel().await.expect("readable"), None, "it was seen just now");

            execute(&store.writer, "UPDATE campaign_cancels SET seen_at = 1", vec![]).await.expect("written");
            let left = store.take_up_campaign_cancel().await.expect("readable").expect("it was left");
            assert_eq!((left.key, &left.job, left.cancelled, left.is_over), (key, &job, 500, false));
            assert_eq!(store.take_up_campaign_cancel().await.expect("readable"), None, "only one goes on with it");

            store.end_campaign_cancel(key, 730, &entry).await.expect("written");
            let over = store.campaign_cancel(job.account, &job.campaign).await.expect("readable").expect("it is there");
            assert_eq!((over.cancelled, over.is_over), (730, true));
            assert_eq!(store.open_campaign_cancels().await.expect("readable"), 0);
            let again = store.begin_campaign_cancel(&job, None).await.expect("written");
            assert!(again.is_some_and(|again| again != key), "it can be cancelled again");
        })
        .await;
    }
}
