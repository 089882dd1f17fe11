//! Keys for what must stay valid when the master key changes: links that were given out, hashes that are
//! compared for years.
//!
//! Each purpose has a random key of its own. It is made when it is first asked for, sealed like every other
//! secret, and never changes; a new master key only seals it anew. What people set once for the whole bridge lies beside the keys
//! ([`super::alarm_recipients`]).

use sea_orm::{ConnectionTrait, DbErr};

use super::{
    DatabaseTransaction, Doing, Store, StoreError, execute, query,
    vault::{KEY_BYTES, random_key},
};

/// A key that nothing uses: whether it opens tells whether the master key is the database's.
pub(super) const MASTER_KEY_MARK: &str = "master-key-mark";

impl Store {
    /// The key for a purpose, such as `media-links`: always the same in this database, and known to no other.
    ///
    /// It costs a read of the database, so whoever needs it often keeps it.
    pub async fn derived_key(&self, purpose: &str) -> Result<[u8; KEY_BYTES], StoreError> {
        let doing = "read the key for a purpose";
        if let Some(key) = self.read_key(self.reader(), purpose).await.doing(doing)? {
            return Ok(key);
        }
        let transaction = self.begin().await.doing(doing)?;
        let key = self.make_key(&transaction, purpose).await.doing(doing)?;
        transaction.commit().await.doing("keep a new key for a purpose")?;
        Ok(key)
    }

    /// Leaves something sealed in the database, by which its master key is known from then on
    /// ([`Self::opens_its_secrets`]). Fails when somebody with another key was faster.
    pub async fn mark_master_key(&self) -> Result<(), StoreError> {
        self.derived_key(MASTER_KEY_MARK).await.map(drop)
    }

    pub(super) async fn make_key(
        &self,
        transaction: &DatabaseTransaction,
        purpose: &str,
    ) -> Result<[u8; KEY_BYTES], DbErr> {
        let sealed = self.vault().seal(&place_of_secret(purpose), &random_key());
        // Whoever was faster made the one that counts.
        let sql = "INSERT INTO secrets (name, value, created_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING";
        execute(transaction, sql, vec![purpose.into(), sealed.into(), self.now().0.into()]).await?;
        let key = self.read_key(transaction, purpose).await?;
        key.ok_or_else(|| DbErr::Custom("the key is not there although it was just made".to_owned()))
    }

    async fn read_key(&self, from: &impl ConnectionTrait, purpose: &str) -> Result<Option<[u8; KEY_BYTES]>, DbErr> {
        let rows = query(from, "SELECT value FROM secrets WHERE name = $1", vec![purpose.into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let sealed: Vec<u8> = row.try_get("", "value")?;
        let key = self.vault().open_sealed(&place_of_secret(purpose), &sealed);
        let key = key.map_err(|error| DbErr::Custom(error.to_string()))?;
        let key = key.try_into().map_err(|_| DbErr::Custom(format!("the key for {purpose} has another length")))?;
        Ok(Some(key))
    }
}

/// A sealed key is bound to its purpose.
pub(super) fn place_of_secret(name: &str) -> String {
    format!("secrets/{name}")
}

#[cfg(test)]
mod tests {
    use crate::store::testing::on_each_database;

    #[tokio::test]
    async fn a_purpose_has_one_key_for_ever_and_shares_it_with_no_other() {
        on_each_database(|store| async move {
            let asked = futures_util::future::join_all((0..8).map(|_| store.derived_key("media-links"))).await;
            let keys: Vec<[u8; 32]> = asked.into_iter().map(|key| key.expect("a key")).collect();
            let other = store.derived_key("suppression").await.expect("a key");
            let again = store.derived_key("media-links").await.expect("a key");

            assert!(keys.iter().all(|key| *key == again), "whoever asks at the same moment gets the same");
            assert_ne!(again, other);
            assert_ne!(again, [0; 32]);
        })
        .await;
    }
}
