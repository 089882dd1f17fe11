//! Bodies of requests, written by the operator as JSON with names in double braces.
//!
//! The text is read as JSON first and filled afterwards, value by value, so nothing that a message holds can break out of its
//! place. A text that is one name and nothing else becomes that value, whatever its type, and goes away together with its key
//! where the message has no such value; among other words a name becomes its text.

use serde_json::{Map, Value};
use url::form_urlencoded;

use super::fields::{Kind, check_name};

/// Puts a message's values in their places. `None` when nothing is left.
pub fn fill(template: &Value, fields: &Value) -> Option<Value> {
    match template {
        Value::String(text) => fill_text(text, fields),
        Value::Array(items) => Some(items.iter().filter_map(|item| fill(item, fields)).collect()),
        Value::Object(entries) => {
            let filled = entries.iter().filter_map(|(name, value)| Some((name.clone(), fill(value, fields)?)));
            Some(Value::Object(filled.collect::<Map<_, _>>()))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(template.clone()),
    }
}

fn fill_text(text: &str, fields: &Value) -> Option<Value> {
    let whole = text.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    if let Some(name) = whole.filter(|name| !name.contains("{{") && !name.contains("}}")) {
        return named(fields, name.trim()).cloned();
    }
    let put = |name: &str| match named(fields, name) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    Some(replaced(text, put).into())
}

/// The value of a name; none when it is missing or null.
fn named<'a>(fields: &'a Value, name: &str) -> Option<&'a Value> {
    let found = name.split('.').try_fold(fields, |value, part| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        Value::Object(_) => value.get(part),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    });
    found.filter(|value| !value.is_null())
}

/// A text with something in the place of each name.
fn replaced(text: &str, put: impl Fn(&str) -> String) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, inside, after)) = next_name(rest) {
        filled.push_str(before);
        filled.push_str(&put(inside));
        rest = after;
    }
    filled.push_str(rest);
    filled
}

fn next_name(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{{")?;
    let (inside, after) = rest.split_once("}}")?;
    Some((before, inside.trim(), after))
}

/// The path of a URL with values in it: each stays within its segment.
pub fn fill_path(path: &str, fields: &Value) -> String {
    replaced(path, |name| match named(fields, name) {
        Some(Value::String(text)) => form_urlencoded::byte_serialize(text.as_bytes()).collect(),
        Some(_) | None => String::new(),
    })
}

/// Whether a path can be filled.
pub fn check_path(path: &str) -> Result<(), String> {
    if !path.is_empty() && !path.starts_with('/') {
        return Err("must begin with a slash, like /v1/messages: it follows base_url".to_owned());
    }
    check_names(path, None)
}

/// Whether a text is a body for messages of this kind. An empty one says that there is none.
pub fn check(text: &str, kind: Kind) -> Result<(), String> {
    if text.trim().is_empty() {
        return Ok(());
    }
    let template: Value = serde_json::from_str(text).map_err(|error| {
        format!("is not JSON: {error}; names in double braces stand within quotes, like \"to\": \"{{{{to}}}}\"")
    })?;
    texts_of(&template, &mut |text| check_names(text, Some(kind)))
}

fn texts_of(value: &Value, check: &mut dyn FnMut(&str) -> Result<(), String>) -> Result<(), String> {
    match value {
        Value::String(text) => check(text),
        Value::Array(items) => items.iter().try_for_each(|item| texts_of(item, check)),
        Value::Object(entries) => entries.values().try_for_each(|value| texts_of(value, check)),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

fn check_names(text: &str, kind: Option<Kind>) -> Result<(), String> {
    let mut rest = text;
    while let Some((_, inside, after)) = next_name(rest) {
        check_name(kind, inside)?;
        rest = after;
    }
    if rest.contains("{{") { Err("has a {{ without its }}: write {{to}}".to_owned()) } else { Ok(()) }
}

/// A filled body as a form: what is no text goes as JSON.
pub fn as_form(body: &Value) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in body.as_object().into_iter().flatten() {
        match value {
            Value::String(text) => form.append_pair(name, text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                form.append_pair(name, &value.to_string())
            }
        };
    }
    form.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields() -> Value {
        json!({
            "to": "+919876500001",
            "number_id": "a/b",
            "text": "say \"hi\", {{to}}",
            "template": { "values": ["Asha", "A-17"], "variables": { "1": "Asha" }, "header": { "filename": null } },
        })
    }

    #[test]
    fn a_value_keeps_its_type_and_a_missing_one_takes_its_key_along() {
        let template = json!({
            "phone": "{{to}}",
            "values": "{{ template.values }}",
            "second": ["{{template.values.1}}", "{{template.values.9}}"],
            "file": "{{template.header.filename}}",
            "line": "to {{to}}: {{template.variables.1}}{{template.variables.2}}!",
            "fixed": [1, true, null, "{braces}"],
        });

        assert_eq!(
            fill(&template, &fields()),
            Some(json!({
                "phone": "+919876500001",
                "values": ["Asha", "A-17"],
                "second": ["A-17"],
                "line": "to +919876500001: Asha!",
                "fixed": [1, true, null, "{braces}"],
            }))
        );
    }

    #[test]
    fn what_people_write_stays_in_its_place() {
        assert_eq!(fill(&json!({"body": "{{text}}"}), &fields()), Some(json!({"body": "say \"hi\", {{to}}"})));
        assert_eq!(fill(&json!("<{{text}}>"), &fields()), Some(json!("<say \"hi\", {{to}}>")));
        assert_eq!(fill_path("/n/{{number_id}}/{{to}}", &fields()), "/n/a%2Fb/%2B919876500001");
        assert_eq!(as_form(&json!({"a": "x&y=z", "b": [1]})), "a=x%26y%3Dz&b=%5B1%5D");
    }

    #[test]
    fn a_body_that_cannot_be_filled_is_refused_with_what_is_wrong() {
        for (text, kind, wrong) in [
            ("{\"to\": {{to}}}", Kind::Text, "is not JSON"),
            ("{\"to\": \"{{tto}}\"}", Kind::Text, "{{tto}} is not known here"),
            ("{\"to\": \"{{to}\"}", Kind::Text, "has a {{ without its }}"),
            ("{\"text\": \"{{text}}\"}", Kind::Template, "{{text}} is not known here"),
            ("[[\"{{template.values.}}\"]]", Kind::Template, "{{template.values.}} is not known here"),
        ] {
            assert!(check(text, kind).is_err_and(|why| why.starts_with(wrong)), "{text}: {:?}", check(text, kind));
        }
        for (text, kind) in [
            ("", Kind::Text),
            ("\"{{whatsapp}}\"", Kind::Media),
            ("{\"v\": \"{{template.variables.first_name}}\"}", Kind::Template),
        ] {
            assert_eq!(check(text, kind), Ok(()), "{text}");
        }
        assert_eq!(check_path("/v1/{{number_id}}/messages"), Ok(()));
        assert!(check_path("v1").is_err() && check_path("/{{text}}").is_err());
    }
}
