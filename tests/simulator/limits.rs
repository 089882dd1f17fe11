//! How often, to whom, and how many.

use serde_json::json;
use wabridge::simulator::{Event, SimulatorSettings};

use crate::harness::*;

#[tokio::test]
async fn throttles_come_with_the_http_status_that_is_wanted() {
    let settings = SimulatorSettings { senders: vec![sender(SENDER, Some(1))], ..SimulatorSettings::default() };
    let world = TestWorld::start(settings).await;
    let message = order_update(PERSON, "msg");
    // Every second of a slow machine allows for one more.
    let twenty = async || {
        let answers = futures_util::future::join_all((0..20).map(|_| world.send(&message))).await;
        answers.into_iter().find(|answer| answer.code() == 130429).map(|answer| answer.status)
    };

    assert_eq!(twenty().await, Some(429));
    world.handle.change_knobs(|knobs| knobs.throttle_http_status = Some(400)).expect("valid knobs");
    assert_eq!(twenty().await, Some(400));
}

#[tokio::test]
async fn what_people_write_takes_from_the_same_allowance() {
    let settings = SimulatorSettings { senders: vec![sender(SENDER, Some(3))], ..SimulatorSettings::default() };
    let world = TestWorld::start(settings).await;

    for _ in 0..3 {
        world.handle.inbound_text(PERSON, SENDER, "hi", None).expect("the number exists");
    }
    assert_eq!(world.send(&order_update(PERSON, "msg")).await.code(), 130429);
}

#[tokio::test]
async fn one_person_gets_45_messages_at_once() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    world.handle.change_knobs(|knobs| knobs.pair_limit = true).expect("valid knobs");

    let message = order_update(PERSON, "msg");
    let answers = futures_util::future::join_all((0..47).map(|_| world.send(&message))).await;

    let refused = answers.iter().filter(|answer| answer.code() == 131056).count();
    // Every six seconds of a slow machine allow for one more.
    assert!((1..=2).contains(&refused), "{refused} were refused");
    assert_eq!(world.send(&order_update("+919876512346", "msg")).await.status, 200, "another person");
}

#[tokio::test]
async fn an_app_and_an_account_can_have_made_too_many_calls() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    let message = order_update(PERSON, "msg");
    let templates = format!("{WABA}/message_templates");

    world.handle.change_knobs(|knobs| knobs.waba_throttled = true).expect("valid knobs");
    assert_eq!(world.send(&message).await.code(), 80007);
    world.handle.change_knobs(|knobs| knobs.app_throttled = true).expect("valid knobs");
    assert_eq!(world.graph("GET", &templates, None).await.code(), 4);
    world
        .handle
        .change_knobs(|knobs| {
            (knobs.app_throttled, knobs.waba_throttled, knobs.management_calls_per_hour) = (false, false, 2);
        })
        .expect("valid knobs");
    let codes = [
        world.graph("GET", &templates, None).await.code(),
        world.graph("GET", SENDER, None).await.code(),
        world.graph("GET", &templates, None).await.code(),
    ];
    assert_eq!(codes, [0, 0, 80007]);
    assert_eq!(world.send(&message).await.status, 200, "sends have limits of their own");
}

#[tokio::test]
async fn a_messaging_limit_counts_new_people() {
    let world = TestWorld::start(SimulatorSettings::default()).await;
    world
        .handle
        .change_knobs(|knobs| {
            knobs.enforce_messaging_limit = true;
            knobs.messages_per_second = 0;
        })
        .expect("valid knobs");
    world.handle.happen(&Event::MessagingLimit { tier: "TIER_50".into() }).expect("a tier");
    let to = |person: usize| order_update(&format!("+9198765123{person:02}"), "msg");

    for person in 0..50 {
        assert_eq!(world.send(&to(person)).await.status, 200);
    }
    assert_eq!(world.send(&to(50)).await.code(), 131048);
    assert_eq!(world.send(&to(7)).await.status, 200, "somebody who had a message already");
    world.handle.inbound_text("+919876512351", SENDER, "hi", None).expect("every number exists");
    assert_eq!(world.send(&to(51)).await.status, 200, "somebody who wrote first");
}

#[tokio::test]
async fn a_number_that_gets_faster_is_closed_for_a_moment() {
    let settings = SimulatorSettings { senders: vec![sender(SENDER, Some(1))], ..SimulatorSettings::default() };
    let world = TestWorld::start(settings).await;
    let upgrade = |maintenance_ms| Event::ThroughputUpgrade {
        phone_number_id: SENDER.to_owned(),
        messages_per_second: 1_000,
        maintenance_ms,
    };

    world.handle.happen(&upgrade(600_000)).expect("the number exists");
    let closed = world.send(&order_update(PERSON, "msg")).await;
    assert_eq!((closed.status, closed.code()), (500, 131057));
    assert_eq!(world.handle.stats().updates_waiting, 1, "it is told when it is over");

    world.handle.happen(&upgrade(0)).expect("the number exists");
    world.until(|stats| stats.webhooks_taken == 1).await;
    assert_eq!(world.receiver.changes()[0]["value"]["event"], "THROUGHPUT_UPGRADE");
    let message = order_update(PERSON, "msg");
    let answers = futures_util::future::join_all((0..5).map(|_| world.send(&message))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let node = world.graph("GET", &format!("{SENDER}?fields=throughput"), None).await.body;
    assert_eq!(node["throughput"], json!({"level": "HIGH"}));
}

#[tokio::test]
async fn marketing_can_be_sent_to_the_other_endpoint() {
    let world = TestWorld::start(one_webhook_at_a_time()).await;
    let header = json!([{"type": "header", "parameters": [{"type": "video", "video": {"link": "https://media.example/a.mp4"}}]}]);
    let tour = template(PERSON, "msg", "product_tour", "en", header);
    let order = order_update(PERSON, "msg");
    let post = async |endpoint: &str, body| world.post_as(SENDER, endpoint, body, TOKEN).await.expect("an answer");

    assert_eq!(post("marketing_messages", &tour).await.status, 200);
    assert_eq!(post("marketing_messages", &order).await.code(), 134100);
    world.until(|stats| stats.updates_waiting == 0).await;
    assert_eq!(world.receiver.statuses()[0]["pricing"]["category"], "marketing_lite");

    world
        .handle
        .change_knobs(|knobs| {
            knobs.messages_refuse_marketing = Some(131063);
            knobs.non_marketing_code = 131055;
        })
        .expect("valid knobs");
    assert_eq!(post("messages", &tour).await.code(), 131063);
    assert_eq!(post("messages", &order).await.status, 200);
    assert_eq!(post("marketing_messages", &order).await.code(), 131055);
    world.handle.change_knobs(|knobs| knobs.marketing_messages_refuse = Some(134101)).expect("valid knobs");
    assert_eq!(post("marketing_messages", &tour).await.code(), 134101);
    let mut unclear = order.clone();
    unclear["product_policy"] = json!("SOMETIMES");
    assert_eq!(post("messages", &unclear).await.code(), 100);
}
