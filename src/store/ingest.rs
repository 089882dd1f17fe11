//! What happened to messages: findings of our own work and reports of providers, applied together.
//!
//! A batch reads each message that it touches once, lets [`Progress`] decide what follows, writes each
//! back once, and appends all news to the logs at the end. Reports whose message is not known are
//! parked: a report may overtake the answer to its send, and other systems may use the same number.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use sea_orm::{DatabaseTransaction, DbBackend, DbErr, QueryResult, Value};
use serde::{Deserialize, Serialize};

use super::{
    batch::Effects,
    events::{self, NewEvent},
    execute_rows, forget, media,
    notices::ReceivedNotice,
    outbound::{Settlement, id_list, odd_value, provider_id_hash},
    people::{People, ReceivedLink},
    preferences::{self, ReceivedPreference, Unwelcome},
    query_rows,
};
use crate::{
    domain::{
        attempt::AttemptOutcome,
        callback::EventKind,
        failure::{Failure, FailureReason},
        ids::{AccountKey, ConnectionKey, MessageId, MessageIds, SenderKey},
        inbound::InboundMessage,
        outbound::SendState,
        progress::{News, Progress},
        status::{DeliveryStatus, StatusUpdate},
        suppression::{PersonHasher, verdict_on_person},
        time::UnixMillis,
    },
    telemetry,
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

/// Why a status is kept without its message.
const PARKED: &str = "no message with this id is known (yet)";

pub(super) async fn apply(
    transaction: &DatabaseTransaction,
    settlements: &[&Settlement],
    ingests: &[&Ingest],
    hasher: impl FnOnce() -> Result<PersonHasher, DbErr>,
    (ids, now): (&Arc<MessageIds>, UnixMillis),
    effects: &mut Effects,
) -> Result<Vec<Ingested>, DbErr> {
    if settlements.is_empty() && ingests.is_empty() {
        return Ok(vec![]);
    }
    let by_provider_id = find_by_provider_id(transaction, ingests).await?;
    let mut working = Working::load(transaction, settlements, ingests, &by_provider_id).await?;
    for settlement in settlements {
        effects.settled += usize::from(working.settle(settlement, now));
    }
    let mut parked = Vec::new();
    let mut answers = Vec::with_capacity(ingests.len());
    for ingest in ingests {
        let mut answer = Ingested::default();
        for (sender, update) in &ingest.statuses {
            let known = by_provider_id.get(&provider_id_hash(*sender, &update.provider_message_id)).copied();
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
    preferences::take(transaction, ingests, &linked, refusals, hasher, (ids, now), effects).await?;
    let mut fresh = claim(transaction, ingests, now).await?;
    let files = new_files(ingests, &fresh, &linked, ids, now);
    effects.media |= !files.is_empty();
    media::keep(transaction, files).await?;
    receive(ingests, &by_provider_id, &linked, &mut fresh, &mut working.news, &mut answers);
    working.news.extend(new_notices(ingests, &mut fresh, now));
    working.write(transaction).await?;
    effects.senders.extend(working.queued_again.iter());
    effects.logs.extend(working.news.iter().map(|event| event.account));
    events::append(transaction, working.news, now).await?;
    Ok(answers)
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

/// The messages that a batch touches.
struct Working {
    messages: HashMap<MessageId, Touched>,
    news: Vec<NewEvent>,
    /// Tries that did not end with the provider taking the message.
    attempts: Vec<[Value; 7]>,
    /// Numbers that have something to send again.
    queued_again: BTreeSet<SenderKey>,
    /// Refusals that tell something about the recipient.
    unwelcome: Vec<Unwelcome>,
}

struct Touched {
    account: AccountKey,
    sender: SenderKey,
    before: Progress,
    now: Progress,
    /// The person was forgotten: what comes is told, and nothing of it is kept that says who it was.
    erased: bool,
}

impl Touched {
    /// Takes out of news what tells about a person who was forgotten.
    fn forget_again(&mut self, news: &mut [News]) {
        if self.erased {
            news.iter_mut().for_each(|one| one.entry = None);
            self.now.provider_message_id =
                self.now.provider_message_id.as_ref().map(|_| forget::NO_PROVIDER_ID.to_owned());
        }
    }
}

const PROGRESS_COLUMNS: &str = "id, account, sender, state, delivery, provider_message_id, due_at, epoch, attempts, sent_at, \
     took_ms, failure_reason, failure_code, failure_text";

impl Working {
    async fn load(
        transaction: &DatabaseTransaction,
        settlements: &[&Settlement],
        ingests: &[&Ingest],
        by_provider_id: &HashMap<Vec<u8>, MessageId>,
    ) -> Result<Self, DbErr> {
        use sea_orm::ConnectionTrait as _;
        let mut wanted: BTreeSet<MessageId> = settlements.iter().map(|settlement| settlement.message).collect();
        wanted.extend(ingests.iter().flat_map(|ingest| &ingest.statuses).filter_map(|(_, update)| update.message));
        wanted.extend(by_provider_id.values());
        let mut messages = HashMap::with_capacity(wanted.len());
        // Where rows can be locked, everybody locks them in the same order.
        let tail = if transaction.get_database_backend() == DbBackend::Sqlite {
            ") AS v CROSS JOIN outbound_messages AS m WHERE m.id = v.column1"
        } else {
            ") AS v CROSS JOIN outbound_messages AS m WHERE m.id = v.column1 ORDER BY m.id FOR UPDATE OF m"
        };
        let rows: Vec<[Value; 1]> = wanted.into_iter().map(|id| [id.0.into()]).collect();
        let head = format!("SELECT {PROGRESS_COLUMNS}, recipient = '{}' AS erased FROM (", forget::NOBODY);
        for row in query_rows(transaction, &head, rows, tail).await? {
            let progress = progress(&row)?;
            messages.insert(
                MessageId(row.try_get("", "id")?),
                Touched {
                    account: AccountKey(row.try_get("", "account")?),
                    sender: SenderKey(row.try_get("", "sender")?),
                    before: progress.clone(),
                    now: progress,
                    erased: row.try_get("", "erased")?,
                },
            );
        }
        Ok(Self { messages, news: vec![], attempts: vec![], queued_again: BTreeSet::new(), unwelcome: vec![] })
    }

    /// Applies a finding. `false` when it comes too late.
    fn settle(&mut self, settlement: &Settlement, now: UnixMillis) -> bool {
        let Some(touched) = self.messages.get_mut(&settlement.message) else { return false };
        let attempt_number = touched.now.attempts;
        let Some(mut news) = touched.now.apply(&settlement.finding, settlement.epoch, now) else {
            tracing::debug!(
                message.id = %settlement.message,
                "what our own work found out about {} counts no more: it was reported or settled before",
                settlement.message
            );
            return false;
        };
        if let Some(attempt) = &settlement.attempt {
            touched.now.took_ms = i32::try_from(attempt.took.as_millis()).ok();
            if attempt.outcome != AttemptOutcome::Succeeded
                && let Some(failure) = &touched.now.failure
            {
                self.attempts.push([
                    settlement.message.0.into(),
                    attempt_number.max(1).into(),
                    attempt.started_at.0.into(),
                    touched.now.took_ms.unwrap_or(i32::MAX).into(),
                    failure.reason.code().into(),
                    failure.code.into(),
                    failure.text.clone().into(),
                ]);
            }
        }
        if touched.now.state == SendState::Queued {
            self.queued_again.insert(touched.sender);
        }
        touched.forget_again(&mut news);
        let (account, sender) = (touched.account, touched.sender);
        self.note_unwelcome(settlement.message, &news);
        self.tell(account, sender, settlement.message, news);
        true
    }

    /// Applies a report. `false` when it is about no message that we know.
    fn report(&mut self, sender: SenderKey, update: &StatusUpdate, known: Option<MessageId>) -> bool {
        // Somebody else's system may send from the same number with ids that look like ours.
        let Some((id, touched)) = update.message.or(known).and_then(|id| {
            let touched = self.messages.get_mut(&id).filter(|touched| touched.sender == sender)?;
            Some((id, touched))
        }) else {
            return false;
        };
        let mut news = touched.now.report(update);
        touched.forget_again(&mut news);
        let account = touched.account;
        for told in &news {
            metrics::counter!(telemetry::STATUSES, "status" => told.status.as_str()).increment(1);
        }
        self.note_unwelcome(id, &news);
        self.tell(account, sender, id, news);
        true
    }

    fn note_unwelcome(&mut self, message: MessageId, news: &[News]) {
        if self.messages.get(&message).is_none_or(|touched| touched.erased) {
            return;
        }
        self.unwelcome.extend(news.iter().filter_map(|news| {
            let failure = news.failure.as_ref().filter(|failure| verdict_on_person(failure).is_some())?;
            Some(Unwelcome { message, failure: failure.clone(), occurred_at: news.occurred_at })
        }));
    }

    fn tell(&mut self, account: AccountKey, sender: SenderKey, message: MessageId, news: Vec<News>) {
        self.news.extend(news.into_iter().map(|news| NewEvent {
            account,
            sender,
            kind: EventKind::Status,
            message: Some(message),
            status: Some(news.status),
            occurred_at: news.occurred_at,
            failure: news.failure,
            provider_message_id: None,
            person: None,
            entry: news.entry,
        }));
    }

    /// Providers' ids that this batch learned: number, id, message.
    fn new_provider_ids(&self) -> Vec<(SenderKey, String, MessageId)> {
        let learned =
            self.messages.iter().filter(|(_, touched)| touched.before.provider_message_id.is_none() && !touched.erased);
        learned
            .filter_map(|(id, touched)| Some((touched.sender, touched.now.provider_message_id.clone()?, *id)))
            .collect()
    }

    async fn write(&self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        let ids: Vec<[Value; 2]> = self
            .new_provider_ids()
            .into_iter()
            .map(|(sender, provider_id, message)| [provider_id_hash(sender, &provider_id).into(), message.0.into()])
            .collect();
        execute_rows(
            transaction,
            "INSERT INTO provider_ids (hash, message)",
            ids,
            " ON CONFLICT (hash) DO UPDATE SET message = excluded.message",
        )
        .await?;

        let mut moved: Vec<_> = self.messages.iter().filter(|(_, touched)| touched.before != touched.now).collect();
        moved.sort_unstable_by_key(|(id, _)| **id);
        let rows = moved.into_iter().map(|(id, touched)| progress_row(*id, &touched.now)).collect();
        execute_rows(
            transaction,
            "UPDATE outbound_messages SET state = v.column2, delivery = v.column3, provider_message_id = v.column4, \
             due_at = v.column5, epoch = v.column6, attempts = v.column7, took_ms = v.column8, \
             failure_reason = v.column9, failure_code = v.column10, failure_text = v.column11 FROM (",
            rows,
            ") AS v WHERE outbound_messages.id = v.column1",
        )
        .await?;
        execute_rows(
            transaction,
            "INSERT INTO send_attempts (message, attempt, started_at, took_ms, failure_reason, failure_code, failure_text)",
            self.attempts.clone(),
            " ON CONFLICT (message, attempt) DO NOTHING",
        )
        .await
        .map(drop)
    }
}

fn progress(row: &QueryResult) -> Result<Progress, DbErr> {
    let state: i16 = row.try_get("", "state")?;
    let delivery: Option<i16> = row.try_get("", "delivery")?;
    let due_at: Option<i64> = row.try_get("", "due_at")?;
    let sent_at: Option<i64> = row.try_get("", "sent_at")?;
    Ok(Progress {
        state: SendState::from_code(state).ok_or_else(|| odd_value("state"))?,
        delivery: delivery.and_then(DeliveryStatus::from_code),
        provider_message_id: row.try_get("", "provider_message_id")?,
        due_at: due_at.map(UnixMillis),
        epoch: row.try_get("", "epoch")?,
        attempts: row.try_get("", "attempts")?,
        sent_at: sent_at.map(UnixMillis),
        took_ms: row.try_get("", "took_ms")?,
        failure: failure(row)?,
    })
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

fn progress_row(id: MessageId, progress: &Progress) -> [Value; 11] {
    let (reason, code, text) = failure_values(progress.failure.as_ref());
    [
        id.0.into(),
        progress.state.code().into(),
        progress.delivery.map(DeliveryStatus::code).into(),
        progress.provider_message_id.clone().into(),
        progress.due_at.map(|due_at| due_at.0).into(),
        progress.epoch.into(),
        progress.attempts.into(),
        progress.took_ms.into(),
        reason,
        code,
        text,
    ]
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

async fn keep_parked(
    transaction: &DatabaseTransaction,
    parked: &[(ConnectionKey, SenderKey, &StatusUpdate)],
    ids: &Arc<MessageIds>,
    now: UnixMillis,
) -> Result<(), DbErr> {
    metrics::counter!(telemetry::PARKED).increment(parked.len() as u64);
    let rows = parked
        .iter()
        .map(|(connection, sender, update)| {
            let hash = provider_id_hash(*sender, &update.provider_message_id);
            let pointer = parked_pointer(*sender, update);
            unrecognized_row(ids.next(now), *connection, 2, Some(hash), pointer, PARKED, &update.entry)
        })
        .collect();
    insert_unrecognized(transaction, rows).await
}

async fn keep_skipped(
    transaction: &DatabaseTransaction,
    ingests: &[&Ingest],
    ids: &Arc<MessageIds>,
    now: UnixMillis,
) -> Result<(), DbErr> {
    let mut rows = Vec::new();
    for ingest in ingests {
        for part in &ingest.skipped {
            let pointer = part.pointer.clone();
            rows.push(unrecognized_row(ids.next(now), ingest.connection, 1, None, pointer, &part.reason, &part.entry));
        }
    }
    metrics::counter!(telemetry::UNRECOGNIZED).increment(rows.len() as u64);
    insert_unrecognized(transaction, rows).await
}

pub(super) fn unrecognized_row(
    id: MessageId,
    connection: ConnectionKey,
    kind: i16,
    hash: Option<Vec<u8>>,
    pointer: String,
    reason: &str,
    entry: &str,
) -> [Value; 7] {
    [id.0.into(), connection.0.into(), kind.into(), hash.into(), pointer.into(), reason.into(), entry.into()]
}

pub(super) async fn insert_unrecognized(transaction: &DatabaseTransaction, rows: Vec<[Value; 7]>) -> Result<(), DbErr> {
    let head = "INSERT INTO unrecognized (id, connection, kind, match_hash, pointer, reason, entry)";
    execute_rows(transaction, head, rows, "").await.map(drop)
}

/// A report in our words, beside the provider's own entry: it will be read by code that does not know
/// which provider it came from.
#[derive(Serialize, Deserialize)]
struct ParkedStatus {
    sender: i32,
    provider_message_id: String,
    status: i16,
    occurred_at: UnixMillis,
    failure: Option<(i16, Option<i64>, String)>,
}

fn parked_pointer(sender: SenderKey, update: &StatusUpdate) -> String {
    let parked = ParkedStatus {
        sender: sender.0,
        provider_message_id: update.provider_message_id.clone(),
        status: update.status.code(),
        occurred_at: update.occurred_at,
        failure: update.failure.as_ref().map(|failure| (failure.reason.code(), failure.code, failure.text.clone())),
    };
    serde_json::to_string(&parked).expect("numbers and texts can be written as JSON")
}

fn read_parked_pointer(pointer: &str, entry: String) -> Option<(SenderKey, StatusUpdate)> {
    let parked: ParkedStatus = serde_json::from_str(pointer).ok()?;
    let failure = parked.failure.map(|(reason, code, text)| Failure {
        reason: FailureReason::from_code(reason).unwrap_or(FailureReason::Other),
        code,
        text,
    });
    let update = StatusUpdate {
        provider_message_id: parked.provider_message_id,
        message: None,
        provider_number_id: String::new(),
        status: DeliveryStatus::from_code(parked.status)?,
        occurred_at: parked.occurred_at,
        failure,
        entry,
    };
    Some((SenderKey(parked.sender), update))
}

/// Takes out the parked reports of messages whose providers' ids have just become known.
async fn take_parked(
    transaction: &DatabaseTransaction,
    learned: &[(SenderKey, String, MessageId)],
) -> Result<Vec<(SenderKey, StatusUpdate)>, DbErr> {
    let by_hash: BTreeMap<Vec<u8>, MessageId> =
        learned.iter().map(|(sender, id, message)| (provider_id_hash(*sender, id), *message)).collect();
    let rows: Vec<[Value; 1]> = by_hash.keys().map(|hash| [hash.clone().into()]).collect();
    let found = query_rows(
        transaction,
        "SELECT u.id, u.match_hash, u.pointer, u.entry FROM (",
        rows,
        ") AS v CROSS JOIN unrecognized AS u WHERE u.match_hash = v.column1 ORDER BY u.id",
    )
    .await?;
    let mut taken = Vec::with_capacity(found.len());
    let mut updates = Vec::with_capacity(found.len());
    for row in &found {
        let hash: Vec<u8> = row.try_get("", "match_hash")?;
        let pointer: String = row.try_get("", "pointer")?;
        taken.push(MessageId(row.try_get("", "id")?));
        if let Some((sender, mut update)) = read_parked_pointer(&pointer, row.try_get("", "entry")?) {
            update.message = by_hash.get(&hash).copied();
            updates.push((sender, update));
        }
    }
    if !taken.is_empty() {
        super::execute(transaction, format!("DELETE FROM unrecognized WHERE id IN ({})", id_list(&taken)), vec![])
            .await?;
    }
    Ok(updates)
}
