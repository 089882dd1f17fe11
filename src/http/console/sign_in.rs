//! Signing in, and the links by which somebody sets a password.

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{self, Data, Form},
};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, Guest, HOME, Trouble, asked::Query, frame::sentence, guard::session_cookie, page, page_as, see_other,
};
use crate::{
    domain::operator::checked_name,
    http::Parts,
    services::operators::{LinkFor, Refusal, SignedIn, check_password},
};

#[derive(Template)]
#[template(path = "console/sign_in.html")]
struct SignInPage {
    frame: Frame,
    wrong: Option<String>,
    /// Nobody can sign in yet.
    nobody: bool,
    next: String,
    name: String,
}

#[derive(Template)]
#[template(path = "console/welcome.html")]
struct WelcomePage {
    frame: Frame,
    /// The first owner, who chooses a name, too.
    first: bool,
    name: String,
    wrong_name: Option<String>,
    wrong_password: Option<String>,
}

#[derive(Default, Deserialize)]
pub(super) struct SignInQuery {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct SignInForm {
    name: String,
    password: String,
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct WelcomeForm {
    #[serde(default)]
    name: String,
    password: String,
}

/// `GET /console/sign-in`
pub(super) async fn form(
    request: HttpRequest,
    parts: Data<Parts>,
    query: Query<SignInQuery>,
) -> Result<HttpResponse, Trouble> {
    let nobody = parts.operators.nobody_is_there().await?;
    let frame = Frame::alone(&request, "Sign in");
    page(&SignInPage { frame, wrong: None, nobody, next: query.into_inner().next, name: String::new() })
}

/// `POST /console/sign-in`
pub(super) async fn sign_in(
    request: HttpRequest,
    parts: Data<Parts>,
    form: Form<SignInForm>,
) -> Result<HttpResponse, Trouble> {
    let SignInForm { name, password, next } = form.into_inner();
    let guest = Guest::of(&request, &parts);
    match parts.operators.sign_in(&name, &password, guest.address, &guest.agent).await {
        Ok(session) => Ok(begin(&parts, &session, &next)),
        Err(refusal @ (Refusal::WrongPassword | Refusal::TooManyTries { .. } | Refusal::Busy)) => {
            let frame = Frame::alone(&request, "Sign in");
            let shown = SignInPage { frame, wrong: Some(sentence(&refusal.to_string())), nobody: false, next, name };
            page_as(Trouble::from(refusal).status(), &shown)
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// `GET /console/welcome/{token}`: does not use the link up, because mail programs look at links, too.
pub(super) async fn welcome(
    request: HttpRequest,
    parts: Data<Parts>,
    token: web::Path<String>,
) -> Result<HttpResponse, Trouble> {
    let link = parts.operators.link_for(&token).await?;
    page(&welcome_page(&request, link, String::new()))
}

/// `POST /console/welcome/{token}`
pub(super) async fn use_link(
    request: HttpRequest,
    parts: Data<Parts>,
    token: web::Path<String>,
    form: Form<WelcomeForm>,
) -> Result<HttpResponse, Trouble> {
    let WelcomeForm { name, password } = form.into_inner();
    let guest = Guest::of(&request, &parts);
    match parts.operators.use_link(&token, (&name, &password), guest.address, &guest.agent).await {
        Ok(session) => Ok(begin(&parts, &session, "")),
        Err(Refusal::Invalid { field, text }) => {
            let link = parts.operators.link_for(&token).await?;
            // The service stops at the first; a person wants to hear of all.
            let wrong_name = checked_name(&name).err().filter(|_| link == LinkFor::FirstOwner);
            let wrong_password = check_password(&password, &name).err();
            let mut shown = WelcomePage {
                wrong_name: wrong_name.as_deref().map(sentence),
                wrong_password: wrong_password.as_deref().map(sentence),
                ..welcome_page(&request, link, name)
            };
            *(if field == "name" { &mut shown.wrong_name } else { &mut shown.wrong_password }) = Some(sentence(&text));
            page_as(StatusCode::UNPROCESSABLE_ENTITY, &shown)
        }
        Err(refusal) => Err(refusal.into()),
    }
}

fn welcome_page(request: &HttpRequest, link: LinkFor, entered: String) -> WelcomePage {
    let (first, name) = match link {
        LinkFor::FirstOwner => (true, entered),
        LinkFor::Person(name) => (false, name),
    };
    let frame = Frame::alone(request, if first { "Set up" } else { "Welcome" });
    WelcomePage { frame, first, name, wrong_name: None, wrong_password: None }
}

/// Goes on where somebody wanted to be, if that is a page of ours.
fn begin(parts: &Parts, session: &SignedIn, next: &str) -> HttpResponse {
    let mut answer = see_other(if is_page(next) { next } else { HOME });
    let (name, value) = session_cookie(parts, &session.token);
    if let Ok(value) = value.parse() {
        answer.headers_mut().insert(name, value);
    }
    answer
}

/// Nobody must be led elsewhere by a link to our form.
pub(super) fn is_page(next: &str) -> bool {
    next.starts_with("/console/")
        && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        && !next.contains("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_signing_in_nobody_is_led_to_another_site() {
        assert!(is_page("/console/messages?q=%2B919876500001"));
        for bad in [
            "",
            "//evil.example/",
            "https://evil.example/console/",
            "/console//evil",
            "/console/\\evil",
            "/console/\r\nx",
        ] {
            assert!(!is_page(bad), "{bad:?}");
        }
    }
}
