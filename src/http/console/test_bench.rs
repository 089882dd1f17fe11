//! Trying out: a test to a phone with its live story, a test that is only checked, and a pasted request explained.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{self, Data, Form, ServiceConfig},
};
use serde::Deserialize;

use super::{
    Frame, Trouble, Visitor,
    asked::{self, Query},
    bench_form::{Group, Values, content, groups, mark_wrong},
    explanation::{ExplanationPart, ProviderPart, explanation_part, provider_part},
    frame::{sentence, wants_part},
    message::{self, Story},
    page, page_as,
    preview::{Bubble, bubble},
    see_other,
};
use crate::{
    domain::{
        account::{ForbiddenWhiteSpace, Sender},
        operator::{Actor, Permission},
        phone::PhoneNumber,
        preview::preview,
        template::{Template, TemplateStatus},
    },
    http::Parts,
    services::{
        operators::{Refusal, require},
        search,
        templates::{self, TemplateName},
        test_bench::{self, PASTED_BYTES_MAX, Test, Tried},
    },
    store::{story::StoredMessage, test_exchanges::TestExchange},
};

pub(super) const PATH: &str = "/console/test-bench";

/// Everything under `/console/test-bench`.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/test-bench", web::get().to(form))
        .route("/test-bench/preview", web::post().to(look))
        .route("/test-bench/validate", web::post().to(validate))
        .route("/test-bench/validate", web::get().to(begin_again))
        .route("/test-bench/send", web::post().to(send))
        .route("/test-bench/send", web::get().to(begin_again))
        .route("/test-bench/messages/{id}", web::get().to(sent))
        .route("/test-bench/messages/{id}/exchanges", web::get().to(exchanges))
        .route("/test-bench/explain", web::get().to(paste))
        .route("/test-bench/explain", web::post().to(explain));
}

#[derive(askama::Template)]
#[template(path = "console/test_bench.html")]
struct Page {
    frame: Frame,
    bench: Bench,
}

/// What changes with the number and the template.
#[derive(askama::Template)]
#[template(path = "console/test_bench_form.html")]
struct Bench {
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
struct Answered {
    wrong: Option<String>,
    explanation: Option<ExplanationPart>,
    /// Each field is to say what must be changed in it.
    at_fields: bool,
}

struct Choice {
    value: String,
    name: String,
    chosen: bool,
}

struct Fields {
    number: String,
    name: String,
    language: String,
    /// Why it cannot be sent.
    stopped: Option<String>,
    groups: Vec<Group>,
    bubble: Bubble,
}

/// What was chosen so far.
struct Chosen {
    sender: Option<Arc<Sender>>,
    template: Option<Template>,
    values: Values,
}

/// Where a template of this number is tried.
pub(super) fn at(number: &str, (template, language): (&str, &str)) -> String {
    asked::address(PATH, [("number", number), ("template", template), ("language", language)])
}

impl Chosen {
    /// That the number has not the template that is asked for. Where somebody chooses another number that is as usual.
    fn without_template(&self) -> Option<String> {
        let name = self.values.get("template").map(|name| name.trim()).filter(|name| !name.is_empty())?;
        let number = self.sender.as_ref().filter(|_| self.template.is_none())?.number.as_e164();
        Some(format!("No template {name} is listed for {number}: choose one of the list."))
    }
}

fn chosen(parts: &Parts, values: Values) -> Chosen {
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

async fn bench(parts: &Parts, visitor: &Visitor, chosen: &Chosen, answered: Answered) -> Result<Bench, Trouble> {
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
async fn is_fine(parts: &Parts, actor: &Actor, chosen: &Chosen) -> Result<bool, Trouble> {
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

async fn fields(parts: &Parts, actor: &Actor, chosen: &Chosen) -> Result<Option<Fields>, Trouble> {
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
        Ok(content) if chosen.values.contains_key(super::bench_form::SEEN) => content,
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

/// `GET /console/test-bench`
async fn form(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    values: Query<Values>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::SendTests)?;
    let values = values.into_inner();
    asked::sender(&parts.directory.snapshot(), values.get("number").map_or("", |number| number.trim()))?;
    let chosen = chosen(&parts, values);
    if wants_part(&request) {
        return page(&bench(&parts, &visitor, &chosen, Answered::default()).await?);
    }
    let bench =
        bench(&parts, &visitor, &chosen, Answered { wrong: chosen.without_template(), ..Answered::default() }).await?;
    page(&Page { frame: Frame::new(&request, &visitor, "Test bench", PATH), bench })
}

/// Whoever comes back to the address of an answer.
async fn begin_again() -> HttpResponse {
    see_other(PATH)
}

/// `POST /console/test-bench/preview`
async fn look(parts: Data<Parts>, visitor: Visitor, values: Form<Values>) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::SendTests)?;
    let chosen = chosen(&parts, values.into_inner());
    let fields = fields(&parts, &visitor.actor, &chosen).await?;
    let gone = || Refusal::NotFound("this template is not listed any more; choose another one".to_owned());
    page(&fields.ok_or_else(gone)?.bubble)
}

/// The test that the fields say; `Err` says what to change.
fn test(chosen: &Chosen) -> Result<Test, String> {
    let sender = chosen.sender.clone().ok_or("there is no number yet that could send; add one first")?;
    let template = chosen.template.as_ref().ok_or("choose a template that is listed")?;
    let content = content(template, &chosen.values)?;
    let to = chosen.values.get("to").map(|to| to.trim().to_owned()).unwrap_or_default();
    Ok(Test { from: sender, to, content })
}

/// `POST /console/test-bench/validate`
async fn validate(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    values: Form<Values>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::SendTests)?;
    let chosen = chosen(&parts, values.into_inner());
    let at_fields = !is_fine(&parts, &visitor.actor, &chosen).await?;
    let answered = match test(&chosen) {
        Ok(test) => {
            let explanation = parts.test_bench.validate(&parts.acceptor, &visitor.actor, &test).await?;
            Answered { explanation: Some(explanation_part(explanation, false)), wrong: None, at_fields }
        }
        Err(text) => Answered { wrong: Some(sentence(&text)), explanation: None, at_fields },
    };
    let is_wrong = at_fields || answered.wrong.is_some();
    let bench = bench(&parts, &visitor, &chosen, answered).await?;
    let status = if is_wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    page_as(status, &Page { frame: Frame::new(&request, &visitor, "Test bench", PATH), bench })
}

/// `POST /console/test-bench/send`
async fn send(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    values: Form<Values>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::SendTests)?;
    let chosen = chosen(&parts, values.into_inner());
    let at_fields = !is_fine(&parts, &visitor.actor, &chosen).await?;
    let answered = match test(&chosen) {
        // Nobody is asked what the form knows already.
        Ok(_) if at_fields => Answered { at_fields, ..Answered::default() },
        Ok(test) => match parts.test_bench.send(&parts.acceptor, &visitor.actor, &test).await? {
            Tried::Sent(id) => return Ok(see_other(&format!("{PATH}/messages/{id}"))),
            Tried::Refused(explanation) => {
                Answered { explanation: Some(explanation_part(*explanation, false)), ..Answered::default() }
            }
        },
        Err(text) => Answered { wrong: Some(sentence(&text)), explanation: None, at_fields },
    };
    let bench = bench(&parts, &visitor, &chosen, answered).await?;
    let shown = Page { frame: Frame::new(&request, &visitor, "Test bench", PATH), bench };
    page_as(StatusCode::UNPROCESSABLE_ENTITY, &shown)
}

#[derive(askama::Template)]
#[template(path = "console/test_bench_sent.html")]
struct SentPage {
    frame: Frame,
    id: String,
    again: Option<String>,
    story: Story,
    exchanges: ExchangesPart,
}

/// Requests to the provider and its answers, which come while somebody looks.
#[derive(askama::Template)]
#[template(path = "console/test_bench_exchanges.html")]
struct ExchangesPart {
    id: String,
    exchanges: Vec<ExchangePart>,
    /// More may be said.
    open: bool,
    /// What would be asked now, as long as nothing was.
    provider: Option<ProviderPart>,
    hidden: bool,
}

struct ExchangePart {
    head: String,
    request: String,
    answer: String,
    answered: String,
    tone: &'static str,
}

async fn exchanges_part(parts: &Parts, actor: &Actor, message: &StoredMessage) -> Result<ExchangesPart, Trouble> {
    let hidden = !actor.may(Permission::ReadPersonal);
    let said = if hidden { vec![] } else { parts.store.test_exchanges(message.id).await? };
    let open = said.is_empty() && !hidden && message::is_open(message);
    let provider = if open { test_bench::rendered(&parts.acceptor, message) } else { None };
    Ok(ExchangesPart {
        id: message.id.to_string(),
        open,
        provider: provider.map(provider_part),
        exchanges: said.into_iter().map(exchange_part).collect(),
        hidden,
    })
}

fn exchange_part(said: TestExchange) -> ExchangePart {
    let (answered, tone) = match said.http_status {
        Some(status) if (200..300).contains(&status) => (format!("HTTP {status} after {} ms", said.took_ms), "good"),
        Some(status) => (format!("HTTP {status} after {} ms", said.took_ms), "bad"),
        None => (format!("no answer after {} ms", said.took_ms), "warn"),
    };
    ExchangePart {
        head: format!("POST {}", said.url),
        request: message::pretty(&said.request),
        answer: message::pretty(&said.answer),
        answered,
        tone,
    }
}

/// `GET /console/test-bench/messages/{id}/exchanges`
async fn exchanges(parts: Data<Parts>, visitor: Visitor, id: web::Path<String>) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::SendTests)?;
    let message = search::one(&parts.store, &visitor.actor, &id).await?;
    page(&exchanges_part(&parts, &visitor.actor, &message).await?)
}

/// `GET /console/test-bench/messages/{id}`
async fn sent(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    id: web::Path<String>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::SendTests)?;
    let message = search::one(&parts.store, &visitor.actor, &id).await?;
    let exchanges = exchanges_part(&parts, &visitor.actor, &message).await?;
    let snapshot = parts.directory.snapshot();
    let again = message
        .template
        .as_ref()
        .zip(snapshot.sender_at_work(message.sender))
        .map(|((name, language), sender)| at(sender.number.as_e164(), (name, language)));
    page(&SentPage {
        frame: Frame::new(&request, &visitor, "Test bench", PATH),
        id: message.id.to_string(),
        again,
        story: message::gather(&parts, &visitor.actor, &message).await?,
        exchanges,
    })
}

#[derive(askama::Template)]
#[template(path = "console/test_bench_explain.html")]
struct PastePage {
    frame: Frame,
    accounts: Vec<Choice>,
    payload: String,
    wrong: Option<String>,
    explanation: Option<ExplanationPart>,
    bytes_max: usize,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct PasteForm {
    account: String,
    payload: String,
}

fn paste_page(
    request: &HttpRequest,
    parts: &Parts,
    visitor: &Visitor,
    form: &PasteForm,
    (wrong, explanation): (Option<String>, Option<ExplanationPart>),
) -> PastePage {
    let snapshot = parts.directory.snapshot();
    let mut accounts: Vec<Choice> = snapshot
        .accounts()
        .map(|account| Choice {
            value: account.id.clone(),
            name: account.id.clone(),
            chosen: account.id == form.account,
        })
        .collect();
    accounts.sort_by(|one, other| one.value.cmp(&other.value));
    PastePage {
        frame: Frame::new(request, visitor, "Test bench", PATH),
        accounts,
        payload: form.payload.clone(),
        wrong,
        explanation,
        bytes_max: PASTED_BYTES_MAX,
    }
}

/// `GET /console/test-bench/explain`
async fn paste(request: HttpRequest, parts: Data<Parts>, visitor: Visitor) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::SendTests)?;
    page(&paste_page(&request, &parts, &visitor, &PasteForm::default(), (None, None)))
}

/// `POST /console/test-bench/explain`
async fn explain(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    form: Form<PasteForm>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::SendTests)?;
    let snapshot = parts.directory.snapshot();
    let account = snapshot.account(&form.account);
    let account = account.ok_or_else(|| Refusal::NotFound(format!("there is no account {}", form.account)))?;
    let told =
        parts.test_bench.explain(&parts.acceptor, &visitor.actor, account, test_bench::pasted(&form.payload)).await;
    let (status, told) = match told {
        Ok(explanation) => (StatusCode::OK, (None, Some(explanation_part(explanation, true)))),
        Err(Refusal::Invalid { text, .. }) => (StatusCode::UNPROCESSABLE_ENTITY, (Some(sentence(&text)), None)),
        Err(refusal) => return Err(refusal.into()),
    };
    page_as(status, &paste_page(&request, &parts, &visitor, &form, told))
}
