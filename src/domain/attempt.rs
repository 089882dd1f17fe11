//! One exchange with the outside, as we remember it.

use std::{fmt, time::Duration};

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
    /// Of a webhook's receiver: how it answered. A platform's answers say nothing more than their status.
    pub excerpt: Option<AnswerExcerpt>,
}

/// The headers of an answer and the beginning of its body, without secrets and within limits (`net/excerpt`).
///
/// It is written as HTTP writes it, so that a text is found in it as it was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerExcerpt {
    /// Names in small letters. No value has a line break.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl AnswerExcerpt {
    /// Reads what it wrote.
    pub fn read(text: &str) -> Self {
        let mut headers = Vec::new();
        let mut rest = text;
        while let Some((line, after)) = rest.split_once('\n') {
            rest = after;
            let Some((name, value)) = line.split_once(": ") else { break };
            headers.push((name.to_owned(), value.to_owned()));
        }
        Self { headers, body: rest.to_owned() }
    }
}

impl fmt::Display for AnswerExcerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {value}")?;
        }
        write!(f, "\n{}", self.body)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_read_as_it_was_written() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        for (headers, body) in [
            (vec![], ""),
            (vec![], "no: header\n\nat all"),
            (vec![header("server", "nginx"), header("x-empty", "")], "a: b\n\n{\"ok\": true}\n"),
        ] {
            let excerpt = AnswerExcerpt { headers, body: body.to_owned() };
            assert_eq!(AnswerExcerpt::read(&excerpt.to_string()), excerpt);
        }
    }
}
