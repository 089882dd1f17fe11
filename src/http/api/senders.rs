//! Business numbers: how each stands, stopping one and letting it go on, asking the provider about it, and whose window is open.

use actix_web::{
    HttpResponse,
    web::{Data, Json, Path},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Body, Caller,
    channel_check::{ChannelCheck, channel_check},
    connections::{HeldNow, HoldAnswer, HoldReason, ReleasedNow, Versions, alarm_texts, version_of},
    problem::Problem,
    query::Query,
};
use crate::{
    domain::{operator::Actor, phone::PhoneNumber},
    http::Parts,
    services::{
        configure::{Kind, Patch, Subject},
        connections::{NumberStanding, no_number},
        masking, removal,
        window::{Window, window},
    },
};

#[derive(Serialize, ToSchema)]
pub struct SenderList {
    senders: Vec<Sender>,
}

/// A business number, and how it stands.
#[derive(Serialize, ToSchema)]
pub struct Sender {
    #[schema(example = "+918880110022")]
    number: String,
    #[schema(example = "acme")]
    account: Option<String>,
    #[schema(example = "meta-main")]
    connection: String,
    /// The provider's id of the number.
    #[schema(example = "100000000000001")]
    phone_number_id: String,
    /// The provider's id of the business account.
    #[schema(example = "200000000000001")]
    waba_id: String,
    /// How fast the provider lets it send.
    #[schema(example = 80)]
    messages_per_second: u32,
    /// How fast it sends at most: that, or its part of what its account may.
    #[schema(example = 80)]
    pace: u32,
    /// For location headers without a name.
    location_name: Option<String>,
    /// For location headers without an address.
    location_address: Option<String>,
    hold: Option<HoldAnswer>,
    /// Whether its connection is on hold, which stops it as well.
    connection_on_hold: bool,
    /// What is wrong with it now.
    alarms: Vec<String>,
    provider_view: ProviderView,
    poll_trouble: Option<PollTroubleAnswer>,
    messaging_limit: Option<LimitAnswer>,
    queue: Queue,
    /// To be given with a change, so that nobody else's is overwritten. None of what was taken away meanwhile.
    #[schema(example = "0f2c9a4be18d73560f2c9a4b")]
    version: Option<String>,
}

/// What a number is given: keys and values as in the apply file, and its `account`.
#[derive(Deserialize, ToSchema)]
#[schema(value_type = Object)]
pub struct NewSender(Patch);

/// What shall be different: keys and values as in the apply file, `null` for the default; what is not named stays. With the
/// `version` that was seen, a change that somebody else made meanwhile is not overwritten.
#[derive(Deserialize, ToSchema)]
#[schema(value_type = Object)]
pub struct SenderChange(Patch);

/// As the provider saw the number when it was last asked.
#[derive(Serialize, ToSchema)]
pub struct ProviderView {
    read_at: Option<String>,
    /// Why the last reading failed.
    failure: Option<String>,
    #[schema(example = "Acme Retail")]
    name: Option<String>,
    /// green, yellow, RED or unknown.
    #[schema(example = "green")]
    quality: Option<&'static str>,
    #[schema(example = "CONNECTED")]
    status: Option<String>,
    #[schema(example = "STANDARD")]
    throughput: Option<String>,
    #[schema(example = "2000 people a day")]
    messaging_limit: Option<String>,
    /// What a person should look at.
    warnings: Vec<String>,
}

/// Where the provider must be asked what happened (`poll_every_s`): why it cannot be, or what could not be seen.
#[derive(Serialize, ToSchema)]
pub struct PollTroubleAnswer {
    #[schema(example = "HTTP 429: Too many requests")]
    text: String,
    since: String,
    /// It is not asked before; none: it was asked, and something was beyond the provider’s limits.
    again_at: Option<String>,
}

/// How much of the limit is used of how many people may be written to first within 24 hours.
#[derive(Serialize, ToSchema)]
pub struct LimitAnswer {
    /// By all numbers that share it.
    #[schema(example = 412)]
    people: u64,
    #[schema(example = 2000)]
    people_max: u64,
    /// Messages of this number that wait for a place.
    #[schema(example = 0)]
    waiting: i64,
    /// None: a place is free.
    next_free_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct Queue {
    #[schema(example = 1200)]
    queued: i64,
    oldest_queued_at: Option<String>,
    #[schema(example = 3)]
    waiting: i64,
    #[schema(example = 8)]
    sending: i64,
    #[schema(example = 0)]
    unknown: i64,
    /// The instance that sends from it.
    instance: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WindowQuery {
    /// The person's number, with country code.
    #[param(example = "+919876500001")]
    phone: String,
}

#[derive(Serialize, ToSchema)]
pub struct WindowAnswer {
    /// open, closed, or unknown: the log is so full that only a part of the 24 hours was looked through.
    #[schema(example = "open")]
    state: &'static str,
    /// When the person last wrote.
    wrote_at: Option<String>,
    /// Freeform messages are delivered until then.
    open_until: Option<String>,
    /// Of `unknown`: nothing came since then.
    looked_back_to: Option<String>,
}

/// Business numbers and how they stand.
#[utoipa::path(
    get, path = "/api/v1/senders", tag = "connections", operation_id = "list_senders", security(("token" = [])),
    responses(
        (status = 200, description = "The numbers", body = SenderList),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(parts: Data<Parts>, caller: Caller) -> Result<Json<SenderList>, Problem> {
    let numbers = parts.connections.numbers(&caller.0).await?;
    let versions = Versions::read(&parts, &caller.0).await?;
    Ok(Json(SenderList { senders: numbers.iter().map(|number| sender(&caller.0, number, &versions)).collect() }))
}

/// Add a business number to an account.
#[utoipa::path(
    post, path = "/api/v1/senders", tag = "connections", operation_id = "add_sender", security(("token" = [])),
    request_body(content = NewSender, example = json!({
        "account": "acme", "number": "+918880110033", "connection": "meta-main", "phone_number_id": "100000000000002",
        "waba_id": "200000000000001", "messages_per_second": 80
    })),
    responses(
        (status = 201, description = "Added", body = Sender),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope configuration:manage", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields must be changed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn add(parts: Data<Parts>, caller: Caller, body: Body<NewSender>) -> Result<HttpResponse, Problem> {
    let written = parts.configuring.add(&caller.0, Kind::Sender, &body.0).await?;
    Ok(HttpResponse::Created().json(answer(&parts, &caller.0, written.seen.text("number")).await?))
}

/// Change a business number. Its account stays.
#[utoipa::path(
    patch, path = "/api/v1/senders/{number}", tag = "connections", operation_id = "change_sender", security(("token" = [])),
    params(("number" = String, Path, description = "With country code", example = "918880110022")),
    request_body(content = SenderChange, example = json!({"messages_per_second": 1000, "version": "0f2c9a4be18d73560f2c9a4b"})),
    responses(
        (status = 200, description = "As it is now", body = Sender),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope configuration:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such number", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Somebody else changed it meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields must be changed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn change(
    parts: Data<Parts>,
    caller: Caller,
    number: Path<String>,
    body: Body<SenderChange>,
) -> Result<Json<Sender>, Problem> {
    let mut patch = body.into_inner().0;
    let version = version_of(&mut patch)?;
    let subject = PhoneNumber::from_international(&number).map(Subject::Sender).ok_or_else(|| no_number(&number))?;
    parts.configuring.change(&caller.0, &subject, &patch, version.as_deref()).await?;
    Ok(Json(answer(&parts, &caller.0, &number).await?))
}

/// One business number and how it stands.
#[utoipa::path(
    get, path = "/api/v1/senders/{number}", tag = "connections", operation_id = "show_sender", security(("token" = [])),
    params(("number" = String, Path, description = "With country code", example = "918880110022")),
    responses(
        (status = 200, description = "The number", body = Sender),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such number", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn show(parts: Data<Parts>, caller: Caller, number: Path<String>) -> Result<Json<Sender>, Problem> {
    Ok(Json(answer(&parts, &caller.0, &number).await?))
}

/// Remove a business number. While messages wait at it, or its own callback URLs are to be told of an event, it is refused and says what
/// helps. Messages and what happened to them can be looked up until they are too old to be kept.
#[utoipa::path(
    delete, path = "/api/v1/senders/{number}", tag = "connections", operation_id = "remove_sender", security(("token" = [])),
    params(("number" = String, Path, description = "With country code", example = "918880110022")),
    responses(
        (status = 204, description = "It is removed"),
        (status = 403, description = "Needs the scope configuration:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such number", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It still has work, which is named", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn remove(parts: Data<Parts>, caller: Caller, number: Path<String>) -> Result<HttpResponse, Problem> {
    let subject = PhoneNumber::from_international(&number).map(Subject::Sender).ok_or_else(|| no_number(&number))?;
    removal::remove(&parts.store, &parts.directory, &caller.0, &subject).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Stop sending from a number. Messages are still accepted, and wait until it is released or they expire.
#[utoipa::path(
    post, path = "/api/v1/senders/{number}/hold", tag = "connections", operation_id = "hold_sender", security(("token" = [])),
    params(("number" = String, Path, description = "With country code", example = "918880110022")), request_body = HoldReason,
    responses(
        (status = 200, description = "It is on hold", body = HeldNow),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope queues:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such number", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The reason cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn hold(
    parts: Data<Parts>,
    caller: Caller,
    number: Path<String>,
    body: Body<HoldReason>,
) -> Result<Json<HeldNow>, Problem> {
    let held = parts.connections.hold_number(&caller.0, &number, &body.reason).await?;
    Ok(Json(HeldNow { held }))
}

/// Let a number go on.
#[utoipa::path(
    post, path = "/api/v1/senders/{number}/release", tag = "connections", operation_id = "release_sender", security(("token" = [])),
    params(("number" = String, Path, description = "With country code", example = "918880110022")),
    responses(
        (status = 200, description = "Nothing holds it any more, unless its connection is on hold", body = ReleasedNow),
        (status = 403, description = "Needs the scope queues:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such number", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn release(parts: Data<Parts>, caller: Caller, number: Path<String>) -> Result<Json<ReleasedNow>, Problem> {
    let released = parts.connections.release_number(&caller.0, &number).await?;
    Ok(Json(ReleasedNow { released }))
}

/// Ask the provider about everything that one number and its connection need. Changes nothing there.
#[utoipa::path(
    post, path = "/api/v1/senders/{number}/check", tag = "connections", operation_id = "check_sender", security(("token" = [])),
    params(("number" = String, Path, description = "With country code", example = "918880110022")),
    responses(
        (status = 200, description = "What was found", body = ChannelCheck),
        (status = 403, description = "Needs the scope queues:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such number", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Others are being checked already", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn check(parts: Data<Parts>, caller: Caller, number: Path<String>) -> Result<Json<ChannelCheck>, Problem> {
    let standing = parts.connections.number(&caller.0, &number).await?;
    let sender = &standing.sender;
    let checked = parts.connections.check(&caller.0, &sender.connection.id, Some(&sender.number)).await?;
    Ok(Json(channel_check(&caller.0, &parts, &checked)))
}

/// Whether a person may be sent a freeform message from a number: only who wrote to it within 24 hours.
#[utoipa::path(
    get, path = "/api/v1/senders/{number}/window", tag = "connections", operation_id = "show_window", security(("token" = [])),
    params(("number" = String, Path, description = "With country code", example = "918880110022"), WindowQuery),
    responses(
        (status = 200, description = "What is known of it", body = WindowAnswer),
        (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such number", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The person's number cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn show_window(
    parts: Data<Parts>,
    caller: Caller,
    number: Path<String>,
    query: Query<WindowQuery>,
) -> Result<Json<WindowAnswer>, Problem> {
    let standing = parts.connections.number(&caller.0, &number).await?;
    let person = PhoneNumber::parse(&query.phone, standing.default_country());
    let person = person.map_err(|error| Problem::of_field("phone", error.to_string()))?;
    let known = window(&parts.store, &caller.0, &standing.sender, &person).await?;
    let nothing = WindowAnswer { state: "closed", wrote_at: None, open_until: None, looked_back_to: None };
    Ok(Json(match known {
        Window::Open { wrote_at, until } => WindowAnswer {
            state: "open",
            wrote_at: Some(wrote_at.to_string()),
            open_until: Some(until.to_string()),
            ..nothing
        },
        Window::Closed => nothing,
        Window::NothingSince(at) => WindowAnswer { state: "unknown", looked_back_to: Some(at.to_string()), ..nothing },
    }))
}

async fn answer(parts: &Parts, actor: &Actor, number: &str) -> Result<Sender, Problem> {
    let standing = parts.connections.number(actor, number).await?;
    Ok(sender(actor, &standing, &Versions::read(parts, actor).await?))
}

pub(super) fn sender(actor: &Actor, standing: &NumberStanding, versions: &Versions<'_>) -> Sender {
    let NumberStanding { sender, account, limit, queue, owner, .. } = standing;
    Sender {
        number: sender.number.as_e164().to_owned(),
        account: account.as_ref().map(|account| account.id.clone()),
        connection: sender.connection.id.clone(),
        phone_number_id: sender.provider_number_id.clone(),
        waba_id: sender.provider_account_id.clone(),
        messages_per_second: sender.messages_per_second,
        pace: sender.pace,
        location_name: sender.policy.location_name.clone(),
        location_address: sender.policy.location_address.clone(),
        hold: HoldAnswer::of(actor, sender.hold.as_ref()),
        connection_on_hold: sender.connection.hold.is_some(),
        alarms: alarm_texts(actor, &standing.alarms),
        provider_view: provider_view(actor, standing),
        poll_trouble: standing.poll_trouble.as_ref().map(|trouble| PollTroubleAnswer {
            text: masking::text(actor, &trouble.text),
            since: trouble.since.to_string(),
            again_at: trouble.again_at.map(|at| at.to_string()),
        }),
        messaging_limit: limit.as_ref().map(|limit| LimitAnswer {
            people: limit.people,
            people_max: limit.people_max,
            waiting: limit.waiting,
            next_free_at: limit.next_free_at.map(|at| at.to_string()),
        }),
        queue: Queue {
            queued: queue.queued,
            oldest_queued_at: queue.oldest_queued.map(|at| at.to_string()),
            waiting: queue.waiting_for_retry,
            sending: queue.sending,
            unknown: queue.unknown,
            instance: owner.clone(),
        },
        version: versions.of(&Subject::Sender(sender.number.clone())),
    }
}

fn provider_view(actor: &Actor, standing: &NumberStanding) -> ProviderView {
    let (read_at, state) = standing.channel.state.clone().unzip();
    let known = state.clone().unwrap_or_default();
    ProviderView {
        read_at: read_at.map(|at| at.to_string()),
        failure: standing.channel.failure.as_ref().map(|(_, why)| masking::text(actor, why)),
        quality: state.map(|state| state.quality.as_str()),
        warnings: known.warnings().iter().map(|warning| masking::text(actor, warning)).collect(),
        name: known.name,
        status: known.status,
        throughput: known.throughput,
        messaging_limit: known.messaging_limit.map(|limit| limit.to_string()),
    }
}
