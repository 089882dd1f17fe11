//! CleverTap's import of templates: it asks a URL of ours as it would ask Meta's list, page by page, and
//! replaces all that it has by what it finds.
//!
//! The answer is Meta's own shape. Its parts come from the provider's listing as they are; what we
//! know better or promise (status, category, format) is ours.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use url::form_urlencoded;

use super::super::{Reply, TemplateKey, TemplatePage, TemplateQuery};
use crate::domain::{
    failure::{Refusal, RefusalKind},
    template::{ListedTemplate, TemplateCategory, TemplateStatus},
};

/// A page without a `limit`, or with one that is no number: the least that CleverTap asks for.
pub(super) const TEMPLATES_PER_PAGE: usize = 50;
/// The most that CleverTap asks for; more is cut down to it. There is no least: whoever asks for two gets two.
pub const TEMPLATES_PER_PAGE_MAX: usize = 500;

pub(super) fn read_query(query: &str) -> Result<TemplateQuery, Refusal> {
    let mut read = TemplateQuery { limit: TEMPLATES_PER_PAGE, ..TemplateQuery::default() };
    for (name, value) in parts(query) {
        let value = without_stray_quotes(&value).to_owned();
        if value.is_empty() {
            continue;
        }
        match name.as_str() {
            "limit" => read.limit = limit(&value),
            "after" => read.after = Some(read_cursor(&value)?),
            "number" => read.number = Some(value),
            "name" => read.name = Some(value),
            "language" => read.language = Some(value),
            "category" => read.category = Some(value),
            "status" => read.status = Some(value),
            // Meta's list has more, such as `fields`; nothing is lost without.
            _ => {}
        }
    }
    Ok(read)
}

/// Names and values in their order. The URL that a customer entered may hold a query of its own, behind
/// which CleverTap puts another `?`.
fn parts(query: &str) -> Vec<(String, String)> {
    let queries = query.split('?').flat_map(|query| form_urlencoded::parse(query.as_bytes()));
    queries.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// One sample has a quote behind the cursor.
fn without_stray_quotes(value: &str) -> &str {
    value.trim_matches(|character: char| matches!(character, '"' | '\'' | '”') || character.is_whitespace())
}

fn limit(value: &str) -> usize {
    match value.parse() {
        Ok(0) | Err(_) => TEMPLATES_PER_PAGE,
        Ok(asked) => TEMPLATES_PER_PAGE_MAX.min(asked),
    }
}

pub(super) fn write_page(query: &TemplateQuery, page: &TemplatePage, own_url: &str) -> Reply {
    let cursor_of = |listed: &ListedTemplate| write_cursor(&TemplateKey::of(&listed.template));
    let before = page.templates.first().map(cursor_of);
    let after = page.templates.last().map(cursor_of).filter(|_| page.more);
    let next = after.as_ref().map(|after| format!("{own_url}?{}", query_of_next(query, after)));
    let answer = Answer {
        data: page.templates.iter().map(Entry::of).collect(),
        paging: Paging { cursors: Cursors { before, after }, next },
    };
    let body = serde_json::to_string(&answer).expect("texts and JSON can be written as JSON");
    Reply { http_status: 200, body }
}

/// The same question, from the cursor on.
fn query_of_next(query: &TemplateQuery, after: &str) -> String {
    let TemplateQuery { limit, after: _, number, name, language, category, status } = query;
    let mut next = form_urlencoded::Serializer::new(String::new());
    next.append_pair("limit", &limit.to_string());
    for (key, value) in
        [("number", number), ("name", name), ("language", language), ("category", category), ("status", status)]
    {
        if let Some(value) = value {
            next.append_pair(key, value);
        }
    }
    next.append_pair("after", after);
    next.finish()
}

/// A cursor names the last template of its page, so it stays right when the list changes and never expires.
fn write_cursor(key: &TemplateKey) -> String {
    let key = serde_json::to_vec(&[&key.name, &key.language]).expect("texts can be written as JSON");
    BASE64_URL_SAFE_NO_PAD.encode(key)
}

fn read_cursor(cursor: &str) -> Result<TemplateKey, Refusal> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor.trim_end_matches('=')).ok();
    let key = bytes.and_then(|bytes| serde_json::from_slice::<[String; 2]>(&bytes).ok());
    let key = key.map(|[name, language]| TemplateKey { name, language });
    key.ok_or_else(|| {
        let message = "after: this is no cursor of this list; begin again without it";
        Refusal::new(RefusalKind::Other, message)
    })
}

#[derive(Serialize)]
struct Answer<'a> {
    data: Vec<Entry<'a>>,
    paging: Paging,
}

#[derive(Serialize)]
struct Paging {
    cursors: Cursors,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
struct Cursors {
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

/// One template as Meta lists it.
#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_send_ttl_seconds: Option<i64>,
    parameter_format: &'static str,
    components: Box<RawValue>,
    language: &'a str,
    status: &'a TemplateStatus,
    category: &'a TemplateCategory,
    id: &'a str,
}

/// What only the provider's listing says.
#[derive(Default, Deserialize)]
struct Listing {
    message_send_ttl_seconds: Option<i64>,
    components: Option<Box<RawValue>>,
}

impl<'a> Entry<'a> {
    fn of(listed: &'a ListedTemplate) -> Self {
        let template = &listed.template;
        let listing: Listing = serde_json::from_str(&listed.listing).unwrap_or_default();
        Self {
            name: &template.name,
            message_send_ttl_seconds: listing.message_send_ttl_seconds,
            // Others are left out, or have no parameters at all.
            parameter_format: "POSITIONAL",
            components: listing.components.unwrap_or_else(no_components),
            language: &template.language,
            status: &template.status,
            category: &template.category,
            id: &template.provider_id,
        }
    }
}

fn no_components() -> Box<RawValue> {
    RawValue::from_string("[]".to_owned()).expect("an empty list is JSON")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::template::{Template, TemplateComponents};

    fn listed(name: &str, status: TemplateStatus) -> ListedTemplate {
        let listing = json!({
            "id": "1", "name": name, "language": "en", "status": "APPROVED", "category": "UTILITY",
            "parameter_format": "POSITIONAL", "message_send_ttl_seconds": 600,
            "components": [{"type": "BODY", "text": "Hi {{1}}", "example": {"body_text": [["Asha"]]}}],
        });
        ListedTemplate {
            template: Template {
                provider_id: "1".to_owned(),
                name: name.to_owned(),
                language: "en".to_owned(),
                status,
                category: TemplateCategory::Utility,
                components: TemplateComponents::default(),
                time_to_live_s: None,
            },
            listing: listing.to_string(),
        }
    }

    fn written(query: &str, page: &TemplatePage) -> Value {
        let query = read_query(query).expect("a right query");
        let reply = write_page(&query, page, "https://wa.example/clevertap/acme/templates");
        assert_eq!(reply.http_status, 200);
        serde_json::from_str(&reply.body).expect("an answer is JSON")
    }

    #[test]
    fn a_limit_is_kept_to_up_to_what_clevertap_asks_for() {
        for (query, limit) in [
            ("", 50),
            ("limit=", 50),
            ("limit=1", 1),
            ("limit=2", 2),
            ("limit=0", 50),
            ("limit=50%22", 50),
            ("limit=200\"", 200),
            ("limit=100000", 500),
            ("limit=99999999999999999999999", 50),
            ("limit=-1", 50),
            ("limit=many", 50),
        ] {
            assert_eq!(read_query(query).map(|query| query.limit), Ok(limit), "{query}");
        }
    }

    #[test]
    fn a_query_behind_a_query_is_read_and_the_last_word_counts() {
        let query = read_query("number=918880110022&limit=60?limit=70&name=order").expect("a right query");

        assert_eq!((query.number.as_deref(), query.limit), (Some("918880110022"), 70));
        assert_eq!(query.name.as_deref(), Some("order"));
    }

    #[test]
    fn a_cursor_is_taken_back_with_or_without_a_stray_quote() {
        let key = TemplateKey { name: "order_update".to_owned(), language: "en".to_owned() };
        let cursor = write_cursor(&key);

        for query in [format!("after={cursor}"), format!("after={cursor}%22"), format!("after={cursor}\"&limit=50")] {
            assert_eq!(read_query(&query).map(|query| query.after), Ok(Some(key.clone())), "{query}");
        }
        assert_eq!(read_query("after=").map(|query| query.after), Ok(None));
        for odd in ["after=QVFIbefore", "after=%20x", "after=W10"] {
            let refusal = read_query(odd).expect_err("not one of ours");
            assert_eq!(refusal.message, "after: this is no cursor of this list; begin again without it", "{odd}");
        }
    }

    #[test]
    fn a_page_has_metas_shape_and_says_where_the_next_one_is() {
        let page = TemplatePage {
            templates: vec![listed("a", TemplateStatus::Approved), listed("b", TemplateStatus::Paused)],
            more: true,
        };

        let answer = written("limit=50&number=%2B918880110022&status=APPROVED", &page);

        assert_eq!(
            answer["data"][0],
            json!({
                "name": "a", "message_send_ttl_seconds": 600, "parameter_format": "POSITIONAL",
                "components": [{"type": "BODY", "text": "Hi {{1}}", "example": {"body_text": [["Asha"]]}}],
                "language": "en", "status": "APPROVED", "category": "UTILITY", "id": "1",
            })
        );
        assert_eq!(answer["data"][1]["status"], "PAUSED", "what a webhook told is newer than the listing");
        let after = answer["paging"]["cursors"]["after"].as_str().expect("there are more");
        assert_eq!(
            answer["paging"]["next"],
            format!(
                "https://wa.example/clevertap/acme/templates?limit=50&number=%2B918880110022&status=APPROVED&after={after}"
            )
        );
    }

    #[test]
    fn the_last_page_has_neither_next_nor_after() {
        let page = TemplatePage { templates: vec![listed("a", TemplateStatus::Approved)], more: false };
        let paging = written("limit=50", &page)["paging"].clone();
        assert_eq!((paging.get("next"), paging["cursors"].get("after")), (None, None));
        assert!(paging["cursors"]["before"].is_string());

        assert_eq!(written("", &TemplatePage::default()), json!({"data": [], "paging": {"cursors": {}}}));
    }

    #[test]
    fn a_listing_that_cannot_be_read_costs_its_components_only() {
        let odd = ListedTemplate { listing: "?".to_owned(), ..listed("a", TemplateStatus::Approved) };
        let answer = written("", &TemplatePage { templates: vec![odd], more: false });
        assert_eq!((&answer["data"][0]["components"], &answer["data"][0]["name"]), (&json!([]), &json!("a")));
    }
}
