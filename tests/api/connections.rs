//! Connections and numbers in the console and the API: how they stand, holding, checking, setting right at Meta.

use reqwest::Method;
use serde_json::{Value, json};
use wabridge::simulator::{Effect, Refusal, Rule};

use crate::{
    harness::{APP_SECRET, Database, Message, NUMBER_ID, TestApp, WABA_ID, free_address, on_each_database, person},
    suppressions,
};

const CONNECTION: &str = "/console/connections/meta-main";
const NUMBER: &str = "/console/numbers/918880110022";

/// The bridge says how the world reaches it: its port is chosen before it starts.
async fn start(database: Database) -> TestApp {
    let address = free_address();
    let app = TestApp::start_with(database, |options| {
        options.messages_per_second = 80;
        options.settings.server.bind = address;
        options.settings.server.public_url = format!("http://{address}");
    })
    .await;
    let shown = json!({"display_phone_number": "+91 88801 10022"});
    app.simulator.change_node(NUMBER_ID, shown.as_object().expect("an object").clone());
    app
}

async fn how_they_stand_is_told_from_what_is_known(database: Database) {
    let app = start(database).await;
    let asha = app.first_owner().await;
    let cara = app.another(&asha, "cara", "read-only").await;
    app.accept(&Message::order_update(&person(1))).await;
    app.settled().await;

    // Numbers are read behind the lists of templates.
    let is_read = async || cara.get("/console/connections").await.text.contains("green");
    app.until("the number was read", is_read).await;
    let list = cara.get("/console/connections").await;
    for part in ["meta-main", "+918880110022", "taken", "green", "80 a second"] {
        assert!(list.text.contains(part), "{part} is missing in {list:?}");
    }
    let page = cara.get(CONNECTION).await;
    for part in ["/webhooks/meta/meta-main", "set, never shown", "acme"] {
        assert!(page.text.contains(part), "{part} is missing in {page:?}");
    }
    for secret in ["simulator-access-token", "simulator-app-secret", "verify-me"] {
        assert!(!page.text.contains(secret), "{secret} is shown");
    }
    assert!(!page.text.contains("Check channel</button>"), "who only looks asks nobody outside");
    let number = cara.get(NUMBER).await;
    for part in ["Acme Retail", "no daily limit", "write to", "Pace", NUMBER_ID, WABA_ID] {
        assert!(number.text.contains(part), "{part} is missing in {number:?}");
    }
    for path in ["/console/connections/nosuch", "/console/numbers/911234567890", "/console/numbers/x"] {
        assert_eq!(asha.get(path).await.status, 404, "{path}");
    }
    app.finish().await;
}

async fn a_hold_has_a_reason_and_a_line_in_the_audit_log_wherever_it_is_made(database: Database) {
    let app = start(database).await;
    let asha = app.first_owner().await;
    let cara = app.another(&asha, "cara", "read-only").await;
    let token = asha.make_token(&["messages:read", "queues:manage"]).await;

    assert_eq!(cara.post(&format!("{CONNECTION}/hold"), &[("reason", "no")]).await.status, 403);
    assert_eq!(asha.post(&format!("{CONNECTION}/hold"), &[("reason", "  ")]).await.status, 422);
    let held = asha.post(&format!("{CONNECTION}/hold"), &[("reason", "the token is being changed")]).await;
    assert_eq!((held.status, held.header("location")), (303, "/console/connections/meta-main?done=held"));
    app.until("the bridge has heard", async || {
        app.directory().snapshot().connections().all(|connection| connection.hold.is_some())
    })
    .await;
    app.accept(&Message::order_update(&person(2))).await;
    let page = asha.get(CONNECTION).await;
    assert!(page.text.contains("On hold by asha") && page.text.contains("the token is being changed"), "{page:?}");
    assert!(page.text.contains("goes on when somebody releases it"), "{page:?}");
    assert!(asha.get(NUMBER).await.text.contains("Its connection is on hold by asha"));
    let api = |method, path: &str, body: Option<Value>| {
        let path = format!("/api/v1/{path}");
        let (app, token) = (&app, &token);
        async move { app.call(method, &path, token, body).await }
    };
    let reason = |text: &str| Some(json!({"reason": text}));
    let again = api(Method::POST, "connections/meta-main/hold", reason("the token is being changed")).await;
    assert_eq!((again.http_status, again.body), (200, json!({"held": false})), "the same reason is no news");
    let number = api(Method::POST, "senders/918880110022/hold", reason("quality is yellow")).await;
    assert_eq!(number.body, json!({"held": true}), "{number:?}");
    let sender = api(Method::GET, "senders/918880110022", None).await.body;
    assert_eq!((&sender["hold"]["reason"], &sender["connection_on_hold"]), (&json!("quality is yellow"), &json!(true)));
    assert_eq!(sender["hold"]["source"], "operator", "{sender:#}");
    assert!(sender["hold"]["by"].as_str().is_some_and(|by| by.starts_with("token ")), "{sender:#}");

    app.command(&["hold", "+918880110022", "--reason", "asked by Meta"]).await;
    app.command(&["release", "meta-main"]).await;

    assert!(asha.get(CONNECTION).await.text.contains("works"));
    let nothing = api(Method::POST, "senders/918880110022/release", None).await;
    assert_eq!(nothing.body, json!({"released": false}), "it went with its connection");
    let lines = app.store.audit_lines(None, 4).await.expect("readable");
    let lines: Vec<_> =
        lines.iter().map(|line| (line.action.as_str(), line.subject.as_str(), line.via.as_str())).collect();
    let expected = [
        ("release connection", "connection meta-main", "command line"),
        ("hold number", "number +918880110022", "command line"),
        ("hold number", "number +918880110022", "API"),
        ("hold connection", "connection meta-main", "console"),
    ];
    assert_eq!(lines, expected);
    let last = app.store.audit_lines(None, 2).await.expect("readable").pop().expect("two lines");
    assert_eq!(last.before.as_deref(), Some(r#"{"on_hold":"quality is yellow"}"#));
    app.finish().await;
}

async fn a_hold_by_a_providers_answer_is_told_from_an_operators(database: Database) {
    let app = start(database).await;
    let asha = app.first_owner().await;
    let token = asha.make_token(&["messages:read", "queues:manage"]).await;
    let hold = async || app.call(Method::GET, "/api/v1/connections/meta-main", &token, None).await.body["hold"].clone();
    app.simulator.add_rule(Rule::everybody(Effect::Refuse(Refusal::code(190))));
    app.accept(&Message::order_update(&person(1))).await;
    app.until("the refused token holds the connection", async || hold().await.is_object()).await;

    let by_answer = hold().await;
    assert_eq!((&by_answer["source"], &by_answer["by"]), (&json!("provider"), &Value::Null), "{by_answer:#}");
    assert!(by_answer["ended_by"].as_str().is_some_and(|text| text.contains("mend what")), "{by_answer:#}");
    for path in [CONNECTION, "/console/connections", "/console/overview"] {
        let page = asha.get(path).await.text.to_lowercase();
        assert!(page.contains("by the provider’s answer"), "{path}: {page}");
    }
    assert!(app.command(&["status"]).await.contains("by what was answered"));

    // Whoever holds it now holds it, also for the same reason.
    let reason = by_answer["reason"].as_str().expect("a reason").to_owned();
    assert_eq!(asha.post(&format!("{CONNECTION}/hold"), &[("reason", &reason)]).await.status, 303);
    let taken_over = hold().await;
    assert_eq!((&taken_over["source"], &taken_over["by"]), (&json!("operator"), &json!("asha")), "{taken_over:#}");
    assert_eq!(taken_over["since"], by_answer["since"], "nothing is sent since then");
    app.until("the overview says so", async || {
        asha.get("/console/overview").await.text.contains("on hold by asha, nothing is sent since")
    })
    .await;
    app.simulator.set_rules(vec![]);
    asha.post(&format!("{CONNECTION}/release"), &[]).await;
    app.finish().await;
}

async fn what_was_seen_of_a_token_outlives_the_number_that_it_was_seen_with(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    assert_eq!(asha.post(&format!("{CONNECTION}/check"), &[]).await.status, 200);
    let own = asha.get(CONNECTION).await.between("name=\"csrf\" value=\"", "\"");
    let form = [("csrf", own.as_str())];
    let checked = asha.post_with(&format!("{CONNECTION}/check"), &form, &[("HX-Request", "true")]).await;
    assert_eq!(checked.header("hx-trigger"), "channel-checked", "the rest of the page is read anew: {checked:?}");
    assert!(!asha.get(CONNECTION).await.text.contains("not tried yet"));
    app.settled().await;

    let removed = async || asha.post(&format!("{NUMBER}/remove"), &[]).await.status == 303;
    app.until("nothing keeps the number", removed).await;

    let page = asha.get(CONNECTION).await.text;
    assert!(!page.contains("not tried yet") && page.contains("taken"), "{page}");
    app.leave().await;
}

async fn what_was_seen_of_former_credentials_says_nothing_of_the_present_ones(database: Database) {
    let app = start(database).await;
    let asha = app.first_owner().await;
    let token = asha.make_token(&["messages:read", "queues:manage", "configuration:manage"]).await;
    let call = async |method: Method, path: &str, body: Option<Value>| {
        let answer = app.call(method, &format!("/api/v1/connections/meta-main{path}"), &token, body).await;
        assert_eq!(answer.http_status, 200, "{answer:?}");
        answer.body
    };
    let signature = async || {
        let checked = call(Method::POST, "/check", None).await;
        let checks = checked["checks"].as_array().expect("a list of checks");
        let of_signatures = checks.iter().find(|it| it["text"].to_string().contains("webhook secret"));
        of_signatures.unwrap_or_else(|| panic!("nothing of signatures in {checked:#}")).clone()
    };
    app.accept(&Message::order_update(&person(1))).await;
    app.settled().await;
    assert_eq!(signature().await["state"], "fine");
    assert_eq!(call(Method::GET, "", None).await["token"]["state"], "taken");

    // The same once more is no change.
    call(Method::PATCH, "", Some(json!({"app_secret": [APP_SECRET, "an-older-secret"]}))).await;
    assert_eq!(signature().await["state"], "fine");
    call(Method::PATCH, "", Some(json!({"app_secret": "a mistyped one"}))).await;
    let doubted = signature().await;
    assert_eq!(doubted["state"], "doubtful", "{doubted:#}");
    assert!(doubted["text"].to_string().contains("since the connection was changed"), "{doubted:#}");
    call(Method::PATCH, "", Some(json!({"access_token": "a mistyped one"}))).await;
    // What was asked with the former token may be answered yet.
    app.until("what was seen of the former token is not told of this one", async || {
        call(Method::GET, "", None).await["token"]["state"] != "taken"
    })
    .await;
    let page = asha.get(NUMBER).await.text;
    assert!(!page.contains(">works<"), "{page}");
    app.leave().await;
}

/// What the API's check said of one thing.
fn said<'a>(checked: &'a Value, check: &str) -> &'a Value {
    let checks = checked["checks"].as_array().expect("a list of checks");
    checks.iter().find(|it| it["check"] == check).unwrap_or_else(|| panic!("no {check} in {checked:#}"))
}

async fn a_check_says_of_everything_how_it_is_and_how_long_it_took(database: Database) {
    let app = start(database).await;
    let asha = app.first_owner().await;
    let token = asha.make_token(&["messages:read", "queues:manage"]).await;
    let masked = asha.make_token(&["messages:read"]).await;
    let check = async |path: &str| {
        let answer = app.call(Method::POST, &format!("/api/v1/{path}/check"), &token, None).await;
        assert_eq!(answer.http_status, 200, "{answer:?}");
        answer.body
    };
    assert_eq!(app.call(Method::POST, "/api/v1/connections/meta-main/check", &masked, None).await.http_status, 403);
    assert_eq!(app.call(Method::POST, "/api/v1/connections/nosuch/check", &token, None).await.http_status, 404);

    let well = check("senders/918880110022").await;
    for name in [
        "credentials",
        "webhook URL",
        "number",
        "quality",
        "throughput level",
        "messaging limit",
        "template access",
        "webhook subscription",
        "where webhooks go",
    ] {
        let said = said(&well, name);
        assert_eq!((&said["state"], said["took_ms"].is_u64()), (&json!("fine"), true), "{said:#}");
    }
    let broken = json!({"quality_rating": "YELLOW", "throughput": {"level": "HIGH"},
        "whatsapp_business_manager_messaging_limit": "TIER_NOT_SET", "name_status": "DECLINED"});
    app.simulator.change_node(NUMBER_ID, broken.as_object().expect("an object").clone());
    app.simulator.subscribe(WABA_ID, false);
    app.simulator.set_templates(vec![]).expect("an empty list will do");
    let bad = check("connections/meta-main").await;
    for (name, state) in [
        ("number", "wrong"),
        ("quality", "doubtful"),
        ("throughput level", "doubtful"),
        ("messaging limit", "doubtful"),
        ("template access", "doubtful"),
        ("webhook subscription", "wrong"),
    ] {
        let said = said(&bad, name);
        assert_eq!((&said["state"], said["remedy"].is_string()), (&json!(state), true), "{said:#}");
    }
    let page = asha.post(&format!("{CONNECTION}/check"), &[]).await;
    assert!(page.text.contains("no app is subscribed") || page.text.contains("No app is subscribed"), "{page:?}");

    app.simulator.change_knobs(|knobs| knobs.access_token = "a-new-token".to_owned()).expect("any token will do");
    let refused = check("connections/meta-main").await;
    assert_eq!(said(&refused, "credentials")["state"], "wrong");
    for name in ["number", "quality", "template access", "webhook subscription"] {
        assert_eq!(said(&refused, name)["state"], "not_checked", "{refused:#}");
    }
    app.leave().await;
}

async fn a_subscription_is_repaired_by_the_very_request_that_was_shown(database: Database) {
    let app = start(database).await;
    let asha = app.first_owner().await;
    let token = asha.make_token(&["messages:read", "queues:manage", "configuration:manage"]).await;
    let unmanaged = asha.make_token(&["messages:read", "queues:manage"]).await;
    let url = app.at("/webhooks/meta/meta-main");
    app.simulator.subscribe(WABA_ID, false);

    let checked = app.call(Method::POST, "/api/v1/connections/meta-main/check", &token, None).await.body;
    let offer = &checked["repairs"][0];
    assert_eq!(
        (&offer["kind"], &offer["id"], &checked["webhook_url"]),
        (&json!("subscribe_account"), &json!(WABA_ID), &json!(url))
    );
    assert!(offer["url"].as_str().is_some_and(|it| it.ends_with("/200000000000001/subscribed_apps")), "{offer:#}");
    let body = offer["body"].as_str().expect("a body");
    assert!(body.contains(&url) && body.contains("…") && !body.contains("verify-me"), "{body}");
    let page = asha.post(&format!("{CONNECTION}/check"), &[]).await;
    assert!(page.text.contains("/200000000000001/subscribed_apps") && !page.text.contains("verify-me"), "{page:?}");
    assert!(page.text.contains(&format!("value=\"subscribe_account:{WABA_ID}\"")), "{page:?}");

    let fix = async |token: &str, body: Value| {
        app.call(Method::POST, "/api/v1/connections/meta-main/fix", token, Some(body)).await.http_status
    };
    let wanted = json!([{"kind": "subscribe_account", "id": WABA_ID}]);
    assert_eq!(fix(&unmanaged, json!({"webhook_url": url, "repairs": wanted})).await, 403);
    assert_eq!(fix(&token, json!({"webhook_url": "http://elsewhere.example", "repairs": wanted})).await, 409);
    assert_eq!(fix(&token, json!({"webhook_url": url, "repairs": []})).await, 422);
    for (kind, id) in [("subscribe_account", "1"), ("route_number", WABA_ID), ("drop", WABA_ID)] {
        assert_eq!(
            fix(&token, json!({"webhook_url": url, "repairs": [{"kind": kind, "id": id}]})).await,
            422,
            "{kind} {id}"
        );
    }

    let repair = format!("subscribe_account:{WABA_ID}");
    let page = asha.post(&format!("{CONNECTION}/fix"), &[("webhook_url", &url), ("repair", &repair)]).await;
    assert!(page.status == 200 && page.text.contains("Done:"), "{page:?}");
    assert!(page.text.contains("An app is subscribed to its webhooks"), "it is looked at again: {page:?}");
    let line = &app.store.audit_lines(None, 1).await.expect("readable")[0];
    assert_eq!((line.action.as_str(), line.subject.as_str()), ("fix channel", "connection meta-main"));
    let after = line.after.as_deref().unwrap_or_default();
    assert!(after.contains(r#""done":true"#) && !after.contains("verify-me"), "{after}");
    app.accept(&Message::order_update(&person(3))).await;
    app.finish().await;
}

async fn whose_window_is_open_is_told_by_what_they_wrote(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let (wrote, silent) = (person(4), person(5));
    let mention = format!("please call {silent}, that is +{silent}");
    app.simulator.inbound_text(&wrote, NUMBER_ID, &mention, None).expect("the number exists");
    // WhatsApp says this, and not the person.
    let system = json!({"body": "changed", "type": "user_changed_number", "wa_id": "919876500009"});
    let now = chrono::Utc::now().timestamp().to_string();
    let from = silent.trim_start_matches('+');
    let moved = json!({"id": "wamid.moved", "from": from, "timestamp": now, "type": "system", "system": system});
    suppressions::said(&app, json!({"messages": [moved]})).await;
    app.settled().await;

    let look = async |phone: &str| asha.get(&format!("{NUMBER}?phone=%2B{}", phone.trim_start_matches('+'))).await.text;
    assert!(look(&wrote).await.contains("A freeform message is delivered until"));
    let closed = look(&silent).await;
    assert!(closed.contains("Nothing came from this phone within 24 hours"), "only named by somebody else: {closed}");
    assert!(asha.get(&format!("{NUMBER}?phone=teapot")).await.text.contains("This is no telephone number"));
    let token = asha.make_token(&["messages:read"]).await;
    let path = |phone: &str| format!("/api/v1/senders/918880110022/window?phone=%2B{}", phone.trim_start_matches('+'));
    let open = app.call(Method::GET, &path(&wrote), &token, None).await.body;
    assert!(open["state"] == "open" && open["open_until"].is_string(), "{open:#}");
    assert_eq!(app.call(Method::GET, &path(&silent), &token, None).await.body["state"], "closed");
    assert_eq!(app.call(Method::GET, &path("12"), &token, None).await.http_status, 422);
    app.finish().await;
}

async fn a_connection_is_added_by_the_form_that_its_provider_wants(database: Database) {
    let app = start(database).await;
    let asha = app.first_owner().await;
    let cara = app.another(&asha, "cara", "read-only").await;
    let url = "/console/new-connection";
    assert_eq!(cara.get(url).await.status, 403);
    assert_eq!(cara.post(url, &[("id", "meta-two")]).await.status, 403);
    let form = asha.get(url).await;
    for name in ["id", "access_token", "app_secret", "verify_token", "base_url", "api_version", "marketing_endpoint"] {
        assert!(form.text.contains(&format!("name=\"{name}\"")), "{name} is missing in {form:?}");
    }
    let bad = [("id", "Meta Two"), ("provider", "meta"), ("access_token", "EAAG-secret"), ("api_version", "26")];
    let refused = asha.post(url, &bad).await;
    for part in ["a-z, 0-9 and -", "Must be a version of Graph", "Is missing", "value=\"Meta Two\"", "value=\"26\""] {
        assert!(refused.status == 422 && refused.text.contains(part), "{part} is missing in {refused:?}");
    }
    assert!(!refused.text.contains("EAAG-secret"), "no secret comes back");

    let base_url = app.simulator_url().to_owned();
    let good = [
        ("id", "meta-two"),
        ("provider", "meta"),
        ("access_token", "simulator-access-token"),
        ("app_secret", "simulator-app-secret"),
        ("base_url", &base_url),
    ];
    let added = asha.post(url, &good).await;
    let word = added.between("<code id=\"secret\">", "</code>");
    assert!(added.text.contains(&app.at("/webhooks/meta/meta-two")) && word.len() >= 32, "{added:?}");
    let handshake =
        format!("/webhooks/meta/meta-two?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={word}");
    app.until("the bridge knows it", async || asha.get(&handshake).await.text == "1158201444").await;
    assert_eq!(asha.post(url, &good).await.status, 422, "there is one already");

    let edit = "/console/connections/meta-two/edit";
    let form = asha.get(edit).await;
    assert!(!form.text.contains("simulator-access-token") && form.text.contains("Leave empty to keep it"), "{form:?}");
    let version = form.between("name=\"version\" value=\"", "\"");
    let fields = |api_version| {
        [
            ("version", version.as_str()),
            ("access_token", ""),
            ("app_secret", ""),
            ("base_url", &base_url),
            ("api_version", api_version),
        ]
    };
    assert_eq!(asha.post(edit, &fields("26")).await.status, 422);
    let saved = asha.post(edit, &fields("v25.0")).await;
    assert_eq!(
        (saved.status, saved.header("location")),
        (303, "/console/connections/meta-two?done=saved"),
        "{saved:?}"
    );
    assert_eq!(asha.post(edit, &fields("v24.0")).await.status, 409, "it was changed meanwhile");
    let stored = app.store.load_configuration().await.expect("readable");
    let connection = stored.connection("meta-two").expect("it was added");
    assert_eq!((connection.setting("api_version"), connection.secrets("access_token").len()), ("v25.0", 1));
    let line = &app.store.audit_lines(None, 1).await.expect("readable")[0];
    assert_eq!(
        (line.action.as_str(), line.before.as_deref()),
        ("change connection", Some(r#"{"api_version":"v26.0"}"#))
    );

    let another = asha.post("/console/connections/meta-two/word", &[]).await;
    let another = another.between("<code id=\"secret\">", "</code>");
    assert_ne!(another, word);
    assert_eq!(asha.get("/console/connections/nosuch/edit").await.status, 404);
    app.leave().await;
}

async fn a_number_is_added_sends_and_is_changed(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let url = "/console/new-number";
    let form = asha.get(url).await;
    assert!(form.text.contains(">acme</option>") && form.text.contains("meta-main (meta)"), "{form:?}");
    let taken =
        [("account", "acme"), ("connection", "meta-main"), ("number", "+918880110022"), ("phone_number_id", "a b")];
    let refused = asha.post(url, &taken).await;
    for part in ["Is taken", "1 to 64 characters", "Is missing"] {
        assert!(refused.status == 422 && refused.text.contains(part), "{part} is missing in {refused:?}");
    }
    let fresh = [
        ("account", "acme"),
        ("connection", "meta-main"),
        // As people type it.
        ("number", "91 88801-10033"),
        ("phone_number_id", "100000000000002"),
        ("waba_id", WABA_ID),
        ("messages_per_second", "1000"),
    ];
    let added = asha.post(url, &fresh).await;
    assert_eq!(
        (added.status, added.header("location")),
        (303, "/console/numbers/918880110033?done=saved"),
        "{added:?}"
    );
    app.until("the bridge knows it", async || app.directory().snapshot().senders().count() == 2).await;
    assert!(asha.get("/console/numbers/918880110033").await.text.contains("100000000000002"));

    let edit = "/console/numbers/918880110033/edit";
    let version = asha.get(edit).await.between("name=\"version\" value=\"", "\"");
    let fields = |pace| {
        [
            ("version", version.as_str()),
            ("connection", "meta-main"),
            ("phone_number_id", "100000000000002"),
            ("waba_id", WABA_ID),
            ("messages_per_second", pace),
        ]
    };
    let refused = asha.post(edit, &fields("many")).await;
    assert!(refused.status == 422 && refused.text.contains("Must be a whole number from 1"), "{refused:?}");
    assert_eq!(asha.post(edit, &fields("500")).await.status, 303);
    let sender = async || app.store.load_configuration().await.expect("readable").senders.pop().expect("two numbers");
    assert_eq!(sender().await.messages_per_second, 500);

    let token = asha.make_token(&["messages:read", "configuration:manage"]).await;
    let masked = asha.make_token(&["messages:read"]).await;
    let patch = async |token: &str, body: Value| {
        app.call(Method::PATCH, "/api/v1/senders/918880110033", token, Some(body)).await
    };
    assert_eq!(patch(&masked, json!({"messages_per_second": 80})).await.http_status, 403);
    let changed = patch(&token, json!({"messages_per_second": 200, "location_name": "Acme House"})).await.body;
    assert_eq!((&changed["messages_per_second"], &changed["location_name"]), (&json!(200), &json!("Acme House")));
    let limit = json!({"messages_per_second": 100});
    let limited = app.call(Method::PATCH, "/api/v1/accounts/acme", &token, Some(limit)).await;
    assert_eq!(
        (limited.http_status, &limited.body["settings"]["messages_per_second"]),
        (200, &json!(100)),
        "{limited:?}"
    );
    let paces: Vec<u32> =
        app.store.load_configuration().await.expect("readable").senders.iter().map(|it| it.pace).collect();
    assert_eq!(paces, [83, 16], "1000 and 200 of 1200");
    app.until("the bridge goes by it", async || {
        asha.get("/console/numbers/918880110033").await.text.contains("16 messages a second, its part")
    })
    .await;
    let back = patch(&token, json!({"location_name": null, "version": changed["version"]})).await;
    assert_eq!((back.http_status, &back.body["location_name"]), (200, &json!(null)), "{back:?}");
    assert_eq!(patch(&token, json!({"messages_per_second": 1, "version": changed["version"]})).await.http_status, 409);
    let refused = patch(&token, json!({"account": "globex", "colour": "red", "version": 7})).await;
    assert_eq!((refused.http_status, &refused.body["field"]), (422, &json!("version")), "{refused:?}");
    let refused = patch(&token, json!({"account": "globex", "colour": "red"})).await;
    let fields: Vec<_> =
        refused.body["problems"].as_array().expect("problems").iter().map(|it| it["field"].clone()).collect();
    assert!(fields.contains(&json!("account")) && fields.contains(&json!("colour")), "{refused:?}");
    let call = async |method: Method, path: &str, body: Value| {
        app.call(method, &format!("/api/v1/{path}"), &token, Some(body)).await
    };
    let third = json!({"account": "acme", "number": "+918880110044", "connection": "meta-main", "phone_number_id": "100000000000003", "waba_id": WABA_ID});
    let third = call(Method::POST, "senders", third).await;
    assert_eq!((third.http_status, &third.body["messages_per_second"]), (201, &json!(80)), "{third:?}");
    let connection = json!({"id": "meta-three", "provider": "meta", "access_token": ["one", "two"], "app_secret": "s", "verify_token": "v"});
    let connection = call(Method::POST, "connections", connection).await;
    assert_eq!(
        (connection.http_status, &connection.body["secrets"]["access_token"]),
        (201, &json!(2)),
        "{connection:?}"
    );
    let changed =
        call(Method::PATCH, "connections/meta-three", json!({"access_token": "three", "messaging_limit": "off"}))
            .await
            .body;
    assert_eq!(
        (&changed["secrets"]["access_token"], &changed["settings"]["messaging_limit"]),
        (&json!(1), &json!("off"))
    );
    assert!(!changed.to_string().contains("\"three\""), "no secret is told: {changed:#}");
    app.leave().await;
}

on_each_database!(
    how_they_stand_is_told_from_what_is_known,
    a_hold_by_a_providers_answer_is_told_from_an_operators,
    what_was_seen_of_a_token_outlives_the_number_that_it_was_seen_with,
    what_was_seen_of_former_credentials_says_nothing_of_the_present_ones,
    a_hold_has_a_reason_and_a_line_in_the_audit_log_wherever_it_is_made,
    a_check_says_of_everything_how_it_is_and_how_long_it_took,
    a_subscription_is_repaired_by_the_very_request_that_was_shown,
    whose_window_is_open_is_told_by_what_they_wrote,
    a_connection_is_added_by_the_form_that_its_provider_wants,
    a_number_is_added_sends_and_is_changed,
);
