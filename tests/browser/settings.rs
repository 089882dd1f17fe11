//! What people wrote, and the settings, in a browser: somebody is found, handed over and erased.

use wabridge::simulator::{CallbackRule, Endpoint, Inbound, InboundContent, InboundMedia};

use super::{
    browser::{Browser, Shape},
    harness::{Database, Message, NUMBER_ID, TestApp, person},
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
