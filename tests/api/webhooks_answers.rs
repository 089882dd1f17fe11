//! What receivers of webhooks answer is kept for who looks for what went wrong: without secrets, within limits, and not for longer
//! than the person whom it may quote.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Database, Message, on_each_database, person},
    webhooks_out::Scene,
};

/// What the receiver says to everything.
const HEADERS: [(&str, &str); 5] = [
    ("content-type", "application/json"),
    ("x-request-id", "req-7"),
    ("set-cookie", "sid=very-private"),
    ("x-echo", "you showed header-secret"),
    ("location", "https://inner.example/private/path"),
];
const BODY: &str = r#"{"queued":true,"you":"header-secret"}"#;

/// The requests of the log that are found with this.
async fn log(scene: &Scene, query: &str) -> Vec<Value> {
    let answer = scene.call(Method::GET, &format!("/webhooks/crm/log{query}"), None).await;
    answer.body["requests"].as_array().unwrap_or_else(|| panic!("{answer:?}")).clone()
}

fn header<'a>(answer: &'a Value, name: &str) -> Option<&'a str> {
    answer["headers"].as_array()?.iter().find(|header| header["name"] == name)?["value"].as_str()
}

async fn an_answer_is_kept_with_headers_and_body_whether_it_was_a_yes_or_a_no(database: Database) {
    let scene = Scene::start(database).await;
    let more = json!({"events": ["message.received"], "headers": {"X-Key": "header-secret"},
        "retries": {"kind": "fixed", "times": 1, "every_seconds": 1}});
    scene.webhook(more).await;
    scene.receiver.answer_with(&HEADERS, BODY);
    scene.receiver.answer_next(&[503]);
    scene.receiver.answer_always(200);

    scene.hears("hello");
    scene.came(2).await;
    scene.app.until("both are in the log", async || log(&scene, "").await.len() == 2).await;

    let requests = log(&scene, "").await;
    assert_eq!((&requests[0]["http_status"], &requests[1]["http_status"]), (&json!(200), &json!(503)));
    for request in &requests {
        let answer = &request["answer"];
        assert_eq!(answer["body"], r#"{"queued":true,"you":"…"}"#, "{request}");
        assert!(!request.to_string().contains("header-secret"), "{request}");
        for (name, kept) in [
            ("content-type", "application/json"),
            ("x-request-id", "req-7"),
            ("set-cookie", "…"),
            ("x-echo", "you showed …"),
            ("location", "https://inner.example/…"),
        ] {
            assert_eq!(header(answer, name), Some(kept), "{request}");
        }
    }
    assert_eq!(log(&scene, "?text=QUEUED&outcome=succeeded").await.len(), 1, "it is searched, too");
    assert_eq!(log(&scene, "?text=very-private").await.len(), 0);

    let path = format!("/callback-urls/{}/events/{}", requests[0]["callback_url"], requests[0]["place"]);
    let event = scene.call(Method::GET, &path, None).await.body;
    let tries = event["tries"].as_array().expect("a list");
    assert!(
        tries.len() == 2 && tries.iter().all(|tried| header(&tried["answer"], "x-request-id").is_some()),
        "{event}"
    );
    let console = scene.owner.get("/console/webhooks/crm/log").await.text;
    assert!(console.contains("req-7") && console.contains("queued") && !console.contains("very-private"), "{console}");
    let one = format!("/console/callbacks/{}/events/{}", requests[0]["callback_url"], requests[0]["place"]);
    let page = scene.owner.get(&one).await.text;
    assert_eq!(page.matches("req-7").count(), 2, "each try has its own");
    let cara = scene.app.another(&scene.owner, "cara", "read-only").await;
    let seen = cara.get("/console/webhooks/crm/log").await.text;
    assert_eq!(
        (seen.matches("req-7").count(), seen.matches(">…</pre>").count()),
        (2, 2),
        "bodies may quote people: {seen}"
    );

    // The platform's answers say nothing, so nothing is kept of them.
    scene.app.accept(&Message::order_update(&person(2))).await;
    scene.app.settled().await;
    let urls = scene.call(Method::GET, "/callback-urls?account=acme&kind=status", None).await.body;
    let url = &urls["callback_urls"][0];
    assert!(url["webhook"].is_null() && url["last_exchange"]["http_status"] == 200, "{urls}");
    assert_eq!(url["last_exchange"]["answer"], Value::Null, "{urls}");
    scene.app.finish().await;
}

async fn a_long_answer_is_cut_and_one_without_anything_is_told_as_that(database: Database) {
    let scene = Scene::start(database).await;
    scene.webhook(json!({"events": ["message.received"]})).await;
    let many: Vec<(String, String)> = (0..40).map(|number| (format!("x-{number}"), "v".repeat(1_000))).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    scene.receiver.answer_with(&many, &"y".repeat(40_000));
    scene.receiver.answer_always(200);

    scene.hears("hello");
    scene.app.until("it is in the log", async || log(&scene, "").await.len() == 1).await;
    let answer = log(&scene, "").await.remove(0)["answer"].take();
    let headers = answer["headers"].as_array().expect("a list");
    assert!(headers.len() <= 16, "{answer}");
    assert!(headers.iter().all(|header| header["value"].as_str().is_some_and(|value| value.len() <= 100)), "{answer}");
    assert_eq!(answer["body"].as_str().map(str::len), Some(500));

    scene.receiver.answer_with(&[], "");
    scene.hears("again");
    scene.app.until("it is in the log", async || log(&scene, "").await.len() == 2).await;
    assert_eq!(log(&scene, "").await[0]["answer"]["body"], "");
    assert!(scene.owner.get("/console/webhooks/crm/log").await.text.contains("Without a body."));
    scene.app.finish().await;
}

async fn who_is_forgotten_is_quoted_by_no_answer(database: Database) {
    let scene = Scene::start(database).await;
    scene.webhook(json!({"events": ["message.received", "message.read", "contact.created"]})).await;
    scene.receiver.answer_with(&[], "you said it was my-secret-wish");
    scene.receiver.answer_always(200);
    scene.app.accept(&Message::order_update(&person(1))).await;
    scene.hears("it was my-secret-wish");
    scene.app.simulator.inbound_text(&person(2), crate::harness::NUMBER_ID, "somebody else", None).expect("it exists");
    // Read, and of each person: received and created.
    scene.app.until("all was said", async || log(&scene, "?text=my-secret-wish").await.len() == 5).await;
    scene.app.settled().await;

    scene.app.command(&["forget", &person(1), "--yes"]).await;

    assert_eq!(log(&scene, "?text=my-secret-wish").await.len(), 2, "those about somebody else");
    assert_eq!(log(&scene, "").await.len(), 5, "that something was said is no secret");
    scene.app.finish().await;
}

on_each_database![
    an_answer_is_kept_with_headers_and_body_whether_it_was_a_yes_or_a_no,
    a_long_answer_is_cut_and_one_without_anything_is_told_as_that,
    who_is_forgotten_is_quoted_by_no_answer,
];
