//! May an operator send a message again? What came of it the first time decides, and how sure we are of that.

use super::{
    failure::{Failure, FailureReason},
    outbound::SendState,
    status::DeliveryStatus,
};

/// The answer, with its reason for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resend {
    Fine,
    /// Somebody must say that it is meant.
    Risky(&'static str),
    Never(&'static str),
}

/// `awaited`: whether evidence of an unknown outcome is still waited for.
pub fn may_resend(
    state: SendState,
    delivery: Option<DeliveryStatus>,
    failure: Option<&Failure>,
    awaited: bool,
) -> Resend {
    match (state, delivery) {
        (SendState::Queued, _) => Resend::Never("it waits to be sent already"),
        (SendState::Sending, _) => Resend::Never("it is being sent at this moment"),
        (_, Some(DeliveryStatus::Delivered | DeliveryStatus::Read)) => {
            Resend::Risky("it has arrived: the person would get it twice")
        }
        (SendState::Submitted, None | Some(DeliveryStatus::Sent)) => {
            Resend::Risky("WhatsApp took it and may still deliver it: the person could get it twice")
        }
        (SendState::Unknown, _) if awaited => {
            Resend::Risky("it may have gone out, and evidence is still awaited: the person could get it twice")
        }
        (SendState::Cancelled, _) if failure.is_none() => Resend::Risky(
            "it was never accepted: the platform was told that it could not be stored, and may have sent it again",
        ),
        (
            SendState::Submitted | SendState::Rejected | SendState::Unknown | SendState::Expired | SendState::Cancelled,
            _,
        ) => after(failure),
    }
}

/// It counts as failed; but not always for certain, and some reasons do not go away by asking again.
fn after(failure: Option<&Failure>) -> Resend {
    match failure.map(|failure| failure.reason) {
        Some(FailureReason::BlockedByProvider) => Resend::Risky(
            "WhatsApp chose not to deliver it, and holds it against the business account when it is asked again and again",
        ),
        Some(FailureReason::UnknownOutcome) => {
            Resend::Risky("nobody knows whether WhatsApp took it: the person could get it twice")
        }
        Some(FailureReason::Blocklisted | FailureReason::OptedOut) => {
            Resend::Risky("the person does not want messages like this")
        }
        Some(
            FailureReason::Credentials
            | FailureReason::Template
            | FailureReason::InvalidNumber
            | FailureReason::NumberInactive
            | FailureReason::TooManyToNumber
            | FailureReason::Unreachable
            | FailureReason::DeviceIncapable
            | FailureReason::OutsideWindow
            | FailureReason::Expired
            | FailureReason::Other
            | FailureReason::Cancelled,
        )
        | None => Resend::Fine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(reason: FailureReason) -> Failure {
        Failure::new(reason, None, "because")
    }

    #[test]
    fn what_failed_expired_or_was_cancelled_may_be_sent_again() {
        let (unreachable, expired) = (failed(FailureReason::Unreachable), failed(FailureReason::Expired));
        let cancelled = failed(FailureReason::Cancelled);
        for (state, failure) in [
            (SendState::Submitted, &unreachable),
            (SendState::Rejected, &unreachable),
            (SendState::Unknown, &unreachable),
            (SendState::Expired, &expired),
            (SendState::Cancelled, &cancelled),
        ] {
            assert_eq!(
                may_resend(state, Some(DeliveryStatus::Failed), Some(failure), false),
                Resend::Fine,
                "{state:?}"
            );
        }
    }

    #[test]
    fn what_waits_or_is_under_way_is_never_sent_again() {
        for state in [SendState::Queued, SendState::Sending] {
            assert!(matches!(may_resend(state, None, None, false), Resend::Never(_)));
        }
    }

    #[test]
    fn what_may_arrive_twice_or_is_not_wanted_must_be_meant() {
        use DeliveryStatus::{Delivered, Failed, Read, Sent};
        let blocked = failed(FailureReason::BlockedByProvider);
        let unwanted = failed(FailureReason::Blocklisted);
        let unheard = failed(FailureReason::UnknownOutcome);
        for (state, delivery, failure, awaited) in [
            (SendState::Submitted, None, None, false),
            (SendState::Submitted, Some(Sent), None, false),
            (SendState::Submitted, Some(Delivered), None, false),
            (SendState::Submitted, Some(Read), None, false),
            (SendState::Unknown, None, None, true),
            (SendState::Unknown, Some(Failed), Some(&unheard), false),
            (SendState::Cancelled, None, None, false),
            (SendState::Submitted, Some(Failed), Some(&blocked), false),
            (SendState::Rejected, Some(Failed), Some(&unwanted), false),
        ] {
            assert!(
                matches!(may_resend(state, delivery, failure, awaited), Resend::Risky(_)),
                "{state:?} {delivery:?}"
            );
        }
    }
}
