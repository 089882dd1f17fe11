//! An operator sends one message again.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use wabridge::{
    domain::time::UnixMillis,
    simulator::{Effect, Refusal, Rule},
};

use crate::harness::{
    BUSINESS_NUMBER, Database, Message, TestApp, on_each_database, one_webhook_at_a_time, person, script,
};

async fn story(app: &TestApp, message: &Message) -> Value {
    let text = app.command(&["message", message.msg_id(), "--json"]).await;
    let story: Value = serde_json::from_str(&text).expect("it is JSON");
    story["messages"][0].clone()
}

async fn a_message_that_was_refused_is_sent_again_under_the_same_id(database: Database) {
    let app = TestApp::start(database).await;
    app.simulator.add_rule(Rule::next(1, Effect::Refuse(Refusal::code(131030))));
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.settled().await;
    assert_eq!(app.told(&message), ["failed"]);

    let said = app.command(&["message", "resend", message.msg_id(), "--reason", "added to the list"]).await;
    assert!(said.contains("waits to be sent again"), "{said}");
    app.settled().await;

    assert_eq!(app.told(&message), ["failed", "sent", "delivered", "read"]);
    let story = story(&app, &message).await;
    assert_eq!((&story["state"], &story["delivery"]), (&"submitted".into(), &"read".into()));
    let note = story["notes"][0]["note"].as_str().unwrap_or_default();
    assert!(note.contains("added to the list") && note.contains("rejected"), "{story:#}");
    assert!(app.command(&["message", message.msg_id()]).await.contains("added to the list"));
    // The simulator counts a `sent` after a `failed`: the second send's is meant.
    app.leave().await;
}

async fn what_was_never_accepted_is_for_its_sender_to_send_again(database: Database) {
    let app = TestApp::start(database).await;
    let message = Message::template(&person(1), "nosuch", "en");
    let answer = app.send(&message).await;
    assert_eq!(answer.code(), 2001, "{answer:?}");
    app.until("the refusal is kept", async || {
        !app.store.refused_with(message.msg_id()).await.expect("readable").is_empty()
    })
    .await;

    let (code, printed, said) = app.command_saying(&["message", "resend", message.msg_id(), "--json"]).await;

    assert_eq!((code, printed.as_str()), (1, ""), "{said}");
    assert!(said.contains("was refused at") && said.contains("never accepted"), "{said}");
    assert!(said.contains(answer.message()) && said.contains("let CleverTap send it again"), "{said}");
    app.leave().await;
}

async fn each_send_of_a_message_is_told_shown_and_exported_as_what_came_of_it(database: Database) {
    let app = TestApp::start_with(database, one_webhook_at_a_time).await;
    app.simulator.add_rule(Rule::next(1, Effect::Refuse(Refusal::code(131030))));
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.settled().await;

    app.simulator.add_rule(Rule::next(1, Effect::Statuses(script("sent@0,failed:131047@20"))));
    app.command(&["message", "resend", message.msg_id(), "--reason", "first"]).await;
    app.until("the second failure is told", async || app.told(&message) == ["failed", "sent", "failed"]).await;

    let records = app.simulator.callback_records(Some(message.msg_id()));
    let codes: Vec<_> = records.iter().filter_map(|record| record.entry["error"]["code"].as_u64()).collect();
    assert_eq!(codes, [1005, 1008], "each failure with its own reason");
    let failed_again = story(&app, &message).await;
    assert_eq!(failed_again["failure"]["code"], 131_047);
    assert_eq!(failed_again["earlier_sends"][0]["failure"]["code"], 131_030);
    let text = app.command(&["message", message.msg_id()]).await;
    assert!(text.contains("try 1") && text.contains("(try 2)") && text.contains("131047"), "{text}");
    let row = exported(&app).await;
    assert_eq!((row["failure_code"].as_str(), row["platform_code"].as_str()), ("131047", "1008"));
    // What WhatsApp reports has whole seconds.
    let second_send = UnixMillis(app.simulator.sends(None)[1].received_at_unix_ms as i64 / 1000 * 1000).to_string();
    for column in ["submitted_at", "failed_at"] {
        assert!(row[column][..19] >= second_send[..19], "{column} is of the second send: {row:?}");
    }

    app.command(&["message", "resend", message.msg_id(), "--reason", "second"]).await;
    let all = ["failed", "sent", "failed", "delivered", "read"];
    app.until("it arrives", async || app.told(&message) == all).await;
    app.settled().await;

    let arrived = story(&app, &message).await;
    assert_eq!((&arrived["delivery"], &arrived["failure"]), (&"read".into(), &Value::Null));
    assert_eq!(arrived["earlier_sends"].as_array().map(Vec::len), Some(2));
    let text = app.command(&["message", message.msg_id()]).await;
    assert!(text.contains("(try 2)") && text.contains("(try 3)") && text.contains("not told again"), "{text}");
    let row = exported(&app).await;
    assert_eq!((row["failed_at"].as_str(), row["failure_code"].as_str(), row["attempts"].as_str()), ("", "", "3"));
    assert!(!row["sent_at"].is_empty() && !row["delivered_at"].is_empty(), "{row:?}");
    app.leave().await;
}

/// The only message, as it is exported.
async fn exported(app: &TestApp) -> BTreeMap<String, String> {
    let printed = app.command(&["export", "messages"]).await;
    let mut reader = csv::Reader::from_reader(printed.as_bytes());
    reader.deserialize().next().expect("there is a row").expect("each row has every column")
}

async fn a_message_that_failed_later_is_sent_again_and_old_reports_do_not_stop_it(database: Database) {
    let app = TestApp::start_with(database, one_webhook_at_a_time).await;
    app.simulator.add_rule(Rule::next(1, Effect::Statuses(script("sent@5,failed:131026@20x3"))));
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.settled().await;
    assert_eq!(app.told(&message), ["sent", "failed"]);

    app.command(&["message", "resend", message.msg_id()]).await;
    app.until("it is told", async || app.told(&message) == ["sent", "failed", "delivered", "read"]).await;
    app.settled().await;

    assert_eq!(app.simulator.sends(Some(&person(1))).len(), 2);
    // The simulator counts a message that was accepted twice, which is what an operator wanted here.
    app.leave().await;
}

async fn what_waits_or_has_arrived_is_not_sent_again_by_mistake(database: Database) {
    let app = TestApp::start(database).await;
    let arrived = Message::order_update(&person(1));
    app.accept(&arrived).await;
    app.settled().await;
    let (code, said) = app.command_ending(&["message", "resend", arrived.msg_id()]).await;
    assert_eq!((code, said.as_str()), (1, ""), "it has arrived");
    let (code, _) = app.command_ending(&["message", "resend", "9|9|9|9|9"]).await;
    assert_eq!(code, 3, "there is no such message");

    app.command(&["hold", BUSINESS_NUMBER]).await;
    app.until_held().await;
    let waiting = Message::order_update(&person(2));
    app.accept(&waiting).await;
    for force in [false, true] {
        let mut arguments = vec!["message", "resend", waiting.msg_id()];
        arguments.extend(force.then_some("--force"));
        assert_eq!(app.command_ending(&arguments).await.0, 1, "it waits already");
    }
    app.command(&["release", BUSINESS_NUMBER]).await;
    app.settled().await;
    app.command(&["message", "resend", arrived.msg_id(), "--force"]).await;
    app.until("it went out again", async || app.simulator.sends(Some(&person(1))).len() == 2).await;

    assert_eq!(app.told(&waiting), ["sent", "delivered", "read"]);
    assert_eq!(app.told(&arrived), ["sent", "delivered", "read"], "nothing is told twice");
    app.leave().await;
}

async fn a_cancelled_and_an_expired_message_go_out_when_they_are_sent_again(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.account = "expire_after = { utility = \"1h\", freeform = \"1s\" }".to_owned();
    })
    .await;
    app.command(&["hold", BUSINESS_NUMBER]).await;
    app.until_held().await;
    let (cancelled, expired) = (Message::order_update(&person(1)), Message::freeform(&person(2), "hello"));
    app.accept_all(&[cancelled.clone(), expired.clone()]).await;
    app.command(&["queue", "cancel", "--template", "order_update", "--yes"]).await;
    app.until("both have failed", async || {
        [&cancelled, &expired].iter().all(|message| app.told(message) == ["failed"])
    })
    .await;
    // From now on they have time, however busy the machine is.
    app.apply(&app.configuration.replace("\"1s\"", "\"1h\"")).await;
    app.command(&["release", BUSINESS_NUMBER]).await;
    app.until("both changes are noticed", async || {
        let snapshot = app.directory().snapshot();
        snapshot.senders().all(|sender| sender.hold.is_none())
            && snapshot.accounts().all(|account| account.policy.expire_after.freeform > Duration::from_secs(1))
    })
    .await;

    for message in [&cancelled, &expired] {
        app.command(&["message", "resend", message.msg_id()]).await;
        app.until("it arrives", async || app.told(message) == ["failed", "sent", "delivered", "read"]).await;
    }
    app.leave().await;
}

on_each_database![
    a_message_that_was_refused_is_sent_again_under_the_same_id,
    what_was_never_accepted_is_for_its_sender_to_send_again,
    each_send_of_a_message_is_told_shown_and_exported_as_what_came_of_it,
    a_message_that_failed_later_is_sent_again_and_old_reports_do_not_stop_it,
    what_waits_or_has_arrived_is_not_sent_again_by_mistake,
    a_cancelled_and_an_expired_message_go_out_when_they_are_sent_again,
];
