//! Like Gallabox: the bare event as the body, its name in `x-event-name`, the body signed in `x-gallabox-signature`.
//!
//! Gallabox describes its events, and shows few of them. Received messages and statuses are as its receivers read them in
//! production; carts, forms, payments and templates are modelled on these, but where Gallabox itself reported a cart, a form or a
//! payment it is passed on as it came. It knows conversations and contacts by ids of
//! its own, for which ids stand that are made of the two numbers: the same for the same people.

use serde_json::{Map, Value, json};

use super::{
    Format, Profile, RenderOptions, Rendered, Signature, Unspeakable, cloud_shape,
    signing::{self, Signed},
    words::{self, digits},
};
use crate::domain::{
    event_name::{Direction, EventName},
    notice::event_name_of,
    webhook_content::{Content, Media},
    webhook_event::{Message, WebhookEvent},
};

/// The words of 2026, which receivers written before do not know.
const VERSION: &str = "2026-08";

pub struct Gallabox;

impl Profile for Gallabox {
    fn slug(&self) -> &'static str {
        "gallabox"
    }

    fn title(&self) -> &'static str {
        "Gallabox"
    }

    fn formats(&self) -> &'static [Format] {
        &[Format::Json]
    }

    fn versions(&self) -> &'static [&'static str] {
        &[VERSION]
    }

    fn word(&self, name: EventName) -> Option<&'static str> {
        Some(match name {
            EventName::MessageReceived => "Message.Received",
            EventName::MessageInteraction => "Message.WA.Interaction.Received",
            EventName::MessageFlow => "Message.Flow.Received",
            EventName::MessageCart => "Message.WA.Cart.Received",
            EventName::MessagePayment => "Message.WA.Payment.Status.Received",
            EventName::MessageOutbound => "Message.Send",
            EventName::MessageSent | EventName::MessageDelivered | EventName::MessageRead => {
                "Message.WA.Status.Received"
            }
            EventName::MessageFailed => "Message.WA.Status.Failed",
            EventName::TemplateStatus => "Template.Status",
            EventName::ContactCreated => "Contact.Created",
            EventName::ContactUpdated => "Contact.Updated",
            EventName::ContactTagMapped => "Contact.Tag.Mapped",
            EventName::ContactTagUnmapped => "Contact.Tag.Unmapped",
            EventName::ConversationCreated => "Conversation.Create",
            EventName::ConversationUpdated => "Conversation.Update",
            EventName::ConversationResolved => "Conversation.Resolve",
            EventName::ConversationUnattended => "Conversation.UnAttended",
            EventName::ConversationTagMapped => "Conversation.Tag.Mapped",
            EventName::ConversationTagUnmapped => "Conversation.Tag.Unmapped",
            EventName::MessageAccepted
            | EventName::MessageDeleted
            | EventName::ChannelStatus
            | EventName::ContactOptedIn
            | EventName::ContactOptedOut
            | EventName::MessageClicked
            | EventName::ConversationExpired
            | EventName::ConversationAutoReplied
            | EventName::WebhookFailing
            | EventName::WebhookDisabled
            | EventName::CommBoxEvent
            | EventName::GoTalloEvent => return None,
            EventName::GallaboxEvent => "…",
        })
    }

    fn signature(&self) -> Signature {
        Signature::Gallabox
    }

    fn has_old_names(&self) -> bool {
        true
    }

    fn own_headers(&self) -> &'static [&'static str] {
        &["x-event-name", "x-gallabox-signature"]
    }

    /// Of forms, carts and payments, see [`passed_on`].
    fn needs_raw(&self) -> bool {
        true
    }

    fn render(&self, event: &WebhookEvent, options: &RenderOptions<'_>) -> Result<Rendered, Unspeakable> {
        words::knows(self, options)?;
        let word = self.word(event.name).ok_or_else(|| words::none("Gallabox", event.name))?;
        let word = match &event.data.provider_event {
            Some(relayed) => event_name_of(&relayed.name),
            None if options.old_names => old_word(event.name)?.to_owned(),
            None => word.to_owned(),
        };
        let body = match passed_on(event)? {
            Some(entry) => entry.to_owned(),
            None => told(event)?.to_string(),
        };
        let signed = Signed {
            scheme: Signature::Gallabox,
            id: &event.id,
            now: options.now,
            body: &body,
            secrets: options.secrets,
        };
        let headers = [("x-event-name", word)].into_iter().chain(signing::sign(&signed)?).collect();
        Ok(Rendered { headers, content_type: "application/json".to_owned(), body })
    }
}

/// What Gallabox itself said, where it alone has words, or shows nobody how it says it: then ours would say less.
fn passed_on(event: &WebhookEvent) -> Result<Option<&str>, Unspeakable> {
    if let Some(relayed) = &event.data.provider_event {
        return words::relayed(event, relayed).map(Some);
    }
    let unpublished = matches!(event.name, EventName::MessageFlow | EventName::MessageCart | EventName::MessagePayment);
    Ok(words::own_entry(&Gallabox, event).filter(|_| unpublished))
}

fn told(event: &WebhookEvent) -> Result<Value, Unspeakable> {
    match (&event.data.message, &event.data.notice) {
        (Some(message), _) => match event.name {
            EventName::MessagePayment => Ok(payment(event, message)),
            EventName::MessageSent
            | EventName::MessageDelivered
            | EventName::MessageRead
            | EventName::MessageFailed => Ok(status(event, message)),
            EventName::MessageReceived
            | EventName::MessageInteraction
            | EventName::MessageFlow
            | EventName::MessageCart
            | EventName::MessageAccepted
            | EventName::MessageOutbound
            | EventName::MessageDeleted
            | EventName::TemplateStatus
            | EventName::ChannelStatus
            | EventName::ContactOptedIn
            | EventName::ContactOptedOut
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
            | EventName::MessageClicked
            | EventName::WebhookFailing
            | EventName::WebhookDisabled
            | EventName::CommBoxEvent
            | EventName::GallaboxEvent
            | EventName::GoTalloEvent => spoken(event, message),
        },
        (None, Some(_)) => Ok(template(event)),
        (None, None) => about_person(event).ok_or_else(|| words::lacking(event.name)),
    }
}

/// The words before 2026. What had none then was told as the nearest, or not at all.
fn old_word(name: EventName) -> Result<&'static str, Unspeakable> {
    Ok(match name {
        EventName::MessageReceived | EventName::MessageInteraction => "Message.received",
        EventName::MessageFlow => "Message.flow.received",
        EventName::MessageCart => "Message.WA.Cart.received",
        EventName::MessagePayment => "Message.WA.Payment.status.received",
        EventName::MessageSent | EventName::MessageDelivered | EventName::MessageRead => "Message.WA.status.received",
        EventName::MessageFailed => "Message.WA.status.failed",
        EventName::TemplateStatus => "Template.status",
        EventName::ContactCreated => "Contact.created",
        EventName::ContactUpdated => "Contact.updated",
        EventName::ContactTagMapped => "Contact.mapped",
        EventName::ContactTagUnmapped => "Contact.unmapped",
        EventName::ConversationCreated => "Conversation.created",
        EventName::ConversationUpdated => "Conversation.updated",
        EventName::ConversationUnattended => "Conversation.UnAttended",
        EventName::ConversationTagMapped => "Conversation.Tag.mapped",
        EventName::ConversationTagUnmapped => "Conversation.Tag.unmapped",
        EventName::MessageOutbound
        | EventName::MessageAccepted
        | EventName::MessageDeleted
        | EventName::ChannelStatus
        | EventName::ContactOptedIn
        | EventName::ContactOptedOut
        | EventName::MessageClicked
        | EventName::ConversationExpired
        | EventName::ConversationResolved
        | EventName::ConversationAutoReplied
        | EventName::WebhookFailing
        | EventName::WebhookDisabled
        | EventName::CommBoxEvent
        | EventName::GallaboxEvent
        | EventName::GoTalloEvent => return Err(words::none("Gallabox before 2026", name)),
    })
}

/// Modelled on its statuses, with WhatsApp's names for the parts of a payment.
fn payment(event: &WebhookEvent, message: &Message) -> Value {
    let asked = message.replies_to.as_ref().and_then(|quoted| quoted.provider_id.as_deref());
    let payment = event.data.payment.clone().unwrap_or_default();
    let payment = json!({
        "reference_id": payment.reference,
        "amount": payment.amount,
        "currency": payment.currency,
        "transaction": {"id": payment.transaction_id},
    });
    json!({
        "accountId": event.account,
        "channelId": words::channel_id(event),
        "recipient_id": words::person_id(event),
        "timestamp": event.occurred_at.to_string(),
        "whatsapp": {"id": asked, "status": message.status, "type": "payment", "payment": payment},
    })
}

/// A message, from a person or to one.
fn spoken(event: &WebhookEvent, message: &Message) -> Result<Value, Unspeakable> {
    let inbound = message.direction == Some(Direction::In);
    let contact = words::person_id(event).ok_or_else(|| words::lacking(event.name))?;
    let number = words::our_digits(event);
    let person = event.data.contact.clone().unwrap_or_default();
    let phone = person.phone.as_deref().map(digits);
    let (from, to) =
        if inbound { (phone.clone(), Some(number.clone())) } else { (Some(number.clone()), phone.clone()) };
    let mut whatsapp = Map::new();
    // How far one of ours came is said by statuses alone, which this event may come after.
    let status = inbound.then_some("received");
    for (key, value) in [
        ("id", message.provider_id.as_deref()),
        ("from", from.as_deref()),
        ("to", to.as_deref().filter(|_| !inbound)),
        ("time", Some(event.occurred_at.as_seconds().to_string().as_str())),
        ("status", status),
    ] {
        whatsapp.extend(value.map(|value| (key.to_owned(), Value::from(value))));
    }
    whatsapp.extend(content(message));
    if let Some(quoted) = message.replies_to.as_ref().and_then(|quoted| quoted.provider_id.as_deref()) {
        whatsapp.insert("context".to_owned(), json!({"id": quoted}));
    }
    Ok(json!({
        "id": message.id.as_ref().unwrap_or(&event.id),
        "conversationId": words::conversation_id(event),
        "accountId": event.account,
        "channelId": words::channel_id(event),
        "channelType": "whatsapp",
        "localMessageId": message.platform_id,
        "contactId": contact,
        "sender": if inbound { contact.clone() } else { event.account.clone() },
        "senderType": if inbound { "contact" } else { "account" },
        "createdAt": event.occurred_at.to_string(),
        "contact": {
            "id": contact,
            "name": person.name.or_else(|| phone.clone()).unwrap_or_else(|| contact.clone()),
            "phone": phone.into_iter().collect::<Vec<_>>(),
        },
        "whatsapp": whatsapp,
    }))
}

/// The type, and under its name what it has. Files stand under `path`, as Gallabox has them, and under `link`.
fn content(message: &Message) -> Map<String, Value> {
    // What a template says is told by its name.
    let Some(content) = message.content.as_ref().filter(|_| message.template.is_none()) else {
        let template = message.template.as_ref();
        let template =
            template.map(|template| json!({"templateName": template.name, "languageCode": template.language}));
        let kind = if template.is_some() { "template" } else { "unknown" };
        let parts = [Some(("type".to_owned(), Value::from(kind))), template.map(|of| ("template".to_owned(), of))];
        return parts.into_iter().flatten().collect();
    };
    let (kind, mut part) = cloud_shape::part(content);
    if let (Some(media), Value::Object(part)) = (content.media(), &mut part) {
        part.extend(file(media));
    }
    // The cloud has one type for both, and Gallabox two.
    let kind = if matches!(content, Content::Voice(_)) { "voice" } else { kind };
    [("type".to_owned(), Value::from(kind)), (kind.to_owned(), part)].into_iter().collect()
}

fn file(media: &Media) -> impl Iterator<Item = (String, Value)> {
    let url = media.url.clone();
    ["path", "link"].into_iter().filter_map(move |key| Some((key.to_owned(), Value::from(url.clone()?))))
}

/// How far a message of ours came.
fn status(event: &WebhookEvent, message: &Message) -> Value {
    let recipient = event.data.contact.as_ref().and_then(|contact| contact.phone.as_deref()).map(digits);
    let mut told = json!({
        "id": message.provider_id.as_ref().or(message.id.as_ref()),
        "status": message.status,
        "timestamp": event.occurred_at.as_seconds().to_string(),
        "recipient_id": recipient,
        "localMessageId": message.platform_id,
        "message": {"recipient_id": recipient},
    });
    if let Some(failure) = &message.failure {
        told["errors"] = json!([cloud_shape::error(failure)]);
    }
    told
}

fn template(event: &WebhookEvent) -> Value {
    let notice = event.data.notice.as_ref();
    let template = notice.and_then(|notice| notice.template.as_ref());
    json!({
        "accountId": event.account,
        "channelId": words::channel_id(event),
        "name": template.map(|template| template.name.as_str()),
        "language": template.map(|template| template.language.as_str()),
        "status": notice.and_then(|notice| notice.template_status.as_deref()),
        "rejected_reason": notice.map(|notice| notice.text.as_str()),
        "statusUpdatedAt": event.occurred_at.to_string(),
    })
}

/// A contact, or a conversation with its contact. Of the former Gallabox shows an example, where names are written with underscores.
fn about_person(event: &WebhookEvent) -> Option<Value> {
    let person = event.data.contact.clone()?;
    let details = event.data.contact_details.clone().unwrap_or_default();
    let contact = json!({
        "id": words::person_id(event),
        "name": person.name,
        "phone": person.phone,
        "email": null,
        "tags": details.tags,
        "channel": "whatsapp",
        "created_at": details.first_seen_at,
    });
    let Some(conversation) = &event.data.conversation else {
        return Some(with(contact, "tag", event.data.tag.as_deref()));
    };
    let told = json!({
        "id": words::conversation_id(event),
        "accountId": event.account,
        "channelId": words::channel_id(event),
        "channelType": "whatsapp",
        "contactId": words::person_id(event),
        "status": status_of(&conversation.state),
        "tags": conversation.tags,
        "createdAt": conversation.opened_at,
        "updatedAt": event.occurred_at.to_string(),
        "contact": contact,
    });
    Some(with(told, "tag", event.data.tag.as_deref()))
}

fn with(mut told: Value, key: &str, value: Option<&str>) -> Value {
    if let (Value::Object(parts), Some(value)) = (&mut told, value) {
        parts.insert(key.to_owned(), value.into());
    }
    told
}

/// Of these Gallabox has two.
fn status_of(state: &str) -> &'static str {
    match state {
        "closed" | "blocked" | "expired" => "RESOLVED",
        _ => "OPEN",
    }
}
