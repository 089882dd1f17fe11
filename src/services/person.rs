//! One person's data: finding it, handing it over, erasing it.
//!
//! First come the provider's ids of the person: who hides the number writes under one of them. Messages name their recipient, so they are found by it. What people write, what was refused and what could not be
//! read is kept as it came: the database finds what contains the number, and the dialect it is written in says whether
//! it is about the person. What nobody can read counts as about the person when it contains the number.

pub mod export;
pub mod requests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{directory::Snapshot, media::deletion::Deletion, suppressions::KNOWN_WITHIN};
use crate::{
    clock,
    domain::{
        account::Account,
        contact::{Contact, ContactId},
        ids::{AccountKey, ConnectionKey, MessageId, SenderKey},
        inbound::InboundContent,
        phone::PhoneNumber,
        suppression::{PersonHash, Scope, Source, Suppression},
    },
    platforms, providers,
    store::{
        Store, StoreError,
        files::Files,
        forget::{Document, ErasedMessages},
        media::{MediaOwner, MediaRow},
        people::PersonLinkRow,
        person::{InboundEntry, KeptPart, RefusedEntry, Walk, WalkedTable},
        story::StoredMessage,
    },
};

/// A person, and where to look.
pub struct Person {
    pub store: Store,
    pub snapshot: Arc<Snapshot>,
    pub phone: PhoneNumber,
    pub accounts: Vec<Arc<Account>>,
    /// By which ids the accounts know the person.
    pub links: Vec<PersonLinkRow>,
    /// The provider's ids of the person, as far as they are known, from wherever.
    pub user_ids: Vec<String>,
}

/// What was erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Queued messages that were taken back, and reported as failed.
    pub cancelled: usize,
    pub messages: ErasedMessages,
    pub inbound: u64,
    pub refused: u64,
    pub kept_parts: u64,
    /// Files that the person sent. What was being copied, or could not be deleted, goes with the next housekeeping.
    pub files: usize,
    /// Contacts, with their conversations.
    pub contacts: u64,
    /// Ids by which the person was known.
    pub links: u64,
    /// Entries of the suppression list: deleted, or left as hashes.
    pub suppressions: u64,
}

impl Erased {
    /// Nothing was stored, but for what stays.
    pub fn is_nothing(&self) -> bool {
        let Self { cancelled, messages, inbound, refused, kept_parts, files, contacts, links, suppressions: _ } = self;
        *cancelled + *files + messages.deleted + messages.emptied == 0
            && *inbound + *refused + *kept_parts + *contacts + *links == 0
    }

    pub fn to_json(&self) -> Value {
        let Self { cancelled, messages, inbound, refused, kept_parts, files, contacts, links, suppressions } = self;
        json!({
            "cancelled": cancelled, "messages_deleted": messages.deleted, "messages_emptied": messages.emptied,
            "messages_being_sent": messages.busy, "inbound": inbound, "refused_requests": refused,
            "webhook_parts": kept_parts, "files": files, "contacts": contacts, "ids": links, "suppressions": suppressions,
        })
    }

    /// The reverse, for whoever goes on with an erasure; what is not there counts as nothing.
    pub fn from_json(counts: &Value) -> Self {
        let count = |name: &str| counts[name].as_u64().unwrap_or(0);
        let some = |name: &str| usize::try_from(count(name)).unwrap_or(usize::MAX);
        Self {
            cancelled: some("cancelled"),
            messages: ErasedMessages {
                deleted: some("messages_deleted"),
                emptied: some("messages_emptied"),
                busy: some("messages_being_sent"),
            },
            inbound: count("inbound"),
            refused: count("refused_requests"),
            kept_parts: count("webhook_parts"),
            files: some("files"),
            contacts: count("contacts"),
            links: count("ids"),
            suppressions: count("suppressions"),
        }
    }
}

/// Messages erased in one transaction.
const MESSAGES_PER_STEP: usize = 500;
/// Files deleted between two pauses.
const FILES_PER_STEP: usize = 100;
/// Files told of under one name; nobody sends so many.
const FILES_MAX: usize = 100_000;
/// Between two steps, for everybody else.
const PAUSE: Duration = Duration::from_millis(20);
/// How long to wait until a running server has told everybody that messages were taken back.
const TELLING_MAX: Duration = Duration::from_secs(10);
const TELLING_LOOK_EVERY: Duration = Duration::from_millis(200);
/// Told to the platform of messages that were taken back.
const CANCELLED: &str = "the person's data was erased";

impl Person {
    /// Looks the person up; nothing is walked through yet.
    pub async fn find(
        store: Store,
        snapshot: Arc<Snapshot>,
        phone: PhoneNumber,
        accounts: Vec<Arc<Account>>,
    ) -> Result<Self, StoreError> {
        let hash = store.person_hasher().await?.of_phone(&phone);
        let links = store.links_of(&phone).await?;
        let entries = store.suppressions_anywhere(&[hash]).await?;
        let of_links = links.iter().map(|link| link.user_id.clone());
        let user_ids: BTreeSet<String> =
            of_links.chain(entries.into_iter().filter_map(|entry| entry.user_id)).collect();
        let mut person = Self { store, snapshot, phone, accounts, links, user_ids: user_ids.into_iter().collect() };
        let asked: Vec<AccountKey> = person.accounts.iter().map(|account| account.key).collect();
        person.links.retain(|link| asked.contains(&link.account));
        Ok(person)
    }

    pub async fn hashes(&self) -> Result<Vec<PersonHash>, StoreError> {
        let hasher = self.store.person_hasher().await?;
        let users = self.user_ids.iter().map(|id| hasher.of_user(id));
        Ok(std::iter::once(hasher.of_phone(&self.phone)).chain(users).collect())
    }

    pub async fn suppressions(&self) -> Result<Vec<Suppression>, StoreError> {
        let found = self.store.suppressions_anywhere(&self.hashes().await?).await?;
        Ok(found.into_iter().filter(|entry| self.is_asked_about(entry.account)).collect())
    }

    pub async fn next_messages(&self, walk: &mut Walk) -> Result<Option<Vec<StoredMessage>>, StoreError> {
        let messages = self.store.next_messages_to(walk, &self.phone).await?;
        Ok(messages.map(|all| all.into_iter().filter(|one| self.is_asked_about(one.account)).collect()))
    }

    pub async fn next_inbound(&self, walk: &mut Walk) -> Result<Option<Vec<InboundEntry>>, StoreError> {
        let entries = self.store.next_inbound_with(walk, &self.phone, &self.texts()).await?;
        Ok(entries.map(|all| all.into_iter().filter(|entry| self.wrote(entry)).collect()))
    }

    /// The files that the person sent.
    pub async fn files(&self) -> Result<Vec<MediaRow>, StoreError> {
        let mut files = BTreeMap::new();
        for (account, owner) in self.owners() {
            let found = self.store.media_from(Some(account), owner, FILES_MAX).await?;
            files.extend(found.into_iter().map(|file| (file.id, file)));
        }
        Ok(files.into_values().collect())
    }

    /// Under which names files of the person are kept, and where.
    fn owners(&self) -> impl Iterator<Item = (AccountKey, MediaOwner<'_>)> {
        self.accounts.iter().flat_map(|account| {
            let ids = self.user_ids.iter().map(|id| MediaOwner::UserId(id));
            std::iter::once(MediaOwner::Number(&self.phone)).chain(ids).map(|owner| (account.key, owner))
        })
    }

    pub async fn next_refused(&self, walk: &mut Walk) -> Result<Option<Vec<RefusedEntry>>, StoreError> {
        let entries = self.store.next_refused(walk).await?;
        Ok(entries.map(|all| all.into_iter().filter(|entry| self.was_meant(entry)).collect()))
    }

    pub async fn next_kept_parts(&self, walk: &mut Walk) -> Result<Option<Vec<KeptPart>>, StoreError> {
        let parts = self.store.next_kept_parts_with(walk, &self.texts()).await?;
        let senders = self.snapshot.senders_ever().filter(|sender| self.is_asked_about(sender.account));
        let ours: Vec<ConnectionKey> = senders.map(|sender| sender.connection.key).collect();
        Ok(parts.map(|all| {
            all.into_iter().filter(|part| ours.contains(&part.connection) && self.is_named_in(&part.entry)).collect()
        }))
    }

    /// All that is walked through, one after the other.
    pub fn tables(&self) -> Vec<WalkedTable> {
        let logs = self.accounts.iter().map(|account| WalkedTable::Events(account.key));
        logs.chain([WalkedTable::Messages, WalkedTable::RefusedRequests, WalkedTable::Unrecognized]).collect()
    }

    fn is_asked_about(&self, account: AccountKey) -> bool {
        self.accounts.iter().any(|asked| asked.key == account)
    }

    /// What an entry about the person contains.
    fn texts(&self) -> Vec<String> {
        std::iter::once(self.phone.digits().to_owned()).chain(self.user_ids.iter().cloned()).collect()
    }

    fn wrote(&self, inbound: &InboundEntry) -> bool {
        if inbound.person.as_deref() == Some(self.phone.as_e164()) {
            return true;
        }
        let sender = self.snapshot.sender(inbound.sender);
        let read = sender.and_then(|sender| {
            let provider = providers::find(&sender.connection.provider)?;
            Some(provider.parse_inbound(&sender.connection, &inbound.entry))
        });
        match read {
            Some(Ok(message)) => {
                message.from.as_ref() == Some(&self.phone)
                    || message.from_user_id.as_ref().is_some_and(|id| self.user_ids.contains(id))
                    || matches!(&message.content, InboundContent::NumberChanged { to: Some(to), .. } if *to == self.phone)
            }
            Some(Err(_)) | None => self.is_named_in(&inbound.entry),
        }
    }

    fn was_meant(&self, refused: &RefusedEntry) -> bool {
        let Some(account) = self.accounts.iter().find(|account| account.key == refused.account) else { return false };
        let read = platforms::find(&account.platform).map(|platform| platform.parse_send(account, &refused.request));
        match read {
            Some(Ok(request)) => {
                let to = PhoneNumber::parse(&request.to, account.policy.default_country.as_deref());
                to.is_ok_and(|to| to == self.phone)
            }
            Some(Err(_)) | None => self.is_named_in(&String::from_utf8_lossy(&refused.request)),
        }
    }

    /// Whether the number, or an id of the person, stands in the text by itself and not within a longer one.
    fn is_named_in(&self, text: &str) -> bool {
        self.texts().iter().any(|wanted| {
            text.match_indices(wanted.as_str()).any(|(place, _)| {
                let before = text[..place].chars().next_back();
                let after = text[place + wanted.len()..].chars().next();
                let in_longer = |neighbour: Option<char>| neighbour.is_some_and(|c| c.is_ascii_digit());
                !in_longer(before) && !in_longer(after)
            })
        })
    }

    /// Erases everything. What is queued is taken back first, and reported as failed. Whoever had opted out stays on
    /// the suppression list by a hash alone; with `suppress` so does everybody else. What was erased `so_far`, by somebody who
    /// did not come to the end, is counted too. `progress` hears how far it is, from 0 to 1.
    pub async fn erase(
        &self,
        (files, copy_timeout): (&Files, Duration),
        suppress: bool,
        so_far: Erased,
        mut progress: impl FnMut(f64, &Erased),
    ) -> Result<Erased, StoreError> {
        // What was being sent then has come to its end, or is found again.
        let messages = ErasedMessages { busy: 0, ..so_far.messages };
        let mut erased = Erased { messages, ..so_far };
        if suppress {
            self.suppress().await?;
            // What is accepted by those who have not heard of it is then in the way of the walk, which takes it back.
            tokio::time::sleep(KNOWN_WITHIN).await;
        }
        let tables = self.tables();
        // The messages are walked through twice.
        let walks = (tables.len() + 1) as f64;
        let mut closed = Vec::new();
        let mut walk = self.store.walk(WalkedTable::Messages).await?;
        while let Some(messages) = self.next_messages(&mut walk).await? {
            for some in messages.chunks(MESSAGES_PER_STEP) {
                let taken_back = self.store.close_messages(some, CANCELLED).await?;
                erased.cancelled += taken_back.len();
                closed.extend(taken_back);
                progress(walk.share() / walks, &erased);
                tokio::time::sleep(PAUSE).await;
            }
        }
        closed.truncate(MESSAGES_PER_STEP);
        self.until_told(&closed).await?;
        for (done, table) in (1..).zip(tables) {
            let mut walk = self.store.walk(table).await?;
            while self.erase_slice(table, &mut walk, &mut erased).await? {
                progress((f64::from(done) + walk.share()) / walks, &erased);
                tokio::time::sleep(PAUSE).await;
            }
        }
        let deletion = Deletion { store: &self.store, files, copy_timeout, step: FILES_PER_STEP };
        for (account, owner) in self.owners() {
            erased.files += deletion.forget(Some(account), owner).await?;
        }
        let accounts: Vec<AccountKey> = self.accounts.iter().map(|account| account.key).collect();
        erased.suppressions = self.store.forget_suppressed(&accounts, &self.hashes().await?).await?;
        let senders = self.snapshot.senders_ever().filter(|sender| accounts.contains(&sender.account));
        let senders: Vec<SenderKey> = senders.map(|sender| sender.key).collect();
        self.store.erase_conversations(&senders, &self.phone).await?;
        let contacts: Vec<ContactId> = self.contacts().await?.iter().map(|contact| contact.id).collect();
        erased.contacts += self.store.erase_contacts(&contacts).await?;
        // Last, so that whoever tries again finds under which ids to look.
        erased.links = self.store.erase_links(&self.links).await?;
        Ok(erased)
    }

    /// `false` at the end of the table.
    async fn erase_slice(&self, table: WalkedTable, walk: &mut Walk, erased: &mut Erased) -> Result<bool, StoreError> {
        match table {
            WalkedTable::Messages => {
                let Some(messages) = self.next_messages(walk).await? else { return Ok(false) };
                let ids: Vec<MessageId> = messages.iter().map(|message| message.id).collect();
                for some in ids.chunks(MESSAGES_PER_STEP) {
                    let step = self.store.erase_messages(some).await?;
                    erased.messages.deleted += step.deleted;
                    erased.messages.emptied += step.emptied;
                    erased.messages.busy += step.busy;
                }
            }
            WalkedTable::Events(_) => {
                let from = walk.reached();
                let Some(entries) = self.next_inbound(walk).await? else { return Ok(false) };
                if let WalkedTable::Events(account) = table {
                    self.store.erase_news(account, (from, walk.reached()), &self.phone, &self.user_ids).await?;
                }
                erased.inbound += self.store.erase_inbound(&entries).await?;
            }
            WalkedTable::RefusedRequests => {
                let Some(entries) = self.next_refused(walk).await? else { return Ok(false) };
                let ids: Vec<MessageId> = entries.iter().map(|entry| entry.id).collect();
                erased.refused += self.store.erase_documents(Document::RefusedRequest, &ids).await?;
            }
            WalkedTable::Unrecognized => {
                let Some(parts) = self.next_kept_parts(walk).await? else { return Ok(false) };
                let ids: Vec<MessageId> = parts.iter().map(|part| part.id).collect();
                erased.kept_parts += self.store.erase_documents(Document::KeptPart, &ids).await?;
            }
        }
        Ok(true)
    }

    /// How the accounts know the person as a contact.
    pub async fn contacts(&self) -> Result<Vec<Contact>, StoreError> {
        let who: Vec<String> =
            std::iter::once(self.phone.as_e164().to_owned()).chain(self.user_ids.iter().cloned()).collect();
        let accounts: Vec<AccountKey> = self.accounts.iter().map(|account| account.key).collect();
        self.store.contacts_of(&who, &accounts).await
    }

    /// From now on nothing is sent to the person.
    async fn suppress(&self) -> Result<(), StoreError> {
        let person = self.store.person_hasher().await?.of_phone(&self.phone);
        let entry = |account: &Arc<Account>| Suppression {
            account: account.key,
            person,
            source: Source::Operator,
            scope: Scope::All,
            lifted: false,
            phone: Some(self.phone.clone()),
            user_id: None,
            reason: "the person's data was erased".to_owned(),
            occurred_at: clock::now(),
        };
        self.store.change_suppressions(self.accounts.iter().map(entry).collect(), None).await.map(drop)
    }

    /// Waits until a running server has told of these messages, or the time is over.
    async fn until_told(&self, closed: &[MessageId]) -> Result<(), StoreError> {
        let started = Instant::now();
        while !closed.is_empty() && started.elapsed() < TELLING_MAX && self.store.is_owed(closed).await? {
            tokio::time::sleep(TELLING_LOOK_EVERY).await;
        }
        Ok(())
    }
}

/// A provider's or platform's document, as JSON where it is.
pub fn as_json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}
