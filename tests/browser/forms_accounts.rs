//! The forms of accounts, filled in wrong and right.

use super::{
    browser::{Browser, Shape},
    form::Form,
    harness::{Database, Message, TestApp, person},
};

const NEW_ACCOUNT: Form<'_> = Form {
    page: "/console/new-account",
    css: "form[action='/console/accounts']",
    right: &[
        ("id", "globex"),
        ("name", "Globex Retail"),
        ("clevertap_account_id", "TEST-ACC-9"),
        ("clevertap_passcode", "globex-passcode"),
        ("default_country", "IN"),
        ("time_zone", "Asia/Kolkata"),
    ],
    wrong: &[
        ("id", "Glo bex", "Must be 1 to"),
        ("id", "acme", "Is taken"),
        ("clevertap_account_id", "", "Is missing: it goes with the passcode"),
        ("default_country", "India", "a country's two letters"),
        ("time_zone", "Moon", "Asia/Kolkata"),
    ],
    secret: &["clevertap_passcode"],
    says: "The account is there.",
    seen_at: "/console/accounts/globex/settings",
    ..Form::PLAIN
};

const CALLBACK_URLS: Form<'_> = Form {
    page: "/console/accounts/acme",
    css: "form[action$='/callback-urls']",
    right: &[
        ("delivery_report_callback_url", "https://hooks.example.com/reports-4711"),
        ("inbound_message_callback_url", "https://hooks.example.com/inbound-4711"),
    ],
    wrong: &[
        ("delivery_report_callback_url", "not a url", "Is not a URL"),
        ("inbound_message_callback_url", "ftp://hooks.example.com/in", "Must begin with https://"),
    ],
    secret: &["delivery_report_callback_url", "inbound_message_callback_url"],
    says: "It is saved",
    seen_at: "/console/accounts/acme",
    ..Form::PLAIN
};

const PASSCODE: Form<'_> = Form {
    page: "/console/accounts/acme",
    css: "form[action$='/passcode']",
    right: &[("passcode", "another-passcode"), ("keep_old", "0")],
    wrong: &[("passcode", "acme-passcode", "the passcode that it has")],
    secret: &["passcode"],
    says: "The passcode is changed",
    ..Form::PLAIN
};

const SETTINGS: Form<'_> = Form {
    page: "/console/accounts/acme/settings",
    css: "form[action$='/settings']",
    right: &[
        ("name", "Acme & Daughters"),
        ("time_zone", "Asia/Kolkata"),
        ("basic_username", "clevertap"),
        ("basic_password", "a-basic-password"),
        ("url_token", "0123456789abcdefghij"),
        ("allowed_addresses", "127.0.0.0/8"),
        ("messages_per_second", "40"),
        ("expire_after.marketing", "4h"),
        ("quiet_hours.from", "23:58"),
        ("quiet_hours.to", "23:59"),
        ("quiet_hours.categories", "utility"),
        ("unknown_outcome", "resend"),
        ("template_aliases", "order_update_old = order_update"),
        ("inbound_file_type", "file"),
    ],
    wrong: &[
        ("default_country", "India", "a country's two letters"),
        ("time_zone", "Moon", "Asia/Kolkata"),
        ("url_token", "short", "Must be 16 to 128 characters"),
        ("headers", "no colon", "Is not the name of an HTTP header"),
        ("allowed_addresses", "nowhere", "Must be addresses or networks"),
        ("messages_per_second", "many", "whole number"),
        ("expire_after.marketing", "soon", "Must be a time like"),
        ("quiet_hours.from", "25:00", "21:00"),
        ("dummy_numbers", "12", "Must begin with +"),
        ("template_aliases", "order_update = nothing_like_it", "there is no such template"),
    ],
    secret: &["basic_password", "url_token", "headers"],
    says: "It is saved",
    seen_at: "/console/accounts/acme/settings",
    ..Form::PLAIN
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_are_added_changed_and_removed_by_their_forms() {
    let app = TestApp::start(Database::sqlite().await).await;
    app.first_owner().await;
    let browser = Browser::signed_in(&app, Shape::Desk).await;

    for form in [NEW_ACCOUNT, CALLBACK_URLS, PASSCODE] {
        browser.goes_through(&app, &form).await;
    }
    let main = browser.text("main").await;
    assert!(main.contains("https://hooks.example.com/…") && !main.contains("4711"), "{main}");
    app.until("the old passcode is none any more", async || {
        !app.send(&Message::order_update(&person(1))).await.is_success()
    })
    .await;
    browser.goes_through(&app, &SETTINGS).await;

    browser.open(&app.at("/console/accounts/globex/settings")).await;
    browser.follow("Remove…").await;
    browser.until_path("/console/accounts/globex/remove").await;
    browser.look("account-remove").await;
    browser.press("Remove globex").await;
    browser.until_said("It is removed.").await;
    browser.open(&app.at("/console/accounts/globex")).await;
    browser.until_said("It is not here").await;
    browser.close().await;
    app.leave().await;
}
