//! `wabridge status`: how things stand.

use std::{fmt::Write as _, process::ExitCode};

use clap::Args;
pub(crate) use wabridge::domain::words::ago;
use wabridge::{app::open_existing_store, clock, domain::time::UnixMillis, settings::Settings};

use super::{
    answer, answer_json, counted, exit,
    queue::tell_rules,
    report::{
        self, AccountReport, CallbackUrlReport, ChannelReport, EndedReplayReport, FilesReport, HoldReport, Moment,
        NumberReport, Report, ServerReport, SubscribeSyncReport,
    },
};

/// Say how things stand: queues, holds, templates, and how far each callback URL has come
#[derive(Args)]
#[command(after_help = report::FIELDS)]
pub(crate) struct StatusArguments {
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    /// End with 4 when something needs a person: for monitoring
    #[arg(long)]
    exit_code: bool,
}

pub(crate) async fn status(settings: &Settings, arguments: &StatusArguments) -> anyhow::Result<ExitCode> {
    let store = open_existing_store(settings).await?;
    let configuration = store.load_configuration().await?;
    let report = report::gather(&store, &configuration, settings, clock::now()).await?;
    if arguments.json {
        answer_json(&report)?;
    } else {
        answer(&told(&report)?)?;
    }
    let needs_attention = arguments.exit_code && !report.needs_attention.is_empty();
    Ok(if needs_attention { ExitCode::from(exit::NEEDS_ATTENTION) } else { ExitCode::SUCCESS })
}

/// What needs attention stands first, and once more where it belongs.
fn told(report: &Report) -> anyhow::Result<String> {
    let Report { at: Moment(now), connections, accounts, numbers, callback_urls, notices, .. } = report;
    let now = *now;
    let mut text = String::new();
    if !report.needs_attention.is_empty() {
        writeln!(text, "NEEDS ATTENTION")?;
        report.needs_attention.iter().try_for_each(|what| writeln!(text, "  {what}"))?;
        writeln!(text)?;
    }
    tell_servers(&report.servers, now, &mut text)?;
    heading("\nCONNECTIONS", connections, &mut text)?;
    for connection in connections {
        writeln!(text, "  {} ({}): {}", connection.id, connection.provider, held(connection.hold.as_ref(), now))?;
    }
    heading("\nACCOUNTS", accounts, &mut text)?;
    accounts.iter().try_for_each(|account| tell_account(account, now, &mut text))?;
    heading("\nNUMBERS", numbers, &mut text)?;
    numbers.iter().try_for_each(|number| tell_number(number, now, &mut text))?;
    heading("\nCALLBACK URLS", callback_urls, &mut text)?;
    callback_urls.iter().try_for_each(|url| tell_callback_url(url, now, &mut text))?;
    if !report.webhooks.is_empty() {
        writeln!(text, "\nWEBHOOKS")?;
    }
    report.webhooks.iter().try_for_each(|webhook| writeln!(text, "  {}", webhook.line()))?;
    tell_ended_replays(&report.replays_ended, now, &mut text)?;
    if !notices.is_empty() {
        writeln!(text, "\nNOTICES OF THE LAST WEEK, the newest first")?;
    }
    for notice in notices {
        let (since, severity) = (ago(notice.at.0, now), notice.severity.as_str());
        writeln!(text, "  {since} ago, {} ({severity}): {}", notice.account, notice.text)?;
    }
    if !report.alarms.is_empty() {
        writeln!(text, "\nALARMS")?;
    }
    for alarm in &report.alarms {
        writeln!(text, "  {}: {}\n    {}", alarm.subject, alarm.text, alarm.told())?;
    }
    tell_rules(&report.queue_rules, now, &mut text)?;
    tell_files(&report.files, &mut text)?;

    let kept = &report.kept_aside;
    let unread = counted(kept.unread_parts, "part", "parts");
    let parked = counted(kept.parked_statuses, "status whose message is", "statuses whose messages are");
    writeln!(text, "\nKEPT ASIDE")?;
    writeln!(text, "  {unread} of webhooks that could not be read; `wabridge unrecognized` lists them")?;
    writeln!(text, "  {parked} not known, or not yet")?;
    Ok(text)
}

fn heading<T>(heading: &str, things: &[T], text: &mut String) -> std::fmt::Result {
    writeln!(text, "{heading}")?;
    if things.is_empty() {
        writeln!(text, "  none; `wabridge apply FILE` makes them from a file")?;
    }
    Ok(())
}

/// Who runs, and how much of the work each does.
fn tell_servers(servers: &[ServerReport], now: UnixMillis, text: &mut String) -> std::fmt::Result {
    writeln!(text, "SERVERS")?;
    if servers.is_empty() {
        writeln!(text, "  none; start `wabridge serve`")?;
    }
    for server in servers {
        let ServerReport { id, since, stopping, numbers, callback_urls, housekeeping, media } = server;
        let numbers = counted(*numbers, "number", "numbers");
        let urls = counted(*callback_urls, "callback URL", "callback URLs");
        let house = if *housekeeping { ", the housekeeping" } else { "" };
        let media = if *media { ", the copying of files" } else { "" };
        let stopping = if *stopping { "; it is stopping" } else { "" };
        writeln!(text, "  {id}, for {}: {numbers}, {urls}{house}{media}{stopping}", ago(since.0, now))?;
    }
    Ok(())
}

/// Who must not be sent to, what the platform knows of it, and hours of quiet.
fn tell_account(account: &AccountReport, now: UnixMillis, text: &mut String) -> std::fmt::Result {
    let disabled = if account.enabled { "" } else { ", disabled" };
    writeln!(text, "  {} ({}{disabled}): suppressed {}", account.id, account.platform, account.suppressed)?;
    if let Some(quiet) = &account.quiet_hours {
        let state = if quiet.now { "QUIET now, these messages wait" } else { "not now" };
        writeln!(text, "    quiet hours {} ({}): {state}", quiet.hours, quiet.time_zone)?;
    }
    if let Some(sync) = &account.subscribe_sync {
        let SubscribeSyncReport { pending, refused, synced_at, failed_at, failure, newest_refused } = sync;
        let synced = synced_at.map_or_else(|| "never".to_owned(), |at| format!("{} ago", ago(at.0, now)));
        let failure = failed_at
            .zip(failure.as_ref())
            .map_or_else(String::new, |(at, why)| format!("; failed {} ago: {why}", ago(at.0, now)));
        writeln!(text, "    platform's own list: pending {pending}, refused {refused}, last told {synced}{failure}")?;
        newest_refused
            .iter()
            .try_for_each(|refused| writeln!(text, "      refused {}: {}", refused.phone, refused.why))?;
    }
    Ok(())
}

fn tell_number(number: &NumberReport, now: UnixMillis, text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "  {} of {}{} through {}, {} a second: {}{}",
        number.number,
        number.account,
        disabled(number.account_enabled),
        number.connection,
        number.messages_per_second,
        held(number.hold.as_ref(), now),
        if number.connection_on_hold { " (its connection is on hold)" } else { "" },
    )?;
    let oldest = number.oldest_queued_at.map_or_else(String::new, |at| format!(" (oldest {} ago)", ago(at.0, now)));
    writeln!(
        text,
        "    queued {}{oldest}, waiting for a retry {}, being sent {}, outcome unknown {}; owned by {}",
        number.queued,
        number.waiting_for_retry,
        number.sending,
        number.unknown,
        number.owner.as_deref().unwrap_or("nobody"),
    )?;
    let templates = &number.templates;
    let synced =
        templates.synced_at.map_or_else(|| "never synced".to_owned(), |at| format!("synced {} ago", ago(at.0, now)));
    let failure = templates
        .failed_at
        .zip(templates.failure.as_ref())
        .map_or_else(String::new, |(at, why)| format!("; the sync {} ago failed: {why}", ago(at.0, now)));
    writeln!(text, "    templates {}, {synced}{failure}", templates.count)?;
    if !templates.paused.is_empty() {
        writeln!(text, "    PAUSED by WhatsApp: {}", templates.paused.join(", "))?;
    }
    if let Some(location) = &number.location {
        writeln!(text, "    location headers without name or address get: {location}")?;
    }
    match &number.channel {
        Some(channel) => tell_channel(channel, now, text)?,
        None => writeln!(text, "    quality not read yet")?,
    }
    if let Some(trouble) = &number.poll_trouble {
        writeln!(text, "    LOOK: {}", trouble.told)?;
    }
    number.messaging_limit.iter().try_for_each(|limit| writeln!(text, "    {}", limit.told))
}

/// How the provider sees a number, and what a person should do about it.
fn tell_channel(channel: &ChannelReport, now: UnixMillis, text: &mut String) -> std::fmt::Result {
    if let Some(read_at) = channel.read_at {
        let limit = channel.messaging_limit.as_deref().unwrap_or("limit unknown");
        let throughput = channel.throughput.as_deref().unwrap_or("unknown");
        let name = channel.name.as_ref().map_or_else(String::new, |name| format!(", shown as {name:?}"));
        let (quality, read) = (channel.quality.as_str(), ago(read_at.0, now));
        writeln!(text, "    quality {quality}, {limit}, throughput {throughput}{name}; read {read} ago")?;
        let mut advice = channel.warnings.iter().chain(&channel.advice);
        advice.try_for_each(|warning| writeln!(text, "    LOOK: {warning}"))?;
    }
    if let Some((at, why)) = channel.failed_at.zip(channel.failure.as_ref()) {
        writeln!(text, "    the provider did not say {} ago how it sees the number: {why}", ago(at.0, now))?;
    }
    Ok(())
}

fn tell_callback_url(url: &CallbackUrlReport, now: UnixMillis, text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "  {}: {} of {}{}{}: {}",
        url.key,
        url.kind_name(),
        url.account,
        disabled(url.account_enabled),
        url.number.as_ref().map_or_else(String::new, |number| format!(" {number}")),
        match (&url.hold, url.failing_since) {
            (None, Some(_)) => "FAILING".to_owned(),
            (hold, _) => held(hold.as_ref(), now),
        },
    )?;
    writeln!(
        text,
        "    owed {}, dead {}, not relayed {}; owned by {}",
        url.owed,
        url.dead,
        url.not_relayed,
        url.owner.as_deref().unwrap_or("nobody"),
    )?;
    for dead in &url.newest_dead {
        let message = match (&dead.message, &dead.platform_message_id) {
            (Some(message), Some(platform_message_id)) => format!("{message} ({platform_message_id})"),
            (Some(message), None) => message.clone(),
            (None, _) => "of no message".to_owned(),
        };
        let others = if dead.events > 1 { format!(" and {} before it", dead.events - 1) } else { String::new() };
        writeln!(text, "      dead since {} ago: {message}{others}: {}", ago(dead.at.0, now), dead.reason)?;
    }
    if let Some(since) = url.failing_since {
        let next = match url.next_try_at {
            Some(at) if at.0 > now => format!("; next try in {}", ago(now, at.0)),
            Some(_) => "; next try now".to_owned(),
            None => String::new(),
        };
        let times = counted(url.failures, "time", "times");
        writeln!(text, "    failing for {}, {times} in a row{next}", ago(since.0, now))?;
    }
    if let Some(replay) = &url.replay {
        let note = replay.note.as_ref().map_or_else(String::new, |note| format!("; {note}"));
        let done = replay.told + replay.refused + replay.passed;
        let (id, since) = (replay.id, ago(replay.since.0, now));
        writeln!(
            text,
            "    replay {id} since {since} ago: {done} of {}, refused {}{note}",
            replay.wanted, replay.refused
        )?;
    }
    Ok(())
}

/// Also those to callback URLs that are there no more, which stand nowhere else.
fn tell_ended_replays(ended: &[EndedReplayReport], now: UnixMillis, text: &mut String) -> std::fmt::Result {
    if !ended.is_empty() {
        writeln!(text, "\nREPLAYS THAT ENDED WITHIN A DAY, the newest first")?;
    }
    for replay in ended {
        let EndedReplayReport { id, callback_url, told, refused, passed, .. } = replay;
        let note = replay.note.as_ref().map_or_else(String::new, |note| format!("; {note}"));
        let since = ago(replay.ended_at.0, now);
        writeln!(
            text,
            "  replay {id} to callback URL {callback_url} of {}, {since} ago: told {told}, refused {refused}, passed over \
             {passed}{note}",
            replay.account
        )?;
    }
    Ok(())
}

fn tell_files(files: &FilesReport, text: &mut String) -> std::fmt::Result {
    let FilesReport { stored, stored_bytes, pending, failed, newest_failed } = files;
    writeln!(text, "\nFILES FROM PEOPLE")?;
    writeln!(text, "  stored {stored} ({stored_bytes} bytes), to be copied {pending}, could not be copied {failed}")?;
    newest_failed.iter().try_for_each(|file| writeln!(text, "    {}  {}: {}", file.at.0, file.kind, file.reason))
}

fn disabled(enabled: bool) -> &'static str {
    if enabled { "" } else { " (disabled)" }
}

fn held(hold: Option<&HoldReport>, now: UnixMillis) -> String {
    let Some(HoldReport { since, reason, by }) = hold else { return "not on hold".to_owned() };
    format!("ON HOLD for {}, by {}: {reason}", ago(since.0, now), by.as_deref().unwrap_or("what was answered"))
}
