//! The forms of people: signing in, links, passwords, users and tokens, filled in wrong and right.

use std::time::Duration;

use reqwest::Method;

use super::{
    browser::{Browser, Shape},
    form::Form,
    harness::{Database, PASSWORD, TestApp},
};

const OTHER_PASSWORD: &str = "nine loud coffee pots";

const SIGN_IN: Form<'_> = Form {
    page: "/console/sign-in",
    css: "form[action='/console/sign-in']",
    right: &[("name", "asha"), ("password", PASSWORD)],
    wrong: &[("name", "", ""), ("password", "", ""), ("password", "not this one", "are wrong")],
    secret: &["password"],
    says: "What needs attention",
    ..Form::PLAIN
};

const NEW_USER: Form<'_> = Form {
    page: "/console/users",
    css: "form[action='/console/users']",
    right: &[("name", "ben"), ("role", "read-only")],
    wrong: &[
        ("name", "", "Give a name"),
        ("name", "ben and jerry", "A name is letters"),
        ("name", "asha", "There is a user asha already"),
    ],
    says: "A link for ben.",
    ..Form::PLAIN
};

const LINK: Form<'_> = Form {
    css: "form",
    right: &[("password", PASSWORD)],
    wrong: &[
        ("password", "short", "12 characters or more"),
        ("password", "ben-ben-ben-ben", "the first that somebody would try"),
    ],
    secret: &["password"],
    says: "What needs attention",
    ..Form::PLAIN
};

const CHANGED_ROLE: Form<'_> = Form {
    page: "/console/users",
    css: "form[action='/console/users/ben/role']",
    right: &[("role", "operator")],
    says: "The role is changed.",
    seen_at: "/console/users",
    ..Form::PLAIN
};

const NEW_TOKEN: Form<'_> = Form {
    page: "/console/tokens",
    css: "form[action='/console/tokens']",
    right: &[("name", "nightly report"), ("days", "7"), ("scope", "messages:read")],
    wrong: &[("name", "", "Say what the token is for"), ("scope", "", "Choose at least one scope")],
    says: "The token.",
    ..Form::PLAIN
};

const CHANGED_PASSWORD: Form<'_> = Form {
    page: "/console/account",
    css: "form[action='/console/account/password']",
    right: &[("current", PASSWORD), ("new", OTHER_PASSWORD)],
    wrong: &[
        ("current", "", ""),
        ("current", "not my password", "This is not your password"),
        ("new", "short", "12 characters or more"),
        ("new", "asha-asha-asha", "the first that somebody would try"),
    ],
    secret: &["current", "new"],
    says: "Your password is changed",
    ..Form::PLAIN
};

async fn with_short_tokens() -> TestApp {
    let app = TestApp::start_with(Database::sqlite().await, |options| {
        options.settings.console.token_max = Duration::from_secs(60 * 24 * 60 * 60);
    })
    .await;
    app.first_owner().await;
    app
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_added_signs_in_and_is_shut_out() {
    let app = with_short_tokens().await;
    let (asha, ben) = (Browser::start(Shape::Desk).await, Browser::start(Shape::Phone).await);

    asha.goes_through(&app, &SIGN_IN).await;
    asha.goes_through(&app, &NEW_USER).await;
    let link = TestApp::path_of(&asha.text("#secret").await);
    ben.goes_through(&app, &Form { page: &link, ..LINK }).await;
    let nav = async || ben.ask("return document.querySelector('.nav').textContent").await.to_string();
    assert!(!nav().await.contains("Audit log"), "who only looks is not shown it");
    ben.open(&app.at(&link)).await;
    ben.until_said("link was used already").await;

    asha.goes_through(&app, &CHANGED_ROLE).await;
    ben.open(&app.at("/console/overview")).await;
    assert!(nav().await.contains("Audit log"), "the session has the new role");
    asha.fill_in(&Form { css: "form[action='/console/users/asha/role']", ..CHANGED_ROLE }, &[("role", "operator")])
        .await;
    asha.click("form[action='/console/users/asha/role'] button").await;
    asha.until_said("only owner who can sign in").await;
    asha.until_said("Add a user").await;

    for (action, said) in [
        ("disable", "They may not sign in any more."),
        ("enable", "They may sign in again."),
        ("sign-out", "They are signed out"),
    ] {
        asha.open(&app.at("/console/users")).await;
        asha.click(&format!("form[action='/console/users/ben/{action}'] button")).await;
        asha.until_said(said).await;
        ben.open(&app.at("/console/messages")).await;
        ben.until_path("/console/sign-in").await;
        ben.fill("name", "ben").await;
        ben.fill("password", PASSWORD).await;
        ben.press("Sign in").await;
        match action {
            "disable" => ben.until_said("or the name may not sign in").await,
            _ => ben.until_path("/console/messages").await,
        }
        if action == "enable" {
            ben.look("phone-signed-in").await;
        }
    }
    asha.open(&app.at("/console/users")).await;
    asha.click("form[action='/console/users/ben/reset'] button").await;
    asha.until_said("A link for ben.").await;
    ben.open(&app.at("/console/messages")).await;
    ben.until_path("/console/sign-in").await;
    asha.close().await;
    ben.close().await;
    app.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_made_and_taken_back_and_a_password_is_changed() {
    let app = with_short_tokens().await;
    let (browser, elsewhere) =
        (Browser::signed_in(&app, Shape::Desk).await, Browser::signed_in(&app, Shape::Desk).await);

    browser.goes_through(&app, &NEW_TOKEN).await;
    let token = browser.text("#secret").await;
    let asked = async || app.call(Method::GET, "/api/v1/messages", &token, None).await.http_status;
    assert_eq!(asked().await, 200);
    browser.open(&app.at("/console/tokens")).await;
    let html = browser.client.source().await.expect("a page");
    assert!(html.contains("nightly report") && !html.contains(&token), "{html}");
    browser.press("Take back").await;
    browser.until_said("The token opens nothing any more.").await;
    assert_eq!(asked().await, 401);

    browser.goes_through(&app, &CHANGED_PASSWORD).await;
    elsewhere.open(&app.at("/console/messages")).await;
    elsewhere.until_path("/console/sign-in").await;
    elsewhere
        .goes_through(
            &app,
            &Form {
                right: &[("name", "asha"), ("password", OTHER_PASSWORD)],
                wrong: &[("password", PASSWORD, "are wrong")],
                ..SIGN_IN
            },
        )
        .await;
    browser.open(&app.at("/console/account")).await;
    browser.press("Sign out everywhere").await;
    browser.until_path("/console/sign-in").await;
    elsewhere.open(&app.at("/console/messages")).await;
    elsewhere.until_path("/console/sign-in").await;
    browser.close().await;
    elsewhere.close().await;
    app.leave().await;
}
