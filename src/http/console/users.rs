//! Who may sign in.

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{self, Bytes, Data, Form},
};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, Trouble, Visitor,
    asked::NoQuery,
    fields::{Entered, Filled},
    form_parts::outcome,
    frame::{long_time, sentence},
    page, page_as, see_other,
    shown::once,
};
use crate::{domain::operator::Role, http::Parts, services::operators::Refusal, store::operators::Operator};

#[derive(Template)]
#[template(path = "console/users.html")]
struct Page {
    frame: Frame,
    people: Vec<Person>,
    roles: [&'static str; 3],
    link: Option<Link>,
    /// Of somebody new.
    filled: Filled,
    role: &'static str,
}

struct Person {
    name: String,
    role: &'static str,
    is_me: bool,
    disabled: bool,
    invited: bool,
    signed_in: String,
    /// Why they were not changed.
    wrong: Option<String>,
}

struct Link {
    name: String,
    url: String,
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
    body: Bytes,
) -> Result<HttpResponse, Trouble> {
    let entered = Entered::read(&body);
    let (name, role) = (entered.text("name").to_owned(), known_role(entered.text("role"))?);
    let added = parts.operators.add(&visitor.actor, &name, role).await;
    match outcome(added, None, entered)? {
        Ok(url) => tell(&request, &parts, &visitor, Link { name, url }).await,
        Err(filled) => {
            let shown = Page { role: role.as_str(), filled, ..users_page(&request, &parts, &visitor).await? };
            page_as(StatusCode::UNPROCESSABLE_ENTITY, &shown)
        }
    }
}

/// `POST /console/users/{name}/reset`
pub(super) async fn reset(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    name: web::Path<String>,
) -> Result<HttpResponse, Trouble> {
    match parts.operators.reset(&visitor.actor, &name).await {
        Ok(url) => tell(&request, &parts, &visitor, Link { name: name.into_inner(), url }).await,
        Err(refusal) => not_changed(&request, &parts, &visitor, &name, refusal).await,
    }
}

/// `POST /console/users/{name}/role`
pub(super) async fn change_role(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    name: web::Path<String>,
    form: Form<RoleForm>,
) -> Result<HttpResponse, Trouble> {
    match parts.operators.change(&visitor.actor, &name, Some(known_role(&form.role)?), None).await {
        Ok(_) => Ok(see_other(&format!("{PATH}?done=role"))),
        Err(refusal) => not_changed(&request, &parts, &visitor, &name, refusal).await,
    }
}

/// `POST /console/users/{name}/disable`
pub(super) async fn disable(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    name: web::Path<String>,
) -> Result<HttpResponse, Trouble> {
    match parts.operators.change(&visitor.actor, &name, None, Some(true)).await {
        Ok(_) => Ok(see_other(&format!("{PATH}?done=disabled"))),
        Err(refusal) => not_changed(&request, &parts, &visitor, &name, refusal).await,
    }
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

/// What does not fit to how things stand is told at the person; anything else is a page of its own.
async fn not_changed(
    request: &HttpRequest,
    parts: &Parts,
    visitor: &Visitor,
    name: &str,
    refusal: Refusal,
) -> Result<HttpResponse, Trouble> {
    let Refusal::Conflict(why) = refusal else { return Err(refusal.into()) };
    let mut shown = users_page(request, parts, visitor).await?;
    if let Some(person) = shown.people.iter_mut().find(|person| person.name == name) {
        person.wrong = Some(sentence(&why));
    }
    page_as(StatusCode::CONFLICT, &shown)
}

/// A link is nowhere to be had again.
async fn tell(request: &HttpRequest, parts: &Parts, visitor: &Visitor, link: Link) -> Result<HttpResponse, Trouble> {
    let shown = Page { link: Some(link), ..users_page(request, parts, visitor).await? };
    once(parts, visitor, &shown, PATH).await
}

async fn users_page(request: &HttpRequest, parts: &Parts, visitor: &Visitor) -> Result<Page, Trouble> {
    let people = parts.operators.people(&visitor.actor).await?;
    let people = people.into_iter().map(|operator| person(visitor, operator)).collect();
    let frame = Frame::new(request, visitor, "Users", PATH);
    let roles = Role::ALL.map(Role::as_str);
    Ok(Page { frame, people, roles, link: None, filled: Filled::default(), role: Role::Operator.as_str() })
}

fn person(visitor: &Visitor, operator: Operator) -> Person {
    Person {
        is_me: operator.name == visitor.name,
        role: operator.role.as_str(),
        disabled: operator.disabled_at.is_some(),
        invited: operator.password.is_none() && operator.disabled_at.is_none(),
        signed_in: operator.signed_in_at.map_or_else(|| "never".to_owned(), long_time),
        name: operator.name,
        wrong: None,
    }
}

fn known_role(word: &str) -> Result<Role, Refusal> {
    let unknown =
        || Refusal::Invalid { field: "role", text: format!("{word} is no role: owner, operator or read-only") };
    Role::parse(word).ok_or_else(unknown)
}
