//! One message as the Cloud API wants it, and what its answer means.
//!
//! Both directions are pure: [`build_send`] makes the body of the request, [`read_send`] reads the answer.

use serde::{Deserialize, Serialize};

use super::{errors, text::Text};
use crate::{
    domain::{
        failure::{Failure, FailureClass, FailureReason, Scope, SendFailure, Submitted},
        outbound::{Freeform, Location, MediaKind, OutboundMessage, SendBody},
        template::{FilledButton, FilledComponent, FilledHeader, FilledTemplate, FilledText},
    },
    net::exchange::NoAnswer,
};

/// The body of a send.
///
/// `to` always carries its `+`: without it the API may put the business number's own country code in
/// front. Our id travels in `biz_opaque_callback_data` and comes back in every status of the message,
/// which settles the outcome of a request that got no answer.
pub fn build_send(message: &OutboundMessage) -> String {
    let body = Send {
        messaging_product: "whatsapp",
        recipient_type: "individual",
        to: message.to.as_e164(),
        biz_opaque_callback_data: message.id.to_string(),
        content: match &message.body {
            SendBody::Template(filled) => Content::Template { template: template(filled) },
            SendBody::Freeform(freeform) => content(freeform),
        },
    };
    serde_json::to_string(&body).expect("texts and numbers can always be written as JSON")
}

/// A filled template by itself, for carriers that put Meta's into an envelope of their own.
pub fn template_of(filled: &FilledTemplate) -> serde_json::Value {
    serde_json::to_value(template(filled)).expect("texts and numbers can always be written as JSON")
}

/// What an answer to a send means. Success is a 2xx with an id in it; a 2xx that we cannot read may have
/// sent the message.
///
/// `message_status` is not looked at: a message held for a quality assessment was taken, and comes back as
/// a status or as a failure in its own time. To send it again would send it twice.
pub fn read_send(status: u16, body: &[u8]) -> Result<Submitted, SendFailure> {
    if !(200..300).contains(&status) {
        return Err(errors::read_refusal(status, body));
    }
    let answer = serde_json::from_slice::<SendAnswer<'_>>(body).ok();
    let id = answer.and_then(|answer| answer.messages.into_iter().next()).map(|message| message.id.into_string());
    match id.filter(|id| !id.is_empty()) {
        Some(provider_message_id) => Ok(Submitted { provider_message_id }),
        None => Err(errors::unknown(&format!("the provider answered HTTP {status} without a message id"))),
    }
}

/// Without a connection nothing was sent, and nobody else of this connection will come through either.
pub(in crate::providers) fn unanswered(no_answer: NoAnswer) -> SendFailure {
    let (class, scope, reason) = match no_answer {
        NoAnswer::NotSent(_) => (FailureClass::Retry, Scope::Connection, FailureReason::Unreachable),
        NoAnswer::MaybeSent(_) | NoAnswer::Unreadable(_) => {
            (FailureClass::Unknown, Scope::Message, FailureReason::UnknownOutcome)
        }
    };
    let failure = Failure::new(reason, None, &no_answer.to_string());
    SendFailure { class, scope, wait: None, tries_max: None, failure }
}

/// Nothing can be sent without the secret in this setting, by nobody of the connection.
pub(in crate::providers) fn no_secret(setting: &str) -> SendFailure {
    SendFailure {
        class: FailureClass::Hold,
        scope: Scope::Connection,
        wait: None,
        tries_max: None,
        failure: Failure::new(FailureReason::Credentials, None, &format!("the connection has no {setting}")),
    }
}

#[derive(Deserialize)]
struct SendAnswer<'a> {
    #[serde(borrow)]
    messages: Vec<SentMessage<'a>>,
}

#[derive(Deserialize)]
struct SentMessage<'a> {
    #[serde(borrow)]
    id: Text<'a>,
}

#[derive(Serialize)]
struct Send<'a> {
    messaging_product: &'static str,
    recipient_type: &'static str,
    to: &'a str,
    biz_opaque_callback_data: String,
    #[serde(flatten)]
    content: Content<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Content<'a> {
    Template { template: WireTemplate<'a> },
    Text { text: TextBody<'a> },
    Image { image: Media<'a> },
    Video { video: Media<'a> },
    Audio { audio: Media<'a> },
    Document { document: Media<'a> },
    Location { location: WireLocation<'a> },
}

#[derive(Serialize)]
struct TextBody<'a> {
    body: &'a str,
}

#[derive(Serialize)]
struct Media<'a> {
    link: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    caption: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<&'a str>,
}

/// Coordinates as strings: the documentation shows both, and both are taken.
#[derive(Serialize)]
struct WireLocation<'a> {
    latitude: &'a str,
    longitude: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
}

#[derive(Serialize)]
struct WireTemplate<'a> {
    name: &'a str,
    language: Language<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    components: Vec<Component<'a>>,
}

#[derive(Serialize)]
struct Language<'a> {
    code: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Component<'a> {
    Header {
        parameters: [Parameter<'a>; 1],
    },
    Body {
        parameters: Vec<Parameter<'a>>,
    },
    Button {
        sub_type: &'static str,
        /// The documentation shows it as a string and as a number; a string is what its schema says.
        index: String,
        parameters: [Parameter<'a>; 1],
    },
    LimitedTimeOffer {
        parameters: [Parameter<'a>; 1],
    },
    Carousel {
        cards: Vec<Card<'a>>,
    },
}

#[derive(Serialize)]
struct Card<'a> {
    card_index: usize,
    components: Vec<Component<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Parameter<'a> {
    Text {
        #[serde(skip_serializing_if = "Option::is_none")]
        parameter_name: Option<&'a str>,
        text: &'a str,
    },
    Image {
        image: Media<'a>,
    },
    Video {
        video: Media<'a>,
    },
    Audio {
        audio: Media<'a>,
    },
    Document {
        document: Media<'a>,
    },
    Location {
        location: WireLocation<'a>,
    },
    Payload {
        payload: &'a str,
    },
    CouponCode {
        coupon_code: &'a str,
    },
    LimitedTimeOffer {
        limited_time_offer: Offer,
    },
}

#[derive(Serialize)]
struct Offer {
    expiration_time_ms: i64,
}

fn content(freeform: &Freeform) -> Content<'_> {
    match freeform {
        Freeform::Text { body } => Content::Text { text: TextBody { body } },
        Freeform::Location(location) => Content::Location { location: written(location) },
        Freeform::Media { kind, url, caption, filename } => {
            let media = |caption, filename| Media { link: url, caption, filename };
            let (caption, filename) = (caption.as_deref(), filename.as_deref());
            match kind {
                MediaKind::Image => Content::Image { image: media(caption, None) },
                MediaKind::Video => Content::Video { video: media(caption, None) },
                // Audio has no caption: the API refuses one.
                MediaKind::Audio => Content::Audio { audio: media(None, None) },
                MediaKind::Document => Content::Document { document: media(caption, filename) },
            }
        }
    }
}

fn template(filled: &FilledTemplate) -> WireTemplate<'_> {
    WireTemplate {
        name: &filled.name,
        language: Language { code: &filled.language },
        components: components(&filled.components),
    }
}

fn components(filled: &[FilledComponent]) -> Vec<Component<'_>> {
    filled.iter().filter_map(component).collect()
}

/// `None` for a part without anything to fill, which the API does not want to see.
fn component(filled: &FilledComponent) -> Option<Component<'_>> {
    Some(match filled {
        FilledComponent::Body(parameters) if parameters.is_empty() => return None,
        FilledComponent::Body(parameters) => Component::Body { parameters: parameters.iter().map(text).collect() },
        FilledComponent::Header(header) => Component::Header { parameters: [header_parameter(header)] },
        FilledComponent::Button { position, value } => button(*position, value),
        FilledComponent::LimitedTimeOffer { expires_at_ms } => {
            let limited_time_offer = Offer { expiration_time_ms: *expires_at_ms };
            Component::LimitedTimeOffer { parameters: [Parameter::LimitedTimeOffer { limited_time_offer }] }
        }
        FilledComponent::Carousel(cards) => Component::Carousel {
            cards: cards
                .iter()
                .enumerate()
                .map(|(card_index, card)| Card { card_index, components: components(card) })
                .collect(),
        },
    })
}

fn text(filled: &FilledText) -> Parameter<'_> {
    Parameter::Text { parameter_name: filled.name.as_deref(), text: &filled.text }
}

fn header_parameter(header: &FilledHeader) -> Parameter<'_> {
    match header {
        FilledHeader::Text(filled) => text(filled),
        FilledHeader::Location(location) => Parameter::Location { location: written_in_full(location) },
        FilledHeader::Media { kind, url, filename } => {
            let media = |filename| Media { link: url, caption: None, filename };
            match kind {
                MediaKind::Image => Parameter::Image { image: media(None) },
                MediaKind::Video => Parameter::Video { video: media(None) },
                MediaKind::Audio => Parameter::Audio { audio: media(None) },
                MediaKind::Document => Parameter::Document { document: media(filename.as_deref()) },
            }
        }
    }
}

fn button(position: usize, value: &FilledButton) -> Component<'_> {
    let (sub_type, parameter) = match value {
        FilledButton::UrlSuffix(text) => ("url", Parameter::Text { parameter_name: None, text }),
        FilledButton::QuickReplyPayload(payload) => ("quick_reply", Parameter::Payload { payload }),
        FilledButton::CouponCode(coupon_code) => ("copy_code", Parameter::CouponCode { coupon_code }),
    };
    Component::Button { sub_type, index: position.to_string(), parameters: [parameter] }
}

fn written(location: &Location) -> WireLocation<'_> {
    WireLocation {
        latitude: &location.latitude,
        longitude: &location.longitude,
        name: location.name.clone(),
        address: location.address.clone(),
    }
}

/// A header's location must have a name and an address. Where the platform gave none, the coordinates say
/// at least as much.
fn written_in_full(location: &Location) -> WireLocation<'_> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
    let coordinates = format!("{}, {}", location.latitude, location.longitude);
    WireLocation {
        name: given(&location.name).or_else(|| given(&location.address)).or_else(|| Some("Location".to_owned())),
        address: given(&location.address).or(Some(coordinates)),
        ..written(location)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_without_a_readable_id_is_an_unknown_outcome() {
        for body in ["", "{}", "ok", r#"{"messages":[]}"#, r#"{"messages":[{"id":""}]}"#, "\u{feff}{}"] {
            let failure = read_send(200, body.as_bytes()).expect_err("there is no id");

            assert_eq!(failure.class, FailureClass::Unknown, "{body}");
        }
    }

    #[test]
    fn a_message_held_for_assessment_was_taken() {
        let body = br#"{"messages":[{"id":"wamid.A","message_status":"held_for_quality_assessment"}]}"#;

        assert_eq!(read_send(200, body), Ok(Submitted { provider_message_id: "wamid.A".to_owned() }));
    }
}
