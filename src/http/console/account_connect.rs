//! How one account and its platform know each other: what to enter at CleverTap, what to take from there, and whether it works.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Bytes, Data, Path},
};
use askama::Template;

use super::{
    Frame, Trouble, Visitor,
    accounts::PATH,
    callbacks::{KINDS, kind_name, status_of},
    fields::{Entered, Field, FieldPart, Filled, Input},
    form_parts::{outcome, to_change},
    frame::{long_time, sentence},
    messages::Status,
    page_as, see_other,
    shown::once,
};
use crate::{
    clock,
    domain::{account::Account, callback::EventKind, duration::written, operator::Permission, words::moment},
    http::Parts,
    platforms,
    services::{
        accounts::{TESTS_PER_MINUTE_MAX, TestedCallback},
        callbacks::{self, UrlFilter, UrlStanding},
        configure::{Seen, Subject, missing},
        operators::Refusal,
    },
    store::configuration::Configuration,
};

#[derive(Template)]
#[template(path = "console/account_connect.html")]
struct Page {
    frame: Frame,
    head: Head,
    /// The world cannot reach us by these URLs.
    no_public_url: bool,
    /// Fields of CleverTap's form, in its order.
    boxes: Vec<FormBox>,
    ways: Vec<Way>,
    import_url: String,
    import_secret: bool,
    numbers: Vec<Number>,
    version: String,
    urls: Vec<FieldPart>,
    urls_wrong: Vec<String>,
    is_wrong: bool,
    standing: Vec<Standing>,
    tests_per_minute: u32,
    tested: Option<Tested>,
    /// Why no test was sent.
    untested: Option<String>,
    passcode: Passcode,
    passcode_form: Filled,
    keep_choices: &'static [(&'static str, &'static str)],
    made: Option<String>,
    may_change: bool,
}

/// What stands above all pages of one account.
pub(super) struct Head {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) enabled: bool,
    /// Which of them this is.
    pub(super) here: &'static str,
}

/// A field of CleverTap's form.
struct FormBox {
    label: &'static str,
    value: String,
    /// What it says instead, or besides.
    note: String,
    /// Where what it says is done.
    href: Option<String>,
    may_copy: bool,
}

struct Way {
    name: &'static str,
    parts: Vec<WayPart>,
}

struct WayPart {
    name: String,
    /// `None`: a secret.
    value: Option<String>,
}

struct Number {
    number: String,
    digits: String,
    connection: String,
    held: bool,
}

struct Standing {
    kind: &'static str,
    name: &'static str,
    /// Where its page is; none when there is no such URL.
    href: Option<String>,
    url: String,
    state: Status,
}

struct Tested {
    name: &'static str,
    status: Status,
    url: String,
    at: String,
    took: String,
    sent: String,
    answer: String,
}

struct Passcode {
    is_set: bool,
    old_until: Option<String>,
}

/// For how long an old passcode is taken: seconds and name.
const KEEP_CHOICES: &[(&str, &str)] =
    &[("86400", "1 day"), ("3600", "1 hour"), ("604800", "7 days"), ("2592000", "30 days"), ("0", "not at all")];

/// What a page shows besides how things stand.
#[derive(Default)]
struct News {
    urls: Filled,
    tested: Option<TestedCallback>,
    untested: Option<String>,
    passcode: Filled,
    made: Option<String>,
    status: StatusCode,
}

/// `GET /console/accounts/{id}`
pub(super) async fn show(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    render(&request, &parts, &visitor, &id, News::default()).await
}

/// The page of an account that was added, with a passcode that was made for it.
pub(super) async fn with_secret(
    request: &HttpRequest,
    parts: &Parts,
    visitor: &Visitor,
    seen: Seen,
    made: String,
) -> Result<HttpResponse, Trouble> {
    tell(request, parts, visitor, id_of(&seen.subject), made).await
}

/// A passcode that was made is nowhere to be had again.
async fn tell(
    request: &HttpRequest,
    parts: &Parts,
    visitor: &Visitor,
    id: &str,
    made: String,
) -> Result<HttpResponse, Trouble> {
    let shown = account_page(request, parts, visitor, id, News { made: Some(made), ..News::default() }).await?;
    once(parts, visitor, &shown, &format!("{PATH}/{id}")).await
}

/// `POST /console/accounts/{id}/callback-urls`
pub(super) async fn save_urls(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    id: Path<String>,
    body: Bytes,
) -> Result<HttpResponse, Trouble> {
    let entered = Entered::read(&body);
    let (subject, patch) = (Subject::Account(id.clone()), entered.patch(&url_fields()));
    let saved = parts.configuring.change(&visitor.actor, &subject, &patch, Some(entered.text("version"))).await;
    let Some((status, problems)) = to_change(saved, "account")? else {
        return Ok(see_other(&format!("{PATH}/{id}?done=saved")));
    };
    let seen = parts.configuring.see(&visitor.actor, &subject).await?;
    let urls = Filled::with(Some(seen), Some(entered), problems);
    render(&request, &parts, &visitor, &id, News { urls, status, ..News::default() }).await
}

/// `POST /console/accounts/{id}/test-callback`
pub(super) async fn test(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    id: Path<String>,
    body: Bytes,
) -> Result<HttpResponse, Trouble> {
    let entered = Entered::read(&body);
    let word = entered.text("kind");
    let kind = KINDS.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| Refusal::Invalid {
        field: "kind",
        text: format!("{word} is no kind of callback: status or inbound"),
    })?;
    let news = match parts.accounts.test_callback(&visitor.actor, &id, kind, None).await {
        Ok(tested) => News { tested: Some(tested), ..News::default() },
        Err(Refusal::Conflict(why)) => {
            News { untested: Some(sentence(&why)), status: StatusCode::CONFLICT, ..News::default() }
        }
        Err(refusal) => return Err(refusal.into()),
    };
    render(&request, &parts, &visitor, &id, news).await
}

/// `POST /console/accounts/{id}/passcode`: one that was made is shown once.
pub(super) async fn rotate(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    id: Path<String>,
    body: Bytes,
) -> Result<HttpResponse, Trouble> {
    let entered = Entered::read(&body);
    let chosen = Some(entered.text("passcode")).filter(|chosen| !chosen.is_empty());
    let keep = entered.text("keep_old").parse().map(Duration::from_secs).unwrap_or(Duration::MAX);
    let rotated = parts.accounts.rotate_passcode(&visitor.actor, &id, chosen, keep).await;
    let news = match outcome(rotated, None, entered)? {
        Ok(rotated) => {
            return match rotated.made {
                Some(made) => tell(&request, &parts, &visitor, &id, made).await,
                None => Ok(see_other(&format!("{PATH}/{id}?done=passcode"))),
            };
        }
        Err(passcode) => News { passcode, status: StatusCode::UNPROCESSABLE_ENTITY, ..News::default() },
    };
    render(&request, &parts, &visitor, &id, news).await
}

fn url_fields() -> [Field; 2] {
    [
        Field::new("delivery_report_callback_url", "Delivery report callback URL", Input::SecretUrl)
            .placeholder("https://…")
            .hint("Without it what became of messages is stored, and reported to nobody."),
        Field::new("inbound_message_callback_url", "Inbound message callback URL", Input::SecretUrl)
            .placeholder("https://…")
            .hint("Without it what people write is stored, and told to nobody."),
    ]
}

pub(super) fn id_of(subject: &Subject) -> &str {
    match subject {
        Subject::Account(id) | Subject::Connection(id) => id,
        Subject::Sender(number) => number.as_e164(),
    }
}

pub(super) fn head(account: &Account, here: &'static str) -> Head {
    Head { id: account.id.clone(), name: account.name.clone(), enabled: account.enabled, here }
}

async fn render(
    request: &HttpRequest,
    parts: &Parts,
    visitor: &Visitor,
    id: &str,
    news: News,
) -> Result<HttpResponse, Trouble> {
    page_as(news.status, &account_page(request, parts, visitor, id, news).await?)
}

async fn account_page(
    request: &HttpRequest,
    parts: &Parts,
    visitor: &Visitor,
    id: &str,
    news: News,
) -> Result<Page, Trouble> {
    let stored = parts.configuring.stored(&visitor.actor).await?;
    let subject = Subject::Account(id.to_owned());
    let account = stored.account(id).ok_or_else(|| missing(&subject))?;
    let seen = parts.configuring.seen_in(&stored, &subject);
    let filter = UrlFilter { account: Some(id.to_owned()), ..UrlFilter::default() };
    // One that was added a moment ago is not known there yet.
    let known = parts.directory.snapshot().account(id).is_some();
    let mut standings = match known {
        true => callbacks::urls(&parts.store, &parts.directory.snapshot(), &visitor.actor, &filter).await?,
        false => vec![],
    };
    // Webhooks have nothing to do with the platform.
    standings.retain(|url| url.subscription.webhook.is_none());
    let urls = if news.urls.seen.is_some() { news.urls } else { Filled::with(seen, None, vec![]) };
    let fields = url_fields();
    let numbers = numbers(&stored, account);
    let public_url = parts.settings.public_url();
    let endpoint = |what: &str| endpoint(&public_url, account, what);
    let import_secret = account.credentials.url_token.is_some();
    Ok(Page {
        frame: Frame::new(request, visitor, account.name.clone(), PATH),
        head: head(account, "connect"),
        no_public_url: parts.settings.server.public_url.is_empty(),
        boxes: boxes(account, &numbers, endpoint("messages")),
        ways: ways(account),
        import_url: endpoint("templates"),
        import_secret,
        numbers,
        version: urls.version().to_owned(),
        urls_wrong: urls.elsewhere(&fields),
        is_wrong: urls.is_wrong(),
        urls: urls.parts(&fields),
        standing: KINDS.map(|kind| standing(&stored, account, kind, &standings)).into(),
        tests_per_minute: TESTS_PER_MINUTE_MAX,
        tested: news.tested.as_ref().map(tested),
        untested: news.untested,
        passcode: passcode(account),
        passcode_form: news.passcode,
        keep_choices: KEEP_CHOICES,
        made: news.made,
        may_change: visitor.actor.may(Permission::ManageConfiguration),
    })
}

/// Where the platform finds us for this account; its secret part is not shown.
fn endpoint(public_url: &str, account: &Account, what: &str) -> String {
    let secret = if account.credentials.url_token.is_some() { "/URL_TOKEN" } else { "" };
    format!("{public_url}/{}/{}{secret}/{what}", account.platform, account.id)
}

fn boxes(account: &Account, numbers: &[Number], endpoint: String) -> Vec<FormBox> {
    let own = |label, value: &str| FormBox {
        label,
        value: value.to_owned(),
        note: String::new(),
        href: None,
        may_copy: false,
    };
    let number = match numbers {
        [] => FormBox {
            note: "add a number first".to_owned(),
            href: Some(format!("/console/new-number?account={}", account.id)),
            ..own("Mobile number", "")
        },
        [one] => FormBox { may_copy: true, ..own("Mobile number", &one.digits) },
        [one, ..] => FormBox {
            may_copy: true,
            note: "one provider at CleverTap for each number".to_owned(),
            ..own("Mobile number", &one.digits)
        },
    };
    let note = match account.credentials.url_token {
        Some(_) => "put the account's url_token in the place of URL_TOKEN".to_owned(),
        None => String::new(),
    };
    vec![
        own("Provider", "Generic (Other)"),
        FormBox { note: "any name".to_owned(), ..own("Nickname", &account.name) },
        number,
        FormBox { may_copy: true, note, ..own("HTTP endpoint", &endpoint) },
    ]
}

fn ways(account: &Account) -> Vec<Way> {
    let Some(platform) = platforms::find(&account.platform) else { return vec![] };
    let part = |(name, value)| WayPart { name, value };
    let way = |way: platforms::CallerWay| Way { name: way.name, parts: way.parts.into_iter().map(part).collect() };
    platform.caller_ways(account).into_iter().map(way).collect()
}

fn numbers(stored: &Configuration, account: &Account) -> Vec<Number> {
    let own = stored.senders.iter().filter(|sender| sender.account == account.key);
    own.map(|sender| Number {
        number: sender.number.as_e164().to_owned(),
        digits: sender.number.digits().to_owned(),
        connection: sender.connection.id.clone(),
        held: sender.hold.is_some() || sender.connection.hold.is_some(),
    })
    .collect()
}

fn standing(stored: &Configuration, account: &Account, kind: EventKind, standings: &[UrlStanding]) -> Standing {
    let mut own = stored.subscriptions.iter();
    let own = own.find(|one| one.account == account.key && one.kind == kind && one.sender.is_none());
    let known = own.and_then(|own| standings.iter().find(|url| url.subscription.key == own.key));
    let state = match (own, known) {
        (None, _) => Status { name: "none", tone: "warn" },
        (Some(_), Some(known)) => status_of(known),
        (Some(_), None) => Status { name: "new", tone: "info" },
    };
    Standing {
        kind: kind.as_str(),
        name: kind_name(kind),
        href: known.map(|url| format!("/console/callbacks/{}", url.subscription.key.0)),
        url: known.map(|url| url.url.clone()).unwrap_or_default(),
        state,
    }
}

fn tested(test: &TestedCallback) -> Tested {
    let (status, answer) = match &test.answer {
        Ok(answer) if answer.is_success() => (Status { name: "taken", tone: "good" }, answer),
        Ok(answer) => (Status { name: "refused", tone: "bad" }, answer),
        Err(why) => {
            let status = Status { name: "no answer", tone: "bad" };
            return Tested { answer: sentence(why), ..told(test, status) };
        }
    };
    let body = if answer.body.is_empty() { "(no body)" } else { &answer.body };
    Tested { answer: format!("HTTP {}\n{body}", answer.http_status), ..told(test, status) }
}

fn told(test: &TestedCallback, status: Status) -> Tested {
    Tested {
        name: kind_name(test.kind),
        status,
        url: test.url.clone(),
        at: moment(test.started_at),
        took: match u64::try_from(test.took.as_millis()).unwrap_or(u64::MAX) {
            0 => "at once".to_owned(),
            ms => format!("after {}", written(Duration::from_millis(ms))),
        },
        sent: test.body.clone(),
        answer: String::new(),
    }
}

fn passcode(account: &Account) -> Passcode {
    let old = account.credentials.old_passcodes.as_ref().filter(|old| old.until > clock::now());
    Passcode {
        is_set: !account.credentials.passcodes.is_empty(),
        old_until: old.map(|old| format!("{} UTC", long_time(old.until))),
    }
}
