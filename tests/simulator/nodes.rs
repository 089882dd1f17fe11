//! Numbers and business accounts that are asked and subscribed.

use serde_json::json;
use wabridge::simulator::SimulatorSettings;

use crate::harness::*;

#[tokio::test]
async fn a_number_tells_its_fields_and_a_control_changes_them() {
    let settings = SimulatorSettings { senders: vec![sender(SENDER, None)], ..SimulatorSettings::default() };
    let world = TestWorld::start(settings).await;
    let fields = "display_phone_number,verified_name,quality_rating,throughput{level},name_status,\
                  whatsapp_business_manager_messaging_limit,code_verification_status,webhook_configuration,health_status";

    let path = format!("{SENDER}?fields={fields}");
    let node = world.graph("GET", &path, None).await.body;
    assert_eq!(node["display_phone_number"], "+91 88801 10022");
    assert_eq!((&node["quality_rating"], &node["throughput"]["level"]), (&json!("GREEN"), &json!("STANDARD")));
    assert_eq!(node["webhook_configuration"]["application"], world.receiver.url);
    assert_eq!(node["health_status"]["can_send_message"], "AVAILABLE");

    let url = format!("{}/control/nodes/{SENDER}", world.simulator.url());
    let change = json!({"quality_rating": "RED", "verified_name": null});
    assert_eq!(world.client.patch(url).json(&change).send().await.expect("an answer").status().as_u16(), 200);
    assert_eq!(
        world.graph("GET", &format!("{SENDER}?fields=quality_rating"), None).await.body["quality_rating"],
        "RED"
    );
    assert_eq!(world.graph("GET", &format!("{SENDER}?fields=verified_name"), None).await.code(), 100);
    assert_eq!(world.graph("GET", "9999", None).await.code(), 100, "there is no such number");
    assert_eq!(world.graph("GET", "2001?fields=name", None).await.body, json!({"name": "Acme Retail", "id": "2001"}));
    assert_eq!(world.graph("GET", "2001/phone_numbers", None).await.body["data"][0]["id"], SENDER);
}

#[tokio::test]
async fn a_token_without_a_permission_is_told_so() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    world.handle.change_knobs(|knobs| knobs.may_manage = false).expect("valid knobs");

    for path in [SENDER.to_owned(), format!("{WABA}/message_templates"), format!("{WABA}/subscribed_apps")] {
        let refused = world.graph("GET", &path, None).await;
        assert_eq!((refused.status, refused.code()), (403, 200), "{path}");
    }
    assert_eq!(world.send(&order_update(PERSON, "msg_1")).await.status, 200, "it may still send");
    world.handle.change_knobs(|knobs| knobs.access_token = "another".into()).expect("valid knobs");
    let expired = world.graph("GET", SENDER, None).await;
    assert_eq!((expired.status, expired.code()), (401, 190));
}

#[tokio::test]
async fn an_account_that_is_not_subscribed_tells_nothing() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    let apps = format!("{WABA}/subscribed_apps");

    let before = world.graph("GET", &apps, None).await.body;
    assert!(before["data"][0]["whatsapp_business_api_data"]["id"].is_string());
    assert_eq!(world.graph("DELETE", &apps, None).await.body, json!({"success": true}));
    assert_eq!(world.graph("GET", &apps, None).await.body["data"], json!([]));
    world.handle.inbound_text(PERSON, SENDER, "anybody there?", None).expect("every number exists");
    world.until(|stats| stats.updates_dropped == 1).await;

    assert_eq!(world.graph("POST", &apps, None).await.status, 200);
    world.handle.inbound_text(PERSON, SENDER, "and now?", None).expect("every number exists");
    world.until(|stats| stats.inbound_taken == 1).await;
    assert_eq!(world.receiver.messages()[0]["text"]["body"], "and now?");
}

#[tokio::test]
async fn an_override_that_shakes_hands_gets_the_messages() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    let other = Receiver::start();
    let apps = format!("{WABA}/subscribed_apps");
    let wanted = |token: &str| json!({"override_callback_uri": other.url, "verify_token": token});

    assert_eq!(world.graph("POST", &apps, Some(wanted("wrong"))).await.code(), 2200);
    assert_eq!(world.graph("POST", &apps, Some(json!({"override_callback_uri": other.url}))).await.code(), 100);
    assert_eq!(world.graph("POST", &apps, Some(wanted(VERIFY_TOKEN))).await.status, 200);
    assert_eq!(world.graph("GET", &apps, None).await.body["data"][0]["override_callback_uri"], other.url);
    world.handle.inbound_text(PERSON, SENDER, "hello", None).expect("every number exists");
    world.handle.send_change(WABA, "account_update", json!({"event": "ACCOUNT_DELETED"}));
    world.until(|stats| stats.webhooks_taken == 2).await;
    assert_eq!(other.messages().len(), 1);
    assert_eq!(world.receiver.changes()[0]["field"], "account_update", "only messages go elsewhere");

    let own =
        json!({"webhook_configuration": {"override_callback_uri": world.receiver.url, "verify_token": VERIFY_TOKEN}});
    assert_eq!(world.graph("POST", SENDER, Some(own)).await.status, 200);
    world.handle.inbound_text(PERSON, SENDER, "hello again", None).expect("every number exists");
    world.until(|stats| stats.webhooks_taken == 3).await;
    assert_eq!(world.receiver.messages().len(), 1, "the number's own override comes first");
    let shown = world.graph("GET", &format!("{SENDER}?fields=webhook_configuration"), None).await.body;
    assert_eq!(shown["webhook_configuration"]["whatsapp_business_account"], other.url);
}
