//! The people who sign in, and the links by which they choose a password.
//!
//! Changes begin with the version's row, which keeps a second one out until the commit: two owners who take the role from
//! each other at the same moment would leave nobody who could give it back.

use sea_orm::{DbErr, QueryResult, Value};

use super::{
    DatabaseTransaction, Doing, Store, StoreError,
    audit::{AuditEntry, append},
    execute,
    holds::bump,
    outbound::odd_value,
    query,
};
use crate::domain::{operator::Role, time::UnixMillis};

/// The lock of changes, among the versions.
const OPERATORS: &str = "operators";

/// A person.
#[derive(Clone, Debug)]
pub struct Operator {
    pub key: i32,
    pub name: String,
    pub role: Role,
    /// Argon2id, in PHC's form; `None` until they have chosen one.
    pub password: Option<String>,
    pub created_at: UnixMillis,
    pub signed_in_at: Option<UnixMillis>,
    pub disabled_at: Option<UnixMillis>,
}

/// A link that somebody may open, once.
#[derive(Clone, Debug)]
pub enum Link {
    /// Makes the first owner.
    First,
    /// Lets this person choose a password.
    Of(Operator),
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Done,
    /// The name is taken.
    Taken,
    /// Nobody would be left who can manage the others.
    LastOwner,
    /// There is no such person, or the link was used or has expired.
    Gone,
}

/// A hash to keep instead of a link, and until when it opens.
#[derive(Clone, Debug)]
pub struct NewLink {
    pub hash: Vec<u8>,
    pub expires_at: UnixMillis,
}

const OPERATOR_COLUMNS: &str = "key, name, role, password, created_at, signed_in_at, disabled_at";

impl Store {
    /// Everybody, by name.
    pub async fn operators(&self) -> Result<Vec<Operator>, StoreError> {
        let sql = format!("SELECT {OPERATOR_COLUMNS} FROM operators ORDER BY name");
        let rows = query(self.reader(), sql, vec![]).await;
        rows.and_then(|rows| rows.iter().map(read_operator).collect()).doing("read who may sign in")
    }

    pub async fn operator(&self, name: &str) -> Result<Option<Operator>, StoreError> {
        self.operator_where("name = $1", name.into()).await.doing("look up a person")
    }

    pub(super) async fn operator_by_key(&self, key: i32) -> Result<Option<Operator>, DbErr> {
        self.operator_where("key = $1", key.into()).await
    }

    async fn operator_where(&self, which: &str, value: Value) -> Result<Option<Operator>, DbErr> {
        let sql = format!("SELECT {OPERATOR_COLUMNS} FROM operators WHERE {which}");
        let rows = query(self.reader(), sql, vec![value]).await?;
        rows.first().map(read_operator).transpose()
    }

    /// Whether nobody is there yet.
    pub async fn has_no_operators(&self) -> Result<bool, StoreError> {
        let rows = query(self.reader(), "SELECT key FROM operators LIMIT 1", vec![]).await;
        Ok(rows.doing("look whether somebody can sign in")?.is_empty())
    }

    /// A link for whoever comes first.
    pub async fn keep_first_link(&self, link: &NewLink) -> Result<(), StoreError> {
        let doing = "keep a set-up link";
        let transaction = self.begin().await.doing(doing)?;
        keep_link(&transaction, None, link).await.doing(doing)?;
        transaction.commit().await.doing(doing)
    }

    /// What a link opens; `None` when it was used, has expired, or never was one.
    pub async fn link(&self, hash: &[u8], now: UnixMillis) -> Result<Option<Link>, StoreError> {
        let doing = "look up a link";
        let sql = "SELECT operator FROM operator_links WHERE hash = $1 AND expires_at > $2";
        let rows = query(self.reader(), sql, vec![hash.into(), now.0.into()]).await.doing(doing)?;
        let Some(row) = rows.first() else { return Ok(None) };
        match row.try_get::<Option<i32>>("", "operator").doing(doing)? {
            None => Ok(self.has_no_operators().await?.then_some(Link::First)),
            Some(key) => {
                let operator = self.operator_by_key(key).await.doing(doing)?;
                Ok(operator.filter(|operator| operator.disabled_at.is_none()).map(Link::Of))
            }
        }
    }

    /// Makes the first owner by a link, and makes all such links useless.
    pub async fn make_first_owner(
        &self,
        hash: &[u8],
        name: &str,
        password: &str,
        entry: &AuditEntry,
    ) -> Result<Change, StoreError> {
        let doing = "make the first owner";
        let transaction = self.begin_change().await.doing(doing)?;
        let now = self.now();
        let gone = "DELETE FROM operator_links WHERE hash = $1 AND operator IS NULL AND expires_at > $2";
        let used = execute(&transaction, gone, vec![hash.into(), now.0.into()]).await.doing(doing)?;
        let anybody = query(&transaction, "SELECT key FROM operators LIMIT 1", vec![]).await.doing(doing)?;
        if used == 0 || !anybody.is_empty() {
            return Ok(Change::Gone);
        }
        execute(&transaction, "DELETE FROM operator_links WHERE operator IS NULL", vec![]).await.doing(doing)?;
        let sql = "INSERT INTO operators (name, role, password, created_at) VALUES ($1, $2, $3, $4)";
        let values = vec![name.into(), Role::Owner.code().into(), password.into(), now.0.into()];
        execute(&transaction, sql, values).await.doing(doing)?;
        append(&transaction, entry, now).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(Change::Done)
    }

    /// Adds a person who chooses a password by a link.
    pub async fn add_operator(
        &self,
        name: &str,
        role: Role,
        link: &NewLink,
        entry: &AuditEntry,
    ) -> Result<Change, StoreError> {
        let doing = "add a person";
        let transaction = self.begin_change().await.doing(doing)?;
        let now = self.now();
        let sql = "INSERT INTO operators (name, role, created_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (name) DO NOTHING RETURNING key";
        let values = vec![name.into(), role.code().into(), now.0.into()];
        let rows = query(&transaction, sql, values).await.doing(doing)?;
        let Some(row) = rows.first() else { return Ok(Change::Taken) };
        let key: i32 = row.try_get("", "key").doing(doing)?;
        keep_link(&transaction, Some(key), link).await.doing(doing)?;
        append(&transaction, entry, now).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(Change::Done)
    }

    /// Takes a person's password and sessions, and keeps a link for a new one.
    pub async fn reset_operator(&self, key: i32, link: &NewLink, entry: &AuditEntry) -> Result<Change, StoreError> {
        let doing = "reset a password";
        let transaction = self.begin_change().await.doing(doing)?;
        let sql = "UPDATE operators SET password = NULL WHERE key = $1";
        if execute(&transaction, sql, vec![key.into()]).await.doing(doing)? == 0 {
            return Ok(Change::Gone);
        }
        sign_out(&transaction, key).await.doing(doing)?;
        execute(&transaction, "DELETE FROM operator_links WHERE operator = $1", vec![key.into()]).await.doing(doing)?;
        keep_link(&transaction, Some(key), link).await.doing(doing)?;
        append(&transaction, entry, self.now()).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(Change::Done)
    }

    /// Keeps a password that a person chose by a link, which is used up by that.
    pub async fn choose_password(
        &self,
        hash: &[u8],
        key: i32,
        password: &str,
        entry: &AuditEntry,
    ) -> Result<Change, StoreError> {
        let doing = "keep a new password";
        let transaction = self.begin_change().await.doing(doing)?;
        let now = self.now();
        let gone = "DELETE FROM operator_links WHERE hash = $1 AND operator = $2 AND expires_at > $3";
        if execute(&transaction, gone, vec![hash.into(), key.into(), now.0.into()]).await.doing(doing)? == 0 {
            return Ok(Change::Gone);
        }
        keep_password(&transaction, key, password, entry, now).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(Change::Done)
    }

    /// Keeps another password of somebody who knew the one before. All their sessions end.
    pub async fn change_password(&self, key: i32, password: &str, entry: &AuditEntry) -> Result<(), StoreError> {
        let doing = "keep a new password";
        let transaction = self.begin_change().await.doing(doing)?;
        keep_password(&transaction, key, password, entry, self.now()).await.doing(doing)?;
        transaction.commit().await.doing(doing)
    }

    /// Changes what a person may do, or whether they may sign in at all. Their sessions go on with the new role, or end.
    pub async fn change_operator(
        &self,
        key: i32,
        role: Role,
        disabled: bool,
        entry: &AuditEntry,
    ) -> Result<Change, StoreError> {
        let doing = "change what a person may do";
        let transaction = self.begin_change().await.doing(doing)?;
        let now = self.now();
        let sql = "UPDATE operators SET role = $2, disabled_at = CASE WHEN $3 THEN COALESCE(disabled_at, $4) END \
                   WHERE key = $1";
        let values: Vec<Value> = vec![key.into(), role.code().into(), disabled.into(), now.0.into()];
        if execute(&transaction, sql, values).await.doing(doing)? == 0 {
            return Ok(Change::Gone);
        }
        let owners = "SELECT key FROM operators WHERE role = $1 AND disabled_at IS NULL LIMIT 1";
        if query(&transaction, owners, vec![Role::Owner.code().into()]).await.doing(doing)?.is_empty() {
            return Ok(Change::LastOwner);
        }
        if disabled {
            sign_out(&transaction, key).await.doing(doing)?;
        }
        append(&transaction, entry, now).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(Change::Done)
    }

    pub(super) async fn begin_change(&self) -> Result<DatabaseTransaction, DbErr> {
        let transaction = self.begin().await?;
        bump(&transaction, OPERATORS).await?;
        Ok(transaction)
    }
}

async fn keep_link(transaction: &DatabaseTransaction, operator: Option<i32>, link: &NewLink) -> Result<(), DbErr> {
    let sql = "INSERT INTO operator_links (hash, operator, expires_at) VALUES ($1, $2, $3)";
    let values = vec![link.hash.clone().into(), operator.into(), link.expires_at.0.into()];
    execute(transaction, sql, values).await.map(drop)
}

async fn keep_password(
    transaction: &DatabaseTransaction,
    key: i32,
    password: &str,
    entry: &AuditEntry,
    now: UnixMillis,
) -> Result<(), DbErr> {
    let sql = "UPDATE operators SET password = $2 WHERE key = $1";
    execute(transaction, sql, vec![key.into(), password.into()]).await?;
    sign_out(transaction, key).await?;
    append(transaction, entry, now).await
}

pub(super) async fn sign_out(transaction: &DatabaseTransaction, key: i32) -> Result<u64, DbErr> {
    execute(transaction, "DELETE FROM operator_sessions WHERE operator = $1", vec![key.into()]).await
}

pub(super) fn read_operator(row: &QueryResult) -> Result<Operator, DbErr> {
    let millis = |column| row.try_get::<Option<i64>>("", column).map(|at| at.map(UnixMillis));
    Ok(Operator {
        key: row.try_get("", "key")?,
        name: row.try_get("", "name")?,
        role: Role::from_code(row.try_get("", "role")?).ok_or_else(|| odd_value("role"))?,
        password: row.try_get("", "password")?,
        created_at: millis("created_at")?.ok_or_else(|| odd_value("created_at"))?,
        signed_in_at: millis("signed_in_at")?,
        disabled_at: millis("disabled_at")?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        clock,
        domain::operator::{Actor, Permissions},
        store::{testing::on_each_database, tokens::ApiToken},
    };

    fn entry() -> AuditEntry {
        AuditEntry::new(&Actor::of_command_line("test"), "try", "somebody").after(json!({"role": "owner"}))
    }

    fn link(byte: u8) -> NewLink {
        NewLink { hash: vec![byte; 32], expires_at: UnixMillis(clock::now().0 + 60_000) }
    }

    #[tokio::test]
    async fn a_link_makes_one_first_owner_and_works_once() {
        on_each_database(async |store| {
            store.keep_first_link(&link(1)).await.expect("kept");
            store.keep_first_link(&link(2)).await.expect("kept");
            let make = async |byte: u8| {
                store.make_first_owner(&[byte; 32], "asha", "hash", &entry()).await.expect("the database works")
            };

            assert_eq!(make(9).await, Change::Gone, "nobody made that link");
            assert_eq!(make(1).await, Change::Done);
            assert_eq!([make(1).await, make(2).await], [Change::Gone; 2]);

            assert!(store.link(&[2; 32], clock::now()).await.expect("readable").is_none());
            let lines = store.audit_lines(None, 10).await.expect("readable");
            assert_eq!(lines.len(), 1, "what was refused is not in the log: {lines:?}");
        })
        .await;
    }

    #[tokio::test]
    async fn what_has_expired_opens_nothing() {
        on_each_database(async |store| {
            let now = clock::now();
            let late = NewLink { hash: vec![1; 32], expires_at: UnixMillis(now.0 - 1) };
            store.keep_first_link(&late).await.expect("kept");
            assert!(store.link(&[1; 32], now).await.expect("readable").is_none());
            let made = store.make_first_owner(&[1; 32], "asha", "hash", &entry()).await.expect("the database works");
            assert_eq!(made, Change::Gone);

            let token = |expires_at| ApiToken {
                key: 0,
                name: "a test".to_owned(),
                ending: "abcd".to_owned(),
                scopes: Permissions::from_words("messages:read"),
                created_at: now,
                created_by: "asha".to_owned(),
                expires_at,
                used_at: None,
                revoked_at: None,
            };
            for (byte, expires_at, opens) in [(2, now.0 - 1, false), (3, now.0 + 60_000, true)] {
                let added = store.add_api_token(&token(UnixMillis(expires_at)), &[byte; 32], &entry()).await;
                assert!(added.expect("kept").is_some());
                assert_eq!(store.api_token(&[byte; 32]).await.expect("readable").is_some(), opens);
            }
        })
        .await;
    }

    #[tokio::test]
    async fn the_last_owner_stays() {
        on_each_database(async |store| {
            for (name, byte) in [("asha", 1), ("ben", 2)] {
                let added = store.add_operator(name, Role::Owner, &link(byte), &entry()).await.expect("added");
                assert_eq!(added, Change::Done);
            }
            let asha = store.operator("asha").await.expect("readable").expect("she is there");
            let ben = store.operator("ben").await.expect("readable").expect("he is there");
            let change = async |key, role, disabled| {
                store.change_operator(key, role, disabled, &entry()).await.expect("the database works")
            };

            assert_eq!(change(asha.key, Role::Owner, true).await, Change::Done);
            assert_eq!(change(ben.key, Role::ReadOnly, false).await, Change::LastOwner);
            assert_eq!(change(ben.key, Role::Owner, true).await, Change::LastOwner);

            let ben = store.operator("ben").await.expect("readable").expect("he is there");
            assert_eq!((ben.role, ben.disabled_at), (Role::Owner, None));
            let again = store.add_operator("ben", Role::Owner, &link(3), &entry()).await.expect("asked");
            assert_eq!(again, Change::Taken);
        })
        .await;
    }
}
