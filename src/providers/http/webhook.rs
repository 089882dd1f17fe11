//! A webhook of a carrier that we know nothing about, read by the operator's table of JSON pointers.
//!
//! Each element of the list that `list` points at is a status when its `status.word` is there, a person's message when its
//! `inbound.id` is there, and else kept unread.

use serde_json::{Value, value::RawValue};

use super::{
    answer::reported,
    lines::{check_lines, check_pointer, elements, lines, moment, part_at, text_at, value},
};
use crate::{
    domain::{
        account::Connection,
        inbound::{InboundContent, InboundMedia, InboundMediaKind, InboundMessage},
        phone::PhoneNumber,
        status::{DeliveryStatus, StatusUpdate},
        time::UnixMillis,
    },
    providers::{Inbound, Parsed, Skipped, Unreadable},
};

pub const WEBHOOK: &str = "webhook";
pub const STATUS_WORDS: &str = "status_words";
pub const NUMBER: &str = "webhook_number";

const NAMES: [&str; 18] = [
    "list",
    "number",
    "status.id",
    "status.word",
    "status.time",
    "status.message_id",
    "status.error.code",
    "status.error.text",
    "inbound.id",
    "inbound.from",
    "inbound.time",
    "inbound.text",
    "inbound.payload",
    "inbound.reply_to",
    "inbound.kind",
    "inbound.media.url",
    "inbound.media.type",
    "inbound.media.name",
];

/// Elements of one webhook that are read; what comes after them is kept as one part.
const ELEMENTS_MAX: usize = 10_000;

/// Understands a webhook.
pub fn parse(connection: &Connection, body: &[u8]) -> Parsed {
    let mut parsed = Parsed::default();
    let Ok(whole) = serde_json::from_slice::<&RawValue>(body) else {
        skip(&mut parsed, "", "this is not JSON", &String::from_utf8_lossy(body));
        return parsed;
    };
    let table = connection.setting(WEBHOOK);
    let list = value(table, "list").unwrap_or_default();
    let Some(part) = part_at(whole, list) else {
        skip(&mut parsed, "", &format!("there is nothing at {list:?}, where the list should be"), whole.get());
        return parsed;
    };
    let item = |pointer: &str, raw: &RawValue, parsed: &mut Parsed| {
        if let Err(reason) = read(connection, raw, parsed) {
            skip(parsed, pointer, &reason, raw.get());
        }
    };
    match elements(part) {
        Some(elements) if elements.len() <= ELEMENTS_MAX => {
            for (index, raw) in elements.into_iter().enumerate() {
                item(&format!("{list}/{index}"), raw, &mut parsed);
            }
        }
        Some(_) => skip(&mut parsed, list, &format!("has more than {ELEMENTS_MAX} elements"), part.get()),
        None => item(list, part, &mut parsed),
    }
    parsed
}

/// Understands one message of a person.
pub fn parse_inbound(connection: &Connection, entry: &str) -> Result<InboundMessage, Unreadable> {
    let item: Value = serde_json::from_str(entry).map_err(|error| Unreadable(error.to_string()))?;
    Element { connection, item }.inbound().map_err(Unreadable)
}

fn read(connection: &Connection, raw: &RawValue, parsed: &mut Parsed) -> Result<(), String> {
    let item = serde_json::from_str(raw.get()).map_err(|error| error.to_string())?;
    let element = Element { connection, item };
    let number = || {
        let named = element.at("number").unwrap_or_else(|| connection.setting(NUMBER).to_owned());
        Some(named)
            .filter(|id| !id.is_empty())
            .ok_or_else(|| "it names no number, and webhook_number is empty".to_owned())
    };
    if element.at("status.word").is_some() {
        let Some(status) = element.status()? else { return Ok(()) };
        parsed.statuses.push(StatusUpdate { provider_number_id: number()?, entry: raw.get().to_owned(), ..status });
        return Ok(());
    }
    if element.at("inbound.id").is_some() {
        let message = element.inbound()?;
        parsed.inbound.push(Inbound { provider_number_id: number()?, message, entry: raw.get().to_owned() });
        return Ok(());
    }
    Err("it has neither a status nor a message at the places that are configured".to_owned())
}

struct Element<'a> {
    connection: &'a Connection,
    item: Value,
}

impl Element<'_> {
    fn at(&self, name: &str) -> Option<String> {
        text_at(&self.item, value(self.connection.setting(WEBHOOK), name)?)
    }

    fn needed(&self, name: &str) -> Result<String, String> {
        self.at(name).ok_or_else(|| format!("{name} is missing"))
    }

    fn time(&self, name: &str) -> Result<UnixMillis, String> {
        moment(&self.needed(name)?).ok_or_else(|| format!("{name} is not a time"))
    }

    /// Without its number and entry; `None` for words that are to be ignored.
    fn status(&self) -> Result<Option<StatusUpdate>, String> {
        let word = self.needed("status.word")?;
        let words = self.connection.setting(STATUS_WORDS);
        let known = lines(words).find(|line| line.name.eq_ignore_ascii_case(&word));
        let known = known.ok_or_else(|| format!("the status {word} is not among status_words"))?;
        let Some(status) = status_named(known.value) else { return Ok(None) };
        let code = self.at("status.error.code");
        let text = self.at("status.error.text");
        Ok(Some(StatusUpdate {
            provider_message_id: self.needed("status.id")?,
            message: self.at("status.message_id").and_then(|id| id.parse().ok()),
            provider_number_id: String::new(),
            status,
            occurred_at: self.time("status.time")?,
            failure: (status == DeliveryStatus::Failed)
                .then(|| reported(self.connection, code.as_deref(), text.as_deref())),
            price: None,
            entry: String::new(),
        }))
    }

    fn inbound(&self) -> Result<InboundMessage, String> {
        let from = self.needed("inbound.from")?;
        let phone = PhoneNumber::from_international(&from);
        Ok(InboundMessage {
            provider_message_id: self.needed("inbound.id")?,
            // Who is not named by a number is named by an id.
            from_user_id: phone.is_none().then_some(from),
            from: phone,
            from_name: None,
            occurred_at: self.time("inbound.time")?,
            replies_to: self.at("inbound.reply_to"),
            content: self.content(),
        })
    }

    fn content(&self) -> InboundContent {
        let (text, kind) = (self.at("inbound.text"), self.at("inbound.kind"));
        if let Some(url) = self.at("inbound.media.url") {
            let mime_type = self.at("inbound.media.type");
            return InboundContent::Media(InboundMedia {
                kind: media_kind(kind.as_deref(), mime_type.as_deref()),
                provider_media_id: Some(url),
                mime_type,
                caption: text,
                filename: self.at("inbound.media.name"),
                failure: None,
            });
        }
        match (self.at("inbound.payload"), text) {
            (Some(payload), text) => InboundContent::Button { text: text.unwrap_or_else(|| payload.clone()), payload },
            (None, Some(body)) => InboundContent::Text { body },
            (None, None) => InboundContent::Other { kind: kind.unwrap_or_else(|| "unknown".to_owned()) },
        }
    }
}

/// What kind of file it is, by the carrier's word or by its type.
pub fn media_kind(word: Option<&str>, mime_type: Option<&str>) -> InboundMediaKind {
    let word = word.unwrap_or_default().to_ascii_lowercase();
    let family = mime_type.unwrap_or_default().split('/').next().unwrap_or_default().to_ascii_lowercase();
    match (word.as_str(), family.as_str()) {
        ("sticker", _) => InboundMediaKind::Sticker,
        ("voice" | "ptt", _) => InboundMediaKind::Voice,
        ("video", _) | (_, "video") => InboundMediaKind::Video,
        ("audio", _) | (_, "audio") => InboundMediaKind::Audio,
        ("image", _) | (_, "image") => InboundMediaKind::Image,
        _ => InboundMediaKind::Document,
    }
}

/// A part that is kept as it came.
pub fn skip(parsed: &mut Parsed, pointer: &str, reason: &str, entry: &str) {
    parsed.skipped.push(Skipped { pointer: pointer.to_owned(), reason: reason.to_owned(), entry: entry.to_owned() });
}

fn status_named(word: &str) -> Option<DeliveryStatus> {
    use DeliveryStatus::{Delivered, Failed, Read, Sent};
    [Sent, Delivered, Read, Failed].into_iter().find(|status| status.as_str() == word)
}

pub fn check_webhook(text: &str) -> Result<(), String> {
    check_lines(text, |line| match NAMES.contains(&line.name) {
        true => check_pointer(line.value),
        false => Err(format!("{} is not known here: use one of {}", line.name, NAMES.join(", "))),
    })?;
    for (family, needed) in [
        ("status.", ["status.id", "status.word", "status.time"]),
        ("inbound.", ["inbound.id", "inbound.from", "inbound.time"]),
    ] {
        let meant = lines(text).any(|line| line.name.starts_with(family));
        if let Some(missing) = needed.iter().find(|name| meant && value(text, name).is_none()) {
            return Err(format!("has no line {missing}: say where it stands"));
        }
    }
    Ok(())
}

pub fn check_status_words(text: &str) -> Result<(), String> {
    check_lines(text, |line| match line.value == "ignored" || status_named(line.value).is_some() {
        true => Ok(()),
        false => Err(format!("{:?} is no status: use sent, delivered, read, failed or ignored", line.value)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_names_what_is_needed_to_tell_messages_apart() {
        let whole = "list /events\nstatus.id /id\nstatus.word /status\nstatus.time /at";

        assert_eq!(check_webhook(whole), Ok(()));
        assert_eq!(check_webhook(""), Ok(()));
        assert_eq!(
            check_webhook("status.id /id\nstatus.word /status"),
            Err("has no line status.time: say where it stands".to_owned())
        );
        assert!(check_webhook("state /id").is_err_and(|why| why.starts_with("line 1: state is not known here")));
        assert!(check_status_words("DLVRD delivered\nQUEUED ignored").is_ok());
        assert!(check_status_words("DLVRD arrived").is_err());
    }
}
