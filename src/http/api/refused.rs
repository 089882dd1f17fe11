//! Requests of the platform that were not accepted.

use actix_web::web::{Data, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Caller, account_named,
    messages::{time, word},
    page_size,
    problem::Problem,
    query::Query,
};
use crate::{
    domain::ids::MessageId,
    http::Parts,
    services::{
        accept::{KINDS_KEPT, kind_name},
        refusals::{self, RefusedShown},
    },
    store::refused::RefusedFilter,
};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RefusedQuery {
    /// CleverTap's id, or a telephone number that stands in the request: whole, or with `personal:read` its last five digits
    /// or more.
    q: Option<String>,
    /// An account's id.
    account: Option<String>,
    /// What was wrong: credentials, template, phone_number, not_subscribed, other.
    kind: Option<String>,
    /// Refused at this time or later, in RFC 3339.
    #[param(example = "2026-11-21T09:30:00Z")]
    since: Option<String>,
    /// Refused before this time.
    until: Option<String>,
    /// `next` of the page before.
    before: Option<i64>,
    /// Requests on a page, 1 to 200; 50 unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// A page of refused requests, the newest first.
#[derive(Serialize, ToSchema)]
pub struct RefusedList {
    requests: Vec<RefusedEntry>,
    /// `before` of the next page; none after the last. A page may be short, or empty, and yet have a next one.
    next: Option<i64>,
}

/// A request that was refused. Without `personal:read` the recipient is masked, and there is no request.
#[derive(Serialize, ToSchema)]
pub struct RefusedEntry {
    id: i64,
    #[schema(example = "2026-11-21T09:30:00.000Z")]
    at: String,
    #[schema(example = "acme")]
    account: Option<String>,
    /// credentials, template, phone_number, not_subscribed or other.
    #[schema(example = "template")]
    kind: String,
    /// What was wrong, and what to change.
    #[schema(example = "body: needs 2 parameters, got 1; add what is missing")]
    why: String,
    #[schema(example = "7|1790000000|20261120|7|0")]
    platform_message_id: Option<String>,
    /// The business number; none when the request cannot be read.
    #[schema(example = "+918880110022")]
    number: Option<String>,
    #[schema(example = "+919876500001")]
    recipient: Option<String>,
    answer: Option<RefusedAnswer>,
    /// As it came.
    request: Option<String>,
}

/// What the platform was told.
#[derive(Serialize, ToSchema)]
pub struct RefusedAnswer {
    #[schema(example = 200)]
    http_status: u16,
    body: String,
}

/// Requests of the platform that were refused, the newest first.
#[utoipa::path(
    get, path = "/api/v1/refused-requests", tag = "messages", operation_id = "list_refused_requests", params(RefusedQuery),
    security(("token" = [])),
    responses(
        (status = 200, description = "A page of refused requests", body = RefusedList),
        (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    parts: Data<Parts>,
    caller: Caller,
    query: Query<RefusedQuery>,
) -> Result<Json<RefusedList>, Problem> {
    let (limit, snapshot) = (page_size(query.limit)?, parts.directory.snapshot());
    let filter = RefusedFilter {
        account: account_named(&snapshot, query.account.as_deref())?,
        kind: word("kind", query.kind.as_deref(), &KINDS_KEPT, kind_name)?.map(kind_name),
        since: time("since", query.since.as_deref())?,
        until: time("until", query.until.as_deref())?,
        before: query.before.map(MessageId),
        ..RefusedFilter::default()
    };
    let text = query.q.as_deref().unwrap_or_default();
    let (found, next) = refusals::list(&parts.store, &snapshot, &caller.0, text, (filter, limit)).await?;
    Ok(Json(RefusedList { requests: found.into_iter().map(entry).collect(), next: next.map(|next| next.0) }))
}

fn entry(refused: RefusedShown) -> RefusedEntry {
    RefusedEntry {
        id: refused.id.0,
        at: refused.at.to_string(),
        account: refused.account,
        kind: refused.kind,
        why: refused.why,
        platform_message_id: refused.platform_message_id,
        number: refused.from,
        recipient: refused.to,
        answer: refused.answer.map(|reply| RefusedAnswer { http_status: reply.http_status, body: reply.body }),
        request: refused.request,
    }
}
