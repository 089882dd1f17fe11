//! Signing in and out, and who somebody is from then on.

use std::net::IpAddr;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{
    Operators, Refusal, Secret, hash_of,
    passwords::{PASSWORD_BYTES_MAX, check_password},
};
use crate::{
    clock,
    domain::operator::{Actor, Permissions, Role, Via, checked_name},
    store::{audit::AuditEntry, failed_sign_ins::FailedSignIn, operators::Operator, sessions::Session},
};

/// What a browser calls itself is kept up to here.
const AGENT_CHARS_MAX: usize = 200;

/// What the audit log calls it.
const FAILED: &str = "fail to sign in";
/// In the place of a name that nobody has.
const UNKNOWN_NAME: &str = "an unknown name";

/// A session has begun.
#[derive(Debug)]
pub struct SignedIn {
    /// For the cookie; nobody has it but the browser.
    pub token: String,
}

/// Somebody who is signed in, in one request.
#[derive(Clone, Debug)]
pub struct Visitor {
    pub actor: Actor,
    pub name: String,
    pub role: Role,
    /// Each form that changes anything must have it.
    pub csrf: String,
    key: i32,
    pub(super) session: Vec<u8>,
}

impl Visitor {
    /// Whether a form came from a page of this session.
    pub fn wrote(&self, csrf: &str) -> bool {
        self.csrf.as_bytes().ct_eq(csrf.as_bytes()).into()
    }

    /// Whether this is the session of the request itself.
    pub fn is_here(&self, session: &Session) -> bool {
        self.session == session.hash
    }
}

impl Operators {
    /// Compares name and password, and begins a session.
    pub async fn sign_in(
        &self,
        name: &str,
        password: &str,
        address: Option<IpAddr>,
        agent: &str,
    ) -> Result<SignedIn, Refusal> {
        let name = checked_name(name).ok();
        let mut subjects = vec![address_subject(address)];
        subjects.extend(name.as_deref().map(name_subject));
        let tries = self.store.count_sign_in_try(&subjects, self.settings.sign_in_window).await?;
        let allowed = [self.settings.sign_in_tries_per_address, self.settings.sign_in_tries_per_name];
        let locked_out = tries.iter().zip(allowed).any(|(tries, allowed)| i64::from(*tries) > i64::from(allowed));
        let operator = match &name {
            Some(name) => self.store.operator(name).await?,
            None => None,
        };
        let known = operator.as_ref().map(|operator| operator.name.clone());
        if locked_out {
            return Err(self.failed(FAILED, known, nobody(), address, true).await?);
        }
        let operator = operator.filter(|operator| operator.disabled_at.is_none());
        let kept = operator.as_ref().and_then(|operator| operator.password.as_deref());
        let is_short = password.len() <= PASSWORD_BYTES_MAX;
        let is_right = is_short && self.is_password(password, kept).await?;
        let Some(operator) = operator.filter(|_| is_right) else {
            return Err(self.failed(FAILED, known, nobody(), address, false).await?);
        };
        self.begin_session(&operator, address, agent, "sign in").await
    }

    /// Writes down a try that failed, and says what it is answered with.
    async fn failed(
        &self,
        action: &'static str,
        known: Option<String>,
        actor: Actor,
        address: Option<IpAddr>,
        locked_out: bool,
    ) -> Result<Refusal, Refusal> {
        let (name, address) = (known.unwrap_or_else(|| UNKNOWN_NAME.to_owned()), address.map(counted_address));
        let from = address.as_deref().unwrap_or("no address");
        tracing::warn!(locked_out, "somebody could not sign in as {name}, from {from}");
        self.store.note_failed_sign_in(&FailedSignIn { action, name, actor, address, locked_out }).await?;
        let minutes = self.settings.sign_in_window.as_secs().div_ceil(60);
        Ok(if locked_out { Refusal::TooManyTries { minutes } } else { Refusal::WrongPassword })
    }

    pub(super) async fn begin_session(
        &self,
        operator: &Operator,
        address: Option<IpAddr>,
        agent: &str,
        action: &'static str,
    ) -> Result<SignedIn, Refusal> {
        let secret = Secret::new("");
        let now = clock::now();
        let session = Session {
            hash: secret.hash,
            operator: operator.key,
            created_at: now,
            seen_at: now,
            address: address.map_or_else(String::new, |address| address.to_string()),
            agent: agent.chars().take(AGENT_CHARS_MAX).collect(),
        };
        let entry = AuditEntry::new(&actor_of(operator, address), action, &operator.name);
        self.store.begin_session(&session, &name_subject(&operator.name), &entry).await?;
        Ok(SignedIn { token: secret.text })
    }

    /// Whose session a cookie is; `None` when it has ended, or never was one. `in_use`: somebody did something, and not a page by itself.
    pub async fn visitor(
        &self,
        token: &str,
        address: Option<IpAddr>,
        in_use: bool,
    ) -> Result<Option<Visitor>, Refusal> {
        let now = clock::now();
        let (max, idle) = (self.settings.session_max, self.settings.session_idle);
        let found = self.store.session(&hash_of(token), (now.minus(max), now.minus(idle)), in_use).await?;
        Ok(found.map(|(session, operator)| Visitor {
            actor: actor_of(&operator, address),
            name: operator.name,
            role: operator.role,
            csrf: csrf_of(token),
            key: operator.key,
            session: session.hash,
        }))
    }

    pub async fn sign_out(&self, visitor: &Visitor) -> Result<(), Refusal> {
        let entry = AuditEntry::new(&visitor.actor, "sign out", &visitor.name);
        Ok(self.store.end_session(&visitor.session, &entry).await?)
    }

    /// Ends all sessions of the visitor, this one too; says how many.
    pub async fn sign_out_everywhere(&self, visitor: &Visitor) -> Result<u64, Refusal> {
        let entry = AuditEntry::new(&visitor.actor, "sign out everywhere", &visitor.name);
        Ok(self.store.end_sessions_of(visitor.key, &entry).await?)
    }

    /// Where the visitor is signed in, this session among them.
    pub async fn sessions_of(&self, visitor: &Visitor) -> Result<Vec<Session>, Refusal> {
        let now = clock::now();
        let (max, idle) = (self.settings.session_max, self.settings.session_idle);
        let is_alive = |session: &Session| now.since(session.created_at) < max && now.since(session.seen_at) < idle;
        Ok(self.store.sessions_of(visitor.key).await?.into_iter().filter(is_alive).collect())
    }

    /// Changes the visitor's own password. All sessions end; a new one begins here.
    pub async fn change_own_password(
        &self,
        visitor: &Visitor,
        current: &str,
        new: &str,
        agent: &str,
    ) -> Result<SignedIn, Refusal> {
        // Whoever found a browser open must not have more guesses than at the door.
        let subject = format!("password of {}", visitor.name);
        let tries = self.store.count_sign_in_try(&[subject], self.settings.sign_in_window).await?;
        let failed = async |locked_out| {
            let (name, actor) = (Some(visitor.name.clone()), visitor.actor.clone());
            self.failed("fail to change password", name, actor, visitor.actor.address, locked_out).await
        };
        if tries.iter().any(|tries| i64::from(*tries) > i64::from(self.settings.sign_in_tries_per_name)) {
            return Err(failed(true).await?);
        }
        check_password(new, &visitor.name).map_err(|text| Refusal::Invalid { field: "new", text })?;
        let operator = self.store.operator(&visitor.name).await?;
        let kept = operator.as_ref().and_then(|operator| operator.password.as_deref());
        let is_right = current.len() <= PASSWORD_BYTES_MAX && self.is_password(current, kept).await?;
        let Some(operator) = operator.filter(|_| is_right) else {
            failed(false).await?;
            return Err(Refusal::Invalid { field: "current", text: "this is not your password".to_owned() });
        };
        let hash = self.hash_password(new).await?;
        let entry = AuditEntry::new(&visitor.actor, "change password", &visitor.name);
        self.store.change_password(operator.key, &hash, &entry.after(json!({"sessions": "ended"}))).await?;
        self.begin_session(&operator, visitor.actor.address, agent, "sign in").await
    }
}

pub(super) fn actor_of(operator: &Operator, address: Option<IpAddr>) -> Actor {
    let permissions: Permissions = operator.role.permissions();
    Actor { name: operator.name.clone(), via: Via::Console, address, permissions }
}

/// Follows from the session, so that nothing more has to be kept; and the other way round nothing follows.
fn csrf_of(token: &str) -> String {
    hex::encode(Sha256::digest(format!("form of {token}").as_bytes()))
}

/// Who did not get in.
fn nobody() -> Actor {
    Actor { name: "somebody".to_owned(), via: Via::Console, address: None, permissions: Permissions::default() }
}

/// A name by which its tries are counted. Names that nobody has are counted, too, and may be passwords: so it is hashed.
fn name_subject(name: &str) -> String {
    format!("name {}", hex::encode(hash_of(name)))
}

fn address_subject(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "no address".to_owned(), |address| format!("address {}", counted_address(address)))
}

/// Whoever has an IPv6 address has all that begin like it.
fn counted_address(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_one_network_of_ipv6_are_counted_together() {
        let subject = |text: &str| address_subject(Some(text.parse().expect("an address")));
        assert_eq!(subject("2001:db8:1:2::1"), subject("2001:db8:1:2:ffff::9"));
        assert_ne!(subject("2001:db8:1:2::1"), subject("2001:db8:1:3::1"));
        assert_eq!(subject("198.51.100.7"), "address 198.51.100.7");
    }
}
