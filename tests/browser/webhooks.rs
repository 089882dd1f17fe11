//! Webhooks in the console: added with each way to log in, tried, failing, recovered and told again.

use serde_json::{Value, json};

use super::{
    browser::{Browser, Shape},
    harness::{Database, NUMBER_ID, Receiver, TestApp, person},
};

fn hears(app: &TestApp, text: &str) {
    app.simulator.inbound_text(&person(1), NUMBER_ID, text, None).expect("the number exists");
}

async fn make(app: &TestApp, token: &str, name: &str, settings: Value) {
    let body = json!({"name": name, "settings": settings});
    let made = app.call(reqwest::Method::POST, "/api/v1/webhooks", token, Some(body)).await;
    assert_eq!(made.http_status, 201, "{made:?}");
}

/// Is this field to be seen?
fn seen(name: &str) -> String {
    format!("return document.querySelector(\"[name='{name}']\").checkVisibility()")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_form_shows_what_was_chosen_and_says_what_is_wrong_where_it_is() {
    let app = TestApp::start(Database::sqlite().await).await;
    app.first_owner().await;
    let receiver = Receiver::start().await;
    let browser = Browser::signed_in(&app, Shape::Desk).await;

    browser.follow("Webhooks").await;
    browser.until_path("/console/webhooks").await;
    assert!(browser.text("main").await.contains("Nobody else hears of what happens yet."));
    browser.picture("webhooks-empty").await;
    browser.follow("Add a webhook").await;
    browser.until_path("/console/new-webhook").await;
    assert_eq!(browser.ask(&seen("authentication.kind")).await, false, "what is as usual stays closed");
    browser.open_section("How it logs in").await;
    for (kind, own, other) in [
        ("basic", "basic.password", "bearer.token"),
        ("bearer", "bearer.token", "basic.password"),
        ("client_credentials", "oauth2.client_secret", "oauth2.password"),
        ("password", "oauth2.password", "bearer.token"),
        ("none", "authentication.kind", "oauth2.token_url"),
    ] {
        browser.choose("authentication.kind", kind).await;
        assert_eq!(
            (browser.ask(&seen(own)).await, browser.ask(&seen(other)).await),
            (true.into(), false.into()),
            "{kind}"
        );
    }

    // Bad input of each kind: it stands at its field, and what was typed stays.
    for (kind, field, wrong) in [
        ("basic", "basic-user", "Must be there"),
        ("bearer", "bearer-token", "Is missing"),
        ("client_credentials", "oauth2-token_url", "missing"),
        ("password", "oauth2-user", "Is missing"),
    ] {
        browser.choose("authentication.kind", kind).await;
        browser.fill("name", "crm").await;
        browser.fill("url", "not a url").await;
        browser.press("Add webhook").await;
        let at = format!("return document.getElementById('{field}-wrong')?.innerText.includes('{wrong}') === true");
        browser.until(&format!("it is said at {field}"), &at).await;
        assert_eq!(browser.ask("return document.querySelector(\"[name='url']\").value").await, "not a url");
        let said = browser.text("main").await;
        assert!(said.contains("Nothing is saved yet") && said.contains("Is not a URL"), "{said}");
    }
    browser.look("webhook-form-wrong").await;

    // Good input of each kind, and the receiver is shown it.
    let token_url = format!("{}/token", receiver.url);
    for (name, kind, fields, shown) in [
        ("none", "none", &[][..], ""),
        ("basic", "basic", &[("basic.user", "asha"), ("basic.password", "secret-1")][..], "Basic YXNoYTpzZWNyZXQtMQ=="),
        ("bearer", "bearer", &[("bearer.prefix", "Token"), ("bearer.token", "secret-2")][..], "Token secret-2"),
        (
            "client",
            "client_credentials",
            &[("oauth2.token_url", &*token_url), ("oauth2.client_id", "bridge"), ("oauth2.client_secret", "secret-3")]
                [..],
            "Bearer token-1",
        ),
        (
            "owner",
            "password",
            &[
                ("oauth2.token_url", &*token_url),
                ("oauth2.client_id", "bridge"),
                ("oauth2.client_secret", "secret-3"),
                ("oauth2.user", "asha"),
                ("oauth2.password", "secret-4"),
            ][..],
            "Bearer token-2",
        ),
    ] {
        browser.open(&app.at("/console/new-webhook")).await;
        browser.fill("name", name).await;
        browser.fill("url", &format!("{}/hook", receiver.url)).await;
        browser.click("[value='*']").await;
        browser.open_section("How it logs in").await;
        browser.choose("authentication.kind", kind).await;
        for (field, value) in fields {
            browser.fill(field, value).await;
        }
        browser.press("Add webhook").await;
        browser.until("the secret is shown", "return document.querySelector('#secret') !== null").await;
        assert!(browser.text("#secret").await.starts_with("whsec_"));
        browser.follow("Send a sample").await;
        browser.until_path(&format!("/console/webhooks/{name}/try")).await;
        browser.press("Send it now").await;
        browser.until("it was taken", "return document.body.innerText.includes('It was taken.')").await;
        let request = receiver.requests().pop().expect("it came");
        assert_eq!(request.header("authorization"), shown, "{name}");
    }
    browser.picture("webhook-sample").await;

    // A change that enters no secret keeps it.
    browser.open(&app.at("/console/webhooks/basic/edit")).await;
    browser.fill("description", "for the till").await;
    browser.press("Save").await;
    browser.until_path("/console/webhooks/basic").await;
    let page = browser.text("main").await;
    assert!(page.contains("for the till") && page.contains("as asha, with a password"), "{page}");
    let html = browser.client.source().await.expect("a page");
    assert!(!html.contains("secret-1") && !html.contains("/hook"), "{html}");
    browser.press("Make another").await;
    browser.until("another secret is shown", "return document.querySelector('#secret') !== null").await;
    assert!(browser.text("main").await.contains("requests are signed with the old secret, too"));
    browser.close().await;
    app.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_failed_is_found_and_told_again() {
    let app = TestApp::start(Database::sqlite().await).await;
    let token = app.first_owner().await.make_token(&["configuration:manage", "messages:read"]).await;
    let receiver = Receiver::start().await;
    let retries = json!({"kind": "fixed", "times": 1, "every_seconds": 1});
    make(
        &app,
        &token,
        "crm",
        json!({"url": format!("{}/hook", receiver.url), "events": ["message.received"], "retries": retries}),
    )
    .await;
    receiver.answer_always(503);
    hears(&app, "hello");
    let dead =
        async || app.store.count_callbacks().await.expect("countable").values().map(|(dead, _)| *dead).sum::<i64>();
    app.until("it is dead", async || dead().await == 1).await;
    let browser = Browser::signed_in(&app, Shape::Desk).await;

    browser.open(&app.at("/console/webhooks")).await;
    let row = browser.text("#webhooks tbody tr").await;
    assert!(row.contains("crm") && row.contains("retrying") && row.contains("2 requests in a row not taken"), "{row}");
    browser.follow("crm").await;
    browser.until_path("/console/webhooks/crm").await;
    let advice = browser.text("#standing .note").await;
    assert!(advice.contains("HTTP 503"), "{advice}");
    browser.follow("Log").await;
    browser.until_path("/console/webhooks/crm/log").await;
    let rows = "return document.querySelectorAll('#results tbody tr').length";
    assert_eq!(browser.ask(rows).await, 2, "each try is a line");
    browser.choose("state", "delivered").await;
    browser.until("none is delivered", "return document.querySelector('#results .empty') !== null").await;
    browser.choose("state", "dead").await;
    browser.until("both are of a dead event", &format!("{rows} === 2")).await;
    browser.look("webhook-log").await;

    // The history of the event, with what it was told.
    browser.click("#results [data-row]").await;
    browser.until("its tries are there", "return document.querySelectorAll('.timeline li').length === 2").await;
    let event = browser.text("main").await;
    assert!(
        event.contains("message.received") && event.contains("webhook-id") && event.contains("\"hello\""),
        "{event}"
    );
    browser.look("webhook-event").await;

    receiver.answer_always(204);
    browser.open(&app.at("/console/webhooks/crm/log")).await;
    browser.follow("Tell all that is dead again…").await;
    browser.until_path("/console/webhooks/crm/replay").await;
    assert!(browser.text("main").await.contains("1 dead events"));
    browser.press("Tell it again").await;
    browser.until_path("/console/webhooks/crm").await;
    browser.until("it is told", "return document.body.innerText.includes('Told 1 of 1 dead events again.')").await;
    app.until("none is dead", async || dead().await == 0).await;
    assert_eq!(receiver.requests().len(), 3);

    browser.press("Pause").await;
    browser.until("it is paused", "return document.querySelector('#standing .pill').innerText === 'paused'").await;
    browser.press("Switch off").await;
    browser.until("it is off", "return document.querySelector('#standing .pill').innerText === 'off'").await;
    browser.follow("Log").await;
    browser.until("its log stays", &format!("{rows} === 3")).await;
    browser.open(&app.at("/console/webhooks/crm")).await;
    browser.follow("Delete…").await;
    browser.until_path("/console/webhooks/crm/delete").await;
    browser.press("Delete crm").await;
    browser.until_path("/console/webhooks").await;
    assert!(browser.text("main").await.contains("The webhook is gone."));
    browser.close().await;
    app.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_of_webhooks_are_readable_by_everybody_and_fit_on_a_phone() {
    let app = TestApp::start(Database::sqlite().await).await;
    let asha = app.first_owner().await;
    let token = asha.make_token(&["configuration:manage", "messages:read"]).await;
    let (good, bad) = (Receiver::start().await, Receiver::start().await);
    bad.answer_always(503);
    let settings = |receiver: &Receiver, more: Value| {
        let mut settings = json!({"url": format!("{}/hook", receiver.url), "events": ["message.*"]});
        settings.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        settings
    };
    let rich = json!({"description": "orders and stock", "profile": "commbox", "format": "soap_1_1", "events": ["message.received", "message.failed"],
        "headers": {"X-Branch": "north"}, "filter": {"accounts": ["acme"]}, "soap_parameters": {"Branch": "Andheri"},
        "authentication": {"kind": "basic", "user": "asha", "password": "secret"}});
    make(&app, &token, "crm", settings(&good, rich)).await;
    make(
        &app,
        &token,
        "warehouse",
        settings(&bad, json!({"retries": {"kind": "fixed", "times": 9, "every_seconds": 600}})),
    )
    .await;
    make(
        &app,
        &token,
        "reports",
        settings(&good, json!({"profile": "meta", "events": ["template.*", "channel.status"]})),
    )
    .await;
    for text in ["hello", "is it there yet?"] {
        hears(&app, text);
    }
    app.until("both heard", async || !good.requests().is_empty() && !bad.requests().is_empty()).await;
    for shape in [Shape::Desk, Shape::Dark, Shape::Phone] {
        let browser = Browser::signed_in(&app, shape).await;
        for (name, path) in [
            ("webhooks", "/console/webhooks"),
            ("webhook-new", "/console/new-webhook"),
            ("webhook-edit", "/console/webhooks/crm/edit"),
            ("webhook", "/console/webhooks/crm"),
            ("webhook-failing", "/console/webhooks/warehouse"),
            ("webhook-log-failing", "/console/webhooks/warehouse/log"),
            ("webhook-try", "/console/webhooks/crm/try?event=message.received"),
            ("webhook-try-no-words", "/console/webhooks/crm/try?event=template.status"),
            ("webhook-delete", "/console/webhooks/crm/delete"),
            ("webhook-replay", "/console/webhooks/crm/replay?of=all"),
            ("webhook-events", "/console/webhook-events"),
            ("webhook-callbacks", "/console/callbacks?webhook=warehouse"),
        ] {
            browser.open(&app.at(path)).await;
            browser.look(name).await;
        }
        browser.close().await;
    }
    app.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_added_without_scripts() {
    let app = TestApp::start(Database::sqlite().await).await;
    app.first_owner().await;
    let browser = Browser::start(Shape::WithoutScripts).await;
    browser.open(&app.at("/console/sign-in")).await;
    browser.fill("name", "asha").await;
    browser.fill("password", super::harness::PASSWORD).await;
    browser.press("Sign in").await;
    browser.follow("Webhooks").await;
    browser.follow("Add a webhook").await;
    browser.fill("name", "crm").await;
    browser.fill("url", "https://hooks.example.com/crm").await;
    browser.click("[value='message.received']").await;
    browser.press("Add webhook").await;
    assert!(browser.text("#secret").await.starts_with("whsec_"));
    browser.close().await;
    app.leave().await;
}

impl Browser {
    /// Not by a click: the bar with the buttons may stand above it.
    async fn open_section(&self, summary: &str) {
        let script = format!(
            "const section = [...document.querySelectorAll('details:not([open])')].find((one) => \
             one.querySelector('summary').innerText.includes('{summary}')); section.open = true; return true"
        );
        assert_eq!(self.ask(&script).await, true, "{summary} was closed");
    }

    async fn choose(&self, name: &str, value: &str) {
        let css = format!("main select[name='{name}']");
        let found = self.client.wait().for_element(fantoccini::Locator::Css(&css)).await.expect("it is on the page");
        found.select_by_value(value).await.expect("it can be chosen");
    }
}
