//! What serde says of a value that it cannot read, in words for whoever wrote the value. The value is not repeated: it may be a secret.

use std::fmt::{self, Display};

use super::words::not_known;

/// Why a value cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It lacks this part.
    Missing(String),
    /// It has this part, which nobody knows, and may have others.
    Unknown { part: String, known: Option<String> },
    /// Goes on after the field's name, and says what to change.
    Wrong(String),
}

impl Unreadable {
    /// `error`: of serde, without a place behind it.
    pub fn of(error: &dyn Display) -> Self {
        let text = error.to_string();
        let part = |rest: &str| rest.trim_matches('`').to_owned();
        if let Some(missing) = text.strip_prefix("missing field ") {
            return Self::Missing(part(missing));
        }
        if let Some((unknown, _)) =
            text.strip_prefix("unknown field ").and_then(|rest| rest.split_once(", there are no"))
        {
            return Self::Unknown { part: part(unknown), known: None };
        }
        let Some((what, expected)) = text.rsplit_once(", expected ") else { return Self::Wrong(text) };
        match what.strip_prefix("unknown field ") {
            Some(unknown) => Self::Unknown { part: part(unknown), known: Some(expected.to_owned()) },
            None => Self::Wrong(must_be(expected)),
        }
    }
}

impl Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(part) => write!(f, "needs `{part}`"),
            Self::Unknown { part, known } => {
                // With backquotes around each.
                let known = known.iter().flat_map(|known| known.split('`').skip(1).step_by(2));
                f.write_str(&not_known(part, &known.collect::<Vec<_>>(), "/openapi.json"))
            }
            Self::Wrong(text) => f.write_str(text),
        }
    }
}

/// By serde's word for what it expected.
fn must_be(expected: &str) -> String {
    let within = |least: i64, most: i64| format!("must be a whole number from {least} to {most}");
    let is_section = expected.starts_with("struct ") || expected.contains(" enum ") || expected == "a map";
    match expected {
        "a string" | "string or map" | "variant identifier" | "map with a single key" | "unit variant" => {
            "must be a text: put it in quotes".to_owned()
        }
        "a boolean" => "must be true or false, without quotes".to_owned(),
        "a sequence" => "must be a list".to_owned(),
        "u8" => within(0, u8::MAX.into()),
        "u16" => within(0, u16::MAX.into()),
        "u32" => within(0, u32::MAX.into()),
        "i16" => within(i16::MIN.into(), i16::MAX.into()),
        "i32" => within(i32::MIN.into(), i32::MAX.into()),
        "u64" | "usize" => "must be a whole number, 0 or more".to_owned(),
        "i64" => "must be a whole number".to_owned(),
        "f32" | "f64" => "must be a number".to_owned(),
        _ if is_section => "must have keys of its own, and not be a single value".to_owned(),
        _ => format!("must be {expected}"),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::{webhook::Retries, webhook_settings::WebhookSettings};

    fn told<T: for<'de> Deserialize<'de>>(value: Value) -> Option<String> {
        serde_json::from_value::<T>(value).err().map(|error| Unreadable::of(&error).to_string())
    }

    #[test]
    fn what_serde_says_becomes_what_to_change() {
        for (value, said) in [
            (json!({"description": 7}), "must be a text: put it in quotes"),
            (json!({"method": 7}), "must be a text: put it in quotes"),
            (json!({"method": null}), "must be a text: put it in quotes"),
            (json!({"method": "GET"}), "must be one of `POST`, `PUT`, `PATCH`"),
            (json!({"success": "201"}), "must be `2xx` or `200`"),
            (json!({"in_order": "yes"}), "must be true or false, without quotes"),
            (json!({"events": "message.*"}), "must be a list"),
            (json!({"timeout_seconds": 1.5}), "must be a whole number from 0 to 4294967295"),
            (json!({"timeout_seconds": -1}), "must be a whole number from 0 to 4294967295"),
            (json!({"timeout_seconds": 99_999_999_999_u64}), "must be a whole number from 0 to 4294967295"),
            (json!({"authentication": "secret"}), "must have keys of its own, and not be a single value"),
            (json!({"switch_off": 7}), "must have keys of its own, and not be a single value"),
            (json!({"headers": 7}), "must have keys of its own, and not be a single value"),
            (json!({"retries": {"kind": 7}}), "must be a text: put it in quotes"),
            (json!({"retries": {"times": 7}}), "needs `kind`"),
            (json!({"retries": {"kind": "standard", "times": 7}}), "is not known here: remove it"),
        ] {
            assert_eq!(told::<WebhookSettings>(value.clone()).as_deref(), Some(said), "{value}");
        }
        let unknown = told::<Retries>(json!({"kind": "fixed", "times": 1, "every_seconds": 1, "colour": 1}));
        assert_eq!(unknown.as_deref(), Some("is not known here: remove it, or use one of times, every_seconds"));
    }
}
