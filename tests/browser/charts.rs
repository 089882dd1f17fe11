//! Charts by pointer, finger and keys: what a bar stands for is told beside it, and stays while the page comes anew.

use std::time::Duration;

use fantoccini::actions::{InputSource as _, MOUSE_BUTTON_LEFT, MouseActions, PointerAction, TouchActions};
use serde_json::{Value, json};

use crate::{
    browser::{Browser, Shape},
    harness::{Database, Message, TestApp, person},
};

const TAB: &str = "\u{e004}";
const ESCAPE: &str = "\u{e00c}";
const LEFT: &str = "\u{e012}";
const RIGHT: &str = "\u{e014}";

/// What the box says, its period behind it; null when it is not there.
const TOLD: &str = "const box = document.querySelector('.tip'); \
                    return box && !box.hidden ? [...box.children].map((line) => line.textContent).join(' | ') : null";

/// The middle of the highest bar on the screen.
const HIGHEST: &str = "const chart = document.querySelector('[data-chart=\"Accepted\"]'); chart.scrollIntoView({block: 'center'}); \
                       const high = (bar) => Number(bar.lastElementChild.getAttribute('height')); \
                       const bar = [...chart.querySelectorAll('g')].sort((one, other) => high(other) - high(one))[0]; \
                       const { left, top, width, height } = bar.querySelector('.hit').getBoundingClientRect(); \
                       return [left + width / 2, top + height / 2]";

/// A bridge that has accepted five messages, and somebody who looks at its overview.
async fn before_the_overview(shape: Shape) -> (TestApp, Browser) {
    let app = TestApp::start(Database::sqlite().await).await;
    let asha = app.first_owner().await;
    app.accept_all(&(1..=5).map(|number| Message::order_update(&person(number))).collect::<Vec<_>>()).await;
    app.settled().await;
    app.until("they are counted", async || {
        asha.get("/console/overview").await.text.contains(">Accepted</a></th><td class=\"number\">5<")
    })
    .await;
    let browser = Browser::signed_in(&app, shape).await;
    browser.open(&app.at("/console/overview")).await;
    (app, browser)
}

async fn middle_of_the_highest(browser: &Browser) -> (f64, f64) {
    let middle = browser.ask(HIGHEST).await;
    (middle[0].as_f64().expect("a number"), middle[1].as_f64().expect("a number"))
}

async fn point_at(browser: &Browser, (x, y): (f64, f64)) {
    let to = PointerAction::MoveTo { duration: Some(Duration::ZERO), x, y };
    browser.client.perform_actions(MouseActions::new("mouse".to_owned()).then(to)).await.expect("a mouse is there");
}

/// The part comes anew, as it does by itself every ten seconds.
async fn come_anew(browser: &Browser) {
    // What says the same as before is left as it is.
    let again = "seen.clear(); const part = document.querySelector('#standing'); part.isOld = true; \
                 htmx.ajax('GET', part.getAttribute('hx-get'), {source: part, target: part, swap: 'outerHTML'})";
    browser.ask(again).await;
    let is_new = "const part = document.querySelector('#standing'); \
                  return part.isOld === undefined && !document.querySelector('.htmx-swapping, .htmx-settling')";
    browser.until("it is another", is_new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_points_at_a_bar_is_told_of_it_also_when_the_page_comes_anew() {
    let (app, browser) = before_the_overview(Shape::Desk).await;
    assert_eq!(browser.ask(TOLD).await, Value::Null);

    point_at(&browser, middle_of_the_highest(&browser).await).await;

    browser.until("the box is there", "return document.querySelector('.tip')?.hidden === false").await;
    let told = browser.ask(TOLD).await;
    let told = told.as_str().expect("a text");
    assert!(told.starts_with("5 in an hour | ") && told.ends_with(":00 UTC"), "{told}");
    browser.look("overview-told").await;
    let scrolled = browser.ask("return scrollY").await;
    assert_ne!(scrolled, json!(0), "the charts stand below the first screen");
    come_anew(&browser).await;
    assert_eq!(browser.ask(TOLD).await, told, "it is told on");
    assert_eq!(browser.ask("return scrollY").await, scrolled, "and nothing has moved");
    let titles = browser.ask("return document.querySelectorAll('[data-chart=\"Accepted\"] .here title').length").await;
    assert_eq!(titles, json!(0), "the browser's own title does not stand beside it");

    point_at(&browser, (2.0, 2.0)).await;
    browser.until("the box is gone", "return document.querySelector('.tip').hidden").await;
    browser.close().await;
    app.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arrow_keys_go_along_the_bars_and_a_chart_is_one_stop() {
    let (app, browser) = before_the_overview(Shape::Dark).await;
    browser.ask("document.querySelector('figure:has([data-chart=\"Accepted\"]) a').focus()").await;

    browser.keys(TAB).await;

    let here = "return document.activeElement.dataset.chart ?? document.activeElement.textContent";
    assert_eq!(browser.ask(here).await, "Accepted");
    let first = browser.ask(TOLD).await;
    assert!(first.as_str().is_some_and(|told| told.starts_with("5 in an hour | ")), "the last with something: {first}");
    browser.keys(LEFT).await;
    let before = browser.ask(TOLD).await;
    assert!(before.as_str().is_some_and(|told| told.starts_with("0 in an hour | ")), "nothing is told, too: {before}");
    let heard = browser.ask("return document.querySelector('.unseen[role=\"status\"]').textContent").await;
    assert!(heard.as_str().is_some_and(|heard| heard.starts_with("0 in an hour, ")), "{heard}");
    browser.keys(RIGHT).await;
    assert_eq!(browser.ask(TOLD).await, first);
    browser.look("overview-told-by-keys").await;

    come_anew(&browser).await;
    assert_eq!((browser.ask(here).await, browser.ask(TOLD).await), (json!("Accepted"), first), "where it was");
    browser.keys(ESCAPE).await;
    assert_eq!(browser.ask(TOLD).await, Value::Null);
    browser.keys(TAB).await;
    assert_eq!(browser.ask(here).await, "Delivered", "the next is the link of the next chart");
    browser.close().await;
    app.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finger_on_a_bar_is_told_of_it() {
    let (app, browser) = before_the_overview(Shape::Phone).await;
    let (x, y) = middle_of_the_highest(&browser).await;

    let touch = TouchActions::new("finger".to_owned())
        .then(PointerAction::MoveTo { duration: Some(Duration::ZERO), x, y })
        .then(PointerAction::Down { button: MOUSE_BUTTON_LEFT })
        .then(PointerAction::Up { button: MOUSE_BUTTON_LEFT });
    browser.client.perform_actions(touch).await.expect("a finger is there");

    browser.until("the box is there", "return document.querySelector('.tip')?.hidden === false").await;
    let told = browser.ask(TOLD).await;
    assert!(told.as_str().is_some_and(|told| told.starts_with("5 in an hour | ")), "{told}");
    browser.look("overview-touched").await;
    let within = "const { left, right } = document.querySelector('.tip').getBoundingClientRect(); \
                  return left >= 0 && right <= innerWidth";
    assert_eq!(browser.ask(within).await, json!(true));
    browser.close().await;
    app.leave().await;
}
