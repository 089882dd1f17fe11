//! Work that goes on behind an answer outlives the process that began it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{BUSINESS_NUMBER, Database, Message, TestApp, on_each_database, person};

const CAMPAIGN: &str = "1792222222";
const API: &str = "/api/v1/campaigns/acme/1792222222";

/// Messages of one campaign, all to one person, that wait because their number is on hold.
async fn with_waiting_messages(database: Database, count: usize) -> (TestApp, Vec<Message>) {
    let mut app = TestApp::start_with(database, |options| {
        options.as_process = true;
    })
    .await;
    app.command(&["hold", BUSINESS_NUMBER]).await;
    // A new process knows it from the beginning.
    app.process().kill().await;
    app.start_process().await;
    let message =
        |number: usize| Message::marketing(&person(1)).id(&format!("{number}|{CAMPAIGN}|20261120|{number}|0"));
    let messages: Vec<Message> = (1..=count).map(message).collect();
    app.accept_all(&messages).await;
    (app, messages)
}

async fn cancelling_that_was_killed_in_the_middle_comes_to_its_end(database: Database) {
    let (mut app, messages) = with_waiting_messages(database, 4_000).await;
    let token = app.first_owner().await.make_token(&["messages:read", "queues:manage"]).await;

    let begun = app.call(Method::POST, &format!("{API}/cancel"), &token, Some(json!({"reason": "wrong price"}))).await;
    app.process().kill().await;

    assert_eq!(begun.http_status, 202, "{begun:?}");
    let account = app.store.load_configuration().await.expect("readable").accounts[0].key;
    let left = app.store.campaign_cancel(account, CAMPAIGN).await.expect("readable").expect("it is written down");
    assert!(!left.is_over, "killed before its end: {left:?}");
    app.start_process().await;
    let again = app.call(Method::POST, &format!("{API}/cancel"), &token, Some(json!({}))).await;
    assert_eq!(again.http_status, 409, "it is under way: {again:?}");
    app.until("somebody goes on with it", async || {
        app.call(Method::GET, API, &token, None).await.body["cancelling"]["done"] == json!(true)
    })
    .await;
    app.settled().await;
    let campaign = app.call(Method::GET, API, &token, None).await.body;
    assert_eq!(campaign["funnel"]["cancelled"], messages.len(), "{campaign:#}");
    let told = [&messages[0], &messages[2_000], &messages[3_999]].map(|message| app.told_failure(message));
    assert_eq!(told, [Some(1009); 3]);
    app.leave().await;
}

async fn erasing_that_was_killed_in_the_middle_comes_to_its_end(database: Database) {
    let (mut app, _) = with_waiting_messages(database, 1_200).await;
    let token = app.first_owner().await.make_token(&["persons:manage"]).await;
    let gone = person(1);

    let body = json!({"phone": gone, "confirm": gone, "suppress": true});
    let begun = app.call(Method::POST, "/api/v1/persons/erase", &token, Some(body)).await;
    app.process().kill().await;

    assert_eq!(begun.http_status, 202, "{begun:?}");
    let path = format!("/api/v1/persons/erasures/{}", begun.body["id"]);
    app.start_process().await;
    let under_way = app.call(Method::GET, &path, &token, None).await.body;
    assert!(["running", "abandoned"].contains(&under_way["state"].as_str().unwrap_or_default()), "{under_way:#}");
    app.until("somebody goes on with it", async || {
        app.call(Method::GET, &path, &token, None).await.body["state"] == "erased"
    })
    .await;
    app.settled().await;
    let left: Value = serde_json::from_str(&app.command(&["person", &gone, "--json"]).await).expect("JSON");
    assert_eq!((&left["messages"], &left["refused_requests"]), (&json!([]), &json!([])));
    assert_eq!(app.send(&Message::marketing(&gone)).await.code(), 2003, "nothing more is sent to the person");
    app.leave().await;
}

on_each_database!(
    cancelling_that_was_killed_in_the_middle_comes_to_its_end,
    erasing_that_was_killed_in_the_middle_comes_to_its_end,
);
