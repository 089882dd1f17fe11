//! All that is stored about one person, as one document that is written while it is found: it may be longer than memory.

use std::{borrow::Cow, collections::VecDeque};

use serde_json::{Value, json};

use super::{Person, as_json};
use crate::{
    domain::{
        contact::Contact,
        conversation::Conversation,
        ids::{AccountKey, SenderKey},
        suppression::Suppression,
        webhook_people::ConversationFacts,
    },
    services::directory::Snapshot,
    store::{
        StoreError,
        events::LoggedEvent,
        media::MediaRow,
        people::PersonLinkRow,
        person::{InboundEntry, KeptPart, RefusedEntry, Walk, WalkedTable},
        story::StoredMessage,
    },
};

/// What is handed over, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Suppressions,
    Ids,
    Files,
    Contacts,
    Inbound,
    Messages,
    RefusedRequests,
    WebhookParts,
}

impl Section {
    pub const ALL: [Self; 8] = [
        Self::Suppressions,
        Self::Ids,
        Self::Files,
        Self::Contacts,
        Self::Inbound,
        Self::Messages,
        Self::RefusedRequests,
        Self::WebhookParts,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Suppressions => "suppressions",
            Self::Ids => "ids",
            Self::Files => "files",
            Self::Contacts => "contacts",
            Self::Inbound => "inbound",
            Self::Messages => "messages",
            Self::RefusedRequests => "refused_requests",
            Self::WebhookParts => "webhook_parts",
        }
    }
}

/// One thing that is stored.
#[derive(Debug)]
pub enum Item {
    Suppression(Suppression),
    Id(PersonLinkRow),
    File(Box<MediaRow>),
    Contact(Box<Contact>, Vec<Conversation>),
    Inbound(InboundEntry),
    Message(Box<StoredMessage>, Vec<LoggedEvent>),
    Refused(RefusedEntry),
    KeptPart(KeptPart),
}

/// Everything, batch by batch.
pub struct Export {
    person: Person,
    /// What is still to be gone through.
    left: VecDeque<(Section, Source)>,
    share: f64,
}

/// Where a section's items come from.
enum Source {
    /// A few rows, found by an index.
    Few,
    Table(WalkedTable),
    Walk(Walk),
}

impl Export {
    pub fn new(person: Person) -> Self {
        let few = [Section::Suppressions, Section::Ids, Section::Files, Section::Contacts]
            .map(|section| (section, Source::Few));
        let mut tables: Vec<(Section, Source)> =
            person.tables().into_iter().map(|table| (section_of(table), Source::Table(table))).collect();
        tables.sort_by_key(|(section, _)| Section::ALL.iter().position(|one| one == section));
        Self { person, left: few.into_iter().chain(tables).collect(), share: 0.0 }
    }

    pub fn person(&self) -> &Person {
        &self.person
    }

    /// How much of the table that is gone through is behind, from 0 to 1.
    pub fn share(&self) -> f64 {
        self.share
    }

    /// Some more items of a section, or none of them: sections come in their order, each as often as it has to. `None` at the end.
    pub async fn next(&mut self) -> Result<Option<(Section, Vec<Item>)>, StoreError> {
        loop {
            let Some((section, source)) = self.left.pop_front() else { return Ok(None) };
            let mut walk = match source {
                Source::Few => return Ok(Some((section, self.few(section).await?))),
                Source::Table(table) => self.person.store.walk(table).await?,
                Source::Walk(walk) => walk,
            };
            if let Some(items) = self.slice(section, &mut walk).await? {
                self.share = walk.share();
                self.left.push_front((section, Source::Walk(walk)));
                return Ok(Some((section, items)));
            }
        }
    }

    async fn few(&self, section: Section) -> Result<Vec<Item>, StoreError> {
        Ok(match section {
            Section::Suppressions => self.person.suppressions().await?.into_iter().map(Item::Suppression).collect(),
            Section::Ids => self.person.links.iter().cloned().map(Item::Id).collect(),
            Section::Files => self.person.files().await?.into_iter().map(|file| Item::File(Box::new(file))).collect(),
            Section::Contacts => self.contacts().await?,
            Section::Inbound | Section::Messages | Section::RefusedRequests | Section::WebhookParts => vec![],
        })
    }

    async fn contacts(&self) -> Result<Vec<Item>, StoreError> {
        let contacts = self.person.contacts().await?;
        let mut items = Vec::with_capacity(contacts.len());
        for contact in contacts {
            let conversations = self.person.store.conversations_of(&[contact.id]).await?;
            items.push(Item::Contact(Box::new(contact), conversations));
        }
        Ok(items)
    }

    /// `None` at the end of the table.
    async fn slice(&self, section: Section, walk: &mut Walk) -> Result<Option<Vec<Item>>, StoreError> {
        let person = &self.person;
        let items = match section {
            Section::Messages => match person.next_messages(walk).await? {
                None => None,
                Some(messages) => {
                    let mut items = Vec::with_capacity(messages.len());
                    for message in messages {
                        let events = person.store.events_of(&message).await?;
                        items.push(Item::Message(Box::new(message), events));
                    }
                    Some(items)
                }
            },
            Section::Inbound => {
                person.next_inbound(walk).await?.map(|all| all.into_iter().map(Item::Inbound).collect())
            }
            Section::RefusedRequests => {
                person.next_refused(walk).await?.map(|all| all.into_iter().map(Item::Refused).collect())
            }
            Section::WebhookParts => {
                person.next_kept_parts(walk).await?.map(|all| all.into_iter().map(Item::KeptPart).collect())
            }
            Section::Suppressions | Section::Ids | Section::Files | Section::Contacts => None,
        };
        Ok(items)
    }
}

/// Under which name a table's rows are handed over.
pub(super) fn section_of(table: WalkedTable) -> Section {
    match table {
        WalkedTable::Events(_) => Section::Inbound,
        WalkedTable::Messages => Section::Messages,
        WalkedTable::RefusedRequests => Section::RefusedRequests,
        WalkedTable::Unrecognized => Section::WebhookParts,
    }
}

/// Everything as one JSON object, piece by piece.
pub struct Document {
    export: Export,
    at: DocumentAt,
    found: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum DocumentAt {
    Start,
    /// How many of the sections are begun, and whether the last of them has an item.
    Section(usize, bool),
    End,
}

impl Document {
    pub fn new(person: Person) -> Self {
        Self { export: Export::new(person), at: DocumentAt::Start, found: 0 }
    }

    /// How many things were written.
    pub fn found(&self) -> usize {
        self.found
    }

    pub fn share(&self) -> f64 {
        self.export.share()
    }

    /// The next piece of the text; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<String>, StoreError> {
        let (mut begun, mut has_items) = match self.at {
            DocumentAt::Start => {
                self.at = DocumentAt::Section(0, false);
                return Ok(Some(format!("{{\n\"phone\": {}", json!(self.export.person.phone.as_e164()))));
            }
            DocumentAt::Section(begun, has_items) => (begun, has_items),
            DocumentAt::End => return Ok(None),
        };
        let mut text = String::new();
        let found = self.export.next().await?;
        let up_to = match &found {
            Some((section, _)) => Section::ALL.iter().position(|one| one == section).map_or(begun, |at| at + 1),
            None => Section::ALL.len(),
        };
        for section in Section::ALL.iter().take(up_to).skip(begun) {
            text.push_str(if begun > 0 { "\n],\n" } else { ",\n" });
            text.push_str(&format!("\"{}\": [", section.as_str()));
            (begun, has_items) = (begun + 1, false);
        }
        let Some((_, items)) = found else {
            self.at = DocumentAt::End;
            text.push_str("\n]\n}\n");
            return Ok(Some(text));
        };
        self.found += items.len();
        for item in &items {
            text.push_str(if has_items { ",\n" } else { "\n" });
            text.push_str(&Names(&self.export.person.snapshot).json(item).to_string());
            has_items = true;
        }
        self.at = DocumentAt::Section(begun, has_items);
        Ok(Some(text))
    }
}

/// Puts what was found into words.
pub struct Names<'a>(pub &'a Snapshot);

impl Names<'_> {
    pub fn account(&self, key: AccountKey) -> Cow<'_, str> {
        self.0.account_by_key(key).map_or(Cow::Borrowed("?"), |account| Cow::Owned(account.id.clone()))
    }

    pub fn number(&self, key: SenderKey) -> Cow<'_, str> {
        self.0.sender(key).map_or(Cow::Borrowed("?"), |sender| Cow::Owned(sender.number.as_e164().to_owned()))
    }

    pub fn json(&self, item: &Item) -> Value {
        match item {
            Item::Suppression(entry) => json!({
                "account": self.account(entry.account), "scope": entry.scope.as_str(), "source": entry.source.as_str(),
                "lifted": entry.lifted, "user_id": entry.user_id, "reason": entry.reason,
                "occurred_at": entry.occurred_at.to_string(),
            }),
            Item::Id(link) => json!({
                "account": self.account(link.account), "user_id": link.user_id, "seen_at": link.seen_at.to_string(),
            }),
            Item::File(file) => json!({
                "account": self.account(file.account), "number": self.number(file.sender),
                "received_at": file.id.made_at().to_string(), "kind": file.kind.as_str(), "mime_type": file.mime_type,
                "filename": file.filename, "size_bytes": file.size_bytes, "state": file.state.as_str(),
                "reason": file.reason,
            }),
            Item::Contact(contact, conversations) => json!({
                "account": self.account(contact.account), "id": contact.id.to_string(), "name": contact.name,
                "user_id": contact.user_id, "tags": contact.tags, "first_seen_at": contact.first_seen.to_string(),
                "last_seen_at": contact.last_seen.to_string(),
                "conversations": conversations.iter().map(|one| self.conversation(one)).collect::<Vec<_>>(),
            }),
            Item::Inbound(entry) => json!({
                "account": self.account(entry.account), "number": self.number(entry.sender),
                "occurred_at": entry.occurred_at.to_string(), "provider_message_id": entry.provider_message_id,
                "person": entry.person, "entry": as_json(&entry.entry),
            }),
            Item::Message(message, events) => self.message(message, events),
            Item::Refused(entry) => json!({
                "account": self.account(entry.account), "at": entry.id.made_at().to_string(), "kind": entry.kind,
                "answer": entry.answer, "request": as_json(&String::from_utf8_lossy(&entry.request)),
            }),
            Item::KeptPart(part) => json!({
                "at": part.id.made_at().to_string(), "reason": part.reason, "entry": as_json(&part.entry),
            }),
        }
    }

    fn conversation(&self, conversation: &Conversation) -> Value {
        json!({"number": self.number(conversation.sender), "conversation": ConversationFacts::of(conversation)})
    }

    fn message(&self, message: &StoredMessage, events: &[LoggedEvent]) -> Value {
        let event = |event: &LoggedEvent| {
            json!({
                "status": event.status.map(|status| status.as_str()), "occurred_at": event.occurred_at.to_string(),
                "failure": event.failure.as_ref().map(|failure| failure.text.as_str()),
                "entry": event.entry.as_deref().map(as_json),
            })
        };
        json!({
            "id": message.id.to_string(), "account": self.account(message.account), "number": self.number(message.sender),
            "platform_message_id": message.platform_message_id, "provider_message_id": message.provider_message_id,
            "accepted_at": message.id.made_at().to_string(), "category": message.category.as_str(),
            "template": message.template.as_ref().map(|(name, _)| name.as_str()),
            "language": message.template.as_ref().map(|(_, language)| language.as_str()),
            "state": message.state.as_str(), "delivery": message.delivery.map(|delivery| delivery.as_str()),
            "failure": message.failure.as_ref().map(|failure| failure.text.as_str()),
            "request": as_json(&message.request), "events": events.iter().map(event).collect::<Vec<_>>(),
        })
    }
}
