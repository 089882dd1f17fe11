//! What Meta tells the business itself: kept in the log, shown, and acted on where it stops something.

use std::time::Duration;

use serde_json::{Value, json};
use wabridge::{
    clock,
    domain::{
        notice::{NoticeKind, Severity},
        template::TemplateStatus,
    },
    store::notices::LoggedNotice,
};

use crate::harness::{
    APP_SECRET, Database, Message, OTHER_ACCOUNT, OTHER_SENDER, TestApp, WABA_ID, on_each_database, person,
};

fn change(field: &str, value: &Value) -> String {
    let change = json!({"field": field, "value": value});
    let entry = json!({"id": WABA_ID, "time": 1_795_000_000, "changes": [change]});
    json!({"object": "whatsapp_business_account", "entry": [entry]}).to_string()
}

async fn told(app: &TestApp, field: &str, value: Value) {
    assert_eq!(app.post_webhook(change(field, &value), APP_SECRET).await, 200, "{value}");
}

async fn notices(app: &TestApp) -> Vec<LoggedNotice> {
    let an_hour_ago = clock::now().minus(Duration::from_secs(3600));
    app.store.notices_since(an_hour_ago, 100).await.expect("notices can be read")
}

fn paused(language: &str) -> Value {
    json!({"event": "PAUSED", "message_template_id": 700_000_000_000_001_i64,
        "message_template_name": "order_update", "message_template_language": language,
        "reason": "NONE", "other_info": {"title": "FIRST_PAUSE", "description": "for 3 hours"}})
}

async fn a_paused_template_stops_before_the_webhook_is_answered(database: Database) {
    let app = TestApp::start_with(database, |options| {
        // The list itself, which would say otherwise, is not read again in this test.
        options.settings.templates.webhook_delay = Duration::from_secs(3600);
    })
    .await;
    let status = || {
        let snapshot = app.directory().snapshot();
        let templates = app.directory().templates(snapshot.senders().next().expect("there is one number"));
        let found = templates.iter().find(|template| template.name == "order_update").expect("it is in the sample");
        (found.status.clone(), found.language.clone())
    };
    let (before, language) = status();
    assert_eq!(before, TemplateStatus::Approved);

    // A hyphen in the language, as Meta's samples have it.
    told(&app, "message_template_status_update", paused(&language.replace('_', "-"))).await;

    assert_eq!(status().0, TemplateStatus::Paused);
    app.finish().await;
}

async fn a_notice_is_kept_once_for_every_account_that_has_a_number_there(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.more = format!("{OTHER_ACCOUNT}{OTHER_SENDER}");
    })
    .await;
    let violation = json!({"event": "ACCOUNT_VIOLATION", "violation_info": {"violation_type": "SPAM"}});

    told(&app, "account_update", violation.clone()).await;
    told(&app, "account_update", violation).await;
    let kept = notices(&app).await;

    assert_eq!(kept.len(), 2, "one for each account, and the repeat is none: {kept:#?}");
    assert_ne!(kept[0].account, kept[1].account);
    for LoggedNotice { notice, .. } in &kept {
        assert_eq!((notice.kind, notice.severity), (NoticeKind::Account, Severity::Critical));
        assert!(notice.text.contains("SPAM") && notice.entry.contains("violation_info"), "{notice:?}");
    }
    let status = app.command(&["status"]).await;
    assert!(status.contains("(critical): the business account broke a rule"), "{status}");
    app.finish().await;
}

async fn clevertap_hears_of_statuses_and_of_no_notice(database: Database) {
    let app = TestApp::start(database).await;
    let message = Message::order_update(&person(1));

    told(
        &app,
        "message_template_quality_update",
        json!({"new_quality_score": "YELLOW",
        "message_template_name": "order_update", "message_template_language": "en"}),
    )
    .await;
    app.accept(&message).await;
    app.settled().await;

    assert_eq!(app.told(&message), ["sent", "delivered", "read"]);
    assert_eq!(notices(&app).await.len(), 1);
    assert_eq!(app.simulator.callback_records(None).len(), 3, "three statuses and nothing else");
    app.finish().await;
}

async fn a_notice_of_somebody_elses_business_account_is_kept_aside(database: Database) {
    let app = TestApp::start(database).await;

    let body = change("account_review_update", &json!({"decision": "APPROVED"})).replace(WABA_ID, "299999999999999");
    assert_eq!(app.post_webhook(body, APP_SECRET).await, 200);

    assert!(notices(&app).await.is_empty());
    let shown = app.command(&["unrecognized"]).await;
    assert!(shown.contains("no sender number belongs to the business account"), "{shown}");
    app.finish().await;
}

async fn errors_of_a_number_are_a_notice(database: Database) {
    let app = TestApp::start(database).await;

    told(
        &app,
        "messages",
        json!({"messaging_product": "whatsapp",
        "metadata": {"phone_number_id": crate::harness::NUMBER_ID},
        "errors": [{"code": 131_031, "title": "Account has been locked"}]}),
    )
    .await;

    let kept = notices(&app).await;
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].notice.kind, kept[0].notice.severity), (NoticeKind::Errors, Severity::Critical));
    app.finish().await;
}

on_each_database![
    a_paused_template_stops_before_the_webhook_is_answered,
    a_notice_is_kept_once_for_every_account_that_has_a_number_there,
    clevertap_hears_of_statuses_and_of_no_notice,
    a_notice_of_somebody_elses_business_account_is_kept_aside,
    errors_of_a_number_are_a_notice,
];
