//! News of contacts and conversations, as lines of their account's log.
//!
//! Only webhooks hear of them. So nothing is written, and nothing looked up for it, where no webhook of the account wants to.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::{DbErr, Value};

use super::{
    DatabaseTransaction,
    contacts::by_who,
    events::NewEvent,
    query_rows,
    suppressions::{COLUMNS, suppression},
    webhooks,
};
use crate::domain::{
    callback::EventKind,
    contact::{Contact, opt_in, wish_of},
    conversation::{Conversation, Happened},
    event_name::EventName,
    ids::{AccountKey, SenderKey},
    suppression::{PersonHash, PersonHasher, Source, Suppression},
    time::UnixMillis,
    webhook_event::{Contact as Told, PreferenceFacts, Raw},
    webhook_people::{Change, PersonNews},
};

/// Of no number: nobody said through which way a person is known.
const NO_SENDER: SenderKey = SenderKey(0);

/// Something that happened, before anybody asked whether it is told.
pub(super) struct News {
    pub(super) name: EventName,
    pub(super) contact: Contact,
    /// The conversation, for what is about one.
    pub(super) conversation: Option<Conversation>,
    pub(super) sender: SenderKey,
    pub(super) tag: Option<String>,
    pub(super) changes: Vec<Change>,
    pub(super) at: UnixMillis,
}

impl News {
    pub(super) fn of_contact(name: EventName, contact: &Contact, sender: Option<SenderKey>, at: UnixMillis) -> Self {
        let sender = sender.unwrap_or(NO_SENDER);
        Self { name, contact: contact.clone(), conversation: None, sender, tag: None, changes: vec![], at }
    }

    /// Of a contact that was another before.
    pub(super) fn since(self, before: &Contact) -> Self {
        Self { changes: Change::of_contact(before, &self.contact), ..self }
    }

    pub(super) fn of_conversation(
        happened: &Happened,
        contact: &Contact,
        (before, conversation): (Option<&Conversation>, &Conversation),
        at: UnixMillis,
    ) -> Vec<Self> {
        let changes = before.map(|before| Change::of_conversation(before, conversation)).unwrap_or_default();
        let of = |name: &EventName| Self {
            conversation: Some(conversation.clone()),
            changes: changes.clone(),
            ..Self::of_contact(*name, contact, Some(conversation.sender), at)
        };
        happened.iter().map(of).collect()
    }

    pub(super) fn with_tags(self, tags: Vec<String>) -> Vec<Self> {
        let Self { name, contact, conversation, sender, tag: _, changes, at } = self;
        let one = |tag| Self {
            name,
            contact: contact.clone(),
            conversation: conversation.clone(),
            sender,
            tag: Some(tag),
            changes: changes.clone(),
            at,
        };
        tags.into_iter().map(one).collect()
    }
}

/// From where a wish of a person is known.
#[derive(Clone, Default)]
pub(super) struct Said {
    /// Of which number it was said; `None` where it was said of none.
    pub(super) sender: Option<SenderKey>,
    /// The provider's own entry.
    pub(super) entry: Option<String>,
}

/// The lines of those that somebody wants to hear of.
pub(super) async fn lines(
    transaction: &DatabaseTransaction,
    news: Vec<News>,
    hasher: impl FnOnce() -> Result<PersonHasher, DbErr>,
) -> Result<Vec<NewEvent>, DbErr> {
    if news.is_empty() {
        return Ok(vec![]);
    }
    let accounts = news.iter().map(|one| one.contact.account);
    let listening = webhooks::listening(transaction, EventKind::Person, accounts).await?;
    let news: Vec<News> = news.into_iter().filter(|one| listening.contains(&one.contact.account)).collect();
    if news.is_empty() {
        return Ok(vec![]);
    }
    let hasher = hasher()?;
    let people = news.iter().map(|one| (one.contact.account, hash(&one.contact, &hasher))).collect();
    let wishes = wishes_of(transaction, people).await?;
    let line = |one: News| {
        let opt_in = wishes.get(&(one.contact.account, hash(&one.contact, &hasher))).copied().flatten();
        let mut told = PersonNews::of(one.name, &one.contact, opt_in);
        if let Some(conversation) = &one.conversation {
            told = told.within(conversation);
        }
        if let Some(tag) = one.tag {
            told = told.with_tag(tag);
        }
        told.changes = one.changes;
        event(one.contact.account, one.sender, one.at, &told)
    };
    Ok(news.into_iter().map(line).collect())
}

/// What entries of the suppression list that are about to be written mean for those who listen, as far as they are news.
pub(super) async fn opt_ins(
    transaction: &DatabaseTransaction,
    changes: &[(Suppression, Said)],
) -> Result<Vec<NewEvent>, DbErr> {
    let wishes = heard_of(transaction, changes).await?;
    if wishes.is_empty() {
        return Ok(vec![]);
    }
    let known = entries(transaction, wishes.iter().map(|(wish, _)| (wish.account, wish.person)).collect()).await?;
    let is_news = |(wish, _): &&(Suppression, Said)| {
        let same = |entry: &&Suppression| {
            (entry.account, entry.person, entry.source) == (wish.account, wish.person, wish.source)
        };
        let before = known.iter().find(same);
        before.is_none_or(|before| before.lifted != wish.lifted && before.occurred_at <= wish.occurred_at)
    };
    tell(transaction, wishes.into_iter().filter(is_news).collect()).await
}

/// The same of entries that were just lifted.
pub(super) async fn lifted(
    transaction: &DatabaseTransaction,
    gone: &[(Suppression, Said)],
) -> Result<Vec<NewEvent>, DbErr> {
    let wishes = heard_of(transaction, gone).await?;
    tell(transaction, wishes).await
}

/// Those about marketing, of people who are named, of whom somebody wants to hear.
async fn heard_of<'a>(
    transaction: &DatabaseTransaction,
    changes: &'a [(Suppression, Said)],
) -> Result<Vec<&'a (Suppression, Said)>, DbErr> {
    let is_wish = |(change, _): &&(Suppression, Said)| {
        wish_of(change).is_some() && (change.phone.is_some() || change.user_id.is_some())
    };
    let wishes: Vec<_> = changes.iter().filter(is_wish).collect();
    if wishes.is_empty() {
        return Ok(vec![]);
    }
    let accounts = wishes.iter().map(|(wish, _)| wish.account);
    let listening = webhooks::listening(transaction, EventKind::Person, accounts).await?;
    Ok(wishes.into_iter().filter(|(wish, _)| listening.contains(&wish.account)).collect())
}

async fn tell(transaction: &DatabaseTransaction, wishes: Vec<&(Suppression, Said)>) -> Result<Vec<NewEvent>, DbErr> {
    if wishes.is_empty() {
        return Ok(vec![]);
    }
    let contacts = by_who(transaction, wishes.iter().map(|(wish, _)| (who(wish), wish.account)).collect()).await?;
    let line = |(wish, said): &(Suppression, Said)| {
        let name = if wish.lifted { EventName::ContactOptedIn } else { EventName::ContactOptedOut };
        let contact = contacts.get(&(who(wish), wish.account));
        let told =
            contact.map_or_else(|| stranger(name, wish), |contact| PersonNews::of(name, contact, Some(wish.lifted)));
        let preference =
            PreferenceFacts { scope: wish.scope.as_str().to_owned(), source: wish.source.as_str().to_owned() };
        let raw = said.entry.clone().map(Raw::new);
        let sender = said.sender.unwrap_or(NO_SENDER);
        event(wish.account, sender, wish.occurred_at, &PersonNews { preference: Some(preference), raw, ..told })
    };
    Ok(wishes.into_iter().map(line).collect())
}

/// Somebody who never wrote.
fn stranger(name: EventName, wish: &Suppression) -> PersonNews {
    let phone = wish.phone.as_ref().map(|phone| phone.as_e164().to_owned());
    let contact = Told { phone, user_id: wish.user_id.clone(), name: None };
    PersonNews {
        name,
        contact,
        details: None,
        conversation: None,
        tag: None,
        preference: None,
        changes: vec![],
        raw: None,
    }
}

fn who(wish: &Suppression) -> String {
    let by_id = || wish.user_id.clone().unwrap_or_default();
    wish.phone.as_ref().map_or_else(by_id, |phone| phone.as_e164().to_owned())
}

fn hash(contact: &Contact, hasher: &PersonHasher) -> PersonHash {
    let by_id = || hasher.of_user(contact.user_id.as_deref().unwrap_or_default());
    contact.phone.as_ref().map_or_else(by_id, |phone| hasher.of_phone(phone))
}

async fn wishes_of(
    transaction: &DatabaseTransaction,
    people: BTreeSet<(AccountKey, PersonHash)>,
) -> Result<HashMap<(AccountKey, PersonHash), Option<bool>>, DbErr> {
    let mut by_person: BTreeMap<(AccountKey, PersonHash), Vec<Suppression>> = BTreeMap::new();
    for entry in entries(transaction, people).await? {
        by_person.entry((entry.account, entry.person)).or_default().push(entry);
    }
    Ok(by_person.into_iter().map(|(person, entries)| (person, opt_in(&entries))).collect())
}

/// All entries of these people.
pub(super) async fn entries(
    transaction: &DatabaseTransaction,
    people: BTreeSet<(AccountKey, PersonHash)>,
) -> Result<Vec<Suppression>, DbErr> {
    let rows: Vec<[Value; 2]> =
        people.into_iter().map(|(account, person)| [account.0.into(), person.0.to_vec().into()]).collect();
    let columns = COLUMNS.split(", ").map(|column| format!("s.{column}")).collect::<Vec<_>>().join(", ");
    let tail = ") AS v CROSS JOIN suppressions AS s WHERE s.account = v.column1 AND s.person = v.column2";
    let rows = query_rows(transaction, &format!("SELECT {columns} FROM ("), rows, tail).await?;
    rows.iter().map(suppression).collect()
}

/// Whom the number's block list has from now on.
pub(super) fn blocked(changes: &[(Suppression, Said)]) -> BTreeSet<(String, AccountKey)> {
    let is_new = |change: &&Suppression| change.source == Source::BlockList && !change.lifted;
    changes.iter().map(|(change, _)| change).filter(is_new).map(|change| (who(change), change.account)).collect()
}

fn event(account: AccountKey, sender: SenderKey, at: UnixMillis, told: &PersonNews) -> NewEvent {
    NewEvent {
        account,
        sender,
        kind: EventKind::Person,
        message: None,
        status: None,
        occurred_at: at,
        failure: None,
        provider_message_id: None,
        person: None,
        tapped: None,
        entry: Some(serde_json::to_string(told).expect("texts and numbers are JSON")),
    }
}
