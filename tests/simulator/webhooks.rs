//! What is told, when, and how it is controlled.

use serde_json::{Value, json};
use wabridge::simulator::{CallbackRule, Effect, Endpoint, Rule, SimulatorSettings};

use crate::harness::*;

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
    let world = TestWorld::start(one_webhook_at_a_time()).await;
    let receiver = world.handle.knobs().webhook_url;
    world.handle.change_knobs(|knobs| knobs.webhook_url = Some("http://127.0.0.1:9/".to_owned())).expect("valid knobs");

    world.send(&order_update(PERSON, "msg_1")).await;
    world.until(|stats| stats.webhooks_refused >= 1).await;
    world.handle.change_knobs(|knobs| knobs.webhook_url = receiver).expect("valid knobs");
    let stats = world.until(|stats| stats.updates_waiting == 0).await;

    assert_eq!(world.receiver.statuses_of("msg_1").len(), 3);
    assert_eq!(stats.updates_dropped, 0);
}

#[tokio::test]
async fn statuses_can_come_before_the_answer() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    world.handle.add_rule(Rule::next(1, Effect::StatusesFirst));

    world.send(&order_update(PERSON, "msg_1")).await;

    assert_eq!(world.receiver.statuses_of("msg_1").len(), 3, "all three were there when the answer came");
}

#[tokio::test]
async fn readers_tap_the_button_with_the_payload_of_the_send() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    world.handle.add_rule(Rule::next(1, Effect::Tap { button: 0 }));
    world.handle.add_rule(Rule::recipient("+919876522222", Effect::Reply { text: Some("yes please".into()) }));
    let components = json!([
        {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://media.example/1.jpg"}}]},
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
