//! The wire of WhatsApp's Cloud API, shared by every provider that speaks it: pure functions between
//! bytes and our words. Hosts, credentials and signatures are the providers' own; what they have in common in asking
//! for lists and files ([`reading`], [`files`]) is told about them by a [`Reach`](reach::Reach).

pub mod errors;
pub(super) mod files;
pub(super) mod findings;
pub(super) mod handshake;
pub mod listing;
pub mod media;
pub mod numbers;
pub(super) mod reach;
pub(super) mod reading;
pub mod send;
pub mod templates;
mod text;
pub mod webhook;

use std::time::Duration;

use crate::domain::outbound::Category;

/// Graph's ids are numbers of some 15 digits.
const ID_DIGITS_MAX: usize = 32;

/// For so long WhatsApp tries to deliver a message whose template says nothing else, or -1.
const TIME_TO_LIVE_MAX: Duration = Duration::from_secs(30 * 86_400);
/// And for so long an authentication template's.
const TIME_TO_LIVE_OF_CODES: Duration = Duration::from_secs(600);

/// Whether a number's id or a business account's has the form of Meta's.
pub(super) fn check_id(id: &str) -> Result<(), String> {
    match (1..=ID_DIGITS_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Ok(()),
        false => {
            Err("must be Meta's id, which has digits only, like 100000000000001: copy it from WhatsApp Manager"
                .to_owned())
        }
    }
}

/// For how long WhatsApp tries to deliver: as long as the template says, as far as that is honoured, or its category.
pub(super) fn time_to_live(category: Category, honoured_s: Option<i64>) -> Duration {
    let own = match category {
        Category::Authentication => TIME_TO_LIVE_OF_CODES,
        Category::Freeform | Category::Utility | Category::Marketing | Category::NotKnownYet => TIME_TO_LIVE_MAX,
    };
    match honoured_s {
        Some(seconds) if seconds > 0 => Duration::from_secs(seconds.unsigned_abs()).min(TIME_TO_LIVE_MAX),
        Some(-1) => TIME_TO_LIVE_MAX,
        Some(_) | None => own,
    }
}
