//! The messages that a batch touches, in memory: each is read once, moved by whatever the batch says of it, and written once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::{DbBackend, DbErr, QueryResult, Value};

use super::{DatabaseTransaction, Ingest, failure, failure_values};
use crate::{
    domain::{
        attempt::{Attempt, AttemptOutcome},
        callback::{EventKind, OutgoingStep},
        ids::{AccountKey, MessageId, SenderKey},
        outbound::SendState,
        price::Price,
        progress::{Finding, KnownTemplate, News, Progress},
        status::{DeliveryStatus, StatusUpdate},
        suppression::verdict_on_person,
        time::UnixMillis,
    },
    store::{
        events::NewEvent,
        execute_rows, forget,
        outbound::{SendAttempt, Settlement, odd_value, provider_id_hash},
        outgoing,
        preferences::Unwelcome,
        query_rows,
        send_exchanges::{self, Taken},
    },
    telemetry,
};

/// The messages that a batch touches.
pub(super) struct Working {
    messages: HashMap<MessageId, Touched>,
    pub(super) news: Vec<NewEvent>,
    /// Tries that did not end with the provider taking the message.
    attempts: Vec<[Value; 7]>,
    /// What was said in them, where that is kept.
    exchanges: Vec<[Value; 8]>,
    /// Messages of which it was not known what they are.
    known_templates: Vec<[Value; 6]>,
    /// Numbers that have something to send again.
    pub(super) queued_again: BTreeSet<SenderKey>,
    /// Ids of messages beside those that their providers first gave.
    other_ids: Vec<(SenderKey, String, MessageId)>,
    /// Refusals that tell something about the recipient.
    pub(super) unwelcome: Vec<Unwelcome>,
}

struct Touched {
    account: AccountKey,
    sender: SenderKey,
    before: Progress,
    now: Progress,
    /// Sends before that of an operator: the provider's id, and the best news of it then.
    earlier: Vec<(String, Option<DeliveryStatus>)>,
    /// The person was forgotten: what comes is told, and nothing of it is kept that says who it was.
    erased: bool,
    /// A webhook wants to hear how far it comes.
    heard: bool,
    /// What was said when the provider took it.
    taken: Option<Taken>,
}

impl Touched {
    /// Applies a report, of the last send or of an earlier one. Also says whether it is the first evidence that the provider took
    /// the last one: a report may overtake the answer to its send.
    fn report(&mut self, update: &StatusUpdate) -> (bool, Vec<News>) {
        let id = &update.provider_message_id;
        let is_current = self.now.provider_message_id.as_ref() == Some(id);
        match self.earlier.iter().find(|(earlier, _)| earlier == id) {
            Some((_, before)) if !is_current => (false, self.now.report_of_earlier(*before, update)),
            Some(_) | None => (self.now.state != SendState::Submitted, self.now.report(update)),
        }
    }

    /// Whether a report that echoes our id calls the message otherwise than the answer to its send did. Learned from the first
    /// report of a message: the others say the same.
    fn goes_by_another_id(&self, update: &StatusUpdate) -> bool {
        let id = &update.provider_message_id;
        let current = self.now.provider_message_id.as_ref();
        self.before.delivery.is_none()
            && !self.erased
            && current.is_some_and(|current| current != id)
            && self.earlier.iter().all(|(earlier, _)| earlier != id)
    }

    /// A report was faster than the answer to the send: how it went is known, and what was said is still to be kept.
    fn keep_overtaken_answer(&mut self, settlement: &Settlement) {
        if let Finding::Submitted { provider_message_id } = &settlement.finding
            && let Some(SendAttempt { attempt, said }) = &settlement.attempt
            && self.now.provider_message_id.as_ref() == Some(provider_message_id)
            && !self.erased
        {
            self.now.took_ms = took_ms(attempt);
            self.taken = said.taken.clone();
        }
    }

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
     took_ms, failure_reason, failure_code, failure_text, price, resent_after";

impl Working {
    pub(super) async fn load(
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
        let head = format!(
            "SELECT {PROGRESS_COLUMNS}, recipient = '{}' AS erased, {} AS heard FROM (",
            forget::NOBODY,
            outgoing::IS_HEARD
        );
        let mut sent_again: Vec<[Value; 1]> = Vec::new();
        for row in query_rows(transaction, &head, rows, tail).await? {
            let progress = progress(&row)?;
            let id = MessageId(row.try_get("", "id")?);
            if row.try_get::<Option<i64>>("", "resent_after")?.is_some() {
                sent_again.push([id.0.into()]);
            }
            messages.insert(
                id,
                Touched {
                    account: AccountKey(row.try_get("", "account")?),
                    sender: SenderKey(row.try_get("", "sender")?),
                    before: progress.clone(),
                    now: progress,
                    earlier: vec![],
                    erased: row.try_get("", "erased")?,
                    heard: row.try_get("", "heard")?,
                    taken: None,
                },
            );
        }
        load_earlier(transaction, &mut messages, sent_again).await?;
        Ok(Self {
            messages,
            news: vec![],
            attempts: vec![],
            exchanges: vec![],
            known_templates: vec![],
            queued_again: BTreeSet::new(),
            other_ids: vec![],
            unwelcome: vec![],
        })
    }

    /// Applies a finding. `false` when it comes too late.
    pub(super) fn settle(&mut self, settlement: &Settlement, now: UnixMillis) -> bool {
        let Some(touched) = self.messages.get_mut(&settlement.message) else { return false };
        let attempt_number = touched.now.attempts;
        let Some(mut news) = touched.now.apply(&settlement.finding, settlement.epoch, now) else {
            touched.keep_overtaken_answer(settlement);
            tracing::debug!(
                message.id = %settlement.message,
                "what our own work found out about {} counts no more: it was reported or settled before",
                settlement.message
            );
            return false;
        };
        if let Some(SendAttempt { attempt, said }) = &settlement.attempt {
            if !touched.erased {
                let number = attempt_number.max(1);
                let rows = said.exchanges.iter().map(|said| send_exchanges::row(settlement.message, number, said));
                self.exchanges.extend(rows);
                touched.taken = said.taken.clone();
            }
            touched.now.took_ms = took_ms(attempt);
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
        if let Finding::TemplateKnown(template) = &settlement.finding {
            self.known_templates.push(known_template_row(settlement.message, template));
        }
        if touched.now.state == SendState::Queued {
            self.queued_again.insert(touched.sender);
        }
        touched.forget_again(&mut news);
        let (account, sender) = (touched.account, touched.sender);
        // It counts, so nothing said so before.
        if matches!(settlement.finding, Finding::Submitted { .. }) {
            self.tell_taken(settlement.message, now);
        }
        self.note_unwelcome(settlement.message, &news);
        self.tell(account, sender, settlement.message, news);
        true
    }

    /// For webhooks that want to hear of it.
    fn tell_taken(&mut self, message: MessageId, at: UnixMillis) {
        let Some(touched) = self.messages.get(&message).filter(|touched| touched.heard) else { return };
        let which = (touched.account, touched.sender, message);
        self.news.push(outgoing::line(which, OutgoingStep::Taken, at));
    }

    /// Applies a report. `false` when it is about no message that we know.
    pub(super) fn report(&mut self, sender: SenderKey, update: &StatusUpdate, known: Option<MessageId>) -> bool {
        // Somebody else's system may send from the same number with ids that look like ours.
        let Some((id, touched)) = update.message.or(known).and_then(|id| {
            let touched = self.messages.get_mut(&id).filter(|touched| touched.sender == sender)?;
            Some((id, touched))
        }) else {
            return false;
        };
        if update.message.is_some() && touched.goes_by_another_id(update) {
            self.other_ids.push((sender, update.provider_message_id.clone(), id));
        }
        let (is_taken, mut news) = touched.report(update);
        touched.forget_again(&mut news);
        let account = touched.account;
        if is_taken {
            self.tell_taken(id, update.occurred_at);
        }
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
            tapped: None,
            entry: news.entry,
        }));
    }

    /// Providers' ids that this batch learned: number, id, message.
    pub(super) fn new_provider_ids(&self) -> Vec<(SenderKey, String, MessageId)> {
        let learned =
            self.messages.iter().filter(|(_, touched)| touched.before.provider_message_id.is_none() && !touched.erased);
        learned
            .filter_map(|(id, touched)| Some((touched.sender, touched.now.provider_message_id.clone()?, *id)))
            .chain(self.other_ids.iter().cloned())
            .collect()
    }

    pub(super) async fn write(&self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        let ids: Vec<[Value; 2]> = self
            .new_provider_ids()
            .into_iter()
            .map(|(sender, provider_id, message)| (provider_id_hash(sender, &provider_id), message))
            // The same id twice in one statement would be refused.
            .collect::<BTreeMap<_, _>>()
            .into_iter()
            .map(|(hash, message)| [hash.into(), message.0.into()])
            .collect();
        execute_rows(
            transaction,
            "INSERT INTO provider_ids (hash, message)",
            ids,
            " ON CONFLICT (hash) DO UPDATE SET message = excluded.message",
        )
        .await?;
        let others: BTreeSet<(MessageId, Vec<u8>)> =
            self.other_ids.iter().map(|(sender, id, message)| (*message, provider_id_hash(*sender, id))).collect();
        let others: Vec<[Value; 2]> =
            others.into_iter().map(|(message, hash)| [message.0.into(), hash.into()]).collect();
        execute_rows(
            transaction,
            "INSERT INTO other_provider_ids (message, hash)",
            others,
            " ON CONFLICT (message, hash) DO NOTHING",
        )
        .await?;

        let changed = |touched: &Touched| touched.before != touched.now || touched.taken.is_some();
        let mut moved: Vec<_> = self.messages.iter().filter(|(_, touched)| changed(touched)).collect();
        moved.sort_unstable_by_key(|(id, _)| **id);
        let rows =
            moved.into_iter().map(|(id, touched)| progress_row(*id, &touched.now, touched.taken.as_ref())).collect();
        execute_rows(
            transaction,
            "UPDATE outbound_messages SET state = v.column2, delivery = v.column3, provider_message_id = v.column4, \
             due_at = v.column5, epoch = v.column6, attempts = v.column7, took_ms = v.column8, \
             failure_reason = v.column9, failure_code = v.column10, failure_text = v.column11, price = v.column12, \
             request_hash = COALESCE(v.column13, outbound_messages.request_hash), \
             answer = COALESCE(v.column14, outbound_messages.answer) FROM (",
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
        .await?;
        send_exchanges::insert(transaction, self.exchanges.clone()).await?;
        execute_rows(
            transaction,
            "UPDATE outbound_messages SET class = v.column2, category = v.column3, template_name = v.column4, \
             template_language = v.column5, expires_at = v.column6 FROM (",
            self.known_templates.clone(),
            ") AS v WHERE outbound_messages.id = v.column1",
        )
        .await
        .map(drop)
    }
}

fn took_ms(attempt: &Attempt) -> Option<i32> {
    i32::try_from(attempt.took.as_millis()).ok()
}

/// Hardly any batch has a message that an operator sent again; the others ask nothing here.
async fn load_earlier(
    transaction: &DatabaseTransaction,
    messages: &mut HashMap<MessageId, Touched>,
    sent_again: Vec<[Value; 1]>,
) -> Result<(), DbErr> {
    let rows = query_rows(
        transaction,
        "SELECT s.message, s.provider_message_id, s.delivery FROM (",
        sent_again,
        ") AS v CROSS JOIN earlier_sends AS s WHERE s.message = v.column1 AND s.provider_message_id IS NOT NULL",
    )
    .await?;
    for row in &rows {
        let delivery: Option<i16> = row.try_get("", "delivery")?;
        if let Some(touched) = messages.get_mut(&MessageId(row.try_get("", "message")?)) {
            let id = row.try_get("", "provider_message_id")?;
            touched.earlier.push((id, delivery.and_then(DeliveryStatus::from_code)));
        }
    }
    Ok(())
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
        price: row.try_get::<Option<i16>>("", "price")?.and_then(Price::from_code),
    })
}

fn known_template_row(id: MessageId, template: &KnownTemplate) -> [Value; 6] {
    let KnownTemplate { name, language, category, expires_at } = template;
    [
        id.0.into(),
        category.class().code().into(),
        category.code().into(),
        name.clone().into(),
        language.clone().into(),
        expires_at.0.into(),
    ]
}

fn progress_row(id: MessageId, progress: &Progress, taken: Option<&Taken>) -> [Value; 14] {
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
        progress.price.map(Price::code).into(),
        taken.map(|taken| taken.request_hash).into(),
        taken.map(|taken| taken.answer.clone()).into(),
    ]
}
