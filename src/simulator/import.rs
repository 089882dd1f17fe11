//! CleverTap's template import: asks a provider's import URL for page after page, and says what it saw.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::state::World;

const PAGES_MAX: usize = 1_000;
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
const PAGE_MS_MAX: u64 = 30_000;

/// An import as somebody sets it up in CleverTap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// The import URL; it may hold a query.
    pub url: String,
    #[serde(default = "page_size")]
    pub limit: u32,
    /// For Basic authentication.
    #[serde(default)]
    pub username: Option<String>,
    #[serde(default)]
    pub password: Option<String>,
    /// Other headers, by name.
    #[serde(default)]
    pub headers: std::collections::BTreeMap<String, String>,
    /// Write a quote after the cursor, as one of CleverTap's samples does.
    #[serde(default)]
    pub stray_quote: bool,
}

fn page_size() -> u32 {
    50
}

/// What an import brought.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ImportReport {
    pub pages: usize,
    /// As they came, in their order.
    pub templates: Vec<Value>,
    /// What has not Meta's shape; an import with any would fail.
    pub problems: Vec<String>,
}

pub(super) async fn import(world: &World, import: &Import) -> ImportReport {
    let mut report = ImportReport::default();
    let mut after: Option<String> = None;
    loop {
        match page(world, import, after.as_deref()).await {
            Ok(page) => {
                report.pages += 1;
                after = read(&page, &mut report, import.limit);
            }
            Err(problem) => {
                report.problems.push(format!("page {}: {problem}", report.pages + 1));
                return report;
            }
        }
        if after.is_none() {
            return report;
        }
        if report.pages >= PAGES_MAX {
            report.problems.push(format!("more than {PAGES_MAX} pages: does the cursor go round?"));
            return report;
        }
    }
}

async fn page(world: &World, import: &Import, after: Option<&str>) -> Result<Value, String> {
    let mut url = url::Url::parse(&import.url).map_err(|error| format!("{:?}: {error}", import.url))?;
    url.query_pairs_mut().append_pair("limit", &import.limit.to_string());
    if let Some(after) = after {
        let quote = if import.stray_quote { "\"" } else { "" };
        url.query_pairs_mut().append_pair("after", &format!("{after}{quote}"));
    }
    let mut request = world.client().get(url).timeout(Duration::from_millis(PAGE_MS_MAX));
    if let Some(username) = &import.username {
        let pair = format!("{username}:{}", import.password.as_deref().unwrap_or_default());
        request = request.header("Authorization", format!("Basic {}", STANDARD.encode(pair)));
    }
    for (name, value) in &import.headers {
        request = request.header(name, value);
    }
    let mut answer = request.send().await.map_err(|_| "there was no answer".to_owned())?;
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|_| "the answer broke off".to_owned())? {
        body.extend_from_slice(&chunk);
        if body.len() > PAGE_BYTES_MAX {
            return Err(format!("larger than {PAGE_BYTES_MAX} bytes"));
        }
    }
    if status != reqwest::StatusCode::OK {
        return Err(format!("HTTP status {}: {}", status.as_u16(), String::from_utf8_lossy(&body)));
    }
    serde_json::from_slice(&body).map_err(|error| format!("not JSON: {error}"))
}

/// Takes a page, and gives back where the next one begins.
fn read(page: &Value, report: &mut ImportReport, limit: u32) -> Option<String> {
    let number = report.pages;
    let mut wrong = |problem: String| report.problems.push(format!("page {number}: {problem}"));
    let Some(data) = page["data"].as_array() else {
        wrong("data is not a list".to_owned());
        return None;
    };
    if data.len() > limit as usize {
        wrong(format!("{} templates although limit is {limit}", data.len()));
    }
    for template in data {
        for key in ["id", "name", "language", "status", "category"] {
            if template[key].as_str().is_none_or(str::is_empty) {
                wrong(format!("a template without {key}: {template}"));
            }
        }
        if !template["components"].is_array() {
            wrong(format!("components of {} is not a list", template["name"]));
        }
    }
    let next = page["paging"].get("next").is_some_and(|next| !next.is_null());
    let after = page["paging"]["cursors"]["after"].as_str().map(str::to_owned);
    match (next, &after) {
        (true, None) => wrong("there is a next page, but no cursor after".to_owned()),
        (false, Some(_)) => wrong("the last page has a cursor after".to_owned()),
        (true, Some(_)) | (false, None) => {}
    }
    report.templates.extend(data.iter().cloned());
    after.filter(|_| next)
}
