//! What a webhook's form shows of its settings, and how what comes back becomes settings.
//!
//! A change begins with what is stored, so that a setting for which the form has no field stays as it is. Secrets are never shown: an
//! empty field keeps one.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fields::Entered;
use crate::{
    domain::{
        event_name::Direction,
        webhook::{Alerts, Authentication, ClientCertificate, Grant, Retries, SecretText, Success, WebhookMethod},
        webhook_event::Level,
        webhook_filter::{EventPattern, Filter, JsonMatch},
        webhook_settings::WebhookSettings,
    },
    profiles::{self, Format},
    services::operators::FieldProblem,
};

/// What the form shows of settings.
pub(super) fn entered(settings: &WebhookSettings) -> Entered {
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut put = |name: &str, value: String| fields.push((name.to_owned(), value));
    put("description", settings.description.clone());
    put("method", method_word(settings.method).to_owned());
    put("profile", settings.profile.clone());
    put("version", settings.version.clone());
    put("format", settings.format.clone());
    put("payload", settings.payload.as_str().to_owned());
    let parameters = settings.soap_parameters.iter().map(|(name, value)| format!("{name} = {value}"));
    put("soap_parameters", parameters.collect::<Vec<_>>().join("\n"));
    settings.events.iter().for_each(|pattern| put("events", pattern.to_string()));
    let Filter { accounts, numbers, providers, directions, statuses, templates, campaigns, json } = &settings.filter;
    accounts.iter().for_each(|account| put("filter.accounts", account.clone()));
    put("filter.numbers", numbers.join("\n"));
    put("filter.providers", providers.join("\n"));
    put("filter.templates", templates.join("\n"));
    put("filter.campaigns", campaigns.join("\n"));
    directions.iter().for_each(|direction| put("filter.directions", direction.as_str().to_owned()));
    statuses.iter().for_each(|status| put("filter.statuses", status.clone()));
    let matches = json.iter().map(|wanted| format!("{} = {}", wanted.pointer, plain(&wanted.value)));
    put("filter.json", matches.collect::<Vec<_>>().join("\n"));
    for name in settings.headers.keys() {
        put("header.name", name.clone());
        put("header.value", String::new());
    }
    put("bearer.prefix", "Bearer".to_owned());
    for (name, on) in [("old_names", settings.old_names), ("in_order", settings.in_order)] {
        if on {
            put(name, "true".to_owned());
        }
    }
    put("alerts.emails", settings.alerts.emails.join("\n"));
    put("alerts.webhook", settings.alerts.webhook.clone().unwrap_or_default());
    put("alerts.per_day", settings.alerts.per_day.to_string());
    put("timeout_seconds", settings.timeout_seconds.to_string());
    let success = match settings.success {
        Success::Any2xx => "2xx",
        Success::Only200 => "200",
    };
    put("success", success.to_owned());
    put("per_second", settings.per_second.map(|rate| rate.to_string()).unwrap_or_default());
    put("in_flight", settings.in_flight.to_string());
    put("switch_off.failures", settings.switch_off.failures.to_string());
    put("switch_off.hours", settings.switch_off.hours.to_string());
    // What is said first counts.
    let mut first = authentication_entered(&settings.authentication);
    first.extend(retries_entered(settings.retries));
    first.extend(fields);
    Entered::of(first)
}

pub(super) const fn method_word(method: WebhookMethod) -> &'static str {
    match method {
        WebhookMethod::Post => "POST",
        WebhookMethod::Put => "PUT",
        WebhookMethod::Patch => "PATCH",
    }
}

fn authentication_entered(authentication: &Authentication) -> Vec<(String, String)> {
    let pairs: Vec<(&str, &str)> = match authentication {
        Authentication::None => vec![("authentication.kind", "none")],
        Authentication::Basic { user, .. } => vec![("authentication.kind", "basic"), ("basic.user", user)],
        Authentication::Bearer { prefix, .. } => vec![("authentication.kind", "bearer"), ("bearer.prefix", prefix)],
        Authentication::OAuth2 { grant, token_url, client_id, scope, user, .. } => vec![
            ("authentication.kind", grant_word(*grant)),
            ("oauth2.token_url", token_url),
            ("oauth2.client_id", client_id),
            ("oauth2.scope", scope),
            ("oauth2.user", user),
        ],
    };
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

const fn grant_word(grant: Grant) -> &'static str {
    match grant {
        Grant::ClientCredentials => "client_credentials",
        Grant::Password => "password",
    }
}

/// With the defaults of the kinds that were not chosen.
fn retries_entered(retries: Retries) -> Vec<(String, String)> {
    let (kind, fixed, exponential) = match retries {
        Retries::Fixed { times, every_seconds } => ("fixed", (times, every_seconds), (6, 10)),
        Retries::Standard => ("standard", (3, 300), (6, 10)),
        Retries::Exponential { times, first_seconds } => ("exponential", (3, 300), (times, first_seconds)),
    };
    [
        ("retries.kind", kind.to_owned()),
        ("fixed.times", fixed.0.to_string()),
        ("fixed.seconds", fixed.1.to_string()),
        ("exponential.times", exponential.0.to_string()),
        ("exponential.seconds", exponential.1.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// The settings that were entered, and what of them could not be read; `before` is what is stored. What is wrong with the rest is found
/// by whoever saves it.
pub(super) fn settings(entered: &Entered, before: Option<&WebhookSettings>) -> (WebhookSettings, Vec<FieldProblem>) {
    let mut problems = Vec::new();
    let mut settings = before.map(|before| before.clone().masked()).unwrap_or_default();
    let text = |name: &str| entered.text(name).to_owned();
    settings.description = text("description");
    settings.url = SecretText::new(text("url"));
    let methods = [WebhookMethod::Post, WebhookMethod::Put, WebhookMethod::Patch].map(|one| (method_word(one), one));
    settings.method = chosen(entered, "method", &methods, settings.method, &mut problems);
    let is_same = settings.profile == entered.text("profile");
    settings.profile = text("profile");
    settings.version = text("version");
    // The versions of one profile say nothing about another, and neither do its formats and sizes.
    if let Some(profile) = profiles::find(&settings.profile).filter(|_| !is_same) {
        settings.version = profile.versions().first().copied().unwrap_or_default().to_owned();
    }
    let level = chosen(entered, "payload", &Level::ALL.map(|one| (one.as_str(), one)), settings.payload, &mut problems);
    let (level, format) = fitting(&settings.profile, level, entered.text("format"));
    settings.payload = level;
    settings.format = format;
    // What nobody sees in the form for this format or profile is not meant.
    settings.soap_parameters = BTreeMap::new();
    if Format::ALL.iter().any(|one| one.is_soap() && one.as_str() == settings.format) {
        let entered = pairs(entered.text("soap_parameters"), "soap_parameters", &mut problems);
        settings.soap_parameters = entered.into_iter().collect();
    }
    let profile = profiles::find(&settings.profile);
    settings.old_names = entered.has("old_names") && profile.is_some_and(|profile| profile.has_old_names());
    settings.events = patterns(entered, &mut problems);
    settings.filter = filter(entered, &mut problems);
    settings.headers = headers(entered, &mut problems);
    let stored = settings.authentication;
    settings.authentication = authentication(entered, stored, &mut problems);
    settings.client_certificate = certificate(entered, before);
    settings.signing_secret = Some(text("signing_secret")).filter(|secret| !secret.is_empty()).map(SecretText::new);
    let (fixed, exponential) = (
        Retries::Fixed {
            times: number(entered, "fixed.times", 3),
            every_seconds: number(entered, "fixed.seconds", 300),
        },
        Retries::Exponential {
            times: number(entered, "exponential.times", 6),
            first_seconds: number(entered, "exponential.seconds", 10),
        },
    );
    let kinds = [("fixed", fixed), ("standard", Retries::Standard), ("exponential", exponential)];
    settings.retries = chosen(entered, "retries.kind", &kinds, fixed, &mut problems);
    let defaults = WebhookSettings::default();
    settings.timeout_seconds = number(entered, "timeout_seconds", defaults.timeout_seconds);
    let successes = [("2xx", Success::Any2xx), ("200", Success::Only200)];
    settings.success = chosen(entered, "success", &successes, Success::Any2xx, &mut problems);
    settings.alerts = Alerts {
        emails: lines(entered.text("alerts.emails")).map(str::to_owned).collect(),
        webhook: Some(text("alerts.webhook")).filter(|name| !name.is_empty()),
        per_day: number(entered, "alerts.per_day", defaults.alerts.per_day),
    };
    settings.per_second = Some("per_second").filter(|name| !text(name).is_empty()).map(|name| number(entered, name, 0));
    settings.in_flight = number(entered, "in_flight", defaults.in_flight);
    settings.in_order = entered.has("in_order");
    settings.switch_off.failures = number(entered, "switch_off.failures", defaults.switch_off.failures);
    settings.switch_off.hours = number(entered, "switch_off.hours", defaults.switch_off.hours);
    (settings, problems)
}

/// What was chosen of a list; `otherwise` when the form has no such list. A word that the list has not is a fault.
pub(super) fn chosen<T: Copy>(
    entered: &Entered,
    name: &str,
    known: &[(&str, T)],
    otherwise: T,
    problems: &mut Vec<FieldProblem>,
) -> T {
    let word = entered.text(name);
    let found = known.iter().find(|(known, _)| *known == word);
    if found.is_none() && !word.is_empty() {
        let words = known.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", ");
        problems.push(FieldProblem::new(name, format!("“{word}” is none of {words}: choose one of the list")));
    }
    found.map_or(otherwise, |(_, chosen)| *chosen)
}

/// What nobody sees in the form for this profile is what the profile has.
fn fitting(profile: &str, level: Level, format: &str) -> (Level, String) {
    let Some(profile) = profiles::find(profile) else { return (level, format.to_owned()) };
    let level = if profile.levels().len() > 1 { level } else { Level::Standard };
    let only = profile.formats().first().filter(|_| profile.formats().len() == 1);
    (level, only.map_or_else(|| format.to_owned(), |format| format.as_str().to_owned()))
}

/// Two empty fields keep what is stored, or mean none.
fn certificate(entered: &Entered, before: Option<&WebhookSettings>) -> Option<ClientCertificate> {
    let given = |name: &str| match entered.text(name) {
        "" => SecretText::mask(),
        pem => SecretText::new(pem.replace("\r\n", "\n")),
    };
    let certificate = given("client_certificate.certificate");
    let private_key = given("client_certificate.private_key");
    let is_empty = certificate.is_mask() && private_key.is_mask();
    let is_set = before.is_some_and(|before| before.client_certificate.is_some());
    let is_none = entered.has("client_certificate.forget") || (is_empty && !is_set);
    (!is_none).then_some(ClientCertificate { certificate, private_key })
}

/// What is no number is beyond every limit, so that the one who knows the limits names them.
fn number(entered: &Entered, name: &str, empty: u32) -> u32 {
    match entered.text(name) {
        "" => empty,
        text => text.parse().unwrap_or(u32::MAX),
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split(['\n', ',']).map(str::trim).filter(|line| !line.is_empty())
}

/// Lines of a name and a value.
fn pairs(text: &str, field: &str, problems: &mut Vec<FieldProblem>) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line.split_once('=') {
            Some((name, value)) => pairs.push((name.trim().to_owned(), value.trim().to_owned())),
            None => problems.push(FieldProblem::new(field, format!("“{line}” has no =: write NAME = VALUE"))),
        }
    }
    pairs
}

/// The widest that were ticked: what they cover need not be named.
fn patterns(entered: &Entered, problems: &mut Vec<FieldProblem>) -> Vec<EventPattern> {
    let mut patterns: Vec<EventPattern> = Vec::new();
    for text in entered.values("events") {
        match text.parse() {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => problems.push(FieldProblem::new("events", error.to_string())),
        }
    }
    if patterns.contains(&EventPattern::All) {
        return vec![EventPattern::All];
    }
    let wide = patterns.clone();
    patterns.retain(|pattern| match pattern {
        EventPattern::One(name) => !wide.contains(&EventPattern::Of(name.entity())),
        EventPattern::All | EventPattern::Of(_) => true,
    });
    patterns
}

fn filter(entered: &Entered, problems: &mut Vec<FieldProblem>) -> Filter {
    let listed = |name: &str| -> Vec<String> { lines(entered.text(name)).map(str::to_owned).collect() };
    let ticked = |name: &str| -> Vec<String> { entered.values(name).map(str::to_owned).collect() };
    let json = pairs(entered.text("filter.json"), "filter.json", problems);
    Filter {
        accounts: ticked("filter.accounts"),
        numbers: listed("filter.numbers"),
        providers: listed("filter.providers"),
        directions: [Direction::In, Direction::Out]
            .into_iter()
            .filter(|direction| entered.values("filter.directions").any(|ticked| ticked == direction.as_str()))
            .collect(),
        statuses: ticked("filter.statuses"),
        templates: listed("filter.templates"),
        campaigns: listed("filter.campaigns"),
        json: json.into_iter().map(|(pointer, value)| JsonMatch { pointer, value: value_of(&value) }).collect(),
    }
}

/// JSON where it is, and else a text.
fn value_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

/// As it is entered; a text that would be read as something else in quotes.
fn plain(value: &Value) -> String {
    let text = value.as_str().filter(|text| value_of(text) == *value);
    text.map_or_else(|| value.to_string(), str::to_owned)
}

fn headers(entered: &Entered, problems: &mut Vec<FieldProblem>) -> BTreeMap<String, SecretText> {
    let mut headers = BTreeMap::new();
    for (name, value) in entered.values("header.name").zip(entered.values("header.value")) {
        if name.is_empty() && value.is_empty() {
            continue;
        }
        let secret = if value.is_empty() { SecretText::mask() } else { SecretText::new(value) };
        let is_twice = headers.keys().any(|known: &String| known.eq_ignore_ascii_case(name));
        if is_twice {
            problems.push(FieldProblem::new("headers", format!("{name} stands there twice: take one away")));
        }
        headers.insert(name.to_owned(), secret);
    }
    headers
}

/// An empty secret means the stored one, and so does a form that says nothing of it.
fn authentication(entered: &Entered, stored: Authentication, problems: &mut Vec<FieldProblem>) -> Authentication {
    let text = |name: &str| entered.text(name).to_owned();
    let secret = |name: &str| match entered.text(name) {
        "" => SecretText::mask(),
        text => SecretText::new(text),
    };
    let oauth2 = |grant: Grant| Authentication::OAuth2 {
        grant,
        token_url: text("oauth2.token_url"),
        client_id: text("oauth2.client_id"),
        client_secret: secret("oauth2.client_secret"),
        scope: text("oauth2.scope"),
        user: if grant == Grant::Password { text("oauth2.user") } else { String::new() },
        password: (grant == Grant::Password).then(|| secret("oauth2.password")),
    };
    let make: [(&str, &dyn Fn() -> Authentication); 5] = [
        ("none", &|| Authentication::None),
        ("basic", &|| Authentication::Basic { user: text("basic.user"), password: secret("basic.password") }),
        ("bearer", &|| Authentication::Bearer { prefix: text("bearer.prefix"), token: secret("bearer.token") }),
        ("client_credentials", &|| oauth2(Grant::ClientCredentials)),
        ("password", &|| oauth2(Grant::Password)),
    ];
    chosen(entered, "authentication.kind", &make, &|| stored.clone(), problems)()
}

/// The problem at the field of the form that it is about: kinds of authentication and of retries have fields of their own.
pub(super) fn placed(problem: FieldProblem, entered: &Entered) -> FieldProblem {
    let FieldProblem { field, message } = problem;
    if field == "events" && message.starts_with("is empty") {
        return FieldProblem::new(field, "tick at least one of these".to_owned());
    }
    let field = match field.split_once('.') {
        // That its parts do not belong together.
        None if field == "client_certificate" => "client_certificate.certificate".to_owned(),
        Some(("authentication", "kind")) | None => field,
        Some(("authentication", part)) => match entered.text("authentication.kind") {
            "client_credentials" | "password" => format!("oauth2.{part}"),
            kind => format!("{kind}.{part}"),
        },
        Some(("retries", "every_seconds")) => "fixed.seconds".to_owned(),
        Some(("retries", "first_seconds")) => "exponential.seconds".to_owned(),
        Some(("retries", "times")) => format!("{}.times", entered.text("retries.kind")),
        Some(_) => field,
    };
    FieldProblem::new(field, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rich() -> WebhookSettings {
        serde_json::from_value(json!({
            "description": "orders", "url": "https://hooks.example.com/secret", "method": "PUT", "profile": "commbox", "version": "1",
            "format": "soap_1_1", "soap_parameters": {"Branch": "Andheri = West"}, "payload": "complete",
            "events": ["template.*", "message.read"],
            "filter": {"accounts": ["acme"], "numbers": ["+91 8888 001122"], "directions": ["out"], "statuses": ["read"],
                "templates": ["a", "b"], "json": [{"pointer": "/data/custom/city", "value": "Pune"},
                    {"pointer": "/data/custom/pin", "value": "411001"}, {"pointer": "/sequence", "value": 7}]},
            "headers": {"X-Key": "kept"},
            "authentication": {"kind": "oauth2", "grant": "password", "token_url": "https://id.example.com/token", "client_id": "c",
                "client_secret": "s", "scope": "hooks", "user": "asha", "password": "p"},
            "signing_secret": "whsec_x", "retries": {"kind": "exponential", "times": 4, "first_seconds": 30},
            "timeout_seconds": 20, "success": "200", "per_second": 9, "in_flight": 2, "in_order": false,
            "switch_off": {"failures": 5, "hours": 1},
            "client_certificate": {"certificate": "chain in PEM", "private_key": "key in PEM"},
            "alerts": {"emails": ["ops@example.com"], "webhook": "operations", "per_day": 3}
        }))
        .expect("settings")
    }

    #[test]
    fn a_form_that_is_sent_back_unchanged_changes_nothing() {
        for before in
            [rich(), WebhookSettings { url: SecretText::new("https://a.example/"), ..WebhookSettings::default() }]
        {
            let (again, problems) = settings(&entered(&before), Some(&before));
            assert_eq!((again.keeping(&before), problems), (before, vec![]));
        }
    }

    #[test]
    fn no_secret_stands_in_the_form() {
        let shown = format!("{:?}", entered(&rich()));
        for secret in ["hooks.example.com/secret", "kept", "\"s\"", "\"p\"", "whsec_x", "in PEM"] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
    }

    #[test]
    fn what_is_ticked_wide_covers_what_is_narrow() {
        let events = |ticked: &[&str]| {
            let fields = ticked.iter().map(|one| ("events".to_owned(), (*one).to_owned())).collect();
            let patterns = patterns(&Entered::of(fields), &mut vec![]);
            patterns.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(events(&["message.read", "message.*", "template.status"]), ["message.*", "template.status"]);
        assert_eq!(events(&["message.read", "*"]), ["*"]);
    }

    #[test]
    fn a_problem_stands_at_the_field_that_caused_it() {
        let entered = Entered::of(vec![
            ("authentication.kind".to_owned(), "client_credentials".to_owned()),
            ("retries.kind".to_owned(), "fixed".to_owned()),
        ]);
        let at = |field: &str| placed(FieldProblem::new(field, "is wrong"), &entered).field;
        assert_eq!(at("authentication.token_url"), "oauth2.token_url");
        assert_eq!(at("authentication.kind"), "authentication.kind");
        assert_eq!(at("retries.times"), "fixed.times");
        assert_eq!(at("retries.every_seconds"), "fixed.seconds");
        assert_eq!(at("retries.first_seconds"), "exponential.seconds");
        assert_eq!(at("filter.numbers"), "filter.numbers");
        assert_eq!(at("client_certificate"), "client_certificate.certificate");
        assert_eq!(at("url"), "url");
    }

    #[test]
    fn what_is_no_number_is_beyond_the_limit() {
        let one = Entered::of(vec![("timeout_seconds".to_owned(), "soon".to_owned())]);
        assert_eq!(number(&one, "timeout_seconds", 10), u32::MAX);
        assert_eq!(number(&one, "in_flight", 5), 5);
    }
}
