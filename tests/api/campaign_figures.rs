//! What a campaign's figures say, and that each leads to the list of what it counts.

use std::collections::BTreeMap;

use regex::Regex;
use reqwest::Method;
use serde_json::{Value, json};
use wabridge::simulator::{Effect, Refusal, Rule};

use crate::harness::{
    BUSINESS_NUMBER, Database, Message, NUMBER_ID, TestApp, Visitor, on_each_database, one_webhook_at_a_time, person,
    script,
};

const CAMPAIGN: &str = "1791111111";
const PAGE: &str = "/console/campaigns/acme/1791111111";
const API: &str = "/api/v1/campaigns/acme/1791111111";

fn message(number: usize) -> Message {
    Message::marketing(&person(number)).id(&format!("{number}|{CAMPAIGN}|20261120|{number}|0"))
}

async fn tap(app: &TestApp, number: usize) {
    let wamid = app.simulator.sends(Some(&person(number))).remove(0).wamid;
    app.simulator.inbound_tap(&person(number), NUMBER_ID, "Show me", "Show me", wamid.as_deref()).expect("it exists");
}

async fn write(app: &TestApp, number: usize) {
    let wamid = app.simulator.sends(Some(&person(number))).remove(0).wamid;
    app.simulator.inbound_text(&person(number), NUMBER_ID, "thank you", wamid.as_deref()).expect("the number exists");
}

/// By name: the figures of a page that lead somewhere, and where.
async fn linked_figures(visitor: &Visitor, page: &str) -> BTreeMap<String, (String, usize)> {
    let figure = Regex::new(
        r#"<a href="([^"]+)">([^<]+)</a>(?:</th><td class="number">|</dt><dd>|</td><td class="number">|</td><td>[^<]+</td><td>[^<]+</td><td class="number">)([0-9]+)"#,
    );
    let waiting = Regex::new(r#"<a href="([^"]+)">([0-9]+) ([a-z][^<]+)</a>"#).expect("a pattern");
    let text = visitor.get(page).await.text.replace("&#38;", "&");
    let number = |digits: &str| digits.parse().expect("a small number");
    let figures = figure.expect("a pattern");
    let figures = figures.captures_iter(&text).map(|one| (one[2].to_owned(), (one[1].to_owned(), number(&one[3]))));
    let waits = waiting.captures_iter(&text).map(|one| (one[3].to_owned(), (one[1].to_owned(), number(&one[2]))));
    figures.chain(waits).collect()
}

async fn each_figure_of_a_campaign_leads_to_what_it_counts(database: Database) {
    let app = TestApp::start_with(database, one_webhook_at_a_time).await;
    for (number, effect) in [
        (4, Effect::Statuses(script("sent@0,delivered@0"))),
        (5, Effect::Statuses(script("sent@0"))),
        (6, Effect::Statuses(script("sent@0,failed:131026@300"))),
        (7, Effect::Refuse(Refusal::code(131030))),
    ] {
        app.simulator.add_rule(Rule::recipient(&person(number), effect));
    }
    app.accept_all(&(1..=7).map(message).collect::<Vec<_>>()).await;
    app.accept(&Message::order_update(&person(20))).await;
    app.settled().await;
    tap(&app, 1).await;
    write(&app, 2).await;
    app.until_counted("both answers are told", |stats| stats.clevertap.inbound.values().sum::<u64>() == 2).await;
    app.command(&["hold", BUSINESS_NUMBER]).await;
    app.until_held().await;
    app.accept_all(&[message(8), message(9)]).await;
    let asha = app.first_owner().await;
    let wanted = [
        ("Accepted", 9),
        ("Sent", 6),
        ("Delivered", 4),
        ("Read", 3),
        ("Failed", 2),
        ("Taken, no news yet", 0),
        ("Still open", 2),
        ("Failed after they were sent", 1),
        ("Answers that quote a message", 2),
        ("Taps on quick-reply buttons", 1),
        ("Unreachable", 1),
        ("+91 IN", 6),
        ("in the queue", 2),
    ];
    app.until("all is counted", async || {
        let figures = linked_figures(&asha, PAGE).await;
        wanted.iter().all(|(name, count)| figures.get(*name).is_some_and(|(_, figure)| figure == count))
    })
    .await;

    let figures = linked_figures(&asha, PAGE).await;

    assert!(figures.contains_key("Most in one second") && figures.contains_key("Most in one minute"), "{figures:?}");
    for (name, (href, count)) in &figures {
        let list = asha.get(href).await;
        let rows = match href.split('?').next().expect("a path") {
            "/console/messages" => list.text.matches("<a data-row href=\"/console/messages/msg_").count(),
            "/console/inbound" => list.text.matches("<p class=\"who\">").count(),
            other => panic!("{name} leads to {other}"),
        };
        assert_eq!((list.status, rows), (200, *count), "{name}: {href}");
    }
    let token = asha.make_token(&["messages:read"]).await;
    for (query, count) in [
        ("status=open", 2),
        ("status=failed-after-sent", 1),
        ("status=in-queue", 2),
        ("country=91&billable=true", 6),
        ("country=%2B44", 0),
        ("price_category=service", 0),
        ("sent_since=2026-01-01T00:00:00Z&status=submitted", 6),
        ("sent_until=2026-01-01T00:00:00Z", 0),
        ("reason=unreachable&without_code=true", 0),
    ] {
        let found = app.call(Method::GET, &format!("/api/v1/messages?campaign={CAMPAIGN}&{query}"), &token, None).await;
        assert_eq!(found.body["messages"].as_array().map(Vec::len), Some(count), "{query}: {found:?}");
    }
    let answers = app.call(Method::GET, &format!("/api/v1/inbound?campaign={CAMPAIGN}"), &token, None).await.body;
    assert_eq!(answers["messages"].as_array().map(Vec::len), Some(2), "{answers:#}");
    for odd in ["country=0", "country=+9198", "code=131026&without_code=true"] {
        let answer = app.call(Method::GET, &format!("/api/v1/messages?{odd}"), &token, None).await;
        assert_eq!(answer.http_status, 422, "{odd}");
    }
    app.command(&["release", BUSINESS_NUMBER]).await;
    app.settled().await;
    app.leave().await;
}

async fn taps_on_buttons_are_told_apart_from_what_is_written(database: Database) {
    let app = TestApp::start(database).await;
    app.accept_all(&(1..=3).map(message).collect::<Vec<_>>()).await;
    app.settled().await;
    tap(&app, 1).await;
    tap(&app, 2).await;
    write(&app, 3).await;
    app.until_counted("all answers are told", |stats| stats.clevertap.inbound.values().sum::<u64>() == 3).await;
    let asha = app.first_owner().await;
    let token = asha.make_token(&["messages:read"]).await;
    let told = async || {
        let counted: Value = app.call(Method::GET, API, &token, None).await.body;
        json!([counted["replies"], counted["taps"], counted["replies_unsorted"]])
    };

    app.until("they are counted", async || told().await == json!([3, 2, 0])).await;

    let page = asha.get(PAGE).await.text;
    for wanted in ["Taps on quick-reply buttons</a></dt><dd>2<", "sent otherwise</dt><dd>1<", "URL"] {
        assert!(page.contains(wanted), "{wanted} is not in {page}");
    }
    assert!(!page.contains("before taps were counted apart"), "{page}");
    let rows = asha.get(&format!("{PAGE}/messages.csv")).await.text;
    assert!(rows.lines().next().is_some_and(|head| head.contains(",replies,taps,")), "{rows}");
    assert_eq!(rows.lines().filter(|row| row.contains(",1,1,")).count(), 2, "{rows}");
    let exported = app.command(&["export", "campaigns", "--json"]).await;
    let exported: Value = serde_json::from_str(exported.lines().next().expect("a campaign")).expect("JSON");
    assert_eq!((&exported["replies"], &exported["taps"]), (&json!(3), &json!(2)), "{exported:#}");

    // As an earlier version has left them.
    const FORGOTTEN: &str = "UPDATE events SET tapped = NULL";
    app.meddle((FORGOTTEN, FORGOTTEN)).await;
    app.until("nobody claims to know", async || told().await == json!([3, 0, 3])).await;
    let page = asha.get(PAGE).await.text;
    assert!(page.contains("From before taps were counted apart</dt><dd>3<"), "{page}");
    app.leave().await;
}

async fn what_a_pause_sets_aside_is_told_while_somebody_looks_on(database: Database) {
    let app = TestApp::start(database).await;
    app.command(&["hold", BUSINESS_NUMBER]).await;
    app.until_held().await;
    app.accept_all(&(1..=12).map(message).collect::<Vec<_>>()).await;
    let asha = app.first_owner().await;
    let before = asha.get(PAGE).await.text;
    assert!(before.contains(">12 in the queue</a>") && before.contains("hx-trigger=\"every 10s\""), "{before}");

    asha.post(&format!("{PAGE}/pause"), &[("reason", "typing error")]).await;

    let after = asha.get(PAGE).await.text;
    assert!(after.contains("hx-trigger=\"every 2s\""), "it looks again soon: {after}");
    app.command(&["release", BUSINESS_NUMBER]).await;
    app.until("they are set aside", async || asha.get(PAGE).await.text.contains(">12 paused</a>")).await;
    let (href, _) = linked_figures(&asha, PAGE).await.remove("paused").expect("it leads somewhere");
    assert_eq!(asha.get(&href).await.text.matches("<a data-row").count(), 12, "{href}");
    asha.post(&format!("{PAGE}/resume"), &[]).await;
    app.settled().await;
    app.leave().await;
}

on_each_database!(
    each_figure_of_a_campaign_leads_to_what_it_counts,
    taps_on_buttons_are_told_apart_from_what_is_written,
    what_a_pause_sets_aside_is_told_while_somebody_looks_on,
);
