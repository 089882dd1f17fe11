//! Templates of every shape: what a send of each must bring.

use serde_json::{Value, json};
use wabridge::simulator::SimulatorSettings;

use crate::harness::*;

fn body(values: &[&str]) -> Value {
    json!({"type": "body", "parameters": texts(values)})
}

fn image() -> Value {
    json!({"type": "header", "parameters": [{"type": "image", "image": {"link": "https://media.example/1.jpg"}}]})
}

fn button(kind: &str, index: u32, parameter: Value) -> Value {
    json!({"type": "button", "sub_type": kind, "index": index.to_string(), "parameters": [parameter]})
}

fn card(index: u64) -> Value {
    json!({"card_index": index, "components": [image(), body(&["10%"]),
        button("quick_reply", 0, json!({"type": "payload", "payload": "more"})),
        button("url", 1, json!({"type": "text", "text": "A-17"}))]})
}

fn product_card(index: u64) -> Value {
    let product = json!({"type": "product", "product": {"product_retailer_id": "sku", "catalog_id": "9"}});
    json!({"card_index": index, "components": [{"type": "header", "parameters": [product]}]})
}

fn carousel(cards: Vec<Value>) -> Value {
    json!({"type": "carousel", "cards": cards})
}

fn offer(time: Value) -> Value {
    json!({"type": "limited_time_offer", "parameters": [
        {"type": "limited_time_offer", "limited_time_offer": {"expiration_time_ms": time}}]})
}

fn named(values: &[(&str, &str)]) -> Vec<Value> {
    values.iter().map(|(name, text)| json!({"type": "text", "parameter_name": name, "text": text})).collect()
}

#[tokio::test]
async fn every_shape_of_template_is_checked() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    let cards = |places: &[u64]| json!([body(&["Asha"]), carousel(places.iter().map(|place| card(*place)).collect())]);
    let coupon = |code: &str| button("copy_code", 0, json!({"type": "coupon_code", "coupon_code": code}));
    let suffix = || button("url", 1, json!({"type": "text", "text": "FLASH25"}));
    let slot = |slot: &str| {
        let header = json!({"type": "header", "parameters": named(&[("day", "Monday")])});
        let body = json!({"type": "body", "parameters": named(&[("courier", "Ravi"), ("slot", slot), ("first_name", "Asha")])});
        json!([header, body, button("url", 0, json!({"type": "text", "text": "A-17"}))])
    };
    let items = |sections: Value| {
        json!([button(
            "mpm",
            0,
            json!({"type": "action", "action": {"thumbnail_product_retailer_id": "sku", "sections": sections}})
        )])
    };
    let cases = [
        ("three cards", "new_arrivals", cards(&[0, 1, 2]), 0),
        ("a card too few", "new_arrivals", cards(&[0, 1]), 132012),
        ("cards in disorder", "new_arrivals", cards(&[0, 2, 1]), 131009),
        ("no carousel", "new_arrivals", json!([body(&["Asha"])]), 132012),
        (
            "an offer",
            "flash_sale",
            json!([image(), body(&["Asha"]), offer(json!(1_900_000_000_000_u64)), coupon("FLASH25"), suffix()]),
            0,
        ),
        (
            "an offer without its end",
            "flash_sale",
            json!([image(), body(&["Asha"]), coupon("FLASH25"), suffix()]),
            131008,
        ),
        (
            "an end in words",
            "flash_sale",
            json!([image(), body(&["Asha"]), offer(json!("soon")), coupon("FLASH25"), suffix()]),
            131009,
        ),
        (
            "a coupon with a stroke",
            "flash_sale",
            json!([image(), body(&["Asha"]), offer(json!(1)), coupon("FLASH-25"), suffix()]),
            131009,
        ),
        ("names in any order, one of them twice in the text", "delivery_slot", slot("9 and 11"), 0),
        ("an empty name", "delivery_slot", slot(""), 131008),
        ("a code", "login_code_tap", login_code("482913"), 0),
        ("a code that is too long", "login_code_tap", login_code("4829134829134829"), 131009),
        ("a catalogue", "browse_catalog", json!([body(&["Asha"])]), 0),
        (
            "products",
            "picked_for_you",
            items(json!([{"title": "Hot", "product_items": [{"product_retailer_id": "sku"}]}])),
            0,
        ),
        ("products without any", "picked_for_you", items(json!([])), 131008),
        ("products that nobody gave", "picked_for_you", json!([]), 131008),
        (
            "more cards of products than were approved",
            "product_row",
            json!([carousel((0..5).map(product_card).collect())]),
            0,
        ),
        ("one card of a product", "product_row", json!([carousel(vec![product_card(0)])]), 132012),
        ("pictures for products", "product_row", json!([carousel((0..2).map(card).collect())]), 132012),
    ];

    for (what, name, components, code) in cases {
        let answer = world.send(&template(PERSON, what, name, "en", components)).await;
        assert_eq!(answer.code(), code, "{what}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_place_in_a_header_needs_its_name_when_asked_to() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    world.handle.change_knobs(|knobs| knobs.location_header_needs_name = true).expect("valid knobs");
    let place = |more: Value| {
        let mut location = json!({"latitude": "19.07", "longitude": "72.87"});
        location.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let header = json!({"type": "header", "parameters": [{"type": "location", "location": location}]});
        template(PERSON, "m", "store_nearby", "en", json!([header, body(&["Asha"])]))
    };

    assert_eq!(world.send(&place(json!({}))).await.code(), 131008);
    assert_eq!(world.send(&place(json!({"name": "Shop", "address": "MG Road 1"}))).await.status, 200);
}

#[tokio::test]
async fn a_cursor_ends_when_asked_to() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    let path = format!("{WABA}/message_templates?limit=5");
    let first = world.graph("GET", &path, None).await.body;
    let next = format!("{path}&after={}", first["paging"]["cursors"]["after"].as_str().expect("a cursor"));

    assert_eq!(world.graph("GET", &next, None).await.status, 200);
    world.handle.change_knobs(|knobs| knobs.cursor_ms = 1).expect("valid knobs");
    let mut answer = world.graph("GET", &next, None).await;
    while answer.status == 200 {
        answer = world.graph("GET", &next, None).await;
    }
    assert_eq!(answer.code(), 131059);
}

#[tokio::test]
async fn one_template_can_be_asked_for_by_its_id() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    let found = world.graph("GET", "700000000000015", None).await.body;
    assert_eq!((&found["name"], &found["message_send_ttl_seconds"]), (&json!("delivery_slot"), &json!(43200)));
}
