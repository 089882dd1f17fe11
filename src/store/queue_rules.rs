//! What operators say about parts of the queues. A handful of rows: every instance keeps them all in memory, and reads them
//! again when their version moves.

use sea_orm::{DbErr, QueryResult, Value};

use super::{Doing, Store, StoreError, execute, holds::bump, outbound::odd_value, query};
use crate::domain::{
    ids::{AccountKey, SenderKey},
    queue::{QueueFilter, QueueRule, QueueRules, RuleAction},
    time::UnixMillis,
};

/// The name of the version that moves when a rule does.
pub(crate) const QUEUE_RULES: &str = "queue_rules";

/// Each message that is taken in or read is held against all of them.
pub const QUEUE_RULES_MAX: usize = 1_000;

const COLUMNS: &str = "key, action, account, sender, campaign, template_name, template_language, reason, created_at, \
     ends_at, released_at";

impl Store {
    pub async fn queue_rules(&self) -> Result<QueueRules, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM queue_rules ORDER BY key LIMIT {QUEUE_RULES_MAX}");
        let rows = query(self.reader(), sql, vec![]).await;
        let rules = rows.and_then(|rows| rows.iter().map(rule).collect()).doing("read the rules of queues")?;
        Ok(QueueRules(rules))
    }

    /// Writes a rule down. One that says the same of the same part is replaced: the last word counts.
    /// `false` when there are too many.
    pub async fn add_queue_rule(
        &self,
        action: RuleAction,
        filter: &QueueFilter,
        reason: &str,
        since: UnixMillis,
        ends_at: Option<UnixMillis>,
    ) -> Result<bool, StoreError> {
        let doing = "write down a rule of queues";
        let transaction = self.begin().await.doing("begin")?;
        let sql = format!("SELECT {COLUMNS} FROM queue_rules ORDER BY key");
        let rows = query(&transaction, sql, vec![]).await.doing(doing)?;
        let known: Vec<QueueRule> = rows.iter().map(rule).collect::<Result<_, _>>().doing(doing)?;
        for same in known.iter().filter(|rule| rule.action == action && rule.filter == *filter) {
            let sql = "DELETE FROM queue_rules WHERE key = $1";
            execute(&transaction, sql, vec![same.key.into()]).await.doing(doing)?;
        }
        if known.len() >= QUEUE_RULES_MAX {
            return Ok(false);
        }
        let sql = "INSERT INTO queue_rules (action, account, sender, campaign, template_name, template_language, reason, \
                   created_at, ends_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let values: Vec<Value> = vec![
            action.code().into(),
            filter.account.map(|account| account.0).into(),
            filter.sender.map(|sender| sender.0).into(),
            filter.campaign.clone().into(),
            filter.template.clone().into(),
            filter.language.clone().into(),
            reason.into(),
            since.0.into(),
            ends_at.map(|at| at.0).into(),
        ];
        execute(&transaction, sql, values).await.doing(doing)?;
        bump(&transaction, QUEUE_RULES).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(true)
    }

    /// Ends rules: they hold no more. What they kept back is put into the queues again by a running server.
    pub async fn release_queue_rules(&self, keys: &[i32], now: UnixMillis) -> Result<u64, StoreError> {
        let sql = "UPDATE queue_rules SET released_at = $1 WHERE released_at IS NULL AND key IN";
        self.change_rules(sql, keys, vec![now.0.into()]).await
    }

    /// Removes rules that are done with.
    pub async fn forget_queue_rules(&self, keys: &[i32]) -> Result<u64, StoreError> {
        self.change_rules("DELETE FROM queue_rules WHERE key IN", keys, vec![]).await
    }

    async fn change_rules(&self, sql: &str, keys: &[i32], values: Vec<Value>) -> Result<u64, StoreError> {
        if keys.is_empty() {
            return Ok(0);
        }
        let list = keys.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
        let transaction = self.begin().await.doing("begin")?;
        let changed = execute(&transaction, format!("{sql} ({list})"), values).await.doing("change rules of queues")?;
        bump(&transaction, QUEUE_RULES).await.doing("change rules of queues")?;
        transaction.commit().await.doing("change rules of queues")?;
        Ok(changed)
    }
}

fn rule(row: &QueryResult) -> Result<QueueRule, DbErr> {
    let action: i16 = row.try_get("", "action")?;
    let millis = |column| row.try_get::<Option<i64>>("", column).map(|at| at.map(UnixMillis));
    Ok(QueueRule {
        key: row.try_get("", "key")?,
        action: RuleAction::from_code(action).ok_or_else(|| odd_value("action"))?,
        filter: QueueFilter {
            account: row.try_get::<Option<i32>>("", "account")?.map(AccountKey),
            sender: row.try_get::<Option<i32>>("", "sender")?.map(SenderKey),
            campaign: row.try_get("", "campaign")?,
            template: row.try_get("", "template_name")?,
            language: row.try_get("", "template_language")?,
        },
        reason: row.try_get("", "reason")?,
        since: UnixMillis(row.try_get("", "created_at")?),
        ends_at: millis("ends_at")?,
        released_at: millis("released_at")?,
    })
}
