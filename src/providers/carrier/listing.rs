//! Templates as 360dialog lists them: all of the key's business account, page by page, each entry much as Meta writes it.

use serde::Deserialize;
use serde_json::value::RawValue;
use url::form_urlencoded;

use super::errors;
use crate::{
    domain::template::ListedTemplate,
    net::exchange::{Answer, Exchange},
    providers::{
        FetchFailure,
        cloud_api::{
            reach::Reach,
            reading::{TEMPLATE_PAGE_BYTES_MAX, TEMPLATE_PAGE_TIMEOUT},
            templates::read_entries,
        },
    },
};

const TEMPLATES_PER_PAGE: usize = 100;
/// A business account has at most 6,000 templates.
const TEMPLATE_PAGES_MAX: usize = 100;

pub(super) async fn templates(
    via: &Exchange,
    reach: &Reach,
    named: Option<&str>,
) -> Result<Vec<ListedTemplate>, FetchFailure> {
    let via = via.reading_up_to(TEMPLATE_PAGE_BYTES_MAX);
    let mut templates = Vec::new();
    let mut seen = 0;
    for _ in 0..TEMPLATE_PAGES_MAX {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("limit", &TEMPLATES_PER_PAGE.to_string())
            .append_pair("offset", &seen.to_string())
            .finish();
        let url = format!("{}/v1/configs/templates?{query}", reach.root);
        let request = reach.get(&url, TEMPLATE_PAGE_TIMEOUT).map_err(FetchFailure)?;
        let answer = via.send(request).await.result.map_err(|no_answer| FetchFailure(no_answer.to_string()))?;
        let (total, count) = {
            let page = page(&answer)?;
            let read = read_entries(&page.waba_templates);
            for reason in &read.unreadable {
                tracing::warn!("skipped a template of {}: {reason}", reach.name);
            }
            templates.extend(read.templates);
            (page.total.unwrap_or(0), page.waba_templates.len())
        };
        seen += count;
        // Without a total a page that is not full is the last one.
        if count == 0 || (total == 0 && count < TEMPLATES_PER_PAGE) || (total > 0 && seen >= total) {
            let named = named.map(str::to_ascii_lowercase);
            templates.retain(|listed| named.as_deref().is_none_or(|name| listed.template.name == name));
            return Ok(templates);
        }
    }
    Err(FetchFailure(format!("the listing has more than {TEMPLATE_PAGES_MAX} pages of {TEMPLATES_PER_PAGE} templates")))
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    waba_templates: Vec<&'a RawValue>,
    total: Option<usize>,
}

fn page(answer: &Answer) -> Result<Page<'_>, FetchFailure> {
    if answer.cut {
        return Err(FetchFailure(format!("a page of templates is larger than {TEMPLATE_PAGE_BYTES_MAX} bytes")));
    }
    if answer.status != 200 {
        return Err(FetchFailure(format!("HTTP {}{}", answer.status, errors::said(&answer.body))));
    }
    serde_json::from_slice(&answer.body).map_err(|error| FetchFailure(format!("the listing cannot be read: {error}")))
}
