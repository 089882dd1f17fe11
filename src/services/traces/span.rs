//! What a span looks like, by OpenTelemetry's conventions for messaging. Never in it: telephone numbers, contents, texts of
//! failures, and the ids of platforms and providers, which have numbers in them.

use std::time::Duration;

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span, Status,
        span::{Link, SpanKind},
        status::StatusCode,
    },
};

use super::identity::Identity;
use crate::domain::time::UnixMillis;

/// A step on a message's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Accept,
    Send,
    Receive,
    Relay,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Relay => "relay",
        }
    }

    /// Of the kinds of operations that the conventions know.
    fn operation_type(self) -> &'static str {
        match self {
            Self::Accept => "create",
            Self::Send | Self::Relay => "send",
            Self::Receive => "receive",
        }
    }

    fn kind(self) -> SpanKind {
        match self {
            Self::Accept | Self::Receive => SpanKind::Server,
            Self::Send | Self::Relay => SpanKind::Client,
        }
    }
}

/// The trace and the span of whoever called us, by the W3C's `traceparent` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    trace_id: [u8; 16],
    span_id: [u8; 8],
}

impl Caller {
    /// `None` when the text is not what it should be.
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.trim().split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if version.len() != 2 || version == "ff" || flags.len() != 2 {
            return None;
        }
        let mut caller = Self { trace_id: [0; 16], span_id: [0; 8] };
        hex::decode_to_slice(trace, &mut caller.trace_id).ok()?;
        hex::decode_to_slice(span, &mut caller.span_id).ok()?;
        (caller.trace_id != [0; 16] && caller.span_id != [0; 8]).then_some(caller)
    }
}

/// A span under way to its end.
pub(super) struct Draft(Span);

/// The trace is sampled.
const FLAGS: u32 = 1;
const NANOS_PER_MILLI: u64 = 1_000_000;

impl Draft {
    /// `whose` is a name with few values, such as an account's id.
    pub(super) fn new(step: Step, whose: &str, identity: &Identity, started_at: UnixMillis, took: Duration) -> Self {
        let start = u64::try_from(started_at.0).unwrap_or(0).saturating_mul(NANOS_PER_MILLI);
        let draft = Self(Span {
            trace_id: identity.trace_id.to_vec(),
            span_id: rand::random::<[u8; 8]>().to_vec(),
            parent_span_id: identity.root.to_vec(),
            flags: FLAGS,
            name: format!("{} {whose}", step.name()),
            kind: step.kind().into(),
            start_time_unix_nano: start,
            end_time_unix_nano: start.saturating_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)),
            ..Span::default()
        });
        draft
            .text("messaging.system", "whatsapp")
            .text("messaging.operation.name", step.name())
            .text("messaging.operation.type", step.operation_type())
            .text("messaging.destination.name", whose)
    }

    /// The span with which the trace begins.
    pub(super) fn first(mut self, identity: &Identity) -> Self {
        self.0.span_id = identity.root.to_vec();
        self.0.parent_span_id = vec![];
        self
    }

    pub(super) fn text(self, key: &str, value: impl Into<String>) -> Self {
        self.attribute(key, Value::StringValue(value.into()))
    }

    pub(super) fn number(self, key: &str, value: impl Into<i64>) -> Self {
        self.attribute(key, Value::IntValue(value.into()))
    }

    /// What happened was a failure of this type, which has few values.
    pub(super) fn failed(mut self, error_type: impl Into<String>) -> Self {
        self.0.status = Some(Status { code: StatusCode::Error.into(), message: String::new() });
        self.text("error.type", error_type)
    }

    /// It has to do with another trace.
    pub(super) fn linked(mut self, trace_id: [u8; 16], span_id: [u8; 8]) -> Self {
        self.0.links.push(Link {
            trace_id: trace_id.to_vec(),
            span_id: span_id.to_vec(),
            flags: FLAGS,
            ..Link::default()
        });
        self
    }

    pub(super) fn linked_to(self, caller: Option<Caller>) -> Self {
        match caller {
            Some(Caller { trace_id, span_id }) => self.linked(trace_id, span_id),
            None => self,
        }
    }

    pub(super) fn done(self) -> Span {
        self.0
    }

    fn attribute(mut self, key: &str, value: Value) -> Self {
        self.0.attributes.push(key_value(key, value));
        self
    }
}

fn key_value(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Who made the spans: this program, in this instance.
pub(super) fn resource(instance: &str) -> Resource {
    let attributes = [
        ("service.name", env!("CARGO_PKG_NAME")),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", instance),
    ];
    let attributes = attributes.map(|(key, value)| key_value(key, Value::StringValue(value.to_owned())));
    Resource { attributes: attributes.to_vec(), ..Resource::default() }
}

/// Spans with their maker.
pub(super) fn made_by(resource: &Resource, spans: Vec<Span>) -> ResourceSpans {
    let scope = InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    ResourceSpans {
        resource: Some(resource.clone()),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_callers_trace_is_read_from_its_header() {
        let caller =
            Caller::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").expect("it is well formed");

        assert_eq!(hex::encode(caller.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(hex::encode(caller.span_id), "00f067aa0ba902b7");
        for broken in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Caller::parse(broken), None, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn any_header_can_be_read(text in any::<String>(), trace in "[0-9a-f-]{0,60}") {
            for caller in [Caller::parse(&text), Caller::parse(&trace)].into_iter().flatten() {
                prop_assert!(caller.trace_id != [0; 16] && caller.span_id != [0; 8]);
            }
        }
    }
}
