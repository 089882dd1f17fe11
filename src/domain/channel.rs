//! How a provider sees one of our numbers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the provider said when it was last asked. Whatever it did not say is `None`; words of its own are kept as written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NumberState {
    /// The number as the provider writes it.
    pub display_number: Option<String>,
    /// The name that people see.
    pub name: Option<String>,
    /// Whether that name was accepted.
    pub name_status: Option<String>,
    pub quality: Quality,
    /// Whether the number is connected, flagged, restricted.
    pub status: Option<String>,
    pub verification: Option<String>,
    /// The provider's word for how fast it lets this number send.
    pub throughput: Option<String>,
    /// The same in messages a second, where the word is known.
    pub throughput_per_second: Option<u32>,
    pub messaging_limit: Option<MessagingLimit>,
    /// Whether messages can be sent, by the provider's own judgement.
    pub can_send: Option<String>,
    /// What stands in the way, when something does.
    pub problems: Vec<String>,
}

/// How people received what the number sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    Green,
    Yellow,
    Red,
    #[default]
    Unknown,
}

impl Quality {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Yellow => "yellow",
            Self::Red => "RED",
            Self::Unknown => "unknown",
        }
    }

    /// For a metric: the more the better, and zero when nobody knows.
    pub fn score(self) -> u8 {
        match self {
            Self::Green => 3,
            Self::Yellow => 2,
            Self::Red => 1,
            Self::Unknown => 0,
        }
    }
}

/// To how many people a day the business may write first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessagingLimit {
    People(u64),
    Unlimited,
    /// A word that this version does not know.
    Other(String),
}

impl fmt::Display for MessagingLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::People(people) => write!(f, "{people} people a day"),
            Self::Unlimited => f.write_str("no daily limit"),
            Self::Other(word) => write!(f, "limit {word}"),
        }
    }
}

impl NumberState {
    /// What a person should look at, if anything.
    pub fn warnings(&self) -> Vec<String> {
        let red = "its quality is RED: people block or report it; send less, and only what they asked for";
        let red = (self.quality == Quality::Red).then(|| red.to_owned());
        red.into_iter().chain(self.warnings_but_quality()).collect()
    }

    /// The same, but for how people received what it sent.
    pub fn warnings_but_quality(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(status) = self.status.as_deref().filter(|status| !status.eq_ignore_ascii_case("CONNECTED")) {
            warnings.push(format!("the provider calls it {status}"));
        }
        if let Some(name_status) = self.name_status.as_deref().filter(|status| is_refused(status)) {
            warnings.push(format!("its display name is {name_status}"));
        }
        if let Some(can_send) = self.can_send.as_deref().filter(|word| !word.eq_ignore_ascii_case("AVAILABLE")) {
            warnings.push(format!("sending is {can_send}"));
        }
        warnings.extend(self.problems.iter().cloned());
        warnings
    }

    /// What the operator's promised pace means in the light of the provider's.
    pub fn advice_on_pace(&self, messages_per_second: u32) -> Option<String> {
        let allowed = self.throughput_per_second?;
        if messages_per_second > allowed {
            return Some(format!(
                "the provider takes {allowed} a second and messages_per_second is {messages_per_second}: lower it"
            ));
        }
        // Whoever stays far below on purpose needs no advice; whoever is at an old level's end may.
        let at_a_lower_level = messages_per_second == DEFAULT_PER_SECOND && allowed > DEFAULT_PER_SECOND;
        at_a_lower_level.then(|| {
            format!("the provider now takes {allowed} a second; messages_per_second stays at {messages_per_second} until you raise it")
        })
    }
}

/// What every number may send at first.
const DEFAULT_PER_SECOND: u32 = 80;

fn is_refused(name_status: &str) -> bool {
    ["DECLINED", "EXPIRED", "REJECTED"].iter().any(|word| name_status.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_healthy_number_needs_nobody() {
        let state = NumberState {
            quality: Quality::Green,
            status: Some("CONNECTED".to_owned()),
            name_status: Some("APPROVED".to_owned()),
            can_send: Some("AVAILABLE".to_owned()),
            ..NumberState::default()
        };

        assert!(state.warnings().is_empty(), "{:?}", state.warnings());
        assert!(NumberState::default().warnings().is_empty(), "what is not known is no warning");
    }

    #[test]
    fn a_red_or_flagged_number_is_warned_of() {
        let state = NumberState { quality: Quality::Red, status: Some("FLAGGED".to_owned()), ..NumberState::default() };

        let warnings = state.warnings().join("; ");

        assert!(warnings.contains("RED") && warnings.contains("FLAGGED"), "{warnings}");
    }

    #[test]
    fn a_throughput_upgrade_is_told_and_changes_nothing() {
        let state = NumberState { throughput_per_second: Some(1000), ..NumberState::default() };

        assert!(state.advice_on_pace(80).is_some_and(|advice| advice.contains("stays at 80")));
        assert_eq!(state.advice_on_pace(1000), None);
        assert!(NumberState { throughput_per_second: Some(80), ..state }.advice_on_pace(200).is_some());
        assert_eq!(NumberState::default().advice_on_pace(200), None);
    }
}
