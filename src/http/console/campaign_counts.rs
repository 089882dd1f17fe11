//! What one campaign has come to, as its page shows it: the part that changes while somebody looks.

use std::collections::BTreeMap;

use askama::Template;

use super::{
    Trouble, Visitor, asked,
    campaigns::{COUNT_TAKES_MAX, Extent, PeriodForm, path_of},
    chart::{self, Chart, grouped, share},
    connections::{self, hold_words},
    frame::{long_time, price_words, seconds},
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
        price::{Bill, Price},
        time::UnixMillis,
    },
    http::Parts,
    platforms,
    services::{
        campaigns::{self, Asked, Campaign, Counts, FailureCount, Period, WaitingMessages},
        masking,
    },
    store::{StoreError, campaign_cancels::CampaignCancel},
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
    facts: Vec<(&'static str, String)>,
    failures: Vec<FailureRow>,
    costs: Vec<CostRow>,
    chart: Option<Chart>,
    chart_width: u64,
    chart_height: u64,
    waiting: String,
    waits: Vec<String>,
    has_waiting: bool,
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
    /// Of the chart's width.
    width: u64,
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
    let path = path_of(&account.id, campaign);
    let part = CampaignPart {
        form: form.clone(),
        href: form.at(&path),
        csv_href: form.at(&format!("{path}/messages.csv")),
        messages_href: messages_href(account, campaign),
        again: again(&extent, &funnel, cancelling.as_ref()),
        stages: stages(&funnel),
        facts: facts(found, &counts, &funnel),
        failures: failures(&visitor.actor, account, campaign, found, &funnel),
        costs: costs(&counts.bill),
        chart: Chart::of(&counts.sent_by_minute),
        chart_width: chart::WIDTH,
        chart_height: chart::HEIGHT,
        waiting: grouped(waiting.all()),
        waits: waits(&waiting),
        has_waiting: waiting.all() > 0,
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

fn again(extent: &Extent, funnel: &Funnel, cancelling: Option<&CampaignCancel>) -> Option<&'static str> {
    if !extent.complete {
        Some("load delay:50ms")
    } else if cancelling.is_some_and(|cancelling| !cancelling.is_over) {
        Some("every 1s")
    } else {
        (funnel.open > 0).then_some("every 10s")
    }
}

fn stages(funnel: &Funnel) -> Vec<Stage> {
    let stage = |name, tone, count: u64| Stage {
        name,
        tone,
        count: grouped(count),
        share: share(count, funnel.accepted),
        width: (count * chart::WIDTH).div_ceil(funnel.accepted.max(1)),
    };
    let mut stages = vec![
        stage("Accepted", "plain", funnel.accepted),
        stage("Sent", "info", funnel.sent),
        stage("Delivered", "good", funnel.delivered),
        stage("Read", "good", funnel.read),
        stage("Failed", "bad", funnel.failed_itself()),
        stage("Taken, no news yet", "warn", funnel.silent),
        stage("Still open", "warn", funnel.open),
    ];
    if funnel.cancelled > 0 {
        stages.insert(5, stage("Cancelled", "plain", funnel.cancelled));
    }
    stages
}

fn facts(found: Option<&Campaign>, counts: &Counts, funnel: &Funnel) -> Vec<(&'static str, String)> {
    let Some(campaign) = found else { return vec![] };
    let fastest_second = counts.fastest_second.map(|(second, messages)| {
        let at = UnixMillis::from_seconds(second);
        format!("{} at {}{} UTC", grouped(messages), long_time(at), seconds(at))
    });
    let fastest_minute = counts.sent_by_minute.values().max().map(|most| grouped(*most));
    let facts = [
        ("Template", Some(campaign.sends())),
        ("First message (UTC)", Some(long_time(campaign.first.made_at()))),
        ("Last message (UTC)", Some(long_time(campaign.last.made_at()))),
        ("Most in one second", fastest_second),
        ("Most in one minute", fastest_minute),
        ("Answers that quote a message", Some(grouped(funnel.replies))),
        ("Failed after they were sent", (funnel.failed_after_sent > 0).then(|| grouped(funnel.failed_after_sent))),
        ("Expired before they were sent", (funnel.expired > 0).then(|| grouped(funnel.expired))),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn failures(
    actor: &Actor,
    account: &Account,
    campaign: &str,
    found: Option<&Campaign>,
    funnel: &Funnel,
) -> Vec<FailureRow> {
    let platform = platforms::find(&account.platform);
    let all = found.iter().flat_map(|campaign| &campaign.failures);
    // What was cancelled did not fail: it has a line of its own above.
    let mut failures: Vec<_> = all.filter(|((reason, _), _)| *reason != FailureReason::Cancelled).collect();
    failures.sort_by_key(|(_, count)| std::cmp::Reverse(count.messages));
    let row = |((reason, code), count): (&(FailureReason, Option<i64>), &FailureCount)| {
        let by_code = code.map_or_else(String::new, |code| format!("&code={code}"));
        FailureRow {
            reason: reason_words(*reason),
            platform_code: platform.map_or_else(String::new, |platform| platform.failure_code(*reason).to_string()),
            code: *code,
            said_by: said_by_words(SaidBy::of(*reason, *code)),
            text: masking::text(actor, &count.text),
            messages: grouped(count.messages),
            share: share(count.messages, funnel.accepted),
            href: format!("{}&reason={}{by_code}", messages_href(account, campaign), reason.as_str()),
        }
    };
    failures.into_iter().take(FAILURES_SHOWN_MAX).map(row).collect()
}

fn costs(bill: &Bill) -> Vec<CostRow> {
    let row = |(country, price, messages): (&str, Price, u64)| CostRow {
        country: country.to_owned(),
        category: price_words(price.category),
        billed: if price.billable { "billed" } else { "free" },
        messages: grouped(messages),
    };
    bill.most_first().into_iter().take(COSTS_SHOWN_MAX).map(row).collect()
}

fn messages_href(account: &Account, campaign: &str) -> String {
    asked::address(messages::PATH, [("account", &*account.id), ("campaign", campaign)])
}

fn waits(waiting: &WaitingMessages) -> Vec<String> {
    let parts = [
        (waiting.in_queue, "in the queue"),
        (waiting.later, "for a retry or a stopped template"),
        (waiting.paused, "paused"),
        (waiting.beyond_limit, "beyond the messaging limit"),
    ];
    parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, why)| format!("{} {why}", grouped(count))).collect()
}

fn cancel_note(cancelling: CampaignCancel) -> CancelNote {
    let cancelled = grouped(cancelling.cancelled);
    let (text, tone) = match cancelling.is_over {
        false => (format!("Being cancelled: {cancelled} so far. It goes on, also after a restart."), "warn"),
        true => (format!("Cancelled: {cancelled} that waited are reported to CleverTap as failed (1009)."), "good"),
    };
    CancelNote { text, tone }
}
