//! `wabridge hold` and `wabridge release`: stopping a number, a connection or a template, and letting it go on.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use wabridge::{
    app::open_existing_store,
    clock,
    domain::{account::Hold, phone::PhoneNumber},
    services::{
        callbacks,
        holds::{self, Target},
    },
    settings::Settings,
    store::{Store, configuration::Configuration},
};

use super::{
    misused, not_found,
    queue::{Resuming, Selection, add_pause, reason, resume, tell_pause, warn_of_doubt},
    report,
    status::ago,
    this_user,
};

/// Stop sending from a number, through a connection, or of a template
///
/// Messages are still accepted; they stay queued until the hold is released or they grow too old. A running
/// server notices within seconds. A template’s hold is the same as `wabridge queue pause --template`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wabridge hold +918880110022 --reason 'quality is yellow'   nothing leaves this number; others go on
  wabridge hold meta-main                                    nothing leaves through this connection
  wabridge hold --template winter_sale                       nothing of this template is sent, at any number

`wabridge status` shows what is on hold, since when, and the reason. `wabridge release` ends it.

Exit codes: 0 it is on hold now; 2 nothing was named, or a callback URL; 3 there is no such thing.
--json prints: done (false: it was on hold for this reason already), what, reason, held_before (it was on hold already, and has
the new reason now).")]
pub(crate) struct HoldArguments {
    /// A sender number such as +918880110022, or a connection’s id
    #[arg(required_unless_present = "template", conflicts_with = "template")]
    what: Option<String>,
    #[command(flatten)]
    template: TemplateHold,
    /// Why, for those who look at the status later
    #[arg(long, default_value = "held by an operator")]
    reason: String,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Let a number, a connection, a template, or a callback URL on hold go on
///
/// Mend first what `wabridge status` gives as the reason: what is still wrong puts it on hold again. What waits is sent, or told,
/// in its order, at the usual pace.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wabridge release +918880110022             the number sends again
  wabridge release meta-main                 a new token is applied: the connection and its numbers go on
  wabridge release 3                         try callback URL 3 now, and not at its next probe
  wabridge release --template winter_sale    its messages that did not expire meanwhile are sent

Exit codes: 0 nothing holds it any more, also when nothing did; 2 nothing was named; 3 there is no such thing, or no rule
about this template.
--json prints: done (something was on hold), what; of a template: done, rules_ended.")]
pub(crate) struct ReleaseArguments {
    /// A sender number such as +918880110022, a connection’s id (which releases its numbers too), or
    /// the number of a callback URL as `wabridge status` shows it
    #[arg(required_unless_present = "template", conflicts_with = "template")]
    what: Option<String>,
    #[command(flatten)]
    template: TemplateHold,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct TemplateHold {
    /// A template, by its name at WhatsApp
    #[arg(long, value_name = "NAME")]
    template: Option<String>,
    /// This translation of the template only
    #[arg(long, requires = "template")]
    language: Option<String>,
    /// The template of this account only
    #[arg(long, requires = "template")]
    account: Option<String>,
    /// The template at this number only
    #[arg(long, requires = "template")]
    number: Option<String>,
}

impl TemplateHold {
    /// `None` when it is about something else.
    fn selection(&self) -> Option<Selection> {
        let Self { template, language, account, number } = self;
        template.as_ref()?;
        Some(Selection {
            account: account.clone(),
            number: number.clone(),
            campaign: None,
            template: template.clone(),
            language: language.clone(),
        })
    }
}

pub(crate) async fn hold(settings: &Settings, arguments: &HoldArguments) -> anyhow::Result<()> {
    let store = open_existing_store(settings).await?;
    let configuration = store.load_configuration().await?;
    if let Some(selection) = arguments.template.selection() {
        let filter = selection.filter(&configuration)?;
        let before = add_pause(&store, &configuration, &filter, &arguments.reason).await?;
        warn_of_doubt(&store, &configuration, &filter).await?;
        let name = selection.template.unwrap_or_default();
        let what = format!("template {name}");
        let text = tell_pause(&what, "on hold", before.as_ref(), &arguments.reason);
        let done = before.as_ref().is_none_or(|before| before.reason != arguments.reason);
        let value = json!({"done": done, "what": what, "reason": arguments.reason, "held_before": before.is_some()});
        return report(arguments.json, &text, &value);
    }
    let what = arguments.what.as_deref().unwrap_or_default();
    let reason = reason(&arguments.reason)?;
    let hold = Hold { since: clock::now(), reason: reason.to_owned(), by: Some(this_user().name) };
    if let Some(connection) = configuration.connections.iter().find(|connection| connection.id == what) {
        holds::hold(&store, &this_user(), Target::Connection(connection), reason).await?;
        return tell(arguments.json, &format!("connection {}", connection.id), connection.hold.as_ref(), &hold);
    }
    if configuration.all_subscriptions().any(|subscription| subscription.key.to_string() == what) {
        return Err(misused(format!(
            "callback URL {what} cannot be held: what happens is told in order, and kept while the URL does not take it. \
             To stop sending, hold a number or a connection; to stop telling, take the URL out of the apply file"
        )));
    }
    let number = PhoneNumber::from_international(what);
    let sender = configuration.senders.iter().find(|sender| Some(&sender.number) == number.as_ref());
    let sender = sender.ok_or_else(|| nothing_like(what))?;
    holds::hold(&store, &this_user(), Target::Number(sender), reason).await?;
    tell(arguments.json, &format!("number {}", sender.number.as_e164()), sender.hold.as_ref(), &hold)
}

fn tell(json: bool, what: &str, before: Option<&Hold>, hold: &Hold) -> anyhow::Result<()> {
    let text = match before {
        Some(before) => {
            let (since, by, reason) = (ago(before.since, hold.since), before.by_whom(), &before.reason);
            format!("{what} was on hold already {by}, for {since} ({reason}); its reason is now: {}\n", hold.reason)
        }
        None => format!(
            "{what} is on hold; a running server notices within two seconds. Its messages wait until they expire\n"
        ),
    };
    let done = before.is_none_or(|before| before.reason != hold.reason || before.by.is_none());
    let value = json!({"done": done, "what": what, "reason": hold.reason, "held_before": before.is_some()});
    report(json, &text, &value)
}

pub(crate) async fn release(settings: &Settings, arguments: &ReleaseArguments) -> anyhow::Result<ExitCode> {
    let store = open_existing_store(settings).await?;
    let configuration = store.load_configuration().await?;
    if let Some(selection) = arguments.template.selection() {
        let how = Resuming { dry_run: false, json: arguments.json };
        return resume(&store, &configuration, &selection.filter(&configuration)?, how).await;
    }
    let what = arguments.what.as_deref().unwrap_or_default();
    let done = release_named(&store, &configuration, what).await?;
    let text = if done {
        format!("{what} is released; a running server goes on within seconds\n")
    } else {
        format!("{what} was not on hold\n")
    };
    report(arguments.json, &text, &json!({"done": done, "what": what}))?;
    Ok(ExitCode::SUCCESS)
}

async fn release_named(store: &Store, configuration: &Configuration, what: &str) -> anyhow::Result<bool> {
    let number = PhoneNumber::from_international(what);
    Ok(if let Some(connection) = configuration.connections.iter().find(|known| known.id == what) {
        holds::release(store, &this_user(), Target::Connection(connection)).await?
    } else if let Some(sender) = configuration.senders.iter().find(|sender| Some(&sender.number) == number.as_ref()) {
        holds::release(store, &this_user(), Target::Number(sender)).await?
    } else if let Some(subscription) =
        configuration.all_subscriptions().find(|subscription| subscription.key.to_string() == what)
    {
        callbacks::release(store, &this_user(), subscription.key).await?
    } else {
        return Err(nothing_like(what));
    })
}

fn nothing_like(what: &str) -> anyhow::Error {
    not_found(format!("there is no number, connection or callback URL {what}; `wabridge status` lists them"))
}
