//! What Meta refuses at the door, and with which code.
//!
//! Only what the documentation or long experience gives a code for is refused; the rest passes, as it does there.

use serde::Deserialize;
use serde_json::Value;

use super::{
    rules::Refusal,
    templates::{ButtonForm, ButtonNeed, HeaderForm, Parts, TemplateForm, TextForm},
};

const CALLBACK_DATA_CHARS_MAX: usize = 512;
const TEXT_CHARS_MAX: usize = 4_096;
const BODY_CHARS_MAX: usize = 1_024;
const ONLY_BODY_CHARS_MAX: usize = 32_768;
const PAYLOAD_CHARS_MAX: usize = 128;
const COPY_CODE_CHARS_MAX: usize = 20;
const ONE_TIME_PASSWORD_CHARS_MAX: usize = 15;
/// A carousel of products is approved with two cards, and sent with as many.
const PRODUCT_CARDS_MAX: usize = 10;

/// A send, as far as it is read. What else it carries is kept in the recorded bytes.
#[derive(Deserialize)]
pub(super) struct SendBody {
    pub(super) messaging_product: Option<String>,
    pub(super) to: Option<String>,
    /// A user id; `to` comes before it.
    recipient: Option<String>,
    product_policy: Option<String>,
    message_activity_sharing: Option<Value>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) biz_opaque_callback_data: Option<String>,
    pub(super) template: Option<TemplateBody>,
    /// `read`, together with `message_id`: not a message but a receipt.
    pub(super) status: Option<String>,
    pub(super) message_id: Option<String>,
    text: Option<TextBody>,
    image: Option<MediaBody>,
    video: Option<MediaBody>,
    audio: Option<MediaBody>,
    document: Option<MediaBody>,
    sticker: Option<MediaBody>,
    location: Option<Value>,
    contacts: Option<Value>,
    interactive: Option<Value>,
    reaction: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct TemplateBody {
    pub(super) name: String,
    pub(super) language: LanguageBody,
    #[serde(default)]
    pub(super) components: Vec<ComponentBody>,
}

#[derive(Deserialize)]
pub(super) struct LanguageBody {
    pub(super) code: String,
}

#[derive(Deserialize)]
pub(super) struct ComponentBody {
    #[serde(rename = "type")]
    kind: String,
    sub_type: Option<String>,
    /// A string in most samples, a number in others: both are taken.
    index: Option<Value>,
    #[serde(default)]
    parameters: Vec<ParameterBody>,
    #[serde(default)]
    cards: Vec<CardBody>,
}

#[derive(Deserialize)]
struct CardBody {
    card_index: Option<u64>,
    #[serde(default)]
    components: Vec<ComponentBody>,
}

#[derive(Default, Deserialize)]
struct ParameterBody {
    #[serde(rename = "type")]
    kind: String,
    parameter_name: Option<String>,
    text: Option<String>,
    payload: Option<String>,
    coupon_code: Option<String>,
    image: Option<MediaBody>,
    video: Option<MediaBody>,
    document: Option<MediaBody>,
    location: Option<Value>,
    limited_time_offer: Option<Value>,
    product: Option<Value>,
    action: Option<Value>,
}

#[derive(Default, Deserialize)]
struct MediaBody {
    id: Option<String>,
    link: Option<String>,
}

#[derive(Deserialize)]
struct TextBody {
    body: String,
}

impl SendBody {
    /// Whom it is for: digits, or a user id.
    pub(super) fn person(&self) -> String {
        match (&self.to, &self.recipient) {
            (None, Some(user_id)) => user_id.clone(),
            (to, _) => super::state::digits(to.as_deref().unwrap_or_default()),
        }
    }

    /// Whether a text in it contains this.
    pub(super) fn says(&self, part: &str) -> bool {
        let filled = self.template.iter().flat_map(|template| &template.components);
        let filled = filled.flat_map(|component| &component.parameters).filter_map(|given| given.text.as_deref());
        self.text.iter().map(|text| text.body.as_str()).chain(filled).any(|text| text.contains(part))
    }

    /// The uploaded files that it sends.
    pub(super) fn media_ids(&self) -> impl Iterator<Item = &str> {
        let free = [&self.image, &self.video, &self.audio, &self.document, &self.sticker].into_iter().flatten();
        let of_template = self.template.iter().flat_map(|template| &template.components);
        free.chain(of_template.flat_map(ComponentBody::media)).filter_map(|media| media.id.as_deref())
    }
}

impl ComponentBody {
    fn media(&self) -> Vec<&MediaBody> {
        let own = self.parameters.iter().flat_map(|given| [&given.image, &given.video, &given.document]).flatten();
        let of_cards = self.cards.iter().flat_map(|card| &card.components).flat_map(Self::media);
        own.chain(of_cards).collect()
    }
}

type Checked = Result<(), Refusal>;

fn refuse(code: u32, details: impl Into<String>) -> Refusal {
    Refusal { details: Some(details.into()), ..Refusal::code(code) }
}

/// What every send needs, before anybody looks at its content.
pub(super) fn check_envelope(body: &SendBody) -> Checked {
    if body.messaging_product.as_deref() != Some("whatsapp") {
        return Err(refuse(100, "The parameter messaging_product is required."));
    }
    check_recipient(body)?;
    if body.product_policy.as_deref().is_some_and(|policy| !["CLOUD_API_FALLBACK", "STRICT"].contains(&policy)) {
        return Err(refuse(100, "product_policy: CLOUD_API_FALLBACK or STRICT."));
    }
    if body.message_activity_sharing.as_ref().is_some_and(|sharing| !sharing.is_boolean()) {
        return Err(refuse(100, "message_activity_sharing: true or false."));
    }
    if body.biz_opaque_callback_data.as_ref().is_some_and(|data| data.chars().count() > CALLBACK_DATA_CHARS_MAX) {
        return Err(refuse(100, format!("biz_opaque_callback_data: at most {CALLBACK_DATA_CHARS_MAX} characters.")));
    }
    Ok(())
}

fn check_recipient(body: &SendBody) -> Checked {
    let to = body.to.as_deref().unwrap_or_default();
    if to.is_empty() {
        return match body.recipient.as_deref() {
            Some(user_id) if super::people::is_user_id(user_id) => Ok(()),
            Some(_) => Err(refuse(131009, "recipient: this is not a user id.")),
            None => Err(refuse(100, "The parameter to is required.")),
        };
    }
    let only_a_number = |character: char| character.is_ascii_digit() || "+-() ".contains(character);
    if !to.chars().all(only_a_number) || !(7..=15).contains(&super::state::digits(to).len()) {
        return Err(refuse(131009, "to: this is not a phone number."));
    }
    Ok(())
}

/// A message that is not a template.
pub(super) fn check_freeform(kind: &str, body: &SendBody) -> Checked {
    let object = |given: &Option<Value>| given.is_some();
    match kind {
        "text" => match &body.text {
            None => Err(refuse(100, "The parameter text['body'] is required.")),
            Some(text) if text.body.is_empty() => Err(refuse(131008, "text['body'] is required.")),
            Some(text) if text.body.chars().count() > TEXT_CHARS_MAX => {
                Err(refuse(100, format!("text['body']: at most {TEXT_CHARS_MAX} characters.")))
            }
            Some(_) => Ok(()),
        },
        "image" => check_media(kind, body.image.as_ref()),
        "video" => check_media(kind, body.video.as_ref()),
        "audio" => check_media(kind, body.audio.as_ref()),
        "document" => check_media(kind, body.document.as_ref()),
        "sticker" => check_media(kind, body.sticker.as_ref()),
        "location" if object(&body.location) => check_location(body.location.as_ref()),
        "contacts" if object(&body.contacts) => Ok(()),
        "interactive" if object(&body.interactive) => Ok(()),
        "reaction" if object(&body.reaction) => Ok(()),
        "location" | "contacts" | "interactive" | "reaction" => {
            Err(refuse(100, format!("The parameter {kind} is required.")))
        }
        _ => Err(refuse(100, format!("type: {kind:?} is not a type of message."))),
    }
}

fn check_media(kind: &str, media: Option<&MediaBody>) -> Checked {
    let Some(media) = media else { return Err(refuse(100, format!("The parameter {kind} is required."))) };
    match (&media.id, &media.link) {
        (Some(_), None) => Ok(()),
        (None, Some(link)) if link.starts_with("https://") || link.starts_with("http://") => Ok(()),
        (None, Some(_)) => Err(refuse(100, format!("{kind}['link'] is not a URL."))),
        (None, None) => Err(refuse(131008, format!("{kind}: one of id and link is required."))),
        (Some(_), Some(_)) => Err(refuse(100, format!("{kind}: id and link exclude each other."))),
    }
}

fn check_location(location: Option<&Value>) -> Checked {
    for key in ["latitude", "longitude"] {
        let given = location.and_then(|location| location.get(key));
        let number = given.and_then(|value| value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()));
        if number.is_none() {
            return Err(refuse(131008, format!("location['{key}'] is required, as a number.")));
        }
    }
    Ok(())
}

/// A template's state and its parameters. `form` is `None` when the translation does not exist.
pub(super) fn check_template(
    template: &TemplateBody,
    form: Option<&TemplateForm>,
    location_needs_name: bool,
) -> Checked {
    let Some(form) = form.filter(|form| ["APPROVED", "PAUSED", "DISABLED"].contains(&form.status.as_str())) else {
        let (name, code) = (&template.name, &template.language.code);
        return Err(refuse(132001, format!("template name ({name}) does not exist in {code}")));
    };
    match form.status.as_str() {
        "PAUSED" => return Err(refuse(132015, "This template is paused because of its quality.")),
        "DISABLED" => return Err(refuse(132016, "This template is disabled for good.")),
        _ => {}
    }
    if location_needs_name {
        check_place(&template.components)?;
    }
    check_parts(&form.parts, &template.components, form.named)
}

fn check_place(components: &[ComponentBody]) -> Checked {
    for place in components.iter().flat_map(|part| &part.parameters).filter_map(|given| given.location.as_ref()) {
        let given = |key: &str| place.get(key).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        if !given("name") || !given("address") {
            return Err(refuse(131008, "location: name and address are required in the header of a template."));
        }
    }
    Ok(())
}

fn check_parts(parts: &Parts, components: &[ComponentBody], named: bool) -> Checked {
    let of_kind = |kind: &'static str| components.iter().filter(move |part| part.kind.eq_ignore_ascii_case(kind));
    let parameters = |kind| of_kind(kind).next().map(|part| part.parameters.as_slice()).unwrap_or_default();

    check_header(&parts.header, parameters("header"), named)?;
    check_texts("body", &parts.body, parameters("body"), named)?;
    check_length(parts, parameters("body"))?;
    check_buttons(&parts.buttons, &of_kind("button").collect::<Vec<_>>())?;
    if parts.offer {
        check_offer(parameters("limited_time_offer"))?;
    }
    let Some(cards) = &parts.cards else { return Ok(()) };
    let given = of_kind("carousel").next().map(|part| part.cards.as_slice()).unwrap_or_default();
    check_cards(cards, given, named)
}

fn check_offer(given: &[ParameterBody]) -> Checked {
    let offer = given.iter().find_map(|parameter| parameter.limited_time_offer.as_ref());
    let ends_at_ms = offer.and_then(|offer| offer.get("expiration_time_ms"));
    match ends_at_ms {
        Some(time) if time.is_u64() => Ok(()),
        Some(_) => Err(refuse(131009, "limited_time_offer: expiration_time_ms is not a whole number.")),
        None => Err(refuse(131008, "limited_time_offer: expiration_time_ms is required.")),
    }
}

fn check_cards(cards: &[Parts], given: &[CardBody], named: bool) -> Checked {
    let of_products = cards.iter().all(|card| matches!(&card.header, HeaderForm::Given(kind) if kind == "product"));
    let right = if of_products { (2..=PRODUCT_CARDS_MAX).contains(&given.len()) } else { given.len() == cards.len() };
    if !right {
        return Err(refuse(132012, format!("carousel: {} cards given, {} approved", given.len(), cards.len())));
    }
    // All cards of a template are made alike.
    for (place, (card, given)) in cards.iter().cycle().zip(given).enumerate() {
        if given.card_index != Some(place as u64) {
            return Err(refuse(131009, format!("carousel: the card at place {place} has another card_index")));
        }
        check_parts(card, &given.components, named)?;
    }
    Ok(())
}

fn check_header(form: &HeaderForm, given: &[ParameterBody], named: bool) -> Checked {
    let expected = match form {
        HeaderForm::Fixed => return check_texts("header", &TextForm::default(), given, named),
        HeaderForm::Text(text) => return check_texts("header", text, given, named),
        HeaderForm::Given(kind) => kind.as_str(),
    };
    let received = given.first().map_or("unknown", |parameter| parameter.kind.as_str());
    if !received.eq_ignore_ascii_case(expected) {
        let details = format!("header: Format mismatch, expected {expected}, received {received}");
        return Err(refuse(132012, details.to_uppercase()));
    }
    let Some(parameter) = given.first() else { return Ok(()) };
    match expected {
        "image" => check_media("image", parameter.image.as_ref()),
        "video" => check_media("video", parameter.video.as_ref()),
        "document" => check_media("document", parameter.document.as_ref()),
        "location" => check_location(parameter.location.as_ref()),
        "product" => check_product(parameter.product.as_ref()),
        _ => Ok(()),
    }
}

fn check_product(product: Option<&Value>) -> Checked {
    for key in ["product_retailer_id", "catalog_id"] {
        if product.and_then(|product| product.get(key)).and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err(refuse(131008, format!("product['{key}'] is required.")));
        }
    }
    Ok(())
}

fn check_texts(part: &str, form: &TextForm, given: &[ParameterBody], named: bool) -> Checked {
    if form.variables.len() != given.len() {
        let (expected, received) = (form.variables.len(), given.len());
        return Err(refuse(
            132000,
            format!(
                "{part}: number of localizable_params ({received}) does not match \
                 the expected number of params ({expected})"
            ),
        ));
    }
    for parameter in given {
        match (&parameter.parameter_name, named) {
            (Some(name), true) if form.variables.contains(name) => {}
            (Some(name), true) => return Err(refuse(132012, format!("{part}: there is no parameter {name:?}"))),
            (None, true) => return Err(refuse(132012, format!("{part}: Parameter name is missing or empty"))),
            (Some(name), false) => {
                return Err(refuse(132012, format!("{part}: {name:?} is named, the template is positional")));
            }
            (None, false) => {}
        }
        // Currencies and dates carry a text of their own; only texts have rules.
        if parameter.kind.eq_ignore_ascii_case("text") {
            check_value(part, parameter.text.as_deref())?;
        }
    }
    Ok(())
}

fn check_value(part: &str, value: Option<&str>) -> Checked {
    let value = value.unwrap_or_default();
    if value.is_empty() {
        return Err(refuse(131008, format!("{part}: Parameter of type text is missing text value")));
    }
    if value.contains(['\n', '\r', '\t']) || value.contains("     ") {
        return Err(refuse(
            132018,
            format!(
                "{part}: Param text cannot have new-line/tab characters or more than 4 consecutive \
                 spaces"
            ),
        ));
    }
    Ok(())
}

fn check_length(parts: &Parts, given: &[ParameterBody]) -> Checked {
    let filled: usize =
        given.iter().filter_map(|parameter| parameter.text.as_ref()).map(|text| text.chars().count()).sum();
    let limit = if parts.only_body { ONLY_BODY_CHARS_MAX } else { BODY_CHARS_MAX };
    if parts.body.fixed_chars + filled > limit {
        return Err(refuse(132005, format!("body: more than {limit} characters when filled")));
    }
    Ok(())
}

fn check_buttons(forms: &[ButtonForm], given: &[&ComponentBody]) -> Checked {
    for component in given {
        let place = component.place().ok_or_else(|| refuse(131008, "buttons: index is required"))?;
        let form = forms
            .get(place)
            .ok_or_else(|| refuse(131009, format!("buttons: the template has no button at index {place}")))?;
        check_button(place, form, component)?;
    }
    for (place, form) in forms.iter().enumerate() {
        let required = match form.need {
            ButtonNeed::Url | ButtonNeed::CopyCode | ButtonNeed::OneTimePassword | ButtonNeed::Products => true,
            ButtonNeed::QuickReply | ButtonNeed::Nothing => false,
        };
        if required && !given.iter().any(|component| component.place() == Some(place)) {
            let details = format!("buttons: Button at index {place} of type {:?} requires a parameter", form.need);
            return Err(refuse(131008, details));
        }
    }
    Ok(())
}

fn check_button(place: usize, form: &ButtonForm, component: &ComponentBody) -> Checked {
    let expected = match form.need {
        ButtonNeed::Url | ButtonNeed::OneTimePassword => "url",
        ButtonNeed::Products => "mpm",
        ButtonNeed::CopyCode => "copy_code",
        ButtonNeed::QuickReply => "quick_reply",
        // Flows and catalogues take optional parameters; a fixed URL or a number takes none.
        ButtonNeed::Nothing if component.sub_type.as_deref() != Some("url") => return Ok(()),
        ButtonNeed::Nothing => {
            return Err(refuse(132000, format!("buttons: Button at index {place} takes no parameter")));
        }
    };
    if !component.sub_type.as_deref().is_some_and(|given| given.eq_ignore_ascii_case(expected)) {
        return Err(refuse(132012, format!("buttons: Button at index {place} is of type {expected}")));
    }
    let parameter = component.parameters.first();
    match form.need {
        ButtonNeed::Url => check_value("buttons", parameter.and_then(|parameter| parameter.text.as_deref())),
        ButtonNeed::CopyCode => {
            let code = parameter.and_then(|parameter| parameter.coupon_code.as_deref());
            check_value("buttons", code)?;
            if code.is_some_and(|code| !code.chars().all(char::is_alphanumeric)) {
                return Err(refuse(131009, format!("buttons: Button at index {place} takes letters and digits only")));
            }
            check_chars(place, code, COPY_CODE_CHARS_MAX)
        }
        ButtonNeed::OneTimePassword => {
            let code = parameter.and_then(|parameter| parameter.text.as_deref());
            check_value("buttons", code)?;
            check_chars(place, code, ONE_TIME_PASSWORD_CHARS_MAX)
        }
        ButtonNeed::Products => {
            let action = parameter.and_then(|parameter| parameter.action.as_ref());
            let sections = action.and_then(|action| action.get("sections")).and_then(Value::as_array);
            if sections.is_none_or(Vec::is_empty) {
                return Err(refuse(131008, format!("buttons: Button at index {place} requires sections of products")));
            }
            Ok(())
        }
        ButtonNeed::QuickReply => {
            check_chars(place, parameter.and_then(|parameter| parameter.payload.as_deref()), PAYLOAD_CHARS_MAX)
        }
        ButtonNeed::Nothing => Ok(()),
    }
}

fn check_chars(place: usize, value: Option<&str>, chars_max: usize) -> Checked {
    if value.is_some_and(|value| value.chars().count() > chars_max) {
        return Err(refuse(131009, format!("buttons: Button at index {place} takes at most {chars_max} characters")));
    }
    Ok(())
}

impl ComponentBody {
    fn place(&self) -> Option<usize> {
        let index = self.index.as_ref()?;
        index.as_u64().or_else(|| index.as_str()?.parse().ok()).and_then(|place| place.try_into().ok())
    }
}

/// What a person can tap: payload and label of each quick reply button, in order.
pub(super) fn quick_replies(form: &TemplateForm, template: &TemplateBody) -> Vec<(String, String)> {
    let payload = |place: usize| {
        let buttons = template.components.iter().filter(|part| part.kind.eq_ignore_ascii_case("button"));
        let component = buttons.into_iter().find(|part| part.place() == Some(place))?;
        component.parameters.first()?.payload.clone()
    };
    let buttons = form.parts.buttons.iter().enumerate();
    buttons
        .filter(|(_, button)| button.need == ButtonNeed::QuickReply)
        .map(|(place, button)| (payload(place).unwrap_or_else(|| button.label.clone()), button.label.clone()))
        .collect()
}
