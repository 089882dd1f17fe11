//! What an account and a number may decide about the requests that come in.

use serde_json::{Value, json};

use crate::harness::{ACCOUNT, CREDENTIALS, Database, Message, TestApp, on_each_database, person};

const OUR_PATH: &str = "/clevertap/acme/messages";

/// A message with the text that CleverTap shows for it.
fn rendered(to: &str, body: &str) -> Message {
    let parameters = json!([{"type": "text", "text": "Asha"}, {"type": "text", "text": "A-17"}]);
    let body = json!({"type": "body", "body": {"text": body, "parameters": parameters}});
    Message::template(to, "order_update", "en").part(body)
}

async fn another_text_than_the_templates_is_told_and_taken(database: Database) {
    let app = TestApp::start_with(database, |options| options.as_process = true).await;
    let same = rendered(&person(1), "Hi Asha, your order A-17 is on its way.\r\n");
    let other = rendered(&person(2), "Hi Asha, your order A-17 is delayed, Asha.");

    app.accept(&same).await;
    // What a busy machine cannot store in time is asked for again, and told again.
    let mut tries = 0;
    app.until("it is taken", async || {
        tries += 1;
        app.send_once(&other).await.is_success()
    })
    .await;
    app.settled().await;

    let log = String::from_utf8(app.read_file(crate::harness::LOG_FILE)).expect("the log is text");
    let told: Vec<&str> = log.lines().filter(|line| line.contains("was shown another text")).collect();
    assert_eq!(told.len(), tries, "{told:?}");
    assert!(told[0].contains("part after 28 characters"), "{}", told[0]);
    assert!(["Asha", "way", "delayed"].iter().all(|word| !told[0].contains(word)), "no words: {}", told[0]);
    let story = app.command(&["message", other.msg_id()]).await;
    assert!(story.contains("note: the text of the message is not the template's: after"), "{story}");
    assert!(!app.command(&["message", same.msg_id()]).await.contains("note:"));
    let (_, metrics) = app.get("/metrics").await;
    assert!(metrics.contains(&format!("wabridge_rendered_differences_total {tries}\n")), "{metrics}");
    let stats = app.finish().await;
    assert_eq!(stats.sends_accepted, 2);
}

async fn an_account_may_refuse_another_text(database: Database) {
    let app = TestApp::start_with(database, |options| options.account = "rendered_body = \"refuse\"".to_owned()).await;

    // The template was edited, and our list is out of date: it is read again before anybody is refused.
    let mut templates = app.simulator.templates();
    let edited = templates.iter_mut().find(|entry| entry["name"] == "order_update" && entry["language"] == "en");
    edited.expect("in the sample")["components"][0]["text"] = json!("Hi {{1}}, your order {{2}} was shipped.");
    app.simulator.set_templates(templates).expect("of Meta's shape");
    app.accept(&rendered(&person(1), "Hi Asha, your order A-17 was shipped.")).await;
    app.accept(&Message::order_update(&person(2))).await;

    let refused = app.send(&rendered(&person(3), "Hi Asha, your order A-17 is delayed.")).await;

    assert_eq!(refused.code(), 2001, "{refused:?}");
    assert_eq!(
        refused.message(),
        "body: the text of the message is not that of template order_update (en): they part after 25 characters, where \
         WhatsApp's has 12 more and the other one 11, and after \"Hi {{1}}, your order {{2}} \" WhatsApp's has \
         \"was shipped.\"; save the template again with the text that WhatsApp has"
    );
    let stats = app.finish().await;
    assert_eq!(stats.sends_accepted, 2);
}

async fn forbidden_white_space_may_be_cleaned(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.account = "forbidden_white_space = \"clean\"".to_owned();
    })
    .await;
    let message = Message::template(&person(1), "order_update", "en").values(&["Asha\nRao", "A-17\t\t     (two)\n"]);

    app.accept(&message).await;
    app.settled().await;

    let send = app.simulator.sends(Some(&person(1))).pop().expect("it was sent");
    let parameters = &send.body["template"]["components"][0]["parameters"];
    assert_eq!((&parameters[0]["text"], &parameters[1]["text"]), (&json!("Asha Rao"), &json!("A-17 (two)")));
    assert_eq!(app.send(&Message::template(&person(2), "order_update", "en").values(&["\n", "x"])).await.code(), 2001);
    app.finish().await;
}

async fn a_location_header_gets_the_numbers_name_and_address(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.more = "location_name = \"Acme\"\nlocation_address = \"1 Hill Road, Mumbai\"".to_owned();
    })
    .await;
    let place = |content: Value| json!({"type": "header", "header": {"type": "location", "location": content}});
    let bare = place(json!({"latitude": 19.07, "longitude": "72.87"}));
    let whole = place(json!({"latitude": "19.07", "longitude": "72.87", "name": "Shop", "address": "2, Hill Road"}));

    app.accept(&Message::template(&person(1), "store_nearby", "en").part(bare).values(&["Asha"])).await;
    app.accept(&Message::template(&person(2), "store_nearby", "en").part(whole).values(&["Asha"])).await;
    app.settled().await;

    let sent = |number| {
        let send = app.simulator.sends(Some(&person(number))).pop().expect("it was sent");
        send.body["template"]["components"][0]["parameters"][0]["location"].clone()
    };
    let expected = |name: &str, address: &str| json!({"latitude": "19.07", "longitude": "72.87", "name": name, "address": address});
    assert_eq!(sent(1), expected("Acme", "1 Hill Road, Mumbai"));
    assert_eq!(sent(2), expected("Shop", "2, Hill Road"));
    assert!(app.command(&["status"]).await.contains("get: Acme, 1 Hill Road, Mumbai"));
    app.finish().await;
}

async fn an_account_may_be_called_from_its_own_addresses_only(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.settings.server.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")];
        options.account = "allowed_addresses = [\"203.0.113.0/24\", \"2001:db8::7\"]".to_owned();
    })
    .await;
    let call = async |from: &str, number| {
        let headers = [CREDENTIALS[0], CREDENTIALS[1], ("X-Forwarded-For", from)];
        app.post(OUR_PATH, &headers, Message::order_update(&person(number)).body.to_string()).await
    };
    let wrong_passcode = app.post(OUR_PATH, &[], "{}").await;

    assert!(call("203.0.113.7", 1).await.is_success());
    assert!(call("2001:db8::7", 2).await.is_success());
    assert!(call("198.51.100.1, 203.0.113.7", 3).await.is_success(), "the nearest one counts");
    for from in ["198.51.100.1", "203.0.113.7, 198.51.100.1", "2001:db8::8", "nonsense"] {
        assert_eq!(call(from, 4).await, wrong_passcode, "{from}");
    }
    let (status, _) = app.get_with("/clevertap/acme/templates", &CREDENTIALS).await;
    assert_eq!(status, 401, "the same for the list of templates");

    let stats = app.finish().await;
    assert_eq!(stats.sends_accepted, 3);
}

async fn custom_properties_are_kept_and_shown_with_the_message(database: Database) {
    let app = TestApp::start(database).await;
    let message = Message::order_update(&person(1)).part(json!({"customProps": [{"crm_id": "C-42"}, {"vip": true}]}));

    app.accept(&message).await;
    app.settled().await;

    let story = app.command(&["message", message.msg_id(), "--full"]).await;
    assert!(story.contains("custom property crm_id: C-42") && story.contains("custom property vip: true"), "{story}");
    assert!(!app.command(&["message", message.msg_id()]).await.contains("C-42"), "contents are shown on request only");
    let configuration = app.store.load_configuration().await.expect("readable");
    let account = configuration.account(ACCOUNT).expect("it is there");
    let pairs = wabridge::platforms::custom_pairs(account, &app.stored(&message).await.request);
    assert_eq!(pairs, [("crm_id", "C-42"), ("vip", "true")].map(|(key, value)| (key.to_owned(), value.to_owned())));
    app.finish().await;
}

on_each_database![
    another_text_than_the_templates_is_told_and_taken,
    an_account_may_refuse_another_text,
    forbidden_white_space_may_be_cleaned,
    a_location_header_gets_the_numbers_name_and_address,
    an_account_may_be_called_from_its_own_addresses_only,
    custom_properties_are_kept_and_shown_with_the_message,
];
