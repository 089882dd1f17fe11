//! What WhatsApp will say about one message, and when: `sent@5,delivered@20x3,failed:131026@40`.
//!
//! Each step is a status, the milliseconds after the message was accepted, and how many times it is reported.
//! Leave a status out to skip it, exchange the times to reorder, write `none` for silence. The same notation
//! stands on the command line, in rules and in knobs.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// The steps of one message. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StatusScript(Arc<[StatusStep]>);

/// One report, or the same one several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusStep {
    pub status: Reported,
    /// Since the message was accepted.
    pub after_ms: u32,
    pub times: u16,
}

/// A status as webhooks name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reported {
    Sent,
    Delivered,
    Read,
    Played,
    /// With the code of the error.
    Failed(u32),
}

/// Nobody needs the same report more often; a typing error might ask for it.
const TIMES_MAX: u16 = 100;
const STEPS_MAX: usize = 20;

impl StatusScript {
    /// These steps, in any order.
    pub fn new(steps: impl IntoIterator<Item = StatusStep>) -> Self {
        Self(steps.into_iter().collect())
    }

    /// The steps as written.
    pub fn steps(&self) -> &[StatusStep] {
        &self.0
    }

    /// When the person reads the message, if ever.
    pub fn read_after_ms(&self) -> Option<u32> {
        self.0.iter().find(|step| step.status == Reported::Read).map(|step| step.after_ms)
    }
}

impl Reported {
    /// The word in the webhook.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
            Self::Failed(_) => "failed",
        }
    }
}

impl FromStr for StatusScript {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "none" {
            return Ok(Self::new([]));
        }
        let steps: Vec<StatusStep> = text.split(',').map(|step| parse_step(step.trim())).collect::<Result<_, _>>()?;
        if steps.len() > STEPS_MAX {
            return Err(format!("a script has at most {STEPS_MAX} steps"));
        }
        Ok(Self::new(steps))
    }
}

fn parse_step(text: &str) -> Result<StatusStep, String> {
    let wrong = || format!("{text:?} is not a step: write for example delivered@20, read@50x2 or failed:131026@10");
    let (status, timing) = text.split_once('@').ok_or_else(wrong)?;
    let (after, times) = timing.split_once('x').unwrap_or((timing, "1"));
    let status = match status.split_once(':') {
        None => match status {
            "sent" => Reported::Sent,
            "delivered" => Reported::Delivered,
            "read" => Reported::Read,
            "played" => Reported::Played,
            _ => return Err(wrong()),
        },
        Some(("failed", code)) => Reported::Failed(code.parse().map_err(|_| wrong())?),
        Some(_) => return Err(wrong()),
    };
    let times = times.parse().map_err(|_| wrong())?;
    if !(1..=TIMES_MAX).contains(&times) {
        return Err(format!("{text:?}: a status can be repeated 1 to {TIMES_MAX} times"));
    }
    Ok(StatusStep { status, after_ms: after.parse().map_err(|_| wrong())?, times })
}

impl fmt::Display for StatusScript {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return out.write_str("none");
        }
        for (place, step) in self.0.iter().enumerate() {
            if place > 0 {
                out.write_str(",")?;
            }
            out.write_str(step.status.word())?;
            if let Reported::Failed(code) = step.status {
                write!(out, ":{code}")?;
            }
            write!(out, "@{}", step.after_ms)?;
            if step.times > 1 {
                write!(out, "x{}", step.times)?;
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for StatusScript {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<StatusScript> for String {
    fn from(script: StatusScript) -> Self {
        script.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_reads_back_as_it_was_written() {
        for text in ["none", "sent@5,delivered@20x3,failed:131026@40", "read@1,played@2"] {
            assert_eq!(text.parse::<StatusScript>().expect("a script").to_string(), text);
        }
    }

    #[test]
    fn a_mistake_in_a_script_is_named() {
        for text in ["sent", "gone@5", "failed@5", "sent@soon", "sent@5x0", "sent@5x101", ""] {
            assert!(text.parse::<StatusScript>().is_err(), "{text:?} was taken for a script");
        }
    }
}
