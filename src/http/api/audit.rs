//! Who changed what.

use actix_web::{
    HttpResponse,
    web::{Data, Json},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{Caller, messages::time, page_size, problem::Problem, query::Query};
use crate::{
    http::{Parts, audit as shared},
    services::audit,
    store::audit::{AuditFilter, AuditLine},
};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Part of who did it, in small or large letters.
    actor: Option<String>,
    /// Part of what was done: `user`, `fail to sign in`; or of what was changed by it: `clevertap_passcode`.
    action: Option<String>,
    /// Part of whom or what it concerns.
    subject: Option<String>,
    /// Done at this time or later, in RFC 3339.
    #[param(example = "2026-11-21T09:30:00Z")]
    since: Option<String>,
    /// Done before this time.
    until: Option<String>,
    /// `next` of the page before.
    before: Option<i64>,
    /// Lines on a page, 1 to 200; 50 unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditFileQuery {
    /// Part of who did it, in small or large letters.
    actor: Option<String>,
    /// Part of what was done: `user`, `fail to sign in`; or of what was changed by it: `clevertap_passcode`.
    action: Option<String>,
    /// Part of whom or what it concerns.
    subject: Option<String>,
    /// Done at this time or later, in RFC 3339.
    #[param(example = "2026-11-21T09:30:00Z")]
    since: Option<String>,
    /// Done before this time.
    until: Option<String>,
}

impl AuditFileQuery {
    fn filter(self) -> Result<AuditFilter, Problem> {
        let Self { actor, action, subject, since, until } = self;
        let (since, until) = (time("since", since.as_deref())?, time("until", until.as_deref())?);
        Ok(AuditFilter { actor, action, subject, since, until, before: None })
    }
}

#[derive(Serialize, ToSchema)]
pub struct AuditPage {
    lines: Vec<AuditEntry>,
    /// `before` of the next page; none after the last.
    next: Option<i64>,
}

#[derive(Serialize, ToSchema)]
pub struct AuditEntry {
    id: i64,
    at: String,
    #[schema(example = "asha")]
    actor: String,
    /// console, API or command line.
    #[schema(example = "console")]
    via: String,
    #[schema(example = "198.51.100.7")]
    address: Option<String>,
    #[schema(example = "change user")]
    action: String,
    #[schema(example = "ben")]
    subject: String,
    /// Secrets are blanked.
    #[schema(value_type = Option<Object>)]
    before: Option<Value>,
    #[schema(value_type = Option<Object>)]
    after: Option<Value>,
}

/// The audit log, the newest line first.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "users", operation_id = "list_audit", params(AuditQuery), security(("token" = [])),
    responses(
        (status = 200, description = "A page of lines", body = AuditPage),
        (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope audit:read", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(parts: Data<Parts>, caller: Caller, query: Query<AuditQuery>) -> Result<Json<AuditPage>, Problem> {
    let AuditQuery { actor, action, subject, since, until, before, limit } = query.into_inner();
    let filter = AuditFileQuery { actor, action, subject, since, until }.filter()?;
    let filter = AuditFilter { before, ..filter };
    let (lines, next) = audit::lines(&parts.store, &caller.0, &filter, page_size(limit)?).await?;
    Ok(Json(AuditPage { lines: lines.into_iter().map(entry).collect(), next }))
}

/// The audit log as comma-separated values, the newest line first, as long as there are any.
#[utoipa::path(
    get, path = "/api/v1/audit/lines.csv", tag = "users", operation_id = "export_audit", params(AuditFileQuery), security(("token" = [])),
    responses(
        (status = 200, description = "A line of names, and one for each line of the log; before and after are JSON", body = String, content_type = "text/csv; charset=utf-8"),
        (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope audit:read", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn file(parts: Data<Parts>, caller: Caller, query: Query<AuditFileQuery>) -> Result<HttpResponse, Problem> {
    Ok(shared::file(&parts, &caller.0, query.into_inner().filter()?)?)
}

fn entry(line: AuditLine) -> AuditEntry {
    let json = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok());
    AuditEntry {
        id: line.key,
        at: line.at.to_string(),
        actor: line.actor,
        via: line.via.as_str().to_owned(),
        address: line.address,
        action: line.action,
        subject: line.subject,
        before: json(line.before),
        after: json(line.after),
    }
}
