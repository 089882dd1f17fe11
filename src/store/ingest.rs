//! What happened to messages: findings of our own work and reports of providers, applied together.
//!
//! A batch reads each message that it touches once, lets [`Progress`] decide what follows, writes each
//! back once, and appends all news to the logs at the end. Reports whose message is not known are
//! parked: a report may overtake the answer to its send, and other systems may use the same number.

mod parked;
mod working;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use sea_orm::{DbErr, QueryResult, Value};

pub use self::parked::MatchedStatus;
pub(super) use self::parked::{insert_unrecognized, unrecognized_row};
use self::{
    parked::{keep_parked, keep_skipped, take_parked},
    working::Working,
};
use super::{
    DatabaseTransaction,
    batch::Effects,
    contacts::{self, Heard},
    events::{self, NewEvent},
    media,
    moved_people::{self, Moved},
    notices::ReceivedNotice,
    outbound::{Settlement, provider_id_hash},
    people::{People, ReceivedLink},
    preferences::{self, ReceivedPreference},
    query_rows,
};
use crate::domain::{
    callback::EventKind,
    failure::{Failure, FailureReason},
    ids::{AccountKey, ConnectionKey, MessageId, MessageIds, SenderKey},
    inbound::InboundMessage,
    status::StatusUpdate,
    suppression::PersonHasher,
    time::UnixMillis,
};

/// What one webhook said, with the numbers that it is about.
#[derive(Debug)]
pub struct Ingest {
    pub connection: ConnectionKey,
    pub statuses: Vec<(SenderKey, StatusUpdate)>,
    pub inbound: Vec<ReceivedMessage>,
    pub preferences: Vec<ReceivedPreference>,
    /// New ones; those that are known already need not be given.
    pub links: Vec<ReceivedLink>,
    pub notices: Vec<ReceivedNotice>,
    /// Parts that could not be read, or are about a number that is not ours.
    pub skipped: Vec<UnreadPart>,
}

impl Ingest {
    /// Nothing yet.
    pub fn of(connection: ConnectionKey) -> Self {
        Self {
            connection,
            statuses: vec![],
            inbound: vec![],
            preferences: vec![],
            links: vec![],
            notices: vec![],
            skipped: vec![],
        }
    }

    /// About how many rows it means.
    pub(super) fn rows(&self) -> usize {
        let pairs = self.statuses.len() + self.inbound.len() + self.notices.len();
        2 * pairs + self.preferences.len() + self.links.len() + self.skipped.len() + 1
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.rows() == 1
    }
}

#[derive(Debug)]
pub struct ReceivedMessage {
    pub account: AccountKey,
    pub sender: SenderKey,
    pub message: InboundMessage,
    pub entry: String,
}

#[derive(Debug)]
pub struct UnreadPart {
    pub pointer: String,
    pub reason: String,
    pub entry: String,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ingested {
    /// Reports of messages that we do not know, or not yet.
    pub parked: usize,
    /// Inbound messages that had come before.
    pub repeated: usize,
}

pub(super) async fn apply(
    transaction: &DatabaseTransaction,
    settlements: &[&Settlement],
    ingests: &[&Ingest],
    told: Vec<NewEvent>,
    hasher: impl Fn() -> Result<PersonHasher, DbErr>,
    (ids, now): (&Arc<MessageIds>, UnixMillis),
    effects: &mut Effects,
) -> Result<Vec<Ingested>, DbErr> {
    if settlements.is_empty() && ingests.is_empty() && told.is_empty() {
        return Ok(vec![]);
    }
    let mut by_provider_id = find_by_provider_id(transaction, ingests).await?;
    let mut working = Working::load(transaction, settlements, ingests, &by_provider_id).await?;
    working.news.extend(told);
    for settlement in settlements {
        effects.settled += usize::from(working.settle(settlement, now));
    }
    // A report may come into the same batch as the answer to its send, and name the message by nothing else.
    if ingests.iter().any(|ingest| names_by_provider_id(ingest)) {
        for (sender, id, message) in working.new_provider_ids() {
            by_provider_id.entry(provider_id_hash(sender, &id)).or_insert(message);
        }
    }
    let mut parked = Vec::new();
    let mut answers = Vec::with_capacity(ingests.len());
    for ingest in ingests {
        let mut answer = Ingested::default();
        for (sender, update) in &ingest.statuses {
            // Our own id goes before, so with it nobody asks for the other.
            let known = match update.message {
                Some(_) => None,
                None => by_provider_id.get(&provider_id_hash(*sender, &update.provider_message_id)).copied(),
            };
            if !working.report(*sender, update, known) {
                answer.parked += 1;
                parked.push((ingest.connection, *sender, update));
            }
        }
        answers.push(answer);
    }
    // A report that came before its message was known to have been sent.
    for (sender, update) in take_parked(transaction, &working.new_provider_ids()).await? {
        working.report(sender, &update, None);
    }

    keep_parked(transaction, &parked, ids, now).await?;
    keep_skipped(transaction, ingests, ids, now).await?;
    let linked = People::meet(transaction, ingests, &by_provider_id, now).await?;
    let refusals = std::mem::take(&mut working.unwelcome);
    let wishes = preferences::take(transaction, ingests, &linked, refusals, &hasher, (ids, now), effects).await?;
    let mut fresh = claim(transaction, ingests, now).await?;
    let files = new_files(ingests, &fresh, &linked, ids, now);
    effects.media |= !files.is_empty();
    media::keep(transaction, files).await?;
    let heard = heard(ingests, &fresh, &linked);
    let moves = moves(ingests, &fresh, &linked);
    if !moves.is_empty() {
        working.news.extend(moved_people::take_wishes(transaction, &moves, &hasher()?).await?);
        effects.suppressions = true;
    }
    receive(ingests, &by_provider_id, &linked, &mut fresh, &mut working.news, &mut answers);
    working.news.extend(new_notices(ingests, &mut fresh, now));
    working.news.extend(wishes);
    working.news.extend(contacts::take(transaction, &linked.new_links, (heard, &moves), &hasher, (ids, now)).await?);
    working.write(transaction).await?;
    effects.senders.extend(working.queued_again.iter().map(|sender| (*sender, None)));
    effects.logs.extend(working.news.iter().map(|event| (event.account, event.kind)));
    events::append(transaction, working.news, now).await?;
    Ok(answers)
}

/// Whether anything in it may name a message by the provider's id alone.
fn names_by_provider_id(ingest: &Ingest) -> bool {
    !ingest.inbound.is_empty() || ingest.statuses.iter().any(|(_, update)| update.message.is_none())
}

/// Messages by their providers' ids, for everything the webhooks mention.
async fn find_by_provider_id(
    transaction: &DatabaseTransaction,
    ingests: &[&Ingest],
) -> Result<HashMap<Vec<u8>, MessageId>, DbErr> {
    let mut hashes = BTreeSet::new();
    for ingest in ingests {
        let unnamed = ingest.statuses.iter().filter(|(_, update)| update.message.is_none());
        hashes.extend(unnamed.map(|(sender, update)| provider_id_hash(*sender, &update.provider_message_id)));
        hashes.extend(
            ingest
                .inbound
                .iter()
                .filter_map(|received| Some(provider_id_hash(received.sender, received.message.is_about()?))),
        );
    }
    let rows: Vec<[Value; 1]> = hashes.into_iter().map(|hash| [hash.into()]).collect();
    let found = query_rows(
        transaction,
        "SELECT p.hash, p.message FROM (",
        rows,
        ") AS v CROSS JOIN provider_ids AS p WHERE p.hash = v.column1",
    )
    .await?;
    found.iter().map(|row| Ok((row.try_get("", "hash")?, MessageId(row.try_get("", "message")?)))).collect()
}

/// The failure in a row of messages, events or attempts.
pub(crate) fn failure(row: &QueryResult) -> Result<Option<Failure>, DbErr> {
    let reason: Option<i16> = row.try_get("", "failure_reason")?;
    let text: Option<String> = row.try_get("", "failure_text")?;
    let code = row.try_get("", "failure_code")?;
    Ok(reason.zip(text).map(|(reason, text)| Failure {
        reason: FailureReason::from_code(reason).unwrap_or(FailureReason::Other),
        code,
        text,
    }))
}

pub(crate) fn failure_values(failure: Option<&Failure>) -> (Value, Value, Value) {
    (
        failure.map(|failure| failure.reason.code()).into(),
        failure.and_then(|failure| failure.code).into(),
        failure.map(|failure| failure.text.clone()).into(),
    )
}

/// Claims the keys of all inbound messages and notices; gives back those that nobody had.
async fn claim(
    transaction: &DatabaseTransaction,
    ingests: &[&Ingest],
    now: UnixMillis,
) -> Result<HashSet<Vec<u8>>, DbErr> {
    let mut keys: BTreeSet<Vec<u8>> = ingests.iter().flat_map(|ingest| ingest.inbound.iter().map(key_of)).collect();
    keys.extend(ingests.iter().flat_map(|ingest| ingest.notices.iter().map(|notice| notice_key(notice, now))));
    let rows: Vec<[Value; 1]> = keys.into_iter().map(|key| [key.into()]).collect();
    let inserted = query_rows(
        transaction,
        "INSERT INTO inbound_keys (hash)",
        rows,
        " ON CONFLICT (hash) DO NOTHING RETURNING hash",
    )
    .await?;
    inserted.iter().map(|row| row.try_get("", "hash")).collect()
}

fn key_of(received: &ReceivedMessage) -> Vec<u8> {
    provider_id_hash(received.sender, &received.message.provider_message_id)
}

fn notice_key(received: &ReceivedNotice, now: UnixMillis) -> Vec<u8> {
    provider_id_hash(received.sender, &received.identity(now))
}

/// Puts inbound messages that are new among the news; counts those that are not.
fn receive(
    ingests: &[&Ingest],
    by_provider_id: &HashMap<Vec<u8>, MessageId>,
    people: &People,
    fresh: &mut HashSet<Vec<u8>>,
    news: &mut Vec<NewEvent>,
    answers: &mut [Ingested],
) {
    for (ingest, answer) in ingests.iter().zip(answers) {
        for received in &ingest.inbound {
            if !fresh.remove(&key_of(received)) {
                answer.repeated += 1;
                continue;
            }
            let message = &received.message;
            let quoted = message.is_about();
            let quoted = quoted.and_then(|id| by_provider_id.get(&provider_id_hash(received.sender, id)));
            let person = match message.from {
                Some(_) => None,
                None => people.phone(received.account, message.from_user_id.as_deref()).cloned(),
            };
            news.push(NewEvent {
                account: received.account,
                sender: received.sender,
                kind: EventKind::Inbound,
                message: quoted.copied(),
                status: None,
                occurred_at: message.occurred_at,
                failure: None,
                provider_message_id: Some(message.provider_message_id.clone()),
                person,
                tapped: Some(message.is_tap()),
                entry: Some(received.entry.clone()),
            });
        }
    }
}

/// Notices that were not told before.
fn new_notices(ingests: &[&Ingest], fresh: &mut HashSet<Vec<u8>>, now: UnixMillis) -> Vec<NewEvent> {
    let notices = ingests.iter().flat_map(|ingest| &ingest.notices);
    notices.filter(|notice| fresh.remove(&notice_key(notice, now))).map(|notice| notice.event(now)).collect()
}

/// Who has another number, as messages say that are new.
fn moves(ingests: &[&Ingest], fresh: &HashSet<Vec<u8>>, people: &People) -> Vec<Moved> {
    let all = ingests.iter().flat_map(|ingest| &ingest.inbound);
    let moved = |received| Moved::of(received, people).filter(|_| fresh.contains(&key_of(received)));
    all.filter_map(moved).collect()
}

/// Who wrote what is new. Who takes back a message, or has another number, writes none.
fn heard(ingests: &[&Ingest], fresh: &HashSet<Vec<u8>>, people: &People) -> Vec<Heard> {
    let all = ingests.iter().flat_map(|ingest| &ingest.inbound);
    let one = |received: &ReceivedMessage| {
        let message = &received.message;
        let by_link = || people.phone(received.account, message.from_user_id.as_deref());
        Heard {
            account: received.account,
            sender: received.sender,
            phone: message.from.as_ref().or_else(by_link).cloned(),
            user_id: message.from_user_id.clone(),
            name: message.from_name.clone(),
            at: message.occurred_at,
        }
    };
    let wrote = |received: &&ReceivedMessage| received.message.is_written() && fresh.contains(&key_of(received));
    all.filter(wrote).map(one).collect()
}

/// Rows for the files that came with inbound messages that are new.
fn new_files(
    ingests: &[&Ingest],
    fresh: &HashSet<Vec<u8>>,
    people: &People,
    ids: &MessageIds,
    now: UnixMillis,
) -> Vec<[Value; 13]> {
    let all = ingests.iter().flat_map(|ingest| &ingest.inbound);
    let new = all.filter(|received| received.message.file().is_some() && fresh.contains(&key_of(received)));
    let row = |received: &ReceivedMessage| {
        let message = &received.message;
        let person = message.from.as_ref().or_else(|| people.phone(received.account, message.from_user_id.as_deref()));
        media::row_of(ids.next(now), received.account, received.sender, person, message, now)
    };
    new.filter_map(row).collect()
}
