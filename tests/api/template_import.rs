//! CleverTap's import of templates: who may, which of them, page by page.

use serde_json::{Value, json};

use crate::harness::{
    BUSINESS_NUMBER, CREDENTIALS, Database, Message, OTHER_ACCOUNT, TestApp, on_each_database, person,
};

const PATH: &str = "/clevertap/acme/templates";

fn text_template(name: &str, status: &str) -> Value {
    json!({
        "id": "700000000000900", "name": name, "language": "en", "status": status, "category": "UTILITY",
        "parameter_format": "POSITIONAL", "message_send_ttl_seconds": 3600,
        "components": [{"type": "BODY", "text": "Hi {{1}}, here we are.", "example": {"body_text": [["Asha"]]}}],
    })
}

/// What takes products: in a header, behind a button, on the cards of a carousel.
fn products() -> Vec<Value> {
    let body = || json!({"type": "BODY", "text": "Have a look."});
    let buttons = |kind: &str| json!({"type": "BUTTONS", "buttons": [{"type": kind, "text": "View"}]});
    let header = || json!({"type": "HEADER", "format": "PRODUCT"});
    let card = || json!({"components": [header(), buttons("SPM")]});
    let cards = json!({"type": "CAROUSEL", "cards": [card(), card()]});
    let of = |name: &str, components: Vec<Value>| {
        json!({
            "id": "700000000000901", "name": name, "language": "en", "status": "APPROVED", "category": "MARKETING",
            "components": components,
        })
    };
    vec![
        of("one_product", vec![header(), body(), buttons("SPM")]),
        of("many_products", vec![body(), buttons("MPM")]),
        of("order", vec![body(), buttons("ORDER_DETAILS")]),
        of("product_cards", vec![body(), cards]),
    ]
}

/// The templates of a page as `name (language)`.
fn names(page: &Value) -> Vec<String> {
    let entries = page["data"].as_array().expect("a page has data");
    entries.iter().map(|entry| format!("{} ({})", text(entry, "name"), text(entry, "language"))).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

async fn page(app: &TestApp, path: &str) -> Value {
    let (status, body) = app.get_with(path, &CREDENTIALS).await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).expect("a page is JSON")
}

/// Gives the business account other templates, and waits until the bridge has read them.
async fn with_templates(app: &TestApp, templates: Vec<Value>) {
    let count = templates.len();
    app.simulator.set_templates(templates).expect("templates of Meta's shape");
    app.command(&["sync"]).await;
    let known = async || {
        let snapshot = app.directory().snapshot();
        snapshot.senders().all(|sender| app.directory().templates(sender).len() == count)
    };
    app.until("the templates are known", known).await;
}

async fn an_import_gets_what_can_be_sent_as_meta_lists_it(database: Database) {
    let app = TestApp::start(database).await;
    let mut templates = app.simulator.templates();
    templates.push(text_template("gone", "REJECTED"));
    templates.extend(products());
    with_templates(&app, templates).await;

    let page = page(&app, PATH).await;

    let names = names(&page);
    assert!(names.contains(&"order_update (en)".to_owned()) && names.contains(&"order_update (hi)".to_owned()));
    assert!(
        names.contains(&"winback (en)".to_owned()),
        "a pause ends by itself, and an import deletes what is missing"
    );
    assert!(!names.contains(&"appointment (en_GB)".to_owned()), "names of variables mean nothing to CleverTap");
    assert!(!names.contains(&"gone (en)".to_owned()), "what was rejected cannot be sent");
    for product in products() {
        let name = text(&product, "name");
        assert!(!names.contains(&format!("{name} (en)")), "{name} is imported and cannot be sent");
        assert_eq!(app.send(&Message::template(&person(1), name, "en")).await.code(), 2001, "{name}");
    }
    let listed = app.simulator.templates();
    let of = |list: &[Value], name: &str| list.iter().find(|entry| entry["name"] == name).cloned().expect("listed");
    let ours = of(page["data"].as_array().expect("data"), "login_code");
    assert_eq!(ours, of(&listed, "login_code"), "every part, with its examples");
    assert_eq!(of(page["data"].as_array().expect("data"), "winback")["status"], "PAUSED");
    assert!(page["paging"].get("next").is_none() && page["paging"]["cursors"].get("after").is_none(), "{page}");
    app.finish().await;
}

async fn pages_follow_each_other_and_each_template_comes_once(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.settings.server.public_url = "https://wa.example/bridge/".to_owned();
        // Another business account, in which the simulator lists the same templates.
        options.more = r#"
            [[accounts.senders]]
            number = "+918880110033"
            connection = "meta-main"
            phone_number_id = "100000000000002"
            waba_id = "200000000000002"
        "#
        .to_owned();
    })
    .await;
    let name = |number: usize| format!("notice_{number:03}");
    with_templates(&app, (0..120).map(|number| text_template(&name(number), "APPROVED")).collect()).await;

    let first = page(&app, &format!("{PATH}?limit=1")).await;
    let after = text(&first["paging"]["cursors"], "after").to_owned();
    let expected = format!("https://wa.example/bridge{PATH}?limit=1&after={after}");
    assert_eq!(first["paging"]["next"], expected);
    // As in the samples: a quote behind a value, and a query behind a query.
    let second = page(&app, &format!("{PATH}?number=918880110033?limit=50%22&after={after}%22")).await;
    let after = text(&second["paging"]["cursors"], "after").to_owned();
    assert!(text(&second["paging"], "next").contains("number=918880110033"), "{second}");
    let third = page(&app, &format!("{PATH}?limit=2&after={after}")).await;
    assert_eq!(names(&third).len(), 2, "whoever asks for two gets two");
    let after = text(&third["paging"]["cursors"], "after").to_owned();
    let last = page(&app, &format!("{PATH}?limit=100000&after={after}")).await;

    assert!(last["paging"].get("next").is_none() && last["paging"]["cursors"].get("after").is_none(), "{last}");
    let all: Vec<String> = [first, second, third, last].iter().flat_map(names).collect();
    let expected: Vec<String> = (0..120).map(|number| format!("{} (en)", name(number))).collect();
    assert_eq!(all, expected);
    app.finish().await;
}

async fn an_import_is_given_to_whoever_may_send_and_to_nobody_else(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.account = "url_token = \"0123456789abcdef0123456789abcdef\"".to_owned();
    })
    .await;
    let secret_path = "/clevertap/acme/0123456789abcdef0123456789abcdef/templates";

    let (status, body) = app.get_with(secret_path, &[]).await;
    assert_eq!(status, 200, "{body}");
    for (path, headers) in [
        (PATH, &[][..]),
        (PATH, &[CREDENTIALS[0], ("X-CleverTap-Passcode", "another")]),
        ("/clevertap/acme/0123456789abcdef0123456789abcdee/templates", &[]),
        ("/clevertap/nobody/templates", &CREDENTIALS),
    ] {
        let (status, body) = app.get_with(path, headers).await;
        let body: Value = serde_json::from_str(&body).expect("a refusal is JSON");
        assert_eq!((status, &body["error"]["code"]), (401, &json!(2000)), "{path}: {body}");
        assert!(text(&body["error"], "message").contains("credentials"), "{body}");
    }
    app.finish().await;
}

async fn what_cannot_be_given_is_refused_with_words(database: Database) {
    let app = TestApp::start_with(database, |options| options.more = OTHER_ACCOUNT.to_owned()).await;

    for (path, says) in [
        (format!("{PATH}?after=QVFIbefore"), "begin again without it"),
        (format!("{PATH}?number=%2B918880110099"), "is not a number of this account"),
        ("/clevertap/globex/templates".to_owned(), "no business number yet"),
    ] {
        let (status, body) = app.get_with(&path, &CREDENTIALS).await;
        assert!(status == 400 && body.contains(says), "{path}: {status} {body}");
    }
    let filtered = page(&app, &format!("{PATH}?name=ORDER&language=hi&category=utility&status=approved")).await;
    assert_eq!(names(&filtered), ["order_update (hi)"]);
    let number = page(&app, &format!("{PATH}?number={}", BUSINESS_NUMBER.trim_start_matches('+'))).await;
    assert_eq!(names(&number), names(&page(&app, PATH).await));
    app.finish().await;
}

async fn a_list_that_was_never_read_is_no_empty_list(database: Database) {
    // To import nothing would delete everything at CleverTap.
    let app = TestApp::start_with(database, |options| {
        options.without_templates = true;
        options.simulator.knobs.access_token = "not-the-one-we-have".to_owned();
    })
    .await;

    let (status, body) = app.get_with(PATH, &CREDENTIALS).await;

    assert!(status == 503 && body.contains("have not been read"), "{status} {body}");
    app.finish().await;
}

async fn an_import_tells_a_pause_that_a_webhook_reported(database: Database) {
    let app = TestApp::start(database).await;
    let status = async || {
        let page = page(&app, &format!("{PATH}?name=welcome")).await;
        text(&page["data"][0], "status").to_owned()
    };
    assert_eq!(status().await, "APPROVED");

    app.simulator.set_template_status("welcome", "en", "PAUSED").expect("it is in the sample");

    app.until("the import says so", async || status().await == "PAUSED").await;
    assert_eq!(app.send(&Message::template(&person(1), "welcome", "en")).await.code(), 2001);
    app.finish().await;
}

on_each_database![
    an_import_gets_what_can_be_sent_as_meta_lists_it,
    pages_follow_each_other_and_each_template_comes_once,
    an_import_is_given_to_whoever_may_send_and_to_nobody_else,
    what_cannot_be_given_is_refused_with_words,
    a_list_that_was_never_read_is_no_empty_list,
    an_import_tells_a_pause_that_a_webhook_reported,
];
