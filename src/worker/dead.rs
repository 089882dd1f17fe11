//! Telling the operator's log which events a callback URL will not hear of by itself.

use crate::{
    domain::callback::{Event, Subscription},
    services::relay::Relay,
    store::callbacks::{CallbackState, CareOfEvents},
};

/// Lines for one portion of the log; what is beyond them is counted.
const LINES_MAX: usize = 10;

/// One line for each dead event, or for each range of them: whose it is, which message, and why.
pub(super) fn warn_of_dead(relay: &Relay, subscription: &Subscription, events: &[Event], care: &[CareOfEvents]) {
    let snapshot = relay.directory.snapshot();
    let account = snapshot.account_by_key(subscription.account).map_or("?", |account| account.id.as_str());
    let (url, again) = match &subscription.webhook {
        Some(webhook) => (format!("webhook {}", webhook.name), format!("`wabridge webhook replay {}`", webhook.name)),
        None => {
            let key = subscription.key;
            (format!("callback URL {key}"), format!("`wabridge replay --subscription {key}`"))
        }
    };
    let dead: Vec<&CareOfEvents> = care.iter().filter(|care| care.state == CallbackState::Dead).collect();
    for care in dead.iter().take(LINES_MAX) {
        let first = events.iter().find(|event| event.place == care.first);
        let message = first.and_then(|event| event.message).map(|message| message.to_string()).unwrap_or_default();
        let others = care.last.0.saturating_sub(care.first.0);
        let and_others = if others == 0 { String::new() } else { format!(" and {others} after it") };
        tracing::warn!(
            account.id = account,
            subscription.id = subscription.key.0,
            message.id = message,
            platform_message.id = first.and_then(|event| event.platform_message_id.as_deref()).unwrap_or_default(),
            "an event of {}{and_others} is dead at {url}: {}; mend that, then {again}",
            if message.is_empty() { account } else { &message },
            care.reason
        );
    }
    if let Some(more @ 1..) = dead.len().checked_sub(LINES_MAX) {
        tracing::warn!(account.id = account, "{more} more are dead there; `wabridge status` counts them");
    }
}
