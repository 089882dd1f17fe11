//! What WhatsApp takes as a value: rules that hold wherever it stands.

use crate::domain::outbound::Location;

/// WhatsApp refuses a parameter with more spaces in a row.
const SPACES_IN_A_ROW_MAX: usize = 4;

/// What is wrong with a value, as the end of a sentence that says what to change.
pub(super) fn trouble_with(value: &str) -> Option<&'static str> {
    if value.trim().is_empty() {
        Some("is empty; give it a value, or a default for people without one")
    } else if value.contains(['\n', '\r']) {
        Some("contains a line break, which WhatsApp forbids; remove it")
    } else if value.contains('\t') {
        Some("contains a tab, which WhatsApp forbids; remove it")
    } else if has_long_gap(value) {
        Some("contains too many spaces in a row, which WhatsApp forbids; leave at most four")
    } else {
        None
    }
}

/// The value with a single space in the place of each gap that WhatsApp forbids, and none at its ends. A
/// value without such a gap stays as it is.
pub(super) fn cleaned(value: &str) -> String {
    let mut cleaned = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(start) = rest.find(is_gap) {
        let (before, from_gap) = rest.split_at(start);
        let end = from_gap.find(|character| !is_gap(character)).unwrap_or(from_gap.len());
        let (gap, after) = from_gap.split_at(end);
        cleaned.push_str(before);
        cleaned.push_str(if is_forbidden(gap) { " " } else { gap });
        rest = after;
    }
    cleaned.push_str(rest);
    if cleaned == value { cleaned } else { cleaned.trim().to_owned() }
}

fn is_gap(character: char) -> bool {
    matches!(character, ' ' | '\n' | '\r' | '\t')
}

fn is_forbidden(gap: &str) -> bool {
    gap.contains(['\n', '\r', '\t']) || has_long_gap(gap)
}

fn has_long_gap(text: &str) -> bool {
    text.as_bytes().windows(SPACES_IN_A_ROW_MAX + 1).any(|window| window.iter().all(|byte| *byte == b' '))
}

pub(super) fn is_longer(text: &str, chars_max: usize) -> bool {
    text.len() > chars_max && text.chars().nth(chars_max).is_some()
}

/// Something that WhatsApp could try to fetch. Whether it is there, only fetching tells.
pub fn is_web_url(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(|c: char| c.is_whitespace() || c.is_control()))
}

pub(super) fn is_place(location: &Location) -> bool {
    is_coordinate(&location.latitude, 90.0) && is_coordinate(&location.longitude, 180.0)
}

/// A number of degrees, as `19.0760`.
pub fn is_coordinate(text: &str, limit: f64) -> bool {
    text.trim().parse::<f64>().is_ok_and(|degrees| degrees.abs() <= limit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forbidden_gaps_become_single_spaces_and_others_stay() {
        for (value, clean) in [
            ("Asha", "Asha"),
            (" a    b ", " a    b "),
            ("a\nb", "a b"),
            ("a \r\n\t b", "a b"),
            ("a     b  c", "a b  c"),
            ("1 Hill Road\nMumbai\n", "1 Hill Road Mumbai"),
            ("\n\t", ""),
        ] {
            assert_eq!(cleaned(value), clean, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_cleaned_is_taken(value in "[a-c \n\r\t]{0,40}") {
            let clean = cleaned(&value);
            prop_assert_eq!(trouble_with(&clean).is_none(), !clean.trim().is_empty());
            prop_assert_eq!(cleaned(&clean), clean);
        }
    }
}
