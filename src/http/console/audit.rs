//! Who changed what.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Query},
};
use askama::Template;
use serde::Deserialize;
use serde_json::Value;

use super::{Frame, LINES_PER_PAGE, Trouble, Visitor, frame::long_time, page};
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
    before: Vec<(String, String)>,
    after: Vec<(String, String)>,
}

#[derive(Deserialize)]
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
        before: facts(line.before.as_deref()),
        after: facts(line.after.as_deref()),
    }
}

/// The fields of a flat object, in words.
fn facts(json: Option<&str>) -> Vec<(String, String)> {
    let value: Option<Value> = json.and_then(|json| serde_json::from_str(json).ok());
    let Some(Value::Object(fields)) = value else { return vec![] };
    let told = |value: Value| match value {
        Value::String(text) => text,
        Value::Bool(yes) => if yes { "yes" } else { "no" }.to_owned(),
        other @ (Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_)) => other.to_string(),
    };
    fields.into_iter().map(|(name, value)| (name.replace('_', " "), told(value))).collect()
}
