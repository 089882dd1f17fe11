//! What a webhook tells: one event with all that is known of it, before any profile chose its words.
//!
//! It is made from a line of an account's log and what had to be looked up for it ([`About`]). Told again it is the same:
//! its id is the account and the place in the log. Its JSON is the native profile's payload, and [`webhook_content`] has what
//! people sent; a change that a receiver could notice needs a new version of that profile.
//!
//! [`webhook_content`]: super::webhook_content

mod of_log;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

pub use self::of_log::{About, id_of};
use super::{
    event_name::{Direction, EventName},
    notice::Payment,
    outbound::MediaKind,
    price::Price,
    time::UnixMillis,
    webhook_content::Content,
    webhook_news::{NoticeFacts, ProviderEventFacts, WebhookFacts},
    webhook_people::{Change, ContactDetails, ConversationFacts},
};

/// One event, ready to be told by any profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookEvent)]
pub struct WebhookEvent {
    /// The same whenever this event is told, also to somebody else: drop what you have seen.
    #[schema(example = "evt_1_4711")]
    pub id: String,
    #[serde(rename = "type")]
    pub name: EventName,
    /// When it happened, by whoever saw it first.
    #[serde(rename = "timestamp", with = "iso")]
    #[schema(value_type = String, format = DateTime)]
    pub occurred_at: UnixMillis,
    /// When the bridge wrote it down.
    #[serde(with = "iso")]
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: UnixMillis,
    /// Grows with each event of the account: what arrives late can be put in order.
    #[schema(example = 4711)]
    pub sequence: i64,
    /// The account's id.
    #[schema(example = "shop")]
    pub account: String,
    pub data: Facts,
}

/// What is known of it. Whatever is not known is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookData)]
pub struct Facts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Contact>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Campaign>,
    /// What the provider told the business.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<NoticeFacts>,
    /// What a person wants to get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preference: Option<PreferenceFacts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<Payment>,
    /// What the provider alone has words for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_event: Option<ProviderEventFacts>,
    /// Another webhook, which fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookFacts>,
    /// What the account knows of the person beside number and name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact_details: Option<ContactDetails>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationFacts>,
    /// The tag that was given or taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// What is different now of the contact or the conversation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// The pairs that came with the request for the message.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub custom: BTreeMap<String, String>,
    /// The provider's own entry: JSON, or a text where it was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub raw: Option<Raw>,
}

/// Where it happened: one of our numbers, and the way to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookChannel)]
pub struct Channel {
    #[schema(example = "meta")]
    pub provider: String,
    /// The connection's id.
    #[schema(example = "main")]
    pub connection: String,
    /// Our number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "+918888001122")]
    pub number: Option<String>,
    /// The provider's id of our number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_number_id: Option<String>,
    /// The provider's id of the business account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_account_id: Option<String>,
}

/// A message, from a person or to one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookMessage)]
pub struct Message {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// The bridge's id of a message that it sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "msg_1m2k7c4d00001")]
    pub id: Option<String>,
    /// The platform's id of that message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_id: Option<String>,
    /// The provider's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "wamid.sample")]
    pub provider_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replies_to: Option<Quoted>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateRef>,
    /// Freeform, authentication, utility or marketing: what the provider charges by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "utility")]
    pub category: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// Accepted, sent, delivered, read, failed or deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "delivered")]
    pub status: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureFacts>,
    /// What decides about its price; a status has it where the provider reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceFacts>,
}

/// Under which heading of the provider's price list a message falls. Providers report no money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookPrice)]
pub struct PriceFacts {
    #[schema(example = "utility")]
    pub category: String,
    pub billable: bool,
}

impl From<Price> for PriceFacts {
    fn from(price: Price) -> Self {
        Self { category: price.category.as_str().to_owned(), billable: price.billable }
    }
}

/// The message that a person answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookQuoted)]
pub struct Quoted {
    /// The bridge's id, when it is one of its messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookTemplate)]
pub struct TemplateRef {
    #[schema(example = "order_update")]
    pub name: String,
    #[schema(example = "en")]
    pub language: String,
    /// What lies in its header, when that is a file: image, video, audio or document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "image")]
    pub file: Option<MediaKind>,
}

/// Why a message will not arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookFailure)]
pub struct FailureFacts {
    /// One of the bridge's own reasons, the same for all providers.
    #[schema(example = "unreachable")]
    pub reason: String,
    /// The provider's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 131026)]
    pub provider_code: Option<i64>,
    /// The provider's words.
    pub text: String,
    /// What the platform was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 1005)]
    pub platform_code: Option<u16>,
}

/// The person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookContact)]
pub struct Contact {
    /// Left out when the person hides it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "+919876500001")]
    pub phone: Option<String>,
    /// The provider's id of the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The name of the person's profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookCampaign)]
pub struct Campaign {
    /// The platform's id.
    #[schema(example = "1790000000")]
    pub id: String,
    /// The run of it: of CleverTap the day.
    #[schema(example = "20261120")]
    pub run: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// What a person wants, or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookPreference)]
pub struct PreferenceFacts {
    /// The kind of messages.
    #[schema(example = "marketing")]
    pub scope: String,
    /// Who said so: person, block_list or operator.
    #[schema(example = "person")]
    pub source: String,
}

/// The provider's entry as it came: JSON, or a text where it was none.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Raw(Box<RawValue>);

impl Raw {
    pub fn new(entry: String) -> Self {
        let as_text = |entry: &str| serde_json::value::to_raw_value(entry).expect("a text can be written as JSON");
        Self(RawValue::from_string(entry.clone()).unwrap_or_else(|_| as_text(&entry)))
    }

    pub fn as_json(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for Raw {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json()
    }
}

/// How much of an event is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WebhookLevel)]
pub enum Level {
    /// Ids, the number, the person and the status: whoever needs more asks `/api/v1`.
    Minimal,
    /// All that is known, in our words.
    #[default]
    Standard,
    /// And the provider's own entry.
    Complete,
}

impl Level {
    pub const ALL: [Self; 3] = [Self::Minimal, Self::Standard, Self::Complete];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Standard => "standard",
            Self::Complete => "complete",
        }
    }
}

impl WebhookEvent {
    /// As much of it as the level says.
    #[must_use]
    pub fn at(&self, level: Level) -> Self {
        let mut event = self.clone();
        match level {
            Level::Complete => {}
            Level::Standard => event.data.raw = None,
            Level::Minimal => event.data = event.data.least(),
        }
        event
    }
}

impl Facts {
    /// Who and which, and nothing of what was said.
    fn least(self) -> Self {
        let message = self.message.map(|message| Message {
            direction: message.direction,
            id: message.id,
            platform_id: message.platform_id,
            provider_id: message.provider_id,
            status: message.status,
            ..Message::default()
        });
        let channel = self.channel.map(|channel| Channel {
            provider: channel.provider,
            connection: channel.connection,
            number: channel.number,
            ..Channel::default()
        });
        let contact = self
            .contact
            .and_then(|contact| known(Contact { phone: contact.phone, user_id: contact.user_id, name: None }));
        let provider_event = self.provider_event.map(|event| ProviderEventFacts { payload: None, ..event });
        let changes = self.changes.into_iter().map(|change| Change { before: None, after: None, ..change }).collect();
        Self {
            channel,
            message,
            contact,
            notice: self.notice,
            preference: self.preference,
            provider_event,
            webhook: self.webhook,
            conversation: self.conversation,
            tag: self.tag,
            changes,
            ..Self::default()
        }
    }
}

fn known(contact: Contact) -> Option<Contact> {
    Some(contact).filter(|contact| *contact != Contact::default())
}

/// A moment as RFC 3339 has it, in UTC.
mod iso {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::domain::time::UnixMillis;

    pub(super) fn serialize<S: Serializer>(moment: &UnixMillis, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(moment)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnixMillis, D::Error> {
        let text = String::deserialize(deserializer)?;
        let moment = chrono::DateTime::parse_from_rfc3339(&text).map_err(D::Error::custom)?;
        Ok(UnixMillis(moment.timestamp_millis()))
    }
}
