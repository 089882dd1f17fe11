//! What each role is shown in a browser: nothing that it would be refused, and nobody whom it may not see.

use serde_json::{Value, json};
use wabridge::simulator::{Effect, Refusal, Rule};

use super::{
    browser::{Browser, Shape},
    harness::{Database, Message, NUMBER_ID, PASSWORD, Receiver, TestApp, person},
};

const WORDS: &str = "is the blue one still there";

/// Pages of which none is refused, from the navigation on: as many of each kind as show all its forms.
const WALK: &str = r#"
    const done = arguments[arguments.length - 1], [perKind, secrets] = KNOWN;
    (async () => {
      const seen = new Map(), refused = [], forms = new Set(), leaks = [];
      const waiting = ['/console/overview', '/console/account'];
      while (waiting.length > 0) {
        const path = waiting.shift();
        const answer = await fetch(path);
        if (!answer.ok) refused.push([path, answer.status]);
        if (!(answer.headers.get('content-type') ?? '').includes('html')) continue;
        const text = await answer.text();
        secrets.filter((secret) => text.includes(secret)).forEach((secret) => leaks.push([path, secret]));
        const page = new DOMParser().parseFromString(text, 'text/html');
        page.querySelectorAll('form[method="post"]:has(button:not([type="button"]))').forEach((form) => forms.add(form.getAttribute('action')));
        const links = [...page.querySelectorAll('a[href], form[method="get"]')].map((one) => one.getAttribute('href') ?? one.getAttribute('action'));
        page.querySelectorAll('[hx-get]').forEach((one) => links.push(one.getAttribute('hx-get')));
        for (const link of links) {
          const url = new URL(link, location.origin + path.split('?')[0]);
          if (url.origin !== location.origin || !url.pathname.startsWith('/console/')) continue;
          const kind = url.pathname.replace(/[^/]*\d[^/]*/g, '*') + '?' + [...url.searchParams.keys()].sort().join('&');
          const others = seen.get(kind) ?? new Set();
          const next = url.pathname + url.search;
          if (others.has(next) || others.size >= perKind) continue;
          seen.set(kind, others.add(next));
          waiting.push(next);
        }
      }
      return {pages: [...seen.values()].flatMap((some) => [...some]), refused, forms: [...forms], leaks};
    })().then(done, (error) => done(String(error)));
"#;

/// A message that was read, one that failed, an answer, a webhook, and something that was not understood.
async fn a_day(app: &TestApp) -> Receiver {
    let owner = app.first_owner().await;
    for (name, role) in [("ben", "operator"), ("cara", "read-only")] {
        app.another(&owner, name, role).await;
    }
    let receiver = Receiver::start().await;
    let webhook =
        [("name", "crm"), ("url", &*receiver.url), ("profile", "native"), ("format", "json"), ("events", "*")];
    assert_eq!(owner.post("/console/new-webhook", &webhook).await.status, 200);
    app.simulator.add_rule(Rule::recipient(&person(2), Effect::Refuse(Refusal::code(131030))));
    app.accept_all(&[1, 2].map(|number| Message::order_update(&person(number)))).await;
    let refused = app.send(&Message::template(&person(3), "order_update", "en").values(&["Asha"])).await;
    assert!(!refused.is_success(), "{refused:?}");
    app.settled().await;
    app.simulator.inbound_text(&person(1), NUMBER_ID, WORDS, None).expect("the number exists");
    app.settled().await;
    receiver
}

async fn signed_in(app: &TestApp, name: &str) -> Browser {
    let browser = Browser::start(Shape::Desk).await;
    browser.open(&app.at("/console/sign-in")).await;
    browser.fill("name", name).await;
    browser.fill("password", PASSWORD).await;
    browser.press("Sign in").await;
    browser.until_path("/console/overview").await;
    browser
}

async fn walk(browser: &Browser, secrets: &[&str]) -> Value {
    const PER_KIND: usize = 3;
    let script = WALK.replace("KNOWN", &json!([PER_KIND, secrets]).to_string());
    let found = browser.client.execute_async(&script, vec![]).await.expect("the pages are walked through");
    assert!(found["pages"].as_array().is_some_and(|pages| pages.len() > 30), "{found:#}");
    assert_eq!(found["refused"], json!([]), "nobody is led to what is refused");
    found
}

/// Each address is refused on a page that says so, and from which one goes on.
async fn is_kept_out(app: &TestApp, browser: &Browser, paths: &[&str]) {
    for path in paths {
        browser.open(&app.at(path)).await;
        browser.until_said("Your role does not allow this").await;
        let said = browser.text("main").await;
        assert!(said.contains("ask an owner") && said.contains("403"), "{path}: {said}");
        assert_eq!(browser.ask("return document.querySelectorAll('main form').length").await, 0, "{path}");
    }
    browser.look("role-refused").await;
    browser.follow("To the console").await;
    browser.until_path("/console/overview").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_looks_is_shown_no_form_and_nobody() {
    let app = TestApp::start(Database::sqlite().await).await;
    let _receiver = a_day(&app).await;
    let cara = signed_in(&app, "cara").await;

    let numbers = [1, 2, 3].map(|number| person(number).trim_start_matches('+').to_owned());
    let secrets = [&numbers[0], &numbers[1], &numbers[2], WORDS, "acme-passcode"];
    let found = walk(&cara, &secrets).await;
    assert_eq!(found["leaks"], json!([]), "numbers and words are masked");
    let mut forms: Vec<&str> = found["forms"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    forms.sort_unstable();
    let own = ["/console/account/password", "/console/account/sign-out", "/console/sign-out"];
    let reconcile = "/console/campaigns/acme/1790000000/reconcile#reconcile";
    assert_eq!(forms, [own[0], own[1], reconcile, own[2]], "only what is her own, and what only asks");

    cara.open(&app.at("/console/messages")).await;
    let list = cara.text("#results").await;
    assert!(list.contains('…') || list.contains('•') || list.contains('*'), "numbers are there, masked: {list}");
    is_kept_out(
        &app,
        &cara,
        &[
            "/console/users",
            "/console/tokens",
            "/console/persons",
            "/console/audit",
            "/console/alarms",
            "/console/system",
            "/console/test-bench",
            "/console/test-bench/explain",
            "/console/new-account",
            "/console/new-connection",
            "/console/connections/meta-main/edit",
            "/console/connections/meta-main/remove",
            "/console/new-number",
            "/console/numbers/918880110022/edit",
            "/console/new-webhook",
            "/console/webhooks/crm/edit",
            "/console/webhooks/crm/replay?of=all",
        ],
    )
    .await;
    cara.close().await;
    app.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_is_shown_all_but_people_tokens_and_one_persons_data() {
    let app = TestApp::start(Database::sqlite().await).await;
    let _receiver = a_day(&app).await;
    let ben = signed_in(&app, "ben").await;

    let found = walk(&ben, &["acme-passcode", "simulator-access-token", "simulator-app-secret"]).await;
    assert_eq!(found["leaks"], json!([]), "no secret is shown");
    let all = found.to_string();
    for part in ["/console/users", "/console/tokens", "/console/persons"] {
        assert!(!all.contains(part), "{part}: {all}");
    }
    for part in ["/hold\"", "/resend\"", "/settings\"", "/new-number\"", "/test-bench/explain\"", "/pause\""] {
        assert!(all.contains(part), "{part}: {all}");
    }
    is_kept_out(&app, &ben, &["/console/users", "/console/tokens", "/console/persons"]).await;

    // The owner is led everywhere.
    let asha = Browser::signed_in(&app, Shape::Desk).await;
    let found = walk(&asha, &[]).await.to_string();
    assert!(found.contains("/console/users/ben/disable") && found.contains("/console/persons"), "{found}");
    ben.close().await;
    asha.close().await;
    app.leave().await;
}
