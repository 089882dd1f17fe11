//! `wabridge replay`: callbacks, told again.

use std::{fmt::Write as _, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;
use wabridge::{
    app::open_existing_store,
    clock,
    domain::{
        callback::EventKind,
        ids::{AccountKey, Place, SubscriptionKey},
        replay::{Because, ReplayOf},
        time::UnixMillis,
    },
    services::replay::{Planned, Wish, ask, check_on, end, plan},
    settings::Settings,
    store::{Store, configuration::Configuration, replays::Replay},
};

use super::{
    answer, answer_json, confirm, counted, exit, known_account, message::find, misused, not_found, report as tell,
    this_user, when,
};

/// Tell callbacks again: what CleverTap refused, what grew too old, or what it lost
///
/// Works beside a running server, which tells them: in order for each message, in batches, after what is new. It goes on
/// when this command is ended, and after a crash of the server. Without --state it is about dead callbacks; with
/// --message or --place about whatever is known of them. An event that is taken is dead no more; one that is refused again
/// is dead with the new reason. Tests of the platform (ids of zeros) stay untold.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wabridge replay --all --dry-run                          how many dead callbacks there are
  wabridge replay --account acme                           tell those of one account again
  wabridge replay --subscription 3 --state delivered --since 6h --rate 50
                                                           CleverTap lost what it took in the last six hours
  wabridge replay --account acme --answered 500            what got 500 as its last answer
  wabridge replay --message '7|1790000000|20261120|7|0'    everything about one message
  wabridge replay --list                                   those under way, and those that ended within a week
  wabridge replay --stop 12                                end a replay early

Exit codes: 0 all were taken; 2 it was not said whose; 3 nothing matches, or there is no such account, URL or replay; 4 some
were refused again, the URL kept failing, or it was taken out of the configuration meanwhile.
--json prints: done (a replay was asked for), dry_run, events, and for each of the replays: id, account, callback_url (as `wabridge
status` numbers them), kind, wanted, told, refused, passed (tests, and what the platform has no words for), finished, note (the
trouble that it is in, or why it ended early).")]
pub(crate) struct ReplayArguments {
    /// Only of this account
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Only of this callback URL, by its number in `wabridge status`
    #[arg(long, value_name = "N")]
    subscription: Option<i32>,
    /// Only about this message: our id, the platform’s msgId, or the provider’s id
    #[arg(long, value_name = "ID")]
    message: Option<String>,
    /// Only the event at this place of the log, as `wabridge message --json` shows it; needs --account or --subscription
    #[arg(long, value_name = "N")]
    place: Option<i64>,
    /// Of all accounts
    #[arg(long, conflicts_with_all = ["account", "subscription", "message", "place"])]
    all: bool,
    /// Which of them [default: dead; with --message or --place: all]
    #[arg(long, value_enum)]
    state: Option<StateArgument>,
    /// Only what was left behind with this answer of HTTP
    #[arg(long, value_name = "CODE", value_parser = clap::value_parser!(i16).range(100..=599))]
    answered: Option<i16>,
    /// Only what was left behind for a reason in which this stands, whatever the case
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Heard from this time on: 2026-11-20, 2026-11-20T10:00:00Z, or how long ago: 90m, 6h, 7d
    #[arg(long, value_name = "TIME", value_parser = when::moment)]
    since: Option<UnixMillis>,
    /// Heard before this time, written as for --since
    #[arg(long, value_name = "TIME", value_parser = when::moment)]
    until: Option<UnixMillis>,
    /// At most so many events a second to each callback URL [default: as fast as they are taken]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=100_000))]
    rate: Option<i32>,
    /// Only count them
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Do not wait for the end
    #[arg(long)]
    detach: bool,
    /// Say how replays stand: those under way, and those that ended within a week
    #[arg(long, conflicts_with_all = ["account", "subscription", "message", "place", "all", "state", "answered", "reason",
        "since", "until", "rate", "dry_run", "yes", "detach", "stop"])]
    list: bool,
    /// End a replay early
    #[arg(long, value_name = "REPLAY", conflicts_with_all = ["account", "subscription", "message", "place", "all", "state", "answered",
        "reason", "since", "until", "rate", "dry_run", "yes", "detach"])]
    stop: Option<i32>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum StateArgument {
    /// Refused, or too old
    Dead,
    /// The platform has no words for them
    NotRelayed,
    /// The platform took them
    Delivered,
    All,
}

impl StateArgument {
    fn meant(self) -> ReplayOf {
        match self {
            Self::Dead => ReplayOf::Dead,
            Self::NotRelayed => ReplayOf::NotRelayed,
            Self::Delivered => ReplayOf::Delivered,
            Self::All => ReplayOf::All,
        }
    }
}

pub(crate) async fn replay(settings: &Settings, arguments: &ReplayArguments) -> anyhow::Result<ExitCode> {
    let store = open_existing_store(settings).await?;
    if let Some(id) = arguments.stop {
        return stop(&store, id, arguments.json).await;
    }
    let configuration = store.load_configuration().await?;
    if arguments.list {
        return list(&store, &configuration, arguments).await;
    }
    let wish = wish(&store, &configuration, arguments).await?;
    if !arguments.dry_run {
        check_on(configuration.subscriptions_ever().filter(|known| Some(known.key) == wish.subscription))?;
    }
    let planned = plan(&store, &configuration, &wish).await?;
    let events: i64 = planned.iter().map(|part| part.events).sum();
    if events == 0 {
        report(arguments, &configuration, &[], "Nothing matches: no callback is to be told again.\n", 0)?;
        return Ok(ExitCode::from(exit::NOTHING_FOUND));
    }
    let list = listed(&configuration, &planned, wish.of);
    if arguments.dry_run {
        let text = format!("{list}{events} in all; this was a dry run, so nothing is told.\n");
        report(arguments, &configuration, &[], &text, events)?;
        return Ok(ExitCode::SUCCESS);
    }
    let running = store.instances_running(settings.instance.lease).await?;
    if running == 0 && !arguments.detach {
        bail!(
            "no server runs on this database, and it is the server that tells: start one, or leave the replay for its start with --detach"
        );
    }
    if !arguments.yes && !confirm(&format!("{list}Tell {} again?", counted(events, "event", "events")))? {
        bail!("nothing is told: it was not confirmed (--yes does so without a question)");
    }
    let ids = ask(&store, &this_user(), &planned, arguments.rate).await?;
    if arguments.detach {
        let numbers = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let text = format!(
            "Asked for: replay {numbers}. `wabridge replay --list` says how they stand, `--stop N` ends one.\n"
        );
        report(arguments, &configuration, &store.replays(&ids).await?, &text, events)?;
        return Ok(ExitCode::SUCCESS);
    }
    let ended = watch(&store, &ids, events).await?;
    report(arguments, &configuration, &ended, &summary(&configuration, &ended), events)?;
    let well = ended.iter().all(|replay| replay.refused == 0 && replay.note.is_none());
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(exit::NEEDS_ATTENTION) })
}

async fn wish(store: &Store, configuration: &Configuration, arguments: &ReplayArguments) -> anyhow::Result<Wish> {
    let named = arguments.account.is_some() || arguments.subscription.is_some() || arguments.message.is_some();
    if arguments.place.is_some() && arguments.account.is_none() && arguments.subscription.is_none() {
        return Err(misused("a place belongs to the log of an account: name it with --account or --subscription"));
    }
    if !named && !arguments.all {
        return Err(misused(
            "what shall be told again? Name it with --account, --subscription or --message, or say --all",
        ));
    }
    let account = match &arguments.account {
        Some(id) => Some(known_account(configuration, id)?.key),
        None => None,
    };
    if let Some(number) = arguments.subscription {
        let known = configuration.subscriptions_ever().any(|subscription| subscription.key.0 == number);
        if !known {
            return Err(not_found(format!("there is no callback URL {number}; `wabridge status` lists them")));
        }
    }
    let messages = match &arguments.message {
        Some(id) => {
            let found = find(store, configuration, id).await?;
            Some(found.into_iter().map(|message| (message.account, message.id)).collect())
        }
        None => None,
    };
    let one = arguments.message.is_some() || arguments.place.is_some();
    let because = Because { answered: arguments.answered, text: arguments.reason.clone() };
    // Only what was left behind has a reason.
    let all = if one && because.is_any() { ReplayOf::All } else { ReplayOf::Dead };
    let of = arguments.state.map_or(all, StateArgument::meant);
    if !because.is_any() && !matches!(of, ReplayOf::Dead | ReplayOf::NotRelayed) {
        return Err(misused("only what was not taken has an answer or a reason: say --state dead, or not-relayed"));
    }
    Ok(Wish {
        of,
        account,
        subscription: arguments.subscription.map(SubscriptionKey),
        because,
        messages,
        place: arguments.place.map(Place),
        since: arguments.since,
        until: arguments.until,
    })
}

/// So many are listed at most.
const LISTED_MAX: usize = 100;
const LISTED_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

async fn list(store: &Store, configuration: &Configuration, arguments: &ReplayArguments) -> anyhow::Result<ExitCode> {
    let replays = store.replays_since(clock::now().minus(LISTED_FOR), LISTED_MAX).await?;
    let text = match replays.is_empty() {
        true => "No replay is under way, and none ended within a week.\n".to_owned(),
        false => summary(configuration, &replays),
    };
    let events = replays.iter().map(|replay| replay.wanted).sum();
    report(arguments, configuration, &replays, &text, events)?;
    Ok(ExitCode::SUCCESS)
}

async fn stop(store: &Store, id: i32, json: bool) -> anyhow::Result<ExitCode> {
    let done = end(store, &this_user(), id).await?;
    let value = json!({"done": done, "id": id});
    if done {
        tell(json, &format!("replay {id} is ended; what is in flight is still finished\n"), &value)?;
        return Ok(ExitCode::SUCCESS);
    }
    tell(json, &format!("no replay {id} is under way\n"), &value)?;
    Ok(ExitCode::from(exit::NOTHING_FOUND))
}

/// Between two looks at how far it has come.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Waits until all are finished, and shows how far they are.
async fn watch(store: &Store, ids: &[i32], events: i64) -> anyhow::Result<Vec<Replay>> {
    let bar = ProgressBar::new(events.unsigned_abs());
    let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} {msg}");
    bar.set_style(style.context("the template of the progress bar is wrong")?);
    loop {
        let replays = store.replays(ids).await?;
        let done: i64 = replays.iter().map(|replay| replay.told + replay.refused + replay.passed).sum();
        bar.set_position(done.unsigned_abs());
        let open: Vec<&Replay> = replays.iter().filter(|replay| replay.finished_at.is_none()).collect();
        if open.is_empty() {
            bar.finish_and_clear();
            return Ok(replays);
        }
        bar.set_message(open.iter().find_map(|replay| replay.note.clone()).unwrap_or_default());
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = tokio::signal::ctrl_c() => {
                bar.finish_and_clear();
                let numbers = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                bail!("no longer watching; the server goes on with replay {numbers}, until `wabridge replay --stop N`");
            }
        }
    }
}

fn listed(configuration: &Configuration, planned: &[Planned], of: ReplayOf) -> String {
    let mut text = String::new();
    for part in planned {
        let url = name_of(configuration, part.subscription.key);
        writeln!(text, "  {url}: {} ({})", counted(part.events, "event", "events"), of.as_str())
            .expect("writing to a String cannot fail");
    }
    text
}

fn summary(configuration: &Configuration, replays: &[Replay]) -> String {
    let mut text = String::new();
    for replay in replays {
        let note = replay.note.as_ref().map_or_else(String::new, |note| format!("; {note}"));
        let url = name_of(configuration, replay.subscription);
        let Replay { id, told, refused, passed, .. } = replay;
        let state = if replay.finished_at.is_none() { ", under way" } else { "" };
        writeln!(text, "replay {id} to {url}{state}: told {told} again, refused {refused}, passed over {passed}{note}")
            .expect("writing to a String cannot fail");
    }
    text
}

fn name_of(configuration: &Configuration, key: SubscriptionKey) -> String {
    match configuration.subscriptions_ever().find(|subscription| subscription.key == key) {
        Some(subscription) => {
            let account = account_of(configuration, subscription.account);
            format!("callback URL {key} ({} of {account})", kind_of(subscription.kind))
        }
        None => format!("callback URL {key} (taken out)"),
    }
}

fn kind_of(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Status => "delivery reports",
        EventKind::Inbound => "inbound messages",
        EventKind::Notice => "notices",
        EventKind::Outgoing => "messages going out",
        EventKind::Person => "contacts and conversations",
    }
}

fn account_of(configuration: &Configuration, key: AccountKey) -> &str {
    let account = configuration.accounts.iter().find(|account| account.key == key);
    account.map_or("?", |account| account.id.as_str())
}

#[derive(Serialize)]
struct Report<'a> {
    /// A replay was asked for, whatever came of it.
    done: bool,
    dry_run: bool,
    events: i64,
    replays: Vec<ReplayReport<'a>>,
}

#[derive(Serialize)]
struct ReplayReport<'a> {
    id: i32,
    account: &'a str,
    callback_url: i32,
    kind: Option<&'static str>,
    wanted: i64,
    told: i64,
    refused: i64,
    passed: i64,
    finished: bool,
    note: Option<&'a str>,
}

fn report(
    arguments: &ReplayArguments,
    configuration: &Configuration,
    replays: &[Replay],
    text: &str,
    events: i64,
) -> anyhow::Result<()> {
    if !arguments.json {
        return answer(text);
    }
    let of = |replay: &Replay| configuration.subscriptions_ever().find(|known| known.key == replay.subscription);
    let done = !replays.is_empty();
    let replays = replays.iter().map(|replay| ReplayReport {
        id: replay.id,
        account: account_of(configuration, replay.account),
        callback_url: replay.subscription.0,
        kind: of(replay).map(|subscription| subscription.kind.as_str()),
        wanted: replay.wanted,
        told: replay.told,
        refused: replay.refused,
        passed: replay.passed,
        finished: replay.finished_at.is_some(),
        note: replay.note.as_deref(),
    });
    answer_json(&Report { done, dry_run: arguments.dry_run, events, replays: replays.collect() })
}
