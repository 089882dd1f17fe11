//! To how many new people a day a portfolio may write: what goes, what waits, and what ends the waiting.

use std::time::Duration;

use serde_json::{Map, Value, json};
use wabridge::{
    app::App,
    domain::{channel::MessagingLimit, ids::SenderKey, messaging_limit::waits_for_place},
    simulator::Event,
};

use crate::harness::{
    BUSINESS_NUMBER, CREDENTIALS, Database, Message, NUMBER_ID, OTHER_ACCOUNT, OTHER_NUMBER, OTHER_SENDER, TestApp,
    WABA_ID, on_each_database, person, until,
};

const ALL: [&str; 3] = ["sent", "delivered", "read"];
const OTHER_NUMBER_ID: &str = "100000000000002";

/// WhatsApp allows so many people from now on, and says that something has changed.
fn whatsapp_allows(app: &TestApp, people: u64) {
    let tier = format!("TIER_{people}");
    for id in [NUMBER_ID, OTHER_NUMBER_ID] {
        let fields = Map::from_iter([("whatsapp_business_manager_messaging_limit".to_owned(), json!(tier))]);
        app.simulator.happen(&Event::Node { id: id.to_owned(), fields }).expect("any field can be set");
    }
    let value = json!({"max_daily_conversations_per_business": tier});
    let field = "business_capability_update".to_owned();
    app.simulator.happen(&Event::Change { waba_id: Some(WABA_ID.to_owned()), field, value }).expect("any webhook");
}

async fn keys(app: &TestApp) -> Vec<SenderKey> {
    let configuration = app.store.load_configuration().await.expect("readable");
    configuration.senders.iter().map(|sender| sender.key).collect()
}

/// The limit is changed, and kept to.
async fn limit(app: &TestApp, people: u64) {
    whatsapp_allows(app, people);
    let keys = keys(app).await;
    let limits = app.messaging_limits();
    app.until("the limit is known", async || keys.iter().all(|key| limits.people_max(*key) == Some(people))).await;
}

async fn waiting(app: &TestApp) -> i64 {
    app.store.waiting_for_place().await.expect("countable").values().sum()
}

async fn until_waiting(app: &TestApp, messages: i64) {
    app.until("messages wait for a place", async || waiting(app).await == messages).await;
}

fn updates(people: std::ops::Range<usize>) -> Vec<Message> {
    people.map(|number| Message::order_update(&person(number))).collect()
}

async fn beyond_the_limit_new_people_wait_and_everybody_else_is_written_to(database: Database) {
    let app = TestApp::start(database).await;
    limit(&app, 3).await;
    let messages = updates(0..5);

    for message in &messages {
        app.accept(message).await;
    }
    app.until_counted("three people are written to", |stats| stats.sends_accepted == 3).await;
    until_waiting(&app, 2).await;
    // Somebody who is counted, somebody who wrote, and an answer.
    app.simulator.inbound_text(&person(7), NUMBER_ID, "hi", None).expect("the number exists");
    app.until_counted("it is told", |stats| stats.clevertap.inbound.values().sum::<u64>() == 1).await;
    let free =
        [Message::order_update(&person(1)), Message::order_update(&person(7)), Message::freeform(&person(7), "hello")];
    app.accept_all(&free).await;
    app.until("they are read", async || free.iter().all(|message| app.told(message) == ALL)).await;

    assert_eq!(app.simulator.stats().sends_received, 6, "nobody else was written to");
    assert_eq!(waiting(&app).await, 2);
    let last = app.stored(&messages[4]).await;
    assert!(waits_for_place(last.due_at, last.expires_at) && last.attempts == 0, "{last:?}");
    app.until("the places are written down", async || {
        app.command(&["status"])
            .await
            .contains("is reached (3 were written to): 2 messages wait, the next place is free at")
    })
    .await;
    let (code, status) = app.command_ending(&["status", "--exit-code", "--json"]).await;
    let status: Value = serde_json::from_str(&status).expect("it is JSON");
    let of_number = &status["numbers"][0]["messaging_limit"];
    assert_eq!(
        (of_number["people"].as_u64(), of_number["waiting"].as_i64(), code),
        (Some(3), Some(2), 4),
        "{status:#}"
    );
    let list = app.command(&["queue", "list"]).await;
    assert!(list.contains("2 beyond the messaging limit") && list.contains("limit of 3 new people"), "{list}");
    let story = app.command(&["message", messages[4].msg_id()]).await;
    assert!(story.contains("waits: for a place within the messaging limit"), "{story}");

    // Raised, told by webhook, read, and let go.
    whatsapp_allows(&app, 2_000);
    app.settled().await;

    assert!(messages.iter().all(|message| app.told(message) == ALL));
    let stats = app.finish().await;
    assert_eq!((stats.sends_received, stats.sends_refused.len()), (8, 0));
}

async fn whatsapp_refuses_nothing_when_a_campaign_is_larger_than_the_limit(database: Database) {
    let app = TestApp::start_with(database, |options| options.simulator.knobs.enforce_messaging_limit = true).await;
    app.simulator.happen(&Event::MessagingLimit { tier: "TIER_50".to_owned() }).expect("a tier");
    let keys = keys(&app).await;
    app.until("the limit is known", async || app.messaging_limits().people_max(keys[0]) == Some(50)).await;

    app.accept_all(&updates(0..80)).await;
    until_waiting(&app, 30).await;
    app.until_counted("the others are written to", |stats| stats.sends_accepted == 50).await;
    app.simulator.happen(&Event::MessagingLimit { tier: "TIER_UNLIMITED".to_owned() }).expect("a tier");

    let stats = app.finish().await;
    assert_eq!((stats.sends_accepted, stats.sends_refused.len(), stats.people_messaged_first), (80, 0, 50));
}

async fn numbers_of_one_business_account_share_its_limit(database: Database) {
    let app = TestApp::start_with(database, |options| options.more = format!("{OTHER_ACCOUNT}{OTHER_SENDER}")).await;
    limit(&app, 2).await;

    app.accept_all(&updates(0..2)).await;
    app.until_counted("two people are written to", |stats| stats.sends_accepted == 2).await;
    for number in [0, 5] {
        from_other_number(&app, &person(number)).await;
    }
    until_waiting(&app, 1).await;
    app.until_counted("one of the two is written to again", |stats| stats.sends_accepted == 3).await;

    assert!(app.simulator.sends(Some(&person(5))).is_empty());
    // Each number counts for itself when nobody counts.
    let off = app.configuration.replace("verify_token", "messaging_limit = \"off\"\nverify_token");
    app.apply(&off).await;
    app.settled().await;
    assert_eq!(app.finish().await.sends_accepted, 4);
}

async fn from_other_number(app: &TestApp, to: &str) {
    let mut message = Message::order_update(to);
    message.body["wabaNumber"] = json!(OTHER_NUMBER);
    let answer = app.post("/clevertap/globex/messages", &CREDENTIALS, message.body.to_string()).await;
    assert!(answer.is_success(), "{answer:?}");
}

async fn what_finds_no_place_in_time_expires_and_is_reported(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.account = "expire_after = { utility = \"2s\" }".to_owned();
    })
    .await;
    limit(&app, 1).await;
    // The first has time, however busy the machine is.
    let (first, late) = (Message::marketing(&person(0)), Message::order_update(&person(1)));

    app.accept(&first).await;
    app.until("it is read", async || app.told(&first) == ALL).await;
    app.accept(&late).await;
    app.until("it is told", async || app.told(&late) == ["failed"]).await;

    assert_eq!(app.told_failure(&late), Some(1009));
    assert_eq!(app.finish().await.sends_received, 1);
}

async fn a_message_that_was_refused_takes_no_place(database: Database) {
    let app = TestApp::start(database).await;
    limit(&app, 1).await;
    app.simulator.add_rule(wabridge::simulator::Rule::recipient(
        &person(0),
        wabridge::simulator::Effect::Refuse(wabridge::simulator::Refusal::code(131_009)),
    ));
    let messages = updates(0..2);

    app.accept(&messages[0]).await;
    app.until("it is told", async || app.told(&messages[0]) == ["failed"]).await;
    app.accept(&messages[1]).await;
    app.until("it is read", async || app.told(&messages[1]) == ALL).await;

    app.finish().await;
}

async fn the_count_outlives_a_restart(database: Database) {
    let mut app = TestApp::start_with(database, |options| options.as_process = true).await;
    whatsapp_allows(&app, 3);
    app.until("the limit is stored", async || {
        let channels = app.store.channels().await.expect("readable");
        let states = channels.into_values().filter_map(|channel| channel.state);
        states.map(|(_, state)| state.messaging_limit).any(|limit| limit == Some(MessagingLimit::People(3)))
    })
    .await;
    app.process().terminate().await;
    app.start_process().await;
    app.simulator.inbound_text(&person(9), NUMBER_ID, "hi", None).expect("the number exists");
    app.until_counted("it is told", |stats| stats.clevertap.inbound.values().sum::<u64>() == 1).await;
    app.accept_all(&updates(0..3)).await;
    app.until_counted("three people are written to", |stats| stats.sends_accepted == 3).await;

    app.process().terminate().await;
    app.start_process().await;
    let (counted, wrote) = (Message::order_update(&person(2)), Message::order_update(&person(9)));
    app.accept_all(&updates(4..5)).await;
    app.accept_all(&[counted.clone(), wrote.clone()]).await;
    app.until("the others are read", async || [&counted, &wrote].iter().all(|it| app.told(it) == ALL)).await;

    until_waiting(&app, 1).await;
    assert_eq!(app.simulator.stats().sends_received, 5);
    app.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_hear_of_each_others_people() {
    let app = TestApp::start_with(Database::postgres().await, |options| {
        options.more = format!("{OTHER_ACCOUNT}{OTHER_SENDER}");
        options.settings.instance.lease_renewal = Duration::from_secs(1);
    })
    .await;
    limit(&app, 1).await;
    let other: App = app.start_another("test-2").await.expect("PostgreSQL takes several");
    let keys = keys(&app).await;

    app.accept_all(&updates(0..1)).await;
    app.until_counted("one person is written to", |stats| stats.sends_accepted == 1).await;
    until("both know", async || {
        let now = wabridge::clock::now();
        keys.iter().all(|key| {
            app.messaging_limits().free_places(*key, now) == 0 && other.messaging_limits.free_places(*key, now) == 0
        })
    })
    .await;
    app.accept_all(&updates(1..2)).await;
    from_other_number(&app, &person(2)).await;
    until_waiting(&app, 2).await;

    assert_eq!(app.simulator.stats().sends_received, 1, "from {BUSINESS_NUMBER} and {OTHER_NUMBER}");
    other.stop().await;
    app.leave().await;
}

on_each_database![
    beyond_the_limit_new_people_wait_and_everybody_else_is_written_to,
    whatsapp_refuses_nothing_when_a_campaign_is_larger_than_the_limit,
    numbers_of_one_business_account_share_its_limit,
    what_finds_no_place_in_time_expires_and_is_reported,
    a_message_that_was_refused_takes_no_place,
    the_count_outlives_a_restart,
];
