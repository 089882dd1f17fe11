//! People who hide their number, and what cannot be read.

use serde_json::{Value, json};
use wabridge::simulator::Endpoint;

use crate::harness::{APP_SECRET, Database, Message, NUMBER_ID, TestApp, WABA_ID, on_each_database, person};

fn webhook(value: Value) -> String {
    let mut whole = json!({"messaging_product": "whatsapp", "metadata": {"phone_number_id": NUMBER_ID}});
    for (key, part) in value.as_object().expect("parts of a value") {
        whole[key] = part.clone();
    }
    let entry = json!({"id": WABA_ID, "changes": [{"field": "messages", "value": whole}]});
    json!({"object": "whatsapp_business_account", "entry": [entry]}).to_string()
}

/// A text of somebody who is named by an id alone.
fn unnamed(id: &str, user_id: &str, text: &str, quotes: Option<&str>) -> Value {
    json!({"id": id, "from_user_id": user_id, "timestamp": "1795000000", "type": "text", "text": {"body": text},
        "context": quotes.map(|quoted| json!({"id": quoted}))})
}

async fn said(app: &TestApp, messages: Vec<Value>) {
    assert_eq!(app.post_webhook(webhook(json!({"messages": messages})), APP_SECRET).await, 200);
}

/// The texts that CleverTap was told, with whose number.
async fn inbound(app: &TestApp) -> Vec<(String, String)> {
    app.settled().await;
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let records = app.simulator.callback_records(None).into_iter();
    records
        .filter(|record| record.endpoint == Endpoint::Inbound)
        .map(|record| (word(&record.entry["text"]["body"]), word(&record.entry["from"])))
        .collect()
}

async fn who_hides_the_number_is_known_by_the_message_that_is_answered(database: Database) {
    let app = TestApp::start(database).await;
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.settled().await;
    let wamid = app.stored(&message).await.provider_message_id.expect("WhatsApp gave it an id");
    let digits = person(1).trim_start_matches('+').to_owned();

    said(&app, vec![unnamed("wamid.1", "IN.1349A", "who am I", None)]).await;
    said(&app, vec![unnamed("wamid.2", "IN.1349A", "yes", Some(&wamid))]).await;
    said(&app, vec![unnamed("wamid.3", "IN.1349A", "and more", None)]).await;

    let told = inbound(&app).await;
    assert_eq!(told, [("yes".to_owned(), digits.clone()), ("and more".to_owned(), digits)]);
    let kept = app.store.count_callbacks().await.expect("countable");
    assert_eq!(kept.values().map(|(_, not_relayed)| *not_relayed).sum::<i64>(), 1, "the first is kept and shown");
    app.finish().await;
}

async fn who_was_seen_with_number_and_id_is_known_by_the_id(database: Database) {
    let app = TestApp::start(database).await;
    let digits = |number| person(number).trim_start_matches('+').to_owned();
    let named = json!({"id": "wamid.named", "from": digits(2), "from_user_id": "IN.1349B", "timestamp": "1795000000",
        "type": "text", "text": {"body": "under both"}});
    said(&app, vec![named]).await;
    // Of those who are only written to: who has a username may hide the number one day.
    let status = json!({"id": "wamid.foreign", "status": "sent", "timestamp": "1795000000",
        "recipient_id": digits(3), "recipient_user_id": "IN.1349C"});
    let contact = json!({"wa_id": digits(3), "user_id": "IN.1349C", "profile": {"name": "C", "username": "@c"}});
    let seen = json!({"contacts": [contact], "statuses": [status]});
    assert_eq!(app.post_webhook(webhook(seen), APP_SECRET).await, 200);

    said(
        &app,
        vec![unnamed("wamid.1", "IN.1349B", "from two", None), unnamed("wamid.2", "IN.1349C", "from three", None)],
    )
    .await;

    let mut told = inbound(&app).await;
    told.sort();
    let expected = [("from three", 3), ("from two", 2), ("under both", 2)];
    assert_eq!(told, expected.map(|(text, number)| (text.to_owned(), digits(number))));
    app.finish().await;
}

async fn a_new_number_of_the_same_person_takes_the_place_of_the_old_one(database: Database) {
    let app = TestApp::start(database).await;
    let digits = |number| person(number).trim_start_matches('+').to_owned();
    for number in [2, 4] {
        let seen = json!({"contacts": [{"wa_id": digits(number), "user_id": "IN.1349B"}]});
        assert_eq!(app.post_webhook(webhook(seen), APP_SECRET).await, 200);
    }

    said(&app, vec![unnamed("wamid.1", "IN.1349B", "hello", None)]).await;

    assert_eq!(inbound(&app).await, [("hello".to_owned(), digits(4))]);
    app.finish().await;
}

async fn what_cannot_be_read_is_one_line_for_each_reason(database: Database) {
    let app = TestApp::start(database).await;
    let digits = person(1).trim_start_matches('+').to_owned();
    let odd = |number: usize| {
        json!({"id": format!("wamid.{number}"), "from": digits, "timestamp": "1795000000",
        "type": "hologram"})
    };
    said(&app, (0..30).map(odd).collect()).await;

    let groups = app.command(&["unrecognized"]).await;
    let page = app.command(&["unrecognized", "--each", "--limit", "20"]).await;
    let next = page.lines().last().and_then(|line| line.rsplit(' ').next()).expect("it names the next page").to_owned();
    let rest = app.command(&["unrecognized", "--before", &next, "--reason", "HOLOgram"]).await;
    let full = app.command(&["unrecognized", "--full", "--json", "--limit", "1"]).await;

    assert_eq!(groups.matches("hologram").count(), 1, "{groups}");
    assert!(groups.contains("30  unread through meta-main"), "{groups}");
    assert_eq!(page.matches("hologram").count(), 20, "{page}");
    assert_eq!(rest.matches("hologram").count(), 10, "{rest}");
    assert!(!groups.contains(&digits) && !page.contains(&digits));
    let full: Value = serde_json::from_str(&full).expect("JSON");
    assert!(full[0]["entry"].as_str().is_some_and(|entry| entry.contains(&digits)), "{full}");
    app.finish().await;
}

on_each_database![
    who_hides_the_number_is_known_by_the_message_that_is_answered,
    who_was_seen_with_number_and_id_is_known_by_the_id,
    a_new_number_of_the_same_person_takes_the_place_of_the_old_one,
    what_cannot_be_read_is_one_line_for_each_reason,
];
