//! Webhooks in the console: who may do what there, what nobody sees, and what is written down.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Database, Message, NUMBER_ID, Receiver, TestApp, on_each_database, person};

const PATH: &str = "/console/webhooks/crm";

/// What a browser sends of the form, with these fields in the place of the usual ones.
fn form<'a>(url: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let usual = [
        ("name", "crm"),
        ("url", url),
        ("method", "POST"),
        ("profile", "native"),
        ("payload", "standard"),
        ("format", "json"),
        ("events", "message.received"),
        ("authentication.kind", "none"),
        ("retries.kind", "fixed"),
        ("in_order", "true"),
    ];
    let kept = usual.into_iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
    kept.chain(more.iter().copied()).collect()
}

async fn who_only_looks_sees_how_a_webhook_stands_and_changes_nothing(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let cara = app.another(&asha, "cara", "read-only").await;
    let receiver = Receiver::start().await;
    let url = format!("{}/secret-path", receiver.url);

    let refused = cara.post("/console/new-webhook", &form(&url, &[])).await;
    assert_eq!((refused.status, cara.get("/console/new-webhook").await.status), (403, 403));
    let header = [
        ("header.name", "X-Key"),
        ("header.value", "secret-value"),
        ("authentication.kind", "bearer"),
        ("bearer.token", "secret-token"),
    ];
    let made = asha.post("/console/new-webhook", &form(&url, &header)).await;
    assert!(made.status == 200 && made.text.contains("whsec_"), "{made:?}");
    app.simulator.inbound_text(&person(1), NUMBER_ID, "hello", None).expect("the number exists");
    app.until("it came", async || receiver.requests().len() == 1).await;
    app.settled().await;

    let (list, page) = (cara.get("/console/webhooks").await.text, cara.get(PATH).await.text);
    assert!(list.contains(">works<") && list.contains("message.received"), "{list}");
    for (what, text) in [("list", &list), ("page", &page)] {
        for hidden in ["secret-", "whsec_", "Add a webhook", "/edit", "Switch off", "Make another", "Delete"] {
            assert!(!text.contains(hidden), "{hidden} on the {what}: {text}");
        }
    }
    let again = cara.get(&format!("{PATH}/standing")).await.text;
    let head = "id=\"head-state\"";
    assert!(again.contains(&format!("{head} hx-swap-oob")) && page.contains(head) && !page.contains("oob"), "{again}");
    for path in ["switch/off", "rotate", "delete", "edit", "try", "replay"] {
        let refused = cara.post(&format!("{PATH}/{path}"), &[("event", "message.received")]).await;
        assert_eq!(refused.status, 403, "{path}: {refused:?}");
    }
    let written = async || cara.get(&format!("{PATH}/log")).await.text.contains("HTTP 204");
    app.until("what it answered is written down", written).await;
    let log = cara.get(&format!("{PATH}/log")).await;
    assert!(log.text.contains("HTTP 204") && !log.text.contains(&person(1)[1..]), "{log:?}");
    let event = log.between("data-row href=\"", "\"");
    let masked = cara.get(&event).await.text;
    assert!(
        masked.contains("message.received") && !masked.contains("hello") && !masked.contains(&person(1)[1..]),
        "{masked}"
    );
    let whole = asha.get(&event).await.text;
    assert!(whole.contains("hello") && whole.contains("webhook-id") && !whole.contains("secret-"), "{whole}");
    app.leave().await;
}

async fn a_change_in_the_console_keeps_what_its_form_does_not_say_and_is_written_down(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let receiver = Receiver::start().await;
    let url = format!("{}/hook", receiver.url);
    let keep = [
        ("authentication.kind", "basic"),
        ("basic.user", "asha"),
        ("basic.password", "secret-of-asha"),
        ("header.name", "X-Key"),
        ("header.value", "kept"),
    ];
    assert_eq!(asha.post("/console/new-webhook", &form(&url, &keep)).await.status, 200);
    let again = asha.post("/console/new-webhook", &form(&url, &[])).await;
    assert!(again.status == 422 && again.text.contains("There is a webhook crm already"), "{again:?}");

    let change = [
        ("authentication.kind", "basic"),
        ("basic.user", "ben"),
        ("header.name", "X-Key"),
        ("header.value", ""),
        ("timeout_seconds", "7"),
    ];
    let changed = asha.post(&format!("{PATH}/edit"), &form("", &change)).await;
    assert_eq!(
        (changed.status, changed.header("location")),
        (303, "/console/webhooks/crm?done=webhook-saved"),
        "{changed:?}"
    );
    let wrong = asha.post(&format!("{PATH}/edit"), &form("", &[("timeout_seconds", "soon"), ("events", "*")])).await;
    assert!(
        wrong.status == 422
            && wrong.text.contains("id=\"timeout_seconds-wrong\"")
            && wrong.text.contains("value=\"soon\""),
        "{wrong:?}"
    );
    asha.post(&format!("{PATH}/try"), &[("event", "message.read")]).await;
    let request = receiver.requests().pop().expect("it came");
    assert_eq!(
        (request.header("authorization"), request.header("x-key"), &*request.path),
        ("Basic YmVuOnNlY3JldC1vZi1hc2hh", "kept", "/hook")
    );

    assert_eq!(asha.post(&format!("{PATH}/switch/pause"), &[]).await.status, 303);
    assert_eq!(asha.post(&format!("{PATH}/delete"), &[]).await.status, 303);
    assert_eq!(asha.get(PATH).await.status, 404);
    let lines = app.store.audit_lines(None, 20).await.expect("readable");
    let actions: Vec<&str> =
        lines.iter().filter(|line| line.subject == "webhook crm").map(|line| line.action.as_str()).collect();
    assert_eq!(actions, ["delete webhook", "pause webhook", "send sample", "change webhook", "add webhook"]);
    let audit = asha.get("/console/audit").await.text;
    assert!(audit.contains("timeout seconds 7") && !audit.contains("secret-of") && !audit.contains("/hook"), "{audit}");
    app.leave().await;
}

async fn each_event_has_a_schema_that_its_own_example_fits(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let token = asha.make_token(&["messages:read"]).await;
    let document = app.call(Method::GET, "/openapi.json", &token, None).await.body;
    let events = document["webhooks"].as_object().expect("a catalogue");
    assert!(events.len() > 9);
    for (name, told) in events {
        let page = asha.get(&format!("/console/webhook-events/{name}/schema")).await;
        let schema: Value = serde_json::from_str(&page.text).expect("it is JSON");
        assert_eq!((&schema["title"], schema["$defs"]["WebhookPayload"].is_object()), (&json!(name), true), "{schema}");
        assert!(!page.text.contains("#/components"), "it is whole in itself: {schema}");
        let example = &told["post"]["requestBody"]["content"]["application/json"]["example"];
        let required = schema["$defs"]["WebhookEvent"]["required"].as_array().expect("names");
        let lacks = |field: &&Value| example.get(field.as_str().expect("a name")).is_none();
        assert_eq!(required.iter().find(lacks), None, "{name}: {example}");
    }
    assert_eq!(asha.get("/console/webhook-events/message.nothing/schema").await.status, 404);
    assert!(asha.get("/console/webhook-events").await.text.contains("message.received"));
    app.leave().await;
}

async fn all_that_is_wrong_with_a_webhook_is_told_at_once_each_at_its_field(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let wrong = [
        ("name", "No Name"),
        ("since", "yesterday"),
        ("method", "FETCH"),
        ("payload", "huge"),
        ("events", ""),
        ("filter.numbers", "+15550000000"),
        ("filter.providers", "telex"),
        ("filter.json", "city"),
        ("authentication.kind", "kerberos"),
        ("retries.kind", "never"),
        ("success", "maybe"),
        ("timeout_seconds", "soon"),
        ("alerts.emails", "ops@example.com"),
        ("alerts.webhook", "nobody"),
        ("header.name", "Host"),
        ("header.value", "inner"),
        ("header.name", "X Key"),
        ("header.value", "value"),
    ];
    let page = asha.post("/console/new-webhook", &form("https://169.254.169.254/latest", &wrong)).await;

    assert_eq!(page.status, 422, "{page:?}");
    for field in [
        "name",
        "since",
        "url",
        "method",
        "payload",
        "filter-numbers",
        "filter-providers",
        "filter-json",
        "authentication-kind",
        "retries-kind",
        "success",
        "timeout_seconds",
        "alerts-emails",
        "alerts-webhook",
    ] {
        assert!(page.text.contains(&format!("id=\"{field}-wrong\"")), "nothing is said at {field}: {page:?}");
    }
    for said in [
        "“kerberos” is none of none, basic, bearer, client_credentials, password",
        "169.254.169.254 is where clouds keep their machines",
        "set alarms.smtp_url and alarms.from",
        "Host is set by the bridge itself",
        "`X Key` is not a header",
        "There is no webhook nobody",
    ] {
        assert!(page.text.contains(said), "{said} is not said: {page:?}");
    }
    assert_eq!(asha.get(PATH).await.status, 404, "nothing is saved");

    let receiver = Receiver::start().await;
    let basic = [("authentication.kind", "basic"), ("basic.user", "asha"), ("basic.password", "secret-of-asha")];
    assert_eq!(asha.post("/console/new-webhook", &form(&receiver.url, &basic)).await.status, 200);
    let edit = |fields: Vec<(&'static str, &'static str)>| {
        let asha = &asha;
        async move { asha.post(&format!("{PATH}/edit"), &fields).await }
    };
    let refused = edit(form("https://[fd00:ec2::254]/", &[("authentication.kind", "kerberos")])).await;
    assert!(refused.status == 422 && refused.text.contains("id=\"url-wrong\""), "{refused:?}");
    let mut silent = form("", &[]);
    silent.retain(|(name, _)| *name != "authentication.kind");
    assert_eq!(edit(silent).await.status, 303, "a form that says nothing of it changes nothing of it");
    asha.post(&format!("{PATH}/try"), &[("event", "message.read")]).await;
    let request = receiver.requests().pop().expect("it came");
    assert_eq!(request.header("authorization"), "Basic YXNoYTpzZWNyZXQtb2YtYXNoYQ==");
    app.leave().await;
}

async fn a_message_says_what_became_of_it_at_each_webhook_that_wants_it(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let make = async |name: &str, more: &[(&str, &str)]| {
        let receiver = Receiver::start().await;
        let mut fields = form(&receiver.url, more);
        fields.retain(|(field, _)| *field != "name");
        fields.push(("name", name));
        let made = asha.post("/console/new-webhook", &fields).await;
        assert!(made.status == 200 || made.status == 303, "{made:?}");
        receiver
    };
    let told = make("told", &[("events", "message.read")]).await;
    let _other = make("other", &[("events", "message.received")]).await;
    let _waits = make("waits", &[("events", "message.read"), ("begin", "paused")]).await;
    let _sifted = make("sifted", &[("events", "message.read"), ("filter.templates", "another_template")]).await;
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.until("it is told", async || !told.requests().is_empty()).await;
    let found = asha.get(&format!("/console/messages?q={}", message.msg_id().replace('|', "%7C"))).await;
    let path = found.between("data-row href=\"", "\"");
    // Each webhook has an owner of its own, which writes down what came of it.
    let passed = "not told to the webhook sifted: its filter passes it over";
    app.until("one passes it over, and one has taken it", async || {
        let story = asha.get(&path).await.text;
        story.contains(passed) && story.contains(" to the webhook told: HTTP 204")
    })
    .await;

    let story = asha.get(&path).await.text;
    assert!(story.contains("waits to be told to the webhook waits"), "{story}");
    assert!(!story.contains("webhook other") && !story.contains("not_relayed"), "{story}");
    let (page, callbacks) = (asha.get("/console/webhooks/waits").await, asha.get("/console/callbacks").await);
    assert!(page.text.contains(">not used yet<") && callbacks.text.contains(">not used yet<"), "{page:?}");
    app.leave().await;
}

on_each_database![
    all_that_is_wrong_with_a_webhook_is_told_at_once_each_at_its_field,
    a_message_says_what_became_of_it_at_each_webhook_that_wants_it,
    who_only_looks_sees_how_a_webhook_stands_and_changes_nothing,
    a_change_in_the_console_keeps_what_its_form_does_not_say_and_is_written_down,
    each_event_has_a_schema_that_its_own_example_fits,
];
