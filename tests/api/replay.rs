//! Callbacks told again: what was dead, what the platform lost, beside what is new.

use std::time::Duration;

use serde_json::Value;
use wabridge::{
    domain::callback::EventKind,
    simulator::{CallbackRule, Endpoint},
};

use crate::harness::{Database, Message, TestApp, on_each_database, person};

const ALL: [&str; 3] = ["sent", "delivered", "read"];
const TWICE: [&str; 6] = ["sent", "delivered", "read", "sent", "delivered", "read"];

fn messages(count: usize) -> Vec<Message> {
    (0..count).map(|number| Message::order_update(&person(number))).collect()
}

fn refusing(status: u16, body_contains: Option<String>) -> CallbackRule {
    let endpoint = Some(Endpoint::DeliveryReports);
    CallbackRule { answer_status: status, endpoint, body_contains, ..CallbackRule::default() }
}

async fn dead(app: &TestApp) -> i64 {
    app.store.count_callbacks().await.expect("countable").values().map(|(dead, _)| *dead).sum()
}

/// Why the events of a message are dead, in their order.
async fn reasons(app: &TestApp, message: &Message) -> Vec<String> {
    let subscriptions = app.subscriptions().await;
    let reports = subscriptions.iter().find(|subscription| subscription.kind == EventKind::Status);
    let key = reports.expect("delivery reports are wanted").key.0;
    let mut reasons = Vec::new();
    for event in app.store.events_of(&app.stored(message).await).await.expect("the log can be read") {
        reasons.extend(app.store.care_of(key, event.place).await.expect("readable").map(|care| care.reason));
    }
    reasons
}

/// Everything about these messages is refused while the rest is told.
async fn with_dead(app: &TestApp, messages: &[Message], poison: &[usize]) {
    for index in poison {
        let id = format!("\"{}\"", messages[*index].msg_id());
        app.simulator.add_callback_rule(refusing(400, Some(id)));
    }
    app.accept_all(messages).await;
    app.settled().await;
    assert_eq!(dead(app).await, 3 * poison.len() as i64);
}

fn json(printed: &str) -> Value {
    serde_json::from_str(printed).unwrap_or_else(|error| panic!("{error} in {printed}"))
}

async fn what_was_dead_is_told_in_order_and_is_dead_no_more(database: Database) {
    let app = TestApp::start(database).await;
    let messages = messages(12);
    with_dead(&app, &messages, &[3, 7]).await;
    app.simulator.set_callback_rules(vec![]);

    let planned = app.command(&["replay", "--account", "acme", "--dry-run", "--json"]).await;
    assert_eq!((json(&planned)["events"].as_i64(), dead(&app).await), (Some(6), 6), "a dry run changes nothing");
    let printed = app.command(&["replay", "--all", "--yes", "--json"]).await;

    let replay = &json(&printed)["replays"][0];
    assert_eq!((replay["told"].as_i64(), replay["refused"].as_i64()), (Some(6), Some(0)), "{printed}");
    assert_eq!(replay["finished"], Value::Bool(true));
    for message in &messages {
        assert_eq!(app.told(message), ALL, "the dead are told, and nobody else again");
    }
    assert_eq!(dead(&app).await, 0);
    let story = app.command(&["message", messages[3].msg_id()]).await;
    assert!(story.contains("told again (replay"), "{story}");
    let other = app.command(&["message", messages[5].msg_id()]).await;
    assert!(!other.contains("told again"), "it lies between two that were told again, and was not: {other}");
    let (code, _) = app.command_ending(&["replay", "--all", "--yes"]).await;
    assert_eq!(code, 3, "nothing is left to be told again");
    app.finish().await;
}

async fn one_that_is_refused_again_is_dead_for_the_new_reason(database: Database) {
    let app = TestApp::start(database).await;
    let messages = messages(5);
    with_dead(&app, &messages, &[1, 2]).await;
    let id = format!("\"{}\"", messages[1].msg_id());
    app.simulator.set_callback_rules(vec![refusing(422, Some(id))]);

    let (code, printed) = app.command_ending(&["replay", "--all", "--yes", "--json"]).await;

    let replay = &json(&printed)["replays"][0];
    assert_eq!(code, 4, "something needs a person: {printed}");
    assert_eq!((replay["told"].as_i64(), replay["refused"].as_i64()), (Some(3), Some(3)));
    assert_eq!(app.told(&messages[2]), ALL);
    let reasons = reasons(&app, &messages[1]).await;
    assert_eq!(reasons.len(), 3);
    assert!(reasons.iter().all(|reason| reason.contains("422")), "{reasons:?}");
    assert_eq!(dead(&app).await, 3);
    for (choice, ends, events) in [
        (["--answered", "400"], 3, None),
        (["--answered", "422"], 0, Some(3)),
        (["--reason", "http 422"], 0, Some(3)),
        (["--reason", "is full"], 3, None),
    ] {
        let (code, printed) =
            app.command_ending(&[&["replay", "--all", "--dry-run", "--json"][..], &choice].concat()).await;
        assert_eq!(
            (code, events),
            (ends, json(&printed)["events"].as_i64().filter(|events| *events > 0)),
            "{choice:?}: {printed}"
        );
    }
    let (code, _) = app.command_ending(&["replay", "--all", "--state", "delivered", "--answered", "422"]).await;
    assert_eq!(code, 2, "what was taken has no answer that it was left behind with");
    app.finish().await;
}

async fn what_the_platform_took_and_lost_is_told_again_at_the_wanted_pace(database: Database) {
    let app = TestApp::start(database).await;
    let messages = messages(20);
    let test = Message::order_update(&person(90)).id("0|0|0|0");
    app.accept_all(&messages).await;
    app.accept(&test).await;
    app.settled().await;

    let started = std::time::Instant::now();
    let wanted = ["replay", "--account", "acme", "--state", "delivered", "--since", "1h", "--rate", "30"];
    let printed = app.command(&[&wanted[..], &["--yes", "--json"]].concat()).await;

    let replay = &json(&printed)["replays"][0];
    assert_eq!(replay["told"].as_i64(), Some(60), "{printed}");
    assert_eq!(replay["passed"].as_i64(), Some(3), "the platform’s own test is passed over in silence: {printed}");
    assert!(started.elapsed() >= Duration::from_millis(1900), "63 events at 30 a second take two seconds");
    for message in &messages {
        assert_eq!(app.told(message), TWICE);
    }
    assert!(app.told(&test).is_empty());
    let old = app.command_ending(&["replay", "--account", "acme", "--state", "all", "--until", "1h", "--yes"]).await;
    assert_eq!(old.0, 3, "nothing was heard an hour ago: {}", old.1);
    app.leave().await;
}

async fn one_message_or_one_place_is_told_alone(database: Database) {
    let app = TestApp::start(database).await;
    let messages = messages(4);
    app.accept_all(&messages).await;
    app.settled().await;

    app.command(&["replay", "--message", messages[2].msg_id(), "--yes"]).await;
    let first = app.store.events_of(&app.stored(&messages[0]).await).await.expect("readable").remove(0);
    app.command(&["replay", "--account", "acme", "--place", &first.place.0.to_string(), "--yes"]).await;

    assert_eq!(app.told(&messages[2]), TWICE);
    assert_eq!(app.told(&messages[0]), ["sent", "delivered", "read", "sent"]);
    assert_eq!(app.told(&messages[1]), ALL);
    app.leave().await;
}

async fn a_url_that_fails_while_it_is_told_again_delays_only_the_replay(database: Database) {
    let app = TestApp::start(database).await;
    let messages = messages(6);
    with_dead(&app, &messages, &[0]).await;
    let id = format!("\"{}\"", messages[0].msg_id());
    app.simulator.set_callback_rules(vec![CallbackRule { next: Some(2), ..refusing(503, Some(id)) }]);

    app.command(&["replay", "--all", "--yes", "--detach"]).await;
    let news = Message::order_update(&person(50));
    app.accept(&news).await;
    app.until("the dead are told", async || app.told(&messages[0]) == ALL).await;
    // They are told before it is written down that they were.
    app.until("they are dead no more", async || dead(&app).await == 0).await;
    app.settled().await;

    assert_eq!(app.told(&news), ALL);
    assert_eq!(app.told(&messages[0]), ALL, "each of them once");
    app.finish().await;
}

async fn a_url_that_keeps_failing_ends_the_replay_and_holds_up_nobody(database: Database) {
    let app = TestApp::start(database).await;
    let messages = messages(6);
    with_dead(&app, &messages, &[4]).await;
    let id = format!("\"{}\"", messages[4].msg_id());
    app.simulator.set_callback_rules(vec![refusing(500, Some(id))]);

    let (code, printed) = app.command_ending(&["replay", "--all", "--yes", "--json"]).await;
    let news = Message::order_update(&person(51));
    app.accept(&news).await;
    app.settled().await;

    let replay = &json(&printed)["replays"][0];
    assert_eq!(code, 4);
    assert!(replay["note"].as_str().is_some_and(|note| note.contains("500")), "{printed}");
    assert_eq!(app.told(&news), ALL);
    assert!(reasons(&app, &messages[4]).await.iter().all(|reason| reason.contains("in vain")));
    assert_eq!(dead(&app).await, 3);
    app.finish().await;
}

async fn a_replay_goes_on_after_a_crash(database: Database) {
    let mut app = TestApp::start_with(database, |options| options.as_process = true).await;
    let messages = messages(30);
    let (last, others) = messages.split_last().expect("there are some");
    app.accept_all(others).await;
    app.settled().await;
    app.accept(last).await;
    app.settled().await;
    // It does not come to its end before the kill, however late that is: the answer to the last portion is awaited.
    let id = format!("\"{}\"", last.msg_id());
    app.simulator.add_callback_rule(CallbackRule {
        body_contains: Some(id),
        hang_ms: 60_000,
        ..CallbackRule::default()
    });
    let again = ["replay", "--account", "acme", "--state", "delivered", "--rate", "30", "--yes", "--detach", "--json"];
    let asked = json(&app.command(&again).await);
    let id = i32::try_from(asked["replays"][0]["id"].as_i64().expect("a number")).expect("a small one");
    let told = async |app: &TestApp| app.store.replays(&[id]).await.expect("readable")[0].told;
    app.until("a part is told", async || told(&app).await > 0).await;

    app.process().kill().await;
    let before = told(&app).await;
    app.simulator.set_callback_rules(vec![]);
    app.start_process().await;
    app.until("the rest is told", async || app.store.replays(&[id]).await.expect("readable")[0].finished_at.is_some())
        .await;

    assert!(before < 90, "it was killed in the middle");
    assert_eq!(told(&app).await, 90);
    for message in &messages {
        let records = app.told(message);
        assert!(records.len() >= 6, "{records:?}");
    }
    app.leave().await;
}

async fn a_replay_can_be_ended_early(database: Database) {
    let app = TestApp::start(database).await;
    app.accept_all(&messages(10)).await;
    app.settled().await;
    let again = ["replay", "--all", "--state", "delivered", "--rate", "1", "--yes", "--detach", "--json"];
    let id = json(&app.command(&again).await)["replays"][0]["id"].to_string();

    let printed = app.command(&["replay", "--stop", &id]).await;
    let (code, _) = app.command_ending(&["replay", "--stop", &id]).await;

    assert!(printed.contains("ended"), "{printed}");
    assert_eq!(code, 3, "it is ended already");
    app.leave().await;
}

async fn a_replay_ends_when_its_callback_url_is_taken_out(database: Database) {
    let app = TestApp::start(database).await;
    app.accept_all(&messages(10)).await;
    app.settled().await;
    let again = ["replay", "--all", "--state", "delivered", "--rate", "1", "--yes", "--detach", "--json"];
    let asked = json(&app.command(&again).await);
    let id = i32::try_from(asked["replays"][0]["id"].as_i64().expect("a number")).expect("a small one");
    let listed = app.command(&["replay", "--list"]).await;
    assert!(listed.contains(&format!("replay {id} to callback URL")) && listed.contains("under way"), "{listed}");

    let kept = app.configuration.lines().filter(|line| !line.contains("delivery_report_callback_url"));
    app.apply(&kept.collect::<Vec<_>>().join("\n")).await;

    let ended = app.store.replays(&[id]).await.expect("readable").remove(0);
    assert!(ended.finished_at.is_some());
    for command in [["replay", "--list"], ["status", "--exit-code"]] {
        let (_, printed) = app.command_ending(&command).await;
        assert!(printed.contains("its callback URL was taken out of the configuration"), "{printed}");
    }
    let listed = json(&app.command(&["replay", "--list", "--json"]).await);
    assert_eq!((&listed["replays"][0]["finished"], &listed["replays"][0]["account"]), (&true.into(), &"acme".into()));
    let status = json(&app.command(&["status", "--json"]).await);
    assert_eq!(status["replays_ended"][0]["id"].as_i64(), Some(i64::from(id)), "{status:#}");
    app.leave().await;
}

on_each_database![
    what_was_dead_is_told_in_order_and_is_dead_no_more,
    one_that_is_refused_again_is_dead_for_the_new_reason,
    what_the_platform_took_and_lost_is_told_again_at_the_wanted_pace,
    one_message_or_one_place_is_told_alone,
    a_url_that_fails_while_it_is_told_again_delays_only_the_replay,
    a_url_that_keeps_failing_ends_the_replay_and_holds_up_nobody,
    a_replay_goes_on_after_a_crash,
    a_replay_can_be_ended_early,
    a_replay_ends_when_its_callback_url_is_taken_out,
];
