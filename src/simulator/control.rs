//! The control desk: a [`Handle`] in process, and the same under `/control` for a simulator that runs by itself.
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
//! | `POST /control/changes` | `{"waba_id", "field", "value"}`: any other webhook, as it shall arrive |

use std::{fmt::Display, sync::Arc, time::Duration};

use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{self, Json},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    clevertap::{CallbackRecord, CallbackRule},
    inbound::{self, Inbound, InboundContent},
    knobs::{Knobs, Rule},
    payloads::Update,
    state::{INVENTED_WABA_ID, RecordedSend, Stats, World, digits},
    templates::TemplateList,
};

/// A waiter looks again at most this often, so that watching does not slow down what is watched.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(2);
const WAIT_MS_DEFAULT: u64 = 10_000;
const WAIT_MS_MAX: u64 = 600_000;

/// Turns the knobs of a running simulator and reads its counters. Clone it as you like.
#[derive(Clone)]
pub struct Handle {
    world: Arc<World>,
}

/// What was waited for did not happen in time.
#[derive(Debug, thiserror::Error)]
#[error("waited {waited:?} in vain; the counters stand at {stats:#?}")]
pub struct WaitedTooLong {
    pub waited: Duration,
    pub stats: Box<Stats>,
}

/// The change was not made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotPossible(String);

impl Handle {
    pub(super) fn new(world: Arc<World>) -> Self {
        Self { world }
    }

    /// The counters now.
    pub fn stats(&self) -> Stats {
        self.world.stats()
    }

    /// The counters as soon as they are as wanted. It looks again after every change; many at once are one.
    pub async fn wait_until(
        &self,
        mut wanted: impl FnMut(&Stats) -> bool,
        timeout: Duration,
    ) -> Result<Stats, WaitedTooLong> {
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            // Ask to be woken before looking, or a change in between would be missed.
            let changed = self.world.changed().notified();
            let stats = self.world.stats();
            if wanted(&stats) {
                return Ok(stats);
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Err(WaitedTooLong { waited: timeout, stats: Box::new(stats) });
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
    }

    /// Waits until the bridge has taken everything that there was to tell.
    pub async fn wait_until_told(&self, timeout: Duration) -> Result<Stats, WaitedTooLong> {
        self.wait_until(|stats| stats.updates_waiting == 0, timeout).await
    }

    /// Counts from zero again. Knobs, rules and templates stay; what waits is still posted.
    pub fn reset(&self) {
        self.world.reset();
    }

    pub fn knobs(&self) -> Knobs {
        Knobs::clone(&self.world.knobs())
    }

    /// Turns knobs; from the next send or webhook on they hold.
    pub fn change_knobs(&self, change: impl FnOnce(&mut Knobs)) -> Result<(), NotPossible> {
        self.world.change_knobs(change).map_err(NotPossible)
    }

    /// The rules that are left, without the built-in ones.
    pub fn rules(&self) -> Vec<Rule> {
        self.world.rules().given().clone()
    }

    pub fn set_rules(&self, rules: Vec<Rule>) {
        *self.world.rules().given() = rules;
    }

    pub fn add_rule(&self, rule: Rule) {
        self.world.rules().given().push(rule);
    }

    /// The newest sends to a person, or to everybody, oldest first; refused ones have no wamid.
    pub fn sends(&self, recipient: Option<&str>) -> Vec<RecordedSend> {
        self.world.tally().sends(recipient.map(digits).as_deref())
    }

    pub fn templates(&self) -> Vec<Value> {
        self.world.templates().entries().to_vec()
    }

    /// Replaces the list; each entry as in Meta's listing.
    pub fn set_templates(&self, entries: Vec<Value>) -> Result<(), NotPossible> {
        self.world.set_templates(TemplateList::new(entries).map_err(NotPossible)?);
        Ok(())
    }

    /// Approves, pauses or disables a translation, and says so by webhook to every business account, as Meta does:
    /// with an id that is a number here, and a hyphen in the language.
    pub fn set_template_status(&self, name: &str, language: &str, status: &str) -> Result<(), NotPossible> {
        let (list, id) = self
            .world
            .templates()
            .with_status(name, language, status)
            .ok_or_else(|| NotPossible(format!("there is no template {name} in {language}")))?;
        self.world.set_templates(list);
        let value = json!({
            "event": status,
            "message_template_id": id,
            "message_template_name": name,
            "message_template_language": language.replace('_', "-"),
            "reason": "NONE",
        });
        for waba_id in self.world.waba_ids() {
            self.send_change(&waba_id, "message_template_status_update", value.clone());
        }
        Ok(())
    }

    /// Any other webhook: `value` arrives as it is.
    pub fn send_change(&self, waba_id: &str, field: &str, value: Value) {
        let change = Update::Change { waba_id: waba_id.to_owned(), field: field.to_owned(), value };
        let refused = self.world.queue.put([(std::time::Instant::now(), change)]);
        self.world.count(|stats| stats.updates_dropped += refused);
    }

    /// A person writes; gives back the wamid.
    pub fn inbound(&self, message: &Inbound) -> Result<String, NotPossible> {
        inbound::say(&self.world, message, std::time::Instant::now())
            .ok_or_else(|| NotPossible(format!("there is no number with the id {}", message.phone_number_id)))
    }

    /// A person writes a text, perhaps in answer to a message.
    pub fn inbound_text(
        &self,
        from: &str,
        phone_number_id: &str,
        text: &str,
        context_wamid: Option<&str>,
    ) -> Result<String, NotPossible> {
        let content = InboundContent::Text { body: text.to_owned() };
        self.inbound(&inbound_from(from, phone_number_id, content, context_wamid))
    }

    /// A person taps a quick reply button of a message.
    pub fn inbound_tap(
        &self,
        from: &str,
        phone_number_id: &str,
        text: &str,
        payload: &str,
        context_wamid: Option<&str>,
    ) -> Result<String, NotPossible> {
        let content = InboundContent::Button { text: text.to_owned(), payload: payload.to_owned() };
        self.inbound(&inbound_from(from, phone_number_id, content, context_wamid))
    }

    /// A person shares a place.
    pub fn inbound_location(
        &self,
        from: &str,
        phone_number_id: &str,
        latitude: f64,
        longitude: f64,
        context_wamid: Option<&str>,
    ) -> Result<String, NotPossible> {
        let content = InboundContent::Location { latitude, longitude, name: None, address: None };
        self.inbound(&inbound_from(from, phone_number_id, content, context_wamid))
    }

    pub fn callback_rules(&self) -> Vec<CallbackRule> {
        self.world.callbacks().rules().clone()
    }

    pub fn set_callback_rules(&self, rules: Vec<CallbackRule>) {
        *self.world.callbacks().rules() = rules;
    }

    pub fn add_callback_rule(&self, rule: CallbackRule) {
        self.world.callbacks().rules().push(rule);
    }

    /// The newest callbacks about a message, or all, oldest first.
    pub fn callback_records(&self, msg_id: Option<&str>) -> Vec<CallbackRecord> {
        self.world.callbacks().records(msg_id)
    }
}

fn inbound_from(from: &str, phone_number_id: &str, content: InboundContent, context_wamid: Option<&str>) -> Inbound {
    Inbound {
        from: from.to_owned(),
        phone_number_id: phone_number_id.to_owned(),
        context_wamid: context_wamid.map(str::to_owned),
        content,
    }
}

pub(super) fn routes(app: &mut web::ServiceConfig) {
    let scope = web::scope("/control")
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

async fn patch_knobs(world: web::Data<World>, patch: Json<serde_json::Map<String, Value>>) -> HttpResponse {
    let handle = handle(world);
    let mut knobs = serde_json::to_value(handle.knobs()).expect("knobs are plain values");
    for (name, value) in patch.into_inner() {
        knobs[name] = value;
    }
    match serde_json::from_value::<Knobs>(knobs) {
        Ok(changed) => done_or_not(handle.change_knobs(|knobs| *knobs = changed)),
        Err(error) => not_possible(error),
    }
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

async fn post_inbound(world: web::Data<World>, message: Json<Inbound>) -> HttpResponse {
    match handle(world).inbound(&message) {
        Ok(wamid) => HttpResponse::Ok().json(json!({"ok": true, "wamid": wamid})),
        Err(reason) => not_possible(reason),
    }
}

#[derive(Deserialize)]
struct Change {
    waba_id: Option<String>,
    field: String,
    value: Value,
}

async fn post_change(world: web::Data<World>, change: Json<Change>) -> HttpResponse {
    let Change { waba_id, field, value } = change.into_inner();
    handle(world).send_change(waba_id.as_deref().unwrap_or(INVENTED_WABA_ID), &field, value);
    done()
}
