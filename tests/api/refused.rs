//! Requests that were refused, in the console and in `/api/v1`: who asked, what was wrong, what was answered.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Database, Message, TestApp, on_each_database, person};

const API: &str = "/api/v1/refused-requests";

async fn what_was_refused_is_listed_with_our_answer(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let cara = app.another(&asha, "cara", "read-only").await;
    let whole = asha.make_token(&["messages:read", "personal:read"]).await;
    let masked = asha.make_token(&["messages:read"]).await;
    let get = async |query: &str, token: &str| app.call(Method::GET, &format!("{API}?{query}"), token, None).await;
    let empty = asha.get("/console/refused").await.text;
    assert!(empty.contains("Nothing was refused."), "{empty}");

    app.accept(&Message::order_update(&person(1))).await;
    let short = Message::template(&person(2), "order_update", "en").values(&["only one"]);
    assert_eq!(app.send(&short).await.code(), 2001);
    assert_eq!(app.send(&Message::order_update("+12")).await.code(), 2002);
    app.until("both are kept", async || {
        get("", &whole).await.body["requests"].as_array().is_some_and(|all| all.len() == 2)
    })
    .await;

    let of_template = get("kind=template&account=acme", &whole).await.body;
    let one = &of_template["requests"][0];
    assert_eq!((&one["account"], &one["kind"]), (&json!("acme"), &json!("template")), "{of_template:#}");
    assert_eq!((&one["recipient"], &one["platform_message_id"]), (&json!(person(2)), &json!(short.msg_id())));
    assert!(one["why"].as_str().is_some_and(|why| why.starts_with("body: ")), "{one:#}");
    let answer: Value = serde_json::from_str(one["answer"]["body"].as_str().expect("a text")).expect("JSON");
    assert_eq!((&one["answer"]["http_status"], &answer["error"]["code"]), (&json!(200), &json!(2001)));
    assert_eq!(answer["error"]["message"], one["why"], "it is what CleverTap was told");
    assert!(one["request"].as_str().is_some_and(|request| request.contains("only one")), "{one:#}");

    let hidden = get("kind=template", &masked).await.body;
    let hidden = &hidden["requests"][0];
    assert_eq!(hidden["request"], Value::Null);
    assert!(!hidden.to_string().contains(&person(2)[1..]), "{hidden:#}");
    assert_eq!(hidden["platform_message_id"], short.msg_id(), "ids are nobody's number");

    let first = get("limit=1", &whole).await.body;
    let second = get(&format!("limit=1&before={}", first["next"]), &whole).await.body;
    assert_eq!(first["requests"][0]["kind"], "phone_number", "the newest first");
    assert_eq!(second["requests"][0], *one, "and then the older one");
    assert_eq!(second["next"], Value::Null, "which is the last: {second:#}");
    assert_eq!(get("until=2020-01-01T00:00:00Z", &whole).await.body["requests"], json!([]));
    for (query, wanted, field) in [
        ("kind=colour", 422, "kind"),
        ("account=nosuch", 422, "account"),
        ("limit=abc", 400, "limit"),
        ("before=x", 400, "before"),
    ] {
        let wrong = get(query, &whole).await;
        assert_eq!((wrong.http_status, &wrong.body["field"]), (wanted, &json!(field)), "{wrong:?}");
    }

    let page = asha.get("/console/refused?account=acme&kind=template").await.text;
    assert!(page.contains(&person(2)[1..]) && page.contains("only one") && !page.contains("+12"), "{page}");
    let seen = cara.get("/console/refused").await.text;
    assert!(seen.contains("template or its values") && !seen.contains(&person(2)[1..]), "{seen}");
    assert!(seen.contains(short.msg_id()), "as it stands in the list of messages: {seen}");
    let overview = asha.get("/console/overview?account=acme").await.text;
    assert!(
        overview.contains("href=\"/console/refused?account=acme&#38;since="),
        "the figure leads to the list: {overview}"
    );
    let account = asha.get("/console/accounts/acme").await.text;
    assert!(account.contains("href=\"/console/refused?account=acme\""), "{account}");
    app.leave().await;
}

async fn who_looks_for_a_refused_request_finds_it_by_its_id_and_by_its_numbers(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let cara = app.another(&asha, "cara", "read-only").await;
    let whole = asha.make_token(&["messages:read", "personal:read"]).await;
    // There is nothing in it to send, and nobody said who asks.
    let strange = json!({"to": person(3), "wabaNumber": "+918880110022", "msgId": "7|1790000000|20261120|9|0"});
    app.post("/clevertap/acme/messages", &[], strange.to_string()).await;
    let short = Message::template(&person(2), "order_update", "en").values(&["only one"]);
    assert_eq!(app.send(&short).await.code(), 2001);
    let get = async |query: &str| app.call(Method::GET, &format!("{API}?{query}"), &whole, None).await.body;
    app.until("both are kept", async || get("").await["requests"].as_array().is_some_and(|all| all.len() == 2)).await;

    let one = get("kind=credentials").await["requests"][0].clone();
    assert_eq!((&one["number"], &one["recipient"]), (&json!("+918880110022"), &json!(person(3))), "{one:#}");
    let digits = &person(3)[1..];
    for query in ["q=7%7C1790000000%7C20261120%7C9%7C0", &format!("q=%2B{digits}"), &format!("q={}", &digits[6..])] {
        let found = get(query).await;
        assert_eq!(found["requests"], json!([one]), "{query}");
    }
    assert_eq!(get("q=7%7C1").await["requests"], json!([]), "an id is whole");

    let page = asha.get(&format!("/console/refused?q=%2B{digits}")).await.text;
    assert!(page.contains(digits) && !page.contains("only one"), "{page}");
    let masked = cara.get(&format!("/console/refused?q=%2B{digits}")).await.text;
    assert!(masked.contains("credentials") && masked.contains("+918880110022"), "{masked}");
    let tried = cara.get(&format!("/console/refused?q={}", &digits[6..])).await.text;
    assert!(tried.contains("no whole telephone number"), "by trying ends, a number could be found: {tried}");
    app.leave().await;
}

on_each_database![
    what_was_refused_is_listed_with_our_answer,
    who_looks_for_a_refused_request_finds_it_by_its_id_and_by_its_numbers,
];
