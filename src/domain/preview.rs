//! How a template looks on a person's phone: its parts in the phone's order, its texts in pieces that are drawn alike.
//!
//! WhatsApp marks texts by signs: `*bold*`, `_italic_`, `~struck~` and three backticks around what is of one width. A sign
//! counts when it stands at the edge of a word and its counterpart follows in the same line, else it is a sign like any other. What
//! stands in place of a variable is marked, so that whoever looks sees what changes from person to person; the signs in it
//! count, as they do on the phone.

use super::{
    outbound::MediaKind,
    template::{
        ButtonContent, CardContent, HeaderContent, Template, TemplateButton, TemplateButtonKind, TemplateCard,
        TemplateContent, TemplateHeader, TemplateText, TextPiece, Variable, pieces,
    },
};

/// More of a text is not drawn. WhatsApp's own limit for a body is 1,024 characters.
pub const TEXT_CHARS_MAX: usize = 8_192;
/// A sign whose counterpart is farther away is a sign like any other.
const MARK_REACH_CHARS_MAX: usize = 2_048;

/// A template with something in its variables, or nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preview {
    pub header: Option<HeaderView>,
    pub limited_time_offer: Option<String>,
    pub body: Vec<Span>,
    pub footer: Option<String>,
    pub buttons: Vec<ButtonView>,
    pub cards: Vec<CardView>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct CardView {
    pub header: Option<HeaderView>,
    pub body: Vec<Span>,
    pub buttons: Vec<ButtonView>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum HeaderView {
    Text(Vec<Span>),
    Media {
        kind: MediaKind,
        /// The file's name, or where it lies.
        name: Option<String>,
    },
    Location {
        name: Option<String>,
        address: Option<String>,
    },
    /// A kind that we cannot send, in the provider's word.
    Other(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct ButtonView {
    pub look: ButtonLook,
    pub label: String,
    /// Where it leads, whom it calls, what it copies or says.
    pub value: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ButtonLook {
    Reply,
    Link,
    Call,
    Copy,
    Other,
}

/// Letters that are drawn alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub text: String,
    pub marks: Marks,
    /// It stands in place of a variable, or is one.
    pub variable: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    pub bold: bool,
    pub italic: bool,
    pub struck: bool,
    pub mono: bool,
}

/// The template as it is approved, with these values; `None` leaves its variables in it.
pub fn preview(template: &Template, content: Option<&TemplateContent>) -> Preview {
    let parts = &template.components;
    let cards = parts.carousel.as_deref().unwrap_or_default().iter().enumerate();
    let given = content.and_then(|content| content.carousel.as_deref());
    Preview {
        header: parts.header.as_ref().map(|header| header_view(header, content.map(|content| content.header.as_ref()))),
        limited_time_offer: parts.limited_time_offer.clone(),
        body: spans(&parts.body, content.map(|content| content.body.as_slice())),
        footer: parts.footer.clone(),
        buttons: button_views(&parts.buttons, content.map(|content| content.buttons.as_slice())),
        cards: cards.map(|(index, card)| card_view(card, given.and_then(|given| given.get(index)))).collect(),
    }
}

/// A text with values in the place of its variables, without looking at its signs.
pub fn filled_text(text: &TemplateText, values: &[String]) -> String {
    let filled = |piece| match piece {
        TextPiece::Fixed(fixed) => fixed.to_owned(),
        TextPiece::Variable(variable) => {
            text.place_of(&variable).and_then(|place| values.get(place)).cloned().unwrap_or_default()
        }
    };
    pieces(&text.text).into_iter().map(filled).collect()
}

/// A text with its variables numbered from 1 in the order in which they are given, whatever they are called.
pub fn numbered_text(text: &TemplateText) -> String {
    let numbered = |piece| match piece {
        TextPiece::Fixed(fixed) => fixed.to_owned(),
        TextPiece::Variable(variable) => {
            text.place_of(&variable).map_or_else(|| written(&variable), |place| format!("{{{{{}}}}}", place + 1))
        }
    };
    pieces(&text.text).into_iter().map(numbered).collect()
}

fn card_view(card: &TemplateCard, content: Option<&CardContent>) -> CardView {
    CardView {
        header: card.header.as_ref().map(|header| header_view(header, content.map(|content| content.header.as_ref()))),
        body: spans(&card.body, content.map(|content| content.body.as_slice())),
        buttons: button_views(&card.buttons, content.map(|content| content.buttons.as_slice())),
    }
}

fn header_view(header: &TemplateHeader, content: Option<Option<&HeaderContent>>) -> HeaderView {
    let given = content.flatten();
    match header {
        TemplateHeader::Text(text) => {
            let none: &[String] = &[];
            let values = match given {
                Some(HeaderContent::Text { parameters }) => Some(parameters.as_slice()),
                Some(HeaderContent::Media { .. } | HeaderContent::Location(_)) | None => content.map(|_| none),
            };
            HeaderView::Text(spans(text, values))
        }
        TemplateHeader::Media(kind) => {
            let name = match given {
                Some(HeaderContent::Media { url, filename, .. }) => filename.clone().or_else(|| Some(url.clone())),
                Some(HeaderContent::Text { .. } | HeaderContent::Location(_)) | None => None,
            };
            HeaderView::Media { kind: *kind, name: name.filter(|name| !name.is_empty()) }
        }
        TemplateHeader::Location => match given {
            Some(HeaderContent::Location(place)) => {
                HeaderView::Location { name: place.name.clone(), address: place.address.clone() }
            }
            Some(HeaderContent::Text { .. } | HeaderContent::Media { .. }) | None => {
                HeaderView::Location { name: None, address: None }
            }
        },
        TemplateHeader::Other(word) => HeaderView::Other(word.clone()),
    }
}

fn button_views(buttons: &[TemplateButton], content: Option<&[ButtonContent]>) -> Vec<ButtonView> {
    let mut left: Vec<&ButtonContent> = content.unwrap_or_default().iter().collect();
    let mut views = Vec::with_capacity(buttons.len());
    for button in buttons {
        let place = left.iter().position(|given| given.text.as_deref() == Some(button.text.as_str()));
        let value = place.and_then(|place| left.remove(place).value.clone()).filter(|value| !value.is_empty());
        views.push(button_view(button, value, content.is_some()));
    }
    views
}

fn button_view(button: &TemplateButton, value: Option<String>, filled: bool) -> ButtonView {
    let (look, value) = match &button.kind {
        TemplateButtonKind::DynamicUrl { prefix } => {
            let end = value.unwrap_or_else(|| if filled { String::new() } else { "{{1}}".to_owned() });
            let whole = if end.starts_with(prefix.as_str()) { end } else { format!("{prefix}{end}") };
            (ButtonLook::Link, Some(whole))
        }
        TemplateButtonKind::StaticUrl { url } => (ButtonLook::Link, Some(url.clone())),
        TemplateButtonKind::CallPhone { number } => (ButtonLook::Call, Some(number.clone())),
        TemplateButtonKind::QuickReply => (ButtonLook::Reply, value),
        TemplateButtonKind::CopyCode | TemplateButtonKind::OneTimePassword => (ButtonLook::Copy, value),
        TemplateButtonKind::Other { .. } => (ButtonLook::Other, None),
    };
    ButtonView { look, label: button.text.clone(), value }
}

/// A text in pieces that are drawn alike, with values in the place of its variables; without values these stay.
pub fn spans(text: &TemplateText, values: Option<&[String]>) -> Vec<Span> {
    let mut letters = Vec::new();
    for piece in pieces(&text.text) {
        match piece {
            TextPiece::Fixed(fixed) => letters.extend(fixed.chars().map(Letter::fixed)),
            TextPiece::Variable(variable) => {
                let value = values.map(|values| text.place_of(&variable).and_then(|place| values.get(place)));
                match value {
                    Some(Some(value)) if !value.is_empty() => letters.extend(value.chars().map(Letter::of_value)),
                    // Nothing was given for it, so it goes on standing there.
                    Some(Some(_) | None) | None => {
                        letters.extend(written(&variable).chars().map(Letter::of_name));
                    }
                }
            }
        }
    }
    if letters.len() > TEXT_CHARS_MAX {
        letters.truncate(TEXT_CHARS_MAX);
        letters.push(Letter::fixed('…'));
    }
    let mut marker = Marker { letters: &letters, spans: Vec::new() };
    marker.mark(0, letters.len(), Marks::default());
    marker.spans
}

fn written(variable: &Variable) -> String {
    match variable {
        Variable::Position(position) => format!("{{{{{position}}}}}"),
        Variable::Name(name) => format!("{{{{{name}}}}}"),
    }
}

#[derive(Clone, Copy)]
struct Letter {
    letter: char,
    variable: bool,
    /// Of a variable's name: no sign, whatever it looks like.
    inert: bool,
}

impl Letter {
    fn fixed(letter: char) -> Self {
        Self { letter, variable: false, inert: false }
    }

    fn of_value(letter: char) -> Self {
        Self { letter, variable: true, inert: false }
    }

    fn of_name(letter: char) -> Self {
        Self { letter, variable: true, inert: true }
    }

    fn is(self, sign: char) -> bool {
        !self.inert && self.letter == sign
    }
}

struct Marker<'a> {
    letters: &'a [Letter],
    spans: Vec<Span>,
}

/// Around what is of one width.
const BACKTICKS: usize = 3;

impl Marker<'_> {
    /// Each kind of mark is opened at most once within itself, so this goes four deep and no deeper.
    fn mark(&mut self, from: usize, to: usize, marks: Marks) {
        let mut at = from;
        while at < to {
            if let Some(end) = self.mono_end(at, to) {
                let inside = Marks { mono: true, ..marks };
                self.letters[at + BACKTICKS..end].iter().for_each(|letter| push(&mut self.spans, *letter, inside));
                at = end + BACKTICKS;
            } else if let Some((inside, end)) = self.opened(at, to, marks) {
                self.mark(at + 1, end, inside);
                at = end + 1;
            } else {
                push(&mut self.spans, self.letters[at], marks);
                at += 1;
            }
        }
    }

    /// Where the text of one width that begins here ends. It may have several lines.
    fn mono_end(&self, at: usize, to: usize) -> Option<usize> {
        let is_fence =
            |at: usize| at + BACKTICKS <= to && self.letters[at..at + BACKTICKS].iter().all(|letter| letter.is('`'));
        let inside = at + BACKTICKS;
        is_fence(at).then(|| (inside + 1..reach(inside, to)).find(|end| is_fence(*end))).flatten()
    }

    /// With which marks the text behind this sign is drawn, and where their counterpart stands.
    fn opened(&self, at: usize, to: usize, marks: Marks) -> Option<(Marks, usize)> {
        let sign = self.letters[at];
        let (known, inside) = match sign.letter {
            '*' => (marks.bold, Marks { bold: true, ..marks }),
            '_' => (marks.italic, Marks { italic: true, ..marks }),
            '~' => (marks.struck, Marks { struck: true, ..marks }),
            _ => return None,
        };
        let before = at.checked_sub(1).map(|before| self.letters[before].letter);
        let opens = !sign.inert && !known && !before.is_some_and(char::is_alphanumeric);
        let next = self.letters.get(at + 1)?;
        if !opens || next.letter.is_whitespace() || next.is(sign.letter) {
            return None;
        }
        for end in at + 2..reach(at + 2, to) {
            let letter = self.letters[end];
            if letter.letter == '\n' {
                return None;
            }
            let after = self.letters.get(end + 1).map(|after| after.letter);
            let closes = !self.letters[end - 1].letter.is_whitespace() && !after.is_some_and(char::is_alphanumeric);
            if letter.is(sign.letter) && closes {
                return Some((inside, end));
            }
        }
        None
    }
}

fn reach(from: usize, to: usize) -> usize {
    to.min(from.saturating_add(MARK_REACH_CHARS_MAX))
}

fn push(spans: &mut Vec<Span>, letter: Letter, marks: Marks) {
    match spans.last_mut() {
        Some(last) if last.marks == marks && last.variable == letter.variable => last.text.push(letter.letter),
        Some(_) | None => {
            spans.push(Span { text: letter.letter.to_string(), marks, variable: letter.variable });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `[b:bold]` and so on around what is marked, `<…>` around variables.
    fn drawn(text: &str, values: Option<&[&str]>) -> String {
        let values: Option<Vec<String>> = values.map(|values| values.iter().map(|value| (*value).to_owned()).collect());
        let spans = spans(&TemplateText::parse(text.to_owned()), values.as_deref());
        let drawn = |span: Span| {
            let Marks { bold, italic, struck, mono } = span.marks;
            let marks = [(bold, 'b'), (italic, 'i'), (struck, 's'), (mono, 'm')];
            let marks: String = marks.iter().filter(|(is, _)| *is).map(|(_, letter)| letter).collect();
            let text = if span.variable { format!("<{}>", span.text) } else { span.text };
            if marks.is_empty() { text } else { format!("[{marks}:{text}]") }
        };
        spans.into_iter().map(drawn).collect()
    }

    #[test]
    fn signs_at_the_edges_of_words_mark_what_stands_between_them() {
        for (text, expected) in [
            ("*Sale* today", "[b:Sale] today"),
            ("_Sale_ *to day*", "[i:Sale] [b:to day]"),
            ("~100~ 80", "[s:100] 80"),
            ("*a _b_ c*", "[b:a ][bi:b][b: c]"),
            ("*_~all~_*", "[bis:all]"),
            ("(*Sale*), *now*!", "([b:Sale]), [b:now]!"),
            ("```a *b*\nc``` d", "[m:a *b*\nc] d"),
            ("*", "*"),
            ("**", "**"),
            ("***", "***"),
            ("", ""),
        ] {
            assert_eq!(drawn(text, None), expected, "{text}");
        }
    }

    #[test]
    fn other_signs_stay_as_they_are() {
        for text in [
            "2 * 3 * 4",
            "snake_case_name",
            "*open",
            "close*",
            "*over\nlines*",
            "* a*",
            "*a *",
            "a*b*c",
            "```open",
            "``````",
            "5*5=25 and 6*6=36",
        ] {
            assert_eq!(drawn(text, None), text);
        }
    }

    #[test]
    fn variables_are_shown_by_name_or_by_what_is_put_in() {
        assert_eq!(drawn("Hi *{{1}}*, {{2}}", None), "Hi [b:<{{1}}>], <{{2}}>");
        assert_eq!(drawn("Hi *{{1}}*, {{2}}", Some(&["Asha"])), "Hi [b:<Asha>], <{{2}}>", "one is missing");
        assert_eq!(drawn("{{2}} for {{1}}", Some(&["Asha", "Tea"])), "<Tea> for <Asha>", "by number, not by place");
        assert_eq!(drawn("{{gift}} for {{first_name}}", Some(&["Tea", "Asha"])), "<Tea> for <Asha>");
        assert_eq!(drawn("_{{first_name}}_", None), "[i:<{{first_name}}>]", "a name's own signs are none");
        assert_eq!(drawn("{{1}} off", Some(&["*20%*"])), "[b:<20%>] off", "the phone marks it, too");
    }

    #[test]
    fn a_body_is_given_to_a_platform_with_its_variables_numbered() {
        let text = TemplateText::parse("{{name}}: {{day}}, {{name}}".to_owned());
        assert_eq!(numbered_text(&text), "{{1}}: {{2}}, {{1}}");
        assert_eq!(filled_text(&text, &["Asha".to_owned(), "Monday".to_owned()]), "Asha: Monday, Asha");
        let text = TemplateText::parse("{{2}} for {{1}}".to_owned());
        assert_eq!(numbered_text(&text), "{{2}} for {{1}}");
    }

    proptest! {
        #[test]
        fn nothing_of_a_text_is_lost_but_signs(text in "[a b*_~`\n]{0,60}") {
            let letters = |text: &str| text.chars().filter(|letter| !"*_~`".contains(*letter)).collect::<String>();
            let drawn: String = spans(&TemplateText::parse(text.clone()), None).into_iter().map(|span| span.text).collect();
            prop_assert_eq!(letters(&drawn), letters(&text));
        }
    }
}
