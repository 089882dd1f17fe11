//! What has grown old is forgotten.

use std::time::Duration;

use serde_json::json;
use wabridge::domain::{
    phone::PhoneNumber,
    suppression::{Scope, Source, Suppression},
};

use crate::harness::{APP_SECRET, Database, Message, NUMBER_ID, TestApp, WABA_ID, on_each_database, person};

async fn every_table_with_personal_data_is_emptied_in_its_time(database: Database) {
    let app = TestApp::start_with(database, |options| {
        // Long enough for a slow machine to tell everything before.
        let age = Duration::from_secs(5);
        let retention = &mut options.settings.retention;
        for setting in [
            &mut retention.messages,
            &mut retention.events,
            &mut retention.refused,
            &mut retention.attempts,
            &mut retention.unrecognized,
            &mut retention.parked_statuses,
            &mut retention.person_links,
            &mut retention.every,
        ] {
            *setting = age;
        }
        retention.rows_per_step = 7;
        options.settings.repeats.window = age;
    })
    .await;
    let messages: Vec<Message> = (0..40).map(|number| Message::order_update(&person(number))).collect();
    let refused = Message::template(&person(1), "order_update", "en");
    let parked = json!({"object": "whatsapp_business_account", "entry": [{"id": WABA_ID, "changes": [{
        "field": "messages", "value": {"messaging_product": "whatsapp", "metadata": {"phone_number_id": NUMBER_ID},
        "contacts": [{"wa_id": person(50).trim_start_matches('+'), "user_id": "IN.1349A"}],
        "statuses": [{"id": "wamid.other", "status": "sent", "timestamp": "1790000123"}, "?"]}}]}]});

    app.accept_all(&messages).await;
    app.send(&refused).await;
    assert_eq!(app.post_webhook(parked.to_string(), APP_SECRET).await, 200);
    let account = app.store.load_configuration().await.expect("readable").accounts[0].key;
    let people = app.store.person_hasher().await.expect("there is a key");
    let phones = [50, 51].map(|number| PhoneNumber::from_international(&person(number)).expect("a number"));
    let hashes = phones.each_ref().map(|phone| people.of_phone(phone));
    let entries = [0, 1].map(|number| Suppression {
        account,
        person: hashes[number],
        source: Source::Operator,
        scope: Scope::Marketing,
        lifted: number == 0,
        phone: Some(phones[number].clone()),
        user_id: None,
        reason: "a test".to_owned(),
        occurred_at: wabridge::clock::now(),
    });
    app.store.change_suppressions(entries.to_vec()).await.expect("it is written");
    app.settled().await;
    let stored = app.stored(&messages[0]).await;
    for message in &messages {
        assert_eq!(app.told(message), ["sent", "delivered", "read"], "nothing is forgotten before it is told");
    }

    app.until("messages are forgotten", async || {
        let mut left = 0;
        for message in &messages {
            left += app.all_stored(message).await.len();
        }
        left == 0
    })
    .await;
    app.until("refused requests are forgotten", async || {
        app.store.refused_with(refused.msg_id()).await.expect("readable").is_empty()
    })
    .await;
    app.until("parts of webhooks are forgotten", async || {
        app.store.count_unrecognized().await.expect("countable") == (0, 0)
    })
    .await;

    // Nobody remembers whose id this is.
    let unnamed = json!({"object": "whatsapp_business_account", "entry": [{"id": WABA_ID, "changes": [{
        "field": "messages", "value": {"messaging_product": "whatsapp", "metadata": {"phone_number_id": NUMBER_ID},
        "messages": [{"id": "wamid.in", "from_user_id": "IN.1349A", "timestamp": "1790000123", "type": "text",
            "text": {"body": "hello"}}]}}]}]});
    assert_eq!(app.post_webhook(unnamed.to_string(), APP_SECRET).await, 200);
    app.settled().await;
    assert!(app.simulator.stats().clevertap.inbound.is_empty(), "it is not known from whom it came");
    app.until("events are forgotten, also where one subscription has heard nothing", async || {
        app.store.events_of(&stored).await.expect("readable").is_empty()
    })
    .await;
    app.until("a lifted suppression is forgotten, and no other", async || {
        let left = app.store.suppressions_anywhere(&hashes).await.expect("readable");
        left.iter().map(|entry| entry.person).collect::<Vec<_>>() == [hashes[1]]
    })
    .await;

    // Nobody remembers it, so it is new.
    app.accept(&messages[0]).await;
    app.settled().await;
    assert_eq!(app.simulator.sends(Some(&person(0))).len(), 2);
    app.leave().await;
}

on_each_database![every_table_with_personal_data_is_emptied_in_its_time];
