//! What a webhook says: statuses, messages from people, their wishes, notices to the business.
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

use self::{
    messages::{read_message, renamed},
    notices::{errors_of_a_number, read_notice},
    preferences::read_preference,
    statuses::{read_news, read_status},
};
use super::{errors, text::Text};
use crate::{
    domain::{inbound::InboundMessage, phone::PhoneNumber, time::UnixMillis},
    providers::{Inbound, Parsed, PersonLink, Skipped, Unreadable},
};

mod messages;
mod notices;
mod preferences;
mod statuses;

/// The fields of the object WhatsApp Business Account that say something to the bridge: what an app is to be subscribed to.
pub const FIELDS: &[&str] = &[
    "messages",
    "message_template_status_update",
    "message_template_quality_update",
    "message_template_components_update",
    "template_category_update",
    "user_preferences",
    "phone_number_quality_update",
    "phone_number_name_update",
    "business_capability_update",
    "account_update",
    "account_review_update",
    "account_alerts",
    "security",
];

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
            let reason = format!("not a webhook: {}", odd(&error));
            parsed.skipped.push(Skipped { pointer: String::new(), reason, entry });
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
    /// When it happened; missing with messages, which have their own times.
    time: Option<&'a RawValue>,
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

/// What all changes of an entry have in common.
struct Origin<'a> {
    account: &'a str,
    time: Option<UnixMillis>,
}

fn read_entry(pointer: &str, raw: &RawValue, parsed: &mut Parsed) {
    let entry = match serde_json::from_str::<Entry<'_>>(raw.get()) {
        Ok(entry) => entry,
        Err(error) => return parsed.skip(pointer, &odd(&error), raw),
    };
    let time = entry.time.and_then(read::<Text<'_>>).and_then(|time| moment(time.as_str()).ok());
    let origin = Origin { account: entry.id.as_ref().map_or("", Text::as_str), time };
    for (index, change) in entry.changes.into_iter().enumerate() {
        read_change(&format!("{pointer}/changes/{index}"), &origin, change, parsed);
    }
}

fn read_change(pointer: &str, origin: &Origin<'_>, raw: &RawValue, parsed: &mut Parsed) {
    let change = match serde_json::from_str::<Change<'_>>(raw.get()) {
        Ok(change) => change,
        Err(error) => return parsed.skip(pointer, &odd(&error), raw),
    };
    let field = change.field.as_str();
    if matches!(field, "messages" | "user_preferences" | "smb_message_echoes" | "message_echoes") {
        return read_value(&format!("{pointer}/value"), origin, change.value, parsed);
    }
    let envelope = notices::Envelope { account: origin.account, time: origin.time, raw };
    let Some(notice) = read_notice(field, change.value, &envelope) else {
        return parsed.skip(pointer, &format!("the field {field} is not used by this version"), raw);
    };
    if origin.account.is_empty() {
        return parsed.skip(pointer, "the entry names no business account", raw);
    }
    if is_about_templates(field) {
        parsed.template_changed(origin.account);
    }
    match notice {
        Ok(notice) => parsed.notices.push(notice),
        Err(reason) => parsed.skip(pointer, &reason, raw),
    }
}

fn is_about_templates(field: &str) -> bool {
    field.starts_with("message_template_") || field == "template_category_update"
}

/// Why an echo is kept and nothing else: it is the business's own word, and no platform asked for it.
const ECHO: &str = "the business sent this from the WhatsApp Business app";

fn read_value(pointer: &str, origin: &Origin<'_>, raw: &RawValue, parsed: &mut Parsed) {
    let value = match serde_json::from_str::<Value<'_>>(raw.get()) {
        Ok(value) => value,
        Err(error) => return parsed.skip(pointer, &odd(&error), raw),
    };
    let Some(number_id) = number_id(&value) else {
        return parsed.skip(pointer, "metadata.phone_number_id is missing", raw);
    };
    let (first, mut names) = (parsed.inbound.len(), Vec::new());
    let of_statuses = value.contains_key("statuses") && !value.contains_key("messages");
    for (key, part) in &value {
        let pointer = format!("{pointer}/{key}");
        match key.as_ref() {
            "statuses" => each(&pointer, part, parsed, |raw, parsed| {
                match read_news(raw, origin.account, &number_id) {
                    Some(news) => parsed.notices.push(news),
                    None => parsed.statuses.push(read_status(raw, &number_id)?),
                }
                Ok(())
            }),
            "messages" => each(&pointer, part, parsed, |raw, parsed| read_inbound(raw, &number_id, parsed)),
            "user_preferences" => each(&pointer, part, parsed, |raw, parsed| {
                let preference = read_preference(raw, &number_id)?;
                parsed.links.extend(PersonLink::of(&number_id, preference.phone.as_ref(), preference.user_id.as_ref()));
                parsed.preferences.push(preference);
                Ok(())
            }),
            "contacts" => names.extend(read_contacts(part, &number_id, of_statuses, parsed)),
            "messaging_product" | "metadata" => {}
            "errors" => {
                let envelope = notices::Envelope { account: origin.account, time: origin.time, raw: part };
                parsed.notices.push(errors_of_a_number(&number_id, part, &envelope));
            }
            "message_echoes" | "smb_message_echoes" => each(&pointer, part, parsed, |_, _| Err(ECHO.to_owned())),
            _ => parsed.skip(&pointer, &format!("{key} is not used by this version"), part),
        }
    }
    for Inbound { message, .. } in &mut parsed.inbound[first..] {
        let is_writer = |named: &&Named| {
            (named.phone.is_some() && named.phone == message.from)
                || (named.user_id.is_some() && named.user_id == message.from_user_id)
        };
        message.from_name = names.iter().find(is_writer).map(|named| named.name.clone());
    }
}

/// A person's name as it stands in the profile.
struct Named {
    phone: Option<PhoneNumber>,
    user_id: Option<String>,
    name: String,
}

fn read_inbound(raw: &RawValue, number_id: &str, parsed: &mut Parsed) -> Result<(), String> {
    let message = read_message(raw.get())?;
    parsed.links.extend(PersonLink::of(number_id, message.from.as_ref(), message.from_user_id.as_ref()));
    let renamed = renamed_in(raw, &message);
    parsed.links.extend(renamed.map(|(phone, user_id)| PersonLink {
        provider_number_id: number_id.to_owned(),
        phone,
        user_id,
    }));
    let entry = raw.get().to_owned();
    parsed.inbound.push(Inbound { provider_number_id: number_id.to_owned(), message, entry });
    Ok(())
}

/// Only the few messages of WhatsApp itself are looked at twice.
fn renamed_in(raw: &RawValue, message: &InboundMessage) -> Option<(PhoneNumber, String)> {
    use crate::domain::inbound::InboundContent;
    match &message.content {
        InboundContent::NumberChanged { .. } | InboundContent::Other { .. } => renamed(raw.get()),
        InboundContent::Text { .. }
        | InboundContent::Button { .. }
        | InboundContent::ListReply { .. }
        | InboundContent::FlowReply { .. }
        | InboundContent::Location { .. }
        | InboundContent::Media(_)
        | InboundContent::Contacts { .. }
        | InboundContent::Reaction { .. }
        | InboundContent::Order { .. }
        | InboundContent::Unsupported { .. } => None,
    }
}

/// Names and ids of the people: which number belongs to which id, and what those who write call themselves.
///
/// Everybody who is sent a message comes by in its statuses, and a row for each would make a campaign dearer by a tenth. Only
/// who has a username can hide the number, so of the others it is enough to know those who write.
fn read_contacts(raw: &RawValue, number_id: &str, of_statuses: bool, parsed: &mut Parsed) -> Vec<Named> {
    #[derive(Deserialize)]
    struct Contact<'a> {
        #[serde(borrow)]
        profile: Option<&'a RawValue>,
        wa_id: Option<Text<'a>>,
        user_id: Option<Text<'a>>,
    }
    #[derive(Deserialize)]
    struct Profile<'a> {
        #[serde(borrow)]
        username: Option<Text<'a>>,
        name: Option<Text<'a>>,
    }
    let contacts: Vec<&RawValue> = read(raw).unwrap_or_default();
    let mut names = Vec::new();
    for Contact { profile, wa_id, user_id } in contacts.into_iter().filter_map(read::<Contact<'_>>) {
        let profile = || profile.and_then(read::<Profile<'_>>);
        let may_hide = || profile().is_some_and(|profile| profile.username.is_some());
        if !of_statuses || may_hide() {
            let (phone, user_id) = person(wa_id, user_id);
            parsed.links.extend(PersonLink::of(number_id, phone.as_ref(), user_id.as_ref()));
            // Nobody keeps the names of those who are only written to.
            let name = if of_statuses { None } else { profile().and_then(|profile| profile.name) };
            names.extend(name.map(|name| Named { phone, user_id, name: name.into_string() }));
        }
    }
    names
}

/// A person's number and the provider's id. Who hides the number is named by the id, in its own field or in the number's place.
fn person(number: Option<Text<'_>>, user_id: Option<Text<'_>>) -> (Option<PhoneNumber>, Option<String>) {
    let phone = number.as_ref().and_then(|number| PhoneNumber::from_international(number.as_str()));
    let named_instead = number.filter(|_| phone.is_none());
    let user_id = user_id.or(named_instead).map(Text::into_string).filter(|id| !id.is_empty());
    (phone, user_id)
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
        Err(error) => parsed.skip(pointer, &odd(&error), raw),
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

/// Why something cannot be read, without the place in it: thousands of one kind have one reason.
fn odd(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split_once(" at line ").map_or(text.clone(), |(reason, _)| reason.to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_to_subscribe_is_understood() {
        for field in FIELDS {
            let body = format!(r#"{{"entry":[{{"id":"1","changes":[{{"field":"{field}","value":{{}}}}]}}]}}"#);
            let parsed = parse_webhook(body.as_bytes());
            let unused = parsed.skipped.iter().find(|skipped| skipped.reason.contains("is not used"));
            assert!(unused.is_none(), "{field}: {unused:?}");
        }
    }
}
