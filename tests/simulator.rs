//! The simulator through its front door: HTTP in, webhooks out.
//!
//! A small receiver stands where the bridge would, keeps every webhook and its signature, and answers as it is told.
//! Nothing sleeps: every wait is for a condition, and has an end.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, http::StatusCode, web};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use wabridge::simulator::{
    CallbackRule, Effect, Endpoint, Handle, Refusal, RefusalBody, Rule, SimulatedSender, Simulator, SimulatorSettings,
};

const SENDER: &str = "100000000000001";
const PERSON: &str = "+919876512345";
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_accepted_message_is_reported_sent_delivered_and_read_under_a_true_signature() {
    let world = TestWorld::start(one_webhook_at_a_time()).await;

    let answer = world.send(&order_update(PERSON, "msg_1")).await;
    let stats = world.until(|stats| stats.statuses_taken.get("read") == Some(&1)).await;

    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["contacts"][0], json!({"input": PERSON, "wa_id": "919876512345"}));
    let wamid = answer.body["messages"][0]["id"].as_str().expect("a wamid");
    assert!(wamid.starts_with("wamid."));
    let statuses = world.receiver.statuses();
    let told: Vec<&str> = statuses.iter().map(|status| status["status"].as_str().expect("a status")).collect();
    assert_eq!(told, ["sent", "delivered", "read"]);
    assert!(statuses.iter().all(|status| status["id"] == wamid && status["biz_opaque_callback_data"] == "msg_1"));
    assert!(statuses.iter().all(|status| status["recipient_id"] == "919876512345"));
    assert!(world.receiver.webhooks().iter().all(Webhook::is_signed));
    assert_eq!((stats.sends_accepted, stats.webhooks_refused, stats.updates_dropped), (1, 0, 0));
}

#[tokio::test]
async fn webhooks_are_escaped_as_meta_does_and_the_signature_is_over_those_bytes() {
    let world = TestWorld::start(SimulatorSettings::default()).await;

    world.handle.inbound_text(PERSON, SENDER, "नमस्ते 🙏 1/2", None).expect("every number exists");
    world.until(|stats| stats.inbound_taken == 1).await;

    let webhook = world.receiver.webhooks().pop().expect("one webhook");
    let text = String::from_utf8(webhook.body.clone()).expect("UTF-8");
    assert!(text.is_ascii() && text.contains(r"\ud83d\ude4f 1\/2"), "{text}");
    assert!(webhook.is_signed());
    assert_eq!(world.receiver.messages()[0]["text"]["body"], "नमस्ते 🙏 1/2");
}

#[tokio::test]
async fn the_last_digits_of_the_recipient_decide_what_happens() {
    let world = TestWorld::start(one_webhook_at_a_time()).await;

    for ending in ["0001", "0006", "0007", "0008", "0009", "0010"] {
        assert_eq!(world.send(&order_update(&format!("+91987650{ending}"), ending)).await.status, 200);
    }
    let not_allowed = world.send(&order_update("+919876500005", "0005")).await;
    world.until(|stats| stats.updates_waiting == 0).await;

    assert_eq!(not_allowed.code(), 131030);
    assert_eq!(world.receiver.statuses_of("0001"), ["failed"]);
    let failed = world.receiver.statuses().into_iter().find(|status| status["status"] == "failed");
    assert_eq!(failed.expect("0001 fails")["errors"][0]["code"], 131026);
    assert_eq!(world.receiver.statuses_of("0006"), ["sent"]);
    assert!(world.receiver.statuses_of("0007").is_empty());
    assert_eq!(world.receiver.statuses_of("0008"), ["read", "delivered", "sent"]);
    assert_eq!(world.receiver.statuses_of("0009").len(), 9);
    assert_eq!(world.receiver.statuses_of("0010"), ["sent", "read"]);
}

#[tokio::test]
async fn what_is_due_at_once_travels_in_batches() {
    let mut settings = SimulatorSettings::default();
    settings.knobs.webhook_batch_max = 20;
    settings.knobs.webhooks_paused = true;
    settings.knobs.status_script = "sent@0".parse().expect("a script");
    let world = TestWorld::start(settings).await;

    for number in 0..50 {
        world.send(&order_update(PERSON, &format!("msg_{number}"))).await;
    }
    assert_eq!(world.handle.stats().updates_waiting, 50);
    world.handle.change_knobs(|knobs| knobs.webhooks_paused = false).expect("valid knobs");
    let stats = world.until(|stats| stats.updates_waiting == 0).await;

    assert_eq!((stats.webhooks_taken, stats.peak_webhook_batch), (3, 20));
    assert_eq!(world.receiver.statuses().len(), 50);
}

#[tokio::test]
async fn a_refused_webhook_comes_again_with_the_same_bytes() {
    let mut settings = one_webhook_at_a_time();
    settings.knobs.webhook_retry_ms = 1;
    settings.knobs.status_script = "sent@0".parse().expect("a script");
    let world = TestWorld::start(settings).await;
    world.receiver.answer_next_with([503, 401, 201]);

    world.send(&order_update(PERSON, "msg_1")).await;
    let stats = world.until(|stats| stats.webhooks_taken == 1).await;

    assert_eq!(stats.webhooks_refused, 3, "everything but 200 is a refusal");
    let webhooks = world.receiver.webhooks();
    assert_eq!(webhooks.len(), 4);
    assert!(webhooks.iter().all(|webhook| webhook.body == webhooks[0].body && webhook.is_signed()));
}

#[tokio::test]
async fn what_could_not_be_told_is_told_when_somebody_is_there() {
    let nobody =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
    let world = TestWorld::start(one_webhook_at_a_time()).await;
    let receiver = world.handle.knobs().webhook_url;
    world.handle.change_knobs(|knobs| knobs.webhook_url = Some(format!("http://{nobody}/"))).expect("valid knobs");

    world.send(&order_update(PERSON, "msg_1")).await;
    world.until(|stats| stats.webhooks_refused >= 1).await;
    world.handle.change_knobs(|knobs| knobs.webhook_url = receiver).expect("valid knobs");
    let stats = world.until(|stats| stats.updates_waiting == 0).await;

    assert_eq!(world.receiver.statuses_of("msg_1").len(), 3);
    assert_eq!(stats.updates_dropped, 0);
}

#[tokio::test]
async fn sends_fail_as_the_rules_say() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    let unreadable = Refusal { http_status: Some(503), body: RefusalBody::Html, ..Refusal::code(0) };
    let throttled = Refusal { retry_after_s: Some(7), ..Refusal::code(130429) };
    world.handle.add_rule(Rule::next(2, Effect::Refuse(throttled)));
    world.handle.add_rule(Rule::recipient("+919876511111", Effect::Refuse(unreadable)));

    let first = world.send(&order_update(PERSON, "msg_1")).await;
    let second = world.send(&order_update(PERSON, "msg_2")).await;
    let third = world.send(&order_update(PERSON, "msg_3")).await;
    let html = world.send(&order_update("+919876511111", "msg_4")).await;

    assert_eq!((first.status, first.code(), first.retry_after.as_deref()), (429, 130429, Some("7")));
    assert_eq!((second.code(), third.status), (130429, 200));
    assert_eq!((html.status, html.body), (503, Value::Null));
    let stats = world.handle.stats();
    assert_eq!((stats.sends_refused["130429"], stats.sends_refused["http_503"]), (2, 1));
    assert_eq!(world.handle.rules().len(), 1, "the rule for the next two is used up");
}

#[tokio::test]
async fn an_answer_can_get_lost_after_accepting_and_a_connection_before() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    world.handle.add_rule(Rule::next(1, Effect::LoseAnswer));

    let lost = world.try_send(&order_update(PERSON, "msg_1")).await;
    world.until(|stats| stats.statuses_taken.get("read") == Some(&1)).await;
    world.handle.add_rule(Rule::next(1, Effect::DropConnection));
    let dropped = world.try_send(&order_update(PERSON, "msg_2")).await;
    let answered = world.send(&order_update(PERSON, "msg_1")).await;

    assert!(lost.is_err() && dropped.is_err(), "neither gets an answer");
    assert_eq!(answered.status, 200);
    let stats = world.handle.stats();
    assert_eq!((stats.answers_lost, stats.connections_dropped), (1, 1));
    assert_eq!((stats.sends_accepted, stats.sends_accepted_twice), (2, 1), "msg_1 went out twice");
}

#[tokio::test]
async fn statuses_can_come_before_the_answer() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    world.handle.add_rule(Rule::next(1, Effect::StatusesFirst));

    world.send(&order_update(PERSON, "msg_1")).await;

    assert_eq!(world.receiver.statuses_of("msg_1").len(), 3, "all three were there when the answer came");
}

#[tokio::test]
async fn wrong_sends_get_metas_codes() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    let body = |values: &[&str]| json!([{"type": "body", "parameters": texts(values)}]);
    let image =
        json!({"type": "header", "parameters": [{"type": "image", "image": {"link": "https://media.example/1.jpg"}}]});
    let cart = |buttons: Value| {
        let header = json!({"type": "header", "parameters": texts(&["Asha"])});
        let mut components = vec![header, json!({"type": "body", "parameters": texts(&["kettle"])})];
        components.extend(buttons.as_array().expect("a list").clone());
        Value::Array(components)
    };
    let url_button =
        |index: Value| json!([{"type": "button", "sub_type": "url", "index": index, "parameters": texts(&["A-17"])}]);
    let named = json!([{"type": "body", "parameters": [
        {"type": "text", "parameter_name": "day", "text": "Monday"},
        {"type": "text", "parameter_name": "first_name", "text": "Asha"}]}]);
    let coupon = |code: &str| {
        let button = json!({"type": "button", "sub_type": "copy_code", "index": 0,
            "parameters": [{"type": "coupon_code", "coupon_code": code}]});
        json!([{"type": "body", "parameters": texts(&["Asha"])}, button])
    };
    let place = json!({"type": "location", "location": {"latitude": "19.07", "longitude": "72.87"}});
    let cases = [
        ("all is well", "order_update", "en", body(&["Asha", "A-17"]), 0),
        ("another language", "order_update", "hi", body(&["Asha", "A-17"]), 0),
        ("no such name", "order_updat", "en", body(&["Asha", "A-17"]), 132001),
        ("no such language", "order_update", "en_US", body(&["Asha", "A-17"]), 132001),
        ("paused", "winback", "en", body(&["Asha"]), 132015),
        ("a parameter too few", "order_update", "en", body(&["Asha"]), 132000),
        ("no components at all", "order_update", "en", json!([]), 132000),
        ("an empty parameter", "order_update", "en", body(&["Asha", ""]), 131008),
        ("a new line", "order_update", "en", body(&["Asha", "A\n17"]), 132018),
        ("a tab", "order_update", "en", body(&["Asha", "A\t17"]), 132018),
        ("five spaces", "order_update", "en", body(&["Asha", "A     17"]), 132018),
        ("four spaces", "order_update", "en", body(&["Asha", "A    17"]), 0),
        ("no header image", "festive_offer", "en", body(&["Asha", "20%"]), 132012),
        ("an image for a document", "invoice_ready", "en_US", json!([image, body(&["Asha", "May"])[0]]), 132012),
        ("an image for an image", "festive_offer", "en", json!([image, body(&["Asha", "20%"])[0]]), 0),
        ("a place", "store_nearby", "en", json!([{"type": "header", "parameters": [place]}, body(&["Asha"])[0]]), 0),
        ("positions for names", "appointment", "en_GB", body(&["Asha", "Monday"]), 132012),
        ("names for names", "appointment", "en_GB", named.clone(), 0),
        ("names for positions", "order_update", "en", named, 132012),
        ("no URL suffix", "cart_reminder", "en", cart(json!([])), 131008),
        ("a URL suffix", "cart_reminder", "en", cart(url_button(json!("0"))), 0),
        ("its index as a number", "cart_reminder", "en", cart(url_button(json!(0))), 0),
        ("a suffix for a fixed URL", "cart_reminder", "en", cart(url_button(json!("1"))), 132000),
        ("a button that is not there", "cart_reminder", "en", cart(url_button(json!("7"))), 131009),
        ("a coupon", "coupon", "en", coupon("SAVE20"), 0),
        ("a coupon that is too long", "coupon", "en", coupon("SAVE20SAVE20SAVE20SAVE20"), 131009),
        ("a code without its button", "login_code", "en", body(&["482913"]), 131008),
        ("nothing to fill", "welcome", "en", json!([]), 0),
    ];

    for (what, name, language, components, code) in cases {
        let answer = world.send(&template(PERSON, what, name, language, components)).await;
        assert_eq!(answer.code(), code, "{what}: {}", answer.body);
    }
}

#[tokio::test]
async fn what_is_not_even_a_send_is_refused_too() {
    let settings =
        SimulatorSettings { senders: vec![sender("1001", None), sender("1002", None)], ..SimulatorSettings::default() };
    let world = TestWorld::start(settings).await;
    let text =
        |to: Value| json!({"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": "hello"}});
    let good = text(json!(PERSON));

    assert_eq!(world.post_as("1001", "messages", &good, "wrong-token").await.expect("an answer").code(), 190);
    for (number, endpoint, body, code) in [
        ("1001", "messages", good.clone(), 0),
        ("1001", "messages", text(Value::Null), 100),
        ("1001", "messages", text(json!("98765ABCDE")), 131009),
        ("1001", "messages", text(json!("+918880110022")), 131021),
        ("1001", "messages", json!({"to": PERSON}), 100),
        ("1001", "marketing_messages", good.clone(), 134100),
        ("1001", "marketing_messages", order_update(PERSON, "m"), 134100),
        ("9999", "messages", good, 100),
    ] {
        let answer = world.post_as(number, endpoint, &body, "simulator-access-token").await.expect("an answer");
        assert_eq!(answer.code(), code, "{number} {endpoint} {body}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_number_has_its_rate_and_its_peak_is_known() {
    let settings = SimulatorSettings {
        senders: vec![sender(SENDER, Some(5)), sender("1002", Some(0))],
        ..SimulatorSettings::default()
    };
    let world = TestWorld::start(settings).await;

    // Twelve at once are within one second on any machine that can run this test at all.
    let message = order_update(PERSON, "msg");
    let answers = futures_util::future::join_all((0..12).map(|_| world.send(&message))).await;

    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 5);
    assert!(answers.iter().all(|answer| answer.status == 200 || answer.code() == 130429));
    let stats = world.handle.stats();
    assert_eq!(stats.peak_sends_per_second[SENDER], 12);
    assert!(stats.peak_in_flight_per_recipient >= 1);
    assert_eq!(
        world.post_as("1002", "messages", &message, "simulator-access-token").await.expect("an answer").code(),
        0
    );
}

#[tokio::test]
async fn the_load_of_one_recipient_is_known() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    world.handle.add_rule(Rule::everybody(Effect::StatusesFirst));
    world.handle.change_knobs(|knobs| knobs.webhooks_paused = true).expect("valid knobs");
    let message = order_update(PERSON, "msg");

    let sends = futures_util::future::join_all((0..3).map(|_| world.send(&message)));
    let release = async {
        world.until(|stats| stats.peak_in_flight_per_recipient == 3).await;
        world.handle.change_knobs(|knobs| knobs.webhooks_paused = false).expect("valid knobs");
    };
    futures_util::future::join(sends, release).await;

    assert_eq!(world.handle.stats().sends_accepted, 3);
}

#[tokio::test]
async fn freeform_needs_an_open_window_when_asked_to() {
    let mut settings = one_webhook_at_a_time();
    settings.knobs.enforce_window = true;
    let world = TestWorld::start(settings).await;
    let text = |id: &str| {
        json!({"messaging_product": "whatsapp", "to": PERSON, "type": "text", "text": {"body": "hello"},
            "biz_opaque_callback_data": id})
    };

    assert_eq!(world.send(&text("before")).await.status, 200, "it fails only afterwards");
    world.until(|stats| stats.updates_waiting == 0).await;
    world.handle.inbound_text(PERSON, SENDER, "hi", None).expect("every number exists");
    world.send(&text("after")).await;
    world.until(|stats| stats.updates_waiting == 0).await;

    assert_eq!(world.receiver.statuses_of("before"), ["failed"]);
    assert_eq!(world.receiver.statuses()[0]["errors"][0]["code"], 131047);
    assert_eq!(world.receiver.statuses_of("after"), ["sent", "delivered", "read"]);
}

#[tokio::test]
async fn readers_tap_the_button_with_the_payload_of_the_send() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    world.handle.add_rule(Rule::next(1, Effect::Tap { button: 0 }));
    world.handle.add_rule(Rule::recipient("+919876522222", Effect::Reply { text: Some("yes please".into()) }));
    let components = json!([
        {"type": "header", "parameters": [{"type": "image", "image": {"id": "1234"}}]},
        {"type": "body", "parameters": texts(&["Asha", "20%"])},
        {"type": "button", "sub_type": "quick_reply", "index": "0", "parameters": [{"type": "payload", "payload": "more-1"}]}]);

    let offer = world.send(&template(PERSON, "msg_1", "festive_offer", "en", components)).await;
    let order = world.send(&order_update("+919876522222", "msg_2")).await;
    world.until(|stats| stats.inbound_taken == 2).await;

    let said = world.receiver.messages();
    let tap = said.iter().find(|message| message["type"] == "button").expect("a tap");
    assert_eq!(tap["button"], json!({"payload": "more-1", "text": "Show me"}));
    assert_eq!(tap["context"]["id"], offer.body["messages"][0]["id"]);
    let text = said.iter().find(|message| message["type"] == "text").expect("a text");
    assert_eq!((&text["text"]["body"], &text["from"]), (&json!("yes please"), &json!("919876522222")));
    assert_eq!(text["context"]["id"], order.body["messages"][0]["id"]);
}

#[tokio::test]
async fn templates_are_listed_in_pages_and_their_changes_are_told() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    let list = |query: &str| {
        let url = format!("{}/v26.0/200000000000001/message_templates{query}", world.simulator.url());
        let request = world.client.get(url).bearer_auth("simulator-access-token");
        async move { request.send().await.expect("an answer").json::<Value>().await.expect("JSON") }
    };

    let first = list("?limit=10&fields=name,status,components").await;
    let after = first["paging"]["cursors"]["after"].as_str().expect("a cursor");
    let second = list(&format!("?limit=10&after={after}")).await;
    let named = list("?name=order_update").await;
    let stale = list("?after=stale").await;
    world.handle.set_template_status("order_update", "hi", "PAUSED").expect("a sample");
    world.until(|stats| stats.updates_waiting == 0).await;

    assert_eq!(first["data"].as_array().map(Vec::len), Some(10));
    assert!(first["paging"]["next"].is_string() && second["paging"].get("next").is_none());
    assert_eq!(named["data"].as_array().map(Vec::len), Some(2), "two languages");
    assert_eq!(stale["error"]["code"], 131059);
    let change = &world.receiver.changes()[0];
    assert_eq!(change["field"], "message_template_status_update");
    assert_eq!(change["value"]["message_template_language"], "hi");
    assert_eq!(change["value"]["message_template_id"], 700_000_000_000_002_u64);
}

#[tokio::test]
async fn the_clevertap_side_counts_and_answers_as_told() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    let report = |msg_id: &str, status: &str| json!({"payloadVersion": "0.1", "statuses": [{"msgId": msg_id, "status": status, "timestamp": "1790000123"}]});
    let once = CallbackRule { next: Some(1), answer_status: 429, retry_after_s: Some(3), ..CallbackRule::default() };
    let poisoned = CallbackRule {
        endpoint: Some(Endpoint::DeliveryReports),
        body_contains: Some("9|1|1|9".into()),
        answer_status: 400,
        ..CallbackRule::default()
    };
    world.handle.set_callback_rules(vec![once, poisoned]);
    let post = |path: &'static str, body: Value| world.post(path, body);

    assert_eq!(post("/clevertap/delivery-reports", report("7|1|1|7", "sent")).await.retry_after.as_deref(), Some("3"));
    assert_eq!(post("/clevertap/delivery-reports", report("7|1|1|7", "sent")).await.status, 200);
    assert_eq!(post("/clevertap/delivery-reports/acme", report("7|1|1|7", "read")).await.status, 200);
    assert_eq!(post("/clevertap/delivery-reports", report("9|1|1|9", "sent")).await.status, 400);
    assert_eq!(post("/clevertap/delivery-reports", report("7|1|1|7", "seen")).await.status, 400);
    let reply = json!({"payloadVersion": "0.1", "from": "919876512345", "wabaNumber": "918880110022",
        "timestamp": "1790000200", "type": "text", "text": {"body": "yes"}, "context": {"id": "7|1|1|7"}});
    assert_eq!(post("/clevertap/inbound", reply).await.status, 200);

    let stats = world.handle.stats().clevertap;
    assert_eq!((stats.requests, stats.violations, stats.messages_total), (6, 1, 2), "{stats:#?}");
    assert_eq!((stats.requests_refused[&429], stats.requests_refused[&400]), (1, 1));
    assert_eq!((stats.inbound["text"], stats.gaps), (1, 1), "acme's message was read, but never delivered");
    let kinds: Vec<String> =
        world.handle.callback_records(Some("7|1|1|7")).into_iter().map(|record| record.kind).collect();
    assert_eq!(kinds, ["sent", "read", "text"]);
}

#[tokio::test]
async fn everything_can_be_controlled_over_http() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    let get = async |path: &str| {
        let answer = world.client.get(format!("{}{path}", world.simulator.url())).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    let patch = async |body: Value| {
        let url = format!("{}/control/knobs", world.simulator.url());
        world.client.patch(url).json(&body).send().await.expect("an answer").status().as_u16()
    };

    assert_eq!(patch(json!({"echo_callback_data": false, "status_script": "sent@0x2"})).await, 200);
    assert_eq!(patch(json!({"reply_text_share": 2})).await, 400);
    assert_eq!(patch(json!({"webhook_bach_max": 2})).await, 400, "a typing error is not ignored");
    assert_eq!(get("/control/knobs").await.1["status_script"], "sent@0x2");
    let rule = json!({"recipient_suffix": "4444", "effect": {"refuse": {"code": 131049}}});
    assert_eq!(world.post("/control/rules", rule).await.status, 200);
    assert_eq!(get("/control/rules").await.1[0]["effect"]["refuse"]["code"], 131049);

    assert_eq!(world.send(&order_update("+919876544444", "msg_1")).await.code(), 131049);
    world.send(&order_update(PERSON, "msg_2")).await;
    let (status, stats) = get("/control/stats?wait_for=statuses_taken/sent&at_least=2").await;
    assert_eq!((status, &stats["sends_refused"]["131049"]), (200, &json!(1)));
    assert_eq!(get("/control/stats?wait_for=inbound_taken&timeout_ms=1").await.0, 408);
    assert!(world.receiver.statuses().iter().all(|status| status.get("biz_opaque_callback_data").is_none()));

    let message = json!({"from": PERSON, "phone_number_id": SENDER, "content": {"location": {"latitude": 19.07, "longitude": 72.87}}});
    assert!(world.post("/control/inbound", message).await.body["wamid"].is_string());
    world.until(|stats| stats.inbound_taken == 1).await;
    assert_eq!(world.receiver.messages()[0]["location"]["latitude"], 19.07);

    let sends = get(&format!("/control/sends?recipient=%2B{}", &PERSON[1..])).await.1;
    assert_eq!(sends[0]["body"]["template"]["name"], "order_update");
    assert_eq!(get("/control/templates").await.1.as_array().map(Vec::len), Some(world.handle.templates().len()));
    world.post("/control/reset", json!({})).await;
    assert_eq!(world.handle.stats().sends_accepted, 0);
}

/// A simulator, a receiver of its webhooks, and a client.
struct TestWorld {
    simulator: Simulator,
    handle: Handle,
    receiver: Receiver,
    client: reqwest::Client,
}

struct Answer {
    status: u16,
    retry_after: Option<String>,
    /// Null if it is not JSON.
    body: Value,
}

impl Answer {
    /// Meta's code, 0 for none.
    fn code(&self) -> u64 {
        self.body["error"]["code"].as_u64().unwrap_or(0)
    }
}

impl TestWorld {
    async fn start(mut settings: SimulatorSettings) -> Self {
        let receiver = Receiver::start();
        settings.knobs.webhook_url = Some(receiver.url.clone());
        let simulator = Simulator::start(settings).await.expect("a free port");
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { handle: simulator.handle(), simulator, receiver, client }
    }

    async fn until(&self, wanted: impl Fn(&wabridge::simulator::Stats) -> bool) -> wabridge::simulator::Stats {
        self.handle.wait_until(wanted, PATIENCE).await.expect("it happens soon")
    }

    async fn send(&self, message: &Value) -> Answer {
        self.try_send(message).await.expect("an answer")
    }

    async fn try_send(&self, message: &Value) -> Result<Answer, reqwest::Error> {
        self.post_as(SENDER, "messages", message, "simulator-access-token").await
    }

    async fn post_as(
        &self,
        number: &str,
        endpoint: &str,
        message: &Value,
        token: &str,
    ) -> Result<Answer, reqwest::Error> {
        let url = format!("{}/v26.0/{number}/{endpoint}", self.simulator.url());
        read(self.client.post(url).bearer_auth(token).json(message).send().await?).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        let url = format!("{}{path}", self.simulator.url());
        let answer = self.client.post(url).json(&body).send().await.expect("an answer");
        read(answer).await.expect("a body")
    }
}

async fn read(answer: reqwest::Response) -> Result<Answer, reqwest::Error> {
    let status = answer.status().as_u16();
    let retry_after = answer.headers().get("Retry-After").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = serde_json::from_slice(&answer.bytes().await?).unwrap_or_default();
    Ok(Answer { status, retry_after, body })
}

/// Stands where the bridge would.
struct Receiver {
    url: String,
    inbox: Arc<Mutex<Inbox>>,
    server: ServerHandle,
}

#[derive(Default)]
struct Inbox {
    webhooks: Vec<Webhook>,
    answers: VecDeque<u16>,
}

#[derive(Clone)]
struct Webhook {
    body: Vec<u8>,
    signature: String,
    answer: u16,
}

impl Webhook {
    fn is_signed(&self) -> bool {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"simulator-app-secret").expect("HMAC takes a key of any length");
        mac.update(&self.body);
        let signature = hex::decode(self.signature.strip_prefix("sha256=").unwrap_or_default()).unwrap_or_default();
        mac.verify_slice(&signature).is_ok()
    }
}

impl Receiver {
    fn start() -> Self {
        let inbox = Arc::new(Mutex::new(Inbox::default()));
        let shared = web::Data::from(Arc::clone(&inbox));
        let server = HttpServer::new(move || App::new().app_data(shared.clone()).route("/", web::post().to(take)))
            .workers(1)
            .disable_signals()
            .bind("127.0.0.1:0")
            .expect("a free port");
        let url = format!("http://{}/", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { url, inbox, server: handle }
    }

    fn answer_next_with(&self, statuses: impl IntoIterator<Item = u16>) {
        self.inbox.lock().expect("nobody panicked").answers.extend(statuses);
    }

    fn webhooks(&self) -> Vec<Webhook> {
        self.inbox.lock().expect("nobody panicked").webhooks.clone()
    }

    fn changes(&self) -> Vec<Value> {
        let taken = self.webhooks().into_iter().filter(|webhook| webhook.answer == 200);
        let bodies = taken.map(|webhook| serde_json::from_slice::<Value>(&webhook.body).expect("JSON"));
        let entries = bodies.flat_map(|body| body["entry"].as_array().expect("entries").clone());
        entries.flat_map(|entry| entry["changes"].as_array().expect("changes").clone()).collect()
    }

    fn of_all_changes(&self, key: &str) -> Vec<Value> {
        let lists = self.changes().into_iter().filter_map(|change| change["value"][key].as_array().cloned());
        lists.flatten().collect()
    }

    fn statuses(&self) -> Vec<Value> {
        self.of_all_changes("statuses")
    }

    fn messages(&self) -> Vec<Value> {
        self.of_all_changes("messages")
    }

    /// The statuses of the message with this callback data, in their order of arrival.
    fn statuses_of(&self, callback_data: &str) -> Vec<String> {
        let of_message = |status: &Value| status["biz_opaque_callback_data"] == callback_data;
        let statuses = self.statuses().into_iter().filter(of_message);
        statuses.map(|status| status["status"].as_str().expect("a status").to_owned()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.server.stop(false));
    }
}

async fn take(inbox: web::Data<Mutex<Inbox>>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let signature = request.headers().get("X-Hub-Signature-256").and_then(|value| value.to_str().ok());
    let mut inbox = inbox.lock().expect("nobody panicked");
    let answer = inbox.answers.pop_front().unwrap_or(200);
    let signature = signature.unwrap_or_default().to_owned();
    inbox.webhooks.push(Webhook { body: body.to_vec(), signature, answer });
    HttpResponse::build(StatusCode::from_u16(answer).expect("a status of HTTP")).finish()
}

/// So that webhooks arrive in the order in which they are due.
fn one_webhook_at_a_time() -> SimulatorSettings {
    let mut settings = SimulatorSettings::default();
    settings.knobs.webhooks_in_flight_max = 1;
    settings
}

fn sender(phone_number_id: &str, messages_per_second: Option<u32>) -> SimulatedSender {
    SimulatedSender {
        phone_number_id: phone_number_id.to_owned(),
        display_number: "918880110022".to_owned(),
        waba_id: "2001".to_owned(),
        messages_per_second,
    }
}

fn texts(values: &[&str]) -> Value {
    values.iter().map(|value| json!({"type": "text", "text": value})).collect()
}

fn order_update(to: &str, callback_data: &str) -> Value {
    let body = json!([{"type": "body", "parameters": texts(&["Asha", "A-17"])}]);
    template(to, callback_data, "order_update", "en", body)
}

fn template(to: &str, callback_data: &str, name: &str, language: &str, components: Value) -> Value {
    json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": to, "type": "template",
        "biz_opaque_callback_data": callback_data,
        "template": {"name": name, "language": {"code": language}, "components": components}})
}
