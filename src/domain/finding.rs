//! What a look at the outside found: one line for an operator, and what to do about it.

use serde::Serialize;

use super::ids::ConnectionKey;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whose: `database`, `connection meta-main`, `number +919876500001`.
    pub about: String,
    pub level: Level,
    /// What is so. Never a secret.
    pub text: String,
    /// What to do, of everything that is not fine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// What can be done about it from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair: Option<Repair>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Fine,
    /// It may be meant so, or nobody can tell.
    Doubtful,
    Wrong,
}

/// Something at a provider that can be set right by asking it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Repair {
    #[serde(skip)]
    pub connection: ConnectionKey,
    pub kind: RepairKind,
    /// The provider's id of what is changed.
    pub id: String,
    /// What will be done, for the question whether to do it.
    pub what: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RepairKind {
    /// A business account's webhooks come to us.
    SubscribeAccount,
    /// A number's webhooks, which go elsewhere than its account's, come to us.
    RouteNumber,
}

impl Finding {
    pub fn fine(about: impl Into<String>, text: impl Into<String>) -> Self {
        Self { about: about.into(), level: Level::Fine, text: text.into(), remedy: None, repair: None }
    }

    pub fn doubtful(about: impl Into<String>, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Doubtful, remedy: Some(remedy.into()), ..Self::fine(about, text) }
    }

    pub fn wrong(about: impl Into<String>, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Wrong, remedy: Some(remedy.into()), ..Self::fine(about, text) }
    }

    /// The same, with what can be done about it from here.
    pub fn mended_by(self, repair: Repair) -> Self {
        Self { repair: Some(repair), ..self }
    }
}
