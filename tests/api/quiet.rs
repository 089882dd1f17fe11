//! Hours in which marketing waits.

use std::time::Duration;

use serde_json::Value;
use wabridge::{
    clock,
    simulator::{Effect, Refusal, Rule},
};

use crate::harness::{ACCOUNT, Database, Message, TestApp, on_each_database, person};

const ALL: [&str; 3] = ["sent", "delivered", "read"];

/// A window in UTC that begins so many hours from now and lasts for three.
pub(crate) fn window(begins_in_hours: i64) -> String {
    let time = |hours: i64| {
        let minutes = clock::now().as_seconds() / 60 + hours * 60;
        format!("{:02}:{:02}", minutes.div_euclid(60).rem_euclid(24), minutes.rem_euclid(60))
    };
    format!("quiet_hours = {{ from = \"{}\", to = \"{}\" }}", time(begins_in_hours), time(begins_in_hours + 3))
}

async fn marketing_waits_for_the_end_of_quiet_hours_and_nothing_else_does(database: Database) {
    let app = TestApp::start_with(database, |options| options.account = window(-1)).await;
    let (marketing, utility) = (Message::marketing(&person(1)), Message::order_update(&person(1)));
    app.until("it is quiet", async || app.command(&["status"]).await.contains("QUIET now")).await;

    app.accept(&marketing).await;
    app.accept(&utility).await;
    app.until("the other is told", async || app.told(&utility) == ALL).await;
    let waiting = app.stored(&marketing).await;
    let list = app.command(&["queue", "list"]).await;
    assert!(list.contains("waits for the end of quiet hours at 2"), "{list}");
    let list: Value = serde_json::from_str(&app.command(&["queue", "list", "--json"]).await).expect("it is JSON");
    let until = list["numbers"][0]["groups"][0]["quiet_until"].as_str().unwrap_or_default();
    assert!(until.ends_with(":00.000Z"), "{list:#}");
    let story = app.command(&["message", marketing.msg_id()]).await;
    let (_, waits) = story.split_once("waits: for the end of quiet hours at ").expect("it says what it waits for");
    let until = format!("{}Z", until.trim_end_matches(".000Z"));
    assert_eq!(waits.lines().next(), Some(until.as_str()), "one time, and the same as for programs");
    app.apply(&account_with(&window(6))).await;
    app.settled().await;

    assert_eq!((waiting.state.as_str(), waiting.due_at, waiting.attempts), ("queued", None, 0), "nothing was written");
    assert_eq!(app.told(&marketing), ALL);
    app.finish().await;
}

async fn a_message_expires_also_in_quiet_hours(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.account = format!("{}\nexpire_after = {{ marketing = \"2s\" }}", window(-1));
    })
    .await;
    let marketing = Message::marketing(&person(1));
    let checked = app.command_ending(&["check", "--offline"]).await.1;
    assert!(checked.contains("quiet hours last 3h") && checked.contains("expire after 2s"), "{checked}");

    app.accept(&marketing).await;
    let (story, list) = (app.command(&["message", marketing.msg_id()]).await, app.command(&["queue", "list"]).await);
    // It may be over before anybody looks.
    if story.contains("waits:") {
        assert!(story.contains("it expires before that"), "{story}");
    }
    assert!(!list.contains("quiet hours") || list.contains("expires before that"), "{list}");
    app.until("it is told", async || app.told(&marketing) == ["failed"]).await;

    assert_eq!(app.told_failure(&marketing), Some(1009));
    let stats = app.finish().await;
    assert_eq!(stats.sends_received, 0);
}

async fn a_queue_that_waits_holds_up_no_retry_of_another_kind(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.settings.limits.read_ahead_messages = 3;
        options.settings.send.retry_waits = vec![Duration::from_secs(2)];
    })
    .await;
    // More retries of marketing come due than are read at once.
    let refused = |rule: Rule| Rule { effect: Effect::Refuse(Refusal::code(131_000)), ..rule };
    app.simulator
        .add_rule(refused(Rule { template: Some("product_tour".to_owned()), ..Rule::everybody(Effect::Hold) }));
    app.simulator.add_rule(refused(Rule { next: Some(1), ..Rule::recipient(&person(30), Effect::Hold) }));
    let waiting: Vec<Message> = (0..20).map(|number| Message::marketing(&person(number))).collect();
    app.accept_all(&waiting).await;
    app.until_counted("all were refused", |stats| stats.sends_received >= 20).await;
    app.apply(&account_with(&window(-1))).await;
    app.until("it is quiet", async || {
        let snapshot = app.directory().snapshot();
        snapshot.accounts().any(|account| account.policy.quiet_hours.is_some())
    })
    .await;
    let utility = Message::order_update(&person(30));

    app.accept(&utility).await;
    app.until("it is told after a second try", async || app.told(&utility) == ALL).await;

    assert_eq!(app.simulator.sends(Some(&person(30))).len(), 2);
    app.leave().await;
}

/// The account as the harness makes it, with one more line.
pub(crate) fn account_with(line: &str) -> String {
    format!(
        "[[accounts]]\nid = \"{ACCOUNT}\"\nplatform = \"clevertap\"\nclevertap_account_id = \"TEST-ACC-1\"\n\
         clevertap_passcode = \"acme-passcode\"\ndefault_country = \"IN\"\n\
         delivery_report_callback_url = \"{{simulator}}/clevertap/delivery-reports/{ACCOUNT}\"\n\
         inbound_message_callback_url = \"{{simulator}}/clevertap/inbound/{ACCOUNT}\"\n{line}"
    )
}

on_each_database![
    marketing_waits_for_the_end_of_quiet_hours_and_nothing_else_does,
    a_message_expires_also_in_quiet_hours,
    a_queue_that_waits_holds_up_no_retry_of_another_kind,
];
