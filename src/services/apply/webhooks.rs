//! Webhooks in the apply file: `[webhook.NAME]`, with the settings of `/api/v1/webhooks`, and `enabled`, `paused` and `since` beside
//! them. Pure.
//!
//! Each setting is read by itself, and each part of one that cannot be read, so that everything that is wrong is told where it stands.

use std::collections::BTreeSet;

use chrono::DateTime;
use serde_json::{Map, Value};

use super::{ApplyFile, Stated, parse::Surroundings, reading::Section};
use crate::{
    domain::{time::UnixMillis, unreadable::Unreadable, webhook_settings::WebhookSettings},
    services::webhooks::{check_name, checked, signs},
    store::webhooks::WebhookRecord,
};

/// What names something that must be there, in the database or elsewhere in the file.
const NAMING: [&str; 3] = ["filter.accounts", "filter.numbers", "alerts.webhook"];

pub(super) fn parse_webhook(
    name: &str,
    mut section: Section<'_>,
    surroundings: &Surroundings<'_>,
    file: &mut ApplyFile,
) {
    let line = section.line();
    if let Err(message) = check_name(name) {
        section.problem(section.offset, "", message);
    }
    let enabled = section.boolean("enabled").unwrap_or(true);
    let paused = section.boolean("paused").unwrap_or(false);
    let since = section.checked("since", |text| {
        let moment = DateTime::parse_from_rfc3339(text).map_err(|_| "must be a time such as 2026-11-20T00:00:00Z")?;
        Ok(UnixMillis(moment.timestamp_millis()))
    });
    let (mut settings, unreadable) = parse_settings(&mut section);
    // Which formats, events and secrets there are depends on the profile: without it nobody can say what is wrong with them.
    if !unreadable.contains("profile") {
        let told = |field: &str| unreadable.contains(field);
        if signs(&settings) && settings.signing_secret.is_none() && !told("signing_secret") {
            let why = "is missing: write whsec_ and 32 random bytes in base64, such as of `openssl rand -base64 32`";
            section.problem(section.offset, "signing_secret", why);
        }
        let (whole, problems) = checked(settings, surroundings.allowed);
        settings = whole;
        for problem in problems.into_iter().filter(|problem| !told(problem.setting())) {
            section.problem(section.offset_of(&problem.field), &problem.field, problem.message);
        }
    }
    file.places.extend(NAMING.map(|part| (section.field(part), section.line_of(part))));
    section.finish();
    let what = WebhookRecord { name: name.to_owned(), enabled, paused, since, settings, old_signing_secrets: vec![] };
    file.webhooks.push(Stated { line, what });
}

/// What can be read of the settings, and the names of those that cannot.
fn parse_settings(section: &mut Section<'_>) -> (WebhookSettings, BTreeSet<String>) {
    let known = serde_json::to_value(WebhookSettings::default()).unwrap_or_default();
    let (mut readable, mut unreadable) = (Map::new(), BTreeSet::new());
    for key in known.as_object().into_iter().flat_map(Map::keys) {
        let (value, wrong) = section.json_at(key).map(|value| sifted(key, value)).unwrap_or_default();
        for (path, message) in wrong {
            section.problem(section.offset_of(&path), &path, message);
        }
        if let Some(value) = value {
            readable.insert(key.clone(), value);
        } else if section.stands(key) {
            unreadable.insert(key.clone());
        }
    }
    // Each was read alone, so they are read together.
    (read(readable).unwrap_or_default(), unreadable)
}

fn read(fields: Map<String, Value>) -> serde_json::Result<WebhookSettings> {
    serde_json::from_value(Value::Object(fields))
}

/// As much of a setting as can be read, and why the rest cannot: the field, down to the part, and what to change.
fn sifted(key: &str, value: Value) -> (Option<Value>, Vec<(String, String)>) {
    let wrong = |value: &Value| {
        read([(key.to_owned(), value.clone())].into_iter().collect()).err().map(|error| Unreadable::of(&error))
    };
    let Some(whole) = wrong(&value) else { return (Some(value), vec![]) };
    // What lacks only its neighbours is not wrong itself.
    let wrong_part =
        |part: Value| wrong(&part).filter(|why| !matches!(why, Unreadable::Missing(_))).map(|why| why.to_string());
    let mut found = Vec::new();
    let rest = match value {
        Value::Array(mut items) => {
            items.retain(|item| {
                let message = wrong_part(Value::Array(vec![item.clone()]));
                let is_right = message.is_none();
                found.extend(message.map(|message| (key.to_owned(), message)));
                is_right
            });
            Some(Value::Array(items)).filter(|rest| *rest != Value::Array(vec![]))
        }
        Value::Object(mut fields) => {
            let kind = fields.get_key_value("kind").map(|(name, kind)| (name.clone(), kind.clone()));
            let alone = |name: &str, value: &Value| {
                let parts = kind.clone().into_iter().chain([(name.to_owned(), value.clone())]);
                wrong_part(Value::Object(parts.collect())).map(|message| (format!("{key}.{name}"), message))
            };
            // What a kind may have is known only when the kind is.
            match kind.as_ref().and_then(|(name, kind)| alone(name, kind)) {
                Some(of_kind) => found.push(of_kind),
                None => fields.retain(|name, value| {
                    let message = alone(name, value);
                    let is_right = message.is_none();
                    found.extend(message);
                    is_right
                }),
            }
            Some(Value::Object(fields))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    };
    if found.is_empty() {
        found.push((key.to_owned(), whole.to_string()));
    }
    (rest.filter(|rest| wrong(rest).is_none()), found)
}

#[cfg(test)]
mod tests {
    use super::super::{Surroundings, all_problems, read as read_file};
    use crate::{services::webhooks::Allowed, settings::Settings, store::configuration::Configuration};

    fn problems(text: &str) -> Vec<String> {
        let ages = Settings::defaults().retention;
        let surroundings = Surroundings::new(&|_| None, Allowed { private_networks: false, emails: false }, &ages);
        let (file, problems) = read_file(text, "wa.toml", &surroundings);
        all_problems(&Configuration::default(), &file, problems).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn everything_that_is_wrong_with_webhooks_is_told_in_one_round_and_where_it_stands() {
        let text = r#"[webhook.crm]
url = "http://inner.example/"
events = ["message.*", "mesage.read", "mesage.sent"]
colour = "red"
timeout_seconds = "10"
per_second = 0
authentication = "Bearer secret"

[webhook.crm.retries]
kind = "fixed"
times = "three"
every_seconds = 1

[webhook.crm.filter]
accounts = ["nobody"]
statuses = ["happy", "sad"]
number = []

[webhook.crm.alerts]
emails = ["asha@example.com"]
webhook = "nowhere"

[webhook.other]
url = 7
events = ["*"]
enabled = "yes"
profile = "telex"
alerts = { webhook = "crm" }
"#;

        let found = problems(text);

        let wanted = [
            "wa.toml:1: webhook.crm.signing_secret: is missing",
            "wa.toml:2: webhook.crm.url: must begin with https://",
            "wa.toml:3: webhook.crm.events: `mesage.read` names no event",
            "wa.toml:3: webhook.crm.events: `mesage.sent` names no event",
            "wa.toml:4: webhook.crm.colour: is not known here",
            "wa.toml:5: webhook.crm.timeout_seconds: must be a whole number",
            "wa.toml:6: webhook.crm.per_second: must be a whole number from 1",
            "wa.toml:7: webhook.crm.authentication: must have keys of its own",
            "wa.toml:11: webhook.crm.retries.times: must be a whole number",
            "wa.toml:15: webhook.crm.filter.accounts: there is no account nobody",
            "wa.toml:16: webhook.crm.filter.statuses: cannot be happy, sad: use sent",
            "wa.toml:17: webhook.crm.filter.number: is not known here",
            "wa.toml:20: webhook.crm.alerts.emails: cannot be used, because this server sends no e-mail",
            "wa.toml:21: webhook.crm.alerts.webhook: there is no webhook nowhere",
            "wa.toml:24: webhook.other.url: must be a text",
            "wa.toml:26: webhook.other.enabled: must be true or false",
            "wa.toml:27: webhook.other.profile: is not one of",
        ];
        let are_alike = found.iter().zip(wanted).all(|(found, wanted)| found.starts_with(wanted));
        assert!(found.len() == wanted.len() && are_alike, "{found:#?}");
        assert!(found.iter().all(|problem| !problem.contains("secret\"") && !problem.contains("three")), "{found:#?}");
    }

    #[test]
    fn a_part_that_is_missing_and_a_kind_that_nobody_knows_are_told_alone() {
        let webhook = |more: &str| {
            let secret = "signing_secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"";
            problems(&format!("[webhook.crm]\nurl = \"https://a.example/\"\nevents = [\"*\"]\n{secret}\n{more}\n"))
        };

        assert_eq!(webhook(""), [""; 0]);
        assert_eq!(
            webhook("retries = { kind = \"fixed\", times = 3 }"),
            ["wa.toml:5: webhook.crm.retries: needs `every_seconds`"]
        );
        assert_eq!(
            webhook("retries = { kind = \"slowly\", times = \"x\" }"),
            ["wa.toml:5: webhook.crm.retries.kind: must be one of `fixed`, `standard`, `exponential`"]
        );
        assert_eq!(
            webhook("retries = { kind = \"standard\", times = 3 }"),
            ["wa.toml:5: webhook.crm.retries.times: is not known here: remove it"]
        );
        assert_eq!(
            webhook("headers = { X-Key = 7 }"),
            ["wa.toml:5: webhook.crm.headers.X-Key: must be a text: put it in quotes"]
        );
    }
    #[test]
    fn settings_that_belong_to_others_are_refused() {
        let only = |more: &str| {
            let secret = "signing_secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"";
            let found =
                problems(&format!("[webhook.crm]\nurl = \"https://a.example/\"\nevents = [\"*\"]\n{secret}\n{more}\n"));
            assert_eq!(found.len(), 1, "{found:?}");
            found.concat()
        };
        let soap = |name: &str| {
            let of = "[webhook.crm]\nurl = \"https://a.example/\"\nevents = [\"*\"]\nprofile = \"commbox\"\nformat = \"soap_1_1\"";
            problems(&format!("{of}\nsoap_parameters = {{ \"{name}\" = \"x\" }}\n"))
        };

        let said = only("soap_parameters = { Branch = \"Andheri\" }");
        assert_eq!(
            said,
            "wa.toml:5: webhook.crm.soap_parameters: are for SOAP alone: set the format to soap_1_1 or soap_1_2, or take them out"
        );
        let said = only("old_names = true");
        assert_eq!(said, "wa.toml:5: webhook.crm.old_names: are known of gallabox alone: switch them off");
        assert_eq!(soap("Branch"), [""; 0]);
        for name in ["1 a", "a<b", "x:y", ""] {
            let found = soap(name).concat();
            let wanted =
                format!("wa.toml:6: webhook.crm.soap_parameters: cannot have the name “{name}”, which is none in XML");
            assert!(found.starts_with(&wanted), "{found}");
        }
        assert!(problems("[webhook.-crm]\n").concat().contains("not begin with -"));
    }
}
