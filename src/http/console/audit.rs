//! Who changed what.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use askama::Template;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Frame, LINES_PER_PAGE, Trouble, Visitor, asked::Query, frame::long_time, page};
use crate::{domain::operator::Permission, http::Parts, services::operators::require, store::audit::AuditLine};

#[derive(Template)]
#[template(path = "console/audit.html")]
struct Page {
    frame: Frame,
    lines: Vec<Line>,
    next: Option<String>,
}

struct Line {
    at: String,
    at_iso: String,
    actor: String,
    via: String,
    action: String,
    subject: String,
    changes: Vec<Changed>,
}

/// A field, what it was where it was anything, and what it is.
struct Changed {
    name: String,
    before: Option<String>,
    after: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditQuery {
    before: Option<i64>,
}

/// `GET /console/audit`
pub(super) async fn list(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    query: Query<AuditQuery>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ReadAudit)?;
    let lines = parts.store.audit_lines(query.before, LINES_PER_PAGE).await?;
    let next = lines.last().filter(|_| lines.len() == LINES_PER_PAGE);
    let next = next.map(|last| format!("/console/audit?before={}", last.key));
    let frame = Frame::new(&request, &visitor, "Audit log", "/console/audit");
    page(&Page { frame, lines: lines.into_iter().map(shown).collect(), next })
}

fn shown(line: AuditLine) -> Line {
    let from = line.address.map_or_else(String::new, |address| format!(", from {address}"));
    Line {
        at: long_time(line.at),
        at_iso: line.at.to_string(),
        actor: line.actor,
        via: format!("{}{from}", line.via.as_str()),
        action: line.action,
        subject: line.subject,
        changes: changes(line.before.as_deref(), line.after.as_deref()),
    }
}

/// The fields of two flat objects, side by side, in words. What was nothing and is nothing is left out.
fn changes(before: Option<&str>, after: Option<&str>) -> Vec<Changed> {
    let (mut before, after) = (fields(before), fields(after));
    let mut changes = Vec::new();
    for (name, value) in after {
        let (was, is) = (before.remove(&name).as_ref().and_then(words), words(&value));
        if was.is_some() || is.is_some() {
            let after = is.unwrap_or_else(|| NOTHING.to_owned());
            changes.push(Changed { name: name.replace('_', " "), before: was, after });
        }
    }
    // What is named before alone is gone.
    changes.extend(before.into_iter().filter_map(|(name, value)| {
        let before = Some(words(&value)?);
        Some(Changed { name: name.replace('_', " "), before, after: NOTHING.to_owned() })
    }));
    changes
}

const NOTHING: &str = "nothing";

fn fields(json: Option<&str>) -> Map<String, Value> {
    match json.and_then(|json| serde_json::from_str(json).ok()) {
        Some(Value::Object(fields)) => fields,
        Some(_) | None => Map::new(),
    }
}

/// `None` for nothing.
fn words(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Array(values) => values.iter().filter_map(words).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let each = |(name, value): (&String, &Value)| Some(format!("{} {}", name.replace('_', " "), words(value)?));
            fields.iter().filter_map(each).collect::<Vec<_>>().join(", ")
        }
    };
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_told_side_by_side_and_what_is_nothing_is_left_out() {
        let before = r#"{"time_zone":"UTC","quiet_hours":{"from":"21:00","to":"09:00"},"aliases":{},"gone":1}"#;
        let after = r#"{"time_zone":"Asia/Kolkata","quiet_hours":null,"aliases":[],"enabled":true,"hold":null}"#;
        let told: Vec<String> = changes(Some(before), Some(after))
            .into_iter()
            .map(|change| format!("{}: {:?} -> {}", change.name, change.before, change.after))
            .collect();
        assert_eq!(
            told,
            [
                "enabled: None -> yes",
                r#"quiet hours: Some("from 21:00, to 09:00") -> nothing"#,
                r#"time zone: Some("UTC") -> Asia/Kolkata"#,
                r#"gone: Some("1") -> nothing"#,
            ]
        );
        assert!(changes(None, Some("[1]")).is_empty());
    }
}
