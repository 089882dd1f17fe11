//! Templates and the test bench: what is listed, what CleverTap sends against it, tests to phones, requests explained.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    ACCOUNT, BUSINESS_NUMBER, CONNECTION, Database, Message, TestApp, WABA_ID, on_each_database, person,
};

fn path_of(name: &str, language: &str) -> String {
    format!("/console/templates/{CONNECTION}/{WABA_ID}/{name}/{language}")
}

async fn templates_are_listed_filtered_and_shown_as_on_a_phone(database: Database) {
    let app = TestApp::start(database).await;
    let mut listed = app.simulator.templates();
    let offer = listed.iter_mut().find(|template| template["name"] == "festive_offer").expect("it is in the sample");
    offer["components"][1]["text"] = json!("*{{1}}*, enjoy _{{2}} off_ <b>now</b>!");
    offer["quality_score"] = json!({"score": "YELLOW", "date": 1_790_000_000});
    app.simulator.set_templates(listed).expect("templates of Meta's shape");
    let asha = app.first_owner().await;
    let cara = app.another(&asha, "cara", "read-only").await;

    let synced = asha.post("/console/templates/sync", &[]).await;
    assert_eq!(synced.header("location"), "/console/templates?done=synced");
    assert_eq!(cara.post("/console/templates/sync", &[]).await.status, 403);

    let all = cara.get("/console/templates").await.text;
    assert!(all.contains("19 templates") && all.contains(WABA_ID), "{all}");
    for (query, names, others) in [
        ("status=PAUSED", &["winback"][..], &["order_update"][..]),
        ("category=AUTHENTICATION", &["login_code", "login_code_tap"], &["winback"]),
        ("language=hi", &["order_update"], &["welcome"]),
        ("q=courier", &["delivery_slot"], &["welcome"]),
        ("q=WELCOME", &["welcome"], &["winback"]),
        ("account=acme&q=coupon", &["coupon"], &["welcome"]),
        ("connection=another", &[], &["welcome"]),
        ("page=2", &[], &["welcome"]),
    ] {
        let page = cara.get_with(&format!("/console/templates?{query}"), &[("HX-Request", "true")]).await.text;
        let link = |name: &str| page.contains(&format!("/{name}/"));
        assert!(names.iter().all(|name| link(name)) && !others.iter().any(|name| link(name)), "{query}: {page}");
    }
    assert!(cara.get("/console/templates?account=nobody").await.text.contains("there is no account nobody"));

    let page = cara.get(&path_of("festive_offer", "en")).await.text;
    for part in [
        r#"<span class="b v">Asha</span>, enjoy "#,
        r#"<span class="i v">20%</span><span class="i"> off</span> "#,
        "&#60;b&#62;now&#60;/b&#62;",
        ">Image<",
        "Reply STOP to opt out",
        "Stop promotions",
        "yellow",
        r#"data-copy="festive_offer""#,
        r#"data-copy="*{{1}}*, enjoy _{{2}} off_ "#,
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let page = cara.get(&path_of("delivery_slot", "en")).await.text;
    assert!(page.contains("Hello {{1}}, {{2}} comes to you, {{1}}, between {{3}}."), "names become numbers: {page}");
    let page = cara.get(&path_of("new_arrivals", "en")).await.text;
    assert!(page.matches("off until Sunday").count() == 3 && page.contains("https://shop.example/p/A-18"), "{page}");
    assert!(cara.get(&path_of("winback", "en")).await.text.contains("WhatsApp has paused it"));
    assert_eq!(cara.get(&path_of("welcome", "xx")).await.status, 404);
    app.leave().await;
}

async fn what_clevertap_sends_is_held_against_the_template(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let cara = app.another(&asha, "cara", "read-only").await;
    let path = format!("{}/differences", path_of("order_update", "en"));
    assert!(asha.get(&path).await.text.contains("CleverTap sent nothing of it lately."));

    app.accept(&Message::order_update(&person(1))).await;
    assert!(asha.get(&path).await.text.contains("has the shape and the text"), "nothing differs");
    let header =
        json!({"type": "header", "header": {"type": "image", "image": {"mediaURL": "https://media.example/a.png"}}});
    for number in [2, 3] {
        let wrong = Message::template(&person(number), "order_update", "en").values(&["Asha"]).part(header.clone());
        assert_eq!(app.send(&wrong).await.code(), 2001);
    }
    let body = json!({"type": "body", "body": {"text": "Dear Ravi, your order B-9 is late.", "parameters": [
        {"type": "text", "text": "Ravi"}, {"type": "text", "text": "B-9"}]}});
    app.accept(&Message::template(&person(4), "order_update", "en").part(body)).await;
    let other = Message::template(&person(5), "order_update", "xx").values(&["Asha", "A-17"]);
    assert_eq!(app.send(&other).await.code(), 2001);
    // Refusals are written behind the answer.
    app.until("the refusals are kept", async || asha.get(&path).await.text.contains("3 refused requests")).await;

    let page = asha.get(&path).await.text;
    for part in [
        "2 accepted messages and 3 refused requests",
        "1 variable</td>",
        "Add what is missing: the body needs 2 variables.",
        "Remove the header.",
        "Choose a language that is approved, such as en.",
        "2 requests",
        "At its beginning: “Dear {{1}}, your order {{2}} is late.”",
        "xx",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let masked = cara.get(&path).await.text;
    assert!(masked.contains("Add what is missing") && masked.contains("your role does not see"), "{masked}");
    assert!(!masked.contains("Ravi") && !masked.contains("B-9") && !masked.contains("is late"), "{masked}");

    let token = asha.make_token(&["messages:read"]).await;
    let api = format!("/api/v1/templates/{CONNECTION}/{WABA_ID}/order_update/en/differences");
    let told = app.call(Method::GET, &api, &token, None).await.body;
    assert_eq!((&told["accepted"], &told["refused"]), (&json!(2), &json!(3)), "{told:#}");
    assert_eq!(told["differences"][0]["harm"], "refused", "the worst comes first: {told:#}");
    assert!(!told.to_string().contains("Ravi"), "{told:#}");
    app.settled().await;
    app.leave().await;
}

/// The fields of a test as the page has them.
fn fields<'a>(to: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![("number", BUSINESS_NUMBER), ("seen", "yes"), ("to", to)];
    fields.extend(more);
    fields
}

async fn a_test_goes_to_a_phone_and_clevertap_hears_nothing(database: Database) {
    let app =
        TestApp::start_with(database, |options| options.account = "test_messages = \"validate\"".to_owned()).await;
    let asha = app.first_owner().await;
    let (ben, cara) = (app.another(&asha, "ben", "operator").await, app.another(&asha, "cara", "read-only").await);
    let (phone, order) = (person(1), [("template", "order_update"), ("language", "en")]);
    let page = ben.get("/console/test-bench?template=cart_reminder").await.text;
    for part in [r#"value="blue kettle""#, r#"value="A-17""#, "behind https://shop.example/cart/", "Still thinking, "] {
        assert!(page.contains(part), "the examples stand in the fields, {part}: {page}");
    }
    assert_eq!(cara.get("/console/test-bench").await.status, 403);
    let filled = [order[0], order[1], ("body_1", "Ravi"), ("body_2", "B-9")];
    assert_eq!(cara.post("/console/test-bench/send", &fields(&phone, &filled)).await.status, 403);
    let shown = ben.post("/console/test-bench/preview", &fields(&phone, &filled)).await.text;
    assert!(shown.contains(r#"<span class="v">Ravi</span>"#), "{shown}");

    let checked = ben.post("/console/test-bench/validate", &fields(&phone, &filled)).await;
    assert!(
        checked.status == 200 && checked.text.contains("only validates"),
        "the account's policy says so: {checked:?}"
    );
    assert!(checked.text.contains("Authorization: Bearer (the connection&#39;s access_token)"), "{checked:?}");
    assert_eq!(app.simulator.stats().sends_received, 0);
    let empty = [order[0], order[1], ("body_1", ""), ("body_2", " ")];
    for what in ["send", "validate"] {
        let refused = ben.post(&format!("/console/test-bench/{what}"), &fields("12", &empty)).await;
        let explained = refused.text.contains("It would be refused");
        assert_eq!((refused.status, explained), (422, what == "validate"), "{refused:?}");
        assert!(refused.text.contains("3 fields must be changed: each says how."), "all of them at once: {refused:?}");
        for (field, said) in [
            ("to", "This is no whole telephone number"),
            ("body_1", "Give it a value."),
            ("body_2", "Give it a value."),
        ] {
            let at_field = format!("<p class=\"wrong\" id=\"{field}-wrong\">{said}");
            assert!(refused.text.contains(&at_field), "{field}: {refused:?}");
        }
    }

    let sent = ben.post("/console/test-bench/send", &fields(&phone, &filled)).await;
    assert_eq!(sent.status, 303, "{sent:?}");
    let path = sent.header("location").to_owned();
    app.settled().await;
    let story = ben.get(&path).await.text;
    for part in [
        "read (heard",
        "sent (try 1)",
        "&#34;messaging_product&#34;: &#34;whatsapp&#34;",
        "HTTP 200 after",
        "&#34;messages&#34;: [",
        "none: it is a test message",
        "/console/test-bench?number=%2B918880110022&#38;template=order_update&#38;language=en",
    ] {
        assert!(story.contains(part), "{part}: {story}");
    }
    assert!(!story.contains("simulator-access-token"));
    assert_eq!(app.simulator.sends(None).len(), 1, "one test was sent, and nothing else");
    let token = asha.make_token(&["messages:read", "personal:read"]).await;
    let said = format!("/api/v1/test-messages/{}/exchanges", path.rsplit('/').next().expect("an id"));
    let said = app.call(Method::GET, &said, &token, None).await.body;
    assert!(said["exchanges"][0]["request"].as_str().is_some_and(|request| request.contains("B-9")), "{said:#}");
    assert_eq!(said["exchanges"][0]["http_status"], 200, "{said:#}");
    assert_eq!(app.simulator.callback_records(None).len(), 0, "CleverTap is told nothing of it");
    let lines = app.store.audit_lines(None, 10).await.expect("readable");
    let line = lines.iter().find(|line| line.action == "send test message").expect("it is written down");
    assert!(line.actor == "ben" && path.ends_with(&line.subject), "{line:?}");
    let after = line.after.as_deref().expect("what was sent");
    assert!(after.contains("order_update") && after.contains("+919******001") && !after.contains(&phone), "{after}");
    app.finish().await;
}

async fn every_template_can_be_tested_with_its_examples(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let token = asha.make_token(&["messages:read", "personal:read", "tests:send"]).await;
    let listed = app.call(Method::GET, "/api/v1/templates?status=APPROVED&limit=200", &token, None).await.body;
    let templates = listed["templates"].as_array().expect("a list");
    assert_eq!((listed["fitting"].as_u64(), &listed["next"]), (Some(templates.len() as u64), &Value::Null));
    let mut fine = 0;
    for template in templates {
        let word = |key: &str| template[key].as_str().expect("a text");
        let path = format!("/api/v1/templates/{CONNECTION}/{WABA_ID}/{}/{}", word("name"), word("language"));
        let details = app.call(Method::GET, &path, &token, None).await.body;
        let mut content = details["examples"].clone();
        // What no listing has examples of.
        match word("name") {
            "flash_sale" => content["offer_expires_at_ms"] = json!(1_900_000_000_000_i64),
            "store_nearby" => content["header"] = json!({"latitude": "19.07", "longitude": "72.87"}),
            _ => {}
        }
        let body = json!({"number": BUSINESS_NUMBER, "to": person(1), "template": word("name"), "language": word("language"),
            "content": content, "validate_only": true});
        let answer = app.call(Method::POST, "/api/v1/test-messages", &token, Some(body)).await;
        assert_eq!(answer.http_status, 200, "{answer:?}");
        let explanation = &answer.body["explanation"];
        if ["picked_for_you", "product_row"].contains(&word("name")) {
            assert_eq!(explanation["outcome"], "refused", "it takes products: {explanation:#}");
        } else {
            assert_eq!(explanation["outcome"], "sent", "{explanation:#}");
            assert!(explanation["provider_request"]["body"].as_str().is_some_and(|body| body.contains(word("name"))));
            fine += 1;
        }
    }
    assert!(fine > 12, "{fine}");
    assert_eq!(app.simulator.stats().sends_received, 0, "they were only checked");
    app.finish().await;
}

async fn a_pasted_request_gets_the_answer_of_the_endpoint_itself(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let token = asha.make_token(&["tests:send"]).await;
    let explained = async |message: &Message| {
        let body = json!({"account": ACCOUNT, "payload": message.body});
        let answer = app.call(Method::POST, "/api/v1/explain", &token, Some(body)).await;
        assert_eq!(answer.http_status, 200, "{answer:?}");
        answer.body
    };
    let accepted = Message::order_update(&person(1));
    app.accept(&accepted).await;
    let cases = [
        (Message::order_update(&person(2)), "sent", ""),
        (accepted.clone(), "repeat", ""),
        (Message::freeform(&person(2), "hello"), "sent", ""),
        (
            Message::template(&person(2), "whatsapp:hsm:technology:generic:verify", "en").id("0|0|0|0"),
            "only_checked",
            "",
        ),
        (Message::template(&person(2), "order_update", "en").values(&["0", "1"]).id("0|0|0|0"), "only_checked", ""),
        (Message::template(&person(2), "order_update", "en").values(&["Asha"]), "refused", "The template"),
        (Message::template(&person(2), "no_such", "en"), "refused", "The template"),
        (Message::template(&person(2), "winback", "en").values(&["Asha"]), "refused", "The template"),
        (Message::order_update("12"), "refused", "To whom"),
        (Message::order_update(BUSINESS_NUMBER), "refused", "To whom"),
        (Message::order_update(&person(2)).with("wabaNumber", json!("910000000000")), "refused", "From which number"),
        (Message::order_update(&person(2)).with("components", json!("none")), "refused", "The request"),
    ];
    let mut answers = Vec::new();
    for (message, outcome, wrong) in &cases {
        let told = explained(message).await;
        assert_eq!(told["outcome"], *outcome, "{told:#}");
        let stumbled = told["checks"].as_array().expect("a list").iter().find(|check| check["state"] == "wrong");
        assert_eq!(stumbled.map_or("", |check| check["name"].as_str().expect("a name")), *wrong, "{told:#}");
        answers
            .push((told["answer"]["http_status"].clone(), told["answer"]["body"].as_str().expect("a body").to_owned()));
    }
    assert!(app.store.refused_with(cases[5].0.msg_id()).await.expect("readable").is_empty(), "nothing is kept of it");
    app.settled().await;
    assert_eq!(app.simulator.stats().sends_received, 1, "nothing that was explained was sent");
    // The endpoint itself says the very same.
    for ((message, ..), (http_status, body)) in cases.iter().zip(answers) {
        let real = app.send(message).await;
        assert_eq!((json!(real.http_status), real.body), (http_status, serde_json::from_str(&body).expect("JSON")));
    }

    let pasted = format!("curl https://wa.example -d '{}'", cases[5].0.body);
    let page = asha.post("/console/test-bench/explain", &[("account", ACCOUNT), ("payload", &pasted)]).await;
    assert_eq!(page.status, 200);
    for part in ["It would be refused", "body: template order_update needs 2 parameters, got 1", "1 variable", "2001"] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    let nothing = asha.post("/console/test-bench/explain", &[("account", ACCOUNT), ("payload", "<script>")]).await;
    assert!(nothing.text.contains("not JSON") && !nothing.text.contains("<script>\""), "{nothing:?}");
    let nobody = json!({"account": "nobody", "payload": {}});
    assert_eq!(app.call(Method::POST, "/api/v1/explain", &token, Some(nobody)).await.http_status, 422);
    app.settled().await;
    app.leave().await;
}

async fn tests_are_sent_so_often_and_no_oftener(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let (reading, sending) = (asha.make_token(&["messages:read"]).await, asha.make_token(&["tests:send"]).await);
    let body = |to: &str| {
        Some(json!({"number": BUSINESS_NUMBER, "to": to, "template": "order_update", "language": "en",
            "content": {"body": ["Asha", "A-17"]}}))
    };
    let call = async |token: &str| app.call(Method::POST, "/api/v1/test-messages", token, body(&person(1))).await;
    assert_eq!(call(&reading).await.http_status, 403);
    let mut statuses = Vec::new();
    for _ in 0..wabridge::services::test_bench::TESTS_PER_MINUTE * 2 + 1 {
        statuses.push(call(&sending).await.http_status);
    }
    assert!(statuses.starts_with(&[202, 202, 202]) && statuses.contains(&409), "{statuses:?}");
    let sync = async |token: &str| app.call(Method::POST, "/api/v1/templates/sync", token, Some(json!({}))).await;
    assert_eq!(sync(&reading).await.http_status, 403);
    let synced = sync(&sending).await;
    assert_eq!((synced.http_status, &synced.body["done"]), (200, &json!(true)), "{synced:?}");
    app.settled().await;
    assert_eq!(app.simulator.callback_records(None).len(), 0);
    app.finish().await;
}

on_each_database!(
    templates_are_listed_filtered_and_shown_as_on_a_phone,
    what_clevertap_sends_is_held_against_the_template,
    a_test_goes_to_a_phone_and_clevertap_hears_nothing,
    every_template_can_be_tested_with_its_examples,
    a_pasted_request_gets_the_answer_of_the_endpoint_itself,
    tests_are_sent_so_often_and_no_oftener,
);
