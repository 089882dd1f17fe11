//! `wabridge alarm`: what is wrong now, and whether alarms arrive.

use std::{fmt::Write as _, process::ExitCode};

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use wabridge::{
    app::{open_existing_store, platform_exchange},
    services::alarms::{AlarmWays, Untold, WAYS_JOINED_BY, WayShown},
    settings::Settings,
    store::{Store, alarms::AlarmRecord},
};

use super::{answer, answer_json, exit, report};

/// What is wrong now, and whether alarms arrive
///
/// The server looks every minute, and tells by webhook and e-mail what is wrong, once, again while it lasts, and once when it
/// is over. Where to is set under [alarms], and by people in the console.
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

--json prints a list, of each: kind, subject, text, since, told (when; null: nobody was), told_by (the ways that took it),
untold (why nobody was told; null: somebody was).")]
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
--json prints: done (every way took it), and for each of the ways: way, taken, answer, failure.")]
    Test {
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Something that is wrong now.
#[derive(Serialize)]
pub(super) struct Active {
    pub(super) kind: &'static str,
    pub(super) subject: String,
    pub(super) text: String,
    since: String,
    /// When operators last heard of it.
    told: Option<String>,
    /// The ways that took it then.
    told_by: Vec<String>,
    /// Why nobody was told.
    untold: Option<String>,
}

impl Active {
    fn of(record: AlarmRecord, ways: &[WayShown]) -> Self {
        let told_by: Vec<String> =
            record.told_by.split(WAYS_JOINED_BY).filter(|way| !way.is_empty()).map(str::to_owned).collect();
        let untold = Untold::of(&record, ways).map(|why| match why {
            Untold::NoWay => format!("{}, see `wabridge alarm test`", why.in_words()),
            Untold::NotWanted => why.in_words().to_owned(),
            Untold::NotTaken => format!("{}; `wabridge alarm test` tries them", why.in_words()),
        });
        Self {
            kind: record.kind.as_str(),
            subject: record.subject,
            text: record.text,
            since: record.raised_at.to_string(),
            told: record.told_at.filter(|_| untold.is_none()).map(|at| at.to_string()),
            told_by,
            untold,
        }
    }

    /// Since when, and who knows.
    pub(super) fn told(&self) -> String {
        let told = match (&self.told, &self.untold) {
            (Some(at), _) => format!("told by {} at {at}", self.told_by.join(" and ")),
            (None, Some(why)) => format!("nobody was told: {why}"),
            (None, None) => "nobody was told".to_owned(),
        };
        format!("since {}, {told}", self.since)
    }
}

/// What is wrong now, as the server last wrote it down.
pub(super) async fn active(settings: &Settings, store: &Store) -> anyhow::Result<Vec<Active>> {
    let ways = AlarmWays::new(settings, platform_exchange(settings)?)?.set_up(store).await?;
    let records = store.alarms().await?.into_iter().filter(|record| record.over_at.is_none());
    Ok(records.map(|record| Active::of(record, &ways)).collect())
}

pub(crate) async fn alarm(settings: &Settings, arguments: &AlarmArguments) -> anyhow::Result<ExitCode> {
    match arguments.what {
        What::List { json } => list(settings, json).await,
        What::Test { json } => test(settings, json).await,
    }
}

async fn list(settings: &Settings, json: bool) -> anyhow::Result<ExitCode> {
    let store = open_existing_store(settings).await?;
    let active = active(settings, &store).await?;
    if json {
        answer_json(&active)?;
    } else {
        let mut text = String::new();
        for alarm in &active {
            writeln!(text, "{} {}: {}\n    {}", alarm.kind, alarm.subject, alarm.text, alarm.told())?;
        }
        answer(if active.is_empty() { "nothing is wrong\n" } else { &text })?;
    }
    Ok(if active.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(exit::NEEDS_ATTENTION) })
}

async fn test(settings: &Settings, json: bool) -> anyhow::Result<ExitCode> {
    let ways = AlarmWays::new(settings, platform_exchange(settings)?)?;
    // Ways can be tried before there is a database.
    let told = match open_existing_store(settings).await {
        Ok(store) => ways.test(&store).await?,
        Err(_) => ways.test_without_store().await,
    };
    if told.is_empty() {
        let text = "no way is set up: say in the console who is told of alarms, or set alarms.webhook_url, or alarms.smtp_url with \
                    alarms.from and alarms.to\n";
        report(json, text, &json!({"done": false, "ways": []}))?;
        return Ok(ExitCode::from(exit::NOTHING_FOUND));
    }
    let failed = told.iter().any(|told| told.result.is_err());
    let mut text = String::new();
    let mut ways = Vec::new();
    for told in told {
        match &told.result {
            Ok(answer) => writeln!(text, "✓ {}: taken ({answer})", told.way)?,
            Err(why) => writeln!(text, "✗ {}: {why}", told.way)?,
        }
        let (answer, failure) = (told.result.as_ref().ok(), told.result.as_ref().err());
        ways.push(json!({"way": told.way, "taken": answer.is_some(), "answer": answer, "failure": failure}));
    }
    report(json, &text, &json!({"done": !failed, "ways": ways}))?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[cfg(test)]
mod tests {
    use wabridge::domain::{alarm::AlarmKind, time::UnixMillis};

    use super::*;

    fn told(told_at: Option<i64>, told_by: &str) -> (Option<String>, String) {
        let record = AlarmRecord {
            kind: AlarmKind::DiskFull,
            subject: "disk of data".to_owned(),
            text: "only 0.1 GB are free".to_owned(),
            raised_at: UnixMillis(0),
            over_at: None,
            told_at: told_at.map(UnixMillis),
            told_by: told_by.to_owned(),
            told: told_at.is_some(),
        };
        let active = Active::of(record, &[]);
        (active.told.clone(), active.told())
    }

    #[test]
    fn who_was_told_is_said_and_the_log_is_nobody() {
        let (at, words) = told(Some(0), "webhook, e-mail");
        assert!(at.is_some() && words.contains("told by webhook and e-mail at 1970"), "{words}");
        let (at, words) = told(Some(0), "");
        assert!(at.is_none() && words.contains("nobody was told: no way is set up"), "{words}");
    }
}
