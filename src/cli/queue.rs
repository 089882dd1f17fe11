//! `wabridge queue`: what waits, and stopping a part of it.
//!
//! A platform hands over a million messages in minutes, and a number needs hours for them. Whoever presses "stop campaign"
//! there stops nothing here; these commands do.

mod tell;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use wabridge::{
    app::open_existing_store,
    clock,
    domain::{
        account::Sender,
        ids::SenderKey,
        progress::Finding,
        queue::{QueueFilter, QueueRule},
        words::moment,
    },
    services::queue::{self, Alike, REASON_CHARS_MAX, Tally},
    settings::Settings,
    store::{Store, audit::AuditEntry, configuration::Configuration},
};

use super::{
    answer, answer_json, confirm, counted, exit, known_account, known_number, misused, report, status::ago, this_user,
};

pub(crate) use tell::{RuleReport, tell_rules};

const EXAMPLES: &str = "\
Examples:
  wabridge queue list                                    what waits, by number, campaign and template
  wabridge queue pause --campaign 1790000000             stop a campaign: the second part of CleverTap’s msgId
  wabridge queue resume --campaign 1790000000            let it go on
  wabridge queue cancel --campaign 1790000000 --dry-run  how many messages would that be?
  wabridge queue cancel --campaign 1790000000 --reason 'wrong price' --and-new
  wabridge queue cancel --template winter_sale --number +918880110022 --yes

Filters combine: only what fits all of them is meant. A pause keeps messages for later, and they may expire; what is
cancelled is gone, and reported as failed.";

const LIST_EXAMPLES: &str = "\
Examples:
  wabridge queue list                          everything that waits, and the rules that stand
  wabridge queue list --account acme           of one account
  wabridge queue list --json | jq '.numbers[] | {number, queued, seconds_left}'

--json prints: numbers (number, account, messages_per_second, on_hold, queued, seconds_left, groups) and rules.";

const PAUSE_EXAMPLES: &str = "\
Examples:
  wabridge queue pause --campaign 1790000000 --reason 'typing error'   the rest of this campaign waits
  wabridge queue pause --template winter_sale --number +918880110022   this template, at this number only
  wabridge queue pause --account acme --dry-run                        how many messages would that be?

Exit codes: 0 paused (or counted); 2 no filter was given; 3 there is no such account or number, and with --dry-run: nothing
waits that would be paused. --json prints: done (false: it was paused for this reason already), dry_run, of, reason, paused_before
(since when), waiting and first_expiry (both by --dry-run only).";

const RESUME_EXAMPLES: &str = "\
Examples:
  wabridge queue resume --campaign 1790000000    what waits of it goes back into its queues, in order
  wabridge queue resume --all                    end every rule that `wabridge queue list` shows
  wabridge queue resume --account acme --dry-run which rules would that end?

Exit codes: 0 resumed (or counted); 2 nothing was named; 3 no rule fits, or there is no such account or number.
--json prints: done, dry_run, rules_ended (with --dry-run: that would be).";

const CANCEL_EXAMPLES: &str = "\
Examples:
  wabridge queue cancel --campaign 1790000000 --dry-run       how many messages would that be?
  wabridge queue cancel --campaign 1790000000 --reason 'wrong price' --and-new
                                                              those that wait, and those that still arrive within a day
  wabridge queue cancel --number +918880110022 --yes          all that waits at a number, without a question

Exit codes: 0 cancelled (or counted); 1 not confirmed; 2 no filter was given; 3 nothing waits (0 with --and-new, which makes a
rule), or there is no such account or number. --json prints: done, dry_run, of, waiting, cancelled, and_new, reported (what
CleverTap is told of each).";

/// Look at what waits to be sent, and pause, resume or cancel a part of it
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct QueueArguments {
    #[command(subcommand)]
    command: QueueCommand,
}

#[derive(Subcommand)]
enum QueueCommand {
    List(ListArguments),
    Pause(PauseArguments),
    Resume(ResumeArguments),
    Cancel(CancelArguments),
}

/// Which messages are meant.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Selection {
    /// Of this account, by its id
    #[arg(long)]
    pub(crate) account: Option<String>,
    /// From this business number, such as +918880110022
    #[arg(long)]
    pub(crate) number: Option<String>,
    /// Of this campaign: the second part of CleverTap’s msgId
    #[arg(long)]
    pub(crate) campaign: Option<String>,
    /// Of this template, by its name at WhatsApp
    #[arg(long)]
    pub(crate) template: Option<String>,
    /// Of this translation of the template
    #[arg(long, requires = "template")]
    pub(crate) language: Option<String>,
}

/// Show what waits, by number, campaign and template, and how long it will take
///
/// The time is what the number’s pace allows when nothing else is in its way. Messages that wait for a retry or for a
/// stopped template are counted as later.
#[derive(Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    selection: Selection,
    /// Show also rules that ended within the last week, with what ended them
    #[arg(long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Keep messages back, those that wait and those that arrive, until they are resumed
///
/// CleverTap still gets a success for what arrives. Messages expire all the same, by the account’s expire_after, and are
/// then reported as failed. A running server notices within two seconds; what the rest of the number’s queue holds goes on.
#[derive(Args)]
#[command(after_help = PAUSE_EXAMPLES)]
pub(crate) struct PauseArguments {
    #[command(flatten)]
    selection: Selection,
    /// Why, for those who look at the queue later
    #[arg(long, default_value = "paused by an operator")]
    reason: String,
    /// Only say how many messages wait that would be paused
    #[arg(long)]
    dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Let paused messages go on, and take new ones of what was cancelled with --and-new
///
/// Ends every rule that names what is given here: --campaign 1790000000 also ends the pause of that campaign at one number.
#[derive(Args)]
#[command(after_help = RESUME_EXAMPLES)]
pub(crate) struct ResumeArguments {
    #[command(flatten)]
    selection: Selection,
    /// End every rule
    #[arg(long, conflicts_with_all = ["account", "number", "campaign", "template"])]
    all: bool,
    /// Only say which rules would end
    #[arg(long)]
    dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Cancel messages that wait: they are never sent, and reported as failed
///
/// CleverTap is told code 1009, that an operator cancelled it, and the reason. What is being sent at this moment is not stopped. This can be done beside a running
/// server and without one, and again when it was interrupted.
#[derive(Args)]
#[command(after_help = CANCEL_EXAMPLES)]
pub(crate) struct CancelArguments {
    #[command(flatten)]
    selection: Selection,
    /// Why; CleverTap is told too
    #[arg(long, default_value = "no reason was given")]
    reason: String,
    /// Also cancel what arrives of the same campaign or template within the next day; `queue resume` ends that
    #[arg(long)]
    and_new: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Only say how many messages that would be
    #[arg(long)]
    dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn queue(settings: &Settings, arguments: &QueueArguments) -> anyhow::Result<ExitCode> {
    let store = open_existing_store(settings).await?;
    let configuration = store.load_configuration().await?;
    match &arguments.command {
        QueueCommand::List(list) => tell::list(settings, &store, &configuration, list).await,
        QueueCommand::Pause(arguments) => pause(&store, &configuration, arguments).await,
        QueueCommand::Resume(arguments) => {
            let filter = arguments.selection.filter(&configuration)?;
            if !arguments.all && filter.is_everything() {
                return Err(misused(
                    "say what to resume (--campaign, --template, --number, --account), or --all; `wabridge queue list` shows the rules",
                ));
            }
            let how = Resuming { dry_run: arguments.dry_run, json: arguments.json };
            resume(&store, &configuration, &filter, how).await
        }
        QueueCommand::Cancel(arguments) => cancel(&store, &configuration, arguments).await,
    }
}

impl Selection {
    /// What is meant, in the terms of the tables.
    pub(crate) fn filter(&self, configuration: &Configuration) -> anyhow::Result<QueueFilter> {
        let account = self.account.as_deref().map(|id| known_account(configuration, id).map(|account| account.key));
        let sender = self.number.as_deref().map(|text| known_number(configuration, text).map(|sender| sender.key));
        Ok(QueueFilter {
            account: account.transpose()?,
            sender: sender.transpose()?,
            campaign: self.campaign.as_deref().map(campaign),
            template: self.template.clone(),
            language: self.language.clone(),
        })
    }
}

/// Somebody may paste a whole msgId where only its second part is meant.
fn campaign(text: &str) -> String {
    let text = text.trim();
    text.split('|').nth(1).unwrap_or(text).to_owned()
}

fn something(filter: QueueFilter) -> anyhow::Result<QueueFilter> {
    if filter.is_everything() {
        return Err(misused(
            "say which messages: --campaign, --template, --number or --account; `wabridge queue list` shows what waits",
        ));
    }
    Ok(filter)
}

pub(crate) fn reason(text: &str) -> anyhow::Result<&str> {
    if text.chars().count() > REASON_CHARS_MAX {
        return Err(misused(format!("--reason is longer than {REASON_CHARS_MAX} characters: shorten it")));
    }
    Ok(text)
}

/// Keeps back what a filter covers: the rule of `queue pause`, and of `hold --template`. Gives back the same rule when it stood
/// already: it goes on, with the new reason.
pub(crate) async fn add_pause(
    store: &Store,
    configuration: &Configuration,
    filter: &QueueFilter,
    text: &str,
) -> anyhow::Result<Option<QueueRule>> {
    let what = tell::name(configuration, filter);
    Ok(queue::pause(store, &this_user(), filter, &what, reason(text)?).await?)
}

/// What is said of a pause: that it stands now, or that it stood before. `state` is `paused` or `on hold`.
pub(crate) fn tell_pause(what: &str, state: &str, before: Option<&QueueRule>, reason: &str) -> String {
    match before {
        Some(before) if before.reason == reason => {
            let since = ago(before.since, clock::now());
            format!("{what} was {state} already, for {since}, for the same reason ({reason}); nothing is changed\n")
        }
        Some(before) => {
            let since = ago(before.since, clock::now());
            format!("{what} was {state} already, for {since} ({}); its reason is now: {reason}\n", before.reason)
        }
        None => format!(
            "{what} is {state}; a running server notices within two seconds. Its messages expire all the same: `wabridge queue \
             list` says when\n"
        ),
    }
}

/// A word that nobody knows is more often mistyped than early.
pub(crate) async fn warn_of_doubt(
    store: &Store,
    configuration: &Configuration,
    filter: &QueueFilter,
) -> anyhow::Result<()> {
    let keys = scope(configuration, filter);
    let senders: Vec<&Sender> = configuration.senders.iter().filter(|sender| keys.contains(&sender.key)).collect();
    if let Some(doubt) = queue::doubt(store, &senders, filter).await? {
        eprintln!("warning: {doubt}. The rule is made, and holds for what comes later");
    }
    Ok(())
}

async fn pause(store: &Store, configuration: &Configuration, arguments: &PauseArguments) -> anyhow::Result<ExitCode> {
    let filter = something(arguments.selection.filter(configuration)?)?;
    let what = tell::name(configuration, &filter);
    if arguments.dry_run {
        let waiting = total(&survey(store, configuration, &filter).await?);
        let expiry = waiting
            .map_or_else(String::new, |tally| format!("; the first of them expires at {}", moment(tally.first_expiry)));
        let messages = waiting.map_or(0, |tally| tally.messages());
        let first_expiry = waiting.map(|tally| tally.first_expiry.to_string());
        let value =
            json!({"done": false, "dry_run": true, "of": what, "waiting": messages, "first_expiry": first_expiry});
        let wait = counted(messages, "message waits", "messages wait");
        report(arguments.json, &format!("{what} would be paused: {wait}{expiry}\n"), &value)?;
        return Ok(found(messages > 0));
    }
    // Not counted: a stop waits for nothing, and while messages go aside a count would see some of them twice.
    let before = add_pause(store, configuration, &filter, &arguments.reason).await?;
    warn_of_doubt(store, configuration, &filter).await?;
    let stopped = if filter.is_template() { "on hold" } else { "paused" };
    let text = tell_pause(&what, stopped, before.as_ref(), &arguments.reason);
    let value = json!({
        "done": before.as_ref().is_none_or(|before| before.reason != arguments.reason), "dry_run": false, "of": what,
        "reason": arguments.reason, "paused_before": before.map(|before| before.since.to_string()),
    });
    report(arguments.json, &text, &value)?;
    Ok(ExitCode::SUCCESS)
}

/// How a command ends that looked for something.
fn found(something: bool) -> ExitCode {
    if something { ExitCode::SUCCESS } else { ExitCode::from(exit::NOTHING_FOUND) }
}

/// How rules are to be ended, and the end told.
#[derive(Clone, Copy)]
pub(crate) struct Resuming {
    pub(crate) dry_run: bool,
    pub(crate) json: bool,
}

/// Ends the rules that a filter includes.
pub(crate) async fn resume(
    store: &Store,
    configuration: &Configuration,
    filter: &QueueFilter,
    how: Resuming,
) -> anyhow::Result<ExitCode> {
    let Resuming { dry_run, json } = how;
    let rules = store.queue_rules().await?;
    let ended: Vec<&QueueRule> =
        rules.0.iter().filter(|rule| rule.released_at.is_none() && filter.includes(&rule.filter)).collect();
    if dry_run {
        let names: String =
            ended.iter().map(|rule| format!("  {}\n", tell::name(configuration, &rule.filter))).collect();
        let rules = counted(ended.len(), "rule", "rules");
        let value = json!({"done": false, "dry_run": true, "rules_ended": ended.len()});
        report(json, &format!("{rules} would be ended\n{names}"), &value)?;
        return Ok(found(!ended.is_empty()));
    }
    let what = tell::name(configuration, filter);
    let released = queue::resume(store, &this_user(), &ended, &what).await?;
    let value = json!({"done": released > 0, "dry_run": false, "rules_ended": released});
    if released == 0 {
        report(json, "nothing like that is paused or on hold; `wabridge queue list` shows the rules\n", &value)?;
        return Ok(ExitCode::from(exit::NOTHING_FOUND));
    }
    let word = if filter.is_template() { "released" } else { "resumed" };
    let rules = counted(released, "rule", "rules");
    let text = format!("{word} ({rules} ended); a running server puts what it kept back into the queues\n");
    report(json, &text, &value)?;
    Ok(ExitCode::SUCCESS)
}

async fn cancel(store: &Store, configuration: &Configuration, arguments: &CancelArguments) -> anyhow::Result<ExitCode> {
    let filter = something(arguments.selection.filter(configuration)?)?;
    let reason = reason(&arguments.reason)?;
    if arguments.and_new && filter.campaign.is_none() && filter.template.is_none() {
        return Err(misused("--and-new needs a --campaign or a --template: to stop a number use `wabridge hold`"));
    }
    let what = tell::name(configuration, &filter);
    let waiting = total(&survey(store, configuration, &filter).await?).map_or(0, |tally| tally.messages());
    let messages = counted(waiting, "message", "messages");
    let reported = Finding::cancelled_text(reason);
    let value = |cancelled: Option<u64>| {
        let done = cancelled.is_some_and(|cancelled| cancelled > 0 || arguments.and_new);
        let (dry_run, and_new) = (arguments.dry_run, arguments.and_new);
        json!({
            "done": done, "dry_run": dry_run, "of": what, "waiting": waiting, "cancelled": cancelled.unwrap_or(0),
            "and_new": and_new, "reported": reported,
        })
    };
    if arguments.dry_run {
        let text = format!("{what}: {messages} would be cancelled, and reported as failed (1009): {reported}\n");
        report(arguments.json, &text, &value(None))?;
        return Ok(found(waiting > 0 || arguments.and_new));
    }
    if waiting == 0 && !arguments.and_new {
        report(arguments.json, &format!("{what}: nothing waits\n"), &value(None))?;
        return Ok(ExitCode::from(exit::NOTHING_FOUND));
    }
    if !arguments.yes && !confirm(&format!("Cancel {messages} of {what}? CleverTap is told: {reported}"))? {
        report(arguments.json, "nothing was changed\n", &value(None))?;
        return Ok(ExitCode::FAILURE);
    }
    if arguments.and_new {
        warn_of_doubt(store, configuration, &filter).await?;
    }
    let entry = AuditEntry::new(&this_user(), "cancel", what.as_str())
        .after(json!({"reason": reason, "what_arrives_within_a_day_too": arguments.and_new}));
    if arguments.and_new {
        queue::cancel_new(store, &filter, reason, &entry).await?;
    } else {
        store.note_in_audit(&entry).await?;
    }
    let bar = progress("cancelling", Some(waiting));
    let scope = scope(configuration, &filter);
    let cancelled = queue::cancel(store, &scope, &filter, reason, |done| bar.inc(done)).await?;
    bar.finish_and_clear();
    let new = if arguments.and_new {
        "\nWhat arrives of it within a day is cancelled too, until `wabridge queue resume`; a running server notices that within \
         two seconds"
    } else if filter.campaign.is_some() {
        "\nWhat arrives of it from now on is sent, unless a rule in `wabridge queue list` says otherwise (--and-new makes one)"
    } else {
        ""
    };
    let messages = counted(cancelled, "message is", "messages are");
    let text = format!("{what}: {messages} cancelled and will be reported as failed (1009): {reported}{new}\n");
    report(arguments.json, &text, &value(Some(cancelled)))?;
    Ok(ExitCode::SUCCESS)
}

fn scope(configuration: &Configuration, filter: &QueueFilter) -> Vec<SenderKey> {
    queue::in_scope(&configuration.senders, filter)
}

type Groups = std::collections::BTreeMap<Alike, Tally>;

async fn survey(store: &Store, configuration: &Configuration, filter: &QueueFilter) -> anyhow::Result<Groups> {
    let rules = store.queue_rules().await?;
    let bar = progress("looking through the queues", None);
    let groups = queue::survey(store, &scope(configuration, filter), filter, &rules, |seen| bar.inc(seen)).await?;
    bar.finish_and_clear();
    Ok(groups)
}

/// All of it as one; `None` when nothing waits.
fn total(groups: &Groups) -> Option<Tally> {
    groups.values().copied().reduce(|one, other| Tally {
        queued: one.queued + other.queued,
        later: one.later + other.later,
        paused: one.paused + other.paused,
        beyond_limit: one.beyond_limit + other.beyond_limit,
        oldest: one.oldest.min(other.oldest),
        first_expiry: one.first_expiry.min(other.first_expiry),
    })
}

/// A bar for a length that is known, else a count. On a terminal only.
fn progress(what: &'static str, length: Option<u64>) -> ProgressBar {
    let bar = length.map_or_else(ProgressBar::no_length, ProgressBar::new);
    let template = match length {
        Some(_) => "{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}",
        None => "{msg} {human_pos}",
    };
    bar.with_style(ProgressStyle::with_template(template).expect("the template is right")).with_message(what)
}
