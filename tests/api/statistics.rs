//! Figures by the hour: the overview's, and the API's.

use reqwest::Method;
use serde_json::json;
use wabridge::simulator::{Effect, Refusal, Rule};

use crate::harness::{Database, Message, NUMBER_ID, TestApp, on_each_database, person, script};

const API: &str = "/api/v1/statistics";

async fn everything_that_happens_is_counted_once(database: Database) {
    let app = TestApp::start(database).await;
    for (number, effect) in [
        (4, Effect::Statuses(script("sent@0"))),
        (5, Effect::Refuse(Refusal::code(131030))),
        (6, Effect::Refuse(Refusal::code(131030))),
    ] {
        app.simulator.add_rule(Rule::recipient(&person(number), effect));
    }
    let messages: Vec<Message> = (1..=6).map(|number| Message::order_update(&person(number))).collect();
    app.accept_all(&messages).await;
    app.accept_all(&messages[..2]).await;
    assert!(!app.send(&Message::order_update("12")).await.is_success(), "no number is that short");
    app.settled().await;
    let first = app.simulator.sends(Some(&person(1))).remove(0);
    app.simulator.inbound_text(&person(1), NUMBER_ID, "thank you", first.wamid.as_deref()).expect("the number exists");
    app.simulator.inbound_text(&person(9), NUMBER_ID, "hello", None).expect("the number exists");
    app.until_counted("both are told", |stats| stats.clevertap.inbound.get("text") == Some(&2)).await;
    let asha = app.first_owner().await;
    let token = asha.make_token(&["messages:read"]).await;

    let told = async |app: &TestApp| app.call(Method::GET, API, &token, None).await.body;
    let complete = async || {
        let figures = told(&app).await;
        // A busy bridge asks to be asked again.
        let refused = figures["totals"]["refused"].as_u64().unwrap_or(0);
        figures["answers"]["all"] == 8 + refused
            && figures["totals"]
                == json!({
                    "accepted": 6, "refused": refused.max(1), "sent": 4, "delivered": 3, "read": 3, "failed": 2, "received": 2,
                    "replied": 1, "told": 14, "not_told": 0,
                })
    };
    app.until("everything is counted", complete).await;
    let figures = told(&app).await;
    assert_eq!(figures["failures"][0]["messages"], 2, "{figures:#}");
    assert_eq!((&figures["failures"][0]["code"], &figures["failures"][0]["account"]), (&json!(131030), &json!("acme")));

    app.accept(&Message::order_update(&person(7))).await;
    app.until("the next one is counted", async || told(&app).await["totals"]["read"] == 4).await;
    assert_eq!(told(&app).await["totals"]["failed"], 2);

    let page = asha.get("/console/overview?period=7d&account=acme").await;
    for wanted in ["How far messages came", "Answers to CleverTap", "131030", "People wrote"] {
        assert!(page.text.contains(wanted), "{wanted} is not in {}", page.text);
    }
    for (query, wanted) in [("?period=1y", 422), ("?account=nosuch", 422), ("?colour=red", 400), ("?period=30d", 200)] {
        let answer = app.call(Method::GET, &format!("{API}{query}"), &token, None).await;
        assert_eq!(answer.http_status, wanted, "{query}: {answer:?}");
    }
    app.leave().await;
}

on_each_database!(everything_that_happens_is_counted_once);
