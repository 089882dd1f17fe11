//! What people write back.

use serde_json::{Value, json};
use wabridge::simulator::{Inbound, InboundContent};

use crate::harness::{
    ACCOUNT, BUSINESS_NUMBER, Database, Message, NUMBER_ID, TestApp, on_each_database, one_webhook_at_a_time, person,
};

/// Waits until this many inbound messages were told, and gives back the documents.
async fn told(app: &TestApp, count: u64) -> Vec<Value> {
    app.until_counted("inbound messages are told", |stats| stats.clevertap.inbound.values().sum::<u64>() >= count)
        .await;
    let records = app.simulator.callback_records(None).into_iter();
    let inbound = records.filter(|record| record.endpoint == wabridge::simulator::Endpoint::Inbound);
    inbound.inspect(|record| assert_eq!(record.account, ACCOUNT)).map(|record| record.entry).collect()
}

async fn a_text_a_tap_and_a_place_are_relayed(database: Database) {
    let app = TestApp::start(database).await;
    let from = person(1);

    // Opt-outs are found by their exact text.
    app.simulator.inbound_text(&from, NUMBER_ID, "  STOP 🙏\n", None).expect("the number exists");
    let texts = told(&app, 1).await;
    app.simulator.inbound_tap(&from, NUMBER_ID, "Stop promotions", "stop-7", None).expect("the number exists");
    let taps = told(&app, 2).await;
    app.simulator.inbound_location(&from, NUMBER_ID, 19.07, 72.87, None).expect("the number exists");
    let places = told(&app, 3).await;

    assert_eq!((&texts[0]["type"], &texts[0]["text"]["body"]), (&json!("text"), &json!("  STOP 🙏\n")));
    assert_eq!(texts[0]["from"], from.trim_start_matches('+'));
    assert_eq!(texts[0]["wabaNumber"], BUSINESS_NUMBER.trim_start_matches('+'));
    assert_eq!(texts[0].get("context"), None, "it answers nothing");
    assert_eq!(taps[1]["button"], json!({"payload": "stop-7", "text": "Stop promotions"}));
    assert_eq!(
        (&places[2]["location"]["latitude"], &places[2]["location"]["longitude"]),
        (&json!("19.07"), &json!("72.87"))
    );
    app.finish().await;
}

async fn a_reply_names_the_clevertap_id_of_the_message_that_it_answers(database: Database) {
    let app = TestApp::start(database).await;
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.settled().await;
    let wamid = app.stored(&message).await.provider_message_id.expect("WhatsApp gave it an id");

    app.simulator.inbound_text(&person(1), NUMBER_ID, "yes please", Some(&wamid)).expect("the number exists");
    app.simulator.inbound_text(&person(1), NUMBER_ID, "and?", Some("wamid.unknown")).expect("the number exists");
    let told = told(&app, 2).await;

    let of = |text: &str| told.iter().find(|document| document["text"]["body"] == text).expect("it was told").clone();
    assert_eq!(of("yes please")["context"]["id"], message.msg_id());
    assert_eq!(of("and?").get("context"), None, "a message that we did not send has no id that CleverTap knows");
    app.finish().await;
}

async fn a_message_that_comes_twice_is_told_once(database: Database) {
    let app = TestApp::start_with(database, |options| {
        // The webhook is taken, but the answer comes too late, so it is posted again and again.
        options.simulator.knobs.webhook_timeout_ms = 1;
        options.simulator.knobs.webhook_retry_ms = 1;
        options.simulator.knobs.webhook_retry_ms_max = 5;
    })
    .await;

    app.simulator.inbound_text(&person(1), NUMBER_ID, "once", None).expect("the number exists");
    told(&app, 1).await;
    app.until_counted("it was posted again", |stats| stats.webhooks_refused > 3 || stats.webhooks_taken > 0).await;
    app.simulator.change_knobs(|knobs| knobs.webhook_timeout_ms = 10_000).expect("valid knobs");

    let stats = app.finish().await;
    assert_eq!(stats.clevertap.inbound["text"], 1);
}

async fn messages_of_one_person_are_told_in_their_order(database: Database) {
    let app = TestApp::start_with(database, one_webhook_at_a_time).await;

    for number in 0..30 {
        app.simulator.inbound_text(&person(1), NUMBER_ID, &number.to_string(), None).expect("the number exists");
    }
    let told = told(&app, 30).await;

    let texts: Vec<String> =
        told.iter().map(|document| document["text"]["body"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(texts, (0..30).map(|number| number.to_string()).collect::<Vec<_>>());
    app.finish().await;
}

async fn a_kind_that_cannot_be_relayed_is_kept_and_harms_no_other(database: Database) {
    let app = TestApp::start(database).await;
    let taken_back = Inbound {
        from: person(1),
        phone_number_id: NUMBER_ID.to_owned(),
        context_wamid: None,
        content: InboundContent::Revoke { original_message_id: "wamid.0".to_owned() },
    };

    app.simulator.inbound(&taken_back).expect("the number exists");
    app.simulator.inbound_text(&person(1), NUMBER_ID, "did you like it?", None).expect("the number exists");
    let told = told(&app, 1).await;
    app.settled().await;

    assert_eq!(told[0]["text"]["body"], "did you like it?");
    let kept = app.store.count_callbacks().await.expect("countable");
    assert_eq!(kept.values().map(|(_, not_relayed)| *not_relayed).sum::<i64>(), 1, "it is in the log, and shown");
    app.finish().await;
}

async fn an_emoji_on_a_message_is_told_with_that_message(database: Database) {
    let app = TestApp::start(database).await;
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.settled().await;
    let wamid = app.stored(&message).await.provider_message_id.expect("WhatsApp gave it an id");
    let reaction = Inbound {
        from: person(1),
        phone_number_id: NUMBER_ID.to_owned(),
        context_wamid: None,
        content: InboundContent::Reaction { message_id: wamid, emoji: Some("👍".to_owned()) },
    };

    app.simulator.inbound(&reaction).expect("the number exists");
    let told = told(&app, 1).await;

    assert_eq!((&told[0]["type"], &told[0]["text"]["body"]), (&json!("text"), &json!("👍")));
    assert_eq!(told[0]["context"]["id"], message.msg_id());
    app.finish().await;
}

on_each_database![
    an_emoji_on_a_message_is_told_with_that_message,
    a_text_a_tap_and_a_place_are_relayed,
    a_reply_names_the_clevertap_id_of_the_message_that_it_answers,
    a_message_that_comes_twice_is_told_once,
    messages_of_one_person_are_told_in_their_order,
    a_kind_that_cannot_be_relayed_is_kept_and_harms_no_other,
];
