//! A new master key for a database whose old one is lost: what was sealed cannot be read any more, so it is stated
//! anew by an operator, all of it in one transaction, or nothing is changed.
//!
//! The keys for purposes ([`super::secrets`]) begin anew. Media links that were given out end by that. The suppression list is
//! keyed by hashes under such a key: entries with a telephone number or the provider's id beside them are hashed again, and
//! those of people who were forgotten are lost, because nobody can say any more whom they mean.

use std::time::Duration;

use sea_orm::DbErr;

use super::{
    DatabaseTransaction, Doing, Store, StoreError,
    configuration::{Configuration, ConfigurationRecords, load, save, seal_removed},
    execute,
    holds::{CONFIGURATION, bump},
    rotate::{empty_urls, open_all},
    secrets::MASTER_KEY_MARK,
    suppressions::{self, PEOPLE},
};
use crate::domain::suppression::{PersonHash, PersonHasher, Suppression};

/// What came of stating all secrets anew.
#[derive(Debug)]
pub enum Replaced<T, E> {
    Done {
        also: T,
        /// How many secrets there are now, with the keys for purposes.
        secrets: usize,
        /// Entries of the suppression list whose people nobody can name any more.
        forgotten: u64,
    },
    /// Whoever decides did not agree.
    Refused(E),
    /// PostgreSQL: these instances run.
    StillRunning(Vec<String>),
}

/// Entries of the suppression list that are hashed again at once.
const ENTRIES_AT_ONCE: usize = 1000;

impl Store {
    /// Writes what `decide` wants, sealed with this store's master key, whatever the database was sealed with before.
    /// `decide` sees what is stored without its secrets, and must state everything that has some.
    ///
    /// Nobody else may work on the database meanwhile, as for [`Store::reseal`].
    pub async fn replace_secrets<T, E>(
        &self,
        seen_within: Duration,
        decide: impl FnOnce(&Configuration) -> Result<(ConfigurationRecords, T), E>,
    ) -> Result<Replaced<T, E>, StoreError> {
        let doing = "replace the secrets";
        let transaction = self.begin().await.doing(doing)?;
        let running = self.keep_instances_out(&transaction, seen_within).await.doing(doing)?;
        if !running.is_empty() {
            return Ok(Replaced::StillRunning(running));
        }
        bump(&transaction, CONFIGURATION).await.doing(doing)?;
        let (records, also) = match decide(&load(&transaction, None).await.doing(doing)?) {
            Ok(decided) => decided,
            Err(refusal) => return Ok(Replaced::Refused(refusal)),
        };
        execute(&transaction, "DELETE FROM secrets", vec![]).await.doing(doing)?;
        empty_urls(&transaction, self.vault(), |_| true).await.doing(doing)?;
        save(&transaction, self.vault(), &records, self.now()).await.doing(doing)?;
        seal_removed(&transaction, self.vault()).await.doing(doing)?;
        self.make_key(&transaction, MASTER_KEY_MARK).await.doing(doing)?;
        let people = self.make_key(&transaction, PEOPLE).await.doing(doing)?;
        let forgotten = hash_again(&transaction, &PersonHasher::new(&people)).await.doing(doing)?;
        let secrets = open_all(&transaction, self.vault()).await.doing("check the secrets that were replaced")?;
        transaction.commit().await.doing(doing)?;
        Ok(Replaced::Done { also, secrets, forgotten })
    }
}

/// Gives every entry of the suppression list its hash under a new key; says how many had to be given up.
async fn hash_again(transaction: &DatabaseTransaction, people: &PersonHasher) -> Result<u64, DbErr> {
    // What is written from here on has a later version, so the old entries are those with an earlier one.
    let version = suppressions::next_version(transaction).await?;
    let sql = "DELETE FROM suppressions WHERE phone IS NULL AND user_id IS NULL AND NOT lifted";
    let forgotten = execute(transaction, sql, vec![]).await?;
    // Of a day, and nobody can say any more whom they mean.
    execute(transaction, "DELETE FROM recent_people", vec![]).await?;
    loop {
        let old = suppressions::before(transaction, version, ENTRIES_AT_ONCE).await?;
        if old.is_empty() {
            return Ok(forgotten);
        }
        for entry in &old {
            let sql = "DELETE FROM suppressions WHERE account = $1 AND person = $2 AND source = $3";
            let key = vec![entry.account.0.into(), entry.person.0.to_vec().into(), entry.source.code().into()];
            execute(transaction, sql, key).await?;
        }
        let again = |entry: Suppression| new_hash(&entry, people).map(|person| Suppression { person, ..entry });
        suppressions::write(transaction, old.into_iter().filter_map(again).collect()).await?;
    }
}

/// A number is what people are looked up by, so it goes before the provider's id.
fn new_hash(entry: &Suppression, people: &PersonHasher) -> Option<PersonHash> {
    let by_number = entry.phone.as_ref().map(|phone| people.of_phone(phone));
    by_number.or_else(|| entry.user_id.as_deref().map(|id| people.of_user(id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            ids::AccountKey,
            phone::PhoneNumber,
            suppression::{Scope, Source},
            time::UnixMillis,
        },
        store::{
            testing::on_each_database,
            vault::{MasterKey, Vault},
        },
    };

    fn entry(person: PersonHash, phone: Option<PhoneNumber>, user_id: Option<&str>) -> Suppression {
        Suppression {
            account: AccountKey(1),
            person,
            source: Source::Person,
            scope: Scope::Marketing,
            lifted: false,
            phone,
            user_id: user_id.map(str::to_owned),
            reason: "stopped in WhatsApp".to_owned(),
            occurred_at: UnixMillis(1_795_000_000_000),
        }
    }

    async fn replaced(store: &Store) -> u64 {
        let nothing = |_: &Configuration| Ok::<_, ()>((ConfigurationRecords::default(), ()));
        match store.replace_secrets(Duration::from_secs(20), nothing).await.expect("nothing is in its way") {
            Replaced::Done { forgotten, .. } => forgotten,
            Replaced::Refused(()) | Replaced::StillRunning(_) => panic!("nobody refuses and nobody runs"),
        }
    }

    #[tokio::test]
    async fn whoever_wants_to_be_left_in_peace_is_still_known_under_a_new_key() {
        on_each_database(|store| async move {
            let phone = PhoneNumber::from_international("+919876500001").expect("a number");
            let hasher = store.person_hasher().await.expect("a key").clone();
            let forgotten = hasher.of_user("somebody who was forgotten");
            let entries = vec![
                entry(hasher.of_phone(&phone), Some(phone.clone()), None),
                entry(hasher.of_user("IN.1"), None, Some("IN.1")),
                entry(forgotten, None, None),
            ];
            store.change_suppressions(entries, None).await.expect("written");
            let other = Store { hasher: std::sync::Arc::default(), ..store.clone() };
            let other = other.with_vault(Vault::new(&MasterKey::random()));

            let lost = replaced(&other).await;

            assert_eq!(lost, 1);
            assert_eq!(store.opens_its_secrets().await.expect("readable"), Some(false));
            assert_eq!(other.opens_its_secrets().await.expect("readable"), Some(true));
            let people = other.person_hasher().await.expect("a key");
            for person in [people.of_phone(&phone), people.of_user("IN.1")] {
                let found = other.suppressions_of(AccountKey(1), person).await.expect("readable");
                assert_eq!(found.len(), 1);
                assert_eq!(found[0].occurred_at, UnixMillis(1_795_000_000_000));
            }
            assert!(other.suppressions_of(AccountKey(1), forgotten).await.expect("readable").is_empty());
        })
        .await;
    }
}
