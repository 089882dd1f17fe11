//! What a message costs the database. It may not rise unnoticed.

use reqwest::Method;
use serde_json::json;
use wabridge::simulator::PersonIds;

use crate::harness::{Database, Message, Receiver, TestApp, on_each_database, person};

/// Rows written for a message with three statuses, its callbacks included.
const ROWS_PER_MESSAGE_MAX: f64 = 12.0;
/// A statement carries many rows when there is much to do; a slow machine in a debug build does less at once.
const STATEMENTS_PER_MESSAGE_MAX: f64 = 12.0;
const MESSAGES: usize = 600;

async fn a_message_with_three_statuses_keeps_to_its_budget_of_rows(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.as_process = true;
        options.alone = true;
        // As WhatsApp has it since 2026: every webhook names the person by number and by id.
        options.simulator.knobs.person_ids = PersonIds::Both;
        options.simulator.knobs.status_contacts = true;
    })
    .await;
    let messages: Vec<Message> = (0..MESSAGES).map(|number| Message::order_update(&person(number))).collect();
    let before = written(&app).await;

    app.accept_all(&messages).await;
    let stats = app.settled().await;
    let after = written(&app).await;

    assert_eq!(stats.clevertap.messages["read"], MESSAGES as u64);
    let per_message = |(after, before): (f64, f64)| (after - before) / MESSAGES as f64;
    let (rows, statements) = (per_message((after.0, before.0)), per_message((after.1, before.1)));
    assert!(rows <= ROWS_PER_MESSAGE_MAX, "{rows:.1} rows written for a message");
    assert!(statements <= STATEMENTS_PER_MESSAGE_MAX, "{statements:.1} statements for a message");
    app.finish().await;
}

/// The row of the request, and moves of the cursor.
const ROWS_PER_TOLD_EVENT_MAX: f64 = 2.5;
const STATEMENTS_PER_TOLD_EVENT_MAX: f64 = 2.5;
const TOLD_MESSAGES: usize = 200;

async fn what_a_webhook_is_told_keeps_to_its_budget_whatever_it_answers(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.as_process = true;
        options.alone = true;
    })
    .await;
    let receiver = Receiver::start().await;
    receiver.answer_always(200);
    let measure = async |told: bool| {
        let earlier = receiver.requests().len();
        let before = written(&app).await;
        let people = |number| Message::order_update(&person(number));
        app.accept_all(&(0..TOLD_MESSAGES).map(people).collect::<Vec<_>>()).await;
        let come = earlier + if told { TOLD_MESSAGES } else { 0 };
        app.until("all is told", async || receiver.requests().len() >= come).await;
        app.settled().await;
        let after = written(&app).await;
        ((after.0 - before.0) / TOLD_MESSAGES as f64, (after.1 - before.1) / TOLD_MESSAGES as f64)
    };

    let without = measure(false).await;
    let token = app.first_owner().await.make_token(&["configuration:manage", "messages:read"]).await;
    let body =
        json!({"name": "crm", "settings": {"url": format!("{}/hook", receiver.url), "events": ["message.read"]}});
    let made = app.call(Method::POST, "/api/v1/webhooks", &token, Some(body)).await;
    assert_eq!(made.http_status, 201, "{made:?}");
    let silent = measure(true).await;
    receiver.answer_with(&[("server", "nginx"), ("x-request-id", "8d1f")], &"{\"queued\":true}".repeat(20));
    let talking = measure(true).await;

    for (what, told) in [("nothing", silent), ("a text", talking)] {
        let (rows, statements) = (told.0 - without.0, told.1 - without.1);
        assert!(rows <= ROWS_PER_TOLD_EVENT_MAX, "{rows:.2} rows for an event that is told, answered with {what}");
        assert!(statements <= STATEMENTS_PER_TOLD_EVENT_MAX, "{statements:.2} statements for it, answered with {what}");
    }
    app.finish().await;
}

/// Rows written, and statements, since the start.
async fn written(app: &TestApp) -> (f64, f64) {
    let (_, metrics) = app.get("/metrics").await;
    let read = |name: &str| {
        let line =
            metrics.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}:\n{metrics}"));
        line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a metric is a number")
    };
    (read("wabridge_store_rows_written_total "), read("wabridge_store_statements_total "))
}

on_each_database![
    a_message_with_three_statuses_keeps_to_its_budget_of_rows,
    what_a_webhook_is_told_keeps_to_its_budget_whatever_it_answers,
];
