//! People who are known by another number than before: those who hid theirs, and those who changed it, as WhatsApp says.
//!
//! The contact follows, with its tags and conversations. So does what is known of the person's wishes, and **no opt-out is lost**: what holds
//! for the old number goes on to hold there, because platforms go on to name it, and holds for the new one as well
//! ([`following`]). WhatsApp says it to each of the account's numbers that the person wrote to; the second time there is nothing left
//! to do.

use std::collections::BTreeMap;

use sea_orm::DbErr;

use super::{
    DatabaseTransaction,
    contacts::{by_who, write},
    conversations,
    events::NewEvent,
    execute,
    ingest::ReceivedMessage,
    people::{People, ReceivedLink},
    people_news::{self, News, Said, entries},
    suppressions,
};
use crate::domain::{
    contact::Contact,
    event_name::EventName,
    ids::{AccountKey, SenderKey},
    inbound::InboundContent,
    phone::PhoneNumber,
    suppression::{PersonHasher, Suppression, following},
    time::UnixMillis,
};

/// A person has another number, as one of ours was told.
#[derive(Debug)]
pub(super) struct Moved {
    account: AccountKey,
    sender: SenderKey,
    from: PhoneNumber,
    to: PhoneNumber,
    /// The provider's id of the person at the new number, where it came along.
    user_id: Option<String>,
    at: UnixMillis,
    entry: String,
}

impl Moved {
    /// What a message says of its writer's number, when both numbers are known.
    pub(super) fn of(received: &ReceivedMessage, people: &People) -> Option<Self> {
        let message = &received.message;
        let InboundContent::NumberChanged { to: Some(to), .. } = &message.content else { return None };
        let by_link = || people.phone(received.account, message.from_user_id.as_deref());
        let from = message.from.as_ref().or_else(by_link).filter(|from| *from != to)?;
        let is_theirs = |link: &&ReceivedLink| link.account == received.account && link.phone == *to;
        Some(Self {
            account: received.account,
            sender: received.sender,
            from: from.clone(),
            to: to.clone(),
            user_id: people.new_links.iter().find(is_theirs).map(|link| link.user_id.clone()),
            at: message.occurred_at,
            entry: received.entry.clone(),
        })
    }
}

/// Their wishes hold for the new numbers, too; gives back what webhooks are told of it.
pub(super) async fn take_wishes(
    transaction: &DatabaseTransaction,
    moves: &[Moved],
    hasher: &PersonHasher,
) -> Result<Vec<NewEvent>, DbErr> {
    let mut news = Vec::new();
    // One after the other: the second may go on from where the first led.
    for moved in moves {
        let (old, new) = (hasher.of_phone(&moved.from), hasher.of_phone(&moved.to));
        let both = [(moved.account, old), (moved.account, new)].into();
        let (before, there): (Vec<Suppression>, Vec<Suppression>) =
            entries(transaction, both).await?.into_iter().partition(|entry| entry.person == old);
        let said = || Said { sender: Some(moved.sender), entry: Some(moved.entry.clone()) };
        let follow = following(&before, &there, (new, &moved.to), moved.at);
        let changes: Vec<_> = follow.into_iter().map(|entry| (entry, said())).collect();
        news.extend(people_news::opt_ins(transaction, &changes).await?);
        let entries: Vec<Suppression> = changes.into_iter().map(|(entry, _)| entry).collect();
        let welcome: Vec<Suppression> = entries.iter().filter(|entry| entry.lifted).cloned().collect();
        suppressions::write(transaction, entries).await?;
        suppressions::keep_from_platform(transaction, &welcome).await?;
    }
    Ok(news)
}

/// Their contacts have the new numbers.
pub(super) async fn rename(transaction: &DatabaseTransaction, moves: &[Moved]) -> Result<Vec<News>, DbErr> {
    let mut news = Vec::new();
    for Moved { account, sender, from, to, user_id, at, .. } in moves {
        let old = (from.as_e164().to_owned(), *account);
        let Some(contact) = by_who(transaction, [old].into()).await?.into_values().next() else { continue };
        news.extend(give_number(transaction, contact, (to, user_id.as_deref()), (Some(*sender), *at)).await?);
    }
    Ok(news)
}

/// Who was known by an id alone is the number's from now on.
pub(super) async fn give_numbers(
    transaction: &DatabaseTransaction,
    links: &[ReceivedLink],
) -> Result<Vec<News>, DbErr> {
    let by_id: BTreeMap<(String, AccountKey), &PhoneNumber> =
        links.iter().map(|link| ((link.user_id.clone(), link.account), &link.phone)).collect();
    let mut news = Vec::new();
    for (who, contact) in by_who(transaction, by_id.keys().cloned().collect()).await? {
        let Some(phone) = by_id.get(&who) else { continue };
        let at = contact.last_seen;
        news.extend(give_number(transaction, contact, (phone, None), (None, at)).await?);
    }
    Ok(news)
}

/// A contact has this number, and this id where one is told, from now on: as one of our numbers heard, when it happened. Where the
/// number has a contact already, both are one person, and who was known longer stays.
async fn give_number(
    transaction: &DatabaseTransaction,
    before: Contact,
    (phone, user_id): (&PhoneNumber, Option<&str>),
    (sender, at): (Option<SenderKey>, UnixMillis),
) -> Result<Vec<News>, DbErr> {
    let key = (phone.as_e164().to_owned(), before.account);
    let other = by_who(transaction, [key].into()).await?.into_values().next();
    let is_younger = |other: &Contact| (other.first_seen, other.id) > (before.first_seen, before.id);
    let (mut after, gone) = match &other {
        None => (before.clone(), None),
        Some(other) if is_younger(other) => (before.clone(), Some(other)),
        Some(other) => (other.clone(), Some(&before)),
    };
    after.phone = Some(phone.clone());
    if let Some(gone) = gone {
        after.absorb(gone);
        conversations::hand_over(transaction, gone.id, after.id).await?;
        execute(transaction, "DELETE FROM contacts WHERE id = $1", vec![gone.id.0.into()]).await?;
    }
    after.user_id = user_id.map(str::to_owned).or(after.user_id);
    let sql = "UPDATE contacts SET who = $2, phone = $2, first_seen_at = $3 WHERE id = $1";
    execute(transaction, sql, vec![after.id.0.into(), after.who().into(), after.first_seen.0.into()]).await?;
    write(transaction, std::slice::from_ref(&after)).await?;
    let told = |was: &Contact| News::of_contact(EventName::ContactUpdated, &after, sender, at).since(was);
    Ok(std::iter::once(&before).chain(&other).map(told).filter(|one| !one.changes.is_empty()).collect())
}
