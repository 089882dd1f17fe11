//! Why something did not work, and what follows from it.
//!
//! A provider's adapter turns whatever it was told into a [`SendFailure`]: a class (what the engine
//! does), a scope (to how much it applies) and a [`Failure`] (what people are told). The engine knows
//! no provider's codes, and a platform's dialect knows only the reasons.

use std::time::Duration;

use super::outbound::stored;

/// What the engine does about a send that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// Again after the wait, within the message's expiry. Nothing was sent.
    Retry,
    /// As retry, and the pace of the scope goes down for a while.
    Slow,
    /// The scope stops, its messages stay queued, a person is alerted.
    Hold,
    /// Once more by the provider's other endpoint or form.
    Swap,
    /// The provider has judged: report it as failed.
    GiveUp,
    /// It may have been sent and billed: wait for evidence, then follow the account's policy.
    Unknown,
}

/// How much of the world a failure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    Message,
    /// This number towards this recipient.
    Pair,
    Number,
    Template,
    /// The provider's business account (Meta: the WABA).
    ProviderAccount,
    /// Everything that shares the provider's app or token.
    Connection,
}

impl Scope {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Pair => "pair",
            Self::Number => "number",
            Self::Template => "template",
            Self::ProviderAccount => "provider_account",
            Self::Connection => "connection",
        }
    }
}

/// The reason in terms that every platform can express.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureReason {
    Credentials,
    Template,
    InvalidNumber,
    NumberInactive,
    TooManyToNumber,
    Unreachable,
    /// The number's own block list names the person.
    Blocklisted,
    DeviceIncapable,
    OutsideWindow,
    BlockedByProvider,
    /// Our own: too late to be worth sending.
    Expired,
    /// Our own: nobody can tell whether it went out.
    UnknownOutcome,
    Other,
    /// The person does not want messages of this kind.
    OptedOut,
    /// Our own: an operator took it back before it was sent.
    Cancelled,
}

// The most usual first.
stored!(FailureReason {
    Unreachable = 6 "unreachable",
    InvalidNumber = 3 "invalid_number",
    OptedOut = 14 "opted_out",
    BlockedByProvider = 10 "blocked_by_provider",
    OutsideWindow = 9 "outside_window",
    TooManyToNumber = 5 "too_many_to_number",
    DeviceIncapable = 8 "device_incapable",
    Blocklisted = 7 "blocklisted",
    Template = 2 "template",
    NumberInactive = 4 "number_inactive",
    Credentials = 1 "credentials",
    Expired = 11 "expired",
    UnknownOutcome = 12 "unknown_outcome",
    Cancelled = 15 "cancelled",
    Other = 13 "other",
});

/// What people are told about a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub reason: FailureReason,
    /// The provider's own code, when it gave one.
    pub code: Option<i64>,
    /// The provider's own words, or ours: at most [`FAILURE_TEXT_CHARS_MAX`] characters.
    pub text: String,
}

/// Longer texts are cut: they go into callbacks and onto screens.
pub const FAILURE_TEXT_CHARS_MAX: usize = 500;

/// Whose words a failure's text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaidBy {
    Provider,
    Bridge,
}

impl SaidBy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Bridge => "bridge",
        }
    }

    /// A code is a provider's, some reasons are ours alone; of the others nobody knows: the text has to say.
    pub fn of(reason: FailureReason, code: Option<i64>) -> Option<Self> {
        match reason {
            _ if code.is_some() => Some(Self::Provider),
            FailureReason::Expired | FailureReason::UnknownOutcome | FailureReason::Cancelled => Some(Self::Bridge),
            FailureReason::Credentials
            | FailureReason::Template
            | FailureReason::InvalidNumber
            | FailureReason::NumberInactive
            | FailureReason::TooManyToNumber
            | FailureReason::Unreachable
            | FailureReason::Blocklisted
            | FailureReason::DeviceIncapable
            | FailureReason::OutsideWindow
            | FailureReason::BlockedByProvider
            | FailureReason::Other
            | FailureReason::OptedOut => None,
        }
    }
}

impl Failure {
    pub fn new(reason: FailureReason, code: Option<i64>, text: &str) -> Self {
        Self { reason, code, text: text.chars().take(FAILURE_TEXT_CHARS_MAX).collect() }
    }
}

/// A send that did not succeed, and its consequence.
#[derive(Clone, Debug, PartialEq)]
pub struct SendFailure {
    pub class: FailureClass,
    pub scope: Scope,
    /// At least this long before the next try, when the provider or its documentation says so.
    pub wait: Option<Duration>,
    /// A message that was tried so often is given up, where trying for hours would be in vain; `None`: until it expires.
    pub tries_max: Option<u8>,
    pub failure: Failure,
}

/// The provider took the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    pub provider_message_id: String,
}

/// A request that we do not accept, and why: the answer a platform gets at once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub kind: RefusalKind,
    /// For the person at the platform's dashboard: names the part and says what to change.
    pub message: String,
}

impl Refusal {
    /// It may quote what a stranger sent, and goes into logs and tables: control characters become spaces.
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        let message: String = message.into();
        let message = if message.contains(char::is_control) { message.replace(char::is_control, " ") } else { message };
        Self { kind, message }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// Unknown or disabled account, missing or wrong credentials: all alike.
    Credentials,
    /// Template, language, parameters, media, buttons.
    Template,
    /// The recipient's number.
    PhoneNumber,
    /// The recipient does not want this.
    NotSubscribed,
    /// Anything else about the request: unknown business number, not JSON, too large.
    Other,
    /// Nothing wrong with the request: we cannot store it now.
    CannotStore,
}
