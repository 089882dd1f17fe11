//! CleverTap's send payload: bytes into a [`SendRequest`].
//!
//! The documents come from a form that people fill in and from samples that contradict each other, so
//! everything is read that can only mean one thing: [`wire`] knows the shapes, and each oddity is a small
//! function here with its reason. Whether the message can be sent is decided elsewhere; refused here is
//! what has no meaning at all.

use serde_json::Value;

use super::{
    is_test_id,
    wire::{
        Card, Component, ComponentKind, Envelope, FreeformKind, Header, HeaderKind, Media, Parameter, TextBlock,
        custom_pairs,
    },
};
use crate::domain::{
    failure::{Refusal, RefusalKind},
    fill::check_freeform,
    outbound::{Content, Freeform, MediaKind, Purpose, SendRequest},
    template::{ButtonContent, ButtonContentKind, CardContent, HeaderContent, TemplateContent},
};

/// CleverTap documents 60 characters. Whoever makes longer ids is understood too, and gets them back in reports.
pub const MESSAGE_ID_CHARS_MAX: usize = 250;
/// WhatsApp's limit for the name of a template.
const TEMPLATE_NAME_CHARS_MAX: usize = 512;
/// No language has a longer code. It is stored as it came when the template could not be looked up.
const LANGUAGE_CHARS_MAX: usize = 64;

/// The template that CleverTap "sends" when a provider is saved, to see whether the credentials are right.
const VERIFY_TEMPLATE: &str = "whatsapp:hsm:technology:generic:verify";

pub(super) fn read(body: &[u8]) -> Result<SendRequest, Refusal> {
    let mut envelope = unwrapped(Envelope::read(body)?)?;
    if envelope.says_nothing() {
        let message = "request: there is no message in it; send to, wabaNumber, msgId, and a template or a text";
        return Err(Refusal::new(RefusalKind::Other, message));
    }
    if let Some(template) = &mut envelope.template {
        envelope.components.append(&mut template.components);
    }
    let platform_message_id = message_id(&envelope)?;
    let (to, from) = (envelope.to.clone(), envelope.waba_number.clone());
    let custom = custom_properties(&envelope);
    let content = if is_template(&envelope) {
        Content::Template(template(envelope)?)
    } else {
        Content::Freeform(freeform(envelope)?)
    };
    let purpose = purpose(&platform_message_id, &content);
    Ok(SendRequest { platform_message_id, purpose, to, from, content, custom })
}

/// The id in whatever is JSON.
pub(super) fn message_id_within(body: &[u8]) -> Option<String> {
    let document = document_within(body)?;
    let id = ["msgId", "msg_id"].into_iter().find_map(|name| text_of(&document, name))?;
    check_message_id(&id).ok()
}

/// From which number and to whom, in whatever is JSON.
pub(super) fn parties_within(body: &[u8]) -> (String, String) {
    let document = document_within(body).unwrap_or_default();
    let of = |name: &str| text_of(&document, name).unwrap_or_default();
    (of("wabaNumber"), of("to"))
}

fn document_within(body: &[u8]) -> Option<Value> {
    let mut document: Value = serde_json::from_slice(body).ok()?;
    let inner = document.get_mut("body").filter(|inner| inner.is_object()).map(Value::take);
    Some(inner.unwrap_or(document))
}

/// Numbers are not always written as texts.
fn text_of(document: &Value, name: &str) -> Option<String> {
    let text = match document.get(name)? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    Some(text).filter(|text| !text.is_empty())
}

/// The validation payload is documented inside an outer `{"body": { … }}`.
fn unwrapped(envelope: Envelope) -> Result<Envelope, Refusal> {
    match &envelope.body {
        Some(inner) if inner.get().starts_with('{') => Envelope::read(inner.get().as_bytes()),
        Some(_) | None => Ok(envelope),
    }
}

/// `msgId`, in some samples `msg_id`.
fn message_id(envelope: &Envelope) -> Result<String, Refusal> {
    let ids = [&envelope.msg_id, &envelope.msg_id_in_snake_case];
    check_message_id(ids.into_iter().map(|id| id.trim()).find(|id| !id.is_empty()).unwrap_or_default())
}

/// It goes into logs and tables, and back to CleverTap.
fn check_message_id(id: &str) -> Result<String, Refusal> {
    if id.chars().nth(MESSAGE_ID_CHARS_MAX).is_some() {
        let message = format!("msgId: at most {MESSAGE_ID_CHARS_MAX} characters are accepted; send a shorter id");
        return Err(Refusal::new(RefusalKind::Other, message));
    }
    if id.contains(char::is_control) {
        let message = "msgId: it contains control characters; send an id of letters, digits and signs";
        return Err(Refusal::new(RefusalKind::Other, message));
    }
    Ok(id.to_owned())
}

/// `customProps` is an element of `components` without a `type`, or stands beside them.
fn custom_properties(envelope: &Envelope) -> Vec<(String, String)> {
    let in_components = envelope.components.iter().map(|component| &component.custom_props);
    in_components.chain([&envelope.custom_props]).flat_map(custom_pairs).collect()
}

/// `isTemplate` decides; without it, whether there is a template.
fn is_template(envelope: &Envelope) -> bool {
    envelope.is_template.unwrap_or(envelope.template.is_some())
}

fn purpose(platform_message_id: &str, content: &Content) -> Purpose {
    let template = match content {
        Content::Template(template) => Some(template),
        Content::Freeform(_) => None,
    };
    let never_send = template.is_some_and(|template| template.name == VERIFY_TEMPLATE);
    if never_send || is_test_id(platform_message_id) {
        Purpose::Test { never_send, generated: template.is_some_and(is_generated) }
    } else {
        Purpose::Message
    }
}

fn template(envelope: Envelope) -> Result<TemplateContent, Refusal> {
    let named = envelope.template.unwrap_or_default();
    let mut content = TemplateContent {
        name: template_name(&named.namespace)?.to_owned(),
        language: language(named.language_code)?,
        ..TemplateContent::default()
    };
    // Their order is not guaranteed, and neither is their number.
    for component in envelope.components {
        match component.kind {
            // An empty one beside the real one is the form's, too.
            ComponentKind::Header => content.header = header(component.header)?.or(content.header),
            ComponentKind::Body => {
                let block =
                    component.body.unwrap_or(TextBlock { text: component.text, parameters: component.parameters });
                content.body = texts(block.parameters);
                content.body_text = Some(block.text).filter(|text| !text.is_empty());
            }
            ComponentKind::Button => content.buttons.push(button(component)),
            ComponentKind::LimitedTimeOffer => content.offer_expires_at_ms = offer_end(&component.parameters),
            ComponentKind::Carousel => {
                content.carousel = Some(component.cards.into_iter().map(card).collect::<Result<_, _>>()?);
            }
            // A footer has no parameters; what we do not know is not needed, or missed by the template.
            ComponentKind::Other => {}
        }
    }
    Ok(content)
}

/// Older set-ups write `namespace:name`. The verify template's name is full of colons.
fn template_name(namespace: &str) -> Result<&str, Refusal> {
    let namespace = namespace.trim();
    let name = match namespace.rsplit_once(':') {
        Some((_, name)) if namespace != VERIFY_TEMPLATE => name.trim(),
        Some(_) | None => namespace,
    };
    if name.is_empty() {
        let message = "template: template.namespace is missing; give the name of the template there";
        return Err(Refusal::new(RefusalKind::Template, message));
    }
    if is_no_name(name) {
        let message = format!(
            "template: template.namespace is no name of a template, which has at most {TEMPLATE_NAME_CHARS_MAX} \
             letters, digits and underscores; correct it"
        );
        return Err(Refusal::new(RefusalKind::Template, message));
    }
    Ok(name)
}

fn language(code: String) -> Result<String, Refusal> {
    if code.chars().nth(LANGUAGE_CHARS_MAX).is_some() || code.contains(char::is_control) {
        let message = format!(
            "language: template.languageCode is no code of a language, which has at most {LANGUAGE_CHARS_MAX} characters, \
             like en_US; correct it"
        );
        return Err(Refusal::new(RefusalKind::Template, message));
    }
    Ok(code)
}

/// Whether there is such a template, the list of the number's business account tells.
fn is_no_name(name: &str) -> bool {
    name.chars().nth(TEMPLATE_NAME_CHARS_MAX).is_some() || name.contains(char::is_control)
}

/// Which of its parts holds the header is said by `header.type` alone.
fn header(header: Option<Header>) -> Result<Option<HeaderContent>, Refusal> {
    let Some(header) = header else { return Ok(None) };
    let refused = |message: String| Err(Refusal::new(RefusalKind::Template, message));
    match header.kind {
        HeaderKind::Text => {
            let block = header.text.unwrap_or_default();
            // The form's empty header field.
            let is_nothing = block.text.is_empty() && block.parameters.is_empty();
            Ok((!is_nothing).then(|| HeaderContent::Text { parameters: texts(block.parameters) }))
        }
        HeaderKind::Image => Ok(Some(media_header(MediaKind::Image, header.image))),
        HeaderKind::Video => Ok(Some(media_header(MediaKind::Video, header.video))),
        HeaderKind::File => Ok(Some(media_header(MediaKind::Document, header.file.or(header.document)))),
        HeaderKind::Location => Ok(Some(HeaderContent::Location(header.location.unwrap_or_default().into()))),
        HeaderKind::Audio => refused(
            "header: WhatsApp templates have no audio header; use text, image, video, file or location".to_owned(),
        ),
        HeaderKind::Other(word) => refused(format!(
            "header: {word:?} is no kind of header; header.type can be text, image, video, file or location"
        )),
    }
}

fn media_header(kind: MediaKind, media: Option<Media>) -> HeaderContent {
    let Media { media_url, filename, .. } = media.unwrap_or_default();
    HeaderContent::Media { kind, url: with_scheme(media_url), filename: given(filename) }
}

fn button(component: Component) -> ButtonContent {
    ButtonContent {
        kind: component.sub_type.0,
        index: component.index,
        text: given(component.button_text),
        value: component.parameters.into_iter().find_map(Parameter::into_value),
    }
}

fn offer_end(parameters: &[Parameter]) -> Option<i64> {
    parameters.iter().find_map(|parameter| parameter.limited_time_offer.as_ref()?.expiration_time_ms)
}

/// Cards have no index: their order counts.
fn card(card: Card) -> Result<CardContent, Refusal> {
    let mut content = CardContent::default();
    for component in card.components {
        match component.kind {
            ComponentKind::Header => content.header = header(component.header)?,
            ComponentKind::Body => content.body = texts(component.body.unwrap_or_default().parameters),
            ComponentKind::Button => content.buttons.push(button(component)),
            ComponentKind::LimitedTimeOffer | ComponentKind::Carousel | ComponentKind::Other => {}
        }
    }
    Ok(content)
}

fn texts(parameters: Vec<Parameter>) -> Vec<String> {
    parameters.into_iter().map(|parameter| parameter.text).collect()
}

fn freeform(envelope: Envelope) -> Result<Freeform, Refusal> {
    let media = |kind, media: Option<Media>| {
        let Media { media_url, caption, filename } = media.unwrap_or_default();
        Freeform::Media { kind, url: with_scheme(media_url), caption: given(caption), filename: given(filename) }
    };
    let message = match envelope.kind {
        FreeformKind::Text => Freeform::Text { body: envelope.text.unwrap_or_default().body },
        FreeformKind::Image => media(MediaKind::Image, envelope.image),
        FreeformKind::Video => media(MediaKind::Video, envelope.video),
        FreeformKind::Audio => media(MediaKind::Audio, envelope.audio.or(envelope.voice)),
        FreeformKind::File => media(MediaKind::Document, envelope.file.or(envelope.document)),
        FreeformKind::Location => Freeform::Location(envelope.location.unwrap_or_default().into()),
        FreeformKind::Other(word) => {
            let message = format!(
                "type: a message is a template (isTemplate: true) or of type text, image, video, audio, file or \
                 location, got {word:?}; correct it"
            );
            return Err(Refusal::new(RefusalKind::Other, message));
        }
    };
    check_freeform(&message)?;
    Ok(message)
}

/// Media addresses are typed by hand, now and then without `https://`.
fn with_scheme(url: String) -> String {
    let url = url.trim();
    if url.is_empty() || url.contains("://") { url.to_owned() } else { format!("https://{url}") }
}

fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// When a template is saved CleverTap checks it with parameters `"0"`, `"1"`, …: at least one, and each its
/// own index, counted in each component or through all of them.
fn is_generated(content: &TemplateContent) -> bool {
    let mut before = 0;
    let mut all_equal_their_index = true;
    let mut count = |parameters: &[String]| {
        let equals =
            |from: usize| parameters.iter().enumerate().all(|(index, text)| *text == (from + index).to_string());
        all_equal_their_index &= equals(0) || equals(before);
        before += parameters.len();
    };
    if let Some(HeaderContent::Text { parameters }) = &content.header {
        count(parameters);
    }
    count(&content.body);
    let cards = content.carousel.as_deref().unwrap_or_default();
    cards.iter().for_each(|card| count(&card.body));
    let mut buttons = content.buttons.iter().chain(cards.iter().flat_map(|card| &card.buttons));
    before > 0 && all_equal_their_index && buttons.all(is_generated_button)
}

/// The documented check of a template with several buttons leaves a `{{1}}` in a URL.
fn is_generated_button(button: &ButtonContent) -> bool {
    let value = button.value.as_deref().unwrap_or_default();
    button.kind != ButtonContentKind::DynamicUrl
        || value.contains("{{")
        || value.bytes().all(|byte| byte.is_ascii_digit())
}
