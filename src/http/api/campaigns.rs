//! Campaigns: what they have come to, stopping what waits of one, and what CleverTap shows of it.

pub mod told;

use std::time::Duration;

use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{Data, Json, Path},
};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use self::told::{
    CampaignCancelling, CampaignDetails, CampaignList, CampaignMinute, CampaignSecond, CampaignState, ComparedFigure,
    Reconciliation, costs, extent, failures, summary,
};
use super::{Body, Caller, account_named, messages::time, problem::Problem, query::Query};
use crate::{
    clock,
    domain::{
        account::Account,
        operator::Permission,
        reconciliation::{self, Figures},
        time::UnixMillis,
    },
    http::{Parts, campaigns as shared},
    services::{
        campaigns::{self, Asked, Period},
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
        taps: campaign.funnel.taps,
        replies_unsorted: campaign.funnel.replies_unsorted,
        failures: failures(&caller.0, &account, campaign),
        costs: costs(&counts.bill),
        speed: counts.sent_by_minute.iter().map(minute).collect(),
        fastest_second: counts.fastest_second.map(|(second, messages)| CampaignSecond {
            second: UnixMillis::from_seconds(second).to_string(),
            messages,
        }),
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
    let (pasted, unread) = Figures::read(&text);
    let figures = Figures { sent, delivered, read, failed, replies }.or(pasted);
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
    let unread = unread.into_iter().map(str::to_owned).collect();
    Ok(Json(Reconciliation { figures: figures.collect(), unread, extent: extent(&counts) }))
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
