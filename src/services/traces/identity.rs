//! Which trace a message has, and whether it is traced at all: both follow from its id and a key that all instances
//! of a database share. So nothing is stored, and whoever meets the message, after a restart or in another process, says
//! the same.
//!
//! The key keeps two bridges apart that report to one collector: their ids may be the same.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::domain::ids::MessageId;

/// What has a trace.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    Outbound(MessageId),
    /// A message from a person, by the provider's id of it.
    Inbound(&'a str),
}

/// Gives messages their traces.
pub struct Identities {
    mac: Hmac<Sha256>,
    /// A trace whose id is below it in [`randomness`] is not sampled.
    threshold: u64,
}

/// The ids that a message's trace has everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub trace_id: [u8; 16],
    /// The span with which the trace begins, and which is the parent of all others.
    pub root: [u8; 8],
}

/// The ids of a trace by which others decide, too: 56 bits, as OpenTelemetry has it.
const RANDOMNESS_BITS: u32 = 56;

impl Identities {
    /// `ratio` of all messages have a trace.
    pub fn new(key: &[u8], ratio: f64) -> Self {
        let mac = Hmac::new_from_slice(key).expect("HMAC takes a key of any length");
        let all = (1u64 << RANDOMNESS_BITS) as f64;
        Self { mac, threshold: ((1.0 - ratio.clamp(0.0, 1.0)) * all) as u64 }
    }

    /// The trace; `None` when it is not sampled.
    pub fn of(&self, subject: Subject<'_>) -> Option<Identity> {
        let mut mac = self.mac.clone();
        match subject {
            Subject::Outbound(message) => {
                mac.update(b"outbound");
                mac.update(&message.0.to_be_bytes());
            }
            Subject::Inbound(provider_message_id) => {
                mac.update(b"inbound");
                mac.update(provider_message_id.as_bytes());
            }
        }
        let hash = mac.finalize().into_bytes();
        let mut identity = Identity { trace_id: [0; 16], root: [0; 8] };
        identity.trace_id.copy_from_slice(&hash[..16]);
        identity.root.copy_from_slice(&hash[16..24]);
        (randomness(&identity.trace_id) >= self.threshold).then_some(identity)
    }
}

/// The last seven bytes, which the W3C's trace context promises to be random.
fn randomness(trace_id: &[u8; 16]) -> u64 {
    trace_id[9..].iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_one_trace_everywhere_and_shares_it_with_no_other() {
        let (here, there) = (Identities::new(b"key", 1.0), Identities::new(b"key", 1.0));
        let first = here.of(Subject::Outbound(MessageId(1))).expect("all are sampled");

        assert_eq!(there.of(Subject::Outbound(MessageId(1))), Some(first));
        assert_ne!(here.of(Subject::Outbound(MessageId(2))), Some(first));
        assert_ne!(here.of(Subject::Inbound("wamid.1")), here.of(Subject::Inbound("wamid.2")));
        assert_ne!(Identities::new(b"another bridge's", 1.0).of(Subject::Outbound(MessageId(1))), Some(first));
    }

    #[test]
    fn the_ratio_is_kept_and_a_higher_one_traces_the_same_and_more() {
        let sampled = |ratio: f64| -> Vec<i64> {
            let identities = Identities::new(b"key", ratio);
            (0..20_000).filter(|id| identities.of(Subject::Outbound(MessageId(*id))).is_some()).collect()
        };
        let (tenth, half) = (sampled(0.1), sampled(0.5));

        assert!((1_850..=2_150).contains(&tenth.len()), "{} of 20,000", tenth.len());
        assert!((9_750..=10_250).contains(&half.len()), "{} of 20,000", half.len());
        assert!(tenth.iter().all(|id| half.contains(id)));
        assert!(sampled(1e-18).is_empty());
        assert_eq!(sampled(1.0).len(), 20_000);
    }
}
