//! What must not be found by whoever copies the database or reads the log.

use crate::harness::{Database, LOG_FILE, Message, NUMBER_ID, TestApp, person};

/// Tokens, passcodes, callback URLs.
const SECRETS: [&str; 5] =
    ["acme-passcode", "simulator-access-token", "simulator-app-secret", "delivery-reports/acme", "inbound/acme"];

fn finds(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_nowhere_in_the_database_file() {
    let app = TestApp::start(Database::sqlite().await).await;
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.settled().await;

    // In this order: what leaves the log meanwhile is in the database then.
    let log = app.read_file("wabridge.db-wal");
    let bytes = [app.read_file("wabridge.db"), log].concat();

    assert!(finds(&bytes, message.msg_id()), "it is the right file");
    for secret in SECRETS {
        assert!(!finds(&bytes, secret), "{secret} can be read in the database file");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_secrets_nor_whole_numbers_nor_words_are_in_the_log() {
    let app = TestApp::start_with(Database::sqlite().await, |options| {
        options.as_process = true;
        options.settings.log.filter = "trace".to_owned();
    })
    .await;
    app.accept(&Message::freeform(&person(1), "a private word")).await;
    let refused = app.send(&Message::template(&person(1), "order_update", "en").values(&["Asha Rao"])).await;
    assert_eq!(refused.code(), 2001);
    app.simulator.inbound_text(&person(2), NUMBER_ID, "another private word", None).expect("the number exists");
    app.until_counted("it is told", |stats| stats.clevertap.inbound.contains_key("text")).await;
    app.settled().await;

    let log = app.read_file(LOG_FILE);
    let ours: Vec<&[u8]> = log.split(|byte| *byte == b'\n').filter(|line| finds(line, "wabridge")).collect();

    assert!(ours.len() > 5, "there is a log: {}", String::from_utf8_lossy(&log));
    let (one, two) = (person(1).replace('+', ""), person(2).replace('+', ""));
    for secret in SECRETS.into_iter().chain([one.as_str(), two.as_str(), "private word", "Asha Rao"]) {
        let line = ours.iter().find(|line| finds(line, secret)).map(|line| String::from_utf8_lossy(line));
        assert_eq!(line, None, "{secret} stands in the log");
    }
    app.finish().await;
}
