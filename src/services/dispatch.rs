//! Sending one message.
//!
//! 1. The request is read again, as it came: it is the one stored copy of what was asked.
//! 2. A template is filled from the list as it is now. One that was not known at acceptance is looked up, and the message takes
//!    another turn as what it turns out to be.
//! 3. One exchange with the provider; once more by its other endpoint when it says so, which is then remembered.
//! 4. What came of it is a [`Finding`] for the message, and a consequence for its number, template or connection.

mod conclude;
mod prepare;
mod taping;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub use self::taping::Taping;
use self::{conclude::Tried, prepare::Obstacle};
use super::{
    activity::Activity,
    directory::{Directory, Snapshot},
    endpoints::{Endpoints, Route},
    lookup::TemplateLookup,
    suppressions::Suppressions,
    traces::Traces,
};
use crate::{
    clock,
    domain::{
        account::{Sender, UnknownOutcome},
        failure::{Failure, FailureClass, FailureReason, Scope, SendFailure, Submitted},
        outbound::{Category, Class, OutboundMessage, Purpose},
        progress::Finding,
        retry::Schedule,
    },
    net::exchange::{Exchange, Tape},
    providers,
    sabotage::{Sabotage, breaks},
    store::{
        Store,
        outbound::{QueuedMessage, SendAttempt},
    },
    telemetry,
};

pub struct Dispatcher {
    pub store: Store,
    pub directory: Arc<Directory>,
    pub exchange: Exchange,
    pub lookup: Arc<TemplateLookup>,
    pub suppressions: Arc<Suppressions>,
    pub retries: Schedule,
    /// How long to wait for evidence about a message that may have gone out.
    pub unknown_grace: Duration,
    pub endpoints: Endpoints,
    pub activity: Arc<Activity>,
    pub traces: Traces,
    pub taping: Taping,
}

/// What came of one message's turn.
pub struct Dispatched {
    pub finding: Finding,
    pub attempt: Option<SendAttempt>,
    pub consequence: Option<Consequence>,
    /// The provider was asked twice, by both of its endpoints.
    pub swapped: bool,
}

impl Dispatched {
    fn of(finding: Finding) -> Self {
        Self { finding, attempt: None, consequence: None, swapped: false }
    }
}

/// What a failure means for more than its message.
#[derive(Clone, Debug, PartialEq)]
pub struct Consequence {
    pub class: ConsequenceClass,
    pub scope: Scope,
    pub wait: Duration,
    pub failure: Failure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsequenceClass {
    Slow,
    Hold,
}

/// A message whose template is stopped looks again after this.
const TEMPLATE_STOPPED_WAIT: Duration = Duration::from_secs(15 * 60);

impl Dispatcher {
    /// `may_go` is asked when everything is ready to leave; without it the message is as if it had not been tried.
    pub async fn dispatch(
        &self,
        sender: &Arc<Sender>,
        queued: &QueuedMessage,
        may_go: &(dyn Fn() -> bool + Sync),
    ) -> Dispatched {
        let traced = self.traces.of(queued.id);
        let dispatched = self.try_dispatch(sender, queued, may_go).await;
        if let Some(traced) = traced {
            let snapshot = self.directory.snapshot();
            let account = snapshot.account_by_key(sender.account).map(|account| account.id.as_str());
            traced.sent(account, sender, queued, &dispatched.finding);
        }
        dispatched
    }

    async fn try_dispatch(
        &self,
        sender: &Arc<Sender>,
        queued: &QueuedMessage,
        may_go: &(dyn Fn() -> bool + Sync),
    ) -> Dispatched {
        let snapshot = self.directory.snapshot();
        let started_at = clock::now();
        let Some(account) = snapshot.account_by_key(sender.account) else {
            return given_up(FailureReason::Credentials, "the account does not exist any more");
        };
        let (message, purpose) = match self.prepare(account, sender, queued).await {
            Ok(prepared) => prepared,
            Err(obstacle) => return self.obstructed(queued, obstacle),
        };
        if let Err(obstacle) = self.check_person(account, &message).await {
            return self.obstructed(queued, obstacle);
        }
        if breaks(Sabotage::ForgetsWork) && rand::random_ratio(1, 20) {
            let provider_message_id = format!("wamid.forgotten-{}", queued.id);
            return Dispatched::of(Finding::Submitted { provider_message_id });
        }
        if !may_go() {
            return Dispatched::of(Finding::Returned);
        }
        let mut swapped = false;
        let tape = Tape::default();
        let result = self.send(sender, &message, &self.exchange.recording(tape.clone()), &mut swapped).await;
        let took = clock::now().since(started_at);
        metrics::histogram!(telemetry::SEND_SECONDS).record(took.as_secs_f64());
        if result.is_ok() {
            self.activity.sent(sender.key);
        }
        let is_test = matches!(purpose, Purpose::Test { .. });
        let said = self.taping.keep(&tape, &sender.connection, is_test, result.is_ok());
        Dispatched { swapped, ..self.conclude(queued, result, Tried { started_at, took, said }) }
    }

    /// What keeps a message from being sent, before anybody was asked.
    fn obstructed(&self, queued: &QueuedMessage, obstacle: Obstacle) -> Dispatched {
        let later = |wait: Duration, failure, scope| {
            count("later", scope);
            Finding::KeptBack { due_at: clock::now().plus(wait).min(queued.expires_at), failure }
        };
        match obstacle {
            Obstacle::Final(failure) => {
                count("given_up", Scope::Message);
                Dispatched::of(Finding::GivenUp { failure })
            }
            Obstacle::NotYet { wait, failure } => Dispatched::of(later(wait, failure, Scope::Message)),
            Obstacle::TemplateStopped(failure) => {
                let consequence = Consequence {
                    class: ConsequenceClass::Hold,
                    scope: Scope::Template,
                    wait: Duration::ZERO,
                    failure: failure.clone(),
                };
                let finding = later(TEMPLATE_STOPPED_WAIT, failure, Scope::Template);
                Dispatched { consequence: Some(consequence), ..Dispatched::of(finding) }
            }
            Obstacle::NotKnownBefore(template) => {
                count("later", Scope::Message);
                Dispatched::of(Finding::TemplateKnown(template))
            }
        }
    }

    /// Classes of a number whose messages wait for the end of quiet hours.
    pub fn quiet_classes(&self, sender: &Sender) -> Vec<Class> {
        let (snapshot, now) = (self.directory.snapshot(), clock::now());
        let Some(account) = snapshot.account_by_key(sender.account) else { return vec![] };
        let quiet = [Category::Marketing, Category::Utility].into_iter();
        quiet.filter(|category| account.policy.is_quiet(*category, now)).map(Category::class).collect()
    }

    async fn send(
        &self,
        sender: &Sender,
        message: &OutboundMessage,
        via: &Exchange,
        swapped: &mut bool,
    ) -> Result<Submitted, SendFailure> {
        let Some(provider) = providers::find(&sender.connection.provider) else {
            let text = format!("this version knows no provider {}", sender.connection.provider);
            return Err(SendFailure {
                class: FailureClass::Hold,
                scope: Scope::Connection,
                wait: None,
                tries_max: None,
                failure: Failure::new(FailureReason::Other, None, &text),
            });
        };
        let route = Route::of(sender, message);
        let other = route.as_ref().is_some_and(|route| self.endpoints.goes_by_other(route, Instant::now()));
        let mut result = provider.send(via, sender, message, other).await;
        let mut by_other = other;
        if result.as_ref().is_err_and(|failure| failure.class == FailureClass::Swap) {
            *swapped = true;
            by_other = !other;
            result = provider.send(via, sender, message, by_other).await;
        }
        if let Some(route) = route
            && result.is_ok()
        {
            self.endpoints.learn(route, by_other, Instant::now());
        }
        result
    }

    /// What the account wants to be done with messages of which nobody knows whether they went out.
    pub fn unknown_finding(&self, sender: &Sender) -> Finding {
        let snapshot: Arc<Snapshot> = self.directory.snapshot();
        match snapshot.account_by_key(sender.account).map(|account| account.policy.unknown_outcome) {
            Some(UnknownOutcome::Resend) => Finding::Resend,
            Some(UnknownOutcome::ReportFailed) | None => Finding::NoEvidence,
        }
    }
}

fn given_up(reason: FailureReason, text: &str) -> Dispatched {
    count("given_up", Scope::Message);
    Dispatched::of(Finding::GivenUp { failure: Failure::new(reason, None, text) })
}

fn count(outcome: &'static str, scope: Scope) {
    metrics::counter!(telemetry::SENDS, "outcome" => outcome, "scope" => scope.as_str()).increment(1);
}
