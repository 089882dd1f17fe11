//! No statement of the daily work reads a table that grows: not accepting, sending, hearing and telling, nor what looks and
//! tidies beside it. What runs is asked of the database itself, so a statement that is added is judged without being listed.

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait as _, DbErr, QueryResult, Value};
use secrecy::SecretString;

use super::*;
use crate::{
    domain::{callback::Subscription, ids::SubscriptionKey},
    store::{
        callbacks::{CursorMove, Trouble},
        queue::QueuePlace,
        testing,
    },
};

/// Tables that have rows for each message, or for each thing that may happen to one.
const LONG_TABLES: [&str; 13] = [
    "outbound_messages",
    "message_keys",
    "provider_ids",
    "other_provider_ids",
    "events",
    "inbound_keys",
    "send_attempts",
    "earlier_sends",
    "send_exchanges",
    "operator_notes",
    "unheard_messages",
    "callback_attempts",
    "unrecognized",
];

/// Indexes of what is open and nothing else: to count that they are read from one end to the other.
const INDEXES_OF_OPEN_WORK: [&str; 4] =
    ["outbound_messages_queue", "outbound_messages_due", "outbound_messages_sending", "unrecognized_match"];

/// What of a statement's plan goes through a whole table.
async fn full_scans(store: &Store, sql: &str, values: Vec<Value>) -> Vec<String> {
    if store.is_sqlite() {
        let rows = query(&store.writer, format!("EXPLAIN QUERY PLAN {sql}"), values).await;
        scans_of_sqlite(sql, &lines(rows, "detail", sql))
    } else {
        scans_of_postgres(&plan_of_postgres(store, sql, &values).await)
    }
}

fn lines(rows: Result<Vec<QueryResult>, DbErr>, column: &str, sql: &str) -> Vec<String> {
    let rows = rows.unwrap_or_else(|error| panic!("{sql} cannot be explained: {error}"));
    rows.iter().map(|row| row.try_get("", column).expect("a line of a plan")).collect()
}

/// As the server plans it for us: once, knowing no values.
async fn plan_of_postgres(store: &Store, sql: &str, values: &[Value]) -> Vec<String> {
    let in_brackets =
        |words: Vec<&str>| if words.is_empty() { String::new() } else { format!("({})", words.join(",")) };
    let (types, nulls) = (in_brackets(values.iter().map(type_of).collect()), in_brackets(vec!["NULL"; values.len()]));
    let connection = store.begin().await.expect("a connection");
    let prepared = connection.execute_unprepared(&format!("PREPARE judged {types} AS {sql}")).await;
    prepared.unwrap_or_else(|error| panic!("{sql} cannot be prepared: {error}"));
    let rows = query(&connection, format!("EXPLAIN EXECUTE judged {nulls}"), vec![]).await;
    let plan = lines(rows, "QUERY PLAN", sql);
    connection.execute_unprepared("DEALLOCATE judged").await.expect("it was prepared");
    connection.rollback().await.expect("nothing was written");
    plan
}

/// All that statements of ours bind.
const TYPES: [(Value, &str); 7] = [
    (Value::Bool(None), "boolean"),
    (Value::SmallInt(None), "smallint"),
    (Value::Int(None), "integer"),
    (Value::BigInt(None), "bigint"),
    (Value::Double(None), "double precision"),
    (Value::String(None), "text"),
    (Value::Bytes(None), "bytea"),
];

fn type_of(value: &Value) -> &'static str {
    let known = TYPES.into_iter().find(|(known, _)| std::mem::discriminant(known) == std::mem::discriminant(value));
    known.unwrap_or_else(|| panic!("{value:?} is of a type that was never bound before")).1
}

/// `SCAN table` is the whole of it; a scan of an index is the whole of that. Tables go by their aliases.
fn scans_of_sqlite(sql: &str, plan: &[String]) -> Vec<String> {
    let is_long = |name: &str| {
        LONG_TABLES.iter().any(|table| name == *table || sql.contains(&format!("{table} AS {name} ")))
            || LONG_TABLES.iter().any(|table| sql.ends_with(&format!("{table} AS {name}")))
    };
    let is_bad = |line: &&String| {
        let Some(scan) = line.strip_prefix("SCAN ") else { return false };
        is_long(scan.split(' ').next().unwrap_or_default())
            && !INDEXES_OF_OPEN_WORK.iter().any(|index| scan.ends_with(index))
    };
    plan.iter().filter(is_bad).cloned().collect()
}

/// Without conditions an index is read as a whole too. They stand below the line of their scan.
fn scans_of_postgres(plan: &[String]) -> Vec<String> {
    let is_of_long = |line: &str| {
        let words = || line.split(' ').map(|word| word.split('(').next().unwrap_or_default());
        words().any(|word| LONG_TABLES.iter().any(|table| word == *table || word.starts_with(&format!("{table}_"))))
    };
    let is_bad = |(at, line): &(usize, &String)| {
        let below = plan[at + 1..].iter().take_while(|line| !line.contains("->"));
        let has_condition = below.map(|line| line.trim_start()).any(|line| line.starts_with("Index Cond:"));
        let whole = line.contains("Seq Scan on ")
            || ((line.contains("Index Scan ") || line.contains("Index Only Scan ")) && !has_condition);
        whole && is_of_long(line) && !INDEXES_OF_OPEN_WORK.iter().any(|index| line.contains(index))
    };
    plan.iter().enumerate().filter(is_bad).map(|(_, line)| line.trim().to_owned()).collect()
}

/// A message's whole way, and what is asked beside it.
async fn daily_work(bench: &Bench) {
    let store = &bench.store;
    let message = bench.accept("7|1", "a").await.message;
    bench.accept("7|1", "a").await;
    let key = MessageKey::new("7|1", b"a");
    store.accepted_before(ACCOUNT, key, Duration::from_secs(60)).await.expect("readable");
    bench.queued().await;
    store.due_retries(SENDER, clock::now(), &[Class::Marketing], 100).await.expect("readable");
    store.unknown_due(SENDER, clock::now(), 100).await.expect("readable");
    bench.mark(bench.epoch, &[message]).await;
    bench.ingest(vec![status("wamid.1", DeliveryStatus::Sent)], vec![]).await;
    bench.settle(bench.epoch, message, Finding::Submitted { provider_message_id: "wamid.1".to_owned() }).await;
    bench.ingest(vec![status("wamid.1", DeliveryStatus::Read)], vec![reply("wamid.in", Some("wamid.1"))]).await;
    tell(bench).await;
    a_crowd(bench).await;

    store.adopt_sending(SENDER, bench.epoch + 1, clock::now()).await.expect("written");
    for place in [QueuePlace::START, QueuePlace::ASIDE] {
        store.waiting_slice(SENDER, place, 100).await.expect("readable");
    }
    store.put_back(&[message]).await.expect("written");
    store.cancel_waiting(&[message], "no").await.expect("written");
    store.queues().await.expect("readable");
    store.count_parked(1000).await.expect("readable");
    store.last_heard(ACCOUNT, SENDER).await.expect("readable");
    store.messages_between(MessageId(0), message, 100).await.expect("readable");
    store.unheard_until(SENDER, clock::now(), 100).await.expect("readable");
    let stored = store.message(message).await.expect("readable").expect("it exists");
    store.events_of(&stored).await.expect("readable");
    store.messages_by_platform_id(&[ACCOUNT], "7|1").await.expect("readable");

    let later = clock::now().plus(Duration::from_secs(5));
    store.forget_message_keys(later, 10).await.expect("written");
    store.forget_events(ACCOUNT, later, 10).await.expect("written");
    store.forget_messages_of(ACCOUNT, later, 10).await.expect("written");
    store.forget_exchanges_of(ACCOUNT, later, 10).await.expect("written");
    store.forget_messages(later, 10).await.expect("written");
    for what in [Aging::CallbackAttempts, Aging::UnreadParts, Aging::ParkedStatuses] {
        store.forget_aged(what, later, 10).await.expect("written");
    }
}

/// Many at once: a plan may change with the length of a batch.
async fn a_crowd(bench: &Bench) {
    const MESSAGES: usize = 300;
    let ids: Vec<String> = (0..MESSAGES).map(|number| format!("8|{number}")).collect();
    let accepted = futures_util::future::join_all(ids.iter().map(|id| bench.accept(id, "a"))).await;
    let messages: Vec<MessageId> = accepted.into_iter().map(|answer| answer.message).collect();
    bench.mark(bench.epoch, &messages).await;
    let taken = messages.iter().zip(&ids).map(|(message, id)| {
        let finding = Finding::Submitted { provider_message_id: id.clone() };
        Settlement { message: *message, epoch: bench.epoch, finding, attempt: None }
    });
    bench.committer.settle(taken.collect()).await.expect("written");
    bench.ingest(ids.iter().map(|id| status(id, DeliveryStatus::Delivered)).collect(), vec![]).await;
}

async fn tell(bench: &Bench) {
    let subscription = Subscription {
        key: SubscriptionKey(1),
        account: ACCOUNT,
        kind: EventKind::Status,
        sender: None,
        webhook: None,
        dialect: "clevertap".to_owned(),
        url: SecretString::from("https://example.com/"),
        hold: None,
        is_on: true,
    };
    bench.told().await;
    bench.store.distance(&subscription, Place(0), 1000).await.expect("readable");
    let moved = CursorMove {
        subscription: subscription.key,
        account: ACCOUNT,
        epoch: 1,
        cursor: Place(1),
        attempts: vec![],
        callbacks: vec![],
        settled: vec![],
        trouble: Trouble::default(),
        replay: None,
    };
    bench.committer.move_cursor(moved).await.expect("written");
}

#[tokio::test]
async fn nothing_in_a_messages_life_reads_a_whole_table_that_grows() {
    on_each_database(|store| async move {
        let bench = Bench::new(store.clone()).await;
        testing::listen();
        daily_work(&bench).await;
        let statements = testing::heard();

        let mut scans = BTreeSet::new();
        for (sql, values) in &statements {
            for scan in full_scans(&store, sql, values.clone()).await {
                scans.insert(format!("{scan}\n  of {sql}"));
            }
        }

        assert!(statements.len() > 40, "{} statements were heard", statements.len());
        assert!(scans.is_empty(), "{}", scans.into_iter().collect::<Vec<_>>().join("\n"));
    })
    .await;
}

#[tokio::test]
async fn a_statement_that_reads_a_whole_table_is_noticed() {
    on_each_database(|store| async move {
        for sql in [
            "SELECT id FROM outbound_messages WHERE recipient = '+919876500101'",
            "SELECT COUNT(*) AS n FROM provider_ids",
            "SELECT m.id FROM events AS e CROSS JOIN outbound_messages AS m WHERE m.id = e.message",
            "DELETE FROM events WHERE recorded_at < 5",
        ] {
            let scans = full_scans(&store, sql, vec![]).await;
            assert_eq!(scans.len(), 1, "{sql}: {scans:?}");
        }
    })
    .await;
}
