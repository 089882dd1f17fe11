//! `/api/v1`: what programs are told, and what they may do.

use reqwest::Method;
use serde_json::{Value, json};
use wabridge::{
    domain::operator::Permission,
    simulator::{Effect, Refusal, Rule},
};

use crate::harness::{Database, Message, TestApp, on_each_database, person};

async fn a_token_opens_what_its_scopes_say_until_it_is_taken_back(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let read = asha.make_token(&["messages:read"]).await;
    let manage = asha.make_token(&["users:manage", "messages:read"]).await;
    let status = async |token: &str, path: &str| app.call(Method::GET, path, token, None).await.http_status;

    for (token, path, wanted) in [
        ("", "/api/v1/messages", 401),
        ("wab_nonsense", "/api/v1/messages", 401),
        (&*read, "/api/v1/messages", 200),
        (&read, "/api/v1/status", 200),
        (&read, "/api/v1/unrecognized", 200),
        (&read, "/api/v1/users", 403),
        (&read, "/api/v1/tokens", 403),
        (&read, "/api/v1/audit", 403),
        (&manage, "/api/v1/users", 200),
        (&manage, "/api/v1/audit", 403),
        (&read, "/api/v1/nothing", 404),
        (&read, "/api/v1/messages?colour=red", 400),
        (&read, "/api/v1/messages?limit=1000", 422),
        (&read, "/api/v1/messages?state=happy", 422),
        (&read, "/api/v1/messages/msg_0000000000000", 404),
    ] {
        assert_eq!(status(token, path).await, wanted, "{path}");
    }
    let problem = app.call(Method::GET, "/api/v1/users", &read, None).await.body;
    assert_eq!((&problem["status"], &problem["title"]), (&json!(403), &json!("Forbidden")), "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("users:manage")), "{problem}");

    let told = async |method: Method, path: &str, body: Option<Value>| {
        let problem = app.call(method, path, &manage, body).await.body;
        (problem["status"].clone(), problem["field"].clone(), problem["detail"].as_str().unwrap_or_default().to_owned())
    };
    for (method, path, name, detail) in [
        (Method::POST, "/api/v1/webhooks/crm/off", "switch", "switch: “off” is none of enable, disable, pause, resume"),
        (Method::POST, "/api/v1/conversations/cnv_1/open", "wish", "wish: “open” is none of close, reopen, block"),
        (Method::GET, "/api/v1/callback-urls/first", "id", "id: “first” is no number"),
        (Method::GET, "/api/v1/callback-urls/1/events/last", "place", "place: “last” is no number"),
    ] {
        assert_eq!(told(method, path, None).await, (json!(404), json!(name), detail.to_owned()), "{path}");
    }
    let (status_code, _, detail) = told(Method::GET, "/api/v1/callback-urls/99999999999", None).await;
    assert_eq!(
        (status_code, &*detail),
        (json!(404), "there is nothing at this address: /openapi.json has all of them")
    );
    let (status_code, _, detail) = told(Method::POST, "/api/v1/tokens", Some(json!(["a list"]))).await;
    assert!(status_code == 400 && detail.starts_with("the body must be a JSON object"), "{detail}");
    for (body, field, said) in [
        (json!({"name": 7, "scopes": [], "days": 7}), "name", "name must be a text: put it in quotes"),
        (json!({"name": "more", "scopes": "messages:read", "days": 7}), "scopes", "scopes must be a list"),
        (json!({"name": "more", "scopes": [], "days": 1.5}), "days", "days must be a whole number"),
        (
            json!({"name": "more", "scopes": [], "colour": "red"}),
            "colour",
            "colour is not known here: remove it, or use",
        ),
        (
            json!({"name": "more", "scope": ["messages:read"], "days": 7}),
            "scope",
            "scope is not known here: did you mean scopes?",
        ),
        (json!({"scopes": [], "days": 7}), "name", "name is missing"),
    ] {
        let (status_code, named, detail) = told(Method::POST, "/api/v1/tokens", Some(body.clone())).await;
        assert_eq!((status_code, named), (json!(400), json!(field)), "{body}: {detail}");
        assert!(detail.starts_with(said), "{body}: {detail}");
    }
    let (status_code, _, detail) =
        told(Method::POST, "/api/v1/tokens", Some(json!({"name": "a".repeat(70_000)}))).await;
    assert!(status_code == 400 && detail.starts_with("the body has more than 65536 bytes"), "{detail}");

    // Nobody gives what they do not have.
    let more = json!({"name": "more", "scopes": ["messages:read", "personal:read"], "days": 7});
    let refused = app.call(Method::POST, "/api/v1/tokens", &manage, Some(more)).await;
    assert_eq!((refused.http_status, &refused.body["field"]), (422, &json!("scopes")), "{refused:?}");
    let unknown = json!({"name": "more", "scopes": ["messages:read", "all"], "days": 7});
    let refused = app.call(Method::POST, "/api/v1/tokens", &manage, Some(unknown)).await;
    assert_eq!((refused.http_status, &refused.body["field"]), (422, &json!("scopes[1]")), "{refused:?}");
    let owner = json!({"name": "eve", "role": "owner"});
    assert_eq!(app.call(Method::POST, "/api/v1/users", &manage, Some(owner)).await.http_status, 403);
    let long = json!({"name": "long", "scopes": ["messages:read"], "days": 100_000});
    assert_eq!(app.call(Method::POST, "/api/v1/tokens", &manage, Some(long)).await.http_status, 422);

    let made = json!({"name": "short", "scopes": ["messages:read"], "days": 1});
    let made = app.call(Method::POST, "/api/v1/tokens", &manage, Some(made)).await;
    assert_eq!(made.http_status, 201, "{made:?}");
    let (secret, id) = (made.body["secret"].as_str().expect("a token"), &made.body["token"]["id"]);
    assert_eq!(status(secret, "/api/v1/messages").await, 200);
    let path = format!("/api/v1/tokens/{id}");
    assert_eq!(app.call(Method::DELETE, &path, &manage, None).await.http_status, 204);
    assert_eq!(status(secret, "/api/v1/messages").await, 401);
    assert_eq!(app.call(Method::DELETE, &path, &manage, None).await.http_status, 404);
    app.leave().await;
}

async fn a_wrong_parameter_is_named_with_what_it_may_be(database: Database) {
    let app = TestApp::start(database).await;
    let token = app.first_owner().await.make_token(&["messages:read", "audit:read", "system:read"]).await;
    for (path, field, said) in [
        ("/api/v1/messages?limit=abc", "limit", "“abc” is no whole number. Messages on a page, 1 to 200"),
        ("/api/v1/messages?code=1e3", "code", "“1e3” is no whole number. An error code: WhatsApp's"),
        ("/api/v1/messages?limt=5", "limt", "no such parameter; it takes q, account, number"),
        ("/api/v1/messages?q=1&q=2", "q", "is given twice"),
        ("/api/v1/audit?before=yesterday", "before", "“yesterday” is no whole number"),
        ("/api/v1/inbound?limit=-5", "limit", "“-5” is no whole number"),
        ("/api/v1/templates?page=first", "page", "“first” is no whole number"),
        ("/api/v1/alarms/letters?limit=", "limit", "“” is no whole number"),
        ("/api/v1/conversations?unattended=maybe", "unattended", "“maybe” is neither true nor false. `true`: only"),
    ] {
        let wrong = app.call(Method::GET, path, &token, None).await;
        assert_eq!((wrong.http_status, &wrong.body["field"]), (400, &json!(field)), "{path}: {wrong:?}");
        assert!(wrong.body["detail"].as_str().is_some_and(|detail| detail.contains(said)), "{path}: {wrong:?}");
    }
    app.leave().await;
}

async fn no_operation_passes_over_a_parameter_that_it_does_not_know(database: Database) {
    let app = TestApp::start(database).await;
    let token = app.first_owner().await.make_token(&["messages:read"]).await;
    let document: Value = serde_json::from_str(&app.get("/openapi.json").await.1).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    let mut operations = 0;
    for (path, item) in paths.iter().filter(|(path, _)| path.starts_with("/api/v1/")) {
        for method in item.as_object().expect("operations").keys() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
            let place = path.split('/').map(|part| if part.starts_with('{') { "1" } else { part });
            let asked = format!("{}?limt=5", place.collect::<Vec<_>>().join("/"));

            let wrong = app.call(method.clone(), &asked, &token, None).await;

            assert_eq!((wrong.http_status, &wrong.body["field"]), (400, &json!("limt")), "{method} {asked}: {wrong:?}");
            operations += 1;
        }
    }
    assert!(operations > 80, "{operations}");
    for path in ["/api/v1/webhooks?limit=abc", "/api/v1/accounts?limit=abc", "/api/v1/connections?limit=abc"] {
        let wrong = app.call(Method::GET, path, &token, None).await.body;
        assert_eq!(wrong["detail"], "limit: this address has no such parameter; it takes none", "{path}");
    }
    let stranger = app.call(Method::GET, "/api/v1/accounts?limit=abc", "", None).await;
    assert_eq!(stranger.http_status, 401);
    app.leave().await;
}

async fn a_body_that_is_not_said_to_be_json_is_told_what_it_was_said_to_be(database: Database) {
    let app = TestApp::start(database).await;
    let token = app.first_owner().await.make_token(&["configuration:manage", "messages:read"]).await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    for path in ["/api/v1/webhooks", "/api/v1/accounts"] {
        for (header, came) in [(Some("text/plain"), "it came as “text/plain”"), (None, "it came without one")] {
            let mut request = client.post(app.at(path)).bearer_auth(&token).body("{}");
            if let Some(header) = header {
                request = request.header("Content-Type", header);
            }
            let answer = request.send().await.expect("the bridge answers");

            assert_eq!(answer.status().as_u16(), 415, "{path}");
            let problem: Value = answer.json().await.expect("JSON");
            let said = problem["detail"].as_str().unwrap_or_default();
            assert!(said.contains("Content-Type: application/json") && said.contains(came), "{path}: {problem}");
        }
    }
    app.leave().await;
}

async fn messages_are_found_told_and_sent_again(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let masked = asha.make_token(&["messages:read"]).await;
    let whole = asha.make_token(&["messages:read", "personal:read", "messages:resend"]).await;
    app.simulator.add_rule(Rule::next(1, Effect::Refuse(Refusal::code(131030))));
    let first = Message::order_update(&person(1));
    app.accept(&first).await;
    app.settled().await;
    let others: Vec<Message> = (2..=5).map(|number| Message::order_update(&person(number))).collect();
    app.accept_all(&others).await;
    app.settled().await;
    let get = async |path: &str, token: &str| {
        let answer = app.call(Method::GET, path, token, None).await;
        assert_eq!(answer.http_status, 200, "{path}: {answer:?}");
        answer.body
    };

    let mut path = "/api/v1/messages?limit=2".to_owned();
    let mut ids = Vec::new();
    loop {
        let page = get(&path, &whole).await;
        ids.extend(page["messages"].as_array().expect("a list").iter().map(|message| message["id"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/messages?limit=2&before={next}");
    }
    assert_eq!(ids.len(), 5, "{ids:?}");
    let found = get("/api/v1/messages?state=rejected&code=131030", &whole).await;
    let message = &found["messages"][0];
    assert_eq!((&message["recipient"], &message["platform_message_id"]), (&json!(person(1)), &json!(first.msg_id())));
    assert_eq!(get("/api/v1/messages?state=rejected", &masked).await["messages"][0]["recipient"], "+919******001");

    let id = message["id"].as_str().expect("an id");
    let story = get(&format!("/api/v1/messages/{id}"), &whole).await;
    assert!(story["request"].as_str().is_some_and(|request| request.contains("order_update")), "{story:#}");
    assert!(story["timeline"].as_array().is_some_and(|timeline| timeline.len() >= 3), "{story:#}");
    let built = story["provider_request"]["body"].as_str().expect("its template is there");
    assert!(built.contains(&person(1)[1..]) && built.contains("order_update"), "{built}");
    let told = |story: &Value| format!("{}", story["timeline"]);
    assert!(told(&story).contains("checked: no opt-out") && told(&story).contains("for its turn"), "{story:#}");
    let less = get(&format!("/api/v1/messages/{id}"), &masked).await;
    assert_eq!((&less["request"], &less["provider_request"]), (&json!(null), &json!(null)));
    let page = asha.get(&format!("/console/messages/{id}")).await.text;
    assert!(page.contains("as it would be built now") && !page.contains("simulator-access-token"), "{page}");
    let cara = app.another(&asha, "cara", "read-only").await;
    let page = cara.get(&format!("/console/messages/{id}")).await.text;
    assert!(!page.contains("as it would be built now") && !page.contains(&person(1)[1..]), "{page}");

    let resend = format!("/api/v1/messages/{id}/resend");
    let body = || Some(json!({"reason": "the list is mended"}));
    assert_eq!(app.call(Method::POST, &resend, &masked, body()).await.http_status, 403);
    assert_eq!(app.call(Method::POST, &resend, &whole, body()).await.http_status, 202);
    app.settled().await;
    let story = get(&format!("/api/v1/messages/{id}"), &whole).await;
    assert_eq!(story["delivery"], "read", "{story:#}");
    let again = app.call(Method::POST, &resend, &whole, body()).await;
    assert_eq!(again.http_status, 409, "{again:?}");
    let lines = app.store.audit_lines(None, 1).await.expect("readable");
    assert!(lines[0].action == "resend message" && lines[0].actor.starts_with("token a test"), "{lines:?}");
    // The simulator counts a `sent` after a `failed`: the second send's is meant.
    app.leave().await;
}

async fn users_are_managed_by_programs(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let all = Permission::ALL.map(Permission::as_str);
    let token = asha.make_token(&all).await;
    let call = async |method: Method, path: &str, body| app.call(method, path, &token, body).await;

    let added = call(Method::POST, "/api/v1/users", Some(json!({"name": "Ben", "role": "operator"}))).await;
    assert_eq!((added.http_status, &added.body["name"]), (201, &json!("ben")), "{added:?}");
    let ben = app.visitor();
    let path = TestApp::path_of(added.body["link"].as_str().expect("a link"));
    assert_eq!(ben.post_plain(&path, &[("password", "another five tea pots")]).await.status, 303);
    let twice = call(Method::POST, "/api/v1/users", Some(json!({"name": "ben", "role": "operator"}))).await;
    assert_eq!((twice.http_status, &twice.body["field"]), (422, &json!("name")));

    let changed = call(Method::PATCH, "/api/v1/users/ben", Some(json!({"role": "read-only"}))).await;
    assert_eq!(changed.body["role"], "read-only", "{changed:?}");
    assert!(!ben.get("/console/messages").await.text.contains("/console/audit"), "the session has the new role");
    let out = call(Method::DELETE, "/api/v1/users/ben/sessions", None).await;
    assert_eq!(out.body, json!({"sessions": 1}));
    assert!(!ben.is_in().await);
    assert_eq!(call(Method::PATCH, "/api/v1/users/asha", Some(json!({"disabled": true}))).await.http_status, 409);
    assert_eq!(call(Method::POST, "/api/v1/users/nobody/reset", None).await.http_status, 404);
    assert_eq!(call(Method::POST, "/api/v1/users/ben/reset", None).await.http_status, 200);

    let audit = call(Method::GET, "/api/v1/audit?limit=2", None).await.body;
    assert_eq!(audit["lines"][0]["action"], "reset password", "{audit:#}");
    assert_eq!(audit["lines"][0]["via"], "API");
    let older = call(Method::GET, &format!("/api/v1/audit?limit=2&before={}", audit["next"]), None).await.body;
    assert_ne!(older["lines"][0]["id"], audit["lines"][1]["id"]);
    let status = call(Method::GET, "/api/v1/status", None).await.body;
    assert_eq!(status["numbers"][0]["account"], "acme", "{status:#}");
    app.leave().await;
}

on_each_database!(
    a_token_opens_what_its_scopes_say_until_it_is_taken_back,
    a_wrong_parameter_is_named_with_what_it_may_be,
    no_operation_passes_over_a_parameter_that_it_does_not_know,
    a_body_that_is_not_said_to_be_json_is_told_what_it_was_said_to_be,
    messages_are_found_told_and_sent_again,
    users_are_managed_by_programs,
);
