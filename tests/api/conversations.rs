//! Conversations: opened by what people write, moved by answers and by time, closed by those who work with them.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use wabridge::{
    clock,
    domain::ids::AccountKey,
    simulator::{Effect, Refusal, Rule},
};

use crate::{
    contacts::Scene,
    harness::{Database, Message, on_each_database, person},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The one conversation that there is.
async fn talk(scene: &Scene) -> Value {
    let list = scene.get("/conversations").await;
    assert_eq!(list["conversations"].as_array().map(Vec::len), Some(1), "{list}");
    list["conversations"][0].clone()
}

async fn begun(database: Database) -> (Scene, String) {
    let scene = Scene::start(database).await;
    scene.hears(&person(1), "hello");
    scene.told("conversation.created", 1).await;
    let id = talk(&scene).await["id"].as_str().expect("an id").to_owned();
    (scene, id)
}

async fn machines_and_people_who_answer_move_a_conversation(database: Database) {
    let (scene, id) = begun(database).await;
    assert_eq!(talk(&scene).await["state"], "open");

    // Its id names a campaign.
    scene.app.accept(&Message::freeform(&person(1), "Thank you for writing.")).await;
    let told = scene.told("conversation.auto_replied", 1).await;
    assert_eq!(
        (&told["data"]["conversation"]["id"], &told["data"]["conversation"]["state"]),
        (&json!(id), &json!("auto_bot"))
    );
    scene.told("conversation.unattended", 1).await;
    let waiting = scene.get("/conversations?unattended=true").await;
    assert_eq!(waiting["conversations"][0]["id"], id, "{waiting}");

    scene.app.accept(&Message::freeform(&person(1), "How can I help?").id("chat-17")).await;
    let told = scene.told("conversation.updated", 2).await;
    assert_eq!(told["data"]["conversation"]["state"], "open", "{told}");
    let changes = told["data"]["changes"].as_array().expect("changes");
    assert!(changes.contains(&json!({"field": "state", "before": "auto_bot", "after": "open"})), "{told}");
    assert!(changes.iter().any(|change| change["field"] == "waiting_since" && change["after"].is_null()), "{told}");
    assert_eq!(scene.get("/conversations?unattended=true").await["conversations"], json!([]));
    // Templates are no answers, and a stranger has no conversation.
    scene.app.accept(&Message::order_update(&person(1))).await;
    scene.app.accept(&Message::freeform(&person(5), "hello?").id("chat-18")).await;
    scene.app.settled().await;
    assert_eq!(talk(&scene).await["state"], "open");
    scene.app.leave().await;
}

async fn that_somebody_answers_what_waited_in_an_open_conversation_is_told(database: Database) {
    let (scene, _) = begun(database).await;

    scene.app.accept(&Message::freeform(&person(1), "How can I help?").id("chat-17")).await;
    let told = scene.told("conversation.updated", 1).await;
    scene.app.accept(&Message::freeform(&person(1), "Are you there?").id("chat-18")).await;
    scene.app.settled().await;

    let conversation = &told["data"]["conversation"];
    assert_eq!((&conversation["state"], &conversation["waiting_since"]), (&json!("open"), &Value::Null), "{told}");
    scene.told("conversation.updated", 1).await;
    scene.app.leave().await;
}

async fn what_is_closed_or_blocked_is_opened_again_by_the_person(database: Database) {
    let (scene, id) = begun(database).await;
    let ask = async |what: &str| scene.call(Method::POST, &format!("/conversations/{id}/{what}"), None).await;

    assert_eq!(ask("close").await.body["state"], "closed");
    assert_eq!(scene.told("conversation.resolved", 1).await["data"]["conversation"]["state"], "closed");
    assert_eq!(ask("close").await.body["state"], "closed", "once more changes nothing");
    scene.hears(&person(1), "one thing more");
    scene.told("conversation.updated", 1).await;
    assert_eq!(talk(&scene).await["state"], "open");
    assert_eq!(ask("block").await.body["state"], "blocked");
    assert_eq!(ask("reopen").await.body["state"], "open");
    scene.told("conversation.updated", 3).await;
    scene.told("conversation.resolved", 1).await;

    let path = format!("/conversations/{id}");
    let tagged = scene.call(Method::PATCH, &path, Some(json!({"add_tags": ["refund"]}))).await;
    assert_eq!(tagged.body["tags"], json!(["refund"]), "{tagged:?}");
    assert_eq!(scene.told("conversation.tag_mapped", 1).await["data"]["tag"], "refund");
    assert_eq!(scene.get("/conversations?tag=refund&state=open").await["conversations"][0]["id"], id);
    scene.call(Method::PATCH, &path, Some(json!({"remove_tags": ["refund"]}))).await;
    scene.told("conversation.tag_unmapped", 1).await;
    assert_eq!(scene.call(Method::POST, "/conversations/cnv_0000000000000/close", None).await.http_status, 404);
    scene.app.leave().await;
}

async fn a_person_whom_the_number_has_blocked_has_a_blocked_conversation(database: Database) {
    let (scene, id) = begun(database).await;
    scene.app.simulator.add_rule(Rule::recipient(&person(1), Effect::Refuse(Refusal::code(130_403))));

    scene.app.accept(&Message::order_update(&person(1))).await;
    let told = scene.told("conversation.updated", 1).await;

    let conversation = &told["data"]["conversation"];
    assert_eq!((&conversation["id"], &conversation["state"]), (&json!(id), &json!("blocked")), "{told}");
    assert_eq!(talk(&scene).await["state"], "blocked");
    scene.app.leave().await;
}

async fn time_leaves_a_conversation_unattended_and_ends_it(database: Database) {
    let (scene, id) = begun(database).await;
    let store = &scene.app.store;
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let leave = async |before| store.leave_conversations(AccountKey(1), before, 100).await.expect("written");

    assert_eq!(leave(clock::now().minus(minutes(10))).await, 0, "it waits for seconds");
    assert_eq!(leave(clock::now().plus(minutes(1))).await, 1);
    assert_eq!(leave(clock::now().plus(minutes(1))).await, 0, "it is told once");
    let told = scene.told("conversation.unattended", 1).await;
    assert_eq!(told["data"]["conversation"]["state"], "open", "{told}");

    let expire = async |at| store.expire_conversations(at, 100).await.expect("written");
    assert_eq!(expire(clock::now()).await, 0);
    assert_eq!(expire(clock::now().plus(DAY + minutes(1))).await, 1);
    assert_eq!(expire(clock::now().plus(DAY + minutes(1))).await, 0);
    assert_eq!(scene.told("conversation.expired", 1).await["data"]["conversation"]["state"], "expired");
    let now = talk(&scene).await;
    assert_eq!((&now["id"], &now["state"], &now["unattended_since"]), (&json!(id), &json!("expired"), &Value::Null));
    scene.hears(&person(1), "hello again");
    scene.told("conversation.updated", 1).await;
    assert_eq!(talk(&scene).await["state"], "open");
    scene.app.leave().await;
}

async fn an_account_says_after_how_many_minutes_nobody_attends_to_a_conversation(database: Database) {
    const TEN_MINUTES_EARLIER: &str = "UPDATE conversations SET waiting_since = waiting_since - 600000";
    let (scene, id) = begun(database).await;
    let country = "default_country = \"IN\"";
    let with_minutes = format!("{country}\nunattended_after_minutes = 5");
    scene.app.apply(&scene.app.configuration.replacen(country, &with_minutes, 1)).await;

    scene.app.meddle((TEN_MINUTES_EARLIER, TEN_MINUTES_EARLIER)).await;
    let told = scene.told("conversation.unattended", 1).await;

    assert_eq!(told["data"]["conversation"]["id"], id, "{told}");
    assert!(told["data"]["conversation"]["unattended_since"].is_string(), "{told}");
    scene.app.leave().await;
}

on_each_database![
    machines_and_people_who_answer_move_a_conversation,
    that_somebody_answers_what_waited_in_an_open_conversation_is_told,
    what_is_closed_or_blocked_is_opened_again_by_the_person,
    a_person_whom_the_number_has_blocked_has_a_blocked_conversation,
    time_leaves_a_conversation_unattended_and_ends_it,
    an_account_says_after_how_many_minutes_nobody_attends_to_a_conversation,
];
