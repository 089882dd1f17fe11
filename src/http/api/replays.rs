//! Callbacks, told again: asking for it, how far it has come, and ending it early.

use actix_web::{
    HttpResponse,
    web::{Data, Json, Path},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Body, Caller, account_named,
    callback_events::because,
    messages::{time, word},
    page_size,
    problem::Problem,
    query::Query,
};
use crate::{
    clock,
    domain::{
        ids::{Place, SubscriptionKey},
        operator::{Actor, Permission},
        replay::ReplayOf,
        time::UnixMillis,
    },
    http::Parts,
    services::{
        callbacks, masking,
        operators::{Refusal, require},
        replay::{self, Wish, check_on, plan},
    },
    store::{configuration::Configuration, replays::Replay, told::WantedStanding},
};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReplayQuery {
    /// Only to this callback URL, by its number.
    callback_url: Option<i32>,
    /// So many at most, 1 to 200; 50 unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

#[derive(Serialize, ToSchema)]
pub struct ReplayList {
    /// The newest first; those under way before those that ended.
    replays: Vec<ReplayAnswer>,
}

/// A replay as it stands.
#[derive(Serialize, ToSchema)]
pub struct ReplayAnswer {
    #[schema(example = 12)]
    id: i32,
    #[schema(example = 3)]
    callback_url: i32,
    /// dead, not_relayed, delivered or all.
    #[schema(example = "dead")]
    state: String,
    /// How many events it was about when it was asked for.
    #[schema(example = 1200)]
    wanted: i64,
    /// Taken by the platform.
    #[schema(example = 800)]
    told: i64,
    /// Refused again.
    #[schema(example = 0)]
    refused: i64,
    /// Tests, and what the platform has no words for.
    #[schema(example = 0)]
    passed: i64,
    /// Events a second, on average.
    #[schema(example = 40.0)]
    pace: f64,
    /// Events a second that were wanted at most.
    rate: Option<i32>,
    finished: bool,
    /// The trouble that it is in, or why it ended early.
    note: Option<String>,
    asked_at: String,
    finished_at: Option<String>,
}

impl ReplayAnswer {
    pub(super) fn of(actor: &Actor, replay: &Replay) -> Self {
        Self {
            id: replay.id,
            callback_url: replay.subscription.0,
            state: replay.selection.of.as_str().to_owned(),
            wanted: replay.wanted,
            told: replay.told,
            refused: replay.refused,
            passed: replay.passed,
            pace: (replay::pace(replay, clock::now()).1 * 10.0).round() / 10.0,
            rate: replay.per_second,
            finished: replay.finished_at.is_some(),
            note: replay.note.as_ref().map(|note| masking::text(actor, note)),
            asked_at: replay.created_at.to_string(),
            finished_at: replay.finished_at.map(|at| at.to_string()),
        }
    }
}

/// What is to be told again; everything that is named must fit, and one of account, callback_url and message must be named.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayRequest {
    #[schema(example = "acme")]
    account: Option<String>,
    /// A callback URL by its number.
    #[schema(example = 3)]
    callback_url: Option<i32>,
    /// About this message: an id of ours, of CleverTap or of WhatsApp.
    message: Option<String>,
    /// Only the event at this place of the log; needs account or callback_url.
    place: Option<i64>,
    /// dead, not_relayed, delivered or all. Unless said otherwise dead; with message or place all.
    #[schema(example = "dead")]
    state: Option<String>,
    /// Of what is dead or was not relayed: the code of the last answer.
    #[schema(example = 500)]
    answered: Option<i16>,
    /// Of what is dead or was not relayed: stands in the reason why; with `personal:read`.
    reason: Option<String>,
    /// Heard at this time or later, in RFC 3339. Of a webhook, `all` begins with its creation unless an earlier time is given here.
    #[schema(example = "2026-11-21T09:30:00Z")]
    since: Option<String>,
    /// Heard before this time.
    until: Option<String>,
    /// Events a second to each URL, at most.
    #[schema(example = 50, minimum = 1, maximum = 100_000)]
    rate: Option<i32>,
    /// Only count them.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Serialize, ToSchema)]
pub struct ReplayStarted {
    /// How many events it is about.
    #[schema(example = 1200)]
    events: i64,
    /// One for each callback URL and message; none after a dry run.
    replays: Vec<ReplayAnswer>,
}

/// So far back replays are listed that came to an end.
const LISTED_FOR: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 60 * 60);

/// Replays under way, and those that ended within a week.
#[utoipa::path(
    get, path = "/api/v1/replays", tag = "callbacks", operation_id = "list_replays", params(ReplayQuery), security(("token" = [])),
    responses(
        (status = 200, description = "The replays", body = ReplayList),
        (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(parts: Data<Parts>, caller: Caller, query: Query<ReplayQuery>) -> Result<Json<ReplayList>, Problem> {
    require(&caller.0, Permission::ReadMessages)?;
    let limit = page_size(query.limit)?;
    let found = match query.callback_url {
        Some(key) => parts.store.replays_of(SubscriptionKey(key), limit).await?,
        None => parts.store.replays_since(clock::now().minus(LISTED_FOR), limit).await?,
    };
    Ok(Json(ReplayList { replays: found.iter().map(|replay| ReplayAnswer::of(&caller.0, replay)).collect() }))
}

/// One replay as it stands.
#[utoipa::path(
    get, path = "/api/v1/replays/{id}", tag = "callbacks", operation_id = "show_replay", security(("token" = [])),
    params(("id" = i32, Path, description = "Its number", example = 12)),
    responses(
        (status = 200, description = "The replay", body = ReplayAnswer),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such replay", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn show(parts: Data<Parts>, caller: Caller, id: Path<i32>) -> Result<Json<ReplayAnswer>, Problem> {
    let replay = replay::one(&parts.store, &caller.0, *id).await?;
    Ok(Json(ReplayAnswer::of(&caller.0, &replay)))
}

/// Tell callbacks again: what was refused, what grew too old, or what the platform lost.
#[utoipa::path(
    post, path = "/api/v1/replays", tag = "callbacks", operation_id = "start_replay", request_body = ReplayRequest, security(("token" = [])),
    responses(
        (status = 200, description = "A dry run, or nothing matches", body = ReplayStarted),
        (status = 202, description = "They are told again by the server, in order for each message", body = ReplayStarted),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope callbacks:replay", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Too many replays of this URL wait already, or its webhook is off: switch it on first", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn start(parts: Data<Parts>, caller: Caller, body: Body<ReplayRequest>) -> Result<HttpResponse, Problem> {
    let actor = &caller.0;
    require(actor, Permission::ReplayCallbacks)?;
    let configuration = parts.store.load_configuration().await?;
    let wish = wish(&parts, actor, &configuration, &body).await?;
    if !body.dry_run {
        let named = configuration.subscriptions_ever().filter(|known| Some(known.key) == wish.subscription);
        check_on(named).map_err(Refusal::from)?;
    }
    let planned = plan(&parts.store, &configuration, &wish).await?;
    let events = planned.iter().map(|part| part.events).sum();
    if body.dry_run || events == 0 {
        return Ok(HttpResponse::Ok().json(ReplayStarted { events, replays: vec![] }));
    }
    let begun = replay::begin(&parts.store, actor, &planned, body.rate).await?;
    let replays = begun.iter().map(|replay| ReplayAnswer::of(actor, replay)).collect();
    Ok(HttpResponse::Accepted().json(ReplayStarted { events, replays }))
}

/// End a replay early.
#[utoipa::path(
    delete, path = "/api/v1/replays/{id}", tag = "callbacks", operation_id = "stop_replay", security(("token" = [])),
    params(("id" = i32, Path, description = "Its number", example = 12)),
    responses(
        (status = 204, description = "It is ended; what is in flight is still finished"),
        (status = 403, description = "Needs the scopes callbacks:replay and messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such replay", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It has ended already", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn stop(parts: Data<Parts>, caller: Caller, id: Path<i32>) -> Result<HttpResponse, Problem> {
    replay::stop(&parts.store, &caller.0, *id).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn wish(
    parts: &Parts,
    actor: &Actor,
    configuration: &Configuration,
    body: &ReplayRequest,
) -> Result<Wish, Problem> {
    if body.account.is_none() && body.callback_url.is_none() && body.message.is_none() {
        return Err(Problem::of_field("account", "say whose: name account, callback_url or message"));
    }
    if body.place.is_some() && body.account.is_none() && body.callback_url.is_none() {
        return Err(Problem::of_field(
            "place",
            "a place belongs to the log of an account: name account or callback_url",
        ));
    }
    let account = account_named(&parts.directory.snapshot(), body.account.as_deref())?;
    if let Some(key) = body.callback_url
        && !configuration.subscriptions_ever().any(|known| known.key.0 == key)
    {
        return Err(Problem::of_field("callback_url", format!("there is no callback URL {key}")));
    }
    let message = body.message.as_deref().unwrap_or_default();
    let one = body.message.is_some() || body.place.is_some();
    let of = word("state", body.state.as_deref(), &ReplayOf::ALL, ReplayOf::as_str)?;
    let of = of.unwrap_or(if one { ReplayOf::All } else { ReplayOf::Dead });
    let wanted = match of {
        ReplayOf::Dead => WantedStanding::Dead,
        ReplayOf::NotRelayed => WantedStanding::NotRelayed,
        ReplayOf::Delivered | ReplayOf::All => WantedStanding::Delivered,
    };
    let time = |field, text: &Option<String>| -> Result<Option<UnixMillis>, Problem> { time(field, text.as_deref()) };
    Ok(Wish {
        of,
        because: because(actor, (body.answered, body.reason.clone()), Some(wanted))?,
        account,
        subscription: body.callback_url.map(SubscriptionKey),
        messages: callbacks::messages_meant(&parts.store, configuration, message).await?,
        place: body.place.map(Place),
        since: time("since", &body.since)?,
        until: time("until", &body.until)?,
    })
}
