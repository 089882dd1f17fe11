//! What people write, in every form that WhatsApp knows.

use serde_json::{Value, json};
use wabridge::simulator::{PersonIds, SimulatorSettings, Timestamps};

use crate::harness::*;

/// Says it over HTTP, and gives back the message as the webhook brings it.
async fn say(world: &TestWorld, content: Value) -> Value {
    let before = world.handle.stats().inbound_taken;
    let answer = world.post("/control/inbound", json!({"from": PERSON, "content": content})).await;
    assert_eq!(answer.status, 200, "{content}: {}", answer.body);
    world.until(|stats| stats.inbound_taken == before + 1).await;
    world.receiver.messages().pop().expect("it was taken")
}

#[tokio::test]
async fn every_type_of_message_arrives_in_metas_shape() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    let cases = [
        (json!({"text": {"body": "hello"}}), json!({"type": "text", "text": {"body": "hello"}})),
        (
            json!({"button": {"text": "Show me", "payload": "more"}}),
            json!({"type": "button", "button": {"text": "Show me", "payload": "more"}}),
        ),
        (
            json!({"button_reply": {"id": "1", "title": "Yes"}}),
            json!({"type": "interactive", "interactive": {"type": "button_reply", "button_reply": {"id": "1", "title": "Yes"}}}),
        ),
        (
            json!({"list_reply": {"id": "r2", "title": "Tuesday", "description": "in the morning"}}),
            json!({"type": "interactive", "interactive": {"type": "list_reply",
                "list_reply": {"id": "r2", "title": "Tuesday", "description": "in the morning"}}}),
        ),
        (
            json!({"flow_reply": {"response": {"size": 42}}}),
            json!({"type": "interactive", "interactive": {"type": "nfm_reply",
                "nfm_reply": {"response_json": "{\"size\":42}", "body": "Sent", "name": "flow"}}}),
        ),
        (
            json!({"location": {"latitude": 19.07, "longitude": 72.87, "name": "Home"}}),
            json!({"type": "location", "location": {"latitude": 19.07, "longitude": 72.87, "name": "Home"}}),
        ),
        (
            json!({"contacts": [{"name": "Ravi Rao", "phone": "+919876500077"}]}),
            json!({"type": "contacts", "contacts": [{
                "name": {"formatted_name": "Ravi Rao", "first_name": "Ravi", "last_name": "Rao"},
                "phones": [{"phone": "+919876500077", "wa_id": "919876500077", "type": "CELL"}]}]}),
        ),
        (
            json!({"reaction": {"message_id": "wamid.1", "emoji": "👍"}}),
            json!({"type": "reaction", "reaction": {"message_id": "wamid.1", "emoji": "👍"}}),
        ),
        (
            json!({"reaction": {"message_id": "wamid.1"}}),
            json!({"type": "reaction", "reaction": {"message_id": "wamid.1"}}),
        ),
        (
            json!({"order": {"catalog_id": "9", "items": [
                {"product_retailer_id": "sku", "quantity": 2, "item_price": 9.5, "currency": "INR"}]}}),
            json!({"type": "order", "order": {"catalog_id": "9", "product_items": [
                {"product_retailer_id": "sku", "quantity": 2, "item_price": 9.5, "currency": "INR"}]}}),
        ),
        (json!({"edit": {"original_message_id": "wamid.1", "body": "no"}}), json!({"type": "edit"})),
        (
            json!({"revoke": {"original_message_id": "wamid.1"}}),
            json!({"type": "revoke", "revoke": {"original_message_id": "wamid.1"}}),
        ),
        (
            json!({"other": {"kind": "request_welcome", "object": {"a": 1}}}),
            json!({"type": "request_welcome", "request_welcome": {"a": 1}}),
        ),
        (
            json!({"raw": {"message": {"type": "text", "text": {"body": "x"}, "context": {"forwarded": true}, "from": null}}}),
            json!({"type": "text", "text": {"body": "x"}, "context": {"forwarded": true}}),
        ),
    ];
    for (content, expected) in cases {
        let message = say(&world, content).await;
        for (key, value) in expected.as_object().expect("an object") {
            assert_eq!(&message[key], value, "{key} of {message}");
        }
        assert!(message["id"].is_string() && message["timestamp"].is_string(), "{message}");
    }
    assert!(world.receiver.messages().last().expect("the raw one").get("from").is_none(), "a null takes a key away");
}

#[tokio::test]
async fn what_whatsapp_does_not_hand_over_and_a_change_of_number_look_as_they_do_there() {
    let world = TestWorld::start(SimulatorSettings::default()).await;

    let poll = say(&world, json!({"unsupported": {"kind": "poll"}})).await;
    assert_eq!((&poll["type"], &poll["errors"][0]["code"]), (&json!("unsupported"), &json!(131051)));
    assert_eq!(poll["unsupported"]["type"], "poll");

    let moved = say(&world, json!({"number_change": {"to": "+919876599999"}})).await;
    assert_eq!((&moved["from"], &moved["system"]["wa_id"]), (&json!("919876512345"), &json!("919876599999")));
    assert_eq!(moved["system"]["type"], "user_changed_number");
    let last = world.receiver.changes().pop().expect("a change");
    assert!(last["value"].get("contacts").is_none(), "a system message introduces nobody");
}

#[tokio::test]
async fn a_person_can_keep_the_number_to_himself() {
    let world = TestWorld::start(one_webhook_at_a_time()).await;
    let show = |person_ids| world.handle.change_knobs(|knobs| knobs.person_ids = person_ids).expect("valid knobs");

    show(PersonIds::Both);
    let both = say(&world, json!({"text": {"body": "1"}})).await;
    show(PersonIds::UserId);
    let hidden = say(&world, json!({"text": {"body": "2"}})).await;
    let contact = world.receiver.changes().pop().expect("a change")["value"]["contacts"][0].clone();
    world.send(&order_update(PERSON, "msg_1")).await;
    world.until(|stats| stats.updates_waiting == 0).await;
    show(PersonIds::UserIdInFrom);
    let in_from = say(&world, json!({"text": {"body": "3"}})).await;

    let user_id = both["from_user_id"].as_str().expect("a user id");
    assert!(both["from"] == "919876512345" && user_id.starts_with("IN."));
    assert!(hidden.get("from").is_none() && hidden["from_user_id"] == user_id);
    assert!(contact.get("wa_id").is_none() && contact["user_id"] == user_id);
    let status = &world.receiver.statuses()[0];
    assert!(status.get("recipient_id").is_none() && status["recipient_user_id"] == user_id);
    assert_eq!(in_from["from"], user_id);
}

#[tokio::test]
async fn a_message_can_be_sent_to_a_user_id_but_no_code() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    let mut message = order_update(PERSON, "msg_1");
    message.as_object_mut().expect("an object").remove("to");
    message["recipient"] = json!("IN.1349");
    let mut code = template(PERSON, "msg_2", "login_code", "en", login_code("482913"));
    code.as_object_mut().expect("an object").remove("to");
    code["recipient"] = json!("IN.1349");

    let answer = world.send(&message).await;
    world.until(|stats| stats.updates_waiting == 0).await;

    assert_eq!(answer.body["contacts"], json!([{"input": "IN.1349", "user_id": "IN.1349"}]));
    assert_eq!(world.receiver.statuses()[0]["recipient_user_id"], "IN.1349");
    assert_eq!(world.send(&code).await.code(), 131062);
    message["recipient"] = json!("nobody");
    assert_eq!(world.send(&message).await.code(), 131009);
}

#[tokio::test]
async fn times_come_in_every_form_that_was_seen() {
    let world = TestWorld::start(one_webhook_at_a_time()).await;
    let write = |timestamps| world.handle.change_knobs(|knobs| knobs.timestamps = timestamps).expect("valid knobs");

    write(Timestamps::Milliseconds);
    let milliseconds = say(&world, json!({"text": {"body": "1"}})).await;
    write(Timestamps::Number);
    let number = say(&world, json!({"text": {"body": "2"}})).await;

    assert_eq!(milliseconds["timestamp"].as_str().map(str::len), Some(13));
    assert!(number["timestamp"].as_u64().is_some_and(|time| time < 10_000_000_000));
}

#[tokio::test]
async fn a_mistake_in_a_message_is_named() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    let say = async |content: Value| world.post("/control/inbound", json!({"from": PERSON, "content": content})).await;

    assert_eq!(say(json!({"text": {"bdy": "hello"}})).await.status, 400);
    assert_eq!(say(json!({"image": {"media_id": "1"}})).await.status, 400);
    assert_eq!(say(json!({"image": {"size_bytes": 1_000_000_000}})).await.status, 400);
}
