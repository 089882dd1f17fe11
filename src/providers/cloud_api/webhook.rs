//! What a webhook says: statuses, messages from people, changed templates.
//!
//! The way through is `entry[]` → `changes[]` → `value` → its `statuses[]` and `messages[]`. Parsing cannot
//! fail, because one odd part must not cost a batch of a thousand, and because a refused webhook comes again
//! for days: whatever this version cannot read ends in [`Parsed::skipped`], with its place and as it came.
//!
//! Every part is first only found and then read: the levels above it hold slices of the body, so an odd
//! part cannot disturb its neighbours, each entry is kept exactly as it arrived, and no tree of the whole
//! body is ever built.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{errors, text::Text};
use crate::{
    domain::{
        inbound::{InboundContent, InboundMessage},
        outbound::Location,
        phone::PhoneNumber,
        status::{DeliveryStatus, StatusUpdate},
        time::UnixMillis,
    },
    providers::{Inbound, Parsed, Skipped, Unreadable},
};

/// Understands the body of a webhook.
pub fn parse_webhook(body: &[u8]) -> Parsed {
    let mut parsed = Parsed::default();
    match serde_json::from_slice::<Envelope<'_>>(body) {
        Ok(envelope) => {
            for (index, entry) in envelope.entry.into_iter().enumerate() {
                read_entry(&format!("/entry/{index}"), entry, &mut parsed);
            }
        }
        Err(error) => {
            let entry = String::from_utf8_lossy(body).into_owned();
            parsed.skipped.push(Skipped { pointer: String::new(), reason: format!("not a webhook: {error}"), entry });
        }
    }
    parsed
}

/// Understands one element of `messages[]`.
pub fn parse_inbound(entry: &str) -> Result<InboundMessage, Unreadable> {
    read_message(entry).map_err(Unreadable)
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    entry: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    /// The business account.
    #[serde(borrow)]
    id: Option<Text<'a>>,
    changes: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Change<'a> {
    #[serde(borrow)]
    field: Text<'a>,
    value: &'a RawValue,
}

/// A change's value by its keys, so that a new key is noticed.
type Value<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

fn read_entry(pointer: &str, raw: &RawValue, parsed: &mut Parsed) {
    let entry = match serde_json::from_str::<Entry<'_>>(raw.get()) {
        Ok(entry) => entry,
        Err(error) => return parsed.skip(pointer, &error.to_string(), raw),
    };
    let account = entry.id.as_ref().map_or("", Text::as_str);
    for (index, change) in entry.changes.into_iter().enumerate() {
        read_change(&format!("{pointer}/changes/{index}"), account, change, parsed);
    }
}

fn read_change(pointer: &str, account: &str, raw: &RawValue, parsed: &mut Parsed) {
    let change = match serde_json::from_str::<Change<'_>>(raw.get()) {
        Ok(change) => change,
        Err(error) => return parsed.skip(pointer, &error.to_string(), raw),
    };
    match change.field.as_str() {
        "messages" => read_value(&format!("{pointer}/value"), change.value, parsed),
        field if is_about_templates(field) && account.is_empty() => {
            parsed.skip(pointer, "the entry names no business account", raw);
        }
        field if is_about_templates(field) => parsed.template_changed(account),
        field => parsed.skip(pointer, &format!("the field {field} is not used by this version"), raw),
    }
}

fn is_about_templates(field: &str) -> bool {
    field.starts_with("message_template_") || field == "template_category_update"
}

fn read_value(pointer: &str, raw: &RawValue, parsed: &mut Parsed) {
    let value = match serde_json::from_str::<Value<'_>>(raw.get()) {
        Ok(value) => value,
        Err(error) => return parsed.skip(pointer, &error.to_string(), raw),
    };
    let Some(number_id) = number_id(&value) else {
        return parsed.skip(pointer, "metadata.phone_number_id is missing", raw);
    };
    for (key, part) in &value {
        let pointer = format!("{pointer}/{key}");
        match key.as_ref() {
            "statuses" => each(&pointer, part, parsed, |raw, parsed| {
                read_status(raw, &number_id).map(|status| parsed.statuses.push(status))
            }),
            "messages" => each(&pointer, part, parsed, |raw, parsed| {
                let message = read_message(raw.get())?;
                let entry = raw.get().to_owned();
                parsed.inbound.push(Inbound { provider_number_id: number_id.clone(), message, entry });
                Ok(())
            }),
            // Names and other ids of the people; what we need of them stands in their messages too.
            "messaging_product" | "metadata" | "contacts" => {}
            "errors" => parsed.skip(&pointer, "errors that belong to no message", part),
            _ => parsed.skip(&pointer, &format!("{key} is not used by this version"), part),
        }
    }
}

/// Reads the elements of an array one by one; those that cannot be read are skipped.
fn each(
    pointer: &str,
    raw: &RawValue,
    parsed: &mut Parsed,
    mut read: impl FnMut(&RawValue, &mut Parsed) -> Result<(), String>,
) {
    match serde_json::from_str::<Vec<&RawValue>>(raw.get()) {
        Ok(elements) => {
            for (index, element) in elements.into_iter().enumerate() {
                if let Err(reason) = read(element, parsed) {
                    parsed.skip(&format!("{pointer}/{index}"), &reason, element);
                }
            }
        }
        Err(error) => parsed.skip(pointer, &error.to_string(), raw),
    }
}

fn number_id(value: &Value<'_>) -> Option<String> {
    #[derive(Deserialize)]
    struct Metadata<'a> {
        #[serde(borrow)]
        phone_number_id: Text<'a>,
    }
    let metadata = serde_json::from_str::<Metadata<'_>>(value.get("metadata")?.get()).ok()?;
    Some(metadata.phone_number_id.into_string()).filter(|id| !id.is_empty())
}

#[derive(Deserialize)]
struct WireStatus<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    status: Text<'a>,
    timestamp: Text<'a>,
    biz_opaque_callback_data: Option<&'a RawValue>,
    errors: Option<&'a RawValue>,
}

fn read_status(raw: &RawValue, number_id: &str) -> Result<StatusUpdate, String> {
    let wire = serde_json::from_str::<WireStatus<'_>>(raw.get()).map_err(|error| error.to_string())?;
    let status = match wire.status.as_str() {
        "sent" => DeliveryStatus::Sent,
        "delivered" => DeliveryStatus::Delivered,
        // A voice note that was played was read.
        "read" | "played" => DeliveryStatus::Read,
        "failed" => DeliveryStatus::Failed,
        other => return Err(format!("the status {other} is not used by this version")),
    };
    Ok(StatusUpdate {
        provider_message_id: non_empty(wire.id, "id")?,
        // Other software may share the number and put its own words here.
        message: wire.biz_opaque_callback_data.and_then(read::<Text<'_>>).and_then(|text| text.as_str().parse().ok()),
        provider_number_id: number_id.to_owned(),
        status,
        occurred_at: moment(wire.timestamp.as_str())?,
        failure: (status == DeliveryStatus::Failed).then(|| errors::read_report(wire.errors)),
        entry: raw.get().to_owned(),
    })
}

#[derive(Deserialize)]
struct WireMessage<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    timestamp: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    from: Option<Text<'a>>,
    from_user_id: Option<Text<'a>>,
    context: Option<&'a RawValue>,
    text: Option<&'a RawValue>,
    button: Option<&'a RawValue>,
    interactive: Option<&'a RawValue>,
    location: Option<&'a RawValue>,
}

fn read_message(entry: &str) -> Result<InboundMessage, String> {
    let wire = serde_json::from_str::<WireMessage<'_>>(entry).map_err(|error| error.to_string())?;
    let content = read_content(&wire)?;
    let from = wire.from.as_ref().and_then(|from| PhoneNumber::from_international(from.as_str()));
    // A person who hides the number is named by an id, in its own field or in the number's place.
    let named_instead = wire.from.filter(|_| from.is_none());
    Ok(InboundMessage {
        provider_message_id: non_empty(wire.id, "id")?,
        from,
        from_user_id: wire.from_user_id.or(named_instead).map(Text::into_string).filter(|id| !id.is_empty()),
        occurred_at: moment(wire.timestamp.as_str())?,
        replies_to: wire.context.and_then(read::<Context<'_>>).and_then(|context| context.id).map(Text::into_string),
        content,
    })
}

fn read_content(wire: &WireMessage<'_>) -> Result<InboundContent, String> {
    match wire.kind.as_str() {
        "text" => {
            let text: TextPart<'_> = part(wire.text, "text.body")?;
            Ok(InboundContent::Text { body: text.body.into_string() })
        }
        "button" => {
            let button: ButtonPart<'_> = part(wire.button, "button.text")?;
            let text = button.text.into_string();
            Ok(InboundContent::Button { payload: button.payload.map_or(text.clone(), Text::into_string), text })
        }
        "interactive" => read_interactive(part(wire.interactive, "interactive.type")?),
        "location" => {
            let location: LocationPart<'_> = part(wire.location, "location.latitude or longitude")?;
            Ok(location.into_content())
        }
        // Known, kept and shown; nothing here relays them yet.
        kind @ ("image" | "video" | "audio" | "document" | "sticker" | "contacts" | "reaction" | "order" | "system"
        | "unsupported" | "edit" | "revoke") => Ok(InboundContent::Other { kind: kind.to_owned() }),
        kind => Err(format!("messages of type {kind} are not known to this version")),
    }
}

fn read_interactive(interactive: InteractivePart<'_>) -> Result<InboundContent, String> {
    let reply = match interactive.kind.as_str() {
        "button_reply" => interactive.button_reply,
        "list_reply" => interactive.list_reply,
        kind => return Ok(InboundContent::Other { kind: kind.to_owned() }),
    };
    let reply: ReplyPart<'_> = part(reply, "interactive's reply")?;
    Ok(InboundContent::Button { payload: reply.id.into_string(), text: reply.title.into_string() })
}

#[derive(Deserialize)]
struct Context<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct TextPart<'a> {
    #[serde(borrow)]
    body: Text<'a>,
}

#[derive(Deserialize)]
struct ButtonPart<'a> {
    #[serde(borrow)]
    text: Text<'a>,
    payload: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct InteractivePart<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    button_reply: Option<&'a RawValue>,
    list_reply: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ReplyPart<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    title: Text<'a>,
}

#[derive(Deserialize)]
struct LocationPart<'a> {
    #[serde(borrow)]
    latitude: Text<'a>,
    longitude: Text<'a>,
    name: Option<Text<'a>>,
    address: Option<Text<'a>>,
    url: Option<Text<'a>>,
}

impl LocationPart<'_> {
    fn into_content(self) -> InboundContent {
        let location = Location {
            latitude: self.latitude.into_string(),
            longitude: self.longitude.into_string(),
            name: self.name.map(Text::into_string),
            address: self.address.map(Text::into_string),
        };
        InboundContent::Location { location, url: self.url.map(Text::into_string) }
    }
}

/// A part that the message cannot do without.
fn part<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>, what: &str) -> Result<T, String> {
    raw.and_then(read).ok_or_else(|| format!("{what} is missing or cannot be read"))
}

/// A part that may be odd or missing.
fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

fn non_empty(text: Text<'_>, what: &str) -> Result<String, String> {
    if text.as_str().is_empty() { Err(format!("{what} is empty")) } else { Ok(text.into_string()) }
}

/// Seconds as the documentation has it; milliseconds have been seen.
fn moment(timestamp: &str) -> Result<UnixMillis, String> {
    /// As seconds this would be the year 33658.
    const MILLISECONDS_FROM: i64 = 1_000_000_000_000;
    match timestamp.parse::<i64>() {
        Ok(number) if number >= MILLISECONDS_FROM => Ok(UnixMillis(number)),
        Ok(number) if number > 0 => Ok(UnixMillis::from_seconds(number)),
        Ok(_) | Err(_) => Err(format!("{timestamp} is not a time")),
    }
}

impl Parsed {
    fn skip(&mut self, pointer: &str, reason: &str, raw: &RawValue) {
        let (pointer, reason) = (pointer.to_owned(), reason.to_owned());
        self.skipped.push(Skipped { pointer, reason, entry: raw.get().to_owned() });
    }

    fn template_changed(&mut self, account: &str) {
        if !self.templates_changed.iter().any(|known| known == account) {
            self.templates_changed.push(account.to_owned());
        }
    }
}
