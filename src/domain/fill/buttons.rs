//! Buttons: which of a request's belongs to which of the template's, and what stands behind it.

use std::fmt;

use super::{COUPON_CODE_CHARS_MAX, Filler, PASSWORD_CHARS_MAX, PAYLOAD_CHARS_MAX, values::is_longer};
use crate::domain::{
    failure::Refusal,
    template::{
        ButtonContent, ButtonContentKind, FilledButton, FilledComponent, TemplateButton, TemplateButtonKind,
        holds_placeholder,
    },
};

impl Filler<'_> {
    /// Fills the buttons in the template's order.
    pub(super) fn buttons(
        &self,
        needed: &[TemplateButton],
        given: &[ButtonContent],
        code: Option<&String>,
    ) -> Result<Vec<FilledComponent>, Refusal> {
        let assigned = self.assign(needed, given)?;
        let mut filled = Vec::new();
        for (position, (button, content)) in needed.iter().zip(assigned).enumerate() {
            let value = content.and_then(|content| content.value.as_deref());
            let name = ButtonName { position, text: &button.text };
            if let Some(value) = self.button(name, &button.kind, value, code)? {
                filled.push(FilledComponent::Button { position, value });
            }
        }
        Ok(filled)
    }

    /// Which of the given buttons belongs to which of the template's: of the same kind, with the same
    /// label if possible, else in order. Their index is believed last: some platforms count from 0, some
    /// from 1, and some say 0 for all of them.
    fn assign<'b>(
        &self,
        needed: &[TemplateButton],
        given: &'b [ButtonContent],
    ) -> Result<Vec<Option<&'b ButtonContent>>, Refusal> {
        let mut assigned: Vec<Option<&ButtonContent>> = vec![None; needed.len()];
        let mut unlabelled = Vec::new();
        for content in given {
            let place = free_places(needed, &assigned, content)
                .find(|place| content.text.as_deref().is_some_and(|text| same_label(text, &needed[*place].text)));
            match place {
                Some(place) => assigned[place] = Some(content),
                None => unlabelled.push(content),
            }
        }
        for (done, content) in unlabelled.iter().copied().enumerate() {
            let free: Vec<usize> = free_places(needed, &assigned, content).collect();
            let rivals = unlabelled[done..].iter().filter(|other| other.kind == content.kind).count();
            // Fewer buttons than places: their order says nothing, so the index is better than nothing.
            let by_index =
                content.index.and_then(|index| usize::try_from(index).ok()).filter(|index| free.contains(index));
            match by_index.filter(|_| rivals < free.len()).or(free.first().copied()) {
                Some(place) => assigned[place] = Some(content),
                None if carries_something(content) => return Err(self.no_such_button(content)),
                // Its label is in the template or it is not; there is nothing to send for it.
                None => {}
            }
        }
        Ok(assigned)
    }

    fn button(
        &self,
        name: ButtonName<'_>,
        kind: &TemplateButtonKind,
        value: Option<&str>,
        code: Option<&String>,
    ) -> Result<Option<FilledButton>, Refusal> {
        let value = value.filter(|value| !value.is_empty());
        Ok(match kind {
            TemplateButtonKind::DynamicUrl { prefix } => {
                Some(FilledButton::UrlSuffix(self.url_suffix(name, prefix, value)?))
            }
            TemplateButtonKind::QuickReply => {
                value.map(|payload| self.payload(name, payload)).transpose()?.map(FilledButton::QuickReplyPayload)
            }
            TemplateButtonKind::CopyCode => {
                let Some(coupon) = value else {
                    return Err(self.refuse(name, "needs its coupon code; add it to the button"));
                };
                Some(FilledButton::CouponCode(self.coupon_code(name, coupon)?))
            }
            TemplateButtonKind::OneTimePassword => Some(FilledButton::UrlSuffix(self.password(name, code)?)),
            TemplateButtonKind::Other { word } if needs_more_than_a_text(word) => {
                let advice = format_args!("has a button of kind {word}, which cannot be sent from here; use another");
                return Err(self.refuse(name, advice));
            }
            TemplateButtonKind::StaticUrl { .. }
            | TemplateButtonKind::CallPhone { .. }
            | TemplateButtonKind::Other { .. } => None,
        })
    }

    fn coupon_code(&self, name: ButtonName<'_>, coupon: &str) -> Result<String, Refusal> {
        let coupon = self.value(name, "the coupon code", coupon)?;
        if is_longer(&coupon, COUPON_CODE_CHARS_MAX) {
            let advice = format_args!("takes a coupon code of at most {COUPON_CODE_CHARS_MAX} characters; shorten it");
            return Err(self.refuse(name, advice));
        }
        Ok(coupon)
    }

    /// WhatsApp wants the code twice, and a platform knows only of the text.
    fn password(&self, name: ButtonName<'_>, code: Option<&String>) -> Result<String, Refusal> {
        let Some(code) = code else {
            return Err(self.refuse(name, "needs the one-time password as the first parameter of its body; add it"));
        };
        let code = self.value(name, "the one-time password", code)?;
        if is_longer(&code, PASSWORD_CHARS_MAX) {
            let advice =
                format_args!("takes a one-time password of at most {PASSWORD_CHARS_MAX} characters; shorten it");
            return Err(self.refuse(name, advice));
        }
        Ok(code)
    }

    /// The variable end of a URL, also where the platform gave the whole of it.
    fn url_suffix(&self, name: ButtonName<'_>, prefix: &str, value: Option<&str>) -> Result<String, Refusal> {
        let suffix = value.map(|value| without_prefix(value, prefix)).unwrap_or_default();
        if suffix.is_empty() {
            return Err(self.refuse(
                name,
                format_args!("needs the part of its URL that follows {prefix:?}; add it to the button"),
            ));
        }
        if holds_placeholder(suffix) && !self.rules.tolerate_placeholders {
            return Err(self.refuse(
                name,
                format_args!("got the URL {suffix:?} with its variable in it; replace that by a value"),
            ));
        }
        self.value(name, "the end of the URL", suffix)
    }

    fn payload(&self, name: ButtonName<'_>, payload: &str) -> Result<String, Refusal> {
        if payload.chars().nth(PAYLOAD_CHARS_MAX).is_some() {
            return Err(self
                .refuse(name, format_args!("takes a payload of at most {PAYLOAD_CHARS_MAX} characters; shorten it")));
        }
        Ok(payload.to_owned())
    }

    fn no_such_button(&self, content: &ButtonContent) -> Refusal {
        let name = format_args!("button {:?}", content.text.as_deref().unwrap_or_default()).to_string();
        let kind = match &content.kind {
            ButtonContentKind::DynamicUrl => "URL button with a variable",
            ButtonContentKind::StaticUrl => "URL button",
            ButtonContentKind::CallPhone => "call button",
            ButtonContentKind::QuickReply => "quick reply",
            ButtonContentKind::CopyCode => "copy-code button",
            ButtonContentKind::Other(word) => word,
        };
        self.refuse(
            name,
            format_args!("has no {kind} left for it; remove it, or save the template again as WhatsApp has it"),
        )
    }
}

/// A button as a person counts it.
#[derive(Clone, Copy)]
struct ButtonName<'a> {
    position: usize,
    text: &'a str,
}

impl fmt::Display for ButtonName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "button {} ({:?})", self.position + 1, self.text)
    }
}

/// The template's buttons that are of the content's kind and have no content yet.
fn free_places(
    needed: &[TemplateButton],
    assigned: &[Option<&ButtonContent>],
    content: &ButtonContent,
) -> impl Iterator<Item = usize> {
    needed
        .iter()
        .zip(assigned)
        .enumerate()
        .filter(|(_, (button, taken))| taken.is_none() && takes(&button.kind, &content.kind))
        .map(|(place, _)| place)
}

pub(super) fn takes(needed: &TemplateButtonKind, given: &ButtonContentKind) -> bool {
    match needed {
        TemplateButtonKind::DynamicUrl { .. } => *given == ButtonContentKind::DynamicUrl,
        TemplateButtonKind::StaticUrl { .. } => *given == ButtonContentKind::StaticUrl,
        TemplateButtonKind::CallPhone { .. } => *given == ButtonContentKind::CallPhone,
        TemplateButtonKind::QuickReply => *given == ButtonContentKind::QuickReply,
        TemplateButtonKind::CopyCode => *given == ButtonContentKind::CopyCode,
        // It looks like the one and is listed as the other.
        TemplateButtonKind::OneTimePassword => {
            matches!(given, ButtonContentKind::CopyCode | ButtonContentKind::DynamicUrl)
        }
        TemplateButtonKind::Other { .. } => matches!(given, ButtonContentKind::Other(_)),
    }
}

/// Would something be lost if this button had no place?
pub(super) fn carries_something(content: &ButtonContent) -> bool {
    let has_value = content.value.as_deref().is_some_and(|value| !value.is_empty());
    match content.kind {
        ButtonContentKind::DynamicUrl | ButtonContentKind::CopyCode => true,
        ButtonContentKind::QuickReply | ButtonContentKind::Other(_) => has_value,
        ButtonContentKind::StaticUrl | ButtonContentKind::CallPhone => false,
    }
}

pub(super) fn same_label(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

/// The variable end of a URL of which the whole was given, with or without its scheme.
fn without_prefix<'a>(value: &'a str, prefix: &str) -> &'a str {
    fn without_scheme(url: &str) -> &str {
        url.split_once("://").map_or(url, |(_, rest)| rest)
    }
    let bare_prefix = without_scheme(prefix);
    let bare = || without_scheme(value).strip_prefix(bare_prefix).filter(|_| !bare_prefix.is_empty());
    value.strip_prefix(prefix).or_else(bare).unwrap_or(value)
}

/// Whether it cannot be sent, whatever a request brings.
pub(super) fn takes_unknown_data(button: &TemplateButtonKind) -> bool {
    match button {
        TemplateButtonKind::Other { word } => needs_more_than_a_text(word),
        TemplateButtonKind::DynamicUrl { .. }
        | TemplateButtonKind::StaticUrl { .. }
        | TemplateButtonKind::CallPhone { .. }
        | TemplateButtonKind::QuickReply
        | TemplateButtonKind::CopyCode
        | TemplateButtonKind::OneTimePassword => false,
    }
}

/// Buttons that WhatsApp sends only with data of a kind that platforms do not have.
fn needs_more_than_a_text(button: &str) -> bool {
    matches!(button, "MPM" | "SPM" | "ORDER_DETAILS")
}
