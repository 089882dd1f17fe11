//! What has grown old is forgotten.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use wabridge::{
    domain::{
        attempt::AttemptOutcome,
        ids::{AccountKey, MessageId, Place, SubscriptionKey},
        phone::PhoneNumber,
        suppression::{Scope, Source, Suppression},
        time::UnixMillis,
    },
    settings::Settings,
    simulator::{Inbound, InboundContent, InboundMedia},
    store::{
        exchanges::ExchangeFilter,
        past::{Past, PastExchange},
    },
};

use crate::harness::{APP_SECRET, Database, Message, NUMBER_ID, TestApp, WABA_ID, on_each_database, person};

async fn an_account_may_keep_less_than_others(database: Database) {
    let app = TestApp::start_with(database, |options| options.account = "keep_for = \"30d\"".to_owned()).await;
    let refused = Message::order_update("+12");
    let messages: Vec<Message> = (1..=3).map(|number| Message::order_update(&person(number))).collect();
    app.accept_all(&messages).await;
    app.send(&refused).await;
    app.settled().await;
    let account = app.store.load_configuration().await.expect("readable").accounts[0].clone();
    assert_eq!(account.policy.keep_for, Some(Duration::from_secs(30 * 24 * 3600)));
    let kept = async || app.store.refused_with(refused.msg_id()).await.expect("readable").len();
    app.until("the refusal is kept", async || kept().await == 1).await;
    let later = wabridge::clock::now().plus(Duration::from_secs(60));
    let other = AccountKey(account.key.0 + 1);

    assert!(app.store.forget_messages_of(other, later, 100).await.expect("written") >= 3, "they were looked at");
    assert_eq!(app.store.forget_refused_of(other, later, 100).await.expect("written"), 0);
    assert_eq!(app.all_stored(&messages[0]).await.len(), 1, "those of others stay");
    let mut looked_at = 0;
    while let more @ 1.. = app.store.forget_messages_of(account.key, later, 2).await.expect("written") {
        looked_at += more;
    }

    assert!(looked_at >= 3, "two at a time, up to the end: {looked_at}");
    assert_eq!(app.store.forget_refused_of(account.key, later, 100).await.expect("written"), 1);
    for message in &messages {
        assert!(app.all_stored(message).await.is_empty());
    }
    assert_eq!(kept().await, 0);
    app.accept(&messages[0]).await;
    app.settled().await;
    assert_eq!(app.simulator.stats().sends_received, 4, "nothing is left by which it would be recognised as a repeat");
    app.leave().await;
}

async fn nobody_keeps_for_longer_than_the_server(database: Database) {
    let app = TestApp::start(database).await;
    let asha = app.first_owner().await;
    let token = asha.make_token(&["configuration:manage", "messages:read"]).await;
    let change = async |body: Value| app.call(Method::PATCH, "/api/v1/accounts/acme", &token, Some(body)).await;

    for (field, bound) in [("keep_for", "32 days"), ("keep_exchanges_for", "14 days"), ("keep_media_for", "30 days")] {
        let said = format!("from 1 day to {bound}");
        for time in ["3650d", "1h"] {
            let refused = change(json!({field: time})).await;
            assert_eq!(refused.http_status, 422, "{refused:?}");
            assert!(refused.body.to_string().contains(&said), "{field} = {time}: {refused:?}");
        }
        let form = asha.get("/console/accounts/acme/settings").await;
        let version = form.between("name=\"version\" value=\"", "\"");
        let page = asha.post("/console/accounts/acme/settings", &[(field, "3650d"), ("version", &version)]).await;
        assert!(page.status == 422 && page.text.contains(&said), "{page:?}");
    }
    let file = app.path("globex.toml");
    let globex = "[[accounts]]\nid = \"globex\"\nplatform = \"clevertap\"\nbearer_token = \"b\"\nkeep_for = \"60d\"\n";
    std::fs::write(&file, globex).expect("writable");
    let (status, _, said) = app.command_saying(&["apply", &file.display().to_string()]).await;
    assert!(status != 0 && said.contains("from 1 day to 32 days"), "{said}");
    assert!(!asha.get("/console/system").await.text.contains("keeps less"));

    assert_eq!(change(json!({"keep_for": "32d"})).await.http_status, 200, "as long as the server");
    assert_eq!(change(json!({"keep_media_for": "7d"})).await.http_status, 200);
    let system = async || asha.get("/console/system").await.text;
    app.until("it is listed", async || system().await.contains("history 32 days, files 7 days")).await;
    assert!(!system().await.contains("the same for every account"));
    app.leave().await;
}

async fn an_account_may_keep_exchanges_and_files_for_a_shorter_time(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.account = "keep_exchanges_for = \"1d\"\nkeep_media_for = \"1d\"".to_owned();
        options.settings.retention.every = Duration::from_millis(50);
    })
    .await;
    let long_ago = wabridge::clock::now().minus(Duration::from_secs(2 * 24 * 3600));
    let own = app.subscriptions().await[0].key;
    let nobodys = SubscriptionKey(own.0 + 1000);
    let picture = Inbound {
        from: person(1),
        phone_number_id: NUMBER_ID.to_owned(),
        context_wamid: None,
        content: InboundContent::Image(InboundMedia::default()),
    };
    app.simulator.inbound(&picture).expect("the number exists");
    let files = async || {
        let files = app.store.count_media().await.expect("countable");
        (files.stored, files.failed)
    };
    app.until("the file is copied", async || files().await == (1, 0)).await;

    let past = vec![exchange(own, long_ago), exchange(nobodys, long_ago)];
    app.store.remember(Past { exchanges: past, ..Past::default() }).await.expect("written");
    let id = MessageId::first_at(long_ago).0;
    let older = MessageId::first_at(wabridge::clock::now()).0 - id;
    // Both at once: what comes to lie behind the walk through the table is not looked at.
    let both = |hash: &str| {
        format!(
            "BEGIN; \
             INSERT INTO media (id, hash, account, sender, kind, state, reason) VALUES ({id}, {hash}, 1000, 1, 1, 2, 'gone'); \
             UPDATE media SET id = id - {older} WHERE account < 1000; \
             COMMIT"
        )
    };
    app.meddle((&both("randomblob(16)"), &both("decode(md5('other'), 'hex')"))).await;

    app.until("its old exchanges are forgotten", async || exchanges_at(&app, own, long_ago).await == 0).await;
    app.until("its old file is deleted", async || files().await == (0, 1)).await;
    assert_eq!(exchanges_at(&app, nobodys, long_ago).await, 1, "others keep theirs");
    app.leave().await;
}

/// So long that a message is still told of.
fn keep_nothing_for_long(settings: &mut Settings) {
    let age = Duration::from_secs(5);
    let retention = &mut settings.retention;
    for setting in [
        &mut retention.messages,
        &mut retention.events,
        &mut retention.refused,
        &mut retention.attempts,
        &mut retention.unrecognized,
        &mut retention.parked_statuses,
        &mut retention.person_links,
    ] {
        *setting = age;
    }
    retention.every = Duration::from_millis(50);
    retention.rows_per_step = 7;
    settings.repeats.window = age;
}

async fn an_exchange_is_not_kept_for_longer_than_the_events_that_it_told(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.account = "keep_for = \"1d\"".to_owned();
        options.settings.retention.every = Duration::from_millis(50);
    })
    .await;
    let long_ago = wabridge::clock::now().minus(Duration::from_secs(2 * 24 * 3600));
    let own = app.subscriptions().await[0].key;
    let past = vec![exchange(own, long_ago)];

    app.store.remember(Past { exchanges: past, ..Past::default() }).await.expect("written");

    app.until("it is forgotten", async || exchanges_at(&app, own, long_ago).await == 0).await;
    app.leave().await;
}

fn exchange(subscription: SubscriptionKey, at: UnixMillis) -> PastExchange {
    PastExchange {
        id: MessageId(MessageId::first_at(at).0 + i64::from(subscription.0)),
        subscription,
        first: Place(1),
        last: Place(1),
        events: 1,
        took_ms: 7,
        outcome: AttemptOutcome::Succeeded,
        http_status: Some(200),
        note: String::new(),
    }
}

async fn exchanges_at(app: &TestApp, subscription: SubscriptionKey, at: UnixMillis) -> usize {
    let filter = ExchangeFilter { until: Some(at.plus(Duration::from_secs(1))), ..ExchangeFilter::default() };
    app.store.exchanges(subscription, &filter, 9).await.expect("readable").exchanges.len()
}

async fn every_table_with_personal_data_is_emptied_in_its_time(database: Database) {
    let mut app = TestApp::start(database).await;
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
    app.store.change_suppressions(entries.to_vec(), None).await.expect("it is written");
    app.settled().await;
    let stored = app.stored(&messages[0]).await;
    for message in &messages {
        assert_eq!(app.told(message), ["sent", "delivered", "read"]);
    }
    app.restart_with(keep_nothing_for_long).await;

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

on_each_database![
    an_account_may_keep_less_than_others,
    nobody_keeps_for_longer_than_the_server,
    an_account_may_keep_exchanges_and_files_for_a_shorter_time,
    an_exchange_is_not_kept_for_longer_than_the_events_that_it_told,
    every_table_with_personal_data_is_emptied_in_its_time,
];
