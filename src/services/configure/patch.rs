//! What shall be different, put into what is: a merge patch in JSON, a table of the apply file. Pure.

use serde_json::Value as Json;
use toml::{Table, Value};

use super::Patch;
use crate::services::operators::FieldProblem;

/// Tables within tables; the apply file has one.
const DEPTH_MAX: usize = 4;

/// Puts a patch into a table: `null` takes a key out, tables are merged, everything else is replaced. A table that has
/// nothing in it is none.
pub(super) fn merge(fields: &mut Table, patch: &Patch) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    merge_below(fields, patch, "", DEPTH_MAX, &mut problems);
    problems
}

fn merge_below(fields: &mut Table, patch: &Patch, path: &str, depth: usize, problems: &mut Vec<FieldProblem>) {
    for (key, value) in patch {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match value {
            Json::Null => drop(fields.remove(key)),
            Json::Object(below) if depth > 0 => {
                let mut table = fields.get(key).and_then(Value::as_table).cloned().unwrap_or_default();
                merge_below(&mut table, below, &path, depth - 1, problems);
                if table.is_empty() {
                    fields.remove(key);
                } else {
                    fields.insert(key.clone(), table.into());
                }
            }
            Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) | Json::Object(_) => {
                match in_toml(value, depth) {
                    Some(value) => drop(fields.insert(key.clone(), value)),
                    None => problems.push(FieldProblem::new(path, "has a value of a kind that is not taken here")),
                }
            }
        }
    }
}

/// `None` for what no file can say.
fn in_toml(value: &Json, depth: usize) -> Option<Value> {
    match value {
        Json::Null => None,
        Json::Bool(boolean) => Some((*boolean).into()),
        Json::Number(number) => number.as_i64().map(Value::from).or_else(|| number.as_f64().map(Value::from)),
        Json::String(text) => Some(text.as_str().into()),
        Json::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(|item| in_toml(item, depth.checked_sub(1)?)).collect();
            items.map(Value::from)
        }
        Json::Object(_) => None,
    }
}

/// As a file would write it: there `${NAME}` is filled in from the environment, which is nobody's business who sends a form.
pub(super) fn escaped(value: Value) -> Value {
    match value {
        Value::String(text) => text.replace("${", "$${").into(),
        Value::Array(items) => items.into_iter().map(escaped).collect::<Vec<_>>().into(),
        Value::Table(table) => table.into_iter().map(|(key, value)| (key, escaped(value))).collect::<Table>().into(),
        other @ (Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_)) => other,
    }
}

/// The patch that fields of a form make; a name with dots is a field within tables.
pub fn patch_of_fields(fields: impl IntoIterator<Item = (String, Json)>) -> Patch {
    let mut patch = Patch::new();
    for (name, value) in fields {
        put(&mut patch, &name, value);
    }
    patch
}

fn put(patch: &mut Patch, name: &str, value: Json) {
    match name.split_once('.') {
        None => drop(patch.insert(name.to_owned(), value)),
        Some((table, below)) => {
            let table = patch.entry(table).or_insert_with(|| Json::Object(Patch::new()));
            if let Json::Object(table) = table {
                put(table, below, value);
            }
        }
    }
}
