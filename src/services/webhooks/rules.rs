//! What a webhook may be: its name, its beginning, its settings in themselves and beside what is stored.

use super::Allowed;
use crate::{
    domain::{
        event_name::EventName, time::UnixMillis, webhook::Authentication, webhook_filter::is_same_number,
        webhook_settings::WebhookSettings,
    },
    net::{guard::check_literal, mail},
    profiles, providers,
    services::{operators::FieldProblem, webhook_door::check_certificate},
    store::configuration::Configuration,
};

const NAME_CHARS_MAX: usize = 64;

/// What is wrong with a name, if anything.
pub(in crate::services) fn check_name(name: &str) -> Result<(), String> {
    let right = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    if (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(right) {
        return Ok(());
    }
    Err(format!("must be 1 to {NAME_CHARS_MAX} of a to z, 0 to 9, - and _"))
}

/// What is wrong with the moment from which a new webhook is to hear, if anything. What is too old to be kept is not told.
pub(super) fn check_since(since: UnixMillis, now: UnixMillis) -> Result<(), String> {
    match since <= now {
        true => Ok(()),
        false => Err("lies in the future: name a moment that is over, or leave it out".to_owned()),
    }
}

/// The settings with their version pinned, and all that is wrong with them: in themselves, and beside what is stored. A name that
/// nothing has would let nothing through in a filter, and tell nobody among the alerts, silently.
pub(super) fn judged(
    stored: &Configuration,
    name: &str,
    settings: WebhookSettings,
    allowed: Allowed,
) -> (WebhookSettings, Vec<FieldProblem>) {
    let (settings, mut problems) = checked(settings, allowed);
    let numbers: Vec<&str> = stored.senders.iter().map(|sender| sender.number.as_e164()).collect();
    let known = Known {
        accounts: &|id| stored.account(id).is_some(),
        numbers: &numbers,
        webhooks: &|name| stored.webhook(name).is_some(),
    };
    problems.extend(check_names(name, &settings, &known));
    (settings, problems)
}

/// What a webhook may name.
pub(in crate::services) struct Known<'a> {
    pub(in crate::services) accounts: &'a dyn Fn(&str) -> bool,
    pub(in crate::services) numbers: &'a [&'a str],
    pub(in crate::services) webhooks: &'a dyn Fn(&str) -> bool,
}

/// Names that nothing has: in a filter they would let nothing through, among the alerts they would tell nobody, silently.
pub(in crate::services) fn check_names(name: &str, settings: &WebhookSettings, known: &Known<'_>) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    let mut note = |field: &str, text: String| problems.push(FieldProblem::new(field, text));
    for id in settings.filter.accounts.iter().filter(|id| !(known.accounts)(id)) {
        note("filter", format!("accounts: there is no account {id}"));
    }
    let is_known = |wanted: &String| known.numbers.iter().any(|number| is_same_number(wanted, number));
    for wanted in settings.filter.numbers.iter().filter(|wanted| !is_known(wanted)) {
        let how = "write it with its country code, like +918888001122";
        note("filter", format!("numbers: {wanted} is no account's number: {how}"));
    }
    match &settings.alerts.webhook {
        Some(other) if other == name => {
            note("alerts", "webhook: it cannot tell of its own failure: name another".to_owned());
        }
        Some(other) if !(known.webhooks)(other) => {
            note("alerts", format!("webhook: there is no webhook {other}: make it first"));
        }
        Some(_) | None => {}
    }
    problems
}

/// The settings with their version pinned, and all that is wrong with them in themselves: with nothing they can work.
pub(in crate::services) fn checked(
    mut settings: WebhookSettings,
    allowed: Allowed,
) -> (WebhookSettings, Vec<FieldProblem>) {
    let mut problems = Vec::new();
    let mut note = |field: &str, text: String| problems.push(FieldProblem::new(field, text));
    let profile = profiles::find(&settings.profile);
    let own_headers = profile.map_or(&[][..], |profile| profile.own_headers());
    for (field, text) in settings.check(allowed.private_networks, own_headers) {
        note(field, text);
    }
    if let Some(text) = never_reached(settings.url.expose(), allowed) {
        note("url", text);
    }
    if let Authentication::OAuth2 { token_url, .. } = &settings.authentication
        && let Some(text) = never_reached(token_url, allowed)
    {
        note("authentication", format!("token_url: {text}"));
    }
    if !settings.alerts.emails.is_empty() && !allowed.emails {
        let text = "emails: cannot be used, because this server sends no e-mail: set alarms.smtp_url and alarms.from and start \
                    it again, or name another webhook instead";
        note("alerts", text.to_owned());
    }
    for odd in settings.alerts.emails.iter().filter(|address| !mail::is_address(address)) {
        note("alerts", format!("emails: `{odd}` is no e-mail address: write it like ops@example.com"));
    }
    let certificate = settings.client_certificate.as_ref().filter(|_| !has_problem(&problems, "client_certificate"));
    if let Some(Err(error)) = certificate.map(check_certificate) {
        problems.push(FieldProblem::new("client_certificate", error.to_string()));
    }
    let mut note = |field: &str, text: String| problems.push(FieldProblem::new(field, text));
    for odd in settings.filter.providers.iter().filter(|slug| providers::find(slug).is_none()) {
        let known = providers::ALL.iter().map(|provider| provider.slug()).collect::<Vec<_>>().join(", ");
        note("filter", format!("providers: `{odd}` is none of {known}"));
    }
    match profile {
        None => {
            let known = profiles::ALL.iter().map(|profile| profile.slug()).collect::<Vec<_>>().join(", ");
            note("profile", format!("is not one of {known}"));
        }
        Some(profile) => {
            let formats = profile.formats().iter().map(|format| format.as_str()).collect::<Vec<_>>();
            if !formats.contains(&settings.format.as_str()) {
                note("format", format!("must be {} for the profile {}", formats.join(" or "), profile.slug()));
            }
            if !profile.levels().contains(&settings.payload) {
                let levels = profile.levels().iter().map(|level| level.as_str()).collect::<Vec<_>>();
                note("payload", format!("must be {} for the profile {}", levels.join(" or "), profile.slug()));
            }
            let mut wanted = EventName::TOLD.iter().filter(|name| settings.wants(**name)).peekable();
            if wanted.peek().is_some() && !wanted.any(|name| profile.word(*name).is_some()) {
                let text =
                    format!("{} has no word for any of them: choose others, or the profile native", profile.title());
                note("events", text);
            }
            if settings.version.is_empty() {
                settings.version = profile.versions().first().copied().unwrap_or_default().to_owned();
            } else if !profile.versions().contains(&settings.version.as_str()) {
                note("version", format!("must be one of {}", profile.versions().join(", ")));
            }
            let secret = settings.signing_secret.as_ref().map(|secret| secret.expose().into());
            if let Some(Err(text)) = secret.map(|secret| profile.check_secret(&secret)) {
                note("signing_secret", format!("cannot be used: {text}"));
            }
        }
    }
    (settings, problems)
}

/// Why no request to it would ever be made, if its host is written as an address. Behind a name that is seen when it is resolved.
fn never_reached(url: &str, allowed: Allowed) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    check_literal(&url, allowed.private_networks).err().map(|forbidden| forbidden.to_string())
}

fn has_problem(problems: &[FieldProblem], field: &str) -> bool {
    problems.iter().any(|problem| problem.field == field)
}
