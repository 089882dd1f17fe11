//! What a webhook is sent: a sample of each event, as it would be written for this webhook, sent at once when somebody wants to see what
//! the receiver answers. And the catalogue of events, for whoever writes one.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::ContentType,
    web::{Data, Form, Path},
};
use askama::Template;
use serde::Deserialize;

use super::{
    Frame, Trouble, Visitor,
    asked::{self, Query, Wrong},
    callback_exchanges::outcome_status,
    frame::sentence,
    json::pretty,
    messages::Status,
    page,
    webhooks::{Head, PATH, group_name, head, view_of},
};
use crate::{
    clock,
    domain::{
        attempt::{AnswerExcerpt, AttemptOutcome},
        event_name::{Entity, EventName},
        operator::{Actor, Permission},
        webhook::Webhook,
        webhook_event::Level,
        webhook_sample::sample,
        words::thousands,
    },
    http::{Parts, openapi_webhooks},
    profiles::native::{Payload, VERSION},
    services::{
        callbacks::head_of,
        masking,
        operators::{Refusal, require},
        webhook_relay::{Written, render},
        webhooks::SentSample,
    },
};

/// With the token of the form, when it is sent.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct TryForm {
    event: String,
}

#[derive(Template)]
#[template(path = "console/webhook_try.html")]
struct Page {
    frame: Frame,
    head: Head,
    groups: Vec<Group>,
    event: &'static str,
    description: &'static str,
    is_wanted: bool,
    preview: Option<Preview>,
    /// Why there is nothing to send.
    no_words: Option<String>,
    answer: Option<Answer>,
    may_send: bool,
}

struct Preview {
    head: Vec<(String, String)>,
    body: String,
}

/// What the receiver said.
struct Answer {
    taken: bool,
    status: Status,
    code: String,
    took: String,
    note: String,
    excerpt: Option<AnswerExcerpt>,
}

/// Events of one entity.
struct Group {
    name: &'static str,
    events: Vec<Listed>,
}

struct Listed {
    name: &'static str,
    description: &'static str,
    chosen: bool,
    sample: String,
}

#[derive(Template)]
#[template(path = "console/webhook_events.html")]
struct Catalogue {
    frame: Frame,
    groups: Vec<Group>,
    profiles: Vec<&'static str>,
    /// The words of each profile, by event.
    words: Vec<(&'static str, Vec<&'static str>)>,
}

/// `GET /console/webhooks/{name}/try`
pub(super) async fn show(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    name: Path<String>,
    form: Query<TryForm>,
) -> Result<HttpResponse, Trouble> {
    shown(&request, &parts, &visitor, (&name, form.event()?), None).await
}

/// `POST /console/webhooks/{name}/try`
pub(super) async fn send(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    name: Path<String>,
    form: Form<TryForm>,
) -> Result<HttpResponse, Trouble> {
    let event = form.event()?.ok_or_else(|| Wrong::of("event", "is missing: choose one of the list"))?;
    let sent = parts.webhooks.send_sample(&visitor.actor, &name, event).await?;
    let answer = answer(&visitor.actor, &sent);
    shown(&request, &parts, &visitor, (&name, Some(event)), Some(answer)).await
}

impl TryForm {
    fn event(&self) -> Result<Option<EventName>, Wrong> {
        asked::one_of("event", &self.event, EventName::TOLD, EventName::as_str)
    }
}

async fn shown(
    request: &HttpRequest,
    parts: &Parts,
    visitor: &Visitor,
    (name, event): (&str, Option<EventName>),
    answer: Option<Answer>,
) -> Result<HttpResponse, Trouble> {
    let view = view_of(parts, &visitor.actor, name).await?;
    let webhook = &view.webhook;
    let wanted = EventName::TOLD.iter().copied().find(|name| webhook.settings.wants(*name));
    let event = event.or(wanted).unwrap_or(EventName::MessageReceived);
    let (preview, no_words) = preview(webhook, event);
    page(&Page {
        frame: Frame::new(request, visitor, format!("{name}: samples"), PATH),
        head: head(&visitor.actor, &view, "try"),
        groups: groups(Some(event)),
        event: event.as_str(),
        description: event.description(),
        is_wanted: webhook.settings.wants(event),
        preview,
        no_words,
        answer,
        may_send: visitor.actor.may(Permission::ManageConfiguration),
    })
}

fn preview(webhook: &Webhook, event: EventName) -> (Option<Preview>, Option<String>) {
    match render(webhook, &sample(event), clock::now()) {
        Written::Request(request) => {
            let head = head_of(webhook, &request);
            (Some(Preview { head, body: pretty(&request.body) }), None)
        }
        Written::Unwanted => (None, Some("The webhook does not want it.".to_owned())),
        Written::Unspeakable(why) => (None, Some(sentence(&why))),
    }
}

fn answer(actor: &Actor, sent: &SentSample) -> Answer {
    let attempt = &sent.attempt;
    let code = attempt.http_status.map_or_else(|| "no answer".to_owned(), |status| format!("HTTP {status}"));
    let note = attempt.note.strip_prefix(&code).unwrap_or(&attempt.note).trim_start_matches(':').trim();
    Answer {
        taken: attempt.outcome == AttemptOutcome::Succeeded,
        status: outcome_status(attempt.outcome),
        took: format!("{} ms", thousands(i64::try_from(attempt.took.as_millis()).unwrap_or(i64::MAX))),
        note: masking::text(actor, note),
        excerpt: attempt.excerpt.as_ref().map(|excerpt| masking::excerpt(actor, excerpt)),
        code,
    }
}

fn groups(chosen: Option<EventName>) -> Vec<Group> {
    let listed = |name: EventName| Listed {
        name: name.as_str(),
        description: name.description(),
        chosen: chosen == Some(name),
        sample: native(name),
    };
    let group = |entity: Entity| Group {
        name: group_name(entity),
        events: EventName::TOLD.iter().copied().filter(|name| name.entity() == entity).map(listed).collect(),
    };
    Entity::ALL.into_iter().map(group).filter(|group| !group.events.is_empty()).collect()
}

/// An example in our own words.
fn native(name: EventName) -> String {
    let payload = Payload { version: VERSION, event: sample(name).at(Level::Standard) };
    serde_json::to_string_pretty(&payload).expect("an event can be written as JSON")
}

/// `GET /console/webhook-events`
pub(super) async fn catalogue(request: HttpRequest, visitor: Visitor) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ReadMessages)?;
    let others = crate::profiles::ALL.iter().filter(|profile| profile.slug() != "native");
    let words = |name: &EventName| {
        let words = others.clone().map(|profile| profile.word(*name).unwrap_or("–")).collect();
        (name.as_str(), words)
    };
    page(&Catalogue {
        frame: Frame::new(&request, &visitor, "Events of webhooks", PATH),
        groups: groups(None),
        profiles: others.clone().map(|profile| profile.title()).collect(),
        words: EventName::TOLD.iter().map(words).collect(),
    })
}

/// `GET /console/webhook-events/{event}/schema`
pub(super) async fn schema(visitor: Visitor, event: Path<String>) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ReadMessages)?;
    let name = EventName::TOLD.iter().copied().find(|name| name.as_str() == *event);
    let name = name.ok_or_else(|| Refusal::NotFound(format!("there is no event {event}")))?;
    let schema = openapi_webhooks::json_schema(name);
    let text = serde_json::to_string_pretty(&schema).expect("a schema can be written as JSON");
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(text))
}
