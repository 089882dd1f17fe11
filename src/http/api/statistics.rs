//! What happened lately, in figures.

use std::collections::BTreeMap;

use actix_web::web::{Data, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Caller, account_named, problem::Problem, query::Query};
use crate::{
    domain::{
        failure::SaidBy,
        statistics::{AnswerTimes, Figure},
    },
    http::Parts,
    platforms,
    services::{
        directory::Snapshot,
        overview::{Failures, Lately, Summary, summary},
    },
};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StatisticsQuery {
    /// Of this account alone.
    #[param(example = "acme")]
    account: Option<String>,
    /// `24h`, `7d` or `30d`.
    #[param(example = "7d")]
    period: Option<String>,
}

/// Counted by the hour in which the bridge did it or heard of it. Messages are counted some fifteen seconds after they came.
#[derive(Serialize, ToSchema)]
pub struct Statistics {
    #[schema(example = "2026-11-20T10:00:00.000Z")]
    since: String,
    until: String,
    /// Hours that each place of `over_time` stands for.
    #[schema(example = 1)]
    step_hours: i64,
    /// How much there was of each figure.
    totals: Amounts,
    /// The same by steps; those without anything are left out.
    over_time: Vec<Step>,
    answers: AnswersWithin,
    /// Why messages failed, the most frequent first.
    failures: Vec<FailureTotal>,
}

#[derive(Default, Serialize, ToSchema)]
pub struct Amounts {
    /// Messages answered with success.
    #[schema(example = 120000)]
    accepted: u64,
    /// Requests answered with an error.
    refused: u64,
    sent: u64,
    delivered: u64,
    read: u64,
    /// Without those that were cancelled.
    failed: u64,
    /// Cancelled by an operator; CleverTap is told that they failed.
    cancelled: u64,
    /// Messages from people.
    received: u64,
    /// Those among them that quote one of ours.
    replied: u64,
    /// Events that callback URLs took, those that were told again among them.
    told: u64,
    /// Callback requests that were not taken.
    not_told: u64,
}

#[derive(Serialize, ToSchema)]
pub struct Step {
    /// Its first moment.
    from: String,
    #[serde(flatten)]
    amounts: Amounts,
}

/// How fast the platform was answered.
#[derive(Serialize, ToSchema)]
pub struct AnswersWithin {
    all: u64,
    /// More than a second, which CleverTap counts as an error.
    late: u64,
    /// Half of them took at most so many milliseconds; nothing when that was more than two seconds, or there were none.
    #[schema(example = 5)]
    p50_ms: Option<u64>,
    #[schema(example = 20)]
    p95_ms: Option<u64>,
    #[schema(example = 50)]
    p99_ms: Option<u64>,
}

#[derive(Serialize, ToSchema)]
pub struct FailureTotal {
    #[schema(example = "acme")]
    account: Option<String>,
    #[schema(example = "unreachable")]
    reason: Option<&'static str>,
    /// What the platform is told.
    #[schema(example = 1005)]
    platform_code: Option<u16>,
    /// The provider's code.
    #[schema(example = 131026)]
    code: Option<i64>,
    /// What was said of one of them, without numbers.
    said: String,
    /// Who said it: provider or bridge; none where only the text tells.
    #[schema(example = "provider")]
    said_by: Option<&'static str>,
    messages: u64,
}

/// How far messages came lately, how fast the platform was answered, and why messages failed.
#[utoipa::path(
    get, path = "/api/v1/statistics", tag = "messages", operation_id = "statistics", security(("token" = [])),
    params(StatisticsQuery),
    responses(
        (status = 200, description = "The figures", body = Statistics),
        (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn show(
    parts: Data<Parts>,
    caller: Caller,
    query: Query<StatisticsQuery>,
) -> Result<Json<Statistics>, Problem> {
    let StatisticsQuery { account, period } = query.into_inner();
    let snapshot = parts.directory.snapshot();
    let account = account_named(&snapshot, account.as_deref())?;
    let unknown = |word: &str| Problem::of_field("period", format!("{word} is no period: take 24h, 7d or 30d"));
    let lately = match period.as_deref() {
        None => Lately::default(),
        Some(word) => Lately::named(word).ok_or_else(|| unknown(word))?,
    };
    let summary = summary(&parts.store, &caller.0, account, lately).await?;
    Ok(Json(Statistics {
        since: summary.since.to_string(),
        until: summary.until.to_string(),
        step_hours: summary.step_hours,
        totals: totals(&summary),
        over_time: over_time(&summary),
        answers: answers(&summary.answers),
        failures: summary.failures.iter().map(|failures| failure(&snapshot, failures)).collect(),
    }))
}

/// The figures that have a place of their own.
const AMOUNTS: [Figure; 11] = [
    Figure::Accepted,
    Figure::Refused,
    Figure::Sent,
    Figure::Delivered,
    Figure::Read,
    Figure::Failed,
    Figure::Cancelled,
    Figure::Received,
    Figure::Replied,
    Figure::Told,
    Figure::NotTold,
];

impl Amounts {
    fn add(&mut self, figure: Figure, amount: u64) {
        let place = match figure {
            Figure::Accepted => &mut self.accepted,
            Figure::Refused => &mut self.refused,
            Figure::Sent => &mut self.sent,
            Figure::Delivered => &mut self.delivered,
            Figure::Read => &mut self.read,
            Figure::Failed => &mut self.failed,
            Figure::Cancelled => &mut self.cancelled,
            Figure::Received => &mut self.received,
            Figure::Replied => &mut self.replied,
            Figure::Told => &mut self.told,
            Figure::NotTold => &mut self.not_told,
            Figure::Answered => return,
        };
        *place += amount;
    }
}

fn totals(summary: &Summary) -> Amounts {
    let mut amounts = Amounts::default();
    AMOUNTS.into_iter().for_each(|figure| amounts.add(figure, summary.total(figure)));
    amounts
}

fn over_time(summary: &Summary) -> Vec<Step> {
    let mut steps: BTreeMap<_, Amounts> = BTreeMap::new();
    for figure in AMOUNTS {
        for (at, amount) in summary.over_time(figure) {
            steps.entry(at).or_default().add(figure, amount);
        }
    }
    steps.into_iter().map(|(at, amounts)| Step { from: at.to_string(), amounts }).collect()
}

fn answers(times: &AnswerTimes) -> AnswersWithin {
    AnswersWithin {
        all: times.all(),
        late: times.late(),
        p50_ms: times.within_ms(0.5),
        p95_ms: times.within_ms(0.95),
        p99_ms: times.within_ms(0.99),
    }
}

fn failure(snapshot: &Snapshot, failures: &Failures) -> FailureTotal {
    let account = snapshot.account_by_key(failures.account);
    let platform = account.and_then(|account| platforms::find(&account.platform));
    FailureTotal {
        account: account.map(|account| account.id.clone()),
        reason: failures.reason.map(|reason| reason.as_str()),
        platform_code: platform.zip(failures.reason).map(|(platform, reason)| platform.failure_code(reason)),
        code: failures.code,
        said: failures.said.clone(),
        said_by: failures.said_by().map(SaidBy::as_str),
        messages: failures.messages,
    }
}
