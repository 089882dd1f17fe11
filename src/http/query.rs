//! What stands behind an address's question mark, read so that whoever gets it wrong is told which parameter it is, and what it
//! may be. What that looks like is the business of the API and of the console.

use std::{borrow::Cow, fmt};

use serde::{
    de::{self, DeserializeOwned, IntoDeserializer, Visitor, value::MapDeserializer},
    forward_to_deserialize_any,
};
use url::form_urlencoded;

/// The parameters of a query, without those that are not for whoever asks.
pub(super) fn read<T: DeserializeOwned>(query: &str, others: &[&str]) -> Result<T, Wrong> {
    let pairs = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| !others.contains(&&**name));
    let parameters = pairs.map(|(name, text)| (name.clone(), Parameter { name, text }));
    T::deserialize(MapDeserializer::new(parameters))
}

/// Why parameters cannot be read.
#[derive(Debug, PartialEq)]
pub(super) struct Wrong {
    pub(super) parameter: Option<String>,
    pub(super) text: String,
}

impl Wrong {
    pub(super) fn of(parameter: &str, text: impl Into<String>) -> Self {
        Self { parameter: Some(parameter.to_owned()), text: text.into() }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.parameter {
            Some(parameter) => write!(f, "{parameter}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self { parameter: None, text: text.to_string() }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let known = match expected {
            [] => "it takes none".to_owned(),
            known => format!("it takes {}", known.join(", ")),
        };
        Self::of(field, format!("this address has no such parameter; {known}"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::of(field, "is missing")
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::of(field, "is given twice")
    }
}

/// One parameter's text, which becomes what its field wants.
struct Parameter<'a> {
    name: Cow<'a, str>,
    text: Cow<'a, str>,
}

impl<'de> IntoDeserializer<'de, Wrong> for Parameter<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $type:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            let number = self.text.parse::<$type>();
            visitor.$visit(number.map_err(|error| self.no_number(&error))?)
        }
    )*};
}

impl Parameter<'_> {
    fn no_number(&self, error: &std::num::ParseIntError) -> Wrong {
        use std::num::IntErrorKind::{NegOverflow, PosOverflow};
        let what = if matches!(error.kind(), NegOverflow | PosOverflow) { "out of range" } else { "no whole number" };
        Wrong::of(&self.name, format!("“{}” is {what}", self.text))
    }
}

impl<'de> de::Deserializer<'de> for Parameter<'_> {
    type Error = Wrong;

    whole_numbers!(
        deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64,
        deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64
    );

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match &*self.text {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            text => Err(Wrong::of(&self.name, format!("“{text}” is neither true nor false"))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_some(self)
    }

    /// What nobody reads is not what somebody meant.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Wrong> {
        Err(Wrong::of(&self.name, "this address has no such parameter"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_string(self.text.into_owned())
    }

    forward_to_deserialize_any! {
        i8 i128 u8 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq tuple tuple_struct map struct
        enum identifier
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        name: Option<String>,
        limit: Option<usize>,
        before: Option<i64>,
        #[serde(default)]
        all: bool,
    }

    #[test]
    fn parameters_become_what_their_fields_want() {
        let asked = Asked { name: Some("a b".to_owned()), limit: Some(7), before: Some(-3), all: true };
        assert_eq!(read("name=a+b&limit=7&before=-3&all=true", &[]), Ok(asked));
        assert_eq!(read("", &[]), Ok(Asked { name: None, limit: None, before: None, all: false }));
        assert_eq!(read("done=saved", &["done"]), read::<Asked>("", &[]), "somebody else's");
    }

    #[test]
    fn a_wrong_parameter_is_named() {
        for (query, parameter, text) in [
            ("limit=abc", "limit", "“abc” is no whole number"),
            ("limit=", "limit", "“” is no whole number"),
            ("limit=-1", "limit", "“-1” is no whole number"),
            ("before=99999999999999999999", "before", "“99999999999999999999” is out of range"),
            ("all=yes", "all", "“yes” is neither true nor false"),
            ("limt=5", "limt", "this address has no such parameter; it takes name, limit, before, all"),
            ("limit=5&limit=6", "limit", "is given twice"),
        ] {
            assert_eq!(read::<Asked>(query, &[]), Err(Wrong::of(parameter, text)), "{query}");
        }
        #[derive(Debug, Deserialize, PartialEq)]
        struct Lenient {}
        assert_eq!(read::<Lenient>("colour=red", &[]), Err(Wrong::of("colour", "this address has no such parameter")));
    }
}
