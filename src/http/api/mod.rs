//! `/api/v1`: what the console does, for programs. The same services, asked by a token instead of a person.
//!
//! A caller shows `Authorization: Bearer wab_…`; what it may do are the token's scopes. Lists are pages: `next` of one is
//! `before` of the next. What cannot be done is a [`problem::Problem`].

pub mod accounts;
pub mod alarms;
pub mod all_callback_events;
pub mod audit;
mod body;
pub mod callback_events;
pub mod callbacks;
pub mod campaigns;
pub mod channel_check;
pub mod connections;
pub mod contacts;
pub mod conversations;
pub mod inbound;
pub mod messages;
pub mod persons;
pub mod problem;
pub mod query;
pub mod refused;
pub mod replays;
pub mod senders;
pub mod statistics;
pub mod status;
pub mod system;
pub mod templates;
pub mod test_messages;
pub mod tokens;
pub mod unrecognized;
pub mod users;
pub mod webhook_log;
pub mod webhooks;

use std::sync::LazyLock;

use actix_web::{
    Error, FromRequest, HttpMessage as _, HttpRequest, HttpResponse, ResponseError as _,
    body::{BoxBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
    middleware::{Next, from_fn},
    web::{self, Data, ServiceConfig},
};

use self::{body::Body, problem::Problem};
use super::{Parts, access::remote_address, openapi};
use crate::{
    domain::{ids::AccountKey, operator::Actor},
    services::directory::Snapshot,
};

/// Lines of one page, unless fewer are asked for.
pub(super) const LINES_PER_PAGE_MAX: usize = 200;
const LINES_PER_PAGE: usize = 50;

/// Everything under `/api/v1`.
pub(super) fn routes(config: &mut ServiceConfig) {
    let scope = web::scope("/api/v1")
        .wrap(from_fn(with_token))
        .app_data(body::config())
        .app_data(web::PathConfig::default().error_handler(|_, request| query::not_here(request).into()))
        .route("/status", web::get().to(status::show))
        .route("/statistics", web::get().to(statistics::show))
        .route("/messages", web::get().to(messages::list))
        .route("/messages/{id}", web::get().to(messages::show))
        .route("/messages/{id}/resend", web::post().to(messages::resend))
        .route("/inbound", web::get().to(inbound::list))
        .route("/contacts", web::get().to(contacts::list))
        .route("/contacts/{id}", web::get().to(contacts::show))
        .route("/contacts/{id}", web::patch().to(contacts::change))
        .route("/conversations", web::get().to(conversations::list))
        .route("/conversations/{id}", web::get().to(conversations::show))
        .route("/conversations/{id}", web::patch().to(conversations::tag))
        .route("/conversations/{id}/{wish}", web::post().to(conversations::decide))
        .route("/campaigns", web::get().to(campaigns::list))
        .route("/campaigns/{account}/{campaign}", web::get().to(campaigns::show))
        .route("/campaigns/{account}/{campaign}/messages.csv", web::get().to(campaigns::file))
        .route("/campaigns/{account}/{campaign}/pause", web::post().to(campaigns::pause))
        .route("/campaigns/{account}/{campaign}/resume", web::post().to(campaigns::resume))
        .route("/campaigns/{account}/{campaign}/cancel", web::post().to(campaigns::cancel))
        .route("/campaigns/{account}/{campaign}/reconcile", web::post().to(campaigns::reconcile))
        .route("/connections", web::get().to(connections::list))
        .route("/connections", web::post().to(connections::add))
        .route("/connections/{id}", web::get().to(connections::show))
        .route("/connections/{id}", web::patch().to(connections::change))
        .route("/connections/{id}", web::delete().to(connections::remove))
        .route("/connections/{id}/hold", web::post().to(connections::hold))
        .route("/connections/{id}/release", web::post().to(connections::release))
        .route("/connections/{id}/check", web::post().to(channel_check::check))
        .route("/connections/{id}/fix", web::post().to(channel_check::fix))
        .route("/senders", web::get().to(senders::list))
        .route("/senders", web::post().to(senders::add))
        .route("/senders/{number}", web::get().to(senders::show))
        .route("/senders/{number}", web::patch().to(senders::change))
        .route("/senders/{number}", web::delete().to(senders::remove))
        .route("/senders/{number}/hold", web::post().to(senders::hold))
        .route("/senders/{number}/release", web::post().to(senders::release))
        .route("/senders/{number}/check", web::post().to(senders::check))
        .route("/senders/{number}/window", web::get().to(senders::show_window))
        .route("/callback-events", web::get().to(all_callback_events::list))
        .route("/callback-exchanges", web::get().to(callbacks::all_exchanges))
        .route("/callback-urls", web::get().to(callbacks::list))
        .route("/callback-urls/{id}", web::get().to(callbacks::show))
        .route("/callback-urls/{id}/release", web::post().to(callbacks::release))
        .route("/callback-urls/{id}/exchanges", web::get().to(callbacks::exchanges))
        .route("/callback-urls/{id}/events", web::get().to(callback_events::list))
        .route("/callback-urls/{id}/events/{place}", web::get().to(callback_events::show))
        .route("/callback-urls/{id}/events/{place}/try", web::post().to(all_callback_events::try_now))
        .route("/replays", web::get().to(replays::list))
        .route("/replays", web::post().to(replays::start))
        .route("/replays/{id}", web::get().to(replays::show))
        .route("/replays/{id}", web::delete().to(replays::stop))
        .route("/webhooks", web::get().to(webhooks::list))
        .route("/webhooks", web::post().to(webhooks::add))
        .route("/webhooks/{name}", web::get().to(webhooks::show))
        .route("/webhooks/{name}", web::put().to(webhooks::change))
        .route("/webhooks/{name}", web::delete().to(webhooks::delete))
        .route("/webhooks/{name}/rotate-secret", web::post().to(webhooks::rotate_secret))
        .route("/webhooks/{name}/sample", web::post().to(webhooks::send_sample))
        .route("/webhooks/{name}/log", web::get().to(webhook_log::list))
        .route("/webhooks/{name}/{switch}", web::post().to(webhooks::switch))
        .route("/accounts", web::get().to(accounts::list))
        .route("/accounts", web::post().to(accounts::add))
        .route("/accounts/{id}", web::get().to(accounts::show))
        .route("/accounts/{id}", web::patch().to(accounts::change))
        .route("/accounts/{id}", web::delete().to(accounts::remove))
        .route("/accounts/{id}/rotate-passcode", web::post().to(accounts::rotate_passcode))
        .route("/accounts/{id}/test-callback", web::post().to(accounts::test_callback))
        .route("/unrecognized", web::get().to(unrecognized::list))
        .route("/refused-requests", web::get().to(refused::list))
        .route("/templates", web::get().to(templates::list))
        .route("/templates/sync", web::post().to(templates::sync))
        .route("/templates/{connection}/{business_account}/{name}/{language}", web::get().to(templates::show))
        .route(
            "/templates/{connection}/{business_account}/{name}/{language}/differences",
            web::get().to(templates::differences),
        )
        .route("/test-messages", web::post().to(test_messages::send))
        .route("/test-messages/{id}/exchanges", web::get().to(test_messages::exchanges))
        .route("/explain", web::post().to(test_messages::explain))
        .route("/users", web::get().to(users::list))
        .route("/users", web::post().to(users::add))
        .route("/users/{name}", web::patch().to(users::change))
        .route("/users/{name}/reset", web::post().to(users::reset))
        .route("/users/{name}/sessions", web::delete().to(users::sign_out))
        .route("/tokens", web::get().to(tokens::list))
        .route("/tokens", web::post().to(tokens::make))
        .route("/tokens/{id}", web::delete().to(tokens::revoke))
        .route("/audit", web::get().to(audit::list))
        .route("/audit/lines.csv", web::get().to(audit::file))
        .route("/persons/find", web::post().to(persons::find))
        .route("/persons/export", web::post().to(persons::export))
        .route("/persons/erase", web::post().to(persons::erase))
        .route("/persons/erasures", web::get().to(persons::erasures))
        .route("/persons/erasures/{id}", web::get().to(persons::erasure))
        .route("/alarms", web::get().to(alarms::show))
        .route("/alarms/letters", web::get().to(alarms::letters))
        .route("/alarms/test", web::post().to(alarms::test))
        .route("/alarms/recipients", web::get().to(alarms::show_recipients))
        .route("/alarms/recipients", web::patch().to(alarms::change_recipients))
        .route("/system", web::get().to(system::show))
        .default_service(web::to(nothing_here));
    config.service(scope);
}

/// Every path of the API by its segments, and the methods that it knows.
static PATHS: LazyLock<Vec<(Vec<String>, String)>> = LazyLock::new(|| {
    let segments = |path: String| path.split('/').map(str::to_owned).collect();
    openapi::methods().into_iter().map(|(path, methods)| (segments(path), methods)).collect()
});

/// Nothing at all, or nothing for this method.
async fn nothing_here(request: HttpRequest) -> HttpResponse {
    let asked: Vec<&str> = request.path().split('/').collect();
    let fits = |known: &[String]| {
        known.len() == asked.len()
            && known.iter().zip(&asked).all(|(known, asked)| known.starts_with('{') || known == asked)
    };
    let Some((_, methods)) = PATHS.iter().find(|(known, _)| fits(known)) else {
        let text = "nothing lives here; /openapi.json lists what does";
        return Problem::new(StatusCode::NOT_FOUND, text).error_response();
    };
    let text = format!("this address knows {methods} only");
    let mut response = Problem::new(StatusCode::METHOD_NOT_ALLOWED, text).error_response();
    if let Ok(methods) = HeaderValue::from_str(methods) {
        response.headers_mut().insert(header::ALLOW, methods);
    }
    response
}

/// As much of what somebody wrote as an answer repeats.
fn short(text: &str) -> String {
    const TOLD_CHARS_MAX: usize = 100;
    text.chars().take(TOLD_CHARS_MAX).collect()
}

/// Lets in who shows a token that opens, and asks for nothing that is not known.
async fn with_token(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let let_in = caller(request.request()).await;
    let let_in = let_in.and_then(|actor| query::check(request.request()).map(|()| actor));
    let mut response = match let_in {
        Ok(actor) => {
            request.extensions_mut().insert(Caller(actor));
            next.call(request).await?.map_into_boxed_body()
        }
        Err(problem) => request.error_response(problem).map_into_boxed_body(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

async fn caller(request: &HttpRequest) -> Result<Actor, Problem> {
    let stranger = |text: &str| Problem::new(StatusCode::UNAUTHORIZED, text);
    let parts = request.app_data::<Data<Parts>>().ok_or_else(|| stranger("the server is not set up"))?;
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = shown.and_then(|shown| {
        let (scheme, token) = shown.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    let token = token.ok_or_else(|| {
        stranger("show a token: Authorization: Bearer wab_…; an owner makes one in the console, under API tokens")
    })?;
    let address = remote_address(request, &parts.settings.server.trusted_proxies);
    let actor = parts.operators.caller(token, address).await?;
    actor.ok_or_else(|| stranger("this token opens nothing: it was taken back, has expired, or never was one"))
}

/// Who calls. Handlers behind [`with_token`] get it as an argument.
#[derive(Clone)]
pub struct Caller(pub Actor);

impl FromRequest for Caller {
    type Error = Error;
    type Future = std::future::Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let caller = request.extensions().get::<Self>().cloned();
        std::future::ready(caller.ok_or_else(|| Problem::new(StatusCode::UNAUTHORIZED, "show a token").into()))
    }
}

/// The account that somebody named, if any; also one that was removed.
fn account_named(snapshot: &Snapshot, id: Option<&str>) -> Result<Option<AccountKey>, Problem> {
    let unknown = |id| Problem::of_field("account", format!("there is no account {id}"));
    id.map(|id| snapshot.account_ever(id).map(|account| account.key).ok_or_else(|| unknown(id))).transpose()
}

/// How many lines somebody wants on a page.
fn page_size(limit: Option<usize>) -> Result<usize, Problem> {
    match limit.unwrap_or(LINES_PER_PAGE) {
        limit @ 1..=LINES_PER_PAGE_MAX => Ok(limit),
        _ => Err(Problem::of_field("limit", format!("a page has 1 to {LINES_PER_PAGE_MAX} lines"))),
    }
}
