//! What people want to be sent, as it arrives in webhooks and in refusals of messages. It is written in the
//! transaction of the webhook, so nothing that was answered is lost.
//!
//! A wish is the number's. As long as only the provider's id of the person is known it stands under the id, where no message
//! meets it; the webhook that brings the number moves it there.

use std::sync::Arc;

use sea_orm::{DbErr, Value};

use super::{
    DatabaseTransaction,
    batch::Effects,
    conversations,
    events::NewEvent,
    ingest::{Ingest, insert_unrecognized, unrecognized_row},
    outbound::odd_value,
    people::People,
    people_news::{self, Said},
    query_rows, suppressions,
};
use crate::domain::{
    failure::Failure,
    ids::{AccountKey, MessageId, MessageIds, SenderKey},
    phone::PhoneNumber,
    preference::{Choice, Preference},
    suppression::{PersonHasher, Scope, Source, Suppression, short},
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
    fn phone<'a>(&'a self, people: &'a People) -> Option<&'a PhoneNumber> {
        let by_link = || people.phone(self.account, self.preference.user_id.as_deref());
        self.preference.phone.as_ref().or_else(by_link)
    }
}

/// A message that was refused because of its recipient.
pub(super) struct Unwelcome {
    pub(super) message: MessageId,
    pub(super) failure: Failure,
    pub(super) occurred_at: UnixMillis,
}

/// The provider's word for the kind of messages that a person can stop.
const MARKETING: &str = "marketing_messages";
const NOT_USED: &str = "a preference of a person: kept, and not used by this version";

/// Takes in the preferences of a batch of webhooks, and what refusals tell about people; gives back what webhooks are told of it.
pub(super) async fn take(
    transaction: &DatabaseTransaction,
    ingests: &[&Ingest],
    linked: &People,
    refusals: Vec<Unwelcome>,
    hasher: impl FnOnce() -> Result<PersonHasher, DbErr>,
    (ids, now): (&Arc<MessageIds>, UnixMillis),
    effects: &mut Effects,
) -> Result<Vec<NewEvent>, DbErr> {
    let nothing_new = refusals.is_empty() && linked.new_links.is_empty();
    if nothing_new && ingests.iter().all(|ingest| ingest.preferences.is_empty()) {
        return Ok(vec![]);
    }
    let hasher = hasher()?;
    let mut changes = learned(transaction, refusals, &hasher).await?;
    let moved = suppressions::move_to_numbers(transaction, &linked.new_links, &hasher).await?;
    changes.extend(suppressions::of_no_number(moved));
    let mut unused = Vec::new();
    for ingest in ingests {
        for received in &ingest.preferences {
            let wish = wish(received, linked, &hasher);
            if wish.is_none() {
                let (pointer, entry) = ("preference".to_owned(), &received.preference.entry);
                unused.push(unrecognized_row(ids.next(now), ingest.connection, 1, None, pointer, NOT_USED, entry));
            }
            let said = Said { sender: Some(received.sender), entry: Some(received.preference.entry.clone()) };
            changes.extend(wish.map(|wish| (wish, said)));
        }
    }
    effects.suppressions |= !changes.is_empty();
    let mut news = people_news::opt_ins(transaction, &changes).await?;
    let blocked = people_news::blocked(&changes);
    news.extend(conversations::block(transaction, blocked, || Ok(hasher.clone()), now).await?);
    suppressions::write(transaction, changes.into_iter().map(|(entry, _)| entry).collect()).await?;
    insert_unrecognized(transaction, unused).await?;
    Ok(news)
}

/// What a preference means, for the person's number when it is known, else for the provider's id.
/// Nothing when it is not about marketing, or neither a yes nor a no.
fn wish(received: &ReceivedPreference, linked: &People, hasher: &PersonHasher) -> Option<Suppression> {
    let ReceivedPreference { account, preference, .. } = received;
    let number = received.phone(linked);
    let (lifted, reason) = match (&preference.choice, preference.category.as_str()) {
        (Choice::Stop, MARKETING) => (false, "stopped in WhatsApp"),
        (Choice::Resume, MARKETING) => (true, "resumed in WhatsApp"),
        (Choice::Stop | Choice::Resume | Choice::Other(_), _) => return None,
    };
    let by_id = || preference.user_id.as_deref().map(|id| hasher.of_user(id));
    Some(Suppression {
        account: *account,
        person: number.map(|phone| hasher.of_phone(phone)).or_else(by_id)?,
        source: Source::Person,
        scope: Scope::Marketing,
        lifted,
        phone: number.cloned(),
        user_id: preference.user_id.clone(),
        reason: short(reason),
        occurred_at: preference.occurred_at,
    })
}

/// Whom messages were refused for, and by which number they went.
async fn learned(
    transaction: &DatabaseTransaction,
    refusals: Vec<Unwelcome>,
    hasher: &PersonHasher,
) -> Result<Vec<(Suppression, Said)>, DbErr> {
    let rows: Vec<[Value; 1]> = refusals.iter().map(|refusal| [refusal.message.0.into()]).collect();
    let found = query_rows(
        transaction,
        "SELECT m.id, m.account, m.sender, m.recipient FROM (",
        rows,
        ") AS v CROSS JOIN outbound_messages AS m WHERE m.id = v.column1",
    )
    .await?;
    let mut learned = Vec::with_capacity(found.len());
    for row in &found {
        let id = MessageId(row.try_get("", "id")?);
        let account = AccountKey(row.try_get("", "account")?);
        let recipient: String = row.try_get("", "recipient")?;
        let phone = PhoneNumber::from_international(&recipient).ok_or_else(|| odd_value("recipient"))?;
        let said = Said { sender: Some(SenderKey(row.try_get("", "sender")?)), entry: None };
        let refusal = refusals.iter().find(|refusal| refusal.message == id);
        let entry = refusal.and_then(|refusal| {
            Suppression::learned_from(&refusal.failure, account, hasher, phone, refusal.occurred_at)
        });
        learned.extend(entry.map(|entry| (entry, said)));
    }
    Ok(learned)
}
