//! Who may come in: signing in, links, people and tokens. The console, the API and `wabridge user` all come here.
//!
//! Whatever opens a door is 32 random bytes, told once; the database has its hash. Nobody learns by an answer, or by how long it
//! took, whether a name exists. Every change is written down in its own transaction, with whoever made it.

mod passwords;
mod people;
mod shown;
mod sign_in;
mod tokens;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

pub use self::{
    passwords::check_password,
    people::LinkFor,
    sign_in::{SignedIn, Visitor},
    tokens::NewToken,
};
use crate::{
    domain::operator::{Actor, Permission},
    settings::{Console, Settings},
    store::{Store, StoreError},
};

/// The service.
pub struct Operators {
    store: Store,
    settings: Console,
    /// Of the console, without a slash at the end.
    url: String,
    /// Hashing takes 19 MiB and a good part of a core.
    hashing: Semaphore,
}

/// Passwords that are hashed at the same time; others wait their turn.
const HASHED_AT_ONCE: usize = 2;

/// Why something is not done. The texts are for whoever asked.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("this needs the permission {}, to {}; ask an owner", .0.as_str(), .0.meaning())]
    NotAllowed(Permission),
    #[error("{0}")]
    NotFound(String),
    /// What was entered in this field must be changed.
    #[error("{text}")]
    Invalid { field: &'static str, text: String },
    /// The same of several fields at once.
    #[error("{}", told(.0))]
    Problems(Vec<FieldProblem>),
    /// It does not fit to how things stand.
    #[error("{0}")]
    Conflict(String),
    /// Somebody else was faster, so what was asked for may not be what is wanted any more.
    #[error("{0} was changed by somebody else meanwhile: look at it again, and repeat what is still wanted")]
    Meanwhile(String),
    /// Name or password are wrong; which of them is not said.
    #[error("name or password are wrong, or the name may not sign in")]
    WrongPassword,
    #[error("too many tries: wait {minutes} minutes, or ask an owner for a link (`wabridge user reset NAME`)")]
    TooManyTries { minutes: u64 },
    #[error("the server is busy with other passwords: try again in a moment")]
    Busy,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is wrong with a field, and what to change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldProblem {
    /// With dots between the parts: `quiet_hours.from`.
    pub field: String,
    /// Goes on after the field's name.
    pub message: String,
}

impl FieldProblem {
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }

    /// The field without its parts.
    pub fn setting(&self) -> &str {
        self.field.split('.').next().unwrap_or_default()
    }
}

fn told(problems: &[FieldProblem]) -> String {
    problems.iter().map(|problem| format!("{} {}", problem.field, problem.message)).collect::<Vec<_>>().join("; ")
}

impl Operators {
    pub fn new(store: Store, settings: &Settings) -> Self {
        Self {
            store,
            settings: settings.console.clone(),
            url: settings.console_url(),
            hashing: Semaphore::new(HASHED_AT_ONCE),
        }
    }

    /// Whether cookies are for TLS only.
    pub fn behind_tls(&self) -> bool {
        self.url.starts_with("https://")
    }

    /// How people reach the console.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn settings(&self) -> &Console {
        &self.settings
    }
}

/// Whoever asks must have a permission.
pub fn require(actor: &Actor, permission: Permission) -> Result<(), Refusal> {
    if actor.may(permission) { Ok(()) } else { Err(Refusal::NotAllowed(permission)) }
}

/// Something that opens a door, and by which it is known.
struct Secret {
    text: String,
    hash: Vec<u8>,
}

impl Secret {
    fn new(prefix: &str) -> Self {
        let text = format!("{prefix}{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; SECRET_BYTES]>()));
        let hash = hash_of(&text);
        Self { text, hash }
    }
}

const SECRET_BYTES: usize = 32;

/// It is random, so a fast hash without salt will do.
fn hash_of(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}
