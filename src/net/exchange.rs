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
    guard,
    no_answer::{classify, reason},
    redact,
};
use crate::{clock, domain::time::UnixMillis};

/// One HTTP client with our limits: timeouts, size of answers, no redirects, no proxy unless set, no
/// private networks unless allowed. Cheap to clone.
#[derive(Clone)]
pub struct Exchange {
    pub(super) client: reqwest::Client,
    pub(super) limits: Arc<ExchangeLimits>,
    answer_bytes_max: usize,
    tape: Option<Tape>,
}

/// What is said through a door, word for word: for tests, whose people want to see it. No header is on it.
pub type Tape = Arc<Mutex<Vec<Recorded>>>;

/// One request, and what came back.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub started_at: UnixMillis,
    pub took: Duration,
    pub url: String,
    pub body: String,
    /// Status and body; without an answer, why there is none.
    pub answer: Result<(u16, String), String>,
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
    pub body: Option<String>,
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
    /// At most the exchange's limit; `cut` says that there was more.
    pub body: Bytes,
    pub cut: bool,
}

/// Of a body that nobody asked for, so much is told.
const TOLD_CHARS_MAX: usize = 200;

impl Answer {
    /// For people: the status, and how the body begins if there is one, without what may be secret.
    pub fn in_words(&self) -> String {
        let said = redact::text(&String::from_utf8_lossy(&self.body));
        let said: String = said.trim().chars().take(TOLD_CHARS_MAX).collect();
        let colon = if said.is_empty() { "" } else { ": " };
        format!("HTTP {}{colon}{said}", self.status)
    }
}

/// A longer `Retry-After` is no advice but a mistake.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Below the time after which servers usually close idle connections: a request that meets the closing
/// of its connection half-way has an unknown outcome.
const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(20);

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
                Ok(answer) => Ok((answer.status, String::from_utf8_lossy(&answer.body).into_owned())),
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
        let mut body = BytesMut::new();
        let mut cut = false;
        while let Some(chunk) = response.chunk().await.map_err(classify)? {
            let room = self.answer_bytes_max - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                cut = true;
                break;
            }
        }
        Ok(Answer { status, retry_after, date, body: body.freeze(), cut })
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
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    fn exchange(allow_private_networks: bool) -> Exchange {
        Exchange::new(ExchangeLimits {
            connect_timeout: Duration::from_millis(500),
            request_timeout: Duration::from_secs(2),
            answer_bytes_max: 1000,
            allow_private_networks,
            proxy: None,
            connections_idle_per_host_max: 1,
        })
        .expect("the client can be built")
    }

    async fn post(exchange: &Exchange, url: &str) -> Result<Answer, NoAnswer> {
        let request = OutgoingRequest {
            method: Method::Post,
            url,
            headers: vec![("authorization".into(), SecretString::from("Bearer abc"))],
            body: Some("{}".to_owned()),
            timeout: exchange.request_timeout(),
        };
        exchange.send(request).await.result
    }

    /// A listener on loopback, and the URL of it.
    async fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
        (listener, url)
    }

    /// Reads until the body `{}` has arrived.
    async fn read_request(stream: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n{}") {
            assert_ne!(stream.read_buf(&mut bytes).await.expect("the client writes"), 0, "the client closed");
        }
        String::from_utf8(bytes).expect("ASCII")
    }

    /// A server that answers one request with these bytes and closes.
    async fn answering(answer: String) -> (String, tokio::task::JoinHandle<String>) {
        let (listener, url) = listener().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client connects");
            let request = read_request(&mut stream).await;
            // The client may stop reading at its limit.
            let _ = stream.write_all(answer.as_bytes()).await;
            request
        });
        (url, server)
    }

    #[tokio::test]
    async fn an_answer_comes_back_as_it_was_given() {
        let (url, server) =
            answering("HTTP/1.1 429 Slow\r\nretry-after: 7\r\ncontent-length: 4\r\n\r\nbusy".to_owned()).await;

        let answer = post(&exchange(true), &url).await.expect("an answer");

        assert_eq!((answer.status, answer.retry_after, answer.cut), (429, Some(Duration::from_secs(7)), false));
        assert_eq!(answer.body, "busy");
        let request = server.await.expect("the server ran");
        assert!(request.contains("content-type: application/json"), "{request}");
        assert!(request.contains("authorization: Bearer abc"), "{request}");
    }

    #[tokio::test]
    async fn a_refused_port_means_that_nothing_was_sent() {
        let (listener, url) = listener().await;
        drop(listener);

        let error = post(&exchange(true), &url).await.expect_err("nobody listens");

        assert!(matches!(error, NoAnswer::NotSent(_)), "{error}");
    }

    #[tokio::test]
    async fn a_connection_closed_after_the_request_leaves_the_outcome_open() {
        let (url, _server) = answering(String::new()).await;

        let error = post(&exchange(true), &url).await.expect_err("no answer was given");

        assert!(matches!(error, NoAnswer::MaybeSent(_)), "{error}");
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_leaves_the_outcome_open() {
        let (url, _server) = answering("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_owned()).await;

        let error = post(&exchange(true), &url).await.expect_err("the answer is not whole");

        assert!(matches!(error, NoAnswer::MaybeSent(_)), "{error}");
    }

    #[tokio::test]
    async fn silence_after_the_request_leaves_the_outcome_open() {
        let (listener, url) = listener().await;
        let request = OutgoingRequest {
            method: Method::Get,
            url: &url,
            headers: Vec::new(),
            body: None,
            timeout: Duration::from_millis(100),
        };

        let error = exchange(true).send(request).await.result.expect_err("nobody answers");

        assert_eq!(error, NoAnswer::MaybeSent("the time was up".to_owned()));
        drop(listener);
    }

    #[tokio::test]
    async fn a_handshake_that_never_ends_means_that_nothing_was_sent() {
        let (listener, url) = listener().await;

        let error = post(&exchange(true), &url.replace("http:", "https:")).await.expect_err("nobody speaks TLS");

        assert_eq!(error, NoAnswer::NotSent("the time was up".to_owned()));
        drop(listener);
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_means_that_nothing_was_sent() {
        let error = post(&exchange(true), "http://nobody.invalid/").await.expect_err("there is no such name");

        assert!(matches!(error, NoAnswer::NotSent(_)), "{error}");
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_is_not_followed() {
        let (target, target_url) = listener().await;
        let (url, _server) =
            answering(format!("HTTP/1.1 302 Found\r\nlocation: {target_url}\r\ncontent-length: 0\r\n\r\n")).await;

        let answer = post(&exchange(true), &url).await.expect("the redirect itself");

        assert_eq!(answer.status, 302);
        let target = target.into_std().expect("a listener");
        assert!(target.accept().is_err(), "nobody may have come to the redirect's target");
    }

    #[tokio::test]
    async fn an_answer_is_read_up_to_the_limit_and_no_further() {
        let body = "x".repeat(100_000);
        let (url, _server) = answering(format!("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{body}")).await;

        let answer = post(&exchange(true).reading_up_to(2000), &url).await.expect("an answer");

        assert_eq!((answer.body.len(), answer.cut), (2000, true));
    }

    #[tokio::test]
    async fn private_networks_are_refused_by_address_and_by_name() {
        let (listener, url) = listener().await;
        let port = listener.local_addr().expect("it is bound").port();
        let https = |host: &str| format!("https://{host}:{port}/");
        for url in [url, https("127.0.0.1"), https("localhost"), https("[::ffff:127.0.0.1]")] {
            let error = post(&exchange(false), &url).await.expect_err("loopback is private");

            let NoAnswer::NotSent(why) = error else { panic!("{url} was called") };
            assert!(why.ends_with("set security.allow_private_networks"), "{why}");
        }
    }

    #[tokio::test]
    async fn a_header_that_would_break_the_request_is_not_sent() {
        let request = OutgoingRequest {
            method: Method::Get,
            url: "http://127.0.0.1:1/",
            headers: vec![("authorization".into(), SecretString::from("Bearer a\r\nx: y"))],
            body: None,
            timeout: Duration::from_secs(1),
        };

        let error = exchange(true).send(request).await.result.expect_err("the header is not one");

        assert!(error.to_string().contains("header authorization"), "{error}");
        assert!(!error.to_string().contains("x: y"), "a header's value must not be shown");
    }

    #[test]
    fn a_certificate_and_a_key_that_do_not_belong_together_cannot_be_shown() {
        let made = || rcgen::generate_simple_self_signed(["bridge.example".to_owned()]).expect("a certificate");
        let (one, other) = (made(), made());
        let chain = SecretString::from(one.cert.pem());
        let key_of = |made: &rcgen::CertifiedKey<rcgen::KeyPair>| SecretString::from(made.signing_key.serialize_pem());

        assert!(Exchange::can_present(&chain, &key_of(&one)).is_ok());
        assert!(Exchange::can_present(&chain, &key_of(&other)).is_err());
        assert!(Exchange::can_present(&key_of(&one), &key_of(&one)).is_err(), "there is no certificate");
    }

    #[tokio::test]
    async fn a_server_that_wants_a_certificate_is_shown_it_and_others_are_not() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let (chain, key) = (SecretString::from(made.cert.pem()), SecretString::from(made.signing_key.serialize_pem()));
        let url = strict_server(&made);
        let limits = exchange(true).limits;
        let trusting = |builder: reqwest::ClientBuilder| {
            let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).expect("a certificate");
            let client = builder.tls_certs_only([root]).build().expect("a client");
            Exchange { client, ..exchange(true) }
        };
        let plain = trusting(client(&limits).expect("limits"));
        let presenting = trusting(client(&limits).expect("limits").identity(identity(&chain, &key).expect("a pair")));

        let answer = post(&presenting, &url).await.expect("an answer");
        assert_eq!(answer.status, 204);
        post(&plain, &url).await.expect_err("nobody gets in without");
    }

    /// Takes requests only from who shows the certificate that it has itself.
    fn strict_server(made: &rcgen::CertifiedKey<rcgen::KeyPair>) -> String {
        use std::io::{Read as _, Write as _};

        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("a certificate");
        let verifier =
            rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier.expect("roots"))
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a pair");
        let config = Arc::new(config);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let connection = rustls::ServerConnection::new(config.clone()).expect("a connection");
                let mut tls = rustls::StreamOwned::new(connection, stream);
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"{}") && tls.read_exact(&mut byte).is_ok() {
                    request.push(byte[0]);
                }
                drop(tls.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"));
            }
        });
        format!("https://localhost:{port}/")
    }

    #[test]
    fn a_wait_may_be_given_in_seconds_or_as_a_date() {
        let now = DateTime::parse_from_rfc2822("Fri, 20 Nov 2026 10:00:00 GMT").expect("a date").with_timezone(&Utc);
        for (text, seconds) in [
            ("120", Some(120)),
            ("Fri, 20 Nov 2026 10:00:30 GMT", Some(30)),
            ("Fri, 20 Nov 2026 09:00:00 GMT", Some(0)),
            ("99999999999", Some(RETRY_AFTER_MAX.as_secs())),
            ("soon", None),
            ("-5", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);

            assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
