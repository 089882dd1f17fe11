//! Outgoing webhooks: whoever is configured hears of what happens, signed, sifted, in order and at least once.

use reqwest::{
    Method,
    header::{HeaderMap, HeaderName},
};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use wabridge::store::Store;

use crate::harness::{
    Answer, Database, LOG_FILE, Message, NUMBER_ID, OTHER_ACCOUNT, OTHER_SENDER, Receiver, Request, TestApp, Visitor,
    on_each_database, person,
};

/// What people wrote, and what became of messages.
const STORY: [&str; 5] = ["message.received", "message.sent", "message.delivered", "message.read", "message.failed"];
/// In PEM, and nothing of it is what it says.
const CHAIN: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";

/// A bridge, somebody's server, and a token that may configure.
pub(crate) struct Scene {
    pub(crate) app: TestApp,
    pub(crate) receiver: Receiver,
    pub(crate) owner: Visitor,
    token: String,
}

impl Scene {
    pub(crate) async fn start(database: Database) -> Self {
        let app = TestApp::start(database).await;
        let scopes = ["configuration:manage", "messages:read", "callbacks:replay", "personal:read"];
        let owner = app.first_owner().await;
        let token = owner.make_token(&scopes).await;
        Self { app, receiver: Receiver::start().await, owner, token }
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.app.call(method, &format!("/api/v1{path}"), &self.token, body).await
    }

    /// Settings with the receiver's URL.
    pub(crate) fn settings(&self, more: Value) -> Value {
        let mut settings = json!({"url": format!("{}/hook", self.receiver.url), "events": STORY});
        settings.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        settings
    }

    /// Makes the webhook `crm`; gives back its signing secret.
    pub(crate) async fn webhook(&self, more: Value) -> String {
        let body = json!({"name": "crm", "settings": self.settings(more)});
        let made = self.call(Method::POST, "/webhooks", Some(body)).await;
        assert_eq!(made.http_status, 201, "{made:?}");
        made.body["signing_secret"].as_str().unwrap_or_default().to_owned()
    }

    async fn refused(&self, more: Value) -> Answer {
        let body = json!({"name": "crm", "settings": self.settings(more)});
        self.call(Method::POST, "/webhooks", Some(body)).await
    }

    pub(crate) async fn came(&self, count: usize) -> Vec<Request> {
        let what = format!("{count} requests came");
        self.app.until(&what, async || self.receiver.requests().len() >= count).await;
        self.receiver.requests()
    }

    async fn dead(&self) -> i64 {
        dead(&self.app.store).await
    }

    pub(crate) fn hears(&self, text: &str) {
        self.app.simulator.inbound_text(&person(1), NUMBER_ID, text, None).expect("the number exists");
    }
}

async fn dead(store: &Store) -> i64 {
    let counts = store.count_callbacks().await.expect("countable");
    counts.values().map(|(dead, _)| *dead).sum()
}

fn events(requests: &[Request]) -> Vec<String> {
    requests.iter().map(Request::event).collect()
}

pub(crate) fn verify(request: &Request, secret: &str) -> bool {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let name: HeaderName = name.parse().expect("a name");
        headers.insert(name, value.parse().expect("a value"));
    }
    Webhook::new(secret).expect("a secret").verify(request.body.as_bytes(), &headers).is_ok()
}

async fn what_happens_is_told_once_signed_in_order_and_with_what_is_known(database: Database) {
    let scene = Scene::start(database).await;
    let secret = scene.webhook(json!({})).await;
    let message = Message::order_update(&person(0));

    scene.app.accept(&message).await;
    let requests = scene.came(3).await;

    assert_eq!(events(&requests), ["message.sent", "message.delivered", "message.read"]);
    for request in &requests {
        assert!(verify(request, &secret), "{request:?}");
        assert!(!verify(&Request { body: request.body.replacen("acme", "acmf", 1), ..request.clone() }, &secret));
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hook"));
        let told = request.json();
        assert_eq!(told["account"], "acme");
        assert_eq!(told["data"]["message"]["platform_id"], message.msg_id(), "{told}");
        assert_eq!(told["data"]["message"]["template"]["name"], "order_update", "{told}");
        assert_eq!(told["data"]["contact"]["phone"], person(0), "{told}");
        assert_eq!(told["data"]["channel"]["provider"], "meta", "{told}");
        assert!(told["data"]["message"]["price"]["category"].is_string(), "{told}");
        assert!(told["data"].get("raw").is_none(), "only complete payloads have it: {told}");
    }
    let sequences: Vec<i64> = requests.iter().filter_map(|request| request.json()["sequence"].as_i64()).collect();
    assert!(sequences.is_sorted() && sequences.len() == 3, "{sequences:?}");
    scene.hears("hello");
    let inbound = scene.came(4).await.pop().expect("it came").json();
    assert_eq!(
        (&inbound["type"], &inbound["data"]["message"]["content"]["text"]),
        (&json!("message.received"), &json!("hello"))
    );

    // CleverTap hears of all of it as ever.
    scene.app.settled().await;
    scene.app.finish().await;
}

async fn all_that_a_webhook_missed_begins_when_it_was_made(database: Database) {
    let scene = Scene::start(database).await;
    scene.hears("before");
    scene.app.settled().await;
    scene.webhook(json!({"events": ["message.received"]})).await;
    scene.hears("after");
    scene.came(1).await;
    scene.app.settled().await;
    let shown = scene.call(Method::GET, "/webhooks/crm", None).await.body;
    let url = shown["cursors"][0]["callback_url"].clone();
    let events = async |since: Option<&str>| {
        let wanted = json!({"callback_url": url, "state": "all", "since": since, "dry_run": true});
        scene.call(Method::POST, "/replays", Some(wanted)).await.body["events"].clone()
    };

    assert_eq!(events(None).await, 1, "what was there before it is nothing that it missed");
    assert_eq!(events(Some("2020-01-01T00:00:00Z")).await, 2, "who says so means it");
    let page = scene.owner.get("/console/webhooks/crm/replay?of=all").await.text;
    assert!(page.contains("<strong>1</strong>") && page.contains("heard since the webhook was made at"), "{page}");
    let page = scene.owner.get("/console/webhooks/crm/replay?of=all&since=2020-01-01T00:00").await.text;
    assert!(page.contains("<strong>2</strong>"), "{page}");
    assert!(scene.owner.get("/console/webhooks/crm").await.text.contains("begins when the webhook was made"));
    scene.app.finish().await;
}

async fn a_webhook_hears_only_of_what_it_wants(database: Database) {
    let scene = Scene::start(database).await;
    scene.app.apply(&format!("{OTHER_ACCOUNT}{OTHER_SENDER}")).await;
    let to_one = json!({"json": [{"pointer": "/data/contact/phone", "value": person(1)}]});
    scene.webhook(json!({"events": ["message.read"], "filter": to_one, "payload": "complete"})).await;

    scene.app.accept_all(&[Message::order_update(&person(0)), Message::order_update(&person(1))]).await;
    scene.app.settled().await;
    let requests = scene.came(1).await;

    assert_eq!(events(&requests), ["message.read"]);
    let told = requests[0].json();
    assert_eq!(told["data"]["contact"]["phone"], person(1));
    assert!(told["data"]["raw"].is_object(), "complete payloads have the provider's entry: {told}");
    let shown = scene.call(Method::GET, "/webhooks/crm", None).await.body;
    let cursors = shown["cursors"].as_array().expect("a list");
    assert_eq!(cursors.len(), 2, "one for each account, and none for kinds that it cannot want: {shown}");
    let listed = scene.call(Method::GET, "/callback-urls?webhook=crm", None).await.body;
    let urls = listed["callback_urls"].as_array().expect("a list");
    assert!(urls.len() == 2 && urls.iter().all(|url| url["webhook"] == "crm" && url["kind"] == "status"), "{listed}");
    scene.app.finish().await;
}

async fn one_that_is_not_taken_is_sent_again_as_often_as_agreed_and_can_be_replayed(database: Database) {
    let scene = Scene::start(database).await;
    let retries = json!({"kind": "fixed", "times": 2, "every_seconds": 1});
    scene.webhook(json!({"events": ["message.received"], "retries": retries, "success": "200"})).await;
    // 204 is no 200.
    scene.receiver.answer_always(204);

    scene.hears("hello");
    scene.app.until("it is dead", async || scene.dead().await == 1).await;

    let requests = scene.receiver.requests();
    assert_eq!(requests.len(), 3, "once and twice again");
    let ids: Vec<&str> = requests.iter().map(|request| request.header("webhook-id")).collect();
    assert!(!ids[0].is_empty() && ids.iter().all(|id| *id == ids[0]), "each time the same event: {ids:?}");
    let shown = scene.call(Method::GET, "/webhooks/crm", None).await.body;
    let url = shown["cursors"][0]["callback_url"].as_i64().expect("a number");
    let listed = scene.call(Method::GET, &format!("/callback-urls/{url}/events?state=dead"), None).await;
    assert_eq!(listed.body["events"].as_array().map(Vec::len), Some(1), "{listed:?}");
    let (code, said) = scene.app.command_ending(&["status", "--exit-code"]).await;
    let told = [
        "webhook crm fails since",
        "webhook crm has 1 dead event: mend its receiver, then `wabridge webhook replay crm`",
    ];
    assert!(code == 4 && told.iter().all(|words| said.contains(words)), "{code}: {said}");
    scene.receiver.answer_always(200);
    let asked = scene.call(Method::POST, "/replays", Some(json!({"callback_url": url, "state": "dead"}))).await;
    assert!(asked.http_status < 300, "{asked:?}");
    scene.app.until("none is dead", async || scene.dead().await == 0).await;
    assert_eq!(scene.receiver.requests().len(), 4);
    let works = async || {
        scene.app.command_ending(&["webhook", "list"]).await == (0, "crm: works (message.received)\n".to_owned())
    };
    scene.app.until("what it took again shows that it works", works).await;
    let (_, said) = scene.app.command_ending(&["status"]).await;
    assert!(said.contains("\nWEBHOOKS\n  crm: works (message.received)\n"), "{said}");
    scene.app.finish().await;
}

async fn an_event_that_is_refused_holds_up_those_behind_it_and_nobody_else(database: Database) {
    let scene = Scene::start(database).await;
    let retries = json!({"kind": "fixed", "times": 5, "every_seconds": 15});
    scene.webhook(json!({"events": STORY, "retries": retries, "in_flight": 1})).await;
    scene.receiver.answer_next(&[500]);

    scene.hears("the first of Asha");
    scene.came(1).await;
    scene.hears("the second of Asha");
    scene.app.simulator.inbound_text(&person(2), NUMBER_ID, "Ravi", None).expect("the number exists");
    let requests = scene.came(4).await;

    let texts: Vec<String> = requests
        .iter()
        .map(|request| request.json()["data"]["message"]["content"]["text"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(texts, ["the first of Asha", "Ravi", "the first of Asha", "the second of Asha"]);
    assert_eq!(scene.dead().await, 0);
    scene.app.finish().await;
}

async fn what_is_behind_a_refused_event_is_not_said_to_have_been_tried(database: Database) {
    let scene = Scene::start(database).await;
    let retries = json!({"kind": "fixed", "times": 5, "every_seconds": 600});
    scene.webhook(json!({"events": ["message.sent", "message.delivered"], "retries": retries})).await;
    scene.receiver.answer_next(&[500]);
    let message = Message::order_update(&person(1));
    scene.app.accept(&message).await;

    let story = async || scene.app.command(&["message", message.msg_id()]).await;
    let behind = "not sent yet to the webhook crm: waits for the event before it";
    scene.app.until("one waits behind the other", async || story().await.contains(behind)).await;
    assert_eq!(story().await.matches("waits to be tried again at the webhook crm").count(), 1, "{}", story().await);
    assert_eq!(scene.receiver.requests().len(), 1);
    scene.app.leave().await;
}

async fn a_paused_webhook_misses_nothing_and_one_that_is_off_does(database: Database) {
    let scene = Scene::start(database).await;
    scene.webhook(json!({"events": ["message.received"]})).await;
    let switch = async |to: &str| {
        let answer = scene.call(Method::POST, &format!("/webhooks/crm/{to}"), None).await;
        assert_eq!(answer.http_status, 200, "{answer:?}");
        answer.body
    };

    assert_eq!(switch("pause").await["paused"], true);
    scene.hears("while paused");
    scene.app.settled().await;
    assert!(scene.receiver.requests().is_empty());
    assert_eq!(switch("resume").await["paused"], false);
    assert_eq!(scene.came(1).await.len(), 1);

    assert_eq!(switch("disable").await["enabled"], false);
    scene.hears("while off");
    scene.app.settled().await;
    switch("enable").await;
    scene.hears("afterwards");
    let requests = scene.came(2).await;
    assert_eq!(requests[1].json()["data"]["message"]["content"]["text"], "afterwards");

    assert_eq!(scene.call(Method::DELETE, "/webhooks/crm", None).await.http_status, 204);
    assert_eq!(scene.call(Method::GET, "/webhooks/crm", None).await.http_status, 404);
    scene.app.finish().await;
}

async fn it_shows_who_it_is_in_each_way_that_a_receiver_may_want(database: Database) {
    let scene = Scene::start(database).await;
    scene.webhook(json!({"events": ["message.received"]})).await;
    let sample = async |authentication: Value| {
        let more = json!({"method": "PUT", "authentication": authentication, "headers": {"X-Key": "header-secret"}});
        let settings = json!({"settings": scene.settings(more)});
        let changed = scene.call(Method::PUT, "/webhooks/crm", Some(settings)).await;
        assert_eq!(changed.http_status, 200, "{changed:?}");
        let shown = changed.body.to_string();
        assert!(!shown.contains("secret-of") && !shown.contains("header-secret"), "{shown}");
        let sent = scene.call(Method::POST, "/webhooks/crm/sample", Some(json!({"event": "message.received"}))).await;
        assert_eq!((sent.http_status, &sent.body["taken"]), (200, &json!(true)), "{sent:?}");
        scene.receiver.requests().pop().expect("it came")
    };

    let basic = sample(json!({"kind": "basic", "user": "asha", "password": "secret-of-asha"})).await;
    assert_eq!(basic.header("authorization"), "Basic YXNoYTpzZWNyZXQtb2YtYXNoYQ==");
    assert_eq!((basic.method.as_str(), basic.header("x-key")), ("PUT", "header-secret"));
    let bearer = sample(json!({"kind": "bearer", "prefix": "Token", "token": "secret-of-crm"})).await;
    assert_eq!(bearer.header("authorization"), "Token secret-of-crm");

    let oauth = json!({"kind": "oauth2", "grant": "client_credentials", "token_url": format!("{}/token", scene.receiver.url),
        "client_id": "bridge", "client_secret": "secret-of-bridge"});
    assert_eq!(sample(oauth.clone()).await.header("authorization"), "Bearer token-1");
    let again = scene.call(Method::POST, "/webhooks/crm/sample", Some(json!({"event": "message.read"}))).await;
    assert_eq!((&again.body["taken"], scene.receiver.tokens_given()), (&json!(true), 1), "it is kept: {again:?}");
    // The receiver forgets it: a new one is fetched for the same request.
    scene.receiver.wants_token(2);
    let again = scene.call(Method::POST, "/webhooks/crm/sample", Some(json!({"event": "message.read"}))).await;
    assert_eq!((&again.body["taken"], scene.receiver.tokens_given()), (&json!(true), 2), "{again:?}");
    let log = String::from_utf8_lossy(&scene.app.read_file(LOG_FILE)).into_owned();
    assert!(!log.contains("secret-of") && !log.contains("header-secret"), "no secret is logged");
    scene.app.finish().await;
}

async fn while_the_secret_changes_both_sign(database: Database) {
    let scene = Scene::start(database).await;
    let old = scene.webhook(json!({"events": ["message.received"]})).await;

    let rotated = scene.call(Method::POST, "/webhooks/crm/rotate-secret", Some(json!({"hours": 1}))).await;
    let new = rotated.body["signing_secret"].as_str().expect("a secret").to_owned();
    scene.hears("hello");
    let request = scene.came(1).await.remove(0);

    assert_ne!(old, new);
    assert!(verify(&request, &old) && verify(&request, &new), "{request:?}");
    let rotated = scene.call(Method::POST, "/webhooks/crm/rotate-secret", Some(json!({"hours": 0}))).await;
    let newest = rotated.body["signing_secret"].as_str().expect("a secret").to_owned();
    scene.hears("again");
    let request = scene.came(2).await.remove(1);
    assert!(verify(&request, &newest) && !verify(&request, &new), "{request:?}");
    scene.app.finish().await;
}

async fn each_secret_that_was_replaced_signs_for_as_long_as_was_promised(database: Database) {
    let scene = Scene::start(database).await;
    let rotate =
        async |hours: u32| scene.call(Method::POST, "/webhooks/crm/rotate-secret", Some(json!({"hours": hours}))).await;
    let until = async || scene.call(Method::GET, "/webhooks/crm", None).await.body["old_secret_signs_until"].clone();
    let mut secrets = vec![scene.webhook(json!({"events": ["message.received"]})).await];
    for hours in [2, 1, 1, 1] {
        let rotated = rotate(hours).await;
        secrets.push(rotated.body["signing_secret"].as_str().expect("a secret").to_owned());
    }

    scene.hears("hello");
    let request = scene.came(1).await.remove(0);
    assert!(secrets.iter().all(|secret| verify(&request, secret)), "{request:?}");
    let promised = until().await;
    let refused = rotate(24).await;
    assert!(refused.http_status == 409 && refused.body.to_string().contains("0 hours"), "{refused:?}");
    assert_eq!(until().await, promised, "nothing has changed");

    let rotated = rotate(0).await;
    let newest = rotated.body["signing_secret"].as_str().expect("a secret").to_owned();
    scene.hears("again");
    let request = scene.came(2).await.remove(1);
    assert!(verify(&request, &newest) && !secrets.iter().any(|secret| verify(&request, secret)), "{request:?}");
    assert_eq!(until().await, Value::Null);
    scene.app.finish().await;
}

async fn a_profile_with_room_for_one_signature_promises_nothing_for_the_old_secret(database: Database) {
    let scene = Scene::start(database).await;
    scene.webhook(json!({"events": ["message.received"], "profile": "gallabox"})).await;

    let rotated = scene.call(Method::POST, "/webhooks/crm/rotate-secret", Some(json!({"hours": 24}))).await;

    assert!(rotated.http_status == 200 && rotated.body["signing_secret"].is_string(), "{rotated:?}");
    let shown = scene.call(Method::GET, "/webhooks/crm", None).await.body;
    assert!(shown.get("old_secret_signs_until").is_none(), "{shown}");
    let page = scene.owner.get("/console/webhooks/crm").await.text;
    assert!(!page.contains("for so many hours") && page.contains("room for one signature"), "{page}");
    scene.app.finish().await;
}

async fn what_cannot_work_is_refused_with_its_field(database: Database) {
    let scene = Scene::start(database).await;
    for (more, field) in [
        (json!({"events": []}), "events"),
        (json!({"headers": {"Host": "inner"}}), "headers"),
        (json!({"headers": {"X": "a\r\nY: b"}}), "headers"),
        (json!({"profile": "telex"}), "profile"),
        (json!({"format": "soap_1_1"}), "format"),
        (json!({"signing_secret": "short"}), "signing_secret"),
        (json!({"filter": {"accounts": ["nobody"]}}), "filter.accounts"),
        (json!({"filter": {"providers": ["telex"]}}), "filter.providers"),
        (json!({"events": ["message.received"], "filter": {"statuses": ["read"]}}), "filter.statuses"),
        (json!({"alerts": {"webhook": "nobody"}}), "alerts.webhook"),
        (json!({"alerts": {"webhook": "crm"}}), "alerts.webhook"),
        (json!({"alerts": {"emails": ["nobody"]}}), "alerts.emails"),
        (json!({"soap_parameters": {"Branch": "Andheri"}}), "soap_parameters"),
        (json!({"profile": "commbox", "format": "soap_1_2", "soap_parameters": {"1 a": "x"}}), "soap_parameters"),
        (json!({"profile": "commbox", "format": "soap_1_1", "soap_parameters": {"": "x"}}), "soap_parameters"),
        (json!({"old_names": true}), "old_names"),
        (json!({"client_certificate": {"certificate": CHAIN, "private_key": KEY}}), "client_certificate"),
    ] {
        let refused = scene.refused(more.clone()).await;
        let field = format!("settings.{field}");
        assert_eq!((refused.http_status, &refused.body["field"]), (422, &json!(field)), "{more}: {refused:?}");
        let detail = refused.body["detail"].as_str().unwrap_or_default();
        assert!(detail.starts_with(&field), "{detail}");
    }
    let by_mail = scene.refused(json!({"alerts": {"emails": ["ops@example.com"]}})).await;
    assert_eq!((by_mail.http_status, &by_mail.body["field"]), (422, &json!("settings.alerts.emails")), "{by_mail:?}");
    assert!(by_mail.body["detail"].as_str().is_some_and(|said| said.contains("alarms.smtp_url")), "{by_mail:?}");
    let several =
        json!({"filter": {"accounts": ["nobody", "noone"], "numbers": ["1"]}, "alerts": {"webhook": "nobody"}});
    let several = scene.refused(several).await;
    assert_eq!(several.body["problems"].as_array().map(Vec::len), Some(3), "{several:?}");
    let without_digits = scene.refused(json!({"filter": {"numbers": ["abc"]}})).await;
    assert_eq!(without_digits.body["problems"].as_array().map(Vec::len), Some(1), "{without_digits:?}");
    let accounts: Vec<String> = (0..5000).map(|number| format!("a{number}")).collect();
    let many = scene.refused(json!({"filter": {"accounts": accounts}})).await;
    let said = many.body["detail"].as_str().unwrap_or_default();
    assert!(said.ends_with("there is no account a0, a1, a2 and 4997 more"), "{many:?}");
    for (more, field) in [
        (json!({"method": "GET"}), "settings.method"),
        (json!({"timeout_seconds": 1.5}), "settings.timeout_seconds"),
        (json!({"retries": {"kind": "standard", "times": 3}}), "settings.retries.times"),
        (json!({"authentication": {"kind": "none", "token": "x"}}), "settings.authentication.token"),
    ] {
        let unread = scene.refused(more.clone()).await;
        assert_eq!((unread.http_status, &unread.body["field"]), (400, &json!(field)), "{more}: {unread:?}");
    }
    let settings = scene.settings(json!({}));
    let named = scene.call(Method::POST, "/webhooks", Some(json!({"name": "-crm", "settings": settings}))).await;
    assert_eq!((named.http_status, &named.body["field"]), (422, &json!("name")), "{named:?}");
    for more in [json!({"colour": "red"}), json!({"events": ["message.clicked"]}), json!({"filter": {"number": []}})] {
        assert_eq!(scene.refused(more.clone()).await.http_status, 400, "{more}");
    }
    scene.webhook(json!({})).await;
    assert_eq!(scene.refused(json!({})).await.http_status, 409, "the name is taken");
    scene.app.finish().await;
}

async fn one_that_begins_in_the_past_hears_what_was_recorded_since_then(database: Database) {
    let scene = Scene::start(database).await;
    scene.hears("long ago");
    scene.app.settled().await;
    let since = chrono::Utc::now().to_rfc3339();
    scene.hears("lately");
    scene.app.settled().await;
    let make = async |since: &str| {
        let settings = scene.settings(json!({"events": ["message.received"]}));
        let body = json!({"name": "crm", "since": since, "settings": settings});
        scene.call(Method::POST, "/webhooks", Some(body)).await
    };

    let refused = make("2999-01-01T00:00:00Z").await;
    assert_eq!((refused.http_status, &refused.body["field"]), (422, &json!("since")), "{refused:?}");
    assert_eq!(make(&since).await.http_status, 201);
    scene.hears("now");
    let texts: Vec<Value> = scene
        .came(2)
        .await
        .iter()
        .map(|request| request.json()["data"]["message"]["content"]["text"].clone())
        .collect();

    assert_eq!(texts, ["lately", "now"]);
    scene.app.finish().await;
}

async fn its_certificate_is_kept_and_never_shown(database: Database) {
    let scene = Scene::start(database).await;
    let made = rcgen::generate_simple_self_signed(["bridge.example".to_owned()]).expect("a certificate");
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    scene.webhook(json!({"client_certificate": {"certificate": chain, "private_key": key}})).await;

    let shown = scene.call(Method::GET, "/webhooks/crm", None).await.body;
    assert_eq!(shown["settings"]["client_certificate"], json!({"certificate": "…", "private_key": "…"}));
    let kept = scene.call(Method::PUT, "/webhooks/crm", Some(json!({"settings": shown["settings"]}))).await;
    assert_eq!(kept.http_status, 200, "what is shown can be sent back: {kept:?}");
    let sent = scene.call(Method::POST, "/webhooks/crm/sample", Some(json!({"event": "message.read"}))).await;
    assert_eq!(sent.body["taken"], true, "{sent:?}");
    let other = rcgen::generate_simple_self_signed(["bridge.example".to_owned()]).expect("a certificate");
    let mixed = json!({"certificate": "…", "private_key": other.signing_key.serialize_pem()});
    let settings = scene.settings(json!({"client_certificate": mixed}));
    let refused = scene.call(Method::PUT, "/webhooks/crm", Some(json!({"settings": settings}))).await;
    assert_eq!(
        (refused.http_status, &refused.body["field"]),
        (422, &json!("settings.client_certificate")),
        "{refused:?}"
    );
    scene.app.finish().await;
}

async fn a_redirect_is_not_followed(database: Database) {
    let scene = Scene::start(database).await;
    let elsewhere = json!({"url": format!("{}/elsewhere", scene.receiver.url)});
    scene.webhook(elsewhere).await;

    let sent = scene.call(Method::POST, "/webhooks/crm/sample", Some(json!({"event": "message.read"}))).await;

    assert_eq!((&sent.body["taken"], &sent.body["http_status"]), (&json!(false), &json!(302)), "{sent:?}");
    assert_eq!(scene.receiver.requests().len(), 1, "nobody came to where it led");
    scene.app.finish().await;
}

async fn a_private_address_is_not_reached_and_plain_http_is_refused(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.settings.security.allow_private_networks = false;
        options.without_templates = true;
        options.unconfigured = true;
    })
    .await;
    let token = app.first_owner().await.make_token(&["configuration:manage", "messages:read"]).await;
    let add = async |name: &str, url: &str| {
        let body = json!({"name": name, "settings": {"url": url, "events": ["message.*", "template.*", "channel.*"]}});
        app.call(Method::POST, "/api/v1/webhooks", &token, Some(body)).await
    };

    assert_eq!(add("plain", "http://hooks.example.com/").await.body["field"], "settings.url");
    // What is written as an address is seen when it is saved …
    for host in ["2130706433", "0177.0.0.1", "[::ffff:127.0.0.1]", "169.254.169.254"] {
        let refused = add("address", &format!("https://{host}:9/")).await;
        assert_eq!((refused.http_status, &refused.body["field"]), (422, &json!("settings.url")), "{host}: {refused:?}");
    }
    // … and where a name leads when a connection is made.
    assert_eq!(add("name", "https://localhost:9/").await.http_status, 201);
    let sample = json!({"event": "message.read"});
    let sent = app.call(Method::POST, "/api/v1/webhooks/name/sample", &token, Some(sample)).await;
    let note = sent.body["note"].as_str().unwrap_or_default();
    assert!(sent.body["taken"] == false && note.contains("private"), "{sent:?}");
    app.leave().await;
}

async fn a_file_states_webhooks_whole_and_twice_changes_nothing(database: Database) {
    let scene = Scene::start(database).await;
    let file = scene.app.write_file(
        "hooks.toml",
        &format!(
            r#"
            [webhook.crm]
            url = "{}/hook"
            events = ["message.received"]
            signing_secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
            filter = {{ accounts = ["acme"] }}
            retries = {{ kind = "exponential", times = 4, first_seconds = 30 }}
            authentication = {{ kind = "bearer", token = "secret-of-crm" }}
            "#,
            scene.receiver.url
        ),
    );

    let (code, printed) = scene.app.command_ending(&["apply", &file]).await;
    assert!(code == 0 && printed.contains("webhook crm"), "{printed}");
    let (code, printed) = scene.app.command_ending(&["apply", &file]).await;
    assert!(code == 0 && !printed.contains("webhook crm"), "{printed}");
    scene.hears("hello");
    let request = scene.came(1).await.remove(0);
    assert_eq!(request.header("authorization"), "Bearer secret-of-crm");
    assert!(verify(&request, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));

    let wrong = scene
        .app
        .write_file("wrong.toml", "[webhook.crm]\nurl = \"https://a.example/\"\nevents = [\"*\"]\ncolour = \"red\"\n");
    let (code, _, said) = scene.app.command_saying(&["apply", &wrong]).await;
    assert!(code == 1 && said.contains("colour"), "{said}");
    scene.app.finish().await;
}

async fn a_dead_receiver_is_switched_off_and_an_alarm_says_so(database: Database) {
    let scene = Scene::start(database).await;
    let rule = json!({"failures": 3, "hours": 0});
    let retries = json!({"kind": "fixed", "times": 0, "every_seconds": 1});
    scene.webhook(json!({"events": ["message.received"], "switch_off": rule, "retries": retries})).await;
    scene.receiver.answer_always(500);

    for text in ["one", "two", "three"] {
        scene.hears(text);
    }
    scene
        .app
        .until("it is off", async || scene.call(Method::GET, "/webhooks/crm", None).await.body["enabled"] == false)
        .await;

    let shown = scene.call(Method::GET, "/webhooks/crm", None).await.body;
    assert!(shown["switched_off"]["reason"].as_str().is_some_and(|reason| reason.contains("not taken")), "{shown}");
    let on = scene.call(Method::POST, "/webhooks/crm/enable", None).await.body;
    assert!(on["enabled"] == true && on.get("switched_off").is_none(), "{on}");
    scene.app.finish().await;
}

on_each_database![
    what_happens_is_told_once_signed_in_order_and_with_what_is_known,
    all_that_a_webhook_missed_begins_when_it_was_made,
    a_webhook_hears_only_of_what_it_wants,
    one_that_is_not_taken_is_sent_again_as_often_as_agreed_and_can_be_replayed,
    an_event_that_is_refused_holds_up_those_behind_it_and_nobody_else,
    what_is_behind_a_refused_event_is_not_said_to_have_been_tried,
    a_paused_webhook_misses_nothing_and_one_that_is_off_does,
    it_shows_who_it_is_in_each_way_that_a_receiver_may_want,
    while_the_secret_changes_both_sign,
    each_secret_that_was_replaced_signs_for_as_long_as_was_promised,
    a_profile_with_room_for_one_signature_promises_nothing_for_the_old_secret,
    what_cannot_work_is_refused_with_its_field,
    one_that_begins_in_the_past_hears_what_was_recorded_since_then,
    its_certificate_is_kept_and_never_shown,
    a_redirect_is_not_followed,
    a_private_address_is_not_reached_and_plain_http_is_refused,
    a_file_states_webhooks_whole_and_twice_changes_nothing,
    a_dead_receiver_is_switched_off_and_an_alarm_says_so,
];
