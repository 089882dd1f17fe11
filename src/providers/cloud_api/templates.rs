//! A page of a template listing, read into what must be given to send each template.
//!
//! The listing is the only description of a template that exists: how many variables, which header, which
//! buttons want something. Whatever it holds beyond our words stays in the provider's, so that a check can
//! name it.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::text::Text;
use crate::domain::{
    outbound::MediaKind,
    template::{
        ListedTemplate, Template, TemplateButton, TemplateButtonKind, TemplateCard, TemplateCategory,
        TemplateComponents, TemplateHeader, TemplateStatus, TemplateText,
    },
};

/// One page of a listing.
#[derive(Debug, Default, PartialEq)]
pub struct TemplatePage {
    pub templates: Vec<ListedTemplate>,
    /// The cursor of the next page; `None` on the last one.
    pub after: Option<String>,
    /// Templates that could not be read, with the reason.
    pub unreadable: Vec<String>,
}

/// Reads the body of a page. One odd template does not cost the others.
pub fn read_page(body: &[u8]) -> Result<TemplatePage, String> {
    let listing = serde_json::from_slice::<Listing<'_>>(body).map_err(|error| error.to_string())?;
    let mut page = read_entries(&listing.data);
    page.after = listing.paging.and_then(Paging::after);
    Ok(page)
}

/// Reads the entries of a page, wherever in it they stand.
pub fn read_entries(entries: &[&RawValue]) -> TemplatePage {
    let mut page = TemplatePage::default();
    for (index, raw) in entries.iter().enumerate() {
        match serde_json::from_str::<WireTemplate<'_>>(raw.get()) {
            Ok(wire) => {
                page.templates.push(ListedTemplate { template: template(wire), listing: raw.get().to_owned() });
            }
            Err(error) => page.unreadable.push(format!("template {index} of the page: {error}")),
        }
    }
    page
}

#[derive(Deserialize)]
struct Listing<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
    paging: Option<Paging<'a>>,
}

#[derive(Deserialize)]
struct Paging<'a> {
    #[serde(borrow)]
    cursors: Option<Cursors<'a>>,
    /// Holds the access token: only its presence is of use.
    next: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Cursors<'a> {
    #[serde(borrow)]
    after: Option<Text<'a>>,
}

impl Paging<'_> {
    /// The last page has a cursor too, but no `next`.
    fn after(self) -> Option<String> {
        self.next?;
        self.cursors?.after.map(Text::into_string)
    }
}

#[derive(Deserialize)]
struct WireTemplate<'a> {
    /// For people only; a carrier's list may have none.
    #[serde(borrow)]
    id: Option<Text<'a>>,
    name: Text<'a>,
    language: Text<'a>,
    status: Option<Text<'a>>,
    category: Option<Text<'a>>,
    #[serde(default)]
    components: Vec<WireComponent<'a>>,
    message_send_ttl_seconds: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireComponent<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    format: Option<Text<'a>>,
    text: Option<Text<'a>>,
    #[serde(default)]
    buttons: Vec<WireButton<'a>>,
    #[serde(default)]
    cards: Vec<WireCard<'a>>,
    limited_time_offer: Option<WireOffer<'a>>,
}

#[derive(Deserialize)]
struct WireButton<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    text: Option<Text<'a>>,
    url: Option<Text<'a>>,
    phone_number: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireCard<'a> {
    #[serde(borrow)]
    components: Vec<WireComponent<'a>>,
}

#[derive(Deserialize)]
struct WireOffer<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

fn template(wire: WireTemplate<'_>) -> Template {
    Template {
        provider_id: wire.id.map_or(String::new(), Text::into_string),
        name: wire.name.into_string(),
        language: wire.language.into_string(),
        status: status(&upper(wire.status)),
        category: category(&upper(wire.category)),
        components: components(wire.components),
        time_to_live_s: wire.message_send_ttl_seconds.and_then(|seconds| seconds.as_str().parse().ok()),
    }
}

fn status(word: &str) -> TemplateStatus {
    match word {
        "APPROVED" => TemplateStatus::Approved,
        "PAUSED" => TemplateStatus::Paused,
        "DISABLED" => TemplateStatus::Disabled,
        "PENDING" => TemplateStatus::Pending,
        "REJECTED" => TemplateStatus::Rejected,
        other => TemplateStatus::Other(other.to_owned()),
    }
}

fn category(word: &str) -> TemplateCategory {
    match word {
        "AUTHENTICATION" => TemplateCategory::Authentication,
        "UTILITY" => TemplateCategory::Utility,
        "MARKETING" => TemplateCategory::Marketing,
        other => TemplateCategory::Other(other.to_owned()),
    }
}

fn components(wire: Vec<WireComponent<'_>>) -> TemplateComponents {
    let mut read = TemplateComponents::default();
    for component in wire {
        match component.kind.as_str().to_ascii_uppercase().as_str() {
            "HEADER" => read.header = Some(header(component)),
            "BODY" => read.body = text(component.text),
            // An authentication template's footer is made by WhatsApp and has no text here.
            "FOOTER" => read.footer = component.text.map(Text::into_string),
            "BUTTONS" => read.buttons = component.buttons.into_iter().map(button).collect(),
            "LIMITED_TIME_OFFER" => read.limited_time_offer = Some(offer(component)),
            "CAROUSEL" => read.carousel = Some(component.cards.into_iter().map(card).collect()),
            // Nothing that a send could fill.
            _ => {}
        }
    }
    read
}

fn card(wire: WireCard<'_>) -> TemplateCard {
    let TemplateComponents { header, body, buttons, .. } = components(wire.components);
    TemplateCard { header, body, buttons }
}

fn header(component: WireComponent<'_>) -> TemplateHeader {
    match upper(component.format).as_str() {
        // Old listings leave the format of a text out.
        "TEXT" | "" => TemplateHeader::Text(text(component.text)),
        "IMAGE" => TemplateHeader::Media(MediaKind::Image),
        "VIDEO" => TemplateHeader::Media(MediaKind::Video),
        "DOCUMENT" => TemplateHeader::Media(MediaKind::Document),
        "LOCATION" => TemplateHeader::Location,
        other => TemplateHeader::Other(other.to_owned()),
    }
}

fn offer(component: WireComponent<'_>) -> String {
    component.limited_time_offer.and_then(|offer| offer.text).map_or(String::new(), Text::into_string)
}

fn button(wire: WireButton<'_>) -> TemplateButton {
    let kind = match wire.kind.as_str().to_ascii_uppercase().as_str() {
        "QUICK_REPLY" => TemplateButtonKind::QuickReply,
        "URL" => url_button(wire.url.map_or(String::new(), Text::into_string)),
        "PHONE_NUMBER" => {
            TemplateButtonKind::CallPhone { number: wire.phone_number.map_or(String::new(), Text::into_string) }
        }
        "COPY_CODE" => TemplateButtonKind::CopyCode,
        "OTP" => TemplateButtonKind::OneTimePassword,
        other => TemplateButtonKind::Other { word: other.to_owned() },
    };
    TemplateButton { kind, text: wire.text.map_or(String::new(), Text::into_string) }
}

/// Some listings show an authentication template's button as the URL that WhatsApp makes of it.
fn url_button(url: String) -> TemplateButtonKind {
    const OTP_URL: &str = "https://www.whatsapp.com/otp/";
    if url.starts_with(OTP_URL) {
        return TemplateButtonKind::OneTimePassword;
    }
    match url.split_once("{{") {
        Some((prefix, _)) => TemplateButtonKind::DynamicUrl { prefix: prefix.to_owned() },
        None => TemplateButtonKind::StaticUrl { url },
    }
}

fn text(text: Option<Text<'_>>) -> TemplateText {
    TemplateText::parse(text.map_or(String::new(), Text::into_string))
}

/// Words of closed sets, whose case differs between the listing and its samples.
fn upper(text: Option<Text<'_>>) -> String {
    text.map_or(String::new(), |text| text.as_str().to_ascii_uppercase())
}
