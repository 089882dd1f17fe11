//! How webhooks are told: by which method, how fast, in which order, with which token; and what the command line does with them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use wabridge::{clock, domain::ids::SubscriptionKey, store::exchanges::ExchangeFilter};

use crate::{
    harness::{Database, NUMBER_ID, TestApp, on_each_database, person},
    webhooks_out::Scene,
};

impl Scene {
    /// Says anew what the webhook wants, and sends a sample.
    async fn sample_with(&self, more: Value) -> Value {
        let settings = json!({"settings": self.settings(more)});
        let changed = self.call(Method::PUT, "/webhooks/crm", Some(settings)).await;
        assert_eq!(changed.http_status, 200, "{changed:?}");
        self.sample().await
    }

    async fn sample(&self) -> Value {
        let sent = self.call(Method::POST, "/webhooks/crm/sample", Some(json!({"event": "message.received"}))).await;
        assert_eq!(sent.http_status, 200, "{sent:?}");
        sent.body
    }

    fn texts(&self) -> Vec<String> {
        let text = |told: Value| told["data"]["message"]["content"]["text"].as_str().unwrap_or_default().to_owned();
        self.receiver.requests().iter().map(|request| text(request.json())).collect()
    }
}

async fn a_receiver_is_asked_by_its_method_and_not_longer_than_was_agreed(database: Database) {
    let scene = Scene::start(database).await;
    scene.webhook(json!({})).await;

    for method in ["POST", "PUT", "PATCH"] {
        assert_eq!(scene.sample_with(json!({"method": method})).await["taken"], true);
        assert_eq!(scene.receiver.requests().pop().expect("it came").method, method);
    }
    scene.receiver.hold();
    let late = scene.sample_with(json!({"timeout_seconds": 1})).await;
    assert!(late["taken"] == false && late.get("http_status").is_none(), "{late}");
    assert!(late["took_ms"].as_u64().is_some_and(|took| took >= 1_000), "{late}");
    scene.receiver.let_go();
    assert_eq!(scene.sample_with(json!({"timeout_seconds": 60})).await["taken"], true);
    scene.app.finish().await;
}

/// A receiver that closes each connection under its request; how many came.
async fn one_that_closes() -> (String, Arc<AtomicUsize>) {
    one_that_says("").await
}

/// Reads a request to its end: who closes with something unread takes back what was said before.
async fn read_request(stream: &mut TcpStream) {
    let (mut request, mut piece): (Vec<u8>, Vec<u8>) = (vec![], vec![0; 64 * 1024]);
    loop {
        let text = String::from_utf8_lossy(&request).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
            if body.len() >= length.unwrap_or(0) {
                return;
            }
        }
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(bytes) => request.extend_from_slice(&piece[..bytes]),
        }
    }
}

/// The same, with something to say before.
async fn one_that_says(words: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/hook", listener.local_addr().expect("it is bound"));
    let came = Arc::new(AtomicUsize::new(0));
    let noted = came.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read_request(&mut stream).await;
            noted.fetch_add(1, Ordering::Relaxed);
            let _ = stream.write_all(words.as_bytes()).await;
        }
    });
    (url, came)
}

async fn an_answer_that_cannot_be_read_is_an_answer(database: Database) {
    let scene = Scene::start(database).await;
    scene.webhook(json!({})).await;
    for words in ["220 mail.example.com ESMTP\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"] {
        let (url, came) = one_that_says(words).await;

        let sample = scene.sample_with(json!({"url": url})).await;

        assert_eq!(sample["taken"], false, "{sample}");
        assert!(sample["note"].as_str().is_some_and(|note| note.contains("could not be read")), "{sample}");
        assert_eq!(came.load(Ordering::Relaxed), 1, "it left once: {words}");
    }
    scene.app.finish().await;
}

async fn what_leaves_once_more_keeps_to_the_pace_that_was_agreed(database: Database) {
    let scene = Scene::start(database).await;
    scene.webhook(json!({})).await;
    let (url, came) = one_that_closes().await;
    // A sample has no turn of its own; what follows it has.
    let began = Instant::now();
    let sample = async || scene.sample_with(json!({"url": url, "per_second": 1})).await;

    assert_eq!([sample().await["taken"].clone(), sample().await["taken"].clone()], [json!(false), json!(false)]);

    assert!(began.elapsed() >= Duration::from_secs(1), "both were done after {:?}", began.elapsed());
    assert_eq!(came.load(Ordering::Relaxed), 4, "each left twice");
    scene.app.finish().await;
}

/// A receiver whose connections each answer one request, and close under the next one.
async fn one_answer_a_connection() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/hook", listener.local_addr().expect("it is bound"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = vec![0; 64 * 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                let _ = stream.read(&mut request).await;
            });
        }
    });
    url
}

async fn a_connection_that_closes_under_a_request_is_not_the_receivers_no(database: Database) {
    let scene = Scene::start(database).await;
    scene.webhook(json!({})).await;
    let url = one_answer_a_connection().await;

    for _ in 0..4 {
        let sample = scene.sample_with(json!({"url": url})).await;
        assert_eq!(sample["taken"], true, "{sample}");
    }
    scene.app.finish().await;
}

async fn where_order_does_not_matter_nothing_waits_for_what_was_refused(database: Database) {
    let scene = Scene::start(database).await;
    let tomorrow = json!({"kind": "fixed", "times": 1, "every_seconds": 86_400});
    let more = json!({"events": ["message.received"], "retries": tomorrow, "in_order": false});
    scene.webhook(more).await;
    scene.receiver.answer_next(&[500]);

    scene.hears("the first of Asha");
    scene.came(1).await;
    scene.hears("the second of Asha");
    scene.came(2).await;

    assert_eq!(scene.texts(), ["the first of Asha", "the second of Asha"]);
    scene.app.leave().await;
}

async fn no_more_requests_a_second_leave_than_were_agreed(database: Database) {
    let scene = Scene::start(database).await;
    scene.webhook(json!({"events": ["message.received"], "per_second": 1})).await;
    let shown = scene.call(Method::GET, "/webhooks/crm", None).await.body;
    let key = shown["cursors"][0]["callback_url"].as_i64().and_then(|key| i32::try_from(key).ok()).expect("a number");
    let began = clock::now();

    for number in 0..3 {
        scene.app.simulator.inbound_text(&person(number), NUMBER_ID, "hello", None).expect("the number exists");
    }
    let filter = ExchangeFilter::default();
    let told = async || {
        let found = scene.app.store.exchanges(SubscriptionKey(key), &filter, 10).await;
        found.expect("readable").exchanges
    };
    scene.app.until("three were told", async || told().await.len() >= 3).await;

    let mut started: Vec<Duration> = told().await.iter().map(|exchange| exchange.started_at.since(began)).collect();
    started.sort_unstable();
    assert_eq!(started.len(), 3);
    // A clock of the system is set a little now and then.
    for (second, at) in started.iter().enumerate() {
        let earliest = Duration::from_secs(second as u64).saturating_sub(Duration::from_millis(20));
        assert!(*at >= earliest, "{started:?}");
    }
    scene.app.finish().await;
}

async fn a_token_is_fetched_by_password_and_shown(database: Database) {
    let scene = Scene::start(database).await;
    scene.webhook(json!({})).await;
    let oauth = json!({"kind": "oauth2", "grant": "password", "token_url": format!("{}/token", scene.receiver.url),
        "client_id": "bridge", "client_secret": "secret-of-bridge", "scope": "hooks write", "user": "asha",
        "password": "secret of asha"});

    assert_eq!(scene.sample_with(json!({"authentication": oauth})).await["taken"], true);

    let asked = scene.receiver.asked_for_token();
    assert_eq!(asked.len(), 1);
    let form: Vec<(String, String)> = url::form_urlencoded::parse(asked[0].body.as_bytes()).into_owned().collect();
    let value = |name: &str| form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    assert_eq!(
        [value("grant_type"), value("username"), value("password"), value("scope")],
        ["password", "asha", "secret of asha", "hooks write"]
    );
    assert_eq!(scene.receiver.requests().pop().expect("it came").header("authorization"), "Bearer token-1");
    scene.app.finish().await;
}

async fn a_token_is_not_fetched_from_a_private_address(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.settings.security.allow_private_networks = false;
        options.without_templates = true;
        options.unconfigured = true;
    })
    .await;
    let token = app.first_owner().await.make_token(&["configuration:manage", "messages:read"]).await;
    let oauth = json!({"kind": "oauth2", "grant": "client_credentials", "token_url": "https://localhost:9/token",
        "client_id": "bridge", "client_secret": "secret-of-bridge"});
    let settings =
        json!({"url": "https://hooks.example.com/", "events": ["message.received"], "authentication": oauth});
    let body = json!({"name": "crm", "settings": settings});
    assert_eq!(app.call(Method::POST, "/api/v1/webhooks", &token, Some(body)).await.http_status, 201);

    let sample = json!({"event": "message.received"});
    let sent = app.call(Method::POST, "/api/v1/webhooks/crm/sample", &token, Some(sample)).await;

    let note = sent.body["note"].as_str().unwrap_or_default();
    assert!(sent.body["taken"] == false && note.contains("private"), "{sent:?}");
    app.leave().await;
}

async fn the_command_line_lists_tries_pauses_and_tells_again(database: Database) {
    let scene = Scene::start(database).await;
    scene.webhook(json!({"events": ["message.received"]})).await;
    let run = async |arguments: &[&str]| {
        let (code, printed) = scene.app.command_ending(&[&["webhook"], arguments, &["--json"]].concat()).await;
        (code, serde_json::from_str::<Value>(&printed).unwrap_or_else(|error| panic!("{error}: {printed}")))
    };
    let until_paused = async |paused: bool| {
        let noticed = async || {
            let snapshot = scene.app.directory().snapshot();
            let mut webhooks = snapshot.subscriptions.iter().filter_map(|known| known.webhook.as_ref());
            webhooks.all(|webhook| webhook.paused == paused)
        };
        scene.app.until("the server has heard of it", noticed).await;
    };
    scene.hears("one");
    scene.came(1).await;
    scene.app.settled().await;

    let (code, listed) = run(&["list"]).await;
    assert_eq!((code, &listed[0]["name"], &listed[0]["paused"]), (0, &json!("crm"), &json!(false)), "{listed}");
    let (code, sent) = run(&["sample", "crm", "message.received"]).await;
    assert_eq!((code, &sent["done"], &sent["http_status"]), (0, &json!(true), &json!(204)), "{sent}");
    assert_eq!(scene.came(2).await.len(), 2);

    assert_eq!(run(&["pause", "crm"]).await.1["done"], true);
    until_paused(true).await;
    scene.hears("two");
    scene.app.settled().await;
    assert_eq!(scene.receiver.requests().len(), 2, "it is kept");
    assert_eq!(run(&["list"]).await.1[0]["paused"], true);
    assert_eq!(run(&["resume", "crm"]).await.1["done"], true);
    until_paused(false).await;
    assert_eq!(scene.came(3).await.len(), 3);
    scene.app.settled().await;

    let (code, asked) = run(&["replay", "crm", "--all", "--since", "1h", "--yes"]).await;
    assert_eq!((code, &asked["events"]), (0, &json!(2)), "{asked}");
    scene.came(5).await;
    let mut again = scene.texts().split_off(3);
    again.sort_unstable();
    assert_eq!(again, ["one", "two"]);
    for command in [&["sample", "nobody", "message.read"][..], &["pause", "nobody"], &["replay", "nobody", "--yes"]] {
        assert_eq!(scene.app.command_ending(&[&["webhook"], command].concat()).await.0, 3, "{command:?}");
    }
    scene.app.finish().await;
}

/// Requests in a row that were not taken, after which a webhook is asked seldom.
const FAILURES_BEFORE_REST: usize = 10;

async fn a_sample_that_is_taken_wakes_a_webhook_that_rests(database: Database) {
    let scene = Scene::start(database).await;
    let retries = json!({"kind": "fixed", "times": 0, "every_seconds": 1});
    let settings = json!({"events": ["message.received"], "retries": retries});
    scene.webhook(settings).await;
    let rests = async || {
        let states = scene.app.store.cursor_states().await.expect("readable");
        states.values().any(|state| state.trouble.due_at.is_some())
    };
    scene.receiver.answer_always(500);
    for number in 0..FAILURES_BEFORE_REST {
        scene.hears(&format!("number {number}"));
    }
    scene.app.until("it rests", async || rests().await).await;
    scene.hears("the last");

    scene.receiver.answer_next(&[500]);
    scene.receiver.answer_always(200);
    assert_eq!(scene.sample().await["taken"], false);
    assert!(rests().await, "who takes no sample is left alone");
    assert_eq!(scene.sample().await["taken"], true);

    assert!(!rests().await, "it takes what it is told");
    scene.app.until("the rest is told", async || scene.texts().last().is_some_and(|text| text == "the last")).await;
    scene.app.finish().await;
}

on_each_database![
    a_receiver_is_asked_by_its_method_and_not_longer_than_was_agreed,
    a_connection_that_closes_under_a_request_is_not_the_receivers_no,
    what_leaves_once_more_keeps_to_the_pace_that_was_agreed,
    an_answer_that_cannot_be_read_is_an_answer,
    where_order_does_not_matter_nothing_waits_for_what_was_refused,
    no_more_requests_a_second_leave_than_were_agreed,
    a_token_is_fetched_by_password_and_shown,
    a_token_is_not_fetched_from_a_private_address,
    a_sample_that_is_taken_wakes_a_webhook_that_rests,
    the_command_line_lists_tries_pauses_and_tells_again,
];
