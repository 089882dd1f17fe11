//! Alarms: what is watched and wrong, what was told, and a test.

use actix_web::web::{Data, Json};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::{Caller, page_size, problem::Problem, query::Query};
use crate::{
    http::Parts,
    net::redact,
    services::{
        alarms::{
            Told, recipients,
            view::{self, Watched},
        },
        webhooks::Allowed,
    },
    store::{
        alarm_letters::{SentLetter, SentWay},
        alarm_recipients::StoredRecipients,
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
    /// webhook and e-mail are those of the server's settings, console webhook and console e-mail those that people set.
    #[schema(example = "webhook")]
    way: String,
    /// The webhook's host, or the addresses.
    #[schema(example = "https://alerts.example.com/…")]
    to: String,
    /// It is changed in the server's settings, and nowhere else.
    of_settings: bool,
    /// The only kinds that go this way; none: all.
    kinds: Vec<String>,
}

/// Who is told of alarms besides those whom the server's settings name.
#[derive(Serialize, ToSchema)]
pub struct AlarmRecipients {
    emails: Vec<String>,
    /// Scheme and host; the rest is a secret.
    #[schema(example = "https://alerts.example.com/…")]
    webhook_url: Option<String>,
    /// A secret signs what is posted.
    signed: bool,
    /// The only kinds of alarms that they hear of; none: all.
    kinds: Vec<String>,
    /// The server's settings name a server that takes e-mail; without one nobody gets any.
    can_mail: bool,
    version: String,
}

/// What is left out stays, and `null` takes away. The URL and the secret are taken here, and never given.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the service reads the patch; this only describes it")]
#[schema(example = json!({
    "emails": ["ops@example.com"], "webhook_url": "https://hooks.example.com/alarms", "webhook_secret": "choose-one",
    "kinds": ["quality_red", "callbacks_failing"]
}))]
pub struct AlarmRecipientsChange {
    /// 20 at most.
    #[schema(max_items = 20)]
    emails: Option<Vec<String>>,
    /// Secret.
    webhook_url: Option<String>,
    /// Secret: signs as alarms.webhook_secret of the settings does. It goes with its URL.
    #[schema(min_length = 1, max_length = 256)]
    webhook_secret: Option<String>,
    /// Words of kinds, as the list of alarms has them.
    kinds: Option<Vec<String>>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RecipientsQuery {
    /// The version that was seen: refused with 409 when they are others now.
    version: Option<String>,
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
    /// What came of each way; none: it was for no way that is set up, and only the log has it.
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
    ways: Vec<TestedWay>,
}

#[derive(Serialize, ToSchema)]
pub struct TestedWay {
    #[schema(example = "webhook")]
    way: String,
    /// What it said when it took the letter.
    #[schema(example = "HTTP 204")]
    answer: Option<String>,
    /// Why it did not take the letter.
    failure: Option<String>,
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
    let ways = parts.alarm_ways.set_up(&parts.store).await?.into_iter().map(|way| AlarmWay {
        way: way.name.to_owned(),
        to: way.to,
        of_settings: way.is_of_settings,
        kinds: way.kinds,
    });
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
    let way = |told: Told| {
        let (answer, failure) = match told.result {
            Ok(answer) => (Some(answer), None),
            Err(why) => (None, Some(why)),
        };
        TestedWay { way: told.way.to_owned(), answer, failure }
    };
    let ways: Vec<TestedWay> = told.into_iter().map(way).collect();
    Ok(Json(AlarmTest { done: ways.iter().all(|way| way.failure.is_none()), ways }))
}

/// Who is told besides those of the server's settings.
#[utoipa::path(
    get, path = "/api/v1/alarms/recipients", tag = "system", operation_id = "show_alarm_recipients", security(("token" = [])),
    responses(
        (status = 200, description = "Who is told", body = AlarmRecipients),
        (status = 403, description = "Needs the scope system:read", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn show_recipients(parts: Data<Parts>, caller: Caller) -> Result<Json<AlarmRecipients>, Problem> {
    let stored = recipients::see(&parts.store, &caller.0).await?;
    Ok(Json(shown(&parts, stored)))
}

/// Change who is told besides those of the server's settings: a JSON merge patch.
#[utoipa::path(
    patch, path = "/api/v1/alarms/recipients", tag = "system", operation_id = "change_alarm_recipients", security(("token" = [])),
    params(RecipientsQuery), request_body(content = AlarmRecipientsChange, example = json!({"emails": ["ops@example.com"]})),
    responses(
        (status = 200, description = "Who is told now", body = AlarmRecipients),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope configuration:manage", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Somebody else changed it meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Values cannot be used; each is named", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn change_recipients(
    parts: Data<Parts>,
    caller: Caller,
    query: Query<RecipientsQuery>,
    body: Json<Map<String, Value>>,
) -> Result<Json<AlarmRecipients>, Problem> {
    let allowed = Allowed::by(&parts.settings);
    let stored = recipients::change(&parts.store, allowed, &caller.0, &body, query.version.as_deref()).await?;
    Ok(Json(shown(&parts, stored)))
}

fn shown(parts: &Parts, stored: StoredRecipients) -> AlarmRecipients {
    let version = recipients::version(&stored);
    let set = stored.recipients;
    AlarmRecipients {
        emails: set.emails,
        webhook_url: set.webhook_url.as_ref().map(|url| redact::url(url.expose())),
        signed: set.webhook_secret.is_some(),
        kinds: set.kinds,
        can_mail: parts.alarm_ways.can_mail(),
        version,
    }
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
