//! The document that is checked in is the one that the program prints.

use std::process::Command;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/wabridge.json");

#[test]
fn the_openapi_document_is_up_to_date() {
    let printed = Command::new(env!("CARGO_BIN_EXE_wabridge")).arg("openapi").output().expect("the program runs");
    assert!(printed.status.success());
    let printed = String::from_utf8(printed.stdout).expect("JSON is UTF-8");

    let kept = std::fs::read_to_string(FILE).unwrap_or_default();

    assert!(kept == printed, "openapi/wabridge.json is out of date: cargo run -- openapi > openapi/wabridge.json");
}
