//! What Graph says of one business number.
//!
//! Two sets of fields: Graph refuses a whole request (code 100) for one field that its version does not have, and the limit
//! has had three names. Who asks for [`FIELDS`] and is refused asks for [`FIELDS_EVERY_VERSION_HAS`].

use serde::Deserialize;
use serde_json::value::RawValue;

use super::text::Text;
use crate::{
    domain::channel::{MessagingLimit, NumberState, Quality},
    net::redact,
};

/// Everything that is of use.
pub const FIELDS: &str = "id,display_phone_number,verified_name,name_status,quality_rating,status,code_verification_status,\
     throughput,whatsapp_business_manager_messaging_limit,health_status";

/// What is left when one of them is not known.
pub const FIELDS_EVERY_VERSION_HAS: &str =
    "id,display_phone_number,verified_name,quality_rating,code_verification_status,throughput";

/// Reads the answer to either.
pub fn read_number(body: &[u8]) -> Result<NumberState, String> {
    let wire = serde_json::from_slice::<WireNumber<'_>>(body).map_err(|error| error.to_string())?;
    let words = |text: Option<Text<'_>>| text.map(Text::into_string).filter(|text| !text.is_empty());
    let throughput = wire.throughput.and_then(read::<Throughput<'_>>).and_then(|throughput| words(throughput.level));
    let limit = [wire.whatsapp_business_manager_messaging_limit, wire.messaging_limit_tier];
    let health = wire.health_status.and_then(read::<Health<'_>>).unwrap_or_default();
    Ok(NumberState {
        display_number: words(wire.display_phone_number),
        name: words(wire.verified_name),
        name_status: words(wire.name_status),
        quality: quality(&words(wire.quality_rating).unwrap_or_default()),
        status: words(wire.status),
        verification: words(wire.code_verification_status),
        throughput_per_second: throughput.as_deref().and_then(per_second),
        throughput,
        messaging_limit: limit.into_iter().flatten().find_map(limit_word).map(|word| messaging_limit(&word)),
        problems: health.problems(),
        can_send: words(health.can_send_message),
    })
}

/// A tier's word, bare or within an object.
fn limit_word(raw: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Within<'a> {
        #[serde(borrow, alias = "current_limit", alias = "limit")]
        value: Text<'a>,
    }
    let word = match read::<Text<'_>>(raw) {
        Some(word) => word,
        None => read::<Within<'_>>(raw)?.value,
    };
    Some(word.into_string()).filter(|word| !word.is_empty())
}

/// `TIER_2K` and its spellings; `TIER_NOT_SET` says that nothing is said.
pub fn messaging_limit(word: &str) -> MessagingLimit {
    let upper = word.to_ascii_uppercase();
    let size = upper.strip_prefix("TIER_").unwrap_or(&upper);
    let (digits, factor) = match size.strip_suffix('K') {
        Some(thousands) => (thousands, 1_000),
        None => (size, 1),
    };
    match digits.parse::<u64>() {
        Ok(people) => MessagingLimit::People(people.saturating_mul(factor)),
        Err(_) if size == "UNLIMITED" => MessagingLimit::Unlimited,
        Err(_) => MessagingLimit::Other(word.to_owned()),
    }
}

/// Messages a second, in and out.
fn per_second(level: &str) -> Option<u32> {
    match level.to_ascii_uppercase().as_str() {
        "STANDARD" => Some(80),
        "HIGH" => Some(1000),
        _ => None,
    }
}

fn quality(word: &str) -> Quality {
    match word.to_ascii_uppercase().as_str() {
        "GREEN" | "HIGH" => Quality::Green,
        "YELLOW" | "MEDIUM" => Quality::Yellow,
        "RED" | "LOW" => Quality::Red,
        _ => Quality::Unknown,
    }
}

#[derive(Deserialize)]
struct WireNumber<'a> {
    #[serde(borrow)]
    display_phone_number: Option<Text<'a>>,
    verified_name: Option<Text<'a>>,
    name_status: Option<Text<'a>>,
    quality_rating: Option<Text<'a>>,
    status: Option<Text<'a>>,
    code_verification_status: Option<Text<'a>>,
    throughput: Option<&'a RawValue>,
    whatsapp_business_manager_messaging_limit: Option<&'a RawValue>,
    messaging_limit_tier: Option<&'a RawValue>,
    health_status: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Throughput<'a> {
    #[serde(borrow)]
    level: Option<Text<'a>>,
}

#[derive(Default, Deserialize)]
struct Health<'a> {
    #[serde(borrow)]
    can_send_message: Option<Text<'a>>,
    #[serde(default)]
    entities: Vec<HealthEntity<'a>>,
}

#[derive(Deserialize)]
struct HealthEntity<'a> {
    #[serde(borrow)]
    entity_type: Option<Text<'a>>,
    #[serde(default)]
    errors: Vec<HealthError<'a>>,
}

#[derive(Deserialize)]
struct HealthError<'a> {
    #[serde(borrow)]
    error_code: Option<Text<'a>>,
    error_description: Option<Text<'a>>,
    possible_solution: Option<Text<'a>>,
}

/// So many of them are kept and shown.
const PROBLEMS_MAX: usize = 5;

impl Health<'_> {
    fn problems(&self) -> Vec<String> {
        let told = |entity: &HealthEntity<'_>, error: &HealthError<'_>| {
            let word = |text: &Option<Text<'_>>| text.as_ref().map_or(String::new(), |text| text.as_str().to_owned());
            let code = error.error_code.as_ref().map_or_else(String::new, |code| format!(" ({})", code.as_str()));
            let said =
                format!("{}{code}: {}", word(&entity.entity_type).to_lowercase(), word(&error.error_description));
            redact::text(format!("{said} {}", word(&error.possible_solution)).trim_end())
        };
        let all = self.entities.iter().flat_map(|entity| entity.errors.iter().map(move |error| told(entity, error)));
        all.take(PROBLEMS_MAX).collect()
    }
}

/// A part that may be odd or missing.
fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_the_documentation_shows_it() {
        let body = br#"{"id":"2000000000001","display_phone_number":"+91 22 5000 0001","verified_name":"Asha Stores",
            "name_status":"APPROVED","quality_rating":"GREEN","status":"CONNECTED","code_verification_status":"VERIFIED",
            "throughput":{"level":"STANDARD"},"whatsapp_business_manager_messaging_limit":"TIER_2K",
            "health_status":{"can_send_message":"LIMITED","entities":[{"entity_type":"WABA","id":"1",
            "can_send_message":"LIMITED","errors":[{"error_code":141010,"error_description":"Not verified",
            "possible_solution":"Verify the business"}]}]}}"#;

        let state = read_number(body).expect("it is the documented shape");

        assert_eq!((state.quality, state.throughput_per_second), (Quality::Green, Some(80)));
        assert_eq!(state.messaging_limit, Some(MessagingLimit::People(2000)));
        assert_eq!(state.can_send.as_deref(), Some("LIMITED"));
        assert_eq!(state.problems, ["waba (141010): Not verified Verify the business"]);
    }

    #[test]
    fn whatever_is_missing_or_odd_is_unknown_and_no_failure() {
        let odd = br#"{"id":7,"quality_rating":"NA","throughput":"fast","messaging_limit_tier":"TIER_NOT_SET","health_status":[]}"#;

        let state = read_number(odd).expect("it is an object");

        assert_eq!(state.quality, Quality::Unknown);
        assert_eq!(state.messaging_limit, Some(MessagingLimit::Other("TIER_NOT_SET".to_owned())));
        assert_eq!(read_number(b"{}"), Ok(NumberState::default()));
        assert!(read_number(b"<html>").is_err());
    }

    #[test]
    fn a_limit_has_many_spellings() {
        for (word, limit) in [
            ("TIER_250", MessagingLimit::People(250)),
            ("TIER_1K", MessagingLimit::People(1_000)),
            ("TIER_100K", MessagingLimit::People(100_000)),
            ("tier_2k", MessagingLimit::People(2_000)),
            ("10000", MessagingLimit::People(10_000)),
            ("TIER_UNLIMITED", MessagingLimit::Unlimited),
            ("TIER_HUGE", MessagingLimit::Other("TIER_HUGE".to_owned())),
        ] {
            assert_eq!(messaging_limit(word), limit, "{word}");
        }
    }
}
