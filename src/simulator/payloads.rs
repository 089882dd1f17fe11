//! Webhooks, byte for byte as Meta writes them.
//!
//! A receiver that parses first and signs again afterwards gets away with it until the first emoji: Meta escapes
//! what is not ASCII, and slashes, and signs what it wrote. So do we.

use std::{
    borrow::Cow,
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use serde_json::{Value, ser::Formatter};
use sha2::Sha256;

use super::{SimulatedSender, codes, dialect::Wire, knobs::Knobs, people::Person, script::Reported};

/// An accepted message, as far as its statuses need it.
pub(super) struct Message {
    pub(super) wamid: String,
    pub(super) recipient: Person,
    pub(super) sender: Arc<SimulatedSender>,
    pub(super) callback_data: Option<String>,
    /// The pricing category in lower case; `service` for a freeform message.
    pub(super) category: String,
    /// Statuses that the bridge has not taken yet.
    pub(super) untold: AtomicU32,
}

/// One thing to tell.
pub(super) enum Update {
    Status { message: Arc<Message>, status: Reported, at: Duration },
    Inbound { sender: Arc<SimulatedSender>, contact: Option<Value>, message: Value },
    Change { waba_id: String, field: String, value: Value },
}

impl Update {
    /// The bridge took it, or never will.
    pub(super) fn settle(&self) {
        if let Self::Status { message, .. } = self {
            message.untold.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// The header that shows a webhook of 360dialog's to be theirs.
pub(super) const WEBHOOK_SECRET_HEADER: &str = "X-Webhook-Secret";

/// One webhook, as 360dialog passes it on: not signed, with the header that was asked for.
pub(super) fn write_for_360dialog(updates: &[Update], knobs: &Knobs) -> Wire {
    let headers =
        vec![("Content-Type", "application/json".to_owned()), (WEBHOOK_SECRET_HEADER, knobs.webhook_secret.clone())];
    Wire { body: Bytes::from(render(updates, knobs)), headers }
}

/// One webhook, signed.
pub(super) fn write(updates: &[Update], knobs: &Knobs) -> Wire {
    let body = Bytes::from(render(updates, knobs));
    let headers = vec![
        ("Content-Type", "application/json".to_owned()),
        ("User-Agent", "facebookexternalua".to_owned()),
        ("X-Hub-Signature-256", signature(&knobs.app_secret, &body)),
    ];
    Wire { body, headers }
}

/// The body of one webhook.
fn render(updates: &[Update], knobs: &Knobs) -> Vec<u8> {
    let mut entry: Vec<Entry<'_>> = Vec::new();
    for update in updates {
        match update {
            Update::Status { message, status, at } => {
                let value = messages_of(&mut entry, &message.sender);
                if knobs.status_contacts && !matches!(status, Reported::Failed(_)) {
                    value.contacts.push(Cow::Owned(message.recipient.contact(knobs)));
                }
                value.statuses.push(StatusEntry::new(message, *status, *at, knobs));
            }
            Update::Inbound { sender, contact, message } => {
                let value = messages_of(&mut entry, sender);
                value.contacts.extend(contact.as_ref().map(Cow::Borrowed));
                value.messages.push(message);
            }
            Update::Change { waba_id, field, value } => {
                entry.push(Entry { id: waba_id, changes: [Change { value: Content::Raw(value), field }] });
            }
        }
    }
    let envelope = Envelope { object: "whatsapp_business_account", entry };
    let mut body = Vec::with_capacity(512 * updates.len());
    let written = if knobs.escape_json {
        envelope.serialize(&mut serde_json::Serializer::with_formatter(&mut body, MetaFormatter))
    } else {
        serde_json::to_writer(&mut body, &envelope)
    };
    written.expect("strings and numbers always fit into a vector");
    body
}

/// `sha256=` and the HMAC of the bytes.
pub(super) fn signature(app_secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(app_secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// What belongs to one number travels in one entry.
fn messages_of<'e, 'a>(entries: &'e mut Vec<Entry<'a>>, sender: &'a SimulatedSender) -> &'e mut MessagesValue<'a> {
    let same = |entry: &Entry<'_>| match &entry.changes[0].value {
        Content::Messages(value) => value.metadata.phone_number_id == sender.phone_number_id,
        Content::Raw(_) => false,
    };
    let place = entries.iter().position(same).unwrap_or_else(|| {
        let metadata =
            Metadata { display_phone_number: &sender.display_number, phone_number_id: &sender.phone_number_id };
        let value = MessagesValue {
            messaging_product: "whatsapp",
            metadata,
            contacts: Vec::new(),
            statuses: Vec::new(),
            messages: Vec::new(),
        };
        let changes = [Change { value: Content::Messages(value), field: "messages" }];
        entries.push(Entry { id: &sender.waba_id, changes });
        entries.len() - 1
    });
    match &mut entries[place].changes[0].value {
        Content::Messages(value) => value,
        Content::Raw(_) => unreachable!("the search above finds only messages"),
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    object: &'static str,
    entry: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    changes: [Change<'a>; 1],
}

#[derive(Serialize)]
struct Change<'a> {
    value: Content<'a>,
    field: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Messages(MessagesValue<'a>),
    Raw(&'a Value),
}

#[derive(Serialize)]
struct MessagesValue<'a> {
    messaging_product: &'static str,
    metadata: Metadata<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contacts: Vec<Cow<'a, Value>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    statuses: Vec<StatusEntry<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    messages: Vec<&'a Value>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    display_phone_number: &'a str,
    phone_number_id: &'a str,
}

#[derive(Serialize)]
struct StatusEntry<'a> {
    id: &'a str,
    status: &'static str,
    timestamp: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    biz_opaque_callback_data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pricing: Option<Pricing<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<[StatusError; 1]>,
}

#[derive(Serialize)]
struct Pricing<'a> {
    billable: bool,
    pricing_model: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    category: &'a str,
}

#[derive(Serialize)]
struct StatusError {
    code: u32,
    title: &'static str,
    message: &'static str,
    error_data: ErrorData,
    href: &'static str,
}

#[derive(Serialize)]
struct ErrorData {
    details: String,
}

impl<'a> StatusEntry<'a> {
    fn new(message: &'a Message, status: Reported, at: Duration, knobs: &Knobs) -> Self {
        // Prices come with `sent` and with one of the later two.
        let pricing = match status {
            Reported::Sent | Reported::Delivered => Some(Pricing {
                billable: message.category != "service",
                pricing_model: "PMP",
                kind: if message.category == "service" { "free_customer_service" } else { "regular" },
                category: &message.category,
            }),
            Reported::Read | Reported::Played | Reported::Failed(_) => None,
        };
        let errors = match status {
            Reported::Failed(code) => Some([StatusError::new(code)]),
            Reported::Sent | Reported::Delivered | Reported::Read | Reported::Played => None,
        };
        let (recipient_id, recipient_user_id) = message.recipient.recipient(knobs);
        Self {
            id: &message.wamid,
            status: status.word(),
            timestamp: knobs.timestamps.write(at),
            recipient_id,
            recipient_user_id,
            biz_opaque_callback_data: message.callback_data.as_deref().filter(|_| knobs.echo_callback_data),
            pricing,
            errors,
        }
    }
}

impl StatusError {
    fn new(code: u32) -> Self {
        let (_, title) = codes::describe(code);
        Self {
            code,
            title,
            message: title,
            error_data: ErrorData { details: format!("The simulator was told to fail this message with {code}.") },
            href: "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/",
        }
    }
}

/// ASCII only, and slashes escaped.
struct MetaFormatter;

impl Formatter for MetaFormatter {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let mut plain_from = 0;
        for (place, character) in fragment.char_indices() {
            if character.is_ascii() && character != '/' {
                continue;
            }
            writer.write_all(&fragment.as_bytes()[plain_from..place])?;
            plain_from = place + character.len_utf8();
            if character == '/' {
                writer.write_all(b"\\/")?;
                continue;
            }
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        writer.write_all(&fragment.as_bytes()[plain_from..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::SimulatorSettings;

    #[test]
    fn what_is_not_ascii_and_slashes_are_escaped_as_meta_does() {
        let updates = [Update::Change {
            waba_id: "2001".into(),
            field: "messages".into(),
            value: serde_json::json!({"body": "hé 🙏 a/b \"q\""}),
        }];

        let body = render(&updates, &SimulatorSettings::default().knobs);

        let text = String::from_utf8(body).expect("ASCII");
        assert!(text.contains(r#""body":"h\u00e9 \ud83d\ude4f a\/b \"q\"""#), "{text}");
    }

    #[test]
    fn the_signature_is_the_published_test_vector() {
        assert_eq!(
            signature("Jefe", b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        );
    }
}
