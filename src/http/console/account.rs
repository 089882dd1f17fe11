//! The visitor's own affairs: password, sessions, signing out.

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Data, Form},
};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, Guest, Trouble, Visitor,
    fields::{Entered, Filled},
    form_parts::outcome,
    frame::long_time,
    guard::session_cookie,
    page, page_as, see_other,
};
use crate::http::Parts;

#[derive(Template)]
#[template(path = "console/account.html")]
struct Page {
    frame: Frame,
    sessions: Vec<Session>,
    /// Of the passwords, which are not shown again.
    filled: Filled,
}

struct Session {
    agent: String,
    /// As it calls itself.
    whole_agent: String,
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
    page(&account_page(&request, &parts, &visitor, Filled::default()).await?)
}

/// `POST /console/account/password`
pub(super) async fn change_password(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    form: Form<PasswordForm>,
) -> Result<HttpResponse, Trouble> {
    let agent = Guest::of(&request, &parts).agent;
    let changed = parts.operators.change_own_password(&visitor, &form.current, &form.new, &agent).await;
    match outcome(changed, None, Entered::default())? {
        Ok(session) => Ok(with_cookie(&parts, &session.token, "/console/account?done=password")),
        Err(filled) => {
            page_as(StatusCode::UNPROCESSABLE_ENTITY, &account_page(&request, &parts, &visitor, filled).await?)
        }
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
    filled: Filled,
) -> Result<Page, Trouble> {
    let sessions = parts.operators.sessions_of(visitor).await?;
    let sessions = sessions.into_iter().map(|session| Session {
        here: visitor.is_here(&session),
        created: long_time(session.created_at),
        seen: long_time(session.seen_at),
        agent: browser_name(&session.agent),
        whole_agent: session.agent,
        address: session.address,
    });
    let frame = Frame::new(request, visitor, visitor.name.clone(), "/console/account");
    Ok(Page { frame, sessions: sessions.collect(), filled })
}

/// `Firefox on Windows`: what people call it. Browsers claim to be each other, so the order matters.
fn browser_name(agent: &str) -> String {
    let named =
        |names: &[(&str, &'static str)]| names.iter().find(|(sign, _)| agent.contains(sign)).map(|(_, name)| *name);
    let browser = named(&[
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("CriOS/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    let system = named(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, _) => agent.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_called_what_people_call_them() {
        let edge = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36 Edg/140.0";
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile/15E148 Safari/604.1";
        assert_eq!([edge, phone, "curl/8.1"].map(browser_name), ["Edge on Windows", "Safari on iPhone", "curl/8.1"]);
    }
}
