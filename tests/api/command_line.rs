//! What scripts rely on: how commands end, that `--json` prints one document, and that errors say what to do.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Stdio};

use reqwest::Method;
use serde_json::{Value, json};
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
    (&["queue", "cancel", "--campaign", "1799999999", "--dry-run"], 3),
    (&["queue", "cancel", "--campaign", "1799999999", "--and-new", "--dry-run"], 0),
    (&["queue", "pause", "--campaign", "1799999999", "--dry-run"], 3),
    (&["queue", "resume", "--campaign", "1799999999", "--dry-run"], 3),
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
    let list = app.write_file("optouts.csv", &format!("{phone}\n"));
    let done: &[(&[&str], bool)] = &[
        (&["hold", BUSINESS_NUMBER, "--json"], true),
        (&["hold", BUSINESS_NUMBER, "--json"], false),
        (&["hold", BUSINESS_NUMBER, "--reason", "another", "--json"], true),
        (&["queue", "pause", "--campaign", "1790000000", "--json"], true),
        (&["queue", "pause", "--campaign", "1790000000", "--json"], false),
        (&["queue", "pause", "--campaign", "1790000000", "--reason", "another", "--json"], true),
        (&["queue", "pause", "--campaign", "1790000000", "--dry-run", "--json"], false),
        (&["queue", "cancel", "--template", "order_update", "--dry-run", "--json"], false),
        (&["queue", "resume", "--all", "--dry-run", "--json"], false),
        (&["queue", "resume", "--all", "--json"], true),
        (&["release", BUSINESS_NUMBER, "--json"], true),
        (&["release", BUSINESS_NUMBER, "--json"], false),
        (&["hold", "--template", "order_update", "--json"], true),
        (&["hold", "--template", "order_update", "--json"], false),
        (&["release", "--template", "order_update", "--json"], true),
        (&["sync", "--json"], true),
        (&["apply", &apply, "--dry-run", "--json"], false),
        (&["suppress", "add", &phone, "--json"], true),
        (&["suppress", "add", &phone, "--reason", "another", "--json"], false),
        (&["suppress", "import", &list, "--json"], false),
        (&["suppress", "import", &list, "--all-messages", "--json"], true),
        (&["suppress", "remove", &phone, "--json"], true),
        (&["alarm", "test", "--json"], false),
        (&["message", message.msg_id(), "--json"], false),
        (&["replay", "--stop", "4711", "--json"], false),
        (&["replay", "--all", "--dry-run", "--json"], false),
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
    let file = app.path("list.csv");
    let to_file = ["suppress", "export", "--output", &file.display().to_string()];
    assert_eq!(app.command(&to_file).await, "", "what is written goes into the file");
    assert_eq!(fs::read_to_string(&file).expect("it was written"), exported);
    assert_eq!(app.command_ending(&to_file).await.0, 1, "a file is never written over");
    let (_, _, said) = app.command_saying(&["suppress", "export", "--output", "nowhere/list.csv"]).await;
    assert!(said.contains("there is no folder for nowhere/list.csv: make it"), "{said}");
    app.leave().await;
}

async fn who_is_forgotten_twice_was_not_there_the_second_time(database: Database) {
    let app = TestApp::start(database).await;
    let phone = person(5);
    app.command(&["suppress", "add", &phone]).await;

    let first = app.command_ending(&["forget", &phone, "--yes"]).await.0;
    let second = app.command_ending(&["forget", &phone, "--yes"]).await.0;

    assert_eq!((first, second), (0, 3));
    let other = person(6);
    let mut endings = Vec::new();
    for _ in 0..2 {
        endings.push(app.command_ending(&["forget", &other, "--yes", "--suppress"]).await.0);
    }
    assert_eq!(endings, [0, 3], "to be put on the list is something, to be on it already is not");
    app.leave().await;
}

async fn what_is_odd_and_done_all_the_same_is_told_on_standard_error(database: Database) {
    let app = TestApp::start(database).await;
    let quiet = "quiet_hours = { from = \"21:00\", to = \"09:00\" }\nexpire_after = { marketing = \"2h\" }\n";
    let file = app.write_file("quiet.toml", &format!("{WITHOUT_CALLBACK_URLS}{quiet}"));

    let (code, printed, said) = app.command_saying(&["hold", "--template", "nosuch", "--json"]).await;
    assert_eq!((code, document(&printed)["done"].as_bool()), (0, Some(true)), "{printed}");
    assert!(said.starts_with("warning: nosuch is not in the template lists"), "{said}");
    assert!(said.contains("order_update") && said.contains("wabridge sync"), "it says what there is: {said}");
    let other = ["hold", "--template", "order_update", "--language", "xx"];
    let (_, _, said) = app.command_saying(&other).await;
    assert!(said.contains("order_update (xx) is not in") && said.contains("there are en"), "{said}");
    let (_, _, said) = app.command_saying(&["hold", "--template", "order_update"]).await;
    assert_eq!(said, "", "nothing is odd about it");

    let (code, printed, said) = app.command_saying(&["apply", &file, "--json"]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with("warning: account acme: quiet hours last 12h, and marketing messages expire"), "{said}");
    let details = document(&printed)["changes"][0]["details"].to_string();
    assert!(details.contains("quiet_hours none -> { from = "), "as the file spells it: {details}");
    app.leave().await;
}

fn document(printed: &str) -> Value {
    serde_json::from_str(printed).unwrap_or_else(|error| panic!("{printed:?} is one document: {error}"))
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

async fn a_token_is_made_used_and_taken_back_without_a_browser(database: Database) {
    let app = TestApp::start(database).await;
    let make = ["token", "add", "nightly report", "--scope", "messages:read,audit:read", "--days", "7", "--json"];

    let made = document(&app.command(&make).await);

    let (secret, id) = (made["secret"].as_str().expect("a token"), made["token"]["id"].to_string());
    let id = id.as_str();
    assert_eq!(made["token"]["scopes"], json!(["messages:read", "audit:read"]), "{made:#}");
    let log = app.call(Method::GET, "/api/v1/audit?action=token", secret, None).await;
    assert_eq!((log.http_status, &log.body["lines"][0]["action"]), (200, &json!("make token")), "{log:?}");
    assert_eq!(log.body["lines"][0]["via"], "command line");
    assert!(!log.body.to_string().contains(secret), "{log:?}");
    assert_eq!(app.call(Method::GET, "/api/v1/users", secret, None).await.http_status, 403);

    let listed = app.command(&["token", "list"]).await;
    assert!(listed.contains("nightly report") && listed.contains("messages:read audit:read"), "{listed}");
    assert!(!listed.contains(secret), "it was shown once: {listed}");
    app.command(&["token", "revoke", id]).await;
    assert_eq!(app.call(Method::GET, "/api/v1/audit", secret, None).await.http_status, 401);
    assert!(app.command(&["token", "list"]).await.contains("taken back at"));
    for (arguments, code, part) in [
        (&["token", "revoke", id][..], 3, "`wabridge token list` shows them"),
        (&["token", "add", "x", "--scope", "moon:fly"], 2, "there is no such scope; there are"),
        (&["token", "add", "x"], 2, "--scope"),
        (&["token", "add", "x", "--scope", "messages:read", "--days", "9999"], 2, "console.token_max"),
        (&["token", "add", " ", "--scope", "messages:read"], 2, "say what the token is for"),
    ] {
        let (ended, _, said) = app.command_saying(arguments).await;
        assert!(ended == code && said.contains(part), "{arguments:?} ended with {ended}: {said}");
    }
    app.leave().await;
}

on_each_database![
    a_token_is_made_used_and_taken_back_without_a_browser,
    every_ending_means_what_the_table_says,
    what_is_done_is_told_to_scripts_in_one_document,
    the_suppression_list_begins_with_the_newest_and_runs_no_formula,
    who_is_forgotten_twice_was_not_there_the_second_time,
    what_is_odd_and_done_all_the_same_is_told_on_standard_error,
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

/// A folder with a database that holds a connection.
async fn folder_with_database() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let apply = folder.path().join("apply.toml");
    fs::write(&apply, "[[connections]]\nid = \"c\"\nprovider = \"meta\"\naccess_token = \"a\"\napp_secret = \"b\"\nverify_token = \"c\"\n")
        .expect("the folder can be written");
    let (code, said) = in_folder(folder.path(), &["apply", "apply.toml"]).await;
    assert_eq!(code, 0, "{said}");
    folder
}

#[tokio::test]
async fn a_backup_is_looked_at_before_anybody_is_asked_whether_to_restore_it() {
    let folder = folder_with_database().await;
    let (code, said) = in_folder(folder.path(), &["backup", "nowhere/copy.db"]).await;
    assert_eq!(code, 1);
    assert!(said.contains("there is no folder") && said.contains("nowhere: make it"), "{said}");
    assert_eq!(in_folder(folder.path(), &["backup", "copy.db"]).await.0, 0);
    fs::write(folder.path().join("broken.db"), "no database").expect("the folder can be written");
    let before = fs::read(folder.path().join("data/wabridge.db")).expect("it is there");

    let (no_such_file, missing) = in_folder(folder.path(), &["restore", "no-such-file.db", "--replace"]).await;
    let (damaged, broken) = in_folder(folder.path(), &["restore", "broken.db", "--replace"]).await;
    let (unconfirmed, sound) = in_folder(folder.path(), &["restore", "copy.db", "--replace"]).await;

    assert_eq!((no_such_file, damaged, unconfirmed), (1, 1, 1));
    assert!(missing.contains("there is no backup"), "{missing}");
    assert!(broken.contains("is damaged") && !broken.contains("--yes"), "{broken}");
    assert!(sound.contains("--yes") && !sound.contains("damaged"), "nobody is there to be asked: {sound}");
    assert_eq!(fs::read(folder.path().join("data/wabridge.db")).expect("it is there"), before);
    let left = fs::read_dir(folder.path().join("data")).expect("it is there").flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert!(
        left.iter().all(|name| ["wabridge.db", "wabridge.lock", "master.key"].contains(&name.as_str())),
        "{left:?}"
    );
}

#[tokio::test]
async fn a_command_says_what_it_takes_and_offers_nothing_that_has_no_effect() {
    let folder = tempfile::tempdir().expect("a folder");

    let (code, said) = in_folder(folder.path(), &["simulator", "--bind", "127.0.0.1:9999"]).await;
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("without a port") && said.contains("--port"), "{said}");
    for command in ["demo", "bench", "openapi"] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_wabridge"));
        let help = program.args([command, "--help"]).output().await.expect("the program was built with the tests");
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        assert!(help.contains("Usage:") && !help.contains("--settings"), "{help}");
    }
    let (code, said) = in_folder(folder.path(), &["demo", "--settings", "mine.toml"]).await;
    assert!(code == 1 && said.contains("leave out --settings"), "{said}");
    let (code, said) = in_folder(folder.path(), &["--settings", "mine.toml", "status"]).await;
    assert!(code == 1 && said.contains("no settings file mine.toml"), "{said}");
}

#[tokio::test]
async fn what_a_restore_keeps_is_for_its_owner_alone() {
    let folder = folder_with_database().await;
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
