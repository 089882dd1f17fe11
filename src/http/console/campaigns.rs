//! The campaigns of some time: how far each came, and what waits of it.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web::Data};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, Trouble, Visitor,
    asked::{self, Query, Wrong},
    chart::share,
    frame::{long_time, short_time, wants_part},
    page,
};
use crate::{
    clock,
    domain::{operator::Permission, queue::QueueRules, words::thousands},
    http::Parts,
    services::{
        campaigns::{self, Asked, Campaign, Counts, Period},
        directory::Snapshot,
    },
};

/// No slice is counted after this for one answer; the page asks for more by itself.
pub(super) const COUNT_TAKES_MAX: Duration = Duration::from_millis(60);
/// Campaigns on the page; a shorter period shows the others.
const CAMPAIGNS_SHOWN_MAX: usize = 200;

pub(super) const PATH: &str = "/console/campaigns";

/// Which time is looked at, as the address has it.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PeriodForm {
    pub(super) period: String,
    pub(super) since: String,
    pub(super) until: String,
    /// Of this account alone; in the list.
    pub(super) account: String,
}

impl PeriodForm {
    /// A time that was entered goes before a word; `Err` says what to change.
    pub(super) fn period(&self, otherwise: Period) -> Result<Period, Wrong> {
        let (since, until) = asked::span(&self.since, &self.until)?;
        if since.is_some() || until.is_some() {
            let since = since.unwrap_or(crate::domain::time::UnixMillis(0));
            return Ok(Period::Between(since, until));
        }
        let named = asked::one_of("period", &self.period, &Period::NAMED, |(_, word)| word)?;
        Ok(named.map_or(otherwise, |(period, _)| period))
    }

    pub(super) fn is_between(&self) -> bool {
        !self.since.is_empty() || !self.until.is_empty()
    }

    /// The same place in time, at this address.
    pub(super) fn at(&self, path: &str) -> String {
        let Self { period, since, until, account } = self;
        asked::address(path, [("period", &**period), ("since", since), ("until", until), ("account", account)])
    }
}

/// A choice of the period.
pub(super) struct PeriodOption {
    pub(super) word: &'static str,
    pub(super) name: &'static str,
    pub(super) chosen: bool,
}

/// The choices; of one campaign `all` is its whole life.
pub(super) fn periods(form: &PeriodForm, otherwise: Period, whole: &'static str) -> Vec<PeriodOption> {
    let chosen = Period::named(&form.period).unwrap_or(otherwise);
    let name = |period| match period {
        Period::Day => "Last 24 hours",
        Period::Week => "Last 7 days",
        Period::Month => "Last 30 days",
        Period::Whole | Period::Between(..) => whole,
    };
    let option = |(period, word)| PeriodOption { word, name: name(period), chosen: period == chosen };
    Period::NAMED.into_iter().map(option).collect()
}

#[derive(Template)]
#[template(path = "console/campaigns.html")]
struct Page {
    frame: Frame,
    form: PeriodForm,
    periods: Vec<PeriodOption>,
    accounts: Vec<String>,
    counts: CountsPart,
}

/// What changes while somebody looks.
#[derive(Template)]
#[template(path = "console/campaigns_counts.html")]
struct CountsPart {
    wrong: Option<String>,
    href: String,
    rows: Vec<Row>,
    /// Not shown, for want of room.
    others: usize,
    extent: Extent,
    csrf: Option<String>,
}

/// How much was looked through, in words.
pub(super) struct Extent {
    pub(super) complete: bool,
    pub(super) text: String,
}

impl Extent {
    pub(super) fn of(counts: &Counts) -> Self {
        let looked_at = thousands(counts.looked_at);
        let messages = if counts.looked_at == 1 { "message" } else { "messages" };
        let until = long_time(counts.until);
        let text = match counts.looked_back_to {
            Some(back_to) => format!(
                "Looking: through {looked_at} {messages} of all campaigns so far, back to {} UTC…",
                long_time(back_to)
            ),
            None if counts.since.0 == 0 => {
                format!("Looked through all {looked_at} {messages} that are kept, at {until} UTC")
            }
            None => format!(
                "Looked through {looked_at} {messages} of all campaigns, from {} to {until} UTC",
                long_time(counts.since)
            ),
        };
        let left_out = if counts.left_out { "; there are more campaigns than are counted at once" } else { "" };
        Self { complete: counts.looked_back_to.is_none(), text: format!("{text}{left_out}") }
    }
}

struct Row {
    href: String,
    campaign: String,
    sends: String,
    account: String,
    state: Option<(&'static str, &'static str)>,
    accepted: String,
    sent: String,
    delivered: String,
    delivered_share: String,
    read: String,
    failed: String,
    has_failed: bool,
    cancelled: Option<String>,
    waiting: String,
    can_pause: bool,
    can_resume: bool,
    last: String,
    last_iso: String,
}

/// `GET /console/campaigns`
pub(super) async fn list(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    form: Query<PeriodForm>,
) -> Result<HttpResponse, Trouble> {
    let form = form.into_inner();
    let snapshot = parts.directory.snapshot();
    let counts = counts_part(&parts, &snapshot, &visitor, &form).await?;
    if wants_part(&request) {
        return page(&counts);
    }
    let accounts = snapshot.account_ids();
    let frame = Frame::new(&request, &visitor, "Campaigns", PATH);
    let periods = periods(&form, Period::Week, "All that is kept");
    page(&Page { frame, form, periods, accounts, counts })
}

async fn counts_part(
    parts: &Parts,
    snapshot: &Snapshot,
    visitor: &Visitor,
    form: &PeriodForm,
) -> Result<CountsPart, Trouble> {
    let href = form.at(PATH);
    let csrf = visitor.actor.may(Permission::ManageQueues).then(|| visitor.csrf.clone());
    let asked = match asked_for(snapshot, form) {
        Ok(asked) => asked,
        Err(wrong) => {
            let extent = Extent { complete: true, text: String::new() };
            return Ok(CountsPart { wrong: Some(wrong.said()), href, rows: vec![], others: 0, extent, csrf });
        }
    };
    let counts = parts.campaigns.count(&visitor.actor, &asked, COUNT_TAKES_MAX).await?;
    let rules = parts.campaigns.rules().await?;
    let shown = counts.campaigns.iter().take(CAMPAIGNS_SHOWN_MAX);
    let rows = shown.map(|campaign| row(snapshot, &rules, form, campaign)).collect();
    let others = counts.campaigns.len().saturating_sub(CAMPAIGNS_SHOWN_MAX);
    Ok(CountsPart { wrong: None, href, rows, others, extent: Extent::of(&counts), csrf })
}

fn asked_for(snapshot: &Snapshot, form: &PeriodForm) -> Result<Asked, Wrong> {
    let account = asked::account(snapshot, &form.account)?;
    Ok(Asked { account, campaign: None, period: form.period(Period::Week)? })
}

fn row(snapshot: &Snapshot, rules: &QueueRules, form: &PeriodForm, campaign: &Campaign) -> Row {
    let account = snapshot.account_by_key(campaign.account).map_or("?", |account| account.id.as_str()).to_owned();
    let now = clock::now();
    let verdict = campaigns::verdict(rules, campaign.account, &campaign.campaign, now);
    let named = campaigns::rules_naming(rules, campaign.account, &campaign.campaign, now).next().is_some();
    let (funnel, last) = (&campaign.funnel, campaign.last.made_at());
    // The page of one begins with its whole life; a period that somebody chose goes along.
    let between = PeriodForm { account: String::new(), period: String::new(), ..form.clone() };
    Row {
        href: between.at(&path_of(&account, &campaign.campaign)),
        state: verdict.map(|rule| (campaigns::word_of(rule.action), "warn")),
        accepted: thousands(funnel.accepted),
        sent: thousands(funnel.sent),
        delivered: thousands(funnel.delivered),
        delivered_share: share(funnel.delivered, funnel.accepted),
        read: thousands(funnel.read),
        failed: thousands(funnel.failed_itself()),
        cancelled: (funnel.cancelled > 0).then(|| thousands(funnel.cancelled)),
        has_failed: funnel.failed_itself() > 0,
        waiting: thousands(campaign.waiting.all()),
        can_pause: verdict.is_none() && campaign.waiting.all() > 0,
        can_resume: named,
        last: short_time(last),
        last_iso: last.to_string(),
        campaign: campaign.campaign.clone(),
        sends: campaign.sends(),
        account,
    }
}

/// Where one campaign is shown.
pub(super) fn path_of(account: &str, campaign: &str) -> String {
    format!("{PATH}/{}/{}", asked::piece(account), asked::piece(campaign))
}
