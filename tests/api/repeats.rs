//! One message is sent once, however often it is asked for.

use serde_json::json;

use crate::harness::{Database, Message, TestApp, arrivals, on_each_database, person};

async fn fifty_times_the_same_message_at_once_is_one_send_and_fifty_same_answers(database: Database) {
    let app = TestApp::start(database).await;
    let message = Message::order_update(&person(1));

    let answers = futures_util::future::join_all((0..50).map(|_| app.send(&message))).await;
    app.settled().await;

    assert!(answers.iter().all(|answer| answer.is_success()), "{answers:?}");
    assert_eq!(app.simulator.sends(None).len(), 1);
    assert_eq!(app.told(&message), ["sent", "delivered", "read"]);
    assert_eq!(app.all_stored(&message).await.len(), 1);
    app.finish().await;
}

async fn a_repeat_long_after_gets_the_first_answer_and_sends_nothing(database: Database) {
    let app = TestApp::start(database).await;
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.settled().await;

    let again = app.send(&message).await;
    // The parts in another order and another spelling of the number are still the same message.
    let reordered = message.clone().with("to", json!(person(1).trim_start_matches('+')));
    let reordered = app.send(&reordered).await;

    assert!(again.is_success() && reordered.is_success(), "{again:?} {reordered:?}");
    let stats = app.finish().await;
    assert_eq!(stats.sends_received, 1);
}

async fn a_corrected_message_passes_because_only_successes_are_remembered(database: Database) {
    let app = TestApp::start(database).await;
    let wrong = Message::template(&person(1), "order_update", "en").values(&["Asha"]);
    let right = Message::order_update(&person(1)).id(wrong.msg_id());

    assert_eq!(app.send(&wrong).await.code(), 2001);
    assert_eq!(app.send(&wrong).await.code(), 2001, "a refusal is found again, not remembered");
    app.accept(&right).await;
    app.settled().await;

    assert_eq!(app.told(&right), ["sent", "delivered", "read"]);
    app.finish().await;
}

async fn the_same_id_with_another_recipient_or_content_is_another_message(database: Database) {
    let app = TestApp::start(database).await;
    let first = Message::order_update(&person(1));
    let other_person = Message::order_update(&person(2)).id(first.msg_id());
    let other_values = Message::template(&person(1), "order_update", "en").values(&["Asha", "A-18"]).id(first.msg_id());
    let all = [first.clone(), other_person, other_values];

    app.accept_all(&all).await;
    app.accept_all(&all).await;
    app.settled().await;

    assert_eq!(app.simulator.sends(None).len(), 3);
    assert_eq!(app.all_stored(&first).await.len(), 3);
    let stats = app.settled().await;
    assert_eq!(stats.clevertap.statuses["read"], 3, "each is reported under the id that it came with");
    // CleverTap gave three messages one id: what it is told under it is no longer in order.
    app.leave().await;
}

async fn many_messages_with_their_repeats_mixed_in_are_each_sent_once(database: Database) {
    let app = TestApp::start(database).await;
    let messages: Vec<Message> = (0..60).map(|number| Message::order_update(&person(number))).collect();
    let mixed: Vec<Message> = (0..180).map(|place| messages[place * 7 % 60].clone()).collect();

    app.accept_all(&mixed).await;
    app.settled().await;

    let arrivals = arrivals(&app);
    assert_eq!(arrivals.len(), 60);
    assert!(arrivals.values().all(|count| *count == 1), "{arrivals:?}");
    app.finish().await;
}

on_each_database![
    fifty_times_the_same_message_at_once_is_one_send_and_fifty_same_answers,
    a_repeat_long_after_gets_the_first_answer_and_sends_nothing,
    a_corrected_message_passes_because_only_successes_are_remembered,
    the_same_id_with_another_recipient_or_content_is_another_message,
    many_messages_with_their_repeats_mixed_in_are_each_sent_once,
];
