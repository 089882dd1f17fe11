//! Telling CleverTap: all of it, in order, whatever its side does, and one account's trouble is its own.

use std::time::Duration;

use wabridge::{
    domain::callback::EventKind,
    simulator::{CallbackRule, Effect, Endpoint, Rule},
};

use crate::harness::{
    CREDENTIALS, Database, Message, OTHER_ACCOUNT, OTHER_NUMBER, OTHER_SENDER, PATIENCE, TestApp, on_each_database,
    person, script,
};

const ALL: [&str; 3] = ["sent", "delivered", "read"];

fn messages(count: usize) -> Vec<Message> {
    (0..count).map(|number| Message::order_update(&person(number))).collect()
}

fn refusing(status: u16) -> CallbackRule {
    CallbackRule { answer_status: status, endpoint: Some(Endpoint::DeliveryReports), ..CallbackRule::default() }
}

/// The key of the account's subscription to delivery reports.
async fn reports_of(app: &TestApp, dialect_account: i32) -> wabridge::domain::ids::SubscriptionKey {
    let subscriptions = app.subscriptions().await;
    let wanted = subscriptions
        .iter()
        .find(|subscription| subscription.kind == EventKind::Status && subscription.account.0 == dialect_account);
    wanted.expect("the account has a URL for delivery reports").key
}

async fn is_on_hold(app: &TestApp, subscription: wabridge::domain::ids::SubscriptionKey) -> bool {
    let state = app.store.cursor_state(subscription).await.expect("cursors can be read");
    state.is_some_and(|state| state.trouble.hold.is_some())
}

async fn what_waits_is_told_in_batches_and_in_order_for_each_message(database: Database) {
    let app = TestApp::start(database).await;
    let messages = messages(150);
    // However slowly they come, all of them wait.
    app.simulator.add_callback_rule(refusing(503));

    app.accept_all(&messages).await;
    app.until_counted("all were read", |stats| stats.statuses_taken.get("read").is_some_and(|read| *read >= 150)).await;
    app.simulator.set_callback_rules(vec![]);
    app.settled().await;

    for message in &messages {
        assert_eq!(app.told(message), ALL);
    }
    let stats = app.finish().await;
    assert!(stats.clevertap.peak_batch > 1, "several statuses in one request");
    assert!(stats.clevertap.peak_batch <= 100);
    let taken = stats.clevertap.requests - stats.clevertap.requests_refused.values().sum::<u64>();
    assert!(taken < 150, "{taken} requests for 450 statuses");
}

async fn a_platform_that_fails_for_a_while_misses_nothing(database: Database) {
    let app = TestApp::start(database).await;
    let messages = messages(40);
    for (times, status) in [(4, 500), (2, 503), (2, 429), (1, 403)] {
        app.simulator.add_callback_rule(CallbackRule { next: Some(times), ..refusing(status) });
    }

    app.accept_all(&messages).await;
    app.settled().await;

    for message in &messages {
        assert_eq!(app.told(message), ALL);
    }
    let stats = app.finish().await;
    assert_eq!(stats.clevertap.requests_refused.values().sum::<u64>(), 9);
    assert_eq!(stats.clevertap.repeated, 0, "what was taken is not told again");
}

async fn one_event_that_the_platform_refuses_holds_up_no_other(database: Database) {
    let app = TestApp::start(database).await;
    let messages = messages(30);
    let poison = &messages[11];
    app.simulator
        .add_callback_rule(CallbackRule { body_contains: Some(format!("\"{}\"", poison.msg_id())), ..refusing(400) });

    app.accept_all(&messages).await;
    app.settled().await;

    for message in messages.iter().filter(|message| message.msg_id() != poison.msg_id()) {
        assert_eq!(app.told(message), ALL);
    }
    assert!(app.told(poison).is_empty());
    let dead = app.store.count_callbacks().await.expect("countable");
    assert_eq!(dead.values().map(|(dead, _)| *dead).sum::<i64>(), 3, "each of its events is kept, and shown as dead");
    let events = app.store.events_of(&app.stored(poison).await).await.expect("the log can be read");
    let subscription = reports_of(&app, 1).await;
    for event in events {
        let reason =
            app.store.care_of(subscription.0, event.place).await.expect("readable").expect("it is dead").reason;
        assert!(reason.contains("400"), "{reason}");
    }
    app.finish().await;
}

async fn a_url_that_is_gone_is_held_until_it_is_released(database: Database) {
    let app = TestApp::start(database).await;
    let messages = messages(5);
    app.simulator.add_callback_rule(refusing(404));

    app.accept_all(&messages).await;
    let subscription = reports_of(&app, 1).await;
    app.until("the URL is on hold", async || is_on_hold(&app, subscription).await).await;
    let refused = app.simulator.stats().clevertap.requests_refused[&404];
    app.simulator.set_callback_rules(vec![]);
    let printed = app.command(&["release", &subscription.to_string()]).await;
    app.settled().await;

    assert!(printed.contains("released"), "{printed}");
    assert!(refused <= 8, "a URL on hold is left alone, not asked {refused} times");
    for message in &messages {
        assert_eq!(app.told(message), ALL);
    }
    app.finish().await;
}

async fn a_url_on_hold_is_probed_and_goes_on_by_itself(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.settings.relay.hold_probe = Duration::from_millis(300);
    })
    .await;
    let message = Message::order_update(&person(1));
    app.simulator.add_callback_rule(refusing(401));

    app.accept(&message).await;
    let subscription = reports_of(&app, 1).await;
    app.until("the URL is on hold", async || is_on_hold(&app, subscription).await).await;
    app.simulator.set_callback_rules(vec![]);
    app.settled().await;

    assert_eq!(app.told(&message), ALL);
    assert!(!is_on_hold(&app, subscription).await);
    app.finish().await;
}

async fn a_dead_url_of_one_account_delays_no_other(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.more = format!("{OTHER_ACCOUNT}\n{OTHER_SENDER}");
    })
    .await;
    // It takes the connection, and answers long after anybody waits.
    let hanging = CallbackRule { account: Some("globex".to_owned()), hang_ms: 60_000, ..refusing(500) };
    app.simulator.add_callback_rule(hanging);
    let theirs: Vec<Message> = messages(20).into_iter().map(|m| m.with("wabaNumber", OTHER_NUMBER.into())).collect();
    for message in &theirs {
        let answer = app.post("/clevertap/globex/messages", &CREDENTIALS, message.body.to_string()).await;
        assert!(answer.is_success(), "{answer:?}");
    }
    app.until_counted("their URL hangs", |stats| stats.clevertap.requests > 0).await;
    let ours: Vec<Message> = (100..120).map(|number| Message::order_update(&person(number))).collect();

    let started = std::time::Instant::now();
    app.accept_all(&ours).await;
    app.until_counted("ours are told", |stats| stats.clevertap.messages.get("read") == Some(&20)).await;

    // While one exchange with the other URL is still being waited for.
    assert!(started.elapsed() < PATIENCE / 2, "ours took {:?}", started.elapsed());
    for message in &ours {
        assert_eq!(app.told(message), ALL);
    }
    assert!(theirs.iter().all(|message| app.told(message).is_empty()));
    app.leave().await;
}

async fn retry_after_is_heeded_within_bounds(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.settings.relay.retry_waits = vec![Duration::from_millis(400)];
    })
    .await;
    let message = Message::order_update(&person(1));
    app.simulator.add_rule(Rule::everybody(Effect::Statuses(script("sent@0"))));
    // A day's wait would be as good as a lost status.
    app.simulator.add_callback_rule(CallbackRule { next: Some(1), retry_after_s: Some(86_400), ..refusing(429) });

    app.accept(&message).await;
    app.settled().await;

    assert_eq!(app.told(&message), ["sent"]);
    let subscription = reports_of(&app, 1).await;
    let event = app.store.events_of(&app.stored(&message).await).await.expect("readable").remove(0);
    let mut tries = app.store.callback_tries(subscription.0, event.place).await.expect("readable");
    tries.sort_by_key(|attempt| attempt.started_at);
    assert_eq!(tries.len(), 2);
    let waited = tries[1].started_at.since(tries[0].started_at);
    assert!(waited >= Duration::from_millis(800), "it asked for longer than planned, and was given twice: {waited:?}");
    app.finish().await;
}

on_each_database![
    what_waits_is_told_in_batches_and_in_order_for_each_message,
    a_platform_that_fails_for_a_while_misses_nothing,
    one_event_that_the_platform_refuses_holds_up_no_other,
    a_url_that_is_gone_is_held_until_it_is_released,
    a_url_on_hold_is_probed_and_goes_on_by_itself,
    a_dead_url_of_one_account_delays_no_other,
    retry_after_is_heeded_within_bounds,
];
