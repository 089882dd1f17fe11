//! `wabridge status`: how things stand.

use std::{fmt::Write as _, process::ExitCode, time::Duration};

use clap::Args;
use wabridge::{
    app::open_existing_store,
    clock,
    domain::{
        account::{Hold, SenderPolicy},
        callback::EventKind,
        time::UnixMillis,
    },
    services::directory::owner_of,
    settings::Settings,
    store::{
        Store, callbacks::CursorState, channels::Channel, leases::LeaseKind, media::MediaOverview,
        notices::LoggedNotice,
    },
};

use super::{answer, answer_json, exit, report};

/// Counting what is owed stops here: more is “many”.
pub(super) const OWED_COUNTED_MAX: u64 = 1_000_000;
/// People whom a platform refused to hear of.
const REFUSED_SHOWN_MAX: usize = 10;

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
    let now = clock::now();
    let found = if arguments.json || arguments.exit_code {
        Some(report::gather(&store, &configuration, now).await?)
    } else {
        None
    };
    match &found {
        Some(found) if arguments.json => answer_json(found)?,
        Some(_) | None => tell(&store, &configuration, now).await?,
    }
    let needs_attention = found.is_some_and(|found| !found.needs_attention.is_empty());
    Ok(if arguments.exit_code && needs_attention { ExitCode::from(exit::NEEDS_ATTENTION) } else { ExitCode::SUCCESS })
}

async fn tell(
    store: &Store,
    configuration: &wabridge::store::configuration::Configuration,
    now: UnixMillis,
) -> anyhow::Result<()> {
    let mut text = String::new();

    writeln!(text, "CONNECTIONS")?;
    for connection in &configuration.connections {
        writeln!(text, "  {} ({}): {}", connection.id, connection.provider, held(connection.hold.as_ref(), now))?;
    }
    accounts(store, configuration, now, &mut text).await?;
    numbers(store, configuration, now, &mut text).await?;
    subscriptions(store, configuration, now, &mut text).await?;

    notices(store, configuration, now, &mut text).await?;
    super::queue::tell_rules(configuration, &store.queue_rules().await?, now, &mut text)?;

    files(store, &mut text).await?;

    let (unread, parked) = store.count_unrecognized().await?;
    writeln!(text, "\nKEPT ASIDE")?;
    writeln!(text, "  {unread} parts of webhooks that could not be read; `wabridge unrecognized` lists them")?;
    writeln!(text, "  {parked} statuses whose messages are not known, or not yet")?;
    answer(&text)
}

/// Who must not be sent to, what the platforms know of it, and hours of quiet.
async fn accounts(
    store: &Store,
    configuration: &wabridge::store::configuration::Configuration,
    now: UnixMillis,
    text: &mut String,
) -> anyhow::Result<()> {
    let suppressed = store.count_suppressions().await?;
    writeln!(text, "\nACCOUNTS")?;
    for account in &configuration.accounts {
        let entries = suppressed.get(&account.key).copied().unwrap_or(0);
        let disabled = if account.enabled { "" } else { ", disabled" };
        writeln!(text, "  {} ({}{disabled}): suppressed {entries}", account.id, account.platform)?;
        if let Some(hours) = &account.policy.quiet_hours {
            let zone = account.policy.time_zone.parse().unwrap_or(chrono_tz::Tz::UTC);
            let state = if hours.are_now(zone, now) { "QUIET now, these messages wait" } else { "not now" };
            writeln!(text, "    quiet hours {hours} ({zone}): {state}")?;
        }
        if account.policy.subscribe_sync.enabled {
            let sync = store.sync_overview(account.key).await?;
            let synced = sync.synced_at.map_or_else(|| "never".to_owned(), |at| format!("{} ago", ago(at, now)));
            let failure =
                sync.failure.map_or_else(String::new, |(at, why)| format!("; failed {} ago: {why}", ago(at, now)));
            let (pending, refused) = (sync.pending, sync.refused);
            writeln!(
                text,
                "    platform's own list: pending {pending}, refused {refused}, last told {synced}{failure}"
            )?;
            for (phone, why) in store.refused_by_platform(account.key, REFUSED_SHOWN_MAX).await? {
                writeln!(text, "      refused {phone}: {why}")?;
            }
        }
    }
    Ok(())
}

async fn numbers(
    store: &Store,
    configuration: &wabridge::store::configuration::Configuration,
    now: UnixMillis,
    text: &mut String,
) -> anyhow::Result<()> {
    let queues = store.queues().await?;
    let leases = store.leases().await?;
    let syncs = store.template_syncs().await?;
    let templates = store.load_templates().await?;
    let channels = store.channels().await?;
    writeln!(text, "\nNUMBERS")?;
    for sender in &configuration.senders {
        let account = configuration.accounts.iter().find(|account| account.key == sender.account);
        let queue = queues.get(&sender.key).cloned().unwrap_or_default();
        let owner = leases.iter().find(|lease| lease.kind == LeaseKind::Sender.code() && lease.item == sender.key.0);
        writeln!(
            text,
            "  {} of {} through {}, {} a second: {}",
            sender.number.as_e164(),
            account.map_or("?", |account| account.id.as_str()),
            sender.connection.id,
            sender.messages_per_second,
            held(sender.hold.as_ref(), now),
        )?;
        let oldest = queue.oldest_queued.map_or_else(String::new, |at| format!(" (oldest {} ago)", ago(at, now)));
        writeln!(
            text,
            "    queued {}{oldest}, waiting for a retry {}, being sent {}, outcome unknown {}; owned by {}",
            queue.queued,
            queue.waiting_for_retry,
            queue.sending,
            queue.unknown,
            owner.and_then(|lease| lease.owner.as_deref()).unwrap_or("nobody"),
        )?;
        let sync = syncs.get(&owner_of(sender)).cloned().unwrap_or_default();
        let count = templates.get(&owner_of(sender)).map_or(0, Vec::len);
        let synced =
            sync.synced_at.map_or_else(|| "never synced".to_owned(), |at| format!("synced {} ago", ago(at, now)));
        let failure =
            sync.failure.map_or_else(String::new, |(at, why)| format!("; the sync {} ago failed: {why}", ago(at, now)));
        writeln!(text, "    templates {count}, {synced}{failure}")?;
        let SenderPolicy { location_name, location_address } = &sender.policy;
        let place: Vec<&str> = [location_name, location_address].into_iter().flatten().map(String::as_str).collect();
        if !place.is_empty() {
            writeln!(text, "    location headers without name or address get: {}", place.join(", "))?;
        }
        channel(channels.get(&sender.key), sender.messages_per_second, now, text)?;
    }
    Ok(())
}

/// How the provider sees a number, and what a person should do about it.
fn channel(
    channel: Option<&Channel>,
    messages_per_second: u32,
    now: UnixMillis,
    text: &mut String,
) -> anyhow::Result<()> {
    let Some(Channel { state, failure }) = channel else {
        writeln!(text, "    quality not read yet")?;
        return Ok(());
    };
    if let Some((at, state)) = state {
        let limit = state.messaging_limit.as_ref().map_or_else(|| "limit unknown".to_owned(), ToString::to_string);
        let throughput = state.throughput.as_deref().unwrap_or("unknown");
        let name = state.name.as_ref().map_or_else(String::new, |name| format!(", shown as {name:?}"));
        writeln!(
            text,
            "    quality {}, {limit}, throughput {throughput}{name}; read {} ago",
            state.quality.as_str(),
            ago(*at, now)
        )?;
        for warning in state.warnings().into_iter().chain(state.advice_on_pace(messages_per_second)) {
            writeln!(text, "    LOOK: {warning}")?;
        }
    }
    if let Some((at, why)) = failure {
        writeln!(text, "    the provider did not say {} ago how it sees the number: {why}", ago(*at, now))?;
    }
    Ok(())
}

/// What providers said lately to the business.
async fn notices(
    store: &Store,
    configuration: &wabridge::store::configuration::Configuration,
    now: UnixMillis,
    text: &mut String,
) -> anyhow::Result<()> {
    let notices = store.notices_since(now.minus(NOTICES_SHOWN_FOR), NOTICES_SHOWN_MAX).await?;
    if notices.is_empty() {
        return Ok(());
    }
    writeln!(text, "\nNOTICES OF THE LAST WEEK, the newest first")?;
    for LoggedNotice { account, recorded_at, notice } in notices {
        let account = configuration.accounts.iter().find(|known| known.key == account);
        writeln!(
            text,
            "  {} ago, {} ({}): {}",
            ago(recorded_at, now),
            account.map_or("?", |account| account.id.as_str()),
            notice.severity.as_str(),
            notice.text
        )?;
    }
    Ok(())
}

const NOTICES_SHOWN_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const NOTICES_SHOWN_MAX: usize = 20;

/// Failed files that are shown.
const FAILED_FILES_SHOWN_MAX: usize = 5;

async fn files(store: &Store, text: &mut String) -> anyhow::Result<()> {
    let MediaOverview { pending, stored, failed, stored_bytes } = store.count_media().await?;
    writeln!(text, "\nFILES FROM PEOPLE")?;
    writeln!(text, "  stored {stored} ({stored_bytes} bytes), to be copied {pending}, could not be copied {failed}")?;
    for file in store.failed_media(FAILED_FILES_SHOWN_MAX).await? {
        let reason = file.reason.as_deref().unwrap_or("no reason was noted");
        writeln!(text, "    {}  {}: {reason}", file.id.made_at(), file.kind.as_str())?;
    }
    Ok(())
}

async fn subscriptions(
    store: &Store,
    configuration: &wabridge::store::configuration::Configuration,
    now: UnixMillis,
    text: &mut String,
) -> anyhow::Result<()> {
    let dead = store.count_callbacks().await?;
    writeln!(text, "\nCALLBACK URLS")?;
    for subscription in &configuration.subscriptions {
        let account = configuration.accounts.iter().find(|account| account.key == subscription.account);
        let sender = configuration.senders.iter().find(|sender| Some(sender.key) == subscription.sender);
        let Some(CursorState { cursor, trouble }) = store.cursor_state(subscription.key).await? else { continue };
        let owed = store.owed(subscription, cursor, OWED_COUNTED_MAX).await?;
        let (dead, unspoken) = dead.get(&subscription.key.0).copied().unwrap_or_default();
        let kind = match subscription.kind {
            EventKind::Status => "delivery reports",
            EventKind::Inbound => "inbound messages",
            EventKind::Notice => "notices",
        };
        writeln!(
            text,
            "  {}: {kind} of {}{}: {}",
            subscription.key,
            account.map_or("?", |account| account.id.as_str()),
            sender.map_or_else(String::new, |sender| format!(" {}", sender.number.as_e164())),
            held(trouble.hold.as_ref(), now),
        )?;
        writeln!(text, "    owed {owed}, dead {dead}, not relayed {unspoken}")?;
        if let Some(since) = trouble.failing_since {
            let next = trouble.due_at.map_or_else(String::new, |at| format!("; next try in {}", ago(now, at)));
            writeln!(text, "    failing for {}, {} times in a row{next}", ago(since, now), trouble.failures)?;
        }
    }
    Ok(())
}

fn held(hold: Option<&Hold>, now: UnixMillis) -> String {
    hold.map_or_else(|| "works".to_owned(), |hold| format!("ON HOLD for {}: {}", ago(hold.since, now), hold.reason))
}

/// `3 h 20 min`, without what nobody reads.
pub(crate) fn ago(since: UnixMillis, now: UnixMillis) -> String {
    let seconds = now.since(since).as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        86_400.. => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_people_do() {
        let at = |seconds: i64| ago(UnixMillis(0), UnixMillis::from_seconds(seconds));

        assert_eq!([at(5), at(125), at(7500), at(100_000)], ["5 s", "2 min", "2 h 5 min", "1 d 3 h"]);
    }
}
