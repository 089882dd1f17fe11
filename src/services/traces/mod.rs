//! Traces: what each step on a message's way took, by OpenTelemetry's protocol. Off by default.
//!
//! A message's trace begins when it is accepted; each try to send it, each webhook about it and each callback is a span of
//! it, in whichever process and however much later. So that nothing need be stored or handed on, the trace follows from the
//! message's id ([`identity`]), and so does whether the message is traced at all. A message from a person has a trace of its own,
//! from the webhook to the callback.
//!
//! Whoever does a step asks [`Traces::of`] before it and tells the end of it. When nothing is traced that is one look at an empty
//! option; a message that is not sampled costs a hash. Spans go into a queue that never waits ([`export`]).
//!
//! Absent on purpose: commits, reads and parsing, which are done for many messages together; and our trace in requests to
//! providers and platforms, who have no business with it.

mod export;
pub mod identity;
mod span;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub use self::span::Caller;
use self::{
    export::Exporter,
    identity::{Identities, Identity, Subject},
    span::{Draft, Step},
};
use crate::{
    clock,
    domain::{
        account::Sender,
        attempt::{Attempt, AttemptOutcome},
        callback::{Event, EventDetail, Rendered},
        failure::Failure,
        ids::MessageId,
        progress::Finding,
        time::UnixMillis,
    },
    net::collector::Collector,
    providers::Parsed,
    store::outbound::QueuedMessage,
    telemetry,
};

/// The purpose for which a database has a key of its own.
pub const KEY_PURPOSE: &str = "traces";

/// Where steps are told. Cheap to clone.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Tracer>>);

struct Tracer {
    identities: Identities,
    queue: mpsc::Sender<Span>,
}

impl Traces {
    /// Nothing is traced.
    pub fn off() -> Self {
        Self(None)
    }

    /// Begins to bring spans to the collector. The task ends some time after `closing`: what was told before is brought away, unless
    /// the collector does not take it.
    pub fn start(
        identities: Identities,
        collector: Collector,
        queue_spans: usize,
        instance: &str,
        closing: CancellationToken,
    ) -> (Self, JoinHandle<()>) {
        let (sender, queue) = mpsc::channel(queue_spans);
        let exporter = Exporter { queue, collector, resource: span::resource(instance), closing, failing: false };
        (Self(Some(Arc::new(Tracer { identities, queue: sender }))), tokio::spawn(exporter.run()))
    }

    /// Begins a step of this message; `None` when the message is not traced.
    pub fn of(&self, message: MessageId) -> Option<Traced> {
        let tracer = self.0.as_ref()?;
        let identity = tracer.identities.of(Subject::Outbound(message))?;
        Some(Traced { tracer: tracer.clone(), identity, message, started_at: clock::now(), started: Instant::now() })
    }

    /// Begins the step of a webhook: for each message that it is about and that is traced.
    pub fn of_webhook(&self, parsed: &Parsed) -> TracedWebhook {
        let mut reports = Vec::new();
        let Some(tracer) = &self.0 else { return TracedWebhook { tracer: None, reports, parts: 0 } };
        for update in &parsed.statuses {
            // Who does not echo our id tells of a message that only the database can find.
            let Some(message) = update.message else { continue };
            if let Some(identity) = tracer.identities.of(Subject::Outbound(message)) {
                reports.push(Report { identity, message: Some(message), what: update.status.as_str() });
            }
        }
        for inbound in &parsed.inbound {
            if let Some(identity) = tracer.identities.of(Subject::Inbound(&inbound.message.provider_message_id)) {
                reports.push(Report { identity, message: None, what: INBOUND });
            }
        }
        let begun = (tracer.clone(), clock::now(), Instant::now());
        TracedWebhook { tracer: Some(begun), reports, parts: parsed.statuses.len() + parsed.inbound.len() }
    }

    /// One request to a callback URL is over: a span for each message that it told of and that is traced.
    pub fn relayed(&self, account: &str, url: &str, run: &[Event], request: &Rendered, attempt: &Attempt) {
        let Some(tracer) = &self.0 else { return };
        for event in request.events.iter().filter_map(|index| run.get(*index)) {
            if let Some((identity, what)) = tracer.identity_of(event) {
                let told = Draft::new(Step::Relay, account, &identity, attempt.started_at, attempt.took)
                    .text("wabridge.account.id", account)
                    .text("wabridge.event", what);
                tracer.tell(of_callback(tracer.about(told, event), url, request, attempt));
            }
        }
    }
}

/// What an inbound message is called beside the statuses.
const INBOUND: &str = "inbound";

impl Tracer {
    fn identity_of(&self, event: &Event) -> Option<(Identity, &'static str)> {
        match (&event.detail, event.message) {
            (EventDetail::Status { status, .. }, Some(message)) => {
                Some((self.identities.of(Subject::Outbound(message))?, status.as_str()))
            }
            (EventDetail::Inbound(message), _) => {
                Some((self.identities.of(Subject::Inbound(&message.provider_message_id))?, INBOUND))
            }
            (
                EventDetail::Status { .. }
                | EventDetail::Notice(_)
                | EventDetail::Outgoing(_)
                | EventDetail::Person(_)
                | EventDetail::Unreadable { .. },
                _,
            ) => None,
        }
    }

    /// Names our own message that an event is about: the one whose status it is, or the one that a person answers.
    fn about(&self, draft: Draft, event: &Event) -> Draft {
        match (&event.detail, event.message) {
            (EventDetail::Inbound(_), Some(quoted)) => match self.identities.of(Subject::Outbound(quoted)) {
                Some(Identity { trace_id, root }) => draft.linked(trace_id, root),
                None => draft,
            },
            (EventDetail::Status { .. } | EventDetail::Outgoing(_), Some(message)) => {
                draft.text("messaging.message.id", message.to_string())
            }
            (_, None) | (EventDetail::Notice(_) | EventDetail::Person(_) | EventDetail::Unreadable { .. }, _) => draft,
        }
    }

    fn tell(&self, draft: Draft) {
        if self.queue.try_send(draft.done()).is_err() {
            tally("dropped", 1);
        }
    }
}

fn of_callback(draft: Draft, url: &str, request: &Rendered, attempt: &Attempt) -> Draft {
    let host = url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let draft = draft
        .text("http.request.method", "POST")
        .text("server.address", host.unwrap_or_default())
        .number("messaging.batch.message_count", count(request.events.len()));
    let draft = match attempt.http_status {
        Some(status) => draft.number("http.response.status_code", status),
        None => draft,
    };
    match (attempt.outcome, attempt.http_status) {
        (AttemptOutcome::Succeeded, _) => draft,
        (AttemptOutcome::Refused | AttemptOutcome::NoAnswer, Some(status)) => draft.failed(status.to_string()),
        (AttemptOutcome::Refused | AttemptOutcome::NoAnswer, None) => draft.failed(attempt.outcome.as_str()),
    }
}

/// A step of one message, which has begun.
pub struct Traced {
    tracer: Arc<Tracer>,
    identity: Identity,
    message: MessageId,
    started_at: UnixMillis,
    started: Instant,
}

/// A request that was accepted.
pub struct AcceptedRequest<'a> {
    pub account: &'a str,
    /// The pattern that the path fitted.
    pub route: String,
    pub http_status: u16,
    /// It was accepted before.
    pub repeat: bool,
    pub caller: Option<Caller>,
    pub took: Duration,
}

impl Traced {
    /// The message was accepted, which ended now.
    pub fn accepted(self, request: AcceptedRequest<'_>) {
        let AcceptedRequest { account, route, http_status, repeat, caller, took } = request;
        let draft = self
            .draft(Step::Accept, account, self.started_at.minus(took), took)
            .text("wabridge.account.id", account)
            .text("wabridge.outcome", if repeat { "repeat" } else { "accepted" })
            .text("http.request.method", "POST")
            .text("http.route", route)
            .number("http.response.status_code", http_status)
            .linked_to(caller);
        // A trace begins once.
        self.tracer.tell(if repeat { draft } else { draft.first(&self.identity) });
    }

    /// A turn of the message to be sent is over. One in which nothing was found out is left out.
    pub fn sent(self, account: Option<&str>, sender: &Sender, queued: &QueuedMessage, finding: &Finding) {
        let Some(Outcome { word, failure, is_error }) = outcome(finding) else { return };
        let draft = self
            .draft(Step::Send, &sender.connection.id, self.started_at, self.started.elapsed())
            .text("wabridge.account.id", account.unwrap_or_default())
            .text("wabridge.category", queued.category.as_str())
            .text("wabridge.outcome", word)
            .number("wabridge.attempt", queued.attempts.saturating_add(1));
        let draft = match failure.and_then(|failure| failure.code) {
            Some(code) => draft.number("wabridge.provider.code", code),
            None => draft,
        };
        self.tracer.tell(match failure.filter(|_| is_error) {
            Some(failure) => draft.failed(failure.reason.as_str()),
            None => draft,
        });
    }

    fn draft(&self, step: Step, whose: &str, started_at: UnixMillis, took: Duration) -> Draft {
        Draft::new(step, whose, &self.identity, started_at, took).text("messaging.message.id", self.message.to_string())
    }
}

/// What a turn came to.
struct Outcome<'a> {
    word: &'static str,
    failure: Option<&'a Failure>,
    is_error: bool,
}

fn outcome(finding: &Finding) -> Option<Outcome<'_>> {
    let fine = |word| Some(Outcome { word, failure: None, is_error: false });
    match finding {
        Finding::Submitted { .. } => fine("submitted"),
        Finding::TemplateKnown(_) => fine("template_known"),
        Finding::KeptBack { failure, .. } => {
            Some(Outcome { word: "kept_back", failure: Some(failure), is_error: false })
        }
        Finding::Retry { failure, .. } => Some(Outcome { word: "retry", failure: Some(failure), is_error: true }),
        Finding::GivenUp { failure } => Some(Outcome { word: "given_up", failure: Some(failure), is_error: true }),
        Finding::Unknown { failure, .. } => Some(Outcome { word: "unknown", failure: Some(failure), is_error: true }),
        // It did not leave, or somebody else than the one who sends found it.
        Finding::Returned
        | Finding::Postponed { .. }
        | Finding::Expired
        | Finding::NoEvidence
        | Finding::Resend
        | Finding::Cancelled { .. }
        | Finding::Silent { .. }
        | Finding::SentAgain => None,
    }
}

/// A webhook that is being stored, and those of its messages that are traced.
pub struct TracedWebhook {
    /// And when it began; `None`: nothing is traced.
    tracer: Option<(Arc<Tracer>, UnixMillis, Instant)>,
    reports: Vec<Report>,
    parts: usize,
}

/// One part of it.
struct Report {
    identity: Identity,
    message: Option<MessageId>,
    what: &'static str,
}

impl TracedWebhook {
    /// It was answered.
    pub fn answered(self, connection: &str, http_status: u16) {
        let Some((tracer, started_at, started)) = self.tracer else { return };
        let took = started.elapsed();
        for Report { identity, message, what } in self.reports {
            let draft = Draft::new(Step::Receive, connection, &identity, started_at, took)
                .text("wabridge.connection.id", connection)
                .text("wabridge.event", what)
                .text("http.request.method", "POST")
                .number("http.response.status_code", http_status)
                .number("messaging.batch.message_count", count(self.parts));
            let draft = match message {
                Some(message) => draft.text("messaging.message.id", message.to_string()),
                None => draft.first(&identity),
            };
            tracer.tell(if http_status < 500 { draft } else { draft.failed(http_status.to_string()) });
        }
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn tally(result: &'static str, spans: u64) {
    metrics::counter!(telemetry::TRACE_SPANS, "result" => result).increment(spans);
}

/// Hands over a portion without spans: whether it is taken tells whether others would be.
pub async fn try_collector(collector: &Collector, instance: &str) -> Result<(), String> {
    let nothing: Bytes = export::encoded(&span::resource(instance), vec![]);
    collector.take(nothing).await.map(drop).map_err(|not_taken| not_taken.to_string())
}
