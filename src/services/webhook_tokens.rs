//! How a webhook's requests show who sends them. A token that is fetched (OAuth 2) is kept in memory while it is good.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::{
    domain::{
        ids::WebhookKey,
        time::UnixMillis,
        webhook::{Authentication, Grant, Webhook},
    },
    net::exchange::{Exchange, Method, NoAnswer, OutgoingRequest},
};

/// Tokens by webhook.
#[derive(Default)]
pub struct WebhookTokens(Mutex<HashMap<WebhookKey, Kept>>);

struct Kept {
    /// Of the webhook that it was fetched for: another configuration may mean another token.
    of: UnixMillis,
    token: SecretString,
    until: Instant,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

/// Of a token whose answer does not say how long it lives.
const LIVES: Duration = Duration::from_secs(300);
/// Nobody's clock and no network is so slow.
const SPARE: Duration = Duration::from_secs(30);
const LIVES_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl WebhookTokens {
    /// The header `Authorization`, when there is to be one.
    pub async fn authorization(
        &self,
        exchange: &Exchange,
        webhook: &Webhook,
        timeout: Duration,
    ) -> Result<Option<SecretString>, NoAnswer> {
        Ok(match &webhook.settings.authentication {
            Authentication::None => None,
            Authentication::Basic { user, password } => {
                let pair = format!("{user}:{}", password.expose());
                Some(format!("Basic {}", STANDARD.encode(pair)).into())
            }
            Authentication::Bearer { prefix, token } => Some(with_prefix(prefix, &token.expose().into())),
            Authentication::OAuth2 { .. } => {
                let token = match self.kept(webhook) {
                    Some(token) => token,
                    None => self.fetch(exchange, webhook, timeout).await?,
                };
                Some(with_prefix("Bearer", &token))
            }
        })
    }

    /// After a 401: the next request fetches a new one. `false` when there was none.
    pub fn forget(&self, webhook: &Webhook) -> bool {
        self.0.lock().expect("no holder can panic").remove(&webhook.key).is_some()
    }

    fn kept(&self, webhook: &Webhook) -> Option<SecretString> {
        let tokens = self.0.lock().expect("no holder can panic");
        let kept = tokens.get(&webhook.key)?;
        (kept.of == webhook.updated_at && kept.until > Instant::now()).then(|| kept.token.clone())
    }

    async fn fetch(&self, exchange: &Exchange, webhook: &Webhook, timeout: Duration) -> Result<SecretString, NoAnswer> {
        let Authentication::OAuth2 { token_url, .. } = &webhook.settings.authentication else {
            return Err(NoAnswer::NotSent("this webhook fetches no token".to_owned()));
        };
        let exchanged = exchange
            .send(OutgoingRequest {
                method: Method::Post,
                url: token_url,
                headers: vec![
                    ("content-type".into(), "application/x-www-form-urlencoded".into()),
                    ("accept".into(), "application/json".into()),
                ],
                body: Some(form_of(&webhook.settings.authentication).into()),
                timeout,
            })
            .await;
        // Nothing has been told yet, whatever went wrong. An answer may quote what it was sent, so it is not repeated.
        let not_sent = |why: String| NoAnswer::NotSent(format!("no token was given: {why}"));
        let answer = exchanged.result.map_err(|error| not_sent(error.to_string()))?;
        if answer.status != 200 {
            return Err(not_sent(format!("the token URL answered HTTP {}", answer.status)));
        }
        let read: TokenAnswer = serde_json::from_slice(&answer.body)
            .map_err(|_| not_sent("the token URL's answer has no access_token".to_owned()))?;
        let lives = read.expires_in.map_or(LIVES, Duration::from_secs).min(LIVES_MAX).saturating_sub(SPARE);
        let token = SecretString::from(read.access_token);
        let kept = Kept { of: webhook.updated_at, token: token.clone(), until: Instant::now() + lives };
        self.0.lock().expect("no holder can panic").insert(webhook.key, kept);
        Ok(SecretString::from(token.expose_secret()))
    }
}

/// A token as a header has it; empty prefixes stand for no prefix.
fn with_prefix(prefix: &str, token: &SecretString) -> SecretString {
    if prefix.is_empty() { token.clone() } else { format!("{prefix} {}", token.expose_secret()).into() }
}

/// What is sent to the token URL.
fn form_of(authentication: &Authentication) -> String {
    let Authentication::OAuth2 { grant, client_id, client_secret, scope, user, password, .. } = authentication else {
        return String::new();
    };
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    match grant {
        Grant::ClientCredentials => form.append_pair("grant_type", "client_credentials"),
        Grant::Password => form
            .append_pair("grant_type", "password")
            .append_pair("username", user)
            .append_pair("password", password.as_ref().map_or("", |password| password.expose())),
    };
    form.append_pair("client_id", client_id).append_pair("client_secret", client_secret.expose());
    if !scope.is_empty() {
        form.append_pair("scope", scope);
    }
    form.finish()
}
