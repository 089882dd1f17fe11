//! Callback URLs: how each stands, what was said to it, and trying one now.

use actix_web::web::{Data, Json, Path};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Caller, account_named,
    messages::{time, word},
    page_size,
    problem::Problem,
    query::Query,
    replays::ReplayAnswer,
};
use crate::{
    domain::{
        attempt::{AnswerExcerpt, AttemptOutcome, WantedOutcome},
        callback::EventKind,
        ids::SubscriptionKey,
        operator::{Actor, Permission},
    },
    http::Parts,
    services::{
        callback_events::{Chosen, Whose},
        callback_tries,
        callbacks::{self, UrlFilter, UrlStanding, UrlState},
        directory::Snapshot,
        masking,
        operators::require,
    },
    store::exchanges::{ExchangeFilter, StoredExchange},
};

/// What callback URLs are wanted; everything that is named must fit.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UrlQuery {
    /// An account's id.
    account: Option<String>,
    /// status, inbound or notice.
    kind: Option<String>,
    /// Only those of the webhook of this name.
    webhook: Option<String>,
    /// works, refusing, failing, on_hold or off.
    state: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct UrlList {
    callback_urls: Vec<CallbackUrl>,
}

/// A callback URL as it stands.
#[derive(Serialize, ToSchema)]
pub struct CallbackUrl {
    #[schema(example = 3)]
    id: i32,
    #[schema(example = "acme")]
    account: String,
    /// status: delivery reports; inbound: what people write.
    #[schema(example = "status")]
    kind: String,
    /// The webhook that it belongs to; none: the account's platform.
    #[schema(example = "crm")]
    webhook: Option<String>,
    /// The only number that it hears of; none: all that have no URL of their own.
    #[schema(example = "+918880110022")]
    number: Option<String>,
    /// Scheme and host; the rest is a secret.
    #[schema(example = "https://eu1.api.clevertap.com/…")]
    url: String,
    /// works, refusing (what it was told last was not taken and is dead; nothing waits), failing (tried again by itself), on_hold (refuses us or is gone; seldom tried), or off (its webhook is; listed where `webhook` or this state is named).
    #[schema(example = "failing")]
    state: String,
    /// Why it is on hold.
    hold_reason: Option<String>,
    failing_since: Option<String>,
    /// Exchanges that failed as a whole, one after the other.
    #[schema(example = 4)]
    failures: i32,
    next_try_at: Option<String>,
    /// Events still to be told, counted up to 10,000.
    #[schema(example = 120)]
    owed: i64,
    oldest_owed_at: Option<String>,
    /// Events that it refused, or that grew too old.
    #[schema(example = 2)]
    dead: i64,
    /// Events that the platform has no words for.
    #[schema(example = 0)]
    not_relayed: i64,
    last_exchange: Option<Exchange>,
    /// The replay that is worked on.
    replay: Option<ReplayAnswer>,
}

/// How a webhook's receiver answered, without secrets.
#[derive(Serialize, ToSchema)]
pub struct ReceivedAnswer {
    /// The first of them, in small letters; of secret ones the value is `…`.
    headers: Vec<AnswerHeader>,
    /// How it began; `…` without `personal:read`.
    #[schema(example = "{\"ok\":true}")]
    body: String,
}

#[derive(Serialize, ToSchema)]
pub struct AnswerHeader {
    #[schema(example = "content-type")]
    name: String,
    #[schema(example = "application/json")]
    value: String,
}

impl ReceivedAnswer {
    pub fn of(actor: &Actor, excerpt: Option<&AnswerExcerpt>) -> Option<Self> {
        let AnswerExcerpt { headers, body } = masking::excerpt(actor, excerpt?);
        let headers = headers.into_iter().map(|(name, value)| AnswerHeader { name, value });
        Some(Self { headers: headers.collect(), body })
    }
}

/// One request to a callback URL and its answer.
#[derive(Serialize, ToSchema)]
pub struct Exchange {
    id: i64,
    /// The URL's number.
    #[schema(example = 3)]
    callback_url: i32,
    #[schema(example = "2026-11-21T09:30:00.000Z")]
    at: String,
    #[schema(example = 84)]
    took_ms: i32,
    /// succeeded, refused or no_answer.
    #[schema(example = "refused")]
    outcome: String,
    #[schema(example = 503)]
    http_status: Option<i16>,
    /// The beginning of what it said, or why there was no answer.
    note: String,
    /// Of a webhook, where it answered.
    answer: Option<ReceivedAnswer>,
    /// 0: a test.
    #[schema(example = 100)]
    events: i32,
    /// Somebody tried the URL out: no event was told.
    test: bool,
    /// Its events lie between these places of the account's log.
    #[schema(example = 1201)]
    first_place: i64,
    #[schema(example = 1300)]
    last_place: i64,
    /// The replay that it was for.
    replay: Option<i32>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExchangeQuery {
    /// succeeded, refused, no_answer; failed is either of the last two.
    outcome: Option<String>,
    /// The response code.
    http_status: Option<i16>,
    /// Stands in what it said; with `personal:read`.
    text: Option<String>,
    /// Only those for this replay.
    replay: Option<i32>,
    /// At this time or later, in RFC 3339.
    #[param(example = "2026-11-21T09:30:00Z")]
    since: Option<String>,
    /// Before this time.
    until: Option<String>,
    /// `next` of the page before.
    before: Option<i64>,
    /// Exchanges on a page, 1 to 200; 50 unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// What exchanges are wanted; everything that is named must fit.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AllExchangesQuery {
    /// An account's id.
    account: Option<String>,
    /// Whose URLs: platform, webhooks or all. Unless said otherwise those of the platform; with `callback_url` all.
    of: Option<String>,
    /// A callback URL by its number.
    callback_url: Option<i32>,
    /// status, inbound, notice, outgoing or person.
    kind: Option<String>,
    /// Stands in what it said; with `personal:read`.
    text: Option<String>,
    /// succeeded, refused, no_answer; failed is either of the last two.
    outcome: Option<String>,
    /// The response code.
    http_status: Option<i16>,
    /// At this time or later, in RFC 3339.
    #[param(example = "2026-11-21T09:30:00Z")]
    since: Option<String>,
    /// Before this time.
    until: Option<String>,
    /// `next` of the page before.
    before: Option<i64>,
    /// Exchanges on a page, 1 to 200; 50 unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// A page of exchanges, the newest first.
#[derive(Serialize, ToSchema)]
pub struct ExchangeList {
    exchanges: Vec<Exchange>,
    /// `before` of the next page; none after the last. A page may be short, or empty, and yet have a next one.
    next: Option<i64>,
}

#[derive(Serialize, ToSchema)]
pub struct Released {
    /// It waited, and is tried now; false: nothing held it.
    #[schema(example = true)]
    released: bool,
}

/// Callback URLs and how they stand.
#[utoipa::path(
    get, path = "/api/v1/callback-urls", tag = "callbacks", operation_id = "list_callback_urls", params(UrlQuery), security(("token" = [])),
    responses(
        (status = 200, description = "The URLs, by account", body = UrlList),
        (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(parts: Data<Parts>, caller: Caller, query: Query<UrlQuery>) -> Result<Json<UrlList>, Problem> {
    let query = query.into_inner();
    let snapshot = parts.directory.snapshot();
    account_named(&snapshot, query.account.as_deref())?;
    let filter = UrlFilter {
        account: query.account,
        kind: word("kind", query.kind.as_deref(), &EventKind::ALL, EventKind::as_str)?,
        state: word("state", query.state.as_deref(), &UrlState::ALL, UrlState::as_str)?,
        key: None,
        webhook: query.webhook,
        off: false,
    };
    let urls = callbacks::urls(&parts.store, &snapshot, &caller.0, &filter).await?;
    Ok(Json(UrlList { callback_urls: urls.iter().map(|url| callback_url(&caller.0, url)).collect() }))
}

/// One callback URL and how it stands.
#[utoipa::path(
    get, path = "/api/v1/callback-urls/{id}", tag = "callbacks", operation_id = "show_callback_url", security(("token" = [])),
    params(("id" = i32, Path, description = "Its number", example = 3)),
    responses(
        (status = 200, description = "The URL", body = CallbackUrl),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such callback URL", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn show(parts: Data<Parts>, caller: Caller, id: Path<i32>) -> Result<Json<CallbackUrl>, Problem> {
    let url = callbacks::url(&parts.store, &parts.directory.snapshot(), &caller.0, *id).await?;
    Ok(Json(callback_url(&caller.0, &url)))
}

/// Try a callback URL now that fails or is on hold.
#[utoipa::path(
    post, path = "/api/v1/callback-urls/{id}/release", tag = "callbacks", operation_id = "release_callback_url", security(("token" = [])),
    params(("id" = i32, Path, description = "Its number", example = 3)),
    responses(
        (status = 200, description = "It is tried now, unless nothing held it", body = Released),
        (status = 403, description = "Needs the scope callbacks:replay", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such callback URL", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Its webhook is off or paused", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn release(parts: Data<Parts>, caller: Caller, id: Path<i32>) -> Result<Json<Released>, Problem> {
    let released = callback_tries::try_now(&parts.store, &parts.directory.snapshot(), &caller.0, *id).await?;
    Ok(Json(Released { released }))
}

/// What was said to a callback URL, and what it answered.
#[utoipa::path(
    get, path = "/api/v1/callback-urls/{id}/exchanges", tag = "callbacks", operation_id = "list_callback_exchanges",
    params(("id" = i32, Path, description = "The URL's number", example = 3), ExchangeQuery), security(("token" = [])),
    responses(
        (status = 200, description = "A page of exchanges, the newest first", body = ExchangeList),
        (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope messages:read; for `text` also personal:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such callback URL", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn exchanges(
    parts: Data<Parts>,
    caller: Caller,
    id: Path<i32>,
    query: Query<ExchangeQuery>,
) -> Result<Json<ExchangeList>, Problem> {
    let (actor, query) = (&caller.0, query.into_inner());
    let snapshot = parts.directory.snapshot();
    let subscription = callbacks::subscription(&snapshot, actor, *id)?;
    if query.text.is_some() {
        // By trying texts out, a number in one could be found.
        require(actor, Permission::ReadPersonal)?;
    }
    let limit = page_size(query.limit)?;
    let filter = ExchangeFilter {
        outcomes: outcomes(query.outcome.as_deref())?,
        without_tests: false,
        http_status: query.http_status,
        text: query.text,
        replay: query.replay,
        since: time("since", query.since.as_deref())?,
        until: time("until", query.until.as_deref())?,
        before: query.before,
    };
    let found = parts.store.exchanges(subscription.key, &filter, limit).await?;
    let exchanges = found.exchanges.iter().map(|one| exchange(actor, one)).collect();
    Ok(Json(ExchangeList { exchanges, next: found.next }))
}

/// What was said to several callback URLs, without tests. Those of the platform are what `told` and `not_told` of the figures count, what
/// was told again among it.
#[utoipa::path(
    get, path = "/api/v1/callback-exchanges", tag = "callbacks", operation_id = "list_all_callback_exchanges",
    params(AllExchangesQuery), security(("token" = [])),
    responses(
        (status = 200, description = "A page of exchanges, the newest first", body = ExchangeList),
        (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope messages:read; for `text` also personal:read", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn all_exchanges(
    parts: Data<Parts>,
    caller: Caller,
    query: Query<AllExchangesQuery>,
) -> Result<Json<ExchangeList>, Problem> {
    let (actor, query) = (&caller.0, query.into_inner());
    require(actor, Permission::ReadMessages)?;
    let chosen = ChosenQuery {
        account: query.account.as_deref(),
        of: query.of.as_deref().or_else(|| query.callback_url.is_none().then_some(Whose::Platform.as_str())),
        callback_url: query.callback_url,
        kind: query.kind.as_deref(),
    };
    let chosen = chosen.read(&parts.directory.snapshot())?;
    if query.text.is_some() {
        // By trying texts out, a number in one could be found.
        require(actor, Permission::ReadPersonal)?;
    }
    let filter = ExchangeFilter {
        outcomes: outcomes(query.outcome.as_deref())?,
        without_tests: true,
        http_status: query.http_status,
        text: query.text,
        since: time("since", query.since.as_deref())?,
        until: time("until", query.until.as_deref())?,
        before: query.before,
        ..ExchangeFilter::default()
    };
    let found = parts.store.exchanges_of_urls(&chosen.stored(), &filter, page_size(query.limit)?).await?;
    let exchanges = found.exchanges.iter().map(|one| exchange(actor, one)).collect();
    Ok(Json(ExchangeList { exchanges, next: found.next }))
}

/// Whose URLs are meant, as a query has it.
pub(super) struct ChosenQuery<'a> {
    pub(super) account: Option<&'a str>,
    /// platform, webhooks or all.
    pub(super) of: Option<&'a str>,
    pub(super) callback_url: Option<i32>,
    pub(super) kind: Option<&'a str>,
}

impl ChosenQuery<'_> {
    pub(super) fn read(&self, snapshot: &Snapshot) -> Result<Chosen, Problem> {
        if let Some(key) = self.callback_url
            && !snapshot.subscriptions_ever().any(|known| known.key.0 == key)
        {
            return Err(Problem::of_field("callback_url", format!("there is no callback URL {key}")));
        }
        let words = Whose::ALL.map(Some).into_iter().chain([None]).collect::<Vec<Option<Whose>>>();
        let whose = word("of", self.of, &words, |whose| whose.map_or("all", Whose::as_str))?;
        Ok(Chosen {
            account: account_named(snapshot, self.account)?,
            whose: whose.flatten(),
            kind: word("kind", self.kind, &EventKind::ALL, EventKind::as_str)?,
            url: self.callback_url.map(SubscriptionKey),
        })
    }
}

pub(super) fn outcomes(word_given: Option<&str>) -> Result<&'static [AttemptOutcome], Problem> {
    let wanted = word("outcome", word_given, &WantedOutcome::ALL, WantedOutcome::as_str)?;
    Ok(wanted.map_or(&[], WantedOutcome::outcomes))
}

pub(super) fn callback_url(actor: &Actor, url: &UrlStanding) -> CallbackUrl {
    let trouble = &url.trouble;
    CallbackUrl {
        id: url.subscription.key.0,
        account: url.account.clone(),
        kind: url.subscription.kind.as_str().to_owned(),
        webhook: url.subscription.webhook.as_ref().map(|webhook| webhook.name.clone()),
        number: url.number.clone(),
        url: url.url.clone(),
        state: url.state.as_str().to_owned(),
        hold_reason: trouble.hold.as_ref().map(|hold| masking::text(actor, &hold.reason)),
        failing_since: trouble.failing_since.map(|at| at.to_string()),
        failures: trouble.failures,
        next_try_at: trouble.due_at.map(|at| at.to_string()),
        owed: url.owed.events,
        oldest_owed_at: url.owed.oldest.map(|at| at.to_string()),
        dead: url.dead,
        not_relayed: url.not_relayed,
        last_exchange: url.last.as_ref().map(|last| exchange(actor, last)),
        replay: url.replay.as_ref().map(|replay| ReplayAnswer::of(actor, replay)),
    }
}

fn exchange(actor: &Actor, exchange: &StoredExchange) -> Exchange {
    Exchange {
        id: exchange.id,
        callback_url: exchange.subscription.0,
        at: exchange.started_at.to_string(),
        took_ms: exchange.took_ms,
        outcome: exchange.outcome.as_str().to_owned(),
        http_status: exchange.http_status,
        note: masking::text(actor, &exchange.note),
        answer: ReceivedAnswer::of(actor, exchange.excerpt.as_ref()),
        test: exchange.is_test(),
        events: exchange.events,
        first_place: exchange.first.0,
        last_place: exchange.last.0,
        replay: exchange.replay,
    }
}
