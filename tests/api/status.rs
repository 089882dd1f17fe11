//! How things stand, for people, for programs and for monitoring.

use serde_json::Value;

use crate::harness::{BUSINESS_NUMBER, Database, Message, TestApp, on_each_database, person};

async fn a_program_reads_what_a_person_reads(database: Database) {
    let app = TestApp::start(database).await;
    app.accept(&Message::order_update(&person(1))).await;
    app.settled().await;

    let (code, printed) = app.command_ending(&["status", "--json", "--exit-code"]).await;
    let well: Value = serde_json::from_str(&printed).expect("JSON");
    app.command(&["hold", BUSINESS_NUMBER, "--reason", "the price list is wrong"]).await;
    app.until_held().await;
    app.accept(&Message::order_update(&person(2))).await;
    let (held_code, held) = app.command_ending(&["status", "--json", "--exit-code"]).await;
    let held: Value = serde_json::from_str(&held).expect("JSON");
    let text = app.command(&["status"]).await;
    app.command(&["release", BUSINESS_NUMBER]).await;

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

on_each_database![a_program_reads_what_a_person_reads];
