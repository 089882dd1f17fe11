//! What to open and to try, beside the demo that still runs.

use std::fmt::Write as _;

use anyhow::Context as _;
use serde_json::Value;

use super::{
    campaign,
    evidence::Evidence,
    offer::endpoint,
    world::{ACCOUNT_ID, PASSCODE, World},
};

/// The file that the curl line sends.
const ONE_MORE: &str = "message.json";

pub(super) async fn steps(world: &World, evidence: &Evidence, leaving: bool) -> anyhow::Result<String> {
    let folder = world.folder();
    let program = std::env::args().next().unwrap_or_else(|| "wabridge".to_owned());
    let settings = shell_word(&folder.join("wabridge.toml").display().to_string());
    let commands = |text: &mut String| {
        let run = |command: &str| format!("    {} {command} --settings {settings}\n", shell_word(&program));
        text.push_str("  How things stand:\n");
        text.push_str(&run("status"));
        if let Some(id) = evidence.a_message_with_a_story() {
            text.push_str("  The whole story of one message:\n");
            text.push_str(&run(&format!("message {}", shell_word(id))));
        }
    };
    let mut text = String::from("\nWhat to do next\n");
    match (leaving, world.is_temporary()) {
        (true, true) => text.push_str("  Run it without --exit: then it stays, and shows what to open and to try.\n"),
        (true, false) => commands(&mut text),
        (false, _) => {
            let url = &world.url;
            let console = world.app.operators.first_link().await?;
            let console = console.unwrap_or_else(|| format!("{url}/console"));
            writeln!(
                text,
                "  The console, with a week behind it; this link makes you its owner, once:\n    {console}"
            )?;
            writeln!(text, "  Open:\n    {url}/metrics\n    {url}/readyz\n    {url}/openapi.json")?;
            commands(&mut text);
            write_one_more(world)?;
            let file = shell_word(&format!("@{}", folder.join(ONE_MORE).display()));
            write!(
                text,
                "  Send one more message; sent again, it is recognised and goes out once:\n    \
                 curl {} \\\n      -H 'X-CleverTap-Account-Id: {ACCOUNT_ID}' \\\n      -H 'X-CleverTap-Passcode: {PASSCODE}' \\\n      \
                 -H 'Content-Type: application/json' -d {file}\n",
                endpoint(url),
            )?;
        }
    }
    let files = "wabridge.toml (settings), apply.toml (connection, account, number), wabridge.db";
    match (leaving, world.is_temporary()) {
        (true, true) => {}
        (true, false) => writeln!(text, "  Its files are in {}:\n    {files}", folder.display())?,
        (false, temporary) => {
            let end = if temporary { "stops everything and removes the folder" } else { "stops everything" };
            writeln!(text, "  Its files are in {}:\n    {files}\n  Ctrl-C {end}.", folder.display())?;
        }
    }
    Ok(text)
}

fn write_one_more(world: &World) -> anyhow::Result<()> {
    let offer = campaign::one_more(wabridge::clock::now());
    let document: Value = serde_json::from_str(&offer.body).context("could not read our own message")?;
    let path = world.folder().join(ONE_MORE);
    std::fs::write(&path, format!("{document:#}\n")).with_context(|| format!("could not write {}", path.display()))
}

/// As a shell takes it for one word.
fn shell_word(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./:@=+,%".contains(character);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_take_apart_is_quoted() {
        assert_eq!(shell_word("target/release/wabridge"), "target/release/wabridge");
        assert_eq!(shell_word("7|1790000000|20261120|7|0"), "'7|1790000000|20261120|7|0'");
        assert_eq!(shell_word("it's here"), r"'it'\''s here'");
    }
}
