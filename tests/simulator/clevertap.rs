//! CleverTap's own API, and its import of templates.

use serde_json::{Value, json};
use wabridge::simulator::{CallbackRule, Endpoint, Import, SimulatorSettings};

use crate::harness::*;

async fn subscribe(world: &TestWorld, passcode: &str, people: &[(&str, &str)]) -> Answer {
    let records: Vec<Value> =
        people.iter().map(|(value, status)| json!({"type": "whatsapp", "value": value, "status": status})).collect();
    let request = world.client.post(format!("{}/1/subscribe", world.simulator.url()));
    let request = request.header("X-CleverTap-Account-Id", "ACME").header("X-CleverTap-Passcode", passcode);
    read(request.json(&json!({"d": records})).send().await.expect("an answer")).await.expect("a body")
}

#[tokio::test]
async fn people_are_unsubscribed_and_the_rest_is_listed() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    world.handle.change_knobs(|knobs| knobs.unprocessed_suffix = Some("9999".into())).expect("valid knobs");

    let people = [
        ("+919876500001", "Unsubscribe"),
        ("+919876500002", "Resubscribe"),
        ("+919876509999", "Unsubscribe"),
        ("919876500003", "Unsubscribe"),
    ];
    let answer = subscribe(&world, "secret", &people).await;

    assert_eq!((answer.status, &answer.body["status"], &answer.body["processed"]), (200, &json!("partial"), &json!(2)));
    assert_eq!(answer.body["unprocessed"][0]["record"]["value"], "+919876509999");
    let stats = world.handle.stats().clevertap;
    assert_eq!((stats.subscriptions["Unsubscribe"], stats.subscriptions["Resubscribe"], stats.unprocessed), (1, 1, 2));
    let record = &world.handle.callback_records(None)[0];
    assert_eq!(
        (record.endpoint, record.account.as_str(), record.kind.as_str()),
        (Endpoint::Subscribe, "ACME", "Unsubscribe")
    );
}

#[tokio::test]
async fn a_wrong_passcode_too_many_calls_and_a_rule_are_refused() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    world.handle.change_knobs(|knobs| knobs.clevertap_passcode = Some("secret".into())).expect("valid knobs");
    let people = [("+919876500001", "Unsubscribe")];

    assert_eq!(subscribe(&world, "guess", &people).await.status, 401);
    assert_eq!(subscribe(&world, "secret", &[]).await.status, 400);
    let once = CallbackRule {
        endpoint: Some(Endpoint::Subscribe),
        next: Some(1),
        answer_status: 429,
        ..CallbackRule::default()
    };
    world.handle.add_callback_rule(once);
    assert_eq!(subscribe(&world, "secret", &people).await.status, 429);
    assert_eq!(subscribe(&world, "secret", &people).await.status, 200);

    let slow = CallbackRule { endpoint: Some(Endpoint::Subscribe), hang_ms: 5_000, ..CallbackRule::default() };
    world.handle.add_callback_rule(slow);
    let answers = futures_util::future::join_all((0..5).map(|_| subscribe(&world, "secret", &people))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 429).count(), 2, "three at a time are taken");
    assert_eq!(world.handle.stats().clevertap.peak_subscribe_in_flight, 5);
}

/// The simulator's own template list has Meta's shape, except that its last page keeps a cursor.
#[tokio::test]
async fn an_import_fetches_every_page_and_names_what_is_wrong() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    let headers = [("Authorization".to_owned(), format!("Bearer {TOKEN}"))].into();
    let url = format!(
        "{}/v26.0/{WABA}/message_templates?fields=name,language,status,category,components",
        world.simulator.url()
    );
    let mut import = Import { url, limit: 4, username: None, password: None, headers, stray_quote: false };

    let report = world.handle.import_templates(&import).await;
    assert_eq!((report.pages, report.templates.len()), (5, world.handle.templates().len()));
    assert_eq!(report.problems, ["page 5: the last page has a cursor after"]);

    import.headers.clear();
    let refused = world.handle.import_templates(&import).await;
    assert!(refused.problems[0].starts_with("page 1: HTTP status 401"), "{:?}", refused.problems);
    let over_http =
        world.post("/control/clevertap/import", json!({"url": "http://127.0.0.1:1/", "username": "a"})).await;
    assert_eq!(over_http.body["problems"][0], "page 1: there was no answer");
}
