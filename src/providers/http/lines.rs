//! Settings of several lines, and what they point at: on each line a name, white space, and a value. Empty lines and those that
//! begin with `#` say nothing.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Value, value::RawValue};

use crate::domain::time::UnixMillis;

/// Lines of one setting.
pub const LINES_MAX: usize = 200;

/// One line: its number from 1, and what stands on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    pub number: usize,
    pub name: &'a str,
    pub value: &'a str,
}

/// All lines that say something.
pub fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.lines().take(LINES_MAX).enumerate().filter_map(|(index, line)| {
        let line = line.trim();
        let (name, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        (!line.is_empty() && !line.starts_with('#')).then(|| Line { number: index + 1, name, value: value.trim() })
    })
}

/// The value of a line.
pub fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    lines(text).find(|line| line.name == name).map(|line| line.value)
}

/// Whether all lines are of use: none too many, none twice, and each as `check` wants it.
pub fn check_lines(text: &str, check: impl Fn(&Line<'_>) -> Result<(), String>) -> Result<(), String> {
    if text.lines().count() > LINES_MAX {
        return Err(format!("has more than {LINES_MAX} lines: remove some"));
    }
    let mut seen = BTreeMap::new();
    for line in lines(text) {
        check(&line).map_err(|why| format!("line {}: {why}", line.number))?;
        if let Some(first) = seen.insert(line.name, line.number) {
            return Err(format!("line {}: {} stands on line {first} already: remove one", line.number, line.name));
        }
    }
    Ok(())
}

/// Whether this is a JSON pointer (RFC 6901).
pub fn check_pointer(text: &str) -> Result<(), String> {
    match text.is_empty() || text.starts_with('/') {
        true => Ok(()),
        false => Err(format!("{text:?} is not a JSON pointer: write it like /message/id, or /items/0/id in a list")),
    }
}

/// What stands at a pointer, as a text; nothing for what is missing, null or empty.
pub fn text_at(value: &Value, pointer: &str) -> Option<String> {
    match value.pointer(pointer)? {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(word) => Some(word.to_string()),
        Value::Null => None,
        whole @ (Value::Array(_) | Value::Object(_)) => Some(whole.to_string()),
    }
}

/// The part of a body at a pointer, exactly as it stands there.
pub fn part_at<'a>(whole: &'a RawValue, pointer: &str) -> Option<&'a RawValue> {
    pointer.split('/').skip(1).try_fold(whole, |part, segment| {
        let name = segment.replace("~1", "/").replace("~0", "~");
        match part.get().as_bytes().first()? {
            b'{' => serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(part.get()).ok()?.remove(name.as_str()),
            b'[' => elements(part)?.into_iter().nth(name.parse().ok()?),
            _ => None,
        }
    })
}

/// The elements of a list, each as it stands there.
pub fn elements(part: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(part.get()).ok()
}

/// A moment: seconds or milliseconds since 1970, or as ISO 8601 has it.
pub fn moment(text: &str) -> Option<UnixMillis> {
    /// As seconds this would be the year 33658.
    const MILLISECONDS_FROM: i64 = 1_000_000_000_000;
    match text.parse::<i64>() {
        Ok(number) if number >= MILLISECONDS_FROM => Some(UnixMillis(number)),
        Ok(number) if number > 0 => Some(UnixMillis::from_seconds(number)),
        Ok(_) => None,
        Err(_) => chrono::DateTime::parse_from_rfc3339(text).ok().map(|at| UnixMillis(at.timestamp_millis())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_name_and_a_value_and_says_where_it_is_wrong() {
        let text = "# where things are\n\nid   /message/id\nerror.code /error/code";
        let pointers = |line: &Line<'_>| check_pointer(line.value);

        assert_eq!(value(text, "id"), Some("/message/id"));
        assert_eq!(value(text, "none"), None);
        assert_eq!(check_lines(text, pointers), Ok(()));
        assert!(check_lines("id message", pointers).is_err_and(|why| why.starts_with("line 1: \"message\" is not")));
        assert!(check_lines("id /a\nid /b", pointers).is_err_and(|why| why.starts_with("line 2: id stands on line 1")));
        assert!(check_lines(&"\n".repeat(LINES_MAX + 1), pointers).is_err());
    }

    #[test]
    fn a_part_is_found_as_it_stands_there() {
        let body = r#"{ "a/b": [ 1, {"id" :  7} ], "x": "y" }"#;
        let raw: &RawValue = serde_json::from_str(body).expect("JSON");
        let at = |pointer: &str| part_at(raw, pointer).map(RawValue::get);

        assert_eq!(at(""), Some(body));
        assert_eq!(at("/a~1b/1"), Some(r#"{"id" :  7}"#));
        assert_eq!(at("/a~1b/1/id"), Some("7"));
        for nowhere in ["/none", "/a~1b/2", "/a~1b/one", "/x/y"] {
            assert_eq!(at(nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn a_moment_may_be_written_in_three_ways() {
        for text in ["1790000000", "1790000000000", "2026-09-21T14:13:20Z", "2026-09-21T19:43:20.000+05:30"] {
            assert_eq!(moment(text).map(|at| at.as_seconds()), Some(1_790_000_000), "{text}");
        }
        for text in ["", "0", "-5", "yesterday"] {
            assert_eq!(moment(text), None, "{text}");
        }
    }
}
