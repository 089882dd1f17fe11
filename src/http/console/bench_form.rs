//! The fields of a test: one for each thing that a template must be given, and back again to what it brings.

use std::collections::HashMap;

use super::{asked, frame::sentence};
use crate::domain::{
    account::ForbiddenWhiteSpace,
    fill::{COUPON_CODE_CHARS_MAX, PAYLOAD_CHARS_MAX, is_coordinate, is_web_url, value_trouble},
    outbound::{Location, MediaKind},
    template::{
        ButtonContent, ButtonContentKind, CardContent, HeaderContent, Template, TemplateButton, TemplateButtonKind,
        TemplateContent, TemplateHeader, TemplateText, Variable,
    },
};

/// What stands in the fields, by their names.
pub(super) type Values = HashMap<String, String>;

/// Fields that belong together.
pub(super) struct Group {
    pub(super) heading: String,
    pub(super) fields: Vec<Field>,
}

pub(super) struct Field {
    pub(super) name: String,
    pub(super) label: String,
    pub(super) value: String,
    /// The type of the input.
    pub(super) kind: &'static str,
    pub(super) hint: String,
    rule: Rule,
    /// What must be changed.
    pub(super) wrong: Option<String>,
}

/// What a field must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Anything,
    /// A text that WhatsApp takes as a value.
    Value,
    WebAddress,
    Latitude,
    Longitude,
    Time,
    Code,
    Payload,
}

impl Rule {
    /// What is wrong with a value.
    fn trouble(self, value: &str, white_space: ForbiddenWhiteSpace) -> Option<String> {
        let too_long = |chars_max: usize| value.chars().nth(chars_max).is_some();
        let said = match self {
            Self::Anything => None,
            _ if value.trim().is_empty() && self != Self::Payload => Some("give it a value".to_owned()),
            Self::Value => value_trouble(value, white_space).map(|trouble| format!("it {trouble}")),
            Self::WebAddress => {
                (!is_web_url(value.trim())).then(|| "give the whole address, beginning with https://".to_owned())
            }
            Self::Latitude => (!is_coordinate(value, 90.0)).then(|| "give degrees, such as 19.0760".to_owned()),
            Self::Longitude => (!is_coordinate(value, 180.0)).then(|| "give degrees, such as 72.8777".to_owned()),
            Self::Time => asked::time("offer", value).err().map(|wrong| wrong.text),
            Self::Code if too_long(COUPON_CODE_CHARS_MAX) => {
                Some(format!("at most {COUPON_CODE_CHARS_MAX} characters: shorten it"))
            }
            Self::Code => value_trouble(value, white_space).map(|trouble| format!("it {trouble}")),
            Self::Payload => too_long(PAYLOAD_CHARS_MAX)
                .then(|| format!("at most {PAYLOAD_CHARS_MAX} characters come back: shorten it")),
        };
        said.map(|said| sentence(&said))
    }
}

/// Says at each field what must be changed; gives back at how many.
pub(super) fn mark_wrong(groups: &mut [Group], white_space: ForbiddenWhiteSpace) -> usize {
    let mut wrong = 0;
    for field in groups.iter_mut().flat_map(|group| &mut group.fields) {
        field.wrong = field.rule.trouble(&field.value, white_space);
        wrong += usize::from(field.wrong.is_some());
    }
    wrong
}

/// Hidden beside the fields: they were seen, so an empty one is meant.
pub(super) const SEEN: &str = "seen";

/// The fields of a template, with what was entered, or, as long as nothing was, with its examples.
pub(super) fn groups(template: &Template, entered: &Values, examples: &TemplateContent) -> Vec<Group> {
    let written;
    let values = if entered.contains_key(SEEN) {
        entered
    } else {
        written = values_of(template, examples);
        &written
    };
    let mut writer = Writer { values, groups: Vec::new() };
    let parts = &template.components;
    writer.part("", "", parts.header.as_ref(), &parts.body, &parts.buttons);
    if parts.limited_time_offer.is_some() {
        let end = writer.field("offer", "The offer ends (UTC)", ("datetime-local", Rule::Time), "");
        writer.group("Limited-time offer", vec![end]);
    }
    for (index, card) in parts.carousel.iter().flatten().enumerate() {
        let (prefix, heading) = (card_prefix(index), format!("Card {}: ", index + 1));
        writer.part(&prefix, &heading, card.header.as_ref(), &card.body, &card.buttons);
    }
    writer.groups
}

fn card_prefix(index: usize) -> String {
    format!("card_{}_", index + 1)
}

struct Writer<'a> {
    values: &'a Values,
    groups: Vec<Group>,
}

impl Writer<'_> {
    fn field(
        &self,
        name: impl Into<String>,
        label: impl Into<String>,
        (kind, rule): (&'static str, Rule),
        hint: &str,
    ) -> Field {
        let name = name.into();
        let value = self.values.get(&name).cloned().unwrap_or_default();
        Field { name, label: label.into(), value, kind, hint: hint.to_owned(), rule, wrong: None }
    }

    fn group(&mut self, heading: impl Into<String>, fields: Vec<Field>) {
        if !fields.is_empty() {
            self.groups.push(Group { heading: heading.into(), fields });
        }
    }

    fn part(
        &mut self,
        prefix: &str,
        heading: &str,
        header: Option<&TemplateHeader>,
        body: &TemplateText,
        buttons: &[TemplateButton],
    ) {
        let fields = header.map_or_else(Vec::new, |header| self.header(prefix, header));
        self.group(format!("{heading}Header"), fields);
        let fields = self.texts(&format!("{prefix}body_"), body);
        self.group(format!("{heading}Body"), fields);
        let fields = buttons.iter().enumerate().filter_map(|(place, button)| self.button(prefix, place, button));
        let fields = fields.collect();
        self.group(format!("{heading}Buttons"), fields);
    }

    fn texts(&self, prefix: &str, text: &TemplateText) -> Vec<Field> {
        let field = |(place, variable): (usize, &Variable)| {
            let label = match variable {
                Variable::Position(position) => format!("{{{{{position}}}}}"),
                Variable::Name(name) => format!("{{{{{name}}}}}"),
            };
            self.field(format!("{prefix}{}", place + 1), label, ("text", Rule::Value), "")
        };
        // In the order in which values are given, which is not always that of the text.
        let mut variables: Vec<&Variable> = text.variables.iter().collect();
        variables.sort_by_key(|variable| text.place_of(variable));
        variables.into_iter().enumerate().map(field).collect()
    }

    fn header(&self, prefix: &str, header: &TemplateHeader) -> Vec<Field> {
        let named = |name: &str| format!("{prefix}header_{name}");
        match header {
            TemplateHeader::Text(text) => self.texts(&named(""), text),
            TemplateHeader::Media(kind) => {
                let hint = "WhatsApp fetches it: an address that the whole world can reach";
                let mut fields = vec![self.field(
                    named("url"),
                    format!("Address of the {}", file_word(*kind)),
                    ("url", Rule::WebAddress),
                    hint,
                )];
                if *kind == MediaKind::Document {
                    fields.push(self.field(named("filename"), "Its name on the phone", ("text", Rule::Anything), ""));
                }
                fields
            }
            TemplateHeader::Location => vec![
                self.field(named("latitude"), "Latitude", ("text", Rule::Latitude), ""),
                self.field(named("longitude"), "Longitude", ("text", Rule::Longitude), ""),
                self.field(named("name"), "Name of the place", ("text", Rule::Anything), ""),
                self.field(named("address"), "Address", ("text", Rule::Anything), ""),
            ],
            TemplateHeader::Other(_) => vec![],
        }
    }

    fn button(&self, prefix: &str, place: usize, button: &TemplateButton) -> Option<Field> {
        let label = &button.text;
        let (label, hint, rule) = match &button.kind {
            TemplateButtonKind::DynamicUrl { prefix } => {
                (format!("{label}: end of the link"), format!("behind {prefix}"), Rule::Value)
            }
            TemplateButtonKind::QuickReply => {
                (format!("{label}: payload"), "comes back with the tap; may be left empty".to_owned(), Rule::Payload)
            }
            TemplateButtonKind::CopyCode => (format!("{label}: code"), String::new(), Rule::Code),
            TemplateButtonKind::StaticUrl { .. }
            | TemplateButtonKind::CallPhone { .. }
            | TemplateButtonKind::OneTimePassword
            | TemplateButtonKind::Other { .. } => return None,
        };
        Some(self.field(format!("{prefix}button_{}", place + 1), label, ("text", rule), &hint))
    }
}

fn file_word(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "image",
        MediaKind::Video => "video",
        MediaKind::Audio => "audio file",
        MediaKind::Document => "document",
    }
}

/// What the fields bring for a template; `Err` says what to change.
pub(super) fn content(template: &Template, values: &Values) -> Result<TemplateContent, String> {
    let value = |name: &str| values.get(name).cloned().unwrap_or_default();
    let parts = &template.components;
    let offer = match &parts.limited_time_offer {
        Some(_) => asked::time("offer", &value("offer")).map_err(|wrong| wrong.text)?.map(|at| at.0),
        None => None,
    };
    let cards = parts.carousel.as_ref().map(|cards| {
        let card = |(index, card): (usize, &crate::domain::template::TemplateCard)| {
            let reader = Reader { values, prefix: card_prefix(index) };
            CardContent {
                header: card.header.as_ref().and_then(|header| reader.header(header)),
                body: reader.texts("body_", &card.body),
                buttons: reader.buttons(&card.buttons),
            }
        };
        cards.iter().enumerate().map(card).collect()
    });
    let reader = Reader { values, prefix: String::new() };
    Ok(TemplateContent {
        name: template.name.clone(),
        asked_for: None,
        language: template.language.clone(),
        header: parts.header.as_ref().and_then(|header| reader.header(header)),
        body: reader.texts("body_", &parts.body),
        body_text: None,
        buttons: reader.buttons(&parts.buttons),
        offer_expires_at_ms: offer,
        carousel: cards,
    })
}

struct Reader<'a> {
    values: &'a Values,
    prefix: String,
}

impl Reader<'_> {
    fn value(&self, name: &str) -> String {
        self.values.get(&format!("{}{name}", self.prefix)).map(|value| value.trim().to_owned()).unwrap_or_default()
    }

    fn texts(&self, prefix: &str, text: &TemplateText) -> Vec<String> {
        (1..=text.variables.len()).map(|number| self.value(&format!("{prefix}{number}"))).collect()
    }

    fn header(&self, header: &TemplateHeader) -> Option<HeaderContent> {
        let given = |name: &str| Some(self.value(name)).filter(|value| !value.is_empty());
        match header {
            TemplateHeader::Text(text) if text.variables.is_empty() => None,
            TemplateHeader::Text(text) => Some(HeaderContent::Text { parameters: self.texts("header_", text) }),
            TemplateHeader::Media(kind) => Some(HeaderContent::Media {
                kind: *kind,
                url: self.value("header_url"),
                filename: given("header_filename"),
            }),
            TemplateHeader::Location => Some(HeaderContent::Location(Location {
                latitude: self.value("header_latitude"),
                longitude: self.value("header_longitude"),
                name: given("header_name"),
                address: given("header_address"),
            })),
            TemplateHeader::Other(_) => None,
        }
    }

    fn buttons(&self, buttons: &[TemplateButton]) -> Vec<ButtonContent> {
        let content = |(place, button): (usize, &TemplateButton)| {
            let entered = || Some(self.value(&format!("button_{}", place + 1)));
            let (kind, value) = match &button.kind {
                TemplateButtonKind::DynamicUrl { .. } => (ButtonContentKind::DynamicUrl, entered()),
                TemplateButtonKind::QuickReply => (ButtonContentKind::QuickReply, entered()),
                TemplateButtonKind::CopyCode => (ButtonContentKind::CopyCode, entered()),
                TemplateButtonKind::StaticUrl { url } => (ButtonContentKind::StaticUrl, Some(url.clone())),
                TemplateButtonKind::CallPhone { number } => (ButtonContentKind::CallPhone, Some(number.clone())),
                TemplateButtonKind::OneTimePassword => (ButtonContentKind::CopyCode, None),
                TemplateButtonKind::Other { .. } => return None,
            };
            let value = value.filter(|value| !value.is_empty());
            Some(ButtonContent { kind, index: i64::try_from(place).ok(), text: Some(button.text.clone()), value })
        };
        buttons.iter().enumerate().filter_map(content).collect()
    }
}

/// The fields that would bring this content.
fn values_of(template: &Template, content: &TemplateContent) -> Values {
    let mut values = Values::new();
    put(&mut values, "", content.header.as_ref(), &content.body);
    put_buttons(&mut values, "", &template.components.buttons, &content.buttons);
    let needed = template.components.carousel.iter().flatten();
    for (index, (card, needed)) in content.carousel.iter().flatten().zip(needed).enumerate() {
        let prefix = card_prefix(index);
        put(&mut values, &prefix, card.header.as_ref(), &card.body);
        put_buttons(&mut values, &prefix, &needed.buttons, &card.buttons);
    }
    values
}

fn put(values: &mut Values, prefix: &str, header: Option<&HeaderContent>, body: &[String]) {
    match header {
        Some(HeaderContent::Text { parameters }) => {
            let numbered = parameters.iter().enumerate();
            values.extend(numbered.map(|(place, text)| (format!("{prefix}header_{}", place + 1), text.clone())));
        }
        Some(HeaderContent::Media { url, filename, .. }) => {
            values.insert(format!("{prefix}header_url"), url.clone());
            values.extend(filename.clone().map(|name| (format!("{prefix}header_filename"), name)));
        }
        Some(HeaderContent::Location(_)) | None => {}
    }
    let numbered = body.iter().enumerate();
    values.extend(numbered.map(|(place, text)| (format!("{prefix}body_{}", place + 1), text.clone())));
}

fn put_buttons(values: &mut Values, prefix: &str, needed: &[TemplateButton], given: &[ButtonContent]) {
    for (place, button) in needed.iter().enumerate() {
        let of_place = |given: &&ButtonContent| given.text.as_deref() == Some(button.text.as_str());
        if let Some(value) = given.iter().find(of_place).and_then(|given| given.value.clone()) {
            values.insert(format!("{prefix}button_{}", place + 1), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::template::{TemplateCard, TemplateCategory, TemplateComponents, TemplateStatus};

    fn template() -> Template {
        let text = |text: &str| TemplateText::parse(text.to_owned());
        let link = TemplateButtonKind::DynamicUrl { prefix: "https://shop.example/".to_owned() };
        let button = |kind, text: &str| TemplateButton { kind, text: text.to_owned() };
        Template {
            provider_id: "1".to_owned(),
            name: "offer".to_owned(),
            language: "en".to_owned(),
            status: TemplateStatus::Approved,
            category: TemplateCategory::Marketing,
            components: TemplateComponents {
                header: Some(TemplateHeader::Media(MediaKind::Document)),
                body: text("{{2}} for {{1}}"),
                footer: None,
                buttons: vec![button(TemplateButtonKind::QuickReply, "Yes"), button(link, "Buy")],
                limited_time_offer: None,
                carousel: Some(vec![TemplateCard {
                    header: Some(TemplateHeader::Text(text("Hi {{name}}"))),
                    body: text("{{1}} off"),
                    buttons: vec![button(TemplateButtonKind::CopyCode, "Copy")],
                }]),
            },
            time_to_live_s: None,
        }
    }

    fn examples() -> TemplateContent {
        let button = |kind, index, text: &str, value: Option<&str>| ButtonContent {
            kind,
            index: Some(index),
            text: Some(text.to_owned()),
            value: value.map(str::to_owned),
        };
        TemplateContent {
            name: "offer".to_owned(),
            language: "en".to_owned(),
            header: Some(HeaderContent::Media {
                kind: MediaKind::Document,
                url: "https://media.example/a.pdf".to_owned(),
                filename: Some("a.pdf".to_owned()),
            }),
            body: vec!["Asha".to_owned(), "Tea".to_owned()],
            buttons: vec![
                button(ButtonContentKind::QuickReply, 0, "Yes", None),
                button(ButtonContentKind::DynamicUrl, 1, "Buy", Some("a-17")),
            ],
            carousel: Some(vec![CardContent {
                header: Some(HeaderContent::Text { parameters: vec!["Asha".to_owned()] }),
                body: vec!["10%".to_owned()],
                buttons: vec![button(ButtonContentKind::CopyCode, 0, "Copy", Some("SAVE"))],
            }]),
            ..TemplateContent::default()
        }
    }

    #[test]
    fn a_form_begins_with_the_examples_and_brings_what_stands_in_it() {
        let (template, examples) = (template(), examples());
        let shown = groups(&template, &Values::new(), &examples);
        let fields = shown.iter().flat_map(|group| &group.fields);
        let mut entered: Values = fields.map(|field| (field.name.clone(), field.value.clone())).collect();

        assert_eq!(content(&template, &entered), Ok(examples.clone()));
        let labels: Vec<&str> = shown[1].fields.iter().map(|field| field.label.as_str()).collect();
        assert_eq!(labels, ["{{1}}", "{{2}}"], "as values are given, not as the text has them");

        entered.insert(SEEN.to_owned(), "yes".to_owned());
        entered.insert("body_1".to_owned(), String::new());
        entered.insert("header_url".to_owned(), "a.pdf".to_owned());
        entered.insert("card_1_button_1".to_owned(), "A".repeat(21));
        let mut shown = groups(&template, &entered, &examples);
        assert_eq!(shown[1].fields[0].value, "", "what was emptied stays empty");
        assert_eq!(mark_wrong(&mut shown, ForbiddenWhiteSpace::Refuse), 3);
        let wrong: Vec<(&str, &str)> = shown
            .iter()
            .flat_map(|group| &group.fields)
            .filter_map(|field| Some((field.name.as_str(), field.wrong.as_deref()?)))
            .collect();
        assert_eq!(
            wrong,
            [
                ("header_url", "Give the whole address, beginning with https://."),
                ("body_1", "Give it a value."),
                ("card_1_button_1", "At most 20 characters: shorten it."),
            ],
            "all of them at once"
        );
    }
}
