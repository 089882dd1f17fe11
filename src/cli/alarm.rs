//! `wabridge alarm`: what is wrong now, and whether alarms arrive.

use std::{fmt::Write as _, process::ExitCode};

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use wabridge::{
    app::{open_existing_store, platform_exchange},
    clock,
    services::alarms::{AlarmWays, letter::Letter},
    settings::Settings,
};

use super::{answer, answer_json, exit, report};

/// What is wrong now, and whether alarms arrive
///
/// The server looks every minute, and tells by webhook and e-mail what is wrong, once, again while it lasts, and once when it
/// is over. Where to is set under [alarms].
#[derive(Args)]
#[command(after_help = "\
Examples:
  wabridge alarm list      what is wrong now: the kind, what it is about, since when, and whether anybody was told
  wabridge alarm test      does an alarm arrive? Sends one by every way that is set up")]
pub(crate) struct AlarmArguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Print what is wrong now. Ends with 4 when there is anything
    #[command(after_help = "\
Examples:
  wabridge alarm list || page-somebody
  wabridge alarm list --json | jq -r '.[].text'

--json prints a list, of each: kind, subject, text, since, told.")]
    List {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Send one alarm now, by every way that is set up, and say what came of it
    ///
    /// Ends with 1 when a way failed, and with 3 when none is set up.
    #[command(after_help = "\
Example, with a webhook that this machine can reach:
  WABRIDGE__ALARMS__WEBHOOK_URL=https://alerts.example.com/hook wabridge alarm test

It uses the settings of this command, so give it those of the server (--settings FILE). Taken means that the other side
answered with success; look there whether it arrived.
--json prints: done (every way took it), and for each of the ways: way, taken, failure.")]
    Test {
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Serialize)]
struct Active {
    kind: &'static str,
    subject: String,
    text: String,
    since: String,
    /// When operators last heard of it.
    told: Option<String>,
}

pub(crate) async fn alarm(settings: &Settings, arguments: &AlarmArguments) -> anyhow::Result<ExitCode> {
    match arguments.what {
        What::List { json } => list(settings, json).await,
        What::Test { json } => test(settings, json).await,
    }
}

async fn list(settings: &Settings, json: bool) -> anyhow::Result<ExitCode> {
    let store = open_existing_store(settings).await?;
    let active: Vec<Active> = store
        .alarms()
        .await?
        .into_iter()
        .filter(|record| record.over_at.is_none())
        .map(|record| Active {
            kind: record.kind.as_str(),
            subject: record.subject,
            text: record.text,
            since: record.raised_at.to_string(),
            told: record.told_at.map(|at| at.to_string()),
        })
        .collect();
    if json {
        answer_json(&active)?;
    } else {
        let mut text = String::new();
        for alarm in &active {
            let told = alarm.told.as_deref().unwrap_or("nobody yet");
            writeln!(text, "{} {}: {}\n    since {}, told {told}", alarm.kind, alarm.subject, alarm.text, alarm.since)?;
        }
        answer(if active.is_empty() { "nothing is wrong\n" } else { &text })?;
    }
    Ok(if active.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(exit::NEEDS_ATTENTION) })
}

async fn test(settings: &Settings, json: bool) -> anyhow::Result<ExitCode> {
    let ways = AlarmWays::new(settings, platform_exchange(settings)?)?;
    let told = ways.tell(&Letter::test(settings.instance_id(), clock::now())).await;
    if told.is_empty() {
        let text = "no way is set up: set alarms.webhook_url, or alarms.smtp_url with alarms.from and alarms.to\n";
        report(json, text, &json!({"done": false, "ways": []}))?;
        return Ok(ExitCode::from(exit::NOTHING_FOUND));
    }
    let failed = told.iter().any(|told| told.result.is_err());
    let mut text = String::new();
    let mut ways = Vec::new();
    for told in told {
        match &told.result {
            Ok(()) => writeln!(text, "✓ {}: taken", told.way)?,
            Err(why) => writeln!(text, "✗ {}: {why}", told.way)?,
        }
        ways.push(json!({"way": told.way, "taken": told.result.is_ok(), "failure": told.result.err()}));
    }
    report(json, &text, &json!({"done": !failed, "ways": ways}))?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
