//! Like Meta: a webhook of the Cloud API with one entry, one change and one message, status or preference, signed in
//! `x-hub-signature-256`.
//!
//! The provider's own entry is passed through where it has this shape, as it came; otherwise the nearest one is made of what is
//! known. So a receiver written for the Cloud API hears of numbers at other providers too.

use serde::Serialize;
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};

use super::{
    Format, Profile, RenderOptions, Rendered, Signature, Unspeakable, cloud_shape,
    signing::{self, Signed},
    words::{self, digits},
};
use crate::domain::{
    event_name::EventName,
    inbound::REVOKED,
    webhook_event::{Message, WebhookEvent},
};

/// Ours of this shape; Meta's own versions do not show in a webhook.
const VERSION: &str = "1";

pub struct Meta;

/// In which list of a change it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    Messages,
    Statuses,
    Preferences,
}

#[derive(Serialize)]
struct Webhook<'a> {
    object: &'a str,
    entry: [Entry<'a>; 1],
}

#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    changes: [Box<RawValue>; 1],
}

#[derive(Serialize)]
struct Change<'a> {
    value: ChangeValue<'a>,
    field: &'a str,
}

#[derive(Serialize)]
struct ChangeValue<'a> {
    messaging_product: &'a str,
    metadata: Value,
    contacts: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<[Box<RawValue>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    statuses: Option<[Box<RawValue>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_preferences: Option<[Box<RawValue>; 1]>,
}

impl Profile for Meta {
    fn slug(&self) -> &'static str {
        "meta"
    }

    fn title(&self) -> &'static str {
        "Meta"
    }

    fn formats(&self) -> &'static [Format] {
        &[Format::Json]
    }

    fn versions(&self) -> &'static [&'static str] {
        &[VERSION]
    }

    fn needs_raw(&self) -> bool {
        true
    }

    fn word(&self, name: EventName) -> Option<&'static str> {
        Some(match name {
            EventName::MessageReceived
            | EventName::MessageInteraction
            | EventName::MessageFlow
            | EventName::MessageCart
            | EventName::MessageDeleted => "messages: messages",
            EventName::MessageSent
            | EventName::MessageDelivered
            | EventName::MessageRead
            | EventName::MessageFailed
            | EventName::MessagePayment => "messages: statuses",
            EventName::TemplateStatus => "message_template_…",
            EventName::ChannelStatus => "phone_number_…, account_…",
            EventName::ContactOptedIn | EventName::ContactOptedOut => "user_preferences",
            EventName::MessageAccepted
            | EventName::MessageOutbound
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
            | EventName::GoTalloEvent => return None,
        })
    }

    fn signature(&self) -> Signature {
        Signature::Hub
    }

    fn own_headers(&self) -> &'static [&'static str] {
        &["x-hub-signature-256"]
    }

    fn render(&self, event: &WebhookEvent, options: &RenderOptions<'_>) -> Result<Rendered, Unspeakable> {
        words::knows(self, options)?;
        let change = change(event)?;
        let account = event.data.channel.as_ref().and_then(|channel| channel.provider_account_id.as_deref());
        let entry = Entry { id: account.unwrap_or_default(), changes: [change] };
        let webhook = Webhook { object: "whatsapp_business_account", entry: [entry] };
        let body = serde_json::to_string(&webhook).map_err(|error| Unspeakable(error.to_string()))?;
        let signed =
            Signed { scheme: Signature::Hub, id: &event.id, now: options.now, body: &body, secrets: options.secrets };
        Ok(Rendered { headers: signing::sign(&signed)?, content_type: "application/json".to_owned(), body })
    }
}

fn change(event: &WebhookEvent) -> Result<Box<RawValue>, Unspeakable> {
    match event.name {
        EventName::MessageReceived
        | EventName::MessageInteraction
        | EventName::MessageFlow
        | EventName::MessageCart => listed(event, List::Messages, message),
        EventName::MessageSent | EventName::MessageDelivered | EventName::MessageRead | EventName::MessageFailed => {
            listed(event, List::Statuses, status)
        }
        // Nobody but Meta can say what a payment's report has.
        EventName::MessagePayment => listed(event, List::Statuses, |event, _| Err(words::lacking(event.name))),
        EventName::ContactOptedIn | EventName::ContactOptedOut => {
            listed(event, List::Preferences, |event, _| preference(event))
        }
        EventName::TemplateStatus | EventName::ChannelStatus => notice(event),
        EventName::MessageDeleted if passed_through(event, List::Statuses).is_some() => {
            listed(event, List::Statuses, status)
        }
        EventName::MessageDeleted => listed(event, List::Messages, revoked),
        EventName::MessageAccepted
        | EventName::MessageOutbound
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
        | EventName::GoTalloEvent => Err(words::none("the Cloud API", event.name)),
    }
}

type Make = fn(&WebhookEvent, &Message) -> Result<Value, Unspeakable>;

/// A change with one element in one of its lists: as it came, or made.
fn listed(event: &WebhookEvent, list: List, make: Make) -> Result<Box<RawValue>, Unspeakable> {
    let element = match passed_through(event, list) {
        Some(element) => element,
        None => raw(&make(event, event.data.message.as_ref().unwrap_or(&Message::default()))?)?,
    };
    let element = Some([element]);
    let [messages, statuses, user_preferences] = match list {
        List::Messages => [element, None, None],
        List::Statuses => [None, element, None],
        List::Preferences => [None, None, element],
    };
    let value = ChangeValue {
        messaging_product: "whatsapp",
        metadata: json!({"display_phone_number": words::our_digits(event), "phone_number_id": words::channel_id(event)}),
        contacts: people(event),
        messages,
        statuses,
        user_preferences,
    };
    let field = if list == List::Preferences { "user_preferences" } else { "messages" };
    raw(&Change { value, field })
}

/// The provider's entry, where it has the keys by which the Cloud API's receivers know such an element.
fn passed_through(event: &WebhookEvent, list: List) -> Option<Box<RawValue>> {
    let keys: &[&str] = match list {
        List::Messages => &["id", "timestamp", "type"],
        List::Statuses => &["id", "status", "timestamp"],
        List::Preferences => &["category", "value", "timestamp"],
    };
    as_it_came(event, keys)
}

fn as_it_came(event: &WebhookEvent, keys: &[&str]) -> Option<Box<RawValue>> {
    let entry = event.data.raw.as_ref()?.as_json();
    let fields: serde_json::Map<String, Value> = serde_json::from_str(entry).ok()?;
    if !keys.iter().all(|key| fields.contains_key(*key)) {
        return None;
    }
    RawValue::from_string(entry.to_owned()).ok()
}

/// A notice is kept as the whole change that it was; what is none cannot be made up.
fn notice(event: &WebhookEvent) -> Result<Box<RawValue>, Unspeakable> {
    if let Some(change) = as_it_came(event, &["field", "value"]) {
        return Ok(change);
    }
    let notice = event.data.notice.as_ref().ok_or_else(|| words::lacking(event.name))?;
    match (&notice.template, &notice.template_status) {
        (Some(template), Some(status)) => raw(&json!({
            "field": "message_template_status_update",
            "value": {
                "event": status.to_uppercase(),
                "message_template_name": template.name,
                "message_template_language": template.language,
                "reason": notice.text,
            },
        })),
        (Some(_) | None, _) => Err(Unspeakable(format!(
            "the provider's own notice of {} has not the Cloud API's shape: use the native profile for it",
            notice.kind
        ))),
    }
}

fn people(event: &WebhookEvent) -> Vec<Value> {
    let Some(contact) = &event.data.contact else { return vec![] };
    let mut person = json!({});
    if let Some(name) = contact.name.as_deref() {
        person["profile"] = json!({"name": name});
    }
    if let Some(phone) = contact.phone.as_deref() {
        person["wa_id"] = digits(phone).into();
    }
    if let Some(user_id) = contact.user_id.as_deref() {
        person["user_id"] = user_id.into();
    }
    vec![person]
}

fn message(event: &WebhookEvent, message: &Message) -> Result<Value, Unspeakable> {
    let content = message.content.as_ref().ok_or_else(|| words::lacking(event.name))?;
    let (kind, part) = cloud_shape::part(content);
    let mut told = json!({
        "id": message.provider_id,
        "timestamp": event.occurred_at.as_seconds().to_string(),
        "type": kind,
        kind: part,
    });
    let contact = event.data.contact.clone().unwrap_or_default();
    if let Some(phone) = contact.phone.as_deref() {
        told["from"] = digits(phone).into();
    }
    if let Some(user_id) = contact.user_id {
        told["from_user_id"] = user_id.into();
    }
    if let Some(quoted) = message.replies_to.as_ref().and_then(|quoted| quoted.provider_id.as_deref()) {
        told["context"] = json!({"from": words::our_digits(event), "id": quoted});
    }
    Ok(told)
}

fn revoked(event: &WebhookEvent, message: &Message) -> Result<Value, Unspeakable> {
    let original = message.replies_to.as_ref().and_then(|quoted| quoted.provider_id.as_deref());
    let original = original.ok_or_else(|| words::lacking(event.name))?;
    Ok(json!({
        "from": words::person_id(event),
        "id": message.provider_id.as_ref().unwrap_or(&event.id),
        "timestamp": event.occurred_at.as_seconds().to_string(),
        "type": REVOKED,
        REVOKED: {"original_message_id": original},
    }))
}

fn status(event: &WebhookEvent, message: &Message) -> Result<Value, Unspeakable> {
    let mut told = json!({
        "id": message.provider_id.as_ref().or(message.id.as_ref()),
        "status": message.status,
        "timestamp": event.occurred_at.as_seconds().to_string(),
        "recipient_id": words::person_id(event),
    });
    if let Some(failure) = &message.failure {
        told["errors"] = json!([cloud_shape::error(failure)]);
    }
    if let Some(ours) = &message.platform_id {
        told["biz_opaque_callback_data"] = ours.as_str().into();
    }
    Ok(told)
}

fn preference(event: &WebhookEvent) -> Result<Value, Unspeakable> {
    let wants = event.data.preference.as_ref().ok_or_else(|| words::lacking(event.name))?;
    let mut told = json!({
        "detail": wants.source,
        // The one kind that there is: who wants nothing at all wants none of these either.
        "category": "marketing_messages",
        "value": if event.name == EventName::ContactOptedOut { "stop" } else { "resume" },
        // A number here, where the Cloud API has texts everywhere else.
        "timestamp": event.occurred_at.as_seconds(),
    });
    let person = event.data.contact.clone().unwrap_or_default();
    if let Some(phone) = person.phone.as_deref() {
        told["wa_id"] = digits(phone).into();
    }
    if let Some(user_id) = person.user_id {
        told["user_id"] = user_id.into();
    }
    Ok(told)
}

fn raw<T: Serialize>(value: &T) -> Result<Box<RawValue>, Unspeakable> {
    to_raw_value(value).map_err(|error| Unspeakable(error.to_string()))
}
