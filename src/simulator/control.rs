//! The control desk over HTTP: what a [`Handle`] can do, for a simulator that runs by itself.
//!
//! | | |
//! |---|---|
//! | `GET /control/stats` | all counters; with `?wait_for=sends_accepted&at_least=10&timeout_ms=5000` it answers when the counter is there (a path such as `clevertap/messages/read` works too), or with 408 |
//! | `POST /control/reset` | counts from zero again |
//! | `GET`, `PATCH /control/knobs` | the knobs; a patch names only what changes |
//! | `GET`, `PUT`, `POST /control/rules` | the rules for sends: read, replace by a list, add one at the end |
//! | `GET`, `PUT`, `POST /control/clevertap/rules` | the rules for callbacks |
//! | `GET /control/clevertap/records?msg_id=` | the newest callbacks, whole |
//! | `GET /control/sends?recipient=` | the newest sends, whole |
//! | `GET`, `PUT /control/templates` | the templates |
//! | `POST /control/templates/status` | `{"name", "language", "status"}`: changes it, and tells the webhook |
//! | `POST /control/inbound` | a person writes, see [`Inbound`] |
//! | `PATCH /control/nodes/{id}` | fields of a number or business account, as `GET /{id}?fields=` gives them; null hides one |
//! | `PUT /control/nodes/{waba id}/subscription` | `{"subscribed": false}`: the app hears nothing of the account any more |
//! | `DELETE /control/media/{id}` | a media file is gone |
//! | `POST /control/events` | anything else that can happen, one or a list, see [`Event`] |
//! | `GET`, `PUT /control/scenario` | how far it has come; plays another, given as TOML |
//! | `POST /control/clevertap/import` | `{"url", "username", "password", "headers", "limit"}`: CleverTap imports templates from there |
//! | `POST /control/changes` | `{"waba_id", "field", "value"}`: any other webhook, as it shall arrive |

use std::{fmt::Display, time::Duration};

use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{self, Json},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    clevertap::CallbackRule,
    events::{self, Event},
    handle::Handle,
    import::Import,
    inbound::Inbound,
    rules::Rule,
    scenario::Scenario,
    state::World,
    tally::Stats,
    timeline,
};

const WAIT_MS_DEFAULT: u64 = 10_000;
const WAIT_MS_MAX: u64 = 600_000;

pub(super) fn routes(app: &mut web::ServiceConfig) {
    // `curl -d` names another type, and a person should not have to mind.
    let any_type = web::JsonConfig::default().content_type(|_| true).content_type_required(false);
    let scope = web::scope("/control")
        .app_data(any_type)
        .route("/stats", web::get().to(get_stats))
        .route("/reset", web::post().to(post_reset))
        .route("/knobs", web::get().to(get_knobs))
        .route("/knobs", web::patch().to(patch_knobs))
        .route("/rules", web::get().to(get_rules))
        .route("/rules", web::put().to(put_rules))
        .route("/rules", web::post().to(post_rule))
        .route("/clevertap/rules", web::get().to(get_callback_rules))
        .route("/clevertap/rules", web::put().to(put_callback_rules))
        .route("/clevertap/rules", web::post().to(post_callback_rule))
        .route("/clevertap/records", web::get().to(get_callback_records))
        .route("/sends", web::get().to(get_sends))
        .route("/templates", web::get().to(get_templates))
        .route("/templates", web::put().to(put_templates))
        .route("/templates/status", web::post().to(post_template_status))
        .route("/inbound", web::post().to(post_inbound))
        .route("/nodes/{id}", web::patch().to(patch_node))
        .route("/nodes/{id}/subscription", web::put().to(put_subscription))
        .route("/media/{id}", web::delete().to(delete_media))
        .route("/scenario", web::get().to(get_scenario))
        .route("/scenario", web::put().to(put_scenario))
        .route("/clevertap/import", web::post().to(post_import))
        .route("/events", web::post().to(post_events))
        .route("/changes", web::post().to(post_change));
    app.service(scope);
}

fn handle(world: web::Data<World>) -> Handle {
    Handle::new(world.into_inner())
}

fn done() -> HttpResponse {
    HttpResponse::Ok().json(json!({"ok": true}))
}

fn done_or_not(outcome: Result<(), impl Display>) -> HttpResponse {
    outcome.map_or_else(not_possible, |()| done())
}

fn not_possible(reason: impl Display) -> HttpResponse {
    HttpResponse::BadRequest().json(json!({"ok": false, "error": reason.to_string()}))
}

#[derive(Deserialize)]
struct StatsQuery {
    wait_for: Option<String>,
    at_least: Option<u64>,
    timeout_ms: Option<u64>,
}

async fn get_stats(world: web::Data<World>, query: web::Query<StatsQuery>) -> HttpResponse {
    let Some(counter) = &query.wait_for else { return HttpResponse::Ok().json(handle(world).stats()) };
    let pointer = format!("/{counter}");
    let at_least = query.at_least.unwrap_or(1);
    let reached = |stats: &Stats| {
        let stats = serde_json::to_value(stats).expect("counters are plain numbers and strings");
        stats.pointer(&pointer).and_then(Value::as_u64).is_some_and(|count| count >= at_least)
    };
    let timeout = Duration::from_millis(query.timeout_ms.unwrap_or(WAIT_MS_DEFAULT).min(WAIT_MS_MAX));
    match handle(world).wait_until(reached, timeout).await {
        Ok(stats) => HttpResponse::Ok().json(stats),
        Err(late) => HttpResponse::build(StatusCode::REQUEST_TIMEOUT).json(late.stats),
    }
}

async fn post_reset(world: web::Data<World>) -> HttpResponse {
    handle(world).reset();
    done()
}

async fn get_knobs(world: web::Data<World>) -> HttpResponse {
    HttpResponse::Ok().json(handle(world).knobs())
}

async fn patch_knobs(world: web::Data<World>, patch: Json<Map<String, Value>>) -> HttpResponse {
    done_or_not(events::turn(&world, &patch))
}

async fn get_rules(world: web::Data<World>) -> HttpResponse {
    HttpResponse::Ok().json(handle(world).rules())
}

async fn put_rules(world: web::Data<World>, rules: Json<Vec<Rule>>) -> HttpResponse {
    handle(world).set_rules(rules.into_inner());
    done()
}

async fn post_rule(world: web::Data<World>, rule: Json<Rule>) -> HttpResponse {
    handle(world).add_rule(rule.into_inner());
    done()
}

async fn get_callback_rules(world: web::Data<World>) -> HttpResponse {
    HttpResponse::Ok().json(handle(world).callback_rules())
}

async fn put_callback_rules(world: web::Data<World>, rules: Json<Vec<CallbackRule>>) -> HttpResponse {
    handle(world).set_callback_rules(rules.into_inner());
    done()
}

async fn post_callback_rule(world: web::Data<World>, rule: Json<CallbackRule>) -> HttpResponse {
    handle(world).add_callback_rule(rule.into_inner());
    done()
}

#[derive(Deserialize)]
struct RecordsQuery {
    msg_id: Option<String>,
}

async fn get_callback_records(world: web::Data<World>, query: web::Query<RecordsQuery>) -> HttpResponse {
    HttpResponse::Ok().json(handle(world).callback_records(query.msg_id.as_deref()))
}

#[derive(Deserialize)]
struct SendsQuery {
    recipient: Option<String>,
}

async fn get_sends(world: web::Data<World>, query: web::Query<SendsQuery>) -> HttpResponse {
    HttpResponse::Ok().json(handle(world).sends(query.recipient.as_deref()))
}

async fn get_templates(world: web::Data<World>) -> HttpResponse {
    HttpResponse::Ok().json(handle(world).templates())
}

async fn put_templates(world: web::Data<World>, entries: Json<Vec<Value>>) -> HttpResponse {
    done_or_not(handle(world).set_templates(entries.into_inner()))
}

#[derive(Deserialize)]
struct TemplateStatus {
    name: String,
    language: String,
    status: String,
}

async fn post_template_status(world: web::Data<World>, change: Json<TemplateStatus>) -> HttpResponse {
    done_or_not(handle(world).set_template_status(&change.name, &change.language, &change.status))
}

/// One event, or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    More(Vec<Value>),
    One(Value),
}

async fn post_events(world: web::Data<World>, events: Json<OneOrMore>) -> HttpResponse {
    let events = match events.into_inner() {
        OneOrMore::More(events) => events,
        OneOrMore::One(event) => vec![event],
    };
    // Read by hand: of an untagged choice nobody could say what is wrong with it.
    let read = events.into_iter().map(serde_json::from_value).collect::<Result<Vec<Event>, _>>();
    let happened = read
        .map_err(|error| error.to_string())
        .and_then(|events| events.iter().try_for_each(|event| events::happen(&world, event)));
    done_or_not(happened)
}

async fn post_inbound(world: web::Data<World>, message: Json<Inbound>) -> HttpResponse {
    match handle(world).inbound(&message) {
        Ok(wamid) => HttpResponse::Ok().json(json!({"ok": true, "wamid": wamid})),
        Err(reason) => not_possible(reason),
    }
}

async fn patch_node(world: web::Data<World>, id: web::Path<String>, fields: Json<Map<String, Value>>) -> HttpResponse {
    handle(world).change_node(&id, fields.into_inner());
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Subscription {
    subscribed: bool,
}

async fn put_subscription(
    world: web::Data<World>,
    waba_id: web::Path<String>,
    wanted: Json<Subscription>,
) -> HttpResponse {
    handle(world).subscribe(&waba_id, wanted.subscribed);
    done()
}

async fn delete_media(world: web::Data<World>, id: web::Path<String>) -> HttpResponse {
    if handle(world).forget_media(&id) { done() } else { not_possible(format!("there is no media file {id}")) }
}

async fn get_scenario(world: web::Data<World>) -> HttpResponse {
    HttpResponse::Ok().json(handle(world).scenario())
}

async fn put_scenario(world: web::Data<World>, text: String) -> HttpResponse {
    let played = Scenario::read(&text).and_then(|scenario| timeline::play(&world.into_inner(), scenario));
    done_or_not(played)
}

async fn post_import(world: web::Data<World>, import: Json<Import>) -> HttpResponse {
    HttpResponse::Ok().json(handle(world).import_templates(&import).await)
}

#[derive(Deserialize)]
struct Change {
    waba_id: Option<String>,
    field: String,
    value: Value,
}

async fn post_change(world: web::Data<World>, change: Json<Change>) -> HttpResponse {
    let Change { waba_id, field, value } = change.into_inner();
    done_or_not(handle(world).happen(&Event::Change { waba_id, field, value }))
}
