//! The forms of connections, each provider's, and of numbers, filled in wrong and right.

use wabridge::providers;

use super::{
    browser::{Browser, Shape},
    form::Form,
    harness::{Database, TestApp},
};

const NEW: Form<'_> = Form {
    css: "form[action='/console/new-connection']",
    secret: &[
        "access_token",
        "app_secret",
        "verify_token",
        "api_key",
        "api_secret",
        "webhook_secret",
        "url_token",
        "auth_secret",
        "headers",
        "webhook_password",
    ],
    says: "The connection is added.",
    ..Form::PLAIN
};

/// One of each provider. A word that is chosen here is left to the bridge, which shows it once.
const EACH: [Form<'_>; 7] = [
    Form {
        page: "/console/new-connection?provider=meta",
        right: &[
            ("id", "meta-second"),
            ("access_token", "token-of-meta"),
            ("app_secret", "secret-of-meta"),
            ("base_url", "https://graph.example.com"),
            ("api_version", "v25.0"),
            ("messaging_limit", "connection"),
        ],
        wrong: &[
            ("id", "Meta Second", "Must be 1 to"),
            ("id", "meta-main", "Is taken"),
            ("access_token", "", "Is missing"),
            ("app_secret", "", "Is missing"),
            ("base_url", "not a url", "Is not a URL"),
            ("api_version", "newest", "like v26.0"),
        ],
        seen_at: "/console/connections/meta-second/edit",
        ..NEW
    },
    Form {
        page: "/console/new-connection?provider=360dialog",
        right: &[("id", "dialog"), ("api_key", "key-of-dialog"), ("base_url", "https://waba.example.com")],
        wrong: &[
            ("id", "", "Is missing"),
            ("api_key", "", "Is missing"),
            ("webhook_secret", "has a space", "letters, digits"),
            ("base_url", "ftp://waba.example.com", "Must begin with https://"),
        ],
        seen_at: "/console/connections/dialog/edit",
        ..NEW
    },
    Form {
        page: "/console/new-connection?provider=cloud-api",
        right: &[
            ("id", "cloud"),
            ("base_url", "https://carrier.example.com/meta"),
            ("api_key", "key-of-cloud"),
            ("webhook_secret", "secret-of-cloud"),
            ("path_style", "messages"),
            ("api_version", "v24.0"),
            ("auth_header", "X-API-Key"),
            ("webhook_auth", "header"),
        ],
        wrong: &[
            ("base_url", "", "Is missing"),
            ("api_key", "", "Is missing"),
            ("webhook_secret", "", "Is missing"),
            ("api_version", "24", "like v26.0"),
            ("auth_header", "X API Key", "the name of a header"),
            ("auth_prefix", "two words", "Must be one word"),
            ("webhook_header", "a:b", "the name of a header"),
        ],
        says: "It is saved",
        seen_at: "/console/connections/cloud/edit",
        ..NEW
    },
    Form {
        page: "/console/new-connection?provider=gallabox",
        right: &[
            ("id", "galla"),
            ("api_key", "key-of-gallabox"),
            ("api_secret", "secret-of-gallabox"),
            ("webhook_secret", "webhooks-of-gallabox"),
            ("first_button", "1"),
            ("poll_every_s", "30"),
        ],
        wrong: &[
            ("api_key", "", "Is missing"),
            ("api_secret", "", "Is missing"),
            ("poll_every_s", "2", "Must be 0, or 5 to"),
            ("base_url", "not a url", "Is not a URL"),
        ],
        says: "It is saved",
        seen_at: "/console/connections/galla/edit",
        ..NEW
    },
    Form {
        page: "/console/new-connection?provider=commbox",
        right: &[
            ("id", "box"),
            ("api_key", "key-of-commbox"),
            ("stream_id", "AbC123%3d%3d"),
            ("webhook_auth", "bearer"),
            ("freeform", "conversation"),
        ],
        wrong: &[
            ("api_key", "", "Is missing"),
            ("stream_id", "", "Is missing"),
            ("webhook_secret", "has a space", "letters, digits"),
            ("templates_path", "templates", "{stream} in it"),
            ("freeform_path", "/texts", "{object} in it"),
        ],
        seen_at: "/console/connections/box/edit",
        ..NEW
    },
    Form {
        page: "/console/new-connection?provider=gotallo",
        right: &[
            ("id", "tallo"),
            ("status_by", "ext_identifier"),
            ("webhook_addresses", "203.0.113.0/24"),
            ("webhook_username", "social"),
            ("webhook_password", "password-of-tallo"),
        ],
        wrong: &[
            ("url_token", "short", "that nobody can guess"),
            ("webhook_addresses", "nowhere", "is not a network"),
            ("webhook_password", "", "Is missing: webhook_username asks for it"),
            ("base_url", "not a url", "Is not a URL"),
        ],
        seen_at: "/console/connections/tallo/edit",
        ..NEW
    },
    Form {
        page: "/console/new-connection?provider=http",
        right: &[
            ("id", "own"),
            ("base_url", "https://carrier.example.com"),
            ("send_path", "/v1/{{number_id}}/messages"),
            ("send_method", "put"),
            ("auth", "header"),
            ("auth_name", "X-Api-Key"),
            ("auth_secret", "key-of-the-carrier"),
            ("headers", "X-Tenant: tenant-4711"),
            ("body_template", "{\"to\": \"{{to_digits}}\", \"template\": \"{{template.name}}\"}"),
            ("templates", "passthrough"),
            ("template_category", "utility"),
        ],
        wrong: &[
            ("url_token", "short", "that nobody can guess"),
            ("base_url", "", "Is missing: the bodies have nowhere to go"),
            ("send_path", "v1", "Must begin with a slash"),
            ("auth_name", "", "Is missing: give the user name"),
            ("auth_secret", "", "Is missing: give the password"),
            ("headers", "Host: elsewhere", "Must not be host"),
            ("body_template", "{\"to\": {{to}}}", "Is not JSON"),
            ("success_status", "maybe", "Must be HTTP statuses"),
            ("answer", "error.code /code", "Has no line id"),
            ("templates", "", "Is missing: list the templates"),
            ("status_words", "gone lost", "is no status"),
            ("webhook_signature_header", "X Signature", "Is not the name of an HTTP header"),
        ],
        seen_at: "/console/connections/own/edit",
        ..NEW
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_provider_is_connected_by_its_form() {
    let app = TestApp::start(Database::sqlite().await).await;
    app.first_owner().await;
    let browser = Browser::signed_in(&app, Shape::Desk).await;

    for (provider, form) in providers::ALL.iter().zip(EACH) {
        assert!(form.page.ends_with(&format!("={}", provider.slug())), "{} has no form here", provider.slug());
        browser.goes_through(&app, &form).await;
    }
    assert_eq!(providers::ALL.len(), EACH.len());

    // A word that the bridge makes is shown once, and then another.
    browser.open(&app.at("/console/connections/dialog")).await;
    browser.press("Make another").await;
    browser.until_said("There is another").await;
    let word = browser.text("#secret").await;
    browser.open(&app.at("/console/connections/dialog")).await;
    let html = browser.client.source().await.expect("a page");
    assert!(word.len() > 20 && !html.contains(&word), "{html}");
    browser.follow("Remove…").await;
    browser.until_path("/console/connections/dialog/remove").await;
    browser.press("Remove dialog").await;
    browser.until_said("It is removed.").await;
    browser.close().await;
    app.leave().await;
}

const NEW_NUMBER: Form<'_> = Form {
    page: "/console/new-number",
    css: "form[action='/console/new-number']",
    right: &[
        ("number", "+918880110055"),
        ("account", "acme"),
        ("connection", "meta-main"),
        ("phone_number_id", "100000000000005"),
        ("waba_id", "200000000000001"),
        ("messages_per_second", "20"),
        ("location_name", "The shop in Andheri"),
        ("delivery_report_callback_url", "https://hooks.example.com/number-4711"),
    ],
    wrong: &[
        ("number", "the shop", "Must begin with +"),
        ("number", "+918880110022", "Is taken"),
        ("phone_number_id", "abc", "digits only"),
        ("waba_id", "", "Is missing"),
        ("messages_per_second", "many", "whole number"),
        ("inbound_message_callback_url", "not a url", "Is not a URL"),
    ],
    secret: &["delivery_report_callback_url", "inbound_message_callback_url"],
    says: "It is saved",
    seen_at: "/console/numbers/918880110055",
    ..Form::PLAIN
};

const CHANGED_NUMBER: Form<'_> = Form {
    page: "/console/numbers/918880110022/edit",
    css: "form[action$='/edit']",
    right: &[("messages_per_second", "500"), ("location_address", "1 Link Road")],
    wrong: &[("phone_number_id", "none", "digits only"), ("messages_per_second", "0", "whole number")],
    says: "It is saved",
    seen_at: "/console/numbers/918880110022/edit",
    ..NEW_NUMBER
};

const CHANGED_CONNECTION: Form<'_> = Form {
    page: "/console/connections/meta-main/edit",
    css: "form[action$='/edit']",
    right: &[("api_version", "v25.0")],
    wrong: &[("base_url", "not a url", "Is not a URL"), ("api_version", "newest", "like v26.0")],
    says: "It is saved",
    seen_at: "/console/connections/meta-main/edit",
    ..NEW
};

const HELD: Form<'_> = Form {
    css: "form[action$='/hold']",
    right: &[("reason", "the token is being changed")],
    wrong: &[("reason", "", ""), ("reason", "  ", "")],
    says: "It is on hold",
    ..Form::PLAIN
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_are_added_changed_held_and_released_by_their_forms() {
    let app = TestApp::start(Database::sqlite().await).await;
    app.first_owner().await;
    let browser = Browser::signed_in(&app, Shape::Desk).await;

    for page in ["/console/connections/meta-main", "/console/numbers/918880110022"] {
        browser.goes_through(&app, &Form { page, ..HELD }).await;
        assert!(browser.text("main").await.contains("the token is being changed"));
        browser.press("Release").await;
        browser.until_said("It is released").await;
    }
    for form in [NEW_NUMBER, CHANGED_NUMBER, CHANGED_CONNECTION] {
        browser.goes_through(&app, &form).await;
    }
    let stored = app.store.load_configuration().await.expect("readable");
    let connection = stored.connections.iter().find(|one| one.id == "meta-main").expect("it is there");
    assert_eq!(connection.secrets("access_token").len(), 1, "a secret that nobody entered stays");

    browser.open(&app.at("/console/numbers/918880110022")).await;
    for (phone, said) in [("12", "no telephone number"), ("+919876520001", "Nothing came from this phone")] {
        browser.fill("phone", phone).await;
        browser.press("Look").await;
        browser.until_said(said).await;
        assert_eq!(browser.ask("return document.querySelector('#phone').value").await, phone);
    }
    browser.open(&app.at("/console/numbers/918880110055")).await;
    browser.follow("Remove…").await;
    browser.press("Remove +918880110055").await;
    browser.until_said("It is removed.").await;
    browser.close().await;
    app.leave().await;
}
