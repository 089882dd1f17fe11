//! XML as a tree of the kind that JSON has, so that an event is read in one way whatever it is written in: an element is
//! an object of its attributes and children, one without either is a text, and children of one name are a list.
//!
//! There are no types of documents and no entities but those that XML itself has, so nothing is fetched and nothing grows.

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesRef, BytesStart, Event},
};
use serde_json::{Map, Value};

const DEPTH_MAX: usize = 32;
/// Elements and attributes together.
const PARTS_MAX: usize = 10_000;
const BYTES_MAX: usize = 1024 * 1024;
/// The text of an element that has attributes or children, too.
pub(super) const TEXT: &str = "#text";

/// The root's name with all that is in it. The error says what cannot be read.
pub(super) fn read(body: &str) -> Result<Value, String> {
    if body.len() > BYTES_MAX {
        return Err(format!("the XML has more than {BYTES_MAX} bytes"));
    }
    let mut reader = Reader::from_str(body);
    let mut tree = Tree::default();
    loop {
        match reader.read_event().map_err(|error| format!("the XML cannot be read: {error}"))? {
            Event::Start(start) => tree.open(&start)?,
            Event::Empty(start) => {
                tree.open(&start)?;
                tree.close()?;
            }
            Event::End(_) => tree.close()?,
            Event::Text(text) => tree.text(&text.xml10_content().map_err(|error| error.to_string())?),
            Event::CData(text) => tree.text(&text.xml10_content().map_err(|error| error.to_string())?),
            Event::GeneralRef(reference) => tree.text(resolve(&reference)?.encode_utf8(&mut [0; 4])),
            Event::DocType(_) => return Err("XML with a type of document is not read".to_owned()),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => return tree.finish(),
        }
    }
}

/// One of the five that XML has, or a character by its number.
fn resolve(reference: &BytesRef<'_>) -> Result<char, String> {
    if let Some(character) = reference.resolve_char_ref().map_err(|error| error.to_string())? {
        return Ok(character);
    }
    match reference.decode().map_err(|error| error.to_string())?.as_ref() {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        other => Err(format!("the XML has an entity of its own, {other:?}")),
    }
}

/// Open elements, the outermost first, and the root when it is closed.
#[derive(Default)]
struct Tree {
    open: Vec<Element>,
    root: Option<(String, Value)>,
    parts: usize,
}

struct Element {
    name: String,
    parts: Map<String, Value>,
    text: String,
}

impl Tree {
    fn open(&mut self, start: &BytesStart<'_>) -> Result<(), String> {
        if self.open.len() >= DEPTH_MAX {
            return Err(format!("the XML is deeper than {DEPTH_MAX} elements"));
        }
        if self.root.is_some() {
            return Err("the XML has two roots".to_owned());
        }
        let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
        let mut parts = Map::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| format!("an attribute cannot be read: {error}"))?;
            let value = attribute.normalized_value(XmlVersion::Explicit1_0).map_err(|error| error.to_string())?;
            let name = String::from_utf8_lossy(attribute.key.local_name().as_ref()).into_owned();
            self.count()?;
            parts.insert(name, value.into_owned().into());
        }
        self.count()?;
        self.open.push(Element { name, parts, text: String::new() });
        Ok(())
    }

    fn count(&mut self) -> Result<(), String> {
        self.parts += 1;
        if self.parts > PARTS_MAX { Err(format!("the XML has more than {PARTS_MAX} parts")) } else { Ok(()) }
    }

    fn text(&mut self, text: &str) {
        if let Some(element) = self.open.last_mut() {
            element.text.push_str(text);
        }
    }

    fn close(&mut self) -> Result<(), String> {
        let Element { name, mut parts, text } = self.open.pop().ok_or("the XML closes what is not open")?;
        let text = text.trim();
        let value = if parts.is_empty() {
            Value::from(text)
        } else {
            if !text.is_empty() {
                parts.insert(TEXT.to_owned(), text.into());
            }
            Value::Object(parts)
        };
        match self.open.last_mut() {
            Some(parent) => add(&mut parent.parts, name, value),
            None => self.root = Some((name, value)),
        }
        Ok(())
    }

    fn finish(self) -> Result<Value, String> {
        let (true, Some((name, value))) = (self.open.is_empty(), self.root) else {
            return Err("the XML is cut off".to_owned());
        };
        Ok(Value::Object(Map::from_iter([(name, value)])))
    }
}

/// A second child of a name makes a list of both.
fn add(parts: &mut Map<String, Value>, name: String, value: Value) {
    match parts.get_mut(&name) {
        Some(Value::Array(list)) => list.push(value),
        Some(other) => *other = Value::Array(vec![other.take(), value]),
        None => {
            parts.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn elements_attributes_and_texts_become_a_tree() {
        let read = read(
            r#"<?xml version="1.0"?><!-- x --><Event Name="OnNew" Brand="a&amp;b"><User><Phone1>919876500001</Phone1><N/></User>
               <C>1</C><C><![CDATA[<2>]]></C><M>caf&#233; &lt;&#x1F600;&gt;</M></Event>"#,
        );
        assert_eq!(
            read,
            Ok(json!({"Event": {"Name": "OnNew", "Brand": "a&b", "User": {"Phone1": "919876500001", "N": ""},
                "C": ["1", "<2>"], "M": "café <😀>"}}))
        );
    }

    #[test]
    fn nothing_grows_and_nothing_is_fetched() {
        let deep = format!("{}{}", "<a>".repeat(DEPTH_MAX + 1), "</a>".repeat(DEPTH_MAX + 1));
        let wide = format!("<a>{}</a>", "<b/>".repeat(PARTS_MAX));
        let large = format!("<a>{}</a>", "x".repeat(BYTES_MAX));
        for bad in [
            deep.as_str(),
            &wide,
            &large,
            r#"<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>"#,
            r#"<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>"#,
            "<a>&x;</a>",
            "<a><b></a>",
            "<a>",
            "<a/><b/>",
            "",
            "hello",
        ] {
            assert!(read(bad).is_err(), "{}", bad.chars().take(60).collect::<String>());
        }
    }
}
