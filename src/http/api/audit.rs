//! Who changed what.

use actix_web::web::{Data, Json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{Caller, page_size, problem::Problem, query::Query};
use crate::{domain::operator::Permission, http::Parts, services::operators::require, store::audit::AuditLine};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// `next` of the page before.
    before: Option<i64>,
    /// Lines on a page, 1 to 200; 50 unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
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
    require(&caller.0, Permission::ReadAudit)?;
    let limit = page_size(query.limit)?;
    let lines = parts.store.audit_lines(query.before, limit).await?;
    let next = lines.last().filter(|_| lines.len() == limit).map(|last| last.key);
    Ok(Json(AuditPage { lines: lines.into_iter().map(entry).collect(), next }))
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
