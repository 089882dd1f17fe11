//! Connections: how each stands, stopping one and letting it go on, adding, changing and removing one.

use std::collections::BTreeMap;

use actix_web::{
    HttpResponse,
    web::{Data, Json, Path},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    Body, Caller,
    problem::Problem,
    senders::{Sender, sender},
};
use crate::{
    domain::{account::Hold, operator::Actor},
    http::Parts,
    providers,
    services::{
        configure::{Configuring, Kind, Patch, Subject},
        connections::{ConnectionStanding, TokenState},
        masking, removal,
    },
    store::{alarms::AlarmRecord, configuration::Configuration},
};

#[derive(Serialize, ToSchema)]
pub struct ConnectionList {
    connections: Vec<Connection>,
}

/// A set of credentials at a provider, and how it stands.
#[derive(Serialize, ToSchema)]
pub struct Connection {
    #[schema(example = "meta-main")]
    id: String,
    #[schema(example = "meta")]
    provider: String,
    hold: Option<HoldAnswer>,
    token: AccessToken,
    /// Where the provider is to send webhooks.
    #[schema(example = "https://whatsapp.example.com/webhooks/meta/meta-main")]
    webhook_url: String,
    /// When the newest status came for one of its numbers, of those within a day.
    heard_at: Option<String>,
    /// What is wrong with it now.
    alarms: Vec<String>,
    /// By the names of the apply file.
    #[schema(example = json!({"base_url": "https://graph.facebook.com", "api_version": "v26.0"}))]
    settings: BTreeMap<String, String>,
    /// How many values of each are valid now. They are never shown.
    #[schema(example = json!({"access_token": 1, "app_secret": 1, "verify_token": 1}))]
    secrets: BTreeMap<String, usize>,
    senders: Vec<Sender>,
    /// To be given with a change, so that nobody else's is overwritten. None of what was taken away meanwhile.
    #[schema(example = "0f2c9a4be18d73560f2c9a4b")]
    version: Option<String>,
}

/// What a connection is given: keys and values as in the apply file. Secrets are written and never read; a list of them is valid
/// at the same time, the first is used.
#[derive(Deserialize, ToSchema)]
#[schema(value_type = Object)]
pub struct NewConnection(Patch);

/// What shall be different: keys and values as in the apply file, `null` for the default; what is not named stays. With the
/// `version` that was seen, a change that somebody else made meanwhile is not overwritten.
#[derive(Deserialize, ToSchema)]
#[schema(value_type = Object)]
pub struct ConnectionChange(Patch);

/// Takes the version out of what shall be different.
pub(super) fn version_of(patch: &mut Patch) -> Result<Option<String>, Problem> {
    match patch.remove("version") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(version)) => Ok(Some(version)),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(Problem::of_field("version", "must be a text, as it was given"))
        }
    }
}

/// Why nothing is sent, since when, who stopped it, and what ends that.
#[derive(Serialize, ToSchema)]
pub struct HoldAnswer {
    since: String,
    #[schema(example = "quality is yellow")]
    reason: String,
    /// operator: a person or program put it on hold; provider: an answer of the provider did.
    #[schema(example = "operator")]
    source: &'static str,
    /// Who it was, as the audit log names them; none when the provider's answer did it.
    #[schema(example = "asha")]
    by: Option<String>,
    #[schema(example = "it goes on when somebody releases it; nothing needs to be mended at the provider")]
    ended_by: &'static str,
}

impl HoldAnswer {
    pub(super) fn of(actor: &Actor, hold: Option<&Hold>) -> Option<Self> {
        hold.map(|hold| Self {
            since: hold.since.to_string(),
            reason: masking::text(actor, &hold.reason),
            source: if hold.by.is_some() { "operator" } else { "provider" },
            by: hold.by.clone(),
            ended_by: hold.ended_by(),
        })
    }
}

/// Whether the provider takes the access token, as far as that was seen.
#[derive(Serialize, ToSchema)]
pub struct AccessToken {
    /// taken, refused, or unknown: nothing was asked yet.
    #[schema(example = "taken")]
    state: &'static str,
    at: Option<String>,
    /// What the provider said when it refused.
    reason: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldReason {
    /// For those who look at it later, and for the audit log.
    #[schema(example = "quality is yellow", min_length = 1, max_length = 200)]
    pub(super) reason: String,
}

#[derive(Serialize, ToSchema)]
pub struct HeldNow {
    /// Something changed; false: it was on hold for this reason already.
    #[schema(example = true)]
    pub(super) held: bool,
}

#[derive(Serialize, ToSchema)]
pub struct ReleasedNow {
    /// Something was on hold.
    #[schema(example = true)]
    pub(super) released: bool,
}

/// Connections with their numbers, and how they stand.
#[utoipa::path(
    get, path = "/api/v1/connections", tag = "connections", operation_id = "list_connections", security(("token" = [])),
    responses(
        (status = 200, description = "The connections, by id", body = ConnectionList),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(parts: Data<Parts>, caller: Caller) -> Result<Json<ConnectionList>, Problem> {
    let standing = parts.connections.list(&caller.0).await?;
    let versions = Versions::read(&parts, &caller.0).await?;
    Ok(Json(ConnectionList { connections: standing.iter().map(|one| connection(&caller.0, one, &versions)).collect() }))
}

/// Add a connection. Then give its webhook URL and verify token to the provider.
#[utoipa::path(
    post, path = "/api/v1/connections", tag = "connections", operation_id = "add_connection", security(("token" = [])),
    request_body(content = NewConnection, example = json!({
        "id": "meta-main", "provider": "meta", "access_token": "EAAG…", "app_secret": "0123…", "verify_token": "choose-one"
    })),
    responses(
        (status = 201, description = "Added", body = Connection),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope configuration:manage", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields must be changed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn add(parts: Data<Parts>, caller: Caller, body: Body<NewConnection>) -> Result<HttpResponse, Problem> {
    let written = parts.configuring.add(&caller.0, Kind::Connection, &body.0).await?;
    Ok(HttpResponse::Created().json(answer(&parts, &caller.0, written.seen.text("id")).await?))
}

/// Change a connection. A hold stays until it is released.
#[utoipa::path(
    patch, path = "/api/v1/connections/{id}", tag = "connections", operation_id = "change_connection", security(("token" = [])),
    params(("id" = String, Path, description = "The connection", example = "meta-main")),
    request_body(content = ConnectionChange, example = json!({
        "access_token": ["EAAG…", "EAAB…"], "version": "0f2c9a4be18d73560f2c9a4b"
    })),
    responses(
        (status = 200, description = "As it is now", body = Connection),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope configuration:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such connection", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Somebody else changed it meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields must be changed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn change(
    parts: Data<Parts>,
    caller: Caller,
    id: Path<String>,
    body: Body<ConnectionChange>,
) -> Result<Json<Connection>, Problem> {
    let mut patch = body.into_inner().0;
    let version = version_of(&mut patch)?;
    let subject = Subject::Connection(id.clone());
    parts.configuring.change(&caller.0, &subject, &patch, version.as_deref()).await?;
    Ok(Json(answer(&parts, &caller.0, &id).await?))
}

/// One connection with its numbers, and how it stands.
#[utoipa::path(
    get, path = "/api/v1/connections/{id}", tag = "connections", operation_id = "show_connection", security(("token" = [])),
    params(("id" = String, Path, description = "The connection", example = "meta-main")),
    responses(
        (status = 200, description = "The connection", body = Connection),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such connection", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn show(parts: Data<Parts>, caller: Caller, id: Path<String>) -> Result<Json<Connection>, Problem> {
    Ok(Json(answer(&parts, &caller.0, &id).await?))
}

/// Stop sending through a connection. Messages are still accepted, and wait until it is released or they expire.
#[utoipa::path(
    post, path = "/api/v1/connections/{id}/hold", tag = "connections", operation_id = "hold_connection", security(("token" = [])),
    params(("id" = String, Path, description = "The connection", example = "meta-main")), request_body = HoldReason,
    responses(
        (status = 200, description = "It is on hold", body = HeldNow),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope queues:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such connection", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The reason cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn hold(
    parts: Data<Parts>,
    caller: Caller,
    id: Path<String>,
    body: Body<HoldReason>,
) -> Result<Json<HeldNow>, Problem> {
    let held = parts.connections.hold_connection(&caller.0, &id, &body.reason).await?;
    Ok(Json(HeldNow { held }))
}

/// Let a connection and all its numbers go on.
#[utoipa::path(
    post, path = "/api/v1/connections/{id}/release", tag = "connections", operation_id = "release_connection", security(("token" = [])),
    params(("id" = String, Path, description = "The connection", example = "meta-main")),
    responses(
        (status = 200, description = "Nothing holds it any more", body = ReleasedNow),
        (status = 403, description = "Needs the scope queues:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such connection", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn release(parts: Data<Parts>, caller: Caller, id: Path<String>) -> Result<Json<ReleasedNow>, Problem> {
    let released = parts.connections.release_connection(&caller.0, &id).await?;
    Ok(Json(ReleasedNow { released }))
}

/// Remove a connection that no number needs any more. Its secrets are deleted; webhooks that still come for it are answered as those of
/// a connection that never was.
#[utoipa::path(
    delete, path = "/api/v1/connections/{id}", tag = "connections", operation_id = "remove_connection", security(("token" = [])),
    params(("id" = String, Path, description = "The connection", example = "meta-main")),
    responses(
        (status = 204, description = "It is removed"),
        (status = 403, description = "Needs the scope configuration:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such connection", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Numbers still need it; they are named", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn remove(parts: Data<Parts>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    let subject = Subject::Connection(id.into_inner());
    removal::remove(&parts.store, &parts.directory, &caller.0, &subject).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn answer(parts: &Parts, actor: &Actor, id: &str) -> Result<Connection, Problem> {
    let standing = parts.connections.one(actor, id).await?;
    Ok(connection(actor, &standing, &Versions::read(parts, actor).await?))
}

/// By which changes of connections and numbers are told from each other.
pub(super) struct Versions<'a> {
    configuring: &'a Configuring,
    stored: Configuration,
}

impl<'a> Versions<'a> {
    pub(super) async fn read(parts: &'a Parts, actor: &Actor) -> Result<Self, Problem> {
        Ok(Self { configuring: &parts.configuring, stored: parts.configuring.stored(actor).await? })
    }

    pub(super) fn of(&self, subject: &Subject) -> Option<String> {
        self.configuring.seen_in(&self.stored, subject).map(|seen| seen.version)
    }
}

fn connection(actor: &Actor, standing: &ConnectionStanding, versions: &Versions<'_>) -> Connection {
    let connection = &standing.connection;
    let fields = providers::find(&connection.provider).map_or(&[][..], |provider| provider.settings());
    let settings = fields.iter().filter(|field| !field.secret);
    let secrets = fields.iter().filter(|field| field.secret);
    Connection {
        id: connection.id.clone(),
        provider: connection.provider.clone(),
        hold: HoldAnswer::of(actor, connection.hold.as_ref()),
        token: token(actor, &standing.token),
        webhook_url: standing.webhook_url.clone(),
        heard_at: standing.heard_at.map(|at| at.to_string()),
        alarms: alarm_texts(actor, &standing.alarms),
        settings: settings.map(|field| (field.name.to_owned(), connection.setting(field.name).to_owned())).collect(),
        secrets: secrets.map(|field| (field.name.to_owned(), connection.secrets(field.name).len())).collect(),
        senders: standing.numbers.iter().map(|number| sender(actor, number, versions)).collect(),
        version: versions.of(&Subject::Connection(connection.id.clone())),
    }
}

pub(super) fn alarm_texts(actor: &Actor, alarms: &[AlarmRecord]) -> Vec<String> {
    alarms.iter().map(|alarm| masking::text(actor, &alarm.text)).collect()
}

fn token(actor: &Actor, state: &TokenState) -> AccessToken {
    match state {
        TokenState::Unknown => AccessToken { state: "unknown", at: None, reason: None },
        TokenState::Taken(at) => AccessToken { state: "taken", at: Some(at.to_string()), reason: None },
        TokenState::Refused(at, why) => {
            AccessToken { state: "refused", at: Some(at.to_string()), reason: Some(masking::text(actor, why)) }
        }
    }
}
