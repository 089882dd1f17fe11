//! Gallabox's list of templates: Meta's components, and beside them the names of the body's variables.
//!
//! WhatsApp only knows numbers or its own names; Gallabox wants values under the names that it gave. So where a body has
//! numbers, they are replaced by those names right here, and whoever fills the template needs to know nothing of it.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::{
    domain::template::{ListedTemplate, Template, TemplateStatus, TemplateText, Variable},
    providers::cloud_api::templates::read_page,
};

/// Reads a list: a bare array, or one under `data`. One odd template does not cost the others; they are named beside them.
pub(super) fn read_list(body: &[u8], named: Option<&str>) -> Result<(Vec<ListedTemplate>, Vec<String>), String> {
    let entries = entries(body)?;
    let (mut templates, mut unreadable) = (Vec::<ListedTemplate>::new(), Vec::new());
    for (index, raw) in entries.into_iter().enumerate() {
        match read_entry(raw) {
            Ok(listed) if named.is_some_and(|name| !listed.template.name.eq_ignore_ascii_case(name)) => {}
            Ok(listed) => keep(&mut templates, listed),
            Err(reason) => unreadable.push(format!("template {index} of the list: {reason}")),
        }
    }
    Ok((templates, unreadable))
}

fn entries(body: &[u8]) -> Result<Vec<&RawValue>, String> {
    #[derive(serde::Deserialize)]
    struct Wrapped<'a> {
        #[serde(borrow)]
        data: Vec<&'a RawValue>,
    }
    let bare = serde_json::from_slice::<Vec<&RawValue>>(body);
    bare.or_else(|error| serde_json::from_slice::<Wrapped<'_>>(body).map(|list| list.data).map_err(|_| error))
        .map_err(|error| error.to_string())
}

/// An account may have the same template at several channels: one that is approved is the one to be known.
fn keep(templates: &mut Vec<ListedTemplate>, listed: ListedTemplate) {
    let same = |other: &ListedTemplate| {
        other.template.name == listed.template.name && other.template.language == listed.template.language
    };
    match templates.iter_mut().find(|other| same(other)) {
        Some(known) if known.template.status != TemplateStatus::Approved => *known = listed,
        Some(_) => {}
        None => templates.push(listed),
    }
}

fn read_entry(raw: &RawValue) -> Result<ListedTemplate, String> {
    let mut entry: Value = serde_json::from_str(raw.get()).map_err(|error| error.to_string())?;
    let names: Vec<String> = entry["variables"].as_array().into_iter().flatten().filter_map(variable_name).collect();
    if entry.get("id").is_none_or(Value::is_null) {
        let id = entry.get("_id").cloned().ok_or("it has no id")?;
        entry["id"] = id;
    }
    let page = read_page(format!(r#"{{"data":[{entry}]}}"#).as_bytes())?;
    let listed = page.templates.into_iter().next();
    let mut template = listed.ok_or_else(|| page.unreadable.join("; "))?.template;
    name_variables(&mut template, &names);
    Ok(ListedTemplate { template, listing: raw.get().to_owned() })
}

/// A bare name, or an object with one.
fn variable_name(variable: &Value) -> Option<String> {
    let name = variable.as_str().or_else(|| variable["name"].as_str())?;
    Some(name.trim_matches(['{', '}', ' ']).to_owned()).filter(|name| !name.is_empty())
}

/// A name that is a number says nothing new.
fn is_number(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit())
}

/// The names in their order stand for the numbers in theirs. When there are not as many, the text's own are right.
fn name_variables(template: &mut Template, names: &[String]) {
    let body = &mut template.components.body;
    // Names that stand in the text may have letters in them that WhatsApp's own have not.
    if !names.is_empty() && names.iter().all(|name| body.text.contains(&format!("{{{{{name}}}}}"))) {
        if !names.iter().any(|name| is_number(name)) {
            body.variables = names.iter().cloned().map(Variable::Name).collect();
        }
        return;
    }
    if names.len() != body.variables.len() || names.iter().any(|name| is_number(name)) {
        return;
    }
    let mut numbered: Vec<u16> = Vec::new();
    for variable in &body.variables {
        match variable {
            Variable::Position(number) => numbered.push(*number),
            // The text names them itself.
            Variable::Name(_) => return,
        }
    }
    numbered.sort_unstable();
    let mut text = body.text.clone();
    for (number, name) in numbered.iter().zip(names) {
        let spaced = format!("{{{{ {number} }}}}");
        text = text.replace(&spaced, &format!("{{{{{number}}}}}"));
        text = text.replace(&format!("{{{{{number}}}}}"), &format!("{{{{{name}}}}}"));
    }
    // In the order of the numbers, which is the order in which platforms give values.
    let variables = names.iter().cloned().map(Variable::Name).collect();
    *body = TemplateText { text, variables };
}
