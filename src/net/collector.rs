//! The collector of traces, as OTLP by HTTP speaks to it: protobuf there, protobuf back.
//!
//! The operator named it, like the mail server, so it may be in a private network and speak plain HTTP; all other rules of
//! [`Exchange`] hold.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    exchange::{Exchange, ExchangeError, ExchangeLimits, Method, NoAnswer, OutgoingRequest},
    no_answer::classify,
    redact,
};

/// Takes spans, one request at a time.
pub struct Collector {
    exchange: Exchange,
    url: String,
    headers: HeaderMap,
}

/// It did not take a portion.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    #[error("it answered with HTTP {0}")]
    Refused(u16),
    #[error(transparent)]
    NoAnswer(NoAnswer),
}

impl NotTaken {
    /// Whether the same portion may be taken a little later. A portion that is told twice does no harm.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Refused(status) => matches!(status, 429 | 502 | 503 | 504),
            Self::NoAnswer(_) => true,
        }
    }
}

impl Collector {
    /// `limits.allow_private_networks` is for other places than this one.
    pub fn new(url: String, headers: &[(String, SecretString)], limits: ExchangeLimits) -> Result<Self, ExchangeError> {
        let exchange = Exchange::new(ExchangeLimits { allow_private_networks: true, ..limits })?;
        let header = |(name, value): &(String, SecretString)| {
            let mut value = HeaderValue::from_str(value.expose_secret()).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
        };
        // The settings let no others pass.
        Ok(Self { exchange, url, headers: headers.iter().filter_map(header).collect() })
    }

    /// Its place, without what may be secret.
    pub fn shown(&self) -> String {
        redact::url(&self.url)
    }

    /// Hands over an `ExportTraceServiceRequest`. Gives back how many of its spans were not wanted.
    pub async fn take(&self, spans: Bytes) -> Result<u64, NotTaken> {
        let answer = self.post(spans).await.map_err(NotTaken::NoAnswer)?;
        if !(200..300).contains(&answer.status) {
            return Err(NotTaken::Refused(answer.status));
        }
        // Some answer in words. What they took they took.
        let said = ExportTraceServiceResponse::decode(answer.body).unwrap_or_default();
        Ok(said.partial_success.and_then(|partial| u64::try_from(partial.rejected_spans).ok()).unwrap_or(0))
    }

    async fn post(&self, spans: Bytes) -> Result<super::exchange::Answer, NoAnswer> {
        let mut request = self.exchange.prepare(OutgoingRequest {
            method: Method::Post,
            url: &self.url,
            headers: vec![],
            body: None,
            timeout: self.exchange.request_timeout(),
        })?;
        request.headers_mut().extend(self.headers.clone());
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        *request.body_mut() = Some(spans.into());
        let response = self.exchange.client.execute(request).await.map_err(classify)?;
        self.exchange.read(response).await
    }
}
