//! A callback URL that fails: found from the navigation, tried, and what it refused told again.

use wabridge::simulator::{CallbackRule, Endpoint};

use super::{
    browser::{Browser, Shape},
    harness::{Database, Message, TestApp, person},
};

fn refusing(status: u16, body_contains: Option<String>) -> CallbackRule {
    let endpoint = Some(Endpoint::DeliveryReports);
    CallbackRule { answer_status: status, endpoint, body_contains, ..CallbackRule::default() }
}

/// Dead events of some messages, and a URL that fails now.
async fn a_bad_day(app: &TestApp) -> Vec<Message> {
    let messages: Vec<Message> = (0..30).map(|number| Message::order_update(&person(number))).collect();
    for message in &messages[..4] {
        app.simulator.add_callback_rule(refusing(400, Some(format!("\"{}\"", message.msg_id()))));
    }
    app.accept_all(&messages).await;
    app.settled().await;
    app.simulator.set_callback_rules(vec![refusing(401, None)]);
    app.accept(&Message::order_update(&person(40))).await;
    messages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_callback_url_is_found_and_told_again() {
    let app = TestApp::start(Database::sqlite().await).await;
    app.first_owner().await;
    let messages = a_bad_day(&app).await;
    let browser = Browser::signed_in(&app, Shape::Desk).await;

    browser.open(&app.at("/console/messages")).await;
    browser.until_badge("1").await;
    browser.click(".nav a[href='/console/callbacks']").await;
    browser.until("the list is there", "return document.querySelectorAll('[data-row]').length > 0").await;
    browser.click("tr:has(.pill.bad) [data-row]").await;
    browser.until("it is on hold", "return document.body.innerText.includes('On hold.')").await;
    app.simulator.set_callback_rules(vec![]);
    browser.press("Try now").await;
    browser.until("it says so", "return document.body.innerText.includes('The URL is tried now.')").await;
    // The page goes on by itself.
    let works = "return document.querySelector('#standing .pill').innerText === 'works'";
    browser.until("it works", works).await;

    // So slowly that somebody who looks seldom sees the bar, too.
    browser.fill("rate", "1").await;
    browser.press("Count them").await;
    browser.until("it is counted", "return document.body.innerText.includes('12 dead events')").await;
    browser.picture("callbacks-replay").await;
    browser.press("Tell them again").await;
    browser.until("the bar moves", "return document.querySelector('progress')?.value > 0").await;
    browser.picture("callbacks-progress").await;
    browser.until("all are told", "return document.body.innerText.includes('Told 12 of 12 dead events again.')").await;

    for message in &messages {
        assert_eq!(app.told(message), ["sent", "delivered", "read"]);
    }
    browser.open(&app.at("/console/callbacks")).await;
    browser.until_badge("").await;
    browser.close().await;
    app.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_of_callbacks_are_readable_by_everybody_and_fit_on_a_phone() {
    let app = TestApp::start(Database::sqlite().await).await;
    let asha = app.first_owner().await;
    a_bad_day(&app).await;
    app.until("it fails", async || asha.get("/console/callbacks/badge").await.text.contains("fails")).await;
    let list = asha.get("/console/callbacks").await;
    let url = list.between("<a data-row id=\"url-", "\"");
    let dead = asha.get(&format!("/console/callbacks/{url}/events?state=dead")).await;
    let event = dead.between("data-row href=\"", "\"");
    for shape in [Shape::Desk, Shape::Dark, Shape::Phone] {
        let browser = Browser::signed_in(&app, shape).await;
        for (name, path) in [
            ("callbacks", "/console/callbacks"),
            ("callbacks-url", &format!("/console/callbacks/{url}")),
            ("callbacks-events", &format!("/console/callbacks/{url}/events")),
            ("callbacks-exchanges", &format!("/console/callbacks/{url}/exchanges")),
            ("callbacks-event", &event),
            ("callbacks-count", &format!("/console/callbacks/{url}/replay?of=delivered&rate=20")),
        ] {
            browser.open(&app.at(path)).await;
            browser.until_badge("1").await;
            browser.look(name).await;
        }
        browser.close().await;
    }
    app.leave().await;
}

impl Browser {
    async fn until_badge(&self, text: &str) {
        let script = format!(
            "const badge = document.querySelector('.badge'); return document.querySelector('.badge-place.htmx-request') \
             === null && (badge?.firstChild?.textContent ?? '') === '{text}'"
        );
        self.until("the badge says it", &script).await;
    }
}
