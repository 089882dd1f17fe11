//! People who change their number: contact, tags and wishes follow to the new one.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    contacts::Scene,
    harness::{Database, on_each_database, person},
    suppressions::{choose, number, said, until_refused, until_welcome},
};

const CHANGED: i64 = 1_790_000_500;

fn digits(person: &str) -> &str {
    person.trim_start_matches('+')
}

/// WhatsApp says that somebody has another number.
async fn change(scene: &Scene, id: &str, from: &str, to: &str) {
    let system = json!({"body": "A person changed the number", "type": "user_changed_number", "wa_id": digits(to)});
    let message =
        json!({"id": id, "from": digits(from), "timestamp": CHANGED.to_string(), "type": "system", "system": system});
    said(&scene.app, json!({"messages": [message]})).await;
}

fn phone_changed(from: &str, to: &str) -> Value {
    json!({"field": "phone", "before": from, "after": to})
}

async fn listed(scene: &Scene) -> String {
    scene.app.command(&["suppress", "export"]).await
}

async fn who_changes_the_number_is_the_same_contact(database: Database) {
    let (old, new) = (person(1), person(9));
    let scene = Scene::start(database).await;
    scene.hears(&old, "hello");
    scene.told("contact.created", 1).await;
    let id = scene.contact().await;
    scene.call(Method::PATCH, &format!("/contacts/{id}"), Some(json!({"add_tags": ["vip"]}))).await;
    let tagged = scene.told("contact.tag_mapped", 1).await;
    assert_eq!(tagged["data"]["changes"], json!([{"field": "tags", "after": "vip"}]), "{tagged}");

    change(&scene, "wamid.changed", &old, &new).await;
    let told = scene.told("contact.updated", 1).await;
    change(&scene, "wamid.changed", &old, &new).await;
    change(&scene, "wamid.changed-elsewhere", &old, &new).await;
    scene.told("message.received", 3).await;

    let data = &told["data"];
    assert_eq!(data["changes"], json!([phone_changed(&old, &new)]), "{told}");
    assert_eq!((&data["contact"]["phone"], &data["contact_details"]["id"]), (&json!(new), &json!(id)), "{told}");
    assert_eq!(data["contact_details"]["tags"], json!(["vip"]), "{told}");
    scene.told("contact.updated", 1).await;
    scene.hears(&new, "it is still me");
    scene.told("message.received", 4).await;
    assert_eq!(scene.contact().await, id, "no other came to be");
    let shown = scene.get(&format!("/contacts/{id}")).await;
    assert_eq!(shown["conversations"].as_array().map(Vec::len), Some(1), "{shown}");
    scene.told("conversation.created", 1).await;
    scene.app.finish().await;
}

async fn a_number_that_had_a_contact_already_has_one_afterwards(database: Database) {
    let (old, new) = (person(1), person(9));
    let scene = Scene::start(database).await;
    let mut ids = Vec::new();
    for (number, (who, tag)) in (1..).zip([(&old, "vip"), (&new, "mumbai")]) {
        scene.hears(who, "hello");
        let id = scene.told("contact.created", number).await["data"]["contact_details"]["id"].clone();
        let path = format!("/contacts/{}", id.as_str().expect("an id"));
        scene.call(Method::PATCH, &path, Some(json!({"add_tags": [tag]}))).await;
        ids.push(id);
    }

    change(&scene, "wamid.changed", &old, &new).await;
    let told = scene.told("contact.updated", 2).await;

    assert_eq!(json!(scene.contact().await), ids[0], "who was known longer stays");
    assert_eq!(told["data"]["contact_details"]["tags"], json!(["mumbai", "vip"]), "{told}");
    let changes = told["data"]["changes"].as_array().expect("changes");
    assert!(changes.contains(&json!({"field": "id", "before": ids[1], "after": ids[0]})), "{told}");
    let shown = scene.get(&format!("/contacts/{}", scene.contact().await)).await;
    assert_eq!(shown["conversations"].as_array().map(Vec::len), Some(1), "{shown}");
    scene.app.finish().await;
}

async fn no_opt_out_is_lost_when_a_number_changes(database: Database) {
    let scene = Scene::start(database).await;
    let (old, new) = (person(1), person(9));
    choose(&scene.app, number(&old), "stop", CHANGED - 400).await;
    choose(&scene.app, number(&new), "stop", CHANGED - 300).await;
    choose(&scene.app, number(&new), "resume", CHANGED - 200).await;
    scene.told("contact.opted_in", 1).await;

    change(&scene, "wamid.changed", &old, &new).await;
    scene.told("contact.opted_out", 3).await;
    until_refused(&scene.app, &new).await;
    until_refused(&scene.app, &old).await;

    // What is said at the new number after the change counts, also when WhatsApp says it a second time.
    choose(&scene.app, number(&new), "resume", CHANGED + 100).await;
    until_welcome(&scene.app, &new).await;
    change(&scene, "wamid.changed-elsewhere", &old, &new).await;
    scene.told("message.received", 2).await;
    let list = listed(&scene).await;
    assert!(list.contains(&old) && !list.contains(&new), "{list}");
    scene.app.finish().await;
}

async fn an_opt_out_of_the_new_number_stays_when_somebody_moves_to_it(database: Database) {
    let scene = Scene::start(database).await;
    let (old, new) = (person(1), person(9));
    choose(&scene.app, number(&old), "stop", CHANGED - 400).await;
    choose(&scene.app, number(&old), "resume", CHANGED - 300).await;
    choose(&scene.app, number(&new), "stop", CHANGED - 500).await;
    scene.told("contact.opted_out", 2).await;

    change(&scene, "wamid.changed", &old, &new).await;
    scene.told("message.received", 1).await;

    let list = listed(&scene).await;
    assert!(list.contains(&new) && !list.contains(&old), "{list}");
    until_refused(&scene.app, &new).await;
    scene.told("contact.opted_in", 1).await;
    scene.app.finish().await;
}

async fn erasing_the_new_number_erases_what_whatsapp_said_of_the_change(database: Database) {
    let scene = Scene::start(database).await;
    let (old, new) = (person(1), person(9));
    scene.hears(&old, "hello");
    scene.told("contact.created", 1).await;
    change(&scene, "wamid.changed", &old, &new).await;
    scene.told("contact.updated", 1).await;
    scene.told("message.received", 2).await;
    scene.app.settled().await;

    let begun = scene.call(Method::POST, "/persons/erase", Some(json!({"phone": new, "confirm": new}))).await;
    assert_eq!(begun.http_status, 202, "{begun:?}");
    let path = format!("/persons/erasures/{}", begun.body["id"]);
    scene.app.until("it is erased", async || scene.get(&path).await["state"] == "erased").await;

    let erased = scene.get(&path).await;
    assert_eq!((&erased["erased"]["contacts"], &erased["erased"]["inbound"]), (&json!(1), &json!(1)), "{erased}");
    assert_eq!(scene.get("/contacts").await["contacts"], json!([]));
    scene.app.leave().await;
}

on_each_database![
    who_changes_the_number_is_the_same_contact,
    a_number_that_had_a_contact_already_has_one_afterwards,
    no_opt_out_is_lost_when_a_number_changes,
    an_opt_out_of_the_new_number_stays_when_somebody_moves_to_it,
    erasing_the_new_number_erases_what_whatsapp_said_of_the_change,
];
