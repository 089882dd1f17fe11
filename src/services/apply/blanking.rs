//! What may be told of a configured thing: everything but its secrets. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};
use toml::{Table, Value};

use super::Subject;
use crate::{domain::operator::Actor, net::redact, providers, store::audit::AuditEntry};

/// The fields without secrets, and of each secret that it is set.
pub fn blanked(subject: &Subject, fields: &Table) -> (Map<String, Json>, BTreeMap<String, String>) {
    let (mut shown, mut secrets) = (Map::new(), BTreeMap::new());
    for (key, value) in fields {
        match value {
            _ if !is_secret(subject, fields, key) => drop(shown.insert(key.clone(), in_json(value))),
            Value::Table(table) => {
                secrets.extend(table.keys().map(|name| (format!("{key}.{name}"), "set".to_owned())));
            }
            Value::Array(values) => drop(secrets.insert(key.clone(), format!("{} values", values.len()))),
            Value::String(url) if key.ends_with("_url") => drop(secrets.insert(key.clone(), redact::url(url))),
            Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {
                secrets.insert(key.clone(), "set".to_owned());
            }
        }
    }
    (shown, secrets)
}

/// The line of the audit log for a thing that is new, or differs from what it was.
pub fn audit_entry(actor: &Actor, subject: &Subject, before: Option<&Table>, after: &Table) -> AuditEntry {
    let name = match subject {
        Subject::Connection(id) | Subject::Account(id) => id.clone(),
        Subject::Sender(number) => number.as_e164().to_owned(),
    };
    let action = match (subject, before) {
        (Subject::Connection(_), None) => "add connection",
        (Subject::Connection(_), Some(_)) => "change connection",
        (Subject::Account(_), None) => "add account",
        (Subject::Account(_), Some(_)) => "change account",
        (Subject::Sender(_), None) => "add number",
        (Subject::Sender(_), Some(_)) => "change number",
    };
    let nothing = Table::new();
    let (was, is) = before_and_after(subject, before.unwrap_or(&nothing), after);
    let entry = AuditEntry::new(actor, action, name).after(is);
    if before.is_some() { entry.before(was) } else { entry }
}

/// The fields that differ, before and after: secrets only as `set` and `changed`.
fn before_and_after(subject: &Subject, before: &Table, after: &Table) -> (Json, Json) {
    let (mut was, mut is) = (Map::new(), Map::new());
    let keys = before.keys().chain(after.keys().filter(|key| !before.contains_key(*key)));
    for key in keys {
        let (old, new) = (before.get(key), after.get(key));
        if old == new {
            continue;
        }
        // What was not there says nothing of what its keys mean.
        let secret = (!before.is_empty() && is_secret(subject, before, key)) || is_secret(subject, after, key);
        let (old_shown, new_shown) = match secret {
            true => (
                old.map_or(Json::Null, |_| json!("set")),
                new.map_or(Json::Null, |_| json!(if old.is_some() { "changed" } else { "set" })),
            ),
            false => (old.map_or(Json::Null, in_json), new.map_or(Json::Null, in_json)),
        };
        was.insert(key.clone(), old_shown);
        is.insert(key.clone(), new_shown);
    }
    (was.into(), is.into())
}

fn is_secret(subject: &Subject, fields: &Table, key: &str) -> bool {
    let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default();
    let callback_url = key.ends_with("_callback_url");
    match subject {
        Subject::Connection(_) => match providers::find(text("provider")) {
            Some(provider) => provider.settings().iter().any(|field| field.name == key && field.secret),
            // Of a provider that nobody knows any more, nobody knows what its secrets are either.
            None => !["id", "provider"].contains(&key),
        },
        Subject::Account(_) => {
            let of_platform = key.strip_prefix(text("platform")).unwrap_or_default();
            callback_url
                || ["basic_password", "bearer_token", "url_token", "headers"].contains(&key)
                || ["_passcode", "_old_passcode", "_api_passcode"].contains(&of_platform)
        }
        Subject::Sender(_) => callback_url,
    }
}

fn in_json(value: &Value) -> Json {
    serde_json::to_value(value).unwrap_or(Json::Null)
}
