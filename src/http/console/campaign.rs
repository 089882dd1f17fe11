//! One campaign: its counts, stopping what waits of it, and what CleverTap shows of it.

use actix_web::{
    HttpRequest, HttpResponse, Scope,
    http::StatusCode,
    web::{self, Data, Form},
};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, Trouble, Visitor,
    asked::Query,
    campaign_counts::{CampaignPart, look},
    campaign_figures::{FigureField, FiguresForm, Row, row},
    campaigns::{PATH, PeriodForm, PeriodOption, path_of, periods},
    frame::wants_part,
    page, page_as, see_other,
};
use crate::{
    clock,
    domain::{account::Account, operator::Permission, reconciliation},
    http::{Parts, campaigns as shared},
    services::{
        campaigns::{self, Period},
        operators::{Refusal, require},
    },
};

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
    /// Lines that were pasted and hold no figure.
    unread: Option<String>,
    /// Nothing in what was entered is a figure.
    nothing_read: bool,
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
    let (figures, fields, unread) = entered.read();
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
    page_as(status, &Page { figures: fields, pasted: entered.pasted, compared, nothing_read, unread, ..whole })
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
        unread: None,
    }
}
