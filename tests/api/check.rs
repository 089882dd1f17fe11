//! `wabridge check` against a WhatsApp that is well, and against one with several things broken.

use serde_json::{Value, json};

use wabridge::simulator::CallbackRule;

use crate::harness::{Database, Message, NUMBER_ID, TestApp, WABA_ID, on_each_database, person};

/// Runs the check as a script would; its exit code, its findings as `level about: text`, and all that it printed. That a
/// PostgreSQL for tests may lose what it was told is true, and left out.
async fn check(app: &TestApp, arguments: &[&str]) -> (i32, Vec<String>, String) {
    let (code, printed) = app.command_ending(&[&["check", "--json"], arguments].concat()).await;
    let report: Value = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"));
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let findings = report["findings"].as_array().expect("a list of findings");
    for finding in findings {
        let needs_remedy = text(finding, "level") != "fine";
        assert_eq!(finding["remedy"].is_string(), needs_remedy, "only what is not fine has a remedy: {finding}");
    }
    let any_wrong = |findings: &[Value]| findings.iter().any(|finding| finding["level"] == "wrong");
    assert_eq!(code, if any_wrong(findings) { 4 } else { 0 }, "{printed}");
    let said: Vec<Value> =
        findings.iter().filter(|it| !text(it, "text").contains("when the power fails")).cloned().collect();
    let lines = said.iter().map(|it| format!("{} {}: {}", text(it, "level"), text(it, "about"), text(it, "text")));
    (if any_wrong(&said) { 4 } else { 0 }, lines.collect(), printed)
}

/// The bridge says how the world reaches it: on this machine, by the port that it was given.
async fn start(database: Database) -> TestApp {
    let mut app = TestApp::start_with(database, |options| options.messages_per_second = 80).await;
    app.settings.server.public_url = app.at("");
    let shown = json!({"display_phone_number": "+91 88801 10022"});
    app.simulator.change_node(NUMBER_ID, shown.as_object().expect("an object").clone());
    app
}

fn has(findings: &[String], level: &str, part: &str) -> bool {
    findings.iter().any(|finding| finding.starts_with(level) && finding.contains(part))
}

async fn what_is_well_is_said_to_be_well(database: Database) {
    let app = start(database).await;
    app.accept(&Message::order_update(&person(1))).await;
    app.settled().await;

    let (code, findings, _) = check(&app, &[]).await;

    assert_eq!(code, 0, "{findings:#?}");
    assert!(!has(&findings, "wrong", ""), "{findings:#?}");
    for part in [
        "database: its schema is up to date",
        "settings.toml; environment variables: WABRIDGE__DATABASE__URL",
        " answers at ",
        "server: one runs on this database: ",
        "master key: it opens",
        "connection meta-main: the access token works, with whatsapp_business_messaging",
        "the webhook secret (Meta: the app secret) is right: it signed the webhook",
        "answers Meta's question as it should",
        "business account 200000000000001: an app is subscribed",
        "templates are approved",
        "number +918880110022: “Acme Retail”, connected",
        "number +918880110022: quality green",
        "number +918880110022: up to 80 messages a second; set here: 80",
        "number +918880110022: no daily limit",
        "number +918880110022: its webhooks come to this bridge",
        "account acme: the callback URL for delivery reports",
    ] {
        assert!(has(&findings, "fine", part), "{part} is missing in {findings:#?}");
    }
    app.finish().await;
}

async fn what_happened_is_judged_by_status_and_mentioned_by_check(database: Database) {
    let app = start(database).await;
    app.simulator.add_callback_rule(CallbackRule { answer_status: 400, ..CallbackRule::default() });
    app.accept(&Message::order_update(&person(1))).await;
    app.settled().await;

    let (code, findings, _) = check(&app, &[]).await;
    let (status, _) = app.command_ending(&["status", "--exit-code"]).await;

    assert_eq!((code, status), (0, 4), "{findings:#?}");
    assert!(has(&findings, "doubtful", "callback URL 1 has 3 dead events"), "{findings:#?}");
    app.leave().await;
}

async fn everything_that_is_broken_is_found_with_what_to_do(database: Database) {
    let app = start(database).await;
    app.apply(
        r#"
        [[accounts]]
        id = "lonely"
        platform = "clevertap"
        bearer_token = "lonely"
        delivery_report_callback_url = "https://nobody.invalid/callback"
        "#,
    )
    .await;
    app.simulator.subscribe(WABA_ID, false);
    let broken = json!({"quality_rating": "RED", "display_phone_number": "+91 88801 10099", "name_status": "DECLINED"});
    app.simulator.change_node(NUMBER_ID, broken.as_object().expect("an object").clone());
    app.simulator.set_templates(vec![]).expect("an empty list will do");

    let (code, findings, printed) = check(&app, &[]).await;

    assert_eq!(code, 4);
    for part in [
        "no app is subscribed to it",
        "under its phone_number_id Meta has another number",
        "quality is RED",
        "its display name is DECLINED",
        "account lonely: it has no sender number",
        "the name nobody.invalid cannot be resolved",
    ] {
        assert!(has(&findings, "wrong", part), "{part} is missing in {findings:#?}");
    }
    assert!(has(&findings, "doubtful", "0 of 0 templates are approved"), "{findings:#?}");
    assert!(has(&findings, "doubtful", "account lonely: it has no inbound_message_callback_url"), "{findings:#?}");
    for secret in ["simulator-access-token", "simulator-app-secret", "verify-me", "/callback"] {
        assert!(!printed.contains(secret), "{secret} is printed: {printed}");
    }
    let (code, only, _) = check(&app, &["--account", "lonely"]).await;
    assert!(code == 4 && !has(&only, "", "number +91"), "another account's numbers are not looked at: {only:#?}");
    let (code, offline, _) = check(&app, &["--offline", "--account", "acme"]).await;
    assert!(code == 0 && has(&offline, "fine", "account acme"), "nobody outside is asked: {offline:#?}");
    app.finish().await;
}

async fn a_trial_without_a_public_url_is_told_why_it_does_not_matter(database: Database) {
    let mut app = start(database).await;
    app.settings.server.public_url = String::new();

    let (_, findings, _) = check(&app, &[]).await;

    assert!(has(&findings, "doubtful", "right for a trial on this machine"), "{findings:#?}");
    assert!(!has(&findings, "wrong", ""), "{findings:#?}");
    app.finish().await;
}

async fn a_token_that_is_refused_is_named_once(database: Database) {
    let app = start(database).await;
    app.simulator.change_knobs(|knobs| knobs.access_token = "a-new-token".to_owned()).expect("any token will do");

    let (code, findings, _) = check(&app, &[]).await;

    let refused = findings.iter().filter(|finding| finding.contains("could not use the access token"));
    assert_eq!((code, refused.count()), (4, 1), "{findings:#?}");
    app.finish().await;
}

async fn a_repair_brings_webhooks_here_and_is_asked_for_first(database: Database) {
    let app = start(database).await;
    app.simulator.subscribe(WABA_ID, false);

    let (code, findings, _) = check(&app, &["--repair"]).await;
    assert!(code == 4 && has(&findings, "wrong", "no app is subscribed"), "nobody consented: {findings:#?}");

    let (code, findings, printed) = check(&app, &["--repair", "--yes"]).await;

    assert!(printed.contains("subscribe the app of meta-main to business account"), "{printed}");
    assert_eq!(code, 0, "{findings:#?}");
    assert!(has(&findings, "fine", "its webhooks come to this bridge"), "it was looked at again: {findings:#?}");
    assert!(!printed.contains("verify-me") && !printed.contains("simulator-access-token"), "{printed}");
    let message = Message::order_update(&person(1));
    app.accept(&message).await;
    app.until_counted("statuses come", |stats| stats.updates_waiting == 0 && stats.sends_received == 1).await;
    app.settled().await;
    assert_eq!(app.told(&message), ["sent", "delivered", "read"]);
    app.finish().await;
}

async fn a_key_that_does_not_fit_is_found_and_makes_a_server_not_ready(database: Database) {
    let mut app = start(database).await;
    app.until("it is ready", async || app.get("/readyz").await.0 == 200).await;
    let other = app.write_file("other.key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
    app.settings.security.master_key_file = other.into();

    let (code, findings, _) = check(&app, &[]).await;
    assert!(code == 4 && has(&findings, "wrong", "the master key is not the one"), "{findings:#?}");

    // Somebody applies a connection under that key.
    let file = app.write_file(
        "apply.toml",
        "[[connections]]\nid = \"odd\"\nprovider = \"meta\"\naccess_token = \"a\"\napp_secret = \"b\"\nverify_token = \"c\"\n",
    );
    drop(app.command_ending(&["apply", &file]).await);
    let broken = app.store.load_configuration().await.is_err();
    if broken {
        app.until("the server notices", async || app.get("/readyz").await.0 == 503).await;
        let (_, body) = app.get("/readyz").await;
        assert!(body.contains("master key"), "{body}");
    }
    app.leave().await;
}

async fn what_a_check_or_a_sync_reads_of_a_number_is_what_status_says(database: Database) {
    let app = start(database).await;
    let channel = async || {
        let status: Value = serde_json::from_str(&app.command(&["status", "--json"]).await).expect("JSON");
        let channel = &status["numbers"][0]["channel"];
        (channel["quality"].clone(), channel["failure"].is_string())
    };
    let key = app.store.load_configuration().await.expect("it can be read").senders[0].key;
    app.until("the server has read it", async || app.store.channels().await.expect("readable").contains_key(&key))
        .await;
    let failed =
        async || app.store.note_channel_failure(key, "HTTP 500", wabridge::clock::now()).await.expect("written");
    let quality = |word: &str| {
        let node = json!({ "quality_rating": word });
        app.simulator.change_node(NUMBER_ID, node.as_object().expect("an object").clone());
    };
    failed().await;
    assert!(channel().await.1);

    quality("YELLOW");
    check(&app, &[]).await;
    assert_eq!(channel().await, (json!("yellow"), false));

    failed().await;
    quality("GREEN");
    let synced = app.command(&["sync"]).await;
    assert!(synced.contains("+918880110022: quality green"), "{synced}");
    assert_eq!(channel().await, (json!("green"), false));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_makes_neither_database_nor_key() {
    let mut app = start(Database::sqlite().await).await;
    let nowhere = app.write_file("marker", "").replace("marker", "nowhere");
    app.settings.database.url = format!("sqlite://{nowhere}/wabridge.db").into();
    app.settings.security.master_key_file = format!("{nowhere}/master.key").into();

    let (code, findings, _) = check(&app, &[]).await;

    assert!(code == 4 && has(&findings, "wrong", "there is none at"), "{findings:#?}");
    assert!(!std::path::Path::new(&nowhere).exists());
    app.finish().await;
}

async fn without_a_running_server_nobody_is_told_that_all_is_well(database: Database) {
    let mut app = TestApp::start_with(database, |options| options.as_process = true).await;
    app.process().terminate().await;

    let (_, said) = app.command_ending(&["check", "--offline"]).await;

    assert!(said.contains("! server: none runs on this database ("), "{said}");
    assert!(said.contains("check with its settings: from its folder or with its --settings FILE"), "{said}");
    let last = "No server was seen on this database: is it the one that your server uses?";
    assert!(said.trim_end().ends_with(last), "{said}");
    app.start_process().await;
    app.leave().await;
}

on_each_database!(
    without_a_running_server_nobody_is_told_that_all_is_well,
    what_is_well_is_said_to_be_well,
    what_happened_is_judged_by_status_and_mentioned_by_check,
    what_a_check_or_a_sync_reads_of_a_number_is_what_status_says,
    everything_that_is_broken_is_found_with_what_to_do,
    a_trial_without_a_public_url_is_told_why_it_does_not_matter,
    a_token_that_is_refused_is_named_once,
    a_repair_brings_webhooks_here_and_is_asked_for_first,
    a_key_that_does_not_fit_is_found_and_makes_a_server_not_ready,
);
