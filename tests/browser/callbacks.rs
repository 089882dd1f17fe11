//! A callback URL that fails: found from the navigation, tried, and what it refused told again.

use wabridge::simulator::{CallbackRule, Endpoint};

use super::{
    browser::{Browser, Shape},
    harness::{Database, Message, NUMBER_ID, TestApp, person},
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
async fn what_matches_over_all_urls_is_tried_now_and_told_again() {
    let app = TestApp::start(Database::sqlite().await).await;
    let asha = app.first_owner().await;
    let messages = a_bad_day(&app).await;
    app.until("it fails", async || asha.get("/console/callbacks/badge").await.text.contains("fails")).await;
    let browser = Browser::signed_in(&app, Shape::Desk).await;

    // The account whose URL fails leads to its URLs, and those to all events.
    browser.open(&app.at("/console/accounts")).await;
    browser.click("tbody .pill.bad.above").await;
    browser.until("its URLs", "return document.querySelector('.tabs [aria-current]')?.innerText === 'URLs'").await;
    browser.click(".tabs a[href='/console/callbacks/events']").await;
    browser.until("all events", "return document.querySelectorAll('[data-row]').length === 50").await;
    browser.click("#state option[value='retrying']").await;
    browser.until("those that wait", "return document.querySelectorAll('[data-row]').length === 3").await;
    app.simulator.set_callback_rules(vec![]);
    browser.click("#results header .button").await;
    browser.until("they are counted", "return document.body.innerText.includes('Delivery reports')").await;
    browser.press("Try it now").await;
    browser.until("all are told", "return document.body.innerText.includes('All 3 are done with.')").await;
    browser.picture("callbacks-tried").await;

    browser.open(&app.at("/console/callbacks/events")).await;
    browser.click("#state option[value='dead']").await;
    browser.until("the dead", "return document.querySelectorAll('[data-row]').length === 12").await;
    browser.click("#results header .button").await;
    browser.until("they are counted", "return document.body.innerText.includes('12 dead events')").await;
    browser.press("Tell them again").await;
    browser.until("all are told", "return document.body.innerText.includes('Told 12 of 12 dead events again.')").await;

    for message in &messages {
        assert_eq!(app.told(message), ["sent", "delivered", "read"]);
    }
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
    let story =
        format!("/console/messages/msg_{}", asha.get(&event).await.between("href=\"/console/messages/msg_", "\""));
    let wamid = asha.get(&story).await.between("WhatsApp’s id</dt><dd class=\"mono\">", "<");
    app.simulator.inbound_text(&person(0), NUMBER_ID, "where is it?", Some(&wamid)).expect("the number exists");
    app.until("the reply is there", async || asha.get(&story).await.text.contains("where is it?")).await;
    for shape in [Shape::Desk, Shape::Dark, Shape::Phone] {
        let browser = Browser::signed_in(&app, shape).await;
        for (name, path) in [
            ("callbacks", "/console/callbacks"),
            ("callbacks-url", &format!("/console/callbacks/{url}")),
            ("callbacks-events", &format!("/console/callbacks/{url}/events")),
            ("callbacks-exchanges", &format!("/console/callbacks/{url}/exchanges")),
            ("callbacks-all-events", "/console/callbacks/events"),
            ("callbacks-all-exchanges", "/console/callbacks/exchanges"),
            ("callbacks-again", "/console/callbacks/again?replay=dead"),
            ("callbacks-try", "/console/callbacks/try"),
            ("callbacks-accounts", "/console/accounts"),
            ("callbacks-account", "/console/accounts/acme"),
            ("callbacks-story", &story),
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
