//! All callback URLs together in the console and in `/api/v1`: their events in one list, and what matches is told again or tried now.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use wabridge::{
    domain::callback::EventKind,
    simulator::{CallbackRule, Endpoint},
};

use crate::harness::{Database, Message, NUMBER_ID, OTHER_ACCOUNT, TestApp, Visitor, on_each_database, person};
use crate::webhooks_out::Scene;

const ALL: [&str; 3] = ["sent", "delivered", "read"];
const EVENTS: &str = "/console/callbacks/events";

fn refusing(status: u16, message: Option<&Message>) -> CallbackRule {
    let endpoint = Some(Endpoint::DeliveryReports);
    let body_contains = message.map(|message| format!("\"{}\"", message.msg_id()));
    CallbackRule { answer_status: status, endpoint, body_contains, ..CallbackRule::default() }
}

fn unescaped(href: &str) -> String {
    href.replace("&#38;", "&").replace("&amp;", "&")
}

/// Where the rows of a page lead.
fn rows(page: &str) -> Vec<String> {
    let links = page.split("data-row href=\"").skip(1);
    links.map(|rest| unescaped(rest.split('"').next().expect("a link ends"))).collect()
}

/// Where a page's link or button leads that is called like this.
fn leads_to(page: &str, name: &str) -> String {
    let before = page.split(&format!(">{name}</a>")).next().unwrap_or_default();
    let href = before.rsplit("href=\"").next().and_then(|rest| rest.split('"').next());
    unescaped(href.unwrap_or_else(|| panic!("no {name} on {page}")))
}

/// The number of the platform's URL for delivery reports.
async fn reports_url(app: &TestApp) -> i32 {
    let subscriptions = app.subscriptions().await;
    let reports = subscriptions.iter().find(|one| one.kind == EventKind::Status && one.webhook.is_none());
    reports.expect("delivery reports are wanted").key.0
}

/// The fields of a page's form that posts to a path, hidden ones all.
fn hidden(page: &str, path: &str) -> Vec<(String, String)> {
    let form = page.split(&format!("<form method=\"post\" action=\"{path}\"")).nth(1).unwrap_or_default();
    let inputs = form.split("</form>").next().unwrap_or_default().split("<input type=\"hidden\" name=\"").skip(1);
    let field = |rest: &str| {
        let (name, rest) = rest.split_once("\" value=\"")?;
        Some((name.to_owned(), unescaped(rest.split('"').next()?)))
    };
    inputs.filter_map(field).filter(|(name, _)| name != "csrf").collect()
}

async fn post_as_shown(visitor: &Visitor, page: &str, path: &str) -> String {
    let fields = hidden(page, path);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    let done = visitor.post(path, &fields).await;
    assert_eq!(done.status, 303, "{done:?}");
    done.header("location").to_owned()
}

async fn the_events_of_all_urls_stand_in_one_list_and_none_is_missed_between_pages(database: Database) {
    let scene = Scene::start(database).await;
    scene.webhook(json!({})).await;
    let (app, asha) = (&scene.app, &scene.owner);
    let messages: Vec<Message> = (0..30).map(|number| Message::order_update(&person(number))).collect();
    app.accept_all(&messages).await;
    scene.hears("hello");
    scene.came(91).await;
    app.settled().await;

    let mut path = EVENTS.to_owned();
    let mut seen = Vec::new();
    loop {
        let page = asha.get_with(&path, &[("HX-Request", "true")]).await;
        assert!(page.status == 200 && !page.text.contains("<html"), "only the list is asked for: {page:?}");
        seen.extend(rows(&page.text));
        if !page.text.contains("Older events") {
            break;
        }
        path = leads_to(&page.text, "Older events");
        // What happens meanwhile belongs before the first page, and moves nothing.
        app.accept(&Message::order_update(&person(50))).await;
    }

    let each: BTreeSet<&String> = seen.iter().collect();
    assert_eq!((seen.len(), each.len()), (182, 182), "90 statuses and what was written, each at two URLs");
    let count = async |query: &str| {
        let page = asha.get(&format!("{EVENTS}?{query}")).await;
        assert_eq!(page.status, 200, "{query}: {page:?}");
        rows(&page.text).len()
    };
    let key = reports_url(app).await;
    for (query, wanted) in [
        ("kind=inbound", 2),
        ("kind=inbound&of=webhooks", 1),
        ("kind=inbound&of=platform&account=acme", 1),
        ("state=dead", 0),
        ("state=owed&kind=inbound", 0),
        ("state=retrying", 0),
        (&*format!("url={key}&message={}", messages[7].msg_id().replace('|', "%7C")), 3),
        (&*format!("message={}", messages[7].msg_id().replace('|', "%7C")), 6),
        (&*format!("url={key}&until=2020-01-01T00:00"), 0),
        (&*format!("url={key}&since=2020-01-01T00:00"), 50),
        ("kind=inbound&state=delivered&since=2020-01-01T00:00", 2),
    ] {
        assert_eq!(count(query).await, wanted, "{query}");
    }
    app.settled().await;
    for (query, said) in [
        ("state=happy", "is none of owed, retrying, delivered"),
        ("url=999", "there is no callback URL 999"),
        ("before=x", "cannot be read"),
        ("state=delivered&code=500", "only what was not taken has one"),
    ] {
        let page = asha.get(&format!("{EVENTS}?{query}")).await;
        assert!(page.status == 200 && page.text.contains(said), "{query}: {page:?}");
    }
    scene.app.leave().await;
}

async fn what_one_answer_refused_is_told_again_and_nothing_else(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let cara = app.another(&asha, "cara", "read-only").await;
    let messages: Vec<Message> = (0..3).map(|number| Message::order_update(&person(number))).collect();
    app.simulator.add_callback_rule(refusing(400, Some(&messages[0])));
    app.simulator.add_callback_rule(refusing(422, Some(&messages[1])));
    app.accept_all(&messages).await;
    app.settled().await;
    app.simulator.set_callback_rules(vec![]);

    let exchanges = asha.get("/console/callbacks/exchanges?code=422").await.text;
    assert!(exchanges.contains("HTTP 422") && !exchanges.contains("HTTP 400"), "{exchanges}");
    let dead = leads_to(&exchanges, "Events that are dead since an HTTP 422…");
    let list = asha.get(&dead).await.text;
    assert_eq!(rows(&list).len(), 3, "{dead}: {list}");
    assert!(!cara.get(&dead).await.text.contains("Tell all that match again"));
    let again = leads_to(&list, "Tell all that match again…");
    assert_eq!(cara.get(&again).await.status, 403);
    let look = asha.get(&again).await.text;
    assert!(look.contains("<strong>3</strong> dead events, answered HTTP 422"), "{look}");
    let progress = post_as_shown(&asha, &look, "/console/callbacks/again").await;
    app.until("it is told", async || asha.get(&progress).await.text.contains("is done")).await;

    let shown = asha.get(&progress).await.text;
    assert!(shown.contains("Told 3 of 3 dead events again") && shown.contains("a second on average"), "{shown}");
    assert!(shown.contains("<progress"), "{shown}");
    assert_eq!(app.told(&messages[1]), ALL);
    assert_eq!(app.told(&messages[0]), [""; 0], "another answer's are left alone");
    assert_eq!(rows(&asha.get(&format!("{EVENTS}?state=dead")).await.text).len(), 3);
    assert_eq!(rows(&asha.get(&format!("{EVENTS}?state=dead&reason=http+400")).await.text).len(), 3);
    let lines = app.store.audit_lines(None, 1).await.expect("readable");
    assert!(lines[0].after.as_deref().is_some_and(|after| after.contains("422")), "{lines:?}");
    app.leave().await;
}

async fn what_fails_is_tried_now_one_event_or_all(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let cara = app.another(&asha, "cara", "read-only").await;
    let key = reports_url(&app).await;
    let retrying = async || rows(&asha.get(&format!("{EVENTS}?state=retrying")).await.text);
    let message = Message::order_update(&person(1));
    app.simulator.set_callback_rules(vec![refusing(401, None)]);
    app.accept(&message).await;
    app.until("all wait", async || retrying().await.len() == 3).await;

    let event = retrying().await[0].clone();
    let page = asha.get(&event).await.text;
    assert!(page.contains("Try now") && page.contains("with all 3 events that it is owed"), "{page}");
    assert!(page.contains("Not taken yet.") && page.contains("HTTP 401") && page.contains("retrying"), "{page}");
    assert!(!cara.get(&event).await.text.contains("Try now"));
    assert_eq!(cara.post(&format!("{event}/try"), &[]).await.status, 403);
    app.simulator.set_callback_rules(vec![]);
    assert_eq!(asha.post(&format!("{event}/try"), &[]).await.header("location"), format!("{event}?done=tried"));
    app.settled().await;
    assert_eq!(app.told(&message), ALL);
    let again = asha.post(&format!("{event}/try"), &[]).await;
    assert!(again.status == 409 && again.text.contains("waits for nothing"), "{again:?}");

    app.simulator.set_callback_rules(vec![refusing(401, None)]);
    let others: Vec<Message> = (2..6).map(|number| Message::order_update(&person(number))).collect();
    app.accept_all(&others).await;
    app.until("these wait, too", async || retrying().await.len() == 12).await;
    let list = asha.get(&format!("{EVENTS}?state=retrying&account=acme")).await.text;
    let all = leads_to(&list, "Try all that match now…");
    let look = asha.get(&all).await.text;
    assert!(look.contains(&format!("/console/callbacks/{key}\"")) && look.contains("Try it now"), "{look}");
    assert_eq!(cara.get(&all).await.status, 403);
    app.simulator.set_callback_rules(vec![]);
    let progress = post_as_shown(&asha, &look, "/console/callbacks/try").await;
    app.until("it went on", async || asha.get(&progress).await.text.contains("All 12 are done with.")).await;
    let shown = cara.get(&progress).await.text;
    assert!(shown.contains("<progress max=\"12\" value=\"12\"") && shown.contains("a second on average"), "{shown}");
    for message in &others {
        assert_eq!(app.told(message), ALL);
    }
    let nothing = asha.get(&all).await.text;
    assert!(nothing.contains("Nothing waits for a try."), "{nothing}");
    app.leave().await;
}

async fn a_webhooks_event_is_sent_again_before_its_time_with_those_behind_it(database: Database) {
    let scene = Scene::start(database).await;
    let retries = json!({"kind": "fixed", "times": 3, "every_seconds": 3600});
    let events = ["message.sent", "message.delivered", "message.read"];
    scene.webhook(json!({"events": events, "retries": retries})).await;
    scene.receiver.answer_next(&[503]);
    scene.app.accept(&Message::order_update(&person(1))).await;
    let owed = async |state: &str| rows(&scene.owner.get(&format!("{EVENTS}?of=webhooks&state={state}")).await.text);
    scene.app.until("one waits for its try", async || owed("retrying").await.len() == 1).await;
    scene.app.until("the others wait for it", async || owed("owed").await.len() == 3).await;
    let (first, behind) = (owed("retrying").await[0].clone(), owed("owed").await[0].clone());
    scene
        .app
        .until("they wait in their lane", async || {
            scene.owner.get(&first).await.text.contains("the 2 events that wait behind it")
        })
        .await;
    assert!(scene.owner.get(&behind).await.text.contains("The event that it waits for, at place"));

    let tried = format!("{}/try", first.replace("/console/callbacks", "/callback-urls"));
    let tried = scene.call(Method::POST, &tried, None).await;
    assert_eq!(
        (tried.http_status, &tried.body["goes"], &tried.body["others"]),
        (200, &json!("with_those_behind"), &json!(2)),
        "{tried:?}"
    );

    scene.came(4).await;
    scene.app.until("nothing is owed", async || owed("owed").await.is_empty()).await;
    scene.app.leave().await;
}

async fn a_url_to_which_nothing_is_owed_any_more_is_not_called_failing(database: Database) {
    let scene = Scene::start(database).await;
    let retries = json!({"kind": "fixed", "times": 0, "every_seconds": 1});
    scene.webhook(json!({"events": ["message.received"], "retries": retries})).await;
    scene.receiver.answer_always(503);
    scene.hears("hello");
    scene.came(1).await;
    let dead = async || rows(&scene.owner.get(&format!("{EVENTS}?state=dead&code=503")).await.text);
    scene.app.until("it is dead", async || dead().await.len() == 1).await;

    let urls = scene.call(Method::GET, "/callback-urls?webhook=crm&kind=inbound", None).await.body;
    assert_eq!(urls["callback_urls"][0]["state"], json!("refusing"), "{urls:#}");
    let list = scene.owner.get("/console/callbacks?webhook=crm&kind=inbound").await.text;
    assert!(
        list.contains("nothing waits; what it was told last was not taken") && !list.contains("retrying"),
        "{list}"
    );
    scene.app.leave().await;
}

async fn an_account_whose_url_fails_wears_a_badge(database: Database) {
    let app = TestApp::start_with(database, |options| options.more = OTHER_ACCOUNT.to_owned()).await;
    let asha = app.first_owner().await;
    assert!(!asha.get("/console/accounts").await.text.contains("URL fails"));
    app.simulator.set_callback_rules(vec![refusing(401, None)]);
    app.accept(&Message::order_update(&person(1))).await;
    let badge = async |account: &str| asha.get(&format!("/console/callbacks/badge?account={account}")).await.text;
    app.until("it fails", async || badge("acme").await.contains("<span class=\"badge\">1")).await;

    let accounts = asha.get("/console/accounts").await.text;
    assert!(accounts.contains("href=\"/console/callbacks?account=acme\">1 URL fails</a>"), "{accounts}");
    assert_eq!(accounts.matches("URL fails").count(), 1, "the other account is well: {accounts}");
    assert!(!badge("globex").await.contains("badge"));
    let account = asha.get("/console/accounts/acme").await.text;
    assert!(account.contains("hx-get=\"/console/callbacks/badge?account=acme\""), "{account}");
    app.leave().await;
}

async fn a_messages_story_leads_to_its_callbacks_and_quotes_the_reply(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let cara = app.another(&asha, "cara", "read-only").await;
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.settled().await;
    let token = asha.make_token(&["messages:read", "personal:read"]).await;
    let id = message.msg_id().replace('|', "%7C");
    let found = app.call(Method::GET, &format!("/api/v1/messages?q={id}"), &token, None).await.body;
    let id = found["messages"][0]["id"].as_str().unwrap_or_else(|| panic!("{found:#}")).to_owned();
    let story = app.call(Method::GET, &format!("/api/v1/messages/{id}"), &token, None).await.body;
    let wamid = story["provider_message_id"].as_str().unwrap_or_else(|| panic!("{story:#}")).to_owned();
    app.simulator.inbound_text(&person(1), NUMBER_ID, "where is <my> order?", Some(&wamid)).expect("the number exists");
    app.settled().await;

    let page = asha.get(&format!("/console/messages/{id}")).await.text;
    let key = reports_url(&app).await;
    assert_eq!(page.matches(&format!("href=\"/console/callbacks/{key}/events/")).count(), 3, "{page}");
    assert!(page.contains("where is &#60;my&#62; order?"), "{page}");
    let masked = cara.get(&format!("/console/messages/{id}")).await.text;
    assert!(!masked.contains("order?") && masked.contains("does not see what people write"), "{masked}");
    let stands = asha.get(&leads_to(&page, "Where it stands among what people wrote")).await.text;
    assert!(stands.contains("where is &#60;my&#62; order?"), "{stands}");
    let story = app.call(Method::GET, &format!("/api/v1/messages/{id}"), &token, None).await.body;
    let timeline = story["timeline"].as_array().expect("a list");
    let urls: Vec<&Value> = timeline.iter().map(|line| &line["callbacks"][0]["callback_url"]).collect();
    assert!(urls.contains(&&json!(key)), "{story:#}");
    app.leave().await;
}

async fn programs_list_the_events_and_exchanges_of_all_urls(database: Database) {
    let scene = Scene::start(database).await;
    scene.webhook(json!({})).await;
    let messages: Vec<Message> = (0..4).map(|number| Message::order_update(&person(number))).collect();
    scene.app.accept_all(&messages).await;
    scene.came(12).await;
    scene.app.settled().await;
    let masked = scene.owner.make_token(&["messages:read"]).await;
    let get = async |path: &str| {
        let answer = scene.call(Method::GET, path, None).await;
        assert_eq!(answer.http_status, 200, "{path}: {answer:?}");
        answer.body
    };

    let mut seen = BTreeSet::new();
    let mut path = "/callback-events?limit=5&state=delivered".to_owned();
    loop {
        let page = get(&path).await;
        for event in page["events"].as_array().expect("a list") {
            assert!(seen.insert((event["callback_url"].to_string(), event["place"].to_string())), "twice: {event:#}");
        }
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/callback-events?limit=5&state=delivered&before={next}");
    }
    assert_eq!(seen.len(), 24);
    let of = async |of: &str| get(&format!("/callback-exchanges?of={of}&limit=200")).await["exchanges"].clone();
    let carried = |exchanges: &Value| -> i64 {
        exchanges.as_array().expect("a list").iter().filter_map(|one| one["events"].as_i64()).sum()
    };
    assert_eq!(carried(&of("platform").await), 12);
    assert_eq!(carried(&of("webhooks").await), 12);
    assert_eq!(carried(&of("all").await), 24);
    assert_eq!(carried(&get("/callback-exchanges?limit=200").await["exchanges"]), 12, "what the figures count");
    for (path, wanted) in [
        ("/callback-events?state=happy", 422),
        ("/callback-events?of=nobody", 422),
        ("/callback-events?callback_url=999", 422),
        ("/callback-events?before=x", 422),
        ("/callback-events?state=delivered&answered=500", 422),
        ("/callback-events?state=dead&reason=x", 403),
        ("/callback-exchanges?text=x", 403),
        ("/callback-exchanges?kind=colour", 422),
    ] {
        let answer = scene.app.call(Method::GET, &format!("/api/v1{path}"), &masked, None).await;
        assert_eq!(answer.http_status, wanted, "{path}: {answer:?}");
    }
    scene.app.leave().await;
}

on_each_database!(
    the_events_of_all_urls_stand_in_one_list_and_none_is_missed_between_pages,
    what_one_answer_refused_is_told_again_and_nothing_else,
    what_fails_is_tried_now_one_event_or_all,
    a_webhooks_event_is_sent_again_before_its_time_with_those_behind_it,
    a_url_to_which_nothing_is_owed_any_more_is_not_called_failing,
    an_account_whose_url_fails_wears_a_badge,
    a_messages_story_leads_to_its_callbacks_and_quotes_the_reply,
    programs_list_the_events_and_exchanges_of_all_urls,
);
