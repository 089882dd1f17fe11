//! What was said to all callback URLs of CleverTap together: behind the figures that count it.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, LINES_PER_PAGE, Trouble, Visitor,
    asked::{self, Query, Wrong},
    callback_exchanges::{CODE, EXCHANGE, ExchangeRow, Next, exchange_row, outcome_choices, outcomes},
    callbacks::{self, Choice, kind_name},
    frame::{long_time, wants_part},
    page,
};
use crate::{
    clock,
    domain::{
        ids::{AccountKey, MessageId},
        operator::{Actor, Permission},
        words::lasting,
    },
    http::Parts,
    services::{directory::Snapshot, operators::require},
    store::exchanges::{ExchangeFilter, FoundExchanges, StoredExchange},
};

pub(super) const PATH: &str = "/console/callbacks/exchanges";

#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ExchangesForm {
    account: String,
    outcome: String,
    code: String,
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
    accounts: Vec<String>,
    outcomes: Vec<Choice>,
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
    let results = match form.filter(&snapshot) {
        Err(wrong) => Results { wrong: Some(wrong.said()), kept: None, rows: vec![], next: None },
        Ok((account, filter)) => {
            let found = parts.store.platform_exchanges(account, &filter, LINES_PER_PAGE).await?;
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
        accounts: snapshot.account_ids(),
        outcomes: outcome_choices(),
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
    Results { wrong: None, kept: None, rows, next }
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
        account: snapshot.account_by_key(url.account).map_or("?", |account| account.id.as_str()).to_owned(),
        name: kind_name(url.kind).to_owned(),
        url: Some(format!("{}/{}", callbacks::PATH, url.key)),
    }
}

impl ExchangesForm {
    /// Of whom, and what is looked for; `Err` says what to change.
    fn filter(&self, snapshot: &Snapshot) -> Result<(Option<AccountKey>, ExchangeFilter), Wrong> {
        let account = asked::account(snapshot, &self.account)?;
        let (since, until) = asked::span(&self.since, &self.until)?;
        let filter = ExchangeFilter {
            outcomes: outcomes(&self.outcome)?,
            without_tests: true,
            http_status: asked::read("code", &self.code, CODE)?,
            since,
            until,
            before: asked::read("before", &self.before, EXCHANGE)?,
            ..ExchangeFilter::default()
        };
        Ok((account, filter))
    }

    fn at(&self, before: i64) -> String {
        let Self { account, outcome, code, since, until, before: _ } = self;
        let before = before.to_string();
        let fields = [
            ("account", &**account),
            ("outcome", outcome),
            ("code", code),
            ("since", since),
            ("until", until),
            ("before", &before),
        ];
        asked::address(PATH, fields)
    }
}
