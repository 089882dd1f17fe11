//! The audit log: sign-ins that failed, looking for lines, and the log as a file.

use reqwest::Method;
use serde_json::{Value, json};
use wabridge::store::audit::AuditLine;

use crate::harness::{Database, PASSWORD, TestApp, on_each_database};

async fn failures(app: &TestApp) -> Vec<AuditLine> {
    let lines = app.store.audit_lines(None, 100).await.expect("readable");
    lines.into_iter().filter(|line| line.action.starts_with("fail to ")).collect()
}

fn counts(line: &AuditLine) -> Value {
    serde_json::from_str(line.after.as_deref().unwrap_or_default()).expect("JSON")
}

async fn who_could_not_sign_in_is_written_down_and_counted(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.settings.console.sign_in_tries_per_name = 3;
        options.settings.server.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")];
    })
    .await;
    let asha = app.first_owner().await;
    let visitor = app.visitor();
    let from = async |address: &str, name: &str, password: &str| {
        let fields = [("name", name), ("password", password)];
        visitor.post_with("/console/sign-in", &fields, &[("X-Forwarded-For", address)]).await.status
    };

    for _ in 0..3 {
        assert_eq!(from("198.51.100.1", "Asha", "a wrong password").await, 422);
    }
    assert_eq!(from("198.51.100.1", "asha", PASSWORD).await, 429);
    // A password in the wrong field looks like a name that nobody has.
    assert_eq!(from("2001:db8:1:2::7", PASSWORD, "asha").await, 422);
    assert_eq!(from("2001:db8:1:2::8", "hunter2-hunter2", "asha").await, 422);

    let lines = failures(&app).await;
    let told: Vec<_> = lines.iter().map(|line| (line.subject.as_str(), line.address.as_deref())).collect();
    let expected = [("an unknown name", Some("2001:db8:1:2::/64")), ("asha", Some("198.51.100.1"))];
    assert_eq!(told, expected, "one line for a name and an address: {lines:?}");
    let (unknown, known) = (counts(&lines[0]), counts(&lines[1]));
    assert_eq!((&unknown["tries"], &unknown["locked_out"]), (&json!(2), &Value::Null));
    assert_eq!((&known["tries"], &known["locked_out"]), (&json!(4), &json!(1)));
    assert!(known["last_at"].is_string(), "{known}");
    let rows = app.store.audit_lines(None, 100).await.expect("readable");
    assert!(!format!("{rows:?}").contains("hunter2"), "what nobody is called is not kept: {rows:?}");

    let page = asha.get("/console/audit?action=fail").await.text;
    assert!(page.contains("fail to sign in") && page.contains("tries") && page.contains("locked out"), "{page}");
    app.leave().await;
}

async fn a_wrong_password_at_its_change_is_written_down_too(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;

    asha.post("/console/account/password", &[("current", "not mine at all"), ("new", "seven loud coffee pots")]).await;

    let line = failures(&app).await.pop().expect("it is written down");
    assert_eq!((line.action.as_str(), line.actor.as_str()), ("fail to change password", "asha"));
    assert_eq!(line.address.as_deref(), Some("127.0.0.1"));
    app.leave().await;
}

async fn lines_are_found_by_who_what_whom_and_when(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    app.another(&asha, "ben", "operator").await;
    app.command(&["user", "add", "dora", "--role", "read-only"]).await;
    let token = asha.make_token(&["audit:read", "messages:read"]).await;
    let blind = asha.make_token(&["messages:read"]).await;
    let found = async |query: &str| -> Vec<(String, String)> {
        let answer = app.call(Method::GET, &format!("/api/v1/audit?{query}"), &token, None).await.body;
        let text = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let lines = answer["lines"].as_array().unwrap_or_else(|| panic!("{query}: {answer:#}"));
        lines.iter().map(|line| (text(line, "action"), text(line, "subject"))).collect()
    };
    let pair = |action: &str, subject: &str| (action.to_owned(), subject.to_owned());

    assert_eq!(found("actor=USER%20&action=add%20user").await, [pair("add user", "dora")]);
    assert_eq!(found("action=ADD%20user&subject=ben").await, [pair("add user", "ben")]);
    assert_eq!(found("actor=machine&action=user").await, [pair("add user", "dora")]);
    assert_eq!(found("action=%22role%22:%22READ-ONLY").await, [pair("add user", "dora")], "by what was changed");
    assert_eq!(found("subject=%25").await, [], "nothing in it means anything to LIKE");
    assert_eq!(found("until=2020-01-01T00:00:00Z").await, []);
    assert_eq!(found("since=2020-01-01T00:00:00Z&action=choose").await, [pair("choose password", "ben")]);
    let wrong = app.call(Method::GET, "/api/v1/audit?since=yesterday", &token, None).await;
    assert_eq!((wrong.http_status, &wrong.body["field"]), (422, &json!("since")), "{wrong:?}");
    assert_eq!(app.call(Method::GET, "/api/v1/audit/lines.csv", &blind, None).await.http_status, 403);

    let page = asha.get("/console/audit?action=add+user&subject=BEN").await.text;
    let rows = page.split("<tbody>").nth(1).expect("a table").to_owned();
    assert!(rows.contains(">ben<") && !rows.contains("dora"), "{page}");
    assert!(page.contains("href=\"/console/audit/lines.csv?action=add+user&#38;subject=BEN\""), "{page}");
    let nothing = asha.get("/console/audit?subject=nobody-here").await.text;
    assert!(nothing.contains("Nothing like that was done."), "{nothing}");
    let odd = asha.get("/console/audit?since=2026-11-21T09:30&until=2026-11-20T09:30").await.text;
    assert!(odd.contains("ends before it begins"), "{odd}");
    app.leave().await;
}

async fn the_log_is_a_file_with_all_its_pages(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    // More than one statement reads, of a time that no retention reaches, and a text that a spreadsheet would run.
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2100) \
                INSERT INTO audit_log (at, actor, via, action, subject) SELECT 4102444800000 + i, '=1+1', 2, 'tally', 'line ' || i FROM n";
    app.meddle((many, many)).await;

    let file = asha.get("/console/audit/lines.csv?action=tally").await;

    assert!(file.header("content-type").starts_with("text/csv"), "{file:?}");
    assert!(file.header("content-disposition").contains("audit-log.csv"));
    let lines: Vec<&str> = file.text.lines().collect();
    assert_eq!(lines.len(), 2_101, "and the names of the columns");
    assert_eq!(lines[0], "id,at,actor,via,address,action,subject,before,after");
    assert!(lines[1].contains(",'=1+1,API,,tally,line 2100,,"), "the newest first, and no formula: {}", lines[1]);
    assert!(lines[2_100].contains(",line 1,"), "{}", lines[2_100]);
    let later = asha.get("/console/audit/lines.csv?action=tally&since=2100-01-01T00:00:02").await.text;
    assert_eq!(later.lines().count(), 102, "those from the time on: {later}");
    let cara = app.another(&asha, "cara", "read-only").await;
    assert_eq!(cara.get("/console/audit/lines.csv").await.status, 403);
    app.leave().await;
}

on_each_database!(
    who_could_not_sign_in_is_written_down_and_counted,
    a_wrong_password_at_its_change_is_written_down_too,
    lines_are_found_by_who_what_whom_and_when,
    the_log_is_a_file_with_all_its_pages,
);
