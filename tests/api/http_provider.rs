//! Carriers that are described by settings: the whole circle against a small one of our own, and GoTallo's events.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::harness::{Answer, Database, Message, TestApp, on_each_database, person};

const URL_TOKEN: &str = "end-of-the-url-0123456789";
const NUMBER: &str = "+918880110044";

/// A carrier with an API of its own.
#[derive(Clone, Default)]
struct Carrier {
    /// What to answer; a success with a new id when nothing is left.
    answers: Arc<Mutex<VecDeque<(u16, Value)>>>,
    /// Heads and bodies of the requests.
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Carrier {
    /// Listens on a port of its own; gives back its URL.
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let carrier = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carrier.clone().answer(stream));
            }
        });
        url
    }

    /// One request, then the connection closes.
    async fn answer(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.expect("it is read") == 0 {
                return;
            }
        }
        let length =
            head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).await.expect("it is read");
        let number = {
            let mut asked = self.asked.lock().expect("free");
            asked.push((head, serde_json::from_slice(&body).expect("JSON")));
            asked.len()
        };
        let taken = || (200, json!({"data": {"message": format!("c-{number}")}}));
        let (status, answer) = self.answers.lock().expect("free").pop_front().unwrap_or_else(taken);
        let answer = answer.to_string();
        let text =
            format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}", answer.len());
        stream.get_mut().write_all(text.as_bytes()).await.expect("it is written");
    }

    fn asked(&self) -> Vec<(String, Value)> {
        self.asked.lock().expect("free").clone()
    }
}

/// A connection to the carrier, and a number of the account at it.
fn own(url: &str, provider: &str, templates: &str, more: &str) -> String {
    format!(
        r#"
        [[connections]]
        id = "own"
        provider = "{provider}"
        url_token = "{URL_TOKEN}"
        base_url = "{url}"
        send_path = "/v1/{{{{number_id}}}}/messages"
        auth = "header"
        auth_name = "X-Api-Key"
        auth_secret = "carrier-key"
        headers = ["X-Tenant: acme"]
        body_template = '{{"to": "{{{{to_digits}}}}", "ref": "{{{{message_id}}}}", "template": "{{{{template.name}}}}", "values": "{{{{template.values}}}}"}}'
        answer = """
            id         /data/message
            error.code /error/code
            error.text /error/text
        """
        error_meanings = "1013 invalid_number"
        templates = '{templates}'
        template_category = "utility"
        {more}
        {OTHER_SENDER}
        "#
    )
}

const OTHER_SENDER: &str = r#"
        [[accounts]]
        id = "own"
        platform = "clevertap"
        clevertap_account_id = "TEST-ACC-1"
        clevertap_passcode = "acme-passcode"
        delivery_report_callback_url = "{simulator}/clevertap/delivery-reports/own"
        inbound_message_callback_url = "{simulator}/clevertap/inbound/own"
        rendered_body = "refuse"

        [[accounts.senders]]
        number = "+918880110044"
        connection = "own"
        phone_number_id = "n-1"
        waba_id = "a-1"
        messages_per_second = 100
"#;

const TABLE: &str = r#"
        webhook = """
            list              /events
            number            /channel
            status.id         /id
            status.word       /state
            status.time       /at
            status.error.code /error/code
            status.error.text /error/text
            inbound.id        /message/id
            inbound.from      /message/from
            inbound.time      /at
            inbound.text      /message/text
            inbound.reply_to  /message/reply
        """
        status_words = """
            ENROUTE sent
            DELIVRD delivered
            SEEN    read
            UNDELIV failed
        """
"#;

const LISTED: &str = r#"[{"name":"order_update","language":"en","components":[{"type":"BODY","text":"Hi {{1}}, your order {{2}} is on its way."}]}]"#;

async fn start(database: Database, configuration: &str) -> TestApp {
    TestApp::start_with(database, |options| {
        options.more = configuration.to_owned();
        options.without_templates = true;
    })
    .await
}

async fn send(app: &TestApp, message: &Message) -> Answer {
    let credentials = [("X-CleverTap-Account-Id", "TEST-ACC-1"), ("X-CleverTap-Passcode", "acme-passcode")];
    app.post("/clevertap/own/messages", &credentials, message.body.to_string()).await
}

fn order_update(to: usize) -> Message {
    Message::order_update(&person(to)).with("wabaNumber", json!(NUMBER))
}

async fn webhook(app: &TestApp, provider: &str, token: &str, body: &Value) -> u16 {
    app.post(&format!("/webhooks/{provider}/own/{token}"), &[], body.to_string()).await.http_status
}

fn status(id: &str, word: &str, at: i64) -> Value {
    json!({"channel": "n-1", "id": id, "state": word, "at": at})
}

async fn a_message_goes_round_by_a_carrier_that_only_settings_describe(database: Database) {
    let carrier = Carrier::default();
    let app = start(database, &own(&carrier.start().await, "http", LISTED, TABLE)).await;

    let message = order_update(1);
    app.until("its templates are known", async || send(&app, &message).await.is_success()).await;
    app.until("it is sent", async || carrier.asked().len() == 1).await;
    let (head, body) = carrier.asked().remove(0);
    assert!(head.starts_with("POST /v1/n-1/messages "), "{head}");
    let head = head.to_lowercase();
    assert!(head.contains("x-api-key: carrier-key") && head.contains("x-tenant: acme"), "{head}");
    let digits = person(1).trim_start_matches('+').to_owned();
    assert_eq!((&body["to"], &body["template"]), (&json!(digits), &json!("order_update")));
    assert_eq!(body["values"], json!(["Asha", "A-17"]));
    assert!(body["ref"].as_str().is_some_and(|id| id.starts_with("msg_")), "{body}");

    app.until("its id is known", async || app.stored(&message).await.provider_message_id.is_some()).await;

    // Late, twice, in any order.
    let events = json!({"events": [status("c-1", "DELIVRD", 1_900_000_002), status("c-1", "ENROUTE", 1_900_000_001)]});
    assert_eq!(webhook(&app, "http", "another-end-of-the-url-01", &events).await, 401);
    assert_eq!(app.post("/webhooks/http/own", &[], events.to_string()).await.http_status, 401);
    assert_eq!(webhook(&app, "http", URL_TOKEN, &events).await, 200);
    assert_eq!(webhook(&app, "http", URL_TOKEN, &events).await, 200);
    let read = json!({"events": [status("c-1", "SEEN", 1_900_000_003)]});
    assert_eq!(webhook(&app, "http", URL_TOKEN, &read).await, 200);
    app.until("CleverTap is told", async || app.told(&message).len() == 3).await;
    assert_eq!(app.told(&message), ["sent", "delivered", "read"]);

    let wrote = json!({"id": "i-1", "from": digits, "text": "thank you", "reply": "c-1"});
    let inbound = json!({"events": [{"channel": "n-1", "at": 1_900_000_004, "message": wrote}]});
    assert_eq!(webhook(&app, "http", URL_TOKEN, &inbound).await, 200);
    let asha = app.first_owner().await;
    let page = asha.get("/console/inbound").await;
    assert!(page.text.contains("thank you"), "{page:?}");
    app.leave().await;
}

async fn what_does_not_fit_and_what_the_carrier_refuses_is_said_in_words(database: Database) {
    let carrier = Carrier::default();
    let refused = json!({"error": {"code": 1013, "text": "not on WhatsApp"}});
    carrier.answers.lock().expect("free").push_back((400, refused));
    let app = start(database, &own(&carrier.start().await, "http", LISTED, TABLE)).await;
    let message = order_update(1);
    app.until("its templates are known", async || send(&app, &message).await.is_success()).await;
    app.until("CleverTap is told", async || app.told(&message) == ["failed"]).await;
    assert_eq!(app.stored(&message).await.failure.map(|failure| failure.text).as_deref(), Some("not on WhatsApp"));

    // The three checks: whose number, how many values, the same text.
    let foreign = Message::order_update(&person(2)).with("wabaNumber", json!("+918880110022"));
    let short = Message::template(&person(3), "order_update", "en").values(&["Asha"]).with("wabaNumber", json!(NUMBER));
    let mut other_text = order_update(4);
    let body = other_text.body["components"][0]["body"].as_object_mut().expect("it has a body");
    body.insert("text".to_owned(), json!("Hi Asha, your order A-17 is late."));
    for (message, wanted) in [
        (&foreign, "is not a number of this account; use +918880110044"),
        (&short, "2"),
        (&other_text, "WhatsApp's has \"on its way.\""),
    ] {
        let answer = send(&app, message).await;
        assert!(!answer.is_success() && answer.message().contains(wanted), "{wanted}: {answer:?}");
        assert!(!answer.message().contains("is late"), "the answer goes into logs: {answer:?}");
    }
    let text = Message::freeform(&person(5), "hello").with("wabaNumber", json!(NUMBER));
    assert!(send(&app, &text).await.is_success());
    app.until("it is given up", async || app.stored(&text).await.failure.is_some()).await;
    let failure = app.stored(&text).await.failure.expect("it has one");
    assert!(failure.text.contains("connection own has no body_text"), "{failure:?}");
    assert_eq!(carrier.asked().len(), 1);
    app.leave().await;
}

async fn any_template_is_handed_on_where_the_operator_wants_it(database: Database) {
    let carrier = Carrier::default();
    let app = start(database, &own(&carrier.start().await, "http", "passthrough", TABLE)).await;
    let message = Message::template(&person(1), "nobody_listed_it", "de")
        .values(&["a", "b", "c"])
        .with("wabaNumber", json!(NUMBER));

    let answer = send(&app, &message).await;

    assert!(answer.is_success(), "{answer:?}");
    app.until("it is sent", async || carrier.asked().len() == 1).await;
    let (_, body) = carrier.asked().remove(0);
    assert_eq!((&body["template"], &body["values"]), (&json!("nobody_listed_it"), &json!(["a", "b", "c"])));
    let (_, checked) = app.command_ending(&["check", "--connection", "own"]).await;
    for part in ["a template message would go out as POST http://127.0.0.1", "order_update", "any template is taken"] {
        assert!(checked.contains(part), "{part} is missing in {checked}");
    }
    assert!(!checked.contains("carrier-key") && !checked.contains(URL_TOKEN), "{checked}");
    assert_eq!(carrier.asked().len(), 1, "a check sends nothing");
    app.leave().await;
}

const GOTALLO: &str = r#"
        [[connections]]
        id = "own"
        provider = "gotallo"
        url_token = "end-of-the-url-0123456789"
        webhook_addresses = "127.0.0.0/8"
"#;

fn tallo(id: &str, status: &str, outbound: bool, at: &str) -> Value {
    json!({
        "id": id, "ext_identifier": format!("wamid.{id}"), "type": "TEXT", "status": status, "outbound": outbound,
        "text": "can I change it?", "timestamp": "2026-09-21T13:33:20.000Z", "modified_timestamp": at, "quote": null,
        "platform": "WHATSAPP", "platform_id": "n-1", "conversation_state": "OPEN",
        "chat_user": {"id": "u-1", "first_name": "Asha", "phone_number": person(1)},
    })
}

async fn gotallo_is_heard_and_does_not_send_unless_it_is_told_how(database: Database) {
    let app = start(database, &format!("{GOTALLO}{OTHER_SENDER}")).await;
    let asha = app.first_owner().await;
    let cara = app.another(&asha, "cara", "read-only").await;

    let inbound = tallo("gt-1", "RECEIVED", false, "2026-09-21T13:33:20.000Z");
    assert_eq!(webhook(&app, "gotallo", "not-the-end-of-the-url-0", &inbound).await, 401);
    assert_eq!(webhook(&app, "gotallo", URL_TOKEN, &inbound).await, 200);
    let shown = async || asha.get("/console/inbound").await.text.matches("can I change it?").count();
    let once = shown().await;
    assert!(once > 0, "it is shown");
    assert_eq!(webhook(&app, "gotallo", URL_TOKEN, &inbound).await, 200);
    assert_eq!(shown().await, once, "a repeat is no second message");

    let text = Message::freeform(&person(1), "of course").with("wabaNumber", json!(NUMBER));
    assert!(send(&app, &text).await.is_success());
    app.until("it is given up", async || app.stored(&text).await.failure.is_some()).await;
    let failure = app.stored(&text).await.failure.expect("it has one");
    assert!(failure.text.starts_with("connection own only receives"), "{failure:?}");

    // The secret end of the URL is shown to nobody, but once to whoever makes another one.
    for visitor in [&asha, &cara] {
        let page = visitor.get("/console/connections/own").await;
        assert!(page.text.contains("/webhooks/gotallo/own/URL_TOKEN"), "{page:?}");
        assert!(!page.text.contains(URL_TOKEN), "{page:?}");
    }
    assert_eq!(cara.post("/console/connections/own/word", &[]).await.status, 403);
    let renewed = asha.post("/console/connections/own/word", &[]).await;
    let other = renewed.between("/webhooks/gotallo/own/", "<").to_owned();
    assert!(other.len() >= 20 && !renewed.text.contains("URL_TOKEN"), "{renewed:?}");
    let late = tallo("gt-2", "RECEIVED", false, "2026-09-21T13:33:25.000Z");
    app.until("the new end opens", async || webhook(&app, "gotallo", &other, &late).await == 200).await;
    assert_eq!(webhook(&app, "gotallo", URL_TOKEN, &late).await, 401);
    app.leave().await;
}

async fn gotallo_sends_by_a_private_endpoint_and_tells_what_became_of_it(database: Database) {
    let carrier = Carrier::default();
    let app = start(database, &own(&carrier.start().await, "gotallo", LISTED, "")).await;
    let message = order_update(1);
    app.until("its templates are known", async || send(&app, &message).await.is_success()).await;
    app.until("its id is known", async || app.stored(&message).await.provider_message_id.is_some()).await;

    for (status, at) in [("READ", "25"), ("SENT", "21"), ("DELIVERED", "23"), ("READ", "25")] {
        let echo = tallo("c-1", status, true, &format!("2026-09-21T13:33:{at}.000Z"));
        assert_eq!(webhook(&app, "gotallo", URL_TOKEN, &echo).await, 200);
    }
    app.until("CleverTap is told", async || app.told(&message).len() == 3).await;
    assert_eq!(app.told(&message), ["sent", "delivered", "read"]);
    app.leave().await;
}

async fn a_connection_that_cannot_work_is_refused_with_what_is_missing(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let token = asha.make_token(&["messages:read", "configuration:manage"]).await;
    let add = async |body: Value| app.call(Method::POST, "/api/v1/connections", &token, Some(body)).await;
    let base = json!({"id": "own", "provider": "http", "url_token": URL_TOKEN});
    for (field, value, problem_at, wanted) in [
        ("url_token", "short", "url_token", "20 to 128 characters"),
        ("base_url", "https://carrier.example", "body_template", "without a body nothing can be sent"),
        ("base_url", "http://169.254.169.254/latest", "base_url", "is never called"),
        ("base_url", "http://[::ffff:100.100.100.200]", "base_url", "is never called"),
        ("base_url", "https://metadata.google.internal", "base_url", "is never called"),
        ("body_text", "{\"to\": {{to}}}", "body_text", "is not JSON"),
        ("body_text", "{\"to\": \"{{too}}\"}", "body_text", "{{too}} is not known here"),
        ("webhook", "status.id /id", "webhook", "has no line status.word"),
        ("error_meanings", "1 explode", "error_meanings", "line 1: \"explode\" is not known here"),
        ("templates", "[{\"name\": \"a\"}]", "templates", "cannot be read"),
        ("auth", "bearer", "auth_secret", "give the token"),
        ("webhook_header", "X-Shared", "webhook_header_value", "asks for it"),
        ("webhook_addresses", "somewhere", "webhook_addresses", "is not a network"),
    ] {
        let mut body = base.clone();
        body[field] = value.into();
        let answer = add(body).await;
        assert_eq!(answer.http_status, 422, "{field}: {answer:?}");
        let told = answer.body.to_string();
        let plain = wanted.replace('"', "\\\"");
        assert!(told.contains(&plain) && told.contains(problem_at), "{field} = {value}: {told}");
    }
    // The same for URLs of callbacks, whatever else is allowed.
    let callback = json!({"delivery_report_callback_url": "http://[fd00:ec2::254]/latest/meta-data"});
    let answer = app.call(Method::PATCH, "/api/v1/accounts/acme", &token, Some(callback)).await;
    assert!(answer.http_status == 422 && answer.body.to_string().contains("is never called"), "{answer:?}");
    app.leave().await;
}

on_each_database![
    a_message_goes_round_by_a_carrier_that_only_settings_describe,
    what_does_not_fit_and_what_the_carrier_refuses_is_said_in_words,
    any_template_is_handed_on_where_the_operator_wants_it,
    gotallo_is_heard_and_does_not_send_unless_it_is_told_how,
    gotallo_sends_by_a_private_endpoint_and_tells_what_became_of_it,
    a_connection_that_cannot_work_is_refused_with_what_is_missing,
];
