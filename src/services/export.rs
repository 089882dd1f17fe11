//! Messages and campaigns as rows for other programs.
//!
//! Everything is read page by page and handed on at once, so an export of millions needs no more memory than one of a
//! hundred. Only a campaign's counts are kept, one set for each.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use serde::Serialize;
use serde_json::Value;

use crate::{
    domain::{
        account::Account,
        campaign::{Counted, Funnel, Grouping},
        failure::{Failure, FailureReason},
        ids::{AccountKey, MessageId, SenderKey},
        phone::PhoneNumber,
        status::DeliveryStatus,
        time::UnixMillis,
    },
    platforms::{self, Platform},
    store::{
        Store, StoreError,
        configuration::Configuration,
        export::{MessageFilter, Reports},
        story::StoredMessage,
    },
};

/// Messages that one statement looks at, whether they match or not.
const MESSAGES_PER_PAGE: usize = 2_000;
/// Campaigns whose counts are kept at the same time.
pub const CAMPAIGNS_MAX: usize = 100_000;

/// What is exported, and how.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub filter: MessageFilter,
    /// Only of this campaign.
    pub campaign: Option<String>,
    /// Recipients as whole numbers.
    pub full: bool,
}

/// One message. Each field is a column, in this order: see [`MESSAGE_COLUMNS`].
#[derive(Clone, Debug, Serialize)]
pub struct MessageRow {
    pub id: String,
    pub msg_id: String,
    pub campaign: Option<String>,
    pub batch: Option<String>,
    pub variant: Option<String>,
    pub account: String,
    pub number: String,
    pub recipient: String,
    pub template: Option<String>,
    pub language: Option<String>,
    pub category: &'static str,
    pub state: &'static str,
    pub delivery: Option<&'static str>,
    pub accepted_at: String,
    pub submitted_at: Option<String>,
    pub provider_message_id: Option<String>,
    pub attempts: i16,
    pub sent_at: Option<String>,
    pub delivered_at: Option<String>,
    pub read_at: Option<String>,
    pub failed_at: Option<String>,
    pub failure_reason: Option<&'static str>,
    pub failure_code: Option<i64>,
    pub failure_text: Option<String>,
    pub platform_code: Option<u16>,
    pub price_category: Option<&'static str>,
    pub billable: Option<bool>,
    pub replies: u64,
    pub taps: Option<u64>,
    pub custom: serde_json::Map<String, Value>,
}

/// The columns of [`MessageRow`], with what they hold.
pub const MESSAGE_COLUMNS: [(&str, &str); 30] = [
    ("id", "our id, msg_…"),
    ("msg_id", "the platform’s id"),
    ("campaign", "the campaign that it names; empty for tests"),
    ("batch", "the run of the campaign, a day as 20261120"),
    ("variant", "the variant, where the id names one"),
    ("account", "the account’s id"),
    ("number", "the business number, digits only"),
    ("recipient", "digits only; masked unless --full"),
    ("template", "its name; empty for freeform messages"),
    ("language", "the template’s language"),
    (
        "category",
        "freeform, authentication, utility, marketing, not_known_yet (its template could not be looked up yet)",
    ),
    ("state", "our work: queued, sending, submitted, rejected, unknown, expired, cancelled"),
    ("delivery", "the best news of WhatsApp: sent, failed, delivered, read"),
    ("accepted_at", "when the platform got our yes"),
    (
        "submitted_at",
        "when it was last handed to WhatsApp, if that is known; of a message that was sent again, all times are of the last send",
    ),
    ("provider_message_id", "WhatsApp’s id, wamid.…"),
    ("attempts", "how often it was tried"),
    ("sent_at", "when WhatsApp says it was sent"),
    ("delivered_at", "… delivered"),
    ("read_at", "… read"),
    ("failed_at", "… or that it failed"),
    ("failure_reason", "why it failed last, in one word"),
    ("failure_code", "WhatsApp’s code"),
    ("failure_text", "WhatsApp’s words, or ours"),
    ("platform_code", "the code that the platform was told, CleverTap: 1000 to 1010"),
    ("price_category", "the heading of WhatsApp’s price list that it falls under; empty until WhatsApp says"),
    ("billable", "whether WhatsApp bills it: true or false; empty until WhatsApp says"),
    ("replies", "messages from people that quote it"),
    ("taps", "of the replies: taps on quick-reply buttons; empty where one came before taps were counted apart"),
    ("custom", "customProps, as JSON"),
];

/// One run of a campaign. Each field is a column, in this order: see [`CAMPAIGN_COLUMNS`].
#[derive(Clone, Debug, Serialize)]
pub struct CampaignRow {
    pub account: String,
    pub campaign: String,
    pub batch: String,
    pub first_accepted_at: String,
    pub last_accepted_at: String,
    /// Its counts are columns of their own.
    #[serde(flatten)]
    pub funnel: Funnel,
}

/// The columns of [`CampaignRow`], with what they hold.
pub const CAMPAIGN_COLUMNS: [(&str, &str); 19] = [
    ("account", "the account’s id"),
    ("campaign", "the second part of the platform’s id"),
    ("batch", "the third: the run of the campaign, a day as 20261120"),
    ("first_accepted_at", "the first message"),
    ("last_accepted_at", "the last message"),
    ("accepted", "messages that got our yes; tests are not counted"),
    ("sent", "of those: WhatsApp has sent them"),
    ("delivered", "… delivered; whoever read it is among them"),
    ("read", "… read"),
    ("failed", "reported as failed, and not delivered after that"),
    ("failed_after_sent", "of the failed: after WhatsApp had sent them"),
    ("failed_by_code", "those by the platform’s code, as JSON"),
    ("expired", "of the failed: too late to be worth sending"),
    ("cancelled", "of the failed: cancelled by an operator"),
    ("silent", "WhatsApp took them, and nothing was heard since"),
    ("open", "waiting, under way, or nobody knows"),
    ("replies", "messages from people that quote one"),
    ("taps", "of the replies: taps on quick-reply buttons"),
    ("replies_unsorted", "of the replies: from before taps were counted apart, so some may be taps"),
];

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("there are more than {CAMPAIGNS_MAX} campaigns: choose some by --since and --until, or by --account")]
    TooManyCampaigns,
    /// What reads the rows wants no more of them, or cannot take them.
    #[error("could not write the export")]
    Writing(#[source] std::io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes rows, one after the other.
pub type Take<'a, Row> = &'a mut (dyn FnMut(Row) -> std::io::Result<()> + Send);

/// Is told how far the export is, by the message that was looked at last.
pub type Watch<'a> = &'a (dyn Fn(MessageId) + Sync);

/// Every message that is wanted, in order of acceptance. Says how many there were.
pub async fn messages(
    store: &Store,
    configuration: &Configuration,
    wanted: &Wanted,
    take: Take<'_, MessageRow>,
    watch: Watch<'_>,
) -> Result<u64, ExportError> {
    let names = Names::new(configuration);
    let mut count = 0;
    each_page(store, wanted, &names, watch, &mut |message, grouping, reports| {
        count += 1;
        take(row(&names, message, grouping, reports, wanted.full)).map_err(ExportError::Writing)
    })
    .await?;
    Ok(count)
}

/// The funnel of every campaign, by account, campaign and batch. Says how many there were.
pub async fn campaigns(
    store: &Store,
    configuration: &Configuration,
    wanted: &Wanted,
    take: Take<'_, CampaignRow>,
    watch: Watch<'_>,
) -> Result<u64, ExportError> {
    let names = Names::new(configuration);
    let mut runs: BTreeMap<(AccountKey, String, String), Run> = BTreeMap::new();
    each_page(store, wanted, &names, watch, &mut |message, grouping, reports| {
        let Some(Grouping { campaign, batch, .. }) = grouping else { return Ok(()) };
        let counted = counted(&names, &message, &reports);
        let run = runs.entry((message.account, campaign, batch)).or_insert_with(|| Run {
            first: message.id,
            last: message.id,
            funnel: Funnel::default(),
        });
        run.last = message.id;
        run.funnel.add(&counted);
        if runs.len() > CAMPAIGNS_MAX { Err(ExportError::TooManyCampaigns) } else { Ok(()) }
    })
    .await?;
    runs.retain(|_, run| run.funnel.accepted > 0);
    let count = runs.len() as u64;
    for ((account, campaign, batch), run) in runs {
        take(campaign_row(&names, account, campaign, batch, run)).map_err(ExportError::Writing)?;
    }
    Ok(count)
}

struct Run {
    first: MessageId,
    last: MessageId,
    funnel: Funnel,
}

type Each<'a> = &'a mut (dyn FnMut(StoredMessage, Option<Grouping>, Reports) -> Result<(), ExportError> + Send);

/// A page of [`messages`], for whoever takes one after the other: `after` comes from the page before, and no page follows
/// without one. A page may be empty.
pub async fn message_rows(
    store: &Store,
    configuration: &Configuration,
    wanted: &Wanted,
    after: Option<MessageId>,
) -> Result<(Vec<MessageRow>, Option<MessageId>), StoreError> {
    let names = Names::new(configuration);
    let (messages, after) = page(store, wanted, &names, after).await?;
    let rows =
        messages.into_iter().map(|(message, grouping, reports)| row(&names, message, grouping, reports, wanted.full));
    Ok((rows.collect(), after))
}

async fn each_page(
    store: &Store,
    wanted: &Wanted,
    names: &Names<'_>,
    watch: Watch<'_>,
    each: Each<'_>,
) -> Result<(), ExportError> {
    let mut after = None;
    loop {
        let (messages, next) = page(store, wanted, names, after).await?;
        for (message, grouping, reports) in messages {
            each(message, grouping, reports)?;
        }
        let Some(last) = next else { return Ok(()) };
        watch(last);
        after = Some(last);
    }
}

type Exported = (StoredMessage, Option<Grouping>, Reports);

async fn page(
    store: &Store,
    wanted: &Wanted,
    names: &Names<'_>,
    after: Option<MessageId>,
) -> Result<(Vec<Exported>, Option<MessageId>), StoreError> {
    let page = store.message_page(&wanted.filter, after, MESSAGES_PER_PAGE).await?;
    let mut messages: Vec<(StoredMessage, Option<Grouping>)> = Vec::with_capacity(page.messages.len());
    for message in page.messages {
        let platform = names.platform(message.account);
        let grouping = platform.and_then(|platform| platform.grouping(&message.platform_message_id));
        let of_it = grouping.as_ref().map(|grouping| &grouping.campaign);
        if wanted.campaign.is_none() || wanted.campaign.as_ref() == of_it {
            messages.push((message, grouping));
        }
    }
    let asked: Vec<StoredMessage> = messages.iter().map(|(message, _)| message.clone()).collect();
    let mut reports = store.reports_of(&asked).await?;
    let exported = messages.into_iter().map(|(message, grouping)| {
        let of_it = reports.remove(&message.id).unwrap_or_default();
        (message, grouping, of_it)
    });
    Ok((exported.collect(), page.after))
}

/// A row's cells in the order of these columns, for a file of comma-separated values.
pub fn cells(row: &impl Serialize, columns: &[&str]) -> serde_json::Result<Vec<String>> {
    let values = serde_json::to_value(row)?;
    Ok(columns.iter().map(|name| cell(&values[*name])).collect())
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => harmless(text).into_owned(),
        Value::Object(entries) if entries.is_empty() => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// A text that a spreadsheet would run as a formula, with an apostrophe in front: then it is shown as it is.
pub fn harmless(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { format!("'{text}").into() } else { text.into() }
}

/// Accounts and numbers by their keys.
struct Names<'a> {
    accounts: HashMap<AccountKey, &'a Account>,
    numbers: HashMap<SenderKey, &'a PhoneNumber>,
}

impl<'a> Names<'a> {
    fn new(configuration: &'a Configuration) -> Self {
        let accounts = configuration.accounts.iter().chain(&configuration.past.accounts);
        let senders = configuration.senders.iter().chain(&configuration.past.senders);
        Self {
            accounts: accounts.map(|account| (account.key, account)).collect(),
            numbers: senders.map(|sender| (sender.key, &sender.number)).collect(),
        }
    }

    fn platform(&self, account: AccountKey) -> Option<&'static dyn Platform> {
        platforms::find(&self.accounts.get(&account)?.platform)
    }

    fn account(&self, key: AccountKey) -> String {
        self.accounts.get(&key).map_or_else(|| key.to_string(), |account| account.id.clone())
    }
}

/// Why it failed, when it was reported as failed: a try that failed and is repeated is no failure.
fn failure_of<'a>(message: &'a StoredMessage, reports: &'a Reports) -> Option<&'a Failure> {
    let reported = reports.statuses.iter().find(|(status, ..)| *status == DeliveryStatus::Failed);
    match reported {
        Some((_, _, Some(failure))) => Some(failure),
        Some((_, _, None)) | None => {
            message.failure.as_ref().filter(|_| message.delivery == Some(DeliveryStatus::Failed))
        }
    }
}

fn code_of(names: &Names<'_>, message: &StoredMessage, failure: Option<&Failure>) -> Option<u16> {
    let reason: FailureReason = failure?.reason;
    names.platform(message.account).map(|platform| platform.failure_code(reason))
}

fn counted(names: &Names<'_>, message: &StoredMessage, reports: &Reports) -> Counted {
    Counted {
        state: message.state,
        delivery: message.delivery,
        statuses: reports.statuses.iter().map(|(status, ..)| *status).collect(),
        failure_code: code_of(names, message, failure_of(message, reports)),
        replies: reports.replies,
    }
}

fn row(
    names: &Names<'_>,
    message: StoredMessage,
    grouping: Option<Grouping>,
    reports: Reports,
    full: bool,
) -> MessageRow {
    let (campaign, batch, variant) =
        grouping.map_or((None, None, None), |g| (Some(g.campaign), Some(g.batch), g.variant));
    let at = |wanted| {
        let found = reports.statuses.iter().find(|(status, ..)| *status == wanted);
        found.map(|(_, moment, _): &(_, UnixMillis, _)| moment.to_string())
    };
    let failure = failure_of(&message, &reports);
    let custom = custom_of(names, &message);
    let (template, language) = message.template.clone().unzip();
    let number = names.numbers.get(&message.sender);
    MessageRow {
        campaign,
        batch,
        variant,
        account: names.account(message.account),
        number: number.map_or_else(|| message.sender.to_string(), |number| number.digits().to_owned()),
        recipient: if full {
            message.recipient.digits().to_owned()
        } else {
            message.recipient.to_string().trim_start_matches('+').to_owned()
        },
        template,
        language,
        category: message.category.as_str(),
        state: message.state.as_str(),
        delivery: message.delivery.map(DeliveryStatus::as_str),
        accepted_at: message.id.made_at().to_string(),
        submitted_at: message.sent_at().map(|at| at.to_string()),
        provider_message_id: message.provider_message_id.clone(),
        attempts: message.attempts,
        sent_at: at(DeliveryStatus::Sent),
        delivered_at: at(DeliveryStatus::Delivered),
        read_at: at(DeliveryStatus::Read),
        failed_at: at(DeliveryStatus::Failed),
        failure_reason: failure.map(|failure| failure.reason.as_str()),
        failure_code: failure.and_then(|failure| failure.code),
        failure_text: failure.map(|failure| failure.text.clone()),
        platform_code: code_of(names, &message, failure),
        price_category: message.price.map(|price| price.category.as_str()),
        billable: message.price.map(|price| price.billable),
        replies: reports.replies.all,
        taps: (reports.replies.unsorted == 0).then_some(reports.replies.taps),
        custom,
        id: message.id.to_string(),
        msg_id: message.platform_message_id,
    }
}

/// Read again from the request, as it was kept.
fn custom_of(names: &Names<'_>, message: &StoredMessage) -> serde_json::Map<String, Value> {
    let parsed = names
        .accounts
        .get(&message.account)
        .and_then(|account| platforms::find(&account.platform)?.parse_send(account, message.request.as_bytes()).ok());
    let pairs = parsed.map(|request| request.custom).unwrap_or_default();
    pairs.into_iter().map(|(name, value)| (name, value.into())).collect()
}

fn campaign_row(names: &Names<'_>, account: AccountKey, campaign: String, batch: String, run: Run) -> CampaignRow {
    let Run { first, last, funnel } = run;
    CampaignRow {
        account: names.account(account),
        campaign,
        batch,
        first_accepted_at: first.made_at().to_string(),
        last_accepted_at: last.made_at().to_string(),
        funnel,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_text_becomes_a_formula() {
        for text in ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1", "\r=1"] {
            assert_eq!(cell(&json!(text)), format!("'{text}"));
        }
        for text in ["919876500001", "1|1790000000|20261120|1|0", "a=b", ""] {
            assert_eq!(cell(&json!(text)), text);
        }
        assert_eq!(cell(&json!(-5)), "-5", "a number is a number");
        assert_eq!(cell(&json!({"a": "=1"})), r#"{"a":"=1"}"#);
    }
}
