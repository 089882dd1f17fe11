//! What a template's listing says to people: its quality, why it was rejected, and the examples that it was approved with.
//!
//! Nothing is sent by it, so whatever is missing, or is not what it should be, is left out.

use serde_json::Value;

use crate::domain::{
    outbound::MediaKind,
    template::{
        ButtonContent, ButtonContentKind, CardContent, HeaderContent, Template, TemplateButton, TemplateButtonKind,
        TemplateContent, TemplateHeader, TemplateListing, TemplateText, Variable,
    },
};

/// Reads an entry of the listing beside what was made of it for sending.
pub fn read_listing(template: &Template, listing: &str) -> TemplateListing {
    let entry: Value = serde_json::from_str(listing).unwrap_or_default();
    let quality = entry.pointer("/quality_score/score").or_else(|| entry.get("quality_score"));
    let components = list(&entry, "components");
    let parts = &template.components;
    let carousel = parts.carousel.as_ref().map(|cards| {
        let listed = component(components, "CAROUSEL").map(|carousel| list(carousel, "cards")).unwrap_or_default();
        let of_card = |(index, card): (usize, &crate::domain::template::TemplateCard)| {
            let components = listed.get(index).map(|card| list(card, "components")).unwrap_or_default();
            CardContent {
                header: header(card.header.as_ref(), components),
                body: body(&card.body, components),
                buttons: buttons(&card.buttons, components),
            }
        };
        cards.iter().enumerate().map(of_card).collect()
    });
    TemplateListing {
        quality: quality.and_then(word).filter(|quality| quality != "UNKNOWN"),
        rejected_reason: entry.get("rejected_reason").and_then(word).filter(|reason| reason != "NONE"),
        examples: TemplateContent {
            name: template.name.clone(),
            asked_for: None,
            language: template.language.clone(),
            header: header(parts.header.as_ref(), components),
            body: body(&parts.body, components),
            body_text: None,
            buttons: buttons(&parts.buttons, components),
            offer_expires_at_ms: None,
            carousel,
        },
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn component<'a>(components: &'a [Value], kind: &str) -> Option<&'a Value> {
    let of_kind = |component: &&Value| {
        component.get("type").and_then(Value::as_str).is_some_and(|word| word.eq_ignore_ascii_case(kind))
    };
    components.iter().find(of_kind)
}

fn word(value: &Value) -> Option<String> {
    value.as_str().filter(|word| !word.is_empty()).map(str::to_ascii_uppercase)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

/// An example for each variable; an empty one where there is none.
fn texts(needed: &TemplateText, by_place: Option<&Value>, by_name: &[Value]) -> Vec<String> {
    // Meta wraps the list of a body once more.
    let listed = by_place.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let listed = listed.first().and_then(Value::as_array).map_or(listed, Vec::as_slice);
    let mut examples = vec![String::new(); needed.variables.len()];
    for variable in &needed.variables {
        let Some(place) = needed.place_of(variable) else { continue };
        let found = match variable {
            Variable::Position(_) => listed.get(place).map(text),
            Variable::Name(name) => by_name
                .iter()
                .find(|named| named.get("param_name").and_then(Value::as_str) == Some(name))
                .and_then(|named| named.get("example"))
                .map(text),
        };
        if let Some(example) = examples.get_mut(place) {
            *example = found.unwrap_or_default();
        }
    }
    examples
}

fn body(needed: &TemplateText, components: &[Value]) -> Vec<String> {
    let example = component(components, "BODY").and_then(|body| body.get("example"));
    let named = example.map(|example| list(example, "body_text_named_params")).unwrap_or_default();
    texts(needed, example.and_then(|example| example.get("body_text")), named)
}

fn header(needed: Option<&TemplateHeader>, components: &[Value]) -> Option<HeaderContent> {
    let example = component(components, "HEADER").and_then(|header| header.get("example"));
    match needed? {
        TemplateHeader::Text(needed) if needed.variables.is_empty() => None,
        TemplateHeader::Text(needed) => {
            let named = example.map(|example| list(example, "header_text_named_params")).unwrap_or_default();
            let by_place = example.and_then(|example| example.get("header_text"));
            Some(HeaderContent::Text { parameters: texts(needed, by_place, named) })
        }
        TemplateHeader::Media(kind) => {
            let url = example.map(|example| list(example, "header_handle")).unwrap_or_default().first().map(text);
            let filename = (*kind == MediaKind::Document).then(|| "document.pdf".to_owned());
            Some(HeaderContent::Media { kind: *kind, url: url.unwrap_or_default(), filename })
        }
        // Meta's listing has no example of a place.
        TemplateHeader::Location | TemplateHeader::Other(_) => None,
    }
}

/// In the template's order; those that nothing can be given for are left out.
fn buttons(needed: &[TemplateButton], components: &[Value]) -> Vec<ButtonContent> {
    let listed = component(components, "BUTTONS").map(|buttons| list(buttons, "buttons")).unwrap_or_default();
    let example = |place: usize| {
        let example = listed.get(place).and_then(|button| button.get("example"))?;
        example.as_array().and_then(|list| list.first()).or(Some(example)).map(text)
    };
    let content = |(place, button): (usize, &TemplateButton)| {
        let (kind, value) = match &button.kind {
            TemplateButtonKind::DynamicUrl { prefix } => {
                let whole = example(place).unwrap_or_default();
                let end = whole.strip_prefix(prefix.as_str()).unwrap_or(&whole).to_owned();
                (ButtonContentKind::DynamicUrl, Some(end))
            }
            TemplateButtonKind::StaticUrl { url } => (ButtonContentKind::StaticUrl, Some(url.clone())),
            TemplateButtonKind::CallPhone { number } => (ButtonContentKind::CallPhone, Some(number.clone())),
            TemplateButtonKind::QuickReply => (ButtonContentKind::QuickReply, None),
            TemplateButtonKind::CopyCode => (ButtonContentKind::CopyCode, example(place)),
            TemplateButtonKind::OneTimePassword => (ButtonContentKind::CopyCode, None),
            TemplateButtonKind::Other { .. } => return None,
        };
        let index = i64::try_from(place).ok();
        let value = value.filter(|value| !value.is_empty());
        Some(ButtonContent { kind, index, text: Some(button.text.clone()), value })
    };
    needed.iter().enumerate().filter_map(content).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::providers::cloud_api::templates::read_page;

    fn read(entry: &Value) -> TemplateListing {
        let page = read_page(json!({"data": [entry]}).to_string().as_bytes()).expect("a page");
        read_listing(&page.templates[0].template, &page.templates[0].listing)
    }

    #[test]
    fn examples_come_in_the_order_in_which_values_are_given() {
        let read = read(&json!({"id": "1", "name": "a", "language": "en", "components": [
            {"type": "HEADER", "format": "TEXT", "text": "Hi {{1}}", "example": {"header_text": ["Asha"]}},
            {"type": "BODY", "text": "{{2}} for {{1}}", "example": {"body_text": [["Asha", "Tea"]]}},
            {"type": "BUTTONS", "buttons": [
                {"type": "QUICK_REPLY", "text": "Yes"},
                {"type": "URL", "text": "Buy", "url": "https://shop.example/p/{{1}}", "example": ["https://shop.example/p/A-17"]},
                {"type": "COPY_CODE", "text": "Copy", "example": "SAVE20"}]}],
            "quality_score": {"score": "GREEN", "date": 1_790_000_000}, "rejected_reason": "NONE"}));

        assert_eq!(read.examples.header, Some(HeaderContent::Text { parameters: vec!["Asha".to_owned()] }));
        assert_eq!(read.examples.body, ["Asha", "Tea"]);
        let values: Vec<Option<&str>> = read.examples.buttons.iter().map(|button| button.value.as_deref()).collect();
        assert_eq!(values, [None, Some("A-17"), Some("SAVE20")]);
        assert_eq!((read.quality.as_deref(), read.rejected_reason), (Some("GREEN"), None));
    }

    #[test]
    fn named_examples_follow_the_text() {
        let read = read(&json!({"id": "1", "name": "a", "language": "en", "components": [
            {"type": "BODY", "text": "{{day}}, {{name}}", "example": {"body_text_named_params": [
                {"param_name": "name", "example": "Asha"}, {"param_name": "day", "example": "Monday"}]}}]}));
        assert_eq!(read.examples.body, ["Monday", "Asha"]);
    }

    #[test]
    fn what_is_odd_or_missing_costs_nothing_else() {
        let template = read_page(
            br#"{"data":[{"id":"1","name":"a","language":"en","components":[{"type":"BODY","text":"Hi {{1}}"}]}]}"#,
        )
        .expect("a page")
        .templates
        .remove(0)
        .template;
        for listing in
            ["", "?", "[]", r#"{"components":{}}"#, r#"{"components":[{"type":"BODY","example":{"body_text":7}}]}"#]
        {
            let read = read_listing(&template, listing);
            assert_eq!((read.examples.body.as_slice(), read.quality), ([String::new()].as_slice(), None), "{listing}");
        }
    }
}
