//! Asking the provider about a connection, and setting right there what can be.

use actix_web::web::{Data, Json, Path};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Body, Caller, problem::Problem};
use crate::{
    domain::{
        finding::{Finding, Level, Repair, RepairKind},
        operator::Actor,
    },
    http::Parts,
    services::{
        connections::{CheckedChannel, Fixed},
        masking,
    },
};

/// What a look at the channel found.
#[derive(Serialize, ToSchema)]
pub struct ChannelCheck {
    /// fine, doubtful or wrong: the worst of all checks.
    #[schema(example = "wrong")]
    state: &'static str,
    #[schema(example = 1840)]
    took_ms: u64,
    checks: Vec<Check>,
    /// What `fix` can set right.
    repairs: Vec<RepairOffer>,
    /// To be given to `fix`.
    #[schema(example = "https://whatsapp.example.com/webhooks/meta/meta-main")]
    webhook_url: String,
}

#[derive(Serialize, ToSchema)]
pub struct Check {
    #[schema(example = "business account 200000000000001")]
    about: String,
    /// hold, public URL, credentials, clock, webhook URL, app secret, template access, webhook subscription, number, quality,
    /// throughput level, messaging limit, or where webhooks go.
    #[schema(example = "webhook subscription")]
    check: Option<&'static str>,
    /// fine, doubtful, wrong, or not_checked: something else must be mended first.
    #[schema(example = "wrong")]
    state: &'static str,
    #[schema(example = "no app is subscribed to it: no status and no reply will ever come")]
    text: String,
    /// What to do.
    remedy: Option<String>,
    #[schema(example = 84)]
    took_ms: Option<u64>,
}

/// Something at the provider that can be set right from here, and the request that does it.
#[derive(Serialize, ToSchema)]
pub struct RepairOffer {
    /// subscribe_account or route_number.
    #[schema(example = "subscribe_account")]
    kind: &'static str,
    /// The provider's id of what is changed.
    #[schema(example = "200000000000001")]
    id: String,
    what: String,
    #[schema(example = "POST")]
    method: &'static str,
    #[schema(example = "https://graph.facebook.com/v26.0/200000000000001/subscribed_apps")]
    url: String,
    /// With dots in the place of secrets.
    body: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FixRequest {
    /// `webhook_url` as the check gave it.
    #[schema(example = "https://whatsapp.example.com/webhooks/meta/meta-main", max_length = 4096)]
    webhook_url: String,
    #[schema(min_items = 1, max_items = 50)]
    repairs: Vec<WantedRepair>,
}

/// A repair as the check offered it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WantedRepair {
    /// subscribe_account or route_number.
    #[schema(example = "subscribe_account")]
    kind: String,
    #[schema(example = "200000000000001")]
    id: String,
}

#[derive(Serialize, ToSchema)]
pub struct FixAnswer {
    repairs: Vec<RepairDone>,
}

#[derive(Serialize, ToSchema)]
pub struct RepairDone {
    #[schema(example = "subscribe_account")]
    kind: &'static str,
    #[schema(example = "200000000000001")]
    id: String,
    /// The provider did it.
    #[schema(example = true)]
    done: bool,
    /// What it said, when it did not.
    failure: Option<String>,
}

/// Ask the provider about everything that a connection and its numbers need. Changes nothing there.
#[utoipa::path(
    post, path = "/api/v1/connections/{id}/check", tag = "connections", operation_id = "check_connection", security(("token" = [])),
    params(("id" = String, Path, description = "The connection", example = "meta-main")),
    responses(
        (status = 200, description = "What was found", body = ChannelCheck),
        (status = 403, description = "Needs the scope queues:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such connection", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Others are being checked already", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn check(parts: Data<Parts>, caller: Caller, id: Path<String>) -> Result<Json<ChannelCheck>, Problem> {
    let checked = parts.connections.check(&caller.0, &id, None).await?;
    Ok(Json(channel_check(&caller.0, &parts, &checked)))
}

/// Do at the provider what a check offered: subscribe the app to a business account, or bring webhooks here.
#[utoipa::path(
    post, path = "/api/v1/connections/{id}/fix", tag = "connections", operation_id = "fix_connection", security(("token" = [])),
    params(("id" = String, Path, description = "The connection", example = "meta-main")), request_body = FixRequest,
    responses(
        (status = 200, description = "What came of each", body = FixAnswer),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope configuration:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such connection", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Webhooks belong elsewhere by now", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "There is no such repair", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn fix(
    parts: Data<Parts>,
    caller: Caller,
    id: Path<String>,
    body: Body<FixRequest>,
) -> Result<Json<FixAnswer>, Problem> {
    let FixRequest { webhook_url, repairs } = body.into_inner();
    let named = |(place, wanted): (usize, WantedRepair)| {
        let kind = RepairKind::parse(&wanted.kind);
        let field = || format!("repairs[{place}].kind");
        let unknown = || Problem::of_field(&field(), "a kind is subscribe_account or route_number");
        kind.map(|kind| (kind, wanted.id)).ok_or_else(unknown)
    };
    let wanted: Vec<_> = repairs.into_iter().enumerate().map(named).collect::<Result<_, _>>()?;
    let fixed = parts.connections.fix(&caller.0, &id, &wanted, &webhook_url).await?;
    Ok(Json(FixAnswer { repairs: fixed.into_iter().map(|fixed| repair_done(&caller.0, fixed)).collect() }))
}

pub(super) fn channel_check(actor: &Actor, parts: &Parts, checked: &CheckedChannel) -> ChannelCheck {
    let connection = &checked.connection;
    let worst = |level| checked.findings.iter().any(|finding| finding.level == level);
    ChannelCheck {
        state: match (worst(Level::Wrong), worst(Level::Doubtful)) {
            (true, _) => "wrong",
            (false, true) => "doubtful",
            (false, false) => "fine",
        },
        took_ms: u64::try_from(checked.took.as_millis()).unwrap_or(u64::MAX),
        checks: checked.findings.iter().map(|finding| check_answer(actor, finding)).collect(),
        repairs: checked.repairs.iter().map(repair_offer).collect(),
        webhook_url: parts.connections.webhook_url(&connection.provider, &connection.id),
    }
}

fn check_answer(actor: &Actor, finding: &Finding) -> Check {
    Check {
        about: finding.about.clone(),
        check: finding.topic.map(|topic| topic.as_str()),
        state: match finding.level {
            Level::Fine => "fine",
            Level::Doubtful => "doubtful",
            Level::Wrong => "wrong",
            Level::NotChecked => "not_checked",
        },
        text: masking::text(actor, &finding.text),
        remedy: finding.remedy.clone(),
        took_ms: finding.took_ms,
    }
}

fn repair_offer(repair: &Repair) -> RepairOffer {
    RepairOffer {
        kind: repair.kind.as_str(),
        id: repair.id.clone(),
        what: repair.what.clone(),
        method: repair.request.method,
        url: repair.request.url.clone(),
        body: repair.request.body.clone(),
    }
}

fn repair_done(actor: &Actor, fixed: Fixed) -> RepairDone {
    RepairDone {
        kind: fixed.repair.kind.as_str(),
        id: fixed.repair.id,
        done: fixed.failure.is_none(),
        failure: fixed.failure.map(|failure| masking::text(actor, &failure)),
    }
}
