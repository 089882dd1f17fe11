//! Files applied to real databases, through the service as the command does it.

use std::sync::Arc;

use secrecy::ExposeSecret;

use super::{
    ApplyError, apply, preview,
    tests::{WHOLE, parse_with},
};
use crate::{
    domain::{callback::Subscription, operator::Actor},
    store::{Store, execute, query, testing::on_each_database},
};

fn somebody() -> Actor {
    Actor::of_command_line("asha")
}

async fn apply_text(store: &Store, text: &str) -> Vec<String> {
    let file = parse_with(text, false).expect("nothing is wrong with the file");
    let changes = apply(store, &somebody(), &file).await.expect("nothing is in its way");
    changes.iter().map(ToString::to_string).collect()
}

async fn run(store: &Store, sql: &str) {
    let transaction = store.begin().await.expect("a transaction");
    execute(&transaction, sql, vec![]).await.expect("good SQL");
    transaction.commit().await.expect("committed");
}

async fn version(store: &Store) -> Option<i64> {
    store.versions().await.expect("readable").get("configuration").copied()
}

async fn number(store: &Store, sql: &str) -> i64 {
    query(store.reader(), sql, vec![]).await.expect("good SQL")[0].try_get_by_index(0).expect("a number")
}

async fn subscriptions(store: &Store) -> Vec<Subscription> {
    store.load_configuration().await.expect("readable").subscriptions
}

/// A file with one account, one connection and nothing else.
fn small(connection: &str, account: &str, id: &str) -> String {
    format!(
        "[[connections]]\nid = \"{connection}\"\nprovider = \"carrier\"\naccess_token = \"t\"\n\
         [[accounts]]\nid = \"{account}\"\nplatform = \"clevertap\"\nbearer_token = \"b\"\n\
         [[accounts.senders]]\nnumber = \"+919876500001\"\nconnection = \"{connection}\"\n\
         phone_number_id = \"{id}\"\nwaba_id = \"w\"\n"
    )
}

#[tokio::test]
async fn what_a_file_says_is_stored_and_read_again() {
    on_each_database(|store| async move {
        assert_eq!(apply_text(&store, WHOLE).await.len(), 7);

        let stored = store.load_configuration().await.expect("readable");

        let connection = stored.connection("main").expect("stored");
        assert_eq!(connection.setting("base_url"), "https://carrier.example.com");
        assert_eq!(connection.secrets("app_secret")[1].expose_secret(), "old");
        let account = stored.account("acme").expect("stored");
        assert_eq!(account.name, "Acme Retail");
        assert_eq!(account.policy.time_zone, "Asia/Kolkata");
        assert_eq!(account.credentials.passcodes[0].expose_secret(), "pass-1-x");
        assert_eq!(account.credentials.headers["x-api-key"].expose_secret(), "head");
        let (name, password) = account.credentials.basic.as_ref().expect("stored");
        assert_eq!((name.as_str(), password.expose_secret()), ("acme", "hush"));
        assert_eq!(stored.senders.len(), 2);
        assert_eq!(stored.senders[0].messages_per_second, 250);
        assert_eq!(stored.senders[0].policy.location_name.as_deref(), Some("Acme"));
        assert_eq!(account.policy.allowed_addresses.len(), 2);
        let [one, other] = [0, 1].map(|index| &stored.senders[index].connection);
        assert!(Arc::ptr_eq(one, other), "one connection, shared");
        assert_eq!(stored.subscriptions.len(), 3);
        assert_eq!(stored.subscriptions[0].url.expose_secret(), "https://reports.example.com/dlr?key=1");
        assert_eq!(stored.subscriptions[2].sender, Some(stored.senders[1].key));
    })
    .await;
}

#[tokio::test]
async fn applying_a_file_twice_changes_nothing_the_second_time() {
    on_each_database(|store| async move {
        apply_text(&store, WHOLE).await;
        let version_before = version(&store).await;

        assert_eq!(apply_text(&store, WHOLE).await, Vec::<String>::new());

        assert_eq!(version(&store).await, version_before);
    })
    .await;
}

#[tokio::test]
async fn a_dry_run_tells_the_same_and_changes_nothing() {
    on_each_database(|store| async move {
        let file = parse_with(WHOLE, false).expect("nothing is wrong with the file");

        let changes = preview(&store, &file).await.expect("nothing is in its way");

        let lines: Vec<_> = changes.iter().map(ToString::to_string).collect();
        assert!(store.load_configuration().await.expect("readable").accounts.is_empty());
        assert_eq!(apply_text(&store, WHOLE).await, lines);
    })
    .await;
}

#[tokio::test]
async fn only_what_differs_is_changed_and_secrets_are_not_shown() {
    on_each_database(|store| async move {
        apply_text(&store, WHOLE).await;
        let before = store.load_configuration().await.expect("readable");
        let version_before = version(&store).await.expect("set by the first file");
        let text = WHOLE
            .replace("messages_per_second = 250", "messages_per_second = 40")
            .replace("Asia/Kolkata", "Asia/Dubai")
            .replace("location_name = \"Acme\"\n", "")
            .replace("198.51.100.7", "198.51.100.8")
            .replace("marketing = \"2h\"", "marketing = \"3h\"")
            .replace("[\"new\", \"old\"]", "[\"newer\", \"new\"]")
            .replace("\"head\"", "\"another\"")
            .replace("bearer_token = \"bear\"\n", "")
            .replace("dlr?key=1", "dlr?key=2")
            .replace("inbound_message_callback_url = \"https://reports.example.com/in\"\n", "");

        let changes = apply_text(&store, &text).await;

        assert_eq!(
            changes,
            [
                "~ connection main: app_secret changed",
                "~ account acme: time_zone \"Asia/Kolkata\" -> \"Asia/Dubai\", expire_after.marketing \"2h\" -> \"3h\", \
                 allowed_addresses [\"203.0.113.0/24\", \"198.51.100.7/32\"] -> [\"203.0.113.0/24\", \"198.51.100.8/32\"], \
                 bearer_token changed, x-api-key changed",
                "~ sender +919876500001: messages_per_second 250 -> 40, location_name \"Acme\" -> none",
                "~ callbacks with delivery reports of account acme: URL changed",
                "- callbacks with inbound messages of account acme",
            ]
        );
        let after = store.load_configuration().await.expect("readable");
        assert_eq!(version(&store).await, Some(version_before + 1));
        assert_eq!(after.senders[0].key, before.senders[0].key);
        assert_eq!(after.senders[0].messages_per_second, 40);
        assert_eq!(after.subscriptions.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn what_a_file_does_not_name_stays_as_it_is() {
    on_each_database(|store| async move {
        apply_text(&store, WHOLE).await;

        let changes =
            apply_text(&store, "[[accounts]]\nid = \"beta\"\nplatform = \"clevertap\"\nbearer_token = \"b\"\n").await;

        assert_eq!(changes, ["+ account beta"]);
        assert_eq!(store.load_configuration().await.expect("readable").senders.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_number_belongs_to_one_account_and_a_refused_file_changes_nothing() {
    on_each_database(|store| async move {
        apply_text(&store, &small("c", "acme", "1")).await;
        let version_before = version(&store).await;
        let file = parse_with(&small("c2", "beta", "2"), false).expect("nothing is wrong with the file itself");

        let error = apply(&store, &somebody(), &file).await.expect_err("the number is taken");

        assert!(matches!(&error, ApplyError::Problems(problems) if problems.len() == 1));
        assert!(error.to_string().contains("\nwa.toml:9: accounts.senders.number: belongs to account acme"), "{error}");
        let stored = store.load_configuration().await.expect("readable");
        assert_eq!((stored.accounts.len(), stored.connections.len()), (1, 1));
        assert_eq!(version(&store).await, version_before);
    })
    .await;
}

#[tokio::test]
async fn another_number_cannot_take_the_same_provider_id() {
    on_each_database(|store| async move {
        apply_text(&store, &small("c", "acme", "1")).await;
        let text = small("c", "acme", "1").replace("+919876500001", "+919876500002");
        let file = parse_with(&text, false).expect("nothing is wrong with the file itself");

        let error = apply(&store, &somebody(), &file).await.expect_err("the id is taken");

        assert!(error.to_string().contains("phone_number_id: is that of +919876500001 already"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_new_subscription_starts_at_the_end_of_the_log_and_keeps_its_place() {
    on_each_database(|store| async move {
        let reports = "[[accounts]]\nid = \"acme\"\nplatform = \"clevertap\"\nbearer_token = \"b\"\n\
                       delivery_report_callback_url = \"https://reports.example.com/dlr\"\n";
        apply_text(&store, &small("c", "acme", "1")).await;
        run(&store, "INSERT INTO logs (account, last_place) SELECT key, 41 FROM accounts").await;

        apply_text(&store, reports).await;
        assert_eq!(number(&store, "SELECT cursor FROM subscriptions").await, 41);

        run(&store, "UPDATE logs SET last_place = 60").await;
        run(&store, "UPDATE subscriptions SET cursor = 50, failures = 3, failing_since = 1, held_since = 1, held_reason = 'gone'").await;
        assert!(subscriptions(&store).await[0].hold.is_some());
        apply_text(&store, &reports.replace("/dlr", "/new")).await;
        assert_eq!(number(&store, "SELECT cursor FROM subscriptions").await, 50, "what is owed goes to the new URL");
        assert_eq!(number(&store, "SELECT CAST(failures AS BIGINT) FROM subscriptions").await, 0);
        assert!(subscriptions(&store).await[0].hold.is_none(), "a new URL is not held for what the old one answered");

        apply_text(&store, &reports.replace("https://reports.example.com/dlr", "")).await;
        assert!(subscriptions(&store).await.is_empty());
        apply_text(&store, reports).await;
        assert_eq!(number(&store, "SELECT cursor FROM subscriptions").await, 60, "wanted again: from now on");
    })
    .await;
}

#[tokio::test]
async fn a_numbers_own_subscription_goes_on_where_its_accounts_stands() {
    on_each_database(|store| async move {
        let reports = small("c", "acme", "1").replace(
            "bearer_token",
            "delivery_report_callback_url = \"https://reports.example.com/dlr\"\nbearer_token",
        );
        apply_text(&store, &reports).await;
        run(&store, "INSERT INTO logs (account, last_place) SELECT key, 41 FROM accounts").await;
        run(&store, "UPDATE subscriptions SET cursor = 30").await;

        apply_text(&store, &format!("{reports}delivery_report_callback_url = \"https://reports.example.com/one\"\n"))
            .await;

        assert_eq!(number(&store, "SELECT cursor FROM subscriptions WHERE sender IS NOT NULL").await, 30);
    })
    .await;
}

#[tokio::test]
async fn nothing_secret_stands_readable_in_the_database() {
    on_each_database(|store| async move {
        apply_text(&store, WHOLE).await;
        for (sql, secrets) in [
            ("SELECT secrets FROM connections", vec!["token-1", "new"]),
            ("SELECT credentials FROM accounts", vec!["pass-1", "hush", "bear", "head"]),
            ("SELECT url FROM subscriptions", vec!["reports.example.com"]),
        ] {
            let rows = query(store.reader(), sql, vec![]).await.expect("good SQL");
            for row in rows {
                let sealed: Vec<u8> = row.try_get_by_index(0).expect("bytes");
                let text = String::from_utf8_lossy(&sealed);
                assert!(secrets.iter().all(|secret| !text.contains(secret)), "{sql}");
            }
        }
        let hint = query(store.reader(), "SELECT url_hint FROM subscriptions", vec![]).await.expect("good SQL");
        assert_eq!(hint[0].try_get_by_index::<String>(0).expect("text"), "https://reports.example.com");
    })
    .await;
}

#[tokio::test]
async fn a_secret_copied_into_another_row_does_not_open() {
    on_each_database(|store| async move {
        apply_text(&store, WHOLE).await;
        apply_text(&store, &small("other", "beta", "7").replace("+919876500001", "+919876500009")).await;
        run(&store, "UPDATE connections SET secrets = (SELECT secrets FROM connections WHERE id = 'main')").await;

        let error = store.load_configuration().await.expect_err("sealed for another place");

        let text = crate::telemetry::Chain(&error).to_string();
        assert!(text.contains("connections/other") && text.contains("security.master_key"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn what_changes_is_told_as_the_file_spells_it() {
    on_each_database(|store| async move {
        let account = |lines: &str| {
            format!(
                "[[accounts]]\nid = \"acme\"\nplatform = \"clevertap\"\nbearer_token = \"b\"\nclevertap_region = \"in1\"\n\
                 clevertap_account_id = \"TEST-ACC-1\"\nclevertap_passcode = \"pass\"\n{lines}"
            )
        };
        apply_text(&store, &account("")).await;

        let quiet = "quiet_hours = { from = \"21:00\", to = \"09:00\" }\nallowed_addresses = [\"203.0.113.0/24\"]\n";
        let changes = apply_text(&store, &account(quiet)).await;
        assert_eq!(
            changes,
            ["~ account acme: allowed_addresses [] -> [\"203.0.113.0/24\"], quiet_hours none -> { from = \"21:00\", \
              to = \"09:00\", categories = [\"marketing\"] }"]
        );
        let changes = apply_text(&store, &account("subscribe_sync = { type = \"sms\" }\n")).await;
        assert!(changes[0].contains("subscribe_sync none -> { path = \"/1/subscribe\", type = \"sms\" }"), "{changes:?}");
        let changes = apply_text(&store, &account("").replace("in1", "sg1").replace("\"pass\"", "\"word\"")).await;
        for part in ["subscribe_sync { path", "clevertap_region \"in1\" -> \"sg1\"", "clevertap_passcode changed"] {
            assert!(changes[0].contains(part), "{part} is missing in {changes:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_file_changes_stands_in_the_audit_log_without_its_secrets() {
    on_each_database(async |store| {
        apply_text(&store, WHOLE).await;
        apply_text(&store, WHOLE).await;
        let mut lines = store.audit_lines(None, 10).await.expect("readable");
        lines.reverse();
        let actions: Vec<&str> = lines.iter().map(|line| line.action.as_str()).collect();
        let once = ["add connection", "add account", "add number", "add number"];
        assert_eq!(actions, once, "once, though it was applied twice");
        for line in &lines {
            assert!(line.actor.contains("asha"), "{line:?}");
            let told =
                format!("{}{}", line.before.as_deref().unwrap_or_default(), line.after.as_deref().unwrap_or_default());
            for secret in ["hush", "\"bear\"", "0123456789abcdefghij", "key=1", "older"] {
                assert!(!told.contains(secret), "{told}");
            }
        }
        let account = lines[1].after.clone().unwrap_or_default();
        assert!(account.contains("\"set\"") && account.contains("time_zone"), "{account}");
    })
    .await;
}
