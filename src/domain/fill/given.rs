//! A template of which nobody has told us what it needs: what a request brings goes on as it came.

use super::super::{
    outbound::Category,
    template::{
        ButtonContent, ButtonContentKind, FilledButton, FilledComponent, FilledHeader, FilledTemplate, FilledText,
        HeaderContent, TemplateContent,
    },
};

/// Everything that a request brings, in its order and unchecked, as a template of this category.
pub fn as_given(content: &TemplateContent, category: Category) -> FilledTemplate {
    let mut components = parts(content.header.as_ref(), &content.body, &content.buttons);
    components
        .extend(content.offer_expires_at_ms.map(|expires_at_ms| FilledComponent::LimitedTimeOffer { expires_at_ms }));
    let cards = content.carousel.iter().flatten();
    let cards: Vec<_> = cards.map(|card| parts(card.header.as_ref(), &card.body, &card.buttons)).collect();
    if !cards.is_empty() {
        components.push(FilledComponent::Carousel(cards));
    }
    FilledTemplate {
        name: content.name.trim().to_owned(),
        language: content.language.trim().to_owned(),
        category,
        components,
    }
}

fn parts(header: Option<&HeaderContent>, body: &[String], buttons: &[ButtonContent]) -> Vec<FilledComponent> {
    let text = |text: &String| FilledText { name: None, text: text.clone() };
    let mut parts = Vec::new();
    let header = header.and_then(|header| match header {
        HeaderContent::Text { parameters } => parameters.first().map(|first| FilledHeader::Text(text(first))),
        HeaderContent::Media { kind, url, filename } => {
            Some(FilledHeader::Media { kind: *kind, url: url.clone(), filename: filename.clone() })
        }
        HeaderContent::Location(location) => Some(FilledHeader::Location(location.clone())),
    });
    parts.extend(header.map(FilledComponent::Header));
    if !body.is_empty() {
        parts.push(FilledComponent::Body(body.iter().map(text).collect()));
    }
    for (position, button) in buttons.iter().enumerate() {
        let value = button.value.clone().and_then(|value| match &button.kind {
            ButtonContentKind::DynamicUrl => Some(FilledButton::UrlSuffix(value)),
            ButtonContentKind::QuickReply => Some(FilledButton::QuickReplyPayload(value)),
            ButtonContentKind::CopyCode => Some(FilledButton::CouponCode(value)),
            ButtonContentKind::StaticUrl | ButtonContentKind::CallPhone | ButtonContentKind::Other(_) => None,
        });
        parts.extend(value.map(|value| FilledComponent::Button { position, value }));
    }
    parts
}
