//! What several callback URLs are to hear of, in one list; and trying one event now.

use actix_web::web::{Data, Json, Path};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Caller,
    callback_events::{CallbackEvent, because, listed},
    callbacks::ChosenQuery,
    messages::{time, word},
    page_size,
    problem::Problem,
    query::Query,
};
use crate::{
    domain::ids::Place,
    http::Parts,
    services::{
        callback_events::{self, Wanted},
        callback_tries::{TryingNow, try_event},
        callbacks::messages_meant,
    },
    store::{told::WantedStanding, told_together::Positions},
};

/// Which events are wanted; everything that is named must fit.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AllEventsQuery {
    /// An account's id.
    account: Option<String>,
    /// Whose URLs: platform, webhooks or all, which is meant unless said otherwise.
    of: Option<String>,
    /// A callback URL by its number.
    callback_url: Option<i32>,
    /// status, inbound, notice, outgoing or person.
    kind: Option<String>,
    /// owed, retrying (of what is owed, what was not taken), delivered, dead, not_relayed or passed_over.
    state: Option<String>,
    /// About this message: an id of ours, of CleverTap or of WhatsApp.
    message: Option<String>,
    /// The code of the last answer, of what was not taken.
    #[param(example = 500)]
    answered: Option<i16>,
    /// Stands in the reason why it was not taken; with `personal:read`.
    reason: Option<String>,
    /// Heard at this time or later, in RFC 3339.
    #[param(example = "2026-11-21T09:30:00Z")]
    since: Option<String>,
    /// Heard before this time.
    until: Option<String>,
    /// `next` of the page before.
    #[param(example = "3-1234.4-1230")]
    before: Option<String>,
    /// Events on a page, 1 to 200; 50 unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// A page of events, the newest first.
#[derive(Serialize, ToSchema)]
pub struct AllEventsList {
    /// An event stands here once for each URL that hears of it.
    events: Vec<CallbackEvent>,
    /// `before` of the next page; none after the last. A page may be short, or empty, and yet have a next one.
    #[schema(example = "3-1234.4-1230")]
    next: Option<String>,
    /// How many URLs fit; no more than 40 are looked through at once.
    #[schema(example = 4)]
    urls: usize,
    /// How many of them were looked through.
    #[schema(example = 4)]
    urls_looked_at: usize,
}

/// What is tried now.
#[derive(Serialize, ToSchema)]
pub struct TriedNow {
    /// alone; with_those_behind (when it is taken, those that wait for it); after_another (the event that it waits for is tried); or
    /// whole_url (it is told in order, so everything that it is owed is).
    #[schema(example = "whole_url")]
    goes: &'static str,
    /// Events that go with it.
    #[schema(example = 119)]
    others: i64,
    /// The place of the event that it waits for.
    waits_for: Option<i64>,
}

/// What callback URLs are to hear of, over all of them, and what became of it.
#[utoipa::path(
    get, path = "/api/v1/callback-events", tag = "callbacks", operation_id = "list_all_callback_events",
    params(AllEventsQuery), security(("token" = [])),
    responses(
        (status = 200, description = "A page of events, the newest first", body = AllEventsList),
        (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope messages:read; for `reason` also personal:read", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    parts: Data<Parts>,
    caller: Caller,
    query: Query<AllEventsQuery>,
) -> Result<Json<AllEventsList>, Problem> {
    let (actor, query) = (&caller.0, query.into_inner());
    let snapshot = parts.directory.snapshot();
    let chosen = ChosenQuery {
        account: query.account.as_deref(),
        of: query.of.as_deref(),
        callback_url: query.callback_url,
        kind: query.kind.as_deref(),
    };
    let chosen = chosen.read(&snapshot)?;
    let wanted = word("state", query.state.as_deref(), &WantedStanding::ALL, WantedStanding::as_str)?;
    let because = because(actor, (query.answered, query.reason), wanted)?;
    let (since, until) = (time("since", query.since.as_deref())?, time("until", query.until.as_deref())?);
    let from = query.before.as_deref().map(str::parse::<Positions>).transpose();
    let from = from.map_err(|odd| Problem::of_field("before", odd))?;
    let limit = page_size(query.limit)?;
    let configuration = parts.store.load_configuration().await?;
    let message = query.message.as_deref().unwrap_or_default();
    let messages = messages_meant(&parts.store, &configuration, message).await?;
    let wanted = Wanted { wanted, because, messages, since, until };
    let from_where = (&parts.store, &*snapshot, &parts.settings.retention);
    let found = callback_events::list(from_where, actor, (&chosen, &wanted), (from.as_ref(), limit)).await?;
    let events = found.events.callbacks.into_iter();
    Ok(Json(AllEventsList {
        events: events.map(|(subscription, one)| listed(&parts, &snapshot, actor, &subscription, one)).collect(),
        next: found.events.next.map(|next| next.to_string()),
        urls: found.urls,
        urls_looked_at: found.looked_at,
    }))
}

/// Try one event now that is owed, instead of at its next try, with what cannot be parted from it because order is kept.
#[utoipa::path(
    post, path = "/api/v1/callback-urls/{id}/events/{place}/try", tag = "callbacks", operation_id = "try_callback_event",
    params(
        ("id" = i32, Path, description = "The URL's number", example = 3),
        ("place" = i64, Path, description = "The event's place in the account's log", example = 1234),
    ),
    security(("token" = [])),
    responses(
        (status = 200, description = "It is tried now", body = TriedNow),
        (status = 403, description = "Needs the scopes callbacks:replay and messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such callback URL", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It waits for nothing, or its webhook is off or paused", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn try_now(parts: Data<Parts>, caller: Caller, path: Path<(i32, i64)>) -> Result<Json<TriedNow>, Problem> {
    let (id, place) = path.into_inner();
    let snapshot = parts.directory.snapshot();
    let tried = try_event(&parts.store, &snapshot, &caller.0, (id, Place(place))).await?;
    let (goes, others, waits_for) = match tried {
        TryingNow::WholeUrl { owed } => ("whole_url", (owed - 1).max(0), None),
        TryingNow::Alone => ("alone", 0, None),
        TryingNow::WithThoseBehind { behind } => ("with_those_behind", behind, None),
        TryingNow::AfterAnother { tried } => ("after_another", 1, Some(tried.0)),
    };
    Ok(Json(TriedNow { goes, others, waits_for }))
}
