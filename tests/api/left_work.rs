//! Work that goes on behind an answer outlives the process that began it. How far that process came is written down here by
//! the tests: a real kill would come now before the work, now after it.

use reqwest::Method;
use serde_json::{Value, json};
use wabridge::{
    domain::{operator::Actor, phone::PhoneNumber},
    store::{audit::AuditEntry, campaign_cancels::CancelJob, erasures::ErasureJob},
};

use crate::{
    harness::{BUSINESS_NUMBER, Database, Message, TestApp, on_each_database, person},
    suppressions::until_refused,
};

const CAMPAIGN: &str = "1792222222";
const API: &str = "/api/v1/campaigns/acme/1792222222";
/// By the process that died.
const CANCELLED_BEFORE: u64 = 7;

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

async fn cancelling_that_was_left_in_the_middle_comes_to_its_end(database: Database) {
    let (mut app, messages) = with_waiting_messages(database, 120).await;
    let token = app.first_owner().await.make_token(&["messages:read", "queues:manage"]).await;
    app.process().kill().await;

    let account = app.store.load_configuration().await.expect("readable").accounts[0].key;
    let Actor { name: actor, via, .. } = Actor::of_command_line("asha");
    let job = CancelJob { account, campaign: CAMPAIGN.to_owned(), reason: "wrong price".to_owned(), actor, via };
    let key = app.store.begin_campaign_cancel(&job, None).await.expect("writable").expect("nobody else is at it");
    app.store.move_campaign_cancel(key, CANCELLED_BEFORE).await.expect("writable");
    app.start_process().await;
    // It is taken up a while after anybody was seen at it.
    app.store.move_campaign_cancel(key, CANCELLED_BEFORE).await.expect("writable");
    let again = app.call(Method::POST, &format!("{API}/cancel"), &token, Some(json!({}))).await;
    assert_eq!(again.http_status, 409, "it is under way: {again:?}");
    app.until("somebody goes on with it", async || {
        app.call(Method::GET, API, &token, None).await.body["cancelling"]["done"] == json!(true)
    })
    .await;
    app.settled().await;
    let campaign = app.call(Method::GET, API, &token, None).await.body;
    assert_eq!(campaign["funnel"]["cancelled"], messages.len(), "{campaign:#}");
    let ended = app.store.campaign_cancel(account, CAMPAIGN).await.expect("readable").expect("it is written down");
    assert_eq!(ended.cancelled, CANCELLED_BEFORE + messages.len() as u64, "what was done before counts, too");
    let told = [&messages[0], &messages[60], &messages[119]].map(|message| app.told_failure(message));
    assert_eq!(told, [Some(1009); 3]);
    app.leave().await;
}

async fn erasing_that_was_left_in_the_middle_comes_to_its_end(database: Database) {
    let (mut app, messages) = with_waiting_messages(database, 120).await;
    let token = app.first_owner().await.make_token(&["persons:manage"]).await;
    let gone = person(1);
    app.process().kill().await;

    let actor = Actor::of_command_line("asha");
    let phone = PhoneNumber::from_international(&gone).expect("a number");
    let entry = AuditEntry::new(&actor, "erase person", "somebody");
    let job = ErasureJob { phone, account: None, suppress: true, actor: actor.name, via: actor.via };
    let key = app.store.begin_erasure(&job, &entry).await.expect("writable");
    app.store.move_erasure(key, 0.5, &json!({"cancelled": CANCELLED_BEFORE})).await.expect("writable");
    app.start_process().await;
    let path = format!("/api/v1/persons/erasures/{key}");
    app.until("somebody goes on with it", async || {
        app.call(Method::GET, &path, &token, None).await.body["state"] == "erased"
    })
    .await;
    app.settled().await;
    let ended = app.call(Method::GET, &path, &token, None).await.body;
    let all = CANCELLED_BEFORE + messages.len() as u64;
    assert_eq!(ended["erased"]["cancelled"], all, "what was done before counts, too: {ended:#}");
    let left: Value = serde_json::from_str(&app.command(&["person", &gone, "--json"]).await).expect("JSON");
    assert_eq!((&left["messages"], &left["refused_requests"]), (&json!([]), &json!([])));
    // Nothing more is sent to the person.
    until_refused(&app, &gone).await;
    app.leave().await;
}

on_each_database!(
    cancelling_that_was_left_in_the_middle_comes_to_its_end,
    erasing_that_was_left_in_the_middle_comes_to_its_end,
);
