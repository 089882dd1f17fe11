//! When sending fails: again if it certainly did not go out, evidence or policy if nobody knows, and never twice.

use std::time::Duration;

use serde_json::Value;
use wabridge::{
    clock,
    domain::{account::Hold, outbound::SendState},
    simulator::{Effect, Refusal, RefusalBody, Rule, SimulatedSender},
};

use crate::harness::{
    BUSINESS_NUMBER, CONNECTION, Database, Message, Options, TestApp, WABA_ID, arrivals, on_each_database, person,
    script,
};

const ALL: [&str; 3] = ["sent", "delivered", "read"];

fn messages(count: usize) -> Vec<Message> {
    (0..count).map(|number| Message::order_update(&person(number))).collect()
}

/// Nobody waits long for evidence. For answers all wait as long as ever, or a busy machine would make more of them unknown.
fn impatient(options: &mut Options) {
    options.settings.send.unknown_grace = Duration::from_millis(1_500);
}

async fn a_throttled_number_slows_down_and_everything_arrives(database: Database) {
    let app = TestApp::start(database).await;
    let messages = messages(60);
    app.simulator.add_rule(Rule::next(4, Effect::Refuse(Refusal::code(130429))));
    let busy = Refusal { http_status: Some(429), body: RefusalBody::Html, ..Refusal::code(0) };
    app.simulator.add_rule(Rule { next: Some(2), ..Rule::recipient(&person(59), Effect::Refuse(busy)) });

    app.accept_all(&messages).await;
    let stats = app.settled().await;

    assert_eq!(stats.sends_refused.values().sum::<u64>(), 6);
    for message in &messages {
        assert_eq!(app.told(message), ALL);
    }
    app.finish().await;
}

async fn a_number_whose_allowance_is_smaller_than_we_think_loses_nothing(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.messages_per_second = 200;
        options.simulator.knobs.messages_per_second = 40;
    })
    .await;
    let messages = messages(90);

    app.accept_all(&messages).await;
    app.settled().await;

    for message in &messages {
        assert_eq!(app.told(message), ALL);
    }
    app.finish().await;
}

async fn what_the_provider_says_it_did_not_take_is_sent_again(database: Database) {
    let app = TestApp::start(database).await;
    let messages = messages(3);
    for (number, code) in [131016, 131000, 2].into_iter().enumerate() {
        let refuse = Effect::Refuse(Refusal::code(code));
        app.simulator.add_rule(Rule { next: Some(3), ..Rule::recipient(&person(number), refuse) });
    }

    app.accept_all(&messages).await;
    app.settled().await;

    for message in &messages {
        assert_eq!(app.told(message), ALL);
        let tries = app.store.failed_tries(app.stored(message).await.id).await.expect("attempts can be read");
        assert_eq!(tries.len(), 3, "{tries:?}");
    }
    app.finish().await;
}

async fn what_the_provider_has_judged_is_told_at_once_and_not_tried_again(database: Database) {
    let app = TestApp::start(database).await;
    app.simulator.add_rule(Rule::everybody(Effect::Refuse(Refusal::code(131030))));
    let message = Message::order_update(&person(1));

    app.accept(&message).await;
    app.settled().await;

    assert_eq!(app.told(&message), ["failed"]);
    assert_eq!(app.told_failure(&message), Some(1005));
    assert_eq!(app.stored(&message).await.state, SendState::Rejected);
    let stats = app.finish().await;
    assert_eq!(stats.sends_received, 1);
}

async fn a_lost_answer_is_settled_by_the_statuses_and_never_sent_again(database: Database) {
    let app = TestApp::start(database).await;
    let messages = messages(10);
    app.simulator.add_rule(Rule::everybody(Effect::LoseAnswer));

    app.accept_all(&messages).await;
    app.settled().await;

    for message in &messages {
        assert_eq!(app.told(message), ALL);
        assert_eq!(app.stored(message).await.state, SendState::Submitted);
    }
    let stats = app.finish().await;
    assert_eq!((stats.answers_lost, stats.sends_received), (10, 10));
}

async fn an_answer_that_cannot_be_read_proves_nothing(database: Database) {
    let app = TestApp::start_with(database, impatient).await;
    let html = Refusal { http_status: Some(502), body: RefusalBody::Html, ..Refusal::code(0) };
    app.simulator.add_rule(Rule::everybody(Effect::Refuse(html)));
    let message = Message::order_update(&person(1));

    app.accept(&message).await;
    app.settled().await;

    assert_eq!(app.told(&message), ["failed"]);
    let stats = app.finish().await;
    assert_eq!(stats.sends_received, 1, "it may have gone out, so it is not sent again");
}

async fn without_evidence_a_message_is_reported_as_failed(database: Database) {
    // So long both are to be seen.
    let grace = |options: &mut Options| options.settings.send.unknown_grace = Duration::from_secs(15);
    let app = TestApp::start_with(database, grace).await;
    app.simulator.add_rule(Rule::recipient(&person(1), Effect::LoseAnswer));
    app.simulator.add_rule(Rule::recipient(&person(1), Effect::Statuses(script("none"))));
    app.simulator.add_rule(Rule::recipient(&person(2), Effect::DropConnection));
    let (silent, dropped) = (Message::order_update(&person(1)), Message::order_update(&person(2)));

    app.accept_all(&[silent.clone(), dropped.clone()]).await;
    app.until("both are unknown", async || {
        let queues = app.store.queues().await.expect("queues can be counted");
        queues.values().map(|queue| queue.unknown).sum::<i64>() == 2
    })
    .await;
    assert!(app.told(&silent).is_empty(), "nothing is said before the time of grace is over");
    let stored = app.stored(&silent).await;
    assert!(stored.tried_at.is_some() && stored.sent_at().is_none(), "nobody knows that it was sent: {stored:?}");
    let story: Value = serde_json::from_str(&app.command(&["message", silent.msg_id(), "--json"]).await).expect("JSON");
    let story = story.to_string();
    assert!(story.contains("\"sent_at\":null") && story.contains("\"tried_at\":\"20"), "{story}");
    app.settled().await;

    for message in [&silent, &dropped] {
        assert_eq!(app.told(message), ["failed"]);
        assert_eq!(app.told_failure(message), Some(1009));
    }
    let stats = app.finish().await;
    assert_eq!(stats.sends_received, 2);
}

async fn evidence_that_comes_after_the_report_is_still_told(database: Database) {
    let app = TestApp::start_with(database, impatient).await;
    app.simulator.add_rule(Rule::everybody(Effect::LoseAnswer));
    app.simulator.change_knobs(|knobs| knobs.webhooks_paused = true).expect("valid knobs");
    let message = Message::order_update(&person(1));

    app.accept(&message).await;
    app.until("it is reported as failed", async || app.told(&message) == ["failed"]).await;
    app.simulator.change_knobs(|knobs| knobs.webhooks_paused = false).expect("valid knobs");
    app.settled().await;

    assert_eq!(app.told(&message), ["failed", "delivered", "read"]);
    assert_eq!(app.stored(&message).await.state, SendState::Submitted);
    app.finish().await;
}

async fn an_account_may_prefer_a_second_send_to_a_failure(database: Database) {
    let app = TestApp::start_with(database, |options| {
        impatient(options);
        options.account = "unknown_outcome = \"resend\"".to_owned();
    })
    .await;
    app.simulator.add_rule(Rule::next(1, Effect::DropConnection));
    let message = Message::order_update(&person(1));

    app.accept(&message).await;
    app.settled().await;

    assert_eq!(app.told(&message), ALL);
    let stats = app.finish().await;
    assert_eq!((stats.sends_received, stats.sends_accepted), (2, 1));
}

async fn a_message_that_waited_too_long_is_never_sent_and_reported(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.account = "expire_after = { utility = \"1s\", freeform = \"1s\" }".to_owned();
    })
    .await;
    let hold = Hold::by_answer(clock::now(), "a test".to_owned());
    let sender = app.store.load_configuration().await.expect("readable").senders[0].key;
    app.store.hold_sender(sender, &hold).await.expect("a hold can be written");
    app.until_held().await;
    let late = [Message::order_update(&person(1)), Message::freeform(&person(2), "hello")];
    let in_time = Message::marketing(&person(3));

    app.accept_all(&late).await;
    app.accept(&in_time).await;
    app.until("they are reported", async || late.iter().all(|message| !app.told(message).is_empty())).await;
    app.release_sender(sender).await;
    app.settled().await;

    for message in &late {
        assert_eq!(app.told(message), ["failed"]);
        assert_eq!(app.told_failure(message), Some(1009));
        assert_eq!(app.stored(message).await.state, SendState::Expired);
    }
    assert_eq!(app.told(&in_time), ALL);
    let stats = app.finish().await;
    assert_eq!(stats.sends_received, 1);
}

async fn a_bad_token_stops_the_connection_and_fails_no_message(database: Database) {
    let app = TestApp::start(database).await;
    let messages = messages(25);
    app.simulator.add_rule(Rule::everybody(Effect::Refuse(Refusal::code(190))));

    app.accept_all(&messages).await;
    app.until("the connection is on hold", async || {
        let configuration = app.store.load_configuration().await.expect("readable");
        configuration.connections.iter().any(|connection| connection.hold.is_some())
    })
    .await;
    // Whoever was refused behind the first would put it on hold anew after the release.
    app.until("no answer is awaited", async || {
        let queues = app.store.queues().await.expect("queues can be counted");
        app.directory().snapshot().connection(CONNECTION).is_some_and(|known| known.hold.is_some())
            && queues.values().all(|queue| queue.sending == 0)
    })
    .await;
    app.simulator.set_rules(vec![]);
    let status = app.command(&["status"]).await;
    assert!(status.contains("190"), "an operator is told why: {status}");
    assert!(!app.simulator.stats().clevertap.statuses.contains_key("failed"), "no message is failed");
    app.command(&["release", CONNECTION]).await;
    let stats = app.settled().await;

    for message in &messages {
        assert_eq!(app.told(message), ALL);
    }
    let refused = stats.sends_refused["190"];
    assert!(refused <= 25, "{refused} sends with a bad token");
    assert_eq!(arrivals(&app).len(), 25);
    app.finish().await;
}

async fn a_number_whose_id_the_provider_does_not_know_is_held_and_fails_no_message(database: Database) {
    let app = TestApp::start_with(database, |options| {
        // The simulator knows another number only.
        options.simulator.senders = vec![SimulatedSender {
            phone_number_id: "100000000000009".to_owned(),
            display_number: "918880110022".to_owned(),
            waba_id: WABA_ID.to_owned(),
            messages_per_second: None,
        }];
    })
    .await;

    app.accept(&Message::order_update(&person(1))).await;
    app.until_held().await;

    let status = app.command(&["status"]).await;
    assert!(
        status.contains("Object with ID") && status.contains("does not exist"),
        "an operator is told why: {status}"
    );
    assert!(!app.simulator.stats().clevertap.statuses.contains_key("failed"), "no message is failed");
    assert_eq!(app.open_messages().await, 1);
    app.leave().await;
}

async fn a_number_on_hold_takes_messages_and_sends_them_when_it_is_released(database: Database) {
    let app = TestApp::start(database).await;
    app.command(&["hold", BUSINESS_NUMBER, "--reason", "moving house"]).await;
    let messages = messages(5);
    // A running server takes a second to notice.
    app.until_held().await;

    app.accept_all(&messages).await;
    assert!(app.command(&["status"]).await.contains("moving house"));
    app.until("they wait", async || app.open_messages().await == 5).await;
    assert_eq!(app.simulator.stats().sends_received, 0);
    app.command(&["release", BUSINESS_NUMBER]).await;
    app.settled().await;

    for message in &messages {
        assert_eq!(app.told(message), ALL);
    }
    app.finish().await;
}

on_each_database![
    a_throttled_number_slows_down_and_everything_arrives,
    a_number_whose_allowance_is_smaller_than_we_think_loses_nothing,
    what_the_provider_says_it_did_not_take_is_sent_again,
    what_the_provider_has_judged_is_told_at_once_and_not_tried_again,
    a_lost_answer_is_settled_by_the_statuses_and_never_sent_again,
    an_answer_that_cannot_be_read_proves_nothing,
    without_evidence_a_message_is_reported_as_failed,
    evidence_that_comes_after_the_report_is_still_told,
    an_account_may_prefer_a_second_send_to_a_failure,
    a_message_that_waited_too_long_is_never_sent_and_reported,
    a_bad_token_stops_the_connection_and_fails_no_message,
    a_number_whose_id_the_provider_does_not_know_is_held_and_fails_no_message,
    a_number_on_hold_takes_messages_and_sends_them_when_it_is_released,
];
