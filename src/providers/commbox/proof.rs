//! What shows that a webhook is CommBox's: user and password, a token that was given to it, one that it fetched here, or
//! the last part of the URL. Nothing takes longer for a better guess.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret as _, SecretString};
use url::form_urlencoded;

use super::{
    settings::{BY_BASIC, BY_BEARER, BY_OAUTH2, BY_URL, WEBHOOK_AUTH, WEBHOOK_SECRET, WEBHOOK_USER},
    token,
};
use crate::{
    domain::{account::Connection, time::UnixMillis},
    net::signing,
    providers::{WebhookRequest, usable},
};

pub(super) fn holds(connection: &Connection, request: &WebhookRequest<'_>, now: UnixMillis) -> bool {
    let mut secrets = usable(connection.secrets(WEBHOOK_SECRET));
    match connection.setting(WEBHOOK_AUTH) {
        BY_BASIC => secrets.any(|secret| shows_basic(connection, request, secret)),
        BY_BEARER => {
            let given = bearer(request);
            secrets.any(|secret| given.is_some_and(|given| same(secret, given)))
        }
        BY_OAUTH2 => {
            let given = bearer(request);
            secrets.any(|secret| given.is_some_and(|given| token::is_valid(secret, &connection.id, given, now)))
        }
        BY_URL => secrets.any(|secret| request.url_token.is_some_and(|given| same(secret, given))),
        _ => false,
    }
}

/// A token for whoever shows the client's secret: in the form, as client credentials or as a password, or by Basic.
pub(super) fn issue(connection: &Connection, request: &WebhookRequest<'_>, now: UnixMillis) -> Option<String> {
    if connection.setting(WEBHOOK_AUTH) != BY_OAUTH2 {
        return None;
    }
    let value = |name: &str| {
        form_urlencoded::parse(request.body).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let (user, word) = match value("grant_type")?.as_str() {
        "client_credentials" => (value("client_id"), value("client_secret")),
        "password" => (value("username"), value("password")),
        _ => return None,
    };
    let user = user.filter(|user| user.as_str() == connection.setting(WEBHOOK_USER));
    let secret = usable(connection.secrets(WEBHOOK_SECRET)).find(|secret| {
        let by_form = user.is_some() && word.as_ref().is_some_and(|word| same(secret, word));
        by_form | shows_basic(connection, request, secret)
    })?;
    Some(token::issue(secret, &connection.id, now))
}

fn shows_basic(connection: &Connection, request: &WebhookRequest<'_>, secret: &SecretString) -> bool {
    let right = STANDARD.encode(format!("{}:{}", connection.setting(WEBHOOK_USER), secret.expose_secret()));
    let given = (request.header)("authorization").and_then(|header| header.split_once(' '));
    given.is_some_and(|(scheme, given)| {
        scheme.eq_ignore_ascii_case("basic") && signing::same_secret(right.as_bytes(), given.trim().as_bytes())
    })
}

/// The token of a header; its prefix can be chosen at CommBox, and may be missing.
fn bearer<'a>(request: &WebhookRequest<'a>) -> Option<&'a str> {
    let header = (request.header)("authorization")?;
    Some(header.rsplit(' ').next().unwrap_or(header))
}

fn same(secret: &SecretString, given: &str) -> bool {
    signing::same_secret(secret.expose_secret().as_bytes(), given.as_bytes())
}
