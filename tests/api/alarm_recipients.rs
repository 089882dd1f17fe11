//! Whom people set to be told of alarms, in the console and by the API, besides those of the server's settings.

use reqwest::Method;
use serde_json::{Value, json};
use wabridge::{clock, domain::account::Hold, settings::Settings, store::alarms::AlarmRecord};

use crate::{
    alarms::{Operator, SECRET, is_signed},
    harness::{Database, Receiver, TestApp, on_each_database},
};

const FORM: &str = "/console/alarms/recipients";
const API: &str = "/api/v1/alarms/recipients";

/// A bridge whose settings name a mail server, and nobody to tell.
async fn start(database: Database) -> (TestApp, Operator) {
    let mut settings = Settings::defaults();
    let operator = Operator::set_up(&mut settings).await;
    settings.alarms.webhook_url = None;
    settings.alarms.to = vec![];
    (TestApp::start_with(database, |options| options.settings.alarms = settings.alarms).await, operator)
}

async fn alarm(app: &TestApp, kind: &str) -> Option<AlarmRecord> {
    let alarms = app.store.alarms().await.expect("readable");
    alarms.into_iter().find(|record| record.kind.as_str() == kind && record.told_at.is_some())
}

async fn those_whom_people_set_hear_of_the_kinds_that_they_want(database: Database) {
    let (app, operator) = start(database).await;
    let asha = app.first_owner().await;
    let receiver = Receiver::start().await;
    assert!(asha.get("/console/alarms").await.text.contains("Nobody: only the server’s log"));
    let url = format!("{}/known-to-nobody", receiver.url);
    let fields = [
        ("version", "0"),
        ("emails", "night@example.com\nops@example.com"),
        ("webhook_url", &*url),
        ("webhook_secret", SECRET),
        ("kinds", "number_held"),
        ("kinds", "disk_full"),
    ];

    let saved = asha.post(FORM, &fields).await;

    assert_eq!((saved.status, saved.header("location")), (303, "/console/alarms?done=saved"), "{saved:?}");
    let page = asha.get("/console/alarms").await;
    for shown in ["night@example.com, ops@example.com", "only of: Number on hold, Disk nearly full", &*receiver.url] {
        assert!(page.text.contains(shown), "{shown} is not in {page:?}");
    }
    for page in [page.text, asha.get(FORM).await.text] {
        assert!(!page.contains("known-to-nobody") && !page.contains(SECRET), "whoever knows them may post: {page}");
    }
    assert!(asha.get(FORM).await.text.contains("Leave empty to keep it"));

    let tested = asha.post("/console/alarms/test", &[]).await.text;
    for said in ["The console webhook took the test alarm", "HTTP 204", "The console e-mail took", "250 taken"] {
        assert!(tested.contains(said), "{said} is not in {tested}");
    }
    let test = receiver.requests().pop().expect("it came");
    assert!(is_signed(test.header("x-wabridge-signature"), &test.body), "{test:?}");

    // The simulator has a paused template, which they do not want to hear of.
    let sender = app.store.load_configuration().await.expect("readable").senders[0].key;
    let hold = Hold::by_answer(clock::now(), "131031: the account is locked".to_owned());
    app.store.hold_sender(sender, &hold).await.expect("it is written down");
    app.until("both are told", async || {
        alarm(&app, "number_held").await.is_some() && alarm(&app, "template_stopped").await.is_some()
    })
    .await;
    let by = async |kind: &str| alarm(&app, kind).await.map(|record| record.told_by);
    assert_eq!(by("number_held").await.as_deref(), Some("console webhook, console e-mail"));
    assert_eq!(by("template_stopped").await.as_deref(), Some(""), "only the log has it");
    let page = asha.get("/console/alarms").await.text;
    assert!(page.contains("only the log was told: nobody who could be told wants this kind"), "{page}");
    let told: Vec<Value> = receiver.requests().iter().flat_map(|request| lines(&request.json())).collect();
    assert_eq!(told, [json!("test connection_held"), json!("raised number_held")]);
    let lettered = || operator.letters().into_iter().find(|letter| letter.contains("Subject: wabridge: number"));
    app.until("a letter came, too", async || lettered().is_some()).await;
    let letter = lettered().expect("it came");
    assert!(letter.contains("RCPT TO:<night@example.com>") && !letter.contains("paused"), "{letter}");

    let audit = app.store.audit_lines(None, 20).await.expect("readable");
    let line = audit.iter().find(|line| line.action == "change alarm recipients").expect("it is written down");
    let after = line.after.as_deref().unwrap_or_default();
    assert!(after.contains("ops@example.com") && after.contains("webhook_secret"), "{after}");
    assert!(!after.contains("known-to-nobody") && !after.contains(SECRET), "{after}");
    app.leave().await;
}

/// State and kind of what a letter tells.
fn lines(letter: &Value) -> Vec<Value> {
    let lines = letter["alarms"].as_array().expect("a list").iter();
    let word = |line: &Value, key: &str| line[key].as_str().expect("a word").to_owned();
    lines.map(|line| format!("{} {}", word(line, "state"), word(line, "kind")).into()).collect()
}

async fn programs_change_them_part_by_part_and_nobody_else_does(database: Database) {
    let (app, _) = start(database).await;
    let asha = app.first_owner().await;
    let token = asha.make_token(&["configuration:manage", "system:read"]).await;
    let reads = asha.make_token(&["system:read"]).await;
    let call =
        async |method: Method, path: &str, token: &str, body: Option<Value>| app.call(method, path, token, body).await;
    let patch = async |body: Value| call(Method::PATCH, API, &token, Some(body)).await;

    let empty = call(Method::GET, API, &reads, None).await;
    assert_eq!(
        empty.body,
        json!({"emails": [], "webhook_url": null, "signed": false, "kinds": [], "can_mail": true, "version": "0"})
    );
    assert_eq!(call(Method::PATCH, API, &reads, Some(json!({"kinds": null}))).await.http_status, 403);
    let cara = app.another(&asha, "cara", "read-only").await;
    assert_eq!((cara.get(FORM).await.status, cara.post(FORM, &[("version", "0")]).await.status), (403, 403));

    let set = patch(
        json!({"webhook_url": "https://hooks.example.com/a", "webhook_secret": "key", "emails": ["a@b.example"]}),
    );
    let set = set.await;
    assert_eq!((set.http_status, &set.body["webhook_url"]), (200, &json!("https://hooks.example.com/…")), "{set:?}");
    let only = patch(json!({"kinds": ["queue_late"], "webhook_url": "…"})).await.body;
    assert_eq!(
        (&only["signed"], &only["emails"], &only["kinds"]),
        (&json!(true), &json!(["a@b.example"]), &json!(["queue_late"])),
        "what is not named stays: {only:#}"
    );
    let stored = app.store.alarm_recipients().await.expect("readable").recipients;
    assert_eq!(stored.webhook_url.expect("it is set").expose(), "https://hooks.example.com/a");

    let late = call(Method::PATCH, &format!("{API}?version=0"), &token, Some(json!({"kinds": null}))).await;
    assert_eq!(late.http_status, 409, "{late:?}");
    let late = asha.post(FORM, &[("version", "0"), ("emails", "")]).await;
    assert!(late.status == 409 && late.text.contains("changed by somebody else meanwhile"), "{late:?}");
    let wrong = patch(json!({"emails": ["ops"], "webhook_url": "https://169.254.169.254/", "colour": "red"})).await;
    assert_eq!(wrong.http_status, 422, "{wrong:?}");
    for field in ["emails", "webhook_url", "colour"] {
        assert!(wrong.body["problems"].to_string().contains(field), "{field}: {wrong:?}");
    }
    let ways = call(Method::GET, "/api/v1/alarms", &reads, None).await.body["ways"].clone();
    assert_eq!(ways[0]["way"], "console webhook", "{ways:#}");
    assert_eq!((&ways[1]["to"], &ways[1]["of_settings"]), (&json!("a@b.example"), &json!(false)), "{ways:#}");

    let gone = patch(json!({"webhook_url": null, "emails": null, "kinds": null})).await.body;
    assert_eq!((&gone["signed"], &gone["webhook_url"]), (&json!(false), &Value::Null), "the secret goes with its URL");
    app.leave().await;
}

async fn what_cannot_be_used_is_said_at_its_field(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.settings.alarms.webhook_url = Some("http://127.0.0.1:9/of-the-file".into());
    })
    .await;
    let asha = app.first_owner().await;
    let form = asha.get(FORM).await.text;
    for said in
        ["This server sends no e-mail yet", "alarms.smtp_url", "By the server’s settings", "http://127.0.0.1:9/"]
    {
        assert!(form.contains(said), "{said} is not in {form}");
    }
    let fields = [
        ("version", "0"),
        ("emails", "ops@example.com"),
        ("webhook_url", "https://me:hush@hooks.example.com/"),
        ("webhook_secret", "known-to-nobody"),
        ("kinds", "moon_full"),
    ];

    let page = asha.post(FORM, &fields).await;

    assert_eq!(page.status, 422, "{page:?}");
    for said in [
        "id=\"emails-wrong\">Cannot be used, because this server sends no e-mail: set alarms.smtp_url and alarms.from and start it again.",
        "id=\"webhook_url-wrong\">Has a user or a password in it",
        "moon_full is none of connection_held",
        "ops@example.com",
    ] {
        assert!(page.text.contains(said), "{said} is not in {page:?}");
    }
    assert!(!page.text.contains("hush") && !page.text.contains("known-to-nobody"), "{page:?}");
    assert_eq!(app.store.alarm_recipients().await.expect("readable").changed_at, None, "nothing is saved");

    // What the settings name is told as before, and cannot be changed here.
    let tested = asha.post("/console/alarms/test", &[]).await.text;
    assert!(tested.contains("The webhook did not take the test alarm"), "{tested}");
    assert!(tested.contains("set by the server’s settings, and changed there"), "{tested}");
    app.leave().await;
}

on_each_database!(
    those_whom_people_set_hear_of_the_kinds_that_they_want,
    programs_change_them_part_by_part_and_nobody_else_does,
    what_cannot_be_used_is_said_at_its_field,
);
