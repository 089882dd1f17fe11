//! A small tree that is written as XML or as JSON, and the two SOAP envelopes around it.
//!
//! Texts come from strangers. What XML cannot hold at all (control characters) becomes U+FFFD; what a parser
//! would change (line ends, and in attributes tabs) is written as a reference, so that it is read as it was.

use std::fmt::Write as _;

use quick_xml::{
    Writer,
    events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event},
};
use serde_json::{Map, Value};

use super::{Format, Unspeakable};
use crate::domain::words::few;

/// What customers add to a SOAP request; more are a mistake.
pub const SOAP_PARAMETERS_MAX: usize = 20;
pub const SOAP_NAME_CHARS_MAX: usize = 60;
pub const SOAP_VALUE_CHARS_MAX: usize = 1000;

/// The namespace of the customer's parameters: SOAP wants one for each block of its header.
const PARAMETERS: &str = "urn:wabridge:soap-parameters";

/// An element: attributes, and either a text or other elements.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Element>,
    text: String,
}

impl Element {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    #[must_use]
    pub(super) fn with(mut self, attribute: &str, value: impl Into<String>) -> Self {
        self.attributes.push((attribute.to_owned(), value.into()));
        self
    }

    /// An attribute that is left out when nobody knows it.
    #[must_use]
    pub(super) fn with_known(self, attribute: &str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(attribute, value),
            None => self,
        }
    }

    #[must_use]
    pub(super) fn containing(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// An element with nothing but a text.
    #[must_use]
    pub(super) fn saying(self, name: &str, text: impl Into<String>) -> Self {
        self.containing(Self { text: text.into(), ..Self::new(name) })
    }

    /// As JSON: attributes and elements are keys, all values are strings. The tree has no two elements of one name side by side.
    pub(super) fn to_json(&self) -> String {
        let whole: Map<String, Value> = [(self.name.clone(), self.value())].into_iter().collect();
        Value::Object(whole).to_string()
    }

    fn value(&self) -> Value {
        if self.attributes.is_empty() && self.children.is_empty() {
            return Value::String(self.text.clone());
        }
        let attributes = self.attributes.iter().map(|(name, value)| (name.clone(), Value::String(value.clone())));
        Value::Object(attributes.chain(self.children.iter().map(|child| (child.name.clone(), child.value()))).collect())
    }

    /// As a document of its own.
    pub(super) fn to_xml(&self) -> Result<String, Unspeakable> {
        document(|writer| self.write(writer))
    }

    /// In the envelope of a SOAP version, with the customer's parameters in its header.
    pub(super) fn to_soap(&self, format: Format, parameters: &[(String, String)]) -> Result<String, Unspeakable> {
        let namespace = match format {
            Format::Soap11 => "http://schemas.xmlsoap.org/soap/envelope/",
            Format::Soap12 => "http://www.w3.org/2003/05/soap-envelope",
            Format::Json | Format::Xml => return self.to_xml(),
        };
        check_soap_parameters(parameters).map_err(|text| Unspeakable(format!("the SOAP parameters {text}")))?;
        let header = (!parameters.is_empty()).then(|| {
            let header = Self::new("soap:Header").with("xmlns:p", PARAMETERS);
            parameters.iter().fold(header, |header, (name, value)| header.saying(&format!("p:{name}"), value.as_str()))
        });
        let body = Self::new("soap:Body").containing(self.clone());
        let mut envelope = Self::new("soap:Envelope").with("xmlns:soap", namespace);
        envelope.children = header.into_iter().chain([body]).collect();
        envelope.to_xml()
    }

    fn write(&self, writer: &mut Writer<Vec<u8>>) -> std::io::Result<()> {
        let mut start = BytesStart::new(self.name.as_str());
        for (name, value) in &self.attributes {
            start.push_attribute((name.as_bytes(), escaped(value, true).as_bytes()));
        }
        if self.children.is_empty() && self.text.is_empty() {
            return writer.write_event(Event::Empty(start));
        }
        writer.write_event(Event::Start(start))?;
        writer.write_event(Event::Text(BytesText::from_escaped(escaped(&self.text, false))))?;
        self.children.iter().try_for_each(|child| child.write(writer))?;
        writer.write_event(Event::End(BytesEnd::new(self.name.as_str())))
    }
}

/// What is wrong with a customer's SOAP parameters, if anything: goes on after their name, and says what to change.
pub fn check_soap_parameters(parameters: &[(String, String)]) -> Result<(), String> {
    if parameters.len() > SOAP_PARAMETERS_MAX {
        return Err(format!("are {}, which is too many: name at most {SOAP_PARAMETERS_MAX}", parameters.len()));
    }
    let is_name = |name: &str| {
        let first = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        let rest = name.chars().all(|each| each.is_ascii_alphanumeric() || ['_', '-', '.'].contains(&each));
        first && rest && name.len() <= SOAP_NAME_CHARS_MAX
    };
    let names = parameters.iter().map(|(name, _)| name.as_str());
    if let Some(odd) = few(names.filter(|name| !is_name(name))) {
        return Err(format!(
            "cannot have the name “{odd}”, which is none in XML: use up to {SOAP_NAME_CHARS_MAX} letters, digits, `_`, `-` and \
             `.`, and begin with a letter"
        ));
    }
    let long = parameters.iter().filter(|(_, value)| value.chars().count() > SOAP_VALUE_CHARS_MAX);
    match few(long.map(|(name, _)| name.as_str())) {
        Some(long) => {
            Err(format!("have too long a value for {long}: give it at most {SOAP_VALUE_CHARS_MAX} characters"))
        }
        None => Ok(()),
    }
}

fn document(write: impl FnOnce(&mut Writer<Vec<u8>>) -> std::io::Result<()>) -> Result<String, Unspeakable> {
    let mut writer = Writer::new(Vec::new());
    let declared = writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
    declared.and_then(|()| write(&mut writer)).map_err(|error| Unspeakable(error.to_string()))?;
    String::from_utf8(writer.into_inner()).map_err(|error| Unspeakable(error.to_string()))
}

fn escaped(text: &str, in_attribute: bool) -> String {
    let mut written = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => written.push_str("&amp;"),
            '<' => written.push_str("&lt;"),
            '>' => written.push_str("&gt;"),
            '"' => written.push_str("&quot;"),
            '\'' => written.push_str("&apos;"),
            '\n' | '\t' if !in_attribute => written.push(character),
            '\r' | '\n' | '\t' => {
                write!(written, "&#{};", u32::from(character)).expect("a String takes all that is written");
            }
            character if is_of_xml(character) => written.push(character),
            _ => written.push(char::REPLACEMENT_CHARACTER),
        }
    }
    written
}

/// XML 1.0, production 2, without the line ends, and without the control characters that it advises against.
fn is_of_xml(character: char) -> bool {
    !character.is_control() && !matches!(character, '\u{FFFE}' | '\u{FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use quick_xml::{Reader, XmlVersion, events::Event as Read};

    /// The attribute and the text of the only element, as a parser reads them.
    fn read(xml: &str) -> (String, String) {
        let mut reader = Reader::from_str(xml);
        let (mut attribute, mut text) = (String::new(), String::new());
        loop {
            match reader.read_event().expect("well-formed XML") {
                Read::Start(start) | Read::Empty(start) => {
                    let first = start.attributes().next().expect("an attribute").expect("well-formed");
                    attribute = first.normalized_value(XmlVersion::Explicit1_0).expect("known references").into_owned();
                }
                Read::Text(part) => text.push_str(&part.decode().expect("UTF-8")),
                Read::GeneralRef(name) => {
                    let name = format!("&{};", String::from_utf8_lossy(&name));
                    text.push_str(&quick_xml::escape::unescape(&name).expect("a known reference"));
                }
                Read::Eof => return (attribute, text),
                Read::End(_) | Read::CData(_) | Read::Comment(_) | Read::Decl(_) | Read::PI(_) | Read::DocType(_) => {}
            }
        }
    }

    proptest! {
        /// Whatever a stranger writes is read as it was, and opens no element.
        #[test]
        fn what_is_written_is_read_again(text in "\\PC*|[<>&'\"\\r\\n\\t a-c]{0,30}|.{0,20}") {
            let element = Element { text: text.clone(), ..Element::new("E").with("a", text.as_str()) };
            let xml = element.to_xml().expect("XML");
            let legal: String = text
                .chars()
                .map(|each| if is_of_xml(each) || ['\r', '\n', '\t'].contains(&each) { each } else { '\u{FFFD}' })
                .collect();

            prop_assert_eq!(read(&xml), (legal.clone(), legal));
        }
    }

    #[test]
    fn a_parameter_that_is_no_xml_name_is_refused() {
        let parameter = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        assert_eq!(check_soap_parameters(&parameter("Tenant-Id_1.a", "<any>")), Ok(()));
        for name in ["", "1a", "a b", "a:b", "<a", "ä", "xmlns:x", &"a".repeat(SOAP_NAME_CHARS_MAX + 1)] {
            assert!(check_soap_parameters(&parameter(name, "")).is_err(), "{name}");
        }
        assert!(check_soap_parameters(&parameter("a", &"x".repeat(SOAP_VALUE_CHARS_MAX + 1))).is_err());
        assert!(check_soap_parameters(&vec![(String::from("a"), String::new()); SOAP_PARAMETERS_MAX + 1]).is_err());
    }

    #[test]
    fn json_has_strings_only() {
        let tree = Element::new("Event")
            .with("Name", "OnAdd")
            .containing(Element::new("Tag").with("Id", "40"))
            .saying("A", "");
        assert_eq!(tree.to_json(), r#"{"Event":{"A":"","Name":"OnAdd","Tag":{"Id":"40"}}}"#);
    }
}
