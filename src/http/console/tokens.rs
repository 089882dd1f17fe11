//! Tokens of programs that call the API.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{self, Bytes, Data},
};
use askama::Template;
use url::form_urlencoded;

use super::{
    Frame, Trouble, Visitor,
    asked::NoQuery,
    frame::{long_time, sentence},
    page, page_as, see_other,
};
use crate::{
    clock,
    domain::operator::{Permission, Permissions},
    http::Parts,
    services::operators::Refusal,
    store::tokens::ApiToken,
};

#[derive(Template)]
#[template(path = "console/tokens.html")]
struct Page {
    frame: Frame,
    tokens: Vec<Token>,
    scopes: Vec<Scope>,
    secret: Option<String>,
    wrong: Option<String>,
    entered: String,
}

struct Token {
    key: i32,
    name: String,
    ending: String,
    created_by: String,
    created: String,
    scopes: Vec<&'static str>,
    used: String,
    expires: String,
    /// How it ended.
    ended: Option<&'static str>,
}

struct Scope {
    word: &'static str,
    meaning: &'static str,
}

const PATH: &str = "/console/tokens";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// `GET /console/tokens`
pub(super) async fn list(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    _: NoQuery,
) -> Result<HttpResponse, Trouble> {
    page(&tokens_page(&request, &parts, &visitor).await?)
}

/// `POST /console/tokens`: the token is in the answer itself, because it is nowhere to be had again.
pub(super) async fn make(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    form: Bytes,
) -> Result<HttpResponse, Trouble> {
    // A field for each scope that was ticked, all of one name: a form of fixed fields has no place for them.
    let fields: Vec<(String, String)> = form_urlencoded::parse(&form).into_owned().collect();
    let field = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let scopes = fields.iter().filter(|(name, _)| name == "scope").filter_map(|(_, word)| Permission::parse(word));
    let name = field("name").unwrap_or_default();
    let days: u32 = field("days").and_then(|days| days.parse().ok()).unwrap_or(0);
    let lives = DAY.checked_mul(days).unwrap_or(Duration::MAX);
    let made = parts.operators.make_token(&visitor.actor, name, Permissions::of(scopes), lives).await;
    let (secret, wrong) = match made {
        Ok(made) => (Some(made.secret), None),
        Err(Refusal::Invalid { text, .. }) => (None, Some(sentence(&text))),
        Err(refusal) => return Err(refusal.into()),
    };
    let (status, entered) = if wrong.is_some() {
        (StatusCode::UNPROCESSABLE_ENTITY, name.to_owned())
    } else {
        (StatusCode::OK, String::new())
    };
    page_as(status, &Page { secret, wrong, entered, ..tokens_page(&request, &parts, &visitor).await? })
}

/// `POST /console/tokens/{key}/revoke`
pub(super) async fn revoke(parts: Data<Parts>, visitor: Visitor, key: web::Path<i32>) -> Result<HttpResponse, Trouble> {
    parts.operators.revoke_token(&visitor.actor, *key).await?;
    Ok(see_other(&format!("{PATH}?done=revoked")))
}

async fn tokens_page(request: &HttpRequest, parts: &Parts, visitor: &Visitor) -> Result<Page, Trouble> {
    let tokens = parts.operators.tokens(&visitor.actor).await?.into_iter().map(token).collect();
    let scopes = Permission::ALL.map(|scope| Scope { word: scope.as_str(), meaning: scope.meaning() }).into();
    let frame = Frame::new(request, visitor, "API tokens", PATH);
    Ok(Page { frame, tokens, scopes, secret: None, wrong: None, entered: String::new() })
}

fn token(token: ApiToken) -> Token {
    let ended = match (token.revoked_at, token.expires_at <= clock::now()) {
        (Some(_), _) => Some("taken back"),
        (None, true) => Some("expired"),
        (None, false) => None,
    };
    Token {
        key: token.key,
        scopes: token.scopes.0.iter().map(|scope| scope.as_str()).collect(),
        created: long_time(token.created_at),
        used: token.used_at.map_or_else(|| "never".to_owned(), long_time),
        expires: long_time(token.expires_at),
        name: token.name,
        ending: token.ending,
        created_by: token.created_by,
        ended,
    }
}
