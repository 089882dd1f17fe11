//! An orderly stop finishes what is in flight, and the next start does the rest.

use wabridge::domain::outbound::SendState;

use crate::harness::{Database, Message, PATIENCE, TestApp, on_each_database, person};

/// Messages a second, until it is stopped: half a minute for all of them.
const SLOWLY: u32 = 5;

async fn asked_to_stop_it_finishes_what_is_in_flight_and_goes_on_after_the_next_start(database: Database) {
    let mut app = TestApp::start_with(database, |options| {
        options.as_process = true;
        options.messages_per_second = SLOWLY;
        options.simulator.knobs.answer_delay_ms = 300;
    })
    .await;
    let messages: Vec<Message> = (0..150).map(|number| Message::order_update(&person(number))).collect();
    app.accept_all(&messages).await;
    app.until_counted("some are in flight", |stats| stats.sends_received >= 5).await;

    app.process().terminate().await;

    let stats = app.simulator.stats();
    assert!(stats.sends_received < 150, "it was stopped in the midst of its work");
    assert_eq!(stats.sends_received, stats.sends_accepted, "every send was waited for");
    let queues = app.store.queues().await.expect("queues can be counted");
    let in_doubt: i64 = queues.values().map(|queue| queue.sending + queue.unknown).sum();
    assert_eq!(in_doubt, 0, "what became of every send is written down");
    let leases = app.store.leases().await.expect("leases can be read");
    assert!(leases.iter().all(|lease| lease.owner.is_none()), "its work is free for others: {leases:?}");

    app.apply(&app.configuration.replace(&format!("= {SLOWLY}\n"), "= 1000\n")).await;
    app.start_process().await;
    app.settled().await;

    for message in &messages {
        assert_eq!(app.stored(message).await.state, SendState::Submitted);
        let told = app.told(message);
        assert!(told.ends_with(&["read".to_owned()]), "{told:?}");
    }
    let stats = app.finish().await;
    assert_eq!(stats.sends_accepted, 150);
}

async fn a_stop_does_not_wait_for_what_only_waits(database: Database) {
    let mut app = TestApp::start_with(database, |options| {
        options.as_process = true;
        options.messages_per_second = 1;
        options.settings.server.shutdown_timeout = PATIENCE * 2;
    })
    .await;
    let messages: Vec<Message> = (0..60).map(|number| Message::order_update(&person(number))).collect();
    app.accept_all(&messages).await;

    let started = std::time::Instant::now();
    app.process().terminate().await;

    assert!(started.elapsed() < PATIENCE, "it took {:?}", started.elapsed());
    assert!(app.open_messages().await >= 30, "they are still queued");
    app.leave().await;
}

on_each_database![
    asked_to_stop_it_finishes_what_is_in_flight_and_goes_on_after_the_next_start,
    a_stop_does_not_wait_for_what_only_waits,
];
