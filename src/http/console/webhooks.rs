//! Webhooks: whoever else hears of what happens, and whether they take it. One of them is in [`webhook`], its form in
//! [`webhook_edit`], what was said to it in [`webhook_log`], samples and the catalogue of events in [`webhook_try`].

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, ServiceConfig},
};
use askama::Template;

use super::{
    Frame, Trouble, Visitor, asked::NoQuery, frame::wants_part, messages::Status, page, webhook, webhook_edit,
    webhook_log, webhook_replay, webhook_try,
};
use crate::{
    clock,
    domain::{
        event_name::Entity,
        operator::{Actor, Permission},
        time::UnixMillis,
        webhook_filter::Filter,
        webhook_settings::{WebhookSettings, shown_url},
        words::{ago, counted, thousands},
    },
    http::Parts,
    profiles,
    services::{
        masking,
        webhook_view::{self, WebhookState, WebhookView},
    },
};

pub(super) const PATH: &str = "/console/webhooks";

/// Everything about webhooks.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/webhooks", web::get().to(list))
        .route("/new-webhook", web::get().to(webhook_edit::new))
        .route("/new-webhook", web::post().to(webhook_edit::add))
        .route("/webhook-events", web::get().to(webhook_try::catalogue))
        .route("/webhook-events/{event}/schema", web::get().to(webhook_try::schema))
        .route("/webhooks/{name}", web::get().to(webhook::show))
        .route("/webhooks/{name}/standing", web::get().to(webhook::standing))
        .route("/webhooks/{name}/edit", web::get().to(webhook_edit::edit))
        .route("/webhooks/{name}/edit", web::post().to(webhook_edit::change))
        .route("/webhooks/{name}/switch/{to}", web::post().to(webhook::switch))
        .route("/webhooks/{name}/rotate", web::post().to(webhook::rotate))
        .route("/webhooks/{name}/delete", web::get().to(webhook::ask_to_delete))
        .route("/webhooks/{name}/delete", web::post().to(webhook::delete))
        .route("/webhooks/{name}/log", web::get().to(webhook_log::list))
        .route("/webhooks/{name}/replay", web::get().to(webhook_replay::look))
        .route("/webhooks/{name}/replay", web::post().to(webhook_replay::begin))
        .route("/webhooks/{name}/try", web::get().to(webhook_try::show))
        .route("/webhooks/{name}/try", web::post().to(webhook_try::send));
}

#[derive(Template)]
#[template(path = "console/webhooks.html")]
struct Page {
    frame: Frame,
    may_change: bool,
    list: List,
}

/// What changes while somebody looks.
#[derive(Template)]
#[template(path = "console/webhooks_list.html")]
struct List {
    webhooks: Vec<Row>,
    may_change: bool,
}

struct Row {
    name: String,
    description: String,
    state: Status,
    trouble: Option<String>,
    url: String,
    profile: &'static str,
    hears_of: String,
    backlog: String,
    dead: String,
    has_dead: bool,
    taken: String,
}

/// What stands above all pages of one webhook.
pub(super) struct Head {
    pub(super) name: String,
    pub(super) state: Status,
    /// Which of them this is.
    pub(super) here: &'static str,
    pub(super) may_change: bool,
}

/// `GET /console/webhooks`
pub(super) async fn list(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    _: NoQuery,
) -> Result<HttpResponse, Trouble> {
    let views = views(&parts, &visitor.actor, None).await?;
    let may_change = visitor.actor.may(Permission::ManageConfiguration);
    let list = List { webhooks: views.iter().map(|view| row(&visitor.actor, view)).collect(), may_change };
    if wants_part(&request) {
        return page(&list);
    }
    page(&Page { frame: Frame::new(&request, &visitor, "Webhooks", PATH), may_change, list })
}

async fn views(parts: &Parts, actor: &Actor, name: Option<&str>) -> Result<Vec<WebhookView>, Trouble> {
    let snapshot = parts.directory.snapshot();
    Ok(webhook_view::views((&parts.webhooks, &parts.store, &snapshot), actor, name).await?)
}

/// One, by its name.
pub(super) async fn view_of(parts: &Parts, actor: &Actor, name: &str) -> Result<WebhookView, Trouble> {
    let found = views(parts, actor, Some(name)).await?.pop();
    found.ok_or_else(|| {
        Trouble::new(actix_web::http::StatusCode::NOT_FOUND, "It is not here", format!("There is no webhook {name}."))
    })
}

pub(super) fn head(actor: &Actor, view: &WebhookView, here: &'static str) -> Head {
    Head {
        name: view.webhook.name.clone(),
        state: state_status(view.state),
        here,
        may_change: actor.may(Permission::ManageConfiguration),
    }
}

fn row(actor: &Actor, view: &WebhookView) -> Row {
    let settings = &view.webhook.settings;
    let now = clock::now();
    Row {
        name: view.webhook.name.clone(),
        description: settings.description.clone(),
        state: state_status(view.state),
        trouble: trouble(actor, view, now),
        url: shown_url(settings.url.expose()),
        profile: profile_title(settings),
        hears_of: hears_of(settings),
        backlog: backlog(view),
        dead: thousands(view.dead),
        has_dead: view.dead > 0,
        taken: taken(view, now),
    }
}

pub(super) fn state_status(state: WebhookState) -> Status {
    let (name, tone) = match state {
        WebhookState::Works => ("works", "good"),
        WebhookState::Retrying => ("retrying", "warn"),
        WebhookState::Failing => ("failing", "bad"),
        WebhookState::Paused => ("paused", "warn"),
        WebhookState::SwitchedOff => ("switched off", "bad"),
        WebhookState::Off => ("off", "plain"),
        WebhookState::Quiet => ("no event yet", "plain"),
    };
    Status { name, tone }
}

/// What stands below the state where something is wrong, or waits.
fn trouble(actor: &Actor, view: &WebhookView, now: UnixMillis) -> Option<String> {
    match view.state {
        WebhookState::Retrying | WebhookState::Failing => Some(not_taken(view, now)),
        WebhookState::SwitchedOff => view.webhook.switched_off.as_ref().map(|off| masking::text(actor, &off.reason)),
        WebhookState::Paused => Some(format!("{} kept for it", counted(view.backlog, "event is", "events are"))),
        WebhookState::Works | WebhookState::Off | WebhookState::Quiet => None,
    }
}

/// How many requests failed, and for how long.
pub(super) fn not_taken(view: &WebhookView, now: UnixMillis) -> String {
    let since = view.failing_since.map(|since| format!(" for {}", ago(since, now))).unwrap_or_default();
    match view.failures {
        1 => "the last request was not taken".to_owned(),
        failures => format!("{} requests in a row not taken{since}", thousands(failures)),
    }
}

pub(super) fn taken(view: &WebhookView, now: UnixMillis) -> String {
    match (view.taken_at(), view.failing_since) {
        (Some(at), _) => format!("{} ago", ago(at, now)),
        (None, Some(since)) => format!("not for {}", ago(since, now)),
        (None, None) if view.urls.is_empty() => String::new(),
        (None, None) => "nothing yet".to_owned(),
    }
}

pub(super) fn backlog(view: &WebhookView) -> String {
    format!("{}{}", thousands(view.backlog), if view.is_more { " or more" } else { "" })
}

pub(super) fn profile_title(settings: &WebhookSettings) -> &'static str {
    profiles::find(&settings.profile).map_or("unknown to this version", |profile| profile.title())
}

/// The patterns, the first of them where there are many.
fn hears_of(settings: &WebhookSettings) -> String {
    const NAMED_MAX: usize = 3;
    let named: Vec<String> = settings.events.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    let more = settings.events.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let filtered = if settings.filter == Filter::default() { "" } else { ", filtered" };
    format!("{}{more}{filtered}", named.join(", "))
}

/// What a group of events is called.
pub(super) const fn group_name(entity: Entity) -> &'static str {
    match entity {
        Entity::Message => "Messages",
        Entity::Template => "Templates",
        Entity::Channel => "Channels",
        Entity::Contact => "Contacts",
        Entity::Conversation => "Conversations",
        Entity::Webhook => "Webhooks",
        Entity::CommBox => "What only CommBox has",
        Entity::Gallabox => "What only Gallabox has",
        Entity::GoTallo => "What only GoTallo has",
    }
}
