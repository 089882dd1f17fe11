//! The first day of a new operator, who has credentials and a browser, and no file: connection, account and number by form, what
//! CleverTap must be given, and the first message that reaches a phone.

use crate::{
    browser::{Browser, Shape},
    harness::{APP_SECRET, BUSINESS_NUMBER, Database, Message, NUMBER_ID, PASSWORD, TestApp, WABA_ID, person},
    set_up_link,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_an_empty_database_to_the_first_message_that_was_read() {
    let app = TestApp::start_with(Database::sqlite().await, |options| {
        options.unconfigured = true;
        options.without_templates = true;
    })
    .await;
    let browser = Browser::start(Shape::Desk).await;
    browser.open(&app.at(&set_up_link(&app).await)).await;
    browser.fill("name", "asha").await;
    browser.fill("password", PASSWORD).await;
    browser.press("Become the owner").await;
    browser.until_path("/console/overview").await;

    // The connection: first without a token, which is told beside the field.
    browser.look("first-day-overview").await;
    browser.follow("Add a connection").await;
    browser.until_path("/console/new-connection").await;
    browser.fill("id", "meta-main").await;
    browser.fill("app_secret", APP_SECRET).await;
    browser.press("Add connection").await;
    assert!(browser.text("#access_token-wrong").await.contains("missing"), "{}", browser.text("main").await);
    browser.picture("first-day-connection-wrong").await;
    browser.fill("app_secret", APP_SECRET).await;
    browser.fill("access_token", "simulator-access-token").await;
    browser.ask("document.querySelectorAll('main details').forEach((one) => one.open = true)").await;
    browser.fill("base_url", app.simulator_url()).await;
    browser.press("Add connection").await;
    browser.until("it is added", "return document.body.innerText.includes('The connection is added.')").await;
    assert!(browser.text("main").await.contains("/webhooks/meta/meta-main"), "what Meta must be told is shown");
    browser.picture("first-day-connection").await;

    let is_connected = || app.directory().snapshot().connections().next().is_some();
    app.until("the connection is known", async || is_connected()).await;
    browser.open(&app.at("/console/overview")).await;
    assert!(browser.text(".steps").await.contains("done"), "the first step is ticked off");
    browser.follow("Add an account").await;
    browser.until_path("/console/new-account").await;
    browser.fill("id", "acme").await;
    browser.fill("clevertap_account_id", "TEST-ACC-1").await;
    browser.fill("clevertap_passcode", "acme-passcode").await;
    browser.fill("default_country", "IN").await;
    browser.press("Add account").await;
    browser.until_path("/console/accounts/acme").await;
    let shown = browser.text("main").await;
    assert!(shown.contains("/clevertap/acme/messages"), "{shown}");
    let callbacks = format!("{}/clevertap", app.simulator_url());
    browser.fill("delivery_report_callback_url", &format!("{callbacks}/delivery-reports/acme")).await;
    browser.fill("inbound_message_callback_url", &format!("{callbacks}/inbound/acme")).await;
    browser.press("Save").await;
    browser.until("it is saved", "return document.body.innerText.includes('It is saved')").await;
    browser.picture("first-day-account").await;

    browser.open(&app.at("/console/new-number")).await;
    browser.fill("number", BUSINESS_NUMBER).await;
    browser.fill("phone_number_id", NUMBER_ID).await;
    browser.fill("waba_id", WABA_ID).await;
    browser.press("Add number").await;
    browser.until_path(&format!("/console/numbers/{}", BUSINESS_NUMBER.trim_start_matches('+'))).await;
    let is_there = || app.directory().snapshot().senders().next().is_some();
    app.until("the number's templates are read", async || is_there() && app.knows_templates().await).await;

    let first = Message::order_update(&person(1));
    app.accept(&first).await;
    app.settled().await;
    browser.open(&app.at(&format!("/console/messages/{}", app.stored(&first).await.id))).await;
    let read =
        "return [...document.querySelectorAll('.timeline .what')].some((line) => line.innerText.startsWith('read'))";
    browser.until("the person has read it, and CleverTap was told", read).await;
    browser.picture("first-day-message").await;
    browser.close().await;
    app.leave().await;
}
