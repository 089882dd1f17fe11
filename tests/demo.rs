//! The demo is the first thing that a stranger runs, so it is run here as a stranger does: as a program.

use std::process::{Command, Output};

#[test]
fn a_small_demo_adds_up_and_leaves_nothing_behind() {
    adds_up_by("meta", &["texts 1", "button taps 1"]);
}

#[test]
fn a_demo_by_360dialog_adds_up() {
    adds_up_by("360dialog", &["texts 1", "button taps 1"]);
}

#[test]
fn a_demo_by_gallabox_adds_up() {
    adds_up_by("gallabox", &["texts 1", "button taps 1"]);
}

/// Its taps come as words, and of a send without an answer nobody learns anything more.
#[test]
fn a_demo_by_commbox_adds_up() {
    adds_up_by("commbox", &["texts 2", "reports of nobody’s 3"]);
}

#[test]
fn a_demo_by_gotallo_adds_up() {
    adds_up_by("gotallo", &["texts 1", "button taps 1"]);
}

fn adds_up_by(provider: &str, more_rows: &[&str]) {
    let folder = tempfile::tempdir().expect("a temporary folder");

    let output = demo(&folder, &["--messages", "20", "--exit", "--provider", provider, "--listen", "0.0.0.0:0"]);

    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.starts_with("wabridge listens on http://127.0.0.1:"), "where it is found from here: {text}");
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let rows = ["requests 20", "accepted 14", "repeats recognised 1", "refused at once 5"];
    for row in rows.iter().chain(more_rows) {
        let found = text.lines().any(|line| words(line).starts_with(row));
        assert!(found, "{row:?} is missing from:\n{text}");
    }
    let alarming = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!alarming.contains(" WARN ") && !alarming.contains("ERROR"), "all is as planned: {alarming}");
    let left = folder.path().read_dir().expect("the folder is there").count();
    assert_eq!(left, 0, "the temporary folder of the demo should be gone");
}

#[test]
fn a_demo_does_not_touch_what_is_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("precious"), "data").expect("the folder can be written");

    let kept = folder.path().display().to_string();
    let output = demo(&folder, &["--exit", "--keep", &kept]);

    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("is not empty"), "{error}");
}

/// With a temporary folder of our own, and somebody's environment that must not matter.
fn demo(folder: &tempfile::TempDir, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wabridge"))
        .arg("demo")
        .args(arguments)
        .env("TMPDIR", folder.path())
        .env("WABRIDGE__DATABASE__URL", "sqlite:///nobody/may/open/this.db")
        .output()
        .expect("the program can be run")
}

/// One space between words.
fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
