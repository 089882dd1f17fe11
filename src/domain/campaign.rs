//! What a campaign has come to: a funnel, counted message by message.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{outbound::SendState, status::DeliveryStatus};

/// How a platform groups messages, as far as their ids say so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grouping {
    pub campaign: String,
    /// The run of the campaign: of CleverTap the day, as `20261120`.
    pub batch: String,
    pub variant: Option<String>,
}

/// One message, as far as its campaign counts it.
#[derive(Clone, Debug)]
pub struct Counted {
    pub state: SendState,
    /// The best news of it.
    pub delivery: Option<DeliveryStatus>,
    /// Every status that was reported, in any order.
    pub statuses: Vec<DeliveryStatus>,
    /// The platform's code of its failure, when it failed.
    pub failure_code: Option<u16>,
    /// Answers that name it.
    pub replies: Replies,
}

/// Messages from people that name one of ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replies {
    pub all: u64,
    /// Of them: taps on quick-reply buttons, the only clicks that WhatsApp reports.
    pub taps: u64,
    /// Of them: those that came before taps were counted apart, so some may be taps.
    pub unsorted: u64,
}

impl Replies {
    /// One message from a person; `None`: nobody noted whether it is a tap.
    pub fn add_one(&mut self, tapped: Option<bool>) {
        self.all += 1;
        match tapped {
            Some(true) => self.taps += 1,
            Some(false) => {}
            None => self.unsorted += 1,
        }
    }
}

/// How far the messages of a campaign came. Who read something had it delivered, and to whom it was delivered it was sent.
/// So what was accepted is what was sent, failed, is silent or open, less what failed after it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Funnel {
    pub accepted: u64,
    pub sent: u64,
    pub delivered: u64,
    pub read: u64,
    pub failed: u64,
    /// Of those that failed: after WhatsApp had said that it was sent.
    pub failed_after_sent: u64,
    /// Of those that failed, by the platform's code.
    pub failed_by_code: BTreeMap<u16, u64>,
    /// Of those that failed: too late to be worth sending.
    pub expired: u64,
    /// Of those that failed: cancelled by an operator.
    pub cancelled: u64,
    /// WhatsApp took it, and nothing was heard of it since.
    pub silent: u64,
    /// Not finished, or nobody knows.
    pub open: u64,
    pub replies: u64,
    /// Of the replies: taps on quick-reply buttons.
    pub taps: u64,
    /// Of the replies: from before taps were counted apart.
    pub replies_unsorted: u64,
}

impl Funnel {
    /// Without those that an operator cancelled, which the platform is told as failed.
    pub fn failed_itself(&self) -> u64 {
        self.failed.saturating_sub(self.cancelled)
    }

    /// Counts one message; not one that the platform was told we did not take.
    pub fn add(&mut self, message: &Counted) {
        self.add_alike(message, 1);
    }

    /// Counts messages that stand alike; `replies` are those to all of them. Says whether they count.
    pub fn add_alike(&mut self, message: &Counted, messages: u64) -> bool {
        let failed = message.delivery == Some(DeliveryStatus::Failed) || message.failure_code.is_some();
        if message.state == SendState::Cancelled && !failed {
            return false;
        }
        let best = message
            .statuses
            .iter()
            .copied()
            .chain(message.delivery)
            .filter(|status| *status != DeliveryStatus::Failed)
            .max();
        let all_if = |yes: bool| if yes { messages } else { 0 };
        let reached = |status| all_if(best >= Some(status));
        self.accepted += messages;
        self.sent += reached(DeliveryStatus::Sent);
        self.delivered += reached(DeliveryStatus::Delivered);
        self.read += reached(DeliveryStatus::Read);
        // With several devices one may fail and another take it: then it did not fail.
        if failed && best < Some(DeliveryStatus::Delivered) {
            self.failed += messages;
            self.failed_after_sent += reached(DeliveryStatus::Sent);
            if let Some(code) = message.failure_code {
                *self.failed_by_code.entry(code).or_default() += messages;
            }
        }
        self.expired += all_if(message.state == SendState::Expired);
        self.cancelled += all_if(message.state == SendState::Cancelled);
        // An unknown one that was reported as failed is closed, until somebody knows better.
        let open = matches!(message.state, SendState::Queued | SendState::Sending | SendState::Unknown);
        self.open += all_if(open && !failed);
        self.silent += all_if(!open && !failed && best.is_none());
        self.replies += message.replies.all;
        self.taps += message.replies.taps;
        self.replies_unsorted += message.replies.unsorted;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{DeliveryStatus::*, *};

    fn counted(state: SendState, statuses: &[DeliveryStatus], failure_code: Option<u16>) -> Counted {
        let delivery = statuses.iter().copied().max();
        Counted { state, delivery, statuses: statuses.to_vec(), failure_code, replies: Replies::default() }
    }

    #[test]
    fn who_read_it_had_it_delivered_and_it_was_sent() {
        let mut funnel = Funnel::default();
        funnel.add(&counted(SendState::Submitted, &[Read], None));
        funnel.add(&counted(SendState::Submitted, &[Sent, Delivered], None));
        funnel.add(&counted(SendState::Submitted, &[Sent, Failed], Some(1005)));
        funnel.add(&counted(SendState::Submitted, &[Sent, Failed, Delivered], None));
        funnel.add(&counted(SendState::Queued, &[], None));

        assert_eq!((funnel.accepted, funnel.sent, funnel.delivered, funnel.read), (5, 4, 3, 1));
        assert_eq!((funnel.failed, funnel.open), (1, 1));
        assert_eq!(funnel.failed_by_code, [(1005, 1)].into());
    }

    #[test]
    fn the_parts_add_up_to_what_was_accepted() {
        let mut funnel = Funnel::default();
        funnel.add(&counted(SendState::Submitted, &[], None));
        funnel.add(&counted(SendState::Submitted, &[Sent], None));
        funnel.add(&counted(SendState::Submitted, &[Sent, Failed], Some(1005)));
        funnel.add(&counted(SendState::Rejected, &[Failed], Some(1005)));
        funnel.add(&counted(SendState::Queued, &[], None));

        assert_eq!((funnel.sent, funnel.failed, funnel.silent, funnel.open), (2, 2, 1, 1));
        assert_eq!(
            funnel.sent + funnel.failed + funnel.silent + funnel.open - funnel.failed_after_sent,
            funnel.accepted
        );
    }

    #[test]
    fn what_the_platform_was_told_we_did_not_take_does_not_count() {
        let mut funnel = Funnel::default();
        funnel.add(&counted(SendState::Cancelled, &[], None));
        assert_eq!(funnel, Funnel::default());

        funnel.add(&counted(SendState::Cancelled, &[Failed], Some(1009)));
        funnel.add(&counted(SendState::Expired, &[Failed], Some(1009)));
        funnel.add(&counted(SendState::Unknown, &[Failed], Some(1009)));
        assert_eq!((funnel.accepted, funnel.failed, funnel.cancelled, funnel.expired, funnel.open), (3, 3, 1, 1, 0));
    }
}
