//! By what name a provider knows the conversation with a person, where an answer must name it. A person is known by a hash with the
//! number that was written to.

use std::{collections::BTreeMap, time::Duration};

use sea_orm::Value;

use super::{Doing, Store, StoreError, execute, execute_rows, outbound::provider_id_hash, query};
use crate::domain::{ids::SenderKey, phone::PhoneNumber, time::UnixMillis};

/// For so long after a person wrote, an answer may go out without a template: what is older is of no use.
pub const ANSWERED_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);

/// A conversation that somebody has written in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderConversation {
    pub sender: SenderKey,
    pub person: PhoneNumber,
    /// The provider's name of it.
    pub name: String,
}

impl Store {
    /// Keeps the newest name of each; of two for the same person the later one.
    pub async fn keep_conversations(
        &self,
        conversations: &[ProviderConversation],
        heard_at: UnixMillis,
    ) -> Result<(), StoreError> {
        let doing = "keep the names of conversations";
        let hashed = conversations.iter().map(|one| (hash(one.sender, &one.person), one.name.as_str()));
        let newest: BTreeMap<Vec<u8>, &str> = hashed.collect();
        if newest.is_empty() {
            return Ok(());
        }
        let rows: Vec<[Value; 3]> =
            newest.into_iter().map(|(hash, name)| [hash.into(), name.into(), heard_at.0.into()]).collect();
        let head = "INSERT INTO provider_conversations (hash, conversation, heard_at)";
        let tail =
            " ON CONFLICT (hash) DO UPDATE SET conversation = excluded.conversation, heard_at = excluded.heard_at";
        let transaction = self.begin().await.doing(doing)?;
        execute_rows(&transaction, head, rows, tail).await.doing(doing)?;
        transaction.commit().await.doing(doing)
    }

    /// The name of the conversation in which the person wrote since then.
    pub async fn conversation_with(
        &self,
        sender: SenderKey,
        person: &PhoneNumber,
        since: UnixMillis,
    ) -> Result<Option<String>, StoreError> {
        let sql = "SELECT conversation FROM provider_conversations WHERE hash = $1 AND heard_at >= $2";
        let rows = query(self.reader(), sql, vec![hash(sender, person).into(), since.0.into()]).await;
        rows.and_then(|rows| rows.first().map(|row| row.try_get("", "conversation")).transpose())
            .doing("read the name of a conversation")
    }

    /// Forgets those of one person with these numbers.
    pub async fn erase_conversations(&self, senders: &[SenderKey], person: &PhoneNumber) -> Result<(), StoreError> {
        let doing = "erase the names of conversations";
        let hashes: Vec<[Value; 1]> = senders.iter().map(|sender| [hash(*sender, person).into()]).collect();
        let transaction = self.begin().await.doing(doing)?;
        let head = "DELETE FROM provider_conversations WHERE hash IN (";
        execute_rows(&transaction, head, hashes, ")").await.doing(doing)?;
        transaction.commit().await.doing(doing)
    }

    /// Forgets conversations that nobody has written in since then, at most `limit`; says how many.
    pub async fn forget_conversations(&self, before: UnixMillis, limit: usize) -> Result<usize, StoreError> {
        let doing = "forget the names of conversations";
        let sql = format!(
            "DELETE FROM provider_conversations WHERE hash IN \
             (SELECT hash FROM provider_conversations WHERE heard_at < $1 ORDER BY heard_at LIMIT {limit})"
        );
        let transaction = self.begin().await.doing(doing)?;
        let gone = execute(&transaction, sql, vec![before.0.into()]).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(usize::try_from(gone).unwrap_or(usize::MAX))
    }
}

fn hash(sender: SenderKey, person: &PhoneNumber) -> Vec<u8> {
    provider_id_hash(sender, person.digits())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::on_each_database;

    #[tokio::test]
    async fn the_newest_conversation_of_a_person_with_a_number_is_known_for_a_while() {
        on_each_database(|store| async move {
            let asha = PhoneNumber::from_international("+919876500001").expect("a number");
            let of = |sender: i32, name: &str| ProviderConversation {
                sender: SenderKey(sender),
                person: asha.clone(),
                name: name.to_owned(),
            };
            let at = UnixMillis;
            store.keep_conversations(&[of(1, "501"), of(1, "502"), of(2, "7")], at(1_000)).await.expect("kept");
            store.keep_conversations(&[of(2, "8")], at(2_000)).await.expect("kept");

            let name = async |sender, since| {
                store.conversation_with(SenderKey(sender), &asha, at(since)).await.expect("it can be read")
            };
            assert_eq!(name(1, 0).await.as_deref(), Some("502"));
            assert_eq!(name(2, 0).await.as_deref(), Some("8"));
            assert_eq!(name(1, 1_001).await, None, "too long ago");
            assert_eq!(name(3, 0).await, None);

            assert_eq!(store.forget_conversations(at(2_000), 10).await.expect("forgotten"), 1);
            assert_eq!((name(1, 0).await, name(2, 0).await.is_some()), (None, true));
            store.erase_conversations(&[SenderKey(1), SenderKey(2)], &asha).await.expect("erased");
            assert_eq!(name(2, 0).await, None);
        })
        .await;
    }
}
