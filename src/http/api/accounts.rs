//! Accounts: how each is configured and how its platform is set up for it; adding, changing, a new passcode, a test callback.

use std::{collections::BTreeMap, time::Duration};

use actix_web::{
    HttpResponse,
    web::{Data, Json, Path},
};
use humantime_serde::re::humantime;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::{Body, Caller, problem::Problem, query::Query};
use crate::{
    domain::{callback::EventKind, phone::PhoneNumber},
    http::Parts,
    services::{
        accounts::{TestedCallback, WithPasscode},
        configure::{Seen, Subject, missing},
        removal,
    },
    store::configuration::Configuration,
};

/// An account's settings have the keys and the rules of `[[accounts]]` in the apply file. In a change what is left out stays, and
/// `null` goes back to the default. The secrets are taken here, and never given.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the apply file's reader reads it; this only describes it")]
#[schema(example = json!({
    "id": "acme", "name": "Acme Retail", "platform": "clevertap", "clevertap_account_id": "TEST-ACC-1", "default_country": "IN",
    "time_zone": "Asia/Kolkata", "quiet_hours": {"from": "21:00", "to": "09:00"}, "expire_after": {"marketing": "2h"},
    "delivery_report_callback_url": "https://replace.example.com/what-clevertap-shows"
}))]
pub struct AccountSettings {
    /// a-z, 0-9 and -; cannot change.
    id: Option<String>,
    name: Option<String>,
    /// clevertap; cannot change.
    platform: Option<String>,
    enabled: Option<bool>,
    clevertap_account_id: Option<String>,
    /// Secret: one, or a list. When a new account is given no credentials, a passcode is made.
    #[schema(value_type = Option<Object>)]
    clevertap_passcode: Option<Value>,
    clevertap_region: Option<String>,
    /// Secret.
    clevertap_api_passcode: Option<String>,
    basic_username: Option<String>,
    /// Secret.
    basic_password: Option<String>,
    /// Secret.
    bearer_token: Option<String>,
    /// Secret.
    url_token: Option<String>,
    /// Secret: names and values.
    headers: Option<BTreeMap<String, Option<String>>>,
    /// Secret.
    delivery_report_callback_url: Option<String>,
    /// Secret.
    inbound_message_callback_url: Option<String>,
    default_country: Option<String>,
    time_zone: Option<String>,
    test_messages: Option<String>,
    dummy_numbers: Option<Vec<String>>,
    unknown_outcome: Option<String>,
    silent_messages: Option<String>,
    /// A conversation is unattended when somebody wrote and nobody answered for so long; 0 is never.
    #[schema(maximum = 10_080)]
    unattended_after_minutes: Option<u32>,
    rendered_body: Option<String>,
    forbidden_white_space: Option<String>,
    allowed_addresses: Option<Vec<String>>,
    /// marketing, utility, authentication and freeform, each a time like 6h.
    #[schema(value_type = Option<Object>)]
    expire_after: Option<Value>,
    /// from, to and categories.
    #[schema(value_type = Option<Object>)]
    quiet_hours: Option<Value>,
    /// enabled, path, type and base_url.
    #[schema(value_type = Option<Object>)]
    subscribe_sync: Option<Value>,
    /// What the account's numbers may send in a second, all together; each has its part of it. Empty: what each of them may.
    #[schema(minimum = 1, maximum = 100_000)]
    messages_per_second: Option<u32>,
    /// How long messages, events and refused requests are kept, like 30d; empty: as long as the server keeps them.
    keep_for: Option<String>,
    /// The same of exchanges with its callback URLs and webhooks, which are kept no longer than its events.
    keep_exchanges_for: Option<String>,
    /// The same of files that people sent it, and of the links to them.
    keep_media_for: Option<String>,
    /// The names of templates that the platform sends, and of those that stand for them.
    template_aliases: Option<BTreeMap<String, Option<String>>>,
    inbound_file_type: Option<String>,
    inbound_audio_type: Option<String>,
    inbound_button_type: Option<String>,
    inbound_list_type: Option<String>,
    callback_number: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct AccountList {
    accounts: Vec<Account>,
}

/// An account as it is configured.
#[derive(Serialize, ToSchema)]
pub struct Account {
    #[schema(example = "acme")]
    id: String,
    /// Where the platform posts messages.
    #[schema(example = "https://whatsapp.example.com/clevertap/acme/messages")]
    endpoint: String,
    /// Where the platform imports templates from.
    #[schema(example = "https://whatsapp.example.com/clevertap/acme/templates")]
    template_import: String,
    #[schema(example = json!(["+918880110022"]))]
    numbers: Vec<String>,
    /// As in the apply file, without secrets, defaults filled in.
    #[schema(value_type = Object, example = json!({"name": "Acme Retail", "platform": "clevertap", "time_zone": "Asia/Kolkata"}))]
    settings: Map<String, Value>,
    /// The secrets that are set: `set`, how many there are, or a URL's beginning.
    #[schema(example = json!({"clevertap_passcode": "set", "delivery_report_callback_url": "https://replace.example.com/…"}))]
    secrets: BTreeMap<String, String>,
    /// To be given with a change, which is then refused when somebody else was faster.
    #[schema(example = "5f0c1d9a4b7e2c8d3a6f1e0b")]
    version: String,
}

#[derive(Serialize, ToSchema)]
pub struct AddedAccount {
    account: Account,
    /// The passcode that was made, because no credentials were given. Shown this once.
    made_passcode: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct VersionQuery {
    /// The version that was seen: refused with 409 when the account is another one now.
    version: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasscodeRequest {
    /// The new one; left out, one is made.
    passcode: Option<String>,
    /// For how long the present ones are taken besides, 30 days at most; left out, they end at once.
    #[schema(example = "1d")]
    keep_old: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct RotatedPasscode {
    /// The passcode, when it was made here. Shown this once.
    made_passcode: Option<String>,
    /// Until when those before it are taken.
    #[schema(example = "2026-11-22T09:30:00.000Z")]
    old_until: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallbackTestRequest {
    /// status: delivery reports; inbound: what people write.
    #[schema(example = "status")]
    kind: String,
    /// A number of the account that has a callback URL of its own; left out, the account's is meant.
    #[schema(example = "+918880110022")]
    number: Option<String>,
}

/// A test of a callback URL, and what came back.
#[derive(Serialize, ToSchema)]
pub struct CallbackTest {
    #[schema(example = "status")]
    kind: String,
    /// Scheme and host; the rest is a secret.
    #[schema(example = "https://eu1.api.clevertap.com/…")]
    url: String,
    /// What went out: of no message, or from nobody.
    #[schema(
        example = "{\"payloadVersion\":\"0.1\",\"statuses\":[{\"msgId\":\"wabridge-test\",\"status\":\"delivered\",\"timestamp\":\"1790000123\"}]}"
    )]
    sent: String,
    #[schema(example = "2026-11-21T09:30:00.000Z")]
    at: String,
    #[schema(example = 84)]
    took_ms: u64,
    /// None: nothing came back.
    answer: Option<CallbackTestAnswer>,
    /// Why nothing came back.
    no_answer: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct CallbackTestAnswer {
    #[schema(example = 200)]
    http_status: u16,
    /// Its beginning.
    body: String,
}

/// Accounts, by id.
#[utoipa::path(
    get, path = "/api/v1/accounts", tag = "configuration", operation_id = "list_accounts", security(("token" = [])),
    responses(
        (status = 200, description = "The accounts, without their secrets", body = AccountList),
        (status = 403, description = "Needs the scope messages:read or configuration:manage", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(parts: Data<Parts>, caller: Caller) -> Result<Json<AccountList>, Problem> {
    let stored = parts.configuring.stored(&caller.0).await?;
    let mut ids: Vec<&str> = stored.accounts.iter().map(|account| account.id.as_str()).collect();
    ids.sort_unstable();
    let seen = |id: &str| parts.configuring.seen_in(&stored, &Subject::Account(id.to_owned()));
    let accounts = ids.into_iter().filter_map(|id| Some(account(&parts, &stored, id, seen(id)?)));
    Ok(Json(AccountList { accounts: accounts.collect() }))
}

/// One account.
#[utoipa::path(
    get, path = "/api/v1/accounts/{id}", tag = "configuration", operation_id = "show_account", security(("token" = [])),
    params(("id" = String, Path, description = "The account", example = "acme")),
    responses(
        (status = 200, description = "The account, without its secrets", body = Account),
        (status = 403, description = "Needs the scope messages:read or configuration:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such account", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn show(parts: Data<Parts>, caller: Caller, id: Path<String>) -> Result<Json<Account>, Problem> {
    let stored = parts.configuring.stored(&caller.0).await?;
    let subject = Subject::Account(id.clone());
    let seen = parts.configuring.seen_in(&stored, &subject).ok_or_else(|| missing(&subject))?;
    Ok(Json(account(&parts, &stored, &id, seen)))
}

/// Add an account. Without credentials of its own it gets a passcode, which is in the answer.
#[utoipa::path(
    post, path = "/api/v1/accounts", tag = "configuration", operation_id = "add_account", security(("token" = [])),
    request_body = AccountSettings,
    responses(
        (status = 201, description = "The account, and its passcode when one was made", body = AddedAccount),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope configuration:manage", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Values cannot be used; each is named", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn add(parts: Data<Parts>, caller: Caller, body: Json<Map<String, Value>>) -> Result<HttpResponse, Problem> {
    let WithPasscode { written, made, .. } = parts.accounts.add(&caller.0, &body).await?;
    let stored = parts.configuring.stored(&caller.0).await?;
    let id = written.seen.text("id").to_owned();
    let added = AddedAccount { account: account(&parts, &stored, &id, written.seen), made_passcode: made };
    Ok(HttpResponse::Created().json(added))
}

/// Change an account: a JSON merge patch of its settings.
#[utoipa::path(
    patch, path = "/api/v1/accounts/{id}", tag = "configuration", operation_id = "change_account", security(("token" = [])),
    params(("id" = String, Path, description = "The account", example = "acme"), VersionQuery),
    request_body(content = AccountSettings, example = json!({"time_zone": "Asia/Kolkata", "quiet_hours": null})),
    responses(
        (status = 200, description = "The account as it is now", body = Account),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope configuration:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such account", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Somebody else changed it meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Values cannot be used; each is named", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn change(
    parts: Data<Parts>,
    caller: Caller,
    id: Path<String>,
    query: Query<VersionQuery>,
    body: Json<Map<String, Value>>,
) -> Result<Json<Account>, Problem> {
    let subject = Subject::Account(id.clone());
    let written = parts.configuring.change(&caller.0, &subject, &body, query.version.as_deref()).await?;
    let stored = parts.configuring.stored(&caller.0).await?;
    Ok(Json(account(&parts, &stored, &id, written.seen)))
}

/// Remove an account with its numbers. Nothing that was accepted is lost: while messages wait, or somebody is to be told of an event,
/// it is refused and says what helps. Messages and what happened to them can be looked up until they are too old to be kept.
#[utoipa::path(
    delete, path = "/api/v1/accounts/{id}", tag = "configuration", operation_id = "remove_account", security(("token" = [])),
    params(("id" = String, Path, description = "The account", example = "acme")),
    responses(
        (status = 204, description = "It is removed"),
        (status = 403, description = "Needs the scope configuration:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such account", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It still has work, which is named", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn remove(parts: Data<Parts>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    let subject = Subject::Account(id.into_inner());
    removal::remove(&parts.store, &parts.directory, &caller.0, &subject).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Give an account another passcode. The present ones can be taken for a while longer.
#[utoipa::path(
    post, path = "/api/v1/accounts/{id}/rotate-passcode", tag = "configuration", operation_id = "rotate_passcode",
    security(("token" = [])), params(("id" = String, Path, description = "The account", example = "acme")),
    request_body = PasscodeRequest,
    responses(
        (status = 200, description = "It is changed", body = RotatedPasscode),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope configuration:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such account", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Somebody else changed it meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn rotate_passcode(
    parts: Data<Parts>,
    caller: Caller,
    id: Path<String>,
    body: Body<PasscodeRequest>,
) -> Result<Json<RotatedPasscode>, Problem> {
    let read = |text: &str| {
        let wrong = || Problem::of_field("keep_old", "keep_old cannot be read: write how long, like 1h or 7d");
        humantime::parse_duration(text).map_err(|_| wrong())
    };
    let keep_old = body.keep_old.as_deref().map(read).transpose()?.unwrap_or(Duration::ZERO);
    let WithPasscode { made, old_until, .. } =
        parts.accounts.rotate_passcode(&caller.0, &id, body.passcode.as_deref(), keep_old).await?;
    Ok(Json(RotatedPasscode { made_passcode: made, old_until: old_until.map(|until| until.to_string()) }))
}

/// Send a test to a callback URL: a report of no message, or a text from nobody. Six a minute at most.
#[utoipa::path(
    post, path = "/api/v1/accounts/{id}/test-callback", tag = "configuration", operation_id = "test_callback",
    security(("token" = [])), params(("id" = String, Path, description = "The account", example = "acme")),
    request_body = CallbackTestRequest,
    responses(
        (status = 200, description = "It was tried: what went out, and what came back", body = CallbackTest),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the scope configuration:manage", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such account", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "There is no such URL, no number, or too many were tested in this minute", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be used", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn test_callback(
    parts: Data<Parts>,
    caller: Caller,
    id: Path<String>,
    body: Body<CallbackTestRequest>,
) -> Result<Json<CallbackTest>, Problem> {
    let kinds = [EventKind::Status, EventKind::Inbound];
    let kind = kinds.into_iter().find(|kind| kind.as_str() == body.kind);
    let kind = kind.ok_or_else(|| Problem::of_field("kind", "kind is status or inbound"))?;
    let read = |text: &str| {
        let wrong = || Problem::of_field("number", "number is a business number like +918880110022");
        PhoneNumber::from_international(text).ok_or_else(wrong)
    };
    let number = body.number.as_deref().map(read).transpose()?;
    let tested = parts.accounts.test_callback(&caller.0, &id, kind, number.as_ref()).await?;
    Ok(Json(callback_test(tested)))
}

fn callback_test(test: TestedCallback) -> CallbackTest {
    let (answer, no_answer) = match test.answer {
        Ok(answer) => (Some(CallbackTestAnswer { http_status: answer.http_status, body: answer.body }), None),
        Err(why) => (None, Some(why)),
    };
    CallbackTest {
        kind: test.kind.as_str().to_owned(),
        url: test.url,
        sent: test.body,
        at: test.started_at.to_string(),
        took_ms: u64::try_from(test.took.as_millis()).unwrap_or(u64::MAX),
        answer,
        no_answer,
    }
}

fn account(parts: &Parts, stored: &Configuration, id: &str, seen: Seen) -> Account {
    let key = stored.account(id).map(|account| account.key);
    let numbers = stored.senders.iter().filter(|sender| Some(sender.account) == key);
    let secret = if seen.secrets.contains_key("url_token") { "/URL_TOKEN" } else { "" };
    let base = format!("{}/{}/{id}{secret}", parts.settings.public_url(), seen.text("platform"));
    Account {
        id: id.to_owned(),
        endpoint: format!("{base}/messages"),
        template_import: format!("{base}/templates"),
        numbers: numbers.map(|sender| sender.number.as_e164().to_owned()).collect(),
        settings: seen.fields,
        secrets: seen.secrets,
        version: seen.version,
    }
}
