//! Parts of webhooks that were not understood, and statuses whose message is not known.

use actix_web::web::{Data, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Caller, page_size, problem::Problem, query::Query};
use crate::{
    domain::operator::Permission,
    http::Parts,
    services::{masking, operators::require},
    store::unrecognized::KeptFilter,
};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UnrecognizedQuery {
    /// Only where the reason contains this; with `personal:read`.
    reason: Option<String>,
    /// `next` of the page before.
    before: Option<i64>,
    /// Parts on a page, 1 to 200; 50 unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

#[derive(Serialize, ToSchema)]
pub struct UnrecognizedList {
    parts: Vec<UnrecognizedPart>,
    /// `before` of the next page; none after the last.
    next: Option<i64>,
}

#[derive(Serialize, ToSchema)]
pub struct UnrecognizedPart {
    id: i64,
    at: String,
    /// unread: not understood; parked: a status whose message is not known.
    #[schema(example = "unread")]
    kind: String,
    #[schema(example = "meta-main")]
    connection: Option<String>,
    reason: String,
    /// As it came; with `personal:read`.
    entry: Option<String>,
}

/// Parts of webhooks that were kept aside, the newest first.
#[utoipa::path(
    get, path = "/api/v1/unrecognized", tag = "messages", operation_id = "list_unrecognized", params(UnrecognizedQuery),
    security(("token" = [])),
    responses(
        (status = 200, description = "A page of parts", body = UnrecognizedList),
        (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    parts: Data<Parts>,
    caller: Caller,
    query: Query<UnrecognizedQuery>,
) -> Result<Json<UnrecognizedList>, Problem> {
    let actor = &caller.0;
    require(actor, Permission::ReadMessages)?;
    if query.reason.is_some() {
        // By trying reasons out, a number in one could be found.
        require(actor, Permission::ReadPersonal)?;
    }
    let limit = page_size(query.limit)?;
    let filter = KeptFilter { reason: query.reason.clone(), before: query.before, ..KeptFilter::default() };
    let found = parts.store.kept_parts(&filter, limit).await?;
    let next = found.last().filter(|_| found.len() == limit).map(|last| last.id);
    let snapshot = parts.directory.snapshot();
    let whole = actor.may(Permission::ReadPersonal);
    let shown = found.into_iter().map(|part| {
        let connection = snapshot.connection_by_key(part.connection);
        UnrecognizedPart {
            id: part.id,
            at: part.at.to_string(),
            kind: part.kind.as_str().to_owned(),
            connection: connection.map(|connection| connection.id.clone()),
            reason: masking::text(actor, &part.reason),
            entry: whole.then_some(part.entry),
        }
    });
    Ok(Json(UnrecognizedList { parts: shown.collect(), next }))
}
