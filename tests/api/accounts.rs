//! Accounts by form and by program: the same rules as the apply file, and what only somebody at a console does.

use reqwest::Method;
use serde_json::{Value, json};
use wabridge::domain::callback::EventKind;

use crate::harness::{
    ACCOUNT, BUSINESS_NUMBER, CREDENTIALS, Database, Message, OTHER_ACCOUNT, TestApp, on_each_database, person,
};

const SETTINGS: &str = "/console/accounts/acme/settings";
const CONNECT: &str = "/console/accounts/acme";

/// The fields of a form as a browser would send them back.
fn filled_in(page: &str) -> Vec<(String, String)> {
    let form = page.split_once("<form method=\"post\" action=\"/console/accounts").expect("a form").1;
    let form = form.split_once("</form>").expect("it ends").0;
    let attribute = |tag: &str, name: &str| {
        let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
        Some(tag[start..].split('"').next().expect("it ends").replace("&#38;", "&").replace("&#39;", "'"))
    };
    let mut fields = Vec::new();
    for tag in form.split('<').filter(|tag| tag.starts_with("input")) {
        let box_is_off = tag.contains("type=\"checkbox\"") && !tag.contains(" checked");
        let name = attribute(tag, "name").expect("a field has a name");
        if !box_is_off && name != "csrf" {
            fields.push((name, attribute(tag, "value").unwrap_or_default()));
        }
    }
    for select in form.split("<select").skip(1) {
        let select = select.split_once("</select>").expect("it ends").0;
        let chosen = select.split("<option").find(|option| option.contains(" selected"));
        let value = chosen.and_then(|option| attribute(option, "value")).expect("one is chosen");
        fields.push((attribute(select, "name").expect("a name"), value));
    }
    for area in form.split("<textarea").skip(1) {
        let text = area.split_once('>').expect("it ends").1.split_once("</textarea>").expect("it ends").0;
        fields.push((attribute(area, "name").expect("a name"), text.to_owned()));
    }
    fields
}

fn with<'a>(fields: &'a [(String, String)], changed: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let same = fields.iter().filter(|(name, _)| changed.iter().all(|(other, _)| other != name));
    same.map(|(name, value)| (name.as_str(), value.as_str())).chain(changed.iter().copied()).collect()
}

async fn a_form_shows_what_is_stored_and_changes_only_what_was_changed(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.account = r#"
        time_zone = "Asia/Kolkata"
        unknown_outcome = "resend"
        allowed_addresses = ["127.0.0.0/8", "203.0.113.7"]
        quiet_hours = { from = "02:00", to = "02:05", categories = ["marketing", "utility"] }
        expire_after = { marketing = "2h" }
        headers = { X-Key = "quite-secret" }
        "#
        .to_owned();
    })
    .await;
    let asha = app.first_owner().await;
    let version = async || app.store.versions().await.expect("readable").get("configuration").copied();
    let page = asha.get(SETTINGS).await;
    assert!(
        !page.text.contains("quite-secret") && !page.text.contains("acme-passcode"),
        "no secret is shown: {page:?}"
    );
    let fields = filled_in(&page.text);
    let before = version().await;

    let same = asha.post(SETTINGS, &with(&fields, &[])).await;
    assert_eq!(same.header("location"), format!("{SETTINGS}?done=saved"), "{same:?}");
    assert_eq!(version().await, before, "nothing was changed, so nothing is written");
    let wrong =
        [("time_zone", "Moon"), ("quiet_hours.from", "25:99"), ("expire_after.utility", "ten"), ("name", "Acme & Co")];
    let refused = asha.post(SETTINGS, &with(&fields, &wrong)).await;
    assert_eq!(refused.status, 422);
    for said in [
        "Must be an IANA time zone",
        "id=\"quiet_hours-from-wrong\"",
        "id=\"expire_after-utility-wrong\"",
        "Acme &#38; Co",
    ] {
        assert!(refused.text.contains(said), "{said} in {refused:?}");
    }
    assert_eq!(version().await, before);
    let saved =
        asha.post(SETTINGS, &with(&fields, &[("name", "Acme & Co"), ("allowed_addresses", "127.0.0.1, ::1")])).await;
    assert_eq!(saved.status, 303, "{saved:?}");
    let late = asha.post(SETTINGS, &with(&fields, &[("name", "Other")])).await;
    assert!(late.status == 409 && late.text.contains("by somebody else meanwhile"), "{late:?}");

    let stored = app.store.load_configuration().await.expect("readable");
    let account = stored.account(ACCOUNT).expect("stored");
    assert_eq!((account.name.as_str(), account.policy.time_zone.as_str()), ("Acme & Co", "Asia/Kolkata"));
    assert_eq!((account.policy.allowed_addresses.len(), account.credentials.headers.len()), (2, 1));
    let line = app.store.audit_lines(None, 1).await.expect("readable").remove(0);
    assert_eq!((line.action.as_str(), line.subject.as_str()), ("change account", "acme"));
    assert!(line.after.expect("told").contains("127.0.0.1/32"));
    app.until("it is in effect", async || {
        app.directory().snapshot().account(ACCOUNT).is_some_and(|one| one.name == "Acme & Co")
    })
    .await;
    app.accept(&Message::order_update(&person(1))).await;
    app.settled().await;
    app.leave().await;
}

async fn each_role_sees_accounts_and_only_some_change_them(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let (ben, cara) = (app.another(&asha, "ben", "operator").await, app.another(&asha, "cara", "read-only").await);

    for (visitor, may) in [(&asha, true), (&ben, true), (&cara, false)] {
        let list = visitor.get("/console/accounts").await.text;
        assert!(list.contains(BUSINESS_NUMBER) && list.contains("data-row href=\"/console/accounts/acme\""), "{list}");
        assert_eq!(list.contains("/console/new-account"), may);
        let connect = visitor.get(CONNECT).await.text;
        assert!(connect.contains("/clevertap/acme/messages") && connect.contains("X-CleverTap-Passcode"), "{connect}");
        assert!(!connect.contains("acme-passcode") && !connect.contains("delivery-reports/acme"), "{connect}");
        assert_eq!(connect.contains("Change passcode"), may);
        assert_eq!(visitor.get("/console/new-account").await.status, if may { 200 } else { 403 });
        assert!(visitor.get(SETTINGS).await.text.contains("<fieldset class=\"fields\" disabled>") != may);
    }
    let url = [("delivery_report_callback_url", "https://evil.example.com/"), ("version", "x")];
    for (path, fields) in [
        ("/console/accounts", &[("id", "new")][..]),
        (SETTINGS, &[("name", "x"), ("version", "x")]),
        ("/console/accounts/acme/callback-urls", &url),
        ("/console/accounts/acme/test-callback", &[("kind", "status")]),
        ("/console/accounts/acme/passcode", &[("keep_old", "0")]),
    ] {
        assert_eq!(cara.post(path, fields).await.status, 403, "{path}");
    }
    assert_eq!(asha.get("/console/accounts/nobody").await.status, 404);
    app.leave().await;
}

async fn a_new_account_works_with_the_passcode_that_was_made_for_it(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let taken = asha.post("/console/accounts", &[("id", ACCOUNT), ("clevertap_account_id", ""), ("name", "")]).await;
    assert_eq!(taken.status, 422);
    assert!(
        taken.text.contains("id=\"id-wrong\"") && taken.text.contains("Is missing: it goes with the passcode."),
        "{taken:?}"
    );

    let fields =
        [("id", "globex"), ("name", "Globex"), ("clevertap_account_id", "TEST-ACC-2"), ("default_country", "IN")];
    let added = asha.post("/console/accounts", &fields).await;

    assert_eq!(added.status, 200, "{added:?}");
    let passcode = added.between("<code id=\"secret\">", "</code>");
    assert!(added.text.contains("/clevertap/globex/messages") && passcode.len() >= 32, "{added:?}");
    assert!(!asha.get("/console/accounts/globex").await.text.contains(&passcode), "it is shown once");
    app.until("the account is known", async || app.directory().snapshot().account("globex").is_some()).await;
    let message = Message::order_update(&person(1));
    let credentials = [("X-CleverTap-Account-Id", "TEST-ACC-2"), ("X-CleverTap-Passcode", passcode.as_str())];
    let answer = app.post("/clevertap/globex/messages", &credentials, message.body.to_string()).await;
    assert_eq!(answer.code(), 2004, "who it is is known; it has no number yet: {answer:?}");
    let audit = asha.get("/console/audit").await.text;
    assert!(audit.contains("add account") && !audit.contains(&passcode));
    app.leave().await;
}

async fn an_old_passcode_opens_until_its_time_is_over(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let path = "/console/accounts/acme/passcode";
    let opens = async |passcode: &str| {
        let credentials = [CREDENTIALS[0], ("X-CleverTap-Passcode", passcode)];
        app.post("/clevertap/acme/messages", &credentials, Message::order_update(&person(1)).body.to_string())
            .await
            .is_success()
    };
    assert!(opens("acme-passcode").await);
    let same = asha.post(path, &[("passcode", "acme-passcode"), ("keep_old", "3600")]).await;
    assert!(same.status == 422 && same.text.contains("the passcode that it has"), "{same:?}");
    let long = asha.post(path, &[("passcode", "x"), ("keep_old", "99999999")]).await;
    assert!(long.status == 422 && long.text.contains("30d"), "{long:?}");

    let changed = asha.post(path, &[("passcode", ""), ("keep_old", "3600")]).await;

    let passcode = changed.between("<code id=\"secret\">", "</code>");
    assert!(changed.text.contains("the old one is taken until"), "{changed:?}");
    app.until("the new one opens", async || opens(&passcode).await).await;
    assert!(opens("acme-passcode").await && !opens("neither").await);
    let chosen = asha.post(path, &[("passcode", "chosen by a person"), ("keep_old", "0")]).await;
    assert_eq!(chosen.header("location"), "/console/accounts/acme?done=passcode");
    app.until("the chosen one opens", async || opens("chosen by a person").await).await;
    assert!(!opens("acme-passcode").await && !opens(&passcode).await, "the others ended at once");
    let audit = format!("{:?}", app.store.audit_lines(None, 10).await.expect("readable"));
    for secret in [passcode.as_str(), "acme-passcode", "chosen by"] {
        assert!(!audit.contains(secret), "{audit}");
    }
    app.leave().await;
}

async fn a_test_callback_shows_what_goes_out_and_what_comes_back(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let path = "/console/accounts/acme/test-callback";

    let report = asha.post(path, &[("kind", "status")]).await;
    assert!(report.text.contains("HTTP 200") && report.text.contains("wabridge-test"), "{report:?}");
    let inbound = asha.post(path, &[("kind", "inbound")]).await;
    assert!(inbound.text.contains("[test] wabridge tries this callback URL"), "{inbound:?}");
    assert_eq!(asha.post(path, &[("kind", "moon")]).await.status, 422);
    let line = app.store.audit_lines(None, 1).await.expect("readable").remove(0);
    assert_eq!((line.action.as_str(), line.subject.as_str()), ("test callback URL", "acme, inbound"));
    let url = app.subscriptions().await.into_iter().find(|one| one.kind == EventKind::Status).expect("it is there").key;
    let answers = asha.get(&format!("/console/callbacks/{url}/exchanges")).await.text;
    assert!(
        answers.contains(">a test<") && answers.contains(">HTTP 200<"),
        "it stands among the URL's answers: {answers}"
    );
    let token = asha.make_token(&["messages:read"]).await;
    let exchanges = format!("/api/v1/callback-urls/{url}/exchanges");
    let exchanges = app.call(Method::GET, &exchanges, &token, None).await.body;
    let (test, events) = (&exchanges["exchanges"][0]["test"], &exchanges["exchanges"][0]["events"]);
    assert_eq!((test, events), (&json!(true), &json!(0)), "{exchanges:#}");
    let standing = app.call(Method::GET, &format!("/api/v1/callback-urls/{url}"), &token, None).await.body;
    assert_eq!(standing["last_exchange"], Value::Null, "a test says nothing of how the URL stands: {standing:#}");

    let urls = "/console/accounts/acme/callback-urls";
    let version = asha.get(CONNECT).await.between("name=\"version\" value=\"", "\"");
    let plain = asha.post(urls, &[("delivery_report_callback_url", "nonsense"), ("version", &version)]).await;
    assert!(plain.status == 422 && plain.text.contains("Is not a URL"), "{plain:?}");
    let nobody = "http://127.0.0.1:1/nobody/secret-part";
    let saved = asha.post(urls, &[("delivery_report_callback_url", nobody), ("version", &version)]).await;
    assert_eq!(saved.status, 303, "{saved:?}");
    let refused = asha.post(path, &[("kind", "status")]).await;
    assert!(refused.text.contains("no answer") && !refused.text.contains("secret-part"), "{refused:?}");
    // The minute may turn meanwhile, and then they are counted anew.
    let mut statuses = Vec::new();
    for _ in 0..wabridge::services::accounts::TESTS_PER_MINUTE_MAX * 2 + 1 {
        statuses.push(asha.post(path, &[("kind", "inbound")]).await.status);
    }
    assert!(statuses.contains(&409), "the other side belongs to somebody else: {statuses:?}");
    // The simulator counts what it was told of a test as of nothing that it knows.
    app.leave().await;
}

async fn programs_add_and_change_accounts_by_the_same_rules(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let (reads, manages) =
        (asha.make_token(&["messages:read"]).await, asha.make_token(&["configuration:manage"]).await);
    let path = "/api/v1/accounts";
    let call =
        async |method: Method, path: &str, token: &str, body: Option<Value>| app.call(method, path, token, body).await;

    let list = call(Method::GET, path, &reads, None).await;
    let acme = &list.body["accounts"][0];
    assert_eq!(
        (acme["id"].as_str(), acme["settings"]["default_country"].as_str()),
        (Some("acme"), Some("IN")),
        "{list:?}"
    );
    assert_eq!(acme["secrets"]["clevertap_passcode"], "set");
    assert_eq!(acme["numbers"], json!([BUSINESS_NUMBER]));
    assert!(acme["endpoint"].as_str().expect("a URL").ends_with("/clevertap/acme/messages"));
    assert!(!list.body.to_string().contains("acme-passcode"));
    let one = call(Method::GET, "/api/v1/accounts/acme", &reads, None).await;
    assert_eq!(&one.body, acme);
    assert_eq!(call(Method::GET, "/api/v1/accounts/nobody", &reads, None).await.http_status, 404);

    let new = json!({"id": "globex", "platform": "clevertap", "clevertap_account_id": "TEST-ACC-2", "time_zone": "Moon", "x": 1});
    assert_eq!(call(Method::POST, path, &reads, Some(new.clone())).await.http_status, 403);
    let wrong = call(Method::POST, path, &manages, Some(new)).await;
    assert_eq!(wrong.http_status, 422, "{wrong:?}");
    let fields: Vec<&str> =
        wrong.body["problems"].as_array().expect("problems").iter().filter_map(|one| one["field"].as_str()).collect();
    assert_eq!(fields, ["time_zone", "x"]);
    let new = json!({"id": "globex", "platform": "clevertap", "clevertap_account_id": "TEST-ACC-2"});
    let added = call(Method::POST, path, &manages, Some(new)).await;
    assert_eq!(added.http_status, 201, "{added:?}");
    assert!(added.body["made_passcode"].as_str().is_some_and(|made| made.len() >= 32));

    let globex = "/api/v1/accounts/globex";
    let patch = json!({"quiet_hours": {"from": "21:00", "to": "09:00"}});
    let once = format!("{globex}?version={}", added.body["account"]["version"].as_str().expect("a version"));
    let changed = call(Method::PATCH, &once, &manages, Some(patch.clone())).await;
    assert_eq!(changed.body["settings"]["quiet_hours"]["categories"], json!(["marketing"]), "{changed:?}");
    let late = call(Method::PATCH, &once, &manages, Some(patch)).await;
    assert_eq!(late.http_status, 409, "{late:?}");
    let off = call(Method::PATCH, globex, &manages, Some(json!({"quiet_hours": null, "enabled": false}))).await;
    assert_eq!((&off.body["settings"]["quiet_hours"], &off.body["settings"]["enabled"]), (&Value::Null, &json!(false)));

    let rotated = json!({"keep_old": "1h"});
    let rotated = call(Method::POST, "/api/v1/accounts/acme/rotate-passcode", &manages, Some(rotated)).await;
    assert!(rotated.body["made_passcode"].is_string() && rotated.body["old_until"].is_string(), "{rotated:?}");
    let tested = json!({"kind": "status"});
    let tested = call(Method::POST, "/api/v1/accounts/acme/test-callback", &manages, Some(tested)).await;
    assert_eq!(tested.body["answer"]["http_status"], 200, "{tested:?}");
    let none =
        call(Method::POST, "/api/v1/accounts/globex/test-callback", &manages, Some(json!({"kind": "inbound"}))).await;
    assert_eq!(none.http_status, 409, "{none:?}");
    app.leave().await;
}

async fn without_a_number_the_page_says_what_a_test_callback_needs(database: Database) {
    let app = TestApp::start_with(database, |options| options.more = OTHER_ACCOUNT.to_owned()).await;
    let asha = app.first_owner().await;

    let refused = asha.post("/console/accounts/globex/test-callback", &[("kind", "status")]).await;

    assert_eq!(refused.status, 409, "{refused:?}");
    for said in [
        "No test was sent.",
        "<a href=\"/console/new-number?account=globex\">add a number first</a>",
        "href=\"/console/new-number?account=globex\"",
        "3. Try the callbacks",
    ] {
        assert!(refused.text.contains(said), "{said} is not in {refused:?}");
    }
    app.leave().await;
}

async fn a_message_for_a_template_that_was_replaced_goes_out_with_the_one_that_stands_for_it(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.account = "template_aliases = { Order_Gone = \"order_update\" }".to_owned();
    })
    .await;
    let asha = app.first_owner().await;
    let message = Message::template(&person(1), "order_gone", "en").values(&["Asha", "A-17"]);

    app.accept(&message).await;
    app.settled().await;

    let stored = app.stored(&message).await;
    assert_eq!(stored.template, Some(("order_update".to_owned(), "en".to_owned())));
    assert_eq!(app.simulator.sends(None)[0].body["template"]["name"], "order_update");
    let story = asha.get(&format!("/console/messages/{}", stored.id)).await.text;
    assert!(story.contains("asked for template order_gone, and order_update stands for it"), "{story}");
    app.leave().await;
}

on_each_database!(
    a_form_shows_what_is_stored_and_changes_only_what_was_changed,
    each_role_sees_accounts_and_only_some_change_them,
    a_new_account_works_with_the_passcode_that_was_made_for_it,
    an_old_passcode_opens_until_its_time_is_over,
    a_test_callback_shows_what_goes_out_and_what_comes_back,
    without_a_number_the_page_says_what_a_test_callback_needs,
    programs_add_and_change_accounts_by_the_same_rules,
    a_message_for_a_template_that_was_replaced_goes_out_with_the_one_that_stands_for_it,
);
