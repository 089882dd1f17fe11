//! Pages that are shown once: they have a new secret in them, which nobody can look up again.
//!
//! Kept sealed in the row of the session that asked for it, for minutes, so that any instance can show it, and nobody else can.

use std::time::Duration;

use super::{Doing, Store, StoreError, execute, query};

/// Whoever goes on later has to ask for another secret.
const SHOWN_WITHIN: Duration = Duration::from_secs(5 * 60);

impl Store {
    /// Keeps a page for a session, in the place of one that it has not seen yet.
    pub async fn keep_shown(&self, session: &[u8], page: &str) -> Result<(), StoreError> {
        let doing = "keep a page for one look";
        let transaction = self.begin().await.doing(doing)?;
        let sealed = self.vault().seal(&place_of(session), page.as_bytes());
        let sql = "UPDATE operator_sessions SET shown = $2, shown_until = $3 WHERE hash = $1";
        let values = vec![session.into(), sealed.into(), self.now().plus(SHOWN_WITHIN).0.into()];
        execute(&transaction, sql, values).await.doing(doing)?;
        transaction.commit().await.doing(doing)
    }

    /// The page that is kept for a session; it is gone then.
    pub async fn take_shown(&self, session: &[u8]) -> Result<Option<String>, StoreError> {
        let doing = "take a page for its one look";
        let transaction = self.begin().await.doing(doing)?;
        // Without the lock of the row two requests could both read it.
        let lock = if self.is_sqlite() { "" } else { " FOR UPDATE" };
        let sql = format!("SELECT shown FROM operator_sessions WHERE hash = $1 AND shown_until > $2{lock}");
        let rows = query(&transaction, sql, vec![session.into(), self.now().0.into()]).await.doing(doing)?;
        let sealed = rows.first().map(|row| row.try_get::<Option<Vec<u8>>>("", "shown")).transpose().doing(doing)?;
        let sql = "UPDATE operator_sessions SET shown = NULL, shown_until = NULL WHERE hash = $1";
        execute(&transaction, sql, vec![session.into()]).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        // What another master key sealed is gone, too.
        let page = sealed.flatten().and_then(|sealed| self.vault().open_sealed(&place_of(session), &sealed).ok());
        Ok(page.and_then(|page| String::from_utf8(page).ok()))
    }
}

fn place_of(session: &[u8]) -> String {
    format!("page for session {}", hex::encode(session))
}
