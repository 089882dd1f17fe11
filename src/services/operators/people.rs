//! People: who is there, what they may do, and the links by which they choose a password.

use std::net::IpAddr;

use serde_json::json;

use super::{Operators, Refusal, Secret, SignedIn, hash_of, passwords::check_password, require, sign_in::actor_of};
use crate::{
    clock,
    domain::operator::{Actor, Permission, Role, Via, checked_name},
    store::{
        audit::AuditEntry,
        operators::{Change, Link, NewLink, Operator},
    },
};

/// For whom a link is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkFor {
    /// Whoever comes first becomes the owner, under a name of their own.
    FirstOwner,
    /// This person chooses a password.
    Person(String),
}

const LINK_IS_GONE: &str = "this link was used already, or is too old: ask for a new one (`wabridge user reset NAME`, or \
     `wabridge user link` when nobody has signed in yet)";

impl Operators {
    /// A link for the first owner; `None` when somebody is there already.
    pub async fn first_link(&self) -> Result<Option<String>, Refusal> {
        if !self.store.has_no_operators().await? {
            return Ok(None);
        }
        let (url, link) = self.new_link();
        self.store.keep_first_link(&link).await?;
        Ok(Some(url))
    }

    /// Whether nobody can sign in yet.
    pub async fn nobody_is_there(&self) -> Result<bool, Refusal> {
        Ok(self.store.has_no_operators().await?)
    }

    /// For whom a link is, if it opens.
    pub async fn link_for(&self, token: &str) -> Result<LinkFor, Refusal> {
        match self.store.link(&hash_of(token), clock::now()).await? {
            Some(Link::First) => Ok(LinkFor::FirstOwner),
            Some(Link::Of(operator)) => Ok(LinkFor::Person(operator.name)),
            None => Err(Refusal::NotFound(LINK_IS_GONE.to_owned())),
        }
    }

    /// Uses a link up: keeps the password, and begins a session. `name` counts for the first owner alone.
    pub async fn use_link(
        &self,
        token: &str,
        (name, password): (&str, &str),
        address: Option<IpAddr>,
        agent: &str,
    ) -> Result<SignedIn, Refusal> {
        let hash = hash_of(token);
        let link = self.store.link(&hash, clock::now()).await?;
        let gone = || Refusal::NotFound(LINK_IS_GONE.to_owned());
        let name = match link.as_ref().ok_or_else(gone)? {
            Link::First => checked_name(name).map_err(|text| Refusal::Invalid { field: "name", text })?,
            Link::Of(operator) => operator.name.clone(),
        };
        check_password(password, &name).map_err(|text| Refusal::Invalid { field: "password", text })?;
        let password = self.hash_password(password).await?;
        let change = match link {
            Some(Link::Of(operator)) => {
                let entry = AuditEntry::new(&actor_of(&operator, address), "choose password", &name);
                self.store.choose_password(&hash, operator.key, &password, &entry).await?
            }
            Some(Link::First) | None => {
                let permissions = Role::Owner.permissions();
                let actor = Actor { name: name.clone(), via: Via::Console, address, permissions };
                let entry = AuditEntry::new(&actor, "set up", &name).after(json!({"role": Role::Owner.as_str()}));
                self.store.make_first_owner(&hash, &name, &password, &entry).await?
            }
        };
        match change {
            Change::Done => {}
            Change::Taken | Change::LastOwner | Change::Gone => return Err(gone()),
        }
        let operator = self.store.operator(&name).await?.ok_or_else(gone)?;
        self.begin_session(&operator, address, agent, "sign in").await
    }

    pub async fn people(&self, actor: &Actor) -> Result<Vec<Operator>, Refusal> {
        require(actor, Permission::ManageUsers)?;
        Ok(self.store.operators().await?)
    }

    pub async fn person(&self, actor: &Actor, name: &str) -> Result<Operator, Refusal> {
        require(actor, Permission::ManageUsers)?;
        let known = checked_name(name).ok();
        let operator = match &known {
            Some(name) => self.store.operator(name).await?,
            None => None,
        };
        operator.ok_or_else(|| Refusal::NotFound(format!("there is no user {name}")))
    }

    /// Adds a person; gives the link by which they choose a password.
    pub async fn add(&self, actor: &Actor, name: &str, role: Role) -> Result<String, Refusal> {
        require(actor, Permission::ManageUsers)?;
        may_give(actor, role)?;
        let name = checked_name(name).map_err(|text| Refusal::Invalid { field: "name", text })?;
        let (url, link) = self.new_link();
        let entry = AuditEntry::new(actor, "add user", &name).after(json!({"role": role.as_str()}));
        match self.store.add_operator(&name, role, &link, &entry).await? {
            Change::Done => Ok(url),
            Change::Taken | Change::LastOwner | Change::Gone => Err(Refusal::Invalid {
                field: "name",
                text: format!("there is a user {name} already: choose another name, or reset that one"),
            }),
        }
    }

    /// Takes a person's password and sessions; gives a link by which they choose another.
    pub async fn reset(&self, actor: &Actor, name: &str) -> Result<String, Refusal> {
        let operator = self.person(actor, name).await?;
        may_give(actor, operator.role)?;
        if operator.disabled_at.is_some() {
            return Err(Refusal::Conflict(format!("{} is disabled: enable them first", operator.name)));
        }
        let (url, link) = self.new_link();
        let entry = AuditEntry::new(actor, "reset password", &operator.name)
            .before(json!({"password": if operator.password.is_some() { "…" } else { "none yet" }}))
            .after(json!({"password": "none yet", "sessions": "ended"}));
        match self.store.reset_operator(operator.key, &link, &entry).await? {
            Change::Done => Ok(url),
            Change::Taken | Change::LastOwner | Change::Gone => {
                Err(Refusal::NotFound(format!("there is no user {name} any more")))
            }
        }
    }

    /// Changes what a person may do, or whether they may sign in at all.
    pub async fn change(
        &self,
        actor: &Actor,
        name: &str,
        role: Option<Role>,
        disabled: Option<bool>,
    ) -> Result<Operator, Refusal> {
        let operator = self.person(actor, name).await?;
        let was_disabled = operator.disabled_at.is_some();
        let (role, disabled) = (role.unwrap_or(operator.role), disabled.unwrap_or(was_disabled));
        may_give(actor, operator.role)?;
        may_give(actor, role)?;
        if (role, disabled) != (operator.role, was_disabled) {
            let standing = |role: Role, disabled| json!({"role": role.as_str(), "disabled": disabled});
            let entry = AuditEntry::new(actor, "change user", &operator.name)
                .before(standing(operator.role, was_disabled))
                .after(standing(role, disabled));
            match self.store.change_operator(operator.key, role, disabled, &entry).await? {
                Change::Done => {}
                Change::LastOwner => {
                    return Err(Refusal::Conflict(format!(
                        "the only owner who can sign in is {}: make somebody else an owner first, and let them choose a password",
                        operator.name
                    )));
                }
                Change::Taken | Change::Gone => {
                    return Err(Refusal::NotFound(format!("there is no user {name} any more")));
                }
            }
        }
        self.person(actor, name).await
    }

    /// Ends all sessions of a person; says how many.
    pub async fn sign_out_person(&self, actor: &Actor, name: &str) -> Result<u64, Refusal> {
        let operator = self.person(actor, name).await?;
        let entry = AuditEntry::new(actor, "sign out everywhere", &operator.name);
        Ok(self.store.end_sessions_of(operator.key, &entry).await?)
    }

    fn new_link(&self) -> (String, NewLink) {
        let secret = Secret::new("");
        let expires_at = clock::now().plus(self.settings.link_lives);
        (format!("{}/console/welcome/{}", self.url, secret.text), NewLink { hash: secret.hash, expires_at })
    }
}

/// A token that manages users does not make itself an owner.
fn may_give(actor: &Actor, role: Role) -> Result<(), Refusal> {
    let missing = role.permissions().0.into_iter().find(|permission| !actor.may(*permission));
    missing.map_or(Ok(()), |permission| Err(Refusal::NotAllowed(permission)))
}
