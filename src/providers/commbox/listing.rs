//! Templates as CommBox lists them, of which no sample is published: entries as Meta writes them are taken as they are, flat
//! ones are written as Meta would. Only what can be sent is listed, so an entry without a status is approved.

use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::{
    answers::text,
    get as fetch,
    keys::Keys,
    path_part,
    settings::{BASE_URL, STREAM_PLACE, TEMPLATES_PATH},
};
use crate::{
    domain::{account::Sender, template::ListedTemplate},
    net::exchange::Exchange,
    providers::{
        FetchFailure,
        cloud_api::{reading::TEMPLATE_PAGE_BYTES_MAX, templates::read_page},
    },
};

/// The most that CommBox gives at once.
const TEMPLATES_PER_PAGE: usize = 200;
const TEMPLATE_PAGES_MAX: usize = 50;

pub(super) async fn templates(
    keys: &Keys,
    via: &Exchange,
    from: &Sender,
    named: Option<&str>,
) -> Result<Vec<ListedTemplate>, FetchFailure> {
    let via = via.reading_up_to(TEMPLATE_PAGE_BYTES_MAX);
    let connection = &from.connection;
    let path = connection.setting(TEMPLATES_PATH).replace(STREAM_PLACE, &path_part(&from.provider_number_id));
    let base = connection.setting(BASE_URL).trim_end_matches('/');
    let mut templates = Vec::new();
    for page in 0..TEMPLATE_PAGES_MAX {
        // The offset counts pages, not templates.
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("limit", &TEMPLATES_PER_PAGE.to_string())
            .append_pair("offset", &page.to_string())
            .finish();
        let body = fetch(keys, &via, connection, &format!("{base}{path}?{query}")).await.map_err(FetchFailure)?;
        let envelope: Value = serde_json::from_slice(&body)
            .map_err(|error| FetchFailure(format!("the listing cannot be read: {error}")))?;
        let entries =
            entries(&envelope).ok_or_else(|| FetchFailure("the answer is no list of templates".to_owned()))?;
        for entry in entries {
            templates.extend(read_entry(entry));
        }
        if entries.len() < TEMPLATES_PER_PAGE {
            let named = named.map(str::to_ascii_lowercase);
            templates.retain(|listed| named.as_deref().is_none_or(|name| listed.template.name == name));
            return Ok(templates);
        }
    }
    Err(FetchFailure(format!("the listing has more than {TEMPLATE_PAGES_MAX} pages of {TEMPLATES_PER_PAGE} templates")))
}

fn entries(envelope: &Value) -> Option<&Vec<Value>> {
    let data = envelope.get("data").unwrap_or(envelope);
    data.as_array().or_else(|| data.get("templates").and_then(Value::as_array))
}

fn read_entry(entry: &Value) -> Option<ListedTemplate> {
    let page = json!({ "data": [normal(entry)] }).to_string();
    let page = read_page(page.as_bytes()).ok()?;
    for reason in &page.unreadable {
        tracing::warn!("skipped a template of CommBox: {reason}");
    }
    let template = page.templates.into_iter().next()?.template;
    Some(ListedTemplate { template, listing: entry.to_string() })
}

/// A kept entry as Meta would have written it.
pub(super) fn as_meta_writes_it(listing: &str) -> String {
    normal(&serde_json::from_str(listing).unwrap_or_default()).to_string()
}

fn normal(entry: &Value) -> Value {
    let first = |names: &[&str]| names.iter().map(|name| text(&entry[*name])).find(|text| !text.is_empty());
    let mut normal = Map::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            normal.insert(name.to_owned(), value.into());
        }
    };
    put("id", first(&["id", "templateId", "template_id"]));
    put("name", first(&["name", "templateName", "template_name"]));
    let language = text(&entry["language"]["code"]);
    let language = Some(language).filter(|code| !code.is_empty());
    put("language", language.or_else(|| first(&["language", "languageCode", "language_code"])));
    put("category", first(&["category"]));
    put("status", Some(first(&["status"]).unwrap_or_else(|| "APPROVED".to_owned())));
    let components = match &entry["components"] {
        components @ Value::Array(_) => components.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => flat(entry),
    };
    normal.insert("components".to_owned(), components);
    Value::Object(normal)
}

/// Components of an entry whose parts stand side by side.
fn flat(entry: &Value) -> Value {
    let words = |part: &Value| match part {
        Value::Object(part) => part.get("text").map(text).unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => text(part),
    };
    let mut components = Vec::new();
    let header = &entry["header"];
    let formats = [&header["format"], &header["type"], &entry["headerFormat"], &entry["header_format"]];
    let format = formats.iter().map(|format| text(format)).find(|format| !format.is_empty());
    match format.map(|format| format.to_ascii_uppercase()) {
        Some(format) if format == "NONE" => {}
        Some(format) => components.push(json!({"type": "HEADER", "format": format, "text": words(header)})),
        None if !words(header).is_empty() => {
            components.push(json!({"type": "HEADER", "format": "TEXT", "text": words(header)}));
        }
        None => {}
    }
    let body = ["body", "text", "content", "message"].iter().map(|name| words(&entry[*name]));
    if let Some(body) = body.into_iter().find(|body| !body.is_empty()) {
        components.push(json!({"type": "BODY", "text": body}));
    }
    if !words(&entry["footer"]).is_empty() {
        components.push(json!({"type": "FOOTER", "text": words(&entry["footer"])}));
    }
    if let Some(buttons) = entry["buttons"].as_array().filter(|buttons| !buttons.is_empty()) {
        components.push(json!({"type": "BUTTONS", "buttons": buttons}));
    }
    components.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_entry_is_read_as_one_of_metas() {
        let entry = json!({"template_name": "order_update", "language": {"code": "en"}, "category": "UTILITY",
            "header": {"format": "image"}, "body": "Hello {{1}}", "buttons": [{"type": "URL", "text": "Track",
            "url": "https://shop.example/t/{{1}}"}]});
        let read = read_entry(&entry).expect("it can be read").template;
        assert_eq!((read.name.as_str(), read.language.as_str()), ("order_update", "en"));
        assert!(matches!(read.status, crate::domain::template::TemplateStatus::Approved));
        assert!(read.components.header.is_some());
        assert_eq!((read.components.body.variables.len(), read.components.buttons.len()), (1, 1));
    }
}
