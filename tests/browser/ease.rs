//! What makes the console light to work with: a menu on the phone, keys, and parts that come again without disturbing who reads.

use serde_json::json;

use crate::{
    browser::{Browser, Shape},
    harness::{Database, Message, TestApp, person},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_phone_all_pages_are_in_a_menu() {
    let app = TestApp::start(Database::sqlite().await).await;
    app.first_owner().await;
    let browser = Browser::signed_in(&app, Shape::Phone).await;
    let is_seen = "return document.querySelector('.nav').checkVisibility()";
    assert_eq!(browser.ask(is_seen).await, json!(false), "the page comes first");

    browser.press("Menu").await;
    browser.until("the menu is open", is_seen).await;
    browser.look("menu").await;
    browser.click(".shut-menu").await;
    browser.until("it is shut", "return !document.querySelector('.nav').checkVisibility()").await;
    browser.press("Menu").await;
    browser.until("the menu is open", is_seen).await;
    browser.follow("Campaigns").await;

    browser.until_path("/console/campaigns").await;
    browser.close().await;
    app.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_opened_stays_open_while_the_story_goes_on() {
    let app = TestApp::start(Database::sqlite().await).await;
    let asha = app.first_owner().await;
    asha.post("/console/connections/meta-main/hold", &[("reason", "to look at a story")]).await;
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    let browser = Browser::signed_in(&app, Shape::Desk).await;
    browser.open(&app.at(&format!("/console/messages/{}", app.stored(&message).await.id))).await;
    browser.ask("document.querySelector('#story > .card:last-child summary').focus()").await;
    browser.keys(ENTER).await;
    let stays = "const here = document.activeElement; return here.innerText.includes('CleverTap’s request') && here.parentElement.open";
    browser.until("it is open", stays).await;

    asha.post("/console/connections/meta-main/release", &[]).await;
    let read =
        "return [...document.querySelectorAll('.timeline .what')].some((line) => line.innerText.startsWith('read'))";
    browser.until("the person has read it", read).await;

    assert_eq!(browser.ask(stays).await, json!(true), "open, and with the focus: {}", browser.text("#story").await);
    browser.close().await;
    app.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_leads_from_every_page_to_the_search_for_messages() {
    let app = TestApp::start(Database::sqlite().await).await;
    app.first_owner().await;
    let browser = Browser::signed_in(&app, Shape::Desk).await;
    browser.open(&app.at("/console/system")).await;

    browser.keys("/").await;

    browser.until_path("/console/messages").await;
    browser.until("it can be typed into", "return document.activeElement.matches('[data-search]')").await;
    browser.close().await;
    app.leave().await;
}

const ENTER: &str = "\u{e007}";
