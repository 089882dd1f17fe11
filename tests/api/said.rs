//! What a message's story keeps of what was said to the provider: the refused tries word for word, the answer to what was taken, and
//! whether the request as it is shown is what was sent.

use reqwest::Method;
use serde_json::{Value, json};
use wabridge::simulator::{Effect, Refusal, Rule};

use crate::harness::{Database, Message, TestApp, on_each_database, person, script};

/// The tries of a message's story with what was said in them.
fn tries(story: &Value) -> Vec<&Value> {
    let timeline = story["timeline"].as_array().expect("a list").iter();
    timeline.filter(|line| line["exchanges"].as_array().is_some_and(|said| !said.is_empty())).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

async fn a_story_keeps_what_was_asked_and_answered_in_each_try(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let masked = asha.make_token(&["messages:read"]).await;
    let whole = asha.make_token(&["messages:read", "personal:read"]).await;
    app.simulator.add_rule(Rule::next(1, Effect::Refuse(Refusal::code(131016))));
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.settled().await;
    let stored = app.stored(&message).await;
    let path = format!("/api/v1/messages/{}", stored.id);

    let story = app.call(Method::GET, &path, &whole, None).await.body;

    let told = tries(&story);
    let [refused, taken] = told.as_slice() else { panic!("two tries: {story:#}") };
    let said = &refused["exchanges"][0];
    assert!(text(&said["answer"]).contains("131016") && said["http_status"].is_u64(), "{said:#}");
    assert_eq!(said["request"], story["provider_request"]["body"], "the same was asked twice, and would be again");
    let said = &taken["exchanges"][0];
    let wamid = stored.provider_message_id.expect("it was taken");
    assert!(text(&said["answer"]).contains(&wamid) && said["request"].is_null(), "{said:#}");
    assert_eq!(story["provider_request_is_as_sent"], json!(true), "{story:#}");

    let less = app.call(Method::GET, &path, &masked, None).await.body;
    assert!(tries(&less).is_empty() && less["provider_request_is_as_sent"].is_null(), "{less:#}");
    let page = asha.get(&format!("/console/messages/{}", stored.id)).await.text;
    assert!(page.contains("WhatsApp, as it was sent") && page.contains("Asked and answered"), "{page}");
    assert!(!page.contains("simulator-access-token"), "{page}");
    let cara = app.another(&asha, "cara", "read-only").await;
    let page = cara.get(&format!("/console/messages/{}", stored.id)).await.text;
    assert!(!page.contains("as it was sent") && !page.contains("Asked and answered"), "{page}");
    let told = app.command(&["message", message.msg_id(), "--full"]).await;
    assert!(told.contains("asked: {") && told.matches("answered: {").count() == 2, "{told}");
    let told = app.command(&["message", message.msg_id()]).await;
    assert!(!told.contains("asked: {") && !told.contains("answered: {"), "{told}");
    app.finish().await;
}

async fn a_message_that_is_sent_again_keeps_the_answer_to_each_send(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let whole = asha.make_token(&["messages:read", "personal:read"]).await;
    app.simulator.add_rule(Rule::next(1, Effect::Statuses(script("sent@0,failed:131047@20"))));
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.settled().await;
    let first = app.stored(&message).await.provider_message_id.expect("it was taken");

    app.command(&["message", "resend", message.msg_id(), "--reason", "the phone was off"]).await;
    app.settled().await;

    let stored = app.stored(&message).await;
    let second = stored.provider_message_id.expect("it was taken again");
    let story = app.call(Method::GET, &format!("/api/v1/messages/{}", stored.id), &whole, None).await.body;
    let answers: Vec<&str> = tries(&story).iter().map(|line| text(&line["exchanges"][0]["answer"])).collect();
    assert!(answers.len() == 2 && answers[0].contains(&first) && answers[1].contains(&second), "{answers:?}");
    app.leave().await;
}

async fn a_request_that_would_be_built_otherwise_today_is_not_said_to_be_what_was_sent(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let whole = asha.make_token(&["messages:read", "personal:read"]).await;
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.settled().await;
    // What was sent had other bytes, as if the template had been another then.
    let sql = "UPDATE outbound_messages SET request_hash = request_hash + 1";
    app.meddle((sql, sql)).await;
    let id = app.stored(&message).await.id;

    let story = app.call(Method::GET, &format!("/api/v1/messages/{id}"), &whole, None).await.body;

    assert_eq!(story["provider_request_is_as_sent"], json!(false), "{story:#}");
    let page = asha.get(&format!("/console/messages/{id}")).await.text;
    assert!(page.contains("not as it was sent") && page.contains("has changed since"), "{page}");
    app.finish().await;
}

on_each_database![
    a_story_keeps_what_was_asked_and_answered_in_each_try,
    a_message_that_is_sent_again_keeps_the_answer_to_each_send,
    a_request_that_would_be_built_otherwise_today_is_not_said_to_be_what_was_sent,
];
