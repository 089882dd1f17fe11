//! A webhook that is off: what became of its events is still told, and what would be told again is counted.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Database, on_each_database},
    webhooks_out::Scene,
};

/// After so many requests in a row that were not taken it is switched off.
const FAILURES: usize = 3;

async fn shown(scene: &Scene, path: &str) -> Value {
    let answer = scene.call(Method::GET, path, None).await;
    assert_eq!(answer.http_status, 200, "{path}: {answer:?}");
    answer.body
}

async fn switch(scene: &Scene, to: &str) {
    assert_eq!(scene.call(Method::POST, &format!("/webhooks/crm/{to}"), None).await.http_status, 200);
}

/// State and delivery of the events of a callback URL, the newest first.
async fn events(scene: &Scene, url: &Value, query: &str) -> Vec<(String, String)> {
    let listed = shown(scene, &format!("/callback-urls/{url}/events?{query}")).await;
    let word = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
    let events = listed["events"].as_array().expect("a list").iter();
    events.map(|event| (word(event, "state"), word(event, "delivery"))).collect()
}

fn both(state: &str, delivery: &str) -> (String, String) {
    (state.to_owned(), delivery.to_owned())
}

async fn what_the_bridge_switched_off_can_be_looked_into_and_is_told_the_rest_when_it_is_on(database: Database) {
    let scene = Scene::start(database).await;
    let rule = json!({"failures": FAILURES, "hours": 0});
    let settings = |times: u32| {
        let retries = json!({"kind": "fixed", "times": times, "every_seconds": 3600});
        json!({"events": ["message.received"], "in_order": false, "switch_off": rule, "retries": retries})
    };
    scene.webhook(settings(0)).await;
    scene.receiver.answer_always(500);
    scene.hears("dead");
    scene.app.until("one is dead", async || shown(&scene, "/webhooks/crm").await["cursors"][0]["dead"] == 1).await;
    let changed = json!({"settings": scene.settings(settings(20))});
    assert_eq!(scene.call(Method::PUT, "/webhooks/crm", Some(changed)).await.http_status, 200);
    for number in 0..FAILURES {
        scene.hears(&format!("waiting {number}"));
    }
    scene.app.until("it is off", async || shown(&scene, "/webhooks/crm").await["enabled"] == false).await;
    scene.hears("while off");
    scene.app.settled().await;

    let webhook = shown(&scene, "/webhooks/crm").await;
    let cursor = &webhook["cursors"][0];
    assert_eq!(
        (&cursor["dead"], &cursor["waiting"], &cursor["failures"]),
        (&json!(1), &json!(3), &json!(3)),
        "{webhook}"
    );
    let url = &cursor["callback_url"];
    let standing = async || shown(&scene, &format!("/callback-urls/{url}")).await;
    scene.app.until("the server has heard of it", async || standing().await["state"] == "off").await;
    let standing = standing().await;
    assert_eq!((&standing["state"], &standing["dead"], &standing["owed"]), (&json!("off"), &json!(1), &json!(0)));
    let aside = both("owed", "set_aside");
    let all = [both("passed_over", "passed_over"), aside.clone(), aside.clone(), aside, both("dead", "dead")];
    assert_eq!(events(&scene, url, "").await, all);
    assert_eq!(events(&scene, url, "state=owed").await.len(), FAILURES);
    let log = shown(&scene, "/webhooks/crm/log?state=set_aside").await;
    assert_eq!(log["requests"].as_array().map(Vec::len), Some(FAILURES), "{log}");
    assert_eq!(shown(&scene, "/webhooks/crm/log?state=retrying").await["requests"], json!([]));
    let page = scene.owner.get("/console/webhooks/crm").await.text;
    assert!(page.contains("What waited is set aside") && page.contains("/console/callbacks/"), "{page}");

    let log = async |more: &[&str]| scene.app.command_saying(&[&["webhook", "log", "crm"], more].concat()).await;
    let (code, printed, said) = log(&["--state", "dead", "--json"]).await;
    assert_eq!(code, 0, "{said}");
    let found: Value = serde_json::from_str(&printed).expect("JSON");
    let request = &found["requests"][0];
    assert_eq!((found["requests"].as_array().map(Vec::len), &found["next"]), (Some(1), &Value::Null), "{found}");
    assert_eq!((&request["http_status"], &request["event"]), (&json!(500), &json!("message.received")), "{found}");
    let (code, printed, _) = log(&["--limit", "2"]).await;
    assert!(code == 0 && printed.matches("set aside").count() == 2 && printed.contains("--before "), "{printed}");
    assert_eq!(log(&["--state", "delivered"]).await.0, 3);
    assert_eq!(log(&["--state", "odd"]).await.0, 2);

    let replay = async |more: &[&str]| scene.app.command_saying(&[&["webhook", "replay", "crm"], more].concat()).await;
    let (code, printed, said) = replay(&["--dry-run"]).await;
    assert!(code == 0 && printed.contains("1 event in all"), "{printed} {said}");
    let (code, printed, said) = replay(&["--yes"]).await;
    assert!(code == 1 && printed.is_empty() && said.contains("switch it on first"), "{printed} {said}");
    let asked = |dry_run: bool| Some(json!({"callback_url": url, "dry_run": dry_run}));
    let counted = scene.call(Method::POST, "/replays", asked(true)).await;
    assert_eq!((counted.http_status, &counted.body["events"]), (200, &json!(1)), "{counted:?}");
    let refused = scene.call(Method::POST, "/replays", asked(false)).await;
    assert!(refused.http_status == 409 && refused.body.to_string().contains("switch it on first"), "{refused:?}");
    let refused = scene.call(Method::POST, &format!("/callback-urls/{url}/release"), None).await;
    assert_eq!(refused.http_status, 409, "{refused:?}");

    scene.receiver.answer_always(204);
    switch(&scene, "enable").await;
    let on = shown(&scene, "/webhooks/crm").await;
    assert_eq!((&on["cursors"][0]["callback_url"], &on["cursors"][0]["waiting"]), (url, &json!(3)), "{on}");
    assert_eq!(events(&scene, url, "").await[1], both("owed", "retrying"));
    assert_eq!(replay(&["--yes"]).await.0, 0);
    scene.app.until("the dead one is taken", async || events(&scene, url, "state=dead").await.is_empty()).await;
    scene.app.leave().await;
}

async fn what_nobody_told_a_webhook_is_not_called_delivered(database: Database) {
    let scene = Scene::start(database).await;
    scene.hears("before there was a webhook");
    scene.app.settled().await;
    scene.webhook(json!({"events": ["message.received"]})).await;
    scene.hears("told");
    scene.came(1).await;
    scene.app.settled().await;
    switch(&scene, "disable").await;
    scene.hears("while off");
    scene.app.settled().await;
    switch(&scene, "enable").await;
    scene.hears("told again");
    scene.came(2).await;
    scene.app.settled().await;

    let url = shown(&scene, "/webhooks/crm").await["cursors"][0]["callback_url"].clone();
    let (told, passed) = (both("delivered", "delivered"), both("passed_over", "passed_over"));
    let all = [told.clone(), passed.clone(), told.clone(), passed.clone()];
    assert_eq!(events(&scene, &url, "").await, all);
    assert_eq!(events(&scene, &url, "state=delivered").await, [told.clone(), told]);
    assert_eq!(events(&scene, &url, "state=passed_over").await, [passed.clone(), passed]);
    let console = scene.owner.get(&format!("/console/callbacks/{url}/events")).await.text;
    assert_eq!(console.matches(">passed over</span>").count(), 2, "{console}");
    scene.app.finish().await;
}

async fn who_is_told_of_anothers_failures_is_not_deleted(database: Database) {
    let scene = Scene::start(database).await;
    scene.webhook(json!({})).await;
    let settings = scene.settings(json!({"alerts": {"webhook": "crm"}}));
    let other = json!({"name": "shop", "settings": settings});
    assert_eq!(scene.call(Method::POST, "/webhooks", Some(other)).await.http_status, 201);

    let refused = scene.call(Method::DELETE, "/webhooks/crm", None).await;
    assert!(refused.http_status == 409 && refused.body.to_string().contains("alerts of shop"), "{refused:?}");
    let page = scene.owner.post("/console/webhooks/crm/delete", &[]).await;
    assert!(page.status == 409 && page.text.contains("alerts of shop"), "{page:?}");
    let read = shown(&scene, "/webhooks/shop").await;
    let same = json!({"settings": read["settings"]});
    assert_eq!(scene.call(Method::PUT, "/webhooks/shop", Some(same)).await.http_status, 200);

    assert_eq!(scene.call(Method::DELETE, "/webhooks/shop", None).await.http_status, 204);
    assert_eq!(scene.call(Method::DELETE, "/webhooks/crm", None).await.http_status, 204);
    scene.app.finish().await;
}

on_each_database![
    what_the_bridge_switched_off_can_be_looked_into_and_is_told_the_rest_when_it_is_on,
    what_nobody_told_a_webhook_is_not_called_delivered,
    who_is_told_of_anothers_failures_is_not_deleted,
];
