//! What stands behind an address's question mark, read so that whoever gets it wrong is told which parameter it is, and what it
//! may be: in the words of the document.

use std::{borrow::Cow, collections::HashMap, fmt, future::Ready, sync::LazyLock};

use actix_web::{Error, FromRequest, HttpRequest, dev::Payload, http::StatusCode};
use serde::{
    de::{self, DeserializeOwned, IntoDeserializer, Visitor, value::MapDeserializer},
    forward_to_deserialize_any,
};
use url::form_urlencoded;

use super::{Problem, openapi};

/// The parameters of a request.
pub struct Query<T>(T);

impl<T> Query<T> {
    pub(super) fn into_inner(self) -> T {
        self.0
    }
}

impl<T> std::ops::Deref for Query<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let read = read(request.query_string()).map(Self);
        std::future::ready(read.map_err(|wrong| problem(request, wrong).into()))
    }
}

/// The parameters of each operation, by method and path: their names, and what the document says of them.
static KNOWN: LazyLock<HashMap<(&'static str, String), Vec<(String, String)>>> =
    LazyLock::new(|| openapi::parameters().into_iter().collect());

fn known(request: &HttpRequest) -> Option<&'static [(String, String)]> {
    let path = request.match_pattern()?;
    let mut operations = KNOWN.iter();
    let asked = operations.find(|((method, known), _)| *method == request.method().as_str() && *known == path);
    asked.map(|(_, parameters)| parameters.as_slice())
}

/// Refuses what the document does not have: it would have no effect, and nobody would be told. It stands before every handler, so
/// that none can pass over what it does not know.
pub(super) fn check(request: &HttpRequest) -> Result<(), Problem> {
    let query = request.query_string();
    let Some(known) = Some(request).filter(|_| !query.is_empty()).and_then(known) else { return Ok(()) };
    let is_known = |name: &str| known.iter().any(|(known, _)| known == name);
    let mut names = url::form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
    let Some(name) = names.find(|name| !is_known(name)) else { return Ok(()) };
    let known: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
    let takes = if known.is_empty() { "it takes none".to_owned() } else { format!("it takes {}", known.join(", ")) };
    Err(problem(request, Wrong::of(&name, format!("this address has no such parameter; {takes}"))))
}

fn problem(request: &HttpRequest, wrong: Wrong) -> Problem {
    let Some(name) = wrong.parameter else {
        return Problem::new(StatusCode::BAD_REQUEST, format!("{}; /openapi.json says what is expected", wrong.text));
    };
    let meaning = known(request).and_then(|known| known.iter().find(|(known, _)| *known == name));
    let detail = match meaning {
        Some((_, meaning)) => format!("{name}: {}. {meaning}", wrong.text),
        None => format!("{name}: {}", wrong.text),
    };
    Problem::named(StatusCode::BAD_REQUEST, &name, detail)
}

fn read<T: DeserializeOwned>(query: &str) -> Result<T, Wrong> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let parameters = pairs.map(|(name, text)| (name.clone(), Parameter { name, text }));
    T::deserialize(MapDeserializer::new(parameters))
}

/// Why parameters cannot be read.
#[derive(Debug, PartialEq)]
struct Wrong {
    parameter: Option<String>,
    text: String,
}

impl Wrong {
    fn of(parameter: &str, text: impl Into<String>) -> Self {
        Self { parameter: Some(parameter.to_owned()), text: text.into() }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
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

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_string(self.text.into_owned())
    }

    forward_to_deserialize_any! {
        i8 i128 u8 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq tuple tuple_struct map struct
        enum identifier ignored_any
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
        assert_eq!(read("name=a+b&limit=7&before=-3&all=true"), Ok(asked));
        assert_eq!(read(""), Ok(Asked { name: None, limit: None, before: None, all: false }));
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
            assert_eq!(read::<Asked>(query), Err(Wrong::of(parameter, text)), "{query}");
        }
    }
}
