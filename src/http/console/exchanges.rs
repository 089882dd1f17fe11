//! What was said to all callback URLs together, those of CleverTap and those of webhooks: also behind the figures that count it.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, LINES_PER_PAGE, Trouble, Visitor,
    asked::{self, Query, Wrong, some},
    callback_choice::{Choices, ChosenUrls, account_of, url_name},
    callback_exchanges::{CODE, EXCHANGE, ExchangeRow, Next, dead_like_this, exchange_row, outcome_choices, outcomes},
    callbacks::{self, Choice},
    frame::{long_time, wants_part},
    page,
};
use crate::{
    clock,
    domain::{
        ids::MessageId,
        operator::{Actor, Permission},
        words::lasting,
    },
    http::Parts,
    services::{callback_events::Chosen, directory::Snapshot, operators::require},
    store::exchanges::{ExchangeFilter, FoundExchanges, StoredExchange},
};

pub(super) const PATH: &str = "/console/callbacks/exchanges";

#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ExchangesForm {
    account: String,
    /// CleverTap's URLs, or webhooks'.
    of: String,
    /// A URL by its number.
    url: String,
    kind: String,
    outcome: String,
    code: String,
    text: String,
    since: String,
    until: String,
    /// The last exchange of the page before.
    before: String,
}

#[derive(Template)]
#[template(path = "console/exchanges.html")]
struct Page {
    frame: Frame,
    form: ExchangesForm,
    here: &'static str,
    choices: Choices,
    outcomes: Vec<Choice>,
    may_search_text: bool,
    results: Results,
}

/// What was found, or why nothing was looked for.
#[derive(Template)]
#[template(path = "console/exchanges_results.html")]
struct Results {
    wrong: Option<String>,
    /// How long exchanges are kept, when older ones are asked for.
    kept: Option<String>,
    rows: Vec<Row>,
    next: Option<Next>,
    /// Where what is dead because of such an answer stands.
    dead: Option<(String, String)>,
}

struct Row {
    exchange: ExchangeRow,
    account: String,
    /// What the URL hears of.
    name: String,
    /// The URL, while it is configured.
    url: Option<String>,
}

/// `GET /console/callbacks/exchanges`
pub(super) async fn list(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    form: Query<ExchangesForm>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ReadMessages)?;
    let form = form.into_inner();
    let snapshot = parts.directory.snapshot();
    let results = match form.filter(&visitor.actor, &snapshot) {
        Err(wrong) => Results { wrong: Some(wrong.said()), kept: None, rows: vec![], next: None, dead: None },
        Ok((chosen, filter)) => {
            let found = parts.store.exchanges_of_urls(&chosen.stored(), &filter, LINES_PER_PAGE).await?;
            let age = parts.settings.retention.attempts;
            let kept = filter.since.filter(|since| clock::now().since(*since) > age).map(|_| lasting(age));
            Results { kept, ..results(&visitor.actor, &snapshot, &form, &found) }
        }
    };
    if wants_part(&request) {
        return page(&results);
    }
    page(&Page {
        frame: Frame::new(&request, &visitor, "Callback exchanges", callbacks::PATH),
        here: "exchanges",
        choices: Choices::of(&snapshot, &form.urls()),
        outcomes: outcome_choices(),
        may_search_text: visitor.actor.may(Permission::ReadPersonal),
        form,
        results,
    })
}

fn results(actor: &Actor, snapshot: &Snapshot, form: &ExchangesForm, found: &FoundExchanges) -> Results {
    let is_full = found.exchanges.len() >= LINES_PER_PAGE;
    let next = found
        .next
        .map(|next| Next { href: form.at(next), back_to: (!is_full).then(|| long_time(MessageId(next).made_at())) });
    let rows = found.exchanges.iter().map(|exchange| row(actor, snapshot, exchange)).collect();
    let dead = dead_like_this(&form.code, callbacks::EVENTS_PATH, &form.urls().fields());
    Results { wrong: None, kept: None, rows, next, dead }
}

fn row(actor: &Actor, snapshot: &Snapshot, exchange: &StoredExchange) -> Row {
    let shown = exchange_row(actor, exchange);
    let url = snapshot.subscriptions_ever().find(|one| one.key == exchange.subscription);
    let Some(url) = url else {
        let name = "a URL that was taken out".to_owned();
        return Row { exchange: ExchangeRow { href: None, ..shown }, account: String::new(), name, url: None };
    };
    Row {
        exchange: shown,
        account: account_of(snapshot, url),
        name: url_name(snapshot, url),
        url: Some(format!("{}/{}", callbacks::PATH, url.key)),
    }
}

impl ExchangesForm {
    /// Of whom, and what is looked for; `Err` says what to change.
    fn filter(&self, actor: &Actor, snapshot: &Snapshot) -> Result<(Chosen, ExchangeFilter), Wrong> {
        let chosen = self.urls().read(snapshot)?;
        let (since, until) = asked::span(&self.since, &self.until)?;
        let filter = ExchangeFilter {
            outcomes: outcomes(&self.outcome)?,
            without_tests: true,
            http_status: asked::read("code", &self.code, CODE)?,
            // By trying texts out, a number in one could be found.
            text: some(&self.text).filter(|_| actor.may(Permission::ReadPersonal)),
            since,
            until,
            before: asked::read("before", &self.before, EXCHANGE)?,
            ..ExchangeFilter::default()
        };
        Ok((chosen, filter))
    }

    fn urls(&self) -> ChosenUrls<'_> {
        ChosenUrls { account: &self.account, of: &self.of, url: &self.url, kind: &self.kind }
    }

    fn at(&self, before: i64) -> String {
        let before = before.to_string();
        let fields = [
            ("outcome", &*self.outcome),
            ("code", &self.code),
            ("text", &self.text),
            ("since", &self.since),
            ("until", &self.until),
            ("before", &before),
        ];
        asked::address(PATH, self.urls().fields().into_iter().chain(fields))
    }
}
