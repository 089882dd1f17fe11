//! Reading what Graph lists: templates page by page, and how a number stands.

use std::time::Duration;

use url::form_urlencoded;

use super::{
    errors,
    numbers::{FIELDS, FIELDS_EVERY_VERSION_HAS, read_number},
    reach::Reach,
    templates::{TemplatePage, read_page},
};
use crate::{
    domain::{channel::NumberState, template::ListedTemplate},
    net::exchange::Exchange,
    providers::FetchFailure,
};

/// Templates asked for at once. With carousels one takes some ten kilobytes.
const TEMPLATES_PER_PAGE: usize = 100;
/// What sending needs, and what a platform that imports templates, and the people who look at them, want to know besides.
const TEMPLATE_FIELDS: &str = "id,name,language,status,category,components,parameter_format,message_send_ttl_seconds,\
     quality_score,rejected_reason";
pub(in crate::providers) const TEMPLATE_PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A business account has at most 6,000 templates.
const TEMPLATE_PAGES_MAX: usize = 100;
/// A full page takes Graph longer than a send does.
pub(in crate::providers) const TEMPLATE_PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// All templates of a business account, or all translations of the one named.
pub(in crate::providers) async fn templates(
    via: &Exchange,
    reach: &Reach,
    account_id: &str,
    named: Option<&str>,
) -> Result<Vec<ListedTemplate>, FetchFailure> {
    let via = via.reading_up_to(TEMPLATE_PAGE_BYTES_MAX);
    // Names are lower-case at Meta, whatever a person typed.
    let named = named.map(str::to_ascii_lowercase);
    let mut templates = match list_templates(&via, reach, account_id, named.as_deref()).await {
        // Cursors live for a while only: from the beginning, once.
        Err(ListFailure::CursorExpired) => list_templates(&via, reach, account_id, named.as_deref()).await,
        other => other,
    }?;
    // The filter of the listing may find names that only contain the one asked for.
    templates.retain(|listed| named.as_deref().is_none_or(|name| listed.template.name == name));
    Ok(templates)
}

/// How a number stands.
pub(in crate::providers) async fn number(
    via: &Exchange,
    reach: &Reach,
    number_id: &str,
) -> Result<NumberState, FetchFailure> {
    /// Graph's way to say that a field is not there, among other things.
    const INVALID_PARAMETER: i64 = 100;
    match fetch_number(via, reach, number_id, FIELDS).await {
        Err((Some(INVALID_PARAMETER), _)) => fetch_number(via, reach, number_id, FIELDS_EVERY_VERSION_HAS).await,
        other => other,
    }
    .map_err(|(_, text)| FetchFailure(text))
}

/// The number's state; or Meta's code, when there is one, and what happened.
async fn fetch_number(
    via: &Exchange,
    reach: &Reach,
    number_id: &str,
    fields: &str,
) -> Result<NumberState, (Option<i64>, String)> {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("fields", fields).finish();
    number_at(via, reach, &format!("{}/{number_id}?{query}", reach.root)).await
}

/// What stands at an address that tells of a number.
pub(in crate::providers) async fn number_at(
    via: &Exchange,
    reach: &Reach,
    url: &str,
) -> Result<NumberState, (Option<i64>, String)> {
    let request = reach.get(url, via.request_timeout()).map_err(|text| (None, text))?;
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
    reach: &Reach,
    account_id: &str,
    named: Option<&str>,
) -> Result<Vec<ListedTemplate>, ListFailure> {
    let mut templates = Vec::new();
    let mut after = None;
    for _ in 0..TEMPLATE_PAGES_MAX {
        let page = fetch_page(via, reach, account_id, named, after.as_deref()).await?;
        for reason in &page.unreadable {
            tracing::warn!(provider_account.id = account_id, "skipped a template: {reason}");
        }
        templates.extend(page.templates);
        match page.after {
            Some(cursor) => after = Some(cursor),
            None => return Ok(templates),
        }
    }
    Err(fetch_failure(format!(
        "the listing of {account_id} has more than {TEMPLATE_PAGES_MAX} pages of {TEMPLATES_PER_PAGE} templates"
    )))
}

async fn fetch_page(
    via: &Exchange,
    reach: &Reach,
    account_id: &str,
    named: Option<&str>,
    after: Option<&str>,
) -> Result<TemplatePage, ListFailure> {
    let url = template_page_url(reach, account_id, named, after);
    let request = reach.get(&url, TEMPLATE_PAGE_TIMEOUT).map_err(fetch_failure)?;
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

fn template_page_url(reach: &Reach, account_id: &str, named: Option<&str>, after: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("fields", TEMPLATE_FIELDS);
    query.append_pair("limit", &TEMPLATES_PER_PAGE.to_string());
    for (name, value) in [("name", named), ("after", after)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    format!("{}/{account_id}/message_templates?{}", reach.root, query.finish())
}

fn fetch_failure(text: String) -> ListFailure {
    ListFailure::Other(FetchFailure(text))
}
