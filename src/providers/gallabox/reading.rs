//! Asking Gallabox: its list of templates, who we are, and, for plans without webhooks, what was said lately.

use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;
use url::form_urlencoded;

use super::{
    answers::{THROTTLED_WAIT, describe},
    settings::{NO_CREDENTIALS, credentials, url},
    templates::read_list,
    webhook::{read_event, text, time_ms},
};
use crate::{
    domain::{
        account::{Connection, Sender},
        channel::NumberState,
        template::ListedTemplate,
        time::UnixMillis,
    },
    net::exchange::{Answer, Exchange, Method, OutgoingRequest},
    providers::{FetchFailure, Parsed, PollFailure, Polled},
};

/// The whole list comes at once: 6,000 templates of a few kilobytes.
const TEMPLATE_LIST_BYTES_MAX: usize = 32 * 1024 * 1024;
const TEMPLATE_LIST_TIMEOUT: Duration = Duration::from_secs(60);
/// Conversations looked at in one poll, those with the latest news first.
const CONVERSATIONS_MAX: usize = 50;
/// Messages read of each.
const MESSAGES_MAX: usize = 20;
const POLL_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Between two requests of a poll.
const POLL_SPACING: Duration = Duration::from_millis(250);

pub(super) async fn templates(
    via: &Exchange,
    from: &Sender,
    named: Option<&str>,
) -> Result<Vec<ListedTemplate>, FetchFailure> {
    let via = via.reading_up_to(TEMPLATE_LIST_BYTES_MAX);
    let url = url(&from.connection, &format!("accounts/{}/whatsappTemplates", from.provider_account_id));
    let answer = get(&via, &from.connection, &url, TEMPLATE_LIST_TIMEOUT).await.map_err(FetchFailure)?;
    if answer.cut {
        return Err(FetchFailure(format!("the list of templates is larger than {TEMPLATE_LIST_BYTES_MAX} bytes")));
    }
    if answer.status != 200 {
        return Err(FetchFailure(describe(answer.status, &answer.body)));
    }
    let (templates, unreadable) = read_list(&answer.body, named)
        .map_err(|reason| FetchFailure(format!("the list of templates cannot be read: {reason}")))?;
    for reason in unreadable {
        tracing::warn!(provider_account.id = from.provider_account_id, "skipped a template: {reason}");
    }
    Ok(templates)
}

/// Gallabox tells nothing of a number but that the keys are good.
pub(super) async fn number(via: &Exchange, sender: &Sender) -> Result<NumberState, FetchFailure> {
    me(via, &sender.connection).await.map(|_| NumberState::default()).map_err(FetchFailure)
}

/// Who the keys belong to, for people.
pub(super) async fn me(via: &Exchange, connection: &Connection) -> Result<Option<String>, String> {
    let answer = get(via, connection, &url(connection, "me"), via.request_timeout()).await?;
    if answer.status != 200 {
        return Err(describe(answer.status, &answer.body));
    }
    let profile: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    Ok(text(&profile, &["name", "email", "id", "_id"]))
}

/// What was said since `since`, at the number's conversations with news.
pub(super) async fn poll(via: &Exchange, sender: &Sender, since: UnixMillis) -> Result<Polled, PollFailure> {
    let via = via.reading_up_to(POLL_BYTES_MAX);
    let conversations = list(&via, sender, "conversations", None, CONVERSATIONS_MAX).await?;
    let mut polled = Polled { parsed: Parsed::default(), until: since };
    for conversation in conversations {
        let conversation: Value = serde_json::from_str(conversation.get()).unwrap_or_default();
        let contact = text(&conversation, &["contactId"]).or_else(|| text(&conversation["contact"], &["id", "_id"]));
        let Some(contact) = contact.filter(|_| has_news(&conversation, since)) else { continue };
        tokio::time::sleep(POLL_SPACING).await;
        for message in list(&via, sender, "messages", Some(&contact), MESSAGES_MAX).await? {
            take(&message, since, &mut polled);
        }
    }
    Ok(polled)
}

/// A conversation that says nothing of its time is looked at.
fn has_news(conversation: &Value, since: UnixMillis) -> bool {
    let last = ["lastMessageAt", "updatedAt", "updated_at"].iter().find_map(|key| {
        let written = text(conversation, &[key])?;
        time_ms(&serde_json::json!({ "time": written }))
    });
    last.is_none_or(|last| last >= since)
}

/// What is not older is taken, and taken again next time: who stores it knows repeats.
fn take(message: &RawValue, since: UnixMillis, polled: &mut Polled) {
    let value: Value = serde_json::from_str(message.get()).unwrap_or_default();
    let Some(at) = time_ms(&value).filter(|at| *at >= since) else { return };
    polled.until = polled.until.max(at);
    read_event(None, "", message.get(), &mut polled.parsed);
}

async fn list(
    via: &Exchange,
    sender: &Sender,
    what: &str,
    contact: Option<&str>,
    limit: usize,
) -> Result<Vec<Box<RawValue>>, PollFailure> {
    let path = list_path(sender, what, contact, limit);
    let failed = |wait, text| PollFailure { wait, text };
    let answer = get(via, &sender.connection, &url(&sender.connection, &path), via.request_timeout())
        .await
        .map_err(|text| failed(None, text))?;
    if answer.status != 200 {
        let wait = (answer.status == 429).then(|| answer.retry_after.unwrap_or_default().max(THROTTLED_WAIT));
        return Err(failed(wait, describe(answer.status, &answer.body)));
    }
    let entries =
        entries(&answer.body, what).ok_or_else(|| failed(None, format!("the list of {what} cannot be read")))?;
    Ok(entries.into_iter().take(limit).collect())
}

fn list_path(sender: &Sender, what: &str, contact: Option<&str>, limit: usize) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("channelId", &sender.provider_number_id);
    if let Some(contact) = contact {
        query.append_pair("contactId", contact);
    }
    query.append_pair("limit", &limit.to_string());
    format!("accounts/{}/{what}?{}", sender.provider_account_id, query.finish())
}

/// A bare array, or one under a key.
fn entries(body: &[u8], what: &str) -> Option<Vec<Box<RawValue>>> {
    if let Ok(entries) = serde_json::from_slice(body) {
        return Some(entries);
    }
    let mut parts: std::collections::BTreeMap<String, Box<RawValue>> = serde_json::from_slice(body).ok()?;
    let entries = ["data", what, "items"].into_iter().find_map(|key| parts.remove(key))?;
    serde_json::from_str(entries.get()).ok()
}

async fn get(via: &Exchange, connection: &Connection, url: &str, timeout: Duration) -> Result<Answer, String> {
    let headers = credentials(connection).ok_or(NO_CREDENTIALS)?;
    let request = OutgoingRequest { method: Method::Get, url, headers, body: None, timeout };
    via.send(request).await.result.map_err(|no_answer| no_answer.to_string())
}
