//! Callers who mean harm, or are broken: slow ones, half requests, bodies of every bad kind. Each is turned away
//! clearly, and nobody else waits for it.

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::harness::{APP_SECRET, CREDENTIALS, Database, Message, PATIENCE, TestApp, on_each_database, person};

const WEBHOOKS: &str = "/webhooks/meta/meta-main";
const OUR_PATH: &str = "/clevertap/acme/messages";
/// More than all the places for webhooks that there are.
const SLOW_CALLERS: usize = 400;
/// So long a body may take.
const BODY_TIME: Duration = Duration::from_secs(10);

async fn connect(app: &TestApp) -> TcpStream {
    let address = app.at("").trim_start_matches("http://").to_owned();
    TcpStream::connect(address).await.expect("the bridge takes connections")
}

/// Sends these bytes and nothing more; gives what is answered until the bridge closes.
async fn say(stream: &mut TcpStream, bytes: &[u8]) -> String {
    stream.write_all(bytes).await.expect("it listens");
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("it does not wait for ever")
        .unwrap_or_default();
    String::from_utf8_lossy(&answer).into_owned()
}

fn head(path: &str, body_bytes: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: bridge\r\ncontent-type: application/json\r\n\
         x-clevertap-account-id: TEST-ACC-1\r\nx-clevertap-passcode: acme-passcode\r\ncontent-length: {body_bytes}\r\n\r\n"
    )
}

async fn slow_callers_delay_nobody_and_are_sent_away(database: Database) {
    let app = TestApp::start(database).await;
    let mut slow = Vec::new();
    for number in 0..SLOW_CALLERS {
        let mut stream = connect(&app).await;
        let path = if number % 2 == 0 { WEBHOOKS } else { OUR_PATH };
        let begun = Instant::now();
        stream.write_all(format!("{}{{", head(path, 100_000)).as_bytes()).await.expect("it listens");
        slow.push((begun, stream));
    }

    // While all of them wait, an honest message and its webhooks go the whole circle.
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.settled().await;
    assert_eq!(app.told(&message), ["sent", "delivered", "read"]);
    let waits =
        |stream: &TcpStream| stream.try_read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    // A machine that stood still may have kept the first of them waiting for as long as they may.
    let was_early = |(begun, stream): &(Instant, TcpStream)| !waits(stream) && begun.elapsed() < BODY_TIME;
    assert!(!slow.iter().any(was_early), "nobody was sent away before");

    let answers = futures_util::future::join_all(slow.iter_mut().map(|(_, stream)| say(stream, b""))).await;
    let gave_up = |answer: &&String| answer.contains("not complete after 10 seconds");
    assert_eq!(answers.iter().filter(gave_up).count(), SLOW_CALLERS, "{:?}", answers.first());
    app.finish().await;
}

async fn what_is_not_even_http_is_refused(database: Database) {
    let app = TestApp::start(database).await;
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /clevertap/acme/messages HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
        b"POST /clevertap/acme/messages HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"\0\0\0\0",
    ] {
        let answer = say(&mut connect(&app).await, bytes).await;
        assert!(!answer.contains(" 200 ") || answer.contains("failure"), "{bytes:?}: {answer}");
    }
    let long_header = format!("GET /healthz HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(300_000));
    let answer = say(&mut connect(&app).await, long_header.as_bytes()).await;
    assert!(!answer.contains("200 OK"), "headers have a limit: {answer}");

    app.accept(&Message::order_update(&person(1))).await;
    app.finish().await;
}

async fn bodies_beyond_every_limit_are_refused_and_cost_nobody_anything(database: Database) {
    let app = TestApp::start(database).await;
    let eight_megabytes = "x".repeat(8 * 1024 * 1024);

    let answer = app.try_post(OUR_PATH, &CREDENTIALS, eight_megabytes.clone()).await;
    // The bridge answers and closes while the rest is still under way, which some callers see as a broken connection.
    if let Ok(answer) = answer {
        assert_eq!((answer.http_status, answer.code()), (200, 2004), "{answer:?}");
        assert!(answer.message().contains("262144"), "it names the limit: {}", answer.message());
    }
    assert_eq!(app.post_webhook(eight_megabytes, APP_SECRET).await, 413);

    app.accept(&Message::order_update(&person(1))).await;
    app.finish().await;
}

async fn odd_json_is_refused_to_clevertap_and_kept_from_meta(database: Database) {
    let app = TestApp::start(database).await;
    let deep_arrays = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_objects = format!("{}1{}", "{\"a\":".repeat(40_000), "}".repeat(40_000));
    let digits = format!("{{\"to\": 1e{}}}", "9".repeat(400));
    let bodies: [(&str, Vec<u8>); 5] = [
        ("deep arrays", deep_arrays.into_bytes()),
        ("deep objects", deep_objects.into_bytes()),
        ("a number without end", digits.into_bytes()),
        ("broken UTF-8", b"{\"to\": \"\xc3\x28\xff\"}".to_vec()),
        ("half a document", b"{\"to\": \"+919876500001\", \"components\": [{\"type\": ".to_vec()),
    ];

    for (what, body) in &bodies {
        let answer = app.post(OUR_PATH, &CREDENTIALS, body.clone()).await;
        assert_eq!((answer.http_status, answer.code()), (200, 2004), "{what}: {answer:?}");
        assert_eq!(app.post_webhook(body.clone(), APP_SECRET).await, 200, "{what}");
    }
    let (kept, _) = app.store.count_unrecognized().await.expect("countable");
    assert_eq!(usize::try_from(kept).expect("a count"), bodies.len(), "all of them can be looked at");

    let message = Message::order_update(&person(1)).with("extra", json!({"deep": [[[[1]]]]}));
    app.accept(&message).await;
    app.settled().await;
    app.finish().await;
}

on_each_database![
    slow_callers_delay_nobody_and_are_sent_away,
    what_is_not_even_http_is_refused,
    bodies_beyond_every_limit_are_refused_and_cost_nobody_anything,
    odd_json_is_refused_to_clevertap_and_kept_from_meta,
];
