//! What operators see: that every metric which is documented is exported, that the dashboard and the alert rules ask for
//! none that is not, and that `/readyz` is red while a worker gets nothing done.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use regex::Regex;
use reqwest::Method;
use serde_json::{Value, json};
use wabridge::telemetry::{LabelValues, METRICS, Metric, MetricKind};

use crate::harness::{ACCOUNT, BUSINESS_NUMBER, Database, Message, Receiver, TestApp, on_each_database, person};

/// What only a database of PostgreSQL has to tell.
const OF_POSTGRES: [&str; 2] = ["wabridge_database_oldest_transaction_seconds", "wabridge_database_dead_rows"];

fn metric(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.name == name)
}

/// The metric behind the name of a series: a histogram has several.
fn metric_of_series(series: &str) -> Option<&'static Metric> {
    metric(series).or_else(|| {
        let base = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| series.strip_suffix(end))?;
        metric(base).filter(|metric| metric.kind == MetricKind::Histogram)
    })
}

/// Labels and values of one series, without the bound of a bucket.
fn labels_of(line: &str) -> BTreeMap<String, String> {
    let pair = Regex::new(r#"([a-z_]+)="([^"]*)""#).expect("a pattern");
    let pairs = pair.captures_iter(line).map(|found| (found[1].to_owned(), found[2].to_owned()));
    pairs.filter(|(name, _)| name != "le").collect()
}

/// The metrics that a scrape shows, each series held against what is documented of it.
fn exported(scrape: &str) -> BTreeSet<&'static str> {
    let mut names = BTreeSet::new();
    for line in scrape.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let metric = metric_of_series(name).unwrap_or_else(|| panic!("{name} is not documented"));
        let labels = labels_of(line);
        let documented: BTreeSet<&str> = metric.labels.iter().map(|label| label.name).collect();
        assert_eq!(labels.keys().map(String::as_str).collect::<BTreeSet<_>>(), documented, "{line}");
        for label in metric.labels {
            if let LabelValues::Listed(values) = label.values {
                assert!(values.contains(&labels[label.name].as_str()), "a value that is not documented: {line}");
            }
        }
        names.insert(metric.name);
    }
    names
}

async fn what_is_documented_is_exported_and_nothing_else(database: Database) {
    let postgres = !matches!(database, Database::Sqlite(_));
    let app = TestApp::start_with(database, |options| {
        options.as_process = true;
        options.settings.alarms.look_every = Duration::from_millis(100);
        options.settings.retention.every = Duration::from_millis(200);
    })
    .await;
    let receiver = Receiver::start().await;
    hear_of_everything(&app, &receiver.url).await;
    let wanted: BTreeSet<&str> =
        METRICS.iter().map(|metric| metric.name).filter(|name| postgres || !OF_POSTGRES.contains(name)).collect();

    app.accept(&Message::order_update(&person(0))).await;
    app.settled().await;
    let mut seen = BTreeSet::new();
    app.until("everything was looked at", async || {
        seen = exported(&app.get("/metrics").await.1);
        seen.len() >= wanted.len()
    })
    .await;

    assert_eq!(seen, wanted);
    let number = format!("number=\"{BUSINESS_NUMBER}\"");
    for line in [
        r#"wabridge_sends_total{outcome="submitted",scope="message"} 1"#.to_owned(),
        r#"wabridge_leases{kind="sender",owner="test"} 1"#.to_owned(),
        format!("wabridge_owns{{what=\"number {BUSINESS_NUMBER}\"}} 1"),
        format!("wabridge_oldest_due_seconds{{{number}}} 0"),
        format!("wabridge_pace_behind_seconds{{{number}}} 0"),
        "wabridge_streams_stopped 0".to_owned(),
    ] {
        // Gauges are from the last look at everything, which may lie before the message.
        app.until(&line, async || app.get("/metrics").await.1.lines().any(|shown| shown == line)).await;
    }
    for kind in ["status", "inbound", "notice", "outgoing", "person"] {
        let of_kind = format!("kind=\"{kind}\"");
        let is_shown = |line: &str| line.starts_with("wabridge_cursor_behind_seconds") && line.contains(&of_kind);
        app.until(&of_kind, async || app.get("/metrics").await.1.lines().any(is_shown)).await;
    }
    app.finish().await;
}

/// Makes a webhook with a cursor of each kind.
async fn hear_of_everything(app: &TestApp, url: &str) {
    let token = app.first_owner().await.make_token(&["configuration:manage", "messages:read", "personal:read"]).await;
    let events = ["message.read", "message.received", "template.status", "message.accepted", "contact.created"];
    let body = json!({"name": "crm", "settings": {"url": url, "events": events}});
    let made = app.call(Method::POST, "/api/v1/webhooks", &token, Some(body)).await;
    assert_eq!(made.http_status, 201, "{made:?}");
}

fn file(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every query for our metrics in a text, with the labels that it selects by.
fn asked_for(text: &str) -> Vec<(String, String)> {
    let query = Regex::new(r"(wabridge_[a-z_]+)(\{[^}]*\})?").expect("a pattern");
    let found = query.captures_iter(text);
    found
        .map(|it| (it[1].to_owned(), it.get(2).map_or_else(String::new, |labels| labels.as_str().to_owned())))
        .collect()
}

#[test]
fn dashboard_and_alerts_ask_only_for_what_is_exported() {
    let selector = Regex::new(r#"([a-z_]+)(=~|=)"([^"]*)""#).expect("a pattern");
    let dashboard: Value = serde_json::from_str(&file("docker/grafana/wabridge.json")).expect("JSON");
    let mut texts = vec![file("docker/prometheus/alerts.yml")];
    for panel in dashboard["panels"].as_array().expect("a dashboard has panels") {
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        texts.extend(targets.iter().map(|target| target["expr"].as_str().expect("a query").to_owned()));
    }
    let mut shown = BTreeSet::new();
    for (series, labels) in texts.iter().flat_map(|text| asked_for(text)) {
        let metric = metric_of_series(&series).unwrap_or_else(|| panic!("{series} does not exist"));
        shown.insert(metric.name);
        for found in selector.captures_iter(&labels) {
            let label = metric.labels.iter().find(|label| label.name == &found[1]);
            let label = label.unwrap_or_else(|| panic!("{series} has no label {}", &found[1]));
            if let LabelValues::Listed(values) = label.values {
                for value in found[3].split('|') {
                    assert!(values.contains(&value), "{series}: {} is never {value}", label.name);
                }
            }
        }
    }
    let unseen: Vec<_> = METRICS.iter().map(|metric| metric.name).filter(|name| !shown.contains(name)).collect();
    assert!(unseen.is_empty(), "nobody looks at {unseen:?}");
}

#[test]
fn every_alert_says_what_is_wrong_and_what_to_do() {
    let rules: Value = serde_saphyr::from_str(&file("docker/prometheus/alerts.yml")).expect("YAML");
    let rules = rules["groups"][0]["rules"].as_array().expect("a list of rules").clone();

    assert!(rules.len() > 10);
    for rule in &rules {
        let text = |value: &Value| value.as_str().map(str::to_owned).unwrap_or_default();
        assert!(text(&rule["alert"]).starts_with("Wabridge"), "{rule}");
        assert!(!text(&rule["expr"]).is_empty() && !text(&rule["annotations"]["summary"]).is_empty(), "{rule}");
        assert!(text(&rule["annotations"]["action"]).ends_with(['.', '?']), "{rule}");
        assert!(matches!(rule["labels"]["severity"].as_str(), Some("critical" | "warning")), "{rule}");
    }
}

/// Until a worker is missed: longer than any rests between two looks.
const SILENCE_MAX: Duration = Duration::from_secs(6);

async fn start(database: Database) -> TestApp {
    TestApp::start_with(database, |options| options.settings.instance.worker_silence_max = SILENCE_MAX).await
}

async fn ready(app: &TestApp) -> (u16, Value) {
    let (status, body) = app.get("/readyz").await;
    (status, serde_json::from_str(&body).expect("JSON"))
}

/// What `/readyz` says while it is red; nothing while it is green.
async fn stopped(app: &TestApp) -> Value {
    let (status, told) = ready(app).await;
    if status == 503 { told } else { Value::Null }
}

/// Messages are accepted, but none can be marked as being sent: the loop of the number's owner turns and turns.
async fn a_number_that_sends_nothing_although_messages_are_accepted_makes_readyz_red(database: Database) {
    let app = start(database).await;
    app.until("it is ready", async || ready(&app).await.0 == 200).await;
    app.meddle((
        "CREATE TRIGGER broken BEFORE UPDATE ON outbound_messages WHEN NEW.state = 1 \
             BEGIN SELECT RAISE(ABORT, 'broken'); END",
        "ALTER TABLE outbound_messages ADD CONSTRAINT broken CHECK (state <> 1) NOT VALID",
    ))
    .await;
    let message = Message::order_update(&person(0));

    app.accept(&message).await;
    let mut told = Value::Null;
    app.until("it is missed", async || {
        told = stopped(&app).await;
        told["stopped"].to_string().contains(&format!("the sending from number {BUSINESS_NUMBER}"))
    })
    .await;

    assert_eq!((&told["database"], &told["workers"]), (&Value::Bool(true), &Value::Bool(false)), "{told}");
    app.accept(&Message::order_update(&person(1))).await;

    app.meddle(("DROP TRIGGER broken", "ALTER TABLE outbound_messages DROP CONSTRAINT broken")).await;
    app.until("it is ready again", async || ready(&app).await.0 == 200).await;
    app.settled().await;
    assert_eq!(app.told(&message), ["sent", "delivered", "read"]);
    app.finish().await;
}

/// The log cannot be read, so nobody is told; messages are still accepted.
async fn callbacks_that_are_not_told_make_readyz_red(database: Database) {
    let app = start(database).await;
    app.until("it is ready", async || ready(&app).await.0 == 200).await;
    let away = "ALTER TABLE logs RENAME TO logs_away";
    app.meddle((away, away)).await;

    let mut told = Value::Null;
    app.until("they are missed", async || {
        told = stopped(&app).await;
        told["stopped"].to_string().contains(&format!("the telling of callback URL 1 of {ACCOUNT}"))
    })
    .await;

    let advice = told["advice"].as_str().expect("it says what to do");
    assert!(advice.contains("has stopped") && advice.contains("log"), "{told}");
    let back = "ALTER TABLE logs_away RENAME TO logs";
    app.meddle((back, back)).await;
    app.until("it is ready again", async || ready(&app).await.0 == 200).await;
    app.accept(&Message::order_update(&person(0))).await;
    app.finish().await;
}

/// What a full disk looks like: all can be read, and nothing is taken.
const NOTHING_IS_TAKEN: (&str, &str) = (
    "CREATE TRIGGER full_of_messages BEFORE INSERT ON outbound_messages BEGIN SELECT RAISE(ABORT, 'full'); END;
     CREATE TRIGGER full_of_leases BEFORE UPDATE ON leases BEGIN SELECT RAISE(ABORT, 'full'); END",
    "ALTER TABLE outbound_messages ADD CONSTRAINT full_of_messages CHECK (false) NOT VALID;
     ALTER TABLE leases ADD CONSTRAINT full_of_leases CHECK (false) NOT VALID",
);
const ALL_IS_TAKEN: (&str, &str) = (
    "DROP TRIGGER full_of_messages; DROP TRIGGER full_of_leases",
    "ALTER TABLE outbound_messages DROP CONSTRAINT full_of_messages; ALTER TABLE leases DROP CONSTRAINT full_of_leases",
);

/// Whether callers come or not: what is renewed at times cannot be written either.
async fn a_database_that_takes_nothing_makes_readyz_red_and_green_again_by_itself(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.settings.instance.lease_renewal = Duration::from_secs(1);
    })
    .await;
    let mut told = Value::Null;
    let mut is_red = async || {
        told = stopped(&app).await;
        told["writes"] == Value::Bool(false)
    };
    let message = Message::order_update(&person(0));
    app.until("it is ready", async || ready(&app).await.0 == 200).await;

    app.meddle(NOTHING_IS_TAKEN).await;
    app.until("it is red although nobody calls", &mut is_red).await;
    app.meddle(ALL_IS_TAKEN).await;
    app.until("it is ready again although nobody calls", async || ready(&app).await.0 == 200).await;
    app.meddle(NOTHING_IS_TAKEN).await;
    let refused = app.send_once(&message).await;
    app.until("it is red again", &mut is_red).await;
    app.meddle(ALL_IS_TAKEN).await;
    app.accept(&message).await;
    app.until("it is ready again", async || ready(&app).await.0 == 200).await;

    assert_eq!(refused.http_status, 500, "{refused:?}");
    assert_eq!(told["database"], Value::Bool(true), "all can be read: {told}");
    let advice = told["advice"].as_str().expect("it says what to do");
    assert!(advice.contains("disk") && advice.contains("lock") && advice.contains("log"), "{told}");
    app.finish().await;
}

on_each_database!(
    what_is_documented_is_exported_and_nothing_else,
    a_number_that_sends_nothing_although_messages_are_accepted_makes_readyz_red,
    callbacks_that_are_not_told_make_readyz_red,
    a_database_that_takes_nothing_makes_readyz_red_and_green_again_by_itself,
);
