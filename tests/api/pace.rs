//! The order in which messages leave a number, and how fast.

use wabridge::simulator::{Effect, Rule};

use crate::harness::{BUSINESS_NUMBER, Database, Message, NUMBER_ID, TestApp, on_each_database, person};

async fn a_person_is_sent_one_message_at_a_time_in_the_order_of_acceptance(database: Database) {
    let app = TestApp::start_with(database, |options| options.simulator.knobs.answer_delay_ms = 20).await;
    let texts: Vec<String> = (0..12).map(|number| format!("line {number}")).collect();

    for text in &texts {
        app.accept(&Message::freeform(&person(1), text)).await;
        app.accept(&Message::freeform(&person(2), text)).await;
    }
    app.settled().await;

    for number in [1, 2] {
        let sends = app.simulator.sends(Some(&person(number)));
        let arrived: Vec<_> = sends.iter().map(|send| send.body["text"]["body"].as_str().unwrap_or_default()).collect();
        assert_eq!(arrived, texts);
    }
    let stats = app.finish().await;
    assert_eq!(stats.peak_in_flight_per_recipient, 1);
}

async fn a_person_whose_sends_take_long_delays_nobody_else(database: Database) {
    let app = TestApp::start(database).await;
    app.simulator.add_rule(Rule::recipient(&person(0), Effect::Delay { ms: 3_500 }));
    let messages: Vec<Message> = (0..60).map(|number| Message::order_update(&person(number % 20))).collect();

    app.accept_all(&messages).await;
    let sends_to = |number| app.simulator.sends(Some(&person(number))).len();
    app.until_counted("all others are sent", |_| (1..20).all(|number| sends_to(number) == 3)).await;

    let slow = sends_to(0);
    assert!(slow < 3, "the others had to wait for all {slow} messages to one person");
    let stats = app.finish().await;
    assert_eq!(stats.peak_in_flight_per_recipient, 1);
}

async fn a_freeform_reply_overtakes_a_campaign_of_thousands(database: Database) {
    let app = TestApp::start_with(database, |options| options.messages_per_second = 100).await;
    let campaign: Vec<Message> = (0..2_000).map(|number| Message::marketing(&person(number))).collect();
    app.command(&["hold", BUSINESS_NUMBER]).await;
    app.until_held().await;
    app.accept_all(&campaign).await;
    app.command(&["release", BUSINESS_NUMBER]).await;
    let before = app.simulator.stats().sends_received;

    let (utility, reply) = (Message::order_update(&person(3_000)), Message::freeform(&person(3_001), "I am here"));
    app.accept_all(&[utility, reply]).await;
    let is_there = |number| !app.simulator.sends(Some(&person(number))).is_empty();
    app.until_counted("both are sent", |_| is_there(3_000) && is_there(3_001)).await;

    let after = app.simulator.stats().sends_received;
    assert!(after < 2_000, "the campaign is still under way");
    // In its turn each of the two would have been behind all 2,000; how far they get meanwhile is the machine's affair.
    assert!(after - before <= 1_000, "{} messages of the campaign left first", after - before);
    // Nobody wants to watch the rest of the campaign.
    app.leave().await;
}

async fn a_number_never_goes_faster_than_it_may(database: Database) {
    const PER_SECOND: u64 = 80;
    const SECONDS: u64 = 4;
    let app = TestApp::start_with(database, |options| {
        options.alone = true;
        options.messages_per_second = 80;
    })
    .await;
    let count = PER_SECOND * SECONDS;
    let messages: Vec<Message> = (0..count as usize).map(|number| Message::order_update(&person(number))).collect();
    app.command(&["hold", BUSINESS_NUMBER]).await;
    app.until_held().await;
    app.accept_all(&messages).await;

    app.command(&["release", BUSINESS_NUMBER]).await;
    app.until_counted("all are sent", |stats| stats.sends_accepted == count).await;

    let stats = app.finish().await;
    // They leave evenly, which is tested beside the arithmetic; on a busy machine some arrive bunched.
    const BUNCHED_MAX: u64 = 4;
    let peak = stats.peak_sends_per_second[NUMBER_ID];
    assert!(peak <= PER_SECOND + BUNCHED_MAX, "{peak} arrived within a second");
}

on_each_database![
    a_person_is_sent_one_message_at_a_time_in_the_order_of_acceptance,
    a_person_whose_sends_take_long_delays_nobody_else,
    a_freeform_reply_overtakes_a_campaign_of_thousands,
    a_number_never_goes_faster_than_it_may,
];
