//! What cannot work of a webhook's settings, each with its field, as far as it can be seen without knowing the profiles. Pure.

use std::ops::Bound;

use super::{
    web_url::read_web_url,
    webhook::{
        ALERT_EMAILS_MAX, ALERTS_PER_DAY_MAX, Authentication, ClientCertificate, Grant, MASK, RETRIES_MAX,
        RETRY_SPACING_SECONDS_MAX, Retries, SecretText,
    },
    webhook_settings::WebhookSettings,
};

/// What is wrong with a field (with dots between its parts), and what to change; goes on after the field's name.
pub type Wrong = (&'static str, String);

const DESCRIPTION_CHARS_MAX: usize = 500;
const TIMEOUT_SECONDS_MAX: u32 = 60;
const PER_SECOND_MAX: u32 = 1_000;
const IN_FLIGHT_MAX: u32 = 50;
const HEADERS_MAX: usize = 20;
const HEADER_BYTES_MAX: usize = 4_096;
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
        unless(
            !self.description.contains(char::is_control),
            "description",
            "has a line break or another control character in it: write it on one line".to_owned(),
        );
        if let Err(text) = check_url(self.url.expose(), http_allowed) {
            unless(false, "url", text);
        }
        unless(!self.events.is_empty(), "events", "is empty: name events, such as message.*, or * for all".to_owned());
        unless(within(self.timeout_seconds, 1, TIMEOUT_SECONDS_MAX), "timeout_seconds", number(1, TIMEOUT_SECONDS_MAX));
        let per_second = self.per_second.is_none_or(|rate| within(rate, 1, PER_SECOND_MAX));
        unless(per_second, "per_second", number(1, PER_SECOND_MAX));
        unless(within(self.in_flight, 1, IN_FLIGHT_MAX), "in_flight", number(1, IN_FLIGHT_MAX));
        unless(self.switch_off.hours <= HOURS_MAX, "switch_off.hours", number(0, HOURS_MAX));
        let failures = i32::try_from(self.switch_off.failures).is_ok_and(|failures| failures <= 1_000_000);
        unless(failures, "switch_off.failures", number(0, 1_000_000));
        let spacing = match self.retries {
            Retries::Fixed { times, every_seconds } => Some((times, "retries.every_seconds", every_seconds)),
            Retries::Exponential { times, first_seconds } => Some((times, "retries.first_seconds", first_seconds)),
            Retries::Standard => None,
        };
        if let Some((times, field, seconds)) = spacing {
            unless(times <= RETRIES_MAX, "retries.times", number(0, RETRIES_MAX));
            unless(within(seconds, 1, RETRY_SPACING_SECONDS_MAX), field, number(1, RETRY_SPACING_SECONDS_MAX));
        }
        unless(
            self.alerts.emails.len() <= ALERT_EMAILS_MAX,
            "alerts.emails",
            format!("has more than {ALERT_EMAILS_MAX}: remove some"),
        );
        let per_day = within(self.alerts.per_day, 1, ALERTS_PER_DAY_MAX);
        unless(per_day, "alerts.per_day", number(1, ALERTS_PER_DAY_MAX));
        wrong.extend(self.filter.check(&self.events));
        wrong.extend(self.client_certificate.iter().flat_map(check_certificate));
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
            let others = self.headers.range::<str, _>((Bound::Excluded(name.as_str()), Bound::Unbounded));
            if let Some((other, _)) = others.into_iter().find(|(other, _)| other.eq_ignore_ascii_case(name)) {
                note(format!("{shown} and {other} are one header: take one of them out"));
            }
            if value.is_mask() {
                note(format!("{shown} stands as {MASK}, and there is none to keep: give its value"));
            } else if let Err(text) = check_header_value(value.expose()) {
                note(format!("{shown} {text}"));
            }
        }
        wrong
    }

    fn check_authentication(&self, http_allowed: bool) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let mut note = |field: &'static str, found: Result<(), String>| {
            wrong.extend(found.err().map(|text| (field, text)));
        };
        let unless = |right: bool, text: &str| if right { Ok(()) } else { Err(text.to_owned()) };
        match &self.authentication {
            Authentication::None => {}
            Authentication::Basic { user, password } => {
                let right = !user.is_empty() && !user.contains(':');
                note("authentication.user", unless(right, "must be there, without a colon"));
                note("authentication.password", check_secret(password));
            }
            Authentication::Bearer { prefix, token } => {
                let right = prefix.bytes().all(is_token);
                note("authentication.prefix", unless(right, "must be one word, such as Bearer, or empty"));
                let checked = check_secret(token).and_then(|()| check_header_value(token.expose()));
                note("authentication.token", checked);
            }
            Authentication::OAuth2 { grant, token_url, client_id, client_secret, user, password, .. } => {
                note("authentication.token_url", check_url(token_url, http_allowed));
                note("authentication.client_id", unless(!client_id.is_empty(), "is missing: give it"));
                note("authentication.client_secret", check_secret(client_secret));
                if *grant == Grant::Password {
                    let why = "is missing: the grant password needs one";
                    note("authentication.user", unless(!user.is_empty(), why));
                    note(
                        "authentication.password",
                        password.as_ref().map_or_else(|| Err(why.to_owned()), check_secret),
                    );
                }
            }
        }
        wrong
    }
}

fn check_secret(secret: &SecretText) -> Result<(), String> {
    match secret.expose() {
        "" | MASK => Err("is missing: there is none to keep, so give it".to_owned()),
        text => check_length(text),
    }
}

fn check_length(text: &str) -> Result<(), String> {
    match text.len() {
        0..=HEADER_BYTES_MAX => Ok(()),
        bytes => Err(format!("has {bytes} bytes: shorten it to {HEADER_BYTES_MAX}")),
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
fn check_certificate(own: &ClientCertificate) -> Vec<Wrong> {
    let wrong = |(part, secret, begins): (&'static str, &SecretText, &str)| {
        if secret.is_mask() {
            return Some((part, format!("stands as {MASK}, and there is none to keep: give it in PEM")));
        }
        if secret.expose().len() > PEM_BYTES_MAX {
            return Some((part, format!("is longer than {PEM_BYTES_MAX} bytes: leave out what is not needed")));
        }
        let is_pem = secret.expose().contains(begins);
        (!is_pem).then(|| (part, format!("is not in PEM: it must have the line that ends with {begins}")))
    };
    let parts = [
        ("client_certificate.certificate", &own.certificate, "-----BEGIN CERTIFICATE-----"),
        ("client_certificate.private_key", &own.private_key, "PRIVATE KEY-----"),
    ];
    parts.into_iter().filter_map(wrong).collect()
}

fn check_url(text: &str, http_allowed: bool) -> Result<(), String> {
    if text.is_empty() || text.ends_with(MASK) {
        return Err("is missing: give the whole URL".to_owned());
    }
    let url = read_web_url(text, http_allowed)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user or a password in it: give them under `authentication`".to_owned());
    }
    if url.fragment().is_some() {
        return Err("has a part behind #, which no request has: take it out".to_owned());
    }
    Ok(())
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn check_header_value(text: &str) -> Result<(), String> {
    match text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        true => check_length(text),
        false => Err("has a value that no header may have: use visible ASCII characters, no line breaks".to_owned()),
    }
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
        let oauth2 = json!({"kind": "oauth2", "grant": "password", "token_url": "http://id.example.com/", "client_id": "",
            "client_secret": "s"});
        let long = "a".repeat(10_000);
        for (more, field, said) in [
            (json!({"url": "http://hooks.example.com/"}), "url", "https://"),
            (json!({"url": "https://asha:pass@hooks.example.com/"}), "url", "password"),
            (json!({"url": "hooks.example.com"}), "url", "is not a URL"),
            (json!({"url": "https://hooks.example.com/#top"}), "url", "behind #"),
            (json!({"description": "orders\u{0}"}), "description", "control character"),
            (json!({"events": []}), "events", "is empty"),
            (json!({"filter": {"statuses": ["seen"]}}), "filter.statuses", "cannot be seen: use sent,"),
            (json!({"headers": {"Host": "inner"}}), "headers", "by the bridge itself"),
            (json!({"headers": {"Webhook-Id": "mine"}}), "headers", "by the bridge itself"),
            (json!({"headers": {"X-Key": "a\r\nX-Other: b"}}), "headers", "no line breaks"),
            (json!({"headers": {"X-Key": long}}), "headers", "X-Key has 10000 bytes: shorten it to 4096"),
            (json!({"headers": {"X Key": "a"}}), "headers", "is not a header's name"),
            (json!({"headers": {"X-Key": "…"}}), "headers", "none to keep"),
            (json!({"headers": {"X-A": "1", "Y": "2", "x-a": "3"}}), "headers", "X-A and x-a are one header"),
            (
                json!({"authentication": {"kind": "basic", "user": "a:b", "password": "p"}}),
                "authentication.user",
                "colon",
            ),
            (json!({"authentication": {"kind": "bearer", "token": "…"}}), "authentication.token", "is missing"),
            (json!({"authentication": {"kind": "bearer", "token": long}}), "authentication.token", "has 10000 bytes"),
            (json!({"authentication": {"kind": "bearer", "token": "a\n"}}), "authentication.token", "no line breaks"),
            (
                json!({"headers": {"Authorization": "x"}, "authentication": {"kind": "bearer", "token": "t"}}),
                "headers",
                "take one of them out",
            ),
            (json!({"authentication": oauth2}), "authentication.token_url", "https://"),
            (json!({"authentication": oauth2}), "authentication.client_id", "is missing"),
            (json!({"authentication": oauth2}), "authentication.user", "is missing"),
            (json!({"authentication": oauth2}), "authentication.password", "is missing"),
            (json!({"retries": {"kind": "fixed", "times": 21, "every_seconds": 1}}), "retries.times", "0 to 20"),
            (json!({"retries": {"kind": "fixed", "times": 1, "every_seconds": 0}}), "retries.every_seconds", "from 1"),
            (
                json!({"retries": {"kind": "exponential", "times": 1, "first_seconds": 0}}),
                "retries.first_seconds",
                "from 1",
            ),
            (json!({"timeout_seconds": 61}), "timeout_seconds", "1 to 60"),
            (json!({"in_flight": 0}), "in_flight", "1 to 50"),
            (json!({"per_second": 0}), "per_second", "1 to 1000"),
            (json!({"switch_off": {"hours": 721}}), "switch_off.hours", "0 to 720"),
            (json!({"switch_off": {"failures": 1_000_001}}), "switch_off.failures", "0 to 1000000"),
            (json!({"alerts": {"per_day": 0}}), "alerts.per_day", "1 to 1000"),
            (
                json!({"client_certificate": {"certificate": "…", "private_key": "…"}}),
                "client_certificate.certificate",
                "none to keep",
            ),
            (
                json!({"client_certificate": {"certificate": "a file", "private_key": "a file"}}),
                "client_certificate.private_key",
                "not in PEM",
            ),
        ] {
            let wrong = settings(more.clone()).check(false, &["webhook-id"]);
            let is_told = wrong.iter().any(|(found, text)| *found == field && text.contains(said));
            assert!(is_told, "{more}: {wrong:?}");
        }
        assert_eq!(settings(json!({})).check(false, &[]), []);
        assert_eq!(settings(json!({"url": "http://127.0.0.1:9/"})).check(true, &[]), []);
        assert!(serde_json::from_value::<WebhookSettings>(json!({"urls": "x"})).is_err(), "an unknown setting");
    }
}
