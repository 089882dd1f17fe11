//! What was said to a callback URL, and what it answered: the trial history, the newest first.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path},
};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, LINES_PER_PAGE, Trouble, Visitor,
    asked::{self, Query, Wrong, some},
    callback_url::{Head, head, title},
    callbacks::{Choice, PATH},
    frame::{long_time, seconds, short_time, wants_part},
    messages::Status,
    page,
};
use crate::{
    domain::{
        attempt::{AnswerExcerpt, AttemptOutcome, WantedOutcome},
        ids::MessageId,
        operator::{Actor, Permission},
        words::{counted, thousands},
    },
    http::Parts,
    services::{callbacks, masking},
    store::exchanges::{ExchangeFilter, FoundExchanges, StoredExchange},
};

#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ExchangeForm {
    outcome: String,
    code: String,
    text: String,
    replay: String,
    since: String,
    until: String,
    /// The last exchange of the page before.
    before: String,
}

#[derive(Template)]
#[template(path = "console/callback_exchanges.html")]
struct Page {
    frame: Frame,
    head: Head,
    form: ExchangeForm,
    outcomes: Vec<Choice>,
    may_search_text: bool,
    results: Results,
}

/// What was found, or why nothing was looked for.
#[derive(Template)]
#[template(path = "console/callback_exchanges_results.html")]
struct Results {
    wrong: Option<String>,
    exchanges: Vec<ExchangeRow>,
    next: Option<Next>,
    /// Where what is dead because of such an answer stands.
    dead: Option<(String, String)>,
}

pub(super) struct Next {
    pub(super) href: String,
    /// It stopped looking because of the time, and not because the page is full.
    pub(super) back_to: Option<String>,
}

pub(super) struct ExchangeRow {
    pub(super) at: String,
    /// Beyond the minute, which has no place on a phone.
    pub(super) seconds: String,
    pub(super) at_iso: String,
    pub(super) status: Status,
    pub(super) answer: String,
    pub(super) note: String,
    /// Of a webhook, where it answered.
    pub(super) excerpt: Option<AnswerExcerpt>,
    pub(super) events: String,
    pub(super) took: String,
    pub(super) replay: Option<i32>,
    /// Its events.
    pub(super) href: Option<String>,
}

/// `GET /console/callbacks/{url}/exchanges`
pub(super) async fn list(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    key: Path<i32>,
    form: Query<ExchangeForm>,
) -> Result<HttpResponse, Trouble> {
    let (actor, form) = (&visitor.actor, form.into_inner());
    let snapshot = parts.directory.snapshot();
    let subscription = callbacks::subscription(&snapshot, actor, *key)?;
    let results = match form.filter(actor) {
        Err(wrong) => Results { wrong: Some(wrong.said()), exchanges: vec![], next: None, dead: None },
        Ok(filter) => {
            let found = parts.store.exchanges(subscription.key, &filter, LINES_PER_PAGE).await?;
            results(actor, *key, &form, &found)
        }
    };
    if wants_part(&request) {
        return page(&results);
    }
    let url = callbacks::url(&parts.store, &snapshot, actor, *key).await?;
    page(&Page {
        frame: Frame::new(&request, &visitor, title(&url), PATH),
        head: head(&url, "exchanges"),
        form,
        outcomes: outcome_choices(),
        may_search_text: actor.may(Permission::ReadPersonal),
        results,
    })
}

fn results(actor: &Actor, key: i32, form: &ExchangeForm, found: &FoundExchanges) -> Results {
    let is_full = found.exchanges.len() >= LINES_PER_PAGE;
    let next = found.next.map(|next| Next {
        href: form.at(key, next),
        back_to: (!is_full).then(|| long_time(MessageId(next).made_at())),
    });
    let exchanges = found.exchanges.iter().map(|exchange| exchange_row(actor, exchange)).collect();
    let dead = dead_like_this(&form.code, &format!("{PATH}/{key}/events"), &[]);
    Results { wrong: None, exchanges, next, dead }
}

pub(super) fn outcome_choices() -> Vec<Choice> {
    let name = |wanted| match wanted {
        WantedOutcome::Succeeded => "taken",
        WantedOutcome::Failed => "not taken",
        WantedOutcome::Refused => "refused",
        WantedOutcome::NoAnswer => "no answer",
    };
    WantedOutcome::ALL.map(|wanted| Choice { value: wanted.as_str(), name: name(wanted) }).into()
}

/// The parameter `outcome`; none of them for any.
pub(super) fn outcomes(text: &str) -> Result<&'static [AttemptOutcome], Wrong> {
    let wanted = asked::one_of("outcome", text, &WantedOutcome::ALL, WantedOutcome::as_str)?;
    Ok(wanted.map_or(&[], WantedOutcome::outcomes))
}

impl ExchangeForm {
    /// What is looked for; `Err` says what to change.
    fn filter(&self, actor: &Actor) -> Result<ExchangeFilter, Wrong> {
        let (since, until) = asked::span(&self.since, &self.until)?;
        Ok(ExchangeFilter {
            outcomes: outcomes(&self.outcome)?,
            without_tests: false,
            http_status: asked::read("code", &self.code, CODE)?,
            // By trying texts out, a number in one could be found.
            text: some(&self.text).filter(|_| actor.may(Permission::ReadPersonal)),
            replay: asked::read("replay", &self.replay, "a replay’s number, such as 12")?,
            since,
            until,
            before: asked::read("before", &self.before, EXCHANGE)?,
        })
    }

    fn at(&self, key: i32, before: i64) -> String {
        let before = before.to_string();
        let fields = [
            ("outcome", &*self.outcome),
            ("code", &self.code),
            ("text", &self.text),
            ("replay", &self.replay),
            ("since", &self.since),
            ("until", &self.until),
            ("before", &before),
        ];
        asked::address(&format!("{PATH}/{key}/exchanges"), fields)
    }
}

/// Events that are dead since an answer with the code that is looked for: what to call them, and where they are told again.
pub(super) fn dead_like_this(code: &str, path: &str, fields: &[(&str, &str)]) -> Option<(String, String)> {
    let code = some(code)?;
    let of_it = [("state", "dead"), ("code", &*code)];
    let href = asked::address(path, fields.iter().copied().chain(of_it));
    Some((format!("Events that are dead since an HTTP {code}"), href))
}

/// How a response code is written.
pub(super) const CODE: &str = "a number such as 503";
/// How an exchange is named in the address of a list’s next page.
pub(super) const EXCHANGE: &str = "an exchange’s number, as a list’s next page has it";

pub(super) fn outcome_status(outcome: AttemptOutcome) -> Status {
    let (name, tone) = match outcome {
        AttemptOutcome::Succeeded => ("taken", "good"),
        AttemptOutcome::Refused => ("refused", "bad"),
        AttemptOutcome::NoAnswer => ("no answer", "bad"),
    };
    Status { name, tone }
}

pub(super) fn exchange_row(actor: &Actor, exchange: &StoredExchange) -> ExchangeRow {
    let answer = exchange.http_status.map_or_else(|| "no answer".to_owned(), |status| format!("HTTP {status}"));
    // The note of an answer begins with its status.
    let note = exchange.note.strip_prefix(&answer).unwrap_or(&exchange.note).trim_start_matches(':').trim();
    let events = i64::from(exchange.events);
    ExchangeRow {
        at: short_time(exchange.started_at),
        seconds: seconds(exchange.started_at),
        at_iso: exchange.started_at.to_string(),
        status: outcome_status(exchange.outcome),
        note: masking::text(actor, note),
        excerpt: exchange.excerpt.as_ref().map(|excerpt| masking::excerpt(actor, excerpt)),
        answer,
        events: if exchange.is_test() {
            "a test".to_owned()
        } else if events < 1_000 {
            counted(events, "event", "events")
        } else {
            format!("{} events", thousands(events))
        },
        took: format!("{} ms", thousands(i64::from(exchange.took_ms))),
        replay: exchange.replay,
        href: (!exchange.is_test()).then(|| {
            let (url, first, last) = (exchange.subscription, exchange.first.0, exchange.last.0);
            match exchange.events {
                1 => format!("{PATH}/{url}/events/{first}"),
                _ => format!("{PATH}/{url}/events?from_place={first}&to_place={last}"),
            }
        }),
    }
}
