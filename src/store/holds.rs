//! Stopping and releasing numbers, connections and callback URLs. Every change moves the version that
//! running instances watch.

use sea_orm::{DbErr, Value};

use super::{
    DatabaseTransaction, Doing, Store, StoreError,
    audit::{self, AuditEntry},
    execute, query,
    templates::TemplateOwner,
};
use crate::domain::{
    account::Hold,
    ids::{ConnectionKey, SenderKey, SubscriptionKey},
};

/// The name of the version that moves when accounts, connections, numbers or subscriptions change.
pub(crate) const CONFIGURATION: &str = "configuration";

impl Store {
    pub async fn hold_connection(&self, connection: ConnectionKey, hold: &Hold) -> Result<(), StoreError> {
        self.set_hold("connections", "key = $3", vec![connection.0.into()], Some(hold)).await.map(drop)
    }

    pub async fn hold_sender(&self, sender: SenderKey, hold: &Hold) -> Result<(), StoreError> {
        self.set_hold("senders", "key = $3", vec![sender.0.into()], Some(hold)).await.map(drop)
    }

    /// Gives another reason for a hold that is there.
    pub async fn explain_connection_hold(&self, connection: ConnectionKey, reason: &str) -> Result<(), StoreError> {
        self.explain_hold("connections", connection.0, reason).await
    }

    pub async fn explain_sender_hold(&self, sender: SenderKey, reason: &str) -> Result<(), StoreError> {
        self.explain_hold("senders", sender.0, reason).await
    }

    async fn explain_hold(&self, table: &str, key: i32, reason: &str) -> Result<(), StoreError> {
        let doing = "write down why something is on hold";
        let sql = format!("UPDATE {table} SET held_reason = $2 WHERE key = $1 AND held_since IS NOT NULL");
        let transaction = self.begin().await.doing(doing)?;
        execute(&transaction, &sql, vec![key.into(), reason.into()]).await.doing(doing)?;
        bump(&transaction, CONFIGURATION).await.doing(doing)?;
        transaction.commit().await.doing(doing)
    }

    /// All numbers of one of the provider's business accounts.
    pub async fn hold_provider_account(&self, owner: &TemplateOwner, hold: &Hold) -> Result<(), StoreError> {
        let whose = vec![owner.connection.0.into(), owner.provider_account_id.clone().into()];
        self.set_hold("senders", "connection = $3 AND provider_account_id = $4", whose, Some(hold)).await.map(drop)
    }

    /// Releases a connection and all its numbers; says how many holds ended.
    pub async fn release_connection(&self, connection: ConnectionKey) -> Result<u64, StoreError> {
        let whose = vec![connection.0.into()];
        let connections = self.set_hold("connections", "key = $3", whose.clone(), None).await?;
        Ok(connections + self.set_hold("senders", "connection = $3", whose, None).await?)
    }

    pub async fn release_sender(&self, sender: SenderKey) -> Result<u64, StoreError> {
        self.set_hold("senders", "key = $3", vec![sender.0.into()], None).await
    }

    /// Releases a callback URL: the next look tries it at once.
    pub async fn release_subscription(
        &self,
        subscription: SubscriptionKey,
        entry: &AuditEntry,
    ) -> Result<u64, StoreError> {
        let transaction = self.begin().await.doing("begin")?;
        let sql = "UPDATE subscriptions SET held_since = NULL, held_reason = NULL, failures = 0, \
                   failing_since = NULL, due_at = NULL \
                   WHERE key = $1 AND (held_since IS NOT NULL OR due_at IS NOT NULL)";
        let released = execute(&transaction, sql, vec![subscription.0.into()]).await.doing("release a callback URL")?;
        if released > 0 {
            audit::append(&transaction, entry, self.now()).await.doing("release a callback URL")?;
        }
        bump(&transaction, CONFIGURATION).await.doing("release a callback URL")?;
        transaction.commit().await.doing("release a callback URL")?;
        Ok(released)
    }

    async fn set_hold(
        &self,
        table: &str,
        which: &str,
        mut whose: Vec<Value>,
        hold: Option<&Hold>,
    ) -> Result<u64, StoreError> {
        // A hold that is there keeps its time and reason.
        let state = if hold.is_some() { "held_since IS NULL" } else { "held_since IS NOT NULL" };
        let sql = format!("UPDATE {table} SET held_since = $1, held_reason = $2 WHERE {which} AND {state}");
        let mut values = vec![hold.map(|hold| hold.since.0).into(), hold.map(|hold| hold.reason.clone()).into()];
        values.append(&mut whose);
        let doing = if hold.is_some() { "write down a hold" } else { "release a hold" };
        let transaction = self.begin().await.doing(doing)?;
        let changed = execute(&transaction, sql, values).await.doing(doing)?;
        bump(&transaction, CONFIGURATION).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(changed)
    }

    /// The versions that running instances compare with what they have in memory.
    pub async fn versions(&self) -> Result<std::collections::BTreeMap<String, i64>, StoreError> {
        let rows = query(&self.prompt_reader(), "SELECT name, version FROM versions", vec![]).await;
        let read = |row: &sea_orm::QueryResult| Ok((row.try_get("", "name")?, row.try_get("", "version")?));
        rows.and_then(|rows| rows.iter().map(read).collect()).doing("read versions")
    }
}

/// Tells running instances to read again.
pub(crate) async fn bump(transaction: &DatabaseTransaction, name: &str) -> Result<(), DbErr> {
    let sql = "INSERT INTO versions (name, version) VALUES ($1, 1) \
               ON CONFLICT (name) DO UPDATE SET version = versions.version + 1";
    execute(transaction, sql, vec![name.into()]).await.map(drop)
}
