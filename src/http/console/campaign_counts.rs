//! What one campaign has come to, as its page shows it: the part that changes while somebody looks.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use askama::Template;

use super::{
    Trouble, Visitor, asked,
    campaigns::{COUNT_TAKES_MAX, Extent, PeriodForm, path_of},
    chart::{self, Chart, share},
    connections::{self, hold_words},
    frame::{long_time, price_words, seconds},
    inbound,
    messages::{self, reason_words, said_by_words},
    numbers,
};
use crate::{
    clock,
    domain::{
        account::{Account, Hold},
        campaign::Funnel,
        failure::{FailureReason, SaidBy},
        operator::{Actor, Permission},
        outbound::SendState,
        price::{Bill, Price},
        time::UnixMillis,
        words::thousands,
    },
    http::Parts,
    platforms,
    services::{
        campaigns::{self, Asked, Campaign, Counts, FailureCount, Period, WaitingMessages},
        masking,
    },
    store::{StoreError, campaign_cancels::CampaignCancel, search},
};

/// Failures in the list.
const FAILURES_SHOWN_MAX: usize = 40;
/// Lines of the bill; a campaign goes to a few countries.
const COSTS_SHOWN_MAX: usize = 60;

/// What changes while somebody looks.
#[derive(Template)]
#[template(path = "console/campaign_counts.html")]
pub(super) struct CampaignPart {
    form: PeriodForm,
    href: String,
    path: String,
    csv_href: String,
    messages_href: String,
    /// When the page looks again by itself.
    again: Option<&'static str>,
    wrong: Option<String>,
    pub(super) extent: Extent,
    stages: Vec<Stage>,
    facts: Vec<Fact>,
    answers: Vec<Fact>,
    failures: Vec<FailureRow>,
    costs: Vec<CostRow>,
    chart: Option<Chart>,
    chart_width: u64,
    chart_height: u64,
    waiting: String,
    waiting_href: String,
    waits: Vec<Wait>,
    has_waiting: bool,
    /// No message of it in this time.
    nothing_came: bool,
    /// Numbers and connections on hold where some of it may wait.
    holds: Vec<HoldNote>,
    state: Option<RuleNote>,
    can_resume: bool,
    cancelling: Option<CancelNote>,
    csrf: Option<String>,
}

/// A step of the funnel.
struct Stage {
    name: &'static str,
    tone: &'static str,
    count: String,
    share: String,
    /// The list behind it.
    href: String,
    /// Of the chart's width.
    width: u64,
}

struct Fact {
    name: &'static str,
    text: String,
    href: Option<String>,
}

/// Why so many wait.
struct Wait {
    text: String,
    href: String,
}

struct FailureRow {
    reason: String,
    platform_code: String,
    code: Option<i64>,
    said_by: &'static str,
    text: String,
    messages: String,
    share: String,
    href: String,
}

/// Messages to one country under one heading of the price list.
struct CostRow {
    country: String,
    category: String,
    billed: &'static str,
    messages: String,
    href: String,
}

struct RuleNote {
    word: &'static str,
    since: String,
    reason: String,
}

struct HoldNote {
    what: &'static str,
    name: String,
    /// Where it is released.
    href: String,
    since: String,
    reason: String,
}

struct CancelNote {
    text: String,
    tone: &'static str,
}

/// The lists behind the figures: of this campaign, and of the time that was counted.
struct Lists<'a> {
    account: &'a str,
    campaign: &'a str,
    since: String,
    until: String,
}

impl<'a> Lists<'a> {
    fn of(account: &'a Account, campaign: &'a str, counts: &Counts, period: Period) -> Self {
        let until = match period {
            Period::Between(_, Some(until)) => asked::as_entered(until),
            Period::Between(_, None) | Period::Day | Period::Week | Period::Month | Period::Whole => String::new(),
        };
        let since = if counts.since.0 > 0 { asked::as_entered(counts.since) } else { String::new() };
        Self { account: &account.id, campaign, since, until }
    }

    fn messages(&self, fields: &[(&str, &str)]) -> String {
        let Self { account, campaign, since, until } = self;
        let of_it = [("account", *account), ("campaign", *campaign)].into_iter();
        asked::address(
            messages::PATH,
            of_it.chain(fields.iter().copied()).chain([("since", &**since), ("until", until)]),
        )
    }

    fn with_status(&self, status: &str) -> String {
        self.messages(&[("status", status)])
    }

    /// What left from then on, and before so much later.
    fn left(&self, since: UnixMillis, within: Duration) -> String {
        let (since, until) = (asked::as_entered(since), asked::as_entered(since.plus(within)));
        let left = [("status", SendState::Submitted.as_str()), ("sent_since", &since), ("sent_until", &until)];
        self.messages(&left)
    }

    /// What people answered: an answer may come long after the time that is counted.
    fn answers(&self, kind: &str) -> String {
        let Self { account, campaign, since, .. } = self;
        let fields =
            [("kind", kind), ("account", account), ("answers", "yes"), ("campaign", campaign), ("since", &**since)];
        asked::address(inbound::PATH, fields)
    }
}

/// The part that moves, and the counts behind it.
pub(super) struct Seen {
    pub(super) part: CampaignPart,
    pub(super) funnel: Funnel,
}

pub(super) async fn look(
    parts: &Parts,
    visitor: &Visitor,
    account: &Account,
    campaign: &str,
    form: &PeriodForm,
) -> Result<Seen, Trouble> {
    let (period, wrong) = match form.period(Period::Whole) {
        Ok(period) => (period, None),
        Err(wrong) => (Period::Whole, Some(wrong.said())),
    };
    let asked = Asked { account: Some(account.key), campaign: Some(campaign.to_owned()), period };
    let counts = parts.campaigns.count(&visitor.actor, &asked, COUNT_TAKES_MAX).await?;
    let found = counts.campaigns.first();
    let funnel = found.map(|campaign| campaign.funnel.clone()).unwrap_or_default();
    let waiting = found.map(|campaign| campaign.waiting).unwrap_or_default();
    let rules = standing_rules(parts, account, campaign).await?;
    let cancelling = parts.campaigns.cancelling(account.key, campaign).await?;
    let extent = Extent::of(&counts);
    let lists = Lists::of(account, campaign, &counts, period);
    let path = path_of(&account.id, campaign);
    let part = CampaignPart {
        form: form.clone(),
        href: form.at(&path),
        csv_href: form.at(&format!("{path}/messages.csv")),
        messages_href: lists.messages(&[]),
        again: again(&extent, &funnel, cancelling.as_ref(), parts.campaigns.changed_lately()),
        stages: stages(&funnel, &lists),
        facts: facts(found, &counts, &lists),
        answers: found.map(|campaign| answers(&campaign.funnel, &lists)).unwrap_or_default(),
        failures: failures(&visitor.actor, account, found, &lists),
        costs: costs(&counts.bill, &lists),
        chart: chart(&counts),
        chart_width: chart::WIDTH,
        chart_height: chart::HEIGHT,
        waiting: thousands(waiting.all()),
        waiting_href: lists.with_status(SendState::Queued.as_str()),
        waits: waits(&waiting, &lists),
        has_waiting: waiting.all() > 0,
        nothing_came: found.is_none() && extent.complete,
        holds: if waiting.all() > 0 { holds(parts, &visitor.actor, account) } else { vec![] },
        state: rules.0,
        can_resume: rules.1,
        cancelling: cancelling.map(cancel_note),
        csrf: visitor.actor.may(Permission::ManageQueues).then(|| visitor.csrf.clone()),
        wrong,
        extent,
        path,
    };
    Ok(Seen { part, funnel })
}

/// What is on hold of the account's numbers, and of what they are reached through.
fn holds(parts: &Parts, actor: &Actor, account: &Account) -> Vec<HoldNote> {
    let snapshot = parts.directory.snapshot();
    let note = |what, name: &str, href: String, hold: &Hold| HoldNote {
        what,
        name: name.to_owned(),
        href,
        since: long_time(hold.since),
        reason: hold_words(actor, hold),
    };
    let mut by_place = BTreeMap::new();
    for sender in snapshot.senders().filter(|sender| sender.account == account.key) {
        let (number, connection) = (sender.number.as_e164(), &sender.connection);
        let of_number = numbers::path_of(number);
        let of_connection = format!("{}/{}", connections::PATH, connection.id);
        let number = sender.hold.as_ref().map(|hold| note("Number", number, of_number, hold));
        let connection = connection.hold.as_ref().map(|hold| note("Connection", &connection.id, of_connection, hold));
        by_place.extend(number.into_iter().chain(connection).map(|note| (note.href.clone(), note)));
    }
    by_place.into_values().collect()
}

/// The rule that decides, and whether one can be ended here.
async fn standing_rules(
    parts: &Parts,
    account: &Account,
    campaign: &str,
) -> Result<(Option<RuleNote>, bool), StoreError> {
    let (rules, now) = (parts.campaigns.rules().await?, clock::now());
    let note = campaigns::verdict(&rules, account.key, campaign, now).map(|rule| RuleNote {
        word: campaigns::word_of(rule.action),
        since: long_time(rule.since),
        reason: rule.reason.clone(),
    });
    Ok((note, campaigns::rules_naming(&rules, account.key, campaign, now).next().is_some()))
}

fn again(
    extent: &Extent,
    funnel: &Funnel,
    cancelling: Option<&CampaignCancel>,
    changed_lately: bool,
) -> Option<&'static str> {
    if !extent.complete {
        Some("load delay:50ms")
    } else if cancelling.is_some_and(|cancelling| !cancelling.is_over) {
        Some("every 1s")
    } else {
        (funnel.open > 0).then_some(if changed_lately { "every 2s" } else { "every 10s" })
    }
}

/// By the second, unless there are too many.
fn chart(counts: &Counts) -> Option<Chart> {
    match &counts.sent_by_second {
        Some(by_second) => Chart::of(by_second, 1),
        None => Chart::of(&counts.sent_by_minute, chart::MINUTE_S),
    }
}

fn stages(funnel: &Funnel, lists: &Lists<'_>) -> Vec<Stage> {
    let stage = |name, tone, count: u64, status| Stage {
        name,
        tone,
        count: thousands(count),
        share: share(count, funnel.accepted),
        href: lists.with_status(status),
        width: (count * chart::WIDTH).div_ceil(funnel.accepted.max(1)),
    };
    let mut stages = vec![
        stage("Accepted", "plain", funnel.accepted, ""),
        stage("Sent", "info", funnel.sent, "reached-sent"),
        stage("Delivered", "good", funnel.delivered, "reached-delivered"),
        stage("Read", "good", funnel.read, "reached-read"),
        stage("Failed", "bad", funnel.failed_itself(), "failed"),
        stage("Taken, no news yet", "warn", funnel.silent, search::Stage::Silent.as_str()),
        stage("Still open", "warn", funnel.open, search::Stage::Open.as_str()),
    ];
    if funnel.cancelled > 0 {
        stages.insert(5, stage("Cancelled", "plain", funnel.cancelled, SendState::Cancelled.as_str()));
    }
    stages
}

fn facts(found: Option<&Campaign>, counts: &Counts, lists: &Lists<'_>) -> Vec<Fact> {
    let Some(campaign) = found else { return vec![] };
    let (funnel, second) = (&campaign.funnel, Duration::from_secs(1));
    let fastest_second = counts.fastest_second.map(|(fastest, messages)| {
        let at = UnixMillis::from_seconds(fastest);
        let text = format!("{} at {}{} UTC", thousands(messages), long_time(at), seconds(at));
        (text, Some(lists.left(at, second)))
    });
    let fastest_minute = counts.sent_by_minute.iter().max_by_key(|(minute, most)| (**most, Reverse(**minute)));
    let fastest_minute = fastest_minute.map(|(minute, most)| {
        let at = UnixMillis::from_seconds(minute * chart::MINUTE_S);
        (format!("{} at {} UTC", thousands(*most), long_time(at)), Some(lists.left(at, second * 60)))
    });
    let list = |count: u64, status| (count > 0).then(|| (thousands(count), Some(lists.with_status(status))));
    let facts = [
        ("Template", Some((campaign.sends(), None))),
        ("First message (UTC)", Some((long_time(campaign.first.made_at()), None))),
        ("Last message (UTC)", Some((long_time(campaign.last.made_at()), None))),
        ("Most in one second", fastest_second),
        ("Most in one minute", fastest_minute),
        ("Failed after they were sent", list(funnel.failed_after_sent, search::Stage::FailedAfterSent.as_str())),
        ("Expired before they were sent", list(funnel.expired, SendState::Expired.as_str())),
    ];
    facts.into_iter().filter_map(|(name, value)| value.map(|(text, href)| Fact { name, text, href })).collect()
}

/// What people answered, taps apart from what they wrote.
fn answers(funnel: &Funnel, lists: &Lists<'_>) -> Vec<Fact> {
    let fact = |name, count: u64, href| Fact { name, text: thousands(count), href };
    let otherwise = funnel.replies.saturating_sub(funnel.taps + funnel.replies_unsorted);
    let mut facts = vec![
        fact("Answers that quote a message", funnel.replies, Some(lists.answers(""))),
        fact("Taps on quick-reply buttons", funnel.taps, Some(lists.answers("button"))),
        fact("Written, or sent otherwise", otherwise, None),
    ];
    if funnel.replies_unsorted > 0 {
        // Some of them may be taps: their list is that of all.
        facts.push(fact("From before taps were counted apart", funnel.replies_unsorted, None));
    }
    facts
}

fn failures(actor: &Actor, account: &Account, found: Option<&Campaign>, lists: &Lists<'_>) -> Vec<FailureRow> {
    let platform = platforms::find(&account.platform);
    let accepted = found.map_or(0, |campaign| campaign.funnel.accepted);
    let all = found.iter().flat_map(|campaign| &campaign.failures);
    // What was cancelled did not fail: it has a line of its own above.
    let mut failures: Vec<_> = all.filter(|((reason, _), _)| *reason != FailureReason::Cancelled).collect();
    failures.sort_by_key(|(_, count)| Reverse(count.messages));
    let row = |((reason, code), count): (&(FailureReason, Option<i64>), &FailureCount)| {
        let by_code = code.map_or_else(|| messages::NO_CODE.to_owned(), |code| code.to_string());
        FailureRow {
            reason: reason_words(*reason),
            platform_code: platform.map_or_else(String::new, |platform| platform.failure_code(*reason).to_string()),
            code: *code,
            said_by: said_by_words(SaidBy::of(*reason, *code)),
            text: masking::text(actor, &count.text),
            messages: thousands(count.messages),
            share: share(count.messages, accepted),
            href: lists.messages(&[("reason", reason.as_str()), ("code", &by_code)]),
        }
    };
    failures.into_iter().take(FAILURES_SHOWN_MAX).map(row).collect()
}

fn costs(bill: &Bill, lists: &Lists<'_>) -> Vec<CostRow> {
    let row = |(country, price, messages): (&str, Price, u64)| CostRow {
        href: lists.messages(&[
            // Its name begins with the calling code.
            ("country", country.split(' ').next().unwrap_or_default()),
            ("price", price.category.as_str()),
            ("billed", messages::billed_word(price.billable)),
        ]),
        country: country.to_owned(),
        category: price_words(price.category),
        billed: if price.billable { "billed" } else { "free" },
        messages: thousands(messages),
    };
    bill.most_first().into_iter().take(COSTS_SHOWN_MAX).map(row).collect()
}

fn waits(waiting: &WaitingMessages, lists: &Lists<'_>) -> Vec<Wait> {
    let parts = [
        (waiting.in_queue, "in the queue", search::Stage::InQueue),
        (waiting.later, "for a retry or a stopped template", search::Stage::Retry),
        (waiting.paused, "paused", search::Stage::Paused),
        (waiting.beyond_limit, "beyond the messaging limit", search::Stage::BeyondLimit),
    ];
    let wait = |(count, why, stage): (u64, &str, search::Stage)| Wait {
        text: format!("{} {why}", thousands(count)),
        href: lists.with_status(stage.as_str()),
    };
    parts.into_iter().filter(|(count, ..)| *count > 0).map(wait).collect()
}

fn cancel_note(cancelling: CampaignCancel) -> CancelNote {
    let cancelled = thousands(cancelling.cancelled);
    let (text, tone) = match cancelling.is_over {
        false => (format!("Being cancelled: {cancelled} so far. It goes on, also after a restart."), "warn"),
        true => (format!("Cancelled: {cancelled} that waited are reported to CleverTap as failed (1009)."), "good"),
    };
    CancelNote { text, tone }
}
