//! What operators say about parts of the queues. A handful of rows: every instance keeps them all in memory, and reads them
//! again when their version moves.

use std::time::Duration;

use sea_orm::{DbErr, QueryResult, Value};

use super::{
    Doing, Store, StoreError,
    audit::{AuditEntry, append},
    execute,
    holds::bump,
    outbound::odd_value,
    query,
};
use crate::domain::{
    ids::{AccountKey, SenderKey},
    queue::{QueueFilter, QueueRule, QueueRules, RuleAction},
    time::UnixMillis,
};

/// The name of the version that moves when a rule does.
pub(crate) const QUEUE_RULES: &str = "queue_rules";

/// Each message that is taken in or read is held against all of them.
pub const QUEUE_RULES_MAX: usize = 1_000;
/// Rules that are done with are kept so long, for those who ask what was …
const DONE_KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// … and so many of them are shown, the newest.
const DONE_SHOWN_MAX: usize = 200;

const COLUMNS: &str = "key, action, account, sender, campaign, template_name, template_language, reason, created_at, \
     ends_at, released_at";

impl Store {
    pub async fn queue_rules(&self) -> Result<QueueRules, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM queue_rules WHERE done_at IS NULL ORDER BY key LIMIT {QUEUE_RULES_MAX}");
        let rows = query(self.reader(), sql, vec![]).await;
        let rules = rows.and_then(|rows| rows.iter().map(rule).collect()).doing("read the rules of queues")?;
        Ok(QueueRules(rules))
    }

    /// Rules that are done with, the newest first.
    pub async fn done_queue_rules(&self) -> Result<Vec<QueueRule>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM queue_rules WHERE done_at IS NOT NULL ORDER BY key DESC LIMIT {DONE_SHOWN_MAX}"
        );
        let rows = query(self.reader(), sql, vec![]).await;
        rows.and_then(|rows| rows.iter().map(rule).collect()).doing("read rules of queues that ended")
    }

    /// Writes a rule down, with who made it. One that says the same of the same part is replaced: the last word counts.
    /// `false` when there are too many.
    pub async fn add_queue_rule(
        &self,
        action: RuleAction,
        filter: &QueueFilter,
        reason: &str,
        (since, ends_at): (UnixMillis, Option<UnixMillis>),
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let doing = "write down a rule of queues";
        let transaction = self.begin().await.doing("begin")?;
        let sql = format!("SELECT {COLUMNS} FROM queue_rules WHERE done_at IS NULL ORDER BY key");
        let rows = query(&transaction, sql, vec![]).await.doing(doing)?;
        let known: Vec<QueueRule> = rows.iter().map(rule).collect::<Result<_, _>>().doing(doing)?;
        let (same, others): (Vec<_>, Vec<_>) =
            known.iter().partition(|rule| rule.action == action && rule.filter == *filter);
        if others.len() >= QUEUE_RULES_MAX {
            transaction.rollback().await.doing(doing)?;
            return Ok(false);
        }
        for replaced in same {
            let sql = "DELETE FROM queue_rules WHERE key = $1";
            execute(&transaction, sql, vec![replaced.key.into()]).await.doing(doing)?;
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
        append(&transaction, entry, self.now()).await.doing(doing)?;
        bump(&transaction, QUEUE_RULES).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(true)
    }

    /// Ends rules: they hold no more. What they kept back is put into the queues again by a running server.
    pub async fn release_queue_rules(
        &self,
        keys: &[i32],
        now: UnixMillis,
        entry: &AuditEntry,
    ) -> Result<u64, StoreError> {
        let sql = "UPDATE queue_rules SET released_at = $1 WHERE released_at IS NULL AND key IN";
        self.change_rules(sql, keys, vec![now.0.into()], Some(entry)).await
    }

    /// Puts away rules that are done with, and forgets those that were put away long ago.
    pub async fn put_away_queue_rules(&self, keys: &[i32], now: UnixMillis) -> Result<u64, StoreError> {
        if keys.is_empty() {
            return Ok(0);
        }
        let sql = "DELETE FROM queue_rules WHERE done_at < $1";
        let transaction = self.begin().await.doing("begin")?;
        let long_ago = now.minus(DONE_KEPT_FOR).0.into();
        execute(&transaction, sql, vec![long_ago]).await.doing("forget rules of queues")?;
        transaction.commit().await.doing("forget rules of queues")?;
        self.change_rules("UPDATE queue_rules SET done_at = $1 WHERE key IN", keys, vec![now.0.into()], None).await
    }

    async fn change_rules(
        &self,
        sql: &str,
        keys: &[i32],
        values: Vec<Value>,
        entry: Option<&AuditEntry>,
    ) -> Result<u64, StoreError> {
        if keys.is_empty() {
            return Ok(0);
        }
        let list = keys.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
        let transaction = self.begin().await.doing("begin")?;
        let changed = execute(&transaction, format!("{sql} ({list})"), values).await.doing("change rules of queues")?;
        if let Some(entry) = entry.filter(|_| changed > 0) {
            append(&transaction, entry, self.now()).await.doing("change rules of queues")?;
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::operator::Actor, store::testing::on_each_database};

    #[tokio::test]
    async fn a_rule_that_is_said_again_finds_room_where_a_new_one_does_not() {
        on_each_database(|store| async move {
            let many = (1..QUEUE_RULES_MAX).map(|number| format!("(1, 'c{number}', 'why', 1)")).collect::<Vec<_>>();
            let sql =
                format!("INSERT INTO queue_rules (action, campaign, reason, created_at) VALUES {}", many.join(","));
            let transaction = store.begin().await.expect("a transaction begins");
            execute(&transaction, sql, vec![]).await.expect("rules can be written");
            transaction.commit().await.expect("they can be committed");
            let add = async |campaign: &str| {
                let filter = QueueFilter { campaign: Some(campaign.to_owned()), ..QueueFilter::default() };
                let entry = AuditEntry::new(&Actor::of_command_line("test"), "pause", campaign);
                store
                    .add_queue_rule(RuleAction::Pause, &filter, "again", (UnixMillis(2), None), &entry)
                    .await
                    .expect("it is asked")
            };

            assert!(add("the last").await);
            assert!(!add("one more").await);
            assert!(add("c7").await, "it takes the place of the one that says the same");

            let rules = store.queue_rules().await.expect("rules can be read").0;
            assert_eq!(rules.len(), QUEUE_RULES_MAX);
            store.put_away_queue_rules(&[rules[0].key], UnixMillis(3)).await.expect("it can be put away");
            assert!(add("one more").await, "what is done with takes no room");
            assert_eq!(store.done_queue_rules().await.expect("readable").len(), 1);
        })
        .await;
    }
}
