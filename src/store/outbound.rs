//! Messages on their way out: taking them in, recognising repeats, marking those that leave. How their owners read them is in
//! [`reading`].

mod key;
mod reading;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use sea_orm::{DbBackend, DbErr, QueryResult, Value};

pub(super) use self::key::{id_hash, provider_id_hash};
pub use self::{key::MessageKey, reading::QueuedMessage};
use super::{
    DatabaseTransaction, Doing, Store, StoreError,
    batch::{Effects, Waiting},
    events::{self, NewEvent},
    execute, execute_rows, outgoing, query, query_rows,
    send_exchanges::Said,
};
use crate::{
    domain::{
        attempt::Attempt,
        callback::OutgoingStep,
        ids::{AccountKey, MessageId, SenderKey},
        outbound::{Category, SendState},
        phone::PhoneNumber,
        progress::Finding,
        time::UnixMillis,
    },
    sabotage::{Sabotage, breaks},
};

/// A message to be stored.
#[derive(Debug)]
pub struct NewMessage {
    pub id: MessageId,
    pub account: AccountKey,
    pub sender: SenderKey,
    pub category: Category,
    pub platform_message_id: String,
    /// The platform's campaign, where its id names one.
    pub campaign: Option<String>,
    pub recipient: PhoneNumber,
    /// Name and language as the provider spells them; as they were asked for while its category is not known yet; `None` when
    /// freeform.
    pub template: Option<(String, String)>,
    /// As it came.
    pub request: String,
    pub expires_at: UnixMillis,
    /// What a repeat of it would have; `None` when its id is not its own.
    pub key: Option<MessageKey>,
    /// A rule keeps it back: it waits aside from the start.
    pub paused: bool,
}

/// What became of an acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// The message, or the one that this is a repeat of.
    pub message: MessageId,
    pub repeat: bool,
    /// The same id came before with another recipient or other content.
    pub odd: bool,
    /// Its number was removed a moment ago: it is not accepted.
    pub(crate) too_late: bool,
    /// The message is to be sent because of this batch: its row is new, or was asked for again.
    pub(crate) fresh: Option<Fresh>,
}

/// A message that a batch has put into its queue, and that may have to be withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fresh {
    pub(crate) message: MessageId,
    /// As it was written. See [`confirm`].
    expires_at: UnixMillis,
}

/// Asks to mark messages as being sent, under a lease.
#[derive(Clone, Debug)]
pub struct Mark {
    pub sender: SenderKey,
    pub epoch: i64,
    pub messages: Vec<MessageId>,
}

/// What our own work found out about a message, for the table.
#[derive(Clone, Debug)]
pub struct Settlement {
    pub message: MessageId,
    pub epoch: i64,
    pub finding: Finding,
    /// The try behind it, when there was one.
    pub attempt: Option<SendAttempt>,
}

/// A try at sending a message, and what is kept of what was said.
#[derive(Clone, Debug)]
pub struct SendAttempt {
    pub attempt: Attempt,
    pub said: Said,
}

/// Cancels what was stored for somebody who was told that it was not.
///
/// Unless somebody who asked again, perhaps at another instance, was told meanwhile that it was: see [`confirm`].
pub(super) async fn withdraw(transaction: &DatabaseTransaction, messages: &[Fresh]) -> Result<(), DbErr> {
    let rows = messages.iter().map(|fresh| [fresh.message.0.into(), fresh.expires_at.0.into()]).collect();
    execute_rows::<2>(
        transaction,
        "UPDATE outbound_messages SET state = 6, due_at = NULL FROM (",
        rows,
        ") AS v WHERE outbound_messages.id = v.column1 AND outbound_messages.state = 0 \
         AND outbound_messages.expires_at = v.column2",
    )
    .await
    .map(drop)
}

/// Who asks again and is told yes makes the message one that its first caller's instance must not withdraw any more: it ends
/// a millisecond later than that instance knows. What is set aside until it expires, or nearly, stays aside until then.
async fn confirm(transaction: &DatabaseTransaction, told: Vec<[Value; 1]>) -> Result<(), DbErr> {
    execute_rows::<1>(
        transaction,
        "UPDATE outbound_messages SET expires_at = outbound_messages.expires_at + 1, due_at = CASE WHEN \
         outbound_messages.due_at >= outbound_messages.expires_at - 1 THEN outbound_messages.due_at + 1 \
         ELSE outbound_messages.due_at END FROM (",
        told,
        ") AS v WHERE outbound_messages.id = v.column1 AND outbound_messages.state = 0",
    )
    .await
    .map(drop)
}

/// Stores what is new and recognises what is not, one answer for each in their order.
pub(super) async fn accept(
    transaction: &DatabaseTransaction,
    arrivals: &[(&NewMessage, &Waiting)],
    repeat_window: Duration,
    now: UnixMillis,
    effects: &mut Effects,
) -> Result<Vec<Acceptance>, DbErr> {
    if arrivals.is_empty() {
        return Ok(vec![]);
    }
    let known = claim_keys(transaction, arrivals, repeat_window, now).await?;
    let mut answers = Vec::with_capacity(arrivals.len());
    let mut rows = Vec::new();
    let mut repeated = Vec::new();
    let own: HashSet<MessageId> = arrivals.iter().map(|(message, _)| message.id).collect();
    let mut confirmed = Vec::new();
    for (message, waiting) in arrivals {
        let claim = message.key.and_then(|key| known.get(&(message.account, key)));
        let first = claim.map_or(message.id, |claim| claim.message);
        let repeat = first != message.id;
        // Somebody who asks again at the same moment may still be there.
        let wanted = claim.map_or(!waiting.has_left(), |claim| claim.wanted);
        if repeat {
            repeated.push((first, message.expires_at, !waiting.has_left()));
            if !own.contains(&first) && !waiting.has_left() {
                confirmed.push([first.0.into()]);
            }
        } else {
            rows.push(row_of(message, if wanted { SendState::Queued } else { SendState::Cancelled }));
            effects.senders.insert((message.sender, Some(message.category.class())));
        }
        let odd = claim.is_some_and(|claim| claim.odd);
        let fresh = (!repeat && wanted).then_some(Fresh { message: first, expires_at: message.expires_at });
        answers.push(Acceptance { message: first, repeat, odd, too_late: false, fresh });
    }
    execute_rows(
        transaction,
        "INSERT INTO outbound_messages (id, account, sender, class, category, state, platform_message_id, campaign, recipient, \
         template_name, template_language, request, expires_at, due_at)",
        rows,
        "",
    )
    .await?;
    confirm(transaction, confirmed).await?;
    let revived = revive(transaction, repeated, effects).await?;
    // Only now: from the first row in the table on, whoever removes a number waits for this batch. See `configuration::removal`.
    let known =
        outgoing::known(transaction, arrivals.iter().map(|(message, _)| (message.sender, message.account))).await?;
    for (answer, (message, _)) in answers.iter_mut().zip(arrivals) {
        answer.too_late = known.removed.contains(&message.sender);
    }
    tell_accepted(transaction, arrivals, &answers, &known.listening, now, effects).await?;
    for answer in &mut answers {
        answer.fresh = answer.fresh.or_else(|| revived.get(&answer.message).copied());
    }
    turn_away(transaction, &mut answers).await?;
    Ok(answers)
}

/// Takes back what came too late for its number.
async fn turn_away(transaction: &DatabaseTransaction, answers: &mut [Acceptance]) -> Result<(), DbErr> {
    let late = answers.iter_mut().filter(|answer| answer.too_late);
    let fresh: Vec<Fresh> = late.filter_map(|answer| answer.fresh.take()).collect();
    withdraw(transaction, &fresh).await
}

/// For webhooks that want to hear of it. A message that is withdrawn after this very commit, because nobody waited any more, has
/// been told of; whoever asks again makes it true, and is not told of twice.
async fn tell_accepted(
    transaction: &DatabaseTransaction,
    arrivals: &[(&NewMessage, &Waiting)],
    answers: &[Acceptance],
    listening: &BTreeSet<AccountKey>,
    now: UnixMillis,
    effects: &mut Effects,
) -> Result<(), DbErr> {
    let fresh = arrivals.iter().zip(answers).filter(|(_, answer)| answer.fresh.is_some() && !answer.too_late);
    let told = fresh.map(|((message, _), _)| message).filter(|message| listening.contains(&message.account));
    let lines: Vec<NewEvent> = told
        .map(|message| outgoing::line((message.account, message.sender, message.id), OutgoingStep::Accepted, now))
        .collect();
    effects.logs.extend(lines.iter().map(|line| (line.account, line.kind)));
    events::append(transaction, lines, now).await
}

impl Store {
    /// The message that a request with this key would be a repeat of. None that was refused for lack of time: that answer
    /// was no yes, and the repeat would be the first.
    pub async fn accepted_before(
        &self,
        account: AccountKey,
        key: MessageKey,
        repeat_window: Duration,
    ) -> Result<Option<MessageId>, StoreError> {
        let sql = "SELECT m.id FROM message_keys AS k JOIN outbound_messages AS m ON m.id = k.message \
                   WHERE k.account = $1 AND k.id_hash = $2 AND k.content_hash = $3 \
                   AND NOT (m.state = 6 AND m.attempts = 0 AND m.failure_reason IS NULL)";
        let values = vec![account.0.into(), key.id_hash.into(), key.content_hash.to_vec().into()];
        let rows = query(self.reader(), sql, values).await;
        let read = |row: &QueryResult| row.try_get("", "id").map(MessageId);
        let found = rows.and_then(|rows| rows.first().map(read).transpose()).doing("look for an earlier request")?;
        Ok(found.filter(|message| self.now().since(message.made_at()) < repeat_window))
    }
}

/// Who holds a key.
struct Claim {
    message: MessageId,
    odd: bool,
    /// At least one of those who ask now still waits for the answer.
    wanted: bool,
}

/// Claims the keys of all arrivals; whose was taken gets the message that holds it.
async fn claim_keys(
    transaction: &DatabaseTransaction,
    arrivals: &[(&NewMessage, &Waiting)],
    repeat_window: Duration,
    now: UnixMillis,
) -> Result<HashMap<(AccountKey, MessageKey), Claim>, DbErr> {
    let mut claims: HashMap<(AccountKey, MessageKey), Claim> = HashMap::new();
    for (message, waiting) in arrivals {
        if let Some(key) = message.key {
            let claim = claims.entry((message.account, key)).or_insert(Claim {
                message: message.id,
                odd: false,
                wanted: false,
            });
            claim.wanted |= !waiting.has_left();
        }
    }
    if claims.is_empty() {
        return Ok(claims);
    }

    let mut order: Vec<_> = claims.keys().copied().collect();
    order.sort_unstable();
    let rows = order
        .iter()
        .map(|key| {
            let (account, MessageKey { id_hash, content_hash }) = *key;
            [account.0.into(), id_hash.into(), content_hash.to_vec().into(), claims[key].message.0.into()]
        })
        .collect::<Vec<[Value; 4]>>();
    let inserted = execute_rows(
        transaction,
        "INSERT INTO message_keys (account, id_hash, content_hash, message)",
        rows,
        " ON CONFLICT (account, id_hash, content_hash) DO NOTHING",
    )
    .await?;

    // Other messages with the same ids: the first ones of repeats, and the same id with something else. There are hardly
    // any, so what was just written is not read again.
    let ids = order
        .iter()
        .map(|key| [key.0.0.into(), key.1.id_hash.into(), claims[key].message.0.into()])
        .collect::<Vec<[Value; 3]>>();
    let found = query_rows(
        transaction,
        "SELECT k.account, k.id_hash, k.content_hash, k.message FROM (",
        ids,
        ") AS v CROSS JOIN message_keys AS k \
         WHERE k.account = v.column1 AND k.id_hash = v.column2 AND k.message <> v.column3",
    )
    .await?;
    let mut contents: HashMap<(AccountKey, i64), HashSet<[u8; 16]>> = HashMap::new();
    let mut outdated = Vec::new();
    for row in &found {
        let account = AccountKey(row.try_get("", "account")?);
        let id_hash: i64 = row.try_get("", "id_hash")?;
        let content: Vec<u8> = row.try_get("", "content_hash")?;
        let message = MessageId(row.try_get("", "message")?);
        let Ok(content_hash) = content.try_into() else { continue };
        contents.entry((account, id_hash)).or_default().insert(content_hash);
        let key = MessageKey { id_hash, content_hash };
        if let Some(claim) = claims.get_mut(&(account, key))
            && claim.message != message
        {
            if now.since(message.made_at()) < repeat_window {
                claim.message = message;
            } else {
                outdated.push((account, key, claim.message));
            }
        }
    }
    for ((account, key), claim) in &mut claims {
        let of_id = contents.get(&(*account, key.id_hash));
        claim.odd = of_id.is_some_and(|contents| contents.iter().any(|content| *content != key.content_hash));
    }
    for (account, key, message) in outdated {
        let values = vec![message.0.into(), account.0.into(), key.id_hash.into(), key.content_hash.to_vec().into()];
        let sql = "UPDATE message_keys SET message = $1 WHERE account = $2 AND id_hash = $3 AND content_hash = $4";
        execute(transaction, sql, values).await?;
    }
    tracing::trace!(inserted, asked = order.len(), "claimed message keys");
    Ok(claims)
}

/// A repeat of a message that was refused for lack of time asks for it again. One that an operator cancelled has a failure,
/// and stays cancelled.
async fn revive(
    transaction: &DatabaseTransaction,
    repeated: Vec<(MessageId, UnixMillis, bool)>,
    effects: &mut Effects,
) -> Result<HashMap<MessageId, Fresh>, DbErr> {
    let rows: Vec<[Value; 2]> = repeated
        .into_iter()
        .filter(|(_, _, still_waiting)| *still_waiting)
        .map(|(message, expires_at, _)| [message.0.into(), expires_at.0.into()])
        .collect();
    let revived = query_rows(
        transaction,
        "UPDATE outbound_messages SET state = 0, expires_at = v.column2 FROM (",
        rows,
        ") AS v WHERE outbound_messages.id = v.column1 AND outbound_messages.state = 6 \
         AND outbound_messages.attempts = 0 AND outbound_messages.failure_reason IS NULL RETURNING outbound_messages.id AS id, \
         outbound_messages.sender AS sender, outbound_messages.expires_at AS expires_at",
    )
    .await?;
    let mut ids = HashMap::with_capacity(revived.len());
    for row in revived {
        effects.senders.insert((SenderKey(row.try_get("", "sender")?), None));
        let message = MessageId(row.try_get("", "id")?);
        ids.insert(message, Fresh { message, expires_at: UnixMillis(row.try_get("", "expires_at")?) });
    }
    Ok(ids)
}

fn row_of(message: &NewMessage, state: SendState) -> [Value; 14] {
    let (name, language) = message.template.clone().unzip();
    let aside = message.paused && state == SendState::Queued;
    [
        message.id.0.into(),
        message.account.0.into(),
        message.sender.0.into(),
        message.category.class().code().into(),
        message.category.code().into(),
        state.code().into(),
        message.platform_message_id.clone().into(),
        message.campaign.clone().into(),
        message.recipient.as_e164().into(),
        name.into(),
        language.into(),
        message.request.clone().into(),
        message.expires_at.0.into(),
        aside.then_some(message.expires_at.0).into(),
    ]
}

/// A mark counts under the lease that it names, and under no other.
const OWNED_BY_MARK: &str = "AND EXISTS \
    (SELECT 1 FROM leases WHERE kind = 1 AND item = v.column2 AND epoch = v.column3 AND owner IS NOT NULL)";

/// Marks what may be sent, for each mark those of its messages that are its owner's to send.
///
/// A message that is marked already under the same epoch counts: the answer to an earlier try was lost. One that its owner
/// still has in memory and that was cancelled, or set aside, in the table meanwhile is not marked.
pub(super) async fn mark_sending(
    transaction: &DatabaseTransaction,
    marks: &[&Mark],
    now: UnixMillis,
) -> Result<Vec<Vec<MessageId>>, DbErr> {
    if marks.is_empty() {
        return Ok(vec![]);
    }
    let rows: Vec<[Value; 4]> = marks
        .iter()
        .flat_map(|mark| {
            mark.messages.iter().map(|id| [id.0.into(), mark.sender.0.into(), mark.epoch.into(), now.0.into()])
        })
        .collect();
    // Only under a lease that is still this owner's: its row is read and, where rows can be locked,
    // kept from changing hands until the mark is committed.
    lock_leases(transaction, marks).await?;
    let fence = if breaks(Sabotage::NoFencing) { "" } else { OWNED_BY_MARK };
    let marked = query_rows(
        transaction,
        "UPDATE outbound_messages SET state = 1, epoch = v.column3, sent_at = v.column4, due_at = NULL, \
         attempts = outbound_messages.attempts + CASE WHEN outbound_messages.state = 0 THEN 1 ELSE 0 END FROM (",
        rows,
        &format!(
            ") AS v WHERE outbound_messages.id = v.column1 \
             AND ((outbound_messages.state = 0 AND (outbound_messages.due_at IS NULL OR outbound_messages.due_at <= v.column4)) \
             OR (outbound_messages.state = 1 AND outbound_messages.epoch = v.column3)) {fence} \
             RETURNING outbound_messages.id AS id"
        ),
    )
    .await?;
    let marked: HashSet<MessageId> =
        marked.iter().map(|row| row.try_get("", "id").map(MessageId)).collect::<Result<_, _>>()?;
    Ok(marks.iter().map(|mark| mark.messages.iter().copied().filter(|id| marked.contains(id)).collect()).collect())
}

async fn lock_leases(transaction: &DatabaseTransaction, marks: &[&Mark]) -> Result<(), DbErr> {
    use sea_orm::ConnectionTrait as _;
    if transaction.get_database_backend() == DbBackend::Sqlite {
        // The whole transaction holds the writer's lock.
        return Ok(());
    }
    let senders = marks.iter().map(|mark| mark.sender.0.to_string()).collect::<Vec<_>>().join(",");
    let sql = format!("SELECT item FROM leases WHERE kind = 1 AND item IN ({senders}) ORDER BY item FOR SHARE");
    query(transaction, sql, vec![]).await.map(drop)
}

/// Ids as text: they are integers of our own, and a list of any length is one statement.
pub(crate) fn id_list(messages: &[MessageId]) -> String {
    messages.iter().map(|id| id.0.to_string()).collect::<Vec<_>>().join(",")
}

/// A value that no version of this program has written.
pub(crate) fn odd_value(column: &str) -> DbErr {
    DbErr::Custom(format!("column {column} holds a value that this version does not know"))
}
