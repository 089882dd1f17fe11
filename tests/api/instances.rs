//! Several bridges: on PostgreSQL they share the work, on SQLite the second is kept out.

use std::time::Duration;

use crate::harness::{
    CREDENTIALS, Database, Message, OTHER_ACCOUNT, OTHER_NUMBER, OTHER_SENDER, PATIENCE, TestApp, arrivals, person,
};

const ALL: [&str; 3] = ["sent", "delivered", "read"];
/// Of the number whose bridge dies.
const PER_SECOND: u32 = 40;

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
        options.settings.send.timeout = Duration::from_secs(1);
        options.settings.send.connect_timeout = Duration::from_secs(1);
        options.settings.send.unknown_grace = Duration::from_secs(2);
        options.settings.relay.timeout = Duration::from_secs(1);
        options.settings.relay.connect_timeout = Duration::from_secs(1);
        options.settings.instance.lease = Duration::from_secs(7);
        options.settings.database.answer_timeout = Duration::from_secs(6);
        options.settings.instance.lease_renewal = Duration::from_secs(1);
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
    for message in &ours {
        let told = app.told(message);
        assert!(told.ends_with(&["read".to_owned()]) || told == ["failed"], "{told:?}");
    }
    // What had left has statuses, which prove it. What had not was marked as being sent: what the pace lets go in a second
    // at most, and how slow commits are decides how much of it.
    let arrived = arrivals(&app);
    let failed: Vec<&Message> = ours.iter().filter(|message| app.told(message) == ["failed"]).collect();
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
