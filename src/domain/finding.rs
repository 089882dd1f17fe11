//! What a look at the outside found: one line for an operator, and what to do about it.

use std::time::Duration;

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
    /// Which of the things that a channel needs it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<Topic>,
    /// How long it took to find out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
}

/// What a channel needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Nobody stopped it.
    Hold,
    /// How the world reaches us.
    PublicUrl,
    Credentials,
    Clock,
    /// Our own URL for webhooks.
    WebhookUrl,
    /// What webhooks are signed with.
    Signature,
    Templates,
    /// The business account tells us what happens.
    Subscription,
    Number,
    Quality,
    Throughput,
    MessagingLimit,
    /// Where the number's webhooks go.
    WebhookRoute,
}

impl Topic {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::PublicUrl => "public URL",
            Self::Credentials => "credentials",
            Self::Clock => "clock",
            Self::WebhookUrl => "webhook URL",
            Self::Signature => "app secret",
            Self::Templates => "template access",
            Self::Subscription => "webhook subscription",
            Self::Number => "number",
            Self::Quality => "quality",
            Self::Throughput => "throughput level",
            Self::MessagingLimit => "messaging limit",
            Self::WebhookRoute => "where webhooks go",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Fine,
    /// It may be meant so, or nobody can tell.
    Doubtful,
    Wrong,
    /// Something else must be mended before anybody can tell.
    NotChecked,
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
    /// The very request, without its secrets.
    pub request: ShownRequest,
}

/// A request as people may see it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ShownRequest {
    pub method: &'static str,
    pub url: String,
    /// JSON, indented, dots for secrets.
    pub body: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RepairKind {
    /// A business account's webhooks come to us.
    SubscribeAccount,
    /// A number's webhooks, which go elsewhere than its account's, come to us.
    RouteNumber,
}

impl RepairKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SubscribeAccount => "subscribe_account",
            Self::RouteNumber => "route_number",
        }
    }

    /// The kind by its word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::SubscribeAccount, Self::RouteNumber].into_iter().find(|kind| kind.as_str() == word)
    }
}

impl Finding {
    pub fn fine(about: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            about: about.into(),
            level: Level::Fine,
            text: text.into(),
            remedy: None,
            repair: None,
            topic: None,
            took_ms: None,
        }
    }

    pub fn doubtful(about: impl Into<String>, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Doubtful, remedy: Some(remedy.into()), ..Self::fine(about, text) }
    }

    pub fn wrong(about: impl Into<String>, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Wrong, remedy: Some(remedy.into()), ..Self::fine(about, text) }
    }

    /// Nobody looked, and why; `remedy` says what comes first.
    pub fn not_checked(about: impl Into<String>, why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::NotChecked, remedy: Some(remedy.into()), ..Self::fine(about, why) }
    }

    /// The same, with what can be done about it from here.
    #[must_use]
    pub fn mended_by(self, repair: Repair) -> Self {
        Self { repair: Some(repair), ..self }
    }

    /// The same, with what it is about.
    #[must_use]
    pub fn on(self, topic: Topic) -> Self {
        Self { topic: Some(topic), ..self }
    }

    /// The same, with how long it took.
    #[must_use]
    pub fn within(self, took: Duration) -> Self {
        Self { took_ms: u64::try_from(took.as_millis()).ok(), ..self }
    }
}
