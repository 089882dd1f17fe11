//! GoTallo's one webhook: a message, whole, whenever one comes, goes out or changes. A change is the same message again with
//! another status and a later time of modification, so all three together say which report it is; order is not promised.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{
    domain::{
        account::Connection,
        event_name::System,
        failure::{FAILURE_TEXT_CHARS_MAX, Failure},
        ids::MessageId,
        inbound::{InboundContent, InboundMedia, InboundMediaKind, InboundMessage},
        notice::{MessageNews, Notice},
        outbound::Location,
        phone::PhoneNumber,
        status::{DeliveryStatus, StatusUpdate},
        time::UnixMillis,
    },
    net::redact,
    providers::{
        Inbound, Parsed, Unreadable,
        http::{
            lines::{elements, moment, text_at},
            webhook::{media_kind, skip},
        },
        words::reason_of,
    },
};

/// Which of its two ids a message is known by.
pub(super) const STATUS_BY: &str = "status_by";
const EXTERNAL: &str = "ext_identifier";

/// Messages of one request; documented is one.
const MESSAGES_MAX: usize = 1_000;

/// Understands a webhook: one message, or a list of them.
pub(super) fn parse(connection: &Connection, body: &[u8]) -> Parsed {
    let mut parsed = Parsed::default();
    let Ok(whole) = serde_json::from_slice::<&RawValue>(body) else {
        skip(&mut parsed, "", "this is not JSON", &String::from_utf8_lossy(body));
        return parsed;
    };
    let messages = match elements(whole) {
        Some(messages) if messages.len() <= MESSAGES_MAX => messages,
        Some(_) | None => vec![whole],
    };
    let listed = messages.len() != 1 || !std::ptr::eq(messages[0], whole);
    for (index, raw) in messages.into_iter().enumerate() {
        let pointer = if listed { format!("/{index}") } else { String::new() };
        if let Err(reason) = read(connection, raw, &mut parsed) {
            skip(&mut parsed, &pointer, &reason, raw.get());
        }
    }
    parsed
}

/// Understands one message of a person.
pub(super) fn parse_inbound(connection: &Connection, entry: &str) -> Result<InboundMessage, Unreadable> {
    Message::read(entry).and_then(|message| message.inbound(connection)).map_err(Unreadable)
}

fn read(connection: &Connection, raw: &RawValue, parsed: &mut Parsed) -> Result<(), String> {
    let message = Message::read(raw.get())?;
    let number = message.text("platform_id").ok_or("platform_id is missing")?;
    let entry = raw.get().to_owned();
    let status = message.text("status").unwrap_or_default().to_ascii_uppercase();
    if message.kind() == "EVENT" {
        let (what, whose) = ((System::GoTallo, "EVENT".to_owned()), (String::new(), Some(number)));
        parsed.notices.push(Notice::of_provider(what, whose, message.modified_at().ok(), entry));
        return Ok(());
    }
    if status == "DELETED" {
        let news = MessageNews {
            provider_number_id: Some(number),
            provider_message_id: message.id(connection).ok(),
            ..MessageNews::default()
        };
        parsed.notices.push(Notice::of_message(news, String::new(), message.modified_at().ok(), entry));
        return Ok(());
    }
    if message.is_outbound()? {
        let status = match status.as_str() {
            "SENT" => DeliveryStatus::Sent,
            "DELIVERED" => DeliveryStatus::Delivered,
            "READ" => DeliveryStatus::Read,
            "FAILED" => DeliveryStatus::Failed,
            "PREPARED" => return Err("PREPARED says nothing that we did not know".to_owned()),
            other => return Err(format!("the status {other:?} is not used by this version")),
        };
        parsed.statuses.push(StatusUpdate {
            provider_message_id: message.id(connection)?,
            message: message.ours(),
            provider_number_id: number,
            status,
            occurred_at: message.modified_at()?,
            failure: (status == DeliveryStatus::Failed).then(|| message.failure()),
            price: None,
            entry,
        });
        return Ok(());
    }
    let inbound = message.inbound(connection)?;
    parsed.inbound.push(Inbound { provider_number_id: number, message: inbound, entry });
    Ok(())
}

/// One message, of which only the documented names are looked at.
#[derive(Deserialize)]
#[serde(transparent)]
struct Message(Value);

impl Message {
    fn read(entry: &str) -> Result<Self, String> {
        let message: Self = serde_json::from_str(entry).map_err(|error| error.to_string())?;
        if message.0.is_object() { Ok(message) } else { Err("it is not a message".to_owned()) }
    }

    fn at(&self, pointer: &str) -> Option<String> {
        text_at(&self.0, pointer)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.at(&format!("/{name}"))
    }

    fn kind(&self) -> String {
        self.text("type").unwrap_or_default().to_ascii_uppercase()
    }

    /// `true`, or 1 as its database has it.
    fn is_outbound(&self) -> Result<bool, String> {
        match self.text("outbound").as_deref() {
            Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(_) | None => Err("outbound is missing, or neither true nor false".to_owned()),
        }
    }

    fn id(&self, connection: &Connection) -> Result<String, String> {
        id_within(&self.0, connection).ok_or_else(|| "it has no id".to_owned())
    }

    /// Our own id, wherever the sending endpoint has put it.
    fn ours(&self) -> Option<MessageId> {
        ["custom_data", "metadata", "auxiliary_data"].iter().find_map(|name| {
            let values = self.0.get(*name)?.as_object()?.values();
            values.filter_map(Value::as_str).find_map(|text| text.parse().ok())
        })
    }

    fn time(&self, name: &str) -> Option<UnixMillis> {
        moment(&self.text(name)?)
    }

    fn modified_at(&self) -> Result<UnixMillis, String> {
        let at = self.time("modified_timestamp").or_else(|| self.time("timestamp"));
        at.ok_or_else(|| "it has no time".to_owned())
    }

    /// No place for a reason is documented, so the likely ones are looked at.
    fn failure(&self) -> Failure {
        let places = ["metadata", "auxiliary_data"].iter().flat_map(|name| {
            ["error_message", "error", "reason", "failure_reason", "message"].map(|key| format!("/{name}/{key}"))
        });
        let text = places.filter_map(|place| self.at(&place)).next();
        let text: String = text.unwrap_or_else(|| "GoTallo gave no reason".to_owned());
        let text: String = redact::text(&text).chars().take(FAILURE_TEXT_CHARS_MAX).collect();
        let code = ["/metadata/error_code", "/auxiliary_data/error_code"].iter().find_map(|place| self.at(place));
        let code = code.and_then(|code| code.parse().ok());
        Failure::new(reason_of(code, &text), code, &text)
    }

    fn inbound(&self, connection: &Connection) -> Result<InboundMessage, String> {
        let from = self.at("/chat_user/phone_number").and_then(|number| PhoneNumber::from_international(&number));
        let at = self.time("timestamp").or_else(|| self.time("modified_timestamp"));
        Ok(InboundMessage {
            provider_message_id: self.id(connection)?,
            from_user_id: if from.is_none() { self.at("/chat_user/id") } else { None },
            from,
            from_name: self.at("/chat_user/first_name"),
            occurred_at: at.ok_or("it has no time")?,
            replies_to: self.0.get("quote").and_then(|quote| id_within(quote, connection)),
            content: self.content(),
        })
    }

    fn content(&self) -> InboundContent {
        let kind = self.kind();
        let text = self.text("text");
        let of_kind = || InboundContent::Other { kind: kind.clone() };
        match kind.as_str() {
            "TEXT" | "STORY_REPLY" => text.map_or_else(of_kind, |body| InboundContent::Text { body }),
            "IMAGE" | "GIF" | "VIDEO" | "AUDIO" | "VOICE" | "FILE" | "STICKER" => self.media(&kind, text),
            "BUTTON" | "WA_INTERACTIVE" => self.button(text).unwrap_or_else(of_kind),
            "LOCATION" => self.place().unwrap_or_else(of_kind),
            _ => of_kind(),
        }
    }

    fn media(&self, kind: &str, caption: Option<String>) -> InboundContent {
        let mime_type = self.text("mime_type");
        let url = self.at("/file/secure_url");
        let missing = || "GoTallo gave no address of the file".to_owned();
        InboundContent::Media(InboundMedia {
            kind: match kind {
                "VOICE" => InboundMediaKind::Voice,
                "STICKER" => InboundMediaKind::Sticker,
                "IMAGE" => InboundMediaKind::Image,
                "VIDEO" => InboundMediaKind::Video,
                "AUDIO" => InboundMediaKind::Audio,
                "GIF" => media_kind(None, mime_type.as_deref().or(Some("image/gif"))),
                _ => InboundMediaKind::Document,
            },
            failure: url.is_none().then(missing),
            provider_media_id: url,
            mime_type,
            caption,
            filename: self.text("media_title"),
        })
    }

    fn button(&self, text: Option<String>) -> Option<InboundContent> {
        let text = text?;
        let places = ["/auxiliary_data/payload", "/auxiliary_data/id", "/metadata/payload"];
        let payload = places.iter().find_map(|place| self.at(place)).unwrap_or_else(|| text.clone());
        Some(InboundContent::Button { payload, text })
    }

    /// Its form is not documented.
    fn place(&self) -> Option<InboundContent> {
        let at =
            |name: &str| ["auxiliary_data", "metadata"].iter().find_map(|part| self.at(&format!("/{part}/{name}")));
        let location = Location {
            latitude: at("latitude")?,
            longitude: at("longitude")?,
            name: at("name"),
            address: at("address"),
        };
        Some(InboundContent::Location { location, url: None })
    }
}

fn id_within(message: &Value, connection: &Connection) -> Option<String> {
    let own = || text_at(message, "/id");
    match connection.setting(STATUS_BY) {
        EXTERNAL => text_at(message, "/ext_identifier").or_else(own),
        _ => own(),
    }
}

pub(super) fn check_status_by(text: &str) -> Result<(), String> {
    match text {
        "id" | EXTERNAL => Ok(()),
        _ => Err(format!("must be id or {EXTERNAL}")),
    }
}
