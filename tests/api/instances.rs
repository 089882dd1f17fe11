//! Several bridges: on PostgreSQL they share the work, on SQLite the second is kept out.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use wabridge::store::leases::LeaseKind;

use crate::harness::{
    BUSINESS_NUMBER, CONNECTION, CREDENTIALS, Database, Message, OTHER_ACCOUNT, OTHER_NUMBER, OTHER_SENDER, Options,
    PATIENCE, TestApp, WABA_ID, arrivals, person,
};

const ALL: [&str; 3] = ["sent", "delivered", "read"];
/// Of the number whose bridge dies.
const PER_SECOND: u32 = 40;

/// As short as the checks let them be when an exchange may take so long.
fn short_leases(options: &mut Options, exchange: Duration) {
    options.settings.send.timeout = exchange;
    options.settings.send.connect_timeout = exchange;
    options.settings.relay.timeout = exchange;
    options.settings.relay.connect_timeout = exchange;
    options.settings.instance.lease = exchange + Duration::from_secs(6);
    options.settings.database.busy_timeout = Duration::from_secs(5);
    options.settings.database.answer_timeout = Duration::from_secs(6);
    options.settings.instance.lease_renewal = Duration::from_secs(1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_bridge_on_one_sqlite_file_is_kept_out() {
    let app = TestApp::start(Database::sqlite().await).await;

    let second = app.start_another("second").await;

    let error = second.err().expect("it must not start").to_string();
    assert!(error.contains("another wabridge"), "{error}");
    app.accept(&Message::order_update(&person(1))).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_bridges_with_one_name_the_earlier_notices_and_leaves_the_work_to_the_later() {
    let app = TestApp::start_with(Database::postgres().await, |options| {
        options.settings.instance.lease_renewal = Duration::from_secs(1);
    })
    .await;
    let one = app.start_another("twin").await.expect("PostgreSQL takes several");

    let other = app.start_another("twin").await.expect("nobody can know which of them is meant");

    tokio::time::timeout(PATIENCE, one.replaced()).await.expect("the earlier one notices");
    one.stop().await;
    let messages: Vec<Message> = (0..20).map(|number| Message::order_update(&person(number))).collect();
    app.accept_all(&messages).await;
    app.settled().await;
    assert!(messages.iter().all(|message| app.told(message) == ALL), "the later one works on");
    assert!(tokio::time::timeout(Duration::ZERO, other.replaced()).await.is_err(), "and has no reason to stop");
    other.stop().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_one_of_two_bridges_dies_the_other_takes_its_work_over() {
    let mut app = TestApp::start_with(Database::postgres().await, |options| {
        options.as_process = true;
        options.more = format!("{OTHER_ACCOUNT}\n{OTHER_SENDER}");
        options.messages_per_second = PER_SECOND;
        options.settings.send.unknown_grace = Duration::from_secs(4);
        short_leases(options, Duration::from_secs(2));
    })
    .await;
    let other = app.start_another("test-2").await.expect("PostgreSQL takes several");
    let ours: Vec<Message> = (0..200).map(|number| Message::order_update(&person(number))).collect();
    let theirs: Vec<Message> = (300..320)
        .map(|number| Message::order_update(&person(number)).with("wabaNumber", OTHER_NUMBER.into()))
        .collect();

    for message in &theirs {
        let answer = app.post("/clevertap/globex/messages", &CREDENTIALS, message.body.to_string()).await;
        assert!(answer.is_success(), "{answer:?}");
    }
    let reported = |message: &Message| app.told(message).last().is_some_and(|status| status == "read");
    app.until("the other number's messages are through", async || theirs.iter().all(reported)).await;
    app.accept_all(&ours).await;
    app.until_counted("the campaign is under way", |stats| stats.sends_received >= 20 + 50).await;
    app.process().kill().await;
    let sent_by_both = app.simulator.stats().sends_received;
    // What WhatsApp has to say goes to whoever is there.
    let url = format!("http://{}/webhooks/meta/meta-main", other.address);
    app.simulator.change_knobs(|knobs| knobs.webhook_url = Some(url)).expect("any URL will do");
    app.settled().await;

    for message in &theirs {
        assert_eq!(app.told(message).last().map(String::as_str), Some("read"));
    }
    // What one of them told without hearing the answer is told again.
    let told = |message: &Message| {
        let mut told = app.told(message);
        told.dedup();
        told
    };
    for message in &ours {
        let told = told(message);
        assert!(told.ends_with(&["read".to_owned()]) || told == ["failed"], "{told:?}");
    }
    // What had left has statuses, which prove it. What had not was marked as being sent: what the pace lets go in a second
    // at most, and how slow commits are decides how much of it.
    let arrived = arrivals(&app);
    let failed: Vec<&Message> = ours.iter().filter(|message| told(message) == ["failed"]).collect();
    let of = |message: &&&Message| message.body["to"].as_str().unwrap_or_default().trim_start_matches('+').to_owned();
    let lost = failed.iter().filter(|message| arrived.contains_key(&of(message))).count();
    assert_eq!(lost, 0, "what WhatsApp has got is not reported as failed");
    assert!(failed.len() <= 2 * PER_SECOND as usize, "{} messages are reported as failed", failed.len());
    assert!(app.simulator.stats().sends_received > sent_by_both, "the other goes on with the campaign");
    let stats = app.simulator.stats();
    assert_eq!((stats.sends_accepted_twice, stats.clevertap.gaps), (0, 0));
    other.stop().await;
    app.leave().await;
}

const MORE_NUMBERS: [&str; 3] = [OTHER_NUMBER, "+918880110044", "+918880110055"];
/// Of each number, while leases move: slow enough that its queue is never empty.
const SLOWLY: u32 = 20;
/// So many messages wait at least.
const BACKLOG: i64 = 40;

/// How many leases of a kind each bridge has.
async fn owned(app: &TestApp, kind: LeaseKind) -> BTreeMap<String, usize> {
    let mut owned = BTreeMap::new();
    for lease in app.store.leases().await.expect("leases can be read") {
        if lease.kind == kind.code() {
            *owned.entry(lease.owner.unwrap_or_default()).or_default() += 1;
        }
    }
    owned
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_that_joins_is_handed_its_share_while_messages_go_out_and_hands_it_back_when_it_leaves() {
    let app = TestApp::start_with(Database::postgres().await, |options| {
        let sender = |(place, number): (usize, &&str)| {
            format!(
                "[[accounts.senders]]\nnumber = \"{number}\"\nconnection = \"{CONNECTION}\"\nwaba_id = \"{WABA_ID}\"\n\
                 phone_number_id = \"10000000000000{}\"\nmessages_per_second = {SLOWLY}\n",
                place + 2
            )
        };
        // With metrics of its own.
        options.as_process = true;
        options.settings.alarms.look_every = Duration::from_millis(200);
        options.more = MORE_NUMBERS.iter().enumerate().map(sender).collect();
        options.messages_per_second = SLOWLY;
        // Each is told of once, also when the machine stands still: long enough that no exchange is given up.
        short_leases(options, Duration::from_secs(6));
    })
    .await;
    let alone = BTreeMap::from([("test".to_owned(), 4)]);
    app.until("all is with the first", async || owned(&app, LeaseKind::Sender).await == alone).await;
    let numbers = [[BUSINESS_NUMBER].as_slice(), &MORE_NUMBERS].concat();
    let mut messages: Vec<Message> = vec![];

    let other = app.start_another("test-2").await.expect("PostgreSQL takes several");
    app.until("each has half of the numbers and of the callback URLs", async || {
        if app.open_messages().await < BACKLOG {
            let first = messages.len();
            let next = (first..first + 40).map(|place| {
                Message::order_update(&person(place)).with("wabaNumber", numbers[place % numbers.len()].into())
            });
            messages.extend(next);
            app.accept_all(&messages[first..]).await;
        }
        let halves = |owned: BTreeMap<String, usize>, half| {
            owned == BTreeMap::from(["test", "test-2"].map(|name| (name.to_owned(), half)))
        };
        halves(owned(&app, LeaseKind::Sender).await, 2) && halves(owned(&app, LeaseKind::Subscription).await, 1)
    })
    .await;
    let status: Value = serde_json::from_str(&app.command(&["status", "--json"]).await).expect("JSON");
    let ready = async || -> Value { serde_json::from_str(&app.get("/readyz").await.1).expect("JSON") };
    app.until("it knows what it has left", async || ready().await["owns"]["sender"] == 2).await;
    let ready = ready().await;
    app.until("the gauges show both", async || {
        let shown = app.get("/metrics").await.1;
        let line = |wanted: &str| shown.lines().any(|line| line == wanted);
        ["test", "test-2"].iter().all(|owner| {
            line(&format!("wabridge_leases{{kind=\"sender\",owner=\"{owner}\"}} 2"))
                && line(&format!("wabridge_leases{{kind=\"subscription\",owner=\"{owner}\"}} 1"))
        }) && {
            let owns = |flag: u8| {
                let of_number = |line: &&str| {
                    line.starts_with("wabridge_owns{what=\"number ") && line.ends_with(&format!("}} {flag}"))
                };
                shown.lines().filter(of_number).count()
            };
            (owns(1), owns(0)) == (2, 2)
        }
    })
    .await;
    app.settled().await;

    assert!(messages.len() > 40, "messages went out meanwhile, and so more had to be asked for");
    assert!(messages.iter().all(|message| app.told(message) == ALL), "each is told of once");
    let arrived = arrivals(&app);
    assert_eq!(arrived.len(), messages.len());
    assert!(arrived.values().all(|times| *times == 1), "and sent once");
    for (server, of) in status["servers"].as_array().expect("a list").iter().zip(["test", "test-2"]) {
        assert_eq!((&server["id"], &server["numbers"], &server["callback_urls"]), (&of.into(), &2.into(), &1.into()));
    }
    assert_eq!((&ready["instance"], &ready["owns"]["sender"]), (&"test".into(), &2.into()));
    other.stop().await;
    app.until("all is with the one that is left", async || owned(&app, LeaseKind::Sender).await == alone).await;
    app.accept(&Message::order_update(&person(9_000))).await;
    app.finish().await;
}
