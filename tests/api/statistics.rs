//! Figures by the hour: the overview's, and the API's.

use std::time::Duration;

use regex::Regex;
use reqwest::Method;
use serde_json::json;
use wabridge::simulator::{CallbackRule, Effect, Refusal, Rule};

use crate::harness::{Database, Message, NUMBER_ID, TestApp, on_each_database, one_webhook_at_a_time, person, script};

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
                    "accepted": 6, "refused": refused.max(1), "sent": 4, "delivered": 3, "read": 3, "failed": 2, "received": 2, "cancelled": 0,
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

/// What stands in an address within a page.
fn unescaped(href: &str) -> String {
    href.replace("&#38;", "&").replace("&amp;", "&")
}

async fn the_list_behind_each_figure_has_what_it_counts(database: Database) {
    let app = TestApp::start_with(database, |options| {
        one_webhook_at_a_time(options);
        // Then is written down what numbers did.
        options.settings.alarms.look_every = Duration::from_millis(200);
    })
    .await;
    for (number, statuses) in [(1, "sent@0"), (2, "sent@0,delivered@0"), (3, "sent@0,failed:131026@300")] {
        app.simulator.add_rule(Rule::recipient(&person(number), Effect::Statuses(script(statuses))));
    }
    app.simulator.add_rule(Rule::recipient(&person(4), Effect::Refuse(Refusal::code(131030))));
    app.simulator.add_callback_rule(CallbackRule { next: Some(2), answer_status: 503, ..CallbackRule::default() });
    let messages: Vec<Message> = (1..=7).map(|number| Message::order_update(&person(number))).collect();
    app.accept_all(&messages).await;
    app.settled().await;
    let read = app.simulator.sends(Some(&person(7))).remove(0);
    app.simulator.inbound_text(&person(7), NUMBER_ID, "thank you", read.wamid.as_deref()).expect("the number exists");
    app.simulator.inbound_text(&person(9), NUMBER_ID, "hello", None).expect("the number exists");
    assert!(!app.send(&Message::order_update("12")).await.is_success(), "no number is that short");
    app.post("/clevertap/acme/messages", &[], "who says so?".to_owned()).await;
    let asha = app.first_owner().await;
    let link = Regex::new(
        r#"<a href="([^"]+)">([^<]+)</a>(?:</th><td class="number">|</dt><dd>| <strong>| <span class="quiet">acme</span></td><td class="number">)([0-9,]+)<"#,
    );
    let (link, queue) =
        (link.expect("a pattern"), Regex::new(r#"<a href="([^"]+)">([0-9]+)</a></td>"#).expect("a pattern"));
    let carried =
        Regex::new(r#"<td class="amount wide nowrap"><a [^>]+>([0-9]+) events?</a></td>"#).expect("a pattern");
    let figures = async || {
        let page = asha.get("/console/overview?account=acme").await.text;
        let mut found: Vec<(String, String, usize)> = link
            .captures_iter(&page)
            .map(|found| (found[2].to_owned(), unescaped(&found[1]), found[3].parse().expect("a small number")))
            .collect();
        found.extend(
            queue
                .captures_iter(&page)
                .map(|found| ("a queue".to_owned(), unescaped(&found[1]), found[2].parse().expect("a small number"))),
        );
        found
    };
    let wanted = [
        ("Accepted", 7),
        ("Sent", 6),
        ("Delivered", 4),
        ("Read", 3),
        ("Replied", 1),
        ("Failed", 2),
        ("People wrote", 2),
        ("Told to CleverTap", 17),
        ("Callback requests that failed", 2),
        ("Requests refused", 2),
    ];
    app.until("all is counted", async || {
        let figures = figures().await;
        // A busy bridge asks to be asked again, and counts that.
        let is =
            |name: &str, figure: usize, count: usize| figure == count || name == "Requests refused" && figure > count;
        wanted
            .iter()
            .all(|(name, count)| figures.iter().any(|(shown, _, figure)| shown == name && is(name, *figure, *count)))
            && figures.iter().any(|(_, href, figure)| href.contains("sent_since=") && *figure == 6)
    })
    .await;

    let figures = figures().await;

    assert!(figures.iter().filter(|(name, ..)| name == "a queue").count() == 5, "{figures:?}");
    for (name, href, count) in &figures {
        let list = asha.get(href).await;
        assert_eq!(list.status, 200, "{name}: {href}");
        let rows = match href.split('?').next().expect("a path") {
            "/console/messages" => list.text.matches("<a data-row href=\"/console/messages/msg_").count(),
            "/console/inbound" => list.text.matches("<p class=\"who\">").count(),
            // A busy bridge asks to be asked again: that is counted, and there is nothing to look at.
            "/console/refused" => {
                assert_eq!(list.text.matches("<span class=\"pill warn\">").count(), 2, "{href}");
                continue;
            }
            "/console/callbacks/exchanges" if name.starts_with("Told") => {
                carried.captures_iter(&list.text).map(|events| events[1].parse::<usize>().expect("a number")).sum()
            }
            "/console/callbacks/exchanges" => list.text.matches("<span class=\"pill bad\">").count(),
            other => panic!("{name} leads to {other}"),
        };
        assert_eq!(rows, *count, "{name}: {href}");
    }
    let token = asha.make_token(&["messages:read"]).await;
    let exchanges = async |query: &str| {
        let found =
            app.call(Method::GET, &format!("/api/v1/callback-exchanges?account=acme&{query}"), &token, None).await;
        let found = found.body["exchanges"].as_array().unwrap_or_else(|| panic!("{found:?}")).clone();
        (found.len(), found.iter().map(|one| one["events"].as_u64().expect("a number")).sum::<u64>())
    };
    assert_eq!(exchanges("outcome=failed").await.0, 2);
    assert_eq!(exchanges("outcome=succeeded&limit=200").await.1, 17);
    assert_eq!(exchanges("until=2026-11-01T00:00:00Z").await.0, 0);
    app.leave().await;
}

on_each_database!(everything_that_happens_is_counted_once, the_list_behind_each_figure_has_what_it_counts);
