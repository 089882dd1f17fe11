//! Outgoing webhooks: whoever wants to hear of what happens, and how. What each was told is found under callback URLs, by the ids
//! that are listed here.

use std::time::Duration;

use actix_web::{
    HttpResponse,
    web::{Data, Json, Path},
};
use serde::{Deserialize, Serialize};
use utoipa::{
    ToSchema,
    openapi::{AllOfBuilder, ObjectBuilder, Ref, Schema, schema::Type},
};

use super::{Body, Caller, callbacks::ReceivedAnswer, messages::time, problem::Problem};
use crate::{
    clock,
    domain::{event_name::EventName, webhook::SecretText, webhook_settings::WebhookSettings},
    http::Parts,
    services::{
        operators::Refusal,
        webhooks::{NewWebhook, OLD_SECRET_LIVES, Switch, WebhookCursor, WebhookStanding, old_secrets_sign_until},
    },
};

const HOUR: Duration = Duration::from_secs(60 * 60);

#[derive(Serialize, ToSchema)]
pub struct OutgoingWebhookList {
    webhooks: Vec<OutgoingWebhook>,
}

#[derive(Serialize, ToSchema)]
pub struct OutgoingWebhook {
    #[schema(example = "crm")]
    name: String,
    enabled: bool,
    /// What happens is kept for it, and told when it is resumed.
    paused: bool,
    /// When and why the bridge itself switched it off.
    #[serde(skip_serializing_if = "Option::is_none")]
    switched_off: Option<SwitchedOff>,
    /// With `…` in the place of secrets.
    settings: WebhookSettings,
    /// Until when the last of the signing secrets that were replaced signs, too; none where the profile has room for one signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    old_secret_signs_until: Option<String>,
    /// How far it has come, for each account and kind of event; while it is off, those that it had.
    cursors: Vec<OutgoingWebhookCursor>,
}

#[derive(Serialize, ToSchema)]
pub struct SwitchedOff {
    at: String,
    #[schema(example = "100 requests in a row were not taken")]
    reason: String,
}

#[derive(Serialize, ToSchema)]
pub struct OutgoingWebhookCursor {
    /// Its number under `/api/v1/callback-urls`: events, exchanges, replays.
    #[schema(example = 12)]
    callback_url: i32,
    #[schema(example = "acme")]
    account: String,
    /// status, inbound, notice or outgoing.
    #[schema(example = "inbound")]
    kind: &'static str,
    /// Requests that were not taken, one after the other.
    failures: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since: Option<String>,
    /// Events that were not taken, or are behind one that was not, and are sent again; while the webhook is off they are set aside
    /// until it is on.
    waiting: i64,
    /// Events that were not taken as often as agreed.
    dead: i64,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OutgoingWebhookRequest {
    /// 1 to 64 of a to z, 0 to 9, - and _, the first of them not -.
    #[schema(example = "crm", min_length = 1, max_length = 64, pattern = "^[a-z0-9_][a-z0-9_-]*$")]
    name: String,
    #[serde(default = "yes")]
    #[schema(default = true)]
    enabled: bool,
    #[serde(default)]
    paused: bool,
    /// Begin with what happened since then, as far as it is kept: RFC 3339. Without it: with what happens from now on.
    #[serde(default)]
    #[schema(format = DateTime, example = "2026-11-20T00:00:00Z")]
    since: Option<String>,
    #[schema(schema_with = with_url)]
    settings: WebhookSettings,
}

/// Those of a new one: there is no URL to keep.
fn with_url() -> Schema {
    let url = ObjectBuilder::new().schema_type(Type::Object).required("url");
    AllOfBuilder::new().item(Ref::from_schema_name("WebhookSettings")).item(url).build().into()
}

fn yes() -> bool {
    true
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OutgoingWebhookChange {
    /// All of them: what is left out has its default again. Secrets that stand as `…` stay, and so does a URL that was left out.
    settings: WebhookSettings,
}

#[derive(Serialize, ToSchema)]
pub struct MadeWebhook {
    webhook: OutgoingWebhook,
    /// When it was made here: shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "whsec_…")]
    signing_secret: Option<SecretText>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretRotation {
    /// The old secret signs beside the new one for so long: 0 to 720, without it 24. 0: no old one signs any more. With the profiles
    /// `gallabox` and `meta`, which have room for one signature, the new one signs alone at once.
    #[serde(default)]
    #[schema(maximum = 720, example = 24)]
    hours: Option<u32>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookSwitch {
    Enable,
    Disable,
    Pause,
    Resume,
}

#[derive(Serialize, ToSchema)]
pub struct RotatedSecret {
    /// Shown this once.
    #[schema(value_type = String, example = "whsec_…")]
    signing_secret: SecretText,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleRequest {
    event: EventName,
}

#[derive(Serialize, ToSchema)]
pub struct SampleAnswer {
    /// Whether the answer counts as a success.
    taken: bool,
    /// None without an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 204)]
    http_status: Option<u16>,
    took_ms: u64,
    /// What is wrong, when something is.
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
    /// How it answered.
    answer: Option<ReceivedAnswer>,
    #[schema(example = "application/json")]
    content_type: String,
    /// As it was sent.
    body: String,
}

/// All webhooks, by name.
#[utoipa::path(
    get, path = "/api/v1/webhooks", tag = "webhooks", operation_id = "list_webhooks", security(("token" = [])),
    responses(
        (status = 200, description = "The webhooks, without secrets", body = OutgoingWebhookList),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(parts: Data<Parts>, caller: Caller) -> Result<Json<OutgoingWebhookList>, Problem> {
    let webhooks = parts.webhooks.list(&caller.0).await?;
    Ok(Json(OutgoingWebhookList { webhooks: webhooks.into_iter().map(shown).collect() }))
}

/// One webhook.
#[utoipa::path(
    get, path = "/api/v1/webhooks/{name}", tag = "webhooks", operation_id = "show_webhook", security(("token" = [])),
    params(("name" = String, Path, description = "Of the list", example = "crm")),
    responses(
        (status = 200, description = "The webhook, without secrets", body = OutgoingWebhook),
        (status = 403, description = "Needs the scope messages:read", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn show(parts: Data<Parts>, caller: Caller, name: Path<String>) -> Result<Json<OutgoingWebhook>, Problem> {
    Ok(Json(shown(parts.webhooks.one(&caller.0, &name).await?)))
}

/// Make a webhook. It hears of what happens from now on, or since a moment.
#[utoipa::path(
    post, path = "/api/v1/webhooks", tag = "webhooks", operation_id = "add_webhook", security(("token" = [])),
    request_body = OutgoingWebhookRequest,
    responses(
        (status = 201, description = "The webhook, and its signing secret when it was made here", body = MadeWebhook),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope configuration:manage", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The name is taken, or there are too many", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn add(
    parts: Data<Parts>,
    caller: Caller,
    body: Body<OutgoingWebhookRequest>,
) -> Result<HttpResponse, Problem> {
    let OutgoingWebhookRequest { name, enabled, paused, since, settings } = body.into_inner();
    let since = time("since", since.as_deref())?;
    let new = NewWebhook { enabled, paused, since, settings };
    let signing_secret = parts.webhooks.create(&caller.0, &name, (new, vec![])).await.map_err(below_settings)?;
    let webhook = shown(parts.webhooks.one(&caller.0, &name).await?);
    Ok(HttpResponse::Created().json(MadeWebhook { webhook, signing_secret }))
}

/// Say anew what a webhook wants. What waits for it is told in the new way.
#[utoipa::path(
    put, path = "/api/v1/webhooks/{name}", tag = "webhooks", operation_id = "change_webhook", security(("token" = [])),
    params(("name" = String, Path, description = "Of the list", example = "crm")),
    request_body(content = OutgoingWebhookChange, example = json!({"settings": {
        "description": "orders and stock", "url": "https://hooks.example.com/wabridge",
        "events": ["message.received", "message.failed"], "filter": {"accounts": ["acme"]}
    }})),
    responses(
        (status = 200, description = "The webhook as it is now", body = OutgoingWebhook),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope configuration:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn change(
    parts: Data<Parts>,
    caller: Caller,
    name: Path<String>,
    body: Body<OutgoingWebhookChange>,
) -> Result<Json<OutgoingWebhook>, Problem> {
    let settings = body.into_inner().settings;
    parts.webhooks.change(&caller.0, &name, (settings, vec![])).await.map_err(below_settings)?;
    show(parts, caller, name).await
}

/// Delete a webhook. What it was not told is not told any more.
#[utoipa::path(
    delete, path = "/api/v1/webhooks/{name}", tag = "webhooks", operation_id = "delete_webhook", security(("token" = [])),
    params(("name" = String, Path, description = "Of the list", example = "crm")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 403, description = "Needs the scope configuration:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another names it among its alerts: the text says which", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn delete(parts: Data<Parts>, caller: Caller, name: Path<String>) -> Result<HttpResponse, Problem> {
    parts.webhooks.delete(&caller.0, &name).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Switch a webhook on or off, pause it, or resume it.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{name}/{switch}", tag = "webhooks", operation_id = "switch_webhook", security(("token" = [])),
    params(
        ("name" = String, Path, description = "Of the list", example = "crm"),
        ("switch" = inline(WebhookSwitch), Path, description = "enable: it hears of what happens from now on; what it missed can be told again. disable: what happens meanwhile is not told. pause: what happens meanwhile is kept for it. resume: it is told what was kept.", example = "pause"),
    ),
    responses(
        (status = 200, description = "The webhook as it is now", body = OutgoingWebhook),
        (status = 403, description = "Needs the scope configuration:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn switch(
    parts: Data<Parts>,
    caller: Caller,
    path: Path<(String, WebhookSwitch)>,
) -> Result<Json<OutgoingWebhook>, Problem> {
    let (name, to) = path.into_inner();
    let switch = match to {
        WebhookSwitch::Enable => Switch::On,
        WebhookSwitch::Disable => Switch::Off,
        WebhookSwitch::Pause => Switch::Paused,
        WebhookSwitch::Resume => Switch::Resumed,
    };
    parts.webhooks.switch(&caller.0, &name, switch).await?;
    show(parts, caller, name.into()).await
}

/// Make a new signing secret. Requests are signed with the old one, too, for as long as you say, where the profile can.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{name}/rotate-secret", tag = "webhooks", operation_id = "rotate_webhook_secret",
    security(("token" = [])), params(("name" = String, Path, description = "Of the list", example = "crm")),
    request_body = SecretRotation,
    responses(
        (status = 200, description = "The new secret", body = RotatedSecret),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope configuration:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Its profile signs nothing, or as many old secrets as there can be still sign: the text says until when", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn rotate_secret(
    parts: Data<Parts>,
    caller: Caller,
    name: Path<String>,
    body: Body<SecretRotation>,
) -> Result<Json<RotatedSecret>, Problem> {
    let old_lives = body.hours.map_or(OLD_SECRET_LIVES, |hours| HOUR.saturating_mul(hours));
    let signing_secret = parts.webhooks.rotate_secret(&caller.0, &name, old_lives).await?;
    Ok(Json(RotatedSecret { signing_secret }))
}

/// Send the example of an event now, also to a webhook that is off. Events that it does not want can be tried, too.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{name}/sample", tag = "webhooks", operation_id = "send_webhook_sample",
    security(("token" = [])), params(("name" = String, Path, description = "Of the list", example = "crm")),
    request_body = SampleRequest,
    responses(
        (status = 200, description = "What was sent and answered", body = SampleAnswer),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope configuration:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Its profile has no words for the event", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn send_sample(
    parts: Data<Parts>,
    caller: Caller,
    name: Path<String>,
    body: Body<SampleRequest>,
) -> Result<Json<SampleAnswer>, Problem> {
    let sent = parts.webhooks.send_sample(&caller.0, &name, body.event).await?;
    Ok(Json(SampleAnswer {
        taken: sent.attempt.outcome == crate::domain::attempt::AttemptOutcome::Succeeded,
        http_status: sent.attempt.http_status,
        took_ms: u64::try_from(sent.attempt.took.as_millis()).unwrap_or(u64::MAX),
        note: sent.attempt.note,
        answer: ReceivedAnswer::of(&caller.0, sent.attempt.excerpt.as_ref()),
        content_type: sent.content_type,
        body: sent.body,
    }))
}

/// The service names what is wrong by the setting: here it stands below `settings`, but for what stands beside them.
fn below_settings(refusal: Refusal) -> Problem {
    const BESIDE: [&str; 2] = ["name", "since"];
    let Refusal::Problems(mut problems) = refusal else { return refusal.into() };
    for problem in problems.iter_mut().filter(|problem| !BESIDE.contains(&problem.field.as_str())) {
        problem.field.insert_str(0, "settings.");
    }
    Refusal::Problems(problems).into()
}

fn shown(standing: WebhookStanding) -> OutgoingWebhook {
    let webhook = &standing.webhook;
    let switched_off =
        webhook.switched_off.as_ref().map(|off| SwitchedOff { at: off.since.to_string(), reason: off.reason.clone() });
    OutgoingWebhook {
        name: webhook.name.clone(),
        enabled: webhook.enabled,
        paused: webhook.paused,
        switched_off,
        settings: webhook.settings.clone().masked(),
        old_secret_signs_until: old_secrets_sign_until(webhook, clock::now()).map(|until| until.to_string()),
        cursors: standing.cursors.into_iter().map(cursor).collect(),
    }
}

fn cursor(cursor: WebhookCursor) -> OutgoingWebhookCursor {
    OutgoingWebhookCursor {
        callback_url: cursor.subscription.0,
        account: cursor.account,
        kind: cursor.kind,
        failures: cursor.state.trouble.failures,
        failing_since: cursor.state.trouble.failing_since.map(|since| since.to_string()),
        waiting: cursor.waiting,
        dead: cursor.dead,
    }
}
