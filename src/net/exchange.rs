//! The only door for outgoing HTTP.
//!
//! Every request to a provider or to a callback URL passes [`Exchange::send`], so the limits hold
//! everywhere alike: time to connect and to answer, size of the answer, no redirects (a redirect would
//! carry credentials to a place that nobody has named), no proxy unless set, no private networks unless
//! allowed. The door also decides the question that costs money: when no answer came, had the other side
//! seen the request? [`NoAnswer`] says so, and in doubt it says "maybe".
//!
//! It never tries again. Whether a repeat is safe is known only by those who asked.

use std::{
    borrow::Cow,
    error::Error,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};

pub use super::no_answer::NoAnswer;
use super::{
    excerpt, guard,
    no_answer::{broken_off, classify, reason},
    redact,
};
use crate::{
    clock,
    domain::{attempt::AnswerExcerpt, time::UnixMillis},
};

/// One HTTP client with our limits: timeouts, size of answers, no redirects, no proxy unless set, no
/// private networks unless allowed. Cheap to clone.
#[derive(Clone)]
pub struct Exchange {
    pub(super) client: reqwest::Client,
    pub(super) limits: Arc<ExchangeLimits>,
    answer_bytes_max: usize,
    tape: Option<Tape>,
}

/// What is said through a door, word for word. No header is on it, and bodies are shared, not copied: it costs next to nothing
/// until somebody keeps it.
pub type Tape = Arc<Mutex<Vec<Recorded>>>;

/// One request, and what came back.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub started_at: UnixMillis,
    pub took: Duration,
    /// Scheme and host alone.
    pub url: String,
    pub body: Bytes,
    /// Status and body; without an answer, why there is none.
    pub answer: Result<(u16, Bytes), String>,
}

/// The operator's part of the limits.
#[derive(Clone, Debug)]
pub struct ExchangeLimits {
    /// For name, connection and TLS together. Keep it below the requests' own timeouts: when those are up
    /// first, nobody can tell how far the request came, and the outcome counts as unknown.
    pub connect_timeout: Duration,
    /// What [`Exchange::request_timeout`] says: the time for one request of the ordinary kind.
    pub request_timeout: Duration,
    /// The most that is read of an answer.
    pub answer_bytes_max: usize,
    /// Also allows plain `http://`, which only makes sense there.
    pub allow_private_networks: bool,
    /// All requests go through this one, which then resolves names in our place.
    pub proxy: Option<String>,
    pub connections_idle_per_host_max: usize,
}

/// The HTTP client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    #[error("the proxy's URL cannot be used; give it as http://host:port")]
    Proxy(#[source] Box<dyn Error + Send + Sync>),
    #[error("could not set up TLS for outgoing requests; are the system's CA certificates installed?")]
    Client(#[source] reqwest::Error),
    // The library's own words could quote a line of the key.
    #[error(
        "the client certificate cannot be used: give the chain and the private key that belongs to it, each whole, in PEM, \
         the key without a password"
    )]
    Identity,
}

/// One request to the outside.
pub struct OutgoingRequest<'a> {
    pub method: Method,
    pub url: &'a str,
    /// Name and value. Values are secrets: they are never logged. Without a `Content-Type` a body is JSON.
    pub headers: Vec<(Cow<'a, str>, SecretString)>,
    pub body: Option<Bytes>,
    pub timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
}

/// What came back, and how long it took.
#[derive(Debug)]
pub struct Exchanged {
    pub started_at: UnixMillis,
    pub took: Duration,
    pub result: Result<Answer, NoAnswer>,
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<Duration>,
    /// When the other side answered, by its own clock.
    pub date: Option<UnixMillis>,
    pub headers: HeaderMap,
    /// At most the exchange's limit; `cut` says that there was more.
    pub body: Bytes,
    pub cut: bool,
}

/// Of a body that nobody asked for, so much is told.
const TOLD_CHARS_MAX: usize = 200;

impl Answer {
    /// For people: the status, and how the body begins if there is one, without what may be secret.
    pub fn in_words(&self) -> String {
        self.in_words_without(&[])
    }

    /// The same without what the request showed: some receivers answer with all that they got.
    pub fn in_words_without(&self, secrets: &[SecretString]) -> String {
        let said = excerpt::beginning(&self.body, TOLD_CHARS_MAX, secrets);
        let colon = if said.is_empty() { "" } else { ": " };
        format!("HTTP {}{colon}{said}", self.status)
    }

    /// Its headers and the beginning of its body, to be kept; `secrets` are what the request showed.
    pub fn excerpt(&self, secrets: &[SecretString]) -> AnswerExcerpt {
        excerpt::excerpt(&self.headers, &self.body, secrets)
    }
}

/// A longer `Retry-After` is no advice but a mistake.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Below the five seconds after which many servers close idle connections: a request that meets the closing
/// of its connection half-way has an unknown outcome.
const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(4);

const USER_AGENT: &str = concat!("wabridge/", env!("CARGO_PKG_VERSION"));

impl Exchange {
    pub fn new(limits: ExchangeLimits) -> Result<Self, ExchangeError> {
        let client = client(&limits)?.build().map_err(ExchangeError::Client)?;
        Ok(Self { client, answer_bytes_max: limits.answer_bytes_max, limits: Arc::new(limits), tape: None })
    }

    /// The timeout for a request that has no reason for another one.
    pub fn request_timeout(&self) -> Duration {
        self.limits.request_timeout
    }

    /// The same door with another limit on answers, for those who ask for lists.
    pub fn reading_up_to(&self, answer_bytes_max: usize) -> Self {
        Self { answer_bytes_max, ..self.clone() }
    }

    /// The same door, with everything that is said through it written down.
    pub fn recording(&self, tape: Tape) -> Self {
        Self { tape: Some(tape), ..self.clone() }
    }

    /// The same door, with connections of its own, in which it shows this certificate (mutual TLS).
    pub fn presenting(&self, certificate: &SecretString, key: &SecretString) -> Result<Self, ExchangeError> {
        let builder = client(&self.limits)?.identity(identity(certificate, key)?);
        Ok(Self { client: builder.build().map_err(|_| ExchangeError::Identity)?, ..self.clone() })
    }

    /// Whether [`Self::presenting`] would do with these two.
    pub fn can_present(certificate: &SecretString, key: &SecretString) -> Result<(), ExchangeError> {
        let built = reqwest::Client::builder().no_proxy().identity(identity(certificate, key)?).build();
        // What does not belong together is found here.
        built.map(drop).map_err(|_| ExchangeError::Identity)
    }

    /// Makes one request and reads its answer. Takes at most the request's timeout.
    pub async fn send(&self, request: OutgoingRequest<'_>) -> Exchanged {
        let (started_at, start) = (clock::now(), Instant::now());
        let url = request.url;
        let said = self.tape.as_ref().map(|tape| (tape, request.body.clone().unwrap_or_default()));
        let result = self.exchange(request).await;
        let took = start.elapsed();
        if let Some((tape, body)) = said {
            let answer = match &result {
                Ok(answer) => Ok((answer.status, answer.body.clone())),
                Err(no_answer) => Err(no_answer.to_string()),
            };
            let recorded = Recorded { started_at, took, url: redact::url(url), body, answer };
            tape.lock().expect("no holder can panic").push(recorded);
        }
        if tracing::enabled!(tracing::Level::DEBUG) {
            let shown_url = redact::url(url);
            let outcome = match &result {
                Ok(answer) => answer.status.to_string(),
                Err(no_answer) => no_answer.to_string(),
            };
            tracing::debug!(
                url = shown_url,
                took_ms = took.as_millis(),
                outcome,
                "exchange with {shown_url}: {outcome}"
            );
        }
        Exchanged { started_at, took, result }
    }

    async fn exchange(&self, request: OutgoingRequest<'_>) -> Result<Answer, NoAnswer> {
        let request = self.prepare(request)?;
        let response = self.client.execute(request).await.map_err(classify)?;
        self.read(response).await
    }

    /// Everything that can be wrong before a connection is made.
    pub(super) fn prepare(&self, request: OutgoingRequest<'_>) -> Result<reqwest::Request, NoAnswer> {
        let refuse = |why: String| NoAnswer::NotSent(why);
        let url = url::Url::parse(request.url).map_err(|error| refuse(format!("the URL cannot be used: {error}")))?;
        self.check_url(&url).map_err(refuse)?;
        let builder = match request.method {
            Method::Get => self.client.get(url),
            Method::Post => self.client.post(url),
            Method::Put => self.client.put(url),
            Method::Patch => self.client.patch(url),
        };
        let mut headers = headers(&request.headers)?;
        if request.body.is_some() {
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        }
        let builder = builder.timeout(request.timeout).headers(headers);
        let builder = match request.body {
            Some(body) => builder.body(body),
            None => builder,
        };
        builder.build().map_err(|error| refuse(reason(&error)))
    }

    pub(super) fn check_url(&self, url: &url::Url) -> Result<(), String> {
        match url.scheme() {
            "https" => {}
            "http" if self.limits.allow_private_networks => {}
            "http" => {
                return Err(
                    "the URL begins with http://, which shows credentials to everybody on the way; use https://, \
                            or for a trial set security.allow_private_networks"
                        .to_owned(),
                );
            }
            _ => return Err("the URL must begin with https://".to_owned()),
        }
        guard::check_literal(url, self.limits.allow_private_networks).map_err(|forbidden| forbidden.to_string())
    }

    /// The limit is on the read: what lies beyond it is never taken from the wire.
    pub(super) async fn read(&self, mut response: reqwest::Response) -> Result<Answer, NoAnswer> {
        let status = response.status().as_u16();
        let date = date(response.headers());
        // A date to come again at is by the other side's clock.
        let theirs = date.and_then(|date| DateTime::from_timestamp_millis(date.0)).unwrap_or_else(Utc::now);
        let retry_after = retry_after(response.headers(), theirs);
        let headers = std::mem::take(response.headers_mut());
        let mut body = BytesMut::new();
        let mut cut = false;
        while let Some(chunk) = response.chunk().await.map_err(broken_off)? {
            let room = self.answer_bytes_max - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                cut = true;
                break;
            }
        }
        Ok(Answer { status, retry_after, date, headers, body: body.freeze(), cut })
    }
}

fn identity(certificate: &SecretString, key: &SecretString) -> Result<reqwest::Identity, ExchangeError> {
    let pem = SecretString::from(format!("{}\n{}", certificate.expose_secret(), key.expose_secret()));
    reqwest::Identity::from_pem(pem.expose_secret().as_bytes()).map_err(|_| ExchangeError::Identity)
}

/// A client with these limits, to be built.
pub(super) fn client(limits: &ExchangeLimits) -> Result<reqwest::ClientBuilder, ExchangeError> {
    let proxy = limits.proxy.as_deref().map(Proxy::parse).transpose()?;
    let resolver = guard::GuardedResolver {
        names: guard::names_of_the_system(),
        allow_private_networks: limits.allow_private_networks,
        trusted_host: proxy.as_ref().map(|proxy| proxy.host.clone()),
    };
    let builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(limits.connect_timeout)
        .pool_idle_timeout(CONNECTION_IDLE_MAX)
        .pool_max_idle_per_host(limits.connections_idle_per_host_max)
        .dns_resolver(resolver);
    Ok(match proxy {
        Some(proxy) => builder.proxy(proxy.rule),
        // The environment's HTTP_PROXY would lead around the guard.
        None => builder.no_proxy(),
    })
}

/// A proxy of the operator's, taken apart.
struct Proxy {
    host: String,
    rule: reqwest::Proxy,
}

impl Proxy {
    fn parse(text: &str) -> Result<Self, ExchangeError> {
        let url = url::Url::parse(text).map_err(|error| ExchangeError::Proxy(error.into()))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let rule = reqwest::Proxy::all(url).map_err(|error| ExchangeError::Proxy(error.into()))?;
        Ok(Self { host, rule })
    }
}

fn headers(named: &[(Cow<'_, str>, SecretString)]) -> Result<HeaderMap, NoAnswer> {
    let mut headers = HeaderMap::with_capacity(named.len());
    for (name, value) in named {
        let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| {
            NoAnswer::NotSent(format!("the value for header {name} holds characters that no header may"))
        })?;
        value.set_sensitive(true);
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| NoAnswer::NotSent(format!("{name} is not a header's name")))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let moment = DateTime::parse_from_rfc2822(text).ok()?;
            // A date in the past asks for no wait at all.
            (moment.with_timezone(&Utc) - now).to_std().unwrap_or(Duration::ZERO)
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

fn date(headers: &HeaderMap) -> Option<UnixMillis> {
    let moment = DateTime::parse_from_rfc2822(headers.get(DATE)?.to_str().ok()?.trim()).ok()?;
    Some(UnixMillis(moment.timestamp_millis()))
}

#[cfg(test)]
mod tests;
