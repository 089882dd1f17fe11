//! Like GoTallo: the message itself is the body, whatever happened to it; there is no name of an event and no signature.
//!
//! Of one message the `id` stays and `status` and `modified_timestamp` change. The state of the conversation is that of the moment of
//! telling. What GoTallo knows and a bridge does not (agents, transcripts, portraits) is there and null, for receivers that look for
//! it.

use serde_json::{Value, json};

use super::{
    Format, Profile, RenderOptions, Rendered, Signature, Unspeakable,
    words::{self, digits},
};
use crate::domain::{
    event_name::{Direction, EventName},
    ids::MessageId,
    time::UnixMillis,
    webhook_content::Content,
    webhook_event::{Message, WebhookEvent},
};

const VERSION: &str = "1";
/// Of a conversation that is not known, when the person just wrote.
const OPEN: &str = "OPEN";

/// Told in order among themselves.
const STATUSES: [EventName; 4] =
    [EventName::MessageSent, EventName::MessageDelivered, EventName::MessageRead, EventName::MessageFailed];

pub struct GoTallo;

impl Profile for GoTallo {
    fn slug(&self) -> &'static str {
        "gotallo"
    }

    fn title(&self) -> &'static str {
        "GoTallo"
    }

    fn formats(&self) -> &'static [Format] {
        &[Format::Json]
    }

    fn versions(&self) -> &'static [&'static str] {
        &[VERSION]
    }

    /// Its receivers know statuses and no events.
    fn word(&self, name: EventName) -> Option<&'static str> {
        Some(match name {
            EventName::MessageReceived
            | EventName::MessageInteraction
            | EventName::MessageFlow
            | EventName::MessageCart
            | EventName::MessagePayment => "RECEIVED",
            EventName::MessageAccepted => "PREPARED",
            EventName::MessageOutbound | EventName::MessageSent => "SENT",
            EventName::MessageDelivered => "DELIVERED",
            EventName::MessageRead => "READ",
            EventName::MessageFailed => "FAILED",
            EventName::MessageDeleted => "DELETED",
            EventName::TemplateStatus
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
            | EventName::GallaboxEvent => return None,
            EventName::GoTalloEvent => "EVENT",
        })
    }

    fn needs_conversation(&self) -> bool {
        true
    }

    /// The message is the body, however far it came.
    fn needs_content(&self) -> bool {
        true
    }

    /// A receiver sees a message by its status, which must not go back: `SENT` is said once, in order with what follows it, and nothing
    /// of before comes after a status, which has a cursor of its own.
    fn is_outdone(&self, name: EventName, wants: &dyn Fn(EventName) -> bool, reported: bool) -> bool {
        let is_before = matches!(name, EventName::MessageAccepted | EventName::MessageOutbound);
        let says_sent = name == EventName::MessageOutbound && wants(EventName::MessageSent);
        says_sent || (is_before && reported && STATUSES.into_iter().any(wants))
    }

    fn signature(&self) -> Signature {
        Signature::None
    }

    fn own_headers(&self) -> &'static [&'static str] {
        &[]
    }

    fn render(&self, event: &WebhookEvent, options: &RenderOptions<'_>) -> Result<Rendered, Unspeakable> {
        words::knows(self, options)?;
        let status = self.word(event.name).ok_or_else(|| words::none("GoTallo", event.name))?;
        let as_it_came = match &event.data.provider_event {
            Some(relayed) => Some(words::relayed(event, relayed)?),
            // Of a deletion it says more than the bridge reads: whose message it was.
            None => words::own_entry(self, event).filter(|_| is_deletion(event)),
        };
        let body = match as_it_came {
            Some(entry) => entry.to_owned(),
            None => {
                let message = event.data.message.as_ref().ok_or_else(|| words::lacking(event.name))?;
                told(event, message, status).to_string()
            }
        };
        Ok(Rendered { headers: vec![], content_type: "application/json".to_owned(), body })
    }
}

fn told(event: &WebhookEvent, message: &Message, status: &str) -> Value {
    let outbound = message.direction != Some(Direction::In);
    let content = message.content.as_ref();
    let media = content.and_then(Content::media);
    let contact = event.data.contact.clone().unwrap_or_default();
    let phone = contact.phone.as_deref().map(digits);
    let person = words::person_id(event);
    let (id, provider_id) = ids(event, message);
    let mut told = json!({
        "id": id.or(provider_id).unwrap_or(&event.id),
        "ext_identifier": provider_id,
        "conversation_id": words::conversation_id(event),
        "tenant_id": event.account,
        "agent_id": null,
        "agent": null,
        "timestamp": began(event, message).to_string(),
        "modified_timestamp": event.occurred_at.to_string(),
        "type": if event.data.payment.is_some() { "EVENT" } else { kind(message) },
        "status": status,
        "outbound": outbound,
        "text": content.and_then(Content::text),
        "file": media.and_then(|media| media.url.as_deref()).map(|url| json!({"secure_url": url})),
        "file_type": media.and(content).map(Content::kind),
        "mime_type": media.and_then(|media| media.mime_type.as_deref()),
        "media_title": media.and_then(|media| media.filename.as_deref()),
        "auxiliary_data": {"content": content, "failure": message.failure},
        "custom_data": event.data.custom,
        "metadata": {"event_id": event.id, "sequence": event.sequence, "platform_message_id": message.platform_id},
        "transcribe_enabled": false,
        "transcribe_in_progress": false,
        "count_as_inbound": !outbound,
        "quote": if is_deletion(event) { None } else { quote(message) },
        "template": message.template.as_ref().map(|of| json!({"name": of.name, "language": of.language})),
        "platform": "whatsapp",
        "platform_id": words::our_digits(event),
        "conversation_state": state(event, outbound),
        "tenant": {"id": event.account, "name": event.account, "org_id": null},
        "chat_user": {
            "id": person,
            "username": contact.user_id,
            "first_name": contact.name,
            "last_name": null,
            "phone_number": phone,
            "gender": null,
            "profile_picture": null,
        },
    });
    if let Some(payment) = &event.data.payment {
        told["auxiliary_data"]["payment"] = json!(payment);
    }
    told
}

/// Ours and the provider's. What was deleted is the same message in another state, and no new one.
fn ids<'a>(event: &WebhookEvent, message: &'a Message) -> (Option<&'a String>, Option<&'a String>) {
    match message.replies_to.as_ref().filter(|_| is_deletion(event)) {
        Some(deleted) => (deleted.id.as_ref(), deleted.provider_id.as_ref()),
        None => (message.id.as_ref(), message.provider_id.as_ref()),
    }
}

fn is_deletion(event: &WebhookEvent) -> bool {
    event.name == EventName::MessageDeleted
}

/// How things stand with the person: of somebody who never wrote nothing is known.
fn state(event: &WebhookEvent, outbound: bool) -> Option<String> {
    let known = event.data.conversation.as_ref().map(|conversation| conversation.state.to_uppercase());
    known.or_else(|| (!outbound).then(|| OPEN.to_owned()))
}

/// When the message came to be, which its id tells.
fn began(event: &WebhookEvent, message: &Message) -> UnixMillis {
    let id = message.id.as_ref().and_then(|id| id.parse::<MessageId>().ok());
    id.map_or(event.occurred_at, MessageId::made_at)
}

fn quote(message: &Message) -> Option<Value> {
    let quoted = message.replies_to.as_ref()?;
    Some(json!({"id": quoted.id.as_ref().or(quoted.provider_id.as_ref()), "ext_identifier": quoted.provider_id}))
}

fn kind(message: &Message) -> &'static str {
    if let Some(template) = &message.template {
        return if template.file.is_some() { "MEDIA_HSM" } else { "HSM" };
    }
    let Some(content) = &message.content else { return "TEXT" };
    match content {
        Content::Text { .. } => "TEXT",
        Content::Button { .. } => "BUTTON",
        Content::ListReply { .. } | Content::FlowReply { .. } | Content::Order { .. } => "WA_INTERACTIVE",
        Content::Location { .. } => "LOCATION",
        Content::Image(_) => "IMAGE",
        Content::Video(_) => "VIDEO",
        Content::Audio(_) => "AUDIO",
        Content::Voice(_) => "VOICE",
        Content::Document(_) => "FILE",
        Content::Sticker(_) => "STICKER",
        Content::Contacts { .. } => "CONTACT",
        Content::Reaction { .. }
        | Content::NumberChanged { .. }
        | Content::Unsupported { .. }
        | Content::Other { .. } => "EVENT",
    }
}
