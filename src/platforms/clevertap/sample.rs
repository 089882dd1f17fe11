//! A send request as CleverTap would make it: for tests that people of ours make, which then go the way of every other message.
//!
//! Its id is the one of zeros that CleverTap's own tests have, so nothing is reported of it.

use serde_json::{Map, Value, json};

use crate::domain::{
    outbound::{Content, Freeform, Location, MediaKind},
    phone::PhoneNumber,
    template::{ButtonContent, ButtonContentKind, CardContent, HeaderContent, TemplateContent},
};

/// The id of CleverTap's tests.
const TEST_ID: &str = "0|0|0|0";

pub(super) fn write(from: &PhoneNumber, to: &str, content: &Content) -> String {
    let mut envelope = json!({
        "payloadVersion": 0.1,
        "to": to,
        "wabaNumber": from.digits(),
        "msgId": TEST_ID,
        "isTemplate": matches!(content, Content::Template(_)),
    });
    match content {
        Content::Template(content) => {
            envelope["template"] = json!({"namespace": content.name, "languageCode": content.language});
            envelope["components"] = components(content).into();
        }
        Content::Freeform(message) => {
            let (kind, value) = freeform(message);
            envelope["type"] = kind.into();
            envelope[kind] = value;
        }
    }
    // In lines: people read it.
    serde_json::to_string_pretty(&envelope).expect("texts and numbers can be written as JSON")
}

fn components(content: &TemplateContent) -> Vec<Value> {
    let mut components = Vec::new();
    components.extend(content.header.as_ref().map(header));
    components.push(body(content.body_text.as_deref(), &content.body));
    if let Some(ends_at_ms) = content.offer_expires_at_ms {
        let parameter = json!({"type": "limited_time_offer", "limited_time_offer": {"expiration_time_ms": ends_at_ms}});
        components.push(json!({"type": "limited_time_offer", "parameters": [parameter]}));
    }
    components.extend(content.buttons.iter().enumerate().map(button));
    if let Some(cards) = &content.carousel {
        let cards: Vec<Value> = cards.iter().map(card).collect();
        components.push(json!({"type": "carousel", "cards": cards}));
    }
    components
}

fn card(card: &CardContent) -> Value {
    let mut components = Vec::new();
    components.extend(card.header.as_ref().map(header));
    components.push(body(None, &card.body));
    components.extend(card.buttons.iter().enumerate().map(button));
    json!({"components": components})
}

fn header(header: &HeaderContent) -> Value {
    let header = match header {
        HeaderContent::Text { parameters } => {
            json!({"type": "text", "text": {"parameters": texts(parameters)}})
        }
        HeaderContent::Media { kind, url, filename } => {
            let kind = word_of(*kind);
            let mut media = json!({"mediaURL": url});
            put(&mut media, "filename", filename.as_deref());
            let mut header = Map::new();
            header.insert("type".to_owned(), kind.into());
            header.insert(kind.to_owned(), media);
            Value::Object(header)
        }
        HeaderContent::Location(location) => json!({"type": "location", "location": place(location)}),
    };
    json!({"type": "header", "header": header})
}

fn body(text: Option<&str>, values: &[String]) -> Value {
    let mut body = json!({"parameters": texts(values)});
    put(&mut body, "text", text);
    json!({"type": "body", "body": body})
}

fn button((index, button): (usize, &ButtonContent)) -> Value {
    let value = button.value.as_deref();
    let (kind, parameter) = match &button.kind {
        ButtonContentKind::DynamicUrl => ("dynamicUrl", value.map(|text| json!({"type": "text", "text": text}))),
        ButtonContentKind::StaticUrl => ("staticUrl", value.map(|text| json!({"type": "text", "text": text}))),
        ButtonContentKind::CallPhone => ("callPhone", value.map(|text| json!({"type": "text", "text": text}))),
        ButtonContentKind::QuickReply => {
            ("quickReply", value.map(|payload| json!({"type": "payload", "payload": payload})))
        }
        ButtonContentKind::CopyCode => {
            ("copy_code", value.map(|code| json!({"type": "coupon_code", "coupon_code": code})))
        }
        ButtonContentKind::Other(word) => (word.as_str(), value.map(|text| json!({"type": "text", "text": text}))),
    };
    json!({
        "type": "button",
        "index": button.index.unwrap_or_else(|| i64::try_from(index).unwrap_or_default()),
        "subType": kind,
        "buttonText": button.text.as_deref().unwrap_or_default(),
        "parameters": Vec::from_iter(parameter),
    })
}

fn freeform(message: &Freeform) -> (&'static str, Value) {
    match message {
        Freeform::Text { body } => ("text", json!({"body": body})),
        Freeform::Media { kind, url, caption, filename } => {
            let mut media = json!({"mediaURL": url});
            put(&mut media, "caption", caption.as_deref());
            put(&mut media, "filename", filename.as_deref());
            (word_of(*kind), media)
        }
        Freeform::Location(location) => ("location", place(location)),
    }
}

fn place(location: &Location) -> Value {
    let mut place = json!({"latitude": location.latitude, "longitude": location.longitude});
    put(&mut place, "name", location.name.as_deref());
    put(&mut place, "address", location.address.as_deref());
    place
}

/// CleverTap's word for a kind of file.
fn word_of(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "image",
        MediaKind::Video => "video",
        MediaKind::Audio => "audio",
        MediaKind::Document => "file",
    }
}

fn texts(values: &[String]) -> Vec<Value> {
    values.iter().map(|text| json!({"type": "text", "text": text})).collect()
}

fn put(object: &mut Value, key: &str, text: Option<&str>) {
    if let Some(text) = text {
        object[key] = text.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::outbound::Purpose, platforms::clevertap::request};

    fn read_again(content: &Content) -> Content {
        let from = PhoneNumber::from_international("+918880110022").expect("a number");
        let read = request::read(write(&from, "+919876500001", content).as_bytes()).expect("it can be read");
        assert!(matches!(read.purpose, Purpose::Test { never_send: false, .. }), "{read:?}");
        assert_eq!((read.from.as_str(), read.to.as_str()), ("918880110022", "+919876500001"));
        read.content
    }

    fn button(kind: ButtonContentKind, index: i64, value: Option<&str>) -> ButtonContent {
        ButtonContent {
            kind,
            index: Some(index),
            text: Some(format!("Button {index}")),
            value: value.map(str::to_owned),
        }
    }

    #[test]
    fn what_is_written_is_read_as_it_was_meant() {
        let location = Location {
            latitude: "19.0760".to_owned(),
            longitude: "72.8777".to_owned(),
            name: Some("Shop".to_owned()),
            address: None,
        };
        let media = |kind, filename: Option<&str>| HeaderContent::Media {
            kind,
            url: "https://media.example/1".to_owned(),
            filename: filename.map(str::to_owned),
        };
        for header in [
            None,
            Some(HeaderContent::Text { parameters: vec!["Asha".to_owned()] }),
            Some(media(MediaKind::Image, None)),
            Some(media(MediaKind::Video, None)),
            Some(media(MediaKind::Document, Some("bill.pdf"))),
            Some(HeaderContent::Location(location.clone())),
        ] {
            let content = Content::Template(TemplateContent {
                name: "offer".to_owned(),
                asked_for: None,
                language: "en".to_owned(),
                header: header.clone(),
                body: vec!["Asha".to_owned(), "20%".to_owned()],
                body_text: Some("Asha, 20% off".to_owned()),
                buttons: vec![
                    button(ButtonContentKind::DynamicUrl, 0, Some("a?b=c")),
                    button(ButtonContentKind::StaticUrl, 1, Some("https://shop.example/")),
                    button(ButtonContentKind::CallPhone, 2, Some("+918880110022")),
                    button(ButtonContentKind::QuickReply, 3, Some("yes")),
                    button(ButtonContentKind::QuickReply, 4, None),
                    button(ButtonContentKind::CopyCode, 5, Some("SAVE20")),
                ],
                offer_expires_at_ms: Some(1_790_000_000_000),
                carousel: Some(vec![CardContent {
                    header: header.filter(|header| matches!(header, HeaderContent::Media { .. })),
                    body: vec!["10%".to_owned()],
                    buttons: vec![button(ButtonContentKind::DynamicUrl, 0, Some("p"))],
                }]),
            });
            assert_eq!(read_again(&content), content);
        }
        for message in [
            Freeform::Text { body: "hello".to_owned() },
            Freeform::Media {
                kind: MediaKind::Document,
                url: "https://media.example/1".to_owned(),
                caption: Some("here".to_owned()),
                filename: Some("a.pdf".to_owned()),
            },
            Freeform::Location(location),
        ] {
            let content = Content::Freeform(message);
            assert_eq!(read_again(&content), content);
        }
    }
}
