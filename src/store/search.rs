//! Messages by what people remember of them, the newest first.
//!
//! An id is looked up by an index. For everything else there is none, because each index would cost every message a write: the
//! table is clustered by time, so it is walked backwards in slices, for a limited time, and whoever asks is told how far that
//! went and goes on from there.

use sea_orm::{DbErr, QueryResult, Value};

use super::{
    Doing, Store, StoreError, query,
    story::{MESSAGE_COLUMNS, StoredMessage, stored_message},
    walk::Slices,
};
use crate::domain::{
    failure::FailureReason,
    ids::{AccountKey, MessageId, SenderKey},
    outbound::SendState,
    price::Price,
    status::DeliveryStatus,
    time::UnixMillis,
};

/// What a message is to be like; what is not named fits everything.
#[derive(Clone, Debug, Default)]
pub struct MessageSearch {
    pub account: Option<AccountKey>,
    pub sender: Option<SenderKey>,
    pub any_of: AnyOf,
    pub campaign: Option<String>,
    pub template: Option<String>,
    pub state: Option<SendState>,
    /// Any state but this.
    pub without: Option<SendState>,
    pub delivery: Option<DeliveryStatus>,
    /// It came so far, whatever became of it later.
    pub reached: Option<DeliveryStatus>,
    pub stage: Option<Stage>,
    /// The provider's.
    pub failure_code: Option<i64>,
    /// The provider gave none.
    pub without_code: bool,
    /// With a code: what failed for one of these reasons is meant, too.
    pub or_reasons: Vec<FailureReason>,
    /// Why it failed.
    pub failure_reason: Option<FailureReason>,
    /// Accepted from here on …
    pub since: Option<UnixMillis>,
    /// … and before this.
    pub until: Option<UnixMillis>,
    /// Last handed to the provider from here on …
    pub sent_since: Option<UnixMillis>,
    /// … and before this.
    pub sent_until: Option<UnixMillis>,
    /// The recipient's number begins so: a plus sign and a country's calling code.
    pub calling_code: Option<String>,
    /// One of these prices; none of them: any, or none yet.
    pub prices: Vec<Price>,
    /// Only older ones than this: the next page.
    pub before: Option<MessageId>,
}

/// What neither the state nor the delivery says alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// WhatsApp took it, and nothing was heard of it since.
    Silent,
    /// Not finished, or nobody knows; and not reported as failed.
    Open,
    FailedAfterSent,
    /// Waits, and may leave now.
    InQueue,
    /// Waits for a later time, whatever it is for.
    Later,
    /// Waits for another try, or for somebody.
    Retry,
    /// Set aside by a rule.
    Paused,
    /// Waits for a place within the messaging limit.
    BeyondLimit,
    /// Nobody knows whether it went out, and a sign of it may still come.
    AwaitsEvidence,
}

impl Stage {
    pub const ALL: [Self; 9] = [
        Self::Silent,
        Self::Open,
        Self::FailedAfterSent,
        Self::InQueue,
        Self::Later,
        Self::Retry,
        Self::Paused,
        Self::BeyondLimit,
        Self::AwaitsEvidence,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Open => "open",
            Self::FailedAfterSent => "failed-after-sent",
            Self::InQueue => "in-queue",
            Self::Later => "waiting-later",
            Self::Retry => "waiting-retry",
            Self::Paused => "paused",
            Self::BeyondLimit => "beyond-limit",
            Self::AwaitsEvidence => "awaits-evidence",
        }
    }

    /// What is asked of a row of [`SEARCHED_COLUMNS`].
    const fn condition(self) -> &'static str {
        match self {
            Self::Silent => "state NOT IN (0, 1, 4, 6) AND delivery IS NULL",
            Self::Open => "state IN (0, 1, 4) AND (delivery IS NULL OR delivery <> 2)",
            Self::FailedAfterSent => {
                "state = 2 AND delivery = 2 AND EXISTS (SELECT 1 FROM events AS e WHERE e.message = page.id AND e.status = 1 \
                 AND e.place > COALESCE(page.resent_after, 0))"
            }
            Self::InQueue => "state = 0 AND due_at IS NULL",
            Self::Later => "state = 0 AND due_at IS NOT NULL",
            Self::Retry => "state = 0 AND due_at IS NOT NULL AND due_at <> expires_at AND due_at <> expires_at - 1",
            Self::Paused => "state = 0 AND due_at = expires_at",
            Self::BeyondLimit => "state = 0 AND due_at = expires_at - 1",
            Self::AwaitsEvidence => "state = 4 AND due_at IS NOT NULL",
        }
    }
}

/// What one box was given: of what is named one is enough.
#[derive(Clone, Debug, Default)]
pub struct AnyOf {
    /// A whole number with its `+`, or the end of one without.
    pub recipient: Option<String>,
    pub platform_message_id: Option<String>,
    pub campaign: Option<String>,
}

/// Some messages, and how to go on.
#[derive(Clone, Debug, Default)]
pub struct FoundMessages {
    /// The newest first.
    pub messages: Vec<StoredMessage>,
    /// Older ones may be found by going on before this one; `None` after the oldest.
    pub next: Option<MessageId>,
}

/// A slice has at most so many messages.
const SLICE_MESSAGES_MAX: usize = 16_000;

impl Store {
    /// At most `limit` messages, looked for in as many slices as there is time for; one at least.
    pub async fn search_messages(&self, search: &MessageSearch, limit: usize) -> Result<FoundMessages, StoreError> {
        let doing = "search for messages";
        let first = search.since.map_or(0, |since| MessageId::first_at(since).0);
        let until = search.until.map_or(i64::MAX, |until| MessageId::first_at(until).0);
        let mut before = search.before.map_or(until, |before| until.min(before.0));
        let mut found = FoundMessages::default();
        let mut slices = Slices::up_to(SLICE_MESSAGES_MAX);
        loop {
            let wanted = limit - found.messages.len();
            let slice = self.slice(search, (first, before), slices.rows(), wanted).await.doing(doing)?;
            found.messages.extend(slice.messages);
            let Some(next) = slice.next else { return Ok(FoundMessages { next: None, ..found }) };
            if found.messages.len() >= limit || slices.time_is_up() {
                return Ok(FoundMessages { next: Some(next), ..found });
            }
            before = next.0;
            slices.next();
        }
    }

    /// The newest `looked_at_max` messages of a range of ids.
    async fn slice(
        &self,
        search: &MessageSearch,
        (first, before): (i64, i64),
        looked_at_max: usize,
        limit: usize,
    ) -> Result<FoundMessages, DbErr> {
        let (only, mut more) = conditions(search);
        let mut values: Vec<Value> = vec![first.into(), before.into()];
        values.append(&mut more);
        // Requests are long, so they are read of those that fit alone. One more than are wanted tells whether there is one more.
        let sql = format!(
            "SELECT {MESSAGE_COLUMNS} FROM (SELECT id AS found FROM (SELECT id, {SEARCHED_COLUMNS} FROM outbound_messages \
             WHERE id >= $1 AND id < $2 ORDER BY id DESC LIMIT {looked_at_max}) AS page WHERE true{only} \
             ORDER BY id DESC LIMIT {}) AS fitting CROSS JOIN outbound_messages WHERE id = found ORDER BY id DESC",
            limit + 1
        );
        let rows = query(self.reader(), sql, values).await?;
        let mut messages: Vec<StoredMessage> = rows.iter().map(stored_message).collect::<Result<_, _>>()?;
        if messages.len() > limit {
            messages.truncate(limit);
            let next = messages.last().map(|last| last.id);
            return Ok(FoundMessages { messages, next });
        }
        // Where the slice ended, whether anything in it fitted or not.
        let sql = format!(
            "SELECT COUNT(*) AS messages, MIN(id) AS oldest FROM (SELECT id FROM outbound_messages \
             WHERE id >= $1 AND id < $2 ORDER BY id DESC LIMIT {looked_at_max}) AS page"
        );
        let rows = query(self.reader(), sql, vec![first.into(), before.into()]).await?;
        let read = |row: &QueryResult| -> Result<(i64, Option<i64>), DbErr> {
            Ok((row.try_get("", "messages")?, row.try_get("", "oldest")?))
        };
        let (looked_at, oldest) = rows.first().map_or(Ok((0, None)), read)?;
        let is_whole = usize::try_from(looked_at).unwrap_or(0) >= looked_at_max;
        Ok(FoundMessages { messages, next: oldest.filter(|_| is_whole).map(MessageId) })
    }
}

/// What [`conditions`] asks of.
const SEARCHED_COLUMNS: &str = "account, sender, recipient, platform_message_id, campaign, template_name, state, delivery, \
                                failure_code, failure_reason, sent_at, price, due_at, expires_at, resent_after";

/// What is asked of a message, from the third parameter on.
fn conditions(search: &MessageSearch) -> (String, Vec<Value>) {
    let mut values: Vec<Value> = Vec::new();
    let mut only = String::new();
    let mut also = |condition: &str, value: Option<Value>| {
        if let Some(value) = value {
            values.push(value);
            only.push_str(&format!(" AND ({condition} ${})", values.len() + 2));
        }
    };
    also("account =", search.account.map(|account| account.0.into()));
    also("sender =", search.sender.map(|sender| sender.0.into()));
    also("campaign =", search.campaign.clone().map(Into::into));
    also("template_name =", search.template.clone().map(Into::into));
    also("state =", search.state.map(|state| state.code().into()));
    also("state <>", search.without.map(|state| state.code().into()));
    also("delivery =", search.delivery.map(|delivery| delivery.code().into()));
    // What is tried again has a reason too, and may yet arrive.
    let failed = DeliveryStatus::Failed.code();
    let reasons: Vec<String> = search.or_reasons.iter().map(|reason| reason.code().to_string()).collect();
    let or_reasons = format!("(delivery = {failed} AND failure_reason IN ({}))", reasons.join(", "));
    let of_code =
        if reasons.is_empty() { "failure_code =".to_owned() } else { format!("{or_reasons} OR failure_code =") };
    also(&of_code, search.failure_code.map(Into::into));
    also(
        &format!("delivery = {failed} AND failure_reason ="),
        search.failure_reason.map(|reason| reason.code().into()),
    );
    also("sent_at >=", search.sent_since.map(|since| since.0.into()));
    also("sent_at <", search.sent_until.map(|until| until.0.into()));
    // A sign and digits only, so nothing in it means anything to LIKE.
    also("recipient LIKE", search.calling_code.as_ref().map(|code| format!("{code}%").into()));
    only.extend(search.reached.map(has_reached));
    only.extend(search.stage.map(|stage| format!(" AND ({})", stage.condition())));
    if search.without_code {
        only.push_str(" AND failure_code IS NULL");
    }
    if !search.prices.is_empty() {
        let codes: Vec<String> = search.prices.iter().map(|price| price.code().to_string()).collect();
        only.push_str(&format!(" AND price IN ({})", codes.join(", ")));
    }
    only.extend(any_of(&search.any_of, &mut values));
    (only, values)
}

fn any_of(wanted: &AnyOf, values: &mut Vec<Value>) -> Option<String> {
    let AnyOf { recipient, platform_message_id, campaign } = wanted;
    let recipient = recipient.as_deref().map(|recipient| match recipient.starts_with('+') {
        true => ("recipient =", recipient.to_owned()),
        // Digits only, so nothing in it means anything to LIKE.
        false => ("recipient LIKE", format!("%{recipient}")),
    });
    let id = platform_message_id.clone().map(|id| ("platform_message_id =", id));
    let campaign = campaign.clone().map(|campaign| ("campaign =", campaign));
    let each = recipient.into_iter().chain(id).chain(campaign).map(|(condition, value)| {
        values.push(value.into());
        format!("{condition} ${}", values.len() + 2)
    });
    let each: Vec<String> = each.collect();
    (!each.is_empty()).then(|| format!(" AND ({})", each.join(" OR ")))
}

/// Later steps imply earlier ones. One that failed is asked for its reports, because it may have been sent before.
fn has_reached(step: DeliveryStatus) -> String {
    let codes =
        DeliveryStatus::WAY.into_iter().filter(|status| *status >= step).map(|status| status.code().to_string());
    let (codes, failed, step) = (codes.collect::<Vec<_>>().join(", "), DeliveryStatus::Failed.code(), step.code());
    format!(
        " AND (delivery IN ({codes}) OR (delivery = {failed} AND EXISTS (SELECT 1 FROM events AS e \
         WHERE e.message = page.id AND e.status = {step})))"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock,
        store::{execute, testing::on_each_database, walk::SLICE_ROWS},
    };

    fn of_recipient(number: &str) -> MessageSearch {
        let any_of = AnyOf { recipient: Some(number.to_owned()), ..AnyOf::default() };
        MessageSearch { any_of, ..MessageSearch::default() }
    }

    /// Messages of one number, a second apart, the last of them now.
    async fn fill(store: &Store, count: i64) {
        let newest = clock::now().0;
        let transaction = store.begin().await.expect("it begins");
        for chunk in (0..count).collect::<Vec<_>>().chunks(500) {
            let rows = chunk.iter().map(|number| {
                let id = MessageId::first_at(UnixMillis(newest - (count - number) * 1_000)).0;
                format!("({id},1,1,1,2,5,'m{number}','+9198{number:08}','{{}}',{newest})")
            });
            let sql = format!(
                "INSERT INTO outbound_messages (id, account, sender, class, category, state, platform_message_id, recipient, \
                 request, expires_at) VALUES {}",
                rows.collect::<Vec<_>>().join(",")
            );
            execute(&transaction, sql, vec![]).await.expect("they fit");
        }
        transaction.commit().await.expect("they are kept");
    }

    #[tokio::test]
    async fn a_walk_goes_on_from_where_it_ended_and_finds_what_lies_slices_back() {
        on_each_database(async |store| {
            let count = i64::try_from(SLICE_ROWS + SLICE_MESSAGES_MAX).expect("it is small");
            fill(&store, count).await;
            let oldest = of_recipient("+919800000000");
            let mut search = oldest.clone();
            let mut pages = 0;

            let mut found = Vec::new();
            loop {
                let page = store.search_messages(&search, 10).await.expect("it can be searched");
                pages += 1;
                found.extend(page.messages);
                let Some(next) = page.next else { break };
                assert!(search.before.is_none_or(|before| next < before), "each page goes further back");
                search.before = Some(next);
                assert!(pages < 100, "and it comes to an end");
            }

            assert_eq!(found.iter().map(|message| message.platform_message_id.as_str()).collect::<Vec<_>>(), ["m0"]);
            let everything = store.search_messages(&MessageSearch::default(), 10).await.expect("it can be searched");
            assert_eq!(everything.messages.len(), 10);
            assert_eq!(everything.next, everything.messages.last().map(|last| last.id));
        })
        .await;
    }

    #[tokio::test]
    async fn how_far_a_message_came_is_not_how_it_stands() {
        on_each_database(async |store| {
            fill(&store, 6).await;
            let ways: [(&str, Option<i16>, &[i16]); 6] = [
                ("m0", None, &[]),
                ("m1", Some(1), &[1]),
                ("m2", Some(3), &[1, 3]),
                ("m3", Some(4), &[4]),
                ("m4", Some(2), &[2]),
                ("m5", Some(2), &[1, 2]),
            ];
            let transaction = store.begin().await.expect("it begins");
            for (place, (name, delivery, reports)) in (0..).zip(ways) {
                let Some(delivery) = delivery else { continue };
                let sql =
                    format!("UPDATE outbound_messages SET delivery = {delivery} WHERE platform_message_id = '{name}'");
                execute(&transaction, sql, vec![]).await.expect("it is written");
                for report in reports {
                    let sql = format!(
                        "INSERT INTO events (account, place, kind, sender, message, status, occurred_at, recorded_at) \
                         SELECT 1, {place} * 10 + {report}, 1, 1, id, {report}, 0, 0 FROM outbound_messages \
                         WHERE platform_message_id = '{name}'"
                    );
                    execute(&transaction, sql, vec![]).await.expect("it is written");
                }
            }
            transaction.commit().await.expect("they are kept");

            let found = async |reached| {
                let search = MessageSearch { reached: Some(reached), ..MessageSearch::default() };
                let found = store.search_messages(&search, 10).await.expect("it can be searched");
                found.messages.into_iter().map(|message| message.platform_message_id).collect::<Vec<_>>()
            };
            assert_eq!(found(DeliveryStatus::Sent).await, ["m5", "m3", "m2", "m1"]);
            assert_eq!(found(DeliveryStatus::Delivered).await, ["m3", "m2"]);
            assert_eq!(found(DeliveryStatus::Read).await, ["m3"]);
        })
        .await;
    }
}
