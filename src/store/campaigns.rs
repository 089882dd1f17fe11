//! What campaigns have come to, counted by walking back through their time.
//!
//! No index knows a campaign and no counter is written for it: each would cost every message of a million a write. The table is
//! clustered by time, so it is walked in slices, as a search is; the database counts within a slice, and a few rows come back.

use sea_orm::{DbErr, QueryResult, Value};

use super::{Doing, Store, StoreError, outbound::odd_value, query};
use crate::domain::{
    campaign::Replies,
    failure::FailureReason,
    ids::{AccountKey, MessageId},
    outbound::SendState,
    price::COUNTRY_DIGITS,
    status::DeliveryStatus,
    time::UnixMillis,
};

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CampaignSpan {
    pub account: Option<AccountKey>,
    /// Only this one, with replies, the provider's words, and when its messages were sent.
    pub campaign: Option<String>,
    /// Accepted from here on …
    pub since: UnixMillis,
    /// … and before this one.
    pub before: MessageId,
}

/// Why a message has not been handed over yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Waits {
    InQueue,
    /// For a retry, or for somebody.
    Later,
    /// Set aside until it expires.
    Paused,
    /// For a place within the messaging limit.
    BeyondLimit,
}

/// Messages of a campaign that stand alike.
#[derive(Clone, Debug)]
pub struct CampaignCount {
    pub account: AccountKey,
    pub campaign: String,
    pub state: SendState,
    /// The best news of them.
    pub delivery: Option<DeliveryStatus>,
    pub waits: Option<Waits>,
    /// The first and the last of their templates by name; freeform messages have none.
    pub templates: Option<(String, String)>,
    /// They failed after WhatsApp had sent them.
    pub failed_after_sent: bool,
    pub failure_reason: Option<FailureReason>,
    /// Of one campaign only: the provider's code, and what it said of one of them.
    pub failure_code: Option<i64>,
    pub failure_text: Option<String>,
    pub messages: u64,
    /// Of one campaign only.
    pub replies: Replies,
    pub first: MessageId,
    pub last: MessageId,
}

/// One slice of the walk.
#[derive(Clone, Debug, Default)]
pub struct CampaignSlice {
    pub counts: Vec<CampaignCount>,
    /// Of one campaign: seconds since the epoch, and how many messages left in each that the provider took.
    pub sent_by_second: Vec<(i64, u64)>,
    /// Of one campaign: by the first digits of the recipient's number and the price's code.
    pub prices: Vec<(String, i16, u64)>,
    pub looked_at: u64,
    /// Where the next slice ends; `None` when everything was seen.
    pub next: Option<MessageId>,
}

impl Store {
    /// Counts the newest `looked_at_max` messages of a span.
    pub async fn campaign_slice(&self, span: &CampaignSpan, looked_at_max: usize) -> Result<CampaignSlice, StoreError> {
        let doing = "count the messages of campaigns";
        let first = MessageId::first_at(span.since).0;
        let range: Vec<Value> = vec![first.into(), span.before.0.into()];
        // Where the slice ends, whether anything in it belongs to a campaign or not.
        let sql = format!(
            "SELECT COUNT(*) AS messages, MIN(id) AS oldest FROM (SELECT id FROM outbound_messages \
             WHERE id >= $1 AND id < $2 ORDER BY id DESC LIMIT {looked_at_max}) AS page"
        );
        let rows = query(self.reader(), sql, range).await.doing(doing)?;
        let read = |row: &QueryResult| -> Result<(i64, Option<i64>), DbErr> {
            Ok((row.try_get("", "messages")?, row.try_get("", "oldest")?))
        };
        let (looked_at, oldest) = rows.first().map_or(Ok((0, None)), read).doing(doing)?;
        let Some(oldest) = oldest else { return Ok(CampaignSlice::default()) };
        let is_whole = usize::try_from(looked_at).unwrap_or(0) >= looked_at_max;

        let mut values: Vec<Value> = vec![oldest.into(), span.before.0.into()];
        let mut only = String::new();
        if let Some(account) = span.account {
            values.push(account.0.into());
            only.push_str(&format!(" AND account = ${}", values.len()));
        }
        if let Some(campaign) = &span.campaign {
            values.push(campaign.as_str().into());
            only.push_str(&format!(" AND campaign = ${}", values.len()));
        }
        let rows = query(self.reader(), counting(span.campaign.is_some(), &only), values.clone()).await;
        let counts = rows.and_then(|rows| rows.iter().map(campaign_count).collect()).doing(doing)?;
        let prices = match &span.campaign {
            Some(_) => self.prices(&only, values.clone()).await.doing(doing)?,
            None => vec![],
        };
        let sent_by_second = match &span.campaign {
            Some(_) => {
                let sql = format!(
                    "SELECT sent_at / 1000 AS second, COUNT(*) AS messages FROM outbound_messages \
                     WHERE id >= $1 AND id < $2 AND state = 2 AND sent_at IS NOT NULL{only} GROUP BY sent_at / 1000"
                );
                let rows = query(self.reader(), sql, values).await;
                let read = |row: &QueryResult| Ok((row.try_get("", "second")?, count(row, "messages")?));
                rows.and_then(|rows| rows.iter().map(read).collect()).doing(doing)?
            }
            None => vec![],
        };
        let next = is_whole.then_some(MessageId(oldest));
        Ok(CampaignSlice { counts, sent_by_second, prices, looked_at: u64::try_from(looked_at).unwrap_or(0), next })
    }

    /// What the messages of a campaign cost, by the beginning of the recipient's number.
    async fn prices(&self, only: &str, values: Vec<Value>) -> Result<Vec<(String, i16, u64)>, DbErr> {
        // Behind the plus.
        let prefix = format!("SUBSTR(recipient, 2, {COUNTRY_DIGITS})");
        let sql = format!(
            "SELECT {prefix} AS prefix, price, COUNT(*) AS messages FROM outbound_messages \
             WHERE id >= $1 AND id < $2 AND price IS NOT NULL{only} GROUP BY {prefix}, price"
        );
        let rows = query(self.reader(), sql, values).await?;
        let read =
            |row: &QueryResult| Ok((row.try_get("", "prefix")?, row.try_get("", "price")?, count(row, "messages")?));
        rows.iter().map(read).collect()
    }
}

/// The statement that counts; `in_detail` asks also for what costs a look into the log for each message.
fn counting(in_detail: bool, only: &str) -> String {
    let (detail, also) = if in_detail {
        (packed_replies(), "failure_code, MIN(failure_text) AS failure_text")
    } else {
        ("CAST(0 AS BIGINT)".to_owned(), "CAST(NULL AS BIGINT) AS failure_code, CAST(NULL AS TEXT) AS failure_text")
    };
    let by_code = if in_detail { ", failure_code" } else { "" };
    // Only a failure hides whether it was sent before: all other news tell that by themselves.
    format!(
        "SELECT account, campaign, state, delivery, waits, failed_after_sent, failure_reason, {also}, COUNT(*) AS messages, \
         replies, MIN(id) AS first, MAX(id) AS last, MIN(template_name) AS first_template, \
         MAX(template_name) AS last_template FROM (SELECT id, template_name, account, campaign, state, delivery, \
         CASE WHEN state <> 0 THEN 0 WHEN due_at IS NULL THEN 1 WHEN due_at = expires_at THEN 3 \
         WHEN due_at = expires_at - 1 THEN 4 ELSE 2 END AS waits, \
         CASE WHEN delivery = 2 AND state = 2 AND EXISTS (SELECT 1 FROM events AS e WHERE e.message = m.id AND e.status = 1 \
         AND e.place > COALESCE(m.resent_after, 0)) THEN 1 ELSE 0 END AS failed_after_sent, \
         CASE WHEN delivery = 2 THEN failure_reason END AS failure_reason, \
         CASE WHEN delivery = 2 THEN failure_code END AS failure_code, \
         CASE WHEN delivery = 2 THEN failure_text END AS failure_text, {detail} AS replies \
         FROM outbound_messages AS m WHERE id >= $1 AND id < $2 AND campaign IS NOT NULL{only}) AS told \
         GROUP BY account, campaign, state, delivery, waits, failed_after_sent, failure_reason, replies{by_code}"
    )
}

/// Three counts of the answers to one message are read in one look into the log: those told apart as no taps, so many times this the
/// taps, and this many times again those that nobody told apart.
const REPLIES_UNIT: i64 = 1 << 20;

fn packed_replies() -> String {
    let unsorted = REPLIES_UNIT * REPLIES_UNIT;
    format!(
        "(SELECT CAST(COALESCE(SUM(CASE WHEN e.tapped IS NULL THEN {unsorted} WHEN e.tapped = 1 THEN {REPLIES_UNIT} ELSE 1 END), 0) \
         AS BIGINT) FROM events AS e WHERE e.message = m.id AND e.kind = 2)"
    )
}

/// Of so many messages that were answered alike.
fn unpacked_replies(packed: i64, messages: u64) -> Replies {
    let part = |place: u32| {
        let count = packed / REPLIES_UNIT.pow(place) % REPLIES_UNIT;
        u64::try_from(count).unwrap_or(0) * messages
    };
    let (others, taps, unsorted) = (part(0), part(1), part(2));
    Replies { all: others + taps + unsorted, taps, unsorted }
}

fn count(row: &QueryResult, column: &str) -> Result<u64, DbErr> {
    row.try_get::<i64>("", column).map(|count| u64::try_from(count).unwrap_or(0))
}

fn campaign_count(row: &QueryResult) -> Result<CampaignCount, DbErr> {
    let small = |column| row.try_get::<Option<i16>>("", column);
    let template = |column| row.try_get::<Option<String>>("", column);
    let waits = match row.try_get::<i32>("", "waits")? {
        1 => Some(Waits::InQueue),
        2 => Some(Waits::Later),
        3 => Some(Waits::Paused),
        4 => Some(Waits::BeyondLimit),
        _ => None,
    };
    let messages = count(row, "messages")?;
    Ok(CampaignCount {
        account: AccountKey(row.try_get("", "account")?),
        campaign: row.try_get("", "campaign")?,
        state: SendState::from_code(row.try_get("", "state")?).ok_or_else(|| odd_value("state"))?,
        delivery: small("delivery")?.and_then(DeliveryStatus::from_code),
        waits,
        templates: template("first_template")?.zip(template("last_template")?),
        failed_after_sent: row.try_get::<i32>("", "failed_after_sent")? == 1,
        failure_reason: small("failure_reason")?.and_then(FailureReason::from_code),
        failure_code: row.try_get("", "failure_code")?,
        failure_text: row.try_get("", "failure_text")?,
        messages,
        replies: unpacked_replies(row.try_get("", "replies")?, messages),
        first: MessageId(row.try_get("", "first")?),
        last: MessageId(row.try_get("", "last")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{execute, testing::on_each_database};

    /// Messages a second apart: campaigns take turns, every fifth failed after it was sent, the last two wait.
    async fn fill(store: &Store, messages: i64) {
        let transaction = store.begin().await.expect("it begins");
        for number in 0..messages {
            let id = MessageId::first_at(UnixMillis(BEGIN + number * 1_000)).0;
            let campaign = ["'1790000000'", "'1791111111'", "NULL"][usize::try_from(number % 3).expect("it is small")];
            let (state, delivery, failed) = match number {
                number if number >= messages - 2 => (0, "NULL", "NULL,NULL,NULL"),
                number if number % 5 == 0 => (2, "2", "6,131026,'not reached'"),
                _ => (2, "3", "NULL,NULL,NULL"),
            };
            let (wamid, sent_at) = if state == 2 { ("'w'", "1790000000000") } else { ("NULL", "NULL") };
            let sql = format!(
                "INSERT INTO outbound_messages (id, account, sender, class, category, state, delivery, platform_message_id, campaign, \
                 recipient, request, expires_at, sent_at, provider_message_id, failure_reason, failure_code, failure_text) \
                 VALUES ({id},1,1,1,2,{state},{delivery},'m',{campaign},'+919876500001','{{}}',9,{sent_at},{wamid},{failed})"
            );
            execute(&transaction, sql, vec![]).await.expect("it fits");
            if delivery == "2" {
                let sql = format!(
                    "INSERT INTO events (account, place, kind, sender, message, status, occurred_at, recorded_at) \
                     VALUES (1, {}, 1, 1, {id}, 1, 1, 1)",
                    number + 1
                );
                execute(&transaction, sql, vec![]).await.expect("it fits");
            }
        }
        transaction.commit().await.expect("it is kept");
    }

    const BEGIN: i64 = 1_790_000_000_000;

    /// Walks in slices of this size; gives back how many messages of each campaign there were, and in how many slices.
    async fn walk(store: &Store, campaign: Option<&str>, slice: usize) -> (Vec<CampaignCount>, u64, u64) {
        let mut span = CampaignSpan {
            account: Some(AccountKey(1)),
            campaign: campaign.map(str::to_owned),
            since: UnixMillis(BEGIN),
            before: MessageId(i64::MAX),
        };
        let (mut counts, mut looked_at, mut sent) = (vec![], 0, 0);
        loop {
            let slice = store.campaign_slice(&span, slice).await.expect("it can be counted");
            counts.extend(slice.counts);
            looked_at += slice.looked_at;
            sent += slice.sent_by_second.iter().map(|(_, messages)| messages).sum::<u64>();
            let Some(next) = slice.next else { return (counts, looked_at, sent) };
            assert!(next < span.before);
            span.before = next;
        }
    }

    #[tokio::test]
    async fn slices_of_any_size_count_every_message_once() {
        on_each_database(async |store| {
            fill(&store, 31).await;
            for slice in [1, 7, 31, 100] {
                let (counts, looked_at, _) = walk(&store, None, slice).await;
                let of = |campaign: &str| -> u64 {
                    counts.iter().filter(|count| count.campaign == campaign).map(|count| count.messages).sum()
                };
                assert_eq!((looked_at, of("1790000000"), of("1791111111")), (31, 11, 10), "slices of {slice}");
                let waiting: u64 =
                    counts.iter().filter(|count| count.waits == Some(Waits::InQueue)).map(|count| count.messages).sum();
                assert_eq!(waiting, 1, "the last; the one before it belongs to no campaign");
            }
        })
        .await;
    }

    #[tokio::test]
    async fn one_campaign_is_counted_with_what_was_said_of_its_failures() {
        on_each_database(async |store| {
            fill(&store, 31).await;
            let (counts, looked_at, sent) = walk(&store, Some("1790000000"), 7).await;
            let failed: Vec<_> = counts.iter().filter(|count| count.delivery == Some(DeliveryStatus::Failed)).collect();
            let messages: u64 = failed.iter().map(|count| count.messages).sum();
            assert_eq!(
                (looked_at, sent, messages),
                (31, 10, 2),
                "the thirty-first waits, the first and the sixteenth failed"
            );
            assert!(failed.iter().all(|count| count.failed_after_sent), "{failed:?}");
            assert!(
                failed.iter().all(|count| (count.failure_reason, count.failure_code)
                    == (Some(FailureReason::Unreachable), Some(131_026)))
            );
            assert_eq!(failed[0].failure_text.as_deref(), Some("not reached"));
        })
        .await;
    }
}
