//! Which of a request's buttons belongs to which of the template's, and what stands behind it.

use crate::domain::template::{ButtonContent, ButtonContentKind, TemplateButton, TemplateButtonKind};

/// The template's buttons that are of the content's kind and have no content yet.
pub(super) fn free_places(
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
pub(super) fn without_prefix<'a>(value: &'a str, prefix: &str) -> &'a str {
    fn without_scheme(url: &str) -> &str {
        url.split_once("://").map_or(url, |(_, rest)| rest)
    }
    let bare_prefix = without_scheme(prefix);
    let bare = || without_scheme(value).strip_prefix(bare_prefix).filter(|_| !bare_prefix.is_empty());
    value.strip_prefix(prefix).or_else(bare).unwrap_or(value)
}

/// Buttons that WhatsApp sends only with data of a kind that platforms do not have.
pub(super) fn needs_more_than_a_text(button: &str) -> bool {
    matches!(button, "MPM" | "SPM" | "ORDER_DETAILS")
}
