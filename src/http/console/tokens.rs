//! Tokens of programs that call the API.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{self, Bytes, Data},
};
use askama::Template;

use super::{
    Frame, Trouble, Visitor,
    asked::NoQuery,
    fields::{Entered, Filled},
    form_parts::outcome,
    frame::long_time,
    page, page_as, see_other,
    shown::once,
};
use crate::{
    clock,
    domain::operator::{Permission, Permissions},
    http::Parts,
    store::tokens::ApiToken,
};

#[derive(Template)]
#[template(path = "console/tokens.html")]
struct Page {
    frame: Frame,
    tokens: Vec<Token>,
    scopes: Vec<Scope>,
    secret: Option<String>,
    /// Of a new one.
    filled: Filled,
    lives: Vec<(String, String)>,
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

/// For how many days a token may be wanted, the usual time first; as far as the settings let it live.
const LIVES: [u64; 4] = [30, 7, 90, 365];

/// `GET /console/tokens`
pub(super) async fn list(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    _: NoQuery,
) -> Result<HttpResponse, Trouble> {
    page(&tokens_page(&request, &parts, &visitor).await?)
}

/// `POST /console/tokens`: the token is shown once, because it is nowhere to be had again.
pub(super) async fn make(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    body: Bytes,
) -> Result<HttpResponse, Trouble> {
    let entered = Entered::read(&body);
    let scopes = Permissions::of(entered.values("scope").filter_map(Permission::parse));
    let days: u32 = entered.text("days").parse().unwrap_or(0);
    let lives = DAY.checked_mul(days).unwrap_or(Duration::MAX);
    let made = parts.operators.make_token(&visitor.actor, entered.text("name"), scopes, lives).await;
    let made = outcome(made, None, entered)?;
    let whole = tokens_page(&request, &parts, &visitor).await?;
    match made {
        Ok(made) => once(&parts, &visitor, &Page { secret: Some(made.secret), ..whole }, PATH).await,
        Err(filled) => page_as(StatusCode::UNPROCESSABLE_ENTITY, &Page { filled, ..whole }),
    }
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
    Ok(Page {
        frame,
        tokens,
        scopes,
        secret: None,
        filled: Filled::default(),
        lives: lives(parts.operators.settings().token_max),
    })
}

/// The choices: days, and their words. Instead of what is too long there is the longest that may be.
fn lives(max: Duration) -> Vec<(String, String)> {
    let max = max.as_secs() / DAY.as_secs();
    let mut days: Vec<u64> = LIVES.into_iter().filter(|days| *days <= max).collect();
    if days.len() < LIVES.len() && !days.contains(&max) {
        days.push(max);
    }
    let words = |days| match days {
        1 => "a day".to_owned(),
        365 => "a year".to_owned(),
        days => format!("{days} days"),
    };
    days.into_iter().map(|days| (days.to_string(), words(days))).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choices_end_with_what_the_settings_allow() {
        let offered = |days| lives(DAY * days).into_iter().map(|(_, words)| words).collect::<Vec<_>>();

        assert_eq!(offered(400), ["30 days", "7 days", "90 days", "a year"]);
        assert_eq!(offered(60), ["30 days", "7 days", "60 days"]);
        assert_eq!(offered(7), ["7 days"]);
        assert_eq!(offered(1), ["a day"]);
    }
}
