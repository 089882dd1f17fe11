//! Templates: the lists, one of them with what its platform must be given, reading them anew, and what was sent for one lately.

use actix_web::{
    HttpResponse,
    web::{Data, Json, Path},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Body, Caller, account_named, page_size, problem::Problem, query::Query};
use crate::{
    domain::{
        fill::Difference,
        operator::Actor,
        preview::{filled_text, numbered_text},
        template::{ButtonContent, HeaderContent, TemplateContent},
    },
    http::Parts,
    services::{
        masking,
        template_differences::{self, Source},
        templates::{self, ShownTemplate, Synced, TemplateFilter, TemplateName},
    },
};

/// What templates are wanted; everything that is named must fit.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TemplateQuery {
    /// Those that the numbers of this account can send.
    account: Option<String>,
    /// A connection's id.
    connection: Option<String>,
    /// APPROVED, PAUSED, DISABLED, PENDING, REJECTED, or another word of the provider's.
    status: Option<String>,
    /// MARKETING, UTILITY or AUTHENTICATION.
    category: Option<String>,
    #[param(example = "en_US")]
    language: Option<String>,
    /// A part of the name or of the body.
    #[param(max_length = 200)]
    q: Option<String>,
    /// `next` of the page before.
    #[param(minimum = 1)]
    page: Option<usize>,
    /// Templates on a page, 1 to 200; 50 unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// A page of templates in the order of name and language.
#[derive(Serialize, ToSchema)]
pub struct TemplatePage {
    templates: Vec<ListedTemplate>,
    /// How many fit altogether.
    #[schema(example = 1)]
    fitting: usize,
    /// `page` of the next page; none after the last.
    next: Option<usize>,
}

/// A template as its provider lists it.
#[derive(Serialize, ToSchema)]
pub struct ListedTemplate {
    #[schema(example = "meta-main")]
    connection: String,
    /// The provider's id of the business account that has it.
    #[schema(example = "200000000000001")]
    business_account: String,
    #[schema(example = "order_update")]
    name: String,
    #[schema(example = "en")]
    language: String,
    #[schema(example = "APPROVED")]
    status: String,
    #[schema(example = "UTILITY")]
    category: String,
    /// GREEN, YELLOW or RED; none while nobody can tell.
    #[schema(example = "GREEN")]
    quality: Option<String>,
    rejected_reason: Option<String>,
    /// The provider's id of the template.
    #[schema(example = "700000000000001")]
    id: String,
    /// The body with its variables numbered, as the platform must be given it.
    #[schema(example = "Hi {{1}}, your order {{2}} is on its way.")]
    body: String,
}

/// One template, with what it was approved with.
#[derive(Serialize, ToSchema)]
pub struct TemplateDetails {
    #[serde(flatten)]
    template: ListedTemplate,
    /// The numbers that can send it.
    #[schema(example = json!(["+918880110022"]))]
    numbers: Vec<String>,
    footer: Option<String>,
    /// Its variables have names, which the platform does not know: values are given in the order of `body`.
    named_variables: bool,
    /// The values that it was approved with, in the form in which a test is sent.
    examples: TestContent,
    /// The body with them.
    #[schema(example = "Hi Asha, your order A-17 is on its way.")]
    example_text: String,
}

/// What stands in a template's variables.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TestContent {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) header: Option<TestHeader>,
    /// The body's values, in order.
    #[schema(example = json!(["Asha", "A-17"]), max_items = 100)]
    pub(super) body: Vec<String>,
    /// One for each button, in order; null where there is nothing to give.
    #[schema(max_items = 20)]
    pub(super) buttons: Vec<Option<String>>,
    /// When a limited-time offer ends, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) offer_expires_at_ms: Option<i64>,
    /// One for each card of a carousel.
    #[schema(max_items = 10)]
    pub(super) cards: Vec<TestCard>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TestCard {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) header: Option<TestHeader>,
    #[schema(max_items = 100)]
    pub(super) body: Vec<String>,
    #[schema(max_items = 20)]
    pub(super) buttons: Vec<Option<String>>,
}

/// What a header wants: `text` its values, `url` (and `filename`) a file, `latitude` and `longitude` a place.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TestHeader {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 100)]
    pub(super) text: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) filename: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latitude: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) longitude: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SyncRequest {
    /// The lists of this connection alone.
    #[serde(default)]
    #[schema(example = "meta-main")]
    connection: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct SyncAnswer {
    /// Otherwise it goes on by itself.
    done: bool,
    lists: Vec<SyncedList>,
}

/// How reading a business account's list went.
#[derive(Serialize, ToSchema)]
pub struct SyncedList {
    #[schema(example = "meta-main")]
    connection: String,
    #[schema(example = "200000000000001")]
    business_account: String,
    #[schema(example = 19)]
    templates: usize,
    synced_at: Option<String>,
    /// Why the last try failed.
    failure: Option<String>,
}

/// What was sent for a template lately, against the template.
#[derive(Serialize, ToSchema)]
pub struct TemplateDifferences {
    /// Accepted messages that were looked at.
    #[schema(example = 50)]
    accepted: usize,
    /// Refused requests that were looked at.
    #[schema(example = 0)]
    refused: usize,
    /// So many of both were tests.
    #[schema(example = 1)]
    tests: usize,
    /// How far back accepted messages were looked for; none when everything was.
    looked_back_to: Option<String>,
    /// The worst first.
    differences: Vec<FoundDifference>,
}

#[derive(Serialize, ToSchema)]
pub struct FoundDifference {
    #[serde(flatten)]
    difference: ShapeDifference,
    /// In how many requests.
    #[schema(example = 3)]
    requests: usize,
    /// When the newest of them came.
    newest_at: String,
    /// That message, when it was accepted.
    #[schema(example = "msg_06xtcv2j80000")]
    newest_message: Option<String>,
}

/// Something that is not the same on both sides. Without `personal:read` what people were written is left out.
#[derive(Serialize, ToSchema)]
pub struct ShapeDifference {
    #[schema(example = "body")]
    part: String,
    #[schema(example = "1 variable")]
    platform: String,
    #[schema(example = "2 variables")]
    whatsapp: String,
    #[schema(example = "add what is missing: the body needs 2 variables")]
    advice: String,
    /// refused, misleading or harmless.
    #[schema(example = "refused")]
    harm: String,
}

impl ShapeDifference {
    pub(super) fn of(difference: Difference) -> Self {
        let Difference { part, platform, whatsapp, advice, harm, personal: _ } = difference;
        Self { part, platform, whatsapp, advice, harm: harm.as_str().to_owned() }
    }
}

/// List templates.
#[utoipa::path(
    get, path = "/api/v1/templates", tag = "templates", operation_id = "list_synced_templates", params(TemplateQuery), security(("token" = [])),
    responses(
        (status = 200, description = "A page of templates", body = TemplatePage),
        (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    parts: Data<Parts>,
    caller: Caller,
    query: Query<TemplateQuery>,
) -> Result<Json<TemplatePage>, Problem> {
    let limit = page_size(query.limit)?;
    let query = query.into_inner();
    let account = account_named(&parts.directory.snapshot(), query.account.as_deref())?;
    let TemplateQuery { connection, status, category, language, q, .. } = query;
    let filter = TemplateFilter { account, connection, status, category, language, text: q };
    let number = match query.page {
        None => 1,
        Some(0) => return Err(Problem::of_field("page", "pages are counted from 1")),
        Some(number) => number,
    };
    let skipped = (number - 1).saturating_mul(limit);
    let found = templates::page(&parts.store, &parts.directory, &caller.0, &filter, (skipped, limit)).await?;
    let last = skipped.saturating_add(found.templates.len());
    Ok(Json(TemplatePage {
        next: (last < found.fitting && !found.templates.is_empty()).then(|| number + 1),
        fitting: found.fitting,
        templates: found.templates.iter().map(listed).collect(),
    }))
}

/// One template.
#[utoipa::path(
    get, path = "/api/v1/templates/{connection}/{business_account}/{name}/{language}", tag = "templates",
    operation_id = "show_template", security(("token" = [])),
    params(
        ("connection" = String, Path, description = "The connection's id", example = "meta-main"),
        ("business_account" = String, Path, description = "The provider's id of the business account", example = "200000000000001"),
        ("name" = String, Path, description = "Its name", example = "order_update"),
        ("language" = String, Path, description = "Its language, as listed", example = "en"),
    ),
    responses(
        (status = 200, description = "The template", body = TemplateDetails),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "It is not listed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn show(
    parts: Data<Parts>,
    caller: Caller,
    named: Path<TemplateName>,
) -> Result<Json<TemplateDetails>, Problem> {
    let (shown, senders) = templates::one(&parts.store, &parts.directory, &caller.0, &named).await?;
    let examples = &shown.listing.examples;
    Ok(Json(TemplateDetails {
        numbers: senders.iter().map(|sender| sender.number.as_e164().to_owned()).collect(),
        footer: shown.template.components.footer.clone(),
        named_variables: shown.template.has_names(),
        example_text: filled_text(&shown.template.components.body, &examples.body),
        examples: examples_of(&shown.template.components.buttons, examples),
        template: listed(&shown),
    }))
}

/// What was sent for a template lately, held against it.
#[utoipa::path(
    get, path = "/api/v1/templates/{connection}/{business_account}/{name}/{language}/differences", tag = "templates",
    operation_id = "show_template_differences", security(("token" = [])),
    params(
        ("connection" = String, Path, description = "The connection's id", example = "meta-main"),
        ("business_account" = String, Path, description = "The provider's id of the business account", example = "200000000000001"),
        ("name" = String, Path, description = "Its name", example = "order_update"),
        ("language" = String, Path, description = "Its language, as listed", example = "en"),
    ),
    responses(
        (status = 200, description = "Where the platform's copy has another shape", body = TemplateDifferences),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "It is not listed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn differences(
    parts: Data<Parts>,
    caller: Caller,
    named: Path<TemplateName>,
) -> Result<Json<TemplateDifferences>, Problem> {
    let compared = template_differences::compare(&parts.store, &parts.directory, &caller.0, &named).await?;
    let comparison = compared.1;
    let differences = comparison.differences.into_iter().map(|found| FoundDifference {
        requests: found.requests,
        newest_at: found.newest.at().to_string(),
        newest_message: match found.newest {
            Source::Message(id) => Some(id.to_string()),
            Source::Refused(_) => None,
        },
        difference: ShapeDifference::of(found.difference),
    });
    Ok(Json(TemplateDifferences {
        accepted: comparison.accepted,
        refused: comparison.refused,
        tests: comparison.tests,
        looked_back_to: comparison.looked_back_to.map(|at| at.to_string()),
        differences: differences.collect(),
    }))
}

/// Read the lists anew, now.
#[utoipa::path(
    post, path = "/api/v1/templates/sync", tag = "templates", operation_id = "sync_templates", security(("token" = [])),
    request_body = SyncRequest,
    responses(
        (status = 200, description = "They were read; a list that could not be read says why", body = SyncAnswer),
        (status = 202, description = "It takes long and goes on by itself", body = SyncAnswer),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope tests:send", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such connection with a number", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "There is no number yet, or they were read too often within a minute", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn sync(parts: Data<Parts>, caller: Caller, body: Body<SyncRequest>) -> Result<HttpResponse, Problem> {
    let with = (&parts.store, &*parts.directory);
    let connection = body.connection.as_deref();
    let synced = parts.template_syncs.sync(&parts.acceptor.lookup, with, &caller.0, connection).await?;
    let lists = synced_lists(&parts, &caller.0, connection).await?;
    Ok(match synced {
        Synced::Done => HttpResponse::Ok().json(SyncAnswer { done: true, lists }),
        Synced::GoesOn => HttpResponse::Accepted().json(SyncAnswer { done: false, lists }),
    })
}

async fn synced_lists(parts: &Parts, actor: &Actor, connection: Option<&str>) -> Result<Vec<SyncedList>, Problem> {
    // Whoever may read them anew but not look at them is told of none.
    let lists = templates::lists(&parts.store, &parts.directory, actor, None).await.unwrap_or_default();
    let wanted = lists.into_iter().filter(|list| connection.is_none_or(|id| list.connection.id == id));
    let told = wanted.map(|list| SyncedList {
        connection: list.connection.id.clone(),
        business_account: list.owner.provider_account_id,
        templates: list.templates,
        synced_at: list.sync.synced_at.map(|at| at.to_string()),
        failure: list.sync.failure.map(|(_, why)| masking::text(actor, &why)),
    });
    Ok(told.collect())
}

fn listed(shown: &ShownTemplate) -> ListedTemplate {
    let ShownTemplate { owner, connection, template, listing } = shown;
    ListedTemplate {
        connection: connection.id.clone(),
        business_account: owner.provider_account_id.clone(),
        name: template.name.clone(),
        language: template.language.clone(),
        status: template.status.word().to_owned(),
        category: template.category.word().to_owned(),
        quality: listing.quality.clone(),
        rejected_reason: listing.rejected_reason.clone(),
        id: template.provider_id.clone(),
        body: numbered_text(&template.components.body),
    }
}

fn examples_of(needed: &[crate::domain::template::TemplateButton], content: &TemplateContent) -> TestContent {
    let values = |given: &[ButtonContent], count: usize| -> Vec<Option<String>> {
        let of_place = |place: usize| {
            let index = i64::try_from(place).ok();
            given.iter().find(|button| button.index == index).and_then(|button| button.value.clone())
        };
        (0..count).map(of_place).collect()
    };
    TestContent {
        header: content.header.as_ref().map(header_of),
        body: content.body.clone(),
        buttons: values(&content.buttons, needed.len()),
        offer_expires_at_ms: content.offer_expires_at_ms,
        cards: content
            .carousel
            .iter()
            .flatten()
            .map(|card| TestCard {
                header: card.header.as_ref().map(header_of),
                body: card.body.clone(),
                buttons: values(&card.buttons, card.buttons.len()),
            })
            .collect(),
    }
}

fn header_of(header: &HeaderContent) -> TestHeader {
    match header {
        HeaderContent::Text { parameters } => TestHeader { text: parameters.clone(), ..TestHeader::default() },
        HeaderContent::Media { url, filename, .. } => {
            TestHeader { url: Some(url.clone()), filename: filename.clone(), ..TestHeader::default() }
        }
        HeaderContent::Location(place) => TestHeader {
            latitude: Some(place.latitude.clone()),
            longitude: Some(place.longitude.clone()),
            name: place.name.clone(),
            address: place.address.clone(),
            ..TestHeader::default()
        },
    }
}
