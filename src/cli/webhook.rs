//! `wabridge webhook`: the systems that are told what happens, beside CleverTap.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::bail;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use wabridge::{
    app::{open_existing_store, webhooks},
    domain::{
        attempt::AttemptOutcome,
        callback::Subscription,
        event_name::EventName,
        replay::{Because, ReplayOf},
        time::UnixMillis,
        webhook::Webhook,
        words::not_taken,
    },
    services::{
        operators::Refusal,
        replay::{Wish, ask, check_on, plan},
        webhooks::{Switch, WebhookStanding, standings},
    },
    settings::Settings,
    store::{Store, StoreError, configuration::Configuration},
};

use super::{
    answer_json, confirm, counted, exit, misused, not_found, report, this_user,
    webhook_log::{LogArguments, log},
    when,
};

/// Webhooks: list them, read their logs, send a sample, pause, resume, and tell again
///
/// They are made by `wabridge apply`, the API and the console. The commands work beside a running server, which hears of it in a
/// moment.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wabridge webhook list                             which there are, and how they fare
  wabridge webhook log crm --state dead             what was not taken, and what was answered
  wabridge webhook sample crm message.received      does its receiver take an event?
  wabridge webhook pause crm                        keep everything for it, send nothing
  wabridge webhook resume crm
  wabridge webhook replay crm                       tell it the dead events again
  wabridge webhook replay crm --all --since 6h --dry-run
                                                    how many events were there in the last six hours?
  wabridge webhook replay crm --all --since 6h      tell it all of them again")]
pub(crate) struct WebhookArguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Print the webhooks. Ends with 4 when one fails or was switched off by the bridge, with 3 when there is none
    #[command(after_help = "\
--json prints a list, of each: name, enabled, paused, switched_off (why; null: it was not), events, failures (requests in a row that
were not taken, at the worst of its cursors), failing_since, waiting (events that
were not taken, or are behind one that was not; set aside while it is off), dead (events whose tries are used up), callback_urls (their numbers).")]
    List {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Send the example of an event now, and say what was answered. Ends with 1 when it was not taken
    #[command(after_help = "\
--json prints: done (it was taken), http_status, took_ms, note (what is wrong), content_type, body (as it was sent).")]
    Sample {
        name: String,
        /// Such as message.received
        event: String,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Keep everything for it, for up to 30 days, and send nothing
    #[command(after_help = "--json prints: done, name.")]
    Pause {
        name: String,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Tell it what was kept, and go on
    #[command(after_help = "--json prints: done, name.")]
    Resume {
        name: String,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    Log(LogArguments),
    Replay(ReplayArguments),
}

/// Tell it events again: the dead ones, unless --all is given
///
/// The server tells them; `wabridge replay --list` says how far it is.
#[derive(Args)]
#[command(after_help = "\
Exit codes: 0 asked for (or counted); 1 not confirmed, or the webhook is off: switch it on first; 3 nothing matches, or there is no such webhook.
--json prints: done, dry_run, events, replays (their numbers).")]
struct ReplayArguments {
    name: String,
    /// Not the dead ones alone
    #[arg(long)]
    all: bool,
    /// Heard from this time on: 2026-11-20, 2026-11-20T10:00:00Z, or how long ago: 90m, 6h, 7d
    #[arg(long, value_name = "TIME", value_parser = when::moment)]
    since: Option<UnixMillis>,
    /// At most so many events a second to each callback URL [default: as fast as they are taken]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=100_000))]
    rate: Option<i32>,
    /// Only count them
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// A webhook as it stands.
#[derive(Serialize)]
pub(super) struct Listed {
    name: String,
    enabled: bool,
    paused: bool,
    switched_off: Option<String>,
    events: Vec<String>,
    failures: i32,
    failing_since: Option<String>,
    waiting: i64,
    dead: i64,
    callback_urls: Vec<i32>,
}

impl Listed {
    /// All of them.
    pub(super) async fn all(store: &Store, configuration: &Configuration) -> Result<Vec<Self>, StoreError> {
        Ok(standings(store, configuration).await?.iter().map(Self::of).collect())
    }

    fn of(standing: &WebhookStanding) -> Self {
        let Webhook { name, enabled, paused, settings, switched_off, .. } = &*standing.webhook;
        let worst = standing.cursors.iter().max_by_key(|cursor| cursor.state.trouble.failures);
        let trouble = worst.map(|cursor| cursor.state.trouble.clone()).unwrap_or_default();
        Self {
            name: name.clone(),
            enabled: *enabled,
            paused: *paused,
            switched_off: switched_off.as_ref().map(|off| off.reason.clone()),
            events: settings.events.iter().map(ToString::to_string).collect(),
            failures: trouble.failures,
            failing_since: trouble.failing_since.map(|since| since.to_string()),
            waiting: standing.cursors.iter().map(|cursor| cursor.waiting).sum(),
            dead: standing.cursors.iter().map(|cursor| cursor.dead).sum(),
            callback_urls: standing.cursors.iter().map(|cursor| cursor.subscription.0).collect(),
        }
    }

    fn needs_attention(&self) -> bool {
        self.failures > 0 || self.switched_off.is_some()
    }

    /// Why a person should look at it, and how.
    pub(super) fn trouble(&self) -> Vec<String> {
        let Self { name, dead, .. } = self;
        let state = self.needs_attention().then(|| format!("webhook {name} {}", self.state()));
        let dead = (*dead > 0).then(|| {
            let events = counted(*dead, "dead event", "dead events");
            let on = if self.enabled { "" } else { " switch it on," };
            format!("webhook {name} has {events}: mend its receiver,{on} then `wabridge webhook replay {name}`")
        });
        state.into_iter().chain(dead).collect()
    }

    /// One line of a list.
    pub(super) fn line(&self) -> String {
        let dead = if self.dead > 0 {
            format!(", {}", counted(self.dead, "dead event", "dead events"))
        } else {
            String::new()
        };
        format!("{}: {}{dead} ({})", self.name, self.state(), self.events.join(", "))
    }

    fn state(&self) -> String {
        match (&self.switched_off, &self.failing_since) {
            (Some(why), _) => format!("was switched off: {why}"),
            (None, _) if !self.enabled => "off".to_owned(),
            (None, _) if self.paused => "paused".to_owned(),
            (None, Some(since)) => {
                format!("fails since {since}: {}", not_taken(self.failures))
            }
            (None, None) => "works".to_owned(),
        }
    }
}

pub(crate) async fn webhook(settings: &Settings, arguments: &WebhookArguments) -> anyhow::Result<ExitCode> {
    let store = open_existing_store(settings).await?;
    match &arguments.what {
        What::List { json } => list(&store, *json).await,
        What::Sample { name, event, json } => sample(settings, store, (name, event), *json).await,
        What::Pause { name, json } => switch(settings, store, name, Switch::Paused, *json).await,
        What::Resume { name, json } => switch(settings, store, name, Switch::Resumed, *json).await,
        What::Log(arguments) => log(settings, store, arguments).await,
        What::Replay(arguments) => replay(settings, store, arguments).await,
    }
}

async fn list(store: &Store, json: bool) -> anyhow::Result<ExitCode> {
    let configuration = store.load_configuration().await?;
    let listed = Listed::all(store, &configuration).await?;
    if json {
        answer_json(&listed)?;
    } else {
        let mut text = String::new();
        for webhook in &listed {
            writeln!(text, "{}", webhook.line())?;
        }
        report(false, if listed.is_empty() { "there are no webhooks\n" } else { &text }, &())?;
    }
    Ok(match &listed[..] {
        [] => ExitCode::from(exit::NOTHING_FOUND),
        listed if listed.iter().any(Listed::needs_attention) => ExitCode::from(exit::NEEDS_ATTENTION),
        _ => ExitCode::SUCCESS,
    })
}

async fn sample(
    settings: &Settings,
    store: Store,
    (name, event): (&str, &str),
    json: bool,
) -> anyhow::Result<ExitCode> {
    let event: EventName = event.parse().map_err(|error| misused(format!("{error}")))?;
    let sent = webhooks(settings, store).await?.send_sample(&this_user(), name, event).await.map_err(refused)?;
    let taken = sent.attempt.outcome == AttemptOutcome::Succeeded;
    let took_ms = sent.attempt.took.as_millis();
    let answered = sent.attempt.http_status.map_or_else(|| "no answer".to_owned(), |status| format!("HTTP {status}"));
    let text = match taken {
        true => format!("{name} took {event}: {answered} in {took_ms} ms\n"),
        false => format!("{name} did not take {event}: {}\n", sent.attempt.note),
    };
    let value = json!({"done": taken, "http_status": sent.attempt.http_status, "took_ms": took_ms,
        "note": sent.attempt.note, "content_type": sent.content_type, "body": sent.body});
    report(json, &text, &value)?;
    Ok(if taken { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn switch(settings: &Settings, store: Store, name: &str, switch: Switch, json: bool) -> anyhow::Result<ExitCode> {
    webhooks(settings, store).await?.switch(&this_user(), name, switch).await.map_err(refused)?;
    let said = if switch == Switch::Paused { "paused: what happens is kept for it" } else { "told what was kept" };
    report(json, &format!("webhook {name} is {said}\n"), &json!({"done": true, "name": name}))?;
    Ok(ExitCode::SUCCESS)
}

async fn replay(settings: &Settings, store: Store, arguments: &ReplayArguments) -> anyhow::Result<ExitCode> {
    let ReplayArguments { name, all, since, rate, dry_run, yes, json } = arguments;
    let of = if *all { ReplayOf::All } else { ReplayOf::Dead };
    let standing = webhooks(settings, store.clone()).await?.one(&this_user(), name).await.map_err(refused)?;
    let configuration = store.load_configuration().await?;
    if !dry_run {
        let is_its = |known: &&Subscription| standing.cursors.iter().any(|cursor| cursor.subscription == known.key);
        check_on(configuration.subscriptions_ever().filter(is_its))?;
    }
    let mut planned = Vec::new();
    for cursor in &standing.cursors {
        let wish = Wish {
            of,
            account: None,
            subscription: Some(cursor.subscription),
            because: Because::default(),
            messages: None,
            place: None,
            since: *since,
            until: None,
        };
        planned.extend(plan(&store, &configuration, &wish).await?);
    }
    let events: i64 = planned.iter().map(|part| part.events).sum();
    let result = |replays: &[i32]| json!({"done": !replays.is_empty(), "dry_run": dry_run, "events": events, "replays": replays});
    if events == 0 {
        report(*json, "Nothing matches: no event is to be told again.\n", &result(&[]))?;
        return Ok(ExitCode::from(exit::NOTHING_FOUND));
    }
    let what = counted(events, "event", "events");
    if *dry_run {
        report(*json, &format!("{what} in all; this was a dry run, so nothing is told.\n"), &result(&[]))?;
        return Ok(ExitCode::SUCCESS);
    }
    if !yes && !confirm(&format!("Tell webhook {name} {what} again?"))? {
        bail!("nothing is told: it was not confirmed (--yes does so without a question)");
    }
    let ids = ask(&store, &this_user(), &planned, *rate).await?;
    let text = format!("{what} will be told again; `wabridge replay --list` says how far it is\n");
    report(*json, &text, &result(&ids))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn refused(refusal: Refusal) -> anyhow::Error {
    let Refusal::NotFound(text) = &refusal else { return refusal.into() };
    not_found(format!("{text}; `wabridge webhook list` lists them"))
}
