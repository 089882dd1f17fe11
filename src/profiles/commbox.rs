//! Like CommBox: an `Event` with the entity that it is about, in XML, in JSON (all scalars are strings), or in a SOAP envelope.
//!
//! Messages are told as CommBox tells them, as new children of a conversation. How it tells statuses of WhatsApp is not published:
//! ours are an `Event` of its entity `WhatsApp`, with the message's id, its recipient and the status as attributes. That a message was
//! deleted is modelled on its activity RedactChild. CommBox signs nothing; it logs in, which the webhook's configuration does.

use serde_json::{Value, json};

use super::{
    Format, Profile, RenderOptions, Rendered, Signature, Unspeakable,
    words::{self, digits},
    xml::Element,
};
use crate::domain::{
    event_name::{Direction, EventName},
    notice::event_name_of,
    time::UnixMillis,
    webhook_content::Content,
    webhook_event::{Level, Message, WebhookEvent},
    webhook_news::ProviderEventFacts,
};

const VERSION: &str = "2.07";
/// CommBox's number for the channel WhatsApp Cloud.
const WHATSAPP_CLOUD: &str = "16";
/// And for a conversation that is open.
const OPEN: &str = "1";
/// And for an activity that changed its status, and one that took a message away (RedactChild).
const STATUS_CHANGE: &str = "2";
const REDACT_CHILD: &str = "23";
/// Who wrote: nobody of the customer's staff, or somebody. Here there is only one.
const NO_MANAGER: &str = "0";
const SOME_MANAGER: &str = "1";
/// A line in a list of conversations is cut there.
const SNIPPET_CHARS_MAX: usize = 100;

pub struct CommBox;

impl Profile for CommBox {
    fn slug(&self) -> &'static str {
        "commbox"
    }

    fn title(&self) -> &'static str {
        "CommBox"
    }

    fn formats(&self) -> &'static [Format] {
        &Format::ALL
    }

    fn versions(&self) -> &'static [&'static str] {
        &[VERSION]
    }

    fn levels(&self) -> &'static [Level] {
        &[Level::Standard, Level::Minimal, Level::Complete]
    }

    fn word(&self, name: EventName) -> Option<&'static str> {
        match name {
            EventName::MessageReceived
            | EventName::MessageInteraction
            | EventName::MessageFlow
            | EventName::MessageCart
            | EventName::MessagePayment
            | EventName::MessageOutbound => Some("Object.OnNewChild"),
            EventName::MessageSent
            | EventName::MessageDelivered
            | EventName::MessageRead
            | EventName::MessageFailed => Some("WhatsApp.OnStatus"),
            EventName::ContactCreated => Some("User.OnNew"),
            EventName::ContactUpdated => Some("User.OnUpdate"),
            EventName::ContactTagMapped | EventName::ContactTagUnmapped => Some("User.OnUpdateTag"),
            EventName::ConversationCreated => Some("Object.OnNew"),
            EventName::MessageDeleted
            | EventName::ConversationUpdated
            | EventName::ConversationExpired
            | EventName::ConversationResolved
            | EventName::ConversationUnattended
            | EventName::ConversationAutoReplied => Some("Object.OnNewActivity"),
            EventName::ConversationTagMapped | EventName::ConversationTagUnmapped => Some("Object.OnUpdateTag"),
            EventName::MessageAccepted
            | EventName::TemplateStatus
            | EventName::ChannelStatus
            | EventName::ContactOptedIn
            | EventName::ContactOptedOut
            | EventName::MessageClicked
            | EventName::WebhookFailing
            | EventName::WebhookDisabled
            | EventName::GallaboxEvent
            | EventName::GoTalloEvent => None,
            EventName::CommBoxEvent => Some("…"),
        }
    }

    fn signature(&self) -> Signature {
        Signature::None
    }

    fn own_headers(&self) -> &'static [&'static str] {
        &["soapaction"]
    }

    fn render(&self, event: &WebhookEvent, options: &RenderOptions<'_>) -> Result<Rendered, Unspeakable> {
        words::knows(self, options)?;
        let word = self.word(event.name).ok_or_else(|| words::none("CommBox", event.name))?;
        if let Some(event_of_its_own) = &event.data.provider_event {
            return relayed(event, event_of_its_own, options);
        }
        let (entity, name) = word.split_once('.').ok_or_else(|| words::lacking(event.name))?;
        let message = || event.data.message.as_ref().ok_or_else(|| words::lacking(event.name));
        let about = match (entity, name) {
            ("WhatsApp", _) => status(event, message()?),
            ("User", _) => person(&event.at(options.level))?,
            ("Object", "OnNewChild") => child(event, message()?, options.level)?,
            _ if event.name == EventName::MessageDeleted => deletion(event, message()?),
            _ => conversation(event, name, options.level)?,
        };
        let envelope = Element::new("Event").with("Subscription", entity).with("Name", name);
        let envelope = envelope.with("Brand", event.account.as_str()).containing(about);
        written(word, &envelope, options)
    }
}

fn written(word: &str, envelope: &Element, options: &RenderOptions<'_>) -> Result<Rendered, Unspeakable> {
    let (headers, content_type, body) = match options.format {
        Format::Json => (vec![], "application/json".to_owned(), envelope.to_json()),
        Format::Xml => (vec![], "application/xml; charset=utf-8".to_owned(), envelope.to_xml()?),
        Format::Soap11 => (
            vec![("soapaction", format!("\"{word}\""))],
            "text/xml; charset=utf-8".to_owned(),
            envelope.to_soap(options.format, options.soap_parameters)?,
        ),
        Format::Soap12 => (
            vec![],
            format!("application/soap+xml; charset=utf-8; action=\"{word}\""),
            envelope.to_soap(options.format, options.soap_parameters)?,
        ),
    };
    Ok(Rendered { headers, content_type, body })
}

/// What CommBox said itself: as it came in the format in which it came, in others as a text within the envelope.
fn relayed(
    event: &WebhookEvent,
    told: &ProviderEventFacts,
    options: &RenderOptions<'_>,
) -> Result<Rendered, Unspeakable> {
    let payload = words::relayed(event, told)?;
    let xml = serde_json::from_str::<String>(payload).ok();
    let whole = |content_type: &str, body: String| {
        Ok(Rendered { headers: vec![], content_type: content_type.to_owned(), body })
    };
    match (options.format, xml) {
        (Format::Json, None) => whole("application/json", payload.to_owned()),
        (Format::Xml, Some(xml)) => whole("application/xml; charset=utf-8", xml),
        (Format::Json | Format::Xml | Format::Soap11 | Format::Soap12, xml) => {
            let word = event_name_of(&told.name);
            let (entity, name) = word.split_once('.').unwrap_or((&word, ""));
            let envelope = Element::new("Event").with("Subscription", entity).with("Name", name);
            let envelope = envelope.with("Brand", event.account.as_str());
            let payload = xml.unwrap_or_else(|| payload.to_owned());
            written(&word, &envelope.saying("Payload", payload), options)
        }
    }
}

/// A message as the newest of its conversation. Without complete data only ids are told.
fn child(event: &WebhookEvent, message: &Message, level: Level) -> Result<Element, Unspeakable> {
    let person = words::person_id(event).ok_or_else(|| words::lacking(event.name))?;
    let inbound = message.direction == Some(Direction::In);
    let manager = if inbound { NO_MANAGER } else { SOME_MANAGER };
    let text = message.content.as_ref().and_then(Content::text).unwrap_or_default();
    let child = Element::new("Child")
        .with("Id", event.id.as_str())
        .with("CreateDate", date(event.occurred_at))
        .with("Type", kind(message))
        .with_known("StreamProviderId", message.provider_id.as_deref());
    let child = match level {
        Level::Minimal => child.saying("ManagerId", manager),
        Level::Standard | Level::Complete => child
            .saying("Message", text.as_str())
            .saying("Content", details(event, message, level).to_string())
            .saying("ManagerId", manager)
            .saying("Snippet", text.chars().take(SNIPPET_CHARS_MAX).collect::<String>())
            .containing(user(event, &person)),
    };
    Ok(object(event, OPEN, event.occurred_at.to_string()).containing(Element::new("Children").containing(child)))
}

/// The conversation that it is about.
fn object(event: &WebhookEvent, status: &str, began: String) -> Element {
    Element::new("Object")
        .with_known("Id", words::conversation_id(event))
        .with("StreamId", words::channel_id(event))
        .with("SubStreamId", "0")
        .with("Type", "4")
        .with("StatusID", status)
        .with("CreateDate", began)
        .with_known("StreamProviderId", words::person_id(event))
        .with("StreamProviderType", WHATSAPP_CLOUD)
}

/// Something that was done in a conversation.
fn activity(event: &WebhookEvent, kind: &str, data: &Value) -> Element {
    let activity = Element::new("Activity")
        .with("Id", event.id.as_str())
        .with("Type", kind)
        .with("CreateDate", date(event.occurred_at))
        .saying("Data", data.to_string());
    Element::new("Activities").containing(activity)
}

/// A message was taken away by who wrote it.
fn deletion(event: &WebhookEvent, message: &Message) -> Element {
    let deleted = message.replies_to.as_ref();
    let data =
        json!({"event": event.name, "StreamProviderId": deleted.and_then(|deleted| deleted.provider_id.as_deref())});
    object(event, OPEN, event.occurred_at.to_string()).containing(activity(event, REDACT_CHILD, &data))
}

/// CommBox's number for what was written.
fn kind(message: &Message) -> &'static str {
    let Some(content) = &message.content else {
        return if message.template.is_some() { "16" } else { "0" };
    };
    match content {
        Content::Text { .. }
        | Content::Reaction { .. }
        | Content::NumberChanged { .. }
        | Content::Unsupported { .. }
        | Content::Other { .. } => "0",
        // A file has no number of its own: it is a link.
        Content::Document(_) => "1",
        Content::Image(_) | Content::Sticker(_) => "2",
        Content::Video(_) => "3",
        Content::Audio(_) => "6",
        Content::Location { .. } => "7",
        Content::Voice(_) => "8",
        Content::FlowReply { .. } => "10",
        Content::Button { .. } | Content::ListReply { .. } => "12",
        Content::Order { .. } => "13",
        Content::Contacts { .. } => "14",
    }
}

/// All of it, in our words: CommBox keeps JSON of no fixed form there.
fn details(event: &WebhookEvent, message: &Message, level: Level) -> Value {
    let mut details = json!({
        "content": message.content,
        "template": message.template,
        "replies_to": message.replies_to,
        "payment": event.data.payment,
    });
    if let (Level::Complete, Some(raw)) = (level, &event.data.raw) {
        details["raw"] = serde_json::from_str(raw.as_json()).unwrap_or_default();
    }
    if let Value::Object(parts) = &mut details {
        parts.retain(|_, value| !value.is_null());
    }
    details
}

fn user(event: &WebhookEvent, person: &str) -> Element {
    let contact = event.data.contact.clone().unwrap_or_default();
    let phone = contact.phone.as_deref().map(digits);
    let identity = Element::new("Identity")
        .with("StreamProviderId", person)
        .with("StreamProviderType", WHATSAPP_CLOUD)
        .with_known("Name", contact.name.as_deref());
    Element::new("User")
        .with("Id", person)
        .with_known("UniqueId", contact.user_id)
        .with_known("FirstName", contact.name.as_deref())
        .with_known("Phone1", phone)
        .containing(identity)
}

/// How far a message came.
fn status(event: &WebhookEvent, message: &Message) -> Element {
    let failure = message.failure.as_ref();
    let code = failure.and_then(|failure| failure.provider_code).map(|code| code.to_string());
    Element::new("WhatsApp")
        .with_known("Id", message.provider_id.as_ref().or(message.id.as_ref()).map(String::as_str))
        .with_known("Status", message.status.as_deref())
        .with_known("Recipient", words::person_id(event))
        .with("StreamId", words::channel_id(event))
        .with("StreamProviderType", WHATSAPP_CLOUD)
        .with("CreateDate", event.occurred_at.to_string())
        .with_known("ClientReference", message.platform_id.as_deref())
        .with_known("ErrorCode", code)
        .with_known("ErrorMessage", failure.map(|failure| failure.text.as_str()))
}

/// A contact, with the tag that it was given or lost.
fn person(event: &WebhookEvent) -> Result<Element, Unspeakable> {
    let person = words::person_id(event).ok_or_else(|| words::lacking(event.name))?;
    Ok(match tag(event) {
        Some(tag) => user(event, &person).containing(tag),
        None => user(event, &person),
    })
}

fn tag(event: &WebhookEvent) -> Option<Element> {
    let removed = matches!(event.name, EventName::ContactTagUnmapped | EventName::ConversationTagUnmapped);
    let tag = event.data.tag.as_deref()?;
    Some(Element::new("Tag").with("Name", tag).with("Action", if removed { "Remove" } else { "Add" }))
}

/// A conversation: new, with another tag, or with what was done about it. Who the person is stands in it by id alone, too.
fn conversation(event: &WebhookEvent, name: &str, level: Level) -> Result<Element, Unspeakable> {
    let person = words::person_id(event).ok_or_else(|| words::lacking(event.name))?;
    let about = event.data.conversation.as_ref().ok_or_else(|| words::lacking(event.name))?;
    let object = object(event, status_of(&about.state), about.opened_at.clone());
    let object = match name {
        "OnNewActivity" => {
            let data = json!({"state": about.state, "unattended_since": about.unattended_since, "event": event.name});
            object.containing(activity(event, STATUS_CHANGE, &data))
        }
        _ => object,
    };
    let object = match tag(event) {
        Some(tag) => object.containing(tag),
        None => object,
    };
    Ok(match level {
        Level::Minimal => object,
        Level::Standard | Level::Complete => object.containing(user(event, &person)),
    })
}

/// CommBox's numbers: open, resolved, automated, irrelevant.
fn status_of(state: &str) -> &'static str {
    match state {
        "closed" | "expired" => "2",
        "auto_bot" => "11",
        "blocked" => "4",
        _ => OPEN,
    }
}

/// The day, as CommBox writes it of children.
fn date(moment: UnixMillis) -> String {
    let text = moment.to_string();
    match text.get(..10).map(|day| day.split('-').collect::<Vec<_>>()).as_deref() {
        Some([year, month, day]) => format!("{day}-{month}-{year}"),
        Some(_) | None => text,
    }
}
