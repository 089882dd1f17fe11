//! Telling a webhook again: what it would be over all its cursors, and the yes. How far it has come stands on its page.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Form, Path},
};
use askama::Template;

use super::{
    Frame, Trouble, Visitor,
    asked::Query,
    callback_replay::{ReplayForm, begin_planned, events_of},
    frame::long_time,
    page, see_other,
    webhooks::{Head, PATH, head, view_of},
};
use crate::{
    domain::{
        operator::{Actor, Permission},
        words::thousands,
    },
    http::Parts,
    services::{
        operators::{Refusal, require},
        replay::Planned,
        webhook_view::WebhookView,
    },
};

#[derive(Template)]
#[template(path = "console/webhook_replay.html")]
struct Page {
    frame: Frame,
    head: Head,
    form: ReplayForm,
    wrong: Option<String>,
    what: &'static str,
    count: i64,
    events: String,
    made: String,
}

/// `GET /console/webhooks/{name}/replay`
pub(super) async fn look(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    name: Path<String>,
    form: Query<ReplayForm>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ReplayCallbacks)?;
    let view = view_of(&parts, &visitor.actor, &name).await?;
    let (count, wrong) = events_of(planned(&parts, &visitor.actor, &view, &form).await)?;
    page(&Page {
        frame: Frame::new(&request, &visitor, format!("{}: tell again", *name), PATH),
        head: head(&visitor.actor, &view, "overview"),
        what: form.what(),
        form: form.into_inner(),
        wrong,
        count,
        events: thousands(count),
        made: long_time(view.webhook.created_at),
    })
}

/// `POST /console/webhooks/{name}/replay`
pub(super) async fn begin(
    parts: Data<Parts>,
    visitor: Visitor,
    name: Path<String>,
    form: Form<ReplayForm>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ReplayCallbacks)?;
    let view = view_of(&parts, &visitor.actor, &name).await?;
    let rate = form.rate()?;
    let planned = planned(&parts, &visitor.actor, &view, &form).await?;
    begin_planned(&parts, &visitor, &planned, rate).await?;
    Ok(see_other(&format!("{PATH}/{}?done=replay", *name)))
}

async fn planned(parts: &Parts, actor: &Actor, view: &WebhookView, form: &ReplayForm) -> Result<Vec<Planned>, Refusal> {
    let mut planned = Vec::new();
    for url in &view.urls {
        planned.extend(form.planned(parts, actor, url.subscription.key.0).await?);
    }
    Ok(planned)
}
