//! One campaign: its funnel, its speed, why it failed, and stopping what waits of it. And what CleverTap shows of it, held against
//! what was counted here.

use actix_web::{
    HttpRequest, HttpResponse, Scope,
    http::StatusCode,
    web::{self, Data, Form},
};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, Trouble, Visitor,
    asked::{self, Query},
    campaigns::{COUNT_TAKES_MAX, Extent, PATH, PeriodForm, PeriodOption, path_of, periods},
    chart::{self, Chart, grouped, share},
    frame::{long_time, price_words, wants_part},
    messages::{self, reason_words},
    page, page_as, see_other,
};
use crate::{
    clock,
    domain::{
        account::Account,
        campaign::Funnel,
        operator::{Actor, Permission},
        price::{Bill, Price},
        reconciliation::{self, Figures},
    },
    http::{Parts, campaigns as shared},
    platforms,
    services::{
        campaigns::{self, Asked, Campaign, Counts, Period, WaitingMessages},
        masking,
        operators::{Refusal, require},
    },
    store::{StoreError, campaign_cancels::CampaignCancel},
};

/// Failures in the list.
const FAILURES_SHOWN_MAX: usize = 40;
/// Lines of the bill; a campaign goes to a few countries.
const COSTS_SHOWN_MAX: usize = 60;

/// Everything under one campaign.
pub(super) fn routes() -> Scope {
    web::scope("/campaigns/{account}/{campaign}")
        .route("", web::get().to(show))
        .route("/messages.csv", web::get().to(file))
        .route("/pause", web::post().to(pause))
        .route("/resume", web::post().to(resume))
        .route("/cancel", web::post().to(cancel))
        .route("/reconcile", web::post().to(reconcile))
        .default_service(web::to(super::nothing_here))
}

#[derive(Template)]
#[template(path = "console/campaign.html")]
struct Page {
    frame: Frame,
    path: String,
    campaign: String,
    account: String,
    form: PeriodForm,
    periods: Vec<PeriodOption>,
    part: CampaignPart,
    figures: Vec<FigureField>,
    pasted: String,
    compared: Option<Vec<Row>>,
    /// Nothing in what was entered is a figure.
    nothing_read: bool,
}

/// What changes while somebody looks.
#[derive(Template)]
#[template(path = "console/campaign_counts.html")]
struct CampaignPart {
    form: PeriodForm,
    href: String,
    path: String,
    csv_href: String,
    messages_href: String,
    /// When the page looks again by itself.
    again: Option<&'static str>,
    wrong: Option<String>,
    extent: Extent,
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

struct CancelNote {
    text: String,
    tone: &'static str,
}

/// A figure of both sides.
struct Row {
    name: &'static str,
    theirs: String,
    ours: String,
    difference: String,
    same: bool,
    why: Vec<String>,
}

#[derive(Clone, Default, Deserialize)]
pub(super) struct FiguresForm {
    #[serde(default)]
    sent: String,
    #[serde(default)]
    delivered: String,
    #[serde(default)]
    read: String,
    #[serde(default)]
    failed: String,
    #[serde(default)]
    replies: String,
    #[serde(default)]
    pasted: String,
    #[serde(default)]
    period: String,
    #[serde(default)]
    since: String,
    #[serde(default)]
    until: String,
}

#[derive(Deserialize)]
pub(super) struct ReasonForm {
    #[serde(default)]
    reason: String,
    and_new: Option<String>,
    /// Somebody has seen what is to be cancelled.
    sure: Option<String>,
    /// Pressed in the list.
    from_list: Option<String>,
}

type Place = web::Path<(String, String)>;

/// `GET /console/campaigns/{account}/{campaign}`
pub(super) async fn show(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    place: Place,
    form: Query<PeriodForm>,
) -> Result<HttpResponse, Trouble> {
    let (account, campaign) = shared::known(&parts, &place)?;
    let seen = look(&parts, &visitor, &account, &campaign, &form).await?;
    if wants_part(&request) {
        return page(&seen.part);
    }
    page(&whole_page(&request, &visitor, &account, &campaign, form.into_inner(), seen.part))
}

/// `GET /console/campaigns/{account}/{campaign}/messages.csv`
pub(super) async fn file(
    parts: Data<Parts>,
    visitor: Visitor,
    place: Place,
    form: Query<PeriodForm>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ReadMessages)?;
    let (account, campaign) = shared::known(&parts, &place)?;
    let period = form.period(Period::Whole)?;
    let span = campaigns::span(Some(&campaign), period, clock::now());
    Ok(shared::file(&parts, &visitor.actor, &account, &campaign, span).await?)
}

/// `POST /console/campaigns/{account}/{campaign}/pause`
pub(super) async fn pause(
    parts: Data<Parts>,
    visitor: Visitor,
    place: Place,
    form: Form<ReasonForm>,
) -> Result<HttpResponse, Trouble> {
    let (account, campaign) = shared::known(&parts, &place)?;
    parts.campaigns.pause(&visitor.actor, &account, &campaign, &form.reason).await?;
    Ok(back(&account, &campaign, &form, "paused"))
}

/// `POST /console/campaigns/{account}/{campaign}/resume`
pub(super) async fn resume(
    parts: Data<Parts>,
    visitor: Visitor,
    place: Place,
    form: Form<ReasonForm>,
) -> Result<HttpResponse, Trouble> {
    let (account, campaign) = shared::known(&parts, &place)?;
    parts.campaigns.resume(&visitor.actor, &account, &campaign).await?;
    Ok(back(&account, &campaign, &form, "resumed"))
}

/// `POST /console/campaigns/{account}/{campaign}/cancel`
pub(super) async fn cancel(
    parts: Data<Parts>,
    visitor: Visitor,
    place: Place,
    form: Form<ReasonForm>,
) -> Result<HttpResponse, Trouble> {
    let (account, campaign) = shared::known(&parts, &place)?;
    require(&visitor.actor, Permission::ManageQueues)?;
    if form.sure.is_none() {
        let text = "say that you are sure: what is cancelled is never sent".to_owned();
        return Err(Refusal::Invalid { field: "sure", text }.into());
    }
    let wanted = (form.reason.as_str(), form.and_new.is_some());
    parts.campaigns.cancel(&visitor.actor, &account, &campaign, wanted).await?;
    Ok(back(&account, &campaign, &form, "cancelling"))
}

/// `POST /console/campaigns/{account}/{campaign}/reconcile`
pub(super) async fn reconcile(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    place: Place,
    form: Form<FiguresForm>,
) -> Result<HttpResponse, Trouble> {
    let (account, campaign) = shared::known(&parts, &place)?;
    let entered = form.into_inner();
    let period = PeriodForm {
        period: entered.period.clone(),
        since: entered.since.clone(),
        until: entered.until.clone(),
        account: String::new(),
    };
    let (figures, fields) = entered.read();
    let is_wrong = figures.is_empty() || fields.iter().any(|field| field.wrong.is_some());
    let seen = look(&parts, &visitor, &account, &campaign, &period).await?;
    let status = if is_wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let compared = match is_wrong {
        true => None,
        false => {
            let around = shared::surroundings(&parts.store, &account, seen.part.extent.complete).await?;
            Some(reconciliation::compare(&figures, &seen.funnel, &around).into_iter().map(row).collect())
        }
    };
    let nothing_read = figures.is_empty() && fields.iter().all(|field| field.wrong.is_none());
    let whole = whole_page(&request, &visitor, &account, &campaign, period, seen.part);
    page_as(status, &Page { figures: fields, pasted: entered.pasted, compared, nothing_read, ..whole })
}

fn row(compared: reconciliation::Compared) -> Row {
    let reconciliation::Compared { name, theirs, ours, why } = compared;
    let difference =
        if theirs > ours { format!("+{}", grouped(theirs - ours)) } else { format!("−{}", grouped(ours - theirs)) };
    Row { name, theirs: grouped(theirs), ours: grouped(ours), difference, same: theirs == ours, why }
}

fn back(account: &Account, campaign: &str, form: &ReasonForm, done: &str) -> HttpResponse {
    let path = if form.from_list.is_some() { PATH.to_owned() } else { path_of(&account.id, campaign) };
    see_other(&format!("{path}?done={done}"))
}

fn whole_page(
    request: &HttpRequest,
    visitor: &Visitor,
    account: &Account,
    campaign: &str,
    form: PeriodForm,
    part: CampaignPart,
) -> Page {
    Page {
        frame: Frame::new(request, visitor, format!("Campaign {campaign}"), PATH),
        path: path_of(&account.id, campaign),
        campaign: campaign.to_owned(),
        account: account.id.clone(),
        periods: periods(&form, Period::Whole, "Since it was made"),
        form,
        part,
        figures: FiguresForm::default().read().1,
        pasted: String::new(),
        compared: None,
        nothing_read: false,
    }
}

/// The part that moves, and the counts behind it.
struct Seen {
    part: CampaignPart,
    funnel: Funnel,
}

async fn look(
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
    vec![
        stage("Accepted", "plain", funnel.accepted),
        stage("Sent", "info", funnel.sent),
        stage("Delivered", "good", funnel.delivered),
        stage("Read", "good", funnel.read),
        stage("Failed", "bad", funnel.failed),
        stage("Still open", "warn", funnel.open),
    ]
}

fn facts(found: Option<&Campaign>, counts: &Counts, funnel: &Funnel) -> Vec<(&'static str, String)> {
    let Some(campaign) = found else { return vec![] };
    let minutes = counts.sent_by_minute.values();
    let fastest = minutes.max().map(|most| {
        let per_second = *most as f64 / 60.0;
        if per_second < 1.0 {
            format!("{most} in a minute")
        } else {
            format!("{per_second:.0} a second, over a minute")
        }
    });
    let facts = [
        ("Template", Some(campaign.sends())),
        ("First message (UTC)", Some(long_time(campaign.first.made_at()))),
        ("Last message (UTC)", Some(long_time(campaign.last.made_at()))),
        ("Fastest", fastest),
        ("Answers that quote a message", Some(grouped(funnel.replies))),
        ("Expired before they were sent", (funnel.expired > 0).then(|| grouped(funnel.expired))),
        ("Cancelled", (funnel.cancelled > 0).then(|| grouped(funnel.cancelled))),
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
    let mut failures: Vec<_> = found.iter().flat_map(|campaign| &campaign.failures).collect();
    failures.sort_by_key(|(_, count)| std::cmp::Reverse(count.messages));
    let row =
        |((reason, code), count): (&(crate::domain::failure::FailureReason, Option<i64>), &campaigns::FailureCount)| {
            let by_code = code.map_or_else(String::new, |code| format!("&code={code}"));
            FailureRow {
                reason: reason_words(*reason),
                platform_code: platform.map_or_else(String::new, |platform| platform.failure_code(*reason).to_string()),
                code: *code,
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

impl FiguresForm {
    /// What was typed goes before what was pasted; each field that holds no figure says so.
    fn read(&self) -> (Figures, Vec<FigureField>) {
        let mut figures = Figures::default();
        let mut fields = Vec::new();
        for (name, label, typed, place) in [
            ("sent", "Sent", &self.sent, &mut figures.sent),
            ("delivered", "Delivered", &self.delivered, &mut figures.delivered),
            ("read", "Viewed", &self.read, &mut figures.read),
            ("failed", "Errors", &self.failed, &mut figures.failed),
            ("replies", "Replied", &self.replies, &mut figures.replies),
        ] {
            let digits = typed.trim().replace([',', ' ', '.'], "");
            *place = digits.parse().ok();
            let wrong = (!digits.is_empty() && place.is_none()).then_some("A whole number, such as 9,801.");
            fields.push(FigureField { name, label, value: typed.clone(), wrong });
        }
        (figures.or(Figures::read(&self.pasted)), fields)
    }
}

/// One of CleverTap's figures, as somebody typed it.
struct FigureField {
    name: &'static str,
    label: &'static str,
    value: String,
    wrong: Option<&'static str>,
}
