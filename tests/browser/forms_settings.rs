//! The forms of webhooks, of telling again, and of one person's data, filled in wrong and right.

use wabridge::domain::callback::EventKind;

use super::{
    browser::{Browser, Shape},
    form::Form,
    harness::{Database, Message, Receiver, TestApp, person},
};

const CHANGED_WEBHOOK: Form<'_> = Form {
    page: "/console/webhooks/crm/edit",
    css: "form.chooses",
    right: &[
        ("description", "for the till"),
        ("events", "message.received"),
        ("filter.templates", "order_update"),
        ("timeout_seconds", "7"),
        ("per_second", "9"),
        ("retries.kind", "fixed"),
        ("fixed.times", "4"),
        ("in_order", "true"),
    ],
    wrong: &[
        ("url", "not a url", "Is not a URL"),
        ("events", "", "Tick at least one of these"),
        ("filter.numbers", "+15550000000", "No account has"),
        ("filter.json", "city", "write NAME = VALUE"),
        ("timeout_seconds", "soon", "whole number from 1"),
        ("fixed.times", "many", "whole number from 0"),
        ("per_second", "0", "whole number from 1"),
        ("alerts.emails", "ops@example.com", "alarms.smtp_url"),
        ("alerts.webhook", "nobody", "There is no webhook nobody"),
        ("signing_secret", "whsec_short", "Cannot be used"),
        ("header.name", "X Key", "is not a header"),
    ],
    secret: &["signing_secret"],
    says: "It is saved.",
    seen_at: "/console/webhooks/crm/edit",
    ..Form::PLAIN
};

const ROTATED: Form<'_> = Form {
    page: "/console/webhooks/crm",
    css: "form[action$='/rotate']",
    right: &[("hours", "2")],
    wrong: &[("hours", "two", "")],
    says: "There is a new secret.",
    ..Form::PLAIN
};

const TOLD_AGAIN: Form<'_> = Form {
    css: "form[action$='/replay']",
    right: &[("of", "all"), ("rate", "5")],
    wrong: &[("rate", "fast", "")],
    asks: true,
    says: "At most 5 a second",
    ..ROTATED
};

const FOUND: Form<'_> = Form {
    page: "/console/persons",
    css: "form[action='/console/persons']:has(#phone)",
    right: &[("phone", "+919876520001"), ("account", "acme")],
    wrong: &[("phone", "", "no whole telephone number"), ("phone", "12", "no whole telephone number")],
    asks: true,
    says: "What is stored about",
    ..ROTATED
};

const ERASED: Form<'_> = Form {
    css: "form[action='/console/persons/erase']",
    right: &[("suppress", "yes"), ("again", "+919876520009")],
    ..FOUND
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_changed_and_told_again_by_its_forms() {
    let app = TestApp::start(Database::sqlite().await).await;
    let asha = app.first_owner().await;
    let receiver = Receiver::start().await;
    let webhook = [
        ("name", "crm"),
        ("url", &*receiver.url),
        ("profile", "native"),
        ("format", "json"),
        ("events", "message.sent"),
    ];
    assert_eq!(asha.post("/console/new-webhook", &webhook).await.status, 200);
    app.accept(&Message::order_update(&person(1))).await;
    app.settled().await;
    app.until("it is told", async || !receiver.requests().is_empty()).await;
    let browser = Browser::signed_in(&app, Shape::Desk).await;

    for form in [ROTATED, TOLD_AGAIN] {
        browser.goes_through(&app, &form).await;
    }
    let subscriptions = app.subscriptions().await;
    let reports = subscriptions.iter().find(|one| one.kind == EventKind::Status && one.webhook.is_none());
    let key = reports.expect("CleverTap is told").key.0;
    let page = format!("/console/callbacks/{key}");
    browser.goes_through(&app, &Form { page: &page, right: &[("of", "delivered"), ("rate", "5")], ..TOLD_AGAIN }).await;
    browser.open(&app.at(&page)).await;
    let times = [("since", "2026-11-22T10:00"), ("until", "2026-11-21T10:00")];
    let form = Form { page: &page, ..TOLD_AGAIN };
    browser.fill_in(&form, &times).await;
    browser.send(&form).await;
    browser.until_said("ends before it begins").await;
    browser.goes_through(&app, &CHANGED_WEBHOOK).await;

    browser.open(&app.at("/console/templates")).await;
    browser.press("Sync now").await;
    browser.until("the lists are read", "return document.querySelector('main .note.good') !== null").await;
    browser.close().await;
    app.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_person_is_found_saved_as_a_file_and_erased_by_the_forms() {
    let app = TestApp::start(Database::sqlite().await).await;
    app.first_owner().await;
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.settled().await;
    let browser = Browser::signed_in(&app, Shape::Desk).await;

    browser.goes_through(&app, &FOUND).await;
    let counted =
        "return document.querySelector('#found') !== null && document.querySelector('#found progress') === null";
    browser.until("all is counted", counted).await;
    let file = browser.client.execute_async(
        "const done = arguments[arguments.length - 1]; const form = document.querySelector(\"form[action$='/export']\"); \
         fetch(form.action, {method: 'POST', body: new URLSearchParams(new FormData(form))}).then(async (answer) => \
         done([answer.headers.get('content-disposition'), await answer.text()]))",
        vec![],
    );
    let file = file.await.expect("the file comes").to_string();
    assert!(file.contains("attachment") && file.contains(&person(1)) && file.contains("order_update"), "{file}");

    // The wrong number, typed once more: nothing is erased, and what was ticked stays.
    browser.fill_in(&ERASED, ERASED.right).await;
    browser.send(&ERASED).await;
    browser.until_said("the same number once more").await;
    let standing = "const field = document.querySelector('#again'); return [field.value, field.ariaInvalid, \
                    field.getAttribute('aria-describedby'), document.activeElement === field, document.querySelector('[name=\"suppress\"]').checked]";
    let expected = serde_json::json!(["", "true", "again-wrong", true, true]);
    assert_eq!(browser.ask(standing).await, expected);
    browser.look("person-again-wrong").await;
    app.stored(&message).await;
    browser.fill_in(&ERASED, &[("again", &person(1))]).await;
    browser.send(&ERASED).await;
    browser.until_said("What was erased").await;
    assert!(app.all_stored(&message).await.is_empty(), "it is gone");
    app.until("nothing is sent to the person any more", async || {
        !app.send(&Message::order_update(&person(1))).await.is_success()
    })
    .await;
    browser.close().await;
    app.leave().await;
}
