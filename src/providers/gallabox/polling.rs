//! What was said lately, for plans without webhooks: the newest conversations, and the newest messages of each that has news.
//!
//! A list takes a channel, perhaps a contact, and how many entries are wanted; a way to a second page is not known. So a list that
//! does not reach back to the last look is asked for again, longer. What becomes of our own messages changes entries that were
//! given before, and perhaps nothing else, so conversations are looked at once more for a while.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json, value::RawValue};
use url::form_urlencoded;

use super::{
    answers::{THROTTLED_WAIT, describe},
    reading::get,
    settings::url,
    webhook::{read_event, text, time_ms},
};
use crate::{
    domain::{account::Sender, time::UnixMillis},
    net::exchange::Exchange,
    providers::{
        Parsed, Skipped,
        polls::{PollFailure, PollMemory, Polled},
    },
};

/// A list, and how many of its entries are asked for: first, and again while it does not reach back far enough.
struct List {
    name: &'static str,
    limits: &'static [usize],
    /// By what its entries are in order.
    time: fn(&Value) -> Option<UnixMillis>,
}

const CONVERSATIONS: List = List { name: "conversations", limits: &[50, 200, 800], time: last_said };
const MESSAGES: List = List { name: "messages", limits: &[20, 80, 320], time: said };
const POLL_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Between two requests of a look.
const POLL_SPACING: Duration = Duration::from_millis(250);
/// For so long it is looked what became of our messages, …
const STATUSES_CHANGE_FOR: Duration = Duration::from_secs(10 * 60);
/// … in so many conversations where nothing new was said, those with the latest news first.
const LOOKED_AT_AGAIN_MAX: usize = 25;
/// A message may be listed so long after one that was said later.
const LISTED_LATE: Duration = Duration::from_secs(2 * 60);
/// Keys that are refused are shown again only so often.
const REFUSED_WAIT: Duration = Duration::from_secs(5 * 60);

/// What happened at a number since `since`.
pub(super) async fn poll(via: &Exchange, sender: &Sender, since: UnixMillis, memory: &mut PollMemory) -> Polled {
    let polled = Polled { parsed: Parsed::default(), until: since, missed: None, failure: None };
    let via = via.reading_up_to(POLL_BYTES_MAX);
    let mut look = Look { via, sender, since, memory, polled, their_now: None };
    let outcome = look.run().await;
    let Look { mut polled, their_now, .. } = look;
    match outcome {
        // A message from the future must not hide those that come until then.
        Ok(()) => {
            let newest = polled.until.min(their_now.unwrap_or(polled.until));
            polled.until = newest.minus(LISTED_LATE).max(since);
        }
        // What is behind the end of this look may be older than what it found.
        Err(failure) => (polled.until, polled.failure) = (since, Some(failure)),
    }
    polled
}

struct Look<'a> {
    via: Exchange,
    sender: &'a Sender,
    since: UnixMillis,
    memory: &'a mut PollMemory,
    polled: Polled,
    /// By Gallabox's clock.
    their_now: Option<UnixMillis>,
}

impl Look<'_> {
    async fn run(&mut self) -> Result<(), PollFailure> {
        let mut looked_at_again = 0;
        for conversation in self.list_back(&CONVERSATIONS, None).await? {
            let entry = conversation.get();
            let value: Value = serde_json::from_str(entry).unwrap_or_default();
            // One that says nothing of its time is looked at.
            if let Some(at) = last_said(&value) {
                let is_new = at >= self.since && !self.memory.knows(entry);
                let is_old = at < self.since.minus(STATUSES_CHANGE_FOR);
                if !is_new && (is_old || looked_at_again >= LOOKED_AT_AGAIN_MAX) {
                    continue;
                }
                looked_at_again += usize::from(!is_new);
            }
            let contact = text(&value, &["contactId"]).or_else(|| text(&value["contact"], &["id", "_id"]));
            let Some(contact) = contact else {
                self.set_aside(entry, "a conversation that does not say with whom it is");
                continue;
            };
            if self.memory.is_done(entry) {
                continue;
            }
            tokio::time::sleep(POLL_SPACING).await;
            for message in self.list_back(&MESSAGES, Some(&contact)).await? {
                self.take(message.get());
            }
            self.memory.note_done(entry);
        }
        self.memory.end_look();
        Ok(())
    }

    /// What is not older than the last look is taken; of our own messages also what became of them since.
    fn take(&mut self, entry: &str) {
        let value: Value = serde_json::from_str(entry).unwrap_or_default();
        let at = said(&value);
        if at.is_some_and(|at| at < self.since.minus(STATUSES_CHANGE_FOR)) {
            return;
        }
        let mut read = Parsed::default();
        read_event(None, "", entry, &mut read);
        let is_old = at.is_some_and(|at| at < self.since);
        if (is_old && read.statuses.is_empty()) || !self.memory.is_new(entry) {
            return;
        }
        self.polled.until = self.polled.until.max(at.unwrap_or(self.polled.until));
        for status in &mut read.statuses {
            status.occurred_at = changed(&value).unwrap_or(status.occurred_at);
            // The answer to a send has Gallabox's own id, and no other.
            if let Some(id) = text(&value, &["id", "_id"]).filter(|_| status.message.is_none()) {
                status.provider_message_id = id;
            }
        }
        let parsed = &mut self.polled.parsed;
        parsed.statuses.append(&mut read.statuses);
        parsed.inbound.append(&mut read.inbound);
        parsed.notices.append(&mut read.notices);
        parsed.templates_changed.append(&mut read.templates_changed);
        parsed.skipped.append(&mut read.skipped);
        parsed.ignored += read.ignored;
    }

    fn set_aside(&mut self, entry: &str, reason: &str) {
        if self.memory.is_new(entry) {
            let (pointer, reason, entry) = (String::new(), reason.to_owned(), entry.to_owned());
            self.polled.parsed.skipped.push(Skipped { pointer, reason, entry });
        }
    }

    /// The newest entries of a list, back to the last look as far as Gallabox gives them.
    async fn list_back(&mut self, what: &List, contact: Option<&str>) -> Result<Vec<Box<RawValue>>, PollFailure> {
        let mut listed: Vec<Box<RawValue>> = Vec::new();
        for (place, limit) in what.limits.iter().enumerate() {
            if place > 0 {
                tokio::time::sleep(POLL_SPACING).await;
            }
            let before = listed.len();
            listed = self.list(what.name, contact, *limit).await?;
            let is_longer = place == 0 || listed.len() > before;
            let oldest = listed.iter().filter_map(|entry| (what.time)(&read(entry))).min();
            if oldest.is_some_and(|oldest| oldest < self.since) || (is_longer && listed.len() < *limit) {
                return Ok(listed);
            }
            if !is_longer {
                break;
            }
        }
        let text = format!(
            "more was said than could be read: of {} Gallabox gave the newest {}, and what is older was not seen",
            what.name,
            listed.len()
        );
        self.polled.missed = Some(text);
        Ok(listed)
    }

    async fn list(
        &mut self,
        what: &str,
        contact: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Box<RawValue>>, PollFailure> {
        let failed = |wait, text| PollFailure { wait, refused: false, text };
        let connection = &self.sender.connection;
        let address = url(connection, &list_path(self.sender, what, contact, limit));
        let answer = get(&self.via, connection, &address, self.via.request_timeout()).await;
        let answer = answer.map_err(|text| failed(None, text))?;
        self.their_now = self.their_now.max(answer.date);
        let why = || describe(answer.status, &answer.body);
        match answer.status {
            200 => {}
            401 | 403 => return Err(PollFailure { wait: Some(REFUSED_WAIT), refused: true, text: why() }),
            429 => return Err(failed(Some(answer.retry_after.unwrap_or_default().max(THROTTLED_WAIT)), why())),
            _ => return Err(failed(answer.retry_after, why())),
        }
        if answer.cut {
            return Err(failed(None, format!("the list of {what} is larger than {POLL_BYTES_MAX} bytes")));
        }
        let listed = entries(&answer.body, what);
        let mut listed = listed.ok_or_else(|| failed(None, format!("the list of {what} cannot be read")))?;
        listed.truncate(limit);
        Ok(listed)
    }
}

fn read(entry: &RawValue) -> Value {
    serde_json::from_str(entry.get()).unwrap_or_default()
}

/// When something was said last in a conversation.
fn last_said(conversation: &Value) -> Option<UnixMillis> {
    time_of(conversation, "lastMessageAt").or_else(|| changed(conversation)).or_else(|| time_ms(conversation))
}

/// When a message was said.
fn said(message: &Value) -> Option<UnixMillis> {
    time_ms(message).or_else(|| time_ms(&message["whatsapp"]))
}

/// When an entry was changed last.
fn changed(value: &Value) -> Option<UnixMillis> {
    ["updatedAt", "updated_at"].iter().find_map(|key| time_of(value, key))
}

fn time_of(value: &Value, key: &str) -> Option<UnixMillis> {
    time_ms(&json!({ "time": text(value, &[key])? }))
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
    let mut parts: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(body).ok()?;
    let entries = ["data", what, "items"].into_iter().find_map(|key| parts.remove(key))?;
    serde_json::from_str(entries.get()).ok()
}
