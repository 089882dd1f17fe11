//! One webhook: how it stands and what to do, what it is told and how, and what a person can switch.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Bytes, Data, Path},
};
use askama::Template;

use super::{
    Frame, Trouble, Visitor,
    callback_replay::{self, ReplayPart},
    callbacks::{kind_name, owed, status_of},
    fields::Entered,
    frame::{long_time, sentence},
    messages::Status,
    page, see_other,
    webhook_edit::{secret_page, signature_of},
    webhook_form::method_word,
    webhooks::{Head, PATH, backlog, head, not_taken, profile_title, state_status, taken, view_of},
};
use crate::{
    clock,
    domain::{
        operator::{Actor, Permission},
        time::UnixMillis,
        webhook::{Alerts, Authentication, Grant, MASK, Retries, Success, Webhook},
        webhook_filter::Filter,
        webhook_settings::{WebhookSettings, shown_url},
        words::{ago, counted, lasting, thousands},
    },
    http::Parts,
    profiles::{self, Signature},
    services::{
        callbacks::UrlStanding,
        masking,
        operators::{Refusal, require},
        webhook_view::{WebhookState, WebhookView},
        webhooks::{OLD_SECRET_LIVES, Switch, old_secrets_sign_until},
    },
};

#[derive(Template)]
#[template(path = "console/webhook.html")]
struct Page {
    frame: Frame,
    head: Head,
    standing: StandingPart,
    /// Under way, and those that came to an end.
    replays: Vec<ReplayPart>,
    ended: Vec<ReplayPart>,
    settings: Vec<(&'static str, String)>,
    may_change: bool,
    may_replay: bool,
    enabled: bool,
    paused: bool,
    signs: bool,
    /// Old and new secret, for a time.
    signs_twice: bool,
    has_cursors: bool,
    made: String,
}

/// What changes while somebody looks.
#[derive(Template)]
#[template(path = "console/webhook_standing.html")]
struct StandingPart {
    name: String,
    state: Status,
    /// What is wrong and what to do, in a colour.
    advice: Option<(&'static str, String)>,
    backlog: String,
    dead: String,
    has_dead: bool,
    not_relayed: String,
    taken: String,
    failures: String,
    cursors: Vec<CursorRow>,
    moves: bool,
    /// It takes the place of another, and with it goes what the page's head says.
    again: bool,
}

struct CursorRow {
    key: i32,
    account: String,
    kind: &'static str,
    state: Status,
    owed: String,
    waiting: String,
    dead: String,
    has_dead: bool,
    last: String,
}

#[derive(Template)]
#[template(path = "console/webhook_delete.html")]
struct DeletePage {
    frame: Frame,
    head: Head,
    backlog: String,
}

const REPLAYS_SHOWN_MAX: usize = 8;
const HOUR: Duration = Duration::from_secs(60 * 60);

/// `GET /console/webhooks/{name}`
pub(super) async fn show(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    name: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let actor = &visitor.actor;
    let view = view_of(&parts, actor, &name).await?;
    let mut replays = Vec::new();
    for url in &view.urls {
        replays.extend(parts.store.replays_of(url.subscription.key, REPLAYS_SHOWN_MAX).await?);
    }
    replays.sort_by_key(|replay| std::cmp::Reverse(replay.id));
    replays.truncate(REPLAYS_SHOWN_MAX);
    let (open, ended): (Vec<_>, Vec<_>) = replays.iter().partition(|replay| replay.finished_at.is_none());
    let shown = |replays: Vec<_>| replays.into_iter().map(|replay| callback_replay::part(&visitor, replay)).collect();
    let webhook = &view.webhook;
    page(&Page {
        frame: Frame::new(&request, &visitor, webhook.name.clone(), PATH),
        head: head(actor, &view, "overview"),
        standing: standing_part(actor, &view),
        replays: shown(open),
        ended: shown(ended),
        settings: settings(actor, webhook),
        may_change: actor.may(Permission::ManageConfiguration),
        may_replay: actor.may(Permission::ReplayCallbacks),
        enabled: webhook.enabled,
        paused: webhook.paused,
        signs: signature(&webhook.settings) != Signature::None,
        signs_twice: signature(&webhook.settings).carries_several(),
        has_cursors: !view.urls.is_empty(),
        made: long_time(webhook.created_at),
    })
}

/// `GET /console/webhooks/{name}/standing`
pub(super) async fn standing(
    parts: Data<Parts>,
    visitor: Visitor,
    name: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let view = view_of(&parts, &visitor.actor, &name).await?;
    page(&StandingPart { again: true, ..standing_part(&visitor.actor, &view) })
}

/// `POST /console/webhooks/{name}/switch/{to}`
pub(super) async fn switch(
    parts: Data<Parts>,
    visitor: Visitor,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Trouble> {
    let (name, to) = path.into_inner();
    let (switch, done) = match to.as_str() {
        "on" => (Switch::On, "webhook-on"),
        "off" => (Switch::Off, "webhook-off"),
        "pause" => (Switch::Paused, "webhook-paused"),
        "resume" => (Switch::Resumed, "webhook-resumed"),
        _ => return Err(Refusal::NotFound(format!("a webhook cannot be switched to {to}")).into()),
    };
    parts.webhooks.switch(&visitor.actor, &name, switch).await?;
    Ok(see_other(&format!("{PATH}/{name}?done={done}")))
}

/// `POST /console/webhooks/{name}/rotate`
pub(super) async fn rotate(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    name: Path<String>,
    body: Bytes,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ManageConfiguration)?;
    let hours: Option<u32> = match Entered::read(&body).text("hours") {
        "" => None,
        text => Some(text.parse().map_err(|_| {
            let text = "the hours for which the old secret signs, too, are a whole number from 0 to 720".to_owned();
            Refusal::Invalid { field: "hours", text }
        })?),
    };
    let old_lives = hours.map_or(OLD_SECRET_LIVES, |hours| HOUR.saturating_mul(hours));
    let secret = parts.webhooks.rotate_secret(&visitor.actor, &name, old_lives).await?;
    let webhook = parts.webhooks.one(&visitor.actor, &name).await?.webhook;
    let signature = signature(&webhook.settings);
    let old = match webhook.old_signing_secrets.first().filter(|_| signature.carries_several()) {
        Some(old) => {
            format!(
                "Until {} UTC requests are signed with the old secret, too: put the new one into your receiver within that time.",
                long_time(old.until)
            )
        }
        None if !signature.carries_several() => {
            "From now on requests are signed with the new secret alone: this profile has room for one signature."
                .to_owned()
        }
        None => "From now on requests are signed with the new secret alone.".to_owned(),
    };
    let told = signature_of(Some(signature));
    secret_page((&request, &parts, &visitor), (name.into_inner(), &secret), Some(old), told).await
}

/// `GET /console/webhooks/{name}/delete`
pub(super) async fn ask_to_delete(
    request: HttpRequest,
    parts: Data<Parts>,
    visitor: Visitor,
    name: Path<String>,
) -> Result<HttpResponse, Trouble> {
    require(&visitor.actor, Permission::ManageConfiguration)?;
    let view = view_of(&parts, &visitor.actor, &name).await?;
    page(&DeletePage {
        frame: Frame::new(&request, &visitor, format!("Delete {}", *name), PATH),
        head: head(&visitor.actor, &view, "overview"),
        backlog: backlog(&view),
    })
}

/// `POST /console/webhooks/{name}/delete`
pub(super) async fn delete(parts: Data<Parts>, visitor: Visitor, name: Path<String>) -> Result<HttpResponse, Trouble> {
    parts.webhooks.delete(&visitor.actor, &name).await?;
    Ok(see_other(&format!("{PATH}?done=webhook-deleted")))
}

fn standing_part(actor: &Actor, view: &WebhookView) -> StandingPart {
    let now = clock::now();
    StandingPart {
        name: view.webhook.name.clone(),
        state: state_status(view.state),
        advice: advice(actor, view, now),
        backlog: backlog(view),
        dead: thousands(view.dead),
        has_dead: view.dead > 0,
        not_relayed: thousands(view.not_relayed),
        taken: taken(view, now),
        failures: thousands(view.failures),
        cursors: view.urls.iter().map(|url| cursor_row(actor, url, now)).collect(),
        moves: view.webhook.enabled,
        again: false,
    }
}

/// How it stands in a sentence, and what somebody can do.
fn advice(actor: &Actor, view: &WebhookView, now: UnixMillis) -> Option<(&'static str, String)> {
    let said = view.last.as_ref().map(|last| match last.http_status {
        Some(_) => masking::text(actor, &last.note),
        None => format!("no answer: {}", masking::text(actor, &last.note)),
    });
    let said = said
        .map(|said| said.trim_end_matches([':', ' ', '.']).to_owned())
        .filter(|said| !said.is_empty())
        .map(|said| format!(" Said last: {said}."))
        .unwrap_or_default();
    Some(match view.state {
        WebhookState::Works => return None,
        WebhookState::Retrying => {
            let text = sentence(&not_taken(view, now));
            ("warn", format!("{text} It is tried again by itself, and what is about others goes on.{said}"))
        }
        WebhookState::Failing => {
            let text = sentence(&not_taken(view, now));
            ("bad", format!("{text} It is asked once a minute now, until something gets through; what waits is not lost.{said} Mend the receiver, then send a sample."))
        }
        WebhookState::Paused => {
            let kept = counted(view.backlog, "event is", "events are");
            ("warn", format!("It is paused: {kept} kept for it, for up to 30 days. Resume it, and it is told them in order."))
        }
        WebhookState::SwitchedOff => {
            let (since, reason) = view.webhook.switched_off.as_ref().map_or_else(
                || ("?".to_owned(), String::new()),
                |off| (long_time(off.since), masking::text(actor, &off.reason)),
            );
            ("bad", format!("The bridge gave up on it at {since} UTC: {reason}. What waited is set aside, and nothing is kept for it since.{said} Mend the receiver, send a sample, switch it on, and then recover what it missed."))
        }
        WebhookState::Off => ("info", "It is switched off: nothing is sent, what waited is set aside, and nothing is kept for it.".to_owned()),
        WebhookState::Quiet => {
            ("info", "Nothing that it wants has happened yet. It hears of what happens from now on; a sample shows at once whether it takes anything.".to_owned())
        }
    })
}

fn cursor_row(actor: &Actor, url: &UrlStanding, now: UnixMillis) -> CursorRow {
    let last = url.last.as_ref().map(|last| {
        let what = last.http_status.map_or_else(|| masking::text(actor, &last.note), |status| format!("HTTP {status}"));
        format!("{what}, {} ago", ago(last.started_at, now))
    });
    CursorRow {
        key: url.subscription.key.0,
        account: url.account.clone(),
        kind: kind_name(url.subscription.kind),
        state: status_of(url),
        owed: owed(url),
        waiting: thousands(url.waiting),
        dead: thousands(url.dead),
        has_dead: url.dead > 0,
        last: last.unwrap_or_else(|| "none yet".to_owned()),
    }
}

fn signature(settings: &WebhookSettings) -> Signature {
    profiles::find(&settings.profile).map_or(Signature::None, |profile| profile.signature())
}

/// What is configured, in words; what is as usual is said, too, because nobody knows what is usual.
fn settings(actor: &Actor, webhook: &Webhook) -> Vec<(&'static str, String)> {
    let settings = &webhook.settings;
    let format = settings
        .format
        .replace("soap_1_1", "SOAP 1.1")
        .replace("soap_1_2", "SOAP 1.2")
        .replace("json", "JSON")
        .replace("xml", "XML");
    let events: Vec<String> = settings.events.iter().map(ToString::to_string).collect();
    let mut lines = vec![
        ("Goes to", format!("{} {}", method_word(settings.method), shown_url(settings.url.expose()))),
        (
            "Speaks as",
            format!("{} {}, {format}, {}", profile_title(settings), settings.version, settings.payload.as_str()),
        ),
        ("Hears of", events.join(", ")),
        ("Only", filter_words(actor, &settings.filter)),
        ("Headers", settings.headers.keys().map(|name| format!("{name}: {MASK}")).collect::<Vec<_>>().join(", ")),
        ("Logs in", authentication_words(&settings.authentication)),
        (
            "Certificate",
            settings.client_certificate.as_ref().map(|_| "shows one of its own".to_owned()).unwrap_or_default(),
        ),
        ("Signs", signing_words(webhook)),
        ("Tries again", retries_words(settings.retries)),
        ("Waits for an answer", format!("{} s", settings.timeout_seconds)),
        (
            "Taken means",
            match settings.success {
                Success::Any2xx => "any status from 200 to 299".to_owned(),
                Success::Only200 => "status 200 alone".to_owned(),
            },
        ),
        (
            "At the same time",
            format!(
                "at most {}{}",
                settings.in_flight,
                settings.per_second.map(|rate| format!(", {rate} a second")).unwrap_or_default()
            ),
        ),
        (
            "Order",
            if settings.in_order { "kept within each kind of event, by message or person" } else { "none" }.to_owned(),
        ),
        (
            "Given up",
            match settings.switch_off.failures {
                0 => "never".to_owned(),
                failures => format!(
                    "after {} failures in a row and {} h without success",
                    thousands(i64::from(failures)),
                    settings.switch_off.hours
                ),
            },
        ),
        ("Alerts", alert_words(&settings.alerts)),
        ("For", settings.description.clone()),
        ("Changed (UTC)", long_time(webhook.updated_at)),
    ];
    lines.retain(|(_, value)| !value.is_empty());
    lines
}

fn filter_words(actor: &Actor, filter: &Filter) -> String {
    let Filter { accounts, numbers, providers, directions, statuses, templates, campaigns, json } = filter;
    let directions: Vec<String> = directions.iter().map(|direction| direction.as_str().to_owned()).collect();
    let matches: Vec<String> = json
        .iter()
        .map(|wanted| format!("{} = {}", wanted.pointer, masking::text(actor, &wanted.value.to_string())))
        .collect();
    let parts = [
        ("accounts", accounts),
        ("numbers", numbers),
        ("providers", providers),
        ("direction", &directions),
        ("status", statuses),
        ("templates", templates),
        ("campaigns", campaigns),
        ("payload", &matches),
    ];
    let named = parts.into_iter().filter(|(_, words)| !words.is_empty());
    named.map(|(name, words)| format!("{name} {}", words.join(", "))).collect::<Vec<_>>().join("; ")
}

fn authentication_words(authentication: &Authentication) -> String {
    match authentication {
        Authentication::None => "not at all".to_owned(),
        Authentication::Basic { user, .. } => format!("as {user}, with a password"),
        Authentication::Bearer { prefix, .. } => format!("Authorization: {prefix} {MASK}"),
        Authentication::OAuth2 { grant, token_url, client_id, .. } => {
            let grant = match grant {
                Grant::ClientCredentials => "client credentials",
                Grant::Password => "password",
            };
            format!("OAuth 2, {grant}: {client_id} at {}", shown_url(token_url))
        }
    }
}

fn signing_words(webhook: &Webhook) -> String {
    let signature = signature(&webhook.settings);
    let old = old_secrets_sign_until(webhook, clock::now());
    match (signature, &webhook.settings.signing_secret, old) {
        (Signature::None, _, _) => "not: the profile has no signature".to_owned(),
        (_, None, _) => "not yet: make a secret below".to_owned(),
        (_, Some(_), Some(old)) => format!("with its secret; the old one is good until {} UTC", long_time(old)),
        (_, Some(_), None) => "with its secret".to_owned(),
    }
}

fn alert_words(alerts: &Alerts) -> String {
    let webhook = alerts.webhook.iter().map(|name| format!("webhook {name}"));
    alerts.emails.iter().cloned().chain(webhook).collect::<Vec<_>>().join(", ")
}

fn retries_words(retries: Retries) -> String {
    let seconds = |seconds: u32| lasting(Duration::from_secs(u64::from(seconds)));
    match retries {
        Retries::Fixed { times: 0, .. } | Retries::Exponential { times: 0, .. } => "never".to_owned(),
        Retries::Fixed { times, every_seconds: 0 } => format!("{}, at once", counted(times, "time", "times")),
        Retries::Fixed { times, every_seconds } => {
            format!("{}, {} apart", counted(times, "time", "times"), seconds(every_seconds))
        }
        Retries::Standard => "nine times within three days".to_owned(),
        Retries::Exponential { times, first_seconds } => {
            format!("{}, after {}, then twice that, and so on", counted(times, "time", "times"), seconds(first_seconds))
        }
    }
}
