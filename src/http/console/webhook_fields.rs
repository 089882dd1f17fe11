//! The fields of a webhook's form, section by section.

use std::sync::LazyLock;

use super::fields::{Field, Input};
use crate::{
    domain::{
        webhook::Authentication,
        webhook_settings::{WebhookSettings, shown_url},
    },
    profiles,
};

const KEEPS: &str = "Set. Leave empty to keep it";
const METHODS: &[(&str, &str)] = &[("POST", "POST"), ("PUT", "PUT"), ("PATCH", "PATCH")];
const FORMATS: &[(&str, &str)] =
    &[("json", "JSON"), ("xml", "XML"), ("soap_1_1", "SOAP 1.1"), ("soap_1_2", "SOAP 1.2")];
const LEVELS: &[(&str, &str)] = &[
    ("minimal", "Minimal: ids, number, person, status"),
    ("standard", "Standard: all that is known"),
    ("complete", "Complete: and the provider’s own entry"),
];
const DIRECTIONS: &[(&str, &str)] = &[("in", "From people"), ("out", "To people")];
const STATUSES: &[(&str, &str)] =
    &[("sent", "Sent"), ("delivered", "Delivered"), ("read", "Read"), ("failed", "Failed")];
const AUTHENTICATIONS: &[(&str, &str)] = &[
    ("none", "None"),
    ("basic", "Basic: user and password"),
    ("bearer", "A fixed token"),
    ("client_credentials", "OAuth 2: client credentials"),
    ("password", "OAuth 2: password"),
];
const RETRIES: &[(&str, &str)] = &[
    ("fixed", "Always after the same time"),
    ("standard", "As Standard Webhooks has it: nine times within three days"),
    ("exponential", "After twice the time each time"),
];
const SUCCESSES: &[(&str, &str)] = &[("2xx", "Any status from 200 to 299"), ("200", "200 alone")];
const BEGINNINGS: &[(&str, &str)] = &[
    ("on", "At once"),
    ("paused", "Later: keep everything for it until it is resumed"),
    ("off", "Not yet: keep nothing"),
];

static PROFILES: LazyLock<Vec<(&'static str, &'static str)>> =
    LazyLock::new(|| profiles::ALL.iter().map(|profile| (profile.slug(), profile.title())).collect());

/// The fields of a form, by the section that they stand in.
pub(super) struct Sections {
    pub(super) name: Vec<Field>,
    pub(super) place: Vec<Field>,
    pub(super) payload: Vec<Field>,
    /// For the profile with several formats, and for some of these alone; and for the one with old names.
    pub(super) commbox: Vec<Field>,
    pub(super) soap: Vec<Field>,
    pub(super) gallabox: Vec<Field>,
    pub(super) filter: Vec<Field>,
    pub(super) scheme: Vec<Field>,
    pub(super) basic: Vec<Field>,
    pub(super) bearer: Vec<Field>,
    pub(super) oauth2: Vec<Field>,
    pub(super) oauth2_password: Vec<Field>,
    pub(super) certificate: Vec<Field>,
    pub(super) signing: Vec<Field>,
    pub(super) alerts: Vec<Field>,
    pub(super) retries: Vec<Field>,
    pub(super) fixed: Vec<Field>,
    pub(super) exponential: Vec<Field>,
    pub(super) delivery: Vec<Field>,
}

impl Sections {
    /// `before`: what is stored; `None` for a new one.
    pub(super) fn of(before: Option<&WebhookSettings>) -> Self {
        let is_new = before.is_none();
        let set = |field: Field, is_set: bool| if is_set { field.placeholder(KEEPS) } else { field };
        let authentication = before.map(|before| &before.authentication);
        let (basic, bearer, oauth2) = match authentication {
            Some(Authentication::Basic { .. }) => (true, false, false),
            Some(Authentication::Bearer { .. }) => (false, true, false),
            Some(Authentication::OAuth2 { .. }) => (false, false, true),
            Some(Authentication::None) | None => (false, false, false),
        };
        let is_signed = before.is_some_and(|before| before.signing_secret.is_some());
        let url = before.map(|before| format!("{} is set. Leave empty to keep it", shown_url(before.url.expose())));
        Self {
            name: name_fields(is_new),
            place: vec![
                Field::new("url", "URL", Input::Text)
                    .placeholder(url.unwrap_or_else(|| "https://hooks.example.com/wabridge".to_owned()))
                    .hint("https. What stands behind the host is kept secret, and never shown again."),
                Field::new("method", "Method", Input::Choice(METHODS)),
                Field::new("profile", "Profile", Input::Choice(&PROFILES))
                    .hint("In whose words and shapes: a receiver that was written for one of these works unchanged."),
            ],
            payload: vec![
                Field::new("payload", "How much is told", Input::Choice(LEVELS)),
                Field::new("version", "Version of the payload", Input::Text)
                    .hint("Stays until you change it. Empty: the newest."),
            ],
            commbox: vec![Field::new("format", "Format", Input::Choice(FORMATS))],
            soap: vec![
                Field::new("soap_parameters", "Parameters of yours, for SOAP", Input::Lines)
                    .placeholder("Branch = Andheri")
                    .hint("One a line, NAME = VALUE. They stand in the SOAP header."),
            ],
            gallabox: vec![
                Field::new("old_names", "Old event names", Input::Switch).hint("as receivers from before 2026 know them"),
            ],
            filter: filter_fields(),
            scheme: vec![Field::new("authentication.kind", "How the bridge shows who it is", Input::Choice(AUTHENTICATIONS))],
            basic: vec![
                Field::new("basic.user", "User", Input::Text),
                set(Field::new("basic.password", "Password", Input::Secret).required(), basic),
            ],
            bearer: vec![
                Field::new("bearer.prefix", "Prefix", Input::Text).hint("Stands before the token. Usually Bearer; may be empty."),
                set(Field::new("bearer.token", "Token", Input::Secret).required(), bearer),
            ],
            oauth2: vec![
                Field::new("oauth2.token_url", "Token URL", Input::Text).placeholder("https://id.example.com/token"),
                Field::new("oauth2.client_id", "Client id", Input::Text),
                set(Field::new("oauth2.client_secret", "Client secret", Input::Secret).required(), oauth2),
                Field::new("oauth2.scope", "Scope", Input::Text).hint("May be empty."),
            ],
            oauth2_password: vec![
                Field::new("oauth2.user", "User", Input::Text),
                set(Field::new("oauth2.password", "Password", Input::Secret).required(), oauth2),
            ],
            certificate: certificate_fields(before),
            alerts: vec![
                Field::new("alerts.emails", "By e-mail to", Input::List)
                    .placeholder("ops@example.com")
                    .hint("One a line. They go by the server of alarms.smtp_url."),
                Field::new("alerts.webhook", "By another webhook", Input::Text)
                    .hint("Its name. It is told webhook.failing and webhook.disabled of this one."),
                Field::new("alerts.per_day", "Failures told in a day, at most", Input::Number).hint("1 to 1,000. That it was switched off is always told."),
            ],
            signing: vec![
                set(Field::new("signing_secret", "Secret of your own", Input::Secret).required(), is_signed).hint(if is_signed {
                    "What you enter takes its place at once. To change it without losing a request, rotate it on the webhook’s page."
                } else {
                    "Leave it empty, and one is made and shown once. whsec_ and 24 to 64 bytes in base64; other profiles take other forms."
                }),
            ],
            retries: vec![Field::new("retries.kind", "What is not taken is sent again", Input::Choice(RETRIES))],
            fixed: vec![
                Field::new("fixed.times", "Times", Input::Number).hint("0 to 20"),
                Field::new("fixed.seconds", "Seconds between", Input::Number),
            ],
            exponential: vec![
                Field::new("exponential.times", "Times", Input::Number).hint("0 to 20"),
                Field::new("exponential.seconds", "Seconds before the first", Input::Number),
            ],
            delivery: delivery_fields(),
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Field> {
        let Self { name, place, payload, commbox, soap, gallabox, filter, scheme, basic, .. } = self;
        let Self { bearer, oauth2, oauth2_password, certificate, signing, alerts, .. } = self;
        let Self { retries, fixed, exponential, delivery, .. } = self;
        let first = [name, place, payload, commbox, soap, gallabox, filter, scheme, basic, bearer];
        let others = [oauth2, oauth2_password, certificate, signing, alerts, retries, fixed, exponential, delivery];
        first.into_iter().chain(others).flatten()
    }
}

fn name_fields(is_new: bool) -> Vec<Field> {
    let description = Field::new("description", "What it is for", Input::Text).hint("For people.");
    if !is_new {
        return vec![description];
    }
    let name = Field::new("name", "Name", Input::Text)
        .placeholder("crm")
        .hint("a to z, 0 to 9, - and _; it does not begin with -. It cannot change.");
    let since = Field::new("since", "With what happened since (UTC)", Input::Text)
        .placeholder("2026-11-20T00:00")
        .hint("Empty: with what happens from now on. What is not kept any more is not told.");
    vec![name, description, Field::new("begin", "Begins", Input::Choice(BEGINNINGS)), since]
}

fn certificate_fields(before: Option<&WebhookSettings>) -> Vec<Field> {
    let is_set = before.is_some_and(|before| before.client_certificate.is_some());
    let placeholder = |text: &str| if is_set { KEEPS.to_owned() } else { text.to_owned() };
    let mut fields = vec![
        Field::new("client_certificate.certificate", "Certificate, PEM", Input::SecretLines)
            .placeholder(placeholder("-----BEGIN CERTIFICATE-----"))
            .hint("With those that lead to one that the receiver knows."),
        Field::new("client_certificate.private_key", "Private key, PEM", Input::SecretLines)
            .placeholder(placeholder("-----BEGIN PRIVATE KEY-----"))
            .hint("Without a password. Neither is shown again."),
    ];
    if is_set {
        fields.push(Field::new("client_certificate.forget", "Take the certificate away", Input::Switch));
    }
    fields
}

fn filter_fields() -> Vec<Field> {
    vec![
        Field::new("filter.numbers", "Numbers of yours", Input::Lines)
            .placeholder("+918888001122")
            .hint("One a line. Empty: all."),
        Field::new("filter.providers", "Providers", Input::List).placeholder("meta").hint("One a line. Empty: all."),
        Field::new("filter.templates", "Templates", Input::List)
            .placeholder("order_update")
            .hint("By name, one a line."),
        Field::new("filter.campaigns", "Campaigns", Input::List).placeholder("1790000000").hint("By id, one a line."),
        Field::new("filter.directions", "Direction", Input::Boxes(DIRECTIONS)),
        Field::new("filter.statuses", "Status", Input::Boxes(STATUSES)),
        Field::new("filter.json", "What must stand in the payload", Input::Lines)
            .placeholder("/data/custom/city = Pune")
            .hint("A place in the standard payload and its value, one a line; all must agree."),
    ]
}

fn delivery_fields() -> Vec<Field> {
    vec![
        Field::new("timeout_seconds", "Waits for an answer, seconds", Input::Number).hint("1 to 60"),
        Field::new("success", "Taken means", Input::Choice(SUCCESSES)),
        Field::new("per_second", "Requests a second, at most", Input::Number)
            .hint("On each instance. Empty: as fast as they are taken."),
        Field::new("in_flight", "Requests at the same time", Input::Number)
            .hint("1 to 50, for each account and kind of event."),
        Field::new("switch_off.failures", "Given up after so many failures in a row", Input::Number).hint("0: never."),
        Field::new("switch_off.hours", "and after so many hours without success", Input::Number).hint("0 to 720"),
        Field::new("in_order", "In order", Input::Switch)
            .hint("statuses of one message, or what one person wrote, wait for those before them; other events do not wait for these"),
    ]
}
