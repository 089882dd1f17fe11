//! Every account, and adding one. What belongs to one account is in [`account_connect`] (what CleverTap is given, and gives) and
//! [`account_settings`] (how its messages are treated).

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{self, Bytes, Data, ServiceConfig},
};
use askama::Template;
use serde_json::json;

use super::{
    Frame, Trouble, Visitor, account_connect, account_settings,
    asked::NoQuery,
    callbacks::{kind_name, status_of},
    fields::{Entered, Field, FieldPart, Filled, Input},
    messages::Status,
    page, page_as, see_other,
};
use crate::{
    domain::{callback::EventKind, operator::Permission},
    http::Parts,
    platforms,
    services::{
        callbacks::{self, UrlFilter, UrlStanding, UrlState},
        operators::{FieldProblem, Refusal, require},
    },
    store::configuration::Configuration,
};

pub(super) const PATH: &str = "/console/accounts";

/// Everything under `/console/accounts`, and the form for a new one.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/accounts", web::get().to(list))
        .route("/accounts", web::post().to(add))
        .route("/new-account", web::get().to(new))
        .route("/accounts/{id}", web::get().to(account_connect::show))
        .route("/accounts/{id}/callback-urls", web::post().to(account_connect::save_urls))
        .route("/accounts/{id}/test-callback", web::post().to(account_connect::test))
        .route("/accounts/{id}/passcode", web::post().to(account_connect::rotate))
        .route("/accounts/{id}/settings", web::get().to(account_settings::show))
        .route("/accounts/{id}/settings", web::post().to(account_settings::save));
}

#[derive(Template)]
#[template(path = "console/accounts.html")]
struct Page {
    frame: Frame,
    accounts: Vec<Row>,
    may_change: bool,
}

struct Row {
    id: String,
    name: String,
    platform: String,
    enabled: bool,
    numbers: Vec<String>,
    urls: Vec<Url>,
    /// How many of its callback URLs need somebody, those of webhooks among them.
    failing: usize,
}

struct Url {
    name: &'static str,
    state: Status,
}

#[derive(Template)]
#[template(path = "console/account_new.html")]
struct NewPage {
    frame: Frame,
    fields: Vec<FieldPart>,
    is_wrong: bool,
    wrong: Vec<String>,
}

/// `GET /console/accounts`
pub(super) async fn list(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    _: NoQuery,
) -> Result<HttpResponse, Trouble> {
    let stored = parts.configuring.stored(&visitor.actor).await?;
    let standings =
        callbacks::urls(&parts.store, &parts.directory.snapshot(), &visitor.actor, &UrlFilter::default()).await?;
    let mut accounts: Vec<Row> = rows(&stored, &standings);
    accounts.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
    let frame = Frame::new(&request, &visitor, "Accounts", PATH);
    page(&Page { frame, accounts, may_change: visitor.actor.may(Permission::ManageConfiguration) })
}

fn rows(stored: &Configuration, standings: &[UrlStanding]) -> Vec<Row> {
    let row = |account: &crate::domain::account::Account| {
        let senders = stored.senders.iter().filter(|sender| sender.account == account.key);
        Row {
            id: account.id.clone(),
            name: account.name.clone(),
            platform: account.platform.clone(),
            enabled: account.enabled,
            numbers: senders.map(|sender| sender.number.as_e164().to_owned()).collect(),
            urls: [EventKind::Status, EventKind::Inbound]
                .map(|kind| Url { name: kind_name(kind), state: worst(stored, account.key, kind, standings) })
                .into(),
            failing: standings.iter().filter(|url| url.account == account.id && url.state != UrlState::Works).count(),
        }
    };
    stored.accounts.iter().map(row).collect()
}

/// How the URLs of one kind stand, the account's own and those of its numbers.
fn worst(
    stored: &Configuration,
    account: crate::domain::ids::AccountKey,
    kind: EventKind,
    standings: &[UrlStanding],
) -> Status {
    let mut own = stored.subscriptions.iter().filter(|one| one.account == account && one.kind == kind).peekable();
    if own.peek().is_none() {
        return Status { name: "none", tone: "warn" };
    }
    let urls = own.filter_map(|one| standings.iter().find(|url| url.subscription.key == one.key));
    let order = |state: UrlState| UrlState::ALL.iter().position(|one| *one == state);
    // That one of them works says more than that another was told nothing yet.
    let worst = urls.max_by_key(|url| (order(url.state), url.last.is_some()));
    worst.map_or(Status { name: "not used yet", tone: "plain" }, status_of)
}

/// What a new account needs; everything else has a default.
fn fields() -> Vec<Field> {
    vec![
        Field::new("id", "Id", Input::Text)
            .placeholder("acme")
            .hint("a-z, 0-9 and -. It is part of the URLs and cannot change."),
        Field::new("name", "Name", Input::Text).placeholder("Acme Retail").hint("For people."),
        Field::new("clevertap_account_id", "CleverTap account ID", Input::Text)
            .placeholder("TEST-ACC-1")
            .hint("That of your CleverTap project. CleverTap will send it in a header."),
        Field::new("clevertap_passcode", "Passcode", Input::Secret)
            .hint("CleverTap will send it in another header. Leave it empty, and one is made for you."),
        Field::new("default_country", "Default country", Input::Text)
            .placeholder("IN")
            .hint("Two letters; for telephone numbers without a country code."),
        Field::new("time_zone", "Time zone", Input::Text)
            .placeholder("UTC")
            .hint("Whose clock quiet hours go by, like Asia/Kolkata."),
    ]
}

/// `GET /console/new-account`
pub(super) async fn new(request: HttpRequest, visitor: Visitor) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ManageConfiguration)?;
    page(&new_page(&request, &visitor, &Filled::default()))
}

/// `POST /console/accounts`: a passcode that was made is shown once, because it is nowhere to be had again.
pub(super) async fn add(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    body: Bytes,
) -> Result<HttpResponse, Trouble> {
    let entered = Entered::read(&body);
    let mut patch = entered.patch(&fields());
    // There is no choice yet.
    patch.extend(platforms::ALL.first().map(|platform| ("platform".to_owned(), json!(platform.slug()))));
    match parts.accounts.add(&visitor.actor, &patch).await {
        Ok(added) => match (&added.written.seen.subject, added.made) {
            (_, Some(made)) => account_connect::with_secret(&request, &parts, &visitor, added.written.seen, made).await,
            (subject, None) => {
                let id = account_connect::id_of(subject);
                Ok(see_other(&format!("{PATH}/{id}?done=account-added")))
            }
        },
        Err(Refusal::Problems(problems)) => {
            let problems = problems.into_iter().map(plainer).collect();
            let filled = Filled::with(None, Some(entered), problems);
            page_as(StatusCode::UNPROCESSABLE_ENTITY, &new_page(&request, &visitor, &filled))
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// The rule, as somebody reads it who has a form before the eyes.
fn plainer(problem: FieldProblem) -> FieldProblem {
    match problem.field.as_str() {
        "clevertap_account_id" if problem.message.starts_with("is missing") => {
            FieldProblem::new(problem.field, "is missing: it goes with the passcode")
        }
        _ => problem,
    }
}

fn new_page(request: &HttpRequest, visitor: &Visitor, filled: &Filled) -> NewPage {
    let fields = fields();
    NewPage {
        frame: Frame::new(request, visitor, "New account", PATH),
        is_wrong: filled.is_wrong(),
        wrong: filled.elsewhere(&fields),
        fields: filled.parts(&fields),
    }
}
