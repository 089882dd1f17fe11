//! What webhooks are told of contacts and conversations.
//!
//! A line of the log about them is [`PersonNews`]: all that is told, as it was at that moment, because a contact goes on to change.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    contact::{self, Tags},
    conversation::Conversation,
    event_name::EventName,
    time::UnixMillis,
    webhook_event::{Contact, Facts, PreferenceFacts, Raw},
};

/// What happened to a contact or a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PersonNews {
    pub name: EventName,
    /// By what the person is known.
    pub contact: Contact,
    /// None: the person wrote nothing yet, and only said what is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<ContactDetails>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationFacts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preference: Option<PreferenceFacts>,
    /// What is different now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// The provider's own entry, of what a provider said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<Raw>,
}

impl PersonNews {
    pub fn of(name: EventName, contact: &contact::Contact, opt_in: Option<bool>) -> Self {
        Self {
            name,
            contact: Contact {
                phone: contact.phone.as_ref().map(|phone| phone.as_e164().to_owned()),
                user_id: contact.user_id.clone(),
                name: contact.name.clone(),
            },
            details: Some(ContactDetails {
                id: contact.id.to_string(),
                tags: contact.tags.to_vec(),
                opt_in,
                first_seen_at: contact.first_seen.to_string(),
                last_seen_at: contact.last_seen.to_string(),
            }),
            conversation: None,
            tag: None,
            preference: None,
            changes: vec![],
            raw: None,
        }
    }

    #[must_use]
    pub fn within(self, conversation: &Conversation) -> Self {
        Self { conversation: Some(ConversationFacts::of(conversation)), ..self }
    }

    #[must_use]
    pub fn with_tag(self, tag: String) -> Self {
        Self { tag: Some(tag), ..self }
    }

    /// Its part of a webhook's event.
    pub fn facts(&self) -> Facts {
        Facts {
            contact: Some(self.contact.clone()),
            contact_details: self.details.clone(),
            conversation: self.conversation.clone(),
            tag: self.tag.clone(),
            preference: self.preference.clone(),
            changes: self.changes.clone(),
            raw: self.raw.clone(),
            ..Facts::default()
        }
    }
}

/// One thing that is different now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookChange)]
pub struct Change {
    /// Of a contact: id, phone, user_id, name or tags; of a conversation a part of it, such as state.
    #[schema(example = "name")]
    pub field: String,
    /// Left out where there was nothing. Tags stand with commas between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Asha")]
    pub before: Option<String>,
    /// Left out where nothing is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Asha Rao")]
    pub after: Option<String>,
}

impl Change {
    /// What is another of a person; an id too, where two contacts became one.
    pub fn of_contact(before: &contact::Contact, after: &contact::Contact) -> Vec<Self> {
        let phone = |one: &contact::Contact| one.phone.as_ref().map(|phone| phone.as_e164().to_owned());
        different([
            ("id", Some(before.id.to_string()), Some(after.id.to_string())),
            ("phone", phone(before), phone(after)),
            ("user_id", before.user_id.clone(), after.user_id.clone()),
            ("name", before.name.clone(), after.name.clone()),
            ("tags", listed(&before.tags), listed(&after.tags)),
        ])
    }

    pub fn of_conversation(before: &Conversation, after: &Conversation) -> Vec<Self> {
        let moment = |at: Option<UnixMillis>| at.map(|at| at.to_string());
        let state = |one: &Conversation| Some(one.state.as_str().to_owned());
        different([
            ("state", state(before), state(after)),
            ("tags", listed(&before.tags), listed(&after.tags)),
            ("opened_at", moment(Some(before.opened_at)), moment(Some(after.opened_at))),
            ("last_inbound_at", moment(Some(before.last_inbound_at)), moment(Some(after.last_inbound_at))),
            ("window_ends_at", moment(Some(before.window_ends_at)), moment(Some(after.window_ends_at))),
            ("waiting_since", moment(before.waiting_since), moment(after.waiting_since)),
            ("unattended_since", moment(before.unattended_since), moment(after.unattended_since)),
        ])
    }
}

fn different<const COUNT: usize>(fields: [(&str, Option<String>, Option<String>); COUNT]) -> Vec<Change> {
    let changed = fields.into_iter().filter(|(_, before, after)| before != after);
    changed.map(|(field, before, after)| Change { field: field.to_owned(), before, after }).collect()
}

/// No tag has a comma in it.
fn listed(tags: &Tags) -> Option<String> {
    Some(tags.to_vec().join(",")).filter(|text| !text.is_empty())
}

/// What the account knows of the person beside number and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookContactDetails)]
pub struct ContactDetails {
    #[schema(example = "con_06xtcv2j80000")]
    pub id: String,
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whether the person wants marketing messages; left out when nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opt_in: Option<bool>,
    pub first_seen_at: String,
    pub last_seen_at: String,
}

/// How things stand between the person and one of our numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookConversation)]
pub struct ConversationFacts {
    #[schema(example = "cnv_06xtcv2j80001")]
    pub id: String,
    /// open, expired, auto_bot, closed or blocked.
    #[schema(example = "open")]
    pub state: String,
    #[serde(default)]
    pub tags: Vec<String>,
    /// Last.
    pub opened_at: String,
    pub last_inbound_at: String,
    /// Until when the person can be answered freely.
    pub window_ends_at: String,
    /// What the person wrote and nobody answered, since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<String>,
    /// It waited too long, or was answered automatically.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unattended_since: Option<String>,
}

impl ConversationFacts {
    pub fn of(conversation: &Conversation) -> Self {
        Self {
            id: conversation.id.to_string(),
            state: conversation.state.as_str().to_owned(),
            tags: conversation.tags.to_vec(),
            opened_at: conversation.opened_at.to_string(),
            last_inbound_at: conversation.last_inbound_at.to_string(),
            window_ends_at: conversation.window_ends_at.to_string(),
            waiting_since: conversation.waiting_since.map(|at| at.to_string()),
            unattended_since: conversation.unattended_since.map(|at| at.to_string()),
        }
    }
}
