//! An example of every event, with invented people: for `send a sample`, for the documentation, and for tests.

use std::time::Duration;

use serde_json::json;

use super::{
    contact::ContactId,
    conversation::{ConversationId, WINDOW},
    event_name::{Direction, EventName},
    ids::MessageId,
    notice::Payment,
    time::UnixMillis,
    webhook_content::{Content, Item},
    webhook_event::{
        Campaign, Channel, Contact, Facts, FailureFacts, Message, PreferenceFacts, PriceFacts, Quoted, Raw,
        TemplateRef, WebhookEvent,
    },
    webhook_news::{NoticeFacts, ProviderEventFacts, WebhookFacts},
    webhook_people::{Change, ContactDetails, ConversationFacts},
};

/// 2026-11-20 09:15:00 UTC.
const SAMPLE_AT: UnixMillis = UnixMillis(1_795_166_100_000);
const SAMPLE_PLACE: i64 = 4711;

/// What this event looks like.
pub fn sample(name: EventName) -> WebhookEvent {
    let channel = Channel {
        provider: "meta".to_owned(),
        connection: "main".to_owned(),
        number: Some("+918888001122".to_owned()),
        provider_number_id: Some("106540352242922".to_owned()),
        provider_account_id: Some("102290129340398".to_owned()),
    };
    let facts = facts(name);
    let data = Facts { channel: facts.webhook.is_none().then_some(channel), ..facts };
    WebhookEvent {
        id: format!("evt_sample_{}", name.as_str().replace('.', "_")),
        name,
        occurred_at: SAMPLE_AT,
        recorded_at: UnixMillis(SAMPLE_AT.0 + 412),
        sequence: SAMPLE_PLACE,
        account: "shop".to_owned(),
        data: Facts { raw: Some(Raw::new(raw(name, &data).to_string())), ..data },
    }
}

fn facts(name: EventName) -> Facts {
    let written = |content: Content| Facts {
        contact: Some(person()),
        message: Some(Message {
            direction: name.direction(),
            provider_id: Some("wamid.sample-in".to_owned()),
            content: Some(content),
            ..Message::default()
        }),
        ..Facts::default()
    };
    match name {
        EventName::MessageReceived => written(Content::Text { text: "Where is my order?".to_owned() }),
        EventName::MessageInteraction => {
            let mut facts = written(Content::Button { payload: "track".to_owned(), text: "Track order".to_owned() });
            if let Some(message) = &mut facts.message {
                message.replies_to = Some(Quoted {
                    id: Some(our_id()),
                    platform_id: Some("1790000000_20261120_A_42".to_owned()),
                    provider_id: Some("wamid.sample-out".to_owned()),
                });
            }
            facts
        }
        EventName::MessageFlow => written(Content::FlowReply {
            name: Some("flow".to_owned()),
            body: Some("Sent".to_owned()),
            response: json!({"size": "M", "city": "Pune"}),
        }),
        EventName::MessageCart => written(Content::Order {
            catalog_id: Some("900100".to_owned()),
            text: Some("Please wrap it".to_owned()),
            items: vec![Item {
                product: "SKU-1".to_owned(),
                quantity: "2".to_owned(),
                price: Some("10.50".to_owned()),
                currency: Some("INR".to_owned()),
            }],
        }),
        EventName::MessagePayment => Facts {
            payment: Some(Payment {
                reference: Some("order-42".to_owned()),
                status: Some("captured".to_owned()),
                amount: Some("210.00".to_owned()),
                currency: Some("INR".to_owned()),
                transaction_id: Some("T2611200001".to_owned()),
            }),
            ..about_sent(name.direction(), "captured")
        },
        EventName::MessageClicked => written(Content::Other { kind: "click".to_owned() }),
        EventName::MessageAccepted => {
            let mut facts = sent("accepted", None);
            if let Some(message) = &mut facts.message {
                message.provider_id = None;
            }
            facts
        }
        EventName::MessageOutbound => {
            let mut facts = sent("sent", None);
            if let Some(message) = &mut facts.message {
                message.price = None;
                message.content = Some(Content::Text { text: "Asha, your order 42 is on its way.".to_owned() });
            }
            facts
        }
        EventName::MessageSent => sent("sent", None),
        EventName::MessageDelivered => sent("delivered", None),
        EventName::MessageRead => sent("read", None),
        EventName::MessageDeleted => about_sent(name.direction(), "deleted"),
        EventName::MessageFailed => sent("failed", Some(failure())),
        EventName::TemplateStatus => noticed(NoticeFacts {
            kind: "template_status".to_owned(),
            severity: "critical".to_owned(),
            text: "the template order_update (en) is paused: people reported it".to_owned(),
            template: Some(template()),
            template_status: Some("paused".to_owned()),
            number: None,
        }),
        EventName::ChannelStatus => noticed(NoticeFacts {
            kind: "number_quality".to_owned(),
            severity: "warning".to_owned(),
            text: "the quality of the number fell to yellow".to_owned(),
            template: None,
            template_status: None,
            number: Some("918888001122".to_owned()),
        }),
        EventName::WebhookFailing => failing(1),
        EventName::WebhookDisabled => failing(100),
        EventName::CommBoxEvent => {
            let form = json!({"Id": "7", "Answers": "M, Pune"});
            let event = json!({"Subscription": "Form", "Name": "OnSubmit", "Brand": "shop", "Form": form});
            relayed("Form.OnSubmit", json!({"Event": event}))
        }
        EventName::GallaboxEvent => {
            relayed("Conversation.HandoverAgentFallback", json!({"id": "66c1", "contactId": "66c2", "status": "OPEN"}))
        }
        EventName::GoTalloEvent => relayed("EVENT", json!({"type": "EVENT", "status": "RECEIVED"})),
        EventName::ContactOptedIn | EventName::ContactOptedOut => Facts {
            contact: Some(person()),
            preference: Some(PreferenceFacts { scope: "marketing".to_owned(), source: "person".to_owned() }),
            ..Facts::default()
        },
        EventName::ContactCreated => of_contact(None),
        EventName::ContactUpdated => Facts { changes: vec![changed("name", "Asha Rao", "Asha")], ..of_contact(None) },
        EventName::ContactTagMapped | EventName::ContactTagUnmapped => of_contact(Some("vip")),
        EventName::ConversationCreated => of_conversation("open", None),
        EventName::ConversationUpdated => {
            Facts { changes: vec![changed("state", "expired", "open")], ..of_conversation("open", None) }
        }
        EventName::ConversationExpired => of_conversation("expired", None),
        EventName::ConversationResolved => of_conversation("closed", None),
        EventName::ConversationUnattended | EventName::ConversationAutoReplied => of_conversation("auto_bot", None),
        EventName::ConversationTagMapped | EventName::ConversationTagUnmapped => {
            of_conversation("open", Some("refund"))
        }
    }
}

/// Of a message that was accepted some minutes before.
fn our_id() -> String {
    MessageId::first_at(SAMPLE_AT.minus(Duration::from_secs(300))).to_string()
}

fn person() -> Contact {
    Contact {
        phone: Some("+919876500001".to_owned()),
        user_id: Some("IN.1100000000000001".to_owned()),
        name: Some("Asha".to_owned()),
    }
}

fn template() -> TemplateRef {
    TemplateRef { name: "order_update".to_owned(), language: "en".to_owned(), file: None }
}

fn failure() -> FailureFacts {
    FailureFacts {
        reason: "unreachable".to_owned(),
        provider_code: Some(131_026),
        text: "Message undeliverable".to_owned(),
        platform_code: Some(1005),
    }
}

/// A message of a campaign, as far as it came.
fn sent(status: &str, failure: Option<FailureFacts>) -> Facts {
    Facts {
        contact: Some(person()),
        campaign: Some(Campaign {
            id: "1790000000".to_owned(),
            run: "20261120".to_owned(),
            variant: Some("A".to_owned()),
        }),
        message: Some(Message {
            direction: Some(Direction::Out),
            id: Some(our_id()),
            platform_id: Some("1790000000_20261120_A_42".to_owned()),
            provider_id: Some("wamid.sample-out".to_owned()),
            template: Some(template()),
            category: Some("utility".to_owned()),
            status: Some(status.to_owned()),
            failure,
            price: (status == "sent").then(|| PriceFacts { category: "utility".to_owned(), billable: true }),
            ..Message::default()
        }),
        custom: [("city".to_owned(), "Pune".to_owned())].into(),
        ..Facts::default()
    }
}

/// What a provider says of a message that was sent, and is no status of it.
fn about_sent(direction: Option<Direction>, status: &str) -> Facts {
    let quoted = Quoted { provider_id: Some("wamid.sample-out".to_owned()), ..Quoted::default() };
    let status = Some(status.to_owned());
    Facts {
        contact: Some(person()),
        message: Some(Message { direction, replies_to: Some(quoted), status, ..Message::default() }),
        ..Facts::default()
    }
}

fn failing(failures: u32) -> Facts {
    Facts {
        webhook: Some(WebhookFacts {
            name: "crm".to_owned(),
            failures,
            failing_since: SAMPLE_AT.minus(Duration::from_secs(60)).to_string(),
            answer: "HTTP 503: down for maintenance".to_owned(),
        }),
        ..Facts::default()
    }
}

fn relayed(name: &str, payload: serde_json::Value) -> Facts {
    let payload = Some(Raw::new(payload.to_string()));
    Facts { provider_event: Some(ProviderEventFacts { name: name.to_owned(), payload }), ..Facts::default() }
}

fn of_contact(tag: Option<&str>) -> Facts {
    Facts {
        contact: Some(person()),
        contact_details: Some(ContactDetails {
            id: ContactId(MessageId::first_at(SAMPLE_AT).0).to_string(),
            tags: vec!["vip".to_owned()],
            opt_in: Some(true),
            first_seen_at: SAMPLE_AT.minus(Duration::from_secs(30 * 24 * 60 * 60)).to_string(),
            last_seen_at: SAMPLE_AT.to_string(),
        }),
        tag: tag.map(str::to_owned),
        ..Facts::default()
    }
}

fn changed(field: &str, before: &str, after: &str) -> Change {
    Change { field: field.to_owned(), before: Some(before.to_owned()), after: Some(after.to_owned()) }
}

fn of_conversation(state: &str, tag: Option<&str>) -> Facts {
    let is_left = state == "auto_bot";
    Facts {
        conversation: Some(ConversationFacts {
            id: ConversationId(MessageId::first_at(SAMPLE_AT).0).to_string(),
            state: state.to_owned(),
            tags: vec!["refund".to_owned()],
            opened_at: SAMPLE_AT.to_string(),
            last_inbound_at: SAMPLE_AT.to_string(),
            window_ends_at: SAMPLE_AT.plus(WINDOW).to_string(),
            waiting_since: matches!(state, "open" | "auto_bot").then(|| SAMPLE_AT.to_string()),
            unattended_since: is_left.then(|| SAMPLE_AT.to_string()),
        }),
        tag: tag.map(str::to_owned),
        ..of_contact(None)
    }
}

fn noticed(notice: NoticeFacts) -> Facts {
    Facts { notice: Some(notice), ..Facts::default() }
}

/// Something like what the provider said.
fn raw(name: EventName, data: &Facts) -> serde_json::Value {
    let id = data.message.as_ref().and_then(|message| message.provider_id.clone());
    let seconds = SAMPLE_AT.as_seconds().to_string();
    match name {
        EventName::MessageReceived => json!({
            "from": "919876500001", "id": id, "timestamp": seconds, "type": "text", "text": {"body": "Where is my order?"},
        }),
        EventName::MessageSent | EventName::MessageDelivered | EventName::MessageRead => json!({
            "id": id, "status": data.message.as_ref().and_then(|message| message.status.clone()),
            "timestamp": seconds, "recipient_id": "919876500001",
        }),
        EventName::MessageInteraction
        | EventName::MessageFlow
        | EventName::MessageCart
        | EventName::MessagePayment
        | EventName::MessageAccepted
        | EventName::MessageOutbound
        | EventName::MessageFailed
        | EventName::MessageDeleted
        | EventName::TemplateStatus
        | EventName::ChannelStatus
        | EventName::ContactOptedIn
        | EventName::ContactOptedOut
        | EventName::MessageClicked
        | EventName::ContactCreated
        | EventName::ContactUpdated
        | EventName::ContactTagMapped
        | EventName::ContactTagUnmapped
        | EventName::ConversationCreated
        | EventName::ConversationUpdated
        | EventName::ConversationExpired
        | EventName::ConversationResolved
        | EventName::ConversationUnattended
        | EventName::ConversationAutoReplied
        | EventName::ConversationTagMapped
        | EventName::ConversationTagUnmapped
        | EventName::WebhookFailing
        | EventName::WebhookDisabled
        | EventName::CommBoxEvent
        | EventName::GallaboxEvent
        | EventName::GoTalloEvent => json!({"sample": name.as_str()}),
    }
}
