//! One person's data: handed over, and erased.

use serde_json::{Value, json};
use wabridge::{
    domain::{account::Hold, phone::PhoneNumber},
    simulator::{CallbackRule, Effect, Endpoint, Inbound, InboundContent, InboundMedia, PersonIds, Rule},
    store::{media::MediaOverview, people::PersonLinkRow},
};

use crate::{
    harness::{APP_SECRET, Database, Message, NUMBER_ID, TestApp, WABA_ID, on_each_database, person, script},
    media::files_in,
    suppressions::{choose, name_both, number, until_refused, until_refused_message},
};

/// Waits until two refused requests of the person can be looked up: they are written behind the answers.
pub(crate) async fn until_refusals_are_kept(app: &TestApp, person: &str) {
    app.until("both refusals are kept", async || {
        let data: Value = serde_json::from_str(&app.command(&["person", person, "--json"]).await).expect("JSON");
        data["refused_requests"].as_array().is_some_and(|refused| refused.len() >= 2)
    })
    .await;
}

const ALL: [&str; 3] = ["sent", "delivered", "read"];

async fn a_persons_data_is_handed_over_and_erased(database: Database) {
    let app = TestApp::start(database).await;
    let (gone, stays) = (person(1), person(2));
    for to in [&gone, &stays] {
        app.accept(&Message::order_update(to)).await;
        app.simulator.inbound_text(to, NUMBER_ID, "thank you", None).expect("the number exists");
        app.send(&Message::template(to, "order_update", "en")).await;
    }
    app.settled().await;
    choose(&app, number(&gone), "stop", 1_790_000_100).await;
    until_refused(&app, &gone).await;
    app.settled().await;
    until_refusals_are_kept(&app, &gone).await;

    let (code, text) = app.command_ending(&["person", &gone]).await;
    let handed_over = app.command(&["person", &gone, "--json"]).await;
    let (unsure, _) = app.command_ending(&["forget", &gone]).await;
    let erased = app.command(&["forget", &gone, "--yes", "--json"]).await;
    let (nothing, _) = app.command_ending(&["person", &gone, "--json"]).await;

    assert_eq!(code, 0);
    assert!(text.contains("order_update") && text.contains("wrote to") && text.contains("refused at"), "{text}");
    let data: Value = serde_json::from_str(&handed_over).expect("JSON");
    assert_eq!(data["phone"], gone);
    let messages = data["messages"].as_array().expect("a list");
    assert!(messages.iter().all(|message| message["request"]["to"] == gone.as_str()), "contents, and nobody else's");
    assert_eq!(messages[0]["events"].as_array().map(Vec::len), Some(3));
    assert_eq!(data["inbound"][0]["entry"]["text"]["body"], "thank you");
    assert_eq!(data["inbound"][1], Value::Null, "nobody else's");
    assert_eq!(data["suppressions"][0]["reason"], "stopped in WhatsApp");
    assert_eq!(data["refused_requests"].as_array().map(|all| all.len() >= 2), Some(true));
    assert_eq!(unsure, 1, "nobody said yes");
    let erased: Value = serde_json::from_str(&erased).expect("JSON");
    assert_eq!((&erased["messages_deleted"], &erased["inbound"]), (&json!(messages.len()), &json!(1)), "{erased}");
    assert_eq!(nothing, 0, "the hash of the opt-out is still there");
    let left = app.command(&["person", &gone, "--json"]).await;
    let left: Value = serde_json::from_str(&left).expect("JSON");
    for what in ["messages", "inbound", "refused_requests", "webhook_parts", "ids", "files"] {
        assert_eq!(left[what], json!([]), "{what}");
    }
    // Who opted out stays opted out.
    until_refused(&app, &gone).await;
    assert!(!app.command(&["suppress", "export"]).await.contains(&gone));
    let others: Value = serde_json::from_str(&app.command(&["person", &stays, "--json"]).await).expect("JSON");
    assert_eq!(others["messages"].as_array().map(Vec::len), Some(1));
    app.finish().await;
}

async fn what_is_queued_for_an_erased_person_is_taken_back_and_reported(database: Database) {
    let app = TestApp::start(database).await;
    let sender = app.store.load_configuration().await.expect("readable").senders[0].key;
    let hold = Hold::by_answer(wabridge::clock::now(), "a test".to_owned());
    app.store.hold_sender(sender, &hold).await.expect("it can be held");
    app.until_held().await;
    let (gone, stays) = (Message::order_update(&person(1)), Message::order_update(&person(2)));
    app.accept(&gone).await;
    app.accept(&stays).await;

    let erased = app.command(&["forget", &person(1), "--yes", "--suppress", "--json"]).await;
    app.until("it is reported", async || app.told(&gone) == ["failed"]).await;
    app.release_sender(sender).await;
    app.settled().await;

    let erased: Value = serde_json::from_str(&erased).expect("JSON");
    assert_eq!(erased["cancelled"], 1, "{erased}");
    assert_eq!(app.told_failure(&gone), Some(1009));
    assert_eq!(app.told(&stays), ALL);
    assert!(app.simulator.sends(Some(&person(1))).is_empty(), "it never left");
    until_refused_message(&app, || Message::order_update(&person(1))).await;
    assert_eq!(app.command_ending(&["forget", &person(7), "--yes"]).await.0, 3, "nothing was stored");
    app.finish().await;
}

/// Whether this stands anywhere in SQLite's file, or in its write-ahead log.
fn is_in_the_file(app: &TestApp, text: &str) -> bool {
    let has = |name| app.read_file(name).windows(text.len()).any(|part| part == text.as_bytes());
    ["wabridge.db", "wabridge.db-wal"].into_iter().any(has)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_who_was_erased_can_be_read_in_the_file() {
    let mut app = TestApp::start_with(Database::sqlite().await, |options| options.as_process = true).await;
    let (gone, stays) = (person(1), person(2));
    for to in [&gone, &stays] {
        app.accept(&Message::order_update(to)).await;
        app.simulator.inbound_text(to, NUMBER_ID, "thank you", None).expect("the number exists");
    }
    app.settled().await;

    app.command(&["forget", &gone, "--yes"]).await;
    app.process().terminate().await;
    app.close_store().await;

    let digits = |person: &str| person.trim_start_matches('+').to_owned();
    assert!(is_in_the_file(&app, &digits(&stays)), "contents are readable, so this looks at the right place");
    assert!(!is_in_the_file(&app, &digits(&gone)), "an erased person's number is left in the file");
    app.leave().await;
}

async fn links_of(app: &TestApp, person: &str) -> Vec<PersonLinkRow> {
    let phone = PhoneNumber::from_international(person).expect("a number");
    app.store.links_of(&phone).await.expect("readable")
}

async fn who_hides_the_number_is_found_by_the_id_and_forgotten_with_all_files(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.settings.server.public_url = "https://whatsapp.example.com".to_owned();
        options.simulator.knobs.person_ids = PersonIds::Both;
    })
    .await;
    let (gone, stays) = (person(1), person(2));
    for to in [&gone, &stays] {
        app.accept(&Message::order_update(to)).await;
    }
    app.settled().await;
    let write = |from: &String, content: InboundContent| {
        let (from, phone_number_id) = (from.clone(), NUMBER_ID.to_owned());
        app.simulator
            .inbound(&Inbound { from, phone_number_id, context_wamid: None, content })
            .expect("the number exists");
    };
    // Once under both names, from then on under the id alone.
    for from in [&gone, &stays] {
        write(from, InboundContent::Text { body: "hello".to_owned() });
    }
    app.settled().await;
    app.simulator.change_knobs(|knobs| knobs.person_ids = PersonIds::UserId).expect("valid knobs");
    for from in [&gone, &stays] {
        write(from, InboundContent::Image(InboundMedia::default()));
    }
    app.until("both are stored", async || app.store.count_media().await.expect("countable").stored == 2).await;
    app.settled().await;

    let text = app.command(&["person", &gone]).await;
    let data: Value = serde_json::from_str(&app.command(&["person", &gone, "--json"]).await).expect("JSON");
    let erased: Value = serde_json::from_str(&app.command(&["forget", &gone, "--yes", "--json"]).await).expect("JSON");

    assert!(text.contains("sent a file to") && text.contains("last seen as"), "{text}");
    let written = data["inbound"].as_array().expect("a list");
    assert_eq!(written.len(), 2, "{data}");
    let hidden =
        written.iter().find(|message| message["entry"]["from"].is_null()).expect("one came under the id alone");
    assert_eq!(hidden["person"], json!(gone));
    let file = &data["files"][0];
    assert_eq!(
        (&file["kind"], &file["mime_type"], &file["state"]),
        (&json!("image"), &json!("image/jpeg"), &json!("stored"))
    );
    assert!(file["size_bytes"].as_i64() > Some(0) && data["files"][1].is_null(), "{data}");
    assert_eq!(data["ids"].as_array().map(Vec::len), Some(1));
    assert_eq!((&erased["files"], &erased["ids"], &erased["inbound"]), (&json!(1), &json!(1), &json!(2)), "{erased}");
    assert_eq!(app.command_ending(&["person", &gone]).await.0, 3, "nothing is left");
    assert_eq!(links_of(&app, &gone).await, []);
    assert_eq!((links_of(&app, &stays).await.len(), files_in(&app)), (1, 1), "what others sent stays");
    let counted = app.store.count_media().await.expect("countable");
    assert_eq!(MediaOverview { stored_bytes: 0, ..counted }, MediaOverview { stored: 1, ..MediaOverview::default() });
    app.finish().await;
}

async fn who_was_forgotten_and_writes_again_is_known_again(database: Database) {
    let app = TestApp::start(database).await;
    let (gone, stays) = (person(1), person(2));
    for (phone, user_id) in [(&gone, "IN.1349A"), (&stays, "IN.1349B")] {
        name_both(&app, phone, user_id).await;
    }
    assert_eq!((links_of(&app, &gone).await.len(), links_of(&app, &stays).await.len()), (1, 1));

    app.command(&["forget", &gone, "--yes"]).await;
    assert_eq!(links_of(&app, &gone).await, []);

    app.until("the link is written down again", async || {
        name_both(&app, &gone, "IN.1349A").await;
        !links_of(&app, &gone).await.is_empty()
    })
    .await;
    app.finish().await;
}

async fn what_is_reported_of_an_erased_message_is_told_and_leaves_no_trace_of_the_person(database: Database) {
    let app = TestApp::start(database).await;
    let rule =
        CallbackRule { answer_status: 503, endpoint: Some(Endpoint::DeliveryReports), ..CallbackRule::default() };
    app.simulator.add_callback_rule(rule);
    app.simulator.set_rules(vec![Rule::everybody(Effect::Statuses(script("sent@0")))]);
    let message = Message::marketing(&person(1));
    app.accept(&message).await;
    let events = async || app.store.events_of(&app.stored(&message).await).await.expect("readable");
    app.until("it was sent", async || !events().await.is_empty()).await;
    let before = app.stored(&message).await;

    let erased: Value =
        serde_json::from_str(&app.command(&["forget", &person(1), "--yes", "--json"]).await).expect("JSON");
    let digits = person(1).trim_start_matches('+').to_owned();
    let wamid = before.provider_message_id.clone().expect("WhatsApp gave it an id");
    for (status, errors) in [("delivered", json!([])), ("failed", json!([{"code": 131050, "title": "stopped"}]))] {
        let status = json!({"id": wamid, "status": status, "timestamp": "1795000000", "recipient_id": digits,
            "errors": errors, "biz_opaque_callback_data": before.id.to_string()});
        let value = json!({"messaging_product": "whatsapp", "metadata": {"phone_number_id": NUMBER_ID},
            "statuses": [status]});
        let entry = json!({"id": WABA_ID, "changes": [{"field": "messages", "value": value}]});
        let webhook = json!({"object": "whatsapp_business_account", "entry": [entry]});
        assert_eq!(app.post_webhook(webhook.to_string(), APP_SECRET).await, 200);
    }

    assert_eq!(erased["messages_emptied"], 1, "a report was owed: {erased}");
    let events = events().await;
    assert!(events.len() >= 2 && events.iter().all(|event| event.entry.is_none()), "{events:?}");
    let shell = app.stored(&message).await;
    assert_eq!((shell.provider_message_id.as_deref(), shell.request.as_str()), (Some("erased"), ""));
    let list: Value = serde_json::from_str(&app.command(&["suppress", "list", "--json"]).await).expect("JSON");
    assert_eq!(list, json!([]), "nobody can be meant");
    assert_eq!(app.command_ending(&["person", &person(1)]).await.0, 3);
    app.simulator.set_callback_rules(vec![]);
    app.settled().await;
    assert_eq!(app.told(&message)[..2], ["sent", "delivered"]);
    app.finish().await;
}

on_each_database![
    a_persons_data_is_handed_over_and_erased,
    what_is_queued_for_an_erased_person_is_taken_back_and_reported,
    who_hides_the_number_is_found_by_the_id_and_forgotten_with_all_files,
    who_was_forgotten_and_writes_again_is_known_again,
    what_is_reported_of_an_erased_message_is_told_and_leaves_no_trace_of_the_person,
];
