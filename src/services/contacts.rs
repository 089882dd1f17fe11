//! Contacts and conversations, for those who work with people: looking, tagging, closing. The same for the console and the API.
//!
//! What a contact wants of marketing messages stands in the suppression list, which decides what is sent; so it is read from there
//! and changed there.

use std::collections::HashMap;

use serde_json::json;

use super::{
    directory::Snapshot,
    masking,
    operators::{Refusal, require},
};
use crate::{
    clock,
    domain::{
        contact::{Contact, ContactId, NAME_CHARS_MAX, opt_in, profile_name},
        conversation::{Conversation, ConversationId, ConversationState, Wish},
        ids::{AccountKey, SenderKey},
        operator::{Actor, Permission},
        phone::PhoneNumber,
        suppression::{PersonHash, Scope, Source, Suppression},
        time::UnixMillis,
        webhook_people::PersonNews,
    },
    store::{
        Store, StoreError,
        audit::AuditEntry,
        contacts::{ContactChange, ContactFilter},
        conversations::{ConversationChange, ConversationFilter, Talk},
        suppressions::OperatorWord,
    },
};

/// Longer texts are looked for nowhere.
const TEXT_CHARS_MAX: usize = 200;

/// What somebody looks for; what is empty fits everything.
#[derive(Clone, Debug, Default)]
pub struct WantedContacts {
    pub account: Option<AccountKey>,
    /// A whole number; with the permission to see numbers also a part of a name or a number.
    pub text: String,
    pub tag: String,
    pub before: Option<String>,
}

/// The same of conversations.
#[derive(Clone, Debug, Default)]
pub struct WantedConversations {
    pub account: Option<AccountKey>,
    pub sender: Option<SenderKey>,
    pub state: Option<ConversationState>,
    pub unattended: bool,
    pub tag: String,
    pub before: Option<String>,
}

/// A contact, with what the person wants of marketing messages.
#[derive(Clone, Debug)]
pub struct Known {
    pub contact: Contact,
    /// `None`: nobody said.
    pub opt_in: Option<bool>,
}

/// A page, and where the next begins.
#[derive(Clone, Debug)]
pub struct Page<T> {
    pub found: Vec<T>,
    pub next: Option<String>,
}

/// What is changed of a contact; what is `None` or empty stays.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Empty: the profile's again, from the next message on.
    pub name: Option<String>,
    pub add_tags: Vec<String>,
    pub remove_tags: Vec<String>,
    pub opt_in: Option<bool>,
}

/// Those who wrote last first.
pub async fn list(
    store: &Store,
    snapshot: &Snapshot,
    actor: &Actor,
    (wanted, limit): (&WantedContacts, usize),
) -> Result<Page<Known>, Refusal> {
    require(actor, Permission::ReadMessages)?;
    let text = wanted.text.trim();
    if text.chars().count() > TEXT_CHARS_MAX {
        let text = format!("look for at most {TEXT_CHARS_MAX} characters");
        return Err(Refusal::Invalid { field: "text", text });
    }
    if let Some(person) = whole_number(snapshot, wanted.account, text) {
        let accounts: Vec<AccountKey> = match wanted.account {
            Some(account) => vec![account],
            None => snapshot.accounts_ever().map(|account| account.key).collect(),
        };
        let mut found = store.contacts_of(&[person.as_e164().to_owned()], &accounts).await?;
        found.retain(|contact| wanted.tag.trim().is_empty() || contact.tags.has(wanted.tag.trim()));
        found.truncate(limit);
        return Ok(Page { found: with_wishes(store, found).await?, next: None });
    }
    if !text.is_empty() && !actor.may(Permission::ReadPersonal) {
        let text = "write the whole number, with + and country code; names and parts of numbers need the permission to see them";
        return Err(Refusal::Invalid { field: "text", text: text.to_owned() });
    }
    let filter = ContactFilter {
        account: wanted.account,
        text: Some(text.to_owned()).filter(|text| !text.is_empty()),
        tag: Some(wanted.tag.trim().to_owned()).filter(|tag| !tag.is_empty()),
        before: wanted.before.as_deref().map(place).transpose()?.map(|(at, id)| (at, ContactId(id))),
    };
    let (found, next) = store.contacts(&filter, limit).await?;
    let next = next.map(|(at, id)| format!("{}-{}", at.0, id.0));
    Ok(Page { found: with_wishes(store, found).await?, next })
}

/// One contact.
pub async fn one(store: &Store, actor: &Actor, id: ContactId) -> Result<Known, Refusal> {
    require(actor, Permission::ReadMessages)?;
    let contact = store.contact(id).await?.ok_or_else(no_contact)?;
    let known = with_wishes(store, vec![contact]).await?.pop();
    known.ok_or_else(no_contact)
}

fn no_contact() -> Refusal {
    Refusal::NotFound("there is no such contact: it never was, was erased, or is older than the retention".to_owned())
}

/// Changes a contact's name, tags and wish; gives back what it is then.
pub async fn change(store: &Store, actor: &Actor, id: ContactId, changes: Changes) -> Result<Known, Refusal> {
    require(actor, Permission::ManageContacts)?;
    let before = one(store, actor, id).await?;
    let tags = before.contact.tags.changed(&changes.add_tags, &changes.remove_tags);
    let tags = tags.map_err(|text| Refusal::Invalid { field: "add_tags", text })?;
    let name = changes.name.as_deref().map(checked_name).transpose()?;
    let subject = format!("contact {id}");
    let entry = AuditEntry::new(actor, "change contact", subject.as_str())
        .before(json!({"tags": before.contact.tags}))
        .after(json!({"tags": tags, "name_given": name.is_some()}));
    let word = match changes.opt_in.filter(|wants| before.opt_in != Some(*wants)) {
        Some(wants) => word(store, actor, &before.contact, wants).await?.map(|word| {
            let action = if wants { "opt contact in" } else { "opt contact out" };
            let entry = AuditEntry::new(actor, action, subject)
                .before(json!({"opt_in": before.opt_in}))
                .after(json!({"opt_in": wants}));
            (word, entry)
        }),
        None => None,
    };
    let change = ContactChange { name, tags: Some(tags), word };
    store.change_contact(id, change, &entry).await?.ok_or_else(no_contact)?;
    one(store, actor, id).await
}

fn checked_name(name: &str) -> Result<String, Refusal> {
    let name = name.trim();
    if name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        let text = format!("a name has at most {NAME_CHARS_MAX} characters, in one line");
        return Err(Refusal::Invalid { field: "name", text });
    }
    Ok(profile_name(name).unwrap_or_default())
}

/// An operator's word on marketing messages; `None` of who is known by nothing.
async fn word(
    store: &Store,
    actor: &Actor,
    contact: &Contact,
    wants: bool,
) -> Result<Option<OperatorWord>, StoreError> {
    let hasher = store.person_hasher().await?;
    let by_phone = contact.phone.as_ref().map(|phone| hasher.of_phone(phone));
    let by_id = contact.user_id.as_deref().map(|id| hasher.of_user(id));
    let people: Vec<PersonHash> = by_phone.into_iter().chain(by_id).collect();
    let said = people.first().map(|person| Suppression {
        account: contact.account,
        person: *person,
        source: Source::Operator,
        scope: Scope::Marketing,
        lifted: wants,
        phone: contact.phone.clone(),
        user_id: contact.user_id.clone(),
        reason: format!("by {}", actor.name),
        occurred_at: clock::now(),
    });
    Ok(said.map(|said| OperatorWord { said, people }))
}

/// Conversations, with whom they are.
pub async fn conversations(
    store: &Store,
    actor: &Actor,
    (wanted, limit): (&WantedConversations, usize),
) -> Result<Page<Talk>, Refusal> {
    require(actor, Permission::ReadMessages)?;
    let filter = ConversationFilter {
        account: wanted.account,
        sender: wanted.sender,
        state: wanted.state,
        unattended: wanted.unattended,
        tag: Some(wanted.tag.trim().to_owned()).filter(|tag| !tag.is_empty()),
        before: wanted.before.as_deref().map(place).transpose()?.map(|(at, id)| (at, ConversationId(id))),
    };
    let (found, next) = store.conversations(&filter, limit).await?;
    Ok(Page { found, next: next.map(|(at, id)| format!("{}-{}", at.0, id.0)) })
}

pub async fn conversation(store: &Store, actor: &Actor, id: ConversationId) -> Result<Talk, Refusal> {
    require(actor, Permission::ReadMessages)?;
    store.conversation(id).await?.ok_or_else(no_conversation)
}

/// A contact's conversations, one for each number.
pub async fn conversations_with(store: &Store, actor: &Actor, id: ContactId) -> Result<Vec<Conversation>, Refusal> {
    require(actor, Permission::ReadMessages)?;
    Ok(store.conversations_of(&[id]).await?)
}

fn no_conversation() -> Refusal {
    let text = "there is no such conversation: it never was, was erased, or is older than the retention";
    Refusal::NotFound(text.to_owned())
}

/// Closes, blocks or opens a conversation.
pub async fn decide(store: &Store, actor: &Actor, id: ConversationId, wish: Wish) -> Result<Talk, Refusal> {
    require(actor, Permission::ManageContacts)?;
    let before = conversation(store, actor, id).await?.conversation;
    if wish == Wish::Reopen && before.window_ends_at <= clock::now() {
        let text = "the person can not be answered freely any more: the next message of the person opens it again";
        return Err(Refusal::Conflict(text.to_owned()));
    }
    let action = match wish {
        Wish::Close => "close conversation",
        Wish::Reopen => "reopen conversation",
        Wish::Block => "block conversation",
    };
    let mut after = before.clone();
    after.decide(wish, clock::now());
    let entry = AuditEntry::new(actor, action, format!("conversation {id}"))
        .before(json!({"state": before.state.as_str()}))
        .after(json!({"state": after.state.as_str()}));
    let changed = store.change_conversation(id, ConversationChange::Wish(wish), &entry).await?;
    changed.ok_or_else(no_conversation)
}

pub async fn tag_conversation(
    store: &Store,
    actor: &Actor,
    id: ConversationId,
    (add, remove): (&[String], &[String]),
) -> Result<Talk, Refusal> {
    require(actor, Permission::ManageContacts)?;
    let before = conversation(store, actor, id).await?.conversation.tags;
    let tags = before.changed(add, remove).map_err(|text| Refusal::Invalid { field: "add_tags", text })?;
    let entry = AuditEntry::new(actor, "tag conversation", format!("conversation {id}"))
        .before(json!({"tags": before}))
        .after(json!({"tags": tags}));
    let changed = store.change_conversation(id, ConversationChange::Tags(tags), &entry).await?;
    changed.ok_or_else(no_conversation)
}

/// By what a person is known, as somebody may see it.
pub fn who(actor: &Actor, contact: &Contact) -> String {
    let hidden = || match &contact.user_id {
        Some(id) if actor.may(Permission::ReadPersonal) => id.clone(),
        Some(_) | None => "who hides the number".to_owned(),
    };
    contact.phone.as_ref().map_or_else(hidden, |phone| masking::number(actor, phone))
}

/// The person whom a line of the log is about.
pub fn person(actor: &Actor, news: &PersonNews) -> Option<String> {
    let phone = news.contact.phone.as_deref().and_then(PhoneNumber::from_international);
    phone.map(|phone| masking::number(actor, &phone))
}

fn whole_number(snapshot: &Snapshot, account: Option<AccountKey>, text: &str) -> Option<PhoneNumber> {
    if !text.starts_with('+') {
        return None;
    }
    let account = account.and_then(|account| snapshot.account_by_key(account));
    PhoneNumber::parse(text, account.and_then(|account| account.policy.default_country.as_deref())).ok()
}

async fn with_wishes(store: &Store, contacts: Vec<Contact>) -> Result<Vec<Known>, StoreError> {
    if contacts.is_empty() {
        return Ok(vec![]);
    }
    let hasher = store.person_hasher().await?;
    let hash = |contact: &Contact| {
        let by_id = || hasher.of_user(contact.user_id.as_deref().unwrap_or_default());
        contact.phone.as_ref().map_or_else(by_id, |phone| hasher.of_phone(phone))
    };
    let hashes: Vec<PersonHash> = contacts.iter().map(hash).collect();
    let mut entries: HashMap<(AccountKey, PersonHash), Vec<Suppression>> = HashMap::new();
    for entry in store.suppressions_anywhere(&hashes).await? {
        entries.entry((entry.account, entry.person)).or_default().push(entry);
    }
    let known = |(contact, hash): (Contact, PersonHash)| {
        let opt_in = entries.get(&(contact.account, hash)).and_then(opt_in);
        Known { contact, opt_in }
    };
    Ok(contacts.into_iter().zip(hashes).map(known).collect())
}

fn place(text: &str) -> Result<(UnixMillis, i64), Refusal> {
    let parts = text.split_once('-').and_then(|(at, id)| Some((at.parse().ok()?, id.parse().ok()?)));
    let (at, id) = parts.ok_or_else(|| Refusal::Invalid {
        field: "before",
        text: format!("{text} is no place in a list: take `next` of the page before"),
    })?;
    Ok((UnixMillis(at), id))
}
