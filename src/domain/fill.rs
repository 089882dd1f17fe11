//! Does a request bring what its template needs? If so: everything a provider must be given, in its place.
//!
//! Platforms know the text of a template but not its definition at WhatsApp, so a wrong count, kind or
//! value shows only here. Everything is refused before the message is accepted, and every refusal names
//! the component and says what to change, because the person who reads it can fix the template and
//! nobody else can.

mod buttons;
mod differences;
mod given;
mod values;

use std::fmt;

use buttons::takes_unknown_data;
pub use differences::{Difference, Harm, differences, needed_button};
pub use given::as_given;
use values::{cleaned, is_longer, is_place, trouble_with};
pub use values::{is_coordinate, is_web_url};

use super::{
    account::{AccountPolicy, ForbiddenWhiteSpace, SenderPolicy},
    failure::{Refusal, RefusalKind},
    outbound::{Freeform, Location, MediaKind, Purpose},
    template::{
        CardContent, FilledComponent, FilledHeader, FilledTemplate, FilledText, HeaderContent, Template,
        TemplateButton, TemplateCard, TemplateComponents, TemplateContent, TemplateHeader, TemplateText, Variable,
    },
};

/// What WhatsApp gives back of a quick reply's payload.
pub const PAYLOAD_CHARS_MAX: usize = 128;
/// WhatsApp's limit for the code behind a copy button: 15 on one of its pages, 20 on another.
pub const COUPON_CODE_CHARS_MAX: usize = 20;
/// WhatsApp's limit for a one-time password.
pub const PASSWORD_CHARS_MAX: usize = 15;
/// WhatsApp's limit for a text in a conversation.
pub const FREEFORM_TEXT_CHARS_MAX: usize = 4096;
/// WhatsApp's limit for what stands below a picture.
pub const CAPTION_CHARS_MAX: usize = 1024;

/// What an account and a number want to be done where a request is not quite what WhatsApp takes.
#[derive(Clone, Copy, Debug)]
pub struct FillRules<'a> {
    /// Lets a `{{1}}` stand in a button's URL: a platform's own checks hold one.
    pub tolerate_placeholders: bool,
    pub white_space: ForbiddenWhiteSpace,
    pub sender: &'a SenderPolicy,
}

impl<'a> FillRules<'a> {
    pub fn new(account: &AccountPolicy, sender: &'a SenderPolicy, purpose: Purpose) -> Self {
        Self {
            tolerate_placeholders: matches!(purpose, Purpose::Test { .. }),
            white_space: account.forbidden_white_space,
            sender,
        }
    }
}

/// Puts the content of a request into the template it was [resolved](super::template::resolve) to.
pub fn fill(template: &Template, content: &TemplateContent, rules: FillRules<'_>) -> Result<FilledTemplate, Refusal> {
    let filler = Filler { template: &template.name, card: None, rules };
    let needs = &template.components;
    let mut components = Vec::new();
    components.extend(filler.header(needs.header.as_ref(), content.header.as_ref())?);
    components.extend(filler.body(&needs.body, &content.body)?);
    components.extend(filler.buttons(&needs.buttons, &content.buttons, content.body.first())?);
    components.extend(filler.limited_time_offer(needs.limited_time_offer.is_some(), content.offer_expires_at_ms)?);
    components.extend(filler.carousel(needs.carousel.as_deref(), content.carousel.as_deref())?);
    Ok(FilledTemplate {
        name: template.name.clone(),
        language: template.language.clone(),
        category: template.category.category(),
        components,
    })
}

/// What is wrong with one value that a template is given, as the end of a sentence that says what to change.
pub fn value_trouble(value: &str, white_space: ForbiddenWhiteSpace) -> Option<&'static str> {
    match white_space {
        ForbiddenWhiteSpace::Refuse => trouble_with(value),
        ForbiddenWhiteSpace::Clean => trouble_with(&cleaned(value)),
    }
}

/// Whether [`fill`] can ever be content. A product, a list of products, an order or a header of an unknown kind takes data
/// that no platform gives.
pub fn can_be_filled(needs: &TemplateComponents) -> bool {
    let fits = |header: Option<&TemplateHeader>, buttons: &[TemplateButton]| {
        let header_fits = match header {
            Some(TemplateHeader::Other(_)) => false,
            Some(TemplateHeader::Text(_) | TemplateHeader::Media(_) | TemplateHeader::Location) | None => true,
        };
        header_fits && !buttons.iter().any(|button| takes_unknown_data(&button.kind))
    };
    let mut cards = needs.carousel.iter().flatten();
    fits(needs.header.as_ref(), &needs.buttons) && cards.all(|card| fits(card.header.as_ref(), &card.buttons))
}

/// The same for a message in an open conversation, which fills nothing but has limits of its own.
pub fn check_freeform(message: &Freeform) -> Result<(), Refusal> {
    let trouble = match message {
        Freeform::Text { body } if body.trim().is_empty() => "text: the message is empty; give it a text",
        Freeform::Text { body } if is_longer(body, FREEFORM_TEXT_CHARS_MAX) => {
            "text: WhatsApp takes at most 4096 characters; shorten it"
        }
        Freeform::Media { url, .. } if !is_web_url(url) => {
            "media: its address is missing or no web address; give the full media URL, beginning with https://"
        }
        Freeform::Media { caption: Some(caption), .. } if is_longer(caption, CAPTION_CHARS_MAX) => {
            "media: WhatsApp takes at most 1024 characters as its caption; shorten it"
        }
        Freeform::Location(location) if !is_place(location) => {
            "location: latitude and longitude are needed in degrees, such as 19.0760 and 72.8777; correct them"
        }
        Freeform::Text { .. } | Freeform::Media { .. } | Freeform::Location(_) => return Ok(()),
    };
    Err(Refusal::new(RefusalKind::Template, trouble))
}

/// Where we are: everything that a refusal has to mention.
#[derive(Clone, Copy)]
struct Filler<'a> {
    template: &'a str,
    /// The number of the carousel's card, from 1.
    card: Option<usize>,
    rules: FillRules<'a>,
}

impl Filler<'_> {
    fn header(
        &self,
        needed: Option<&TemplateHeader>,
        given: Option<&HeaderContent>,
    ) -> Result<Option<FilledComponent>, Refusal> {
        let filled = match (needed, given) {
            (None, None) => return Ok(None),
            (None, Some(_)) => return Err(self.refuse("header", "has no header; remove it from the message")),
            (Some(TemplateHeader::Text(text)), None) => self.header_text(text, &[])?,
            (Some(TemplateHeader::Text(text)), Some(HeaderContent::Text { parameters })) => {
                self.header_text(text, parameters)?
            }
            (Some(TemplateHeader::Media(needed)), Some(HeaderContent::Media { kind, url, filename }))
                if needed == kind =>
            {
                Some(self.header_media(*kind, url, filename.as_deref())?)
            }
            (Some(TemplateHeader::Location), Some(HeaderContent::Location(location))) => {
                Some(self.header_location(location)?)
            }
            (Some(TemplateHeader::Other(word)), _) => {
                let advice =
                    format_args!("has a header of kind {word}, which cannot be sent from here; use another template");
                return Err(self.refuse("header", advice));
            }
            (Some(needed @ (TemplateHeader::Text(_) | TemplateHeader::Media(_) | TemplateHeader::Location)), given) => {
                let advice = format_args!(
                    "needs {}, got {}; change the header of the message",
                    needed_header(needed),
                    given.map_or("none", given_header)
                );
                return Err(self.refuse("header", advice));
            }
        };
        Ok(filled.map(FilledComponent::Header))
    }

    fn header_text(&self, needed: &TemplateText, given: &[String]) -> Result<Option<FilledHeader>, Refusal> {
        Ok(self.texts("header", needed, given)?.pop().map(FilledHeader::Text))
    }

    fn header_media(&self, kind: MediaKind, url: &str, filename: Option<&str>) -> Result<FilledHeader, Refusal> {
        if !is_web_url(url) {
            return Err(
                self.refuse("header", "needs the address of its media, beginning with https://; correct the media URL")
            );
        }
        let filename = filename.filter(|_| kind == MediaKind::Document).map(str::to_owned);
        Ok(FilledHeader::Media { kind, url: url.to_owned(), filename })
    }

    /// WhatsApp wants name and address of a header's location too; a platform may give neither.
    fn header_location(&self, location: &Location) -> Result<FilledHeader, Refusal> {
        if !is_place(location) {
            return Err(self.refuse(
                "header",
                "needs latitude and longitude in degrees, such as 19.0760 and 72.8777; correct the location",
            ));
        }
        let given = |text: &Option<String>, default: &Option<String>| {
            text.clone().filter(|text| !text.trim().is_empty()).or_else(|| default.clone())
        };
        let sender = self.rules.sender;
        Ok(FilledHeader::Location(Location {
            name: given(&location.name, &sender.location_name),
            address: given(&location.address, &sender.location_address),
            ..location.clone()
        }))
    }

    fn body(&self, needed: &TemplateText, given: &[String]) -> Result<Option<FilledComponent>, Refusal> {
        let texts = self.texts("body", needed, given)?;
        Ok((!texts.is_empty()).then_some(FilledComponent::Body(texts)))
    }

    /// One parameter for every variable. Named variables get them in the order in which the text mentions
    /// them: platforms know positions only.
    fn texts(&self, component: &str, needed: &TemplateText, given: &[String]) -> Result<Vec<FilledText>, Refusal> {
        let (wanted, got) = (needed.variables.len(), given.len());
        if wanted != got {
            let advice = if got < wanted { "add what is missing" } else { "remove what is too much" };
            let plural = if wanted == 1 { "" } else { "s" };
            return Err(self.refuse(component, format_args!("needs {wanted} parameter{plural}, got {got}; {advice}")));
        }
        let pairs = needed.variables.iter().zip(given).enumerate();
        pairs
            .map(|(index, (variable, text))| {
                let text = self.value(component, format_args!("parameter {}", index + 1), text)?;
                Ok(FilledText { name: name_of(variable), text })
            })
            .collect()
    }

    fn limited_time_offer(&self, needed: bool, expires_at_ms: Option<i64>) -> Result<Option<FilledComponent>, Refusal> {
        const COMPONENT: &str = "limited-time offer";
        match (needed, expires_at_ms) {
            (false, None) => Ok(None),
            (false, Some(_)) => Err(self.refuse(COMPONENT, "has none; remove it from the message")),
            (true, Some(expires_at_ms)) if expires_at_ms > 0 => {
                Ok(Some(FilledComponent::LimitedTimeOffer { expires_at_ms }))
            }
            (true, None | Some(_)) => {
                Err(self
                    .refuse(COMPONENT, "needs the time at which the offer ends, in milliseconds since 1970; add it"))
            }
        }
    }

    fn carousel(
        &self,
        needed: Option<&[TemplateCard]>,
        given: Option<&[CardContent]>,
    ) -> Result<Option<FilledComponent>, Refusal> {
        let (needed, given) = match (needed, given) {
            (None, None | Some([])) => return Ok(None),
            (None, Some(_)) => return Err(self.refuse("carousel", "has none; remove it from the message")),
            (Some(needed), given) => (needed, given.unwrap_or_default()),
        };
        if needed.len() != given.len() {
            let advice =
                format_args!("needs {} cards, got {}; send as many as were approved", needed.len(), given.len());
            return Err(self.refuse("carousel", advice));
        }
        let cards = needed.iter().zip(given).enumerate();
        let cards = cards.map(|(index, (needed, given))| Filler { card: Some(index + 1), ..*self }.card(needed, given));
        Ok(Some(FilledComponent::Carousel(cards.collect::<Result<_, _>>()?)))
    }

    fn card(&self, needed: &TemplateCard, given: &CardContent) -> Result<Vec<FilledComponent>, Refusal> {
        let mut components = Vec::new();
        components.extend(self.header(needed.header.as_ref(), given.header.as_ref())?);
        components.extend(self.body(&needed.body, &given.body)?);
        components.extend(self.buttons(&needed.buttons, &given.buttons, given.body.first())?);
        Ok(components)
    }

    /// A value, wherever it stands, as WhatsApp takes it.
    fn value(&self, component: impl fmt::Display, what: impl fmt::Display, value: &str) -> Result<String, Refusal> {
        let value = match self.rules.white_space {
            ForbiddenWhiteSpace::Refuse => value.to_owned(),
            ForbiddenWhiteSpace::Clean => cleaned(value),
        };
        match trouble_with(&value) {
            None => Ok(value),
            Some(trouble) => {
                Err(self.refusal(component, format_args!("{what} of template {} {trouble}", self.template)))
            }
        }
    }

    fn refuse(&self, component: impl fmt::Display, trouble: impl fmt::Display) -> Refusal {
        self.refusal(component, format_args!("template {} {trouble}", self.template))
    }

    fn refusal(&self, component: impl fmt::Display, text: impl fmt::Display) -> Refusal {
        let message = match self.card {
            Some(card) => format!("card {card}, {component}: {text}"),
            None => format!("{component}: {text}"),
        };
        Refusal::new(RefusalKind::Template, message)
    }
}

fn name_of(variable: &Variable) -> Option<String> {
    match variable {
        Variable::Position(_) => None,
        Variable::Name(name) => Some(name.clone()),
    }
}

fn needed_header(header: &TemplateHeader) -> &str {
    match header {
        TemplateHeader::Text(_) => "a text header",
        TemplateHeader::Media(kind) => media_header(*kind),
        TemplateHeader::Location => "a location header",
        TemplateHeader::Other(word) => word,
    }
}

fn given_header(header: &HeaderContent) -> &str {
    match header {
        HeaderContent::Text { .. } => "a text header",
        HeaderContent::Media { kind, .. } => media_header(*kind),
        HeaderContent::Location(_) => "a location header",
    }
}

fn media_header(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "an image header",
        MediaKind::Video => "a video header",
        MediaKind::Audio => "an audio header",
        MediaKind::Document => "a document header",
    }
}

#[cfg(test)]
mod tests;
