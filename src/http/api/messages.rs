//! Messages: searching, one whole story, sending again.

use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{Data, Json, Path},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Body, Caller, account_named, page_size, problem::Problem, query::Query, test_messages::ProviderRequest};
use crate::{
    clock,
    domain::{
        failure::{Failure, FailureReason},
        ids::{MessageId, SenderKey},
        operator::{Actor, Permission},
        outbound::SendState,
        price::{Price, PriceCategory},
        status::DeliveryStatus,
        time::UnixMillis,
    },
    http::Parts,
    services::{
        directory::Snapshot,
        masking,
        operators::require,
        resend::{self, NotResent},
        search::{self, StatusWord, Wanted},
        story::{self, Exchanged},
    },
    store::{search::MessageSearch, story::StoredMessage},
};

/// What messages are wanted; everything that is named must fit.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MessageQuery {
    /// An id of ours (`msg_…`), of CleverTap or of WhatsApp, a campaign (part 2 of the msgId), or a telephone number: whole, or with
    /// `personal:read` its last five digits or more.
    q: Option<String>,
    /// An account's id.
    account: Option<String>,
    /// A business number.
    number: Option<String>,
    /// A template's exact name.
    template: Option<String>,
    /// CleverTap's campaign: part 2 of the msgId.
    campaign: Option<String>,
    /// One word for how it stands or how far it came, the same as in the console's addresses: what WhatsApp said last (sent, delivered,
    /// read, failed; `failed` without what was cancelled), where our work on it stands (queued, sending, submitted, rejected, unknown,
    /// expired, cancelled), how far it came whatever became of it later (reached-sent, reached-delivered, reached-read), or both together:
    /// silent (WhatsApp took it, nothing was heard since), open (not finished, or nobody knows), failed-after-sent, in-queue (may leave
    /// now), waiting-later (all others that wait), and of those waiting-retry, paused, beyond-limit; awaits-evidence (of those
    /// whose outcome is unknown, of which a sign may still come). Instead of `state`, `delivery` and `reached`.
    #[param(example = "reached-delivered")]
    status: Option<String>,
    /// Where the bridge's work on it stands: queued, sending, submitted, rejected, unknown, expired, cancelled.
    state: Option<String>,
    /// What WhatsApp said of it: sent, failed, delivered, read. What was cancelled is among those that failed, as CleverTap was told.
    delivery: Option<String>,
    /// How far it came, whatever became of it later: sent, delivered, read.
    reached: Option<String>,
    /// An error code: WhatsApp's, such as 131026, or the one that CleverTap was told, such as 1005.
    code: Option<i64>,
    /// Only where WhatsApp gave no code. Not together with `code`.
    without_code: Option<bool>,
    /// Why it failed: unreachable, invalid_number, opted_out, blocked_by_provider, outside_window, too_many_to_number,
    /// device_incapable, blocklisted, template, number_inactive, credentials, expired, unknown_outcome, cancelled, other.
    reason: Option<String>,
    /// Accepted at this time or later, in RFC 3339.
    #[param(example = "2026-11-21T09:30:00Z")]
    since: Option<String>,
    /// Accepted before this time.
    until: Option<String>,
    /// Last handed to WhatsApp at this time or later.
    sent_since: Option<String>,
    /// Last handed to WhatsApp before this time.
    sent_until: Option<String>,
    /// The calling code of the recipient's country.
    #[param(example = "+91")]
    country: Option<String>,
    /// The heading of WhatsApp's price list: authentication, authentication-international, marketing, marketing_lite, utility, service,
    /// referral_conversion, other.
    price_category: Option<String>,
    /// Whether WhatsApp bills it.
    billable: Option<bool>,
    /// `next` of the page before.
    before: Option<String>,
    /// Messages on a page, 1 to 200; 50 unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// A page of messages, the newest first.
#[derive(Serialize, ToSchema)]
pub struct MessageList {
    messages: Vec<MessageSummary>,
    /// `before` of the next page; none after the last. A page may be short, or empty, and yet have a next one: a search looks back
    /// through time for a tenth of a second and no longer.
    next: Option<String>,
    /// How far back was looked; none when everything was.
    looked_back_to: Option<String>,
}

/// A message. Without `personal:read` the recipient is masked, and so are WhatsApp's id and failures' texts.
#[derive(Serialize, ToSchema)]
pub struct MessageSummary {
    #[schema(example = "msg_06xtcv2j80000")]
    id: String,
    #[schema(example = "7|1790000000|20261120|7|0")]
    platform_message_id: String,
    #[schema(example = "wamid.HBgM")]
    provider_message_id: Option<String>,
    #[schema(example = "acme")]
    account: Option<String>,
    #[schema(example = "+918880110022")]
    number: Option<String>,
    #[schema(example = "+919876500001")]
    recipient: String,
    #[schema(example = "utility")]
    category: String,
    #[schema(example = "order_update")]
    template: Option<String>,
    #[schema(example = "en")]
    language: Option<String>,
    #[schema(example = "submitted")]
    state: String,
    #[schema(example = "read")]
    delivery: Option<String>,
    failure: Option<MessageFailure>,
    #[schema(example = "2026-11-21T09:30:00.000Z")]
    accepted_at: String,
    expires_at: String,
    /// When it was handed to the provider; none when it was not, or nobody knows.
    sent_at: Option<String>,
    /// When the last try began, whatever came of it.
    tried_at: Option<String>,
    #[schema(example = 1)]
    attempts: i16,
    /// None until WhatsApp says.
    price: Option<MessagePrice>,
}

/// What decides what a message costs, beside the recipient's country.
#[derive(Serialize, ToSchema)]
pub struct MessagePrice {
    /// The heading of WhatsApp's price list: authentication, authentication-international, marketing, marketing_lite, utility,
    /// service, referral_conversion, other.
    #[schema(example = "marketing")]
    category: String,
    /// Whether WhatsApp bills it.
    billable: bool,
}

impl From<Price> for MessagePrice {
    fn from(price: Price) -> Self {
        Self { category: price.category.as_str().to_owned(), billable: price.billable }
    }
}

#[derive(Serialize, ToSchema)]
pub struct MessageFailure {
    #[schema(example = "unreachable")]
    reason: String,
    /// The provider's.
    #[schema(example = 131026)]
    code: Option<i64>,
    text: String,
}

/// A message and all that happened to it.
#[derive(Serialize, ToSchema)]
pub struct MessageStory {
    #[serde(flatten)]
    message: MessageSummary,
    /// Why it has not gone yet, in words.
    waits: Vec<String>,
    /// In order of time.
    timeline: Vec<TimelineEntry>,
    /// CleverTap's request as it came; with `personal:read`.
    request: Option<String>,
    /// The request to the provider, built again from what is stored; with `personal:read`. None: it cannot be built any more.
    provider_request: Option<ProviderRequest>,
    /// Whether the body of `provider_request` is what was sent last, byte for byte, as its SHA-256 shows. False: the template or a
    /// setting has changed since. None: nothing was taken yet, or it is not known.
    #[schema(example = true)]
    provider_request_is_as_sent: Option<bool>,
}

#[derive(Serialize, ToSchema)]
pub struct TimelineEntry {
    #[schema(example = "2026-11-21T09:30:01Z")]
    at: String,
    #[schema(example = "delivered")]
    what: String,
    /// plain, good, bad, or ours: somebody decided it.
    #[schema(example = "good")]
    tone: String,
    /// What belongs to it, such as who was told.
    details: Vec<String>,
    /// The callback URLs that hear of it, and where that stands in the account's log.
    callbacks: Vec<TimelineCallback>,
    /// The provider's entry as it came; with `personal:read`.
    entry: Option<String>,
    /// Of a try to send it: what was said; with `personal:read`. Empty where nothing of it is kept.
    exchanges: Vec<TryExchange>,
}

/// What the provider was asked in a try, and what it said.
#[derive(Serialize, ToSchema)]
pub struct TryExchange {
    /// The body, word for word; none of a try with which the message was taken: `provider_request` is what was sent, or says that it is
    /// not.
    request: Option<String>,
    /// None: no answer came, or it was taken.
    #[schema(example = 400)]
    http_status: Option<i16>,
    /// As it came, a long one cut; without an answer, why there is none.
    #[schema(example = "{\"error\":{\"code\":131026}}")]
    answer: String,
}

impl From<Exchanged> for TryExchange {
    fn from(exchanged: Exchanged) -> Self {
        let Exchanged { request, http_status, answer } = exchanged;
        Self { request, http_status, answer }
    }
}

/// One event at a callback URL.
#[derive(PartialEq, Serialize, ToSchema)]
pub struct TimelineCallback {
    #[schema(example = 3)]
    callback_url: i32,
    #[schema(example = 1234)]
    place: i64,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResendRequest {
    /// Why, for the message's story and the audit log.
    #[serde(default)]
    #[schema(example = "the template is mended", max_length = 200)]
    reason: String,
    /// Also when the person may get it twice, or WhatsApp has advised against it.
    #[serde(default)]
    force: bool,
}

#[derive(Serialize, ToSchema)]
pub struct ResendAnswer {
    #[schema(example = "msg_06xtcv2j80000")]
    id: String,
    expires_at: String,
}

/// Search for messages.
#[utoipa::path(
    get, path = "/api/v1/messages", tag = "messages", operation_id = "list_messages", params(MessageQuery), security(("token" = [])),
    responses(
        (status = 200, description = "A page of messages, the newest first", body = MessageList),
        (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    parts: Data<Parts>,
    caller: Caller,
    query: Query<MessageQuery>,
) -> Result<Json<MessageList>, Problem> {
    let limit = page_size(query.limit)?;
    let snapshot = parts.directory.snapshot();
    let wanted = wanted(&snapshot, query.into_inner())?;
    let found = search::search(&parts.store, &snapshot, &caller.0, wanted, limit).await?;
    Ok(Json(MessageList {
        messages: found.messages.iter().map(|message| summary(&snapshot, &caller.0, message)).collect(),
        looked_back_to: found.next.map(|next| next.made_at().to_string()),
        next: found.next.map(|next| next.to_string()),
    }))
}

/// One message and all that happened to it.
#[utoipa::path(
    get, path = "/api/v1/messages/{id}", tag = "messages", operation_id = "show_message", security(("token" = [])),
    params(("id" = String, Path, description = "Our id", example = "msg_06xtcv2j80000")),
    responses(
        (status = 200, description = "The message", body = MessageStory),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such message", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn show(parts: Data<Parts>, caller: Caller, id: Path<String>) -> Result<Json<MessageStory>, Problem> {
    let actor = &caller.0;
    let message = search::one(&parts.store, actor, &id).await?;
    let configuration = parts.store.load_configuration().await?;
    let whole = actor.may(Permission::ReadPersonal);
    let lines = story::lines(&parts.store, &configuration, &message, whole).await?;
    let waits = story::reasons(&parts.store, &configuration, &message, clock::now()).await?;
    let timeline = lines.into_iter().map(|line| TimelineEntry {
        at: line.time,
        what: masking::text(actor, &line.what),
        tone: line.tone.as_str().to_owned(),
        details: {
            let told = line.told.iter().map(|told| &told.text);
            line.below.iter().chain(told).map(|below| masking::text(actor, below)).collect()
        },
        callbacks: {
            let told = line.told.iter().map(|told| TimelineCallback { callback_url: told.url.0, place: told.place.0 });
            let mut callbacks: Vec<TimelineCallback> = told.collect();
            callbacks.dedup();
            callbacks
        },
        entry: line.entry.filter(|_| whole),
        exchanges: line.said.into_iter().filter(|_| whole).map(TryExchange::from).collect(),
    });
    let rebuilt = if whole { story::rebuilt(&parts.acceptor, &message).await? } else { None };
    Ok(Json(MessageStory {
        timeline: timeline.collect(),
        waits: waits.iter().map(|wait| masking::text(actor, &wait.to_string())).collect(),
        request: whole.then(|| message.request.clone()),
        provider_request_is_as_sent: rebuilt.as_ref().and_then(|rebuilt| rebuilt.is_as_sent),
        provider_request: rebuilt.map(|rebuilt| ProviderRequest::from(rebuilt.request)),
        message: summary(&parts.directory.snapshot(), actor, &message),
    }))
}

/// Send a message again that failed, expired or was cancelled.
#[utoipa::path(
    post, path = "/api/v1/messages/{id}/resend", tag = "messages", operation_id = "resend_message", security(("token" = [])),
    params(("id" = String, Path, description = "Our id", example = "msg_06xtcv2j80000")),
    request_body = ResendRequest,
    responses(
        (status = 202, description = "It waits to be sent again", body = ResendAnswer),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope messages:resend", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such message", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is not sent again as it stands, or needs `force`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn resend(
    parts: Data<Parts>,
    caller: Caller,
    id: Path<String>,
    body: Body<ResendRequest>,
) -> Result<HttpResponse, Problem> {
    require(&caller.0, Permission::ResendMessages)?;
    let message = search::one(&parts.store, &caller.0, &id).await?;
    let configuration = parts.store.load_configuration().await?;
    let wanted = (body.reason.as_str(), body.force);
    match resend::resend(&parts.store, &configuration, &caller.0, &message, wanted).await {
        Ok(expires_at) => {
            let answer = ResendAnswer { id: message.id.to_string(), expires_at: expires_at.to_string() };
            Ok(HttpResponse::Accepted().json(answer))
        }
        Err(NotResent::Store(error)) => Err(error.into()),
        Err(NotResent::Risky(why)) => Err(Problem::new(
            StatusCode::CONFLICT,
            format!("not sent again: {why}. Say \"force\": true if you mean it"),
        )),
        Err(not @ (NotResent::Never(_) | NotResent::Removed | NotResent::Moved)) => {
            Err(Problem::new(StatusCode::CONFLICT, format!("not sent again: {not}")))
        }
    }
}

fn wanted(snapshot: &Snapshot, query: MessageQuery) -> Result<Wanted, Problem> {
    let account = account_named(snapshot, query.account.as_deref())?;
    let sender = sender_named(snapshot, query.number.as_deref())?;
    let mut filter = MessageSearch {
        account,
        sender,
        campaign: query.campaign,
        template: query.template,
        state: word("state", query.state.as_deref(), &SendState::ALL, SendState::as_str)?,
        delivery: word("delivery", query.delivery.as_deref(), &DeliveryStatus::ALL, DeliveryStatus::as_str)?,
        reached: word("reached", query.reached.as_deref(), &DeliveryStatus::WAY, DeliveryStatus::as_str)?,
        failure_code: query.code,
        failure_reason: word("reason", query.reason.as_deref(), &FailureReason::ALL, FailureReason::as_str)?,
        since: time("since", query.since.as_deref())?,
        until: time("until", query.until.as_deref())?,
        without_code: query.without_code.unwrap_or_default(),
        sent_since: time("sent_since", query.sent_since.as_deref())?,
        sent_until: time("sent_until", query.sent_until.as_deref())?,
        calling_code: calling_code(query.country.as_deref())?,
        prices: Price::among(
            word("price_category", query.price_category.as_deref(), &PriceCategory::ALL, PriceCategory::as_str)?,
            query.billable,
        ),
        before: match query.before.as_deref() {
            None => None,
            Some(text) => {
                Some(text.parse::<MessageId>().map_err(|error| Problem::of_field("before", error.to_string()))?)
            }
        },
        ..MessageSearch::default()
    };
    if filter.without_code && filter.failure_code.is_some() {
        return Err(Problem::of_field("without_code", "give it or a code"));
    }
    if let Some(status) = query.status {
        if filter.state.is_some() || filter.delivery.is_some() || filter.reached.is_some() {
            return Err(Problem::of_field("status", "give it alone, or state, delivery and reached"));
        }
        StatusWord::named(&status).map_err(|why| Problem::of_field("status", why))?.narrow(&mut filter);
    }
    Ok(Wanted { text: query.q.unwrap_or_default(), filter })
}

fn calling_code(country: Option<&str>) -> Result<Option<String>, Problem> {
    country.map(search::calling_code).transpose().map_err(|why| Problem::of_field("country", why))
}

/// The business number that somebody named, if any; also one that was removed.
pub(super) fn sender_named(snapshot: &Snapshot, number: Option<&str>) -> Result<Option<SenderKey>, Problem> {
    let Some(number) = number else { return Ok(None) };
    let unknown = || Problem::of_field("number", format!("there is no business number {number}"));
    Ok(Some(snapshot.sender_ever(number).ok_or_else(unknown)?.key))
}

pub(super) fn word<T: Copy>(
    field: &str,
    text: Option<&str>,
    known: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<Option<T>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let found = known.iter().copied().find(|one| name(*one) == text);
    let names = || known.iter().map(|one| name(*one)).collect::<Vec<_>>().join(", ");
    found.map(Some).ok_or_else(|| Problem::of_field(field, format!("{field} is one of {}", names())))
}

pub(super) fn time(field: &str, text: Option<&str>) -> Result<Option<UnixMillis>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let read = chrono::DateTime::parse_from_rfc3339(text);
    let odd = || format!("{field} cannot be read: write a time with its offset, like 2026-11-21T09:30:00Z");
    let read = read.map_err(|_| Problem::of_field(field, odd()))?;
    Ok(Some(UnixMillis(read.timestamp_millis())))
}

fn summary(snapshot: &Snapshot, actor: &Actor, message: &StoredMessage) -> MessageSummary {
    let (template, language) = message.template.clone().unzip();
    let failure = |failure: &Failure| MessageFailure {
        reason: failure.reason.as_str().to_owned(),
        code: failure.code,
        text: masking::text(actor, &failure.text),
    };
    MessageSummary {
        id: message.id.to_string(),
        platform_message_id: message.platform_message_id.clone(),
        provider_message_id: message.provider_message_id.as_ref().map(|id| masking::provider_id(actor, id)),
        account: snapshot.account_by_key(message.account).map(|account| account.id.clone()),
        number: snapshot.sender(message.sender).map(|sender| sender.number.as_e164().to_owned()),
        recipient: masking::number(actor, &message.recipient),
        category: message.category.as_str().to_owned(),
        template,
        language,
        state: message.state.as_str().to_owned(),
        delivery: message.delivery.map(|delivery| delivery.as_str().to_owned()),
        failure: message.failure.as_ref().map(failure),
        accepted_at: message.id.made_at().to_string(),
        expires_at: message.expires_at.to_string(),
        sent_at: message.sent_at().map(|at| at.to_string()),
        tried_at: message.tried_at.map(|at| at.to_string()),
        attempts: message.attempts,
        price: message.price.map(MessagePrice::from),
    }
}
