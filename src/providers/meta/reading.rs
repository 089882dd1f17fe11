//! Reading what Graph lists: templates page by page, and how a number stands.

use std::time::Duration;

use url::form_urlencoded;

use super::settings::{authorization, graph_object, graph_url};
use crate::{
    domain::{
        account::{Connection, Sender},
        channel::NumberState,
        template::ListedTemplate,
    },
    net::exchange::{Exchange, Method, OutgoingRequest},
    providers::{
        FetchFailure,
        cloud_api::{
            errors,
            numbers::{FIELDS, FIELDS_EVERY_VERSION_HAS, read_number},
            templates::{TemplatePage, read_page},
        },
    },
};

/// Templates asked for at once. With carousels one takes some ten kilobytes.
const TEMPLATES_PER_PAGE: usize = 100;
/// What sending needs, and what a platform that imports templates, and the people who look at them, want to know besides.
const TEMPLATE_FIELDS: &str = "id,name,language,status,category,components,parameter_format,message_send_ttl_seconds,\
     quality_score,rejected_reason";
const TEMPLATE_PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A business account has at most 6,000 templates.
const TEMPLATE_PAGES_MAX: usize = 100;
/// A full page takes Graph longer than a send does.
const TEMPLATE_PAGE_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) async fn templates(
    via: &Exchange,
    from: &Sender,
    named: Option<&str>,
) -> Result<Vec<ListedTemplate>, FetchFailure> {
    let via = via.reading_up_to(TEMPLATE_PAGE_BYTES_MAX);
    // Names are lower-case at Meta, whatever a person typed.
    let named = named.map(str::to_ascii_lowercase);
    let mut templates = match list_templates(&via, from, named.as_deref()).await {
        // Cursors live for a while only: from the beginning, once.
        Err(ListFailure::CursorExpired) => list_templates(&via, from, named.as_deref()).await,
        other => other,
    }?;
    // The filter of the listing may find names that only contain the one asked for.
    templates.retain(|listed| named.as_deref().is_none_or(|name| listed.template.name == name));
    Ok(templates)
}

pub(super) async fn number(via: &Exchange, sender: &Sender) -> Result<NumberState, FetchFailure> {
    /// Graph's way to say that a field is not there, among other things.
    const INVALID_PARAMETER: i64 = 100;
    match fetch_number(via, sender, FIELDS).await {
        Err((Some(INVALID_PARAMETER), _)) => fetch_number(via, sender, FIELDS_EVERY_VERSION_HAS).await,
        other => other,
    }
    .map_err(|(_, text)| FetchFailure(text))
}

/// The number's state; or Meta's code, when there is one, and what happened.
async fn fetch_number(via: &Exchange, sender: &Sender, fields: &str) -> Result<NumberState, (Option<i64>, String)> {
    let authorization =
        authorization(&sender.connection).ok_or_else(|| (None, "the connection has no access_token".to_owned()))?;
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("fields", fields).finish();
    let request = OutgoingRequest {
        method: Method::Get,
        url: &format!("{}?{query}", graph_object(&sender.connection, &sender.provider_number_id)),
        headers: vec![authorization],
        body: None,
        timeout: via.request_timeout(),
    };
    let answer = via.send(request).await.result.map_err(|no_answer| (None, no_answer.to_string()))?;
    if answer.status != 200 {
        return Err(errors::describe(answer.status, &answer.body));
    }
    read_number(&answer.body).map_err(|reason| (None, format!("the number's state cannot be read: {reason}")))
}

enum ListFailure {
    CursorExpired,
    Other(FetchFailure),
}

impl From<ListFailure> for FetchFailure {
    fn from(failure: ListFailure) -> Self {
        match failure {
            ListFailure::CursorExpired => Self("Graph's paging cursors expired twice in a row; try again".to_owned()),
            ListFailure::Other(failure) => failure,
        }
    }
}

/// All pages. The address of the next one is always built here: Graph's own `next` holds the token.
async fn list_templates(
    via: &Exchange,
    from: &Sender,
    named: Option<&str>,
) -> Result<Vec<ListedTemplate>, ListFailure> {
    let mut templates = Vec::new();
    let mut after = None;
    for _ in 0..TEMPLATE_PAGES_MAX {
        let page = fetch_page(via, from, named, after.as_deref()).await?;
        for reason in &page.unreadable {
            tracing::warn!(provider_account.id = from.provider_account_id, "skipped a template: {reason}");
        }
        templates.extend(page.templates);
        match page.after {
            Some(cursor) => after = Some(cursor),
            None => return Ok(templates),
        }
    }
    Err(fetch_failure(format!(
        "the listing of {} has more than {TEMPLATE_PAGES_MAX} pages of {TEMPLATES_PER_PAGE} templates",
        from.provider_account_id
    )))
}

async fn fetch_page(
    via: &Exchange,
    from: &Sender,
    named: Option<&str>,
    after: Option<&str>,
) -> Result<TemplatePage, ListFailure> {
    let connection = &from.connection;
    let authorization =
        authorization(connection).ok_or_else(|| fetch_failure("the connection has no access_token".to_owned()))?;
    let url = template_page_url(connection, &from.provider_account_id, named, after);
    let request = OutgoingRequest {
        method: Method::Get,
        url: &url,
        headers: vec![authorization],
        body: None,
        timeout: TEMPLATE_PAGE_TIMEOUT,
    };
    let answer = via.send(request).await.result.map_err(|no_answer| fetch_failure(no_answer.to_string()))?;
    if answer.cut {
        return Err(fetch_failure(format!("a page of templates is larger than {TEMPLATE_PAGE_BYTES_MAX} bytes")));
    }
    if answer.status != 200 {
        return Err(match errors::describe(answer.status, &answer.body) {
            (Some(errors::CURSOR_EXPIRED), _) => ListFailure::CursorExpired,
            (_, text) => fetch_failure(text),
        });
    }
    read_page(&answer.body).map_err(|reason| fetch_failure(format!("the listing cannot be read: {reason}")))
}

fn template_page_url(connection: &Connection, account_id: &str, named: Option<&str>, after: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("fields", TEMPLATE_FIELDS);
    query.append_pair("limit", &TEMPLATES_PER_PAGE.to_string());
    for (name, value) in [("name", named), ("after", after)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    format!("{}?{}", graph_url(connection, account_id, "message_templates"), query.finish())
}

fn fetch_failure(text: String) -> ListFailure {
    ListFailure::Other(FetchFailure(text))
}
