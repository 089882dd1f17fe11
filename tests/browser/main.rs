//! The console in a real browser: what a person sees and can do there, with eyes, on a phone, and with a screen reader.
//!
//! It needs Chromium and its driver; `tests/run.sh` installs them on Debian. With WABRIDGE_SCREENSHOTS set to a folder, a picture
//! of every page is left there.

#[path = "../api/harness/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the stage is that of the other tests, which use more of it"
)]
mod harness;

mod browser;
mod callbacks;
mod charts;
mod ease;
mod first_day;
mod form;
mod forms_accounts;
mod forms_connections;
mod forms_messages;
mod forms_people;
mod forms_settings;
mod roles;
mod settings;
mod strangers;
mod templates;
mod webhooks;

use serde_json::Value;
use wabridge::simulator::{Effect, Refusal, Rule};

use self::{
    browser::{Browser, Shape},
    harness::{APP_SECRET, Database, Message, NUMBER_ID, PASSWORD, TestApp, person, script},
};

async fn set_up_link(app: &TestApp) -> String {
    let told: Value = serde_json::from_str(&app.command(&["user", "link", "--json"]).await).expect("it is JSON");
    TestApp::path_of(told["link"].as_str().expect("a link"))
}

/// Messages with every kind of end.
async fn a_busy_morning(app: &TestApp) -> Message {
    let orders: Vec<Message> = (10..30).map(|number| Message::order_update(&person(number))).collect();
    app.accept_all(&orders).await;
    for (number, effect) in [
        (1, Effect::Refuse(Refusal::code(131030))),
        (2, Effect::Statuses(script("sent@0,failed:131026@20"))),
        (3, Effect::Statuses(script("sent@0"))),
        (4, Effect::Statuses(script("sent@0,delivered@10"))),
    ] {
        app.simulator.add_rule(Rule::recipient(&person(number), effect));
        app.accept(&Message::marketing(&person(number))).await;
    }
    let failed = Message::order_update(&person(1));
    app.accept(&failed).await;
    app.settled().await;
    app.simulator.inbound_text(&person(4), NUMBER_ID, "Thank you!", None).expect("the number exists");
    let odd = serde_json::json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages",
        "value": {"messaging_product": "whatsapp", "metadata": {"display_phone_number": "918880110022", "phone_number_id": NUMBER_ID},
        "statuses": [{"id": "wamid.HBgMOTE5ODc2NTIwMDA3", "status": "levitated", "timestamp": "1790000000", "recipient_id": "919876520007"}]
    }}]}]});
    assert_eq!(app.post_webhook(odd.to_string(), APP_SECRET).await, 200);
    app.settled().await;
    failed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_operator_sets_up_finds_a_message_and_leaves() {
    let app = TestApp::start(Database::sqlite().await).await;
    let failed = a_busy_morning(&app).await;
    let browser = Browser::start(Shape::Desk).await;
    let link = set_up_link(&app).await;

    browser.open(&app.at(&link)).await;
    browser.picture("set-up").await;
    browser.fill("name", "asha").await;
    browser.fill("password", "short").await;
    browser.press("Become the owner").await;
    assert!(browser.path().await.starts_with("/console/welcome/"), "the browser itself wants a longer one");
    browser.fill("password", PASSWORD).await;
    browser.press("Become the owner").await;
    browser.until_path("/console/overview").await;
    assert!(browser.text("main").await.contains("What needs attention"));
    browser.follow("Messages").await;
    browser.until_path("/console/messages").await;

    // By the keyboard alone.
    browser.keys("/").await;
    browser.keys(failed.msg_id()).await;
    // Each letter may begin another search, and a part of the id may be enough to leave one row.
    let is_over = format!(
        "return new URLSearchParams(location.search).get('q') === '{}' && document.querySelectorAll('[data-row]').length === 1 \
         && !document.querySelector('.htmx-request, .htmx-swapping, .htmx-settling')",
        failed.msg_id()
    );
    browser.until("the search can be sent to somebody, and has found one", &is_over).await;
    let count = "window.searches = 0; document.addEventListener('htmx:beforeRequest', (event) => { \
                 if (event.detail.elt.matches('.search')) window.searches += 1; })";
    browser.ask(count).await;
    browser.keys("\u{e00c}").await;
    let kept = browser.ask("return document.querySelector('[data-search]').value").await;
    assert_eq!(kept, failed.msg_id(), "Escape leaves the field, with what is in it");
    let searches = browser.ask("return window.searches").await;
    assert_eq!(searches, 0, "what was found already is not sought again");
    browser.keys("j").await;
    browser.ask("document.activeElement.isOld = true; document.querySelector('.search').requestSubmit()").await;
    let still_there = "const row = document.activeElement; return row.matches('[data-row]') && !row.isOld";
    browser.until("who stands on a row of the list stays there when the list comes anew", still_there).await;
    browser.keys("\u{e007}").await;
    browser.until("its story is told", "return document.querySelectorAll('.timeline li').length > 2").await;
    let story = browser.text("main").await;
    assert!(story.contains("131030") && story.contains("Send it again"), "{story}");
    browser.picture("message").await;

    browser.fill("reason", "the list is mended").await;
    app.simulator.set_rules(vec![]);
    browser.press("Send again").await;
    browser.until("it says so", "return document.body.innerText.includes('It waits to be sent again.')").await;
    // The page goes on by itself.
    let read =
        "return [...document.querySelectorAll('.timeline .what')].some((line) => line.innerText.startsWith('read'))";
    browser.until("the person has read it", read).await;

    let ground = || browser.ask("return getComputedStyle(document.body).backgroundColor");
    let light = ground().await;
    browser.press("Theme: auto").await;
    browser.press("Theme: light").await;
    let dark = ground().await;
    assert_ne!(light, dark);
    browser.open(&app.at("/console/messages")).await;
    assert_eq!(ground().await, dark, "it stays dark on the next page");

    browser.press("Sign out").await;
    browser.until_path("/console/sign-in").await;
    browser.open(&app.at("/console/messages")).await;
    browser.until_path("/console/sign-in").await;
    browser.close().await;
    // The simulator counts a `sent` after a `failed`: the second send's is meant.
    app.leave().await;
}

/// Every page, with what makes it worth a picture.
const PAGES: [(&str, &str); 28] = [
    ("overview", "/console/overview"),
    ("messages", "/console/messages"),
    ("messages-filtered", "/console/messages?status=failed"),
    ("messages-none", "/console/messages?q=msg_0000000000000"),
    ("campaigns", "/console/campaigns"),
    ("campaign", "/console/campaigns/acme/1790000000"),
    ("unrecognized", "/console/unrecognized"),
    ("refused", "/console/refused"),
    ("connections", "/console/connections"),
    ("connection", "/console/connections/meta-main"),
    ("connection-new", "/console/new-connection"),
    ("connection-new-http", "/console/new-connection?provider=http"),
    ("connection-new-gotallo", "/console/new-connection?provider=gotallo"),
    ("connection-edit", "/console/connections/meta-main/edit"),
    ("number", "/console/numbers/918880110022?phone=%2B919876500001"),
    ("number-new", "/console/new-number"),
    ("accounts", "/console/accounts"),
    ("account-new", "/console/new-account"),
    ("account-connect", "/console/accounts/acme"),
    ("account-settings", "/console/accounts/acme/settings"),
    ("templates", "/console/templates"),
    ("template", "/console/templates/meta-main/200000000000001/order_update/en"),
    ("template-cards", "/console/templates/meta-main/200000000000001/new_arrivals/en"),
    ("test-bench", "/console/test-bench?template=cart_reminder"),
    ("test-bench-explain", "/console/test-bench/explain"),
    ("users", "/console/users"),
    ("tokens", "/console/tokens"),
    ("account", "/console/account"),
];

async fn every_page_is_fine(shape: Shape) {
    let app = TestApp::start(Database::sqlite().await).await;
    let failed = a_busy_morning(&app).await;
    let asha = app.first_owner().await;
    app.another(&asha, "ben", "operator").await;
    asha.post("/console/users", &[("name", "cara@example.com"), ("role", "read-only")]).await;
    asha.make_token(&["messages:read", "messages:resend"]).await;
    let message = app.stored(&failed).await.id;
    let browser = Browser::start(shape).await;

    browser.open(&app.at("/console/sign-in")).await;
    browser.look("sign-in").await;
    browser.fill("name", "asha").await;
    browser.fill("password", "not this one").await;
    browser.press("Sign in").await;
    browser.until("it says what is wrong", "return document.body.innerText.includes('are wrong')").await;
    browser.look("sign-in-wrong").await;
    browser.fill("password", PASSWORD).await;
    browser.press("Sign in").await;
    browser.until_path("/console/overview").await;
    for (name, path) in PAGES {
        browser.open(&app.at(path)).await;
        browser.look(name).await;
    }
    browser.open(&app.at(&format!("/console/messages/{message}"))).await;
    browser.look("message").await;
    browser.open(&app.at("/console/audit")).await;
    browser.look("audit").await;
    browser.open(&app.at("/console/campaigns/acme/1790000000")).await;
    browser.fill("pasted", "Sent 25 Delivered 22 Errors 3").await;
    browser.press("Compare").await;
    browser.until("it is compared", "return document.querySelectorAll('#reconcile tbody tr').length > 2").await;
    browser.look("campaign-compared").await;
    browser.open(&app.at("/console/connections/meta-main")).await;
    browser.press("Check channel").await;
    browser.until("it is checked", "return document.querySelectorAll('.checks tbody').length > 2").await;
    browser.look("connection-checked").await;
    browser.open(&app.at("/console/accounts/acme")).await;
    browser.press("Send a test callback").await;
    browser.until("it was tried", "return document.querySelector('.tested') !== null").await;
    browser.look("account-tested").await;
    browser.open(&app.at("/console/accounts/acme/settings")).await;
    browser.fill("time_zone", "Moon").await;
    browser.fill("quiet_hours.from", "25:00").await;
    browser.press("Save").await;
    browser.until("it says what is wrong", "return document.querySelectorAll('.wrong').length > 1").await;
    browser.look("account-wrong").await;
    browser.open(&app.at("/console/nowhere")).await;
    browser.look("not-found").await;
    browser.open(&app.at("/console/users")).await;
    browser.fill("name", "dora").await;
    browser.press("Add").await;
    browser.until("the link is shown", "return document.querySelector('#secret') !== null").await;
    browser.look("users-link").await;
    browser.close().await;
    app.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_is_readable_by_everybody_in_the_light() {
    every_page_is_fine(Shape::Desk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_is_readable_by_everybody_in_the_dark() {
    every_page_is_fine(Shape::Dark).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_fits_on_a_phone() {
    every_page_is_fine(Shape::Phone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_works_without_scripts_but_the_keys() {
    let app = TestApp::start(Database::sqlite().await).await;
    let failed = a_busy_morning(&app).await;
    let browser = Browser::start(Shape::WithoutScripts).await;
    browser.open(&app.at(&set_up_link(&app).await)).await;
    browser.fill("name", "asha").await;
    browser.fill("password", PASSWORD).await;
    browser.press("Become the owner").await;

    browser.follow("Messages").await;

    browser.fill("q", failed.msg_id()).await;
    browser.press("Search").await;

    // The page that answers may not be there yet; the one before it has more.
    browser.until_rows(1).await;
    browser.close().await;
    app.leave().await;
}
