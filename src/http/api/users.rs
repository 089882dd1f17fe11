//! Who may sign in to the console.

use actix_web::{
    HttpResponse,
    web::{Data, Json, Path},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Body, Caller, problem::Problem};
use crate::{
    domain::operator::{Role, checked_name},
    http::Parts,
    store::operators::Operator,
};

#[derive(Serialize, ToSchema)]
pub struct UserList {
    users: Vec<User>,
}

#[derive(Serialize, ToSchema)]
pub struct User {
    #[schema(example = "asha")]
    name: String,
    /// owner, operator or read-only.
    #[schema(example = "operator")]
    role: String,
    disabled: bool,
    /// Whether they have chosen one by their link.
    has_password: bool,
    created_at: String,
    signed_in_at: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    #[schema(example = "asha", max_length = 64)]
    name: String,
    /// owner, operator or read-only.
    #[schema(example = "operator")]
    role: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// owner, operator or read-only; as it is when left out.
    #[schema(example = "read-only")]
    role: Option<String>,
    /// Whether they may sign in no more; as it is when left out.
    disabled: Option<bool>,
}

#[derive(Serialize, ToSchema)]
pub struct UserLink {
    #[schema(example = "asha")]
    name: String,
    /// Whoever opens it chooses the password. It works once, and is not shown again.
    #[schema(example = "https://whatsapp.example.com/console/welcome/…")]
    link: String,
}

#[derive(Serialize, ToSchema)]
pub struct SignedOut {
    /// Sessions that ended.
    #[schema(example = 2)]
    sessions: u64,
}

/// Users, by name.
#[utoipa::path(
    get, path = "/api/v1/users", tag = "users", operation_id = "list_users", security(("token" = [])),
    responses(
        (status = 200, description = "The users", body = UserList),
        (status = 403, description = "Needs the scope users:manage", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(parts: Data<Parts>, caller: Caller) -> Result<Json<UserList>, Problem> {
    let people = parts.operators.people(&caller.0).await?;
    Ok(Json(UserList { users: people.into_iter().map(user).collect() }))
}

/// Add a user, who chooses a password by the link in the answer. A token can give no role that can do more than itself.
#[utoipa::path(
    post, path = "/api/v1/users", tag = "users", operation_id = "add_user", security(("token" = [])), request_body = NewUser,
    responses(
        (status = 201, description = "Added", body = UserLink),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope users:manage, and all that the role may do", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn add(parts: Data<Parts>, caller: Caller, body: Body<NewUser>) -> Result<HttpResponse, Problem> {
    let role = known_role(&body.role)?;
    let link = parts.operators.add(&caller.0, &body.name, role).await?;
    let name = checked_name(&body.name).unwrap_or_default();
    Ok(HttpResponse::Created().json(UserLink { name, link }))
}

/// Change a user's role, or whether they may sign in.
#[utoipa::path(
    patch, path = "/api/v1/users/{name}", tag = "users", operation_id = "change_user", security(("token" = [])),
    params(("name" = String, Path, description = "The user", example = "asha")), request_body = UserChange,
    responses(
        (status = 200, description = "As they are now", body = User),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope users:manage, and all that the role may do", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such user", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Nobody would be left who can manage the others", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn change(
    parts: Data<Parts>,
    caller: Caller,
    name: Path<String>,
    body: Body<UserChange>,
) -> Result<Json<User>, Problem> {
    let role = body.role.as_deref().map(known_role).transpose()?;
    let changed = parts.operators.change(&caller.0, &name, role, body.disabled).await?;
    Ok(Json(user(changed)))
}

/// Take a user's password and sessions; they choose another by the link in the answer.
#[utoipa::path(
    post, path = "/api/v1/users/{name}/reset", tag = "users", operation_id = "reset_user", security(("token" = [])),
    params(("name" = String, Path, description = "The user", example = "asha")),
    responses(
        (status = 200, description = "The link", body = UserLink),
        (status = 403, description = "Needs the scope users:manage, and all that the user may do", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such user", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The user is disabled", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn reset(parts: Data<Parts>, caller: Caller, name: Path<String>) -> Result<Json<UserLink>, Problem> {
    let link = parts.operators.reset(&caller.0, &name).await?;
    Ok(Json(UserLink { name: name.into_inner(), link }))
}

/// End all sessions of a user.
#[utoipa::path(
    delete, path = "/api/v1/users/{name}/sessions", tag = "users", operation_id = "sign_out_user", security(("token" = [])),
    params(("name" = String, Path, description = "The user", example = "asha")),
    responses(
        (status = 200, description = "They are signed out everywhere", body = SignedOut),
        (status = 403, description = "Needs the scope users:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such user", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn sign_out(parts: Data<Parts>, caller: Caller, name: Path<String>) -> Result<Json<SignedOut>, Problem> {
    let sessions = parts.operators.sign_out_person(&caller.0, &name).await?;
    Ok(Json(SignedOut { sessions }))
}

fn known_role(word: &str) -> Result<Role, Problem> {
    Role::parse(word).ok_or_else(|| Problem::of_field("role", "role is one of owner, operator, read-only"))
}

fn user(operator: Operator) -> User {
    User {
        name: operator.name,
        role: operator.role.as_str().to_owned(),
        disabled: operator.disabled_at.is_some(),
        has_password: operator.password.is_some(),
        created_at: operator.created_at.to_string(),
        signed_in_at: operator.signed_in_at.map(|at| at.to_string()),
    }
}
