//! When the database is slow, or away for a moment: what cannot be stored is refused in time, and what was
//! refused is never sent behind the marketer's back.

use sea_orm::{ConnectionTrait, DatabaseConnection};
use wabridge::{domain::outbound::SendState, simulator::Knobs};

use crate::harness::{Database, Message, PATIENCE, TestApp, on_each_database, person};

const ALL: [&str; 3] = ["sent", "delivered", "read"];

/// While it lives, nobody else can write.
struct Frozen(DatabaseConnection);

impl Frozen {
    async fn new(app: &TestApp) -> Self {
        let mut options = sea_orm::ConnectOptions::new(app.settings.database.url.to_string());
        options.max_connections(1);
        let connection = sea_orm::Database::connect(options).await.expect("the database is there");
        let sqlite = connection.get_database_backend() == sea_orm::DbBackend::Sqlite;
        let statements = if sqlite {
            &["BEGIN IMMEDIATE"][..]
        } else {
            &["BEGIN", "LOCK TABLE outbound_messages, events IN EXCLUSIVE MODE"][..]
        };
        for statement in statements {
            connection.execute_unprepared(statement).await.expect("nobody holds the lock for long");
        }
        Self(connection)
    }

    async fn thaw(self) {
        self.0.execute_unprepared("ROLLBACK").await.expect("the transaction is open");
        self.0.close().await.expect("it was open");
    }
}

async fn what_cannot_be_stored_in_time_is_refused_while_nothing_can_be_and_never_sent(database: Database) {
    // Whoever waits for the database waits for longer than this.
    let app = TestApp::start_with(database, |options| {
        options.settings.database.busy_timeout = PATIENCE * 2;
        options.settings.database.answer_timeout = PATIENCE * 3;
        options.settings.database.statement_timeout = PATIENCE * 3;
    })
    .await;
    let refused: Vec<Message> = (0..8).map(|number| Message::order_update(&person(number))).collect();

    let frozen = Frozen::new(&app).await;
    let asked = futures_util::future::join_all(refused.iter().map(|message| app.send_once(message)));
    let answers = tokio::time::timeout(PATIENCE, asked).await.expect("CleverTap does not wait for as long as that");
    frozen.thaw().await;

    for answer in &answers {
        assert_eq!(answer.http_status, 500, "{answer:?}");
        assert_eq!((answer.code(), answer.message().is_empty()), (0, false), "{answer:?}");
    }
    let later = Message::order_update(&person(100));
    app.until("messages can be stored again", async || app.send_once(&later).await.is_success()).await;
    app.settled().await;
    assert_eq!(app.told(&later), ALL);
    for message in &refused {
        assert!(app.all_stored(message).await.iter().all(|stored| stored.state == SendState::Cancelled));
    }
    assert_eq!(app.simulator.stats().sends_received, 1);

    // The platform may well ask again: then it is taken.
    app.accept(&refused[3]).await;
    app.settled().await;
    assert_eq!(app.told(&refused[3]), ALL);
    let stats = app.finish().await;
    assert_eq!(stats.sends_received, 2);
}

async fn a_webhook_that_cannot_be_stored_comes_again(database: Database) {
    let app = TestApp::start_with(database, |options| {
        options.simulator.knobs.webhooks_paused = true;
        options.simulator.knobs.webhook_timeout_ms = 300;
    })
    .await;
    let patient = Knobs::default().webhook_timeout_ms;
    let messages: Vec<Message> = (0..20).map(|number| Message::order_update(&person(number))).collect();
    app.accept_all(&messages).await;
    app.until_counted("all are sent", |stats| stats.sends_accepted == 20).await;

    let frozen = Frozen::new(&app).await;
    app.simulator.change_knobs(|knobs| knobs.webhooks_paused = false).expect("valid knobs");
    app.until_counted("webhooks are not answered", |stats| stats.webhooks_refused > 1).await;
    assert_eq!(app.simulator.stats().webhooks_taken, 0, "nothing is taken that is not stored");
    app.simulator.change_knobs(|knobs| knobs.webhook_timeout_ms = patient).expect("valid knobs");
    frozen.thaw().await;
    app.settled().await;

    for message in &messages {
        assert_eq!(app.told(message), ALL);
    }
    app.finish().await;
}

/// Every connection to the database is cut, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_drops_its_connections_costs_nothing_that_was_accepted() {
    let app = TestApp::start(Database::postgres().await).await;
    let messages: Vec<Message> = (0..200).map(|number| Message::order_update(&person(number))).collect();
    let (base, name) = app.settings.database.url.rsplit_once('/').expect("the URL ends with the database's name");
    let other = sea_orm::Database::connect(format!("{base}/postgres")).await.expect("the server is there");
    let cut = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");

    let mut accepted = Vec::new();
    for (number, some) in messages.chunks(20).enumerate() {
        let asked = futures_util::future::join_all(some.iter().map(|message| app.send_once(message)));
        // Now and then all connections are cut while messages are being stored; between that others are.
        let answers = match number % 2 {
            0 => asked.await,
            _ => futures_util::future::join(asked, other.execute_unprepared(&cut)).await.0,
        };
        let taken = some.iter().zip(answers).filter(|(_, answer)| answer.is_success());
        accepted.extend(taken.map(|(message, _)| message));
    }
    other.close().await.expect("it was open");
    // Those that were refused may be offered again, and are not sent twice by it.
    for message in &messages {
        app.until("it is taken", async || app.send_once(message).await.is_success()).await;
    }
    app.settled().await;

    assert!(accepted.len() > 20, "{} were accepted at once", accepted.len());
    for message in &messages {
        let told = app.told(message);
        assert!(told.ends_with(&["read".to_owned()]), "{told:?}");
    }
    let stats = app.simulator.stats();
    assert_eq!((stats.sends_accepted, stats.sends_accepted_twice), (200, 0));
    app.leave().await;
}

on_each_database![
    what_cannot_be_stored_in_time_is_refused_while_nothing_can_be_and_never_sent,
    a_webhook_that_cannot_be_stored_comes_again,
];
