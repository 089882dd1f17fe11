use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

fn exchange(allow_private_networks: bool) -> Exchange {
    exchange_within(Duration::from_secs(20), allow_private_networks)
}

/// One whose connections must be there within this.
fn exchange_within(connect_timeout: Duration, allow_private_networks: bool) -> Exchange {
    Exchange::new(ExchangeLimits {
        connect_timeout,
        request_timeout: Duration::from_secs(30),
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
        body: Some("{}".into()),
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

    assert!(matches!(error, NoAnswer::Unreadable(_)), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_not_taken_for_none() {
    let (url, _server) = answering("220 mail.example.com ESMTP\r\n".to_owned()).await;

    let error = post(&exchange(true), &url).await.expect_err("the answer cannot be read");

    assert!(matches!(error, NoAnswer::Unreadable(_)), "{error}");
}

#[tokio::test]
async fn silence_after_the_request_leaves_the_outcome_open() {
    let (listener, url) = listener().await;
    let request = OutgoingRequest {
        method: Method::Get,
        url: &url,
        headers: Vec::new(),
        body: None,
        // Time enough to write the request on a busy machine.
        timeout: Duration::from_secs(4),
    };

    let error = exchange(true).send(request).await.result.expect_err("nobody answers");

    assert_eq!(error, NoAnswer::MaybeSent("the time was up".to_owned()));
    drop(listener);
}

#[tokio::test]
async fn a_handshake_that_never_ends_means_that_nothing_was_sent() {
    let (listener, url) = listener().await;

    let hasty = exchange_within(Duration::from_millis(500), true);
    let error = post(&hasty, &url.replace("http:", "https:")).await.expect_err("nobody speaks TLS");

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
