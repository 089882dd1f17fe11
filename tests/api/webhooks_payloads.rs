//! What left with each try is known: by its digest, and of what was not taken by its text. What is written anew says whether it is
//! the same.

use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use wabridge::{
    domain::{ids::Place, sent_payload::SentPayload},
    store::story::CallbackTry,
};

use crate::{
    harness::{Database, NUMBER_ID, on_each_database, person},
    webhooks_out::Scene,
};

/// The callback URL and the place of the newest event that one was told of: the webhook's, or the platform's for what people write.
async fn told(scene: &Scene, webhook: bool) -> (i64, i64) {
    let urls = scene.call(Method::GET, "/callback-urls?account=acme&kind=inbound", None).await.body;
    let urls = urls["callback_urls"].as_array().expect("a list").clone();
    let url = urls.iter().find(|url| url["webhook"].is_string() == webhook).expect("there is one");
    let url = url["id"].as_i64().expect("a number");
    let place = async || {
        let events = scene.call(Method::GET, &format!("/callback-urls/{url}/events"), None).await.body;
        events["events"][0]["place"].as_i64()
    };
    scene.app.until("the event is there", async || place().await.is_some()).await;
    (url, place().await.expect("it is there"))
}

async fn event(scene: &Scene, (url, place): (i64, i64)) -> Value {
    scene.call(Method::GET, &format!("/callback-urls/{url}/events/{place}"), None).await.body
}

async fn tries(scene: &Scene, (url, place): (i64, i64)) -> Vec<CallbackTry> {
    scene.app.store.callback_tries(i32::try_from(url).expect("small"), Place(place)).await.expect("readable")
}

fn sha256(body: &str) -> String {
    hex::encode(Sha256::digest(body.as_bytes()))
}

async fn set(scene: &Scene, more: Value) {
    let changed = scene.call(Method::PUT, "/webhooks/crm", Some(json!({"settings": scene.settings(more)}))).await;
    assert_eq!(changed.http_status, 200, "{changed:?}");
}

async fn each_try_says_what_it_carried_also_after_the_settings_changed(database: Database) {
    let scene = Scene::start(database).await;
    let settings = |level: &str| {
        let retries = json!({"kind": "fixed", "times": 0, "every_seconds": 1});
        json!({"events": ["message.received"], "retries": retries, "payload": level})
    };
    scene.webhook(settings("standard")).await;
    scene.receiver.answer_next(&[503, 503]);
    scene.receiver.answer_always(200);
    scene.hears("a first wish");
    let at = told(&scene, true).await;
    scene.app.until("it was not taken", async || tries(&scene, at).await.len() == 1).await;

    set(&scene, settings("minimal")).await;
    let asked =
        scene.call(Method::POST, "/replays", Some(json!({"callback_url": at.0, "state": "all", "place": at.1}))).await;
    assert!(asked.http_status < 300, "{asked:?}");
    scene.app.until("it was taken in the end", async || tries(&scene, at).await.len() == 3).await;

    let bodies: Vec<String> = scene.receiver.requests().into_iter().map(|request| request.body).collect();
    assert_ne!(bodies[0], bodies[1]);
    assert_eq!(bodies[1], bodies[2]);
    let story = event(&scene, at).await;
    assert_eq!(story["payload"], bodies[2].as_str(), "{story}");
    for (number, (text, as_now)) in
        [(Some(&bodies[0]), false), (Some(&bodies[1]), true), (None, true)].iter().enumerate()
    {
        let body = &bodies[number];
        let expected =
            json!({"bytes": body.len(), "sha256": sha256(body), "as_now": as_now, "text": text, "is_cut": false});
        assert_eq!(story["tries"][number]["payload"], expected, "try {number}: {story}");
    }
    let path = format!("/console/callbacks/{}/events/{}", at.0, at.1);
    let page = scene.owner.get(&path).await.text;
    assert_eq!(page.matches("bytes, as shown under").count(), 2, "{page}");
    assert_eq!(page.matches("What this try carried").count(), 1, "{page}");
    assert!(page.contains(&format!("{} bytes: not what is shown", bodies[0].len())), "{page}");

    // What was taken is known no more once it would be written otherwise.
    set(&scene, settings("complete")).await;
    let story = event(&scene, at).await;
    for number in 0..3 {
        assert_eq!(story["tries"][number]["payload"]["as_now"], false, "{story}");
    }
    let page = scene.owner.get(&path).await.text;
    let known = format!("(SHA-256 {}), of what was taken no text is kept", sha256(&bodies[2]));
    assert!(page.contains(&known) && page.matches("What this try carried").count() == 2, "{page}");

    // Who may not see what people write sees no more of it here.
    let cara = scene.app.another(&scene.owner, "cara", "read-only").await;
    let seen = cara.get(&path).await.text;
    assert!(seen.contains(&format!("{} bytes: not what is shown", bodies[0].len())), "{seen}");
    assert!(!seen.contains("a first wish") && !seen.contains("What this try carried"), "{seen}");
    assert!(!seen.contains(&sha256(&bodies[2])), "a digest confirms what somebody guesses: {seen}");
    let token = scene.owner.make_token(&["messages:read"]).await;
    let seen = scene
        .app
        .call(Method::GET, &format!("/api/v1/callback-urls/{}/events/{}", at.0, at.1), &token, None)
        .await
        .body;
    let payload = &seen["tries"][0]["payload"];
    assert_eq!((&payload["text"], &payload["sha256"]), (&Value::Null, &Value::Null), "{seen}");
    assert_eq!(payload["bytes"], bodies[0].len(), "{seen}");
    scene.app.finish().await;
}

async fn what_the_platform_was_told_of_one_event_is_known_by_its_digest(database: Database) {
    let scene = Scene::start(database).await;
    scene.hears("hello");
    let at = told(&scene, false).await;
    scene.app.settled().await;

    let story = event(&scene, at).await;
    let body = story["payload"].as_str().expect("it was told").to_owned();
    let expected = json!({"bytes": body.len(), "sha256": sha256(&body), "as_now": true, "text": null, "is_cut": false});
    assert_eq!(story["tries"][0]["payload"], expected, "{story}");
    scene.app.finish().await;
}

async fn who_is_forgotten_is_in_no_payload(database: Database) {
    let scene = Scene::start(database).await;
    let retries = json!({"kind": "fixed", "times": 0, "every_seconds": 1});
    scene.webhook(json!({"events": ["message.received"], "retries": retries})).await;
    scene.receiver.answer_always(503);
    let mut all = Vec::new();
    for (who, text) in [(1, "my-secret-wish"), (2, "somebody else")] {
        scene.app.simulator.inbound_text(&person(who), NUMBER_ID, text, None).expect("the number exists");
        scene.app.settled().await;
        scene.app.until("it was not taken", async || scene.receiver.requests().len() == who).await;
        for webhook in [true, false] {
            let at = told(&scene, webhook).await;
            scene.app.until("it is in the log", async || tries(&scene, at).await.len() == 1).await;
            all.push(at);
        }
    }
    let payloads = async || {
        let mut payloads: Vec<Option<SentPayload>> = Vec::new();
        for at in &all {
            payloads.push(tries(&scene, *at).await.remove(0).payload);
        }
        payloads
    };
    let before = payloads().await;
    assert!(before.iter().all(Option::is_some), "{before:?}");
    let text = before[0].as_ref().and_then(|sent| sent.text.clone()).expect("it was not taken");
    assert!(text.contains("my-secret-wish"), "{text}");

    scene.app.command(&["forget", &person(1), "--yes"]).await;

    let after = payloads().await;
    assert_eq!(after[..2], [None, None], "neither at the webhook nor at the platform");
    assert_eq!(after[2..], before[2..], "those about somebody else");
    let notes = tries(&scene, all[0]).await.remove(0);
    assert_eq!(notes.http_status, Some(503), "that something was said is no secret");
    scene.app.finish().await;
}

on_each_database![
    each_try_says_what_it_carried_also_after_the_settings_changed,
    what_the_platform_was_told_of_one_event_is_known_by_its_digest,
    who_is_forgotten_is_in_no_payload,
];
