//! Who changed what.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use askama::Template;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Frame, LINES_PER_PAGE, Trouble, Visitor,
    asked::{self, Query, Wrong, some},
    frame::{exact_time, sentence, wants_part},
    page,
};
use crate::{
    domain::operator::Permission,
    http::{Parts, audit as shared},
    services::{
        audit,
        operators::{Refusal, require},
    },
    store::audit::{AuditFilter, AuditLine},
};

const PATH: &str = "/console/audit";

#[derive(Template)]
#[template(path = "console/audit.html")]
struct Page {
    frame: Frame,
    form: AuditForm,
    results: Results,
}

#[derive(Template)]
#[template(path = "console/audit_results.html")]
struct Results {
    wrong: Option<String>,
    lines: Vec<Line>,
    next: Option<String>,
    /// The same lines, all of them, as a file.
    csv_href: String,
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

#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AuditForm {
    /// Who did it.
    actor: String,
    /// What was done.
    action: String,
    /// To whom, or what.
    subject: String,
    since: String,
    until: String,
    before: Option<i64>,
}

impl AuditForm {
    fn fields(&self) -> [(&'static str, &str); 5] {
        let Self { actor, action, subject, since, until, before: _ } = self;
        [("actor", actor), ("action", action), ("subject", subject), ("since", since), ("until", until)]
    }

    fn filter(&self) -> Result<AuditFilter, Wrong> {
        let (since, until) = asked::span(&self.since, &self.until)?;
        let (actor, action, subject) = (some(&self.actor), some(&self.action), some(&self.subject));
        Ok(AuditFilter { actor, action, subject, since, until, before: self.before })
    }
}

/// `GET /console/audit`
pub(super) async fn list(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    form: Query<AuditForm>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ReadAudit)?;
    let form = form.into_inner();
    let results = results(&parts, &visitor, &form).await?;
    if wants_part(&request) {
        return page(&results);
    }
    page(&Page { frame: Frame::new(&request, &visitor, "Audit log", PATH), form, results })
}

/// `GET /console/audit/lines.csv`
pub(super) async fn file(
    parts: Data<Parts>,
    visitor: Visitor,
    form: Query<AuditForm>,
) -> Result<HttpResponse, Trouble> {
    Ok(shared::file(&parts, &visitor.actor, form.filter()?)?)
}

async fn results(parts: &Parts, visitor: &Visitor, form: &AuditForm) -> Result<Results, Trouble> {
    let csv_href = asked::address(&format!("{PATH}/lines.csv"), form.fields());
    let wrong = |wrong: String| Results { wrong: Some(wrong), lines: vec![], next: None, csv_href: String::new() };
    let filter = match form.filter() {
        Ok(filter) => filter,
        Err(odd) => return Ok(wrong(odd.said())),
    };
    let (lines, next) = match audit::lines(&parts.store, &visitor.actor, &filter, LINES_PER_PAGE).await {
        Ok(found) => found,
        Err(Refusal::Invalid { field, text }) => return Ok(wrong(sentence(&format!("{field} {text}")))),
        Err(refusal) => return Err(refusal.into()),
    };
    let older = |next: i64| asked::address(PATH, form.fields().into_iter().chain([("before", &*next.to_string())]));
    Ok(Results { wrong: None, lines: lines.into_iter().map(shown).collect(), next: next.map(older), csv_href })
}

fn shown(line: AuditLine) -> Line {
    let from = line.address.map_or_else(String::new, |address| format!(", from {address}"));
    Line {
        at: exact_time(line.at),
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
