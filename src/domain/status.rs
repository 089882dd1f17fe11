//! What WhatsApp says happened to a message, and how we keep it straight.
//!
//! Providers report late, twice, and out of order: `delivered` may arrive before `sent`, and
//! `failed` after it. So every report that brings news becomes an event of the log, and the
//! message's own status only ever moves forward. This module decides what "forward" means, and
//! which steps a platform must be told when a report skipped some; it stores nothing.

use super::{failure::Failure, ids::MessageId, outbound::stored, price::Price, time::UnixMillis};

/// The best news so far. Ordered by how much it tells us, not by when it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeliveryStatus {
    Sent,
    /// Below `Delivered` on purpose: with several devices one may refuse and another accept,
    /// and a message somebody has read did not fail.
    Failed,
    Delivered,
    Read,
}

impl DeliveryStatus {
    /// The steps of a message that goes well.
    pub const WAY: [Self; 3] = [Self::Sent, Self::Delivered, Self::Read];
}

stored!(DeliveryStatus { Sent = 1 "sent", Failed = 2 "failed", Delivered = 3 "delivered", Read = 4 "read" });

/// One report, as one provider made it.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusUpdate {
    pub provider_message_id: String,
    /// Our own id, where the provider echoes what we sent along.
    pub message: Option<MessageId>,
    /// The provider's id of the sender number; empty where a provider names only the message.
    pub provider_number_id: String,
    pub status: DeliveryStatus,
    pub occurred_at: UnixMillis,
    /// Why, when `status` is [`DeliveryStatus::Failed`].
    pub failure: Option<Failure>,
    /// Told with some of a message's reports.
    pub price: Option<Price>,
    /// The provider's own entry.
    pub entry: String,
}

/// The status a message should move to, or `None` when the report brings nothing new.
pub fn advance(current: Option<DeliveryStatus>, reported: DeliveryStatus) -> Option<DeliveryStatus> {
    (Some(reported) > current).then_some(reported)
}

/// The steps to tell a platform when a message moves from `current` to `reported`, the lower ones
/// first: a `read` without a `delivered` implies it. A failure implies nothing but itself, and after
/// a failure the way up is not told again from its beginning.
pub fn steps(current: Option<DeliveryStatus>, reported: DeliveryStatus) -> Vec<DeliveryStatus> {
    use DeliveryStatus::Failed;
    if advance(current, reported).is_none() {
        return Vec::new();
    }
    if reported == Failed {
        return vec![Failed];
    }
    DeliveryStatus::WAY.into_iter().filter(|step| Some(*step) > current && *step <= reported).collect()
}

#[cfg(test)]
mod tests {
    use super::{DeliveryStatus::*, *};
    use proptest::prelude::*;

    #[test]
    fn every_order_of_reports_ends_at_the_best_news() {
        for reports in [[Sent, Delivered, Read], [Read, Sent, Delivered], [Delivered, Failed, Read]] {
            let last = reports.into_iter().fold(None, |now, next| advance(now, next).or(now));
            assert_eq!(last, Some(Read));
        }
    }

    #[test]
    fn a_repeat_changes_nothing() {
        for status in DeliveryStatus::ALL {
            assert_eq!(advance(Some(status), status), None);
            assert!(steps(Some(status), status).is_empty());
        }
    }

    #[test]
    fn a_jump_is_told_step_by_step() {
        assert_eq!(steps(None, Read), [Sent, Delivered, Read]);
        assert_eq!(steps(Some(Sent), Read), [Delivered, Read]);
        assert_eq!(steps(None, Failed), [Failed]);
        assert_eq!(steps(Some(Failed), Delivered), [Delivered]);
        assert_eq!(steps(Some(Delivered), Failed), []);
    }

    proptest! {
        /// Whatever arrives, in whatever order, however often: a platform hears each status at most
        /// once, in rising order, and in the end the best.
        #[test]
        fn what_is_told_only_rises(reports in proptest::collection::vec(proptest::sample::select(DeliveryStatus::ALL.to_vec()), 0..20)) {
            let mut status = None;
            let mut told = Vec::new();
            for report in &reports {
                told.extend(steps(status, *report));
                status = advance(status, *report).or(status);
            }
            prop_assert!(told.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert_eq!(told.last().copied(), reports.iter().max().copied());
            prop_assert_eq!(status, reports.iter().max().copied());
        }
    }
}
