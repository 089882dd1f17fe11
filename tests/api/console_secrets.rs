//! What is typed into forms and shown by pages once: passwords, tokens, links and other secrets.

use crate::harness::{Database, PASSWORD, TestApp, on_each_database};

const AGAIN: &str = "Enter it again: secrets are not shown back.";

async fn what_is_guessed_first_is_no_password(database: Database) {
    let app = TestApp::start(database).await;
    let told: serde_json::Value =
        serde_json::from_str(&app.command(&["user", "link", "--json"]).await).expect("it is JSON");
    let path = TestApp::path_of(told["link"].as_str().expect("a link"));
    let visitor = app.visitor();

    for weak in ["123456789012", "aaaaaaaaaaaa", "qwertyuiop12", "asha.asha.asha", "Clevertap2026"] {
        let refused = visitor.post_plain(&path, &[("name", "asha"), ("password", weak)]).await;
        assert_eq!(refused.status, 422, "{weak}: {refused:?}");
        assert!(
            refused.text.contains("guessed") || refused.text.contains("first that somebody"),
            "{weak}: {refused:?}"
        );
    }
    let set = visitor.post_plain(&path, &[("name", "asha"), ("password", PASSWORD)]).await;
    assert_eq!(set.status, 303, "{set:?}");

    let fields = [("current", PASSWORD), ("new", "123456789012")];
    let refused = visitor.post("/console/account/password", &fields).await;
    assert!(refused.status == 422 && refused.text.contains("would soon be guessed"), "{refused:?}");
    assert_eq!(refused.text.matches("Enter it again").count(), 2, "both are lost: {refused:?}");
    app.leave().await;
}

async fn a_new_secret_is_shown_once_and_loading_again_makes_no_other(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let csrf = asha.get("/console/account").await.between("name=\"csrf\" value=\"", "\"");
    let fields = [("name", "hourly job"), ("days", "7"), ("scope", "messages:read"), ("csrf", &csrf)];

    let made = asha.post_alone("/console/tokens", &fields).await;
    assert_eq!((made.status, made.header("location")), (303, "/console/shown?then=%2Fconsole%2Ftokens"), "{made:?}");
    let ben = app.visitor();
    ben.sign_in("asha", PASSWORD).await;
    let elsewhere = ben.get("/console/shown?then=%2Fconsole%2Ftokens").await;
    assert_eq!(elsewhere.status, 303, "another session has nothing to see: {elsewhere:?}");
    let shown = asha.get(made.header("location")).await;
    let secret = shown.between("<code id=\"secret\">", "</code>");
    assert!(secret.starts_with("wab_") && shown.header("cache-control") == "no-store", "{shown:?}");

    let again = asha.get(made.header("location")).await;
    assert_eq!((again.status, again.header("location")), (303, "/console/tokens?done=shown"), "{again:?}");
    let list = asha.get(again.header("location")).await.text;
    assert!(list.contains("shown once") && !list.contains(&secret), "{list}");
    assert_eq!(list.matches("hourly job").count(), 1, "there is one token: {list}");
    let away = asha.get("/console/shown?then=https%3A%2F%2Fevil.example").await;
    assert_eq!(away.header("location"), "/console/overview?done=shown", "nobody is led elsewhere");
    app.leave().await;
}

async fn the_only_owner_stays_one_and_the_page_says_why(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    app.another(&asha, "ben", "operator").await;

    for (what, fields) in [("role", &[("role", "operator")][..]), ("disable", &[])] {
        let refused = asha.post(&format!("/console/users/asha/{what}"), fields).await;
        assert_eq!(refused.status, 409, "{what}: {refused:?}");
        let row = refused.text.split("<tr>").find(|row| row.contains("/users/asha/")).expect("her row");
        assert!(row.contains("only owner") && row.contains("make somebody else an owner first"), "{row}");
        let others = refused.text.split("<tr>").find(|row| row.contains("/users/ben/")).expect("his row");
        assert!(!others.contains("only owner") && refused.text.contains("Add a user"), "{refused:?}");
    }
    asha.post("/console/users/ben/disable", &[]).await;
    let refused = asha.post("/console/users/ben/reset", &[]).await;
    assert!(refused.status == 409 && refused.text.contains("enable them first"), "{refused:?}");
    assert_eq!(asha.get("/console/users").await.status, 200, "she is in");
    app.leave().await;
}

async fn a_secret_that_was_typed_in_vain_is_asked_for_at_its_field(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let field = |page: &str, name: &str| {
        let after = page.split(&format!("name=\"{name}\"")).nth(1).unwrap_or_else(|| panic!("no {name} in {page}"));
        after.split("class=\"field\"").next().unwrap_or_default().to_owned()
    };

    let fields = [("id", "Meta Two"), ("provider", "meta"), ("access_token", "EAAG-secret"), ("app_secret", "")];
    let connection = asha.post("/console/new-connection", &fields).await.text;
    assert!(field(&connection, "access_token").contains(AGAIN), "{connection}");
    assert!(!field(&connection, "app_secret").contains(AGAIN), "nothing was typed there: {connection}");

    let fields = [("id", "acme"), ("clevertap_account_id", "A"), ("clevertap_passcode", "hush-hush")];
    let account = asha.post("/console/accounts", &fields).await.text;
    assert!(field(&account, "clevertap_passcode").contains(AGAIN), "{account}");

    let fields = [("passcode", "hush-hush"), ("keep_old", "99999999")];
    let passcode = asha.post("/console/accounts/acme/passcode", &fields).await.text;
    assert!(field(&passcode, "passcode").contains(AGAIN), "{passcode}");

    let fields = [
        ("name", "crm"),
        ("url", "no URL"),
        ("header.name", "X-Api-Key"),
        ("header.value", "hush-hush"),
        ("client_certificate.private_key", "hush in PEM"),
    ];
    let webhook = asha.post("/console/new-webhook", &fields).await.text;
    for name in ["header.value", "client_certificate.private_key"] {
        assert!(field(&webhook, name).contains(AGAIN), "{name}: {webhook}");
    }
    for page in [connection, account, passcode, webhook] {
        assert!(!page.contains("hush") && !page.contains("EAAG-secret"), "no secret comes back: {page}");
    }
    let untouched = asha.get("/console/new-connection").await.text;
    assert!(!untouched.contains(AGAIN), "{untouched}");
    app.leave().await;
}

on_each_database!(
    what_is_guessed_first_is_no_password,
    a_new_secret_is_shown_once_and_loading_again_makes_no_other,
    the_only_owner_stays_one_and_the_page_says_why,
    a_secret_that_was_typed_in_vain_is_asked_for_at_its_field,
);
