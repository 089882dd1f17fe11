//! Alarms: what is watched and wrong, what was told, and a test.

use actix_web::web::{Data, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Caller, page_size, problem::Problem, query::Query};
use crate::{
    http::Parts,
    services::alarms::{
        Told,
        view::{self, Watched},
    },
    store::{
        alarm_letters::{SentLetter, SentWay},
        alarms::AlarmRecord,
    },
};

#[derive(Serialize, ToSchema)]
pub struct AlarmStanding {
    /// Who is told; nobody but the log when there is none.
    ways: Vec<AlarmWay>,
    kinds: Vec<WatchedKind>,
}

#[derive(Serialize, ToSchema)]
pub struct AlarmWay {
    /// webhook or e-mail.
    #[schema(example = "webhook")]
    way: String,
    /// The webhook's host, or the addresses.
    #[schema(example = "https://alerts.example.com/***")]
    to: String,
}

/// A kind of alarm, and how it stands.
#[derive(Serialize, ToSchema)]
pub struct WatchedKind {
    #[schema(example = "callbacks_failing")]
    kind: String,
    /// What is wrong then.
    meaning: String,
    /// From when on it is an alarm; none: at once.
    threshold: Option<String>,
    /// What is wrong now.
    raised: Vec<RaisedAlarm>,
}

#[derive(Serialize, ToSchema)]
pub struct RaisedAlarm {
    #[schema(example = "number +918880110022")]
    subject: String,
    text: String,
    since: String,
    /// When it was last told.
    told_at: Option<String>,
    /// The ways that took it then.
    #[schema(example = "webhook, e-mail")]
    told_by: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LetterQuery {
    /// `next` of the page before.
    before: Option<i32>,
    /// Letters on a page, 1 to 200; 50 unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// A page of what was told, the newest first.
#[derive(Serialize, ToSchema)]
pub struct LetterList {
    letters: Vec<AlarmLetter>,
    /// `before` of the next page; none after the last.
    next: Option<i32>,
}

#[derive(Serialize, ToSchema)]
pub struct AlarmLetter {
    at: String,
    #[schema(example = "one")]
    instance: String,
    #[schema(example = "wabridge: number +918880110022: on hold")]
    subject: String,
    text: String,
    /// What came of each way; none: no way is set up, and only the log has it.
    ways: Vec<LetterWay>,
}

#[derive(Serialize, ToSchema)]
pub struct LetterWay {
    #[schema(example = "webhook")]
    way: String,
    /// Why it did not take the letter.
    failure: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct AlarmTest {
    /// Every way took it.
    done: bool,
    ways: Vec<LetterWay>,
}

/// What is watched, what is wrong, and who is told.
#[utoipa::path(
    get, path = "/api/v1/alarms", tag = "system", operation_id = "show_alarms", security(("token" = [])),
    responses(
        (status = 200, description = "How alarms stand", body = AlarmStanding),
        (status = 403, description = "Needs the scope system:read", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn show(parts: Data<Parts>, caller: Caller) -> Result<Json<AlarmStanding>, Problem> {
    let watched = view::watched(&parts.store, &parts.settings.alarms, &caller.0).await?;
    let ways = parts.alarm_ways.set_up().into_iter().map(|(way, to)| AlarmWay { way: way.to_owned(), to });
    Ok(Json(AlarmStanding { ways: ways.collect(), kinds: watched.into_iter().map(kind).collect() }))
}

/// What was told.
#[utoipa::path(
    get, path = "/api/v1/alarms/letters", tag = "system", operation_id = "list_alarm_letters", params(LetterQuery), security(("token" = [])),
    responses(
        (status = 200, description = "A page of letters, the newest first", body = LetterList),
        (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope system:read", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn letters(
    parts: Data<Parts>,
    caller: Caller,
    query: Query<LetterQuery>,
) -> Result<Json<LetterList>, Problem> {
    let limit = page_size(query.limit)?;
    let letters = view::letters(&parts.store, &caller.0, query.before, limit).await?;
    let next = letters.last().filter(|_| letters.len() == limit).map(|(key, _)| *key);
    Ok(Json(LetterList { letters: letters.into_iter().map(|(_, sent)| letter(sent)).collect(), next }))
}

/// Send one alarm by every way that is set up.
#[utoipa::path(
    post, path = "/api/v1/alarms/test", tag = "system", operation_id = "test_alarms", security(("token" = [])),
    responses(
        (status = 200, description = "What came of each way", body = AlarmTest),
        (status = 403, description = "Needs the scope alarms:test", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "No way is set up", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn test(parts: Data<Parts>, caller: Caller) -> Result<Json<AlarmTest>, Problem> {
    let told = view::test(&parts.alarm_ways, &parts.store, &caller.0).await?;
    let way = |told: Told| LetterWay { way: told.way.to_owned(), failure: told.result.err() };
    let ways: Vec<LetterWay> = told.into_iter().map(way).collect();
    Ok(Json(AlarmTest { done: ways.iter().all(|way| way.failure.is_none()), ways }))
}

fn kind(watched: Watched) -> WatchedKind {
    let raised = |record: AlarmRecord| RaisedAlarm {
        subject: record.subject,
        text: record.text,
        since: record.raised_at.to_string(),
        told_at: record.told_at.map(|at| at.to_string()),
        told_by: record.told_by,
    };
    WatchedKind {
        kind: watched.kind.as_str().to_owned(),
        meaning: watched.kind.meaning().to_owned(),
        threshold: watched.threshold,
        raised: watched.raised.into_iter().map(raised).collect(),
    }
}

fn letter(sent: SentLetter) -> AlarmLetter {
    let way = |SentWay { way, failure }: SentWay| LetterWay { way, failure };
    AlarmLetter {
        at: sent.at.to_string(),
        instance: sent.instance,
        subject: sent.subject,
        text: sent.text,
        ways: sent.ways.into_iter().map(way).collect(),
    }
}
