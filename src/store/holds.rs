//! Stopping and releasing numbers, connections and callback URLs. Every change moves the version that
//! running instances watch; what a person changes has its line in the audit log.

use sea_orm::{DbErr, Value};

use super::{
    DatabaseTransaction, Doing, Store, StoreError,
    audit::{self, AuditEntry},
    execute, query,
    templates::TemplateOwner,
};
use crate::domain::{
    account::Hold,
    ids::{ConnectionKey, Place, SenderKey, SubscriptionKey},
};

/// The name of the version that moves when accounts, connections, numbers or subscriptions change.
pub(crate) const CONFIGURATION: &str = "configuration";

/// What a person can stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holdable {
    Connection(ConnectionKey),
    Number(SenderKey),
}

/// Which events of a webhook that wait for another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitingEvents {
    All,
    /// That at this place, and those that are kept in order with it.
    LaneOf(Place),
    One(Place),
}

impl Holdable {
    /// Its table, and its key there.
    fn row(self) -> (&'static str, i32) {
        match self {
            Self::Connection(connection) => ("connections", connection.0),
            Self::Number(sender) => ("senders", sender.0),
        }
    }
}

impl Store {
    /// What a provider's answer puts on hold.
    pub async fn hold_connection(&self, connection: ConnectionKey, hold: &Hold) -> Result<(), StoreError> {
        self.set_hold("connections", "key = $3", vec![connection.0.into()], hold).await
    }

    pub async fn hold_sender(&self, sender: SenderKey, hold: &Hold) -> Result<(), StoreError> {
        self.set_hold("senders", "key = $3", vec![sender.0.into()], hold).await
    }

    /// What a person holds. What is on hold already keeps its time and is theirs now, with the new reason; `false` when a person held it for
    /// that already.
    pub async fn hold(&self, what: Holdable, hold: &Hold, entry: &AuditEntry) -> Result<bool, StoreError> {
        let doing = "write down a hold";
        let (table, key) = what.row();
        let sql = format!(
            "UPDATE {table} SET held_since = COALESCE(held_since, $1), held_reason = $2, held_by = $4 \
             WHERE key = $3 AND (COALESCE(held_reason, '') <> $2 OR held_by IS NULL)"
        );
        let values = vec![hold.since.0.into(), hold.reason.as_str().into(), key.into(), hold.by.clone().into()];
        let transaction = self.begin().await.doing(doing)?;
        let held = execute(&transaction, sql, values).await.doing(doing)? > 0;
        self.tell_of_holds(transaction, held, entry).await.doing(doing)?;
        Ok(held)
    }

    /// Ends a hold, of a connection with those of all its numbers; says how many ended.
    pub async fn release(&self, what: Holdable, entry: &AuditEntry) -> Result<u64, StoreError> {
        let doing = "release a hold";
        let (table, key) = what.row();
        let numbers = match what {
            Holdable::Connection(_) => Some(("senders", "connection")),
            Holdable::Number(_) => None,
        };
        let transaction = self.begin().await.doing(doing)?;
        let mut released = 0;
        for (table, column) in [(table, "key")].into_iter().chain(numbers) {
            let sql = format!(
                "UPDATE {table} SET held_since = NULL, held_reason = NULL, held_by = NULL WHERE {column} = $1 AND held_since IS NOT NULL"
            );
            released += execute(&transaction, sql, vec![key.into()]).await.doing(doing)?;
        }
        self.tell_of_holds(transaction, released > 0, entry).await.doing(doing)?;
        Ok(released)
    }

    /// Tells the log and running instances of what changed, if anything did.
    async fn tell_of_holds(
        &self,
        transaction: DatabaseTransaction,
        changed: bool,
        entry: &AuditEntry,
    ) -> Result<(), DbErr> {
        if changed {
            audit::append(&transaction, entry, self.now()).await?;
            bump(&transaction, CONFIGURATION).await?;
        }
        transaction.commit().await
    }

    /// All numbers of one of the provider's business accounts.
    pub async fn hold_provider_account(&self, owner: &TemplateOwner, hold: &Hold) -> Result<(), StoreError> {
        let whose = vec![owner.connection.0.into(), owner.provider_account_id.clone().into()];
        self.set_hold("senders", "connection = $3 AND provider_account_id = $4", whose, hold).await
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

    /// Has events of a webhook that wait for another try tried at once; their owner finds them within a second.
    pub async fn hurry_waiting(
        &self,
        subscription: SubscriptionKey,
        which: WaitingEvents,
        entry: &AuditEntry,
    ) -> Result<u64, StoreError> {
        let doing = "have events tried again";
        let (only, place) = match which {
            WaitingEvents::All => ("", None),
            WaitingEvents::LaneOf(place) => (
                " AND COALESCE(lane, 0) = (SELECT COALESCE(own.lane, 0) FROM callbacks AS own WHERE own.subscription = $1 \
                 AND own.first_place = $3)",
                Some(place),
            ),
            WaitingEvents::One(place) => (" AND first_place = $3", Some(place)),
        };
        let sql =
            format!("UPDATE callbacks SET due_at = $2 WHERE subscription = $1 AND state = 3 AND due_at > $2{only}");
        let mut values: Vec<Value> = vec![subscription.0.into(), self.now().0.into()];
        values.extend(place.map(|place| Value::from(place.0)));
        let transaction = self.begin().await.doing(doing)?;
        let hurried = execute(&transaction, &sql, values).await.doing(doing)?;
        if hurried > 0 {
            audit::append(&transaction, entry, self.now()).await.doing(doing)?;
        }
        transaction.commit().await.doing(doing)?;
        Ok(hurried)
    }

    async fn set_hold(&self, table: &str, which: &str, mut whose: Vec<Value>, hold: &Hold) -> Result<(), StoreError> {
        // A hold that is there keeps its time and reason.
        let sql = format!(
            "UPDATE {table} SET held_since = $1, held_reason = $2, held_by = NULL WHERE {which} AND held_since IS NULL"
        );
        let mut values = vec![hold.since.0.into(), hold.reason.as_str().into()];
        values.append(&mut whose);
        let doing = "write down a hold";
        let transaction = self.begin().await.doing(doing)?;
        execute(&transaction, sql, values).await.doing(doing)?;
        bump(&transaction, CONFIGURATION).await.doing(doing)?;
        transaction.commit().await.doing(doing)
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
