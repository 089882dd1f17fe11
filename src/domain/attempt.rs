//! One exchange with the outside, as we remember it.

use std::time::Duration;

use super::{outbound::stored, time::UnixMillis};

/// How an exchange ended, whoever it was with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptOutcome {
    /// They took it.
    Succeeded,
    /// They answered, and it was not a yes.
    Refused,
    /// No answer that we could read.
    NoAnswer,
}

stored!(AttemptOutcome { Succeeded = 1 "succeeded", Refused = 2 "refused", NoAnswer = 3 "no_answer" });

/// An attempt's outcome agrees with the presence of a response: a status code exactly when they answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    pub started_at: UnixMillis,
    pub took: Duration,
    pub outcome: AttemptOutcome,
    pub http_status: Option<u16>,
    /// The beginning of what they said, or why there was no answer; without secrets.
    pub note: String,
}

/// What somebody looks for among exchanges: one outcome, or each that is no success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WantedOutcome {
    Succeeded,
    Failed,
    Refused,
    NoAnswer,
}

impl WantedOutcome {
    pub const ALL: [Self; 4] = [Self::Succeeded, Self::Failed, Self::Refused, Self::NoAnswer];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::NoAnswer => "no_answer",
        }
    }

    pub const fn outcomes(self) -> &'static [AttemptOutcome] {
        match self {
            Self::Succeeded => &[AttemptOutcome::Succeeded],
            Self::Failed => &[AttemptOutcome::Refused, AttemptOutcome::NoAnswer],
            Self::Refused => &[AttemptOutcome::Refused],
            Self::NoAnswer => &[AttemptOutcome::NoAnswer],
        }
    }
}
