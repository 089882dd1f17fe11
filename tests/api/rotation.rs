//! A new master key, and a crash in the middle of changing it.

use std::{os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command};

use crate::harness::{Database, Message, TestApp, on_each_database, person};

const ALL: [&str; 3] = ["sent", "delivered", "read"];

/// The former keys that were kept.
fn old_keys(app: &TestApp) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(app.path(".")).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("listed").path());
    paths.filter(|path| path.to_string_lossy().contains("master.key.old-")).collect()
}

async fn works(app: &TestApp, number: usize) {
    let message = Message::order_update(&person(number));
    app.accept(&message).await;
    app.settled().await;
    assert_eq!(app.told(&message), ALL, "token and callback URL can be read");
}

async fn the_key_is_changed_while_the_server_is_stopped(database: Database) {
    let mut app = TestApp::start_with(database, |options| {
        options.as_process = true;
        // An instance that stopped badly is missed soon.
        options.settings.instance.lease = std::time::Duration::from_secs(16);
    })
    .await;
    let before = app.read_file("master.key");

    let (running, _) = app.command_ending(&["rotate-key"]).await;
    assert_eq!(running, 1, "a running server would go on with the old key");
    assert_eq!(app.read_file("master.key"), before);
    assert!(!app.path("master.key.new").exists(), "nothing is left of a change that was refused");
    app.process().terminate().await;
    let printed = app.command(&["rotate-key"]).await;
    app.reopen_store().await;
    app.start_process().await;
    works(&app, 1).await;

    assert!(printed.contains("secrets are encrypted"), "{printed}");
    let lines = app.store.audit_lines(None, 10).await.expect("readable");
    let changes = lines.iter().filter(|line| line.action == "change master key").count();
    assert_eq!(changes, 1, "the one that was refused is not there: {lines:?}");
    assert_ne!(app.read_file("master.key"), before);
    let old = old_keys(&app);
    assert_eq!(old.len(), 1, "the former key is kept: {old:?}");
    assert_eq!(std::fs::read(&old[0]).expect("readable"), before);
    for path in [old[0].clone(), app.path("master.key")] {
        assert_eq!(std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777, 0o600);
    }
    app.finish().await;
}

async fn a_change_that_was_interrupted_harms_nobody_and_can_be_finished(database: Database) {
    let mut app = TestApp::start_with(database, |options| options.as_process = true).await;
    app.process().terminate().await;
    let before = app.read_file("master.key");
    // As after a crash before the database was changed: the new key waits, and the old one is the right one.
    std::fs::write(app.path("master.key.new"), "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n").expect("writable");
    app.start_process().await;
    works(&app, 1).await;
    app.process().terminate().await;

    app.command(&["rotate-key"]).await;
    // As after a crash between the commit and the new file's getting its name.
    let changed = app.read_file("master.key");
    std::fs::write(app.path("master.key.new"), &changed).expect("writable");
    std::fs::write(app.path("master.key"), &before).expect("writable");
    app.reopen_store().await;
    app.start_process().await;
    works(&app, 2).await;
    app.process().terminate().await;
    let finished = app.command(&["rotate-key", "--json"]).await;
    app.start_process().await;
    works(&app, 3).await;

    assert!(finished.contains("\"finished_earlier\": true") && finished.contains("\"done\": true"), "{finished}");
    assert_eq!(app.read_file("master.key"), changed);
    assert!(!app.path("master.key.new").exists());
    app.finish().await;
}

const APPLIED: &str = "[[connections]]\nid = \"meta-main\"\nprovider = \"meta\"\naccess_token = \"token\"\n\
                       app_secret = \"secret\"\nverify_token = \"word\"\n";

#[test]
fn a_key_that_is_a_setting_is_replaced_by_one_from_the_environment() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("apply.toml");
    std::fs::write(&file, APPLIED).expect("writable");
    let wabridge = |key: &str, arguments: &[&str]| {
        let database = format!("sqlite://{}", folder.path().join("wabridge.db").display());
        let run = Command::new(env!("CARGO_BIN_EXE_wabridge"))
            .current_dir(folder.path())
            .env("WABRIDGE__DATABASE__URL", database)
            .env("WABRIDGE__SECURITY__MASTER_KEY", key)
            .env("NEW_KEY", "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=")
            .args(arguments)
            .output()
            .expect("the program was built with the tests");
        (run.status.code(), [run.stdout, run.stderr].concat())
    };
    let (old, new) = ("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=", "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=");
    let applied = wabridge(old, &["apply", &file.display().to_string()]);
    assert_eq!(applied.0, Some(0), "{}", String::from_utf8_lossy(&applied.1));

    let (without, why) = wabridge(old, &["rotate-key"]);
    assert_eq!(without, Some(2));
    assert!(String::from_utf8_lossy(&why).contains("--to-key-env"), "it says how");
    let (done, printed) = wabridge(old, &["rotate-key", "--to-key-env", "NEW_KEY"]);

    assert_eq!(done, Some(0), "{}", String::from_utf8_lossy(&printed));
    assert!(!String::from_utf8_lossy(&printed).contains(new), "a key is never shown");
    assert_eq!(wabridge(old, &["status"]).0, Some(1), "the old key opens nothing any more");
    assert_eq!(wabridge(new, &["status"]).0, Some(0));
}

async fn without_the_databases_key_no_command_writes_and_a_lost_one_can_be_replaced(database: Database) {
    let mut app = TestApp::start_with(database, |options| {
        options.as_process = true;
        options.settings.instance.lease = std::time::Duration::from_secs(16);
    })
    .await;
    works(&app, 1).await;
    let key = app.path("master.key");
    let whole = app.write_file("whole.toml", &app.configuration);
    let part = app.write_file("part.toml", APPLIED);
    std::fs::remove_file(&key).expect("it was there");

    let (without, _) = app.command_ending(&["apply", &whole]).await;
    assert_eq!(without, 1);
    assert!(!key.exists(), "no second key is made beside a running server");
    std::fs::write(&key, "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n").expect("writable");
    let (wrong, _) = app.command_ending(&["apply", &whole]).await;
    assert_eq!(wrong, 1, "a wrong key is refused");
    std::fs::remove_file(&key).expect("it was there");
    works(&app, 2).await;
    let (running, _) = app.command_ending(&["apply", &whole, "--replace-secrets", "--yes"]).await;
    assert_eq!(running, 1, "a running server would go on with the lost key");
    assert!(!key.exists(), "a refused replacement makes no key");
    app.process().terminate().await;
    let (serving, _) = app.command_ending(&["serve"]).await;
    assert_eq!((serving, key.exists()), (1, false), "not even the server makes a second key");

    let (left_out, _) = app.command_ending(&["apply", &part, "--replace-secrets", "--yes"]).await;
    assert_eq!((left_out, key.exists()), (1, false), "the account is left out");
    let printed = app.command(&["apply", &whole, "--replace-secrets", "--yes"]).await;
    app.reopen_store().await;
    app.start_process().await;
    works(&app, 3).await;

    assert!(printed.contains("secrets are encrypted with the new key"), "{printed}");
    assert_eq!(app.command_ending(&["apply", &whole, "--replace-secrets", "--yes"]).await.0, 1, "they can be read now");
    app.finish().await;
}

on_each_database![
    without_the_databases_key_no_command_writes_and_a_lost_one_can_be_replaced,
    the_key_is_changed_while_the_server_is_stopped,
    a_change_that_was_interrupted_harms_nobody_and_can_be_finished,
];
