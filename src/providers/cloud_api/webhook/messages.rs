//! What people sent: the elements of `messages[]`.
//!
//! A message whose kind is known is read as far as it can be; of one that WhatsApp itself could not get
//! (`errors` in place of the content) the reason is kept. Only a kind that nobody has heard of, or a message without what
//! makes it one (id, time), ends among the parts that could not be read.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Text, moment, non_empty, odd, part, person, read};
use crate::{
    domain::{
        inbound::{InboundContact, InboundContent, InboundMedia, InboundMediaKind, InboundMessage, OrderItem, REVOKED},
        outbound::Location,
        phone::PhoneNumber,
    },
    providers::cloud_api::errors,
};

#[derive(Deserialize)]
struct WireMessage<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    timestamp: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    from: Option<Text<'a>>,
    from_user_id: Option<Text<'a>>,
    group_id: Option<&'a RawValue>,
    context: Option<&'a RawValue>,
    errors: Option<&'a RawValue>,
    text: Option<&'a RawValue>,
    button: Option<&'a RawValue>,
    interactive: Option<&'a RawValue>,
    location: Option<&'a RawValue>,
    image: Option<&'a RawValue>,
    video: Option<&'a RawValue>,
    audio: Option<&'a RawValue>,
    document: Option<&'a RawValue>,
    sticker: Option<&'a RawValue>,
    contacts: Option<&'a RawValue>,
    reaction: Option<&'a RawValue>,
    order: Option<&'a RawValue>,
    system: Option<&'a RawValue>,
    unsupported: Option<&'a RawValue>,
    revoke: Option<&'a RawValue>,
}

pub(super) fn read_message(entry: &str) -> Result<InboundMessage, String> {
    let wire = serde_json::from_str::<WireMessage<'_>>(entry).map_err(|error| odd(&error))?;
    let content = read_content(&wire)?;
    let replies_to = wire.context.and_then(read::<Context<'_>>).and_then(|context| context.id);
    let revoked = wire.revoke.and_then(read::<RevokePart<'_>>).map(|part| part.original_message_id);
    let (from, from_user_id) = person(wire.from, wire.from_user_id);
    Ok(InboundMessage {
        provider_message_id: non_empty(wire.id, "id")?,
        from,
        from_user_id,
        from_name: None,
        occurred_at: moment(wire.timestamp.as_str())?,
        replies_to: revoked.or(replies_to).map(Text::into_string).filter(|id| !id.is_empty()),
        content,
    })
}

#[derive(Deserialize)]
struct RevokePart<'a> {
    #[serde(borrow)]
    original_message_id: Text<'a>,
}

/// The new name of a person whose number or id changed: number and id, as far as both are told.
pub(super) fn renamed(entry: &str) -> Option<(PhoneNumber, String)> {
    let wire = serde_json::from_str::<WireMessage<'_>>(entry).ok()?;
    let system = wire.system.and_then(read::<SystemPart<'_>>)?;
    let (phone, user_id) = person(system.wa_id.or(system.new_wa_id), system.user_id);
    phone.zip(user_id)
}

fn read_content(wire: &WireMessage<'_>) -> Result<InboundContent, String> {
    let kind = wire.kind.as_str();
    // Between one person and the business there is one chat; what is said in a group answers nothing of ours.
    if wire.group_id.is_some() {
        return Ok(InboundContent::Other { kind: format!("group_{kind}") });
    }
    match kind {
        "text" => {
            let text: TextPart<'_> = part(wire.text, "text.body")?;
            Ok(InboundContent::Text { body: text.body.into_string() })
        }
        "button" => {
            let button: ButtonPart<'_> = part(wire.button, "button.text")?;
            let text = button.text.into_string();
            Ok(InboundContent::Button { payload: button.payload.map_or(text.clone(), Text::into_string), text })
        }
        "interactive" => read_interactive(wire),
        "location" => {
            let location: LocationPart<'_> = part(wire.location, "location.latitude or longitude")?;
            Ok(location.into_content())
        }
        "image" => Ok(media(InboundMediaKind::Image, wire.image, wire)),
        "video" => Ok(media(InboundMediaKind::Video, wire.video, wire)),
        "audio" => Ok(media(InboundMediaKind::Audio, wire.audio, wire)),
        "document" => Ok(media(InboundMediaKind::Document, wire.document, wire)),
        "sticker" => Ok(media(InboundMediaKind::Sticker, wire.sticker, wire)),
        "contacts" => {
            let contacts: Vec<ContactPart<'_>> = part(wire.contacts, "contacts")?;
            Ok(InboundContent::Contacts { contacts: contacts.into_iter().map(ContactPart::into_contact).collect() })
        }
        "reaction" => {
            let reaction: ReactionPart<'_> = part(wire.reaction, "reaction.message_id")?;
            let emoji = reaction.emoji.map(Text::into_string).filter(|emoji| !emoji.is_empty());
            Ok(InboundContent::Reaction { to: reaction.message_id.into_string(), emoji })
        }
        "order" => part::<OrderPart<'_>>(wire.order, "order.product_items").map(OrderPart::into_content),
        "system" => Ok(part::<SystemPart<'_>>(wire.system, "system")?.into_content()),
        "unsupported" => Ok(unsupported(wire)),
        // Known, kept and shown: what a phone app changed afterwards, and a greeting that is no message.
        "edit" | REVOKED | "request_welcome" => Ok(InboundContent::Other { kind: kind.to_owned() }),
        _ => Err(format!("messages of type {kind} are not known to this version")),
    }
}

/// A file; or why there is none.
fn media(kind: InboundMediaKind, raw: Option<&RawValue>, wire: &WireMessage<'_>) -> InboundContent {
    let part = raw.and_then(read::<MediaPart<'_>>).unwrap_or_default();
    let text = |text: Option<Text<'_>>| text.map(Text::into_string).filter(|text| !text.is_empty());
    let voice = kind == InboundMediaKind::Audio && part.voice.is_some_and(|voice| voice.get() == "true");
    let provider_media_id = text(part.id);
    let failure = wire.errors.or(part.errors).map(errors::report_text);
    let failure = match (&provider_media_id, failure) {
        (None, None) => Some("the provider gave no id by which the file could be fetched".to_owned()),
        (_, failure) => failure,
    };
    InboundContent::Media(InboundMedia {
        kind: if voice { InboundMediaKind::Voice } else { kind },
        provider_media_id,
        mime_type: text(part.mime_type),
        caption: text(part.caption),
        filename: text(part.filename),
        failure,
    })
}

fn unsupported(wire: &WireMessage<'_>) -> InboundContent {
    let named = wire.unsupported.and_then(read::<UnsupportedPart<'_>>).and_then(|part| part.kind);
    InboundContent::Unsupported {
        kind: named.map(Text::into_string).filter(|kind| !kind.is_empty()),
        reason: wire.errors.map_or_else(|| "the provider gave no reason".to_owned(), errors::report_text),
    }
}

fn read_interactive(wire: &WireMessage<'_>) -> Result<InboundContent, String> {
    let interactive = match (wire.interactive.and_then(read::<InteractivePart<'_>>), wire.errors) {
        (Some(interactive), _) => interactive,
        // It may come empty, with a reason.
        (None, Some(reason)) => {
            return Ok(InboundContent::Unsupported {
                kind: Some("interactive".to_owned()),
                reason: errors::report_text(reason),
            });
        }
        (None, None) => return Err("interactive.type is missing or cannot be read".to_owned()),
    };
    match interactive.kind.as_str() {
        "button_reply" => {
            let reply: ReplyPart<'_> = part(interactive.button_reply, "interactive's reply")?;
            Ok(InboundContent::Button { payload: reply.id.into_string(), text: reply.title.into_string() })
        }
        "list_reply" => {
            let reply: ReplyPart<'_> = part(interactive.list_reply, "interactive's reply")?;
            Ok(InboundContent::ListReply {
                id: reply.id.into_string(),
                title: reply.title.into_string(),
                description: reply.description.map(Text::into_string).filter(|text| !text.is_empty()),
            })
        }
        "nfm_reply" => {
            part::<FlowPart<'_>>(interactive.nfm_reply, "nfm_reply.response_json").map(FlowPart::into_content)
        }
        kind => Ok(InboundContent::Other { kind: kind.to_owned() }),
    }
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
    nfm_reply: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ReplyPart<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    title: Text<'a>,
    description: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct FlowPart<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    body: Option<Text<'a>>,
    response_json: &'a RawValue,
}

impl FlowPart<'_> {
    fn into_content(self) -> InboundContent {
        let text = |text: Option<Text<'_>>| text.map(Text::into_string).filter(|text| !text.is_empty());
        // JSON within a string as documented; should it ever come as itself, it is the same JSON.
        let written = read::<Text<'_>>(self.response_json).map(Text::into_string);
        InboundContent::FlowReply {
            name: text(self.name),
            body: text(self.body),
            response: written.unwrap_or_else(|| self.response_json.get().to_owned()),
        }
    }
}

#[derive(Default, Deserialize)]
struct MediaPart<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    mime_type: Option<Text<'a>>,
    caption: Option<Text<'a>>,
    filename: Option<Text<'a>>,
    voice: Option<&'a RawValue>,
    errors: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ContactPart<'a> {
    #[serde(borrow)]
    name: Option<NamePart<'a>>,
    #[serde(default)]
    phones: Vec<PhonePart<'a>>,
    #[serde(default)]
    emails: Vec<EmailPart<'a>>,
}

#[derive(Deserialize)]
struct NamePart<'a> {
    #[serde(borrow)]
    formatted_name: Option<Text<'a>>,
    first_name: Option<Text<'a>>,
    last_name: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct PhonePart<'a> {
    #[serde(borrow)]
    phone: Option<Text<'a>>,
    wa_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct EmailPart<'a> {
    #[serde(borrow)]
    email: Option<Text<'a>>,
}

impl ContactPart<'_> {
    fn into_contact(self) -> InboundContact {
        let phones = self.phones.into_iter().filter_map(|phone| phone.phone.or(phone.wa_id));
        let emails = self.emails.into_iter().filter_map(|email| email.email);
        InboundContact {
            name: self.name.map_or(String::new(), NamePart::into_name),
            phones: phones.map(Text::into_string).collect(),
            emails: emails.map(Text::into_string).collect(),
        }
    }
}

impl NamePart<'_> {
    fn into_name(self) -> String {
        match self.formatted_name {
            Some(name) => name.into_string(),
            None => {
                let parts: Vec<_> = [self.first_name, self.last_name].into_iter().flatten().collect();
                parts.iter().map(Text::as_str).collect::<Vec<_>>().join(" ")
            }
        }
    }
}

#[derive(Deserialize)]
struct ReactionPart<'a> {
    #[serde(borrow)]
    message_id: Text<'a>,
    emoji: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct OrderPart<'a> {
    #[serde(borrow)]
    catalog_id: Option<Text<'a>>,
    text: Option<Text<'a>>,
    #[serde(default)]
    product_items: Vec<ItemPart<'a>>,
}

#[derive(Deserialize)]
struct ItemPart<'a> {
    #[serde(borrow)]
    product_retailer_id: Text<'a>,
    quantity: Option<Text<'a>>,
    item_price: Option<Text<'a>>,
    currency: Option<Text<'a>>,
}

impl OrderPart<'_> {
    fn into_content(self) -> InboundContent {
        let item = |item: ItemPart<'_>| OrderItem {
            product: item.product_retailer_id.into_string(),
            quantity: item.quantity.map_or_else(|| "1".to_owned(), Text::into_string),
            price: item.item_price.map(Text::into_string),
            currency: item.currency.map(Text::into_string),
        };
        InboundContent::Order {
            catalog_id: self.catalog_id.map(Text::into_string),
            text: self.text.map(Text::into_string).filter(|text| !text.is_empty()),
            items: self.product_items.into_iter().map(item).collect(),
        }
    }
}

#[derive(Deserialize)]
struct SystemPart<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Text<'a>>,
    body: Option<Text<'a>>,
    wa_id: Option<Text<'a>>,
    /// As older versions write it.
    new_wa_id: Option<Text<'a>>,
    user_id: Option<Text<'a>>,
}

impl SystemPart<'_> {
    fn into_content(self) -> InboundContent {
        let kind = self.kind.map_or_else(|| "system".to_owned(), Text::into_string);
        match kind.as_str() {
            "user_changed_number" | "customer_changed_number" => InboundContent::NumberChanged {
                to: person(self.wa_id.or(self.new_wa_id), None).0,
                text: self.body.map_or(String::new(), Text::into_string),
            },
            // The number stays; only the provider's name for the person, or the phone behind it, is another.
            _ => InboundContent::Other { kind },
        }
    }
}

#[derive(Deserialize)]
struct UnsupportedPart<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Text<'a>>,
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
