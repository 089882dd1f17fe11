//! Whether templates can stand for others: messages written for the one must fill the other. Pure.
//!
//! Only aliases that are new are looked at. A file is not held against the lists, because it may be applied before there
//! are any; what does not fit is refused when a message comes.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    domain::template::Template,
    services::{directory::owner_of, operators::FieldProblem},
    store::{
        configuration::{AccountRecord, Configuration},
        templates::TemplateOwner,
    },
};

pub(super) fn problems(
    stored: &Configuration,
    wanted: &AccountRecord,
    templates: &BTreeMap<TemplateOwner, Vec<Template>>,
) -> Vec<FieldProblem> {
    let Some(account) = stored.account(&wanted.id) else { return vec![] };
    let senders = stored.senders.iter().filter(|sender| sender.account == account.key);
    let owners: BTreeSet<TemplateOwner> = senders.map(owner_of).collect();
    let lists: Vec<&Vec<Template>> = owners.iter().filter_map(|owner| templates.get(owner)).collect();
    if lists.is_empty() {
        return vec![];
    }
    let known = &account.policy.template_aliases;
    let new = wanted.policy.template_aliases.iter().filter(|(old, meant)| known.get(*old) != Some(*meant));
    let problem = |(old, meant): (&String, &String)| {
        let why = why_not(&lists, old, meant)?;
        Some(FieldProblem::new(format!("template_aliases.{old}"), why))
    };
    new.filter_map(problem).collect()
}

/// Why a template cannot stand for another. Of one that is in no list any more nothing is known, and so nothing is wrong.
fn why_not(lists: &[&Vec<Template>], old: &str, meant: &str) -> Option<String> {
    let named = |list: &'_ [Template], name: &str| -> Vec<Template> {
        list.iter().filter(|template| template.name.eq_ignore_ascii_case(name)).cloned().collect()
    };
    if lists.iter().all(|list| named(list, meant).is_empty()) {
        return Some(format!(
            "stands for {meant}, and there is no such template: read the list again, or correct the name"
        ));
    }
    for list in lists {
        let others = named(list, meant);
        for template in named(list, old) {
            let language = &template.language;
            let Some(other) = others.iter().find(|other| other.language == *language) else {
                return Some(format!("is there in {language}, and {meant} is not: add that translation first"));
            };
            let (shape, other_shape) = (template.components.shape(), other.components.shape());
            if shape != other_shape {
                return Some(format!("has another shape in {language} than {meant}: {shape}; there {other_shape}"));
            }
        }
    }
    None
}
