//! What is changed beside a running server takes effect without a restart.

use serde_json::json;

use crate::harness::{
    CREDENTIALS, Database, Message, OTHER_ACCOUNT, OTHER_NUMBER, OTHER_SENDER, TestApp, on_each_database, person,
};

const ALL: [&str; 3] = ["sent", "delivered", "read"];

async fn an_account_and_its_number_work_soon_after_they_are_applied(database: Database) {
    let app = TestApp::start(database).await;
    let message = Message::order_update(&person(1)).with("wabaNumber", json!(OTHER_NUMBER));
    let post = async || app.post("/clevertap/globex/messages", &CREDENTIALS, message.body.to_string()).await;
    assert_eq!(post().await.code(), 2000, "nobody knows it yet");
    let toml = format!("{OTHER_ACCOUNT}\n{OTHER_SENDER}").replace("{simulator}", app.simulator_url());
    let file = app.write_file("globex.toml", &toml);

    let planned = app.command(&["apply", &file, "--dry-run"]).await;
    assert_eq!(post().await.code(), 2000, "a dry run changes nothing");
    let done = app.command(&["apply", &file]).await;
    let again = app.command(&["apply", &file]).await;
    app.until("the account is known", async || post().await.is_success()).await;
    app.settled().await;

    assert!(planned.contains("globex") && done.contains("globex"), "{planned}\n{done}");
    assert!(again.contains("nothing to change"), "{again}");
    assert_eq!(app.told(&message), ALL);
    let records = app.simulator.callback_records(Some(message.msg_id()));
    assert!(records.iter().all(|record| record.account == "globex"), "told at its own URL");
    app.finish().await;
}

async fn a_changed_callback_url_and_token_are_used_from_then_on(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.more = format!("{OTHER_ACCOUNT}\n{OTHER_SENDER}");
    })
    .await;
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.settled().await;

    app.simulator.change_knobs(|knobs| knobs.access_token = "token-2".to_owned()).expect("valid knobs");
    let moved = OTHER_ACCOUNT.replace("delivery-reports/globex", "delivery-reports/moved");
    app.apply(&format!(
        "[[connections]]\nid = \"meta-main\"\nprovider = \"meta\"\nbase_url = \"{{simulator}}\"\naccess_token = \"token-2\"\n\
         app_secret = \"simulator-app-secret\"\nverify_token = \"verify-me\"\n{moved}\n{OTHER_SENDER}"
    ))
    .await;
    app.until("the new token is known", async || {
        let snapshot = app.directory().snapshot();
        let secrets = snapshot.connections().next().expect("there is one connection").secrets("access_token").to_vec();
        secrets.iter().any(|secret| secrecy::ExposeSecret::expose_secret(secret) == "token-2")
    })
    .await;
    // Whoever tells at the old URL ends a moment after the change is known.
    let mut to = 10;
    app.until("the new URL is used", async || {
        to += 1;
        let probe = Message::order_update(&person(to)).with("wabaNumber", json!(OTHER_NUMBER));
        app.post("/clevertap/globex/messages", &CREDENTIALS, probe.body.to_string()).await;
        app.settled().await;
        app.simulator.callback_records(Some(probe.msg_id())).iter().any(|record| record.account == "moved")
    })
    .await;
    let later = Message::order_update(&person(2)).with("wabaNumber", json!(OTHER_NUMBER));
    let answer = app.post("/clevertap/globex/messages", &CREDENTIALS, later.body.to_string()).await;
    assert!(answer.is_success(), "{answer:?}");
    app.settled().await;

    assert_eq!(app.told(&later), ALL);
    let records = app.simulator.callback_records(Some(later.msg_id()));
    assert!(records.iter().all(|record| record.account == "moved"), "{records:?}");
    let stats = app.finish().await;
    assert!(stats.sends_refused.is_empty(), "{:?}", stats.sends_refused);
}

async fn one_messages_whole_story_can_be_told(database: Database) {
    let app = TestApp::start(database).await;
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.settled().await;

    let story = app.command(&["message", message.msg_id()]).await;

    for part in [message.msg_id(), "sent", "delivered", "read", "wamid."] {
        assert!(story.contains(part), "{part} is not in the story:\n{story}");
    }
    app.finish().await;
}

on_each_database![
    an_account_and_its_number_work_soon_after_they_are_applied,
    a_changed_callback_url_and_token_are_used_from_then_on,
    one_messages_whole_story_can_be_told,
];
