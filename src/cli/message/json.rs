//! A message's story for scripts.

use serde_json::{Value, json};
use wabridge::{
    clock,
    domain::{failure::Failure, sent_payload::SentPayload},
    services::story::{hears, reasons},
    store::{
        Store,
        callbacks::CallbackState,
        configuration::Configuration,
        events::LoggedEvent,
        send_exchanges::SendExchange,
        story::{EarlierSend, Refused, StoredMessage},
    },
};

pub(super) async fn story(
    store: &Store,
    configuration: &Configuration,
    message: &StoredMessage,
    full: bool,
) -> anyhow::Result<Value> {
    let account = configuration.account_by_key(message.account);
    let sender = configuration.sender_by_key(message.sender);
    let recipient = if full { message.recipient.as_e164().to_owned() } else { message.recipient.to_string() };
    let (template, language) = message.template.clone().unzip();
    let tries: Vec<Value> = store
        .failed_tries(message.id)
        .await?
        .into_iter()
        .map(|tried| {
            json!({
                "attempt": tried.attempt,
                "started_at": tried.started_at.to_string(),
                "took_ms": tried.took_ms,
                "failure": failure(&tried.failure),
            })
        })
        .collect();
    let waits = reasons(store, configuration, message, clock::now()).await?;
    let waits: Vec<String> = waits.iter().map(ToString::to_string).collect();
    let notes = store.operator_notes(message.id).await?;
    let mut events = Vec::new();
    for logged in store.events_of(message).await? {
        events.push(event(store, configuration, message, &logged, full).await?);
    }
    let mut story = json!({
        "id": message.id.to_string(),
        "platform_message_id": message.platform_message_id,
        "provider_message_id": message.provider_message_id,
        "account": account.map(|account| &account.id),
        "number": sender.map(|sender| sender.number.as_e164()),
        "recipient": recipient,
        "category": message.category.as_str(),
        "template": template,
        "language": language,
        "state": message.state.as_str(),
        "delivery": message.delivery.map(|delivery| delivery.as_str()),
        "failure": message.failure.as_ref().map(failure),
        "accepted_at": message.id.made_at().to_string(),
        "waits": waits,
        "expires_at": message.expires_at.to_string(),
        "due_at": message.due_at.map(|at| at.to_string()),
        "attempts": message.attempts,
        "sent_at": message.sent_at().map(|at| at.to_string()),
        "tried_at": message.tried_at.map(|at| at.to_string()),
        "took_ms": message.took_ms,
        "price": message.price.map(|price| json!({"category": price.category.as_str(), "billable": price.billable})),
        "failed_tries": tries,
        "earlier_sends": store.earlier_sends(message.id).await?.iter().map(earlier).collect::<Vec<_>>(),
        "notes": notes.iter().map(|(at, note)| json!({"at": at.to_string(), "note": note})).collect::<Vec<_>>(),
        "events": events,
    });
    if full {
        story["request"] = json!(message.request);
        story["answer"] = json!(store.taken(message.id).await?.map(|taken| taken.answer));
        story["exchanges"] = store.send_exchanges(message.id).await?.iter().map(exchange).collect();
    }
    Ok(story)
}

async fn event(
    store: &Store,
    configuration: &Configuration,
    message: &StoredMessage,
    event: &LoggedEvent,
    full: bool,
) -> anyhow::Result<Value> {
    let mut callbacks = Vec::new();
    for subscription in configuration.subscriptions_ever().filter(|subscription| hears(subscription, message, event)) {
        for tried in store.callback_tries(subscription.key.0, event.place).await? {
            callbacks.push(json!({
                "subscription": subscription.key.0,
                "started_at": tried.started_at.to_string(),
                "events": tried.events,
                "http_status": tried.http_status,
                "took_ms": tried.took_ms,
                "note": tried.note,
                "payload": tried.payload.as_ref().map(|sent| payload(sent, full)),
            }));
        }
        if let Some(care) = store.care_of(subscription.key.0, event.place).await? {
            let state = CallbackState::from_code(care.state).map_or("left behind", CallbackState::as_str);
            callbacks.push(json!({"subscription": subscription.key.0, "state": state, "reason": care.reason}));
        }
    }
    let mut told = json!({
        "place": event.place.0,
        "kind": event.kind.as_str(),
        "status": event.status.map(|status| status.as_str()),
        "told_before": event.told_before,
        "failure": event.failure.as_ref().map(failure),
        "occurred_at": event.occurred_at.to_string(),
        "recorded_at": event.recorded_at.to_string(),
        "callbacks": callbacks,
    });
    if full {
        told["entry"] = json!(event.entry);
    }
    Ok(told)
}

/// What was said to the provider, word for word.
fn exchange(said: &SendExchange) -> Value {
    json!({
        "attempt": said.attempt,
        "started_at": said.started_at.to_string(),
        "took_ms": said.took_ms,
        "request": said.request,
        "http_status": said.http_status,
        "answer": said.answer,
    })
}

/// What left with a request; its text, which says what people wrote, where it was not taken.
fn payload(sent: &SentPayload, full: bool) -> Value {
    let mut told = json!({"bytes": sent.bytes, "sha256": sent.sha256_in_hex()});
    if full {
        told["text"] = json!(sent.text);
        told["is_cut"] = json!(sent.is_cut());
    }
    told
}

pub(super) fn refused(configuration: &Configuration, refused: &Refused, full: bool) -> Value {
    let account = configuration.account_by_key(refused.account);
    let mut told = json!({
        "at": refused.at.to_string(),
        "account": account.map(|account| &account.id),
        "kind": refused.kind,
        "answer": refused.answer,
    });
    if full {
        told["request"] = json!(refused.request);
    }
    told
}

fn earlier(send: &EarlierSend) -> Value {
    json!({
        "state": send.state.as_str(),
        "delivery": send.delivery.map(|delivery| delivery.as_str()),
        "failure": send.failure.as_ref().map(failure),
        "attempts": send.attempts,
        "sent_at": send.sent_at().map(|at| at.to_string()),
        "tried_at": send.tried_at.map(|at| at.to_string()),
        "took_ms": send.took_ms,
        "provider_message_id": send.provider_message_id,
        "ended_at": send.ended_at.to_string(),
    })
}

fn failure(failure: &Failure) -> Value {
    json!({"reason": failure.reason.as_str(), "code": failure.code, "text": failure.text})
}
