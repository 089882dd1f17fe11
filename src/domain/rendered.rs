//! Is the text that a platform shows to its people the one that WhatsApp will show to theirs?
//!
//! A platform keeps the text of a template on its own and renders it beside the parameters; WhatsApp never
//! sees that rendering. When the two drift apart (somebody edited the template on one side only) the
//! parameters still fit and mean something else. So the platform's text is compared with ours: word for
//! word, because WhatsApp's marks for bold and italics are part of the template's text on both sides; only
//! line endings and the space around the whole are not looked at.

use std::fmt;

use super::template::{TemplateText, TextPiece, Variable, pieces};

/// What is shown of a text around the place where it differs.
const SHOWN_CHARS: usize = 40;
/// Shorter values could stand anywhere by chance, and tell nothing about anybody.
const HIDDEN_VALUE_CHARS_MIN: usize = 2;

/// Where two texts part, in words. Values of parameters are left out as far as they are known to be values: the words of
/// the platform's text are for whoever looks at the message. Logs get [`Parting::measure`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parting {
    pub measure: Measure,
    /// What both have in front of it.
    pub after: String,
    /// How the template goes on at WhatsApp.
    pub template: String,
    /// How the platform's text goes on.
    pub rendered: String,
}

/// Where two texts part, in numbers: nothing of it tells what anybody was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// How many characters are the same.
    pub same_chars: usize,
    /// How many characters follow in the template's text, filled with the values …
    pub template_chars: usize,
    /// … and in the platform's.
    pub rendered_chars: usize,
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { same_chars, template_chars, rendered_chars } = self;
        write!(
            f,
            "they part after {same_chars} characters, where WhatsApp's has {template_chars} more and the other one {rendered_chars}"
        )
    }
}

impl fmt::Display for Parting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { after, rendered, template: _, measure: _ } = self;
        let with = if after.is_empty() { "with " } else { "" };
        write!(f, "{}, the other one {with}{rendered:?}", self.of_template())
    }
}

impl Parting {
    /// The template's side of it, without anything of the platform's text: only words that everybody is sent.
    pub fn of_template(&self) -> String {
        let Self { after, template, rendered: _, measure: _ } = self;
        match after.as_str() {
            "" => format!("WhatsApp's begins with {template:?}"),
            after => format!("after {after:?} WhatsApp's has {template:?}"),
        }
    }
}

/// Compares a template's text, filled with these values, with the text that a platform rendered; `None`
/// when they are the same, also when the platform left the variables in its text.
pub fn compare(template: &TemplateText, values: &[String], rendered: &str) -> Option<Parting> {
    let rendered = normalised(rendered);
    let text = normalised(&template.text);
    let pieces = pieces(&text);
    let place = |variable: &Variable| template.place_of(variable).unwrap_or_default();
    let filled = |variable: &Variable| values.get(place(variable)).map_or_else(String::new, |value| lines(value));
    let left_in = |variable: &Variable| numbered(place(variable));
    part(&pieces, &rendered, left_in)?;
    let (same, wanted, got) = part(&pieces, &rendered, filled)?;
    let shown = |pieces: &[TextPiece<'_>]| -> String {
        let texts = pieces.iter().map(|piece| match piece {
            TextPiece::Fixed(text) => (*text).to_owned(),
            TextPiece::Variable(variable) => numbered(place(variable)),
        });
        texts.collect()
    };
    let before = shown(&pieces[..same]);
    let within = match pieces.get(same) {
        Some(TextPiece::Fixed(text)) => &text[..wanted],
        Some(TextPiece::Variable(_)) | None => "",
    };
    let goes_on = match pieces.get(same) {
        // Another value than the one that was sent: somebody's data, of which we know nothing.
        Some(TextPiece::Variable(_)) => "…".to_owned(),
        Some(TextPiece::Fixed(_)) | None => beginning_of(&without_values(&rendered[got..], values)),
    };
    let whole: usize = pieces.iter().map(|piece| filled_chars(piece, filled)).sum();
    let same_chars = rendered[..got].chars().count();
    Some(Parting {
        measure: Measure {
            same_chars,
            template_chars: whole.saturating_sub(same_chars),
            rendered_chars: rendered[got..].chars().count(),
        },
        after: end_of(&format!("{before}{within}")),
        template: beginning_of(&shown(pieces.get(same..).unwrap_or_default())[within.len()..]),
        rendered: goes_on,
    })
}

fn filled_chars(piece: &TextPiece<'_>, value: impl Fn(&Variable) -> String) -> usize {
    match piece {
        TextPiece::Fixed(text) => text.chars().count(),
        TextPiece::Variable(variable) => value(variable).chars().count(),
    }
}

/// Walks both texts: how many pieces are the same, how many bytes of the next one, and where in `rendered`
/// that is. `None` when all of it is.
fn part(
    pieces: &[TextPiece<'_>],
    rendered: &str,
    value: impl Fn(&Variable) -> String,
) -> Option<(usize, usize, usize)> {
    let mut rest = rendered;
    for (count, piece) in pieces.iter().enumerate() {
        let wanted = match piece {
            TextPiece::Fixed(text) => (*text).to_owned(),
            TextPiece::Variable(variable) => value(variable),
        };
        match rest.strip_prefix(wanted.as_str()) {
            Some(after) => rest = after,
            None => {
                let same = match piece {
                    TextPiece::Fixed(text) => bytes_in_common(text, rest),
                    TextPiece::Variable(_) => 0,
                };
                return Some((count, same, rendered.len() - rest.len() + same));
            }
        }
    }
    (!rest.is_empty()).then_some((pieces.len(), 0, rendered.len() - rest.len()))
}

fn numbered(place: usize) -> String {
    format!("{{{{{}}}}}", place + 1)
}

fn normalised(text: &str) -> String {
    lines(text).trim().to_owned()
}

fn lines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

fn bytes_in_common(one: &str, other: &str) -> usize {
    one.chars().zip(other.chars()).take_while(|(one, other)| one == other).map(|(one, _)| one.len_utf8()).sum()
}

/// Puts `{{1}}` back where the first value stands, and so on.
fn without_values(text: &str, values: &[String]) -> String {
    let mut places: Vec<(usize, &String)> = values.iter().enumerate().collect();
    places.retain(|(_, value)| value.trim().chars().count() >= HIDDEN_VALUE_CHARS_MIN);
    // A value within another one would spoil it.
    places.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
    places.into_iter().fold(text.to_owned(), |text, (place, value)| text.replace(lines(value).trim(), &numbered(place)))
}

fn beginning_of(text: &str) -> String {
    let mut beginning: String = text.chars().take(SHOWN_CHARS).collect();
    if beginning.len() < text.len() {
        beginning.push('…');
    }
    beginning
}

fn end_of(text: &str) -> String {
    match text.char_indices().rev().nth(SHOWN_CHARS - 1) {
        Some((at, _)) if at > 0 => format!("…{}", &text[at..]),
        Some(_) | None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPDATE: &str = "Hi *{{1}}*,\nyour order {{2}} is on its way.";

    fn compared(template: &str, values: &[&str], rendered: &str) -> Option<String> {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        compare(&TemplateText::parse(template.to_owned()), &values, rendered).map(|parting| parting.to_string())
    }

    #[test]
    fn the_same_text_is_the_same_whatever_its_line_endings() {
        for rendered in [
            "Hi *Asha*,\nyour order A-17 is on its way.",
            "Hi *Asha*,\r\nyour order A-17 is on its way.\r\n",
            " Hi *Asha*,\ryour order A-17 is on its way. ",
        ] {
            assert_eq!(compared(UPDATE, &["Asha", "A-17"], rendered), None, "{rendered:?}");
        }
        assert_eq!(compared("No variables", &[], "No variables"), None);
    }

    #[test]
    fn a_text_whose_variables_were_left_in_is_no_difference() {
        assert_eq!(compared(UPDATE, &["Asha", "A-17"], UPDATE), None);
        assert_eq!(compared("Hi {{name}}, {{day}}!", &["Asha", "Monday"], "Hi {{1}}, {{2}}!"), None);
    }

    #[test]
    fn variables_are_filled_by_number_or_by_order_of_appearance() {
        assert_eq!(compared("{{2}} for {{1}}, {{2}}", &["Asha", "Tea"], "Tea for Asha, Tea"), None);
        assert_eq!(compared("{{gift}} for {{name}}, {{gift}}", &["Tea", "Asha"], "Tea for Asha, Tea"), None);
    }

    #[test]
    fn a_difference_is_shown_where_it_is_and_without_anybodys_data() {
        assert_eq!(
            compared(UPDATE, &["Asha", "A-17"], "Hi *Asha*,\nyour order A-17 is delayed, Asha."),
            Some(
                "after \"Hi *{{1}}*,\\nyour order {{2}} is \" WhatsApp's has \"on its way.\", the other one \"delayed, {{1}}.\""
                    .to_owned()
            )
        );
        assert_eq!(
            compared(UPDATE, &["Asha", "A-17"], "Dear Asha, your order A-17"),
            Some(
                "WhatsApp's begins with \"Hi *{{1}}*,\\nyour order {{2}} is on its w…\", the other one with \"Dear {{1}}, your order {{2}}\""
                    .to_owned()
            )
        );
        assert_eq!(
            compared("Hi {{1}}, bye", &["Asha"], "Hi Ravi, bye"),
            Some("after \"Hi \" WhatsApp's has \"{{1}}, bye\", the other one \"…\"".to_owned()),
            "the platform rendered something that it did not send as a value"
        );
        assert_eq!(
            compared("Bye", &[], "Bye, and thanks"),
            Some("after \"Bye\" WhatsApp's has \"\", the other one \", and thanks\"".to_owned())
        );
        assert_eq!(
            compared("Bye, and thanks", &[], ""),
            Some("WhatsApp's begins with \"Bye, and thanks\", the other one with \"\"".to_owned())
        );
    }

    #[test]
    fn long_texts_are_shown_around_the_difference_only() {
        let text = "é".repeat(500);
        let parting = compare(&TemplateText::parse(format!("{text}a{text}")), &[], &format!("{text}b{text}"))
            .expect("one letter differs");

        for (shown, letter) in [(&parting.template, "a"), (&parting.rendered, "b")] {
            assert!(shown.starts_with(letter) && shown.chars().count() == SHOWN_CHARS + 1, "{shown}");
        }
        assert_eq!(parting.after, format!("…{}", "é".repeat(SHOWN_CHARS)));
        assert_eq!(parting.measure, Measure { same_chars: 500, template_chars: 501, rendered_chars: 501 });
    }

    #[test]
    fn what_logs_are_told_has_numbers_and_no_words() {
        let values = ["Asha".to_owned(), "A-17".to_owned()];
        let parting = compare(&TemplateText::parse(UPDATE.to_owned()), &values, "Hi *Asha*,\nyour parcel, Ravi")
            .expect("another word");

        assert_eq!(
            parting.measure.to_string(),
            "they part after 16 characters, where WhatsApp's has 25 more and the other one 12"
        );
    }
}
