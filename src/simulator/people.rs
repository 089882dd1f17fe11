//! People as WhatsApp names them: by number, by user id, or both.
//!
//! Since 2026 webhooks carry a user id that is scoped to the business; somebody with a username may keep the number to
//! himself. The simulator makes user ids up from numbers, always the same from the same.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{knobs::Knobs, state::digits};

/// Which of a person's names webhooks carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum PersonIds {
    /// The number alone, as it was until 2026.
    #[default]
    Phone,
    /// The number and the user id.
    Both,
    /// The user id alone: `from`, `wa_id` and `recipient_id` are missing.
    UserId,
    /// The user id, also where the number used to be.
    UserIdInFrom,
}

/// How webhooks write times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Timestamps {
    /// Seconds as a string, as documented.
    #[default]
    Seconds,
    /// Milliseconds as a string, which has been seen.
    Milliseconds,
    /// Seconds as a number, as `user_preferences` has it.
    Number,
}

impl Timestamps {
    pub(super) fn write(self, at: Duration) -> Value {
        match self {
            Self::Seconds => json!(at.as_secs().to_string()),
            Self::Milliseconds => json!(at.as_millis().to_string()),
            Self::Number => json!(at.as_secs()),
        }
    }
}

const GIVEN_NAMES: [&str; 16] = [
    "Aarav", "Bea", "Chandra", "Devika", "Emil", "Farah", "Gopal", "Hana", "Ishaan", "Jaya", "Kabir", "Leela", "Mateo",
    "Nisha", "Omar", "Priya",
];
const FAMILY_NAMES: [&str; 16] = [
    "Acharya",
    "Banerjee",
    "Costa",
    "D’Souza",
    "Eapen",
    "Fernandes",
    "Gupta",
    "Hussain",
    "Iyer",
    "Joshi",
    "Khan",
    "Lopez",
    "Menon",
    "Nair",
    "Okafor",
    "Patel",
];

/// What somebody is called on WhatsApp: always the same for the same number.
fn name_of(key: &str) -> String {
    let mixed = key.bytes().fold(7_u32, |mixed, byte| mixed.wrapping_mul(31).wrapping_add(u32::from(byte)));
    // Neighbours differ in the lowest bits, and are to have other names.
    let mixed = mixed.wrapping_mul(2_654_435_761);
    let name = |names: [&'static str; 16], bits: u32| names[bits as usize % names.len()];
    format!("{} {}", name(GIVEN_NAMES, mixed >> 28), name(FAMILY_NAMES, mixed >> 24))
}

/// Somebody who writes, or is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Person {
    /// Digits; `None` for somebody of whom only the user id was given.
    phone: Option<String>,
    user_id: String,
}

impl Person {
    /// From a number as somebody typed it, or a user id.
    pub(super) fn read(text: &str) -> Self {
        if is_user_id(text) {
            return Self { phone: None, user_id: text.to_owned() };
        }
        let phone = digits(text);
        Self { user_id: user_id(&phone), phone: Some(phone) }
    }

    /// What the simulator knows this person by.
    pub(super) fn key(&self) -> &str {
        self.phone.as_deref().unwrap_or(&self.user_id)
    }

    fn names(&self, knobs: &Knobs) -> (Option<&str>, Option<&str>) {
        let user_id = Some(self.user_id.as_str());
        match (&self.phone, knobs.person_ids) {
            (Some(phone), PersonIds::Phone) => (Some(phone), None),
            (Some(phone), PersonIds::Both) => (Some(phone), user_id),
            (_, PersonIds::UserIdInFrom) => (user_id, user_id),
            (None, PersonIds::Phone | PersonIds::Both) | (_, PersonIds::UserId) => (None, user_id),
        }
    }

    /// An element of `contacts`.
    pub(super) fn contact(&self, knobs: &Knobs) -> Value {
        let (phone, user_id) = self.names(knobs);
        let end: String = self.key().chars().rev().take(4).collect::<Vec<_>>().into_iter().rev().collect();
        let mut profile = json!({"name": name_of(self.key())});
        if phone.is_none() {
            profile["username"] = json!(format!("person.{}", end.to_ascii_lowercase()));
        }
        let mut contact = Map::new();
        contact.insert("profile".into(), profile);
        contact.extend(phone.map(|phone| ("wa_id".into(), json!(phone))));
        contact.extend(user_id.map(|user_id| ("user_id".into(), json!(user_id))));
        Value::Object(contact)
    }

    /// `from` and its kin, into a message or an entry of its kind.
    pub(super) fn sign(&self, knobs: &Knobs, message: &mut Map<String, Value>) {
        let (phone, user_id) = self.names(knobs);
        message.extend(phone.map(|phone| ("from".into(), json!(phone))));
        message.extend(user_id.map(|user_id| ("from_user_id".into(), json!(user_id))));
    }

    /// `recipient_id` and `recipient_user_id` of a status.
    pub(super) fn recipient(&self, knobs: &Knobs) -> (Option<String>, Option<String>) {
        let (phone, user_id) = self.names(knobs);
        (phone.map(str::to_owned), user_id.map(str::to_owned))
    }

    /// `to` and its kin, of a message that the business sent from the phone.
    pub(super) fn receive(&self, knobs: &Knobs, echo: &mut Map<String, Value>) {
        let (phone, user_id) = self.names(knobs);
        echo.extend(phone.map(|phone| ("to".into(), json!(phone))));
        echo.extend(user_id.map(|user_id| ("to_user_id".into(), json!(user_id))));
    }

    /// `wa_id` and `user_id` of an entry in `user_preferences`.
    pub(super) fn preference(&self, knobs: &Knobs, entry: &mut Map<String, Value>) {
        let (phone, user_id) = self.names(knobs);
        entry.extend(phone.map(|phone| ("wa_id".into(), json!(phone))));
        entry.extend(user_id.map(|user_id| ("user_id".into(), json!(user_id))));
    }
}

/// A country's two letters, a point, and letters or digits.
pub(super) fn is_user_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    let rest = text.split_once('.').map_or("", |(_, rest)| rest);
    bytes.len() > 3
        && bytes[..2].iter().all(u8::is_ascii_uppercase)
        && bytes[2] == b'.'
        && rest.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// The user id of a number: nothing can be read from it, but it is always the same.
pub(super) fn user_id(phone: &str) -> String {
    const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
    const FNV_PRIME: u64 = 0x0100_0000_01b3;
    let mixed = phone.bytes().fold(FNV_START, |mixed, byte| (mixed ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
    let countries = [("91", "IN"), ("351", "PT"), ("49", "DE"), ("44", "GB"), ("55", "BR"), ("65", "SG"), ("1", "US")];
    let country = countries.iter().find(|(prefix, _)| phone.starts_with(prefix)).map_or("AE", |(_, country)| country);
    format!("{country}.{mixed:020}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::SimulatorSettings;

    fn knobs(person_ids: PersonIds) -> Knobs {
        Knobs { person_ids, ..SimulatorSettings::default().knobs }
    }

    #[test]
    fn a_person_is_known_by_what_the_knob_says() {
        let person = Person::read("+91 98765 12345");
        let signed = |ids| {
            let mut message = Map::new();
            person.sign(&knobs(ids), &mut message);
            (message.contains_key("from"), message.contains_key("from_user_id"), person.contact(&knobs(ids)))
        };

        assert_eq!(signed(PersonIds::Phone).2["wa_id"], "919876512345");
        assert!(matches!(signed(PersonIds::Both), (true, true, _)));
        let (from, from_user_id, contact) = signed(PersonIds::UserId);
        assert!(
            !from
                && from_user_id
                && contact.get("wa_id").is_none()
                && is_user_id(contact["user_id"].as_str().expect("text"))
        );
        assert_eq!(signed(PersonIds::UserIdInFrom).2["wa_id"], user_id("919876512345"));
    }

    #[test]
    fn whoever_has_only_a_user_id_never_shows_a_number() {
        let person = Person::read("PT.1349abc");
        assert_eq!(person.recipient(&knobs(PersonIds::Phone)), (None, Some("PT.1349abc".to_owned())));
        assert!(is_user_id("PT.ENT.77") && !is_user_id("PT.") && !is_user_id("+351.2") && !is_user_id("919876512345"));
    }
}
