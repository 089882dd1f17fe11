//! A number whose provider must be asked what happened, because its plan has no webhooks.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use wabridge::{
    clock,
    domain::time::UnixMillis,
    simulator::{Dialect, Endpoint, Simulator, SimulatorSettings},
    store::polls::Polling,
};

use crate::{
    gallabox,
    harness::{BUSINESS_NUMBER, CONNECTION, Database, Message, NUMBER_ID, TestApp, on_each_database, person, script},
};

const POLLED: &str = "poll_every_s = \"5\"";
/// From so long before its start a scenario asks.
const BACK: Duration = Duration::from_secs(9 * 60);

/// A bridge that hears nothing by webhook, and has begun to ask.
async fn start(database: Database) -> TestApp {
    let app = gallabox::start(database, POLLED, |options| {
        options.simulator.knobs.webhooks_paused = true;
        options.simulator.knobs.status_script = script("none");
    })
    .await;
    look_back(&app).await;
    app
}

/// As if all numbers had been asked last some time ago.
async fn look_back(app: &TestApp) {
    let numbers: Vec<_> = app.directory().snapshot().senders().map(|sender| sender.key).collect();
    for number in numbers {
        let known = async || app.store.polling_of(number).await.expect("readable");
        app.until("it has been looked from when on to ask", async || known().await.is_some()).await;
        let polling = known().await.expect("it was just there");
        let earlier = Polling { since: polling.since.minus(BACK), ..polling };
        app.store.keep_polling(number, &earlier).await.expect("written");
    }
}

/// Waits until so many more requests for lists came. A look at one conversation makes two.
async fn asked(app: &TestApp, more: u64) {
    let wanted = app.simulator.stats().lists_asked + more;
    app.until_counted("it is asked again", |stats| stats.lists_asked >= wanted).await;
}

fn texts(app: &TestApp) -> Vec<String> {
    let records = app.simulator.callback_records(None).into_iter();
    let inbound = records.filter(|record| record.endpoint == Endpoint::Inbound);
    inbound.map(|record| record.entry["text"]["body"].as_str().unwrap_or_default().to_owned()).collect()
}

/// An entry of a message that a person wrote.
fn said(from: &str, text: &str, at: UnixMillis) -> Value {
    let digits = from.trim_start_matches('+');
    json!({"id": format!("id-{digits}-{text}"), "contactId": digits, "sender": digits, "channelId": NUMBER_ID,
        "createdAt": at.to_string(), "whatsapp": {"id": format!("wamid.{digits}.{text}"), "from": digits, "type": "text",
        "status": "received", "time": (at.0 / 1000).to_string(), "text": {"body": text}}})
}

/// The number as `/api/v1` shows it, and its page.
async fn shown(app: &TestApp, number: &str) -> (Value, String) {
    let owner = app.first_owner().await;
    let token = owner.make_token(&["messages:read"]).await;
    let digits = number.trim_start_matches('+');
    let answer = app.call(Method::GET, &format!("/api/v1/senders/{digits}"), &token, None).await;
    (answer.body["poll_trouble"].clone(), owner.get(&format!("/console/numbers/{digits}")).await.text)
}

async fn what_becomes_of_messages_is_found_and_nothing_is_told_twice(database: Database) {
    let app = start(database).await;
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.until("it is taken", async || app.stored(&message).await.provider_message_id.is_some()).await;
    let stored = app.stored(&message).await;
    let sent_at = clock::now().minus(Duration::from_secs(8 * 60));
    let own = |status: &str, local: Value, changed: UnixMillis| {
        json!({"id": stored.provider_message_id.as_ref().expect("it was taken"), "contactId": "c-1", "sender": "agent",
            "channelId": NUMBER_ID, "localMessageId": local, "createdAt": sent_at.to_string(), "updatedAt": changed.to_string(),
            "whatsapp": {"id": "wamid.OF.OURS", "to": "919876500001", "type": "template", "status": status}})
    };

    app.simulator.list_entry(own("sent", json!(stored.id.to_string()), sent_at));
    app.until("it is told to be sent", async || app.told(&message) == ["sent"]).await;
    // What a person writes moves on from when on is asked; the message changes after that, and keeps its time.
    app.simulator.list_entry(said(&person(2), "hello", clock::now()));
    app.until("the text is told", async || texts(&app) == ["hello"]).await;
    app.simulator.list_entry(own("delivered", json!(stored.id.to_string()), clock::now()));
    app.until("it is told to be delivered", async || app.told(&message) == ["sent", "delivered"]).await;
    // Gallabox's own id does as well.
    app.simulator.list_entry(own("read", Value::Null, clock::now()));
    app.until("it is told to be read", async || app.told(&message) == ["sent", "delivered", "read"]).await;

    asked(&app, 8).await;
    assert_eq!((texts(&app).len(), app.told(&message).len()), (1, 3), "each once, however often it is seen");
    assert_eq!(app.store.count_unrecognized().await.expect("countable"), (0, 0));
    app.leave().await;
}

async fn what_cannot_be_understood_is_kept_once_and_shown(database: Database) {
    let app = start(database).await;
    app.simulator.list_entry(json!({"channelId": NUMBER_ID, "contactId": "c-1", "odd": "first"}));
    app.simulator.list_entry(
        json!({"channelId": NUMBER_ID, "contactId": "c-2", "sender": "c-2", "createdAt": clock::now().to_string(),
        "whatsapp": {"type": "text", "status": "received", "note": "second"}}),
    );
    app.simulator.list_entry(json!({"channelId": NUMBER_ID, "contactId": Value::Null, "odd": "third"}));
    app.simulator.list_entry(said(&person(1), "in between", clock::now()));

    app.until("the rest is told", async || texts(&app) == ["in between"]).await;
    asked(&app, 8).await;

    assert_eq!(app.store.count_unrecognized().await.expect("countable"), (3, 0), "each once");
    let listed = app.command(&["unrecognized", "--json"]).await;
    assert_eq!(listed.matches("\"parts\": 1").count(), 3, "{listed}");
    assert!(
        listed.contains("has a shape that is known") && listed.contains("does not say with whom it is"),
        "{listed}"
    );
    app.leave().await;
}

async fn more_than_a_list_gives_at_first_is_asked_for_and_what_is_beyond_it_is_said(database: Database) {
    const TEXTS: usize = 90;
    let app = start(database).await;
    let at = clock::now();
    for number in 0..TEXTS {
        app.simulator.list_entry(said(&person(1), &format!("text {number}"), at));
    }

    app.until("all are told", async || texts(&app).len() >= TEXTS).await;
    let mut all = texts(&app);
    all.sort_unstable();
    all.dedup();
    assert_eq!((texts(&app).len(), all.len()), (TEXTS, TEXTS));
    assert_eq!(shown(&app, BUSINESS_NUMBER).await.0, Value::Null);

    app.simulator.change_knobs(|knobs| knobs.list_page_max = 20).expect("valid knobs");
    let later = clock::now();
    for number in 0..TEXTS {
        app.simulator.list_entry(said(&person(1), &format!("later {number}"), later));
    }
    app.until("it is said", async || {
        let pollings = app.store.pollings().await.expect("readable");
        pollings.values().any(|polling| polling.trouble.as_ref().is_some_and(|it| it.text.contains("more was said")))
    })
    .await;
    app.until("the newest are told all the same", async || texts(&app).len() >= TEXTS + 20).await;
    app.leave().await;
}

async fn a_throttled_connection_rests_by_itself_and_says_so(database: Database) {
    // Each connection has a Gallabox of its own.
    let other = async |throttled_s: Option<u32>| {
        let mut settings = SimulatorSettings::default();
        (settings.port, settings.knobs.dialect) = (0, Dialect::Gallabox);
        settings.knobs.lists_throttled_s = throttled_s;
        Simulator::start(settings).await.expect("it starts")
    };
    let (patient, well) = (other(Some(120)).await, other(None).await);
    let more = |id: &str, place: usize, gallabox: &Simulator| {
        format!(
            r#"
            [[connections]]
            id = "{id}"
            provider = "gallabox"
            base_url = "{}"
            api_key = "simulator-access-token"
            api_secret = "simulator-app-secret"
            {POLLED}

            [[accounts.senders]]
            number = "+91888011002{place}"
            connection = "{id}"
            phone_number_id = "10000000000000{place}"
            waba_id = "200000000000001"
            messages_per_second = 10
            "#,
            gallabox.url()
        )
    };
    let app = gallabox::start(database, POLLED, |options| {
        options.simulator.knobs.webhooks_paused = true;
        options.simulator.knobs.lists_throttled_s = Some(0);
        options.more = format!("{}{}", more("patient", 7, &patient), more("well", 8, &well));
    })
    .await;
    look_back(&app).await;

    let rests = async |place: &str| {
        let pollings = app.store.pollings().await.expect("readable");
        let snapshot = app.directory().snapshot();
        let of = |sender: &&std::sync::Arc<wabridge::domain::account::Sender>| sender.number.as_e164().ends_with(place);
        let sender = snapshot.senders().find(of).expect("it was applied").key;
        let trouble = pollings.get(&sender)?.trouble.clone()?;
        Some((trouble.again_at?.0 - trouble.since.0, trouble.text))
    };
    let both = async || rests("0022").await.is_some() && rests("0027").await.is_some();
    app.until("both were throttled", both).await;
    for (place, wanted_ms) in [("0022", 60_000), ("0027", 120_000)] {
        let (wait_ms, text) = rests(place).await.expect("it rests");
        assert_eq!(wait_ms, wanted_ms, "{place}");
        assert!(text.contains("HTTP 429"), "{text}");
    }
    let before = (app.simulator.stats().lists_asked, patient.handle().stats().lists_asked);
    let wanted = well.handle().stats().lists_asked + 2;
    let told = well.handle().wait_until(|stats| stats.lists_asked >= wanted, Duration::from_secs(40)).await;
    told.expect("the third goes on being asked");
    assert_eq!(
        (app.simulator.stats().lists_asked, patient.handle().stats().lists_asked),
        before,
        "they are left alone"
    );
    assert!(rests("0028").await.is_none());

    let (trouble, page) = shown(&app, BUSINESS_NUMBER).await;
    assert!(trouble["text"].as_str().is_some_and(|text| text.contains("HTTP 429")), "{trouble}");
    assert!(trouble["again_at"].is_string(), "{trouble}");
    assert!(page.contains("nobody could ask what happened at it"), "{page}");
    let status = app.command(&["status"]).await;
    assert!(status.contains("nobody could ask what happened at it: HTTP 429"), "{status}");
    app.leave().await;
}

async fn a_refused_key_puts_the_connection_on_hold_until_somebody_mends_it(database: Database) {
    let app = start(database).await;
    app.simulator.change_knobs(|knobs| knobs.access_token = "another".to_owned()).expect("valid knobs");

    let hold = async || app.directory().snapshot().connection(CONNECTION).and_then(|known| known.hold.clone());
    app.until("the connection is on hold", async || hold().await.is_some()).await;

    let reason = hold().await.map(|hold| hold.reason).unwrap_or_default();
    assert!(reason.contains("HTTP 401"), "{reason}");
    assert!(shown(&app, BUSINESS_NUMBER).await.1.contains("HTTP 401"));

    app.simulator.change_knobs(|knobs| knobs.access_token = "simulator-access-token".to_owned()).expect("valid knobs");
    app.simulator.list_entry(said(&person(1), "still there?", clock::now()));
    app.command(&["release", CONNECTION]).await;
    // Not only after the minutes for which a refused key is left alone.
    app.until("what was said meanwhile is told", async || texts(&app) == ["still there?"]).await;
    let well = async || app.store.pollings().await.expect("readable").values().all(|polling| polling.trouble.is_none());
    app.until("nothing is said to be wrong any more", well).await;
    app.leave().await;
}

on_each_database![
    what_becomes_of_messages_is_found_and_nothing_is_told_twice,
    what_cannot_be_understood_is_kept_once_and_shown,
    more_than_a_list_gives_at_first_is_asked_for_and_what_is_beyond_it_is_said,
    a_throttled_connection_rests_by_itself_and_says_so,
    a_refused_key_puts_the_connection_on_hold_until_somebody_mends_it,
];
