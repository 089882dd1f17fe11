//! `wabridge message`: one message’s whole story, and sending it again.

mod json;
mod resend;

use std::{fmt::Write as _, process::ExitCode};

use clap::{Args, Subcommand};
use serde_json::json;
pub(super) use wabridge::services::story::find;
use wabridge::{
    app::{open_existing_store, trace_identities},
    clock,
    domain::ids::MessageId,
    platforms,
    services::{
        story::{Line, lines, reasons, rendering_note},
        traces::identity::{Identities, Subject},
    },
    settings::Settings,
    store::{
        Store,
        configuration::Configuration,
        story::{Refused, StoredMessage},
    },
};

use self::resend::ResendArguments;
use super::{answer, answer_json, exit, report};

/// Tell one message’s whole story, or send it again
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, after_help = EXAMPLES)]
pub(crate) struct MessageArguments {
    #[command(flatten)]
    show: ShowArguments,
    #[command(subcommand)]
    command: Option<MessageCommand>,
}

const EXAMPLES: &str = "\
Examples:
  wabridge message '7|1790000000|20261120|7|0'          its story; by CleverTap’s msgId
  wabridge message msg_06xtcv2j80000 --full             by our id, with numbers and contents
  wabridge message wamid.HBgM… --json                   by WhatsApp’s id, for scripts
  wabridge message resend msg_06xtcv2j80000 --reason 'the phone was off'

A story says when it was accepted, what it waits for, each try to send it, what WhatsApp reported, and whether CleverTap was told.
Exit codes: 0 found; 3 no such message. --json prints: messages (with events, and below each the callbacks about it; trace_id) and
refused (requests with this id that were not accepted).";

#[derive(Subcommand)]
enum MessageCommand {
    Show(ShowArguments),
    Resend(ResendArguments),
}

/// Tell one message’s whole story: what was asked, what was sent, what WhatsApp said, who was told
#[derive(Args)]
#[command(after_help = EXAMPLES)]
struct ShowArguments {
    /// Our id (msg_…), the platform’s msgId, or the provider’s id (wamid.…)
    #[arg(required = true)]
    id: Option<String>,
    /// Show telephone numbers and the request as it came
    #[arg(long)]
    full: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn message(settings: &Settings, arguments: &MessageArguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        None => show(settings, &arguments.show).await,
        Some(MessageCommand::Show(arguments)) => show(settings, arguments).await,
        Some(MessageCommand::Resend(arguments)) => resend::resend_message(settings, arguments).await,
    }
}

async fn show(settings: &Settings, arguments: &ShowArguments) -> anyhow::Result<ExitCode> {
    let id = arguments.id.as_deref().unwrap_or_default();
    let store = open_existing_store(settings).await?;
    let configuration = store.load_configuration().await?;
    let messages = find(&store, &configuration, id).await?;
    let refused = store.refused_with(id).await?;
    if messages.is_empty() && refused.is_empty() {
        return nothing_known(id, arguments.json);
    }
    let traces = match settings.traces.url() {
        Some(_) => Some(trace_identities(settings, &store).await?),
        None => None,
    };
    if arguments.json {
        let mut stories = Vec::new();
        for message in &messages {
            let mut story = json::story(&store, &configuration, message, arguments.full).await?;
            story["trace_id"] = json!(trace_id(traces.as_ref(), message.id));
            stories.push(story);
        }
        let refused = refused.iter().map(|refused| json::refused(&configuration, refused, arguments.full));
        answer_json(&json!({"messages": stories, "refused": refused.collect::<Vec<_>>()}))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for message in &messages {
        let trace_id = trace_id(traces.as_ref(), message.id);
        tell(&store, &configuration, message, (trace_id, arguments.full), &mut text).await?;
    }
    for refused in &refused {
        tell_refused(&configuration, refused, arguments.full, &mut text)?;
    }
    answer(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Under which the collector has it; `None` when it is not traced.
fn trace_id(traces: Option<&Identities>, message: MessageId) -> Option<String> {
    Some(hex::encode(traces?.of(Subject::Outbound(message))?.trace_id))
}

fn nothing_known(id: &str, json: bool) -> anyhow::Result<ExitCode> {
    let text = format!(
        "no message {id} is known: it never arrived, was refused before its id could be read, or is older than the retention\n"
    );
    report(json, &text, &json!({"done": false, "messages": [], "refused": []}))?;
    Ok(ExitCode::from(exit::NOTHING_FOUND))
}

async fn tell(
    store: &Store,
    configuration: &Configuration,
    message: &StoredMessage,
    (trace_id, full): (Option<String>, bool),
    text: &mut String,
) -> anyhow::Result<()> {
    let account = configuration.account_by_key(message.account);
    let sender = configuration.sender_by_key(message.sender);
    let recipient = if full { message.recipient.as_e164().to_owned() } else { message.recipient.to_string() };
    writeln!(text, "{} ({})", message.id, message.platform_message_id)?;
    writeln!(
        text,
        "  {} for {recipient}, from {} of account {}",
        message.template.as_ref().map_or_else(
            || message.category.as_str().to_owned(),
            |(name, language)| format!("template {name} ({language}, {})", message.category.as_str())
        ),
        sender.map_or("?", |sender| sender.number.as_e164()),
        account.map_or("?", |account| account.id.as_str()),
    )?;
    writeln!(
        text,
        "  now: {}{}",
        message.state.as_str(),
        message.delivery.map_or_else(String::new, |delivery| format!(", {}", delivery.as_str()))
    )?;
    if let Some(trace_id) = trace_id {
        writeln!(text, "  trace: {trace_id}")?;
    }
    if let Some(failure) = &message.failure {
        let code = failure.code.map_or_else(String::new, |code| format!(" {code}"));
        writeln!(text, "  failure ({}{code}): {}", failure.reason.as_str(), failure.text)?;
    }
    for reason in reasons(store, configuration, message, clock::now()).await? {
        writeln!(text, "  waits: {reason}")?;
    }
    if let Some(note) = rendering_note(store, configuration, message).await? {
        writeln!(text, "  note: {note}")?;
    }
    if full {
        for (key, value) in
            account.map(|account| platforms::custom_pairs(account, &message.request)).unwrap_or_default()
        {
            writeln!(text, "  custom property {key}: {value}")?;
        }
        writeln!(text, "  request: {}", message.request)?;
    }
    writeln!(text)?;
    tell_lines(&lines(store, configuration, message, full).await?, full, text)?;
    writeln!(text)?;
    Ok(())
}

fn tell_lines(lines: &[Line], full: bool, text: &mut String) -> std::fmt::Result {
    for line in lines {
        writeln!(text, "  {:<24}  {}", line.time, line.what)?;
        if let Some(entry) = line.entry.as_ref().filter(|_| full) {
            writeln!(text, "      as it came: {entry}")?;
        }
        for said in &line.said {
            if let Some(request) = &said.request {
                writeln!(text, "      asked: {request}")?;
            }
            writeln!(text, "      answered: {}", said.answer)?;
        }
        let told = line.told.iter().map(|told| &told.text);
        line.below.iter().chain(told).try_for_each(|below| writeln!(text, "      {below}"))?;
    }
    Ok(())
}

fn tell_refused(configuration: &Configuration, refused: &Refused, full: bool, text: &mut String) -> anyhow::Result<()> {
    let account = configuration.account_by_key(refused.account);
    let account = account.map_or("?", |account| account.id.as_str());
    writeln!(text, "{}  refused for account {account} ({}): {}", refused.at, refused.kind, refused.answer)?;
    if full {
        writeln!(text, "  request: {}", refused.request)?;
    }
    Ok(())
}
