//! Tokens of programs. A token is shown once; here is its hash.

use sea_orm::{DbErr, QueryResult, Value};

use super::{
    Doing, Store, StoreError,
    audit::{AuditEntry, append},
    execute, query,
    sessions::used_long_ago,
};
use crate::domain::{operator::Permissions, time::UnixMillis};

/// A token, without itself.
#[derive(Clone, Debug)]
pub struct ApiToken {
    pub key: i32,
    pub name: String,
    pub ending: String,
    pub scopes: Permissions,
    pub created_at: UnixMillis,
    pub created_by: String,
    pub expires_at: UnixMillis,
    pub used_at: Option<UnixMillis>,
    pub revoked_at: Option<UnixMillis>,
}

const TOKEN_COLUMNS: &str = "key, name, ending, scopes, created_at, created_by, expires_at, used_at, revoked_at";

/// So many tokens are kept; those that ended leave with the lines of the audit log.
const TOKENS_MAX: usize = 1_000;

impl Store {
    /// Tokens, the newest first.
    pub async fn api_tokens(&self) -> Result<Vec<ApiToken>, StoreError> {
        let sql = format!("SELECT {TOKEN_COLUMNS} FROM api_tokens ORDER BY key DESC LIMIT {TOKENS_MAX}");
        let rows = query(self.reader(), sql, vec![]).await;
        rows.and_then(|rows| rows.iter().map(read_token).collect()).doing("read the tokens of the API")
    }

    /// Keeps a new one, unless there are too many; gives its key.
    pub async fn add_api_token(
        &self,
        token: &ApiToken,
        hash: &[u8],
        entry: &AuditEntry,
    ) -> Result<Option<i32>, StoreError> {
        let doing = "keep a token";
        let transaction = self.begin().await.doing(doing)?;
        let sql = format!("SELECT key FROM api_tokens LIMIT {TOKENS_MAX}");
        if query(&transaction, sql, vec![]).await.doing(doing)?.len() >= TOKENS_MAX {
            return Ok(None);
        }
        let sql = "INSERT INTO api_tokens (name, hash, ending, scopes, created_at, created_by, expires_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING key";
        let values: Vec<Value> = vec![
            token.name.as_str().into(),
            hash.into(),
            token.ending.as_str().into(),
            token.scopes.words().into(),
            token.created_at.0.into(),
            token.created_by.as_str().into(),
            token.expires_at.0.into(),
        ];
        let rows = query(&transaction, sql, values).await.doing(doing)?;
        let key = rows.first().map(|row| row.try_get("", "key")).transpose().doing(doing)?;
        append(&transaction, entry, self.now()).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(key)
    }

    /// The token with this hash, if it opens.
    pub async fn api_token(&self, hash: &[u8]) -> Result<Option<ApiToken>, StoreError> {
        let doing = "look up a token";
        let now = self.now();
        let sql = format!(
            "SELECT {TOKEN_COLUMNS} FROM api_tokens WHERE hash = $1 AND expires_at > $2 AND revoked_at IS NULL"
        );
        let rows = query(&self.prompt_reader(), sql, vec![hash.into(), now.0.into()]).await.doing(doing)?;
        let token = rows.first().map(read_token).transpose().doing(doing)?;
        if let Some(token) = token.as_ref().filter(|token| used_long_ago(token.used_at, now)) {
            let sql = "UPDATE api_tokens SET used_at = $2 WHERE key = $1";
            self.note_use(sql, token.key.into()).await.doing(doing)?;
        }
        Ok(token)
    }

    /// Takes a token back; `false` when it is not there, or was taken back before.
    pub async fn revoke_api_token(&self, key: i32, entry: &AuditEntry) -> Result<bool, StoreError> {
        let doing = "take back a token";
        let transaction = self.begin().await.doing(doing)?;
        let now = self.now();
        let sql = "UPDATE api_tokens SET revoked_at = $2 WHERE key = $1 AND revoked_at IS NULL";
        if execute(&transaction, sql, vec![key.into(), now.0.into()]).await.doing(doing)? == 0 {
            return Ok(false);
        }
        append(&transaction, entry, now).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(true)
    }
}

fn read_token(row: &QueryResult) -> Result<ApiToken, DbErr> {
    let millis = |column| row.try_get::<Option<i64>>("", column).map(|at| at.map(UnixMillis));
    let scopes: String = row.try_get("", "scopes")?;
    Ok(ApiToken {
        key: row.try_get("", "key")?,
        name: row.try_get("", "name")?,
        ending: row.try_get("", "ending")?,
        scopes: Permissions::from_words(&scopes),
        created_at: UnixMillis(row.try_get("", "created_at")?),
        created_by: row.try_get("", "created_by")?,
        expires_at: UnixMillis(row.try_get("", "expires_at")?),
        used_at: millis("used_at")?,
        revoked_at: millis("revoked_at")?,
    })
}
