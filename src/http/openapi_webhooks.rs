//! The catalogue of what webhooks tell, as OpenAPI has it: each event with its schema and an example.

use serde_json::{Map, Value, json};
use utoipa::{
    Modify,
    openapi::{
        AllOfBuilder, HttpMethod, ObjectBuilder, PathsBuilder, Ref, RefOr, Required, ResponseBuilder,
        content::ContentBuilder,
        path::{OperationBuilder, ParameterBuilder, ParameterIn, PathItem},
        request_body::RequestBodyBuilder,
        schema::{Schema, Type},
    },
};

use crate::{
    domain::{
        event_name::{Entity, EventName},
        webhook_event::Level,
        webhook_sample::sample,
    },
    profiles::{
        self, Format,
        native::{Payload, VERSION},
    },
};

/// Adds the section `webhooks`: the native profile.
pub(super) struct Webhooks;

impl Modify for Webhooks {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let paths =
            EventName::TOLD.iter().fold(PathsBuilder::new(), |paths, name| paths.path(name.as_str(), told(*name)));
        document.webhooks = Some(paths.build());
        let schemas = document.components.iter_mut().flat_map(|components| &mut components.schemas);
        for (_, settings) in schemas.filter(|(name, _)| *name == "WebhookSettings") {
            name_words(settings, "profile", profiles::ALL.iter().map(|profile| profile.slug()).collect());
            name_words(settings, "format", Format::ALL.map(Format::as_str).into());
            must_be_given(settings, "events");
        }
    }
}

/// Says which words there are for a setting that is a text where it is declared, because they are not known there.
fn name_words(settings: &mut RefOr<Schema>, setting: &str, words: Vec<&str>) {
    let RefOr::T(Schema::Object(settings)) = settings else { return };
    if let Some(RefOr::T(Schema::Object(described))) = settings.properties.get_mut(setting) {
        described.enum_values = Some(words.into_iter().map(Value::from).collect());
    }
}

/// What must be given has no default, as all others have.
fn must_be_given(settings: &mut RefOr<Schema>, setting: &str) {
    let RefOr::T(Schema::Object(settings)) = settings else { return };
    if let Some(RefOr::T(Schema::Array(described))) = settings.properties.get_mut(setting) {
        described.default = None;
    }
}

fn told(name: EventName) -> PathItem {
    let example = Payload { version: VERSION, event: sample(name).at(Level::Standard) };
    let example = serde_json::to_value(&example).expect("an event can be written as JSON");
    let content = ContentBuilder::new().schema(Some(schema(name))).example(Some(example)).build();
    let body = RequestBodyBuilder::new().content("application/json", content).required(Some(Required::True)).build();
    let taken = ResponseBuilder::new().description("Any 2xx: it was taken. Anything else is told again").build();
    let operation = OperationBuilder::new()
        .tag("webhooks")
        .operation_id(Some(format!("webhook_{}", name.as_str().replace('.', "_"))))
        .summary(Some(name.description()))
        .request_body(Some(body))
        .response("2XX", taken);
    let header = |name: &str, description: &str, required: Required| {
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(required)
            .description(Some(description))
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
    };
    let operation = operation
        .parameter(header("webhook-id", "The `id` of the event, the same at each try", Required::True))
        .parameter(header("webhook-timestamp", "When the request left, in Unix seconds", Required::True))
        .parameter(header(
            "webhook-signature",
            "`v1,` and the HMAC-SHA256 of id, timestamp and body, joined by dots, in base64; one for each secret that is valid, \
             parted by spaces. Absent without a signing secret",
            Required::False,
        ));
    PathItem::new(HttpMethod::Post, operation)
}

/// The payload of all events, narrowed to what this one is about.
fn schema(name: EventName) -> Schema {
    let about = match name.entity() {
        Entity::Message => "message",
        Entity::Template | Entity::Channel => "notice",
        Entity::Contact => "contact",
        Entity::Conversation => "conversation",
        Entity::Webhook => "webhook",
        Entity::CommBox | Entity::Gallabox | Entity::GoTallo => "provider_event",
    };
    let named = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([json!(name.as_str())]));
    let data = ObjectBuilder::new().schema_type(Type::Object).required(about);
    // What somebody says of a contact came by no number, and what a webhook does has to do with none.
    let data = if matches!(name.entity(), Entity::Contact | Entity::Webhook) { data } else { data.required("channel") };
    let narrowed = ObjectBuilder::new().schema_type(Type::Object).property("type", named).property("data", data);
    AllOfBuilder::new().item(Ref::from_schema_name("WebhookPayload")).item(narrowed).build().into()
}

/// The JSON Schema of one event, whole in itself: for whoever checks what arrives.
pub(super) fn json_schema(name: EventName) -> Value {
    const PREFIX: &str = "#/components/schemas/";
    let document: Value = serde_json::from_str(&super::openapi::render()).expect("the document is JSON");
    let mut schema = serde_json::to_value(schema(name)).expect("a schema can be written as JSON");
    let (mut parts, mut missing) = (Map::new(), Vec::new());
    point_inside(&mut schema, PREFIX, &mut missing);
    while let Some(part) = missing.pop() {
        if parts.contains_key(&part) {
            continue;
        }
        let mut found = document.pointer(&format!("/components/schemas/{part}")).cloned().unwrap_or_default();
        point_inside(&mut found, PREFIX, &mut missing);
        parts.insert(part, found);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name.as_str(),
        "description": name.description(),
        "allOf": schema.get("allOf").cloned().unwrap_or_default(),
        "$defs": parts,
    })
}

/// Lets references lead to `$defs`, and names what must be there.
fn point_inside(schema: &mut Value, prefix: &str, named: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            for (key, value) in fields {
                let part = value.as_str().filter(|_| key == "$ref").and_then(|text| text.strip_prefix(prefix));
                match part.map(str::to_owned) {
                    Some(part) => {
                        *value = format!("#/$defs/{part}").into();
                        named.push(part);
                    }
                    None => point_inside(value, prefix, named),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| point_inside(value, prefix, named)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
