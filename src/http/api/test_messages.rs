//! Trying out: a test to a phone, one that is only checked, and a platform's request explained.

use std::sync::Arc;

use actix_web::{
    HttpResponse,
    web::{Data, Json, Path},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    Body, Caller,
    problem::Problem,
    templates::{ShapeDifference, TestContent, TestHeader},
};
use crate::{
    domain::{
        account::Sender,
        operator::Permission,
        outbound::Location,
        template::{
            ButtonContent, ButtonContentKind, CardContent, HeaderContent, Template, TemplateButton, TemplateButtonKind,
            TemplateContent, TemplateHeader, Unresolved, resolve,
        },
    },
    http::Parts,
    providers::RenderedRequest,
    services::{
        operators::require,
        search,
        test_bench::{Explanation, Outcome, Test, Tried, pasted},
    },
};

/// A test of a template.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestRequest {
    /// The business number that sends it.
    #[schema(example = "+918880110022")]
    number: String,
    /// The phone, with `+` and country code.
    #[schema(example = "+919876500001")]
    to: String,
    #[schema(example = "order_update")]
    template: String,
    #[schema(example = "en")]
    language: String,
    #[serde(default)]
    content: TestContent,
    /// Checks it, and sends nothing.
    #[serde(default)]
    validate_only: bool,
}

/// A test that was sent, or what would come of one.
#[derive(Serialize, ToSchema)]
pub struct TestAnswer {
    /// The message, when it is sent: `/api/v1/messages/{id}` tells what becomes of it.
    #[schema(example = "msg_06xtcv2j80000")]
    id: Option<String>,
    /// What was found, when it is not sent.
    explanation: Option<ExplainAnswer>,
}

/// A platform's request, to be explained.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// The account whose platform would send it.
    #[schema(example = "acme")]
    account: String,
    /// The request: an object, or a text with one in it.
    #[schema(example = json!({
        "to": "+919876500001", "wabaNumber": "918880110022", "msgId": "7|1790000000|20261120|7|0", "isTemplate": true,
        "template": {"namespace": "order_update", "languageCode": "en"},
        "components": [{"type": "body", "body": {"parameters": [{"type": "text", "text": "Asha"}, {"type": "text", "text": "A-17"}]}}]
    }))]
    payload: Value,
}

/// What would come of a request.
#[derive(Serialize, ToSchema)]
pub struct ExplainAnswer {
    /// sent, only_checked, repeat or refused.
    #[schema(example = "sent")]
    outcome: String,
    /// Why it would be refused, and what to change.
    why: Option<String>,
    /// The message that it repeats.
    repeats: Option<String>,
    /// What the platform would be told.
    answer: PlatformAnswer,
    /// What was looked at, in order.
    checks: Vec<CheckMade>,
    /// Where the request and the template have another shape.
    differences: Vec<ShapeDifference>,
    /// What the provider would be asked, if it were sent now.
    provider_request: Option<ProviderRequest>,
    /// The platform's request.
    request: String,
}

#[derive(Serialize, ToSchema)]
pub struct PlatformAnswer {
    #[schema(example = 200)]
    http_status: u16,
    /// JSON.
    #[schema(example = "{\"status\":\"success\"}")]
    body: String,
}

#[derive(Serialize, ToSchema)]
pub struct CheckMade {
    #[schema(example = "The template")]
    name: String,
    /// fine, wrong or not_reached.
    #[schema(example = "fine")]
    state: String,
    #[schema(example = "order_update (en, utility), approved: what is given fills it")]
    text: String,
}

/// A request to the provider, with what proves who we are left out.
#[derive(Serialize, ToSchema)]
pub struct ProviderRequest {
    #[schema(example = "POST")]
    method: String,
    #[schema(example = "https://graph.facebook.com/v26.0/100000000000001/messages")]
    url: String,
    /// JSON.
    body: String,
}

impl From<RenderedRequest> for ProviderRequest {
    fn from(rendered: RenderedRequest) -> Self {
        Self { method: rendered.method.to_owned(), url: rendered.url, body: rendered.body }
    }
}

/// Send a test to a phone, or only check it.
#[utoipa::path(
    post, path = "/api/v1/test-messages", tag = "templates", operation_id = "send_test_message", security(("token" = [])),
    request_body = TestRequest,
    responses(
        (status = 200, description = "It was only checked", body = TestAnswer),
        (status = 202, description = "It waits in its number's queue", body = TestAnswer),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope tests:send", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The account is disabled, or too many tests within a minute", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "It would be refused, and `explanation` says why; or a value cannot be used",
            content((TestAnswer = "application/json"), (Problem = "application/problem+json"))),
    )
)]
pub async fn send(parts: Data<Parts>, caller: Caller, body: Body<TestRequest>) -> Result<HttpResponse, Problem> {
    require(&caller.0, Permission::SendTests)?;
    let body = body.into_inner();
    let snapshot = parts.directory.snapshot();
    let digits = body.number.trim_start_matches('+');
    let sender: &Arc<Sender> = snapshot
        .senders()
        .find(|sender| sender.number.digits() == digits)
        .ok_or_else(|| Problem::of_field("number", format!("there is no business number {}", body.number)))?;
    let list = parts.directory.templates(sender);
    let listed = resolve(&list, &body.template, &body.language).map(|resolved| resolved.template);
    let content = match listed {
        Ok(template) => content(template, &body.content),
        // What is not approved can be checked, and is refused by the checks themselves.
        Err(Unresolved::UnknownName { .. } | Unresolved::UnknownLanguage { .. } | Unresolved::NotApproved { .. }) => {
            TemplateContent {
                name: body.template.clone(),
                language: body.language.clone(),
                body: body.content.body.clone(),
                ..TemplateContent::default()
            }
        }
    };
    let test = Test { from: sender.clone(), to: body.to, content };
    if body.validate_only {
        let explanation = parts.test_bench.validate(&parts.acceptor, &caller.0, &test).await?;
        return Ok(HttpResponse::Ok().json(TestAnswer { id: None, explanation: Some(told(explanation)) }));
    }
    Ok(match parts.test_bench.send(&parts.acceptor, &caller.0, &test).await? {
        Tried::Sent(id) => HttpResponse::Accepted().json(TestAnswer { id: Some(id.to_string()), explanation: None }),
        Tried::Refused(explanation) => {
            HttpResponse::UnprocessableEntity().json(TestAnswer { id: None, explanation: Some(told(*explanation)) })
        }
    })
}

/// What was said about a message, word for word.
#[derive(Serialize, ToSchema)]
pub struct TestExchanges {
    /// In order of time; none before it was sent. Of messages that are no tests only tries that were not taken.
    exchanges: Vec<TestExchangeTold>,
}

#[derive(Serialize, ToSchema)]
pub struct TestExchangeTold {
    #[schema(example = "2026-11-21T09:30:00.120Z")]
    at: String,
    #[schema(example = 84)]
    took_ms: i32,
    #[schema(example = "https://graph.facebook.com/v26.0/100000000000001/messages")]
    url: String,
    /// JSON.
    request: String,
    /// None: no answer came.
    #[schema(example = 200)]
    http_status: Option<i16>,
    /// As it came; without an answer, why there is none.
    answer: String,
}

/// What was said between the bridge and the provider about a test.
#[utoipa::path(
    get, path = "/api/v1/test-messages/{id}/exchanges", tag = "templates", operation_id = "show_test_exchanges",
    security(("token" = [])),
    params(("id" = String, Path, description = "Our id", example = "msg_06xtcv2j80000")),
    responses(
        (status = 200, description = "Requests and answers", body = TestExchanges),
        (status = 403, description = "Needs the scopes messages:read and personal:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such message", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn exchanges(parts: Data<Parts>, caller: Caller, id: Path<String>) -> Result<Json<TestExchanges>, Problem> {
    require(&caller.0, Permission::ReadPersonal)?;
    let message = search::one(&parts.store, &caller.0, &id).await?;
    let told = parts.store.send_exchanges(message.id).await?.into_iter().map(|said| TestExchangeTold {
        at: said.started_at.to_string(),
        took_ms: said.took_ms,
        url: said.url,
        request: said.request,
        http_status: said.http_status,
        answer: said.answer,
    });
    Ok(Json(TestExchanges { exchanges: told.collect() }))
}

/// Explain what a platform's request would be answered.
#[utoipa::path(
    post, path = "/api/v1/explain", tag = "templates", operation_id = "explain_request", security(("token" = [])),
    request_body = ExplainRequest,
    responses(
        (status = 200, description = "What would come of it; nothing of it is kept", body = ExplainAnswer),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope tests:send", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Too many within a minute", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "There is no such account, or the payload is too long", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn explain(
    parts: Data<Parts>,
    caller: Caller,
    body: Body<ExplainRequest>,
) -> Result<Json<ExplainAnswer>, Problem> {
    require(&caller.0, Permission::SendTests)?;
    let snapshot = parts.directory.snapshot();
    let account = snapshot.account(&body.account);
    let account =
        account.ok_or_else(|| Problem::of_field("account", format!("there is no account {}", body.account)))?;
    let text = match &body.payload {
        Value::String(text) => pasted(text).to_owned(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            other.to_string()
        }
    };
    let explanation = parts.test_bench.explain(&parts.acceptor, &caller.0, account, &text).await?;
    Ok(Json(told(explanation)))
}

fn told(explanation: Explanation) -> ExplainAnswer {
    let Explanation { request, reply, outcome, checks, differences, template: _, provider } = explanation;
    let (outcome, why, repeats) = match outcome {
        Outcome::Sent => ("sent", None, None),
        Outcome::OnlyChecked => ("only_checked", None, None),
        Outcome::Repeat(first) => ("repeat", None, Some(first.to_string())),
        Outcome::Refused { text, .. } => ("refused", Some(text), None),
    };
    ExplainAnswer {
        outcome: outcome.to_owned(),
        why,
        repeats,
        answer: PlatformAnswer { http_status: reply.http_status, body: reply.body },
        checks: checks
            .into_iter()
            .map(|check| CheckMade {
                name: check.name.to_owned(),
                state: check.state.as_str().to_owned(),
                text: check.text,
            })
            .collect(),
        differences: differences.into_iter().map(ShapeDifference::of).collect(),
        provider_request: provider.map(ProviderRequest::from),
        request,
    }
}

/// What was given, in the places of the template.
fn content(template: &Template, given: &TestContent) -> TemplateContent {
    let parts = &template.components;
    let cards = parts.carousel.as_ref().map(|cards| {
        let card =
            |(given, needed): (&super::templates::TestCard, &crate::domain::template::TemplateCard)| CardContent {
                header: header(needed.header.as_ref(), given.header.as_ref()),
                body: given.body.clone(),
                buttons: buttons(&needed.buttons, &given.buttons),
            };
        given.cards.iter().zip(cards).map(card).collect()
    });
    TemplateContent {
        name: template.name.clone(),
        asked_for: None,
        language: template.language.clone(),
        header: header(parts.header.as_ref(), given.header.as_ref()),
        body: given.body.clone(),
        body_text: None,
        buttons: buttons(&parts.buttons, &given.buttons),
        offer_expires_at_ms: given.offer_expires_at_ms,
        carousel: cards,
    }
}

fn header(needed: Option<&TemplateHeader>, given: Option<&TestHeader>) -> Option<HeaderContent> {
    let given = given?.clone();
    match needed? {
        TemplateHeader::Text(_) => Some(HeaderContent::Text { parameters: given.text }),
        TemplateHeader::Media(kind) => {
            Some(HeaderContent::Media { kind: *kind, url: given.url.unwrap_or_default(), filename: given.filename })
        }
        TemplateHeader::Location => Some(HeaderContent::Location(Location {
            latitude: given.latitude.unwrap_or_default(),
            longitude: given.longitude.unwrap_or_default(),
            name: given.name,
            address: given.address,
        })),
        TemplateHeader::Other(_) => None,
    }
}

fn buttons(needed: &[TemplateButton], given: &[Option<String>]) -> Vec<ButtonContent> {
    let content = |(place, button): (usize, &TemplateButton)| {
        let value = given.get(place).cloned().flatten().filter(|value| !value.is_empty());
        let kind = match &button.kind {
            TemplateButtonKind::DynamicUrl { .. } => ButtonContentKind::DynamicUrl,
            TemplateButtonKind::StaticUrl { .. } => ButtonContentKind::StaticUrl,
            TemplateButtonKind::CallPhone { .. } => ButtonContentKind::CallPhone,
            TemplateButtonKind::QuickReply => ButtonContentKind::QuickReply,
            TemplateButtonKind::CopyCode | TemplateButtonKind::OneTimePassword => ButtonContentKind::CopyCode,
            TemplateButtonKind::Other { .. } => return None,
        };
        Some(ButtonContent { kind, index: i64::try_from(place).ok(), text: Some(button.text.clone()), value })
    };
    needed.iter().enumerate().filter_map(content).collect()
}
