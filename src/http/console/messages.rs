//! Finding a message.

use std::collections::BTreeMap;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Query},
};
use askama::Template;
use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use super::{
    Frame, LINES_PER_PAGE, Trouble, Visitor,
    frame::{long_time, seconds, sentence, short_time, wants_part},
    page,
};
use crate::{
    domain::{
        failure::FailureReason,
        ids::MessageId,
        operator::Actor,
        outbound::{Category, SendState},
        status::DeliveryStatus,
        time::UnixMillis,
    },
    http::Parts,
    net::redact,
    services::{
        directory::Snapshot,
        masking,
        operators::Refusal,
        search::{self, Wanted},
    },
    store::{
        search::{FoundMessages, MessageSearch},
        story::StoredMessage,
    },
};

/// What stands in the form.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct SearchForm {
    q: String,
    status: String,
    account: String,
    number: String,
    template: String,
    campaign: String,
    code: String,
    reason: String,
    since: String,
    until: String,
    /// The last message of the page before.
    before: String,
}

#[derive(Template)]
#[template(path = "console/messages.html")]
struct Page {
    frame: Frame,
    form: SearchForm,
    statuses: Vec<StatusOption>,
    reasons: Vec<StatusOption>,
    accounts: Vec<String>,
    numbers: Vec<String>,
    results: Results,
}

/// What was found, or why nothing was looked for.
#[derive(Template)]
#[template(path = "console/messages_results.html")]
struct Results {
    wrong: Option<String>,
    rows: Vec<Row>,
    next: Option<NextPage>,
    is_first: bool,
    searched: bool,
    /// Our answer to a request with the id that was looked for.
    refused: Option<String>,
}

/// The same without the table around it, for the end of one that is there.
#[derive(Template)]
#[template(path = "console/messages_rows.html")]
struct MoreRows {
    rows: Vec<Row>,
    next: Option<NextPage>,
    is_first: bool,
}

struct StatusOption {
    value: String,
    name: String,
}

struct Row {
    id: String,
    at: String,
    /// Beyond the minute, which has no place on a phone.
    seconds: String,
    at_iso: String,
    to: String,
    status: Status,
    template: String,
    number: String,
    account: String,
    why: String,
}

struct NextPage {
    href: String,
    /// Not enough was found in the time, so the page goes on by itself.
    goes_on: bool,
    back_to: String,
}

/// How a message stands, in a word and a colour.
pub(super) struct Status {
    pub(super) name: &'static str,
    pub(super) tone: &'static str,
}

impl Status {
    pub(super) fn of(state: SendState, delivery: Option<DeliveryStatus>) -> Self {
        match delivery {
            Some(delivery) => Self::of_delivery(delivery),
            None => Self::of_state(state),
        }
    }

    fn of_state(state: SendState) -> Self {
        let (name, tone) = match state {
            SendState::Queued => ("waiting", "info"),
            SendState::Sending => ("being sent", "info"),
            SendState::Submitted => ("taken by WhatsApp", "info"),
            SendState::Rejected => ("rejected", "bad"),
            SendState::Unknown => ("outcome unknown", "warn"),
            SendState::Expired => ("expired", "bad"),
            SendState::Cancelled => ("cancelled", "plain"),
        };
        Self { name, tone }
    }

    fn of_delivery(delivery: DeliveryStatus) -> Self {
        let (name, tone) = match delivery {
            DeliveryStatus::Sent => ("sent", "info"),
            DeliveryStatus::Failed => ("failed", "bad"),
            DeliveryStatus::Delivered => ("delivered", "good"),
            DeliveryStatus::Read => ("read", "good"),
        };
        Self { name, tone }
    }
}

const STATES: [SendState; 7] = [
    SendState::Queued,
    SendState::Sending,
    SendState::Submitted,
    SendState::Rejected,
    SendState::Unknown,
    SendState::Expired,
    SendState::Cancelled,
];
const DELIVERIES: [DeliveryStatus; 4] =
    [DeliveryStatus::Sent, DeliveryStatus::Delivered, DeliveryStatus::Read, DeliveryStatus::Failed];

impl SearchForm {
    /// Whether the filters are to be seen.
    fn is_filtered(&self) -> bool {
        let filters = [
            &self.status,
            &self.account,
            &self.number,
            &self.template,
            &self.campaign,
            &self.code,
            &self.reason,
            &self.since,
            &self.until,
        ];
        filters.into_iter().any(|text| !text.is_empty())
    }

    /// What is looked for; `Err` says what to change.
    fn wanted(&self, snapshot: &Snapshot) -> Result<Wanted, String> {
        let account = match self.account.as_str() {
            "" => None,
            id => Some(snapshot.account(id).ok_or_else(|| format!("there is no account {id}"))?.key),
        };
        let sender = match self.number.as_str() {
            "" => None,
            text => {
                let sender = snapshot.senders().find(|sender| sender.number.as_e164() == text);
                Some(sender.ok_or_else(|| format!("there is no business number {text}"))?.key)
            }
        };
        let failure_code = match self.code.trim() {
            "" => None,
            code => {
                Some(code.parse().map_err(|_| "an error code of WhatsApp’s is a number, such as 131026".to_owned())?)
            }
        };
        let failure_reason = match self.reason.as_str() {
            "" => None,
            word => {
                let known = FailureReason::ALL.into_iter().find(|reason| reason.as_str() == word);
                Some(known.ok_or_else(|| format!("there is no reason {word}: choose one of the list"))?)
            }
        };
        if !self.status.is_empty() && !statuses().iter().any(|option| option.value == self.status) {
            return Err(format!("there is no status {}: choose one of the list", self.status));
        }
        let (since, until) = (time(&self.since)?, time(&self.until)?);
        if since.zip(until).is_some_and(|(since, until)| since >= until) {
            return Err("the time begins after its end: change From or Before".to_owned());
        }
        let (state, delivery, reached) = self.standing();
        let filter = MessageSearch {
            account,
            sender,
            recipient: None,
            platform_message_id: None,
            campaign: some(&self.campaign),
            template: some(&self.template),
            state,
            delivery,
            reached,
            failure_code,
            failure_reason,
            since,
            until,
            before: self.before.parse::<MessageId>().ok(),
        };
        Ok(Wanted { text: self.q.clone(), filter })
    }

    fn standing(&self) -> (Option<SendState>, Option<DeliveryStatus>, Option<DeliveryStatus>) {
        let state = STATES.into_iter().find(|state| self.status == value_of_state(*state));
        let delivery = DELIVERIES.into_iter().find(|delivery| self.status == value_of_delivery(*delivery));
        let reached = DeliveryStatus::WAY.into_iter().find(|step| self.status == value_of_step(*step));
        (state, delivery, reached)
    }

    fn at(&self, before: MessageId) -> String {
        let next = Self { before: before.to_string(), ..self.clone() };
        let fields: BTreeMap<String, String> = serde_json::to_value(next)
            .and_then(serde_json::from_value)
            .expect("a form is names with texts, as a query is");
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(fields.iter().filter(|(_, value)| !value.is_empty()));
        format!("/console/messages?{}", query.finish())
    }
}

pub(super) fn some(text: &str) -> Option<String> {
    Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn value_of_state(state: SendState) -> String {
    format!("state-{}", state.as_str())
}

fn value_of_delivery(delivery: DeliveryStatus) -> String {
    format!("delivery-{}", delivery.as_str())
}

fn value_of_step(step: DeliveryStatus) -> String {
    format!("reached-{}", step.as_str())
}

/// As a browser's field for a time has it, with or without seconds.
pub(super) fn time(text: &str) -> Result<Option<UnixMillis>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let formats = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%.f"];
    let read = formats.into_iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    let wrong = || format!("{text} is no time: write it like 2026-11-21T09:30");
    Ok(Some(UnixMillis(read.ok_or_else(wrong)?.and_utc().timestamp_millis())))
}

/// `GET /console/messages`
pub(super) async fn list(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    form: Query<SearchForm>,
) -> Result<HttpResponse, Trouble> {
    let form = form.into_inner();
    let snapshot = parts.directory.snapshot();
    let results = results(&parts, &snapshot, &visitor.actor, &form).await?;
    if wants_part(&request) {
        return if request.headers().contains_key("x-more") {
            page(&MoreRows { rows: results.rows, next: results.next, is_first: false })
        } else {
            page(&results)
        };
    }
    let accounts = snapshot.account_ids();
    let numbers = snapshot.business_numbers();
    let frame = Frame::new(&request, &visitor, "Messages", "/console/messages");
    page(&Page { frame, form, statuses: statuses(), reasons: reasons(), accounts, numbers, results })
}

fn reasons() -> Vec<StatusOption> {
    let option = |reason: FailureReason| StatusOption { value: reason.as_str().to_owned(), name: reason_words(reason) };
    FailureReason::ALL.into_iter().map(option).collect()
}

/// Why a message failed, in words.
pub(super) fn reason_words(reason: FailureReason) -> String {
    sentence(&reason.as_str().replace('_', " ")).trim_end_matches('.').to_owned()
}

fn statuses() -> Vec<StatusOption> {
    let steps = DeliveryStatus::WAY
        .into_iter()
        .map(|step| StatusOption { value: value_of_step(step), name: format!("reached: {}", step.as_str()) });
    let deliveries = DELIVERIES.into_iter().map(|delivery| StatusOption {
        value: value_of_delivery(delivery),
        name: Status::of_delivery(delivery).name.to_owned(),
    });
    let states = STATES
        .into_iter()
        .map(|state| StatusOption { value: value_of_state(state), name: Status::of_state(state).name.to_owned() });
    deliveries.chain(states).chain(steps).collect()
}

async fn results(parts: &Parts, snapshot: &Snapshot, actor: &Actor, form: &SearchForm) -> Result<Results, Trouble> {
    let is_first = form.before.is_empty();
    let searched = form.is_filtered() || !form.q.trim().is_empty();
    let wrong = |text: String| Results {
        wrong: Some(sentence(&text)),
        rows: vec![],
        next: None,
        is_first,
        searched,
        refused: None,
    };
    let wanted = match form.wanted(snapshot) {
        Ok(wanted) => wanted,
        Err(text) => return Ok(wrong(text)),
    };
    let found = match search::search(&parts.store, snapshot, actor, wanted, LINES_PER_PAGE).await {
        Ok(found) => found,
        Err(Refusal::Invalid { text, .. }) => return Ok(wrong(text)),
        Err(refusal) => return Err(refusal.into()),
    };
    let FoundMessages { messages, next } = found;
    let is_full = messages.len() >= LINES_PER_PAGE;
    let next = next.map(|next| NextPage { href: form.at(next), goes_on: !is_full, back_to: long_time(next.made_at()) });
    let refused = match messages.is_empty() && next.is_none() && is_first && !form.q.trim().is_empty() {
        true => parts.store.refused_with(form.q.trim()).await?.into_iter().next(),
        false => None,
    };
    let refused = refused.map(|refused| format!("{} UTC, {}", long_time(refused.at), redact::text(&refused.answer)));
    let rows = messages.iter().map(|message| row(snapshot, actor, message)).collect();
    Ok(Results { wrong: None, rows, next, is_first, searched, refused })
}

fn row(snapshot: &Snapshot, actor: &Actor, message: &StoredMessage) -> Row {
    let at = message.id.made_at();
    Row {
        id: message.id.to_string(),
        at: short_time(at),
        seconds: seconds(at),
        at_iso: at.to_string(),
        to: masking::number(actor, &message.recipient),
        status: Status::of(message.state, message.delivery),
        template: content_name(message),
        number: snapshot.sender(message.sender).map_or("?", |sender| sender.number.as_e164()).to_owned(),
        account: snapshot.account_by_key(message.account).map_or("?", |account| account.id.as_str()).to_owned(),
        why: message.failure.as_ref().map(|failure| masking::text(actor, &failure.text)).unwrap_or_default(),
    }
}

/// Its template, or that it has none.
pub(super) fn content_name(message: &StoredMessage) -> String {
    match (&message.template, message.category) {
        (Some((name, language)), _) => format!("{name} ({language})"),
        (None, Category::Freeform) => "freeform".to_owned(),
        (None, Category::Authentication | Category::Utility | Category::Marketing | Category::NotKnownYet) => {
            message.category.as_str().to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_browsers_write_them() {
        let read = |text| time(text).map(|at| at.map(|at| at.to_string()));
        assert_eq!(read("2026-11-21T09:30"), Ok(Some("2026-11-21T09:30:00.000Z".to_owned())));
        assert_eq!(read("2026-11-21T09:30:07"), Ok(Some("2026-11-21T09:30:07.000Z".to_owned())));
        assert_eq!(read(" "), Ok(None));
        assert!(read("yesterday").is_err());
    }

    #[test]
    fn the_next_page_is_asked_for_with_all_that_stands_in_the_form() {
        // A field that is new has to be named here.
        let form = SearchForm {
            q: "+91 98765".to_owned(),
            status: "reached-sent".to_owned(),
            account: "acme".to_owned(),
            number: "+918880110022".to_owned(),
            template: "order_update".to_owned(),
            campaign: "1790000000".to_owned(),
            code: "131026".to_owned(),
            reason: "unreachable".to_owned(),
            since: "2026-11-21T09:30".to_owned(),
            until: "2026-11-21T10:30".to_owned(),
            before: "the page before".to_owned(),
        };
        let at = form.at(MessageId(1));
        let query = at.strip_prefix("/console/messages?").expect("the list");
        let read = |form: &SearchForm| serde_json::to_value(form).expect("texts");
        let next = Query::<SearchForm>::from_query(query).expect("it is one of ours").into_inner();
        assert_eq!(read(&next), read(&SearchForm { before: MessageId(1).to_string(), ..form }));
        let few = SearchForm { q: "+91 98765".to_owned(), ..SearchForm::default() };
        assert!(few.at(MessageId(1)).ends_with("&q=%2B91+98765"), "and nothing empty");
    }
}
