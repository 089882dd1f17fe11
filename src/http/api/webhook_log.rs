//! What was said to a webhook, over all accounts and kinds of event: each request with its event, its answer, and what became of the
//! event in the end.

use actix_web::web::{Data, Json, Path};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Caller, account_named,
    callbacks::{ReceivedAnswer, outcomes},
    messages::{sender_named, time, word},
    page_size,
    problem::Problem,
    query::Query,
};
use crate::{
    domain::{
        operator::{Actor, Permission},
        webhook_filter::EventPattern,
    },
    http::Parts,
    services::{
        directory::Snapshot,
        masking,
        operators::require,
        webhook_view::{self, Delivery, DeliveryState, LogFilter},
    },
    store::exchanges::ExchangeFilter,
};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct LogQuery {
    /// An event, or all of an entity.
    #[param(example = "message.*")]
    event: Option<String>,
    /// What became of the event: pending, retrying, paused, set_aside, delivered, dead or not_relayed.
    state: Option<String>,
    /// Of the request: succeeded, refused, no_answer; failed is either of the last two.
    outcome: Option<String>,
    /// Only events of this account.
    #[param(example = "acme")]
    account: Option<String>,
    /// Only events about this business number.
    #[param(example = "+918880110022")]
    number: Option<String>,
    #[param(example = 503)]
    http_status: Option<i16>,
    /// Stands in the note or the answer; needs `personal:read`.
    text: Option<String>,
    /// Sent at this time or later, in RFC 3339.
    #[param(example = "2026-11-21T09:30:00Z")]
    since: Option<String>,
    /// Sent before this time.
    until: Option<String>,
    /// `next` of the page before.
    before: Option<i64>,
    /// Requests on a page, 1 to 200; 50 unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// A page of requests, the newest first.
#[derive(Serialize, ToSchema)]
pub struct WebhookLogPage {
    requests: Vec<WebhookRequest>,
    /// `before` of the next page; none after the last. A page may be short, or empty, and yet have a next one.
    next: Option<i64>,
}

/// One request to a webhook, and what became of its event.
#[derive(Serialize, ToSchema)]
pub struct WebhookRequest {
    id: i64,
    #[schema(example = "2026-11-21T09:30:00.000Z")]
    at: String,
    #[schema(example = 84)]
    took_ms: i32,
    /// succeeded, refused or no_answer.
    #[schema(example = "refused")]
    outcome: String,
    #[schema(example = 503)]
    http_status: Option<i16>,
    /// What went wrong, with the beginning of what it answered; masked without `personal:read`.
    note: String,
    /// How it answered, also to what it took.
    answer: Option<ReceivedAnswer>,
    /// As the receiver knows the event.
    #[schema(example = "evt_1_4711")]
    event_id: String,
    /// None once the event is older than the retention.
    #[schema(example = "message.failed")]
    event: Option<&'static str>,
    /// What became of the event in the end: pending, retrying, paused, set_aside (the webhook is off), delivered, dead or not_relayed.
    #[schema(example = "retrying")]
    state: &'static str,
    #[schema(example = "acme")]
    account: String,
    #[schema(example = "meta")]
    provider: Option<String>,
    #[schema(example = "+918880110022")]
    number: Option<String>,
    /// The replay that it was for.
    replay: Option<i32>,
    /// Where the event is, with its payload and every try: `/api/v1/callback-urls/{callback_url}/events/{place}`.
    callback_url: i32,
    place: i64,
}

/// What was said to a webhook, and what it answered: over all accounts and kinds of event, the newest first.
#[utoipa::path(
    get, path = "/api/v1/webhooks/{name}/log", tag = "webhooks", operation_id = "show_webhook_log", security(("token" = [])),
    params(("name" = String, Path, description = "Of the list", example = "crm"), LogQuery),
    responses(
        (status = 200, description = "A page of requests", body = WebhookLogPage),
        (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope messages:read; for `text` also personal:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    parts: Data<Parts>,
    caller: Caller,
    name: Path<String>,
    query: Query<LogQuery>,
) -> Result<Json<WebhookLogPage>, Problem> {
    let (actor, query) = (&caller.0, query.into_inner());
    let snapshot = parts.directory.snapshot();
    let webhook = parts.webhooks.one(actor, &name).await?.webhook;
    if query.text.is_some() {
        // By trying texts out, a number in one could be found.
        require(actor, Permission::ReadPersonal)?;
    }
    let limit = page_size(query.limit)?;
    account_named(&snapshot, query.account.as_deref())?;
    let events = query.event.as_deref().map(str::parse::<EventPattern>).transpose();
    let filter = LogFilter {
        exchange: ExchangeFilter {
            outcomes: outcomes(query.outcome.as_deref())?,
            without_tests: false,
            http_status: query.http_status,
            text: query.text,
            replay: None,
            since: time("since", query.since.as_deref())?,
            until: time("until", query.until.as_deref())?,
            before: query.before,
        },
        account: query.account,
        number: sender_named(&snapshot, query.number.as_deref())?,
        events: events.map_err(|error| Problem::of_field("event", error.to_string()))?,
        state: word("state", query.state.as_deref(), &DeliveryState::ALL, DeliveryState::as_str)?,
    };
    let from = (&parts.store, &*snapshot, &*parts.media.links);
    let found = webhook_view::log(from, actor, &webhook, &filter, limit).await?;
    let requests = found.deliveries.into_iter().map(|delivery| request(actor, &snapshot, delivery)).collect();
    Ok(Json(WebhookLogPage { requests, next: found.next }))
}

fn request(actor: &Actor, snapshot: &Snapshot, delivery: Delivery) -> WebhookRequest {
    let exchange = delivery.exchange;
    let sender = delivery.event.as_ref().and_then(|event| snapshot.sender(event.sender));
    WebhookRequest {
        id: exchange.id,
        at: exchange.started_at.to_string(),
        took_ms: exchange.took_ms,
        outcome: exchange.outcome.as_str().to_owned(),
        http_status: exchange.http_status,
        note: masking::text(actor, &exchange.note),
        answer: ReceivedAnswer::of(actor, exchange.excerpt.as_ref()),
        event_id: delivery.id,
        event: delivery.name.map(|name| name.as_str()),
        state: delivery.state.as_str(),
        account: delivery.account,
        provider: sender.map(|sender| sender.connection.provider.clone()),
        number: sender.map(|sender| sender.number.as_e164().to_owned()),
        replay: exchange.replay,
        callback_url: exchange.subscription.0,
        place: exchange.first.0,
    }
}
