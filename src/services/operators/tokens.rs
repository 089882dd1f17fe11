//! Tokens of programs: made by somebody who can do what they allow, shown once, and good for a time.

use std::{net::IpAddr, time::Duration};

use serde_json::json;

use super::{Operators, Refusal, Secret, hash_of, require};
use crate::{
    clock,
    domain::operator::{Actor, NAME_CHARS_MAX, Permission, Permissions, Via},
    store::{audit::AuditEntry, tokens::ApiToken},
};

/// By this people and scanners of secrets recognise one.
const PREFIX: &str = "wab_";
/// Of each the last characters are shown.
const ENDING_CHARS: usize = 4;
const DAY_SECONDS: u64 = 24 * 60 * 60;

/// A token, the only time that it is seen.
#[derive(Debug)]
pub struct NewToken {
    pub secret: String,
    pub token: ApiToken,
}

impl Operators {
    pub async fn tokens(&self, actor: &Actor) -> Result<Vec<ApiToken>, Refusal> {
        require(actor, Permission::ManageUsers)?;
        Ok(self.store.api_tokens().await?)
    }

    pub async fn make_token(
        &self,
        actor: &Actor,
        name: &str,
        scopes: Permissions,
        lives: Duration,
    ) -> Result<NewToken, Refusal> {
        require(actor, Permission::ManageUsers)?;
        let invalid = |field, text: String| Err(Refusal::Invalid { field, text });
        let name = name.trim();
        if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
            return invalid("name", format!("say what the token is for, in at most {NAME_CHARS_MAX} characters"));
        }
        if scopes.0.is_empty() {
            return invalid("scopes", "choose at least one scope: a token without any opens nothing".to_owned());
        }
        if !actor.permissions.covers(&scopes) {
            return invalid(
                "scopes",
                "a token cannot be given more than its maker may do: leave scopes out".to_owned(),
            );
        }
        let max = self.settings.token_max;
        if lives.is_zero() || lives > max {
            return invalid(
                "days",
                format!("a token lives for 1 to {} days (console.token_max)", max.as_secs() / DAY_SECONDS),
            );
        }
        let secret = Secret::new(PREFIX);
        let now = clock::now();
        let mut token = ApiToken {
            key: 0,
            name: name.to_owned(),
            ending: secret.text.chars().skip(secret.text.chars().count() - ENDING_CHARS).collect(),
            scopes,
            created_at: now,
            created_by: actor.name.clone(),
            expires_at: now.plus(lives),
            used_at: None,
            revoked_at: None,
        };
        let entry = AuditEntry::new(actor, "make token", subject(&token)).after(json!({
            "token": "…",
            "scopes": token.scopes.words(),
            "expires_at": token.expires_at.to_string(),
        }));
        match self.store.add_api_token(&token, &secret.hash, &entry).await? {
            Some(key) => token.key = key,
            None => {
                return Err(Refusal::Conflict(
                    "there are too many tokens: those that ended go by themselves".to_owned(),
                ));
            }
        }
        Ok(NewToken { secret: secret.text, token })
    }

    pub async fn revoke_token(&self, actor: &Actor, key: i32) -> Result<(), Refusal> {
        let token = self.tokens(actor).await?.into_iter().find(|token| token.key == key);
        let gone = || Refusal::NotFound(format!("there is no token {key}, or it was taken back already"));
        let token = token.ok_or_else(gone)?;
        let entry = AuditEntry::new(actor, "take back token", subject(&token))
            .before(json!({"scopes": token.scopes.words(), "expires_at": token.expires_at.to_string()}));
        if self.store.revoke_api_token(key, &entry).await? { Ok(()) } else { Err(gone()) }
    }

    /// Who calls with this token; `None` when it opens nothing (any more).
    pub async fn caller(&self, token: &str, address: Option<IpAddr>) -> Result<Option<Actor>, Refusal> {
        if !token.starts_with(PREFIX) {
            return Ok(None);
        }
        let found = self.store.api_token(&hash_of(token)).await?;
        Ok(found.map(|token| Actor { name: subject(&token), via: Via::Api, address, permissions: token.scopes }))
    }
}

fn subject(token: &ApiToken) -> String {
    format!("token {} (…{})", token.name, token.ending)
}
