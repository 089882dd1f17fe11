//! What people say of a webhook. One shape for the API, the apply file and the sealed column.
//!
//! What of it is secret is shown as `…`, and where a change says `…` it stays as it was; so what was read can be sent back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use super::{
    callback::EventKind,
    event_name::EventName,
    webhook::{
        Authentication, Grant, MASK, RETRIES_MAX, RETRY_SPACING_SECONDS_MAX, Retries, SecretText, Success, SwitchOff,
        WebhookMethod,
    },
    webhook_event::Level,
    webhook_filter::{EventPattern, Filter},
};

/// Where a webhook tells what, and how. What is left out has its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookSettings {
    /// For people.
    #[schema(example = "orders and stock")]
    pub description: String,
    /// Where events go. The part behind the host is shown as `…`.
    #[schema(value_type = String, example = "https://hooks.example.com/wabridge")]
    pub url: SecretText,
    pub method: WebhookMethod,
    /// In whose words and shapes events are written: native is our own.
    #[schema(example = "native")]
    pub profile: String,
    /// Of the profile's payloads; empty: the newest, which is then kept.
    #[schema(example = "1")]
    pub version: String,
    /// `json`, or what else the profile has: xml, soap_1_1, soap_1_2.
    #[schema(example = "json")]
    pub format: String,
    /// Parameters of your own, for SOAP.
    pub soap_parameters: BTreeMap<String, String>,
    /// Old event names, where the profile knows some.
    pub old_names: bool,
    /// minimal, standard, or complete: with the provider's own entry.
    #[schema(value_type = String, example = "standard")]
    pub payload: Level,
    /// Event names, `message.*` for those of an entity, or `*`.
    #[schema(value_type = Vec<String>, example = json!(["message.received", "message.failed"]))]
    pub events: Vec<EventPattern>,
    /// Only events in whose every named part one of the words stands: accounts, numbers, providers, directions, statuses,
    /// templates, campaigns, json.
    #[schema(value_type = Object, example = json!({"accounts": ["acme"]}))]
    pub filter: Filter,
    /// Added to each request. Values are shown as `…`.
    #[schema(value_type = BTreeMap<String, String>)]
    pub headers: BTreeMap<String, SecretText>,
    pub authentication: Authentication,
    /// What requests are signed with; left out: one is made when the webhook is, and shown in the answer.
    #[schema(value_type = Option<String>)]
    pub signing_secret: Option<SecretText>,
    pub retries: Retries,
    #[schema(minimum = 1, maximum = 60)]
    pub timeout_seconds: u32,
    pub success: Success,
    /// Requests a second, at most.
    #[schema(minimum = 1, maximum = 1000)]
    pub per_second: Option<u32>,
    /// Requests under way at the same time, for each account and kind of event.
    #[schema(minimum = 1, maximum = 50)]
    pub in_flight: u32,
    /// Events about one message, or from one person, wait for those before them.
    pub in_order: bool,
    pub switch_off: SwitchOff,
}

pub const PROFILE: &str = "native";
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

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            description: String::new(),
            url: SecretText::new(""),
            method: WebhookMethod::Post,
            profile: PROFILE.to_owned(),
            version: String::new(),
            format: "json".to_owned(),
            soap_parameters: BTreeMap::new(),
            old_names: false,
            payload: Level::Standard,
            events: vec![],
            filter: Filter::default(),
            headers: BTreeMap::new(),
            authentication: Authentication::None,
            signing_secret: None,
            retries: Retries::default(),
            timeout_seconds: 10,
            success: Success::Any2xx,
            per_second: None,
            in_flight: 5,
            in_order: true,
            switch_off: SwitchOff::default(),
        }
    }
}

/// What is wrong with a field, and what to change; goes on after the field's name.
pub type Wrong = (&'static str, String);

impl WebhookSettings {
    /// Whether it hears of an account at all.
    pub fn covers(&self, account: &str) -> bool {
        self.filter.accounts.is_empty() || self.filter.accounts.iter().any(|wanted| wanted == account)
    }

    /// The kinds of lines of the log that it can want something of.
    pub fn kinds(&self) -> Vec<EventKind> {
        let mut kinds: Vec<EventKind> =
            EventName::TOLD.iter().filter(|name| self.wants(**name)).filter_map(|name| kind_of(*name)).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    pub fn wants(&self, name: EventName) -> bool {
        self.events.iter().any(|pattern| pattern.matches(name))
    }

    /// With `…` in the place of what is secret.
    #[must_use]
    pub fn masked(mut self) -> Self {
        self.url = SecretText::new(shown_url(self.url.expose()));
        self.headers.values_mut().for_each(|value| *value = SecretText::mask());
        self.signing_secret = self.signing_secret.map(|_| SecretText::mask());
        match &mut self.authentication {
            Authentication::None => {}
            Authentication::Basic { password: secret, .. } | Authentication::Bearer { token: secret, .. } => {
                *secret = SecretText::mask();
            }
            Authentication::OAuth2 { client_secret, password, .. } => {
                *client_secret = SecretText::mask();
                *password = password.take().map(|_| SecretText::mask());
            }
        }
        self
    }

    /// Puts what was there in the place of each `…`. What was never there stays `…`, and is found by [`Self::check`].
    #[must_use]
    pub fn keeping(mut self, before: &Self) -> Self {
        if self.url.expose().is_empty() || self.url.expose() == shown_url(before.url.expose()) {
            self.url = before.url.clone();
        }
        for (name, value) in &mut self.headers {
            keep(value, before.headers.get(name));
        }
        self.signing_secret = match self.signing_secret {
            Some(secret) if !secret.is_mask() => Some(secret),
            Some(_) | None => before.signing_secret.clone(),
        };
        match (&mut self.authentication, &before.authentication) {
            (Authentication::Basic { password, .. }, Authentication::Basic { password: old, .. }) => {
                keep(password, Some(old));
            }
            (Authentication::Bearer { token, .. }, Authentication::Bearer { token: old, .. }) => keep(token, Some(old)),
            (
                Authentication::OAuth2 { client_secret, password, .. },
                Authentication::OAuth2 { client_secret: old_secret, password: old_password, .. },
            ) => {
                keep(client_secret, Some(old_secret));
                if let Some(password) = password {
                    keep(password, old_password.as_ref());
                }
            }
            (
                Authentication::None
                | Authentication::Basic { .. }
                | Authentication::Bearer { .. }
                | Authentication::OAuth2 { .. },
                _,
            ) => {}
        }
        self
    }

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
        if let Err(text) = self.filter.check() {
            unless(false, "filter", text);
        }
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

fn keep(secret: &mut SecretText, before: Option<&SecretText>) {
    if let Some(before) = before.filter(|_| secret.is_mask()) {
        *secret = before.clone();
    }
}

/// Scheme and host: who knows the rest may post to it.
pub fn shown_url(url: &str) -> String {
    match Url::parse(url) {
        Ok(url) => format!("{}/{MASK}", url.origin().ascii_serialization()),
        Err(_) if url.is_empty() => String::new(),
        Err(_) => MASK.to_owned(),
    }
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

/// The kind of a line of the log that is told under this name; `None`: the log has no such lines.
const fn kind_of(name: EventName) -> Option<EventKind> {
    match name {
        EventName::MessageReceived
        | EventName::MessageInteraction
        | EventName::MessageFlow
        | EventName::MessageCart
        | EventName::MessagePayment => Some(EventKind::Inbound),
        EventName::MessageSent | EventName::MessageDelivered | EventName::MessageRead | EventName::MessageFailed => {
            Some(EventKind::Status)
        }
        EventName::TemplateStatus | EventName::ChannelStatus => Some(EventKind::Notice),
        EventName::MessageAccepted | EventName::MessageOutbound | EventName::MessageDeleted => None,
        EventName::ContactOptedIn
        | EventName::ContactOptedOut
        | EventName::ContactCreated
        | EventName::ContactUpdated
        | EventName::ContactTagMapped
        | EventName::ContactTagUnmapped
        | EventName::ConversationCreated
        | EventName::ConversationUpdated
        | EventName::ConversationExpired
        | EventName::ConversationResolved
        | EventName::ConversationUnattended
        | EventName::ConversationAutoReplied
        | EventName::ConversationTagMapped
        | EventName::ConversationTagUnmapped => Some(EventKind::Person),
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
        ] {
            let wrong = settings(more.clone()).check(false, &["webhook-id"]);
            assert!(wrong.iter().any(|(found, _)| *found == field), "{more}: {wrong:?}");
        }
        assert_eq!(settings(json!({})).check(false, &[]), []);
        assert_eq!(settings(json!({"url": "http://127.0.0.1:9/"})).check(true, &[]), []);
        assert!(serde_json::from_value::<WebhookSettings>(json!({"urls": "x"})).is_err(), "an unknown setting");
    }

    #[test]
    fn what_is_read_has_no_secrets_and_can_be_sent_back() {
        let before = settings(json!({
            "headers": {"X-Key": "header secret"},
            "authentication": {"kind": "oauth2", "grant": "password", "token_url": "https://id.example.com/",
                "client_id": "c", "client_secret": "client secret", "user": "u", "password": "its password"},
            "signing_secret": "whsec_secret",
        }));

        let shown = serde_json::to_string(&before.clone().masked()).expect("JSON");

        for secret in ["header secret", "client secret", "its password", "whsec_secret"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("https://hooks.example.com/…"), "{shown}");
        let back: WebhookSettings = serde_json::from_str(&shown).expect("settings");
        assert_eq!(back.keeping(&before), before);
    }

    #[test]
    fn only_the_kinds_of_lines_are_read_that_it_can_want() {
        let kinds = |events: Value| settings(json!({"events": events})).kinds();

        assert_eq!(kinds(json!(["message.failed"])), [EventKind::Status]);
        assert_eq!(kinds(json!(["message.*"])), [EventKind::Status, EventKind::Inbound]);
        assert_eq!(kinds(json!(["*"])), [EventKind::Status, EventKind::Inbound, EventKind::Notice, EventKind::Person]);
    }
}
