//! What is chosen at the test bench: a number, a template of its list, a language, and what stands in the template's fields.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Trouble, Visitor,
    bench_form::{Group, SEEN, Values, content, groups, mark_wrong},
    explanation::ExplanationPart,
    preview::{Bubble, bubble},
};
use crate::{
    domain::{
        account::{ForbiddenWhiteSpace, Sender},
        operator::Actor,
        phone::PhoneNumber,
        preview::preview,
        template::{Template, TemplateStatus},
    },
    http::Parts,
    services::{
        templates::{self, TemplateName},
        test_bench::Test,
    },
};

/// What changes with the number and the template.
#[derive(askama::Template)]
#[template(path = "console/test_bench_form.html")]
pub(super) struct Bench {
    csrf: String,
    numbers: Vec<Choice>,
    templates: Vec<Choice>,
    languages: Vec<Choice>,
    fields: Option<Fields>,
    to: String,
    to_wrong: Option<String>,
    /// What is wrong where no field shows it, or at how many it is.
    wrong: Option<String>,
    explanation: Option<ExplanationPart>,
}

/// What came of a form.
#[derive(Default)]
pub(super) struct Answered {
    pub(super) wrong: Option<String>,
    pub(super) explanation: Option<ExplanationPart>,
    /// Each field is to say what must be changed in it.
    pub(super) at_fields: bool,
}

pub(super) struct Choice {
    pub(super) value: String,
    pub(super) name: String,
    pub(super) chosen: bool,
}

pub(super) struct Fields {
    number: String,
    name: String,
    language: String,
    /// Why it cannot be sent.
    stopped: Option<String>,
    groups: Vec<Group>,
    pub(super) bubble: Bubble,
}

/// What was chosen so far.
pub(super) struct Chosen {
    sender: Option<Arc<Sender>>,
    template: Option<Template>,
    values: Values,
}

impl Chosen {
    /// That the number has not the template that is asked for. Where somebody chooses another number that is as usual.
    pub(super) fn without_template(&self) -> Option<String> {
        let name = self.values.get("template").map(|name| name.trim()).filter(|name| !name.is_empty())?;
        let number = self.sender.as_ref().filter(|_| self.template.is_none())?.number.as_e164();
        Some(format!("No template {name} is listed for {number}: choose one of the list."))
    }
}

pub(super) fn chosen(parts: &Parts, values: Values) -> Chosen {
    let snapshot = parts.directory.snapshot();
    let value = |name: &str| values.get(name).map(|value| value.trim()).unwrap_or_default();
    let mut senders: Vec<&Arc<Sender>> = snapshot.senders().collect();
    senders.sort_by(|one, other| one.number.cmp(&other.number));
    let named = senders.iter().find(|sender| sender.number.as_e164() == value("number"));
    let sender = named.or(senders.first()).map(|sender| (*sender).clone());
    let list = sender.as_ref().map(|sender| parts.directory.templates(sender)).unwrap_or_default();
    let mut translations: Vec<&Template> = list.iter().filter(|template| template.name == value("template")).collect();
    translations.sort_by_key(|template| (template.status != TemplateStatus::Approved, &template.language));
    let named = translations.iter().find(|template| template.language == value("language"));
    let template = named.or(translations.first()).map(|template| (*template).clone());
    Chosen { sender, template, values }
}

pub(super) async fn bench(
    parts: &Parts,
    visitor: &Visitor,
    chosen: &Chosen,
    answered: Answered,
) -> Result<Bench, Trouble> {
    let snapshot = parts.directory.snapshot();
    let mut numbers: Vec<Choice> = snapshot
        .senders()
        .map(|sender| {
            let account = snapshot.account_by_key(sender.account).map_or("?", |account| account.id.as_str());
            Choice {
                value: sender.number.as_e164().to_owned(),
                name: format!("{} ({account})", sender.number.as_e164()),
                chosen: chosen.sender.as_ref().is_some_and(|chosen| chosen.key == sender.key),
            }
        })
        .collect();
    numbers.sort_by(|one, other| one.value.cmp(&other.value));
    let list = chosen.sender.as_ref().map(|sender| parts.directory.templates(sender)).unwrap_or_default();
    let mut fields = fields(parts, &visitor.actor, chosen).await?;
    let (mut wrong, mut to_wrong) = (answered.wrong, None);
    if answered.at_fields {
        to_wrong = trouble_with_phone(parts, chosen);
        let at_fields = fields.as_mut().map_or(0, |fields| mark_wrong(&mut fields.groups, white_space(parts, chosen)));
        wrong = match at_fields + usize::from(to_wrong.is_some()) {
            0 => wrong,
            1 => Some("One field must be changed: it says how.".to_owned()),
            many => Some(format!("{many} fields must be changed: each says how.")),
        };
    }
    Ok(Bench {
        csrf: visitor.csrf.clone(),
        numbers,
        templates: names(&list, chosen.template.as_ref()),
        languages: languages(&list, chosen.template.as_ref()),
        fields,
        to: chosen.values.get("to").cloned().unwrap_or_default(),
        to_wrong,
        wrong,
        explanation: answered.explanation,
    })
}

/// Why nobody has the number that was typed.
fn trouble_with_phone(parts: &Parts, chosen: &Chosen) -> Option<String> {
    let snapshot = parts.directory.snapshot();
    let account = chosen.sender.as_ref().and_then(|sender| snapshot.account_by_key(sender.account));
    let country = account.and_then(|account| account.policy.default_country.as_deref());
    let to = chosen.values.get("to").map(|to| to.trim()).unwrap_or_default();
    let wrong = PhoneNumber::parse(to, country).is_err();
    wrong.then(|| "This is no whole telephone number: write it with + and country code.".to_owned())
}

fn white_space(parts: &Parts, chosen: &Chosen) -> ForbiddenWhiteSpace {
    let snapshot = parts.directory.snapshot();
    let account = chosen.sender.as_ref().and_then(|sender| snapshot.account_by_key(sender.account));
    account.map_or(ForbiddenWhiteSpace::Refuse, |account| account.policy.forbidden_white_space)
}

/// Whether every field holds what it must.
pub(super) async fn is_fine(parts: &Parts, actor: &Actor, chosen: &Chosen) -> Result<bool, Trouble> {
    let Some(mut fields) = fields(parts, actor, chosen).await? else { return Ok(true) };
    let wrong = mark_wrong(&mut fields.groups, white_space(parts, chosen));
    Ok(wrong == 0 && trouble_with_phone(parts, chosen).is_none())
}

/// The names of a list, each once, with what keeps it from being sent.
fn names(list: &[Template], chosen: Option<&Template>) -> Vec<Choice> {
    let mut names: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for template in list {
        names.entry(&template.name).or_default().insert(template.status.to_string());
    }
    let approved = TemplateStatus::Approved.to_string();
    let choice = |(name, statuses): (&str, BTreeSet<String>)| {
        let others: Vec<String> = statuses.iter().cloned().collect();
        let note = if statuses.contains(&approved) { String::new() } else { format!(" ({})", others.join(", ")) };
        Choice {
            value: name.to_owned(),
            name: format!("{name}{note}"),
            chosen: chosen.is_some_and(|chosen| chosen.name == name),
        }
    };
    names.into_iter().map(choice).collect()
}

fn languages(list: &[Template], chosen: Option<&Template>) -> Vec<Choice> {
    let Some(chosen) = chosen else { return vec![] };
    let translations = list.iter().filter(|template| template.name == chosen.name);
    let choice = |template: &Template| Choice {
        value: template.language.clone(),
        name: match template.status {
            TemplateStatus::Approved => template.language.clone(),
            TemplateStatus::Paused
            | TemplateStatus::Disabled
            | TemplateStatus::Pending
            | TemplateStatus::Rejected
            | TemplateStatus::Other(_) => format!("{} ({})", template.language, template.status),
        },
        chosen: template.language == chosen.language,
    };
    translations.map(choice).collect()
}

pub(super) async fn fields(parts: &Parts, actor: &Actor, chosen: &Chosen) -> Result<Option<Fields>, Trouble> {
    let (Some(sender), Some(template)) = (&chosen.sender, &chosen.template) else { return Ok(None) };
    let wanted = TemplateName {
        connection: sender.connection.id.clone(),
        business_account: sender.provider_account_id.clone(),
        name: template.name.clone(),
        language: template.language.clone(),
    };
    let (shown, _) = templates::one(&parts.store, &parts.directory, actor, &wanted).await?;
    let groups = groups(template, &chosen.values, &shown.listing.examples);
    let entered = match content(template, &chosen.values) {
        Ok(content) if chosen.values.contains_key(SEEN) => content,
        Ok(_) | Err(_) => shown.listing.examples,
    };
    let stopped = match &template.status {
        TemplateStatus::Approved => None,
        status @ (TemplateStatus::Paused
        | TemplateStatus::Disabled
        | TemplateStatus::Pending
        | TemplateStatus::Rejected
        | TemplateStatus::Other(_)) => {
            Some(format!("Its status is {status}: only approved templates can be sent. You can check it all the same."))
        }
    };
    Ok(Some(Fields {
        number: sender.number.as_e164().to_owned(),
        name: template.name.clone(),
        language: template.language.clone(),
        stopped,
        groups,
        bubble: bubble(preview(template, Some(&entered))),
    }))
}

/// The test that the fields say; `Err` says what to change.
pub(super) fn test(chosen: &Chosen) -> Result<Test, String> {
    let sender = chosen.sender.clone().ok_or("there is no number yet that could send; add one first")?;
    let template = chosen.template.as_ref().ok_or("choose a template that is listed")?;
    let content = content(template, &chosen.values)?;
    let to = chosen.values.get("to").map(|to| to.trim().to_owned()).unwrap_or_default();
    Ok(Test { from: sender, to, content })
}
