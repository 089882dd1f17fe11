//! Tokens for this API.

use std::time::Duration;

use actix_web::{
    HttpResponse,
    web::{Data, Json, Path},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Body, Caller, problem::Problem};
use crate::{
    domain::operator::{Permission, Permissions},
    http::Parts,
    store::tokens::ApiToken,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Serialize, ToSchema)]
pub struct TokenList {
    tokens: Vec<Token>,
}

#[derive(Serialize, ToSchema)]
pub struct Token {
    #[schema(example = 3)]
    id: i32,
    #[schema(example = "nightly report")]
    name: String,
    /// Its last characters.
    #[schema(example = "x7Qk")]
    ending: String,
    /// messages:read, personal:read, messages:resend, queues:manage, callbacks:replay, configuration:manage, audit:read, users:manage.
    scopes: Vec<String>,
    created_at: String,
    #[schema(example = "asha")]
    created_by: String,
    expires_at: String,
    used_at: Option<String>,
    revoked_at: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// What it is for.
    #[schema(example = "nightly report", max_length = 64)]
    name: String,
    /// None that the calling token does not have itself.
    #[schema(example = json!(["messages:read"]))]
    scopes: Vec<String>,
    /// It ends after so many days; console.token_max is the most.
    #[schema(example = 30, minimum = 1)]
    days: u32,
}

#[derive(Serialize, ToSchema)]
pub struct MadeToken {
    /// Shown this once.
    #[schema(example = "wab_…")]
    secret: String,
    token: Token,
}

/// Tokens, the newest first; those that ended, too.
#[utoipa::path(
    get, path = "/api/v1/tokens", tag = "users", operation_id = "list_tokens", security(("token" = [])),
    responses(
        (status = 200, description = "The tokens, without themselves", body = TokenList),
        (status = 403, description = "Needs the scope users:manage", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(parts: Data<Parts>, caller: Caller) -> Result<Json<TokenList>, Problem> {
    let tokens = parts.operators.tokens(&caller.0).await?;
    Ok(Json(TokenList { tokens: tokens.into_iter().map(token).collect() }))
}

/// Make a token. It is in the answer, and nowhere else.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "users", operation_id = "make_token", security(("token" = [])), request_body = TokenRequest,
    responses(
        (status = 201, description = "The token", body = MadeToken),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope users:manage", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "There are too many tokens", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn make(parts: Data<Parts>, caller: Caller, body: Body<TokenRequest>) -> Result<HttpResponse, Problem> {
    let known = |(place, word): (usize, &String)| {
        let names = || Permission::ALL.map(Permission::as_str).join(", ");
        let unknown = || Problem::of_field(&format!("scopes[{place}]"), format!("scopes are of {}", names()));
        Permission::parse(word).ok_or_else(unknown)
    };
    let scopes = body.scopes.iter().enumerate().map(known).collect::<Result<Vec<_>, _>>()?;
    let lives = DAY.checked_mul(body.days).unwrap_or(Duration::MAX);
    let made = parts.operators.make_token(&caller.0, &body.name, Permissions::of(scopes), lives).await?;
    Ok(HttpResponse::Created().json(MadeToken { secret: made.secret, token: token(made.token) }))
}

/// Take a token back: it opens nothing from now on.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{id}", tag = "users", operation_id = "revoke_token", security(("token" = [])),
    params(("id" = i32, Path, description = "Of the list", example = 3)),
    responses(
        (status = 204, description = "It is taken back"),
        (status = 403, description = "Needs the scope users:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none, or it was taken back already", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn revoke(parts: Data<Parts>, caller: Caller, key: Path<i32>) -> Result<HttpResponse, Problem> {
    parts.operators.revoke_token(&caller.0, *key).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn token(token: ApiToken) -> Token {
    Token {
        id: token.key,
        scopes: token.scopes.0.iter().map(|scope| scope.as_str().to_owned()).collect(),
        created_at: token.created_at.to_string(),
        expires_at: token.expires_at.to_string(),
        used_at: token.used_at.map(|at| at.to_string()),
        revoked_at: token.revoked_at.map(|at| at.to_string()),
        name: token.name,
        ending: token.ending,
        created_by: token.created_by,
    }
}
