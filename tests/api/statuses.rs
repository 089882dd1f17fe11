//! What WhatsApp says of a message, in whatever order, comes out right at CleverTap.

use serde_json::{Value, json};
use wabridge::{
    domain::{outbound::SendState, status::DeliveryStatus},
    simulator::{Effect, Rule},
};

use crate::harness::{
    APP_SECRET, Database, Message, NUMBER_ID, TestApp, WABA_ID, on_each_database, one_webhook_at_a_time, person, script,
};

/// Sends one message whose statuses are reported as `reports` says, and gives back what CleverTap was told.
async fn told_after(app: &TestApp, number: usize, reports: &str) -> (Message, Vec<String>) {
    let message = Message::order_update(&person(number));
    app.simulator.add_rule(Rule::recipient(&person(number), Effect::Statuses(script(reports))));
    app.accept(&message).await;
    app.settled().await;
    let told = app.told(&message);
    (message, told)
}

async fn sent_delivered_and_read_are_told_once_each_and_in_order(database: Database) {
    let app = TestApp::start(database).await;
    let message = Message::order_update(&person(1));

    app.accept(&message).await;
    app.settled().await;

    assert_eq!(app.told(&message), ["sent", "delivered", "read"]);
    let records = app.simulator.callback_records(Some(message.msg_id()));
    for record in &records {
        assert_eq!(record.entry["msgId"], message.msg_id());
        assert!(record.entry["timestamp"].as_str().is_some_and(|time| time.len() == 10), "{}", record.entry);
    }
    let stored = app.stored(&message).await;
    assert_eq!((stored.state, stored.delivery), (SendState::Submitted, Some(DeliveryStatus::Read)));
    app.finish().await;
}

async fn every_order_and_number_of_reports_ends_at_the_best_news(database: Database) {
    let app = TestApp::start_with(database, |options| {
        // One report in each webhook: they arrive exactly as written.
        options.simulator.knobs.webhook_batch_max = 1;
        one_webhook_at_a_time(options);
    })
    .await;
    let whole = ["sent", "delivered", "read"];

    for (number, (reports, expected)) in [
        ("sent@0x3,delivered@20x3,read@40x3", &whole[..]),
        ("read@0,delivered@30,sent@60", &whole[..]),
        ("delivered@0,sent@30,read@60", &whole[..]),
        ("sent@0,read@30", &whole[..]),
        ("read@0", &whole[..]),
        ("sent@0,played@30", &whole[..]),
        ("delivered@0", &whole[..2]),
        ("sent@0", &whole[..1]),
        ("sent@0,failed:131026@30", &["sent", "failed"]),
        ("failed:131026@0,sent@30", &["failed"]),
        ("sent@0,failed:131026@30x2,delivered@60", &["sent", "failed", "delivered"]),
        ("sent@0,delivered@30,failed:131026@60", &whole[..2]),
    ]
    .into_iter()
    .enumerate()
    {
        let (_, told) = told_after(&app, number, reports).await;
        assert_eq!(told, expected, "told after {reports}");
    }

    app.finish().await;
}

async fn many_reports_in_one_webhook_come_out_the_same(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.simulator.knobs.webhooks_paused = true;
        options.simulator.knobs.webhook_batch_max = 500;
    })
    .await;
    let messages: Vec<Message> = (0..40).map(|number| Message::order_update(&person(number))).collect();
    app.simulator.add_rule(Rule::everybody(Effect::Statuses(script("read@0x2,sent@1,delivered@2x2"))));

    app.accept_all(&messages).await;
    app.until_counted("all are sent", |stats| stats.updates_waiting == 5 * 40).await;
    app.simulator.change_knobs(|knobs| knobs.webhooks_paused = false).expect("valid knobs");
    app.settled().await;

    for message in &messages {
        assert_eq!(app.told(message), ["sent", "delivered", "read"]);
    }
    let stats = app.finish().await;
    assert!(stats.peak_webhook_batch > 100, "they travelled together");
}

async fn reports_that_come_before_the_answer_to_the_send_count(database: Database) {
    let app = TestApp::start(database).await;
    let message = Message::order_update(&person(1));
    app.simulator.add_rule(Rule::everybody(Effect::StatusesFirst));

    app.accept(&message).await;
    app.settled().await;

    assert_eq!(app.told(&message), ["sent", "delivered", "read"]);
    assert_eq!(app.stored(&message).await.state, SendState::Submitted);
    app.finish().await;
}

async fn reports_without_our_id_wait_for_the_answer_that_names_theirs(database: Database) {
    let app = TestApp::start_with(database, |options| options.simulator.knobs.echo_callback_data = false).await;
    let message = Message::order_update(&person(1));
    app.simulator.add_rule(Rule::everybody(Effect::StatusesFirst));

    app.accept(&message).await;
    app.settled().await;

    assert_eq!(app.told(&message), ["sent", "delivered", "read"]);
    assert_eq!(app.store.count_unrecognized().await.expect("countable"), (0, 0), "none is left parked");
    app.finish().await;
}

async fn reports_of_messages_that_are_not_ours_are_parked_and_told_to_nobody(database: Database) {
    let app = TestApp::start(database).await;

    // Another system sends from the same number, with ids of its own.
    for (wamid, theirs) in [("wamid.other1", json!("msg_01j9zzzzzzzzz")), ("wamid.other2", Value::Null)] {
        let webhook = status_webhook(wamid, "delivered", &theirs);
        assert_eq!(app.post_webhook(webhook.to_string(), APP_SECRET).await, 200);
    }

    assert_eq!(app.store.count_unrecognized().await.expect("countable"), (0, 2));
    let stats = app.finish().await;
    assert_eq!(stats.clevertap.requests, 0);
}

async fn a_failure_after_the_answer_is_told_with_clevertaps_code(database: Database) {
    let app = TestApp::start_with(database, one_webhook_at_a_time).await;

    for (number, (code, told_code)) in [
        (131026, 1005),
        (131049, 1010),
        (131047, 1008),
        (131050, 1006),
        (131056, 1004),
        (131021, 1002),
        (132000, 1001),
        (131053, 1001),
        (131000, 1009),
        (999_999, 1009),
    ]
    .into_iter()
    .enumerate()
    {
        let (message, told) = told_after(&app, number, &format!("sent@0,failed:{code}@20")).await;

        assert_eq!(told, ["sent", "failed"]);
        assert_eq!(app.told_failure(&message), Some(told_code), "the code for {code}");
        let records = app.simulator.callback_records(Some(message.msg_id()));
        let title = records[1].entry["error"]["title"].as_str().expect("a failure has a title");
        assert!(title.starts_with(&format!("{code}:")), "the title names the provider's own code: {title}");
    }
    // A failure is final: nothing is sent again by itself.
    let stats = app.finish().await;
    assert_eq!(stats.sends_accepted, 10);
}

/// As when another instance wrote down the provider's id while this one parked the status, each before the other's commit.
async fn a_status_that_was_parked_while_its_message_became_known_is_told_in_the_end(database: Database) {
    let app = TestApp::start_with(database, |options| options.simulator.knobs.echo_callback_data = false).await;
    let (message, told) = told_after(&app, 1, "sent@0").await;
    assert_eq!(told, ["sent"]);

    let webhook = status_webhook("wamid.of.nobody.yet", "read", &Value::Null);
    assert_eq!(app.post_webhook(webhook.to_string(), APP_SECRET).await, 200);
    assert_eq!(app.store.count_unrecognized().await.expect("countable"), (0, 1));
    let found = "UPDATE unrecognized SET match_hash = (SELECT hash FROM provider_ids)";
    app.meddle((found, found)).await;

    app.until("it is told", async || app.told(&message) == ["sent", "delivered", "read"]).await;
    app.until("it is no longer kept", async || app.store.count_unrecognized().await.expect("countable") == (0, 0))
        .await;
    app.finish().await;
}

fn status_webhook(wamid: &str, status: &str, callback_data: &Value) -> Value {
    let mut report = json!({"id": wamid, "status": status, "timestamp": "1790000123", "recipient_id": "919876500001"});
    if !callback_data.is_null() {
        report["biz_opaque_callback_data"] = callback_data.clone();
    }
    let value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "918880110022", "phone_number_id": NUMBER_ID},
        "statuses": [report],
    });
    json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": WABA_ID, "changes": [{"field": "messages", "value": value}]}],
    })
}

on_each_database![
    sent_delivered_and_read_are_told_once_each_and_in_order,
    every_order_and_number_of_reports_ends_at_the_best_news,
    many_reports_in_one_webhook_come_out_the_same,
    reports_that_come_before_the_answer_to_the_send_count,
    reports_without_our_id_wait_for_the_answer_that_names_theirs,
    reports_of_messages_that_are_not_ours_are_parked_and_told_to_nobody,
    a_status_that_was_parked_while_its_message_became_known_is_told_in_the_end,
    a_failure_after_the_answer_is_told_with_clevertaps_code,
];
