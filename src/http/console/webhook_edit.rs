//! Adding and changing a webhook: every setting, in sections that stay closed while they are as they are for most.
//!
//! The form has the fields of every kind of authentication, of retries and of profile; the style sheet hides those that were not
//! chosen, so that it works without a script, and in a browser that cannot hide them.

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Bytes, Data, Path},
};
use askama::Template;

use super::{
    Frame, Trouble, Visitor, asked,
    fields::{Entered, Field, FieldPart, Filled, Input},
    page, page_as, see_other,
    shown::once,
    webhook_fields::Sections,
    webhook_form,
    webhooks::{PATH, group_name},
};
use crate::{
    domain::{
        event_name::{Entity, EventName},
        operator::Permission,
        webhook::SecretText,
        webhook_settings::WebhookSettings,
    },
    http::Parts,
    profiles::{self, Signature},
    services::{
        operators::{FieldProblem, Refusal, require},
        webhooks::NewWebhook,
    },
};

#[derive(Template)]
#[template(path = "console/webhook_form.html")]
struct Page {
    frame: Frame,
    /// The name; `None` while it is being added.
    name: Option<String>,
    parts: FormParts,
    entities: Vec<EntityPart>,
    everything: bool,
    events_wrong: Option<String>,
    accounts: Vec<Ticked>,
    accounts_wrong: Option<String>,
    profiles: Vec<ProfilePart>,
    headers: Vec<HeaderRow>,
    headers_wrong: Option<String>,
    open: Open,
    wrong: Vec<String>,
    is_wrong: bool,
}

struct FormParts {
    name: Vec<FieldPart>,
    place: Vec<FieldPart>,
    payload: Vec<FieldPart>,
    commbox: Vec<FieldPart>,
    soap: Vec<FieldPart>,
    gallabox: Vec<FieldPart>,
    filter: Vec<FieldPart>,
    scheme: Vec<FieldPart>,
    basic: Vec<FieldPart>,
    bearer: Vec<FieldPart>,
    oauth2: Vec<FieldPart>,
    oauth2_password: Vec<FieldPart>,
    certificate: Vec<FieldPart>,
    signing: Vec<FieldPart>,
    alerts: Vec<FieldPart>,
    retries: Vec<FieldPart>,
    fixed: Vec<FieldPart>,
    exponential: Vec<FieldPart>,
    delivery: Vec<FieldPart>,
}

/// Which sections stand open.
struct Open {
    filter: bool,
    payload: bool,
    headers: bool,
    authentication: bool,
    certificate: bool,
    signing: bool,
    delivery: bool,
    alerts: bool,
}

struct EntityPart {
    name: &'static str,
    pattern: String,
    ticked: bool,
    events: Vec<EventPart>,
}

struct EventPart {
    name: &'static str,
    description: &'static str,
    ticked: bool,
    /// The profiles that have no word for it, as classes of the style sheet.
    lacks: String,
}

struct Ticked {
    value: String,
    ticked: bool,
}

struct ProfilePart {
    slug: &'static str,
    title: &'static str,
    text: &'static str,
    signature: &'static str,
}

struct HeaderRow {
    id: usize,
    name: String,
    placeholder: &'static str,
    /// Its value was entered, and is not there any more.
    again: bool,
}

/// The only time that a signing secret is seen.
#[derive(Template)]
#[template(path = "console/webhook_secret.html")]
struct SecretPage {
    frame: Frame,
    name: String,
    secret: String,
    is_new: bool,
    /// How long the old one signs, too.
    old: Option<String>,
    signature: &'static str,
}

/// Rows for headers that there are not yet.
const EMPTY_HEADER_ROWS: usize = 3;

/// `GET /console/new-webhook`
pub(super) async fn new(request: HttpRequest, parts: Data<Parts>, visitor: Visitor) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ManageConfiguration)?;
    let entered = webhook_form::entered(&WebhookSettings::default());
    page(&form(&request, &parts, &visitor, None, (entered, vec![])))
}

/// `POST /console/new-webhook`
pub(super) async fn add(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    body: Bytes,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ManageConfiguration)?;
    let entered = Entered::read(&body);
    let name = entered.text("name").to_owned();
    match parts.webhooks.create(&visitor.actor, &name, new_webhook(&entered)).await {
        Ok(Some(secret)) => {
            let signature = signature_of(profiles::find(entered.text("profile")).map(|profile| profile.signature()));
            secret_page((&request, &parts, &visitor), (name, &secret), None, signature).await
        }
        Ok(None) => Ok(see_other(&format!("{PATH}/{name}?done=webhook-added"))),
        Err(refusal) => {
            let problems = problems(refusal)?;
            wrong(&form(&request, &parts, &visitor, None, (entered, problems)))
        }
    }
}

/// And what of it could not be read.
fn new_webhook(entered: &Entered) -> (NewWebhook, Vec<FieldProblem>) {
    let (settings, mut problems) = webhook_form::settings(entered, None);
    let beginnings = [("on", (true, false)), ("paused", (true, true)), ("off", (false, false))];
    let (enabled, paused) = webhook_form::chosen(entered, "begin", &beginnings, (true, false), &mut problems);
    let since = asked::time("since", entered.text("since")).unwrap_or_else(|wrong| {
        problems.push(FieldProblem::new("since", wrong.text));
        None
    });
    (NewWebhook { enabled, paused, since, settings }, problems)
}

/// `GET /console/webhooks/{name}/edit`
pub(super) async fn edit(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    name: Path<String>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ManageConfiguration)?;
    let webhook = parts.webhooks.one(&visitor.actor, &name).await?.webhook;
    let entered = webhook_form::entered(&webhook.settings);
    page(&form(&request, &parts, &visitor, Some((&name, &webhook.settings)), (entered, vec![])))
}

/// `POST /console/webhooks/{name}/edit`
pub(super) async fn change(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    name: Path<String>,
    body: Bytes,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ManageConfiguration)?;
    let entered = Entered::read(&body);
    let webhook = parts.webhooks.one(&visitor.actor, &name).await?.webhook;
    let settings = webhook_form::settings(&entered, Some(&webhook.settings));
    match parts.webhooks.change(&visitor.actor, &name, settings).await {
        Ok(()) => Ok(see_other(&format!("{PATH}/{name}?done=webhook-saved"))),
        Err(refusal) => {
            let problems = problems(refusal)?;
            wrong(&form(&request, &parts, &visitor, Some((&name, &webhook.settings)), (entered, problems)))
        }
    }
}

/// What can be mended in the form; anything else is a page of its own.
fn problems(refusal: Refusal) -> Result<Vec<FieldProblem>, Trouble> {
    match refusal {
        Refusal::Problems(problems) => Ok(problems),
        Refusal::Invalid { field, text } => Ok(vec![FieldProblem::new(field, text)]),
        Refusal::Conflict(text) => Ok(vec![FieldProblem::new("name", text)]),
        refusal @ (Refusal::NotAllowed(_)
        | Refusal::NotFound(_)
        | Refusal::Meanwhile(_)
        | Refusal::WrongPassword
        | Refusal::TooManyTries { .. }
        | Refusal::Busy
        | Refusal::Store(_)) => Err(refusal.into()),
    }
}

fn wrong(form: &Page) -> Result<HttpResponse, Trouble> {
    page_as(StatusCode::UNPROCESSABLE_ENTITY, form)
}

pub(super) async fn secret_page(
    (request, parts, visitor): (&HttpRequest, &Parts, &Visitor),
    (name, secret): (String, &SecretText),
    old: Option<String>,
    signature: &'static str,
) -> Result<HttpResponse, Trouble> {
    let then = format!("{PATH}/{name}");
    let shown = SecretPage {
        frame: Frame::new(request, visitor, format!("{name}: its signing secret"), PATH),
        secret: secret.expose().to_owned(),
        is_new: old.is_none(),
        old,
        signature,
        name,
    };
    once(parts, visitor, &shown, &then).await
}

fn form(
    request: &HttpRequest,
    parts: &Parts,
    visitor: &Visitor,
    before: Option<(&str, &WebhookSettings)>,
    (entered, problems): (Entered, Vec<FieldProblem>),
) -> Page {
    let sections = Sections::of(before.map(|(_, settings)| settings));
    let headers = header_rows((&entered, problems.is_empty()), before.map(|(_, settings)| settings));
    let problems = problems.into_iter().map(|problem| webhook_form::placed(problem, &entered)).collect();
    let events: Vec<String> = entered.values("events").map(str::to_owned).collect();
    let accounts: Vec<String> = entered.values("filter.accounts").map(str::to_owned).collect();
    let known = parts.directory.snapshot().account_ids();
    // One that was taken out since must be seen, or nobody could take it out here.
    let gone = accounts.iter().filter(|id| !known.contains(id)).cloned().collect::<Vec<_>>();
    let filled = Filled::with(None, Some(entered), problems);
    let own = ["events", "headers", "filter.accounts"].map(|name| Field::new(name, name, Input::Text));
    let open = opened(&filled, &sections, headers.iter().any(|row| !row.name.is_empty()), !accounts.is_empty());
    Page {
        frame: Frame::new(request, visitor, before.map_or("Add a webhook", |(name, _)| name), PATH),
        name: before.map(|(name, _)| name.to_owned()),
        entities: entities(&events),
        everything: events.iter().any(|one| one == "*"),
        events_wrong: filled.wrong_at("events"),
        accounts: known
            .into_iter()
            .chain(gone)
            .map(|value| Ticked { ticked: accounts.contains(&value), value })
            .collect(),
        accounts_wrong: filled.wrong_at("filter.accounts"),
        profiles: profiles::ALL.iter().map(|profile| profile_part(*profile)).collect(),
        headers,
        headers_wrong: filled.wrong_at("headers"),
        open,
        wrong: filled.elsewhere(sections.all().chain(&own)),
        is_wrong: filled.is_wrong(),
        parts: FormParts {
            name: filled.parts(&sections.name),
            place: filled.parts(&sections.place),
            payload: filled.parts(&sections.payload),
            commbox: filled.parts(&sections.commbox),
            soap: filled.parts(&sections.soap),
            gallabox: filled.parts(&sections.gallabox),
            filter: filled.parts(&sections.filter),
            scheme: filled.parts(&sections.scheme),
            basic: filled.parts(&sections.basic),
            bearer: filled.parts(&sections.bearer),
            oauth2: filled.parts(&sections.oauth2),
            oauth2_password: filled.parts(&sections.oauth2_password),
            certificate: filled.parts(&sections.certificate),
            signing: filled.parts(&sections.signing),
            alerts: filled.parts(&sections.alerts),
            retries: filled.parts(&sections.retries),
            fixed: filled.parts(&sections.fixed),
            exponential: filled.parts(&sections.exponential),
            delivery: filled.parts(&sections.delivery),
        },
    }
}

/// A section opens when something in it is not as it is for most, or is wrong.
fn opened(filled: &Filled, sections: &Sections, has_headers: bool, has_accounts: bool) -> Open {
    let usual = webhook_form::entered(&WebhookSettings::default());
    let values = |entered: &Entered, name: &str| -> Vec<String> {
        entered.values(name).filter(|value| !value.is_empty()).map(str::to_owned).collect()
    };
    let is_special = |field: &Field| {
        let own = filled.entered.as_ref().map(|entered| values(entered, &field.name)).unwrap_or_default();
        filled.is_wrong_at(&field.name) || own != values(&usual, &field.name)
    };
    let any = |fields: &[&Vec<Field>]| fields.iter().flat_map(|fields| fields.iter()).any(is_special);
    let payload: Vec<Field> = sections.payload.iter().filter(|field| field.name != "version").cloned().collect();
    Open {
        filter: has_accounts || filled.is_wrong_at("filter.accounts") || any(&[&sections.filter]),
        payload: filled.is_wrong_at("version") || any(&[&payload]),
        headers: has_headers || filled.is_wrong_at("headers"),
        authentication: any(&[&sections.scheme]),
        certificate: any(&[&sections.certificate]),
        signing: any(&[&sections.signing]),
        alerts: any(&[&sections.alerts]),
        delivery: any(&[&sections.retries, &sections.fixed, &sections.exponential, &sections.delivery]),
    }
}

fn header_rows((entered, is_right): (&Entered, bool), before: Option<&WebhookSettings>) -> Vec<HeaderRow> {
    let is_stored = |name: &str| before.is_some_and(|before| before.headers.keys().any(|known| known == name));
    let pairs = entered.values("header.name").zip(entered.values("header.value"));
    let pairs = pairs.filter(|(name, _)| !name.is_empty());
    let pairs = pairs.chain(std::iter::repeat_n(("", ""), EMPTY_HEADER_ROWS));
    let row = |(id, (name, value)): (usize, (&str, &str))| HeaderRow {
        placeholder: if is_stored(name) { "Set. Leave empty to keep it" } else { "" },
        id,
        name: name.to_owned(),
        again: !is_right && !value.is_empty(),
    };
    pairs.enumerate().map(row).collect()
}

/// The catalogue, with a tick for each.
fn entities(ticked: &[String]) -> Vec<EntityPart> {
    let told = |entity: Entity| EventName::TOLD.iter().copied().filter(move |name| name.entity() == entity);
    let is_ticked = |pattern: &str| ticked.iter().any(|one| one == pattern);
    let part = |entity: Entity| {
        let pattern = format!("{}.*", entity.as_str());
        EntityPart {
            name: group_name(entity),
            ticked: is_ticked(&pattern),
            pattern,
            events: told(entity)
                .map(|name| EventPart {
                    name: name.as_str(),
                    description: name.description(),
                    ticked: is_ticked(name.as_str()),
                    lacks: lacks(name),
                })
                .collect(),
        }
    };
    Entity::ALL.into_iter().filter(|entity| told(*entity).next().is_some()).map(part).collect()
}

fn lacks(name: EventName) -> String {
    let without = profiles::ALL.iter().filter(|profile| profile.word(name).is_none());
    without.map(|profile| format!(" lacks-{}", profile.slug())).collect()
}

fn profile_part(profile: &'static dyn profiles::Profile) -> ProfilePart {
    ProfilePart {
        slug: profile.slug(),
        title: profile.title(),
        text: explained(profile.slug()),
        signature: signature_of(Some(profile.signature())),
    }
}

/// What a receiver gets, for somebody who chooses.
fn explained(slug: &str) -> &'static str {
    match slug {
        "native" => {
            "Our own JSON: an envelope with id, type, time and sequence, and under data all that is known. For a receiver that you write now."
        }
        "gallabox" => "Gallabox’s JSON, with the name of the event in the header x-event-name.",
        "commbox" => "CommBox’s Event, in JSON, XML or SOAP 1.1 and 1.2. In JSON all values are texts.",
        "gotallo" => "GoTallo’s message object: the body is the message, and its status says what happened.",
        "meta" => "Meta’s own webhook: what the Cloud API sent is passed on as it came, in a new envelope.",
        _ => "",
    }
}

pub(super) const fn signature_of(signature: Option<Signature>) -> &'static str {
    match signature {
        Some(Signature::StandardWebhooks) => {
            "Signed as Standard Webhooks has it: webhook-id, webhook-timestamp, webhook-signature. While a secret is changed, by both."
        }
        Some(Signature::Gallabox) => {
            "Signed in x-gallabox-signature: HMAC-SHA256 of the body, in base64, by the newest secret."
        }
        Some(Signature::Hub) => {
            "Signed in x-hub-signature-256: sha256= and HMAC-SHA256 of the body in hex, by the newest secret."
        }
        Some(Signature::None) | None => "Not signed: keep the URL secret, or let it log in.",
    }
}
