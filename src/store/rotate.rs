//! A new master key: every sealed secret is opened with the old one and sealed with the new one, all of them in one
//! transaction, or none.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};
use serde_json::json;

use super::{
    DatabaseTransaction, Doing, Store, StoreError,
    audit::{self, AuditEntry},
    configuration::{place_of_account, place_of_connection, place_of_subscription},
    erasures::place_of_erasure,
    execute,
    holds::{CONFIGURATION, bump},
    query,
    secrets::{MASTER_KEY_MARK, place_of_secret},
    vault::{Vault, VaultError},
    webhooks::place_of_webhook,
};
use crate::domain::{callback::EventKind, phone::PhoneNumber};

/// What came of asking for a new key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resealed {
    /// So many secrets are sealed with the new key now.
    Done { secrets: usize },
    /// PostgreSQL: these instances run, and would go on with the old key.
    StillRunning(Vec<String>),
}

/// A sealed secret and where it stands.
struct Sealed {
    table: &'static str,
    column: &'static str,
    key_column: &'static str,
    key: Value,
    /// What it is bound to.
    place: String,
    sealed: Vec<u8>,
}

impl Store {
    /// Seals every secret anew. Nobody else may work on the database meanwhile: on SQLite the caller keeps a server
    /// out by the lock file, on PostgreSQL instances that were seen within `seen_within` make this refuse.
    pub async fn reseal(&self, new: &Vault, seen_within: Duration, entry: AuditEntry) -> Result<Resealed, StoreError> {
        let doing = "seal the secrets with the new master key";
        let transaction = self.begin().await.doing(doing)?;
        let running = self.keep_instances_out(&transaction, seen_within).await.doing(doing)?;
        if !running.is_empty() {
            return Ok(Resealed::StillRunning(running));
        }
        // Pages for one look live for minutes, and would be sealed with the old key.
        let forget = "UPDATE operator_sessions SET shown = NULL, shown_until = NULL WHERE shown IS NOT NULL";
        execute(&transaction, forget, vec![]).await.doing(doing)?;
        let secrets = seal_all(&transaction, self.vault(), new).await.doing(doing)?;
        verify(&transaction, new, secrets).await.doing("check the secrets under the new master key")?;
        bump(&transaction, CONFIGURATION).await.doing(doing)?;
        let entry = entry.after(json!({"secrets": secrets}));
        audit::append(&transaction, &entry, self.now()).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        if self.is_sqlite() {
            query(&self.writer, "PRAGMA wal_checkpoint(TRUNCATE)", vec![]).await.doing("empty the write-ahead log")?;
        }
        Ok(Resealed::Done { secrets })
    }

    /// Whether the master key is the one that the database was written with; `None` when there is no secret yet.
    pub async fn opens_its_secrets(&self) -> Result<Option<bool>, StoreError> {
        let doing = "read a secret";
        let sealed = sealed_rows(self.reader()).await.doing(doing)?;
        let mark = sealed.iter().find(|row| row.place == place_of_secret(MASTER_KEY_MARK));
        let Some(one) = mark.or(sealed.first()) else { return Ok(None) };
        match self.vault().open_sealed(&one.place, &one.sealed) {
            Ok(_) => Ok(Some(true)),
            Err(VaultError::WrongKey(_)) => Ok(Some(false)),
            Err(error @ VaultError::UnknownFormat(_)) => Err(DbErr::Custom(error.to_string())).doing(doing),
        }
    }

    /// On PostgreSQL nobody can start before the transaction is over, and whoever then starts with the old key is told
    /// so. Names those that run already.
    pub(super) async fn keep_instances_out(
        &self,
        transaction: &DatabaseTransaction,
        seen_within: Duration,
    ) -> Result<Vec<String>, DbErr> {
        if self.is_sqlite() {
            return Ok(Vec::new());
        }
        execute(transaction, "LOCK TABLE instances IN EXCLUSIVE MODE", vec![]).await?;
        self.running(transaction, seen_within).await
    }

    async fn running(&self, transaction: &DatabaseTransaction, within: Duration) -> Result<Vec<String>, DbErr> {
        let sql =
            format!("SELECT id FROM instances WHERE seen_at > {} - {} ORDER BY id", self.now_sql(), within.as_millis());
        query(transaction, sql, vec![]).await?.iter().map(|row| row.try_get("", "id")).collect()
    }
}

async fn seal_all(transaction: &DatabaseTransaction, old: &Vault, new: &Vault) -> Result<usize, DbErr> {
    let rows = sealed_rows(transaction).await?;
    let count = rows.len();
    for row in rows {
        let secret = old.open_sealed(&row.place, &row.sealed).map_err(|error| DbErr::Custom(error.to_string()))?;
        write_sealed(transaction, new, row, &secret).await?;
    }
    Ok(count)
}

async fn write_sealed(
    transaction: &DatabaseTransaction,
    vault: &Vault,
    row: Sealed,
    secret: &[u8],
) -> Result<(), DbErr> {
    let sql = format!("UPDATE {} SET {} = $1 WHERE {} = $2", row.table, row.column, row.key_column);
    execute(transaction, sql, vec![vault.seal(&row.place, secret).into(), row.key]).await.map(drop)
}

/// Empties callback URLs, also those that are switched off and that nobody states any more.
pub(super) async fn empty_urls(
    transaction: &DatabaseTransaction,
    vault: &Vault,
    of: impl Fn(i32) -> bool,
) -> Result<(), DbErr> {
    for url in sealed_urls(transaction).await?.into_iter().filter(|(key, _)| of(*key)) {
        write_sealed(transaction, vault, url.1, b"").await?;
    }
    Ok(())
}

/// Opens everything that is sealed; says how much that is.
pub(super) async fn open_all(transaction: &DatabaseTransaction, vault: &Vault) -> Result<usize, DbErr> {
    let rows = sealed_rows(transaction).await?;
    for row in &rows {
        vault.open_sealed(&row.place, &row.sealed).map_err(|error| DbErr::Custom(error.to_string()))?;
    }
    Ok(rows.len())
}

/// Reads everything back before it counts.
async fn verify(transaction: &DatabaseTransaction, new: &Vault, secrets: usize) -> Result<(), DbErr> {
    if open_all(transaction, new).await? != secrets {
        return Err(DbErr::Custom("the number of secrets changed meanwhile; try again".to_owned()));
    }
    Ok(())
}

/// What a secret is bound to, by the name of its row.
type PlaceOf = fn(&str) -> String;

/// Everything in the database that is sealed. A new sealed column belongs in here; a test finds those that are not.
async fn sealed_rows(from: &impl ConnectionTrait) -> Result<Vec<Sealed>, DbErr> {
    let mut sealed = Vec::new();
    let named: [(&str, &str, &str, PlaceOf); 4] = [
        ("connections", "id", "secrets", place_of_connection),
        ("accounts", "id", "credentials", place_of_account),
        ("secrets", "name", "value", place_of_secret),
        ("webhooks", "name", "settings", place_of_webhook),
    ];
    for (table, key_column, column, place_of) in named {
        let rows = query(from, format!("SELECT {key_column}, {column} FROM {table}"), vec![]).await?;
        for row in &rows {
            let name: String = row.try_get("", key_column)?;
            let (place, key) = (place_of(&name), name.into());
            sealed.push(Sealed { table, column, key_column, key, place, sealed: row.try_get("", column)? });
        }
    }
    for row in &query(from, "SELECT key, phone FROM erasures WHERE phone IS NOT NULL", vec![]).await? {
        let key: i32 = row.try_get("", "key")?;
        sealed.push(Sealed {
            table: "erasures",
            column: "phone",
            key_column: "key",
            key: key.into(),
            place: place_of_erasure(key),
            sealed: row.try_get("", "phone")?,
        });
    }
    sealed.extend(sealed_urls(from).await?.into_iter().map(|(_, url)| url));
    Ok(sealed)
}

/// Callback URLs, with the keys of their subscriptions; also those that are switched off: they may be wanted again.
async fn sealed_urls(from: &impl ConnectionTrait) -> Result<Vec<(i32, Sealed)>, DbErr> {
    let sql = "SELECT s.key, s.kind, s.url, a.id AS account, n.number FROM subscriptions AS s \
               JOIN accounts AS a ON a.key = s.account LEFT JOIN senders AS n ON n.key = s.sender WHERE s.webhook IS NULL";
    let url = |row: &QueryResult| {
        let key: i32 = row.try_get("", "key")?;
        let (place, sealed) = (place_of_url(row)?, row.try_get("", "url")?);
        let (table, column, key_column) = ("subscriptions", "url", "key");
        Ok((key, Sealed { table, column, key_column, key: key.into(), place, sealed }))
    };
    query(from, sql, vec![]).await?.iter().map(url).collect()
}

fn place_of_url(row: &QueryResult) -> Result<String, DbErr> {
    let account: String = row.try_get("", "account")?;
    let kind = EventKind::from_code(row.try_get("", "kind")?);
    let kind = kind.ok_or_else(|| DbErr::Custom("a subscription's kind is unknown".to_owned()))?;
    let number: Option<String> = row.try_get("", "number")?;
    let number = number.and_then(|number| PhoneNumber::from_international(&number));
    Ok(place_of_subscription(&account, kind, number.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::operator::Actor,
        store::{testing::on_each_database, vault::MasterKey},
    };

    /// Columns of bytes that hold hashes, or what somebody sent: nothing that the master key seals.
    const NOT_SEALED: [(&str, &str); 14] = [
        ("callback_attempts", "payload_hash"),
        ("message_keys", "content_hash"),
        ("provider_ids", "hash"),
        ("other_provider_ids", "hash"),
        ("inbound_keys", "hash"),
        ("provider_conversations", "hash"),
        ("unrecognized", "match_hash"),
        ("media", "hash"),
        ("suppressions", "person"),
        ("recent_people", "people"),
        ("refused_requests", "request"),
        ("operator_links", "hash"),
        ("operator_sessions", "hash"),
        ("api_tokens", "hash"),
    ];
    const SEALED: [(&str, &str); 7] = [
        ("connections", "secrets"),
        ("accounts", "credentials"),
        ("secrets", "value"),
        ("subscriptions", "url"),
        ("webhooks", "settings"),
        ("erasures", "phone"),
        ("operator_sessions", "shown"),
    ];

    #[tokio::test]
    async fn no_sealed_column_is_forgotten_when_the_key_changes() {
        on_each_database(|store| async move {
            let sql = if store.is_sqlite() {
                "SELECT m.name AS owner, c.name AS part FROM sqlite_master AS m, pragma_table_info(m.name) AS c \
                 WHERE m.type = 'table' AND c.type = 'BLOB'"
            } else {
                "SELECT CAST(table_name AS TEXT) AS owner, CAST(column_name AS TEXT) AS part \
                 FROM information_schema.columns WHERE table_schema = current_schema() AND data_type = 'bytea'"
            };
            let rows = query(store.reader(), sql, vec![]).await.expect("the schema can be read");
            assert!(rows.len() >= SEALED.len());
            for row in &rows {
                let (table, column): (String, String) =
                    (row.try_get("", "owner").expect("a name"), row.try_get("", "part").expect("a name"));
                let known = SEALED.iter().chain(&NOT_SEALED).any(|known| *known == (table.as_str(), column.as_str()));
                assert!(known, "is {table}.{column} sealed? Then `sealed_rows` must know it, else this test");
            }
        })
        .await;
    }

    fn entry() -> AuditEntry {
        AuditEntry::new(&Actor::of_command_line("test"), "change master key", "master key")
    }

    #[tokio::test]
    async fn after_a_change_only_the_new_key_opens_what_was_there() {
        on_each_database(|store| async move {
            let links = store.derived_key("media-links").await.expect("a key");
            let new = MasterKey::random();

            let vault = Vault::new(&new);
            let done = store.reseal(&vault, Duration::from_secs(20), entry()).await.expect("it can be changed");

            assert_eq!(done, Resealed::Done { secrets: 1 });
            assert_eq!(store.opens_its_secrets().await.expect("readable"), Some(false));
            let changed = store.with_vault(Vault::new(&new));
            assert_eq!(changed.opens_its_secrets().await.expect("readable"), Some(true));
            assert_eq!(changed.derived_key("media-links").await.expect("a key"), links, "links stay valid");
            let line = changed.audit_lines(None, 1).await.expect("readable").pop().expect("it is written down");
            assert_eq!((line.action.as_str(), line.after.as_deref()), ("change master key", Some(r#"{"secrets":1}"#)));
        })
        .await;
    }

    #[tokio::test]
    async fn a_key_that_does_not_open_everything_changes_nothing() {
        on_each_database(|store| async move {
            store.derived_key("media-links").await.expect("a key");
            let stranger = store.clone().with_vault(Vault::new(&MasterKey::random()));

            stranger
                .reseal(&Vault::new(&MasterKey::random()), Duration::from_secs(20), entry())
                .await
                .expect_err("it opens nothing");

            assert_eq!(store.opens_its_secrets().await.expect("readable"), Some(true));
            assert!(store.audit_lines(None, 1).await.expect("readable").is_empty(), "nothing was changed");
        })
        .await;
    }
}
