//! Webhooks in the apply file: `[webhook.NAME]`, with the settings of `/api/v1/webhooks`, and `enabled`, `paused` and `since` beside
//! them. Pure.

use chrono::DateTime;
use serde_json::Value;

use super::{ApplyFile, Stated, parse::Surroundings, reading::Section};
use crate::{
    domain::{time::UnixMillis, webhook_settings::WebhookSettings},
    services::webhooks::{Reach, check_name, checked, signs},
    store::webhooks::WebhookRecord,
};

pub(super) fn parse_webhook(
    name: &str,
    mut section: Section<'_>,
    surroundings: &Surroundings<'_>,
    file: &mut ApplyFile,
) {
    let (line, offset) = (section.line(), section.offset);
    if let Err(message) = check_name(name) {
        section.problem(offset, "", message);
    }
    let enabled = section.boolean("enabled").unwrap_or(true);
    let paused = section.boolean("paused").unwrap_or(false);
    let since = section.checked("since", |text| {
        let moment = DateTime::parse_from_rfc3339(text).map_err(|_| "must be a time such as 2026-11-20T00:00:00Z")?;
        Ok(UnixMillis(moment.timestamp_millis()))
    });
    let Some(mut fields) = section.json() else { return };
    fields.remove("enabled");
    fields.remove("paused");
    fields.remove("since");
    // What serde says quotes no value but the words of a choice.
    let settings = match serde_json::from_value::<WebhookSettings>(Value::Object(fields)) {
        Ok(settings) => settings,
        Err(error) => return section.problem(offset, "", format!("{error}: change that")),
    };
    if signs(&settings) && settings.signing_secret.is_none() {
        let why = "is missing: write whsec_ and 32 random bytes in base64, such as of `openssl rand -base64 32`";
        section.problem(offset, "signing_secret", why);
    }
    // A file may be checked where the server's own settings are not, so its e-mails are believed.
    let (settings, problems) = checked(settings, Reach { private_networks: surroundings.http_allowed, mail: true });
    if problems.is_empty() {
        let what =
            WebhookRecord { name: name.to_owned(), enabled, paused, since, settings, old_signing_secrets: vec![] };
        file.webhooks.push(Stated { line, what });
    }
    for problem in problems {
        section.problem(offset, &problem.field, problem.message);
    }
}
