//! By what a repeat of a message is recognised.

use sha2::{Digest, Sha256};

use crate::domain::ids::SenderKey;

/// By what a repeat is recognised, beside its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageKey {
    pub(super) id_hash: i64,
    pub(super) content_hash: [u8; 16],
}

impl MessageKey {
    /// `content` is everything that makes it the same message: number, recipient, what is said.
    pub fn new(platform_message_id: &str, content: &[u8]) -> Self {
        let digest = Sha256::digest(content);
        Self {
            id_hash: id_hash(platform_message_id),
            content_hash: digest[..16].try_into().expect("a SHA-256 digest has 32 bytes"),
        }
    }
}

/// Bits of a hash that tell the series of an id, and its place there; the rest tells it from its neighbours.
const SERIES_BITS: u32 = 12;
const PLACE_BITS: u32 = 14;
/// So many ids that follow each other share a place.
const NEIGHBOURS: u64 = 256;

/// The hash under which a platform's id is found. Ids that follow each other, as those of a campaign do, have hashes that lie side by side.
///
/// Spread over the whole index, each message of a batch would change a page of its own there: more than all else that
/// is written for it, and with millions of messages stored a page to be read first.
///
/// Many platforms make ids of parts with bars in between: one names the series, others count. Which is which is guessed,
/// the longest is the series. A wrong guess costs speed and nothing else.
pub(crate) fn id_hash(platform_message_id: &str) -> i64 {
    let digest = first_bits(platform_message_id);
    let hash = match neighbourhood(platform_message_id) {
        Some((series, place)) => {
            let series = first_bits(series) >> (u64::BITS - SERIES_BITS);
            let place = place / NEIGHBOURS % (1 << PLACE_BITS);
            (series << PLACE_BITS | place) << (u64::BITS - SERIES_BITS - PLACE_BITS)
                | digest >> (SERIES_BITS + PLACE_BITS)
        }
        None => digest,
    };
    hash.cast_signed()
}

/// The part of an id that names its series, and a number that grows along the series; none when nothing in it counts.
fn neighbourhood(platform_message_id: &str) -> Option<(&str, u64)> {
    let parts = || platform_message_id.split('|').enumerate();
    let (series_at, series) = parts().max_by_key(|(_, part)| part.len())?;
    let numbers = parts().filter(|(at, _)| *at != series_at).filter_map(|(_, part)| part.trim().parse::<u64>().ok());
    numbers.reduce(u64::wrapping_add).map(|place| (series, place))
}

fn first_bits(text: &str) -> u64 {
    let digest = Sha256::digest(text.as_bytes());
    u64::from_be_bytes(digest[..8].try_into().expect("a SHA-256 digest has 32 bytes"))
}

/// The hash under which a provider's message id is found. Ids are unique per number.
pub(crate) fn provider_id_hash(sender: SenderKey, provider_message_id: &str) -> Vec<u8> {
    let mut digest = Sha256::new();
    digest.update(sender.0.to_be_bytes());
    digest.update(provider_message_id.as_bytes());
    digest.finalize()[..16].to_vec()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const CAMPAIGN: &str = "1790000000|20261120";

    fn places(ids: impl Iterator<Item = String>) -> BTreeSet<i64> {
        ids.map(|id| id_hash(&id) >> (u64::BITS - SERIES_BITS - PLACE_BITS)).collect()
    }

    #[test]
    fn neighbours_in_a_campaign_lie_side_by_side() {
        assert!(places((1..=1_000).map(|i| format!("{i}|{CAMPAIGN}|0|0"))).len() <= 5, "numbered by the first part");
        assert!(places((1..=1_000).map(|j| format!("7|{CAMPAIGN}|{j}|0"))).len() <= 5, "or by another");
        assert!(places((1..=1_000).map(|i| format!("{i}|{CAMPAIGN}|{i}"))).len() <= 9, "or by two");
    }

    #[test]
    fn campaigns_lie_apart_and_so_do_ids_that_do_not_count() {
        assert!(places((0..100).map(|i| format!("7|{}|20261120|7|0", 1_790_000_000 + i))).len() > 90);
        assert!(places((0..100).map(|i| format!("order-{i}"))).len() > 90);
        assert!(places((0..100).map(|i| format!("shop|order-number-{i}"))).len() > 90);
    }

    #[test]
    fn a_campaign_has_as_many_hashes_as_messages() {
        let hashes: BTreeSet<i64> = (0..200_000).map(|i| id_hash(&format!("{i}|{CAMPAIGN}|{i}|0"))).collect();

        assert_eq!(hashes.len(), 200_000);
    }
}
