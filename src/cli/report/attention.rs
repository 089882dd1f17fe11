//! What a person should look at, in words. Monitoring ends with 4 for as long as there is anything.

use std::time::Duration;

use wabridge::domain::notice::Severity;

use crate::cli::counted;

use super::{CallbackUrlReport, Moment, NumberReport, Report};

/// What cannot be mended, or said to be seen, is worth an alarm for this long.
const NEWS_FOR: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn needing_attention(report: &Report) -> Vec<String> {
    let mut found = holds(report);
    report.numbers.iter().for_each(|number| number_trouble(number, &mut found));
    report.callback_urls.iter().for_each(|url| callback_trouble(url, &mut found));
    report.webhooks.iter().for_each(|webhook| found.extend(webhook.trouble()));
    for account in &report.accounts {
        let Some(sync) = &account.subscribe_sync else { continue };
        if sync.refused > 0 {
            let people = counted(sync.refused, "person", "people");
            found.push(format!("the platform of account {} refused to hear of {people}", account.id));
        }
        if let Some(failure) = &sync.failure {
            found.push(format!("the platform of account {} cannot be told of opt-outs: {failure}", account.id));
        }
    }
    let is_new = |at: &Moment| report.at.0.since(at.0) < NEWS_FOR;
    for notice in report.notices.iter().filter(|notice| is_new(&notice.at)) {
        if notice.severity == Severity::Critical {
            found.push(format!("account {} got a critical notice: {}", notice.account, notice.text));
        }
    }
    if let Some(file) = report.files.newest_failed.iter().find(|file| is_new(&file.at)) {
        found.push(format!("files from people could not be copied, the last one because: {}", file.reason));
    }
    found
}

fn holds(report: &Report) -> Vec<String> {
    let connections = report.connections.iter().map(|connection| {
        let hold = connection.hold.as_ref();
        hold.map(|hold| format!("connection {} is on hold: {}", connection.id, hold.reason))
    });
    let numbers = report.numbers.iter().map(|number| {
        let hold = number.hold.as_ref();
        hold.map(|hold| format!("number {} is on hold: {}", number.number, hold.reason))
    });
    let urls = report.callback_urls.iter().map(|url| {
        let hold = url.hold.as_ref();
        hold.map(|hold| format!("callback URL {} is on hold: {}", url.key, hold.reason))
    });
    connections.chain(numbers).chain(urls).flatten().collect()
}

fn number_trouble(number: &NumberReport, found: &mut Vec<String>) {
    let name = &number.number;
    if number.owner.is_none() {
        found.push(format!("no server works on number {name}"));
    }
    if let Some(failure) = &number.templates.failure {
        found.push(format!("the templates of number {name} cannot be read: {failure}"));
    }
    if !number.templates.paused.is_empty() {
        found.push(format!("WhatsApp paused templates of number {name}: {}", number.templates.paused.join(", ")));
    }
    if let Some(limit) = number.messaging_limit.as_ref().filter(|limit| limit.holds_back) {
        found.push(format!("number {name}: {}", limit.told));
    }
    if let Some(trouble) = &number.poll_trouble {
        found.push(format!("number {name}: {}", trouble.told));
    }
    let Some(channel) = &number.channel else { return };
    if !channel.warnings.is_empty() {
        found.push(format!("number {name}: {}", channel.warnings.join("; ")));
    }
    if let Some(failure) = &channel.failure {
        found.push(format!("the provider does not say how it sees number {name}: {failure}"));
    }
}

fn callback_trouble(url: &CallbackUrlReport, found: &mut Vec<String>) {
    if url.failing_since.is_some() && url.hold.is_none() {
        let times = counted(url.failures, "time", "times");
        found.push(format!("callback URL {} failed {times} in a row", url.key));
    }
    if url.dead > 0 {
        let events = counted(url.dead, "dead event", "dead events");
        found.push(format!(
            "callback URL {} has {events}; `wabridge replay --subscription {}` tells them again",
            url.key, url.key
        ));
    }
    if let Some(replay) = &url.replay
        && let Some(note) = &replay.note
    {
        found.push(format!("replay {} to callback URL {}: {note}", replay.id, url.key));
    }
}
