//! How things stand: what needs a person, and each number's queue.

use actix_web::web::{Data, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Caller, account_named, connections::HoldAnswer, problem::Problem, query::Query};
use crate::{
    http::Parts,
    services::{self, masking, standing::standing},
};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StatusQuery {
    /// Only its numbers, and what touches it: its own, what it shares with others, and what is the whole server's.
    #[param(example = "acme")]
    account: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct Standing {
    #[schema(example = "0.1.0")]
    version: String,
    /// What is wrong now: the alarms that last.
    alarms: Vec<Alarm>,
    numbers: Vec<NumberStanding>,
}

#[derive(Serialize, ToSchema)]
pub struct Alarm {
    #[schema(example = "callbacks_failing")]
    kind: String,
    subject: String,
    text: String,
    since: String,
}

#[derive(Serialize, ToSchema)]
pub struct NumberStanding {
    #[schema(example = "+918880110022")]
    number: String,
    #[schema(example = "acme")]
    account: Option<String>,
    /// In the queue, due now.
    queued: i64,
    /// Waiting for a later time.
    waiting: i64,
    sending: i64,
    /// Nobody knows whether these went out.
    unknown: i64,
    oldest_queued: Option<String>,
    /// Within a quarter of an hour.
    #[schema(example = 4200)]
    sent_lately: u64,
    /// How far it was behind its pace at most, within the same time.
    #[schema(example = 0)]
    behind_ms: u64,
    hold: Option<HoldAnswer>,
}

/// What needs attention, and each number's queue.
#[utoipa::path(
    get, path = "/api/v1/status", tag = "messages", operation_id = "status", params(StatusQuery), security(("token" = [])),
    responses(
        (status = 200, description = "How things stand", body = Standing),
        (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "There is no such account", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn show(parts: Data<Parts>, caller: Caller, query: Query<StatusQuery>) -> Result<Json<Standing>, Problem> {
    let snapshot = parts.directory.snapshot();
    let account = account_named(&snapshot, query.account.as_deref())?;
    let standing = standing(&parts.store, &snapshot, &caller.0, account).await?;
    let alarms = standing.alarms.into_iter().map(|alarm| Alarm {
        kind: alarm.kind.as_str().to_owned(),
        subject: alarm.subject,
        text: masking::text(&caller.0, &alarm.text),
        since: alarm.raised_at.to_string(),
    });
    let numbers = standing.numbers.into_iter().map(|services::standing::NumberStanding { sender, queue, lately }| {
        NumberStanding {
            number: sender.number.as_e164().to_owned(),
            account: snapshot.account_by_key(sender.account).map(|account| account.id.clone()),
            queued: queue.queued,
            waiting: queue.waiting_for_retry,
            sending: queue.sending,
            unknown: queue.unknown,
            oldest_queued: queue.oldest_queued.map(|at| at.to_string()),
            sent_lately: lately.sent,
            behind_ms: lately.behind_ms,
            hold: HoldAnswer::of(&caller.0, sender.hold.as_ref()),
        }
    });
    Ok(Json(Standing {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        alarms: alarms.collect(),
        numbers: numbers.collect(),
    }))
}
