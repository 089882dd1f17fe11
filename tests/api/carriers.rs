//! Carriers of the Cloud API's shape: the whole circle with 360dialog, and with one that is told how it differs.

use serde_json::{Value, json};
use wabridge::simulator::{Dialect, Endpoint, Inbound, InboundContent, InboundMedia};

use crate::harness::{Database, Message, Options, TestApp, on_each_database, person};

const NUMBER: &str = "+918880110044";
const SECRET: &str = "a-secret-of-webhooks";

/// The stage's account has one more number, by a connection of this provider.
fn with_carrier(options: &mut Options, connection: &str) {
    options.more = format!(
        r#"
        [[accounts.senders]]
        number = "{NUMBER}"
        connection = "carrier"
        phone_number_id = "100000000000004"
        waba_id = "200000000000004"
        messages_per_second = 1000

        [[connections]]
        id = "carrier"
        base_url = "{{simulator}}"
        webhook_secret = "{SECRET}"
        {connection}
        "#
    );
}

const DIALOG_360: &str = r#"
    provider = "360dialog"
    api_key = "simulator-access-token:100000000000004"
"#;

fn from_carrier(mut message: Message) -> Message {
    message.body["wabaNumber"] = NUMBER.into();
    message
}

fn receive_webhooks(app: &TestApp, path: &str) {
    let url = app.at(path);
    let change = |knobs: &mut wabridge::simulator::Knobs| {
        knobs.dialect = Dialect::Dialog360;
        knobs.webhook_secret = SECRET.to_owned();
        knobs.webhook_url = Some(url);
    };
    app.simulator.change_knobs(change).expect("any URL will do");
}

async fn a_message_by_360dialog_goes_the_whole_circle(database: Database) {
    let app = TestApp::start_with(database, |options| with_carrier(options, DIALOG_360)).await;
    receive_webhooks(&app, "/webhooks/360dialog/carrier");
    let message = from_carrier(Message::order_update(&person(1)));

    app.accept(&message).await;
    app.settled().await;

    assert_eq!(app.told(&message), ["sent", "delivered", "read"]);
    let sent = app.simulator.sends(Some(&person(1)));
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].phone_number_id, "100000000000004", "the key says which number it is");
    app.finish().await;
}

async fn what_people_send_by_360dialog_is_told_with_its_file(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.settings.server.public_url = "https://whatsapp.example.com".to_owned();
        with_carrier(options, DIALOG_360);
    })
    .await;
    // The file lies at Meta, and is fetched at the carrier.
    let elsewhere = Some("https://lookaside.example".to_owned());
    app.simulator.change_knobs(|knobs| knobs.media_url_base = elsewhere).expect("any URL will do");
    receive_webhooks(&app, "/webhooks/360dialog/carrier");

    let content = InboundContent::Image(InboundMedia { caption: Some("is it this?".to_owned()), ..Default::default() });
    let message =
        Inbound { from: person(2), phone_number_id: "100000000000004".to_owned(), context_wamid: None, content };
    app.simulator.inbound(&message).expect("the number exists");

    let told = || {
        let mut records = app.simulator.callback_records(None).into_iter();
        records.find(|record| record.endpoint == Endpoint::Inbound).map(|record| record.entry)
    };
    app.until("it is told", async || told().is_some()).await;
    app.until_counted("the file is fetched", |stats| stats.media_downloads >= 1).await;
    assert!(told().is_some_and(|told| told.to_string().contains("/media/")), "{:?}", told());
    app.finish().await;
}

async fn webhooks_without_the_secret_are_refused(database: Database) {
    let app = TestApp::start_with(database, |options| with_carrier(options, DIALOG_360)).await;
    let body = json!({"object": "whatsapp_business_account", "entry": []}).to_string();
    let path = "/webhooks/360dialog/carrier";
    let by_url = format!("{path}/{SECRET}");

    for (path, headers, status) in [
        (path, &[("X-Webhook-Secret", SECRET)][..], 200),
        (&by_url, &[], 200),
        (path, &[], 401),
        (path, &[("X-Webhook-Secret", "another")], 401),
        ("/webhooks/360dialog/carrier/another", &[], 401),
    ] {
        assert_eq!(app.post(path, headers, body.clone()).await.http_status, status, "{path} {headers:?}");
    }
    app.finish().await;
}

fn has(findings: &[Value], level: &str, part: &str) -> bool {
    findings.iter().any(|it| it["level"] == level && it["text"].as_str().is_some_and(|text| text.contains(part)))
}

async fn a_check_says_what_is_well_and_sends_webhooks_here(database: Database) {
    let mut app = TestApp::start_with(database, |options| with_carrier(options, DIALOG_360)).await;
    app.settings.server.public_url = app.at("");
    let check = async |repair: bool| {
        let arguments: &[&str] = if repair { &["check", "--json", "--repair", "--yes"] } else { &["check", "--json"] };
        let (_, printed) = app.command_ending(arguments).await;
        let report: Value = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"));
        report["findings"].as_array().expect("a list").clone()
    };

    let found = check(true).await;
    assert!(has(&found, "fine", "the api_key is taken"), "{found:#?}");
    assert!(has(&found, "fine", "templates are approved"), "{found:#?}");
    assert!(has(&found, "fine", "it can send"), "{found:#?}");
    assert!(has(&found, "not_checked", "quality is not offered by this carrier"), "{found:#?}");
    assert!(has(&found, "fine", "takes webhooks as it should"), "{found:#?}");
    assert!(has(&found, "wrong", "its webhooks go to"), "{found:#?}");

    let found = check(false).await;
    assert!(has(&found, "fine", "its webhooks come to this bridge, with the secret"), "{found:#?}");
    let knobs = app.simulator.knobs();
    assert_eq!(knobs.webhook_url, Some(app.at("/webhooks/360dialog/carrier")));
    assert_eq!(knobs.webhook_secret, SECRET);
    app.finish().await;
}

async fn a_carrier_with_metas_paths_and_a_header_of_its_own_goes_the_whole_circle(database: Database) {
    let connection = r#"
        provider = "cloud-api"
        api_key = "simulator-access-token"
        api_version = "v24.0"
        auth_prefix = "Bearer"
        webhook_auth = "url"
    "#;
    let app = TestApp::start_with(database, |options| with_carrier(options, connection)).await;
    receive_webhooks(&app, &format!("/webhooks/cloud-api/carrier/{SECRET}"));
    let message = from_carrier(Message::order_update(&person(3)));

    app.accept(&message).await;
    app.settled().await;

    assert_eq!(app.told(&message), ["sent", "delivered", "read"]);
    app.finish().await;
}

async fn a_key_that_is_not_taken_holds_the_connection_and_no_other(database: Database) {
    let connection = r#"
        provider = "360dialog"
        api_key = "another-key"
    "#;
    let app = TestApp::start_with(database, |options| {
        options.without_templates = true;
        with_carrier(options, connection);
    })
    .await;
    app.until("the others' templates are there", async || {
        let snapshot = app.directory().snapshot();
        snapshot.senders().any(|sender| !app.directory().templates(sender).is_empty())
    })
    .await;
    let text = from_carrier(Message::freeform(&person(4), "hello"));

    app.accept(&text).await;
    app.until("the connection is held", async || {
        let snapshot = app.directory().snapshot();
        snapshot.connection("carrier").is_some_and(|connection| connection.hold.is_some())
    })
    .await;
    let other = Message::order_update(&person(5));
    app.accept(&other).await;
    app.until_counted("the other is sent", |stats| stats.sends_accepted == 1).await;

    app.leave().await;
}

on_each_database!(
    a_message_by_360dialog_goes_the_whole_circle,
    what_people_send_by_360dialog_is_told_with_its_file,
    webhooks_without_the_secret_are_refused,
    a_check_says_what_is_well_and_sends_webhooks_here,
    a_carrier_with_metas_paths_and_a_header_of_its_own_goes_the_whole_circle,
    a_key_that_is_not_taken_holds_the_connection_and_no_other,
);
