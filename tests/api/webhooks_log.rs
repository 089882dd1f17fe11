//! The log of a webhook: what was said to it, found by number, event and state, and in which state the rest is.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{
        BUSINESS_NUMBER, Database, Message, OTHER_ACCOUNT, OTHER_NUMBER, OTHER_SENDER, on_each_database, person,
    },
    webhooks_out::Scene,
};

/// Of the number in [`OTHER_SENDER`], at the provider.
const OTHER_NUMBER_ID: &str = "100000000000002";

async fn log(scene: &Scene, query: &str) -> Vec<Value> {
    let answer = scene.call(Method::GET, &format!("/webhooks/crm/log?{query}"), None).await;
    assert_eq!(answer.http_status, 200, "{answer:?}");
    answer.body["requests"].as_array().expect("a list").clone()
}

async fn what_waits_is_pending_retried_or_paused_until_it_is_taken(database: Database) {
    let scene = Scene::start(database).await;
    let retries = json!({"kind": "fixed", "times": 20, "every_seconds": 5});
    scene.webhook(json!({"events": ["message.received"], "retries": retries})).await;
    scene.receiver.answer_always(503);
    let url = scene.call(Method::GET, "/webhooks/crm", None).await.body["cursors"][0]["callback_url"].clone();
    let states = async || -> Vec<String> {
        let listed = scene.call(Method::GET, &format!("/callback-urls/{url}/events"), None).await;
        let events = listed.body["events"].as_array().expect("a list").clone();
        events.iter().map(|event| event["delivery"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let switch = async |to: &str| {
        assert_eq!(scene.call(Method::POST, &format!("/webhooks/crm/{to}"), None).await.http_status, 200);
    };

    scene.hears("one");
    scene.app.until("the first is tried again", async || states().await == ["retrying"]).await;
    scene.hears("two");
    scene.app.until("the second waits behind it", async || states().await == ["pending", "retrying"]).await;
    let shown = scene.owner.get(&format!("/console/callbacks/{url}/events")).await.text;
    assert!(shown.contains(">pending<") && shown.contains(">retrying<"), "{shown}");
    assert!(log(&scene, "state=retrying").await.iter().all(|request| request["http_status"] == 503));

    switch("pause").await;
    assert_eq!(states().await, ["paused", "paused"]);
    assert!(!log(&scene, "state=paused").await.is_empty());
    assert_eq!(log(&scene, "state=retrying").await, Vec::<Value>::new());
    let shown = scene.owner.get("/console/webhooks/crm/log?state=paused").await.text;
    assert!(shown.contains(">paused</span></td>") && !shown.contains(">retrying</span></td>"), "{shown}");

    scene.receiver.answer_always(204);
    switch("resume").await;
    scene.app.until("both are taken", async || states().await == ["delivered", "delivered"]).await;
    assert_eq!(log(&scene, "outcome=succeeded&state=delivered").await.len(), 2);
    scene.app.finish().await;
}

async fn the_log_is_found_by_number_event_and_answer_and_read_page_by_page(database: Database) {
    const ALL: usize = 9;
    let scene = Scene::start(database).await;
    scene.app.apply(&format!("{OTHER_ACCOUNT}{OTHER_SENDER}")).await;
    let known = async || scene.app.directory().snapshot().account("globex").is_some();
    scene.app.until("the bridge has heard of it", known).await;
    scene.webhook(json!({"events": ["message.*", "contact.*"]})).await;
    let digits = |number: &str| number.trim_start_matches('+').to_owned();
    let (ours, other) = (digits(BUSINESS_NUMBER), digits(OTHER_NUMBER));

    scene.app.accept(&Message::order_update(&person(0))).await;
    scene.hears("hello");
    scene.app.simulator.inbound_text(&person(2), OTHER_NUMBER_ID, "other", None).expect("the number exists");
    // Of the template: accepted, outbound, sent, delivered, read; of each person: received and created.
    scene.app.until("all was said", async || log(&scene, "").await.len() >= ALL).await;
    scene.app.settled().await;

    let all = log(&scene, "").await;
    assert_eq!(all.len(), ALL, "{all:#?}");
    for (query, wanted) in [
        (format!("event=message.*&number={ours}"), 6),
        (format!("number=%2B{other}"), 2),
        ("event=contact.*".to_owned(), 2),
        ("event=contact.created&account=globex".to_owned(), 1),
        ("outcome=refused".to_owned(), 0),
        ("http_status=204&state=delivered".to_owned(), ALL),
        ("since=2999-01-01T00:00:00Z".to_owned(), 0),
    ] {
        let found = log(&scene, &query).await;
        assert_eq!(found.len(), wanted, "{query}: {found:#?}");
    }
    let of_other = log(&scene, &format!("number={other}&event=message.received")).await.remove(0);
    assert_eq!(
        (&of_other["account"], &of_other["number"], &of_other["provider"], &of_other["event"]),
        (&json!("globex"), &json!(OTHER_NUMBER), &json!("meta"), &json!("message.received")),
    );
    let (callback_url, place) = (&of_other["callback_url"], &of_other["place"]);
    let event = scene.call(Method::GET, &format!("/callback-urls/{callback_url}/events/{place}"), None).await;
    assert_eq!(event.body["delivery"], "delivered", "{event:?}");

    let (mut ids, mut query) = (vec![], "limit=1".to_owned());
    loop {
        let page = scene.call(Method::GET, &format!("/webhooks/crm/log?{query}"), None).await.body;
        ids.extend(page["requests"].as_array().expect("a list").iter().filter_map(|request| request["id"].as_i64()));
        match page["next"].as_i64() {
            Some(next) => query = format!("limit=1&before={next}"),
            None => break,
        }
    }
    assert!(ids.len() == ALL && ids.is_sorted_by(|newer, older| newer > older), "{ids:?}");
    let shown = scene.owner.get(&format!("/console/webhooks/crm/log?event=contact.*&number=%2B{other}")).await;
    assert_eq!(shown.text.matches("<tr><td").count(), 1, "{shown:?}");

    for (query, status) in
        [("event=nothing", 422), ("number=%2B10", 422), ("state=odd", 422), ("account=none", 422), ("colour=red", 400)]
    {
        let refused = scene.call(Method::GET, &format!("/webhooks/crm/log?{query}"), None).await;
        assert_eq!(refused.http_status, status, "{query}: {refused:?}");
    }
    assert_eq!(scene.call(Method::GET, "/webhooks/nobody/log", None).await.http_status, 404);
    scene.app.finish().await;
}

on_each_database![
    what_waits_is_pending_retried_or_paused_until_it_is_taken,
    the_log_is_found_by_number_event_and_answer_and_read_page_by_page,
];
