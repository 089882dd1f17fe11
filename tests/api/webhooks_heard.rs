//! What providers' webhooks tell reaches those who want to hear of it: one example of each kind, through the front door.

use reqwest::Method;
use serde_json::{Value, json};
use wabridge::simulator::{Effect, Rule};

use crate::{
    gallabox, gotallo,
    harness::{
        APP_SECRET, CONNECTION, Database, Message, NUMBER_ID, Receiver, Request, TestApp, WABA_ID, on_each_database,
        person, script,
    },
};

/// Somebody who wants to hear of these.
async fn listening(app: &TestApp, events: &[&str], more: Value) -> Receiver {
    let receiver = Receiver::start().await;
    let token = app.first_owner().await.make_token(&["configuration:manage", "messages:read"]).await;
    let mut settings = json!({"url": format!("{}/hook", receiver.url), "events": events});
    settings.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let body = json!({"name": "crm", "settings": settings});
    let made = app.call(Method::POST, "/api/v1/webhooks", &token, Some(body)).await;
    assert_eq!(made.http_status, 201, "{made:?}");
    receiver
}

/// What came in place `number`, from 1 on.
async fn told(app: &TestApp, receiver: &Receiver, number: usize) -> Value {
    app.until(&format!("{number} requests came"), async || receiver.requests().len() >= number).await;
    receiver.requests()[number - 1].json()
}

fn of_meta(field: &str, value: &Value) -> String {
    let change = json!({"field": field, "value": value});
    json!({"object": "whatsapp_business_account", "entry": [{"id": WABA_ID, "time": 1_795_000_000, "changes": [change]}]})
        .to_string()
}

async fn what_meta_tells_of_people_templates_and_numbers_is_heard(database: Database) {
    let app = TestApp::start(database).await;
    let names = ["message.interaction", "message.flow", "message.cart", "template.status", "channel.status"];
    let receiver = listening(&app, &names, json!({})).await;
    let written = |kind: &str, content: Value| {
        let from = person(3);
        let message = json!({"id": format!("wamid.{kind}"), "from": from.trim_start_matches('+'),
            "timestamp": "1790000000", "type": kind, kind: content});
        let metadata = json!({"phone_number_id": NUMBER_ID});
        ("messages", json!({"messaging_product": "whatsapp", "metadata": metadata, "messages": [message]}))
    };
    let (tap, form) = (
        json!({"type": "button_reply", "button_reply": {"id": "yes-1", "title": "Yes"}}),
        json!({"type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent", "response_json": "{\"size\":\"M\"}"}}),
    );
    let mut form = written("interactive", form);
    form.1["messages"][0]["id"] = "wamid.form".into();
    let cart = json!({"catalog_id": "900100", "text": "wrap it", "product_items": [
        {"product_retailer_id": "SKU-1", "quantity": 2, "item_price": 10.5, "currency": "INR"}]});
    let paused = json!({"event": "PAUSED", "message_template_id": 700_000_000_000_001_i64,
        "message_template_name": "order_update", "message_template_language": "en", "reason": "NONE"});
    let violation = json!({"event": "ACCOUNT_VIOLATION", "violation_info": {"violation_type": "SPAM"}});

    for (number, (name, (field, value), part, says)) in [
        ("message.interaction", written("interactive", tap), "/data/message/content", "Yes"),
        ("message.flow", form, "/data/message/content", "size"),
        ("message.cart", written("order", cart), "/data/message/content", "SKU-1"),
        ("template.status", ("message_template_status_update", paused), "/data/notice", "order_update"),
        ("channel.status", ("account_update", violation), "/data/notice", "SPAM"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(app.post_webhook(of_meta(field, &value), APP_SECRET).await, 200, "{name}");
        let told = told(&app, &receiver, number + 1).await;
        assert_eq!(told["type"], name, "{told}");
        let part = told.pointer(part).map(Value::to_string).unwrap_or_default();
        assert!(part.contains(says), "{name}: {told}");
    }
    app.finish().await;
}

async fn what_gallabox_tells_of_a_payment_is_heard(database: Database) {
    let app = gallabox::start(database, gallabox::WEBHOOK_SECRET, |_| {}).await;
    let receiver = listening(&app, &["message.payment"], json!({})).await;
    let payment = json!({"id": "66c9", "accountId": WABA_ID, "channelId": NUMBER_ID, "recipient_id": person(1).trim_start_matches('+'),
        "timestamp": "1790000200", "status": "captured",
        "payment": {"reference_id": "order-42", "currency": "INR", "transaction": {"id": "T1"}}});

    for _ in 0..2 {
        assert_eq!(gallabox::post(&app, "Message.WA.Payment.Status.Received", &payment, APP_SECRET).await, 200);
    }
    let told = told(&app, &receiver, 1).await;
    app.settled().await;

    assert_eq!(
        told["data"]["payment"],
        json!({"reference": "order-42", "status": "captured", "currency": "INR", "transaction_id": "T1"}),
        "{told}"
    );
    assert_eq!(told["data"]["contact"]["phone"], person(1), "{told}");
    assert_eq!(receiver.requests().len(), 1, "a repeat is told once");
    app.finish().await;
}

async fn what_gotallo_tells_of_deletions_and_events_is_heard(database: Database) {
    let app = gotallo::start(database, |_| {}).await;
    let receiver = listening(&app, &["message.deleted", "gotallo.event"], json!({})).await;
    let message = |id: &str, kind: &str, status: &str| {
        json!({"id": id, "platform_id": NUMBER_ID, "type": kind, "status": status, "outbound": false, "text": "x",
            "timestamp": "2026-11-21T09:00:00Z", "modified_timestamp": "2026-11-21T09:05:00Z",
            "chat_user": {"id": "u1", "phone_number": person(1)}})
    };
    let path = format!("/webhooks/gotallo/{CONNECTION}/{}", gotallo::URL_TOKEN);

    for (number, (name, body)) in
        [("message.deleted", message("g-1", "TEXT", "DELETED")), ("gotallo.event", message("g-2", "EVENT", "RECEIVED"))]
            .into_iter()
            .enumerate()
    {
        assert_eq!(app.post(&path, &[], body.to_string()).await.http_status, 200, "{name}");
        let told = told(&app, &receiver, number + 1).await;
        assert_eq!(told["type"], name, "{told}");
        let id = ["/data/message/replies_to/provider_id", "/data/provider_event/payload/id"][number];
        assert_eq!(told.pointer(id), Some(&body["id"]), "{told}");
    }
    app.finish().await;
}

async fn like_gotallo_a_message_is_told_with_the_state_of_its_conversation(database: Database) {
    let app = TestApp::start(database).await;
    let receiver = listening(&app, &["message.received", "message.sent"], json!({"profile": "gotallo"})).await;
    let hears = |text: &str| app.simulator.inbound_text(&person(1), NUMBER_ID, text, None).expect("the number exists");

    hears("hello");
    assert_eq!(told(&app, &receiver, 1).await["conversation_state"], "OPEN");
    // Its id names a campaign, so a machine answers.
    app.accept(&Message::freeform(&person(1), "Thank you for writing.")).await;
    let answered = told(&app, &receiver, 2).await;
    assert_eq!((&answered["status"], &answered["conversation_state"]), (&json!("SENT"), &json!("AUTO_BOT")));
    app.accept(&Message::order_update(&person(2))).await;
    let sent = told(&app, &receiver, 3).await;
    assert_eq!((&sent["type"], &sent["conversation_state"]), (&json!("HSM"), &Value::Null), "never wrote: {sent}");
    app.finish().await;
}

async fn like_gotallo_a_message_never_goes_back_and_always_says_its_words(database: Database) {
    let app = TestApp::start(database).await;
    app.simulator.inbound_text(&person(1), NUMBER_ID, "hello", None).expect("the number exists");
    app.settled().await;
    app.simulator.add_rule(Rule::everybody(Effect::Statuses(script("none"))));
    let retries = json!({"kind": "fixed", "times": 3, "every_seconds": 1});
    let receiver = listening(&app, &["message.*"], json!({"profile": "gotallo", "retries": retries})).await;
    receiver.answer_next(&[503]);
    let message = Message::freeform(&person(1), "It is at your door.");

    app.accept(&message).await;
    assert_eq!(told(&app, &receiver, 1).await["status"], "PREPARED");
    app.until("Meta took it", async || app.stored(&message).await.provider_message_id.is_some()).await;
    let report = json!({"id": app.stored(&message).await.provider_message_id, "status": "delivered",
        "timestamp": "1795000000", "recipient_id": person(1).trim_start_matches('+')});
    let value =
        json!({"messaging_product": "whatsapp", "metadata": {"phone_number_id": NUMBER_ID}, "statuses": [report]});
    assert_eq!(app.post_webhook(of_meta("messages", &value), APP_SECRET).await, 200);
    // What waits behind another event is told a moment after the cursor has passed it.
    let has_come = |status: &str| receiver.requests().iter().any(|request| request.json()["status"] == status);
    app.until("the last is told", async || has_come("DELIVERED")).await;
    app.settled().await;

    let seen: Vec<Value> = receiver.requests().iter().map(Request::json).collect();
    let mut statuses: Vec<&str> = seen.iter().filter_map(|told| told["status"].as_str()).collect();
    // The one that was refused may come again, as long as nothing else came.
    statuses.dedup();
    assert_eq!(statuses, ["PREPARED", "SENT", "DELIVERED"]);
    let texts: Vec<&Value> =
        seen.iter().filter(|told| told["status"] != "PREPARED").map(|told| &told["text"]).collect();
    assert_eq!(texts, ["It is at your door."; 2], "of what was sent once and delivered");
    app.finish().await;
}

on_each_database![
    what_meta_tells_of_people_templates_and_numbers_is_heard,
    what_gallabox_tells_of_a_payment_is_heard,
    what_gotallo_tells_of_deletions_and_events_is_heard,
    like_gotallo_a_message_is_told_with_the_state_of_its_conversation,
    like_gotallo_a_message_never_goes_back_and_always_says_its_words,
];
