//! What people wrote, in the console and in `/api/v1`: found, shown with what the platform answered, and masked.

use reqwest::Method;
use serde_json::{Value, json};
use wabridge::simulator::{CallbackRule, Endpoint, Inbound, InboundContent, InboundMedia};

use crate::{
    harness::{Database, Message, NUMBER_ID, TestApp, on_each_database, person},
    suppressions::{choose, number},
};

fn say(app: &TestApp, from: &str, content: InboundContent, context_wamid: Option<String>) {
    let message = Inbound { from: from.to_owned(), phone_number_id: NUMBER_ID.to_owned(), context_wamid, content };
    app.simulator.inbound(&message).expect("the number exists");
}

fn text(body: &str) -> InboundContent {
    InboundContent::Text { body: body.to_owned() }
}

/// Five people write; CleverTap refuses what one of them says. Gives back the message that the first one answers.
async fn a_conversation(app: &TestApp) -> Message {
    let refused = Some("Grüße".to_owned());
    let endpoint = Some(Endpoint::Inbound);
    app.simulator.add_callback_rule(CallbackRule {
        answer_status: 400,
        endpoint,
        body_contains: refused,
        ..CallbackRule::default()
    });
    let answered = Message::order_update(&person(1));
    app.accept(&answered).await;
    app.settled().await;
    let wamid = app.stored(&answered).await.provider_message_id;
    say(app, &person(1), text("Thank you so much!"), wamid);
    // Several webhooks at once overtake each other, and this is the first.
    app.settled().await;
    let picture = InboundMedia { caption: Some("is this right?".to_owned()), ..InboundMedia::default() };
    say(app, &person(2), InboundContent::Image(picture), None);
    say(app, &person(3), text("Viele Grüße & <b>bold</b>"), None);
    let payload = "stop-7".to_owned();
    say(app, &person(4), InboundContent::Button { text: "Stop promotions".to_owned(), payload }, None);
    choose(app, number(&person(4)), "stop", 1_790_000_100).await;
    let place = InboundContent::Location {
        latitude: 19.076,
        longitude: 72.877,
        name: Some("Office".to_owned()),
        address: None,
    };
    app.settled().await;
    say(app, &person(5), place, None);
    app.settled().await;
    app.until("the picture is copied", async || app.store.count_media().await.expect("countable").stored == 1).await;
    answered
}

/// How many messages a page shows.
fn shown(page: &str) -> usize {
    page.matches("class=\"bubble\"").count()
}

async fn what_people_wrote_is_found_with_what_the_platform_answered(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let answered = a_conversation(&app).await;
    let count = async |query: &str| shown(&asha.get(&format!("/console/inbound?{query}")).await.text);

    let all = asha.get("/console/inbound").await.text;
    assert_eq!(shown(&all), 5, "{all}");
    let story = format!("/console/messages/{}", app.stored(&answered).await.id);
    assert!(all.contains("Thank you so much!") && all.contains(&story), "{all}");
    assert!(all.contains("&#38; &#60;b&#62;bold") && !all.contains("<b>bold"), "nobody writes into our page: {all}");
    assert!(all.contains("opted out of marketing 21 Sep") && all.contains("19.076"), "{all}");
    assert_eq!((all.matches(">relayed<").count(), all.matches(">dead<").count()), (4, 1), "{all}");
    assert!(all.contains("HTTP 200 at") && all.contains("HTTP 400 at"), "{all}");
    let newest = all.find("Office").zip(all.find("Thank you so much!"));
    assert!(newest.is_some_and(|(newer, older)| newer < older), "the newest first");

    let picture = asha.get("/console/inbound?kind=image").await;
    assert!(shown(&picture.text) == 1 && picture.text.contains("is this right?"), "{picture:?}");
    let file = asha.get(&picture.between("<img src=\"", "\"")).await;
    assert_eq!(
        (file.status, file.header("content-type"), file.header("x-content-type-options")),
        (200, "image/jpeg", "nosniff")
    );

    let third = person(3).replace('+', "");
    for (query, wanted) in [
        (&*format!("phone=%2B{third}"), 1),
        (&format!("phone={}", &third[6..]), 1),
        ("text=THANK+you", 1),
        ("text=gr%C3%BC%C3%9Fe", 1),
        ("text=promotions&kind=button", 1),
        ("text=stop-7", 0),
        ("text=nothing+of+the+kind", 0),
        ("kind=voice", 0),
        ("account=acme&number=%2B918880110022", 5),
        ("until=2020-01-01T00:00", 0),
        ("since=2020-01-01T00:00", 5),
    ] {
        assert_eq!(count(query).await, wanted, "{query}");
    }
    for (query, said) in [
        ("account=nosuch", "Account: there is no account nosuch"),
        ("number=12", "Number: there is no business number 12"),
        ("phone=12", "at least the last 5 digits"),
        ("since=yesterday", "is no time"),
        ("before=yesterday", "Before: “yesterday” cannot be read"),
        ("text=nothing", "Nobody wrote anything like that"),
    ] {
        let page = asha.get(&format!("/console/inbound?{query}")).await;
        assert!(page.status == 200 && page.text.contains(said), "{query}: {page:?}");
    }
    let event = asha.get(&asha.get("/console/inbound?text=thank").await.between("data-row href=\"", "\"")).await;
    assert!(event.status == 200 && event.text.contains("Thank you so much!"), "what CleverTap was told: {event:?}");
    app.leave().await;
}

async fn who_may_not_see_people_sees_that_somebody_wrote(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let cara = app.another(&asha, "cara", "read-only").await;
    a_conversation(&app).await;
    let masked = asha.make_token(&["messages:read"]).await;
    let whole = asha.make_token(&["messages:read", "personal:read"]).await;

    let page = cara.get("/console/inbound").await.text;
    assert!(shown(&page) == 5 && page.contains("tap on a button") && page.contains("+919******001"), "{page}");
    for secret in ["Thank you", &person(1)[1..], "is this right", "<img", "19.076", "/media/", "wamid.HB"] {
        assert!(!page.contains(secret), "{secret} is nobody's business: {page}");
    }
    let third = person(3).replace('+', "");
    let one = cara.get(&format!("/console/inbound?phone=%2B{third}")).await.text;
    assert!(shown(&one) == 1 && one.contains("HTTP 400"), "{one}");
    assert!(
        cara.get(&format!("/console/inbound?phone={}", &third[6..])).await.text.contains("no whole telephone number")
    );
    assert_eq!(cara.get("/console/inbound?text=thank").await.status, 403);

    let get =
        async |query: &str, token: &str| app.call(Method::GET, &format!("/api/v1/inbound{query}"), token, None).await;
    let page = get("", &masked).await.body;
    let messages = page["messages"].as_array().expect("a list");
    assert!(messages.len() == 5 && messages.iter().all(|one| one["words"] == json!([]) && one["entry"] == Value::Null));
    assert!(!page.to_string().contains(&third), "{page:#}");
    let page = get("?kind=text&text=thank", &whole).await.body;
    let message = &page["messages"][0];
    assert_eq!(
        (&message["words"], &message["person"]),
        (&json!(["Thank you so much!"]), &json!(person(1))),
        "{page:#}"
    );
    assert_eq!((&message["told"]["state"], &message["told"]["http_status"]), (&json!("delivered"), &json!(200)));
    assert!(message["answers"].is_string() && message["answers_platform_message_id"].is_string(), "{message:#}");
    let file = &get("?kind=image", &whole).await.body["messages"][0]["file"];
    assert_eq!((&file["state"], app.get(file["path"].as_str().expect("a path")).await.0), (&json!("stored"), 200));
    for (query, wanted) in [
        ("?text=thank", 403),
        ("?kind=telepathy", 422),
        ("?before=x", 422),
        ("?colour=red", 400),
        ("?limit=0", 422),
        ("?phone=3", 422),
    ] {
        assert_eq!(get(query, &masked).await.http_status, wanted, "{query}");
    }
    app.leave().await;
}

async fn a_long_conversation_is_paged_without_gaps(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let token = asha.make_token(&["messages:read", "personal:read"]).await;
    for number in 0..60 {
        say(&app, &person(number % 7), text(&format!("message {number:02}")), None);
    }
    app.until("all have arrived", async || {
        let page = app.call(Method::GET, "/api/v1/inbound?limit=200", &token, None).await.body;
        page["messages"].as_array().is_some_and(|messages| messages.len() == 60)
    })
    .await;
    app.settled().await;

    let first = asha.get("/console/inbound").await;
    assert_eq!(shown(&first.text), 50);
    let older = first.between("class=\"quiet\"><a href=\"", "\"").replace("&#38;", "&");
    let more = asha.get_with(&older, &[("HX-Request", "true"), ("X-More", "1")]).await.text;
    assert!(shown(&more) == 10 && !more.contains("<ol") && more.contains("These are all."), "{more}");

    let (mut query, mut words) = ("?limit=7".to_owned(), Vec::new());
    loop {
        let page = app.call(Method::GET, &format!("/api/v1/inbound{query}"), &token, None).await.body;
        let messages = page["messages"].as_array().expect("a list");
        words.extend(messages.iter().map(|message| message["words"][0].as_str().expect("a text").to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("?limit=7&before={next}");
    }
    words.sort();
    assert_eq!(words, (0..60).map(|number| format!("message {number:02}")).collect::<Vec<_>>());
    app.leave().await;
}

on_each_database!(
    what_people_wrote_is_found_with_what_the_platform_answered,
    who_may_not_see_people_sees_that_somebody_wrote,
    a_long_conversation_is_paged_without_gaps,
);
