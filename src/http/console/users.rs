//! Who may sign in.

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{self, Data, Form},
};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, Trouble, Visitor,
    asked::NoQuery,
    frame::{long_time, sentence},
    page, page_as, see_other,
};
use crate::{domain::operator::Role, http::Parts, services::operators::Refusal, store::operators::Operator};

#[derive(Template)]
#[template(path = "console/users.html")]
struct Page {
    frame: Frame,
    people: Vec<Person>,
    roles: [&'static str; 3],
    link: Option<Link>,
    wrong: Option<String>,
    entered: String,
}

struct Person {
    name: String,
    role: &'static str,
    is_me: bool,
    disabled: bool,
    invited: bool,
    signed_in: String,
}

struct Link {
    name: String,
    url: String,
}

#[derive(Deserialize)]
pub(super) struct AddForm {
    name: String,
    role: String,
}

#[derive(Deserialize)]
pub(super) struct RoleForm {
    role: String,
}

const PATH: &str = "/console/users";

/// `GET /console/users`
pub(super) async fn list(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    _: NoQuery,
) -> Result<HttpResponse, Trouble> {
    page(&users_page(&request, &parts, &visitor).await?)
}

/// `POST /console/users`
pub(super) async fn add(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    form: Form<AddForm>,
) -> Result<HttpResponse, Trouble> {
    let AddForm { name, role } = form.into_inner();
    let added = parts.operators.add(&visitor.actor, &name, known_role(&role)?).await;
    tell(&request, &parts, &visitor, name, added).await
}

/// `POST /console/users/{name}/reset`
pub(super) async fn reset(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    name: web::Path<String>,
) -> Result<HttpResponse, Trouble> {
    let link = parts.operators.reset(&visitor.actor, &name).await;
    tell(&request, &parts, &visitor, name.into_inner(), link).await
}

/// `POST /console/users/{name}/role`
pub(super) async fn change_role(
    parts: Data<Parts>,
    visitor: Visitor,
    name: web::Path<String>,
    form: Form<RoleForm>,
) -> Result<HttpResponse, Trouble> {
    parts.operators.change(&visitor.actor, &name, Some(known_role(&form.role)?), None).await?;
    Ok(see_other(&format!("{PATH}?done=role")))
}

/// `POST /console/users/{name}/disable`
pub(super) async fn disable(
    parts: Data<Parts>,
    visitor: Visitor,
    name: web::Path<String>,
) -> Result<HttpResponse, Trouble> {
    parts.operators.change(&visitor.actor, &name, None, Some(true)).await?;
    Ok(see_other(&format!("{PATH}?done=disabled")))
}

/// `POST /console/users/{name}/enable`
pub(super) async fn enable(
    parts: Data<Parts>,
    visitor: Visitor,
    name: web::Path<String>,
) -> Result<HttpResponse, Trouble> {
    parts.operators.change(&visitor.actor, &name, None, Some(false)).await?;
    Ok(see_other(&format!("{PATH}?done=enabled")))
}

/// `POST /console/users/{name}/sign-out`
pub(super) async fn sign_out(
    parts: Data<Parts>,
    visitor: Visitor,
    name: web::Path<String>,
) -> Result<HttpResponse, Trouble> {
    parts.operators.sign_out_person(&visitor.actor, &name).await?;
    Ok(see_other(&format!("{PATH}?done=signed-out")))
}

/// A link is shown in the answer itself: it is nowhere to be had again.
async fn tell(
    request: &HttpRequest,
    parts: &Parts,
    visitor: &Visitor,
    name: String,
    link: Result<String, Refusal>,
) -> Result<HttpResponse, Trouble> {
    let (link, wrong) = match link {
        Ok(url) => (Some(Link { name: name.clone(), url }), None),
        Err(Refusal::Invalid { text, .. }) => (None, Some(sentence(&text))),
        Err(refusal) => return Err(refusal.into()),
    };
    let (status, entered) =
        if wrong.is_some() { (StatusCode::UNPROCESSABLE_ENTITY, name) } else { (StatusCode::OK, String::new()) };
    page_as(status, &Page { link, wrong, entered, ..users_page(request, parts, visitor).await? })
}

async fn users_page(request: &HttpRequest, parts: &Parts, visitor: &Visitor) -> Result<Page, Trouble> {
    let people = parts.operators.people(&visitor.actor).await?;
    let people = people.into_iter().map(|operator| person(visitor, operator)).collect();
    let frame = Frame::new(request, visitor, "Users", PATH);
    let roles = Role::ALL.map(Role::as_str);
    Ok(Page { frame, people, roles, link: None, wrong: None, entered: String::new() })
}

fn person(visitor: &Visitor, operator: Operator) -> Person {
    Person {
        is_me: operator.name == visitor.name,
        role: operator.role.as_str(),
        disabled: operator.disabled_at.is_some(),
        invited: operator.password.is_none() && operator.disabled_at.is_none(),
        signed_in: operator.signed_in_at.map_or_else(|| "never".to_owned(), long_time),
        name: operator.name,
    }
}

fn known_role(word: &str) -> Result<Role, Refusal> {
    let unknown =
        || Refusal::Invalid { field: "role", text: format!("{word} is no role: owner, operator or read-only") };
    Role::parse(word).ok_or_else(unknown)
}
