//! What the API tells of campaigns.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    clock,
    domain::{
        account::Account,
        campaign::Funnel,
        failure::SaidBy,
        operator::Actor,
        price::{Bill, Price},
        queue::QueueRules,
    },
    http::api::messages::MessagePrice,
    platforms,
    services::{
        campaigns::{self, Campaign},
        directory::Snapshot,
        masking,
    },
};

/// Campaigns with messages in some time, the one with the newest message first.
#[derive(Serialize, ToSchema)]
pub struct CampaignList {
    pub(super) campaigns: Vec<CampaignSummary>,
    #[serde(flatten)]
    pub(super) extent: CountExtent,
}

/// How much was counted.
#[derive(Serialize, ToSchema)]
pub struct CountExtent {
    /// Whether everything of the time was counted. If not, ask again: counting goes on from where it was.
    pub(super) complete: bool,
    /// How far back was looked; none when everything was.
    pub(super) looked_back_to: Option<String>,
    #[schema(example = 1200)]
    pub(super) looked_at: u64,
    #[schema(example = "2026-11-14T09:30:00.000Z")]
    pub(super) since: String,
    #[schema(example = "2026-11-21T09:30:00.000Z")]
    pub(super) until: String,
    /// There are more campaigns than are counted at once.
    pub(super) left_out: bool,
}

/// A campaign, as far as its messages of the time go.
#[derive(Serialize, ToSchema)]
pub struct CampaignSummary {
    #[schema(example = "acme")]
    pub(super) account: Option<String>,
    /// Part 2 of CleverTap's msgId.
    #[schema(example = "1790000000")]
    pub(super) campaign: String,
    /// Its template; of several the first and the last by name. None when it has freeform messages only.
    #[schema(example = json!(["order_update"]))]
    pub(super) templates: Option<Vec<String>>,
    /// `paused`, or `cancelled` while what arrives is cancelled; none when nothing stops it.
    pub(super) state: Option<String>,
    pub(super) funnel: CampaignFunnel,
    pub(super) waiting: CampaignWaiting,
    #[schema(example = "2026-11-21T09:30:00.000Z")]
    pub(super) first_accepted_at: String,
    #[schema(example = "2026-11-21T09:45:00.000Z")]
    pub(super) last_accepted_at: String,
}

/// How far its messages came. Who read one had it delivered, and what was delivered was sent. So `accepted` is `sent`, `failed`,
/// `silent` and `open` together, less `failed_after_sent`.
#[derive(Serialize, ToSchema)]
pub struct CampaignFunnel {
    #[schema(example = 1000)]
    pub(super) accepted: u64,
    #[schema(example = 990)]
    pub(super) sent: u64,
    #[schema(example = 950)]
    pub(super) delivered: u64,
    #[schema(example = 700)]
    pub(super) read: u64,
    /// As CleverTap was told, so with those that were cancelled.
    #[schema(example = 40)]
    pub(super) failed: u64,
    /// Of those that failed: after WhatsApp had said that it was sent.
    pub(super) failed_after_sent: u64,
    /// Of those that failed, by CleverTap's code.
    pub(super) failed_by_code: BTreeMap<String, u64>,
    pub(super) expired: u64,
    pub(super) cancelled: u64,
    /// WhatsApp took it, and nothing was heard of it since.
    pub(super) silent: u64,
    /// Not finished, or nobody knows.
    pub(super) open: u64,
}

/// What has not been handed to WhatsApp yet.
#[derive(Serialize, ToSchema)]
pub struct CampaignWaiting {
    pub(super) in_queue: u64,
    /// For a retry, or for a stopped template.
    pub(super) later: u64,
    pub(super) paused: u64,
    pub(super) beyond_messaging_limit: u64,
}

/// One campaign.
#[derive(Serialize, ToSchema)]
pub struct CampaignDetails {
    #[serde(flatten)]
    pub(super) campaign: CampaignSummary,
    /// Messages from people that quote one of it.
    #[schema(example = 12)]
    pub(super) replies: u64,
    /// Of the replies: taps on quick-reply buttons, the only clicks that WhatsApp reports. Of URL buttons it reports nothing.
    #[schema(example = 5)]
    pub(super) taps: u64,
    /// Of the replies: those from before taps were counted apart, so some may be taps.
    pub(super) replies_unsorted: u64,
    pub(super) failures: Vec<CampaignFailure>,
    /// What WhatsApp said so far of what the messages cost: the most first.
    pub(super) costs: Vec<CampaignCost>,
    /// When those of its messages left that WhatsApp took, by minutes.
    pub(super) speed: Vec<CampaignMinute>,
    /// The second in which most of them left; none when there were too many seconds to tell.
    pub(super) fastest_second: Option<CampaignSecond>,
    /// How cancelling goes, or went last.
    pub(super) cancelling: Option<CampaignCancelling>,
    #[serde(flatten)]
    pub(super) extent: CountExtent,
}

#[derive(Serialize, ToSchema)]
pub struct CampaignFailure {
    #[schema(example = "unreachable")]
    pub(super) reason: String,
    /// CleverTap's.
    #[schema(example = 1005)]
    pub(super) platform_code: Option<u16>,
    /// WhatsApp's.
    #[schema(example = 131026)]
    pub(super) code: Option<i64>,
    /// Whose words the text is: provider or bridge; none where only the text tells.
    #[schema(example = "provider")]
    pub(super) said_by: Option<&'static str>,
    /// What was said of one of them. Masked without `personal:read`.
    pub(super) text: String,
    #[schema(example = 40)]
    pub(super) messages: u64,
}

/// Messages to one country under one heading of WhatsApp's price list.
#[derive(Serialize, ToSchema)]
pub struct CampaignCost {
    /// The calling code, and the country's ISO 3166 code; `and others` where several share the calling code.
    #[schema(example = "+91 IN")]
    pub(super) country: String,
    #[serde(flatten)]
    pub(super) price: MessagePrice,
    #[schema(example = 950)]
    pub(super) messages: u64,
}

#[derive(Serialize, ToSchema)]
pub struct CampaignMinute {
    #[schema(example = "2026-11-21T09:30:00.000Z")]
    pub(super) minute: String,
    #[schema(example = 1200)]
    pub(super) messages: u64,
}

#[derive(Serialize, ToSchema)]
pub struct CampaignSecond {
    #[schema(example = "2026-11-21T09:30:07.000Z")]
    pub(super) second: String,
    #[schema(example = 80)]
    pub(super) messages: u64,
}

#[derive(Serialize, ToSchema)]
pub struct CampaignCancelling {
    /// Messages that are cancelled so far.
    pub(super) cancelled: u64,
    /// Until then it goes on, also when the server that did it has ended.
    pub(super) done: bool,
}

/// What stops a campaign now.
#[derive(Serialize, ToSchema)]
pub struct CampaignState {
    #[schema(example = "1790000000")]
    pub(super) campaign: String,
    /// `paused`, or `cancelled` while what arrives is cancelled; none when nothing stops it.
    #[schema(example = "paused")]
    pub(super) state: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct Reconciliation {
    pub(super) figures: Vec<ComparedFigure>,
    /// Lines of `text` in which no figure was found: they are left out.
    #[schema(example = json!(["Clicked", "12"]))]
    pub(super) unread: Vec<String>,
    #[serde(flatten)]
    pub(super) extent: CountExtent,
}

#[derive(Serialize, ToSchema)]
pub struct ComparedFigure {
    #[schema(example = "delivered")]
    pub(super) name: String,
    #[schema(example = 940)]
    pub(super) theirs: u64,
    #[schema(example = 950)]
    pub(super) ours: u64,
    /// What may explain the difference.
    pub(super) why: Vec<String>,
}

pub(super) fn extent(counts: &campaigns::Counts) -> CountExtent {
    CountExtent {
        complete: counts.looked_back_to.is_none(),
        looked_back_to: counts.looked_back_to.map(|at| at.to_string()),
        looked_at: counts.looked_at,
        since: counts.since.to_string(),
        until: counts.until.to_string(),
        left_out: counts.left_out,
    }
}

pub(super) fn summary(snapshot: &Snapshot, rules: &QueueRules, campaign: &Campaign) -> CampaignSummary {
    let rule = campaigns::verdict(rules, campaign.account, &campaign.campaign, clock::now());
    CampaignSummary {
        account: snapshot.account_by_key(campaign.account).map(|account| account.id.clone()),
        templates: campaign.templates.clone().map(|(first, last)| {
            let several = (first != last).then_some(last);
            [first].into_iter().chain(several).collect()
        }),
        campaign: campaign.campaign.clone(),
        state: rule.map(|rule| campaigns::word_of(rule.action).to_owned()),
        funnel: funnel(&campaign.funnel),
        waiting: CampaignWaiting {
            in_queue: campaign.waiting.in_queue,
            later: campaign.waiting.later,
            paused: campaign.waiting.paused,
            beyond_messaging_limit: campaign.waiting.beyond_limit,
        },
        first_accepted_at: campaign.first.made_at().to_string(),
        last_accepted_at: campaign.last.made_at().to_string(),
    }
}

fn funnel(funnel: &Funnel) -> CampaignFunnel {
    CampaignFunnel {
        accepted: funnel.accepted,
        sent: funnel.sent,
        delivered: funnel.delivered,
        read: funnel.read,
        failed: funnel.failed,
        failed_after_sent: funnel.failed_after_sent,
        failed_by_code: funnel.failed_by_code.iter().map(|(code, messages)| (code.to_string(), *messages)).collect(),
        expired: funnel.expired,
        cancelled: funnel.cancelled,
        silent: funnel.silent,
        open: funnel.open,
    }
}

pub(super) fn costs(bill: &Bill) -> Vec<CampaignCost> {
    let cost = |(country, price, messages): (&str, Price, u64)| CampaignCost {
        country: country.to_owned(),
        price: price.into(),
        messages,
    };
    bill.most_first().into_iter().map(cost).collect()
}

pub(super) fn failures(actor: &Actor, account: &Account, campaign: &Campaign) -> Vec<CampaignFailure> {
    let platform = platforms::find(&account.platform);
    let mut failures: Vec<CampaignFailure> = campaign
        .failures
        .iter()
        .map(|((reason, code), count)| CampaignFailure {
            reason: reason.as_str().to_owned(),
            platform_code: platform.map(|platform| platform.failure_code(*reason)),
            code: *code,
            said_by: SaidBy::of(*reason, *code).map(SaidBy::as_str),
            text: masking::text(actor, &count.text),
            messages: count.messages,
        })
        .collect();
    failures.sort_by_key(|failure| std::cmp::Reverse(failure.messages));
    failures
}
