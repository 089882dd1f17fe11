//! Messages that WhatsApp took and said nothing more about.

use std::time::Duration;

use serde_json::json;
use wabridge::{
    domain::time::UnixMillis,
    simulator::{Effect, Rule},
};

use crate::harness::{APP_SECRET, Database, Message, NUMBER_ID, TestApp, WABA_ID, on_each_database, person, script};

const ALL: [&str; 3] = ["sent", "delivered", "read"];
/// Of the template, as listed: longer than a busy machine takes to hear that a message was sent.
const TIME_TO_LIVE_S: u64 = 6;

/// A bridge that knows how long order_update lives, and looks for silence each second.
async fn start(database: Database, account: &str) -> TestApp {
    let app = TestApp::start_with(database, |options| {
        options.settings.send.silence_buffer = Duration::from_secs(1);
        options.settings.alarms.look_every = Duration::from_millis(200);
        options.account = format!("expire_after = {{ utility = \"8s\" }}\n{account}");
    })
    .await;
    let mut templates = app.simulator.templates();
    for template in templates.iter_mut().filter(|template| template["name"] == "order_update") {
        template["message_send_ttl_seconds"] = json!(TIME_TO_LIVE_S);
    }
    app.simulator.set_templates(templates).expect("templates of Meta's shape");
    app.command(&["sync"]).await;
    app.until("the time to live is known", async || {
        let snapshot = app.directory().snapshot();
        let templates = app.directory().templates(snapshot.senders().next().expect("there is one number"));
        templates.iter().any(|template| template.time_to_live_s == Some(TIME_TO_LIVE_S as i64))
    })
    .await;
    app
}

/// Waits until the messages so far have been looked at.
async fn until_looked_at(app: &TestApp, message: &Message) {
    let id = app.stored(message).await.id;
    app.until("it is looked at", async || app.store.silence_mark(TIME_TO_LIVE_S).await.expect("readable") >= id).await;
}

async fn a_message_without_news_is_reported_as_failed_once_its_number_is_heard_of_after_its_time(database: Database) {
    let app = start(database, "").await;
    app.simulator.add_rule(Rule::recipient(&person(1), Effect::Statuses(script("none"))));
    app.simulator.add_rule(Rule::recipient(&person(2), Effect::Statuses(script("sent@5"))));
    let [silent, sent, arrived] = [1, 2, 3].map(|number| Message::order_update(&person(number)));
    app.accept_all(&[silent.clone(), sent.clone()]).await;
    app.until_counted("both are taken", |stats| stats.sends_accepted == 2).await;
    app.until("one is told of", async || app.told(&sent) == ["sent"]).await;
    until_looked_at(&app, &silent).await;
    until_looked_at(&app, &sent).await;
    assert!(app.told(&silent).is_empty() && app.told(&sent) == ["sent"], "perhaps no webhook reaches us any more");

    app.accept(&arrived).await;

    app.until("the first is closed", async || app.told(&silent) == ["failed"]).await;
    app.until("the second is closed", async || app.told(&sent) == ["sent", "failed"]).await;
    assert_eq!((app.told_failure(&silent), app.told_failure(&sent)), (Some(1005), Some(1005)));
    app.until("what came last is read", async || app.told(&arrived) == ALL).await;

    // It was not dropped after all.
    post_delivered(&app, &sent).await;
    app.until("it is told", async || app.told(&sent) == ["sent", "failed", "delivered"]).await;
    app.finish().await;
}

async fn post_delivered(app: &TestApp, message: &Message) {
    let wamid = app.stored(message).await.provider_message_id.expect("it was taken");
    let late = json!({"object": "whatsapp_business_account", "entry": [{"id": WABA_ID, "changes": [{
        "field": "messages", "value": {"messaging_product": "whatsapp", "metadata": {"phone_number_id": NUMBER_ID},
        "statuses": [{"id": wamid, "status": "delivered", "timestamp": "1890000123"}]}}]}]});
    assert_eq!(app.post_webhook(late.to_string(), APP_SECRET).await, 200);
}

async fn what_arrived_during_an_outage_of_webhooks_is_not_reported_as_failed(database: Database) {
    let app = start(database, "").await;
    app.simulator.add_rule(Rule::everybody(Effect::Statuses(script("sent@5"))));
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.until("it is told of", async || app.told(&message) == ["sent"]).await;
    until_looked_at(&app, &message).await;
    assert_eq!(noted(&app).await, 1);

    post_delivered(&app, &message).await;

    app.until("it is looked at again", async || noted(&app).await == 0).await;
    app.settled().await;
    assert_eq!(app.told(&message), ["sent", "delivered"]);
    app.finish().await;
}

/// Messages that are to be looked at again.
async fn noted(app: &TestApp) -> usize {
    let sender = app.directory().snapshot().senders().next().expect("there is one number").key;
    app.store.unheard_until(sender, UnixMillis(i64::MAX), 9).await.expect("readable").len()
}

async fn silence_of_a_number_that_is_not_heard_of_at_all_proves_nothing(database: Database) {
    let app = start(database, "").await;
    app.simulator.add_rule(Rule::everybody(Effect::Statuses(script("none"))));
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.settled().await;

    until_looked_at(&app, &message).await;

    assert!(app.told(&message).is_empty(), "perhaps no webhook reaches us");
    app.finish().await;
}

async fn an_account_may_want_silence_reported_whether_its_number_is_heard_of_or_not(database: Database) {
    let app = start(database, "silent_messages = \"report_failed_always\"").await;
    app.simulator.add_rule(Rule::everybody(Effect::Statuses(script("none"))));
    let message = Message::order_update(&person(1));

    app.accept(&message).await;

    app.until("it is closed", async || app.told(&message) == ["failed"]).await;
    assert_eq!(noted(&app).await, 0);
    app.finish().await;
}

async fn a_message_that_was_sent_again_and_waited_is_closed_too(database: Database) {
    let app = start(database, "silent_messages = \"report_failed_always\"").await;
    app.simulator.add_rule(Rule::everybody(Effect::Statuses(script("none"))));
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.until("it is closed", async || app.told(&message) == ["failed"]).await;

    // It has time to wait, however busy the machine is.
    app.apply(&app.configuration.replace("\"8s\"", "\"1h\"")).await;
    app.command(&["queue", "pause", "--account", "acme"]).await;
    app.command(&["message", "resend", message.msg_id(), "--force"]).await;
    let (sender, decided_at) = (app.stored(&message).await.sender, wabridge::clock::now());
    let looked = async || {
        let due = app.store.unheard_until(sender, decided_at, 9).await.expect("readable");
        due.is_empty() && noted(&app).await == 1
    };
    app.until("it is looked at while it waits, and kept in mind", looked).await;
    app.command(&["queue", "resume", "--all"]).await;

    app.until("the second send is closed", async || app.told(&message) == ["failed", "failed"]).await;
    app.until("nothing is kept in mind", async || noted(&app).await == 0).await;
    // It was sent twice, as an operator wished.
    app.leave().await;
}

async fn an_account_may_want_silence_to_be_left(database: Database) {
    let app = start(database, "silent_messages = \"leave\"").await;
    app.simulator.add_rule(Rule::recipient(&person(1), Effect::Statuses(script("sent@5"))));
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.settled().await;
    app.apply(
        "[[accounts]]\nid = \"globex\"\nplatform = \"clevertap\"\nclevertap_account_id = \"TEST-ACC-1\"\n\
         clevertap_passcode = \"acme-passcode\"\nexpire_after = { utility = \"8s\" }\n\
         [[accounts.senders]]\nnumber = \"+918880110033\"\nconnection = \"meta-main\"\n\
         phone_number_id = \"100000000000002\"\nwaba_id = \"200000000000001\"",
    )
    .await;

    // Because of the other account the walk takes place.
    until_looked_at(&app, &message).await;

    assert_eq!(app.told(&message), ["sent"]);
    app.finish().await;
}

on_each_database![
    a_message_without_news_is_reported_as_failed_once_its_number_is_heard_of_after_its_time,
    what_arrived_during_an_outage_of_webhooks_is_not_reported_as_failed,
    an_account_may_want_silence_reported_whether_its_number_is_heard_of_or_not,
    silence_of_a_number_that_is_not_heard_of_at_all_proves_nothing,
    a_message_that_was_sent_again_and_waited_is_closed_too,
    an_account_may_want_silence_to_be_left,
];
