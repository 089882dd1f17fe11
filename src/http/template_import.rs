//! What platforms ask for when somebody imports the templates: a list in pages.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path},
};

use super::{Parts, access::account_of_caller, error::not_found, platform_api::answer};
use crate::{
    domain::failure::Refusal,
    platforms::{self, Platform, TemplatePage, TemplateQuery},
    services::template_page::template_page,
};

/// Lists an account's templates for the platform's import, in the shape of Meta's own list: those that are approved or
/// paused, without those whose parameters have names.
#[utoipa::path(
    get, path = "/clevertap/{account}/templates", tag = "platform",
    operation_id = "list_templates",
    params(
        ("account" = String, Path, description = "The account's id in the bridge"),
        super::openapi::TemplateListQuery,
    ),
    responses(
        (status = 200, description = "A page; without `next` it is the last one", body = super::openapi::TemplateList),
        (status = 400, description = "An unknown number, or a cursor that is not ours", body = super::openapi::SendAnswer),
        (status = 401, description = "Wrong or missing credentials, an unknown account", body = super::openapi::SendAnswer),
        (status = 503, description = "The list has not been read yet", body = super::openapi::SendAnswer),
    )
)]
pub async fn list(request: HttpRequest, path: Path<String>, parts: Data<Parts>) -> HttpResponse {
    give(&request, &path, None, &parts).await
}

/// As `/clevertap/{account}/templates`, for accounts that prove who they are by a URL that nobody can guess.
#[utoipa::path(
    get, path = "/clevertap/{account}/{url_token}/templates", tag = "platform",
    operation_id = "list_templates_by_url",
    params(
        ("account" = String, Path, description = "The account's id in the bridge"),
        ("url_token" = String, Path, description = "The account's secret part of the URL"),
        super::openapi::TemplateListQuery,
    ),
    responses(
        (status = 200, description = "A page; without `next` it is the last one", body = super::openapi::TemplateList),
        (status = 400, description = "An unknown number, or a cursor that is not ours", body = super::openapi::SendAnswer),
        (status = 401, description = "Wrong or missing credentials, an unknown account", body = super::openapi::SendAnswer),
        (status = 503, description = "The list has not been read yet", body = super::openapi::SendAnswer),
    )
)]
pub async fn list_by_url(request: HttpRequest, path: Path<(String, String)>, parts: Data<Parts>) -> HttpResponse {
    give(&request, &path.0, Some(&path.1), &parts).await
}

async fn give(request: &HttpRequest, account_id: &str, url_token: Option<&str>, parts: &Parts) -> HttpResponse {
    let slug = request.path().split('/').nth(1).unwrap_or_default();
    let Some(platform) = platforms::find(slug) else { return not_found().await };
    let own_url = format!("{}{}", parts.settings.public_url(), request.uri().path());
    let reply = match page(request, platform, account_id, url_token, parts).await {
        Ok((query, page)) => platform.reply_templates(&query, Ok(&page), &own_url),
        Err(refusal) => platform.reply_templates(&TemplateQuery::default(), Err(&refusal), &own_url),
    };
    answer(reply)
}

async fn page(
    request: &HttpRequest,
    platform: &dyn Platform,
    account_id: &str,
    url_token: Option<&str>,
    parts: &Parts,
) -> Result<(TemplateQuery, TemplatePage), Refusal> {
    let snapshot = parts.directory.snapshot();
    let trusted_proxies = &parts.settings.server.trusted_proxies;
    let account = account_of_caller(request, platform, &snapshot, account_id, url_token, trusted_proxies)
        .map_err(|stranger| parts.acceptor.refuse_caller(&stranger, b"a request for the list of templates", None))?;
    let query = platform.parse_template_query(request.query_string());
    let page = match &query {
        Ok(query) => template_page(&parts.store, &parts.directory, account, query).await,
        Err(refusal) => Err(refusal.clone()),
    };
    match &page {
        Ok(page) => tracing::info!(
            account.id = account.id,
            "gave a page of {} templates to the import of account {}",
            page.templates.len(),
            account.id
        ),
        Err(refusal) => tracing::warn!(
            account.id = account.id,
            "could not give templates to the import of account {}: {}",
            account.id,
            refusal.message
        ),
    }
    Ok((query?, page?))
}
