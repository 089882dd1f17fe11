//! Contacts: made and moved by what people write, in the commit that stores it; changed by whoever works with them.
//!
//! A batch reads each contact and conversation that it touches once, lets the domain decide what follows, and writes each back once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::{DbBackend, DbErr, QueryResult, Value};

use super::{
    DatabaseTransaction, Doing, Store, StoreError,
    audit::{self, AuditEntry},
    conversations, events,
    events::NewEvent,
    exchanges::containing,
    execute_rows,
    moved_people::{self, Moved},
    people::ReceivedLink,
    people_news::{self, News},
    query, query_rows, suppressions,
    suppressions::OperatorWord,
};
use crate::domain::{
    contact::{Contact, ContactId, Tags},
    conversation::{Conversation, ConversationId},
    event_name::EventName,
    ids::{AccountKey, MessageIds, SenderKey},
    phone::PhoneNumber,
    suppression::PersonHasher,
    time::UnixMillis,
};

/// A person's message, as far as contacts need it.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) account: AccountKey,
    pub(super) sender: SenderKey,
    pub(super) phone: Option<PhoneNumber>,
    pub(super) user_id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) at: UnixMillis,
}

impl Heard {
    fn who(&self) -> Option<String> {
        self.phone.as_ref().map(|phone| phone.as_e164().to_owned()).or_else(|| self.user_id.clone())
    }
}

/// Which contacts; what is not named fits everything.
#[derive(Clone, Debug, Default)]
pub struct ContactFilter {
    pub account: Option<AccountKey>,
    /// Stands in the name or the number, whatever the case.
    pub text: Option<String>,
    pub tag: Option<String>,
    /// Only those behind this one: the next page.
    pub before: Option<(UnixMillis, ContactId)>,
}

/// Rows that are looked at for one page, however few fit.
pub(super) const SLICE_ROWS: usize = 20_000;

pub(super) const COLUMNS: &str =
    "c.id, c.account, c.phone, c.user_id, c.name, c.name_is_ours, c.tags, c.first_seen_at, c.last_seen_at";

/// Takes in who wrote, by what people are known from now on, and who has another number; gives back what webhooks are told of it.
pub(super) async fn take(
    transaction: &DatabaseTransaction,
    links: &[ReceivedLink],
    (heard, moves): (Vec<Heard>, &[Moved]),
    hasher: impl Fn() -> Result<PersonHasher, DbErr>,
    (ids, now): (&MessageIds, UnixMillis),
) -> Result<Vec<NewEvent>, DbErr> {
    let mut news = moved_people::give_numbers(transaction, links).await?;
    news.extend(meet(transaction, heard, (ids, now)).await?);
    news.extend(moved_people::rename(transaction, moves).await?);
    people_news::lines(transaction, news, hasher).await
}

async fn meet(
    transaction: &DatabaseTransaction,
    heard: Vec<Heard>,
    (ids, now): (&MessageIds, UnixMillis),
) -> Result<Vec<News>, DbErr> {
    // In the order of their keys, so that two instances cannot wait for each other.
    let mut people: BTreeMap<(String, AccountKey), Vec<Heard>> = BTreeMap::new();
    for one in heard {
        let Some(who) = one.who() else { continue };
        people.entry((who, one.account)).or_default().push(one);
    }
    if people.is_empty() {
        return Ok(vec![]);
    }
    let mut known = by_who(transaction, people.keys().cloned().collect()).await?;
    let mut news = Vec::new();
    let (mut created, mut moved) = (Vec::new(), Vec::new());
    for (who, said) in &people {
        let first = said.iter().map(|one| one.at).min().unwrap_or(now);
        let is_new = !known.contains_key(who);
        let contact = known.entry(who.clone()).or_insert_with(|| Contact {
            id: ContactId(ids.next(now).0),
            account: who.1,
            phone: said.iter().find_map(|one| one.phone.clone()),
            user_id: None,
            name: None,
            name_is_ours: false,
            tags: Tags::default(),
            first_seen: first,
            last_seen: first,
        });
        let (mut changed, before) = (false, contact.clone());
        for one in said {
            changed |= contact.heard(one.user_id.as_deref(), one.name.as_deref(), one.at);
        }
        let at = contact.last_seen;
        if is_new {
            created.push(who.clone());
        } else {
            moved.push(contact.clone());
            let sender = said.first().map(|one| one.sender);
            let updated = || News::of_contact(EventName::ContactUpdated, contact, sender, at).since(&before);
            news.extend(changed.then(updated));
        }
    }
    write(transaction, &moved).await?;
    for who in insert(transaction, &mut known, &created).await? {
        let sender = people.get(&who).and_then(|said| said.first()).map(|one| one.sender);
        let contact = &known[&who];
        news.push(News::of_contact(EventName::ContactCreated, contact, sender, contact.first_seen));
    }
    let talks = people.into_iter().filter_map(|(who, said)| Some((known.get(&who)?.clone(), said)));
    news.extend(talk(transaction, talks.collect(), (ids, now)).await?);
    Ok(news)
}

/// The conversations that these messages belong to.
async fn talk(
    transaction: &DatabaseTransaction,
    people: Vec<(Contact, Vec<Heard>)>,
    (ids, now): (&MessageIds, UnixMillis),
) -> Result<Vec<News>, DbErr> {
    let mut said: BTreeMap<(ContactId, SenderKey), (&Contact, Vec<UnixMillis>)> = BTreeMap::new();
    for (contact, heard) in &people {
        for one in heard {
            said.entry((contact.id, one.sender)).or_insert((contact, vec![])).1.push(one.at);
        }
    }
    let mut known = conversations::of(transaction, said.keys().copied().collect()).await?;
    let mut news = Vec::new();
    let (mut begun, mut moved) = (Vec::new(), Vec::new());
    for (key, (contact, mut moments)) in said {
        moments.sort_unstable();
        let before = known.get(&key).cloned();
        let first = moments.first().copied().unwrap_or(now);
        let talk = known
            .entry(key)
            .or_insert_with(|| Conversation::begun(ConversationId(ids.next(now).0), contact.account, key, first));
        let mut happened: BTreeSet<EventName> =
            moments.into_iter().flat_map(|moment| talk.heard(moment, now)).collect();
        if before.is_some() {
            moved.push(talk.clone());
        } else {
            happened.insert(EventName::ConversationCreated);
            begun.push(talk.clone());
        }
        news.extend(News::of_conversation(&happened, contact, (before.as_ref(), talk), talk.last_inbound_at));
    }
    conversations::write(transaction, &moved).await?;
    conversations::insert(transaction, &begun).await?;
    Ok(news)
}

/// Contacts by what makes them one, locked where rows can be.
pub(super) async fn by_who(
    transaction: &DatabaseTransaction,
    people: BTreeSet<(String, AccountKey)>,
) -> Result<HashMap<(String, AccountKey), Contact>, DbErr> {
    let rows: Vec<[Value; 2]> = people.into_iter().map(|(who, account)| [who.into(), account.0.into()]).collect();
    let tail = format!(
        ") AS v CROSS JOIN contacts AS c WHERE c.who = v.column1 AND c.account = v.column2{}",
        locked(transaction, "c.who, c.account", "c")
    );
    let rows = query_rows(transaction, &format!("SELECT {COLUMNS} FROM ("), rows, &tail).await?;
    let found = rows.iter().map(contact).map(|found| found.map(|contact| ((contact.who(), contact.account), contact)));
    found.collect()
}

/// Where rows can be locked, everybody locks them in the same order.
pub(super) fn locked(transaction: &DatabaseTransaction, order: &str, table: &str) -> String {
    use sea_orm::ConnectionTrait as _;
    if transaction.get_database_backend() == DbBackend::Sqlite {
        return String::new();
    }
    format!(" ORDER BY {order} FOR UPDATE OF {table}")
}

/// Says which are new; one that another instance made meanwhile is that one.
async fn insert(
    transaction: &DatabaseTransaction,
    known: &mut HashMap<(String, AccountKey), Contact>,
    created: &[(String, AccountKey)],
) -> Result<Vec<(String, AccountKey)>, DbErr> {
    let row = |who: &(String, AccountKey)| -> [Value; 10] {
        let contact = &known[who];
        [
            contact.id.0.into(),
            contact.account.0.into(),
            who.0.clone().into(),
            contact.phone.as_ref().map(|phone| phone.as_e164().to_owned()).into(),
            contact.user_id.clone().into(),
            contact.name.clone().into(),
            contact.name_is_ours.into(),
            contact.tags.to_json().into(),
            contact.first_seen.0.into(),
            contact.last_seen.0.into(),
        ]
    };
    let rows = created.iter().map(row).collect();
    let written = query_rows(
        transaction,
        "INSERT INTO contacts (id, account, who, phone, user_id, name, name_is_ours, tags, first_seen_at, last_seen_at)",
        rows,
        " ON CONFLICT (who, account) DO UPDATE SET last_seen_at = excluded.last_seen_at RETURNING id, who, account",
    )
    .await?;
    let mut new = Vec::with_capacity(written.len());
    for row in &written {
        let who = (row.try_get("", "who")?, AccountKey(row.try_get("", "account")?));
        let id = ContactId(row.try_get("", "id")?);
        let Some(contact) = known.get_mut(&who) else { continue };
        if contact.id == id {
            new.push(who);
        }
        contact.id = id;
    }
    Ok(new)
}

pub(super) async fn write(transaction: &DatabaseTransaction, contacts: &[Contact]) -> Result<(), DbErr> {
    let row = |contact: &Contact| -> [Value; 6] {
        [
            contact.id.0.into(),
            contact.user_id.clone().into(),
            contact.name.clone().into(),
            contact.name_is_ours.into(),
            contact.tags.to_json().into(),
            contact.last_seen.0.into(),
        ]
    };
    execute_rows(
        transaction,
        "UPDATE contacts SET user_id = v.column2, name = v.column3, name_is_ours = v.column4, tags = v.column5, \
         last_seen_at = v.column6 FROM (",
        contacts.iter().map(row).collect(),
        ") AS v WHERE contacts.id = v.column1",
    )
    .await
    .map(drop)
}

/// What somebody changes of a contact; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct ContactChange {
    /// Empty: that of the profile, from the next message on.
    pub name: Option<String>,
    pub tags: Option<Tags>,
    /// What the person wants, with its own line in the audit log.
    pub word: Option<(OperatorWord, AuditEntry)>,
}

impl Store {
    /// Contacts, those who wrote last first, and where the next page begins: no more than [`SLICE_ROWS`] are looked at.
    pub async fn contacts(
        &self,
        filter: &ContactFilter,
        limit: usize,
    ) -> Result<(Vec<Contact>, Option<(UnixMillis, ContactId)>), StoreError> {
        let doing = "list contacts";
        let (last_seen, id) = filter.before.unwrap_or((UnixMillis(i64::MAX), ContactId(i64::MAX)));
        let mut values: Vec<Value> = vec![last_seen.0.into(), id.0.into()];
        let mut only = String::new();
        let mut bind = |value: Value| {
            values.push(value);
            values.len()
        };
        if let Some(account) = filter.account {
            only.push_str(&format!(" AND c.account = ${}", bind(account.0.into())));
        }
        if let Some(text) = &filter.text {
            let place = bind(containing(text).into());
            only.push_str(&format!(
                " AND (LOWER(c.name) LIKE ${place} ESCAPE '\\' OR c.phone LIKE ${place} ESCAPE '\\')"
            ));
        }
        if let Some(tag) = &filter.tag {
            let quoted = serde_json::to_string(tag).expect("a text is JSON");
            only.push_str(&format!(" AND LOWER(c.tags) LIKE ${} ESCAPE '\\'", bind(containing(&quoted).into())));
        }
        let slice =
            "contacts WHERE last_seen_at <= $1 AND (last_seen_at, id) < ($1, $2) ORDER BY last_seen_at DESC, id DESC";
        let sql = format!(
            "SELECT {COLUMNS} FROM (SELECT * FROM {slice} LIMIT {SLICE_ROWS}) AS c WHERE TRUE{only} \
             ORDER BY c.last_seen_at DESC, c.id DESC LIMIT {}",
            limit + 1
        );
        let rows = query(self.reader(), sql, values).await;
        let mut found: Vec<Contact> = rows.and_then(|rows| rows.iter().map(contact).collect()).doing(doing)?;
        if found.len() > limit {
            found.truncate(limit);
            let next = found.last().map(|last| (last.last_seen, last.id));
            return Ok((found, next));
        }
        let sql = format!("SELECT last_seen_at, id FROM {slice} LIMIT 1 OFFSET {}", SLICE_ROWS - 1);
        let rows = query(self.reader(), sql, vec![last_seen.0.into(), id.0.into()]).await.doing(doing)?;
        let read = |row: &QueryResult| -> Result<_, DbErr> {
            Ok((UnixMillis(row.try_get("", "last_seen_at")?), ContactId(row.try_get("", "id")?)))
        };
        let next = rows.first().map(read).transpose().doing(doing)?;
        Ok((found, next))
    }

    pub async fn contact(&self, id: ContactId) -> Result<Option<Contact>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM contacts AS c WHERE c.id = $1");
        let rows = query(self.reader(), sql, vec![id.0.into()]).await;
        rows.and_then(|rows| rows.first().map(contact).transpose()).doing("look up a contact")
    }

    /// Changes a contact: `None` when there is none. `entry` tells of name and tags.
    pub async fn change_contact(
        &self,
        id: ContactId,
        change: ContactChange,
        entry: &AuditEntry,
    ) -> Result<Option<Contact>, StoreError> {
        let doing = "change a contact";
        let hasher = self.person_hasher().await?.clone();
        let transaction = self.begin().await.doing(doing)?;
        let Some(before) = locked_contact(&transaction, id).await.doing(doing)? else { return Ok(None) };
        let mut after = before.clone();
        if let Some(name) = change.name {
            after.name_is_ours = !name.is_empty();
            after.name = Some(name).filter(|name| !name.is_empty()).or(after.name);
        }
        after.tags = change.tags.unwrap_or(after.tags);
        let mut lines = Vec::new();
        if after != before {
            write(&transaction, std::slice::from_ref(&after)).await.doing(doing)?;
            audit::append(&transaction, entry, self.now()).await.doing(doing)?;
            let news = changed(&before, &after, self.now());
            lines.extend(people_news::lines(&transaction, news, || Ok(hasher)).await.doing(doing)?);
        }
        if let Some((word, entry)) = change.word {
            lines.extend(suppressions::say(&transaction, &word).await.doing(doing)?);
            audit::append(&transaction, &entry, self.now()).await.doing(doing)?;
        }
        events::append(&transaction, lines, self.now()).await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(Some(after))
    }

    /// The contacts of one person, by number and ids, at these accounts.
    pub async fn contacts_of(&self, who: &[String], accounts: &[AccountKey]) -> Result<Vec<Contact>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM contacts AS c WHERE c.who IN ({}) AND c.account IN ({}) ORDER BY c.id",
            places(who.len()),
            listed(accounts)
        );
        let rows = query(self.reader(), sql, texts(who)).await;
        rows.and_then(|rows| rows.iter().map(contact).collect()).doing("look up a person's contacts")
    }

    /// Erases them with their conversations; says how many.
    pub async fn erase_contacts(&self, contacts: &[ContactId]) -> Result<u64, StoreError> {
        let doing = "erase contacts";
        let rows = || contacts.iter().map(|id| [id.0.into()]).collect::<Vec<[Value; 1]>>();
        let transaction = self.begin().await.doing(doing)?;
        execute_rows(&transaction, "DELETE FROM conversations WHERE contact IN (", rows(), ")").await.doing(doing)?;
        let gone = execute_rows(&transaction, "DELETE FROM contacts WHERE id IN (", rows(), ")").await.doing(doing)?;
        transaction.commit().await.doing(doing)?;
        Ok(gone)
    }

    /// Forgets contacts who last wrote before `before`, at most `limit`, with their conversations; says how many.
    pub async fn forget_contacts(&self, before: UnixMillis, limit: usize) -> Result<usize, StoreError> {
        let sql = format!("SELECT id FROM contacts WHERE last_seen_at < $1 ORDER BY last_seen_at LIMIT {limit}");
        let rows = query(self.reader(), sql, vec![before.0.into()]).await;
        let ids = rows.and_then(|rows| rows.iter().map(|row| row.try_get("", "id").map(ContactId)).collect());
        let ids: Vec<ContactId> = ids.doing("look for old contacts")?;
        self.erase_contacts(&ids).await.map(|gone| usize::try_from(gone).unwrap_or(usize::MAX))
    }
}

fn changed(before: &Contact, after: &Contact, now: UnixMillis) -> Vec<News> {
    let of = |name| News::of_contact(name, after, None, now).since(before);
    let mut news = Vec::new();
    if before.name != after.name {
        news.push(of(EventName::ContactUpdated));
    }
    news.extend(of(EventName::ContactTagMapped).with_tags(after.tags.without(&before.tags)));
    news.extend(of(EventName::ContactTagUnmapped).with_tags(before.tags.without(&after.tags)));
    news
}

pub(super) async fn locked_contact(transaction: &DatabaseTransaction, id: ContactId) -> Result<Option<Contact>, DbErr> {
    let sql = format!("SELECT {COLUMNS} FROM contacts AS c WHERE c.id = $1{}", locked(transaction, "c.id", "c"));
    query(transaction, sql, vec![id.0.into()]).await?.first().map(contact).transpose()
}

pub(super) fn contact(row: &QueryResult) -> Result<Contact, DbErr> {
    let phone: Option<String> = row.try_get("", "phone")?;
    let tags: String = row.try_get("", "tags")?;
    Ok(Contact {
        id: ContactId(row.try_get("", "id")?),
        account: AccountKey(row.try_get("", "account")?),
        phone: phone.as_deref().and_then(PhoneNumber::from_international),
        user_id: row.try_get("", "user_id")?,
        name: row.try_get("", "name")?,
        name_is_ours: row.try_get("", "name_is_ours")?,
        tags: Tags::from_json(&tags),
        first_seen: UnixMillis(row.try_get("", "first_seen_at")?),
        last_seen: UnixMillis(row.try_get("", "last_seen_at")?),
    })
}

fn places(count: usize) -> String {
    (1..=count).map(|place| format!("${place}")).collect::<Vec<_>>().join(",")
}

fn texts(all: &[String]) -> Vec<Value> {
    all.iter().map(|text| text.as_str().into()).collect()
}

fn listed(accounts: &[AccountKey]) -> String {
    let keys = accounts.iter().map(|account| account.0.to_string());
    std::iter::once("-1".to_owned()).chain(keys).collect::<Vec<_>>().join(",")
}
