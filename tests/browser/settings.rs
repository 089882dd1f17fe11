//! What people wrote, and the settings, in a browser: somebody is found, handed over and erased.

use std::time::Duration;

use wabridge::simulator::{CallbackRule, Endpoint, Inbound, InboundContent, InboundMedia};

use super::{
    browser::{Browser, Shape},
    harness::{Database, Message, NUMBER_ID, Receiver, TestApp, person},
};

fn say(app: &TestApp, from: usize, content: InboundContent, context_wamid: Option<String>) {
    let message = Inbound { from: person(from), phone_number_id: NUMBER_ID.to_owned(), context_wamid, content };
    app.simulator.inbound(&message).expect("the number exists");
}

/// People write all kinds of things, and CleverTap refuses one of them.
async fn a_lively_day(app: &TestApp) {
    let rule = CallbackRule { answer_status: 400, endpoint: Some(Endpoint::Inbound), ..CallbackRule::default() };
    app.simulator.add_callback_rule(CallbackRule { body_contains: Some("refund".to_owned()), ..rule });
    let answered = Message::order_update(&person(1));
    app.accept(&answered).await;
    app.settled().await;
    let wamid = app.stored(&answered).await.provider_message_id;
    let text = |body: &str| InboundContent::Text { body: body.to_owned() };
    say(
        app,
        1,
        text("Thank you so much! When does the shop in Andheri open tomorrow?\nWe would come by at nine."),
        wamid,
    );
    let caption = Some("Is this the right size?".to_owned());
    say(app, 2, InboundContent::Image(InboundMedia { caption, ..InboundMedia::default() }), None);
    let filename = Some("bill-2026-11.pdf".to_owned());
    say(app, 3, InboundContent::Document(InboundMedia { filename, ..InboundMedia::default() }), None);
    say(app, 4, InboundContent::Button { text: "Stop promotions".to_owned(), payload: "stop".to_owned() }, None);
    let place = InboundContent::Location {
        latitude: 19.076,
        longitude: 72.877,
        name: Some("Office".to_owned()),
        address: None,
    };
    say(app, 5, place, None);
    say(app, 6, text("I want a refund"), None);
    say(app, 2, InboundContent::Voice(InboundMedia::default()), None);
    app.settled().await;
    app.until("files are copied", async || app.store.count_media().await.expect("countable").stored == 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_who_asks_is_found_handed_over_and_erased() {
    let app = TestApp::start(Database::sqlite().await).await;
    app.first_owner().await;
    a_lively_day(&app).await;
    let browser = Browser::signed_in(&app, Shape::Desk).await;

    browser.follow("Inbound").await;
    browser.until_path("/console/inbound").await;
    browser.keys("/").await;
    browser.keys("refund").await;
    let found = "return document.querySelectorAll('.bubble').length === 1 && document.querySelector('.bubble').innerText.includes('refund')";
    browser.until("the words are found", found).await;
    browser.open(&app.at("/console/inbound?kind=image")).await;
    let loaded = "const img = document.querySelector('.bubble img'); return img !== null && img.complete && img.naturalWidth > 0";
    browser.until("the picture is shown", loaded).await;

    browser.follow("One person’s data").await;
    browser.until_path("/console/persons").await;
    browser.fill("phone", &person(1)).await;
    browser.press("Find").await;
    browser
        .until(
            "all is counted",
            "return document.querySelector('#found') !== null && document.querySelector('#found progress') === null",
        )
        .await;
    browser.picture("person-found").await;
    browser.fill("again", &person(2)).await;
    browser.press("Erase all of it").await;
    browser.until("it says why not", "return document.body.innerText.includes('the same number once more')").await;
    browser.fill("again", &person(1)).await;
    browser.press("Erase all of it").await;
    // The page goes on by itself.
    browser.until("it is erased", "return document.body.innerText.includes('What was erased')").await;
    browser.picture("person-erased").await;
    browser.open(&app.at("/console/inbound")).await;
    let gone =
        "return document.querySelectorAll('.bubble').length === 6 && !document.body.innerText.includes('Andheri')";
    browser.until("nothing is left of it", gone).await;
    browser.close().await;
    app.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_told_of_alarms_is_entered_mended_and_tried() {
    let app = TestApp::start_with(Database::sqlite().await, |options| {
        options.settings.alarms.smtp_url = Some("smtp://127.0.0.1:9".into());
        options.settings.alarms.from = "wabridge@example.com".to_owned();
    })
    .await;
    app.first_owner().await;
    let receiver = Receiver::start().await;
    let browser = Browser::signed_in(&app, Shape::Desk).await;
    browser.follow("Alarms").await;
    browser.until_path("/console/alarms").await;
    browser.follow("Change who is told").await;
    browser.until_path("/console/alarms/recipients").await;

    browser.fill("emails", "ops").await;
    browser.fill("webhook_url", "hooks.example.com").await;
    browser.fill("webhook_secret", "signs-it").await;
    browser.press("Save").await;
    for (field, wrong) in [("emails", "Must be e-mail addresses"), ("webhook_url", "Is not a URL")] {
        let at = format!("return document.getElementById('{field}-wrong')?.innerText.includes('{wrong}') === true");
        browser.until(&format!("it is said at {field}"), &at).await;
    }
    let kept = "return document.querySelector(\"[name='emails']\").value + document.querySelector(\"[name='webhook_secret']\").value";
    assert_eq!(browser.ask(kept).await, "ops", "what was entered stays, but for secrets");
    browser.look("alarm-recipients-wrong").await;

    browser.fill("emails", "").await;
    browser.fill("webhook_url", &format!("{}/hook", receiver.url)).await;
    browser.fill("webhook_secret", "signs-it").await;
    browser.ask("document.querySelector(\"[name='kinds'][value='disk_full']\").click()").await;
    browser.press("Save").await;
    browser.until_path("/console/alarms").await;
    assert!(browser.text("main").await.contains("only of: Disk nearly full"));
    browser.press("Send a test alarm").await;
    browser.until("the answer is shown", "return document.body.innerText.includes('It answered HTTP 204')").await;
    assert!(receiver.requests()[0].header("x-wabridge-signature").starts_with("t="));
    browser.look("alarms-tested").await;

    browser.open(&app.at("/console/alarms/recipients")).await;
    assert_eq!(browser.ask("return document.querySelector(\"[name='webhook_url']\").value").await, "");
    browser.ask("document.querySelector(\"[name='forget:webhook_url']\").click()").await;
    browser.press("Save").await;
    browser.until_path("/console/alarms").await;
    assert!(browser.text("main").await.contains("Nobody: only the server’s log"));
    browser.close().await;
    app.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_long_an_account_keeps_its_data_is_entered_and_mended() {
    let app = TestApp::start(Database::sqlite().await).await;
    app.first_owner().await;
    let browser = Browser::signed_in(&app, Shape::Desk).await;
    browser.open(&app.at("/console/accounts/acme/settings")).await;
    let placeholder = "return document.querySelector(\"[name='keep_media_for']\").placeholder";
    assert_eq!(browser.ask(placeholder).await, "30 days", "the server's own");

    browser.fill("keep_exchanges_for", "an hour").await;
    browser.fill("keep_media_for", "1h").await;
    browser.press("Save").await;
    for field in ["keep_exchanges_for", "keep_media_for"] {
        let at =
            format!("return document.getElementById('{field}-wrong')?.innerText.includes('from 1 day to') === true");
        browser.until(&format!("it is said at {field}"), &at).await;
    }
    browser.fill("keep_exchanges_for", "7d").await;
    browser.fill("keep_media_for", "40d").await;
    // The page that is left may say the same.
    browser.ask("window.isLeft = true").await;
    browser.press("Save").await;
    let at = "return window.isLeft === undefined && document.readyState === 'complete' \
              && document.getElementById('keep_media_for-wrong')?.innerText.includes('to 30 days') === true";
    browser.until("no longer than the server", at).await;
    browser.fill("keep_media_for", "20d").await;
    browser.press("Save").await;
    browser.until("it is saved", "return document.querySelector('#keep_media_for-wrong') === null").await;
    let policy = app.store.load_configuration().await.expect("readable").accounts[0].policy.clone();
    assert_eq!(policy.keep_exchanges_for, Some(Duration::from_secs(7 * 24 * 3600)));
    browser.close().await;
    app.leave().await;
}

async fn every_page_is_fine(shape: Shape) {
    let app = TestApp::start_with(Database::sqlite().await, |options| {
        options.settings.alarms.webhook_url = Some("http://127.0.0.1:9/alarms".into());
    })
    .await;
    let asha = app.first_owner().await;
    a_lively_day(&app).await;
    let browser = Browser::signed_in(&app, shape).await;
    asha.post("/console/alarms/test", &[]).await;
    for (name, path) in [
        ("inbound", "/console/inbound"),
        ("inbound-filtered", "/console/inbound?kind=image"),
        ("inbound-none", "/console/inbound?text=nothing+like+this"),
        ("contacts", "/console/contacts"),
        ("contacts-none", "/console/contacts?tag=nothing"),
        ("conversations", "/console/conversations"),
        ("persons", "/console/persons"),
        ("alarms", "/console/alarms"),
        ("alarm-recipients", "/console/alarms/recipients"),
        ("exchanges", "/console/callbacks/exchanges"),
        ("account-settings", "/console/accounts/acme/settings"),
        ("system", "/console/system"),
    ] {
        browser.open(&app.at(path)).await;
        browser.look(name).await;
    }
    browser.open(&app.at("/console/persons")).await;
    browser.fill("phone", &person(2)).await;
    browser.press("Find").await;
    browser
        .until(
            "it is counted",
            "return document.querySelector('#found') !== null && document.querySelector('#found progress') === null",
        )
        .await;
    browser.look("persons-found").await;
    browser.fill("again", &person(2)).await;
    browser.press("Erase all of it").await;
    browser.until("it is erased", "return document.body.innerText.includes('What was erased')").await;
    browser.look("persons-erased").await;
    browser.close().await;
    app.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_of_settings_are_readable_by_everybody_in_the_light() {
    every_page_is_fine(Shape::Desk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_of_settings_are_readable_by_everybody_in_the_dark() {
    every_page_is_fine(Shape::Dark).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_of_settings_fit_on_a_phone() {
    every_page_is_fine(Shape::Phone).await;
}
