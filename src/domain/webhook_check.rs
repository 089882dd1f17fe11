//! What cannot work of a webhook's settings, each with its field, as far as it can be seen without knowing the profiles. Pure.

use url::Url;

use super::{
    webhook::{
        ALERT_EMAILS_MAX, ALERTS_PER_DAY_MAX, Authentication, ClientCertificate, Grant, MASK, RETRIES_MAX,
        RETRY_SPACING_SECONDS_MAX, Retries, SecretText,
    },
    webhook_settings::WebhookSettings,
};

/// What is wrong with a field, and what to change; goes on after the field's name.
pub type Wrong = (&'static str, String);

const DESCRIPTION_CHARS_MAX: usize = 500;
const URL_BYTES_MAX: usize = 2_048;
const TIMEOUT_SECONDS_MAX: u32 = 60;
const PER_SECOND_MAX: u32 = 1_000;
const IN_FLIGHT_MAX: u32 = 50;
const HEADERS_MAX: usize = 20;
const HEADER_BYTES_MAX: usize = 4_096;
const SOAP_PARAMETERS_MAX: usize = 20;
const HOURS_MAX: u32 = 720;
const NAME_CHARS_MAX: usize = 64;
const PEM_BYTES_MAX: usize = 16_384;

impl WebhookSettings {
    /// Everything that is wrong with it and can be seen without knowing the profiles. `own_headers`: those that the profile sets.
    pub fn check(&self, http_allowed: bool, own_headers: &[&str]) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let mut unless = |right: bool, field: &'static str, text: String| {
            if !right {
                wrong.push((field, text));
            }
        };
        let within = |value: u32, least: u32, most: u32| (least..=most).contains(&value);
        let number = |least: u32, most: u32| format!("must be a whole number from {least} to {most}");
        unless(
            self.description.chars().count() <= DESCRIPTION_CHARS_MAX,
            "description",
            format!("is longer than {DESCRIPTION_CHARS_MAX} characters: shorten it"),
        );
        if let Err(text) = check_url(self.url.expose(), http_allowed) {
            unless(false, "url", text);
        }
        unless(!self.events.is_empty(), "events", "is empty: name events, such as message.*, or * for all".to_owned());
        self.filter.check().into_iter().for_each(|text| unless(false, "filter", text));
        unless(within(self.timeout_seconds, 1, TIMEOUT_SECONDS_MAX), "timeout_seconds", number(1, TIMEOUT_SECONDS_MAX));
        let per_second = self.per_second.is_none_or(|rate| within(rate, 1, PER_SECOND_MAX));
        unless(per_second, "per_second", number(1, PER_SECOND_MAX));
        unless(within(self.in_flight, 1, IN_FLIGHT_MAX), "in_flight", number(1, IN_FLIGHT_MAX));
        unless(self.switch_off.hours <= HOURS_MAX, "switch_off", format!("hours {}", number(0, HOURS_MAX)));
        let failures = i32::try_from(self.switch_off.failures).is_ok_and(|failures| failures <= 1_000_000);
        unless(failures, "switch_off", format!("failures {}", number(0, 1_000_000)));
        unless(
            self.soap_parameters.len() <= SOAP_PARAMETERS_MAX,
            "soap_parameters",
            format!("has more than {SOAP_PARAMETERS_MAX}: remove some"),
        );
        let (times, seconds) = match self.retries {
            Retries::Fixed { times, every_seconds } => (times, every_seconds),
            Retries::Exponential { times, first_seconds } => (times, first_seconds),
            Retries::Standard => (0, 1),
        };
        unless(times <= RETRIES_MAX, "retries", format!("times {}", number(0, RETRIES_MAX)));
        let spaced = within(seconds, 1, RETRY_SPACING_SECONDS_MAX);
        unless(spaced, "retries", format!("seconds {}", number(1, RETRY_SPACING_SECONDS_MAX)));
        unless(
            self.alerts.emails.len() <= ALERT_EMAILS_MAX,
            "alerts",
            format!("emails has more than {ALERT_EMAILS_MAX}: remove some"),
        );
        let per_day = within(self.alerts.per_day, 1, ALERTS_PER_DAY_MAX);
        unless(per_day, "alerts", format!("per_day {}", number(1, ALERTS_PER_DAY_MAX)));
        let certificate = self.client_certificate.as_ref().map(check_certificate).unwrap_or_default();
        certificate.into_iter().for_each(|text| unless(false, "client_certificate", text));
        wrong.extend(self.check_headers(own_headers));
        wrong.extend(self.check_authentication(http_allowed));
        if self.signing_secret.as_ref().is_some_and(SecretText::is_mask) {
            wrong.push(("signing_secret", format!("stands as {MASK}, and there is none to keep: leave it out")));
        }
        wrong
    }

    fn check_headers(&self, own_headers: &[&str]) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let mut note = |text: String| wrong.push(("headers", text));
        if self.headers.len() > HEADERS_MAX {
            note(format!("has more than {HEADERS_MAX}: remove some"));
        }
        for (name, value) in &self.headers {
            let lower = name.to_ascii_lowercase();
            let shown: String = name.chars().filter(|letter| !letter.is_control()).take(NAME_CHARS_MAX).collect();
            if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.bytes().all(is_token) {
                note(format!("`{shown}` is not a header's name: use letters, digits and -"));
            } else if FORBIDDEN_HEADERS.contains(&lower.as_str()) || own_headers.contains(&lower.as_str()) {
                note(format!("{shown} is set by the bridge itself: take it out"));
            } else if lower == "authorization" && self.authentication != Authentication::None {
                note("authorization follows from `authentication` already: take one of them out".to_owned());
            }
            if value.is_mask() {
                note(format!("{shown} stands as {MASK}, and there is none to keep: give its value"));
            } else if !is_header_value(value.expose()) {
                note(format!(
                    "{shown} has a value that no header may have: use visible ASCII characters, no line breaks"
                ));
            }
        }
        wrong
    }

    fn check_authentication(&self, http_allowed: bool) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let mut unless = |right: bool, text: &str| {
            if !right {
                wrong.push(("authentication", text.to_owned()));
            }
        };
        let given = |secret: &SecretText| {
            !secret.expose().is_empty() && !secret.is_mask() && secret.expose().len() <= HEADER_BYTES_MAX
        };
        match &self.authentication {
            Authentication::None => {}
            Authentication::Basic { user, password } => {
                unless(!user.is_empty() && !user.contains(':'), "needs a user, without a colon");
                unless(given(password), "needs its password: there is none to keep");
            }
            Authentication::Bearer { prefix, token } => {
                unless(prefix.bytes().all(is_token), "prefix must be one word, such as Bearer, or empty");
                unless(given(token) && is_header_value(token.expose()), "needs its token, in visible ASCII characters");
            }
            Authentication::OAuth2 { grant, token_url, client_id, client_secret, user, password, .. } => {
                if let Err(text) = check_url(token_url, http_allowed) {
                    unless(false, &format!("token_url {text}"));
                }
                unless(!client_id.is_empty(), "needs a client_id");
                unless(given(client_secret), "needs its client_secret: there is none to keep");
                if *grant == Grant::Password {
                    unless(!user.is_empty(), "needs a user for the grant password");
                    unless(password.as_ref().is_some_and(given), "needs a password for the grant password");
                }
            }
        }
        wrong
    }
}

/// What the connection, the body or we ourselves decide.
const FORBIDDEN_HEADERS: [&str; 14] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "user-agent",
    "proxy-authorization",
    "proxy-connection",
];

/// That the two belong together is found by who builds the connection.
fn check_certificate(own: &ClientCertificate) -> Vec<String> {
    let wrong = |(part, secret, begins): (&str, &SecretText, &str)| {
        if secret.is_mask() {
            return Some(format!("{part} stands as {MASK}, and there is none to keep: give it in PEM"));
        }
        if secret.expose().len() > PEM_BYTES_MAX {
            return Some(format!("{part} is longer than {PEM_BYTES_MAX} bytes: leave out what is not needed"));
        }
        let is_pem = secret.expose().contains(begins);
        (!is_pem).then(|| format!("{part} is not in PEM: it must have the line that ends with {begins}"))
    };
    let parts = [
        ("certificate", &own.certificate, "-----BEGIN CERTIFICATE-----"),
        ("private_key", &own.private_key, "PRIVATE KEY-----"),
    ];
    parts.into_iter().filter_map(wrong).collect()
}

fn check_url(text: &str, http_allowed: bool) -> Result<(), String> {
    if text.is_empty() || text.ends_with(MASK) {
        return Err("is missing: give the whole URL".to_owned());
    }
    if text.len() > URL_BYTES_MAX {
        return Err(format!("is longer than {URL_BYTES_MAX} bytes: shorten it"));
    }
    let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user or a password in it: give them under `authentication`".to_owned());
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if http_allowed => Ok(()),
        _ => Err("must begin with https://".to_owned()),
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_header_value(text: &str) -> bool {
    text.len() <= HEADER_BYTES_MAX && text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn settings(more: Value) -> WebhookSettings {
        let mut all = json!({"url": "https://hooks.example.com/a/secret", "events": ["message.*"]});
        all.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        serde_json::from_value(all).expect("settings")
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_field() {
        for (more, field) in [
            (json!({"url": "http://hooks.example.com/"}), "url"),
            (json!({"url": "https://asha:pass@hooks.example.com/"}), "url"),
            (json!({"url": "hooks.example.com"}), "url"),
            (json!({"events": []}), "events"),
            (json!({"filter": {"statuses": ["seen"]}}), "filter"),
            (json!({"headers": {"Host": "inner"}}), "headers"),
            (json!({"headers": {"Webhook-Id": "mine"}}), "headers"),
            (json!({"headers": {"X-Key": "a\r\nX-Other: b"}}), "headers"),
            (json!({"headers": {"X Key": "a"}}), "headers"),
            (json!({"headers": {"X-Key": "…"}}), "headers"),
            (json!({"authentication": {"kind": "basic", "user": "a:b", "password": "p"}}), "authentication"),
            (json!({"authentication": {"kind": "bearer", "token": "…"}}), "authentication"),
            (json!({"headers": {"Authorization": "x"}, "authentication": {"kind": "bearer", "token": "t"}}), "headers"),
            (
                json!({"authentication": {"kind": "oauth2", "grant": "password", "token_url": "https://id.example.com/",
                       "client_id": "c", "client_secret": "s"}}),
                "authentication",
            ),
            (json!({"retries": {"kind": "fixed", "times": 21, "every_seconds": 1}}), "retries"),
            (json!({"retries": {"kind": "exponential", "times": 1, "first_seconds": 0}}), "retries"),
            (json!({"timeout_seconds": 61}), "timeout_seconds"),
            (json!({"in_flight": 0}), "in_flight"),
            (json!({"per_second": 0}), "per_second"),
            (json!({"switch_off": {"hours": 721}}), "switch_off"),
            (json!({"alerts": {"per_day": 0}}), "alerts"),
            (json!({"client_certificate": {"certificate": "…", "private_key": "…"}}), "client_certificate"),
            (json!({"client_certificate": {"certificate": "a file", "private_key": "a file"}}), "client_certificate"),
        ] {
            let wrong = settings(more.clone()).check(false, &["webhook-id"]);
            assert!(wrong.iter().any(|(found, _)| *found == field), "{more}: {wrong:?}");
        }
        assert_eq!(settings(json!({})).check(false, &[]), []);
        assert_eq!(settings(json!({"url": "http://127.0.0.1:9/"})).check(true, &[]), []);
        assert!(serde_json::from_value::<WebhookSettings>(json!({"urls": "x"})).is_err(), "an unknown setting");
    }
}
