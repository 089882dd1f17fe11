//! One person's data: what there is, all of it, and erasing it.

use actix_web::{
    HttpResponse,
    web::{Data, Json, Path},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Body, Caller, problem::Problem};
use crate::{
    http::{Parts, persons::file},
    services::person::{export::Section, requests::Counting},
    store::erasures::{Erasure, ErasureEnd},
};

/// Who is meant.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonQuery {
    /// The whole telephone number.
    #[schema(example = "+919876500001")]
    phone: String,
    /// Only what belongs to this account.
    #[schema(example = "acme")]
    account: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonFindRequest {
    /// The whole telephone number.
    #[schema(example = "+919876500001")]
    phone: String,
    /// Only what belongs to this account.
    #[schema(example = "acme")]
    account: Option<String>,
    /// `next` of the answer before: tables are gone through for about half a second and no longer.
    after: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonEraseRequest {
    /// The whole telephone number.
    #[schema(example = "+919876500001")]
    phone: String,
    /// The number once more: there is no way back.
    #[schema(example = "+919876500001")]
    confirm: String,
    /// Only what belongs to this account.
    #[schema(example = "acme")]
    account: Option<String>,
    /// Also send the person nothing any more, remembered by a hash alone.
    #[serde(default)]
    suppress: bool,
}

/// How much is stored, as far as it was looked through.
#[derive(Serialize, ToSchema)]
pub struct PersonCounts {
    #[schema(example = "+919876500001")]
    phone: String,
    suppressions: u64,
    ids: u64,
    files: u64,
    contacts: u64,
    inbound: u64,
    #[schema(example = 3)]
    messages: u64,
    refused_requests: u64,
    webhook_parts: u64,
    /// How much was looked through, in hundredths.
    #[schema(example = 100)]
    percent: u8,
    /// To go on, as `after`; the counts of the next answer have those of this one in them. None: these are all.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct ErasureList {
    erasures: Vec<ErasureEntry>,
}

/// An erasure. The number is nowhere kept but masked.
#[derive(Serialize, ToSchema)]
pub struct ErasureEntry {
    #[schema(example = 7)]
    id: i32,
    #[schema(example = "+919******001")]
    person: String,
    /// None: all accounts.
    account: Option<String>,
    #[schema(example = "asha")]
    actor: String,
    started_at: String,
    /// running, erased, stopped, or abandoned: the server that did it ended, and a running one goes on with it within seconds.
    #[schema(example = "erased")]
    state: String,
    /// From 0 to 1.
    #[schema(example = 1.0)]
    share: f64,
    /// Counts of what was erased.
    #[schema(value_type = Option<Object>)]
    erased: Option<serde_json::Value>,
    /// Why it stopped, and what to do.
    failure: Option<String>,
}

/// How much is stored about somebody.
#[utoipa::path(
    post, path = "/api/v1/persons/find", tag = "persons", operation_id = "find_person", request_body = PersonFindRequest, security(("token" = [])),
    responses(
        (status = 200, description = "What is stored, as far as it was looked through", body = PersonCounts),
        (status = 400, description = "The request cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope persons:manage", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn find(
    parts: Data<Parts>,
    caller: Caller,
    request: Body<PersonFindRequest>,
) -> Result<Json<PersonCounts>, Problem> {
    let who = (request.phone.as_str(), request.account.as_deref());
    let (phone, counting) = parts.persons.count(&caller.0, who, request.after.as_deref()).await?;
    Ok(Json(counts(phone.as_e164().to_owned(), &counting)))
}

/// All that is stored about somebody, as one JSON document; it may be long.
#[utoipa::path(
    post, path = "/api/v1/persons/export", tag = "persons", operation_id = "export_person", request_body = PersonQuery, security(("token" = [])),
    responses(
        (status = 200, description = "The document; it broke off when its end is missing", body = Object, content_type = "application/json"),
        (status = 400, description = "The request cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope persons:manage", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn export(parts: Data<Parts>, caller: Caller, request: Body<PersonQuery>) -> Result<HttpResponse, Problem> {
    let who = (request.phone.as_str(), request.account.as_deref());
    Ok(file(parts.persons.export(&caller.0, who).await?))
}

/// Erase what is stored about somebody. It is done behind the answer.
#[utoipa::path(
    post, path = "/api/v1/persons/erase", tag = "persons", operation_id = "erase_person", request_body = PersonEraseRequest, security(("token" = [])),
    responses(
        (status = 202, description = "It has begun", body = ErasureEntry),
        (status = 400, description = "The request cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope persons:manage", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Others are being erased", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used, or the number was not confirmed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn erase(
    parts: Data<Parts>,
    caller: Caller,
    request: Body<PersonEraseRequest>,
) -> Result<HttpResponse, Problem> {
    let who = (request.phone.as_str(), request.account.as_deref());
    let erased = parts.persons.erase(&caller.0, who, &request.confirm, request.suppress).await;
    let key = erased.map_err(|refusal| Problem::from(refusal).renamed("again", "confirm"))?;
    let erasure = parts.persons.erasure(&caller.0, key).await?;
    Ok(HttpResponse::Accepted().json(entry(erasure)))
}

/// Erasures of late.
#[utoipa::path(
    get, path = "/api/v1/persons/erasures", tag = "persons", operation_id = "list_erasures", security(("token" = [])),
    responses(
        (status = 200, description = "At most 50, the newest first", body = ErasureList),
        (status = 403, description = "Needs the scope persons:manage", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn erasures(parts: Data<Parts>, caller: Caller) -> Result<Json<ErasureList>, Problem> {
    let erasures = parts.persons.erasures(&caller.0).await?;
    Ok(Json(ErasureList { erasures: erasures.into_iter().map(entry).collect() }))
}

/// How far one is, and what came of it.
#[utoipa::path(
    get, path = "/api/v1/persons/erasures/{id}", tag = "persons", operation_id = "show_erasure", security(("token" = [])),
    params(("id" = i32, Path, description = "The erasure's number", example = 7)),
    responses(
        (status = 200, description = "The erasure", body = ErasureEntry),
        (status = 403, description = "Needs the scope persons:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such erasure", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn erasure(parts: Data<Parts>, caller: Caller, id: Path<i32>) -> Result<Json<ErasureEntry>, Problem> {
    Ok(Json(entry(parts.persons.erasure(&caller.0, *id).await?)))
}

fn counts(phone: String, counting: &Counting) -> PersonCounts {
    PersonCounts {
        phone,
        suppressions: counting.of(Section::Suppressions),
        ids: counting.of(Section::Ids),
        files: counting.of(Section::Files),
        contacts: counting.of(Section::Contacts),
        inbound: counting.of(Section::Inbound),
        messages: counting.of(Section::Messages),
        refused_requests: counting.of(Section::RefusedRequests),
        webhook_parts: counting.of(Section::WebhookParts),
        percent: counting.percent,
        next: (!counting.done).then(|| counting.state()),
    }
}

fn entry(erasure: Erasure) -> ErasureEntry {
    let state = match &erasure.end {
        Some(ErasureEnd::Done(_)) => "erased",
        Some(ErasureEnd::Stopped(_)) => "stopped",
        None if erasure.abandoned => "abandoned",
        None => "running",
    };
    let (erased, failure) = match erasure.end {
        Some(ErasureEnd::Done(counts)) => (Some(counts), None),
        Some(ErasureEnd::Stopped(why)) => (None, Some(why)),
        None => (None, None),
    };
    ErasureEntry {
        id: erasure.key,
        person: erasure.person,
        account: erasure.account,
        actor: erasure.actor,
        started_at: erasure.started_at.to_string(),
        state: state.to_owned(),
        share: erasure.share,
        erased,
        failure,
    }
}
