//! WhatsApp's webhooks at the door: who may post, and that nothing of it gets lost.

use serde_json::{Value, json};

use crate::harness::{
    APP_SECRET, CONNECTION, Database, Message, NUMBER_ID, TestApp, WABA_ID, on_each_database, person,
};

fn webhook(value: Value) -> Value {
    json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": WABA_ID, "changes": [{"field": "messages", "value": value}]}],
    })
}

fn value(key: &str, list: Vec<Value>) -> Value {
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "918880110022", "phone_number_id": NUMBER_ID},
    });
    value[key] = Value::Array(list);
    value
}

fn text(number: usize) -> Value {
    json!({
        "from": person(number).trim_start_matches('+'),
        "id": format!("wamid.inbound{number}"),
        "timestamp": "1790000200",
        "type": "text",
        "text": {"body": format!("message {number}")},
    })
}

async fn a_webhook_that_is_not_signed_by_the_app_is_refused_and_forgotten(database: Database) {
    let app = TestApp::start(database).await;
    let body = webhook(value("messages", vec![text(1)])).to_string();
    let path = format!("/webhooks/meta/{CONNECTION}");

    assert_eq!(app.post_webhook(body.clone(), "another-secret").await, 401);
    for headers in [
        &[][..],
        &[("X-Hub-Signature-256", "")],
        &[("X-Hub-Signature-256", "sha256=")],
        &[("X-Hub-Signature-256", "sha256=zz")],
        &[("X-Hub-Signature-256", "sha1=0000000000000000000000000000000000000000")],
    ] {
        assert_eq!(app.post(&path, headers, body.clone()).await.http_status, 401, "{headers:?}");
    }
    let elsewhere = app.post("/webhooks/meta/nowhere", &[], body.clone()).await;
    let other_provider = app.post(&format!("/webhooks/other/{CONNECTION}"), &[], body.clone()).await;
    assert_eq!((elsewhere.http_status, other_provider.http_status), (401, 401), "they look the same from outside");

    // While a secret is being changed both are good.
    assert_eq!(app.post_webhook(body, "an-older-secret").await, 200);
    let stats = app.finish().await;
    assert_eq!(stats.clevertap.inbound["text"], 1, "only the one that was signed counts");
}

async fn the_handshake_gives_the_challenge_back_to_whoever_knows_the_token(database: Database) {
    let app = TestApp::start(database).await;
    let ask = async |connection: &str, token: &str| {
        let query = format!("hub.mode=subscribe&hub.challenge=115842&hub.verify_token={token}");
        app.get(&format!("/webhooks/meta/{connection}?{query}")).await
    };

    assert_eq!(ask(CONNECTION, "verify-me").await, (200, "115842".to_owned()));
    assert_eq!(ask(CONNECTION, "guess").await.0, 403);
    assert_eq!(ask("nowhere", "verify-me").await.0, 403);
    assert_eq!(app.get(&format!("/webhooks/meta/{CONNECTION}")).await.0, 403);
    app.finish().await;
}

async fn a_thousand_updates_in_one_webhook_are_all_told(database: Database) {
    let app = TestApp::start_with(database, |options| options.simulator.knobs.webhooks_paused = true).await;
    let messages: Vec<Message> = (0..100).map(|number| Message::order_update(&person(number))).collect();
    app.accept_all(&messages).await;
    app.until_counted("all are sent", |stats| stats.sends_accepted == 100).await;
    let mut ids = Vec::new();
    for message in &messages {
        let sent = async || app.stored(message).await.provider_message_id.is_some();
        app.until("the answer to its send is stored", sent).await;
        ids.push(app.stored(message).await.provider_message_id.expect("it was just there"));
    }

    // Each status several times, in any order: 700 reports and 300 texts.
    let reports = |place: usize| {
        let status = ["read", "sent", "delivered", "sent", "read", "delivered", "sent"][place / 100];
        json!({"id": ids[place % 100], "status": status, "timestamp": "1790000123", "recipient_id": "919876500001"})
    };
    let mut all = value("statuses", (0..700).map(reports).collect());
    all["messages"] = (1_000..1_300).map(text).collect();
    let body = webhook(all).to_string();
    assert_eq!(app.post_webhook(body.clone(), APP_SECRET).await, 200);
    assert_eq!(app.post_webhook(body, APP_SECRET).await, 200, "and once more, as providers do");
    app.simulator.change_knobs(|knobs| knobs.webhooks_paused = false).expect("valid knobs");
    app.settled().await;

    for message in &messages {
        assert_eq!(app.told(message), ["sent", "delivered", "read"]);
    }
    let stats = app.finish().await;
    assert_eq!(stats.clevertap.inbound["text"], 300);
}

async fn what_cannot_be_read_is_kept_beside_what_can(database: Database) {
    let app = TestApp::start(database).await;
    let mut mixed = value("messages", vec![text(1), json!({"id": 7}), json!("?"), text(2)]);
    mixed["statuses"] = json!([{"id": "wamid.x", "status": "teleported", "timestamp": "1790000123"}]);

    for garbage in ["", "not json", "[]", "{}", "{\"object\": \"page\", \"entry\": [{}]}"] {
        assert_eq!(app.post_webhook(garbage, APP_SECRET).await, 200, "it would only come again: {garbage:?}");
    }
    let (before, _) = app.store.count_unrecognized().await.expect("countable");
    assert_eq!(app.post_webhook(webhook(mixed).to_string(), APP_SECRET).await, 200);
    let (after, parked) = app.store.count_unrecognized().await.expect("countable");

    assert!(before >= 3, "garbage is kept: {before}");
    assert_eq!((after - before, parked), (3, 0));
    let stats = app.finish().await;
    assert_eq!(stats.clevertap.inbound["text"], 2);
}

async fn an_update_about_a_number_that_is_not_ours_is_kept_and_told_to_nobody(database: Database) {
    let app = TestApp::start(database).await;
    let mut theirs = value("messages", vec![text(1)]);
    theirs["metadata"]["phone_number_id"] = json!("100000000000999");

    assert_eq!(app.post_webhook(webhook(theirs).to_string(), APP_SECRET).await, 200);

    assert_eq!(app.store.count_unrecognized().await.expect("countable"), (1, 0));
    let stats = app.finish().await;
    assert_eq!(stats.clevertap.requests, 0);
}

async fn a_webhook_beyond_the_limit_is_refused(database: Database) {
    let app = TestApp::start_with(database, |options| options.settings.limits.webhook_body_bytes = 10_000).await;

    let body = webhook(value("messages", (0..100).map(text).collect())).to_string();
    assert_eq!(app.post_webhook(body, APP_SECRET).await, 413);

    assert_eq!(app.post_webhook(webhook(value("messages", vec![text(1)])).to_string(), APP_SECRET).await, 200);
    let stats = app.finish().await;
    assert_eq!(stats.clevertap.inbound["text"], 1);
}

on_each_database![
    a_webhook_that_is_not_signed_by_the_app_is_refused_and_forgotten,
    the_handshake_gives_the_challenge_back_to_whoever_knows_the_token,
    a_thousand_updates_in_one_webhook_are_all_told,
    what_cannot_be_read_is_kept_beside_what_can,
    an_update_about_a_number_that_is_not_ours_is_kept_and_told_to_nobody,
    a_webhook_beyond_the_limit_is_refused,
];
