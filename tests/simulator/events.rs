//! What happens beside messages.

use serde_json::{Value, json};
use wabridge::simulator::SimulatorSettings;

use crate::harness::*;

/// Lets it happen, and gives back what the webhook says of it: the field and the value.
async fn happen(world: &TestWorld, event: Value) -> (String, Value) {
    let before = world.until(|stats| stats.updates_waiting == 0).await.webhooks_taken;
    let answer = world.post("/control/events", event.clone()).await;
    assert_eq!(answer.status, 200, "{event}: {}", answer.body);
    world.until(|stats| stats.webhooks_taken > before && stats.updates_waiting == 0).await;
    let change = world.receiver.changes().pop().expect("it was told");
    (change["field"].as_str().expect("a field").to_owned(), change["value"].clone())
}

async fn listed(world: &TestWorld, name: &str) -> Value {
    let path = format!("{WABA}/message_templates?name={name}&fields=name,status,category,quality_score,components");
    world.graph("GET", &path, None).await.body["data"][0].clone()
}

#[tokio::test]
async fn what_happens_to_a_template_is_told_and_listed() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    let about = |more: Value| {
        let mut about = json!({"name": "festive_offer", "language": "en"});
        about.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        about
    };

    let paused = json!({"template_status": about(json!({"status": "PAUSED", "title": "FIRST_PAUSE"}))});
    let (field, value) = happen(&world, paused).await;
    assert_eq!(field, "message_template_status_update");
    assert_eq!((&value["event"], &value["other_info"]["title"]), (&json!("PAUSED"), &json!("FIRST_PAUSE")));
    assert_eq!(value["message_template_id"], 700_000_000_000_003_u64);
    assert_eq!(listed(&world, "festive_offer").await["status"], "PAUSED");

    let (field, value) = happen(&world, json!({"template_category": about(json!({"category": "UTILITY"}))})).await;
    assert_eq!((field.as_str(), &value["previous_category"]), ("template_category_update", &json!("MARKETING")));
    assert_eq!(listed(&world, "festive_offer").await["category"], "UTILITY");
    let announced = json!({"template_category": about(json!({"category": "MARKETING", "upcoming": true}))});
    let (_, value) = happen(&world, announced).await;
    assert_eq!((&value["new_category"], &value["correct_category"]), (&json!("UTILITY"), &json!("MARKETING")));
    assert_eq!(listed(&world, "festive_offer").await["category"], "UTILITY", "it is only announced");

    let (field, value) = happen(&world, json!({"template_quality": about(json!({"quality": "RED"}))})).await;
    assert_eq!((field.as_str(), &value["new_quality_score"]), ("message_template_quality_update", &json!("RED")));
    let components = json!([{"type": "BODY", "text": "Hello {{1}}"}]);
    let (field, _) = happen(&world, json!({"template_components": about(json!({"components": components}))})).await;
    assert_eq!(field, "message_template_components_update");
    assert_eq!(listed(&world, "festive_offer").await["components"], components);

    let added = json!({"template_added": {"template": {"name": "brand_new", "language": "pt_PT",
        "components": [{"type": "BODY", "text": "Olá"}]}}});
    let (_, value) = happen(&world, added).await;
    assert_eq!((&value["event"], &value["message_template_language"]), (&json!("APPROVED"), &json!("pt-PT")));
    assert_eq!(world.send(&template(PERSON, "m", "brand_new", "pt_PT", json!([]))).await.status, 200);
    let (_, value) = happen(&world, json!({"template_removed": {"name": "brand_new"}})).await;
    assert_eq!(value["event"], "DELETED");
    assert_eq!(world.send(&template(PERSON, "m", "brand_new", "pt_PT", json!([]))).await.code(), 132001);
}

#[tokio::test]
async fn what_happens_to_a_number_and_its_account_is_told_and_shown() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    let field_of =
        async |field: &str| world.graph("GET", &format!("{SENDER}?fields={field}"), None).await.body[field].clone();

    let (field, value) = happen(&world, json!({"number_quality": {"quality": "RED"}})).await;
    assert_eq!((field.as_str(), &value["event"]), ("phone_number_quality_update", &json!("FLAGGED")));
    assert_eq!(field_of("quality_rating").await, "RED");
    let (field, _) = happen(&world, json!({"number_name": {"name": "Acme Store"}})).await;
    assert_eq!(field, "phone_number_name_update");
    assert_eq!(field_of("verified_name").await, "Acme Store");
    let (field, value) = happen(&world, json!({"messaging_limit": {"tier": "TIER_2K"}})).await;
    assert_eq!(
        (field.as_str(), &value["max_daily_conversations_per_business"]),
        ("business_capability_update", &json!("TIER_2K"))
    );
    assert_eq!(field_of("whatsapp_business_manager_messaging_limit").await, "TIER_2K");
    let violation =
        json!({"account": {"event": "ACCOUNT_VIOLATION", "details": {"violation_info": {"violation_type": "SPAM"}}}});
    let (field, value) = happen(&world, violation).await;
    assert_eq!((field.as_str(), &value["violation_info"]["violation_type"]), ("account_update", &json!("SPAM")));
    let (field, value) = happen(&world, json!({"error": {"code": 130429, "details": "too fast"}})).await;
    assert_eq!((field.as_str(), &value["errors"][0]["code"]), ("messages", &json!(130429)));
    assert_eq!(value["metadata"]["phone_number_id"], SENDER);
    let (field, value) = happen(&world, json!({"echo": {"to": PERSON, "text": "from the phone"}})).await;
    assert_eq!((field.as_str(), &value["message_echoes"][0]["to"]), ("smb_message_echoes", &json!("919876512345")));
    let (field, _) = happen(&world, json!({"change": {"field": "new_things", "value": {"a": [1]}}})).await;
    assert_eq!(field, "new_things");
}

#[tokio::test]
async fn who_stops_marketing_gets_no_more_until_he_resumes() {
    let world = TestWorld::start(one_webhook_at_a_time()).await;
    let tour = |id: &str| {
        let header = json!([{"type": "header", "parameters": [{"type": "video", "video": {"link": "https://media.example/a.mp4"}}]}]);
        template(PERSON, id, "product_tour", "en", header)
    };

    let (field, value) = happen(&world, json!({"preference": {"from": PERSON, "value": "stop"}})).await;
    assert_eq!(field, "user_preferences");
    let preference = &value["user_preferences"][0];
    assert_eq!((&preference["wa_id"], &preference["value"]), (&json!("919876512345"), &json!("stop")));
    assert!(preference["timestamp"].is_u64(), "a number, unlike everywhere else");
    world.send(&tour("stopped")).await;
    world.send(&order_update(PERSON, "order")).await;
    world.until(|stats| stats.updates_waiting == 0).await;
    happen(&world, json!({"preference": {"from": PERSON, "value": "resume"}})).await;
    world.send(&tour("resumed")).await;
    world.until(|stats| stats.updates_waiting == 0).await;

    assert_eq!(world.receiver.statuses_of("stopped"), ["failed"]);
    assert_eq!(world.receiver.statuses_of("order").len(), 3, "it is not marketing");
    assert_eq!(world.receiver.statuses_of("resumed").len(), 3);
}

#[tokio::test]
async fn several_events_can_be_given_at_once_and_a_mistake_is_named() {
    let world = TestWorld::start(SimulatorSettings::default()).await;

    let both = json!([{"node": {"id": SENDER, "fields": {"status": "FLAGGED"}}}, {"knobs": {"pair_limit": true}}]);
    assert_eq!(world.post("/control/events", both).await.status, 200);
    assert!(world.handle.knobs().pair_limit);
    for (event, word) in [
        (json!({"number_quality": {"qualty": "RED"}}), "qualty"),
        (json!({"messaging_limit": {"tier": "TIER_9"}}), "TIER_10K"),
        (json!({"template_status": {"name": "x", "language": "en", "status": "PAUSED"}}), "no template x"),
        (json!({"preference": {"from": PERSON, "value": "maybe"}}), "stop or resume"),
        (json!({"knobs": {"pear_limit": true}}), "pear_limit"),
        (json!({"rule": {"share": 7, "effect": "lose_answer"}}), "between 0 and 1"),
    ] {
        let answer = world.post("/control/events", event).await;
        assert_eq!(answer.status, 400);
        assert!(answer.body["error"].as_str().is_some_and(|error| error.contains(word)), "{}", answer.body);
    }
}
