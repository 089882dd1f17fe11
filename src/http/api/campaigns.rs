//! Campaigns: what they have come to, stopping what waits of one, and what CleverTap shows of it.

use std::{collections::BTreeMap, time::Duration};

use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{Data, Json, Path},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Body, Caller, account_named,
    messages::{MessagePrice, time},
    problem::Problem,
    query::Query,
};
use crate::{
    clock,
    domain::{
        account::Account,
        campaign::Funnel,
        operator::{Actor, Permission},
        price::{Bill, Price},
        queue::QueueRules,
        reconciliation::{self, Figures},
        time::UnixMillis,
    },
    http::{Parts, campaigns as shared},
    platforms,
    services::{
        campaigns::{self, Asked, Campaign, Period},
        directory::Snapshot,
        masking,
        operators::require,
    },
};

/// An answer counts for so long; then it tells what is counted so far.
const COUNT_TAKES_MAX: Duration = Duration::from_secs(2);

/// Which time is looked at.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CampaignQuery {
    /// 24h, 7d, 30d, or all: of one campaign since it was made. Not together with `since` and `until`.
    #[param(example = "7d")]
    period: Option<String>,
    /// Accepted at this time or later, in RFC 3339.
    #[param(example = "2026-11-21T09:30:00Z")]
    since: Option<String>,
    /// Accepted before this time.
    until: Option<String>,
}

/// Which campaigns are wanted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CampaignListQuery {
    /// An account's id; all accounts without it.
    account: Option<String>,
    /// 24h, 7d, 30d or all; 7d unless said otherwise. Not together with `since` and `until`.
    #[param(example = "7d")]
    period: Option<String>,
    /// Accepted at this time or later, in RFC 3339.
    #[param(example = "2026-11-21T09:30:00Z")]
    since: Option<String>,
    /// Accepted before this time.
    until: Option<String>,
}

/// Campaigns with messages in some time, the one with the newest message first.
#[derive(Serialize, ToSchema)]
pub struct CampaignList {
    campaigns: Vec<CampaignSummary>,
    #[serde(flatten)]
    extent: CountExtent,
}

/// How much was counted.
#[derive(Serialize, ToSchema)]
pub struct CountExtent {
    /// Whether everything of the time was counted. If not, ask again: counting goes on from where it was.
    complete: bool,
    /// How far back was looked; none when everything was.
    looked_back_to: Option<String>,
    #[schema(example = 1200)]
    looked_at: u64,
    #[schema(example = "2026-11-14T09:30:00.000Z")]
    since: String,
    #[schema(example = "2026-11-21T09:30:00.000Z")]
    until: String,
    /// There are more campaigns than are counted at once.
    left_out: bool,
}

/// A campaign, as far as its messages of the time go.
#[derive(Serialize, ToSchema)]
pub struct CampaignSummary {
    #[schema(example = "acme")]
    account: Option<String>,
    /// Part 2 of CleverTap's msgId.
    #[schema(example = "1790000000")]
    campaign: String,
    /// The first and the last of its templates by name; none when it has freeform messages only.
    #[schema(example = json!(["order_update", "order_update"]))]
    templates: Option<[String; 2]>,
    /// `paused`, or `cancelled` while what arrives is cancelled; none when nothing stops it.
    state: Option<String>,
    funnel: CampaignFunnel,
    waiting: CampaignWaiting,
    #[schema(example = "2026-11-21T09:30:00.000Z")]
    first_accepted_at: String,
    #[schema(example = "2026-11-21T09:45:00.000Z")]
    last_accepted_at: String,
}

/// How far its messages came. Who read one had it delivered, and what was delivered was sent.
#[derive(Serialize, ToSchema)]
pub struct CampaignFunnel {
    #[schema(example = 1000)]
    accepted: u64,
    #[schema(example = 990)]
    sent: u64,
    #[schema(example = 950)]
    delivered: u64,
    #[schema(example = 700)]
    read: u64,
    #[schema(example = 40)]
    failed: u64,
    /// Of those that failed, by CleverTap's code.
    failed_by_code: BTreeMap<String, u64>,
    expired: u64,
    cancelled: u64,
    /// Not finished, or nobody knows.
    open: u64,
}

/// What has not been handed to WhatsApp yet.
#[derive(Serialize, ToSchema)]
pub struct CampaignWaiting {
    in_queue: u64,
    /// For a retry, or for a stopped template.
    later: u64,
    paused: u64,
    beyond_messaging_limit: u64,
}

/// One campaign.
#[derive(Serialize, ToSchema)]
pub struct CampaignDetails {
    #[serde(flatten)]
    campaign: CampaignSummary,
    /// Messages from people that quote one of it.
    #[schema(example = 12)]
    replies: u64,
    failures: Vec<CampaignFailure>,
    /// What WhatsApp said so far of what the messages cost: the most first.
    costs: Vec<CampaignCost>,
    /// When WhatsApp took its messages.
    speed: Vec<CampaignMinute>,
    /// How cancelling goes, or went last.
    cancelling: Option<CampaignCancelling>,
    #[serde(flatten)]
    extent: CountExtent,
}

#[derive(Serialize, ToSchema)]
pub struct CampaignFailure {
    #[schema(example = "unreachable")]
    reason: String,
    /// CleverTap's.
    #[schema(example = 1005)]
    platform_code: Option<u16>,
    /// WhatsApp's.
    #[schema(example = 131026)]
    code: Option<i64>,
    /// What was said of one of them. Masked without `personal:read`.
    text: String,
    #[schema(example = 40)]
    messages: u64,
}

/// Messages to one country under one heading of WhatsApp's price list.
#[derive(Serialize, ToSchema)]
pub struct CampaignCost {
    /// The calling code, and the country's ISO 3166 code; `and others` where several share the calling code.
    #[schema(example = "+91 IN")]
    country: String,
    #[serde(flatten)]
    price: MessagePrice,
    #[schema(example = 950)]
    messages: u64,
}

#[derive(Serialize, ToSchema)]
pub struct CampaignMinute {
    #[schema(example = "2026-11-21T09:30:00.000Z")]
    minute: String,
    #[schema(example = 1200)]
    messages: u64,
}

#[derive(Serialize, ToSchema)]
pub struct CampaignCancelling {
    /// Messages that are cancelled so far.
    cancelled: u64,
    /// Until then it goes on, also when the server that did it has ended.
    done: bool,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseRequest {
    /// Why, for those who look at the queue later.
    #[serde(default)]
    #[schema(example = "typing error", max_length = 200)]
    reason: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelRequest {
    /// Why; CleverTap is told too.
    #[serde(default)]
    #[schema(example = "wrong price", max_length = 200)]
    reason: String,
    /// Also what arrives of it within a day, until it is resumed.
    #[serde(default)]
    and_new: bool,
}

/// What stops a campaign now.
#[derive(Serialize, ToSchema)]
pub struct CampaignState {
    #[schema(example = "1790000000")]
    campaign: String,
    /// `paused`, or `cancelled` while what arrives is cancelled; none when nothing stops it.
    #[schema(example = "paused")]
    state: Option<String>,
}

/// CleverTap's figures; those that are left out are not compared.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReconcileRequest {
    #[schema(example = 1000)]
    sent: Option<u64>,
    #[schema(example = 940)]
    delivered: Option<u64>,
    read: Option<u64>,
    failed: Option<u64>,
    replies: Option<u64>,
    /// The same as text from a dashboard or a spreadsheet, such as `Delivered 9,801`.
    #[serde(default)]
    #[schema(max_length = 10000)]
    text: String,
}

#[derive(Serialize, ToSchema)]
pub struct Reconciliation {
    figures: Vec<ComparedFigure>,
    #[serde(flatten)]
    extent: CountExtent,
}

#[derive(Serialize, ToSchema)]
pub struct ComparedFigure {
    #[schema(example = "delivered")]
    name: String,
    #[schema(example = 940)]
    theirs: u64,
    #[schema(example = 950)]
    ours: u64,
    /// What may explain the difference.
    why: Vec<String>,
}

type Place = Path<(String, String)>;

/// Campaigns with messages in some time.
#[utoipa::path(
    get, path = "/api/v1/campaigns", tag = "campaigns", operation_id = "list_campaigns", params(CampaignListQuery), security(("token" = [])),
    responses(
        (status = 200, description = "What is counted so far", body = CampaignList),
        (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    parts: Data<Parts>,
    caller: Caller,
    query: Query<CampaignListQuery>,
) -> Result<Json<CampaignList>, Problem> {
    let CampaignListQuery { account, period, since, until } = query.into_inner();
    let snapshot = parts.directory.snapshot();
    let account = account_named(&snapshot, account.as_deref())?;
    let period = CampaignQuery { period, since, until }.period(Period::Week)?;
    let asked = Asked { account, campaign: None, period };
    let counts = parts.campaigns.count(&caller.0, &asked, COUNT_TAKES_MAX).await?;
    let rules = parts.campaigns.rules().await?;
    let campaigns = counts.campaigns.iter().map(|campaign| summary(&snapshot, &rules, campaign)).collect();
    Ok(Json(CampaignList { campaigns, extent: extent(&counts) }))
}

/// One campaign of an account: funnel, failures, speed, and what waits.
#[utoipa::path(
    get, path = "/api/v1/campaigns/{account}/{campaign}", tag = "campaigns", operation_id = "show_campaign", security(("token" = [])),
    params(
        ("account" = String, Path, description = "The account's id", example = "acme"),
        ("campaign" = String, Path, description = "Part 2 of CleverTap's msgId", example = "1790000000"),
        CampaignQuery,
    ),
    responses(
        (status = 200, description = "What is counted so far", body = CampaignDetails),
        (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such account, or no message of the campaign in this time", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn show(
    parts: Data<Parts>,
    caller: Caller,
    place: Place,
    query: Query<CampaignQuery>,
) -> Result<Json<CampaignDetails>, Problem> {
    let (account, name) = shared::known(&parts, &place)?;
    let asked = asked(&account, &name, query.period(Period::Whole)?);
    let counts = parts.campaigns.count(&caller.0, &asked, COUNT_TAKES_MAX).await?;
    let Some(campaign) = counts.campaigns.first() else {
        return Err(Problem::new(StatusCode::NOT_FOUND, nothing_of(&name, counts.looked_back_to)));
    };
    let rules = parts.campaigns.rules().await?;
    let minute = |(minute, messages): (&i64, &u64)| CampaignMinute {
        minute: UnixMillis(minute * 60_000).to_string(),
        messages: *messages,
    };
    let cancelling = parts.campaigns.cancelling(account.key, &name).await?;
    Ok(Json(CampaignDetails {
        campaign: summary(&parts.directory.snapshot(), &rules, campaign),
        replies: campaign.funnel.replies,
        failures: failures(&caller.0, &account, campaign),
        costs: costs(&counts.bill),
        speed: counts.sent_by_minute.iter().map(minute).collect(),
        cancelling: cancelling
            .map(|cancelling| CampaignCancelling { cancelled: cancelling.cancelled, done: cancelling.is_over }),
        extent: extent(&counts),
    }))
}

/// The messages of a campaign as comma-separated values, as long as there are any.
#[utoipa::path(
    get, path = "/api/v1/campaigns/{account}/{campaign}/messages.csv", tag = "campaigns", operation_id = "export_campaign", security(("token" = [])),
    params(
        ("account" = String, Path, description = "The account's id", example = "acme"),
        ("campaign" = String, Path, description = "Part 2 of CleverTap's msgId", example = "1790000000"),
        CampaignQuery,
    ),
    responses(
        (status = 200, description = "A line of names, and one for each message; numbers are masked without personal:read", body = String, content_type = "text/csv; charset=utf-8"),
        (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such account", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn file(
    parts: Data<Parts>,
    caller: Caller,
    place: Place,
    query: Query<CampaignQuery>,
) -> Result<HttpResponse, Problem> {
    require(&caller.0, Permission::ReadMessages)?;
    let (account, name) = shared::known(&parts, &place)?;
    let span = campaigns::span(Some(&name), query.period(Period::Whole)?, clock::now());
    Ok(shared::file(&parts, &caller.0, &account, &name, span).await?)
}

/// Keep back what waits of a campaign and what arrives of it, until it is resumed. Messages expire all the same.
#[utoipa::path(
    post, path = "/api/v1/campaigns/{account}/{campaign}/pause", tag = "campaigns", operation_id = "pause_campaign", security(("token" = [])),
    params(
        ("account" = String, Path, description = "The account's id", example = "acme"),
        ("campaign" = String, Path, description = "Part 2 of CleverTap's msgId", example = "1790000000"),
    ),
    request_body = PauseRequest,
    responses(
        (status = 200, description = "It is paused within two seconds", body = CampaignState),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope queues:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such account or campaign", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "There are too many rules", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn pause(
    parts: Data<Parts>,
    caller: Caller,
    place: Place,
    body: Body<PauseRequest>,
) -> Result<Json<CampaignState>, Problem> {
    let (account, name) = shared::known(&parts, &place)?;
    parts.campaigns.pause(&caller.0, &account, &name, &body.reason).await?;
    state(&parts, &account, name).await
}

/// Let a campaign go on: every rule that names it ends.
#[utoipa::path(
    post, path = "/api/v1/campaigns/{account}/{campaign}/resume", tag = "campaigns", operation_id = "resume_campaign", security(("token" = [])),
    params(
        ("account" = String, Path, description = "The account's id", example = "acme"),
        ("campaign" = String, Path, description = "Part 2 of CleverTap's msgId", example = "1790000000"),
    ),
    responses(
        (status = 200, description = "What was kept back is put into the queues within seconds", body = CampaignState),
        (status = 403, description = "Needs the scope queues:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such account", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "No rule names the campaign", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn resume(parts: Data<Parts>, caller: Caller, place: Place) -> Result<Json<CampaignState>, Problem> {
    let (account, name) = shared::known(&parts, &place)?;
    parts.campaigns.resume(&caller.0, &account, &name).await?;
    state(&parts, &account, name).await
}

/// Cancel what waits of a campaign: it is never sent, and reported as failed (1009). `cancelling` of the campaign says how far
/// that is.
#[utoipa::path(
    post, path = "/api/v1/campaigns/{account}/{campaign}/cancel", tag = "campaigns", operation_id = "cancel_campaign", security(("token" = [])),
    params(
        ("account" = String, Path, description = "The account's id", example = "acme"),
        ("campaign" = String, Path, description = "Part 2 of CleverTap's msgId", example = "1790000000"),
    ),
    request_body = CancelRequest,
    responses(
        (status = 202, description = "It has begun", body = CampaignState),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope queues:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such account or campaign", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is being cancelled already, or too many others are", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn cancel(
    parts: Data<Parts>,
    caller: Caller,
    place: Place,
    body: Body<CancelRequest>,
) -> Result<HttpResponse, Problem> {
    let (account, name) = shared::known(&parts, &place)?;
    parts.campaigns.cancel(&caller.0, &account, &name, (&body.reason, body.and_new)).await?;
    let Json(state) = state(&parts, &account, name).await?;
    Ok(HttpResponse::Accepted().json(state))
}

/// Hold what CleverTap shows of a campaign against what was counted here.
#[utoipa::path(
    post, path = "/api/v1/campaigns/{account}/{campaign}/reconcile", tag = "campaigns", operation_id = "reconcile_campaign", security(("token" = [])),
    params(
        ("account" = String, Path, description = "The account's id", example = "acme"),
        ("campaign" = String, Path, description = "Part 2 of CleverTap's msgId", example = "1790000000"),
        CampaignQuery,
    ),
    request_body = ReconcileRequest,
    responses(
        (status = 200, description = "Each figure with ours, and what may explain a difference", body = Reconciliation),
        (status = 400, description = "The body or the query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such account", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "There is no figure in it, or a value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn reconcile(
    parts: Data<Parts>,
    caller: Caller,
    place: Place,
    query: Query<CampaignQuery>,
    body: Body<ReconcileRequest>,
) -> Result<Json<Reconciliation>, Problem> {
    let (account, name) = shared::known(&parts, &place)?;
    let ReconcileRequest { sent, delivered, read, failed, replies, text } = body.into_inner();
    let figures = Figures { sent, delivered, read, failed, replies }.or(Figures::read(&text));
    let asked = asked(&account, &name, query.period(Period::Whole)?);
    let counts = parts.campaigns.count(&caller.0, &asked, COUNT_TAKES_MAX).await?;
    if figures.is_empty() {
        return Err(Problem::of_field(
            "text",
            "give a figure: sent, delivered, read, failed or replies, or text with one",
        ));
    }
    let funnel = counts.campaigns.first().map(|campaign| campaign.funnel.clone()).unwrap_or_default();
    let around = shared::surroundings(&parts.store, &account, counts.looked_back_to.is_none()).await?;
    let compared = reconciliation::compare(&figures, &funnel, &around).into_iter();
    let figures = compared.map(|one| ComparedFigure {
        name: one.name.to_owned(),
        theirs: one.theirs,
        ours: one.ours,
        why: one.why,
    });
    Ok(Json(Reconciliation { figures: figures.collect(), extent: extent(&counts) }))
}

impl CampaignQuery {
    fn period(&self, otherwise: Period) -> Result<Period, Problem> {
        let since = time("since", self.since.as_deref())?;
        let until = time("until", self.until.as_deref())?;
        match &self.period {
            Some(_) if since.is_some() || until.is_some() => {
                Err(Problem::of_field("period", "give a period, or since and until"))
            }
            Some(word) => {
                let unknown = || Problem::of_field("period", "a period is 24h, 7d, 30d or all");
                Period::named(word).ok_or_else(unknown)
            }
            None if since.is_some() || until.is_some() => Ok(Period::Between(since.unwrap_or(UnixMillis(0)), until)),
            None => Ok(otherwise),
        }
    }
}

fn asked(account: &Account, campaign: &str, period: Period) -> Asked {
    Asked { account: Some(account.key), campaign: Some(campaign.to_owned()), period }
}

fn nothing_of(campaign: &str, looked_back_to: Option<UnixMillis>) -> String {
    match looked_back_to {
        Some(back_to) => {
            format!("no message of campaign {campaign} was found back to {back_to}: ask again to look further")
        }
        None => format!("no message of campaign {campaign} was accepted in this time"),
    }
}

async fn state(parts: &Parts, account: &Account, campaign: String) -> Result<Json<CampaignState>, Problem> {
    let rules = parts.campaigns.rules().await?;
    let rule = campaigns::verdict(&rules, account.key, &campaign, clock::now());
    Ok(Json(CampaignState { state: rule.map(|rule| campaigns::word_of(rule.action).to_owned()), campaign }))
}

fn extent(counts: &campaigns::Counts) -> CountExtent {
    CountExtent {
        complete: counts.looked_back_to.is_none(),
        looked_back_to: counts.looked_back_to.map(|at| at.to_string()),
        looked_at: counts.looked_at,
        since: counts.since.to_string(),
        until: counts.until.to_string(),
        left_out: counts.left_out,
    }
}

fn summary(snapshot: &Snapshot, rules: &QueueRules, campaign: &Campaign) -> CampaignSummary {
    let rule = campaigns::verdict(rules, campaign.account, &campaign.campaign, clock::now());
    CampaignSummary {
        account: snapshot.account_by_key(campaign.account).map(|account| account.id.clone()),
        templates: campaign.templates.clone().map(|(first, last)| [first, last]),
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
        failed_by_code: funnel.failed_by_code.iter().map(|(code, messages)| (code.to_string(), *messages)).collect(),
        expired: funnel.expired,
        cancelled: funnel.cancelled,
        open: funnel.open,
    }
}

fn costs(bill: &Bill) -> Vec<CampaignCost> {
    let cost = |(country, price, messages): (&str, Price, u64)| CampaignCost {
        country: country.to_owned(),
        price: price.into(),
        messages,
    };
    bill.most_first().into_iter().map(cost).collect()
}

fn failures(actor: &Actor, account: &Account, campaign: &Campaign) -> Vec<CampaignFailure> {
    let platform = platforms::find(&account.platform);
    let mut failures: Vec<CampaignFailure> = campaign
        .failures
        .iter()
        .map(|((reason, code), count)| CampaignFailure {
            reason: reason.as_str().to_owned(),
            platform_code: platform.map(|platform| platform.failure_code(*reason)),
            code: *code,
            text: masking::text(actor, &count.text),
            messages: count.messages,
        })
        .collect();
    failures.sort_by_key(|failure| std::cmp::Reverse(failure.messages));
    failures
}
