//! Finding a message.

use std::collections::BTreeSet;

use actix_web::{HttpRequest, HttpResponse, web::Data};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, LINES_PER_PAGE, Trouble, Visitor,
    asked::{self, Query, Wrong, some},
    campaigns,
    frame::{long_time, price_words, seconds, sentence, short_time, wants_part},
    page,
};
use crate::{
    domain::{
        failure::{FailureReason, SaidBy},
        ids::MessageId,
        operator::Actor,
        outbound::{Category, SendState},
        price::{Price, PriceCategory},
        status::DeliveryStatus,
    },
    http::Parts,
    net::redact,
    platforms,
    services::{
        directory::Snapshot,
        masking,
        operators::Refusal,
        search::{self, StatusWord, Wanted},
    },
    store::{
        search::{FoundMessages, MessageSearch, Stage},
        story::StoredMessage,
    },
};

/// The page in the navigation.
pub(super) const PATH: &str = "/console/messages";

/// In the field of the code: of those that WhatsApp gave none.
pub(super) const NO_CODE: &str = "none";

/// In the field of what is billed.
pub(super) fn billed_word(billable: bool) -> &'static str {
    if billable { "yes" } else { "no" }
}

/// What stands in the form.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
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
    /// When it was last handed to WhatsApp.
    sent_since: String,
    sent_until: String,
    /// A calling code.
    country: String,
    price: String,
    billed: String,
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
    prices: Vec<StatusOption>,
    accounts: Vec<String>,
    numbers: Vec<String>,
    results: Results,
}

/// What was found, or why nothing was looked for.
#[derive(Template)]
#[template(path = "console/messages_results.html")]
struct Results {
    wrong: Option<String>,
    /// Campaigns of which what was typed is the number: account and address.
    campaigns: Vec<(String, String)>,
    rows: Vec<Row>,
    next: Option<NextPage>,
    is_first: bool,
    searched: bool,
    /// Something was looked for by itself, not by a filter.
    has_words: bool,
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

/// Where a list goes on.
pub(super) struct NextPage {
    pub(super) href: String,
    /// Not enough was found in the time, so the page goes on by itself.
    pub(super) goes_on: bool,
    pub(super) back_to: String,
}

/// How a message stands, in a word and a colour.
pub(super) struct Status {
    pub(super) name: &'static str,
    pub(super) tone: &'static str,
}

impl Status {
    pub(super) fn of(state: SendState, delivery: Option<DeliveryStatus>) -> Self {
        match (state, delivery) {
            // CleverTap is told that it failed, because it knows no other word.
            (SendState::Cancelled, Some(DeliveryStatus::Failed)) | (_, None) => Self::of_state(state),
            (_, Some(delivery)) => Self::of_delivery(delivery),
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

impl SearchForm {
    fn fields(&self) -> [(&'static str, &str); 15] {
        // Taken apart, so that none is forgotten.
        let Self { q, status, account, number, template, campaign, code, reason, since, until, .. } = self;
        let Self { sent_since, sent_until, country, price, billed, .. } = self;
        [
            ("q", q),
            ("status", status),
            ("account", account),
            ("number", number),
            ("template", template),
            ("campaign", campaign),
            ("code", code),
            ("reason", reason),
            ("since", since),
            ("until", until),
            ("sent_since", sent_since),
            ("sent_until", sent_until),
            ("country", country),
            ("price", price),
            ("billed", billed),
        ]
    }

    /// Whether the filters are to be seen.
    fn is_filtered(&self) -> bool {
        self.fields().into_iter().skip(1).any(|(_, text)| !text.is_empty())
    }

    /// What is looked for; `Err` says what to change.
    fn wanted(&self, snapshot: &Snapshot) -> Result<Wanted, Wrong> {
        let (since, until) = asked::span(&self.since, &self.until)?;
        let without_code = self.code.trim() == NO_CODE;
        let code = if without_code { "" } else { &self.code };
        let category = asked::one_of("price", &self.price, &PriceCategory::ALL, PriceCategory::as_str)?;
        let billable = asked::one_of("billed", &self.billed, &[true, false], billed_word)?;
        let mut filter = MessageSearch {
            account: asked::account(snapshot, &self.account)?,
            sender: asked::sender(snapshot, &self.number)?,
            campaign: some(&self.campaign),
            template: some(&self.template),
            failure_code: asked::read("code", code, "an error code, a number such as 131026 or 1005, or none")?,
            without_code,
            failure_reason: asked::one_of("reason", &self.reason, &FailureReason::ALL, FailureReason::as_str)?,
            since,
            until,
            sent_since: asked::time("sent_since", &self.sent_since)?,
            sent_until: asked::time("sent_until", &self.sent_until)?,
            calling_code: self.calling_code()?,
            prices: Price::among(category, billable),
            before: asked::read("before", &self.before, "a message’s id, as a list’s next page has it")?,
            ..MessageSearch::default()
        };
        if let Some(status) = self.status()? {
            status.narrow(&mut filter);
        }
        Ok(Wanted { text: self.q.clone(), filter })
    }

    fn status(&self) -> Result<Option<StatusWord>, Wrong> {
        let status = some(&self.status).map(|word| StatusWord::named(&word)).transpose();
        status.map_err(|why| Wrong::of("status", why))
    }

    fn calling_code(&self) -> Result<Option<String>, Wrong> {
        let country = some(&self.country).map(|text| search::calling_code(&text)).transpose();
        country.map_err(|why| Wrong::of("country", why))
    }

    fn at(&self, before: MessageId) -> String {
        let before = before.to_string();
        asked::address(PATH, self.fields().into_iter().chain([("before", &*before)]))
    }
}

/// `GET /console/messages`
pub(super) async fn list(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    form: Query<SearchForm>,
) -> Result<HttpResponse, Trouble> {
    let mut form = form.into_inner();
    // An older link has another word for it.
    if let Ok(Some(status)) = form.status() {
        form.status = status.word();
    }
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
    let frame = Frame::new(&request, &visitor, "Messages", PATH);
    page(&Page { frame, form, statuses: statuses(), reasons: reasons(), prices: prices(), accounts, numbers, results })
}

fn reasons() -> Vec<StatusOption> {
    let option = |reason: FailureReason| StatusOption { value: reason.as_str().to_owned(), name: reason_words(reason) };
    FailureReason::ALL.into_iter().map(option).collect()
}

/// Whose words a failure's text is, as far as it is known.
pub(super) fn said_by_words(said_by: Option<SaidBy>) -> &'static str {
    match said_by {
        Some(SaidBy::Provider) => "WhatsApp",
        Some(SaidBy::Bridge) => "the bridge",
        None => "",
    }
}

/// Why a message failed, in words.
pub(super) fn reason_words(reason: FailureReason) -> String {
    sentence(&reason.as_str().replace('_', " ")).trim_end_matches('.').to_owned()
}

fn statuses() -> Vec<StatusOption> {
    let name = |status: StatusWord| match status {
        StatusWord::Delivery(delivery) => Status::of_delivery(delivery).name.to_owned(),
        StatusWord::State(state) => Status::of_state(state).name.to_owned(),
        StatusWord::Reached(step) => format!("reached: {}", step.as_str()),
        StatusWord::Stage(stage) => stage_name(stage).to_owned(),
    };
    StatusWord::all().map(|status| StatusOption { value: status.word(), name: name(status) }).collect()
}

/// A stage for people.
fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Silent => "taken, no news yet",
        Stage::Open => "still open",
        Stage::FailedAfterSent => "failed after it was sent",
        Stage::InQueue => "waiting: may leave now",
        Stage::Later => "waiting: for later",
        Stage::Retry => "waiting: for another try",
        Stage::Paused => "waiting: paused",
        Stage::BeyondLimit => "waiting: beyond the limit",
        Stage::AwaitsEvidence => "waiting: for evidence",
    }
}

fn prices() -> Vec<StatusOption> {
    let option = |price: PriceCategory| StatusOption { value: price.as_str().to_owned(), name: price_words(price) };
    PriceCategory::ALL.into_iter().map(option).collect()
}

async fn results(parts: &Parts, snapshot: &Snapshot, actor: &Actor, form: &SearchForm) -> Result<Results, Trouble> {
    let is_first = form.before.is_empty();
    let has_words = !form.q.trim().is_empty();
    let searched = form.is_filtered() || has_words;
    let wrong = |said: String| Results {
        wrong: Some(said),
        campaigns: vec![],
        rows: vec![],
        next: None,
        is_first,
        searched,
        has_words,
        refused: None,
    };
    let wanted = match form.wanted(snapshot) {
        Ok(wanted) => wanted,
        Err(odd) => return Ok(wrong(odd.said())),
    };
    let found = match search::search(&parts.store, snapshot, actor, wanted, LINES_PER_PAGE).await {
        Ok(found) => found,
        Err(Refusal::Invalid { text, .. }) => return Ok(wrong(sentence(&text))),
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
    let campaigns = campaigns_named(snapshot, form.q.trim(), &messages);
    Ok(Results { wrong: None, campaigns, rows, next, is_first, searched, has_words, refused })
}

/// Those of the messages that have this number.
fn campaigns_named(snapshot: &Snapshot, text: &str, messages: &[StoredMessage]) -> Vec<(String, String)> {
    let named = messages.iter().filter_map(|message| {
        let account = snapshot.account_by_key(message.account)?;
        let grouping = platforms::find(&account.platform)?.grouping(&message.platform_message_id)?;
        (grouping.campaign == text).then(|| (account.id.clone(), campaigns::path_of(&account.id, text)))
    });
    named.collect::<BTreeSet<_>>().into_iter().collect()
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
    fn the_next_page_is_asked_for_with_all_that_stands_in_the_form() {
        let text = |text: &str| text.to_owned();
        let form = SearchForm {
            q: text("+91 98765"),
            status: text("reached-sent"),
            account: text("acme"),
            number: text("+918880110022"),
            template: text("order_update"),
            campaign: text("1790000000"),
            code: text("131026"),
            reason: text("unreachable"),
            since: text("2026-11-21T09:30"),
            until: text("2026-11-21T10:30"),
            sent_since: text("2026-11-21T09:31:07"),
            sent_until: text("2026-11-21T09:31:08"),
            country: text("+91"),
            price: text("marketing"),
            billed: text("yes"),
            before: text("the page before"),
        };

        let at = form.at(MessageId(1));

        let query = at.strip_prefix("/console/messages?").expect("the list");
        let next: SearchForm = crate::http::query::read(query, &[]).expect("it is one of ours");
        assert_eq!((next.fields(), &next.before), (form.fields(), &MessageId(1).to_string()));
        let few = SearchForm { q: text("+91 98765"), ..SearchForm::default() };
        assert!(few.at(MessageId(1)).starts_with("/console/messages?q=%2B91+98765&before="), "and nothing empty");
    }
}
