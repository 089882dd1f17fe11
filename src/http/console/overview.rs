//! Where people begin: what needs a person now, what happened lately, and what each number has to do.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, HOME, Trouble, Visitor, accounts,
    alarms::place_of,
    asked::{self, Query},
    chart::{self, share},
    connections::hold_words,
    exchanges,
    frame::{long_time, plain_times, sentence, short_time, wants_part},
    inbound,
    messages::{self, reason_words, said_by_words},
    overview_charts::{Answers, NamedChart, answers, charts},
    page, refused,
};
use crate::{
    clock,
    domain::{
        account::Sender,
        attempt::WantedOutcome,
        failure::FailureReason,
        operator::{Actor, Permission},
        outbound::SendState,
        statistics::Figure,
        time::UnixMillis,
        words::{ago, lasting, thousands},
    },
    http::Parts,
    platforms,
    services::{
        directory::Snapshot,
        masking,
        overview::{Failures, Lately, Summary, summary},
        standing::{NumberStanding, standing},
    },
    store::{alarms::AlarmRecord, search},
};

/// Kinds of failures on the page; a campaign, or the list of messages, shows the others.
const FAILURES_SHOWN_MAX: usize = 12;

/// What is looked at, as the address has it.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct OverviewForm {
    account: String,
    period: String,
}

#[derive(Template)]
#[template(path = "console/overview.html")]
struct Page {
    frame: Frame,
    accounts: Vec<String>,
    account: String,
    periods: Vec<PeriodOption>,
    standing: Part,
}

struct PeriodOption {
    word: &'static str,
    name: &'static str,
    chosen: bool,
}

/// What changes while somebody looks.
#[derive(Template)]
#[template(path = "console/overview_standing.html")]
struct Part {
    /// Where the part comes from again.
    href: String,
    alarms: Vec<Alarm>,
    /// Whose; empty for all accounts.
    of_account: String,
    /// How often the server looks whether something is wrong.
    look_every: String,
    /// Until there is a number.
    to_do: Option<ToDo>,
    /// Before there is one all of them are nought; after the last was removed there is still what was.
    has_figures: bool,
    since: String,
    numbers: Vec<Number>,
    stages: Vec<Stage>,
    facts: Vec<Fact>,
    charts: Vec<NamedChart>,
    answers: Option<Answers>,
    failures: Vec<FailureRow>,
    width: u64,
    height: u64,
}

/// The way to the first message.
struct ToDo {
    steps: [Step; 3],
    /// The page with what is to be entered at CleverTap, once there is an account.
    account_href: Option<String>,
    may_configure: bool,
}

struct Step {
    name: &'static str,
    what: &'static str,
    href: &'static str,
    done: bool,
    /// The first that is not done.
    next: bool,
}

struct Alarm {
    subject: String,
    text: String,
    since: String,
    ago: String,
    /// Where it can be looked at.
    href: Option<String>,
}

struct Number {
    number: String,
    /// All its messages, and those behind each figure.
    href: String,
    queued_href: String,
    waiting_href: String,
    sending_href: String,
    unknown_href: String,
    sent_href: String,
    account: String,
    /// Works, or is on hold and why.
    hold: Option<String>,
    queued: i64,
    waiting: i64,
    sending: i64,
    unknown: i64,
    oldest: String,
    pace: u32,
    sent_lately: String,
    /// How far behind its pace it was lately; empty when it was not.
    behind: String,
}

/// A step of the funnel.
struct Stage {
    name: &'static str,
    tone: &'static str,
    count: String,
    share: String,
    href: String,
    /// Of the chart's width.
    width: u64,
}

struct Fact {
    name: &'static str,
    text: String,
    href: String,
}

struct FailureRow {
    reason: String,
    account: String,
    platform_code: String,
    code: Option<i64>,
    said_by: &'static str,
    said: String,
    messages: String,
    href: String,
}

/// `GET /console/overview`
pub(super) async fn show(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    form: Query<OverviewForm>,
) -> Result<HttpResponse, Trouble> {
    let form = form.into_inner();
    let snapshot = parts.directory.snapshot();
    let shown = part(&parts, &snapshot, &visitor, &form).await?;
    if wants_part(&request) {
        return page(&shown);
    }
    let accounts = snapshot.account_ids();
    let chosen = Lately::named(&form.period).unwrap_or_default();
    let option = |lately: Lately| PeriodOption { word: lately.word(), name: name_of(lately), chosen: lately == chosen };
    page(&Page {
        frame: Frame::new(&request, &visitor, "Overview", HOME),
        accounts,
        account: form.account,
        periods: Lately::ALL.into_iter().map(option).collect(),
        standing: shown,
    })
}

fn name_of(lately: Lately) -> &'static str {
    match lately {
        Lately::Day => "Last 24 hours",
        Lately::Week => "Last 7 days",
        Lately::Month => "Last 30 days",
    }
}

async fn part(parts: &Parts, snapshot: &Snapshot, visitor: &Visitor, form: &OverviewForm) -> Result<Part, Trouble> {
    let actor = &visitor.actor;
    let account = asked::account(snapshot, &form.account)?;
    let found = standing(&parts.store, snapshot, actor, account).await?;
    let period = asked::one_of("period", &form.period, &Lately::ALL, Lately::word)?.unwrap_or_default();
    let summary = summary(&parts.store, actor, account, period).await?;
    let lately = |standing| number(actor, snapshot, standing, found.lately_since);
    Ok(Part {
        href: asked::address(HOME, [("account", &*form.account), ("period", period.word())]),
        look_every: lasting(parts.settings.alarms.look_every),
        has_figures: snapshot.senders().next().is_some() || summary.has_any(),
        since: short_time(summary.since),
        to_do: to_do(snapshot, actor),
        alarms: found.alarms.iter().map(|record| alarm(actor, record)).collect(),
        of_account: form.account.clone(),
        numbers: found.numbers.iter().map(lately).collect(),
        stages: stages(&summary, &form.account),
        facts: facts(&summary, &form.account),
        charts: charts(&summary, &form.account),
        answers: answers(&summary, &form.account),
        failures: failures(snapshot, &summary),
        width: chart::WIDTH,
        height: chart::HEIGHT,
    })
}

fn to_do(snapshot: &Snapshot, actor: &Actor) -> Option<ToDo> {
    if snapshot.senders().next().is_some() {
        return None;
    }
    let connected = snapshot.connections().next().is_some();
    let account = snapshot.accounts().next();
    let has_account = account.is_some();
    let step = |name, what, href, done, next| Step { name, what, href, done, next };
    Some(ToDo {
        steps: [
            step(
                "Add a connection",
                "what your provider gave you, such as Meta’s access token",
                "/console/new-connection",
                connected,
                !connected,
            ),
            step(
                "Add an account",
                "one CleverTap project, with a URL and a passcode of its own",
                "/console/new-account",
                has_account,
                connected && !has_account,
            ),
            step(
                "Add a number",
                "which account it belongs to, and through which connection it is reached",
                "/console/new-number",
                false,
                connected && has_account,
            ),
        ],
        account_href: account.map(|account| format!("{}/{}", accounts::PATH, account.id)),
        may_configure: actor.may(Permission::ManageConfiguration),
    })
}

fn alarm(actor: &Actor, record: &AlarmRecord) -> Alarm {
    Alarm {
        href: place_of(record),
        subject: sentence(&record.subject).trim_end_matches('.').to_owned(),
        text: plain_times(&masking::text(actor, &record.text)).into_owned(),
        since: long_time(record.raised_at),
        ago: ago(record.raised_at, clock::now()),
    }
}

fn number(actor: &Actor, snapshot: &Snapshot, standing: &NumberStanding, since: UnixMillis) -> Number {
    let NumberStanding { sender, queue, lately } = standing;
    let sender: &Sender = sender;
    let hold = sender.hold.as_ref().or(sender.connection.hold.as_ref());
    let behind_s = lately.behind_ms as f64 / 1_000.0;
    let number = sender.number.as_e164();
    let since = long_time(since).replace(' ', "T");
    let list = |status: &str, since: &str| {
        asked::address(messages::PATH, [("number", number), ("status", status), ("sent_since", since)])
    };
    Number {
        href: list("", ""),
        queued_href: list(search::Stage::InQueue.as_str(), ""),
        waiting_href: list(search::Stage::Later.as_str(), ""),
        sending_href: list(SendState::Sending.as_str(), ""),
        unknown_href: list(search::Stage::AwaitsEvidence.as_str(), ""),
        sent_href: list(SendState::Submitted.as_str(), &since),
        number: number.to_owned(),
        account: snapshot.account_by_key(sender.account).map_or("?", |account| account.id.as_str()).to_owned(),
        hold: hold.map(|hold| hold_words(actor, hold)),
        queued: queue.queued,
        waiting: queue.waiting_for_retry,
        sending: queue.sending,
        unknown: queue.unknown,
        oldest: queue.oldest_queued.map(|at| ago(at, clock::now())).unwrap_or_default(),
        pace: sender.pace,
        sent_lately: thousands(lately.sent),
        behind: if lately.behind_ms == 0 { String::new() } else { format!("{behind_s:.1} s") },
    }
}

/// The list of messages of this time, in which those are that a figure counts.
pub(super) fn messages_href(summary: &Summary, fields: &[(&str, &str)]) -> String {
    list_href(messages::PATH, summary, fields)
}

/// A list of what happened in this time.
pub(super) fn list_href(path: &str, summary: &Summary, fields: &[(&str, &str)]) -> String {
    let since = long_time(summary.since).replace(' ', "T");
    asked::address(path, fields.iter().copied().chain([("since", &*since)]))
}

fn stages(summary: &Summary, account: &str) -> Vec<Stage> {
    let accepted = summary.total(Figure::Accepted);
    // What is delivered now may have been accepted before: then the bars are shares of what there is most of.
    let funnel = [Figure::Sent, Figure::Delivered, Figure::Read, Figure::Replied, Figure::Failed];
    let most = funnel.into_iter().map(|figure| summary.total(figure)).fold(accepted, u64::max);
    let stage = |(name, tone, figure, href)| {
        let count = summary.total(figure);
        Stage {
            name,
            tone,
            count: thousands(count),
            share: if figure == Figure::Accepted || count > accepted { String::new() } else { share(count, accepted) },
            href,
            width: (count * chart::WIDTH).div_ceil(most.max(1)),
        }
    };
    let messages = |status| messages_href(summary, &[("account", account), ("status", status)]);
    let replies = list_href(inbound::PATH, summary, &[("account", account), ("answers", "yes")]);
    [
        ("Accepted", "plain", Figure::Accepted, messages("")),
        ("Sent", "info", Figure::Sent, messages("reached-sent")),
        ("Delivered", "good", Figure::Delivered, messages("reached-delivered")),
        ("Read", "good", Figure::Read, messages("reached-read")),
        ("Replied", "good", Figure::Replied, replies),
        ("Failed", "bad", Figure::Failed, messages("failed")),
    ]
    .into_iter()
    .map(stage)
    .collect()
}

fn facts(summary: &Summary, account: &str) -> Vec<Fact> {
    let fact = |(name, figure, href)| Fact { name, text: thousands(summary.total(figure)), href };
    let list = |path| list_href(path, summary, &[("account", account)]);
    let cancelled = messages_href(summary, &[("account", account), ("status", "cancelled")]);
    let facts = [
        ("Cancelled", Figure::Cancelled, cancelled),
        ("People wrote", Figure::Received, list(inbound::PATH)),
        ("Told to CleverTap", Figure::Told, exchanges_href(summary, account, WantedOutcome::Succeeded)),
        ("Callback requests that failed", Figure::NotTold, exchanges_href(summary, account, WantedOutcome::Failed)),
        ("Requests refused", Figure::Refused, list(refused::PATH)),
    ];
    facts.into_iter().map(fact).collect()
}

/// The requests to CleverTap's callback URLs in this time that ended like this.
pub(super) fn exchanges_href(summary: &Summary, account: &str, outcome: WantedOutcome) -> String {
    list_href(exchanges::PATH, summary, &[("account", account), ("of", "platform"), ("outcome", outcome.as_str())])
}

fn failures(snapshot: &Snapshot, summary: &Summary) -> Vec<FailureRow> {
    let row = |failures: &Failures| {
        let account = snapshot.account_by_key(failures.account);
        let platform = account.and_then(|account| platforms::find(&account.platform));
        let id = account.map_or("?", |account| account.id.as_str());
        let code = failures.code.map_or_else(|| messages::NO_CODE.to_owned(), |code| code.to_string());
        let word = failures.reason.map_or("", FailureReason::as_str);
        FailureRow {
            reason: failures.reason.map_or_else(|| "Unknown to this version".to_owned(), reason_words),
            account: id.to_owned(),
            platform_code: platform
                .zip(failures.reason)
                .map(|(platform, reason)| platform.failure_code(reason).to_string())
                .unwrap_or_default(),
            code: failures.code,
            said_by: said_by_words(failures.said_by()),
            said: failures.said.clone(),
            messages: thousands(failures.messages),
            href: messages_href(summary, &[("account", id), ("reason", word), ("code", &code)]),
        }
    };
    summary.failures.iter().take(FAILURES_SHOWN_MAX).map(row).collect()
}
