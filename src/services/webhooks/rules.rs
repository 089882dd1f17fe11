//! What a webhook may be: its name, its beginning, its settings in themselves and beside what is stored.

use super::Allowed;
use crate::{
    domain::{
        event_name::EventName,
        time::UnixMillis,
        webhook::Authentication,
        webhook_filter::{is_number, is_same_number},
        webhook_settings::WebhookSettings,
        words::few,
    },
    net::{guard::check_literal, mail},
    profiles::{self, Format, xml::check_soap_parameters},
    providers,
    services::{operators::FieldProblem, webhook_door::check_certificate},
    store::configuration::Configuration,
};

const NAME_CHARS_MAX: usize = 64;

/// What is wrong with a name, if anything.
pub(in crate::services) fn check_name(name: &str) -> Result<(), String> {
    let right = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    // Commands would take one that begins with - for an option.
    if (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(right) && !name.starts_with('-') {
        return Ok(());
    }
    Err(format!("must be 1 to {NAME_CHARS_MAX} of a to z, 0 to 9, - and _, and not begin with -"))
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
    let filter = &settings.filter;
    if let Some(odd) = few(filter.accounts.iter().map(String::as_str).filter(|id| !(known.accounts)(id))) {
        note("filter.accounts", format!("there is no account {odd}"));
    }
    let is_known = |wanted: &str| known.numbers.iter().any(|number| is_same_number(wanted, number));
    let numbers = filter.numbers.iter().map(String::as_str);
    if let Some(odd) = few(numbers.filter(|wanted| is_number(wanted) && !is_known(wanted))) {
        let how = "write it with its country code, like +918888001122";
        note("filter.numbers", format!("no account has {odd}: {how}"));
    }
    match &settings.alerts.webhook {
        Some(other) if other == name => {
            note("alerts.webhook", "it cannot tell of its own failure: name another".to_owned());
        }
        Some(other) if !(known.webhooks)(other) => {
            note("alerts.webhook", format!("there is no webhook {other}: make it first"));
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
        note("authentication.token_url", text);
    }
    if !settings.alerts.emails.is_empty() && !allowed.emails {
        let text = "cannot be used, because this server sends no e-mail: set alarms.smtp_url and alarms.from and start \
                    it again, or name another webhook instead";
        note("alerts.emails", text.to_owned());
    }
    if let Err(text) = mail::check_addresses(settings.alerts.emails.iter().map(String::as_str)) {
        note("alerts.emails", text);
    }
    let certificate = settings.client_certificate.as_ref().filter(|_| !has_problem(&problems, "client_certificate"));
    if let Some(Err(error)) = certificate.map(check_certificate) {
        problems.push(FieldProblem::new("client_certificate", error.to_string()));
    }
    let mut note = |field: &str, text: String| problems.push(FieldProblem::new(field, text));
    let providers = settings.filter.providers.iter().map(String::as_str);
    if let Some(odd) = few(providers.filter(|slug| providers::find(slug).is_none())) {
        let known = providers::ALL.iter().map(|provider| provider.slug()).collect::<Vec<_>>().join(", ");
        note("filter.providers", format!("cannot be {odd}: use {known}"));
    }
    if let Err(text) = check_soap(&settings) {
        note("soap_parameters", text);
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
            if settings.old_names && !profile.has_old_names() {
                let known = profiles::ALL.iter().filter(|profile| profile.has_old_names());
                let known = known.map(|profile| profile.slug()).collect::<Vec<_>>().join(", ");
                note("old_names", format!("are known of {known} alone: switch them off"));
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

fn check_soap(settings: &WebhookSettings) -> Result<(), String> {
    let parameters = &settings.soap_parameters;
    if !parameters.is_empty() && !Format::ALL.iter().any(|one| one.is_soap() && one.as_str() == settings.format) {
        let formats = Format::ALL.into_iter().filter(|one| one.is_soap()).map(Format::as_str);
        let formats = formats.collect::<Vec<_>>().join(" or ");
        return Err(format!("are for SOAP alone: set the format to {formats}, or take them out"));
    }
    let parameters = parameters.iter().map(|(name, value)| (name.clone(), value.clone())).collect::<Vec<_>>();
    check_soap_parameters(&parameters)
}

fn has_problem(problems: &[FieldProblem], setting: &str) -> bool {
    problems.iter().any(|problem| problem.setting() == setting)
}
