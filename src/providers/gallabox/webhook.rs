//! What a webhook says. The event's name stands in a header, the body is the bare event; others put the name into the body
//! and the event under a key of its own, and some leave the name out. All three are read.
//!
//! Names changed between two generations of Gallabox's documentation, in case and in words, so they are compared in small
//! letters, by a table with both. Statuses come in two shapes, and what their id is (Gallabox's or WhatsApp's) is not
//! documented: our own id, where it is echoed, comes first.

use chrono::DateTime;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::messages::read_message;
use crate::{
    domain::{
        event_name::System,
        failure::{Failure, FailureReason},
        notice::{MessageNews, Notice, NoticeAbout, NoticeKind, Payment, Severity},
        phone::PhoneNumber,
        status::{DeliveryStatus, StatusUpdate},
        template::TemplateStatus,
        time::UnixMillis,
    },
    providers::{Inbound, Parsed, Skipped, cloud_api::errors, words::reason_of},
};

/// What follows from an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// A person sent something.
    Message,
    /// Something became of a message.
    Status,
    /// The same, and it is bad news even where no word says so.
    Failed,
    /// The same, of a message that may be Gallabox's own.
    BroadcastStatus,
    /// The business sent something: its own words come back.
    Echo,
    Template,
    /// What became of a payment in a chat.
    Payment,
    /// It tells nothing about messages; it is relayed as it came.
    Relayed,
}

/// Both generations of names, in small letters.
const EVENTS: &[(&str, Meaning)] = &[
    ("message.received", Meaning::Message),
    ("message.flow.received", Meaning::Message),
    ("message.wa.cart.received", Meaning::Message),
    ("message.wa.interaction.received", Meaning::Message),
    ("message.send", Meaning::Echo),
    ("message.sent", Meaning::Echo),
    ("message.wa.status.received", Meaning::Status),
    ("message.wa.status.failed", Meaning::Failed),
    ("message.wa.payment.status.received", Meaning::Payment),
    ("template.status", Meaning::Template),
    ("broadcast.wa.message.status.received", Meaning::BroadcastStatus),
    ("broadcast.wa.message.status.failed", Meaning::BroadcastStatus),
    ("broadcast.wa.message.engaged.received", Meaning::Relayed),
];

/// Understands a webhook: the header with the event's name, if there was one, and the body.
pub(super) fn parse(named: Option<&str>, body: &[u8]) -> Parsed {
    let mut parsed = Parsed::default();
    let raw = match serde_json::from_slice::<&RawValue>(body) {
        Ok(raw) => raw,
        Err(_) => {
            parsed.set_aside("", "not a webhook: the body is not JSON", &String::from_utf8_lossy(body));
            return parsed;
        }
    };
    let whole: Value = serde_json::from_str(raw.get()).unwrap_or_default();
    let inside = ["event", "eventName", "type"].iter().find_map(|key| whole[*key].as_str());
    let name = named.map(str::trim).filter(|name| !name.is_empty()).or(inside.filter(|name| name.contains('.')));
    match unwrapped(raw, &whole) {
        Some((pointer, raw)) => read_event(name, &pointer, raw.get(), &mut parsed),
        None => read_event(name, "", raw.get(), &mut parsed),
    }
    parsed
}

/// The event under a key of its own.
fn unwrapped<'a>(raw: &'a RawValue, whole: &Value) -> Option<(String, &'a RawValue)> {
    if whole.get("whatsapp").is_some() {
        return None;
    }
    let key = ["data", "payload"].into_iter().find(|key| whole[*key].is_object())?;
    let parts: std::collections::BTreeMap<String, &RawValue> = serde_json::from_str(raw.get()).ok()?;
    Some((format!("/{key}"), *parts.get(key)?))
}

/// Reads one event, or an element of a list of messages, which has the same shape and no name.
pub(super) fn read_event(name: Option<&str>, pointer: &str, entry: &str, parsed: &mut Parsed) {
    let event: Value = serde_json::from_str(entry).unwrap_or_default();
    let spelled = name;
    let name = name.map(str::to_ascii_lowercase);
    let known = name.as_deref().and_then(meaning).or_else(|| by_shape(&event));
    // Contacts, conversations and whatever else Gallabox has names for.
    let Some(meaning) = known.or_else(|| name.as_deref().map(|_| Meaning::Relayed)) else {
        return parsed.set_aside(pointer, "it neither names its event nor has a shape that is known", entry);
    };
    let relay = |parsed: &mut Parsed| {
        let name = spelled.unwrap_or("an event without a name").to_owned();
        let account = text(&event, &["accountId"]).or_else(|| text(&event["account"], &["id", "_id"]));
        let whose = (account.unwrap_or_default(), Some(channel(&event)));
        let notice = Notice::of_provider((System::Gallabox, name), whose, time_ms(&event), entry.to_owned());
        parsed.notices.push(notice);
        Ok(())
    };
    let outcome = match meaning {
        Meaning::Echo => {
            parsed.ignored += 1;
            Ok(())
        }
        Meaning::Message if is_echo(&event) => {
            parsed.ignored += 1;
            Ok(())
        }
        Meaning::Message => read_inbound(&event, entry, parsed),
        Meaning::Status => read_status(&event, entry, None, parsed),
        Meaning::Failed => read_status(&event, entry, Some(DeliveryStatus::Failed), parsed),
        // Of a broadcast of Gallabox's own, which no platform asked for.
        Meaning::BroadcastStatus if our_id(&event).is_none() => relay(parsed),
        Meaning::BroadcastStatus => read_status(&event, entry, None, parsed),
        Meaning::Template => read_template(&event, entry, parsed),
        Meaning::Payment => {
            parsed.notices.push(read_payment(&event, entry));
            Ok(())
        }
        Meaning::Relayed => relay(parsed),
    };
    if let Err(reason) = outcome {
        parsed.set_aside(pointer, &reason, entry);
    }
}

fn meaning(name: &str) -> Option<Meaning> {
    EVENTS.iter().find(|(known, _)| *known == name).map(|(_, meaning)| *meaning)
}

fn by_shape(event: &Value) -> Option<Meaning> {
    if event["whatsapp"].is_object() {
        let word = event["whatsapp"]["status"].as_str().unwrap_or("received");
        return Some(match (word.eq_ignore_ascii_case("received"), is_echo(event)) {
            (true, false) => Meaning::Message,
            (true, true) => Meaning::Echo,
            (false, _) => Meaning::Status,
        });
    }
    let about_a_message = event.get("recipient_id").is_some() || our_id(event).is_some();
    let about_a_template = event.get("components").is_some() || event.get("templateName").is_some();
    match (about_a_message, about_a_template) {
        (true, _) => Some(Meaning::Status),
        (false, true) => Some(Meaning::Template),
        (false, false) => None,
    }
}

/// Who sent it is not the person whom the conversation is with.
fn is_echo(event: &Value) -> bool {
    match (text(event, &["sender"]), text(event, &["contactId"])) {
        (Some(sender), Some(contact)) => sender != contact,
        (_, None) | (None, Some(_)) => false,
    }
}

fn read_inbound(event: &Value, entry: &str, parsed: &mut Parsed) -> Result<(), String> {
    let mut message = read_message(entry)?;
    message.from_name = text(&event["contact"], &["name"]);
    parsed.inbound.push(Inbound { provider_number_id: channel(event), message, entry: entry.to_owned() });
    Ok(())
}

fn read_status(event: &Value, entry: &str, implied: Option<DeliveryStatus>, parsed: &mut Parsed) -> Result<(), String> {
    let inner = Some(&event["whatsapp"]).filter(|inner| inner.is_object()).unwrap_or(event);
    let word = text(event, &["status"]).or_else(|| text(inner, &["status"]));
    let status = match (word.as_deref().map(str::to_ascii_lowercase).as_deref(), implied) {
        (_, Some(status)) => status,
        (Some("sent"), None) => DeliveryStatus::Sent,
        (Some("delivered"), None) => DeliveryStatus::Delivered,
        (Some("read" | "seen" | "played"), None) => DeliveryStatus::Read,
        (Some("failed" | "undelivered" | "undeliverable"), None) => DeliveryStatus::Failed,
        // Steps on the way that nobody is told of.
        (Some("accepted" | "queued" | "enqueued" | "submitted" | "pending" | "deleted"), None) => {
            parsed.ignored += 1;
            return Ok(());
        }
        (Some(other), None) => return Err(format!("the status {other} is not used by this version")),
        (None, None) => return Err("it does not say what became of the message".to_owned()),
    };
    let local = text(event, &["localMessageId"]).or_else(|| text(inner, &["localMessageId"]));
    let id = text(inner, &["id"]).or_else(|| text(event, &["id", "_id", "messageId"])).or_else(|| local.clone());
    let occurred_at = time_ms(event).or_else(|| time_ms(inner)).ok_or("its time is missing or cannot be read")?;
    parsed.statuses.push(StatusUpdate {
        provider_message_id: id.ok_or("it names no message")?,
        message: our_id(event).or_else(|| our_id(inner)),
        provider_number_id: channel(event),
        status,
        occurred_at,
        // Gallabox passes none on.
        price: None,
        failure: (status == DeliveryStatus::Failed).then(|| failure(event, inner)),
        entry: entry.to_owned(),
    });
    Ok(())
}

/// Other software may send through the same channel and put its own words here.
fn our_id(event: &Value) -> Option<crate::domain::ids::MessageId> {
    text(event, &["localMessageId"])?.parse().ok()
}

/// Meta's codes where there are any; else the words.
fn failure(event: &Value, inner: &Value) -> Failure {
    let errors = [event, inner].into_iter().flat_map(|part| [part.get("errors"), part.get("error")]).flatten();
    let listed =
        errors.filter(|errors| errors.is_array() || errors.is_object()).find_map(|errors| to_raw_value(errors).ok());
    let told =
        [event, inner].into_iter().find_map(|part| text(part, &["reason", "failedReason", "failureReason", "error"]));
    let failure = match (listed, told) {
        (Some(listed), _) => errors::read_report(Some(&listed)),
        (None, Some(told)) => Failure::new(FailureReason::Other, None, &crate::net::redact::text(&told)),
        (None, None) => errors::read_report(None),
    };
    Failure { reason: reason_of(failure.code, &failure.text), ..failure }
}

/// Gallabox does not show what it has, so it is looked for where WhatsApp's own report has it.
fn read_payment(event: &Value, entry: &str) -> Notice {
    let inner = Some(&event["whatsapp"]).filter(|inner| inner.is_object()).unwrap_or(event);
    let part = Some(&inner["payment"]).filter(|part| part.is_object()).unwrap_or(inner);
    let payment = Payment {
        reference: text(part, &["reference_id", "referenceId"]),
        status: text(inner, &["status"]).or_else(|| text(event, &["status"])),
        amount: None,
        currency: text(part, &["currency"]),
        transaction_id: text(&part["transaction"], &["id"]),
    };
    let phone = text(event, &["recipient_id"]).or_else(|| text(inner, &["recipient_id"]));
    let news = MessageNews {
        provider_number_id: Some(channel(event)),
        provider_message_id: text(inner, &["id"]),
        phone: phone.and_then(|phone| PhoneNumber::from_international(&phone)).map(|phone| phone.as_e164().to_owned()),
        payment: Some(payment),
    };
    let account = text(event, &["accountId"]).unwrap_or_default();
    Notice::of_message(news, account, time_ms(event).or_else(|| time_ms(inner)), entry.to_owned())
}

fn read_template(event: &Value, entry: &str, parsed: &mut Parsed) -> Result<(), String> {
    let event = Some(&event["template"]).filter(|inner| inner.is_object()).unwrap_or(event);
    let account = text(event, &["accountId"])
        .or_else(|| text(&event["account"], &["id", "_id"]))
        .ok_or("it does not say of which account the template is")?;
    let name = text(event, &["name", "templateName"]).ok_or("it names no template")?;
    let language = text(event, &["language", "languageCode"]).unwrap_or_default();
    let word = text(event, &["status"]).ok_or("it does not say how the template stands")?.to_ascii_uppercase();
    let status: TemplateStatus = serde_json::from_value(word.as_str().into()).unwrap_or(TemplateStatus::Other(word));
    let severity = match &status {
        TemplateStatus::Approved | TemplateStatus::Pending | TemplateStatus::Other(_) => Severity::Info,
        TemplateStatus::Rejected => Severity::Warning,
        TemplateStatus::Paused | TemplateStatus::Disabled => Severity::Critical,
    };
    let reason = text(event, &["rejected_reason", "rejectedReason", "reason"]).filter(|reason| reason != "NONE");
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    let spelled = if language.is_empty() { name.clone() } else { format!("{name} ({language})") };
    if !parsed.templates_changed.contains(&account) {
        parsed.templates_changed.push(account.clone());
    }
    parsed.notices.push(Notice {
        provider_account_id: account,
        kind: NoticeKind::TemplateStatus,
        text: format!("template {spelled} is {status} at Gallabox{reason}"),
        about: NoticeAbout::Template { name, language },
        severity,
        template_status: Some(status),
        occurred_at: time_ms(event),
        entry: entry.to_owned(),
    });
    Ok(())
}

/// Of which number it is; empty where nothing says so.
fn channel(event: &Value) -> String {
    let inner = || text(&event["channel"], &["id", "_id"]);
    text(event, &["channelId"]).or_else(inner).or_else(|| text(&event["whatsapp"], &["channelId"])).unwrap_or_default()
}

/// The first of these keys that has a text or a number.
pub(super) fn text(value: &Value, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| match value.get(*key)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    })
}

/// Seconds, milliseconds, or a date.
pub(super) fn time_ms(value: &Value) -> Option<UnixMillis> {
    /// As seconds this would be the year 33658.
    const MILLISECONDS_FROM: i64 = 1_000_000_000_000;
    let written = text(value, &["timestamp", "time", "createdAt", "created_at", "updatedAt", "updated_at"])?;
    match written.parse::<i64>() {
        Ok(number) if number >= MILLISECONDS_FROM => Some(UnixMillis(number)),
        Ok(number) if number > 0 => Some(UnixMillis::from_seconds(number)),
        Ok(_) => None,
        Err(_) => DateTime::parse_from_rfc3339(&written).ok().map(|at| UnixMillis(at.timestamp_millis())),
    }
}

impl Parsed {
    fn set_aside(&mut self, pointer: &str, reason: &str, entry: &str) {
        let (pointer, reason) = (pointer.to_owned(), reason.to_owned());
        self.skipped.push(Skipped { pointer, reason, entry: entry.to_owned() });
    }
}
