//! What a webhook tells: one event with all that is known of it, before any profile chose its words.
//!
//! It is made from a line of an account's log and what had to be looked up for it ([`About`]). Told again it is the same:
//! its id is the account and the place in the log. Its JSON is the native profile's payload, and [`webhook_content`] has what
//! people sent; a change that a receiver could notice needs a new version of that profile.
//!
//! [`webhook_content`]: super::webhook_content

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    callback::{Event, EventDetail, OutgoingStep},
    campaign::Grouping,
    event_name::{Direction, EventName},
    failure::Failure,
    ids::{AccountKey, Place},
    inbound::InboundMessage,
    notice::Payment,
    outbound::{Category, MediaKind},
    price::Price,
    status::DeliveryStatus,
    time::UnixMillis,
    webhook_content::Content,
    webhook_news::{NoticeFacts, ProviderEventFacts, WebhookFacts},
    webhook_people::{ContactDetails, ConversationFacts},
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

/// What a line of the log does not know, and whoever tells it looks up. Whatever is not known is left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// The account's id.
    pub account: String,
    pub provider: String,
    /// The connection's id.
    pub connection: String,
    pub provider_number_id: Option<String>,
    pub provider_account_id: Option<String>,
    /// The provider's id of the message that a status reports on.
    pub provider_message_id: Option<String>,
    /// The person; of an inbound message its own `from` is taken first.
    pub contact: Contact,
    pub template: Option<TemplateRef>,
    pub category: Option<Category>,
    pub grouping: Option<Grouping>,
    pub custom: Vec<(String, String)>,
    /// The platform's code of the failure.
    pub platform_code: Option<u16>,
    pub price: Option<Price>,
    /// What a message of ours says.
    pub content: Option<Content>,
    /// Between the person and the number of a message; looked up for profiles that tell it.
    pub conversation: Option<ConversationFacts>,
    /// Of the file of an inbound message.
    pub media_size_bytes: Option<u64>,
    /// The entry of the log; a notice brings its own.
    pub raw: Option<String>,
}

/// How much of an event is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
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

/// The id of an event: never another event's, and the same whenever it is told.
pub fn id_of(account: AccountKey, place: Place) -> String {
    format!("evt_{account}_{}", place.0)
}

impl WebhookEvent {
    /// A line of the log with all that is known of it; an error says why it cannot be told.
    pub fn of(account: AccountKey, event: &Event, about: About) -> Result<Self, String> {
        let name = EventName::of(&event.detail)?;
        Ok(Self::named(name, account, event, about))
    }

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

    fn named(name: EventName, account: AccountKey, event: &Event, about: About) -> Self {
        let channel = Channel {
            provider: about.provider.clone(),
            connection: about.connection.clone(),
            number: event.sender_number.as_ref().map(|number| number.as_e164().to_owned()),
            provider_number_id: about.provider_number_id.clone(),
            provider_account_id: about.provider_account_id.clone(),
        };
        let shared = Facts {
            channel: Some(channel),
            campaign: about.grouping.clone().map(Campaign::from),
            custom: about.custom.iter().cloned().collect(),
            raw: about.raw.clone().map(Raw::new),
            ..Facts::default()
        };
        let data = match &event.detail {
            EventDetail::Status { status, failure } => Facts {
                conversation: about.conversation.clone(),
                message: Some(reported(event, &about, *status, failure.as_ref())),
                contact: known(about.contact.clone()),
                ..shared
            },
            EventDetail::Inbound(message) => Facts {
                conversation: about.conversation.clone(),
                contact: known(writer(message, &about)),
                message: Some(received(event, message, &about)),
                ..shared
            },
            EventDetail::Notice(notice) => Facts::of_notice(notice, shared),
            EventDetail::Outgoing(step) => Facts {
                conversation: about.conversation.clone(),
                message: Some(ours(event, &about, *step)),
                contact: known(about.contact.clone()),
                raw: None,
                ..shared
            },
            // Of an opt-out that names no number of ours, nobody knows the way.
            EventDetail::Person(news) => Facts {
                channel: shared.channel.filter(|channel| !channel.connection.is_empty()),
                raw: None,
                ..news.facts()
            },
            EventDetail::Unreadable { .. } => shared,
        };
        Self {
            id: id_of(account, event.place),
            name,
            occurred_at: event.occurred_at,
            recorded_at: event.recorded_at,
            sequence: event.place.0,
            account: about.account,
            data,
        }
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
            ..Self::default()
        }
    }
}

/// A message of ours before anything was reported of it. What it says is told when it went out.
fn ours(event: &Event, about: &About, step: OutgoingStep) -> Message {
    let (status, content) = match step {
        OutgoingStep::Accepted => ("accepted", None),
        OutgoingStep::Taken => ("sent", about.content.clone()),
    };
    Message { status: Some(status.to_owned()), content, ..of_ours(event, about) }
}

fn of_ours(event: &Event, about: &About) -> Message {
    Message {
        direction: Some(Direction::Out),
        id: event.message.map(|id| id.to_string()),
        platform_id: event.platform_message_id.clone(),
        provider_id: about.provider_message_id.clone(),
        template: about.template.clone(),
        category: about.category.map(|category| category.as_str().to_owned()),
        ..Message::default()
    }
}

/// The message that a status reports on.
fn reported(event: &Event, about: &About, status: DeliveryStatus, failure: Option<&Failure>) -> Message {
    Message {
        status: Some(status.as_str().to_owned()),
        price: about.price.map(PriceFacts::from),
        failure: failure.map(|failure| FailureFacts {
            reason: failure.reason.as_str().to_owned(),
            provider_code: failure.code,
            text: failure.text.clone(),
            platform_code: about.platform_code,
        }),
        ..of_ours(event, about)
    }
}

/// A message from a person. Of the message that it quotes the log knows our ids.
fn received(event: &Event, message: &InboundMessage, about: &About) -> Message {
    let quoted = Quoted {
        id: event.message.map(|id| id.to_string()),
        platform_id: event.platform_message_id.clone(),
        provider_id: message.is_about().map(str::to_owned),
    };
    Message {
        direction: Some(Direction::In),
        provider_id: Some(message.provider_message_id.clone()),
        replies_to: Some(quoted).filter(|quoted| *quoted != Quoted::default()),
        status: message.is_deletion().then(|| "deleted".to_owned()),
        content: Some(Content::of(&message.content, event.media_url.as_deref(), about.media_size_bytes)),
        ..Message::default()
    }
}

fn writer(message: &InboundMessage, about: &About) -> Contact {
    let About { contact: Contact { phone, user_id, name }, .. } = about.clone();
    Contact {
        phone: message.from.as_ref().map(|from| from.as_e164().to_owned()).or(phone),
        user_id: message.from_user_id.clone().or(user_id),
        name,
    }
}

fn known(contact: Contact) -> Option<Contact> {
    Some(contact).filter(|contact| *contact != Contact::default())
}

impl From<Grouping> for Campaign {
    fn from(Grouping { campaign, batch, variant }: Grouping) -> Self {
        Self { id: campaign, run: batch, variant }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        failure::FailureReason,
        ids::{MessageId, SenderKey},
        inbound::InboundContent,
        notice::{Notice, NoticeAbout, NoticeKind, Severity},
        phone::PhoneNumber,
        template::TemplateStatus,
    };
    use serde_json::{Value, json};

    const AT: UnixMillis = UnixMillis(1_795_166_100_000);

    fn number(text: &str) -> Option<PhoneNumber> {
        PhoneNumber::from_international(text)
    }

    fn event(detail: EventDetail) -> Event {
        Event {
            place: Place(7),
            sender: SenderKey(1),
            sender_number: number("+918888001122"),
            occurred_at: AT,
            recorded_at: UnixMillis(AT.0 + 1),
            message: Some(MessageId(42)),
            platform_message_id: Some("1790000000_20261120_A_42".to_owned()),
            told_before: false,
            media_url: Some("https://wa.example/media/shop/7".to_owned()),
            detail,
        }
    }

    fn about() -> About {
        About {
            account: "shop".to_owned(),
            provider: "meta".to_owned(),
            connection: "main".to_owned(),
            contact: Contact { phone: Some("+919876500002".to_owned()), ..Contact::default() },
            raw: Some(r#"{"as": "it came"}"#.to_owned()),
            ..About::default()
        }
    }

    fn told(detail: EventDetail) -> Value {
        let told = WebhookEvent::of(AccountKey(3), &event(detail), about()).expect("it can be told");
        let json = serde_json::to_string(&told).expect("JSON");
        assert_eq!(serde_json::from_str::<WebhookEvent>(&json).expect("it can be read again"), told);
        assert!(
            json.contains(r#"{"as": "it came"}"#) || told.data.notice.is_some(),
            "the entry stays byte for byte: {json}"
        );
        serde_json::from_str(&json).expect("JSON")
    }

    #[test]
    fn a_status_tells_of_our_message_and_a_failure_of_its_reason() {
        let failure = Failure::new(FailureReason::Unreachable, Some(131_026), "undeliverable");
        let told = told(EventDetail::Status { status: DeliveryStatus::Failed, failure: Some(failure) });

        assert_eq!(
            (&told["id"], &told["type"], &told["sequence"]),
            (&json!("evt_3_7"), &json!("message.failed"), &json!(7))
        );
        assert_eq!(
            told["data"]["message"],
            json!({
                "direction": "out",
                "id": MessageId(42).to_string(),
                "platform_id": "1790000000_20261120_A_42",
                "status": "failed",
                "failure": {"reason": "unreachable", "provider_code": 131_026, "text": "undeliverable"},
            })
        );
        assert_eq!(told["data"]["contact"], json!({"phone": "+919876500002"}));
    }

    #[test]
    fn what_a_person_wrote_is_theirs_and_what_it_quotes_is_ours() {
        let written = |content| {
            told(EventDetail::Inbound(Box::new(InboundMessage {
                provider_message_id: "wamid.in".to_owned(),
                from: number("+919876500001"),
                from_user_id: Some("IN.1".to_owned()),
                from_name: None,
                occurred_at: AT,
                replies_to: Some("wamid.out".to_owned()),
                content,
            })))
        };
        let form = |response: &str| {
            let response = response.to_owned();
            let told = written(InboundContent::FlowReply { name: None, body: None, response });
            told["data"]["message"]["content"]["response"].clone()
        };

        let told = written(InboundContent::Text { body: "yes".to_owned() });

        assert_eq!(told["data"]["contact"], json!({"phone": "+919876500001", "user_id": "IN.1"}));
        assert_eq!(
            told["data"]["message"],
            json!({
                "direction": "in",
                "provider_id": "wamid.in",
                "content": {"type": "text", "text": "yes"},
                "replies_to": {
                    "id": MessageId(42).to_string(),
                    "platform_id": "1790000000_20261120_A_42",
                    "provider_id": "wamid.out",
                },
            })
        );
        assert_eq!(form(r#"{"size":"M"}"#), json!({"size": "M"}));
        assert_eq!(form("M"), json!({"text": "M"}));
    }

    #[test]
    fn a_notice_brings_the_providers_entry_and_not_ours_of_the_log() {
        let told = told(EventDetail::Notice(Box::new(Notice {
            provider_account_id: "300".to_owned(),
            kind: NoticeKind::TemplateStatus,
            about: NoticeAbout::Template { name: "order_update".to_owned(), language: "en".to_owned() },
            severity: Severity::Critical,
            text: "it is paused".to_owned(),
            template_status: Some(TemplateStatus::Paused),
            occurred_at: None,
            entry: r#"{"field":"message_template_status_update"}"#.to_owned(),
        })));

        assert_eq!(told["type"], "template.status");
        assert_eq!(told["data"]["notice"]["template_status"], "paused");
        assert_eq!(told["data"]["raw"], json!({"field": "message_template_status_update"}));
    }

    #[test]
    fn what_nobody_can_read_is_not_told() {
        let event = event(EventDetail::Unreadable { why: "of another version".to_owned() });
        assert_eq!(WebhookEvent::of(AccountKey(3), &event, about()), Err("of another version".to_owned()));
    }
}
