//! Messages and campaigns for spreadsheets and other programs.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wabridge::simulator::{Effect, Rule};

use crate::harness::{Database, Message, NUMBER_ID, TestApp, on_each_database, one_webhook_at_a_time, person, script};

/// Rows of a CSV by the names of their columns.
fn rows(printed: &str) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_reader(printed.as_bytes());
    let names = reader.headers().expect("there is a header").clone();
    let read = |record: csv::StringRecord| {
        names.iter().zip(record.iter()).map(|(name, cell)| (name.to_owned(), cell.to_owned())).collect()
    };
    reader.records().map(|record| read(record.expect("every row has every column"))).collect()
}

async fn with_a_campaign(database: Database) -> TestApp {
    let app = TestApp::start_with(database, one_webhook_at_a_time).await;
    app.simulator.add_rule(Rule::recipient(&person(2), Effect::Statuses(script("sent@0,failed:131026@20"))));
    app.simulator.add_rule(Rule::recipient(&person(3), Effect::Statuses(script("sent@0"))));
    let custom = json!({"type": "customProps", "customProps": [{"order": "=A-17"}]});
    app.accept(&Message::order_update(&person(1)).id("1|1790000000|20261120|1|0").part(custom)).await;
    app.accept(&Message::order_update(&person(2)).id("2|1790000000|20261120|2|0")).await;
    app.accept(&Message::order_update(&person(3)).id("3|1790000000|20261121|3|1")).await;
    app.accept(&Message::freeform(&person(4), "hello").id("4|1790000001|20261121|4")).await;
    app.accept(&Message::order_update(&person(5)).id("0|0|0|0")).await;
    app.settled().await;
    let first = app.simulator.sends(Some(&person(1))).remove(0);
    let quoted = first.wamid.as_deref().expect("it was taken");
    app.simulator.inbound_text(&person(1), NUMBER_ID, "thank you", Some(quoted)).expect("the number exists");
    app.until_counted("the reply is told", |stats| stats.clevertap.inbound.contains_key("text")).await;
    app
}

async fn every_message_is_a_row_with_its_story(database: Database) {
    let app = with_a_campaign(database).await;

    let all = rows(&app.command(&["export", "messages"]).await);
    let full = app.command(&["export", "messages", "--full", "--campaign", "1790000000", "--json"]).await;
    let failed = rows(&app.command(&["export", "messages", "--state", "failed", "--account", "acme"]).await);
    let (code, none) = app.command_ending(&["export", "messages", "--until", "1h"]).await;

    assert_eq!(all.len(), 5);
    let one = &all[0];
    assert_eq!(
        (one["campaign"].as_str(), one["batch"].as_str(), one["variant"].as_str()),
        ("1790000000", "20261120", "0")
    );
    assert_eq!((one["state"].as_str(), one["delivery"].as_str(), one["replies"].as_str()), ("submitted", "read", "1"));
    assert_eq!(one["recipient"].len(), 12);
    assert!(one["recipient"].contains('*'), "{}", one["recipient"]);
    assert_eq!(one["custom"], r#"{"order":"=A-17"}"#);
    for time in ["accepted_at", "submitted_at", "sent_at", "delivered_at", "read_at"] {
        assert!(one[time].ends_with('Z'), "{time}: {}", one[time]);
    }
    assert_eq!(all[4]["campaign"], "", "a test belongs to no campaign");
    let lines: Vec<Value> = full.lines().map(|line| serde_json::from_str(line).expect("JSON in each line")).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["recipient"], person(1).trim_start_matches('+'));
    assert_eq!(lines[0]["custom"], json!({"order": "=A-17"}));
    assert_eq!(failed.len(), 1);
    assert_eq!((failed[0]["failure_code"].as_str(), failed[0]["platform_code"].as_str()), ("131026", "1005"));
    assert_eq!((code, rows(&none).len()), (3, 0), "nothing matches, and the header is there: {none}");
    app.finish().await;
}

async fn a_campaign_is_a_row_for_each_of_its_runs(database: Database) {
    let app = with_a_campaign(database).await;
    let file = app.path("campaigns.csv");
    let name = file.display().to_string();

    app.command(&["export", "campaigns", "--output", &name]).await;
    let (code, _) = app.command_ending(&["export", "campaigns", "--output", &name]).await;
    let rows = rows(&std::fs::read_to_string(&file).expect("it was written"));

    assert_eq!(code, 1, "a file is never written over");
    let told: Vec<[&str; 8]> = rows
        .iter()
        .map(|row| {
            ["campaign", "batch", "accepted", "sent", "delivered", "read", "failed", "replies"]
                .map(|name| row[name].as_str())
        })
        .collect();
    assert_eq!(
        told,
        [
            ["1790000000", "20261120", "2", "2", "1", "1", "1", "1"],
            ["1790000000", "20261121", "1", "1", "0", "0", "0", "0"],
            ["1790000001", "20261121", "1", "1", "1", "1", "0", "0"],
        ]
    );
    assert_eq!(rows[0]["failed_by_code"], r#"{"1005":1}"#);
    app.finish().await;
}

on_each_database![every_message_is_a_row_with_its_story, a_campaign_is_a_row_for_each_of_its_runs];
