//! What people want to be sent, as it arrives in webhooks.

use std::sync::Arc;

use sea_orm::{DatabaseTransaction, DbErr};

use super::{
    ingest::{Ingest, insert_unrecognized, unrecognized_row},
    people::People,
};
use crate::domain::{
    ids::{AccountKey, MessageIds, SenderKey},
    phone::PhoneNumber,
    preference::Preference,
    time::UnixMillis,
};

/// A person's wish, with the number that it is about.
#[derive(Debug)]
pub struct ReceivedPreference {
    pub account: AccountKey,
    pub sender: SenderKey,
    pub preference: Preference,
}

impl ReceivedPreference {
    /// Whose wish it is: as it came, or by a link that is known.
    pub(super) fn phone<'a>(&'a self, people: &'a People) -> Option<&'a PhoneNumber> {
        let by_link = || people.phone(self.account, self.preference.user_id.as_deref());
        self.preference.phone.as_ref().or_else(by_link)
    }
}

const NOT_USED: &str = "a preference of a person: kept, and not used by this version";

/// Takes in the preferences of a batch of webhooks, in the batch's transaction.
pub(super) async fn take(
    transaction: &DatabaseTransaction,
    ingests: &[&Ingest],
    people: &People,
    ids: &Arc<MessageIds>,
    now: UnixMillis,
) -> Result<(), DbErr> {
    let mut rows = Vec::new();
    for ingest in ingests {
        for received in &ingest.preferences {
            let whose = if received.phone(people).is_some() { "preference" } else { "preference of somebody unknown" };
            let (pointer, entry) = (whose.to_owned(), &received.preference.entry);
            rows.push(unrecognized_row(ids.next(now), ingest.connection, 1, None, pointer, NOT_USED, entry));
        }
    }
    insert_unrecognized(transaction, rows).await
}
