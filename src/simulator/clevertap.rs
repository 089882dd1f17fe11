//! CleverTap's two callback URLs: takes what the bridge reports, and is strict about it.
//!
//! CleverTap itself says nothing about a wrong callback; the customer sees a report with holes, weeks later. Here every
//! unknown key, wrong type and missing part is a violation, answered with 400 and counted. For each message a few bytes
//! remember which statuses came and whether they came in order; the newest callbacks are kept whole.
//!
//! One simulator can play several accounts: what follows `/clevertap/delivery-reports/` in the URL is the account.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use bytes::Bytes;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    callback_shapes::{DeliveryReports, InboundDocument, Report},
    state::{World, unix_now},
};

/// Beyond this many messages only totals are counted.
const MESSAGES_REMEMBERED_MAX: usize = 2_000_000;
const VIOLATIONS_KEPT_MAX: usize = 100;

pub(super) fn routes(app: &mut web::ServiceConfig) {
    for path in ["/clevertap/delivery-reports", "/clevertap/delivery-reports/{account}"] {
        app.route(path, web::post().to(take_delivery_reports));
    }
    for path in ["/clevertap/inbound", "/clevertap/inbound/{account}"] {
        app.route(path, web::post().to(take_inbound));
    }
}

/// What of CleverTap's is called: one of the two callback URLs, or its API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    DeliveryReports,
    Inbound,
    /// CleverTap's Subscribe API, `POST /1/subscribe`.
    Subscribe,
}

/// When a callback looks like this, answer it so. The first rule that fits counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallbackRule {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The body contains this: for example one msgId.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_contains: Option<String>,
    #[serde(default = "always")]
    pub share: f64,
    /// It applies this many times and is gone then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
    /// Anything but 200 means: CleverTap did not take it.
    #[serde(default = "ok")]
    pub answer_status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
    /// The answer comes so much later. What is taken is taken before.
    #[serde(default)]
    pub hang_ms: u64,
}

fn always() -> f64 {
    1.0
}

fn ok() -> u16 {
    200
}

impl Default for CallbackRule {
    fn default() -> Self {
        Self {
            endpoint: None,
            account: None,
            body_contains: None,
            share: always(),
            next: None,
            answer_status: ok(),
            retry_after_s: None,
            hang_ms: 0,
        }
    }
}

/// What the CleverTap side counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CallbackStats {
    pub requests: u64,
    /// Requests not taken because a rule said so, by HTTP status.
    pub requests_refused: BTreeMap<u16, u64>,
    /// Requests whose shape was wrong; each was answered with 400.
    pub violations: u64,
    /// The newest of them, in words.
    pub violations_newest: VecDeque<String>,
    /// Statuses taken, repeats included.
    pub statuses: BTreeMap<String, u64>,
    /// Messages that had each status, each counted once.
    pub messages: BTreeMap<String, u64>,
    /// Messages that had any status.
    pub messages_total: u64,
    /// Failures by CleverTap's code.
    pub failures: BTreeMap<u32, u64>,
    /// A status that the message already had.
    pub repeated: u64,
    /// A status lower than one that the message already had: the bridge promises that there is none.
    pub out_of_order: u64,
    /// A `delivered` without a `sent` before it, or a `read` without a `delivered`.
    pub gaps: u64,
    /// Most statuses in one request.
    pub peak_batch: u64,
    /// Inbound messages by type.
    pub inbound: BTreeMap<String, u64>,
    /// Those among them that say which message they answer.
    pub inbound_with_context: u64,
    /// People whom the Subscribe API took, by the wish: `Unsubscribe` or `Resubscribe`.
    pub subscriptions: BTreeMap<String, u64>,
    /// People whom it listed as unprocessed.
    pub unprocessed: u64,
    /// Most calls of the Subscribe API at a time.
    pub peak_subscribe_in_flight: u64,
}

/// One status or inbound message as it came.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CallbackRecord {
    pub endpoint: Endpoint,
    pub account: String,
    /// For an inbound message: of the message that it answers.
    pub msg_id: Option<String>,
    /// The status, the type of the inbound message, or the wish of a subscription.
    pub kind: String,
    pub received_at_unix_ms: u64,
    /// The element of `statuses` or of `d`, or the whole inbound document.
    pub entry: Value,
}

async fn take_delivery_reports(world: web::Data<World>, request: HttpRequest, body: Bytes) -> HttpResponse {
    take(&world, &request, &body, Endpoint::DeliveryReports).await
}

async fn take_inbound(world: web::Data<World>, request: HttpRequest, body: Bytes) -> HttpResponse {
    take(&world, &request, &body, Endpoint::Inbound).await
}

async fn take(world: &World, request: &HttpRequest, body: &[u8], endpoint: Endpoint) -> HttpResponse {
    let account = request.match_info().get("account").unwrap_or_default();
    let rule = world.callbacks().rule(endpoint, account, body).unwrap_or_default();
    let outcome = if rule.answer_status == ok() {
        let hash = |msg_id: &str| world.hash((account, msg_id));
        world.callbacks().take(endpoint, account, body, hash)
    } else {
        world.callbacks().refuse(rule.answer_status);
        Ok(())
    };
    world.tell();
    if rule.hang_ms > 0 {
        tokio::time::sleep(Duration::from_millis(rule.hang_ms)).await;
    }
    match outcome {
        Ok(()) => answer(&rule),
        Err(violation) => HttpResponse::BadRequest().json(json!({"status": "failure", "error": violation})),
    }
}

pub(super) fn answer(rule: &CallbackRule) -> HttpResponse {
    if rule.answer_status == ok() {
        return HttpResponse::Ok().json(json!({"status": "success"}));
    }
    let status = StatusCode::from_u16(rule.answer_status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = HttpResponse::build(status);
    if let Some(seconds) = rule.retry_after_s {
        answer.insert_header(("Retry-After", seconds.to_string()));
    }
    answer.json(json!({"status": "failure"}))
}

/// Everything that the CleverTap side remembers.
pub(super) struct CallbackBook {
    stats: CallbackStats,
    seen: HashMap<u64, u8>,
    records: VecDeque<CallbackRecord>,
    records_kept_max: usize,
    rules: Vec<CallbackRule>,
    dice: StdRng,
}

impl CallbackBook {
    pub(super) fn new(records_kept_max: usize, seed: u64) -> Self {
        Self {
            stats: CallbackStats::default(),
            seen: HashMap::new(),
            records: VecDeque::new(),
            records_kept_max,
            rules: Vec::new(),
            dice: StdRng::seed_from_u64(seed),
        }
    }

    pub(super) fn stats(&self) -> CallbackStats {
        self.stats.clone()
    }

    pub(super) fn rules(&mut self) -> &mut Vec<CallbackRule> {
        &mut self.rules
    }

    /// The newest callbacks about one message, or all of them, oldest first.
    pub(super) fn records(&self, msg_id: Option<&str>) -> Vec<CallbackRecord> {
        let fits = |record: &&CallbackRecord| msg_id.is_none() || record.msg_id.as_deref() == msg_id;
        self.records.iter().filter(fits).cloned().collect()
    }

    pub(super) fn reset(&mut self) {
        self.stats = CallbackStats::default();
        self.seen.clear();
        self.records.clear();
    }

    /// What the rules say to this request, which is counted.
    pub(super) fn rule(&mut self, endpoint: Endpoint, account: &str, body: &[u8]) -> Option<CallbackRule> {
        self.stats.requests += 1;
        let dice = &mut self.dice;
        let place = self.rules.iter().position(|rule| {
            rule.endpoint.is_none_or(|wanted| wanted == endpoint)
                && rule.account.as_deref().is_none_or(|wanted| wanted == account)
                && rule.body_contains.as_deref().is_none_or(|part| String::from_utf8_lossy(body).contains(part))
                && (rule.share >= 1.0 || dice.random::<f64>() < rule.share)
        })?;
        let rule = self.rules[place].clone();
        if let Some(left) = &mut self.rules[place].next {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.rules.remove(place);
            }
        }
        Some(rule)
    }

    pub(super) fn refuse(&mut self, status: u16) {
        *self.stats.requests_refused.entry(status).or_default() += 1;
    }

    fn take(
        &mut self,
        endpoint: Endpoint,
        account: &str,
        body: &[u8],
        hash: impl Fn(&str) -> u64,
    ) -> Result<(), String> {
        let taken = match endpoint {
            Endpoint::DeliveryReports => self.take_reports(account, body, hash),
            Endpoint::Inbound => self.take_message(account, body),
            Endpoint::Subscribe => return Ok(()),
        };
        taken.inspect_err(|violation| {
            tracing::warn!(%violation, "a callback does not have CleverTap's shape");
            self.stats.violations += 1;
            push_bounded(&mut self.stats.violations_newest, violation.clone(), VIOLATIONS_KEPT_MAX);
        })
    }

    fn take_reports(&mut self, account: &str, body: &[u8], hash: impl Fn(&str) -> u64) -> Result<(), String> {
        let document = DeliveryReports::read(body)?;
        let reports = document.statuses.iter().map(Report::read).collect::<Result<Vec<_>, _>>()?;
        self.stats.peak_batch = self.stats.peak_batch.max(reports.len() as u64);
        for (report, entry) in reports.into_iter().zip(document.statuses) {
            self.count_report(hash(&report.msg_id), &report);
            self.record(Endpoint::DeliveryReports, account, Some(report.msg_id), report.status, entry);
        }
        Ok(())
    }

    fn count_report(&mut self, message: u64, report: &Report) {
        *self.stats.statuses.entry(report.status.clone()).or_default() += 1;
        if let Some(error) = &report.error {
            *self.stats.failures.entry(error.code).or_default() += 1;
        }
        let new = !self.seen.contains_key(&message);
        if new && self.seen.len() >= MESSAGES_REMEMBERED_MAX {
            return;
        }
        self.stats.messages_total += u64::from(new);
        let seen = self.seen.entry(message).or_default();
        let this = bit(&report.status);
        if *seen & this != 0 {
            self.stats.repeated += 1;
        } else {
            *self.stats.messages.entry(report.status.clone()).or_default() += 1;
        }
        // Clicks come when people click: they have no place in the order.
        if this != CLICKED {
            self.stats.out_of_order += u64::from(*seen & !CLICKED > this);
        }
        let lacks = |step| *seen & step == 0;
        self.stats.gaps += u64::from((this == DELIVERED && lacks(SENT | FAILED)) || (this == READ && lacks(DELIVERED)));
        *seen |= this;
    }

    fn take_message(&mut self, account: &str, body: &[u8]) -> Result<(), String> {
        let (message, entry) = InboundDocument::read(body)?;
        *self.stats.inbound.entry(message.kind.clone()).or_default() += 1;
        self.stats.inbound_with_context += u64::from(message.context.is_some());
        self.record(Endpoint::Inbound, account, message.context.map(|context| context.id), message.kind, entry);
        Ok(())
    }

    pub(super) fn count_subscribe_load(&mut self, in_flight: u64) {
        self.stats.peak_subscribe_in_flight = self.stats.peak_subscribe_in_flight.max(in_flight);
    }

    pub(super) fn count_unprocessed(&mut self) {
        self.stats.unprocessed += 1;
    }

    pub(super) fn take_subscription(&mut self, account: &str, wish: String, entry: Value) {
        *self.stats.subscriptions.entry(wish.clone()).or_default() += 1;
        self.record(Endpoint::Subscribe, account, None, wish, entry);
    }

    fn record(&mut self, endpoint: Endpoint, account: &str, msg_id: Option<String>, kind: String, entry: Value) {
        let received_at_unix_ms = unix_now().as_millis() as u64;
        let record = CallbackRecord { endpoint, account: account.to_owned(), msg_id, kind, received_at_unix_ms, entry };
        push_bounded(&mut self.records, record, self.records_kept_max);
    }
}

/// The order of the bits is the order of the news: a lower bit after a higher one is out of order. `failed` lies below
/// `delivered` because a message that one device refused may still arrive at another.
const SENT: u8 = 1;
const FAILED: u8 = 2;
const DELIVERED: u8 = 4;
const READ: u8 = 8;
const CLICKED: u8 = 16;

fn bit(status: &str) -> u8 {
    match status {
        "sent" => SENT,
        "failed" => FAILED,
        "delivered" => DELIVERED,
        "read" => READ,
        _ => CLICKED,
    }
}

fn push_bounded<T>(list: &mut VecDeque<T>, item: T, kept_max: usize) {
    if kept_max == 0 {
        return;
    }
    if list.len() >= kept_max {
        list.pop_front();
    }
    list.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports(statuses: &[Value]) -> Vec<u8> {
        json!({"payloadVersion": "0.1", "statuses": statuses}).to_string().into_bytes()
    }

    fn report(msg_id: &str, status: &str) -> Value {
        json!({"msgId": msg_id, "status": status, "timestamp": "1790000123"})
    }

    fn book() -> CallbackBook {
        CallbackBook::new(100, 1)
    }

    fn take(book: &mut CallbackBook, endpoint: Endpoint, body: &[u8]) -> Result<(), String> {
        book.take(endpoint, "", body, |msg_id| msg_id.len() as u64)
    }

    #[test]
    fn order_is_watched_per_message() {
        let mut book = book();
        let all = ["sent", "delivered", "read"];
        let good: Vec<Value> = all.iter().map(|status| report("7|1|1|7|0", status)).collect();
        let bad: Vec<Value> = ["read", "sent", "sent"].iter().map(|status| report("42|1|1|42|0", status)).collect();

        take(&mut book, Endpoint::DeliveryReports, &reports(&good)).expect("the documented shape");
        assert_eq!((book.stats.out_of_order, book.stats.repeated, book.stats.gaps), (0, 0, 0));
        take(&mut book, Endpoint::DeliveryReports, &reports(&bad)).expect("the documented shape");

        assert_eq!((book.stats.out_of_order, book.stats.repeated, book.stats.gaps), (2, 1, 1));
        assert_eq!(book.stats.messages["sent"], 2);
        assert_eq!(book.stats.statuses["sent"], 3);
        assert_eq!(book.records(Some("7|1|1|7|0")).len(), 3);
    }

    #[test]
    fn what_has_not_the_documented_shape_is_a_violation_and_counts_for_nothing() {
        let mut book = book();

        let answer = take(&mut book, Endpoint::DeliveryReports, &reports(&[report("7|1|1|7|0", "seen")]));

        assert!(answer.is_err());
        assert_eq!((book.stats.violations, book.stats.messages_total), (1, 0));
        assert!(book.stats.violations_newest[0].contains("7|1|1|7|0"));
    }
}
