//! Bringing spans to the collector: gathered for a moment, a portion at a time.
//!
//! Nobody waits for it. While the collector is away the queue fills up and what comes then is dropped; what could not be
//! handed over after a few tries is dropped too. Both are counted, and the log says once that it began and once that it is over.

use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, resource::v1::Resource, trace::v1::Span,
};
use prost::Message as _;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{span, tally};
use crate::net::collector::{Collector, NotTaken};

/// Spans in one request.
const PORTION_SPANS_MAX: usize = 512;
/// The first of a portion waits so long for others.
const GATHERED_FOR: Duration = Duration::from_secs(1);
/// Before a portion is offered again, as often as there are waits.
const RETRY_WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

pub(super) struct Exporter {
    pub(super) queue: mpsc::Receiver<Span>,
    pub(super) collector: Collector,
    pub(super) resource: Resource,
    /// After it what is in the queue is brought away, and that is all.
    pub(super) closing: CancellationToken,
    pub(super) failing: bool,
}

impl Exporter {
    pub(super) async fn run(mut self) {
        while let Some(portion) = self.gather().await {
            self.bring(portion).await;
            if self.failing && self.closing.is_cancelled() {
                return;
            }
        }
    }

    /// The next portion; `None` at the end.
    async fn gather(&mut self) -> Option<Vec<Span>> {
        let mut portion = Vec::new();
        let mut leaves_at = None;
        while portion.len() < PORTION_SPANS_MAX {
            let room = PORTION_SPANS_MAX - portion.len();
            tokio::select! {
                taken = self.queue.recv_many(&mut portion, room) => {
                    if taken == 0 {
                        break;
                    }
                    leaves_at.get_or_insert_with(|| Instant::now() + GATHERED_FOR);
                }
                () = moment(leaves_at) => break,
                () = self.closing.cancelled(), if !self.queue.is_closed() => self.queue.close(),
            }
        }
        (!portion.is_empty()).then_some(portion)
    }

    async fn bring(&mut self, portion: Vec<Span>) {
        let spans = portion.len() as u64;
        match self.offer(encoded(&self.resource, portion)).await {
            Ok(unwanted) => {
                tally("exported", spans.saturating_sub(unwanted));
                tally("dropped", unwanted);
                if self.failing {
                    tracing::info!("the collector of traces takes spans again");
                }
                self.failing = false;
            }
            Err(not_taken) => {
                tally("dropped", spans);
                if !self.failing {
                    tracing::warn!(
                        "the collector of traces at {} does not take spans, so they are dropped: {not_taken}; `wabridge check` \
                         tries it",
                        self.collector.shown()
                    );
                }
                self.failing = true;
            }
        }
    }

    async fn offer(&self, portion: Bytes) -> Result<u64, NotTaken> {
        for wait in RETRY_WAITS {
            match self.collector.take(portion.clone()).await {
                Err(not_taken) if not_taken.may_pass() && !self.closing.is_cancelled() => {
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.closing.cancelled() => {}
                    }
                }
                settled => return settled,
            }
        }
        self.collector.take(portion).await
    }
}

/// Never, when there is none.
async fn moment(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// As the collector reads it.
pub(super) fn encoded(resource: &Resource, spans: Vec<Span>) -> Bytes {
    ExportTraceServiceRequest { resource_spans: vec![span::made_by(resource, spans)] }.encode_to_vec().into()
}
