//! The OpenAPI document of what is ours. What platforms and providers own is described by hand in
//! `openapi/external`.

use actix_web::{HttpResponse, http::header::ContentType};
use serde::Serialize;
use serde_json::Value;
use utoipa::{
    IntoParams, Modify, OpenApi, ToSchema,
    openapi::{
        Content, Ref, RefOr, ResponseBuilder, Schema,
        path::{self, ParameterIn},
        schema::{SchemaType, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::openapi_webhooks::Webhooks;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "wabridge",
        description = "The WhatsApp provider endpoint for CleverTap: takes its messages, sends them through the account's provider, and reports back.",
        license(name = "MIT OR Apache-2.0")
    ),
    paths(
        super::platform_api::send,
        super::platform_api::send_by_url,
        super::template_import::list,
        super::template_import::list_by_url,
        super::provider_webhooks::handshake,
        super::provider_webhooks::receive,
        super::provider_webhooks::receive_by_url,
        super::provider_webhooks::token,
        super::media::serve,
        super::health::alive,
        super::health::ready,
        super::health::metrics,
        document,
        super::api::status::show,
        super::api::statistics::show,
        super::api::messages::list,
        super::api::messages::show,
        super::api::messages::resend,
        super::api::inbound::list,
        super::api::contacts::list,
        super::api::contacts::show,
        super::api::contacts::change,
        super::api::conversations::list,
        super::api::conversations::show,
        super::api::conversations::tag,
        super::api::conversations::decide,
        super::api::campaigns::list,
        super::api::campaigns::show,
        super::api::campaigns::file,
        super::api::campaigns::pause,
        super::api::campaigns::resume,
        super::api::campaigns::cancel,
        super::api::campaigns::reconcile,
        super::api::connections::list,
        super::api::connections::add,
        super::api::connections::show,
        super::api::connections::change,
        super::api::connections::remove,
        super::api::connections::hold,
        super::api::connections::release,
        super::api::channel_check::check,
        super::api::channel_check::fix,
        super::api::senders::list,
        super::api::senders::add,
        super::api::senders::show,
        super::api::senders::change,
        super::api::senders::remove,
        super::api::senders::hold,
        super::api::senders::release,
        super::api::senders::check,
        super::api::senders::show_window,
        super::api::callbacks::list,
        super::api::callbacks::show,
        super::api::callbacks::release,
        super::api::callbacks::exchanges,
        super::api::callbacks::all_exchanges,
        super::api::callback_events::list,
        super::api::callback_events::show,
        super::api::all_callback_events::list,
        super::api::all_callback_events::try_now,
        super::api::replays::list,
        super::api::replays::show,
        super::api::replays::start,
        super::api::replays::stop,
        super::api::webhooks::list,
        super::api::webhooks::add,
        super::api::webhooks::show,
        super::api::webhooks::change,
        super::api::webhooks::delete,
        super::api::webhooks::switch,
        super::api::webhooks::rotate_secret,
        super::api::webhooks::send_sample,
        super::api::webhook_log::list,
        super::api::unrecognized::list,
        super::api::refused::list,
        super::api::accounts::list,
        super::api::accounts::show,
        super::api::accounts::add,
        super::api::accounts::change,
        super::api::accounts::remove,
        super::api::accounts::rotate_passcode,
        super::api::accounts::test_callback,
        super::api::templates::list,
        super::api::templates::sync,
        super::api::templates::show,
        super::api::templates::differences,
        super::api::test_messages::send,
        super::api::test_messages::exchanges,
        super::api::test_messages::explain,
        super::api::users::list,
        super::api::users::add,
        super::api::users::change,
        super::api::users::reset,
        super::api::users::sign_out,
        super::api::tokens::list,
        super::api::tokens::make,
        super::api::tokens::revoke,
        super::api::audit::list,
        super::api::audit::file,
        super::api::persons::find,
        super::api::persons::export,
        super::api::persons::erase,
        super::api::persons::erasures,
        super::api::persons::erasure,
        super::api::alarms::show,
        super::api::alarms::letters,
        super::api::alarms::test,
        super::api::alarms::show_recipients,
        super::api::alarms::change_recipients,
        super::api::system::show,
    ),
    tags(
        (name = "platform", description = "Called by the engagement platform"),
        (name = "provider", description = "Called by the WhatsApp provider"),
        (name = "webhooks", description = "What the bridge posts to those who asked for it; docs/webhook-profiles.md has other shapes of the same"),
        (name = "operation", description = "For operators and monitoring"),
        (name = "messages", description = "Messages, for programs with a token"),
        (name = "contacts", description = "Who wrote, and how the conversations with them stand, for programs with a token"),
        (name = "campaigns", description = "Campaigns, for programs with a token"),
        (name = "connections", description = "Connections and business numbers, for programs with a token"),
        (name = "callbacks", description = "Callback URLs, what was told, and telling again, for programs with a token"),
        (name = "configuration", description = "Accounts, connections and numbers, for programs with a token"),
        (name = "templates", description = "Templates, tests and explanations, for programs with a token"),
        (name = "users", description = "People, tokens and the audit log, for programs with a token"),
        (name = "persons", description = "One person's data: what there is, all of it, erasing it; for programs with a token"),
        (name = "system", description = "How the bridge itself is, and alarms, for programs with a token"),
    ),
    components(schemas(crate::profiles::native::Payload)),
    modifiers(&WithToken, &Webhooks)
)]
struct Document;

/// How callers of `/api/v1` show who they are, and what those are told who do not.
struct WithToken;

/// The type of what such a caller is told.
const PROBLEM: &str = "application/problem+json";

impl Modify for WithToken {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("wab_…").build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
        // Whatever is asked for, these are told the same.
        let told = |description: &str| {
            let problem = Content::new(Some(Ref::from_schema_name("Problem")));
            ResponseBuilder::new().description(description).content(PROBLEM, problem).build()
        };
        for path in document.paths.paths.values_mut() {
            let operations = [&mut path.get, &mut path.post, &mut path.put, &mut path.patch, &mut path.delete];
            let with_token = operations.into_iter().flatten().filter(|operation| operation.security.is_some());
            for operation in with_token {
                let responses = &mut operation.responses.responses;
                let unknown = || told("The query has a parameter that is not known here").into();
                responses.entry("400".to_owned()).or_insert_with(unknown);
                responses.insert("401".to_owned(), told("No token that opens").into());
                if operation.request_body.is_some() {
                    responses.insert("415".to_owned(), told("The body is not said to be JSON").into());
                }
            }
        }
    }
}

/// The answer to a message: `status` is `success` or `failure`.
#[derive(Serialize, ToSchema)]
pub struct SendAnswer {
    #[schema(example = "success")]
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<SendError>,
}

#[derive(Serialize, ToSchema)]
pub struct SendError {
    /// 2000 credentials, 2001 template, 2002 phone number, 2003 not subscribed, 2004 other; none with HTTP 500.
    #[schema(example = 2001)]
    code: Option<u16>,
    /// Names the part of the request and says what to change.
    message: String,
}

/// What may be asked of the list of templates. What cannot be read is left out, and quotes around a value are ignored.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the dialect of the platform reads the query; this only describes it")]
pub struct TemplateListQuery {
    /// Templates a page, 1 to 500; without it, or with what is no number, 50. More than 500 gives 500.
    limit: Option<usize>,
    /// The `after` of the page before.
    after: Option<String>,
    /// A business number of the account; without it the templates of all its numbers, each once.
    number: Option<String>,
    /// A part of the name.
    name: Option<String>,
    language: Option<String>,
    /// MARKETING, UTILITY or AUTHENTICATION.
    category: Option<String>,
    /// APPROVED or PAUSED.
    status: Option<String>,
}

/// A page of templates as Meta's own list has it.
#[derive(Serialize, ToSchema)]
pub struct TemplateList {
    data: Vec<TemplateEntry>,
    paging: TemplatePaging,
}

#[derive(Serialize, ToSchema)]
pub struct TemplateEntry {
    #[schema(example = "order_update")]
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_send_ttl_seconds: Option<i64>,
    #[schema(example = "POSITIONAL")]
    parameter_format: String,
    /// As Meta lists them, with their examples.
    #[schema(value_type = Vec<Object>)]
    components: Vec<serde_json::Value>,
    #[schema(example = "en")]
    language: String,
    #[schema(example = "APPROVED")]
    status: String,
    #[schema(example = "UTILITY")]
    category: String,
    id: String,
}

#[derive(Serialize, ToSchema)]
pub struct TemplatePaging {
    cursors: TemplateCursors,
    /// The URL of the next page; the last page has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct TemplateCursors {
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct ErrorAnswer {
    error: ErrorMessage,
}

#[derive(Serialize, ToSchema)]
pub struct ErrorMessage {
    message: String,
}

/// The document as JSON, indented.
pub fn render() -> String {
    let mut text = Document::openapi().to_pretty_json().expect("the document is made of texts");
    text.push('\n');
    text
}

/// Every path, with the methods that it knows.
pub fn methods() -> Vec<(String, String)> {
    let of = |item: utoipa::openapi::PathItem| {
        let known =
            [("GET", item.get), ("POST", item.post), ("PUT", item.put), ("PATCH", item.patch), ("DELETE", item.delete)];
        let known: Vec<_> = known.into_iter().filter_map(|(method, operation)| operation.map(|_| method)).collect();
        known.join(", ")
    };
    Document::openapi().paths.paths.into_iter().map(|(path, item)| (path, of(item))).collect()
}

/// Method and path.
pub type Operation = (&'static str, String);
/// Its name, and what it means.
pub type Parameter = (String, String);

/// What may stand behind a question mark.
pub fn parameters() -> Vec<(Operation, Vec<Parameter>)> {
    of_each_operation(|one| {
        let asked = one.parameter_in == ParameterIn::Query;
        asked.then(|| (one.name, one.description.unwrap_or_default().replace('\n', " ")))
    })
}

/// A name in an address, and the words that may stand for it; none: a number.
pub type Choice = (String, Vec<String>);

/// What may stand in addresses, where that is not any text.
pub fn choices() -> Vec<(Operation, Vec<Choice>)> {
    of_each_operation(|one| {
        let Some(RefOr::T(Schema::Object(object))) = one.schema.filter(|_| one.parameter_in == ParameterIn::Path)
        else {
            return None;
        };
        let words = object.enum_values.map(|words| words.iter().filter_map(Value::as_str).map(str::to_owned).collect());
        let is_number = object.schema_type == SchemaType::Type(Type::Integer);
        Some((one.name, words.or_else(|| is_number.then(Vec::new))?))
    })
}

fn of_each_operation<T>(read: impl Fn(path::Parameter) -> Option<T>) -> Vec<(Operation, Vec<T>)> {
    let mut found = Vec::new();
    for (path, item) in Document::openapi().paths.paths {
        let operations =
            [("GET", item.get), ("POST", item.post), ("PUT", item.put), ("PATCH", item.patch), ("DELETE", item.delete)];
        for (method, operation) in operations {
            let Some(operation) = operation else { continue };
            let described = operation.parameters.unwrap_or_default().into_iter().filter_map(|one| match one {
                RefOr::T(one) => read(one),
                RefOr::Ref(_) => None,
            });
            found.push(((method, path.clone()), described.collect()));
        }
    }
    found
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "operation", operation_id = "openapi",
    responses((status = 200, description = "OpenAPI 3.1", body = Object, content_type = "application/json"))
)]
pub async fn document() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(render())
}
