//! Which template a request means.

use std::borrow::Borrow;

use super::{Template, TemplateStatus};
use crate::domain::failure::{Refusal, RefusalKind};

/// The template that a request means. `T` is a [`Template`] or a pointer to one.
#[derive(Debug, PartialEq)]
pub struct Resolved<'a, T> {
    pub template: &'a T,
    /// It is the only approved translation of the language asked for, but of another region: worth a line
    /// in the log.
    pub substituted: bool,
}

/// Why no template could be found. Each may be the fault of a list that is out of date.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    #[error("template {name}: this WhatsApp account has none of that name; check the spelling, or create it there")]
    UnknownName { name: String },
    #[error("template {name}: not approved in {language:?}; {}", offer(approved))]
    UnknownLanguage { name: String, language: String, approved: Vec<String> },
    #[error("template {name} ({language}): its status is {status}; only approved templates can be sent")]
    NotApproved { name: String, language: String, status: TemplateStatus },
}

impl From<Unresolved> for Refusal {
    fn from(why: Unresolved) -> Self {
        Self::new(RefusalKind::Template, why.to_string())
    }
}

fn offer(approved: &[String]) -> String {
    if approved.is_empty() {
        "no language of it is approved yet".to_owned()
    } else {
        format!("choose one of its approved languages: {}", approved.join(", "))
    }
}

/// Finds the translation that a request means among the templates of the sender's business account:
/// the language as written, else as WhatsApp would write it, else the only approved one of the same
/// base language. Never another language: Hindi is not answered with English.
pub fn resolve<'a, T: Borrow<Template>>(
    templates: &'a [T],
    name: &str,
    language: &str,
) -> Result<Resolved<'a, T>, Unresolved> {
    let (name, language) = (name.trim(), language.trim());
    let translations = named(templates, name);
    if translations.is_empty() {
        return Err(Unresolved::UnknownName { name: name.to_owned() });
    }
    let wanted = LanguageCode::read(language);
    let exact = |t: &&T| (**t).borrow().language == language;
    let normalised = |t: &&T| LanguageCode::read(&(**t).borrow().language) == wanted;
    for matches in [&exact as &dyn Fn(&&T) -> bool, &normalised] {
        match preferred(translations.iter().copied().filter(matches)) {
            Some(template) if is_approved(template) => return Ok(Resolved { template, substituted: false }),
            Some(template) => return Err(not_approved(template.borrow())),
            None => {}
        }
    }
    let approved: Vec<&T> = translations.into_iter().filter(|t| is_approved(*t)).collect();
    let mut related = approved.iter().filter(|t| LanguageCode::read(&(**t).borrow().language).base == wanted.base);
    match (related.next(), related.next()) {
        (Some(template), None) => Ok(Resolved { template, substituted: true }),
        (None | Some(_), _) => Err(Unresolved::UnknownLanguage {
            name: name.to_owned(),
            language: language.to_owned(),
            approved: approved.iter().map(|t| (**t).borrow().language.clone()).collect(),
        }),
    }
}

/// All translations of the template with this name; in any case of letters, if none is spelled exactly so.
fn named<'a, T: Borrow<Template>>(templates: &'a [T], name: &str) -> Vec<&'a T> {
    let exact: Vec<&T> = templates.iter().filter(|t| (*t).borrow().name == name).collect();
    if !exact.is_empty() {
        return exact;
    }
    templates.iter().filter(|t| (*t).borrow().name.eq_ignore_ascii_case(name)).collect()
}

/// One that can be sent, if there is one: a deleted translation may be listed beside its successor.
fn preferred<'a, T: Borrow<Template>>(candidates: impl Iterator<Item = &'a T>) -> Option<&'a T> {
    candidates.max_by_key(|t| is_approved(*t))
}

fn is_approved<T: Borrow<Template>>(template: &T) -> bool {
    template.borrow().status == TemplateStatus::Approved
}

fn not_approved(template: &Template) -> Unresolved {
    Unresolved::NotApproved {
        name: template.name.clone(),
        language: template.language.clone(),
        status: template.status.clone(),
    }
}

/// A language as people write it, `en(uk)` or `pt-br`, in one form: `en` and `GB`, `pt` and `BR`.
#[derive(PartialEq, Eq)]
struct LanguageCode {
    base: String,
    region: String,
}

impl LanguageCode {
    fn read(text: &str) -> Self {
        let mut parts = text.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty());
        let base = parts.next().unwrap_or_default().to_lowercase();
        let region = parts.collect::<Vec<_>>().join("_").to_uppercase();
        // Only as a region: as a language `uk` is Ukrainian.
        Self { base, region: if region == "UK" { "GB".to_owned() } else { region } }
    }
}
