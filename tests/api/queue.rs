//! Stopping a part of the queues: pausing, resuming, cancelling.

use serde_json::Value;
use wabridge::{
    domain::{ids::SenderKey, outbound::SendState},
    store::queue::QueuePlace,
};

use crate::harness::{BUSINESS_NUMBER, Database, Message, TestApp, arrivals, on_each_database, person};

const ALL: [&str; 3] = ["sent", "delivered", "read"];
const CAMPAIGN: &str = "1791111111";

/// Messages of a campaign, to people from this number on.
fn campaign(name: &str, from: usize, count: usize) -> Vec<Message> {
    (from..from + count)
        .map(|number| Message::marketing(&person(number)).id(&format!("{number}|{name}|20261120|{number}|0")))
        .collect()
}

async fn hold_number(app: &TestApp) {
    app.command(&["hold", BUSINESS_NUMBER]).await;
    app.until_held().await;
}

async fn until_rules(app: &TestApp, count: usize) {
    app.until("the rules are noticed", async || app.directory().queue_rules().0.len() == count).await;
}

async fn listed(app: &TestApp) -> Value {
    serde_json::from_str(&app.command(&["queue", "list", "--json"]).await).expect("it is JSON")
}

/// How many messages of the campaign are set aside.
async fn paused(app: &TestApp) -> u64 {
    let list = listed(app).await;
    let groups = list["numbers"][0]["groups"].as_array().cloned().unwrap_or_default();
    groups.iter().filter(|group| group["campaign"] == CAMPAIGN).filter_map(|group| group["paused"].as_u64()).sum()
}

async fn a_paused_campaign_waits_and_the_rest_of_the_queue_goes_on(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.settings.limits.read_ahead_messages = 40;
        options.messages_per_second = 200;
    })
    .await;
    hold_number(&app).await;
    // Far more than is read ahead stand before the others.
    let stopped = campaign(CAMPAIGN, 0, 240);
    let others = campaign("1792222222", 2_000, 30);
    app.accept_all(&stopped).await;
    app.accept_all(&others).await;

    let said = app.command(&["queue", "pause", "--campaign", CAMPAIGN, "--dry-run"]).await;
    assert!(said.contains("240 messages wait"), "{said}");
    let said = app.command(&["queue", "pause", "--campaign", CAMPAIGN, "--reason", "typing error"]).await;
    assert!(said.contains("expire all the same"), "{said}");
    until_rules(&app, 1).await;
    app.command(&["release", BUSINESS_NUMBER]).await;
    app.until("the others are told", async || others.iter().all(|message| app.told(message) == ALL)).await;
    app.until("the campaign is set aside", async || paused(&app).await == 240).await;

    let new = campaign(CAMPAIGN, 3_000, 20);
    app.accept_all(&new).await;
    assert_eq!(paused(&app).await, 260, "what arrives waits aside from the start");
    let list = app.command(&["queue", "list"]).await;
    assert!(list.contains("PAUSED") && list.contains("typing error"), "{list}");
    assert!(app.command(&["status"]).await.contains("typing error"));
    assert_eq!(app.simulator.stats().sends_received, 30);

    app.command(&["queue", "resume", "--campaign", CAMPAIGN]).await;
    let (list, all) = (listed(&app).await, app.command(&["queue", "list", "--all"]).await);
    assert_eq!(list["rules"], serde_json::json!([]), "only what is in force");
    assert!(all.contains("ENDED") && all.contains("resumed by an operator"), "{all}");
    app.settled().await;
    for message in stopped.iter().chain(&new) {
        assert_eq!(app.told(message), ALL);
    }
    app.until("the rule is gone", async || app.store.queue_rules().await.expect("readable").0.is_empty()).await;
    let all = app.command(&["queue", "list", "--all", "--json"]).await;
    let all: Value = serde_json::from_str(&all).expect("it is JSON");
    assert_eq!((&all["rules"][0]["in_force"], &all["rules"][0]["ended_by"]), (&false.into(), &"operator".into()));
    app.finish().await;
}

async fn a_pause_that_comes_in_the_middle_stops_what_was_read_ahead(database: Database) {
    // Slow enough that the campaign is not over before anybody can act.
    let app = TestApp::start_with(database, |options| options.messages_per_second = 5).await;
    let messages = campaign(CAMPAIGN, 0, 300);
    hold_number(&app).await;
    app.accept_all(&messages).await;
    app.command(&["release", BUSINESS_NUMBER]).await;
    app.until_counted("some are sent", |stats| stats.sends_received > 3).await;

    app.command(&["queue", "pause", "--campaign", CAMPAIGN]).await;
    app.until("the rest is set aside", async || {
        let open = app.open_messages().await as u64;
        open > 0 && paused(&app).await == open
    })
    .await;
    let before = app.simulator.stats().sends_received;
    let late = Message::marketing(&person(900)).id("1|1792222222|20261120|1|0");
    app.accept(&late).await;
    app.until("another campaign is told", async || app.told(&late) == ALL).await;

    assert_eq!(app.simulator.stats().sends_received, before + 1);
    assert!(before < 300);
    app.leave().await;
}

async fn a_cancelled_campaign_is_never_sent_and_reported_with_its_reason(database: Database) {
    let app = TestApp::start(database).await;
    hold_number(&app).await;
    let cancelled = campaign(CAMPAIGN, 0, 40);
    let others = campaign("1792222222", 100, 5);
    app.accept_all(&cancelled).await;
    app.accept_all(&others).await;

    let count = app.command(&["queue", "cancel", "--campaign", CAMPAIGN, "--dry-run"]).await;
    assert!(count.contains("40 messages would be cancelled"), "{count}");
    assert!(count.contains("cancelled by an operator before it was sent: no reason was given"), "{count}");
    assert_eq!(app.open_messages().await, 45);
    let (code, _) = app.command_ending(&["queue", "cancel", "--campaign", CAMPAIGN]).await;
    assert_eq!((code, app.open_messages().await), (1, 45), "nobody is there to say yes");
    let arguments = ["queue", "cancel", "--campaign", CAMPAIGN, "--reason", "wrong price", "--yes"];
    let said = app.command(&arguments).await;
    assert!(said.contains("40 messages are cancelled"), "{said}");
    assert!(said.contains("(1009): cancelled by an operator before it was sent: wrong price\n"), "{said}");
    let (code, _) = app.command_ending(&arguments).await;
    assert_eq!(code, 3, "nothing is left");
    // A repeat gets its first answer, and wakes nobody.
    app.accept(&cancelled[0]).await;
    app.command(&["release", BUSINESS_NUMBER]).await;
    app.settled().await;

    for message in &cancelled {
        assert_eq!(app.told(message), ["failed"]);
        assert_eq!(app.told_failure(message), Some(1009));
        assert_eq!(app.stored(message).await.state, SendState::Cancelled);
    }
    let title = app.simulator.callback_records(Some(cancelled[0].msg_id()))[0].entry["error"]["title"].clone();
    assert!(title.as_str().is_some_and(|title| title.contains("operator") && title.contains("wrong price")), "{title}");
    for message in &others {
        assert_eq!(app.told(message), ALL);
    }
    let stats = app.finish().await;
    assert_eq!(stats.sends_received, 5);
}

async fn what_an_owner_has_read_ahead_does_not_go_out_after_it_was_cancelled(database: Database) {
    let app = TestApp::start_with(database, |options| options.messages_per_second = 5).await;
    let messages = campaign(CAMPAIGN, 0, 300);
    hold_number(&app).await;
    app.accept_all(&messages).await;
    app.command(&["release", BUSINESS_NUMBER]).await;
    app.until_counted("some are sent", |stats| stats.sends_received > 3).await;

    app.command(&["queue", "cancel", "--campaign", CAMPAIGN, "--yes"]).await;
    app.settled().await;

    let (mut arrived, mut cancelled) = (0, 0);
    for message in &messages {
        match app.told(message) {
            told if told == ALL => arrived += 1,
            told if told == ["failed"] => cancelled += 1,
            told => panic!("{told:?} was told of one message"),
        }
    }
    assert!(cancelled > 0 && arrived > 0, "{arrived} arrived, {cancelled} were cancelled");
    assert_eq!(arrivals(&app).len(), arrived, "nothing that was reported as cancelled went out");
    app.finish().await;
}

async fn what_arrives_of_a_cancelled_campaign_is_cancelled_too_if_that_is_wanted(database: Database) {
    let app = TestApp::start(database).await;
    app.command(&["queue", "cancel", "--campaign", CAMPAIGN, "--and-new", "--yes", "--reason", "sold out"]).await;
    until_rules(&app, 1).await;
    let new = campaign(CAMPAIGN, 0, 10);
    let other = Message::order_update(&person(100));

    app.accept_all(&new).await;
    app.accept(&other).await;
    app.settled().await;
    for message in &new {
        assert_eq!((app.told(message), app.told_failure(message)), (vec!["failed".to_owned()], Some(1009)));
    }
    assert_eq!(app.told(&other), ALL);

    app.command(&["queue", "resume", "--campaign", CAMPAIGN]).await;
    app.until("the rule ended", async || app.directory().queue_rules().0.iter().all(|rule| rule.released_at.is_some()))
        .await;
    let after = campaign(CAMPAIGN, 200, 1);
    app.accept_all(&after).await;
    app.settled().await;
    assert_eq!(app.told(&after[0]), ALL);
    app.finish().await;
}

async fn messages_expire_while_they_are_paused(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.account = "expire_after = { marketing = \"2s\" }".to_owned();
    })
    .await;
    app.command(&["queue", "pause", "--campaign", CAMPAIGN]).await;
    until_rules(&app, 1).await;
    let messages = campaign(CAMPAIGN, 0, 5);

    app.accept_all(&messages).await;
    app.settled().await;

    for message in &messages {
        assert_eq!((app.told(message), app.told_failure(message)), (vec!["failed".to_owned()], Some(1009)));
        assert_eq!(app.stored(message).await.state, SendState::Expired);
    }
    let stats = app.finish().await;
    assert_eq!(stats.sends_received, 0);
}

async fn a_template_on_hold_keeps_its_messages_back_and_no_others(database: Database) {
    let app = TestApp::start(database).await;
    app.command(&["hold", "--template", "product_tour", "--number", BUSINESS_NUMBER]).await;
    until_rules(&app, 1).await;
    let (held, other) = (Message::marketing(&person(1)), Message::order_update(&person(2)));

    app.accept_all(&[held.clone(), other.clone()]).await;
    app.until("the other one is told", async || app.told(&other) == ALL).await;
    assert_eq!(app.open_messages().await, 1);
    let story = app.command(&["message", held.msg_id()]).await;
    assert!(story.contains("its template is on hold") && story.contains("wabridge release --"), "{story}");
    app.command(&["release", "--template", "product_tour"]).await;
    app.settled().await;

    assert_eq!(app.told(&held), ALL);
    let stats = app.finish().await;
    assert_eq!(stats.sends_received, 2);
}

async fn a_walk_through_the_queues_sees_each_message_once_whatever_its_steps(database: Database) {
    let app = TestApp::start(database).await;
    hold_number(&app).await;
    app.command(&["queue", "pause", "--campaign", CAMPAIGN]).await;
    until_rules(&app, 1).await;
    let mut messages = campaign(CAMPAIGN, 0, 23);
    messages.extend(campaign("1792222222", 100, 17));
    messages.extend((200..219).map(|number| Message::order_update(&person(number))));
    app.accept_all(&messages).await;
    let sender: SenderKey = app.store.load_configuration().await.expect("readable").senders[0].key;

    for step in [1, 5, 17, 1_000] {
        let mut seen = Vec::new();
        let mut place = Some(QueuePlace::START);
        while let Some(from) = place {
            let (slice, next) = app.store.waiting_slice(sender, from, step).await.expect("readable");
            seen.extend(slice.iter().map(|message| message.id));
            place = next;
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), messages.len(), "in steps of {step}");
    }
    app.leave().await;
}

on_each_database![
    a_paused_campaign_waits_and_the_rest_of_the_queue_goes_on,
    a_pause_that_comes_in_the_middle_stops_what_was_read_ahead,
    a_cancelled_campaign_is_never_sent_and_reported_with_its_reason,
    what_an_owner_has_read_ahead_does_not_go_out_after_it_was_cancelled,
    what_arrives_of_a_cancelled_campaign_is_cancelled_too_if_that_is_wanted,
    messages_expire_while_they_are_paused,
    a_template_on_hold_keeps_its_messages_back_and_no_others,
    a_walk_through_the_queues_sees_each_message_once_whatever_its_steps,
];
