//! The document that is checked in is the one that the program prints, and the API does what it says.

use std::process::Command;

use wabridge::domain::operator::Permission;

use crate::harness::{Database, Message, TestApp, person};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/wabridge.json");

#[test]
fn the_openapi_document_is_up_to_date() {
    let printed = Command::new(env!("CARGO_BIN_EXE_wabridge")).arg("openapi").output().expect("the program runs");
    assert!(printed.status.success());
    let printed = String::from_utf8(printed.stdout).expect("JSON is UTF-8");

    let kept = std::fs::read_to_string(FILE).unwrap_or_default();

    assert!(kept == printed, "openapi/wabridge.json is out of date: cargo run -- openapi > openapi/wabridge.json");
}

#[test]
fn what_is_given_as_keys_and_values_has_an_example() {
    let document = std::fs::read_to_string(FILE).expect("it is checked in");
    let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
    for (method, path, key) in [
        ("post", "/api/v1/connections", "access_token"),
        ("patch", "/api/v1/connections/{id}", "access_token"),
        ("post", "/api/v1/senders", "phone_number_id"),
        ("patch", "/api/v1/senders/{number}", "messages_per_second"),
        ("put", "/api/v1/webhooks/{name}", "settings"),
    ] {
        let body = &document["paths"][path][method]["requestBody"]["content"]["application/json"];
        assert!(!body["example"][key].is_null(), "{method} {path}: {body:#}");
    }
}

/// Another program reads the document, makes requests of all kinds from it, good and bad, and holds the answers against it.
/// `tests/run.sh` installs it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_does_what_its_document_says() {
    let app = TestApp::start(Database::sqlite().await).await;
    app.accept(&Message::order_update(&person(1))).await;
    app.settled().await;
    let asha = app.first_owner().await;
    let scopes: Vec<&str> = Permission::ALL.iter().map(|permission| permission.as_str()).collect();
    let token = asha.make_token(&scopes).await;
    let program = std::env::var("WABRIDGE_SCHEMATHESIS").unwrap_or_else(|_| "schemathesis".to_owned());

    let found = tokio::process::Command::new(&program)
        .current_dir(app.folder())
        .args(["run", FILE, "--url", &app.at(""), "--header", &format!("Authorization: Bearer {token}")])
        .args(["--include-path-regex", "^/api/v1", "--phases", "examples,coverage,fuzzing", "--max-examples", "5"])
        // It would take back the very token that it shows, and remove what all others ask about: see `removal`.
        .args(
            ["revoke_token", "remove_account", "remove_connection", "remove_sender"]
                .iter()
                .flat_map(|id| ["--exclude-operation-id", id]),
        )
        // What the document allows may still name an account that is not there.
        .args(["--exclude-checks", "positive_data_acceptance", "--seed", "1", "--no-color", "--request-timeout", "60"])
        .output()
        .await
        .unwrap_or_else(|error| panic!("{program} cannot be run ({error}); tests/run.sh installs it"));

    let said = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(found.status.success(), "{said}{}", String::from_utf8_lossy(&found.stderr));
    app.leave().await;
}
