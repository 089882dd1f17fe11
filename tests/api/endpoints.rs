//! By which endpoint a template goes, and what one person may be sent.

use std::time::{Duration, Instant};

use serde_json::json;
use wabridge::simulator::{Effect, Refusal, Rule};

use crate::harness::{ACCOUNT, CONNECTION, Database, Message, TestApp, on_each_database, person};

const ALL: [&str; 3] = ["sent", "delivered", "read"];

async fn a_campaign_that_must_go_by_the_other_endpoint_learns_it_once(database: Database) {
    let app = TestApp::start(database).await;
    app.simulator.change_knobs(|knobs| knobs.messages_refuse_marketing = Some(131063)).expect("valid knobs");
    let first = Message::marketing(&person(0));
    let campaign: Vec<Message> = (1..101).map(|number| Message::marketing(&person(number))).collect();
    let other = Message::order_update(&person(200));

    app.accept(&first).await;
    app.settled().await;
    app.accept_all(&campaign).await;
    app.accept(&other).await;
    app.settled().await;

    for message in campaign.iter().chain([&first, &other]) {
        assert_eq!(app.told(message), ALL);
    }
    let stats = app.finish().await;
    assert_eq!(stats.sends_refused["131063"], 1, "only the first had to ask twice");
    assert_eq!(stats.sends_received, 103);
}

async fn a_template_whose_category_changed_goes_by_the_ordinary_endpoint(database: Database) {
    let app = TestApp::start(database).await;
    app.apply(&format!(
        "[[connections]]\nid = \"{CONNECTION}\"\nprovider = \"meta\"\nbase_url = \"{{simulator}}\"\n\
         access_token = \"simulator-access-token\"\napp_secret = \"simulator-app-secret\"\nverify_token = \"verify-me\"\n\
         marketing_endpoint = \"marketing_messages\""
    ))
    .await;
    app.until("the setting is noticed", async || {
        let snapshot = app.directory().snapshot();
        snapshot.senders().all(|sender| sender.connection.setting("marketing_endpoint") == "marketing_messages")
    })
    .await;
    let mut templates = app.simulator.templates();
    let tour = templates.iter_mut().find(|template| template["name"] == "product_tour").expect("it is in the sample");
    tour["category"] = json!("UTILITY");
    app.simulator.set_templates(templates).expect("templates of Meta's shape");
    let first = Message::marketing(&person(0));
    let campaign: Vec<Message> = (1..51).map(|number| Message::marketing(&person(number))).collect();

    app.accept(&first).await;
    app.settled().await;
    app.accept_all(&campaign).await;
    app.settled().await;

    for message in campaign.iter().chain([&first]) {
        assert_eq!(app.told(message), ALL);
    }
    let stats = app.finish().await;
    assert_eq!(stats.sends_refused["134100"], 1, "{ACCOUNT} asked more than once");
}

async fn a_template_that_both_endpoints_refuse_has_failed(database: Database) {
    let app = TestApp::start(database).await;
    app.simulator.add_rule(Rule::everybody(Effect::Refuse(Refusal::code(131061))));
    let message = Message::marketing(&person(1));

    app.accept(&message).await;
    app.settled().await;

    assert_eq!((app.told(&message), app.told_failure(&message)), (vec!["failed".to_owned()], Some(1001)));
    let stats = app.finish().await;
    assert_eq!(stats.sends_received, 2, "once by each endpoint");
}

async fn a_template_that_the_marketing_endpoint_does_not_know_yet_waits_and_no_other(database: Database) {
    let app = TestApp::start_with(database, |options| options.messages_per_second = 20).await;
    let syncing = Effect::Refuse(Refusal::code(134101));
    app.simulator.add_rule(Rule { template: Some("product_tour".to_owned()), ..Rule::everybody(syncing) });
    let campaign: Vec<Message> = (0..60).map(|number| Message::marketing(&person(number))).collect();
    let in_ten_minutes = wabridge::clock::now().plus(Duration::from_secs(9 * 60));
    let waits =
        async |message: &Message| app.stored(message).await.due_at.is_some_and(|due_at| due_at > in_ten_minutes);
    // However slow the answer is, the others come after it.
    app.accept(&campaign[0]).await;
    app.until("the first waits for later", async || waits(&campaign[0]).await).await;
    app.accept_all(&campaign[1..]).await;

    app.until("all of the campaign wait for later", async || {
        let mut later = 0;
        for message in &campaign {
            later += usize::from(waits(message).await);
        }
        later == campaign.len()
    })
    .await;
    let other = Message::order_update(&person(100));
    app.accept(&other).await;
    app.until("another template is told", async || app.told(&other) == ALL).await;

    let refused = app.simulator.stats().sends_refused["134101"];
    assert!(refused < 20, "{refused} messages were tried although the first was told to wait");
    app.leave().await;
}

async fn a_person_who_gets_too_many_waits_alone(database: Database) {
    let app = TestApp::start(database).await;
    let too_many = || Effect::Refuse(Refusal::code(131056));
    app.simulator.add_rule(Rule { next: Some(2), ..Rule::recipient(&person(0), too_many()) });
    // So that somebody waits however long the others take.
    app.simulator.add_rule(Rule::recipient(&person(1), too_many()));
    let messages: Vec<Message> = (0..40).map(|number| Message::order_update(&person(number))).collect();
    let started = Instant::now();

    app.accept_all(&messages).await;
    app.until("the others are told", async || messages[2..].iter().all(|message| app.told(message) == ALL)).await;
    assert!(app.told(&messages[1]).is_empty(), "it waits a second, then four, then sixteen");
    app.until("the first is told", async || app.told(&messages[0]) == ALL).await;

    assert!(started.elapsed() >= Duration::from_secs(5), "it came after {:?}", started.elapsed());
    let refused = app.simulator.sends(Some(&person(0))).iter().filter(|send| send.wamid.is_none()).count();
    assert_eq!(refused, 2);
    let (_, metrics) = app.get("/metrics").await;
    let pair = metrics.lines().find(|line| line.starts_with(r#"wabridge_sends_total{outcome="slow",scope="pair"}"#));
    assert!(pair.is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
    app.leave().await;
}

async fn a_person_is_not_sent_more_at_once_than_whatsapp_allows(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.simulator.knobs.pair_limit = true;
        // Longer than any machine takes for this.
        options.settings.send.pair_refill = Duration::from_secs(600);
    })
    .await;
    let messages: Vec<Message> =
        (0..45).map(|number| Message::freeform(&person(0), &format!("line {number}"))).collect();

    app.accept_all(&messages).await;
    app.until_counted("the bucket is empty", |stats| stats.sends_accepted >= 40).await;
    app.until("the rest waits", async || {
        let mut waiting = 0;
        for message in &messages {
            waiting += usize::from(app.stored(message).await.due_at.is_some());
        }
        waiting >= 4
    })
    .await;

    let stats = app.simulator.stats();
    assert!(!stats.sends_refused.contains_key("131056"), "{:?}", stats.sends_refused);
    assert!(stats.sends_accepted <= 41, "40 at once and one in ten minutes, not {}", stats.sends_accepted);
    app.leave().await;
}

on_each_database![
    a_campaign_that_must_go_by_the_other_endpoint_learns_it_once,
    a_template_whose_category_changed_goes_by_the_ordinary_endpoint,
    a_template_that_both_endpoints_refuse_has_failed,
    a_template_that_the_marketing_endpoint_does_not_know_yet_waits_and_no_other,
    a_person_who_gets_too_many_waits_alone,
    a_person_is_not_sent_more_at_once_than_whatsapp_allows,
];
