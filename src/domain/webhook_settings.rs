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
        Alerts, Authentication, ClientCertificate, MASK, Retries, SecretText, Success, SwitchOff, WebhookMethod,
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
    /// `json`; CommBox has `xml`, `soap_1_1` and `soap_1_2`, too.
    #[schema(example = "json")]
    pub format: String,
    /// Parameters of your own, for SOAP.
    pub soap_parameters: BTreeMap<String, String>,
    /// Old event names, where the profile knows some.
    pub old_names: bool,
    /// minimal, standard, or complete: with the provider's own entry.
    #[schema(example = "standard")]
    pub payload: Level,
    /// Event names, `message.*` for those of an entity, or `*`.
    #[schema(value_type = Vec<String>, required, min_items = 1, example = json!(["message.received", "message.failed"]))]
    pub events: Vec<EventPattern>,
    /// Only events in whose every named part one of the words stands.
    #[schema(example = json!({"accounts": ["acme"]}))]
    pub filter: Filter,
    /// Added to each request. Values are shown as `…`.
    #[schema(value_type = BTreeMap<String, String>)]
    pub headers: BTreeMap<String, SecretText>,
    pub authentication: Authentication,
    pub client_certificate: Option<ClientCertificate>,
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
    /// Statuses of one message wait for those before them, what one person wrote to one number does, and what is told of one person does.
    /// Events of different kinds never wait for each other: `sequence` tells their order.
    pub in_order: bool,
    pub switch_off: SwitchOff,
    pub alerts: Alerts,
}

pub const PROFILE: &str = "native";

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
            client_certificate: None,
            signing_secret: None,
            retries: Retries::default(),
            timeout_seconds: 10,
            success: Success::Any2xx,
            per_second: None,
            in_flight: 5,
            in_order: true,
            switch_off: SwitchOff::default(),
            alerts: Alerts::default(),
        }
    }
}

impl WebhookSettings {
    /// Whether it hears of an account at all.
    pub fn covers(&self, account: &str) -> bool {
        self.filter.accounts.is_empty() || self.filter.accounts.iter().any(|wanted| wanted == account)
    }

    /// The kinds of lines of the log that it can want something of.
    pub fn kinds(&self) -> Vec<EventKind> {
        let mut kinds: Vec<EventKind> = EventName::TOLD
            .iter()
            .filter(|name| self.wants(**name))
            .flat_map(|name| kinds_of(*name))
            .copied()
            .collect();
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
        self.client_certificate = self
            .client_certificate
            .map(|_| ClientCertificate { certificate: SecretText::mask(), private_key: SecretText::mask() });
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
        if let Some(own) = &mut self.client_certificate {
            keep(&mut own.certificate, before.client_certificate.as_ref().map(|before| &before.certificate));
            keep(&mut own.private_key, before.client_certificate.as_ref().map(|before| &before.private_key));
        }
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
}

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

/// The kinds of lines of the log that are told under this name; none: the log has no such lines.
const fn kinds_of(name: EventName) -> &'static [EventKind] {
    match name {
        EventName::MessageReceived
        | EventName::MessageInteraction
        | EventName::MessageFlow
        | EventName::MessageCart => &[EventKind::Inbound],
        EventName::MessageSent | EventName::MessageDelivered | EventName::MessageRead | EventName::MessageFailed => {
            &[EventKind::Status]
        }
        // By whom, decides in which shape it is reported.
        EventName::MessageDeleted => &[EventKind::Inbound, EventKind::Notice],
        EventName::MessagePayment
        | EventName::TemplateStatus
        | EventName::ChannelStatus
        | EventName::WebhookFailing
        | EventName::WebhookDisabled
        | EventName::CommBoxEvent
        | EventName::GallaboxEvent
        | EventName::GoTalloEvent => &[EventKind::Notice],
        EventName::MessageAccepted | EventName::MessageOutbound => &[EventKind::Outgoing],
        EventName::MessageClicked => &[],
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
        | EventName::ConversationTagUnmapped => &[EventKind::Person],
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
    fn what_is_read_has_no_secrets_and_can_be_sent_back() {
        let before = settings(json!({
            "headers": {"X-Key": "header secret"},
            "authentication": {"kind": "oauth2", "grant": "password", "token_url": "https://id.example.com/",
                "client_id": "c", "client_secret": "client secret", "user": "u", "password": "its password"},
            "signing_secret": "whsec_secret",
            "client_certificate": {"certificate": "chain in PEM", "private_key": "key in PEM"},
        }));

        let shown = serde_json::to_string(&before.clone().masked()).expect("JSON");

        for secret in ["header secret", "client secret", "its password", "whsec_secret", "in PEM"] {
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
        assert_eq!(
            kinds(json!(["message.*"])),
            [EventKind::Status, EventKind::Inbound, EventKind::Notice, EventKind::Outgoing]
        );
        assert_eq!(kinds(json!(["message.accepted"])), [EventKind::Outgoing]);
        assert_eq!(kinds(json!(["webhook.*", "commbox.*"])), [EventKind::Notice]);
        assert_eq!(kinds(json!(["contact.*", "conversation.expired"])), [EventKind::Person]);
        assert_eq!(
            kinds(json!(["*"])),
            [EventKind::Status, EventKind::Inbound, EventKind::Notice, EventKind::Outgoing, EventKind::Person]
        );
    }
}
