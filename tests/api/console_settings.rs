//! The settings of the console, and their `/api/v1`: one person's data, alarms, how the system is.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use wabridge::{domain::alarm::AlarmKind, services::alarms::AlarmWays};

use crate::{
    alarms::Operator,
    erasure::until_refusals_are_kept,
    harness::{BUSINESS_NUMBER, Database, Message, NUMBER_ID, TestApp, Visitor, on_each_database, person},
    suppressions::{choose, number, until_refused, until_refused_message},
};

/// Two people with messages, what they wrote, and an opt-out of the first.
async fn two_people(app: &TestApp) -> (String, String) {
    let (gone, stays) = (person(1), person(2));
    for to in [&gone, &stays] {
        app.accept(&Message::order_update(to)).await;
        app.simulator.inbound_text(to, NUMBER_ID, "thank you", None).expect("the number exists");
        app.send(&Message::template(to, "order_update", "en")).await;
    }
    app.settled().await;
    choose(app, number(&gone), "stop", 1_790_000_100).await;
    until_refused(app, &gone).await;
    app.settled().await;
    until_refusals_are_kept(app, &gone).await;
    (gone, stays)
}

/// The page that has counted everything about a person: one request counts for a moment, and goes on from there in the next.
async fn find(app: &TestApp, visitor: &Visitor, phone: &str) -> String {
    let mut text = String::new();
    app.until("all is counted", async || {
        let page = visitor.post("/console/persons", &[("phone", phone)]).await;
        assert_eq!(page.status, 200, "{page:?}");
        text = page.text;
        !text.contains("looked through")
    })
    .await;
    text
}

async fn an_owner_finds_hands_over_and_erases_one_person(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let ben = app.another(&asha, "ben", "operator").await;
    let (gone, stays) = two_people(&app).await;
    let counted = |page: &str, what: &str| {
        let rest = page.split_once(&format!("<dt>{what}</dt><dd>")).unwrap_or_else(|| panic!("no {what} in {page}")).1;
        rest.split('<').next().expect("a number").to_owned()
    };

    assert_eq!(ben.get("/console/persons").await.status, 403);
    assert!(!ben.get("/console/overview").await.text.contains("/console/persons"));
    let who = [("phone", &*gone)];
    for path in ["", "/export", "/erase"] {
        assert_eq!(ben.post(&format!("/console/persons{path}"), &who).await.status, 403, "{path}");
    }
    let wrong = asha.post("/console/persons", &[("phone", "12")]).await;
    assert!(wrong.status == 422 && wrong.text.contains("no whole telephone number"), "{wrong:?}");

    let found = find(&app, &asha, &gone).await;
    assert_eq!(counted(&found, "What the person wrote"), "1");
    assert_ne!(counted(&found, "Messages that were sent to the person"), "0");
    assert_eq!(counted(&found, "Entries of the suppression list"), "1");
    let file = asha.post("/console/persons/export", &who).await;
    assert!(file.header("content-disposition").contains("person.json"), "{file:?}");
    assert_eq!(file.text, app.command(&["person", &gone, "--json"]).await, "the same as the command writes");
    let data: Value = serde_json::from_str(&file.text).expect("it is one document");
    assert_eq!(data["inbound"][0]["entry"]["text"]["body"], "thank you");
    assert!(!file.text.contains(&stays[1..]), "and nobody else's");

    let unsure = asha.post("/console/persons/erase", &[("phone", &gone), ("again", &stays)]).await;
    assert!(unsure.status == 422 && unsure.text.contains("the same number once more"), "{unsure:?}");
    let spelled = format!("{} {}", &gone[..6], &gone[6..]);
    let begun = asha.post("/console/persons/erase", &[("phone", &gone), ("again", &spelled)]).await;
    assert_eq!(begun.status, 303, "{begun:?}");
    let erasure = begun.header("location").to_owned();
    app.until("it is erased", async || asha.get(&erasure).await.text.contains(">erased<")).await;

    let told = asha.get(&erasure).await.text;
    assert!(counted(&told, "What the person wrote") == "1" && !told.contains(&gone[1..]), "{told}");
    assert_eq!(ben.get(&erasure).await.status, 403);
    let left = find(&app, &asha, &gone).await;
    assert_eq!(counted(&left, "What the person wrote"), "0");
    assert_eq!(counted(&left, "Entries of the suppression list"), "1", "a hash stays");
    // Who opted out stays opted out.
    until_refused(&app, &gone).await;
    let others = find(&app, &asha, &stays).await;
    assert_eq!(counted(&others, "What the person wrote"), "1");
    assert!(others.contains("being erased") || others.contains(">erased<"), "erasures are listed");
    let lines = app.store.audit_lines(None, 20).await.expect("readable");
    let actions: Vec<&str> =
        lines.iter().map(|line| line.action.as_str()).filter(|action| action.contains("person")).collect();
    assert_eq!(actions, ["person erased", "erase person", "export person"]);
    let all = format!("{lines:?}");
    assert!(!all.contains(&gone[1..]) && all.contains("person +919******001"), "{all}");
    app.leave().await;
}

async fn programs_erase_with_a_scope_of_its_own_and_a_confirmed_number(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let (gone, _) = two_people(&app).await;
    let reads = asha.make_token(&["messages:read", "personal:read"]).await;
    let manages = asha.make_token(&["persons:manage"]).await;
    let post = async |path: &str, token: &str, body: Value| {
        app.call(Method::POST, &format!("/api/v1/persons/{path}"), token, Some(body)).await
    };

    for path in ["find", "export"] {
        assert_eq!(post(path, &reads, json!({"phone": gone})).await.http_status, 403, "{path}");
    }
    let both = json!({"phone": gone, "confirm": gone});
    assert_eq!(post("erase", &reads, both.clone()).await.http_status, 403);
    for (path, body, status, field) in [
        ("find", json!({"phone": "12"}), 422, "phone"),
        ("find", json!({"phone": gone, "account": "nosuch"}), 422, "account"),
        ("find", json!({"phone": gone, "after": "x"}), 422, "after"),
        ("erase", json!({"phone": gone, "confirm": person(2)}), 422, "confirm"),
        ("erase", json!({"phone": gone}), 400, "confirm"),
        ("export", json!({}), 400, "phone"),
    ] {
        let refused = post(path, &manages, body.clone()).await;
        let named = refused.body["field"].as_str().unwrap_or_default();
        assert_eq!((refused.http_status, named), (status, field), "{path} {body}: {refused:?}");
    }
    let mut found = Value::Null;
    // One request counts for a moment.
    app.until("all is counted", async || {
        found = post("find", &manages, json!({"phone": gone, "account": "acme"})).await.body;
        found["next"].is_null()
    })
    .await;
    assert_eq!((&found["inbound"], &found["percent"]), (&json!(1), &json!(100)), "{found:#}");
    assert_eq!(post("export", &manages, json!({"phone": gone})).await.body["phone"], gone);
    let begun = post("erase", &manages, json!({"phone": gone, "confirm": gone, "suppress": true})).await;
    assert_eq!(begun.http_status, 202, "{begun:?}");
    let path = format!("/api/v1/persons/erasures/{}", begun.body["id"]);
    let get = async |path: &str| app.call(Method::GET, path, &manages, None).await;
    app.until("it is erased", async || get(&path).await.body["state"] == "erased").await;

    let erased = get(&path).await.body;
    assert_eq!((&erased["erased"]["inbound"], &erased["share"]), (&json!(1), &json!(1.0)), "{erased:#}");
    assert_eq!(get("/api/v1/persons/erasures").await.body["erasures"][0], erased);
    assert_eq!(get("/api/v1/persons/erasures/999999").await.http_status, 404);
    // A running server hears of it within a second.
    until_refused_message(&app, || Message::order_update(&gone)).await;
    app.leave().await;
}

async fn alarms_are_seen_tried_and_kept_letter_by_letter(database: Database) {
    let mut settings = wabridge::settings::Settings::defaults();
    let operator = Operator::set_up(&mut settings).await;
    settings.alarms.disk_free_min = 0;
    let app = TestApp::start_with(database, |options| options.settings.alarms = settings.alarms).await;
    let asha = app.first_owner().await;
    let ben = app.another(&asha, "ben", "operator").await;
    let cara = app.another(&asha, "cara", "read-only").await;

    assert_eq!(cara.get("/console/alarms").await.status, 403);
    assert_eq!(cara.post("/console/alarms/test", &[]).await.status, 403);
    let page = asha.get("/console/alarms").await.text;
    assert!(page.contains("ops@example.com, night@example.com") && page.contains("By webhook"), "{page}");
    assert!(!page.contains("/alarms\"<") && !page.contains("alarm-secret"), "whoever knows the URL may post to it");
    for kind in AlarmKind::ALL {
        assert!(page.contains(kind.meaning()) || page.contains(&kind.meaning().replace('\'', "&#39;")), "{kind:?}");
    }
    let tested = ben.post("/console/alarms/test", &[]).await.text;
    assert!(tested.contains("The webhook took the test alarm") && tested.contains("The e-mail took"), "{tested}");
    assert!(tested.contains("a test alarm"), "and it is among what was told: {tested}");
    assert!(operator.told().contains(&"test connection_held".to_owned()), "{:?}", operator.told());

    // Not by their place: that the simulator has a paused template is told at any time, too.
    let tests = async || {
        let letters = app.store.letters(None, 100).await.expect("readable");
        letters.iter().filter(|(_, letter)| letter.subject.contains("a test alarm")).count()
    };
    let before = tests().await;
    app.command(&["alarm", "test"]).await;
    assert_eq!(tests().await, before + 1, "what a command tried is among what was told, too");

    let (reads, tests) = (asha.make_token(&["system:read"]).await, asha.make_token(&["alarms:test"]).await);
    let call = async |method: Method, path: &str, token: &str| app.call(method, path, token, None).await;
    assert_eq!(call(Method::POST, "/api/v1/alarms/test", &reads).await.http_status, 403);
    assert_eq!(call(Method::GET, "/api/v1/alarms", &tests).await.http_status, 403);
    let done = call(Method::POST, "/api/v1/alarms/test", &tests).await;
    assert_eq!((done.http_status, &done.body["done"]), (200, &json!(true)), "{done:?}");
    let standing = call(Method::GET, "/api/v1/alarms", &reads).await.body;
    assert_eq!(standing["kinds"].as_array().map(Vec::len), Some(AlarmKind::ALL.len()), "{standing:#}");
    assert_eq!(standing["ways"][1]["to"], "ops@example.com, night@example.com");
    let newest = call(Method::GET, "/api/v1/alarms/letters?limit=20", &reads).await.body;
    let is_test = |letter: &&Value| letter["subject"].as_str().is_some_and(|subject| subject.contains("a test alarm"));
    let letter = newest["letters"].as_array().and_then(|letters| letters.iter().find(is_test)).expect("the test's");
    assert_eq!(letter["ways"], json!([{"way": "webhook", "failure": null}, {"way": "e-mail", "failure": null}]));
    let letters = call(Method::GET, "/api/v1/alarms/letters?limit=1", &reads).await.body;
    let older = call(Method::GET, &format!("/api/v1/alarms/letters?before={}", letters["next"]), &reads).await.body;
    assert!(older["letters"].as_array().is_some_and(|letters| !letters.is_empty()), "{older:#}");
    let lines = app.store.audit_lines(None, 20).await.expect("readable");
    let tests: Vec<_> = lines.iter().filter(|line| line.action == "test alarms").collect();
    assert!(
        tests.len() == 2 && tests.iter().all(|line| line.after.as_deref().is_some_and(|after| after.contains("taken")))
    );
    app.leave().await;
}

async fn a_way_that_fails_is_told_once_and_no_way_is_no_test(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.as_process = true;
        // It looks once, and would find nothing wrong with the number.
        options.settings.alarms.look_every = Duration::from_secs(3_600);
    })
    .await;
    app.until("it has looked", async || app.get("/metrics").await.1.contains("wabridge_held{what=\"number")).await;
    let asha = app.first_owner().await;
    let none = asha.post("/console/alarms/test", &[]).await.text;
    assert!(none.contains("No way is set up") && none.contains("Nobody: only the server"), "{none}");
    let mut settings = app.settings.clone();
    // Nobody listens there.
    settings.alarms.webhook_url = Some("http://127.0.0.1:9/alarms".into());
    let exchange = wabridge::app::platform_exchange(&settings).expect("an exchange");
    let ways = AlarmWays::new(&settings, exchange).expect("it can be set up");
    let wrong = [wabridge::domain::alarm::Condition {
        kind: AlarmKind::NumberHeld,
        subject: format!("number {BUSINESS_NUMBER}"),
        text: "it is on hold".to_owned(),
        remedy: "release it".to_owned(),
    }];

    for _ in 0..3 {
        ways.round(&app.store, &wrong, wabridge::clock::now()).await.expect("written");
    }

    let letters = app.store.letters(None, 10).await.expect("readable");
    let failed: Vec<_> = letters.iter().filter(|(_, letter)| letter.text.contains("it is on hold")).collect();
    assert!(failed.len() == 1 && failed[0].1.ways[0].failure.is_some(), "{letters:?}");
    let page = asha.get("/console/alarms").await.text;
    assert!(page.contains("nobody was told yet") && page.contains("Number on hold"), "{page}");
    app.leave().await;
}

async fn the_system_says_what_it_is_and_what_it_is_set_to(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.settings.retention.every = Duration::from_millis(100);
        options.settings.alarms.webhook_secret = Some("very-secret".into());
    })
    .await;
    let asha = app.first_owner().await;
    let cara = app.another(&asha, "cara", "read-only").await;
    assert_eq!(cara.get("/console/system").await.status, 403);
    let ready = async || {
        let page = asha.get("/console/system").await.text;
        page.contains(BUSINESS_NUMBER) && page.contains("the housekeeping") && !page.contains("not yet")
    };
    app.until("all is owned, and old data was forgotten", ready).await;

    let page = asha.get("/console/system").await.text;
    let is_sqlite = app.store.is_sqlite();
    assert!(page.contains(if is_sqlite { "SQLite 3." } else { "PostgreSQL 1" }), "{page}");
    assert!(page.contains("retention.messages") && page.contains("32 days"), "{page}");
    assert!(page.contains("database.url") && page.contains("security.allow_private_networks"), "{page}");
    assert!(page.contains("alarms.webhook_secret") && !page.contains("very-secret"), "{page}");
    assert!(!asha.get_with("/console/system", &[("HX-Request", "true")]).await.text.contains("<html"));
    if is_sqlite {
        assert!(page.contains("none was made by wabridge backup"), "{page}");
        let file = app.path("copy.db").display().to_string();
        app.command(&["backup", &file]).await;
        assert!(!asha.get("/console/system").await.text.contains("none was made"), "it is noted");
    }

    let (reads, other) = (asha.make_token(&["system:read"]).await, asha.make_token(&["messages:read"]).await);
    assert_eq!(app.call(Method::GET, "/api/v1/system", &other, None).await.http_status, 403);
    let system = app.call(Method::GET, "/api/v1/system", &reads, None).await.body;
    let instance = &system["instances"][0];
    assert_eq!(
        (&instance["id"], &instance["version"]),
        (&json!("test"), &json!(env!("CARGO_PKG_VERSION"))),
        "{system:#}"
    );
    assert_eq!(instance["numbers"], json!([BUSINESS_NUMBER]));
    assert!(system["database"]["bytes"].as_i64().is_some_and(|bytes| bytes > 10_000), "{system:#}");
    assert_eq!(system["database"]["tables"].as_array().map(Vec::is_empty), Some(is_sqlite));
    assert!(system["housekeeping_at"].is_string() && system["unowned"] == json!([]), "{system:#}");
    app.leave().await;
}

on_each_database!(
    an_owner_finds_hands_over_and_erases_one_person,
    programs_erase_with_a_scope_of_its_own_and_a_confirmed_number,
    alarms_are_seen_tried_and_kept_letter_by_letter,
    a_way_that_fails_is_told_once_and_no_way_is_no_test,
    the_system_says_what_it_is_and_what_it_is_set_to,
);
