//! What the provider's answer means for the message, and for more than it.

use std::time::Duration;

use super::{Consequence, ConsequenceClass, Dispatched, Dispatcher, count};
use crate::{
    clock,
    domain::{
        attempt::{Attempt, AttemptOutcome},
        failure::{Failure, FailureClass, Scope, SendFailure, Submitted},
        progress::Finding,
        retry::after_pair_refusals,
        time::UnixMillis,
    },
    store::{
        outbound::{QueuedMessage, SendAttempt},
        send_exchanges::Said,
    },
};

/// However long a provider asks us to wait, we look again after this.
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// When a template is not ready and nobody says for how long.
const TEMPLATE_RETRY_WAIT: Duration = Duration::from_secs(600);
/// When a provider throttles without saying for how long.
const SLOW_WAIT: Duration = Duration::from_secs(1);
/// The same, when it is about one number: its owner goes slower afterwards.
const NUMBER_SLOW_WAIT: Duration = Duration::from_millis(200);

/// A try that is over.
pub(super) struct Tried {
    pub(super) started_at: UnixMillis,
    pub(super) took: Duration,
    pub(super) said: Said,
}

impl Tried {
    fn attempt(self, outcome: AttemptOutcome, note: &str) -> SendAttempt {
        let Self { started_at, took, said } = self;
        let attempt = Attempt { started_at, took, outcome, http_status: None, note: note.to_owned(), excerpt: None };
        SendAttempt { attempt, said }
    }
}

impl Dispatcher {
    pub(super) fn conclude(
        &self,
        queued: &QueuedMessage,
        result: Result<Submitted, SendFailure>,
        tried: Tried,
    ) -> Dispatched {
        let failure = match result {
            Ok(Submitted { provider_message_id }) => {
                count("submitted", Scope::Message);
                let attempt = tried.attempt(AttemptOutcome::Succeeded, "");
                let finding = Finding::Submitted { provider_message_id };
                return Dispatched { attempt: Some(attempt), ..Dispatched::of(finding) };
            }
            Err(failure) => failure,
        };
        let SendFailure { class, scope, wait, tries_max, failure } = failure;
        let tries = usize::try_from(queued.attempts).unwrap_or(0) + 1;
        let tried_enough = tries_max.is_some_and(|most| tries >= usize::from(most));
        let class = if class == FailureClass::Retry && tried_enough { FailureClass::GiveUp } else { class };
        let outcome = match class {
            FailureClass::Unknown => AttemptOutcome::NoAnswer,
            FailureClass::Retry
            | FailureClass::Slow
            | FailureClass::Hold
            | FailureClass::Swap
            | FailureClass::GiveUp => AttemptOutcome::Refused,
        };
        let attempt = Some(tried.attempt(outcome, &failure.text));
        let retry = |failure: Failure, at_least: Duration| {
            let planned = self.retries.wait_repeating(tries, wait, rand::random());
            // Not later than its expiry, which is then reported at once.
            let due_at = clock::now().plus(planned.max(at_least)).min(queued.expires_at);
            Finding::Retry { due_at, failure }
        };
        let consequence = |class, wait| Some(Consequence { class, scope, wait, failure: failure.clone() });
        match class {
            // Every message of the template would be told the same; they wait with it.
            FailureClass::Retry if scope == Scope::Template => {
                count("retry", scope);
                let wait = wait.unwrap_or(TEMPLATE_RETRY_WAIT).min(WAIT_MAX);
                let consequence = consequence(ConsequenceClass::Slow, wait);
                Dispatched { attempt, consequence, ..Dispatched::of(retry(failure, wait)) }
            }
            // Its own schedule, apart from that of other failures; the number's owner counts for the person.
            FailureClass::Slow if scope == Scope::Pair => {
                count("slow", scope);
                let wait = wait.unwrap_or_default().min(WAIT_MAX);
                let consequence = consequence(ConsequenceClass::Slow, wait);
                let before = u32::try_from(queued.attempts).unwrap_or(0);
                let due_at = clock::now().plus(after_pair_refusals(before).max(wait)).min(queued.expires_at);
                Dispatched { attempt, consequence, ..Dispatched::of(Finding::Retry { due_at, failure }) }
            }
            FailureClass::Retry => {
                count("retry", scope);
                let at_least = wait.unwrap_or_default().min(WAIT_MAX);
                Dispatched { attempt, ..Dispatched::of(retry(failure, at_least)) }
            }
            FailureClass::Slow => {
                count("slow", scope);
                let usual = if scope == Scope::Number { NUMBER_SLOW_WAIT } else { SLOW_WAIT };
                let wait = wait.unwrap_or(usual).min(WAIT_MAX);
                let consequence = consequence(ConsequenceClass::Slow, wait);
                Dispatched { attempt, consequence, ..Dispatched::of(retry(failure, wait)) }
            }
            FailureClass::Hold if scope == Scope::Message => {
                count("given_up", scope);
                Dispatched { attempt, ..Dispatched::of(Finding::GivenUp { failure }) }
            }
            FailureClass::Hold => {
                count("hold", scope);
                let consequence = consequence(ConsequenceClass::Hold, wait.unwrap_or_default());
                Dispatched { attempt, consequence, ..Dispatched::of(retry(failure, Duration::ZERO)) }
            }
            // One endpoint sent it to the other, and that one sent it back: nobody takes it.
            FailureClass::Swap | FailureClass::GiveUp => {
                count("given_up", scope);
                Dispatched { attempt, ..Dispatched::of(Finding::GivenUp { failure }) }
            }
            FailureClass::Unknown => {
                count("unknown", scope);
                let settle_at = clock::now().plus(self.unknown_grace);
                Dispatched { attempt, ..Dispatched::of(Finding::Unknown { settle_at, failure }) }
            }
        }
    }
}
