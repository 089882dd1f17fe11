//! What scripts rely on: how commands end, that `--json` prints one document, and that errors say what to do.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Stdio};

use serde_json::Value;
use tokio::process::Command;

use crate::harness::{BUSINESS_NUMBER, Database, Message, TestApp, on_each_database, person};

/// The account, as it would stand in a file that names no callback URL any more.
const WITHOUT_CALLBACK_URLS: &str = r#"
    [[accounts]]
    id = "acme"
    platform = "clevertap"
    clevertap_account_id = "TEST-ACC-1"
    clevertap_passcode = "acme-passcode"
    default_country = "IN"
"#;
const NOBODY: &str = "+919876599999";

/// What was asked, and how it ends.
const ENDINGS: &[(&[&str], i32)] = &[
    (&["status"], 0),
    (&["queue", "list"], 0),
    (&["queue", "pause"], 2),
    (&["queue", "resume"], 2),
    (&["queue", "cancel", "--yes"], 2),
    (&["queue", "cancel", "--number", BUSINESS_NUMBER, "--and-new", "--yes"], 2),
    (&["queue", "list", "--account", "nobody"], 3),
    (&["queue", "pause", "--account", "nobody"], 3),
    (&["queue", "resume", "--number", NOBODY], 3),
    (&["queue", "resume", "--campaign", "1799999999"], 3),
    (&["queue", "cancel", "--number", NOBODY, "--yes"], 3),
    (&["queue", "cancel", "--campaign", "1799999999", "--yes"], 3),
    (&["hold"], 2),
    (&["hold", "nothing-like-it"], 3),
    (&["hold", "--template", "product_tour", "--account", "nobody"], 3),
    (&["release"], 2),
    (&["release", "nothing-like-it"], 3),
    (&["release", "--template", "product_tour"], 3),
    (&["release", BUSINESS_NUMBER], 0),
    (&["check", "--offline", "--account", "nobody"], 3),
    (&["check", "--offline", "--connection", "nobody"], 3),
    (&["replay"], 2),
    (&["replay", "--place", "1"], 2),
    (&["replay", "--all", "--dry-run"], 3),
    (&["replay", "--account", "nobody"], 3),
    (&["replay", "--subscription", "4711"], 3),
    (&["replay", "--stop", "4711"], 3),
    (&["message", "msg_0000000000000"], 3),
    (&["message", "resend", "1|2|3|4|5"], 3),
    (&["unrecognized"], 3),
    (&["unrecognized", "--connection", "nobody"], 3),
    (&["suppress", "list", "--account", "nobody"], 3),
    (&["suppress", "add", NOBODY, "--account", "nobody"], 3),
    (&["suppress", "export", "--account", "nobody"], 3),
    (&["suppress", "remove", NOBODY], 3),
    (&["suppress", "add", "somebody"], 2),
    (&["person", "somebody"], 2),
    (&["person", NOBODY], 3),
    (&["person", NOBODY, "--account", "nobody"], 3),
    (&["forget", NOBODY, "--yes"], 3),
    (&["forget", NOBODY], 1),
    (&["export", "messages", "--account", "nobody"], 3),
    (&["export", "messages", "--number", NOBODY], 3),
    (&["export", "campaigns"], 3),
    (&["alarm", "test"], 3),
    (&["apply", "no-such-file.toml"], 1),
    (&["backup"], 2),
];

async fn every_ending_means_what_the_table_says(database: Database) {
    let app = TestApp::start(database).await;

    for (arguments, expected) in ENDINGS {
        let (code, printed) = app.command_ending(arguments).await;
        assert_eq!(code, *expected, "wabridge {arguments:?} printed {printed}");
    }
    app.leave().await;
}

async fn what_is_done_is_told_to_scripts_in_one_document(database: Database) {
    let app = TestApp::start(database).await;
    let message = Message::order_update(&person(1));
    let apply = app.write_file("empty.toml", "");
    let phone = person(7);
    let done: &[(&[&str], bool)] = &[
        (&["hold", BUSINESS_NUMBER, "--json"], true),
        (&["queue", "pause", "--campaign", "1790000000", "--json"], true),
        (&["queue", "pause", "--campaign", "1790000000", "--dry-run", "--json"], false),
        (&["queue", "cancel", "--template", "order_update", "--dry-run", "--json"], false),
        (&["queue", "resume", "--all", "--json"], true),
        (&["release", BUSINESS_NUMBER, "--json"], true),
        (&["release", BUSINESS_NUMBER, "--json"], false),
        (&["hold", "--template", "order_update", "--json"], true),
        (&["release", "--template", "order_update", "--json"], true),
        (&["sync", "--json"], true),
        (&["apply", &apply, "--dry-run", "--json"], false),
        (&["suppress", "add", &phone, "--json"], true),
        (&["suppress", "remove", &phone, "--json"], true),
        (&["alarm", "test", "--json"], false),
        (&["message", message.msg_id(), "--json"], false),
        (&["replay", "--stop", "4711", "--json"], false),
    ];

    for (arguments, expected) in done {
        let (_, printed) = app.command_ending(arguments).await;
        let document: Value = serde_json::from_str(&printed)
            .unwrap_or_else(|error| panic!("wabridge {arguments:?} printed {printed:?}: {error}"));
        assert_eq!(document["done"], *expected, "{arguments:?}: {document}");
    }
    app.leave().await;
}

async fn the_suppression_list_begins_with_the_newest_and_runs_no_formula(database: Database) {
    let app = TestApp::start(database).await;
    let people = [person(3), person(1), person(2)];
    for phone in &people {
        app.command(&["suppress", "add", phone, "--reason", "=1+1"]).await;
    }

    let list = app.command(&["suppress", "list", "--full", "--json"]).await;
    let exported = app.command(&["suppress", "export"]).await;

    let list: Value = serde_json::from_str(&list).expect("it is JSON");
    let listed: Vec<&str> = list.as_array().into_iter().flatten().filter_map(|entry| entry["phone"].as_str()).collect();
    let newest_first: Vec<&str> = people.iter().rev().map(String::as_str).collect();
    assert_eq!(listed, newest_first);
    assert_eq!(exported.matches("'=1+1").count(), 3, "{exported}");
    app.leave().await;
}

async fn who_is_forgotten_twice_was_not_there_the_second_time(database: Database) {
    let app = TestApp::start(database).await;
    let phone = person(5);
    app.command(&["suppress", "add", &phone]).await;

    let first = app.command_ending(&["forget", &phone, "--yes"]).await.0;
    let second = app.command_ending(&["forget", &phone, "--yes"]).await.0;

    assert_eq!((first, second), (0, 3));
    app.leave().await;
}

async fn a_replay_ends_when_its_url_is_taken_out(database: Database) {
    let app = TestApp::start(database).await;
    let messages: Vec<Message> = (0..10).map(|number| Message::order_update(&person(number))).collect();
    app.accept_all(&messages).await;
    app.settled().await;
    let again = ["replay", "--all", "--state", "delivered", "--rate", "1", "--yes", "--json"];

    let (watched, ()) = tokio::join!(app.command_ending(&again), async {
        app.until("the replay is asked for", async || !app.store.replays(&[1]).await.expect("readable").is_empty())
            .await;
        app.apply(WITHOUT_CALLBACK_URLS).await;
    });

    let (code, printed) = watched;
    assert_eq!(code, 4, "{printed}");
    assert!(printed.contains("taken out of the configuration"), "{printed}");
    app.leave().await;
}

on_each_database![
    every_ending_means_what_the_table_says,
    what_is_done_is_told_to_scripts_in_one_document,
    the_suppression_list_begins_with_the_newest_and_runs_no_formula,
    who_is_forgotten_twice_was_not_there_the_second_time,
    a_replay_ends_when_its_url_is_taken_out,
];

/// Runs the program in a folder that is not the server's; gives back its exit code and what it says on standard error.
async fn in_folder(folder: &std::path::Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wabridge"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    let output = command.output().await.expect("the program was built with the tests");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test]
async fn a_command_in_the_wrong_folder_leaves_nothing_there_and_says_where_it_looked() {
    let folder = tempfile::tempdir().expect("a folder");
    let backup = folder.path().join("backup.db");
    fs::write(&backup, "no database").expect("the folder can be written");
    let here = folder.path().display().to_string();
    let ways: [&[&str]; 7] = [
        &["restore", "backup.db"],
        &["restore", "no-such-file.db"],
        &["restore", "--held-only"],
        &["rotate-key"],
        &["backup", "copy.db"],
        &["status"],
        &["forget", NOBODY, "--yes"],
    ];

    for arguments in ways {
        let (code, said) = in_folder(folder.path(), arguments).await;
        let left: Vec<_> = fs::read_dir(folder.path()).expect("it is there").flatten().map(|e| e.file_name()).collect();
        assert_eq!((code, left), (1, vec!["backup.db".into()]), "{arguments:?}: {said}");
        assert!(said.contains(&here), "{arguments:?} says where it looked: {said}");
    }
}

#[tokio::test]
async fn a_dry_run_of_the_first_file_makes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("apply.toml");
    fs::write(
        &file,
        "[[accounts]]\nid = \"acme\"\nplatform = \"clevertap\"\nurl_token = \"a-token-that-is-long-enough\"\n",
    )
    .expect("the folder can be written");

    let (code, said) = in_folder(folder.path(), &["apply", "apply.toml", "--dry-run"]).await;

    assert_eq!(code, 0, "{said}");
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 1, "only the file");
}

#[tokio::test]
async fn what_a_restore_keeps_is_for_its_owner_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let apply = folder.path().join("apply.toml");
    fs::write(&apply, "[[connections]]\nid = \"c\"\nprovider = \"meta\"\naccess_token = \"a\"\napp_secret = \"b\"\nverify_token = \"c\"\n")
        .expect("the folder can be written");
    let (code, said) = in_folder(folder.path(), &["apply", "apply.toml"]).await;
    assert_eq!(code, 0, "{said}");
    let (code, said) = in_folder(folder.path(), &["backup", "copy.db"]).await;
    assert_eq!(code, 0, "{said}");
    fs::set_permissions(folder.path().join("data/wabridge.db"), fs::Permissions::from_mode(0o644)).expect("it is ours");

    let (code, said) = in_folder(folder.path(), &["restore", "copy.db", "--replace", "--yes"]).await;
    assert_eq!(code, 0, "{said}");

    let kept = fs::read_dir(folder.path().join("data")).expect("it is there").flatten();
    let kept = kept.filter(|entry| entry.file_name().to_string_lossy().contains("before-restore"));
    let modes: Vec<u32> = kept.map(|entry| entry.metadata().expect("readable").permissions().mode() & 0o777).collect();
    assert!(!modes.is_empty() && modes.iter().all(|mode| *mode == 0o600), "{modes:?}");
}
