//! What is wrong with a document that could not be read, in the words of whoever wrote it.
//!
//! The reader knows where it stopped and what it wanted there, but neither the name of the part nor anybody's words for it.
//! So the way to the place is found by going through the document once more, up to there.

use serde_json::error::Category;

/// More of a parser's complaint only repeats the document.
const COMPLAINT_CHARS_MAX: usize = 200;
/// A way through a document that is longer is cut off.
const PATH_CHARS_MAX: usize = 200;

/// One sentence about a document that is no message, with what to do.
pub(super) fn complaint(document: &str, error: &serde_json::Error) -> String {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let said = error.to_string();
    match error.classify() {
        Category::Io | Category::Syntax | Category::Eof => {
            format!(
                "not JSON; send one JSON document with to, wabaNumber and msgId ({})",
                cut(&said, COMPLAINT_CHARS_MAX)
            )
        }
        Category::Data => {
            let said = said.strip_suffix(&place).unwrap_or(&said);
            let path = path_at(document, offset_of(document, error.line(), error.column()));
            let path = if path.is_empty() { "the document".to_owned() } else { cut(&path, PATH_CHARS_MAX) };
            match wanted_and_got(said) {
                Some((wanted, got)) => {
                    format!("{path} must be {wanted}, got {}; correct it", cut(&got, COMPLAINT_CHARS_MAX))
                }
                None => format!("{path}: {}", cut(said, COMPLAINT_CHARS_MAX)),
            }
        }
    }
}

/// Taken from the reader's “invalid type: string "x", expected an object such as …”.
fn wanted_and_got(said: &str) -> Option<(&str, String)> {
    let (got, wanted) = said
        .strip_prefix("invalid type: ")
        .or_else(|| said.strip_prefix("invalid length "))?
        .rsplit_once(", expected ")?;
    let kinds = [
        ("string ", "the text "),
        ("integer ", "the number "),
        ("floating point ", "the number "),
        ("boolean ", ""),
        ("sequence", "a list"),
        ("map", "an object"),
    ];
    let known = kinds.iter().find_map(|(kind, word)| Some(format!("{word}{}", got.strip_prefix(kind)?)));
    let is_length = got.bytes().all(|byte| byte.is_ascii_digit());
    Some((wanted, known.unwrap_or_else(|| if is_length { "a list".to_owned() } else { got.to_owned() })))
}

/// The reader counts lines from 1 and bytes of a line from 1, up to the last one that it has read.
fn offset_of(document: &str, line: usize, column: usize) -> usize {
    let before = document.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>();
    before.saturating_add(column).min(document.len())
}

/// What encloses a place.
enum Frame<'a> {
    /// With the name of the part that is being read.
    Object(&'a str),
    /// With the number of its item that is being read.
    List(usize),
}

/// The way to a place of a document that is JSON up to there: `components[1].body`.
fn path_at(document: &str, end: usize) -> String {
    // The reader passes over white space before it gives up.
    let bytes = document.as_bytes()[..end].trim_ascii_end();
    let mut frames: Vec<Frame<'_>> = Vec::new();
    let mut last_text = "";
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let length = length_of_text(&bytes[at + 1..]);
                last_text = document.get(at + 1..at + 1 + length).unwrap_or_default();
                at += length + 1;
            }
            b':' => {
                if let Some(Frame::Object(name)) = frames.last_mut() {
                    *name = last_text;
                }
            }
            b',' => {
                if let Some(Frame::List(index)) = frames.last_mut() {
                    *index += 1;
                }
            }
            // One that was opened last of all is itself what was not wanted.
            b'{' if at + 1 < bytes.len() => frames.push(Frame::Object("")),
            b'[' if at + 1 < bytes.len() => frames.push(Frame::List(0)),
            b'}' | b']' => drop(frames.pop()),
            _ => {}
        }
        at += 1;
    }
    let mut path = String::new();
    for frame in &frames {
        match frame {
            Frame::Object(name) if path.is_empty() => path.push_str(name),
            Frame::Object(name) => path.extend([".", name]),
            Frame::List(index) => path.extend(["[", &index.to_string(), "]"]),
        }
    }
    path
}

/// Up to the quotation mark that ends it.
fn length_of_text(bytes: &[u8]) -> usize {
    let mut escaped = false;
    let ends = |byte: &u8| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    };
    bytes.iter().position(ends).unwrap_or(bytes.len())
}

fn cut(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_a_place_names_parts_and_counts_items() {
        let document = r#"{"to": "+91\"{,98", "list": [1, {"a": [], "b": "x"}], "last": {}}"#;
        let path_before = |part: &str| path_at(document, document.find(part).expect("it is there"));

        assert_eq!(path_before(r#", "list""#), "to");
        assert_eq!(path_before(r#"}], "last"#), "list[1].b");
        assert_eq!(path_before("}}"), "last");
        assert_eq!(path_at(r#"{"to": [ ]"#, 9), "to", "it is the list that was not wanted");
        assert_eq!(path_at(r#"{"to": [ ]"#, 10), "to");
        assert_eq!(path_at(document, 0), "");
        assert_eq!(path_at("[", 1), "");
    }

    #[test]
    fn a_reader_s_words_become_ours() {
        let ours = |said| wanted_and_got(said).map(|(wanted, got)| format!("{wanted} | {got}"));
        assert_eq!(
            ours(r#"invalid type: string "a, b", expected a list"#).as_deref(),
            Some(r#"a list | the text "a, b""#)
        );
        assert_eq!(ours("invalid type: integer `5`, expected a word").as_deref(), Some("a word | the number `5`"));
        assert_eq!(ours("invalid type: map, expected a list").as_deref(), Some("a list | an object"));
        assert_eq!(ours("invalid type: null, expected a list").as_deref(), Some("a list | null"));
        assert_eq!(
            ours("invalid length 3, expected an object such as {}").as_deref(),
            Some("an object such as {} | a list")
        );
        assert_eq!(ours("duplicate field `to`"), None);
    }
}
