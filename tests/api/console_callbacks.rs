//! Callbacks in the console and in `/api/v1`: a URL that fails is found, what it refused is told again, and by whom.

use reqwest::Method;
use serde_json::{Value, json};
use wabridge::{
    domain::callback::EventKind,
    simulator::{CallbackRule, Endpoint},
};

use crate::harness::{Database, Message, NUMBER_ID, TestApp, on_each_database, person};
use crate::webhooks_out::Scene;

const ALL: [&str; 3] = ["sent", "delivered", "read"];

fn messages(count: usize) -> Vec<Message> {
    (0..count).map(|number| Message::order_update(&person(number))).collect()
}

fn refusing(status: u16, body_contains: Option<String>) -> CallbackRule {
    let endpoint = Some(Endpoint::DeliveryReports);
    CallbackRule { answer_status: status, endpoint, body_contains, ..CallbackRule::default() }
}

/// The number of the URL for delivery reports.
async fn reports_url(app: &TestApp) -> i32 {
    let subscriptions = app.subscriptions().await;
    let reports = subscriptions.iter().find(|subscription| subscription.kind == EventKind::Status);
    reports.expect("delivery reports are wanted").key.0
}

/// Everything about the first of the messages is dead, and the URL takes the others after that: its last answer is a yes.
async fn with_a_dead_message(app: &TestApp, messages: &[Message]) {
    app.simulator.add_callback_rule(refusing(400, Some(format!("\"{}\"", messages[0].msg_id()))));
    let (dead, taken) = messages.split_at(1);
    for part in [dead, taken] {
        app.accept_all(part).await;
        app.settled().await;
    }
}

/// The places that a page of events links to.
fn places(page: &str) -> Vec<i64> {
    let links = page.split("data-row href=\"").skip(1);
    let place = |rest: &str| rest.split('"').next()?.rsplit('/').next()?.parse().ok();
    links.map(|rest| place(rest).unwrap_or_else(|| panic!("no place in {rest}"))).collect()
}

async fn what_was_refused_is_found_and_told_again(database: Database) {
    let app = TestApp::start(database).await;
    let (asha, messages) = (app.first_owner().await, messages(8));
    let cara = app.another(&asha, "cara", "read-only").await;
    with_a_dead_message(&app, &messages).await;
    let url = format!("/console/callbacks/{}", reports_url(&app).await);

    let list = asha.get("/console/callbacks").await.text;
    assert!(
        list.contains(&format!("href=\"{url}\"")) && list.contains("<strong class=\"bad-text\">3</strong>"),
        "{list}"
    );
    let goes_well = async || !asha.get("/console/callbacks").await.text.contains("URL fails");
    app.until("it takes the rest", goes_well).await;
    let one = asha.get(&url).await.text;
    assert!(one.contains("HTTP 400") && one.contains("Left behind") && one.contains("Tell again"), "{one}");
    let dead = asha.get(&format!("{url}/events?state=dead")).await.text;
    assert_eq!(places(&dead).len(), 3, "{dead}");
    let event = format!("{url}/events/{}", places(&dead)[2]);
    let (whole, masked) = (asha.get(&event).await.text, cara.get(&event).await.text);
    assert!(whole.contains("HTTP 400") && whole.contains("&#34;sent&#34;"), "payload and tries: {whole}");
    assert!(masked.contains("HTTP 400") && masked.contains("masked") && !masked.contains("&#34;sent&#34;"), "{masked}");
    assert!(!masked.contains("Tell it again") && !cara.get(&url).await.text.contains("Count them"));

    let look = asha.get(&format!("{url}/replay?of=dead")).await.text;
    assert!(look.contains("<strong>3</strong> dead events"), "{look}");
    app.simulator.set_callback_rules(vec![]);
    let again = [("of", "dead")];
    assert_eq!(cara.post(&format!("{url}/replay"), &again).await.status, 403);
    assert_eq!(cara.get(&format!("{url}/replay?of=dead")).await.status, 403);
    assert_eq!(asha.post_plain(&format!("{url}/replay"), &again).await.status, 403, "no page of ours wrote that form");
    let done = asha.post(&format!("{url}/replay"), &again).await;
    assert_eq!(done.header("location"), format!("{url}?done=replay"), "{done:?}");
    app.until("it is told", async || asha.get(&url).await.text.contains("is done")).await;

    assert!(asha.get(&url).await.text.contains("Told 3 of 3 dead events again"));
    for message in &messages {
        assert_eq!(app.told(message), ALL, "the dead are told, and nobody else again");
    }
    assert!(asha.get(&format!("{url}/events?state=dead")).await.text.contains("No event fits"));
    let none = asha.post(&format!("{url}/replay"), &again).await;
    assert!(none.status == 409 && none.text.contains("nothing is told again"), "{none:?}");
    let place = event.rsplit('/').next().expect("it ends with a place");
    let alone = asha.post(&format!("{url}/replay"), &[("of", "all"), ("place", place)]).await;
    assert_eq!(alone.status, 303, "{alone:?}");
    app.until("it is told once more", async || app.told(&messages[0]).len() == 4).await;
    assert_eq!(app.told(&messages[0])[3], "sent");
    let lines = app.store.audit_lines(None, 10).await.expect("readable");
    let asked: Vec<_> = lines.iter().filter(|line| line.action == "start replay").collect();
    assert!(asked.len() == 2 && asked.iter().all(|line| line.actor == "asha"), "{lines:?}");
    app.leave().await;
}

async fn what_a_webhook_did_not_take_says_when_it_is_tried_again_and_what_waits_behind_it(database: Database) {
    let scene = Scene::start(database).await;
    let retries = json!({"kind": "fixed", "times": 3, "every_seconds": 300});
    let events = ["message.sent", "message.delivered", "message.read"];
    scene.webhook(json!({"events": events, "retries": retries})).await;
    scene.receiver.answer_next(&[503]);
    let url = scene.owner.get("/console/webhooks/crm").await.between("data-row href=\"", "\"");

    scene.app.accept(&Message::order_update(&person(1))).await;
    let owed = async || places(&scene.owner.get(&format!("{url}/events?state=owed")).await.text);
    scene.app.until("three are owed", async || owed().await.len() == 3).await;
    let event = async |place: i64| scene.owner.get(&format!("{url}/events/{place}")).await.text;
    let (behind, first) = (owed().await[1], owed().await[2]);
    scene.app.until("it was tried", async || event(first).await.contains("HTTP 503")).await;
    scene.app.until("all wait", async || event(first).await.contains("2 events wait behind it")).await;

    let (first_page, behind_page) = (event(first).await, event(behind).await);
    assert!(first_page.contains("Not taken yet.") && first_page.contains("It is tried again at 20"), "{first_page}");
    let waits = format!("It waits for the event at place {first}, which is tried again at 20");
    assert!(behind_page.contains("Not sent yet.") && behind_page.contains(&waits), "{behind_page}");
    assert!(
        behind_page.contains(&format!("{url}/events/{first}\""))
            && behind_page.contains("Another event waits behind it")
    );
    for page in [first_page, behind_page] {
        assert!(!page.contains("Left behind") && !page.contains("within seconds"), "{page}");
    }
    scene.app.leave().await;
}

async fn a_replay_is_ended_from_its_own_part_and_not_after_its_end(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let cara = app.another(&asha, "cara", "read-only").await;
    with_a_dead_message(&app, &messages(2)).await;
    // Whoever is refused is not told the others.
    app.simulator.set_callback_rules(vec![refusing(503, None)]);
    let url = format!("/console/callbacks/{}", reports_url(&app).await);
    assert_eq!(asha.post(&format!("{url}/replay"), &[("of", "dead")]).await.status, 303);
    let part = format!("{url}/replays/1");

    let (open, to_look) = (asha.get(&part).await.text, cara.get(&part).await.text);
    assert!(open.contains("End it") && open.contains(&format!("{part}/stop")), "{open}");
    assert!(to_look.contains("Told 0 of 3") && !to_look.contains("End it"), "{to_look}");
    assert_eq!(asha.post(&format!("{part}/stop"), &[]).await.status, 303);

    app.until("it has ended", async || asha.get(&part).await.text.contains("Replay 1 ended")).await;
    assert!(!asha.get(&part).await.text.contains("End it") && !asha.get(&url).await.text.contains("End it"));
    app.leave().await;
}

async fn a_url_that_fails_is_seen_from_every_page_and_tried_now(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let cara = app.another(&asha, "cara", "read-only").await;
    let key = reports_url(&app).await;
    let url = format!("/console/callbacks/{key}");
    assert!(!asha.get("/console/callbacks/badge").await.text.contains("badge"));
    let works = asha.post(&format!("{url}/release"), &[]).await;
    assert!(works.status == 409 && works.text.contains("waits for nothing"), "{works:?}");
    app.simulator.set_callback_rules(vec![refusing(401, None)]);
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.until("the URL is on hold", async || asha.get(&format!("{url}/standing")).await.text.contains("On hold")).await;

    let standing = asha.get(&url).await.text;
    assert!(standing.contains("Its last answer:</strong> HTTP 401"), "why it fails is said whole: {standing}");
    let part = asha.get(&format!("{url}/standing")).await.text;
    assert!(
        part.contains("Try now") && part.contains("Said lately"),
        "what somebody can do comes anew with it: {part}"
    );
    assert!(!cara.get(&format!("{url}/standing")).await.text.contains("Try now"));
    assert!(asha.get("/console/messages").await.text.contains("/console/callbacks/badge"));
    let badge = cara.get("/console/callbacks/badge").await.text;
    assert!(badge.contains("<span class=\"badge\">1") && badge.contains("URL fails"), "{badge}");
    let list = asha.get("/console/callbacks?state=on_hold").await.text;
    assert!(list.contains("1 URL fails") && list.contains("HTTP 401") && list.contains("next try in"), "{list}");
    assert!(asha.get("/console/callbacks?state=works&kind=status").await.text.contains("No callback URL is like that"));
    let owed = asha.get(&format!("{url}/events?state=owed")).await.text;
    let event = asha.get(&format!("{url}/events/{}", places(&owed)[0])).await.text;
    assert!(event.contains("the next try is in") && !event.contains("Tell it again"), "{event}");

    app.simulator.set_callback_rules(vec![]);
    assert_eq!(cara.post(&format!("{url}/release"), &[]).await.status, 403);
    assert_eq!(asha.post(&format!("{url}/release"), &[]).await.header("location"), format!("{url}?done=released"));
    app.settled().await;

    assert_eq!(app.told(&message), ALL);
    assert!(!asha.get("/console/callbacks/badge").await.text.contains("badge"));
    let lines = app.store.audit_lines(None, 1).await.expect("readable");
    assert!(
        lines[0].action == "release callback URL"
            && lines[0].before.as_deref().is_some_and(|hold| hold.contains("401"))
    );
    app.leave().await;
}

async fn events_and_exchanges_are_filtered_and_paged_without_gaps(database: Database) {
    let app = TestApp::start(database).await;
    let (asha, messages) = (app.first_owner().await, messages(40));
    with_a_dead_message(&app, &messages).await;
    app.simulator.inbound_text(&person(3), NUMBER_ID, "hello", None).expect("the number exists");
    app.settled().await;
    let url = format!("/console/callbacks/{}", reports_url(&app).await);
    let count = async |query: &str| places(&asha.get(&format!("{url}/events?{query}")).await.text).len();
    let msg_id = |index: usize| messages[index].msg_id().replace('|', "%7C");

    let mut path = format!("{url}/events");
    let mut seen = Vec::new();
    loop {
        let page = asha.get_with(&path, &[("HX-Request", "true")]).await;
        assert!(!page.text.contains("<html"), "only the list is asked for");
        seen.extend(places(&page.text));
        if !page.text.contains("Older events") {
            break;
        }
        path = page.between("<a class=\"button plain\" href=\"", "\"").replace("&#38;", "&");
    }
    let mut sorted = seen.clone();
    sorted.sort_unstable_by(|one, other| other.cmp(one));
    sorted.dedup();
    assert_eq!((seen.len(), &seen), (120, &sorted), "each status once, the newest first, and nothing inbound");

    for (query, wanted) in [
        (format!("message={}", msg_id(5)), 3),
        (format!("message={}&state=dead", msg_id(5)), 0),
        (format!("message={}&state=dead", msg_id(0)), 3),
        ("state=dead&reason=http+400".to_owned(), 3),
        ("state=dead&reason=teapot".to_owned(), 0),
        ("state=not_relayed".to_owned(), 0),
        ("state=owed".to_owned(), 0),
        ("state=delivered&until=2020-01-01T00:00".to_owned(), 0),
        ("state=delivered&since=2020-01-01T00:00".to_owned(), 50),
    ] {
        assert_eq!(count(&query).await, wanted, "{query}");
    }
    for (path, said) in [
        ("events?message=nosuch", "There is no message nosuch"),
        ("events?since=yesterday", "is no time"),
        ("exchanges?code=teapot", "is a number"),
        ("exchanges?code=503", "No exchange fits"),
        ("exchanges?outcome=refused&code=400", "HTTP 400"),
        ("exchanges?text=teapot", "No exchange fits"),
        ("exchanges?until=2020-01-01T00:00", "No exchange fits"),
        ("exchanges?outcome=succeeded", "HTTP 200"),
        ("replay?of=delivered&since=yesterday", "is no time"),
        ("replay?of=delivered&rate=fast", "events a second, a number"),
        ("replay?of=delivered&until=2020-01-01T00:00", "Nothing matches"),
    ] {
        let page = asha.get(&format!("{url}/{path}")).await;
        assert!(page.status == 200 && page.text.contains(said), "{path}: {page:?}");
    }
    assert!(!asha.get(&format!("{url}/exchanges?outcome=succeeded")).await.text.contains("HTTP 400"));
    assert_eq!(asha.get(&format!("{url}/events/999999")).await.status, 404);
    assert_eq!(asha.get("/console/callbacks/999999").await.status, 404);
    app.leave().await;
}

async fn programs_find_what_is_dead_tell_it_again_and_end_that_early(database: Database) {
    let app = TestApp::start(database).await;
    let (asha, messages) = (app.first_owner().await, messages(8));
    let masked = asha.make_token(&["messages:read"]).await;
    let whole = asha.make_token(&["messages:read", "personal:read", "callbacks:replay"]).await;
    with_a_dead_message(&app, &messages).await;
    let key = reports_url(&app).await;
    let call = async |method: Method, path: &str, token: &str, body: Option<Value>| {
        app.call(method, &format!("/api/v1/{path}"), token, body).await
    };
    let get = async |path: &str, token: &str| {
        let answer = call(Method::GET, path, token, None).await;
        assert_eq!(answer.http_status, 200, "{path}: {answer:?}");
        answer.body
    };

    let url = &get("callback-urls?account=acme&kind=status", &masked).await["callback_urls"][0];
    assert_eq!(
        (&url["id"], &url["state"], &url["dead"], &url["owed"]),
        (&json!(key), &json!("works"), &json!(3), &json!(0))
    );
    assert_eq!(get(&format!("callback-urls/{key}"), &masked).await["id"], json!(key));
    let dead = get(&format!("callback-urls/{key}/events?state=dead&limit=2"), &masked).await;
    let older = get(&format!("callback-urls/{key}/events?state=dead&limit=2&before={}", dead["next"]), &masked).await;
    assert_eq!(
        (older["events"].as_array().map(Vec::len), &older["next"]),
        (Some(1), &json!(null)),
        "{dead:#} {older:#}"
    );
    let event = &older["events"][0];
    assert_eq!((&event["status"], &event["platform_message_id"]), (&json!("sent"), &json!(messages[0].msg_id())));
    let event = format!("callback-urls/{key}/events/{}", event["place"]);
    let story = get(&event, &whole).await;
    assert!(story["payload"].as_str().is_some_and(|payload| payload.contains(messages[0].msg_id())), "{story:#}");
    assert!(story["tries"].as_array().is_some_and(|tries| tries.iter().any(|tried| tried["http_status"] == 400)));
    assert_eq!(get(&event, &masked).await["payload"], json!(null));
    let refused = get(&format!("callback-urls/{key}/exchanges?outcome=refused&http_status=400"), &masked).await;
    assert!(refused["exchanges"].as_array().is_some_and(|all| !all.is_empty()), "{refused:#}");

    for (path, wanted) in [
        ("callback-urls?state=happy", 422),
        ("callback-urls?account=nosuch", 422),
        ("callback-urls/999999", 404),
        ("callback-urls/x", 404),
        (&*format!("callback-urls/{key}/events?colour=red"), 400),
        (&format!("callback-urls/{key}/events?state=dead&reason=400"), 403),
        (&format!("callback-urls/{key}/exchanges?text=400"), 403),
        (&format!("callback-urls/{key}/exchanges?limit=0"), 422),
        (&format!("callback-urls/{key}/events/-5"), 404),
        ("replays/999999", 404),
    ] {
        assert_eq!(call(Method::GET, path, &masked, None).await.http_status, wanted, "{path}");
    }
    let start = async |token: &str, body: Value| call(Method::POST, "replays", token, Some(body)).await;
    assert_eq!(start(&masked, json!({"account": "acme"})).await.http_status, 403);
    assert_eq!(call(Method::POST, &format!("callback-urls/{key}/release"), &masked, None).await.http_status, 403);
    assert_eq!(
        call(Method::POST, &format!("callback-urls/{key}/release"), &whole, None).await.body,
        json!({"released": false})
    );
    for (body, field) in [
        (json!({}), "account"),
        (json!({"account": "nosuch"}), "account"),
        (json!({"callback_url": 999_999}), "callback_url"),
        (json!({"message": "nosuch"}), "message"),
        (json!({"message": messages[0].msg_id(), "place": 1}), "place"),
        (json!({"account": "acme", "state": "happy"}), "state"),
        (json!({"account": "acme", "rate": 0}), "rate"),
    ] {
        let refused = start(&whole, body.clone()).await;
        assert_eq!((refused.http_status, &refused.body["field"]), (422, &json!(field)), "{body}: {refused:?}");
    }
    let dry = start(&whole, json!({"callback_url": key, "dry_run": true})).await;
    assert_eq!((dry.http_status, dry.body), (200, json!({"events": 3, "replays": []})));

    app.simulator.set_callback_rules(vec![]);
    let begun = start(&whole, json!({"callback_url": key})).await;
    assert_eq!((begun.http_status, &begun.body["events"]), (202, &json!(3)), "{begun:?}");
    let replay = format!("replays/{}", begun.body["replays"][0]["id"]);
    app.until("they are told", async || get(&replay, &masked).await["finished"] == json!(true)).await;
    assert_eq!(get(&replay, &masked).await["told"], json!(3));
    assert_eq!(app.told(&messages[0]), ALL);
    let slow = start(&whole, json!({"account": "acme", "state": "delivered", "rate": 1})).await;
    let slow = format!("replays/{}", slow.body["replays"][0]["id"]);
    assert_eq!(call(Method::DELETE, &slow, &masked, None).await.http_status, 403);
    assert_eq!(call(Method::DELETE, &slow, &whole, None).await.http_status, 204);
    assert_eq!(call(Method::DELETE, &slow, &whole, None).await.http_status, 409);
    let listed = get(&format!("replays?callback_url={key}"), &masked).await;
    assert_eq!(listed["replays"].as_array().map(Vec::len), Some(2), "{listed:#}");
    assert!(listed["replays"][0]["note"].as_str().is_some_and(|note| note.contains("token a test")), "{listed:#}");
    let lines = app.store.audit_lines(None, 1).await.expect("readable");
    assert_eq!((lines[0].action.as_str(), lines[0].via.as_str()), ("stop replay", "API"));
    app.leave().await;
}

on_each_database!(
    what_was_refused_is_found_and_told_again,
    what_a_webhook_did_not_take_says_when_it_is_tried_again_and_what_waits_behind_it,
    a_replay_is_ended_from_its_own_part_and_not_after_its_end,
    a_url_that_fails_is_seen_from_every_page_and_tried_now,
    events_and_exchanges_are_filtered_and_paged_without_gaps,
    programs_find_what_is_dead_tell_it_again_and_end_that_early,
);
