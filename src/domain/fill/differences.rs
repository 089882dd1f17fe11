//! Where the template that a platform has saved differs in shape from the one that WhatsApp has.
//!
//! [`fill`](super::fill) stops at the first thing that it cannot use, because one is enough to refuse a message. A person who mends
//! a template wants to hear of all of them at once, also of those that harm nothing yet.

use super::{
    buttons::{carries_something, same_label, takes},
    given_header, needed_header,
};
use crate::domain::{
    rendered::compare,
    template::{
        ButtonContent, ButtonContentKind, CardContent, HeaderContent, Template, TemplateButton, TemplateButtonKind,
        TemplateCard, TemplateCategory, TemplateContent, TemplateHeader, TemplateText,
    },
    words::counted,
};

/// One thing that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which part, as people call it.
    pub part: String,
    /// What the platform sent.
    pub platform: String,
    pub whatsapp: String,
    /// What to change at the platform.
    pub advice: String,
    pub harm: Harm,
    /// What the platform sent is what somebody was written.
    pub personal: bool,
}

/// What comes of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// Messages are refused.
    Refused,
    /// Messages are sent, and people at the platform see something else than those who get them.
    Misleading,
    /// None.
    None,
}

impl Harm {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Misleading => "misleading",
            Self::None => "harmless",
        }
    }
}

/// All that differs, the worst first.
pub fn differences(template: &Template, content: &TemplateContent) -> Vec<Difference> {
    let (needs, mut found) = (&template.components, Vec::new());
    found.extend(spelling("template name", &content.name, &template.name));
    found.extend(spelling("language", &content.language, &template.language));
    let whole = Part { card: None };
    found.extend(whole.header(needs.header.as_ref(), content.header.as_ref()));
    found.extend(whole.count("body", &needs.body, content.body.len()));
    // WhatsApp writes the small print of an authentication template by itself.
    if template.category != TemplateCategory::Authentication {
        found.extend(text(&needs.body, content));
    }
    found.extend(whole.buttons(&needs.buttons, &content.buttons));
    found.extend(offer(needs.limited_time_offer.is_some(), content.offer_expires_at_ms));
    found.extend(carousel(needs.carousel.as_deref(), content.carousel.as_deref()));
    found.sort_by_key(|difference| difference.harm);
    found
}

fn spelling(part: &str, given: &str, is: &str) -> Option<Difference> {
    (given.trim() != is).then(|| Difference {
        part: part.to_owned(),
        platform: given.to_owned(),
        whatsapp: is.to_owned(),
        advice: format!("write {is}; what is meant was found all the same"),
        harm: Harm::None,
        personal: false,
    })
}

fn text(needed: &TemplateText, content: &TemplateContent) -> Option<Difference> {
    let rendered = content.body_text.as_deref()?;
    // With another number of values nothing fits, and that is told already.
    if needed.variables.len() != content.body.len() {
        return None;
    }
    let parting = compare(needed, &content.body, rendered)?;
    let behind =
        if parting.after.is_empty() { "At its beginning".to_owned() } else { format!("After “{}”", parting.after) };
    let shown = |text: &str| if text.is_empty() { "nothing more".to_owned() } else { format!("“{text}”") };
    Some(Difference {
        part: "text of the body".to_owned(),
        platform: format!("{behind}: {}", shown(&parting.rendered)),
        whatsapp: format!("{behind}: {}", shown(&parting.template)),
        advice: "copy the body from here and save the template again with it: people get WhatsApp's text".to_owned(),
        harm: Harm::Misleading,
        personal: true,
    })
}

fn offer(needed: bool, given: Option<i64>) -> Option<Difference> {
    let (platform, whatsapp, advice) = match (needed, given) {
        (true, None) => ("none", "a limited-time offer", "give the time at which the offer ends"),
        (false, Some(_)) => ("a limited-time offer", "none", "remove the limited-time offer"),
        (true, Some(_)) | (false, None) => return None,
    };
    let whole = Part { card: None };
    Some(whole.refused("limited-time offer", platform, whatsapp, advice))
}

fn carousel(needed: Option<&[TemplateCard]>, given: Option<&[CardContent]>) -> Vec<Difference> {
    let (needed, given) = (needed.unwrap_or_default(), given.unwrap_or_default());
    let whole = Part { card: None };
    if needed.len() != given.len() {
        let advice = match needed.len() {
            0 => "remove the carousel".to_owned(),
            cards => format!("give the carousel {}", counted(cards as u64, "card", "cards")),
        };
        let cards = |count: usize| counted(count as u64, "card", "cards");
        return vec![whole.refused("carousel", &cards(given.len()), &cards(needed.len()), &advice)];
    }
    let mut found = Vec::new();
    for (index, (needed, given)) in needed.iter().zip(given).enumerate() {
        let card = Part { card: Some(index + 1) };
        found.extend(card.header(needed.header.as_ref(), given.header.as_ref()));
        found.extend(card.count("body", &needed.body, given.body.len()));
        found.extend(card.buttons(&needed.buttons, &given.buttons));
    }
    found
}

/// The template itself, or one of its cards.
#[derive(Clone, Copy)]
struct Part {
    /// From 1.
    card: Option<usize>,
}

impl Part {
    fn named(self, part: &str) -> String {
        self.card.map_or_else(|| part.to_owned(), |card| format!("card {card}, {part}"))
    }

    fn refused(self, part: &str, platform: &str, whatsapp: &str, advice: &str) -> Difference {
        Difference {
            part: self.named(part),
            platform: platform.to_owned(),
            whatsapp: whatsapp.to_owned(),
            advice: advice.to_owned(),
            harm: Harm::Refused,
            personal: false,
        }
    }

    fn count(self, part: &str, needed: &TemplateText, given: usize) -> Option<Difference> {
        let wanted = needed.variables.len();
        let variables = |count: usize| counted(count as u64, "variable", "variables");
        let advice = match given < wanted {
            true => format!("add what is missing: the {part} needs {}", variables(wanted)),
            false => format!("remove what is too much: the {part} needs {}", variables(wanted)),
        };
        (wanted != given).then(|| self.refused(part, &variables(given), &variables(wanted), &advice))
    }

    fn header(self, needed: Option<&TemplateHeader>, given: Option<&HeaderContent>) -> Option<Difference> {
        match (needed, given) {
            (None, None) => None,
            (None, Some(given)) => Some(self.refused("header", given_header(given), "none", "remove the header")),
            (Some(TemplateHeader::Text(text)), None) => self.count("header", text, 0),
            (Some(TemplateHeader::Text(text)), Some(HeaderContent::Text { parameters })) => {
                self.count("header", text, parameters.len())
            }
            (Some(TemplateHeader::Media(kind)), Some(HeaderContent::Media { kind: given, .. })) if kind == given => {
                None
            }
            (Some(TemplateHeader::Location), Some(HeaderContent::Location(_))) => None,
            (Some(needed @ TemplateHeader::Other(word)), given) => {
                let advice = format!("a header of kind {word} cannot be sent from here; use another template");
                Some(self.refused("header", given.map_or("none", given_header), needed_header(needed), &advice))
            }
            (Some(needed @ (TemplateHeader::Text(_) | TemplateHeader::Media(_) | TemplateHeader::Location)), given) => {
                let advice = format!("give it {}", needed_header(needed));
                Some(self.refused("header", given.map_or("none", given_header), needed_header(needed), &advice))
            }
        }
    }

    fn buttons(self, needed: &[TemplateButton], given: &[ButtonContent]) -> Vec<Difference> {
        let mut found = Vec::new();
        let mut taken = vec![false; needed.len()];
        let mut strays = Vec::new();
        for content in given {
            let label = content.text.as_deref().unwrap_or_default();
            let place = (0..needed.len()).find(|place| !taken[*place] && same_label(label, &needed[*place].text));
            match place {
                Some(place) => {
                    taken[place] = true;
                    found.extend(self.kind(&needed[place], content));
                }
                None => strays.push(content),
            }
        }
        for content in strays {
            let place = (0..needed.len()).find(|place| !taken[*place] && takes(&needed[*place].kind, &content.kind));
            match place {
                Some(place) => {
                    taken[place] = true;
                    found.extend(self.label(&needed[place], content));
                }
                None => found.push(self.stray(content)),
            }
        }
        let missing = needed.iter().zip(taken).filter(|(button, taken)| !taken && needs_value(&button.kind));
        found.extend(missing.map(|(button, _)| self.missing(button)));
        found
    }

    /// A button of the same label, and perhaps of another kind.
    fn kind(self, needed: &TemplateButton, content: &ButtonContent) -> Option<Difference> {
        let (is, wanted) = (given_button(&content.kind), needed_button(&needed.kind));
        if takes(&needed.kind, &content.kind) {
            return None;
        }
        let advice = format!("make “{}” {wanted}", needed.text);
        let difference = self.refused(&format!("button “{}”", needed.text), is, wanted, &advice);
        let harmless = !carries_something(content) && !needs_value(&needed.kind);
        Some(if harmless { Difference { harm: Harm::Misleading, ..difference } } else { difference })
    }

    fn label(self, needed: &TemplateButton, content: &ButtonContent) -> Option<Difference> {
        let label = content.text.as_deref().filter(|label| !label.is_empty())?;
        Some(Difference {
            part: self.named(&format!("button “{}”", needed.text)),
            platform: format!("labelled “{label}”"),
            whatsapp: format!("labelled “{}”", needed.text),
            advice: format!("label it “{}”", needed.text),
            harm: Harm::Misleading,
            personal: false,
        })
    }

    fn stray(self, content: &ButtonContent) -> Difference {
        let label = content.text.as_deref().filter(|label| !label.is_empty()).unwrap_or("without a label");
        let difference = self.refused(
            &format!("button “{label}”"),
            given_button(&content.kind),
            "none",
            "remove the button, or give it the label and the kind that WhatsApp has",
        );
        let harm = if carries_something(content) { Harm::Refused } else { Harm::Misleading };
        Difference { harm, ..difference }
    }

    fn missing(self, needed: &TemplateButton) -> Difference {
        let wanted = needed_button(&needed.kind);
        let advice = format!("add the button “{}”: {wanted}", needed.text);
        self.refused(&format!("button “{}”", needed.text), "none", wanted, &advice)
    }
}

fn needs_value(kind: &TemplateButtonKind) -> bool {
    match kind {
        TemplateButtonKind::DynamicUrl { .. } | TemplateButtonKind::CopyCode => true,
        // Its code is the body's.
        TemplateButtonKind::OneTimePassword
        | TemplateButtonKind::StaticUrl { .. }
        | TemplateButtonKind::CallPhone { .. }
        | TemplateButtonKind::QuickReply
        | TemplateButtonKind::Other { .. } => false,
    }
}

/// A button's kind, as people know it.
pub fn needed_button(kind: &TemplateButtonKind) -> &str {
    match kind {
        TemplateButtonKind::DynamicUrl { .. } => "a link with a variable end",
        TemplateButtonKind::StaticUrl { .. } => "a fixed link",
        TemplateButtonKind::CallPhone { .. } => "a call",
        TemplateButtonKind::QuickReply => "a quick reply",
        TemplateButtonKind::CopyCode => "a code to copy",
        TemplateButtonKind::OneTimePassword => "a one-time password to copy",
        TemplateButtonKind::Other { word } => word,
    }
}

fn given_button(kind: &ButtonContentKind) -> &str {
    match kind {
        ButtonContentKind::DynamicUrl => "a link with a variable end",
        ButtonContentKind::StaticUrl => "a fixed link",
        ButtonContentKind::CallPhone => "a call",
        ButtonContentKind::QuickReply => "a quick reply",
        ButtonContentKind::CopyCode => "a code to copy",
        ButtonContentKind::Other(word) => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        outbound::MediaKind,
        template::{TemplateComponents, TemplateStatus},
    };

    fn template(components: TemplateComponents) -> Template {
        Template {
            provider_id: "1".to_owned(),
            name: "offer".to_owned(),
            language: "en_GB".to_owned(),
            status: TemplateStatus::Approved,
            category: TemplateCategory::Marketing,
            components,
            time_to_live_s: None,
        }
    }

    fn content() -> TemplateContent {
        TemplateContent { name: "offer".to_owned(), language: "en_GB".to_owned(), ..TemplateContent::default() }
    }

    fn told(template: &Template, content: &TemplateContent) -> Vec<String> {
        let told = |difference: Difference| {
            let Difference { part, platform, whatsapp, harm, .. } = difference;
            format!("{}: {part}: {platform} / {whatsapp}", harm.as_str())
        };
        differences(template, content).into_iter().map(told).collect()
    }

    fn button(kind: TemplateButtonKind, text: &str) -> TemplateButton {
        TemplateButton { kind, text: text.to_owned() }
    }

    fn given(kind: ButtonContentKind, text: &str, value: Option<&str>) -> ButtonContent {
        ButtonContent { kind, index: None, text: Some(text.to_owned()), value: value.map(str::to_owned) }
    }

    #[test]
    fn what_fits_has_no_differences() {
        let template = template(TemplateComponents {
            header: Some(TemplateHeader::Media(MediaKind::Image)),
            body: TemplateText::parse("Hi {{1}}".to_owned()),
            buttons: vec![button(TemplateButtonKind::QuickReply, "Yes")],
            ..TemplateComponents::default()
        });
        let content = TemplateContent {
            header: Some(HeaderContent::Media { kind: MediaKind::Image, url: String::new(), filename: None }),
            body: vec!["Asha".to_owned()],
            body_text: Some("Hi Asha".to_owned()),
            buttons: vec![given(ButtonContentKind::QuickReply, "yes", None)],
            ..content()
        };
        assert_eq!(told(&template, &content), Vec::<String>::new());
    }

    #[test]
    fn everything_is_told_at_once_and_the_worst_first() {
        let template = template(TemplateComponents {
            header: Some(TemplateHeader::Media(MediaKind::Image)),
            body: TemplateText::parse("Hi {{1}}, {{2}} off".to_owned()),
            ..TemplateComponents::default()
        });
        let content = TemplateContent {
            language: "en(UK)".to_owned(),
            header: Some(HeaderContent::Media { kind: MediaKind::Video, url: String::new(), filename: None }),
            body: vec!["Asha".to_owned()],
            offer_expires_at_ms: Some(1),
            carousel: Some(vec![CardContent::default()]),
            ..content()
        };
        assert_eq!(
            told(&template, &content),
            [
                "refused: header: a video header / an image header",
                "refused: body: 1 variable / 2 variables",
                "refused: limited-time offer: a limited-time offer / none",
                "refused: carousel: 1 card / 0 cards",
                "harmless: language: en(UK) / en_GB",
            ]
        );
    }

    #[test]
    fn buttons_are_held_against_each_other_by_label_then_by_kind() {
        let template = template(TemplateComponents {
            buttons: vec![
                button(TemplateButtonKind::QuickReply, "Yes"),
                button(TemplateButtonKind::DynamicUrl { prefix: "https://shop.example/".to_owned() }, "Buy"),
                button(TemplateButtonKind::CopyCode, "Copy"),
                button(TemplateButtonKind::CallPhone { number: String::new() }, "Call"),
            ],
            ..TemplateComponents::default()
        });
        let content = TemplateContent {
            buttons: vec![
                given(ButtonContentKind::StaticUrl, "Yes", None),
                given(ButtonContentKind::DynamicUrl, "Shop", Some("a")),
                given(ButtonContentKind::CopyCode, "Second", Some("X")),
                given(ButtonContentKind::DynamicUrl, "Third", Some("X")),
            ],
            ..content()
        };
        assert_eq!(
            told(&template, &content),
            [
                "refused: button “Third”: a link with a variable end / none",
                "misleading: button “Yes”: a fixed link / a quick reply",
                "misleading: button “Buy”: labelled “Shop” / labelled “Buy”",
                "misleading: button “Copy”: labelled “Second” / labelled “Copy”",
            ]
        );
        assert_eq!(
            told(&template, &self::content()),
            [
                "refused: button “Buy”: none / a link with a variable end",
                "refused: button “Copy”: none / a code to copy",
            ]
        );
    }

    #[test]
    fn another_text_is_told_with_the_place_where_it_begins_to_differ() {
        let template = template(TemplateComponents {
            body: TemplateText::parse("Hi {{1}}, it is on its way".to_owned()),
            ..TemplateComponents::default()
        });
        let content = TemplateContent {
            body: vec!["Asha".to_owned()],
            body_text: Some("Hi Asha, it is late".to_owned()),
            ..content()
        };
        let found = differences(&template, &content);
        assert_eq!((found.len(), found[0].harm, found[0].personal), (1, Harm::Misleading, true));
        assert_eq!(found[0].platform, "After “Hi {{1}}, it is ”: “late”");
        assert_eq!(found[0].whatsapp, "After “Hi {{1}}, it is ”: “on its way”");
    }
}
