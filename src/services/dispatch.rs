//! Sending one message.
//!
//! 1. The request is read again, as it came: it is the one stored copy of what was asked.
//! 2. A template is filled from the list as it is now. One that was not known at acceptance is looked up, and the message takes
//!    another turn as what it turns out to be.
//! 3. One exchange with the provider; once more by its other endpoint when it says so, which is then remembered.
//! 4. What came of it is a [`Finding`] for the message, and a consequence for its number, template or connection.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    activity::Activity,
    directory::{Directory, Snapshot},
    endpoints::{Endpoints, Route},
    lookup::{LookedUp, SILENCE_GOOD_FOR, TemplateLookup},
    per_minute::PerMinute,
    suppressions::Suppressions,
    traces::Traces,
};
use crate::{
    clock,
    domain::{
        account::{Account, Sender, UnknownOutcome},
        attempt::{Attempt, AttemptOutcome},
        failure::{Failure, FailureClass, FailureReason, Scope, SendFailure, Submitted},
        fill::{FillRules, as_given, fill},
        outbound::{Category, Class, Content, OutboundMessage, Purpose, SendBody},
        phone::PhoneNumber,
        progress::{Finding, KnownTemplate},
        retry::{Schedule, after_pair_refusals},
        template::{FilledTemplate, TemplateContent, Unresolved, resolve},
        time::UnixMillis,
    },
    net::exchange::{Exchange, Recorded, Tape},
    platforms, providers,
    sabotage::{Sabotage, breaks},
    store::{Store, outbound::QueuedMessage, provider_conversations::ANSWERED_WITHIN, test_exchanges::TestExchange},
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
    pub taped: PerMinute,
}

/// What came of one message's turn.
pub struct Dispatched {
    pub finding: Finding,
    pub attempt: Option<Attempt>,
    pub consequence: Option<Consequence>,
    /// The provider was asked twice, by both of its endpoints.
    pub swapped: bool,
    /// What was said, of a test.
    pub taped: Vec<TestExchange>,
}

impl Dispatched {
    fn of(finding: Finding) -> Self {
        Self { finding, attempt: None, consequence: None, swapped: false, taped: vec![] }
    }
}

/// Why a message cannot be sent, or not now.
enum Obstacle {
    Final(Failure),
    NotYet {
        wait: Duration,
        failure: Failure,
    },
    /// All messages of its template wait with it.
    TemplateStopped(Failure),
    /// What it is was not known until now.
    NotKnownBefore(KnownTemplate),
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

/// Tests of which is kept what was said. A platform that gives no ids makes a test of everything.
const TAPED_PER_MINUTE: u32 = 30;
/// A message whose template is stopped looks again after this.
const TEMPLATE_STOPPED_WAIT: Duration = Duration::from_secs(15 * 60);
/// Before another look when the database could not be read.
const UNREAD_WAIT: Duration = Duration::from_secs(5);
/// Between two looks whether the quiet hours are over.
const QUIET_WAIT: Duration = Duration::from_secs(10 * 60);
/// However long a provider asks us to wait, we look again after this.
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// When a template is not ready and nobody says for how long.
const TEMPLATE_RETRY_WAIT: Duration = Duration::from_secs(600);
/// When a provider throttles without saying for how long.
const SLOW_WAIT: Duration = Duration::from_secs(1);
/// The same, when it is about one number: its owner goes slower afterwards.
const NUMBER_SLOW_WAIT: Duration = Duration::from_millis(200);

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
        let is_taped = matches!(purpose, Purpose::Test { .. }) && self.taped.one_more(TAPED_PER_MINUTE);
        let tape = is_taped.then(Tape::default);
        let result = self.send(sender, &message, tape.as_ref(), &mut swapped).await;
        let took = clock::now().since(started_at);
        metrics::histogram!(telemetry::SEND_SECONDS).record(took.as_secs_f64());
        if result.is_ok() {
            self.activity.sent(sender.key);
        }
        let taped =
            tape.map_or_else(Vec::new, |tape| tape.lock().expect("no holder can panic").iter().map(taped).collect());
        Dispatched { swapped, taped, ..self.conclude(queued, result, started_at, took) }
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

    /// Between acceptance and now the person may have stopped such messages, or a quiet hour may have begun.
    async fn check_person(&self, account: &Account, message: &OutboundMessage) -> Result<(), Obstacle> {
        let category = match &message.body {
            SendBody::Template(filled) => filled.category,
            SendBody::Freeform(_) => Category::Freeform,
        };
        self.check_welcome(account, &message.to, category).await?;
        // Its number's owner keeps the hours. WhatsApp may have put the template into another category since.
        if account.policy.is_quiet(category, clock::now()) {
            let failure = Failure::new(FailureReason::Other, None, "it waits for the end of the account's quiet hours");
            return Err(Obstacle::NotYet { wait: QUIET_WAIT, failure });
        }
        Ok(())
    }

    /// Whether the person wants messages of this kind, or may be sent any.
    async fn check_welcome(&self, account: &Account, to: &PhoneNumber, category: Category) -> Result<(), Obstacle> {
        match self.suppressions.find(account.key, to, category).await {
            Ok(None) => Ok(()),
            Ok(Some(suppression)) => Err(Obstacle::Final(suppression.failure())),
            Err(error) => {
                tracing::error!(error = %telemetry::Chain(&error), "could not look into the suppression list");
                let failure = Failure::new(FailureReason::Other, None, "the suppression list could not be read");
                Err(Obstacle::NotYet { wait: UNREAD_WAIT, failure })
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
        tape: Option<&Tape>,
        swapped: &mut bool,
    ) -> Result<Submitted, SendFailure> {
        let recording = tape.map(|tape| self.exchange.recording(tape.clone()));
        let via = recording.as_ref().unwrap_or(&self.exchange);
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

    /// Reads the stored request again and fills its template.
    async fn prepare(
        &self,
        account: &Account,
        sender: &Arc<Sender>,
        queued: &QueuedMessage,
    ) -> Result<(OutboundMessage, Purpose), Obstacle> {
        let unreadable = |text: &str| Obstacle::Final(Failure::new(FailureReason::Other, None, text));
        let platform =
            platforms::find(&account.platform).ok_or_else(|| unreadable("this version does not know the platform"))?;
        let request =
            platform.parse_send(account, queued.request.as_bytes()).map_err(|refusal| unreadable(&refusal.message))?;
        let body = match request.content {
            Content::Freeform(freeform) => SendBody::Freeform(freeform),
            Content::Template(content) if queued.category == Category::NotKnownYet => {
                return Err(self.look_up(account, sender, queued, &content, request.purpose).await);
            }
            Content::Template(content) => self.fill(account, sender, queued, &content, request.purpose)?,
        };
        let (id, to) = (queued.id, queued.recipient.clone());
        let conversation = self.conversation(sender, &to, &body).await?;
        Ok((OutboundMessage { id, to, body, conversation }, request.purpose))
    }

    /// Where the person wrote, where the provider wants to know it of what has no template.
    async fn conversation(
        &self,
        sender: &Sender,
        to: &PhoneNumber,
        body: &SendBody,
    ) -> Result<Option<String>, Obstacle> {
        let connection = &sender.connection;
        let is_wanted = matches!(body, SendBody::Freeform(_))
            && providers::find(&connection.provider)
                .is_some_and(|provider| provider.answers_in_conversations(connection));
        if !is_wanted {
            return Ok(None);
        }
        let since = clock::now().minus(ANSWERED_WITHIN);
        self.store.conversation_with(sender.key, to, since).await.map_err(|error| {
            tracing::error!(error = %telemetry::Chain(&error), "could not look for the conversation of an answer");
            let failure =
                Failure::new(FailureReason::Other, None, "the conversation that it answers could not be read");
            Obstacle::NotYet { wait: UNREAD_WAIT, failure }
        })
    }

    fn fill(
        &self,
        account: &Account,
        sender: &Sender,
        queued: &QueuedMessage,
        content: &TemplateContent,
        purpose: Purpose,
    ) -> Result<SendBody, Obstacle> {
        let (name, language) = match &queued.template {
            Some((name, language)) => (name.as_str(), language.as_str()),
            None => (content.name.as_str(), content.language.as_str()),
        };
        // It may have got an alias since it was accepted.
        let name = account.policy.template_meant(name);
        if let Some(category) = providers::passes_any_template(sender) {
            return Ok(SendBody::Template(as_given(content, category)));
        }
        let templates = self.directory.templates(sender);
        let resolved = resolve(&templates, name, language).map_err(|unresolved| match unresolved {
            // It was approved when it was accepted. A pause ends by itself.
            Unresolved::NotApproved { .. } => {
                Obstacle::TemplateStopped(template_failure(&format!("template {name} is stopped at WhatsApp")))
            }
            Unresolved::UnknownName { .. } | Unresolved::UnknownLanguage { .. } => {
                Obstacle::Final(template_failure(&unresolved.to_string()))
            }
        })?;
        let filled = fill(resolved.template, content, FillRules::new(&account.policy, &sender.policy, purpose))
            .map_err(|refusal| Obstacle::Final(template_failure(&refusal.message)))?;
        Ok(SendBody::Template(filled))
    }

    /// Looks a template up that nobody had seen when the message was accepted, and checks what could not be checked then.
    ///
    /// Also when all is well the message does not leave now. As what it is it may be too late already, or has to wait for
    /// its hours; who sees to that for all others sees to it when it is read from the queue again.
    async fn look_up(
        &self,
        account: &Account,
        sender: &Arc<Sender>,
        queued: &QueuedMessage,
        content: &TemplateContent,
        purpose: Purpose,
    ) -> Obstacle {
        let mut checked = self.lookup.check(account, sender, content, purpose);
        if checked.is_err() {
            let looked_up = self.lookup.look_up(sender, &content.name).await;
            // Whether there is such a template is not known: nothing may be said about it.
            if looked_up == LookedUp::NoAnswer && !self.lookup.is_listed(sender, content) {
                let text = format!(
                    "template {}: the template list could not be read at WhatsApp, so it waits; `wabridge check` says why",
                    content.name
                );
                let failure = Failure::new(FailureReason::Other, None, &text);
                return Obstacle::NotYet { wait: SILENCE_GOOD_FOR, failure };
            }
            checked = self.lookup.check(account, sender, content, purpose);
        }
        match checked {
            Ok(FilledTemplate { name, language, category, .. }) => {
                if let Err(obstacle) = self.check_welcome(account, &queued.recipient, category).await {
                    return obstacle;
                }
                // Both count from the same moment.
                let expire_after = &account.policy.expire_after;
                let accepted_at = queued.expires_at.minus(expire_after.of(queued.category));
                let expires_at = accepted_at.plus(expire_after.of(category));
                Obstacle::NotKnownBefore(KnownTemplate { name, language, category, expires_at })
            }
            Err(refusal) => Obstacle::Final(template_failure(&refusal.message)),
        }
    }

    fn conclude(
        &self,
        queued: &QueuedMessage,
        result: Result<Submitted, SendFailure>,
        started_at: UnixMillis,
        took: Duration,
    ) -> Dispatched {
        let failure = match result {
            Ok(Submitted { provider_message_id }) => {
                count("submitted", Scope::Message);
                let attempt = attempt(started_at, took, AttemptOutcome::Succeeded, "");
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
        let attempt = Some(attempt(started_at, took, outcome, &failure.text));
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

    /// What the account wants to be done with messages of which nobody knows whether they went out.
    pub fn unknown_finding(&self, sender: &Sender) -> Finding {
        let snapshot: Arc<Snapshot> = self.directory.snapshot();
        match snapshot.account_by_key(sender.account).map(|account| account.policy.unknown_outcome) {
            Some(UnknownOutcome::Resend) => Finding::Resend,
            Some(UnknownOutcome::ReportFailed) | None => Finding::NoEvidence,
        }
    }
}

fn taped(recorded: &Recorded) -> TestExchange {
    let (http_status, answer) = match &recorded.answer {
        Ok((status, body)) => (i16::try_from(*status).ok(), body.clone()),
        Err(why) => (None, why.clone()),
    };
    TestExchange {
        started_at: recorded.started_at,
        took_ms: i32::try_from(recorded.took.as_millis()).unwrap_or(i32::MAX),
        url: recorded.url.clone(),
        request: recorded.body.clone(),
        http_status,
        answer,
    }
}

fn template_failure(text: &str) -> Failure {
    Failure::new(FailureReason::Template, None, text)
}

fn given_up(reason: FailureReason, text: &str) -> Dispatched {
    count("given_up", Scope::Message);
    Dispatched::of(Finding::GivenUp { failure: Failure::new(reason, None, text) })
}

fn attempt(started_at: UnixMillis, took: Duration, outcome: AttemptOutcome, note: &str) -> Attempt {
    Attempt { started_at, took, outcome, http_status: None, note: note.to_owned(), excerpt: None }
}

fn count(outcome: &'static str, scope: Scope) {
    metrics::counter!(telemetry::SENDS, "outcome" => outcome, "scope" => scope.as_str()).increment(1);
}
