//! Taking a message in: who may, what, and what is answered.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use wabridge::domain::outbound::SendState;

use crate::harness::{
    ACCOUNT, Answer, BUSINESS_NUMBER, CREDENTIALS, Database, Message, OTHER_ACCOUNT, OTHER_NUMBER, OTHER_SENDER,
    TestApp, on_each_database, person,
};

const OUR_PATH: &str = "/clevertap/acme/messages";

async fn every_kind_of_credentials_opens_the_door(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.account = r#"
            basic_username = "acme"
            basic_password = "basic-password"
            bearer_token = "bearer-token"
            url_token = "0123456789abcdef0123456789abcdef"
            headers = { user = "acme-user", password = "acme-password" }
        "#
        .to_owned();
    })
    .await;
    let basic = format!("Basic {}", BASE64_STANDARD.encode("acme:basic-password"));
    let wrong_basic = format!("Basic {}", BASE64_STANDARD.encode("acme:another"));
    let secret_path = "/clevertap/acme/0123456789abcdef0123456789abcdef/messages";
    let post = async |path: &str, headers: &[(&str, &str)]| {
        app.post(path, headers, Message::order_update(&person(1)).body.to_string()).await
    };

    for (path, headers) in [
        (OUR_PATH, &CREDENTIALS[..]),
        (OUR_PATH, &[("Authorization", basic.as_str())]),
        (OUR_PATH, &[("Authorization", "Bearer bearer-token")]),
        (OUR_PATH, &[("Authorization", "bearer-token")]),
        (OUR_PATH, &[("user", "acme-user"), ("password", "acme-password")]),
        (secret_path, &[]),
    ] {
        let answer = post(path, headers).await;
        assert!(answer.is_success(), "{path} {headers:?}: {answer:?}");
    }
    for (path, headers) in [
        (OUR_PATH, &[][..]),
        (OUR_PATH, &[("Authorization", wrong_basic.as_str())]),
        (OUR_PATH, &[("Authorization", "Bearer bearer-token-2")]),
        (OUR_PATH, &[("user", "acme-user")]),
        (OUR_PATH, &[CREDENTIALS[0], ("X-CleverTap-Passcode", "another")]),
        (OUR_PATH, &[("X-CleverTap-Account-Id", "TEST-ACC-2"), CREDENTIALS[1]]),
        ("/clevertap/acme/0123456789abcdef0123456789abcdee/messages", &[]),
    ] {
        let answer = post(path, headers).await;
        assert_eq!((answer.http_status, answer.code()), (200, 2000), "{path} {headers:?}");
    }

    let stats = app.finish().await;
    assert_eq!(stats.sends_accepted, 6);
}

async fn an_unknown_account_looks_like_a_wrong_passcode_and_a_disabled_one(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.more = r#"
            [[accounts]]
            id = "closed"
            platform = "clevertap"
            enabled = false
            clevertap_account_id = "TEST-ACC-1"
            clevertap_passcode = "acme-passcode"
        "#
        .to_owned();
    })
    .await;
    let message = Message::order_update(&person(1));

    let wrong = app.post(OUR_PATH, &[], message.body.to_string()).await;
    let unknown = app.post("/clevertap/nobody/messages", &CREDENTIALS, message.body.to_string()).await;
    let closed = app.post("/clevertap/closed/messages", &CREDENTIALS, message.body.to_string()).await;
    let not_json = app.post("/clevertap/nobody/messages", &CREDENTIALS, "hello").await;

    assert_eq!((wrong.http_status, wrong.code()), (200, 2000));
    assert!(wrong.message().contains("credentials"), "{}", wrong.message());
    assert_eq!([&unknown, &closed, &not_json], [&wrong; 3]);
    let stats = app.finish().await;
    assert_eq!(stats.sends_received, 0);
}

async fn a_template_of_every_kind_arrives_as_whatsapp_wants_it(database: Database) {
    let app = TestApp::start(database).await;
    let header = |kind: &str, content: Value| json!({"type": "header", "header": {"type": kind, kind: content}});
    let image = header("image", json!({"mediaURL": "https://media.example/offer.jpg"}));
    let file = header("file", json!({"mediaURL": "https://media.example/may.pdf", "filename": "May.pdf"}));
    let place =
        header("location", json!({"latitude": "19.07", "longitude": "72.87", "name": "Shop", "address": "1, Hill"}));
    let title = header("text", json!({"text": "Still thinking?", "parameters": [{"type": "text", "text": "Asha"}]}));
    let text = |text: &str| json!({"type": "text", "text": text});
    let to = |number| person(number);

    let messages = [
        Message::order_update(&to(1)),
        Message::template(&to(2), "welcome", "en"),
        Message::template(&to(3), "festive_offer", "en")
            .part(json!({"type": "footer", "footer": "Reply STOP to opt out"}))
            .button("quickReply", "Stop promotions", json!({"type": "payload", "payload": "stop-7"}))
            .values(&["Asha", "20%"])
            .part(image),
        Message::template(&to(4), "invoice_ready", "en_US").part(file).values(&["Asha", "May"]),
        Message::marketing(&to(5)),
        Message::template(&to(6), "store_nearby", "en").part(place).values(&["Asha"]),
        Message::template(&to(7), "cart_reminder", "en")
            .part(title)
            .values(&["blue kettle"])
            .button("dynamicUrl", "Open cart", text("https://shop.example/cart/A-17"))
            .button("staticUrl", "Visit us", text("https://shop.example/"))
            .button("callPhone", "Call us", text("+918880110022")),
        Message::template(&to(8), "coupon", "en").values(&["Asha"]).button(
            "copy_code",
            "Copy offer code",
            json!({"type": "coupon_code", "coupon_code": "SAVE20"}),
        ),
        Message::template(&to(9), "login_code", "en").values(&["482913"]),
        Message::template(&to(10), "appointment", "en(uk)").values(&["Asha", "Monday"]),
        Message::template(&to(11), "old-namespace:Order_Update", "hi").values(&["आशा", "A-17"]),
    ];
    app.accept_all(&messages).await;
    let stats = app.settled().await;

    assert!(stats.sends_refused.is_empty(), "WhatsApp would refuse some: {:?}", stats.sends_refused);
    for message in &messages {
        assert_eq!(app.told(message), ["sent", "delivered", "read"], "{}", message.body);
    }
    let sent = |number| {
        let send = app.simulator.sends(Some(&person(number))).pop().expect("it was sent");
        send.body["template"].clone()
    };
    let component = |number, index: usize| sent(number)["components"][index].clone();
    assert_eq!(sent(2)["components"].as_array().map_or(0, Vec::len), 0);
    assert_eq!(component(3, 0)["parameters"][0]["image"], json!({"link": "https://media.example/offer.jpg"}));
    assert_eq!(component(3, 2)["index"], json!("1"), "the second button, by its text");
    assert_eq!(component(3, 2)["parameters"][0], json!({"type": "payload", "payload": "stop-7"}));
    assert_eq!(
        component(4, 0)["parameters"][0]["document"],
        json!({"link": "https://media.example/may.pdf", "filename": "May.pdf"})
    );
    assert_eq!(component(7, 2)["parameters"], json!([{"type": "text", "text": "A-17"}]), "without the fixed prefix");
    assert_eq!(component(10, 0)["parameters"][1]["parameter_name"], "day");
    assert_eq!(
        (sent(10)["language"]["code"].as_str(), sent(11)["name"].as_str()),
        (Some("en_GB"), Some("order_update"))
    );
    assert_eq!(component(11, 0)["parameters"][0]["text"], "आशा");
    app.finish().await;
}

async fn a_freeform_message_of_every_kind_arrives_as_whatsapp_wants_it(database: Database) {
    let app = TestApp::start(database).await;
    let media = json!({"mediaURL": "media.example/a.bin", "caption": "Look", "filename": "a.bin"});
    let messages: Vec<Message> = [
        ("text", json!({"body": "Hello  🙏\nagain"})),
        ("image", media.clone()),
        ("video", media.clone()),
        ("audio", media.clone()),
        ("file", media),
        ("location", json!({"latitude": "19.07", "longitude": "72.87"})),
    ]
    .into_iter()
    .enumerate()
    .map(|(number, (kind, content))| Message::freeform_of(&person(number), kind, content))
    .collect();

    app.accept_all(&messages).await;
    app.settled().await;

    let sent = |number| app.simulator.sends(Some(&person(number))).pop().expect("it was sent").body;
    assert_eq!(sent(0)["text"]["body"], "Hello  🙏\nagain");
    assert_eq!(sent(1)["image"], json!({"link": "https://media.example/a.bin", "caption": "Look"}));
    assert_eq!(sent(3)["audio"], json!({"link": "https://media.example/a.bin"}));
    assert_eq!(
        sent(4)["document"],
        json!({"link": "https://media.example/a.bin", "caption": "Look", "filename": "a.bin"})
    );
    for message in &messages {
        assert_eq!(app.told(message), ["sent", "delivered", "read"]);
    }
    app.finish().await;
}

async fn what_leaves_names_the_recipient_with_plus_and_carries_our_own_id(database: Database) {
    let app = TestApp::start(database).await;
    let (with_plus, national) = (person(1), person(2).replace("+91", ""));
    let messages = [Message::order_update(&with_plus), Message::order_update(&national)];

    app.accept_all(&messages).await;
    app.settled().await;

    for (number, message) in [1, 2].into_iter().zip(&messages) {
        let send = app.simulator.sends(Some(&person(number))).pop().expect("it was sent");
        let id = app.stored(message).await.id;
        assert!(id.to_string().starts_with("msg_"), "{id}");
        assert_eq!(send.body["to"], person(number));
        assert_eq!(send.body["biz_opaque_callback_data"], id.to_string());
    }
    app.finish().await;
}

async fn a_wrapped_body_and_a_number_without_its_country_code_are_understood(database: Database) {
    let app = TestApp::start(database).await;
    let message = Message::order_update(&person(1));
    let short = Message::order_update(&person(2)).with("wabaNumber", json!("8880110022"));

    let answer = app.post(OUR_PATH, &CREDENTIALS, json!({"body": message.body}).to_string()).await;
    app.accept(&short).await;
    app.settled().await;

    assert!(answer.is_success(), "{answer:?}");
    assert_eq!(app.told(&message), ["sent", "delivered", "read"]);
    assert_eq!(app.told(&short), ["sent", "delivered", "read"]);
    app.finish().await;
}

async fn what_does_not_fit_is_refused_with_its_code_and_says_what_to_change(database: Database) {
    let app = TestApp::start(database).await;
    let to = person(1);
    let update = || Message::template(&to, "order_update", "en");
    let image =
        json!({"type": "header", "header": {"type": "image", "image": {"mediaURL": "https://media.example/1.jpg"}}});
    let offer = || Message::template(&to, "festive_offer", "en").values(&["Asha", "20%"]);

    for (message, code, says) in [
        (Message::template(&to, "order_updat", "en").values(&["Asha", "A-17"]), 2001, "template order_updat: "),
        (Message::template(&to, "order_update", "fr").values(&["Asha", "A-17"]), 2001, "approved languages: en, hi"),
        (Message::template(&to, "winback", "en").values(&["Asha"]), 2001, "its status is paused"),
        (update().values(&["Asha"]), 2001, "body: template order_update needs 2 parameters, got 1; add"),
        (update(), 2001, "needs 2 parameters, got 0"),
        (update().values(&["Asha", "A-17", "?"]), 2001, "got 3; remove"),
        (update().values(&["Asha", ""]), 2001, "parameter 2"),
        (update().values(&["Asha", "A\n17"]), 2001, "line break"),
        (update().values(&["Asha", "A     17"]), 2001, "spaces"),
        (update().values(&["Asha", "A-17"]).part(image.clone()), 2001, "header: "),
        (offer(), 2001, "an image header"),
        (
            offer().part(image).button("quickReply", "Buy", json!({})).button("copy_code", "C", json!({})),
            2001,
            "button",
        ),
        (Message::freeform(&to, " "), 2001, "text: "),
        (Message::freeform_of(&to, "image", json!({"caption": "?"})), 2001, "media: "),
        (Message::order_update("98765ABCDE"), 2002, "to: "),
        (Message::order_update("12345"), 2002, "to: "),
        (Message::order_update(""), 2002, "to: "),
        (Message::order_update(BUSINESS_NUMBER), 2002, "the business number itself"),
        (Message::order_update(&to).with("wabaNumber", json!("+918880110099")), 2004, BUSINESS_NUMBER),
        (Message::order_update(&to).with("isTemplate", json!(false)).with("type", json!("poll")), 2004, "type: "),
        (Message::order_update(&to).id(&"7".repeat(300)), 2004, "msgId: "),
        (Message::order_update(&to).id("7|\u{0}|1"), 2004, "msgId: "),
    ] {
        let answer = app.send(&message).await;
        let Answer { http_status, .. } = answer;
        assert_eq!((http_status, answer.code()), (200, code), "{}: {answer:?}", message.body);
        assert!(answer.message().contains(says), "{says:?} is not in {:?}", answer.message());
        assert_eq!(answer.body["status"], "failure");
    }

    let stats = app.finish().await;
    assert_eq!(stats.sends_received, 0, "what was refused is never sent");
}

async fn a_refused_request_is_kept_with_its_answer(database: Database) {
    let app = TestApp::start(database).await;
    let message = Message::template(&person(1), "order_update", "en").values(&["Asha"]);

    let answer = app.send(&message).await;

    let kept = async || app.store.refused_with(message.msg_id()).await.expect("refused requests can be read");
    app.until("the request is kept", async || !kept().await.is_empty()).await;
    let kept = kept().await.remove(0);
    assert_eq!((kept.kind.as_str(), kept.answer.as_str()), ("template", answer.message()));
    assert_eq!(serde_json::from_str::<Value>(&kept.request).expect("it is kept as it came"), message.body);
    app.finish().await;
}

async fn a_request_that_cannot_be_understood_is_found_by_its_id_all_the_same(database: Database) {
    let app = TestApp::start(database).await;
    let misshapen = json!({"to": "+919876500001", "msgId": "7|1", "components": "body"});
    let unknown = json!({"body": {"to": "+919876500001", "msg_id": "7|2", "type": "banana"}});

    for (body, id) in [(misshapen, "7|1"), (unknown, "7|2")] {
        let answer = app.post(OUR_PATH, &CREDENTIALS, body.to_string()).await;

        let kept = async || app.store.refused_with(id).await.expect("refused requests can be read");
        app.until("the request is kept", async || !kept().await.is_empty()).await;
        assert_eq!(kept().await.remove(0).answer, answer.message());
    }
    app.finish().await;
}

async fn what_is_no_message_at_all_is_refused_and_harms_nobody(database: Database) {
    let app = TestApp::start(database).await;
    let too_large = json!({"text": "x".repeat(300 * 1024)}).to_string();
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));

    for body in ["", "hello", "{", "[]", "42", "null", "{}", "{\"body\": {}}", &deep, &too_large, "\u{0}"] {
        let answer = app.post(OUR_PATH, &CREDENTIALS, body.to_owned()).await;
        let shown: String = body.chars().take(20).collect();
        assert_eq!(answer.http_status, 200, "{shown}: {answer:?}");
        assert!([2001, 2002, 2004].contains(&answer.code()), "{shown}: {answer:?}");
    }
    let not_utf8 = app.post(OUR_PATH, &CREDENTIALS, vec![b'{', 0xff, 0xfe, b'}']).await;
    assert_eq!(not_utf8.code(), 2004, "{not_utf8:?}");
    let large = app.post(OUR_PATH, &CREDENTIALS, too_large).await;
    assert!(large.message().contains("262144"), "it names the limit: {}", large.message());

    app.accept(&Message::order_update(&person(1))).await;
    let stats = app.finish().await;
    assert_eq!(stats.sends_accepted, 1);
}

async fn clevertaps_checks_are_answered_and_sent_to_nobody(database: Database) {
    let app = TestApp::start(database).await;
    let verify = |id: &str| {
        Message::template(&person(1), "whatsapp:hsm:technology:generic:verify", "en").values(&["a", "b", "c"]).id(id)
    };
    let zeros = "0|0|0|0";
    let dummy = "+919870369294";
    let wrapped = json!({"body": verify(zeros).body}).to_string();

    assert!(app.send(&verify(zeros)).await.is_success());
    assert!(app.post(OUR_PATH, &CREDENTIALS, wrapped).await.is_success());
    // Saving a template: to a dummy number, or with every value its own index.
    assert!(app.send(&Message::order_update(dummy).id(zeros)).await.is_success());
    let generated = Message::template(&person(2), "order_update", "en").values(&["0", "1"]).id("0|0|0|0|0");
    assert!(app.send(&generated).await.is_success());
    // And it is the place to find a mistake.
    let wrong = app.send(&Message::template(dummy, "order_update", "en").values(&["0"]).id(zeros)).await;
    assert_eq!(wrong.code(), 2001, "{wrong:?}");

    let stats = app.finish().await;
    assert_eq!((stats.sends_received, stats.clevertap.requests), (0, 0));
}

async fn a_persons_test_is_delivered_each_time_and_told_to_nobody(database: Database) {
    let app = TestApp::start(database).await;
    let test = Message::order_update(&person(1)).id("0|0|0|0");

    for _ in 0..3 {
        app.accept(&test).await;
    }
    app.settled().await;

    assert_eq!(app.simulator.sends(Some(&person(1))).len(), 3, "the id says nothing about repeats");
    assert!(app.all_stored(&test).await.iter().all(|message| message.state == SendState::Submitted));
    let stats = app.finish().await;
    assert_eq!(stats.clevertap.requests, 0, "CleverTap asked for no status of a test");
}

async fn an_account_may_have_its_tests_only_validated_or_always_delivered(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.account = "test_messages = \"deliver\"".to_owned();
        options.more = format!("{OTHER_ACCOUNT}\ntest_messages = \"validate\"\n{OTHER_SENDER}");
    })
    .await;
    let (to_a_person, to_a_dummy) = (person(1), "+919870369294");

    for to in [to_a_person.as_str(), to_a_dummy] {
        let test = Message::order_update(to).id("0|0|0|0");
        app.accept(&test).await;
        let other = test.with("wabaNumber", json!(OTHER_NUMBER)).body.to_string();
        assert!(app.post("/clevertap/globex/messages", &CREDENTIALS, other).await.is_success());
    }

    let stats = app.finish().await;
    assert_eq!(stats.sends_accepted, 2, "those of the account that delivers");
}

async fn the_servers_other_paths_answer_too(database: Database) {
    let app = TestApp::start(database).await;

    app.until("the workers have begun", async || app.get("/readyz").await.0 == 200).await;
    assert_eq!(app.get("/healthz").await.0, 200);
    assert_eq!(app.get("/nowhere").await.0, 404);
    assert_eq!(app.get(&format!("/clevertap/{ACCOUNT}/messages")).await.0, 405, "messages are posted");
    let (status, metrics) = app.get("/metrics").await;
    assert!(status == 200 && metrics.contains("# TYPE wabridge_commit_seconds"), "{metrics}");
    app.finish().await;
}

on_each_database![
    every_kind_of_credentials_opens_the_door,
    an_unknown_account_looks_like_a_wrong_passcode_and_a_disabled_one,
    a_template_of_every_kind_arrives_as_whatsapp_wants_it,
    a_freeform_message_of_every_kind_arrives_as_whatsapp_wants_it,
    what_leaves_names_the_recipient_with_plus_and_carries_our_own_id,
    a_wrapped_body_and_a_number_without_its_country_code_are_understood,
    what_does_not_fit_is_refused_with_its_code_and_says_what_to_change,
    a_refused_request_is_kept_with_its_answer,
    a_request_that_cannot_be_understood_is_found_by_its_id_all_the_same,
    what_is_no_message_at_all_is_refused_and_harms_nobody,
    clevertaps_checks_are_answered_and_sent_to_nobody,
    a_persons_test_is_delivered_each_time_and_told_to_nobody,
    an_account_may_have_its_tests_only_validated_or_always_delivered,
    the_servers_other_paths_answer_too,
];
