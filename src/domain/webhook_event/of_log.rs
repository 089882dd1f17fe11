//! Events as they follow from lines of the log, and what had to be looked up for them.

use super::{
    Campaign, Channel, Contact, Facts, FailureFacts, Message, PriceFacts, Quoted, Raw, TemplateRef, WebhookEvent, known,
};
use crate::domain::{
    callback::{Event, EventDetail, OutgoingStep},
    campaign::Grouping,
    event_name::{Direction, EventName},
    failure::Failure,
    ids::{AccountKey, Place},
    inbound::InboundMessage,
    outbound::Category,
    price::Price,
    status::DeliveryStatus,
    webhook_content::Content,
    webhook_people::ConversationFacts,
};

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
    /// What a message of ours says; of a status for profiles that tell it.
    pub content: Option<Content>,
    /// WhatsApp said something of the message.
    pub reported: bool,
    /// Between the person and the number of a message; looked up for profiles that tell it.
    pub conversation: Option<ConversationFacts>,
    /// Of the file of an inbound message.
    pub media_size_bytes: Option<u64>,
    /// The entry of the log; a notice brings its own.
    pub raw: Option<String>,
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
            EventDetail::Person(news) => {
                Facts { channel: shared.channel.filter(|channel| !channel.connection.is_empty()), ..news.facts() }
            }
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
        content: about.content.clone(),
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

impl From<Grouping> for Campaign {
    fn from(Grouping { campaign, batch, variant }: Grouping) -> Self {
        Self { id: campaign, run: batch, variant }
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
        time::UnixMillis,
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
