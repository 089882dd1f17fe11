//! How an account's platform wants inbound messages spelled, where its own documentation leaves it open.

use serde::{Deserialize, Serialize};

use super::phone::PhoneNumber;

/// Under which name a document travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileType {
    File,
    Document,
    /// As a file, with the same part once more under `document`.
    #[default]
    Both,
}

/// Under which name sounds travel, recorded in the chat or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudioType {
    #[default]
    Audio,
    Voice,
}

/// What a tap becomes, on a button or on an entry of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TapType {
    /// With what the sender of the button hid behind it.
    #[default]
    Button,
    /// As if the person had written what stands on it.
    Text,
}

/// How the business number is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberSpelling {
    /// Country code and the rest.
    #[default]
    Digits,
    /// The same behind a `+`.
    Plus,
    /// Without the country code.
    National,
}

impl NumberSpelling {
    pub fn spell(self, number: &PhoneNumber) -> &str {
        match self {
            Self::Digits => number.digits(),
            Self::Plus => number.as_e164(),
            Self::National => number.national(),
        }
    }
}
