//! A past that did not happen here: messages, what was heard of them and what was told, as rows of the tables that would hold them.
//! Nothing of the bridge uses it; `wabridge demo` has a week behind it from the start.
//!
//! Nobody else may use the database meanwhile, and its log must be empty: what is written is told already.

use std::collections::BTreeMap;

use sea_orm::Value;

use super::{Doing as _, Store, StoreError, execute, execute_rows, outbound::provider_id_hash, statistics::Figures};
use crate::domain::{
    attempt::AttemptOutcome,
    callback::EventKind,
    failure::Failure,
    ids::{AccountKey, MessageId, Place, SenderKey, SubscriptionKey},
    outbound::{Category, SendState},
    price::Price,
    status::DeliveryStatus,
    time::UnixMillis,
};

/// Everything, each list in the order of its time.
#[derive(Debug, Default)]
pub struct Past {
    pub messages: Vec<PastMessage>,
    pub events: Vec<PastEvent>,
    pub exchanges: Vec<PastExchange>,
    pub figures: Figures,
}

/// A message that was accepted, and has come as far as it will.
#[derive(Debug)]
pub struct PastMessage {
    pub id: MessageId,
    pub account: AccountKey,
    pub sender: SenderKey,
    pub category: Category,
    pub platform_message_id: String,
    pub campaign: Option<String>,
    /// With a plus sign.
    pub recipient: String,
    /// Name and language.
    pub template: Option<(String, String)>,
    /// As it came.
    pub request: String,
    pub state: SendState,
    pub delivery: Option<DeliveryStatus>,
    pub sent_at: UnixMillis,
    pub took_ms: i32,
    /// Only of what the provider took.
    pub provider_message_id: Option<String>,
    pub failure: Option<Failure>,
    pub price: Option<Price>,
}

/// A line of the account's log; its place follows from its turn.
#[derive(Debug)]
pub struct PastEvent {
    pub at: UnixMillis,
    pub kind: EventKind,
    pub account: AccountKey,
    pub sender: SenderKey,
    pub message: Option<MessageId>,
    pub status: Option<DeliveryStatus>,
    pub failure: Option<Failure>,
    /// Of a message from a person.
    pub provider_message_id: Option<String>,
    /// Whether that is a tap on a quick-reply button.
    pub tapped: Option<bool>,
    /// The provider's own entry.
    pub entry: Option<String>,
}

/// An exchange with a callback URL.
#[derive(Debug)]
pub struct PastExchange {
    pub id: MessageId,
    pub subscription: SubscriptionKey,
    pub first: Place,
    pub last: Place,
    pub events: i32,
    pub took_ms: i32,
    pub outcome: AttemptOutcome,
    pub http_status: Option<u16>,
    pub note: String,
}

impl Store {
    /// Writes it all in one transaction.
    pub async fn remember(&self, past: Past) -> Result<(), StoreError> {
        let doing = "write the past";
        let logs = past.events.iter().fold(BTreeMap::new(), |mut logs, event| {
            *logs.entry(event.account).or_insert(0_i64) += 1;
            logs
        });
        let ids: Vec<[Value; 2]> = past
            .messages
            .iter()
            .filter_map(|message| {
                let id = message.provider_message_id.as_ref()?;
                Some([provider_id_hash(message.sender, id).into(), message.id.0.into()])
            })
            .collect();
        let transaction = self.begin().await.doing(doing)?;
        let head = "INSERT INTO outbound_messages (id, account, sender, class, category, state, delivery, platform_message_id, \
                    campaign, recipient, template_name, template_language, request, expires_at, attempts, sent_at, took_ms, \
                    provider_message_id, failure_reason, failure_code, failure_text, price)";
        let messages = past.messages.into_iter().map(message_row).collect();
        execute_rows(&transaction, head, messages, "").await.doing(doing)?;
        execute_rows(&transaction, "INSERT INTO provider_ids (hash, message)", ids, "").await.doing(doing)?;
        let head = "INSERT INTO events (account, place, kind, sender, message, status, occurred_at, recorded_at, \
                    failure_reason, failure_code, failure_text, provider_message_id, tapped, entry)";
        let mut places = BTreeMap::new();
        let events = past.events.into_iter().map(|event| event_row(event, &mut places)).collect();
        execute_rows(&transaction, head, events, "").await.doing(doing)?;
        let head = "INSERT INTO callback_attempts (id, subscription, first_place, last_place, events, started_at, took_ms, \
                    outcome, http_status, note)";
        execute_rows(&transaction, head, past.exchanges.into_iter().map(exchange_row).collect(), "")
            .await
            .doing(doing)?;
        super::statistics::add(&transaction, &past.figures).await.doing(doing)?;
        for (account, last) in logs {
            let values = || -> Vec<Value> { vec![account.0.into(), last.into()] };
            execute(&transaction, "INSERT INTO logs (account, last_place) VALUES ($1, $2)", values())
                .await
                .doing(doing)?;
            let told = "UPDATE subscriptions SET cursor = $2 WHERE account = $1";
            execute(&transaction, told, values()).await.doing(doing)?;
        }
        transaction.commit().await.doing(doing)
    }
}

fn failure_row(failure: Option<Failure>) -> [Value; 3] {
    let (reason, text) = failure.as_ref().map(|failure| (failure.reason.code(), failure.text.clone())).unzip();
    [reason.into(), failure.and_then(|failure| failure.code).into(), text.into()]
}

fn message_row(message: PastMessage) -> [Value; 22] {
    let [reason, code, text] = failure_row(message.failure);
    let (template, language) = message.template.unzip();
    [
        message.id.0.into(),
        message.account.0.into(),
        message.sender.0.into(),
        message.category.class().code().into(),
        message.category.code().into(),
        message.state.code().into(),
        message.delivery.map(DeliveryStatus::code).into(),
        message.platform_message_id.into(),
        message.campaign.into(),
        message.recipient.into(),
        template.into(),
        language.into(),
        message.request.into(),
        message.sent_at.0.into(),
        1_i16.into(),
        message.sent_at.0.into(),
        message.took_ms.into(),
        message.provider_message_id.into(),
        reason,
        code,
        text,
        message.price.map(Price::code).into(),
    ]
}

fn event_row(event: PastEvent, places: &mut BTreeMap<AccountKey, i64>) -> [Value; 14] {
    let [reason, code, text] = failure_row(event.failure);
    let place = places.entry(event.account).or_insert(0);
    *place += 1;
    [
        event.account.0.into(),
        (*place).into(),
        event.kind.code().into(),
        event.sender.0.into(),
        event.message.map(|message| message.0).into(),
        event.status.map(DeliveryStatus::code).into(),
        event.at.0.into(),
        event.at.0.into(),
        reason,
        code,
        text,
        event.provider_message_id.into(),
        event.tapped.map(i16::from).into(),
        event.entry.into(),
    ]
}

fn exchange_row(exchange: PastExchange) -> [Value; 10] {
    [
        exchange.id.0.into(),
        exchange.subscription.0.into(),
        exchange.first.0.into(),
        exchange.last.0.into(),
        exchange.events.into(),
        exchange.id.made_at().0.into(),
        exchange.took_ms.into(),
        exchange.outcome.code().into(),
        exchange.http_status.and_then(|status| i16::try_from(status).ok()).into(),
        exchange.note.into(),
    ]
}
