//! Gallabox's conversations and messages, for those who ask what happened because nobody tells them.
//!
//! A message of the business stands there with what became of it so far. Neither Gallabox's documentation nor its users know of a
//! second page: `limit` is all that can be asked for, and `list_page_max` is the most that is given.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    gallabox::{authorize, errors_of, own_id, refuse},
    knobs::Knobs,
    payloads::{Message, Update},
    script::Reported,
    state::{World, unix_now},
};

/// Messages that can be found.
const SAID_KEPT_MAX: usize = 10_000;

/// One message of a conversation.
pub(super) struct Said {
    event: Value,
    /// What becomes of one of the business's own, and when.
    steps: Vec<(Instant, Reported, Duration)>,
}

impl World {
    /// Something was said; what is oldest is forgotten.
    pub(super) fn say(&self, said: Said) {
        let mut all = self.said();
        if all.len() >= SAID_KEPT_MAX {
            all.pop_front();
        }
        all.push_back(said);
    }
}

impl Said {
    /// By a person, or by a test: it stays as it is.
    pub(super) fn as_it_is(event: Value) -> Self {
        Self { event, steps: vec![] }
    }

    /// By the business.
    pub(super) fn by_business(message: &Arc<Message>, updates: &[(Instant, Update)], knobs: &Knobs) -> Self {
        let person = message.recipient.key();
        let event = json!({
            "id": own_id(&message.wamid), "conversationId": conversation_with(person),
            "accountId": message.sender.waba_id, "channelId": message.sender.phone_number_id, "channelType": "whatsapp",
            "localMessageId": message.callback_data.as_ref().filter(|_| knobs.echo_callback_data),
            "contactId": own_id(person), "sender": own_id("the business"), "senderType": "user", "createdAt": written(unix_now()),
            "whatsapp": {"id": message.wamid, "to": person, "status": "accepted"},
        });
        let step = |(at, update): &(Instant, Update)| match update {
            Update::Status { status, at: by_clock, .. } => Some((*at, *status, *by_clock)),
            Update::Inbound { .. } | Update::Change { .. } => None,
        };
        Self { event, steps: updates.iter().filter_map(step).collect() }
    }

    /// As it stands by now.
    fn listed(&self, now: Instant) -> Value {
        let mut event = self.event.clone();
        let happened = self.steps.iter().filter(|(at, ..)| *at <= now).max_by_key(|(at, ..)| *at);
        if let Some((_, status, by_clock)) = happened {
            event["updatedAt"] = json!(written(*by_clock));
            event["whatsapp"]["status"] = json!(status.word());
            if let Some(errors) = errors_of(*status) {
                event["whatsapp"]["errors"] = errors;
            }
        }
        event
    }
}

pub(super) fn conversation_with(person: &str) -> String {
    own_id(&format!("conversation with {person}"))
}

fn written(since_epoch: Duration) -> String {
    let at = DateTime::<Utc>::UNIX_EPOCH + since_epoch;
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListQuery {
    channel_id: String,
    contact_id: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn list_conversations(
    world: web::Data<World>,
    request: HttpRequest,
    query: web::Query<ListQuery>,
) -> HttpResponse {
    let mut conversations: Vec<Value> = Vec::new();
    if let Some(refused) = refused(&world, &request) {
        return refused;
    }
    for event in newest(&world, &query) {
        if conversations.iter().all(|known| known["contactId"] != event["contactId"]) {
            let changed = event.get("updatedAt").unwrap_or(&event["createdAt"]);
            conversations.push(json!({"id": event["conversationId"], "contactId": event["contactId"],
                "channelId": event["channelId"], "updatedAt": changed}));
        }
    }
    conversations.truncate(entries_max(&world, &query));
    HttpResponse::Ok().json(conversations)
}

pub(super) async fn list_messages(
    world: web::Data<World>,
    request: HttpRequest,
    query: web::Query<ListQuery>,
) -> HttpResponse {
    if let Some(refused) = refused(&world, &request) {
        return refused;
    }
    let of_contact = |event: &Value| query.contact_id.as_deref().is_none_or(|contact| event["contactId"] == contact);
    let messages = newest(&world, &query).into_iter().filter(of_contact);
    HttpResponse::Ok().json(messages.take(entries_max(&world, &query)).collect::<Vec<_>>())
}

/// The answer to who may not ask now. Each request counts.
fn refused(world: &World, request: &HttpRequest) -> Option<HttpResponse> {
    world.count(|stats| stats.lists_asked += 1);
    if let Err(refusal) = authorize(world, request) {
        return Some(refuse(&refusal));
    }
    let seconds = world.knobs().lists_throttled_s?;
    let mut answer = HttpResponse::build(StatusCode::TOO_MANY_REQUESTS);
    if seconds > 0 {
        answer.insert_header(("Retry-After", seconds.to_string()));
    }
    Some(answer.json(json!({"message": "Too many requests"})))
}

fn entries_max(world: &World, query: &ListQuery) -> usize {
    let most = world.knobs().list_page_max;
    query.limit.unwrap_or(SAID_KEPT_MAX).min(if most == 0 { SAID_KEPT_MAX } else { most })
}

/// What was said at a channel, the newest first.
fn newest(world: &World, query: &ListQuery) -> Vec<Value> {
    let (now, said) = (Instant::now(), world.said());
    let of_channel = said.iter().rev().filter(|said| said.event["channelId"] == query.channel_id.as_str());
    of_channel.map(|said| said.listed(now)).collect()
}
