//! Campaigns in the console and in the API: counted, paused, cancelled, held against CleverTap's figures.

use reqwest::Method;
use serde_json::{Value, json};
use wabridge::{
    simulator::{Effect, Refusal, Rule},
    store::audit::AuditLine,
};

use crate::harness::{
    APP_SECRET, BUSINESS_NUMBER, Database, Message, NUMBER_ID, TestApp, on_each_database, person, script,
};

const CAMPAIGN: &str = "1791111111";
const PAGE: &str = "/console/campaigns/acme/1791111111";
const API: &str = "/api/v1/campaigns/acme/1791111111";

/// A message of the campaign.
fn message(number: usize) -> Message {
    Message::marketing(&person(number)).id(&format!("{number}|{CAMPAIGN}|20261120|{number}|0"))
}

/// Of nine messages five are read, one is only delivered, one only sent, one fails after that, one is refused by WhatsApp; one
/// person answers.
async fn with_a_campaign(database: Database) -> TestApp {
    let app = TestApp::start(database).await;
    for (number, effect) in [
        (6, Effect::Statuses(script("sent@0,delivered@10"))),
        (7, Effect::Statuses(script("sent@0"))),
        (8, Effect::Statuses(script("sent@0"))),
        (9, Effect::Refuse(Refusal::code(131030))),
    ] {
        app.simulator.add_rule(Rule::recipient(&person(number), effect));
    }
    let mut messages: Vec<Message> = (1..=9).map(message).collect();
    messages.push(Message::order_update(&person(20)));
    app.accept_all(&messages).await;
    app.settled().await;
    // By itself the failure might overtake what came before it.
    let sent = app.simulator.sends(Some(&person(8))).remove(0).wamid.expect("it was taken");
    let failed = json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages", "value": {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "918880110022", "phone_number_id": NUMBER_ID},
        "statuses": [{
            "id": sent, "status": "failed", "timestamp": "1795000000", "recipient_id": person(8).trim_start_matches('+'),
            "errors": [{"code": 131026, "title": "Message undeliverable"}],
        }],
    }}]}]});
    assert_eq!(app.post_webhook(failed.to_string(), APP_SECRET).await, 200);
    app.settled().await;
    let first = app.simulator.sends(Some(&person(1))).remove(0);
    app.simulator.inbound_text(&person(1), NUMBER_ID, "thank you", first.wamid.as_deref()).expect("the number exists");
    app.until_counted("the reply is told", |stats| stats.clevertap.inbound.contains_key("text")).await;
    app
}

/// A campaign that waits, because its number is on hold.
async fn with_a_waiting_campaign(database: Database, count: usize) -> (TestApp, Vec<Message>) {
    let app = TestApp::start(database).await;
    app.command(&["hold", BUSINESS_NUMBER]).await;
    app.until_held().await;
    let messages: Vec<Message> = (1..=count).map(message).collect();
    app.accept_all(&messages).await;
    (app, messages)
}

async fn a_campaign_is_counted_as_the_export_counts_it(database: Database) {
    let app = with_a_campaign(database).await;
    let asha = app.first_owner().await;
    let cara = app.another(&asha, "cara", "read-only").await;
    let token = asha.make_token(&["messages:read"]).await;
    let exported = app.command(&["export", "campaigns", "--json"]).await;
    let exported: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let exported = exported.iter().find(|row| row["campaign"] == CAMPAIGN).expect("it is there");

    let counted = app.call(Method::GET, API, &token, None).await;

    assert_eq!(counted.http_status, 200, "{counted:?}");
    let counted = counted.body;
    let figures = counted["funnel"].as_object().expect("figures");
    assert_eq!(figures.len(), 11);
    for (figure, count) in figures {
        assert_eq!(*count, exported[figure], "{figure}: {counted:#}");
    }
    assert_eq!(counted["replies"], exported["replies"]);
    assert_eq!(
        ["accepted", "sent", "delivered", "read", "failed"].map(|figure| counted["funnel"][figure].as_u64()),
        [9, 8, 6, 5, 2].map(Some)
    );
    assert_eq!((&counted["funnel"]["failed_after_sent"], &counted["templates"]), (&json!(1), &json!(["product_tour"])));
    assert_eq!((&counted["complete"], &counted["looked_back_to"]), (&json!(true), &json!(null)));
    let failures = counted["failures"].as_array().expect("a list");
    let codes: Vec<_> = failures.iter().filter_map(|failure| failure["code"].as_u64()).collect();
    assert!(codes.contains(&131_026) && codes.contains(&131_030), "{failures:#?}");
    let speed = counted["speed"].as_array().expect("a list").iter();
    let minutes: Vec<u64> = speed.filter_map(|minute| minute["messages"].as_u64()).collect();
    assert_eq!(minutes.iter().sum::<u64>(), 8, "what WhatsApp took");
    let fastest = counted["fastest_second"]["messages"].as_u64().expect("some left");
    assert!((1..=8).contains(&fastest) && minutes.iter().any(|minute| *minute >= fastest), "{counted:#}");
    let said_by =
        |code: u64| failures.iter().find(|failure| failure["code"] == code).expect("it is there")["said_by"].clone();
    assert_eq!(said_by(131_026), "provider");
    let costs = counted["costs"].as_array().expect("a list");
    let told: u64 = costs.iter().filter_map(|cost| cost["messages"].as_u64()).sum();
    assert!(told > 0 && told <= 8, "what WhatsApp sent, and said something of: {costs:#?}");
    assert!(costs.iter().all(|cost| cost["country"] == "+91 IN" && cost["billable"] == true), "{costs:#?}");

    let list = app.call(Method::GET, "/api/v1/campaigns?account=acme", &token, None).await.body;
    let of = |name: &str| list["campaigns"].as_array().expect("a list").iter().find(|one| one["campaign"] == name);
    assert_eq!(of(CAMPAIGN).expect("it is there")["funnel"], counted["funnel"], "{list:#}");
    assert_eq!(of("1790000000").expect("the other too")["funnel"]["accepted"], 1);
    for visitor in [&asha, &cara] {
        let list = visitor.get("/console/campaigns").await.text;
        assert!(list.contains(PAGE) && list.contains("Looked through 10 messages"), "{list}");
        let page = visitor.get(PAGE).await.text;
        for wanted in [
            "131026",
            "Unreachable",
            "88.9 %",
            "campaign=1791111111&#38;reason=unreachable&#38;code=131026",
            "<rect",
            "Answers that quote",
            "Most in one second",
        ] {
            assert!(page.contains(wanted), "{wanted} is not in {page}");
        }
        assert!(!page.contains(" style=") && !page.contains("<script>"), "{page}");
    }
    let earlier = asha.get("/console/campaigns?until=2020-01-01T00:00").await.text;
    assert!(earlier.contains("No campaign in this time"), "{earlier}");
    let wrong = asha.get("/console/campaigns?since=yesterday").await.text;
    assert!(wrong.contains("is no time"), "{wrong}");
    app.leave().await;
}

async fn the_messages_of_a_campaign_come_as_a_file(database: Database) {
    let app = with_a_campaign(database).await;
    let asha = app.first_owner().await;
    let cara = app.another(&asha, "cara", "read-only").await;
    let token = asha.make_token(&["messages:read", "personal:read"]).await;

    let whole = asha.get(&format!("{PAGE}/messages.csv")).await;
    let masked = cara.get(&format!("{PAGE}/messages.csv")).await.text;

    assert!(whole.header("content-disposition").contains("campaign-1791111111.csv"), "{whole:?}");
    assert_eq!(whole.text.lines().count(), 10, "a head and nine messages: {}", whole.text);
    assert_eq!(masked.lines().count(), 10);
    let number = person(9).trim_start_matches('+').to_owned();
    assert!(whole.text.contains(&number) && whole.text.contains("wamid."), "{}", whole.text);
    assert!(!masked.contains(&number) && !masked.contains("wamid.HB"), "{masked}");
    let path = format!("{API}/messages.csv?since=2020-01-01T00:00:00Z&until=2020-01-02T00:00:00Z");
    assert_eq!(app.call(Method::GET, &path, &token, None).await.http_status, 200);
    assert_eq!(asha.get("/console/campaigns/nosuch/1/messages.csv").await.status, 404);
    app.leave().await;
}

async fn a_campaign_is_paused_and_goes_on(database: Database) {
    let (app, messages) = with_a_waiting_campaign(database, 30).await;
    let asha = app.first_owner().await;
    let (ben, cara) = (app.another(&asha, "ben", "operator").await, app.another(&asha, "cara", "read-only").await);
    let before = ben.get(PAGE).await.text;
    assert!(
        before.contains(">30</a>: ") && before.contains(">30 in the queue</a>") && before.contains(">Pause<"),
        "{before}"
    );
    let only_looking = cara.get(PAGE).await.text;
    assert!(!only_looking.contains(">Pause<") && !only_looking.contains("Cancel what waits"), "{only_looking}");
    for change in ["pause", "resume", "cancel"] {
        let refused = cara.post(&format!("{PAGE}/{change}"), &[("reason", "I can"), ("sure", "yes")]).await;
        assert_eq!(refused.status, 403, "{change}");
        let forged = ben.post_plain(&format!("{PAGE}/{change}"), &[("reason", "I can"), ("sure", "yes")]).await;
        assert_eq!(forged.status, 403, "{change} without a token of the form");
    }
    assert!(app.store.queue_rules().await.expect("readable").0.is_empty());
    assert_eq!(ben.post(&format!("{PAGE}/resume"), &[]).await.status, 409, "nothing is paused");
    let long = "x".repeat(201);
    assert_eq!(ben.post(&format!("{PAGE}/pause"), &[("reason", long.as_str())]).await.status, 422);

    let done = ben.post(&format!("{PAGE}/pause"), &[("reason", "typing error")]).await;
    assert_eq!(done.header("location"), format!("{PAGE}?done=paused"), "{done:?}");
    let paused = ben.get(PAGE).await.text;
    assert!(paused.contains("It is paused.") && paused.contains("typing error"), "{paused}");
    assert!(ben.get("/console/campaigns").await.text.contains("paused</span>"));
    app.until("the rule is noticed", async || app.directory().queue_rules().0.len() == 1).await;
    app.command(&["release", BUSINESS_NUMBER]).await;
    let other = Message::order_update(&person(900));
    app.accept(&other).await;
    app.until("another message is told", async || !app.told(&other).is_empty()).await;
    assert!(messages.iter().all(|message| app.told(message).is_empty()), "the campaign waits");

    let done = ben.post(&format!("{PAGE}/resume"), &[("from_list", "yes")]).await;
    assert_eq!(done.header("location"), "/console/campaigns?done=resumed");
    app.settled().await;
    assert!(messages.iter().all(|message| app.told(message) == ["sent", "delivered", "read"]));
    let lines = lines_about_the_campaign(&app).await;
    let told: Vec<_> = lines.iter().map(|line| (line.action.as_str(), line.subject.as_str(), &*line.actor)).collect();
    let subject = "campaign 1791111111 of acme";
    assert_eq!(told, [("resume", subject, "ben"), ("pause", subject, "ben")]);
    assert!(lines[1].after.as_deref().is_some_and(|after| after.contains("typing error")), "{lines:?}");
    app.leave().await;
}

/// The newest two of the audit log that are about it.
async fn lines_about_the_campaign(app: &TestApp) -> Vec<AuditLine> {
    let mut lines = app.store.audit_lines(None, 10).await.expect("readable");
    lines.retain(|line| line.subject.starts_with("campaign"));
    lines.truncate(2);
    lines
}

async fn a_campaign_is_cancelled_behind_the_answer(database: Database) {
    let (app, messages) = with_a_waiting_campaign(database, 30).await;
    let asha = app.first_owner().await;
    let cancel = format!("{PAGE}/cancel");
    let unsure = asha.post(&cancel, &[("reason", "wrong price")]).await;
    assert!(unsure.status == 422 && unsure.text.contains("sure"), "{unsure:?}");

    let done = asha.post(&cancel, &[("reason", "wrong price"), ("and_new", "yes"), ("sure", "yes")]).await;

    assert_eq!(done.header("location"), format!("{PAGE}?done=cancelling"), "{done:?}");
    app.until("it is at its end", async || {
        asha.get(PAGE).await.text.contains("Cancelled: 30 that waited are reported to CleverTap as failed (1009)")
    })
    .await;
    app.command(&["release", BUSINESS_NUMBER]).await;
    app.until("the rule is noticed", async || app.directory().queue_rules().0.len() == 1).await;
    let late = message(31);
    app.accept(&late).await;
    app.settled().await;
    for message in messages.iter().chain([&late]) {
        assert_eq!((app.told(message), app.told_failure(message)), (vec!["failed".to_owned()], Some(1009)));
    }
    assert_eq!(app.simulator.stats().sends_received, 0);
    let page = asha.get(PAGE).await.text;
    assert!(page.contains("What arrives is cancelled."), "{page}");
    // Cancelled is cancelled: no failure that WhatsApp would have said something of.
    app.until("it is counted anew", async || {
        let page = asha.get(PAGE).await.text;
        page.contains(">Cancelled</a></th><td class=\"number\">31</td>")
            && page.contains(">Failed</a></th><td class=\"number\">0</td>")
            && !page.contains("<h2>Failures</h2>")
    })
    .await;
    let rows = async |status: &str| {
        let list = asha.get(&format!("/console/messages?campaign={CAMPAIGN}&status={status}")).await.text;
        (list.matches("data-row").count(), list.matches(">cancelled</span>").count())
    };
    assert_eq!((rows("cancelled").await, rows("failed").await), ((31, 31), (0, 0)));
    let lines = lines_about_the_campaign(&app).await;
    assert_eq!((lines[0].action.as_str(), lines[1].action.as_str()), ("campaign is cancelled", "cancel campaign"));
    assert_eq!(lines[0].after.as_deref(), Some(r#"{"messages":30}"#));
    app.leave().await;
}

async fn programs_stop_campaigns_with_the_scope_for_it(database: Database) {
    let (app, messages) = with_a_waiting_campaign(database, 12).await;
    let asha = app.first_owner().await;
    let read = asha.make_token(&["messages:read"]).await;
    let manage = asha.make_token(&["messages:read", "queues:manage"]).await;
    let post = async |what: &str, token: &str, body: Value| {
        app.call(Method::POST, &format!("{API}/{what}"), token, Some(body)).await
    };

    for what in ["pause", "cancel"] {
        assert_eq!(post(what, &read, json!({"reason": "I can"})).await.http_status, 403, "{what}");
    }
    for what in ["pause", "cancel"] {
        let path = format!("/api/v1/campaigns/acme/1791111112/{what}");
        let missing = app.call(Method::POST, &path, &manage, Some(json!({}))).await;
        assert_eq!(missing.http_status, 404, "a typing error stops nothing: {missing:?}");
    }
    let paused = post("pause", &manage, json!({"reason": "typing error"})).await;
    assert_eq!((paused.http_status, &paused.body["state"]), (200, &json!("paused")), "{paused:?}");
    assert_eq!(app.call(Method::GET, API, &read, None).await.body["state"], "paused");
    let resumed = post("resume", &manage, json!({})).await;
    assert_eq!((resumed.http_status, &resumed.body["state"]), (200, &json!(null)), "{resumed:?}");
    assert_eq!(post("resume", &manage, json!({})).await.http_status, 409);
    assert_eq!(post("cancel", &manage, json!({"reason": "wrong price"})).await.http_status, 202);
    app.until("it is cancelled", async || {
        app.call(Method::GET, API, &read, None).await.body["cancelling"] == json!({"cancelled": 12, "done": true})
    })
    .await;
    assert_eq!(app.call(Method::GET, API, &read, None).await.body["funnel"]["cancelled"], 12);
    for (path, wanted) in [
        ("/api/v1/campaigns/nosuch/1", 404),
        ("/api/v1/campaigns/acme/1", 404),
        ("/api/v1/campaigns?period=soon", 422),
        ("/api/v1/campaigns?period=7d&since=2026-01-01T00:00:00Z", 422),
        ("/api/v1/campaigns?account=nosuch", 422),
        ("/api/v1/campaigns?colour=red", 400),
    ] {
        assert_eq!(app.call(Method::GET, path, &read, None).await.http_status, wanted, "{path}");
    }
    app.command(&["release", BUSINESS_NUMBER]).await;
    app.settled().await;
    assert!(messages.iter().all(|message| app.told_failure(message) == Some(1009)));
    app.leave().await;
}

async fn figures_of_the_dashboard_are_held_against_ours(database: Database) {
    let app = with_a_campaign(database).await;
    let asha = app.first_owner().await;
    let cara = app.another(&asha, "cara", "read-only").await;
    let token = asha.make_token(&["messages:read"]).await;

    let pasted = [("delivered", "6"), ("pasted", "Sent\n9\nDelivered\n1 (11%)\nViewed\n7\nErrors\n2")];
    let page = cara.post(&format!("{PAGE}/reconcile"), &pasted).await;
    assert_eq!(page.status, 200, "{page:?}");
    for wanted in ["It is what was accepted here: 1 of these WhatsApp has not sent", "+2", "equal", "longer time"] {
        assert!(page.text.contains(wanted), "{wanted} is not in {}", page.text);
    }
    assert!(!page.text.contains("−5"), "what was typed goes before what was pasted");
    let nothing = asha.post(&format!("{PAGE}/reconcile"), &[("pasted", "hello")]).await;
    assert!(nothing.status == 422 && nothing.text.contains("No figure was found"), "{nothing:?}");

    let odd = [("delivered", "six"), ("read", "-7"), ("sent", "9")];
    let odd = asha.post(&format!("{PAGE}/reconcile"), &odd).await;
    let at = |field: &str| odd.text.contains(&format!("<p class=\"wrong\" id=\"{field}-wrong\">A whole number"));
    assert_eq!((odd.status, at("delivered"), at("read"), at("sent")), (422, true, true, false), "{odd:?}");

    let body = json!({"delivered": 4, "text": "Viewed: 5"});
    let told = app.call(Method::POST, &format!("{API}/reconcile"), &token, Some(body)).await.body;
    let figures: Vec<_> = told["figures"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (one["name"].as_str(), one["theirs"].as_u64(), one["ours"].as_u64(), one["why"] == json!([])))
        .collect();
    assert_eq!(figures, [(Some("delivered"), Some(4), Some(6), false), (Some("read"), Some(5), Some(5), true)]);
    let none = app.call(Method::POST, &format!("{API}/reconcile"), &token, Some(json!({}))).await;
    assert_eq!(none.http_status, 422, "{none:?}");
    app.leave().await;
}

on_each_database!(
    a_campaign_is_counted_as_the_export_counts_it,
    the_messages_of_a_campaign_come_as_a_file,
    a_campaign_is_paused_and_goes_on,
    a_campaign_is_cancelled_behind_the_answer,
    programs_stop_campaigns_with_the_scope_for_it,
    figures_of_the_dashboard_are_held_against_ours,
);
