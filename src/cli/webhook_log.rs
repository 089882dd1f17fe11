//! `wabridge webhook log`: what was said to a webhook, and what became of each event.

use std::{fmt::Write as _, process::ExitCode};

use clap::Args;
use serde::Serialize;
use wabridge::{
    app::webhooks,
    domain::webhook_filter::EventPattern,
    services::{
        directory::Directory,
        media::links::MediaLinks,
        webhook_view::{self, Delivery, DeliveryState, LogFilter},
    },
    settings::Settings,
    store::Store,
};

use super::{exit, report, this_user, webhook::refused};

/// Print what was said to a webhook: each request, its answer, and what became of its event. The newest first
///
/// What was never sent is not in it: `wabridge webhook list` counts that.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wabridge webhook log crm                          the newest requests
  wabridge webhook log crm --state dead             events whose tries are used up, with each try and what was answered
  wabridge webhook log crm --event 'message.*' --limit 10 --json

States: retrying (not taken, sent again by itself), paused and set_aside (kept until the webhook is resumed, or switched on),
delivered, dead (its tries are used up), not_relayed (no words for it).
Exit codes: 0 there are some; 3 there is none, or no such webhook.
--json prints: requests, of each: id, at, took_ms, outcome (succeeded, refused, no_answer), http_status, note (what is wrong),
event_id (as the receiver knows it), event, state, account, callback_url, place, replay; and next (--before of the next page; null:
there is none).")]
pub(crate) struct LogArguments {
    name: String,
    /// Only of events in this state
    #[arg(long, value_parser = state)]
    state: Option<DeliveryState>,
    /// Only of this event, or of all of an entity, such as message.*
    #[arg(long)]
    event: Option<EventPattern>,
    /// Only requests older than this one, as the last line of a page says
    #[arg(long, value_name = "REQUEST")]
    before: Option<i64>,
    /// At most so many requests
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// States of events of which something was sent.
fn state(text: &str) -> Result<DeliveryState, String> {
    let found = DeliveryState::ALL.into_iter().find(|state| state.as_str() == text);
    found.ok_or_else(|| format!("is none of {}", DeliveryState::ALL.map(DeliveryState::as_str).join(", ")))
}

#[derive(Serialize)]
struct Page {
    requests: Vec<Request>,
    next: Option<i64>,
}

#[derive(Serialize)]
struct Request {
    id: i64,
    at: String,
    took_ms: i32,
    outcome: &'static str,
    http_status: Option<i16>,
    note: String,
    event_id: String,
    event: Option<&'static str>,
    state: &'static str,
    account: String,
    callback_url: i32,
    place: i64,
    replay: Option<i32>,
}

impl Request {
    fn of(delivery: Delivery) -> Self {
        let exchange = delivery.exchange;
        Self {
            id: exchange.id,
            at: exchange.started_at.to_string(),
            took_ms: exchange.took_ms,
            outcome: exchange.outcome.as_str(),
            http_status: exchange.http_status,
            note: exchange.note,
            event_id: delivery.id,
            event: delivery.name.map(|name| name.as_str()),
            state: delivery.state.as_str(),
            account: delivery.account,
            callback_url: exchange.subscription.0,
            place: exchange.first.0,
            replay: exchange.replay,
        }
    }

    fn line(&self) -> String {
        let Self { at, event_id, state, account, note, .. } = self;
        let event = self.event.unwrap_or("an event that is gone or cannot be read");
        // The note of an answer begins with its status.
        let said = match self.http_status {
            Some(status) if note.is_empty() => format!("HTTP {status}"),
            Some(_) | None => note.clone(),
        };
        format!(
            "{at}  {event} of {account} ({event_id}): {said} after {} ms; {}",
            self.took_ms,
            state.replace('_', " ")
        )
    }
}

pub(super) async fn log(settings: &Settings, store: Store, arguments: &LogArguments) -> anyhow::Result<ExitCode> {
    let LogArguments { name, state, event, before, limit, json } = arguments;
    let actor = this_user();
    let webhook = webhooks(settings, store.clone()).await?.one(&actor, name).await.map_err(refused)?.webhook;
    let snapshot = Directory::load(store.clone()).await?.snapshot();
    let links = MediaLinks::load(&store, &settings.public_url(), settings.retention.media).await?;
    let mut filter = LogFilter { state: *state, events: *event, ..LogFilter::default() };
    let mut page = Page { requests: vec![], next: *before };
    // A look ends after a moment, and says how far it came.
    loop {
        filter.exchange.before = page.next;
        let wanted = usize::from(*limit) - page.requests.len();
        let found = webhook_view::log((&store, &*snapshot, &links), &actor, &webhook, &filter, wanted).await?;
        page.requests.extend(found.deliveries.into_iter().map(Request::of));
        page.next = found.next;
        if page.next.is_none() || page.requests.len() >= usize::from(*limit) {
            break;
        }
    }
    let mut text = String::new();
    for request in &page.requests {
        writeln!(text, "{}", request.line())?;
    }
    if let Some(next) = page.next {
        writeln!(text, "… older ones: --before {next}")?;
    }
    if page.requests.is_empty() {
        text.push_str("no such request was made, or it is older than the retention\n");
    }
    let is_empty = page.requests.is_empty();
    report(*json, &text, &page)?;
    Ok(if is_empty { ExitCode::from(exit::NOTHING_FOUND) } else { ExitCode::SUCCESS })
}
