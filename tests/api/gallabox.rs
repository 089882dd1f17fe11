//! A number at Gallabox: the whole circle through its developer API and its webhooks, and without webhooks.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use wabridge::{
    domain::{callback::EventKind, ids::Place},
    simulator::{Dialect, Effect, Endpoint, Inbound, InboundContent, InboundMedia, Rule},
    store::{media::MediaOverview, polls::Polling},
};

use crate::harness::{
    APP_SECRET, CONNECTION, Database, Message, NUMBER_ID, Options, TestApp, WABA_ID, on_each_database,
    one_webhook_at_a_time, person, script,
};

const CREDENTIALS: &str = r#"
        api_key = "simulator-access-token"
        api_secret = "simulator-app-secret"
"#;
pub(crate) const WEBHOOK_SECRET: &str = r#"
        webhook_secret = ["simulator-app-secret", "an-older-secret"]
"#;

pub(crate) async fn start(database: Database, settings: &str, change: impl FnOnce(&mut Options)) -> TestApp {
    TestApp::start_with(database, |options| {
        options.provider = ("gallabox", format!("{CREDENTIALS}{settings}"));
        options.simulator.knobs.dialect = Dialect::Gallabox;
        change(options);
    })
    .await
}

fn inbound(app: &TestApp) -> Vec<Value> {
    let records = app.simulator.callback_records(None).into_iter();
    records.filter(|record| record.endpoint == Endpoint::Inbound).map(|record| record.entry).collect()
}

/// Posts an event as Gallabox does; gives back the status of the answer.
pub(crate) async fn post(app: &TestApp, name: &str, event: &Value, secret: &str) -> u16 {
    let body = event.to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body.as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let mut headers = vec![("x-gallabox-signature", signature.as_str())];
    headers.extend((name != NO_NAME).then_some(("x-event-name", name)));
    app.post(&format!("/webhooks/gallabox/{CONNECTION}"), &headers, body).await.http_status
}

/// An event without the header that names it.
const NO_NAME: &str = "";

async fn a_template_goes_out_with_named_values_and_its_statuses_come_back(database: Database) {
    let app = start(database, WEBHOOK_SECRET, |_| {}).await;
    let message = Message::order_update(&person(1));

    app.accept(&message).await;
    app.settled().await;

    let send = app.simulator.sends(None).pop().expect("it was sent");
    assert_eq!(send.body["channelId"], NUMBER_ID);
    assert_eq!(send.body["recipient"]["phone"], person(1).trim_start_matches('+'));
    let template = &send.body["whatsapp"]["template"];
    assert_eq!(template["templateName"], "order_update");
    assert_eq!(template["bodyValues"], json!({"value_1": "Asha", "value_2": "A-17"}));
    assert_eq!(app.told(&message), ["sent", "delivered", "read"]);
    let stored = app.stored(&message).await.provider_message_id.expect("Gallabox gave it an id");
    assert!(!stored.starts_with("wamid."), "the answer has Gallabox's own id: {stored}");
    app.finish().await;
}

async fn a_reply_names_the_message_that_it_answers_although_it_has_two_ids(database: Database) {
    let app = start(database, WEBHOOK_SECRET, |_| {}).await;
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.settled().await;

    let wamid = app.simulator.sends(None).pop().and_then(|send| send.wamid).expect("it was taken");
    app.simulator.inbound_text(&person(1), NUMBER_ID, "yes please", Some(&wamid)).expect("the number exists");
    app.until("the reply is told", async || !inbound(&app).is_empty()).await;

    assert_eq!(inbound(&app)[0]["context"]["id"], message.msg_id());
    app.finish().await;
}

async fn a_status_that_echoes_nothing_is_found_by_gallaboxs_own_id(database: Database) {
    let app = start(database, WEBHOOK_SECRET, |options| options.simulator.knobs.echo_callback_data = false).await;
    let message = Message::order_update(&person(1));

    app.accept(&message).await;
    app.settled().await;

    assert_eq!(app.told(&message), ["sent", "delivered", "read"]);
    app.finish().await;
}

async fn whose_status_it_is_is_found_although_it_names_no_number(database: Database) {
    let other = crate::harness::OTHER_SENDER;
    let app = start(database, WEBHOOK_SECRET, |options| options.more = other.to_owned()).await;
    let first = Message::order_update(&person(1));
    let second = Message::order_update(&person(2)).with("wabaNumber", json!(crate::harness::OTHER_NUMBER));

    app.accept_all(&[first.clone(), second.clone()]).await;
    app.settled().await;

    for message in [first, second] {
        assert_eq!(app.told(&message), ["sent", "delivered", "read"]);
    }
    app.finish().await;
}

async fn an_agents_text_goes_out_and_what_gallabox_does_not_document_is_refused(database: Database) {
    let app = start(database, WEBHOOK_SECRET, |_| {}).await;
    let text = Message::freeform(&person(1), "How can we help?");
    let image = Message::freeform_of(&person(2), "image", json!({"mediaURL": "https://media.example/a.jpg"}));

    app.accept_all(&[text.clone(), image.clone()]).await;
    app.settled().await;

    assert_eq!(app.told(&text), ["sent", "delivered", "read"]);
    assert_eq!(app.told(&image), ["failed"]);
    let failure = app.stored(&image).await.failure.expect("it failed");
    assert!(failure.text.contains("undocumented_kinds"), "{}", failure.text);
    let stats = app.finish().await;
    assert_eq!(stats.sends_received, 1, "nothing is sent of which nobody knows how");
}

async fn a_failure_is_told_with_whatsapps_reason(database: Database) {
    let app = start(database, WEBHOOK_SECRET, |options| {
        one_webhook_at_a_time(options);
        let fails = Effect::Statuses(script("sent@5,failed:131026@10"));
        options.simulator.rules.push(Rule::suffix("20001", fails));
    })
    .await;
    let message = Message::order_update(&person(1));

    app.accept(&message).await;
    app.settled().await;

    assert_eq!(app.told(&message).last().map(String::as_str), Some("failed"));
    assert_eq!(app.told_failure(&message), Some(1005));
    app.finish().await;
}

async fn a_wrong_key_stops_the_number_until_somebody_looks(database: Database) {
    let app = start(database, WEBHOOK_SECRET, |_| {}).await;
    app.simulator.change_knobs(|knobs| knobs.access_token = "another".to_owned()).expect("valid knobs");

    app.accept(&Message::order_update(&person(1))).await;
    let held = async || app.directory().snapshot().connection(CONNECTION).is_some_and(|known| known.hold.is_some());
    app.until("the connection is on hold", held).await;

    assert_eq!(app.open_messages().await, 1, "it waits");
    app.leave().await;
}

async fn a_picture_is_fetched_with_the_key_and_told_with_a_link(database: Database) {
    let app = start(database, WEBHOOK_SECRET, |options| {
        options.settings.server.public_url = "https://whatsapp.example.com".to_owned();
    })
    .await;
    let picture = InboundMedia { caption: Some("is this right?".to_owned()), ..InboundMedia::default() };
    let message = Inbound {
        from: person(1),
        phone_number_id: NUMBER_ID.to_owned(),
        context_wamid: None,
        content: InboundContent::Image(picture),
    };

    app.simulator.inbound(&message).expect("the number exists");
    app.until("it is told", async || !inbound(&app).is_empty()).await;

    let stored = async || {
        let MediaOverview { stored, .. } = app.store.count_media().await.expect("files can be counted");
        stored == 1
    };
    app.until("the file is copied", stored).await;
    assert_eq!(inbound(&app).len(), 1);
    app.finish().await;
}

async fn webhooks_must_be_signed_and_repeats_and_own_words_tell_nothing_new(database: Database) {
    let app = start(database, WEBHOOK_SECRET, |_| {}).await;
    let event = json!({
        "id": "66c0", "accountId": WABA_ID, "channelId": NUMBER_ID, "contactId": "66c2", "sender": "66c2",
        "contact": {"name": "Asha", "phone": [person(1).trim_start_matches('+')]},
        "whatsapp": {"id": "wamid.IN1", "from": person(1).trim_start_matches('+'), "type": "text",
            "time": "1790000200", "status": "received", "text": {"body": "hello"}},
    });

    assert_eq!(post(&app, "Message.Received", &event, "another-secret").await, 401);
    assert_eq!(app.post(&format!("/webhooks/gallabox/{CONNECTION}"), &[], event.to_string()).await.http_status, 401);
    for secret in [APP_SECRET, "an-older-secret", APP_SECRET] {
        assert_eq!(post(&app, "Message.Received", &event, secret).await, 200);
    }
    let mut own = event.clone();
    own["sender"] = json!("agent-1");
    assert_eq!(post(&app, "Message.Received", &own, APP_SECRET).await, 200);
    assert_eq!(post(&app, "Message.Send", &own, APP_SECRET).await, 200);
    app.until("it is told", async || !inbound(&app).is_empty()).await;
    assert_eq!(app.store.count_unrecognized().await.expect("countable"), (0, 0));

    assert_eq!(post(&app, "Contact.Created", &json!({"id": "66c2", "name": "Asha"}), APP_SECRET).await, 200);
    assert_eq!(app.store.count_unrecognized().await.expect("countable"), (0, 0), "it is told under its own name");
    let account = app.directory().snapshot().accounts().next().expect("one was applied").key;
    let log = app.store.events_after(account, EventKind::Notice, Place(0), 10).await.expect("readable").0;
    assert!(
        log.len() == 1 && log[0].entry.as_deref().is_some_and(|entry| entry.contains("Contact.Created")),
        "{log:?}"
    );
    assert_eq!(post(&app, NO_NAME, &json!({"id": "66c2", "name": "Asha"}), APP_SECRET).await, 200);
    assert_eq!(app.store.count_unrecognized().await.expect("countable"), (1, 0), "nothing is lost");
    let stats = app.finish().await;
    assert_eq!(stats.clevertap.inbound["text"], 1);
}

async fn without_webhooks_the_conversations_are_read_now_and_then(database: Database) {
    let app = start(database, "poll_every_s = \"5\"", |_| {}).await;
    // Nothing comes by webhook.
    app.simulator.change_knobs(|knobs| knobs.webhooks_paused = true).expect("valid knobs");
    let sender = app.directory().snapshot().senders().next().expect("a number was applied").key;
    let began = async || app.store.polling_of(sender).await.expect("readable").is_some();
    app.until("it has been looked from when on to ask", began).await;
    // The simulator's times have whole seconds.
    let polling = app.store.polling_of(sender).await.expect("readable").expect("it was just there");
    let earlier = Polling { since: polling.since.minus(Duration::from_secs(2)), ..polling };
    app.store.keep_polling(sender, &earlier).await.expect("written");

    app.simulator.inbound_text(&person(1), NUMBER_ID, "anybody there?", None).expect("the number exists");
    app.until("it is told", async || !inbound(&app).is_empty()).await;

    assert_eq!(inbound(&app)[0]["text"]["body"], "anybody there?");
    assert_eq!(inbound(&app)[0]["from"], person(1).trim_start_matches('+'));
    app.leave().await;
}

async fn a_check_tells_whether_the_key_works_and_what_gallabox_must_be_told(database: Database) {
    let app = start(database, WEBHOOK_SECRET, |options| {
        options.settings.server.public_url = "https://whatsapp.example.com".to_owned();
    })
    .await;
    let findings = async || {
        let (_, printed) = app.command_ending(&["check", "--json"]).await;
        let report: Value = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"));
        report["findings"].as_array().expect("a list").clone()
    };
    let has = |found: &[Value], level: &str, key: &str, part: &str| {
        found.iter().any(|it| it["level"] == level && it[key].as_str().is_some_and(|text| text.contains(part)))
    };

    let right = findings().await;
    for (level, key, part) in [
        ("fine", "text", "the API key works"),
        ("fine", "text", "templates can be read"),
        ("fine", "text", "webhooks must be signed"),
        ("not_checked", "remedy", "Message.WA.Payment.Status.Received"),
    ] {
        assert!(has(&right, level, key, part), "{level} {part}: {right:#?}");
    }
    app.simulator.change_knobs(|knobs| knobs.access_token = "another".to_owned()).expect("valid knobs");
    let wrong = findings().await;
    assert!(has(&wrong, "wrong", "text", "does not take the API key"), "{wrong:#?}");
    assert!(has(&wrong, "not_checked", "remedy", "mend the API key first"), "{wrong:#?}");
    app.leave().await;
}

on_each_database![
    a_template_goes_out_with_named_values_and_its_statuses_come_back,
    a_reply_names_the_message_that_it_answers_although_it_has_two_ids,
    a_status_that_echoes_nothing_is_found_by_gallaboxs_own_id,
    whose_status_it_is_is_found_although_it_names_no_number,
    an_agents_text_goes_out_and_what_gallabox_does_not_document_is_refused,
    a_failure_is_told_with_whatsapps_reason,
    a_wrong_key_stops_the_number_until_somebody_looks,
    a_picture_is_fetched_with_the_key_and_told_with_a_link,
    webhooks_must_be_signed_and_repeats_and_own_words_tell_nothing_new,
    without_webhooks_the_conversations_are_read_now_and_then,
    a_check_tells_whether_the_key_works_and_what_gallabox_must_be_told,
];
