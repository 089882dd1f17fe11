//! The visitor's own affairs: password, sessions, signing out.

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Data, Form},
};
use askama::Template;
use serde::Deserialize;

use super::{Frame, Guest, Trouble, Visitor, frame::long_time, guard::session_cookie, page, page_as, see_other};
use crate::{http::Parts, services::operators::Refusal};

#[derive(Template)]
#[template(path = "console/account.html")]
struct Page {
    frame: Frame,
    sessions: Vec<Session>,
    wrong: Option<String>,
}

struct Session {
    agent: String,
    address: String,
    here: bool,
    created: String,
    seen: String,
}

#[derive(Deserialize)]
pub(super) struct PasswordForm {
    current: String,
    new: String,
}

/// `GET /console/account`
pub(super) async fn show(request: HttpRequest, parts: Data<Parts>, visitor: Visitor) -> Result<HttpResponse, Trouble> {
    page(&account_page(&request, &parts, &visitor, None).await?)
}

/// `POST /console/account/password`
pub(super) async fn change_password(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    form: Form<PasswordForm>,
) -> Result<HttpResponse, Trouble> {
    let agent = Guest::of(&request, &parts).agent;
    match parts.operators.change_own_password(&visitor, &form.current, &form.new, &agent).await {
        Ok(session) => Ok(with_cookie(&parts, &session.token, "/console/account?done=password")),
        Err(refusal @ (Refusal::Invalid { .. } | Refusal::TooManyTries { .. })) => {
            let shown = account_page(&request, &parts, &visitor, Some(refusal.to_string())).await?;
            page_as(StatusCode::UNPROCESSABLE_ENTITY, &shown)
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// `POST /console/sign-out`
pub(super) async fn sign_out(parts: Data<Parts>, visitor: Visitor) -> Result<HttpResponse, Trouble> {
    parts.operators.sign_out(&visitor).await?;
    Ok(with_cookie(&parts, "", "/console/sign-in"))
}

/// `POST /console/account/sign-out`
pub(super) async fn sign_out_everywhere(parts: Data<Parts>, visitor: Visitor) -> Result<HttpResponse, Trouble> {
    parts.operators.sign_out_everywhere(&visitor).await?;
    Ok(with_cookie(&parts, "", "/console/sign-in"))
}

fn with_cookie(parts: &Parts, token: &str, location: &str) -> HttpResponse {
    let mut answer = see_other(location);
    let (name, value) = session_cookie(parts, token);
    if let Ok(value) = value.parse() {
        answer.headers_mut().insert(name, value);
    }
    answer
}

async fn account_page(
    request: &HttpRequest,
    parts: &Parts,
    visitor: &Visitor,
    wrong: Option<String>,
) -> Result<Page, Trouble> {
    let sessions = parts.operators.sessions_of(visitor).await?;
    let sessions = sessions.into_iter().map(|session| Session {
        here: visitor.is_here(&session),
        created: long_time(session.created_at),
        seen: long_time(session.seen_at),
        agent: session.agent,
        address: session.address,
    });
    let frame = Frame::new(request, visitor, visitor.name.clone(), "/console/account");
    Ok(Page { frame, sessions: sessions.collect(), wrong })
}
