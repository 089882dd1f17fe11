//! The order in which messages leave a number, and how fast.

use std::time::{SystemTime, UNIX_EPOCH};

use wabridge::simulator::{Effect, Rule};

use crate::harness::{BUSINESS_NUMBER, Database, Message, NUMBER_ID, PATIENCE, TestApp, on_each_database, person};

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
    // So long that a machine that stands still for seconds takes none of the slow ones for lost.
    let app = TestApp::start_with(database, |options| options.settings.send.timeout = PATIENCE).await;
    app.simulator.add_rule(Rule::recipient(&person(0), Effect::Delay { ms: 6_000 }));
    let messages: Vec<Message> = (0..60).map(|number| Message::order_update(&person(number % 20))).collect();

    app.accept_all(&messages).await;
    let sends_to = |number| app.simulator.sends(Some(&person(number))).len();
    app.until_counted("all others are sent", |_| (1..20).all(|number| sends_to(number) == 3)).await;

    let slow = sends_to(0);
    assert!(slow < 3, "the others had to wait for all {slow} messages to one person");
    // Nobody wants to watch the rest.
    app.simulator.set_rules(vec![]);
    let stats = app.finish().await;
    assert_eq!(stats.peak_in_flight_per_recipient, 1);
}

async fn a_freeform_reply_overtakes_a_campaign_that_is_longer_than_what_is_read_ahead(database: Database) {
    const CAMPAIGN: usize = 600;
    let app = TestApp::start_with(database, |options| {
        options.settings.limits.read_ahead_messages = 100;
        options.messages_per_second = 10;
    })
    .await;
    let campaign: Vec<Message> = (0..CAMPAIGN).map(|number| Message::marketing(&person(number))).collect();
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
    assert!(after < CAMPAIGN as u64, "the campaign is still under way");
    // In its turn each of the two would have been behind all of it; how far it gets meanwhile is the machine's affair.
    assert!(after - before <= CAMPAIGN as u64 / 2, "{} messages of the campaign left first", after - before);
    // Nobody wants to watch the rest of the campaign.
    app.leave().await;
}

/// So many may arrive together where they leave evenly.
const BUNCHED_MAX: u64 = 4;

async fn a_number_never_goes_faster_than_it_may(database: Database) {
    const PER_SECOND: u64 = 80;
    const SECONDS: u64 = 8;
    let app = TestApp::start_with(database, |options| options.messages_per_second = 80).await;
    let count = PER_SECOND * SECONDS;
    let messages: Vec<Message> = (0..count as usize).map(|number| Message::order_update(&person(number))).collect();
    app.command(&["hold", BUSINESS_NUMBER]).await;
    app.until_held().await;
    app.accept_all(&messages).await;

    let released_ms = now_ms();
    app.command(&["release", BUSINESS_NUMBER]).await;
    app.until_counted("all are sent", |stats| stats.sends_accepted == count).await;

    // They leave evenly, which is tested beside the arithmetic. On a busy machine some arrive late and bunched, but none early: so
    // many as have come since the release, and no more, may have left since.
    for (before, send) in (0..).zip(app.simulator.sends(None)) {
        let after_ms = send.received_at_unix_ms.saturating_sub(released_ms);
        let allowed = PER_SECOND * after_ms / 1_000 + BUNCHED_MAX;
        assert!(before < allowed, "{before} had arrived {after_ms} ms after the release, and one more");
    }
    app.finish().await;
}

/// As the simulator writes times.
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than that").as_millis() as u64
}

async fn what_people_write_comes_out_of_the_same_allowance(database: Database) {
    const PER_SECOND: u64 = 40;
    const MESSAGES: u64 = 120;
    /// Of people, for every few that are sent: so the campaign has a third of what there is.
    const WRITTEN_AT_ONCE: u64 = 10;
    const SENT_MEANWHILE: u64 = 5;
    let app = TestApp::start_with(database, |options| options.messages_per_second = 40).await;
    let messages: Vec<Message> = (0..MESSAGES as usize).map(|number| Message::order_update(&person(number))).collect();
    app.command(&["hold", BUSINESS_NUMBER]).await;
    app.until_held().await;
    app.accept_all(&messages).await;

    let released_ms = now_ms();
    app.command(&["release", BUSINESS_NUMBER]).await;
    // The last: before all were sent, as far as was seen.
    let (mut sent, mut heard, mut heard_before) = (0, 0, 0);
    while sent < MESSAGES {
        let wanted = MESSAGES.min(sent + SENT_MEANWHILE);
        app.until_counted("some more are sent", |stats| stats.sends_accepted >= wanted).await;
        for place in 0..WRITTEN_AT_ONCE {
            let from = person(1_000 + (heard + place) as usize);
            app.simulator.inbound_text(&from, NUMBER_ID, "hello", None).expect("the number exists");
        }
        heard += WRITTEN_AT_ONCE;
        let stats = app.until_counted("they are heard", |stats| stats.inbound_taken >= heard).await;
        if stats.sends_accepted < MESSAGES {
            heard_before = heard;
        }
        sent = stats.sends_accepted;
    }

    let last_ms = app.simulator.sends(None).iter().map(|send| send.received_at_unix_ms).max().expect("all were sent");
    // Those who wrote last may have been heard when all had left that was to leave. What stands still for a while makes the time
    // longer, and never shorter.
    let (together, took_ms) = (MESSAGES + heard_before, last_ms - released_ms);
    let allowed = PER_SECOND * took_ms / 1_000 + WRITTEN_AT_ONCE + BUNCHED_MAX;
    assert!(together <= allowed, "{together} were sent or came in within {took_ms} ms");
    app.finish().await;
}

on_each_database![
    a_person_is_sent_one_message_at_a_time_in_the_order_of_acceptance,
    a_person_whose_sends_take_long_delays_nobody_else,
    a_freeform_reply_overtakes_a_campaign_that_is_longer_than_what_is_read_ahead,
    a_number_never_goes_faster_than_it_may,
    what_people_write_comes_out_of_the_same_allowance,
];
