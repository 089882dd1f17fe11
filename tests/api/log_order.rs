//! The log under many writers: whoever has read up to a place has read everything before it.

use std::sync::Arc;

use wabridge::{
    app::open_store,
    clock,
    domain::{
        callback::EventKind,
        ids::{MessageIds, Place},
        inbound::{InboundContent, InboundMessage},
        phone::PhoneNumber,
    },
    store::{
        Store,
        batch::{BatchLimits, Committer},
        ingest::{Ingest, ReceivedMessage},
        wakeups::Wakeups,
    },
};

use crate::harness::{ACCOUNT, Database, PATIENCE, TestApp, on_each_database, until};

const WRITERS: usize = 4;
const WEBHOOKS_PER_WRITER: usize = 60;
const MESSAGES_PER_WEBHOOK: usize = 3;

async fn a_reader_beside_many_writers_misses_no_event(database: Database) {
    let app = TestApp::start(database).await;
    let configuration = app.store.load_configuration().await.expect("the configuration can be read");
    let account = configuration.accounts.iter().find(|account| account.id == ACCOUNT).expect("it was applied").key;
    let (sender, connection) = (configuration.senders[0].key, configuration.connections[0].key);

    let writing = (0..WRITERS).map(|writer| {
        let mut settings = app.settings.clone();
        // None of the writers is given up because another stands still.
        settings.database.busy_timeout = PATIENCE;
        tokio::spawn(async move {
            // As an instance of its own: its own connections, its own group commit.
            let store = open_store(&settings).await.expect("the database opens");
            let node = store.register_instance(&format!("writer-{writer}")).await.expect("there are nodes left").node;
            let limits = BatchLimits { rows_max: 20, queued_rows_max: 10_000, repeat_window: settings.repeats.window };
            let ids = Arc::new(MessageIds::new(node));
            let (committer, writing) =
                Committer::new(store, ids, Arc::new(Wakeups::default()), limits, Arc::default()).await;
            let task = tokio::spawn(writing);
            let webhooks = (0..WEBHOOKS_PER_WRITER).map(|webhook| {
                let inbound = (0..MESSAGES_PER_WEBHOOK).map(|message| ReceivedMessage {
                    account,
                    sender,
                    message: said(&format!("{writer}-{webhook}-{message}")),
                    entry: "{}".to_owned(),
                });
                committer.ingest(Ingest { inbound: inbound.collect(), ..Ingest::of(connection) })
            });
            for written in futures_util::future::join_all(webhooks).await {
                written.expect("a webhook is stored");
            }
            drop(committer);
            task.await.expect("the committer ends");
        })
    });
    let writing = futures_util::future::join_all(writing);
    let total = WRITERS * WEBHOOKS_PER_WRITER * MESSAGES_PER_WEBHOOK;

    let (read, written) = futures_util::future::join(read_all(&app.store, account, total), writing).await;

    written.into_iter().for_each(|writer| writer.expect("no writer fails"));
    let expected: Vec<Place> = (1..=total).map(|place| Place(i64::try_from(place).expect("a small number"))).collect();
    assert_eq!(read, expected, "every place once, in order, without gaps");
    app.leave().await;
}

/// Reads the log as a subscription's owner does, beside the writers.
async fn read_all(store: &Store, account: wabridge::domain::ids::AccountKey, total: usize) -> Vec<Place> {
    const LIMIT: usize = 7;
    let mut seen = Vec::new();
    let mut cursor = Place::default();
    until("all events are read", async || {
        let (events, end) = store.events_after(account, EventKind::Inbound, cursor, LIMIT).await.expect("readable");
        seen.extend(events.iter().map(|event| event.place));
        cursor = if events.len() < LIMIT { end } else { events[LIMIT - 1].place };
        seen.len() >= total
    })
    .await;
    seen
}

fn said(id: &str) -> InboundMessage {
    InboundMessage {
        provider_message_id: format!("wamid.{id}"),
        from: PhoneNumber::from_international("+919876500001"),
        from_user_id: None,
        from_name: None,
        occurred_at: clock::now(),
        replies_to: None,
        content: InboundContent::Text { body: "hello".to_owned() },
    }
}

on_each_database![a_reader_beside_many_writers_misses_no_event];
