//! Templates of a carrier that lists none: the operator lists them in the form that Meta gives its own, so that requests are
//! checked as everywhere; or has any name taken as it comes.

use serde_json::{Value, json};

use crate::{
    domain::{account::Connection, outbound::Category, template::ListedTemplate},
    providers::{FetchFailure, cloud_api::templates::read_page},
};

pub const TEMPLATES: &str = "templates";
pub const CATEGORY: &str = "template_category";

const PASSTHROUGH: &str = "passthrough";

/// The category of all templates, when any is taken.
pub fn passes_any(connection: &Connection) -> Option<Category> {
    (connection.setting(TEMPLATES).trim() == PASSTHROUGH).then(|| match connection.setting(CATEGORY) {
        "utility" => Category::Utility,
        "authentication" => Category::Authentication,
        _ => Category::Marketing,
    })
}

/// Those that are listed, or those of them that are named so.
pub fn listed(connection: &Connection, named: Option<&str>) -> Result<Vec<ListedTemplate>, FetchFailure> {
    let category = connection.setting(CATEGORY).to_uppercase();
    let mut listed = read(connection.setting(TEMPLATES), &category).map_err(FetchFailure)?;
    listed.retain(|listed| named.is_none_or(|name| listed.template.name.eq_ignore_ascii_case(name)));
    Ok(listed)
}

/// Entries may leave out what the operator does not need to say: they are approved, and of the usual category.
fn read(text: &str, category: &str) -> Result<Vec<ListedTemplate>, String> {
    let text = text.trim();
    if text.is_empty() || text == PASSTHROUGH {
        return Ok(vec![]);
    }
    let list: Value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
    let Value::Array(mut entries) = list else {
        return Err("must be a JSON list of templates, or the word passthrough".to_owned());
    };
    for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        let id = format!("{} ({})", text("name"), text("language"));
        for (name, value) in [("id", id.as_str()), ("status", "APPROVED"), ("category", category)] {
            entry.entry(name).or_insert_with(|| value.into());
        }
    }
    let page = read_page(json!({ "data": entries }).to_string().as_bytes())?;
    match page.unreadable.into_iter().next() {
        Some(why) => Err(format!("has a template that cannot be read: {why}")),
        None => Ok(page.templates),
    }
}

pub fn check_templates(text: &str) -> Result<(), String> {
    read(text, "MARKETING").map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::template::TemplateStatus;

    #[test]
    fn an_entry_needs_a_name_a_language_and_what_is_to_be_filled() {
        let text = r#"[{"name":"order_update","language":"en","components":[{"type":"BODY","text":"Hi {{1}}"}]}]"#;

        let listed = read(text, "UTILITY").expect("a list");

        let template = &listed[0].template;
        assert_eq!((template.name.as_str(), template.status.clone()), ("order_update", TemplateStatus::Approved));
        assert_eq!(template.category.category(), Category::Utility);
        assert_eq!(template.components.body.variables.len(), 1);
    }

    #[test]
    fn what_is_no_list_of_templates_is_refused() {
        for text in ["[", "{}", "[{\"name\":\"a\"}]", "pass"] {
            assert!(check_templates(text).is_err(), "{text}");
        }
        assert_eq!(check_templates(""), Ok(()));
        assert_eq!(check_templates("passthrough"), Ok(()));
    }
}
