//! What a message costs the database. It may not rise unnoticed.

use wabridge::simulator::PersonIds;

use crate::harness::{Database, Message, TestApp, on_each_database, person};

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

on_each_database![a_message_with_three_statuses_keeps_to_its_budget_of_rows];
