//! Backups beside a running server, and what happens when one is put back.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use sea_orm::ConnectionTrait as _;
use serde_json::Value;
use wabridge::{
    clock,
    domain::{outbound::SendState, status::DeliveryStatus},
    simulator::{Effect, Rule},
};

use crate::harness::{BUSINESS_NUMBER, Database, Message, TestApp, on_each_database, person, script};

fn messages(count: usize) -> Vec<Message> {
    (0..count).map(|number| Message::order_update(&person(number))).collect()
}

fn json(printed: &str) -> Value {
    serde_json::from_str(printed).unwrap_or_else(|error| panic!("{error} in {printed}"))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A bridge of its own process whose number is on hold, with so many messages in its queue.
async fn with_queued(database: Database, account: &str, messages: &[Message]) -> TestApp {
    let mut app = TestApp::start_with(database, |options| {
        options.as_process = true;
        options.account = account.to_owned();
    })
    .await;
    app.process().terminate().await;
    app.command(&["hold", BUSINESS_NUMBER]).await;
    app.start_process().await;
    app.accept_all(messages).await;
    app
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_made_beside_a_running_server_and_is_for_its_owner_alone() {
    let app = TestApp::start(Database::sqlite().await).await;
    let messages = messages(40);
    app.accept_all(&messages).await;
    let file = app.path("copy.db");
    for name in ["wabridge.db", "wabridge.db-wal", "wabridge.db-shm", "wabridge.lock"] {
        let mode = std::fs::metadata(app.path(name)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name} is for its owner alone, whatever its folder");
    }

    let printed = app.command(&["backup", &text(&file), "--json"]).await;
    let (code, _) = app.command_ending(&["backup", &text(&file)]).await;
    app.settled().await;

    assert_eq!(json(&printed)["done"], Value::Bool(true), "{printed}");
    assert!(printed.contains("master.key"), "it says where the key is: {printed}");
    assert_eq!(code, 1, "a backup is never written over");
    assert_eq!(std::fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
    let bytes = std::fs::read(&file).expect("it is there");
    let finds = |needle: &str| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
    assert!(messages.iter().all(|message| finds(message.msg_id())), "every accepted message is in it");
    assert!(!finds("simulator-access-token"), "secrets are encrypted in it too");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_at_the_time_of_the_backup_is_not_sent_twice() {
    let messages = messages(6);
    let mut app = with_queued(Database::sqlite().await, "unknown_outcome = \"resend\"", &messages).await;
    let file = text(&app.path("copy.db"));
    app.command(&["backup", &file]).await;
    // WhatsApp reports one of them, and only after the restore.
    app.simulator.set_rules(vec![
        Rule::recipient(&person(0), Effect::Statuses(script("delivered@0"))),
        Rule::everybody(Effect::Statuses(script("none"))),
    ]);
    app.simulator.change_knobs(|knobs| knobs.webhooks_paused = true).expect("valid knobs");
    app.command(&["release", BUSINESS_NUMBER]).await;
    app.until_counted("all are sent", |stats| stats.sends_accepted == 6).await;

    let server = app.process().id();
    let (running, _, said) = app.command_saying(&["restore", &file, "--replace", "--yes"]).await;
    assert_eq!(running, 1, "not while a server works on it");
    let lock = text(&app.path("wabridge.lock"));
    assert!(said.contains(&format!("(process {server})")) && said.contains(&lock), "it says what holds it: {said}");
    assert!(said.contains("Stop it") && !said.contains("PostgreSQL"), "{said}");
    app.process().terminate().await;
    app.close_store().await;
    let (there, _) = app.command_ending(&["restore", &file]).await;
    assert_eq!(there, 1, "a database that is there is not replaced without being told so");
    let printed = json(&app.command(&["restore", &file, "--replace", "--yes", "--json"]).await);
    app.reopen_store().await;
    app.command(&["release", BUSINESS_NUMBER]).await;
    app.start_process().await;
    app.simulator.change_knobs(|knobs| knobs.webhooks_paused = false).expect("valid knobs");

    assert_eq!(printed["held_back"].as_i64(), Some(6), "{printed}");
    let lines = app.store.audit_lines(None, 10).await.expect("readable");
    let restored = lines.iter().find(|line| line.action == "restore backup").expect("it is in the audit log");
    let after = restored.after.as_deref().map(json).expect("what it came to");
    assert_eq!((&after["file"], &after["held_back"]), (&Value::from("copy.db"), &Value::from(6)), "{restored:?}");
    let aside = printed["moved_aside"].as_str().expect("the old one is kept");
    assert!(Path::new(aside).exists(), "{aside}");
    app.until("the late report settles its message", async || {
        app.stored(&messages[0]).await.delivery == Some(DeliveryStatus::Delivered)
    })
    .await;
    for message in &messages[1..] {
        assert_eq!(app.stored(message).await.state, SendState::Unknown, "nobody can tell of the others");
    }
    let later = Message::order_update(&person(30));
    app.accept(&later).await;
    app.until_counted("news goes on", |stats| stats.sends_accepted == 7).await;
    assert_eq!(app.simulator.stats().sends_received, 7, "none of the old ones went out again");
    app.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_is_sent_after_a_restore_when_that_is_wanted() {
    let messages = messages(3);
    let mut app = with_queued(Database::sqlite().await, "", &messages).await;
    let file = text(&app.path("copy.db"));
    app.command(&["backup", &file]).await;
    app.process().terminate().await;
    app.close_store().await;

    app.command(&["restore", &file, "--replace", "--yes", "--resend-queued"]).await;
    app.reopen_store().await;
    app.command(&["release", BUSINESS_NUMBER]).await;
    app.start_process().await;
    let stats = app.settled().await;

    assert_eq!(stats.sends_accepted, 3);
    app.finish().await;
}

async fn what_is_held_back_is_reported_as_failed_in_the_end_and_never_sent(database: Database) {
    let messages = messages(4);
    let mut app = with_queued(database, "unknown_outcome = \"resend\"", &messages).await;
    app.process().terminate().await;

    let printed = app.command(&["restore", "--held-only", "--json"]).await;
    assert_eq!(json(&printed)["held_back"].as_i64(), Some(4), "{printed}");
    // Instead of waiting for an hour.
    app.store.hold_back_unsent(clock::now()).await.expect("it can be changed");
    app.command(&["release", BUSINESS_NUMBER]).await;
    app.start_process().await;
    let stats = app.settled().await;

    assert_eq!(stats.sends_received, 0, "also where the account wants unknown ones sent again");
    for message in &messages {
        assert_eq!(app.told(message), ["failed"]);
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_does_not_fit_is_refused_and_changes_nothing() {
    let app = TestApp::start_with(Database::sqlite().await, |options| options.as_process = true).await;
    let good = text(&app.path("copy.db"));
    app.command(&["backup", &good]).await;
    let mut app = app;
    app.process().terminate().await;
    app.close_store().await;
    let before = app.read_file("wabridge.db");

    let mut damaged = app.read_file("copy.db");
    let middle = damaged.len() / 2;
    damaged[middle..middle + 4096].fill(0x5a);
    std::fs::write(app.path("damaged.db"), damaged).expect("writable");
    std::fs::write(app.path("no.db"), "this is no database").expect("writable");
    change(&app.path("other.db"), "CREATE TABLE things (id INTEGER)").await;
    std::fs::copy(&good, app.path("newer.db")).expect("copied");
    change(&app.path("newer.db"), "INSERT INTO seaql_migrations VALUES ('m20991231_000001_wonders', 1)").await;
    for name in ["damaged.db", "no.db", "other.db", "newer.db", "missing.db"] {
        let (code, _) = app.command_ending(&["restore", &text(&app.path(name)), "--replace", "--yes"]).await;
        assert_eq!(code, 1, "{name} must be refused");
        assert_eq!(app.read_file("wabridge.db"), before, "{name} has changed something");
    }
    std::fs::rename(app.path("master.key"), app.path("master.key.away")).expect("it was there");
    let (code, _, said) = app.command_saying(&["restore", &good, "--replace", "--yes"]).await;
    assert_eq!(code, 1, "without its key");
    for named in ["there is no master key", "security.master_key is not set", &text(&app.path("master.key"))] {
        assert!(said.contains(named), "{said}");
    }
    assert!(!app.path("master.key").exists(), "no new key is made, which would open nothing");
    std::fs::rename(app.path("master.key.away"), app.path("master.key")).expect("it was there");
    assert_eq!(app.read_file("wabridge.db"), before);

    let left: Vec<String> = std::fs::read_dir(app.path("."))
        .expect("the folder is there")
        .map(|entry| entry.expect("listed").file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(".tmp") || name.contains("before-restore"))
        .collect();
    assert_eq!(left, [""; 0], "nothing is left over");
    app.reopen_store().await;
    app.start_process().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_the_commands_to_use_are_told() {
    let app = TestApp::start(Database::postgres().await).await;

    let (backup, printed) = app.command_ending(&["backup", "/backups/copy.dump"]).await;
    let (restore, how) = app.command_ending(&["restore", "/backups/copy.dump"]).await;

    assert_eq!((backup, restore), (4, 4), "nothing was done");
    assert!(printed.contains("pg_dump --format=custom --file='/backups/copy.dump' 'postgres://"), "{printed}");
    assert!(how.contains("pg_restore") && how.contains("--held-only"), "{how}");
    app.finish().await;
}

async fn change(file: &Path, sql: &str) {
    let database = sea_orm::Database::connect(format!("sqlite://{}?mode=rwc", file.display())).await;
    let database = database.expect("SQLite makes it");
    database.execute_unprepared(sql).await.expect("the statement is right");
    database.close().await.expect("it was open");
}

on_each_database![what_is_held_back_is_reported_as_failed_in_the_end_and_never_sent];
