//! Contacts: made by those who write, never by what is only sent; tagged, named and asked for by API; told to webhooks.

use reqwest::Method;
use serde_json::{Value, json};
use wabridge::domain::{ids::AccountKey, phone::PhoneNumber};

use crate::{
    harness::{
        APP_SECRET, Answer, Database, Message, NUMBER_ID, Receiver, TestApp, Visitor, WABA_ID, on_each_database, person,
    },
    suppressions::{choose, number},
};

/// A bridge, somebody's server that wants news of people, and a token.
pub(crate) struct Scene {
    pub(crate) app: TestApp,
    pub(crate) receiver: Receiver,
    owner: Visitor,
    token: String,
}

impl Scene {
    pub(crate) async fn start(database: Database) -> Self {
        let app = TestApp::start(database).await;
        let scopes = ["configuration:manage", "messages:read", "personal:read", "contacts:manage", "persons:manage"];
        let owner = app.first_owner().await;
        let token = owner.make_token(&scopes).await;
        let scene = Self { app, receiver: Receiver::start().await, owner, token };
        let settings = json!({"url": format!("{}/hook", scene.receiver.url), "events": ["contact.*", "conversation.*", "message.received"]});
        let body = json!({"name": "crm", "settings": settings});
        assert_eq!(scene.call(Method::POST, "/webhooks", Some(body)).await.http_status, 201);
        scene
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.app.call(method, &format!("/api/v1{path}"), &self.token, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.call(Method::GET, path, None).await;
        assert_eq!(answer.http_status, 200, "{answer:?}");
        answer.body
    }

    pub(crate) fn hears(&self, from: &str, text: &str) {
        self.app.simulator.inbound_text(from, NUMBER_ID, text, None).expect("the number exists");
    }

    /// Waits until the webhook was told this often of such an event; gives back the last.
    pub(crate) async fn told(&self, name: &str, times: usize) -> Value {
        let all = || -> Vec<Value> {
            let requests = self.receiver.requests();
            requests.iter().map(|request| request.json()).filter(|told| told["type"] == name).collect()
        };
        self.app.until(&format!("{name} is told {times} times"), async || all().len() >= times).await;
        assert_eq!(all().len(), times, "{name}");
        all().pop().expect("it was told")
    }

    /// The one contact that there is, when there is.
    pub(crate) async fn contact(&self) -> String {
        let list = self.get("/contacts").await;
        assert_eq!(list["contacts"].as_array().map(Vec::len), Some(1), "{list}");
        list["contacts"][0]["id"].as_str().expect("an id").to_owned()
    }
}

async fn who_writes_becomes_a_contact_and_who_is_only_written_to_does_not(database: Database) {
    let scene = Scene::start(database).await;
    let messages: Vec<Message> = (0..5).map(|number| Message::order_update(&person(number))).collect();
    scene.app.accept_all(&messages).await;
    scene.app.settled().await;
    assert_eq!(scene.get("/contacts").await["contacts"], json!([]));

    scene.hears(&person(1), "hello");
    let created = scene.told("contact.created", 1).await;
    scene.told("conversation.created", 1).await;
    let received = scene.told("message.received", 1).await;
    assert_eq!(received["data"]["contact"], created["data"]["contact"], "also by name");

    assert_eq!(created["data"]["contact"]["phone"], person(1), "{created}");
    assert_eq!(created["data"]["contact"]["name"], "Farah Costa", "as the simulator calls this number: {created}");
    assert_eq!(created["data"]["channel"]["provider"], "meta", "{created}");
    let id = scene.contact().await;
    assert_eq!(created["data"]["contact_details"]["id"], id);
    scene.hears(&person(1), "again");
    scene.hears(&person(2), "me, too");
    scene.told("contact.created", 2).await;
    // Who writes moves to the head of the list.
    scene.app.settled().await;
    let all = scene.get("/contacts").await;
    assert_eq!(all["contacts"].as_array().map(Vec::len), Some(2), "{all}");
    let first = scene.get("/contacts?limit=1").await;
    let next = first["next"].as_str().expect("there is another");
    let second = scene.get(&format!("/contacts?limit=1&before={next}")).await;
    assert_ne!(first["contacts"][0]["id"], second["contacts"][0]["id"]);
    let by_number = scene.get(&format!("/contacts?text=%2B{}", person(1).trim_start_matches('+'))).await;
    assert_eq!(by_number["contacts"][0]["id"], id, "{by_number}");
    assert_eq!(scene.get("/contacts?text=nobody").await["contacts"], json!([]));
    let shown = scene.get(&format!("/contacts/{id}")).await;
    assert_eq!(shown["conversations"][0]["state"], "open", "{shown}");
    scene.app.settled().await;
    scene.app.finish().await;
}

async fn who_writes_under_another_name_is_told_as_changed(database: Database) {
    let scene = Scene::start(database).await;
    let digits = person(1).trim_start_matches('+').to_owned();
    for (number, name) in ["Asha", "Asha", "Asha Rao"].into_iter().enumerate() {
        let message = json!({"id": format!("wamid.{number}"), "from": digits, "timestamp": "1790000000", "type": "text",
            "text": {"body": "hello"}});
        let value = json!({"messaging_product": "whatsapp", "metadata": {"phone_number_id": NUMBER_ID},
            "contacts": [{"wa_id": digits, "profile": {"name": name}}], "messages": [message]});
        let change = json!({"field": "messages", "value": value});
        let body = json!({"object": "whatsapp_business_account", "entry": [{"id": WABA_ID, "changes": [change]}]});
        assert_eq!(scene.app.post_webhook(body.to_string(), APP_SECRET).await, 200);
    }

    let changed = scene.told("contact.updated", 1).await;
    scene.told("message.received", 3).await;

    assert_eq!(changed["data"]["contact"]["name"], "Asha Rao", "{changed}");
    let renamed = json!([{"field": "name", "before": "Asha", "after": "Asha Rao"}]);
    assert_eq!(changed["data"]["changes"], renamed, "{changed}");
    scene.told("contact.created", 1).await;
    scene.told("contact.updated", 1).await;
    scene.app.finish().await;
}

async fn a_contact_is_tagged_and_named_and_webhooks_hear_of_each(database: Database) {
    let scene = Scene::start(database).await;
    scene.hears(&person(1), "hello");
    scene.told("contact.created", 1).await;
    let path = format!("/contacts/{}", scene.contact().await);
    let change = |body: Value| scene.call(Method::PATCH, &path, Some(body));

    let tagged = change(json!({"add_tags": ["vip", "mumbai"], "name": "Asha K"})).await;
    assert_eq!((tagged.http_status, &tagged.body["tags"]), (200, &json!(["mumbai", "vip"])), "{tagged:?}");
    let told = scene.told("contact.tag_mapped", 2).await;
    assert_eq!((&told["data"]["tag"], &told["data"]["contact_details"]["tags"]), (&json!("vip"), &tagged.body["tags"]));
    assert_eq!(scene.told("contact.updated", 1).await["data"]["contact"]["name"], "Asha K");
    assert_eq!(scene.get("/contacts?tag=vip").await["contacts"][0]["name"], "Asha K");
    assert_eq!(scene.get("/contacts?tag=vi").await["contacts"], json!([]), "a part of a tag is another");
    scene.hears(&person(1), "the profile has another name");
    assert_eq!(change(json!({"remove_tags": ["vip"]})).await.body["name"], "Asha K");
    assert_eq!(scene.told("contact.tag_unmapped", 1).await["data"]["tag"], "vip");
    let refused = change(json!({"add_tags": ["a,b"]})).await;
    assert_eq!((refused.http_status, &refused.body["field"]), (422, &json!("add_tags")), "{refused:?}");
    assert_eq!(scene.call(Method::GET, "/contacts/con_0000000000000", None).await.http_status, 404);

    let looks = scene.owner.make_token(&["messages:read"]).await;
    let masked = scene.app.call(Method::GET, "/api/v1/contacts", &looks, None).await.body;
    assert_eq!(masked["contacts"][0]["name"], Value::Null, "{masked}");
    assert!(!masked.to_string().contains(&person(1)), "{masked}");
    let changed = scene.app.call(Method::PATCH, &format!("/api/v1{path}"), &looks, Some(json!({}))).await;
    assert_eq!(changed.http_status, 403);
    let searched = scene.app.call(Method::GET, "/api/v1/contacts?text=876", &looks, None).await;
    assert_eq!(searched.http_status, 422, "the end of a number would tell its digits one by one");
    scene.app.finish().await;
}

async fn what_a_person_wants_is_told_once_whoever_says_so(database: Database) {
    let scene = Scene::start(database).await;
    choose(&scene.app, number(&person(7)), "stop", 1_795_000_000).await;
    choose(&scene.app, number(&person(7)), "stop", 1_795_000_100).await;
    let told = scene.told("contact.opted_out", 1).await;
    assert_eq!(told["data"]["contact"]["phone"], person(7), "who never wrote is told of, too: {told}");
    assert_eq!(told["data"]["preference"], json!({"scope": "marketing", "source": "person"}));
    choose(&scene.app, number(&person(7)), "resume", 1_795_000_200).await;
    scene.told("contact.opted_in", 1).await;

    scene.hears(&person(1), "hello");
    scene.told("contact.created", 1).await;
    let path = format!("/contacts/{}", scene.contact().await);
    let out = scene.call(Method::PATCH, &path, Some(json!({"opt_in": false}))).await;
    assert_eq!((out.http_status, &out.body["opt_in"]), (200, &json!(false)), "{out:?}");
    let told = scene.told("contact.opted_out", 2).await;
    assert_eq!(told["data"]["preference"]["source"], "operator");
    assert_eq!(told["data"]["contact_details"]["opt_in"], false, "{told}");
    scene
        .app
        .until("marketing is refused", async || scene.app.send(&Message::marketing(&person(1))).await.code() == 2003)
        .await;
    let wanted = scene.call(Method::PATCH, &path, Some(json!({"opt_in": true}))).await;
    assert_eq!(wanted.body["opt_in"], true, "{wanted:?}");
    scene.told("contact.opted_in", 2).await;
    scene.app.settled().await;
    scene.app.leave().await;
}

async fn what_cannot_be_written_down_does_not_happen(database: Database) {
    let scene = Scene::start(database).await;
    scene.hears(&person(1), "hello");
    scene.told("contact.created", 1).await;
    let path = format!("/contacts/{}", scene.contact().await);
    let rename = async |from: &str, to: &str| {
        let sql = format!("ALTER TABLE {from} RENAME TO {to}");
        scene.app.meddle((&sql, &sql)).await;
    };

    rename("audit_log", "gone").await;
    for wants in [false, true] {
        let refused = scene.call(Method::PATCH, &path, Some(json!({"opt_in": wants}))).await;
        assert_eq!(refused.http_status, 500, "{refused:?}");
    }
    rename("gone", "audit_log").await;

    assert_eq!(scene.get(&path).await["opt_in"], Value::Null, "nobody said");
    let done = scene.call(Method::PATCH, &path, Some(json!({"opt_in": false, "add_tags": ["vip"]}))).await;
    assert_eq!((done.http_status, &done.body["opt_in"]), (200, &json!(false)), "{done:?}");
    let lines = scene.app.store.audit_lines(None, 2).await.expect("readable");
    let actions: Vec<&str> = lines.iter().map(|line| line.action.as_str()).collect();
    assert_eq!(actions, ["opt contact out", "change contact"]);
    scene.told("contact.opted_out", 1).await;
    scene.app.settled().await;
    scene.app.finish().await;
}

async fn the_console_shows_and_changes_what_the_api_does(database: Database) {
    let scene = Scene::start(database).await;
    scene.hears(&person(1), "hello");
    scene.told("conversation.created", 1).await;
    let path = format!("/console/contacts/{}", scene.contact().await);
    let (owner, reader) = (&scene.owner, scene.app.another(&scene.owner, "ravi", "read-only").await);

    for list in ["/console/contacts", "/console/conversations", "/console/conversations?state=open", &path] {
        let page = owner.get(list).await;
        assert!(page.status == 200 && page.text.contains(&person(1)), "{list}: {page:?}");
        let masked = reader.get(list).await;
        assert!(masked.status == 200 && !masked.text.contains(&person(1)), "{list}: {masked:?}");
    }
    assert!(owner.get("/console/conversations?state=closed").await.text.contains("There is none like that."));
    let tagged = owner.post(&path, &[("add", "vip & more")]).await;
    assert_eq!((tagged.status, tagged.header("location")), (303, format!("{path}?done=contact").as_str()));
    assert!(owner.get(&path).await.text.contains("vip &#38; more"));
    assert_eq!(scene.told("contact.tag_mapped", 1).await["data"]["tag"], "vip & more");
    owner.post(&path, &[("opt_in", "no")]).await;
    assert!(owner.get(&path).await.text.contains("opted out"));
    let talk = scene.get("/conversations").await["conversations"][0]["id"].as_str().expect("an id").to_owned();
    let closed = owner.post(&format!("/console/conversations/{talk}"), &[("what", "close")]).await;
    assert_eq!(closed.status, 303, "{closed:?}");
    scene.told("conversation.resolved", 1).await;
    assert_eq!(reader.post(&path, &[("add", "no")]).await.status, 403);
    scene.app.leave().await;
}

async fn erasing_a_person_erases_the_contact_and_what_the_log_says_of_it(database: Database) {
    let scene = Scene::start(database).await;
    scene.hears(&person(1), "hello");
    scene.hears(&person(2), "hello");
    scene.told("contact.created", 2).await;
    let exported = scene.call(Method::POST, "/persons/export", Some(json!({"phone": person(1)}))).await.body;
    assert_eq!(exported["contacts"][0]["conversations"].as_array().map(Vec::len), Some(1), "{exported}");

    let body = json!({"phone": person(1), "confirm": person(1)});
    let begun = scene.call(Method::POST, "/persons/erase", Some(body)).await;
    assert_eq!(begun.http_status, 202, "{begun:?}");
    let path = format!("/persons/erasures/{}", begun.body["id"]);
    scene.app.until("it is erased", async || scene.get(&path).await["state"] == "erased").await;

    assert_eq!(scene.get(&path).await["erased"]["contacts"], 1);
    let left = scene.get("/contacts").await;
    assert_eq!(left["contacts"].as_array().map(Vec::len), Some(1), "{left}");
    assert_eq!(left["contacts"][0]["phone"], person(2));
    let phone = |text: &str| PhoneNumber::from_international(text).expect("a number");
    let news = async |who: &str| {
        scene.app.store.erase_news(AccountKey(1), (0, i64::MAX), &phone(who), &[]).await.expect("written")
    };
    assert_eq!(news(&person(1)).await, 0, "nothing is left in the log");
    assert_eq!(news(&person(2)).await, 2, "and what is another's was");
    scene.app.leave().await;
}

on_each_database![
    who_writes_becomes_a_contact_and_who_is_only_written_to_does_not,
    who_writes_under_another_name_is_told_as_changed,
    a_contact_is_tagged_and_named_and_webhooks_hear_of_each,
    what_a_person_wants_is_told_once_whoever_says_so,
    what_cannot_be_written_down_does_not_happen,
    the_console_shows_and_changes_what_the_api_does,
    erasing_a_person_erases_the_contact_and_what_the_log_says_of_it,
];
