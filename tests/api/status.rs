//! How things stand, for people, for programs and for monitoring.

use serde_json::Value;

use wabridge::simulator::{CallbackRule, Effect, Endpoint, Rule};

use crate::harness::{BUSINESS_NUMBER, CONNECTION, Database, Message, TestApp, on_each_database, person};

async fn a_program_reads_what_a_person_reads(database: Database) {
    let app = TestApp::start(database).await;
    app.accept(&Message::order_update(&person(1))).await;
    app.settled().await;

    let (paused_code, paused) = app.command_ending(&["status", "--exit-code"]).await;
    app.simulator.set_template_status("winback", "en", "APPROVED").expect("it is in the sample");
    app.until("the template may be sent again", async || !app.command(&["status"]).await.contains("PAUSED")).await;
    let (code, printed) = app.command_ending(&["status", "--json", "--exit-code"]).await;
    let well: Value = serde_json::from_str(&printed).expect("JSON");
    app.command(&["hold", BUSINESS_NUMBER, "--reason", "the price list is wrong"]).await;
    app.until_held().await;
    app.accept(&Message::order_update(&person(2))).await;
    let (held_code, held) = app.command_ending(&["status", "--json", "--exit-code"]).await;
    let held: Value = serde_json::from_str(&held).expect("JSON");
    let text = app.command(&["status"]).await;
    app.command(&["release", BUSINESS_NUMBER]).await;

    assert_eq!(paused_code, 4, "{paused}");
    assert!(
        paused.contains(&format!("WhatsApp paused templates of number {BUSINESS_NUMBER}: winback (en)")),
        "{paused}"
    );
    assert_eq!(code, 0, "{printed}");
    assert_eq!(well["needs_attention"], serde_json::json!([]));
    let number = &well["numbers"][0];
    assert_eq!((number["number"].as_str(), number["account"].as_str()), (Some(BUSINESS_NUMBER), Some("acme")));
    assert_eq!((number["queued"].as_i64(), number["owner"].as_str()), (Some(0), Some("test")));
    assert!(number["templates"]["count"].as_u64().is_some_and(|count| count > 0));
    let kinds: Vec<&str> =
        well["callback_urls"].as_array().expect("a list").iter().filter_map(|url| url["kind"].as_str()).collect();
    assert_eq!(kinds, ["status", "inbound"]);
    assert_eq!(held_code, 4, "a person must look");
    assert_eq!(held["numbers"][0]["hold"]["reason"], "the price list is wrong");
    assert_eq!(held["numbers"][0]["queued"].as_i64(), Some(1));
    assert!(held["needs_attention"][0].as_str().is_some_and(|what| what.contains("on hold")), "{held}");
    assert!(text.contains("ON HOLD") && text.contains("the price list is wrong"), "{text}");
    app.finish().await;
}

async fn a_dead_callback_is_named_with_its_message_and_reason(database: Database) {
    let app = TestApp::start(database).await;
    let message = Message::order_update(&person(1));
    app.simulator.add_callback_rule(CallbackRule {
        answer_status: 400,
        endpoint: Some(Endpoint::DeliveryReports),
        ..CallbackRule::default()
    });
    app.accept(&message).await;
    app.settled().await;

    let (code, printed) = app.command_ending(&["status", "--json", "--exit-code"]).await;
    let report: Value = serde_json::from_str(&printed).expect("JSON");
    let text = app.command(&["status"]).await;
    let story = app.command(&["message", message.msg_id()]).await;

    assert_eq!(code, 4, "{printed}");
    assert!(report["needs_attention"].to_string().contains("3 dead events"), "{printed}");
    let newest = &report["callback_urls"][0]["newest_dead"][0];
    assert_eq!(newest["platform_message_id"], message.msg_id());
    assert!(newest["reason"].as_str().is_some_and(|reason| reason.contains("HTTP 400")), "{printed}");
    assert!(text.contains("dead since") && text.contains(message.msg_id()), "{text}");
    assert!(story.contains("offered to the delivery report URL") && story.contains("HTTP 400 after "), "{story}");
    assert!(story.contains("dead at the delivery report URL: for that reason"), "{story}");
    assert!(story.lines().all(|line| line == line.trim_end()), "{story}");
    app.finish().await;
}

async fn a_callback_url_that_fails_is_not_said_to_work(database: Database) {
    let app = TestApp::start(database).await;
    let message = Message::order_update(&person(1));
    app.simulator.add_callback_rule(CallbackRule {
        answer_status: 503,
        endpoint: Some(Endpoint::DeliveryReports),
        ..CallbackRule::default()
    });
    app.accept(&message).await;
    let mut text = String::new();
    app.until("it fails", async || {
        text = app.command(&["status"]).await;
        text.contains("failing for ")
    })
    .await;
    app.simulator.set_callback_rules(vec![]);
    app.settled().await;

    assert!(text.contains("delivery reports of acme: FAILING\n"), "{text}");
    assert!(text.contains("inbound messages of acme: not on hold\n"), "{text}");
    app.finish().await;
}

async fn whoever_is_held_twice_has_the_second_reason(database: Database) {
    let app = TestApp::start(database).await;
    app.command(&["hold", CONNECTION, "--reason", "the invoice"]).await;
    let again = app.command(&["hold", CONNECTION, "--reason", "the bank"]).await;
    app.until("the hold is noticed", async || {
        app.directory().snapshot().senders().any(|sender| sender.connection.hold.is_some())
    })
    .await;
    let message = Message::order_update(&person(1));
    app.accept(&message).await;

    let status = app.command(&["status"]).await;
    let story = app.command(&["message", message.msg_id()]).await;
    let (code, refusal) = app.command_ending(&["hold", "1"]).await;
    app.command(&["release", CONNECTION]).await;

    assert!(again.contains("on hold already") && again.contains("the invoice"), "{again}");
    assert!(status.contains("the bank") && status.contains("(its connection is on hold)"), "{status}");
    let why = format!("waits: connection {CONNECTION} is on hold for ");
    assert!(story.contains(&why) && story.contains(&format!("the bank; `wabridge release {CONNECTION}`")), "{story}");
    assert_eq!(code, 2, "a callback URL cannot be held: {refusal}");
    app.finish().await;
}

async fn a_paused_message_says_what_lets_it_go_on(database: Database) {
    let app = TestApp::start(database).await;
    app.command(&["queue", "pause", "--template", "order_update", "--reason", "typing error"]).await;
    app.until("the rule is known", async || app.directory().queue_rules().0.len() == 1).await;
    let message = Message::order_update(&person(1));
    app.accept(&message).await;

    let story = app.command(&["message", message.msg_id()]).await;
    let printed = app.command(&["message", message.msg_id(), "--json"]).await;
    app.command(&["release", "--template", "order_update"]).await;
    app.settled().await;
    let sent = app.command(&["message", message.msg_id()]).await;

    assert!(story.contains("typing error; `wabridge release --template order_update`"), "{story}");
    let read: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(read["messages"][0]["waits"].as_array().map(Vec::len), Some(1), "{printed}");
    assert!(!sent.contains("waits:"), "{sent}");
    let at = |what: &str| sent.find(what).unwrap_or_else(|| panic!("{what} is not in {sent}"));
    assert!(at("accepted;") < at("sent (try 1), answered after") && at("sent (try 1)") < at("  delivered"), "{sent}");
    let kept_back = "its template was put on hold: typing error";
    assert!(
        at("accepted;") < at(kept_back) && at(kept_back) < at("  resumed") && at("  resumed") < at("sent (try 1)"),
        "{sent}"
    );
    app.command(&["queue", "pause", "--template", "order_update", "--reason", "too late for it"]).await;
    let later = app.command(&["message", message.msg_id()]).await;
    assert!(!later.contains("too late for it"), "what was paused after it had left is not its story: {later}");
    app.finish().await;
}

async fn a_try_without_an_answer_is_one_line(database: Database) {
    let app = TestApp::start(database).await;
    let message = Message::order_update(&person(12));
    app.simulator.add_rule(Rule::everybody(Effect::LoseAnswer));
    app.accept(&message).await;
    app.settled().await;

    let story = app.command(&["message", message.msg_id()]).await;

    assert_eq!(story.matches("try 1").count(), 1, "{story}");
    assert!(!story.contains("answered after") && story.contains("taken as wamid."), "{story}");
    app.finish().await;
}

on_each_database![
    a_program_reads_what_a_person_reads,
    a_dead_callback_is_named_with_its_message_and_reason,
    a_callback_url_that_fails_is_not_said_to_work,
    whoever_is_held_twice_has_the_second_reason,
    a_paused_message_says_what_lets_it_go_on,
    a_try_without_an_answer_is_one_line,
];
