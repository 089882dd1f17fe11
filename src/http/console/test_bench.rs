//! Trying out: a test to a phone with its live story, a test that is only checked, and a pasted request explained.

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{self, Data, Form, ServiceConfig},
};
use serde::Deserialize;

use super::{
    Frame, Trouble, Visitor,
    asked::{self, Query},
    bench_choice::{Answered, Bench, Choice, bench, chosen, fields, is_fine, test},
    bench_form::Values,
    explanation::{ExplanationPart, ProviderPart, explanation_part, provider_part},
    frame::{sentence, wants_part},
    message::{self, Story},
    page, page_as, see_other,
};
use crate::{
    domain::operator::{Actor, Permission},
    http::Parts,
    services::{
        operators::{Refusal, require},
        search, story,
        test_bench::{self, PASTED_BYTES_MAX, Tried},
    },
    store::{send_exchanges::SendExchange, story::StoredMessage},
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
        .route("/test-bench/messages/{id}/part", web::get().to(part))
        .route("/test-bench/explain", web::get().to(paste))
        .route("/test-bench/explain", web::post().to(explain));
}

#[derive(askama::Template)]
#[template(path = "console/test_bench.html")]
struct Page {
    frame: Frame,
    bench: Bench,
}

/// Where a template of this number is tried.
pub(super) fn at(number: &str, (template, language): (&str, &str)) -> String {
    asked::address(PATH, [("number", number), ("template", template), ("language", language)])
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
    part: SentPart,
}

/// The message, and what was said about it: they come anew together.
#[derive(askama::Template)]
#[template(path = "console/test_bench_sent_part.html")]
struct SentPart {
    id: String,
    open: bool,
    story: Story,
    exchanges: ExchangesPart,
}

async fn sent_part(parts: &Parts, actor: &Actor, message: &StoredMessage) -> Result<SentPart, Trouble> {
    let exchanges = exchanges_part(parts, actor, message).await?;
    Ok(SentPart {
        id: message.id.to_string(),
        open: exchanges.open || message::is_open(message),
        story: message::gather(parts, actor, message).await?.within_test(),
        exchanges,
    })
}

/// Requests to the provider and its answers, which come while somebody looks.
#[derive(askama::Template)]
#[template(path = "console/test_bench_exchanges.html")]
struct ExchangesPart {
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
    let said = if hidden { vec![] } else { parts.store.send_exchanges(message.id).await? };
    let open = said.is_empty() && !hidden && message::is_open(message);
    let provider = if open { story::rendered(&parts.acceptor, message) } else { None };
    Ok(ExchangesPart {
        open,
        provider: provider.map(provider_part),
        exchanges: said.into_iter().map(exchange_part).collect(),
        hidden,
    })
}

fn exchange_part(said: SendExchange) -> ExchangePart {
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

/// `GET /console/test-bench/messages/{id}/part`
async fn part(parts: Data<Parts>, visitor: Visitor, id: web::Path<String>) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::SendTests)?;
    let message = search::one(&parts.store, &visitor.actor, &id).await?;
    page(&sent_part(&parts, &visitor.actor, &message).await?)
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
        part: sent_part(&parts, &visitor.actor, &message).await?,
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
