//! Adds and changes one connection, account or number, as a form or a call of the API asks for it.
//!
//! There is one set of rules, that of the apply file. Who changes something says what shall be different: a merge patch
//! (RFC 7396) of what a file would say of the thing, `null` for what goes back to its default. It is put into what is stored,
//! read by the file's own reader, compared and written as a file is, in one transaction with its line in the audit log.
//! Problems come back with the names of their fields. What nobody sees (secrets) stays when it is not named.
//!
//! What a form shows has a version, which follows from the content alone: whoever sends it back is refused when somebody
//! else changed the thing meanwhile.

mod aliases;
mod decide;
mod patch;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use secrecy::{ExposeSecret as _, SecretBox};
use serde_json::{Map, Value};
use toml::Table;

use super::operators::{Refusal, require};
use crate::{
    clock,
    domain::operator::{Actor, Permission},
    net::signing,
    services::apply::{self, Change},
    settings::{Retention, Settings},
    store::{Store, StoreError, configuration::Configuration},
};

pub use self::{decide::Kind, patch::patch_of_fields};
pub use apply::Subject;

/// The service.
pub struct Configuring {
    store: Store,
    /// Whether URLs may begin with `http://`.
    http_allowed: bool,
    /// For how long the server keeps what an account may have forgotten sooner.
    ages: Retention,
    /// What versions are made with: a plain hash would let somebody try passcodes.
    key: SecretBox<[u8; 32]>,
}

const PURPOSE: &str = "configuration-versions";
const VERSION_CHARS: usize = 24;

/// What shall be different: keys as in the apply file, `null` for a default.
pub type Patch = Map<String, Value>;

/// How a thing is configured, without its secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub subject: Subject,
    /// Keys and values as in the apply file, defaults filled in. A number has its account under `account`.
    pub fields: Map<String, Value>,
    /// The secrets that are set, each with what may be told of it: `set`, how many there are, or a URL's beginning.
    pub secrets: BTreeMap<String, String>,
    /// To be given back with a change.
    pub version: String,
}

impl Seen {
    /// The text of a field; empty when it has none.
    pub fn text(&self, key: &str) -> &str {
        self.fields.get(key).and_then(Value::as_str).unwrap_or_default()
    }
}

/// What was done.
#[derive(Debug)]
pub struct Written {
    pub seen: Seen,
    /// Empty: everything was so already.
    pub changes: Vec<Change>,
}

impl Configuring {
    pub async fn load(store: Store, settings: &Settings) -> Result<Self, StoreError> {
        let key = SecretBox::new(Box::new(store.derived_key(PURPOSE).await?));
        Ok(Self {
            store,
            http_allowed: settings.security.allow_private_networks,
            ages: settings.retention.clone(),
            key,
        })
    }

    /// Everything that is stored, read from the database: what was written a moment ago is in it.
    pub async fn stored(&self, actor: &Actor) -> Result<Configuration, Refusal> {
        // Who may change it must see it.
        if !actor.may(Permission::ManageConfiguration) {
            require(actor, Permission::ReadMessages)?;
        }
        Ok(self.store.load_configuration().await?)
    }

    /// How a thing is configured.
    pub async fn see(&self, actor: &Actor, subject: &Subject) -> Result<Seen, Refusal> {
        let stored = self.stored(actor).await?;
        self.seen_in(&stored, subject).ok_or_else(|| missing(subject))
    }

    /// The same, from what [`Self::stored`] gave; `None` when there is no such thing.
    pub fn seen_in(&self, stored: &Configuration, subject: &Subject) -> Option<Seen> {
        apply::stated(stored, subject).map(|fields| self.seen(subject.clone(), &fields))
    }

    /// Adds a thing, of which there must be none with this id or number.
    pub async fn add(&self, actor: &Actor, kind: Kind, patch: &Patch) -> Result<Written, Refusal> {
        self.write(actor, &decide::Target::New(kind), patch).await
    }

    /// Changes a thing. With a version: only when it still is as that one was.
    pub async fn change(
        &self,
        actor: &Actor,
        subject: &Subject,
        patch: &Patch,
        version: Option<&str>,
    ) -> Result<Written, Refusal> {
        self.write(actor, &decide::Target::Existing(subject, version), patch).await
    }

    async fn write(&self, actor: &Actor, target: &decide::Target<'_>, patch: &Patch) -> Result<Written, Refusal> {
        require(actor, Permission::ManageConfiguration)?;
        let (http_allowed, ages, now) = (self.http_allowed, &self.ages, clock::now());
        let version_of = |fields: &Table| self.version(fields);
        // Only aliases are held against them.
        let templates = match patch.contains_key("template_aliases") {
            true => self.store.load_templates().await?,
            false => BTreeMap::new(),
        };
        let rules = decide::Rules { http_allowed, ages, now, version_of: &version_of, templates: &templates };
        let decided = self.store.change_configuration(|stored| {
            let decided = decide::decide(stored, target, patch, &rules)?;
            let (records, told) = decided.with_audit(actor);
            Ok::<_, Refusal>((records, told))
        });
        let told = decided.await??;
        let seen = self.seen(told.subject, &told.fields);
        Ok(Written { seen, changes: told.changes })
    }

    fn seen(&self, subject: Subject, fields: &Table) -> Seen {
        let (shown, secrets) = apply::blanked(&subject, fields);
        Seen { version: self.version(fields), subject, fields: shown, secrets }
    }

    fn version(&self, fields: &Table) -> String {
        let mut signature = signing::sign(self.key.expose_secret(), fields.to_string().as_bytes());
        signature.truncate(VERSION_CHARS);
        signature
    }
}

/// There is no such thing.
pub fn missing(subject: &Subject) -> Refusal {
    Refusal::NotFound(format!("there is no {subject}"))
}
